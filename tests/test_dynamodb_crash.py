"""kill -9 under contention: money moves between accounts in transactions, and none is lost or made.

Each transfer takes from one account, gives to another and leaves a record, by TransactWriteItems or
by ExecuteTransaction. After every restart the accounts must be exactly what the records say, the
sum what it was, and the record of every acknowledged transfer there; an index must agree.
"""

import os
import random
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import urllib3
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError
from conftest import private_cloud

ROUNDS = int(os.environ.get("GUREUM_CRASH_ROUNDS", "3"))
THREADS = 32
ACCOUNTS = 12
EACH = 1000
CUT_OFF = (ConnectionError, HTTPClientError, urllib3.exceptions.HTTPError)
N = lambda number: {"N": str(number)}  # noqa: E731
S = lambda text: {"S": text}  # noqa: E731


def found(ddb, **what):
    pages = ddb.get_paginator("scan").paginate(TableName="bank", **what)
    return [item for page in pages for item in page["Items"]]


class Bank:
    def __init__(self, cloud):
        self.cloud = cloud
        self.acknowledged = set()
        self.tried = {}
        ddb = cloud.client("dynamodb")
        ddb.create_table(
            TableName="bank", BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": k, "AttributeType": t} for k, t in (("pk", "S"), ("kind", "S"), ("n", "N"))],
            GlobalSecondaryIndexes=[{
                "IndexName": "by-kind", "Projection": {"ProjectionType": "ALL"},
                "KeySchema": [{"AttributeName": "kind", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}],
            }],
        )
        for number in range(ACCOUNTS):
            ddb.put_item(TableName="bank", Item={"pk": S(f"a{number}"), "kind": S("account"), "n": N(EACH)})

    def transfer(self, ddb, chance):
        one, two = chance.sample(range(ACCOUNTS), 2)
        amount = chance.randint(1, 400)
        name = f"t-{uuid.uuid4()}"
        self.tried[name] = (one, two, amount)
        record = {"pk": S(name), "kind": S("transfer"), "n": N(amount), "from": N(one), "to": N(two)}
        if chance.random() < 0.5:
            def change(account, sign, condition):
                return {"Update": {
                    "TableName": "bank", "Key": {"pk": S(f"a{account}")}, "UpdateExpression": f"SET n = n {sign} :n",
                    "ConditionExpression": condition, "ExpressionAttributeValues": {":n": N(amount)},
                }}

            ddb.transact_write_items(TransactItems=[
                change(one, "-", "n >= :n"), change(two, "+", "attribute_exists(pk)"),
                {"Put": {"TableName": "bank", "Item": record}},
            ])
        else:
            ddb.execute_transaction(TransactStatements=[
                {"Statement": "UPDATE bank SET n = n - ? WHERE pk = ? AND n >= ?", "Parameters": [N(amount), S(f"a{one}"), N(amount)]},
                {"Statement": "UPDATE bank SET n = n + ? WHERE pk = ?", "Parameters": [N(amount), S(f"a{two}")]},
                {"Statement": "INSERT INTO bank VALUE ?", "Parameters": [{"M": record}]},
            ])
        self.acknowledged.add(name)

    def work(self, seed, stop):
        chance, ddb = random.Random(seed), self.cloud.client("dynamodb")
        while not stop.is_set():
            try:
                self.transfer(ddb, chance)
            except ClientError as error:
                reasons = {r["Code"] for r in error.response.get("CancellationReasons", [])}
                assert reasons and reasons <= {"None", "ConditionalCheckFailed", "TransactionConflict"}, error
            except CUT_OFF:
                return

    def check(self):
        ddb = self.cloud.client("dynamodb")
        table, index = found(ddb), found(ddb, IndexName="by-kind")
        by_key = lambda items: sorted(items, key=lambda item: item["pk"]["S"])  # noqa: E731
        assert by_key(table) == by_key(index)
        balances = {number: EACH for number in range(ACCOUNTS)}
        names = set()
        for item in table:
            if item["kind"]["S"] == "transfer":
                names.add(item["pk"]["S"])
                one, two, amount = (int(item[key]["N"]) for key in ("from", "to", "n"))
                assert self.tried[item["pk"]["S"]] == (one, two, amount)
                balances[one] -= amount
                balances[two] += amount
        assert self.acknowledged <= names, "an acknowledged transfer is lost"
        held = {int(i["pk"]["S"][1:]): int(i["n"]["N"]) for i in table if i["kind"]["S"] == "account"}
        assert held == balances
        assert sum(held.values()) == ACCOUNTS * EACH and min(held.values()) >= 0
        return len(names)


def test_no_money_is_lost_or_made():
    chance = random.Random(ROUNDS)
    with private_cloud() as cloud:
        bank = Bank(cloud)
        for number in range(ROUNDS):
            stop, before = threading.Event(), len(bank.acknowledged)
            with ThreadPoolExecutor(THREADS) as pool:
                workers = [pool.submit(bank.work, number * THREADS + one, stop) for one in range(THREADS)]
                # Not before something was done, then at any moment.
                while len(bank.acknowledged) < before + 5:
                    assert not any(w.done() and w.exception() for w in workers), [w.exception() for w in workers if w.done()]
                    time.sleep(0.01)
                time.sleep(chance.random())
                cloud.kill()
                stop.set()
                for worker in workers:
                    worker.result()
            cloud.start()
            bank.check()
        print(f"{ROUNDS} rounds: {len(bank.acknowledged)} transfers acknowledged, {len(bank.tried)} tried, {bank.check()} there")
