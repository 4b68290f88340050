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
        Some(moto) => against_moto(setting, &moto),
        None => {
            let why = "moto is not installed (`pip install 'moto[server]'`)";
            Ok(vec![Row::skipped("against moto", why)])
        }
    }
}

pub(crate) fn dynalite(setting: &Setting) -> Result<Vec<Row>> {
    match Server::dynalite()? {
        Some(dynalite) => items(setting, &dynalite, "dynalite (in memory)"),
        None => {
            let why = "dynalite is not installed (`npm install -g dynalite`)";
            Ok(vec![Row::skipped("against dynalite", why)])
        }
    }
}

fn against_moto(setting: &Setting, moto: &Server) -> Result<Vec<Row>> {
    let cloud = setting.cloud("peers")?;
    let ours = Contestant::new(setting, &cloud)?;
    let theirs = Contestant::new(setting, moto)?;
    let compare = |name: &str, round: &dyn Fn(&Contestant, usize) -> Result<Round>| {
        duel(
            setting,
            &format!("{name}, 16 connections, against moto (in memory)"),
            |number| round(&ours, number),
            |number| round(&theirs, number),
        )
    };
    let mut rows = vec![
        compare("S3 PutObject 4 KiB", &Contestant::put)?,
        compare("S3 GetObject 4 KiB", &Contestant::get)?,
        compare("SQS SendMessage 1 KiB", &Contestant::send)?,
    ];
    rows.extend(items(setting, moto, "moto (in memory)")?);
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
