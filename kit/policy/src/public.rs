//! Whether a resource-based policy opens a resource to the public.
//!
//! Source: S3 User Guide, "Blocking public access to your Amazon S3 storage", the meaning of
//! "public"; it serves `GetBucketPolicyStatus` and Block Public Access.

use crate::document::{Effect, Policy, Statement};
use crate::glob;
use crate::principal::Principal;
use crate::variable::Text;

/// Keys that tie a grant to someone known when they are held to fixed values.
const IDENTIFYING_KEYS: [&str; 15] = [
    "aws:sourcearn",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:sourceowner",
    "aws:sourceaccount",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:userid",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "s3:dataaccesspointaccount",
    "s3:dataaccesspointarn",
];

impl Policy {
    /// Whether some statement allows everyone, without a condition that ties the grant to fixed
    /// networks, accounts, organizations, resources or principals.
    pub fn is_public(&self) -> bool {
        self.statements.iter().any(Statement::is_public)
    }
}

impl Statement {
    fn is_public(&self) -> bool {
        self.effect == Effect::Allow && self.names_everyone() && !self.is_confined()
    }

    fn names_everyone(&self) -> bool {
        self.principals.as_ref().is_some_and(|clause| {
            clause.negated
                || clause.listed.iter().any(|principal| match principal {
                    Principal::Anyone => true,
                    Principal::Service(name) => &**name == "*",
                    _ => false,
                })
        })
    }

    fn is_confined(&self) -> bool {
        self.conditions.iter().any(|condition| {
            let to_networks = condition
                .confines("aws:sourceip")
                .is_some_and(|networks| !networks.iter().any(|network| network.is_wide()));
            let to_the_known = IDENTIFYING_KEYS.iter().any(|key| {
                condition
                    .pins(key)
                    .is_some_and(|texts| texts.iter().all(|text| identifies(key, text)))
            });
            to_networks || to_the_known
        })
    }
}

/// Whether a condition value names someone: fixed, or free only in a part that does not matter.
fn identifies(key: &str, text: &Text) -> bool {
    let Some(pattern) = text.fixed() else {
        return false;
    };
    match key {
        // Any access point, as long as its account is given: arn:aws:s3:region:ACCOUNT:accesspoint/*
        "s3:dataaccesspointarn" => {
            let account = pattern.split(|&byte| byte == b':').nth(4);
            account.is_some_and(|id| id.len() == 12 && id.iter().all(u8::is_ascii_digit))
        }
        // Any path below one organization: o-…/*
        "aws:principalorgpaths" | "aws:sourceorgpaths" => {
            let end = pattern
                .iter()
                .position(|&byte| byte == b'/')
                .unwrap_or(pattern.len());
            let organization = &pattern[..end];
            text.is_fixed() || (end < pattern.len() && !glob::is_wild(organization))
        }
        _ => text.is_fixed(),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Kind, Policy};

    fn is_public(principal: &str, condition: &str) -> bool {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow",{principal},
               "Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{condition}}}]}}"#
        );
        Policy::parse(&text, Kind::Resource)
            .expect(&text)
            .is_public()
    }

    #[test]
    fn everyone_is_public_and_anyone_in_particular_is_not() {
        for (principal, expected) in [
            (r#""Principal":"*""#, true),
            (r#""Principal":{"AWS":"*"}"#, true),
            (r#""Principal":{"AWS":["111122223333","*"]}"#, true),
            (r#""Principal":{"AWS":"111122223333"}"#, false),
            (r#""Principal":{"Service":"sns.amazonaws.com"}"#, false),
            (r#""NotPrincipal":{"AWS":"111122223333"}"#, true),
        ] {
            assert_eq!(is_public(principal, "{}"), expected, "{principal}");
        }
    }

    #[test]
    fn fixed_conditions_confine() {
        for (condition, expected) in [
            (r#"{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}"#, false),
            (
                r#"{"IpAddress":{"aws:SourceIp":["203.0.113.0/24","0.0.0.0/0"]}}"#,
                true,
            ),
            (r#"{"IpAddress":{"aws:SourceIp":"0.0.0.0/1"}}"#, true),
            (r#"{"IpAddress":{"aws:SourceIp":"2001:db8::/32"}}"#, false),
            (
                r#"{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}"#,
                true,
            ),
            (
                r#"{"IpAddressIfExists":{"aws:SourceIp":"203.0.113.0/24"}}"#,
                true,
            ),
            (
                r#"{"StringEquals":{"aws:SourceVpc":"vpc-91237329"}}"#,
                false,
            ),
            (r#"{"StringLike":{"aws:SourceVpc":"vpc-91237329"}}"#, false),
            (r#"{"StringLike":{"aws:SourceVpc":"vpc-*"}}"#, true),
            (
                r#"{"StringEquals":{"aws:SourceVpc":"${aws:PrincipalTag/vpc}"}}"#,
                true,
            ),
            (
                r#"{"StringNotEquals":{"aws:SourceVpc":"vpc-91237329"}}"#,
                true,
            ),
            (
                r#"{"StringEqualsIfExists":{"aws:SourceVpc":"vpc-91237329"}}"#,
                true,
            ),
            (
                r#"{"ForAllValues:StringEquals":{"aws:SourceVpc":"vpc-91237329"}}"#,
                true,
            ),
            (
                r#"{"ForAnyValue:StringEquals":{"aws:SourceVpc":"vpc-91237329"}}"#,
                false,
            ),
            (
                r#"{"ArnEquals":{"aws:SourceArn":"arn:aws:sns:us-east-1:111122223333:t"}}"#,
                false,
            ),
            (r#"{"ArnLike":{"aws:SourceArn":"arn:aws:sns:*:*:*"}}"#, true),
            (
                r#"{"StringEquals":{"aws:PrincipalOrgID":"o-a1b2c3"}}"#,
                false,
            ),
            (
                r#"{"StringLike":{"aws:PrincipalOrgPaths":"o-a1b2c3/*"}}"#,
                false,
            ),
            (r#"{"StringLike":{"aws:PrincipalOrgPaths":"o-*"}}"#, true),
            (r#"{"StringLike":{"aws:userid":"AROAEXAMPLEID:*"}}"#, true),
            (r#"{"StringEquals":{"aws:userid":"AIDAEXAMPLEID"}}"#, false),
            (
                r#"{"StringLike":{"s3:DataAccessPointArn":"arn:aws:s3:us-east-1:111122223333:accesspoint/*"}}"#,
                false,
            ),
            (
                r#"{"StringLike":{"s3:DataAccessPointArn":"arn:aws:s3:*:*:accesspoint/*"}}"#,
                true,
            ),
            (r#"{"StringEquals":{"s3:prefix":"public/"}}"#, true),
            (r#"{"Bool":{"aws:SecureTransport":"true"}}"#, true),
        ] {
            assert_eq!(
                is_public(r#""Principal":"*""#, condition),
                expected,
                "{condition}"
            );
        }
    }
}
