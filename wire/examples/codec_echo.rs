//! The codecs as a filter, for the cross-check against botocore: one JSON object a line on
//! standard input, one on standard output.
//!
//! `{"do":"list"}` gives every operation that has schemas; `decode` takes a request as botocore
//! serialised it and gives the values; `encode` takes values and gives the response; `error` does
//! the same for an error.

#[path = "../tests/support/canonical.rs"]
mod canonical;
#[path = "../tests/support/dynamic.rs"]
mod dynamic;

use std::io::{BufRead as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use canonical::{drain, fill, show};
use dynamic::Record;
use gureum_schema::{Body, Bytes, Error, OperationSpec, Protocol, ServiceSpec};
use gureum_wire::protocol::{
    Payload, Request, decode, encode, encode_error, understands_pattern, uri::Router, validate,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use serde_json::{Map, Value, json};

static SERVICES: &[&ServiceSpec] = &[
    &gureum_model_dynamodb::SERVICE,
    &gureum_model_dynamodbstreams::SERVICE,
    &gureum_model_ec2::SERVICE,
    &gureum_model_iam::SERVICE,
    &gureum_model_kms::SERVICE,
    &gureum_model_s3::SERVICE,
    &gureum_model_sns::SERVICE,
    &gureum_model_sqs::SERVICE,
    &gureum_model_ssm::SERVICE,
    &gureum_model_sts::SERVICE,
];

fn main() {
    let mut output = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let answer = match serde_json::from_str(&line) {
            Ok(question) => reply(&question).unwrap_or_else(|error| json!({ "error": error })),
            Err(error) => json!({ "error": error.to_string() }),
        };
        if writeln!(output, "{answer}")
            .and_then(|()| output.flush())
            .is_err()
        {
            return;
        }
    }
}

fn reply(question: &Value) -> Result<Value, String> {
    if question["do"] == "list" {
        return Ok(list());
    }
    let service = SERVICES
        .iter()
        .find(|s| question["service"] == s.name)
        .ok_or("no such service")?;
    let op = service
        .operations
        .iter()
        .find(|op| question["op"] == op.name)
        .ok_or("no such op")?;
    let protocol = protocol(question["protocol"].as_str().unwrap_or_default())?;
    match question["do"].as_str() {
        Some("decode") => decode_one(protocol, service, op, question),
        Some("encode") => encode_one(protocol, service, op, &question["values"]),
        Some("error") => {
            let code = question["code"].as_str().unwrap_or_default().to_owned();
            let error = Error::new(code, 400, question["message"].as_str().unwrap_or_default());
            Ok(response(encode_error(
                protocol,
                service,
                &error,
                "the-id",
                Some("/"),
            )))
        }
        _ => Err("nothing to do".to_owned()),
    }
}

fn list() -> Value {
    let all = SERVICES
        .iter()
        .flat_map(|service| service.operations.iter().map(move |op| (service, op)));
    let known = all.filter(|(_, op)| op.input.is_some());
    let operations: Value = known
        .map(|(service, op)| json!([service.name, op.name]))
        .collect();
    json!({ "operations": operations, "patterns": unchecked_patterns() })
}

/// The models' patterns that validation has to leave out.
fn unchecked_patterns() -> Value {
    let mut found = std::collections::BTreeSet::new();
    let mut seen = std::collections::BTreeSet::new();
    let operations = SERVICES
        .iter()
        .flat_map(|service| service.operations.iter());
    let mut left: Vec<_> = operations.filter_map(|op| op.input).collect();
    while let Some(schema) = left.pop() {
        if !seen.insert(std::ptr::from_ref(schema)) {
            continue;
        }
        found.extend(
            schema
                .limits
                .pattern
                .filter(|pattern| !understands_pattern(pattern)),
        );
        left.extend(schema.members().iter().map(|member| member.target));
        match schema.kind {
            gureum_schema::Kind::List { item, .. } => left.push(item.target),
            gureum_schema::Kind::Map { key, value, .. } => left.extend([key.target, value.target]),
            _ => {}
        }
    }
    found.into_iter().collect()
}

fn protocol(name: &str) -> Result<Protocol, String> {
    Ok(match name {
        "json-1.0" => Protocol::AwsJson10,
        "json" => Protocol::AwsJson11,
        "query" => Protocol::AwsQuery,
        "ec2" => Protocol::Ec2Query,
        "rest-json" => Protocol::RestJson1,
        "rest-xml" => Protocol::RestXml,
        "smithy-rpc-v2-cbor" => Protocol::RpcV2Cbor,
        _ => return Err(format!("no protocol {name}")),
    })
}

fn decode_one(
    protocol: Protocol,
    service: &ServiceSpec,
    op: &'static OperationSpec,
    question: &Value,
) -> Result<Value, String> {
    let text = |key: &str| question[key].as_str().unwrap_or_default();
    let method: Method = text("method").parse().map_err(|_| "no method")?;
    let mut headers = HeaderMap::new();
    for (name, value) in question["headers"].as_object().into_iter().flatten() {
        let name: HeaderName = name.parse().map_err(|_| "a bad header name")?;
        let value = HeaderValue::from_str(value.as_str().unwrap_or_default());
        headers.append(name, value.map_err(|_| "a bad header")?);
    }
    let mut labels = Vec::new();
    if matches!(protocol, Protocol::RestJson1 | Protocol::RestXml) {
        let route = Router::new(service).route(&method, text("path"), text("query"), &headers);
        let route = route.map_err(|e| e.to_string())?.ok_or("no route")?;
        if route.op.name != op.name {
            return Err(format!("routed to {}", route.op.name));
        }
        labels = route.labels;
    }
    let request = Request {
        method: &method,
        path: text("path"),
        query: text("query"),
        headers: &headers,
        body: Payload::Whole(Bytes::from(
            STANDARD.decode(text("body")).map_err(|e| e.to_string())?,
        )),
    };
    let mut input = Record::new(op.input.ok_or("no input")?);
    let missing = decode(protocol, &labels, request, &mut input).map_err(|e| e.to_string())?;
    let violations = validate(&input, &missing).err().map(|v| v.to_string());
    Ok(json!({ "values": show(&input), "missing": missing.paths(), "violations": violations }))
}

fn encode_one(
    protocol: Protocol,
    service: &ServiceSpec,
    op: &OperationSpec,
    values: &Value,
) -> Result<Value, String> {
    let mut output = Record::new(op.output.ok_or("no output")?);
    fill(&mut output, values);
    Ok(response(encode(
        protocol,
        service,
        op,
        &mut output,
        "the-id",
    )))
}

fn response(response: Response<Body>) -> Value {
    let (parts, body) = response.into_parts();
    let headers = parts.headers.iter().map(|(name, value)| {
        (
            name.to_string(),
            String::from_utf8_lossy(value.as_bytes()).into(),
        )
    });
    json!({
        "status": parts.status.as_u16(),
        "headers": headers.collect::<Map<_, _>>(),
        "body": STANDARD.encode(drain(body)),
    })
}
