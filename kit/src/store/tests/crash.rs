//! Killed in mid-flight: what was acknowledged is there afterwards.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;

const DIR: &str = "GUREUM_TEST_CRASH_DIR";
const LANES: u64 = 8;

/// The victim. Run as a test it does nothing; run by the test below, in a process of its own, it
/// counts up in several rows at once and reports each number when it is acknowledged.
#[test]
fn victim() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let store = Store::open(Path::new(&dir)).expect("open");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build();
    runtime.expect("runtime").block_on(async {
        let lanes: Vec<_> = (0..LANES)
            .map(|lane| tokio::spawn(count(store.clone(), lane)))
            .collect();
        for lane in lanes {
            lane.await.expect("lane");
        }
    });
}

async fn count(store: Store, lane: u64) {
    let key = lane.to_string();
    let start = value(&store.read(), &key).unwrap_or(0);
    for number in start + 1.. {
        // Two rows that must never differ, and the sum of all lanes, over which they race.
        let counted = store.transact(|tx| {
            let sum = value(tx, "sum").unwrap_or(0);
            tx.put(&item("b", "sum", sum + 1))?;
            tx.put(&item("b", &key, number))?;
            tx.put(&item("mirror", &key, number))
        });
        counted.await.expect("count");
        println!("acked {lane} {number}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().expect("dir");
    let mut acked = [0u64; LANES as usize];
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().expect("test binary"))
            .args(["--exact", "store::tests::crash::victim", "--nocapture"])
            .env(DIR, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("spawn");
        let output = BufReader::new(child.stdout.take().expect("stdout"));
        let mut lines = 0;
        for line in output.lines() {
            // The rest of the output is read to its end: it was printed before the kill.
            lines += 1;
            if lines == 300 * round {
                child.kill().expect("kill -9");
            }
            let line = line.expect("line");
            let Some((_, report)) = line.split_once("acked ") else {
                continue;
            };
            if let Some((lane, number)) = report.split_once(' ') {
                let lane: usize = lane.parse().expect("lane");
                acked[lane] = number.parse().expect("number");
            }
        }
        child.wait().expect("wait");
        let store = Store::open(dir.path()).expect("open after the crash");
        let read = store.read();
        let mut sum = 0;
        for (lane, acked) in acked.iter().enumerate() {
            let lane = lane.to_string();
            let found = value(&read, &lane).unwrap_or(0);
            assert!(
                found >= *acked,
                "lane {lane}: acknowledged {acked}, found {found}"
            );
            let mirror = read
                .get::<Item>(("mirror", &lane))
                .expect("get")
                .map_or(0, |row| row.value);
            assert_eq!(found, mirror, "a transaction was torn");
            sum += found;
        }
        assert_eq!(value(&read, "sum"), Some(sum), "one overwrote another");
    }
    assert!(acked.iter().sum::<u64>() > 500, "the victim hardly ran");
}
