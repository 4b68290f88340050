"""Images that are registered: root file systems in snapshots."""

import os
import subprocess
import time

import pytest

from conftest import private_cloud
from test_ebs import ABSENT, becomes, completed, create, ec2, image_becomes, inside, zone_of  # noqa: F401
from test_ebs_direct import attached, detached, machine, snapshot_of  # noqa: F401
from test_ec2 import code, launch, show, until

# A small root file system: a shell, and what it needs.
ROOT = r"""mkfs.%(kind)s -q /dev/sdf; mkdir -p /mnt/root; mount /dev/sdf /mnt/root; cd /mnt/root
mkdir -p etc usr/bin; ln -s usr/bin bin
for tool in sh cat mkdir head ls; do
    cp "$(command -v $tool)" usr/bin
    for needed in $(ldd "$(command -v $tool)" | grep -o '/[^ ]*'); do
        mkdir -p ".${needed%%/*}"; cp -L "$needed" ".$needed"
    done
done
echo '%(mark)s' > etc/mark; echo builder > etc/hostname
cd /; umount /mnt/root"""


@pytest.fixture
def root(ec2, machine, name):  # noqa: F811
    """Makes snapshots of a volume that holds a root file system."""
    instance, run = machine
    volume = attached(ec2, instance)
    mark = name("mark")
    run(ROOT % {"kind": "ext4", "mark": mark})
    snapshot = snapshot_of(ec2, volume)
    detached(ec2, volume)
    ec2.delete_volume(VolumeId=volume)
    yield snapshot, mark
    ec2.delete_snapshot(SnapshotId=snapshot)


def disk(device, **ebs):  # noqa: F811
    return {"DeviceName": device, "Ebs": ebs}


def sweeps(cloud, what):
    """Whether nothing is left of what an image was made of."""
    directory = cloud.directory / what
    for _ in range(150):
        if directory.is_dir() and not list(directory.glob("*ami-*")):
            return True
        time.sleep(0.1)
    return False


def test_a_snapshot_becomes_an_image_that_boots(cloud, ec2, root, name):  # noqa: F811
    snapshot, mark = root
    called = name("registered")
    disks = [disk("/dev/sda1", SnapshotId=snapshot, VolumeSize=2, VolumeType="gp3"), disk("/dev/sdh", VolumeSize=1)]
    about = {"Name": called, "Architecture": os.uname().machine.replace("aarch64", "arm64"), "EnaSupport": True,
             "RootDeviceName": "/dev/sda1", "VirtualizationType": "hvm", "BlockDeviceMappings": disks}
    assert code(ec2.register_image, **about, DryRun=True) == "DryRunOperation"
    image = ec2.register_image(**about)["ImageId"]
    shown = image_becomes(ec2, image, "available")
    assert (shown["RootDeviceName"], shown["RootDeviceType"], shown["Name"]) == ("/dev/sda1", "ebs", called)
    assert (shown["Architecture"], shown["VirtualizationType"]) == (about["Architecture"], "hvm")
    first, second = shown["BlockDeviceMappings"]
    assert (first["Ebs"]["SnapshotId"], first["Ebs"]["VolumeSize"]) == (snapshot, 2)
    assert second["DeviceName"] == "/dev/sdh" and "SnapshotId" not in second["Ebs"]
    assert code(ec2.register_image, **about) == "InvalidAMIName.Duplicate"
    assert code(ec2.delete_snapshot, SnapshotId=snapshot) == "InvalidSnapshot.InUse"
    # The device that it was read from is gone.
    assert sweeps(cloud, "volumes/volumes")

    one = launch(ec2, ImageId=image)["Instances"][0]["InstanceId"]
    until(ec2, "running", one)
    assert inside(cloud, one, "cat /etc/mark; ls /dev/sdh") == f"{mark}\n/dev/sdh"
    assert inside(cloud, one, "cat /etc/hostname") == show(ec2, one)["PrivateDnsName"]
    # Of its own are what it changes, and what it is made of when the image is gone.
    inside(cloud, one, "echo changed > /etc/mark")
    copy = ec2.copy_image(SourceRegion="us-east-1", SourceImageId=image, Name=name("copy"))["ImageId"]
    shown = image_becomes(ec2, copy, "available")
    copied = shown["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    assert copied != snapshot and shown["RootDeviceType"] == "ebs"
    ec2.deregister_image(ImageId=image)
    ec2.reboot_instances(InstanceIds=[one])
    two = launch(ec2, ImageId=copy)["Instances"][0]["InstanceId"]
    until(ec2, "running", two)
    assert inside(cloud, two, "cat /etc/mark") == mark
    ec2.deregister_image(ImageId=copy, DeleteAssociatedSnapshots=True)
    ec2.terminate_instances(InstanceIds=[one, two])
    until(ec2, "terminated", one, two)
    assert code(ec2.describe_snapshots, SnapshotIds=[copied]) == "InvalidSnapshot.NotFound"
    assert sweeps(cloud, "compute/images")


def test_what_is_no_root_file_system(ec2, machine, name):  # noqa: F811
    instance, run = machine
    volume = attached(ec2, instance)
    blank = snapshot_of(ec2, volume)
    run("mkfs.ext4 -q /dev/sdf")
    empty = snapshot_of(ec2, volume)
    for snapshot, why in ((blank, "no file system"), (empty, "no root file system")):
        disks = [disk("/dev/xvda", SnapshotId=snapshot)]
        image = ec2.register_image(Name=name("image"), RootDeviceName="/dev/xvda", BlockDeviceMappings=disks)["ImageId"]
        assert why in image_becomes(ec2, image, "failed")["StateReason"]["Message"]
        ec2.deregister_image(ImageId=image)
        ec2.delete_snapshot(SnapshotId=snapshot)
    detached(ec2, volume)
    ec2.delete_volume(VolumeId=volume)


def test_images_that_cannot_be_registered(ec2, name):  # noqa: F811
    volume = create(ec2, Size=2)
    snapshot = snapshot_of(ec2, volume)
    root = disk("/dev/sda1", SnapshotId=snapshot)
    refused = [
        ({"BlockDeviceMappings": []}, "InvalidBlockDeviceMapping"),
        ({"BlockDeviceMappings": [disk("/dev/sda1", VolumeSize=1)]}, "InvalidBlockDeviceMapping"),
        ({"BlockDeviceMappings": [root, root]}, "InvalidBlockDeviceMapping"),
        ({"BlockDeviceMappings": [disk("/dev/sda1", SnapshotId=snapshot, VolumeSize=1)]}, "InvalidBlockDeviceMapping"),
        ({"BlockDeviceMappings": [disk("/dev/sda1", SnapshotId=snapshot, Encrypted=True)]}, "InvalidBlockDeviceMapping"),
        ({"BlockDeviceMappings": [disk("/dev/sda1", SnapshotId="snap-0123456789abcdef0")]}, "InvalidSnapshot.NotFound"),
        ({"BlockDeviceMappings": [root], "VirtualizationType": "paravirtual"}, "NotImplemented"),
        ({"BlockDeviceMappings": [root], "Architecture": "i386"}, "NotImplemented"),
        ({"BlockDeviceMappings": [root], "Name": "no!"}, "InvalidAMIName.Malformed"),
    ]
    for parameters, error in refused:
        assert code(ec2.register_image, **{"Name": name("image"), **parameters}) == error, parameters
    ec2.delete_volume(VolumeId=volume)
    ec2.delete_snapshot(SnapshotId=snapshot)


def test_an_image_that_is_being_made_survives_kill_9():
    with private_cloud() as cloud:
        ec2_ = cloud.client("ec2")
        ec2_.delete_volume(VolumeId=create(ec2_))
        instance = launch(ec2_)["Instances"][0]["InstanceId"]
        until(ec2_, "running", instance)
        volume = attached(ec2_, instance)
        inside(cloud, instance, ROOT % {"kind": "ext4", "mark": "kept"})
        snapshot = snapshot_of(ec2_, volume)
        image = ec2_.register_image(Name="killed", BlockDeviceMappings=[disk("/dev/sda1", SnapshotId=snapshot)])["ImageId"]
        cloud.kill()
        cloud.start()
        image_becomes(ec2_, image, "available")
        guest = launch(ec2_, ImageId=image)["Instances"][0]["InstanceId"]
        until(ec2_, "running", guest)
        assert inside(cloud, guest, "cat /etc/mark") == "kept"
        cloud.kill()
        cloud.start()
        assert inside(cloud, guest, "cat /etc/mark") == "kept"
        ec2_.terminate_instances(InstanceIds=[instance, guest])
        until(ec2_, "terminated", instance, guest)
        # No device is left but those of volumes.
        becomes(ec2_, volume, "available")
        mine = str(cloud.directory)
        loops = subprocess.run(["losetup", "--list", "--noheadings", "-O", "BACK-FILE"], capture_output=True, text=True)
        assert mine not in loops.stdout
