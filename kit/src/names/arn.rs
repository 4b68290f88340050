//! Amazon Resource Names: `arn:partition:service:region:account:resource`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{AccountId, NameError, Region};

/// An ARN, in its six parts. Region and account are empty where a service leaves them out (IAM has
/// no region, S3 buckets have neither). The resource keeps its colons and slashes.
///
/// Shape: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Arn {
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub partition: String,
    /// The service's namespace, such as `sqs`.
    pub service: String,
    /// The region code, or empty.
    pub region: String,
    /// The account id, or empty.
    pub account: String,
    /// The rest, such as `user/ann` or `stack/name/uuid`; its structure is the service's own.
    pub resource: String,
}

/// The longest ARN that is read. AWS documents 2048 bytes for the longest kind, S3 object ARNs
/// with their 1024-byte keys included.
const MAX_LEN: usize = 2048;

impl Arn {
    /// The ARN of a regional resource.
    pub fn new(
        service: &str,
        region: &Region,
        account: &AccountId,
        resource: impl Into<String>,
    ) -> Arn {
        Arn {
            partition: region.partition().to_owned(),
            service: service.to_owned(),
            region: region.to_string(),
            account: account.to_string(),
            resource: resource.into(),
        }
    }

    /// The ARN of a resource without a region, as IAM's: `arn:aws:iam::123456789012:user/ann`.
    pub fn global(service: &str, account: &AccountId, resource: impl Into<String>) -> Arn {
        Arn {
            account: account.to_string(),
            ..Arn::bare(service, resource)
        }
    }

    /// The ARN of a resource without region and account, as S3's: `arn:aws:s3:::bucket/key`.
    pub fn bare(service: &str, resource: impl Into<String>) -> Arn {
        Arn {
            partition: "aws".to_owned(),
            service: service.to_owned(),
            region: String::new(),
            account: String::new(),
            resource: resource.into(),
        }
    }
}

impl FromStr for Arn {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Arn, NameError> {
        let wrong = || {
            NameError::new(
                text,
                "an ARN (arn:partition:service:region:account:resource)",
            )
        };
        if text.len() > MAX_LEN {
            return Err(wrong());
        }
        let mut parts = text.splitn(6, ':');
        let mut part = || parts.next().ok_or_else(wrong);
        if part()? != "arn" {
            return Err(wrong());
        }
        let (partition, service) = (part()?, part()?);
        let (region, account, resource) = (part()?, part()?, part()?);
        if partition.is_empty() || service.is_empty() || resource.is_empty() {
            return Err(wrong());
        }
        Ok(Arn {
            partition: partition.to_owned(),
            service: service.to_owned(),
            region: region.to_owned(),
            account: account.to_owned(),
            resource: resource.to_owned(),
        })
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Arn {
            partition,
            service,
            region,
            account,
            resource,
        } = self;
        write!(f, "arn:{partition}:{service}:{region}:{account}:{resource}")
    }
}

impl fmt::Debug for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for Arn {
    type Error = NameError;

    fn try_from(text: String) -> Result<Arn, NameError> {
        text.parse()
    }
}

impl From<Arn> for String {
    fn from(arn: Arn) -> String {
        arn.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_three_common_shapes() {
        let account: AccountId = "123456789012".parse().expect("account");
        let region: Region = "eu-west-1".parse().expect("region");
        let shown = |arn: Arn| arn.to_string();
        assert_eq!(
            shown(Arn::new("sqs", &region, &account, "q")),
            "arn:aws:sqs:eu-west-1:123456789012:q"
        );
        assert_eq!(
            shown(Arn::global("iam", &account, "user/a")),
            "arn:aws:iam::123456789012:user/a"
        );
        assert_eq!(shown(Arn::bare("s3", "b/k:1")), "arn:aws:s3:::b/k:1");
    }

    #[test]
    fn what_is_not_an_arn_is_refused() {
        for wrong in [
            "",
            "arn",
            "arn:aws:sqs:eu-west-1:1",
            "urn:aws:sqs:::q",
            "arn::sqs:::q",
            "arn:aws:s3:::",
        ] {
            assert!(wrong.parse::<Arn>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn printing_and_parsing_are_inverse(
            service in "[a-z0-9-]{1,12}", region in "[a-z0-9-]{0,12}",
            account in "[0-9]{0,12}", resource in "[ -~]{1,60}",
        ) {
            let arn = Arn { partition: "aws".into(), service, region, account, resource };
            prop_assert_eq!(arn.to_string().parse::<Arn>(), Ok(arn));
        }
    }
}
