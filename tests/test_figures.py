"""What instances do is measured: processor time against their own quota, and what passes their interfaces."""

import os
import time

import pytest
from botocore.exceptions import ClientError

from conftest import eventually, private_cloud

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="running instances here needs root")

BUSY = "#!/bin/sh\nwhile :; do :; done &\n"
# Sends 2 MB to the router, which does not take them: what leaves the instance counts.
TALKING = """#!/usr/bin/python3
import socket, time
line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(2000):
    line.sendto(b"x" * 1000, ("169.254.169.254", 9))
    time.sleep(0.001)
print("SENT", flush=True)
time.sleep(1000)
"""


def launch(cloud, script, detailed):
    ec2 = cloud.client("ec2")
    (image,) = ec2.describe_images(Owners=["amazon"])["Images"]
    try:
        made = ec2.run_instances(
            ImageId=image["ImageId"],
            InstanceType="t3.nano",
            MinCount=1,
            MaxCount=1,
            UserData=script,
            Monitoring={"Enabled": detailed},
        )
    except ClientError as error:
        if "this host" in str(error):
            pytest.skip(str(error))
        raise
    return made["Instances"][0]["InstanceId"]


def monitored(ec2):
    """Whose figures are kept by the minute."""
    wanted = {"Name": "monitoring-state", "Values": ["enabled"]}
    found = ec2.describe_instances(Filters=[wanted])["Reservations"]
    return {instance["InstanceId"] for reservation in found for instance in reservation["Instances"]}


def sum_of(points):
    return sum(value for _, value in points)


def test_figures_are_measured_and_kept():
    with private_cloud() as cloud:
        busy, talking = launch(cloud, BUSY, True), launch(cloud, TALKING, True)

        def figures(instance):
            return cloud.page(f"resources/{instance}")["figures"]

        def now(instance, name):
            live = figures(instance)["now"] or {"figures": {}}
            return live["figures"].get(name)

        def points(instance, name):
            return figures(instance)["points"].get(name, [])

        eventually(lambda: now(busy, "NetworkOut") is not None and now(talking, "NetworkOut") is not None)
        if now(busy, "CPUUtilization") is None:
            pytest.skip("this host has no control groups for us")
        # A full quota is a full load, however small the quota.
        eventually(lambda: now(busy, "CPUUtilization") > 80)
        eventually(lambda: now(talking, "CPUUtilization") < 50)
        assert "%" in cloud.gureum("status").stdout
        # What was measured stays, also when the cloud is killed.
        eventually(lambda: points(busy, "CPUUtilization") and sum_of(points(talking, "NetworkOut")) > 2_000_000)
        kept = points(busy, "CPUUtilization")
        sent = sum_of(points(talking, "NetworkOut"))
        assert 2_000_000 <= sent <= 2_500_000
        assert [value for _, value in points(busy, "StatusCheckFailed")][0] == 0
        cloud.kill()
        cloud.start()
        assert points(busy, "CPUUtilization")[: len(kept)] == kept


def test_monitoring_is_switched_for_all_or_none():
    with private_cloud() as cloud:
        first, second = launch(cloud, BUSY, True), launch(cloud, BUSY, False)
        ec2 = cloud.client("ec2")
        assert monitored(ec2) == {first}
        changed = ec2.monitor_instances(InstanceIds=[first, second])["InstanceMonitorings"]
        assert [(one["InstanceId"], one["Monitoring"]["State"]) for one in changed] == [
            (first, "enabled"),
            (second, "enabled"),
        ]
        assert monitored(ec2) == {first, second}
        with pytest.raises(ClientError, match="InvalidInstanceID.NotFound"):
            ec2.unmonitor_instances(InstanceIds=[first, "i-00000000000000000"])
        with pytest.raises(ClientError, match="DryRunOperation"):
            ec2.unmonitor_instances(InstanceIds=[first], DryRun=True)
        assert monitored(ec2) == {first, second}
        ec2.terminate_instances(InstanceIds=[second])
        with pytest.raises(ClientError, match="IncorrectInstanceState"):
            ec2.unmonitor_instances(InstanceIds=[first, second])
        (off,) = ec2.unmonitor_instances(InstanceIds=[first])["InstanceMonitorings"]
        assert off["Monitoring"] == {"State": "disabled"}
        assert monitored(ec2) == {second}
