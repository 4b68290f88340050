//! Network interfaces: what has addresses and belongs to security groups.

use std::net::Ipv4Addr;

use gureum_kit::{Reader, Tx};
use gureum_model_ec2::types as t;
use gureum_schema::Timestamp;
use serde::{Deserialize, Serialize};

use crate::errors::Result;
use crate::filter::Paths;
use crate::model::group::GroupRow;
use crate::model::pool;
use crate::model::subnet::SubnetRow;
use crate::model::vpc::VpcRow;
use crate::names::{self, Names};
use crate::resource::{Described, Find, Kind, Meta, resource};
use crate::{tags, zones};

pub(crate) const KIND: Kind = Kind {
    prefix: "eni",
    name: "network-interface",
    label: "networkInterface",
    not_found: "InvalidNetworkInterfaceID.NotFound",
    malformed: "InvalidNetworkInterfaceId.Malformed",
    ownerless: false,
};

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct InterfaceRow {
    pub(crate) meta: Meta,
    pub(crate) vpc: String,
    pub(crate) subnet: String,
    pub(crate) zone: String,
    pub(crate) description: String,
    pub(crate) mac: [u8; 6],
    pub(crate) groups: Vec<String>,
    /// The primary address first; never empty.
    pub(crate) addresses: Vec<Address>,
    pub(crate) source_dest_check: bool,
    pub(crate) attachment: Option<Attachment>,
    pub(crate) purpose: Purpose,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Address {
    pub(crate) private: Ipv4Addr,
    pub(crate) public: Option<Public>,
}

/// The public address that a private one is known by.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Public {
    pub(crate) address: Ipv4Addr,
    /// Allocation and association of an elastic address; one from the pool has neither, and is
    /// lost when the instance stops.
    pub(crate) elastic: Option<(String, String)>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Attachment {
    /// `eni-attach-…`
    pub(crate) id: String,
    pub(crate) instance: String,
    pub(crate) device_index: i32,
    pub(crate) delete_on_termination: bool,
    pub(crate) at: i64,
}

/// Who made it, and so who may delete it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    Ordinary,
    NatGateway,
}

resource!(InterfaceRow, "ec2.interface", KIND, vpc: vpc);

impl InterfaceRow {
    pub(crate) fn primary(&self) -> Option<&Address> {
        self.addresses.first()
    }

    pub(crate) fn primary_private(&self) -> Option<Ipv4Addr> {
        self.primary().map(|address| address.private)
    }

    pub(crate) fn primary_public(&self) -> Option<&Public> {
        self.primary().and_then(|address| address.public.as_ref())
    }

    /// `02:…`, as interfaces show it.
    pub(crate) fn mac(&self) -> String {
        self.mac.map(|byte| format!("{byte:02x}")).join(":")
    }

    pub(crate) fn in_use(&self) -> bool {
        self.attachment.is_some() || self.purpose != Purpose::Ordinary
    }

    /// Gives back everything that it has; the row itself is the caller's to delete.
    pub(crate) fn release(&self, tx: &mut Tx) -> Result<()> {
        let subnet = tx.find::<SubnetRow>(&self.meta.here(), &self.subnet)?;
        for address in &self.addresses {
            if let Some(subnet) = &subnet {
                subnet.give_back(tx, address.private)?;
            }
            match &address.public {
                Some(Public {
                    address,
                    elastic: None,
                }) => pool::give_back(tx, *address)?,
                Some(Public {
                    elastic: Some((allocation, _)),
                    ..
                }) => {
                    crate::ops::addresses::forget(tx, &self.meta.here(), allocation)?;
                }
                None => {}
            }
        }
        Ok(())
    }

    /// Gives back the public address that came from the pool, as stopping does.
    pub(crate) fn lose_public(&mut self, tx: &mut Tx) -> Result<()> {
        for address in &mut self.addresses {
            if let Some(Public {
                address: public,
                elastic: None,
            }) = address.public
            {
                pool::give_back(tx, public)?;
                address.public = None;
            }
        }
        Ok(())
    }

    fn association(
        &self,
        public: &Public,
        hostname: Option<String>,
    ) -> t::NetworkInterfaceAssociation {
        let owner = match public.elastic {
            Some(_) => self.meta.account.to_string(),
            None => "amazon".into(),
        };
        t::NetworkInterfaceAssociation {
            allocation_id: public.elastic.as_ref().map(|it| it.0.clone()),
            association_id: public.elastic.as_ref().map(|it| it.1.clone()),
            ip_owner_id: Some(owner),
            public_dns_name: hostname,
            public_ip: Some(public.address.to_string()),
            ..Default::default()
        }
    }

    pub(crate) fn attachment_shape(&self) -> Option<t::NetworkInterfaceAttachment> {
        let attachment = self.attachment.as_ref()?;
        Some(t::NetworkInterfaceAttachment {
            attach_time: Some(Timestamp(attachment.at)),
            attachment_id: Some(attachment.id.clone()),
            delete_on_termination: Some(attachment.delete_on_termination),
            device_index: Some(attachment.device_index),
            network_card_index: Some(0),
            instance_id: Some(attachment.instance.clone()),
            instance_owner_id: Some(self.meta.account.to_string()),
            status: Some("attached".into()),
            ..Default::default()
        })
    }

    pub(crate) fn groups(&self, reader: &impl Reader) -> Result<Vec<t::GroupIdentifier>> {
        let mut out = Vec::new();
        for id in &self.groups {
            let group = reader.find::<GroupRow>(&self.meta.here(), id)?;
            out.push(t::GroupIdentifier {
                group_id: Some(id.clone()),
                group_name: group.map(|group| group.name),
            });
        }
        Ok(out)
    }
}

impl Described for InterfaceRow {
    type Shape = t::NetworkInterface;
    const FILTERS: Paths = &[
        (
            "addresses.association.owner-id",
            "PrivateIpAddresses.Association.IpOwnerId",
        ),
        (
            "addresses.association.public-ip",
            "PrivateIpAddresses.Association.PublicIp",
        ),
        ("addresses.primary", "PrivateIpAddresses.Primary"),
        (
            "addresses.private-ip-address",
            "PrivateIpAddresses.PrivateIpAddress",
        ),
        ("association.allocation-id", "Association.AllocationId"),
        ("association.association-id", "Association.AssociationId"),
        ("association.ip-owner-id", "Association.IpOwnerId"),
        ("association.public-dns-name", "Association.PublicDnsName"),
        ("association.public-ip", "Association.PublicIp"),
        ("attachment.attach-time", "Attachment.AttachTime"),
        ("attachment.attachment-id", "Attachment.AttachmentId"),
        (
            "attachment.delete-on-termination",
            "Attachment.DeleteOnTermination",
        ),
        ("attachment.device-index", "Attachment.DeviceIndex"),
        ("attachment.instance-id", "Attachment.InstanceId"),
        ("attachment.instance-owner-id", "Attachment.InstanceOwnerId"),
        ("attachment.status", "Attachment.Status"),
        ("availability-zone", "AvailabilityZone"),
        ("availability-zone-id", "AvailabilityZoneId"),
        ("description", "Description"),
        ("group-id", "Groups.GroupId"),
        ("group-name", "Groups.GroupName"),
        ("interface-type", "InterfaceType"),
        ("mac-address", "MacAddress"),
        ("network-interface-id", "NetworkInterfaceId"),
        ("owner-id", "OwnerId"),
        ("private-dns-name", "PrivateDnsName"),
        ("private-ip-address", "PrivateIpAddress"),
        ("requester-id", "RequesterId"),
        ("requester-managed", "RequesterManaged"),
        ("source-dest-check", "SourceDestCheck"),
        ("status", "Status"),
        ("subnet-id", "SubnetId"),
        ("vpc-id", "VpcId"),
    ];

    fn shape(&self, reader: &impl Reader, names: &Names) -> Result<t::NetworkInterface> {
        let region = &self.meta.region;
        let vpc = reader.find::<VpcRow>(&self.meta.here(), &self.vpc)?;
        let named = vpc.is_some_and(|vpc| vpc.dns_hostnames);
        let hostname = |public: &Public| named.then(|| names.public(region, public.address));
        let addresses = self.addresses.iter().enumerate().map(|(index, address)| {
            let public = address.public.as_ref();
            t::NetworkInterfacePrivateIpAddress {
                association: public.map(|public| self.association(public, hostname(public))),
                primary: Some(index == 0),
                private_dns_name: Some(names::private(region, address.private)),
                private_ip_address: Some(address.private.to_string()),
            }
        });
        let addresses: Vec<_> = addresses.collect();
        let primary = addresses.first().cloned().unwrap_or_default();
        let managed = self.purpose == Purpose::NatGateway;
        Ok(t::NetworkInterface {
            association: primary.association,
            attachment: self.attachment_shape(),
            availability_zone: Some(self.zone.clone()),
            availability_zone_id: zones::id(region, &self.zone),
            description: Some(self.description.clone()),
            groups: Some(self.groups(reader)?),
            interface_type: Some(if managed { "nat_gateway" } else { "interface" }.into()),
            ipv6_addresses: Some(Vec::new()),
            mac_address: Some(self.mac()),
            network_interface_id: Some(self.meta.id.clone()),
            owner_id: Some(self.meta.account.to_string()),
            private_dns_name: primary.private_dns_name,
            private_ip_address: primary.private_ip_address,
            private_ip_addresses: Some(addresses),
            public_dns_name: self.primary_public().and_then(hostname),
            requester_id: managed.then(|| "amazon-nat".to_owned()),
            requester_managed: Some(managed),
            source_dest_check: Some(self.source_dest_check),
            status: Some(if self.in_use() { "in-use" } else { "available" }.into()),
            subnet_id: Some(self.subnet.clone()),
            tag_set: tags::shapes(&self.meta.tags),
            vpc_id: Some(self.vpc.clone()),
            ..Default::default()
        })
    }
}
