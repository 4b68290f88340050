//! A botocore `service-2.json` in typed form: only the parts that the generated code needs, in the
//! order the model gives them (that order is the order of XML elements). Documentation is dropped
//! here and goes no further.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::Result;

pub(crate) fn read(document: Value) -> Result<Model> {
    serde_json::from_value(document).map_err(|e| e.to_string())
}

#[derive(Debug, Deserialize)]
pub(crate) struct Model {
    pub(crate) metadata: Metadata,
    pub(crate) operations: Ordered<Operation>,
    pub(crate) shapes: Ordered<Shape>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) api_version: String,
    pub(crate) endpoint_prefix: String,
    pub(crate) signing_name: Option<String>,
    pub(crate) service_id: String,
    pub(crate) protocols: Vec<String>,
    pub(crate) json_version: Option<String>,
    pub(crate) target_prefix: Option<String>,
    pub(crate) xml_namespace: Option<XmlNamespace>,
    pub(crate) aws_query_compatible: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Operation {
    pub(crate) http: Http,
    pub(crate) input: Option<Reference>,
    pub(crate) output: Option<Reference>,
    #[serde(default)]
    pub(crate) errors: Vec<Reference>,
    pub(crate) authtype: Option<String>,
    #[serde(default)]
    pub(crate) http_checksum_required: bool,
    #[serde(default)]
    pub(crate) http_checksum: HttpChecksum,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct HttpChecksum {
    pub(crate) request_checksum_required: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Http {
    pub(crate) method: String,
    pub(crate) request_uri: String,
    pub(crate) response_code: Option<u16>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(from = "NamespaceForm")]
pub(crate) struct XmlNamespace {
    pub(crate) prefix: Option<String>,
    pub(crate) uri: String,
}

/// Models write a namespace as a bare URI or as an object.
#[derive(Deserialize)]
#[serde(untagged)]
enum NamespaceForm {
    Uri(String),
    Full { prefix: Option<String>, uri: String },
}

impl From<NamespaceForm> for XmlNamespace {
    fn from(form: NamespaceForm) -> Self {
        match form {
            NamespaceForm::Uri(uri) => Self { prefix: None, uri },
            NamespaceForm::Full { prefix, uri } => Self { prefix, uri },
        }
    }
}

/// The traits that both a shape and a reference to it may carry; the reference's win.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Traits {
    pub(crate) location_name: Option<String>,
    /// From the overlay: the name in XML and `query` only.
    pub(crate) xml_name: Option<String>,
    pub(crate) xml_namespace: Option<XmlNamespace>,
    pub(crate) timestamp_format: Option<String>,
    pub(crate) flattened: bool,
    pub(crate) streaming: bool,
    /// A JSON value that travels as a string.
    pub(crate) jsonvalue: bool,
}

impl Traits {
    pub(crate) fn over(&self, shape: &Traits) -> Traits {
        Traits {
            location_name: self.location_name.clone().or(shape.location_name.clone()),
            xml_name: self.xml_name.clone().or(shape.xml_name.clone()),
            xml_namespace: self.xml_namespace.clone().or(shape.xml_namespace.clone()),
            timestamp_format: self
                .timestamp_format
                .clone()
                .or(shape.timestamp_format.clone()),
            flattened: self.flattened || shape.flattened,
            streaming: self.streaming || shape.streaming,
            jsonvalue: self.jsonvalue || shape.jsonvalue,
        }
    }
}

/// Where one shape names another: a member, an item, an operation's input.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Reference {
    pub(crate) shape: String,
    #[serde(flatten)]
    pub(crate) traits: Traits,
    pub(crate) location: Option<String>,
    pub(crate) query_name: Option<String>,
    pub(crate) result_wrapper: Option<String>,
    #[serde(default)]
    pub(crate) xml_attribute: bool,
    #[serde(default)]
    pub(crate) idempotency_token: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shape {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(flatten)]
    pub(crate) traits: Traits,
    #[serde(default)]
    pub(crate) members: Ordered<Reference>,
    #[serde(default)]
    pub(crate) required: Vec<String>,
    pub(crate) payload: Option<String>,
    #[serde(default)]
    pub(crate) union: bool,
    #[serde(default)]
    pub(crate) eventstream: bool,
    #[serde(default)]
    pub(crate) document: bool,
    #[serde(default)]
    pub(crate) exception: bool,
    /// The service's fault, not the caller's.
    #[serde(default)]
    pub(crate) fault: bool,
    pub(crate) error: Option<ErrorTrait>,
    pub(crate) member: Option<Reference>,
    pub(crate) key: Option<Reference>,
    pub(crate) value: Option<Reference>,
    #[serde(default)]
    pub(crate) sparse: bool,
    #[serde(default)]
    pub(crate) sensitive: bool,
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
    pub(crate) pattern: Option<String>,
    #[serde(default, rename = "enum")]
    pub(crate) values: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ErrorTrait {
    pub(crate) code: Option<String>,
    pub(crate) http_status_code: Option<u16>,
    pub(crate) sender_fault: Option<bool>,
}

/// A JSON object that keeps the order it was written in.
#[derive(Clone, Debug)]
pub(crate) struct Ordered<T>(pub(crate) Vec<(String, T)>);

impl<T> Ordered<T> {
    pub(crate) fn get(&self, name: &str) -> Option<&T> {
        self.0
            .iter()
            .find_map(|(key, value)| (key == name).then_some(value))
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(key, _)| key == name)
    }
}

impl<T> Default for Ordered<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Ordered<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Ordered(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}
