//! Queues themselves: names, attributes, listings, tags, permissions.

use gureum_dispatch::Caller;
use gureum_model_sqs::{op, types as t};

use super::{Bench, account, code, map, message};

#[tokio::test]
async fn creating_twice_is_fine_when_nothing_differs() {
    let bench = Bench::new().await;
    let url = bench.queue("q", &[("DelaySeconds", "3")]).await;
    assert_eq!(url, "http://localhost:4566/123456789012/q");
    assert_eq!(bench.queue("q", &[("DelaySeconds", "3")]).await, url);
    assert_eq!(bench.queue("q", &[]).await, url);
    assert_eq!(
        code(bench.try_queue("q", &[("DelaySeconds", "4")]).await),
        "QueueNameExists"
    );
    for bad in ["", "a b", "a.fifo", "ü", &"x".repeat(81)] {
        assert!(bench.try_queue(bad, &[]).await.is_err(), "{bad}");
    }
    assert_eq!(
        code(bench.try_queue("f", &[("FifoQueue", "true")]).await),
        "InvalidParameterValue"
    );
    assert_eq!(
        code(bench.try_queue("n", &[("Colour", "red")]).await),
        "InvalidAttributeName"
    );
    let both = [("KmsMasterKeyId", "k"), ("SqsManagedSseEnabled", "true")];
    assert_eq!(
        code(bench.try_queue("n", &both).await),
        "InvalidParameterValue"
    );
}

#[tokio::test]
async fn a_deleted_name_rests_for_a_minute() {
    let bench = Bench::new().await;
    let url = bench.queue("q", &[]).await;
    bench.send(&url, "x").await;
    let delete = t::DeleteQueueRequest {
        queue_url: url.clone(),
    };
    bench
        .call::<op::DeleteQueue>(delete.clone())
        .await
        .expect("deleted");
    assert_eq!(
        code(bench.call::<op::DeleteQueue>(delete).await),
        "QueueDoesNotExist"
    );
    assert_eq!(
        code(bench.try_queue("q", &[]).await),
        "QueueDeletedRecently"
    );
    let bench = bench.restart().await;
    bench.pass(59);
    assert_eq!(
        code(bench.try_queue("q", &[]).await),
        "QueueDeletedRecently"
    );
    bench.pass(1);
    let url = bench.queue("q", &[]).await;
    assert!(bench.receive(&url).await.is_empty(), "a new queue is empty");
}

#[tokio::test]
async fn what_was_forgotten_leaves_the_store() {
    let bench = Bench::new().await;
    let url = bench
        .queue(
            "q.fifo",
            &[("FifoQueue", "true"), ("ContentBasedDeduplication", "true")],
        )
        .await;
    for n in 0..20 {
        let sent = t::SendMessageRequest {
            message_group_id: Some("g".into()),
            ..message(&url, &n.to_string())
        };
        bench.try_send(sent).await.expect("sent");
    }
    let rows = || {
        use crate::model::{Content, Duplicate, Message};
        use gureum_kit::{Reader, Scan};
        let view = bench.store.read();
        (
            view.scan(Scan::<Message>::all()).count(),
            view.scan(Scan::<Content>::all()).count(),
            view.scan(Scan::<Duplicate>::all()).count(),
        )
    };
    assert_eq!(rows(), (20, 20, 20));
    bench
        .call::<op::DeleteQueue>(t::DeleteQueueRequest { queue_url: url })
        .await
        .expect("deleted");
    bench.sqs.sweep().await.expect("swept");
    // The background sweep may be at it at the same time.
    while rows() != (0, 0, 0) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn listings_have_pages() {
    let mut bench = Bench::new().await;
    for name in ["a-1", "a-2", "a-3", "b-1"] {
        bench.queue(name, &[]).await;
    }
    let list = |prefix: Option<&str>, most, next_token| t::ListQueuesRequest {
        queue_name_prefix: prefix.map(str::to_owned),
        max_results: most,
        next_token,
    };
    let names = |urls: Option<Vec<String>>| -> Vec<String> {
        let last = |url: String| url.rsplit('/').next().unwrap_or_default().to_owned();
        urls.unwrap_or_default().into_iter().map(last).collect()
    };
    let all = bench
        .call::<op::ListQueues>(list(None, None, None))
        .await
        .expect("listed");
    assert_eq!(names(all.queue_urls).len(), 4);
    let first = bench
        .call::<op::ListQueues>(list(Some("a-"), Some(2), None))
        .await
        .expect("listed");
    assert_eq!(names(first.queue_urls), ["a-1", "a-2"]);
    let token = first.next_token.expect("more");
    let input = list(Some("a-"), Some(2), Some(token.clone()));
    let second = bench.call::<op::ListQueues>(input).await.expect("listed");
    assert_eq!(names(second.queue_urls), ["a-3"]);
    assert!(second.next_token.is_none());
    let other = bench
        .call::<op::ListQueues>(list(Some("b"), Some(2), Some(token)))
        .await;
    assert!(other.is_err(), "a token is for its own listing");
    bench.set_caller(Caller::root(account("999999999999")));
    let none = bench
        .call::<op::ListQueues>(list(None, None, None))
        .await
        .expect("listed");
    assert!(none.queue_urls.is_none());
}

#[tokio::test]
async fn tags_come_and_go() {
    let bench = Bench::new().await;
    let url = bench.queue("q", &[]).await;
    let tags = map(&[("team", "a"), ("cost", "7")]);
    let queue_url = url.clone();
    bench
        .call::<op::TagQueue>(t::TagQueueRequest {
            queue_url,
            tags: tags.clone(),
        })
        .await
        .expect("tagged");
    let list = || t::ListQueueTagsRequest {
        queue_url: url.clone(),
    };
    let listed = bench
        .call::<op::ListQueueTags>(list())
        .await
        .expect("listed");
    assert_eq!(listed.tags, Some(tags));
    bench
        .call::<op::UntagQueue>(t::UntagQueueRequest {
            queue_url: url.clone(),
            tag_keys: vec!["team".into()],
        })
        .await
        .expect("untagged");
    let listed = bench
        .call::<op::ListQueueTags>(list())
        .await
        .expect("listed");
    assert_eq!(listed.tags, Some(map(&[("cost", "7")])));
}

#[tokio::test]
async fn a_queue_policy_lets_others_in() {
    let mut bench = Bench::new().await;
    let url = bench.queue("q", &[]).await;
    let owner = || Caller::root(account(super::ACCOUNT));
    let friend = || Caller::root(account("999999999999"));
    bench.set_caller(friend());
    assert_eq!(
        code(bench.try_send(message(&url, "x")).await),
        "AccessDenied"
    );
    bench.set_caller(owner());
    let add = |label: &str| t::AddPermissionRequest {
        queue_url: url.clone(),
        label: label.into(),
        aws_account_ids: vec!["999999999999".into()],
        actions: vec!["SendMessage".into()],
    };
    bench
        .call::<op::AddPermission>(add("friend"))
        .await
        .expect("added");
    assert_eq!(
        code(bench.call::<op::AddPermission>(add("friend")).await),
        "InvalidParameterValue"
    );
    bench.set_caller(friend());
    bench.send(&url, "from afar").await;
    let queue_url = url.clone();
    let receive = t::ReceiveMessageRequest {
        queue_url,
        ..Default::default()
    };
    assert_eq!(code(bench.receive_with(receive).await), "AccessDenied");
    bench.set_caller(owner());
    let remove = t::RemovePermissionRequest {
        queue_url: url.clone(),
        label: "friend".into(),
    };
    bench
        .call::<op::RemovePermission>(remove)
        .await
        .expect("removed");
    assert_eq!(bench.attribute(&url, "Policy").await, "");
    bench.set_caller(friend());
    assert_eq!(
        code(bench.try_send(message(&url, "x")).await),
        "AccessDenied"
    );
}

#[tokio::test]
async fn services_deliver_where_the_policy_names_them() {
    let mut bench = Bench::new().await;
    let url = bench.queue("q", &[]).await;
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
        "Principal":{"Service":"s3.amazonaws.com"},"Action":"sqs:SendMessage",
        "Resource":"arn:aws:sqs:us-east-1:123456789012:q",
        "Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:s3:::photos"}}}]}"#;
    bench.set(&url, "Policy", policy).await.expect("set");
    let service =
        |bucket: &str| Caller::service("s3.amazonaws.com", bucket, &account(super::ACCOUNT));
    bench.set_caller(service("arn:aws:s3:::photos"));
    bench.send(&url, "event").await;
    bench.set_caller(service("arn:aws:s3:::others"));
    assert_eq!(
        code(bench.try_send(message(&url, "event")).await),
        "AccessDenied"
    );
    bench.set_caller(Caller::root(account(super::ACCOUNT)));
    assert_eq!(
        code(bench.set(&url, "Policy", "{").await),
        "InvalidAttributeValue"
    );
}

#[tokio::test]
async fn anybody_may_send_where_the_policy_says_so() {
    let mut bench = Bench::new().await;
    let url = bench.queue("q", &[]).await;
    let policy = r#"{"Statement":[{"Effect":"Allow","Principal":"*","Action":"SQS:SendMessage",
        "Resource":"arn:aws:sqs:us-east-1:123456789012:q"}]}"#;
    bench.set(&url, "Policy", policy).await.expect("set");
    bench.set_caller(Caller::anonymous());
    bench.send(&url, "hi").await;
    let queue_url = url.clone();
    let purge = bench
        .call::<op::PurgeQueue>(t::PurgeQueueRequest { queue_url })
        .await;
    assert_eq!(code(purge), "AccessDenied");
}
