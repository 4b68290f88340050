//! The same requests to other programs that speak AWS's protocols, where they are installed.

use http::Method;

use super::sqs::{create_queue, send_round};
use super::{Setting, create_bucket, dynamodb, noise, once, put_round, ratio};
use crate::client::{Connection, Cover, Payload, Requests};
use crate::failure::Result;
use crate::load::{Load, Round, Turn, run};
use crate::report::{Row, steps};
use crate::server::Server;

const CLIENTS: usize = 16;
const SMALL: usize = 4096;
const TIMES: f64 = 20.0;

pub(crate) fn moto(setting: &Setting) -> Result<Vec<Row>> {
    match Server::moto()? {
        Some(moto) => all(setting, &moto, "moto (in memory)"),
        None => Ok(absent("moto", "pip install 'moto[server]'")),
    }
}

pub(crate) fn ministack(setting: &Setting) -> Result<Vec<Row>> {
    match Server::ministack()? {
        Some(ministack) => all(setting, &ministack, "MiniStack (in memory)"),
        None => Ok(absent("MiniStack", "pip install ministack")),
    }
}

pub(crate) fn dynalite(setting: &Setting) -> Result<Vec<Row>> {
    match Server::dynalite()? {
        Some(dynalite) => items(setting, &dynalite, "dynalite (in memory)"),
        None => Ok(absent("dynalite", "npm install -g dynalite")),
    }
}

fn absent(name: &str, install: &str) -> Vec<Row> {
    let why = format!("{name} is not installed (`{install}`)");
    vec![Row::skipped(&format!("against {name}"), why)]
}

/// Objects, messages and items against a peer that has them all.
fn all(setting: &Setting, peer: &Server, name: &str) -> Result<Vec<Row>> {
    let cloud = setting.cloud(&format!("all-{}", peer.pid()))?;
    let ours = Contestant::new(setting, &cloud)?;
    let theirs = Contestant::new(setting, peer)?;
    let compare = |what: &str, round: &dyn Fn(&Contestant, usize) -> Result<Round>| {
        duel(
            setting,
            &format!("{what}, 16 connections, against {name}"),
            |number| round(&ours, number),
            |number| round(&theirs, number),
        )
    };
    let mut rows = vec![
        compare("S3 PutObject 4 KiB", &Contestant::put)?,
        compare("S3 GetObject 4 KiB", &Contestant::get)?,
        compare("SQS SendMessage 1 KiB", &Contestant::send)?,
    ];
    rows.extend(items(setting, peer, name)?);
    Ok(rows)
}

/// DynamoDB against a peer, each with an empty table.
fn items(setting: &Setting, peer: &Server, name: &str) -> Result<Vec<Row>> {
    let cloud = &setting.cloud(&format!("peers-{}", peer.pid()))?;
    let (ours, theirs) = (dynamodb::prepare(cloud)?, dynamodb::prepare(peer)?);
    // What is put again as it is there already writes nothing.
    let fresh = |round: usize| format!("peer-{round}");
    let put = duel(
        setting,
        &format!("DynamoDB PutItem 1 KiB, 16 connections, against {name}"),
        |round| dynamodb::put_round(setting.load(cloud, CLIENTS), &ours, &fresh(round)),
        |round| dynamodb::put_round(setting.load(peer, CLIENTS), &theirs, &fresh(round)),
    )?;
    let get = duel(
        setting,
        &format!("DynamoDB GetItem 1 KiB, 16 connections, against {name}"),
        |_| dynamodb::get_round(setting.load(cloud, CLIENTS), &ours),
        |_| dynamodb::get_round(setting.load(peer, CLIENTS), &theirs),
    )?;
    Ok(vec![put, get])
}

fn duel(
    setting: &Setting,
    title: &str,
    ours: impl FnMut(usize) -> Result<Round>,
    theirs: impl FnMut(usize) -> Result<Round>,
) -> Result<Row> {
    let (mut left, mut right) = setting.duel(ours, theirs)?;
    let times = ratio(&left, &right, Round::per_second, Round::per_second);
    Ok(Row::times(
        title,
        steps(&mut left),
        steps(&mut right),
        times,
        TIMES,
    ))
}

/// A server with one bucket, one object and one queue.
struct Contestant {
    load: Load,
    requests: Requests,
    queue: String,
    content: Payload,
}

impl Contestant {
    fn new(setting: &Setting, server: &Server) -> Result<Self> {
        let requests = Requests::to(server.address)?;
        create_bucket(server, &requests, "/bench")?;
        let content = Payload::once(noise(SMALL));
        let put = requests.s3(Method::PUT, "/bench/object", content.clone(), Cover::Body)?;
        once(server, put)?;
        Ok(Self {
            load: setting.load(server, CLIENTS),
            queue: create_queue(server, &requests, "bench")?,
            requests,
            content,
        })
    }

    fn put(&self, round: usize) -> Result<Round> {
        put_round(
            self.load,
            &self.requests,
            &format!("/bench/{round}"),
            &self.content,
        )
    }

    fn get(&self, _: usize) -> Result<Round> {
        run(self.load, &async |connection: &mut Connection, _: Turn| {
            let body = Payload::default();
            let request = self
                .requests
                .s3(Method::GET, "/bench/object", body, Cover::Body)?;
            connection.drain(request).await
        })
    }

    fn send(&self, _: usize) -> Result<Round> {
        send_round(self.load, &self.requests, &self.queue)
    }
}
