//! Instance profiles: the role that an instance acts in.

use std::sync::Arc;

use gureum_dispatch::{Ask, Caller, Cx};
use gureum_kit::names::id;
use gureum_model_ec2::types as t;
use gureum_model_iam::{op::GetInstanceProfile, types as iam};
use gureum_schema::{Result as Reply, Timestamp};

use crate::describe::Query;
use crate::errors::{self, Refusal};
use crate::filter::Paths;
use crate::model::instance::{InstanceRow, Profile, State};
use crate::resource::{Find as _, Resource as _};
use crate::state::Ec2;

/// Finds a profile by name or ARN; whoever hands it to an instance must be allowed to pass its
/// roles on to EC2.
pub(crate) async fn find(cx: &Cx, spec: &t::IamInstanceProfileSpecification) -> Reply<Profile> {
    let name = match (&spec.name, &spec.arn) {
        (Some(name), None) => name.clone(),
        (None, Some(arn)) => arn.rsplit('/').next().unwrap_or_default().to_owned(),
        (Some(_), Some(_)) => Err(Refusal::combination(
            "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'",
        ))?,
        (None, None) => Err(Refusal::missing("iamInstanceProfile.name"))?,
    };
    let absent = || {
        let given = spec.arn.as_ref().or(spec.name.as_ref());
        let (what, given) = match &spec.arn {
            Some(_) => ("iamInstanceProfile.arn", given),
            None => ("iamInstanceProfile.name", given),
        };
        let given = given.cloned().unwrap_or_default();
        Refusal::value(format!(
            "Value ({given}) for parameter {what} is invalid. Invalid IAM Instance Profile name"
        ))
    };
    // EC2 looks it up itself: its user needs no right to read profiles.
    let account = cx.as_caller(Arc::new(Caller::root(*cx.account())));
    let request = iam::GetInstanceProfileRequest {
        instance_profile_name: name,
    };
    let found = account.call::<GetInstanceProfile>(request).await;
    let profile = match found {
        Ok(found) => found.instance_profile,
        Err(error) if error.status == 404 => Err(absent())?,
        Err(error) => return Err(error),
    };
    if spec.arn.as_ref().is_some_and(|arn| *arn != profile.arn) {
        Err(absent())?;
    }
    for role in &profile.roles {
        let ask =
            Ask::new("iam:PassRole", &role.arn).key("iam:PassedToService", "ec2.amazonaws.com");
        cx.demand(&ask, errors::denied)?;
    }
    Ok(Profile {
        association: id::resource("iip-assoc"),
        arn: profile.arn,
        id: profile.instance_profile_id,
        since: cx.now.0,
    })
}

fn shape(instance: &str, profile: &Profile, state: &str) -> t::IamInstanceProfileAssociation {
    t::IamInstanceProfileAssociation {
        association_id: Some(profile.association.clone()),
        instance_id: Some(instance.to_owned()),
        iam_instance_profile: Some(profile.shape()),
        state: Some(state.into()),
        timestamp: Some(Timestamp(profile.since)),
    }
}

pub(crate) async fn associate(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::AssociateIamInstanceProfileRequest,
) -> Reply<t::AssociateIamInstanceProfileResult> {
    let profile = find(&cx, &input.iam_instance_profile).await?;
    ec2.write(&cx, None, |w| {
        w.change(&input.instance_id, |row: &mut InstanceRow| {
            if !matches!(row.state, State::Running | State::Stopped | State::Pending) {
                return Err(Refusal::new(
                    "IncorrectInstanceState",
                    format!(
                        "The instance '{}' is not in the 'running' or 'stopped' states.",
                        row.id()
                    ),
                ));
            }
            if row.profile.is_some() {
                return Err(Refusal::state(format!(
                    "There is an existing association for instance {}",
                    row.id()
                )));
            }
            row.profile = Some(profile.clone());
            Ok(())
        })
    })
    .await?;
    Ok(t::AssociateIamInstanceProfileResult {
        iam_instance_profile_association: Some(shape(&input.instance_id, &profile, "associating")),
    })
}

pub(crate) async fn disassociate(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DisassociateIamInstanceProfileRequest,
) -> Reply<t::DisassociateIamInstanceProfileResult> {
    let id = &input.association_id;
    let association = ec2
        .write(&cx, None, |w| {
            let mut rows = w.all::<InstanceRow>()?.into_iter();
            let held = rows.find_map(|row| {
                let profile = row.profile.clone().filter(|it| it.association == *id)?;
                Some((row, profile))
            });
            let Some((mut row, profile)) = held else {
                return Err(Refusal::new(
                    "InvalidAssociationID.NotFound",
                    format!("An invalid association-id of '{id}' was given"),
                ));
            };
            row.profile = None;
            w.put(&row)?;
            Ok(shape(row.id(), &profile, "disassociating"))
        })
        .await?;
    Ok(t::DisassociateIamInstanceProfileResult {
        iam_instance_profile_association: Some(association),
    })
}

pub(crate) const FILTERS: Paths = &[("instance-id", "InstanceId"), ("state", "State")];

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeIamInstanceProfileAssociationsRequest,
) -> Reply<t::DescribeIamInstanceProfileAssociationsResult> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let wanted = input.association_ids.as_deref().unwrap_or_default();
    let mut all: Vec<_> = snapshot
        .all::<InstanceRow>(&here)?
        .into_iter()
        .filter(|row| row.state != State::Terminated)
        .filter_map(|row| Some((row.profile.clone()?, row.meta.id)))
        .filter(|(profile, _)| wanted.is_empty() || wanted.contains(&profile.association))
        .map(|(profile, id)| {
            (
                profile.association.clone(),
                shape(&id, &profile, "associated"),
            )
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let query = Query {
        operation: "DescribeIamInstanceProfileAssociations",
        ids: input.association_ids.as_ref(),
        filters: input.filters.as_ref(),
        max: input.max_results,
        token: input.next_token.as_deref(),
        dry_run: None,
    };
    let page = ec2.page(&cx, query, FILTERS, all.into_iter().map(Ok))?;
    Ok(t::DescribeIamInstanceProfileAssociationsResult {
        iam_instance_profile_associations: Some(page.items),
        next_token: page.next,
    })
}
