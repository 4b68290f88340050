//! Roles for those whom an OpenID Connect provider vouches for, with real signatures.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use gureum_model_sts::{op as sts, types as sts_types};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use super::*;

const ISSUER: &str = "https://issuer.test/tenant";

/// An issuer with one P-256 key.
struct Issuer {
    key: EcdsaKeyPair,
}

impl Issuer {
    fn new() -> Self {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let document = EcdsaKeyPair::generate_pkcs8(kind, &random).expect("key");
        let key = EcdsaKeyPair::from_pkcs8(kind, document.as_ref(), &random).expect("key");
        Self { key }
    }

    fn token(&self, claims: &Value) -> String {
        self.token_by("k1", claims)
    }

    fn token_by(&self, kid: &str, claims: &Value) -> String {
        let part = |value: &Value| BASE64.encode(value.to_string());
        let header = json!({"alg": "ES256", "kid": kid, "typ": "JWT"});
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = self
            .key
            .sign(&SystemRandom::new(), signed.as_bytes())
            .expect("signature");
        format!("{signed}.{}", BASE64.encode(signature.as_ref()))
    }

    fn key_set(&self, kid: &str) -> String {
        let (x, y) = self.key.public_key().as_ref()[1..].split_at(32);
        let key = json!({"kty": "EC", "crv": "P-256", "kid": kid, "x": BASE64.encode(x), "y": BASE64.encode(y)});
        json!({"keys": [{"kty": "oct", "kid": kid}, key]}).to_string()
    }

    fn documents(&self) -> Arc<Documents> {
        Arc::new(Documents {
            keys: Mutex::new(self.key_set("k1")),
            asked: AtomicUsize::new(0),
        })
    }
}

/// What the issuer publishes, and how often it was asked for keys.
struct Documents {
    keys: Mutex<String>,
    asked: AtomicUsize,
}

impl Documents {
    fn publish(&self, issuer: &Issuer, kid: &str) {
        *self.keys.lock().expect("lock") = issuer.key_set(kid);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Fetch for Documents {
    async fn get(&self, url: &str, _: &[Thumbprint]) -> Result<Document, Trouble> {
        let body = match url.strip_prefix(ISSUER) {
            Some("/.well-known/openid-configuration") => {
                json!({"issuer": ISSUER, "jwks_uri": format!("{ISSUER}/keys")}).to_string()
            }
            Some("/keys") => {
                self.asked.fetch_add(1, Ordering::SeqCst);
                self.keys.lock().expect("lock").clone()
            }
            _ => return Err(Trouble::Unreadable(url.to_owned())),
        };
        Ok(Document {
            body: body.into(),
            lifetime: Some(Duration::from_secs(60)),
        })
    }
}

async fn prepare(rig: &Rig) {
    let created = rig
        .root::<op::CreateOpenIDConnectProvider>(types::CreateOpenIDConnectProviderRequest {
            url: ISSUER.into(),
            client_id_list: Some(vec!["app".into()]),
            ..Default::default()
        })
        .await;
    let arn = created.open_id_connect_provider_arn.expect("arn");
    assert_eq!(
        arn,
        format!("arn:aws:iam::{ACCOUNT}:oidc-provider/issuer.test/tenant")
    );
    let trust = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": {"Federated": arn},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {
                "issuer.test/tenant:aud": "app",
                "issuer.test/tenant:sub": "pod-1",
            }},
        }],
    });
    rig.role("web", &trust.to_string()).await;
}

fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "pod-1", "aud": "app", "exp": START / 1000 + 600, "iat": START / 1000})
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

/// The request is not signed: nobody is the caller.
async fn assume(rig: &Rig, token: String) -> Result<sts_types::AssumeRoleWithWebIdentityResponse> {
    let input = sts_types::AssumeRoleWithWebIdentityRequest {
        role_arn: format!("arn:aws:iam::{ACCOUNT}:role/web"),
        role_session_name: "pod".into(),
        web_identity_token: token,
        ..Default::default()
    };
    let nobody = rig.cx(Arc::new(Caller::anonymous()));
    nobody.call::<sts::AssumeRoleWithWebIdentity>(input).await
}

#[tokio::test]
async fn a_good_token_gives_a_session_that_knows_its_subject() {
    let issuer = Issuer::new();
    let rig = Rig::with(issuer.documents());
    prepare(&rig).await;
    let answer = assume(&rig, issuer.token(&claims()))
        .await
        .expect("assumed");
    assert_eq!(
        answer.subject_from_web_identity_token.as_deref(),
        Some("pod-1")
    );
    assert_eq!(answer.audience.as_deref(), Some("app"));
    let key = answer.credentials.expect("credentials").access_key_id;
    let caller = rig.credential(&key).expect("session").caller;
    let subject = (
        "issuer.test/tenant:sub".to_owned(),
        vec!["pod-1".to_owned()],
    );
    assert!(caller.keys.contains(&subject));
}

#[tokio::test]
async fn a_bad_token_gives_nothing() {
    let issuer = Issuer::new();
    let rig = Rig::with(issuer.documents());
    prepare(&rig).await;
    let good = issuer.token(&claims());
    let forged = {
        let (_, signature) = good.rsplit_once('.').expect("signature");
        let other = issuer.token(&with("sub", json!("pod-2")));
        let (signed, _) = other.rsplit_once('.').expect("signature");
        format!("{signed}.{signature}")
    };
    for (what, token, answer) in [
        ("forged", forged, "InvalidIdentityToken"),
        (
            "another issuer's",
            Issuer::new().token(&claims()),
            "InvalidIdentityToken",
        ),
        ("no token", "x.y".into(), "InvalidIdentityToken"),
        (
            "expired",
            issuer.token(&with("exp", json!(START / 1000))),
            "ExpiredTokenException",
        ),
        (
            "for others",
            issuer.token(&with("aud", json!("other"))),
            "InvalidIdentityToken",
        ),
        (
            "unknown issuer",
            issuer.token(&with("iss", json!("https://other"))),
            "InvalidIdentityToken",
        ),
        (
            "not trusted",
            issuer.token(&with("sub", json!("pod-2"))),
            "AccessDenied",
        ),
    ] {
        assert_eq!(code(assume(&rig, token).await), answer, "{what}");
    }
}

#[tokio::test]
async fn without_a_way_to_fetch_keys_nobody_is_believed() {
    let (issuer, rig) = (Issuer::new(), Rig::new());
    prepare(&rig).await;
    assert_eq!(
        code(assume(&rig, issuer.token(&claims())).await),
        "IDPCommunicationError"
    );
}

#[tokio::test]
async fn keys_are_kept_and_a_new_one_is_found_but_nobody_makes_us_ask_and_ask() {
    let (old, new) = (Issuer::new(), Issuer::new());
    let published = old.documents();
    let rig = Rig::with(published.clone());
    prepare(&rig).await;
    for _ in 0..3 {
        assume(&rig, old.token(&claims())).await.expect("assumed");
    }
    assert_eq!(published.asked(), 1, "keys are kept");

    rig.advance(2);
    published.publish(&new, "k2");
    for _ in 0..3 {
        let token = new.token_by("k2", &claims());
        assume(&rig, token).await.expect("assumed");
    }
    assert_eq!(published.asked(), 2, "an unknown key is looked for");

    for _ in 0..3 {
        let token = new.token_by("k3", &claims());
        assert_eq!(code(assume(&rig, token).await), "InvalidIdentityToken");
    }
    assert_eq!(published.asked(), 2, "but not again at once");

    rig.advance(61);
    published.publish(&Issuer::new(), "k2");
    let token = new.token_by("k2", &claims());
    assert_eq!(code(assume(&rig, token).await), "InvalidIdentityToken");
    assert_eq!(
        published.asked(),
        3,
        "what is kept too long is fetched anew"
    );
}

#[tokio::test]
async fn other_thumbprints_are_another_question() {
    let issuer = Issuer::new();
    let published = issuer.documents();
    let rig = Rig::with(published.clone());
    prepare(&rig).await;
    assume(&rig, issuer.token(&claims()))
        .await
        .expect("assumed");
    rig.root::<op::UpdateOpenIDConnectProviderThumbprint>(
        types::UpdateOpenIDConnectProviderThumbprintRequest {
            open_id_connect_provider_arn: format!(
                "arn:aws:iam::{ACCOUNT}:oidc-provider/issuer.test/tenant"
            ),
            thumbprint_list: vec!["0".repeat(40)],
        },
    )
    .await;
    assume(&rig, issuer.token(&claims()))
        .await
        .expect("assumed");
    assert_eq!(published.asked(), 2);
}

#[tokio::test]
async fn an_issuer_speaks_https_or_stands_on_this_machine() {
    let rig = Rig::new();
    let create = |url: &str| types::CreateOpenIDConnectProviderRequest {
        url: url.into(),
        ..Default::default()
    };
    for url in [
        "http://issuer.test",
        "issuer.test",
        "https://",
        "https://a?b",
    ] {
        let answer = rig.refused::<op::CreateOpenIDConnectProvider>(create(url));
        assert_eq!(answer.await, "ValidationError", "{url}");
    }
    rig.root::<op::CreateOpenIDConnectProvider>(create("http://localhost:8080/realm"))
        .await;
}
