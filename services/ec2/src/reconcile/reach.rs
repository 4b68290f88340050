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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use gureum_kit::Row;

    use super::*;
    use crate::model::endpoint;
    use crate::model::interface::Public;
    use crate::model::route::Association;
    use crate::model::subnet::SubnetRow;
    use crate::model::vpc::VpcRow;
    use crate::reconcile::lab::{eth0, in_a_region};

    /// What the ways in a network depend on.
    struct Scene {
        vpc: VpcRow,
        subnet: SubnetRow,
        tables: Vec<RouteTableRow>,
        interfaces: Vec<InterfaceRow>,
        endpoint: EndpointRow,
    }

    impl Scene {
        /// A subnet of a default VPC with an instance without public address, `i-0`, and one that
        /// forwards, `i-1`; no endpoint is led to.
        async fn new() -> Self {
            in_a_region(|w, _, subnet| {
                let mut interfaces = Vec::new();
                for n in 0..2 {
                    let mut row = eth0(w, subnet, &format!("i-{n}"))?;
                    row.source_dest_check = n == 0;
                    interfaces.push(row);
                }
                let vpc = w.all::<VpcRow>()?.remove(0);
                Ok(Self {
                    endpoint: EndpointRow {
                        meta: w.here.new_meta(&endpoint::KIND, Default::default()),
                        vpc: vpc.meta.id.clone(),
                        service: "s3".into(),
                        route_tables: Vec::new(),
                        policy: None,
                    },
                    tables: w.all()?,
                    vpc,
                    subnet: subnet.clone(),
                    interfaces,
                })
            })
            .await
        }

        /// The doors that are open to the first instance, by the last byte of their addresses, and
        /// whether S3's is by way of the endpoint.
        fn reached(&self) -> (Vec<u8>, bool) {
            let rows = Rows {
                vpc: &self.vpc,
                internet: true,
                subnets: vec![&self.subnet],
                tables: self.tables.iter().collect(),
                groups: Vec::new(),
                acls: Vec::new(),
                interfaces: self.interfaces.iter().collect(),
                nat_gateways: Vec::new(),
                peerings: Vec::new(),
                up: &|_| true,
                elsewhere: &BTreeMap::new(),
                prefix_lists: Vec::new(),
                endpoints: vec![&self.endpoint],
                flow_logs: &[],
            };
            let first = &self.interfaces[0];
            let doors = doors(&rows).into_iter();
            let open = doors.filter(|door| door.open_to.contains(&first.meta.id));
            let ways = ways(&rows);
            let address = first.primary_private().expect("an address");
            let way = ways.get(&("s3", address));
            assert!(way.is_none_or(|place| *place == self.endpoint.key()));
            let open = open.map(|door| door.address.octets()[3]);
            (open.collect(), way.is_some())
        }
    }

    #[tokio::test]
    async fn an_endpoint_goes_before_any_other_way() {
        let mut scene = Scene::new().await;
        assert_eq!(scene.reached(), (vec![], false), "no public address");
        scene.endpoint.route_tables = vec![scene.tables[0].meta.id.clone()];
        assert_eq!(scene.reached(), (vec![247], true));
        scene.interfaces[0].addresses[0].public = Some(Public {
            address: Ipv4Addr::new(198, 18, 0, 1),
            elastic: None,
        });
        assert_eq!(scene.reached(), (vec![249, 248, 247], true));
        scene.endpoint.route_tables.clear();
        assert_eq!(scene.reached(), (vec![249, 248, 247], false));
    }

    #[tokio::test]
    async fn endpoints_are_found_behind_who_forwards() {
        let mut scene = Scene::new().await;
        let forwarder = scene.interfaces[1].meta.id.clone();
        let mut behind = scene.tables[0].clone();
        behind.meta.id = "rtb-behind".into();
        behind.associations = vec![Association {
            id: "rtbassoc-1".into(),
            subnet: "subnet-behind".into(),
        }];
        scene.endpoint.route_tables = vec![behind.meta.id.clone()];
        scene.tables.push(behind);
        scene.tables[0].routes[0].target = Target::Interface(forwarder);
        // It forwards to itself.
        assert_eq!(scene.reached(), (vec![], false));
        scene.interfaces[1].subnet = "subnet-behind".into();
        assert_eq!(scene.reached(), (vec![247], true));
        scene.interfaces[1].source_dest_check = true;
        assert_eq!(scene.reached(), (vec![], false));
    }
}
