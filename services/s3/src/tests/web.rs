//! Websites, preflights and posted forms.

use gureum_dispatch::{FormFields, WebReply};
use http::{Method, Request};

use super::*;

const SITE: &str = "bbb.s3-website-us-east-1.gureum.localhost";

impl World {
    async fn visit(&self, request: Request<Body>) -> WebReply {
        let service = self.cloud.service("s3").expect("s3");
        let web = service.web().expect("a web").clone();
        let (parts, body) = request.into_parts();
        let host = parts.headers["host"].to_str().expect("host").to_owned();
        assert!(
            web.claims(&parts, &host),
            "{} {} is not claimed",
            parts.method,
            parts.uri
        );
        let cx = self.cx(Caller::anonymous(), "us-east-1");
        web.serve(cx, Request::from_parts(parts, body)).await
    }

    async fn page(&self, path: &str) -> (u16, String, String) {
        let request = Request::get(path)
            .header("host", SITE)
            .body(Body::empty())
            .expect("request");
        let reply = self.visit(request).await;
        let location = reply
            .headers()
            .get("location")
            .map(|to| to.to_str().expect("text").to_owned());
        let status = reply.status().as_u16();
        let text = String::from_utf8(read(reply.into_body()).await).expect("text");
        (status, location.unwrap_or_default(), text)
    }

    async fn with_site() -> Self {
        let world = Self::with_bucket().await;
        let unblock = DeletePublicAccessBlockRequest {
            bucket: "bbb".into(),
            ..Default::default()
        };
        world
            .call::<op::DeletePublicAccessBlock>(unblock)
            .await
            .expect("unblocked");
        let policy = PutBucketPolicyRequest {
            bucket: "bbb".into(),
            policy: r#"{"Version":"2012-10-17","Statement":[
                {"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::bbb/*"},
                {"Effect":"Allow","Principal":"*","Action":"s3:ListBucket","Resource":"arn:aws:s3:::bbb"}]}"#
                .into(),
            ..Default::default()
        };
        world
            .call::<op::PutBucketPolicy>(policy)
            .await
            .expect("policy");
        let rule = RoutingRule {
            condition: Some(Condition {
                key_prefix_equals: Some("old/".into()),
                ..Default::default()
            }),
            redirect: Redirect {
                replace_key_prefix_with: Some("new/".into()),
                ..Default::default()
            },
        };
        let website = PutBucketWebsiteRequest {
            bucket: "bbb".into(),
            website_configuration: WebsiteConfiguration {
                index_document: Some(IndexDocument {
                    suffix: "index.html".into(),
                }),
                error_document: Some(ErrorDocument {
                    key: "error.html".into(),
                }),
                routing_rules: Some(vec![rule]),
                ..Default::default()
            },
            ..Default::default()
        };
        world
            .call::<op::PutBucketWebsite>(website)
            .await
            .expect("website");
        world
    }
}

#[tokio::test]
async fn a_website_answers_with_its_pages() {
    let world = World::with_site().await;
    world.put("index.html", "home").await;
    world.put("docs/index.html", "docs").await;
    assert_eq!(world.page("/").await, (200, String::new(), "home".into()));
    assert_eq!(world.page("/docs/").await.2, "docs");
    assert_eq!(world.page("/docs").await.1, "/docs/");
    let (status, location, _) = world.page("/old/a%20b").await;
    assert_eq!(
        (status, location.as_str()),
        (301, "http://localhost:1/new/a%20b")
    );
    let (status, _, text) = world.page("/none").await;
    assert_eq!(status, 404);
    assert!(text.contains("<li>Code: NoSuchKey</li>"), "{text}");
    assert!(
        text.contains("An Error Occurred While Attempting to Retrieve a Custom Error Document")
    );
    world.put("error.html", "sorry").await;
    assert_eq!(
        world.page("/none").await,
        (404, String::new(), "sorry".into())
    );
    let moved = PutObjectRequest {
        website_redirect_location: Some("/elsewhere".into()),
        ..put("moved", "")
    };
    world.call::<op::PutObject>(moved).await.expect("put");
    assert_eq!(world.page("/moved").await.1, "/elsewhere");
}

#[tokio::test]
async fn a_website_shows_only_what_anybody_may_read() {
    let world = World::with_site().await;
    world.put("index.html", "home").await;
    let delete = DeleteBucketPolicyRequest {
        bucket: "bbb".into(),
        ..Default::default()
    };
    world
        .call::<op::DeleteBucketPolicy>(delete)
        .await
        .expect("deleted");
    let (status, _, text) = world.page("/").await;
    assert_eq!(status, 403);
    assert!(text.contains("AccessDenied"), "{text}");
}

#[tokio::test]
async fn preflights_are_answered_by_the_rules() {
    let world = World::with_bucket().await;
    let ask = |origin: &str| {
        let request = Request::builder()
            .method(Method::OPTIONS)
            .uri("/bbb/k")
            .header("host", "localhost")
            .header("origin", origin)
            .header("access-control-request-method", "PUT")
            .header("access-control-request-headers", "X-Amz-Date");
        request.body(Body::empty()).expect("request")
    };
    assert_eq!(
        world.visit(ask("https://a.example.com")).await.status(),
        403
    );
    let rule = CORSRule {
        allowed_origins: vec!["https://*.example.com".into()],
        allowed_methods: vec!["PUT".into()],
        allowed_headers: Some(vec!["x-amz-*".into()]),
        max_age_seconds: Some(60),
        ..Default::default()
    };
    let cors = PutBucketCorsRequest {
        bucket: "bbb".into(),
        cors_configuration: CORSConfiguration {
            cors_rules: vec![rule],
        },
        ..Default::default()
    };
    world.call::<op::PutBucketCors>(cors).await.expect("rules");
    let reply = world.visit(ask("https://a.example.com")).await;
    assert_eq!(reply.status(), 200);
    assert_eq!(
        reply.headers()["access-control-allow-origin"],
        "https://a.example.com"
    );
    assert_eq!(
        reply.headers()["access-control-allow-headers"],
        "x-amz-date"
    );
    assert_eq!(reply.headers()["access-control-max-age"], "60");
    assert_eq!(world.visit(ask("https://example.org")).await.status(), 403);
}

#[tokio::test]
async fn a_form_is_an_upload() {
    use base64::Engine as _;
    let world = World::with_bucket().await;
    let unblock = DeletePublicAccessBlockRequest {
        bucket: "bbb".into(),
        ..Default::default()
    };
    world
        .call::<op::DeletePublicAccessBlock>(unblock)
        .await
        .expect("unblocked");
    let open = PutBucketPolicyRequest {
        bucket: "bbb".into(),
        policy: r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*",
            "Action":"s3:PutObject","Resource":"arn:aws:s3:::bbb/up/*"}}"#
            .into(),
        ..Default::default()
    };
    world
        .call::<op::PutBucketPolicy>(open)
        .await
        .expect("policy");
    let policy = r#"{"expiration":"2100-01-01T00:00:00Z","conditions":[["starts-with","$key",""],
        ["content-length-range",2,4],["eq","$success_action_status","201"]]}"#;
    let policy = base64::engine::general_purpose::STANDARD.encode(policy);
    let form = |key: &str, file: &str| {
        let fields = [
            ("key", key),
            ("policy", policy.as_str()),
            ("success_action_status", "201"),
            ("file-name", "C:\\a\\me.txt"),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut request = Request::post("/")
            .header("host", "bbb.s3.gureum.localhost")
            .header("content-type", "multipart/form-data; boundary=x")
            .body(body(file))
            .expect("request");
        request.extensions_mut().insert(FormFields(fields.to_vec()));
        request
    };
    let reply = world.visit(form("up/${filename}", "abc")).await;
    assert_eq!(reply.status(), 201);
    assert_eq!(world.get("up/me.txt").await.expect("there"), b"abc");
    assert_eq!(world.visit(form("elsewhere/a", "abc")).await.status(), 403);
    for wrong in ["a", "abcde"] {
        assert_eq!(world.visit(form("up/wrong", wrong)).await.status(), 400);
    }
    assert_eq!(code(world.get("up/wrong").await), "NoSuchKey");
}
