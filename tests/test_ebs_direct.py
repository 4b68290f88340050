"""The EBS direct APIs: the blocks of snapshots, without a volume."""

import base64
import hashlib
import os
import time

import pytest
from botocore.exceptions import ClientError

from conftest import private_cloud
from test_ebs import becomes, completed, create, ec2, inside, zone_of  # noqa: F401
from test_ec2 import code, launch, until

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


def write(ebs, snapshot, index, data, **more):
    checksum = base64.b64encode(hashlib.sha256(data).digest()).decode()
    about = {"DataLength": BLOCK, "Checksum": checksum, "ChecksumAlgorithm": "SHA256", **more}
    ebs.put_snapshot_block(SnapshotId=snapshot, BlockIndex=index, BlockData=data, **about)
    return hashlib.sha256(data).digest()


def complete(ebs, snapshot, digests, **more):
    """Completes a snapshot of blocks with these digests, in the order of their numbers."""
    whole = base64.b64encode(hashlib.sha256(b"".join(digests)).digest()).decode()
    about = {"Checksum": whole, "ChecksumAlgorithm": "SHA256", "ChecksumAggregationMethod": "LINEAR", **more}
    return ebs.complete_snapshot(**{"SnapshotId": snapshot, "ChangedBlocksCount": len(digests), **about})


def test_a_snapshot_is_written_and_restored(cloud, ec2, ebs, machine, name):  # noqa: F811
    tags = [{"Key": "Name", "Value": name("snap")}]
    once = {"VolumeSize": 1, "Description": "uploaded", "Tags": tags, "ClientToken": name("token")}
    started = ebs.start_snapshot(**once)
    first = started["SnapshotId"]
    assert (started["Status"], started["BlockSize"], started["VolumeSize"]) == ("pending", BLOCK, 1)
    assert ebs.start_snapshot(**once)["SnapshotId"] == first
    assert refused(ebs.start_snapshot, **{**once, "VolumeSize": 2})[0] == "ConflictException"
    blocks = {0: os.urandom(BLOCK), 5: os.urandom(BLOCK), 2047: os.urandom(BLOCK)}
    digests = [write(ebs, first, index, data, Progress=50) for index, data in blocks.items()]
    (shown,) = ec2.describe_snapshots(SnapshotIds=[first])["Snapshots"]
    assert (shown["State"], shown["Progress"], shown["Tags"]) == ("pending", "50%", tags)
    assert code(ec2.create_volume, AvailabilityZone="us-east-1a", SnapshotId=first) == "IncorrectState"
    assert refused(complete, ebs=ebs, snapshot=first, digests=digests[1:])[0] == "ValidationException"
    assert refused(complete, ebs=ebs, snapshot=first, digests=digests[::-1])[0] == "ValidationException"
    assert complete(ebs, first, digests)["Status"] == "completed"
    assert completed(ec2, first)["Description"] == "uploaded"
    assert content(ebs, first) == blocks
    late = {"snapshot": first, "index": 1, "data": blocks[0]}
    assert refused(write, ebs=ebs, **late) == ("ValidationException", "INVALID_SNAPSHOT_ID")

    # Over TLS, where the body is not signed.
    ebs = cloud.client("ebs", tls=True)
    second = ebs.start_snapshot(VolumeSize=2, ParentSnapshotId=first)["SnapshotId"]
    assert code(ec2.delete_snapshot, SnapshotId=first) == "InvalidSnapshot.InUse"
    zeros = bytes(BLOCK)
    complete(ebs, second, [write(ebs, second, 5, zeros)])
    completed(ec2, second)
    (changed,) = ebs.list_changed_blocks(FirstSnapshotId=first, SecondSnapshotId=second)["ChangedBlocks"]
    assert changed["BlockIndex"] == 5
    ec2.delete_snapshot(SnapshotId=first)
    instance, run = machine
    volume = attached(ec2, instance, SnapshotId=second, Size=2)
    for index, data in {**blocks, 5: zeros}.items():
        read_back = run(f"dd if=/dev/sdf bs={BLOCK} skip={index} count=1 2>/dev/null | sha256sum | cut -d' ' -f1")
        assert read_back == hashlib.sha256(data).hexdigest()
    assert run("blockdev --getsize64 /dev/sdf") == str(2 << 30)
    detached(ec2, volume)
    ec2.delete_volume(VolumeId=volume)
    ec2.delete_snapshot(SnapshotId=second)


def test_blocks_that_cannot_be_written(ec2, ebs):  # noqa: F811
    ec2.delete_volume(VolumeId=create(ec2))
    assert refused(ebs.start_snapshot, VolumeSize=70000)[1] == "INVALID_VOLUME_SIZE"
    both = {"VolumeSize": 1, "ParentSnapshotId": ABSENT, "Encrypted": True}
    assert refused(ebs.start_snapshot, **both)[1] == "INVALID_PARAMETER_VALUE"
    assert refused(ebs.start_snapshot, VolumeSize=1, ParentSnapshotId=ABSENT)[1] == "SNAPSHOT_NOT_FOUND"
    wrong = {"VolumeSize": 1, "Tags": [{"Key": "aws:mine", "Value": "x"}]}
    assert refused(ebs.start_snapshot, **wrong)[1] == "INVALID_TAG"
    snapshot = ebs.start_snapshot(VolumeSize=1, Encrypted=True)["SnapshotId"]
    data = os.urandom(BLOCK)
    one = {"ebs": ebs, "snapshot": snapshot, "index": 0, "data": data}
    assert refused(write, **{**one, "index": 2048})[1] == "INVALID_BLOCK"
    assert refused(write, **{**one, "data": data[1:]})[1] == "INVALID_BLOCK"
    assert refused(write, **{**one, "snapshot": ABSENT})[1] == "SNAPSHOT_NOT_FOUND"
    other = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
    assert refused(write, **one, Checksum=other)[1] == "INVALID_BLOCK"
    assert refused(write, **one, DataLength=4096)[1] == "INVALID_PARAMETER_VALUE"
    complete(ebs, snapshot, [write(**one)])
    assert completed(ec2, snapshot)["Encrypted"] and content(ebs, snapshot) == {0: data}
    ec2.delete_snapshot(SnapshotId=snapshot)


def test_a_snapshot_is_written_through_kill_9():
    with private_cloud() as cloud:
        ec2_, ebs_ = cloud.client("ec2"), cloud.client("ebs")
        ec2_.delete_volume(VolumeId=create(ec2_))
        snapshot = ebs_.start_snapshot(VolumeSize=1)["SnapshotId"]
        digests = [write(ebs_, snapshot, index, bytes([index]) * BLOCK) for index in range(3)]
        cloud.kill()
        cloud.start()
        digests.append(write(ebs_, snapshot, 3, bytes([3]) * BLOCK))
        complete(ebs_, snapshot, digests)
        cloud.kill()
        cloud.start()
        assert content(ebs_, snapshot) == {index: bytes([index]) * BLOCK for index in range(4)}
        abandoned = ebs_.start_snapshot(VolumeSize=1)["SnapshotId"]
        write(ebs_, abandoned, 0, bytes(BLOCK))
        for it in (snapshot, abandoned):
            ec2_.delete_snapshot(SnapshotId=it)
        for part in ("volumes", "snapshots", "layers"):
            for _ in range(150):
                if not list((cloud.directory / "volumes" / part).iterdir()):
                    break
                time.sleep(0.1)
            else:
                raise AssertionError(list((cloud.directory / "volumes" / part).iterdir()))
