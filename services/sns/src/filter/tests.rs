//! The compiled policy against a naive reading of its text, and the documented examples.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{Filter, Scope, fact};

fn admits(policy: &Value, facts: Value) -> bool {
    let filter = Filter::parse(&policy.to_string(), Scope::Body).expect("policy");
    filter.admits(facts.as_object().expect("object"))
}

/// The rules as the documentation words them, read from the policy's own JSON each time.
mod naive {
    use super::*;

    pub(super) fn policy(policy: &Map<String, Value>, facts: &Map<String, Value>) -> bool {
        policy.iter().all(|(key, wanted)| match wanted {
            Value::Array(list) if key == "$or" => list
                .iter()
                .any(|one| one.as_object().is_some_and(|one| self::policy(one, facts))),
            Value::Array(list) => list.iter().any(|rule| field(rule, facts.get(key))),
            Value::Object(nested) => match facts.get(key) {
                Some(Value::Object(inner)) => self::policy(nested, inner),
                Some(Value::Array(list)) => list
                    .iter()
                    .any(|one| one.as_object().is_some_and(|one| self::policy(nested, one))),
                Some(_) => false,
                None => self::policy(nested, &Map::new()),
            },
            _ => false,
        })
    }

    fn field(rule: &Value, value: Option<&Value>) -> bool {
        match value {
            None | Some(Value::Object(_)) => *rule == json!({"exists": false}),
            Some(Value::Array(list)) => list.iter().any(|one| leaf(rule, one)),
            Some(value) => leaf(rule, value),
        }
    }

    fn leaf(rule: &Value, value: &Value) -> bool {
        if value.is_object() {
            return false;
        }
        let Some((name, wanted)) = rule.as_object().and_then(|rule| rule.iter().next()) else {
            return same(rule, value);
        };
        let text = value.as_str();
        let string = wanted.as_str().unwrap_or_default();
        match name.as_str() {
            "exists" => *wanted == json!(true),
            "prefix" => text.is_some_and(|text| text.starts_with(string)),
            "suffix" => text.is_some_and(|text| text.ends_with(string)),
            "equals-ignore-case" => text.is_some_and(|t| t.to_lowercase() == string.to_lowercase()),
            "wildcard" => text.is_some_and(|text| {
                let pattern = regex(string);
                pattern(text)
            }),
            "numeric" => value.as_f64().is_some_and(|number| {
                let list = wanted.as_array().expect("list");
                list.chunks(2).all(|pair| {
                    let edge = pair[1].as_f64().expect("number");
                    match pair[0].as_str().expect("operator") {
                        "=" => number == edge,
                        "<" => number < edge,
                        "<=" => number <= edge,
                        ">" => number > edge,
                        _ => number >= edge,
                    }
                })
            }),
            "anything-but" => match wanted {
                Value::Array(list) => !list.iter().any(|one| same(one, value)),
                Value::Object(_) => !leaf(wanted, value),
                one => !same(one, value),
            },
            _ => unreachable!("{name}"),
        }
    }

    fn same(one: &Value, two: &Value) -> bool {
        one == two || (one.is_number() && one.as_f64() == two.as_f64())
    }

    /// Tries every way of spreading the text over the stars.
    fn regex(pattern: &str) -> impl Fn(&str) -> bool {
        let pattern: Vec<char> = pattern.chars().collect();
        move |text| {
            fn spread(pattern: &[char], text: &[char]) -> bool {
                match (pattern.split_first(), text.split_first()) {
                    (None, _) => text.is_empty(),
                    (Some(('*', rest)), _) => {
                        (0..=text.len()).any(|skip| spread(rest, &text[skip..]))
                    }
                    (Some((p, rest)), Some((t, others))) => p == t && spread(rest, others),
                    (Some(_), None) => false,
                }
            }
            spread(&pattern, &text.chars().collect::<Vec<_>>())
        }
    }
}

/// Words that are often equal, or the beginnings and ends of others.
fn word() -> impl Strategy<Value = String> {
    "[abA]{0,3}"
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-3_i64..4).prop_map(Value::from),
        Just(json!(1.5)),
        Just(json!(2.0))
    ]
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => word().prop_map(Value::from),
        3 => number(),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

fn plain() -> impl Strategy<Value = Value> {
    prop_oneof![word().prop_map(Value::from), number()]
}

fn text_rule() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[abA]{1,2}".prop_map(|text| json!({ "prefix": text })),
        "[abA]{1,2}".prop_map(|text| json!({ "suffix": text })),
        word().prop_map(|text| json!({ "equals-ignore-case": text })),
        "[ab]{0,1}(\\*[ab]{1,2}){0,2}\\*?"
            .prop_filter("not empty", |text| !text.is_empty())
            .prop_map(|text| json!({ "wildcard": text })),
    ]
}

fn rule() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => leaf(),
        3 => text_rule(),
        1 => any::<bool>().prop_map(|wanted| json!({ "exists": wanted })),
        1 => prop_oneof![Just("="), Just("<"), Just("<="), Just(">"), Just(">=")]
            .prop_flat_map(|operator| number().prop_map(move |n| json!({"numeric": [operator, n]}))),
        1 => (-3_i64..0, 0_i64..4).prop_map(|(low, high)| json!({"numeric": [">", low, "<=", high]})),
        1 => plain().prop_map(|one| json!({ "anything-but": one })),
        1 => prop::collection::vec(plain(), 1..3).prop_map(|list| json!({ "anything-but": list })),
        1 => text_rule().prop_map(|rule| json!({ "anything-but": rule })),
    ]
}

fn key() -> impl Strategy<Value = String> {
    "[xyz]"
}

fn rules() -> impl Strategy<Value = Value> {
    prop::collection::vec(rule(), 1..3).prop_map(Value::from)
}

fn flat() -> impl Strategy<Value = Value> {
    prop::collection::btree_map(key(), rules(), 1..3)
        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
}

fn policy() -> impl Strategy<Value = Value> {
    let nested = prop::option::of(("[xyz]", flat()));
    let either = prop::option::of(prop::collection::vec(flat(), 2..3));
    (
        prop::collection::btree_map(key(), rules(), 0..2),
        nested,
        either,
    )
        .prop_map(|(fields, nested, either)| {
            let mut policy: Map<String, Value> = fields.into_iter().collect();
            policy.extend(nested);
            policy.extend(either.map(|either| ("$or".to_owned(), either.into())));
            policy.into()
        })
}

fn facts() -> impl Strategy<Value = Value> {
    let flat = || {
        let value = prop_oneof![
            3 => leaf(),
            1 => prop::collection::vec(leaf(), 0..3).prop_map(Value::from),
        ];
        prop::collection::btree_map(key(), value, 0..4)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    };
    let inner = prop_oneof![
        flat(),
        prop::collection::vec(flat(), 0..3).prop_map(Value::from),
    ];
    (flat(), prop::option::of((key(), inner))).prop_map(|(mut facts, inner)| {
        if let (Some(object), Some((key, inner))) = (facts.as_object_mut(), inner) {
            object.insert(key, inner);
        }
        facts
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn compiled_and_naive_agree(policy in policy(), facts in facts()) {
        let object = |value: &Value| value.as_object().cloned().expect("object");
        if let Ok(filter) = Filter::parse(&policy.to_string(), Scope::Body) {
            let (policy, facts) = (object(&policy), object(&facts));
            prop_assert_eq!(filter.admits(&facts), naive::policy(&policy, &facts));
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in "[\\[\\]{}\":,a-z0-9.*\\\\$ -]{0,60}") {
        let _ = Filter::parse(&text, Scope::Attributes);
    }
}

#[test]
fn attributes_are_seen_by_their_type() {
    assert_eq!(fact("String", "5"), Some(json!("5")));
    assert_eq!(fact("Number", "5"), Some(json!(5.0)));
    assert_eq!(
        fact("String.Array", r#"["a",1,true]"#),
        Some(json!(["a", 1, true]))
    );
    assert_eq!(fact("String.Array", "a"), None);
}

#[test]
fn addresses_are_matched_by_block() {
    let policy = json!({"ip": [{"cidr": "10.1.2.0/23"}, {"cidr": "fd00::/8"}]});
    for (ip, wanted) in [
        ("10.1.3.255", true),
        ("10.1.4.0", false),
        ("fdab::1", true),
        ("fe80::1", false),
        ("10.1.2", false),
    ] {
        assert_eq!(admits(&policy, json!({ "ip": ip })), wanted, "{ip}");
    }
    assert!(admits(
        &json!({"ip": [{"cidr": "0.0.0.0/0"}]}),
        json!({"ip": "1.2.3.4"})
    ));
}

#[test]
fn an_array_passes_anything_but_with_one_other_element() {
    let policy = json!({"sport": [{"anything-but": ["rugby", "tennis"]}]});
    assert!(admits(&policy, json!({"sport": ["rugby", "baseball"]})));
    assert!(!admits(&policy, json!({"sport": ["rugby"]})));
    assert!(!admits(&policy, json!({})));
}

#[test]
fn what_is_wrong_is_told() {
    let wrong = |policy: &str, scope| Filter::parse(policy, scope).expect_err(policy);
    let attributes = |policy: &str| wrong(policy, Scope::Attributes);
    assert_eq!(attributes("{"), "failed to parse JSON.");
    assert_eq!(attributes("[]"), "failed to parse JSON.");
    assert_eq!(
        attributes(r#"{"a": "b"}"#),
        "\"a\" must be an object or an array"
    );
    assert_eq!(
        attributes(r#"{"a": {"b": ["c"]}}"#),
        "Filter policy scope MessageAttributes does not support nested filter policy"
    );
    assert_eq!(
        attributes(r#"{"a": [{"like": 1}]}"#),
        "Unrecognized match type like"
    );
    assert_eq!(
        attributes(r#"{"a": [["b"]]}"#),
        "Match value must be String, number, true, false, or null"
    );
    assert_eq!(
        attributes(r#"{"a": [{"exists": 1}]}"#),
        "exists match pattern must be either true or false."
    );
    assert_eq!(
        attributes(r#"{"a": [{"numeric": [">", 5, "<", 4]}]}"#),
        "Bottom must be less than top"
    );
    assert_eq!(
        attributes(r#"{"a":["1"],"b":["1"],"c":["1"],"d":["1"],"e":["1"],"f":["1"]}"#),
        "Filter policy can not have more than 5 keys"
    );
    let list: Vec<_> = (0..151).map(|n| n.to_string()).collect();
    assert_eq!(
        attributes(&json!({ "a": list }).to_string()),
        "Filter policy is too complex"
    );
    // Depth counts: 3 x 4 values on the third level, 2 x 3 on the second, 3 on the first.
    let deep = json!({
        "a": {"b": {"c": ["1", "2", "3", "4"]}},
        "d": {"e": ["1", "2", "3"]},
        "f": ["1", "2", "3"],
    });
    assert_eq!(
        wrong(&deep.to_string(), Scope::Body),
        "Filter policy is too complex"
    );
}

#[test]
fn or_with_rules_inside_is_a_plain_key() {
    let policy = json!({"$or": [{"prefix": "a"}, {"prefix": "b"}]});
    assert!(admits(&policy, json!({"$or": "abc"})));
    assert!(!admits(&policy, json!({"a": "abc"})));
}
