//! Multipart uploads.

use gureum_blob::{Algorithm, Digests};

use super::*;

const PART: usize = 5 << 20;

async fn begin(world: &World, algorithm: Option<&str>) -> String {
    let request = CreateMultipartUploadRequest {
        bucket: "bbb".into(),
        key: "k".into(),
        checksum_algorithm: algorithm.map(Into::into),
        ..Default::default()
    };
    let out = world
        .call::<op::CreateMultipartUpload>(request)
        .await
        .expect("upload");
    out.upload_id.expect("id")
}

fn part(upload: &str, number: i32, content: Vec<u8>) -> UploadPartRequest {
    UploadPartRequest {
        bucket: "bbb".into(),
        key: "k".into(),
        upload_id: upload.into(),
        part_number: number,
        body: body(content),
        ..Default::default()
    }
}

async fn send(world: &World, upload: &str, number: i32, content: Vec<u8>) -> CompletedPart {
    let out = world
        .call::<op::UploadPart>(part(upload, number, content))
        .await
        .expect("part");
    CompletedPart {
        part_number: Some(number),
        e_tag: out.e_tag,
        ..Default::default()
    }
}

fn complete(upload: &str, parts: Vec<CompletedPart>) -> CompleteMultipartUploadRequest {
    CompleteMultipartUploadRequest {
        bucket: "bbb".into(),
        key: "k".into(),
        upload_id: upload.into(),
        multipart_upload: Some(CompletedMultipartUpload { parts: Some(parts) }),
        ..Default::default()
    }
}

fn md5(bytes: &[u8]) -> Vec<u8> {
    Digests::of(&[Algorithm::Md5], bytes)[&Algorithm::Md5].clone()
}

#[tokio::test]
async fn parts_become_one_object() {
    let world = World::with_bucket().await;
    let upload = begin(&world, None).await;
    let (a, b) = (vec![1; PART + 3], vec![2; 10]);
    let second = send(&world, &upload, 7, b.clone()).await;
    send(&world, &upload, 2, vec![9; 100_000]).await;
    send(&world, &upload, 9, vec![9; 100_000]).await;
    let first = send(&world, &upload, 2, a.clone()).await;
    let wrong = |parts| world.call::<op::CompleteMultipartUpload>(complete(&upload, parts));
    assert_eq!(code(wrong(vec![]).await), "MalformedXML");
    assert_eq!(
        code(wrong(vec![second.clone(), first.clone()]).await),
        "InvalidPartOrder"
    );
    let other = CompletedPart {
        e_tag: Some("\"0\"".into()),
        ..first.clone()
    };
    assert_eq!(code(wrong(vec![other]).await), "InvalidPart");
    let both = vec![first, second];
    let out = wrong(both.clone()).await.expect("complete");
    let tag = hex::encode(md5(&[md5(&a), md5(&b)].concat()));
    assert_eq!(out.e_tag, Some(format!("\"{tag}-2\"")));
    // Asked again, it answers the same.
    let again = wrong(both).await.expect("again");
    assert_eq!(again.e_tag, out.e_tag);
    let whole = [a.clone(), b.clone()].concat();
    let crc = &Digests::of(&[Algorithm::Crc64Nvme], &whole)[&Algorithm::Crc64Nvme];
    use base64::Engine as _;
    let crc = base64::engine::general_purpose::STANDARD.encode(crc);
    assert_eq!(out.checksum_crc64_nvme, Some(crc));
    assert_eq!(out.checksum_type.as_deref(), Some("FULL_OBJECT"));
    assert_eq!(world.get("k").await.expect("content"), whole);
    let request = GetObjectRequest {
        part_number: Some(2),
        ..get("k")
    };
    let out = world.call::<op::GetObject>(request).await.expect("part");
    assert_eq!(out.parts_count, Some(2));
    assert_eq!(read(out.body).await, b);
    let request = GetObjectRequest {
        part_number: Some(3),
        ..get("k")
    };
    assert_eq!(
        code(world.call::<op::GetObject>(request).await),
        "InvalidPartNumber"
    );
    world.reap().await;
    // The first part; the second is small enough to be in a row.
    assert_eq!(world.files().await, 1);
}

#[tokio::test]
async fn small_parts_come_last() {
    let world = World::with_bucket().await;
    let upload = begin(&world, None).await;
    let parts = vec![
        send(&world, &upload, 1, vec![1; 10]).await,
        send(&world, &upload, 2, vec![2; 10]).await,
    ];
    let result = world
        .call::<op::CompleteMultipartUpload>(complete(&upload, parts))
        .await;
    assert_eq!(code(result), "EntityTooSmall");
}

#[tokio::test]
async fn composite_checksums_are_those_of_the_parts() {
    let world = World::with_bucket().await;
    let upload = begin(&world, Some("SHA256")).await;
    let content = vec![3; 10];
    let sha = |bytes: &[u8]| Digests::of(&[Algorithm::Sha256], bytes)[&Algorithm::Sha256].clone();
    let text = |sum: &[u8]| {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(sum)
    };
    let mut sent = send(&world, &upload, 1, content.clone()).await;
    let untold = complete(&upload, vec![sent.clone()]);
    assert_eq!(
        code(world.call::<op::CompleteMultipartUpload>(untold).await),
        "InvalidRequest"
    );
    sent.checksum_sha256 = Some(text(&sha(&content)));
    let out = world
        .call::<op::CompleteMultipartUpload>(complete(&upload, vec![sent]))
        .await
        .expect("done");
    let composite = text(&sha(&sha(&content)));
    assert_eq!(out.checksum_sha256, Some(format!("{composite}-1")));
    let crc = UploadPartRequest {
        checksum_algorithm: Some("CRC32".into()),
        ..part(&begin(&world, Some("SHA256")).await, 1, content)
    };
    assert_eq!(
        code(world.call::<op::UploadPart>(crc).await),
        "InvalidRequest"
    );
}

#[tokio::test]
async fn an_aborted_upload_frees_its_files() {
    let world = World::with_bucket().await;
    let upload = begin(&world, None).await;
    send(&world, &upload, 1, vec![1; 100_000]).await;
    assert_eq!(world.files().await, 1);
    let request = DeleteBucketRequest {
        bucket: "bbb".into(),
        ..Default::default()
    };
    assert_eq!(
        code(world.call::<op::DeleteBucket>(request).await),
        "BucketNotEmpty"
    );
    let request = AbortMultipartUploadRequest {
        bucket: "bbb".into(),
        key: "k".into(),
        upload_id: upload.clone(),
        ..Default::default()
    };
    assert_eq!(
        code(
            world
                .call::<op::AbortMultipartUpload>(request.clone())
                .await
        ),
        "ok"
    );
    assert_eq!(
        code(world.call::<op::AbortMultipartUpload>(request).await),
        "NoSuchUpload"
    );
    let late = world
        .call::<op::UploadPart>(part(&upload, 1, vec![1; 100_000]))
        .await;
    assert_eq!(code(late), "NoSuchUpload");
    world.reap().await;
    assert_eq!(world.files().await, 0);
}
