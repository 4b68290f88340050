"""Resource policies mean the users and roles that existed when they were stored, in every service."""

import json

import pytest

from conftest import refusal
from test_iam import account, iam  # noqa: F401


def allow(principal, action, resource):
    statement = {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": resource}
    return {"Version": "2012-10-17", "Statement": [statement]}


class Bucket:
    """How a bucket's policy is put, read and used; `code` is what a bad principal is refused with."""

    code = "MalformedPolicy"
    denied = "AccessDenied"

    def __init__(self, client, name, account):
        self.s3, self.bucket = client("s3"), name("bucket")
        self.s3.create_bucket(Bucket=self.bucket)
        self.s3.put_object(Bucket=self.bucket, Key="k", Body=b"x")

    def put(self, principal):
        policy = allow(principal, "s3:GetObject", f"arn:aws:s3:::{self.bucket}/*")
        self.s3.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(policy))

    def get(self):
        return self.s3.get_bucket_policy(Bucket=self.bucket)["Policy"]

    def use(self, client):
        client("s3").get_object(Bucket=self.bucket, Key="k")


class Queue:
    code = "InvalidAttributeValue"
    denied = "AccessDenied"

    def __init__(self, client, name, account):
        self.sqs = client("sqs")
        self.url = self.sqs.create_queue(QueueName=name("queue"))["QueueUrl"]

    def put(self, principal):
        policy = json.dumps(allow(principal, "sqs:ReceiveMessage", "*"))
        self.sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": policy})

    def get(self):
        return self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["Policy"])["Attributes"]["Policy"]

    def use(self, client):
        client("sqs").receive_message(QueueUrl=self.url)


class Key:
    code = "MalformedPolicyDocumentException"
    denied = "AccessDeniedException"

    def __init__(self, client, name, account):
        self.kms, self.root = client("kms"), f"arn:aws:iam::{account}:root"
        self.id = self.kms.create_key()["KeyMetadata"]["KeyId"]

    def put(self, principal):
        policy = allow(principal, "kms:Encrypt", "*")
        policy["Statement"].append(allow({"AWS": self.root}, "kms:*", "*")["Statement"][0])
        self.kms.put_key_policy(KeyId=self.id, Policy=json.dumps(policy))

    def get(self):
        return self.kms.get_key_policy(KeyId=self.id, PolicyName="default")["Policy"]

    def use(self, client):
        client("kms").encrypt(KeyId=self.id, Plaintext=b"x")


class Table:
    code = "ValidationException"
    denied = "AccessDeniedException"

    def __init__(self, client, name, account):
        self.dynamodb = client("dynamodb")
        made = self.dynamodb.create_table(
            TableName=name("table"), BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}])
        self.arn = made["TableDescription"]["TableArn"]

    def put(self, principal):
        policy = json.dumps(allow(principal, "dynamodb:GetItem", self.arn))
        self.dynamodb.put_resource_policy(ResourceArn=self.arn, Policy=policy)

    def get(self):
        return self.dynamodb.get_resource_policy(ResourceArn=self.arn)["Policy"]

    def use(self, client):
        client("dynamodb").get_item(TableName=self.arn, Key={"id": {"S": "1"}})


@pytest.fixture(params=[Bucket, Queue, Key, Table])
def thing(request, client, name, account):
    return request.param(client, name, account)


def shown(thing):
    """Whom the policy's first statement names."""
    return json.loads(thing.get())["Statement"][0]["Principal"]["AWS"]


def make_user(iam, client, user):
    made = iam.create_user(UserName=user)["User"]
    key = iam.create_access_key(UserName=user)["AccessKey"]

    def delete():
        iam.delete_access_key(UserName=user, AccessKeyId=key["AccessKeyId"])
        iam.delete_user(UserName=user)

    return made, lambda service: client(service, key=key["AccessKeyId"], secret=key["SecretAccessKey"]), delete


def test_a_namesake_is_somebody_else(thing, iam, client, name):
    user = name("user")
    first, as_first, delete = make_user(iam, client, user)
    thing.put({"AWS": first["Arn"]})
    assert shown(thing) == first["Arn"]
    thing.use(as_first)
    delete()
    assert shown(thing) == first["UserId"]
    second, as_second, _ = make_user(iam, client, user)
    assert second["Arn"] == first["Arn"]
    refusal(thing.denied, thing.use, as_second)
    assert shown(thing) == first["UserId"]
    thing.put({"AWS": [second["Arn"]]})
    thing.use(as_second)


def test_a_renamed_user_stays_who_it_was(thing, iam, client, name):
    user = name("user")
    made, as_user, _ = make_user(iam, client, user)
    thing.put({"AWS": made["UserId"]})
    iam.update_user(UserName=user, NewUserName=user + "2")
    assert shown(thing) == made["Arn"] + "2"
    thing.use(as_user)


def test_a_roles_sessions_use_what_the_role_may(thing, iam, client, name, account):
    role = iam.create_role(RoleName=name("role"), AssumeRolePolicyDocument=json.dumps({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}]}))["Role"]
    thing.put({"AWS": role["Arn"]})
    session = client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="me")["Credentials"]
    thing.use(lambda service: client(
        service, key=session["AccessKeyId"], secret=session["SecretAccessKey"], token=session["SessionToken"]))
    assert shown(thing) == role["Arn"]


def test_nobody_is_refused(thing, account, name):
    for principal in (f"arn:aws:iam::{account}:user/{name('nobody')}", f"arn:aws:iam::{account}:role/{name('none')}",
                      "AIDAAAAAAAAAAAAAAAAAA"):
        refusal(thing.code, thing.put, {"AWS": principal}, status=400)
    # Accounts elsewhere are taken at their word.
    elsewhere = ["arn:aws:iam::999988887777:user/ann", f"arn:aws:iam::{account}:root"]
    thing.put({"AWS": elsewhere})
    assert shown(thing) == elsewhere
