//! Topics: how fast a publication reaches a hundred queues, and what a filter policy costs.

use std::time::{Duration, Instant};

use serde_json::json;

use super::sqs::create_queue;
use super::{Setting, once, ratio};
use crate::client::{Connection, Requests, runtime};
use crate::failure::{Context, Failure, Result};
use crate::load::{Round, Turn, run};
use crate::raw;
use crate::report::{Row, number};
use crate::server::Server;
use crate::stats::median;

const QUEUES: usize = 100;
/// Publications of one round, each to all queues.
const MESSAGES: usize = 50;
/// Bytes of a message.
const MESSAGE: usize = 256;
/// As many as a topic can have.
const FILTERS: usize = 200;
const CLIENTS: usize = 16;
/// Long enough for the slowest disk.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let cloud = setting.cloud("sns")?;
    let requests = Requests::to(cloud.address)?;
    Ok(vec![
        fan_out(setting, &cloud, &requests)?,
        filters(setting, &cloud, &requests)?,
    ])
}

fn fan_out(setting: &Setting, cloud: &Server, requests: &Requests) -> Result<Row> {
    let topic = create_topic(cloud, requests, "fan-out")?;
    let mut queues = Vec::new();
    for at in 0..QUEUES {
        queues.push(listener(cloud, requests, &topic, &format!("fan-{at}"))?);
    }
    let mut delivered = 0;
    let (ours, theirs) = setting.duel(
        |_| {
            delivered += MESSAGES;
            deliver(cloud, requests, &topic, &queues, delivered)
        },
        |_| raw::group_commit(&setting.home, QUEUES, MESSAGE, setting.round),
    )?;
    let share = ratio(&ours, &theirs, |rate| *rate, |rate| *rate);
    Ok(Row::share(
        "SNS Publish to 100 queues, deliveries, against group-committed appends",
        format!("{}/s", number(median(ours))),
        format!("{}/s", number(median(theirs))),
        share,
        0.2,
    ))
}

/// A queue that takes what the topic sends, and is subscribed to it; its URL.
fn listener(cloud: &Server, requests: &Requests, topic: &str, name: &str) -> Result<String> {
    let url = create_queue(cloud, requests, name)?;
    let path = url.rsplit('/').collect::<Vec<_>>();
    let account = path.get(1).copied().unwrap_or_default();
    let arn = format!("arn:aws:sqs:us-east-1:{account}:{name}");
    let policy = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }]});
    let attributes = json!({"QueueUrl": url, "Attributes": {"Policy": policy.to_string()}});
    once(cloud, requests.sqs("SetQueueAttributes", &attributes)?)?;
    subscribe(
        cloud,
        requests,
        topic,
        "sqs",
        &arn,
        &[("RawMessageDelivery", "true")],
    )?;
    Ok(url)
}

/// Publishes, and waits until all queues have everything; deliveries per second.
fn deliver(
    cloud: &Server,
    requests: &Requests,
    topic: &str,
    queues: &[String],
    expected: usize,
) -> Result<f64> {
    let message = "m".repeat(MESSAGE);
    let fields = [("TopicArn", topic), ("Message", message.as_str())];
    runtime()?.block_on(async {
        let mut connection = Connection::open(cloud.address).await?;
        let started = Instant::now();
        for _ in 0..MESSAGES {
            connection.drain(requests.sns("Publish", &fields)?).await?;
        }
        for queue in queues {
            let ask = json!({"QueueUrl": queue, "AttributeNames": ["ApproximateNumberOfMessages"]});
            loop {
                let reply = connection
                    .json(requests.sqs("GetQueueAttributes", &ask)?)
                    .await?;
                let count = &reply["Attributes"]["ApproximateNumberOfMessages"];
                let count = count.as_str().and_then(|count| count.parse::<usize>().ok());
                if count.is_some_and(|count| count >= expected) {
                    break;
                }
                if started.elapsed() > PATIENCE {
                    return Err(Failure(format!("{queue} has {count:?} of {expected}")));
                }
            }
        }
        let deliveries = (MESSAGES * queues.len()) as f64;
        Ok(deliveries / started.elapsed().as_secs_f64())
    })
}

/// Publications that nobody wants write nothing, so what they cost more with filters than without
/// is what the filters cost.
fn filters(setting: &Setting, cloud: &Server, requests: &Requests) -> Result<Row> {
    let (bare, full) = (
        create_topic(cloud, requests, "bare")?,
        create_topic(cloud, requests, "full")?,
    );
    for at in 0..FILTERS {
        let policy = json!({
            "store": ["example_corp", {"prefix": "other-"}],
            "price": [{"numeric": [">=", at, "<", at + 1]}],
            "event": [{"anything-but": ["order_cancelled", "order_lost"]}],
        });
        let endpoint = format!("arn:aws:sqs:us-east-1:000000000000:filtered-{at}");
        let policy = policy.to_string();
        let attributes = [("FilterPolicy", policy.as_str())];
        subscribe(cloud, requests, &full, "sqs", &endpoint, &attributes)?;
    }
    let load = || setting.load(cloud, CLIENTS);
    let round = |topic: &str| {
        run(load(), &async |connection: &mut Connection, _: Turn| {
            let request = requests.sns("Publish", &publication(topic))?;
            connection.drain(request).await
        })
    };
    let (full, bare) = setting.duel(|_| round(&full), |_| round(&bare))?;
    let cost = |rounds: &[Round]| median(rounds.iter().map(Round::server_micros));
    let each = (cost(&full) - cost(&bare)).max(0.0) / FILTERS as f64;
    Ok(Row::at_most(
        "A filter policy on three attributes, of 200 asked at each Publish",
        each,
        1.0,
        "µs",
    ))
}

/// A message that passes two of a policy's three conditions.
fn publication(topic: &str) -> [(&str, &str); 11] {
    [
        ("TopicArn", topic),
        ("Message", "m"),
        ("MessageAttributes.entry.1.Name", "store"),
        ("MessageAttributes.entry.1.Value.DataType", "String"),
        (
            "MessageAttributes.entry.1.Value.StringValue",
            "example_corp",
        ),
        ("MessageAttributes.entry.2.Name", "event"),
        ("MessageAttributes.entry.2.Value.DataType", "String"),
        (
            "MessageAttributes.entry.2.Value.StringValue",
            "order_placed",
        ),
        ("MessageAttributes.entry.3.Name", "price"),
        ("MessageAttributes.entry.3.Value.DataType", "Number"),
        ("MessageAttributes.entry.3.Value.StringValue", "1000"),
    ]
}

fn create_topic(cloud: &Server, requests: &Requests, name: &str) -> Result<String> {
    let reply = once(cloud, requests.sns("CreateTopic", &[("Name", name)])?)?;
    let reply = std::str::from_utf8(&reply).or_fail("the reply is not text")?;
    let inside = |text: &str| {
        let (_, rest) = text.split_once("<TopicArn>")?;
        Some(rest.split_once("</TopicArn>")?.0.to_owned())
    };
    inside(reply).ok_or_else(|| Failure("the reply names no topic".into()))
}

fn subscribe(
    cloud: &Server,
    requests: &Requests,
    topic: &str,
    protocol: &str,
    endpoint: &str,
    attributes: &[(&str, &str)],
) -> Result<()> {
    let mut fields = vec![
        ("TopicArn".to_owned(), topic),
        ("Protocol".to_owned(), protocol),
        ("Endpoint".to_owned(), endpoint),
    ];
    for (at, (name, value)) in (1..).zip(attributes) {
        fields.push((format!("Attributes.entry.{at}.key"), name));
        fields.push((format!("Attributes.entry.{at}.value"), value));
    }
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    once(cloud, requests.sns("Subscribe", &fields)?).map(drop)
}
