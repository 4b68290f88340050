//! What can be wrong with a policy document, in the words AWS uses for it.

use std::fmt;

use crate::document::Kind;

/// A policy document was refused.
///
/// `Display` gives AWS's text for the kind of policy. IAM reports it as `MalformedPolicyDocument`,
/// S3 as `MalformedPolicy`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .problem.text(*.kind))]
pub struct ParseError {
    pub kind: Kind,
    pub problem: Problem,
}

/// The sorts of fault in a policy document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Not a JSON object, or one with the same field twice.
    Json,
    /// Longer than [`crate::MAX_DOCUMENT_BYTES`], or some part of it too long or too many.
    TooLarge,
    /// JSON of the wrong shape.
    Syntax,
    UnknownField(String),
    MissingField(&'static str),
    ProhibitedField(&'static str),
    /// Not the 2012 version of the language, where that is asked for.
    Version,
    /// The right shape, but a value that cannot be read: an effect, date, number or ARN.
    Legacy,
    DuplicateSid,
    /// A statement id with characters other than letters and digits.
    Sid,
    /// A resource that is no ARN, with IAM's own words for it.
    Resource(String),
    /// An action without service prefix, or with a bad one, with IAM's own words for it.
    Action(String),
    /// A trust policy about something other than assuming roles.
    TrustAction,
    /// A principal that cannot be one, with its type and value.
    Principal {
        class: String,
        value: String,
    },
}

impl Problem {
    /// Identity-based policies still go through IAM's older checks, which name fewer details.
    fn text(&self, kind: Kind) -> String {
        match kind {
            Kind::Identity => self.identity_text(),
            Kind::Resource => self.resource_text(),
            Kind::Trust => self.to_string(),
        }
    }

    fn identity_text(&self) -> String {
        match self {
            Self::Json | Self::UnknownField(_) => Self::Syntax.to_string(),
            Self::MissingField("Action") => "Policy statement must contain actions.".into(),
            Self::MissingField("Resource") => "Policy statement must contain resources.".into(),
            Self::MissingField(_) => Self::Syntax.to_string(),
            Self::ProhibitedField(_) => "Policy document should not specify a principal.".into(),
            other => other.to_string(),
        }
    }

    fn resource_text(&self) -> String {
        match self {
            Self::Json => "Policies must be valid JSON and the first byte must be '{'".into(),
            Self::Syntax | Self::Version | Self::Legacy => "Invalid policy syntax.".into(),
            Self::Resource(_) => "Policy has invalid resource".into(),
            Self::Action(_) => "Policy has invalid action".into(),
            Self::Principal { .. } => "Invalid principal in policy".into(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json => f.write_str("This policy contains invalid Json"),
            Self::TooLarge => f.write_str("Policy document is too large."),
            Self::Syntax => f.write_str("Syntax errors in policy."),
            Self::UnknownField(field) => write!(f, "Unknown field {field}"),
            Self::MissingField(field) => write!(f, "Missing required field {field}"),
            Self::ProhibitedField(field) => write!(f, "Has prohibited field {field}"),
            Self::Version => f.write_str("Policy document must be version 2012-10-17 or greater."),
            Self::Legacy => f.write_str("The policy failed legacy parsing"),
            Self::DuplicateSid => {
                f.write_str("Statement IDs (SID) in a single policy must be unique.")
            }
            Self::Sid => f.write_str(
                "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the \
                 regular expression [0-9A-Za-z]*",
            ),
            Self::Resource(text) | Self::Action(text) => f.write_str(text),
            Self::TrustAction => {
                f.write_str("AssumeRole policy may only specify STS AssumeRole actions.")
            }
            Self::Principal { class, value } => {
                let class = class.to_ascii_uppercase();
                write!(f, "Invalid principal in policy: \"{class}\":\"{value}\"")
            }
        }
    }
}
