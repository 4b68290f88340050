//! Everything that an instance may be told about itself, but for its credentials.

use std::net::Ipv4Addr;

use gureum_kit::{Reader, Scan};

use super::credentials::Role;
use crate::errors::Result;
use crate::model::group::GroupRow;
use crate::model::instance::InstanceRow;
use crate::model::interface::InterfaceRow;
use crate::model::subnet::SubnetRow;
use crate::model::vpc::VpcRow;
use crate::names::Names;
use crate::resource::Find as _;

pub(super) struct Facts {
    pub(super) row: InstanceRow,
    pub(super) vpc: VpcRow,
    /// `eth0` first.
    pub(super) interfaces: Vec<Interface>,
    /// Read only for questions about it.
    pub(super) role: Option<Role>,
    pub(super) names: Names,
}

pub(super) struct Interface {
    pub(super) row: InterfaceRow,
    pub(super) subnet: Option<SubnetRow>,
    pub(super) group_names: Vec<String>,
}

impl Facts {
    /// What there is to say to the instance with this address.
    pub(super) fn read(
        reader: &impl Reader,
        names: &Names,
        vpc: &str,
        address: Ipv4Addr,
    ) -> Result<Option<Self>> {
        let Some(asking) = interface(reader, vpc, address)? else {
            return Ok(None);
        };
        let here = asking.meta.here();
        let Some(attachment) = &asking.attachment else {
            return Ok(None);
        };
        let row = reader.find::<InstanceRow>(&here, &attachment.instance)?;
        let (Some(row), Some(vpc)) = (row, reader.find::<VpcRow>(&here, vpc)?) else {
            return Ok(None);
        };
        let mut interfaces = Vec::new();
        for row in row.interfaces(reader)? {
            let mut group_names = Vec::new();
            for id in &row.groups {
                let group = reader.find::<GroupRow>(&here, id)?;
                group_names.extend(group.map(|group| group.name));
            }
            interfaces.push(Interface {
                subnet: reader.find(&here, &row.subnet)?,
                row,
                group_names,
            });
        }
        Ok(Some(Self {
            row,
            vpc,
            interfaces,
            role: None,
            names: names.clone(),
        }))
    }
}

/// The interface that has an address in a VPC, whoever's it is.
fn interface(reader: &impl Reader, vpc: &str, address: Ipv4Addr) -> Result<Option<InterfaceRow>> {
    for row in reader.scan(Scan::<InterfaceRow>::all()) {
        let row = row?;
        if row.vpc == vpc && row.addresses.iter().any(|it| it.private == address) {
            return Ok(Some(row));
        }
    }
    Ok(None)
}
