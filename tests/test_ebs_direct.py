"""The EBS direct APIs: the blocks of snapshots, without a volume."""

import base64
import hashlib


import pytest
from botocore.exceptions import ClientError

from test_ebs import becomes, completed, create, ec2, inside, zone_of  # noqa: F401
from test_ec2 import launch, until

BLOCK = 512 * 1024
ABSENT = "snap-0123456789abcdef0"


@pytest.fixture
def ebs(cloud):
    return cloud.client("ebs")


def refused(call, **parameters):
    """The code and the reason of a refusal."""
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    return response["Error"]["Code"], response.get("Reason")


def pages(call, key, **parameters):
    """All items of a listing, a hundred at a time."""
    items, token = [], {}
    while True:
        page = call(**parameters, MaxResults=100, **token)
        assert page["BlockSize"] == BLOCK and len(page[key]) <= 100
        items += page[key]
        if "NextToken" not in page:
            return items
        token = {"NextToken": page["NextToken"]}


def read(ebs, snapshot, index, token):
    reply = ebs.get_snapshot_block(SnapshotId=snapshot, BlockIndex=index, BlockToken=token)
    data = reply["BlockData"].read()
    assert reply["DataLength"] == len(data) == BLOCK
    assert reply["ChecksumAlgorithm"] == "SHA256"
    assert base64.b64decode(reply["Checksum"]) == hashlib.sha256(data).digest()
    return data


def content(ebs, snapshot):
    blocks = pages(ebs.list_snapshot_blocks, "Blocks", SnapshotId=snapshot)
    return {it["BlockIndex"]: read(ebs, snapshot, it["BlockIndex"], it["BlockToken"]) for it in blocks}


@pytest.fixture
def machine(cloud, ec2):  # noqa: F811
    """A running instance, and how to execute something in it."""
    ec2.delete_volume(VolumeId=create(ec2))
    instance = launch(ec2)["Instances"][0]["InstanceId"]
    until(ec2, "running", instance)
    yield instance, lambda script: inside(cloud, instance, script)
    ec2.terminate_instances(InstanceIds=[instance])
    until(ec2, "terminated", instance)


def attached(ec2, instance, **parameters):  # noqa: F811
    volume = create(ec2, AvailabilityZone=zone_of(ec2, instance), **parameters)
    ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
    becomes(ec2, volume, "in-use")
    return volume


def detached(ec2, volume):  # noqa: F811
    ec2.detach_volume(VolumeId=volume)
    becomes(ec2, volume, "available")


def snapshot_of(ec2, volume):  # noqa: F811
    snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    completed(ec2, snapshot)
    return snapshot


def test_one_percent_that_changed(ec2, ebs, machine):  # noqa: F811
    instance, run = machine
    volume = attached(ec2, instance)
    # 128 MiB in 256 blocks; then three of them are written again.
    run("dd if=/dev/urandom of=/dev/sdf bs=1M count=128 oflag=direct 2>/dev/null")
    first = snapshot_of(ec2, volume)
    marks = {3: "three", 77: "seventy-seven", 200: "two hundred"}
    for index, text in marks.items():
        run(f"printf '{text}' | dd of=/dev/sdf bs={BLOCK} seek={index} conv=notrunc,fsync 2>/dev/null")
    second = snapshot_of(ec2, volume)

    page = ebs.list_snapshot_blocks(SnapshotId=first, StartingBlockIndex=250)
    assert [it["BlockIndex"] for it in page["Blocks"]] == list(range(250, 256))
    assert (page["VolumeSize"], page["BlockSize"]) == (1, BLOCK) and "NextToken" not in page
    blocks = pages(ebs.list_snapshot_blocks, "Blocks", SnapshotId=first)
    assert [it["BlockIndex"] for it in blocks] == list(range(256))
    changed = pages(ebs.list_changed_blocks, "ChangedBlocks", FirstSnapshotId=first, SecondSnapshotId=second)
    assert [it["BlockIndex"] for it in changed] == sorted(marks)
    for it in changed:
        old = read(ebs, first, it["BlockIndex"], it["FirstBlockToken"])
        new = read(ebs, second, it["BlockIndex"], it["SecondBlockToken"])
        text = marks[it["BlockIndex"]].encode()
        assert new.startswith(text) and new[4096:] == old[4096:] and old != new

    # Without the first snapshot, the second one is still whole.
    whole = run("head -c $((128<<20)) /dev/sdf | sha256sum | cut -d' ' -f1")
    ec2.delete_snapshot(SnapshotId=first)
    assert refused(ebs.list_snapshot_blocks, SnapshotId=first) == ("ResourceNotFoundException", "SNAPSHOT_NOT_FOUND")
    blocks = content(ebs, second)
    assert hashlib.sha256(b"".join(blocks[it] for it in range(256))).hexdigest() == whole
    detached(ec2, volume)
    restored = attached(ec2, instance, SnapshotId=second)
    assert run("head -c $((128<<20)) /dev/sdf | sha256sum | cut -d' ' -f1") == whole
    detached(ec2, restored)
    for it in (volume, restored):
        ec2.delete_volume(VolumeId=it)
    ec2.delete_snapshot(SnapshotId=second)


def test_an_encrypted_snapshot_is_read_in_the_clear_with_its_key(cloud, ec2, ebs, machine):  # noqa: F811
    instance, run = machine
    kms = cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    volume = attached(ec2, instance, Encrypted=True, KmsKeyId=key)
    run("printf secret | dd of=/dev/sdf bs=4096 seek=128 conv=notrunc,fsync 2>/dev/null")
    snapshot = snapshot_of(ec2, volume)
    (block,) = ebs.list_snapshot_blocks(SnapshotId=snapshot, StartingBlockIndex=1)["Blocks"]
    assert block["BlockIndex"] == 1
    one = {"SnapshotId": snapshot, "BlockIndex": 1, "BlockToken": block["BlockToken"]}
    assert read(ebs, snapshot, 1, block["BlockToken"]).startswith(b"secret\0")
    kms.disable_key(KeyId=key)
    assert refused(ebs.get_snapshot_block, **one) == ("ValidationException", "INVALID_CUSTOMER_KEY")
    kms.enable_key(KeyId=key)
    detached(ec2, volume)
    ec2.delete_volume(VolumeId=volume)
    ec2.delete_snapshot(SnapshotId=snapshot)


def test_what_is_not_valid(cloud, ec2, ebs):  # noqa: F811
    one, other = create(ec2), create(ec2)
    first, far = snapshot_of(ec2, one), snapshot_of(ec2, other)
    assert refused(ebs.list_snapshot_blocks, SnapshotId=ABSENT) == ("ResourceNotFoundException", "SNAPSHOT_NOT_FOUND")
    assert refused(ebs.list_snapshot_blocks, SnapshotId="snap-UPPER")[0] == "ValidationException"
    few = {"SnapshotId": first, "MaxResults": 5}
    unchecked = cloud.client("ebs", parameter_validation=False)
    assert refused(unchecked.list_snapshot_blocks, **few) == ("ValidationException", "INVALID_PARAMETER_VALUE")
    wrong = {"SnapshotId": first, "NextToken": "AAAA"}
    assert refused(ebs.list_snapshot_blocks, **wrong) == ("ValidationException", "INVALID_PAGE_TOKEN")
    pair = {"FirstSnapshotId": first, "SecondSnapshotId": far}
    assert refused(ebs.list_changed_blocks, **pair) == ("ValidationException", "UNRELATED_SNAPSHOTS")
    assert refused(ebs.list_changed_blocks, SecondSnapshotId=far) == ("ValidationException", "INVALID_PARAMETER_VALUE")
    block = {"SnapshotId": first, "BlockIndex": 0, "BlockToken": "AAAA"}
    assert refused(ebs.get_snapshot_block, **block) == ("ValidationException", "INVALID_BLOCK_TOKEN")
    assert ebs.list_snapshot_blocks(SnapshotId=first)["Blocks"] == []
    for it in (one, other):
        ec2.delete_volume(VolumeId=it)
    for it in (first, far):
        ec2.delete_snapshot(SnapshotId=it)
