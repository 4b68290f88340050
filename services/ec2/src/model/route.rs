//! Route tables, and where their routes lead.

use gureum_kit::Reader;
use gureum_model_ec2::types as t;
use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;
use crate::errors::Result;
use crate::filter::Paths;
use crate::model::endpoint::EndpointRow;
use crate::model::gateway::InternetGatewayRow;
use crate::model::interface::InterfaceRow;
use crate::model::nat::NatGatewayRow;
use crate::model::peering::PeeringRow;
use crate::model::vpc::VpcRow;
use crate::names::Names;
use crate::resource::{Described, Find, Here, Kind, Meta, resource};
use crate::tags;

pub(crate) const KIND: Kind = Kind {
    prefix: "rtb",
    name: "route-table",
    label: "routeTable",
    not_found: "InvalidRouteTableID.NotFound",
    malformed: "InvalidRouteTableId.Malformed",
    ownerless: false,
};

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct RouteTableRow {
    pub(crate) meta: Meta,
    pub(crate) vpc: String,
    /// Those that were made; the local ones follow from the VPC's blocks.
    pub(crate) routes: Vec<Route>,
    /// The association that makes it the VPC's main table.
    pub(crate) main: Option<String>,
    pub(crate) associations: Vec<Association>,
}

/// A subnet's explicit association.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Association {
    /// `rtbassoc-…`
    pub(crate) id: String,
    pub(crate) subnet: String,
}

#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Route {
    pub(crate) destination: Cidr,
    pub(crate) target: Target,
}

/// Where a route leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Target {
    InternetGateway(String),
    NatGateway(String),
    Peering(String),
    Interface(String),
}

resource!(RouteTableRow, "ec2.route-table", KIND, vpc: vpc);

impl Target {
    /// Whether packets get there. A route whose target is gone stays, as a black hole.
    pub(crate) fn alive(&self, reader: &impl Reader, here: &Here, vpc: &str) -> Result<bool> {
        Ok(match self {
            Self::InternetGateway(id) => reader
                .find::<InternetGatewayRow>(here, id)?
                .is_some_and(|row| row.vpc.as_deref() == Some(vpc)),
            Self::NatGateway(id) => reader
                .find::<NatGatewayRow>(here, id)?
                .is_some_and(|row| row.deleted.is_none()),
            Self::Peering(id) => reader
                .find::<PeeringRow>(here, id)?
                .is_some_and(|row| row.is_active()),
            Self::Interface(id) => reader
                .find::<InterfaceRow>(here, id)?
                .is_some_and(|row| row.attachment.is_some()),
        })
    }
}

impl RouteTableRow {
    fn route(&self, reader: &impl Reader, route: &Route) -> Result<t::Route> {
        let here = self.meta.here();
        let alive = route.target.alive(reader, &here, &self.vpc)?;
        let mut shape = t::Route {
            destination_cidr_block: Some(route.destination.to_string()),
            origin: Some("CreateRoute".into()),
            state: Some(if alive { "active" } else { "blackhole" }.into()),
            ..Default::default()
        };
        match &route.target {
            Target::InternetGateway(id) => shape.gateway_id = Some(id.clone()),
            Target::NatGateway(id) => shape.nat_gateway_id = Some(id.clone()),
            Target::Peering(id) => shape.vpc_peering_connection_id = Some(id.clone()),
            Target::Interface(id) => {
                let interface = reader.find::<InterfaceRow>(&here, id)?;
                let attachment = interface.and_then(|row| row.attachment);
                shape.network_interface_id = Some(id.clone());
                if let Some(attachment) = attachment {
                    shape.instance_owner_id = Some(self.meta.account.to_string());
                    shape.instance_id = Some(attachment.instance);
                }
            }
        }
        Ok(shape)
    }

    /// Routes to gateway endpoints are shown by their prefix list.
    fn endpoint_routes(&self, reader: &impl Reader) -> Result<Vec<t::Route>> {
        let endpoints = reader.of_vpc::<EndpointRow>(&self.meta.here(), &self.vpc)?;
        let mine = endpoints
            .into_iter()
            .filter(|endpoint| endpoint.route_tables.contains(&self.meta.id));
        Ok(mine
            .map(|endpoint| t::Route {
                destination_prefix_list_id: Some(endpoint.prefix_list()),
                gateway_id: Some(endpoint.meta.id),
                origin: Some("CreateRoute".into()),
                state: Some("active".into()),
                ..Default::default()
            })
            .collect())
    }

    fn associations(&self) -> Vec<t::RouteTableAssociation> {
        let shape = |id: &String, subnet: Option<String>| t::RouteTableAssociation {
            main: Some(subnet.is_none()),
            route_table_association_id: Some(id.clone()),
            route_table_id: Some(self.meta.id.clone()),
            subnet_id: subnet,
            association_state: Some(associated()),
            ..Default::default()
        };
        let main = self.main.iter().map(|id| shape(id, None));
        let subnets = self
            .associations
            .iter()
            .map(|it| shape(&it.id, Some(it.subnet.clone())));
        main.chain(subnets).collect()
    }
}

pub(crate) fn associated() -> t::RouteTableAssociationState {
    t::RouteTableAssociationState {
        state: Some("associated".into()),
        status_message: None,
    }
}

impl Described for RouteTableRow {
    type Shape = t::RouteTable;
    const FILTERS: Paths = &[
        ("association.gateway-id", "Associations.GatewayId"),
        ("association.main", "Associations.Main"),
        (
            "association.route-table-association-id",
            "Associations.RouteTableAssociationId",
        ),
        ("association.route-table-id", "Associations.RouteTableId"),
        ("association.subnet-id", "Associations.SubnetId"),
        ("owner-id", "OwnerId"),
        ("route-table-id", "RouteTableId"),
        (
            "route.destination-cidr-block",
            "Routes.DestinationCidrBlock",
        ),
        (
            "route.destination-prefix-list-id",
            "Routes.DestinationPrefixListId",
        ),
        ("route.gateway-id", "Routes.GatewayId"),
        ("route.instance-id", "Routes.InstanceId"),
        ("route.nat-gateway-id", "Routes.NatGatewayId"),
        ("route.origin", "Routes.Origin"),
        ("route.state", "Routes.State"),
        (
            "route.vpc-peering-connection-id",
            "Routes.VpcPeeringConnectionId",
        ),
        ("vpc-id", "VpcId"),
    ];

    fn shape(&self, reader: &impl Reader, _: &Names) -> Result<t::RouteTable> {
        let vpc = reader.find::<VpcRow>(&self.meta.here(), &self.vpc)?;
        let blocks = vpc.iter().flat_map(VpcRow::cidrs);
        let mut routes: Vec<t::Route> = blocks
            .map(|cidr| t::Route {
                destination_cidr_block: Some(cidr.to_string()),
                gateway_id: Some("local".into()),
                origin: Some("CreateRouteTable".into()),
                state: Some("active".into()),
                ..Default::default()
            })
            .collect();
        for route in &self.routes {
            routes.push(self.route(reader, route)?);
        }
        routes.extend(self.endpoint_routes(reader)?);
        Ok(t::RouteTable {
            associations: Some(self.associations()),
            propagating_vgws: Some(Vec::new()),
            route_table_id: Some(self.meta.id.clone()),
            routes: Some(routes),
            tags: tags::shapes(&self.meta.tags),
            vpc_id: Some(self.vpc.clone()),
            owner_id: Some(self.meta.account.to_string()),
        })
    }
}
