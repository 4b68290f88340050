//! botocore's protocol vectors, read from `botocore-protocols` in the directory `GUREUM_VECTORS`: every request that
//! botocore is tested to send is decoded, every answer that it is tested to read is encoded.

#[path = "../support/canonical.rs"]
mod canonical;
mod compare;
#[path = "../support/dynamic.rs"]
mod dynamic;
mod shapes;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use canonical::{drain, fill, show};
use dynamic::Record;
use gureum_schema::{Bytes, Error, OperationSpec, Protocol, ServiceSpec};
use gureum_wire::protocol::{Payload, Request, decode, encode, encode_error, uri::Router};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use shapes::Shapes;

/// Cases that a server cannot or must not pass, by a part of their names, and why.
const NOT_OURS: &[(&str, &str)] = &[
    (
        "Ec2ComplexError",
        "the message is not in the vector's parameters; botocore skips it too",
    ),
    (
        "rest-xml \"ComplexError",
        "the message is not in the vector's parameters; botocore skips it too",
    ),
    ("rest-xml \"InvalidGreeting", "a member that no model knows"),
    (
        "QueryEmptyInputAndEmptyOutput",
        "no body, where a query answer always has its metadata",
    ),
    (
        "QueryNoInputAnd",
        "no body, where a query answer always has its metadata",
    ),
    ("SDKAppliedContentEncoding", "the vector has no body"),
    ("SDKAppendsGzip", "the vector has no body"),
    ("SDKAppendedGzip", "the vector has no body"),
    (
        "TokenAutoFill",
        "the client's random token is not in the vector's parameters",
    ),
    (
        "EndpointTraitWithHostLabel",
        "the label is only in the host name; botocore skips it too",
    ),
    (
        "RestJsonHostWithPath",
        "the endpoint has a path of its own; botocore skips it too",
    ),
    (
        "Ec2Lists",
        "botocore skips it: its model lacks the names that EC2's own has",
    ),
    (
        "Ec2TimestampsInput",
        "botocore skips it: its model lacks the names that EC2's own has",
    ),
    ("Ec2EmptyQueryLists", "empty, so nothing is sent"),
    ("QueryEmptyQueryMaps", "empty, so nothing is sent"),
    ("OmitsEmptyListQueryValues", "empty, so nothing is sent"),
    (
        "HttpPrefixHeadersAreNotPresent",
        "empty, so nothing is sent",
    ),
    (
        "EmptyStructurePayload",
        "an empty structure is sent, though no parameter says so",
    ),
    (
        "HeadersButNoPayload",
        "an empty structure is sent, though no parameter says so",
    ),
    (
        "QueryParamsStringListMap",
        "a server puts bound parameters into the map too",
    ),
    (
        "QueryPrecedence",
        "a server puts bound parameters into the map too",
    ),
    (
        "rest-xml \"AllQueryStringTypes",
        "a server puts bound parameters into the map too",
    ),
    (
        "RestXmlQueryStringEscaping",
        "a server puts bound parameters into the map too",
    ),
    (
        "FloatQueryValues",
        "a server puts bound parameters into the map too",
    ),
    (
        "RestXmlZeroAndFalseQueryValues",
        "a server puts bound parameters into the map too",
    ),
    (
        "MediaTypeHeader",
        "`jsonvalue` is not in our schema; botocore skips it too",
    ),
    (
        "XmlLists",
        "Smithy and botocore disagree on flattened items' names; botocore skips it too",
    ),
    (
        "handles_unexpected_json_output",
        "members that no model knows",
    ),
    ("HandlesUnexpectedJsonOutput", "members that no model knows"),
    ("ExtraFieldsInTheBody", "members that no model knows"),
    (
        "FooErrorUsing",
        "another way to name an error, which clients tolerate",
    ),
    ("AwsJson11IntEnums", "a request header in an answer"),
    ("parses_the_request_id", "its own request id"),
    (
        "RpcV2CborPayloadWithUnsetUnion",
        "the body is another vector's",
    ),
];

#[test]
fn botocore_vectors() {
    let Ok(root) = std::env::var("GUREUM_VECTORS") else {
        println!("SKIPPED: set GUREUM_VECTORS to the directory of botocore's protocol vectors");
        return;
    };
    // The variable may also name that very directory.
    let root = Path::new(&root);
    let inner = root.join("botocore-protocols");
    let root = if inner.is_dir() {
        inner
    } else {
        root.to_owned()
    };
    let mut failures = Vec::new();
    let mut total = 0;
    for side in ["input", "output"] {
        let mut files: Vec<_> = std::fs::read_dir(root.join(side))
            .expect("the vectors' directory")
            .map(|entry| entry.expect("a file").path())
            .collect();
        files.sort();
        for file in files {
            let suites: Value = serde_json::from_slice(&std::fs::read(&file).expect("a file"))
                .expect("a vector file is JSON");
            for suite in suites.as_array().expect("a list of suites") {
                let shapes = Shapes::new(&suite["shapes"]);
                for case in suite["cases"].as_array().expect("a list of cases") {
                    total += 1;
                    if let Err(reason) = run(&suite["metadata"], &shapes, case) {
                        let file = file.file_stem().unwrap_or_default().to_string_lossy();
                        failures.push((format!("{side}/{file} {}", case["id"]), reason));
                    }
                }
            }
        }
    }
    let passed = total - failures.len();
    println!("{passed} of {total} vectors pass");
    for (case, reason) in &failures {
        let reason: String = reason.chars().take(400).collect();
        println!("FAILED {case}: {reason}");
    }
    let is_known = |case: &str| NOT_OURS.iter().any(|(name, _)| case.contains(name));
    let unexpected: Vec<_> = failures
        .iter()
        .filter(|(case, _)| !is_known(case))
        .collect();
    assert!(unexpected.is_empty(), "these should pass: {unexpected:?}");
    let stale: Vec<_> = NOT_OURS
        .iter()
        .filter(|(name, _)| !failures.iter().any(|(case, _)| case.contains(name)))
        .collect();
    assert!(
        stale.is_empty(),
        "these pass by now, take them off the list: {stale:?}"
    );
}

fn run(metadata: &Value, shapes: &Shapes<'_>, case: &Value) -> Result<(), String> {
    let protocol = protocol(metadata);
    let op = shapes.operation(case);
    let service = service(metadata, protocol, op);
    if case.get("serialized").is_some() {
        run_input(protocol, service, op, case)
    } else if case.get("errorCode").is_some() {
        run_error(protocol, service, shapes, case)
    } else {
        run_output(protocol, service, op, case)
    }
}

fn protocol(metadata: &Value) -> Protocol {
    match metadata["protocol"].as_str().expect("a protocol") {
        "json" if metadata["jsonVersion"] == "1.0" => Protocol::AwsJson10,
        "json" => Protocol::AwsJson11,
        "query" => Protocol::AwsQuery,
        "ec2" => Protocol::Ec2Query,
        "rest-json" => Protocol::RestJson1,
        "rest-xml" => Protocol::RestXml,
        _ => Protocol::RpcV2Cbor,
    }
}

fn service(
    metadata: &Value,
    protocol: Protocol,
    op: &'static OperationSpec,
) -> &'static ServiceSpec {
    let xml = matches!(protocol, Protocol::AwsQuery | Protocol::Ec2Query);
    Box::leak(Box::new(ServiceSpec {
        name: "vectors",
        service_id: "Vectors",
        signing_name: "vectors",
        endpoint_prefix: "vectors",
        api_version: "2020-01-08",
        protocols: Vec::leak(vec![protocol]),
        target_prefix: None,
        xml_namespace: xml.then_some("https://example.com/"),
        query_compatible: metadata.get("awsQueryCompatible").is_some(),
        global: false,
        operations: Vec::leak(vec![op]),
    }))
}

fn run_input(
    protocol: Protocol,
    service: &'static ServiceSpec,
    op: &'static OperationSpec,
    case: &Value,
) -> Result<(), String> {
    let serialized = &case["serialized"];
    let schema = op.input.expect("an input");
    let uri = serialized["uri"].as_str().unwrap_or("/");
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let headers = headers(&serialized["headers"]);
    let method: Method = serialized["method"]
        .as_str()
        .unwrap_or("POST")
        .parse()
        .expect("a method");
    let mut labels = Vec::new();
    if matches!(protocol, Protocol::RestJson1 | Protocol::RestXml) {
        let route = Router::new(service).route(&method, path, query, &headers);
        let route = route.map_err(|e| e.to_string())?;
        labels = route.ok_or_else(|| format!("no route for {uri}"))?.labels;
    }
    let mut input = Record::new(schema);
    let request = Request {
        method: &method,
        path,
        query,
        headers: &headers,
        body: Payload::Whole(Bytes::from(body(protocol, &serialized["body"]))),
    };
    decode(protocol, &labels, request, &mut input).map_err(|e| e.to_string())?;
    let mut expected = Record::new(schema);
    fill(&mut expected, &case["params"]);
    let (expected, found) = (show(&expected), show(&input));
    if compare::same(&expected, &found) {
        return Ok(());
    }
    Err(format!("expected {expected}, found {found}"))
}

fn headers(given: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in given.as_object().into_iter().flatten() {
        let name: HeaderName = name.parse().expect("a header name");
        let value = value.as_str().unwrap_or_default();
        headers.insert(name, HeaderValue::from_str(value).expect("a header"));
    }
    headers
}

fn body(protocol: Protocol, body: &Value) -> Vec<u8> {
    let body = body.as_str().unwrap_or_default();
    match protocol {
        Protocol::RpcV2Cbor => STANDARD.decode(body).expect("base64"),
        _ => body.as_bytes().to_vec(),
    }
}

fn run_output(
    protocol: Protocol,
    service: &ServiceSpec,
    op: &OperationSpec,
    case: &Value,
) -> Result<(), String> {
    let mut output = Record::new(op.output.expect("an output"));
    fill(&mut output, &case["result"]);
    let response = encode(protocol, service, op, &mut output, "requestid");
    compare_response(protocol, response, &case["response"])
}

fn run_error(
    protocol: Protocol,
    service: &ServiceSpec,
    shapes: &Shapes<'_>,
    case: &Value,
) -> Result<(), String> {
    let response = &case["response"];
    let status = response["status_code"].as_u64().unwrap_or(400) as u16;
    let code = case["errorCode"].as_str().unwrap_or_default().to_owned();
    let mut error = Error::new(
        code.clone(),
        status,
        case["errorMessage"].as_str().unwrap_or(""),
    );
    let modelled = case["given"]["errors"].as_array().into_iter().flatten();
    for shape in modelled.filter_map(|e| e["shape"].as_str()) {
        let mut detail = Record::new(shapes.schema(shape));
        fill(&mut detail, &case["error"]);
        if show(&detail) != json!({}) {
            error = error.detail(detail);
        }
    }
    let found = encode_error(protocol, service, &error, "foo-id", None);
    compare_response(protocol, found, response)
}

fn compare_response(
    protocol: Protocol,
    response: http::Response<gureum_schema::Body>,
    expected: &Value,
) -> Result<(), String> {
    let (parts, found) = response.into_parts();
    if Some(u64::from(parts.status.as_u16())) != expected["status_code"].as_u64() {
        return Err(format!(
            "status {} instead of {}",
            parts.status, expected["status_code"]
        ));
    }
    for (name, value) in expected["headers"].as_object().into_iter().flatten() {
        let found = parts
            .headers
            .get(name)
            .map(|v| String::from_utf8_lossy(v.as_bytes()));
        let found: Value = found.map(|v| v.to_string().into()).unwrap_or_default();
        // The front door knows the length; a media type's parameters are a matter of taste.
        let ours = ["content-type", "content-length"].contains(&name.to_lowercase().as_str());
        if !ours && !compare::same_name(&found, value) {
            return Err(format!("header {name} is {found} instead of {value}"));
        }
    }
    let found = drain(found);
    let wanted = body(protocol, &expected["body"]);
    let mut found_tree = compare::parse(protocol, &found);
    let mut wanted_tree = compare::parse(protocol, &wanted);
    if parts.status.is_success() || protocol == Protocol::RestJson1 {
        // A restJson error is named in a header, which has been compared, and by us in the body.
        compare::strip(&mut found_tree);
        compare::strip(&mut wanted_tree);
    }
    if compare::is_empty(&found_tree) && compare::is_empty(&wanted_tree) {
        return Ok(());
    }
    if compare::same(&found_tree, &wanted_tree) {
        return Ok(());
    }
    let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace('\n', "");
    Err(format!("expected {} found {}", show(&wanted), show(&found)))
}
