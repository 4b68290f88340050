"""Queues under a KMS key, which is asked in the name of whoever sends or receives."""

import json

import pytest

from conftest import refusal
from test_iam import allow, as_user, iam, policy, user  # noqa: F401
from test_kms import key, kms  # noqa: F401
from test_sns import drain, make_queue


@pytest.fixture
def sqs(client):
    return client("sqs")


@pytest.fixture
def url(sqs, name, key):  # noqa: F811
    """A queue that asks KMS as seldom as it may, so that what KMS says now counts after a minute."""
    attributes = {"KmsMasterKeyId": key["KeyId"], "KmsDataKeyReusePeriodSeconds": "60"}
    return sqs.create_queue(QueueName=name("queue"), Attributes=attributes)["QueueUrl"]


def attributes_of(sqs, url):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


def test_messages_come_back(sqs, url, key):  # noqa: F811
    shown = attributes_of(sqs, url)
    assert (shown["KmsMasterKeyId"], shown["KmsDataKeyReusePeriodSeconds"]) == (key["KeyId"], "60")
    assert shown["SqsManagedSseEnabled"] == "false"
    for at in range(3):
        sqs.send_message(QueueUrl=url, MessageBody=f"m{at}")
    assert {message["Body"] for message in drain(sqs, url, 3)} == {"m0", "m1", "m2"}


def test_one_kind_of_encryption(sqs, url, name, key):  # noqa: F811
    both = {"KmsMasterKeyId": key["KeyId"], "SqsManagedSseEnabled": "true"}
    refusal("InvalidParameterValue", sqs.create_queue, QueueName=name("queue"), Attributes=both)
    for bad in ["59", "86401", "soon"]:
        reuse = {"KmsDataKeyReusePeriodSeconds": bad}
        refusal("InvalidAttributeValue", sqs.set_queue_attributes, QueueUrl=url, Attributes=reuse)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": ""})
    assert "KmsMasterKeyId" not in attributes_of(sqs, url)


def test_the_key_decides(sqs, kms, url, key, iam, user, as_user):  # noqa: F811
    sqs.send_message(QueueUrl=url, MessageBody="secret")
    grant = policy(allow(["sqs:SendMessage", "sqs:ReceiveMessage"]))
    iam.put_user_policy(UserName=user["UserName"], PolicyName="sqs", PolicyDocument=grant)
    mine = as_user("sqs")
    refusal("KMS.AccessDeniedException", mine.send_message, QueueUrl=url, MessageBody="m")
    refusal("KMS.AccessDeniedException", mine.receive_message, QueueUrl=url)
    grant = policy(allow(["sqs:SendMessage", "sqs:ReceiveMessage"]), allow(["kms:GenerateDataKey", "kms:Decrypt"]))
    iam.put_user_policy(UserName=user["UserName"], PolicyName="sqs", PolicyDocument=grant)
    mine.send_message(QueueUrl=url, MessageBody="mine")
    # What was denied was not received: it is neither hidden nor counted.
    messages = []
    while len(messages) < 2:
        messages += mine.receive_message(QueueUrl=url, AttributeNames=["All"], WaitTimeSeconds=5)["Messages"]
    assert {message["Body"] for message in messages} == {"secret", "mine"}
    assert {message["Attributes"]["ApproximateReceiveCount"] for message in messages} == {"1"}


def test_a_disabled_or_unknown_key(sqs, kms, url, key, name):  # noqa: F811
    kms.disable_key(KeyId=key["KeyId"])
    refusal("KMS.DisabledException", sqs.send_message, QueueUrl=url, MessageBody="m")
    url = sqs.create_queue(QueueName=name("queue"), Attributes={"KmsMasterKeyId": "alias/nobody"})["QueueUrl"]
    refusal("KMS.NotFoundException", sqs.send_message, QueueUrl=url, MessageBody="m")


def test_a_topic_needs_the_key_of_its_queue(client, sqs, kms, key, name):  # noqa: F811
    sns = client("sns")
    topic = sns.create_topic(Name=name("topic"))["TopicArn"]
    dead_url, dead = make_queue(sqs, name("dead"), topic)
    url, arn = make_queue(sqs, name("queue"), topic, KmsMasterKeyId=key["KeyId"])
    redrive = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead})}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=redrive)
    sns.publish(TopicArn=topic, Message="locked out")
    (letter,) = drain(sqs, dead_url, 1)
    assert letter["MessageAttributes"]["ErrorCode"]["StringValue"] == "KmsAccessDenied"
    text = json.loads(kms.get_key_policy(KeyId=key["KeyId"], PolicyName="default")["Policy"])
    text["Statement"].append({
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": ["kms:GenerateDataKey*", "kms:Decrypt"],
        "Resource": "*",
    })
    kms.put_key_policy(KeyId=key["KeyId"], PolicyName="default", Policy=json.dumps(text))
    sns.publish(TopicArn=topic, Message="let in")
    (message,) = drain(sqs, url, 1)
    assert json.loads(message["Body"])["Message"] == "let in"
