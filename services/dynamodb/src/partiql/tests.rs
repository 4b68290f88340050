//! Statements by example, and by properties: what PartiQL says is what expressions say.

use std::collections::BTreeMap;

use gureum_model_dynamodb::types::AttributeValue as Wire;
use proptest::prelude::*;

use super::*;
use crate::errors::Refusal;
use crate::expression::{Action, Condition, Scope};
use crate::value::{Item, Number, Value};

fn told(text: &str) -> String {
    match parse(text, None) {
        Err(Refusal::Validation(message)) => message,
        other => panic!("{text}: {other:?}"),
    }
}

fn filter(text: &str, parameters: Vec<Value>) -> Result<Condition> {
    let text = format!("SELECT * FROM \"t\" WHERE {text}");
    let statement = parser::Parser::new(&text, parameters)?.statement()?;
    match statement {
        Statement::Select(Select {
            filter: Some(filter),
            ..
        }) => Ok(filter),
        other => panic!("{other:?}"),
    }
}

fn actions(text: &str) -> Vec<Action> {
    match parse(&format!("UPDATE t {text} WHERE pk = 'a'"), None) {
        Ok(Statement::Update { actions, .. }) => actions,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn clauses_are_read() {
    let text = r#"select a.b[2], "c d" -- which
        from "my.table"."by_c" /* where */ where x = ? and y is not missing order by pk desc, sk;"#;
    let one = Wire::N("1".into());
    let Ok(Statement::Select(select)) = parse(text, Some(vec![one])) else {
        panic!("a SELECT");
    };
    assert_eq!(select.table, "my.table");
    assert_eq!(select.index.as_deref(), Some("by_c"));
    let columns: Vec<_> = select
        .columns
        .iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    assert_eq!(columns, ["[a, b, [2]]", "[c d]"]);
    assert_eq!(select.order.len(), 2);
    assert!(select.order[0].descending && !select.order[1].descending);
}

#[test]
fn updates_are_actions() {
    let text = "SET a = a + 1, b = list_append(b, [1]) SET c = set_add(c, <<'x'>>) \
                SET d = set_delete(d, <<1, 2>>) REMOVE e.f[0]";
    let mut scope = Scope::new(
        None,
        Some(BTreeMap::from([
            (":1".to_owned(), Wire::N("1".into())),
            (":l".to_owned(), Wire::L(vec![Wire::N("1".into())])),
            (":x".to_owned(), Wire::SS(vec!["x".into()])),
            (":n".to_owned(), Wire::NS(vec!["1".into(), "2".into()])),
        ])),
        &[("UpdateExpression", true)],
    )
    .expect("scope");
    let same = "SET a = a + :1, b = list_append(b, :l) REMOVE e.f[0] ADD c :x DELETE d :n";
    let mut expected = scope.update(same).expect("update");
    // The sections come in another order.
    expected.sort_by_key(|action| action.path().attribute.clone());
    let mut found = actions(text);
    found.sort_by_key(|action| action.path().attribute.clone());
    assert_eq!(found, expected);
}

#[test]
fn what_is_wrong_is_said_as_aws_says_it() {
    let malformed = "Statement wasn't well formed, can't be processed: ";
    for (text, message) in [
        (
            "SLECT * FROM t",
            &*format!("{malformed}Expected data manipulation"),
        ),
        (
            "SELECT * FROM t LIMIT 1",
            "Unsupported clause: LIMIT at 1:17:5",
        ),
        (
            "SELECT attribute_exists(a) FROM t",
            "Unexpected path component at 1:8:16",
        ),
        (
            "SELECT * FROM t WHERE a.inner = 1",
            &*format!("{malformed}Invalid path dot component"),
        ),
        (
            "SELECT * FROM t WHERE EXISTS(a)",
            "Unrecognized function: exists at 1:23:6",
        ),
        (
            "SELECT * FROM t WHERE a = ?",
            "Number of parameters in request and statement don't match.",
        ),
        (
            "SELECT * FROM t WHERE attribute_exists('a')",
            "Operator or function requires a document path; operator or function: attribute_exists",
        ),
        (
            "SELECT * FROM t WHERE attribute_exists()",
            "Incorrect number of operands for operator or function; operator or function: attribute_exists, number of operands: 0",
        ),
        (
            "UPDATE t SET b = set_add(a, <<'x'>>) WHERE pk = 1",
            "The first argument to SET_ADD must equal the assignment value at 1:18:7",
        ),
        (
            "UPDATE t SET a = set_add(a, 'x') WHERE pk = 1",
            "The second argument to SET_ADD must be a value with type SET at 1:26:1",
        ),
        (
            "UPDATE t SET a = set_delete(a) WHERE pk = 1",
            "SET_DELETE must have exactly two arguments at 1:18:10",
        ),
        (
            "UPDATE t SET a = <<>> WHERE pk = 1",
            "Empty bags are not supported",
        ),
        (
            "UPDATE t SET a = <<1, 'a'>> WHERE pk = 1",
            "DynamoDB only supports either numbers or strings in bags",
        ),
        (
            "UPDATE t SET a = <<'x', 'x'>> WHERE pk = 1",
            "One or more parameter values were invalid: Input collection [x, x] contains duplicates.",
        ),
        (
            "INSERT INTO t VALUE {'a': set_add(1, 2)}",
            "Unsupported data type: set_add under key root at 1:27:7",
        ),
        (
            "DELETE FROM t WHERE a = 1 RETURNING MODIFIED OLD *",
            "Invalid returning clause: RETURNING MODIFIED OLD *. Only RETURNING ALL OLD * is allowed in DELETE statements.",
        ),
    ] {
        assert_eq!(told(text), message, "{text}");
    }
}

#[test]
fn depth_and_length_are_bounded() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        parse(&format!("INSERT INTO t VALUE {{'a': {open}{close}}}"), None)
    };
    assert!(nested(32).is_ok());
    assert!(nested(33).is_err());
    for text in ["(", "NOT ", "[", "{'a':", "size(", "contains("] {
        let text = format!("SELECT * FROM t WHERE {}", text.repeat(1500));
        assert!(parse(&text[..text.len().min(8192)], None).is_err());
    }
    assert!(
        parse(
            &format!("SELECT * FROM t WHERE a = '{}'", "x".repeat(8192)),
            None
        )
        .is_err()
    );
}

/// A condition, and how to write it in either language.
#[derive(Clone, Debug)]
enum Tree {
    Leaf(String, usize, Value, Value),
    Not(Box<Tree>),
    All(Vec<Tree>),
    Any(Vec<Tree>),
}

struct Rendered<'t> {
    expression: bool,
    values: &'t mut Vec<Value>,
}

impl Rendered<'_> {
    fn value(&mut self, value: &Value) -> String {
        self.values.push(value.clone());
        let number = self.values.len();
        match self.expression {
            true => format!(":{number}"),
            // Literals and parameters in turn.
            false if number.is_multiple_of(2) => literal(value),
            false => "?".to_owned(),
        }
    }

    fn name(&self, name: &str) -> String {
        match self.expression {
            true => name.to_owned(),
            false => format!("\"{name}\""),
        }
    }

    fn tree(&mut self, tree: &Tree) -> String {
        let list = |this: &mut Self, all: &[Tree], with: &str| {
            let all: Vec<_> = all.iter().map(|one| this.inner(one)).collect();
            all.join(with)
        };
        match tree {
            Tree::Not(inner) => format!("NOT {}", self.inner(inner)),
            Tree::All(all) => list(self, all, " AND "),
            Tree::Any(all) => list(self, all, " OR "),
            Tree::Leaf(name, how, a, b) => self.leaf(name, *how, a, b),
        }
    }

    fn inner(&mut self, tree: &Tree) -> String {
        match tree {
            Tree::Leaf(..) | Tree::Not(_) => self.tree(tree),
            Tree::All(_) | Tree::Any(_) => format!("({})", self.tree(tree)),
        }
    }

    fn leaf(&mut self, name: &str, how: usize, a: &Value, b: &Value) -> String {
        let name = self.name(name);
        let sign = ["=", "<>", "<", "<=", ">", ">="];
        match how {
            0..6 => format!("{name} {} {}", sign[how], self.value(a)),
            6 => {
                let (low, high) = (self.value(a), self.value(b));
                format!("{name} BETWEEN {low} AND {high}")
            }
            7 => {
                let (one, two) = (self.value(a), self.value(b));
                match self.expression {
                    true => format!("{name} IN ({one}, {two})"),
                    false => format!("{name} IN [{one}, {two}]"),
                }
            }
            8 => format!("contains({name}, {})", self.value(a)),
            9 => format!("begins_with({name}, {})", self.value(a)),
            10 => format!("size({name}) > {}", self.value(a)),
            11 if self.expression => format!("attribute_not_exists({name})"),
            11 => format!("{name} IS MISSING"),
            12 if self.expression => format!("attribute_exists({name})"),
            12 => format!("{name} IS NOT MISSING"),
            _ => {
                let kind = self.value(&Value::S(a.kind().into()));
                format!("attribute_type({name}, {kind})")
            }
        }
    }
}

fn literal(value: &Value) -> String {
    let list = |all: Vec<String>| all.join(", ");
    match value {
        Value::S(text) => format!("'{}'", text.replace('\'', "''")),
        Value::N(number) => number.to_string(),
        Value::Null => "NULL".into(),
        Value::Bool(value) => value.to_string(),
        Value::L(all) => format!("[{}]", list(all.iter().map(literal).collect())),
        Value::M(map) => {
            let pair = |(name, value): (&String, &Value)| {
                format!("{}: {}", literal(&Value::S(name.clone())), literal(value))
            };
            format!("{{{}}}", list(map.iter().map(pair).collect()))
        }
        Value::Strings(set) => {
            let all = set.iter().map(|text| literal(&Value::S(text.clone())));
            format!("<<{}>>", list(all.collect()))
        }
        Value::Numbers(set) => format!("<<{}>>", list(set.iter().map(Number::to_string).collect())),
        Value::B(_) | Value::Binaries(_) => unreachable!("no literals for these"),
    }
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[a-c' ]{0,3}".prop_map(Value::S),
        (-3..4i32).prop_map(|n| Value::N(n.to_string().parse().expect("number"))),
        "-?[1-9][0-9]{0,30}(\\.[0-9]{1,5})?(E-?[0-9]{1,2})?"
            .prop_filter_map("a number", |text| text.parse().ok().map(Value::N)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => scalar(),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => prop::collection::btree_set("[a-c']{0,2}", 1..4).prop_map(Value::Strings),
        1 => prop::collection::btree_set(-9..9i32, 1..4).prop_map(|set| {
            let number = |n: i32| n.to_string().parse().expect("number");
            Value::Numbers(set.into_iter().map(number).collect())
        }),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::L),
            prop::collection::btree_map("[a-d\"' ]{0,3}", inner, 0..4).prop_map(Value::M),
        ]
    })
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = ("[a-c]x", 0..14usize, scalar(), scalar())
        .prop_map(|(name, how, a, b)| Tree::Leaf(name, how, a, b));
    leaf.prop_recursive(4, 24, 4, |inner| {
        let many = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.clone().prop_map(|one| Tree::Not(Box::new(one))),
            many().prop_map(Tree::All),
            many().prop_map(Tree::Any),
        ]
    })
}

fn both(tree: &Tree) -> (Result<Condition>, Result<Condition>) {
    let mut values = Vec::new();
    let mut render = Rendered {
        expression: true,
        values: &mut values,
    };
    let text = render.tree(tree);
    let wire = values.iter().enumerate().map(|(at, value)| {
        let wire = crate::value::item_to(Item::from([("v".to_owned(), value.clone())]));
        (format!(":{}", at + 1), wire["v"].clone())
    });
    let wire: BTreeMap<_, _> = wire.collect();
    let wire = (!wire.is_empty()).then_some(wire);
    let scope = Scope::new(None, wire, &[("FilterExpression", true)]);
    let expression = scope.and_then(|mut scope| scope.condition("FilterExpression", &text));
    let mut values = Vec::new();
    let mut render = Rendered {
        expression: false,
        values: &mut values,
    };
    let text = render.tree(tree);
    // Those that became literals are no parameters.
    let parameters = values.into_iter().step_by(2).collect();
    (expression, filter(&text, parameters))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn conditions_are_those_of_expressions(tree in tree()) {
        match both(&tree) {
            (Ok(expression), Ok(partiql)) => prop_assert_eq!(expression, partiql),
            (Err(Refusal::Validation(expression)), Err(Refusal::Validation(partiql))) => {
                let message = expression.strip_prefix("Invalid FilterExpression: ");
                prop_assert_eq!(message, Some(partiql.as_str()));
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn literals_are_values(value in value()) {
        let text = format!("INSERT INTO t VALUE {{'v': {}}}", literal(&value));
        prop_assume!(text.len() <= 8192);
        let Ok(Statement::Insert { item, .. }) = parse(&text, None) else {
            panic!("{text}: {:?}", parse(&text, None));
        };
        prop_assert_eq!(item, Item::from([("v".to_owned(), value)]));
    }

    #[test]
    fn noise_does_no_harm(text in "\\PC{0,80}") {
        let _ = parse(&text, None);
    }

    #[test]
    fn nor_do_words_in_disorder(words in prop::collection::vec(word(), 0..30), glue in any::<bool>()) {
        let text = words.join(if glue { "" } else { " " });
        let _ = parse(&text, Some(vec![Wire::S("a".into()), Wire::NULL(true)]));
    }
}

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "SELECT",
        "INSERT",
        "INTO",
        "UPDATE",
        "DELETE",
        "FROM",
        "WHERE",
        "SET",
        "REMOVE",
        "VALUE",
        "EXISTS",
        "RETURNING",
        "ALL",
        "OLD",
        "*",
        "ORDER",
        "BY",
        "DESC",
        "AND",
        "OR",
        "NOT",
        "IN",
        "IS",
        "MISSING",
        "NULL",
        "BETWEEN",
        "size",
        "contains",
        "begins_with",
        "set_add",
        "list_append",
        "t",
        "\"é\"",
        "'ü'",
        "?",
        "1",
        "1e5",
        "1.",
        "-",
        "+",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "<<",
        ">>",
        ",",
        ".",
        ":",
        "=",
        "<",
        ">",
        "<>",
        ";",
        "--",
        "/*",
        "*/",
        "'",
        "\"",
        "\n",
        "真",
    ])
}
