"""DynamoDB's global tables: several regions that write, and end with the same items.

One cloud serves all regions in one process, so there is no network between them to cut. What a
partition leaves behind, writes of two regions that have not met, is made by writers that go on until
the cloud is killed: after the restart each region has a backlog for the others.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import private_cloud, refused
from test_dynamodb import create
from test_dynamodb_backup import content, fill, scan, wait_active, wire

HOME, *AWAY = REGIONS = ["us-east-1", "eu-west-1", "ap-south-1"]
INDEX = [("by-n", ["gpk", "gsk"], {"ProjectionType": "ALL"})]
STREAM = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}


def clients(cloud, regions=REGIONS):
    return {region: cloud.client("dynamodb", region=region) for region in regions}


def replicate(ddbs, name, region, home=HOME):
    ddbs[home].update_table(TableName=name, ReplicaUpdates=[{"Create": {"RegionName": region}}])
    return wait_active(ddbs[region], name)


def make(ddbs, name, regions=REGIONS, **more):
    create(ddbs[HOME], name, keys=("pk", "sk"), globals=INDEX, StreamSpecification=STREAM, **more)
    for region in regions[1:]:
        replicate(ddbs, name, region)


def same(ddbs, name, **more):
    """Waits until all regions hold the same; what that is."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = [content(ddb, name, **more) for ddb in ddbs.values()]
        if all(one == found[0] for one in found):
            return found[0]
        time.sleep(0.1)
    raise AssertionError([len(one) for one in found])


def put(ddb, name, pk, **more):
    ddb.put_item(TableName=name, Item=wire({"pk": pk, "sk": "s"} | more))


@pytest.fixture
def ddbs(cloud):
    return clients(cloud)


def test_a_replica_is_a_table_with_the_same_items(ddbs, name):
    table = name("t")
    create(ddbs[HOME], table, keys=("pk", "sk"), globals=INDEX, StreamSpecification=STREAM)
    fill(ddbs[HOME], table, 500, size=100)
    made = ddbs[HOME].update_table(
        TableName=table, ReplicaUpdates=[{"Create": {"RegionName": AWAY[0]}}]
    )["TableDescription"]
    assert made["Replicas"][0]["RegionName"] == AWAY[0]
    there = wait_active(ddbs[AWAY[0]], table)
    assert there["TableArn"].split(":")[3] == AWAY[0]
    assert there["StreamSpecification"] == STREAM
    here = ddbs[HOME].describe_table(TableName=table)["Table"]
    assert here["GlobalTableVersion"] == there["GlobalTableVersion"] == "2019.11.21"
    assert [(r["RegionName"], r["ReplicaStatus"]) for r in here["Replicas"]] == [(AWAY[0], "ACTIVE")]
    assert [(r["RegionName"], r["ReplicaStatus"]) for r in there["Replicas"]] == [(HOME, "ACTIVE")]
    assert here["TableId"] != there["TableId"]
    two = {region: ddbs[region] for region in REGIONS[:2]}
    assert len(same(two, table)) == 500
    assert len(same(two, table, IndexName="by-n")) == 500


def test_writes_of_all_regions_arrive_everywhere_once(ddbs, name, cloud):
    table = name("t")
    make(ddbs, table)
    for region, ddb in ddbs.items():
        for i in range(10):
            put(ddb, table, f"{region}-{i}", gpk=region, gsk=i)
    assert len(same(ddbs, table)) == 30
    for at, ddb in enumerate(ddbs.values()):
        ddb.delete_item(TableName=table, Key=wire({"pk": f"{REGIONS[at - 1]}-0", "sk": "s"}))
        ddb.update_item(
            TableName=table, Key=wire({"pk": f"{REGIONS[at - 1]}-1", "sk": "s"}),
            UpdateExpression="SET v = :v, gpk = :v", ExpressionAttributeValues=wire({":v": "new"}),
        )
    ddbs[HOME].transact_write_items(TransactItems=[
        {"Put": {"TableName": table, "Item": wire({"pk": f"together{i}", "sk": "s"})}} for i in range(3)
    ])
    items = same(ddbs, table)
    while len(items) != 30 or sum(i.get("v") == "new" for i in items.values()) < 3:
        time.sleep(0.1)
        items = same(ddbs, table)
    index = same(ddbs, table, IndexName="by-n")
    assert index == {k: i for k, i in items.items() if "gpk" in i}
    # Nothing goes round in circles: each change is in each stream once.
    time.sleep(1)
    for region, ddb in ddbs.items():
        streams = cloud.client("dynamodbstreams", region=region)
        arn = ddb.describe_table(TableName=table)["Table"]["LatestStreamArn"]
        shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
        iterator = streams.get_shard_iterator(
            StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON"
        )["ShardIterator"]
        records = streams.get_records(ShardIterator=iterator)["Records"]
        assert len(records) == 30 + 3 + 3 + 3
        assert not any("aws:rep" in str(r) for r in records)


def test_the_last_writer_wins_and_everywhere_the_same(ddbs, name):
    table = name("t")
    make(ddbs, table)

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
    same(ddbs, table)
    # Whoever writes when all is quiet has the last word.
    for i in range(7):
        put(ddbs[REGIONS[i % 3]], table, f"k{i}", by="last", v=i)
    time.sleep(1)
    items = same(ddbs, table)
    assert {i["v"] for i in items.values() if i["by"] == "last"} == set(range(7))


def test_a_backlog_of_two_regions_is_made_good_after_kill_9():
    with private_cloud() as cloud:
        ddbs = clients(cloud)
        make(ddbs, "table")
        acked, tried = ({region: {} for region in REGIONS} for _ in range(2))
        stop = threading.Event()

        def write(region, i):
            mine = cloud.client("dynamodb", region=region)
            while not stop.is_set():
                i += 1
                pk = f"{region}-{i % 200}"
                tried[region][pk] = i
                try:
                    put(mine, "table", pk, v=i)
                    acked[region][pk] = i
                    put(mine, "table", f"shared{i % 5}", v=i, by=region)
                except Exception:
                    return

        for begin, pause in ((0, 0.7), (100_000, 1.0)):
            stop.clear()
            threads = [threading.Thread(target=write, args=(r, begin)) for r in REGIONS]
            [x.start() for x in threads]
            time.sleep(pause)
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


def test_what_expires_in_one_region_goes_in_all(ddbs, name):
    table = name("t")
    make(ddbs, table, REGIONS[:2])
    two = {region: ddbs[region] for region in REGIONS[:2]}
    put(ddbs[HOME], table, "old", end=int(time.time()) - 60)
    put(ddbs[HOME], table, "young", end=int(time.time()) + 3600)
    assert len(same(two, table)) == 2
    ddbs[HOME].update_time_to_live(
        TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "end"}
    )
    told = ddbs[AWAY[0]].describe_time_to_live(TableName=table)["TimeToLiveDescription"]
    assert told == {"TimeToLiveStatus": "ENABLED", "AttributeName": "end"}
    deadline = time.monotonic() + 60
    while len(same(two, table)) == 2 and time.monotonic() < deadline:
        time.sleep(0.5)
    assert list(same(two, table)) == [("young", "s")]


def test_indexes_and_billing_are_those_of_all_regions(ddbs, name):
    table = name("t")
    make(ddbs, table)
    put(ddbs[AWAY[0]], table, "a", lsk="x")
    same(ddbs, table)
    ddbs[HOME].update_table(
        TableName=table,
        AttributeDefinitions=[{"AttributeName": "lsk", "AttributeType": "S"}],
        GlobalSecondaryIndexUpdates=[{"Create": {
            "IndexName": "later", "Projection": {"ProjectionType": "ALL"},
            "KeySchema": [{"AttributeName": "lsk", "KeyType": "HASH"}],
        }}],
    )
    for ddb in ddbs.values():
        wait_active(ddb, table)
        assert len(scan(ddb, table, IndexName="later")) == 1
    ddbs[AWAY[0]].update_table(
        TableName=table, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "later"}}]
    )
    for ddb in ddbs.values():
        indexes = ddb.describe_table(TableName=table)["Table"]["GlobalSecondaryIndexes"]
        assert [i["IndexName"] for i in indexes] == ["by-n"]


def test_a_replica_goes_and_comes_again(ddbs, name):
    table = name("t")
    make(ddbs, table)
    put(ddbs[AWAY[0]], table, "there")
    same(ddbs, table)
    put(ddbs[AWAY[0]], table, "just before")
    ddbs[AWAY[0]].update_table(TableName=table, DeletionProtectionEnabled=True)
    with refused("ValidationException", "protected against deletion"):
        ddbs[HOME].update_table(TableName=table, ReplicaUpdates=[{"Delete": {"RegionName": AWAY[0]}}])
    ddbs[AWAY[0]].update_table(TableName=table, DeletionProtectionEnabled=False)
    ddbs[HOME].update_table(TableName=table, ReplicaUpdates=[{"Delete": {"RegionName": AWAY[0]}}])
    with refused("ResourceNotFoundException"):
        ddbs[AWAY[0]].describe_table(TableName=table)
    rest = {region: ddbs[region] for region in (HOME, AWAY[1])}
    assert set(same(rest, table)) == {("there", "s"), ("just before", "s")}
    put(ddbs[HOME], table, "meanwhile")
    create(ddbs[AWAY[0]], table, keys=("pk", "sk"))
    with refused("ValidationException", "already existed as tables"):
        replicate(ddbs, table, AWAY[0])
    ddbs[AWAY[0]].delete_table(TableName=table)
    replicate(ddbs, table, AWAY[0], home=AWAY[1])
    put(ddbs[AWAY[0]], table, "again")
    while len(same(ddbs, table)) < 4:
        time.sleep(0.1)
    for region in AWAY:
        ddbs[region].delete_table(TableName=table)
    here = ddbs[HOME].describe_table(TableName=table)["Table"]
    assert "Replicas" not in here and "GlobalTableVersion" not in here
    put(ddbs[HOME], table, "alone")
    assert len(scan(ddbs[HOME], table)) == 5


def test_replicas_that_cannot_be(ddbs, name):
    table = name("t")
    ddb = ddbs[HOME]
    create(ddb, table)
    with refused("ValidationException", "NEW_AND_OLD_IMAGES"):
        replicate(ddbs, table, AWAY[0])
    ddb.update_table(TableName=table, StreamSpecification=STREAM)
    for region, message in ((HOME, "local region"), ("nowhere", "not supported")):
        with refused("ValidationException", message):
            ddb.update_table(TableName=table, ReplicaUpdates=[{"Create": {"RegionName": region}}])
    with refused("ValidationException", "Replica not found"):
        ddb.update_table(TableName=table, ReplicaUpdates=[{"Delete": {"RegionName": AWAY[0]}}])
    with refused("NotImplemented"):
        ddb.update_table(
            TableName=table, MultiRegionConsistency="STRONG",
            ReplicaUpdates=[{"Create": {"RegionName": AWAY[0]}}],
        )
    replicate(ddbs, table, AWAY[0])
    with refused("ValidationException", "Disabling Stream is not allowed"):
        ddb.update_table(TableName=table, StreamSpecification={"StreamEnabled": False})
