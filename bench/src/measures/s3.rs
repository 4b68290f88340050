//! Objects: reading against nginx, small durable writes against group commit, large writes against
//! what disk and MD5 allow.

use std::path::Path;

use http::Method;

use super::{Setting, create_bucket, noise, once, put_round, ratio};
use crate::client::{Connection, Cover, Payload, Requests, plain};
use crate::failure::{Context, Result};
use crate::load::{Load, Round, Turn, run};
use crate::raw;
use crate::report::{Row, number, steps, stream, throughput};
use crate::server::Server;
use crate::stats::median;

const READERS: usize = 16;
const WRITERS: usize = 16;
const MIB: usize = 1 << 20;
const SMALL: usize = 4096;
/// MiB of a large object.
const LARGE: u64 = 64;

pub(crate) fn read(setting: &Setting) -> Result<Vec<Row>> {
    let (cloud, requests) = with_bucket(setting, "s3-read")?;
    Ok(vec![get(setting, &cloud, &requests)?])
}

pub(crate) fn write(setting: &Setting) -> Result<Vec<Row>> {
    let (cloud, requests) = with_bucket(setting, "s3-write")?;
    Ok(vec![
        put_small(setting, &cloud, &requests)?,
        put_large(setting, &cloud, &requests)?,
    ])
}

fn with_bucket(setting: &Setting, name: &str) -> Result<(Server, Requests)> {
    let cloud = setting.cloud(name)?;
    let requests = Requests::to(cloud.address)?;
    create_bucket(&cloud, &requests, "/bench")?;
    Ok((cloud, requests))
}

fn get(setting: &Setting, cloud: &Server, requests: &Requests) -> Result<Row> {
    let measure = "S3 GET 1 MiB, 16 connections, against nginx";
    let home = setting.home.join("nginx");
    let files = home.join("bench");
    std::fs::create_dir_all(&files).or_fail("cannot make a directory")?;
    let Some(nginx) = Server::nginx(&home, &home)? else {
        return Ok(Row::skipped(
            measure,
            "nginx is not installed (`apt-get install nginx-light`)",
        ));
    };
    let content = Payload::once(noise(MIB));
    for reader in 0..READERS {
        let target = object(reader);
        once(
            cloud,
            requests.s3(Method::PUT, &target, content.clone(), Cover::Body)?,
        )?;
        std::fs::write(files.join(format!("{reader}")), noise(MIB)).or_fail("cannot write")?;
    }
    let (mut ours, mut theirs) = setting.duel(
        |_| get_round(setting.load(cloud, READERS), requests),
        |_| plain_round(setting.load(&nginx, READERS)),
    )?;
    let share = ratio(&ours, &theirs, Round::per_second, Round::per_second);
    Ok(Row::share(
        measure,
        stream(&mut ours),
        stream(&mut theirs),
        share,
        0.6,
    ))
}

fn object(number: usize) -> String {
    format!("/bench/{number}")
}

fn get_round(load: Load, requests: &Requests) -> Result<Round> {
    run(load, &async |connection: &mut Connection, turn: Turn| {
        let target = object(turn.connection);
        let request = requests.s3(Method::GET, &target, Payload::default(), Cover::Body)?;
        connection.drain(request).await
    })
}

fn plain_round(load: Load) -> Result<Round> {
    run(load, &async |connection: &mut Connection, turn: Turn| {
        connection
            .drain(plain(load.address, &object(turn.connection))?)
            .await
    })
}

fn put_small(setting: &Setting, cloud: &Server, requests: &Requests) -> Result<Row> {
    let content = Payload::once(noise(SMALL));
    let (mut ours, theirs) = setting.duel(
        |round| {
            let load = setting.load(cloud, WRITERS);
            put_round(load, requests, &format!("/bench/small/{round}"), &content)
        },
        |_| raw::group_commit(&setting.home, WRITERS, SMALL, setting.round),
    )?;
    let share = ratio(&ours, &theirs, Round::per_second, |rate| *rate);
    Ok(Row::share(
        "S3 PUT 4 KiB durably, 16 connections, against group-committed appends",
        steps(&mut ours),
        format!("{}/s", number(median(theirs))),
        share,
        0.6,
    ))
}

fn put_large(setting: &Setting, cloud: &Server, requests: &Requests) -> Result<Row> {
    let chunk = noise(MIB);
    let content = Payload::repeat(chunk.clone(), LARGE);
    let (ours, bounds) = setting.duel(
        |_| upload(cloud, requests, "/bench/large", &content),
        |_| bound(&setting.home, &chunk),
    )?;
    let share = ratio(&ours, &bounds, |rate| *rate, |bound| bound.0.min(bound.1));
    let disk = throughput(median(bounds.iter().map(|bound| bound.0)));
    let md5 = throughput(median(bounds.iter().map(|bound| bound.1)));
    Ok(Row::share(
        "S3 PUT 64 MiB durably, against the slower of disk and MD5",
        throughput(median(ours)),
        format!("disk {disk}, MD5 {md5}"),
        share,
        0.6,
    ))
}

/// Bytes per second of one upload, from the first byte to the reply.
fn upload(cloud: &Server, requests: &Requests, target: &str, content: &Payload) -> Result<f64> {
    let request = requests.s3(Method::PUT, target, content.clone(), Cover::Head)?;
    let started = std::time::Instant::now();
    once(cloud, request)?;
    Ok(content.length() as f64 / started.elapsed().as_secs_f64())
}

/// Bytes per second that the disk takes, and that MD5 takes.
fn bound(home: &Path, chunk: &[u8]) -> Result<(f64, f64)> {
    Ok((
        raw::sequential_write(home, chunk, LARGE)?,
        raw::md5(chunk, LARGE),
    ))
}
