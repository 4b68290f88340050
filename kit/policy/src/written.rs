//! What a statement says, as texts again: for telling people which one decided.

use crate::document::{Clause, Statement};
use crate::glob;
use crate::principal::Principal;
use crate::variable::Text;

/// One element of a statement, such as `Action` or `NotAction`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// It names what is left out.
    pub negated: bool,
    /// The entries in the order written.
    pub listed: Vec<String>,
}

impl Written {
    fn of<T>(clause: &Clause<T>, text: impl Fn(&T) -> String) -> Self {
        Self {
            negated: clause.negated,
            listed: clause.listed.iter().map(text).collect(),
        }
    }
}

impl Statement {
    /// Whom it speaks of, by name; `None` in identity-based policies.
    pub fn principals(&self) -> Option<Written> {
        let name = |principal: &Principal| principal.name().to_owned();
        self.principals
            .as_ref()
            .map(|clause| Written::of(clause, name))
    }

    pub fn actions(&self) -> Written {
        Written::of(&self.actions, |pattern| glob::text(pattern))
    }

    /// `None` in trust policies.
    pub fn resources(&self) -> Option<Written> {
        self.resources
            .as_ref()
            .map(|clause| Written::of(clause, Text::written))
    }

    /// The keys that conditions ask about, with the values they are compared with.
    pub fn conditions(&self) -> impl Iterator<Item = (&str, &[String])> {
        let conditions = self.conditions.iter();
        conditions.map(|condition| (condition.written_key(), condition.written_values()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Kind, Policy};

    #[test]
    fn a_statement_is_told_as_it_was_written() {
        let text = r#"{"Version": "2012-10-17", "Statement": {
            "Effect": "Deny",
            "Principal": {"AWS": ["arn:aws:iam::111122223333:role/R", "444455556666"]},
            "NotAction": ["ec2:Describe*", "ec2:?etTags"],
            "Resource": "arn:aws:ec2:*:*:instance/${aws:username, 'none'}",
            "Condition": {
                "NumericLessThan": {"ec2:VolumeSize": ["05", 10]},
                "StringEquals": {"ec2:Region": "a*b"}
            }}}"#;
        let policy = Policy::parse(text, Kind::Resource).expect("policy");
        let [statement] = policy.statements() else {
            panic!("one statement")
        };
        let written = |negated, listed: &[&str]| Written {
            negated,
            listed: listed.iter().map(|&entry| entry.into()).collect(),
        };
        assert_eq!(
            statement.principals(),
            Some(written(
                false,
                &["arn:aws:iam::111122223333:role/R", "444455556666"]
            ))
        );
        let actions = written(true, &["ec2:Describe*", "ec2:?etTags"]);
        assert_eq!(statement.actions(), actions);
        let resource = "arn:aws:ec2:*:*:instance/${aws:username, 'none'}";
        assert_eq!(statement.resources(), Some(written(false, &[resource])));
        let conditions: Vec<_> = statement.conditions().collect();
        let expected: [(&str, &[String]); 2] = [
            ("ec2:VolumeSize", &["05".into(), "10".into()]),
            ("ec2:Region", &["a*b".into()]),
        ];
        assert_eq!(conditions, expected);
    }
}
