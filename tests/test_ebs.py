"""Volumes and snapshots: rows everywhere; devices inside of instances where the host can make them."""

import os
import re
import shutil
import subprocess
import time

import pytest
from botocore.exceptions import ClientError

from conftest import BIN, CLEAN, private_cloud
from test_ec2 import code, console, launch, show, until

ABSENT = "vol-0123456789abcdef0"

# Says what is at /dev/sdf whenever that changes, and writes on what is blank.
# /dev/sdg is held open from its appearance until /dev/sdh appears. A device that goes while it is read
# looks blank, and must not be written anew as a file: that would keep the next device from its name.
WATCH = r"""#!/bin/sh
last=
while sleep 0.1; do
    now=none
    if [ -b /dev/sdf ]; then
        now="$(blockdev --getsize64 /dev/sdf) $(head -c 6 /dev/sdf | tr -d '\0')"
        case $now in *' ') printf %s "$(hostname | md5sum | head -c 6)" | dd of=/dev/sdf conv=nocreat,notrunc,fsync 2>/dev/null ;; esac
    fi
    [ "$now" = "$last" ] || echo "sdf: $now;"
    last=$now
    if [ -b /dev/sdg ] && [ -z "$held" ]; then exec 3</dev/sdg; held=1; echo "holding;"; fi
    if [ -b /dev/sdh ]; then exec 3<&-; fi
done
"""


@pytest.fixture
def ec2(cloud):
    return cloud.client("ec2")


def create(ec2, **parameters):
    """A volume, once it is available; skips the test where the host cannot have any."""
    try:
        volume = ec2.create_volume(**{"AvailabilityZone": "us-east-1a", "Size": 1, "VolumeType": "gp3", **parameters})
    except ClientError as error:
        if error.response["Error"]["Code"] == "Unsupported" and "this host" in str(error):
            pytest.skip(str(error))
        raise
    assert volume["State"] == "creating"
    becomes(ec2, volume["VolumeId"], "available")
    return volume["VolumeId"]


def volume_of(ec2, volume):
    return ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]


def becomes(ec2, volume, state):
    for _ in range(300):
        shown = volume_of(ec2, volume)
        if shown["State"] == state and all(it["State"] == "attached" for it in shown["Attachments"]):
            return shown
        time.sleep(0.1)
    raise AssertionError(shown)


def completed(ec2, snapshot):
    for _ in range(300):
        shown = ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]
        if shown["State"] != "pending":
            break
        time.sleep(0.1)
    assert shown["State"] == "completed" and shown["Progress"] == "100%"
    return shown


def zone_of(ec2, instance):
    return show(ec2, instance)["Placement"]["AvailabilityZone"]


def says(ec2, instance):
    """The last thing that an instance said of its /dev/sdf."""
    text = console(ec2, instance, "sdf:")
    return text.rsplit("sdf: ", 1)[1].split(";")[0]


def said(ec2, instance, expected):
    for _ in range(200):
        if says(ec2, instance) == expected:
            return
        time.sleep(0.1)
    raise AssertionError(f"{expected!r}, not {says(ec2, instance)!r}")


def written(ec2, instance):
    """What the instance wrote on its blank /dev/sdf."""
    for _ in range(200):
        words = says(ec2, instance).split(" ")
        if len(words) == 2 and words[1]:
            return words[1]
        time.sleep(0.1)
    raise AssertionError(says(ec2, instance))


def test_a_volume_in_rows(ec2, name):
    called = name("vol")
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": called}]}]
    once = {"ClientToken": name("token"), "TagSpecifications": tags, "Throughput": 200}
    volume = create(ec2, **once)
    shown = volume_of(ec2, volume)
    assert (shown["Size"], shown["VolumeType"], shown["Iops"], shown["Throughput"]) == (1, "gp3", 3000, 200)
    assert not shown["Encrypted"] and not shown["MultiAttachEnabled"] and shown["Attachments"] == []
    by_tag = ec2.describe_volumes(Filters=[{"Name": "tag:Name", "Values": [called]}])["Volumes"]
    assert [it["VolumeId"] for it in by_tag] == [volume]
    again = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1, VolumeType="gp3", **once)
    assert again["VolumeId"] == volume
    (status,) = ec2.describe_volume_status(VolumeIds=[volume])["VolumeStatuses"]
    assert status["VolumeStatus"]["Status"] == "ok"
    assert code(ec2.delete_volume, VolumeId=volume, DryRun=True) == "DryRunOperation"
    ec2.delete_volume(VolumeId=volume)
    ec2.get_waiter("volume_deleted").wait(VolumeIds=[volume], WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    assert code(ec2.describe_volumes, VolumeIds=[volume]) == "InvalidVolume.NotFound"


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"AvailabilityZone": "us-east-1q"}, "InvalidZone.NotFound"),
        ({"Size": 0}, "InvalidParameterValue"),
        ({"VolumeType": "gp9"}, "InvalidParameterValue"),
        ({"VolumeType": "io1", "Size": 4}, "MissingParameter"),
        ({"VolumeType": "io1", "Size": 4, "Iops": 1000}, "InvalidParameterValue"),
        ({"VolumeType": "gp2", "Iops": 1000}, "InvalidParameterCombination"),
        ({"SnapshotId": "snap-0123456789abcdef0"}, "InvalidSnapshot.NotFound"),
        ({"KmsKeyId": "alias/aws/ebs"}, "InvalidParameterDependency"),
        ({"Encrypted": True, "KmsKeyId": "alias/nobody-made-this"}, "InvalidKMSKey.NotFound"),
        ({"MultiAttachEnabled": True}, "NotImplemented"),
    ],
)
def test_volumes_that_cannot_be(ec2, parameters, error):
    ec2.delete_volume(VolumeId=create(ec2))
    wanted = {"AvailabilityZone": "us-east-1a", "Size": 1, "VolumeType": "gp3", **parameters}
    assert code(ec2.create_volume, **wanted) == error


def test_what_is_not_there(ec2):
    assert code(ec2.delete_volume, VolumeId=ABSENT) == "InvalidVolume.NotFound"
    assert code(ec2.create_snapshot, VolumeId=ABSENT) == "InvalidVolume.NotFound"
    assert code(ec2.modify_volume, VolumeId=ABSENT, Size=2) == "InvalidVolume.NotFound"
    assert code(ec2.detach_volume, VolumeId=ABSENT) == "InvalidVolume.NotFound"
    assert code(ec2.delete_snapshot, SnapshotId="snap-0123456789abcdef0") == "InvalidSnapshot.NotFound"


def test_a_volume_grows_once_in_six_hours(ec2):
    volume = create(ec2, VolumeType="gp2")
    assert code(ec2.modify_volume, VolumeId=volume, VolumeType="standard", Iops=100) == "InvalidParameterCombination"
    change = ec2.modify_volume(VolumeId=volume, Size=50, VolumeType="gp2")["VolumeModification"]
    assert (change["OriginalSize"], change["TargetSize"], change["TargetIops"]) == (1, 50, 150)
    for _ in range(300):
        (change,) = ec2.describe_volumes_modifications(VolumeIds=[volume])["VolumesModifications"]
        if change["ModificationState"] == "completed":
            break
        time.sleep(0.1)
    assert volume_of(ec2, volume)["Size"] == 50
    assert code(ec2.modify_volume, VolumeId=volume, Size=51) == "VolumeModificationRateExceeded"
    ec2.delete_volume(VolumeId=volume)


def test_snapshots_in_rows(ec2):
    volume = create(ec2, Size=2)
    first = ec2.create_snapshot(VolumeId=volume, Description="first")
    assert first["VolumeSize"] == 2 and first["VolumeId"] == volume
    first = first["SnapshotId"]
    assert completed(ec2, first)["Description"] == "first"
    copy = ec2.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=first)["SnapshotId"]
    completed(ec2, copy)
    mine = ec2.describe_snapshots(OwnerIds=["self"], Filters=[{"Name": "volume-id", "Values": [volume]}])
    assert [it["SnapshotId"] for it in mine["Snapshots"]] == [first]
    place = {"AvailabilityZone": "us-east-1b"}
    assert code(ec2.create_volume, **place, SnapshotId=first, Size=1) == "InvalidParameterValue"
    # What was made of a snapshot does not need it any more.
    ec2.delete_snapshot(SnapshotId=first)
    assert code(ec2.describe_snapshots, SnapshotIds=[first]) == "InvalidSnapshot.NotFound"
    restored = ec2.create_volume(**place, SnapshotId=copy)["VolumeId"]
    assert becomes(ec2, restored, "available")["Size"] == 2
    for it in (volume, restored):
        ec2.delete_volume(VolumeId=it)
    ec2.delete_snapshot(SnapshotId=copy)


def test_data_goes_from_instance_to_instance(ec2):
    create_and_delete = create(ec2)
    ec2.delete_volume(VolumeId=create_and_delete)
    launched = launch(ec2, UserData=WATCH, MinCount=2, MaxCount=2)["Instances"]
    one, two = [it["InstanceId"] for it in launched]
    try:
        until(ec2, "running", one, two)
        zone = zone_of(ec2, one)
        volume = create(ec2, AvailabilityZone=zone)
        far = create(ec2, AvailabilityZone="us-east-1b" if zone != "us-east-1b" else "us-east-1c")
        at = {"InstanceId": one, "Device": "/dev/sdf"}
        assert code(ec2.attach_volume, VolumeId=far, **at) == "InvalidVolume.ZoneMismatch"
        assert code(ec2.attach_volume, VolumeId=volume, InstanceId=one, Device="sdf") == "InvalidParameterValue"
        assert ec2.attach_volume(VolumeId=volume, **at)["State"] == "attaching"
        becomes(ec2, volume, "in-use")
        assert code(ec2.attach_volume, VolumeId=volume, InstanceId=two, Device="/dev/sdf") == "VolumeInUse"
        assert code(ec2.delete_volume, VolumeId=volume) == "VolumeInUse"
        (mapping,) = show(ec2, one)["BlockDeviceMappings"]
        assert (mapping["DeviceName"], mapping["Ebs"]["VolumeId"]) == ("/dev/sdf", volume)
        text = written(ec2, one)
        snapshot = ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
        completed(ec2, snapshot)

        ec2.modify_volume(VolumeId=volume, Size=2)
        said(ec2, one, f"{2 << 30} {text}")
        ec2.reboot_instances(InstanceIds=[one])
        ec2.detach_volume(VolumeId=volume)
        becomes(ec2, volume, "available")

        ec2.attach_volume(VolumeId=volume, InstanceId=two, Device="/dev/sdf")
        said(ec2, two, f"{2 << 30} {text}")
        ec2.detach_volume(VolumeId=volume)
        becomes(ec2, volume, "available")
        said(ec2, two, "none")
        restored = create(ec2, AvailabilityZone=zone, SnapshotId=snapshot)
        ec2.attach_volume(VolumeId=restored, InstanceId=two, Device="/dev/sdf")
        said(ec2, two, f"{1 << 30} {text}")
    finally:
        ec2.terminate_instances(InstanceIds=[one, two])
    until(ec2, "terminated", one, two)
    # Volumes outlive what they were attached to.
    becomes(ec2, restored, "available")
    for it in (volume, far, restored):
        ec2.delete_volume(VolumeId=it)
    ec2.delete_snapshot(SnapshotId=snapshot)


def test_a_busy_volume_stays_until_it_is_released(ec2):
    ec2.delete_volume(VolumeId=create(ec2))
    instance = launch(ec2, UserData=WATCH)["Instances"][0]["InstanceId"]
    try:
        until(ec2, "running", instance)
        zone = zone_of(ec2, instance)
        held, other = create(ec2, AvailabilityZone=zone), create(ec2, AvailabilityZone=zone)
        ec2.attach_volume(VolumeId=held, InstanceId=instance, Device="/dev/sdg")
        console(ec2, instance, "holding;")
        assert ec2.detach_volume(VolumeId=held)["State"] == "detaching"
        time.sleep(1)
        assert volume_of(ec2, held)["Attachments"][0]["State"] == "detaching"
        ec2.attach_volume(VolumeId=other, InstanceId=instance, Device="/dev/sdh")
        becomes(ec2, held, "available")
    finally:
        ec2.terminate_instances(InstanceIds=[instance])
    becomes(ec2, other, "available")
    for it in (held, other):
        ec2.delete_volume(VolumeId=it)


def test_volumes_outlive_kill_9_and_stop():
    with private_cloud() as cloud:
        ec2 = cloud.client("ec2")
        probe = create(ec2)
        ec2.delete_volume(VolumeId=probe)
        instance = launch(ec2, UserData=WATCH)["Instances"][0]["InstanceId"]
        until(ec2, "running", instance)
        volume = create(ec2, AvailabilityZone=zone_of(ec2, instance))
        ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
        text = written(ec2, instance)
        late = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
        cloud.kill()
        cloud.start()
        becomes(ec2, late, "available")
        becomes(ec2, volume, "in-use")
        assert says(ec2, instance).endswith(text)
        ec2.detach_volume(VolumeId=volume)
        becomes(ec2, volume, "available")
        said(ec2, instance, "none")
        ec2.terminate_instances(InstanceIds=[instance])
        until(ec2, "terminated", instance)


def inside(cloud, instance, script):
    """Runs a script in an instance, as its root; what it wrote."""
    command = [*cloud.command(), "shell", instance, "--data-dir", cloud.directory]
    done = subprocess.run(command, input="set -e\n" + script, capture_output=True, text=True, env=CLEAN, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_a_volume_is_mounted_inside(cloud, ec2):
    ec2.delete_volume(VolumeId=create(ec2))
    instance = launch(ec2)["Instances"][0]["InstanceId"]
    until(ec2, "running", instance)
    volume = create(ec2, AvailabilityZone=zone_of(ec2, instance))
    ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
    becomes(ec2, volume, "in-use")
    inside(cloud, instance, "mkfs.ext4 -q /dev/sdf; mkdir /data; mount /dev/sdf /data; echo kept > /data/file")
    options = inside(cloud, instance, "grep ' /data ' /proc/mounts | cut -d' ' -f3,4")
    assert options.startswith("ext4 ") and "nosuid" in options and "nodev" in options
    # Nothing else can be mounted, and what hides the host's side is not unmounted.
    for refused in ("mount -t tmpfs none /mnt", "mount --bind /data /mnt", "mount -o remount,suid /data",
                    "mount -t ext4 -o errors=panic /dev/sdf /mnt", "umount /proc/acpi", "umount /proc",
                    "setpriv --reuid 1000 --clear-groups mount -t ext4 /dev/sdf /mnt"):
        assert inside(cloud, instance, f"if {refused} 2>/dev/null; then echo done; else echo refused; fi") == "refused", refused

    # In use: it stays until it is unmounted.
    ec2.detach_volume(VolumeId=volume)
    time.sleep(1)
    assert volume_of(ec2, volume)["Attachments"][0]["State"] == "detaching"
    assert inside(cloud, instance, "cat /data/file; umount /data") == "kept"
    becomes(ec2, volume, "available")

    # By force, whoever uses it.
    ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
    becomes(ec2, volume, "in-use")
    assert inside(cloud, instance, "mount /dev/sdf /data; cat /data/file; echo more > /data/more; sync") == "kept"
    ec2.detach_volume(VolumeId=volume, Force=True)
    becomes(ec2, volume, "available")
    ec2.terminate_instances(InstanceIds=[instance])
    until(ec2, "terminated", instance)
    ec2.delete_volume(VolumeId=volume)


FSTAB = """#cloud-config
mounts:
- [sdf, /srv/data]
"""


def test_a_mount_comes_back_after_stop_and_kill_9():
    with private_cloud() as cloud:
        ec2 = cloud.client("ec2")
        ec2.delete_volume(VolumeId=create(ec2))
        instance = launch(ec2, UserData=FSTAB)["Instances"][0]["InstanceId"]
        until(ec2, "running", instance)
        volume = create(ec2, AvailabilityZone=zone_of(ec2, instance))
        ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
        becomes(ec2, volume, "in-use")
        inside(cloud, instance, "mkfs.ext4 -q /dev/sdf; mount /srv/data; echo first > /srv/data/file")
        cloud.kill()
        cloud.start()
        assert inside(cloud, instance, "cat /srv/data/file; echo second > /srv/data/file") == "first"
        ec2.stop_instances(InstanceIds=[instance])
        until(ec2, "stopped", instance)
        assert volume_of(ec2, volume)["State"] == "in-use"
        ec2.start_instances(InstanceIds=[instance])
        until(ec2, "running", instance)
        for _ in range(100):
            if inside(cloud, instance, "cat /srv/data/file 2>/dev/null || true") == "second":
                break
            time.sleep(0.1)
        else:
            raise AssertionError(console(ec2, instance, ""))
        ec2.terminate_instances(InstanceIds=[instance])
        until(ec2, "terminated", instance)
        becomes(ec2, volume, "available")
        ec2.delete_volume(VolumeId=volume)


ON_BOOT = """#!/bin/sh
set -e
mkfs.ext4 -q /dev/sdf; mkdir -p /data; mount /dev/sdf /data
mkfs.ext4 -q /dev/sdb; mkdir -p /scratch; mount /dev/sdb /scratch
echo kept > /data/file; echo kept > /scratch/file; sync
echo "all set;"
"""


def mapped(device, **ebs):
    return {"DeviceName": device, "Ebs": ebs}


def test_disks_that_an_instance_is_launched_with(cloud, ec2, name):
    ec2.delete_volume(VolumeId=create(ec2))
    called = name("disk")
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "Name", "Value": called}]}]
    disks = [mapped("/dev/sdf", VolumeSize=1, VolumeType="gp3"),
             mapped("/dev/sdg", VolumeSize=2, DeleteOnTermination=True)]
    instance = launch(ec2, InstanceType="c5d.large", UserData=ON_BOOT, BlockDeviceMappings=disks, TagSpecifications=tags)
    instance = instance["Instances"][0]["InstanceId"]
    until(ec2, "running", instance)
    console(ec2, instance, "all set;")
    shown = {it["DeviceName"]: it["Ebs"] for it in show(ec2, instance)["BlockDeviceMappings"]}
    assert {at: (it["Status"], it["DeleteOnTermination"]) for at, it in shown.items()} == {
        "/dev/sdf": ("attached", False), "/dev/sdg": ("attached", True)}
    keeps, goes = shown["/dev/sdf"]["VolumeId"], shown["/dev/sdg"]["VolumeId"]
    by_tag = ec2.describe_volumes(Filters=[{"Name": "tag:Name", "Values": [called]}])["Volumes"]
    assert {it["VolumeId"] for it in by_tag} == {keeps, goes}
    taken = {"VolumeId": create(ec2, AvailabilityZone=zone_of(ec2, instance)), "InstanceId": instance}
    assert code(ec2.attach_volume, Device="/dev/sdb", **taken) == "InvalidParameterValue"
    ec2.delete_volume(VolumeId=taken["VolumeId"])

    # The instance store lives through a reboot, and is blank after a stop.
    ec2.reboot_instances(InstanceIds=[instance])
    again = "for i in 1 2 3 4 5 6 7 8 9 10; do [ -b /dev/sdb ] && break; sleep 0.3; done; mount %s /mnt; cat /mnt/file; umount /mnt"
    rebooted(cloud, ec2, instance)
    assert inside(cloud, instance, again % "/dev/sdb") == "kept"
    ec2.stop_instances(InstanceIds=[instance])
    until(ec2, "stopped", instance)
    ec2.modify_instance_attribute(InstanceId=instance, BlockDeviceMappings=[
        {"DeviceName": "/dev/sdf", "Ebs": {"DeleteOnTermination": True}},
        {"DeviceName": "/dev/sdg", "Ebs": {"DeleteOnTermination": False}}])
    ec2.start_instances(InstanceIds=[instance])
    until(ec2, "running", instance)
    assert inside(cloud, instance, again % "/dev/sdf") == "kept"
    assert inside(cloud, instance, "head -c 1048576 /dev/sdb | tr -d '\\0' | wc -c") == "0"

    ec2.terminate_instances(InstanceIds=[instance])
    until(ec2, "terminated", instance)
    becomes(ec2, goes, "available")
    ec2.delete_volume(VolumeId=goes)
    ec2.get_waiter("volume_deleted").wait(VolumeIds=[keeps], WaiterConfig={"Delay": 1, "MaxAttempts": 60})


def rebooted(cloud, ec2, instance):
    """Waits until an instance that was asked to reboot has done so: nothing is mounted any more."""
    for _ in range(200):
        try:
            if inside(cloud, instance, "grep -c ' /data ' /proc/mounts || true") == "0":
                return
        except AssertionError:
            pass  # It is on its way.
        time.sleep(0.1)
    raise AssertionError(console(ec2, instance, ""))


def test_disks_that_cannot_be(ec2):
    ec2.delete_volume(VolumeId=create(ec2))

    def refused(*disks):
        return code(lambda: launch(ec2, BlockDeviceMappings=list(disks)))

    one = mapped("/dev/sdf", VolumeSize=1)
    assert refused(one, one) == "InvalidBlockDeviceMapping"
    assert refused(mapped("/dev/sdf")) == "MissingParameter"
    assert refused(mapped("sdf", VolumeSize=1)) == "InvalidParameterValue"
    assert refused(mapped("/dev/sdf", SnapshotId="snap-0123456789abcdef0")) == "InvalidSnapshot.NotFound"
    assert refused({"DeviceName": "/dev/sdf", "VirtualName": "floppy"}) == "InvalidParameterValue"


def test_types_with_an_instance_store_say_so(ec2):
    filters = [{"Name": "instance-storage-supported", "Values": ["true"]}]
    types = ec2.describe_instance_types(Filters=filters)["InstanceTypes"]
    if not types:
        pytest.skip("the host is too small for them")
    assert all(it["InstanceStorageInfo"]["TotalSizeInGB"] > 0 for it in types)


def on_disk(cloud, text):
    """Whether the host's files of volumes hold this text in the clear."""
    found = subprocess.run(["grep", "-rqF", text, cloud.directory / "volumes"])
    return found.returncode == 0


def test_an_encrypted_volume_is_ciphertext_on_the_host(cloud, ec2, name):
    ec2.delete_volume(VolumeId=create(ec2))
    kms = cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    instance = launch(ec2)["Instances"][0]["InstanceId"]
    until(ec2, "running", instance)
    here = {"AvailabilityZone": zone_of(ec2, instance)}
    clear, secret = name("clear"), name("secret")
    plain = create(ec2, **here)
    sealed = create(ec2, **here, Encrypted=True, KmsKeyId=key)
    shown = volume_of(ec2, sealed)
    assert shown["Encrypted"] and shown["KmsKeyId"] == key
    for volume, device in ((plain, "/dev/sdf"), (sealed, "/dev/sdg")):
        ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device=device)
        becomes(ec2, volume, "in-use")
    inside(cloud, instance, f"echo {clear} > /dev/sdf; echo {secret} > /dev/sdg; sync")
    assert on_disk(cloud, clear) and not on_disk(cloud, secret)

    # Snapshots, copies and what is made of them are sealed as well.
    snapshot = ec2.create_snapshot(VolumeId=sealed)["SnapshotId"]
    assert completed(ec2, snapshot)["KmsKeyId"] == key
    of_plain = ec2.create_snapshot(VolumeId=plain)["SnapshotId"]
    completed(ec2, of_plain)
    copy = ec2.copy_snapshot(SourceRegion="us-east-1", SourceSnapshotId=of_plain, Encrypted=True)["SnapshotId"]
    assert completed(ec2, copy)["Encrypted"] and "KmsKeyId" in completed(ec2, copy)
    restored, resealed = create(ec2, **here, SnapshotId=snapshot), create(ec2, **here, SnapshotId=copy)
    assert volume_of(ec2, restored)["KmsKeyId"] == key and volume_of(ec2, resealed)["Encrypted"]
    for volume in (plain, sealed):
        ec2.detach_volume(VolumeId=volume)
        becomes(ec2, volume, "available")
    ec2.delete_volume(VolumeId=plain)
    ec2.delete_snapshot(SnapshotId=of_plain)
    for _ in range(100):
        if not on_disk(cloud, clear):
            break
        time.sleep(0.1)
    else:
        raise AssertionError("the original is still there")
    for volume, device in ((restored, "/dev/sdf"), (resealed, "/dev/sdg")):
        ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device=device)
        becomes(ec2, volume, "in-use")
    assert inside(cloud, instance, "head -n 1 /dev/sdf; head -n 1 /dev/sdg").split() == [secret, clear]

    # Without its key a volume cannot be attached, nor can an instance that has it start.
    kms.disable_key(KeyId=key)
    at = {"InstanceId": instance, "Device": "/dev/sdh"}
    assert code(ec2.attach_volume, VolumeId=sealed, **at) == "InvalidKMSKey.InvalidState"
    assert code(ec2.create_volume, **here, SnapshotId=snapshot) == "InvalidKMSKey.InvalidState"
    assert inside(cloud, instance, "head -n 1 /dev/sdf") == secret
    ec2.stop_instances(InstanceIds=[instance])
    until(ec2, "stopped", instance)
    ec2.start_instances(InstanceIds=[instance])
    for _ in range(100):
        if show(ec2, instance)["State"]["Name"] == "stopped":
            break
        time.sleep(0.1)
    assert show(ec2, instance)["StateReason"]["Code"] == "Client.InternalError"
    kms.enable_key(KeyId=key)
    ec2.start_instances(InstanceIds=[instance])
    until(ec2, "running", instance)
    assert inside(cloud, instance, "head -n 1 /dev/sdf; head -n 1 /dev/sdg").split() == [secret, clear]
    ec2.terminate_instances(InstanceIds=[instance])
    until(ec2, "terminated", instance)
    for volume in (sealed, restored, resealed):
        becomes(ec2, volume, "available")
        ec2.delete_volume(VolumeId=volume)


def test_encryption_where_nothing_is_said(cloud):
    ec2 = cloud.client("ec2", region="eu-north-1")
    place = {"AvailabilityZone": "eu-north-1a"}
    ec2.delete_volume(VolumeId=create(ec2, **place))
    assert not ec2.get_ebs_encryption_by_default()["EbsEncryptionByDefault"]
    assert ec2.get_ebs_default_kms_key_id()["KmsKeyId"] == "alias/aws/ebs"
    assert ec2.enable_ebs_encryption_by_default()["EbsEncryptionByDefault"]
    aws = volume_of(ec2, create(ec2, **place))
    assert aws["Encrypted"]
    key = cloud.client("kms", region="eu-north-1").create_key()["KeyMetadata"]["Arn"]
    assert ec2.modify_ebs_default_kms_key_id(KmsKeyId=key)["KmsKeyId"] == key
    mine = volume_of(ec2, create(ec2, **place))
    assert mine["KmsKeyId"] == key != aws["KmsKeyId"]
    assert ec2.reset_ebs_default_kms_key_id()["KmsKeyId"] == "alias/aws/ebs"
    assert not ec2.disable_ebs_encryption_by_default()["EbsEncryptionByDefault"]
    for volume in (aws, mine):
        ec2.delete_volume(VolumeId=volume["VolumeId"])


def image_becomes(ec2, image, state):
    for _ in range(300):
        (shown,) = ec2.describe_images(ImageIds=[image])["Images"]
        if shown["State"] == state:
            return shown
        time.sleep(0.1)
    raise AssertionError(shown)


CHANGES = """set -e
echo made > /root/mark; mkdir /opt/app; ln -s ../mark /opt/app/link
rm /etc/timezone; echo '#!/bin/sh' > /usr/local/bin/mine; chmod 755 /usr/local/bin/mine
echo on disk > /dev/sdf; sync
"""
LOOK = """cat /root/mark; test -L /opt/app/link && test -x /usr/local/bin/mine && test ! -e /etc/timezone && echo same
head -n 1 /dev/sdf; hostname; cat /etc/hostname"""


def test_an_image_of_an_instance(cloud, ec2, name):
    ec2.delete_volume(VolumeId=create(ec2))
    disk = mapped("/dev/sdf", VolumeSize=1, DeleteOnTermination=True)
    one = launch(ec2, BlockDeviceMappings=[disk])["Instances"][0]["InstanceId"]
    until(ec2, "running", one)
    inside(cloud, one, CHANGES)
    boot = inside(cloud, one, "cat /proc/sys/kernel/random/boot_id")
    called = name("image")
    image = ec2.create_image(InstanceId=one, Name=called, Description="first")["ImageId"]
    assert code(ec2.create_image, InstanceId=one, Name=called) == "InvalidAMIName.Duplicate"
    assert code(ec2.create_image, InstanceId=one, Name="no!") == "InvalidAMIName.Malformed"
    shown = image_becomes(ec2, image, "available")
    assert (shown["Name"], shown["Description"], shown["SourceInstanceId"]) == (called, "first", one)
    (mapping,) = shown["BlockDeviceMappings"]
    snapshot = mapping["Ebs"]["SnapshotId"]
    assert code(ec2.delete_snapshot, SnapshotId=snapshot) == "InvalidSnapshot.InUse"
    # It was rebooted for it.
    for _ in range(200):
        try:
            if inside(cloud, one, "cat /proc/sys/kernel/random/boot_id") != boot:
                break
        except AssertionError:
            time.sleep(0.1)
    quick = ec2.create_image(InstanceId=one, Name=name("quick"), NoReboot=True)["ImageId"]
    image_becomes(ec2, quick, "available")
    ec2.terminate_instances(InstanceIds=[one])
    until(ec2, "terminated", one)

    two = launch(ec2, ImageId=image)["Instances"][0]["InstanceId"]
    until(ec2, "running", two)
    seen = inside(cloud, two, LOOK).splitlines()
    assert seen[:3] == ["made", "same", "on disk"]
    # Its names are its own.
    assert seen[3] == seen[4] == show(ec2, two)["PrivateDnsName"]
    # Of an image of an image; and one that was deregistered lives on under who has it.
    inside(cloud, two, "echo again > /root/mark")
    again = ec2.create_image(InstanceId=two, Name=name("again"), NoReboot=True)["ImageId"]
    image_becomes(ec2, again, "available")
    there = cloud.client("ec2", region="eu-west-1")
    copy = there.copy_image(SourceRegion="us-east-1", SourceImageId=quick, Name=name("copy"))["ImageId"]
    copied = image_becomes(there, copy, "available")
    assert copied["SourceImageId"] == quick
    for gone in (image, quick):
        snapshots = [it["Ebs"]["SnapshotId"] for it in ec2.describe_images(ImageIds=[gone])["Images"][0]["BlockDeviceMappings"]]
        ec2.deregister_image(ImageId=gone)
        assert code(lambda: launch(ec2, ImageId=gone)) == "InvalidAMIID.NotFound"
        for it in snapshots:
            ec2.delete_snapshot(SnapshotId=it)
    ec2.reboot_instances(InstanceIds=[two])
    without = [{"DeviceName": "/dev/sdf", "NoDevice": ""}]
    three = launch(ec2, ImageId=again, BlockDeviceMappings=without)["Instances"][0]["InstanceId"]
    until(ec2, "running", three)
    assert inside(cloud, three, "cat /root/mark; ls /dev/sdf 2>/dev/null || echo none") == "again\nnone"
    ec2.terminate_instances(InstanceIds=[two, three])
    until(ec2, "terminated", two, three)
    ec2.deregister_image(ImageId=again, DeleteAssociatedSnapshots=True)
    there.deregister_image(ImageId=copy, DeleteAssociatedSnapshots=True)
    images = cloud.directory / "compute" / "images"
    for _ in range(100):
        if not list(images.glob("ami-*")):
            break
        time.sleep(0.1)
    else:
        raise AssertionError(list(images.glob("ami-*")))


def test_an_imported_root_file_system(cloud, ec2, name, tmp_path):
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "usr/bin").mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    for tool in ("sh", "cat", "mkdir"):
        shutil.copy(os.path.realpath(shutil.which(tool)), root / "usr/bin" / tool)
        needs = subprocess.run(["ldd", shutil.which(tool)], capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+) \(0x", needs):
            at = root / library.lstrip("/")
            at.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, at)
    called = name("small")
    (root / "etc/mark").write_text(called)
    archive = tmp_path / "root.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", root, "."], check=True)
    image = cloud.gureum("image", "import", called, archive).stdout.strip()
    for _ in range(100):
        found = ec2.describe_images(Filters=[{"Name": "name", "Values": [called]}])["Images"]
        if found:
            break
        time.sleep(0.1)
    assert found[0]["ImageId"] == image
    instance = launch(ec2, ImageId=image)["Instances"][0]["InstanceId"]
    until(ec2, "running", instance)
    assert inside(cloud, instance, "cat /etc/mark") == called
    ec2.terminate_instances(InstanceIds=[instance])
    until(ec2, "terminated", instance)
    ec2.deregister_image(ImageId=image)
