//! VPCs and their address blocks.

use gureum_kit::Reader;
use gureum_model_ec2::types as t;
use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;
use crate::errors::Result;
use crate::filter::Paths;
use crate::names::Names;
use crate::resource::{Described, Kind, Meta, resource};
use crate::tags;

pub(crate) const KIND: Kind = Kind {
    prefix: "vpc",
    name: "vpc",
    label: "vpc",
    not_found: "InvalidVpcID.NotFound",
    malformed: "InvalidVpcId.Malformed",
    ownerless: false,
};

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct VpcRow {
    pub(crate) meta: Meta,
    /// The primary block first; never empty.
    pub(crate) blocks: Vec<Block>,
    /// `None` is the literal `default`: no options at all.
    pub(crate) dhcp_options: Option<String>,
    pub(crate) is_default: bool,
    pub(crate) dns_support: bool,
    pub(crate) dns_hostnames: bool,
}

/// An address block of a VPC.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Block {
    /// `vpc-cidr-assoc-…`
    pub(crate) id: String,
    pub(crate) cidr: Cidr,
}

resource!(VpcRow, "ec2.vpc", KIND);

impl VpcRow {
    pub(crate) fn cidrs(&self) -> impl Iterator<Item = Cidr> {
        self.blocks.iter().map(|block| block.cidr)
    }

    /// The primary block.
    pub(crate) fn cidr(&self) -> Cidr {
        self.cidrs().next().unwrap_or(Cidr::ALL)
    }
}

impl Block {
    pub(crate) fn shape(&self) -> t::VpcCidrBlockAssociation {
        t::VpcCidrBlockAssociation {
            association_id: Some(self.id.clone()),
            cidr_block: Some(self.cidr.to_string()),
            cidr_block_state: Some(t::VpcCidrBlockState {
                state: Some("associated".into()),
                ..Default::default()
            }),
        }
    }
}

impl Described for VpcRow {
    type Shape = t::Vpc;
    const FILTERS: Paths = &[
        ("cidr", "CidrBlock"),
        (
            "cidr-block-association.association-id",
            "CidrBlockAssociationSet.AssociationId",
        ),
        (
            "cidr-block-association.cidr-block",
            "CidrBlockAssociationSet.CidrBlock",
        ),
        (
            "cidr-block-association.state",
            "CidrBlockAssociationSet.CidrBlockState.State",
        ),
        ("dhcp-options-id", "DhcpOptionsId"),
        ("is-default", "IsDefault"),
        ("isDefault", "IsDefault"),
        ("owner-id", "OwnerId"),
        ("state", "State"),
        ("vpc-id", "VpcId"),
    ];

    fn shape(&self, _: &impl Reader, _: &Names) -> Result<t::Vpc> {
        let dhcp = self.dhcp_options.as_deref().unwrap_or("default");
        Ok(t::Vpc {
            owner_id: Some(self.meta.account.to_string()),
            instance_tenancy: Some("default".into()),
            cidr_block_association_set: Some(self.blocks.iter().map(Block::shape).collect()),
            is_default: Some(self.is_default),
            tags: tags::shapes(&self.meta.tags),
            vpc_id: Some(self.meta.id.clone()),
            state: Some("available".into()),
            cidr_block: Some(self.cidr().to_string()),
            dhcp_options_id: Some(dhcp.into()),
            ..Default::default()
        })
    }
}
