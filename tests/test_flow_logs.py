"""Flow logs: what is accepted at an instance's interface and what is refused arrives in a bucket."""

import gzip
import json
import os
import socket

import pytest
from conftest import eventually, private_cloud, refusal, refused

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="running instances here needs root")
WEB = "#!/bin/sh\nexec python3 -m http.server 80 &\n"
FORMAT = "${interface-id} ${srcaddr} ${dstport} ${action} ${flow-direction} ${packets} ${bytes} ${start} ${end} ${log-status}"


@pytest.fixture
def ec2(cloud):
    return cloud.client("ec2")


@pytest.fixture
def bucket(cloud, name):
    made = name("flows")
    cloud.client("s3").create_bucket(Bucket=made)
    return made


@pytest.fixture
def vpc(ec2):
    made = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    yield made
    ec2.delete_vpc(VpcId=made)


def wanted(bucket, *ids, kind="VPC", folder="", **more):
    return {
        "ResourceIds": list(ids), "ResourceType": kind, "TrafficType": "ALL", "LogDestinationType": "s3",
        "LogDestination": f"arn:aws:s3:::{bucket}{folder}", **more,
    }


def make(ec2, *arguments, **more):
    made = ec2.create_flow_logs(**wanted(*arguments, **more))
    assert made["Unsuccessful"] == []
    return made["FlowLogIds"]


def test_flow_logs_are_kept_and_shown(ec2, bucket, vpc, name):
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.1.0/24")["Subnet"]["SubnetId"]
    tags = [{"Key": "of", "Value": bucket}]
    (ident,) = make(
        ec2, bucket, vpc, folder="/mine", MaxAggregationInterval=60,
        TagSpecifications=[{"ResourceType": "vpc-flow-log", "Tags": tags}],
    )
    (other,) = make(ec2, bucket, subnet, kind="Subnet", TrafficType="REJECT", LogFormat=FORMAT)
    (shown,) = ec2.describe_flow_logs(FlowLogIds=[ident])["FlowLogs"]
    expected = {
        "FlowLogId": ident, "FlowLogStatus": "ACTIVE", "ResourceId": vpc, "TrafficType": "ALL",
        "DeliverLogsStatus": "SUCCESS", "LogDestinationType": "s3", "MaxAggregationInterval": 60,
        "LogDestination": f"arn:aws:s3:::{bucket}/mine/", "Tags": tags,
    }
    assert {key: shown[key] for key in expected} == expected
    assert shown["LogFormat"].startswith("${version} ${account-id} ${interface-id} ${srcaddr}")

    def found(key, value):
        found = ec2.describe_flow_logs(Filters=[{"Name": key, "Values": [value]}])["FlowLogs"]
        return {log["FlowLogId"] for log in found}

    assert found("resource-id", subnet) == {other}
    assert found("tag:of", bucket) == {ident}
    assert other in found("traffic-type", "REJECT") and ident not in found("traffic-type", "REJECT")
    with refused("FlowLogAlreadyExists"):
        ec2.create_flow_logs(**wanted(bucket, vpc, folder="/mine/"))
    token = name()
    again = wanted(bucket, subnet, kind="Subnet", ClientToken=token)
    assert ec2.create_flow_logs(**again)["FlowLogIds"] == ec2.create_flow_logs(**again)["FlowLogIds"]
    mine = found("resource-id", subnet) | {ident}
    assert len(mine) == 3
    assert ec2.delete_flow_logs(FlowLogIds=list(mine))["Unsuccessful"] == []
    assert ident in refusal("InvalidFlowLogId.NotFound", ec2.delete_flow_logs, FlowLogIds=[ident])
    ec2.delete_subnet(SubnetId=subnet)


def test_what_cannot_be_a_flow_log_is_refused(ec2, bucket, vpc):
    def wrong(code, status=400, **more):
        return refusal(code, ec2.create_flow_logs, status=status, **{**wanted(bucket, vpc), **more})

    wrong("NotImplemented", status=501, LogDestinationType="cloud-watch-logs")
    wrong("NotImplemented", status=501, LogFormat="${tcp-flags}")
    wrong("NotImplemented", status=501, DestinationOptions={"FileFormat": "parquet"})
    assert "tcp" in wrong("InvalidParameter", LogFormat="${version} ${tcp}")
    wrong("InvalidParameter", MaxAggregationInterval=61)
    wrong("InvalidParameter", LogDestination="arn:aws:sqs:us-east-1:1:q")
    wrong("InvalidParameter", LogDestination=f"arn:aws:s3:::{bucket}/AWSLogs/")
    wrong("InvalidParameter", DeliverLogsPermissionArn="arn:aws:iam::000000000000:role/r")
    wrong("DryRunOperation", status=412, DryRun=True)
    assert wrong("InvalidParameterValue", TrafficType="SOME") == "Value (SOME) for parameter trafficType is invalid."

    def failed(**more):
        made = ec2.create_flow_logs(**{**wanted(bucket, vpc), **more})
        assert made["FlowLogIds"] == []
        (one,) = made["Unsuccessful"]
        return one["Error"]

    absent = failed(ResourceIds=["vpc-0123456789abcdef0"])
    assert absent["Code"] == "InvalidVpcID.NotFound"
    assert failed(LogDestination=f"arn:aws:s3:::{bucket}-not") == {
        "Code": "400", "Message": f"LogDestination: {bucket}-not does not exist",
    }
    assert ec2.describe_flow_logs(Filters=[{"Name": "resource-id", "Values": [vpc]}])["FlowLogs"] == []


def test_a_bucket_is_told_to_let_logs_in(cloud, ec2, bucket, vpc):
    s3 = cloud.client("s3")
    own = {
        "Sid": "mine", "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "s3:ListBucket",
        "Resource": f"arn:aws:s3:::{bucket}", "Condition": {"StringEquals": {"aws:PrincipalAccount": "000000000000"}},
    }
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps({"Version": "2012-10-17", "Statement": [own]}))
    ids = make(ec2, bucket, vpc)
    policy = json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])
    first, *others = policy["Statement"]
    assert first == own
    assert {it["Principal"]["Service"] for it in others} == {"delivery.logs.amazonaws.com"}
    # A second one needs nothing more; and whoever may not change the policy is refused.
    ids += make(ec2, bucket, vpc, TrafficType="REJECT")
    assert json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"]) == policy
    ec2.delete_flow_logs(FlowLogIds=ids)


def knock(address, port):
    with socket.socket() as knocking:
        knocking.settimeout(1)
        try:
            knocking.connect((address, port))
            knocking.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return knocking.recv(12)
        except OSError:
            return b""


@ROOT
def test_flows_are_told_across_a_kill():
    with private_cloud() as cloud:
        ec2, s3 = cloud.client("ec2"), cloud.client("s3")
        s3.create_bucket(Bucket="flows")
        (group,) = ec2.describe_security_groups()["SecurityGroups"]
        ec2.authorize_security_group_ingress(
            GroupId=group["GroupId"], IpProtocol="tcp", FromPort=80, ToPort=80, CidrIp="0.0.0.0/0"
        )
        (vpc,) = ec2.describe_vpcs()["Vpcs"]
        (every,) = make(ec2, "flows", vpc["VpcId"], folder="/all", MaxAggregationInterval=60)
        (image,) = ec2.describe_images(Owners=["amazon"])["Images"]
        launched = ec2.run_instances(
            ImageId=image["ImageId"], InstanceType="t3.nano", MinCount=1, MaxCount=1, UserData=WEB
        )
        (instance,) = launched["Instances"]
        ec2.get_waiter("instance_running").wait(
            InstanceIds=[instance["InstanceId"]], WaiterConfig={"Delay": 1}
        )
        (told,) = ec2.describe_instances(InstanceIds=[instance["InstanceId"]])["Reservations"][0]["Instances"]
        (interface,) = told["NetworkInterfaces"]
        ident, public = interface["NetworkInterfaceId"], told["PublicIpAddress"]
        (few,) = make(ec2, "flows", ident, kind="NetworkInterface", TrafficType="REJECT", LogFormat=FORMAT)

        def lines(log, folder=""):
            """The records of a flow log, each as a dictionary."""
            found = []
            for item in s3.list_objects_v2(Bucket="flows", Prefix=f"{folder}AWSLogs/").get("Contents", []):
                if f"_{log}_" in item["Key"]:
                    assert item["Key"].endswith(".log.gz")
                    body = s3.get_object(Bucket="flows", Key=item["Key"])["Body"].read()
                    header, *rows = gzip.decompress(body).decode().splitlines()
                    found += [dict(zip(header.split(), row.split(), strict=True)) for row in rows]
            return found

        eventually(lambda: knock(public, 80) == b"HTTP/1.0 200")
        assert knock(public, 81) == b""
        # The kernel counts on while the cloud is down.
        cloud.kill()
        assert knock(public, 82) == b""
        cloud.start()

        def accepted():
            mine = [it for it in lines(every, "all/") if it["interface-id"] == ident]
            return [it for it in mine if it["action"] == "ACCEPT" and it["dstport"] == "80"]

        eventually(accepted, 150)
        for record in accepted():
            assert (record["version"], record["log-status"], record["protocol"]) == ("2", "OK", "6")
            assert record["dstaddr"] == interface["PrivateIpAddress"]
            assert int(record["bytes"]) > 40 * int(record["packets"]) > 0
            assert 0 <= int(record["end"]) - int(record["start"]) <= 90
        refusals = eventually(lambda: [it for it in lines(few) if it["log-status"] == "OK"], 150)
        assert {it["action"] for it in refusals} == {"REJECT"}
        assert {it["flow-direction"] for it in refusals} == {"ingress"}
        assert "82" in {it["dstport"] for it in refusals} <= {"81", "82"}

        # A bucket that lets nothing in any more is told of.
        s3.delete_bucket_policy(Bucket="flows")

        def status():
            (shown,) = ec2.describe_flow_logs(FlowLogIds=[every])["FlowLogs"]
            return (shown["DeliverLogsStatus"], shown.get("DeliverLogsErrorMessage"))

        assert status() == ("SUCCESS", None)
        eventually(lambda: status() == ("FAILED", "Access error"), 150)
        ec2.delete_flow_logs(FlowLogIds=[every, few])
        cloud.gureum("down")
