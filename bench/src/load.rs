//! The load generator: closed loop, a fixed number of connections, each with one request under way.
//!
//! The connections are spread over as many threads as there are cores; each thread has a runtime
//! of its own, so nothing moves between cores on the client's side. Client and server share the
//! machine: what the client costs is the same for every contestant and is reported apart.

use std::net::SocketAddr;
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, TryStreamExt};

use crate::client::{in_time, runtime};
use crate::failure::{Context, Failure, Result};
use crate::machine;
use crate::stats::Latencies;

/// Who is driven, how hard and for how long.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    /// The server's process (and its children): whose processor time is counted.
    pub(crate) pid: i32,
    pub(crate) connections: usize,
    pub(crate) warm_up: Duration,
    pub(crate) length: Duration,
}

/// Which step of which connection; no two steps of a round have the same pair.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    pub(crate) connection: usize,
    pub(crate) number: u64,
}

/// What one round of load measured.
pub(crate) struct Round {
    pub(crate) steps: u64,
    pub(crate) bytes: u64,
    pub(crate) elapsed: Duration,
    pub(crate) latencies: Latencies,
    pub(crate) server_cpu: Duration,
    pub(crate) client_cpu: Duration,
}

impl Round {
    pub(crate) fn per_second(&self) -> f64 {
        self.steps as f64 / self.elapsed.as_secs_f64()
    }

    pub(crate) fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.elapsed.as_secs_f64()
    }

    /// Microseconds of the server's processor time per step.
    pub(crate) fn server_micros(&self) -> f64 {
        self.server_cpu.as_secs_f64() * 1e6 / self.steps.max(1) as f64
    }

    pub(crate) fn client_micros(&self) -> f64 {
        self.client_cpu.as_secs_f64() * 1e6 / self.steps.max(1) as f64
    }
}

/// A kind of client: how it connects.
pub(crate) trait Dial: Sized {
    async fn dial(address: SocketAddr) -> Result<Self>;
}

/// Runs one round: every connection repeats `step`, which returns the bytes it moved.
pub(crate) fn run<C, F>(load: Load, step: &F) -> Result<Round>
where
    C: Dial,
    F: AsyncFn(&mut C, Turn) -> Result<u64> + Sync,
{
    let threads = machine::cores().min(load.connections);
    let gate = Barrier::new(threads + 1);
    let shares: Mutex<Vec<Result<Share>>> = Mutex::new(Vec::new());
    let (started, server, client) = std::thread::scope(|scope| {
        for thread in 0..threads {
            let (gate, shares) = (&gate, &shares);
            scope.spawn(move || {
                let mine = (thread..load.connections).step_by(threads);
                let share = drive(load, mine, gate, step);
                if let Ok(mut shares) = shares.lock() {
                    shares.push(share);
                }
            });
        }
        gate.wait();
        let before = (
            Instant::now(),
            machine::cpu_of_tree(load.pid),
            machine::own_cpu(),
        );
        std::thread::sleep(load.length);
        (
            before.0.elapsed(),
            machine::cpu_of_tree(load.pid).saturating_sub(before.1),
            machine::own_cpu().saturating_sub(before.2),
        )
    });
    let shares = shares.into_inner().or_fail("a load thread panicked")?;
    let mut round = Round {
        steps: 0,
        bytes: 0,
        elapsed: started,
        latencies: Latencies::default(),
        server_cpu: server,
        client_cpu: client,
    };
    for share in shares {
        let share = share?;
        round.steps += share.latencies.len() as u64;
        round.bytes += share.bytes;
        round.latencies.add(share.latencies);
    }
    match round.steps {
        0 => Err(Failure("not one request ended within a round".into())),
        _ => Ok(round),
    }
}

/// What one connection, or one thread, did.
#[derive(Default)]
struct Share {
    latencies: Latencies,
    bytes: u64,
}

fn drive<C, F>(
    load: Load,
    connections: impl Iterator<Item = usize>,
    gate: &Barrier,
    step: &F,
) -> Result<Share>
where
    C: Dial,
    F: AsyncFn(&mut C, Turn) -> Result<u64> + Sync,
{
    let mut opened = Vec::new();
    let warm = runtime().and_then(|runtime| {
        runtime.block_on(async {
            for number in connections {
                let connection = C::dial(load.address).await?;
                opened.push(Line {
                    number,
                    turns: 0,
                    connection,
                });
            }
            together(&mut opened, load.warm_up, step).await
        })?;
        Ok(runtime)
    });
    // Also after a failure: the others wait for this thread.
    gate.wait();
    warm?.block_on(together(&mut opened, load.length, step))
}

/// One connection of the load.
struct Line<C> {
    number: usize,
    turns: u64,
    connection: C,
}

/// All lines at once, each woken on its own.
async fn together<C, F>(lines: &mut [Line<C>], length: Duration, step: &F) -> Result<Share>
where
    F: AsyncFn(&mut C, Turn) -> Result<u64> + Sync,
{
    let end = Instant::now() + length;
    let running: FuturesUnordered<_> = lines
        .iter_mut()
        .map(|line| repeat(line, end, step))
        .collect();
    let all = running.try_fold(Share::default(), async |mut all, share| {
        all.bytes += share.bytes;
        all.latencies.add(share.latencies);
        Ok(all)
    });
    in_time(length, all).await
}

/// Only steps that end in time count.
async fn repeat<C, F>(line: &mut Line<C>, end: Instant, step: &F) -> Result<Share>
where
    F: AsyncFn(&mut C, Turn) -> Result<u64> + Sync,
{
    let mut share = Share::default();
    loop {
        let turn = Turn {
            connection: line.number,
            number: line.turns,
        };
        line.turns += 1;
        let started = Instant::now();
        let bytes = step(&mut line.connection, turn).await?;
        let ended = Instant::now();
        if ended > end {
            return Ok(share);
        }
        share.bytes += bytes;
        share.latencies.note(ended - started);
    }
}
