"""What buckets can be told: policies, access lists, websites, CORS, lifecycle, events, logs, locks, forms."""

import datetime
import json
import time
import urllib.error
import urllib.request
import uuid

import pytest
from botocore.exceptions import ClientError
from conftest import eventually


@pytest.fixture
def s3(client):
    return client("s3")


@pytest.fixture
def bucket(s3, name):
    bucket = name("bucket")
    s3.create_bucket(Bucket=bucket)
    return bucket


def code(call, **arguments):
    """The code of a call that must fail."""
    with pytest.raises(ClientError) as failure:
        call(**arguments)
    return failure.value.response["Error"]["Code"]


def fetch(url, method="GET", headers=None, body=None):
    """Status, headers and text of a plain web request; redirects are not followed."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    request = urllib.request.Request(url, data=body, method=method, headers=headers or {})
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=30) as reply:
            return reply.status, reply.headers, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read().decode()


def open_to_public(s3, bucket, *actions):
    s3.delete_public_access_block(Bucket=bucket)
    arn = f"arn:aws:s3:::{bucket}"
    statements = [
        {"Effect": "Allow", "Principal": "*", "Action": action,
         "Resource": arn if action == "s3:ListBucket" else f"{arn}/*"}
        for action in actions
    ]
    policy = {"Version": "2012-10-17", "Statement": statements}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


# --- access ---------------------------------------------------------------------------------------


def test_public_access_is_blocked_until_allowed(s3, bucket, cloud):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    url = f"{cloud.url}/{bucket}/k"
    assert fetch(url)[0] == 403
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert block == dict.fromkeys(
        ["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"], True
    )
    policy = {"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/*"}
    ]}
    assert code(s3.put_bucket_policy, Bucket=bucket, Policy=json.dumps(policy)) == "AccessDenied"
    open_to_public(s3, bucket, "s3:GetObject")
    assert fetch(url)[::2] == (200, "x")
    assert s3.get_bucket_policy_status(Bucket=bucket)["PolicyStatus"]["IsPublic"]
    s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration={"RestrictPublicBuckets": True}
    )
    assert fetch(url)[0] == 403
    s3.delete_bucket_policy(Bucket=bucket)
    assert code(s3.get_bucket_policy, Bucket=bucket) == "NoSuchBucketPolicy"


@pytest.mark.parametrize(("policy", "message"), [
    ("nothing", "Policies must be valid JSON and the first byte must be '{'"),
    ('{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",'
     '"Resource":"arn:aws:s3:::someone-elses/*"}]}', "Policy has invalid resource"),
    ('{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject",'
     '"Resource":"arn:aws:s3:::BUCKET"}]}', "Action does not apply to any resource(s) in statement"),
    ('{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Resource":"arn:aws:s3:::BUCKET/*"}]}',
     "Missing required field Action"),
])
def test_faulty_policies_are_refused(s3, bucket, policy, message):
    with pytest.raises(ClientError) as failure:
        s3.put_bucket_policy(Bucket=bucket, Policy=policy.replace("BUCKET", bucket))
    assert failure.value.response["Error"] == {
        "Code": "MalformedPolicy", "Message": message
    } | {k: v for k, v in failure.value.response["Error"].items() if k not in ("Code", "Message")}


def test_access_lists_are_off_by_default(s3, name, bucket, cloud):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    assert code(s3.put_object_acl, Bucket=bucket, Key="k", ACL="public-read") == "AccessControlListNotSupported"
    assert code(s3.put_bucket_acl, Bucket=bucket, ACL="public-read") == "AccessControlListNotSupported"
    grants = s3.get_object_acl(Bucket=bucket, Key="k")["Grants"]
    assert [grant["Permission"] for grant in grants] == ["FULL_CONTROL"]
    s3.put_bucket_ownership_controls(
        Bucket=bucket, OwnershipControls={"Rules": [{"ObjectOwnership": "ObjectWriter"}]}
    )
    s3.delete_public_access_block(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="open", Body=b"x", ACL="public-read")
    assert fetch(f"{cloud.url}/{bucket}/open")[0] == 200
    assert fetch(f"{cloud.url}/{bucket}/k")[0] == 403
    grants = s3.get_object_acl(Bucket=bucket, Key="open")["Grants"]
    assert {"Type": "Group", "URI": "http://acs.amazonaws.com/groups/global/AllUsers"} in [
        grant["Grantee"] for grant in grants
    ]
    refused = code(s3.create_bucket, Bucket=name("bucket"), ACL="public-read")
    assert refused == "InvalidBucketAclWithObjectOwnership"


# --- plain configurations -------------------------------------------------------------------------


def test_tags_encryption_and_payment(s3, bucket):
    assert code(s3.get_bucket_tagging, Bucket=bucket) == "NoSuchTagSet"
    tags = [{"Key": "team", "Value": "a b"}]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    s3.delete_bucket_tagging(Bucket=bucket)
    assert code(s3.get_bucket_tagging, Bucket=bucket) == "NoSuchTagSet"

    rules = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rules[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    kms = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms:dsse"}}]}
    refused = code(s3.put_bucket_encryption, Bucket=bucket, ServerSideEncryptionConfiguration=kms)
    assert refused == "NotImplemented"

    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    s3.put_bucket_request_payment(Bucket=bucket, RequestPaymentConfiguration={"Payer": "BucketOwner"})


def test_the_expected_owner_must_be_the_owner(s3, bucket):
    wrong = {"Bucket": bucket, "ExpectedBucketOwner": "999999999999"}
    for call in (s3.get_bucket_acl, s3.get_bucket_policy, s3.get_bucket_cors, s3.get_bucket_website,
                 s3.get_bucket_tagging, s3.get_bucket_logging, s3.get_public_access_block,
                 s3.get_bucket_lifecycle_configuration, s3.get_bucket_notification_configuration):
        assert code(call, **wrong) == "AccessDenied", call


def test_lifecycle_rules_come_back_and_are_told(s3, bucket):
    assert code(s3.get_bucket_lifecycle_configuration, Bucket=bucket) == "NoSuchLifecycleConfiguration"
    rules = [
        {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 7},
         "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2}},
        {"ID": "tagged", "Status": "Enabled",
         "Filter": {"And": {"Prefix": "x/", "Tags": [{"Key": "a", "Value": "b"}]}},
         "NoncurrentVersionExpiration": {"NoncurrentDays": 3, "NewerNoncurrentVersions": 2}},
    ]
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == rules
    told = s3.put_object(Bucket=bucket, Key="logs/1", Body=b"x")["Expiration"]
    assert 'rule-id="logs"' in told and "00:00:00 GMT" in told
    assert s3.head_object(Bucket=bucket, Key="logs/1")["Expiration"] == told
    assert "Expiration" not in s3.put_object(Bucket=bucket, Key="other", Body=b"x")
    faulty = [{"Status": "Enabled", "Filter": {"Prefix": ""}}]
    refused = code(s3.put_bucket_lifecycle_configuration, Bucket=bucket, LifecycleConfiguration={"Rules": faulty})
    assert refused == "InvalidRequest"
    s3.delete_bucket_lifecycle(Bucket=bucket)
    assert code(s3.get_bucket_lifecycle_configuration, Bucket=bucket) == "NoSuchLifecycleConfiguration"


# --- the web --------------------------------------------------------------------------------------


def test_a_website_is_served(s3, bucket, cloud):
    s3.put_bucket_website(Bucket=bucket, WebsiteConfiguration={
        "IndexDocument": {"Suffix": "index.html"}, "ErrorDocument": {"Key": "error.html"},
        "RoutingRules": [{"Condition": {"KeyPrefixEquals": "old/"}, "Redirect": {"ReplaceKeyPrefixWith": "new/"}}],
    })
    s3.put_object(Bucket=bucket, Key="index.html", Body=b"home", ContentType="text/html")
    s3.put_object(Bucket=bucket, Key="docs/index.html", Body=b"docs", ContentType="text/html")
    host = {"Host": f"{bucket}.s3-website-us-east-1.amazonaws.com"}
    status, _, page = fetch(f"{cloud.url}/", headers=host)
    assert status == 403 and "<li>Code: AccessDenied</li>" in page
    open_to_public(s3, bucket, "s3:GetObject", "s3:ListBucket")
    status, headers, page = fetch(f"{cloud.url}/", headers=host)
    assert (status, headers["Content-Type"], page) == (200, "text/html", "home")
    assert fetch(f"{cloud.url}/", method="HEAD", headers=host)[1]["Content-Length"] == "4"
    assert fetch(f"{cloud.url}/docs/", headers=host)[2] == "docs"
    status, headers, _ = fetch(f"{cloud.url}/docs", headers=host)
    assert (status, headers["Location"]) == (302, "/docs/")
    status, headers, _ = fetch(f"{cloud.url}/old/a", headers=host)
    assert status == 301 and headers["Location"].endswith("/new/a")
    status, headers, page = fetch(f"{cloud.url}/none", headers=host)
    assert (status, headers["x-amz-error-code"]) == (404, "NoSuchKey") and "404 Not Found" in page
    s3.put_object(Bucket=bucket, Key="error.html", Body=b"sorry", ContentType="text/html")
    assert fetch(f"{cloud.url}/none", headers=host)[::2] == (404, "sorry")
    assert fetch(f"{cloud.url}/", headers=host | {"Range": "bytes=1-2"})[::2] == (206, "om")


def test_browsers_of_other_sites_are_let_in_by_rules(s3, bucket, cloud):
    rule = {"AllowedOrigins": ["https://*.example.com"], "AllowedMethods": ["GET", "PUT"],
            "AllowedHeaders": ["x-amz-*"], "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 60}
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == [rule]
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    open_to_public(s3, bucket, "s3:GetObject")
    url = f"{cloud.url}/{bucket}/k"
    ask = {"Origin": "https://a.example.com", "Access-Control-Request-Method": "PUT",
           "Access-Control-Request-Headers": "X-Amz-Date"}
    status, headers, _ = fetch(url, method="OPTIONS", headers=ask)
    assert (status, headers["Access-Control-Allow-Origin"]) == (200, "https://a.example.com")
    assert headers["Access-Control-Allow-Headers"] == "x-amz-date"
    assert fetch(url, method="OPTIONS", headers=ask | {"Origin": "https://example.org"})[0] == 403
    _, headers, _ = fetch(url, headers={"Origin": "https://a.example.com"})
    assert headers["Access-Control-Allow-Origin"] == "https://a.example.com"
    assert headers["Access-Control-Expose-Headers"] == "ETag"
    assert fetch(url)[1]["Access-Control-Allow-Origin"] is None


def multipart(fields, file, file_name="me.txt"):
    """A browser's form, as content type and body."""
    mark = uuid.uuid4().hex
    lines = []
    for field, value in fields.items():
        lines += [f"--{mark}", f'Content-Disposition: form-data; name="{field}"', "", value]
    lines += [f"--{mark}", f'Content-Disposition: form-data; name="file"; filename="{file_name}"',
              "Content-Type: text/plain", "", file, f"--{mark}--", ""]
    return {"Content-Type": f"multipart/form-data; boundary={mark}"}, "\r\n".join(lines).encode()


def test_a_form_uploads_what_its_policy_allows(client, bucket):
    s3 = client("s3", signature_version="s3v4")
    post = s3.generate_presigned_post(
        bucket, "up/${filename}",
        Fields={"success_action_status": "201", "x-amz-meta-from": "form"},
        Conditions=[["content-length-range", 2, 10], {"success_action_status": "201"},
                    ["starts-with", "$x-amz-meta-from", ""]],
    )
    headers, body = multipart(post["fields"], "hello")
    status, _, document = fetch(post["url"], method="POST", headers=headers, body=body)
    assert status == 201 and "<Key>up/me.txt</Key>" in document, document
    found = s3.get_object(Bucket=bucket, Key="up/me.txt")
    assert (found["Body"].read(), found["ContentType"], found["Metadata"]) == (
        b"hello", "text/plain", {"from": "form"})
    for fields, file, wanted in [
        (post["fields"], "h", "EntityTooSmall"),
        (post["fields"], "hello hello hello", "EntityTooLarge"),
        (post["fields"] | {"success_action_status": "200"}, "hello", "AccessDenied"),
        (post["fields"] | {"acl": "private"}, "hello", "AccessDenied"),
        (post["fields"] | {"x-amz-signature": "0" * 64}, "hello", "SignatureDoesNotMatch"),
    ]:
        headers, body = multipart(fields, file)
        status, _, document = fetch(post["url"], method="POST", headers=headers, body=body)
        assert status >= 400 and f"<Code>{wanted}</Code>" in document, (wanted, document)


# --- events and logs ------------------------------------------------------------------------------


@pytest.fixture
def queue(client, name, bucket):
    sqs = client("sqs")
    url = sqs.create_queue(QueueName=name("queue"))["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    return sqs, url, arn


def let_s3_send(queue, bucket):
    sqs, url, arn = queue
    policy = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sqs:SendMessage",
        "Resource": arn, "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{bucket}"}},
    }]}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})


def received(queue):
    sqs, url, _ = queue
    messages = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages", [])
    for message in messages:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return [json.loads(message["Body"]) for message in messages]


def test_events_reach_a_queue(s3, bucket, queue):
    configuration = {"QueueConfigurations": [{
        "Id": "mine", "QueueArn": queue[2], "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
        "Filter": {"Key": {"FilterRules": [{"Name": "Prefix", "Value": "in/"}]}},
    }]}
    with pytest.raises(ClientError) as failure:
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)
    error = failure.value.response["Error"]
    assert error["Code"] == "InvalidArgument" and error["Message"].startswith("Unable to validate the following")
    let_s3_send(queue, bucket)
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=configuration)
    found = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert found["QueueConfigurations"] == configuration["QueueConfigurations"]
    test = eventually(lambda: received(queue))[0]
    assert (test["Event"], test["Bucket"]) == ("s3:TestEvent", bucket)

    etag = s3.put_object(Bucket=bucket, Key="in/a+b c", Body=b"hello")["ETag"]
    s3.put_object(Bucket=bucket, Key="out/x", Body=b"x")
    s3.copy_object(Bucket=bucket, Key="in/copy", CopySource={"Bucket": bucket, "Key": "out/x"})
    s3.delete_object(Bucket=bucket, Key="in/a+b c")
    records = []
    eventually(lambda: records.extend(r for m in received(queue) for r in m["Records"]) or len(records) >= 3)
    by_name = {record["eventName"]: record for record in records}
    assert set(by_name) == {"ObjectCreated:Put", "ObjectCreated:Copy", "ObjectRemoved:Delete"}
    put = by_name["ObjectCreated:Put"]
    assert (put["eventSource"], put["awsRegion"], put["eventVersion"]) == ("aws:s3", "us-east-1", "2.1")
    assert put["s3"]["bucket"]["arn"] == f"arn:aws:s3:::{bucket}"
    thing = put["s3"]["object"]
    assert (thing["key"], thing["size"], thing["eTag"]) == ("in/a%2Bb+c", 5, etag.strip('"'))
    assert thing["sequencer"] < by_name["ObjectRemoved:Delete"]["s3"]["object"]["sequencer"]


def test_configurations_must_not_overlap(s3, bucket, queue):
    let_s3_send(queue, bucket)
    one = {"QueueArn": queue[2], "Events": ["s3:ObjectCreated:*"]}
    two = {"QueueArn": queue[2], "Events": ["s3:ObjectCreated:Put"]}
    refused = code(s3.put_bucket_notification_configuration, Bucket=bucket,
                   NotificationConfiguration={"QueueConfigurations": [one, two]})
    assert refused == "InvalidArgument"
    refused = code(s3.put_bucket_notification_configuration, Bucket=bucket,
                   NotificationConfiguration={"EventBridgeConfiguration": {}})
    assert refused == "NotImplemented"


def test_requests_are_logged(s3, bucket, name):
    target = name("logs")
    s3.create_bucket(Bucket=target)
    logging = {"LoggingEnabled": {"TargetBucket": target, "TargetPrefix": "log/"}}
    refused = code(s3.put_bucket_logging, Bucket=bucket, BucketLoggingStatus=logging)
    assert refused == "InvalidTargetBucketForLogging"
    policy = {"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"}, "Action": "s3:PutObject",
        "Resource": f"arn:aws:s3:::{target}/log/*",
    }]}
    s3.put_bucket_policy(Bucket=target, Policy=json.dumps(policy))
    s3.put_bucket_logging(Bucket=bucket, BucketLoggingStatus=logging)
    assert s3.get_bucket_logging(Bucket=bucket)["LoggingEnabled"] == logging["LoggingEnabled"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"hello")
    s3.get_object(Bucket=bucket, Key="k")["Body"].read()
    code(s3.get_object, Bucket=bucket, Key="none")

    def lines():
        there = s3.list_objects_v2(Bucket=target, Prefix="log/").get("Contents", [])
        texts = [s3.get_object(Bucket=target, Key=o["Key"])["Body"].read().decode() for o in there]
        text = "".join(texts)
        return text.splitlines() if "NoSuchKey" in text else None

    found = eventually(lines, 20)
    put = next(line for line in found if "REST.PUT.OBJECT k " in line)
    assert f" {bucket} [" in put and " 200 - " in put
    assert any("REST.GET.OBJECT k " in line and " 200 - 5 5 " in line for line in found)
    assert any("REST.GET.OBJECT none " in line and " 404 NoSuchKey " in line for line in found)


# --- locks ----------------------------------------------------------------------------------------


def test_locked_versions_cannot_be_deleted(s3, name):
    bucket = name("bucket")
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    default = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
    s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=default)
    assert s3.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"] == default
    version = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["VersionId"]
    this = {"Bucket": bucket, "Key": "k", "VersionId": version}
    assert s3.get_object_retention(**this)["Retention"]["Mode"] == "GOVERNANCE"
    assert code(s3.delete_object, **this) == "AccessDenied"
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
    shorter = {"Mode": "COMPLIANCE", "RetainUntilDate": soon}
    assert code(s3.put_object_retention, **this, Retention=shorter) == "AccessDenied"
    s3.put_object_retention(**this, Retention=shorter, BypassGovernanceRetention=True)
    assert code(s3.delete_object, **this, BypassGovernanceRetention=True) == "AccessDenied"
    assert code(s3.get_object_legal_hold, **this) == "NoSuchObjectLockConfiguration"
    s3.put_object_legal_hold(**this, LegalHold={"Status": "ON"})
    time.sleep(2.5)
    assert code(s3.delete_object, **this) == "AccessDenied"
    s3.put_object_legal_hold(**this, LegalHold={"Status": "OFF"})
    assert s3.get_object_legal_hold(**this)["LegalHold"] == {"Status": "OFF"}
    assert s3.head_object(**this)["ObjectLockLegalHoldStatus"] == "OFF"
    s3.delete_object(**this)


def test_what_an_xml_document_may_not_say_makes_it_malformed(s3, bucket):
    assert code(s3.put_bucket_versioning, Bucket=bucket,
                VersioningConfiguration={"Status": "On"}) == "MalformedXML"
    assert code(s3.put_bucket_request_payment, Bucket=bucket,
                RequestPaymentConfiguration={"Payer": "Somebody"}) == "MalformedXML"
    grant = {"Grantee": {"Type": "CanonicalUser", "ID": "x"}, "Permission": "LOOK"}
    assert code(s3.put_bucket_acl, Bucket=bucket,
                AccessControlPolicy={"Grants": [grant], "Owner": {"ID": "x"}}) == "MalformedXML"
