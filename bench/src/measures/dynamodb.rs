//! Items: durable writes against group commit, reads against bare HTTP, queries, one hot item, and
//! what a large table costs.

use std::fs;
use std::path::Path;
use std::time::Instant;

use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::{Setting, once, ratio, run_prepared};
use crate::client::{Connection, Requests, runtime};
use crate::failure::{Context, Failure, Result};
use crate::load::{Load, Round, Turn, run};
use crate::machine;
use crate::raw;
use crate::report::{Row, mebibytes, number, steps};
use crate::server::Server;
use crate::stats::median;

const CLIENTS: usize = 64;
const FEW: usize = 8;
/// Bytes of an item, its key included.
const ITEM: usize = 1024;
/// Items that one query returns.
const PAGE: u64 = 100;
/// Writers that fill the large table, and items of one of their requests.
const LOADERS: u64 = 16;
const BATCH: u64 = 25;
/// Items from which on reads should take the same time.
const SETTLED: u64 = 10_000;
/// Items of a full run.
pub(crate) const MANY: u64 = 1_000_000;

const TABLE: &str = "bench";
const MICROS: f64 = 40.0;
const QUERIED: f64 = 20_000.0;
const UPDATED: f64 = 2_000.0;
const RESIDENT: f64 = 600.0;
const OVERHEAD: f64 = 1.5;
/// How much slower reads of the full table may be; less than this is noise.
const SLOPE: f64 = 1.5;

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let cloud = setting.cloud("dynamodb")?;
    let requests = Requests::to(cloud.address)?;
    create_table(&cloud, &requests)?;
    let mut rows = put(setting, &cloud, &requests)?;
    rows.extend(get(setting, &cloud, &requests)?);
    rows.push(query(setting, &cloud, &requests)?);
    rows.push(update(setting, &cloud, &requests)?);
    drop(cloud);
    rows.extend(large(setting)?);
    Ok(rows)
}

/// Creates the on-demand table of all measures: partition key `pk`, sort key `sk`.
pub(crate) fn create_table(server: &Server, requests: &Requests) -> Result<()> {
    let input = json!({
        "TableName": TABLE,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [
            { "AttributeName": "pk", "KeyType": "HASH" },
            { "AttributeName": "sk", "KeyType": "RANGE" },
        ],
        "AttributeDefinitions": [
            { "AttributeName": "pk", "AttributeType": "S" },
            { "AttributeName": "sk", "AttributeType": "N" },
        ],
    });
    once(server, requests.dynamodb("CreateTable", &input)?)?;
    let describe = json!({ "TableName": TABLE });
    loop {
        let reply = once(server, requests.dynamodb("DescribeTable", &describe)?)?;
        let reply: Value = serde_json::from_slice(&reply).or_fail("the reply is not JSON")?;
        if reply["Table"]["TableStatus"] == "ACTIVE" {
            return Ok(());
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

fn key(partition: &str, sort: u64) -> Value {
    json!({ "pk": { "S": partition }, "sk": { "N": sort.to_string() } })
}

/// An item of [`ITEM`] bytes as DynamoDB counts them, near enough.
fn item(partition: &str, sort: u64) -> Value {
    let mut item = key(partition, sort);
    item["data"] = json!({ "S": "d".repeat(ITEM - partition.len() - 16) });
    item
}

pub(crate) fn put_round(load: Load, requests: &Requests, prefix: &str) -> Result<Round> {
    run_prepared(load, &|turn: Turn| {
        let partition = format!("{prefix}-{}", turn.connection);
        let input = json!({ "TableName": TABLE, "Item": item(&partition, turn.number) });
        requests.dynamodb("PutItem", &input)
    })
}

/// Reads items that [`put_page`] wrote.
pub(crate) fn get_round(load: Load, requests: &Requests) -> Result<Round> {
    run(load, &async |connection: &mut Connection, turn: Turn| {
        let input = json!({ "TableName": TABLE, "Key": key("page", turn.number % PAGE) });
        let length = connection
            .drain(requests.dynamodb("GetItem", &input)?)
            .await?;
        match length > ITEM as u64 / 2 {
            true => Ok(length),
            false => Err(Failure("an item is missing".into())),
        }
    })
}

/// Writes one partition of [`PAGE`] items.
pub(crate) fn put_page(server: &Server, requests: &Requests) -> Result<()> {
    (0..PAGE).try_for_each(|sort| {
        let input = json!({ "TableName": TABLE, "Item": item("page", sort) });
        once(server, requests.dynamodb("PutItem", &input)?).map(drop)
    })
}

fn put(setting: &Setting, cloud: &Server, requests: &Requests) -> Result<Vec<Row>> {
    let mut few = Vec::new();
    let (mut ours, theirs) = setting.duel(
        |round| {
            let load = setting.load(cloud, FEW);
            few.push(put_round(load, requests, &format!("few-{round}"))?);
            put_round(
                setting.load(cloud, CLIENTS),
                requests,
                &format!("many-{round}"),
            )
        },
        |_| raw::group_commit(&setting.home, CLIENTS, ITEM, setting.round),
    )?;
    let share = ratio(&ours, &theirs, Round::per_second, |rate| *rate);
    Ok(vec![
        Row::share(
            "DynamoDB PutItem 1 KiB durably, 64 connections, against group-committed appends",
            steps(&mut ours),
            format!("{}/s", number(median(theirs))),
            share,
            0.6,
        ),
        Row::told(
            "— with 8 connections",
            steps(&mut few),
            String::new(),
            String::new(),
        ),
    ])
}

fn get(setting: &Setting, cloud: &Server, requests: &Requests) -> Result<Vec<Row>> {
    put_page(cloud, requests)?;
    let bare = Server::bare()?;
    let toward_bare = Requests::to(bare.address)?;
    let input = json!({ "TableName": TABLE, "Key": key("page", 0) });
    let mut few = Vec::new();
    let (mut ours, mut theirs) = setting.duel(
        |_| {
            few.push(get_round(setting.load(cloud, FEW), requests)?);
            get_round(setting.load(cloud, CLIENTS), requests)
        },
        |_| {
            let load = setting.load(&bare, CLIENTS);
            run(load, &async |connection: &mut Connection, _: Turn| {
                connection
                    .drain(toward_bare.dynamodb("GetItem", &input)?)
                    .await
            })
        },
    )?;
    let share = ratio(&ours, &theirs, Round::per_second, Round::per_second);
    let micros = median(ours.iter().map(Round::server_micros));
    Ok(vec![
        Row::share(
            "DynamoDB GetItem 1 KiB, 64 connections, against bare hyper",
            steps(&mut ours),
            steps(&mut theirs),
            share,
            0.5,
        ),
        Row::at_most("— its CPU time in the server", micros, MICROS, "µs"),
        Row::told(
            "— with 8 connections",
            steps(&mut few),
            String::new(),
            String::new(),
        ),
    ])
}

fn query(setting: &Setting, cloud: &Server, requests: &Requests) -> Result<Row> {
    let input = json!({
        "TableName": TABLE,
        "KeyConditionExpression": "pk = :pk",
        "ExpressionAttributeValues": { ":pk": { "S": "page" } },
    });
    let round = |_| {
        let load = setting.load(cloud, FEW);
        run(load, &async |connection: &mut Connection, _: Turn| {
            let length = connection
                .drain(requests.dynamodb("Query", &input)?)
                .await?;
            match length > PAGE * ITEM as u64 {
                true => Ok(length),
                false => Err(Failure("a page lacks items".into())),
            }
        })
    };
    let mut rounds: Vec<Round> = (0..setting.rounds).map(round).collect::<Result<_>>()?;
    let rate = PAGE as f64 * 1e6 / median(rounds.iter().map(Round::server_micros));
    Ok(Row::at_least(
        "DynamoDB Query of 100 items of 1 KiB: items per second and core of the server",
        steps(&mut rounds),
        rate,
        QUERIED,
    ))
}

/// Every client changes the same item, under a condition: one after the other, each durable.
fn update(setting: &Setting, cloud: &Server, requests: &Requests) -> Result<Row> {
    let input = json!({
        "TableName": TABLE,
        "Key": key("page", 0),
        "UpdateExpression": "ADD hits :one",
        "ConditionExpression": "attribute_exists(pk)",
        "ExpressionAttributeValues": { ":one": { "N": "1" } },
    });
    let round = |_| {
        let load = setting.load(cloud, FEW);
        run(load, &async |connection: &mut Connection, _: Turn| {
            connection
                .drain(requests.dynamodb("UpdateItem", &input)?)
                .await
        })
    };
    let mut rounds: Vec<Round> = (0..setting.rounds).map(round).collect::<Result<_>>()?;
    let rate = median(rounds.iter().map(Round::per_second));
    Ok(Row::at_least(
        "DynamoDB UpdateItem with a condition, 8 connections on one item: per second",
        steps(&mut rounds),
        rate,
        UPDATED,
    ))
}

/// A table with many items: loading it, its memory, its files, and reading from it.
fn large(setting: &Setting) -> Result<Vec<Row>> {
    let home = setting.home.join("dynamodb-large");
    let cloud = Server::gureum(&setting.program, &home)?;
    let requests = Requests::to(cloud.address)?;
    create_table(&cloud, &requests)?;
    fill(&cloud, &requests, 0..SETTLED)?;
    cloud.settle();
    let early = median_get(setting, &cloud, &requests, SETTLED)?;
    let started = Instant::now();
    fill(&cloud, &requests, SETTLED..setting.items)?;
    let rate = (setting.items - SETTLED) as f64 / started.elapsed().as_secs_f64();
    cloud.settle();
    let late = median_get(setting, &cloud, &requests, setting.items)?;
    let resident = mebibytes(machine::peak(cloud.pid())?);
    let disk = mebibytes(disk_usage(&home)?);
    let logical = mebibytes(setting.items * ITEM as u64);
    let title = format!("DynamoDB, {} items of 1 KiB", number(setting.items as f64));
    let on_disk = format!("{title}: disk, against their bytes");
    let occupied = format!("{} MiB", number(disk));
    let their_bytes = format!("{} MiB", number(logical));
    Ok(vec![
        Row::told(
            &format!("{title}: loading"),
            format!("{} items/s", number(rate)),
            String::new(),
            String::new(),
        ),
        Row::at_most(&format!("{title}: most memory"), resident, RESIDENT, "MiB"),
        match setting.items >= MANY {
            true => Row::ratio(&on_disk, occupied, their_bytes, disk / logical, OVERHEAD),
            // The journal, which is bounded, weighs too much beside fewer items.
            false => {
                let times = format!("{} ×", number(disk / logical));
                Row::told(&on_disk, occupied, their_bytes, times)
            }
        },
        Row::ratio(
            &format!("{title}: p50 of GetItem, against that of the first 10,000"),
            format!("{} ms", number(late)),
            format!("{} ms", number(early)),
            late / early,
            SLOPE,
        ),
    ])
}

/// Where an item of the large table is: in partitions of a thousand.
fn place(number: u64) -> (String, u64) {
    (format!("p{}", number / 1000), number % 1000)
}

fn fill(cloud: &Server, requests: &Requests, items: std::ops::Range<u64>) -> Result<()> {
    let share = async |loader: u64| -> Result<()> {
        let mut connection = Connection::open(cloud.address).await?;
        let starts = (items.start..items.end).step_by(BATCH as usize);
        for start in starts.skip(loader as usize).step_by(LOADERS as usize) {
            let puts: Vec<Value> = (start..items.end.min(start + BATCH))
                .map(|number| {
                    let (partition, sort) = place(number);
                    json!({ "PutRequest": { "Item": item(&partition, sort) } })
                })
                .collect();
            let input = json!({ "RequestItems": { TABLE: puts } });
            let reply = connection
                .json(requests.dynamodb("BatchWriteItem", &input)?)
                .await?;
            if reply["UnprocessedItems"][TABLE].is_array() {
                return Err(Failure("items were not processed".into()));
            }
        }
        Ok(())
    };
    runtime()?
        .block_on(try_join_all((0..LOADERS).map(share)))
        .map(drop)
}

/// Milliseconds of reading one item among so many, strewn over all of them.
fn median_get(setting: &Setting, cloud: &Server, requests: &Requests, items: u64) -> Result<f64> {
    let load = setting.load(cloud, FEW);
    let mut round = run(load, &async |connection: &mut Connection, turn: Turn| {
        // Steps of a prime number visit every item before they repeat.
        let number = (turn.number * FEW as u64 + turn.connection as u64) * 7919 % items;
        let (partition, sort) = place(number);
        let input = json!({ "TableName": TABLE, "Key": key(&partition, sort) });
        connection
            .drain(requests.dynamodb("GetItem", &input)?)
            .await
    })?;
    Ok(round.latencies.percentile(0.5))
}

/// Bytes that the files below a directory occupy: holes do not count.
fn disk_usage(directory: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let doing = "cannot look at the data directory";
    let mut bytes = 0;
    for entry in fs::read_dir(directory).or_fail(doing)? {
        let entry = entry.or_fail(doing)?;
        // Files may go while we look.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        bytes += match metadata.is_dir() {
            true => disk_usage(&entry.path())?,
            false => metadata.blocks() * 512,
        };
    }
    Ok(bytes)
}

/// One item, for peers that are compared by reading and writing it.
pub(crate) fn prepare(server: &Server) -> Result<Requests> {
    let requests = Requests::to(server.address)?;
    create_table(server, &requests)?;
    put_page(server, &requests)?;
    Ok(requests)
}
