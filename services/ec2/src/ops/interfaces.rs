//! Network interfaces: making, attaching, changing and deleting them.

use std::net::Ipv4Addr;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_model_ec2::types as t;
use gureum_schema::{Result as Reply, Struct};

use crate::describe::query;
use crate::errors::{Refusal, Result, refuse_on};
use crate::model::group::GroupRow;
use crate::model::interface::{self, Address, InterfaceRow, Purpose};
use crate::model::subnet::SubnetRow;
use crate::resource::{Find as _, Resource as _, Tags};
use crate::state::{Change, Ec2};
use crate::tags;

/// The most security groups of one interface, and addresses.
const MAX_GROUPS: usize = 5;
const MAX_ADDRESSES: usize = 50;

/// What a new interface is to have.
#[derive(Default)]
pub(crate) struct Wanted {
    pub(crate) description: String,
    /// The VPC's default group when there are none.
    pub(crate) groups: Vec<String>,
    /// The primary address first; `None` is any.
    pub(crate) addresses: Vec<Option<Ipv4Addr>>,
    pub(crate) tags: Tags,
}

/// Makes an interface in a subnet.
pub(crate) fn make(
    w: &mut Change<'_>,
    subnet: &SubnetRow,
    wanted: &Wanted,
) -> Result<InterfaceRow> {
    let meta = w.here.new_meta(&interface::KIND, wanted.tags.clone());
    let groups = groups(w, &subnet.vpc, &wanted.groups)?;
    if wanted.addresses.len() > MAX_ADDRESSES {
        return Err(Refusal::limit(
            "PrivateIpAddressLimitExceeded",
            "private IP addresses per interface",
        ));
    }
    let any = [None];
    let asked = if wanted.addresses.is_empty() {
        &any[..]
    } else {
        &wanted.addresses
    };
    let mut addresses = Vec::new();
    for address in asked {
        addresses.push(Address {
            private: subnet.take(w.tx, &meta.id, *address)?,
            public: None,
        });
    }
    // Locally administered, so that it is nobody else's.
    let random: [u8; 5] = id::bytes();
    let mut mac = [0x02; 6];
    mac[1..].copy_from_slice(&random);
    let row = InterfaceRow {
        meta,
        vpc: subnet.vpc.clone(),
        subnet: subnet.meta.id.clone(),
        zone: subnet.zone.clone(),
        description: wanted.description.clone(),
        mac,
        groups,
        addresses,
        source_dest_check: true,
        attachment: None,
        purpose: Purpose::Ordinary,
    };
    w.put(&row)?;
    Ok(row)
}

/// The groups of an interface: those named, which must be of its VPC, or the VPC's default one.
pub(crate) fn groups(w: &Change<'_>, vpc: &str, named: &[String]) -> Result<Vec<String>> {
    if named.is_empty() {
        let mut groups = w.of_vpc::<GroupRow>(vpc)?.into_iter();
        let default = groups.find(GroupRow::is_default);
        return Ok(default.into_iter().map(|group| group.meta.id).collect());
    }
    if named.len() > MAX_GROUPS {
        return Err(Refusal::limit(
            "SecurityGroupsPerInterfaceLimitExceeded",
            "security groups per interface",
        ));
    }
    let mut out: Vec<String> = Vec::new();
    for id in named {
        let group = w.need::<GroupRow>(id)?;
        if group.vpc != vpc {
            return Err(Refusal::new(
                "InvalidParameter",
                "You have specified two resources that belong to different networks.",
            ));
        }
        if !out.contains(id) {
            out.push(group.meta.id);
        }
    }
    Ok(out)
}

/// The addresses that a request asks for: one primary, then others by name or by number.
pub(crate) fn addresses(
    primary: Option<&str>,
    list: &Option<Vec<t::PrivateIpAddressSpecification>>,
    more: Option<i32>,
) -> Result<Vec<Option<Ipv4Addr>>> {
    let list = list.as_deref().unwrap_or_default();
    if more.is_some() && list.iter().any(|item| item.primary != Some(true)) {
        return Err(Refusal::combination(
            "The parameter 'privateIpAddresses' may not be used in combination with 'secondaryPrivateIpAddressCount'",
        ));
    }
    let mut out = vec![primary.map(read).transpose()?];
    for item in list {
        let address = item.private_ip_address.as_deref();
        let address = read(address.ok_or_else(|| Refusal::missing("PrivateIpAddress"))?)?;
        if item.primary == Some(true) {
            if out[0].is_some_and(|other| other != address) {
                return Err(Refusal::value(
                    "Only one primary private IP address can be specified.",
                ));
            }
            out[0] = Some(address);
        } else {
            out.push(Some(address));
        }
    }
    let more = usize::try_from(more.unwrap_or(0))
        .map_err(|_| Refusal::wrong("secondaryPrivateIpAddressCount", more.unwrap_or(0)))?;
    out.extend(std::iter::repeat_n(None, more.min(MAX_ADDRESSES)));
    Ok(out)
}

pub(crate) fn read(text: &str) -> Result<Ipv4Addr> {
    text.parse()
        .map_err(|_| Refusal::value(format!("invalid value for parameter address: {text}")))
}

pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateNetworkInterfaceRequest,
) -> Reply<t::CreateNetworkInterfaceResult> {
    refuse_on(&[("EnablePrimaryIpv6", input.enable_primary_ipv6)])?;
    match input.interface_type.as_deref() {
        None | Some("interface") => {}
        Some(other) => Err(Refusal::NotImplemented(format!("InterfaceType = {other}")))?,
    }
    let wanted = Wanted {
        description: input.description.clone().unwrap_or_default(),
        groups: input.groups.clone().unwrap_or_default(),
        addresses: addresses(
            input.private_ip_address.as_deref(),
            &input.private_ip_addresses,
            input.secondary_private_ip_address_count,
        )?,
        tags: tags::on_create(&interface::KIND, &input.tag_specifications)?,
    };
    let token = input.client_token.as_deref();
    let request = ("CreateNetworkInterface", &input as &dyn Struct);
    let ids = ec2
        .write_once(&cx, input.dry_run, token, request, |w| {
            let subnet = w.need::<SubnetRow>(&input.subnet_id)?;
            Ok(vec![make(w, &subnet, &wanted)?.meta.id])
        })
        .await?;
    Ok(t::CreateNetworkInterfaceResult {
        network_interface: ec2.shown::<InterfaceRow>(&cx, &ids).await?,
        client_token: input.client_token,
    })
}

pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteNetworkInterfaceRequest,
) -> Reply<t::DeleteNetworkInterfaceOutput> {
    ec2.write(&cx, input.dry_run, |w| {
        let row = w.need::<InterfaceRow>(&input.network_interface_id)?;
        if row.in_use() {
            return Err(Refusal::new(
                "InvalidNetworkInterface.InUse",
                format!("Network interface '{}' is currently in use.", row.id()),
            ));
        }
        row.release(w.tx)?;
        w.delete(&row)
    })
    .await?;
    Ok(t::DeleteNetworkInterfaceOutput {})
}

pub(crate) async fn describe(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeNetworkInterfacesRequest,
) -> Reply<t::DescribeNetworkInterfacesResult> {
    let query = query!("DescribeNetworkInterfaces", input, network_interface_ids);
    let page = ec2.list::<InterfaceRow>(&cx, query).await?;
    Ok(t::DescribeNetworkInterfacesResult {
        network_interfaces: Some(page.items),
        next_token: page.next,
    })
}

pub(crate) async fn describe_attribute(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DescribeNetworkInterfaceAttributeRequest,
) -> Reply<t::DescribeNetworkInterfaceAttributeResult> {
    let (snapshot, here) = ec2.read(&cx).await?;
    let row = snapshot.need::<InterfaceRow>(&here, &input.network_interface_id)?;
    let mut out = t::DescribeNetworkInterfaceAttributeResult {
        network_interface_id: Some(row.meta.id.clone()),
        ..Default::default()
    };
    match input.attribute.as_deref().unwrap_or_default() {
        "description" => {
            out.description = Some(t::AttributeValue {
                value: Some(row.description),
            });
        }
        "groupSet" => out.groups = Some(row.groups(&snapshot)?),
        "sourceDestCheck" => {
            out.source_dest_check = Some(t::AttributeBooleanValue {
                value: Some(row.source_dest_check),
            });
        }
        "attachment" => out.attachment = row.attachment_shape(),
        other => Err(Refusal::wrong("attribute", other))?,
    }
    Ok(out)
}

pub(crate) async fn modify_attribute(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ModifyNetworkInterfaceAttributeRequest,
) -> Reply<t::ModifyNetworkInterfaceAttributeOutput> {
    ec2.write(&cx, input.dry_run, |w| {
        let mut row = w.need::<InterfaceRow>(&input.network_interface_id)?;
        if let Some(description) = &input.description {
            row.description = description.value.clone().unwrap_or_default();
        }
        if let Some(check) = input.source_dest_check.as_ref().and_then(|it| it.value) {
            row.source_dest_check = check;
        }
        if let Some(named) = input.groups.as_ref().filter(|named| !named.is_empty()) {
            row.groups = groups(w, &row.vpc, named)?;
        }
        if let Some(change) = &input.attachment {
            let id = change.attachment_id.as_deref().unwrap_or_default();
            let attachment = row.attachment.as_mut().filter(|it| it.id == id);
            let attachment = attachment.ok_or_else(|| no_attachment(id))?;
            if let Some(delete) = change.delete_on_termination {
                attachment.delete_on_termination = delete;
            }
        }
        w.put(&row)
    })
    .await?;
    Ok(t::ModifyNetworkInterfaceAttributeOutput {})
}

pub(crate) fn no_attachment(id: &str) -> Refusal {
    Refusal::new(
        "InvalidAttachmentID.NotFound",
        format!("The attachment ID '{id}' does not exist"),
    )
}
