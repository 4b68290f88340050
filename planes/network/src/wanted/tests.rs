use super::*;
use crate::check::check;
use crate::plan::*;
use crate::state::Route;
use proptest::prelude::*;

/// A small VPC with one of everything.
pub(crate) fn plan() -> VpcPlan {
    let net = |text: &str| text.parse::<Ipv4Net>().unwrap();
    let ip = |text: &str| text.parse::<Ipv4Addr>().unwrap();
    let subnet = |id: &str, cidr: &str, table: &str| SubnetPlan {
        id: id.into(),
        cidr: net(cidr),
        route_table: table.into(),
        acl: "acl-1".into(),
    };
    let everyone = |traffic| GroupRule {
        traffic,
        peer: Peer::Cidr(net("0.0.0.0/0")),
    };
    let entry = |allow, traffic, cidr: &str| AclEntry {
        allow,
        traffic,
        cidr: net(cidr),
    };
    VpcPlan {
        id: "vpc-1".into(),
        cidrs: vec![net("10.1.0.0/16")],
        dns: true,
        internet: true,
        services: vec![],
        doors: vec![DoorPlan {
            address: ip("169.254.169.249"),
            open_to: ["eni-1".to_owned()].into(),
        }],
        subnets: vec![
            subnet("subnet-pub", "10.1.11.0/24", "rtb-pub"),
            subnet("subnet-priv", "10.1.12.0/24", "rtb-priv"),
        ],
        route_tables: vec![
            RouteTablePlan {
                id: "rtb-pub".into(),
                routes: vec![RoutePlan {
                    to: net("0.0.0.0/0"),
                    via: Target::InternetGateway,
                }],
            },
            RouteTablePlan {
                id: "rtb-priv".into(),
                routes: vec![
                    RoutePlan {
                        to: net("0.0.0.0/0"),
                        via: Target::NatGateway("nat-1".into()),
                    },
                    RoutePlan {
                        to: net("10.2.0.0/16"),
                        via: Target::Peering("pcx-1".into()),
                    },
                    RoutePlan {
                        to: net("10.3.0.0/16"),
                        via: Target::Peering("pcx-gone".into()),
                    },
                ],
            },
        ],
        prefix_lists: vec![PrefixListPlan {
            id: "pl-1".into(),
            entries: vec![net("192.0.2.0/25"), net("192.0.2.128/25")],
        }],
        groups: vec![GroupPlan {
            id: "sg-web".into(),
            ingress: vec![
                everyone(Traffic::Tcp(Ports::one(80))),
                GroupRule {
                    traffic: Traffic::All,
                    peer: Peer::Group("sg-web".into()),
                },
                GroupRule {
                    traffic: Traffic::Tcp(Ports::one(22)),
                    peer: Peer::PrefixList("pl-1".into()),
                },
            ],
            egress: vec![everyone(Traffic::All)],
            elsewhere: vec![],
        }],
        acls: vec![AclPlan {
            id: "acl-1".into(),
            ingress: vec![
                entry(false, Traffic::Tcp(Ports::one(23)), "0.0.0.0/0"),
                entry(true, Traffic::All, "0.0.0.0/0"),
            ],
            egress: vec![entry(true, Traffic::All, "0.0.0.0/0")],
        }],
        interfaces: vec![InterfacePlan {
            id: "eni-1".into(),
            netns: Some("i-1".into()),
            device_index: 0,
            mac: [2, 0, 0, 0, 0, 4],
            subnet: "subnet-priv".into(),
            addresses: vec![ip("10.1.12.4")],
            groups: vec!["sg-web".into()],
            source_dest_check: true,
            mtu: 9001,
        }],
        public: vec![PublicPlan {
            public: ip("198.18.0.9"),
            private: ip("10.1.11.4"),
        }],
        nat_gateways: vec![NatGatewayPlan {
            id: "nat-1".into(),
            subnet: "subnet-pub".into(),
            private: ip("10.1.11.4"),
            mac: [2, 0, 0, 0, 0, 5],
        }],
        peerings: vec![PeeringPlan {
            id: "pcx-1".into(),
            with: "vpc-2".into(),
        }],
        counted: BTreeSet::new(),
    }
}

#[test]
fn the_filter_reads_as_expected() {
    check(&plan()).unwrap();
    let golden = include_str!("golden.nft");
    let script = compile(&plan()).ruleset.script("vpc");
    assert_eq!(script, golden, "\n{script}");
}

#[test]
fn routes_follow_the_plan() {
    let wanted = compile(&plan());
    let table = |id: &str| -> Vec<String> {
        let number = names::table(id);
        let routes = wanted
            .router
            .routes
            .iter()
            .filter(|route| route.table == number);
        routes
            .map(|Route { to, way, .. }| format!("{to} {way:?}"))
            .collect()
    };
    assert_eq!(
        table("rtb-pub"),
        [
            r#"0.0.0.0/0 Gateway { device: "core", gateway: 169.254.0.1 }"#,
            "10.1.0.0/16 Throw",
        ]
    );
    assert_eq!(
        table("rtb-priv"),
        [
            r#"0.0.0.0/0 Gateway { device: "vnat-1", gateway: 10.1.11.4 }"#,
            "10.1.0.0/16 Throw",
            r#"10.2.0.0/16 Gateway { device: "vpcx-1", gateway: 169.254.0.1 }"#,
            "10.3.0.0/16 Blackhole",
        ]
    );
    let inside = &wanted.namespaces["i-1"].space;
    assert_eq!(
        inside.addresses.first().unwrap().at.to_string(),
        "10.1.12.4/24"
    );
    assert_eq!(
        inside.routes.first().unwrap().way,
        Way::gateway("eth0", "10.1.12.1".parse().unwrap())
    );
}

#[test]
fn without_a_gateway_nothing_is_public() {
    let mut plan = plan();
    plan.internet = false;
    let wanted = compile(&plan);
    assert!(wanted.public.is_empty());
    assert!(wanted.ruleset.sets["private-to-public"].elements.is_empty());
    let default = wanted
        .router
        .routes
        .iter()
        .find(|r| r.table == names::table("rtb-pub"))
        .unwrap();
    assert_eq!(default.way, Way::Blackhole);
}

#[test]
fn a_second_interface_answers_through_itself() {
    let mut plan = plan();
    plan.interfaces.push(InterfacePlan {
        id: "eni-2".into(),
        device_index: 1,
        mac: [2, 0, 0, 0, 0, 6],
        subnet: "subnet-pub".into(),
        addresses: vec!["10.1.11.5".parse().unwrap()],
        ..plan.interfaces[0].clone()
    });
    check(&plan).unwrap();
    let wanted = compile(&plan);
    let space = &wanted.namespaces["i-1"].space;
    assert_eq!(space.rules.len(), 1);
    let defaults: Vec<_> = space
        .routes
        .iter()
        .filter(|r| r.to == everywhere())
        .collect();
    assert_eq!(
        defaults.iter().map(|r| r.table).collect::<Vec<_>>(),
        [MAIN_TABLE, 1001]
    );
}

type Change = fn(&mut VpcPlan);

#[test]
fn faults_are_found() {
    let fault = |change: Change| {
        let mut plan = plan();
        change(&mut plan);
        check(&plan).unwrap_err().to_string()
    };
    let cases: [(Change, &str); 9] = [
        (
            |p| p.groups[0].id = "x; flush ruleset".into(),
            "not a plain id",
        ),
        (
            |p| p.subnets[1].cidr = "10.1.11.128/25".parse().unwrap(),
            "overlaps",
        ),
        (
            |p| p.subnets[1].cidr = "10.9.0.0/24".parse().unwrap(),
            "outside",
        ),
        (
            |p| p.interfaces[0].addresses = vec!["10.1.12.3".parse().unwrap()],
            "not one of subnet",
        ),
        (
            |p| p.interfaces[0].groups = vec!["sg-none".into()],
            "does not exist",
        ),
        (|p| p.interfaces[0].mac[0] = 1, "names a group"),
        (|p| p.interfaces.push(p.interfaces[0].clone()), "twice"),
        (
            |p| p.route_tables[0].routes[0].to = p.cidrs[0],
            "replace the local one",
        ),
        (
            |p| p.acls[0].ingress[0].traffic = Traffic::Tcp(Ports { first: 9, last: 8 }),
            "backwards",
        ),
    ];
    for (change, expected) in cases {
        let said = fault(change);
        assert!(
            said.contains(expected),
            "{said:?} does not say {expected:?}"
        );
    }
}

/// What a table of the router does with a packet from an interface: the kernel's rules on paper.
fn decide(wanted: &Wanted, table: u32, to: Ipv4Addr) -> Option<Way> {
    let look = |table| {
        let fits = wanted
            .router
            .routes
            .iter()
            .filter(|r| r.table == table && r.to.contains(&to));
        fits.max_by_key(|route| route.to.prefix_len())
            .map(|route| route.way.clone())
    };
    look(table)
        .filter(|way| *way != Way::Throw)
        .or_else(|| look(MAIN_TABLE))
}

proptest! {
    /// The longest prefix wins among all routes and the local one, and local is every interface.
    #[test]
    fn the_longest_prefix_wins(
        routes in prop::collection::btree_map((any::<u32>(), 0u8..=32), 0..3u8, 0..8),
        to in any::<u32>(),
        near in any::<bool>(),
    ) {
        let mut plan = plan();
        let to = Ipv4Addr::from(if near { 0x0a01_0c00 | (to & 0xff) } else { to });
        let targets = [Target::InternetGateway, Target::NatGateway("nat-1".into()), Target::Blackhole];
        let routes: BTreeMap<Ipv4Net, &Target> = routes
            .iter()
            // Half of them are near the packet's destination, or most would never match.
            .map(|((at, length), via)| {
                let at = if via % 2 == 0 { u32::from(to) ^ (at >> 16) } else { *at };
                (Ipv4Net::new(at.into(), *length).unwrap().trunc(), &targets[usize::from(*via)])
            })
            .filter(|(net, _)| *net != plan.cidrs[0])
            .collect();
        plan.route_tables[0].routes =
            routes.iter().map(|(to, via)| RoutePlan { to: *to, via: (*via).clone() }).collect();
        check(&plan).unwrap();
        let wanted = compile(&plan);
        let local = plan.cidrs[0];
        let best = routes.iter().filter(|(net, _)| net.contains(&to)).max_by_key(|(net, _)| net.prefix_len());
        let expected = match best {
            Some((net, via)) if !local.contains(&to) || net.prefix_len() > local.prefix_len() => {
                way(&plan, via).unwrap_or(Way::Blackhole)
            }
            _ if to == Ipv4Addr::new(10, 1, 12, 4) => Way::link("veni-1"),
            _ if to == Ipv4Addr::new(10, 1, 11, 4) => Way::link("vnat-1"),
            _ => Way::Blackhole,
        };
        prop_assert_eq!(decide(&wanted, names::table("rtb-pub"), to), Some(expected));
    }
}
