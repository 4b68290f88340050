//! The policy of a browser's form: what whoever signed it lets the form say.
//!
//! Source: "POST Policy" in the S3 API Reference.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gureum_schema::Timestamp;
use serde_json::Value;

use crate::errors::{Code, Failure, Result};

/// Fields that no condition needs to mention.
const FREE: [&str; 7] = [
    "policy",
    "file",
    "signature",
    "x-amz-signature",
    "awsaccesskeyid",
    "file-name",
    "file-content-type",
];

/// A policy that has been read.
pub(super) struct FormPolicy {
    expires: Timestamp,
    conditions: Vec<Condition>,
    /// Bytes that the file may have.
    pub(super) length: Option<(u64, u64)>,
}

struct Condition {
    /// Lower case, without `$`.
    field: String,
    value: String,
    /// The field's value only begins with it.
    start: bool,
    /// As it was written, for the refusal.
    text: String,
}

impl FormPolicy {
    /// Reads the form's `policy` field.
    pub(super) fn read(encoded: &str) -> Result<Self> {
        let joined: String = encoded.split_ascii_whitespace().collect();
        let bytes = STANDARD
            .decode(joined)
            .map_err(|_| invalid("Invalid Policy: Invalid Base64."))?;
        let document: Value =
            serde_json::from_slice(&bytes).map_err(|_| invalid("Invalid Policy: Invalid JSON."))?;
        let expires = document["expiration"].as_str().and_then(Timestamp::parse);
        let expires =
            expires.ok_or_else(|| invalid("Invalid Policy: Policy missing expiration."))?;
        let list = document["conditions"].as_array();
        let list = list.ok_or_else(|| invalid("Invalid Policy: Policy missing conditions."))?;
        let mut policy = Self {
            expires,
            conditions: Vec::new(),
            length: None,
        };
        for condition in list {
            policy.add(condition)?;
        }
        Ok(policy)
    }

    fn add(&mut self, condition: &Value) -> Result<()> {
        let malformed = || invalid("Invalid Policy: Invalid Condition.");
        let text = condition.to_string();
        if let Some(members) = condition.as_object() {
            for (field, value) in members {
                let value = value.as_str().ok_or_else(malformed)?.to_owned();
                self.conditions.push(Condition {
                    field: field.to_ascii_lowercase(),
                    value,
                    start: false,
                    text: text.clone(),
                });
            }
            return Ok(());
        }
        let Some([operator, one, two]) = condition.as_array().map(Vec::as_slice) else {
            return Err(malformed());
        };
        let operator = operator
            .as_str()
            .ok_or_else(malformed)?
            .to_ascii_lowercase();
        if operator == "content-length-range" {
            let bound = |value: &Value| {
                value
                    .as_u64()
                    .or_else(|| value.as_str()?.parse().ok())
                    .ok_or_else(malformed)
            };
            self.length = Some((bound(one)?, bound(two)?));
            return Ok(());
        }
        let field = one.as_str().and_then(|field| field.strip_prefix('$'));
        self.conditions.push(Condition {
            field: field.ok_or_else(malformed)?.to_ascii_lowercase(),
            value: two.as_str().ok_or_else(malformed)?.to_owned(),
            start: match operator.as_str() {
                "eq" => false,
                "starts-with" => true,
                _ => return Err(malformed()),
            },
            text,
        });
        Ok(())
    }

    /// Checks a form: every condition holds, and every field is spoken of.
    pub(super) fn check(&self, fields: &[(String, String)], now: Timestamp) -> Result<()> {
        if self.expires <= now {
            return Err(refused("Policy expired."));
        }
        for condition in &self.conditions {
            let values = fields
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case(&condition.field));
            let mut values = values.map(|(_, value)| value.as_str()).peekable();
            let absent = values.peek().is_none();
            if !values.all(|value| condition.holds(value)) || absent && !condition.holds("") {
                return Err(refused(&format!(
                    "Policy Condition failed: {}",
                    condition.text
                )));
            }
        }
        let unknown = fields
            .iter()
            .map(|(name, _)| name.to_ascii_lowercase())
            .find(|name| {
                !FREE.contains(&name.as_str())
                    && !name.starts_with("x-ignore-")
                    && name != "bucket"
                    && !self
                        .conditions
                        .iter()
                        .any(|condition| condition.field == *name)
            });
        match unknown {
            Some(name) => Err(refused(&format!("Extra input fields: {name}"))),
            None => Ok(()),
        }
    }
}

impl Condition {
    fn holds(&self, value: &str) -> bool {
        if self.start {
            value.starts_with(&self.value)
        } else {
            value == self.value
        }
    }
}

fn invalid(message: &str) -> Failure {
    Code::InvalidPolicyDocument.says(message)
}

fn refused(why: &str) -> Failure {
    Code::AccessDenied.says(format!("Invalid according to Policy: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn check(policy: &str, fields: &[(&str, &str)]) -> Result<(), String> {
        let policy = FormPolicy::read(&STANDARD.encode(policy)).expect("a policy");
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let checked = policy.check(&fields, NOW);
        checked.map_err(|failure| gureum_schema::Error::from(failure).message)
    }

    const POLICY: &str = r#"{"expiration":"2100-01-01T00:00:00Z","conditions":[
        {"bucket":"b"},["starts-with","$key","user/"],["eq","$Content-Type","text/plain"],
        ["content-length-range",1,10]]}"#;

    #[test]
    fn every_condition_must_hold_and_every_field_be_known() {
        let good = [
            ("bucket", "b"),
            ("key", "user/a"),
            ("content-type", "text/plain"),
            ("policy", "…"),
        ];
        assert_eq!(check(POLICY, &good), Ok(()));
        let with = |name, value| {
            let mut fields: Vec<_> = good.iter().copied().filter(|(n, _)| *n != name).collect();
            fields.push((name, value));
            check(POLICY, &fields)
        };
        assert!(with("key", "other/a").is_err());
        assert!(with("content-type", "text/html").is_err());
        assert_eq!(
            with("acl", "public-read").unwrap_err(),
            "Invalid according to Policy: Extra input fields: acl"
        );
        assert_eq!(with("x-ignore-me", "1"), Ok(()));
        assert!(
            check(POLICY, &good[..2]).is_err(),
            "a condition on an absent field"
        );
    }

    #[test]
    fn policies_end() {
        let old = r#"{"expiration":"2000-01-01T00:00:00Z","conditions":[]}"#;
        assert_eq!(
            check(old, &[]).unwrap_err(),
            "Invalid according to Policy: Policy expired."
        );
    }

    #[test]
    fn faulty_policies_are_refused() {
        for wrong in [
            "{}",
            r#"{"expiration":"2100-01-01T00:00:00Z"}"#,
            r#"{"expiration":"2100-01-01T00:00:00Z","conditions":[["like","$key","a"]]}"#,
            r#"{"expiration":"2100-01-01T00:00:00Z","conditions":[["eq","key","a"]]}"#,
            r#"{"expiration":"2100-01-01T00:00:00Z","conditions":[["content-length-range","a",1]]}"#,
        ] {
            assert!(
                FormPolicy::read(&STANDARD.encode(wrong)).is_err(),
                "{wrong}"
            );
        }
        assert!(FormPolicy::read("%").is_err());
    }
}
