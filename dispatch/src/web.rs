//! Plain web requests that belong to a service: websites, preflights, posted forms.
//!
//! These are not operations of a model, so they skip the protocols, but they are decided by the
//! same policies and reach the same handlers.

use std::future::Future;
use std::pin::Pin;

use gureum_schema::{Body, Error};

use crate::cx::Cx;

pub type WebRequest = http::Request<Body>;
pub type WebReply = http::Response<Body>;

/// Something that answers HTTP in a service's name.
pub trait Web: Send + Sync + 'static {
    /// Whether this request is ours, told by method, host (lower case, no port) and path.
    fn claims(&self, request: &http::request::Parts, host: &str) -> bool;

    fn serve(
        &self,
        cx: Cx,
        request: WebRequest,
    ) -> Pin<Box<dyn Future<Output = WebReply> + Send + '_>>;

    /// Headers to add to the reply of an operation of this service (CORS).
    fn decorate(&self, cx: &Cx, request: &http::request::Parts, reply: &mut http::HeaderMap) {
        let _ = (cx, request, reply);
    }

    /// Learns what became of an operation of this service that came in through the front door
    /// (S3's access log). Must not wait.
    fn served(
        &self,
        cx: &Cx,
        request: &http::request::Parts,
        outcome: std::result::Result<&WebReply, &Error>,
    ) {
        let _ = (cx, request, outcome);
    }
}

/// The fields of a browser's form that came before its file, in the extensions of a [`WebRequest`]
/// whose body is the file. The signature in the form, if there was one, has been verified.
#[derive(Clone, Debug, Default)]
pub struct FormFields(pub Vec<(String, String)>);

impl FormFields {
    /// Field names are compared without case.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.0.iter();
        let (_, value) = fields.find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        Some(value)
    }
}
