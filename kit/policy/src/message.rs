//! The text of a refusal, in the form AWS gives it: programs and people search for these phrases.
//!
//! Source: IAM User Guide, "Troubleshoot access denied error messages".

use std::fmt::Write as _;

use crate::evaluate::{Decision, Reason, Source};

impl Source {
    /// The sort of policy as messages call it.
    fn phrase(self) -> &'static str {
        match self {
            Self::Identity => "identity-based policy",
            Self::Boundary => "permissions boundary",
            Self::Session => "session policy",
            Self::Resource => "resource-based policy",
            Self::Endpoint => "VPC endpoint policy",
        }
    }
}

impl Decision<'_> {
    /// Tells the caller what was refused and which sort of policy is the cause.
    ///
    /// An empty `resource` leaves the resource out, as operations that have none do in some
    /// services. An allowed request has no cause to tell; the text then names just the request.
    pub fn message(&self, caller_arn: &str, action: &str, resource: &str) -> String {
        let mut text = format!("User: {caller_arn} is not authorized to perform: {action}");
        // Writing to a String cannot fail.
        if !resource.is_empty() {
            let _ = write!(text, " on resource: {resource}");
        }
        let _ = match self.reason {
            Reason::ExplicitDeny { by } => {
                let article = if by == Source::Identity { "an" } else { "a" };
                write!(text, " with an explicit deny in {article} {}", by.phrase())
            }
            Reason::ImplicitDeny { missing } => {
                write!(
                    text,
                    " because no {} allows the {action} action",
                    missing.phrase()
                )
            }
            Reason::Allow { .. } => Ok(()),
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(reason: Reason) -> String {
        let decision = Decision {
            allowed: false,
            reason,
            matched: Vec::new(),
        };
        let arn = "arn:aws:iam::111122223333:user/ann";
        decision.message(arn, "s3:GetObject", "arn:aws:s3:::b/k")
    }

    #[test]
    fn every_refusal_names_its_cause() {
        let prefix = "User: arn:aws:iam::111122223333:user/ann is not authorized to perform: \
                      s3:GetObject on resource: arn:aws:s3:::b/k ";
        let (deny, missing) = (
            |by| Reason::ExplicitDeny { by },
            |missing| Reason::ImplicitDeny { missing },
        );
        for (reason, cause) in [
            (
                missing(Source::Identity),
                "because no identity-based policy allows the s3:GetObject action",
            ),
            (
                missing(Source::Boundary),
                "because no permissions boundary allows the s3:GetObject action",
            ),
            (
                missing(Source::Session),
                "because no session policy allows the s3:GetObject action",
            ),
            (
                missing(Source::Resource),
                "because no resource-based policy allows the s3:GetObject action",
            ),
            (
                missing(Source::Endpoint),
                "because no VPC endpoint policy allows the s3:GetObject action",
            ),
            (
                deny(Source::Identity),
                "with an explicit deny in an identity-based policy",
            ),
            (
                deny(Source::Boundary),
                "with an explicit deny in a permissions boundary",
            ),
            (
                deny(Source::Session),
                "with an explicit deny in a session policy",
            ),
            (
                deny(Source::Resource),
                "with an explicit deny in a resource-based policy",
            ),
            (
                deny(Source::Endpoint),
                "with an explicit deny in a VPC endpoint policy",
            ),
        ] {
            assert_eq!(message(reason), format!("{prefix}{cause}"));
        }
    }

    #[test]
    fn the_resource_can_be_left_out() {
        let reason = Reason::ImplicitDeny {
            missing: Source::Identity,
        };
        let decision = Decision {
            allowed: false,
            reason,
            matched: Vec::new(),
        };
        assert_eq!(
            decision.message(
                "arn:aws:iam::111122223333:user/ann",
                "ec2:DescribeInstances",
                ""
            ),
            "User: arn:aws:iam::111122223333:user/ann is not authorized to perform: \
             ec2:DescribeInstances because no identity-based policy allows the \
             ec2:DescribeInstances action"
        );
    }
}
