//! The cloud's own pages under `/_gureum/`: health, resources, coverage, status, reset.

use std::future::Future;
use std::pin::Pin;

use gureum_dispatch::CallerKind;
use gureum_kit::AccountId;
use gureum_schema::{Body, Result};
use http::{Method, Response, StatusCode, header};
use serde_json::{Value, json};

use super::host::{self, Host};
use super::pipeline::Visit;
use super::{AuthMode, Door, insider};
use crate::sigv4::{Claim, Family, Request};

/// What the program behind the door can tell about itself.
pub trait Resources: Send + Sync + 'static {
    /// Pids, namespaces, directories and addresses of a resource, by ARN or id.
    fn resource<'a>(
        &'a self,
        id: &'a str,
    ) -> Pin<Box<dyn Future<Output = Option<Value>> + Send + 'a>>;

    /// Background work: reconcilers with their last run, error and next run.
    fn status(&self) -> Value;

    /// Deletes everything, or everything of one account.
    fn reset(
        &self,
        account: Option<AccountId>,
    ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + '_>>;
}

impl Door {
    pub(crate) async fn page(&self, visit: &Visit, page: &str) -> Response<Body> {
        let method = &visit.parts.method;
        let known = matches!(page, "health" | "coverage" | "status" | "reset")
            || page.starts_with("resources/");
        match page {
            "health" if is_read(method) => reply(StatusCode::OK, &self.health()),
            "coverage" if is_read(method) => reply(StatusCode::OK, &self.coverage()),
            "reset" if method == Method::POST => self.reset(visit).await,
            "status" if is_read(method) => match self.insider(visit) {
                true => reply(StatusCode::OK, &self.status()),
                false => forbidden(),
            },
            _ if page.starts_with("resources/") && is_read(method) => {
                self.resource(visit, page).await
            }
            _ if known => error(
                StatusCode::METHOD_NOT_ALLOWED,
                "This page does not take that method.",
            ),
            _ => error(
                StatusCode::NOT_FOUND,
                "No such page. There are health, status, resources/ID, coverage and reset.",
            ),
        }
    }

    fn health(&self) -> Value {
        let services = self
            .cloud
            .services()
            .map(|service| (service.spec.name.to_owned(), json!("ready")));
        json!({
            "status": "ready",
            "version": env!("CARGO_PKG_VERSION"),
            "services": services.collect::<serde_json::Map<_, _>>(),
        })
    }

    /// Operation by operation: implemented or not, and the parameters that are refused.
    fn coverage(&self) -> Value {
        let services = self.cloud.services().map(|service| {
            let operations = service.spec.operations.iter().map(|spec| {
                let told = match service.op(spec.name) {
                    Some(op) if op.refused.is_empty() => json!({"status": "implemented"}),
                    Some(op) => json!({"status": "implemented", "parameters_refused": op.refused}),
                    None => json!({"status": "not implemented"}),
                };
                (spec.name.to_owned(), told)
            });
            let operations: serde_json::Map<_, _> = operations.collect();
            (service.spec.name.to_owned(), Value::Object(operations))
        });
        Value::Object(services.collect())
    }

    fn status(&self) -> Value {
        use std::sync::atomic::Ordering::Relaxed;
        let services = self.cloud.services().map(|service| {
            let operations = service
                .ops()
                .filter(|op| op.counters.calls.load(Relaxed) > 0);
            let operations = operations.map(|op| {
                let calls = op.counters.calls.load(Relaxed);
                let told = json!({
                    "calls": calls,
                    "client_errors": op.counters.client_errors.load(Relaxed),
                    "server_errors": op.counters.server_errors.load(Relaxed),
                    "mean_micros": op.counters.nanos.load(Relaxed) / calls.max(1) / 1000,
                });
                (op.spec.name.to_owned(), told)
            });
            let told = json!({
                "state": "ready",
                "implemented": service.ops().count(),
                "operations": operations.collect::<serde_json::Map<_, _>>(),
            });
            (service.spec.name.to_owned(), told)
        });
        let services: serde_json::Map<_, _> = services.collect();
        let mut status = self.options.resources.status();
        status["services"] = Value::Object(services);
        status["version"] = json!(env!("CARGO_PKG_VERSION"));
        status["auth"] = json!(match self.options.auth {
            AuthMode::Strict => "strict",
            AuthMode::Relaxed { .. } => "relaxed",
        });
        status
    }

    async fn resource(&self, visit: &Visit, page: &str) -> Response<Body> {
        if !self.insider(visit) {
            return forbidden();
        }
        let id = page.trim_start_matches("resources/");
        let id = percent_encoding::percent_decode_str(id).decode_utf8_lossy();
        match self.options.resources.resource(&id).await {
            Some(found) => reply(StatusCode::OK, &found),
            None => error(
                StatusCode::NOT_FOUND,
                &format!("No resource is known as {id}."),
            ),
        }
    }

    async fn reset(&self, visit: &Visit) -> Response<Body> {
        if !matches!(self.options.auth, AuthMode::Relaxed { .. }) {
            return error(
                StatusCode::FORBIDDEN,
                "Reset over HTTP is for `--auth relaxed` only. Use `gureum reset`.",
            );
        }
        if is_foreign(visit) {
            return forbidden();
        }
        let query = visit.parts.uri.query().unwrap_or_default();
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        let account = match pairs.find(|(name, _)| name == "account") {
            None => None,
            Some((_, text)) => match text.parse() {
                Ok(account) => Some(account),
                Err(_) => {
                    return error(
                        StatusCode::BAD_REQUEST,
                        "account: twelve digits are wanted.",
                    );
                }
            },
        };
        match self.options.resources.reset(account).await {
            Ok(()) => reply(StatusCode::OK, &json!({"status": "reset"})),
            Err(failure) => {
                let status = StatusCode::from_u16(failure.status);
                let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                error(status, &failure.message)
            }
        }
    }

    /// Signed by root, or sent over loopback by a process of the same user as ours.
    fn insider(&self, visit: &Visit) -> bool {
        // A browser can be led to loopback under a stranger's name, and then runs his scripts.
        let at_home = host::read(&visit.host, &self.options.domain) == Host::Door;
        if at_home && !is_foreign(visit) && insider::is_own_user(&visit.via) {
            return true;
        }
        let Ok(claim @ Some(_)) = Claim::parse(Request::of(&visit.parts)) else {
            return false;
        };
        let proof = self.prove(claim, &visit.parts, Some(b""), Family::Query, visit.now);
        proof.is_ok_and(|proof| proof.caller.kind == CallerKind::Root)
    }
}

/// Sent by a browser in the name of another site.
fn is_foreign(visit: &Visit) -> bool {
    let site = visit.parts.headers.get("sec-fetch-site");
    site.is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"))
}

fn is_read(method: &Method) -> bool {
    method == Method::GET || method == Method::HEAD
}

fn reply(status: StatusCode, value: &Value) -> Response<Body> {
    let mut text = serde_json::to_vec_pretty(value).unwrap_or_default();
    text.push(b'\n');
    let mut reply = Response::new(Body::from(bytes::Bytes::from(text)));
    *reply.status_mut() = status;
    let kind = http::HeaderValue::from_static("application/json");
    reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    reply
}

fn error(status: StatusCode, message: &str) -> Response<Body> {
    reply(status, &json!({"error": message}))
}

fn forbidden() -> Response<Body> {
    error(
        StatusCode::FORBIDDEN,
        "Only root (signed) or the cloud's own user on this machine may see this.",
    )
}
