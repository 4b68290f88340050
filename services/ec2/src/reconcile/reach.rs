//! By which way the APIs are reached: through the internet, S3 and DynamoDB also through gateway
//! endpoints. Follows routes as packets would, though what is there is the router itself.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use gureum_network::DoorPlan;

use super::vpc_plan::Rows;
use crate::machines::{API, GATEWAYS};
use crate::model::endpoint::EndpointRow;
use crate::model::interface::{InterfaceRow, Purpose};
use crate::model::route::{RouteTableRow, Target};
use crate::ways::{Gateway, WaysOfVpc};

/// How many machines that forward may stand between an interface and a gateway.
const HOPS: usize = 4;

/// Where the API is, at one of its addresses.
#[derive(Clone, Copy)]
struct Door {
    address: Ipv4Addr,
    /// Whose it is alone, where gateway endpoints lead to it.
    gateway: Option<Gateway>,
}

/// How packets get to a door.
#[derive(Clone, Copy)]
enum Way<'a> {
    Internet,
    Endpoint(&'a EndpointRow),
}

/// Which interfaces each address of the API is open to.
pub(super) fn doors(rows: &Rows<'_>) -> Vec<DoorPlan> {
    let general = Door {
        address: API,
        gateway: None,
    };
    let open_to = |door: Door| -> BTreeSet<String> {
        let reaching = up(rows).filter(|row| way(rows, row, door, HOPS).is_some());
        reaching.map(|row| row.meta.id.clone()).collect()
    };
    let doors = std::iter::once(general).chain(gateways());
    doors
        .map(|door| DoorPlan {
            address: door.address,
            open_to: open_to(door),
        })
        .collect()
}

/// Which private addresses come through which endpoints.
pub(super) fn ways(rows: &Rows<'_>) -> WaysOfVpc {
    let mut ways = WaysOfVpc::new();
    for door in gateways() {
        for row in up(rows) {
            if let (Some(gateway), Some(Way::Endpoint(endpoint))) =
                (door.gateway, way(rows, row, door, HOPS))
            {
                let place = gureum_kit::Row::key(endpoint);
                let addresses = row.addresses.iter().map(|it| (gateway, it.private));
                ways.extend(addresses.map(|from| (from, place.clone())));
            }
        }
    }
    ways
}

fn gateways() -> impl Iterator<Item = Door> {
    GATEWAYS.into_iter().map(|(gateway, address)| Door {
        address,
        gateway: Some(gateway),
    })
}

/// The interfaces of instances that are up.
fn up<'a>(rows: &'a Rows<'_>) -> impl Iterator<Item = &'a InterfaceRow> {
    let interfaces = rows.interfaces.iter().copied();
    interfaces.filter(|row| is_up(rows, row))
}

fn is_up(rows: &Rows<'_>, row: &InterfaceRow) -> bool {
    let attachment = row.attachment.as_ref();
    let up = attachment.is_some_and(|attachment| (rows.up)(&attachment.instance));
    up && row.purpose == Purpose::Ordinary
}

/// The way from an interface to a door, if what it sends gets there, and the answer back.
fn way<'a>(rows: &'a Rows<'_>, from: &InterfaceRow, door: Door, hops: usize) -> Option<Way<'a>> {
    let table = rows.table_of(&from.subnet)?;
    // Its route leads to this very address: no other is more specific.
    if let Some(endpoint) = endpoint(rows, table, door) {
        return Some(Way::Endpoint(endpoint));
    }
    let fitting = table.routes.iter();
    let fitting = fitting.filter(|route| route.destination.holds(door.address));
    let route = fitting.max_by_key(|route| route.destination.prefix())?;
    let hops = hops.checked_sub(1)?;
    let by_way_of = |id: &str| {
        let mut interfaces = rows.interfaces.iter();
        let next = interfaces.find(|row| row.meta.id == id && forwards(rows, row))?;
        way(rows, next, door, hops)
    };
    match &route.target {
        Target::InternetGateway(_) => {
            let leads_out = rows.internet && from.primary_public().is_some();
            leads_out.then_some(Way::Internet)
        }
        Target::NatGateway(id) => {
            let mut nat_gateways = rows.nat_gateways.iter();
            let nat = nat_gateways.find(|nat| nat.meta.id == *id && nat.public.is_some())?;
            by_way_of(&nat.interface)
        }
        Target::Interface(id) => by_way_of(id),
        Target::Peering(_) => None,
    }
}

/// The endpoint to which a table leads packets for a door.
fn endpoint<'a>(rows: &'a Rows<'_>, table: &RouteTableRow, door: Door) -> Option<&'a EndpointRow> {
    let mut endpoints = rows.endpoints.iter().copied();
    endpoints.find(|endpoint| {
        Some(endpoint.service.as_str()) == door.gateway
            && endpoint.route_tables.contains(&table.meta.id)
    })
}

/// Whether an interface carries what is not its own.
fn forwards(rows: &Rows<'_>, row: &InterfaceRow) -> bool {
    match row.purpose {
        Purpose::NatGateway => true,
        Purpose::Ordinary => !row.source_dest_check && is_up(rows, row),
    }
}
