//! Operations called as other services call them, and what happens while nobody calls.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use gureum_dispatch::{Caller, CallerKind, Cloud, Credential, Cx, Identities, RequestInfo};
use gureum_kit::{Clock, Driver, Region, Store};
use gureum_model_kms::{op, types as t};
use gureum_schema::{Bytes, Operation, Result, Timestamp};

use crate::Kms;

const ACCOUNT: &str = "123456789012";
const DAY: Duration = Duration::from_secs(86_400);

struct Nobody;

impl Identities for Nobody {
    fn credential(&self, _: &str) -> Result<Option<Credential>> {
        Ok(None)
    }

    fn used(&self, _: &Caller, _: &'static str, _: &str, _: Timestamp) {}
}

struct Rig {
    kms: Arc<Kms>,
    cloud: Arc<Cloud>,
    clock: Clock,
}

impl Rig {
    fn new() -> Self {
        let clock = Clock::manual(1_800_000_000_000);
        let driver = Driver::new(clock.clone());
        let kms = Kms::new(Store::memory(), clock.clone(), &[7; 32], &driver);
        let cloud = Cloud::builder(Arc::new(Nobody), clock.clone(), Region::default())
            .service(kms.service())
            .build();
        Self { kms, cloud, clock }
    }

    fn cx(&self, caller: Caller) -> Cx {
        let request = RequestInfo {
            id: "request".into(),
            source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            secure: true,
            user_agent: "tests".into(),
            endpoint: "http://127.0.0.1:4566".into(),
            origin: None,
            auth_type: "REST-HEADER",
            signature_age: 0,
            content_sha256: None,
        };
        self.cloud.cx(Arc::new(caller), Region::default(), request)
    }

    fn root(&self) -> Cx {
        self.cx(Caller::root(ACCOUNT.parse().expect("account")))
    }

    /// A user without any permission.
    fn user(&self) -> Cx {
        self.cx(Caller {
            kind: CallerKind::User { name: "ann".into() },
            arn: format!("arn:aws:iam::{ACCOUNT}:user/ann"),
            ..Caller::root(ACCOUNT.parse().expect("account"))
        })
    }

    async fn key(&self) -> String {
        let made = call::<op::CreateKey>(&self.root(), t::CreateKeyRequest::default()).await;
        made.key_metadata.expect("metadata").key_id
    }

    async fn encrypt(&self, key: &str) -> Bytes {
        let input = t::EncryptRequest {
            key_id: key.into(),
            plaintext: Bytes::from_static(b"text"),
            ..Default::default()
        };
        let done = call::<op::Encrypt>(&self.root(), input).await;
        done.ciphertext_blob.expect("ciphertext")
    }
}

async fn call<O: Operation>(cx: &Cx, input: O::In) -> O::Out {
    let done = cx.call::<O>(input).await;
    done.unwrap_or_else(|error| panic!("{}: {error}", O::SPEC.name))
}

fn code<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => "no error".into(),
        Err(error) => error.code.into_owned(),
    }
}

fn data_key(key: &str) -> t::GenerateDataKeyRequest {
    t::GenerateDataKeyRequest {
        key_id: key.into(),
        key_spec: Some("AES_256".into()),
        ..Default::default()
    }
}

fn decrypt(blob: Bytes) -> t::DecryptRequest {
    t::DecryptRequest {
        ciphertext_blob: Some(blob),
        ..Default::default()
    }
}

/// The key that was decided about is the one that works, wherever its alias points by then.
#[tokio::test]
async fn an_alias_is_looked_up_once() {
    let rig = Rig::new();
    let (first, second) = (rig.key().await, rig.key().await);
    let alias = t::CreateAliasRequest {
        alias_name: "alias/here".into(),
        target_key_id: first.clone(),
    };
    call::<op::CreateAlias>(&rig.root(), alias).await;
    let encrypt = t::EncryptRequest {
        key_id: "alias/here".into(),
        plaintext: Bytes::from_static(b"text"),
        ..Default::default()
    };
    let asked = crate::settle(&rig.kms, &rig.root(), encrypt).expect("settle");
    let moved = t::UpdateAliasRequest {
        alias_name: "alias/here".into(),
        target_key_id: second,
    };
    call::<op::UpdateAlias>(&rig.root(), moved).await;
    let done = crate::ops::cipher::encrypt(rig.kms.clone(), rig.root(), asked).await;
    let key = done.expect("encrypt").key_id.expect("key");
    assert!(key.ends_with(&first), "{key}");
}

#[tokio::test]
async fn a_service_uses_its_managed_key_in_its_callers_name() {
    let rig = Rig::new();
    let (ann, alias) = (rig.user(), "alias/aws/s3");
    let direct = ann.call::<op::GenerateDataKey>(data_key(alias)).await;
    assert_eq!(code(direct), "AccessDeniedException");
    let other = ann
        .via("sqs")
        .call::<op::GenerateDataKey>(data_key(alias))
        .await;
    assert_eq!(code(other), "AccessDeniedException");

    let made = call::<op::GenerateDataKey>(&ann.via("s3"), data_key(alias)).await;
    let again = call::<op::GenerateDataKey>(&ann.via("s3"), data_key(alias)).await;
    assert_eq!(made.key_id, again.key_id, "the key was made twice");
    let blob = made.ciphertext_blob.expect("ciphertext");
    let opened = call::<op::Decrypt>(&ann.via("s3"), decrypt(blob.clone())).await;
    assert_eq!(opened.plaintext, made.plaintext);
    for cx in [ann.clone(), ann.via("sqs"), rig.root()] {
        let refused = cx.call::<op::Decrypt>(decrypt(blob.clone())).await;
        assert_eq!(code(refused), "AccessDeniedException");
    }
}

#[tokio::test]
async fn a_customers_key_may_demand_the_service() {
    let rig = Rig::new();
    let key = rig.key().await;
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[
            {{"Effect":"Allow","Principal":{{"AWS":"{ACCOUNT}"}},"Action":"kms:PutKeyPolicy","Resource":"*"}},
            {{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{ACCOUNT}:user/ann"}},"Action":"kms:GenerateDataKey",
              "Resource":"*","Condition":{{"StringEquals":{{"kms:ViaService":"s3.us-east-1.amazonaws.com"}},
              "Bool":{{"aws:ViaAWSService":"true"}}}}}}]}}"#
    );
    let input = t::PutKeyPolicyRequest {
        key_id: key.clone(),
        policy,
        ..Default::default()
    };
    call::<op::PutKeyPolicy>(&rig.root(), input).await;
    call::<op::GenerateDataKey>(&rig.user().via("s3"), data_key(&key)).await;
    for cx in [rig.user(), rig.user().via("sns")] {
        let refused = cx.call::<op::GenerateDataKey>(data_key(&key)).await;
        assert_eq!(code(refused), "AccessDeniedException");
    }
}

#[tokio::test]
async fn a_key_is_deleted_when_its_waiting_period_is_over() {
    let rig = Rig::new();
    let (key, kept) = (rig.key().await, rig.key().await);
    let input = t::CreateAliasRequest {
        alias_name: "alias/a".into(),
        target_key_id: key.clone(),
    };
    call::<op::CreateAlias>(&rig.root(), input).await;
    let blob = rig.encrypt(&key).await;
    for key_id in [key.clone(), kept.clone()] {
        let input = t::ScheduleKeyDeletionRequest {
            key_id,
            pending_window_in_days: Some(7),
        };
        call::<op::ScheduleKeyDeletion>(&rig.root(), input).await;
    }
    rig.clock.advance(6 * DAY);
    rig.kms.keep().await.expect("kept");
    let input = t::CancelKeyDeletionRequest {
        key_id: kept.clone(),
    };
    call::<op::CancelKeyDeletion>(&rig.root(), input).await;
    rig.clock.advance(DAY);
    rig.kms.keep().await.expect("kept");

    let describe = |key: &str| t::DescribeKeyRequest {
        key_id: key.into(),
        ..Default::default()
    };
    call::<op::DescribeKey>(&rig.root(), describe(&kept)).await;
    for gone in [key.as_str(), "alias/a"] {
        let refused = rig.root().call::<op::DescribeKey>(describe(gone)).await;
        assert_eq!(code(refused), "NotFoundException");
    }
    // Whether the key of a ciphertext exists is not told to those who could not have used it.
    let refused = rig.user().call::<op::Decrypt>(decrypt(blob.clone())).await;
    assert_eq!(code(refused), "AccessDeniedException");
    let refused = rig.root().call::<op::Decrypt>(decrypt(blob)).await;
    assert_eq!(code(refused), "AccessDeniedException");
}

#[tokio::test]
async fn keys_are_rotated_when_they_are_due_and_open_what_they_sealed() {
    let rig = Rig::new();
    let key = rig.key().await;
    let input = t::EnableKeyRotationRequest {
        key_id: key.clone(),
        rotation_period_in_days: Some(90),
    };
    call::<op::EnableKeyRotation>(&rig.root(), input).await;
    let old = rig.encrypt(&key).await;
    let rotations = || async {
        let input = t::ListKeyRotationsRequest {
            key_id: key.clone(),
            ..Default::default()
        };
        let list = call::<op::ListKeyRotations>(&rig.root(), input).await;
        list.rotations.expect("list").len()
    };
    rig.clock.advance(89 * DAY);
    rig.kms.keep().await.expect("kept");
    assert_eq!(rotations().await, 0);
    for expected in 1..3 {
        rig.clock.advance(90 * DAY);
        rig.kms.keep().await.expect("kept");
        rig.kms.keep().await.expect("kept");
        assert_eq!(rotations().await, expected);
    }
    let opened = call::<op::Decrypt>(&rig.root(), decrypt(old)).await;
    assert_eq!(opened.plaintext.as_deref(), Some(&b"text"[..]));
}
