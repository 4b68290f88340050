//! The instance metadata service (IMDS), as decisions: what an instance is answered that asks about
//! itself at 169.254.169.254. Opens no socket; whoever has one says which network and which address
//! a question came from.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html>

mod credentials;
mod facts;
mod tree;

use std::net::Ipv4Addr;
use std::sync::Arc;

use bytes::Bytes;
use gureum_dispatch::Cloud;

use crate::errors::Result;
use crate::state::Ec2;
pub(crate) use credentials::Leases;
use facts::Facts;

/// How long a session token may live, in seconds.
const TTL: std::ops::RangeInclusive<u32> = 1..=21_600;
/// Where session tokens are asked for.
const TOKEN: &str = "/latest/api/token";

/// A request, as far as it matters.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub method: &'a str,
    /// Without query.
    pub path: &'a str,
    /// `X-aws-ec2-metadata-token`
    pub token: Option<&'a str>,
    /// `X-aws-ec2-metadata-token-ttl-seconds`
    pub ttl: Option<&'a str>,
    /// It has an `X-Forwarded-For`: an open proxy inside passes on what strangers ask.
    pub forwarded: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Bytes,
    /// For how long a token is good, in seconds.
    pub ttl: Option<u32>,
    /// How many hops the reply may make (its IP time to live); as many as it likes when `None`.
    pub hops: Option<u8>,
}

impl Answer {
    fn text(text: impl Into<Bytes>) -> Self {
        Self {
            status: 200,
            content_type: "text/plain",
            body: text.into(),
            ttl: None,
            hops: None,
        }
    }

    /// An error, as a page for people.
    pub fn error(status: u16) -> Self {
        let reason = match status {
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            _ => "Internal Server Error",
        };
        let page = format!(
            "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>\n\
             <!DOCTYPE html PUBLIC \"-//W3C//DTD XHTML 1.0 Transitional//EN\"\n\
             \t\"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd\">\n\
             <html xmlns=\"http://www.w3.org/1999/xhtml\" xml:lang=\"en\" lang=\"en\">\n \
             <head>\n  <title>{status} - {reason}</title>\n </head>\n \
             <body>\n  <h1>{status} - {reason}</h1>\n </body>\n</html>\n"
        );
        Self {
            status,
            content_type: "text/html",
            ..Self::text(page)
        }
    }
}

impl Ec2 {
    /// Answers the instance that has this address in this VPC. `cloud` is asked for its role's
    /// credentials.
    pub async fn metadata(
        &self,
        cloud: &Arc<Cloud>,
        (vpc, from): (&str, Ipv4Addr),
        question: &Question<'_>,
    ) -> Answer {
        let answer = self.respond(cloud, vpc, from, question).await;
        answer.unwrap_or_else(|error| {
            let error = gureum_schema::Error::from(error);
            tracing::warn!(%error, vpc, %from, "cannot answer about metadata");
            Answer::error(500)
        })
    }

    async fn respond(
        &self,
        cloud: &Arc<Cloud>,
        vpc: &str,
        from: Ipv4Addr,
        question: &Question<'_>,
    ) -> Result<Answer> {
        // Nobody has this address any more.
        let Some(mut facts) = Facts::read(&self.store.read(), &self.names, vpc, from)? else {
            return Ok(Answer::error(404));
        };
        if let Err(answer) = self.admit(&facts, question) {
            return Ok(answer);
        }
        let Some(path) = tree::path(question.path) else {
            return Ok(Answer::error(404));
        };
        if tree::is_about_role(&path) {
            facts.role = credentials::role(cloud, &facts.row).await;
        }
        if let Some(role) = facts
            .role
            .as_ref()
            .filter(|role| tree::is_role(&path, role))
        {
            let text = self.credentials(cloud, &facts.row, role).await;
            return Ok(Answer::text(text));
        }
        Ok(match tree::look(&facts, &path) {
            Some(found) => Answer::text(found),
            None => Answer::error(404),
        })
    }

    /// Whether the question may be answered at all; a session token is an answer already.
    fn admit(&self, facts: &Facts, question: &Question<'_>) -> std::result::Result<(), Answer> {
        let options = &facts.row.metadata;
        if !options.enabled {
            return Err(Answer::error(403));
        }
        let now = self.clock.now();
        let scope = format!("ec2:metadata/{}", facts.row.meta.id);
        match (question.method, question.token) {
            ("PUT", _) if question.path == TOKEN => {
                if question.forwarded {
                    return Err(Answer::error(403));
                }
                let ttl = question.ttl.and_then(|text| text.trim().parse().ok());
                let ttl = ttl.filter(|ttl| TTL.contains(ttl));
                let ttl = ttl.ok_or_else(|| Answer::error(400))?;
                let end = now + i64::from(ttl) * 1000;
                Err(Answer {
                    ttl: Some(ttl),
                    hops: u8::try_from(options.hop_limit).ok(),
                    ..Answer::text(self.tokens.seal(&scope, &end.to_be_bytes()))
                })
            }
            ("GET" | "HEAD", Some(token)) => {
                let end = self.tokens.open(&scope, token);
                let end = end.and_then(|bytes| Some(i64::from_be_bytes(bytes.try_into().ok()?)));
                match end {
                    Some(end) if end > now => Ok(()),
                    _ => Err(Answer::error(401)),
                }
            }
            ("GET" | "HEAD", None) if options.tokens_required => Err(Answer::error(401)),
            ("GET" | "HEAD", None) => Ok(()),
            _ => Err(Answer::error(405)),
        }
    }
}
