"""SNS: topics, filters, and deliveries to queues, web servers and mailboxes."""

import base64
import http.server
import json
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from conftest import private_cloud, refusal
from test_iam import as_user, iam, user  # noqa: F401


@pytest.fixture
def sns(client):
    return client("sns")


@pytest.fixture
def sqs(client):
    return client("sqs")


@pytest.fixture
def topic(sns, name):
    return sns.create_topic(Name=name("topic"))["TopicArn"]


def eventually(check, seconds=20):
    """The first truthy answer of `check`, which is asked again and again."""
    deadline = time.monotonic() + seconds
    while True:
        answer = check()
        if answer or time.monotonic() > deadline:
            return answer
        time.sleep(0.05)


def make_queue(sqs, name, topic=None, **attributes):
    """A queue that takes what the topic sends; its URL and ARN."""
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    if topic:
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
        }
        text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": text})
    return url, arn


def drain(sqs, url, count, seconds=20):
    """Receives and deletes messages until there are so many."""
    got = []
    deadline = time.monotonic() + seconds
    while len(got) < count and time.monotonic() < deadline:
        reply = sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, MessageAttributeNames=["All"],
            AttributeNames=["All"],
        )
        for message in reply.get("Messages", []):
            got.append(message)
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return got


def bodies(messages):
    return [json.loads(message["Body"]) for message in messages]


class Endpoint:
    """A web server that keeps what it gets, and answers with the statuses it is told to."""

    def __init__(self):
        self.got, self.statuses = [], []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                headers = {name.lower(): value for name, value in self.headers.items()}
                outer.got.append((headers, body))
                self.send_response(outer.statuses.pop(0) if outer.statuses else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def of_type(self, kind):
        return [(headers, body) for headers, body in self.got if headers["x-amz-sns-message-type"] == kind]

    def wait_for(self, kind, count=1):
        eventually(lambda: len(self.of_type(kind)) >= count)
        found = self.of_type(kind)
        assert len(found) >= count, (kind, self.got)
        return found


@pytest.fixture
def endpoint():
    made = Endpoint()
    yield made
    made.server.shutdown()


def fetch(cloud, url):
    context = ssl.create_default_context(cafile=cloud.ca)
    with urllib.request.urlopen(url, context=context) as reply:
        return reply.read().decode()


def verify(cloud, document):
    """Checks a document's signature with the certificate that it names."""
    names = ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    text = "".join(f"{name}\n{document[name]}\n" for name in names if name in document)
    certificate = x509.load_pem_x509_certificate(fetch(cloud, document["SigningCertURL"]).encode())
    authority = x509.load_pem_x509_certificate(open(cloud.ca, "rb").read())
    certificate.verify_directly_issued_by(authority)
    algorithm = {"1": hashes.SHA1(), "2": hashes.SHA256()}[document["SignatureVersion"]]
    signature = base64.b64decode(document["Signature"])
    certificate.public_key().verify(signature, text.encode(), padding.PKCS1v15(), algorithm)


def confirm(cloud, endpoint):
    """Follows the link in the invitation, as the endpoint's owner would; the subscription's ARN."""
    _, body = endpoint.wait_for("SubscriptionConfirmation")[-1]
    document = json.loads(body)
    verify(cloud, document)
    reply = fetch(cloud, document["SubscribeURL"])
    return reply.split("<SubscriptionArn>")[1].split("<")[0]


def mails(cloud, address):
    return json.loads(cloud.gureum("mail", "--json", "--address", address).stdout)


# Topics


def test_a_topic_and_its_attributes(sns, name):
    stem = name("topic")
    arn = sns.create_topic(Name=stem, Attributes={"DisplayName": "News"}, Tags=[{"Key": "a", "Value": "b"}])["TopicArn"]
    assert arn.endswith(":" + stem)
    assert sns.create_topic(Name=stem, Attributes={"DisplayName": "News"})["TopicArn"] == arn
    message = refusal("InvalidParameter", sns.create_topic, Name=stem, Attributes={"DisplayName": "Olds"})
    assert message == "Invalid parameter: Attributes Reason: Topic already exists with different attributes"
    refusal("InvalidParameter", sns.create_topic, Name=stem, Tags=[{"Key": "a", "Value": "c"}])
    shown = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert (shown["TopicArn"], shown["DisplayName"], shown["SubscriptionsConfirmed"]) == (arn, "News", "0")
    assert json.loads(shown["Policy"])["Statement"][0]["Sid"] == "__default_statement_ID"
    assert json.loads(shown["EffectiveDeliveryPolicy"])["http"]["defaultHealthyRetryPolicy"]["numRetries"] == 3
    sns.set_topic_attributes(TopicArn=arn, AttributeName="SignatureVersion", AttributeValue="2")
    assert sns.get_topic_attributes(TopicArn=arn)["Attributes"]["SignatureVersion"] == "2"
    refusal("InvalidParameter", sns.set_topic_attributes, TopicArn=arn, AttributeName="Colour", AttributeValue="red")
    refusal("InvalidParameter", sns.set_topic_attributes, TopicArn=arn, AttributeName="Policy", AttributeValue="{")
    sns.delete_topic(TopicArn=arn)
    sns.delete_topic(TopicArn=arn)
    assert refusal("NotFound", sns.get_topic_attributes, TopicArn=arn) == "Topic does not exist"


@pytest.mark.parametrize("bad", ["a b", "ü", "x" * 257, "a.fifo"])
def test_bad_names(sns, bad):
    assert refusal("InvalidParameter", sns.create_topic, Name=bad) == "Invalid parameter: Topic Name"


def test_what_is_not_honoured_is_refused(sns, topic, name):
    refusal("NotImplemented", sns.create_topic, Name=name(), DataProtectionPolicy="{}")
    refusal("NotImplemented", sns.put_data_protection_policy, ResourceArn=topic, DataProtectionPolicy="{}")
    refusal("NotImplemented", sns.publish, PhoneNumber="+15550100", Message="m")
    refusal("NotImplemented", sns.create_platform_application, Name="a", Platform="GCM", Attributes={})
    function = "arn:aws:lambda:us-east-1:000000000000:function:f"
    message = refusal("NotImplemented", sns.subscribe, TopicArn=topic, Protocol="lambda", Endpoint=function)
    assert "Lambda" in message
    refusal("InvalidParameter", sns.subscribe, TopicArn=topic, Protocol="pigeon", Endpoint="x")


def test_topics_are_listed_in_pages(client, name):
    region = "eu-west-3"
    sns = client("sns", region=region)
    made = {sns.create_topic(Name=f"{name('page')}-{at:03}")["TopicArn"] for at in range(105)}
    pages = list(sns.get_paginator("list_topics").paginate())
    assert all(len(page["Topics"]) <= 100 for page in pages)
    found = [topic["TopicArn"] for page in pages for topic in page["Topics"]]
    assert made <= set(found) and len(found) == len(set(found))
    refusal("InvalidParameter", sns.list_topics, NextToken="nonsense")


def test_tags_and_permissions(sns, topic):
    sns.tag_resource(ResourceArn=topic, Tags=[{"Key": "team", "Value": "a"}, {"Key": "stage", "Value": "x"}])
    sns.untag_resource(ResourceArn=topic, TagKeys=["stage"])
    assert sns.list_tags_for_resource(ResourceArn=topic)["Tags"] == [{"Key": "team", "Value": "a"}]
    refusal("ResourceNotFound", sns.list_tags_for_resource, ResourceArn=topic + "x")
    grant = {"TopicArn": topic, "Label": "friend", "AWSAccountId": ["111122223333"], "ActionName": ["Publish"]}
    sns.add_permission(**grant)
    refusal("InvalidParameter", sns.add_permission, **grant)
    statements = json.loads(sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"])["Statement"]
    assert [statement["Sid"] for statement in statements] == ["__default_statement_ID", "friend"]
    sns.remove_permission(TopicArn=topic, Label="friend")
    text = sns.get_topic_attributes(TopicArn=topic)["Attributes"]["Policy"]
    assert "friend" not in text


def test_iam_and_topic_policies_decide(client, sns, topic, user, as_user):  # noqa: F811
    mine = as_user("sns")
    message = refusal("AuthorizationError", mine.publish, TopicArn=topic, Message="m")
    assert "sns:Publish" in message
    statement = {"Effect": "Allow", "Principal": {"AWS": user["Arn"]}, "Action": "sns:Publish", "Resource": topic}
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=text)
    assert mine.publish(TopicArn=topic, Message="m")["MessageId"]
    refusal("AuthorizationError", mine.subscribe, TopicArn=topic, Protocol="email", Endpoint="a@example.com")
    statement.update(Action="sns:Subscribe", Condition={"StringLike": {"sns:Endpoint": "*@example.com"}})
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=text)
    mine.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@example.com")
    refusal("AuthorizationError", mine.subscribe, TopicArn=topic, Protocol="email", Endpoint="a@example.org")


# Subscriptions and deliveries


def test_four_subscribers(cloud, sns, sqs, topic, name, endpoint):
    url, arn = make_queue(sqs, name("all"), topic)
    picky_url, picky = make_queue(sqs, name("picky"), topic)
    address = f"{name('ann')}@example.com"
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    only = {"FilterPolicy": json.dumps({"kind": ["order"]})}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=picky, Attributes=only)
    pending = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url)["SubscriptionArn"]
    assert pending == "pending confirmation"
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=address)
    counts = sns.get_topic_attributes(TopicArn=topic)["Attributes"]
    assert (counts["SubscriptionsConfirmed"], counts["SubscriptionsPending"]) == ("2", "2")

    web = confirm(cloud, endpoint)
    invitation = eventually(lambda: mails(cloud, address))[0]
    link = next(word for word in invitation["text"].split() if "ConfirmSubscription" in word)
    fetch(cloud, link)
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsPending"] == "0"

    for version, kind in [("1", "order"), ("2", "other")]:
        sns.set_topic_attributes(TopicArn=topic, AttributeName="SignatureVersion", AttributeValue=version)
        attributes = {"kind": {"DataType": "String", "StringValue": kind}}
        sent = sns.publish(TopicArn=topic, Subject="Hi", Message=f"hello {kind} ü", MessageAttributes=attributes)
        headers, body = endpoint.wait_for("Notification", int(version))[-1]
        document = json.loads(body)
        verify(cloud, document)
        assert document["SignatureVersion"] == version
        assert document["Message"] == f"hello {kind} ü" and document["Subject"] == "Hi"
        assert document["MessageId"] == sent["MessageId"] == headers["x-amz-sns-message-id"]
        assert document["MessageAttributes"] == {"kind": {"Type": "String", "Value": kind}}
        assert headers["x-amz-sns-topic-arn"] == topic == document["TopicArn"]
        assert headers["x-amz-sns-subscription-arn"] == web
        assert headers["content-type"] == "text/plain; charset=UTF-8"

    documents = bodies(drain(sqs, url, 2))
    assert sorted(document["Message"] for document in documents) == ["hello order ü", "hello other ü"]
    for document in documents:
        verify(cloud, document)
    assert [document["Message"] for document in bodies(drain(sqs, picky_url, 2, seconds=3))] == ["hello order ü"]
    letters = eventually(lambda: len(found := mails(cloud, address)) == 3 and found)
    texts = [letter["text"] for letter in letters if letter["subject"] == "Hi"]
    assert len(texts) == 2 and all("Action=Unsubscribe" in text for text in texts)

    # The link in the mail ends the subscription, and says so.
    link = next(word for word in texts[0].split() if "Unsubscribe" in word)
    fetch(cloud, link)
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsConfirmed"] == "3"
    assert eventually(lambda: len(mails(cloud, address)) == 4)


def test_a_document_looks_as_on_aws(sns, sqs, topic, name):
    url, arn = make_queue(sqs, name("queue"), topic)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    sns.publish(
        TopicArn=topic, Subject="S", Message="M",
        MessageAttributes={"n": {"DataType": "Number", "StringValue": "5"},
                           "b": {"DataType": "Binary", "BinaryValue": b"\x00\x01"}},
    )
    (message,) = drain(sqs, url, 1)
    document = json.loads(message["Body"])
    assert list(document) == [
        "Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp", "SignatureVersion", "Signature",
        "SigningCertURL", "UnsubscribeURL", "MessageAttributes",
    ]
    assert message["Body"].startswith('{\n  "Type" : "Notification",\n  "MessageId" : "')
    assert '    "n" : {"Type":"Number","Value":"5"}' in message["Body"]
    assert document["MessageAttributes"]["b"] == {"Type": "Binary", "Value": "AAE="}
    assert "MessageAttributes" not in message


def test_raw_and_structured_messages(sns, sqs, topic, name):
    url, arn = make_queue(sqs, name("raw"), topic)
    subscription = sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"}
    )["SubscriptionArn"]
    assert sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]["RawMessageDelivery"] == "true"
    attributes = {
        "list": {"DataType": "String.Array", "StringValue": '["a", 1]'},
        "bin": {"DataType": "Binary", "BinaryValue": b"\x00\x01"},
    }
    structured = json.dumps({"default": "for all", "sqs": "for queues"})
    sns.publish(TopicArn=topic, Message=structured, MessageStructure="json", MessageAttributes=attributes)
    (message,) = drain(sqs, url, 1)
    assert message["Body"] == "for queues"
    assert message["MessageAttributes"]["list"]["DataType"] == "String.Array"
    assert message["MessageAttributes"]["bin"]["BinaryValue"] == b"\x00\x01"
    text = refusal("InvalidParameter", sns.publish, TopicArn=topic, Message='{"sqs": "x"}', MessageStructure="json")
    assert "No default entry" in text


def test_subscribing_again_and_differently(sns, sqs, topic, name):
    _, arn = make_queue(sqs, name("queue"))
    want = {"TopicArn": topic, "Protocol": "sqs", "Endpoint": arn}
    first = sns.subscribe(**want, Attributes={"RawMessageDelivery": "true"})["SubscriptionArn"]
    assert sns.subscribe(**want)["SubscriptionArn"] == first
    message = refusal("InvalidParameter", sns.subscribe, **want, Attributes={"RawMessageDelivery": "false"})
    assert "already exists with different attributes" in message
    (listed,) = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    assert (listed["SubscriptionArn"], listed["Endpoint"], listed["Protocol"]) == (first, arn, "sqs")
    sns.unsubscribe(SubscriptionArn=first)
    sns.unsubscribe(SubscriptionArn=first)
    refusal("NotFound", sns.get_subscription_attributes, SubscriptionArn=first)
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsDeleted"] == "1"


@pytest.mark.parametrize(
    "protocol, endpoint",
    [("http", "https://a/"), ("https", "ftp://a"), ("email", "nobody"), ("sqs", "queue"), ("http", "http://"),
     ("sqs", "arn:aws:sqs:us-east-1:000000000000:q.fifo")],
)
def test_bad_endpoints(sns, topic, protocol, endpoint):
    refusal("InvalidParameter", sns.subscribe, TopicArn=topic, Protocol=protocol, Endpoint=endpoint)


def test_a_wrong_token_confirms_nothing(cloud, sns, topic, endpoint):
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url)
    assert refusal("InvalidParameter", sns.confirm_subscription, TopicArn=topic, Token="0" * 256) == (
        "Invalid parameter: Token"
    )
    query = urllib.parse.urlencode(
        {"Action": "Publish", "Version": "2010-03-31", "TopicArn": topic, "Message": "unsigned"}
    )
    with pytest.raises(urllib.error.HTTPError) as error:
        fetch(cloud, f"{cloud.tls_url}/?{query}")
    assert error.value.code == 403


def test_some_subscriptions_end_by_signature_only(cloud, sns, topic, endpoint):
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url)
    _, body = endpoint.wait_for("SubscriptionConfirmation")[0]
    token = json.loads(body)["Token"]
    arn = sns.confirm_subscription(TopicArn=topic, Token=token, AuthenticateOnUnsubscribe="true")["SubscriptionArn"]
    assert sns.confirm_subscription(TopicArn=topic, Token=token)["SubscriptionArn"] == arn
    sns.publish(TopicArn=topic, Message="m")
    _, body = endpoint.wait_for("Notification")[0]
    with pytest.raises(urllib.error.HTTPError) as error:
        fetch(cloud, json.loads(body)["UnsubscribeURL"])
    assert error.value.code == 403
    sns.unsubscribe(SubscriptionArn=arn)


def test_a_farewell_has_a_way_back(cloud, sns, topic, endpoint):
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url)
    arn = confirm(cloud, endpoint)
    sns.publish(TopicArn=topic, Message="m")
    _, body = endpoint.wait_for("Notification")[0]
    fetch(cloud, json.loads(body)["UnsubscribeURL"])
    _, body = endpoint.wait_for("UnsubscribeConfirmation")[0]
    document = json.loads(body)
    verify(cloud, document)
    refusal("NotFound", sns.get_subscription_attributes, SubscriptionArn=arn)
    fetch(cloud, document["SubscribeURL"])
    assert sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]["PendingConfirmation"] == "false"


# Filters


@pytest.mark.parametrize(
    "policy, scope, wanted, unwanted",
    [
        ({"price": [{"numeric": [">=", 10, "<", 20]}]}, "MessageAttributes", {"price": 10}, {"price": 20}),
        ({"sport": [{"anything-but": {"prefix": "rug"}}]}, "MessageAttributes", {"sport": "golf"}, {"sport": "rugby"}),
        ({"a": [{"exists": False}]}, "MessageAttributes", {"b": "x"}, {"a": "x"}),
        ({"tags": ["red"]}, "MessageAttributes", {"tags": ["blue", "red"]}, {"tags": ["blue"]}),
        ({"ip": [{"cidr": "10.0.0.0/24"}]}, "MessageAttributes", {"ip": "10.0.0.9"}, {"ip": "10.0.1.9"}),
        ({"$or": [{"a": ["1"]}, {"b": [{"suffix": ".png"}]}]}, "MessageAttributes", {"b": "x.png"}, {"a": "2"}),
        ({"o": {"who": {"name": [{"equals-ignore-case": "ann"}]}}}, "MessageBody",
         {"o": {"who": {"name": "ANN"}}}, {"o": {"who": {"name": "bob"}}}),
        ({"o": [{"wildcard": "a*c"}]}, "MessageBody", {"o": "abbc"}, {"o": "abcd"}),
    ],
)
def test_filters(sns, sqs, topic, name, policy, scope, wanted, unwanted):  # noqa: F811
    url, arn = make_queue(sqs, name("queue"), topic)
    attributes = {"FilterPolicyScope": scope, "FilterPolicy": json.dumps(policy), "RawMessageDelivery": "true"}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=attributes)

    def attribute(value):
        kind = {str: "String", int: "Number", list: "String.Array"}[type(value)]
        return {"DataType": kind, "StringValue": value if kind == "String" else json.dumps(value)}

    def publish(facts, message):
        if scope == "MessageBody":
            sns.publish(TopicArn=topic, Message=json.dumps(facts))
        else:
            named = {key: attribute(value) for key, value in facts.items()}
            sns.publish(TopicArn=topic, Message=message, MessageAttributes=named)

    publish(unwanted, "unwanted")
    if scope == "MessageBody":
        sns.publish(TopicArn=topic, Message="no JSON")
    publish(wanted, "wanted")
    (message,) = drain(sqs, url, 1)
    assert message["Body"] == ("wanted" if scope == "MessageAttributes" else json.dumps(wanted))
    assert drain(sqs, url, 1, seconds=1) == []


def test_bad_filters(sns, sqs, topic, name):
    _, arn = make_queue(sqs, name("queue"))
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]

    def set_policy(policy):
        return refusal(
            "InvalidParameter", sns.set_subscription_attributes, SubscriptionArn=subscription,
            AttributeName="FilterPolicy", AttributeValue=policy,
        )

    assert set_policy("{") == "Invalid parameter: FilterPolicy: failed to parse JSON."
    assert set_policy('{"a": "b"}') == 'Invalid parameter: FilterPolicy: "a" must be an object or an array'
    assert set_policy('{"a": [{"like": "b"}]}') == "Invalid parameter: FilterPolicy: Unrecognized match type like"
    many = json.dumps({"a": [str(n) for n in range(13)], "b": [str(n) for n in range(13)]})
    assert set_policy(many) == "Invalid parameter: FilterPolicy: Filter policy is too complex"
    sns.set_subscription_attributes(SubscriptionArn=subscription, AttributeName="FilterPolicy", AttributeValue='{"a": ["b"]}')
    shown = sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]
    assert (shown["FilterPolicy"], shown["FilterPolicyScope"]) == ('{"a": ["b"]}', "MessageAttributes")


# Failure


def test_a_burst_reaches_every_queue_once(sns, sqs, topic, name):
    """What queues up for one queue goes in one call, in which each message fares by itself."""
    queues = [make_queue(sqs, name("queue"), topic) for _ in range(3)]
    _, deaf = make_queue(sqs, name("deaf"))
    dead_url, dead = make_queue(sqs, name("dead"), topic)
    for _, arn in queues:
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    redrive = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead})}
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=deaf, Attributes=redrive)
    texts = {f"m{at} " + "x" * (at * 1500) for at in range(60)}
    sizes = sorted(texts, key=len)
    while sizes:
        batch = [sizes.pop() for _ in range(min(2, len(sizes)))]
        entries = [{"Id": str(at), "Message": text} for at, text in enumerate(batch)]
        reply = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
        assert len(reply["Successful"]) == len(entries)
    for url, _ in queues:
        got = [message["Body"] for message in drain(sqs, url, len(texts))]
        assert len(got) == len(texts) and set(got) == texts
    assert {json.loads(m["Body"])["Message"] for m in drain(sqs, dead_url, len(texts))} == texts


def test_a_queue_that_says_no_gets_nothing(sns, sqs, topic, name):
    url, arn = make_queue(sqs, name("closed"))
    dead_url, dead = make_queue(sqs, name("dead"), topic)
    subscription = sns.subscribe(
        TopicArn=topic, Protocol="sqs", Endpoint=arn,
        Attributes={"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead})},
    )["SubscriptionArn"]
    assert sns.get_subscription_attributes(SubscriptionArn=subscription)["Attributes"]["RedrivePolicy"]
    sns.publish(TopicArn=topic, Message="m")
    (letter,) = drain(sqs, dead_url, 1)
    assert json.loads(letter["Body"])["Message"] == "m"
    assert letter["MessageAttributes"]["ErrorCode"]["StringValue"] == "AccessDenied"
    assert drain(sqs, url, 1, seconds=1) == []


def test_tries_again_as_the_policy_says(cloud, sns, sqs, topic, name, endpoint):
    dead_url, dead = make_queue(sqs, name("dead"), topic)
    retry = {"numRetries": 3, "numNoDelayRetries": 1, "minDelayTarget": 1, "maxDelayTarget": 1}
    attributes = {
        "DeliveryPolicy": json.dumps({"healthyRetryPolicy": retry, "requestPolicy": {"headerContentType": "application/json"}}),
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": dead}),
        "RawMessageDelivery": "true",
    }
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url, Attributes=attributes)
    confirm(cloud, endpoint)
    endpoint.statuses = [503, 429, 500]
    sns.publish(TopicArn=topic, Message="persistent")
    found = endpoint.wait_for("Notification", 4)
    assert [body for _, body in found] == ["persistent"] * 4
    headers = found[-1][0]
    assert headers["x-amz-sns-rawdelivery"] == "true" and headers["content-type"] == "application/json"

    endpoint.statuses = [503] * 4
    sns.publish(TopicArn=topic, Message="in vain")
    (letter,) = drain(sqs, dead_url, 1)
    assert letter["Body"] == "in vain" and letter["MessageAttributes"]["ErrorCode"]["StringValue"] == "503"
    endpoint.statuses = [404]
    sns.publish(TopicArn=topic, Message="unwelcome")
    (letter,) = drain(sqs, dead_url, 1)
    assert letter["Body"] == "unwelcome"
    assert len(endpoint.of_type("Notification")) == 9


def test_nothing_is_lost_when_the_cloud_is_killed(name):
    with private_cloud() as cloud:
        sns, sqs = cloud.client("sns"), cloud.client("sqs")
        topic = sns.create_topic(Name="t")["TopicArn"]
        queues = [make_queue(sqs, f"q{at}", topic) for at in range(5)]
        for _, arn in queues:
            sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
        # Nobody answers at this address: its deliveries are under way when the blow comes.
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint="http://127.0.0.1:9/")
        sent = [sns.publish(TopicArn=topic, Message=f"m{at}") and f"m{at}" for at in range(40)]
        cloud.kill()
        cloud.start()
        for url, _ in queues:
            got = {message["Body"] for message in drain(sqs, url, len(sent))}
            # Twice is possible, never is not.
            deadline = time.monotonic() + 20
            while got != set(sent) and time.monotonic() < deadline:
                got |= {message["Body"] for message in drain(sqs, url, 1)}
            assert got == set(sent)


# FIFO


def test_fifo_topics_keep_order_and_know_repetitions(sns, sqs, name):
    topic = sns.create_topic(
        Name=name("topic") + ".fifo", Attributes={"FifoTopic": "true", "ContentBasedDeduplication": "true"}
    )["TopicArn"]
    url, arn = make_queue(sqs, name("queue") + ".fifo", topic, FifoQueue="true")
    plain_url, plain = make_queue(sqs, name("plain"), topic)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=plain, Attributes={"RawMessageDelivery": "true"})
    refusal("InvalidParameter", sns.subscribe, TopicArn=topic, Protocol="email", Endpoint="a@example.com")
    refusal("InvalidParameter", sns.publish, TopicArn=topic, Message="no group")
    first = [sns.publish(TopicArn=topic, Message=f"m{at}", MessageGroupId="g") for at in range(15)]
    again = sns.publish(TopicArn=topic, Message="m3", MessageGroupId="g")
    assert again["MessageId"] == first[3]["MessageId"] and again["SequenceNumber"] == first[3]["SequenceNumber"]
    numbers = [reply["SequenceNumber"] for reply in first]
    assert numbers == sorted(numbers) and len(numbers[0]) == 20
    messages = drain(sqs, url, 15)
    assert [document["Message"] for document in bodies(messages)] == [f"m{at}" for at in range(15)]
    assert {message["Attributes"]["MessageGroupId"] for message in messages} == {"g"}
    document = bodies(messages)[0]
    assert document["SequenceNumber"] == numbers[0] and "Signature" not in document
    assert {message["Body"] for message in drain(sqs, plain_url, 15)} == {f"m{at}" for at in range(15)}


# Batches and limits


def test_batches_fail_one_by_one(sns, sqs, topic, name):
    url, arn = make_queue(sqs, name("queue"), topic)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    bad = {"x": {"DataType": "Number", "StringValue": "one"}}
    reply = sns.publish_batch(
        TopicArn=topic,
        PublishBatchRequestEntries=[
            {"Id": "a", "Message": "1"},
            {"Id": "b", "Message": "2", "MessageAttributes": bad},
            {"Id": "c", "Message": "3"},
        ],
    )
    assert [entry["Id"] for entry in reply["Successful"]] == ["a", "c"]
    (failed,) = reply["Failed"]
    assert (failed["Id"], failed["Code"], failed["SenderFault"]) == ("b", "ParameterValueInvalid", True)
    assert {message["Body"] for message in drain(sqs, url, 2)} == {"1", "3"}

    def batch(*entries):
        return {"TopicArn": topic, "PublishBatchRequestEntries": list(entries)}

    one = {"Id": "a", "Message": "m"}
    refusal("EmptyBatchRequest", sns.publish_batch, **batch())
    refusal("BatchEntryIdsNotDistinct", sns.publish_batch, **batch(one, one))
    refusal("InvalidBatchEntryId", sns.publish_batch, **batch({"Id": "a b", "Message": "m"}))
    refusal("TooManyEntriesInBatchRequest", sns.publish_batch, **batch(*({"Id": str(n), "Message": "m"} for n in range(11))))
    refusal("BatchRequestTooLong", sns.publish_batch, **batch(one, {"Id": "b", "Message": "x" * (256 << 10)}))


def test_limits_of_a_message(sns, topic):
    sns.publish(TopicArn=topic, Message="x" * (256 << 10))
    assert refusal("InvalidParameter", sns.publish, TopicArn=topic, Message="x" * ((256 << 10) + 1)) == (
        "Invalid parameter: Message too long"
    )
    assert refusal("InvalidParameter", sns.publish, TopicArn=topic, Message="") == "Invalid parameter: Empty message"
    assert refusal("InvalidParameter", sns.publish, TopicArn=topic, Message="m", Subject="a\nb") == (
        "Invalid parameter: Subject"
    )
    refusal("NotFound", sns.publish, TopicArn=topic + "x", Message="m")


def test_the_cli_publishes(cloud, sns, sqs, topic, name):
    url, arn = make_queue(sqs, name("queue"), topic)
    cloud.cli("sns", "subscribe", "--topic-arn", topic, "--protocol", "sqs", "--notification-endpoint", arn)
    cloud.cli("sns", "publish", "--topic-arn", topic, "--message", "from the shell", tls=True)
    assert [document["Message"] for document in bodies(drain(sqs, url, 1))] == ["from the shell"]


# Encryption


def test_messages_under_a_key(client, sns, sqs, topic, name):
    kms = client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    sns.set_topic_attributes(TopicArn=topic, AttributeName="KmsMasterKeyId", AttributeValue=key)
    url, arn = make_queue(sqs, name("queue"), topic)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    sns.publish(TopicArn=topic, Message="secret")
    assert [document["Message"] for document in bodies(drain(sqs, url, 1))] == ["secret"]
    kms.disable_key(KeyId=key)
    refusal("KMSDisabled", sns.publish, TopicArn=topic, Message="m")
    sns.set_topic_attributes(TopicArn=topic, AttributeName="KmsMasterKeyId", AttributeValue="alias/nobody")
    refusal("KMSNotFound", sns.publish, TopicArn=topic, Message="m")


# Other services


def test_a_bucket_tells_a_topic(client, sns, sqs, topic, name):
    s3, bucket = client("s3"), name("bucket")
    s3.create_bucket(Bucket=bucket)
    wanted = {
        "TopicConfigurations": [
            {"Id": "t", "TopicArn": topic, "Events": ["s3:ObjectCreated:*"],
             "Filter": {"Key": {"FilterRules": [{"Name": "Prefix", "Value": "in/"}]}}}
        ]
    }
    configure = {"Bucket": bucket, "NotificationConfiguration": wanted}
    refusal("InvalidArgument", s3.put_bucket_notification_configuration, **configure)
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": topic,
        "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{bucket}"}},
    }
    text = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=text)
    url, arn = make_queue(sqs, name("queue"), topic)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    s3.put_bucket_notification_configuration(**configure)
    shown = s3.get_bucket_notification_configuration(Bucket=bucket)["TopicConfigurations"]
    assert shown == wanted["TopicConfigurations"]
    (test_event,) = bodies(drain(sqs, url, 1))
    assert json.loads(test_event["Message"])["Event"] == "s3:TestEvent"
    s3.put_object(Bucket=bucket, Key="out/a", Body=b"a")
    s3.put_object(Bucket=bucket, Key="in/a", Body=b"a")
    (event,) = bodies(drain(sqs, url, 1))
    assert event["Subject"] == "Amazon S3 Notification"
    (record,) = json.loads(event["Message"])["Records"]
    assert (record["eventName"], record["s3"]["object"]["key"]) == ("ObjectCreated:Put", "in/a")
