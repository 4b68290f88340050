//! The protocols on real models: what clients send, what they get back, and what is refused.

#[path = "../support/canonical.rs"]
mod canonical;
#[path = "../support/dynamic.rs"]
mod dynamic;

use canonical::{drain, fill, show};
use gureum_schema::{Body, Bytes, Error, Operation, Protocol, ServiceSpec, Struct};
use gureum_wire::protocol::{
    DecodeError, DecodeErrorKind, Missing, Payload, Request, decode, encode, encode_error,
    uri::Router, validate,
};
use http::{HeaderMap, HeaderValue, Method, Response};
use proptest::prelude::*;
use serde_json::{Value, json};

fn read<O: Operation>(
    protocol: Protocol,
    body: impl Into<Vec<u8>>,
) -> Result<(O::In, Missing), DecodeError> {
    let mut input = O::In::default();
    let request = Request {
        method: &Method::POST,
        path: "/",
        query: "",
        headers: &HeaderMap::new(),
        body: Payload::Whole(Bytes::from(body.into())),
    };
    decode(protocol, &[], request, &mut input).map(|missing| (input, missing))
}

fn print<O: Operation>(protocol: Protocol, output: Value) -> (Response<()>, String) {
    let mut out = O::Out::default();
    fill(&mut out, &output);
    let (parts, body) = encode(protocol, O::SERVICE, O::SPEC, &mut out, "req-1").into_parts();
    (Response::from_parts(parts, ()), text(body))
}

fn text(body: Body) -> String {
    String::from_utf8(drain(body)).expect("text")
}

mod json {
    use super::*;
    use gureum_model_sqs::op::SendMessage;

    const P: Protocol = Protocol::AwsJson10;

    #[test]
    fn reads_members_maps_and_blobs_and_skips_what_it_does_not_know() {
        let body = r#"{"QueueUrl":"u","Future":[{"a":null}],"MessageBody":"héllo","DelaySeconds":5,
            "MessageGroupId":null,
            "MessageAttributes":{"a":{"DataType":"Binary","BinaryValue":"AAEC"}}}"#;
        let (input, missing) = read::<SendMessage>(P, body).expect("reads");
        assert!(missing.is_empty());
        assert_eq!(
            show(&input),
            json!({"QueueUrl":"u","MessageBody":"héllo","DelaySeconds":5,
                "MessageAttributes":{"a":{"DataType":"Binary","BinaryValue":{"bytes":"AAEC"}}}})
        );
    }

    #[test]
    fn refuses_what_does_not_fit() {
        use DecodeErrorKind::*;
        for (body, kind) in [
            (r#"{"QueueUrl":"#, Malformed),
            ("[]", Malformed),
            (r#"{"QueueUrl":"u"} x"#, Malformed),
            (r#"{"QueueUrl":5}"#, WrongType),
            (r#"{"QueueUrl":["u"]}"#, WrongType),
            (r#"{"QueueUrl":{"u":1}}"#, WrongType),
            (r#"{"MessageAttributes":{"a":null}}"#, WrongType),
            (
                r#"{"MessageAttributes":{"a":{"BinaryValue":"no base64!"}}}"#,
                WrongType,
            ),
            (r#"{"DelaySeconds":2147483648}"#, OutOfRange),
            (r#"{"DelaySeconds":1e300}"#, OutOfRange),
            (r#"{"DelaySeconds":1.5}"#, WrongType),
            (r#"{"QueueUrl":"a","QueueUrl":"b"}"#, Duplicate),
        ] {
            let error = read::<SendMessage>(P, body).err().map(|e| e.kind);
            assert_eq!(error, Some(kind), "{body}");
        }
        let error = read::<SendMessage>(P, b"{\"QueueUrl\":\"\xff\"}".to_vec()).err();
        assert_eq!(error.expect("refused").kind, Encoding);
    }

    #[test]
    fn an_error_is_named_twice_for_clients_from_the_query_days() {
        let service = SendMessage::SERVICE;
        let error = Error::new("QueueDoesNotExist", 400, "No such queue.").with("Extra", "x");
        let response = encode_error(P, service, &error, "req-1", None);
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()["x-amzn-errortype"], "QueueDoesNotExist");
        let query = response.headers()["x-amzn-query-error"]
            .to_str()
            .expect("text");
        assert!(query.ends_with(";Sender"), "{query}");
        assert_eq!(response.headers()["x-amzn-requestid"], "req-1");
        let body: Value = serde_json::from_str(&text(response.into_body())).expect("JSON");
        let wanted = json!({"__type":"QueueDoesNotExist","message":"No such queue.","Extra":"x"});
        assert_eq!(body, wanted);
    }
}

mod query {
    use super::*;
    use gureum_model_iam::op::{CreateUser, DeleteUser, GetUser};
    use gureum_model_sts::op::GetCallerIdentity;

    const P: Protocol = Protocol::AwsQuery;

    #[test]
    fn reads_lists_in_the_order_of_their_numbers_however_large() {
        let body = "Action=CreateUser&Version=2010-05-08&UserName=a+b%2Fc&Tags.member.999999999999.Key=last\
            &Tags.member.999999999999.Value=&Tags.member.2.Key=first&Tags.member.2.Value=1";
        let (input, missing) = read::<CreateUser>(P, body).expect("reads");
        assert!(missing.is_empty(), "{missing:?}");
        assert_eq!(
            show(&input),
            json!({"UserName":"a b/c","Tags":[{"Key":"first","Value":"1"},{"Key":"last","Value":""}]})
        );
    }

    #[test]
    fn tells_what_is_missing_by_its_path() {
        let (_, missing) = read::<CreateUser>(P, "Tags.member.1.Key=k").expect("reads");
        assert_eq!(missing.paths(), ["tags.1.member.value", "userName"]);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        use DecodeErrorKind::*;
        let deep = format!("A{}=1", ".a".repeat(200));
        for (body, kind) in [
            ("UserName=a&UserName=b", Duplicate),
            ("UserName=%ff", Encoding),
            ("UserName.member.1=a", WrongType),
            ("Tags.member.1=scalar", WrongType),
            (deep.as_str(), TooDeep),
        ] {
            let error = read::<CreateUser>(P, body).err().map(|e| e.kind);
            assert_eq!(error, Some(kind), "{body}");
        }
    }

    #[test]
    fn an_answer_without_members_still_has_its_metadata() {
        let (response, body) = print::<DeleteUser>(P, json!({}));
        assert_eq!(response.status(), 200);
        assert!(body.contains("<ResponseMetadata><RequestId>req-1</RequestId></ResponseMetadata>"));
        assert!(
            body.contains("<DeleteUserResponse xmlns=\"https://iam.amazonaws.com/doc/"),
            "{body}"
        );
    }

    #[test]
    fn prints_the_result_in_its_wrapper_and_escapes_it() {
        let (_, body) = print::<GetCallerIdentity>(P, json!({"Account":"1","Arn":"a<&>\r\"b"}));
        let wanted = "<GetCallerIdentityResult><Account>1</Account>\
            <Arn>a&lt;&amp;&gt;&#xD;&quot;b</Arn></GetCallerIdentityResult>";
        assert!(body.contains(wanted), "{body}");
    }

    #[test]
    fn an_error_says_whose_fault_it_is() {
        let error = Error::new("NoSuchEntity", 404, "no <user>");
        let body = text(encode_error(P, GetUser::SERVICE, &error, "req-1", None).into_body());
        let wanted = "<Error><Type>Sender</Type><Code>NoSuchEntity</Code>\
            <Message>no &lt;user&gt;</Message></Error><RequestId>req-1</RequestId></ErrorResponse>";
        assert!(body.ends_with(wanted), "{body}");
        let body =
            text(encode_error(Protocol::Ec2Query, GetUser::SERVICE, &error, "r", None).into_body());
        assert!(
            body.ends_with("</Error></Errors><RequestID>r</RequestID></Response>"),
            "{body}"
        );
    }
}

mod s3;

mod limits {
    use super::*;
    use gureum_model_iam::op::CreateUser;

    fn message(form: &str) -> String {
        let (input, missing) = read::<CreateUser>(Protocol::AwsQuery, form).expect("reads");
        validate(&input, &missing).map_or_else(|v| v.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn speaks_of_them_as_aws_does() {
        assert_eq!(message("UserName=alice"), "fine");
        assert_eq!(
            message(""),
            "1 validation error detected: Value null at 'userName' failed to satisfy constraint: \
             Member must not be null"
        );
        let long = "x".repeat(65);
        assert_eq!(
            message(&format!("UserName={long}")),
            format!(
                "1 validation error detected: Value '{long}' at 'userName' failed to satisfy \
             constraint: Member must have length less than or equal to 64"
            )
        );
        assert_eq!(
            message("UserName=a%20b&Tags.member.1.Key=&Tags.member.1.Value=v"),
            "2 validation errors detected: Value 'a b' at 'userName' failed to satisfy constraint: \
             Member must satisfy regular expression pattern: [\\w+=,.@-]+; Value '' at \
             'tags.1.member.key' failed to satisfy constraint: Member must have length greater \
             than or equal to 1"
        );
    }
}

mod nesting {
    use super::*;
    use dynamic::Record;
    use gureum_schema::{Member, Schema};
    use gureum_wire::protocol::MAX_DEPTH;

    static SHAPE: Schema = Schema::structure(
        "Shape",
        &[Member::new("r", &SHAPE), Member::new("l", &LIST)],
    );
    static LIST: Schema = Schema::list("List", &Member::new("member", &LIST), false);

    fn result(protocol: Protocol, body: &[u8]) -> Result<Missing, DecodeErrorKind> {
        let request = Request {
            method: &Method::POST,
            path: "/",
            query: "",
            headers: &HeaderMap::new(),
            body: Payload::Whole(Bytes::copy_from_slice(body)),
        };
        decode(protocol, &[], request, &mut Record::new(&SHAPE)).map_err(|e| e.kind)
    }

    fn bodies(depth: usize) -> [(Protocol, Vec<u8>); 6] {
        let around = |open: &str, close: &str| open.repeat(depth) + &close.repeat(depth);
        let json = around("{\"r\":", "}").replace(":}", ":{}}");
        let cbor = [
            b"\xbf\x61r".repeat(depth),
            b"\xa0".to_vec(),
            b"\xff".repeat(depth),
        ]
        .concat();
        [
            (Protocol::AwsJson10, json.into()),
            (
                Protocol::RestJson1,
                format!("{{\"l\":{}}}", around("[", "]")).into(),
            ),
            (
                Protocol::RestXml,
                format!("<a>{}</a>", around("<r>", "</r>")).into(),
            ),
            (
                Protocol::AwsQuery,
                format!("r{}=", ".r".repeat(depth - 1)).into(),
            ),
            (
                Protocol::Ec2Query,
                format!("l{}=", ".1".repeat(depth - 1)).into(),
            ),
            (Protocol::RpcV2Cbor, cbor),
        ]
    }

    #[test]
    fn is_bounded_in_every_protocol() {
        for (protocol, body) in bodies(MAX_DEPTH) {
            assert_eq!(
                result(protocol, &body),
                Ok(Missing::default()),
                "{protocol:?}"
            );
        }
        for depth in [MAX_DEPTH + 1, 100_000] {
            for (protocol, body) in bodies(depth) {
                let wanted = Err(DecodeErrorKind::TooDeep);
                assert_eq!(result(protocol, &body), wanted, "{protocol:?} {depth}");
            }
        }
    }
}

/// Feeds the router and a few inputs of all sorts.
fn anything(
    service: &'static ServiceSpec,
    protocol: Protocol,
    path: &str,
    query: &str,
    body: &[u8],
) {
    let headers = HeaderMap::new();
    for method in [Method::GET, Method::PUT, Method::POST] {
        let _ = Router::new(service).route(&method, path, query, &headers);
    }
    let request = |body| Request {
        method: &Method::PUT,
        path,
        query,
        headers: &headers,
        body,
    };
    let body = Bytes::copy_from_slice(body);
    let mut inputs: Vec<Box<dyn Struct>> = vec![
        Box::new(gureum_model_sqs::types::SendMessageBatchRequest::default()),
        Box::new(gureum_model_iam::types::CreateUserRequest::default()),
        Box::new(gureum_model_s3::types::DeleteObjectsRequest::default()),
        Box::new(gureum_model_s3::types::PutBucketLifecycleConfigurationRequest::default()),
    ];
    for input in &mut inputs {
        let labels = [("Bucket", "b".to_owned())];
        if let Ok(missing) = decode(
            protocol,
            &labels,
            request(Payload::Whole(body.clone())),
            &mut **input,
        ) {
            let _ = validate(&**input, &missing);
        }
    }
}

const PROTOCOLS: [Protocol; 7] = [
    Protocol::AwsJson10,
    Protocol::AwsJson11,
    Protocol::AwsQuery,
    Protocol::Ec2Query,
    Protocol::RestJson1,
    Protocol::RestXml,
    Protocol::RpcV2Cbor,
];

/// Pieces that documents of all protocols are made of, so that noise gets past the first byte.
fn scraps() -> impl Strategy<Value = Vec<u8>> {
    let scrap = prop_oneof![
        any::<Vec<u8>>(),
        prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"Entries\"",
            "\"Id\"",
            "null",
            "1e999",
            "-1",
            "\"x\"",
            "<Delete>",
            "</Delete>",
            "<Object>",
            "</Object>",
            "<Key>",
            "</Key>",
            "<Rule>",
            "&amp;",
            "&#0;",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "<?x",
            "Tags.member.",
            "1",
            ".Key=",
            "&",
            "=",
            "%f",
            "%00",
            "UserName",
            ".",
            "SendMessageBatchRequestEntry.1.Id=",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::sample::select(vec![
            0xbfu8, 0xff, 0x9f, 0x7f, 0x5f, 0xc1, 0xfb, 0x67, 0x62, 0x1b, 0xa1
        ])
        .prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(scrap, 0..40).prop_map(|scraps| scraps.concat())
}

proptest! {
    #[test]
    fn no_decoder_panics(body in scraps(), path in ".{0,40}", query in ".{0,40}") {
        for protocol in PROTOCOLS {
            anything(&gureum_model_s3::SERVICE, protocol, &path, &query, &body);
        }
    }

    #[test]
    fn what_json_and_cbor_print_they_read_back(
        bodies in prop::collection::vec((any::<String>(), any::<Option<i32>>(), any::<Vec<u8>>()), 0..5)
    ) {
        use gureum_model_sqs::types::{MessageAttributeValue, SendMessageBatchRequest, SendMessageBatchRequestEntry};
        let entries = bodies.into_iter().map(|(body, delay, blob)| SendMessageBatchRequestEntry {
            id: body.clone(),
            message_body: body.clone(),
            delay_seconds: delay,
            message_attributes: Some([(body, MessageAttributeValue {
                binary_value: Some(blob.into()),
                ..Default::default()
            })].into()),
            ..Default::default()
        });
        let mut sent = SendMessageBatchRequest { queue_url: "u".into(), entries: entries.collect() };
        for protocol in [Protocol::AwsJson11, Protocol::RpcV2Cbor] {
            use gureum_model_sqs::op::SendMessageBatch as Op;
            let response = encode(protocol, Op::SERVICE, Op::SPEC, &mut sent, "r");
            let (read, _) = read::<Op>(protocol, drain(response.into_body())).expect("reads");
            prop_assert_eq!(show(&sent), show(&read));
        }
    }
}
