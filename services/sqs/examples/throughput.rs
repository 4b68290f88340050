//! Measures SQS on a real store beside what the store itself can commit: durable sends, and
//! receives with deletes, by concurrent clients. `cargo run --release -p gureum-sqs --example
//! throughput [clients] [operations]`.

use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use gureum_dispatch::{Caller, Cloud, Credential, Cx, Identities, RequestInfo};
use gureum_kit::{Clock, Driver, Region, Row, Store};
use gureum_model_sqs::{op, types as t};
use gureum_schema::Timestamp;
use gureum_sqs::Sqs;
use serde::{Deserialize, Serialize};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Serialize, Deserialize)]
struct Raw {
    key: u64,
    text: String,
}

impl Row for Raw {
    const TABLE: &'static str = "bench.raw";
    type Key = u64;

    fn key(&self) -> u64 {
        self.key
    }
}

struct Nobody;

impl Identities for Nobody {
    fn credential(&self, _: &str) -> gureum_schema::Result<Option<Credential>> {
        Ok(None)
    }

    fn used(&self, _: &Caller, _: &'static str, _: &str, _: Timestamp) {}
}

/// Runs `work(client, n)` for every client at once; returns operations per second.
async fn rate<F>(
    clients: usize,
    each: usize,
    work: impl Fn(usize, usize) -> F + Clone + Send + 'static,
) -> Outcome<f64>
where
    F: Future<Output = Outcome<()>> + Send,
{
    let began = Instant::now();
    let tasks = (0..clients).map(|client| {
        let work = work.clone();
        tokio::spawn(async move {
            for n in 0..each {
                work(client, n).await?;
            }
            Outcome::Ok(())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    Ok((clients * each) as f64 / began.elapsed().as_secs_f64())
}

async fn receive_and_delete(cx: Cx, url: String) -> Outcome<()> {
    let input = t::ReceiveMessageRequest {
        queue_url: url.clone(),
        ..Default::default()
    };
    let got = cx.call::<op::ReceiveMessage>(input).await?;
    for message in got.messages.unwrap_or_default() {
        let input = t::DeleteMessageRequest {
            queue_url: url.clone(),
            receipt_handle: message.receipt_handle.unwrap_or_default(),
        };
        cx.call::<op::DeleteMessage>(input).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse().ok());
    let clients: usize = numbers.next().unwrap_or(16);
    let each: usize = numbers.next().unwrap_or(16_000) / clients;
    let dir = tempfile::tempdir()?;
    let store = Store::open(dir.path())?;
    let raw = store.clone();
    let commits = rate(clients, each, move |client, n| {
        let (raw, key) = (raw.clone(), (client * each + n) as u64);
        async move {
            let text = "x".repeat(200);
            let row = Raw { key, text };
            raw.transact(|tx| tx.put(&row)).await?;
            Ok(())
        }
    })
    .await?;
    println!("{commits:9.0} /s  the store's own commits");

    let clock = Clock::system();
    let driver = Driver::new(clock.clone());
    let sqs = Sqs::open(store, clock.clone(), &[1; 32], &driver).await?;
    let cloud = Cloud::builder(Arc::new(Nobody), clock, Region::default())
        .service(sqs.service())
        .build();
    let caller = Arc::new(Caller::root("123456789012".parse()?));
    let cx = cloud.cx(caller, Region::default(), request());
    for (name, attributes) in [
        ("plain", vec![]),
        ("ordered.fifo", vec![("FifoQueue", "true")]),
    ] {
        let owned = |(k, v): (&str, &str)| (k.to_owned(), v.to_owned());
        let input = t::CreateQueueRequest {
            queue_name: name.into(),
            attributes: Some(attributes.into_iter().map(owned).collect()),
            ..Default::default()
        };
        let made = cx.call::<op::CreateQueue>(input).await?;
        let url = made.queue_url.unwrap_or_default();
        measure(&cx, name, url, clients, each, commits).await?;
    }
    Ok(())
}

async fn measure(
    cx: &Cx,
    name: &str,
    url: String,
    clients: usize,
    each: usize,
    commits: f64,
) -> Outcome<()> {
    let fifo = name.ends_with(".fifo");
    let (sender, to) = (cx.clone(), url.clone());
    let sends = rate(clients, each, move |client, n| {
        let (cx, queue_url) = (sender.clone(), to.clone());
        async move {
            let input = t::SendMessageRequest {
                queue_url,
                message_body: "x".repeat(200),
                message_group_id: fifo.then(|| format!("{client}")),
                message_deduplication_id: fifo.then(|| format!("{client}-{n}")),
                ..Default::default()
            };
            cx.call::<op::SendMessage>(input).await?;
            Ok(())
        }
    })
    .await?;
    println!(
        "{sends:9.0} /s  {name}: sends ({:.0} %)",
        100.0 * sends / commits
    );
    let (receiver, from) = (cx.clone(), url);
    let receives = rate(clients, each, move |_, _| {
        receive_and_delete(receiver.clone(), from.clone())
    })
    .await?;
    println!(
        "{receives:9.0} /s  {name}: receives with deletes, two commits each ({:.0} %)",
        200.0 * receives / commits
    );
    Ok(())
}

fn request() -> RequestInfo {
    RequestInfo {
        id: "bench".into(),
        source_ip: Ipv4Addr::LOCALHOST.into(),
        secure: false,
        user_agent: String::new(),
        endpoint: "http://localhost".into(),
        origin: None,
        auth_type: "REST-HEADER",
        signature_age: 0,
        content_sha256: None,
    }
}
