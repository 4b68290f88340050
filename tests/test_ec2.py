"""Instances: what can be launched, and what becomes of it. Those that really run need a host that can."""

import base64
import shutil
import subprocess
import time

import pytest
from botocore.exceptions import ClientError

from conftest import private_cloud

BASE = "ami-0000000000000ba5e"
NANO = {"ImageId": BASE, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1}


@pytest.fixture
def name(name):
    return name("ec2")


@pytest.fixture
def ec2(cloud):
    return cloud.client("ec2")


def code(call, **parameters):
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"]


def launch(ec2, **parameters):
    """Launches; skips the test where the host cannot run instances."""
    try:
        return ec2.run_instances(**{**NANO, **parameters})
    except ClientError as error:
        if error.response["Error"]["Code"] == "Unsupported" and "this host" in str(error):
            pytest.skip(str(error))
        raise


def show(ec2, instance):
    return ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]


def until(ec2, state, *instances):
    waiter = ec2.get_waiter(f"instance_{state}")
    waiter.wait(InstanceIds=list(instances), WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def console(ec2, instance, expected):
    """The console's text once it holds what is expected."""
    for _ in range(100):
        text = ec2.get_console_output(InstanceId=instance)["Output"]
        if expected in text:
            return text
        time.sleep(0.2)
    raise AssertionError(f"{expected!r} is not in:\n{text}")


@pytest.fixture
def gone(ec2):
    """Terminates what the test has launched."""
    instances = []
    yield instances
    if instances:
        ec2.modify_instance_attribute(InstanceId=instances[0], DisableApiTermination={"Value": False})
        ec2.terminate_instances(InstanceIds=instances)


def test_images_and_types(ec2):
    (image,) = ec2.describe_images(Owners=["amazon"])["Images"]
    assert image["ImageId"] == BASE and image["State"] == "available"
    assert ec2.describe_images(Owners=["self"])["Images"] == []
    assert code(ec2.describe_images, ImageIds=["ami-00000000"]) == "InvalidAMIID.NotFound"
    assert code(ec2.describe_images, ImageIds=["tea"]) == "InvalidAMIID.Malformed"
    (nano,) = ec2.describe_instance_types(InstanceTypes=["t3.nano"])["InstanceTypes"]
    assert nano["MemoryInfo"]["SizeInMiB"] == 128 and nano["BurstablePerformanceSupported"]
    assert code(ec2.describe_instance_types, InstanceTypes=["m5.metal"]) == "InvalidInstanceType"
    assert code(ec2.describe_instance_types, InstanceTypes=["t9.nano"]) == "InvalidParameterValue"
    offered = ec2.describe_instance_type_offerings(
        LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": ["t3.nano"]}]
    )["InstanceTypeOfferings"]
    assert {o["Location"] for o in offered} == {"us-east-1a", "us-east-1b", "us-east-1c"}


def shell(command, **kwargs):
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True, **kwargs).stdout.strip()


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
def test_rsa_key_pairs(ec2, name, tmp_path):
    made = ec2.create_key_pair(KeyName=name)
    private = tmp_path / "key.pem"
    private.write_text(made["KeyMaterial"])
    assert made["KeyMaterial"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    digest = shell(f"openssl pkcs8 -in {private} -inform PEM -outform DER -topk8 -nocrypt | openssl sha1 -c")
    assert digest.split()[-1] == made["KeyFingerprint"]
    assert code(ec2.create_key_pair, KeyName=name) == "InvalidKeyPair.Duplicate"
    (shown,) = ec2.describe_key_pairs(KeyNames=[name], IncludePublicKey=True)["KeyPairs"]
    assert shown["KeyType"] == "rsa" and shown["KeyPairId"] == made["KeyPairId"]
    again = ec2.import_key_pair(KeyName=name + "-again", PublicKeyMaterial=shown["PublicKey"].encode())
    digest = shell(f"openssl rsa -in {private} -pubout -outform DER 2>/dev/null | openssl md5 -c")
    assert digest.split()[-1] == again["KeyFingerprint"]
    ec2.delete_key_pair(KeyName=name)
    ec2.delete_key_pair(KeyName=name)
    assert code(ec2.describe_key_pairs, KeyNames=[name]) == "InvalidKeyPair.NotFound"


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs ssh-keygen")
def test_ed25519_key_pairs(ec2, name, tmp_path):
    made = ec2.create_key_pair(KeyName=name, KeyType="ed25519")
    private = tmp_path / "key"
    private.write_text(made["KeyMaterial"])
    private.chmod(0o600)
    (shown,) = ec2.describe_key_pairs(KeyNames=[name], IncludePublicKey=True)["KeyPairs"]
    assert shell(f"ssh-keygen -y -f {private}").split()[1] == shown["PublicKey"].split()[1]
    fingerprint = shell(f"ssh-keygen -l -f {private}").split()[1].removeprefix("SHA256:")
    assert made["KeyFingerprint"].rstrip("=") == fingerprint
    assert code(ec2.import_key_pair, KeyName=name + "2", PublicKeyMaterial=b"ssh-rsa tea") == "InvalidKey.Format"


@pytest.mark.parametrize(
    "parameters, error",
    [
        ({"ImageId": "ami-00000000000000000"}, "InvalidAMIID.NotFound"),
        ({"InstanceType": "t9.nano"}, "InvalidParameterValue"),
        ({"MinCount": 0}, "InvalidParameterValue"),
        ({"MinCount": 3, "MaxCount": 2}, "InvalidParameterValue"),
        ({"UserData": "x" * 16385}, "InvalidParameterValue"),
        ({"TagSpecifications": [{"ResourceType": "vpc", "Tags": [{"Key": "a", "Value": "b"}]}]}, "InvalidParameterValue"),
    ],
)
def test_bad_launches(ec2, parameters, error):
    assert code(ec2.run_instances, **{**NANO, **parameters}) == error


def test_launches_that_cannot_be(ec2, name):
    launch_nothing = {**NANO, "KeyName": name}
    try:
        assert code(ec2.run_instances, **launch_nothing) == "InvalidKeyPair.NotFound"
    except AssertionError:
        pytest.skip("needs a host that can run instances")
    assert code(ec2.run_instances, **{**NANO, "SubnetId": "subnet-00000000000000000"}) == "InvalidSubnetID.NotFound"
    assert code(ec2.run_instances, **{**NANO, "IamInstanceProfile": {"Name": name}}) == "InvalidParameterValue"
    assert code(ec2.run_instances, **NANO, EbsOptimized=True) == "NotImplemented"
    assert code(ec2.run_instances, **{**NANO, "DryRun": True}) == "DryRunOperation"
    assert code(ec2.run_instances, **{**NANO, "InstanceType": "m5.metal"}) == "InvalidParameterValue"
    huge = {**NANO, "InstanceType": "t3.large", "MinCount": 100, "MaxCount": 100}
    assert code(ec2.run_instances, **huge) == "InsufficientInstanceCapacity"


def test_the_life_of_an_instance(ec2, name, gone):
    key = ec2.create_key_pair(KeyName=name, KeyType="ed25519")["KeyName"]
    data = "#!/bin/sh\necho once $(hostname) $(cat /proc/sys/kernel/random/boot_id)\n"
    reservation = launch(
        ec2,
        KeyName=key,
        UserData=data,
        ClientToken=name,
        DisableApiTermination=True,
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}],
    )
    (instance,) = reservation["Instances"]
    assert instance["State"] == {"Code": 0, "Name": "pending"}
    ident = instance["InstanceId"]
    gone.append(ident)
    again = launch(ec2, KeyName=key, UserData=data, ClientToken=name, DisableApiTermination=True,
                   TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "Name", "Value": name}]}])
    assert again["ReservationId"] == reservation["ReservationId"]
    assert code(ec2.run_instances, **NANO, ClientToken=name) == "IdempotentParameterMismatch"

    until(ec2, "running", ident)
    shown = show(ec2, ident)
    assert shown["State"] == {"Code": 16, "Name": "running"}
    assert shown["PublicDnsName"].startswith("ec2-198-1") and shown["KeyName"] == key
    hostname = shown["PrivateDnsName"]
    assert f"once {hostname}" in console(ec2, ident, "once")
    by_tag = ec2.describe_instances(Filters=[{"Name": "tag:Name", "Values": [name]}])["Reservations"]
    assert [i["InstanceId"] for r in by_tag for i in r["Instances"]] == [ident]
    (status,) = ec2.describe_instance_status(InstanceIds=[ident])["InstanceStatuses"]
    assert status["InstanceStatus"]["Status"] == status["SystemStatus"]["Status"] == "ok"
    (interface,) = shown["NetworkInterfaces"]
    assert code(ec2.delete_network_interface, NetworkInterfaceId=interface["NetworkInterfaceId"]) == "InvalidNetworkInterface.InUse"

    stopping = ec2.stop_instances(InstanceIds=[ident])["StoppingInstances"][0]
    assert (stopping["PreviousState"]["Code"], stopping["CurrentState"]["Code"]) == (16, 64)
    until(ec2, "stopped", ident)
    stopped = show(ec2, ident)
    assert stopped["PrivateIpAddress"] == shown["PrivateIpAddress"]
    assert "PublicIpAddress" not in stopped
    assert stopped["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    ec2.modify_instance_attribute(InstanceId=ident, InstanceType={"Value": "t3.micro"})
    ec2.start_instances(InstanceIds=[ident])
    until(ec2, "running", ident)
    assert show(ec2, ident)["InstanceType"] == "t3.micro"

    assert code(ec2.terminate_instances, InstanceIds=[ident]) == "OperationNotPermitted"
    ec2.modify_instance_attribute(InstanceId=ident, DisableApiTermination={"Value": False})
    ec2.terminate_instances(InstanceIds=[ident])
    until(ec2, "terminated", ident)
    left = show(ec2, ident)
    assert left["State"] == {"Code": 48, "Name": "terminated"} and left["NetworkInterfaces"] == []
    assert code(ec2.start_instances, InstanceIds=[ident]) == "IncorrectInstanceState"
    assert code(
        ec2.describe_network_interfaces, NetworkInterfaceIds=[interface["NetworkInterfaceId"]]
    ) == "InvalidNetworkInterfaceID.NotFound"


def test_further_interfaces(ec2, gone):
    data = "#!/bin/sh\nfor i in $(seq 100); do ip -br addr show eth1 2>/dev/null | grep / && break; sleep 0.2; done\n"
    instance = launch(ec2, UserData=data)["Instances"][0]
    ident = instance["InstanceId"]
    gone.append(ident)
    until(ec2, "running", ident)
    interface = ec2.create_network_interface(SubnetId=instance["SubnetId"])["NetworkInterface"]
    attach = {"NetworkInterfaceId": interface["NetworkInterfaceId"], "InstanceId": ident}
    assert code(ec2.attach_network_interface, **attach, DeviceIndex=0) == "InvalidParameterValue"
    assert code(ec2.attach_network_interface, **attach, DeviceIndex=9) == "AttachmentLimitExceeded"
    attachment = ec2.attach_network_interface(**attach, DeviceIndex=1)["AttachmentId"]
    assert code(ec2.attach_network_interface, **attach, DeviceIndex=2) == "InvalidNetworkInterface.InUse"
    console(ec2, ident, interface["PrivateIpAddress"] + "/")
    assert len(show(ec2, ident)["NetworkInterfaces"]) == 2
    first = instance["NetworkInterfaces"][0]["Attachment"]["AttachmentId"]
    assert code(ec2.detach_network_interface, AttachmentId=first) == "OperationNotPermitted"
    ec2.detach_network_interface(AttachmentId=attachment)
    assert code(ec2.detach_network_interface, AttachmentId=attachment) == "InvalidAttachmentID.NotFound"
    ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])


def test_instances_are_distinct(ec2, gone):
    data = "#!/bin/sh\necho id=$(hostname)=$(cat /proc/sys/kernel/random/boot_id)=\n"
    instances = launch(ec2, MinCount=2, MaxCount=2, UserData=data)["Instances"]
    idents = [i["InstanceId"] for i in instances]
    gone.extend(idents)
    until(ec2, "running", *idents)
    seen = [console(ec2, ident, "id=ip").split("id=ip")[1].split("=")[:2] for ident in idents]
    assert seen[0][0] != seen[1][0] and seen[0][1] != seen[1][1]


def test_down_ends_the_instances_of_a_killed_cloud():
    with private_cloud() as cloud:
        ec2 = cloud.client("ec2")
        ident = launch(ec2)["Instances"][0]["InstanceId"]
        until(ec2, "running", ident)
        mine = ["pgrep", "-f", f"supervise {ident}"]
        assert subprocess.run(mine, capture_output=True).returncode == 0
        cloud.kill()
        assert subprocess.run(mine, capture_output=True).returncode == 0
        cloud.gureum("down")
        assert subprocess.run(mine, capture_output=True).returncode == 1
        cloud.start()
        until(ec2, "running", ident)
        ec2.terminate_instances(InstanceIds=[ident])
        until(ec2, "terminated", ident)


def test_instances_outlive_kill_9():
    with private_cloud() as cloud:
        ec2 = cloud.client("ec2")
        data = "#!/bin/sh\necho boot=$(cat /proc/sys/kernel/random/boot_id)=\n"
        ident = launch(ec2, UserData=data)["Instances"][0]["InstanceId"]
        until(ec2, "running", ident)
        console(ec2, ident, "boot=")
        cloud.kill()
        cloud.start()
        assert show(ec2, ident)["State"]["Name"] == "running"
        # Adopted, not started anew.
        assert console(ec2, ident, "boot=").count("boot=") == 1
        ec2.terminate_instances(InstanceIds=[ident])
        until(ec2, "terminated", ident)
