//! botocore's own signer against our verifier, where Python and botocore are installed.

use std::process::Command;

use super::*;

const SEEDS: [&str; 2] = ["1", "2"];

fn check(line: &str) {
    let request: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let text = |name: &str| request[name].as_str().expect("text");
    let pairs: Vec<(&str, &str)> = request["headers"]
        .as_array()
        .expect("pairs")
        .iter()
        .map(|pair| {
            (
                pair[0].as_str().expect("a name"),
                pair[1].as_str().expect("a value"),
            )
        })
        .collect();
    let headers = headers(&pairs);
    let mut claim = claim(Request {
        method: text("method"),
        ..get(text("path"), text("query"), &headers)
    });
    assert_eq!(claim.session_token(), request["token"].as_str());
    if claim.needs_body() {
        claim.hash_body(text("body").as_bytes());
    }
    let policy = Policy::of(claim.scope().service());
    let verify = |secret| claim.verify(secret, &KeyCache::default(), claim.date.moment(), policy);
    if let Err(error) = verify(SECRET) {
        panic!("{line}\n{error:#?}");
    }
    assert!(matches!(verify("another"), Err(SigError::Mismatch(_))));
}

#[test]
fn what_botocore_signs_verifies() {
    let python = |script: &str, argument: &str| {
        Command::new("python3")
            .args(["-c", script, argument])
            .output()
            .ok()
    };
    let installed = python("import botocore.auth", "");
    if !installed.is_some_and(|output| output.status.success()) {
        eprintln!("skipped: python3 with botocore is not installed here");
        return;
    }
    for seed in SEEDS {
        let output = python(include_str!("signed_by_botocore.py"), seed).expect("python3");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let lines = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(lines.lines().count(), 400);
        lines.lines().for_each(check);
    }
}
