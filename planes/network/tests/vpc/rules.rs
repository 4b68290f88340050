//! Who may send what to whom.

use crate::lab::*;
use gureum_network::{AclEntry, DoorPlan, GroupRule, Peer, Ports, PrefixListPlan, Traffic};
use std::net::UdpSocket;

#[test]
fn a_group_lets_in_what_it_says_and_is_silent_about_the_rest() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        plan.group(group("web", &[from("10.0.1.0/24", tcp(80))]));
        plan.instance("a", "10.0.1.10", &["open"])
            .instance("b", "10.0.2.10", &["web"]);
        plan.instance("a2", "10.0.1.11", &["open"])
            .instance("b2", "10.0.2.11", &["open"]);
        lab.apply(&plan).await;
        lab.serve("b", "10.0.2.10:80").await;
        lab.serve("b", "10.0.2.10:81").await;
        lab.serve("a2", "10.0.1.11:80").await;
        lab.hears("a", "10.0.2.10:80", "b sees 10.0.1.10").await;
        lab.silent("a", "10.0.2.10:81").await;
        lab.silent("b2", "10.0.2.10:80").await;
        // Neighbours of one subnet meet the same rules.
        lab.hears("a", "10.0.1.11:80", "a2 sees 10.0.1.10").await;

        // A change is felt by the next connection.
        plan.groups[1].ingress = vec![from("0.0.0.0/0", tcp(81))];
        lab.apply(&plan).await;
        lab.hears("a", "10.0.2.10:81", "b sees 10.0.1.10").await;
        lab.silent("a", "10.0.2.10:80").await;
    });
}

#[test]
fn a_group_as_source_means_its_members() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        let from_clients = GroupRule {
            traffic: tcp(80),
            peer: Peer::Group("clients".into()),
        };
        plan.group(group("clients", &[]))
            .group(group("web", &[from_clients]));
        plan.instance("member", "10.0.1.10", &["clients"]).instance(
            "other",
            "10.0.1.11",
            &["open"],
        );
        plan.instance("web", "10.0.2.10", &["web"]);
        lab.apply(&plan).await;
        lab.serve("web", "10.0.2.10:80").await;
        lab.hears("member", "10.0.2.10:80", "web sees 10.0.1.10")
            .await;
        lab.silent("other", "10.0.2.10:80").await;

        plan.interfaces[1].groups.push("clients".into());
        plan.interfaces[0].groups = vec!["open".into()];
        lab.apply(&plan).await;
        lab.hears("other", "10.0.2.10:80", "web sees 10.0.1.11")
            .await;
        lab.silent("member", "10.0.2.10:80").await;
    });
}

#[test]
fn a_flow_survives_the_rule_that_let_it_in() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        plan.group(group("client", &[]));
        plan.instance("a", "10.0.1.10", &["client"])
            .instance("b", "10.0.2.10", &["open"]);
        lab.apply(&plan).await;
        lab.serve("b", "10.0.2.10:80").await;
        let mut flow = lab.connection("a", "10.0.2.10:80").await;
        plan.groups[1].egress.clear();
        lab.apply(&plan).await;
        assert!(repeats(&mut flow, PATIENCE));
        lab.silent("a", "10.0.2.10:80").await;
    });
}

#[test]
fn an_access_list_has_no_memory_and_stands_at_the_border_only() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        plan.instance("a", "10.0.1.10", &["open"])
            .instance("b", "10.0.2.10", &["open"]);
        plan.instance("b2", "10.0.2.11", &["open"]);
        lab.apply(&plan).await;
        lab.serve("b", "10.0.2.10:80").await;
        let mut flow = lab.connection("a", "10.0.2.10:80").await;
        // Answers go to ephemeral ports, which may not leave subnet b any more.
        let ephemeral = Traffic::Tcp(Ports {
            first: 1024,
            last: 65535,
        });
        plan.acls[1].egress = vec![entry(false, ephemeral), entry(true, Traffic::All)];
        lab.apply(&plan).await;
        lab.silent("a", "10.0.2.10:80").await;
        assert!(!repeats(&mut flow, SILENCE));
        lab.hears("b2", "10.0.2.10:80", "b sees 10.0.2.11").await;

        // The first entry that matches decides.
        plan.acls[1].egress.reverse();
        lab.apply(&plan).await;
        lab.hears("a", "10.0.2.10:80", "b sees 10.0.1.10").await;
    });
}

#[test]
fn nobody_sends_from_an_address_that_is_not_its_own() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        plan.instance("liar", "10.0.1.10", &["open"])
            .instance("b", "10.0.2.10", &["open"]);
        lab.apply(&plan).await;
        let receiver = lab
            .inside("b", || UdpSocket::bind("10.0.2.10:9").unwrap())
            .await;
        let sender = |from: &'static str| {
            lab.inside("liar", move || {
                // Root in the namespace, as no instance is, may take any address.
                let _ = std::process::Command::new("ip")
                    .args(["addr", "add", "10.0.1.77/32", "dev", "eth0"])
                    .output();
                UdpSocket::bind((from, 0)).unwrap()
            })
        };
        let (honest, false_one) = (sender("10.0.1.10").await, sender("10.0.1.77").await);
        let send = |socket: &UdpSocket| assert_eq!(socket.send_to(b"x", "10.0.2.10:9").unwrap(), 1);
        assert!(arrives(&receiver, PATIENCE, || send(&honest)));
        assert!(!arrives(&receiver, SILENCE, || send(&false_one)));

        plan.interfaces[0].source_dest_check = false;
        lab.apply(&plan).await;
        assert!(arrives(&receiver, PATIENCE, || send(&false_one)));
    });
}

#[test]
fn services_of_the_link_are_reached_whatever_the_groups_say() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        let mut closed = group("closed", &[]);
        closed.egress.clear();
        plan.group(closed).instance("a", "10.0.1.10", &["closed"]);
        plan.services.push("10.255.0.1".parse().unwrap());
        lab.apply(&plan).await;
        for (address, name) in [
            ("169.254.169.254:80", "metadata"),
            ("169.254.169.253:53", "resolver"),
            ("10.0.0.2:53", "base plus two"),
            ("10.255.0.1:443", "api"),
        ] {
            let kind = gureum_network::Kind::Tcp;
            let listener = lab
                .network
                .listen("vpc-1", crate::lab::address(address), kind)
                .await;
            let listener = std::net::TcpListener::from(listener.unwrap());
            listener.set_nonblocking(false).unwrap();
            serve(listener, name);
            lab.hears("a", address, &format!("{name} sees 10.0.1.10"))
                .await;
        }
        // Nothing else of the router answers.
        lab.silent("a", "10.0.1.1:80").await;
    });
}

#[test]
fn a_door_is_open_to_some_and_their_rules_judge() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        let mut narrow = group("narrow", &[]);
        narrow.egress = vec![GroupRule {
            traffic: tcp(80),
            peer: Peer::Cidr("10.255.0.0/16".parse().unwrap()),
        }];
        plan.group(narrow);
        plan.instance("a", "10.0.1.10", &["open"])
            .instance("b", "10.0.2.10", &["narrow"])
            .instance("c", "10.0.2.11", &["open"]);
        let open_to = |names: &[&str]| names.iter().map(|name| format!("eni-{name}")).collect();
        let door = |address: &str, names: &[&str]| DoorPlan {
            address: address.parse().unwrap(),
            open_to: open_to(names),
        };
        plan.doors = vec![door("10.255.0.1", &["a", "b"]), door("10.254.0.1", &["b"])];
        lab.apply(&plan).await;
        for at in ["10.255.0.1:80", "10.255.0.1:81", "10.254.0.1:80"] {
            let kind = gureum_network::Kind::Tcp;
            let listener = lab
                .network
                .listen("vpc-1", crate::lab::address(at), kind)
                .await;
            let listener = std::net::TcpListener::from(listener.unwrap());
            listener.set_nonblocking(false).unwrap();
            serve(listener, at);
        }
        for (name, address) in [("a", "10.0.1.10"), ("b", "10.0.2.10")] {
            let answer = format!("10.255.0.1:80 sees {address}");
            lab.hears(name, "10.255.0.1:80", &answer).await;
        }
        // No route leads there; the group lets nothing there; neither.
        lab.silent("c", "10.255.0.1:80").await;
        lab.silent("a", "10.254.0.1:80").await;
        lab.silent("b", "10.254.0.1:80").await;
        lab.silent("b", "10.255.0.1:81").await;

        // The list of a subnet stands between its machines and the door, both ways.
        let deny = |port| AclEntry {
            allow: false,
            traffic: port,
            cidr: "10.255.0.0/16".parse().unwrap(),
        };
        plan.acls[0].egress.insert(0, deny(tcp(81)));
        plan.acls[1].ingress.insert(0, deny(Traffic::All));
        lab.apply(&plan).await;
        lab.hears("a", "10.255.0.1:80", "10.255.0.1:80 sees 10.0.1.10")
            .await;
        lab.silent("a", "10.255.0.1:81").await;
        lab.silent("b", "10.255.0.1:80").await;
    });
}

#[test]
fn a_prefix_list_changes_for_all_who_name_it() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        let net = |text: &str| text.parse().unwrap();
        plan.prefix_lists.push(PrefixListPlan {
            id: "pl".into(),
            entries: vec![net("10.0.1.0/28")],
        });
        let listed = GroupRule {
            traffic: tcp(80),
            peer: Peer::PrefixList("pl".into()),
        };
        plan.group(group("web", &[listed]))
            .instance("web", "10.0.2.10", &["web"]);
        plan.instance("low", "10.0.1.10", &["open"])
            .instance("high", "10.0.1.20", &["open"]);
        lab.apply(&plan).await;
        lab.serve("web", "10.0.2.10:80").await;
        lab.hears("low", "10.0.2.10:80", "web sees 10.0.1.10").await;
        lab.silent("high", "10.0.2.10:80").await;
        // Wider, around what was there before.
        plan.prefix_lists[0].entries = vec![net("10.0.1.0/27"), net("10.9.0.0/16")];
        lab.apply(&plan).await;
        lab.hears("high", "10.0.2.10:80", "web sees 10.0.1.20")
            .await;
        // Narrower, inside of it.
        plan.prefix_lists[0].entries = vec![net("10.0.1.16/28")];
        lab.apply(&plan).await;
        lab.silent("low", "10.0.2.10:80").await;
        lab.hears("high", "10.0.2.10:80", "web sees 10.0.1.20")
            .await;
    });
}
