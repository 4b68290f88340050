//! EC2's own calls to other services, made when nobody from outside is calling.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use gureum_dispatch::{Caller, Cloud, Cx, RequestInfo};
use gureum_kit::Region;
use gureum_kit::names::id;

/// What EC2 is called in policies.
pub(crate) const PRINCIPAL: &str = "ec2.amazonaws.com";

/// A call in this caller's name.
pub(crate) fn cx(cloud: &Arc<Cloud>, region: &Region, caller: Caller) -> Cx {
    let request = RequestInfo {
        id: id::request(),
        source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        secure: true,
        user_agent: PRINCIPAL.to_owned(),
        endpoint: "http://localhost".to_owned(),
        origin: None,
        auth_type: "REST-HEADER",
        signature_age: 0,
        content_sha256: None,
    };
    cloud.cx(Arc::new(caller), region.clone(), request)
}
