//! EC2's own calls to other services, made when nobody from outside is calling.

use std::sync::Arc;

use gureum_dispatch::{Caller, Cloud, Cx, RequestInfo};
use gureum_kit::Region;

/// What EC2 is called in policies.
pub(crate) const PRINCIPAL: &str = "ec2.amazonaws.com";

/// A call in this caller's name.
pub(crate) fn cx(cloud: &Arc<Cloud>, region: &Region, caller: Caller) -> Cx {
    let request = RequestInfo::inside(PRINCIPAL);
    cloud.cx(Arc::new(caller), region.clone(), request)
}
