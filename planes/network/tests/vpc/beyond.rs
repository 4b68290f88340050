//! The internet, from instances: through the host, and past it.

use crate::lab::*;
use gureum_network::{Target, Uplink, VpcPlan, own_addresses, way_out};
use std::collections::BTreeSet;
use std::fs::File;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::path::Path;

const SERVER: &str = "203.0.113.80:80";
/// The host's address on the way there, by which the server knows whoever the host lets out.
const OWN: &str = "203.0.113.1";

/// Gives the host a way out: a link to a namespace with one server.
struct World {
    _namespace: File,
}

impl World {
    fn new() -> World {
        let made = std::thread::spawn(|| {
            new_namespace();
            let namespace = File::open("/proc/thread-self/ns/net").unwrap();
            (namespace, TcpListener::bind("0.0.0.0:80").unwrap())
        });
        let (namespace, listener) = made.join().unwrap();
        let path = format!("/proc/{}/fd/{}", std::process::id(), namespace.as_raw_fd());
        let ip = |line: &str| run("ip", &line.split(' ').collect::<Vec<_>>());
        ip(&format!("link add out type veth peer name in netns {path}"));
        ip(&format!("addr add {OWN}/24 dev out"));
        ip("link set out up");
        within(&namespace, || {
            ip("addr add 203.0.113.80/24 dev in");
            ip("link set in up");
        });
        serve(listener, "server");
        World {
            _namespace: namespace,
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        run("ip", &["link", "del", "out"]);
    }
}

/// An instance on the internet, if there is a way.
fn one_instance() -> VpcPlan {
    let mut plan = vpc("vpc-1");
    plan.internet = true;
    plan.instance("a", "10.0.1.10", &["open"])
        .public("198.18.0.10", "10.0.1.10");
    plan.route("a", "0.0.0.0/0", Target::InternetGateway);
    plan
}

/// The processes that carry packets in this test's host.
fn carriers() -> Vec<String> {
    let here = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let carries = |process: &Path| {
        let name = std::fs::read_to_string(process.join("comm")).unwrap_or_default();
        let place = std::fs::read_link(process.join("ns/net"));
        name.trim() == "slirp4netns" && place.is_ok_and(|place| place == here)
    };
    processes
        .filter(|process| carries(&process.path()))
        .map(|process| process.file_name().into_string().unwrap())
        .collect()
}

#[test]
fn instances_reach_the_internet_in_the_name_of_the_host() {
    lab(async |lab| {
        let _world = World::new();
        serve(TcpListener::bind("0.0.0.0:81").unwrap(), "host");
        lab.apply(&one_instance()).await;
        lab.serve("a", "10.0.1.10:80").await;
        lab.silent("a", SERVER).await;
        lab.network.open(&lab.core(true)).await.unwrap();
        lab.hears("a", SERVER, "server sees 203.0.113.1").await;
        for own in [HOST, OWN] {
            lab.silent("a", &format!("{own}:81")).await;
        }
        hears("198.18.0.10:80", "a sees 198.18.0.1");
        lab.network.open(&lab.core(false)).await.unwrap();
        lab.silent("a", SERVER).await;
        lab.silent("a", &format!("{HOST}:81")).await;
        // One that is there for instances, and for nobody else.
        serve(TcpListener::bind((HOST, 82)).unwrap(), "sink");
        lab.hears("a", &format!("{HOST}:82"), "sink sees 198.18.0.10")
            .await;
    });
}

#[test]
fn without_root_a_process_carries_to_the_internet_and_not_to_the_host() {
    if let Err(why) = way_out() {
        println!("SKIPPED: {why}");
        return;
    }
    lab(async |lab| {
        let _world = World::new();
        serve(TcpListener::bind("0.0.0.0:81").unwrap(), "host");
        let open = async |closed| {
            let plan = lab.core_by(Uplink::Tap { closed });
            lab.network.open(&plan).await.unwrap();
        };
        let own_server = format!("{OWN}:81");
        open(BTreeSet::new()).await;
        lab.apply(&one_instance()).await;
        lab.hears("a", SERVER, "server sees 203.0.113.1").await;
        lab.hears("a", &own_server, "host sees 203.0.113.1").await;
        open(own_addresses().unwrap()).await;
        lab.silent("a", &own_server).await;
        lab.inside("a", || unanswered("192.0.0.2:81")).await;
        lab.hears("a", SERVER, "server sees 203.0.113.1").await;

        // Opened once more it is the same process, unless that has ended.
        let [carrier] = &carriers()[..] else {
            panic!("{:?}", carriers());
        };
        run("kill", &["-9", carrier]);
        while lab.network.is_carried() {
            tokio::time::sleep(SILENCE).await;
        }
        open(own_addresses().unwrap()).await;
        lab.hears("a", SERVER, "server sees 203.0.113.1").await;
        assert!(lab.network.is_carried());

        lab.network.open(&lab.core_by(Uplink::None)).await.unwrap();
        lab.inside("a", || unanswered(SERVER)).await;
        assert!(carriers().is_empty());
        open(own_addresses().unwrap()).await;
        lab.room.close().await.unwrap();
        assert!(carriers().is_empty());
    });
}
