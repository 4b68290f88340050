//! Dead letters: how messages get there, and how they come back.

use gureum_model_sqs::{op, types as t};

use super::{Bench, code, message, receive, system};

async fn pair(bench: &Bench) -> (String, String) {
    let dead = bench.queue("dead", &[]).await;
    let redrive = r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:123456789012:dead","maxReceiveCount":"2"}"#;
    let live = bench
        .queue(
            "live",
            &[("RedrivePolicy", redrive), ("VisibilityTimeout", "1")],
        )
        .await;
    (live, dead)
}

async fn wear_out(bench: &Bench, url: &str) {
    for _ in 0..2 {
        assert!(!bench.receive(url).await.is_empty());
        bench.pass(1);
    }
    assert!(bench.receive(url).await.is_empty());
}

#[tokio::test]
async fn what_was_received_too_often_changes_queues() {
    let bench = Bench::new().await;
    let (live, dead) = pair(&bench).await;
    let sent = bench.send(&live, "poison").await;
    wear_out(&bench, &live).await;
    let bench = bench.restart().await;
    assert!(bench.receive(&live).await.is_empty());
    let got = bench.receive(&dead).await.remove(0);
    assert_eq!(got.message_id, sent.message_id);
    assert_eq!(got.body.as_deref(), Some("poison"));
    assert_eq!(system(&got, "ApproximateReceiveCount"), "3");
    assert_eq!(
        system(&got, "DeadLetterQueueSourceArn"),
        "arn:aws:sqs:us-east-1:123456789012:live"
    );
    bench.delete(&dead, &got).await.expect("deleted");
    assert_eq!(
        bench
            .attribute(&dead, "ApproximateNumberOfMessagesNotVisible")
            .await,
        "0"
    );
}

#[tokio::test]
async fn a_waiter_at_the_dead_letter_queue_is_woken() {
    let bench = Bench::new().await;
    let (live, dead) = pair(&bench).await;
    bench.send(&live, "poison").await;
    let mut long = receive(&dead);
    long.wait_time_seconds = Some(20);
    let cx = bench.cx();
    let waiting = tokio::spawn(async move { cx.call::<op::ReceiveMessage>(long).await });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    wear_out(&bench, &live).await;
    let got = waiting.await.expect("task").expect("received").messages;
    assert_eq!(got.map(|m| m.len()), Some(1));
}

#[tokio::test]
async fn a_redrive_policy_must_name_a_fitting_queue() {
    let bench = Bench::new().await;
    let (live, dead) = pair(&bench).await;
    bench.queue("dead.fifo", &[("FifoQueue", "true")]).await;
    for (arn, why) in [
        ("arn:aws:sqs:us-east-1:123456789012:none", "does not exist"),
        ("arn:aws:sqs:us-east-1:999999999999:dead", "same account"),
        ("arn:aws:sqs:eu-west-1:123456789012:dead", "same account"),
        ("arn:aws:sqs:us-east-1:123456789012:dead.fifo", "same type"),
    ] {
        let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":1}}"#);
        let refused = bench.set(&live, "RedrivePolicy", &policy).await;
        assert!(refused.expect_err("refused").message.contains(why), "{arn}");
    }
    let sources = bench
        .call::<op::ListDeadLetterSourceQueues>(t::ListDeadLetterSourceQueuesRequest {
            queue_url: dead.clone(),
            ..Default::default()
        })
        .await
        .expect("listed");
    assert_eq!(sources.queue_urls, [live.as_str()]);
    bench
        .set(
            &dead,
            "RedriveAllowPolicy",
            r#"{"redrivePermission":"denyAll"}"#,
        )
        .await
        .expect("set");
    let policy =
        r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:123456789012:dead","maxReceiveCount":1}"#;
    let other = bench.try_queue("other", &[("RedrivePolicy", policy)]).await;
    assert_eq!(code(other), "InvalidParameterValue");
}

fn start(source: &str) -> t::StartMessageMoveTaskRequest {
    t::StartMessageMoveTaskRequest {
        source_arn: format!("arn:aws:sqs:us-east-1:123456789012:{source}"),
        ..Default::default()
    }
}

async fn tasks(bench: &Bench) -> Vec<t::ListMessageMoveTasksResultEntry> {
    let input = t::ListMessageMoveTasksRequest {
        source_arn: start("dead").source_arn,
        max_results: Some(10),
    };
    let listed = bench.call::<op::ListMessageMoveTasks>(input).await;
    listed.expect("listed").results.unwrap_or_default()
}

/// Lets time pass in the mover's steps until its newest task is over.
async fn until_over(bench: &Bench) -> t::ListMessageMoveTasksResultEntry {
    for _ in 0..10_000 {
        let newest = tasks(bench).await.remove(0);
        if newest.status.as_deref() != Some("RUNNING") {
            return newest;
        }
        bench.pass_ms(50);
        tokio::task::yield_now().await;
    }
    panic!("the move never ends");
}

#[tokio::test]
async fn dead_letters_go_back_where_they_came_from() {
    let bench = Bench::new().await;
    let (live, dead) = pair(&bench).await;
    for n in 0..5 {
        bench.send(&live, &n.to_string()).await;
    }
    wear_out(&bench, &live).await;
    assert_eq!(
        bench.attribute(&dead, "ApproximateNumberOfMessages").await,
        "5"
    );
    bench
        .call::<op::StartMessageMoveTask>(start("dead"))
        .await
        .expect("started");
    let over = until_over(&bench).await;
    assert_eq!(over.status.as_deref(), Some("COMPLETED"));
    assert_eq!(over.approximate_number_of_messages_moved, Some(5));
    assert_eq!(over.approximate_number_of_messages_to_move, Some(5));
    assert!(over.task_handle.is_none());
    assert!(bench.receive(&dead).await.is_empty());
    let got = bench.receive(&live).await;
    assert_eq!(got.len(), 5);
    assert_eq!(system(&got[0], "ApproximateReceiveCount"), "1");
}

#[tokio::test]
async fn a_slow_move_survives_a_restart_and_can_be_cancelled() {
    let bench = Bench::new().await;
    let (live, dead) = pair(&bench).await;
    bench.queue("elsewhere", &[]).await;
    for n in 0..9 {
        bench.send(&live, &n.to_string()).await;
    }
    wear_out(&bench, &live).await;
    let input = t::StartMessageMoveTaskRequest {
        destination_arn: Some("arn:aws:sqs:us-east-1:123456789012:elsewhere".into()),
        max_number_of_messages_per_second: Some(1),
        ..start("dead")
    };
    let started = bench.call::<op::StartMessageMoveTask>(input.clone()).await;
    let handle = started.expect("started").task_handle.expect("handle");
    let twice = bench.call::<op::StartMessageMoveTask>(input).await;
    assert_eq!(code(twice), "UnsupportedOperation");
    let moved = |tasks: Vec<t::ListMessageMoveTasksResultEntry>| {
        tasks[0]
            .approximate_number_of_messages_moved
            .expect("count")
    };
    while moved(tasks(&bench).await) < 2 {
        bench.pass_ms(500);
        tokio::task::yield_now().await;
    }
    let bench = bench.restart().await;
    while moved(tasks(&bench).await) < 4 {
        bench.pass_ms(500);
        tokio::task::yield_now().await;
    }
    let cancel = || t::CancelMessageMoveTaskRequest {
        task_handle: handle.clone(),
    };
    bench
        .call::<op::CancelMessageMoveTask>(cancel())
        .await
        .expect("cancelled");
    while tasks(&bench).await[0].status.as_deref() != Some("CANCELLED") {
        bench.pass_ms(500);
        tokio::task::yield_now().await;
    }
    let over = tasks(&bench).await.remove(0);
    let moved = over.approximate_number_of_messages_moved.expect("count");
    let left = bench.attribute(&dead, "ApproximateNumberOfMessages").await;
    assert_eq!(left, (9 - moved).to_string());
    let again = bench.call::<op::CancelMessageMoveTask>(cancel()).await;
    assert_eq!(code(again), "UnsupportedOperation");
}

#[tokio::test]
async fn only_dead_letter_queues_can_be_moved_from() {
    let bench = Bench::new().await;
    let (live, _) = pair(&bench).await;
    bench.try_send(message(&live, "x")).await.expect("sent");
    let refused = bench.call::<op::StartMessageMoveTask>(start("live")).await;
    assert_eq!(code(refused), "InvalidParameterValue");
    let refused = bench.call::<op::StartMessageMoveTask>(start("none")).await;
    assert_eq!(code(refused), "ResourceNotFoundException");
}
