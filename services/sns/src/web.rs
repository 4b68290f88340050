//! The certificate, which endpoints fetch from the front door to verify what they got.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use gureum_dispatch::{Cx, Web, WebReply, WebRequest};
use gureum_schema::Body;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};

use crate::signing::PATH;
use crate::state::Sns;

pub(crate) struct Certificates(pub(crate) Arc<Sns>);

impl Web for Certificates {
    /// No bucket has capitals in its name, so nobody else can mean this path.
    fn claims(&self, request: &Parts, _host: &str) -> bool {
        let reads = request.method == Method::GET || request.method == Method::HEAD;
        reads && request.uri.path().starts_with(PATH)
    }

    fn serve(
        &self,
        _cx: Cx,
        request: WebRequest,
    ) -> Pin<Box<dyn Future<Output = WebReply> + Send + '_>> {
        Box::pin(async move {
            let certificate = self.0.signer.certificate(request.uri().path()).await;
            let (status, text) = match certificate {
                Ok(Some(certificate)) => (StatusCode::OK, certificate),
                Ok(None) => (
                    StatusCode::NOT_FOUND,
                    "There is no such certificate.\n".into(),
                ),
                Err(refusal) => {
                    tracing::error!(?refusal, "the certificate cannot be read");
                    let text = "The certificate cannot be read.\n".into();
                    (StatusCode::INTERNAL_SERVER_ERROR, text)
                }
            };
            let mut reply = WebReply::new(Body::from(bytes::Bytes::from(text)));
            *reply.status_mut() = status;
            let kind = HeaderValue::from_static("text/plain; charset=utf-8");
            reply.headers_mut().insert(header::CONTENT_TYPE, kind);
            reply
        })
    }
}
