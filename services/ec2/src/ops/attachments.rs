//! Attaching network interfaces to instances, and detaching them.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use super::interfaces::no_attachment;
use crate::errors::Refusal;
use crate::model::instance::{InstanceRow, State};
use crate::model::interface::{Attachment, InterfaceRow};
use crate::resource::Resource as _;
use crate::state::Ec2;

/// The most interfaces of one instance, whatever its type.
pub(crate) const MAX_INTERFACES: i32 = 4;

pub(crate) async fn attach(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::AttachNetworkInterfaceRequest,
) -> Reply<t::AttachNetworkInterfaceResult> {
    if input.network_card_index.unwrap_or(0) != 0 {
        Err(Refusal::NotImplemented("NetworkCardIndex > 0".into()))?;
    }
    let index = input.device_index;
    let attachment = ec2
        .write(&cx, input.dry_run, |w| {
            let mut interface = w.need::<InterfaceRow>(&input.network_interface_id)?;
            let instance = w.need::<InstanceRow>(&input.instance_id)?;
            if !matches!(instance.state, State::Running | State::Stopped) {
                return Err(Refusal::new(
                    "IncorrectInstanceState",
                    format!("The instance '{}' is not in a valid state for this operation.", instance.id()),
                ));
            }
            if interface.in_use() {
                return Err(Refusal::new(
                    "InvalidNetworkInterface.InUse",
                    format!("Interface: [{}] in use.", interface.id()),
                ));
            }
            if interface.zone != instance.zone || interface.vpc != instance.vpc {
                return Err(Refusal::combination(
                    "You may not attach a network interface to an instance if they are not in the same availability zone and network",
                ));
            }
            let others = instance.interfaces(w.tx)?;
            let taken = others.iter().filter_map(|it| it.attachment.as_ref());
            if taken.clone().any(|other| other.device_index == index) {
                return Err(Refusal::value(format!(
                    "Instance '{}' already has an interface attached at device index '{index}'.",
                    instance.id()
                )));
            }
            if !(1..MAX_INTERFACES).contains(&index) {
                return Err(Refusal::new(
                    "AttachmentLimitExceeded",
                    format!("Interface count exceeds the limit for {}: device indexes go up to {}.", instance.instance_type, MAX_INTERFACES - 1),
                ));
            }
            let attachment = id::resource("eni-attach");
            interface.attachment = Some(Attachment {
                id: attachment.clone(),
                instance: instance.meta.id,
                device_index: index,
                delete_on_termination: false,
                at: w.here.now,
            });
            w.put(&interface)?;
            Ok(attachment)
        })
        .await?;
    Ok(t::AttachNetworkInterfaceResult {
        attachment_id: Some(attachment),
        network_card_index: Some(0),
    })
}

pub(crate) async fn detach(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DetachNetworkInterfaceRequest,
) -> Reply<t::DetachNetworkInterfaceOutput> {
    let id = &input.attachment_id;
    ec2.write(&cx, input.dry_run, |w| {
        let mut rows = w.all::<InterfaceRow>()?.into_iter();
        let held = |row: &InterfaceRow| row.attachment.as_ref().is_some_and(|it| it.id == *id);
        let mut row = rows.find(held).ok_or_else(|| no_attachment(id))?;
        if row
            .attachment
            .as_ref()
            .is_some_and(|it| it.device_index == 0)
        {
            return Err(Refusal::denied(
                "The network interface at device index 0 cannot be detached.",
            ));
        }
        row.attachment = None;
        w.put(&row)
    })
    .await?;
    Ok(t::DetachNetworkInterfaceOutput {})
}
