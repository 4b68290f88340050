//! S3, where a request is found by path, query and headers, and documents are XML.

use super::*;
use gureum_model_s3::SERVICE;
use gureum_model_s3::op::*;

const P: Protocol = Protocol::RestXml;

fn route(method: &str, uri: &str, headers: &[(&'static str, &'static str)]) -> String {
    let method: Method = method.parse().expect("a method");
    let headers = headers.iter().map(|(n, v)| {
        (
            http::HeaderName::from_static(n),
            HeaderValue::from_static(v),
        )
    });
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let route = Router::new(&SERVICE).route(&method, path, query, &headers.collect());
    let Some(route) = route.expect("decodes") else {
        return "none".to_owned();
    };
    let labels = route
        .labels
        .iter()
        .map(|(name, value)| format!(" {name}={value}"));
    route.op.name.to_owned() + &labels.collect::<String>()
}

#[test]
fn finds_operations_by_query_then_headers_then_path() {
    for (method, uri, wanted) in [
        ("GET", "/", "ListBuckets"),
        ("GET", "/?x-id=ListBuckets", "ListBuckets"),
        ("GET", "/b", "ListObjects Bucket=b"),
        ("GET", "/b/", "ListObjects Bucket=b"),
        (
            "GET",
            "/b?list-type=2&prefix=a%2Fb",
            "ListObjectsV2 Bucket=b",
        ),
        ("GET", "/b?location", "GetBucketLocation Bucket=b"),
        ("GET", "/b?location=", "GetBucketLocation Bucket=b"),
        ("GET", "/b?uploads", "ListMultipartUploads Bucket=b"),
        ("GET", "/b/k", "GetObject Bucket=b Key=k"),
        ("GET", "/b/k?versionId=1", "GetObject Bucket=b Key=k"),
        ("GET", "/b/k?uploadId=1", "ListParts Bucket=b Key=k"),
        (
            "GET",
            "/b/a/b%2Fc%20d+e/",
            "GetObject Bucket=b Key=a/b/c d+e/",
        ),
        ("GET", "/b//k", "GetObject Bucket=b Key=/k"),
        ("PUT", "/b/k?x-id=PutObject", "PutObject Bucket=b Key=k"),
        (
            "PUT",
            "/b/k?partNumber=1&uploadId=2",
            "UploadPart Bucket=b Key=k",
        ),
        ("PUT", "/b/k?tagging", "PutObjectTagging Bucket=b Key=k"),
        ("PUT", "/b", "CreateBucket Bucket=b"),
        (
            "POST",
            "/b/k?uploads",
            "CreateMultipartUpload Bucket=b Key=k",
        ),
        ("POST", "/b?delete", "DeleteObjects Bucket=b"),
        (
            "DELETE",
            "/b/k?uploadId=2",
            "AbortMultipartUpload Bucket=b Key=k",
        ),
        ("DELETE", "/b", "DeleteBucket Bucket=b"),
        ("PATCH", "/b", "none"),
    ] {
        assert_eq!(route(method, uri, &[]), wanted, "{method} {uri}");
    }
    let copy = [("x-amz-copy-source", "b/o")];
    assert_eq!(route("PUT", "/b/k", &copy), "CopyObject Bucket=b Key=k");
    let part = route("PUT", "/b/k?partNumber=1&uploadId=2", &copy);
    assert_eq!(part, "UploadPartCopy Bucket=b Key=k");
}

#[test]
fn a_label_that_is_not_utf8_is_refused() {
    let route = Router::new(&SERVICE).route(&Method::GET, "/b/%ff", "", &HeaderMap::new());
    assert_eq!(
        route.err().map(|e| e.kind),
        Some(DecodeErrorKind::Parameter)
    );
}

fn read_s3<O: Operation>(
    headers: &HeaderMap,
    query: &str,
    body: &str,
) -> Result<(O::In, Missing), DecodeError> {
    let mut input = O::In::default();
    let labels = [("Bucket", "b".to_owned()), ("Key", "k".to_owned())];
    let body = Payload::Whole(Bytes::copy_from_slice(body.as_bytes()));
    let request = Request {
        method: &Method::PUT,
        path: "/b/k",
        query,
        headers,
        body,
    };
    decode(P, &labels, request, &mut input).map(|missing| (input, missing))
}

#[test]
fn reads_headers_prefixes_and_a_streamed_body() {
    let mut headers = HeaderMap::new();
    headers.insert("x-amz-meta-colour", HeaderValue::from_static("blue"));
    headers.insert("content-type", HeaderValue::from_static("text/plain"));
    headers.insert("if-none-match", HeaderValue::from_static("*"));
    let (input, missing) = read_s3::<PutObject>(&headers, "", "hello").expect("reads");
    assert!(missing.is_empty());
    assert_eq!(
        input.metadata.as_ref().map(|m| m["colour"].as_str()),
        Some("blue")
    );
    assert_eq!(input.content_type.as_deref(), Some("text/plain"));
    assert_eq!(drain(input.body), b"hello");
}

#[test]
fn reads_flattened_lists_in_a_payload() {
    let body = "<Delete xmlns=\"x\"><Quiet>true</Quiet><Object><Key>a&amp; &#x1F600;</Key></Object>\
        <Object><Key><![CDATA[<b>]]></Key></Object></Delete>";
    let (input, _) = read_s3::<DeleteObjects>(&HeaderMap::new(), "delete", body).expect("reads");
    let keys: Vec<_> = show(&input)["Delete"]["Objects"]
        .as_array()
        .expect("a list")
        .clone();
    assert_eq!(keys, [json!({"Key":"a& 😀"}), json!({"Key":"<b>"})]);
}

#[test]
fn refuses_what_is_no_proper_xml() {
    let deep = format!("<a>{}", "<Object>".repeat(10_000));
    for body in [
        "<Delete>",
        "<Delete></Delet>",
        "nonsense",
        "<Delete/><Delete/>",
        "<!DOCTYPE a [<!ENTITY b \"c\">]><Delete/>",
        "<Delete><Object><Key>&b;</Key></Object></Delete>",
        "<Delete><Quiet>maybe</Quiet></Delete>",
        "<Delete><Quiet>true</Quiet><Quiet>true</Quiet></Delete>",
        &deep,
    ] {
        let result = read_s3::<DeleteObjects>(&HeaderMap::new(), "delete", body);
        let code = result.err().map(|e| e.to_error(P).code);
        assert_eq!(code.as_deref(), Some("MalformedXML"), "{body:.40}");
    }
    let result = read_s3::<UploadPart>(&HeaderMap::new(), "partNumber=x&uploadId=1", "");
    assert_eq!(
        result.err().map(|e| e.to_error(P).code).as_deref(),
        Some("InvalidArgument")
    );
}

#[test]
fn prints_lists_with_milliseconds_and_control_characters_as_references() {
    let output = json!({"Name":"b","Contents":[{"Key":"a\u{1}<","LastModified":{"millis":0}}]});
    let (_, body) = print::<ListObjectsV2>(P, output);
    assert!(
        body.contains("<Contents><Key>a&#x1;&lt;</Key><LastModified>1970-01-01T00:00:00.000Z"),
        "{body}"
    );
}

#[test]
fn a_bucket_location_is_the_root_itself() {
    let ns = " xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";
    for (output, inside) in [
        (json!({"LocationConstraint":"eu-west-1"}), "eu-west-1"),
        (json!({}), ""),
    ] {
        let (_, body) = print::<GetBucketLocation>(P, output);
        let wanted = format!("<LocationConstraint{ns}>{inside}</LocationConstraint>");
        assert!(body.ends_with(&wanted), "{body}");
    }
    let (_, body) = print::<ListBuckets>(P, json!({"Buckets":[{"Name":"b"}]}));
    let wanted = format!("<ListAllMyBucketsResult{ns}><Buckets><Bucket><Name>b</Name>");
    assert!(body.contains(&wanted), "{body}");
}

#[test]
fn a_streamed_answer_keeps_its_length_and_its_own_media_type() {
    let output = json!({"Body":"hello","ContentType":"text/html","Metadata":{"a":"1"}});
    let (response, body) = print::<GetObject>(P, output);
    assert_eq!(body, "hello");
    assert_eq!(response.headers()["content-type"], "text/html");
    assert_eq!(response.headers()["content-length"], "5");
    assert_eq!(response.headers()["x-amz-meta-a"], "1");
}

#[test]
fn an_error_is_bare_and_names_its_resource() {
    let error = Error::new("NoSuchKey", 404, "Gone.")
        .with("Key", "k")
        .header("x-amz-bucket-region", "r");
    let response = encode_error(P, &SERVICE, &error, "req-1", Some("/b/k"));
    assert_eq!(response.headers()["x-amz-request-id"], "req-1");
    assert_eq!(response.headers()["x-amz-bucket-region"], "r");
    let body = text(response.into_body());
    let wanted = "<Error><Code>NoSuchKey</Code><Message>Gone.</Message><Key>k</Key>\
        <Resource>/b/k</Resource><RequestId>req-1</RequestId>";
    assert!(body.contains(wanted), "{body}");
}

#[test]
fn a_header_that_cannot_be_sent_is_an_internal_error_and_no_split_response() {
    let (response, _) = print::<PutObject>(P, json!({"ETag":"a\r\nb: c"}));
    assert_eq!(response.status(), 500);
    assert!(!response.headers().contains_key("b"));
}
