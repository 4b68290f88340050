//! What objects a lifecycle rule is for, in either of the forms that clients write it.

use gureum_model_s3::types::{LifecycleRule, LifecycleRuleAndOperator, LifecycleRuleFilter, Tag};
use serde::{Deserialize, Serialize};

use super::lifecycle::{malformed, some};
use crate::errors::{Code, Result};

/// What objects a rule is for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Filter {
    pub(crate) prefix: Option<String>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) greater: Option<i64>,
    pub(crate) less: Option<i64>,
    form: Form,
}

/// How a filter was written: clients get it back as they gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Form {
    /// The rule's own prefix, from before there were filters.
    Prefix,
    #[default]
    Filter,
    And,
}

impl Filter {
    pub(super) fn read(rule: &LifecycleRule) -> Result<Self> {
        let tags = |tags: &[Tag]| {
            tags.iter()
                .map(|tag| (tag.key.clone(), tag.value.clone()))
                .collect()
        };
        let filter = match (&rule.prefix, &rule.filter) {
            (Some(prefix), None) => Self {
                prefix: Some(prefix.clone()),
                form: Form::Prefix,
                ..Default::default()
            },
            (
                None,
                Some(LifecycleRuleFilter {
                    and: Some(and),
                    prefix: None,
                    tag: None,
                    ..
                }),
            ) => Self {
                prefix: and.prefix.clone(),
                tags: tags(and.tags.as_deref().unwrap_or_default()),
                greater: and.object_size_greater_than,
                less: and.object_size_less_than,
                form: Form::And,
            },
            (None, Some(filter)) if filter.and.is_none() => {
                let said = [
                    filter.prefix.is_some(),
                    filter.tag.is_some(),
                    filter.object_size_greater_than.is_some(),
                    filter.object_size_less_than.is_some(),
                ];
                if said.iter().filter(|said| **said).count() > 1 {
                    return Err(malformed());
                }
                Self {
                    prefix: filter.prefix.clone(),
                    tags: tags(filter.tag.as_slice()),
                    greater: filter.object_size_greater_than,
                    less: filter.object_size_less_than,
                    form: Form::Filter,
                }
            }
            _ => return Err(malformed()),
        };
        filter.check()?;
        Ok(filter)
    }

    fn check(&self) -> Result<()> {
        if self.form == Form::And {
            let said = self.tags.len()
                + usize::from(self.prefix.is_some())
                + usize::from(self.greater.is_some())
                + usize::from(self.less.is_some());
            if said < 2 {
                return Err(malformed());
            }
        }
        for (at, (name, _)) in self.tags.iter().enumerate() {
            if self.tags[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Code::InvalidRequest.says("Duplicate Tag Keys are not allowed."));
            }
        }
        match (self.greater, self.less) {
            (Some(greater), Some(less)) if greater >= less => Err(Code::InvalidRequest.says(
                "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.",
            )),
            _ => Ok(()),
        }
    }

    pub(crate) fn fits_key(&self, key: &str) -> bool {
        self.prefix
            .as_deref()
            .is_none_or(|prefix| key.starts_with(prefix))
    }

    /// Whether the filter speaks of more than keys.
    pub(crate) fn is_by_key(&self) -> bool {
        self.tags.is_empty() && self.greater.is_none() && self.less.is_none()
    }

    pub(crate) fn fits(&self, key: &str, size: u64, tags: &[(String, String)]) -> bool {
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        self.fits_key(key)
            && self.greater.is_none_or(|least| size > least)
            && self.less.is_none_or(|most| size < most)
            && self.tags.iter().all(|tag| tags.contains(tag))
    }

    pub(super) fn shown(self) -> (Option<String>, Option<LifecycleRuleFilter>) {
        let tag = |(key, value)| Tag { key, value };
        let filter = match self.form {
            Form::Prefix => return (self.prefix, None),
            Form::Filter => LifecycleRuleFilter {
                // A filter for everything reads as the empty prefix.
                prefix: match self.prefix {
                    None if self.tags.is_empty()
                        && self.greater.is_none()
                        && self.less.is_none() =>
                    {
                        Some(String::new())
                    }
                    prefix => prefix,
                },
                tag: self.tags.into_iter().next().map(tag),
                object_size_greater_than: self.greater,
                object_size_less_than: self.less,
                and: None,
            },
            Form::And => LifecycleRuleFilter {
                and: Some(LifecycleRuleAndOperator {
                    prefix: self.prefix,
                    tags: some(self.tags, tag),
                    object_size_greater_than: self.greater,
                    object_size_less_than: self.less,
                }),
                ..Default::default()
            },
        };
        (None, Some(filter))
    }
}

impl std::fmt::Display for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "(prefix={})", self.prefix.as_deref().unwrap_or_default())
    }
}
