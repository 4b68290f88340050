//! What passed an interface and what was dropped there is counted, flow by flow, once.

use crate::lab::*;
use gureum_network::{AclEntry, DoorPlan, Flow, Flows, Kind, VpcPlan};
use std::collections::BTreeSet;
use std::net::UdpSocket;

async fn fetch(lab: &Lab, ids: &[&str]) -> Flows {
    let ids: BTreeSet<_> = ids.iter().map(|id| (*id).to_owned()).collect();
    lab.network.flows("vpc-1", &ids).await.unwrap()
}

fn counted(plan: &mut VpcPlan, ids: &[&str]) {
    plan.counted = ids.iter().map(|id| (*id).to_owned()).collect();
}

/// Those to this port: interface, outward, accepted.
fn to(flows: &Flows, port: u16) -> Vec<(&str, bool, bool)> {
    let mine = flows.flows.iter().filter(|flow| flow.ports.1 == port);
    let mut mine: Vec<_> = mine
        .map(|flow| (flow.interface.as_str(), flow.outward, flow.accepted))
        .collect();
    mine.sort_unstable();
    mine
}

fn two(lab_plan: &mut VpcPlan) {
    lab_plan
        .group(group("web", &[from("0.0.0.0/0", tcp(80))]))
        .instance("a", "10.0.1.10", &["open"])
        .instance("b", "10.0.2.10", &["web"]);
}

#[test]
fn both_sides_of_a_flow_are_counted_and_only_once() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        two(&mut plan);
        lab.apply(&plan).await;
        lab.serve("b", "10.0.2.10:80").await;
        lab.hears("a", "10.0.2.10:80", "b sees 10.0.1.10").await;
        assert_eq!(fetch(lab, &["eni-a", "eni-b"]).await, Flows::default());

        let (a, b) = (plan.interfaces[0].id.clone(), plan.interfaces[1].id.clone());
        let ids = [a.as_str(), b.as_str()];
        counted(&mut plan, &ids);
        lab.apply(&plan).await;
        lab.hears("a", "10.0.2.10:80", "b sees 10.0.1.10").await;
        lab.silent("a", "10.0.2.10:81").await;
        let flows = fetch(lab, &ids).await;
        assert_eq!(
            to(&flows, 80),
            [(ids[0], true, true), (ids[1], false, true)]
        );
        assert_eq!(
            to(&flows, 81),
            [(ids[0], true, true), (ids[1], false, false)]
        );
        let whole = |flow: &Flow| flow.packets >= 1 && flow.bytes >= flow.packets * 40;
        assert!(flows.flows.iter().all(whole), "{flows:?}");
        assert!(flows.flows.iter().all(|flow| flow.protocol == 6));
        assert!(flows.skipped.is_empty());
        // Nothing is told twice, whichever keeper is asked.
        lab.kill_keeper().await;
        assert!(to(&fetch(lab, &ids).await, 81).is_empty());

        // Counting ends without a trace.
        counted(&mut plan, &[]);
        lab.apply(&plan).await;
        lab.hears("a", "10.0.2.10:80", "b sees 10.0.1.10").await;
        assert_eq!(fetch(lab, &ids).await, Flows::default());
    });
}

#[test]
fn calls_at_doors_are_counted_as_if_they_left() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        plan.instance("a", "10.0.1.10", &["open"]);
        let a = plan.interfaces[0].id.clone();
        plan.doors = vec![DoorPlan {
            address: "10.255.0.1".parse().unwrap(),
            open_to: [a.clone()].into(),
        }];
        counted(&mut plan, &[&a]);
        lab.apply(&plan).await;
        let at = crate::lab::address("10.255.0.1:80");
        let listener = lab.network.listen("vpc-1", at, Kind::Tcp).await.unwrap();
        let listener = std::net::TcpListener::from(listener);
        listener.set_nonblocking(false).unwrap();
        serve(listener, "door");
        lab.hears("a", "10.255.0.1:80", "door sees 10.0.1.10").await;
        let flows = fetch(lab, &[&a]).await;
        assert_eq!(to(&flows, 80), [(a.as_str(), true, true)]);
        let answer = flows.flows.iter().find(|flow| flow.ports.0 == 80).unwrap();
        assert!(answer.accepted && !answer.outward && answer.bytes > 0);

        // To another port: the first connection's farewell may still be on its way.
        plan.groups[0].egress.clear();
        lab.apply(&plan).await;
        lab.silent("a", "10.255.0.1:81").await;
        let flows = fetch(lab, &[&a]).await;
        assert_eq!(to(&flows, 81), [(a.as_str(), true, false)]);
    });
}

#[test]
fn what_an_access_list_drops_is_refused_on_its_side() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        plan.instance("a", "10.0.1.10", &["open"])
            .instance("b", "10.0.2.10", &["open"]);
        let (a, b) = (plan.interfaces[0].id.clone(), plan.interfaces[1].id.clone());
        let ids = [a.as_str(), b.as_str()];
        counted(&mut plan, &ids);
        let deny = |port| AclEntry {
            allow: false,
            traffic: tcp(port),
            cidr: "0.0.0.0/0".parse().unwrap(),
        };
        plan.acls[0].egress.insert(0, deny(90));
        plan.acls[1].ingress.insert(0, deny(91));
        lab.apply(&plan).await;
        lab.silent("a", "10.0.2.10:90").await;
        lab.silent("a", "10.0.2.10:91").await;
        let bind = |at: &'static str| move || UdpSocket::bind(at).unwrap();
        let sender = lab.inside("a", bind("10.0.1.10:0")).await;
        let receiver = lab.inside("b", bind("10.0.2.10:92")).await;
        assert!(arrives(&receiver, PATIENCE, || {
            sender.send_to(b"12345", "10.0.2.10:92").unwrap();
        }));
        let flows = fetch(lab, &ids).await;
        assert_eq!(to(&flows, 90), [(ids[0], true, false)]);
        assert_eq!(
            to(&flows, 91),
            [(ids[0], true, true), (ids[1], false, false)]
        );
        assert_eq!(
            to(&flows, 92),
            [(ids[0], true, true), (ids[1], false, true)]
        );
        let datagram = flows.flows.iter().find(|flow| flow.ports.1 == 92).unwrap();
        assert_eq!((datagram.protocol, datagram.packets), (17, 1));
        assert_eq!(datagram.bytes, 20 + 8 + 5);
    });
}
