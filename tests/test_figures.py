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


def launch(cloud, script):
    ec2 = cloud.client("ec2")
    (image,) = ec2.describe_images(Owners=["amazon"])["Images"]
    try:
        made = ec2.run_instances(
            ImageId=image["ImageId"], InstanceType="t3.nano", MinCount=1, MaxCount=1, UserData=script
        )
    except ClientError as error:
        if "this host" in str(error):
            pytest.skip(str(error))
        raise
    return made["Instances"][0]["InstanceId"]


def sum_of(points):
    return sum(value for _, value in points)


def test_figures_are_measured_and_kept():
    with private_cloud() as cloud:
        busy, talking = launch(cloud, BUSY), launch(cloud, TALKING)

        def figures(instance):
            return cloud.page(f"resources/{instance}")["figures"]

        def now(instance, name):
            live = figures(instance)["now"] or {"figures": {}}
            return live["figures"].get(name)

        def minutes(instance, name):
            return figures(instance)["minutes"].get(name, [])

        eventually(lambda: now(busy, "NetworkOut") is not None and now(talking, "NetworkOut") is not None)
        if now(busy, "CPUUtilization") is None:
            pytest.skip("this host has no control groups for us")
        # A full quota is a full load, however small the quota.
        eventually(lambda: now(busy, "CPUUtilization") > 80)
        eventually(lambda: now(talking, "CPUUtilization") < 50)
        assert "%" in cloud.gureum("status").stdout
        # What was measured stays, also when the cloud is killed.
        eventually(lambda: minutes(busy, "CPUUtilization") and sum_of(minutes(talking, "NetworkOut")) > 2_000_000)
        kept = minutes(busy, "CPUUtilization")
        sent = sum_of(minutes(talking, "NetworkOut"))
        assert 2_000_000 <= sent <= 2_500_000
        assert [value for _, value in minutes(busy, "StatusCheckFailed")][0] == 0
        cloud.kill()
        cloud.start()
        assert minutes(busy, "CPUUtilization")[: len(kept)] == kept
