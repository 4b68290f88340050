//! Operations called the way everybody calls them: by a caller, through the policy engine.

mod denials;
mod people;
mod policies;
mod roles;
mod sessions;
mod web_identity;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gureum_dispatch::{Caller, Cloud, Credential, Cx, Identities, RequestInfo};
use gureum_kit::{Clock, Region, Store};
use gureum_model_iam::{op, types};
use gureum_outbound::Thumbprint;
use gureum_schema::{Operation, Result};

use crate::sts::provider_keys::{Document, Fetch, Trouble};
use crate::{Iam, RootKey};

const ACCOUNT: &str = "123456789012";
const START: i64 = 1_800_000_000_000;

/// A world without identity providers.
struct Unreachable;

#[async_trait]
impl Fetch for Unreachable {
    async fn get(&self, url: &str, _: &[Thumbprint]) -> Result<Document, Trouble> {
        Err(Trouble::Unreadable(url.to_owned()))
    }
}

/// A cloud with nothing but IAM and STS.
struct Rig {
    iam: Arc<Iam>,
    cloud: Arc<Cloud>,
    clock: Clock,
}

impl Rig {
    fn new() -> Self {
        Self::with(Arc::new(Unreachable))
    }

    fn with(fetch: Arc<dyn Fetch>) -> Self {
        let clock = Clock::manual(START);
        let root = RootKey {
            account: ACCOUNT.parse().expect("account"),
            access_key_id: "AKIAROOT".into(),
            secret: "root's secret".into(),
        };
        let iam = Iam::fetching(Store::memory(), clock.clone(), root, &[7; 32], fetch);
        let cloud = Cloud::builder(iam.clone(), clock.clone(), Region::default())
            .service(iam.service())
            .service(iam.sts_service())
            .build();
        Self { iam, cloud, clock }
    }

    fn cx(&self, caller: Arc<Caller>) -> Cx {
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
        self.cloud.cx(caller, Region::default(), request)
    }

    fn credential(&self, key: &str) -> Option<Credential> {
        self.iam.credential(key).expect("credentials can be read")
    }

    /// A call with this access key.
    async fn call<O: Operation>(&self, key: &str, input: O::In) -> Result<O::Out> {
        let credential = self.credential(key).expect("the key is known");
        self.cx(credential.caller).call::<O>(input).await
    }

    async fn root<O: Operation>(&self, input: O::In) -> O::Out {
        let answer = self.call::<O>("AKIAROOT", input).await;
        answer.unwrap_or_else(|error| panic!("{}: {error}", O::SPEC.name))
    }

    /// What root's call is refused with.
    async fn refused<O: Operation>(&self, input: O::In) -> String {
        code(self.call::<O>("AKIAROOT", input).await)
    }

    /// A new user with one inline policy (unless empty) and a key.
    async fn user(&self, name: &str, policy: &str) -> String {
        let input = types::CreateUserRequest {
            user_name: name.into(),
            ..Default::default()
        };
        self.root::<op::CreateUser>(input).await;
        if !policy.is_empty() {
            self.put_policy(name, policy).await;
        }
        self.key(name).await.access_key_id
    }

    async fn key(&self, user: &str) -> types::AccessKey {
        let input = types::CreateAccessKeyRequest {
            user_name: Some(user.into()),
        };
        self.root::<op::CreateAccessKey>(input).await.access_key
    }

    async fn put_policy(&self, user: &str, policy: &str) {
        self.root::<op::PutUserPolicy>(types::PutUserPolicyRequest {
            user_name: user.into(),
            policy_name: "p".into(),
            policy_document: policy.into(),
        })
        .await;
    }

    async fn role(&self, name: &str, trust: &str) -> types::Role {
        let input = types::CreateRoleRequest {
            role_name: name.into(),
            assume_role_policy_document: trust.into(),
            ..Default::default()
        };
        self.root::<op::CreateRole>(input).await.role
    }

    async fn put_role_policy(&self, role: &str, policy: &str) {
        self.root::<op::PutRolePolicy>(types::PutRolePolicyRequest {
            role_name: role.into(),
            policy_name: "p".into(),
            policy_document: policy.into(),
        })
        .await;
    }

    fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// The code of an error.
fn code<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => "no error".into(),
        Err(error) => error.code.into_owned(),
    }
}

fn allow(action: &str) -> String {
    statement("Allow", action)
}

fn statement(effect: &str, action: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"{effect}","Action":"{action}","Resource":"*"}}}}"#
    )
}

fn trusting(principal: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Principal":{principal},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}}}}"#
    )
}

fn user_arn(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:user/{name}")
}

fn get_user(name: &str) -> types::GetUserRequest {
    types::GetUserRequest {
        user_name: Some(name.into()),
    }
}

fn list_users() -> types::ListUsersRequest {
    types::ListUsersRequest::default()
}

/// What the models have types for is what IAM and STS serve; the rest is refused by name.
#[test]
fn every_operation_with_types_has_a_handler() {
    let rig = Rig::new();
    for service in rig.cloud.services() {
        for spec in service.spec.operations {
            assert_eq!(
                spec.input.is_some(),
                service.op(spec.name).is_some(),
                "{}",
                spec.name
            );
        }
    }
}
