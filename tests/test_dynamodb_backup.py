"""DynamoDB's backups: tables as they were at a moment, told by an oracle, and kill -9 in between."""

import json
import random
import threading
import time

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError

from conftest import private_cloud, refused
from test_dynamodb import create, ddb, table  # noqa: F401

SECOND_INDEX = [("by-n", ["gpk", "gsk"], {"ProjectionType": "ALL"})]


def wire(item):
    return {k: TypeSerializer().serialize(v) for k, v in item.items()}


def plain(item):
    return {k: TypeDeserializer().deserialize(v) for k, v in item.items()}


def scan(ddb, name, **more):
    pages = ddb.get_paginator("scan").paginate(TableName=name, **more)
    return [plain(item) for page in pages for item in page["Items"]]


def content(ddb, name, **more):
    return {(item["pk"], item.get("sk")): item for item in scan(ddb, name, **more)}


def whole_second():
    """A moment between what was done and what follows; clients send whole seconds only."""
    moment = int(time.time()) + 1
    time.sleep(moment - time.time() + 0.02)
    return moment


def wait_active(ddb, name):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        described = ddb.describe_table(TableName=name)["Table"]
        if described["TableStatus"] == "ACTIVE":
            return described
        time.sleep(0.05)
    raise AssertionError(described)


def wait_backup(ddb, arn):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        described = ddb.describe_backup(BackupArn=arn)["BackupDescription"]
        if described["BackupDetails"]["BackupStatus"] == "AVAILABLE":
            return described
        time.sleep(0.05)
    raise AssertionError(described)


def recover(ddb, name, **more):
    return ddb.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True, **more},
    )["ContinuousBackupsDescription"]


class Writer:
    """Changes a table at random and knows what it must hold."""

    def __init__(self, ddb, name, seed=7, keys=40):
        self.ddb, self.name, self.keys = ddb, name, keys
        self.random = random.Random(seed)
        self.items = {}
        self.count = 0

    def step(self):
        self.count += 1
        key = (f"k{self.random.randrange(self.keys)}", f"s{self.random.randrange(3)}")
        item = {"pk": key[0], "sk": key[1], "v": self.count}
        kind = self.random.random()
        if kind < 0.25:
            self.ddb.delete_item(TableName=self.name, Key=wire({"pk": key[0], "sk": key[1]}))
            self.items.pop(key, None)
        elif kind < 0.4:
            keys = self.random.sample(range(self.keys), 4)
            puts = [{"pk": f"k{k}", "sk": "t", "v": self.count} for k in keys]
            self.ddb.transact_write_items(
                TransactItems=[{"Put": {"TableName": self.name, "Item": wire(i)}} for i in puts]
            )
            self.items.update({(i["pk"], "t"): i for i in puts})
        else:
            if self.random.random() < 0.5:
                item |= {"gpk": f"g{self.count % 3}", "gsk": self.count}
            self.ddb.put_item(TableName=self.name, Item=wire(item))
            self.items[key] = item
        return self

    def steps(self, count):
        for _ in range(count):
            self.step()
        return dict(self.items)


def indexed(items):
    return {key: item for key, item in items.items() if "gpk" in item and "gsk" in item}


def test_recovery_is_switched_on_and_told(ddb, table):
    name = table()
    told = ddb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    assert told["ContinuousBackupsStatus"] == "ENABLED"
    assert told["PointInTimeRecoveryDescription"] == {"PointInTimeRecoveryStatus": "DISABLED"}
    told = recover(ddb, name)["PointInTimeRecoveryDescription"]
    assert told["PointInTimeRecoveryStatus"] == "ENABLED" and told["RecoveryPeriodInDays"] == 35
    assert told["EarliestRestorableDateTime"] <= told["LatestRestorableDateTime"]
    told = recover(ddb, name, RecoveryPeriodInDays=3)["PointInTimeRecoveryDescription"]
    assert told["RecoveryPeriodInDays"] == 3
    with refused("ValidationException"):
        recover(ddb, name, RecoveryPeriodInDays=36)
    with refused("TableNotFoundException", "Table not found: nobody"):
        recover(ddb, "nobody")
    off = ddb.update_continuous_backups(
        TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
    )["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    assert off == {"PointInTimeRecoveryStatus": "DISABLED"}


def test_a_restored_table_is_what_the_table_was(ddb, table, name):
    source = table("src", keys=("pk", "sk"), globals=SECOND_INDEX)
    writer = Writer(ddb, source)
    writer.steps(30)
    recover(ddb, source)
    moments = []
    for _ in range(3):
        expected = writer.steps(60)
        moments.append((whole_second(), expected))
    writer.steps(60)
    for moment, expected in moments:
        target = name("restored")
        made = ddb.restore_table_to_point_in_time(
            SourceTableName=source, TargetTableName=target, RestoreDateTime=moment
        )["TableDescription"]
        assert made["TableStatus"] == "CREATING" and made["RestoreSummary"]["RestoreInProgress"]
        done = wait_active(ddb, target)
        assert not done["RestoreSummary"]["RestoreInProgress"]
        assert content(ddb, target) == expected
        assert content(ddb, target, IndexName="by-n") == indexed(expected)
        ddb.put_item(TableName=target, Item=wire({"pk": "new", "sk": "new"}))
    assert content(ddb, source) == writer.items


def test_a_restored_table_leaves_behind_what_aws_leaves_behind(ddb, table, name):
    source = table(
        "src", keys=("pk", "sk"), globals=SECOND_INDEX, Tags=[{"Key": "a", "Value": "b"}],
        locals=[("by-l", ["pk", "lsk"], {"ProjectionType": "KEYS_ONLY"})],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        DeletionProtectionEnabled=True,
    )
    ddb.update_time_to_live(
        TableName=source, TimeToLiveSpecification={"Enabled": True, "AttributeName": "end"}
    )
    recover(ddb, source)
    ddb.put_item(TableName=source, Item=wire({"pk": "1", "sk": "2", "lsk": "x"}))
    arn = ddb.describe_table(TableName=source)["Table"]["TableArn"]
    target = name("restored")
    ddb.restore_table_to_point_in_time(
        SourceTableArn=arn, TargetTableName=target, UseLatestRestorableTime=True,
        BillingModeOverride="PROVISIONED", GlobalSecondaryIndexOverride=[],
        ProvisionedThroughputOverride={"ReadCapacityUnits": 7, "WriteCapacityUnits": 3},
    )
    made = wait_active(ddb, target)
    assert made["RestoreSummary"]["SourceTableArn"] == arn
    assert made["ProvisionedThroughput"]["ReadCapacityUnits"] == 7
    assert "GlobalSecondaryIndexes" not in made and "StreamSpecification" not in made
    assert {a["AttributeName"] for a in made["AttributeDefinitions"]} == {"pk", "sk", "lsk"}
    assert not made["DeletionProtectionEnabled"]
    assert len(scan(ddb, target, IndexName="by-l")) == 1
    assert ddb.list_tags_of_resource(ResourceArn=made["TableArn"])["Tags"] == []
    ttl = ddb.describe_time_to_live(TableName=target)["TimeToLiveDescription"]
    assert ttl["TimeToLiveStatus"] == "DISABLED"
    told = ddb.describe_continuous_backups(TableName=target)["ContinuousBackupsDescription"]
    assert told["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"] == "DISABLED"


def test_restores_are_refused_with_awss_errors(ddb, table, name):
    source, target = table(globals=SECOND_INDEX), name("restored")

    def restore(**more):
        how = {"SourceTableName": source, "TargetTableName": target, "UseLatestRestorableTime": True}
        return ddb.restore_table_to_point_in_time(**{k: v for k, v in (how | more).items() if v is not None})

    with refused("PointInTimeRecoveryUnavailableException"):
        restore()
    recover(ddb, source)
    with refused("TableNotFoundException"):
        restore(SourceTableName="nobody")
    with refused("TableAlreadyExistsException"):
        restore(TargetTableName=source)
    for away in (-3600, 3600):
        with refused("InvalidRestoreTimeException"):
            restore(UseLatestRestorableTime=None, RestoreDateTime=time.time() + away)
    with refused("ValidationException"):
        restore(UseLatestRestorableTime=None)
    with refused("ValidationException"):
        restore(GlobalSecondaryIndexOverride=[{
            "IndexName": "other", "KeySchema": [{"AttributeName": "gpk", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }])
    assert target not in ddb.list_tables()["TableNames"]


def test_a_backup_is_one_moment_while_writers_go_on(ddb, table, name):
    source = table("src", keys=("pk", "sk"), globals=SECOND_INDEX)
    filler = [{"pk": f"fill{i}", "sk": "x", "v": "y" * 2000, "gpk": "g", "gsk": i} for i in range(1500)]
    for at in range(0, len(filler), 25):
        ddb.batch_write_item(RequestItems={
            source: [{"PutRequest": {"Item": wire(i)}} for i in filler[at:at + 25]]
        })
    # Two items that always change together: a copy that mixes moments shows them apart.
    ends = ["fill0", "zz"]
    stop = threading.Event()

    def write():
        count = 0
        while not stop.is_set():
            count += 1
            ddb.transact_write_items(TransactItems=[
                {"Put": {"TableName": source, "Item": wire({"pk": f"pair{p}", "sk": e, "v": count})}}
                for e in ends for p in range(10)
            ])

    writer = threading.Thread(target=write)
    writer.start()
    try:
        time.sleep(0.2)
        made = [ddb.create_backup(TableName=source, BackupName=f"backup-{i}")["BackupDetails"] for i in range(3)]
        assert made[0]["BackupStatus"] == "CREATING" and made[0]["BackupType"] == "USER"
        described = [wait_backup(ddb, m["BackupArn"]) for m in made]
    finally:
        stop.set()
        writer.join()
    expected = {(i["pk"], i["sk"]): i for i in filler}
    for one in described:
        assert one["SourceTableDetails"]["ItemCount"] >= len(filler)
        target = name("restored")
        ddb.restore_table_from_backup(
            TargetTableName=target, BackupArn=one["BackupDetails"]["BackupArn"]
        )
        wait_active(ddb, target)
        found = content(ddb, target)
        pairs = {item["v"] for key, item in found.items() if key[0].startswith("pair")}
        assert len(pairs) == 1, pairs
        assert {k: v for k, v in found.items() if k[0].startswith("fill")} == expected
        assert content(ddb, target, IndexName="by-n") == expected


def test_backups_are_listed_and_deleted(ddb, table, name):
    source = table(Tags=[{"Key": "a", "Value": "b"}])
    other = table()
    arns = []
    for at in range(5):
        made = ddb.create_backup(TableName=source, BackupName=f"backup-{at}")["BackupDetails"]
        arns.append(made["BackupArn"])
    ddb.create_backup(TableName=other, BackupName="other")
    for arn in arns:
        wait_backup(ddb, arn)
    pages = list(ddb.get_paginator("list_backups").paginate(
        TableName=source, PaginationConfig={"PageSize": 2}
    ))
    listed = [s for page in pages for s in page["BackupSummaries"]]
    assert [s["BackupArn"] for s in listed] == arns and len(pages) == 3
    assert all(s["TableName"] == source and s["BackupStatus"] == "AVAILABLE" for s in listed)
    whole = ddb.list_backups()["BackupSummaries"]
    assert {s["TableName"] for s in whole} >= {source, other}
    second = listed[2]["BackupCreationDateTime"]
    late = ddb.list_backups(TableName=source, TimeRangeLowerBound=second)["BackupSummaries"]
    early = ddb.list_backups(TableName=source, TimeRangeUpperBound=second)["BackupSummaries"]
    assert arns[2] in [s["BackupArn"] for s in late]
    assert arns[2] not in [s["BackupArn"] for s in early] and len(late) + len(early) == 5
    assert ddb.list_backups(TableName=source, BackupType="SYSTEM")["BackupSummaries"] == []
    gone = ddb.delete_backup(BackupArn=arns[0])["BackupDescription"]["BackupDetails"]
    assert gone["BackupStatus"] == "DELETED"
    for call in (ddb.describe_backup, ddb.delete_backup):
        with refused("BackupNotFoundException"):
            call(BackupArn=arns[0])
    with refused("BackupNotFoundException"):
        ddb.restore_table_from_backup(BackupArn=arns[0], TargetTableName=name())
    with refused("TableNotFoundException"):
        ddb.create_backup(TableName="nobody", BackupName="none")


def test_backups_outlive_their_table(ddb, table, name):
    source = table(keys=("pk", "sk"))
    writer = Writer(ddb, source)
    first = writer.steps(40)
    arn = ddb.create_backup(TableName=source, BackupName="first")["BackupDetails"]["BackupArn"]
    recover(ddb, source)
    last = writer.steps(40)
    ddb.delete_table(TableName=source)
    wait_backup(ddb, arn)
    system = ddb.list_backups(TableName=source, BackupType="SYSTEM")["BackupSummaries"]
    assert [s["BackupName"] for s in system] == [f"{source}$DeletedTableBackup"]
    kept = system[0]["BackupExpiryDateTime"] - system[0]["BackupCreationDateTime"]
    assert kept.days == 35
    # A new table of the same name does not touch them.
    create(ddb, source, keys=("pk", "sk"))
    ddb.put_item(TableName=source, Item=wire({"pk": "other", "sk": "other"}))
    for of, expected in ((arn, first), (system[0]["BackupArn"], last)):
        target = name("restored")
        made = ddb.restore_table_from_backup(BackupArn=of, TargetTableName=target)
        assert made["TableDescription"]["RestoreSummary"]["SourceBackupArn"] == of
        wait_active(ddb, target)
        assert content(ddb, target) == expected
    ddb.delete_backup(BackupArn=system[0]["BackupArn"])


def test_a_table_that_is_being_restored_is_not_there_yet():
    with private_cloud() as cloud:
        ddb = cloud.client("dynamodb")
        create(ddb, "source", keys=("pk", "sk"), globals=SECOND_INDEX)
        recover(ddb, "source")
        fill(ddb, "source", 3000)
        ddb.restore_table_to_point_in_time(
            SourceTableName="source", TargetTableName="target", UseLatestRestorableTime=True
        )
        status = lambda: ddb.describe_table(TableName="target")["Table"]["TableStatus"]
        calls = {
            "ResourceNotFoundException": lambda: ddb.get_item(
                TableName="target", Key=wire({"pk": "a", "sk": "b"})
            ),
            "ResourceInUseException": lambda: ddb.update_table(
                TableName="target", DeletionProtectionEnabled=True
            ),
        }
        refusals = set()
        while status() == "CREATING":
            for code, call in calls.items():
                try:
                    call()
                    # Only where it has come to its end in between.
                    assert status() == "ACTIVE"
                except ClientError as error:
                    assert error.response["Error"]["Code"] == code
                    refusals.add(code)
        assert refusals == set(calls)
        wait_active(ddb, "target")
        assert content(ddb, "target") == content(ddb, "source")


def fill(ddb, name, count, size=1000):
    for at in range(0, count, 25):
        ddb.batch_write_item(RequestItems={name: [
            {"PutRequest": {"Item": wire(
                {"pk": f"fill{i}", "sk": "x", "v": "y" * size, "gpk": f"g{i % 5}", "gsk": i}
            )}} for i in range(at, min(at + 25, count))
        ]})


def test_kill_9_in_the_middle_of_copies():
    with private_cloud() as cloud:
        ddb = cloud.client("dynamodb")
        create(ddb, "source", keys=("pk", "sk"), globals=SECOND_INDEX)
        recover(ddb, "source")
        fill(ddb, "source", 4000)
        writer = Writer(ddb, "source")
        expected = content(ddb, "source") | writer.steps(100)
        moment = whole_second()
        writer.steps(300)
        latest = content(ddb, "source")
        arn = ddb.create_backup(TableName="source", BackupName="backup")["BackupDetails"]["BackupArn"]
        ddb.restore_table_to_point_in_time(
            SourceTableName="source", TargetTableName="target", RestoreDateTime=moment
        )
        seen = set()
        for pause in (0.0, 0.05, 0.1, 0.2, 0.3):
            time.sleep(pause)
            cloud.kill()
            cloud.start()
            seen.add(ddb.describe_table(TableName="target")["Table"]["TableStatus"])
            writer.steps(20)
        assert "CREATING" in seen
        wait_active(ddb, "target")
        assert content(ddb, "target") == expected
        assert content(ddb, "target", IndexName="by-n") == indexed(expected)
        wait_backup(ddb, arn)
        ddb.restore_table_from_backup(BackupArn=arn, TargetTableName="again")
        cloud.kill()
        cloud.start()
        wait_active(ddb, "again")
        assert content(ddb, "again") == latest


def test_restoring_needs_the_right_to_write_the_new_table(cloud, ddb, table, name):
    source, user = table(), name("user")
    recover(ddb, source)
    iam = cloud.client("iam")
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    arn = ddb.describe_table(TableName=source)["Table"]["TableArn"]
    allow = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": "dynamodb:RestoreTableToPointInTime", "Resource": arn}
    ]}
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps(allow))
    theirs = cloud.client("dynamodb", key["AccessKeyId"], key["SecretAccessKey"])
    target = name("restored")
    how = {"SourceTableName": source, "TargetTableName": target, "UseLatestRestorableTime": True}
    with refused("AccessDeniedException", "dynamodb:BatchWriteItem"):
        theirs.restore_table_to_point_in_time(**how)
    allow["Statement"].append({"Effect": "Allow", "Action": "dynamodb:*Item", "Resource": "*"})
    allow["Statement"].append({"Effect": "Allow", "Action": ["dynamodb:Query", "dynamodb:Scan"], "Resource": "*"})
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps(allow))
    theirs.restore_table_to_point_in_time(**how)
    wait_active(ddb, target)
