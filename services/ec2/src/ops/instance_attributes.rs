//! Attributes of instances.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use super::interfaces::groups;
use crate::errors::{Refusal, Result, refuse};
use crate::instance_types;
use crate::launch::{limit_user_data, shutdown};
use crate::model::instance::{InstanceRow, State};
use crate::model::volume::VolumeRow;
use crate::reconcile::volumes::attached;
use crate::resource::{Find as _, Resource as _};
use crate::state::{Change, Ec2};

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeInstanceAttributeRequest,
) -> Reply<t::InstanceAttribute> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let row = snapshot.need::<InstanceRow>(&here, &input.instance_id)?;
    let interfaces = row.interfaces(&snapshot)?;
    let flag = |value| Some(t::AttributeBooleanValue { value: Some(value) });
    let text = |value: Option<String>| Some(t::AttributeValue { value });
    let mut out = t::InstanceAttribute {
        instance_id: Some(input.instance_id),
        ..Default::default()
    };
    match input.attribute.as_str() {
        "instanceType" => out.instance_type = text(Some(row.instance_type)),
        "userData" => out.user_data = text(row.user_data.map(|bytes| STANDARD.encode(bytes))),
        "disableApiTermination" => out.disable_api_termination = flag(row.keep_from_termination),
        "disableApiStop" => out.disable_api_stop = flag(row.keep_from_stop),
        "instanceInitiatedShutdownBehavior" => {
            let behavior = if row.terminate_on_shutdown {
                "terminate"
            } else {
                "stop"
            };
            out.instance_initiated_shutdown_behavior = text(Some(behavior.into()));
        }
        "rootDeviceName" => out.root_device_name = text(Some(crate::images::ROOT_DEVICE.into())),
        "blockDeviceMapping" => {
            let volumes = attached(&snapshot, &here, row.id())?;
            let mappings = volumes.iter().filter_map(VolumeRow::mapping);
            out.block_device_mappings = Some(mappings.collect());
        }
        "productCodes" => out.product_codes = Some(Vec::new()),
        "sourceDestCheck" => {
            let check = interfaces.first().is_none_or(|it| it.source_dest_check);
            out.source_dest_check = flag(check);
        }
        "groupSet" => {
            let first = interfaces
                .first()
                .map(|it| it.groups(&snapshot))
                .transpose()?;
            out.groups = Some(first.unwrap_or_default());
        }
        "ebsOptimized" => out.ebs_optimized = flag(false),
        "enaSupport" => out.ena_support = flag(true),
        "enclaveOptions" => {
            out.enclave_options = Some(t::EnclaveOptions {
                enabled: Some(false),
            });
        }
        "kernel" => out.kernel_id = text(None),
        "ramdisk" => out.ramdisk_id = text(None),
        "sriovNetSupport" => out.sriov_net_support = text(None),
        other => Err(Refusal::wrong("attribute", other))?,
    }
    Ok(out)
}

/// One attribute, as a request names it: by its own member, or by `Attribute` and `Value`.
enum Wanted {
    Type(String),
    UserData(Vec<u8>),
    KeepFromTermination(bool),
    KeepFromStop(bool),
    TerminateOnShutdown(bool),
    SourceDestCheck(bool),
    Groups(Vec<String>),
    Mappings(Vec<t::InstanceBlockDeviceMappingSpecification>),
}

impl Wanted {
    fn read(input: &t::ModifyInstanceAttributeRequest) -> Result<Self> {
        let flag = |it: &Option<t::AttributeBooleanValue>| it.as_ref().and_then(|it| it.value);
        let text = |it: &Option<t::AttributeValue>| it.as_ref().and_then(|it| it.value.clone());
        let mut found = Vec::new();
        found.extend(text(&input.instance_type).map(Wanted::Type));
        if let Some(data) = &input.user_data {
            let bytes = data.value.as_ref().map(|bytes| bytes.to_vec());
            found.push(Wanted::UserData(bytes.unwrap_or_default()));
        }
        found.extend(flag(&input.disable_api_termination).map(Wanted::KeepFromTermination));
        found.extend(flag(&input.disable_api_stop).map(Wanted::KeepFromStop));
        if let Some(behavior) = text(&input.instance_initiated_shutdown_behavior) {
            found.push(Wanted::TerminateOnShutdown(shutdown(Some(&behavior))?));
        }
        found.extend(flag(&input.source_dest_check).map(Wanted::SourceDestCheck));
        found.extend(
            input
                .groups
                .clone()
                .filter(|it| !it.is_empty())
                .map(Wanted::Groups),
        );
        let mappings = input.block_device_mappings.clone();
        found.extend(mappings.filter(|it| !it.is_empty()).map(Wanted::Mappings));
        if let Some(name) = &input.attribute {
            found.push(Self::named(
                name,
                input.value.as_deref().unwrap_or_default(),
            )?);
        }
        let only = found.pop();
        match (only, found.is_empty()) {
            (Some(only), true) => Ok(only),
            (Some(_), false) => Err(Refusal::combination(
                "Fields for multiple attribute types specified",
            )),
            (None, _) => Err(Refusal::combination("No attributes specified.")),
        }
    }

    fn named(name: &str, value: &str) -> Result<Self> {
        let flag = || match value {
            "true" => Ok(true),
            "false" => Ok(false),
            other => Err(Refusal::wrong(name, other)),
        };
        Ok(match name {
            "instanceType" => Wanted::Type(value.to_owned()),
            "userData" => Wanted::UserData(
                STANDARD
                    .decode(value)
                    .map_err(|_| Refusal::value("Invalid BASE64 encoding of user data."))?,
            ),
            "disableApiTermination" => Wanted::KeepFromTermination(flag()?),
            "disableApiStop" => Wanted::KeepFromStop(flag()?),
            "instanceInitiatedShutdownBehavior" => {
                Wanted::TerminateOnShutdown(shutdown(Some(value))?)
            }
            "sourceDestCheck" => Wanted::SourceDestCheck(flag()?),
            other => {
                return Err(Refusal::NotImplemented(format!(
                    "Changing the attribute {other}"
                )));
            }
        })
    }
}

pub(crate) async fn modify(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ModifyInstanceAttributeRequest,
) -> Reply<t::ModifyInstanceAttributeOutput> {
    let wanted = Wanted::read(&input)?;
    ec2.write(&cx, input.dry_run, |w| {
        let mut row = w.need::<InstanceRow>(&input.instance_id)?;
        match &wanted {
            Wanted::Type(name) => {
                stopped(&row, "instanceType")?;
                let kind = instance_types::find(ec2.planes.as_ref(), name);
                let kind = kind.ok_or_else(|| {
                    Refusal::value(format!("Invalid value '{name}' for InstanceType."))
                })?;
                row.instance_type = kind.name.to_owned();
            }
            Wanted::UserData(bytes) => {
                stopped(&row, "userData")?;
                limit_user_data(bytes)?;
                row.user_data =
                    Some(bytes.clone().into()).filter(|bytes: &bytes::Bytes| !bytes.is_empty());
            }
            Wanted::KeepFromTermination(on) => row.keep_from_termination = *on,
            Wanted::KeepFromStop(on) => row.keep_from_stop = *on,
            Wanted::TerminateOnShutdown(on) => row.terminate_on_shutdown = *on,
            Wanted::SourceDestCheck(on) => {
                return only_interface(w, &row, |_, interface| {
                    interface.source_dest_check = *on;
                    Ok(())
                });
            }
            Wanted::Groups(named) => {
                return only_interface(w, &row, |w, interface| {
                    interface.groups = groups(w, &interface.vpc, named)?;
                    Ok(())
                });
            }
            Wanted::Mappings(mappings) => {
                return mappings
                    .iter()
                    .try_for_each(|it| change_mapping(w, &row, it));
            }
        }
        w.put(&row)
    })
    .await?;
    Ok(t::ModifyInstanceAttributeOutput {})
}

/// Says whether a volume is to be deleted with its instance; nothing else of a mapping can change.
fn change_mapping(
    w: &mut Change<'_>,
    row: &InstanceRow,
    mapping: &t::InstanceBlockDeviceMappingSpecification,
) -> Result<()> {
    refuse(&[
        ("BlockDeviceMappings.NoDevice", mapping.no_device.is_some()),
        (
            "BlockDeviceMappings.VirtualName",
            mapping.virtual_name.is_some(),
        ),
    ])?;
    let device = mapping.device_name.as_deref().unwrap_or_default();
    let ebs = mapping.ebs.clone().unwrap_or_default();
    let here = |volume: &VolumeRow| {
        let attachment = volume.attachment.as_ref();
        attachment.is_some_and(|it| it.device == device)
            && ebs.volume_id.as_ref().is_none_or(|id| id == volume.id())
    };
    let mut volumes = attached(w.tx, w.here, row.id())?;
    let volume = volumes.iter_mut().find(|volume| here(volume));
    let volume = volume.ok_or_else(|| {
        Refusal::new(
            "InvalidInstanceAttributeValue",
            format!("No device is currently mapped at {device}"),
        )
    })?;
    if let (Some(attachment), Some(delete)) = (&mut volume.attachment, ebs.delete_on_termination) {
        attachment.delete_on_termination = delete;
    }
    w.put(volume)
}

fn stopped(row: &InstanceRow, attribute: &str) -> Result<()> {
    if row.state == State::Stopped {
        return Ok(());
    }
    Err(Refusal::new(
        "IncorrectInstanceState",
        format!(
            "The instance '{}' is not in the 'stopped' state; the attribute {attribute} can only be changed then.",
            row.id()
        ),
    ))
}

/// What is said of an instance's interface is only clear when it has one.
fn only_interface(
    w: &mut Change<'_>,
    row: &InstanceRow,
    change: impl FnOnce(&Change<'_>, &mut crate::model::interface::InterfaceRow) -> Result<()>,
) -> Result<()> {
    let mut interfaces = row.interfaces(w.tx)?;
    match &mut interfaces[..] {
        [interface] => {
            change(w, interface)?;
            w.put(interface)
        }
        _ => Err(Refusal::new(
            "InvalidInstanceID",
            format!(
                "There are multiple interfaces attached to instance '{}'. Please specify an interface ID for the operation instead.",
                row.id()
            ),
        )),
    }
}

pub(crate) async fn modify_metadata(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ModifyInstanceMetadataOptionsRequest,
) -> Reply<t::ModifyInstanceMetadataOptionsResult> {
    let options = ec2
        .write(&cx, input.dry_run, |w| {
            w.change(&input.instance_id, |row: &mut InstanceRow| {
                row.metadata.change(
                    input.http_tokens.as_deref(),
                    input.http_put_response_hop_limit,
                    input.http_endpoint.as_deref(),
                    input.instance_metadata_tags.as_deref(),
                )?;
                Ok(row.metadata.shape())
            })
        })
        .await?;
    Ok(t::ModifyInstanceMetadataOptionsResult {
        instance_id: Some(input.instance_id),
        instance_metadata_options: Some(options),
    })
}
