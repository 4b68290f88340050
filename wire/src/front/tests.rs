//! The door without sockets: requests in, replies out.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use gureum_dispatch::{Ask, Caller, Cloud, Credential, Cx, Identities, Service};
use gureum_kit::{AccountId, Clock, Region};
use gureum_model_sts::op::{GetCallerIdentity, GetSessionToken};
use gureum_model_sts::types::{
    GetCallerIdentityRequest, GetCallerIdentityResponse, GetSessionTokenRequest,
    GetSessionTokenResponse,
};
use gureum_schema::{Body, Result, Timestamp};
use http::Request;

use super::pipeline::Via;
use super::{AuthMode, Door, Options, Resources};
use crate::sigv4::{ContentHash, Request as Signed, Signer};

const SECRET: &str = "secret";
const NOW: i64 = 1_700_000_000_000;

struct Root;

impl Identities for Root {
    fn credential(&self, access_key: &str) -> Result<Option<Credential>> {
        Ok((access_key == "AKIAROOT").then(|| Credential {
            secret: SECRET.into(),
            session_token: None,
            expires: None,
            active: true,
            caller: Arc::new(Caller::root(AccountId::NOBODY)),
        }))
    }

    fn used(&self, _: &Caller, _: &'static str, _: &str, _: Timestamp) {}
}

struct Nothing;

impl Resources for Nothing {
    fn resource<'a>(
        &'a self,
        _: &'a str,
    ) -> Pin<Box<dyn Future<Output = Option<serde_json::Value>> + Send + 'a>> {
        Box::pin(std::future::ready(None))
    }

    fn status(&self) -> serde_json::Value {
        serde_json::json!({})
    }

    fn reset(&self, _: Option<AccountId>) -> Pin<Box<dyn Future<Output = Result<()>> + Send + '_>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What the handlers saw of each request.
#[derive(Default)]
struct Seen(Mutex<Vec<(&'static str, i64)>>);

fn nothing_asked<I>(_: &Seen, _: &Cx, _: &I) -> Result<Vec<Ask>> {
    Ok(Vec::new())
}

async fn look(
    seen: Arc<Seen>,
    cx: Cx,
    _: GetCallerIdentityRequest,
) -> Result<GetCallerIdentityResponse> {
    let mut seen = seen.0.lock().expect("nobody panics here");
    seen.push((cx.request.auth_type, cx.request.signature_age));
    Ok(GetCallerIdentityResponse::default())
}

async fn stumble(
    _: Arc<Seen>,
    _: Cx,
    _: GetSessionTokenRequest,
) -> Result<GetSessionTokenResponse> {
    panic!("on purpose")
}

fn door() -> (Arc<Door>, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let service = Service::builder(&gureum_model_sts::SERVICE, Arc::clone(&seen))
        .op::<GetCallerIdentity, _>(nothing_asked, look)
        .op::<GetSessionToken, _>(nothing_asked, stumble)
        .build();
    let region: Region = "us-east-1".parse().expect("a region");
    let cloud = Cloud::builder(Arc::new(Root), Clock::manual(NOW), region)
        .service(service)
        .build();
    let options = Options {
        auth: AuthMode::Strict,
        domain: "gureum.localhost".into(),
        authority: "127.0.0.1:4566".into(),
        resources: Arc::new(Nothing),
    };
    (Door::new(cloud, options), seen)
}

/// A form that root signed `age` seconds ago.
fn form(action: &str, age: i64) -> Request<Body> {
    let form = format!("Action={action}&Version=2011-06-15");
    let request = Request::post("http://sts.gureum.localhost/")
        .header("host", "sts.gureum.localhost")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(())
        .expect("a request");
    let (mut parts, ()) = request.into_parts();
    let signer = Signer {
        access_key: "AKIAROOT",
        secret: SECRET,
        session_token: None,
        region: "us-east-1",
        service: "sts",
    };
    let hash = ring::digest::digest(&ring::digest::SHA256, form.as_bytes());
    let content = ContentHash::parse(&hex::encode(hash)).expect("a digest");
    let at = Timestamp(NOW - age * 1000);
    let added = signer.sign(Signed::of(&parts), content, at);
    parts.headers.extend(added.expect("header values"));
    Request::from_parts(parts, Body::from(Bytes::from(form)))
}

async fn ask(door: &Arc<Door>, request: Request<Body>) -> (u16, String) {
    let via = Via {
        peer: ([127, 0, 0, 1], 50000).into(),
        local: ([127, 0, 0, 1], 4566).into(),
        gate: None,
        secure: false,
    };
    let reply = Arc::clone(door).answer(request, via).await;
    let status = reply.status().as_u16();
    let body = reply.into_body().collect(1 << 20).await.expect("a body");
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn a_panic_fails_only_its_own_request() {
    let (door, _) = door();
    let (status, body) = ask(&door, form("GetSessionToken", 0)).await;
    assert_eq!(status, 500, "{body}");
    assert!(body.contains("<Code>InternalFailure</Code>"), "{body}");
    assert!(!body.contains("on purpose"), "{body}");
    let (status, body) = ask(&door, form("GetCallerIdentity", 0)).await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn policies_may_ask_how_and_when_it_was_signed() {
    let (door, seen) = door();
    assert_eq!(ask(&door, form("GetCallerIdentity", 90)).await.0, 200);
    let seen = seen.0.lock().expect("nobody panics here");
    assert_eq!(*seen, [("REST-HEADER", 90_000)]);
}

#[tokio::test]
async fn a_signature_from_another_time_is_refused() {
    let (door, seen) = door();
    for age in [301, -301] {
        let (status, body) = ask(&door, form("GetCallerIdentity", age)).await;
        assert_eq!(status, 403, "{body}");
    }
    assert!(seen.0.lock().expect("nobody panics here").is_empty());
}
