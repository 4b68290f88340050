//! Internet gateways.

use gureum_kit::Reader;
use gureum_model_ec2::types as t;
use serde::{Deserialize, Serialize};

use crate::errors::Result;
use crate::filter::Paths;
use crate::names::Names;
use crate::resource::{Described, Kind, Meta, resource};
use crate::tags;

pub(crate) const KIND: Kind = Kind {
    prefix: "igw",
    name: "internet-gateway",
    label: "internetGateway",
    not_found: "InvalidInternetGatewayID.NotFound",
    malformed: "InvalidInternetGatewayId.Malformed",
    ownerless: false,
};

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct InternetGatewayRow {
    pub(crate) meta: Meta,
    /// The VPC that it is attached to.
    pub(crate) vpc: Option<String>,
}

resource!(InternetGatewayRow, "ec2.internet-gateway", KIND);

impl Described for InternetGatewayRow {
    type Shape = t::InternetGateway;
    const FILTERS: Paths = &[
        ("attachment.state", "Attachments.State"),
        ("attachment.vpc-id", "Attachments.VpcId"),
        ("internet-gateway-id", "InternetGatewayId"),
        ("owner-id", "OwnerId"),
    ];

    fn shape(&self, _: &impl Reader, _: &Names) -> Result<t::InternetGateway> {
        let attachment = self.vpc.iter().map(|vpc| t::InternetGatewayAttachment {
            state: Some("available".into()),
            vpc_id: Some(vpc.clone()),
        });
        Ok(t::InternetGateway {
            attachments: Some(attachment.collect()),
            internet_gateway_id: Some(self.meta.id.clone()),
            owner_id: Some(self.meta.account.to_string()),
            tags: tags::shapes(&self.meta.tags),
        })
    }
}
