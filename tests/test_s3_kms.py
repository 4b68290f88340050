"""SSE-KMS: objects under keys of KMS, which is asked in the name of whoever stores or reads."""

import hashlib

import pytest

from conftest import refused
from test_iam import account, allow, as_user, iam, policy, user  # noqa: F401
from test_kms import key, kms  # noqa: F401


@pytest.fixture
def s3(client):
    return client("s3")


@pytest.fixture
def bucket(s3, name):
    made = name("bucket")
    s3.create_bucket(Bucket=made)
    return made


def under(key):
    return {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key["KeyId"]}


def shown(reply):
    return reply.get("ServerSideEncryption"), reply.get("SSEKMSKeyId"), reply.get("BucketKeyEnabled", False)


@pytest.mark.parametrize("size", [10, 300_000])
def test_an_object_under_a_key(s3, bucket, kms, key, size):
    body = b"x" * size
    put = s3.put_object(Bucket=bucket, Key="a", Body=body, **under(key))
    assert shown(put) == ("aws:kms", key["Arn"], False)
    assert put["ETag"] != f'"{hashlib.md5(body).hexdigest()}"'
    got = s3.get_object(Bucket=bucket, Key="a")
    assert (got["Body"].read(), shown(got), got["ETag"]) == (body, shown(put), put["ETag"])
    assert shown(s3.head_object(Bucket=bucket, Key="a")) == shown(put)
    assert s3.get_object(Bucket=bucket, Key="a", Range="bytes=2-4")["Body"].read() == b"xxx"
    kms.disable_key(KeyId=key["KeyId"])
    with refused("KMS.DisabledException", "is disabled"):
        s3.get_object(Bucket=bucket, Key="a")
    with refused("KMS.DisabledException"):
        s3.put_object(Bucket=bucket, Key="b", Body=b"x", **under(key))
    s3.head_object(Bucket=bucket, Key="a")


def test_without_a_key_it_is_the_aws_managed_one(s3, bucket, kms):
    put = s3.put_object(Bucket=bucket, Key="a", Body=b"x", ServerSideEncryption="aws:kms")
    managed = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert shown(put) == ("aws:kms", managed["Arn"], False) and managed["KeyManager"] == "AWS"
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"


def test_who_reads_and_who_writes_must_be_let_by_the_key(s3, bucket, key, iam, user, as_user):
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", **under(key))
    iam.put_user_policy(UserName=user["UserName"], PolicyName="s3", PolicyDocument=policy(allow("s3:*")))
    mine = as_user("s3")
    with refused("AccessDenied", "kms:Decrypt"):
        mine.get_object(Bucket=bucket, Key="a")
    with refused("AccessDenied", "kms:GenerateDataKey"):
        mine.put_object(Bucket=bucket, Key="b", Body=b"x", **under(key))
    reads = allow("kms:Decrypt", Condition={"StringEquals": {
        "kms:ViaService": "s3.us-east-1.amazonaws.com",
        "kms:EncryptionContext:aws:s3:arn": f"arn:aws:s3:::{bucket}/a"}})
    iam.put_user_policy(UserName=user["UserName"], PolicyName="kms", PolicyDocument=policy(reads))
    assert mine.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
    with refused("AccessDenied"):
        mine.put_object(Bucket=bucket, Key="b", Body=b"x", **under(key))
    # Everybody in the account may use the AWS managed key, through S3.
    mine.put_object(Bucket=bucket, Key="b", Body=b"x", ServerSideEncryption="aws:kms")
    assert mine.get_object(Bucket=bucket, Key="b")["Body"].read() == b"x"


def test_default_encryption_of_a_bucket(s3, bucket, key):
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key["Arn"]},
            "BucketKeyEnabled": True}
    s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    kept = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert kept["ApplyServerSideEncryptionByDefault"] == rule["ApplyServerSideEncryptionByDefault"]
    put = s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    assert shown(put) == ("aws:kms", key["Arn"], True)
    assert s3.get_object(Bucket=bucket, Key="a")["Body"].read() == b"x"
    plain = s3.put_object(Bucket=bucket, Key="b", Body=b"x", ServerSideEncryption="AES256")
    assert shown(plain) == ("AES256", None, False)


def test_copies_and_multipart_uploads(s3, bucket, kms, key):
    s3.put_object(Bucket=bucket, Key="plain", Body=b"text")
    copied = s3.copy_object(Bucket=bucket, Key="copy", CopySource=f"{bucket}/plain", **under(key))
    assert shown(copied) == ("aws:kms", key["Arn"], False)
    back = s3.copy_object(Bucket=bucket, Key="back", CopySource=f"{bucket}/copy")
    assert shown(back)[0] == "AES256"
    assert s3.get_object(Bucket=bucket, Key="back")["Body"].read() == b"text"

    upload = s3.create_multipart_upload(Bucket=bucket, Key="big", BucketKeyEnabled=True, **under(key))
    assert shown(upload) == ("aws:kms", key["Arn"], True)
    place = {"Bucket": bucket, "Key": "big", "UploadId": upload["UploadId"]}
    first = s3.upload_part(**place, PartNumber=1, Body=b"a" * 5_242_880)
    second = s3.upload_part_copy(**place, PartNumber=2, CopySource=f"{bucket}/copy")
    parts = [{"PartNumber": 1, "ETag": first["ETag"]}, {"PartNumber": 2, "ETag": second["CopyPartResult"]["ETag"]}]
    done = s3.complete_multipart_upload(**place, MultipartUpload={"Parts": parts})
    assert shown(done) == shown(first) == ("aws:kms", key["Arn"], True)
    assert s3.get_object(Bucket=bucket, Key="big")["Body"].read() == b"a" * 5_242_880 + b"text"
    kms.disable_key(KeyId=key["KeyId"])
    with refused("KMS.DisabledException"):
        s3.copy_object(Bucket=bucket, Key="again", CopySource=f"{bucket}/copy")


def test_a_bucket_can_demand_encryption(s3, bucket, key, account):
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
                 "Resource": f"arn:aws:s3:::{bucket}/*",
                 "Condition": {"StringNotEquals": {
                     "s3:x-amz-server-side-encryption-aws-kms-key-id": key["KeyId"]}}}
    s3.put_bucket_policy(Bucket=bucket, Policy=policy(statement))
    with refused("AccessDenied"):
        s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    s3.put_object(Bucket=bucket, Key="a", Body=b"x", **under(key))


def test_what_does_not_go_together(s3, bucket, key):
    with refused("InvalidArgument"):
        s3.put_object(Bucket=bucket, Key="a", Body=b"x", SSEKMSKeyId=key["KeyId"])
    with refused("NotImplemented"):
        s3.put_object(Bucket=bucket, Key="a", Body=b"x", ServerSideEncryption="aws:kms:dsse")
    with refused("KMS.NotFoundException"):
        s3.put_object(Bucket=bucket, Key="a", Body=b"x", ServerSideEncryption="aws:kms",
                      SSEKMSKeyId="1234abcd-12ab-34cd-56ef-1234567890ab")
