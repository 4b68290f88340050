//! What is signed verifies; what is changed does not; nothing panics.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_secs(1_440_938_160);

/// A request that owns its parts.
#[derive(Clone, Debug)]
struct Owned {
    method: &'static str,
    path: String,
    query: String,
    headers: HeaderMap,
}

impl Owned {
    fn request(&self) -> Request<'_> {
        Request {
            method: self.method,
            path: &self.path,
            query: &self.query,
            authority: None,
            headers: &self.headers,
        }
    }

    fn verifies(&self, secret: &str) -> bool {
        let Ok(Some(claim)) = Claim::parse(self.request()) else {
            return false;
        };
        claim
            .verify(secret, &KeyCache::default(), NOW, Policy::of("s3"))
            .is_ok()
    }
}

prop_compose! {
    fn requests()(
        method in prop::sample::select(vec!["GET", "PUT", "DELETE"]),
        path in "(/([A-Za-z0-9._~()!+=:@-]|%[0-9A-F]{2}){0,6}){1,4}",
        query in "(([a-z~+.-]|%[0-9A-Fa-f]{2}){1,4}(=([A-Za-z0-9/+=]|%[0-9A-F]{2}){0,5})?&?){0,4}",
        extra in vec(("(x-amz-meta-)?[a-z]{1,5}", "[!-~]([ !-~]{0,12}[!-~])?"), 0..4),
    ) -> Owned {
        let mut all = headers(&[("host", "bucket.example.com:4566")]);
        let extra: Vec<_> = extra.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        for (name, value) in &headers(&extra) {
            // These mean something to the signature itself.
            if !matches!(name.as_str(), "host" | "date") {
                all.append(name, value.clone());
            }
        }
        Owned { method, path, query, headers: all }
    }
}

fn signer(token: Option<&'static str>) -> Signer<'static> {
    Signer {
        access_key: ACCESS_KEY,
        secret: SECRET,
        session_token: token,
        region: "ap-northeast-2",
        service: "s3",
    }
}

fn signed(mut request: Owned, presign: bool, token: Option<&'static str>) -> Owned {
    if presign {
        request.query = signer(token).presign(request.request(), 60, NOW);
    } else {
        let content = ContentHash::Exact(sha256(b"body"));
        let added = signer(token).sign(request.request(), content, NOW);
        request.headers.extend(added.expect("signed"));
    }
    request
}

/// Changes one character for a letter, so that never another spelling of the same comes out.
fn change(text: &mut String, at: prop::sample::Index) {
    let at = at.index(text.len());
    let old = text.as_bytes()[at];
    let new = if old == b'q' { "z" } else { "q" };
    text.replace_range(at..=at, new);
}

proptest! {
    #[test]
    fn what_is_signed_verifies(
        request in requests(),
        presign: bool,
        token in prop::option::of(Just("tok/en+with=signs")),
    ) {
        let request = signed(request, presign, token);
        let claim = claim(request.request());
        prop_assert_eq!(claim.session_token(), token);
        prop_assert_eq!(claim.expires(), presign.then_some(60));
        prop_assert!(request.verifies(SECRET));
        prop_assert!(!request.verifies("another"));
    }

    #[test]
    fn what_is_changed_does_not(
        request in requests(),
        presign: bool,
        which in 0..5,
        at: prop::sample::Index,
    ) {
        let mut request = signed(request, presign, Some("token"));
        let names: Vec<_> = request.headers.keys().cloned().collect();
        let name = &names[at.index(names.len())];
        match which {
            0 => request.method = "POST",
            1 => change(&mut request.path, at),
            2 if !request.query.is_empty() => change(&mut request.query, at),
            3 => {
                let mut value = request.headers[name].to_str().expect("text").to_owned();
                change(&mut value, at);
                request.headers.insert(name, value.parse().expect("a value"));
            }
            _ => {
                request.headers.remove(name);
            }
        }
        prop_assert!(!request.verifies(SECRET), "{:?}", request);
    }

    #[test]
    fn garbage_never_panics(
        path in "\\PC{0,20}",
        query in "(X-Amz-(Algorithm|Credential|Date|Expires|SignedHeaders|Signature|Content-Sha256)(=[0-9a-zA-Z%/-]{0,70})?&?|\\PC){0,8}",
        authorization in prop::option::of("(AWS4-HMAC-SHA256|AWS)?[ ,]?((Credential|SignedHeaders|Signature)=[a-z0-9/;é-]{0,64}[, ]?){0,4}"),
        date in "[0-9TZ]{0,17}",
    ) {
        let mut all = headers(&[("host", "h"), ("x-amz-date", &date)]);
        if let Some(authorization) = &authorization {
            all.extend(headers(&[("authorization", authorization)]));
        }
        if let Ok(Some(claim)) = Claim::parse(get(&path, &query, &all)) {
            let keys = KeyCache::default();
            prop_assert!(claim.verify(SECRET, &keys, NOW, Policy::of("s3")).is_err());
        }
    }

    #[test]
    fn every_refusal_has_an_answer(
        credential in "[A-Za-z0-9/]{0,40}(/20150830/us-east-1/(s3|iam)/aws4_request)?",
        now: i64,
    ) {
        let value = format!(
            "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature={:064}", 0
        );
        let all = headers(&[("host", "h"), ("date", "20150830T123600Z"), ("authorization", &value)]);
        let error = match Claim::parse(get("/", "", &all)) {
            Err(error) => error,
            Ok(None) => return Err(TestCaseError::fail("anonymous")),
            Ok(Some(claim)) => claim
                .verify(SECRET, &KeyCache::default(), Timestamp(now), Policy::of("s3"))
                .map(|_| ())
                .expect_err("a wrong signature"),
        };
        for family in [Family::S3, Family::Query, Family::Json, Family::RestJson] {
            let reply = error.reply(family);
            prop_assert!((400..500).contains(&reply.status));
            prop_assert!(!reply.message.is_empty());
        }
    }
}
