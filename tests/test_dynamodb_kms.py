"""DynamoDB's encryption at rest: nothing readable on the disk, and KMS keys that decide who reads."""

import time

import pytest

from conftest import private_cloud, refused
from test_dynamodb import create, ddb, wire  # noqa: F401
from test_dynamodb_backup import content, wait_active, wait_backup
from test_iam import allow, as_user, iam, policy, user  # noqa: F401
from test_kms import key, kms  # noqa: F401

STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
BY_N = [("by-n", ["gpk", "gsk"], {"ProjectionType": "ALL"})]
DENIED = "KMS key access denied error"


def under(key=None):
    named = {"KMSMasterKeyId": key} if key else {}
    return {"SSESpecification": {"Enabled": True, "SSEType": "KMS", **named}}


def encryption(ddb, name):  # noqa: F811
    return ddb.describe_table(TableName=name)["Table"].get("SSEDescription")


def shown(key):
    return {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": key}


def item(pk, text="secret", **more):
    return wire({"pk": pk, "text": text, "gpk": "g", "gsk": 1, **more})


def records(client, ddb, name):  # noqa: F811
    streams = client("dynamodbstreams")
    arn = ddb.describe_table(TableName=name)["Table"]["LatestStreamArn"]
    shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    at = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    return streams.get_records(ShardIterator=at["ShardIterator"])["Records"]


@pytest.fixture
def managed(kms):  # noqa: F811
    """The account's own key for DynamoDB."""
    return lambda: kms.describe_key(KeyId="alias/aws/dynamodb")["KeyMetadata"]["Arn"]


def test_nothing_on_the_disk_can_be_read():
    with private_cloud() as cloud:
        ddb, kms = cloud.client("dynamodb"), cloud.client("kms")  # noqa: F811
        key = kms.create_key()["KeyMetadata"]["KeyId"]  # noqa: F811
        for name, how in (("plain-default", {}), ("under-kms", under(key))):
            create(ddb, name, globals=BY_N, StreamSpecification=STREAM, **how)
            ddb.update_continuous_backups(
                TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
            )
            # The key is in the clear, which shows that the search below finds what is there.
            for text in ("withering-depths", "wily-willy"):
                ddb.put_item(TableName=name, Item=item("visible-key-of-" + name, text * 50, name_of_it="x"))
            backup = ddb.create_backup(TableName=name, BackupName="backup")["BackupDetails"]["BackupArn"]
            wait_backup(ddb, backup)
        cloud.stop()
        found = {}
        for file in cloud.directory.rglob("*"):
            for text in (b"withering-depths", b"wily-willy", b"name_of_it", b"visible-key-of-under-kms"):
                if file.is_file() and text in file.read_bytes():
                    found.setdefault(text, []).append(file)
        assert set(found) == {b"visible-key-of-under-kms"}
        cloud.start()
        ddb = cloud.client("dynamodb")
        for name in ("plain-default", "under-kms"):
            assert content(ddb, name)["visible-key-of-" + name, None]["text"] == "wily-willy" * 50
            assert content(ddb, name, IndexName="by-n")["visible-key-of-" + name, None]["name_of_it"] == "x"


def test_a_table_changes_its_key(ddb, kms, key, managed, client, name):  # noqa: F811
    table = name()
    create(ddb, table, globals=BY_N, StreamSpecification=STREAM)
    assert encryption(ddb, table) is None
    other = kms.create_key()["KeyMetadata"]["Arn"]
    alias = "alias/" + name("key")
    kms.create_alias(AliasName=alias, TargetKeyId=key["KeyId"])
    ddb.put_item(TableName=table, Item=item("0"))
    steps = ((under(alias), key["Arn"]), (under(other), other), (under(), None),
             ({"SSESpecification": {"Enabled": False}}, "default"), (under(key["KeyId"]), key["Arn"]))
    for at, (how, expected) in enumerate(steps, 1):
        ddb.update_table(TableName=table, **how)
        expected = managed() if expected is None else expected
        assert encryption(ddb, table) == (None if expected == "default" else shown(expected))
        ddb.put_item(TableName=table, Item=item(str(at)))
        assert set(content(ddb, table)) == {(str(n), None) for n in range(at + 1)}
        assert set(content(ddb, table, IndexName="by-n")) == set(content(ddb, table))
        images = [record["dynamodb"]["NewImage"]["pk"]["S"] for record in records(client, ddb, table)]
        assert images == [str(n) for n in range(at + 1)]
        with refused("ValidationException", "already encrypted"):
            ddb.update_table(TableName=table, **how)


def test_keys_that_cannot_be(ddb, kms, key, name):  # noqa: F811
    made = kms.create_key(KeySpec="RSA_2048", KeyUsage="ENCRYPT_DECRYPT")["KeyMetadata"]["KeyId"]
    disabled = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.disable_key(KeyId=disabled)
    for wrong, text in (("alias/nobody", "NotFoundException"), (disabled, "KMS key disabled error"), (made, "KMS")):
        with refused("ValidationException", text):
            create(ddb, name(), **under(wrong))
    for wrong in ({"Enabled": False, "KMSMasterKeyId": key["KeyId"]}, {"Enabled": True, "SSEType": "AES256"}):
        with refused("ValidationException"):
            create(ddb, name(), SSESpecification=wrong)


def test_the_key_decides(ddb, client, key, iam, user, as_user, name):  # noqa: F811
    table, free = name(), name()
    create(ddb, table, StreamSpecification=STREAM, **under(key["KeyId"]))
    create(ddb, free)
    ddb.put_item(TableName=table, Item=item("a"))
    iam.put_user_policy(UserName=user["UserName"], PolicyName="p", PolicyDocument=policy(allow("dynamodb:*")))
    mine, streams = as_user("dynamodb"), as_user("dynamodbstreams")
    mine.put_item(TableName=free, Item=item("a"))
    mine.describe_table(TableName=table)
    at = {"TableName": table, "Key": wire({"pk": "a"})}
    put = {"TableName": table, "Item": item("b")}
    arn = ddb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
    shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    records_at = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    calls = (
        lambda: mine.get_item(**at),
        lambda: mine.put_item(**put),
        lambda: mine.update_item(**at),
        lambda: mine.delete_item(**at),
        lambda: mine.scan(TableName=table),
        lambda: mine.query(TableName=table, KeyConditionExpression="pk = :p", ExpressionAttributeValues={":p": {"S": "a"}}),
        lambda: mine.batch_get_item(RequestItems={table: {"Keys": [at["Key"]]}}),
        lambda: mine.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": item("b")}}]}),
        lambda: mine.transact_get_items(TransactItems=[{"Get": at}]),
        lambda: mine.transact_write_items(TransactItems=[{"Put": put}]),
        lambda: mine.execute_statement(Statement=f'SELECT * FROM "{table}"'),
        lambda: mine.execute_transaction(TransactStatements=[{"Statement": f"SELECT * FROM \"{table}\" WHERE pk = 'a'"}]),
        lambda: mine.update_table(TableName=table, SSESpecification={"Enabled": False}),
        lambda: streams.get_records(ShardIterator=records_at["ShardIterator"]),
    )
    for call in calls:
        with refused("AccessDeniedException", DENIED):
            call()
    with refused("AccessDeniedException", DENIED):
        create(mine, name(), **under(key["KeyId"]))
    rights = allow(["kms:Encrypt", "kms:Decrypt", "kms:CreateGrant"], key["Arn"],
                   Condition={"StringEquals": {"kms:ViaService": "dynamodb.us-east-1.amazonaws.com"}})
    iam.put_user_policy(UserName=user["UserName"], PolicyName="kms", PolicyDocument=policy(rights))
    for call in calls:
        call()
    with refused("AccessDeniedException"):
        as_user("kms").describe_key(KeyId=key["KeyId"])


def test_everybody_in_the_account_uses_its_own_key(ddb, iam, user, as_user, name):  # noqa: F811
    table = name()
    create(ddb, table, **under())
    iam.put_user_policy(UserName=user["UserName"], PolicyName="p", PolicyDocument=policy(allow("dynamodb:*")))
    as_user("dynamodb").put_item(TableName=table, Item=item("a"))
    assert set(content(ddb, table)) == {("a", None)}


def test_a_key_that_is_switched_off():
    with private_cloud() as cloud:
        ddb, kms = cloud.client("dynamodb"), cloud.client("kms")  # noqa: F811
        key = kms.create_key()["KeyMetadata"]["KeyId"]  # noqa: F811
        create(ddb, "locked", **under(key))
        create(ddb, "other")
        ddb.put_item(TableName="locked", Item=item("a"))
        kms.disable_key(KeyId=key)
        # What was opened may be used for minutes; a restart forgets it.
        cloud.kill()
        cloud.start()
        with refused("ValidationException", "KMS key disabled error"):
            ddb.get_item(TableName="locked", Key=wire({"pk": "a"}))
        described = ddb.describe_table(TableName="locked")["Table"]
        assert described["TableStatus"] == "INACCESSIBLE_ENCRYPTION_CREDENTIALS"
        assert "InaccessibleEncryptionDateTime" in described["SSEDescription"]
        ddb.put_item(TableName="other", Item=item("a"))
        kms.enable_key(KeyId=key)
        assert ddb.get_item(TableName="locked", Key=wire({"pk": "a"}))["Item"] == item("a")
        assert ddb.describe_table(TableName="locked")["Table"]["TableStatus"] == "ACTIVE"
        assert encryption(ddb, "locked").keys() == shown("").keys()


def test_work_that_nobody_waits_for_goes_on_after_a_restart():
    with private_cloud() as cloud:
        ddb, kms = cloud.client("dynamodb"), cloud.client("kms")  # noqa: F811
        key = kms.create_key()["KeyMetadata"]["KeyId"]  # noqa: F811
        create(ddb, "working", **under(key))
        ddb.update_time_to_live(TableName="working", TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"})
        for at in range(20):
            ddb.put_item(TableName="working", Item=item(str(at)))
        ddb.put_item(TableName="working", Item=item("over", until=int(time.time()) - 10))
        ddb.update_table(
            TableName="working", AttributeDefinitions=[{"AttributeName": "gpk", "AttributeType": "S"}],
            GlobalSecondaryIndexUpdates=[{"Create": {
                "IndexName": "late", "KeySchema": [{"AttributeName": "gpk", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }}],
        )
        cloud.kill()
        cloud.start()
        wait_active(ddb, "working")
        deadline = time.monotonic() + 60
        while ("over", None) in content(ddb, "working") and time.monotonic() < deadline:
            time.sleep(0.2)
        assert set(content(ddb, "working", IndexName="late")) == {(str(at), None) for at in range(20)}


def test_copies_have_keys_of_their_own(ddb, kms, key, client, name):  # noqa: F811
    table, same, other, default = name(), name("same"), name("other"), name("default")
    create(ddb, table, globals=BY_N, StreamSpecification=STREAM, **under(key["KeyId"]))
    for at in range(10):
        ddb.put_item(TableName=table, Item=item(str(at)))
    backup = ddb.create_backup(TableName=table, BackupName="backup")["BackupDetails"]["BackupArn"]
    described = wait_backup(ddb, backup)
    assert described["SourceTableFeatureDetails"]["SSEDescription"] == shown(key["Arn"])
    second = kms.create_key()["KeyMetadata"]["Arn"]
    for target, how in ((same, None), (other, under(second)), (default, {"SSESpecification": {"Enabled": False}})):
        override = {"SSESpecificationOverride": how["SSESpecification"]} if how else {}
        ddb.restore_table_from_backup(TargetTableName=target, BackupArn=backup, **override)
    before = content(ddb, table)
    for target, expected in ((same, shown(key["Arn"])), (other, shown(second)), (default, None)):
        wait_active(ddb, target)
        assert encryption(ddb, target) == expected
        assert content(ddb, target) == content(ddb, target, IndexName="by-n") == before
        ddb.put_item(TableName=target, Item=item("new"))
        assert len(content(ddb, target, IndexName="by-n")) == 11


def test_replicas_have_keys_of_their_own_regions(ddb, client, key, name):  # noqa: F811
    table, region = name(), "eu-west-1"
    there, keys = client("dynamodb", region=region), client("kms", region=region)
    create(ddb, table, StreamSpecification=STREAM, **under(key["KeyId"]))
    ddb.put_item(TableName=table, Item=item("first"))
    own = keys.create_key()["KeyMetadata"]["Arn"]
    replica = {"Create": {"RegionName": region, "KMSMasterKeyId": own}}
    ddb.update_table(TableName=table, ReplicaUpdates=[replica])
    wait_active(there, table)
    assert encryption(there, table) == shown(own)
    [told] = ddb.describe_table(TableName=table)["Table"]["Replicas"]
    assert told["KMSMasterKeyId"] == own
    ddb.put_item(TableName=table, Item=item("here"))
    there.put_item(TableName=table, Item=item("there"))
    deadline = time.monotonic() + 30
    expected = {("first", None), ("here", None), ("there", None)}
    while time.monotonic() < deadline:
        if set(content(ddb, table)) == set(content(there, table)) == expected:
            return
        time.sleep(0.1)
    raise AssertionError((content(ddb, table), content(there, table)))
