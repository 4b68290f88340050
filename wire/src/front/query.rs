//! The parameters by which a query-protocol request finds its way, before it is decoded.

use std::borrow::Cow;

use gureum_schema::Body;
use http::request::Parts;
use http::{Method, header};

use super::coding::{Coding, Packed};
use super::refuse::{self, Refusal};

/// A form is this large at most; the longest that AWS takes, a batch of queue messages, is a
/// megabyte before its escapes.
const FORM: usize = 8 << 20;

/// `Action`, `Version` and `QueueUrl`, from the URL and the form.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the form when there is one; the body is given back whole, and as it was sent.
    pub(super) async fn read(parts: &Parts, body: Body) -> Result<(Self, Body), Refusal> {
        let mut query = Self(Vec::new());
        query.keep(parts.uri.query().unwrap_or_default().as_bytes());
        let kind = parts.headers.get(header::CONTENT_TYPE);
        let is_form = parts.method == Method::POST
            && kind.is_some_and(|v| v.as_bytes().starts_with(b"application/x-www-form"));
        if !is_form {
            return Ok((query, body));
        }
        let form = refuse::whole(body, FORM).await.map_err(Refusal::bare)?;
        // A coding that we do not know is refused once it is known whether it is one at all.
        if let Ok(coding) = Coding::of(&parts.headers) {
            let plain = coding.unpack(form.clone(), FORM).map_err(Packed::error);
            query.keep(&plain.map_err(Refusal::bare)?);
        }
        Ok((query, Body::from(form)))
    }

    fn keep(&mut self, form: &[u8]) {
        let wanted = |(name, _): &(Cow<'_, str>, Cow<'_, str>)| {
            matches!(&**name, "Action" | "Version" | "QueueUrl")
        };
        let found = form_urlencoded::parse(form).filter(wanted).take(8);
        self.0
            .extend(found.map(|(name, value)| (name.into_owned(), value.into_owned())));
    }

    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(n, _)| n == name)?;
        Some(value)
    }
}
