"""kill -9 under load, again and again: what was acknowledged is there, and nothing is torn.

Each writer keeps a ledger. Before a call it notes every outcome that a crash may leave; when the
call is acknowledged, only the one outcome is left. After each restart the cloud must agree with
the ledgers; what it chose of the open outcomes is then the truth that the next round holds it to.
"""

import contextlib
import hashlib
import itertools
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import urllib3
from botocore.exceptions import ConnectionError, HTTPClientError
from conftest import private_cloud, refused

ROUNDS = int(os.environ.get("GUREUM_CRASH_ROUNDS", "10"))
# What a client sees when the server dies under it. An error reply is not among these.
CUT_OFF = (ConnectionError, HTTPClientError, urllib3.exceptions.HTTPError)
ABSENT = None


class Ledger:
    """For each name, the outcomes that are possible now; `ABSENT` is one of them."""

    def __init__(self):
        self.possible = {}
        self.lock = threading.Lock()

    @contextlib.contextmanager
    def change(self, name, outcome):
        """Around a call that makes `name` be `outcome`. Cut off, it may have happened or not."""
        with self.lock:
            mine = self.possible.get(name, {ABSENT}) | {outcome}
            self.possible[name] = mine
        yield
        with self.lock:
            # A message may be received before its sender hears that it was sent.
            if self.possible[name] is mine:
                self.possible[name] = {outcome}

    def settle(self, found):
        """Compares with everything that was found, and takes it as the truth."""
        unheard_of = found.keys() - self.possible.keys()
        assert not unheard_of, f"nobody made {unheard_of}"
        for name, possible in self.possible.items():
            outcome = found.get(name, ABSENT)
            assert outcome in possible, f"{name} is {outcome}, but may only be one of {possible}"
            self.possible[name] = {outcome}

    def present(self):
        return [name for name, possible in self.possible.items() if ABSENT not in possible]


class Users:
    """Creates IAM users, and deletes every third."""

    def __init__(self, cloud):
        self.iam = cloud.client("iam")
        self.ledger = Ledger()
        self.numbers = itertools.count()

    def step(self, chance):
        number = next(self.numbers)
        with self.ledger.change(f"user-{number}", "user"):
            self.iam.create_user(UserName=f"user-{number}")
        if number % 3 == 0:
            with self.ledger.change(f"user-{number}", ABSENT):
                self.iam.delete_user(UserName=f"user-{number}")

    def check(self):
        pages = self.iam.get_paginator("list_users").paginate()
        users = [user["UserName"] for page in pages for user in page["Users"]]
        self.ledger.settle(dict.fromkeys(users, "user"))


class Objects:
    """Puts, overwrites and deletes a few keys, in the sizes that it is given."""

    KEYS = 12

    def __init__(self, cloud, bucket, sizes):
        self.s3 = cloud.client("s3")
        self.bucket = bucket
        self.sizes = sizes
        self.ledger = Ledger()
        self.s3.create_bucket(Bucket=bucket)

    def step(self, chance):
        key = f"key-{chance.randrange(self.KEYS)}"
        if chance.random() < 0.25:
            with self.ledger.change(key, ABSENT):
                self.s3.delete_object(Bucket=self.bucket, Key=key)
        else:
            content = chance.randbytes(chance.choice(self.sizes))
            with self.ledger.change(key, digest(content)):
                self.put(key, content)

    def put(self, key, content):
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)

    def check(self):
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket)
        listed = {entry["Key"]: entry for page in pages for entry in page.get("Contents", [])}
        found = {}
        for key, entry in listed.items():
            reply = self.s3.get_object(Bucket=self.bucket, Key=key)
            content = reply["Body"].read()
            assert len(content) == reply["ContentLength"] == entry["Size"]
            assert reply["ETag"] == entry["ETag"]
            found[key] = digest(content)
        for key in self.ledger.possible.keys() - listed.keys():
            with refused("404"):
                self.s3.head_object(Bucket=self.bucket, Key=key)
        self.ledger.settle(found)

    def clear(self):
        for key in self.ledger.present():
            self.s3.delete_object(Bucket=self.bucket, Key=key)


class Uploads(Objects):
    """The same with objects in parts; uploads that a crash cut off stay until they are aborted."""

    PART = 5 << 20

    def put(self, key, content):
        target = {"Bucket": self.bucket, "Key": key}
        target["UploadId"] = self.s3.create_multipart_upload(**target)["UploadId"]
        parts = []
        for number, at in enumerate(range(0, len(content), self.PART), 1):
            part = content[at : at + self.PART]
            reply = self.s3.upload_part(**target, PartNumber=number, Body=part)
            parts.append({"PartNumber": number, "ETag": reply["ETag"]})
        self.s3.complete_multipart_upload(**target, MultipartUpload={"Parts": parts})

    def clear(self):
        super().clear()
        pages = self.s3.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket)
        for upload in [upload for page in pages for upload in page.get("Uploads", [])]:
            self.s3.abort_multipart_upload(
                Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
            )


class Queue:
    """One queue with its ledger of messages, which are numbers."""

    # Seconds after which a message comes back whose receiver was cut off.
    HIDDEN = 1

    def __init__(self, cloud, name, **attributes):
        self.sqs = cloud.client("sqs")
        attributes["VisibilityTimeout"] = str(self.HIDDEN)
        self.url = self.sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.ledger = Ledger()
        self.numbers = itertools.count()

    def send(self, **more):
        body = str(next(self.numbers))
        with self.ledger.change(body, "message"):
            self.sqs.send_message(QueueUrl=self.url, MessageBody=body, **more)

    def receive(self):
        """Receives some messages and deletes them; tells what they were, in their order."""
        reply = self.sqs.receive_message(
            QueueUrl=self.url,
            MaxNumberOfMessages=10,
            MessageSystemAttributeNames=["MessageGroupId"],
        )
        messages = reply.get("Messages", [])
        with contextlib.ExitStack() as changes:
            for message in messages:
                body = message["Body"]
                assert "message" in self.ledger.possible[body], f"message {body} was deleted"
                changes.enter_context(self.ledger.change(body, ABSENT))
            if messages:
                receipts = [
                    {"Id": message["Body"], "ReceiptHandle": message["ReceiptHandle"]}
                    for message in messages
                ]
                reply = self.sqs.delete_message_batch(QueueUrl=self.url, Entries=receipts)
                assert not reply.get("Failed")
        return [
            (message.get("Attributes", {}).get("MessageGroupId"), int(message["Body"]))
            for message in messages
        ]

    def check(self):
        """Empties the queue: all that must be there comes, in order, and nothing comes twice."""
        owed = {body for body, possible in self.ledger.possible.items() if ABSENT not in possible}
        came = []
        # What a receiver held when it was cut off comes back after this time.
        silent = time.monotonic() + self.HIDDEN + 0.2
        patience = time.monotonic() + 20
        while time.monotonic() < (patience if owed - bodies(came) else silent):
            came += self.receive()
        assert owed <= bodies(came), f"lost: {owed - bodies(came)}"
        assert len(came) == len(bodies(came)), "a deleted message came back"
        # What did not come from an emptied queue was never sent, or is deleted.
        self.ledger.settle({})
        self.check_order(came)

    def check_order(self, came):
        """A standard queue promises none."""


class Fifo(Queue):
    """A FIFO queue with three message groups."""

    def __init__(self, cloud, name):
        super().__init__(cloud, name, FifoQueue="true", ContentBasedDeduplication="true")

    def send(self):
        super().send(MessageGroupId=f"group-{random.randrange(3)}")

    def check_order(self, came):
        for group in {group for group, _ in came}:
            numbers = [number for of, number in came if of == group]
            assert numbers == sorted(numbers), f"{group} is out of order: {numbers}"


class Step:
    """One side of a queue as a writer of its own."""

    def __init__(self, step, check=lambda: None):
        self.step = lambda chance: step()
        self.check = check


def digest(content):
    return f"{len(content)} bytes, {hashlib.sha256(content).hexdigest()[:16]}"


def bodies(came):
    return {str(number) for _, number in came}


def run_until_cut_off(writer, chance, failures):
    try:
        while True:
            writer.step(chance)
    except CUT_OFF:
        pass
    except BaseException as failure:  # whatever it is, the test is told
        failures.append(failure)


def kill_under_load(cloud, writers, chance):
    failures = []
    threads = [
        threading.Thread(
            target=run_until_cut_off, args=(writer, random.Random(chance.random()), failures)
        )
        for writer in writers
    ]
    for thread in threads:
        thread.start()
    time.sleep(chance.uniform(0.1, 0.8))
    cloud.kill()
    for thread in threads:
        thread.join()
    assert not failures, failures


def content_files(cloud):
    return [path for path in (cloud.directory / "blobs" / "data").rglob("*") if path.is_file()]


def test_what_was_acknowledged_survives_kill_9():
    chance = random.Random(4566)
    with private_cloud() as cloud:
        queue, fifo = Queue(cloud, "standard"), Fifo(cloud, "ordered.fifo")
        small = Objects(cloud, "small", [0, 1, 4096, 65_536])
        large = Objects(cloud, "large", [65_537, 300_000, 2 << 20])
        parts = Uploads(cloud, "parts", [5 << 20, (5 << 20) + 1, 11 << 20])
        writers = [Users(cloud), small, large, parts]
        writers += [Step(queue.send, queue.check), Step(queue.receive)]
        writers += [Step(fifo.send, fifo.check), Step(fifo.receive)]
        for _ in range(ROUNDS):
            kill_under_load(cloud, writers, chance)
            cloud.start()
            # All at once, for most of a check is waiting for what a receiver held.
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda writer: writer.check(), writers))
        for objects in (small, large, parts):
            objects.clear()
        # A restart also sweeps up what the last crash left.
        cloud.stop()
        cloud.start()
        deadline = time.monotonic() + 20
        while content_files(cloud) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not content_files(cloud), "content that nobody refers to is left"
