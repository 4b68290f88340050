//! Ways out of a subnet and in.

use crate::lab::*;
use gureum_network::{Kind, NatGatewayPlan, PeeringPlan, Target};
use std::net::{TcpListener, TcpStream};

#[test]
fn equal_blocks_do_not_meet() {
    lab(async |lab| {
        for (id, name, client) in [("vpc-1", "one", "c1"), ("vpc-2", "two", "c2")] {
            let mut plan = vpc(id);
            plan.instance(name, "10.0.1.10", &["open"])
                .instance(client, "10.0.2.10", &["open"]);
            lab.apply(&plan).await;
            lab.serve(name, "10.0.1.10:80").await;
        }
        lab.hears("c1", "10.0.1.10:80", "one sees 10.0.2.10").await;
        lab.hears("c2", "10.0.1.10:80", "two sees 10.0.2.10").await;
        lab.network.remove("vpc-2").await.unwrap();
        lab.hears("c1", "10.0.1.10:80", "one sees 10.0.2.10").await;
    });
}

#[test]
fn a_public_address_works_while_the_route_to_the_gateway_exists() {
    lab(async |lab| {
        lab.serve_beyond("somebody").await;
        let mut plan = vpc("vpc-1");
        plan.internet = true;
        plan.instance("a", "10.0.1.10", &["open"])
            .instance("bare", "10.0.1.11", &["open"]);
        plan.public("198.18.0.10", "10.0.1.10")
            .route("a", "0.0.0.0/0", Target::InternetGateway);
        lab.apply(&plan).await;
        lab.serve("a", "0.0.0.0:80").await;
        hears("198.18.0.10:80", "a sees 198.18.0.1");
        lab.hears("a", BEYOND, "somebody sees 198.18.0.10").await;
        // Without a public address of its own nobody gets out.
        lab.silent("bare", BEYOND).await;
        // From inside, a public address leads through the gateway as well.
        lab.hears("a", "198.18.0.10:80", "a sees 198.18.0.10").await;

        let routes = std::mem::take(&mut plan.route_tables[0].routes);
        lab.apply(&plan).await;
        silent("198.18.0.10:80");
        lab.silent("a", BEYOND).await;
        plan.route_tables[0].routes = routes;
        lab.apply(&plan).await;
        hears("198.18.0.10:80", "a sees 198.18.0.1");
        // The host's way does not lead to private addresses, nor to what nobody has.
        let astray = "route add 10.0.0.0/16 via 169.254.0.1 dev gureum-test onlink";
        run("ip", &astray.split(' ').collect::<Vec<_>>());
        silent("10.0.1.10:80");
        plan.internet = false;
        lab.apply(&plan).await;
        unanswered("198.18.0.10:80");
    });
}

#[test]
fn a_private_subnet_gets_out_by_a_nat_gateway_alone() {
    lab(async |lab| {
        lab.serve_beyond("somebody").await;
        let mut plan = vpc("vpc-1");
        plan.internet = true;
        plan.route("a", "0.0.0.0/0", Target::InternetGateway);
        plan.instance("private", "10.0.2.10", &["open"]);
        lab.apply(&plan).await;
        lab.silent("private", BEYOND).await;

        plan.nat_gateways.push(NatGatewayPlan {
            id: "nat-1".into(),
            subnet: "a".into(),
            private: "10.0.1.20".parse().unwrap(),
            mac: [0x0a, 1, 2, 3, 4, 5],
        });
        plan.public("198.18.0.20", "10.0.1.20");
        plan.route("b", "0.0.0.0/0", Target::NatGateway("nat-1".into()));
        lab.apply(&plan).await;
        lab.hears("private", BEYOND, "somebody sees 198.18.0.20")
            .await;
        // Nobody comes in that way.
        unanswered("198.18.0.20:80");

        // The gateway needs the way out itself.
        plan.route_tables[0].routes.clear();
        lab.apply(&plan).await;
        lab.silent("private", BEYOND).await;
        // A route whose target is gone swallows its packets.
        plan.route("a", "0.0.0.0/0", Target::InternetGateway);
        plan.nat_gateways.clear();
        plan.public.clear();
        lab.apply(&plan).await;
        lab.silent("private", BEYOND).await;
        assert!(!lab.namespaces().await.contains(&"nat-1".to_owned()));
    });
}

#[test]
fn peers_reach_what_both_have_routes_for() {
    lab(async |lab| {
        let (mut one, mut two) = (vpc("vpc-1"), vpc("vpc-2"));
        two.cidrs = vec!["10.1.0.0/16".parse().unwrap()];
        two.subnets[0].cidr = "10.1.1.0/24".parse().unwrap();
        two.subnets[1].cidr = "10.1.2.0/24".parse().unwrap();
        one.instance("a", "10.0.1.10", &["open"]);
        two.instance("b", "10.1.1.10", &["open"])
            .instance("b2", "10.1.2.10", &["open"]);
        for (plan, with) in [(&mut one, "vpc-2"), (&mut two, "vpc-1")] {
            plan.peerings.push(PeeringPlan {
                id: "pcx-1".into(),
                with: with.into(),
            });
        }
        one.route("a", "10.1.0.0/16", Target::Peering("pcx-1".into()));
        lab.apply(&one).await;
        lab.apply(&two).await;
        lab.serve("b", "10.1.1.10:80").await;
        lab.serve("b2", "10.1.2.10:80").await;
        lab.silent("a", "10.1.1.10:80").await;

        // Only subnet a of the other side knows the way back.
        two.route("a", "10.0.1.0/24", Target::Peering("pcx-1".into()));
        lab.apply(&two).await;
        lab.hears("a", "10.1.1.10:80", "b sees 10.0.1.10").await;
        lab.silent("a", "10.1.2.10:80").await;

        one.peerings.clear();
        two.peerings.clear();
        lab.apply(&one).await;
        lab.apply(&two).await;
        lab.silent("a", "10.1.1.10:80").await;
    });
}

#[test]
fn an_interface_that_may_forward_is_a_router() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        plan.instance("a", "10.0.1.10", &["open"])
            .instance("appliance", "10.0.2.10", &["open"]);
        plan.interfaces[1].source_dest_check = false;
        plan.route(
            "a",
            "192.168.7.0/24",
            Target::Interface("eni-appliance".into()),
        );
        plan.route("a", "192.168.7.128/25", Target::Blackhole);
        lab.apply(&plan).await;
        lab.inside("appliance", || {
            run("ip", &["addr", "add", "192.168.7.1/32", "dev", "lo"]);
            run("ip", &["addr", "add", "192.168.7.200/32", "dev", "lo"]);
        })
        .await;
        lab.serve("appliance", "0.0.0.0:80").await;
        lab.hears("a", "192.168.7.1:80", "appliance sees 10.0.1.10")
            .await;
        // The longest prefix wins.
        lab.silent("a", "192.168.7.200:80").await;
        plan.interfaces[1].source_dest_check = true;
        lab.apply(&plan).await;
        lab.silent("a", "192.168.7.1:80").await;
    });
}

#[test]
fn sockets_are_passed_out_of_namespaces() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        plan.internet = true;
        plan.group(group("web", &[from("10.0.2.0/24", tcp(80))]));
        plan.instance("node", "10.0.1.10", &["web"])
            .instance("b", "10.0.2.10", &["open"]);
        plan.public("198.18.0.10", "10.0.2.10")
            .route("b", "0.0.0.0/0", Target::InternetGateway);
        lab.apply(&plan).await;
        let at = address("10.0.1.10:80");
        let listener = TcpListener::from(lab.network.listen("node", at, Kind::Tcp).await.unwrap());
        listener.set_nonblocking(false).unwrap();
        serve(listener, "node");
        lab.hears("b", "10.0.1.10:80", "node sees 10.0.2.10").await;

        lab.serve("b", "0.0.0.0:80").await;
        let from_node = lab
            .network
            .connect(Some("node"), None, address("10.0.2.10:80"), Kind::Tcp);
        assert_eq!(
            first_line(from_node.await.unwrap()).await,
            "b sees 10.0.1.10"
        );
        let missing = lab
            .network
            .listen("node", address("10.0.1.11:80"), Kind::Tcp)
            .await;
        assert!(missing.is_err());
    });
}

async fn first_line(fd: std::os::fd::OwnedFd) -> String {
    use tokio::io::{AsyncBufReadExt, BufReader};
    let stream = tokio::net::TcpStream::from_std(TcpStream::from(fd)).unwrap();
    stream.writable().await.unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.unwrap();
    line.trim().to_owned()
}
