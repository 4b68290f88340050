"""SQS by stock clients: both protocols, waiting, order, dead letters, and what a kill -9 leaves."""

import hashlib
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from conftest import private_cloud, refused


@pytest.fixture
def sqs(client):
    return client("sqs")


@pytest.fixture
def queue(sqs, name):
    """Makes queues: `queue(VisibilityTimeout="1")`, `queue("q", fifo=True)`."""

    def make(stem="q", fifo=False, **attributes):
        if fifo:
            attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true", **attributes}
        made = sqs.create_queue(QueueName=name(stem) + (".fifo" if fifo else ""), Attributes=attributes)
        return made["QueueUrl"]

    return make


def arn(sqs, url):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def attribute(sqs, url, name):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]


def receive(sqs, url, most=10, wait=0, **more):
    reply = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=most, WaitTimeSeconds=wait, AttributeNames=["All"],
        MessageAttributeNames=["All"], **more
    )
    return reply.get("Messages", [])


def test_a_message_with_all_its_attributes(sqs, queue):
    url = queue()
    attributes = {
        "text": {"DataType": "String.custom", "StringValue": "grüß"},
        "number": {"DataType": "Number", "StringValue": "-1.5"},
        "bytes": {"DataType": "Binary.png", "BinaryValue": b"\x00\xff"},
    }
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}
    # boto3 verifies all three digests by itself.
    sent = sqs.send_message(
        QueueUrl=url, MessageBody="구름", MessageAttributes=attributes, MessageSystemAttributes=trace
    )
    assert sent["MD5OfMessageBody"] == hashlib.md5("구름".encode()).hexdigest()
    assert "MD5OfMessageAttributes" in sent and "MD5OfMessageSystemAttributes" in sent
    [message] = receive(sqs, url)
    assert message["Body"] == "구름"
    assert message["MessageAttributes"] == attributes
    assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert message["Attributes"]["AWSTraceHeader"] == trace["AWSTraceHeader"]["StringValue"]
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert attribute(sqs, url, "ApproximateNumberOfMessagesNotVisible") == "0"


def test_errors_have_the_codes_that_clients_match_on(sqs, queue, name):
    url = queue()
    missing = url.rsplit("/", 1)[0] + "/" + name("none")
    with pytest.raises(sqs.exceptions.QueueDoesNotExist) as caught:
        sqs.send_message(QueueUrl=missing, MessageBody="x")
    reply = caught.value.response
    assert reply["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"
    assert reply["ResponseMetadata"]["HTTPStatusCode"] == 400
    with refused("InvalidParameterValue"):
        sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=11)
    with refused("ReceiptHandleIsInvalid"):
        sqs.delete_message(QueueUrl=url, ReceiptHandle="forged")
    with pytest.raises(sqs.exceptions.InvalidMessageContents):
        sqs.send_message(QueueUrl=url, MessageBody="a\x01")
    with pytest.raises(sqs.exceptions.PurgeQueueInProgress):
        sqs.purge_queue(QueueUrl=url)
        sqs.purge_queue(QueueUrl=url)
    with pytest.raises(sqs.exceptions.EmptyBatchRequest):
        sqs.send_message_batch(QueueUrl=url, Entries=[])
    with pytest.raises(sqs.exceptions.InvalidAttributeName):
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Nonsense"])
    with pytest.raises(sqs.exceptions.InvalidAttributeValue):
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "901"})
    with pytest.raises(sqs.exceptions.QueueNameExists):
        sqs.create_queue(QueueName=url.rsplit("/", 1)[1], Attributes={"DelaySeconds": "7"})
    sqs.delete_queue(QueueUrl=url)
    with pytest.raises(sqs.exceptions.QueueDeletedRecently):
        sqs.create_queue(QueueName=url.rsplit("/", 1)[1])


def test_attributes_have_their_defaults(sqs, queue):
    url = queue()
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert {k: attributes[k] for k in ("VisibilityTimeout", "DelaySeconds", "MaximumMessageSize")} == {
        "VisibilityTimeout": "30", "DelaySeconds": "0", "MaximumMessageSize": "1048576",
    }
    assert attributes["MessageRetentionPeriod"] == "345600"
    assert attributes["SqsManagedSseEnabled"] == "true"
    assert "FifoQueue" not in attributes and "Policy" not in attributes


def test_invisibility_is_exact(sqs, queue):
    url = queue(VisibilityTimeout="2")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    [first] = receive(sqs, url)
    began = time.monotonic()
    [second] = receive(sqs, url, wait=10)
    assert 1.7 <= time.monotonic() - began <= 2.3
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"
    assert first["ReceiptHandle"] != second["ReceiptHandle"]
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"], VisibilityTimeout=0)
    assert receive(sqs, url)
    with refused("InvalidParameterValue"):
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=43201)


def test_a_waiting_receiver_is_woken_by_a_send(sqs, queue, client):
    url = queue()
    got = {}

    def wait():
        got["messages"] = receive(client("sqs"), url, wait=20)
        got["at"] = time.monotonic()

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.7)
    sent = time.monotonic()
    sqs.send_message(QueueUrl=url, MessageBody="wake")
    waiting.join(10)
    assert [m["Body"] for m in got["messages"]] == ["wake"]
    assert got["at"] - sent < 0.5


def test_waiting_for_nothing_ends(sqs, queue):
    began = time.monotonic()
    assert receive(sqs, queue(ReceiveMessageWaitTimeSeconds="20"), wait=1) == []
    assert 0.9 <= time.monotonic() - began <= 2


def test_a_message_goes_to_one_of_many_waiters(sqs, queue, client):
    url = queue()
    counts = []

    def wait():
        counts.append(len(receive(client("sqs"), url, most=1, wait=4)))

    waiting = [threading.Thread(target=wait) for _ in range(8)]
    [thread.start() for thread in waiting]
    time.sleep(0.7)
    entries = [{"Id": str(n), "MessageBody": str(n)} for n in range(5)]
    sqs.send_message_batch(QueueUrl=url, Entries=entries)
    [thread.join() for thread in waiting]
    assert sorted(counts) == [0, 0, 0, 1, 1, 1, 1, 1]


def test_delay_seconds(sqs, queue):
    url = queue()
    sqs.send_message(QueueUrl=url, MessageBody="late", DelaySeconds=1)
    assert attribute(sqs, url, "ApproximateNumberOfMessagesDelayed") == "1"
    assert receive(sqs, url) == []
    assert [m["Body"] for m in receive(sqs, url, wait=5)] == ["late"]


def test_fifo_order_groups_and_deduplication(sqs, queue):
    url = queue(fifo=True)
    for group, body in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("a", "a1")]:
        sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=group)
    first = receive(sqs, url, most=1)
    assert [m["Body"] for m in first] == ["a1"]
    assert [m["Body"] for m in receive(sqs, url)] == ["b1"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first[0]["ReceiptHandle"])
    [second] = receive(sqs, url)
    assert second["Body"] == "a2"
    numbers = [m["Attributes"]["SequenceNumber"] for m in (first[0], second)]
    assert numbers == sorted(numbers) and len(numbers[0]) == 20
    with refused("MissingParameter"):
        sqs.send_message(QueueUrl=url, MessageBody="x")


def test_the_same_receive_attempt(sqs, queue):
    url = queue(fifo=True)
    sqs.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="g")
    first = receive(sqs, url, ReceiveRequestAttemptId="one")
    assert receive(sqs, url, ReceiveRequestAttemptId="two") == []
    again = receive(sqs, url, ReceiveRequestAttemptId="one")
    assert [m["ReceiptHandle"] for m in again] == [m["ReceiptHandle"] for m in first]


def test_dead_letters_and_their_way_back(sqs, queue):
    dead = queue("dead")
    policy = {"deadLetterTargetArn": arn(sqs, dead), "maxReceiveCount": 1}
    live = queue("live", VisibilityTimeout="0", RedrivePolicy=json.dumps(policy))
    sent = sqs.send_message(QueueUrl=live, MessageBody="poison")
    assert len(receive(sqs, live)) == 1
    assert receive(sqs, live) == []
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [live]
    [message] = receive(sqs, dead, VisibilityTimeout=0)
    assert message["MessageId"] == sent["MessageId"]
    assert message["Attributes"]["DeadLetterQueueSourceArn"] == arn(sqs, live)
    task = sqs.start_message_move_task(SourceArn=arn(sqs, dead))
    assert task["TaskHandle"]
    assert [m["Body"] for m in receive(sqs, live, wait=5)] == ["poison"]
    deadline = time.monotonic() + 10
    while True:
        [latest] = sqs.list_message_move_tasks(SourceArn=arn(sqs, dead))["Results"]
        if latest["Status"] != "RUNNING" or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert latest["Status"] == "COMPLETED"
    assert latest["ApproximateNumberOfMessagesMoved"] == 1
    with pytest.raises(sqs.exceptions.ResourceNotFoundException):
        sqs.list_message_move_tasks(SourceArn=arn(sqs, dead) + "-none")


def test_listing_tags_and_urls(sqs, name):
    prefix = name("list")
    urls = [sqs.create_queue(QueueName=f"{prefix}-{n}", tags={"n": str(n)})["QueueUrl"] for n in range(5)]
    pages = sqs.get_paginator("list_queues").paginate(
        QueueNamePrefix=prefix, PaginationConfig={"PageSize": 2}
    )
    assert [url for page in pages for url in page.get("QueueUrls", [])] == urls
    assert sqs.get_queue_url(QueueName=f"{prefix}-3")["QueueUrl"] == urls[3]
    assert sqs.list_queue_tags(QueueUrl=urls[3])["Tags"] == {"n": "3"}
    sqs.untag_queue(QueueUrl=urls[3], TagKeys=["n"])
    assert "Tags" not in sqs.list_queue_tags(QueueUrl=urls[3])


def test_any_host_reaches_a_queue(sqs, queue):
    url = queue()
    path = "/".join(url.split("/")[-2:])
    sqs.send_message(QueueUrl=f"https://sqs.us-east-1.amazonaws.com/{path}", MessageBody="x")
    assert [m["Body"] for m in receive(sqs, url)] == ["x"]


def test_permissions_are_statements_of_the_policy(sqs, queue):
    url = queue()
    sqs.add_permission(QueueUrl=url, Label="friend", AWSAccountIds=["999999999999"], Actions=["SendMessage"])
    policy = json.loads(attribute(sqs, url, "Policy"))
    assert policy["Statement"][0]["Action"] == "SQS:SendMessage"
    sqs.remove_permission(QueueUrl=url, Label="friend")
    with pytest.raises(KeyError):
        attribute(sqs, url, "Policy")


# --- the query protocol, as old clients speak it -------------------------------------------------

NS = "{http://queue.amazonaws.com/doc/2012-11-05/}"


def query(cloud, path="/", signed=True, **fields):
    """One signed request of the query protocol; returns status and XML."""
    fields = {"Version": "2012-11-05", **{k.replace("_", "."): v for k, v in fields.items()}}
    data = urllib.parse.urlencode(fields).encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    request = AWSRequest("POST", cloud.url + path, data=data, headers=headers)
    if signed:
        environment = cloud.environment
        credentials = Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
        SigV4Auth(credentials, "sqs", environment["AWS_DEFAULT_REGION"]).add_auth(request)
    raw = urllib.request.Request(cloud.url + path, data=data, headers=dict(request.headers))
    try:
        with urllib.request.urlopen(raw) as reply:
            return reply.status, ET.fromstring(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, ET.fromstring(error.read())


def test_old_clients_post_to_the_queue_itself(cloud, sqs, name):
    fields = {"Attribute_1_Name": "DelaySeconds", "Attribute_1_Value": "0"}
    status, made = query(cloud, Action="CreateQueue", QueueName=name("old"), **fields)
    assert status == 200
    url = made.find(f"{NS}CreateQueueResult/{NS}QueueUrl").text
    path = urllib.parse.urlsplit(url).path
    more = {
        "MessageAttribute_1_Name": "a",
        "MessageAttribute_1_Value_DataType": "String",
        "MessageAttribute_1_Value_StringValue": "v",
    }
    status, sent = query(cloud, path, Action="SendMessage", MessageBody="hello & <bye>", **more)
    assert status == 200
    digest = sent.find(f"{NS}SendMessageResult/{NS}MD5OfMessageBody").text
    assert digest == hashlib.md5(b"hello & <bye>").hexdigest()
    fields = {"AttributeName_1": "All", "MessageAttributeName_1": "All"}
    status, got = query(cloud, path, Action="ReceiveMessage", MaxNumberOfMessages="10", **fields)
    message = got.find(f"{NS}ReceiveMessageResult/{NS}Message")
    assert message.find(f"{NS}Body").text == "hello & <bye>"
    names = [a.find(f"{NS}Name").text for a in message.findall(f"{NS}Attribute")]
    assert "ApproximateReceiveCount" in names
    assert message.find(f"{NS}MessageAttribute/{NS}Value/{NS}StringValue").text == "v"
    handle = message.find(f"{NS}ReceiptHandle").text
    status, _ = query(cloud, path, Action="DeleteMessage", ReceiptHandle=handle)
    assert status == 200
    assert attribute(sqs, url, "ApproximateNumberOfMessagesNotVisible") == "0"


def test_old_clients_know_old_codes(cloud, name):
    account = query(cloud, Action="CreateQueue", QueueName=name())[1]
    account = account.find(f"{NS}CreateQueueResult/{NS}QueueUrl").text.split("/")[-2]
    status, error = query(cloud, f"/{account}/{name('none')}", Action="SendMessage", MessageBody="x")
    assert status == 400
    assert error.find(f".//{NS}Code").text == "AWS.SimpleQueueService.NonExistentQueue"
    status, error = query(cloud, Action="SendMessage", MessageBody="x")
    assert (status, error.find(f".//{NS}Code").text) == (400, "MissingParameter")


def test_a_policy_may_let_anybody_in(cloud, sqs, queue):
    url = queue()
    path = urllib.parse.urlsplit(url).path
    status, _ = query(cloud, path, signed=False, Action="SendMessage", MessageBody="x")
    assert status == 403
    statement = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn(sqs, url)}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Statement": [statement]})})
    status, _ = query(cloud, path, signed=False, Action="SendMessage", MessageBody="open")
    assert status == 200
    [message] = receive(sqs, url)
    assert message["Body"] == "open" and message["Attributes"]["SenderId"] == "anonymous"


# --- what a kill leaves --------------------------------------------------------------------------


def test_a_killed_cloud_keeps_messages_counts_and_order():
    with private_cloud() as cloud:
        sqs = cloud.client("sqs")
        plain = sqs.create_queue(QueueName="plain")["QueueUrl"]
        attributes = {"FifoQueue": "true", "ContentBasedDeduplication": "true", "VisibilityTimeout": "0"}
        ordered = sqs.create_queue(QueueName="ordered.fifo", Attributes=attributes)["QueueUrl"]
        sqs.send_message(QueueUrl=plain, MessageBody="in flight")
        [held] = receive(sqs, plain)
        bodies = [str(n) for n in range(10)]
        for body in bodies:
            last = sqs.send_message(QueueUrl=ordered, MessageBody=body, MessageGroupId="g")
        assert len(receive(sqs, ordered, most=1)) == 1
        cloud.kill()
        cloud.start()
        assert receive(sqs, plain) == []
        got = receive(sqs, ordered, VisibilityTimeout=30)
        assert [m["Body"] for m in got] == bodies
        assert got[0]["Attributes"]["ApproximateReceiveCount"] == "2"
        again = sqs.send_message(QueueUrl=ordered, MessageBody="9", MessageGroupId="g")
        assert again["MessageId"] == last["MessageId"]
        sqs.delete_message(QueueUrl=plain, ReceiptHandle=held["ReceiptHandle"])
        assert attribute(sqs, plain, "ApproximateNumberOfMessagesNotVisible") == "0"
