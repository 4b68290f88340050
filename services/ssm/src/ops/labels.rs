//! LabelParameterVersion, UnlabelParameterVersion.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::Reader;
use gureum_model_ssm::types as t;

use crate::Ssm;
use crate::errors::{Refusal, Result};
use crate::model::ParameterRow;
use crate::names::{self, Named};

/// The most labels of one version.
const LABELS: usize = 10;

/// A label is at one version; naming another moves it.
pub(crate) async fn label_parameter_version(
    ssm: Arc<Ssm>,
    cx: Cx,
    input: t::LabelParameterVersionRequest,
) -> gureum_schema::Result<t::LabelParameterVersionResult> {
    let (good, invalid): (Vec<_>, Vec<_>) = input.labels.into_iter().partition(|l| fits(l));
    let wanted = input.parameter_version;
    let version = ssm
        .change(&cx, &input.name, |row| {
            let version = wanted.unwrap_or(row.version);
            check(row, version)?;
            for label in &good {
                row.labels.insert(label.clone(), version);
            }
            match row.labels_of(version).count() {
                0..=LABELS => Ok(version),
                _ => Err(Refusal::TooManyLabels),
            }
        })
        .await?;
    Ok(t::LabelParameterVersionResult {
        invalid_labels: Some(invalid),
        parameter_version: Some(version),
    })
}

pub(crate) async fn unlabel_parameter_version(
    ssm: Arc<Ssm>,
    cx: Cx,
    input: t::UnlabelParameterVersionRequest,
) -> gureum_schema::Result<t::UnlabelParameterVersionResult> {
    let version = input.parameter_version;
    let (removed, invalid) = ssm
        .change(&cx, &input.name, |row| {
            check(row, version)?;
            let there = |label: &&String| row.labels.get(*label) == Some(&version);
            let (removed, invalid): (Vec<_>, Vec<_>) = input.labels.iter().partition(there);
            let removed: Vec<String> = removed.into_iter().cloned().collect();
            let invalid = invalid.into_iter().cloned().collect();
            row.labels.retain(|label, _| !removed.contains(label));
            Ok((removed, invalid))
        })
        .await?;
    Ok(t::UnlabelParameterVersionResult {
        removed_labels: Some(removed),
        invalid_labels: Some(invalid),
    })
}

fn fits(label: &str) -> bool {
    let lower = label.to_ascii_lowercase();
    let reserved = ["aws", "ssm"]
        .iter()
        .any(|prefix| lower.starts_with(prefix));
    let sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !reserved && !label.starts_with(|c: char| c.is_ascii_digit()) && label.chars().all(sign)
}

fn check(row: &ParameterRow, version: i64) -> Result<()> {
    if (row.oldest..=row.version).contains(&version) {
        return Ok(());
    }
    let which = format!("{version} of parameter {}", row.name);
    Err(Refusal::VersionNotFound(which))
}

impl Ssm {
    /// Changes what stays of a parameter, in one transaction.
    pub(crate) async fn change<T: Send>(
        &self,
        cx: &Cx,
        name: &str,
        mut change: impl FnMut(&mut ParameterRow) -> Result<T> + Send,
    ) -> Result<T> {
        let place = names::place(cx, &Named::read_plain(cx, name)?);
        self.store
            .transact(|tx| {
                let missing = || Refusal::NotFound(name.to_owned());
                let mut row = tx.get::<ParameterRow>(&place)?.ok_or_else(missing)?;
                let value = change(&mut row)?;
                tx.put(&row)?;
                Ok(value)
            })
            .await
    }
}
