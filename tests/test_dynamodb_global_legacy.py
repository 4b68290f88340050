"""DynamoDB's global tables by their first interface, version 2017.11.29 (`CreateGlobalTable`).

Tables are made in each region and then joined. Items show when and where they got their value.
"""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from botocore.exceptions import BotoCoreError

from conftest import eventually, private_cloud, refused
from test_dynamodb import create, plain
from test_dynamodb_backup import content, scan, wait_active, wire
from test_dynamodb_global import AWAY, HOME, INDEX, REGIONS, STREAM, clients, put, same

THERE, THIRD = AWAY


def replicas(*regions):
    return [{"RegionName": region} for region in regions]


def tables(ddbs, name, regions=REGIONS, **more):
    more = {"keys": ("pk", "sk"), "globals": INDEX, "StreamSpecification": STREAM} | more
    for region in regions:
        create(ddbs[region], name, **more)


def join(ddbs, name, *regions):
    return ddbs[HOME].create_global_table(
        GlobalTableName=name, ReplicationGroup=replicas(*regions)
    )["GlobalTableDescription"]


def update(ddb, name, **changes):
    """`Create` and `Delete` with a region each."""
    updates = [{kind: {"RegionName": region}} for kind, region in changes.items()]
    return ddb.update_global_table(GlobalTableName=name, ReplicaUpdates=updates)["GlobalTableDescription"]


def members(ddb, name):
    described = ddb.describe_global_table(GlobalTableName=name)["GlobalTableDescription"]
    return [replica["RegionName"] for replica in described["ReplicationGroup"]]


def of(ddbs, *regions):
    return {region: ddbs[region] for region in regions}


@pytest.fixture
def ddbs(cloud):
    return clients(cloud)


def test_tables_are_joined_and_told(ddbs, name):
    table = name("t")
    tables(ddbs, table)
    made = join(ddbs, table, HOME, THERE)
    assert made["GlobalTableStatus"] == "CREATING"
    told = ddbs[THIRD].describe_global_table(GlobalTableName=table)["GlobalTableDescription"]
    assert told["GlobalTableStatus"] == "ACTIVE" and told["GlobalTableName"] == table
    assert told["CreationDateTime"] == made["CreationDateTime"]
    account = ddbs[HOME].describe_table(TableName=table)["Table"]["TableArn"].split(":")[4]
    assert told["GlobalTableArn"] == f"arn:aws:dynamodb::{account}:global-table/{table}"
    assert members(ddbs[HOME], table) == [HOME, THERE]
    # Only the newer version shows in the table.
    described = ddbs[HOME].describe_table(TableName=table)["Table"]
    assert "GlobalTableVersion" not in described and "Replicas" not in described
    added = update(ddbs[THERE], table, Create=THIRD)
    assert added["GlobalTableStatus"] == "UPDATING"
    assert [r["RegionName"] for r in added["ReplicationGroup"]] == REGIONS
    for ddb in ddbs.values():
        with refused("ValidationException", "Disabling Stream is not allowed"):
            ddb.update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
        with refused("ValidationException", "2017.11.29"):
            ddb.update_table(TableName=table, ReplicaUpdates=[{"Create": {"RegionName": "eu-north-1"}}])


def test_lists_are_paged_and_by_region(name):
    # A cloud of its own has only these.
    with private_cloud() as cloud:
        ddbs = clients(cloud)
        names = sorted(name("t") for _ in range(4))
        for table in names:
            tables(ddbs, table, globals=())
            join(ddbs, table, HOME, THIRD if table == names[1] else THERE)
        listed = ddbs[THIRD].list_global_tables()
        assert [one["GlobalTableName"] for one in listed["GlobalTables"]] == names
        assert listed["GlobalTables"][0]["ReplicationGroup"] == replicas(HOME, THERE)
        assert "LastEvaluatedGlobalTableName" not in listed
        found, start = [], {}
        while True:
            page = ddbs[HOME].list_global_tables(Limit=2, RegionName=THERE, **start)
            found += [one["GlobalTableName"] for one in page["GlobalTables"]]
            if "LastEvaluatedGlobalTableName" not in page:
                break
            assert len(page["GlobalTables"]) == 2
            start = {"ExclusiveStartGlobalTableName": page["LastEvaluatedGlobalTableName"]}
        assert found == [names[0], *names[2:]]
        with refused("ValidationException"):
            ddbs[HOME].list_global_tables(RegionName="nowhere")


def test_writes_of_all_regions_arrive_everywhere_with_their_origin(ddbs, name, cloud):
    table = name("t")
    tables(ddbs, table)
    join(ddbs, table, *REGIONS)
    began = Decimal(str(time.time() - 1))
    for region, ddb in ddbs.items():
        put(ddb, table, region, gpk="g", gsk=1, **{"aws:rep:updateregion": "mine"})
    items = eventually(lambda: len(found := same(ddbs, table)) == 3 and found)
    for region in REGIONS:
        item = items[(region, "s")]
        assert item["aws:rep:updateregion"] == region and item["aws:rep:deleting"] is False
        assert began < item["aws:rep:updatetime"] < time.time() + 1
    assert same(ddbs, table, IndexName="by-n") == items
    changed = ddbs[THERE].update_item(
        TableName=table, Key=wire({"pk": HOME, "sk": "s"}), UpdateExpression="SET v = :v",
        ExpressionAttributeValues=wire({":v": 1}), ReturnValues="UPDATED_NEW",
    )["Attributes"]
    assert plain(changed) == {"v": 1}
    ddbs[THERE].delete_item(TableName=table, Key=wire({"pk": THIRD, "sk": "s"}))
    items = eventually(lambda: len(found := same(ddbs, table)) == 2 and "v" in found[(HOME, "s")] and found)
    assert items[(HOME, "s")]["aws:rep:updateregion"] == THERE
    # Every change is in every stream once.
    for region, ddb in ddbs.items():
        streams = cloud.client("dynamodbstreams", region=region)
        arn = ddb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
        shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
        start = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
        records = streams.get_records(ShardIterator=start["ShardIterator"])["Records"]
        assert sorted(r["eventName"] for r in records) == ["INSERT"] * 3 + ["MODIFY", "REMOVE"]
        modified = next(r for r in records if r["eventName"] == "MODIFY")["dynamodb"]
        assert plain(modified["NewImage"])["aws:rep:updateregion"] == THERE
        assert plain(modified["OldImage"])["aws:rep:updateregion"] == HOME


def test_the_last_writer_wins_and_everywhere_the_same(ddbs, name):
    table = name("t")
    tables(ddbs, table)
    join(ddbs, table, *REGIONS)

    def write(region):
        for count in range(60):
            key = {"pk": f"k{count % 7}", "sk": "s"}
            if count % 11 == 5:
                ddbs[region].delete_item(TableName=table, Key=wire(key))
            else:
                put(ddbs[region], table, key["pk"], by=region, v=count)

    with ThreadPoolExecutor(len(REGIONS)) as pool:
        list(pool.map(write, REGIONS))
    time.sleep(1)
    for item in same(ddbs, table).values():
        assert item["by"] == item["aws:rep:updateregion"]
    put(ddbs[THERE], table, "k0", by="last")
    eventually(lambda: same(ddbs, table)[("k0", "s")]["by"] == "last")


def test_tables_keep_keys_of_their_own(ddbs, name):
    table = name("t")
    tables(ddbs, table, [HOME])
    tables(ddbs, table, [THERE], SSESpecification={"Enabled": True, "SSEType": "KMS"})
    join(ddbs, table, HOME, THERE)
    told = ddbs[HOME].describe_global_table(GlobalTableName=table)["GlobalTableDescription"]
    keys = [replica.get("KMSMasterKeyId") for replica in told["ReplicationGroup"]]
    assert keys[0] is None and f":kms:{THERE}:" in keys[1]
    two = of(ddbs, HOME, THERE)
    for region, ddb in two.items():
        put(ddb, table, region, secret="x")
    items = eventually(lambda: len(found := same(two, table)) == 2 and found)
    assert {item["secret"] for item in items.values()} == {"x"}


def test_settings_and_expiry_stay_each_tables_own(ddbs, name):
    table = name("t")
    tables(ddbs, table, [HOME, THERE])
    join(ddbs, table, HOME, THERE)
    two = of(ddbs, HOME, THERE)
    put(ddbs[THERE], table, "old", end=int(time.time()) - 60)
    eventually(lambda: len(same(two, table)) == 1)
    ddbs[HOME].update_time_to_live(
        TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "end"}
    )
    told = ddbs[THERE].describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert told == {"TimeToLiveStatus": "DISABLED"}
    ddbs[HOME].update_table(
        TableName=table, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "by-n"}}]
    )
    assert "GlobalSecondaryIndexes" not in ddbs[HOME].describe_table(TableName=table)["Table"]
    assert "GlobalSecondaryIndexes" in ddbs[THERE].describe_table(TableName=table)["Table"]
    eventually(lambda: not scan(ddbs[HOME], table))
    put(ddbs[HOME], table, "young")
    eventually(lambda: len(scan(ddbs[THERE], table)) == 2)


def test_a_replica_that_leaves_goes_on_alone(ddbs, name):
    table = name("t")
    tables(ddbs, table)
    join(ddbs, table, *REGIONS)
    put(ddbs[THERE], table, "just before")
    assert [r["RegionName"] for r in update(ddbs[HOME], table, Delete=THERE)["ReplicationGroup"]] == [HOME, THIRD]
    rest = of(ddbs, HOME, THIRD)
    assert len(same(ddbs, table)) == 1
    put(ddbs[THERE], table, "alone")
    put(ddbs[HOME], table, "together")
    eventually(lambda: len(same(rest, table)) == 2)
    time.sleep(1)
    assert set(content(ddbs[THERE], table)) == {("just before", "s"), ("alone", "s")}
    assert not any("aws:rep:deleting" in i for i in scan(ddbs[THERE], table) if i["pk"] == "alone")
    ddbs[THERE].update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
    # All are emptied before it comes back, and nothing of what was comes back with it.
    with refused("ValidationException", "stream"):
        update(ddbs[HOME], table, Create=THERE)
    ddbs[THERE].update_table(TableName=table, StreamSpecification=STREAM)
    with refused("ValidationException", f"'{THERE}' must be empty"):
        update(ddbs[HOME], table, Create=THERE)
    for pk in ("just before", "alone"):
        ddbs[THERE].delete_item(TableName=table, Key=wire({"pk": pk, "sk": "s"}))
    with refused("ValidationException", f"'{HOME}' must be empty"):
        update(ddbs[HOME], table, Create=THERE)
    for pk in ("just before", "together"):
        ddbs[HOME].delete_item(TableName=table, Key=wire({"pk": pk, "sk": "s"}))
    eventually(lambda: not same(rest, table))
    update(ddbs[HOME], table, Create=THERE)
    put(ddbs[THERE], table, "again")
    eventually(lambda: set(same(ddbs, table)) == {("again", "s")})
    # The last one that leaves takes the group along; what is deleted leaves as well.
    for region in (HOME, THERE):
        ddbs[region].delete_table(TableName=table)
    assert members(ddbs[HOME], table) == [THIRD]
    last = update(ddbs[HOME], table, Delete=THIRD)
    assert last["GlobalTableStatus"] == "DELETING" and last["ReplicationGroup"] == []
    with refused("GlobalTableNotFoundException", f"Global table with name: '{table}' does not exist."):
        members(ddbs[HOME], table)
    assert len(scan(ddbs[THIRD], table)) == 1


def test_a_group_changes_in_one_piece(ddbs, name):
    table = name("t")
    tables(ddbs, table, globals=())
    join(ddbs, table, HOME)
    put(ddbs[HOME], table, "x")
    assert scan(ddbs[HOME], table)[0]["aws:rep:updateregion"] == HOME
    ddbs[HOME].delete_item(TableName=table, Key=wire({"pk": "x", "sk": "s"}))
    swapped = update(ddbs[HOME], table, Delete=HOME, Create=THERE)
    assert [r["RegionName"] for r in swapped["ReplicationGroup"]] == [THERE]
    with refused("ReplicaNotFoundException", HOME):
        update(ddbs[HOME], table, Create=THIRD, Delete=HOME)
    assert members(ddbs[HOME], table) == [THERE]
    put(ddbs[THIRD], table, "not in it")
    assert "aws:rep:deleting" not in scan(ddbs[THIRD], table)[0]


def test_what_cannot_be_joined(ddbs, name):
    ddb = ddbs[HOME]
    table = name("t")
    with refused("TableNotFoundException", f"Table not found: Table: '{table}' not found in region: '{HOME}'."):
        join(ddbs, table, HOME)
    tables(ddbs, table, [HOME])
    with refused("TableNotFoundException", THERE):
        join(ddbs, table, HOME, THERE)
    for wrong in ([], replicas(HOME, HOME), replicas("nowhere"), [{}]):
        with refused("ValidationException"):
            ddb.create_global_table(GlobalTableName=table, ReplicationGroup=wrong)
    for different, what in (
        ({"keys": ("pk",)}, "primary key"),
        ({"keys": ("pk", "n")}, "primary key"),
        ({"globals": ()}, "global secondary indexes"),
        ({"locals": [("by-l", ("pk", "lsk"), {"ProjectionType": "ALL"})]}, "local secondary indexes"),
        ({"StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}}, "NEW_AND_OLD_IMAGES"),
    ):
        tables(ddbs, table, [THERE], **different)
        with refused("ValidationException", what):
            join(ddbs, table, HOME, THERE)
        ddbs[THERE].delete_table(TableName=table)
    tables(ddbs, table, AWAY)
    put(ddbs[THERE], table, "full")
    with refused("ValidationException", "must be empty"):
        join(ddbs, table, HOME, THERE)
    with refused("GlobalTableNotFoundException"):
        members(ddb, table)
    with refused("GlobalTableNotFoundException"):
        update(ddb, table, Create=THERE)
    # Nothing has changed by all that.
    put(ddb, table, "plain")
    assert "aws:rep:deleting" not in scan(ddb, table)[0]
    ddb.delete_item(TableName=table, Key=wire({"pk": "plain", "sk": "s"}))
    join(ddbs, table, HOME, THIRD)
    with refused("GlobalTableAlreadyExistsException", table):
        join(ddbs, table, HOME)
    with refused("ReplicaAlreadyExistsException", THIRD):
        update(ddb, table, Create=THIRD)
    for wrong in ([], [{}], [{"Create": {"RegionName": THERE}, "Delete": {"RegionName": HOME}}]):
        with refused("ValidationException"):
            ddb.update_global_table(GlobalTableName=table, ReplicaUpdates=wrong)
    with refused("NotImplemented"):
        ddb.describe_global_table_settings(GlobalTableName=table)


def test_who_joins_later_takes_as_many_writes(ddbs, name):
    table = name("t")

    def units(writes):
        return {"BillingMode": "PROVISIONED", "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": writes}}

    tables(ddbs, table, [HOME], globals=(), **units(5))
    tables(ddbs, table, [THERE], globals=(), **units(6))
    join(ddbs, table, HOME)
    with refused("ValidationException", "write capacity"):
        update(ddbs[HOME], table, Create=THERE)
    ddbs[THERE].update_table(TableName=table, ProvisionedThroughput=units(5)["ProvisionedThroughput"])
    update(ddbs[HOME], table, Create=THERE)
    assert members(ddbs[HOME], table) == [HOME, THERE]


def test_a_table_is_in_one_version_only(ddbs, name):
    table = name("t")
    tables(ddbs, table, [HOME], globals=())
    ddbs[HOME].update_table(TableName=table, ReplicaUpdates=[{"Create": {"RegionName": THERE}}])
    wait_active(ddbs[THERE], table)
    with refused("ValidationException", "already a replica of a global table"):
        join(ddbs, table, HOME, THERE)
    with refused("GlobalTableNotFoundException"):
        members(ddbs[HOME], table)


def test_joining_asks_for_the_group_and_each_table(ddbs, client, name):
    table, user = name("t"), name("user")
    tables(ddbs, table, globals=())
    iam = client("iam")
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    mine = client("dynamodb", key=key["AccessKeyId"], secret=key["SecretAccessKey"], region=HOME)
    arns = [ddb.describe_table(TableName=table)["Table"]["TableArn"] for ddb in ddbs.values()]
    group = f"arn:aws:dynamodb::{arns[0].split(':')[4]}:global-table/{table}"

    def allow(action, *resources):
        iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": action, "Resource": resources}],
        }))

    both = {"GlobalTableName": table, "ReplicationGroup": replicas(HOME, THERE)}
    for resources in ([group], [group, arns[0]], arns):
        allow("dynamodb:CreateGlobalTable", *resources)
        with refused("AccessDeniedException"):
            mine.create_global_table(**both)
    allow("dynamodb:CreateGlobalTable", group, *arns[:2])
    mine.create_global_table(**both)
    for resources in ([group, arns[2]], arns):
        allow("dynamodb:UpdateGlobalTable", *resources)
        with refused("AccessDeniedException"):
            update(mine, table, Create=THIRD)
    allow("dynamodb:UpdateGlobalTable", group, *arns)
    update(mine, table, Create=THIRD)
    with refused("AccessDeniedException"):
        members(mine, table)
    allow("dynamodb:DescribeGlobalTable", group)
    assert members(mine, table) == REGIONS
    with refused("AccessDeniedException"):
        mine.list_global_tables()


def test_kill_9_between_and_in_the_middle_of_everything():
    with private_cloud() as cloud:
        ddbs = clients(cloud)
        tables(ddbs, "table")
        join(ddbs, "table", *REGIONS)
        two, pairs = of(ddbs, HOME, THERE), [f"pair{n}" for n in range(6)]
        for pair in pairs:
            tables(two, pair, two, globals=())
        # What a pair goes through, again and again, and the steps that were acknowledged and tried.
        states = [[], [HOME, THERE], [HOME]]
        steps, begun = ({pair: 0 for pair in pairs} for _ in range(2))
        acked, tried = ({region: {} for region in REGIONS} for _ in range(2))
        stop = threading.Event()

        def write(region, i):
            mine = cloud.client("dynamodb", region=region)
            while not stop.is_set():
                i += 1
                pk = f"{region}-{i % 100}"
                tried[region][pk] = i
                try:
                    put(mine, "table", pk, v=i)
                    acked[region][pk] = i
                    put(mine, "table", f"shared{i % 5}", v=i, by=region)
                except BotoCoreError:
                    return

        def regroup(pairs):
            mine = clients(cloud)
            for pair in pairs * 1000:
                for step in (
                    lambda: join(mine, pair, HOME, THERE),
                    lambda: update(mine[HOME], pair, Delete=THERE),
                    lambda: update(mine[HOME], pair, Delete=HOME),
                ):
                    begun[pair] += 1
                    try:
                        step()
                    except BotoCoreError:
                        return
                    steps[pair] += 1

        for begin, mine in ((0, pairs[:3]), (100_000, pairs[3:])):
            stop.clear()
            threads = [threading.Thread(target=write, args=(r, begin)) for r in REGIONS]
            threads.append(threading.Thread(target=regroup, args=(mine,)))
            [x.start() for x in threads]
            eventually(lambda: all(steps[pair] >= 3 for pair in mine))
            cloud.kill()
            stop.set()
            [x.join() for x in threads]
            cloud.start()
        items = same(ddbs, "table")
        for region in REGIONS:
            assert acked[region]
            for pk, v in acked[region].items():
                # The write that was under way may have been made as well.
                assert items[(pk, "s")]["v"] in (v, tried[region][pk])
        listed = {
            one["GlobalTableName"]: [r["RegionName"] for r in one["ReplicationGroup"]]
            for one in ddbs[HOME].list_global_tables()["GlobalTables"]
        }
        assert listed.pop("table") == REGIONS
        for pair in pairs:
            regions = listed.get(pair, [])
            assert regions in [states[count % 3] for count in (steps[pair], begun[pair])]
            for region, ddb in two.items():
                put(ddb, pair, region)
                item = content(ddb, pair)[(region, "s")]
                assert ("aws:rep:deleting" in item) == (region in regions)
            if len(regions) == 2:
                eventually(lambda: len(same(two, pair)) == 2)
