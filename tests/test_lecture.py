"""The lecture's first picture: a web server on an instance in a public subnet behind an internet gateway,
its files on a volume, an instance store beside it, a security group around it. Built, shown from the
host, broken, and taken away again; by root, and by a user without any rights."""

import contextlib
import ipaddress
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

import pytest

from conftest import BIN, CLEAN, Cloud, private_cloud, refused
from test_ebs import becomes, completed, create, inside
from test_ec2 import console, launch, show, until

# Serves what it knows about itself and what is on its disks.
SERVER = r"""#!/bin/sh
mkdir -p /srv/www /data && cd /srv/www
cat > server.py <<'END'
import http.server, pathlib, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(("page of " + pathlib.Path("/etc/hostname").read_text()).encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Page).serve_forever()
END
for port in 80 81; do setsid python3 server.py $port </dev/null >/dev/null 2>&1 & done
"""


class Network:
    """VPC 10.1.0.0/16 with the public subnet 10.1.11.0/24; port 80 is open to everybody."""

    def __init__(self, ec2):
        self.ec2 = ec2
        self.vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
        self.subnet = ec2.create_subnet(VpcId=self.vpc, CidrBlock="10.1.11.0/24")["Subnet"]["SubnetId"]
        ec2.modify_subnet_attribute(SubnetId=self.subnet, MapPublicIpOnLaunch={"Value": True})
        self.gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=self.gateway, VpcId=self.vpc)
        self.table = ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        ec2.create_route(RouteTableId=self.table, DestinationCidrBlock="0.0.0.0/0", GatewayId=self.gateway)
        self.association = ec2.associate_route_table(RouteTableId=self.table, SubnetId=self.subnet)["AssociationId"]
        self.group = ec2.create_security_group(GroupName="web", Description="web", VpcId=self.vpc)["GroupId"]
        everybody = [{"CidrIp": "0.0.0.0/0"}]
        ec2.authorize_security_group_ingress(
            GroupId=self.group,
            IpPermissions=[{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": everybody}],
        )

    def launch(self, **parameters):
        launched = launch(self.ec2, SubnetId=self.subnet, SecurityGroupIds=[self.group], **parameters)
        instance = launched["Instances"][0]["InstanceId"]
        until(self.ec2, "running", instance)
        return instance

    def remove(self):
        ec2 = self.ec2
        with refused("DependencyViolation"):
            ec2.delete_vpc(VpcId=self.vpc)
        ec2.delete_security_group(GroupId=self.group)
        ec2.disassociate_route_table(AssociationId=self.association)
        ec2.delete_route_table(RouteTableId=self.table)
        ec2.detach_internet_gateway(InternetGatewayId=self.gateway, VpcId=self.vpc)
        ec2.delete_internet_gateway(InternetGatewayId=self.gateway)
        ec2.delete_subnet(SubnetId=self.subnet)
        ec2.delete_vpc(VpcId=self.vpc)


def page(host, port=80):
    """What a web server says, once it is there."""
    for _ in range(100):
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"http://{host}:{port}/", timeout=2) as reply:
                return reply.read().decode().strip()
        time.sleep(0.1)
    raise AssertionError(f"nobody answers at {host}:{port}")


def is_silent(host, port):
    """Neither refused nor answered: dropped."""
    with socket.socket() as probe:
        probe.settimeout(1)
        try:
            probe.connect((host, port))
            probe.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return probe.recv(1) == b""
        except TimeoutError:
            return True
        except OSError:
            return False


def role_that_reads(cloud, name, bucket):
    iam = cloud.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    may = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/open/*"}
    document = lambda statement: json.dumps({"Version": "2012-10-17", "Statement": statement})  # noqa: E731
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=document(trust))
    iam.put_role_policy(RoleName=name, PolicyName="read", PolicyDocument=document(may))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)


def traces(cloud):
    """What is on the host of this cloud: processes, mounts, links, loop devices."""
    mine = str(cloud.directory)
    processes = [
        path for path in pathlib.Path("/proc").glob("[0-9]*/cmdline")
        if mine in _read(path) and "keeper" in _read(path) or mine in _read(path) and "supervise" in _read(path)
    ]
    mounts = [line for line in _read(pathlib.Path("/proc/self/mounts")).splitlines() if mine in line]
    loops = [path for path in pathlib.Path("/sys/block").glob("loop*/loop/backing_file") if mine in _read(path)]
    return processes + mounts + loops


def _read(path):
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""




@pytest.mark.skipif(os.geteuid() != 0, reason="volumes need root")
def test_the_picture():
    with private_cloud() as cloud:
        ec2, s3 = cloud.client("ec2"), cloud.client("s3")
        ec2.delete_volume(VolumeId=create(ec2))
        s3.create_bucket(Bucket="pictures")
        s3.put_object(Bucket="pictures", Key="open/a", Body=b"tea")
        s3.put_object(Bucket="pictures", Key="closed/a", Body=b"coffee")
        role_that_reads(cloud, "web", "pictures")
        network = Network(ec2)
        instance = network.launch(
            InstanceType="c5d.large", UserData=SERVER, IamInstanceProfile={"Name": "web"},
            BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1}}],
        )
        shown = show(ec2, instance)
        assert ipaddress.ip_address(shown["PrivateIpAddress"]) in ipaddress.ip_network("10.1.11.0/24")
        public = shown["PublicIpAddress"]
        assert page(public) == "page of " + shown["PrivateDnsName"]
        assert is_silent(public, 81)

        # Files: on the volume they stay, in the instance store they do not.
        inside(cloud, instance, "mkfs.ext4 -q /dev/sdf; mount /dev/sdf /data; echo files > /data/file; sync")
        inside(cloud, instance, "printf volatile | dd of=/dev/sdb conv=fsync 2>/dev/null")
        ec2.stop_instances(InstanceIds=[instance])
        until(ec2, "stopped", instance)
        ec2.start_instances(InstanceIds=[instance])
        until(ec2, "running", instance)
        again = show(ec2, instance)
        assert again["PublicIpAddress"] != public
        assert again["PrivateIpAddress"] == shown["PrivateIpAddress"]
        assert inside(cloud, instance, "mount /dev/sdf /data; cat /data/file; sync") == "files"
        assert inside(cloud, instance, "head -c 8 /dev/sdb | tr -d '\\0'") == ""

        # The volume, as it was, in a second instance.
        volume = again["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
        snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
        inside(cloud, instance, "echo later > /data/file; sync")
        completed(ec2, snapshot)
        second = network.launch(
            BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": {"SnapshotId": snapshot, "DeleteOnTermination": True}}]
        )
        assert inside(cloud, second, "mkdir -p /data; mount /dev/sdf /data; cat /data/file") == "files"

        # With the role of its instance, a program inside reads S3 under AWS's own name.
        command = f"""
base=http://169.254.169.254/latest
token=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $base/api/token)
ask() {{ curl -s -H "X-aws-ec2-metadata-token: $token" "$base/meta-data/iam/security-credentials/$1"; }}
keys=$(ask $(ask))
field() {{ echo "$keys" | sed -n "s/.*\\"$1\\" *: *\\"\\([^\\"]*\\)\\".*/\\1/p"; }}
for key in open/a closed/a; do
    curl -s -w ' %{{http_code}}\\n' -o /tmp/out --aws-sigv4 aws:amz:us-east-1:s3 \\
        --user "$(field AccessKeyId):$(field SecretAccessKey)" -H "x-amz-security-token: $(field Token)" \\
        -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' https://pictures.s3.us-east-1.amazonaws.com/$key
    case $key in open/a) cat /tmp/out; esac
done
"""
        if inside(cloud, instance, "command -v curl || true"):
            assert inside(cloud, instance, command).split() == ["200", "tea", "403"]

        ec2.terminate_instances(InstanceIds=[instance, second])
        until(ec2, "terminated", instance, second)
        becomes(ec2, volume, "available")
        ec2.delete_volume(VolumeId=volume)
        ec2.delete_snapshot(SnapshotId=snapshot)
        network.remove()
        cloud.stop()
        assert traces(cloud) == []


NOBODY = 65534
only_root_can_drop_rights = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can be somebody else"
)


class Humble(Cloud):
    """A cloud of a user who may do nothing on this host."""

    def start(self):
        binary = self.directory.parent / "gureum"
        if not binary.exists():
            shutil.copy(shutil.which(BIN) or BIN, binary)
            binary.chmod(0o755)
        for path in (self.directory.parent, self.directory.with_suffix(".log")):
            path.touch() if path.suffix else None
            os.chown(path, NOBODY, NOBODY)
        return super().start()

    def command(self):
        # As on most hosts, everybody may have a tap.
        tap = 'mount -t tmpfs none /dev/net && mknod -m 666 /dev/net/tun c 10 200; exec "$@"'
        drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all"]
        return ["unshare", "--mount", "sh", "-c", tap, "sh", *drop, self.directory.parent / "gureum"]


@contextlib.contextmanager
def humble_cloud(*flags):
    with tempfile.TemporaryDirectory() as directory:
        cloud = Humble(pathlib.Path(directory) / "data", *flags).start()
        try:
            yield cloud
        finally:
            cloud.stop()
        assert traces(cloud) == []


def ways(cloud):
    """The ports of instances, and those of the host that lead there."""
    status = [*cloud.command(), "status", "--data-dir", cloud.directory]
    told = subprocess.run(status, capture_output=True, text=True, check=True, env=CLEAN).stdout
    found = re.findall(r"port (\d+) is at 127.0.0.1:(\d+)", told)
    return [(int(port), int(way)) for port, way in found]


@only_root_can_drop_rights
def test_the_picture_without_rights():
    with humble_cloud() as cloud:
        ec2 = cloud.client("ec2")
        network = Network(ec2)
        instance = network.launch(UserData=SERVER)
        console(ec2, instance, "finished")
        ((port, way),) = ways(cloud)
        assert port == 80, "the one port that is open to everybody"
        assert page("127.0.0.1", way) == "page of " + show(ec2, instance)["PrivateDnsName"]

        # Closed again, it leads nowhere.
        everybody = {"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        ec2.revoke_security_group_ingress(GroupId=network.group, IpPermissions=[everybody])
        for _ in range(100):
            if not ways(cloud):
                break
            time.sleep(0.1)
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", way), timeout=2)

        cloud.kill()
        cloud.start()
        ec2.authorize_security_group_ingress(GroupId=network.group, IpPermissions=[everybody])
        for _ in range(100):
            if found := ways(cloud):
                break
            time.sleep(0.1)
        assert page("127.0.0.1", found[0][1]).startswith("page of ")

        ec2.terminate_instances(InstanceIds=[instance])
        until(ec2, "terminated", instance)
        network.remove()
