//! Cross-origin resource sharing: which pages of other sites browsers may let at a bucket.
//!
//! Source: "Using cross-origin resource sharing (CORS)" in the S3 User Guide.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_s3::types::{
    CORSRule, DeleteBucketCorsOutput, DeleteBucketCorsRequest, GetBucketCorsOutput,
    GetBucketCorsRequest, PutBucketCorsOutput, PutBucketCorsRequest,
};
use serde::{Deserialize, Serialize};

use super::{Document, Reply};
use crate::S3;
use crate::errors::{Code, Result};

const MAX_RULES: usize = 100;
const METHODS: [&str; 5] = ["GET", "PUT", "POST", "DELETE", "HEAD"];

/// The rules in order: the first that fits decides.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Cors(pub(crate) Vec<Rule>);

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Rule {
    id: Option<String>,
    origins: Vec<String>,
    methods: Vec<String>,
    headers: Vec<String>,
    pub(crate) exposed: Vec<String>,
    pub(crate) max_age: Option<i32>,
}

impl Document for Cors {
    const KIND: &'static str = "cors";
}

impl Cors {
    fn read(rules: &[CORSRule]) -> Result<Self> {
        if rules.is_empty() || rules.len() > MAX_RULES {
            return Err(Code::MalformedXML.error());
        }
        rules
            .iter()
            .map(Rule::read)
            .collect::<Result<_>>()
            .map(Self)
    }

    /// The rule for a request from this origin, with the request headers that a preflight names.
    pub(crate) fn find(&self, origin: &str, method: &str, headers: &[&str]) -> Option<&Rule> {
        self.0
            .iter()
            .find(|rule| rule.fits(origin, method, headers))
    }
}

impl Rule {
    fn read(rule: &CORSRule) -> Result<Self> {
        if rule.allowed_methods.is_empty() || rule.allowed_origins.is_empty() {
            return Err(Code::MalformedXML.error());
        }
        for method in &rule.allowed_methods {
            if !METHODS.contains(&method.as_str()) {
                return Err(Code::InvalidRequest.says(format!(
                    "Found unsupported HTTP method in CORS config. Unsupported method is {method}"
                )));
            }
        }
        for origin in &rule.allowed_origins {
            if stars(origin) > 1 {
                return Err(Code::InvalidRequest.says(format!(
                    "AllowedOrigin \"{origin}\" can not have more than one wildcard."
                )));
            }
        }
        let headers = rule.allowed_headers.as_deref().unwrap_or_default();
        for header in headers {
            if stars(header) > 1 {
                return Err(Code::InvalidRequest.says(format!(
                    "AllowedHeader \"{header}\" can not have more than one wildcard."
                )));
            }
        }
        let exposed = rule.expose_headers.clone().unwrap_or_default();
        if let Some(header) = exposed.iter().find(|header| stars(header) > 0) {
            return Err(Code::InvalidRequest.says(format!(
                "ExposeHeader \"{header}\" contains wildcard. We currently do not support wildcard \
                 for ExposeHeader."
            )));
        }
        Ok(Self {
            id: rule.id.clone(),
            origins: rule.allowed_origins.clone(),
            methods: rule.allowed_methods.clone(),
            headers: headers.to_vec(),
            exposed,
            max_age: rule.max_age_seconds,
        })
    }

    fn fits(&self, origin: &str, method: &str, headers: &[&str]) -> bool {
        self.origins.iter().any(|pattern| fits(pattern, origin))
            && self.methods.iter().any(|known| known == method)
            && headers.iter().all(|header| {
                let header = header.to_ascii_lowercase();
                let mut known = self.headers.iter();
                known.any(|pattern| fits(&pattern.to_ascii_lowercase(), &header))
            })
    }

    /// Whether the rule is for every origin alike, so that replies need not name one.
    pub(crate) fn any_origin(&self) -> bool {
        self.origins.iter().any(|origin| origin == "*")
    }

    pub(crate) fn methods(&self) -> String {
        self.methods.join(", ")
    }

    fn shown(self) -> CORSRule {
        let some = |list: Vec<String>| (!list.is_empty()).then_some(list);
        CORSRule {
            id: self.id,
            allowed_headers: some(self.headers),
            allowed_methods: self.methods,
            allowed_origins: self.origins,
            expose_headers: some(self.exposed),
            max_age_seconds: self.max_age,
        }
    }
}

fn stars(text: &str) -> usize {
    text.matches('*').count()
}

/// A pattern with one `*` at most.
fn fits(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, end)) => {
            text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
        }
    }
}

pub(crate) async fn put(
    s3: Arc<S3>,
    _: Cx,
    input: PutBucketCorsRequest,
) -> Reply<PutBucketCorsOutput> {
    let cors = Cors::read(&input.cors_configuration.cors_rules)?;
    s3.put_config(&input.bucket, &cors).await?;
    Ok(PutBucketCorsOutput::default())
}

pub(crate) async fn get(
    s3: Arc<S3>,
    _: Cx,
    input: GetBucketCorsRequest,
) -> Reply<GetBucketCorsOutput> {
    let cors: Option<Cors> = s3.config(&input.bucket)?;
    let cors =
        cors.ok_or_else(|| Code::NoSuchCORSConfiguration.with("BucketName", &input.bucket))?;
    Ok(GetBucketCorsOutput {
        cors_rules: Some(cors.0.into_iter().map(Rule::shown).collect()),
    })
}

pub(crate) async fn delete(
    s3: Arc<S3>,
    _: Cx,
    input: DeleteBucketCorsRequest,
) -> Reply<DeleteBucketCorsOutput> {
    s3.delete_config::<Cors>(&input.bucket).await?;
    Ok(DeleteBucketCorsOutput::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(origins: &[&str], methods: &[&str], headers: &[&str]) -> CORSRule {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        CORSRule {
            allowed_origins: owned(origins),
            allowed_methods: owned(methods),
            allowed_headers: Some(owned(headers)),
            ..Default::default()
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = [
            rule(
                &["https://*.example.com"],
                &["PUT"],
                &["X-Amz-*", "content-type"],
            ),
            rule(&["*"], &["GET"], &[]),
        ];
        let cors = Cors::read(&rules).expect("rules");
        let put = |origin, headers: &[&str]| cors.find(origin, "PUT", headers).is_some();
        assert!(put(
            "https://a.example.com",
            &["x-amz-date", "Content-Type"]
        ));
        assert!(!put("https://a.example.com", &["authorization"]));
        assert!(!put("http://a.example.com", &[]));
        assert!(!put("https://example.com", &[]));
        assert!(cors.find("null", "GET", &[]).is_some_and(Rule::any_origin));
        assert!(cors.find("null", "DELETE", &[]).is_none());
    }

    #[test]
    fn rules_have_known_methods_and_one_wildcard() {
        for wrong in [
            rule(&["*"], &["PATCH"], &[]),
            rule(&["*.*"], &["GET"], &[]),
            rule(&["*"], &["GET"], &["a*b*"]),
            rule(&[], &["GET"], &[]),
            rule(&["*"], &[], &[]),
        ] {
            assert!(Cors::read(&[wrong]).is_err());
        }
        assert!(Cors::read(&[]).is_err());
    }
}
