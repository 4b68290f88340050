//! `lib.rs`, `operations.rs` and `op.rs`: the service, its operations as data, and a type for each
//! of the allowed ones.

use std::fmt::Write;

use crate::Result;
use crate::models::document::{Operation, Reference};
use crate::models::names;
use crate::models::shapes::Crate;

pub(super) fn library(crate_: &Crate<'_>) -> Result<String> {
    let metadata = &crate_.model.metadata;
    let service = crate_.service;
    let protocols = protocols(crate_)?;
    let namespace = metadata.xml_namespace.as_ref().map(|n| n.uri.as_str());
    let signing_name = metadata.signing_name.as_ref();
    Ok(format!(
        "//! The API model of {title}: structures, schemas and operations.\n\n\
         pub mod op;\n\
         mod operations;\n\
         pub mod schemas;\n\
         pub mod types;\n\n\
         use gureum_schema::{{Protocol, ServiceSpec}};\n\n\
         /// {title}, API version {version}.\n\
         pub static SERVICE: ServiceSpec = ServiceSpec {{\
         name: {model:?},\
         service_id: {service_id:?},\
         signing_name: {signing_name:?},\
         endpoint_prefix: {endpoint_prefix:?},\
         api_version: {version:?},\
         protocols: &[{protocols}],\
         target_prefix: {target_prefix:?},\
         xml_namespace: {namespace:?},\
         query_compatible: {query_compatible},\
         global: {global},\
         operations: &operations::ALL,\
         }};\n",
        title = service.title,
        version = metadata.api_version,
        model = service.model,
        service_id = metadata.service_id,
        signing_name = signing_name.unwrap_or(&metadata.endpoint_prefix),
        endpoint_prefix = metadata.endpoint_prefix,
        target_prefix = metadata.target_prefix,
        query_compatible = metadata.aws_query_compatible.is_some(),
        global = service.global,
    ))
}

fn protocols(crate_: &Crate<'_>) -> Result<String> {
    let metadata = &crate_.model.metadata;
    let mut protocols = Vec::new();
    for protocol in &metadata.protocols {
        let version = metadata.json_version.as_deref();
        let variant = match (protocol.as_str(), version) {
            ("json", Some("1.1")) => "AwsJson11",
            ("json", _) => "AwsJson10",
            ("query", _) => "AwsQuery",
            ("ec2", _) => "Ec2Query",
            ("rest-json", _) => "RestJson1",
            ("rest-xml", _) => "RestXml",
            ("smithy-rpc-v2-cbor", _) => "RpcV2Cbor",
            (other, _) => return Err(format!("unknown protocol {other}")),
        };
        protocols.push(format!("Protocol::{variant}"));
    }
    Ok(super::joined(protocols))
}

pub(super) fn markers(crate_: &Crate<'_>) -> String {
    let mut lines = String::new();
    for (name, operation) in crate_.allowed() {
        let marker = names::type_(name);
        let spec = names::constant(name);
        let type_of = |reference: &Option<Reference>| {
            let shape = reference.as_ref().map_or("", |r| r.shape.as_str());
            names::type_(shape)
        };
        let (input, output) = (type_of(&operation.input), type_of(&operation.output));
        let _ = write!(
            lines,
            "{marker} = operations::{spec}:\n        \
             types::{input} => types::{output};\n    "
        );
    }
    format!(
        "//! One type for each operation, to register handlers and to call by.\n\n\
         use crate::{{operations, types}};\n\n\
         gureum_schema::operations! {{\n    crate::SERVICE;\n    {}\n}}\n",
        lines.trim_end()
    )
}

pub(super) fn specs(crate_: &Crate<'_>) -> String {
    let operations = &crate_.model.operations.0;
    let mut code = String::new();
    for (name, operation) in operations {
        let spec = spec(crate_, name, operation);
        let constant = names::constant(name);
        let _ = writeln!(
            code,
            "pub(crate) static {constant}: OperationSpec = {spec};"
        );
    }
    let constants = operations.iter().map(|(name, _)| names::constant(name));
    let all = super::joined(constants.map(|name| format!("&{name}")));
    let schemas = if code.contains("schemas::") {
        "use crate::schemas;\n\n"
    } else {
        ""
    };
    format!(
        "//! The service's operations as data: those without an input are known by name only.\n\n\
         use gureum_schema::OperationSpec;\n\n{schemas}\
         pub(crate) static ALL: [&OperationSpec; {}] = [{all}];\n\n{code}",
        operations.len()
    )
}

fn spec(crate_: &Crate<'_>, name: &str, operation: &Operation) -> String {
    let http = &operation.http;
    let mut code = format!(
        "OperationSpec::new({name:?}, {:?}, {:?})",
        http.method, http.request_uri
    );
    if let Some(status) = http.response_code.filter(|status| *status != 200) {
        let _ = write!(code, ".status({status})");
    }
    if operation.authtype.as_deref() == Some("none") {
        code += ".unsigned()";
    }
    if !crate_.service.operations.allow(name) {
        return code;
    }
    if let (Some(input), Some(output)) = (&operation.input, &operation.output) {
        code += &io(crate_, input, output);
    }
    if operation.http_checksum_required || operation.http_checksum.request_checksum_required {
        code += ".checksum_required()";
    }
    if !operation.errors.is_empty() {
        let errors = operation.errors.iter();
        let errors = errors.map(|error| format!("&schemas::{}", crate_.target(error)));
        let _ = write!(code, ".errors(&[{}])", super::joined(errors));
    }
    code
}

fn io(crate_: &Crate<'_>, input: &Reference, output: &Reference) -> String {
    let mut code = format!(
        ".io(&schemas::{}, &schemas::{})",
        crate_.target(input),
        crate_.target(output)
    );
    if let Some(wrapper) = &output.result_wrapper {
        let _ = write!(code, ".result_wrapper({wrapper:?})");
    }
    let traits = crate_.traits(input);
    if let Some(root) = traits.location_name {
        let namespace = traits.xml_namespace.map(|namespace| namespace.uri);
        let _ = write!(code, ".input_root({root:?}, {namespace:?})");
    }
    if let Some(root) = crate_.traits(output).location_name {
        let _ = write!(code, ".output_root({root:?})");
    }
    code
}
