//! Elastic IP addresses.

use std::net::Ipv4Addr;

use gureum_kit::Reader;
use gureum_model_ec2::types as t;
use serde::{Deserialize, Serialize};

use crate::errors::Result;
use crate::filter::Paths;
use crate::model::interface::InterfaceRow;
use crate::names::Names;
use crate::resource::{Described, Find, Kind, Meta, resource};
use crate::tags;

pub(crate) const KIND: Kind = Kind {
    prefix: "eipalloc",
    name: "elastic-ip",
    label: "allocation",
    not_found: "InvalidAllocationID.NotFound",
    malformed: "InvalidAllocationId.Malformed",
    ownerless: false,
};

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct ElasticIpRow {
    pub(crate) meta: Meta,
    pub(crate) address: Ipv4Addr,
    pub(crate) association: Option<Association>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Association {
    /// `eipassoc-…`
    pub(crate) id: String,
    pub(crate) interface: String,
    pub(crate) private: Ipv4Addr,
}

resource!(ElasticIpRow, "ec2.elastic-ip", KIND);

impl Described for ElasticIpRow {
    type Shape = t::Address;
    const FILTERS: Paths = &[
        ("allocation-id", "AllocationId"),
        ("association-id", "AssociationId"),
        ("domain", "Domain"),
        ("instance-id", "InstanceId"),
        ("network-border-group", "NetworkBorderGroup"),
        ("network-interface-id", "NetworkInterfaceId"),
        ("network-interface-owner-id", "NetworkInterfaceOwnerId"),
        ("private-ip-address", "PrivateIpAddress"),
        ("public-ip", "PublicIp"),
    ];

    fn shape(&self, reader: &impl Reader, _: &Names) -> Result<t::Address> {
        let mut shape = t::Address {
            allocation_id: Some(self.meta.id.clone()),
            domain: Some("vpc".into()),
            tags: tags::shapes(&self.meta.tags),
            public_ipv4_pool: Some("amazon".into()),
            network_border_group: Some(self.meta.region.to_string()),
            public_ip: Some(self.address.to_string()),
            ..Default::default()
        };
        if let Some(association) = &self.association {
            let interface =
                reader.find::<InterfaceRow>(&self.meta.here(), &association.interface)?;
            let attachment = interface.and_then(|row| row.attachment);
            shape.association_id = Some(association.id.clone());
            shape.network_interface_id = Some(association.interface.clone());
            shape.network_interface_owner_id = Some(self.meta.account.to_string());
            shape.private_ip_address = Some(association.private.to_string());
            shape.instance_id = attachment.map(|attachment| attachment.instance);
        }
        Ok(shape)
    }
}
