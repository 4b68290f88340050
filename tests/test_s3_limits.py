"""S3 where it gets tight: ten thousand objects in a bucket, and a disk that is full."""

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import pytest
from botocore.exceptions import ClientError
from conftest import private_cloud, refused

MIB = 1 << 20
FOLDERS, LEAVES = 100, 100


def in_parallel(work, things):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return list(pool.map(work, things))


def pages(s3, **arguments):
    return list(s3.get_paginator("list_objects_v2").paginate(**arguments))


def test_ten_thousand_objects(client, name):
    s3 = client("s3", max_pool_connections=16)
    bucket = name("many")
    s3.create_bucket(Bucket=bucket)
    keys = [f"{folder:02}/{leaf:02}" for folder in range(FOLDERS) for leaf in range(LEAVES)]
    in_parallel(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=key.encode()), keys)

    listed = pages(s3, Bucket=bucket)
    assert [page["KeyCount"] for page in listed] == [1000] * 10
    assert [found["Key"] for page in listed for found in page["Contents"]] == keys

    folded = pages(s3, Bucket=bucket, Delimiter="/", PaginationConfig={"PageSize": 30})
    assert [page["KeyCount"] for page in folded] == [30, 30, 30, 10]
    assert [f["Prefix"] for page in folded for f in page["CommonPrefixes"]] == [f"{n:02}/" for n in range(FOLDERS)]
    assert not any("Contents" in page for page in folded)

    thousands = [keys[start:start + 1000] for start in range(0, len(keys), 1000)]
    for deleted in in_parallel(
        lambda some: s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in some]}), thousands
    ):
        assert len(deleted["Deleted"]) == 1000 and "Errors" not in deleted
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    s3.delete_bucket(Bucket=bucket)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_refuses_and_recovers(tmp_path):
    # In a mount namespace of its own, so that the disk is gone with whoever uses it.
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, __file__, tmp_path], capture_output=True, text=True
    )
    if done.returncode == NO_MOUNTS:
        pytest.skip("this machine lets nobody mount")
    assert done.returncode == 0, done.stderr


NO_MOUNTS = 77


def fill(disk):
    """Fills a disk of its own through S3; runs in a process of its own."""
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=192m", "tmpfs", disk]).returncode:
        sys.exit(NO_MOUNTS)
    tempfile.tempdir = disk
    ballast = pathlib.Path(disk) / "ballast"
    ballast.write_bytes(bytes(64 * MIB))
    with private_cloud() as cloud:
        s3 = cloud.client("s3")
        s3.create_bucket(Bucket="full")
        body = os.urandom(8 * MIB)
        kept = []
        with refused("SlowDown", "no space left") as raised:
            for number in range(100):
                s3.put_object(Bucket="full", Key=f"{number:03}", Body=body)
                kept.append(f"{number:03}")
        assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503
        assert kept, "the disk was full before anything was put"

        def check():
            assert [found["Key"] for found in s3.list_objects_v2(Bucket="full").get("Contents", [])] == kept
            for key in kept:
                assert s3.get_object(Bucket="full", Key=key)["Body"].read() == body

        check()
        # What is full can be emptied, and there is room again.
        gone = kept.pop(0)
        s3.delete_object(Bucket="full", Key=gone)
        check()
        deadline = time.monotonic() + 30
        while gone not in kept:
            try:
                s3.put_object(Bucket="full", Key=gone, Body=body)
                kept.insert(0, gone)
            except ClientError as error:
                assert error.response["Error"]["Code"] == "SlowDown" and time.monotonic() < deadline
                time.sleep(0.2)
        check()
        ballast.unlink()
        s3.put_object(Bucket="full", Key="later", Body=body)
        kept.append("later")
        check()
        cloud.kill()
        cloud.start()
        check()


if __name__ == "__main__":
    fill(sys.argv[1])
