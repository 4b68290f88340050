"""DynamoDB's exports to S3 and imports from it, decoded and compared, and kill -9 in between."""

import base64
import csv
import gzip
import hashlib
import io
import json
import time
from decimal import Decimal

import pytest
from boto3.dynamodb.types import Binary

from conftest import private_cloud, refused
from test_dynamodb import create, ddb, table  # noqa: F401
from test_dynamodb_backup import (  # noqa: F401
    SECOND_INDEX, Writer, content, fill, plain, recover, wait_active, whole_second, wire,
)


@pytest.fixture
def bucket(client, name):
    made = name("bucket")
    client("s3").create_bucket(Bucket=made)
    return made


def wait_export(ddb, arn):
    return wait(lambda: ddb.describe_export(ExportArn=arn)["ExportDescription"], "ExportStatus")


def wait_import(ddb, arn):
    return wait(lambda: ddb.describe_import(ImportArn=arn)["ImportTableDescription"], "ImportStatus")


def wait(describe, status):
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        described = describe()
        if described[status] != "IN_PROGRESS":
            return described
        time.sleep(0.05)
    raise AssertionError(described)


def export(ddb, name, bucket, **more):
    arn = ddb.describe_table(TableName=name)["Table"]["TableArn"]
    made = ddb.export_table_to_point_in_time(TableArn=arn, S3Bucket=bucket, **more)["ExportDescription"]
    # A request that is repeated is answered with how the export stands by then.
    assert made["ExportStatus"] == "IN_PROGRESS" or "ClientToken" in more
    return made["ExportArn"]


def get(s3, bucket, key):
    return s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def decoded(s3, described):
    """All items of an export, by way of its manifests; checks these on the way."""
    bucket = described["S3Bucket"]
    text = get(s3, bucket, described["ExportManifest"])
    summary = json.loads(text)
    assert summary["exportArn"] == described["ExportArn"]
    assert summary["outputFormat"] == "DYNAMODB_JSON"
    md5 = get(s3, bucket, described["ExportManifest"].replace(".json", ".md5")).decode()
    assert md5 == base64.b64encode(hashlib.md5(text).digest()).decode()
    items = []
    for line in get(s3, bucket, summary["manifestFilesS3Key"]).splitlines():
        file = json.loads(line)
        data = get(s3, bucket, file["dataFileS3Key"])
        assert base64.b64encode(hashlib.md5(data).digest()).decode() == file["md5Checksum"]
        assert s3.head_object(Bucket=bucket, Key=file["dataFileS3Key"])["ETag"].strip('"') == file["etag"]
        lines = gzip.decompress(data).decode().splitlines()
        assert len(lines) == file["itemCount"]
        items += [plain(from_json(json.loads(line)["Item"])) for line in lines]
    assert summary["itemCount"] == described["ItemCount"] == len(items)
    return items


def from_json(item):
    """Binary values are base64 in a file, and bytes in boto3."""

    def value(of):
        [(kind, inner)] = of.items()
        if kind == "B":
            return {"B": base64.b64decode(inner)}
        if kind == "BS":
            return {"BS": [base64.b64decode(one) for one in inner]}
        if kind == "M":
            return {"M": {k: value(v) for k, v in inner.items()}}
        if kind == "L":
            return {"L": [value(v) for v in inner]}
        return of

    return {k: value(v) for k, v in item.items()}


EVERY_KIND = {
    "pk": "every", "sk": "kind", "n": Decimal("-12.50"), "b": Binary(b"\x00\xff"), "t": True, "none": None,
    "ss": {"a", "b"}, "ns": {Decimal(1), Decimal(2)}, "bs": {Binary(b"x")}, "l": ["x", Decimal(1), {"y": []}],
    "m": {"in": {"deep": "ü\n\"quoted\""}},
}


def test_an_export_holds_the_table_as_it_was(client, ddb, table, bucket):
    source = table("src", keys=("pk", "sk"))
    writer = Writer(ddb, source)
    recover(ddb, source)
    ddb.put_item(TableName=source, Item=wire(EVERY_KIND))
    expected = writer.steps(120) | {("every", "kind"): EVERY_KIND}
    moment = whole_second()
    writer.steps(60)
    s3 = client("s3")
    arn = export(ddb, source, bucket, ExportTime=moment, S3Prefix="in/here", S3SseAlgorithm="AES256")
    done = wait_export(ddb, arn)
    assert done["ExportStatus"] == "COMPLETED", done
    assert done["ExportManifest"].startswith(f"in/here/AWSDynamoDB/{arn.rsplit('/', 1)[1]}/")
    items = decoded(s3, done)
    assert {(i["pk"], i["sk"]): i for i in items} == expected
    latest = wait_export(ddb, export(ddb, source, bucket))
    items = decoded(s3, latest)
    assert {(i["pk"], i["sk"]): i for i in items} == writer.items | {("every", "kind"): EVERY_KIND}


def test_exports_are_refused_and_fail_as_on_aws(client, ddb, table, bucket, name):
    source = table()
    with refused("PointInTimeRecoveryUnavailableException"):
        export(ddb, source, bucket)
    recover(ddb, source)
    with refused("InvalidExportTimeException"):
        export(ddb, source, bucket, ExportTime=time.time() - 3600)
    with refused("NotImplemented"):
        export(ddb, source, bucket, ExportFormat="ION")
    with refused("TableNotFoundException"):
        arn = ddb.describe_table(TableName=source)["Table"]["TableArn"]
        ddb.export_table_to_point_in_time(TableArn=arn + "x", S3Bucket=bucket)
    with refused("ExportNotFoundException"):
        ddb.describe_export(ExportArn=arn + "/export/01234567890123-a1b2c3d4")
    failed = wait_export(ddb, export(ddb, source, name("nowhere")))
    assert failed["ExportStatus"] == "FAILED" and failed["FailureCode"] == "S3NoSuchBucket"
    failed = wait_export(ddb, export(ddb, source, bucket, S3BucketOwner="999999999999"))
    assert failed["ExportStatus"] == "FAILED" and failed["FailureCode"] == "S3AccessDenied"


def incremental(start, end=None, **more):
    spec = {"ExportFromTime": start} | ({} if end is None else {"ExportToTime": end})
    return {"ExportType": "INCREMENTAL_EXPORT", "IncrementalExportSpecification": spec} | more


def test_incremental_exports_are_refused_as_on_aws(ddb, table, bucket):
    source = table()
    created = ddb.describe_table(TableName=source)["Table"]["CreationDateTime"].timestamp()
    with refused("PointInTimeRecoveryUnavailableException"):
        export(ddb, source, bucket)
    recover(ddb, source)
    spec = incremental(created)["IncrementalExportSpecification"]
    for more, words in (
        ({"IncrementalExportSpecification": spec}, "Export Type expected to be Incremental Export"),
        ({"ExportType": "INCREMENTAL_EXPORT"}, "Incremental Export Specification expected"),
        ({"ExportType": "FULL_EXPORT", "IncrementalExportSpecification": spec}, "When Export Type is Full Export"),
        (incremental(created) | {"IncrementalExportSpecification": {}}, "ExportFromTime must be provided"),
        (incremental(created, ExportTime=created), "ExportTime"),
    ):
        with refused("ValidationException", words):
            export(ddb, source, bucket, **more)
    moment = whole_second()
    for (start, end), words in (
        ((created - 3600, created), "cannot be less than the table creation time"),
        ((created, created + 3600), "cannot be greater than the current time"),
        ((created + 1, created), "should not be greater or equal"),
        ((created, moment), "less than 15 minutes"),
    ):
        with refused("InvalidExportTimeException", words):
            export(ddb, source, bucket, **incremental(start, end))
    assert ddb.list_exports(TableArn=ddb.describe_table(TableName=source)["Table"]["TableArn"])["ExportSummaries"] == []


def test_exports_are_listed_and_asked_for_once(ddb, table, bucket):
    source = table()
    recover(ddb, source)
    first = export(ddb, source, bucket, ClientToken="once")
    assert export(ddb, source, bucket, ClientToken="once") == first
    with refused("ExportConflictException"):
        export(ddb, source, bucket, ClientToken="once", S3Prefix="elsewhere")
    arns = [first] + [export(ddb, source, bucket) for _ in range(4)]
    for arn in arns:
        wait_export(ddb, arn)
    table_arn = arns[0].split("/export/")[0]
    pages, more = [], {}
    while not pages or more:
        page = ddb.list_exports(TableArn=table_arn, MaxResults=2, **more)
        pages.append([summary["ExportArn"] for summary in page["ExportSummaries"]])
        more = {"NextToken": page["NextToken"]} if "NextToken" in page else {}
    assert sum(pages, []) == sorted(arns, reverse=True) and len(pages) == 3


def test_an_export_acts_in_its_callers_name(cloud, client, ddb, table, bucket, name):
    source, user = table(), name("user")
    recover(ddb, source)
    ddb.put_item(TableName=source, Item=wire({"pk": "a"}))
    iam = client("iam")
    iam.create_user(UserName=user)
    key = iam.create_access_key(UserName=user)["AccessKey"]

    def allow(*actions):
        iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}],
        }))

    theirs = cloud.client("dynamodb", key["AccessKeyId"], key["SecretAccessKey"])
    allow("dynamodb:*")
    failed = wait_export(ddb, export(theirs, source, bucket))
    assert failed["ExportStatus"] == "FAILED" and failed["FailureCode"] == "S3AccessDenied"
    allow("dynamodb:*", "s3:PutObject")
    done = wait_export(ddb, export(theirs, source, bucket))
    assert done["ExportStatus"] == "COMPLETED"


def test_an_export_goes_to_a_bucket_in_another_region(client, ddb, table, name):
    source, bucket = table(), name("bucket")
    s3 = client("s3", region="eu-west-1")
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    recover(ddb, source)
    ddb.put_item(TableName=source, Item=wire({"pk": "a"}))
    done = wait_export(ddb, export(ddb, source, bucket))
    assert done["ExportStatus"] == "COMPLETED", done
    assert decoded(s3, done) == [{"pk": "a"}]


def import_table(ddb, name, bucket, format="DYNAMODB_JSON", prefix=None, csv=None, globals=SECOND_INDEX, **more):
    kinds = {"pk": "S", "sk": "S"} | ({"gpk": "S", "gsk": "N"} if globals else {})
    schema = lambda keys: [{"AttributeName": k, "KeyType": t} for k, t in zip(keys, ("HASH", "RANGE"))]
    source = {"S3Bucket": bucket} | ({"S3KeyPrefix": prefix} if prefix else {})
    parameters = {
        "TableName": name, "KeySchema": schema(("pk", "sk")), "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": k, "AttributeType": v} for k, v in kinds.items()],
    }
    if globals:
        parameters["GlobalSecondaryIndexes"] = [
            {"IndexName": n, "KeySchema": schema(k), "Projection": p} for n, k, p in globals
        ]
    if csv:
        more["InputFormatOptions"] = {"Csv": csv}
    made = ddb.import_table(
        S3BucketSource=source, InputFormat=format, TableCreationParameters=parameters, **more
    )["ImportTableDescription"]
    # A request that is repeated is answered with how the import stands by then.
    assert made["ImportStatus"] == "IN_PROGRESS" or "ClientToken" in more
    return made["ImportArn"]


def test_what_was_exported_comes_back(client, ddb, table, bucket, name):
    source = table("src", keys=("pk", "sk"), globals=SECOND_INDEX)
    recover(ddb, source)
    writer = Writer(ddb, source)
    writer.steps(100)
    ddb.put_item(TableName=source, Item=wire(EVERY_KIND))
    done = wait_export(ddb, export(ddb, source, bucket))
    data = done["ExportManifest"].replace("manifest-summary.json", "data/")
    target = name("target")
    arn = import_table(ddb, target, bucket, prefix=data, InputCompressionType="GZIP")
    described = wait_import(ddb, arn)
    assert described["ImportStatus"] == "COMPLETED", described
    assert described["ErrorCount"] == 0 and described["ImportedItemCount"] == done["ItemCount"]
    assert described["TableCreationParameters"]["TableName"] == target
    assert content(ddb, target) == content(ddb, source)
    assert content(ddb, target, IndexName="by-n") == content(ddb, source, IndexName="by-n")
    listed = ddb.list_imports(TableArn=described["TableArn"])["ImportSummaryList"]
    assert [i["ImportArn"] for i in listed] == [arn] and listed[0]["ImportStatus"] == "COMPLETED"


def test_csv_is_imported_with_its_header_or_the_one_given(client, ddb, bucket, name):
    s3 = client("s3")
    rows = [[f"p{i}", "s", f"g{i % 2}", str(i), f'text, "{i}"\nmore'] for i in range(50)]
    header = ["pk", "sk", "gpk", "gsk", "note"]

    def written(rows, delimiter):
        out = io.StringIO()
        csv.writer(out, delimiter=delimiter).writerows(rows)
        return out.getvalue()

    s3.put_object(Bucket=bucket, Key="titled/1.csv", Body=written([header, *rows[:30]], ","))
    s3.put_object(Bucket=bucket, Key="titled/2.csv", Body=written([header, *rows[30:]], ","))
    bare = written(rows, ";") + "short;row\np;s;g;not-a-number;note\n;s;g;1;no key\n"
    s3.put_object(Bucket=bucket, Key="bare/1.csv", Body=bare)
    expected = {
        (r[0], r[1]): {"pk": r[0], "sk": r[1], "gpk": r[2], "gsk": Decimal(r[3]), "note": r[4]} for r in rows
    }
    one, two = name("titled"), name("bare")
    first = import_table(ddb, one, bucket, "CSV", "titled/")
    second = import_table(ddb, two, bucket, "CSV", "bare/", csv={"Delimiter": ";", "HeaderList": header})
    first, second = wait_import(ddb, first), wait_import(ddb, second)
    assert (first["ImportStatus"], first["ErrorCount"], first["ImportedItemCount"]) == ("COMPLETED", 0, 50)
    assert (second["ErrorCount"], second["ImportedItemCount"], second["ProcessedItemCount"]) == (3, 50, 53)
    for made in (one, two):
        assert content(ddb, made) == expected
        assert content(ddb, made, IndexName="by-n") == expected


def test_imports_are_refused_and_fail_as_on_aws(client, ddb, table, bucket, name):
    with refused("ResourceInUseException"):
        import_table(ddb, table(), bucket)
    for more in ({"format": "ION"}, {"InputCompressionType": "ZSTD"}):
        with refused("NotImplemented"):
            import_table(ddb, name(), bucket, **more)
    with refused("ImportNotFoundException"):
        ddb.describe_import(ImportArn="arn:aws:dynamodb:us-east-1:000000000000:table/t/import/01234567890123-a1b2c3d4")
    target = name()
    failed = wait_import(ddb, import_table(ddb, target, name("nowhere")))
    assert failed["ImportStatus"] == "FAILED" and failed["FailureCode"] == "S3NoSuchBucket"
    with refused("ResourceNotFoundException"):
        ddb.describe_table(TableName=target)
    client("s3").put_object(Bucket=bucket, Key="plain.json", Body=b'{"Item": {}}\n')
    failed = wait_import(ddb, import_table(ddb, target, bucket, InputCompressionType="GZIP"))
    assert failed["ImportStatus"] == "FAILED"
    token = name()
    arn = import_table(ddb, target, bucket, ClientToken=token)
    assert import_table_again(ddb, target, bucket, token) == arn
    done = wait_import(ddb, arn)
    assert (done["ImportStatus"], done["ErrorCount"], done["ImportedItemCount"]) == ("COMPLETED", 1, 0)
    with refused("ImportConflictException"):
        import_table(ddb, name(), bucket, ClientToken=token)


def import_table_again(ddb, *args):
    name, bucket, token = args
    return import_table(ddb, name, bucket, ClientToken=token)


def test_kill_9_in_the_middle_of_an_export_and_an_import():
    with private_cloud() as cloud:
        ddb, s3 = cloud.client("dynamodb"), cloud.client("s3")
        s3.create_bucket(Bucket="bucket")
        create(ddb, "source", keys=("pk", "sk"), globals=SECOND_INDEX)
        recover(ddb, "source")
        fill(ddb, "source", 4000, size=5000)
        expected = content(ddb, "source")
        arn = export(ddb, "source", "bucket")
        for pause in (0.1, 0.3, 0.4, 0.4):
            time.sleep(pause)
            cloud.kill()
            cloud.start()
        done = wait_export(ddb, arn)
        items = decoded(s3, done)
        assert {(i["pk"], i["sk"]): i for i in items} == expected
        assert len(items) == len(expected)
        data = done["ExportManifest"].replace("manifest-summary.json", "data/")
        arn = import_table(ddb, "target", "bucket", prefix=data, InputCompressionType="GZIP")
        halfway = 0
        for pause in (0.2, 0.4, 0.5, 0.6):
            time.sleep(pause)
            cloud.kill()
            cloud.start()
            described = ddb.describe_import(ImportArn=arn)["ImportTableDescription"]
            halfway += described["ImportStatus"] == "IN_PROGRESS" and described["ImportedItemCount"] > 0
        assert halfway
        described = wait_import(ddb, arn)
        assert described["ImportStatus"] == "COMPLETED", described
        counts = [described[k] for k in ("ErrorCount", "ImportedItemCount", "ProcessedItemCount")]
        assert counts == [0, len(expected), len(expected)]
        assert content(ddb, "target") == expected
        assert content(ddb, "target", IndexName="by-n") == expected
