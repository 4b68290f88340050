//! Standard queues: delays, visibility, retention, receipts, waiting.

use std::collections::BTreeMap;

use gureum_model_sqs::{op, types as t};

use super::{Bench, code, message, receive, system};

#[tokio::test]
async fn a_message_is_received_once_and_again_after_its_timeout() {
    let bench = Bench::new().await;
    let url = bench.queue("q", &[("VisibilityTimeout", "30")]).await;
    let sent = bench.send(&url, "hello").await;
    assert_eq!(
        sent.md5_of_message_body.as_deref(),
        Some("5d41402abc4b2a76b9719d911017c592")
    );
    let first = bench.receive(&url).await.remove(0);
    assert_eq!(first.message_id, sent.message_id);
    assert_eq!(first.body.as_deref(), Some("hello"));
    assert_eq!(system(&first, "ApproximateReceiveCount"), "1");
    assert_eq!(system(&first, "SenderId"), super::ACCOUNT);
    bench.pass_ms(29_999);
    assert!(bench.receive(&url).await.is_empty());
    bench.pass_ms(1);
    let second = bench.receive(&url).await.remove(0);
    assert_eq!(system(&second, "ApproximateReceiveCount"), "2");
    assert_eq!(
        system(&second, "ApproximateFirstReceiveTimestamp"),
        system(&first, "ApproximateFirstReceiveTimestamp")
    );
    bench
        .delete(&url, &first)
        .await
        .expect("a stale handle deletes nothing");
    assert_eq!(
        bench
            .attribute(&url, "ApproximateNumberOfMessagesNotVisible")
            .await,
        "1"
    );
    bench.delete(&url, &second).await.expect("deleted");
    bench.delete(&url, &second).await.expect("twice is fine");
    bench.pass(60);
    assert!(bench.receive(&url).await.is_empty());
}

#[tokio::test]
async fn delays_of_queue_and_message() {
    let bench = Bench::new().await;
    let url = bench.queue("q", &[("DelaySeconds", "5")]).await;
    bench.send(&url, "slow").await;
    let mut quick = message(&url, "quick");
    quick.delay_seconds = Some(0);
    bench.try_send(quick).await.expect("sent");
    assert_eq!(
        bench
            .attribute(&url, "ApproximateNumberOfMessagesDelayed")
            .await,
        "1"
    );
    assert_eq!(bench.bodies(&url).await, ["quick"]);
    bench.pass_ms(4_999);
    assert!(bench.receive(&url).await.is_empty());
    bench.pass_ms(1);
    assert_eq!(bench.bodies(&url).await, ["slow"]);
    for wrong in [-1, 901] {
        let mut late = message(&url, "late");
        late.delay_seconds = Some(wrong);
        assert_eq!(code(bench.try_send(late).await), "InvalidParameterValue");
    }
}

#[tokio::test]
async fn visibility_can_be_changed_within_twelve_hours() {
    let bench = Bench::new().await;
    let url = bench.queue("q", &[]).await;
    bench.send(&url, "x").await;
    let got = bench.receive(&url).await.remove(0);
    bench.hide(&url, &got, 0).await.expect("shown again");
    assert_eq!(code(bench.hide(&url, &got, 10).await), "MessageNotInflight");
    let again = bench.receive(&url).await.remove(0);
    assert_eq!(
        code(bench.hide(&url, &got, 10).await),
        "InvalidParameterValue"
    );
    bench.hide(&url, &again, 43_200).await.expect("all of it");
    bench.pass(1);
    assert_eq!(
        code(bench.hide(&url, &again, 43_200).await),
        "InvalidParameterValue"
    );
    assert_eq!(
        code(bench.hide(&url, &again, 43_201).await),
        "InvalidParameterValue"
    );
    bench.hide(&url, &again, 2).await.expect("shorter");
    bench.pass_ms(1_999);
    assert!(bench.receive(&url).await.is_empty());
    bench.pass_ms(1);
    assert_eq!(bench.receive(&url).await.len(), 1);
}

#[tokio::test]
async fn messages_are_forgotten_after_their_retention() {
    let bench = Bench::new().await;
    let url = bench.queue("q", &[("MessageRetentionPeriod", "60")]).await;
    bench.send(&url, "old").await;
    bench.pass(59);
    bench.send(&url, "new").await;
    bench.pass_ms(1_001);
    assert_eq!(
        bench.attribute(&url, "ApproximateNumberOfMessages").await,
        "1"
    );
    let bench = bench.restart().await;
    assert_eq!(bench.bodies(&url).await, ["new"]);
}

#[tokio::test]
async fn a_restart_keeps_counts_and_deadlines() {
    let bench = Bench::new().await;
    let url = bench.queue("q", &[]).await;
    bench.send(&url, "x").await;
    let got = bench.receive(&url).await.remove(0);
    bench.pass(10);
    let bench = bench.restart().await;
    assert!(bench.receive(&url).await.is_empty());
    bench
        .hide(&url, &got, 5)
        .await
        .expect("the handle is still good");
    bench.pass(5);
    let again = bench.receive(&url).await.remove(0);
    assert_eq!(system(&again, "ApproximateReceiveCount"), "2");
    bench.delete(&url, &again).await.expect("deleted");
    let bench = bench.restart().await;
    bench.pass(100);
    assert!(bench.receive(&url).await.is_empty());
}

#[tokio::test]
async fn waiting_ends_with_a_message_or_with_the_time() {
    let bench = Bench::new().await;
    let url = bench.queue("q", &[]).await;
    let long = || {
        let mut long = receive(&url);
        long.wait_time_seconds = Some(20);
        tokio::spawn({
            let cx = bench.cx();
            async move { cx.call::<op::ReceiveMessage>(long).await }
        })
    };
    let bodies = |result: t::ReceiveMessageResult| -> Vec<String> {
        let messages = result.messages.unwrap_or_default();
        messages.into_iter().filter_map(|m| m.body).collect()
    };
    // By a send, and only one of two is served by one message.
    let waiting = [long(), long()];
    tokio::task::yield_now().await;
    bench.send(&url, "wake").await;
    let [a, b] = waiting;
    tokio::task::yield_now().await;
    let mut later = message(&url, "delayed");
    later.delay_seconds = Some(3);
    bench.try_send(later).await.expect("sent");
    bench.pass(3);
    let mut got = bodies(a.await.expect("task").expect("received"));
    got.extend(bodies(b.await.expect("task").expect("received")));
    got.sort();
    assert_eq!(got, ["delayed", "wake"]);
    // By a visibility timeout.
    let waiting = long();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    bench.pass(30);
    // Exactly at 30 seconds its own deadline has passed as well; the message comes first.
    assert!(!bodies(waiting.await.expect("task").expect("received")).is_empty());
    // By nothing.
    let waiting = long();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    bench.pass(20);
    assert!(bodies(waiting.await.expect("task").expect("received")).is_empty());
}

#[tokio::test]
async fn what_is_sent_is_checked() {
    let bench = Bench::new().await;
    let url = bench.queue("q", &[("MaximumMessageSize", "1024")]).await;
    for (body, expected) in [
        (String::new(), "MissingParameter"),
        ("x".repeat(1025), "InvalidParameterValue"),
        ("a\u{0}".into(), "InvalidMessageContents"),
        ("a\u{fffe}".into(), "InvalidMessageContents"),
    ] {
        assert_eq!(code(bench.try_send(message(&url, &body)).await), expected);
    }
    let mut with_id = message(&url, "x");
    with_id.message_deduplication_id = Some("d".into());
    assert_eq!(code(bench.try_send(with_id).await), "InvalidParameterValue");
    let gone = message("http://h/123456789012/none", "x");
    assert_eq!(code(bench.try_send(gone).await), "QueueDoesNotExist");
    assert_eq!(
        code(bench.try_send(message("none", "x")).await),
        "InvalidAddress"
    );
    let text = t::MessageAttributeValue {
        data_type: "String".into(),
        string_value: Some("v".into()),
        ..Default::default()
    };
    let mut many = message(&url, "x");
    let names = (0..11).map(|n| (format!("a{n}"), text.clone()));
    many.message_attributes = Some(names.collect());
    assert_eq!(code(bench.try_send(many).await), "InvalidParameterValue");
}

#[tokio::test]
async fn attributes_come_back_as_asked() {
    let bench = Bench::new().await;
    let url = bench.queue("q", &[]).await;
    let text = |data_type: &str, value: &str| t::MessageAttributeValue {
        data_type: data_type.into(),
        string_value: Some(value.into()),
        ..Default::default()
    };
    let mut sent = message(&url, "x");
    sent.message_attributes = Some(BTreeMap::from([
        ("foo.a".to_owned(), text("String", "1")),
        ("foo.b".to_owned(), text("Number.int", "2")),
        ("bar".to_owned(), text("String", "3")),
    ]));
    bench.try_send(sent).await.expect("sent");
    let mut wanted = receive(&url);
    wanted.visibility_timeout = Some(0);
    wanted.message_attribute_names = Some(vec!["foo.*".into()]);
    wanted.message_system_attribute_names = Some(vec!["SentTimestamp".into()]);
    let got = bench
        .receive_with(wanted.clone())
        .await
        .expect("got")
        .remove(0);
    let names: Vec<_> = got.message_attributes.expect("some").into_keys().collect();
    assert_eq!(names, ["foo.a", "foo.b"]);
    assert_eq!(got.attributes.expect("some").len(), 1);
    wanted.message_attribute_names = None;
    wanted.message_system_attribute_names = None;
    let got = bench.receive_with(wanted).await.expect("got").remove(0);
    assert!(got.message_attributes.is_none() && got.attributes.is_none());
    assert!(got.md5_of_message_attributes.is_none());
}

#[tokio::test]
async fn receives_are_checked() {
    let bench = Bench::new().await;
    let url = bench.queue("q", &[]).await;
    let with = |change: fn(&mut t::ReceiveMessageRequest)| {
        let mut input = receive(&url);
        change(&mut input);
        bench.receive_with(input)
    };
    let error = with(|r| r.max_number_of_messages = Some(11))
        .await
        .expect_err("too many");
    assert_eq!(
        error.message,
        "Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided."
    );
    assert!(with(|r| r.max_number_of_messages = Some(0)).await.is_err());
    assert!(with(|r| r.wait_time_seconds = Some(21)).await.is_err());
    assert!(with(|r| r.visibility_timeout = Some(43_201)).await.is_err());
    assert!(
        with(|r| r.receive_request_attempt_id = Some("a".into()))
            .await
            .is_err()
    );
    let forged = t::Message {
        receipt_handle: Some("AQEBforged".into()),
        ..Default::default()
    };
    assert_eq!(
        code(bench.delete(&url, &forged).await),
        "ReceiptHandleIsInvalid"
    );
}

#[tokio::test]
async fn batches_fail_entry_by_entry() {
    let bench = Bench::new().await;
    let url = bench.queue("q", &[("MaximumMessageSize", "1024")]).await;
    let entry = |id: &str, body: &str| t::SendMessageBatchRequestEntry {
        id: id.into(),
        message_body: body.into(),
        ..Default::default()
    };
    let send = |entries: Vec<t::SendMessageBatchRequestEntry>| {
        let queue_url = url.clone();
        bench.call::<op::SendMessageBatch>(t::SendMessageBatchRequest { queue_url, entries })
    };
    let long = "x".repeat(1025);
    let result = send(vec![entry("a", "1"), entry("b", &long), entry("c", "3")]).await;
    let result = result.expect("a mixed result");
    let ids: Vec<_> = result.successful.iter().map(|e| e.id.as_str()).collect();
    assert_eq!(ids, ["a", "c"]);
    assert_eq!(result.failed[0].id, "b");
    assert!(result.failed[0].sender_fault);
    assert_eq!(code(send(vec![]).await), "EmptyBatchRequest");
    assert_eq!(
        code(send(vec![entry("a", "1"); 2]).await),
        "BatchEntryIdsNotDistinct"
    );
    assert_eq!(
        code(send(vec![entry("a b", "1")]).await),
        "InvalidBatchEntryId"
    );
    assert_eq!(
        code(send((0..11).map(|n| entry(&n.to_string(), "x")).collect()).await),
        "TooManyEntriesInBatchRequest"
    );
    let half = "x".repeat(600_000);
    let halves = vec![entry("a", &half), entry("b", &half)];
    assert_eq!(code(send(halves).await), "BatchRequestTooLong");
    let got = bench.receive(&url).await;
    let entries = got
        .iter()
        .zip(["x", "y"])
        .map(|(m, id)| t::DeleteMessageBatchRequestEntry {
            id: id.into(),
            receipt_handle: m.receipt_handle.clone().expect("handle"),
        });
    let mut entries: Vec<_> = entries.collect();
    entries.push(t::DeleteMessageBatchRequestEntry {
        id: "z".into(),
        receipt_handle: "bad".into(),
    });
    let queue_url = url.clone();
    let deleted = bench
        .call::<op::DeleteMessageBatch>(t::DeleteMessageBatchRequest { queue_url, entries })
        .await
        .expect("a mixed result");
    assert_eq!(deleted.successful.len(), 2);
    assert_eq!(deleted.failed[0].code, "ReceiptHandleIsInvalid");
}

#[tokio::test]
async fn purging_forgets_everything_once_a_minute() {
    let bench = Bench::new().await;
    let url = bench.queue("q", &[]).await;
    bench.send(&url, "in flight").await;
    bench.receive(&url).await;
    bench.send(&url, "visible").await;
    let purge = || {
        let queue_url = url.clone();
        bench.call::<op::PurgeQueue>(t::PurgeQueueRequest { queue_url })
    };
    purge().await.expect("purged");
    assert_eq!(code(purge().await), "PurgeQueueInProgress");
    bench.send(&url, "after").await;
    bench.pass(60);
    purge().await.expect("purged again");
    bench.send(&url, "kept").await;
    let bench = bench.restart().await;
    assert_eq!(bench.bodies(&url).await, ["kept"]);
}
