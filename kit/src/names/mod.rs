//! Names: accounts, regions, ARNs, and identifiers in the shapes that AWS gives them.
//! May touch: the operating system's random number generator (for [`id`]).

mod arn;
pub mod id;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use arn::Arn;

/// Why a text is not the name that it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not {expected}")]
pub struct NameError {
    /// The offending text.
    pub text: String,
    /// What a correct one looks like.
    pub expected: &'static str,
}

impl NameError {
    fn new(text: &str, expected: &'static str) -> NameError {
        // Names come from outside: a long one is cut before it lands in logs and replies.
        NameError {
            text: text.chars().take(128).collect(),
            expected,
        }
    }
}

/// An AWS account: twelve decimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId([u8; 12]);

impl AccountId {
    /// The account of callers without one. It parses from nothing, so no real account equals it.
    pub const NOBODY: AccountId = AccountId(*b"-nobody-here");

    /// The account as its twelve digits.
    pub fn as_str(&self) -> &str {
        // Only ASCII digits are ever stored, so the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl AccountId {
    /// The account in S3's access control lists: 64 hexadecimal digits. AWS's are random; ours
    /// must be found again from the account alone.
    pub fn canonical_user(&self) -> String {
        let mut seed = b"canonical user of ".to_vec();
        seed.extend_from_slice(&self.0);
        hex::encode(ring::digest::digest(&ring::digest::SHA256, &seed))
    }
}

impl FromStr for AccountId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<AccountId, NameError> {
        match <[u8; 12]>::try_from(text.as_bytes()) {
            Ok(digits) if digits.iter().all(u8::is_ascii_digit) => Ok(AccountId(digits)),
            _ => Err(NameError::new(text, "an account id of 12 digits")),
        }
    }
}

/// A region code such as `us-east-1`: lower-case letters, digits and hyphens.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(Arc<str>);

impl Region {
    /// The region code.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition that the region belongs to: `aws`, `aws-cn` or `aws-us-gov`.
    pub fn partition(&self) -> &'static str {
        if self.0.starts_with("cn-") {
            "aws-cn"
        } else if self.0.starts_with("us-gov-") {
            "aws-us-gov"
        } else {
            "aws"
        }
    }
}

impl Default for Region {
    /// `us-east-1`, where AWS's global services live.
    fn default() -> Region {
        Region(Arc::from("us-east-1"))
    }
}

impl FromStr for Region {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Region, NameError> {
        let valid = (1..=32).contains(&text.len())
            && text
                .bytes()
                .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
            && !text.starts_with('-')
            && !text.ends_with('-');
        if valid {
            Ok(Region(Arc::from(text)))
        } else {
            Err(NameError::new(text, "a region code"))
        }
    }
}

/// What all names share: they print as themselves and parse from `String` for serde.
macro_rules! text_name {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<$name, NameError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.as_str().to_owned()
            }
        }
        impl PartialEq<str> for $name {
            fn eq(&self, text: &str) -> bool {
                self.as_str() == text
            }
        }
        impl PartialEq<&str> for $name {
            fn eq(&self, text: &&str) -> bool {
                self.as_str() == *text
            }
        }
    )*};
}

text_name!(AccountId Region);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_twelve_digits() {
        let account: AccountId = "000000000123".parse().expect("account");
        assert_eq!(account.to_string(), "000000000123");
        for wrong in [
            "",
            "12345678901",
            "1234567890123",
            "12345678901a",
            "１２３４",
        ] {
            assert!(wrong.parse::<AccountId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn regions_know_their_partition() {
        let partition = |text: &str| text.parse::<Region>().expect("region").partition();
        assert_eq!(partition("eu-central-1"), "aws");
        assert_eq!(partition("cn-north-1"), "aws-cn");
        assert_eq!(partition("us-gov-west-1"), "aws-us-gov");
        for wrong in ["", "EU-WEST-1", "-x", "x-", "eu west"] {
            assert!(wrong.parse::<Region>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn names_are_plain_strings_to_serde() {
        let account: AccountId = "123456789012".parse().expect("account");
        assert_eq!(
            serde_json::to_string(&account).expect("json"),
            "\"123456789012\""
        );
        assert!(serde_json::from_str::<AccountId>("\"12\"").is_err());
        let region: Region = serde_json::from_str("\"ap-northeast-2\"").expect("region");
        assert_eq!(region, "ap-northeast-2");
    }
}
