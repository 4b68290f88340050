//! Subnets, and which of their addresses are taken.

use std::net::Ipv4Addr;

use gureum_kit::names::id;
use gureum_kit::{AccountId, Reader, Region, Row, Scan, Tx};
use gureum_model_ec2::types as t;
use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;
use crate::errors::{Refusal, Result};
use crate::filter::Paths;
use crate::names::Names;
use crate::resource::{Described, Kind, Meta, Resource as _, resource};
use crate::{tags, zones};

pub(crate) const KIND: Kind = Kind {
    prefix: "subnet",
    name: "subnet",
    label: "subnet",
    not_found: "InvalidSubnetID.NotFound",
    malformed: "InvalidSubnetId.Malformed",
    ownerless: false,
};

/// Each subnet's network address, router, resolver, a spare one and the broadcast address.
///
/// <https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html>
const RESERVED_HEAD: u32 = 4;
const RESERVED: u64 = 5;
/// How many addresses are tried at random before the subnet is searched from its start.
const TRIES: usize = 16;

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SubnetRow {
    pub(crate) meta: Meta,
    pub(crate) vpc: String,
    pub(crate) cidr: Cidr,
    pub(crate) zone: String,
    pub(crate) default_for_zone: bool,
    pub(crate) map_public_ip: bool,
}

resource!(SubnetRow, "ec2.subnet", KIND, vpc: vpc);

/// An address that a network interface has.
#[derive(Serialize, Deserialize)]
pub(crate) struct TakenRow {
    region: Region,
    pub(crate) account: AccountId,
    subnet: String,
    address: u64,
    /// `eni-…`
    pub(crate) interface: String,
}

impl Row for TakenRow {
    const TABLE: &'static str = "ec2.taken";
    /// Region, account, subnet, address.
    type Key = (Region, AccountId, String, u64);

    fn key(&self) -> Self::Key {
        let subnet = self.subnet.clone();
        (self.region.clone(), self.account, subnet, self.address)
    }
}

impl SubnetRow {
    /// How many addresses are free.
    pub(crate) fn available(&self, reader: &impl Reader) -> Result<u64> {
        let meta = &self.meta;
        let scan = Scan::<TakenRow>::of((&meta.region, &meta.account, &meta.id));
        let mut taken = 0;
        for row in reader.scan(scan) {
            row?;
            taken += 1;
        }
        Ok((self.cidr.size() - RESERVED).saturating_sub(taken))
    }

    /// Takes an address for an interface: the wanted one, or any.
    pub(crate) fn take(
        &self,
        tx: &mut Tx,
        interface: &str,
        wanted: Option<Ipv4Addr>,
    ) -> Result<Ipv4Addr> {
        let address = match wanted {
            Some(address) => self.wanted(tx, address)?,
            None => self.any(tx)?,
        };
        tx.put(&TakenRow {
            region: self.meta.region.clone(),
            account: self.meta.account,
            subnet: self.meta.id.clone(),
            address: u32::from(address).into(),
            interface: interface.to_owned(),
        })?;
        Ok(address)
    }

    /// Gives an address back.
    pub(crate) fn give_back(&self, tx: &mut Tx, address: Ipv4Addr) -> Result<()> {
        Ok(tx.delete::<TakenRow>(self.place(address))?)
    }

    fn wanted(&self, tx: &Tx, address: Ipv4Addr) -> Result<Ipv4Addr> {
        if !self.cidr.holds(address) {
            return Err(Refusal::value(
                "Address does not fall within the subnet's address range",
            ));
        }
        if !self.usable().contains(&u32::from(address)) {
            return Err(Refusal::value(
                "Address is in subnet's reserved address range",
            ));
        }
        match self.owner(tx, address)? {
            None => Ok(address),
            Some(_) => Err(Refusal::new(
                "InvalidIPAddress.InUse",
                format!("Address {address} is in use."),
            )),
        }
    }

    fn any(&self, tx: &Tx) -> Result<Ipv4Addr> {
        let usable = self.usable();
        for _ in 0..TRIES {
            // At most a /16, so the remainder favours no address by more than one in 65,000.
            let random = u32::from_be_bytes(id::bytes());
            let address = Ipv4Addr::from(usable.start + random % (usable.end - usable.start));
            if self.owner(tx, address)?.is_none() {
                return Ok(address);
            }
        }
        for address in usable.map(Ipv4Addr::from) {
            if self.owner(tx, address)?.is_none() {
                return Ok(address);
            }
        }
        let id = self.id();
        Err(Refusal::new(
            "InsufficientFreeAddressesInSubnet",
            format!(
                "There are not enough free addresses in subnet '{id}' to satisfy the requested number of instances."
            ),
        ))
    }

    fn usable(&self) -> std::ops::Range<u32> {
        u32::from(self.cidr.nth(RESERVED_HEAD))..u32::from(self.cidr.last())
    }

    fn owner(&self, tx: &Tx, address: Ipv4Addr) -> Result<Option<TakenRow>> {
        Ok(tx.get::<TakenRow>(self.place(address))?)
    }

    fn place(&self, address: Ipv4Addr) -> (Region, AccountId, String, u64) {
        let meta = &self.meta;
        (
            meta.region.clone(),
            meta.account,
            meta.id.clone(),
            u32::from(address).into(),
        )
    }
}

impl Described for SubnetRow {
    type Shape = t::Subnet;
    const FILTERS: Paths = &[
        ("availability-zone", "AvailabilityZone"),
        ("availabilityZone", "AvailabilityZone"),
        ("availability-zone-id", "AvailabilityZoneId"),
        ("availabilityZoneId", "AvailabilityZoneId"),
        ("available-ip-address-count", "AvailableIpAddressCount"),
        ("cidr-block", "CidrBlock"),
        ("cidr", "CidrBlock"),
        ("cidrBlock", "CidrBlock"),
        ("default-for-az", "DefaultForAz"),
        ("defaultForAz", "DefaultForAz"),
        ("map-public-ip-on-launch", "MapPublicIpOnLaunch"),
        ("owner-id", "OwnerId"),
        ("state", "State"),
        ("subnet-arn", "SubnetArn"),
        ("subnet-id", "SubnetId"),
        ("vpc-id", "VpcId"),
    ];

    fn shape(&self, reader: &impl Reader, _: &Names) -> Result<t::Subnet> {
        let available = self.available(reader)?;
        Ok(t::Subnet {
            availability_zone_id: zones::id(&self.meta.region, &self.zone),
            map_customer_owned_ip_on_launch: Some(false),
            owner_id: Some(self.meta.account.to_string()),
            assign_ipv6_address_on_creation: Some(false),
            ipv6_cidr_block_association_set: Some(Vec::new()),
            tags: tags::shapes(&self.meta.tags),
            subnet_arn: Some(self.arn().to_string()),
            enable_dns64: Some(false),
            ipv6_native: Some(false),
            private_dns_name_options_on_launch: Some(t::PrivateDnsNameOptionsOnLaunch {
                hostname_type: Some("ip-name".into()),
                enable_resource_name_dns_a_record: Some(false),
                enable_resource_name_dns_aaaa_record: Some(false),
            }),
            subnet_id: Some(self.meta.id.clone()),
            state: Some("available".into()),
            vpc_id: Some(self.vpc.clone()),
            cidr_block: Some(self.cidr.to_string()),
            available_ip_address_count: Some(i32::try_from(available).unwrap_or(i32::MAX)),
            availability_zone: Some(self.zone.clone()),
            default_for_az: Some(self.default_for_zone),
            map_public_ip_on_launch: Some(self.map_public_ip),
            ..Default::default()
        })
    }
}
