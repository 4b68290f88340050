//! Launch templates.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::Row as _;
use gureum_model_ec2::types as t;
use gureum_schema::{Result as Reply, Struct};

use crate::describe::{Query, chosen};
use crate::errors::{Refusal, Result};
use crate::model::instance::{InstanceRow, KIND as INSTANCE};
use crate::model::launch_template::{KIND, LaunchTemplateRow, VersionRow, Which};
use crate::mold::{self, Members};
use crate::resource::{Described as _, Find as _, Resource as _};
use crate::state::{Change, Ec2};
use crate::{tags, templated};

/// The most templates of an account in a region.
const MAX: usize = 5_000;
const MAX_DESCRIPTION: usize = 255;

pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateLaunchTemplateRequest,
) -> Reply<t::CreateLaunchTemplateResult> {
    let tags = tags::on_create(&KIND, &input.tag_specifications)?;
    let data = mold::read(&input.launch_template_data);
    let warning = judge(&ec2, &data)?;
    describable(input.version_description.as_deref())?;
    let request = ("CreateLaunchTemplate", &input as &dyn Struct);
    let ids = ec2
        .write_once(
            &cx,
            input.dry_run,
            input.client_token.as_deref(),
            request,
            |w| {
                let name = &input.launch_template_name;
                if LaunchTemplateRow::with_name(w.tx, w.here, name)?.is_some() {
                    return Err(Refusal::new(
                        "InvalidLaunchTemplateName.AlreadyExistsException",
                        "Launch template name already in use.",
                    ));
                }
                if w.all::<LaunchTemplateRow>()?.len() >= MAX {
                    return Err(Refusal::limit("LimitExceeded", "launch templates"));
                }
                let row = LaunchTemplateRow {
                    meta: w.here.new_meta(&KIND, tags.clone()),
                    name: name.clone(),
                    creator: cx.caller.arn.clone(),
                    default: 1,
                    latest: 1,
                    given: 1,
                };
                w.put(&row)?;
                keep(w, &cx, &row, data.clone(), &input.version_description)?;
                Ok(vec![row.meta.id])
            },
        )
        .await?;
    Ok(t::CreateLaunchTemplateResult {
        launch_template: ec2.shown::<LaunchTemplateRow>(&cx, &ids).await?,
        warning,
    })
}

/// Refuses data that launches here do not honour, and warns of what could only fail. What there is
/// must be something.
pub(super) fn judge(ec2: &Ec2, data: &Members) -> Result<Option<t::ValidationWarning>> {
    if data.is_empty() {
        return Err(Refusal::missing("LaunchTemplateData"));
    }
    templated::judge(ec2.planes.as_ref(), data)
}

pub(super) fn describable(description: Option<&str>) -> Result<()> {
    match description {
        Some(text) if text.chars().count() > MAX_DESCRIPTION => {
            Err(Refusal::wrong("VersionDescription", text))
        }
        _ => Ok(()),
    }
}

/// Writes the template's latest version.
pub(super) fn keep(
    w: &mut Change<'_>,
    cx: &Cx,
    template: &LaunchTemplateRow,
    data: Members,
    description: &Option<String>,
) -> Result<()> {
    let row = VersionRow {
        region: w.here.region.clone(),
        account: w.here.account,
        template: template.meta.id.clone(),
        number: template.latest,
        description: description.clone().filter(|text| !text.is_empty()),
        creator: cx.caller.arn.clone(),
        created: w.here.now,
        data,
    };
    Ok(w.tx.put(&row)?)
}

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeLaunchTemplatesRequest,
) -> Reply<t::DescribeLaunchTemplatesResult> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let ids = input.launch_template_ids.as_ref();
    let mut rows = Vec::new();
    let names = input.launch_template_names.as_deref().unwrap_or_default();
    for name in names {
        let row = LaunchTemplateRow::named(&snapshot, &here, None, Some(name));
        rows.push(row.map_err(|_| some_absent(name))?);
    }
    if names.is_empty() || ids.is_some_and(|ids| !ids.is_empty()) {
        rows.extend(chosen::<LaunchTemplateRow>(&snapshot, &here, ids)?);
    }
    rows.sort_by(|a, b| a.id().cmp(b.id()));
    rows.dedup_by(|a, b| a.id() == b.id());
    let shapes = rows
        .iter()
        .map(|row| Ok((row.meta.id.clone(), row.shape(&snapshot, &ec2.names)?)));
    let query = Query {
        operation: "DescribeLaunchTemplates",
        ids,
        filters: input.filters.as_ref(),
        max: input.max_results,
        token: input.next_token.as_deref(),
        dry_run: input.dry_run,
    };
    let page = ec2.page(&cx, query, LaunchTemplateRow::FILTERS, shapes)?;
    Ok(t::DescribeLaunchTemplatesResult {
        launch_templates: Some(page.items),
        next_token: page.next,
    })
}

fn some_absent(name: &str) -> Refusal {
    Refusal::new(
        "InvalidLaunchTemplateName.NotFoundException",
        format!(
            "At least one of the launch templates specified in the request does not exist: {name}"
        ),
    )
}

pub(crate) async fn modify(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ModifyLaunchTemplateRequest,
) -> Reply<t::ModifyLaunchTemplateResult> {
    let (id, name) = (
        input.launch_template_id.as_deref(),
        input.launch_template_name.as_deref(),
    );
    let which = input.default_version.as_deref();
    let which = Which::read(which.ok_or_else(|| Refusal::missing("SetDefaultVersion"))?)?;
    let shape = ec2
        .write(&cx, input.dry_run, |w| {
            let mut row = LaunchTemplateRow::named(w.tx, w.here, id, name)?;
            row.default = row.version(w.tx, which)?.number;
            w.put(&row)?;
            w.show(&row)
        })
        .await?;
    Ok(t::ModifyLaunchTemplateResult {
        launch_template: Some(shape),
    })
}

/// With all its versions; instances that were launched by it stay as they are.
pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteLaunchTemplateRequest,
) -> Reply<t::DeleteLaunchTemplateResult> {
    let (id, name) = (
        input.launch_template_id.as_deref(),
        input.launch_template_name.as_deref(),
    );
    let shape = ec2
        .write(&cx, input.dry_run, |w| {
            let row = LaunchTemplateRow::named(w.tx, w.here, id, name)?;
            for version in row.versions(w.tx)? {
                w.tx.delete::<VersionRow>(version.key())?;
            }
            w.delete(&row)?;
            w.show(&row)
        })
        .await?;
    Ok(t::DeleteLaunchTemplateResult {
        launch_template: Some(shape),
    })
}

/// What a template would hold that launches another instance like this one.
pub(crate) async fn of_instance(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::GetLaunchTemplateDataRequest,
) -> Reply<t::GetLaunchTemplateDataResult> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let row = snapshot.need::<InstanceRow>(&here, &input.instance_id)?;
    if input.dry_run == Some(true) {
        Err(Refusal::DryRun)?;
    }
    let shape = row.shape(&snapshot, &ec2.names)?;
    Ok(t::GetLaunchTemplateDataResult {
        launch_template_data: Some(data_of(&row, shape)),
    })
}

fn data_of(row: &InstanceRow, shape: t::Instance) -> t::ResponseLaunchTemplateData {
    use base64::Engine as _;
    let user_data = row.user_data.as_ref();
    let interfaces = shape.network_interfaces.unwrap_or_default().into_iter();
    let own = row
        .meta
        .tags
        .iter()
        .filter(|(key, _)| !key.starts_with("aws:"));
    let own = own
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let metadata = shape.metadata_options.unwrap_or_default();
    t::ResponseLaunchTemplateData {
        image_id: shape.image_id,
        instance_type: shape.instance_type,
        key_name: shape.key_name,
        ebs_optimized: shape.ebs_optimized,
        iam_instance_profile: shape.iam_instance_profile.map(|profile| {
            t::LaunchTemplateIamInstanceProfileSpecification {
                arn: profile.arn,
                name: None,
            }
        }),
        monitoring: Some(t::LaunchTemplatesMonitoring {
            enabled: Some(row.detailed),
        }),
        placement: Some(t::LaunchTemplatePlacement {
            availability_zone: Some(row.zone.clone()),
            tenancy: Some("default".into()),
            ..Default::default()
        }),
        disable_api_termination: Some(row.keep_from_termination),
        disable_api_stop: Some(row.keep_from_stop),
        instance_initiated_shutdown_behavior: Some(
            if row.terminate_on_shutdown {
                "terminate"
            } else {
                "stop"
            }
            .into(),
        ),
        user_data: user_data.map(|it| base64::engine::general_purpose::STANDARD.encode(it)),
        tag_specifications: row
            .meta
            .tags
            .keys()
            .any(|key| !key.starts_with("aws:"))
            .then(|| {
                vec![t::LaunchTemplateTagSpecification {
                    resource_type: Some(INSTANCE.name.into()),
                    tags: tags::shapes(&own),
                }]
            }),
        network_interfaces: Some(interfaces.map(interface).collect()),
        metadata_options: Some(t::LaunchTemplateInstanceMetadataOptions {
            http_tokens: metadata.http_tokens,
            http_put_response_hop_limit: metadata.http_put_response_hop_limit,
            http_endpoint: metadata.http_endpoint,
            instance_metadata_tags: metadata.instance_metadata_tags,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Without its addresses, which no other instance could have.
fn interface(
    shape: t::InstanceNetworkInterface,
) -> t::LaunchTemplateInstanceNetworkInterfaceSpecification {
    let attachment = shape.attachment.unwrap_or_default();
    let groups = shape.groups.unwrap_or_default().into_iter();
    t::LaunchTemplateInstanceNetworkInterfaceSpecification {
        associate_public_ip_address: Some(shape.association.is_some()),
        delete_on_termination: attachment.delete_on_termination,
        description: shape.description,
        device_index: attachment.device_index,
        groups: Some(groups.filter_map(|group| group.group_id).collect()),
        subnet_id: shape.subnet_id,
        ..Default::default()
    }
}
