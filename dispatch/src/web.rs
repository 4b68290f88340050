//! Plain web requests that belong to a service: websites, preflights, posted forms.
//!
//! These are not operations of a model, so they skip the protocols, but they are decided by the
//! same policies and reach the same handlers.

use std::future::Future;
use std::pin::Pin;

use gureum_schema::Body;

use crate::cx::Cx;

pub type WebRequest = http::Request<Body>;
pub type WebReply = http::Response<Body>;

/// Something that answers HTTP in a service's name.
pub trait Web: Send + Sync + 'static {
    /// Whether this request is ours, told by method, host (lower case, no port) and path.
    fn claims(&self, request: &http::request::Parts, host: &str) -> bool;

    fn serve(&self, cx: Cx, request: WebRequest) -> Pin<Box<dyn Future<Output = WebReply> + Send + '_>>;

    /// Headers to add to the reply of an operation of this service (CORS).
    fn decorate(&self, cx: &Cx, request: &http::request::Parts, reply: &mut http::HeaderMap) {
        let _ = (cx, request, reply);
    }
}
