//! NAT gateways.

use std::net::Ipv4Addr;

use gureum_kit::Reader;
use gureum_model_ec2::types as t;
use gureum_schema::Timestamp;
use serde::{Deserialize, Serialize};

use crate::errors::Result;
use crate::filter::Paths;
use crate::names::Names;
use crate::resource::{Described, Kind, Meta, resource};
use crate::tags;

pub(crate) const KIND: Kind = Kind {
    prefix: "nat",
    name: "natgateway",
    label: "NatGateway",
    not_found: "NatGatewayNotFound",
    malformed: "NatGatewayMalformed",
    ownerless: false,
};

/// How long a deleted NAT gateway is still shown, in milliseconds.
pub(crate) const SHOWN: i64 = 3_600_000;

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct NatGatewayRow {
    pub(crate) meta: Meta,
    pub(crate) vpc: String,
    pub(crate) subnet: String,
    /// Its own interface in the subnet.
    pub(crate) interface: String,
    pub(crate) private: Ipv4Addr,
    /// Its elastic address; a private gateway has none.
    pub(crate) public: Option<Public>,
    /// The network does what the row says.
    pub(crate) ready: bool,
    pub(crate) deleted: Option<i64>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Public {
    pub(crate) allocation: String,
    pub(crate) association: String,
    pub(crate) address: Ipv4Addr,
}

resource!(NatGatewayRow, "ec2.nat-gateway", KIND, vpc: vpc);

impl NatGatewayRow {
    fn state(&self) -> &'static str {
        match (self.deleted, self.ready) {
            (Some(_), _) => "deleted",
            (None, true) => "available",
            (None, false) => "pending",
        }
    }
}

impl Described for NatGatewayRow {
    type Shape = t::NatGateway;
    const FILTERS: Paths = &[
        ("nat-gateway-id", "NatGatewayId"),
        ("state", "State"),
        ("subnet-id", "SubnetId"),
        ("vpc-id", "VpcId"),
    ];

    fn shape(&self, _: &impl Reader, _: &Names) -> Result<t::NatGateway> {
        let public = self.public.as_ref();
        let address = t::NatGatewayAddress {
            allocation_id: public.map(|it| it.allocation.clone()),
            network_interface_id: Some(self.interface.clone()),
            private_ip: Some(self.private.to_string()),
            public_ip: public.map(|it| it.address.to_string()),
            association_id: public.map(|it| it.association.clone()),
            is_primary: Some(true),
            status: Some(if self.ready { "succeeded" } else { "assigning" }.into()),
            ..Default::default()
        };
        Ok(t::NatGateway {
            create_time: Some(Timestamp(self.meta.created)),
            delete_time: self.deleted.map(Timestamp),
            nat_gateway_addresses: Some(vec![address]),
            nat_gateway_id: Some(self.meta.id.clone()),
            state: Some(self.state().into()),
            subnet_id: Some(self.subnet.clone()),
            vpc_id: Some(self.vpc.clone()),
            tags: tags::shapes(&self.meta.tags),
            connectivity_type: Some(
                if public.is_some() {
                    "public"
                } else {
                    "private"
                }
                .into(),
            ),
            availability_mode: Some("zonal".into()),
            ..Default::default()
        })
    }
}
