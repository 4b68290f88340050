//! FIFO queues: order, groups, deduplication, repeated receives.

use gureum_model_sqs::{op, types as t};

use super::{Bench, code, message, receive, system};

fn grouped(url: &str, group: &str, body: &str) -> t::SendMessageRequest {
    t::SendMessageRequest {
        message_group_id: Some(group.into()),
        ..message(url, body)
    }
}

const CONTENT: (&str, &str) = ("ContentBasedDeduplication", "true");
const FIFO: (&str, &str) = ("FifoQueue", "true");

async fn send_all(bench: &Bench, url: &str, messages: &[(&str, &str)]) {
    for (group, body) in messages {
        let sent = bench.try_send(grouped(url, group, body)).await;
        sent.expect("sent");
    }
}

fn some(url: &str, most: i32) -> t::ReceiveMessageRequest {
    t::ReceiveMessageRequest {
        max_number_of_messages: Some(most),
        ..receive(url)
    }
}

async fn bodies(bench: &Bench, url: &str, most: i32) -> Vec<String> {
    let got = bench.receive_with(some(url, most)).await.expect("received");
    got.into_iter().filter_map(|m| m.body).collect()
}

#[tokio::test]
async fn a_group_is_locked_while_one_of_it_is_in_flight() {
    let bench = Bench::new().await;
    let url = bench.queue("q.fifo", &[FIFO, CONTENT]).await;
    send_all(
        &bench,
        &url,
        &[("a", "a1"), ("b", "b1"), ("a", "a2"), ("a", "a3")],
    )
    .await;
    let first = bench.receive_with(some(&url, 2)).await.expect("received");
    assert_eq!(first[0].body.as_deref(), Some("a1"));
    assert_eq!(
        first[1].body.as_deref(),
        Some("a2"),
        "its group comes first"
    );
    assert_eq!(bodies(&bench, &url, 10).await, ["b1"]);
    bench.delete(&url, &first[0]).await.expect("deleted");
    assert!(bodies(&bench, &url, 10).await.is_empty(), "a2 is still out");
    bench.delete(&url, &first[1]).await.expect("deleted");
    assert_eq!(bodies(&bench, &url, 10).await, ["a3"]);
    bench.pass(30);
    assert_eq!(bodies(&bench, &url, 10).await, ["b1", "a3"]);
}

#[tokio::test]
async fn sequence_numbers_grow_over_restarts() {
    let mut bench = Bench::new().await;
    let url = bench.queue("q.fifo", &[FIFO, CONTENT]).await;
    let mut last = String::new();
    for n in 0..6 {
        let sent = bench.try_send(grouped(&url, "g", &n.to_string())).await;
        let number = sent.expect("sent").sequence_number.expect("a number");
        assert_eq!(number.len(), 20);
        assert!(number > last);
        last = number;
        if n % 2 == 1 {
            bench = bench.restart().await;
        }
    }
    let got = bench.receive(&url).await;
    let bodies: Vec<_> = got.iter().filter_map(|m| m.body.as_deref()).collect();
    assert_eq!(bodies, ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(system(&got[5], "SequenceNumber"), last);
    assert_eq!(system(&got[0], "MessageGroupId"), "g");
}

#[tokio::test]
async fn repetitions_are_swallowed_for_five_minutes() {
    let mut bench = Bench::new().await;
    let url = bench.queue("q.fifo", &[FIFO]).await;
    let with_id = |group: &str, body: &str| t::SendMessageRequest {
        message_deduplication_id: Some("d".into()),
        ..grouped(&url, group, body)
    };
    assert_eq!(
        code(bench.try_send(grouped(&url, "g", "x")).await),
        "InvalidParameterValue"
    );
    let first = bench.try_send(with_id("g", "one")).await.expect("sent");
    bench.pass_ms(299_999);
    bench = bench.restart().await;
    let second = bench
        .try_send(with_id("h", "two"))
        .await
        .expect("swallowed");
    assert_eq!(second.message_id, first.message_id);
    assert_eq!(second.sequence_number, first.sequence_number);
    let got = bench.receive(&url).await.remove(0);
    assert_eq!(got.body.as_deref(), Some("one"));
    assert_eq!(system(&got, "MessageDeduplicationId"), "d");
    bench.delete(&url, &got).await.expect("deleted");
    assert!(bench.receive(&url).await.is_empty());
    bench.pass_ms(1);
    let third = bench.try_send(with_id("g", "three")).await.expect("sent");
    assert_ne!(third.message_id, first.message_id);
    assert_eq!(bench.bodies(&url).await, ["three"]);
}

#[tokio::test]
async fn the_scope_of_ids_may_be_the_group() {
    let bench = Bench::new().await;
    let scope = ("DeduplicationScope", "messageGroup");
    let limit = ("FifoThroughputLimit", "perMessageGroupId");
    assert_eq!(
        code(bench.try_queue("q.fifo", &[FIFO, limit]).await),
        "InvalidParameterValue"
    );
    let url = bench.queue("q.fifo", &[FIFO, CONTENT, scope, limit]).await;
    send_all(&bench, &url, &[("a", "x"), ("b", "x"), ("a", "x")]).await;
    assert_eq!(bench.bodies(&url).await.len(), 2);
}

#[tokio::test]
async fn a_batch_repeats_itself_only_once() {
    let bench = Bench::new().await;
    let url = bench.queue("q.fifo", &[FIFO, CONTENT]).await;
    let entry = |id: &str, body: &str| t::SendMessageBatchRequestEntry {
        id: id.into(),
        message_body: body.into(),
        message_group_id: Some("g".into()),
        ..Default::default()
    };
    let entries = vec![entry("1", "x"), entry("2", "y"), entry("3", "x")];
    let queue_url = url.clone();
    let sent = bench
        .call::<op::SendMessageBatch>(t::SendMessageBatchRequest { queue_url, entries })
        .await
        .expect("sent")
        .successful;
    assert_eq!(sent[0].message_id, sent[2].message_id);
    assert_ne!(sent[0].message_id, sent[1].message_id);
    assert_eq!(bench.bodies(&url).await, ["x", "y"]);
}

#[tokio::test]
async fn the_same_attempt_brings_the_same_messages() {
    let mut bench = Bench::new().await;
    let url = bench.queue("q.fifo", &[FIFO, CONTENT]).await;
    send_all(&bench, &url, &[("a", "1"), ("a", "2"), ("b", "3")]).await;
    let attempt = |id: &str| t::ReceiveMessageRequest {
        receive_request_attempt_id: Some(id.into()),
        ..some(&url, 2)
    };
    let first = bench.receive_with(attempt("one")).await.expect("received");
    assert_eq!(first.len(), 2);
    bench.pass(20);
    bench = bench.restart().await;
    let again = bench.receive_with(attempt("one")).await.expect("received");
    let handles =
        |got: &[t::Message]| -> Vec<_> { got.iter().map(|m| m.receipt_handle.clone()).collect() };
    assert_eq!(handles(&again), handles(&first));
    assert_eq!(system(&again[0], "ApproximateReceiveCount"), "1");
    bench.pass(20);
    // The retry began the invisibility anew, so another attempt finds only the other group.
    let other = bench.receive_with(attempt("two")).await.expect("received");
    assert_eq!(other[0].body.as_deref(), Some("3"));
    bench.delete(&url, &first[0]).await.expect("deleted");
    let touched = bench.receive_with(attempt("one")).await.expect("received");
    assert!(touched.is_empty(), "one of them is gone");
}

#[tokio::test]
async fn late_receipts_and_delays_of_messages_are_refused() {
    let bench = Bench::new().await;
    let url = bench.queue("q.fifo", &[FIFO, CONTENT]).await;
    send_all(&bench, &url, &[("a", "1")]).await;
    let got = bench.receive(&url).await.remove(0);
    bench.pass(30);
    assert_eq!(
        code(bench.delete(&url, &got).await),
        "InvalidParameterValue"
    );
    let delayed = t::SendMessageRequest {
        delay_seconds: Some(1),
        ..grouped(&url, "a", "2")
    };
    assert_eq!(code(bench.try_send(delayed).await), "InvalidParameterValue");
    assert_eq!(
        code(bench.try_send(message(&url, "3")).await),
        "MissingParameter"
    );
    let spaced = grouped(&url, "a b", "4");
    assert_eq!(code(bench.try_send(spaced).await), "InvalidParameterValue");
}

#[tokio::test]
async fn a_delayed_head_holds_back_its_group() {
    let bench = Bench::new().await;
    let url = bench
        .queue("q.fifo", &[FIFO, CONTENT, ("DelaySeconds", "10")])
        .await;
    send_all(&bench, &url, &[("a", "1")]).await;
    bench.set(&url, "DelaySeconds", "0").await.expect("set");
    send_all(&bench, &url, &[("a", "2"), ("b", "3")]).await;
    assert_eq!(bodies(&bench, &url, 10).await, ["3"]);
    bench.pass(10);
    assert_eq!(bodies(&bench, &url, 10).await, ["1", "2"]);
}

#[tokio::test]
async fn so_many_may_be_in_flight_and_no_more() {
    let bench = Bench::new().await;
    let url = bench.queue("q.fifo", &[FIFO, CONTENT]).await;
    for batch in 0..2_001 {
        let entry = |n: i32| t::SendMessageBatchRequestEntry {
            id: n.to_string(),
            message_body: format!("{batch} {n}"),
            message_group_id: Some(format!("{batch}-{n}")),
            ..Default::default()
        };
        let input = t::SendMessageBatchRequest {
            queue_url: url.clone(),
            entries: (0..10).map(entry).collect(),
        };
        bench
            .call::<op::SendMessageBatch>(input)
            .await
            .expect("sent");
    }
    let mut last = None;
    for _ in 0..2_000 {
        let got = bench.receive(&url).await;
        assert_eq!(got.len(), 10);
        last = got.into_iter().next_back();
    }
    assert_eq!(code(bench.receive_with(receive(&url)).await), "OverLimit");
    bench
        .delete(&url, &last.expect("one"))
        .await
        .expect("deleted");
    assert_eq!(bench.receive(&url).await.len(), 1, "one place is free");
}
