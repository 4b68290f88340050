//! The service through its own table of operations, with a store in memory and content in a
//! temporary directory.

mod access;
mod configs;
mod multipart;
mod objects;
mod versioning;
mod web;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use gureum_blob::Blobs;
use gureum_dispatch::{Caller, Cloud, Credential, Cx, Identities, RequestInfo};
use gureum_kit::reconcile::Reconciler;
use gureum_kit::{AccountId, Clock, Region, Store};
use gureum_model_s3::{op, types::*};
use gureum_schema::{Body, Operation, Result, Timestamp};
use tempfile::TempDir;

use crate::S3;
use crate::reconcile::Reaper;

/// Nobody comes in through the front door here.
struct Nobody;

impl Identities for Nobody {
    fn credential(&self, _: &str) -> Result<Option<Credential>> {
        Ok(None)
    }
    fn used(&self, _: &Caller, _: &'static str, _: &str, _: Timestamp) {}
}

struct World {
    dir: TempDir,
    clock: Clock,
    s3: Arc<S3>,
    cloud: Arc<Cloud>,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("directory");
        let blobs = Blobs::open(dir.path()).expect("blobs");
        let clock = Clock::manual(1_700_000_000_000);
        let s3 = S3::new(Store::memory(), blobs, clock.clone(), &[7; 32]);
        let cloud = Cloud::builder(Arc::new(Nobody), clock.clone(), Region::default())
            .service(s3.service("gureum.localhost"))
            .build();
        Self {
            dir,
            clock,
            s3,
            cloud,
        }
    }

    /// A world with a bucket `b`.
    async fn with_bucket() -> Self {
        let world = Self::new();
        let request = CreateBucketRequest {
            bucket: "bbb".into(),
            ..Default::default()
        };
        world
            .call::<op::CreateBucket>(request)
            .await
            .expect("bucket");
        world
    }

    fn cx(&self, caller: Caller, region: &str) -> Cx {
        let request = RequestInfo {
            id: "r".into(),
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            secure: false,
            user_agent: String::new(),
            endpoint: "http://localhost:1".into(),
            origin: None,
            auth_type: "REST-HEADER",
            signature_age: 0,
            content_sha256: None,
        };
        self.cloud
            .cx(Arc::new(caller), region.parse().expect("region"), request)
    }

    fn root(&self) -> Cx {
        self.cx(Caller::root(account(1)), "us-east-1")
    }

    async fn call<O: Operation>(&self, input: O::In) -> Result<O::Out> {
        self.root().call::<O>(input).await
    }

    async fn call_over_tls<O: Operation>(&self, input: O::In) -> Result<O::Out> {
        let mut cx = self.root();
        Arc::make_mut(&mut cx.request).secure = true;
        cx.call::<O>(input).await
    }

    async fn put(&self, key: &str, content: impl Into<Vec<u8>>) -> PutObjectOutput {
        self.call::<op::PutObject>(put(key, content))
            .await
            .expect("put")
    }

    async fn get(&self, key: &str) -> Result<Vec<u8>> {
        let out = self.call::<op::GetObject>(get(key)).await?;
        Ok(read(out.body).await)
    }

    async fn reap(&self) {
        Reaper::new(self.s3.clone()).run().await.expect("reaped");
    }

    /// Content files on the disk.
    async fn files(&self) -> u64 {
        self.s3.blobs.usage().await.expect("usage").files
    }
}

fn account(number: u64) -> AccountId {
    format!("{number:012}").parse().expect("account")
}

fn body(content: impl Into<Vec<u8>>) -> Body {
    Body::from(bytes::Bytes::from(content.into()))
}

async fn read(body: Body) -> Vec<u8> {
    body.collect(1 << 30).await.expect("content").to_vec()
}

fn put(key: &str, content: impl Into<Vec<u8>>) -> PutObjectRequest {
    PutObjectRequest {
        bucket: "bbb".into(),
        key: key.into(),
        body: body(content),
        ..Default::default()
    }
}

fn get(key: &str) -> GetObjectRequest {
    GetObjectRequest {
        bucket: "bbb".into(),
        key: key.into(),
        ..Default::default()
    }
}

fn code<T>(result: Result<T>) -> String {
    result
        .err()
        .map_or_else(|| "ok".into(), |error| error.code.into_owned())
}
