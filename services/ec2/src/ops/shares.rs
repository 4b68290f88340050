//! Who may make volumes of snapshots, and launch instances with images.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use super::own_images::own;
use crate::errors::{Refusal, Result};
use crate::model::snapshot::SnapshotRow;
use crate::sharing::{ALL, Named, Shared};
use crate::state::Ec2;

const VOLUMES: &str = "createVolumePermission";
const LAUNCHES: &str = "launchPermission";

/// Whom a request adds, and whom it removes.
struct Asked {
    add: Named,
    remove: Named,
}

impl Asked {
    /// The older form: one operation, on users and groups.
    fn flat(
        operation: Option<&str>,
        users: Option<&Vec<String>>,
        groups: Option<&Vec<String>>,
    ) -> Result<Self> {
        let named = Named::read(users.into_iter().flatten(), groups.into_iter().flatten())?;
        let nobody = Named::default();
        let (add, remove) = match operation {
            None if named.is_empty() => (nobody.clone(), nobody),
            None => return Err(Refusal::missing("OperationType")),
            Some("add") => (named, nobody),
            Some("remove") => (nobody, named),
            Some(other) => return Err(Refusal::wrong("operationType", other)),
        };
        Ok(Self { add, remove })
    }

    /// The same, and what the newer form says.
    fn with(mut self, add: Named, remove: Named) -> Result<Self> {
        self.add.change(&add, &Named::default())?;
        self.remove.change(&remove, &Named::default())?;
        if self.add.is_empty() && self.remove.is_empty() {
            return Err(Refusal::combination("No attributes specified."));
        }
        if !self.add.is_empty() && !self.remove.is_empty() {
            return Err(Refusal::combination(
                "You cannot add and remove permissions in one request.",
            ));
        }
        Ok(self)
    }
}

fn only(attribute: Option<&str>, wanted: &str) -> Result<()> {
    match attribute {
        None => Ok(()),
        Some(attribute) if attribute == wanted => Ok(()),
        Some(other) => Err(Refusal::wrong("attribute", other)),
    }
}

pub(crate) async fn modify_snapshot(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ModifySnapshotAttributeRequest,
) -> Reply<t::ModifySnapshotAttributeOutput> {
    only(input.attribute.as_deref(), VOLUMES)?;
    let (users, groups) = (input.user_ids.as_ref(), input.group_names.as_ref());
    let modified = input.create_volume_permission.unwrap_or_default();
    let asked = Asked::flat(input.operation_type.as_deref(), users, groups)?
        .with(of_volumes(&modified.add)?, of_volumes(&modified.remove)?)?;
    let (snapshot, here) = ec2.read(&cx).await?;
    let row = crate::resource::Find::need::<SnapshotRow>(&snapshot, &here, &input.snapshot_id)?;
    drop(snapshot);
    if let Some(encryption) = row.encryption.as_ref().filter(|_| !asked.add.is_empty()) {
        if asked.add.everyone {
            Err(Refusal::denied("Encrypted snapshots cannot be made public"))?;
        }
        if ec2.is_managed(&cx, encryption).await? {
            let why = "Encrypted snapshots with EBS default key cannot be shared";
            Err(Refusal::denied(why))?;
        }
    }
    ec2.write(&cx, input.dry_run, |w| {
        w.change(&input.snapshot_id, |row: &mut SnapshotRow| {
            row.shared.change(&asked.add, &asked.remove)
        })
    })
    .await?;
    Ok(t::ModifySnapshotAttributeOutput {})
}

fn of_volumes(named: &Option<Vec<t::CreateVolumePermission>>) -> Result<Named> {
    let named = || named.iter().flatten();
    let users = named().filter_map(|it| it.user_id.as_ref());
    Named::read(users, named().filter_map(|it| it.group.as_ref()))
}

pub(crate) async fn describe_snapshot(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeSnapshotAttributeRequest,
) -> Reply<t::DescribeSnapshotAttributeResult> {
    let row = ec2
        .write(&cx, input.dry_run, |w| {
            w.need::<SnapshotRow>(&input.snapshot_id)
        })
        .await?;
    let mut out = t::DescribeSnapshotAttributeResult {
        snapshot_id: Some(row.meta.id),
        ..Default::default()
    };
    match input.attribute.as_str() {
        VOLUMES => {
            let users = row.shared.accounts.iter();
            let users = users.map(|account| t::CreateVolumePermission {
                user_id: Some(account.to_string()),
                group: None,
            });
            let everyone = row.shared.everyone.then(|| t::CreateVolumePermission {
                user_id: None,
                group: Some(ALL.into()),
            });
            out.create_volume_permissions = Some(everyone.into_iter().chain(users).collect());
        }
        "productCodes" => out.product_codes = Some(Vec::new()),
        other => Err(Refusal::wrong("attribute", other))?,
    }
    Ok(out)
}

pub(crate) async fn reset_snapshot(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ResetSnapshotAttributeRequest,
) -> Reply<t::ResetSnapshotAttributeOutput> {
    only(Some(&input.attribute), VOLUMES)?;
    ec2.write(&cx, input.dry_run, |w| {
        w.change(&input.snapshot_id, |row: &mut SnapshotRow| {
            row.shared = Shared::default();
            Ok(())
        })
    })
    .await?;
    Ok(t::ResetSnapshotAttributeOutput {})
}

/// Whether a change of an image is one of its launch permissions.
pub(crate) fn of_launch(input: &t::ModifyImageAttributeRequest) -> bool {
    input.attribute.as_deref() == Some(LAUNCHES)
        || input.launch_permission.is_some()
        || input.operation_type.is_some()
}

pub(crate) async fn modify_image(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ModifyImageAttributeRequest,
) -> Reply<t::ModifyImageAttributeOutput> {
    only(input.attribute.as_deref(), LAUNCHES)?;
    let (users, groups) = (input.user_ids.as_ref(), input.user_groups.as_ref());
    let modified = input.launch_permission.unwrap_or_default();
    let asked = Asked::flat(input.operation_type.as_deref(), users, groups)?
        .with(of_launches(&modified.add)?, of_launches(&modified.remove)?)?;
    ec2.write(&cx, input.dry_run, |w| {
        let mut row = own(w, &input.image_id)?;
        if asked.add.everyone && row.disks.iter().any(|disk| disk.encrypted) {
            let why = "Images with encrypted disks cannot be made public";
            return Err(Refusal::denied(why));
        }
        row.shared.change(&asked.add, &asked.remove)?;
        w.put(&row)
    })
    .await?;
    Ok(t::ModifyImageAttributeOutput {})
}

fn of_launches(named: &Option<Vec<t::LaunchPermission>>) -> Result<Named> {
    let named = || named.iter().flatten();
    let organized = |it: &t::LaunchPermission| {
        it.organization_arn.is_some() || it.organizational_unit_arn.is_some()
    };
    if named().any(organized) {
        return Err(Refusal::NotImplemented("Sharing with organizations".into()));
    }
    let users = named().filter_map(|it| it.user_id.as_ref());
    Named::read(users, named().filter_map(|it| it.group.as_ref()))
}

/// Launch permissions as replies show them.
pub(crate) fn launches(shared: &Shared) -> Vec<t::LaunchPermission> {
    let users = shared.accounts.iter().map(|account| t::LaunchPermission {
        user_id: Some(account.to_string()),
        ..Default::default()
    });
    let everyone = shared.everyone.then(|| t::LaunchPermission {
        group: Some(ALL.into()),
        ..Default::default()
    });
    everyone.into_iter().chain(users).collect()
}

pub(crate) async fn reset_image(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ResetImageAttributeRequest,
) -> Reply<t::ResetImageAttributeOutput> {
    only(Some(&input.attribute), LAUNCHES)?;
    ec2.write(&cx, input.dry_run, |w| {
        let mut row = own(w, &input.image_id)?;
        row.shared = Shared::default();
        w.put(&row)
    })
    .await?;
    Ok(t::ResetImageAttributeOutput {})
}
