"""From where the APIs are reached inside a VPC, by its routes, its groups and its gateway endpoints; and
what an endpoint's policy lets through."""

import contextlib
import json
import os
import subprocess
import urllib.error
import urllib.request

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from conftest import BIN, CLEAN, eventually, private_cloud

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="running instances here needs root")

LOOK = """
import socket
def reached(name):
    try:
        socket.create_connection((name, 443), timeout=1).close()
        return True
    except OSError:
        return False
names = ["s3.us-east-1.amazonaws.com", "a.b.s3.us-east-1.amazonaws.com", "dynamodb.us-east-1.amazonaws.com",
         "sqs.us-east-1.amazonaws.com", "s3.eu-west-1.amazonaws.com"]
print("".join("y" if reached(name) else "n" for name in names))
"""
ALL = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
OUT = {"DestinationCidrBlock": "0.0.0.0/0"}
S3 = "com.amazonaws.us-east-1.s3"


def launch(ec2, subnet):
    (image,) = ec2.describe_images(Owners=["amazon"])["Images"]
    nano = {"ImageId": image["ImageId"], "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1}
    (made,) = ec2.run_instances(SubnetId=subnet, **nano)["Instances"]
    ec2.get_waiter("instance_running").wait(InstanceIds=[made["InstanceId"]], WaiterConfig={"Delay": 1})
    return made["InstanceId"]


def begin(cloud, instance, script):
    """Starts a script of Python inside."""
    running = subprocess.Popen(
        [BIN, "shell", instance, "--data-dir", cloud.directory],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=CLEAN,
    )
    running.stdin.write(f"python3 -u - <<'END'\n{script}\nEND\n")
    running.stdin.flush()
    return running


def inside(cloud, instance, script):
    """What a script writes."""
    out, _ = begin(cloud, instance, script).communicate(timeout=60)
    return out.strip()


def two_subnets(ec2):
    """A VPC with a subnet that leads nowhere and one that leads to the internet: its id, the subnets, their tables."""
    vpc = ec2.create_vpc(CidrBlock="10.20.0.0/16")["Vpc"]["VpcId"]
    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.20.{n}.0/24")["Subnet"]["SubnetId"] for n in (1, 2)]
    ec2.modify_subnet_attribute(SubnetId=subnets[1], MapPublicIpOnLaunch={"Value": True})
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    tables = [ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] for _ in subnets]
    for subnet, table in zip(subnets, tables):
        ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    ec2.create_route(RouteTableId=tables[1], GatewayId=gateway, **OUT)
    return vpc, gateway, subnets, tables


def test_routes_groups_and_endpoints_lead_to_the_apis():
    with private_cloud() as cloud:
        ec2 = cloud.client("ec2")
        vpc, gateway, (private, public), (closed, open_) = two_subnets(ec2)

        def become(instance, wanted):
            """Of S3 (by two names), DynamoDB, SQS, and S3 of another region."""
            eventually(lambda: inside(cloud, instance, LOOK) == wanted, 30)

        one, other = launch(ec2, private), launch(ec2, public)
        become(other, "yyyyy")
        assert inside(cloud, one, LOOK) == "nnnnn"
        # A gateway endpoint is a way to its service in its region, and to nothing else.
        made = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=S3, RouteTableIds=[closed])
        become(one, "yynnn")
        # The internet needs a public address, or a NAT gateway that has one.
        ec2.create_route(RouteTableId=closed, GatewayId=gateway, **OUT)
        become(one, "yynnn")
        address = ec2.allocate_address()["AllocationId"]
        nat = ec2.create_nat_gateway(SubnetId=public, AllocationId=address)["NatGateway"]["NatGatewayId"]
        ec2.get_waiter("nat_gateway_available").wait(NatGatewayIds=[nat], WaiterConfig={"Delay": 1})
        ec2.replace_route(RouteTableId=closed, NatGatewayId=nat, **OUT)
        become(one, "yyyyy")
        # Groups judge what leaves, by the service's prefix list too.
        (group,) = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["SecurityGroups"]
        ec2.revoke_security_group_egress(GroupId=group["GroupId"], IpPermissions=ALL)
        become(one, "nnnnn")
        (listed,) = ec2.describe_prefix_lists(
            Filters=[{"Name": "prefix-list-name", "Values": ["com.amazonaws.us-east-1.s3"]}]
        )["PrefixLists"]
        entries = ec2.get_managed_prefix_list_entries(PrefixListId=listed["PrefixListId"])["Entries"]
        assert [entry["Cidr"] for entry in entries] == listed["Cidrs"] != []
        rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
        by_list = [{**rule, "PrefixListIds": [{"PrefixListId": listed["PrefixListId"]}]}]
        ec2.authorize_security_group_egress(GroupId=group["GroupId"], IpPermissions=by_list)
        become(one, "yynnn")
        assert inside(cloud, other, LOOK) == "yynnn"
        ec2.delete_route(RouteTableId=open_, **OUT)
        become(other, "nnnnn")
        ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpoint"]["VpcEndpointId"]])
        become(one, "nnnnn")
        cloud.gureum("down")


FETCH = """
import json, urllib.error, urllib.request
answers = []
for ask in ASKED:
    request = urllib.request.Request(ask["url"], ask["body"].encode() or None, ask["headers"], method=ask["method"])
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            answers.append([reply.status, reply.read().decode()])
    except urllib.error.HTTPError as error:
        answers.append([error.code, error.read().decode()])
print(json.dumps(answers))
"""


def signed(cloud, service, method, path, body="", **headers):
    """A request of root's, as data: to be sent from wherever."""
    url = f"http://{service}.us-east-1.amazonaws.com{path}"
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = AWSRequest(method, url, headers, body.encode())
    key = Credentials(cloud.environment["AWS_ACCESS_KEY_ID"], cloud.environment["AWS_SECRET_ACCESS_KEY"])
    sign = S3SigV4Auth if service == "s3" else SigV4Auth
    sign(key, service, "us-east-1").add_auth(request)
    return {"method": method, "url": url, "headers": dict(request.headers), "body": body}


def from_inside(cloud, instance, *asked):
    """Status and body of each answer."""
    return json.loads(inside(cloud, instance, f"ASKED = {asked!r}\n{FETCH}"))


def from_the_host(cloud, ask):
    """The same request, to the same name, at the front door's own address."""
    host, path = ask["url"].removeprefix("http://").split("/", 1)
    headers = {**ask["headers"], "Host": host}
    request = urllib.request.Request(f"{cloud.url}/{path}", None, headers, method=ask["method"])
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code


def policy(*statements):
    common = {"Effect": "Allow", "Principal": "*", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [{**common, **it} for it in statements]})


@contextlib.contextmanager
def cloud_with_instances():
    """A cloud with an instance that reaches nothing and one on the internet, in one VPC with a table for each."""
    with private_cloud() as cloud:
        ec2 = cloud.client("ec2")
        vpc, _, subnets, tables = two_subnets(ec2)
        yield cloud, vpc, tables, [launch(ec2, subnet) for subnet in subnets]
        cloud.gureum("down")


def make_buckets(cloud, *names):
    s3 = cloud.client("s3")
    for name in names:
        s3.create_bucket(Bucket=name)
        s3.put_object(Bucket=name, Key="k", Body=name.encode())
    return s3


def test_an_endpoints_policy_decides_what_comes_through():
    with cloud_with_instances() as (cloud, vpc, (table, _), (one, _)):
        ec2, s3 = cloud.client("ec2"), make_buckets(cloud, "mine", "theirs")
        only_mine = policy({"Action": "s3:*Object", "Resource": "arn:aws:s3:::mine/*"})
        make = {"VpcId": vpc, "RouteTableIds": [table]}
        made = ec2.create_vpc_endpoint(ServiceName=S3, PolicyDocument=only_mine, **make)
        endpoint = made["VpcEndpoint"]["VpcEndpointId"]
        gets = [signed(cloud, "s3", "GET", f"/{bucket}/k") for bucket in ("mine", "theirs")]
        eventually(lambda: inside(cloud, one, LOOK) == "yynnn", 30)
        (status, body), (refusal, why) = from_inside(cloud, one, *gets)
        assert (status, body) == (200, "mine")
        assert refusal == 403 and "<Code>AccessDenied</Code>" in why
        # Nobody else is concerned.
        assert [from_the_host(cloud, ask) for ask in gets] == [200, 200]
        # What S3 asks of others in the caller's name did not come through the endpoint.
        sealed = {"x_amz_server_side_encryption": "aws:kms", "content_type": "text/plain"}
        put = signed(cloud, "s3", "PUT", "/mine/sealed", "tea", **sealed)
        assert from_inside(cloud, one, put)[0][0] == 200
        assert s3.get_object(Bucket="mine", Key="sealed")["ServerSideEncryption"] == "aws:kms"
        # A change acts on the very next request.
        not_mine = policy({"Action": "*"}, {"Effect": "Deny", "Action": "s3:Get*", "Resource": "arn:aws:s3:::mine/*"})
        ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, PolicyDocument=not_mine)
        assert [status for status, _ in from_inside(cloud, one, *gets)] == [403, 200]
        # It may ask what the object is.
        tagged = {"StringEquals": {"s3:ExistingObjectTag/kind": "secret"}}
        secret = policy({"Action": "*"}, {"Effect": "Deny", "Action": "s3:GetObject", "Condition": tagged})
        s3.put_object_tagging(Bucket="mine", Key="k", Tagging={"TagSet": [{"Key": "kind", "Value": "secret"}]})
        ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, PolicyDocument=secret)
        assert [status for status, _ in from_inside(cloud, one, *gets)] == [403, 200]
        ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, ResetPolicy=True)
        assert [status for status, _ in from_inside(cloud, one, *gets)] == [200, 200]
        # Whatever a request says, at this address it is for S3 or for nobody.
        target = {"content_type": "application/x-amz-json-1.0"}
        listed = signed(cloud, "dynamodb", "POST", "/", "{}", x_amz_target="DynamoDB_20120810.ListTables", **target)
        lie = {**listed, "url": "http://s3.us-east-1.amazonaws.com/"}
        lie["headers"] = {**listed["headers"], "Host": "dynamodb.us-east-1.amazonaws.com"}
        ((refusal, why),) = from_inside(cloud, one, lie)
        assert refusal == 403 and "do not go through this VPC endpoint" in why
        # DynamoDB's endpoint has a policy of its own.
        listing = policy({"Action": "dynamodb:ListTables"})
        made = ec2.create_vpc_endpoint(ServiceName=S3.replace("s3", "dynamodb"), PolicyDocument=listing, **make)
        endpoint = made["VpcEndpoint"]["VpcEndpointId"]
        eventually(lambda: inside(cloud, one, LOOK) == "yyynn", 30)
        asked = [
            signed(cloud, "dynamodb", "POST", "/", body, x_amz_target=f"DynamoDB_20120810.{name}", **target)
            for name, body in [("ListTables", "{}"), ("DescribeTable", '{"TableName": "none"}')]
        ]
        (status, body), (refusal, why) = from_inside(cloud, one, *asked)
        assert (status, json.loads(body)) == (200, {"TableNames": []})
        assert refusal == 400 and "because no VPC endpoint policy allows the dynamodb:DescribeTable action" in why
        denying = policy({"Action": "*"}, {"Effect": "Deny", "Action": "dynamodb:List*"})
        ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, PolicyDocument=denying)
        (refusal, why), (_, absent) = from_inside(cloud, one, *asked)
        assert refusal == 400 and "with an explicit deny in a VPC endpoint policy" in why
        assert "ResourceNotFoundException" in absent


def test_policies_see_the_endpoint_that_a_request_came_through():
    with cloud_with_instances() as (cloud, vpc, (table, open_), (one, other)):
        ec2 = cloud.client("ec2")
        made = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=S3, RouteTableIds=[table])
        endpoint = made["VpcEndpoint"]["VpcEndpointId"]
        unless = {
            "vpce": {"StringNotEquals": {"aws:SourceVpce": endpoint}},
            "vpc": {"StringNotEquals": {"aws:SourceVpc": vpc}},
            "address": {"NotIpAddress": {"aws:VpcSourceIp": "10.20.1.0/24"}},
            # There is no public address to tell.
            "public": {"Null": {"aws:SourceIp": "false"}},
        }
        s3 = make_buckets(cloud, *(f"only-{name}" for name in unless))
        for name, condition in unless.items():
            resource = f"arn:aws:s3:::only-{name}/*"
            denied = {"Effect": "Deny", "Action": "s3:GetObject", "Resource": resource, "Condition": condition}
            s3.put_bucket_policy(Bucket=f"only-{name}", Policy=policy(denied))
        gets = [signed(cloud, "s3", "GET", f"/only-{name}/k") for name in unless]

        eventually(lambda: inside(cloud, one, LOOK) == "yynnn", 30)
        eventually(lambda: inside(cloud, other, LOOK) == "yyyyy", 30)
        assert [status for status, _ in from_inside(cloud, one, *gets)] == [200] * 4
        assert [from_the_host(cloud, ask) for ask in gets] == [403] * 4
        # The internet is another way, also from within the VPC.
        assert [status for status, _ in from_inside(cloud, other, *gets)] == [403] * 4
        # It is the route table that says which way.
        ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, AddRouteTableIds=[open_])
        eventually(lambda: [status for status, _ in from_inside(cloud, other, *gets)] == [200, 200, 403, 200], 30)


KEEP = """
import http.client, time
open = http.client.HTTPConnection("s3.us-east-1.amazonaws.com", timeout=3)
while True:
    try:
        open.request("GET", ASK["url"].removeprefix("http://s3.us-east-1.amazonaws.com"), headers=ASK["headers"])
        reply = open.getresponse()
        reply.read()
        print(reply.status)
    except OSError:
        print("cut")
        break
    time.sleep(0.1)
"""


def test_a_connection_ends_with_its_way():
    with cloud_with_instances() as (cloud, vpc, (table, _), (one, _)):
        ec2 = cloud.client("ec2")
        make_buckets(cloud, "mine")
        made = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=S3, RouteTableIds=[table])
        eventually(lambda: inside(cloud, one, LOOK) == "yynnn", 30)
        running = begin(cloud, one, f"ASK = {signed(cloud, 's3', 'GET', '/mine/k')!r}\n{KEEP}")
        assert running.stdout.readline() == "200\n"
        ec2.delete_vpc_endpoints(VpcEndpointIds=[made["VpcEndpoint"]["VpcEndpointId"]])
        out, _ = running.communicate(timeout=60)
        *answered, last = out.split()
        assert last == "cut"
        # Until then, nothing comes through an endpoint that is no more.
        assert answered == sorted(answered) and set(answered) <= {"200", "403"}
