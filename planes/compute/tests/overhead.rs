//! What an instance costs: time to boot and memory of ours. Prints figures and asserts little; run it
//! with `--ignored --nocapture`, on a release build.

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::{Cloud, spec};

/// A server that answers as soon as a program of a few lines can.
const WEB: &[u8] = b"#!/bin/sh
exec /usr/bin/python3 -S -c '
import socket
s = socket.create_server((\"127.0.0.1\", 80))
open(\"/run/listening\", \"w\").close()
while True:
    c, _ = s.accept()
    c.recv(4096)
    c.sendall(b\"HTTP/1.0 200 OK\\r\\n\\r\\nhello\")
    c.close()
' &
";

/// Proportional set size and private memory of a process, KiB.
fn memory(pid: i32) -> (u64, u64) {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("smaps");
    let sum = |names: &[&str]| {
        let lines = text
            .lines()
            .filter(|l| names.iter().any(|n| l.starts_with(n)));
        let values = lines.filter_map(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok());
        values.sum()
    };
    (sum(&["Pss:"]), sum(&["Private_Clean:", "Private_Dirty:"]))
}

#[tokio::test]
#[ignore = "measures"]
async fn instances_are_cheap() {
    let Some(cloud) = Cloud::open().await else {
        return;
    };
    cloud.compute.start(&spec("i-warm")).await.expect("start");
    let mut starts = Vec::new();
    for number in 0..10 {
        let begun = Instant::now();
        let instance = spec(&format!("i-{number}"));
        cloud.compute.start(&instance).await.expect("start");
        starts.push(begun.elapsed());
    }
    starts.sort();
    println!(
        "start to first process: median {:?}, most {:?}",
        starts[5], starts[9]
    );

    let mut answers = Vec::new();
    for number in 0..5 {
        let id = format!("i-web-{number}");
        let mut web = spec(&id);
        web.user_data = Some(WEB.to_vec());
        let begun = Instant::now();
        cloud.compute.start(&web).await.expect("start");
        let root = format!("/proc/{}/root", cloud.running(&id).await.pid);
        while !fs::exists(format!("{root}/run/listening")).unwrap_or(false) {
            assert!(begun.elapsed() < common::SOON);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        answers.push(begun.elapsed());
    }
    answers.sort();
    println!(
        "start to a listening server: median {:?}, most {:?}",
        answers[2], answers[4]
    );

    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut all = (0, 0);
    for number in 0..10 {
        let running = cloud.running(&format!("i-{number}")).await;
        for pid in [running.pid, running.supervisor] {
            let (shared, private) = memory(pid);
            all = (all.0 + shared, all.1 + private);
        }
    }
    println!(
        "ours per instance: PSS {} KiB, private {} KiB",
        all.0 / 10,
        all.1 / 10
    );
    cloud.close().await;
}
