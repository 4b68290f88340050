"""S3's objects, driven by boto3: content, listings, multipart uploads, integrity, conditions, versions."""

import base64
import concurrent.futures
import hashlib
import io
import os
import random
import subprocess
import time
import zlib

import pytest
from botocore.exceptions import ClientError
from boto3.s3.transfer import TransferConfig

from conftest import private_cloud, refused

MIB = 1 << 20


@pytest.fixture
def s3(client):
    return client("s3")


@pytest.fixture
def bucket(s3, name):
    bucket = name("bucket")
    s3.create_bucket(Bucket=bucket)
    return bucket


def code(call, **arguments):
    """The code and status of a call that must fail."""
    with pytest.raises(ClientError) as failure:
        call(**arguments)
    response = failure.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def content(s3, bucket, key, **arguments):
    return s3.get_object(Bucket=bucket, Key=key, **arguments)["Body"].read()


# --- buckets --------------------------------------------------------------------------------------


def test_buckets_are_made_found_and_deleted(s3, client, name):
    bucket = name("bucket")
    assert s3.create_bucket(Bucket=bucket)["Location"] == f"/{bucket}"
    s3.create_bucket(Bucket=bucket)  # once more is fine in us-east-1
    assert s3.head_bucket(Bucket=bucket)["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] is None
    assert bucket in [b["Name"] for b in s3.list_buckets(Prefix=bucket[:10])["Buckets"]]
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert code(s3.delete_bucket, Bucket=bucket) == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket=bucket, Key="k")
    s3.delete_bucket(Bucket=bucket)
    assert code(s3.head_bucket, Bucket=bucket) == ("404", 404)
    assert code(s3.list_objects_v2, Bucket=bucket) == ("NoSuchBucket", 404)
    assert code(s3.create_bucket, Bucket="Under_Score")[0] == "InvalidBucketName"


def test_a_client_of_another_region_is_sent_where_the_bucket_is(s3, client, name):
    bucket = name("bucket")
    west = client("s3", region="eu-west-1")
    west.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert s3.get_bucket_location(Bucket=bucket)["LocationConstraint"] == "eu-west-1"
    # boto3 follows the redirect by itself.
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert content(west, bucket, "k") == b"x"
    twice = dict(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert code(west.create_bucket, **twice) == ("BucketAlreadyOwnedByYou", 409)


# --- S3-1: content and listings -------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1_000_003, 9 * MIB])
@pytest.mark.parametrize("tls", [False, True])
def test_content_is_byte_exact(client, bucket, size, tls):
    s3 = client("s3", tls=tls)
    data = os.urandom(size)
    put = s3.put_object(Bucket=bucket, Key="k", Body=data)
    assert put["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    assert put["ServerSideEncryption"] == "AES256"
    got = s3.get_object(Bucket=bucket, Key="k")
    assert got["ContentLength"] == size
    assert got["Body"].read() == data
    assert s3.head_object(Bucket=bucket, Key="k")["ContentLength"] == size


def test_ranges(s3, bucket):
    data = os.urandom(200_000)
    s3.put_object(Bucket=bucket, Key="k", Body=data)
    got = s3.get_object(Bucket=bucket, Key="k", Range="bytes=65530-65545")
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert got["ContentRange"] == "bytes 65530-65545/200000"
    assert got["Body"].read() == data[65530:65546]
    assert content(s3, bucket, "k", Range="bytes=-7") == data[-7:]
    assert content(s3, bucket, "k", Range="bytes=199990-") == data[199990:]
    several = s3.get_object(Bucket=bucket, Key="k", Range="bytes=0-1,5-6")
    assert several["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert several["Body"].read() == data
    assert code(s3.get_object, Bucket=bucket, Key="k", Range="bytes=200000-") == ("InvalidRange", 416)


def test_a_listing_has_every_key_in_order(s3, bucket):
    keys = ["", "a", "a b", "a+b", "a/b", "b", "z", "é", "日本", "\U0001f600", "~", "x%2Fy"][1:]
    keys += [f"n/{n:04}" for n in range(250)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: s3.put_object(Bucket=bucket, Key=key, Body=b"x"), keys))
    expected = sorted(keys, key=str.encode)
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 7})
    listed = []
    for page in pages:
        assert page["KeyCount"] == len(page.get("Contents", []))
        listed += [entry["Key"] for entry in page.get("Contents", [])]
    assert listed == expected
    old = s3.get_paginator("list_objects").paginate(Bucket=bucket, PaginationConfig={"PageSize": 7})
    assert [entry["Key"] for page in old for entry in page["Contents"]] == expected
    folded = s3.list_objects_v2(Bucket=bucket, Delimiter="/")
    assert [entry["Prefix"] for entry in folded["CommonPrefixes"]] == ["a/", "n/"]
    assert [e["Key"] for e in folded["Contents"]] == [k for k in expected if "/" not in k]
    assert folded["KeyCount"] == len(folded["Contents"]) + 2
    after = s3.list_objects_v2(Bucket=bucket, StartAfter="n/0247", Prefix="n/")
    assert [entry["Key"] for entry in after["Contents"]] == ["n/0248", "n/0249"]
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["KeyCount"] == 0


def test_folding_skips_what_it_folds_page_by_page(s3, bucket):
    for key in ["a/1", "a/2", "b", "c/1", "c/2", "d"]:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    seen, arguments = [], {}
    while True:
        page = s3.list_objects_v2(Bucket=bucket, Delimiter="/", MaxKeys=1, **arguments)
        seen += [e["Key"] for e in page.get("Contents", [])]
        seen += [e["Prefix"] for e in page.get("CommonPrefixes", [])]
        if not page["IsTruncated"]:
            break
        arguments = {"ContinuationToken": page["NextContinuationToken"]}
    assert seen == ["a/", "b", "c/", "d"]


def test_the_cli_syncs_both_ways_and_then_has_nothing_to_do(cloud, bucket, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for number in range(20):
        path = here / f"d{number % 3}" / f"f {number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(number * 10_000))
        # S3 dates to the second, so a file of this very second would seem newer than its object.
        os.utime(path, (1_700_000_000, 1_700_000_000))
    assert cloud.cli("s3", "sync", here, f"s3://{bucket}").stdout.count("upload:") == 20
    assert cloud.cli("s3", "sync", here, f"s3://{bucket}").stdout == ""
    cloud.cli("s3", "sync", f"s3://{bucket}", there)
    assert subprocess.run(["diff", "-r", here, there]).returncode == 0


# --- S3-2: consistency ----------------------------------------------------------------------------


def test_what_is_acknowledged_is_seen(s3, bucket):
    def write_and_read(key):
        for turn in range(20):
            s3.put_object(Bucket=bucket, Key=key, Body=str(turn).encode())
            assert content(s3, bucket, key) == str(turn).encode()
            listed = s3.list_objects_v2(Bucket=bucket, Prefix=key)["Contents"]
            assert [entry["Key"] for entry in listed] == [key]

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(write_and_read, [f"k{n}" for n in range(8)]))


# --- S3-3: multipart uploads ----------------------------------------------------------------------


def test_an_upload_in_parts(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="k", ContentType="text/x", Metadata={"a": "b"})
    where = dict(Bucket=bucket, Key="k", UploadId=upload["UploadId"])
    parts = {1: os.urandom(5 * MIB), 3: os.urandom(5 * MIB + 1), 4: os.urandom(17)}
    tags = {}
    for number in [4, 1, 3]:
        if number == 1:
            s3.upload_part(PartNumber=1, Body=b"to be replaced", **where)
        tags[number] = s3.upload_part(PartNumber=number, Body=parts[number], **where)["ETag"]
    listed = s3.list_parts(MaxParts=2, **where)
    assert [p["PartNumber"] for p in listed["Parts"]] == [1, 3] and listed["IsTruncated"]
    assert bucket == s3.list_multipart_uploads(Bucket=bucket)["Bucket"]
    assert [u["Key"] for u in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]] == ["k"]

    def complete(*numbers, **tag):
        chosen = [{"PartNumber": n, "ETag": tag.get("tag", tags[n])} for n in numbers]
        return dict(MultipartUpload={"Parts": chosen}, **where)

    assert code(s3.complete_multipart_upload, **complete(3, 1)) == ("InvalidPartOrder", 400)
    assert code(s3.complete_multipart_upload, **complete(1, tag='"0"')) == ("InvalidPart", 400)
    assert code(s3.complete_multipart_upload, **complete(1, 3, 4) | {"UploadId": "no"}) == ("NoSuchUpload", 404)
    done = s3.complete_multipart_upload(**complete(1, 3, 4))
    md5s = b"".join(hashlib.md5(parts[n]).digest() for n in [1, 3, 4])
    assert done["ETag"] == f'"{hashlib.md5(md5s).hexdigest()}-3"'
    assert content(s3, bucket, "k") == parts[1] + parts[3] + parts[4]
    second = s3.get_object(Bucket=bucket, Key="k", PartNumber=2)
    assert second["PartsCount"] == 3 and second["Body"].read() == parts[3]
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ContentType"], head["Metadata"]) == ("text/x", {"a": "b"})
    attributes = s3.get_object_attributes(
        Bucket=bucket, Key="k", ObjectAttributes=["ETag", "ObjectSize", "ObjectParts"]
    )
    assert attributes["ObjectParts"]["TotalPartsCount"] == 3


def test_small_parts_must_come_last(s3, bucket):
    where = dict(Bucket=bucket, Key="k")
    where["UploadId"] = s3.create_multipart_upload(**where)["UploadId"]
    tags = [s3.upload_part(PartNumber=n, Body=b"x", **where)["ETag"] for n in (1, 2)]
    parts = [{"PartNumber": n + 1, "ETag": tag} for n, tag in enumerate(tags)]
    failure = code(s3.complete_multipart_upload, MultipartUpload={"Parts": parts}, **where)
    assert failure == ("EntityTooSmall", 400)
    s3.abort_multipart_upload(**where)
    assert code(s3.list_parts, **where) == ("NoSuchUpload", 404)


def test_a_composite_upload_wants_every_parts_checksum_again(s3, bucket):
    where = dict(Bucket=bucket, Key="k")
    where["UploadId"] = s3.create_multipart_upload(ChecksumAlgorithm="SHA256", **where)["UploadId"]
    part = s3.upload_part(PartNumber=1, Body=b"x", ChecksumAlgorithm="SHA256", **where)
    tagged = {"PartNumber": 1, "ETag": part["ETag"]}
    for parts in ([tagged], [{**tagged, "ChecksumCRC32": "AAAAAA=="}]):
        failure = code(s3.complete_multipart_upload, MultipartUpload={"Parts": parts}, **where)
        assert failure == ("InvalidRequest", 400)
    whole = [{**tagged, "ChecksumSHA256": part["ChecksumSHA256"]}]
    done = s3.complete_multipart_upload(MultipartUpload={"Parts": whole}, **where)
    assert done["ChecksumSHA256"].endswith("-1") and content(s3, bucket, "k") == b"x"


def test_parts_copied_from_an_object(s3, bucket):
    data = os.urandom(6 * MIB)
    s3.put_object(Bucket=bucket, Key="from", Body=data)
    where = dict(Bucket=bucket, Key="to")
    where["UploadId"] = s3.create_multipart_upload(**where)["UploadId"]
    source = dict(CopySource=f"{bucket}/from", **where)
    ranges = {1: f"bytes=0-{5 * MIB - 1}", 2: f"bytes={5 * MIB}-{6 * MIB - 1}"}
    copied = [s3.upload_part_copy(PartNumber=n, CopySourceRange=r, **source) for n, r in ranges.items()]
    parts = [{"PartNumber": n + 1, "ETag": c["CopyPartResult"]["ETag"]} for n, c in enumerate(copied)]
    s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **where)
    assert content(s3, bucket, "to") == data


def test_the_transfer_manager_over_tls(client, bucket):
    s3 = client("s3", tls=True)
    data = os.urandom(20 * MIB + 5)
    s3.upload_fileobj(io.BytesIO(data), bucket, "k", Config=TransferConfig(multipart_chunksize=8 * MIB))
    got = io.BytesIO()
    s3.download_fileobj(bucket, "k", got)
    assert got.getvalue() == data


def test_an_upload_survives_kill_9_and_goes_on():
    with private_cloud() as cloud:
        s3 = cloud.client("s3")
        where = dict(Bucket="survivor", Key="k")
        s3.create_bucket(Bucket="survivor")
        s3.put_object(Bucket="survivor", Key="small", Body=b"acknowledged")
        where["UploadId"] = s3.create_multipart_upload(**where)["UploadId"]
        first = os.urandom(5 * MIB)
        s3.upload_part(PartNumber=1, Body=first, **where)
        cloud.kill()
        cloud.start()
        s3 = cloud.client("s3")
        assert content(s3, "survivor", "small") == b"acknowledged"
        parts = [{k: p[k] for k in ("PartNumber", "ETag")} for p in s3.list_parts(**where)["Parts"]]
        parts.append({"PartNumber": 2, "ETag": s3.upload_part(PartNumber=2, Body=b"end", **where)["ETag"]})
        s3.complete_multipart_upload(MultipartUpload={"Parts": parts}, **where)
        assert content(s3, "survivor", "k") == first + b"end"


# --- S3-4: integrity ------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
@pytest.mark.parametrize("tls", [False, True])
def test_checksums_in_header_and_trailer(client, bucket, algorithm, tls):
    s3 = client("s3", tls=tls)
    data = os.urandom(100_000)
    put = s3.put_object(Bucket=bucket, Key="k", Body=data, ChecksumAlgorithm=algorithm)
    digests = {
        "CRC32": lambda: zlib.crc32(data).to_bytes(4, "big"),
        "SHA1": lambda: hashlib.sha1(data).digest(),
        "SHA256": lambda: hashlib.sha256(data).digest(),
    }
    expected = base64.b64encode(digests[algorithm]()).decode()
    assert put[f"Checksum{algorithm}"] == expected
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head[f"Checksum{algorithm}"], head["ChecksumType"]) == (expected, "FULL_OBJECT")
    assert content(s3, bucket, "k", ChecksumMode="ENABLED") == data


def test_wrong_digests_are_refused(s3, bucket):
    arguments = dict(Bucket=bucket, Key="k", Body=b"hello")
    wrong = base64.b64encode(bytes(16)).decode()
    assert code(s3.put_object, ContentMD5=wrong, **arguments) == ("BadDigest", 400)
    assert code(s3.put_object, ContentMD5="xx", **arguments) == ("InvalidDigest", 400)
    wrong = base64.b64encode(bytes(32)).decode()
    assert code(s3.put_object, ChecksumSHA256=wrong, **arguments) == ("BadDigest", 400)
    assert code(s3.get_object, Bucket=bucket, Key="k") == ("NoSuchKey", 404)


def test_damage_on_the_disk_is_not_returned():
    with private_cloud() as cloud:
        s3 = cloud.client("s3")
        s3.create_bucket(Bucket="damaged")
        s3.put_object(Bucket="damaged", Key="k", Body=os.urandom(300_000))
        files = [path for path in cloud.directory.rglob("data/??/*") if path.stat().st_size > 300_000]
        assert len(files) == 1
        with files[0].open("r+b") as file:
            file.seek(1000)
            byte = file.read(1)[0]
            file.seek(1000)
            file.write(bytes([byte ^ 1]))
        assert code(s3.get_object, Bucket="damaged", Key="k") == ("InternalError", 500)


# --- S3-5: conditions -----------------------------------------------------------------------------


def test_of_racing_creators_one_wins(s3, bucket):
    def create(number):
        try:
            s3.put_object(Bucket=bucket, Key="k", Body=str(number).encode(), IfNoneMatch="*")
            return number
        except ClientError as failure:
            assert failure.response["Error"]["Code"] in ("PreconditionFailed", "ConditionalRequestConflict")
            return None

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        winners = [n for n in pool.map(create, range(50)) if n is not None]
    assert len(winners) == 1
    assert content(s3, bucket, "k") == str(winners[0]).encode()


def test_conditional_writes_reads_and_deletes(s3, bucket):
    where = dict(Bucket=bucket, Key="k")
    assert code(s3.put_object, IfMatch='"0"', Body=b"", **where) == ("NoSuchKey", 404)
    tag = s3.put_object(Body=b"1", **where)["ETag"]
    assert code(s3.put_object, IfMatch='"0"', Body=b"2", **where) == ("PreconditionFailed", 412)
    new = s3.put_object(IfMatch=tag, Body=b"2", **where)["ETag"]
    assert code(s3.get_object, IfMatch=tag, **where) == ("PreconditionFailed", 412)
    assert code(s3.get_object, IfNoneMatch=new, **where)[1] == 304
    modified = s3.head_object(**where)["LastModified"]
    assert code(s3.get_object, IfModifiedSince=modified, **where)[1] == 304
    assert content(s3, bucket, "k", IfUnmodifiedSince=modified) == b"2"
    assert code(s3.delete_object, IfMatch=tag, **where) == ("PreconditionFailed", 412)
    s3.delete_object(IfMatch=new, **where)
    s3.delete_object(**where)


# --- S3-6: versions -------------------------------------------------------------------------------


def test_versions_and_delete_markers(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"before")
    assert "VersionId" not in s3.head_object(Bucket=bucket, Key="k")
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert s3.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    ids = [s3.put_object(Bucket=bucket, Key="k", Body=str(n).encode())["VersionId"] for n in range(3)]
    marker = s3.delete_object(Bucket=bucket, Key="k")
    assert marker["DeleteMarker"]
    assert code(s3.get_object, Bucket=bucket, Key="k") == ("NoSuchKey", 404)
    assert code(s3.get_object, Bucket=bucket, Key="k", VersionId=marker["VersionId"]) == ("MethodNotAllowed", 405)
    assert content(s3, bucket, "k", VersionId="null") == b"before"
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
    versions, markers = [], []
    for page in pages:
        versions += [(v["VersionId"], v["IsLatest"]) for v in page.get("Versions", [])]
        markers += [(v["VersionId"], v["IsLatest"]) for v in page.get("DeleteMarkers", [])]
    assert versions == [(id, False) for id in [*reversed(ids), "null"]]
    assert markers == [(marker["VersionId"], True)]
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    s3.delete_object(Bucket=bucket, Key="k", VersionId=marker["VersionId"])
    assert content(s3, bucket, "k") == b"2"
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})
    assert s3.put_object(Bucket=bucket, Key="k", Body=b"null again")["VersionId"] == "null"
    assert content(s3, bucket, "k", VersionId="null") == b"null again"
    assert content(s3, bucket, "k", VersionId=ids[0]) == b"0"
    s3.delete_object(Bucket=bucket, Key="k", VersionId="null")
    assert content(s3, bucket, "k") == b"2"


def test_many_are_deleted_at_once(s3, bucket):
    keys = [f"k{n}" for n in range(20)]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    objects = [{"Key": key} for key in [*keys, "none"]]
    deleted = s3.delete_objects(Bucket=bucket, Delete={"Objects": objects})
    assert [entry["Key"] for entry in deleted["Deleted"]] == [*keys, "none"]
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


# --- what goes with an object ---------------------------------------------------------------------


def test_headers_metadata_and_tags(s3, bucket):
    headers = dict(
        CacheControl="no-cache", ContentDisposition="inline", ContentEncoding="gzip",
        ContentLanguage="de", ContentType="text/plain", WebsiteRedirectLocation="/other",
    )
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"Mixed": "Case"}, Tagging="a=1&b=2", **headers)
    head = s3.head_object(Bucket=bucket, Key="k")
    assert {name: head[name] for name in headers} == headers
    assert head["Metadata"] == {"mixed": "Case"}
    assert s3.get_object(Bucket=bucket, Key="k")["TagCount"] == 2
    over = s3.get_object(Bucket=bucket, Key="k", ResponseContentType="text/html", ResponseCacheControl="max-age=1")
    assert (over["ContentType"], over["CacheControl"]) == ("text/html", "max-age=1")
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "c", "Value": "3"}]})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "c", "Value": "3"}]
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    large = dict(Bucket=bucket, Key="k", Body=b"", Metadata={"m": "x" * 2048})
    assert code(s3.put_object, **large) == ("MetadataTooLarge", 400)
    assert code(s3.put_object, Bucket=bucket, Key="k" * 1025, Body=b"") == ("KeyTooLongError", 400)


def test_copies(s3, bucket, name):
    s3.put_object(Bucket=bucket, Key="from here", Body=b"x", Metadata={"a": "1"}, Tagging="t=1")
    other = name("other")
    s3.create_bucket(Bucket=other)
    s3.copy_object(Bucket=other, Key="to", CopySource={"Bucket": bucket, "Key": "from here"})
    head = s3.head_object(Bucket=other, Key="to")
    assert head["Metadata"] == {"a": "1"}
    assert s3.get_object_tagging(Bucket=other, Key="to")["TagSet"] == [{"Key": "t", "Value": "1"}]
    itself = dict(Bucket=other, Key="to", CopySource=f"{other}/to")
    assert code(s3.copy_object, **itself) == ("InvalidRequest", 400)
    s3.copy_object(Metadata={"b": "2"}, MetadataDirective="REPLACE", **itself)
    assert s3.head_object(Bucket=other, Key="to")["Metadata"] == {"b": "2"}
    assert code(s3.copy_object, CopySourceIfMatch='"0"', MetadataDirective="REPLACE", **itself)[0] == "PreconditionFailed"
    missing = dict(Bucket=other, Key="x", CopySource=f"{other}/missing")
    assert code(s3.copy_object, **missing) == ("NoSuchKey", 404)


def test_keys_that_customers_bring(client, bucket):
    s3 = client("s3", tls=True)
    key = dict(SSECustomerAlgorithm="AES256", SSECustomerKey=os.urandom(32))
    s3.put_object(Bucket=bucket, Key="k", Body=b"mine", **key)
    assert code(s3.head_object, Bucket=bucket, Key="k")[1] == 400
    wrong = key | {"SSECustomerKey": os.urandom(32)}
    assert code(s3.get_object, Bucket=bucket, Key="k", **wrong) == ("AccessDenied", 403)
    assert content(s3, bucket, "k", **key) == b"mine"


def test_keys_that_customers_bring_must_come_over_tls(client, bucket):
    secure, openly = client("s3", tls=True), client("s3")
    key = dict(SSECustomerAlgorithm="AES256", SSECustomerKey=os.urandom(32))
    secure.put_object(Bucket=bucket, Key="k", Body=b"mine", **key)
    with refused("InvalidArgument", "must be made over a secure connection"):
        openly.get_object(Bucket=bucket, Key="k", **key)
    with refused("InvalidArgument", "must be made over a secure connection"):
        openly.put_object(Bucket=bucket, Key="k", Body=b"mine", **key)
    with refused("InvalidArgument", "must be made over a secure connection"):
        openly.create_multipart_upload(Bucket=bucket, Key="m", **key)
    source = {f"CopySource{name}": value for name, value in key.items()}
    with refused("InvalidArgument", "must be made over a secure connection"):
        openly.copy_object(Bucket=bucket, Key="c", CopySource=f"{bucket}/k", **source)


def test_what_is_not_honoured_is_refused(s3, bucket):
    where = dict(Bucket=bucket, Key="k", Body=b"x")
    assert code(s3.put_object, ServerSideEncryption="aws:kms:dsse", **where) == ("NotImplemented", 501)
    assert code(s3.put_object, ACL="public-read", **where) == ("AccessControlListNotSupported", 400)
    assert code(s3.put_object, StorageClass="OUTPOSTS", **where)[0] == "InvalidStorageClass"
    owner = dict(Bucket=bucket, ExpectedBucketOwner="999999999999")
    assert code(s3.list_objects_v2, **owner) == ("AccessDenied", 403)


def test_archived_objects_must_be_restored(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"cold", StorageClass="GLACIER")
    assert code(s3.get_object, Bucket=bucket, Key="k") == ("InvalidObjectState", 403)
    request = {"Days": 1, "GlacierJobParameters": {"Tier": "Expedited"}}
    restore = {"Bucket": bucket, "Key": "k", "RestoreRequest": request}
    assert s3.restore_object(**restore)["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert code(s3.restore_object, **restore) == ("RestoreAlreadyInProgress", 409)
    assert 'ongoing-request="true"' in s3.head_object(Bucket=bucket, Key="k")["Restore"]
    s3.get_waiter("object_exists").wait(Bucket=bucket, Key="k")
    deadline = 60
    while 'ongoing-request="true"' in s3.head_object(Bucket=bucket, Key="k")["Restore"] and deadline:
        deadline -= 1
        time.sleep(0.5)
    assert content(s3, bucket, "k") == b"cold"
    assert s3.restore_object(**restore)["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_objects_of_many_sizes_at_once(s3, bucket):
    def round_trip(number):
        data = random.Random(number).randbytes(random.Random(number).choice([0, 10, 70_000, 2 * MIB]))
        s3.put_object(Bucket=bucket, Key=f"k{number}", Body=data)
        return hashlib.sha256(content(s3, bucket, f"k{number}")).digest() == hashlib.sha256(data).digest()

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(round_trip, range(64)))


def test_a_finished_upload_is_checked_against_the_whole_objects_checksum(s3, bucket):
    data = os.urandom(6 << 20)
    crc = base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()
    target = {"Bucket": bucket, "Key": "whole"}
    upload = s3.create_multipart_upload(
        **target, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
    )["UploadId"]
    parts = []
    for number, part in enumerate((data[: 5 << 20], data[5 << 20 :]), 1):
        reply = s3.upload_part(
            **target, UploadId=upload, PartNumber=number, Body=part, ChecksumAlgorithm="CRC32"
        )
        parts.append(
            {"PartNumber": number, "ETag": reply["ETag"], "ChecksumCRC32": reply["ChecksumCRC32"]}
        )
    finish = {**target, "UploadId": upload, "MultipartUpload": {"Parts": parts}}
    with pytest.raises(s3.exceptions.ClientError) as refused:
        s3.complete_multipart_upload(**finish, ChecksumCRC32="AAAAAA==", ChecksumType="FULL_OBJECT")
    assert refused.value.response["Error"]["Code"] == "BadDigest"
    done = s3.complete_multipart_upload(**finish, ChecksumCRC32=crc, ChecksumType="FULL_OBJECT")
    assert done["ChecksumCRC32"] == crc
    assert s3.get_object(**target)["Body"].read() == data


def test_documents_are_checked_against_the_digests_beside_them(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    tags = {"TagSet": [{"Key": "a", "Value": "b"}]}
    wrong = base64.b64encode(hashlib.md5(b"another document").digest()).decode()
    with pytest.raises(s3.exceptions.ClientError) as refused:
        s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tags, ContentMD5=wrong)
    assert refused.value.response["Error"]["Code"] == "BadDigest"
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging=tags)
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == tags["TagSet"]


def test_a_conditional_delete_of_a_version_looks_at_that_version(s3, bucket):
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    old = s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    new = s3.put_object(Bucket=bucket, Key="k", Body=b"new")
    with pytest.raises(s3.exceptions.ClientError) as refused:
        s3.delete_object(Bucket=bucket, Key="k", VersionId=old["VersionId"], IfMatch=new["ETag"])
    assert refused.value.response["Error"]["Code"] == "PreconditionFailed"
    s3.delete_object(Bucket=bucket, Key="k", VersionId=old["VersionId"], IfMatch=old["ETag"])
    left = s3.list_object_versions(Bucket=bucket)["Versions"]
    assert [version["VersionId"] for version in left] == [new["VersionId"]]
