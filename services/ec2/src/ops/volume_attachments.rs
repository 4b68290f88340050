//! Attaching volumes to instances, and detaching them.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use crate::errors::{Refusal, Result};
use crate::model::instance::{InstanceRow, State};
use crate::model::volume::{Attachment, Bond, Stage, VolumeRow};
use crate::resource::{Find as _, Resource as _};
use crate::state::Ec2;

pub(crate) async fn attach(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::AttachVolumeRequest,
) -> Reply<t::VolumeAttachment> {
    check(&input.device)?;
    ec2.disks_ready().await?;
    let (snapshot, here) = ec2.read(&cx).await?;
    let volume = snapshot.need::<VolumeRow>(&here, &input.volume_id)?;
    drop(snapshot);
    ec2.check_sealed(&cx, volume.encryption.as_ref()).await?;
    let shape = ec2
        .write(&cx, input.dry_run, |w| {
            let mut volume = w.need::<VolumeRow>(&input.volume_id)?;
            let instance = w.need::<InstanceRow>(&input.instance_id)?;
            fits(&volume, &instance)?;
            if instance.has_device(w.tx, &input.device)? {
                return Err(Refusal::value(format!(
                    "Invalid value '{}' for unixDevice. Attachment point {} is already in use",
                    input.device, input.device
                )));
            }
            volume.attachment = Some(Attachment {
                instance: instance.meta.id,
                device: input.device.clone(),
                at: w.here.now,
                delete_on_termination: false,
                state: Bond::Attaching,
                forced: false,
            });
            w.put(&volume)?;
            Ok(volume.attachment_shape(None))
        })
        .await?;
    Ok(shape.unwrap_or_default())
}

/// Refuses a volume that is elsewhere, or taken, and an instance that can have none.
fn fits(volume: &VolumeRow, instance: &InstanceRow) -> Result<()> {
    let (id, host) = (volume.id(), instance.id());
    if volume.attachment.is_some() {
        return Err(Refusal::new(
            "VolumeInUse",
            format!("{id} is already attached to an instance"),
        ));
    }
    if volume.stage != Stage::Ready {
        return Err(Refusal::state(format!("Volume '{id}' is not 'available'.")));
    }
    if volume.zone != instance.zone {
        return Err(Refusal::new(
            "InvalidVolume.ZoneMismatch",
            format!("The volume '{id}' is not in the same availability zone as instance '{host}'"),
        ));
    }
    if !matches!(instance.state, State::Running | State::Stopped) {
        return Err(Refusal::new(
            "IncorrectState",
            format!("Instance '{host}' is not 'running'."),
        ));
    }
    Ok(())
}

/// `/dev/sda` to `/dev/sdz15`, `/dev/xvda` to `/dev/xvdzz`.
pub(crate) fn check(device: &str) -> Result<()> {
    let lower = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase());
    let scsi = |rest: &str| {
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let letters = rest.len() - digits.len();
        let part = digits
            .parse::<u8>()
            .is_ok_and(|part| (1..=15).contains(&part));
        letters == 1 && (digits.is_empty() || (part && !digits.starts_with(['0', '+'])))
    };
    let good = match device.strip_prefix("/dev/") {
        Some(name) => match (name.strip_prefix("sd"), name.strip_prefix("xvd")) {
            (Some(rest), _) => scsi(rest),
            (_, Some(rest)) => rest.len() <= 2 && lower(rest),
            _ => false,
        },
        None => false,
    };
    if good {
        return Ok(());
    }
    Err(Refusal::value(format!(
        "Value ({device}) for parameter device is invalid. {device} is not a valid EBS device name."
    )))
}

/// A device that is in use stays until its last user has gone, and so does the attachment, unless it
/// is taken by force.
pub(crate) async fn detach(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DetachVolumeRequest,
) -> Reply<t::VolumeAttachment> {
    let id = &input.volume_id;
    let shape = ec2
        .write(&cx, input.dry_run, |w| {
            w.change(id, |row: &mut VolumeRow| {
                let available =
                    || Refusal::state(format!("Volume '{id}' is in the 'available' state."));
                let attachment = row.attachment.as_mut().ok_or_else(available)?;
                let named = |asked: &Option<String>, is: &str| {
                    asked.as_ref().is_none_or(|asked| asked == is)
                };
                if !named(&input.instance_id, &attachment.instance)
                    || !named(&input.device, &attachment.device)
                {
                    return Err(Refusal::new(
                        "InvalidAttachment.NotFound",
                        format!(
                            "The volume '{id}' is not attached to instance '{}' as device '{}'.",
                            input.instance_id.as_deref().unwrap_or(&attachment.instance),
                            input.device.as_deref().unwrap_or(&attachment.device)
                        ),
                    ));
                }
                attachment.state = Bond::Detaching;
                attachment.forced |= input.force == Some(true);
                Ok(row.attachment_shape(None))
            })
        })
        .await?;
    Ok(shape.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names() {
        for name in ["/dev/sdf", "/dev/sdp15", "/dev/xvdf", "/dev/xvdba"] {
            assert!(check(name).is_ok(), "{name}");
        }
        for name in [
            "sdf",
            "/dev/",
            "/dev/sd",
            "/dev/sd1",
            "/dev/sdf0",
            "/dev/sdf16",
            "/dev/xvd1",
            "/dev/sd/../x",
        ] {
            assert!(check(name).is_err(), "{name}");
        }
    }
}
