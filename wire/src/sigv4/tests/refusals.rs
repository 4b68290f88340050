//! What is refused, why, and what the sender is told.

use std::time::Duration;

use gureum_schema::Error;

use super::*;

const SIGNED_AT: &str = "2015-08-30T12:36:00Z";

fn signer(service: &'static str) -> Signer<'static> {
    Signer {
        access_key: ACCESS_KEY,
        secret: SECRET,
        session_token: None,
        region: "us-east-1",
        service,
    }
}

/// The headers of a `GET /` of `service`, signed.
fn signed(service: &'static str, extra: &[(&str, &str)]) -> HeaderMap {
    let mut all = headers(&[("host", "example.com")]);
    all.extend(headers(extra));
    let content = ContentHash::Exact(sha256(b""));
    let added = signer(service).sign(get("/", "", &all), content, moment(SIGNED_AT));
    all.extend(added.expect("signed"));
    all
}

fn verify(headers: &HeaderMap, secret: &str, now: &str) -> Result<(), SigError> {
    let claim = Claim::parse(get("/", "", headers))?.expect("signed");
    let policy = Policy::of(claim.scope().service());
    claim
        .verify(secret, &KeyCache::default(), moment(now), policy)
        .map(|_| ())
}

fn with_authorization(value: &str) -> HeaderMap {
    headers(&[
        ("host", "example.com"),
        ("x-amz-date", "20150830T123600Z"),
        ("authorization", value),
    ])
}

/// Why the header is refused.
fn refusal(value: &str) -> SigError {
    let headers = with_authorization(value);
    Claim::parse(get("/", "", &headers))
        .map(|_| ())
        .expect_err(value)
}

fn query_refusal(query: &str) -> SigError {
    let headers = headers(&[("host", "example.com")]);
    Claim::parse(get("/", query, &headers))
        .map(|_| ())
        .expect_err(query)
}

fn told(error: &SigError, family: Family) -> (String, u16) {
    let Error { code, status, .. } = error.reply(family);
    (code.into_owned(), status)
}

#[test]
fn unsigned_requests_are_anonymous() {
    let headers = headers(&[("host", "example.com")]);
    for query in [
        "",
        "list-type=2&prefix=X-Amz-Signature",
        "Signature=1",
        "AWSAccessKeyId=1",
    ] {
        assert!(
            Claim::parse(get("/", query, &headers))
                .expect("well-formed")
                .is_none()
        );
    }
}

#[test]
fn clocks_may_be_off_by_so_much_and_no_more() {
    for (service, within, beyond) in [
        ("s3", "2015-08-30T12:51:00Z", "2015-08-30T12:51:01Z"),
        ("s3", "2015-08-30T12:21:00Z", "2015-08-30T12:20:59Z"),
        ("iam", "2015-08-30T12:41:00Z", "2015-08-30T12:41:01Z"),
        ("iam", "2015-08-30T12:31:00Z", "2015-08-30T12:30:59Z"),
    ] {
        let headers = signed(service, &[]);
        assert_eq!(verify(&headers, SECRET, within), Ok(()));
        let error = verify(&headers, SECRET, beyond).expect_err("too far off");
        assert!(matches!(error, SigError::Skewed { .. }), "{error:?}");
    }
    let skewed = |now| SigError::Skewed {
        signed: moment(SIGNED_AT),
        now: moment(now),
        max_skew: Duration::from_secs(300),
    };
    assert_eq!(
        skewed("2015-08-30T12:50:00Z").reply(Family::Query).message,
        "Signature expired: 20150830T123600Z is now earlier than 20150830T124500Z \
         (20150830T125000Z - 5 min.)"
    );
    assert_eq!(
        skewed("2015-08-30T12:25:00Z").reply(Family::Query).message,
        "Signature not yet current: 20150830T123600Z is still later than 20150830T123000Z \
         (20150830T122500Z + 5 min.)"
    );
}

#[test]
fn a_changed_secret_does_not_verify_by_a_cached_key() {
    let headers = signed("iam", &[]);
    let keys = KeyCache::default();
    let claim = claim(get("/", "", &headers));
    let verify = |secret| claim.verify(secret, &keys, moment(SIGNED_AT), Policy::of("iam"));
    assert!(verify(SECRET).is_ok());
    assert!(matches!(verify("rotated"), Err(SigError::Mismatch(_))));
    assert!(verify(SECRET).is_ok());
}

#[test]
fn headers_that_must_be_signed() {
    let mut headers = signed("s3", &[]);
    headers.extend(super::headers(&[
        ("x-amz-acl", "public-read"),
        ("x-other", "1"),
    ]));
    let error = verify(&headers, SECRET, SIGNED_AT).expect_err("not signed");
    assert_eq!(error, SigError::HeadersNotSigned("x-amz-acl".to_owned()));
    assert_eq!(told(&error, Family::S3), ("AccessDenied".to_owned(), 403));

    let mut headers = signed("iam", &[]);
    headers.extend(super::headers(&[("x-amz-security-token", "added later")]));
    assert_eq!(verify(&headers, SECRET, SIGNED_AT), Ok(()));

    let value = format!(
        "AWS4-HMAC-SHA256 Credential=A/20150830/us-east-1/iam/aws4_request, \
         SignedHeaders=x-amz-date, Signature={:064}",
        0
    );
    assert_eq!(refusal(&value), SigError::HostNotSigned);
}

#[test]
fn authorization_headers_are_read_with_any_spacing() {
    let tidy = signed("iam", &[]);
    let text = tidy["authorization"].to_str().expect("text");
    for text in [
        text.replace(", ", ","),
        text.replace(", ", " ,\t "),
        text.replace(", ", "  "),
        format!("  {text}  "),
    ] {
        let mut headers = tidy.clone();
        headers.insert("authorization", text.parse().expect("a value"));
        assert_eq!(verify(&headers, SECRET, SIGNED_AT), Ok(()), "{text}");
    }
}

#[test]
fn malformed_headers_are_refused_by_name() {
    let unsupported = SigError::Unsupported;
    assert_eq!(refusal("AWS AKID:c2ln"), unsupported(Mechanism::SigV2));
    assert_eq!(
        refusal("AWS4-ECDSA-P256-SHA256 Credential=A"),
        unsupported(Mechanism::SigV4A)
    );
    assert_eq!(
        refusal("Basic eA=="),
        unsupported(Mechanism::Other("Basic".to_owned()))
    );
    assert_eq!(refusal(""), unsupported(Mechanism::Other(String::new())));
    let SigError::Incomplete { missing, .. } = refusal("AWS4-HMAC-SHA256 Credential=A") else {
        panic!("not incomplete");
    };
    assert_eq!(missing, ["Signature", "SignedHeaders"]);
    for (credential, signature) in [
        ("A/20150830/us-east-1/iam", "0"),
        ("A/20150830/us-east-1/iam/aws4", "0"),
        ("A/2015083/us-east-1/iam/aws4_request", "0"),
        ("A/20150830//iam/aws4_request", "0"),
        ("/20150830/us-east-1/iam/aws4_request", "0"),
        ("A/20150830/us-east-1/iam/aws4_request", "0"),
        ("A/20150830/us-east-1/iam/aws4_request", &"A".repeat(64)),
        ("A/20150831/us-east-1/iam/aws4_request", &"a".repeat(64)),
    ] {
        let error = refusal(&format!(
            "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature={signature}"
        ));
        assert_eq!(told(&error, Family::S3).0, "AuthorizationHeaderMalformed");
    }
}

#[test]
fn requests_signed_twice_are_refused() {
    let headers = signed("s3", &[]);
    let query = signer("s3").presign(get("/", "", &headers), 60, moment(SIGNED_AT));
    let error = Claim::parse(get("/", &query, &headers)).map(|_| ());
    assert_eq!(error, Err(SigError::BothMechanisms));

    let mut headers = signed("s3", &[]);
    headers.append("authorization", headers["authorization"].clone());
    let error = Claim::parse(get("/", "", &headers)).map(|_| ());
    assert!(matches!(error, Err(SigError::Malformed { .. })));
}

#[test]
fn malformed_queries_are_refused_by_name() {
    let good = signer("s3").presign(
        get("/", "", &headers(&[("host", "example.com")])),
        60,
        moment(SIGNED_AT),
    );
    for (from, to) in [
        ("X-Amz-Algorithm=AWS4-HMAC-SHA256&", ""),
        ("X-Amz-Expires=60&", ""),
        ("X-Amz-Expires=60", "X-Amz-Expires=0"),
        ("X-Amz-Expires=60", "X-Amz-Expires=-1"),
        ("X-Amz-Expires=60", "X-Amz-Expires=1.5"),
        ("X-Amz-Expires=60", "X-Amz-Expires=604801"),
        ("X-Amz-Expires=60", "X-Amz-Expires=99999999999999999999"),
        ("X-Amz-Expires=60", "X-Amz-Expires=60&X-Amz-Expires=61"),
        ("X-Amz-Date=20150830T", "X-Amz-Date=20150831T"),
        ("X-Amz-Date=20150830T123600Z", "X-Amz-Date=now"),
        ("%2Faws4_request", "%2Faws4"),
    ] {
        assert!(good.contains(from), "{from}");
        let error = query_refusal(&good.replace(from, to));
        assert_eq!(
            told(&error, Family::S3),
            ("AuthorizationQueryParametersError".to_owned(), 400),
            "{to}: {error:?}"
        );
    }
    assert_eq!(
        query_refusal("AWSAccessKeyId=A&Signature=b&Expires=1"),
        SigError::Unsupported(Mechanism::SigV2)
    );
    assert_eq!(
        query_refusal(&good.replace("HMAC-SHA256", "ECDSA-P256-SHA256")),
        SigError::Unsupported(Mechanism::SigV4A)
    );
}

#[test]
fn scopes_are_compared_by_the_caller() {
    let headers = signed("s3", &[]);
    let claim = claim(get("/", "", &headers));
    assert_eq!(claim.expect_scope("us-east-1", "s3"), Ok(()));
    let error = claim
        .expect_scope("eu-west-1", "s3")
        .expect_err("another region");
    let reply = error.reply(Family::S3);
    assert_eq!(
        reply.message,
        "The authorization header is malformed; the region 'us-east-1' is wrong; expecting \
         'eu-west-1'"
    );
    assert_eq!(reply.extra, [("Region", "eu-west-1".to_owned())]);
    assert!(claim.expect_scope("us-east-1", "iam").is_err());
}

#[test]
fn s3_wants_to_know_the_content_hash() {
    let mut headers = signed("s3", &[]);
    headers.remove("x-amz-content-sha256");
    assert_eq!(
        verify(&headers, SECRET, SIGNED_AT),
        Err(SigError::MissingContentHash)
    );
    for text in [
        "",
        "abc",
        "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD",
        "unsigned-payload",
    ] {
        assert!(ContentHash::parse(text).is_err(), "{text}");
    }
}

#[test]
fn every_family_says_it_in_its_own_way() {
    let mismatch = verify(&signed("s3", &[]), "wrong", SIGNED_AT).expect_err("wrong secret");
    let unknown = SigError::UnknownAccessKey("AKIA".to_owned());
    for (error, family, code, status) in [
        (&mismatch, Family::S3, "SignatureDoesNotMatch", 403),
        (&mismatch, Family::Query, "SignatureDoesNotMatch", 403),
        (&mismatch, Family::Json, "InvalidSignatureException", 400),
        (
            &mismatch,
            Family::RestJson,
            "InvalidSignatureException",
            403,
        ),
        (&unknown, Family::S3, "InvalidAccessKeyId", 403),
        (&unknown, Family::Query, "InvalidClientTokenId", 403),
        (&unknown, Family::Json, "UnrecognizedClientException", 400),
        (&SigError::Missing, Family::S3, "AccessDenied", 403),
        (
            &SigError::Missing,
            Family::Query,
            "MissingAuthenticationToken",
            403,
        ),
    ] {
        assert_eq!(told(error, family), (code.to_owned(), status));
    }
    let reply = mismatch.reply(Family::S3);
    let names: Vec<&str> = reply.extra.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        [
            "AWSAccessKeyId",
            "StringToSign",
            "SignatureProvided",
            "StringToSignBytes",
            "CanonicalRequest",
            "CanonicalRequestBytes"
        ]
    );
    assert!(reply.extra[3].1.starts_with("41 57 53 34 2d"));
    assert!(
        mismatch
            .reply(Family::Query)
            .message
            .contains("\n'GET\n/\n\nhost:example.com\n")
    );
}

#[test]
fn a_token_may_be_appended_to_a_signed_url_but_not_in_s3() {
    let headers = headers(&[("host", "example.com")]);
    for (service, accepted) in [("iotdevicegateway", true), ("s3", false)] {
        let query = signer(service).presign(get("/", "", &headers), 60, moment(SIGNED_AT));
        let query = format!("{query}&X-Amz-Security-Token=token");
        let mut claim = claim(get("/", &query, &headers));
        assert_eq!(claim.session_token(), Some("token"));
        if claim.needs_body() {
            claim.hash_body(b"");
        }
        let policy = Policy::of(service);
        let result = claim.verify(SECRET, &KeyCache::default(), moment(SIGNED_AT), policy);
        assert_eq!(result.is_ok(), accepted, "{service}");
    }
}
