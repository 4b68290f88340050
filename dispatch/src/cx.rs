//! What a handler knows about the call it serves.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use gureum_kit::names::id;
use gureum_kit::{AccountId, Region};
use gureum_policy::Policy;
use gureum_schema::{Error, Operation, Result, Struct, Timestamp};

use crate::ask::Ask;
use crate::authorize::authorize;
use crate::caller::Caller;
use crate::cloud::Cloud;
use crate::denial::Denial;

/// The context of one call: who, where, when, and the way to call on. Cheap to clone.
#[derive(Clone)]
pub struct Cx {
    pub caller: Arc<Caller>,
    pub region: Region,
    /// When the call came in. A handler that needs the time uses this one, so that one call
    /// happens at one moment.
    pub now: Timestamp,
    pub request: Arc<RequestInfo>,
    /// The service that makes this call in the caller's name; see [`Cx::via`].
    pub via: Option<&'static str>,
    pub(crate) endpoint: Option<Arc<VpcEndpoint>>,
    pub(crate) cloud: Arc<Cloud>,
}

/// Facts about the request that policies and replies speak of.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    pub id: String,
    pub source_ip: IpAddr,
    /// It came over TLS.
    pub secure: bool,
    pub user_agent: String,
    /// How this client reaches us, `http://127.0.0.1:4566`; replies that carry URLs begin with it.
    pub endpoint: String,
    /// The client's `Origin`, where it is a browser.
    pub origin: Option<String>,
    /// Presigned, header or no signature at all: `REST-HEADER`, `REST-QUERY-STRING`, `POST`.
    pub auth_type: &'static str,
    /// Milliseconds since the signature was made.
    pub signature_age: i64,
    /// What the signature covers as payload hash, as `s3:x-amz-content-sha256` reports it.
    pub content_sha256: Option<String>,
}

/// A VPC endpoint by which requests come.
#[derive(Clone, Debug)]
pub struct VpcEndpoint {
    /// `vpce-…`, which policies see as `aws:SourceVpce`.
    pub id: String,
    /// `vpc-…`, the network that it belongs to; `aws:SourceVpc`.
    pub vpc: String,
    pub policy: Arc<Policy>,
}

impl RequestInfo {
    /// A call that comes from no client: a service does something by itself, as `s3.amazonaws.com`.
    pub fn inside(principal: &str) -> Self {
        Self {
            id: id::request(),
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            secure: true,
            user_agent: principal.to_owned(),
            endpoint: "http://localhost".to_owned(),
            origin: None,
            auth_type: "REST-HEADER",
            signature_age: 0,
            content_sha256: None,
        }
    }
}

impl Cx {
    pub fn account(&self) -> &AccountId {
        &self.caller.account
    }

    pub fn cloud(&self) -> &Arc<Cloud> {
        &self.cloud
    }

    /// The policies that decide over this call whatever it is about: the caller's, and that of the VPC
    /// endpoint by which it came.
    pub fn policies(&self) -> impl Iterator<Item = &Arc<Policy>> {
        let policies = &self.caller.policies;
        let limits = policies.boundary.iter();
        let limits = limits.chain(policies.session.iter().flatten());
        let of_caller = policies.identity.iter().chain(limits);
        let of_endpoint = self.endpoint.iter().map(|endpoint| &endpoint.policy);
        of_caller.map(|(_, policy)| policy).chain(of_endpoint)
    }

    /// Whether the caller may do this as well: for replies that say more to those who may know
    /// more. What an operation needs is asked before its handler runs.
    pub fn allows(&self, ask: &Ask) -> bool {
        self.demand(ask, |_| ()).is_ok()
    }

    /// What an operation finds out only as it runs that it needs: `denied` words the refusal.
    pub fn demand<E>(&self, ask: &Ask, denied: impl FnOnce(&Denial<'_>) -> E) -> Result<(), E> {
        authorize(self, ask, denied)
    }

    /// The same call, as one that came through this VPC endpoint: whatever it asks for, the
    /// endpoint's policy must allow as well.
    #[must_use]
    pub fn through(self, endpoint: Option<VpcEndpoint>) -> Self {
        Self {
            endpoint: endpoint.map(Arc::new),
            ..self
        }
    }

    /// The same moment and region, with somebody else as the caller: a service acting through its
    /// service-linked role, or a delivery made in the name of another service. What is done then
    /// came through no VPC endpoint.
    #[must_use]
    pub fn as_caller(&self, caller: Arc<Caller>) -> Self {
        Self {
            caller,
            endpoint: None,
            ..self.clone()
        }
    }

    /// The same caller, with this service (`s3`) making the calls on their behalf: storing an
    /// object calls `kms:GenerateDataKey` in the name of whoever stores it. Policies see it as
    /// `aws:ViaAWSService`, and those of KMS keys as `kms:ViaService`; of a VPC endpoint, by which
    /// only the caller's own request came, they see nothing.
    ///
    /// <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_forward_access_sessions.html>
    #[must_use]
    pub fn via(&self, service: &'static str) -> Self {
        Self {
            via: Some(service),
            endpoint: None,
            ..self.clone()
        }
    }

    #[must_use]
    pub fn in_region(&self, region: Region) -> Self {
        Self {
            region,
            ..self.clone()
        }
    }

    /// Calls another operation, authorized and audited like a call from outside.
    pub async fn call<O: Operation>(&self, input: O::In) -> Result<O::Out> {
        let absent = || Error::not_implemented(format!("{}:{}", O::SERVICE.name, O::SPEC.name));
        let service = self.cloud.service(O::SERVICE.name).ok_or_else(absent)?;
        let op = service.op(O::SPEC.name).ok_or_else(absent)?;
        let cloud = Arc::clone(&self.cloud);
        let out: Box<dyn Struct> = cloud
            .call(self.clone(), &service, op, Box::new(input))
            .await?;
        let out: Box<dyn std::any::Any> = out;
        match out.downcast::<O::Out>() {
            Ok(out) => Ok(*out),
            Err(_) => Err(Error::internal(format!(
                "{} answered with another type than it declares",
                O::SPEC.name
            ))),
        }
    }
}
