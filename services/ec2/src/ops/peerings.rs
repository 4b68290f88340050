//! Peering connections.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use crate::describe::query;
use crate::errors::{Refusal, Result};
use crate::model::peering::{self, PeeringRow, Side, Status};
use crate::model::vpc::VpcRow;
use crate::resource::Resource as _;
use crate::state::{Change, Ec2};
use crate::tags;

pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateVpcPeeringConnectionRequest,
) -> Reply<t::CreateVpcPeeringConnectionResult> {
    if input
        .peer_owner_id
        .as_deref()
        .is_some_and(|owner| *cx.account() != *owner)
    {
        Err(Refusal::NotImplemented(
            "Peering with another account's VPC".into(),
        ))?;
    }
    if input
        .peer_region
        .as_deref()
        .is_some_and(|region| cx.region != *region)
    {
        Err(Refusal::NotImplemented(
            "Peering with a VPC in another region".into(),
        ))?;
    }
    let peer = input.peer_vpc_id.as_deref();
    let peer = peer.ok_or_else(|| Refusal::missing("peerVpcId"))?;
    let tags = tags::on_create(&peering::KIND, &input.tag_specifications)?;
    let shape = ec2
        .write(&cx, input.dry_run, |w| {
            let requester = w.need::<VpcRow>(&input.vpc_id)?;
            let accepter = w.need::<VpcRow>(peer)?;
            if requester.id() == accepter.id() {
                return Err(Refusal::value("A VPC cannot be peered with itself"));
            }
            if let Some(same) = existing(w, requester.id(), accepter.id())? {
                return w.show(&same);
            }
            let overlaps = requester
                .cidrs()
                .any(|mine| accepter.cidrs().any(|theirs| mine.overlaps(theirs)));
            let row = PeeringRow {
                meta: w.here.new_meta(&peering::KIND, tags.clone()),
                requester: side(&requester),
                accepter: side(&accepter),
                status: if overlaps {
                    Status::Failed
                } else {
                    Status::PendingAcceptance
                },
            };
            w.put(&row)?;
            w.show(&row)
        })
        .await?;
    Ok(t::CreateVpcPeeringConnectionResult {
        vpc_peering_connection: Some(shape),
    })
}

fn side(vpc: &VpcRow) -> Side {
    Side {
        vpc: vpc.meta.id.clone(),
        cidrs: vpc.cidrs().collect(),
    }
}

/// The connection of two VPCs that is there or asked for already.
fn existing(w: &Change<'_>, a: &str, b: &str) -> Result<Option<PeeringRow>> {
    let mut rows = w.all::<PeeringRow>()?.into_iter();
    Ok(rows.find(|row| row.concerns(a) && row.concerns(b)))
}

pub(crate) async fn accept(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::AcceptVpcPeeringConnectionRequest,
) -> Reply<t::AcceptVpcPeeringConnectionResult> {
    let id = input.vpc_peering_connection_id.as_str();
    let shape = ec2
        .write(&cx, input.dry_run, |w| {
            let row = turn(w, id, Status::Active, |status| {
                status == Status::PendingAcceptance
            })?;
            w.show(&row)
        })
        .await?;
    Ok(t::AcceptVpcPeeringConnectionResult {
        vpc_peering_connection: Some(shape),
    })
}

pub(crate) async fn reject(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::RejectVpcPeeringConnectionRequest,
) -> Reply<t::RejectVpcPeeringConnectionResult> {
    let id = &input.vpc_peering_connection_id;
    ec2.write(&cx, input.dry_run, |w| {
        turn(w, id, Status::Rejected, |status| {
            status == Status::PendingAcceptance
        })
    })
    .await?;
    Ok(t::RejectVpcPeeringConnectionResult {
        return_: Some(true),
    })
}

pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteVpcPeeringConnectionRequest,
) -> Reply<t::DeleteVpcPeeringConnectionResult> {
    let id = &input.vpc_peering_connection_id;
    ec2.write(&cx, input.dry_run, |w| {
        turn(w, id, Status::Deleted, |status| {
            matches!(
                status,
                Status::PendingAcceptance | Status::Active | Status::Failed
            )
        })
    })
    .await?;
    Ok(t::DeleteVpcPeeringConnectionResult {
        return_: Some(true),
    })
}

/// Moves a connection on, if it is in a state for that.
fn turn(
    w: &mut Change<'_>,
    id: &str,
    to: Status,
    from: impl Fn(Status) -> bool,
) -> Result<PeeringRow> {
    let mut row = w.need::<PeeringRow>(id)?;
    // Repeating what was done changes nothing.
    if row.status == to {
        return Ok(row);
    }
    if !from(row.status) {
        return Err(Refusal::new(
            "InvalidStateTransition",
            format!(
                "Invalid state transition for {id}, attempted to transition from {} to {}",
                row.status.name(),
                to.name()
            ),
        ));
    }
    row.status = to;
    w.put(&row)?;
    Ok(row)
}

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeVpcPeeringConnectionsRequest,
) -> Reply<t::DescribeVpcPeeringConnectionsResult> {
    let query = query!(
        "DescribeVpcPeeringConnections",
        input,
        vpc_peering_connection_ids
    );
    let page = ec2.list::<PeeringRow>(&cx, query).await?;
    Ok(t::DescribeVpcPeeringConnectionsResult {
        vpc_peering_connections: Some(page.items),
        next_token: page.next,
    })
}
