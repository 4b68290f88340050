"""DynamoDB by stock clients: items, expressions, indexes, transactions, streams, and a kill -9."""

import json
import random
import threading
import time
import zlib
from decimal import Decimal

import boto3
import pytest
from boto3.dynamodb.conditions import Attr, Key
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from conftest import private_cloud, refused

KINDS = {"pk": "S", "sk": "S", "n": "N", "b": "B", "gpk": "S", "gsk": "N", "lsk": "S"}


@pytest.fixture
def ddb(client):
    return client("dynamodb")


def create(ddb, name, keys=("pk",), globals=(), locals=(), **more):
    """`globals` and `locals` are (name, keys, projection) each."""

    def schema(keys):
        return [{"AttributeName": k, "KeyType": t} for k, t in zip(keys, ("HASH", "RANGE"))]

    def index(of):
        return {"IndexName": of[0], "KeySchema": schema(of[1]), "Projection": of[2]}

    used = sorted({k for ks in [keys, *[i[1] for i in [*globals, *locals]]] for k in ks})
    if globals:
        more["GlobalSecondaryIndexes"] = [index(i) for i in globals]
    if locals:
        more["LocalSecondaryIndexes"] = [index(i) for i in locals]
    more.setdefault("BillingMode", "PAY_PER_REQUEST")
    made = ddb.create_table(
        TableName=name, KeySchema=schema(keys),
        AttributeDefinitions=[{"AttributeName": k, "AttributeType": KINDS[k]} for k in used], **more,
    )
    ddb.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})
    return made["TableDescription"]


@pytest.fixture
def table(ddb, name):
    def make(stem="t", **how):
        made = name(stem)
        create(ddb, made, **how)
        return made

    return make


def wire(item):
    return {k: TypeSerializer().serialize(v) for k, v in item.items()}


def plain(item):
    return {k: TypeDeserializer().deserialize(v) for k, v in item.items()}


ALL = {"ProjectionType": "ALL"}


def test_a_table_is_made_told_listed_and_gone(ddb, name):
    table = name("t")
    made = create(ddb, table, keys=("pk", "sk"), globals=[("by-g", ("gpk", "gsk"), ALL)],
                  locals=[("by-l", ("pk", "lsk"), {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x"]})],
                  Tags=[{"Key": "team", "Value": "sea"}])
    assert made["TableStatus"] == "CREATING"
    told = ddb.describe_table(TableName=table)["Table"]
    assert told["TableStatus"] == "ACTIVE" and told["ItemCount"] == 0
    assert told["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert told["GlobalSecondaryIndexes"][0]["IndexStatus"] == "ACTIVE"
    assert told["LocalSecondaryIndexes"][0]["Projection"]["NonKeyAttributes"] == ["x"]
    assert ddb.describe_table(TableName=told["TableArn"])["Table"]["TableId"] == told["TableId"]
    tags = ddb.list_tags_of_resource(ResourceArn=told["TableArn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "sea"}]
    names = [n for page in ddb.get_paginator("list_tables").paginate(PaginationConfig={"PageSize": 1})
             for n in page["TableNames"]]
    assert table in names and names == sorted(names)
    with refused("ResourceInUseException", f"Table already exists: {table}"):
        create(ddb, table)
    ddb.update_table(TableName=table, DeletionProtectionEnabled=True)
    with refused("ValidationException", "protected against deletion"):
        ddb.delete_table(TableName=table)
    ddb.update_table(TableName=table, DeletionProtectionEnabled=False)
    assert ddb.delete_table(TableName=table)["TableDescription"]["TableStatus"] == "DELETING"
    ddb.get_waiter("table_not_exists").wait(TableName=table)
    with refused("ResourceNotFoundException", f"Requested resource not found: Table: {table} not found"):
        ddb.describe_table(TableName=table)
    with refused("ResourceNotFoundException"):
        ddb.get_item(TableName=table, Key=wire({"pk": "a", "sk": "b"}))
    # A new table of the same name knows nothing of the old one.
    create(ddb, table)
    assert ddb.scan(TableName=table)["Count"] == 0


def test_tables_that_cannot_be(ddb, name):
    def attempt(message, **changes):
        good = {
            "TableName": name("t"), "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
        }
        with refused("ValidationException", message):
            ddb.create_table(**{**good, **changes})

    attempt("", TableName="a b")
    attempt("The first KeySchemaElement is not a HASH", KeySchema=[{"AttributeName": "pk", "KeyType": "RANGE"}])
    attempt("Some index key attributes are not defined in AttributeDefinitions. Keys: [q], AttributeDefinitions: [pk]",
            KeySchema=[{"AttributeName": "q", "KeyType": "HASH"}])
    attempt("does not exactly match number of attributes defined",
            AttributeDefinitions=[{"AttributeName": a, "AttributeType": "S"} for a in ("pk", "z")])
    attempt("Neither ReadCapacityUnits nor WriteCapacityUnits can be specified",
            ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1})
    attempt("must both be specified when BillingMode is PROVISIONED", BillingMode="PROVISIONED")


def test_values_of_every_type_come_back(ddb, table):
    deep = "bottom"
    for _ in range(32):
        deep = [deep]
    item = {
        "pk": "all", "text": "héllo ☁", "empty": "", "number": Decimal("-12345678901234567890.123456789012345678"),
        "tiny": Decimal("1E-130"), "binary": b"\x00\xff", "yes": True, "nothing": None,
        "strings": {"a", "b"}, "numbers": {Decimal(1), Decimal("2.5")}, "binaries": {b"x", b""},
        "map": {"list": [1, {"deep": "er"}], "": "empty name"}, "deep": deep,
    }
    t = table()
    ddb.put_item(TableName=t, Item=wire(item))
    back = plain(ddb.get_item(TableName=t, Key=wire({"pk": "all"}))["Item"])
    assert back["deep"] == item["deep"] and {k: v for k, v in back.items() if k != "binary"}["map"] == item["map"]
    assert back["number"] == item["number"] and back["tiny"] == item["tiny"]
    assert back["strings"] == item["strings"] and back["numbers"] == item["numbers"]
    assert bytes(back["binary"].value) == b"\x00\xff"
    ddb.put_item(TableName=t, Item={"pk": {"S": "n"}, "n": {"N": "1.0"}, "m": {"N": "0012e2"}})
    got = ddb.get_item(TableName=t, Key=wire({"pk": "n"}))["Item"]
    assert got["n"] == {"N": "1"} and got["m"] == {"N": "1200"}

    def bad(message, value):
        with refused("ValidationException", message):
            ddb.put_item(TableName=t, Item={"pk": {"S": "bad"}, "v": value})

    bad("more than 38 significant digits", {"N": "1" * 39})
    bad("Number overflow", {"N": "1e126"})
    bad("Number underflow", {"N": "1e-131"})
    bad("cannot be converted to a numeric value: x", {"N": "x"})
    bad("may not be empty", {"SS": []})
    bad("contains duplicates", {"SS": ["a", "a"]})
    bad("contains duplicates", {"NS": ["1", "1.0"]})
    bad("Nesting Levels have exceeded supported limits", {"L": [wire({"x": deep})["x"]]})
    bad("must contain exactly one of the supported datatypes", {})
    bad("must have the value of true", {"NULL": False})


def test_limits_at_and_over(ddb, table):
    t = table(keys=("pk", "sk"))

    def put(pk, sk, **rest):
        ddb.put_item(TableName=t, Item=wire({"pk": pk, "sk": sk, **rest}))

    put("p" * 2048, "s" * 1024)
    with refused("ValidationException", "Size of hashkey has exceeded the maximum size limit of2048 bytes"):
        put("p" * 2049, "s")
    with refused("ValidationException", "Aggregated size of all range keys has exceeded the size limit of 1024 bytes"):
        put("p", "s" * 1025)
    overhead = len("pk") + len("sk") + len("v") + 2
    put("p", "s", v="x" * (400 * 1024 - overhead))
    with refused("ValidationException", "Item size has exceeded the maximum allowed size"):
        put("p", "s", v="x" * (400 * 1024 - overhead + 1))
    with refused("ValidationException", "Item size to update has exceeded the maximum allowed size"):
        ddb.update_item(TableName=t, Key=wire({"pk": "p", "sk": "s"}), UpdateExpression="SET w = :w",
                        ExpressionAttributeValues=wire({":w": "x"}))
    with refused("ValidationException", "Missing the key sk in the item"):
        ddb.put_item(TableName=t, Item=wire({"pk": "p"}))
    with refused("ValidationException", "Type mismatch for key sk expected: S actual: N"):
        put("p", 1)
    with refused("ValidationException", "cannot contain an empty string value. Key: pk"):
        put("", "s")
    with refused("ValidationException", "The provided key element does not match the schema"):
        ddb.get_item(TableName=t, Key=wire({"pk": "p"}))


def test_writes_return_what_they_are_asked_for(ddb, table):
    t = table()
    key = wire({"pk": "a"})
    assert "Attributes" not in ddb.put_item(TableName=t, Item=wire({"pk": "a", "n": 1}), ReturnValues="ALL_OLD")
    old = ddb.put_item(TableName=t, Item=wire({"pk": "a", "n": 2, "m": {"x": 1}}), ReturnValues="ALL_OLD")
    assert plain(old["Attributes"]) == {"pk": "a", "n": 1}

    def update(expression, returns, **values):
        done = ddb.update_item(TableName=t, Key=key, UpdateExpression=expression, ReturnValues=returns,
                               **({"ExpressionAttributeValues": wire({":" + k: v for k, v in values.items()})} if values else {}))
        return plain(done.get("Attributes", {}))

    assert update("SET n = n + :d, m.y = :y", "UPDATED_NEW", d=40, y="z") == {"n": 42, "m": {"y": "z"}}
    assert update("SET n = :n REMOVE m.x", "UPDATED_OLD", n=0) == {"n": 42, "m": {"x": 1}}
    assert update("ADD hits :one", "ALL_NEW", one=1) == {"pk": "a", "n": 0, "m": {"y": "z"}, "hits": 1}
    assert update("DELETE absent :s", "NONE", s={"x"}) == {}
    with refused("ValidationException", "Cannot update attribute pk. This attribute is part of the key"):
        update("SET pk = :x", "NONE", x="b")
    # An update makes what isn't there.
    ddb.update_item(TableName=t, Key=wire({"pk": "new"}))
    assert plain(ddb.get_item(TableName=t, Key=wire({"pk": "new"}))["Item"]) == {"pk": "new"}
    gone = ddb.delete_item(TableName=t, Key=key, ReturnValues="ALL_OLD")
    assert plain(gone["Attributes"])["hits"] == 1
    assert "Item" not in ddb.get_item(TableName=t, Key=key)
    with refused("ValidationException", "Return values set to invalid value"):
        ddb.put_item(TableName=t, Item=key, ReturnValues="ALL_NEW")


def test_conditions_fail_with_the_item(ddb, table):
    t = table()
    ddb.put_item(TableName=t, Item=wire({"pk": "a", "v": 1}), ConditionExpression="attribute_not_exists(pk)")
    with pytest.raises(ddb.exceptions.ConditionalCheckFailedException) as failed:
        ddb.put_item(TableName=t, Item=wire({"pk": "a", "v": 2}), ConditionExpression="attribute_not_exists(pk)",
                     ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert failed.value.response["Error"]["Message"] == "The conditional request failed"
    assert plain(failed.value.response["Item"]) == {"pk": "a", "v": 1}
    # The older parameters mean the same.
    ddb.put_item(TableName=t, Item=wire({"pk": "a", "v": 3}), Expected={"v": {"Value": {"N": "1.0"}}})
    with refused("ConditionalCheckFailedException"):
        ddb.delete_item(TableName=t, Key=wire({"pk": "a"}), Expected={"v": {"ComparisonOperator": "GT", "AttributeValueList": [{"N": "3"}]}})
    old = ddb.update_item(TableName=t, Key=wire({"pk": "a"}), ReturnValues="ALL_NEW",
                          AttributeUpdates={"v": {"Action": "ADD", "Value": {"N": "4"}}, "w": {"Value": {"S": "x"}}})
    assert plain(old["Attributes"]) == {"pk": "a", "v": 7, "w": "x"}
    with refused("ValidationException", "Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {Expected} Expression parameters: {ConditionExpression}"):
        ddb.put_item(TableName=t, Item=wire({"pk": "a"}), Expected={"v": {"Exists": False}}, ConditionExpression="attribute_exists(pk)")


def test_expression_errors_are_worded_as_clients_know_them(ddb, table):
    t = table()

    def bad(message, **how):
        with refused("ValidationException", message):
            ddb.update_item(TableName=t, Key=wire({"pk": "a"}), **how)

    v = {":v": {"N": "1"}}
    bad("Invalid UpdateExpression: Attribute name is a reserved keyword; reserved keyword: status",
        UpdateExpression="SET status = :v", ExpressionAttributeValues=v)
    bad("Value provided in ExpressionAttributeNames unused in expressions: keys: {#x}",
        UpdateExpression="SET a = :v", ExpressionAttributeValues=v, ExpressionAttributeNames={"#x": "x"})
    bad("Value provided in ExpressionAttributeValues unused in expressions: keys: {:v}",
        UpdateExpression="REMOVE a", ExpressionAttributeValues=v)
    bad("ExpressionAttributeNames can only be specified when using expressions", ExpressionAttributeNames={"#x": "x"})
    bad('Invalid UpdateExpression: Syntax error; token: "<EOF>", near: "="', UpdateExpression="SET a =")
    bad("Two document paths overlap with each other", UpdateExpression="SET a.b = :v REMOVE a", ExpressionAttributeValues=v)
    bad('ExpressionAttributeValues contains invalid key: Syntax error; key: "v"',
        UpdateExpression="SET a = :v", ExpressionAttributeValues={"v": {"N": "1"}})


def test_queries_follow_the_order_of_keys(ddb, table):
    t = table(keys=("pk", "n"))
    numbers = [-10, -9.5, -1, 0, 0.001, 1, 2, 10, 99, 100, 1e20]
    for number in random.sample(numbers, len(numbers)):
        ddb.put_item(TableName=t, Item=wire({"pk": "p", "n": Decimal(str(number)), "odd": len(str(number)) % 2 == 1}))
    ddb.put_item(TableName=t, Item=wire({"pk": "other", "n": 5}))
    values = {":p": {"S": "p"}}

    def query(condition="", **how):
        more = how.pop("values", {})
        expression = "pk = :p" + (f" AND {condition}" if condition else "")
        return ddb.query(TableName=t, KeyConditionExpression=expression,
                         ExpressionAttributeValues={**values, **wire({k: Decimal(str(v)) for k, v in more.items()})}, **how)

    def seen(reply):
        return [float(item["n"]["N"]) for item in reply["Items"]]

    assert seen(query()) == sorted(numbers)
    assert seen(query(ScanIndexForward=False)) == sorted(numbers, reverse=True)
    assert seen(query("n > :a", values={":a": 0})) == [0.001, 1, 2, 10, 99, 100, 1e20]
    assert seen(query("n >= :a", values={":a": 99})) == [99, 100, 1e20]
    assert seen(query("n < :a", values={":a": -1})) == [-10, -9.5]
    assert seen(query("n <= :a", values={":a": -1})) == [-10, -9.5, -1]
    assert seen(query("n BETWEEN :a AND :b", values={":a": -1, ":b": 1})) == [-1, 0, 0.001, 1]
    assert seen(query("n = :a", values={":a": 10})) == [10]
    # Pages: the limit counts what is read, and a full page names its end even if nothing follows.
    pages, start = [], {}
    while True:
        page = query(Limit=4, **start)
        pages.append(seen(page))
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert sum(pages, []) == sorted(numbers) and [len(p) for p in pages] == [4, 4, 3]
    exact = query(Limit=len(numbers))
    assert plain(exact["LastEvaluatedKey"]) == {"pk": "p", "n": Decimal("1e20")}
    filtered = ddb.query(TableName=t, KeyConditionExpression="pk = :p", FilterExpression="odd = :t",
                         ExpressionAttributeValues={**values, ":t": {"BOOL": True}})
    assert filtered["ScannedCount"] == 11 and filtered["Count"] == len(filtered["Items"]) < 11
    counted = query(Select="COUNT")
    assert counted["Count"] == 11 and "Items" not in counted
    for message, condition in [
        ("Query condition missed key schema element: pk", "absent = :p"),
        ("Invalid operator used in KeyConditionExpression: OR", "pk = :p OR pk = :p"),
        ("Query key condition not supported", "pk > :p"),
    ]:
        with refused("ValidationException", message):
            ddb.query(TableName=t, KeyConditionExpression=condition, ExpressionAttributeValues=values)
    with refused("ValidationException", "Filter Expression can only contain non-primary key attributes: Primary key attribute: n"):
        query(FilterExpression="n > :z", values={":z": 1})
    old = ddb.query(TableName=t, KeyConditions={
        "pk": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "p"}]},
        "n": {"ComparisonOperator": "GE", "AttributeValueList": [{"N": "99"}]}})
    assert seen(old) == [99, 100, 1e20]


def test_string_ranges_and_prefixes(ddb, table):
    t = table(keys=("pk", "sk"))
    keys = ["a", "a\x00", "ab", "abc", "b", "é", "☁", "\U0001f300"]
    for key in keys:
        ddb.put_item(TableName=t, Item=wire({"pk": "p", "sk": key}))
    resource = ddb.query
    seen = [i["sk"]["S"] for i in resource(TableName=t, KeyConditionExpression="pk = :p", ExpressionAttributeValues=wire({":p": "p"}))["Items"]]
    assert seen == sorted(keys, key=lambda k: k.encode())
    begins = resource(TableName=t, KeyConditionExpression="pk = :p AND begins_with(sk, :a)", ExpressionAttributeValues=wire({":p": "p", ":a": "a"}))
    assert [i["sk"]["S"] for i in begins["Items"]] == ["a", "a\x00", "ab", "abc"]


def test_pages_end_at_one_megabyte_before_the_filter(ddb, table):
    t = table(keys=("pk", "sk"))
    for i in range(30):
        ddb.put_item(TableName=t, Item=wire({"pk": "p", "sk": f"{i:03}", "v": "x" * 100_000}))
    page = ddb.query(TableName=t, KeyConditionExpression="pk = :p", FilterExpression="sz = :v",
                     ExpressionAttributeValues=wire({":p": "p", ":v": "y"}))
    assert page["Count"] == 0 and page["ScannedCount"] == 11 and "LastEvaluatedKey" in page
    pages = list(ddb.get_paginator("scan").paginate(TableName=t))
    assert len(pages) >= 3 and sum(p["Count"] for p in pages) == 30


def test_segments_of_a_scan_are_everything_once(ddb, table):
    t = table()
    for start in range(0, 200, 25):
        ddb.batch_write_item(RequestItems={t: [{"PutRequest": {"Item": wire({"pk": f"k{i}", "i": i})}} for i in range(start, start + 25)]})
    seen, sizes = [], []
    for segment in range(4):
        pages = ddb.get_paginator("scan").paginate(TableName=t, Segment=segment, TotalSegments=4, PaginationConfig={"PageSize": 7})
        found = [int(i["i"]["N"]) for p in pages for i in p["Items"]]
        sizes.append(len(found))
        seen += found
    assert sorted(seen) == list(range(200)) and min(sizes) > 20
    with refused("ValidationException", "must be less than parameter TotalSegments"):
        ddb.scan(TableName=t, Segment=4, TotalSegments=4)


def test_indexes_follow_their_items(ddb, table):
    t = table(keys=("pk", "sk"), globals=[("by-g", ("gpk", "gsk"), {"ProjectionType": "KEYS_ONLY"}), ("all", ("gpk",), ALL)],
              locals=[("by-l", ("pk", "lsk"), {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["x"]})])
    put = lambda **item: ddb.put_item(TableName=t, Item=wire(item))
    put(pk="p", sk="1", gpk="g", gsk=2, lsk="b", x="X", y="Y")
    put(pk="p", sk="2", gpk="g", gsk=1, lsk="a", x="X")
    put(pk="q", sk="3", gpk="g", gsk=1)
    put(pk="q", sk="4", gpk="g")  # no sort key: not in by-g
    put(pk="q", sk="5")

    def query(index, key, value, **how):
        reply = ddb.query(TableName=t, IndexName=index, KeyConditionExpression=f"{key} = :v", ExpressionAttributeValues=wire({":v": value}), **how)
        return [plain(i) for i in reply["Items"]]

    assert [(i["gsk"], i["sk"]) for i in query("by-g", "gpk", "g")] == [(1, "2"), (1, "3"), (2, "1")]
    assert query("by-g", "gpk", "g")[2] == {"pk": "p", "sk": "1", "gpk": "g", "gsk": 2}
    assert {i["sk"] for i in query("all", "gpk", "g")} == {"1", "2", "3", "4"}
    assert [i["sk"] for i in query("by-l", "pk", "p")] == ["2", "1"]
    assert query("by-l", "pk", "p")[1] == {"pk": "p", "sk": "1", "lsk": "b", "x": "X"}
    # A local index fetches from the table what it does not hold; a global one cannot.
    assert query("by-l", "pk", "p", Select="ALL_ATTRIBUTES")[1]["y"] == "Y"
    with refused("ValidationException", "Global secondary index by-g does not project [y]"):
        query("by-g", "gpk", "g", ProjectionExpression="y")
    with refused("ValidationException", "Consistent reads are not supported on global secondary indexes"):
        query("by-g", "gpk", "g", ConsistentRead=True)
    with refused("ValidationException", "The table does not have the specified index: nope"):
        query("nope", "gpk", "g")
    with refused("ValidationException", "Type mismatch for Index Key gsk Expected: N Actual: S IndexName: by-g"):
        put(pk="p", sk="1", gpk="g", gsk="two")
    # Pages of equal index keys.
    first = ddb.query(TableName=t, IndexName="by-g", KeyConditionExpression="gpk = :v", ExpressionAttributeValues=wire({":v": "g"}), Limit=1)
    assert set(first["LastEvaluatedKey"]) == {"pk", "sk", "gpk", "gsk"}
    rest = query("by-g", "gpk", "g", ExclusiveStartKey=first["LastEvaluatedKey"])
    assert [(i["gsk"], i["sk"]) for i in rest] == [(1, "3"), (2, "1")]
    ddb.update_item(TableName=t, Key=wire({"pk": "p", "sk": "1"}), UpdateExpression="SET gpk = :h", ExpressionAttributeValues=wire({":h": "h"}))
    ddb.delete_item(TableName=t, Key=wire({"pk": "p", "sk": "2"}))
    assert [i["sk"] for i in query("by-g", "gpk", "g")] == ["3"] and [i["sk"] for i in query("by-g", "gpk", "h")] == ["1"]
    assert ddb.scan(TableName=t, IndexName="by-g")["Count"] == 2


def test_an_index_added_later_finds_what_was_there(ddb, table):
    t = table()
    for start in range(0, 500, 25):
        ddb.batch_write_item(RequestItems={t: [{"PutRequest": {"Item": wire({"pk": f"k{i}", "gpk": f"g{i % 5}"})}} for i in range(start, start + 25)]})
    stop = threading.Event()

    def write():
        i = 500
        while not stop.is_set():
            ddb.put_item(TableName=t, Item=wire({"pk": f"k{i}", "gpk": f"g{i % 5}"}))
            i += 1
        counts.append(i)

    counts = []
    writer = threading.Thread(target=write)
    writer.start()
    ddb.update_table(TableName=t, AttributeDefinitions=[{"AttributeName": "gpk", "AttributeType": "S"}], GlobalSecondaryIndexUpdates=[
        {"Create": {"IndexName": "late", "KeySchema": [{"AttributeName": "gpk", "KeyType": "HASH"}], "Projection": ALL}}])
    deadline = time.time() + 30
    while ddb.describe_table(TableName=t)["Table"]["GlobalSecondaryIndexes"][0]["IndexStatus"] != "ACTIVE":
        assert time.time() < deadline
        time.sleep(0.05)
    stop.set()
    writer.join()
    pages = ddb.get_paginator("scan").paginate(TableName=t, IndexName="late")
    assert sum(p["Count"] for p in pages) == counts[0]
    ddb.update_table(TableName=t, GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "late"}}])
    assert "GlobalSecondaryIndexes" not in ddb.describe_table(TableName=t)["Table"]


def test_batches(ddb, table):
    t, u = table(), table()
    items = [{"PutRequest": {"Item": wire({"pk": str(i), "v": i})}} for i in range(12)]
    reply = ddb.batch_write_item(RequestItems={t: items, u: items[:5]}, ReturnConsumedCapacity="TOTAL")
    assert reply["UnprocessedItems"] == {}
    assert {c["TableName"]: c["CapacityUnits"] for c in reply["ConsumedCapacity"]} == {t: 12.0, u: 5.0}
    ddb.batch_write_item(RequestItems={t: [{"DeleteRequest": {"Key": wire({"pk": "0"})}}]})
    got = ddb.batch_get_item(RequestItems={
        t: {"Keys": [wire({"pk": str(i)}) for i in range(3)], "ProjectionExpression": "v"},
        u: {"Keys": [wire({"pk": "4"})], "ConsistentRead": True}})
    assert sorted(i["v"]["N"] for i in got["Responses"][t]) == ["1", "2"] and got["UnprocessedKeys"] == {}
    assert len(got["Responses"][u]) == 1
    with refused("ValidationException", "Provided list of item keys contains duplicates"):
        ddb.batch_get_item(RequestItems={t: {"Keys": [wire({"pk": "1"})] * 2}})
    with refused("ValidationException", ""):
        ddb.batch_write_item(RequestItems={t: [{"PutRequest": {"Item": wire({"pk": str(i)})}} for i in range(26)]})


def test_batch_get_stops_at_sixteen_megabytes(ddb, table):
    t = table()
    for i in range(45):
        ddb.put_item(TableName=t, Item=wire({"pk": str(i), "v": "x" * 380_000}))
    left, seen = {t: {"Keys": [wire({"pk": str(i)}) for i in range(45)]}}, 0
    rounds = 0
    while left:
        got = ddb.batch_get_item(RequestItems=left)
        seen += len(got["Responses"][t])
        left = got["UnprocessedKeys"]
        rounds += 1
    assert seen == 45 and rounds == 2


def test_transactions_are_all_or_nothing(ddb, table):
    t = table()
    put = lambda pk, **rest: {"Put": {"TableName": t, "Item": wire({"pk": pk, **rest})}}
    ddb.transact_write_items(TransactItems=[put("a", n=1), put("b", n=1)])
    with pytest.raises(ddb.exceptions.TransactionCanceledException) as cancelled:
        ddb.transact_write_items(TransactItems=[
            put("c"),
            {"ConditionCheck": {"TableName": t, "Key": wire({"pk": "a"}), "ConditionExpression": "n = :two",
                                "ExpressionAttributeValues": wire({":two": 2}), "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}},
            {"Update": {"TableName": t, "Key": wire({"pk": "b"}), "UpdateExpression": "SET n = n + :one", "ExpressionAttributeValues": wire({":one": 1})}},
        ])
    reasons = cancelled.value.response["CancellationReasons"]
    assert [r["Code"] for r in reasons] == ["None", "ConditionalCheckFailed", "None"]
    assert plain(reasons[1]["Item"]) == {"pk": "a", "n": 1} and reasons[1]["Message"] == "The conditional request failed"
    assert "specific reasons [None, ConditionalCheckFailed, None]" in cancelled.value.response["Error"]["Message"]
    assert "Item" not in ddb.get_item(TableName=t, Key=wire({"pk": "c"}))
    got = ddb.transact_get_items(TransactItems=[{"Get": {"TableName": t, "Key": wire({"pk": k})}} for k in "bxa"], ReturnConsumedCapacity="TOTAL")
    assert [plain(r["Item"])["n"] if "Item" in r else None for r in got["Responses"]] == [1, None, 1]
    assert got["ConsumedCapacity"][0]["CapacityUnits"] == 6
    with refused("ValidationException", "cannot include multiple operations on one item"):
        ddb.transact_write_items(TransactItems=[put("a"), put("a")])
    token = "token-" + t
    again = lambda n: ddb.transact_write_items(ClientRequestToken=token, TransactItems=[
        {"Update": {"TableName": t, "Key": wire({"pk": "a"}), "UpdateExpression": "ADD n :n", "ExpressionAttributeValues": wire({":n": n})}}])
    again(10), again(10)
    assert plain(ddb.get_item(TableName=t, Key=wire({"pk": "a"}))["Item"])["n"] == 11
    with refused("IdempotentParameterMismatchException"):
        again(11)


def test_money_is_neither_made_nor_lost(ddb, table, client):
    t, accounts = table(), 8
    for i in range(accounts):
        ddb.put_item(TableName=t, Item=wire({"pk": str(i), "money": 100}))

    def transfer(seed):
        mine, luck = client("dynamodb"), random.Random(seed)
        for _ in range(25):
            a, b = luck.sample(range(accounts), 2)
            amount = {":x": {"N": str(luck.randint(1, 60))}}
            try:
                mine.transact_write_items(TransactItems=[
                    {"Update": {"TableName": t, "Key": wire({"pk": str(a)}), "UpdateExpression": "SET money = money - :x",
                                "ConditionExpression": "money >= :x", "ExpressionAttributeValues": amount}},
                    {"Update": {"TableName": t, "Key": wire({"pk": str(b)}), "UpdateExpression": "ADD money :x", "ExpressionAttributeValues": amount}}])
            except mine.exceptions.TransactionCanceledException:
                pass

    threads = [threading.Thread(target=transfer, args=(i,)) for i in range(8)]
    [x.start() for x in threads]
    for _ in range(10):
        got = ddb.transact_get_items(TransactItems=[{"Get": {"TableName": t, "Key": wire({"pk": str(i)})}} for i in range(accounts)])
        assert sum(int(r["Item"]["money"]["N"]) for r in got["Responses"]) == 100 * accounts
    [x.join() for x in threads]
    assert min(int(i["money"]["N"]) for i in ddb.scan(TableName=t)["Items"]) >= 0


def test_counters_lose_nothing_under_contention(ddb, table, client):
    t = table()

    def count():
        mine = client("dynamodb")
        for _ in range(25):
            mine.update_item(TableName=t, Key=wire({"pk": "c"}), UpdateExpression="ADD n :one", ExpressionAttributeValues=wire({":one": 1}))

    threads = [threading.Thread(target=count) for _ in range(8)]
    [x.start() for x in threads]
    [x.join() for x in threads]
    assert plain(ddb.get_item(TableName=t, Key=wire({"pk": "c"}), ConsistentRead=True)["Item"])["n"] == 200


def test_capacity_is_counted_as_aws_counts(ddb, table):
    t = table(globals=[("by-g", ("gpk",), ALL)])
    units = lambda reply: reply["ConsumedCapacity"]["CapacityUnits"]
    how = {"TableName": t, "ReturnConsumedCapacity": "INDEXES"}
    assert units(ddb.put_item(Item=wire({"pk": "a", "v": "x" * 1500}), **how)) == 2
    told = ddb.put_item(Item=wire({"pk": "b", "gpk": "g"}), **how)["ConsumedCapacity"]
    assert told["CapacityUnits"] == 2 and told["Table"]["CapacityUnits"] == 1
    assert told["GlobalSecondaryIndexes"]["by-g"]["CapacityUnits"] == 1
    assert units(ddb.get_item(Key=wire({"pk": "a"}), **how)) == 0.5
    assert units(ddb.get_item(Key=wire({"pk": "a"}), ConsistentRead=True, **how)) == 1
    assert "ConsumedCapacity" not in ddb.get_item(TableName=t, Key=wire({"pk": "a"}))


def test_items_are_counted(ddb, table):
    t = table(globals=[("by-g", ("gpk",), ALL)])

    def counted(items, entries):
        deadline = time.time() + 60
        while True:
            told = ddb.describe_table(TableName=t)["Table"]
            if (told["ItemCount"], told["GlobalSecondaryIndexes"][0]["ItemCount"]) == (items, entries):
                return told["TableSizeBytes"]
            assert time.time() < deadline
            time.sleep(0.2)

    for i in range(5):
        ddb.put_item(TableName=t, Item=wire({"pk": str(i), **({"gpk": "g"} if i < 2 else {})}))
    assert counted(5, 2) == 5 * 3 + 2 * 4
    ddb.delete_item(TableName=t, Key=wire({"pk": "0"}))
    counted(4, 1)


def test_provisioned_capacity_runs_out(ddb, table):
    units = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}
    t = table(BillingMode="PROVISIONED", ProvisionedThroughput=units)
    roomy = table()
    big = wire({"pk": "a", "v": "x" * 100_000})  # 98 units, of the 300 that five minutes gather
    for _ in range(4):
        ddb.put_item(TableName=t, Item=big)
    with refused("ProvisionedThroughputExceededException", "The level of configured provisioned throughput for the table was exceeded"):
        ddb.put_item(TableName=t, Item=big)
    batch = [{"PutRequest": {"Item": wire({"pk": "b"})}}]
    left = ddb.batch_write_item(RequestItems={t: batch, roomy: batch})["UnprocessedItems"]
    assert left == {t: batch}
    with pytest.raises(ddb.exceptions.TransactionCanceledException) as cancelled:
        ddb.transact_write_items(TransactItems=[{"Put": {"TableName": x, "Item": wire({"pk": "c"})}} for x in (roomy, t)])
    assert [r["Code"] for r in cancelled.value.response["CancellationReasons"]] == ["None", "ProvisionedThroughputExceeded"]
    assert "Item" in ddb.get_item(TableName=t, Key=wire({"pk": "a"}))  # reads have their own
    ddb.update_table(TableName=t, BillingMode="PAY_PER_REQUEST")
    ddb.put_item(TableName=t, Item=big)


def test_a_stream_tells_every_change_in_order(ddb, client, table):
    streams = client("dynamodbstreams")
    t = table(StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"})
    arn = ddb.describe_table(TableName=t)["Table"]["LatestStreamArn"]
    assert [s["StreamArn"] for s in streams.list_streams(TableName=t)["Streams"]] == [arn]
    told = streams.describe_stream(StreamArn=arn)["StreamDescription"]
    assert told["StreamStatus"] == "ENABLED" and told["StreamViewType"] == "NEW_AND_OLD_IMAGES"
    shard = told["Shards"][0]["ShardId"]
    iterator = lambda kind, **more: streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType=kind, **more)["ShardIterator"]
    latest = iterator("LATEST")
    ddb.put_item(TableName=t, Item=wire({"pk": "a", "v": 1}))
    ddb.put_item(TableName=t, Item=wire({"pk": "a", "v": 1}))  # changes nothing, tells nothing
    ddb.update_item(TableName=t, Key=wire({"pk": "a"}), UpdateExpression="SET v = :v", ExpressionAttributeValues=wire({":v": 2}))
    ddb.delete_item(TableName=t, Key=wire({"pk": "a"}))
    got = streams.get_records(ShardIterator=iterator("TRIM_HORIZON"))
    records = [r["dynamodb"] for r in got["Records"]]
    assert [r["eventName"] for r in got["Records"]] == ["INSERT", "MODIFY", "REMOVE"]
    assert plain(records[1]["OldImage"])["v"] == 1 and plain(records[1]["NewImage"])["v"] == 2
    assert "NewImage" not in records[2] and plain(records[2]["Keys"]) == {"pk": "a"}
    numbers = [int(r["SequenceNumber"]) for r in records]
    assert numbers == sorted(set(numbers))
    assert len(streams.get_records(ShardIterator=latest)["Records"]) == 3
    at = streams.get_records(ShardIterator=iterator("AT_SEQUENCE_NUMBER", SequenceNumber=records[1]["SequenceNumber"]))
    after = streams.get_records(ShardIterator=iterator("AFTER_SEQUENCE_NUMBER", SequenceNumber=records[1]["SequenceNumber"]))
    assert len(at["Records"]) == 2 and len(after["Records"]) == 1
    one = streams.get_records(ShardIterator=iterator("TRIM_HORIZON"), Limit=1)
    assert len(streams.get_records(ShardIterator=one["NextShardIterator"])["Records"]) == 2
    # Switched off, it ends, and can be read to its end.
    ddb.update_table(TableName=t, StreamSpecification={"StreamEnabled": False})
    end = streams.get_records(ShardIterator=got["NextShardIterator"])
    assert end["Records"] == [] and "NextShardIterator" not in end
    assert streams.describe_stream(StreamArn=arn)["StreamDescription"]["StreamStatus"] == "DISABLED"


def test_items_expire_and_the_stream_says_who_did_it(ddb, client, table):
    streams = client("dynamodbstreams")
    t = table(StreamSpecification={"StreamEnabled": True, "StreamViewType": "OLD_IMAGE"})
    now = int(time.time())
    ddb.put_item(TableName=t, Item=wire({"pk": "over", "until": now - 60}))
    ddb.put_item(TableName=t, Item=wire({"pk": "stays", "until": now + 3600}))
    ddb.put_item(TableName=t, Item=wire({"pk": "text", "until": "soon"}))
    ddb.update_time_to_live(TableName=t, TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"})
    assert ddb.describe_time_to_live(TableName=t)["TimeToLiveDescription"] == {"TimeToLiveStatus": "ENABLED", "AttributeName": "until"}
    with refused("ValidationException", "TimeToLive is already enabled"):
        ddb.update_time_to_live(TableName=t, TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"})
    deadline = time.time() + 60
    while "Item" in ddb.get_item(TableName=t, Key=wire({"pk": "over"})):
        assert time.time() < deadline
        time.sleep(0.2)
    assert {i["pk"]["S"] for i in ddb.scan(TableName=t)["Items"]} == {"stays", "text"}
    arn = ddb.describe_table(TableName=t)["Table"]["LatestStreamArn"]
    shard = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    start = streams.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    last = streams.get_records(ShardIterator=start)["Records"][-1]
    assert last["eventName"] == "REMOVE" and last["userIdentity"] == {"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}


def test_fine_grained_access(ddb, client, table, cloud, name):
    t = table(keys=("pk", "sk"))
    for who in ("ann", "bob"):
        ddb.put_item(TableName=t, Item=wire({"pk": who, "sk": "1", "open": "o", "secret": "s"}))
    iam = client("iam")
    user = name("user")
    iam.create_user(UserName=user)
    arn = ddb.describe_table(TableName=t)["Table"]["TableArn"]
    iam.put_user_policy(UserName=user, PolicyName="own", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Action": ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:BatchGetItem"], "Resource": arn,
        "Condition": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["ann"], "dynamodb:Attributes": ["pk", "sk", "open"]},
                      "StringEqualsIfExists": {"dynamodb:Select": "SPECIFIC_ATTRIBUTES", "dynamodb:ReturnValues": ["NONE", "UPDATED_OLD", "UPDATED_NEW"]}}}]}))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    mine = client("dynamodb", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    own = {"TableName": t, "Key": wire({"pk": "ann", "sk": "1"})}
    got = mine.get_item(**own, ProjectionExpression="#o", ExpressionAttributeNames={"#o": "open"})
    assert plain(got["Item"]) == {"open": "o"}
    query = {"TableName": t, "KeyConditionExpression": "pk = :p", "ProjectionExpression": "sk", "ExpressionAttributeValues": wire({":p": "ann"})}
    assert mine.query(**query)["Count"] == 1
    mine.put_item(TableName=t, Item=wire({"pk": "ann", "sk": "2", "open": "x"}))
    for attempt in [
        lambda: mine.get_item(**own),
        lambda: mine.get_item(**own, ProjectionExpression="#s", ExpressionAttributeNames={"#s": "secret"}),
        lambda: mine.get_item(TableName=t, Key=wire({"pk": "bob", "sk": "1"}), ProjectionExpression="sk"),
        lambda: mine.query(**{**query, "ExpressionAttributeValues": wire({":p": "bob"})}),
        lambda: mine.put_item(TableName=t, Item=wire({"pk": "bob", "sk": "2"})),
        lambda: mine.put_item(TableName=t, Item=wire({"pk": "ann", "sk": "2"}), ReturnValues="ALL_OLD"),
        lambda: mine.batch_get_item(RequestItems={t: {"Keys": [wire({"pk": w, "sk": "1"}) for w in ("ann", "bob")], "ProjectionExpression": "sk"}}),
        lambda: mine.scan(TableName=t),
        lambda: mine.delete_item(**own),
    ]:
        with refused("AccessDeniedException"):
            attempt()


def test_a_resource_policy_lets_in_and_keeps_out(ddb, client, table, name):
    t = table()
    iam = client("iam")
    user = name("user")
    who = iam.create_user(UserName=user)["User"]["Arn"]
    key = iam.create_access_key(UserName=user)["AccessKey"]
    mine = client("dynamodb", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    with refused("AccessDeniedException"):
        mine.scan(TableName=t)
    arn = ddb.describe_table(TableName=t)["Table"]["TableArn"]
    with refused("PolicyNotFoundException"):
        ddb.get_resource_policy(ResourceArn=arn)
    policy = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": who}, "Action": "dynamodb:Scan", "Resource": arn}]})
    revision = ddb.put_resource_policy(ResourceArn=arn, Policy=policy)["RevisionId"]
    assert mine.scan(TableName=t)["Count"] == 0
    assert ddb.get_resource_policy(ResourceArn=arn)["RevisionId"] == revision
    ddb.delete_resource_policy(ResourceArn=arn)
    with refused("AccessDeniedException"):
        mine.scan(TableName=t)


def test_a_stream_has_a_policy_of_its_own(ddb, client, table, name):
    t = table(StreamSpecification={"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"})
    iam, user = client("iam"), name("user")
    who = iam.create_user(UserName=user)["User"]["Arn"]
    key = iam.create_access_key(UserName=user)["AccessKey"]
    mine = client("dynamodbstreams", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    told = ddb.describe_table(TableName=t)["Table"]
    arn = told["LatestStreamArn"]
    with refused("AccessDeniedException"):
        mine.describe_stream(StreamArn=arn)
    with refused("PolicyNotFoundException"):
        ddb.get_resource_policy(ResourceArn=arn)
    actions = ["dynamodb:DescribeStream", "dynamodb:GetShardIterator", "dynamodb:GetRecords"]
    policy = json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": who}, "Action": actions, "Resource": arn}]})
    revision = ddb.put_resource_policy(ResourceArn=arn, Policy=policy, ExpectedRevisionId="NO_POLICY")["RevisionId"]
    assert ddb.get_resource_policy(ResourceArn=arn) | {"ResponseMetadata": 0} == {
        "Policy": policy, "RevisionId": revision, "ResponseMetadata": 0,
    }
    with refused("PolicyNotFoundException"):
        ddb.get_resource_policy(ResourceArn=told["TableArn"])
    ddb.put_item(TableName=t, Item=wire({"pk": "a"}))
    shard = mine.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    start = mine.get_shard_iterator(StreamArn=arn, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    assert len(mine.get_records(ShardIterator=start)["Records"]) == 1
    with refused("PolicyNotFoundException"):
        ddb.delete_resource_policy(ResourceArn=arn, ExpectedRevisionId="1")
    ddb.delete_resource_policy(ResourceArn=arn, ExpectedRevisionId=revision)
    with refused("AccessDeniedException"):
        mine.get_records(ShardIterator=start)
    with refused("ResourceNotFoundException"):
        ddb.put_resource_policy(ResourceArn=arn[:-3] + "999", Policy=policy)


def test_answers_carry_a_checksum_of_their_body(ddb, table):
    sums = []

    def keep(response_dict=None, **_):
        sums.append(int(response_dict["headers"]["x-amz-crc32"]) == zlib.crc32(response_dict["body"]))

    ddb.meta.events.register("before-parse.dynamodb", keep)
    t = table()
    with refused("ValidationException"):
        ddb.get_item(TableName=t, Key={})
    assert len(sums) >= 2 and all(sums)


def test_the_resource_interface(cloud, table, ddb):
    t = table(keys=("pk", "sk"))
    resource = boto3.resource(
        "dynamodb", endpoint_url=cloud.url, region_name=cloud.environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=cloud.environment["AWS_ACCESS_KEY_ID"], aws_secret_access_key=cloud.environment["AWS_SECRET_ACCESS_KEY"])
    books = resource.Table(t)
    with books.batch_writer() as batch:
        for i in range(60):
            batch.put_item(Item={"pk": "book", "sk": f"{i:02}", "price": Decimal(i), "tags": {"sea", f"t{i}"}})
    found = books.query(KeyConditionExpression=Key("pk").eq("book") & Key("sk").between("10", "19"),
                        FilterExpression=Attr("price").gt(14) & Attr("tags").contains("t17"))
    assert [i["sk"] for i in found["Items"]] == ["17"]


def test_what_is_acknowledged_survives_a_kill():
    with private_cloud() as cloud:
        ddb = cloud.client("dynamodb")
        create(ddb, "survivors", globals=[("by-g", ("gpk",), ALL)])
        acked, stop = [], threading.Event()

        def write(worker):
            mine = cloud.client("dynamodb")
            i = 0
            while not stop.is_set():
                pk = f"{worker}-{i}"
                try:
                    mine.put_item(TableName="survivors", Item=wire({"pk": pk, "gpk": "g"}))
                except Exception:
                    return
                acked.append(pk)
                i += 1

        threads = [threading.Thread(target=write, args=(w,)) for w in range(6)]
        [x.start() for x in threads]
        time.sleep(1.5)
        cloud.kill()
        stop.set()
        [x.join() for x in threads]
        cloud.start()
        ddb = cloud.client("dynamodb")
        scan = lambda **how: {i["pk"]["S"] for p in ddb.get_paginator("scan").paginate(TableName="survivors", **how) for i in p["Items"]}
        there = scan()
        assert acked and set(acked) <= there and scan(IndexName="by-g") == there


def test_what_is_not_there_says_so(ddb, table):
    with refused("NotImplemented"):
        ddb.update_contributor_insights(TableName=table(), ContributorInsightsAction="ENABLE")
