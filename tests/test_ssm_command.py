"""Systems Manager's Run Command: scripts on instances, what becomes of them, and what is refused."""

import os
import time
import uuid

import pytest
from botocore.exceptions import ClientError

from conftest import private_cloud, refusal

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="running instances here needs root")

CORE = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
TRUST = '{"Statement": {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}}'


@pytest.fixture(scope="module")
def mine():
    """A cloud of our own: instances of parallel tests would share the host's memory with ours."""
    with private_cloud() as cloud:
        iam = cloud.client("iam")
        iam.create_role(RoleName="managed", AssumeRolePolicyDocument=TRUST)
        iam.attach_role_policy(RoleName="managed", PolicyArn=CORE)
        iam.create_role(RoleName="silent", AssumeRolePolicyDocument=TRUST)
        for name in ("managed", "silent"):
            iam.create_instance_profile(InstanceProfileName=name)
            iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
        yield cloud


def launch(cloud, count=1, profile="managed", **tags):
    ec2 = cloud.client("ec2")
    (image,) = ec2.describe_images(Owners=["amazon"])["Images"]
    parameters = {"ImageId": image["ImageId"], "InstanceType": "t3.nano", "MinCount": count, "MaxCount": count}
    if profile:
        parameters["IamInstanceProfile"] = {"Name": profile}
    if tags:
        pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
        parameters["TagSpecifications"] = [{"ResourceType": "instance", "Tags": pairs}]
    try:
        ids = [it["InstanceId"] for it in ec2.run_instances(**parameters)["Instances"]]
    except ClientError as error:
        if "this host" in str(error):
            pytest.skip(str(error))
        raise
    ec2.get_waiter("instance_running").wait(InstanceIds=ids, WaiterConfig={"Delay": 1})
    return ids


@pytest.fixture(scope="module")
def node(mine):
    return launch(mine)[0]


@pytest.fixture
def ssm(mine):
    return mine.client("ssm")


def send(ssm, *commands, **more):
    parameters = {"commands": list(commands), **more.pop("Parameters", {})}
    sent = ssm.send_command(DocumentName="AWS-RunShellScript", Parameters=parameters, **more)
    return sent["Command"]["CommandId"]


def ended(ssm, command, instance, seconds=60):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        seen = ssm.get_command_invocation(CommandId=command, InstanceId=instance)
        if seen["Status"] not in ("Pending", "InProgress", "Cancelling"):
            return seen
        time.sleep(0.1)
    raise AssertionError(seen)


def begun(ssm, command, instance):
    deadline = time.monotonic() + 30
    while ssm.get_command_invocation(CommandId=command, InstanceId=instance)["Status"] != "InProgress":
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_script_runs(ssm, node):
    sent = ssm.send_command(
        DocumentName="AWS-RunShellScript", InstanceIds=[node], Comment="tea",
        Parameters={"commands": ["echo $((6 * 7))", "id -u; hostname >&2", "echo $AWS_SSM_INSTANCE_ID"]},
    )["Command"]
    assert (sent["Status"], sent["TargetCount"], sent["InstanceIds"]) == ("Pending", 1, [node])
    seen = ended(ssm, sent["CommandId"], node)
    assert (seen["Status"], seen["StatusDetails"], seen["ResponseCode"]) == ("Success", "Success", 0)
    assert seen["StandardOutputContent"] == f"42\n0\n{node}\n"
    assert seen["StandardErrorContent"].startswith("ip-")
    assert seen["PluginName"] == "aws:runShellScript" and seen["Comment"] == "tea"
    assert seen["ExecutionElapsedTime"].startswith("PT") and seen["ExecutionStartDateTime"] <= seen["ExecutionEndDateTime"]
    (command,) = ssm.list_commands(CommandId=sent["CommandId"])["Commands"]
    assert (command["Status"], command["CompletedCount"], command["ErrorCount"]) == ("Success", 1, 0)
    (listed,) = ssm.list_command_invocations(CommandId=sent["CommandId"], Details=True)["CommandInvocations"]
    assert listed["InstanceId"] == node and listed["InstanceName"].startswith("ip-")
    (plugin,) = listed["CommandPlugins"]
    assert plugin["Output"].startswith("42\n0\n") and "----------ERROR-------" in plugin["Output"]


def test_a_waiter_of_the_sdk(ssm, node):
    command = send(ssm, "sleep 1", InstanceIds=[node])
    ssm.get_waiter("command_executed").wait(CommandId=command, InstanceId=node, WaiterConfig={"Delay": 1})


def test_failures_and_output(ssm, node):
    seen = ended(ssm, send(ssm, "echo so far", "nonsense-that-is-not-there", InstanceIds=[node]), node)
    assert (seen["Status"], seen["ResponseCode"]) == ("Failed", 127)
    assert seen["StandardOutputContent"] == "so far\n"
    assert seen["StandardErrorContent"].endswith("failed to run commands: exit status 127")
    command = send(ssm, "#!/usr/bin/python3", "print('한' * 30_000, end='')", InstanceIds=[node])
    assert ended(ssm, command, node)["StandardOutputContent"] == "한" * 24_000
    # Nothing that a script leaves behind keeps it from ending.
    command = send(ssm, "sleep 1000 & echo $!", InstanceIds=[node])
    pid = ended(ssm, command, node)["StandardOutputContent"].strip()
    where = {"workingDirectory": ["/var/tmp"]}
    seen = ended(ssm, send(ssm, f"kill {pid}; pwd", InstanceIds=[node], Parameters=where), node)
    assert (seen["Status"], seen["StandardOutputContent"]) == ("Success", "/var/tmp\n")
    where = {"workingDirectory": ["/nowhere"]}
    assert ended(ssm, send(ssm, "pwd", InstanceIds=[node], Parameters=where), node)["Status"] == "Failed"


def test_scripts_that_take_too_long(ssm, node):
    command = send(ssm, "echo here; sleep 60", InstanceIds=[node], Parameters={"executionTimeout": ["1"]})
    seen = ended(ssm, command, node)
    assert (seen["Status"], seen["StatusDetails"]) == ("TimedOut", "ExecutionTimedOut")
    assert seen["StandardOutputContent"] == "here\n"
    (whole,) = ssm.list_commands(CommandId=command)["Commands"]
    assert (whole["Status"], whole["ErrorCount"]) == ("TimedOut", 1)


def test_cancelling(ssm, node):
    command = send(ssm, "echo here; touch /root/here", "sleep 60", "echo there", InstanceIds=[node])
    ended(ssm, send(ssm, "until [ -e /root/here ]; do sleep 0.1; done", InstanceIds=[node]), node)
    refusal("InvalidInstanceId", ssm.cancel_command, CommandId=command, InstanceIds=["i-00000000000000000"])
    ssm.cancel_command(CommandId=command)
    seen = ended(ssm, command, node)
    assert (seen["Status"], seen["StandardOutputContent"]) == ("Cancelled", "here\n")
    (whole,) = ssm.list_commands(CommandId=command)["Commands"]
    assert whole["Status"] == "Cancelled"
    refusal("InvalidCommandId", ssm.cancel_command, CommandId=str(uuid.uuid4()))


def test_targets_by_tags(mine, ssm):
    first, second = launch(mine, 2, fleet="blue")
    launch(mine, profile="silent", fleet="blue")
    command = send(ssm, "hostname", Targets=[{"Key": "tag:fleet", "Values": ["blue", "green"]}], MaxConcurrency="1")
    for instance in (first, second):
        assert ended(ssm, command, instance)["Status"] == "Success"
    (whole,) = ssm.list_commands(CommandId=command)["Commands"]
    assert (whole["TargetCount"], whole["CompletedCount"], whole["Status"]) == (2, 2, "Success")
    # One at a time, and none after the first failure.
    command = send(ssm, "exit 1", Targets=[{"Key": "tag:fleet", "Values": ["blue"]}], MaxConcurrency="1")
    states = sorted(ended(ssm, command, instance)["StatusDetails"] for instance in (first, second))
    assert states == ["Failed", "Terminated"]
    none = ssm.send_command(
        DocumentName="AWS-RunShellScript", Parameters={"commands": ["true"]},
        Targets=[{"Key": "tag:fleet", "Values": ["red"]}],
    )["Command"]
    assert (none["Status"], none["StatusDetails"], none["TargetCount"]) == ("Success", "NoInstancesInTag", 0)
    listed = ssm.list_commands(InstanceId=first, Filters=[{"key": "Status", "value": "Failed"}])["Commands"]
    assert [it["CommandId"] for it in listed] == [command]
    pages = ssm.get_paginator("list_command_invocations").paginate(InstanceId=first, PaginationConfig={"PageSize": 1})
    assert len([it for page in pages for it in page["CommandInvocations"]]) == 2
    mine.client("ec2").terminate_instances(InstanceIds=[first, second])


def test_only_those_whose_role_may(mine, ssm, node):
    silent, bare = launch(mine, profile="silent")[0], launch(mine, profile=None)[0]
    known = [it["InstanceId"] for it in ssm.describe_instance_information()["InstanceInformationList"]]
    assert node in known and silent not in known and bare not in known
    for instance in (silent, bare, "i-00000000000000000"):
        refusal("InvalidInstanceId", send, ssm, "true", InstanceIds=[instance])
    filters = [{"Key": "InstanceIds", "Values": [node]}, {"Key": "PingStatus", "Values": ["Online"]}]
    (shown,) = ssm.describe_instance_information(Filters=filters)["InstanceInformationList"]
    assert (shown["PingStatus"], shown["ResourceType"], shown["PlatformType"]) == ("Online", "EC2Instance", "Linux")
    refusal("InvalidFilterKey", ssm.describe_instance_information, Filters=[{"Key": "Tea", "Values": ["x"]}])
    # It is managed from the moment its role may speak.
    mine.client("iam").attach_role_policy(RoleName="silent", PolicyArn=CORE)
    assert ended(ssm, send(ssm, "true", InstanceIds=[silent]), silent)["Status"] == "Success"
    mine.client("iam").detach_role_policy(RoleName="silent", PolicyArn=CORE)
    mine.client("ec2").terminate_instances(InstanceIds=[silent, bare])


def test_what_is_refusal(ssm, node):
    def code(**parameters):
        with pytest.raises(ClientError) as caught:
            ssm.send_command(**{"DocumentName": "AWS-RunShellScript", "InstanceIds": [node], **parameters})
        return caught.value.response["Error"]["Code"]

    script = {"commands": ["true"]}
    assert code() == "InvalidParameters"
    assert code(Parameters={**script, "tea": ["x"]}) == "InvalidParameters"
    assert code(Parameters={**script, "executionTimeout": ["never"]}) == "InvalidParameters"
    assert code(Parameters=script, DocumentName="AWS-RunPowerShellScript") == "InvalidDocument"
    assert code(Parameters=script, DocumentVersion="7") == "InvalidDocumentVersion"
    assert code(Parameters=script, Targets=[{"Key": "tag:a", "Values": ["b"]}]) == "ValidationException"
    assert code(Parameters=script, InstanceIds=[node, node]) == "DuplicateInstanceId"
    assert code(Parameters=script, OutputS3BucketName="bucket") == "NotImplemented"
    assert code(Parameters={"commands": ["x" * 70_000]}) == "MaxDocumentSizeExceeded"
    refusal("InvocationDoesNotExist", ssm.get_command_invocation, CommandId=str(uuid.uuid4()), InstanceId=node)
    refusal("InvalidCommandId", ssm.list_commands, CommandId=str(uuid.uuid4()))


def test_a_script_outlives_the_cloud(mine, ssm, node):
    command = send(ssm, "echo before; sleep 3; echo after; cat /proc/uptime > /root/ran.$$; ls /root/ran.*", InstanceIds=[node])
    begun(ssm, command, node)
    mine.kill()
    mine.start()
    seen = ended(ssm, command, node)
    assert seen["Status"] == "Success" and seen["StandardOutputContent"].startswith("before\nafter\n")
    # It ran once.
    assert len(seen["StandardOutputContent"].split()) == 3


def test_commands_wait_for_instances(mine, ssm):
    (node,) = launch(mine)
    ec2 = mine.client("ec2")
    ec2.stop_instances(InstanceIds=[node])
    ec2.get_waiter("instance_stopped").wait(InstanceIds=[node], WaiterConfig={"Delay": 1})
    command = send(ssm, "echo awake", InstanceIds=[node])
    time.sleep(1)
    assert ssm.get_command_invocation(CommandId=command, InstanceId=node)["Status"] == "Pending"
    ec2.start_instances(InstanceIds=[node])
    assert ended(ssm, command, node)["StandardOutputContent"] == "awake\n"
    # One whose machine goes down under it has failed, and is not begun again.
    command = send(ssm, "touch /root/begun.$$; sleep 60", InstanceIds=[node])
    ended(ssm, send(ssm, "until ls /root/begun.*; do sleep 0.1; done", InstanceIds=[node]), node)
    ec2.reboot_instances(InstanceIds=[node])
    assert ended(ssm, command, node)["Status"] == "Failed"
    seen = ended(ssm, send(ssm, "ls /root/begun.* | wc -l", InstanceIds=[node]), node)
    assert seen["StandardOutputContent"] == "1\n"
    ec2.terminate_instances(InstanceIds=[node])
