//! Routes.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ec2::types as t;
use gureum_schema::Result as Reply;

use crate::cidr::Cidr;
use crate::errors::{Refusal, Result, refuse_on};
use crate::model::gateway::InternetGatewayRow;
use crate::model::interface::InterfaceRow;
use crate::model::nat::NatGatewayRow;
use crate::model::peering::PeeringRow;
use crate::model::route::{Route, RouteTableRow, Target};
use crate::model::vpc::VpcRow;
use crate::resource::Resource as _;
use crate::state::{Change, Ec2};

/// The most routes of one table, the local ones aside.
const MAX_ROUTES: usize = 50;

/// What a request names as a route's target.
struct Wanted<'a> {
    gateway: Option<&'a str>,
    nat_gateway: Option<&'a str>,
    peering: Option<&'a str>,
    interface: Option<&'a str>,
    instance: Option<&'a str>,
}

impl Wanted<'_> {
    /// The one target that is named, which must be there.
    fn find(&self, w: &Change<'_>, table: &RouteTableRow) -> Result<Target> {
        let named = [
            self.gateway,
            self.nat_gateway,
            self.peering,
            self.interface,
            self.instance,
        ];
        if named.iter().flatten().count() != 1 {
            return Err(Refusal::combination(
                "The request must contain exactly one of gatewayId, natGatewayId, networkInterfaceId, vpcPeeringConnectionId or instanceId",
            ));
        }
        if let Some(id) = self.gateway {
            return gateway(w, table, id);
        }
        if let Some(id) = self.nat_gateway {
            let nat = w.need::<NatGatewayRow>(id)?;
            if nat.deleted.is_some() {
                return Err(crate::model::nat::KIND.absent(id));
            }
            return Ok(Target::NatGateway(nat.meta.id));
        }
        if let Some(id) = self.peering {
            let peering = w.need::<PeeringRow>(id)?;
            if !peering.concerns(&table.vpc) {
                return Err(Refusal::value(format!(
                    "The vpc peering connection {id} does not connect {}",
                    table.vpc
                )));
            }
            return Ok(Target::Peering(peering.meta.id));
        }
        if let Some(id) = self.interface {
            let interface = w.need::<InterfaceRow>(id)?;
            in_vpc(table, &interface)?;
            return Ok(Target::Interface(interface.meta.id));
        }
        of_instance(w, table, self.instance.unwrap_or_default())
    }
}

fn gateway(w: &Change<'_>, table: &RouteTableRow, id: &str) -> Result<Target> {
    if !id.starts_with("igw-") {
        return Err(Refusal::new(
            "InvalidGatewayID.NotFound",
            format!("The gateway ID '{id}' does not exist"),
        ));
    }
    let gateway = w.need::<InternetGatewayRow>(id)?;
    if gateway.vpc.as_deref() != Some(&table.vpc) {
        return Err(Refusal::value(format!(
            "route table {} and network gateway {id} belong to different networks",
            table.id()
        )));
    }
    Ok(Target::InternetGateway(gateway.meta.id))
}

/// An instance as target is its only interface.
fn of_instance(w: &Change<'_>, table: &RouteTableRow, id: &str) -> Result<Target> {
    let mut interfaces = w.all::<InterfaceRow>()?;
    interfaces.retain(|it| it.attachment.as_ref().is_some_and(|at| at.instance == id));
    match &interfaces[..] {
        [] => Err(Refusal::new(
            "InvalidInstanceID.NotFound",
            format!("The instance ID '{id}' does not exist"),
        )),
        [interface] => {
            in_vpc(table, interface)?;
            Ok(Target::Interface(interface.meta.id.clone()))
        }
        _ => Err(Refusal::new(
            "InvalidInstanceID",
            format!(
                "There are multiple interfaces attached to instance '{id}'. Please specify an interface ID for the operation instead."
            ),
        )),
    }
}

fn in_vpc(table: &RouteTableRow, interface: &InterfaceRow) -> Result<()> {
    if table.vpc == interface.vpc {
        return Ok(());
    }
    Err(Refusal::value(format!(
        "route table {} and interface {} belong to different networks",
        table.id(),
        interface.id()
    )))
}

fn destination(text: Option<&str>) -> Result<Cidr> {
    let text = text.ok_or_else(|| Refusal::missing("destinationCidrBlock"))?;
    text.parse().map_err(|_| {
        Refusal::value(format!(
            "Value ({text}) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block."
        ))
    })
}

/// The VPC's own addresses are always routed locally.
fn not_local(w: &Change<'_>, table: &RouteTableRow, destination: Cidr) -> Result<()> {
    let vpc = w.need::<VpcRow>(&table.vpc)?;
    if vpc.cidrs().any(|block| block == destination) {
        return Err(Refusal::new(
            "RouteAlreadyExists",
            format!("The route identified by {destination} already exists."),
        ));
    }
    Ok(())
}

fn absent(table: &RouteTableRow, destination: Cidr) -> Refusal {
    let id = table.id();
    Refusal::new(
        "InvalidRoute.NotFound",
        format!("no route with destination-cidr-block {destination} in route table {id}"),
    )
}

pub(crate) async fn create(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::CreateRouteRequest,
) -> Reply<t::CreateRouteResult> {
    let destination = destination(input.destination_cidr_block.as_deref())?;
    let wanted = Wanted {
        gateway: input.gateway_id.as_deref(),
        nat_gateway: input.nat_gateway_id.as_deref(),
        peering: input.vpc_peering_connection_id.as_deref(),
        interface: input.network_interface_id.as_deref(),
        instance: input.instance_id.as_deref(),
    };
    ec2.write(&cx, input.dry_run, |w| {
        let mut table = w.need::<RouteTableRow>(&input.route_table_id)?;
        let target = wanted.find(w, &table)?;
        not_local(w, &table, destination)?;
        let route = Route {
            destination,
            target,
        };
        match table.routes.iter().find(|it| it.destination == destination) {
            // The same route again changes nothing.
            Some(same) if *same == route => return Ok(()),
            Some(_) => {
                return Err(Refusal::new(
                    "RouteAlreadyExists",
                    format!("The route identified by {destination} already exists."),
                ));
            }
            None => {}
        }
        if table.routes.len() == MAX_ROUTES {
            return Err(Refusal::limit(
                "RouteLimitExceeded",
                "routes per route table",
            ));
        }
        table.routes.push(route);
        w.put(&table)
    })
    .await?;
    Ok(t::CreateRouteResult {
        return_: Some(true),
    })
}

pub(crate) async fn replace(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::ReplaceRouteRequest,
) -> Reply<t::ReplaceRouteOutput> {
    refuse_on(&[("LocalTarget", input.local_target)])?;
    let destination = destination(input.destination_cidr_block.as_deref())?;
    let wanted = Wanted {
        gateway: input.gateway_id.as_deref(),
        nat_gateway: input.nat_gateway_id.as_deref(),
        peering: input.vpc_peering_connection_id.as_deref(),
        interface: input.network_interface_id.as_deref(),
        instance: input.instance_id.as_deref(),
    };
    ec2.write(&cx, input.dry_run, |w| {
        let mut table = w.need::<RouteTableRow>(&input.route_table_id)?;
        let target = wanted.find(w, &table)?;
        let at = table
            .routes
            .iter()
            .position(|it| it.destination == destination);
        let at = at.ok_or_else(|| absent(&table, destination))?;
        table.routes[at].target = target;
        w.put(&table)
    })
    .await?;
    Ok(t::ReplaceRouteOutput {})
}

pub(crate) async fn delete(
    ec2: Arc<Ec2>,
    cx: Cx,
    input: t::DeleteRouteRequest,
) -> Reply<t::DeleteRouteOutput> {
    let destination = destination(input.destination_cidr_block.as_deref())?;
    ec2.write(&cx, input.dry_run, |w| {
        let mut table = w.need::<RouteTableRow>(&input.route_table_id)?;
        let vpc = w.need::<VpcRow>(&table.vpc)?;
        if vpc.cidrs().any(|block| block == destination) {
            return Err(Refusal::value(format!(
                "cannot remove local route {destination} in route table {}",
                table.id()
            )));
        }
        let before = table.routes.len();
        table.routes.retain(|it| it.destination != destination);
        if table.routes.len() == before {
            return Err(absent(&table, destination));
        }
        w.put(&table)
    })
    .await?;
    Ok(t::DeleteRouteOutput {})
}
