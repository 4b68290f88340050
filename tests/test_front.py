"""The front door: HTTP, TLS, connections, the protocols' refusals, and the cloud's own pages.

boto3 hides most of this, so many tests speak over plain sockets.
"""

import concurrent.futures
import gzip
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import botocore.session
import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from conftest import private_cloud

STS = "Action=GetCallerIdentity&Version=2011-06-15"
FORM = "application/x-www-form-urlencoded; charset=utf-8"


def address(cloud):
    url = urllib.parse.urlsplit(cloud.url)
    return url.hostname, url.port


def connect(cloud, timeout=60):
    return socket.create_connection(address(cloud), timeout)


def exchange(cloud, *parts, tls=False):
    """Sends bytes over a new connection and reads one reply."""
    with connect(cloud) as plain:
        stream = trusting(cloud).wrap_socket(plain, server_hostname="localhost") if tls else plain
        for part in parts:
            stream.sendall(part)
        return read_reply(stream)


def read_reply(stream, method="GET"):
    reply = http.client.HTTPResponse(stream, method=method)
    reply.begin()
    return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()


def head(method, path, **headers):
    lines = [f"{method} {path} HTTP/1.1"]
    headers.setdefault("Host", "127.0.0.1")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def trusting(cloud):
    return ssl.create_default_context(cafile=cloud.ca)


def signed(cloud, service, method="POST", path="/", body=b"", headers=(), presign=False, query=""):
    """A request signed with root's key, as a urllib Request."""
    session = botocore.session.Session()
    environment = cloud.environment
    session.set_credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
    url = cloud.url + path + (f"?{query}" if query else "")
    request = AWSRequest(method, url, data=body, headers=dict(headers))
    auth = SigV4QueryAuth if presign else S3SigV4Auth if service == "s3" else SigV4Auth
    auth(session.get_credentials(), service, "us-east-1").add_auth(request)
    prepared = request.prepare()
    return urllib.request.Request(
        prepared.url, data=body or None, headers=dict(prepared.headers), method=method
    )


def send(request):
    """Status, lower-case headers and body, whatever the status."""
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read()


def form(cloud, service, text, **headers):
    headers.setdefault("Content-Type", FORM)
    return send(signed(cloud, service, body=text.encode(), headers=headers))


def need(cloud, service):
    if service not in cloud.page("health")["services"]:
        pytest.skip(f"this cloud has no {service} yet")


# Connections


def test_one_connection_serves_many_requests(cloud):
    with connect(cloud) as stream:
        for _ in range(3):
            stream.sendall(head("GET", "/_gureum/health"))
            assert read_reply(stream)[0] == 200


def test_a_refused_request_leaves_its_connection_usable(cloud):
    with connect(cloud) as stream:
        body = b"x" * 100_000
        stream.sendall(head("POST", "/_gureum/health", Content_Length=len(body)) + body)
        assert read_reply(stream)[0] == 405
        stream.sendall(head("GET", "/_gureum/health"))
        assert read_reply(stream)[0] == 200


def test_the_reply_survives_a_large_body_that_nobody_reads(cloud):
    # The body is far larger than what the kernel buffers: the client is still sending it when the
    # answer is made.
    body = b"x" * (64 << 20)
    status, _, _ = exchange(cloud, head("PUT", "/_gureum/health", Content_Length=len(body)), body)
    assert status == 405


def test_a_refused_request_is_not_asked_for_its_body(cloud):
    with connect(cloud) as stream:
        stream.sendall(
            head("POST", "/", Content_Length=1000, Expect="100-continue", X_Amz_Target="Nothing.Known")
        )
        received = stream.recv(65536)
        assert received.startswith(b"HTTP/1.1 403"), received


def test_a_request_in_order_is_asked_for_its_body(cloud):
    request = signed(cloud, "sts", body=STS.encode(), headers={"Content-Type": FORM})
    with connect(cloud) as stream:
        headers = dict(request.header_items(), Host="%s:%d" % address(cloud), Expect="100-continue")
        headers["Content-Length"] = len(STS)
        stream.sendall(head("POST", "/", **headers))
        assert stream.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        stream.sendall(STS.encode())
        assert read_reply(stream)[0] == 200


def test_head_has_the_length_of_get_and_no_body(cloud):
    with connect(cloud) as stream:
        stream.sendall(head("HEAD", "/_gureum/health"))
        status, headers, body = read_reply(stream, "HEAD")
        stream.sendall(head("GET", "/_gureum/health"))
        _, _, whole = read_reply(stream)
        assert (status, body) == (200, b"")
        assert int(headers["content-length"]) == len(whole)


@pytest.mark.parametrize(
    "garbage",
    [b"\r\n\r\n\r\n", b"\x00\x01\x02\x03" * 8, b"GET\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"GET / HTTP/1.1\r\nHost\r\n\r\n"],
    ids=["blank", "binary", "no-path", "no-tls", "no-colon"],
)
def test_garbage_hurts_only_its_own_connection(cloud, garbage):
    with connect(cloud) as stream:
        stream.sendall(garbage)
        try:
            stream.shutdown(socket.SHUT_WR)
            received = stream.recv(65536)
        except OSError:  # it has been closed already
            received = b""
        assert received == b"" or b" 400 " in received or received[0] == 0x15
    assert cloud.page("health")["status"] == "ready"


def test_a_head_too_large_is_refused(cloud):
    with connect(cloud) as stream:
        try:
            stream.sendall(head("GET", "/", X_Long="x" * 300_000))
        except ConnectionError:
            pass
        assert read_reply(stream)[0] == 431


@pytest.mark.parametrize(
    "line", ["OPTIONS * HTTP/1.1", "GET http://127.0.0.1/ HTTP/1.1", "CONNECT a:1 HTTP/1.1", "BREW /% HTTP/1.1"]
)
def test_odd_request_lines_get_an_answer(cloud, line):
    status, _, _ = exchange(cloud, f"{line}\r\nHost: 127.0.0.1\r\n\r\n".encode())
    assert 400 <= status < 500


def test_many_connections_at_once(cloud):
    streams = [connect(cloud) for _ in range(200)]
    for stream in streams:
        stream.sendall(head("GET", "/_gureum/health"))
    assert {read_reply(stream)[0] for stream in streams} == {200}
    for stream in streams:
        stream.close()


def curl(cloud, *args):
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    return subprocess.run(["curl", "-sS", "--max-time", "60", *args], capture_output=True, text=True)


def curl_signed(cloud, *args):
    environment = cloud.environment
    user = f"{environment['AWS_ACCESS_KEY_ID']}:{environment['AWS_SECRET_ACCESS_KEY']}"
    return curl(
        cloud, "--aws-sigv4", "aws:amz:us-east-1:sts", "--user", user, "--data", STS,
        "--cacert", cloud.ca, "--write-out", "\n%{http_version} %{http_code}", *args,
    )


@pytest.mark.parametrize(
    "flags, version, scheme",
    [(["--http1.1"], "1.1", "http"), (["--http2-prior-knowledge"], "2", "http"),
     (["--http1.1"], "1.1", "https"), (["--http2"], "2", "https")],
    ids=["http1", "h2c", "https1", "h2"],
)
def test_http_1_and_2_plain_and_tls(cloud, flags, version, scheme):
    if "HTTP2" not in curl(cloud, "--version").stdout:
        pytest.skip("this curl has no HTTP/2")
    url = cloud.url.replace("http:", scheme + ":")
    done = curl_signed(cloud, *flags, url)
    assert done.stdout.splitlines()[-1] == f"{version} 200", done
    assert "GetCallerIdentityResult" in done.stdout


# TLS


@pytest.mark.parametrize(
    "name",
    ["127.0.0.1", "localhost", "photos.s3.gureum.localhost", "a.b.s3.gureum.localhost",
     "gureum.localhost", "sqs.us-east-1.amazonaws.com", "x" * 63 + ".s3.gureum.localhost"],
)
def test_every_name_has_a_certificate(cloud, name):
    # The context verifies the chain and the name.
    with trusting(cloud).wrap_socket(connect(cloud), server_hostname=name) as stream:
        assert stream.version() in ("TLSv1.2", "TLSv1.3")
        stream.sendall(head("GET", "/_gureum/health"))
        assert read_reply(stream)[0] == 200


def test_a_client_without_sni_gets_a_certificate(cloud):
    context = trusting(cloud)
    context.check_hostname = False
    with context.wrap_socket(connect(cloud)) as stream:
        names = {name for _, name in stream.getpeercert()["subjectAltName"]}
    assert {"localhost", "127.0.0.1"} <= names


def test_strangers_do_not_trust_the_certificate(cloud):
    with pytest.raises(ssl.SSLCertVerificationError), connect(cloud) as stream:
        ssl.create_default_context().wrap_socket(stream, server_hostname="localhost")


def test_boto3_over_tls(cloud):
    assert cloud.client("sts", tls=True).get_caller_identity()["Account"] == "000000000000"


# Signatures


def other(signature):
    """The same text with another last digit."""
    return signature[:-1] + ("1" if signature.endswith("0") else "0")


def test_every_reply_names_its_request(cloud):
    replies = [
        form(cloud, "sts", STS),
        form(cloud, "sts", "Action=Nothing&Version=2011-06-15"),
        exchange(cloud, head("GET", "/_gureum/health")),
        exchange(cloud, head("GET", "/nothing")),
    ]
    ids = [h.get("x-amzn-requestid") or h.get("x-amz-request-id") for _, h, _ in replies]
    assert all(ids) and len(set(ids)) == len(ids)


def test_a_query_request_may_be_a_get(cloud):
    status, _, body = send(signed(cloud, "sts", "GET", query=STS))
    assert status == 200 and b"GetCallerIdentityResult" in body


def test_a_presigned_url_carries_its_signature(cloud):
    request = signed(cloud, "sts", "GET", query=STS, presign=True)
    # Nothing but the URL.
    status, _, body = send(urllib.request.Request(request.full_url))
    assert status == 200 and b"<Account>000000000000</Account>" in body
    status, _, body = send(urllib.request.Request(other(request.full_url)))
    assert status == 403 and b"Signature" in body


def test_a_wrong_secret_is_refused(cloud):
    with pytest.raises(ClientError) as caught:
        cloud.client("sts", secret="wrong" * 8).get_caller_identity()
    assert caught.value.response["Error"]["Code"] == "SignatureDoesNotMatch"


def test_an_unknown_key_is_refused(cloud):
    with pytest.raises(ClientError) as caught:
        cloud.client("sts", key="AKIAIOSFODNN7EXAMPLE").get_caller_identity()
    assert caught.value.response["Error"]["Code"] == "InvalidClientTokenId"


def test_a_body_other_than_the_signed_one_is_refused(cloud):
    request = signed(cloud, "sts", body=STS.encode(), headers={"Content-Type": FORM})
    request.data = STS.replace("Get", "got").encode()
    status, _, body = send(request)
    assert status in (400, 403) and b"<Code>" in body


def test_a_signature_for_another_service_is_refused(cloud):
    request = signed(cloud, "iam", body=STS.encode(), headers={"Content-Type": FORM})
    status, _, body = send(request)
    assert status in (400, 403) and b"GetCallerIdentityResult" not in body


def test_unsigned_requests_need_a_service_that_takes_them(cloud):
    status, _, body = exchange(cloud, head("GET", "/?" + STS))
    assert status == 403 and b"<Code>MissingAuthenticationToken</Code>" in body


def test_a_secret_is_never_logged():
    with private_cloud(environment={"GUREUM_LOG": "trace"}) as cloud:
        cloud.client("sts").get_caller_identity()
        user = cloud.client("iam").create_user(UserName="logged")["User"]
        made = cloud.client("iam").create_access_key(UserName=user["UserName"])["AccessKey"]
        cloud.client("sts", key=made["AccessKeyId"], secret=made["SecretAccessKey"]).get_caller_identity()
        log = cloud.log(whole=True)
        assert "GetCallerIdentity" in log
        assert cloud.environment["AWS_SECRET_ACCESS_KEY"] not in log
        assert made["SecretAccessKey"] not in log


# Refusals, each in the caller's own protocol


def code_of(kind, body):
    if kind == "json":
        return json.loads(body)["__type"].rsplit("#")[-1]
    return body.decode().split("<Code>")[1].split("</Code>")[0]


def test_an_unknown_action_is_refused(cloud):
    status, _, body = form(cloud, "sts", "Action=MakeTea&Version=2011-06-15")
    assert (status, code_of("xml", body)) == (400, "InvalidAction")


def test_no_action_is_refused(cloud):
    status, _, body = form(cloud, "sts", "Version=2011-06-15")
    assert (status, code_of("xml", body)) == (400, "MissingAction")


def test_an_operation_that_is_not_implemented_says_so(cloud):
    missing = [
        (service, operation)
        for service, operations in cloud.page("coverage").items()
        for operation, told in operations.items()
        if told["status"] == "not implemented" and service in ("iam", "sts")
    ]
    if not missing:
        pytest.skip("every operation of these services is implemented")
    service, operation = missing[0]
    status, _, body = form(cloud, service, f"Action={operation}")
    assert (status, code_of("xml", body)) == (501, "NotImplemented")
    assert operation.encode() in body


def test_a_service_that_is_not_here_says_so(cloud):
    with pytest.raises(ClientError) as caught:
        cloud.client("braket").search_devices(filters=[])
    assert caught.value.response["Error"]["Code"] == "NotImplemented"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert "braket" in caught.value.response["Error"]["Message"]


def test_a_form_that_is_no_utf8_is_refused(cloud):
    status, _, body = form(cloud, "sts", STS + "&A=%FF")
    assert status == 400 and b"<Code>" in body


def test_a_name_too_deep_is_refused(cloud):
    status, _, body = form(cloud, "sts", STS + "&" + ".".join("a" * 5000) + "=1")
    assert status == 400 and b"<Code>" in body


def test_too_many_fields_are_refused(cloud):
    fields = "&".join(f"a{i}=1" for i in range(200_000))
    status, _, body = form(cloud, "sts", f"{STS}&{fields}")
    assert status == 400 and b"<Code>" in body


def test_a_missing_parameter_is_named(cloud):
    status, _, body = form(cloud, "sts", "Action=AssumeRole&Version=2011-06-15&RoleSessionName=me")
    assert status == 400 and b"oleArn" in body


def test_an_announced_body_too_large_is_refused_unread(cloud):
    request = signed(cloud, "sts", body=STS.encode(), headers={"Content-Type": FORM})
    headers = dict(request.header_items(), Host="%s:%d" % address(cloud))
    headers["Content-length"] = 1 << 40
    status, _, body = exchange(cloud, head("POST", "/", **headers))
    assert (status, code_of("xml", body)) == (413, "RequestEntityTooLarge")


def test_an_endless_body_is_refused(cloud):
    chunk = b"100000\r\n" + b"x" * (1 << 20) + b"\r\n"
    start = head("POST", "/", Transfer_Encoding="chunked", Content_Type=FORM)
    status, _, body = exchange(cloud, start, *[chunk] * 20)
    assert (status, code_of("xml", body)) == (413, "RequestEntityTooLarge")


def test_a_body_in_an_unknown_coding_is_refused_by_name(cloud):
    headers = {"Content-Type": FORM, "Content-Encoding": "br"}
    status, _, reply = send(signed(cloud, "sts", body=b"?", headers=headers, query=STS))
    assert (status, code_of("xml", reply)) == (501, "NotImplemented")
    assert b"Content-Encoding br" in reply


def packed(cloud, protocol, plain, body=None):
    """A call of ListQueues, or of GetCallerIdentity, whose body is gzip's."""
    headers = {"Content-Encoding": "gzip"}
    body = gzip.compress(plain) if body is None else body
    if protocol == "query":
        return send(signed(cloud, "sts", body=body, headers=headers | {"Content-Type": FORM}))
    return json_call(cloud, "AmazonSQS.ListQueues", body, **headers)


def test_compressed_bodies_are_read(cloud, name):
    need(cloud, "sqs")
    queue = name("packed")
    cloud.client("sqs").create_queue(QueueName=queue)
    status, _, reply = packed(cloud, "query", STS.encode())
    assert status == 200 and b"<Arn>" in reply
    status, _, reply = packed(cloud, "json", json.dumps({"QueueNamePrefix": queue}).encode())
    assert status == 200 and [url.rsplit("/", 1)[1] for url in json.loads(reply)["QueueUrls"]] == [queue]


@pytest.mark.parametrize("protocol", ["query", "json"])
def test_a_bomb_is_not_unpacked(cloud, protocol):
    bomb = gzip.compress(b"Action=" + b"x" * (64 << 20))
    status, _, reply = packed(cloud, protocol, b"", body=bomb)
    assert status == 413 and b"RequestEntityTooLarge" in reply


@pytest.mark.parametrize("protocol", ["query", "json"])
def test_what_is_not_packed_as_it_says_is_refused(cloud, protocol):
    for body in (STS.encode(), gzip.compress(STS.encode())[:-3]):
        status, _, reply = packed(cloud, protocol, b"", body=body)
        assert status == 400 and b"gzip" in reply, reply


def test_packed_objects_stay_packed(cloud, name):
    bucket = name("bucket")
    cloud.client("s3").create_bucket(Bucket=bucket)
    body = gzip.compress(b"plain")
    status, _, _ = send(signed(cloud, "s3", "PUT", f"/{bucket}/k", body, {"Content-Encoding": "gzip"}))
    assert status == 200
    got = cloud.client("s3").get_object(Bucket=bucket, Key="k")
    assert (got["Body"].read(), got["ContentEncoding"]) == (body, "gzip")


def json_call(cloud, target, body, **headers):
    headers = {"X-Amz-Target": target, "Content-Type": "application/x-amz-json-1.0", **headers}
    return send(signed(cloud, "sqs", body=body, headers=headers))


@pytest.mark.parametrize(
    "target, body, status, code",
    [
        ("AmazonSQS.MakeTea", b"{}", 400, "UnknownOperationException"),
        ("AmazonSQS.ListQueues", b"{", 400, None),
        ("AmazonSQS.ListQueues", b"[]", 400, None),
        ("AmazonSQS.ListQueues", b"[" * 100_000, 400, None),
        ("AmazonSQS.ListQueues", b'{"QueueNamePrefix":' + b'{"a":' * 5000 + b"1" + b"}" * 5001, 400, None),
        ("AmazonSQS.ListQueues", b'{"MaxResults":"many"}', 400, None),
        ("AmazonSQS.CreateQueue", b"{}", 400, None),
        ("Teapot.Brew", b"{}", 501, "NotImplemented"),
    ],
    ids=["operation", "cut", "list", "deep", "deeper", "type", "missing", "target"],
)
def test_json_refusals(cloud, target, body, status, code):
    need(cloud, "sqs")
    got, headers, reply = json_call(cloud, target, body)
    assert got == status and headers["content-type"].startswith("application/x-amz-json")
    assert code in (None, code_of("json", reply))


def test_sqs_answers_the_old_query_protocol_at_the_queue_itself(cloud, name):
    need(cloud, "sqs")
    queue = cloud.client("sqs").create_queue(QueueName=name("old"))["QueueUrl"]
    path = urllib.parse.urlsplit(queue).path
    text = "Action=SendMessage&Version=2012-11-05&MessageBody=hello"
    request = signed(cloud, "sqs", path=path, body=text.encode(), headers={"Content-Type": FORM})
    status, _, body = send(request)
    assert status == 200, body
    text = "Action=ReceiveMessage&Version=2012-11-05"
    status, _, body = send(signed(cloud, "sqs", "GET", path, query=text, presign=True))
    assert status == 200 and b"<Body>hello</Body>" in body


def test_s3_refuses_xml_that_is_none(cloud, name):
    need(cloud, "s3")
    for body in (b"<CreateBucketConfiguration>", b"<a>" * 100_000, b"no xml"):
        request = signed(cloud, "s3", "PUT", "/" + name("xml"), body=body)
        status, headers, reply = send(request)
        assert (status, code_of("xml", reply)) == (400, "MalformedXML"), body[:20]


def test_s3_by_bucket_host_over_tls(cloud, name):
    need(cloud, "s3")
    s3 = cloud.client("s3")
    bucket = name("host")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="a b", Body=b"hello")
    status, _, body = exchange(cloud, head("GET", "/a%20b", Host=f"{bucket}.s3.gureum.localhost"), tls=True)
    assert (status, code_of("xml", body)) == (403, "AccessDenied")


@pytest.mark.parametrize("version", [None, "s3v4"], ids=["default", "v4"])
@pytest.mark.parametrize("style", ["path", "virtual"])
def test_presigned_urls_of_boto3(cloud, name, version, style):
    need(cloud, "s3")
    s3 = cloud.client("s3", signature_version=version)
    bucket, key = name("signed"), "a b/ü+c"
    s3.create_bucket(Bucket=bucket)
    names = {"Bucket": bucket, "Key": key}
    query = {**names, "ResponseContentType": "text/plain; charset=utf-8"}

    def fetch(method, url, body=None):
        # The name of a bucket's host need not resolve on this machine.
        parts = urllib.parse.urlsplit(url)
        target = f"{parts.path}?{parts.query}"
        sent = head(method, target, Host=parts.netloc, Content_Length=len(body or b""))
        return exchange(cloud, sent + (body or b""))

    if style == "virtual":
        host = f"http://s3.gureum.localhost:{address(cloud)[1]}"
        s3 = cloud.client(
            "s3", signature_version=version, s3={"addressing_style": "virtual"}, endpoint=host
        )
    assert fetch("PUT", s3.generate_presigned_url("put_object", Params=names), b"hello")[0] == 200
    url = s3.generate_presigned_url("get_object", Params=query)
    status, headers, body = fetch("GET", url)
    assert (status, body) == (200, b"hello"), body
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert fetch("GET", url.replace("a%20b", "a%20c"))[0] == 403
    assert fetch("DELETE", url)[0] == 403
    over = s3.generate_presigned_url("get_object", Params=names, ExpiresIn=-10)
    assert fetch("GET", over)[0] in (400, 403)


@pytest.mark.parametrize("version", [None, "s3v4"], ids=["default", "v4"])
def test_presigned_urls_with_temporary_credentials(cloud, name, version):
    need(cloud, "s3")
    bucket, user = name("signed"), name("user")
    cloud.client("s3").create_bucket(Bucket=bucket)
    iam = cloud.client("iam")
    iam.create_user(UserName=user)
    everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
    iam.put_user_policy(UserName=user, PolicyName="s3", PolicyDocument=document)
    key = iam.create_access_key(UserName=user)["AccessKey"]
    sts = cloud.client("sts", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    made = sts.get_session_token()["Credentials"]
    held = {"key": made["AccessKeyId"], "secret": made["SecretAccessKey"], "token": made["SessionToken"]}
    s3 = cloud.client("s3", **held, signature_version=version)
    url = s3.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket})
    status, _, body = send(urllib.request.Request(url))
    assert status == 200, body
    del held["token"]
    s3 = cloud.client("s3", **held, signature_version=version)
    url = s3.generate_presigned_url("list_objects_v2", Params={"Bucket": bucket})
    assert send(urllib.request.Request(url))[0] in (400, 403)


def test_a_refused_upload_is_not_asked_for_its_body(cloud, name):
    need(cloud, "s3")
    with connect(cloud) as stream:
        stream.sendall(head("PUT", f"/{name('none')}/key", Content_Length=1 << 30, Expect="100-continue"))
        received = stream.recv(65536)
        assert received.startswith((b"HTTP/1.1 403", b"HTTP/1.1 404")), received


# The cloud's own pages


def test_health(cloud):
    page = cloud.page("health")
    assert page["status"] == "ready" and page["version"]
    assert page["services"]["iam"] == page["services"]["sts"] == "ready"


def test_coverage_tells_every_operation(cloud):
    page = cloud.page("coverage")
    assert page["sts"]["GetCallerIdentity"]["status"] == "implemented"
    assert {told["status"] for ops in page.values() for told in ops.values()} <= {
        "implemented", "not implemented",
    }


def test_status_counts_calls(cloud):
    cloud.client("sts").get_caller_identity()
    page = cloud.page("status")
    assert page["services"]["sts"]["operations"]["GetCallerIdentity"]["calls"] >= 1
    assert page["auth"] == "strict"


@pytest.mark.parametrize(
    "method, page, status",
    [("GET", "nothing", 404), ("POST", "health", 405), ("GET", "reset", 405), ("POST", "reset", 403),
     ("GET", "resources/none", 404)],
)
def test_pages_refuse(cloud, method, page, status):
    got, _, body = exchange(cloud, head(method, "/_gureum/" + page, Content_Length=0))
    assert got == status and json.loads(body)["error"]


@pytest.mark.parametrize(
    "headers",
    [{"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"}],
    ids=["rebinding", "cross-site"],
)
def test_a_browser_led_here_by_a_stranger_sees_nothing(cloud, headers):
    assert exchange(cloud, head("GET", "/_gureum/status", **headers))[0] == 403


def test_another_user_sees_status_only_with_roots_signature(cloud):
    if os.getuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv to become another user")
    script = "import sys, urllib.request as u\ntry: print(u.urlopen(sys.argv[1]).status)\nexcept u.HTTPError as e: print(e.code)"
    command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/env", "python3", "-c", script]
    for page, status in (("status", "403"), ("resources/x", "403"), ("health", "200")):
        done = subprocess.run([*command, f"{cloud.url}/_gureum/{page}"], capture_output=True, text=True)
        assert done.stdout.strip() == status, done.stderr
    request = signed(cloud, "sts", "GET", "/_gureum/status")
    headers = dict(request.header_items(), Host="%s:%d" % address(cloud))
    headers["Sec-Fetch-Site"] = "cross-site"  # so that only the signature lets us in
    assert exchange(cloud, head("GET", "/_gureum/status", **headers))[0] == 200


# Shutdown


def test_a_running_request_ends_after_sigterm():
    request_body = STS.encode()
    with private_cloud() as cloud:
        request = signed(cloud, "sts", body=request_body, headers={"Content-Type": FORM})
        headers = dict(request.header_items(), Host="%s:%d" % address(cloud))
        headers["Content-Length"] = len(request_body)
        with connect(cloud) as stream, connect(cloud) as silent, connect(cloud) as idle:
            idle.sendall(head("GET", "/_gureum/health"))
            assert read_reply(idle)[0] == 200
            # The head alone: the request runs, and waits for the rest of its body.
            stream.sendall(head("POST", "/", **headers) + request_body[:10])
            # A reply on a later connection shows that the earlier ones were taken in.
            assert cloud.page("health")["status"] == "ready"
            cloud.process.send_signal(signal.SIGTERM)
            assert idle.recv(1) == b"", "an idle connection is closed"
            assert silent.recv(1) == b"", "so is one that said nothing"
            assert cloud.process.poll() is None
            stream.sendall(request_body[10:])
            assert read_reply(stream)[0] == 200
        assert cloud.process.wait(30) == 0


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_it_cleanly(sign):
    with private_cloud() as cloud:
        cloud.process.send_signal(sign)
        assert cloud.process.wait(30) == 0
        assert not (cloud.directory / "run.json").exists()


# Relaxed


def test_relaxed_takes_any_key_and_a_number_is_an_account():
    with private_cloud("--auth", "relaxed") as cloud:
        anybody = cloud.client("sts", key="test", secret="test").get_caller_identity()
        assert anybody["Arn"] == "arn:aws:iam::000000000000:root"
        numbered = cloud.client("sts", key="123456789012", secret="x").get_caller_identity()
        assert numbered["Account"] == "123456789012"
        status, _, body = exchange(cloud, head("POST", "/_gureum/reset?account=12", Content_Length=0))
        assert status == 400 and b"twelve digits" in body
        foreign = head("POST", "/_gureum/reset", Content_Length=0, Sec_Fetch_Site="cross-site")
        assert exchange(cloud, foreign)[0] == 403


def test_parallel_calls_keep_apart(cloud):
    sts = cloud.client("sts", max_pool_connections=16)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        accounts = list(pool.map(lambda _: sts.get_caller_identity()["Account"], range(200)))
    assert set(accounts) == {"000000000000"}
