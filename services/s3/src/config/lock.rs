//! Object Lock: a bucket's default retention, and the retention and legal hold of an object.
//!
//! Source: "Locking objects with Object Lock" in the S3 User Guide.

use std::sync::Arc;

use gureum_dispatch::{Ask, Cx};
use gureum_model_s3::types::{
    DefaultRetention, GetObjectLegalHoldOutput, GetObjectLegalHoldRequest,
    GetObjectLockConfigurationOutput, GetObjectLockConfigurationRequest, GetObjectRetentionOutput,
    GetObjectRetentionRequest, ObjectLockConfiguration, ObjectLockLegalHold, ObjectLockRetention,
    ObjectLockRule, PutObjectLegalHoldOutput, PutObjectLegalHoldRequest,
    PutObjectLockConfigurationOutput, PutObjectLockConfigurationRequest, PutObjectRetentionOutput,
    PutObjectRetentionRequest,
};
use gureum_schema::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Document, Reply};
use crate::S3;
use crate::asks::Door;
use crate::errors::{Code, Failure, Result};
use crate::model::{Bucket, Lock, LockMode, Versioning};
use crate::named::{self, NamesObject};

const MAX_DAYS: i32 = 36_500;
const MAX_YEARS: i32 = 100;
const DAY: i64 = 86_400_000;

/// The retention of new objects whose upload says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Retention {
    mode: LockMode,
    span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Span {
    Days(i32),
    Years(i32),
}

impl Document for Retention {
    const KIND: &'static str = "object-lock";
}

impl Retention {
    fn read(asked: &DefaultRetention) -> Result<Self> {
        let mode = mode(asked.mode.as_deref())?.ok_or(Code::MalformedXML)?;
        let (span, count, most) = match (asked.days, asked.years) {
            (Some(days), None) => (Span::Days(days), days, MAX_DAYS),
            (None, Some(years)) => (Span::Years(years), years, MAX_YEARS),
            _ => return Err(Code::MalformedXML.error()),
        };
        if count < 1 {
            return Err(Code::InvalidArgument
                .says("Default retention period must be a positive integer value"));
        }
        if count > most {
            return Err(Code::InvalidArgument.says("Default retention period is too large"));
        }
        Ok(Self { mode, span })
    }

    /// What an object put at `now` gets.
    pub(crate) fn from(self, now: Timestamp) -> (LockMode, Timestamp) {
        let days = match self.span {
            Span::Days(days) => i64::from(days),
            Span::Years(years) => i64::from(years) * 365,
        };
        (self.mode, Timestamp(now.0 + days * DAY))
    }

    fn shown(self) -> DefaultRetention {
        let (days, years) = match self.span {
            Span::Days(days) => (Some(days), None),
            Span::Years(years) => (None, Some(years)),
        };
        DefaultRetention {
            mode: Some(self.mode.name().to_owned()),
            days,
            years,
        }
    }
}

/// A mode from a document, where a wrong one breaks the schema.
fn mode(name: Option<&str>) -> Result<Option<LockMode>> {
    name.map(|name| LockMode::named(name).map_err(|_| Code::MalformedXML.error()))
        .transpose()
}

pub(crate) async fn put_default(
    s3: Arc<S3>,
    _: Cx,
    input: PutObjectLockConfigurationRequest,
) -> Reply<PutObjectLockConfigurationOutput> {
    let asked = input.object_lock_configuration.unwrap_or_default();
    if asked.object_lock_enabled.as_deref() != Some("Enabled") {
        return Err(Code::MalformedXML.error().into());
    }
    let retention = match &asked.rule {
        None => None,
        Some(ObjectLockRule {
            default_retention: Some(asked),
        }) => Some(Retention::read(asked)?),
        Some(_) => return Err(Code::MalformedXML.error().into()),
    };
    s3.configure(&input.bucket, |tx, bucket| {
        if bucket.versioning != Versioning::Enabled {
            return Err(Code::InvalidBucketState.says(
                "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration",
            ));
        }
        bucket.object_lock = true;
        match &retention {
            Some(retention) => super::put(tx, bucket, retention),
            None => super::delete::<Retention>(tx, bucket),
        }
    })
    .await?;
    Ok(PutObjectLockConfigurationOutput::default())
}

pub(crate) async fn get_default(
    s3: Arc<S3>,
    _: Cx,
    input: GetObjectLockConfigurationRequest,
) -> Reply<GetObjectLockConfigurationOutput> {
    let view = s3.store.read();
    let bucket = S3::bucket_in(&view, &input.bucket)?;
    if !bucket.object_lock {
        let missing = Code::ObjectLockConfigurationNotFoundError;
        return Err(missing.with("BucketName", &bucket.name).into());
    }
    let retention: Option<Retention> = super::get(&view, &bucket)?;
    Ok(GetObjectLockConfigurationOutput {
        object_lock_configuration: Some(ObjectLockConfiguration {
            object_lock_enabled: Some("Enabled".to_owned()),
            rule: retention.map(|retention| ObjectLockRule {
                default_retention: Some(retention.shown()),
            }),
        }),
    })
}

fn check_enabled(bucket: &Bucket) -> Result<()> {
    if bucket.object_lock {
        Ok(())
    } else {
        Err(Code::InvalidRequest.says("Bucket is missing Object Lock Configuration"))
    }
}

/// Whether a retention may take the place of another. What is over, anything may follow.
fn may_replace(
    old: &Lock,
    new: Option<(LockMode, Timestamp)>,
    now: Timestamp,
    bypass: bool,
) -> bool {
    let Some((mode, until)) = old.retention.filter(|(_, until)| now < *until) else {
        return true;
    };
    let kept_as_long = |strictest: bool| {
        new.is_some_and(|(to, end)| end >= until && (!strictest || to == LockMode::Compliance))
    };
    match mode {
        LockMode::Compliance => kept_as_long(true),
        LockMode::Governance => bypass || kept_as_long(false),
    }
}

pub(crate) fn put_retention_asks(
    s3: &S3,
    cx: &Cx,
    input: &PutObjectRetentionRequest,
) -> Reply<Vec<Ask>> {
    let retention = input.retention.as_ref();
    let door = Door::of(s3, cx, input)?;
    let (_, key, version) = input.place();
    let ask = door
        .ask_existing("s3:PutObjectRetention", key, version)?
        .key_opt(
            "s3:object-lock-mode",
            retention.and_then(|r| r.mode.as_deref()),
        )
        .key_opt(
            "s3:object-lock-retain-until-date",
            retention.and_then(|r| r.retain_until_date),
        );
    let mut asks = vec![ask];
    if input.bypass_governance_retention == Some(true) {
        asks.push(door.ask_existing("s3:BypassGovernanceRetention", key, version)?);
    }
    Ok(asks)
}

pub(crate) async fn put_retention(
    s3: Arc<S3>,
    cx: Cx,
    input: PutObjectRetentionRequest,
) -> Reply<PutObjectRetentionOutput> {
    let asked = input.retention.clone().unwrap_or_default();
    let wanted = match (mode(asked.mode.as_deref())?, asked.retain_until_date) {
        (Some(mode), Some(until)) => Some((mode, until)),
        (None, None) => None,
        _ => return Err(Code::MalformedXML.error().into()),
    };
    if wanted.is_some_and(|(_, until)| until <= cx.now) {
        let message = "The retain until date must be in the future!";
        return Err(Code::InvalidArgument.says(message).into());
    }
    let bypass = input.bypass_governance_retention == Some(true);
    s3.change_object(&cx, input.place(), None, |_, bucket, version| {
        check_enabled(bucket)?;
        let lock = version
            .object
            .as_mut()
            .map(|object| &mut object.traits.lock);
        let Some(lock) = lock else { return Ok(()) };
        if !may_replace(lock, wanted, cx.now, bypass) {
            return Err(protected());
        }
        lock.retention = wanted;
        Ok(())
    })
    .await?;
    Ok(PutObjectRetentionOutput::default())
}

/// What keeps a locked version from being deleted or let loose.
fn protected() -> Failure {
    Code::AccessDenied.says("Access Denied because object protected by object lock.")
}

pub(crate) fn get_retention_asks(
    s3: &S3,
    cx: &Cx,
    input: &GetObjectRetentionRequest,
) -> Reply<Vec<Ask>> {
    Ok(vec![named::ask(s3, cx, input, "s3:GetObjectRetention")?])
}

fn lock_of(s3: &S3, cx: &Cx, request: &impl NamesObject) -> Result<Lock> {
    let (bucket, version) = s3.find_object(cx, request.place())?;
    check_enabled(&bucket)?;
    Ok(version
        .object
        .map(|object| object.traits.lock)
        .unwrap_or_default())
}

pub(crate) async fn get_retention(
    s3: Arc<S3>,
    cx: Cx,
    input: GetObjectRetentionRequest,
) -> Reply<GetObjectRetentionOutput> {
    let lock = lock_of(&s3, &cx, &input)?;
    let (mode, until) = lock
        .retention
        .ok_or_else(|| Code::NoSuchObjectLockConfiguration.with("Key", &input.key))?;
    Ok(GetObjectRetentionOutput {
        retention: Some(ObjectLockRetention {
            mode: Some(mode.name().to_owned()),
            retain_until_date: Some(until),
        }),
    })
}

pub(crate) fn put_hold_asks(
    s3: &S3,
    cx: &Cx,
    input: &PutObjectLegalHoldRequest,
) -> Reply<Vec<Ask>> {
    let asked = input.legal_hold.as_ref();
    let asked = asked.and_then(|hold| hold.status.as_deref());
    let ask = named::ask(s3, cx, input, "s3:PutObjectLegalHold")?;
    Ok(vec![ask.key_opt("s3:object-lock-legal-hold", asked)])
}

pub(crate) async fn put_hold(
    s3: Arc<S3>,
    cx: Cx,
    input: PutObjectLegalHoldRequest,
) -> Reply<PutObjectLegalHoldOutput> {
    let asked = input.legal_hold.as_ref();
    let asked = asked.and_then(|hold| hold.status.as_deref());
    let held = match asked {
        Some("ON") => true,
        Some("OFF") => false,
        _ => return Err(Code::MalformedXML.error().into()),
    };
    s3.change_object(&cx, input.place(), None, |_, bucket, version| {
        check_enabled(bucket)?;
        if let Some(object) = &mut version.object {
            object.traits.lock.legal_hold = Some(held);
        }
        Ok(())
    })
    .await?;
    Ok(PutObjectLegalHoldOutput::default())
}

pub(crate) fn get_hold_asks(
    s3: &S3,
    cx: &Cx,
    input: &GetObjectLegalHoldRequest,
) -> Reply<Vec<Ask>> {
    Ok(vec![named::ask(s3, cx, input, "s3:GetObjectLegalHold")?])
}

pub(crate) async fn get_hold(
    s3: Arc<S3>,
    cx: Cx,
    input: GetObjectLegalHoldRequest,
) -> Reply<GetObjectLegalHoldOutput> {
    let status = lock_of(&s3, &cx, &input)?
        .legal_hold_shown()
        .ok_or_else(|| Code::NoSuchObjectLockConfiguration.with("Key", &input.key))?;
    Ok(GetObjectLegalHoldOutput {
        legal_hold: Some(ObjectLockLegalHold {
            status: Some(status),
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use LockMode::{Compliance, Governance};

    #[test]
    fn a_retention_gives_way_to_a_stricter_one_only() {
        let at = |day: i64| Timestamp(day * DAY);
        let old = |mode| Lock {
            retention: Some((mode, at(10))),
            legal_hold: None,
        };
        let now = at(5);
        for (mode, new, bypass, expected) in [
            (Compliance, Some((Compliance, at(11))), false, true),
            (Compliance, Some((Compliance, at(9))), true, false),
            (Compliance, Some((Governance, at(20))), true, false),
            (Compliance, None, true, false),
            (Governance, Some((Governance, at(11))), false, true),
            (Governance, Some((Compliance, at(11))), false, true),
            (Governance, Some((Governance, at(9))), false, false),
            (Governance, Some((Governance, at(9))), true, true),
            (Governance, None, true, true),
            (Governance, None, false, false),
        ] {
            assert_eq!(
                may_replace(&old(mode), new, now, bypass),
                expected,
                "{mode:?} {new:?} {bypass}"
            );
        }
        assert!(
            may_replace(&old(Compliance), None, at(10), false),
            "it is over"
        );
    }

    #[test]
    fn a_default_retention_has_one_span() {
        let asked = |days, years| DefaultRetention {
            mode: Some("GOVERNANCE".to_owned()),
            days,
            years,
        };
        assert!(Retention::read(&asked(Some(1), Some(1))).is_err());
        assert!(Retention::read(&asked(None, None)).is_err());
        assert!(Retention::read(&asked(Some(0), None)).is_err());
        assert!(Retention::read(&asked(Some(MAX_DAYS + 1), None)).is_err());
        let retention = Retention::read(&asked(Some(2), None)).expect("two days");
        assert_eq!(
            retention.from(Timestamp(0)),
            (Governance, Timestamp(2 * DAY))
        );
    }
}
