//! Measurements, not assertions: `cargo test -p gureum-network -- --ignored --nocapture figures`.

use crate::lab::*;
use gureum_network::{GroupRule, Ports, Traffic, VpcPlan};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

const PUMPED: Duration = Duration::from_secs(2);

#[test]
#[ignore = "takes half a minute, and says something only on a quiet machine"]
fn figures_of_throughput() {
    lab(async |lab| {
        let bare = bare();
        println!("bare veth pair            {bare:6.2} Gbit/s");
        let mut plan = vpc("vpc-1");
        plan.instance("a", "10.0.1.10", &["open"])
            .instance("b", "10.0.2.10", &["open"]);
        for (name, rules) in [("one rule", 1), ("1,000 rules", 1000)] {
            plan.groups[0].ingress = narrow(rules - 1);
            // Sorts last, so that a new connection meets all others first.
            let low = Traffic::Tcp(Ports { first: 1, last: 99 });
            plan.groups[0].ingress.push(from("0.0.0.0/0", low));
            lab.apply(&plan).await;
            let routed = routed(lab).await;
            let share = 100.0 * routed / bare;
            println!("through the router, {name:11} {routed:6.2} Gbit/s, {share:.0} %");
            let listener = lab
                .inside("b", || TcpListener::bind("10.0.2.10:6").unwrap())
                .await;
            let connects = lab
                .inside("a", move || connects(&listener, "10.0.2.10:6"))
                .await;
            println!("                 new connections {connects:8.0} /s");
        }
    });
}

#[test]
#[ignore = "takes a while, and says something only on a quiet machine"]
fn figures_of_apply() {
    lab(async |lab| {
        let mut plan = vpc("vpc-1");
        timed("the first apply, nobody in it", lab, &plan).await;
        for n in 0..100 {
            let address = format!("10.0.{}.{}", 1 + n % 2, 10 + n);
            plan.instance(&format!("i{n}"), &address, &["open"]);
        }
        timed("100 interfaces at once", lab, &plan).await;
        timed("nothing", lab, &plan).await;
        plan.instance("one", "10.0.1.200", &["open"]);
        timed("one more interface", lab, &plan).await;
        plan.interfaces.pop();
        timed("one interface less", lab, &plan).await;
        plan.groups[0].ingress.extend(narrow(1000));
        timed("1,000 rules more", lab, &plan).await;
        plan.groups[0].ingress.pop();
        timed("one rule less of 1,001", lab, &plan).await;
        plan.groups.push(group("sg-other", &[everything()]));
        plan.interfaces[0].groups.push("sg-other".into());
        timed("a group for an interface", lab, &plan).await;
        lab.kill_keeper().await;
        timed("all of it by a new keeper", lab, &plan).await;
    });
}

/// Rules that have nothing in common, and match nothing that is sent here.
fn narrow(count: u16) -> Vec<GroupRule> {
    let rule = |n: u16| {
        from(
            &format!("192.168.{}.{}/32", n / 250, n % 250),
            tcp(20_000 + n),
        )
    };
    (0..count).map(rule).collect()
}

async fn timed(what: &str, lab: &Lab, plan: &VpcPlan) {
    let start = Instant::now();
    lab.apply(plan).await;
    println!(
        "{what:30} {:7.1} ms",
        start.elapsed().as_secs_f64() * 1000.0
    );
}

fn bare() -> f64 {
    let there = std::thread::spawn(|| {
        new_namespace();
        std::fs::File::open("/proc/thread-self/ns/net").unwrap()
    });
    let there = there.join().unwrap();
    let path = format!(
        "/proc/{}/fd/{}",
        std::process::id(),
        std::os::fd::AsRawFd::as_raw_fd(&there)
    );
    run(
        "ip",
        &[
            "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", &path,
        ],
    );
    run("ip", &["addr", "add", "192.0.2.1/24", "dev", "near"]);
    run("ip", &["link", "set", "near", "up"]);
    let listener = within(&there, || {
        run("ip", &["addr", "add", "192.0.2.2/24", "dev", "far"]);
        run("ip", &["link", "set", "far", "up"]);
        TcpListener::bind("192.0.2.2:5").unwrap()
    });
    let stream = TcpStream::connect_timeout(&address("192.0.2.2:5"), PATIENCE).unwrap();
    let figure = pump(listener, stream);
    run("ip", &["link", "del", "near"]);
    figure
}

async fn routed(lab: &Lab) -> f64 {
    let listener = lab
        .inside("b", || TcpListener::bind("10.0.2.10:5").unwrap())
        .await;
    let connect = || TcpStream::connect_timeout(&address("10.0.2.10:5"), PATIENCE).unwrap();
    pump(listener, lab.inside("a", connect).await)
}

/// Gigabits per second of one connection.
fn pump(listener: TcpListener, mut stream: TcpStream) -> f64 {
    let sink = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = vec![0; 256 * 1024];
        let (start, mut bytes) = (Instant::now(), 0);
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            bytes += length;
        }
        bytes as f64 * 8.0 / start.elapsed().as_secs_f64() / 1e9
    });
    let buffer = vec![0; 256 * 1024];
    let start = Instant::now();
    while start.elapsed() < PUMPED {
        stream.write_all(&buffer).unwrap();
    }
    drop(stream);
    sink.join().unwrap()
}

/// Connections made and accepted per second, one after the other.
fn connects(listener: &TcpListener, to: &str) -> f64 {
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < PUMPED {
        let _near = TcpStream::connect_timeout(&address(to), PATIENCE).unwrap();
        let _far = listener.accept().unwrap();
        count += 1;
    }
    f64::from(count) / start.elapsed().as_secs_f64()
}
