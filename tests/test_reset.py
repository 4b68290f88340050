"""`POST /_gureum/reset`: everything is gone at once, for everybody or for one account."""

import concurrent.futures
import json
import time

import pytest
from botocore.exceptions import ClientError

from conftest import private_cloud
from test_front import connect, head, read_reply


def furnish(cloud, account="000000000000"):
    """One or more of everything that an account can have, and the names of it."""
    def client(service):
        return cloud.client(service, key=account, secret="x")

    iam, kms, s3, sns, sqs, dynamodb = map(client, ("iam", "kms", "s3", "sns", "sqs", "dynamodb"))
    iam.create_user(UserName="ann")
    iam.create_access_key(UserName="ann")
    iam.create_access_key()
    iam.create_account_alias(AccountAlias=f"alias-{account}")
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "sts:AssumeRole"}]}))
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/k", TargetKeyId=key)
    queue = sqs.create_queue(QueueName="q")["QueueUrl"]
    sqs.send_message(QueueUrl=queue, MessageBody="old")
    topic = sns.create_topic(Name="t")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="ann@example.com")
    bucket = f"b-{account}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"small", b"large" * 100_000):
        s3.put_object(Bucket=bucket, Key="k", Body=body)
    upload = s3.create_multipart_upload(Bucket=bucket, Key="parts")["UploadId"]
    s3.upload_part(Bucket=bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"part" * 100_000)
    dynamodb.create_table(
        TableName="table", BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"})
    ec2, ssm = client("ec2"), client("ssm")
    ec2.create_key_pair(KeyName="k")
    ec2.create_vpc(CidrBlock="10.9.0.0/16")
    ec2.allocate_address()
    ec2.create_launch_template(LaunchTemplateName="template", LaunchTemplateData={"InstanceType": "t3.nano"})
    ec2.create_managed_prefix_list(PrefixListName="p", AddressFamily="IPv4", MaxEntries=1)
    ssm.put_parameter(Name="p", Value="v", Type="String")
    put = {"Put": {"TableName": "table", "Item": {"id": {"S": "old"}}}}
    dynamodb.transact_write_items(TransactItems=[put], ClientRequestToken="token")
    dynamodb.create_backup(TableName="table", BackupName="old")
    dynamodb.update_continuous_backups(
        TableName="table", PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})


def listed(cloud, account="000000000000"):
    """What an account has, as short texts."""
    def client(service):
        return cloud.client(service, key=account, secret="x")

    iam, kms = client("iam"), client("kms")
    return [
        *(user["UserName"] for user in iam.list_users()["Users"]),
        *(role["RoleName"] for role in iam.list_roles()["Roles"]),
        *(key["AccessKeyId"] for key in iam.list_access_keys()["AccessKeyMetadata"]),
        *iam.list_account_aliases()["AccountAliases"],
        *(key["KeyId"] for key in kms.list_keys()["Keys"]),
        *(alias["AliasName"] for alias in kms.list_aliases()["Aliases"] if "TargetKeyId" in alias),
        *client("sqs").list_queues().get("QueueUrls", []),
        *(topic["TopicArn"] for topic in client("sns").list_topics()["Topics"]),
        *(one["TopicArn"] for one in client("sns").list_subscriptions()["Subscriptions"]),
        *(bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"]),
        *client("dynamodb").list_tables()["TableNames"],
        *(pair["KeyName"] for pair in client("ec2").describe_key_pairs()["KeyPairs"]),
        *(vpc["VpcId"] for vpc in client("ec2").describe_vpcs()["Vpcs"] if not vpc["IsDefault"]),
        *(it["LaunchTemplateName"] for it in client("ec2").describe_launch_templates()["LaunchTemplates"]),
        *(it["PrefixListName"] for it in client("ec2").describe_managed_prefix_lists()["PrefixLists"] if it["OwnerId"] != "AWS"),
        *(address["PublicIp"] for address in client("ec2").describe_addresses()["Addresses"]),
        *(one["Name"] for one in client("ssm").describe_parameters()["Parameters"]),
        *(stream["StreamArn"] for stream in client("dynamodbstreams").list_streams()["Streams"]),
        *(backup["BackupArn"] for backup in client("dynamodb").list_backups()["BackupSummaries"]),
    ]


def reset(cloud, stream, query=""):
    stream.sendall(head("POST", "/_gureum/reset" + query, Content_Length=0))
    status, _, body = read_reply(stream)
    assert status == 200, body


def test_reset_leaves_nothing_and_everything_can_be_made_anew():
    with private_cloud("--auth", "relaxed") as cloud, connect(cloud) as stream:
        furnish(cloud)
        before = listed(cloud)
        assert len(before) == 19
        sqs = cloud.client("sqs")
        url = sqs.get_queue_url(QueueName="q")["QueueUrl"]
        sqs.receive_message(QueueUrl=url)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(sqs.receive_message, QueueUrl=url, WaitTimeSeconds=20)
            reset(cloud, stream)
            with pytest.raises(ClientError, match="NonExistentQueue"):
                waiting.result(15)
        assert listed(cloud) == []
        # Names are free at once, and what has them now is empty.
        furnish(cloud)
        assert len(listed(cloud)) == len(before)
        assert cloud.client("dynamodb").scan(TableName="table")["Count"] == 1
        reset(cloud, stream)
        cloud.kill()
        cloud.start()
        assert listed(cloud) == []
        contents = [path for path in (cloud.directory / "blobs").rglob("*") if path.stat().st_size > 100_000]
        deadline = time.monotonic() + 20
        while any(path.exists() for path in contents) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not [path for path in contents if path.exists()], "the content of objects is removed"


def test_reset_of_one_account_leaves_the_others():
    with private_cloud("--auth", "relaxed") as cloud, connect(cloud) as stream:
        furnish(cloud)
        furnish(cloud, "123456789012")
        others = sorted(listed(cloud))
        reset(cloud, stream, "?account=123456789012")
        assert listed(cloud, "123456789012") == []
        assert sorted(listed(cloud)) == others
        sqs = cloud.client("sqs")
        url = sqs.get_queue_url(QueueName="q")["QueueUrl"]
        assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "old"
        assert cloud.client("s3").get_object(Bucket="b-000000000000", Key="k")["Body"].read() == b"large" * 100_000


def test_a_reset_that_is_killed_has_happened_or_has_not():
    for pause in (0, 0.001, 0.002, 0.004, 0.008):
        with private_cloud("--auth", "relaxed") as cloud, connect(cloud) as stream:
            furnish(cloud)
            before = sorted(listed(cloud))
            stream.sendall(head("POST", "/_gureum/reset", Content_Length=0))
            time.sleep(pause)
            cloud.kill()
            cloud.start()
            assert sorted(listed(cloud)) in (before, [])
