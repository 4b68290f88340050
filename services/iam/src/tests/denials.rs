//! What is told of a denied call: to everybody, sealed, and to those who may decode it.

use super::*;
use gureum_dispatch::Ask;
use gureum_kit::AccountId;
use gureum_model_sts::{op as sts, types as sts_types};
use serde_json::{Value, json};

const INSTANCES: &str = "arn:aws:ec2:us-east-1:123456789012:instance/*";

fn run_instances() -> Ask {
    Ask::new("ec2:RunInstances", INSTANCES).key("ec2:Region", "us-east-1")
}

fn policy(statements: &Value) -> String {
    json!({"Version": "2012-10-17", "Statement": statements}).to_string()
}

impl Rig {
    /// What EC2 would send along with its refusal.
    fn encoded(&self, key: &str, ask: &Ask) -> Option<String> {
        let caller = self.credential(key).expect("the key is known").caller;
        let denied = self.cx(caller).demand(ask, |denial| denial.encoded());
        denied.expect_err("a denial")
    }

    async fn decode(&self, key: &str, encoded: String) -> Result<String> {
        let input = sts_types::DecodeAuthorizationMessageRequest {
            encoded_message: encoded,
        };
        let answer = self.call::<sts::DecodeAuthorizationMessage>(key, input);
        Ok(answer.await?.decoded_message.expect("a text"))
    }

    /// What root reads of a denial.
    async fn told(&self, key: &str, ask: &Ask) -> Value {
        let encoded = self.encoded(key, ask).expect("a message");
        assert!(encoded.len() <= 10_240, "{} characters", encoded.len());
        let text = self.decode("AKIAROOT", encoded).await.expect("decoded");
        serde_json::from_str(&text).expect("JSON")
    }
}

/// The values of a list, `{"items": [{"value": …}]}`.
fn values(list: &Value) -> Vec<&str> {
    let items = list["items"].as_array().expect("items").iter();
    items
        .map(|item| item["value"].as_str().expect("a text"))
        .collect()
}

/// The values of a key among `{"items": [{"key": …, "values": …}]}`.
fn under<'v>(list: &'v Value, key: &str) -> Vec<&'v str> {
    let items = list["items"].as_array().expect("items");
    let found = items.iter().find(|item| item["key"] == key);
    values(&found.unwrap_or_else(|| panic!("{key} in {list}"))["values"])
}

#[tokio::test]
async fn what_nobody_allowed_is_told_with_its_context() {
    let rig = Rig::new();
    let key = rig.user("ann", "").await;
    let told = rig.told(&key, &run_instances()).await;
    assert_eq!(told["allowed"], false);
    assert_eq!(told["explicitDeny"], false);
    assert_eq!(told["matchedStatements"], json!({"items": []}));
    assert_eq!(told["failures"], json!({"items": []}));
    let context = &told["context"];
    let caller = rig.credential(&key).expect("ann").caller;
    let principal = json!({"id": caller.id, "name": "ann", "arn": user_arn("ann")});
    assert_eq!(context["principal"], principal);
    assert_eq!(context["action"], "ec2:RunInstances");
    assert_eq!(context["resource"], INSTANCES);
    assert_eq!(under(&context["conditions"], "ec2:Region"), ["us-east-1"]);
    assert_eq!(under(&context["conditions"], "aws:username"), ["ann"]);
    assert_eq!(told.get("truncated"), None);
}

#[tokio::test]
async fn statements_that_forbid_are_told_as_written() {
    let rig = Rig::new();
    let here = json!({"StringEquals": {"ec2:Region": ["us-east-1", "eu-west-1"]}});
    let document = policy(&json!([
        {"Effect": "Allow", "Action": "*", "Resource": "*"},
        {"Sid": "NotHere", "Effect": "Deny", "NotAction": ["iam:*", "sts:*"], "Resource": "*", "Condition": here},
        {"Sid": "Elsewhere", "Effect": "Deny", "Action": "s3:*", "Resource": "*"},
    ]));
    let key = rig.user("ann", &document).await;
    let told = rig.told(&key, &run_instances()).await;
    assert_eq!(told["explicitDeny"], true);
    let [ref statement] = told["matchedStatements"]["items"]
        .as_array()
        .expect("items")[..]
    else {
        panic!("one statement in {told}");
    };
    assert_eq!(statement["statementId"], "NotHere");
    assert_eq!(statement["effect"], "DENY");
    let id = &rig.credential(&key).expect("ann").caller.id;
    assert_eq!(values(&statement["principals"]), [id]);
    assert_eq!(values(&statement["actions"]), [""; 0]);
    assert_eq!(values(&statement["notActions"]), ["iam:*", "sts:*"]);
    assert_eq!(values(&statement["resources"]), ["*"]);
    let regions = ["us-east-1", "eu-west-1"];
    assert_eq!(under(&statement["conditions"], "ec2:Region"), regions);
}

#[tokio::test]
async fn a_session_is_told_with_its_role() {
    let rig = Rig::new();
    let ann = rig.user("ann", &allow("sts:*")).await;
    let role = rig
        .role("r", &trusting(&format!(r#"{{"AWS":"{ACCOUNT}"}}"#)))
        .await;
    rig.put_role_policy("r", &statement("Deny", "ec2:*")).await;
    let input = sts_types::AssumeRoleRequest {
        role_arn: role.arn,
        role_session_name: "me".into(),
        policy: Some(statement("Deny", "ec2:Run*")),
        ..Default::default()
    };
    let session = rig
        .call::<sts::AssumeRole>(&ann, input)
        .await
        .expect("assumed");
    let session = session.credentials.expect("credentials").access_key_id;
    let told = rig.told(&session, &run_instances()).await;
    let id = format!("{}:me", role.role_id);
    let arn = format!("arn:aws:sts::{ACCOUNT}:assumed-role/r/me");
    assert_eq!(told["context"]["principal"], json!({"id": id, "arn": arn}));
    let statements = told["matchedStatements"]["items"]
        .as_array()
        .expect("items");
    let found: Vec<_> = statements
        .iter()
        .map(|it| {
            (
                values(&it["principals"]),
                values(&it["actions"]),
                &it["statementId"],
            )
        })
        .collect();
    let unnamed = json!("");
    let expected = [
        (vec![role.role_id.as_str()], vec!["ec2:*"], &unnamed),
        (vec![id.as_str()], vec!["ec2:Run*"], &unnamed),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_boundary_forbids_in_nobodys_name() {
    let rig = Rig::new();
    let key = rig.user("ann", &allow("*")).await;
    let made = types::CreatePolicyRequest {
        policy_name: "bounds".into(),
        policy_document: statement("Deny", "ec2:*"),
        ..Default::default()
    };
    let made = rig.root::<op::CreatePolicy>(made).await.policy;
    let boundary = types::PutUserPermissionsBoundaryRequest {
        user_name: "ann".into(),
        permissions_boundary: made.and_then(|it| it.arn).expect("an ARN"),
    };
    rig.root::<op::PutUserPermissionsBoundary>(boundary).await;
    let told = rig.told(&key, &run_instances()).await;
    let statement = &told["matchedStatements"]["items"][0];
    assert_eq!(values(&statement["principals"]), ["SCOPE_POLICY_ISSUER"]);
}

#[tokio::test]
async fn who_was_denied_hands_it_on_but_cannot_read_it() {
    let rig = Rig::new();
    let ann = rig.user("ann", "").await;
    let encoded = rig.encoded(&ann, &run_instances()).expect("a message");
    let refused = rig.decode(&ann, encoded.clone()).await;
    assert_eq!(code(refused), "AccessDenied");
    let may = allow("sts:DecodeAuthorizationMessage");
    let bob = rig.user("bob", &may).await;
    assert!(rig.decode(&bob, encoded.clone()).await.is_ok());
    let other: AccountId = "999999999999".parse().expect("account");
    let elsewhere = rig.cx(Arc::new(Caller::root(other)));
    let input = sts_types::DecodeAuthorizationMessageRequest {
        encoded_message: encoded.clone(),
    };
    let refused = elsewhere
        .call::<sts::DecodeAuthorizationMessage>(input)
        .await;
    let invalid = "InvalidAuthorizationMessageException";
    assert_eq!(code(refused), invalid);
    for wrong in [&encoded[1..], "AAAA", "no message"] {
        assert_eq!(
            code(rig.decode(&bob, wrong.into()).await),
            invalid,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn what_has_no_room_is_left_out_the_longest_first() {
    let rig = Rig::new();
    let key = rig.user("ann", &statement("Deny", "ec2:*")).await;
    let tags: Vec<(String, String)> = (0..50)
        .map(|n| (format!("tag{n}"), "\u{1}".repeat(n * 5)))
        .collect();
    let tags = tags
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()));
    let told = rig.told(&key, &run_instances().request_tags(tags)).await;
    assert_eq!(told["truncated"], true);
    let statements = told["matchedStatements"]["items"].as_array();
    assert_eq!(statements.map(Vec::len), Some(1));
    let conditions = &told["context"]["conditions"];
    assert_eq!(under(conditions, "ec2:Region"), ["us-east-1"]);
    assert_eq!(
        under(conditions, "aws:RequestTag/tag3"),
        ["\u{1}".repeat(15)]
    );
    let text = conditions.to_string();
    assert!(!text.contains("aws:RequestTag/tag49"), "{text}");
}

#[tokio::test]
async fn nothing_is_encoded_of_what_is_longer_than_a_message() {
    let rig = Rig::new();
    let key = rig.user("ann", "").await;
    let ask = |length| Ask::new("ec2:RunInstances", "x".repeat(length));
    rig.told(&key, &ask(7000)).await;
    assert_eq!(rig.encoded(&key, &ask(8000)), None);
}
