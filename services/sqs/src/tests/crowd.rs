//! Many at once: nothing is lost, nothing is handed out twice, and nobody waits for ever.

use std::collections::BTreeMap;

use gureum_kit::{Clock, Store};
use gureum_model_sqs::{op, types as t};

use super::{Bench, message, receive};

const SENDERS: usize = 6;
const EACH: usize = 50;

/// Several senders, and receivers that delete what they get until all is there. Returns the bodies
/// by group in the order of their receipt.
async fn exchange(bench: &Bench, url: &str) -> BTreeMap<String, Vec<usize>> {
    let send = |sender: usize| {
        let (cx, url) = (bench.cx(), url.to_owned());
        tokio::spawn(async move {
            for n in 0..EACH {
                let input = t::SendMessageRequest {
                    message_group_id: Some(sender.to_string()),
                    ..message(&url, &format!("{sender} {n}"))
                };
                cx.call::<op::SendMessage>(input).await.expect("sent");
            }
        })
    };
    let (sink, mut got) = tokio::sync::mpsc::unbounded_channel();
    let take = || {
        let (cx, url, sink) = (bench.cx(), url.to_owned(), sink.clone());
        tokio::spawn(async move {
            loop {
                let input = t::ReceiveMessageRequest {
                    max_number_of_messages: Some(3),
                    wait_time_seconds: Some(20),
                    ..receive(&url)
                };
                let got = cx
                    .call::<op::ReceiveMessage>(input)
                    .await
                    .expect("received");
                let entries = got.messages.iter().flatten().map(|m| {
                    sink.send(m.body.clone().expect("body"))
                        .expect("test listens");
                    t::DeleteMessageBatchRequestEntry {
                        id: m.message_id.clone().expect("id"),
                        receipt_handle: m.receipt_handle.clone().expect("handle"),
                    }
                });
                let entries: Vec<_> = entries.collect();
                let queue_url = url.clone();
                let input = t::DeleteMessageBatchRequest { queue_url, entries };
                let deleted = cx.call::<op::DeleteMessageBatch>(input).await;
                assert!(deleted.expect("deleted").failed.is_empty());
            }
        })
    };
    let takers: Vec<_> = (0..SENDERS).map(|_| take()).collect();
    let senders: Vec<_> = (0..SENDERS).map(send).collect();
    let mut by_sender: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for _ in 0..SENDERS * EACH {
        let body = got.recv().await.expect("takers live");
        let (sender, n) = body.split_once(' ').expect("two parts");
        let bodies = by_sender.entry(sender.to_owned()).or_default();
        bodies.push(n.parse().expect("a number"));
    }
    takers.iter().for_each(|taker| taker.abort());
    for sender in senders {
        sender.await.expect("sender");
    }
    assert!(got.try_recv().is_err(), "handed out twice");
    by_sender
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_message_is_handed_out_once() {
    let bench = Bench::over(Store::memory(), Clock::system()).await;
    let url = bench.queue("q", &[]).await;
    for (_, mut bodies) in exchange(&bench, &url).await {
        bodies.sort_unstable();
        assert!(bodies.into_iter().eq(0..EACH));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn groups_keep_their_order_among_many_receivers() {
    let bench = Bench::over(Store::memory(), Clock::system()).await;
    let attributes = [("FifoQueue", "true"), ("ContentBasedDeduplication", "true")];
    let url = bench.queue("q.fifo", &attributes).await;
    for (sender, bodies) in exchange(&bench, &url).await {
        assert!(bodies.into_iter().eq(0..EACH), "sender {sender}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn batches_that_overlap_do_not_wait_for_each_other() {
    let bench = Bench::over(Store::memory(), Clock::system()).await;
    let url = bench.queue("q", &[]).await;
    for n in 0..10 {
        bench.send(&url, &n.to_string()).await;
    }
    let got = bench.receive(&url).await;
    let entry = |m: &t::Message| t::ChangeMessageVisibilityBatchRequestEntry {
        id: m.message_id.clone().expect("id"),
        receipt_handle: m.receipt_handle.clone().expect("handle"),
        visibility_timeout: Some(100),
    };
    let forth: Vec<_> = got.iter().map(entry).collect();
    let back: Vec<_> = got.iter().rev().map(entry).collect();
    let change = |entries: Vec<_>| {
        let (cx, queue_url) = (bench.cx(), url.clone());
        tokio::spawn(async move {
            for _ in 0..50 {
                let input = t::ChangeMessageVisibilityBatchRequest {
                    queue_url: queue_url.clone(),
                    entries: entries.clone(),
                };
                let done = cx.call::<op::ChangeMessageVisibilityBatch>(input).await;
                assert!(done.expect("changed").failed.is_empty());
            }
        })
    };
    let both = [change(forth), change(back)];
    for one in both {
        one.await.expect("changed");
    }
}

/// Repetitions that come while the first is still being written are answered with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn simultaneous_repetitions_are_one_message() {
    let bench = Bench::over(Store::memory(), Clock::system()).await;
    let attributes = [("FifoQueue", "true"), ("ContentBasedDeduplication", "true")];
    let url = bench.queue("q.fifo", &attributes).await;
    let send = |_| {
        let cx = bench.cx();
        let input = t::SendMessageRequest {
            message_group_id: Some("g".into()),
            ..message(&url, "same")
        };
        tokio::spawn(async move { cx.call::<op::SendMessage>(input).await })
    };
    let mut ids = Vec::new();
    for sent in (0..20).map(send).collect::<Vec<_>>() {
        ids.push(sent.await.expect("task").expect("sent").message_id);
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(bench.bodies(&url).await, ["same"]);
}
