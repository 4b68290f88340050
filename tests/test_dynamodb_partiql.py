"""PartiQL by a stock client: statements, batches, transactions, access, and the plain API as oracle."""

import json
import random
from decimal import Decimal

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import ClientError
from conftest import refused
from test_dynamodb import create

WIRE = TypeSerializer().serialize
PLAIN = TypeDeserializer().deserialize


@pytest.fixture
def ddb(client):
    return client("dynamodb")


@pytest.fixture
def table(ddb, name):
    def make(stem="t", **how):
        made = name(stem)
        create(ddb, made, **how)
        return made

    return make


def plain(item):
    return {k: PLAIN(v) for k, v in item.items()}


@pytest.fixture
def run(ddb):
    """Runs one statement; gives the items."""

    def run(statement, *parameters, **more):
        if parameters:
            more["Parameters"] = [WIRE(p) for p in parameters]
        reply = ddb.execute_statement(Statement=statement, **more)
        return [plain(item) for item in reply["Items"]]

    return run


def test_an_item_lives_and_dies_by_statements(ddb, table, run):
    t = table()
    assert run(f"INSERT INTO \"{t}\" VALUE {{'pk': 'a', 'n': 1, 'm': {{'x': [1, 'it''s']}}, 's': <<'u', 'v'>>}}") == []
    with refused("DuplicateItemException", "Duplicate primary key exists in table"):
        run(f"INSERT INTO \"{t}\" VALUE {{'pk': ?}}", "a")
    assert run(f'SELECT m.x, n FROM "{t}" WHERE pk = ?', "a") == [{"x": [1, "it's"], "n": 1}]
    changed = run(
        f"UPDATE \"{t}\" SET n = n + 41 SET s = set_add(s, <<'w'>>) SET m.x = list_append(m.x, [null])"
        " WHERE pk = 'a' AND n = 1 RETURNING MODIFIED NEW *"
    )
    assert changed == [{"n": 42, "s": {"u", "v", "w"}, "m": {"x": [1, "it's", None]}}]
    assert run(f"UPDATE \"{t}\" REMOVE n WHERE pk = 'a' RETURNING ALL OLD *")[0]["n"] == 42
    assert run(f"UPDATE \"{t}\" REMOVE s WHERE pk = 'a' RETURNING MODIFIED NEW *") == []
    with refused("ConditionalCheckFailedException"):
        run(f"DELETE FROM \"{t}\" WHERE pk = 'a' AND n IS NOT MISSING")
    with pytest.raises(ClientError) as caught:
        run(f"DELETE FROM \"{t}\" WHERE pk = 'a' AND n = 1", ReturnValuesOnConditionCheckFailure="ALL_OLD")
    assert caught.value.response["Item"]["pk"] == {"S": "a"}
    assert run(f"DELETE FROM \"{t}\" WHERE pk = 'a' RETURNING ALL OLD *") == [{"pk": "a", "m": {"x": [1, "it's", None]}}]
    # Of an item that is not there nothing is asked; an update is no upsert.
    assert run(f"DELETE FROM \"{t}\" WHERE pk = 'a' AND n = 1 RETURNING ALL OLD *") == []
    with refused("ConditionalCheckFailedException", "The conditional request failed"):
        run(f"UPDATE \"{t}\" SET n = 1 WHERE pk = 'a'")


@pytest.mark.parametrize("statement, message", [
    ("SLECT * FROM t", "Statement wasn't well formed, can't be processed: Expected data manipulation"),
    ("DELETE FROM {t} WHERE n = 1", "Where clause does not contain a mandatory equality on all key attributes"),
    ("SELECT * FROM {t} WHERE pk = 1", "Key attribute's data type should match its data type in table's schema"),
    ("INSERT INTO {t} VALUE {{'pk': 1, 'sk': 'a'}}", "Key attribute's data type should match its data type"),
    ("INSERT INTO {t} VALUE {{'sk': 'a'}}", "Missing the key pk in the item"),
    ("SELECT * FROM {t} ORDER BY sk", "Must have at least one non-optional hash key condition in WHERE clause"),
    ("SELECT * FROM {t} WHERE pk = 'a' ORDER BY n", "Variable reference n in ORDER BY clause must be part of the primary key"),
    ("SELECT * FROM {t} WHERE pk = 'a' LIMIT 1", "Unsupported clause: LIMIT"),
    ("SELECT * FROM {t}.\"none\"", "The table does not have the specified index"),
    ("UPDATE {t} SET sk = 'b' WHERE pk = 'a' AND sk = 'a'", "Cannot update attribute sk. This attribute is part of the key"),
    ("UPDATE {t} SET a = 1, a.b = 2 WHERE pk = 'a' AND sk = 'a'", "Two document paths overlap"),
    ("EXISTS(SELECT * FROM {t} WHERE pk = 'a' AND sk = 'a' AND n = 1)", "EXISTS"),
])
def test_what_is_wrong_is_said(table, run, statement, message):
    t = table(keys=("pk", "sk"))
    with refused("ValidationException", message):
        run(statement.format(t=f'"{t}"'))


def test_a_table_that_is_not_there(run, name):
    with refused("ResourceNotFoundException"):
        run(f"SELECT * FROM \"{name('none')}\" WHERE pk = 'a'")


def test_keys_decide_how_much_is_read(ddb, table, run):
    t = table(keys=("pk", "sk"), globals=[("by-g", ("gpk", "gsk"), {"ProjectionType": "KEYS_ONLY"})])
    for p in "abc":
        for s in range(6):
            run(f'INSERT INTO "{t}" VALUE ?', {"pk": p, "sk": f"s{s}", "n": s, "gpk": f"g{s % 2}", "gsk": s, "fat": "x" * 3000})

    def units(where, **more):
        reply = ddb.execute_statement(Statement=f'SELECT pk, sk FROM "{t}" WHERE {where}', ReturnConsumedCapacity="TOTAL", **more)
        return len(reply["Items"]), reply["ConsumedCapacity"]["CapacityUnits"]

    assert units("pk = 'a' AND sk = 's1'") == (1, 0.5)
    assert units("pk = 'a' AND sk = 's1'", ConsistentRead=True) == (1, 1.0)
    assert units("pk = 'a' AND sk = 's1' AND n = 7") == (0, 0.5)
    assert units("pk = 'a' AND sk > 's3'") == (2, 1.0)
    assert units("pk IN ['a', 'c', 'a'] AND sk = 's1'") == (2, 1.0)
    assert units("(pk = 'a' OR pk = 'b') AND begins_with(sk, 's')") == (12, 5.0)
    assert units("n = 1")[0] == 3 and units("n = 1")[1] > 6
    down = run(f"SELECT sk FROM \"{t}\" WHERE pk = 'a' AND sk BETWEEN 's1' AND 's3' ORDER BY sk DESC")
    assert [item["sk"] for item in down] == ["s3", "s2", "s1"]
    both = run(f"SELECT pk, sk FROM \"{t}\" WHERE pk IN ['a', 'c'] AND sk < 's2' ORDER BY pk DESC, sk")
    assert [item["pk"] + item["sk"] for item in both] == ["cs0", "cs1", "as0", "as1"]
    index = run(f'SELECT * FROM "{t}"."by-g" WHERE gpk = ? AND gsk >= 3', "g1")
    assert sorted((i["pk"], i["gsk"]) for i in index) == [(p, s) for p in "abc" for s in (3, 5)]
    assert set(index[0]) == {"pk", "sk", "gpk", "gsk"}
    with refused("ValidationException", "does not project [fat]"):
        run(f"SELECT fat FROM \"{t}\".\"by-g\" WHERE gpk = 'g1'")
    with refused("ValidationException", "Consistent reads are not supported"):
        run(f"SELECT * FROM \"{t}\".\"by-g\" WHERE gpk = 'g1'", ConsistentRead=True)


@pytest.mark.parametrize("where", ["", " WHERE pk IN ['a', 'b', 'c']", " WHERE pk = 'b' ORDER BY sk DESC", " WHERE n <> 3"])
def test_pages_make_a_whole(ddb, table, run, where):
    t = table(keys=("pk", "sk"))
    for p in "abc":
        for s in range(5):
            run(f'INSERT INTO "{t}" VALUE ?', {"pk": p, "sk": f"s{s}", "n": s})
    statement = f'SELECT pk, sk FROM "{t}"{where}'
    whole = run(statement)
    for limit in (1, 2, 4, 100):
        found, more = [], {}
        while True:
            page = ddb.execute_statement(Statement=statement, Limit=limit, **more)
            assert len(page["Items"]) <= limit
            found += [plain(item) for item in page["Items"]]
            if "NextToken" not in page:
                break
            more = {"NextToken": page["NextToken"]}
        assert found == whole
    with refused("ValidationException", "Invalid NextToken"):
        run(f"SELECT sk FROM \"{t}\"", NextToken="AAAA")


def test_the_longest_keys_still_page(ddb, table, run):
    t = table(keys=("pk", "sk"), globals=[("by-g", ("gpk", "lsk"), {"ProjectionType": "KEYS_ONLY"})])
    for s in "ab":
        run(f'INSERT INTO "{t}" VALUE ?', {"pk": "p" * 2048, "sk": s * 1024, "gpk": "g" * 2048, "lsk": "l" * 1024})
    one = ddb.execute_statement(Statement=f'SELECT sk FROM "{t}"."by-g"', Limit=1)
    two = ddb.execute_statement(Statement=f'SELECT sk FROM "{t}"."by-g"', Limit=1, NextToken=one["NextToken"])
    assert [i["sk"]["S"][0] for i in one["Items"] + two["Items"]] == ["a", "b"]


def test_numbers_keep_their_digits(table, run):
    t = table()
    digits = "12345678901234567890123456789012345678"
    run(f"INSERT INTO \"{t}\" VALUE {{'pk': 'a', 'n': {digits}, 'm': -0.5e-3}}")
    assert run(f'SELECT n, m FROM "{t}" WHERE n = {digits}') == [{"n": Decimal(digits), "m": Decimal("-0.0005")}]
    with refused("ValidationException", "38 significant digits"):
        run(f"INSERT INTO \"{t}\" VALUE {{'pk': 'b', 'n': {digits}9}}")


def test_statements_of_a_batch_stand_alone(ddb, table, run):
    t = table()
    run(f"INSERT INTO \"{t}\" VALUE {{'pk': 'a', 'n': 1}}")
    run(f"INSERT INTO \"{t}\" VALUE {{'pk': 'c', 'n': 2}}")
    writes = [
        f"INSERT INTO \"{t}\" VALUE {{'pk': 'b'}}",
        f"INSERT INTO \"{t}\" VALUE {{'pk': 'a'}}",
        "SLECT",
        f"UPDATE \"{t}\" SET n = 2 WHERE pk = 'a' RETURNING ALL NEW *",
        f"UPDATE \"{t}\" SET n = 2 WHERE pk = 'c' AND n = 1",
        f"UPDATE \"{t}-none\" SET n = 2 WHERE pk = 'a'",
        f"DELETE FROM \"{t}\" WHERE pk = 'a' RETURNING MODIFIED NEW *",
    ]
    reply = ddb.batch_execute_statement(
        Statements=[{"Statement": s, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"} for s in writes],
        ReturnConsumedCapacity="TOTAL",
    )
    codes = [r.get("Error", {}).get("Code") for r in reply["Responses"]]
    assert codes == [
        None, "DuplicateItem", "ValidationError", None, "ConditionalCheckFailed", "ResourceNotFound", "ValidationError",
    ]
    assert reply["Responses"][0] == {"TableName": t}
    assert plain(reply["Responses"][3]["Item"]) == {"pk": "a", "n": 2}
    assert plain(reply["Responses"][4]["Error"]["Item"]) == {"pk": "c", "n": 2}
    assert [(c["TableName"], c["CapacityUnits"]) for c in reply["ConsumedCapacity"]] == [(t, 2.0)]
    reads = [f"SELECT n FROM \"{t}\" WHERE pk = 'a'", f"SELECT * FROM \"{t}\" WHERE pk = 'z'", f'SELECT * FROM "{t}"']
    found = ddb.batch_execute_statement(Statements=[{"Statement": s} for s in reads])["Responses"]
    assert [r.get("Item") for r in found] == [{"n": {"N": "2"}}, None, None]
    assert found[2]["Error"] == {
        "Code": "ValidationError",
        "Message": "Select statements within BatchExecuteStatement must specify the primary key in the where clause.",
    }
    with refused("ValidationException", "does not support both read and write"):
        ddb.batch_execute_statement(Statements=[{"Statement": s} for s in (reads[0], writes[0])])
    with refused("ValidationException", "less than or equal to 25"):
        ddb.batch_execute_statement(Statements=[{"Statement": reads[0]}] * 26)


def test_a_transaction_is_all_or_nothing(ddb, table, run):
    t = table()
    run(f"INSERT INTO \"{t}\" VALUE {{'pk': 'a', 'n': 1}}")

    def transact(*statements, **more):
        return ddb.execute_transaction(TransactStatements=[{"Statement": s} for s in statements], **more)

    insert = f"INSERT INTO \"{t}\" VALUE {{'pk': 'b', 'n': 1}}"
    exists = f"EXISTS(SELECT * FROM \"{t}\" WHERE pk = 'a' AND n = %d)"
    with pytest.raises(ddb.exceptions.TransactionCanceledException) as caught:
        transact(insert, exists % 2, f"UPDATE \"{t}\" SET n = 2 WHERE pk = 'none'", f"DELETE FROM \"{t}\" WHERE pk = 'x'")
    reasons = [r["Code"] for r in caught.value.response["CancellationReasons"]]
    assert reasons == ["None", "ConditionalCheckFailed", "ConditionalCheckFailed", "None"]
    reply = transact(insert, exists % 1, ClientRequestToken="once", ReturnConsumedCapacity="TOTAL")
    assert reply["Responses"] == [{}, {}]
    assert reply["ConsumedCapacity"][0]["CapacityUnits"] == 4.0
    assert transact(insert, exists % 1, ClientRequestToken="once")["Responses"] == [{}, {}]
    with refused("IdempotentParameterMismatchException"):
        transact(insert, ClientRequestToken="once")
    with pytest.raises(ddb.exceptions.TransactionCanceledException) as caught:
        transact(insert)
    assert caught.value.response["CancellationReasons"] == [
        {"Code": "DuplicateItem", "Message": "Duplicate primary key exists in table"}
    ]
    read = f"SELECT n FROM \"{t}\" WHERE pk = '%s'"
    assert transact(read % "a", read % "z", read % "b")["Responses"] == [{"Item": {"n": {"N": "1"}}}, {}, {"Item": {"n": {"N": "1"}}}]
    with refused("ValidationException", "does not support both read and write"):
        transact(read % "a", insert)
    wrong = "Validation failed in TransactStatements[1]: "
    with refused("ValidationException", wrong + "Select statements within ExecuteTransaction must specify the primary key"):
        transact(read % "a", f'SELECT * FROM "{t}"')
    with refused("ValidationException", wrong + "EXISTS() must contain a single item read with additional condition"):
        transact(insert, f"EXISTS(SELECT * FROM \"{t}\" WHERE pk = 'a')")
    with refused("ValidationException", "multiple operations on one item"):
        transact(insert, f"DELETE FROM \"{t}\" WHERE pk = 'b'")


# Random statements against two tables that are the same: one by PartiQL, one by the plain API.

NAMES = ["p", "q", "r"]


def literal(value):
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, (set, frozenset)):
        return "<<" + ", ".join(map(literal, sorted(value))) + ">>"
    return {None: "NULL", True: "TRUE", False: "FALSE"}.get(value, str(value)) if not isinstance(value, (int, Decimal)) or isinstance(value, bool) else str(value)


class Both:
    """One condition or update in both languages."""

    def __init__(self, chance):
        self.chance = chance
        self.values, self.parameters = {}, []

    def value(self, value):
        key = f":v{len(self.values)}"
        self.values[key] = WIRE(value)
        if self.chance.random() < 0.5:
            return key, literal(value)
        self.parameters.append(WIRE(value))
        return key, "?"

    def scalar(self):
        return self.value(self.chance.choice([0, 1, 2, "", "a", "ab", "b'"]))

    def condition(self, depth=2):
        kind = self.chance.randrange(12 if depth else 8)
        name = self.chance.choice(NAMES)
        if kind == 0:
            return f"attribute_not_exists({name})", f"{name} IS MISSING"
        if kind == 1:
            return f"attribute_exists({name})", f"{name} IS NOT MISSING"
        if kind < 5:
            by = self.chance.choice(["=", "<>", "<", "<=", ">", ">="])
            one, two = self.scalar()
            return f"{name} {by} {one}", f'"{name}" {by} {two}'
        if kind == 5:
            (a, b), (c, d) = self.scalar(), self.scalar()
            return f"{name} IN ({a}, {c})", f"{name} IN [{b}, {d}]"
        if kind == 6:
            function = self.chance.choice(["contains", "begins_with"])
            one, two = self.value(self.chance.choice(["a", "b", ""]))
            return f"{function}({name}, {one})", f"{function}({name}, {two})"
        if kind == 7:
            one, two = self.value(self.chance.randrange(3))
            return f"size({name}) > {one}", f"size({name}) > {two}"
        if kind == 8:
            one, two = self.condition(depth - 1)
            return f"NOT {one}", f"NOT {two}"
        word = self.chance.choice(["AND", "OR"])
        (a, b), (c, d) = self.condition(depth - 1), self.condition(depth - 1)
        return f"({a} {word} {c})", f"({b} {word} {d})"

    def update(self):
        sets, removes, partiql = [], [], []
        names = self.chance.sample(NAMES, self.chance.randint(1, 2))
        for name in names:
            kind = self.chance.randrange(4)
            if kind == 0:
                removes.append(name)
                partiql.append(f"REMOVE {name}")
            elif kind == 1:
                one, two = self.value(self.chance.randrange(5))
                sets.append(f"{name} = {name} + {one}")
                partiql.append(f"SET {name} = {name} + {two}")
            elif kind == 2:
                one, two = self.value([1, {"x": {"a"}}])
                sets.append(f"{name} = list_append({name}, {one})")
                partiql.append(f"SET {name} = list_append({name}, {two})")
            else:
                some = [0, 1, "a", "ab'", [], [1, "b"], {"k": None}, {"a", "b"}, {1, 2}, True, None]
                one, two = self.value(self.chance.choice(some))
                sets.append(f"{name} = {one}")
                partiql.append(f"SET {name} = {two}")
        plain = (f"SET {', '.join(sets)} " if sets else "") + (f"REMOVE {', '.join(removes)}" if removes else "")
        return plain, " ".join(partiql)


def outcome(act):
    try:
        return act()
    except ClientError as error:
        return error.response["Error"]["Code"]


@pytest.mark.parametrize("seed", range(4))
def test_random_statements_do_what_the_plain_api_does(ddb, table, seed):
    chance = random.Random(seed)
    keys = {"keys": ("pk", "sk")}
    ours, theirs = table("ours", **keys), table("theirs", **keys)
    for _ in range(150):
        both = Both(chance)
        key = {"pk": {"S": chance.choice("ab")}, "sk": {"S": chance.choice("uvwx")}}
        at = f"pk = '{key['pk']['S']}' AND sk = '{key['sk']['S']}'"
        kind = chance.choice(["insert", "update", "update", "delete", "query", "scan"])
        if kind == "insert":
            item = {**key, **{n: WIRE(chance.choice([0, 1, "a", ["b"], {"a"}])) for n in chance.sample(NAMES, 2)}}
            a = outcome(lambda: ddb.put_item(TableName=theirs, Item=item, ConditionExpression="attribute_not_exists(pk)") and [])
            a = "DuplicateItemException" if a == "ConditionalCheckFailedException" else a
            b = outcome(lambda: ddb.execute_statement(Statement=f'INSERT INTO "{ours}" VALUE ?', Parameters=[{"M": item}])["Items"])
        elif kind == "update":
            plain, partiql = both.update()
            one, two = both.condition()
            which = chance.choice(["ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"])
            values = {"ExpressionAttributeValues": both.values} if both.values else {}
            a = outcome(lambda: ddb.update_item(
                TableName=theirs, Key=key, UpdateExpression=plain, ReturnValues=which,
                ConditionExpression=f"attribute_exists(pk) AND {one}", **values,
            ).get("Attributes"))
            a = a if isinstance(a, str) else [a] if a else []
            parameters = {"Parameters": both.parameters} if both.parameters else {}
            returning = which.replace("UPDATED", "MODIFIED").replace("_", " ")
            b = outcome(lambda: ddb.execute_statement(
                Statement=f'UPDATE "{ours}" {partiql} WHERE {at} AND {two} RETURNING {returning} *', **parameters
            )["Items"])
        elif kind == "delete":
            one, two = both.condition()
            values = {"ExpressionAttributeValues": both.values} if both.values else {}
            a = outcome(lambda: ddb.delete_item(
                TableName=theirs, Key=key, ReturnValues="ALL_OLD",
                ConditionExpression=f"attribute_not_exists(pk) OR {one}", **values,
            ).get("Attributes"))
            a = a if isinstance(a, str) else [a] if a else []
            parameters = {"Parameters": both.parameters} if both.parameters else {}
            b = outcome(lambda: ddb.execute_statement(
                Statement=f'DELETE FROM "{ours}" WHERE {at} AND {two} RETURNING ALL OLD *', **parameters
            )["Items"])
        else:
            one, two = both.condition()
            values = {"ExpressionAttributeValues": both.values} if both.values else {}
            parameters = {"Parameters": both.parameters} if both.parameters else {}
            if kind == "scan":
                a = outcome(lambda: ddb.scan(TableName=theirs, FilterExpression=one, **values)["Items"])
                b = outcome(lambda: ddb.execute_statement(Statement=f'SELECT * FROM "{ours}" WHERE {two}', **parameters)["Items"])
            else:
                values = {"ExpressionAttributeValues": {**both.values, ":pk": key["pk"], ":sk": key["sk"]}}
                a = outcome(lambda: ddb.query(
                    TableName=theirs, KeyConditionExpression="pk = :pk AND sk > :sk", FilterExpression=one,
                    ProjectionExpression="pk, sk, p", **values,
                )["Items"])
                b = outcome(lambda: ddb.execute_statement(
                    Statement=f"SELECT pk, sk, p FROM \"{ours}\" WHERE {two} AND sk > '{key['sk']['S']}' AND pk = '{key['pk']['S']}'",
                    **parameters,
                )["Items"])
        assert ordered(a) == ordered(b), (kind, both.__dict__)
    whole = [ordered(ddb.scan(TableName=t)["Items"]) for t in (ours, theirs)]
    assert whole[0] == whole[1]


def ordered(found):
    """Sets have no order on the wire."""
    if not isinstance(found, list):
        return found

    def sort(value):
        if isinstance(value, dict):
            return {k: sorted(v) if k in ("SS", "NS", "BS") else sort(v) for k, v in value.items()}
        return [sort(v) for v in value] if isinstance(value, list) else value

    return sort(found)


# Access: actions and fine-grained keys.


def test_who_may_run_which_statement(ddb, client, table, run, name):
    t = table(keys=("pk", "sk"), globals=[("by-g", ("gpk",), {"ProjectionType": "ALL"})])
    for p in ("mine", "yours"):
        run(f'INSERT INTO "{t}" VALUE ?', {"pk": p, "sk": "a", "n": 1, "gpk": "x", "secret": "s"})
    arn = ddb.describe_table(TableName=t)["Table"]["TableArn"]
    policy = {"Version": "2012-10-17", "Statement": [
        {
            "Effect": "Allow", "Action": ["dynamodb:PartiQLSelect", "dynamodb:PartiQLUpdate"], "Resource": [arn, f"{arn}/index/*"],
            "Condition": {
                "ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["mine"], "dynamodb:Attributes": ["pk", "sk", "n"]},
                "StringEqualsIfExists": {"dynamodb:Select": "SPECIFIC_ATTRIBUTES", "dynamodb:ReturnValues": ["NONE", "UPDATED_NEW"]},
            },
        },
        {
            "Effect": "Deny", "Action": "dynamodb:PartiQLSelect", "Resource": [arn, f"{arn}/index/*"],
            "Condition": {"Bool": {"dynamodb:FullTableScan": ["true"]}},
        },
    ]}
    user = name("u")
    iam = client("iam")
    iam.create_user(UserName=user)
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    theirs = client("dynamodb", key=key["AccessKeyId"], secret=key["SecretAccessKey"])

    def may(statement):
        try:
            theirs.execute_statement(Statement=statement.format(t=f'"{t}"'))
        except ClientError as error:
            assert error.response["Error"]["Code"] == "AccessDeniedException", error
            return False
        return True

    assert may("SELECT n FROM {t} WHERE pk = 'mine' AND sk = 'a'")
    assert may("UPDATE {t} SET n = 2 WHERE pk = 'mine' AND sk = 'a' RETURNING MODIFIED NEW *")
    for denied in [
        "SELECT n FROM {t} WHERE pk = 'yours'",
        "SELECT n FROM {t} WHERE pk IN ['mine', 'yours']",
        "SELECT n, secret FROM {t} WHERE pk = 'mine'",
        "SELECT n FROM {t} WHERE pk = 'mine' AND secret = 's'",
        "SELECT * FROM {t} WHERE pk = 'mine'",
        "SELECT n FROM {t}",
        "SELECT n FROM {t}.\"by-g\" WHERE gpk = 'x'",
        "UPDATE {t} SET secret = 'x' WHERE pk = 'mine' AND sk = 'a'",
        "UPDATE {t} SET n = 2 WHERE pk = 'mine' AND sk = 'a' RETURNING ALL NEW *",
        "INSERT INTO {t} VALUE {{'pk': 'mine', 'sk': 'b'}}",
        "DELETE FROM {t} WHERE pk = 'mine' AND sk = 'a'",
    ]:
        assert not may(denied), denied
    batch = theirs.batch_execute_statement(Statements=[
        {"Statement": f"SELECT n FROM \"{t}\" WHERE pk = '{p}' AND sk = 'a'"} for p in ("mine", "yours")
    ])["Responses"]
    assert batch[0]["Item"] == {"n": {"N": "2"}}
    assert batch[1]["Error"]["Code"] == "AccessDenied"
    with refused("AccessDeniedException"):
        theirs.execute_transaction(TransactStatements=[
            {"Statement": f"UPDATE \"{t}\" SET n = 3 WHERE pk = 'mine' AND sk = 'a'"},
            {"Statement": f"DELETE FROM \"{t}\" WHERE pk = 'mine' AND sk = 'z'"},
        ])
    assert may("SELECT n FROM {t} WHERE pk = 'mine' AND sk = 'a' AND n = 2")
