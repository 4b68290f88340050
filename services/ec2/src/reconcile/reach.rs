//! From where the APIs are reached: where the internet is, and S3 and DynamoDB also where a gateway
//! endpoint is. Follows routes as packets would, though what is there is the router itself.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use gureum_network::DoorPlan;

use super::vpc_plan::Rows;
use crate::machines::{API, GATEWAYS};
use crate::model::interface::{InterfaceRow, Purpose};
use crate::model::route::{RouteTableRow, Target};

/// How many machines that forward may stand between an interface and a gateway.
const HOPS: usize = 4;

pub(super) fn doors(rows: &Rows<'_>) -> Vec<DoorPlan> {
    let general = DoorPlan {
        address: API,
        open_to: reaching(rows, API, None),
    };
    let gateways = GATEWAYS.into_iter().map(|(service, address)| DoorPlan {
        address,
        open_to: reaching(rows, address, Some(service)),
    });
    std::iter::once(general).chain(gateways).collect()
}

fn reaching(rows: &Rows<'_>, address: Ipv4Addr, service: Option<&str>) -> BTreeSet<String> {
    let ordinary = rows.interfaces.iter().filter(|row| is_up(rows, row));
    let reaching = ordinary.filter(|row| {
        let table = rows.table_of(&row.subnet);
        table.is_some_and(|table| {
            has_endpoint(rows, table, service) || leads_out(rows, table, row, address, HOPS)
        })
    });
    reaching.map(|row| row.meta.id.clone()).collect()
}

fn is_up(rows: &Rows<'_>, row: &InterfaceRow) -> bool {
    let attachment = row.attachment.as_ref();
    let up = attachment.is_some_and(|attachment| (rows.up)(&attachment.instance));
    up && row.purpose == Purpose::Ordinary
}

fn has_endpoint(rows: &Rows<'_>, table: &RouteTableRow, service: Option<&str>) -> bool {
    rows.endpoints.iter().any(|endpoint| {
        Some(endpoint.service.as_str()) == service && endpoint.route_tables.contains(&table.meta.id)
    })
}

/// Whether what an interface sends by this table comes to the internet, and the answer back.
fn leads_out(
    rows: &Rows<'_>,
    table: &RouteTableRow,
    from: &InterfaceRow,
    to: Ipv4Addr,
    hops: usize,
) -> bool {
    let fitting = table.routes.iter();
    let fitting = fitting.filter(|route| route.destination.holds(to));
    let route = fitting.max_by_key(|route| route.destination.prefix());
    let (Some(route), 1..) = (route, hops) else {
        return false;
    };
    let by_way_of = |id: &str| {
        let mut interfaces = rows.interfaces.iter();
        let next = interfaces.find(|row| row.meta.id == id)?;
        let table = rows.table_of(&next.subnet)?;
        Some(leads_out(rows, table, next, to, hops - 1)).map(|leads| leads && forwards(rows, next))
    };
    match &route.target {
        Target::InternetGateway(_) => rows.internet && from.primary_public().is_some(),
        Target::NatGateway(id) => {
            let mut nat_gateways = rows.nat_gateways.iter();
            let nat = nat_gateways.find(|nat| nat.meta.id == *id && nat.public.is_some());
            nat.and_then(|nat| by_way_of(&nat.interface))
                .unwrap_or(false)
        }
        Target::Interface(id) => by_way_of(id).unwrap_or(false),
        Target::Peering(_) => false,
    }
}

/// Whether an interface carries what is not its own.
fn forwards(rows: &Rows<'_>, row: &InterfaceRow) -> bool {
    match row.purpose {
        Purpose::NatGateway => true,
        Purpose::Ordinary => !row.source_dest_check && is_up(rows, row),
    }
}
