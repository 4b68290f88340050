//! Instances: how soon they serve, how soon they are gone, what a hundred of them cost, and whether
//! their quota is the truth.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::Setting;
use super::site::{Site, Traces, wait};
use crate::failure::{Failure, Result};
use crate::machine;
use crate::report::{Row, mebibytes, number};
use crate::stats::Latencies;

/// Launches of one instance, one after the other.
const LAUNCHES: usize = 20;
const AT_ONCE: usize = 10;
const IDLE: usize = 100;
/// How many are launched by one request.
const BATCH: usize = 10;
/// How long idling and burning are watched.
const WATCHED: Duration = Duration::from_secs(15);

/// A web server that starts as soon as its interpreter does.
const WEB: &str = r#"#!/bin/sh
exec python3 -ISc '
import socket
door = socket.socket()
door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
door.bind(("", 80))
door.listen(64)
while True:
    guest, _ = door.accept()
    guest.recv(4096)
    guest.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nOK")
    guest.close()
' &
"#;
const BURN: &str = "#!/bin/sh\nwhile :; do :; done &\n";

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(vec![Row::skipped("instances", "this needs root")]);
    }
    let mut site = Site::open(setting, "ec2")?;
    let mut rows = one_after_the_other(&mut site)?;
    rows.push(at_once(&mut site)?);
    rows.extend(quota(&mut site)?);
    rows.extend(idle(&mut site)?);
    Ok(rows)
}

/// From the request to the first page of a web server that user data starts; and from the request to
/// terminate until nothing is left.
fn one_after_the_other(site: &mut Site) -> Result<Vec<Row>> {
    let (mut served, mut gone) = (Latencies::default(), Latencies::default());
    for _ in 0..LAUNCHES {
        let started = Instant::now();
        let ids = site.launch("m5.large", 1, WEB)?;
        site.first_pages(&ids, started)?
            .into_iter()
            .for_each(|took| served.note(took));
        let traces = site.traces(&ids)?;
        let started = Instant::now();
        site.terminate(&ids)?;
        wait(|| Ok(traces.iter().all(Traces::are_gone)))?;
        gone.note(started.elapsed());
    }
    Ok(vec![
        Row::at_most(
            "RunInstances to the first page, p50",
            served.percentile(0.5),
            300.0,
            "ms",
        ),
        Row::at_most("— p95 of 20", served.percentile(0.95), 1000.0, "ms"),
        Row::at_most(
            "TerminateInstances to nothing left, p95",
            gone.percentile(0.95),
            500.0,
            "ms",
        ),
    ])
}

fn at_once(site: &mut Site) -> Result<Row> {
    let started = Instant::now();
    let ids = site.launch("t3.small", AT_ONCE, WEB)?;
    let pages = site.first_pages(&ids, started)?;
    let last = pages.into_iter().max().unwrap_or_default();
    site.terminate(&ids)?;
    Ok(Row::at_most(
        "ten at once, all serving",
        last.as_secs_f64() * 1e3,
        3000.0,
        "ms",
    ))
}

/// What a tenth of a core burns in truth, and what is told of it.
fn quota(site: &mut Site) -> Result<Vec<Row>> {
    let ids = site.launch("t3.nano", 1, BURN)?;
    site.running(1)?;
    let pid = site.traces(&ids)?.iter().map(|it| it.pid).next();
    let pid = pid.ok_or_else(|| Failure("no instance".into()))?;
    std::thread::sleep(Duration::from_secs(2));
    let (before, started) = (machine::cpu_of_tree(pid), Instant::now());
    std::thread::sleep(WATCHED);
    let burnt = machine::cpu_of_tree(pid).saturating_sub(before);
    let share = burnt.as_secs_f64() / started.elapsed().as_secs_f64() * 100.0;
    let page = site.page(&format!("/_gureum/resources/{}", ids[0]))?;
    let told = page["figures"]["now"]["figures"]["CPUUtilization"].as_f64();
    site.terminate(&ids)?;
    let mut rows = vec![Row::at_most(
        "a quota of 10 % of a core, off by",
        (share - 10.0).abs(),
        2.0,
        "points",
    )];
    rows.push(match told {
        // The figure is of the quota, which is a tenth.
        Some(told) => Row::at_most(
            "— its CPUUtilization, off by",
            (told - share * 10.0).abs(),
            3.0,
            "points",
        ),
        None => Row::skipped("— its CPUUtilization", "no control groups"),
    });
    Ok(rows)
}

/// A hundred that do nothing.
fn idle(site: &mut Site) -> Result<Vec<Row>> {
    wait(|| Ok(site.shown()?.is_empty()))?;
    let before = machine::resident(site.server.pid())?;
    let mut ids = Vec::new();
    let started = Instant::now();
    for _ in 0..IDLE / BATCH {
        ids.extend(site.launch("t2.nano", BATCH, "")?);
    }
    site.running(IDLE)?;
    let took = started.elapsed();
    let pids: BTreeSet<i32> = site
        .traces(&ids)?
        .iter()
        .flat_map(|it| [it.pid, it.supervisor])
        .collect();
    let pids: Vec<i32> = pids.into_iter().collect();
    // What launching needed for a moment is not idling.
    std::thread::sleep(Duration::from_secs(6));
    let own: u64 = pids.iter().map(|pid| machine::proportional(*pid)).sum();
    let grown = machine::resident(site.server.pid())?.saturating_sub(before);
    let each = mebibytes(own + grown) / IDLE as f64;
    let cpu = |site: &Site| {
        // The keeper's and the supervisors' parent is not the server.
        let alone = pids.iter().map(|pid| machine::cpu_of_tree(*pid));
        machine::cpu_of_tree(site.server.pid()) + alone.sum::<Duration>()
    };
    let (used, watched) = (cpu(site), Instant::now());
    std::thread::sleep(WATCHED);
    let used = cpu(site).saturating_sub(used).as_secs_f64();
    let share = used / watched.elapsed().as_secs_f64() * 100.0;
    let mut listing = Latencies::default();
    for _ in 0..50 {
        let asked = Instant::now();
        site.shown()?;
        listing.note(asked.elapsed());
    }
    site.terminate(&ids)?;
    Ok(vec![
        Row::told(
            "a hundred instances, by ten requests",
            format!("{} s", number(took.as_secs_f64())),
            String::new(),
            String::new(),
        ),
        Row::at_most("— idle, memory of ours for each", each, 6.0, "MiB"),
        Row::at_most("— idle, of a core in all", share, 5.0, "%"),
        Row::at_most(
            "DescribeInstances of a hundred, p50",
            listing.percentile(0.5),
            5.0,
            "ms",
        ),
    ])
}
