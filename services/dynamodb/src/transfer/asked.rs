//! In whose name a job acts when its request is long answered.
//!
//! AWS forwards the caller's access for the time of the job. Here the job remembers the access key
//! that asked, and IAM says at every step who that is and what they may do: so it goes on after a
//! restart, and what is taken from the caller meanwhile is taken from the job. A temporary
//! credential counts as long as IAM knows it, even if it ran out since.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/access_forward_access_sessions.html>

use std::net::IpAddr;
use std::sync::Arc;

use gureum_dispatch::{Cloud, Cx, RequestInfo};
use gureum_kit::Region;
use gureum_schema::Error;
use serde::{Deserialize, Serialize};

use crate::errors::{Refusal, Result};

/// Who asked, and how.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    access_key: String,
    region: Region,
    request: String,
    source_ip: IpAddr,
    secure: bool,
    user_agent: String,
    endpoint: String,
}

impl Asked {
    pub(crate) fn by(cx: &Cx) -> Result<Self> {
        let access_key = cx.caller.access_key.clone().ok_or_else(|| {
            Refusal::NotImplemented("Export and import for callers without an access key".into())
        })?;
        Ok(Self {
            access_key,
            region: cx.region.clone(),
            request: cx.request.id.clone(),
            source_ip: cx.request.source_ip,
            secure: cx.request.secure,
            user_agent: cx.request.user_agent.clone(),
            endpoint: cx.request.endpoint.clone(),
        })
    }

    /// A context to call S3 in, in this region or else the request's.
    pub(crate) fn cx(
        &self,
        cloud: &Arc<Cloud>,
        region: Option<&Region>,
    ) -> gureum_schema::Result<Cx> {
        let known = cloud.identities().credential(&self.access_key)?;
        let known = known
            .filter(|credential| credential.active)
            .ok_or_else(|| {
                Error::new(
                    "InvalidAccessKeyId",
                    403,
                    "The access key that asked for this is no longer valid.",
                )
            })?;
        let request = RequestInfo {
            id: self.request.clone(),
            source_ip: self.source_ip,
            secure: self.secure,
            user_agent: self.user_agent.clone(),
            endpoint: self.endpoint.clone(),
            origin: None,
            auth_type: "REST-HEADER",
            signature_age: 0,
            content_sha256: None,
        };
        let region = region.unwrap_or(&self.region).clone();
        Ok(cloud.cx(known.caller, region, request).via("dynamodb"))
    }
}
