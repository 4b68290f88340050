//! Which service and which operation a request is for.
//!
//! The service follows from what the client cannot leave out: the credential scope it signed
//! with, the target header, the host name. The operation follows from the protocol.

use std::collections::HashMap;
use std::sync::Arc;

use gureum_dispatch::{Cloud, Service};
use gureum_schema::{Error, OperationSpec, Protocol};
use http::HeaderName;
use http::request::Parts;

use super::host::Host;
use crate::protocol::uri::Router;

/// Operation and service of the JSON protocols, and what tells that a request speaks CBOR.
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const SMITHY: HeaderName = HeaderName::from_static("smithy-protocol");

/// Every service by the names that requests call it.
pub(crate) struct Routes {
    by_signing_name: HashMap<&'static str, Vec<Arc<Service>>>,
    by_endpoint: HashMap<&'static str, Vec<Arc<Service>>>,
    by_target: HashMap<&'static str, Arc<Service>>,
    by_service_id: HashMap<String, Arc<Service>>,
    uris: HashMap<&'static str, Router>,
}

/// What a request turned out to be.
pub(crate) struct Target {
    pub(crate) service: Arc<Service>,
    pub(crate) protocol: Protocol,
    pub(crate) op: &'static OperationSpec,
    /// Decoded labels of the URI template.
    pub(crate) labels: Vec<(&'static str, String)>,
}

/// Why there is no operation for a request.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The protocol names an operation that the model does not have.
    UnknownOperation(String),
    /// Nothing in the request names one.
    NoOperation,
    /// The path or query cannot be read.
    Unreadable(Error),
    /// A REST request that no URI template fits.
    NoRoute,
}

impl Routes {
    pub(crate) fn new(cloud: &Cloud) -> Self {
        let mut routes = Self {
            by_signing_name: HashMap::new(),
            by_endpoint: HashMap::new(),
            by_target: HashMap::new(),
            by_service_id: HashMap::new(),
            uris: HashMap::new(),
        };
        for service in cloud.services() {
            let spec = service.spec;
            let signing = routes.by_signing_name.entry(spec.signing_name);
            signing.or_default().push(Arc::clone(service));
            let endpoint = routes.by_endpoint.entry(spec.endpoint_prefix);
            endpoint.or_default().push(Arc::clone(service));
            if let Some(target) = spec.target_prefix {
                routes.by_target.insert(target, Arc::clone(service));
            }
            let id = spec.service_id.replace(' ', "");
            routes.by_service_id.insert(id, Arc::clone(service));
            if is_rest(spec.protocols) {
                routes.uris.insert(spec.name, Router::new(spec));
            }
        }
        routes
    }

    /// The service that a request is for. `scope` is the service name it was signed for; `version`
    /// the API version of a query request, which alone tells some siblings apart.
    pub(crate) fn service(
        &self,
        parts: &Parts,
        host: Host<'_>,
        scope: Option<&str>,
        version: Option<&str>,
    ) -> Option<&Arc<Service>> {
        if let Some((prefix, _)) = target(parts) {
            return self.by_target.get(prefix);
        }
        if let Some((id, _)) = rpc(parts) {
            return self.by_service_id.get(id);
        }
        let among = match (scope, host) {
            (Some(scope), _) => self.by_signing_name.get(scope)?,
            (None, Host::Api(prefix)) => self.by_endpoint.get(prefix)?,
            // S3 alone answers callers without a name on addresses that name no API.
            (None, _) if version.is_none() => self.by_endpoint.get("s3")?,
            (None, _) => return self.by_version(version),
        };
        among
            .iter()
            .find(|service| version == Some(service.spec.api_version))
            .or_else(|| among.first())
    }

    fn by_version(&self, version: Option<&str>) -> Option<&Arc<Service>> {
        let mut all = self.by_signing_name.values().flatten();
        all.find(|service| version == Some(service.spec.api_version))
    }

    /// The protocol that a request speaks, of those that its service does.
    pub(crate) fn protocol(service: &Service, parts: &Parts) -> Protocol {
        let spoken = service.spec.protocols;
        let preferred = spoken.first().copied().unwrap_or(Protocol::AwsJson11);
        let one_of = |wanted: &[Protocol]| spoken.iter().copied().find(|p| wanted.contains(p));
        let told = if parts.headers.contains_key(SMITHY) {
            one_of(&[Protocol::RpcV2Cbor])
        } else if parts.headers.contains_key(TARGET) {
            one_of(&[Protocol::AwsJson10, Protocol::AwsJson11])
        } else if is_rest(spoken) {
            one_of(&[Protocol::RestXml, Protocol::RestJson1])
        } else {
            one_of(&[Protocol::AwsQuery, Protocol::Ec2Query])
        };
        told.unwrap_or(preferred)
    }

    /// The operation. `action` is the query protocol's `Action`; `path` is the path-style path.
    pub(crate) fn operation(
        &self,
        service: &Arc<Service>,
        protocol: Protocol,
        parts: &Parts,
        path: &str,
        action: Option<&str>,
    ) -> Result<Target, Lost> {
        let (op, labels) = match protocol {
            Protocol::RestJson1 | Protocol::RestXml => {
                let router = self.uris.get(service.spec.name).ok_or(Lost::NoRoute)?;
                let query = parts.uri.query().unwrap_or_default();
                let route = router
                    .route(&parts.method, path, query, &parts.headers)
                    .map_err(|error| Lost::Unreadable(error.to_error(protocol)))?
                    .ok_or(Lost::NoRoute)?;
                (route.op, route.labels)
            }
            _ => {
                let name = match protocol {
                    Protocol::RpcV2Cbor => rpc(parts).map(|(_, name)| name),
                    Protocol::AwsQuery | Protocol::Ec2Query => action,
                    _ => target(parts).map(|(_, name)| name),
                };
                let name = name.ok_or(Lost::NoOperation)?;
                let mut known = service.spec.operations.iter();
                let op = known
                    .find(|op| op.name == name)
                    .ok_or_else(|| Lost::UnknownOperation(name.to_owned()))?;
                (*op, Vec::new())
            }
        };
        Ok(Target {
            service: Arc::clone(service),
            protocol,
            op,
            labels,
        })
    }
}

pub(crate) fn is_rest(protocols: &[Protocol]) -> bool {
    protocols
        .iter()
        .any(|p| matches!(p, Protocol::RestJson1 | Protocol::RestXml))
}

/// `X-Amz-Target: PREFIX.Operation`
pub(crate) fn target(parts: &Parts) -> Option<(&str, &str)> {
    parts.headers.get(TARGET)?.to_str().ok()?.rsplit_once('.')
}

/// `/service/ID/operation/NAME`
fn rpc(parts: &Parts) -> Option<(&str, &str)> {
    let rest = parts.uri.path().strip_prefix("/service/")?;
    let (id, name) = rest.split_once("/operation/")?;
    parts.headers.contains_key(SMITHY).then_some((id, name))
}
