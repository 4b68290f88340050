//! Carries out lifecycle configurations: what a rule makes due, and the reconciler that does it.
//!
//! Source: "Lifecycle configuration elements" and "Examples of lifecycle configurations" in the S3
//! User Guide.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gureum_kit::reconcile::{Outcome, Reconciler, RunError};
use gureum_kit::{Reader, Scan, Tx};
use gureum_schema::{Timestamp, TimestampFormat};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::S3;
use crate::config;
use crate::config::lifecycle::{DAY, Expiration, Lifecycle, Move, Noncurrent, Rule, When};
use crate::errors::Result;
use crate::model::{Bucket, Current, Object, Past, StorageClass, Upload, Version, Versioning};
use crate::notify::Cause;
use crate::versions;

/// Rows that are read at a time.
const PAGE: usize = 500;

/// Everything falls due at a midnight, and on AWS a day may pass before it is done.
const PERIOD: Duration = Duration::from_secs(600);

/// Objects below it stay in their class unless a rule says otherwise.
const SMALL: u64 = 128 << 10;

/// The midnight (UTC) after so many days.
fn after(from: Timestamp, days: i32) -> Timestamp {
    let later = from.0 + i64::from(days) * DAY;
    Timestamp((later.div_euclid(DAY) + 1) * DAY)
}

impl When {
    fn of(self, from: Timestamp) -> Timestamp {
        match self {
            Self::Days(days) => after(from, days),
            Self::Date(date) => date,
        }
    }
}

impl Lifecycle {
    fn enabled(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter().filter(|rule| rule.enabled)
    }

    fn of<'a>(&'a self, key: &'a str, object: &'a Object) -> impl Iterator<Item = &'a Rule> {
        let fits = move |rule: &&Rule| rule.filter.fits(key, object.size, &object.traits.tags);
        self.enabled().filter(fits)
    }

    /// When the newest version of a key, made at `modified`, expires, and by which rule.
    fn expiry<'a>(
        &'a self,
        key: &'a str,
        modified: Timestamp,
        object: &'a Object,
    ) -> Option<(Timestamp, &'a Rule)> {
        let due = self
            .of(key, object)
            .filter_map(|rule| match rule.expiration {
                Some(Expiration::At(when)) => Some((when.of(modified), rule)),
                _ => None,
            });
        due.min_by_key(|(at, _)| *at)
    }

    /// The class that the newest version should be in by now.
    fn class(&self, version: &Version, now: Timestamp) -> Option<StorageClass> {
        let object = version.object.as_ref()?;
        let rules = self.of(&version.key, object);
        let moves = rules.flat_map(|rule| rule.transitions.iter().map(move |step| (rule, step)));
        let due = moves.filter(|(rule, Move { when, to })| {
            when.of(version.modified) <= now && self.takes(rule, object, *to)
        });
        colder(object.traits.class, due.map(|(_, step)| step.to))
    }

    /// The class of a version that was replaced at `replaced`, by `newer` versions up to now.
    fn noncurrent_class(
        &self,
        version: &Version,
        replaced: Timestamp,
        newer: usize,
        now: Timestamp,
    ) -> Option<StorageClass> {
        let object = version.object.as_ref()?;
        let rules = self.of(&version.key, object);
        let moves = rules.flat_map(|rule| {
            rule.noncurrent_transitions
                .iter()
                .map(move |step| (rule, step))
        });
        let due = moves.filter(|(rule, step)| {
            step.after.is_due(replaced, newer, now) && self.takes(rule, object, step.to)
        });
        colder(object.traits.class, due.map(|(_, step)| step.to))
    }

    /// Whether an object is large enough to move to this class.
    fn takes(&self, rule: &Rule, object: &Object, to: StorageClass) -> bool {
        let sized = rule.filter.greater.is_some() || rule.filter.less.is_some();
        sized || object.size >= SMALL || self.small_to_archive && to.archived()
    }

    /// Whether a version that was replaced is to be removed.
    fn ends_noncurrent(
        &self,
        version: &Version,
        replaced: Timestamp,
        newer: usize,
        now: Timestamp,
    ) -> bool {
        self.enabled().any(|rule| {
            let fits = match &version.object {
                Some(object) => rule
                    .filter
                    .fits(&version.key, object.size, &object.traits.tags),
                None => rule.filter.is_by_key() && rule.filter.fits_key(&version.key),
            };
            fits && rule
                .noncurrent
                .is_some_and(|after| after.is_due(replaced, newer, now))
        })
    }

    /// Whether a delete marker with nothing under it is to be removed.
    fn ends_marker(&self, marker: &Version, now: Timestamp) -> bool {
        self.enabled().any(|rule| {
            rule.filter.is_by_key()
                && rule.filter.fits_key(&marker.key)
                && match rule.expiration {
                    Some(Expiration::Markers) => true,
                    Some(Expiration::At(When::Days(days))) => after(marker.modified, days) <= now,
                    _ => false,
                }
        })
    }

    fn aborts(&self, upload: &Upload, now: Timestamp) -> bool {
        self.enabled().any(|rule| {
            rule.filter.fits_key(&upload.key)
                && rule
                    .abort
                    .is_some_and(|days| after(upload.begun, days) <= now)
        })
    }
}

impl Noncurrent {
    fn is_due(self, replaced: Timestamp, newer: usize, now: Timestamp) -> bool {
        let kept = self.keep.and_then(|keep| usize::try_from(keep).ok());
        after(replaced, self.days) <= now && kept.is_none_or(|kept| newer >= kept)
    }
}

/// The coldest of the classes, if that is colder than the present one. Objects never warm up.
fn colder(
    present: StorageClass,
    wanted: impl Iterator<Item = StorageClass>,
) -> Option<StorageClass> {
    let coldest = wanted.max_by_key(|class| warmth(*class))?;
    (warmth(coldest) > warmth(present)).then_some(coldest)
}

/// The order in which classes follow one another.
///
/// Source: "Transitioning objects using Amazon S3 Lifecycle" in the S3 User Guide.
fn warmth(class: StorageClass) -> u8 {
    match class {
        StorageClass::Standard | StorageClass::ReducedRedundancy => 0,
        StorageClass::StandardIa => 1,
        StorageClass::IntelligentTiering => 2,
        StorageClass::OneZoneIa => 3,
        StorageClass::GlacierIr => 4,
        StorageClass::Glacier => 5,
        StorageClass::DeepArchive => 6,
    }
}

impl S3 {
    /// `x-amz-expiration`: when a rule will end this object, which is the newest version.
    pub(crate) fn expiration(&self, bucket: &Bucket, version: &Version) -> Result<Option<String>> {
        match &version.object {
            Some(object) => self.expiration_of(bucket, version, object),
            None => Ok(None),
        }
    }

    /// The same where the object has been taken out of its version.
    pub(crate) fn expiration_of(
        &self,
        bucket: &Bucket,
        version: &Version,
        object: &Object,
    ) -> Result<Option<String>> {
        let rules = self.rules.get(&self.store, bucket)?;
        let Some(lifecycle) = &rules.lifecycle else {
            return Ok(None);
        };
        let expiry = lifecycle.expiry(&version.key, version.modified, object);
        Ok(expiry.map(|(at, rule)| {
            let date = at.format(TimestampFormat::Rfc822);
            let id = utf8_percent_encode(&rule.id, NON_ALPHANUMERIC);
            format!("expiry-date=\"{date}\", rule-id=\"{id}\"")
        }))
    }
}

/// The reconciler that ends and moves what is due.
pub(crate) struct Ender {
    s3: Arc<S3>,
}

impl Ender {
    pub(crate) fn new(s3: Arc<S3>) -> Self {
        Self { s3 }
    }
}

#[async_trait]
impl Reconciler for Ender {
    fn name(&self) -> &'static str {
        "s3.lifecycle"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn run(&self) -> Result<Outcome, RunError> {
        let now = Timestamp(self.s3.clock.now());
        let mut after: Option<String> = None;
        loop {
            let mut scan = Scan::<Bucket>::all().limit(PAGE);
            if let Some(name) = &after {
                scan = scan.after(name.as_str());
            }
            let view = self.s3.store.read();
            let buckets: Vec<Bucket> = view.scan(scan).collect::<Result<_, _>>()?;
            drop(view);
            let Some(last) = buckets.last() else {
                return Ok(Outcome::Settled);
            };
            after = Some(last.name.clone());
            for bucket in &buckets {
                let run = self.s3.end_in(bucket, now).await;
                run.map_err(gureum_schema::Error::from)?;
            }
        }
    }
}

/// What is left of a version whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The newest version ends as if it had been deleted.
    Expire,
    /// It is removed for good.
    Remove,
    Move(StorageClass),
}

impl S3 {
    /// Carries out one bucket's lifecycle.
    async fn end_in(&self, bucket: &Bucket, now: Timestamp) -> Result<()> {
        let lifecycle: Option<Lifecycle> = config::get(&self.store.read(), bucket)?;
        let Some(lifecycle) = lifecycle.filter(|lifecycle| lifecycle.enabled().next().is_some())
        else {
            return Ok(());
        };
        self.end_newest(bucket, &lifecycle, now).await?;
        if bucket.versioning != Versioning::Never {
            self.end_past(bucket, &lifecycle, now).await?;
        }
        self.abort_uploads(bucket, &lifecycle, now).await
    }

    async fn end_newest(
        &self,
        bucket: &Bucket,
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<()> {
        let mut after: Option<String> = None;
        loop {
            let mut scan = Scan::<Current>::of((bucket.id,)).limit(PAGE);
            if let Some(key) = &after {
                scan = scan.after((bucket.id, key.as_str()));
            }
            let view = self.store.read();
            let page: Vec<Current> = view.scan(scan).collect::<Result<_, _>>()?;
            drop(view);
            let Some(Current(last)) = page.last() else {
                return Ok(());
            };
            after = Some(last.key.clone());
            for Current(version) in page {
                if let Some(fate) = newest_fate(lifecycle, &version, now) {
                    self.carry_out(bucket, &version, fate, now).await?;
                }
            }
        }
    }

    async fn end_past(&self, bucket: &Bucket, lifecycle: &Lifecycle, now: Timestamp) -> Result<()> {
        let mut after: Option<(String, u64)> = None;
        // The key at hand, when its version at hand was replaced, and by how many objects.
        let mut walk = Walk::default();
        loop {
            let mut scan = Scan::<Past>::of((bucket.id,)).limit(PAGE);
            if let Some((key, seq)) = &after {
                scan = scan.after((bucket.id, key.as_str(), !seq));
            }
            let view = self.store.read();
            let page: Vec<Past> = view.scan(scan).collect::<Result<_, _>>()?;
            let Some(Past(last)) = page.last() else {
                return Ok(());
            };
            after = Some((last.key.clone(), last.seq));
            let mut due = Vec::new();
            for Past(version) in page {
                if walk.key.as_deref() != Some(&version.key) {
                    let newest = versions::current(&view, bucket, &version.key)?;
                    walk.begin(&version.key, newest);
                }
                if let Some(fate) = walk.step(lifecycle, &version, now) {
                    due.push((version, fate));
                }
            }
            drop(view);
            for (version, fate) in due {
                self.carry_out(bucket, &version, fate, now).await?;
            }
            self.end_markers(bucket, lifecycle, &mut walk, now).await?;
        }
    }

    /// Removes delete markers, of those seen, that have nothing under them.
    async fn end_markers(
        &self,
        bucket: &Bucket,
        lifecycle: &Lifecycle,
        walk: &mut Walk,
        now: Timestamp,
    ) -> Result<()> {
        for marker in std::mem::take(&mut walk.markers) {
            if lifecycle.ends_marker(&marker, now) && self.is_alone(bucket, &marker)? {
                self.carry_out(bucket, &marker, Fate::Remove, now).await?;
            }
        }
        Ok(())
    }

    /// Whether this delete marker is all there is of its key.
    fn is_alone(&self, bucket: &Bucket, marker: &Version) -> Result<bool> {
        let view = self.store.read();
        let mut rows = view.scan(Scan::<Past>::of((bucket.id, marker.key.as_str())).limit(2));
        let first = rows.next().transpose()?;
        Ok(rows.next().is_none()
            && first.is_some_and(|first| first.0.seq == marker.seq)
            && versions::current(&view, bucket, &marker.key)?.is_none())
    }

    /// Does it, unless the version has changed or is locked.
    async fn carry_out(
        &self,
        bucket: &Bucket,
        version: &Version,
        fate: Fate,
        now: Timestamp,
    ) -> Result<()> {
        self.store
            .transact(|tx| self.carry_out_in(tx, bucket, version, fate, now))
            .await
    }

    fn carry_out_in(
        &self,
        tx: &mut Tx,
        bucket: &Bucket,
        version: &Version,
        fate: Fate,
        now: Timestamp,
    ) -> Result<()> {
        let Some(bucket) = tx
            .get::<Bucket>(bucket.name.as_str())?
            .filter(|b| b.id == bucket.id)
        else {
            return Ok(());
        };
        let Some(mut found) = versions::by_id(tx, &bucket, &version.key, version.id())? else {
            return Ok(());
        };
        let newest = versions::current(tx, &bucket, &version.key)?;
        let is_newest = newest.is_some_and(|newest| newest.seq == version.seq);
        if found.seq != version.seq || fate == Fate::Expire && !is_newest {
            return Ok(());
        }
        let cause = Cause::Lifecycle;
        let locked = found
            .object
            .as_ref()
            .is_some_and(|o| o.traits.lock.holds(now, false));
        match fate {
            Fate::Move(class) => {
                if let Some(object) = &mut found.object {
                    object.traits.class = class;
                }
                versions::rewrite(tx, &bucket, &found)?;
                self.tell_of(tx, cause, &bucket, &found, "LifecycleTransition")
            }
            Fate::Expire if bucket.versioning != Versioning::Never => {
                let owner = &bucket.owner;
                let marker = versions::mark(tx, &bucket, &found.key, owner, now)?;
                let event = "LifecycleExpiration:DeleteMarkerCreated";
                self.tell_of(tx, cause, &bucket, &marker, event)
            }
            Fate::Expire | Fate::Remove if locked => Ok(()),
            Fate::Expire | Fate::Remove => {
                versions::remove(tx, &bucket, &found)?;
                self.tell_of(tx, cause, &bucket, &found, "LifecycleExpiration:Delete")
            }
        }
    }

    async fn abort_uploads(
        &self,
        bucket: &Bucket,
        lifecycle: &Lifecycle,
        now: Timestamp,
    ) -> Result<()> {
        let view = self.store.read();
        let mut due = Vec::new();
        for upload in view.scan(Scan::<Upload>::of((bucket.id,))) {
            let upload = upload?;
            if lifecycle.aborts(&upload, now) {
                due.push(upload);
            }
        }
        drop(view);
        for upload in due {
            let place = (upload.bucket, upload.key.as_str(), upload.id.as_str());
            self.store
                .transact(|tx| -> Result<()> {
                    if tx.has::<Upload>(place)? {
                        tx.delete::<Upload>(place)?;
                        versions::release_parts(tx, &upload.id, |_| false)?;
                    }
                    Ok(())
                })
                .await?;
        }
        Ok(())
    }
}

fn newest_fate(lifecycle: &Lifecycle, version: &Version, now: Timestamp) -> Option<Fate> {
    let object = version.object.as_ref()?;
    match lifecycle.expiry(&version.key, version.modified, object) {
        Some((at, _)) if at <= now => Some(Fate::Expire),
        _ => lifecycle.class(version, now).map(Fate::Move),
    }
}

/// A walk through the past versions of one key after the other, newest first.
#[derive(Default)]
struct Walk {
    key: Option<String>,
    /// When the version behind was made, which is when this one was replaced.
    replaced: Option<Timestamp>,
    /// Noncurrent objects behind.
    newer: usize,
    /// Delete markers that are newest.
    markers: Vec<Version>,
}

impl Walk {
    fn begin(&mut self, key: &str, newest: Option<Version>) {
        self.key = Some(key.to_owned());
        self.replaced = newest.map(|newest| newest.modified);
        self.newer = 0;
    }

    fn step(&mut self, lifecycle: &Lifecycle, version: &Version, now: Timestamp) -> Option<Fate> {
        let Some(replaced) = self.replaced.replace(version.modified) else {
            self.markers.push(version.clone());
            return None;
        };
        let newer = self.newer;
        self.newer += 1;
        if lifecycle.ends_noncurrent(version, replaced, newer, now) {
            return Some(Fate::Remove);
        }
        let class = lifecycle.noncurrent_class(version, replaced, newer, now);
        class.map(Fate::Move)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_end_at_the_next_midnight() {
        let at = |text| Timestamp::parse(text).expect("a time");
        let made = at("2014-01-15T10:30:00Z");
        assert_eq!(after(made, 3), at("2014-01-19T00:00:00Z"));
        assert_eq!(
            after(at("2014-01-15T00:00:00Z"), 1),
            at("2014-01-17T00:00:00Z")
        );
    }

    #[test]
    fn objects_only_get_colder() {
        use StorageClass::{DeepArchive, Glacier, Standard, StandardIa};
        assert_eq!(
            colder(Standard, [StandardIa, Glacier].into_iter()),
            Some(Glacier)
        );
        assert_eq!(colder(DeepArchive, [Glacier].into_iter()), None);
        assert_eq!(colder(Glacier, [].into_iter()), None);
    }

    #[test]
    fn the_newest_noncurrent_versions_are_kept() {
        let rule = Noncurrent {
            days: 1,
            keep: Some(2),
        };
        let late = Timestamp(10 * DAY);
        assert!(!rule.is_due(Timestamp(0), 1, late));
        assert!(rule.is_due(Timestamp(0), 2, late));
        assert!(!rule.is_due(Timestamp(9 * DAY), 2, late));
    }
}
