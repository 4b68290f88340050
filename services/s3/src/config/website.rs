//! Static website hosting: what a bucket's website answers with. `crate::web::site` serves it.
//!
//! Source: "Hosting a static website using Amazon S3" in the S3 User Guide.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_s3::types::{
    Condition, DeleteBucketWebsiteOutput, DeleteBucketWebsiteRequest, ErrorDocument,
    GetBucketWebsiteOutput, GetBucketWebsiteRequest, IndexDocument, PutBucketWebsiteOutput,
    PutBucketWebsiteRequest, Redirect, RedirectAllRequestsTo, RoutingRule, WebsiteConfiguration,
};
use serde::{Deserialize, Serialize};

use super::{Document, Reply};
use crate::S3;
use crate::errors::{Code, Failure, Result};

const MAX_RULES: usize = 50;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Website {
    /// Everything is somewhere else.
    Elsewhere {
        host: String,
        protocol: Option<String>,
    },
    Pages {
        /// What stands for a folder: `index.html`.
        index: String,
        /// The key of the page for errors of the 4xx class.
        error: Option<String>,
        rules: Vec<Rule>,
    },
}

/// When both conditions hold, the redirect is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) prefix: Option<String>,
    /// The status that the request would otherwise end with.
    pub(crate) status: Option<u16>,
    pub(crate) host: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) code: Option<u16>,
    pub(crate) key: Option<Replace>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Replace {
    /// The condition's prefix by this one.
    Prefix(String),
    Whole(String),
}

impl Document for Website {
    const KIND: &'static str = "website";
}

impl Website {
    fn read(asked: WebsiteConfiguration) -> Result<Self> {
        let WebsiteConfiguration {
            error_document,
            index_document,
            redirect_all_requests_to,
            routing_rules,
        } = asked;
        if let Some(RedirectAllRequestsTo {
            host_name,
            protocol,
        }) = redirect_all_requests_to
        {
            if index_document.is_some() || error_document.is_some() || routing_rules.is_some() {
                return Err(Code::InvalidArgument.says(
                    "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.",
                ));
            }
            return Ok(Self::Elsewhere {
                host: host_name,
                protocol: protocol_of(protocol)?,
            });
        }
        let Some(IndexDocument { suffix }) = index_document else {
            return Err(Failure::argument(
                "IndexDocument",
                "null",
                "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty",
            ));
        };
        if suffix.is_empty() || suffix.contains('/') {
            return Err(Failure::argument(
                "IndexDocument",
                suffix,
                "The IndexDocument Suffix is not well formed",
            ));
        }
        let rules = routing_rules.unwrap_or_default();
        if rules.len() > MAX_RULES {
            return Err(Code::InvalidRequest.says(format!(
                "{} routing rules provided, the number of routing rules in a website configuration \
                 is limited to {MAX_RULES}.",
                rules.len()
            )));
        }
        Ok(Self::Pages {
            index: suffix,
            error: error_document.map(|ErrorDocument { key }| key),
            rules: rules.into_iter().map(Rule::read).collect::<Result<_>>()?,
        })
    }

    fn shown(self) -> GetBucketWebsiteOutput {
        match self {
            Self::Elsewhere { host, protocol } => GetBucketWebsiteOutput {
                redirect_all_requests_to: Some(RedirectAllRequestsTo {
                    host_name: host,
                    protocol,
                }),
                ..Default::default()
            },
            Self::Pages {
                index,
                error,
                rules,
            } => GetBucketWebsiteOutput {
                index_document: Some(IndexDocument { suffix: index }),
                error_document: error.map(|key| ErrorDocument { key }),
                routing_rules: (!rules.is_empty())
                    .then(|| rules.into_iter().map(Rule::shown).collect()),
                ..Default::default()
            },
        }
    }
}

fn protocol_of(protocol: Option<String>) -> Result<Option<String>> {
    match protocol.as_deref() {
        None | Some("http" | "https") => Ok(protocol),
        Some(_) => Err(Code::InvalidRequest
            .says("Invalid protocol, protocol can be http or https. If not defined the protocol will be selected automatically.")),
    }
}

impl Rule {
    fn read(asked: RoutingRule) -> Result<Self> {
        let RoutingRule {
            condition,
            redirect,
        } = asked;
        let condition = condition.unwrap_or_default();
        let status = number(condition.http_error_code_returned_equals, 400..=599, || {
            Code::InvalidRequest
                .says("The provided HTTP error code is not valid. Valid codes are 4XX or 5XX.")
        })?;
        let code = number(redirect.http_redirect_code, 301..=399, || {
            Code::InvalidRequest.says(
                "The provided HTTP redirect code is not valid. Valid codes are 3XX except 300.",
            )
        })?;
        let key = match (redirect.replace_key_prefix_with, redirect.replace_key_with) {
            (Some(_), Some(_)) => {
                return Err(Code::InvalidRequest
                    .says("You can only define ReplaceKeyPrefix or ReplaceKey but not both."));
            }
            (Some(prefix), None) => Some(Replace::Prefix(prefix)),
            (None, Some(key)) => Some(Replace::Whole(key)),
            (None, None) => None,
        };
        Ok(Self {
            prefix: condition.key_prefix_equals,
            status,
            host: redirect.host_name,
            protocol: protocol_of(redirect.protocol)?,
            code,
            key,
        })
    }

    fn shown(self) -> RoutingRule {
        let (prefix, whole) = match self.key {
            Some(Replace::Prefix(prefix)) => (Some(prefix), None),
            Some(Replace::Whole(key)) => (None, Some(key)),
            None => (None, None),
        };
        let conditional = self.prefix.is_some() || self.status.is_some();
        RoutingRule {
            condition: conditional.then(|| Condition {
                http_error_code_returned_equals: self.status.map(|status| status.to_string()),
                key_prefix_equals: self.prefix,
            }),
            redirect: Redirect {
                host_name: self.host,
                http_redirect_code: self.code.map(|code| code.to_string()),
                protocol: self.protocol,
                replace_key_prefix_with: prefix,
                replace_key_with: whole,
            },
        }
    }

    /// Whether the rule is for this key; `status` is what the request would end with, 200 before
    /// anything is known.
    pub(crate) fn fits(&self, key: &str, status: Option<u16>) -> bool {
        self.status == status
            && self
                .prefix
                .as_deref()
                .is_none_or(|prefix| key.starts_with(prefix))
    }

    /// The key that takes the place of `key`.
    pub(crate) fn target(&self, key: &str) -> String {
        match &self.key {
            None => key.to_owned(),
            Some(Replace::Whole(whole)) => whole.clone(),
            Some(Replace::Prefix(prefix)) => {
                let rest = key.strip_prefix(self.prefix.as_deref().unwrap_or_default());
                format!("{prefix}{}", rest.unwrap_or(key))
            }
        }
    }
}

fn number(
    text: Option<String>,
    range: std::ops::RangeInclusive<u16>,
    invalid: impl Fn() -> Failure,
) -> Result<Option<u16>> {
    let Some(text) = text else { return Ok(None) };
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.map(Some).ok_or_else(invalid)
}

pub(crate) async fn put(
    s3: Arc<S3>,
    _: Cx,
    input: PutBucketWebsiteRequest,
) -> Reply<PutBucketWebsiteOutput> {
    let website = Website::read(input.website_configuration)?;
    s3.put_config(&input.bucket, &website).await?;
    Ok(PutBucketWebsiteOutput::default())
}

pub(crate) async fn get(
    s3: Arc<S3>,
    _: Cx,
    input: GetBucketWebsiteRequest,
) -> Reply<GetBucketWebsiteOutput> {
    let website: Option<Website> = s3.config(&input.bucket)?;
    let missing = || Code::NoSuchWebsiteConfiguration.with("BucketName", &input.bucket);
    Ok(website.ok_or_else(missing)?.shown())
}

pub(crate) async fn delete(
    s3: Arc<S3>,
    _: Cx,
    input: DeleteBucketWebsiteRequest,
) -> Reply<DeleteBucketWebsiteOutput> {
    s3.delete_config::<Website>(&input.bucket).await?;
    Ok(DeleteBucketWebsiteOutput::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_replaces_prefix_or_key() {
        let rule = |key| Rule {
            prefix: Some("docs/".to_owned()),
            key,
            ..Default::default()
        };
        let prefix = rule(Some(Replace::Prefix("documents/".to_owned())));
        assert_eq!(prefix.target("docs/a.html"), "documents/a.html");
        assert_eq!(
            rule(Some(Replace::Whole("x".to_owned()))).target("docs/a.html"),
            "x"
        );
        assert_eq!(rule(None).target("docs/a.html"), "docs/a.html");
    }

    #[test]
    fn what_is_put_is_what_is_got() {
        let asked = WebsiteConfiguration {
            index_document: Some(IndexDocument {
                suffix: "index.html".to_owned(),
            }),
            routing_rules: Some(vec![RoutingRule {
                condition: Some(Condition {
                    http_error_code_returned_equals: Some("404".to_owned()),
                    key_prefix_equals: Some("a/".to_owned()),
                }),
                redirect: Redirect {
                    host_name: Some("example.com".to_owned()),
                    http_redirect_code: Some("302".to_owned()),
                    replace_key_prefix_with: Some("b/".to_owned()),
                    ..Default::default()
                },
            }]),
            ..Default::default()
        };
        let website = Website::read(asked.clone()).expect("a website");
        let shown = website.shown();
        assert_eq!(
            format!("{:?}", shown.routing_rules),
            format!("{:?}", asked.routing_rules)
        );
        let slash = WebsiteConfiguration {
            index_document: Some(IndexDocument {
                suffix: "a/b".to_owned(),
            }),
            ..Default::default()
        };
        assert!(Website::read(slash).is_err());
        assert!(Website::read(WebsiteConfiguration::default()).is_err());
    }
}
