//! Who may do what: policies, Block Public Access, access control lists, ownership.

use super::*;

fn policy(statement: &str) -> PutBucketPolicyRequest {
    PutBucketPolicyRequest {
        bucket: "bbb".into(),
        policy: format!(r#"{{"Version":"2012-10-17","Statement":[{statement}]}}"#),
        ..Default::default()
    }
}

const PUBLIC_READ: &str =
    r#"{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bbb/*"}"#;

impl World {
    async fn block(&self, acls: bool, ignore: bool, policies: bool, restrict: bool) {
        let request = PutPublicAccessBlockRequest {
            bucket: "bbb".into(),
            public_access_block_configuration: PublicAccessBlockConfiguration {
                block_public_acls: Some(acls),
                ignore_public_acls: Some(ignore),
                block_public_policy: Some(policies),
                restrict_public_buckets: Some(restrict),
            },
            ..Default::default()
        };
        self.call::<op::PutPublicAccessBlock>(request)
            .await
            .expect("blocked");
    }

    async fn own(&self, ownership: &str) {
        let request = PutBucketOwnershipControlsRequest {
            bucket: "bbb".into(),
            ownership_controls: OwnershipControls {
                rules: vec![OwnershipControlsRule {
                    object_ownership: ownership.into(),
                }],
            },
            ..Default::default()
        };
        self.call::<op::PutBucketOwnershipControls>(request)
            .await
            .expect("ownership");
    }

    fn anybody(&self) -> Cx {
        self.cx(Caller::anonymous(), "us-east-1")
    }

    fn other(&self) -> Cx {
        self.cx(Caller::root(account(2)), "us-east-1")
    }

    async fn reads(&self, cx: &Cx, key: &str) -> bool {
        cx.call::<op::GetObject>(get(key)).await.is_ok()
    }
}

#[tokio::test]
async fn a_public_policy_must_get_past_four_blocks() {
    let world = World::with_bucket().await;
    world.put("k", "x").await;
    let put = || world.call::<op::PutBucketPolicy>(policy(PUBLIC_READ));
    assert_eq!(
        code(put().await),
        "AccessDenied",
        "new buckets block public policies"
    );
    world.block(true, true, false, true).await;
    put().await.expect("policy");
    assert!(
        !world.reads(&world.anybody(), "k").await,
        "the policy is restricted"
    );
    assert!(!world.reads(&world.other(), "k").await);
    world.block(true, true, true, false).await;
    assert!(
        world.reads(&world.anybody(), "k").await,
        "stored policies stay in force"
    );
    assert!(world.reads(&world.other(), "k").await);
    let status = world.call::<op::GetBucketPolicyStatus>(GetBucketPolicyStatusRequest {
        bucket: "bbb".into(),
        ..Default::default()
    });
    let status = status.await.expect("status").policy_status.expect("status");
    assert_eq!(status.is_public, Some(true));
}

#[tokio::test]
async fn a_policy_can_lock_out_all_but_root_from_mending_it() {
    let world = World::with_bucket().await;
    world.put("k", "x").await;
    let deny = r#"{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::bbb","arn:aws:s3:::bbb/*"]}"#;
    world
        .call::<op::PutBucketPolicy>(policy(deny))
        .await
        .expect("policy");
    assert_eq!(code(world.get("k").await), "AccessDenied");
    let delete = DeleteBucketPolicyRequest {
        bucket: "bbb".into(),
        ..Default::default()
    };
    world
        .call::<op::DeleteBucketPolicy>(delete)
        .await
        .expect("mended");
    assert!(world.get("k").await.is_ok());
    let get = GetBucketPolicyRequest {
        bucket: "bbb".into(),
        ..Default::default()
    };
    assert_eq!(
        code(world.call::<op::GetBucketPolicy>(get).await),
        "NoSuchBucketPolicy"
    );
}

#[tokio::test]
async fn lists_are_off_until_ownership_allows_them() {
    let world = World::with_bucket().await;
    world.put("k", "x").await;
    let public = |key: &str| PutObjectAclRequest {
        bucket: "bbb".into(),
        key: key.into(),
        acl: Some("public-read".into()),
        ..Default::default()
    };
    let refused = world.call::<op::PutObjectAcl>(public("k")).await;
    assert_eq!(code(refused), "AccessControlListNotSupported");
    let upload = PutObjectRequest {
        acl: Some("public-read".into()),
        ..put("l", "x")
    };
    assert_eq!(
        code(world.call::<op::PutObject>(upload).await),
        "AccessControlListNotSupported"
    );
    let upload = PutObjectRequest {
        acl: Some("bucket-owner-full-control".into()),
        ..put("l", "x")
    };
    world
        .call::<op::PutObject>(upload)
        .await
        .expect("the one list that changes nothing");

    world.own("ObjectWriter").await;
    assert_eq!(
        code(world.call::<op::PutObjectAcl>(public("k")).await),
        "AccessDenied",
        "blocked"
    );
    world.block(false, true, false, false).await;
    world
        .call::<op::PutObjectAcl>(public("k"))
        .await
        .expect("a public object");
    assert!(
        !world.reads(&world.anybody(), "k").await,
        "public lists are ignored"
    );
    world.block(false, false, false, false).await;
    assert!(world.reads(&world.anybody(), "k").await);
    assert!(
        !world.reads(&world.anybody(), "l").await,
        "the list is of one object"
    );
    world.own("BucketOwnerEnforced").await;
    assert!(
        !world.reads(&world.anybody(), "k").await,
        "lists are off again"
    );
}

#[tokio::test]
async fn an_object_belongs_to_its_writer_where_the_bucket_says_so() {
    let world = World::with_bucket().await;
    world.own("BucketOwnerPreferred").await;
    let statement = r#"{"Effect":"Allow","Principal":{"AWS":"000000000002"},"Action":["s3:PutObject","s3:PutObjectAcl"],"Resource":"arn:aws:s3:::bbb/*"}"#;
    world
        .call::<op::PutBucketPolicy>(policy(statement))
        .await
        .expect("policy");
    let other = world.other();
    other
        .call::<op::PutObject>(put("theirs", "x"))
        .await
        .expect("put");
    assert!(world.reads(&other, "theirs").await, "it is theirs");
    assert!(
        !world.reads(&world.root(), "theirs").await,
        "and not the bucket owner's"
    );
    let given = PutObjectRequest {
        acl: Some("bucket-owner-full-control".into()),
        ..put("given", "x")
    };
    other.call::<op::PutObject>(given).await.expect("put");
    assert!(world.reads(&world.root(), "given").await);
    let list = GetObjectAclRequest {
        bucket: "bbb".into(),
        key: "given".into(),
        ..Default::default()
    };
    let list = world.call::<op::GetObjectAcl>(list).await.expect("list");
    assert_eq!(
        list.owner.and_then(|owner| owner.id),
        Some(account(1).canonical_user())
    );
    let delete = DeleteObjectRequest {
        bucket: "bbb".into(),
        key: "theirs".into(),
        ..Default::default()
    };
    world
        .call::<op::DeleteObject>(delete)
        .await
        .expect("the bucket's owner may always delete");
}

#[tokio::test]
async fn a_bucket_list_grants_listing() {
    let world = World::with_bucket().await;
    world.own("ObjectWriter").await;
    let list = || ListObjectsV2Request {
        bucket: "bbb".into(),
        ..Default::default()
    };
    let other = world.other();
    assert_eq!(
        code(other.call::<op::ListObjectsV2>(list()).await),
        "AccessDenied"
    );
    let grant = PutBucketAclRequest {
        bucket: "bbb".into(),
        grant_read: Some(format!("id=\"{}\"", account(2).canonical_user())),
        ..Default::default()
    };
    world
        .call::<op::PutBucketAcl>(grant)
        .await
        .expect("granted");
    other
        .call::<op::ListObjectsV2>(list())
        .await
        .expect("listed");
    let refused = other.call::<op::PutObject>(put("k", "x")).await;
    assert_eq!(code(refused), "AccessDenied");
}
