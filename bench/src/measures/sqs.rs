//! Messages: durable sends and deletes against group commit, and what waiting costs.

use std::time::Duration;

use futures_util::future::try_join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::{Value, json};

use super::{Setting, once, ratio};
use crate::client::{Connection, Requests, runtime};
use crate::failure::{Context, Failure, Result};
use crate::load::{Load, Round, Turn, run};
use crate::machine;
use crate::raw;
use crate::report::{Row, number, steps};
use crate::server::Server;
use crate::stats::median;

const CLIENTS: usize = 16;
/// Bytes of a message.
const MESSAGE: usize = 1024;
const POLLERS: usize = 1000;
/// How long the idle pollers are watched.
const WATCHED: Duration = Duration::from_secs(5);

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let cloud = setting.cloud("sqs")?;
    let requests = Requests::to(cloud.address)?;
    Ok(vec![
        send(setting, &cloud, &requests)?,
        receive(setting, &cloud, &requests)?,
        idle(&cloud, &requests)?,
    ])
}

/// Creates a queue and tells its URL.
pub(crate) fn create_queue(server: &Server, requests: &Requests, name: &str) -> Result<String> {
    let reply = once(
        server,
        requests.sqs("CreateQueue", &json!({ "QueueName": name }))?,
    )?;
    let reply: Value = serde_json::from_slice(&reply).or_fail("the reply is not JSON")?;
    text(&reply["QueueUrl"])
}

pub(crate) fn send_round(load: Load, requests: &Requests, queue: &str) -> Result<Round> {
    let message = json!({ "QueueUrl": queue, "MessageBody": "m".repeat(MESSAGE) });
    run(load, &async |connection: &mut Connection, _: Turn| {
        connection
            .drain(requests.sqs("SendMessage", &message)?)
            .await
    })
}

fn send(setting: &Setting, cloud: &Server, requests: &Requests) -> Result<Row> {
    let queue = create_queue(cloud, requests, "send")?;
    let (mut ours, theirs) = setting.duel(
        |_| send_round(setting.load(cloud, CLIENTS), requests, &queue),
        |_| raw::group_commit(&setting.home, CLIENTS, MESSAGE, setting.round),
    )?;
    let share = ratio(&ours, &theirs, Round::per_second, |rate| *rate);
    Ok(Row::share(
        "SQS SendMessage 1 KiB durably, 16 connections, against group-committed appends",
        steps(&mut ours),
        format!("{}/s", number(median(theirs))),
        share,
        0.4,
    ))
}

/// Receiving hides a message and deleting removes it: two durable changes a step, which is why a
/// step is compared with two appends.
fn receive(setting: &Setting, cloud: &Server, requests: &Requests) -> Result<Row> {
    let queue = create_queue(cloud, requests, "receive")?;
    let ask = json!({ "QueueUrl": queue });
    let (mut ours, theirs) = setting.duel(
        |_| {
            let load = setting.load(cloud, CLIENTS);
            fill(load, requests, &queue)?;
            run(load, &async |connection: &mut Connection, _: Turn| {
                let reply = connection
                    .json(requests.sqs("ReceiveMessage", &ask)?)
                    .await?;
                let receipt = text(&reply["Messages"][0]["ReceiptHandle"])?;
                let done = json!({ "QueueUrl": queue, "ReceiptHandle": receipt });
                connection
                    .drain(requests.sqs("DeleteMessage", &done)?)
                    .await
            })
        },
        |_| raw::group_commit(&setting.home, CLIENTS, MESSAGE, setting.round),
    )?;
    let share = ratio(&ours, &theirs, Round::per_second, |rate| *rate / 2.0);
    Ok(Row::share(
        "SQS ReceiveMessage + DeleteMessage, 16 connections, against two appends",
        steps(&mut ours),
        format!("{}/s", number(median(theirs) / 2.0)),
        share,
        0.4,
    ))
}

/// More messages than a round can receive: batches of ten, for as long as the round is.
fn fill(load: Load, requests: &Requests, queue: &str) -> Result<()> {
    let body = "m".repeat(MESSAGE);
    let entries: Vec<_> = (0..10)
        .map(|id| json!({ "Id": id.to_string(), "MessageBody": body }))
        .collect();
    let batch = json!({ "QueueUrl": queue, "Entries": entries });
    let filled = run(load, &async |connection: &mut Connection, _: Turn| {
        connection
            .drain(requests.sqs("SendMessageBatch", &batch)?)
            .await
    });
    filled.map(drop)
}

fn idle(cloud: &Server, requests: &Requests) -> Result<Row> {
    let queue = create_queue(cloud, requests, "idle")?;
    let ask = json!({ "QueueUrl": queue, "WaitTimeSeconds": 20 });
    let used = runtime()?.block_on(async {
        let mut opened = Vec::new();
        for batch in 0..POLLERS / 50 {
            let _ = batch;
            opened.extend(try_join_all((0..50).map(|_| Connection::open(cloud.address))).await?);
        }
        let mut polls: FuturesUnordered<_> = opened
            .iter_mut()
            .map(|connection| async {
                connection.json(requests.sqs("ReceiveMessage", &ask)?).await
            })
            .collect();
        let settled = tokio::time::timeout(Duration::from_secs(3), polls.next()).await;
        let before = machine::cpu_of_tree(cloud.pid());
        let watched = tokio::time::timeout(WATCHED, polls.next()).await;
        let used = machine::cpu_of_tree(cloud.pid()).saturating_sub(before);
        match (settled, watched) {
            (Err(_), Err(_)) => Ok(used),
            (Ok(ended), _) | (_, Ok(ended)) => {
                Err(Failure(format!("a poller did not wait: {ended:?}")))
            }
        }
    })?;
    let share = used.as_secs_f64() / WATCHED.as_secs_f64() * 100.0;
    Ok(Row::at_most(
        "1,000 idle SQS long-pollers, of one core",
        share,
        1.0,
        "%",
    ))
}

fn text(value: &Value) -> Result<String> {
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| Failure("a reply lacks what it should hold: is the queue empty?".into()))
}
