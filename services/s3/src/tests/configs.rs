//! Lifecycle, notifications and locks in action.

use std::sync::Mutex;
use std::time::Duration;

use gureum_dispatch::{Ask, Service};
use gureum_model_sqs::op::SendMessage;
use gureum_model_sqs::types::{SendMessageRequest, SendMessageResult};

use super::*;
use crate::lifecycle::Ender;
use crate::notify::Courier;

const DAY: Duration = Duration::from_secs(86_400);

impl World {
    async fn lifecycle(&self, rules: Vec<LifecycleRule>) {
        let request = PutBucketLifecycleConfigurationRequest {
            bucket: "bbb".into(),
            lifecycle_configuration: Some(BucketLifecycleConfiguration { rules }),
            ..Default::default()
        };
        self.call::<op::PutBucketLifecycleConfiguration>(request)
            .await
            .expect("rules");
    }

    async fn days_pass(&self, days: u32) {
        self.clock.advance(DAY * days);
        Ender::new(self.s3.clone()).run().await.expect("run");
    }

    async fn versions(&self) -> (usize, usize) {
        let request = ListObjectVersionsRequest {
            bucket: "bbb".into(),
            ..Default::default()
        };
        let list = self
            .call::<op::ListObjectVersions>(request)
            .await
            .expect("list");
        (
            list.versions.map_or(0, |v| v.len()),
            list.delete_markers.map_or(0, |v| v.len()),
        )
    }
}

fn rule(prefix: &str) -> LifecycleRule {
    LifecycleRule {
        id: Some(format!("rule for {prefix}")),
        status: "Enabled".into(),
        filter: Some(LifecycleRuleFilter {
            prefix: Some(prefix.into()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn days(days: i32) -> Option<LifecycleExpiration> {
    Some(LifecycleExpiration {
        days: Some(days),
        ..Default::default()
    })
}

#[tokio::test]
async fn objects_end_at_the_midnight_after_their_days() {
    let world = World::with_bucket().await;
    world
        .lifecycle(vec![LifecycleRule {
            expiration: days(2),
            ..rule("old/")
        }])
        .await;
    let put = world.put("old/a", "x").await;
    let told = put.expiration.expect("x-amz-expiration");
    assert!(
        told.contains("expiry-date=") && told.contains("rule-id=\"rule%20for%20old%2F\""),
        "{told}"
    );
    world.put("new/a", "x").await;
    world.days_pass(2).await;
    assert!(world.get("old/a").await.is_ok(), "the day is not over");
    world.days_pass(1).await;
    assert_eq!(code(world.get("old/a").await), "NoSuchKey");
    assert!(world.get("new/a").await.is_ok());
}

#[tokio::test]
async fn versions_and_markers_end_in_their_turn() {
    let world = World::with_bucket().await;
    let versioning = PutBucketVersioningRequest {
        bucket: "bbb".into(),
        versioning_configuration: VersioningConfiguration {
            status: Some("Enabled".into()),
            ..Default::default()
        },
        ..Default::default()
    };
    world
        .call::<op::PutBucketVersioning>(versioning)
        .await
        .expect("versioning");
    let noncurrent = NoncurrentVersionExpiration {
        noncurrent_days: Some(1),
        newer_noncurrent_versions: Some(1),
    };
    world
        .lifecycle(vec![LifecycleRule {
            noncurrent_version_expiration: Some(noncurrent),
            ..rule("")
        }])
        .await;
    for content in ["1", "2", "3", "4"] {
        world.put("k", content).await;
    }
    world.days_pass(1).await;
    assert_eq!(world.versions().await, (4, 0));
    world.days_pass(1).await;
    assert_eq!(
        world.versions().await,
        (2, 0),
        "the newest and one noncurrent are kept"
    );

    let markers = LifecycleExpiration {
        expired_object_delete_marker: Some(true),
        ..Default::default()
    };
    let gone = NoncurrentVersionExpiration {
        noncurrent_days: Some(1),
        ..Default::default()
    };
    world
        .lifecycle(vec![LifecycleRule {
            expiration: Some(markers),
            noncurrent_version_expiration: Some(gone),
            ..rule("")
        }])
        .await;
    let delete = DeleteObjectRequest {
        bucket: "bbb".into(),
        key: "k".into(),
        ..Default::default()
    };
    world
        .call::<op::DeleteObject>(delete)
        .await
        .expect("deleted");
    world.days_pass(2).await;
    assert_eq!(
        world.versions().await,
        (0, 0),
        "and the marker that hid them is gone"
    );
}

#[tokio::test]
async fn large_objects_move_to_colder_classes_and_uploads_are_aborted() {
    let world = World::with_bucket().await;
    let cold = Transition {
        days: Some(1),
        storage_class: Some("GLACIER".into()),
        date: None,
    };
    world
        .lifecycle(vec![LifecycleRule {
            transitions: Some(vec![cold]),
            abort_incomplete_multipart_upload: Some(AbortIncompleteMultipartUpload {
                days_after_initiation: Some(1),
            }),
            ..rule("")
        }])
        .await;
    world.put("large", vec![b'x'; 128 << 10]).await;
    world.put("small", "x").await;
    let upload = CreateMultipartUploadRequest {
        bucket: "bbb".into(),
        key: "u".into(),
        ..Default::default()
    };
    world
        .call::<op::CreateMultipartUpload>(upload)
        .await
        .expect("upload");
    world.days_pass(2).await;
    assert_eq!(code(world.get("large").await), "InvalidObjectState");
    assert!(world.get("small").await.is_ok(), "too small to move");
    let list = ListMultipartUploadsRequest {
        bucket: "bbb".into(),
        ..Default::default()
    };
    let list = world
        .call::<op::ListMultipartUploads>(list)
        .await
        .expect("list");
    assert!(list.uploads.unwrap_or_default().is_empty());
}

/// A queue service that keeps what it is sent, or is out of order.
#[derive(Default)]
struct Queues {
    sent: Mutex<Vec<(String, String)>>,
    broken: Mutex<bool>,
}

async fn send(queues: Arc<Queues>, cx: Cx, input: SendMessageRequest) -> Result<SendMessageResult> {
    assert_eq!(cx.caller.arn, "s3.amazonaws.com");
    if *queues.broken.lock().expect("broken") {
        return Err(gureum_schema::Error::internal("out of order"));
    }
    if input.queue_url.ends_with("/nowhere") {
        return Err(gureum_schema::Error::new(
            "AWS.SimpleQueueService.NonExistentQueue",
            400,
            "",
        ));
    }
    queues
        .sent
        .lock()
        .expect("sent")
        .push((input.queue_url, input.message_body));
    Ok(SendMessageResult::default())
}

fn ask(_: &Queues, cx: &Cx, _: &SendMessageRequest) -> Result<Vec<Ask>> {
    let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},
        "Action":"sqs:SendMessage","Resource":"*","Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:s3:::bbb"}}}}"#;
    let policy = gureum_policy::Policy::parse(text, gureum_policy::Kind::Resource).expect("policy");
    let ask = Ask::new("sqs:SendMessage", "arn:aws:sqs:us-east-1:000000000001:q");
    Ok(vec![ask.owner(cx.account()).policy(Some(Arc::new(policy)))])
}

struct Told {
    world: World,
    queues: Arc<Queues>,
}

impl Told {
    async fn new() -> Self {
        let mut world = World::with_bucket().await;
        let queues = Arc::<Queues>::default();
        let sqs = Service::builder(&gureum_model_sqs::SERVICE, queues.clone());
        world.cloud = Cloud::builder(Arc::new(Nobody), world.clock.clone(), Region::default())
            .service(world.s3.service("gureum.localhost"))
            .service(sqs.op::<SendMessage, _>(ask, send).build())
            .build();
        Self { world, queues }
    }

    async fn tell(&self, queue: &str, event: &str) -> Result<()> {
        let suffix = FilterRule {
            name: Some("suffix".into()),
            value: Some(".jpg".into()),
        };
        let filter = NotificationConfigurationFilter {
            key: Some(S3KeyFilter {
                filter_rules: Some(vec![suffix]),
            }),
        };
        let target = QueueConfiguration {
            id: Some("mine".into()),
            queue_arn: format!("arn:aws:sqs:us-east-1:000000000001:{queue}"),
            events: vec![event.into()],
            filter: Some(filter),
        };
        let request = PutBucketNotificationConfigurationRequest {
            bucket: "bbb".into(),
            notification_configuration: NotificationConfiguration {
                queue_configurations: Some(vec![target]),
                ..Default::default()
            },
            ..Default::default()
        };
        let put = self
            .world
            .call::<op::PutBucketNotificationConfiguration>(request)
            .await;
        put.map(drop)
    }

    async fn delivered(&self) -> Vec<serde_json::Value> {
        let courier = Courier::new(self.world.s3.clone(), self.world.cloud.clone());
        courier.run().await.expect("run");
        let sent = std::mem::take(&mut *self.queues.sent.lock().expect("sent"));
        sent.iter()
            .map(|(_, text)| serde_json::from_str(text).expect("json"))
            .collect()
    }
}

#[tokio::test]
async fn changes_are_told_in_order() {
    let told = Told::new().await;
    told.tell("q", "s3:ObjectCreated:*")
        .await
        .expect("configured");
    let test = told.delivered().await;
    assert_eq!(
        (&test[0]["Event"], &test[0]["Bucket"]),
        (&"s3:TestEvent".into(), &"bbb".into())
    );
    told.world.put("a b+c.jpg", "one").await;
    told.world.put("a b+c.jpg", "three").await;
    told.world.put("other.png", "x").await;
    let mut events = told.delivered().await;
    assert_eq!(events.len(), 2);
    events.sort_by_key(|event| event["Records"][0]["s3"]["object"]["sequencer"].to_string());
    let record = &events[0]["Records"][0];
    assert_eq!(record["eventName"], "ObjectCreated:Put");
    assert_eq!(record["s3"]["object"]["key"], "a+b%2Bc.jpg");
    assert_eq!(record["s3"]["object"]["size"], 3);
    assert_eq!(record["s3"]["configurationId"], "mine");
    assert_eq!(record["userIdentity"]["principalId"], "AWS:000000000001");
    assert_eq!(events[1]["Records"][0]["s3"]["object"]["size"], 5);
}

#[tokio::test]
async fn what_cannot_be_delivered_waits() {
    let told = Told::new().await;
    told.tell("q", "s3:ObjectRemoved:*")
        .await
        .expect("configured");
    told.delivered().await;
    told.world.put("k.jpg", "x").await;
    *told.queues.broken.lock().expect("broken") = true;
    let delete = DeleteObjectRequest {
        bucket: "bbb".into(),
        key: "k.jpg".into(),
        ..Default::default()
    };
    told.world
        .call::<op::DeleteObject>(delete)
        .await
        .expect("deleted");
    assert!(told.delivered().await.is_empty());
    *told.queues.broken.lock().expect("broken") = false;
    assert!(told.delivered().await.is_empty(), "its time has not come");
    told.world.clock.advance(Duration::from_secs(1));
    let events = told.delivered().await;
    assert_eq!(events[0]["Records"][0]["eventName"], "ObjectRemoved:Delete");
    told.world.clock.advance(DAY);
    assert!(told.delivered().await.is_empty(), "it is told once");
}

#[tokio::test]
async fn destinations_are_tried_before_they_count() {
    let told = Told::new().await;
    let error = told
        .tell("nowhere", "s3:ObjectCreated:*")
        .await
        .expect_err("nowhere");
    assert_eq!(
        error.message,
        "Unable to validate the following destination configurations"
    );
    assert_eq!(error.extra[1].1, "The destination queue does not exist");
    told.world.put("k.jpg", "x").await;
    assert!(told.delivered().await.is_empty());
}

#[tokio::test]
async fn a_default_retention_holds_even_root() {
    let world = World::new();
    let bucket = CreateBucketRequest {
        bucket: "bbb".into(),
        object_lock_enabled_for_bucket: Some(true),
        ..Default::default()
    };
    world
        .call::<op::CreateBucket>(bucket)
        .await
        .expect("bucket");
    let default = DefaultRetention {
        mode: Some("COMPLIANCE".into()),
        days: Some(1),
        years: None,
    };
    let lock = PutObjectLockConfigurationRequest {
        bucket: "bbb".into(),
        object_lock_configuration: Some(ObjectLockConfiguration {
            object_lock_enabled: Some("Enabled".into()),
            rule: Some(ObjectLockRule {
                default_retention: Some(default),
            }),
        }),
        ..Default::default()
    };
    world
        .call::<op::PutObjectLockConfiguration>(lock)
        .await
        .expect("lock");
    let version = world.put("k", "x").await.version_id;
    let delete = || DeleteObjectRequest {
        bucket: "bbb".into(),
        key: "k".into(),
        version_id: version.clone(),
        bypass_governance_retention: Some(true),
        ..Default::default()
    };
    assert_eq!(
        code(world.call::<op::DeleteObject>(delete()).await),
        "AccessDenied"
    );
    let weaker = PutObjectRetentionRequest {
        bucket: "bbb".into(),
        key: "k".into(),
        bypass_governance_retention: Some(true),
        ..Default::default()
    };
    assert_eq!(
        code(world.call::<op::PutObjectRetention>(weaker).await),
        "AccessDenied"
    );
    world.clock.advance(DAY);
    world
        .call::<op::DeleteObject>(delete())
        .await
        .expect("it is over");
}

#[tokio::test]
async fn a_new_bucket_takes_nothing_from_its_namesake() {
    let world = World::with_bucket().await;
    let tags = PutBucketTaggingRequest {
        bucket: "bbb".into(),
        tagging: Tagging {
            tag_set: vec![Tag {
                key: "k".into(),
                value: "v".into(),
            }],
        },
        ..Default::default()
    };
    world
        .call::<op::PutBucketTagging>(tags)
        .await
        .expect("tags");
    let get = || GetBucketTaggingRequest {
        bucket: "bbb".into(),
        ..Default::default()
    };
    assert_eq!(
        world
            .call::<op::GetBucketTagging>(get())
            .await
            .expect("tags")
            .tag_set
            .len(),
        1
    );
    let delete = DeleteBucketRequest {
        bucket: "bbb".into(),
        ..Default::default()
    };
    world
        .call::<op::DeleteBucket>(delete)
        .await
        .expect("deleted");
    let create = CreateBucketRequest {
        bucket: "bbb".into(),
        ..Default::default()
    };
    world
        .call::<op::CreateBucket>(create)
        .await
        .expect("created");
    assert_eq!(
        code(world.call::<op::GetBucketTagging>(get()).await),
        "NoSuchTagSet"
    );
    let get = GetPublicAccessBlockRequest {
        bucket: "bbb".into(),
        ..Default::default()
    };
    let block = world
        .call::<op::GetPublicAccessBlock>(get)
        .await
        .expect("block");
    let block = block.public_access_block_configuration.expect("block");
    assert_eq!(
        (block.block_public_acls, block.restrict_public_buckets),
        (Some(true), Some(true))
    );
}
