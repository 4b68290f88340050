//! Every operator, qualifier and way a key can be missing.

use super::*;

/// Asks one operator about the key `k`, which the request holds with these values.
fn holds(operator: &str, policy: &[&str], request: &[&str]) -> bool {
    let context = Context::new()
        .with_all("K", request.iter().copied())
        .with("aws:username", "ann");
    condition(operator, policy).holds(&context)
}

fn condition(operator: &str, policy: &[&str]) -> Condition {
    let values: Vec<String> = policy.iter().map(|v| (*v).to_owned()).collect();
    let parsed = Operator::parse(operator).expect(operator);
    parsed.compile("k", &values, true).expect(operator)
}

#[test]
fn operators() {
    for (operator, policy, request, expected) in [
        ("StringEquals", "abc", "abc", true),
        ("StringEquals", "abc", "ABC", false),
        ("StringEquals", "a*", "abc", false),
        ("StringEquals", "a*", "a*", true),
        ("StringEquals", "${aws:username}", "ann", true),
        ("StringNotEquals", "abc", "abd", true),
        ("StringNotEquals", "abc", "abc", false),
        ("StringEqualsIgnoreCase", "abc", "ABC", true),
        ("StringNotEqualsIgnoreCase", "abc", "ABC", false),
        ("StringNotEqualsIgnoreCase", "abc", "ABD", true),
        ("StringLike", "a*c?", "abbbcd", true),
        ("StringLike", "a*c?", "abbbc", false),
        ("StringLike", "A*", "abc", false),
        ("StringLike", "${aws:username}/*", "ann/x", true),
        ("StringNotLike", "a*", "abc", false),
        ("StringNotLike", "a*", "bcd", true),
        ("NumericEquals", "10", "10.0", true),
        ("NumericEquals", "10", "11", false),
        ("NumericNotEquals", "10", "11", true),
        ("NumericNotEquals", "10", "10", false),
        ("NumericLessThan", "10", "9.9", true),
        ("NumericLessThan", "10", "10", false),
        ("NumericLessThanEquals", "10", "10", true),
        ("NumericLessThanEquals", "10", "11", false),
        ("NumericGreaterThan", "10", "11", true),
        ("NumericGreaterThan", "10", "10", false),
        ("NumericGreaterThanEquals", "10", "10", true),
        ("NumericGreaterThanEquals", "10", "-11", false),
        ("NumericEquals", "10", "ten", false),
        (
            "DateEquals",
            "2026-07-01T00:00:00Z",
            "2026-07-01T09:00:00+09:00",
            true,
        ),
        ("DateEquals", "2023-11-14T22:13:20Z", "1700000000", true),
        (
            "DateNotEquals",
            "2026-07-01T00:00:00Z",
            "2026-07-01T00:00:01Z",
            true,
        ),
        (
            "DateNotEquals",
            "2026-07-01T00:00:00Z",
            "2026-07-01T00:00:00Z",
            false,
        ),
        (
            "DateLessThan",
            "2026-07-01T00:00:00Z",
            "2026-06-30T23:59:59Z",
            true,
        ),
        (
            "DateLessThan",
            "2026-07-01T00:00:00Z",
            "2026-07-01T00:00:00Z",
            false,
        ),
        (
            "DateLessThanEquals",
            "2026-07-01T00:00:00Z",
            "2026-07-01T00:00:00Z",
            true,
        ),
        (
            "DateGreaterThan",
            "2026-07-01T00:00:00Z",
            "2026-07-01T00:00:00.1Z",
            true,
        ),
        (
            "DateGreaterThan",
            "2026-07-01T00:00:00Z",
            "2026-07-01T00:00:00Z",
            false,
        ),
        (
            "DateGreaterThanEquals",
            "2026-07-01",
            "2026-07-01T00:00:00Z",
            true,
        ),
        ("DateGreaterThanEquals", "2026-07-01", "someday", false),
        ("Bool", "true", "TRUE", true),
        ("Bool", "true", "false", false),
        ("Bool", "false", "false", true),
        ("Bool", "false", "maybe", false),
        ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", true),
        ("BinaryEquals", "QmluYXJ5", "YmluYXJ5", false),
        ("IpAddress", "203.0.113.0/24", "203.0.113.7", true),
        ("IpAddress", "203.0.113.0/24", "203.0.114.7", false),
        ("IpAddress", "203.0.113.7", "203.0.113.7", true),
        ("IpAddress", "2001:db8::/33", "2001:db8:7fff::1", true),
        ("IpAddress", "2001:db8::/33", "2001:db8:8000::1", false),
        ("IpAddress", "203.0.113.0/24", "nowhere", false),
        ("NotIpAddress", "203.0.113.0/24", "203.0.113.7", false),
        ("NotIpAddress", "203.0.113.0/24", "203.0.114.7", true),
        (
            "ArnEquals",
            "arn:aws:sns:*:111122223333:t",
            "arn:aws:sns:eu-west-1:111122223333:t",
            true,
        ),
        (
            "ArnLike",
            "arn:aws:sns:*:111122223333:t*",
            "arn:aws:sns:eu-west-1:111122223333:top",
            true,
        ),
        (
            "ArnLike",
            "arn:aws:sns:*:t",
            "arn:aws:sns:eu-west-1:111122223333:t",
            false,
        ),
        (
            "ArnLike",
            "arn:aws:iam::1:role/*",
            "arn:aws:iam::1:role/a:b/c",
            true,
        ),
        ("ArnLike", "*", "arn:aws:iam::1:role/r", true),
        (
            "ArnNotEquals",
            "arn:aws:sns:*:1:t",
            "arn:aws:sns:eu-west-1:1:t",
            false,
        ),
        (
            "ArnNotLike",
            "arn:aws:sns:*:1:t",
            "arn:aws:sns:eu-west-1:1:u",
            true,
        ),
        ("Null", "true", "x", false),
        ("Null", "false", "x", true),
    ] {
        assert_eq!(
            holds(operator, &[policy], &[request]),
            expected,
            "{operator} {policy} {request}"
        );
    }
}

#[test]
fn a_missing_key() {
    for (operator, policy, expected) in [
        ("StringEquals", "a", false),
        ("StringLike", "*", false),
        ("StringNotEquals", "a", true),
        ("StringNotLike", "*", true),
        ("StringNotEqualsIgnoreCase", "a", true),
        ("NumericNotEquals", "1", true),
        ("NumericLessThan", "1", false),
        ("DateNotEquals", "2026-07-01", true),
        ("Bool", "false", false),
        ("IpAddress", "0.0.0.0/0", false),
        ("NotIpAddress", "0.0.0.0/0", true),
        ("ArnNotLike", "*", true),
        ("ArnLike", "*", false),
        ("Null", "true", true),
        ("Null", "false", false),
        ("StringEqualsIfExists", "a", true),
        ("NumericLessThanIfExists", "1", true),
        ("BoolIfExists", "true", true),
        ("IpAddressIfExists", "203.0.113.0/24", true),
        ("StringNotEqualsIfExists", "a", true),
        ("ForAllValues:StringEquals", "a", true),
        ("ForAllValues:StringNotEquals", "a", true),
        ("ForAnyValue:StringEquals", "a", false),
        ("ForAnyValue:StringNotEquals", "a", false),
        ("ForAnyValue:StringEqualsIfExists", "a", true),
    ] {
        // A key without values is no key.
        assert_eq!(
            holds(operator, &[policy], &[]),
            expected,
            "{operator} {policy}"
        );
        let unset = condition(operator, &[policy]).holds(&Context::new());
        assert_eq!(unset, expected, "{operator} {policy}");
    }
}

#[test]
fn a_key_that_exists_is_tested_even_if_it_need_not() {
    assert!(holds("StringEqualsIfExists", &["a"], &["a"]));
    assert!(!holds("StringEqualsIfExists", &["a"], &["b"]));
    assert!(!holds("ForAllValues:StringEqualsIfExists", &["a"], &["b"]));
}

#[test]
fn several_values() {
    for (operator, policy, request, expected) in [
        ("StringEquals", &["a", "b"][..], &["b"][..], true),
        ("StringEquals", &["a", "b"], &["c"], false),
        ("StringNotEquals", &["a", "b"], &["b"], false),
        ("StringNotEquals", &["a", "b"], &["c"], true),
        ("StringEquals", &["a"], &["a", "c"], true),
        ("StringNotEquals", &["a"], &["a", "c"], false),
        ("ForAnyValue:StringEquals", &["a", "b"], &["c", "a"], true),
        ("ForAnyValue:StringEquals", &["a", "b"], &["c", "d"], false),
        ("ForAnyValue:StringNotEquals", &["a"], &["a", "c"], true),
        (
            "ForAnyValue:StringNotEquals",
            &["a", "c"],
            &["a", "c"],
            false,
        ),
        ("ForAllValues:StringEquals", &["a", "b"], &["a", "b"], true),
        ("ForAllValues:StringEquals", &["a", "b"], &["a", "c"], false),
        (
            "ForAllValues:StringNotEquals",
            &["a", "b"],
            &["c", "d"],
            true,
        ),
        (
            "ForAllValues:StringNotEquals",
            &["a", "b"],
            &["c", "a"],
            false,
        ),
        (
            "ForAllValues:StringLike",
            &["x*", "y*"],
            &["x1", "y2"],
            true,
        ),
        ("ForAllValues:NumericLessThan", &["5"], &["3", "4"], true),
        ("ForAllValues:NumericLessThan", &["5"], &["3", "6"], false),
        ("StringEquals", &[], &["a"], false),
        ("Null", &["true", "false"], &["a"], true),
    ] {
        assert_eq!(
            holds(operator, policy, request),
            expected,
            "{operator} {policy:?} {request:?}"
        );
    }
}

#[test]
fn a_variable_without_value_fulfils_nothing() {
    for (operator, policy, expected) in [
        ("StringEquals", &["${aws:absent}"][..], false),
        ("StringNotEquals", &["${aws:absent}"], false),
        ("StringNotLike", &["${aws:absent}*"], false),
        ("ArnNotLike", &["arn:aws:iam::1:user/${aws:absent}"], false),
        ("StringEquals", &["${aws:absent}", "x"], true),
        ("StringEquals", &["${aws:absent, 'x'}"], true),
        ("StringNotEquals", &["${aws:absent, 'y'}"], true),
    ] {
        assert_eq!(
            holds(operator, policy, &["x"]),
            expected,
            "{operator} {policy:?}"
        );
    }
}

#[test]
fn names_that_are_no_operators() {
    for name in [
        "",
        "stringEquals",
        "StringEqual",
        "StringMatches",
        "Numeric",
        "NumericLike",
        "DateLike",
        "NullIfExists",
        "IfExists",
        "ForAnyValue:",
        "ForSomeValues:StringEquals",
        "StringEqualsIfExistsIfExists",
    ] {
        assert_eq!(Operator::parse(name), None, "{name}");
    }
}

#[test]
fn values_of_the_wrong_type() {
    for (operator, value) in [
        ("NumericEquals", "ten"),
        ("DateLessThan", "someday"),
        ("Bool", "yes"),
        ("Null", ""),
        ("BinaryEquals", "?"),
        ("IpAddress", "203.0.113.0/40"),
    ] {
        let operator = Operator::parse(operator).expect(operator);
        assert_eq!(
            operator.compile("k", &[value.to_owned()], true),
            None,
            "{value}"
        );
    }
}
