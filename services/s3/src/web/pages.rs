//! What people and browsers see when something is wrong.

use std::fmt::Write as _;

use bytes::Bytes;
use gureum_dispatch::{Cx, WebReply};
use gureum_schema::{Body, Error};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};

/// A reply of this status and content; headers that cannot be written are left out.
pub(super) fn reply(
    cx: &Cx,
    status: u16,
    headers: impl IntoIterator<Item = (&'static str, String)>,
    body: Body,
) -> WebReply {
    let mut reply = Response::new(body);
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let own = [
        ("x-amz-request-id", cx.request.id.clone()),
        ("x-amz-id-2", crate::notify::host_id(&cx.request.id)),
        ("server", "AmazonS3".to_owned()),
    ];
    for (name, value) in own.into_iter().chain(headers) {
        set(&mut reply, name, &value);
    }
    reply
}

pub(super) fn set(reply: &mut WebReply, name: &str, value: &str) {
    // Keys and metadata may hold what no header can.
    if let (Ok(name), Ok(value)) = (
        HeaderName::from_bytes(name.as_bytes()),
        HeaderValue::from_bytes(value.as_bytes()),
    ) {
        reply.headers_mut().insert(name, value);
    }
}

/// An error as a page, the way website endpoints answer.
pub(super) fn html(cx: &Cx, error: &Error, further: Option<&Error>, head: bool) -> WebReply {
    let reason = StatusCode::from_u16(error.status).ok();
    let reason = reason
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Error");
    let title = format!("{} {reason}", error.status);
    let mut page =
        format!("<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n<ul>\n");
    for (name, value) in members(cx, error) {
        let _ = writeln!(page, "<li>{name}: {}</li>", escape(&value));
    }
    page.push_str("</ul>\n");
    if let Some(further) = further {
        page.push_str(
            "<h3>An Error Occurred While Attempting to Retrieve a Custom Error Document</h3>\n<ul>\n",
        );
        for (name, value) in members(cx, further)
            .into_iter()
            .take(2 + further.extra.len())
        {
            let _ = writeln!(page, "<li>{name}: {}</li>", escape(&value));
        }
        page.push_str("</ul>\n");
    }
    page.push_str("<hr/>\n</body>\n</html>\n");
    let headers = [
        ("content-type", "text/html; charset=utf-8".to_owned()),
        ("x-amz-error-code", error.code.to_string()),
        ("x-amz-error-message", error.message.clone()),
    ];
    let body = if head {
        Body::absent(u64::try_from(page.len()).ok())
    } else {
        Body::from(Bytes::from(page))
    };
    let mut reply = reply(cx, error.status, headers, body);
    for (name, value) in &error.extra {
        set(&mut reply, &format!("x-amz-error-detail-{name}"), value);
    }
    reply
}

fn members(cx: &Cx, error: &Error) -> Vec<(&'static str, String)> {
    let mut members = vec![
        ("Code", error.code.to_string()),
        ("Message", error.message.clone()),
    ];
    members.extend(error.extra.iter().cloned());
    members.push(("RequestId", cx.request.id.clone()));
    members.push(("HostId", crate::notify::host_id(&cx.request.id)));
    members
}

/// An error as the API answers it.
pub(super) fn xml(cx: &Cx, error: &Error) -> WebReply {
    let mut document = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>".to_owned();
    for (name, value) in members(cx, error) {
        let _ = write!(document, "<{name}>{}</{name}>", escape(&value));
    }
    document.push_str("</Error>");
    document_reply(cx, error.status, document)
}

pub(super) fn document_reply(cx: &Cx, status: u16, document: String) -> WebReply {
    let headers = [("content-type", "application/xml".to_owned())];
    reply(cx, status, headers, Body::from(Bytes::from(document)))
}

/// Text that stands for itself in HTML and XML.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A redirect.
pub(super) fn redirect(cx: &Cx, status: u16, location: &str) -> WebReply {
    let mut reply = reply(cx, status, [], Body::empty());
    set(&mut reply, header::LOCATION.as_str(), location);
    reply
}
