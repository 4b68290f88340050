//! Versions of launch templates.

use std::collections::BTreeSet;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::Row as _;
use gureum_kit::store::Snapshot;
use gureum_model_ec2::types as t;
use gureum_schema::{Result as Reply, Struct};

use super::launch_templates::{describable, judge, keep};
use crate::describe::Query;
use crate::errors::{Refusal, Result};
use crate::model::launch_template::{LaunchTemplateRow, VersionRow, Which, number};
use crate::mold;
use crate::resource::{Find as _, Here, Resource as _};
use crate::state::{Change, Ec2};

/// The most versions of a template.
const MAX: usize = 10_000;
/// The most versions that one request may name.
const MAX_NAMED: usize = 200;

/// What the new data doesn't say, the source version does.
pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateLaunchTemplateVersionRequest,
) -> Reply<t::CreateLaunchTemplateVersionResult> {
    let (id, name) = (
        input.launch_template_id.as_deref(),
        input.launch_template_name.as_deref(),
    );
    describable(input.version_description.as_deref())?;
    let source = input.source_version.as_deref().map(Which::read);
    let source = source.transpose()?;
    let own = mold::read(&input.launch_template_data);
    let mut warning = None;
    let ids = ec2
        .write_once(
            &cx,
            input.dry_run,
            input.client_token.as_deref(),
            ("CreateLaunchTemplateVersion", &input as &dyn Struct),
            |w| {
                let mut row = LaunchTemplateRow::named(w.tx, w.here, id, name)?;
                let mut data = match source {
                    Some(which) => row.version(w.tx, which)?.data,
                    None => Default::default(),
                };
                data.extend(own.clone());
                warning = judge(&ec2, &data)?;
                if row.versions(w.tx)?.len() >= MAX {
                    return Err(Refusal::limit(
                        "LimitExceeded",
                        "versions of a launch template",
                    ));
                }
                row.given += 1;
                row.latest = row.given;
                w.put(&row)?;
                keep(w, &cx, &row, data, &input.version_description)?;
                let latest = row.latest.to_string();
                Ok(vec![row.meta.id, latest])
            },
        )
        .await?;
    let (snapshot, here) = ec2.read(&cx).await?;
    let [template, version] = &ids[..] else {
        return Err(Refusal::Broken("a version was not remembered".into()))?;
    };
    let row = LaunchTemplateRow::named(&snapshot, &here, Some(template), None)?;
    let version = row.version(&snapshot, Which::read(version)?)?;
    Ok(t::CreateLaunchTemplateVersionResult {
        launch_template_version: Some(version.shape(&row)?),
        warning,
    })
}

/// Of one template all versions, a range or some; or of all templates the default or latest ones.
pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeLaunchTemplateVersionsRequest,
) -> Reply<t::DescribeLaunchTemplateVersionsResult> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let (id, name) = (
        input.launch_template_id.as_deref(),
        input.launch_template_name.as_deref(),
    );
    let named = input.versions.as_deref().unwrap_or_default();
    if named.len() > MAX_NAMED {
        Err(Refusal::wrong("LaunchTemplateVersions", named.len()))?;
    }
    let wanted: Vec<Which> = named
        .iter()
        .map(|it| Which::read(it))
        .collect::<Result<_>>()?;
    let range = (bound(&input.min_version)?, bound(&input.max_version)?);
    if !wanted.is_empty() && range != (None, None) {
        Err(Refusal::combination(
            "Versions cannot be specified together with MinVersion or MaxVersion.",
        ))?;
    }
    let mut found = Vec::new();
    if id.is_some() || name.is_some() {
        let row = LaunchTemplateRow::named(&snapshot, &here, id, name)?;
        found.extend(of_template(&snapshot, &row, &wanted, range)?);
    } else {
        let relative = |which: &Which| !matches!(which, Which::Number(_));
        if wanted.is_empty() || !wanted.iter().all(relative) {
            Err(Refusal::missing("LaunchTemplateId or LaunchTemplateName"))?;
        }
        found.extend(of_all(&snapshot, &here, &wanted)?);
    }
    let shapes = found.into_iter().map(Ok);
    let mut asked: Vec<String> = named.to_vec();
    asked.extend(
        [&input.launch_template_id, &input.launch_template_name]
            .into_iter()
            .flatten()
            .cloned(),
    );
    let query = Query {
        operation: "DescribeLaunchTemplateVersions",
        ids: Some(&asked),
        filters: input.filters.as_ref(),
        max: input.max_results,
        token: input.next_token.as_deref(),
        dry_run: input.dry_run,
    };
    let page = ec2.page(&cx, query, VersionRow::FILTERS, shapes)?;
    Ok(t::DescribeLaunchTemplateVersionsResult {
        launch_template_versions: Some(page.items),
        next_token: page.next,
    })
}

type Range = (Option<u64>, Option<u64>);
/// A version, and where it stands in listings.
type Shown = (String, t::LaunchTemplateVersion);

fn bound(text: &Option<String>) -> Result<Option<u64>> {
    match text.as_deref().map(Which::read).transpose()? {
        None => Ok(None),
        Some(Which::Number(number)) => Ok(Some(number)),
        Some(_) => Err(Refusal::value(
            "A range of versions goes from number to number.",
        )),
    }
}

fn of_template(
    snapshot: &Snapshot,
    row: &LaunchTemplateRow,
    wanted: &[Which],
    (min, max): Range,
) -> Result<Vec<Shown>> {
    let mut numbers = BTreeSet::new();
    for which in wanted {
        numbers.insert(row.version(snapshot, *which)?.number);
    }
    let mut versions = row.versions(snapshot)?;
    versions.retain(|it| wanted.is_empty() || numbers.contains(&it.number));
    versions.retain(|it| min.is_none_or(|min| it.number >= min));
    versions.retain(|it| max.is_none_or(|max| it.number <= max));
    // Newest first.
    versions.reverse();
    versions.iter().map(|version| shown(row, version)).collect()
}

fn of_all(snapshot: &Snapshot, here: &Here, wanted: &[Which]) -> Result<Vec<Shown>> {
    let mut out = Vec::new();
    for row in snapshot.all::<LaunchTemplateRow>(here)? {
        out.extend(of_template(snapshot, &row, wanted, (None, None))?);
    }
    Ok(out)
}

fn shown(row: &LaunchTemplateRow, version: &VersionRow) -> Result<Shown> {
    let position = format!("{} {:020}", row.id(), u64::MAX - version.number);
    Ok((position, version.shape(row)?))
}

/// Each version by itself: some may go while others stay.
pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteLaunchTemplateVersionsRequest,
) -> Reply<t::DeleteLaunchTemplateVersionsResult> {
    let (id, name) = (
        input.launch_template_id.as_deref(),
        input.launch_template_name.as_deref(),
    );
    if input.versions.is_empty() {
        Err(Refusal::missing("LaunchTemplateVersion"))?;
    }
    if input.versions.len() > MAX_NAMED {
        Err(Refusal::wrong(
            "LaunchTemplateVersion",
            input.versions.len(),
        ))?;
    }
    let (gone, kept) = ec2
        .write(&cx, input.dry_run, |w| {
            let mut row = LaunchTemplateRow::named(w.tx, w.here, id, name)?;
            let (mut gone, mut kept) = (Vec::new(), Vec::new());
            for text in &input.versions {
                let Which::Number(version) = Which::read(text)? else {
                    return Err(Refusal::wrong("LaunchTemplateVersion", text));
                };
                match forget(w, &row, version)? {
                    None => gone.push(success(&row, version)),
                    Some(error) => kept.push(failure(&row, version, error)),
                }
            }
            if let Some(newest) = row.versions(w.tx)?.last() {
                row.latest = newest.number;
                w.put(&row)?;
            }
            Ok((gone, kept))
        })
        .await?;
    Ok(t::DeleteLaunchTemplateVersionsResult {
        successfully_deleted_launch_template_versions: Some(gone),
        unsuccessfully_deleted_launch_template_versions: Some(kept),
    })
}

fn forget(
    w: &mut Change<'_>,
    row: &LaunchTemplateRow,
    version: u64,
) -> Result<Option<t::ResponseError>> {
    let error = |code: &str, message: String| t::ResponseError {
        code: Some(code.into()),
        message: Some(message),
    };
    if version == row.default {
        return Ok(Some(error(
            "unexpectedError",
            format!(
                "Cannot delete the default version {version}: make another one the default first."
            ),
        )));
    }
    match row.version(w.tx, Which::Number(version)) {
        Ok(found) => {
            w.tx.delete::<VersionRow>(found.key())?;
            Ok(None)
        }
        Err(Refusal::Sender { message, .. }) => {
            Ok(Some(error("launchTemplateVersionDoesNotExist", message)))
        }
        Err(other) => Err(other),
    }
}

fn success(
    row: &LaunchTemplateRow,
    version: u64,
) -> t::DeleteLaunchTemplateVersionsResponseSuccessItem {
    t::DeleteLaunchTemplateVersionsResponseSuccessItem {
        launch_template_id: Some(row.meta.id.clone()),
        launch_template_name: Some(row.name.clone()),
        version_number: Some(number(version)),
    }
}

fn failure(
    row: &LaunchTemplateRow,
    version: u64,
    error: t::ResponseError,
) -> t::DeleteLaunchTemplateVersionsResponseErrorItem {
    t::DeleteLaunchTemplateVersionsResponseErrorItem {
        launch_template_id: Some(row.meta.id.clone()),
        launch_template_name: Some(row.name.clone()),
        version_number: Some(number(version)),
        response_error: Some(error),
    }
}
