//! The measures. Each is a function from a [`Setting`] to rows of the report.

pub(crate) mod dynamodb;
pub(crate) mod ec2;
pub(crate) mod listing;
pub(crate) mod network;
pub(crate) mod peers;
pub(crate) mod s3;
pub(crate) mod site;
pub(crate) mod sns;
pub(crate) mod sqs;
pub(crate) mod start;
pub(crate) mod streaming;
pub(crate) mod sts;

use std::path::PathBuf;
use std::time::Duration;

use http::Method;

use crate::client::{Connection, Cover, Payload, Requests, in_time, runtime};
use crate::failure::Result;
use crate::load::{Load, Round, Turn, run};
use crate::server::Server;
use crate::stats::median;
use crate::wire::{Supply, Wire};

/// What all measures share.
pub(crate) struct Setting {
    /// The program under measure.
    pub(crate) program: PathBuf,
    /// Data directories and files of baselines go here: one file system for all.
    pub(crate) home: PathBuf,
    pub(crate) rounds: usize,
    pub(crate) round: Duration,
    /// Bytes of the object that is streamed to see that memory stays flat.
    pub(crate) large_object: u64,
    /// Keys of the bucket that is listed.
    pub(crate) keys: u64,
    /// Items of the large table.
    pub(crate) items: u64,
}

impl Setting {
    /// A cloud on an empty data directory of its own.
    pub(crate) fn cloud(&self, name: &str) -> Result<Server> {
        Server::gureum(&self.program, &self.home.join(name))
    }

    pub(crate) fn load(&self, server: &Server, connections: usize) -> Load {
        Load {
            address: server.address,
            pid: server.pid(),
            connections,
            warm_up: self.round / 3,
            length: self.round,
        }
    }

    /// Several rounds of two contestants in turn, so that both meet the same weather.
    pub(crate) fn duel<A, B>(
        &self,
        mut ours: impl FnMut(usize) -> Result<A>,
        mut theirs: impl FnMut(usize) -> Result<B>,
    ) -> Result<(Vec<A>, Vec<B>)> {
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for round in 0..self.rounds {
            left.push(ours(round)?);
            right.push(theirs(round)?);
        }
        Ok((left, right))
    }
}

/// The median of the rounds' ratios: each round is compared with its neighbour in time.
pub(crate) fn ratio<A, B>(
    ours: &[A],
    theirs: &[B],
    of_ours: impl Fn(&A) -> f64,
    of_theirs: impl Fn(&B) -> f64,
) -> f64 {
    median(
        ours.iter()
            .zip(theirs)
            .map(|(a, b)| of_ours(a) / of_theirs(b)),
    )
}

/// One request by itself, for setting a measure up.
pub(crate) fn once(server: &Server, request: http::Request<Payload>) -> Result<bytes::Bytes> {
    runtime()?.block_on(in_time(Duration::ZERO, async {
        let mut connection = Connection::open(server.address).await?;
        connection.fetch(request).await
    }))
}

pub(crate) fn create_bucket(server: &Server, requests: &Requests, bucket: &str) -> Result<()> {
    let request = requests.s3(Method::PUT, bucket, Payload::default(), Cover::Body)?;
    once(server, request).map(drop)
}

/// A round of PUTs of `body` under fresh keys below `prefix`, which is `/bucket/…`.
pub(crate) fn put_round(
    load: Load,
    requests: &Requests,
    prefix: &str,
    body: &Payload,
) -> Result<Round> {
    let make = |turn: Turn| {
        let target = format!("{prefix}/{}-{}", turn.connection, turn.number);
        requests.s3(Method::PUT, &target, body.clone(), Cover::Body)
    };
    run_prepared(load, &make)
}

/// A round of requests that were signed before it, by a client that costs little.
pub(crate) fn run_prepared(
    load: Load,
    make: &(impl Fn(Turn) -> Result<http::Request<Payload>> + Sync),
) -> Result<Round> {
    let supply = Supply::prepare(load, make)?;
    run(load, &async |wire: &mut Wire, turn: Turn| {
        supply.exchange(wire, turn).await
    })
}

/// Bytes without a pattern that a disk or a compressor could profit from.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}
