//! Objects in a bucket without versioning, and buckets themselves.

use super::*;

/// Bigger than what is kept in a row, and not a multiple of anything.
fn big() -> Vec<u8> {
    (0..300_001u32).map(|n| (n * 7 + n / 251) as u8).collect()
}

#[tokio::test]
async fn buckets_are_named_once_in_the_world() {
    let world = World::new();
    let request = |name: &str, region: Option<&str>| CreateBucketRequest {
        bucket: name.into(),
        create_bucket_configuration: region.map(|region| CreateBucketConfiguration {
            location_constraint: Some(region.into()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let here = world.root();
    let there = world.cx(Caller::root(account(1)), "eu-west-1");
    let other = world.cx(Caller::root(account(2)), "us-east-1");
    assert_eq!(
        code(here.call::<op::CreateBucket>(request("one", None)).await),
        "ok"
    );
    assert_eq!(
        code(here.call::<op::CreateBucket>(request("one", None)).await),
        "ok"
    );
    assert_eq!(
        code(other.call::<op::CreateBucket>(request("one", None)).await),
        "BucketAlreadyExists"
    );
    assert_eq!(
        code(
            here.call::<op::CreateBucket>(request("two", Some("eu-west-1")))
                .await
        ),
        "ok"
    );
    assert_eq!(
        code(
            there
                .call::<op::CreateBucket>(request("two", Some("eu-west-1")))
                .await
        ),
        "BucketAlreadyOwnedByYou"
    );
    assert_eq!(
        code(there.call::<op::CreateBucket>(request("three", None)).await),
        "IllegalLocationConstraintException"
    );
    assert_eq!(
        code(
            here.call::<op::CreateBucket>(request("three", Some("us-east-1")))
                .await
        ),
        "InvalidLocationConstraint"
    );
    assert_eq!(
        code(here.call::<op::CreateBucket>(request("No", None)).await),
        "InvalidBucketName"
    );
    let head = |name: &str| HeadBucketRequest {
        bucket: name.into(),
        ..Default::default()
    };
    let error = here
        .call::<op::HeadBucket>(head("two"))
        .await
        .expect_err("other region");
    assert_eq!(
        (error.code.as_ref(), error.status),
        ("PermanentRedirect", 301)
    );
    assert!(
        error
            .headers
            .contains(&("x-amz-bucket-region", "eu-west-1".into()))
    );
    assert_eq!(code(there.call::<op::HeadBucket>(head("two")).await), "ok");
    assert_eq!(
        code(other.call::<op::HeadBucket>(head("one")).await),
        "AccessDenied"
    );
    let listed = here
        .call::<op::ListBuckets>(ListBucketsRequest::default())
        .await
        .expect("list");
    let names: Vec<_> = listed
        .buckets
        .into_iter()
        .flatten()
        .filter_map(|b| b.name)
        .collect();
    assert_eq!(names, ["one", "two"]);
}

#[tokio::test]
async fn content_comes_back_and_its_files_go_with_it() {
    let world = World::with_bucket().await;
    for content in [vec![], b"small".to_vec(), big()] {
        let out = world.put("k", content.clone()).await;
        let md5 = gureum_blob::Digests::of(&[gureum_blob::Algorithm::Md5], &content);
        let md5 = hex::encode(&md5[&gureum_blob::Algorithm::Md5]);
        assert_eq!(out.e_tag, Some(format!("\"{md5}\"")));
        assert_eq!(out.server_side_encryption.as_deref(), Some("AES256"));
        assert_eq!(world.get("k").await.expect("content"), content);
    }
    world.reap().await;
    assert_eq!(world.files().await, 1);
    world.put("k", "small again").await;
    world.reap().await;
    assert_eq!(world.files().await, 0);
    let delete = DeleteObjectRequest {
        bucket: "bbb".into(),
        key: "k".into(),
        ..Default::default()
    };
    assert_eq!(
        code(world.call::<op::DeleteObject>(delete.clone()).await),
        "ok"
    );
    assert_eq!(code(world.call::<op::DeleteObject>(delete).await), "ok");
    assert_eq!(code(world.get("k").await), "NoSuchKey");
    let delete = DeleteBucketRequest {
        bucket: "bbb".into(),
        ..Default::default()
    };
    assert_eq!(code(world.call::<op::DeleteBucket>(delete).await), "ok");
}

#[tokio::test]
async fn content_is_not_readable_on_the_disk() {
    let world = World::with_bucket().await;
    let secret = b"attack at dawn ".repeat(10_000);
    world.put("k", secret).await;
    let mut files = 0;
    for shard in std::fs::read_dir(world.dir.path().join("data")).expect("data") {
        for file in std::fs::read_dir(shard.expect("shard").path()).expect("shard") {
            let bytes = std::fs::read(file.expect("file").path()).expect("file");
            assert!(!bytes.windows(6).any(|window| window == b"attack"));
            files += 1;
        }
    }
    assert_eq!(files, 1);
}

#[tokio::test]
async fn a_flipped_byte_is_never_returned() {
    let world = World::with_bucket().await;
    world.put("k", big()).await;
    for shard in std::fs::read_dir(world.dir.path().join("data")).expect("data") {
        for file in std::fs::read_dir(shard.expect("shard").path()).expect("shard") {
            let path = file.expect("file").path();
            let mut bytes = std::fs::read(&path).expect("file");
            bytes[1000] ^= 1;
            std::fs::write(&path, bytes).expect("damage");
        }
    }
    assert_eq!(code(world.get("k").await), "InternalError");
}

#[tokio::test]
async fn ranges_and_conditions_of_reads() {
    let world = World::with_bucket().await;
    let etag = world.put("k", big()).await.e_tag.expect("tag");
    let ranged = |range: &str| GetObjectRequest {
        range: Some(range.into()),
        ..get("k")
    };
    let out = world
        .call::<op::GetObject>(ranged("bytes=65530-65545"))
        .await
        .expect("range");
    assert_eq!(
        out.content_range.as_deref(),
        Some("bytes 65530-65545/300001")
    );
    assert_eq!(out.content_length, Some(16));
    assert_eq!(read(out.body).await, big()[65530..65546]);
    assert_eq!(
        code(world.call::<op::GetObject>(ranged("bytes=400000-")).await),
        "InvalidRange"
    );
    let same = GetObjectRequest {
        if_none_match: Some(etag.clone()),
        ..get("k")
    };
    let error = world
        .call::<op::GetObject>(same)
        .await
        .expect_err("not modified");
    assert_eq!(error.status, 304);
    let other = GetObjectRequest {
        if_match: Some("\"x\"".into()),
        ..get("k")
    };
    assert_eq!(
        code(world.call::<op::GetObject>(other).await),
        "PreconditionFailed"
    );
}

#[tokio::test]
async fn of_racing_creators_one_wins() {
    let world = World::with_bucket().await;
    let cx = world.root();
    let racers = (0..50).map(|n| {
        let request = PutObjectRequest {
            if_none_match: Some("*".into()),
            ..put("k", format!("{n}"))
        };
        let cx = cx.clone();
        tokio::spawn(async move { code(cx.call::<op::PutObject>(request).await) })
    });
    let mut outcomes = Vec::new();
    for racer in racers.collect::<Vec<_>>() {
        outcomes.push(racer.await.expect("racer"));
    }
    outcomes.sort();
    assert_eq!(outcomes.pop().as_deref(), Some("ok"));
    assert!(
        outcomes.iter().all(|code| code == "PreconditionFailed"),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn refused_uploads_leave_nothing() {
    let world = World::with_bucket().await;
    let wrong = PutObjectRequest {
        checksum_crc32: Some("AAAAAA==".into()),
        ..put("k", big())
    };
    assert_eq!(code(world.call::<op::PutObject>(wrong).await), "BadDigest");
    let wrong = PutObjectRequest {
        content_md5: Some("AAAAAAAAAAAAAAAAAAAAAA==".into()),
        ..put("k", big())
    };
    assert_eq!(code(world.call::<op::PutObject>(wrong).await), "BadDigest");
    assert_eq!(world.files().await, 0);
    assert_eq!(code(world.get("k").await), "NoSuchKey");
}

#[tokio::test]
async fn a_customer_key_is_needed_for_everything() {
    let world = World::with_bucket().await;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let key = STANDARD.encode([9; 32]);
    let md5 = gureum_blob::Digests::of(&[gureum_blob::Algorithm::Md5], &[9; 32]);
    let md5 = STANDARD.encode(&md5[&gureum_blob::Algorithm::Md5]);
    let request = PutObjectRequest {
        sse_customer_algorithm: Some("AES256".into()),
        sse_customer_key: Some(key.clone()),
        sse_customer_key_md5: Some(md5.clone()),
        ..put("k", "mine")
    };
    let openly = world.call::<op::PutObject>(request.clone()).await;
    assert_eq!(code(openly), "InvalidArgument");
    let put = world.call_over_tls::<op::PutObject>(request).await;
    put.expect("put");
    assert_eq!(code(world.get("k").await), "InvalidRequest");
    let head = HeadObjectRequest {
        bucket: "bbb".into(),
        key: "k".into(),
        ..Default::default()
    };
    assert_eq!(
        code(world.call::<op::HeadObject>(head).await),
        "InvalidRequest"
    );
    let with_key = GetObjectRequest {
        sse_customer_algorithm: Some("AES256".into()),
        sse_customer_key: Some(key),
        sse_customer_key_md5: Some(md5),
        ..get("k")
    };
    let out = world.call_over_tls::<op::GetObject>(with_key).await;
    let out = out.expect("get");
    assert_eq!(read(out.body).await, b"mine");
}

#[tokio::test]
async fn archived_objects_are_read_after_they_are_restored() {
    let world = World::with_bucket().await;
    let request = PutObjectRequest {
        storage_class: Some("GLACIER".into()),
        ..put("k", "cold")
    };
    world.call::<op::PutObject>(request).await.expect("put");
    assert_eq!(code(world.get("k").await), "InvalidObjectState");
    let restore = RestoreObjectRequest {
        bucket: "bbb".into(),
        key: "k".into(),
        restore_request: Some(RestoreRequest {
            days: Some(1),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(
        code(world.call::<op::RestoreObject>(restore.clone()).await),
        "ok"
    );
    assert_eq!(code(world.get("k").await), "InvalidObjectState");
    assert_eq!(
        code(world.call::<op::RestoreObject>(restore).await),
        "RestoreAlreadyInProgress"
    );
    world.clock.advance(std::time::Duration::from_secs(15));
    assert_eq!(world.get("k").await.expect("restored"), b"cold");
    world
        .clock
        .advance(std::time::Duration::from_secs(3 * 24 * 3600));
    assert_eq!(code(world.get("k").await), "InvalidObjectState");
}

#[tokio::test]
async fn copies_take_what_they_are_told_to() {
    let world = World::with_bucket().await;
    let request = PutObjectRequest {
        metadata: Some([("a".to_owned(), "1".to_owned())].into()),
        tagging: Some("t=1".into()),
        content_type: Some("text/plain".into()),
        ..put("from", big())
    };
    world.call::<op::PutObject>(request).await.expect("put");
    let copy = |to: &str| CopyObjectRequest {
        bucket: "bbb".into(),
        key: to.into(),
        copy_source: "bbb/from".into(),
        ..Default::default()
    };
    assert_eq!(
        code(world.call::<op::CopyObject>(copy("from")).await),
        "InvalidRequest"
    );
    world
        .call::<op::CopyObject>(copy("to"))
        .await
        .expect("copy");
    let out = world
        .call::<op::GetObject>(get("to"))
        .await
        .expect("copied");
    assert_eq!(out.content_type.as_deref(), Some("text/plain"));
    assert_eq!(
        out.metadata.as_ref().map(|m| m["a"].clone()).as_deref(),
        Some("1")
    );
    assert_eq!(out.tag_count, Some(1));
    assert_eq!(read(out.body).await, big());
    let replace = CopyObjectRequest {
        metadata_directive: Some("REPLACE".into()),
        tagging_directive: Some("REPLACE".into()),
        ..copy("from")
    };
    world
        .call::<op::CopyObject>(replace)
        .await
        .expect("replace");
    let out = world
        .call::<op::GetObject>(get("from"))
        .await
        .expect("replaced");
    assert_eq!(
        (out.tag_count, out.metadata.map(|m| m.len())),
        (None, Some(0))
    );
    assert_eq!(read(out.body).await, big());
}

#[tokio::test]
async fn a_missing_key_is_a_secret_from_those_who_may_not_list() {
    let world = World::with_bucket().await;
    let stranger = world.cx(Caller::root(account(2)), "us-east-1");
    assert_eq!(
        code(stranger.call::<op::GetObject>(get("none")).await),
        "AccessDenied"
    );
    assert_eq!(code(world.get("none").await), "NoSuchKey");
}

#[tokio::test]
async fn the_unsigned_may_do_what_the_bucket_policy_says_and_no_more() {
    let world = World::with_bucket().await;
    world.put("k", "x").await;
    let nobody = world.cx(Caller::anonymous(), "us-east-1");
    let create = CreateBucketRequest {
        bucket: "theirs".into(),
        ..Default::default()
    };
    assert_eq!(
        code(nobody.call::<op::CreateBucket>(create).await),
        "AccessDenied"
    );
    let list = ListBucketsRequest::default();
    assert_eq!(
        code(nobody.call::<op::ListBuckets>(list).await),
        "AccessDenied"
    );
    assert_eq!(
        code(nobody.call::<op::PutObject>(put("k", "y")).await),
        "AccessDenied"
    );
    assert_eq!(
        code(nobody.call::<op::GetObject>(get("k")).await),
        "AccessDenied"
    );
    let delete = DeleteObjectsRequest {
        bucket: "bbb".into(),
        delete: Delete {
            objects: vec![ObjectIdentifier {
                key: "k".into(),
                ..Default::default()
            }],
            quiet: None,
        },
        ..Default::default()
    };
    let out = nobody
        .call::<op::DeleteObjects>(delete)
        .await
        .expect("answer");
    let codes: Vec<_> = out
        .errors
        .into_iter()
        .flatten()
        .filter_map(|e| e.code)
        .collect();
    assert_eq!(codes, ["AccessDenied"]);

    let text = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bbb/*"}]}"#;
    let unblock = DeletePublicAccessBlockRequest {
        bucket: "bbb".into(),
        ..Default::default()
    };
    let unblocked = world.call::<op::DeletePublicAccessBlock>(unblock).await;
    unblocked.expect("unblocked");
    let policy = PutBucketPolicyRequest {
        bucket: "bbb".into(),
        policy: text.into(),
        ..Default::default()
    };
    let put_policy = world.call::<op::PutBucketPolicy>(policy).await;
    put_policy.expect("policy");
    assert_eq!(code(nobody.call::<op::GetObject>(get("k")).await), "ok");
    assert_eq!(
        code(nobody.call::<op::GetObject>(get("none")).await),
        "AccessDenied"
    );
    assert_eq!(
        code(nobody.call::<op::PutObject>(put("k", "y")).await),
        "AccessDenied"
    );
}

#[tokio::test]
async fn listings_fold_and_go_on() {
    let world = World::with_bucket().await;
    for key in ["a", "b/1", "b/2", "b/3", "c", "d/x", "é"] {
        world.put(key, "x").await;
    }
    let mut seen = Vec::new();
    let mut token = None;
    loop {
        let request = ListObjectsV2Request {
            bucket: "bbb".into(),
            delimiter: Some("/".into()),
            max_keys: Some(2),
            continuation_token: token,
            ..Default::default()
        };
        let page = world
            .call::<op::ListObjectsV2>(request)
            .await
            .expect("page");
        let keys = page
            .contents
            .into_iter()
            .flatten()
            .filter_map(|object| object.key);
        let prefixes = page
            .common_prefixes
            .into_iter()
            .flatten()
            .filter_map(|p| p.prefix);
        let mut entries: Vec<_> = keys.chain(prefixes).collect();
        assert_eq!(page.key_count, Some(entries.len() as i32));
        entries.sort();
        seen.extend(entries);
        token = page.next_continuation_token;
        if page.is_truncated != Some(true) {
            break;
        }
    }
    assert_eq!(seen, ["a", "b/", "c", "d/", "é"]);
}
