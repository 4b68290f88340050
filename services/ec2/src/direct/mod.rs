//! The EBS direct APIs: snapshots read and written block by block, without a volume.
//!
//! A service of its own towards clients, on the snapshots of this one. Blocks are the pieces of the
//! block plane (512 KiB), named by tokens that a listing gives out, each good for one block of one
//! snapshot until it expires. What is encrypted is read in the clear by who may use its key.
//! A snapshot that is being written is a volume of the block plane under the snapshot's name.
//!
//! <https://docs.aws.amazon.com/ebs/latest/APIReference/Welcome.html>

mod errors;
mod read;
mod token;
mod write;

use std::sync::Arc;

use gureum_dispatch::{Ask, Cx, Service};
use gureum_model_ebs::{SERVICE, op};

use crate::asks::tagged;
use crate::model::snapshot::{self, SnapshotRow};
use crate::resource::{Here, Resource as _, arn};
use crate::sharing::FindShared as _;
use crate::state::Ec2;

impl Ec2 {
    /// The EBS direct APIs, to be wired in beside [`Ec2::service`].
    pub fn direct_service(self: &Arc<Self>) -> Service {
        Service::builder(&SERVICE, Arc::clone(self))
            .denied(errors::denied)
            .invalid(errors::invalid)
            .op::<op::ListSnapshotBlocks, _>(
                |ec2, cx, input| {
                    let action = "ebs:ListSnapshotBlocks";
                    Ok(vec![ask(ec2, cx, action, &input.snapshot_id)])
                },
                read::list,
            )
            .op::<op::ListChangedBlocks, _>(
                |ec2, cx, input| {
                    let action = "ebs:ListChangedBlocks";
                    let ids = input.first_snapshot_id.iter();
                    let ids = ids.chain([&input.second_snapshot_id]);
                    Ok(ids.map(|id| ask(ec2, cx, action, id)).collect())
                },
                read::list_changed,
            )
            .op::<op::GetSnapshotBlock, _>(
                |ec2, cx, input| {
                    let action = "ebs:GetSnapshotBlock";
                    Ok(vec![ask(ec2, cx, action, &input.snapshot_id)])
                },
                read::get,
            )
            .op::<op::StartSnapshot, _>(write::asks, write::start)
            .op::<op::PutSnapshotBlock, _>(
                |ec2, cx, input| {
                    let action = "ebs:PutSnapshotBlock";
                    Ok(vec![ask(ec2, cx, action, &input.snapshot_id)])
                },
                write::put,
            )
            .op::<op::CompleteSnapshot, _>(
                |ec2, cx, input| {
                    let action = "ebs:CompleteSnapshot";
                    Ok(vec![ask(ec2, cx, action, &input.snapshot_id)])
                },
                write::complete,
            )
            .build()
    }
}

/// May the caller do this to the snapshot? Of one that isn't there, only the ARN is known.
fn ask(ec2: &Ec2, cx: &Cx, action: &'static str, id: &str) -> Ask {
    let here = Here::of(cx);
    match ec2.store.read().usable::<SnapshotRow>(&here, id) {
        Ok(Some(row)) => tagged(Ask::new(action, row.arn()), &row.meta.tags),
        _ => Ask::new(
            action,
            arn(&snapshot::KIND, &here.region, &here.account, id),
        ),
    }
}
