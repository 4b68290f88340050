//! The lifecycle configuration: when objects end or move on. `crate::lifecycle` carries it out.
//!
//! Source: "Managing the lifecycle of objects" in the S3 User Guide, and
//! `PutBucketLifecycleConfiguration` in the API Reference.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_model_s3::types::{
    AbortIncompleteMultipartUpload, DeleteBucketLifecycleOutput, DeleteBucketLifecycleRequest,
    GetBucketLifecycleConfigurationOutput, GetBucketLifecycleConfigurationRequest,
    LifecycleExpiration, LifecycleRule, NoncurrentVersionExpiration, NoncurrentVersionTransition,
    PutBucketLifecycleConfigurationOutput, PutBucketLifecycleConfigurationRequest, Transition,
};
use gureum_schema::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use super::lifecycle_filter::Filter;
use super::{Document, Reply};
use crate::S3;
use crate::errors::{Code, Failure, Result};
use crate::model::StorageClass;

const MAX_RULES: usize = 1000;
const MAX_ID: usize = 255;
pub(crate) const DAY: i64 = 86_400_000;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lifecycle {
    pub(crate) rules: Vec<Rule>,
    /// Objects below 128 KiB move on to the archive classes, though not to others.
    #[serde(default)]
    pub(crate) small_to_archive: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) enabled: bool,
    pub(crate) filter: Filter,
    pub(crate) expiration: Option<Expiration>,
    pub(crate) noncurrent: Option<Noncurrent>,
    pub(crate) transitions: Vec<Move>,
    pub(crate) noncurrent_transitions: Vec<NoncurrentMove>,
    /// Days after which an upload that was not completed is aborted.
    pub(crate) abort: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum When {
    Days(i32),
    Date(Timestamp),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Expiration {
    At(When),
    /// Delete markers with nothing under them.
    Markers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Noncurrent {
    pub(crate) days: i32,
    /// So many of the newest are kept.
    pub(crate) keep: Option<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Move {
    pub(crate) when: When,
    pub(crate) to: StorageClass,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NoncurrentMove {
    pub(crate) after: Noncurrent,
    pub(crate) to: StorageClass,
}

impl Document for Lifecycle {
    const KIND: &'static str = "lifecycle";
}

fn invalid(message: impl Into<String>) -> Failure {
    Code::InvalidArgument.says(message)
}

pub(super) fn malformed() -> Failure {
    Code::MalformedXML.error()
}

impl Lifecycle {
    pub(crate) fn read(asked: &[LifecycleRule], minimum: Option<&str>) -> Result<Self> {
        if asked.is_empty() || asked.len() > MAX_RULES {
            return Err(malformed());
        }
        let small_to_archive = match minimum {
            None | Some("all_storage_classes_128K") => false,
            Some("varies_by_storage_class") => true,
            Some(_) => return Err(malformed()),
        };
        let rules: Vec<Rule> = asked.iter().map(Rule::read).collect::<Result<_>>()?;
        for (at, rule) in rules.iter().enumerate() {
            if rules[..at].iter().any(|earlier| earlier.id == rule.id) {
                return Err(invalid(
                    "Rule ID must be unique. Found same ID for more than one rule",
                ));
            }
        }
        Ok(Self {
            rules,
            small_to_archive,
        })
    }

    pub(crate) fn minimum(&self) -> &'static str {
        if self.small_to_archive {
            "varies_by_storage_class"
        } else {
            "all_storage_classes_128K"
        }
    }
}

impl Rule {
    fn read(asked: &LifecycleRule) -> Result<Self> {
        let id = match asked.id.as_deref() {
            None | Some("") => id::hex_digits(48),
            Some(id) if id.len() > MAX_ID => {
                return Err(invalid("ID length should not exceed allowed limit of 255"));
            }
            Some(id) => id.to_owned(),
        };
        let enabled = match asked.status.as_str() {
            "Enabled" => true,
            "Disabled" => false,
            _ => return Err(malformed()),
        };
        let rule = Self {
            id,
            enabled,
            filter: Filter::read(asked)?,
            expiration: asked.expiration.as_ref().map(expiration).transpose()?,
            noncurrent: asked
                .noncurrent_version_expiration
                .as_ref()
                .map(|asked| noncurrent(asked.noncurrent_days, asked.newer_noncurrent_versions))
                .transpose()?,
            transitions: each(&asked.transitions, transition)?,
            noncurrent_transitions: each(&asked.noncurrent_version_transitions, noncurrent_move)?,
            abort: asked
                .abort_incomplete_multipart_upload
                .as_ref()
                .map(|asked| {
                    positive(
                        asked.days_after_initiation,
                        "AbortIncompleteMultipartUpload",
                    )
                })
                .transpose()?,
        };
        rule.check()?;
        Ok(rule)
    }

    fn check(&self) -> Result<()> {
        let idle = self.expiration.is_none()
            && self.noncurrent.is_none()
            && self.transitions.is_empty()
            && self.noncurrent_transitions.is_empty()
            && self.abort.is_none();
        if idle {
            return Err(
                Code::InvalidRequest.says("At least one action needs to be specified in a rule")
            );
        }
        let Filter {
            tags,
            greater,
            less,
            ..
        } = &self.filter;
        let sized = greater.is_some() || less.is_some();
        let narrow = if tags.is_empty() {
            "Object Size"
        } else {
            "Tags"
        };
        if !tags.is_empty() || sized {
            if self.abort.is_some() {
                return Err(Code::InvalidRequest.says(format!(
                    "AbortIncompleteMultipartUpload cannot be specified with {narrow}."
                )));
            }
            if self.expiration == Some(Expiration::Markers) {
                return Err(Code::InvalidRequest.says(format!(
                    "ExpiredObjectDeleteMarker cannot be specified with {narrow}."
                )));
            }
        }
        self.check_order()
    }

    /// An object must not end before it has moved on.
    fn check_order(&self) -> Result<()> {
        let Some(Expiration::At(end)) = self.expiration else {
            return Ok(());
        };
        for step in &self.transitions {
            let in_order = match (step.when, end) {
                (When::Days(step), When::Days(end)) => step < end,
                (When::Date(step), When::Date(end)) => step < end,
                _ => {
                    return Err(Code::InvalidRequest.says(
                        "Found mixed 'Date' and 'Days' based Expiration and Transition actions in \
                         lifecycle rule",
                    ));
                }
            };
            if !in_order {
                let unit = if matches!(end, When::Days(_)) {
                    "Days"
                } else {
                    "Date"
                };
                return Err(invalid(format!(
                    "'{unit}' in the Expiration action for filter '{}' must be greater than \
                     '{unit}' in the Transition action",
                    self.filter
                )));
            }
        }
        Ok(())
    }

    fn shown(self) -> LifecycleRule {
        let Self {
            filter,
            expiration,
            noncurrent,
            ..
        } = self;
        let (prefix, filter) = filter.shown();
        LifecycleRule {
            id: Some(self.id),
            status: if self.enabled { "Enabled" } else { "Disabled" }.to_owned(),
            prefix,
            filter,
            expiration: expiration.map(show_expiration),
            noncurrent_version_expiration: noncurrent.map(|shown| NoncurrentVersionExpiration {
                noncurrent_days: Some(shown.days),
                newer_noncurrent_versions: shown.keep,
            }),
            transitions: some(self.transitions, |shown| {
                let (days, date) = shown.when.shown();
                Transition {
                    days,
                    date,
                    storage_class: Some(shown.to.name().to_owned()),
                }
            }),
            noncurrent_version_transitions: some(self.noncurrent_transitions, |shown| {
                NoncurrentVersionTransition {
                    noncurrent_days: Some(shown.after.days),
                    newer_noncurrent_versions: shown.after.keep,
                    storage_class: Some(shown.to.name().to_owned()),
                }
            }),
            abort_incomplete_multipart_upload: self.abort.map(|days| {
                AbortIncompleteMultipartUpload {
                    days_after_initiation: Some(days),
                }
            }),
        }
    }
}

fn each<A, B>(list: &Option<Vec<A>>, read: impl Fn(&A) -> Result<B>) -> Result<Vec<B>> {
    list.iter().flatten().map(read).collect()
}

pub(super) fn some<A, B>(list: Vec<A>, show: impl Fn(A) -> B) -> Option<Vec<B>> {
    (!list.is_empty()).then(|| list.into_iter().map(show).collect())
}

fn positive(days: Option<i32>, action: &str) -> Result<i32> {
    match days {
        None => Err(malformed()),
        Some(days) if days < 1 => Err(invalid(format!(
            "'Days' for {action} action must be a positive integer"
        ))),
        Some(days) => Ok(days),
    }
}

impl When {
    fn read(days: Option<i32>, date: Option<Timestamp>, action: &str, least: i32) -> Result<Self> {
        match (days, date) {
            (Some(days), None) if days < least => Err(invalid(if least == 1 {
                format!("'Days' for {action} action must be a positive integer")
            } else {
                format!("'Days' in the {action} action must be nonnegative")
            })),
            (Some(days), None) => Ok(Self::Days(days)),
            (None, Some(date)) if date.0.rem_euclid(DAY) != 0 => {
                Err(invalid("'Date' must be at midnight GMT"))
            }
            (None, Some(date)) => Ok(Self::Date(date)),
            _ => Err(malformed()),
        }
    }

    fn shown(self) -> (Option<i32>, Option<Timestamp>) {
        match self {
            Self::Days(days) => (Some(days), None),
            Self::Date(date) => (None, Some(date)),
        }
    }
}

fn expiration(asked: &LifecycleExpiration) -> Result<Expiration> {
    match asked.expired_object_delete_marker {
        Some(true) if asked.days.is_none() && asked.date.is_none() => Ok(Expiration::Markers),
        None | Some(false) => {
            When::read(asked.days, asked.date, "Expiration", 1).map(Expiration::At)
        }
        Some(true) => Err(malformed()),
    }
}

fn show_expiration(shown: Expiration) -> LifecycleExpiration {
    match shown {
        Expiration::Markers => LifecycleExpiration {
            expired_object_delete_marker: Some(true),
            ..Default::default()
        },
        Expiration::At(when) => {
            let (days, date) = when.shown();
            LifecycleExpiration {
                days,
                date,
                expired_object_delete_marker: None,
            }
        }
    }
}

fn noncurrent(days: Option<i32>, keep: Option<i32>) -> Result<Noncurrent> {
    let days = positive(days, "NoncurrentVersionExpiration")?;
    if keep.is_some_and(|keep| !(1..=100).contains(&keep)) {
        return Err(invalid(
            "'NewerNoncurrentVersions' must be a positive integer no greater than 100",
        ));
    }
    Ok(Noncurrent { days, keep })
}

/// A class that objects may move on to, and the days that AWS wants them to rest before.
fn class(name: Option<&str>) -> Result<(StorageClass, i32)> {
    use StorageClass::{OneZoneIa, ReducedRedundancy, Standard, StandardIa};
    match name.and_then(StorageClass::named) {
        None | Some(Standard | ReducedRedundancy) => Err(malformed()),
        Some(class @ (StandardIa | OneZoneIa)) => Ok((class, 30)),
        Some(class) => Ok((class, 0)),
    }
}

fn check_rest(days: i32, least: i32, to: StorageClass, action: &str) -> Result<()> {
    if days >= least {
        return Ok(());
    }
    Err(invalid(format!(
        "'Days' in {action} action must be greater than or equal to {least} for storageClass '{}'",
        to.name()
    )))
}

fn transition(asked: &Transition) -> Result<Move> {
    let (to, least) = class(asked.storage_class.as_deref())?;
    let when = When::read(asked.days, asked.date, "Transition", 0)?;
    if let When::Days(days) = when {
        check_rest(days, least, to, "Transition")?;
    }
    Ok(Move { when, to })
}

fn noncurrent_move(asked: &NoncurrentVersionTransition) -> Result<NoncurrentMove> {
    let (to, least) = class(asked.storage_class.as_deref())?;
    let days = asked.noncurrent_days.ok_or_else(malformed)?;
    check_rest(days, least, to, "NoncurrentVersionTransition")?;
    let after = Noncurrent {
        days,
        keep: asked.newer_noncurrent_versions,
    };
    Ok(NoncurrentMove { after, to })
}

pub(crate) async fn put(
    s3: Arc<S3>,
    _: Cx,
    input: PutBucketLifecycleConfigurationRequest,
) -> Reply<PutBucketLifecycleConfigurationOutput> {
    let asked = input.lifecycle_configuration.unwrap_or_default();
    let minimum = input.transition_default_minimum_object_size.as_deref();
    let lifecycle = Lifecycle::read(&asked.rules, minimum)?;
    s3.put_config(&input.bucket, &lifecycle).await?;
    Ok(PutBucketLifecycleConfigurationOutput {
        transition_default_minimum_object_size: Some(lifecycle.minimum().to_owned()),
    })
}

pub(crate) async fn get(
    s3: Arc<S3>,
    _: Cx,
    input: GetBucketLifecycleConfigurationRequest,
) -> Reply<GetBucketLifecycleConfigurationOutput> {
    let lifecycle: Option<Lifecycle> = s3.config(&input.bucket)?;
    let missing = || Code::NoSuchLifecycleConfiguration.with("BucketName", &input.bucket);
    let lifecycle = lifecycle.ok_or_else(missing)?;
    Ok(GetBucketLifecycleConfigurationOutput {
        transition_default_minimum_object_size: Some(lifecycle.minimum().to_owned()),
        rules: Some(lifecycle.rules.into_iter().map(Rule::shown).collect()),
    })
}

pub(crate) async fn delete(
    s3: Arc<S3>,
    _: Cx,
    input: DeleteBucketLifecycleRequest,
) -> Reply<DeleteBucketLifecycleOutput> {
    s3.delete_config::<Lifecycle>(&input.bucket).await?;
    Ok(DeleteBucketLifecycleOutput::default())
}

#[cfg(test)]
mod tests {
    use gureum_model_s3::types::{LifecycleRuleAndOperator, LifecycleRuleFilter, Tag};

    use super::*;

    fn rule() -> LifecycleRule {
        LifecycleRule {
            id: Some("one".to_owned()),
            status: "Enabled".to_owned(),
            filter: Some(LifecycleRuleFilter {
                prefix: Some("a/".to_owned()),
                ..Default::default()
            }),
            expiration: Some(LifecycleExpiration {
                days: Some(3),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    fn code(rule: LifecycleRule) -> Option<String> {
        Some(Lifecycle::read(&[rule], None).err()?.code().to_owned())
    }

    #[test]
    fn what_is_put_is_what_is_got() {
        let prefix = LifecycleRule {
            prefix: Some("b".to_owned()),
            filter: None,
            id: Some("two".to_owned()),
            ..rule()
        };
        let and = LifecycleRule {
            id: Some("three".to_owned()),
            filter: Some(LifecycleRuleFilter {
                and: Some(LifecycleRuleAndOperator {
                    prefix: Some("c".to_owned()),
                    tags: Some(vec![Tag {
                        key: "k".to_owned(),
                        value: "v".to_owned(),
                    }]),
                    object_size_greater_than: Some(10),
                    object_size_less_than: None,
                }),
                ..Default::default()
            }),
            ..rule()
        };
        let asked = [rule(), prefix, and];
        let lifecycle = Lifecycle::read(&asked, None).expect("rules");
        let text = serde_json::to_string(&lifecycle).expect("json");
        let back: Lifecycle = serde_json::from_str(&text).expect("back");
        assert_eq!(back, lifecycle);
        for (rule, asked) in back.rules.into_iter().zip(&asked) {
            assert_eq!(format!("{:?}", rule.shown()), format!("{asked:?}"));
        }
    }

    #[test]
    fn faulty_rules_are_refused() {
        assert_eq!(code(rule()), None);
        let days = |days| LifecycleRule {
            expiration: Some(LifecycleExpiration {
                days: Some(days),
                ..Default::default()
            }),
            ..rule()
        };
        assert_eq!(code(days(0)).as_deref(), Some("InvalidArgument"));
        assert_eq!(
            code(LifecycleRule {
                expiration: None,
                ..rule()
            })
            .as_deref(),
            Some("InvalidRequest")
        );
        assert_eq!(
            code(LifecycleRule {
                filter: None,
                ..rule()
            })
            .as_deref(),
            Some("MalformedXML")
        );
        assert_eq!(
            code(LifecycleRule {
                prefix: Some(String::new()),
                ..rule()
            })
            .as_deref(),
            Some("MalformedXML")
        );
        assert_eq!(
            code(LifecycleRule {
                status: "On".to_owned(),
                ..rule()
            })
            .as_deref(),
            Some("MalformedXML")
        );
        let early = LifecycleRule {
            transitions: Some(vec![Transition {
                days: Some(30),
                storage_class: Some("STANDARD_IA".to_owned()),
                date: None,
            }]),
            ..rule()
        };
        assert_eq!(
            code(early.clone()).as_deref(),
            Some("InvalidArgument"),
            "ends before it moves"
        );
        assert_eq!(
            code(LifecycleRule {
                expiration: None,
                ..early
            }),
            None
        );
        let date = LifecycleExpiration {
            date: Some(Timestamp(DAY + 1)),
            ..Default::default()
        };
        assert_eq!(
            code(LifecycleRule {
                expiration: Some(date),
                ..rule()
            })
            .as_deref(),
            Some("InvalidArgument")
        );
        assert!(
            Lifecycle::read(&[rule(), rule()], None).is_err(),
            "the same id twice"
        );
    }
}
