//! Peering connections between two VPCs of one account and region.

use gureum_kit::Reader;
use gureum_model_ec2::types as t;
use gureum_schema::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;
use crate::errors::Result;
use crate::filter::Paths;
use crate::names::Names;
use crate::resource::{Described, Kind, Meta, resource};
use crate::tags;

pub(crate) const KIND: Kind = Kind {
    prefix: "pcx",
    name: "vpc-peering-connection",
    label: "vpcPeeringConnection",
    not_found: "InvalidVpcPeeringConnectionID.NotFound",
    malformed: "InvalidVpcPeeringConnectionId.Malformed",
    ownerless: false,
};

/// A request that nobody answers lapses after a week.
pub(crate) const EXPIRES: i64 = 7 * 86_400_000;

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct PeeringRow {
    pub(crate) meta: Meta,
    pub(crate) requester: Side,
    pub(crate) accepter: Side,
    pub(crate) status: Status,
}

/// One of the two VPCs, with its blocks as they were when it was asked.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Side {
    pub(crate) vpc: String,
    pub(crate) cidrs: Vec<Cidr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    PendingAcceptance,
    Active,
    Rejected,
    /// The blocks overlap.
    Failed,
    Deleted,
}

impl Status {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PendingAcceptance => "pending-acceptance",
            Self::Active => "active",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Deleted => "deleted",
        }
    }

    fn message(self, account: &str) -> String {
        match self {
            Self::PendingAcceptance => format!("Pending Acceptance by {account}"),
            Self::Active => "Active".into(),
            Self::Rejected => "Rejected".into(),
            Self::Failed => {
                "Failed due to incorrect VPC-ID, Account ID, or overlapping CIDR range".into()
            }
            Self::Deleted => format!("Deleted by {account}"),
        }
    }
}

resource!(PeeringRow, "ec2.peering", KIND);

impl PeeringRow {
    pub(crate) fn is_active(&self) -> bool {
        self.status == Status::Active
    }

    /// Whether it connects this VPC, or may come to.
    pub(crate) fn concerns(&self, vpc: &str) -> bool {
        let open = matches!(self.status, Status::Active | Status::PendingAcceptance);
        open && (self.requester.vpc == vpc || self.accepter.vpc == vpc)
    }

    fn side(&self, side: &Side) -> t::VpcPeeringConnectionVpcInfo {
        let block = |cidr: &Cidr| t::CidrBlock {
            cidr_block: Some(cidr.to_string()),
        };
        t::VpcPeeringConnectionVpcInfo {
            cidr_block: side.cidrs.first().map(Cidr::to_string),
            cidr_block_set: Some(side.cidrs.iter().map(block).collect()),
            owner_id: Some(self.meta.account.to_string()),
            vpc_id: Some(side.vpc.clone()),
            region: Some(self.meta.region.to_string()),
            peering_options: Some(t::VpcPeeringConnectionOptionsDescription {
                allow_dns_resolution_from_remote_vpc: Some(false),
                allow_egress_from_local_classic_link_to_remote_vpc: Some(false),
                allow_egress_from_local_vpc_to_remote_classic_link: Some(false),
            }),
            ..Default::default()
        }
    }
}

impl Described for PeeringRow {
    type Shape = t::VpcPeeringConnection;
    const FILTERS: Paths = &[
        ("accepter-vpc-info.cidr-block", "AccepterVpcInfo.CidrBlock"),
        ("accepter-vpc-info.owner-id", "AccepterVpcInfo.OwnerId"),
        ("accepter-vpc-info.vpc-id", "AccepterVpcInfo.VpcId"),
        ("expiration-time", "ExpirationTime"),
        (
            "requester-vpc-info.cidr-block",
            "RequesterVpcInfo.CidrBlock",
        ),
        ("requester-vpc-info.owner-id", "RequesterVpcInfo.OwnerId"),
        ("requester-vpc-info.vpc-id", "RequesterVpcInfo.VpcId"),
        ("status-code", "Status.Code"),
        ("status-message", "Status.Message"),
        ("vpc-peering-connection-id", "VpcPeeringConnectionId"),
    ];

    fn shape(&self, _: &impl Reader, _: &Names) -> Result<t::VpcPeeringConnection> {
        let pending = self.status == Status::PendingAcceptance;
        Ok(t::VpcPeeringConnection {
            accepter_vpc_info: Some(self.side(&self.accepter)),
            requester_vpc_info: Some(self.side(&self.requester)),
            expiration_time: pending.then_some(Timestamp(self.meta.created + EXPIRES)),
            status: Some(t::VpcPeeringConnectionStateReason {
                code: Some(self.status.name().into()),
                message: Some(self.status.message(self.meta.account.as_str())),
            }),
            tags: tags::shapes(&self.meta.tags),
            vpc_peering_connection_id: Some(self.meta.id.clone()),
        })
    }
}
