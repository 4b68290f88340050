//! Operations and services as data, and the trait that ties an operation to its Rust types.

use crate::{Schema, Struct};

/// AWS's wire protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    AwsJson10,
    AwsJson11,
    AwsQuery,
    Ec2Query,
    RestJson1,
    RestXml,
    RpcV2Cbor,
}

/// What is common to all operations of one API model.
#[derive(Debug)]
pub struct ServiceSpec {
    /// The model's name in botocore, `sqs`.
    pub name: &'static str,
    /// The service id that clients and people use, `SQS`.
    pub service_id: &'static str,
    /// The name in the SigV4 credential scope.
    pub signing_name: &'static str,
    /// The first label of AWS's own host names (`sqs` in `sqs.us-east-1.amazonaws.com`).
    pub endpoint_prefix: &'static str,
    pub api_version: &'static str,
    /// Every protocol that clients of this service speak, the model's preferred one first.
    pub protocols: &'static [Protocol],
    /// `X-Amz-Target` prefix of the JSON protocols.
    pub target_prefix: Option<&'static str>,
    pub xml_namespace: Option<&'static str>,
    /// JSON and CBOR errors also carry `x-amzn-query-error`.
    pub query_compatible: bool,
    /// One region for the whole partition (IAM, Route 53, CloudFront).
    pub global: bool,
    /// Every operation that the model knows, implemented here or not, with what routing needs.
    pub operations: &'static [&'static OperationSpec],
}

#[derive(Debug)]
pub struct OperationSpec {
    pub name: &'static str,
    pub http: Http,
    /// Input and output schemas, generated only for operations on the allow-list.
    pub input: Option<&'static Schema>,
    pub output: Option<&'static Schema>,
    /// `resultWrapper` of the query protocol.
    pub result_wrapper: Option<&'static str>,
    /// Name and namespace of the input's root element when the model gives them (`restXml`).
    pub input_root: Option<(&'static str, Option<&'static str>)>,
    /// Name of the output's root element (`restXml`) when it isn't the shape's own name.
    pub output_root: Option<&'static str>,
    /// The input carries a `Content-MD5` or a flexible checksum that must be present.
    pub checksum_required: bool,
    /// Clients send it without a signature (`AssumeRoleWithWebIdentity`).
    pub unsigned: bool,
    pub errors: &'static [&'static Schema],
}

#[derive(Debug)]
pub struct Http {
    pub method: &'static str,
    /// URI template with an optional fixed query, `/{Bucket}/{Key+}?uploads`.
    pub uri: &'static str,
    /// The status of a success.
    pub status: u16,
}

impl OperationSpec {
    /// An operation of which only the name and the route are known.
    pub const fn new(name: &'static str, method: &'static str, uri: &'static str) -> Self {
        Self {
            name,
            http: Http {
                method,
                uri,
                status: 200,
            },
            input: None,
            output: None,
            result_wrapper: None,
            input_root: None,
            output_root: None,
            checksum_required: false,
            unsigned: false,
            errors: &[],
        }
    }

    pub const fn status(mut self, status: u16) -> Self {
        self.http.status = status;
        self
    }

    pub const fn io(mut self, input: &'static Schema, output: &'static Schema) -> Self {
        self.input = Some(input);
        self.output = Some(output);
        self
    }

    pub const fn result_wrapper(mut self, name: &'static str) -> Self {
        self.result_wrapper = Some(name);
        self
    }

    pub const fn input_root(mut self, name: &'static str, namespace: Option<&'static str>) -> Self {
        self.input_root = Some((name, namespace));
        self
    }

    pub const fn output_root(mut self, name: &'static str) -> Self {
        self.output_root = Some(name);
        self
    }

    pub const fn checksum_required(mut self) -> Self {
        self.checksum_required = true;
        self
    }

    pub const fn unsigned(mut self) -> Self {
        self.unsigned = true;
        self
    }

    pub const fn errors(mut self, errors: &'static [&'static Schema]) -> Self {
        self.errors = errors;
        self
    }
}

/// An implemented operation: its types and its data.
pub trait Operation: 'static {
    type In: Struct + Default;
    type Out: Struct + Default;
    const SERVICE: &'static ServiceSpec;
    const SPEC: &'static OperationSpec;
}
