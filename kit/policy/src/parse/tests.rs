//! What is accepted, what is refused, and with which words.

use proptest::prelude::*;

use super::*;
use crate::document::Position;

const READ: &str = r#""Effect":"Allow","Action":"s3:GetObject","Resource":"*""#;

fn document(statement: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{{{statement}}}]}}"#)
}

fn refusal(text: &str, kind: Kind) -> String {
    match Policy::parse(text, kind) {
        Ok(_) => panic!("accepted as {kind:?}: {text}"),
        Err(error) => error.to_string(),
    }
}

fn accept(text: &str, kind: Kind) -> Policy {
    Policy::parse(text, kind).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn documents_that_are_no_policies() {
    for text in [
        "",
        "null",
        "[]",
        "\"\"",
        "{",
        "{}",
        r#"{"Version":"2012-10-17"}"#,
        r#"{"Version":"2012-10-17","Statement":[]}"#,
        r#"{"Version":"2012-10-17","Statement":null}"#,
        r#"{"Version":"2012-10-17","Statement":"x"}"#,
        r#"{"Version":"2012-10-17","Statement":[null]}"#,
        r#"{"Version":"2020-01-01","Statement":[]}"#,
        r#"{"Version":2012,"Statement":[]}"#,
        &format!(r#"{{"Version":"2012-10-17","Extra":1,"Statement":{{{READ}}}}}"#),
        &format!(r#"{{"Version":"2012-10-17","Id":1,"Statement":{{{READ}}}}}"#),
        &format!(r#"{{"Version":"2012-10-17","Version":"2012-10-17","Statement":{{{READ}}}}}"#),
        &format!(r#"{{"Version":"2012-10-17","Statement":{{{READ}}}}} trailing"#),
        &document(r#""Action":"s3:GetObject","Resource":"*""#),
        &document(r#""Effect":"Perhaps","Action":"s3:GetObject","Resource":"*""#),
        &document(&format!(r#"{READ},"NotAction":"s3:PutObject""#)),
        &document(&format!(r#"{READ},"NotResource":"*""#)),
        &document(&format!(r#"{READ},"Resources":"*""#)),
        &document(&format!(r#"{READ},"Action":"s3:PutObject""#)),
        &document(&format!(r#"{READ},"Sid":7"#)),
        &document(&format!(r#"{READ},"Condition":[]"#)),
        &document(&format!(r#"{READ},"Condition":{{"StringEquals":"x"}}"#)),
        &document(&format!(
            r#"{READ},"Condition":{{"StringEquals":{{"k":null}}}}"#
        )),
        &document(&format!(
            r#"{READ},"Condition":{{"StringEquals":{{"k":{{}}}}}}"#
        )),
        &document(&format!(
            r#"{READ},"Condition":{{"StringResembles":{{"k":"v"}}}}"#
        )),
        &document(r#""Effect":"Allow","Action":7,"Resource":"*""#),
        &document(r#""Effect":"Allow","Action":["s3:Get*",7],"Resource":"*""#),
        &document(r#""Effect":"Allow","Action":{},"Resource":"*""#),
    ] {
        assert_eq!(
            refusal(text, Kind::Identity),
            "Syntax errors in policy.",
            "{text}"
        );
    }
}

#[test]
fn identity_policies_are_refused_in_iams_words() {
    let vendor = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";
    let legacy = "The policy failed legacy parsing";
    let actions = "Policy statement must contain actions.";
    let resources = "Policy statement must contain resources.";
    for (statement, expected) in [
        (
            r#""Effect":"allow","Action":"s3:Get*","Resource":"*""#,
            legacy,
        ),
        (r#""Effect":"Allow","Resource":"*""#, actions),
        (r#""Effect":"Allow","Action":[],"Resource":"*""#, actions),
        (r#""Effect":"Allow","Action":"s3:Get*""#, resources),
        (
            r#""Effect":"Allow","NotAction":"s3:Get*","NotResource":[]"#,
            resources,
        ),
        (r#""Effect":"Allow","Action":"","Resource":"*""#, vendor),
        (
            r#""Effect":"Allow","Action":"GetObject","Resource":"*""#,
            vendor,
        ),
        (
            r#""Effect":"Allow","NotAction":["s3:*","GetObject"],"Resource":"*""#,
            vendor,
        ),
        (
            r#""Effect":"Allow","Action":":Get","Resource":"*""#,
            "Vendor  is not valid",
        ),
        (
            r#""Effect":"Allow","Action":"s 3:Get","Resource":"*""#,
            "Vendor s 3 is not valid",
        ),
        (
            r#""Effect":"Allow","Action":"s3:Get:Object","Resource":"*""#,
            "Actions/Condition can contain only one colon.",
        ),
        (
            r#""Effect":"Allow","Action":"s3:Get*","Resource":"bucket""#,
            r#"Resource bucket must be in ARN format or "*"."#,
        ),
        (
            r#""Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws2:s3:::b/*""#,
            r#"Partition "aws2" is not valid for resource "arn:aws2:s3:::b/*"."#,
        ),
        (
            r#""Effect":"Allow","Action":"s3:Get*","Resource":"s3::b/*""#,
            r#"Partition "" is not valid for resource "arn::b/*:*:*:*"."#,
        ),
        (
            r#""Effect":"Allow","Action":"s3:Get*","Resource":"arn:awss3::b/*""#,
            legacy,
        ),
        (
            r#""Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws:s3::b""#,
            legacy,
        ),
        (
            r#""Effect":"Allow","Action":"s3:Get*","Resource":"arn:aws::::b""#,
            legacy,
        ),
        (
            r#""Effect":"Allow","Action":"s3:Get*","Resource":"nra:aws:s3:::b""#,
            legacy,
        ),
        (
            r#""Effect":"Allow","Action":"s3:*","Resource":"arn:aws:sqs:us-east-1:12:q""#,
            legacy,
        ),
        (
            r#""Effect":"Allow","Action":"s3:*","Resource":"arn:aws:sqs:us-east-1:${a}:q""#,
            legacy,
        ),
        (r#""Effect":"Allow","Resource":"arn:aws:s3::b""#, legacy),
        (r#""Effect":"Allow","Resource":"bucket""#, actions),
        (
            r#""Effect":"Allow","Action":"s3:*","Resource":"arn:aws:*:us-east-1:111122223333:q""#,
            "Resource vendor must be fully qualified and cannot contain regexes.",
        ),
        (
            r#""Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:us-east-1::b""#,
            "Resource arn:aws:s3:us-east-1::b can not contain region information.",
        ),
        (
            r#""Effect":"Allow","Action":"s3:*","Resource":"arn:aws:iam:us-east-1::role/r""#,
            "IAM resource arn:aws:iam:us-east-1::role/r cannot contain region information.",
        ),
        (
            r#""Effect":"Allow","Action":"iam:*","Resource":"arn:aws:iam::111122223333:widget/w""#,
            "IAM resource path must either be \"*\" or start with user/, federated-user/, role/, \
             group/, instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, \
             saml-provider/, oidc-provider/, report/, access-report/.",
        ),
        (
            &format!(r#"{READ},"Condition":{{"DateLessThan":{{"k":"someday"}}}}"#),
            legacy,
        ),
        (
            &format!(r#"{READ},"Condition":{{"NumericEquals":{{"k":"${{v}}"}}}}"#),
            legacy,
        ),
        (
            &format!(r#"{READ},"Principal":"*""#),
            "Policy document should not specify a principal.",
        ),
        (
            &format!(r#"{READ},"Sid":"not this""#),
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the \
             regular expression [0-9A-Za-z]*",
        ),
    ] {
        assert_eq!(
            refusal(&document(statement), Kind::Identity),
            expected,
            "{statement}"
        );
    }
    for version in ["", r#""Version":"2008-10-17","#] {
        let text = format!(r#"{{{version}"Statement":{{{READ}}}}}"#);
        let expected = "Policy document must be version 2012-10-17 or greater.";
        assert_eq!(refusal(&text, Kind::Identity), expected);
    }
    let twice = document(&format!(r#""Sid":"A",{READ}}},{{"Sid":"A",{READ}"#));
    let expected = "Statement IDs (SID) in a single policy must be unique.";
    assert_eq!(refusal(&twice, Kind::Identity), expected);
}

#[test]
fn resource_policies_are_refused_in_s3s_words() {
    let principal = r#""Principal":"*""#;
    for (statement, expected) in [
        (READ.to_owned(), "Missing required field Principal"),
        (
            format!(r#"{principal},"Effect":"Allow","Resource":"*""#),
            "Missing required field Action",
        ),
        (
            format!(r#"{principal},"Effect":"Allow","Action":"s3:*""#),
            "Missing required field Resource",
        ),
        (
            format!(r#"{principal},"Action":"s3:*","Resource":"*""#),
            "Missing required field Effect",
        ),
        (
            format!(r#"{principal},{READ},"Colour":"red""#),
            "Unknown field Colour",
        ),
        (
            format!(r#"{principal},"Effect":"Allow","Action":"s3:*","Resource":"b""#),
            "Policy has invalid resource",
        ),
        (
            format!(r#"{principal},"Effect":"Allow","Action":"Get","Resource":"*""#),
            "Policy has invalid action",
        ),
        (
            format!(r#"{READ},"Principal":{{"AWS":"ann"}}"#),
            "Invalid principal in policy",
        ),
        (
            format!(r#"{READ},"Principal":"ann""#),
            "Invalid principal in policy",
        ),
    ] {
        assert_eq!(
            refusal(&document(&statement), Kind::Resource),
            expected,
            "{statement}"
        );
    }
    let expected = "Policies must be valid JSON and the first byte must be '{'";
    assert_eq!(refusal("<policy/>", Kind::Resource), expected);
}

#[test]
fn trust_policies_are_refused_in_iams_newer_words() {
    let trust = r#""Effect":"Allow","Principal":{"AWS":"111122223333"},"Action":"sts:AssumeRole""#;
    for (statement, expected) in [
        (
            format!(r#"{trust},"Resource":"*""#),
            "Has prohibited field Resource",
        ),
        (
            format!(r#"{trust},"NotResource":"*""#),
            "Has prohibited field NotResource",
        ),
        (
            r#""Effect":"Allow","NotPrincipal":"*","Action":"sts:AssumeRole""#.to_owned(),
            "Has prohibited field NotPrincipal",
        ),
        (
            r#""Effect":"Allow","Action":"sts:AssumeRole""#.to_owned(),
            "Missing required field Principal",
        ),
        (
            r#""Effect":"Allow","Principal":"*","Action":"s3:GetObject""#.to_owned(),
            "AssumeRole policy may only specify STS AssumeRole actions.",
        ),
        (
            r#""Effect":"Allow","Principal":{"Service":"lambda"},"Action":"sts:AssumeRole""#
                .to_owned(),
            r#"Invalid principal in policy: "SERVICE":"lambda""#,
        ),
    ] {
        assert_eq!(
            refusal(&document(&statement), Kind::Trust),
            expected,
            "{statement}"
        );
    }
    assert_eq!(
        refusal("{", Kind::Trust),
        "This policy contains invalid Json"
    );
    accept(&document(trust), Kind::Trust);
    accept(
        &format!(r#"{{"Version":"2008-10-17","Statement":{{{trust}}}}}"#),
        Kind::Trust,
    );
    accept(&format!(r#"{{"Statement":{{{trust}}}}}"#), Kind::Trust);
}

#[test]
fn principals() {
    for (class, value, expected) in [
        ("AWS", "*", Some(Principal::Anyone)),
        (
            "AWS",
            "111122223333",
            Some(Principal::Account("111122223333".into())),
        ),
        (
            "AWS",
            "arn:aws:iam::111122223333:root",
            Some(Principal::Account("111122223333".into())),
        ),
        (
            "AWS",
            "AROAEXAMPLEEXAMPLEID",
            Some(Principal::UniqueId("AROAEXAMPLEEXAMPLEID".into())),
        ),
        (
            "Service",
            "delivery.logs.amazonaws.com",
            Some(Principal::Service("delivery.logs.amazonaws.com".into())),
        ),
        (
            "Federated",
            "accounts.google.com",
            Some(Principal::Federated("accounts.google.com".into())),
        ),
        ("AWS", "11112222333", None),
        ("AWS", "arn:aws:iam::111122223333:user/*", None),
        ("AWS", "arn:aws:iam::111122223333:user/", None),
        ("AWS", "arn:aws:iam::111122223333:group/g", None),
        ("AWS", "arn:aws:s3:::b", None),
        ("AWS", "arn:aws:iam::1111:user/ann", None),
        ("AWS", "arn:other:iam::111122223333:user/ann", None),
        ("AWS", "", None),
        ("Service", "s3", None),
        ("Federated", "arn:aws:iam::111122223333:user/ann", None),
        ("CanonicalUser", "not hexadecimal", None),
        ("Google", "ann", None),
    ] {
        assert_eq!(
            parse_principal(class, value).ok(),
            expected,
            "{class} {value}"
        );
    }
    for arn in [
        "arn:aws:iam::111122223333:user/division/ann",
        "arn:aws:iam::111122223333:role/service-role/r",
        "arn:aws-cn:iam::111122223333:role/r",
        "arn:aws:sts::111122223333:assumed-role/r/session",
        "arn:aws:sts::111122223333:federated-user/bob",
        "arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity E1EXAMPLE",
    ] {
        let expected = Principal::Arn(arn.into());
        assert_eq!(parse_principal("AWS", arn), Ok(expected), "{arn}");
    }
    for provider in [
        "arn:aws:iam::111122223333:saml-provider/p",
        "arn:aws:iam::111122223333:oidc-provider/token.actions.githubusercontent.com",
    ] {
        let expected = Principal::Federated(provider.into());
        assert_eq!(
            parse_principal("Federated", provider),
            Ok(expected),
            "{provider}"
        );
    }
}

#[test]
fn resources_that_are_accepted() {
    for resource in [
        "*",
        "arn:aws:s3:::b",
        "arn:aws:s3:::*",
        "arn:aws:s3:::b/${aws:username}/*",
        "arn:aws:s3:us-east-1:111122223333:accesspoint/a",
        "arn:*:iam::*:role/r",
        "arn:aws-us-gov:s3:::b",
        "arn:aws:iam::111122223333:*",
        "arn:aws:iam::*:user/${aws:username}",
        "arn:aws:iam::aws:policy/AdministratorAccess",
        "arn:aws:sqs:*:*:q?",
        "arn:aws:dynamodb:us-east-1:111122223333:table/t/index/*",
        "arn:aws:logs:us-east-1:111122223333:log-group:/aws/lambda/f:log-stream:*",
        "arn:aws:s3:*",
    ] {
        assert_eq!(check_resource(resource), Ok(()), "{resource}");
    }
}

#[test]
fn statements_keep_their_place_in_the_text() {
    let text = "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": {\n    \"Effect\": \"Allow\",\n    \
                \"Action\": \"s3:*\",\n    \"Resource\": \"*\"\n  }\n}";
    let span = accept(text, Kind::Identity).statements()[0].span();
    assert_eq!(
        span.start,
        Position {
            line: 3,
            column: 16
        }
    );
    assert_eq!(span.end, Position { line: 7, column: 4 });

    let line = document(&format!(r#"{READ},"Sid":"Gruß"}} , {{{READ}"#).replace("Gruß", "G"));
    let policy = accept(&line, Kind::Identity);
    for statement in policy.statements() {
        let Position {
            line: number,
            column,
        } = statement.span().start;
        assert_eq!((number, &line[column - 1..column]), (1, "{"));
        let end = statement.span().end.column;
        assert_eq!(&line[end - 2..end - 1], "}");
    }
}

#[test]
fn numbers_and_booleans_serve_as_condition_values() {
    let conditions = r#""Condition":{"Bool":{"aws:SecureTransport":true},
        "NumericLessThan":{"s3:max-keys":[10,"20"]}}"#;
    accept(&document(&format!("{READ},{conditions}")), Kind::Identity);
}

#[test]
fn an_operator_without_keys_asks_nothing() {
    accept(
        &document(&format!(r#"{READ},"Condition":{{"Whatever":{{}}}}"#)),
        Kind::Identity,
    );
}

#[test]
fn size_and_depth_are_bounded() {
    let long = "x".repeat(raw::MAX_DOCUMENT_BYTES);
    let deep = format!(r#"{{"Statement":{}"#, "[".repeat(100_000));
    let many = vec![format!("{{{READ}}}"); 1_001].join(",");
    let many = format!(r#"{{"Version":"2012-10-17","Statement":[{many}]}}"#);
    let wide = document(&format!(r#"{READ},"Sid":"{}""#, "x".repeat(5_000)));
    for (text, problem) in [
        (
            document(&format!(r#"{READ},"Sid":"{long}""#)),
            Problem::TooLarge,
        ),
        (deep, Problem::Json),
        (many, Problem::TooLarge),
        (wide, Problem::TooLarge),
    ] {
        let error = Policy::parse(&text, Kind::Identity).expect_err("refused");
        assert_eq!(error.problem, problem);
    }
}

#[test]
fn the_quota_counts_no_white_space() {
    assert_eq!(crate::quota_size("{ \"a\" :\n\t[1, 2] }"), 11);
}

#[test]
fn context_keys_come_from_conditions_and_variables() {
    let policy = accept(
        &document(
            r#""Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/${aws:username}/*",
               "Condition":{"StringLike":{"s3:prefix":["${aws:userid}/*","${aws:UserName}"]},
               "Null":{"AWS:TokenIssueTime":"false"}}"#,
        ),
        Kind::Identity,
    );
    let expected = [
        "aws:username",
        "s3:prefix",
        "aws:userid",
        "AWS:TokenIssueTime",
    ];
    assert_eq!(policy.context_keys(), expected);
}

#[test]
fn principals_can_be_replaced() {
    let statement = r#""Effect":"Allow","Action":"s3:*","Resource":"*","Principal":
        {"AWS":["arn:aws:iam::111122223333:role/r","444455556666"]}"#;
    let mut policy = accept(&document(statement), Kind::Resource);
    policy.replace_principals(|principal| match principal {
        Principal::Arn(_) => Some(Principal::UniqueId("AROAEXAMPLEEXAMPLEID".into())),
        _ => None,
    });
    let expected = [
        Principal::UniqueId("AROAEXAMPLEEXAMPLEID".into()),
        Principal::Account("444455556666".into()),
    ];
    assert!(policy.principals().eq(&expected));
}

proptest! {
    /// Damaged documents are refused or understood, and never bring the parser down.
    #[test]
    fn any_text_is_answered(at in 0_usize..400, cut in 0_usize..6, put in "[\\[\\]{}\":,*?$é\n0-9a-z]{0,6}") {
        let whole = document(
            r#""Sid":"S","Effect":"Deny","Principal":{"AWS":["arn:aws:iam::111122223333:user/u"]},
               "NotAction":["s3:Get*","sqs:*"],"Resource":["arn:aws:s3:::b/${aws:username, 'x'}/*"],
               "Condition":{"DateLessThan":{"k":"2026-07-01T00:00:00.5+09:00"},
               "IpAddress":{"aws:SourceIp":["10.0.0.0/8","::1"]},"Bool":{"b":true}}"#,
        );
        let start = at.min(whole.len());
        let end = (start + cut).min(whole.len());
        let text = format!("{}{put}{}", &whole[..start], &whole[end..]);
        for kind in [Kind::Identity, Kind::Resource, Kind::Trust] {
            match Policy::parse(&text, kind) {
                Ok(policy) => prop_assert!(!policy.statements().is_empty()),
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }
}
