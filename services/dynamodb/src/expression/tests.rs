//! Expressions by example, and by properties against a naive oracle.

use std::collections::BTreeMap;

use gureum_model_dynamodb::types::AttributeValue as Wire;
use proptest::prelude::*;

use super::*;
use crate::errors::Refusal;
use crate::value::{Item, Value, item_from};

fn n(text: &str) -> Wire {
    Wire::N(text.into())
}

fn s(text: &str) -> Wire {
    Wire::S(text.into())
}

fn scope(names: &[(&str, &str)], values: &[(&str, Wire)]) -> Scope {
    let names: BTreeMap<_, _> = names
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect();
    let values: BTreeMap<_, _> = values
        .iter()
        .map(|(k, v)| ((*k).to_owned(), v.clone()))
        .collect();
    let names = (!names.is_empty()).then_some(names);
    let values = (!values.is_empty()).then_some(values);
    Scope::new(names, values, &[("ConditionExpression", true)]).expect("scope")
}

fn item(attributes: &[(&str, Wire)]) -> Item {
    let wire = attributes
        .iter()
        .map(|(k, v)| ((*k).to_owned(), v.clone()))
        .collect();
    item_from(wire).expect("item")
}

fn message(refusal: Refusal) -> String {
    match refusal {
        Refusal::Validation(message) => message,
        other => panic!("{other:?}"),
    }
}

fn book() -> Item {
    let author = Wire::M([("name".to_owned(), s("Ann"))].into());
    item(&[
        ("title", s("Withering Depths")),
        ("pages", n("320")),
        ("tags", Wire::SS(vec!["sea".into(), "dark".into()])),
        ("lst", Wire::L(vec![n("1"), n("2"), n("3")])),
        ("author", author),
    ])
}

#[test]
fn conditions_mean_what_they_say() {
    let values = [
        (":n", n("320")),
        (":low", n("300")),
        (":sea", s("sea")),
        (":w", s("With")),
        (":t", s("SS")),
    ];
    for (text, expected) in [
        ("pages = :n", true),
        ("pages between :low and :n AND contains(tags, :sea)", true),
        ("begins_with(title, :w) and attribute_type(tags, :t)", true),
        ("NOT pages > :low OR size(lst) > :low", false),
        ("absent <> :n", true),
        ("absent = :n", false),
        (
            "attribute_not_exists(author.nobody) and attribute_exists(author.#n)",
            true,
        ),
        ("pages IN (:low, :n)", true),
        (
            "size(title) < :low and (lst[1] < lst[2] or title = :w)",
            true,
        ),
        ("title > :n", false),
    ] {
        let mut scope = scope(&[("#n", "name")], &values);
        let condition = scope.condition("ConditionExpression", text).expect(text);
        assert_eq!(condition.holds(&book()), expected, "{text}");
    }
}

#[test]
fn messages_are_those_that_clients_know() {
    let values = [
        (":v", n("1")),
        (":s", s("x")),
        (":w", n("0")),
        (":b", Wire::BOOL(true)),
    ];
    for (text, expected) in [
        ("", "The expression can not be empty;"),
        (
            "name = :v",
            "Attribute name is a reserved keyword; reserved keyword: name",
        ),
        (
            "a = :missing",
            "An expression attribute value used in expression is not defined; attribute value: :missing",
        ),
        (
            "#q = :v",
            "An expression attribute name used in the document path is not defined; attribute name: #q",
        ),
        ("a = ", "Syntax error; token: \"<EOF>\", near: \"=\""),
        ("a == :v", "Syntax error; token: \"=\", near: \"== :v\""),
        ("nosuch(a)", "Invalid function name; function: nosuch"),
        (
            "size(a)",
            "The function is not allowed to be used this way in an expression; function: size",
        ),
        (
            "begins_with(a)",
            "Incorrect number of operands for operator or function; operator or function: begins_with, number of operands: 1",
        ),
        (
            "begins_with(a, :v)",
            "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
        ),
        (
            "attribute_exists(:v)",
            "Operator or function requires a document path; operator or function: attribute_exists",
        ),
        (
            "a < :b",
            "Incorrect operand type for operator or function; operator or function: <, operand type: BOOL",
        ),
        (
            "a = a",
            "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [a]",
        ),
        (
            "a between :v and :w",
            "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {N:1}, upper bound operand: AttributeValue: {N:0}",
        ),
        ("((a = :v))", "The expression has redundant parentheses;"),
    ] {
        let refused = scope(&[], &values)
            .condition("ConditionExpression", text)
            .expect_err(text);
        assert_eq!(
            message(refused),
            format!("Invalid ConditionExpression: {expected}")
        );
    }
    let unused = scope(&[], &values).finish().expect_err("unused");
    assert_eq!(
        message(unused),
        "Value provided in ExpressionAttributeValues unused in expressions: keys: {:b, :s, :v, :w}"
    );
}

#[test]
fn limits_are_where_they_should_be() {
    let many = |count: usize| vec!["a = :v"; count].join(" OR ");
    let parse = |text: &str| {
        scope(&[], &[(":v", n("1"))])
            .condition("FilterExpression", text)
            .err()
    };
    assert_eq!(parse(&many(150)), None, "299 operators");
    assert!(parse(&many(151)).is_some(), "301 operators");
    let padded = |len: usize| format!("a = :v{}", " ".repeat(len - 6));
    assert_eq!(parse(&padded(4096)), None);
    assert_eq!(
        parse(&padded(4097)).map(message).as_deref(),
        Some(
            "Invalid FilterExpression: Expression size has exceeded the maximum allowed size; expression size: 4097"
        )
    );
    // Deep nesting ends in an error, not in the end of the stack.
    assert!(parse(&"(".repeat(4000)).is_some());
    assert!(parse(&"NOT ".repeat(1000)).is_some());
}

fn updated(text: &str, values: &[(&str, Wire)], old: &Item) -> Result<Item> {
    let actions = scope(&[], values).update(text)?;
    apply(&actions, old)
}

#[test]
fn updates_read_the_item_as_it_was() {
    let old = item(&[
        ("a", n("1")),
        ("b", n("2")),
        ("l", Wire::L(vec![n("10"), n("11"), n("12")])),
        ("ss", Wire::SS(vec!["x".into(), "y".into()])),
    ]);
    let values = [
        (":one", n("1")),
        (":l", Wire::L(vec![n("13")])),
        (":x", Wire::SS(vec!["x".into(), "y".into()])),
    ];
    let new = updated(
        "SET a = b, b = a + :one, c = if_not_exists(c, :one), m = list_append(l, :l) REMOVE l[0], l[2] DELETE ss :x",
        &values,
        &old,
    )
    .expect("update");
    assert_eq!(
        new,
        item(&[
            ("a", n("2")),
            ("b", n("2")),
            ("c", n("1")),
            ("l", Wire::L(vec![n("11")])),
            ("m", Wire::L(vec![n("10"), n("11"), n("12"), n("13")])),
        ])
    );
    let grown = updated("SET l[7] = :one, l[1] = :one ADD z :one", &values, &old);
    let l = Wire::L(vec![n("10"), n("1"), n("12"), n("1")]);
    assert_eq!(grown.expect("update").get("l"), item(&[("l", l)]).get("l"));
}

#[test]
fn updates_that_cannot_be_are_refused() {
    let values = [(":v", n("1")), (":s", s("x"))];
    let old = item(&[("a", n("1")), ("t", s("x"))]);
    for (text, expected) in [
        (
            "SET a = :v SET b = :v",
            "Invalid UpdateExpression: The \"SET\" section can only be used once in an update expression;",
        ),
        (
            "SET a = :v, a.b = :v",
            "Invalid UpdateExpression: Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a, b]",
        ),
        (
            "SET a.b = :v, a[0] = :v",
            "Invalid UpdateExpression: Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [a, b], path two: [a, [0]]",
        ),
        (
            "ADD a :s",
            "Invalid UpdateExpression: Incorrect operand type for operator or function; operator: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND",
        ),
        (
            "SET a = b",
            "The provided expression refers to an attribute that does not exist in the item",
        ),
        (
            "SET b.c = :v",
            "The document path provided in the update expression is invalid for update",
        ),
        (
            "SET a = t + :v",
            "An operand in the update expression has an incorrect data type",
        ),
        (
            "SET a = size(t)",
            "Invalid UpdateExpression: The function is not allowed in an update expression; function: size",
        ),
    ] {
        assert_eq!(
            message(updated(text, &values, &old).expect_err(text)),
            expected
        );
    }
}

#[test]
fn projections_keep_shape_and_close_gaps() {
    let projection =
        scope(&[("#n", "name")], &[]).projection("lst[2], lst[0], author.#n, title.x, nothing");
    let seen = projection.expect("projection").apply(&book());
    let author = Wire::M([("name".to_owned(), s("Ann"))].into());
    assert_eq!(
        seen,
        item(&[("lst", Wire::L(vec![n("1"), n("3")])), ("author", author)])
    );
    assert!(scope(&[], &[]).projection("a, a.b").is_err());
}

/// A condition as text and as a function, built together.
#[derive(Clone, Debug)]
enum Tree {
    Compare(usize, &'static str, i64),
    Exists(usize),
    Between(usize, i64, i64),
    Not(Box<Tree>),
    And(Vec<Tree>),
    Or(Vec<Tree>),
}

const NAMES: [&str; 4] = ["aa", "bb", "cc", "dd"];

impl Tree {
    fn print(&self, values: &mut Vec<i64>) -> String {
        let mut value = |v: i64| {
            values.push(v);
            format!(":v{}", values.len() - 1)
        };
        match self {
            Self::Compare(a, by, v) => format!("{} {by} {}", NAMES[*a], value(*v)),
            Self::Exists(a) => format!("attribute_exists({})", NAMES[*a]),
            Self::Between(a, low, high) => {
                format!("{} BETWEEN {} AND {}", NAMES[*a], value(*low), value(*high))
            }
            Self::Not(inner) => match &**inner {
                leaf @ (Self::Compare(..) | Self::Exists(_) | Self::Between(..)) => {
                    format!("NOT {}", leaf.print(values))
                }
                inner => format!("NOT ({})", inner.print(values)),
            },
            Self::And(all) | Self::Or(all) => {
                let word = if matches!(self, Self::And(_)) {
                    " AND "
                } else {
                    " OR "
                };
                let parts: Vec<_> = all
                    .iter()
                    .map(|one| match one {
                        Self::And(_) | Self::Or(_) => format!("({})", one.print(values)),
                        one => one.print(values),
                    })
                    .collect();
                parts.join(word)
            }
        }
    }

    fn holds(&self, item: &[Option<i64>; 4]) -> bool {
        match self {
            Self::Compare(a, by, v) => match item[*a] {
                None => *by == "<>",
                Some(found) => match *by {
                    "=" => found == *v,
                    "<>" => found != *v,
                    "<" => found < *v,
                    "<=" => found <= *v,
                    ">" => found > *v,
                    _ => found >= *v,
                },
            },
            Self::Exists(a) => item[*a].is_some(),
            Self::Between(a, low, high) => item[*a].is_some_and(|v| (*low..=*high).contains(&v)),
            Self::Not(inner) => !inner.holds(item),
            Self::And(all) => all.iter().all(|one| one.holds(item)),
            Self::Or(all) => all.iter().any(|one| one.holds(item)),
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        (
            0usize..4,
            prop::sample::select(vec!["=", "<>", "<", "<=", ">", ">="]),
            -3i64..4
        )
            .prop_map(|(a, by, v)| Tree::Compare(a, by, v)),
        (0usize..4).prop_map(Tree::Exists),
        (0usize..4, -3i64..1, 1i64..4).prop_map(|(a, low, high)| Tree::Between(a, low, high)),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|tree| Tree::Not(Box::new(tree))),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Tree::And),
            prop::collection::vec(inner, 2..4).prop_map(Tree::Or),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn conditions_agree_with_the_oracle(tree in tree(), numbers in prop::array::uniform4(prop::option::of(-3i64..4))) {
        let mut values = Vec::new();
        let text = tree.print(&mut values);
        let named: Vec<(String, Wire)> = values.iter().enumerate().map(|(i, v)| (format!(":v{i}"), n(&v.to_string()))).collect();
        let named: Vec<(&str, Wire)> = named.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
        let held: Item = NAMES.iter().zip(numbers).filter_map(|(name, number)| {
            Some(((*name).to_owned(), Value::N(number?.to_string().parse().expect("number"))))
        }).collect();
        let mut scope = scope(&[], &named);
        let condition = scope.condition("FilterExpression", &text).expect(&text);
        scope.finish().expect("all used");
        prop_assert_eq!(condition.holds(&held), tree.holds(&numbers), "{}", text);
    }

    #[test]
    fn updates_agree_with_the_oracle(
        old in prop::array::uniform4(prop::option::of(-9i64..10)),
        actions in prop::array::uniform4(0usize..5),
        operands in prop::array::uniform4((0usize..4, -9i64..10)),
    ) {
        let mut sections = [Vec::new(), Vec::new(), Vec::new()];
        let mut named = Vec::new();
        let mut expected = old;
        let mut fails = false;
        for (at, name) in NAMES.iter().enumerate() {
            let (other, number) = operands[at];
            let key = format!(":v{at}");
            let (section, text) = match actions[at] {
                0 => continue,
                1 => {
                    expected[at] = old[other].map(|value| value + number);
                    fails |= old[other].is_none();
                    (0, format!("{name} = {} + {key}", NAMES[other]))
                }
                2 => {
                    expected[at] = Some(old[at].unwrap_or(number));
                    (0, format!("{name} = if_not_exists({name}, {key})"))
                }
                3 => {
                    expected[at] = None;
                    (1, (*name).to_owned())
                }
                _ => {
                    expected[at] = Some(old[at].unwrap_or(0) + number);
                    (2, format!("{name} {key}"))
                }
            };
            sections[section].push(text);
            if section != 1 {
                named.push((key, n(&number.to_string())));
            }
        }
        let text: Vec<_> = ["SET", "REMOVE", "ADD"].iter().zip(&sections)
            .filter(|(_, texts)| !texts.is_empty())
            .map(|(word, texts)| format!("{word} {}", texts.join(", ")))
            .collect();
        prop_assume!(!text.is_empty());
        let text = text.join(" ");
        let named: Vec<(&str, Wire)> = named.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
        let of = |numbers: [Option<i64>; 4]| -> Item {
            NAMES.iter().zip(numbers).filter_map(|(name, number)| {
                Some(((*name).to_owned(), Value::N(number?.to_string().parse().expect("number"))))
            }).collect()
        };
        match updated(&text, &named, &of(old)) {
            Ok(new) => prop_assert!(!fails && new == of(expected), "{}: {:?}", text, new),
            Err(refusal) => prop_assert!(fails, "{}: {:?}", text, refusal),
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[a-c#:()\\[\\].,=<> +0-9é]{0,40}|(SET |a|=|:v|\\(|\\)|,|NOT |AND ){0,20}") {
        let values = [(":v", n("1"))];
        let _ = scope(&[], &values).condition("FilterExpression", &text);
        let _ = scope(&[], &values).update(&text);
        let _ = scope(&[], &values).projection(&text);
    }
}
