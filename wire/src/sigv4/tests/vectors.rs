//! The aws-c-auth vectors, from the directory that `GUREUM_VECTORS` names.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sigv4::canonical::PathRule;

use super::*;

struct Raw {
    method: String,
    path: String,
    query: String,
    headers: HeaderMap,
    body: String,
}

impl Raw {
    /// Reads a request with what no HTTP library would let through: blanks and UTF-8 in the path,
    /// folded header lines.
    fn parse(text: &str) -> Self {
        let text = text.replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let line = lines.next().expect("a request line");
        let (method, rest) = line.split_once(' ').expect("a method");
        let (target, _) = rest.rsplit_once(" HTTP/").expect("a version");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut pairs: Vec<(String, String)> = Vec::new();
        for line in lines {
            match (line.strip_prefix(' '), pairs.last_mut()) {
                (Some(more), Some((_, value))) => value.push_str(&format!(" {more}")),
                _ => {
                    let (name, value) = line.split_once(':').expect("a header");
                    pairs.push((name.to_owned(), value.to_owned()));
                }
            }
        }
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: headers(&pairs),
            body: body.to_owned(),
        }
    }

    fn request(&self) -> Request<'_> {
        Request {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            authority: None,
            headers: &self.headers,
        }
    }
}

fn check(case: &Path, form: &str) {
    let read = |name: &str| {
        fs::read_to_string(case.join(name))
            .unwrap_or_else(|error| panic!("{case:?} {name}: {error}"))
    };
    let context: serde_json::Value = serde_json::from_str(&read("context.json")).expect("JSON");
    let secret = context["credentials"]["secret_access_key"]
        .as_str()
        .expect("a secret");
    let rule = PathRule {
        normalize: context["normalize"].as_bool().expect("a flag"),
        encode_twice: true,
    };
    let raw = Raw::parse(&read(&format!("{form}-signed-request.txt")));
    let now = Timestamp::parse(context["timestamp"].as_str().expect("text")).expect("a time");
    let (keys, policy) = (KeyCache::default(), Policy::of("service"));
    let mut claim = claim(raw.request());
    assert_eq!(
        claim.session_token(),
        context["credentials"]["token"].as_str()
    );
    if claim.needs_body() {
        claim.hash_body(raw.body.as_bytes());
    }
    claim
        .verify_with(secret, &keys, now, policy, rule)
        .unwrap_or_else(|error| panic!("{case:?} {form}: {error:?}"));

    let wrong = claim.verify_with("another secret", &keys, now, policy, rule);
    let Err(SigError::Mismatch(mismatch)) = wrong else {
        panic!("{case:?} {form}: verified with another secret");
    };
    assert_eq!(
        mismatch.signature,
        read(&format!("{form}-signature.txt")).trim()
    );
    // Where the token was appended to a signed URL, the reported attempt is the one that has it.
    if context["omit_session_token"] != true || form == "header" {
        let expected = |part| read(&format!("{form}-{part}.txt"));
        assert_eq!(
            mismatch.canonical_request.trim_end(),
            expected("canonical-request").trim_end()
        );
        assert_eq!(
            mismatch.string_to_sign.trim_end(),
            expected("string-to-sign").trim_end()
        );
    }
}

#[test]
fn every_vector_verifies_in_both_forms() {
    let Some(root) = std::env::var_os("GUREUM_VECTORS").map(PathBuf::from) else {
        eprintln!("skipped: GUREUM_VECTORS does not name the directory with the sigv4 vectors");
        return;
    };
    let cases: Vec<PathBuf> = fs::read_dir(root.join("sigv4"))
        .expect("the vectors")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.join("context.json").exists())
        .collect();
    assert!(cases.len() >= 30, "only {} vectors", cases.len());
    for case in &cases {
        check(case, "header");
        check(case, "query");
    }
}
