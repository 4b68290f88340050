"""What an instance finds around it: metadata, names, and the API at AWS's own host names."""

import io
import json
import os
import pathlib
import signal
import subprocess
import time
import zipfile

import boto3
import pytest
from botocore.exceptions import ClientError

from conftest import BIN, CLEAN, eventually, private_cloud

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="running instances here needs root")

NANO = {"InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1}

# What the instances' scripts begin with: requests to the metadata service, and SigV4 by hand.
PRELUDE = '''#!/usr/bin/python3
import datetime, hashlib, hmac, json, socket, ssl, urllib.error, urllib.request

BASE = "http://169.254.169.254"

def ask(path, method="GET", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(BASE + path, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()

def signed(host, path, keys, service, region="us-east-1"):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    nothing = hashlib.sha256(b"").hexdigest()
    headers = {"host": host, "x-amz-content-sha256": nothing, "x-amz-date": now,
               "x-amz-security-token": keys["Token"]}
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\\n" for name in sorted(headers))
    canonical = f"GET\\n{path}\\n\\n{lines}\\n{names}\\n{nothing}"
    scope = f"{now[:8]}/{region}/{service}/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = ("AWS4" + keys["SecretAccessKey"]).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    proof = hmac.new(key, f"AWS4-HMAC-SHA256\\n{now}\\n{scope}\\n{digest}".encode(), "sha256").hexdigest()
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys['AccessKeyId']}/{scope}, SignedHeaders={names}, Signature={proof}")
    try:
        with urllib.request.urlopen(urllib.request.Request(f"https://{host}{path}", headers=headers), timeout=10) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()

out = {}
'''
POSTLUDE = '\nprint("RESULT" + json.dumps(out) + "END", flush=True)\n'


@pytest.fixture(scope="module")
def mine():
    """A cloud of our own: instances of parallel tests would share the host's memory with ours."""
    with private_cloud() as cloud:
        yield cloud


def run(cloud, script, **parameters):
    """Runs a script in a new instance; its id and what the script put into `out`."""
    ec2 = cloud.client("ec2")
    (image,) = ec2.describe_images(Owners=["amazon"])["Images"]
    nano = {**NANO, "ImageId": image["ImageId"], "UserData": PRELUDE + script + POSTLUDE, **parameters}
    try:
        (made,) = ec2.run_instances(**nano)["Instances"]
    except ClientError as error:
        if "this host" in str(error):
            pytest.skip(str(error))
        raise
    return made["InstanceId"], result(ec2, made["InstanceId"])


def result(ec2, instance, after=0):
    text = ""
    for _ in range(200):
        text = ec2.get_console_output(InstanceId=instance).get("Output", "")
        if text.count("END") > after and "RESULT" in text:
            return json.loads(text.rsplit("RESULT", 1)[1].split("END", 1)[0])
        time.sleep(0.2)
    raise AssertionError(text)


def test_the_tree_in_both_versions(mine):
    script = '''
out["v1"] = ask("/latest/meta-data/instance-id")
status, token = ask("/latest/api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="60")
out["token"] = status
with_token = {"X_aws_ec2_metadata_token": token}
out["v2"] = ask("/latest/meta-data/instance-id", **with_token)
out["wrong token"] = ask("/latest/meta-data/instance-id", X_aws_ec2_metadata_token="AAAA")[0]
out["bad ttl"] = ask("/latest/api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="21601")[0]
out["forwarded"] = ask("/latest/api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="60",
                       X_Forwarded_For="10.0.0.1")[0]
out["missing"] = ask("/latest/meta-data/tea")
out["no role"] = ask("/latest/meta-data/iam/security-credentials/")[0]
for leaf in ["local-ipv4", "mac", "placement/region", "tags/instance/Name", "placement/"]:
    out[leaf] = ask("/latest/meta-data/" + leaf)[1]
out["trunk"] = ask("/latest")[1].split()
out["document"] = json.loads(ask("/latest/dynamic/instance-identity/document")[1])
out["user-data"] = ask("/latest/user-data")[1][:18]
name = ask("/latest/meta-data/local-hostname")[1]
out["names"] = [socket.gethostbyname(name), socket.gethostbyaddr(out["local-ipv4"])[0] == name,
                socket.gethostbyname("sqs.us-east-1.amazonaws.com")]
public = ask("/latest/meta-data/public-hostname")
out["public name"] = public[0] == 200 and socket.gethostbyname(public[1])
'''
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": "web"}]}]
    instance, out = run(mine, script, MetadataOptions={"InstanceMetadataTags": "enabled"}, TagSpecifications=tags)
    shown = mine.client("ec2").describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    assert out["v1"] == [200, instance] and out["v2"] == [200, instance]
    assert (out["token"], out["wrong token"], out["bad ttl"], out["forwarded"]) == (200, 401, 400, 403)
    assert out["missing"][0] == 404 and "404 - Not Found" in out["missing"][1]
    assert out["no role"] == 404
    address = shown["PrivateIpAddress"]
    assert out["local-ipv4"] == address and out["mac"] == shown["NetworkInterfaces"][0]["MacAddress"]
    assert out["placement/region"] == "us-east-1" and out["tags/instance/Name"] == "web"
    assert "availability-zone" in out["placement/"].split()
    assert out["trunk"] == ["dynamic", "meta-data", "user-data"]
    assert out["document"]["instanceId"] == instance and out["user-data"] == "#!/usr/bin/python3"
    assert out["names"] == [address, True, "169.254.169.249"]
    # A public name of this VPC leads to the private address.
    assert out["public name"] == address


def test_a_role_reads_what_it_may(mine, name):
    role, bucket = name("role"), name("bucket")
    iam, s3, ec2 = mine.client("iam"), mine.client("s3"), mine.client("ec2")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="open/a", Body=b"tea")
    s3.put_object(Bucket=bucket, Key="closed/a", Body=b"coffee")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=policy(trust))
    may = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/open/*"}
    iam.put_role_policy(RoleName=role, PolicyName="read", PolicyDocument=policy(may))
    iam.create_instance_profile(InstanceProfileName=role)
    iam.add_role_to_instance_profile(InstanceProfileName=role, RoleName=role)
    script = f'''
out["v1"] = ask("/latest/meta-data/instance-id")[0]
token = {{"X_aws_ec2_metadata_token": ask("/latest/api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="60")[1]}}
roles = "/latest/meta-data/iam/security-credentials/"
out["role"] = ask(roles, **token)[1]
keys = json.loads(ask(roles + out["role"], **token)[1])
out["code"], out["id"], out["expires"] = keys["Code"], keys["AccessKeyId"][:4], keys["Expiration"]
out["open"] = signed("{bucket}.s3.us-east-1.amazonaws.com", "/open/a", keys, "s3")
out["closed"] = signed("{bucket}.s3.us-east-1.amazonaws.com", "/closed/a", keys, "s3")[0]
out["without token"] = signed("{bucket}.s3.us-east-1.amazonaws.com", "/open/a", {{**keys, "Token": "x"}}, "s3")[0]
'''
    instance, out = run(
        mine, script, IamInstanceProfile={"Name": role}, MetadataOptions={"HttpTokens": "required"}
    )
    assert out["v1"] == 401 and out["role"] == role
    assert (out["code"], out["id"]) == ("Success", "ASIA")
    assert out["open"] == [200, "tea"] and out["closed"] == 403 and out["without token"] >= 400
    ec2.terminate_instances(InstanceIds=[instance])


def sdk():
    """boto3 as it is on PyPI, as far as S3 and STS need it, in a zip archive."""
    packages = pathlib.Path(boto3.__file__).parent.parent
    wanted = ["boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3"]
    files = [packages / "six.py", *(file for name in wanted for file in (packages / name).rglob("*"))]
    told = {"s3", "sts"}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        for file in files:
            path = file.relative_to(packages)
            models = path.parts[:2] == ("botocore", "data") and len(path.parts) > 3
            if file.is_file() and file.suffix != ".pyc" and (not models or path.parts[2] in told):
                out.write(file, path)
    return archive.getvalue()


def test_an_unmodified_sdk_needs_no_endpoint_and_no_keys(mine, name):
    role, bucket = name("role"), name("bucket")
    iam, s3 = mine.client("iam"), mine.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="sdk.zip", Body=sdk())
    s3.put_object(Bucket=bucket, Key="open/a", Body=b"tea")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=policy(trust))
    may = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/open/*"}
    iam.put_role_policy(RoleName=role, PolicyName="read", PolicyDocument=policy(may))
    iam.create_instance_profile(InstanceProfileName=role)
    iam.add_role_to_instance_profile(InstanceProfileName=role, RoleName=role)
    presigner = mine.client("s3", endpoint="https://s3.us-east-1.amazonaws.com")
    url = presigner.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "sdk.zip"})
    script = f'''
import io, sys, zipfile
with urllib.request.urlopen("{url}") as reply:
    zipfile.ZipFile(io.BytesIO(reply.read())).extractall("/opt/sdk")
sys.path.insert(0, "/opt/sdk")
import boto3
from botocore.exceptions import ClientError
out["from"] = boto3.__file__
out["arn"] = boto3.client("sts", region_name="us-east-1").get_caller_identity()["Arn"]
s3 = boto3.client("s3", region_name="us-east-1")
out["open"] = s3.get_object(Bucket="{bucket}", Key="open/a")["Body"].read().decode()
for call in (lambda: s3.get_object(Bucket="{bucket}", Key="closed/a"), lambda: s3.put_object(Bucket="{bucket}", Key="open/a", Body=b"x")):
    try:
        call()
    except ClientError as error:
        out.setdefault("refused", []).append(error.response["Error"]["Code"])
'''
    instance, out = run(mine, script, IamInstanceProfile={"Name": role}, MetadataOptions={"HttpTokens": "required"})
    assert out["from"].startswith("/opt/sdk/")
    assert out["arn"].endswith(f":assumed-role/{role}/{instance}")
    assert out["open"] == "tea" and out["refused"] == ["AccessDenied", "AccessDenied"]
    mine.client("ec2").terminate_instances(InstanceIds=[instance])


def inside(cloud, instance, script):
    """Runs a script in a running instance; what it put into `out`."""
    text = PRELUDE + script + POSTLUDE
    done = subprocess.run(
        [BIN, "shell", instance, "--data-dir", cloud.directory],
        input=f"/usr/bin/python3 - <<'EOF'\n{text}EOF\n", capture_output=True, text=True, env=CLEAN, timeout=60,
    )
    assert "RESULT" in done.stdout, done
    return json.loads(done.stdout.rsplit("RESULT", 1)[1].split("END", 1)[0])


def test_options_take_effect_at_once(mine):
    ec2 = mine.client("ec2")
    look = '''
out["v1"] = ask("/latest/meta-data/instance-id")[0]
status, token = ask("/latest/api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="2")
out["token"] = status
out["v2"] = ask("/latest/meta-data/instance-id", X_aws_ec2_metadata_token=token)[0]
out["tags"] = ask("/latest/meta-data/tags/instance/", X_aws_ec2_metadata_token=token)[0]
import time; time.sleep(2.1)
out["old"] = ask("/latest/meta-data/instance-id", X_aws_ec2_metadata_token=token)[0]
'''
    instance, out = run(mine, look, TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b"}]}])
    assert out == {"v1": 200, "token": 200, "v2": 200, "tags": 404, "old": 401}

    def change(**options):
        shown = ec2.modify_instance_metadata_options(InstanceId=instance, **options)["InstanceMetadataOptions"]
        assert options.items() <= shown.items()

    change(HttpTokens="required", InstanceMetadataTags="enabled")
    assert inside(mine, instance, look) == {"v1": 401, "token": 200, "v2": 200, "tags": 200, "old": 401}
    change(HttpEndpoint="disabled")
    closed = '''
out["v1"] = ask("/latest/meta-data/instance-id")[0]
out["token"] = ask("/latest/api/token", "PUT", X_aws_ec2_metadata_token_ttl_seconds="2")[0]
'''
    assert inside(mine, instance, closed) == {"v1": 403, "token": 403}
    ec2.terminate_instances(InstanceIds=[instance])


def test_names_only_where_the_vpc_has_them(mine):
    ec2 = mine.client("ec2")
    ask_for = "socket.setdefaulttimeout(3)\n" + '''
def known(name):
    try:
        return socket.gethostbyname(name)
    except OSError:
        return None
out["api"] = known("s3.us-east-1.amazonaws.com")
out["public"] = ask("/latest/meta-data/public-hostname")[0]
'''
    instance, out = run(mine, ask_for)
    assert out == {"api": "169.254.169.247", "public": 200}
    vpc = ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["VpcId"]
    try:
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False})
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": False})
        eventually(lambda: inside(mine, instance, ask_for) == {"api": None, "public": 404})
    finally:
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsSupport={"Value": True})
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    eventually(lambda: inside(mine, instance, ask_for) == {"api": "169.254.169.247", "public": 200})
    ec2.terminate_instances(InstanceIds=[instance])


LOOK = '''
out["v1"] = ask("/latest/meta-data/instance-id")[0]
out["name"] = socket.gethostbyname("s3.us-east-1.amazonaws.com")
'''
FOUND = {"v1": 200, "name": "169.254.169.247"}


def keepers(cloud):
    """The keeper of a cloud's machine room, and the process that holds the room open."""
    room = str(cloud.directory / "room").encode()
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"keeper" in line and room in line:
            yield int(process.name)


def test_the_room_may_be_killed():
    with private_cloud() as cloud:
        ec2 = cloud.client("ec2")
        instance, out = run(cloud, LOOK)
        assert out == FOUND
        keeper, holder = sorted(keepers(cloud))
        # Its clients' sockets are theirs: what the keeper opened stays open.
        os.kill(keeper, signal.SIGKILL)
        assert inside(cloud, instance, LOOK) == FOUND
        other, out = run(cloud, LOOK)
        assert out == FOUND
        ec2.terminate_instances(InstanceIds=[other])
        ec2.get_waiter("instance_terminated").wait(InstanceIds=[other], WaiterConfig={"Delay": 1})
        # With everything in the room its networks end too, and sockets in them are deaf.
        for pid in [*keepers(cloud), cloud.page(f"resources/{instance}")["supervisor_pid"]]:
            os.kill(pid, signal.SIGKILL)

        def state():
            return ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["State"]["Name"]

        def answers():
            if state() == "stopped":
                ec2.start_instances(InstanceIds=[instance])
            try:
                return inside(cloud, instance, LOOK) == FOUND
            except AssertionError:
                return False

        eventually(answers)


def test_without_the_internet_other_names_are_unknown():
    ask_for = LOOK + '''
try:
    socket.gethostbyname("example.com")
except OSError:
    out["beyond"] = "unknown"
'''
    with private_cloud("--no-internet") as cloud:
        _, out = run(cloud, ask_for)
        assert out == {**FOUND, "beyond": "unknown"}


def policy(statement):
    return json.dumps({"Version": "2012-10-17", "Statement": statement})


def test_a_killed_cloud_answers_again(mine):
    script = '''
import time
out["first"] = ask("/latest/meta-data/instance-id")[0]
print("RESULT" + json.dumps(out) + "END", flush=True)
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    try:
        ask("/latest/meta-data/instance-id")
        time.sleep(0.2)
    except OSError:
        out["silent"] = True
        break
while time.monotonic() < deadline:
    try:
        out["again"] = ask("/latest/meta-data/instance-id")[0]
        out["name"] = socket.gethostbyname("s3.us-east-1.amazonaws.com")
        break
    except OSError:
        time.sleep(0.2)
'''
    instance, out = run(mine, script)
    assert out == {"first": 200}
    mine.kill()
    # Its sockets went with it; the instance is to notice before they are back.
    time.sleep(1)
    mine.start()
    out = result(mine.client("ec2"), instance, after=1)
    assert out == {"first": 200, "silent": True, "again": 200, "name": "169.254.169.247"}
