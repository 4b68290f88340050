//! Networks that change, outlive their keeper, and go away.

use crate::lab::*;
use gureum_network::Target;

#[test]
fn a_killed_keeper_leaves_everything_and_its_successor_carries_on() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        plan.internet = true;
        plan.group(group("web", &[from("0.0.0.0/0", tcp(80))]));
        plan.instance("a", "10.0.1.10", &["open"])
            .instance("b", "10.0.2.10", &["web"]);
        plan.public("198.18.0.10", "10.0.1.10")
            .route("a", "0.0.0.0/0", Target::InternetGateway);
        lab.apply(&plan).await;
        lab.serve("b", "10.0.2.10:80").await;
        lab.serve("b", "10.0.2.10:81").await;
        lab.serve("a", "0.0.0.0:80").await;
        let mut flow = lab.connection("a", "10.0.2.10:80").await;

        lab.kill_keeper().await;
        assert!(repeats(&mut flow, PATIENCE));
        hears("198.18.0.10:80", "a sees 198.18.0.1");
        // The successor knows nothing, and does the same and one thing more.
        plan.instance("c", "10.0.2.11", &["open"]);
        plan.groups[1].ingress.push(from("10.0.2.11/32", tcp(81)));
        lab.network.open(&lab.core(false)).await.unwrap();
        lab.apply(&plan).await;
        assert!(repeats(&mut flow, PATIENCE));
        lab.hears("c", "10.0.2.10:81", "b sees 10.0.2.11").await;
        lab.silent("a", "10.0.2.10:81").await;
        hears("198.18.0.10:80", "a sees 198.18.0.1");

        lab.kill_keeper().await;
        let seen = lab.network.observe().await.unwrap();
        assert_eq!(seen.len(), 1);
        let ids: Vec<_> = seen[0]
            .interfaces
            .iter()
            .map(|i| (i.id.as_str(), i.running))
            .collect();
        assert_eq!(ids, [("eni-a", true), ("eni-b", true), ("eni-c", true)]);
        lab.network.remove("vpc-1").await.unwrap();
        assert_eq!(lab.namespaces().await, [""; 0]);
        assert_eq!(lab.network.observe().await.unwrap(), []);
    });
}

#[test]
fn applying_again_changes_nothing() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        plan.instance("a", "10.0.1.10", &["open"]);
        lab.apply(&plan).await;
        let look = async || {
            let router = lab.inside("vpc-1", state).await;
            (router, lab.inside("a", state).await)
        };
        let before = look().await;
        assert!(
            before.0.contains("veni-a") && before.1.contains("10.0.1.10/24"),
            "{before:#?}"
        );
        lab.apply(&plan).await;
        assert_eq!(look().await, before);
        lab.kill_keeper().await;
        lab.apply(&plan).await;
        assert_eq!(look().await, before);
    });
}

#[test]
fn what_a_hand_from_outside_changed_is_mended() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        plan.instance("a", "10.0.1.10", &["open"])
            .instance("b", "10.0.2.10", &["open"]);
        lab.apply(&plan).await;
        lab.serve("b", "10.0.2.10:80").await;
        lab.inside("vpc-1", || {
            run("ip", &["link", "del", "veni-a"]);
            run("ip", &["rule", "del", "pref", "1000"]);
            run("ip", &["route", "del", "10.0.2.10"]);
        })
        .await;
        lab.apply(&plan).await;
        lab.hears("a", "10.0.2.10:80", "b sees 10.0.1.10").await;
    });
}

#[test]
fn an_interface_goes_and_its_namespace_with_it() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        plan.instance("a", "10.0.1.10", &["open"])
            .instance("b", "10.0.2.10", &["open"]);
        lab.apply(&plan).await;
        assert_eq!(lab.namespaces().await, ["a", "b", "vpc-1"]);
        plan.interfaces.remove(0);
        // The other moves to another instance, as something else.
        plan.interfaces[0].netns = Some("c".into());
        lab.apply(&plan).await;
        plan.interfaces[0].device_index = 1;
        plan.interfaces[0].mac[0] = 0x0e;
        lab.apply(&plan).await;
        let links = lab.inside("c", || run("ip", &["-br", "link"])).await;
        assert!(
            links.contains("eth1") && links.contains("0e:00:0a:00:02:0a"),
            "{links}"
        );
        assert_eq!(lab.namespaces().await, ["c", "vpc-1"]);
        let seen = lab.network.observe().await.unwrap();
        assert_eq!(seen[0].interfaces.len(), 1);
    });
}

#[test]
fn what_went_through_is_counted() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        plan.instance("a", "10.0.1.10", &["open"])
            .instance("b", "10.0.2.10", &["open"]);
        lab.apply(&plan).await;
        let receiver = lab
            .inside("b", || std::net::UdpSocket::bind("10.0.2.10:9").unwrap())
            .await;
        let sender = lab
            .inside("a", || std::net::UdpSocket::bind("10.0.1.10:9").unwrap())
            .await;
        let before = lab.network.observe().await.unwrap();
        for _ in 0..10 {
            sender.send_to(&[0; 1000], "10.0.2.10:9").unwrap();
            receiver.recv(&mut [0; 1000]).unwrap();
        }
        let after = lab.network.observe().await.unwrap();
        let sent = after[0].interfaces[0].bytes_out - before[0].interfaces[0].bytes_out;
        let received = after[0].interfaces[1].packets_in - before[0].interfaces[1].packets_in;
        // Beside the ten there may be an ARP exchange.
        assert!((10 * 1042..10 * 1042 + 200).contains(&sent), "{sent}");
        assert!((10..13).contains(&received), "{received}");
    });
}

#[test]
fn flows_end_with_the_owner_of_their_address() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        plan.group(group("closed", &[]));
        plan.instance("a", "10.0.1.10", &["open"])
            .instance("old", "10.0.2.10", &["open"]);
        lab.apply(&plan).await;
        let sender = lab
            .inside("a", || std::net::UdpSocket::bind("10.0.1.10:9").unwrap())
            .await;
        let receiver = async |name| {
            lab.inside(name, || std::net::UdpSocket::bind("10.0.2.10:9").unwrap())
                .await
        };
        let send = || assert_eq!(sender.send_to(b"x", "10.0.2.10:9").unwrap(), 1);
        let old = receiver("old").await;
        assert!(arrives(&old, PATIENCE, send));
        old.send_to(b"x", "10.0.1.10:9").unwrap();
        sender.recv(&mut [0; 8]).unwrap();
        // Established now. The next owner of the address lets nothing in.
        plan.interfaces.pop();
        plan.instance("new", "10.0.2.10", &["closed"]);
        lab.apply(&plan).await;
        let new = receiver("new").await;
        assert!(!arrives(&new, SILENCE, send));
    });
}

/// All that this plane sets up in a namespace, without what changes by itself.
fn state() -> String {
    [
        run("ip", &["-br", "link"]),
        run("ip", &["-br", "addr"]),
        run("ip", &["rule"]),
        run("ip", &["route", "show", "table", "all"]),
        run("ip", &["neigh", "show", "nud", "permanent"]),
        run("nft", &["list", "ruleset"]),
    ]
    .concat()
    // The kernel says UP a little later than it is.
    .replace("UNKNOWN", "UP     ")
}

impl Lab {
    pub(crate) async fn kill_keeper(&self) {
        let keeper = self.room.dir().join("keeper.sock");
        let stream = std::os::unix::net::UnixStream::connect(keeper).unwrap();
        let peer = rustix::net::sockopt::socket_peercred(&stream).unwrap();
        rustix::process::kill_process(peer.pid, rustix::process::Signal::KILL).unwrap();
        // It is gone when its end of the connection is.
        let mut byte = [0];
        assert!(matches!(
            std::io::Read::read(&mut (&stream), &mut byte),
            Ok(0) | Err(_)
        ));
    }
}
