"""Snapshots of several volumes at one moment; snapshots and images that other accounts may use."""

import json
import time

import pytest

from conftest import private_cloud
from test_ebs import ABSENT, becomes, completed, create, ec2, inside, zone_of  # noqa: F401
from test_ebs_direct import ebs, machine, read  # noqa: F401
from test_ec2 import code, launch, show, until

OWNER, OTHER, THIRD = "111122223333", "444455556666", "777788889999"

# Writes the same number to one volume and then to the other, each at once.
WRITER = r"""nohup sh -c '
n=1000000
while [ ! -e /tmp/stop ]; do
    n=$((n+1))
    for disk in sdf sdg; do printf $n | dd of=/dev/$disk conv=notrunc oflag=sync 2>/dev/null; done
done' >/dev/null 2>&1 &
"""


def number(ebs, snapshot):  # noqa: F811
    (block,) = ebs.list_snapshot_blocks(SnapshotId=snapshot)["Blocks"]
    return int(read(ebs, snapshot, 0, block["BlockToken"])[:7])


def test_volumes_of_an_instance_at_one_moment(ec2, ebs, machine, name):  # noqa: F811
    instance, run = machine
    everything = {"InstanceSpecification": {"InstanceId": instance}}
    assert code(ec2.create_snapshots, **everything) == "InvalidParameterValue"
    tag = {"Key": "Name", "Value": name("vol")}
    volumes = []
    for device in ("/dev/sdf", "/dev/sdg"):
        tags = [{"ResourceType": "volume", "Tags": [tag]}]
        volume = create(ec2, AvailabilityZone=zone_of(ec2, instance), TagSpecifications=tags)
        ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device=device)
        becomes(ec2, volume, "in-use")
        volumes.append(volume)
    run("for disk in sdf sdg; do printf 1000000 | dd of=/dev/$disk conv=notrunc,fsync 2>/dev/null; done")
    run(WRITER)
    taken = []
    for _ in range(3):
        time.sleep(0.3)
        made = ec2.create_snapshots(**everything, Description="together", CopyTagsFromSource="volume")["Snapshots"]
        assert all(it["Description"] == "together" and it["Tags"] == [tag] for it in made)
        snapshots = {it["VolumeId"]: it["SnapshotId"] for it in made}
        assert sorted(snapshots) == sorted(volumes)
        for snapshot in snapshots.values():
            completed(ec2, snapshot)
        first, second = (number(ebs, snapshots[it]) for it in volumes)
        assert first in (second, second + 1), (first, second)
        assert first > 1000000
        taken += snapshots.values()
    run("touch /tmp/stop")
    some = {"InstanceId": instance, "ExcludeBootVolume": True, "ExcludeDataVolumeIds": [volumes[0]]}
    (only,) = ec2.create_snapshots(InstanceSpecification=some)["Snapshots"]
    assert only["VolumeId"] == volumes[1]
    completed(ec2, only["SnapshotId"])
    some["ExcludeDataVolumeIds"] = [ABSENT]
    assert code(ec2.create_snapshots, InstanceSpecification=some) == "InvalidParameterValue"
    for it in volumes:
        ec2.detach_volume(VolumeId=it)
    for it in volumes:
        becomes(ec2, it, "available")
        ec2.delete_volume(VolumeId=it)
    for it in (*taken, only["SnapshotId"]):
        ec2.delete_snapshot(SnapshotId=it)


@pytest.fixture(scope="module")
def accounts():
    """A cloud in which every account is there, and clients of three of them."""
    with private_cloud("--auth", "relaxed") as cloud:
        yield cloud, lambda service, account: cloud.client(service, key=account, secret="x")


def shared(client, snapshot):
    """With whom a snapshot is shared."""
    reply = client.describe_snapshot_attribute(SnapshotId=snapshot, Attribute="createVolumePermission")
    return [it.get("UserId") or it["Group"] for it in reply["CreateVolumePermissions"]]


def seen(client, **query):
    return [it["SnapshotId"] for it in client.describe_snapshots(**query)["Snapshots"]]


def test_a_snapshot_is_shared(accounts):
    _, client = accounts
    mine, theirs, third = (client("ec2", it) for it in (OWNER, OTHER, THIRD))
    volume = create(mine)
    snapshot = mine.create_snapshot(VolumeId=volume)["SnapshotId"]
    completed(mine, snapshot)
    place = {"AvailabilityZone": "us-east-1a", "SnapshotId": snapshot}
    assert code(theirs.create_volume, **place) == "InvalidSnapshot.NotFound"
    listing = {"SnapshotId": snapshot}
    assert code(client("ebs", OTHER).list_snapshot_blocks, **listing) == "ResourceNotFoundException"

    attribute = {"SnapshotId": snapshot, "Attribute": "createVolumePermission"}
    mine.modify_snapshot_attribute(**attribute, OperationType="add", UserIds=[OTHER])
    assert shared(mine, snapshot) == [OTHER]
    assert seen(theirs) == seen(theirs, OwnerIds=[OWNER]) == seen(theirs, RestorableByUserIds=["self"]) == [snapshot]
    assert seen(theirs, OwnerIds=["self"]) == seen(third) == seen(mine, RestorableByUserIds=["all"]) == []
    assert seen(mine, RestorableByUserIds=[OTHER]) == [snapshot]
    restored = becomes(theirs, theirs.create_volume(**place)["VolumeId"], "available")
    copy = theirs.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=snapshot)["SnapshotId"]
    assert completed(theirs, copy)["OwnerId"] == OTHER
    assert client("ebs", OTHER).list_snapshot_blocks(**listing)["Blocks"] == []
    # It is not theirs to delete, or to share any further.
    assert code(theirs.delete_snapshot, **listing) == "InvalidSnapshot.NotFound"
    assert code(theirs.modify_snapshot_attribute, **attribute, OperationType="add",
                UserIds=[THIRD]) == "InvalidSnapshot.NotFound"

    mine.modify_snapshot_attribute(SnapshotId=snapshot, CreateVolumePermission={"Add": [{"Group": "all"}]})
    assert shared(mine, snapshot) == ["all", OTHER] and seen(third) == [snapshot]
    assert seen(third, RestorableByUserIds=["all"]) == [snapshot]
    mine.modify_snapshot_attribute(**attribute, OperationType="remove", GroupNames=["all"])
    assert seen(third) == []
    mine.reset_snapshot_attribute(**attribute)
    assert shared(mine, snapshot) == [] and code(theirs.create_volume, **place) == "InvalidSnapshot.NotFound"
    # What was made of it stays.
    theirs.delete_volume(VolumeId=restored["VolumeId"])
    theirs.delete_snapshot(SnapshotId=copy)

    assert code(mine.modify_snapshot_attribute, **attribute) == "InvalidParameterCombination"
    wrong = {"SnapshotId": snapshot, "OperationType": "add"}
    assert code(mine.modify_snapshot_attribute, **wrong, UserIds=["you"]) == "InvalidUserID.Malformed"
    assert code(mine.modify_snapshot_attribute, **wrong, GroupNames=["some"]) == "InvalidParameterValue"
    mine.delete_volume(VolumeId=volume)
    mine.delete_snapshot(SnapshotId=snapshot)


def test_an_encrypted_snapshot_is_shared_with_its_key(accounts):
    _, client = accounts
    mine, theirs, kms = client("ec2", OWNER), client("ec2", OTHER), client("kms", OWNER)
    key = kms.create_key()["KeyMetadata"]["Arn"]
    volumes = [create(mine, Encrypted=True), create(mine, Encrypted=True, KmsKeyId=key)]
    usual, own = (mine.create_snapshot(VolumeId=it)["SnapshotId"] for it in volumes)
    for it in (usual, own):
        completed(mine, it)
    add = {"OperationType": "add", "UserIds": [OTHER]}
    assert code(mine.modify_snapshot_attribute, SnapshotId=usual, **add) == "OperationNotPermitted"
    public = {"OperationType": "add", "GroupNames": ["all"]}
    assert code(mine.modify_snapshot_attribute, SnapshotId=own, **public) == "OperationNotPermitted"
    mine.modify_snapshot_attribute(SnapshotId=own, **add)
    place = {"AvailabilityZone": "us-east-1a", "SnapshotId": own}
    assert code(theirs.create_volume, **place) == "UnauthorizedOperation"
    statements = [{"Effect": "Allow", "Action": "kms:*", "Resource": "*",
                   "Principal": {"AWS": [f"arn:aws:iam::{it}:root" for it in (OWNER, OTHER)]}}]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    kms.put_key_policy(KeyId=key, PolicyName="default", Policy=policy)
    # Theirs is sealed under a key of their own.
    restored = becomes(theirs, theirs.create_volume(**place)["VolumeId"], "available")
    assert restored["Encrypted"] and f":{OTHER}:" in restored["KmsKeyId"]
    theirs.delete_volume(VolumeId=restored["VolumeId"])
    for it in volumes:
        mine.delete_volume(VolumeId=it)
    for it in (usual, own):
        mine.delete_snapshot(SnapshotId=it)


def images(client, **query):
    shown = client.describe_images(**query)["Images"]
    return [it["ImageId"] for it in shown if it["OwnerId"] == OWNER]


def imaged(client, image):
    for _ in range(300):
        (shown,) = client.describe_images(ImageIds=[image])["Images"]
        if shown["State"] != "pending":
            break
        time.sleep(0.1)
    assert shown["State"] == "available", shown
    return shown


def test_an_image_is_launched_by_others(accounts):
    cloud, client = accounts
    mine, theirs = client("ec2", OWNER), client("ec2", OTHER)
    instance = launch(mine)["Instances"][0]["InstanceId"]
    until(mine, "running", instance)
    volume = create(mine, AvailabilityZone=zone_of(mine, instance))
    mine.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
    becomes(mine, volume, "in-use")
    inside(cloud, instance, "echo of the owner > /etc/marker; printf data | dd of=/dev/sdf conv=fsync 2>/dev/null")
    image = mine.create_image(InstanceId=instance, Name="ours", NoReboot=True)["ImageId"]
    disk = imaged(mine, image)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    asked = {"ImageId": image, "InstanceType": "t3.nano", "MinCount": 1, "MaxCount": 1}
    assert images(theirs) == [] and code(theirs.run_instances, **asked) == "InvalidAMIID.NotFound"

    attribute = {"ImageId": image, "Attribute": "launchPermission"}
    mine.modify_image_attribute(ImageId=image, LaunchPermission={"Add": [{"UserId": OTHER}]})
    assert mine.describe_image_attribute(**attribute)["LaunchPermissions"] == [{"UserId": OTHER}]
    for query in ({}, {"Owners": [OWNER]}, {"ExecutableUsers": ["self"]}, {"ImageIds": [image]}):
        assert images(theirs, **query) == [image], query
    assert images(theirs, Owners=["self"]) == images(theirs, ExecutableUsers=["all"]) == []
    assert images(client("ec2", THIRD)) == []
    # Its disks come with it, though nobody shares their snapshots.
    assert seen(theirs) == []
    guest = launch(theirs, ImageId=image)["Instances"][0]["InstanceId"]
    until(theirs, "running", guest)
    assert inside(cloud, guest, "cat /etc/marker; head -c 4 /dev/sdf") == "of the owner\ndata"
    assert show(theirs, guest)["ImageId"] == image
    assert code(theirs.modify_image_attribute, ImageId=image, Description={"Value": "mine"}) == "AuthFailure"
    assert code(theirs.deregister_image, ImageId=image) == "AuthFailure"

    mine.modify_image_attribute(**attribute, OperationType="add", UserGroups=["all"])
    assert images(client("ec2", THIRD)) == [image] and imaged(mine, image)["Public"]
    mine.reset_image_attribute(**attribute)
    assert images(theirs) == [] and code(theirs.run_instances, **asked) == "InvalidAMIID.NotFound"
    # Whoever has launched it keeps it, also when it is gone.
    mine.deregister_image(ImageId=image)
    theirs.stop_instances(InstanceIds=[guest])
    until(theirs, "stopped", guest)
    theirs.start_instances(InstanceIds=[guest])
    until(theirs, "running", guest)
    assert inside(cloud, guest, "cat /etc/marker") == "of the owner"
    for ec2_, it in ((mine, instance), (theirs, guest)):
        ec2_.terminate_instances(InstanceIds=[it])
        until(ec2_, "terminated", it)
    mine.delete_snapshot(SnapshotId=disk)
    becomes(mine, volume, "available")
    mine.delete_volume(VolumeId=volume)
