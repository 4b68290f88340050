//! The worked examples of the S3 API Reference: their requests, keys and signatures.

use super::*;

const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const HOST: (&str, &str) = ("host", "examplebucket.s3.amazonaws.com");
const DATE: (&str, &str) = ("x-amz-date", "20130524T000000Z");

struct Example {
    method: &'static str,
    path: &'static str,
    query: &'static str,
    headers: &'static [(&'static str, &'static str)],
    content: &'static str,
    signature: &'static str,
}

const EXAMPLES: [Example; 4] = [
    Example {
        method: "GET",
        path: "/test.txt",
        query: "",
        headers: &[("range", "bytes=0-9")],
        content: EMPTY,
        signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    },
    Example {
        method: "PUT",
        path: "/test%24file.text",
        query: "",
        headers: &[
            ("date", "Fri, 24 May 2013 00:00:00 GMT"),
            ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ],
        content: "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
    },
    Example {
        method: "GET",
        path: "/",
        query: "lifecycle",
        headers: &[],
        content: EMPTY,
        signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    },
    Example {
        method: "GET",
        path: "/",
        query: "max-keys=2&prefix=J",
        headers: &[],
        content: EMPTY,
        signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
    },
];

#[test]
fn header_examples_verify_and_are_signed_alike() {
    let keys = KeyCache::default();
    let now = moment("2013-05-24T00:00:00Z");
    for example in EXAMPLES {
        let mut all = headers(example.headers);
        all.extend(headers(&[
            HOST,
            DATE,
            ("x-amz-content-sha256", example.content),
        ]));
        let mut names: Vec<&str> = all.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders={},Signature={}",
            names.join(";"),
            example.signature
        );
        all.extend(headers(&[("authorization", &value)]));
        let request = Request {
            method: example.method,
            ..get(example.path, example.query, &all)
        };
        let claim = claim(request);
        assert_eq!(claim.access_key(), ACCESS_KEY);
        assert_eq!(claim.scope().region(), "us-east-1");
        claim
            .verify(SECRET, &keys, now, Policy::of("s3"))
            .unwrap_or_else(|error| panic!("{}: {error:?}", example.path));

        let mut bare = headers(example.headers);
        bare.extend(headers(&[HOST]));
        let content = ContentHash::parse(example.content).expect("a hash");
        let request = Request {
            headers: &bare,
            ..request
        };
        let added = signer().sign(request, content, now).expect("signed");
        let added = added["authorization"].to_str().expect("text");
        assert!(added.ends_with(example.signature), "{added}");
    }
}

fn signer() -> Signer<'static> {
    Signer {
        access_key: ACCESS_KEY,
        secret: SECRET,
        session_token: None,
        region: "us-east-1",
        service: "s3",
    }
}

const PRESIGNED: &str = "X-Amz-Algorithm=AWS4-HMAC-SHA256\
    &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
    &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
    &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

#[test]
fn presigned_example_verifies_until_it_expires() {
    let headers = headers(&[HOST]);
    let keys = KeyCache::default();
    let claim = claim(get("/test.txt", PRESIGNED, &headers));
    assert_eq!(claim.expires(), Some(86400));
    let at = |text| {
        claim
            .verify(SECRET, &keys, moment(text), Policy::of("s3"))
            .map(|_| ())
    };
    assert_eq!(at("2013-05-24T00:00:00Z"), Ok(()));
    assert_eq!(at("2013-05-25T00:00:00Z"), Ok(()));
    assert!(matches!(
        at("2013-05-25T00:00:01Z"),
        Err(SigError::Expired { .. })
    ));
    assert_eq!(at("2013-05-23T23:45:00Z"), Ok(()));
    assert!(matches!(
        at("2013-05-23T23:44:59Z"),
        Err(SigError::NotYetValid { .. })
    ));

    let now = moment("2013-05-24T00:00:00Z");
    let query = signer().presign(get("/test.txt", "", &headers), 86400, now);
    assert_eq!(query, PRESIGNED);
}

#[test]
fn form_example_verifies() {
    let policy = "eyAiZXhwaXJhdGlvbiI6ICIyMDE1LTEyLTMwVDEyOjAwOjAwLjAwMFoiLA0KICAiY29uZGl0aW9ucyI6\
        IFsNCiAgICB7ImJ1Y2tldCI6ICJzaWd2NGV4YW1wbGVidWNrZXQifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRrZXki\
        LCAidXNlci91c2VyMS8iXSwNCiAgICB7ImFjbCI6ICJwdWJsaWMtcmVhZCJ9LA0KICAgIHsic3VjY2Vzc19hY3Rpb25f\
        cmVkaXJlY3QiOiAiaHR0cDovL3NpZ3Y0ZXhhbXBsZWJ1Y2tldC5zMy5hbWF6b25hd3MuY29tL3N1Y2Nlc3NmdWxfdXBs\
        b2FkLmh0bWwifSwNCiAgICBbInN0YXJ0cy13aXRoIiwgIiRDb250ZW50LVR5cGUiLCAiaW1hZ2UvIl0sDQogICAgeyJ4\
        LWFtei1tZXRhLXV1aWQiOiAiMTQzNjUxMjM2NTEyNzQifSwNCiAgICB7IngtYW16LXNlcnZlci1zaWRlLWVuY3J5cHRp\
        b24iOiAiQUVTMjU2In0sDQogICAgWyJzdGFydHMtd2l0aCIsICIkeC1hbXotbWV0YS10YWciLCAiIl0sDQoNCiAgICB7\
        IngtYW16LWNyZWRlbnRpYWwiOiAiQUtJQUlPU0ZPRE5ON0VYQU1QTEUvMjAxNTEyMjkvdXMtZWFzdC0xL3MzL2F3czRf\
        cmVxdWVzdCJ9LA0KICAgIHsieC1hbXotYWxnb3JpdGhtIjogIkFXUzQtSE1BQy1TSEEyNTYifSwNCiAgICB7IngtYW16\
        LWRhdGUiOiAiMjAxNTEyMjlUMDAwMDAwWiIgfQ0KICBdDQp9";
    let parse = |policy, signature| {
        PostClaim::parse(
            policy,
            "AWS4-HMAC-SHA256",
            "AKIAIOSFODNN7EXAMPLE/20151229/us-east-1/s3/aws4_request",
            "20151229T000000Z",
            signature,
        )
    };
    let signature = "8afdbf4008c03f22c2cd3cdb72e4afbb1f6a588f3255ac628749a66d7f09699e";
    let keys = KeyCache::default();
    let claim = parse(policy, signature).expect("well-formed");
    assert_eq!(claim.access_key(), ACCESS_KEY);
    assert_eq!(claim.verify(SECRET, &keys), Ok(()));
    assert!(matches!(
        claim.verify("secret", &keys),
        Err(SigError::Mismatch(_))
    ));
    let changed = parse(&policy[4..], signature).expect("well-formed");
    assert!(matches!(
        changed.verify(SECRET, &keys),
        Err(SigError::Mismatch(_))
    ));
}
