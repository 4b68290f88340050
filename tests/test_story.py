"""What the README promises, told as a person would do it: with the stock AWS CLI and boto3."""

import hashlib
import json
import os
import pathlib
import subprocess
import threading
import time

import pytest

from conftest import private_cloud

ROOT = pathlib.Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def own():
    with private_cloud() as cloud:
        yield cloud


def checksums(directory):
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_this_repository_goes_up_and_comes_down_again(own, tmp_path, name, tls):
    source = tmp_path / "source"
    # S3 tells whole seconds: what was written in the second of its upload would look newer than its copy.
    written = time.time() - 60
    listed = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=True)
    for line in listed.stdout.splitlines()[:400]:
        if (ROOT / line).is_file():
            (source / line).parent.mkdir(parents=True, exist_ok=True)
            (source / line).write_bytes((ROOT / line).read_bytes())
            os.utime(source / line, (written, written))
    bucket = name("repository")
    own.cli("s3", "mb", f"s3://{bucket}", tls=tls)
    own.cli("s3", "sync", "--quiet", source, f"s3://{bucket}/copy", tls=tls)
    again = own.cli("s3", "sync", source, f"s3://{bucket}/copy", tls=tls)
    assert again.stdout == "", "a second sync has nothing to do"
    own.cli("s3", "sync", "--quiet", f"s3://{bucket}/copy", tmp_path / "back", tls=tls)
    assert checksums(tmp_path / "back") == checksums(source)
    own.cli("s3", "rb", "--force", f"s3://{bucket}", tls=tls)


def test_a_user_who_may_read_one_prefix_and_nothing_else(own, name):
    bucket, user = name("docs"), name("kim")
    s3 = own.client("s3")
    s3.create_bucket(Bucket=bucket)
    for key in ("public/a.txt", "private/b.txt"):
        s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    iam = own.client("iam")
    iam.create_user(UserName=user)
    policy = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{bucket}/public/*",
        },
    }
    iam.put_user_policy(UserName=user, PolicyName="read", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    theirs = own.client("s3", key=key["AccessKeyId"], secret=key["SecretAccessKey"])

    assert theirs.get_object(Bucket=bucket, Key="public/a.txt")["Body"].read() == b"public/a.txt"
    for call in (
        lambda: theirs.get_object(Bucket=bucket, Key="private/b.txt"),
        lambda: theirs.put_object(Bucket=bucket, Key="public/a.txt", Body=b"mine"),
        lambda: theirs.list_objects_v2(Bucket=bucket),
        lambda: theirs.list_buckets(),
    ):
        with pytest.raises(theirs.exceptions.ClientError) as refused:
            call()
        assert refused.value.response["Error"]["Code"] == "AccessDenied"


def test_an_assumed_role_may_what_its_policy_says(own, name):
    iam, role, queue = own.client("iam"), name("worker"), name("jobs")
    account = own.client("sts").get_caller_identity()["Account"]
    trust = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
            "Action": "sts:AssumeRole",
        },
    }
    arn = iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    policy = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": "sqs:SendMessage",
            "Resource": f"arn:aws:sqs:*:{account}:{queue}",
        },
    }
    iam.put_role_policy(RoleName=role, PolicyName="send", PolicyDocument=json.dumps(policy))
    url = own.client("sqs").create_queue(QueueName=queue)["QueueUrl"]

    session = own.client("sts").assume_role(RoleArn=arn, RoleSessionName="story")
    key = session["Credentials"]
    worker = own.client(
        "sqs", key=key["AccessKeyId"], secret=key["SecretAccessKey"], token=key["SessionToken"]
    )
    assert worker.send_message(QueueUrl=url, MessageBody="hello")["MessageId"]
    with pytest.raises(worker.exceptions.ClientError) as refused:
        worker.receive_message(QueueUrl=url)
    assert "not authorized to perform: sqs:receivemessage" in str(refused.value).lower()


def test_two_consumers_drain_a_fifo_queue_in_order(own, name):
    url = own.cli(
        "--endpoint-url", own.url, "sqs", "create-queue", "--queue-name", name("orders") + ".fifo",
        "--attributes", "FifoQueue=true,ContentBasedDeduplication=true",
        "--query", "QueueUrl", "--output", "text",
    ).stdout.strip()
    sqs = own.client("sqs")
    for number in range(40):
        sqs.send_message(QueueUrl=url, MessageBody=str(number), MessageGroupId=f"g{number % 2}")
    seen, lock = {"g0": [], "g1": []}, threading.Lock()

    def consume():
        mine = own.client("sqs")
        while True:
            got = mine.receive_message(
                QueueUrl=url, WaitTimeSeconds=1, MaxNumberOfMessages=3, AttributeNames=["MessageGroupId"]
            ).get("Messages")
            if not got:
                return
            for message in got:
                with lock:
                    seen[message["Attributes"]["MessageGroupId"]].append(int(message["Body"]))
                mine.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    consumers = [threading.Thread(target=consume) for _ in range(2)]
    for consumer in consumers:
        consumer.start()
    for consumer in consumers:
        consumer.join()
    assert seen == {"g0": list(range(0, 40, 2)), "g1": list(range(1, 40, 2))}


def test_what_was_acknowledged_survives_kill_9(name):
    with private_cloud() as cloud:
        bucket = name("kept")
        cloud.cli("s3", "mb", f"s3://{bucket}")
        url = cloud.client("sqs").create_queue(QueueName=name("kept"))["QueueUrl"]
        kept = []

        def work():
            s3, sqs = cloud.client("s3"), cloud.client("sqs")
            try:
                for number in range(100_000):
                    s3.put_object(Bucket=bucket, Key=f"k{number}", Body=str(number).encode() * 50)
                    sqs.send_message(QueueUrl=url, MessageBody=str(number))
                    kept.append(number)
            except Exception:
                return  # the cloud is gone, as it should be

        worker = threading.Thread(target=work)
        worker.start()
        while len(kept) < 30:
            pass
        cloud.kill()
        worker.join()
        cloud.start()
        s3, sqs = cloud.client("s3"), cloud.client("sqs")
        for number in kept:
            body = s3.get_object(Bucket=bucket, Key=f"k{number}")["Body"].read()
            assert body == str(number).encode() * 50
        found = set()
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            found.update(int(message["Body"]) for message in messages)
        assert set(kept) <= found
