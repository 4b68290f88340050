//! Key conditions against a naive oracle: what a query reads is what a filter over everything
//! would keep, in order, and pages put together are the whole.

use std::sync::OnceLock;

use gureum_kit::Store;
use proptest::prelude::*;

use super::*;
use crate::expression::Scope;
use crate::items;
use crate::model::{Billing, KeySchema, Throughput};
use crate::sealing::{Sealing, Vault};
use crate::value::Number;

/// One data key for all tables of tests, as a service with the secret `[7; 32]` makes it.
fn sealing() -> Sealing {
    static MADE: OnceLock<Sealing> = OnceLock::new();
    let make = || Vault::new(&[7; 32]).make().expect("a data key");
    MADE.get_or_init(make).clone()
}

pub(crate) fn table(kind: &str) -> Table {
    Table {
        region: "us-east-1".parse().expect("region"),
        account: "111122223333".parse().expect("account"),
        name: "t".into(),
        id: 7,
        uuid: String::new(),
        created: 0,
        attributes: vec![("p".into(), "S".into()), ("s".into(), kind.into())],
        keys: KeySchema {
            partition: "p".into(),
            sort: Some("s".into()),
        },
        locals: Vec::new(),
        globals: vec![Index {
            name: "turned".into(),
            id: 8,
            keys: KeySchema {
                partition: "g".into(),
                sort: Some("s".into()),
            },
            projection: Projected::All,
            throughput: Throughput::default(),
            backfilling: false,
        }],
        billing: Billing {
            on_demand: true,
            on_demand_since: None,
            throughput: Throughput::default(),
            increased: None,
            decreased: None,
        },
        stream: None,
        ttl: None,
        protected: false,
        class: None,
        tags: Default::default(),
        policy: None,
        history: Default::default(),
        replicas: Vec::new(),
        sealing: Some(sealing()),
        legacy: None,
    }
}

async fn filled(table: &Table, sorts: &[Value]) -> Store {
    let store = Store::memory();
    let mut table = table.clone();
    table.attributes.push(("g".into(), "S".into()));
    let fill = store.transact(|tx| {
        for sort in sorts {
            for partition in ["a", "b"] {
                let item = Item::from([
                    ("p".to_owned(), Value::S(partition.into())),
                    ("s".to_owned(), sort.clone()),
                    ("g".to_owned(), Value::S("g".into())),
                ]);
                let at = items::key_in(&table, &item)?;
                let old = items::read(tx, &table, &at)?;
                items::write(tx, &table, &at, old.as_ref(), Some(&item), 0, false)?;
            }
        }
        Ok::<_, Refusal>(())
    });
    fill.await.expect("fill");
    store
}

fn read_all(
    source: Source<'_>,
    store: &Store,
    condition: &KeyCondition,
    limit: usize,
    back: bool,
) -> Vec<Item> {
    let mut out = Vec::new();
    let mut start = None;
    loop {
        let mut entries = source.span(condition);
        if back {
            entries = entries.reverse();
        }
        if let Some(start) = start.take() {
            entries =
                entries.after(items::start_key(source.table, source.index, &start).expect("start"));
        }
        let plan = Plan {
            source,
            entries,
            limit: Some(limit),
            filter: None,
            projection: None,
            count_only: false,
            fetch: false,
        };
        let page = plan.read(&store.read()).expect("page");
        out.extend(page.items);
        match page.last {
            Some(last) => start = Some(last),
            None => return out,
        }
    }
}

fn sort_value(kind: &'static str) -> BoxedStrategy<Value> {
    match kind {
        "S" => "[a\u{0}b\u{10ffff}]{1,3}".prop_map(Value::S).boxed(),
        "B" => prop::collection::vec(prop::sample::select(vec![0u8, 1, 0xfe, 0xff]), 1..3)
            .prop_map(|bytes| Value::B(bytes.into()))
            .boxed(),
        _ => (-1200i64..1200, -3i32..3)
            .prop_map(|(n, e)| Value::N(format!("{n}e{e}").parse::<Number>().expect("number")))
            .boxed(),
    }
}

fn case() -> impl Strategy<Value = (&'static str, Vec<Value>, Value, Value, usize, usize, bool)> {
    prop::sample::select(vec!["S", "N", "B"]).prop_flat_map(|kind| {
        (
            Just(kind),
            prop::collection::vec(sort_value(kind), 0..12),
            sort_value(kind),
            sort_value(kind),
            0usize..8,
            1usize..5,
            any::<bool>(),
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn queries_agree_with_the_oracle((kind, sorts, x, y, form, limit, back) in case()) {
        let text = ["p = :p", "p = :p AND s = :x", "p = :p AND s < :x", "p = :p AND s <= :x",
            "p = :p AND s > :x", "p = :p AND :x <= s", "p = :p AND s BETWEEN :x AND :y", "p = :p AND begins_with(s, :x)"][form];
        let ordered = crate::expression::condition::compare(&x, &y) != Some(std::cmp::Ordering::Greater);
        prop_assume!(form != 6 || ordered);
        prop_assume!(form != 7 || kind != "N");
        let mut table = table(kind);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        let store = runtime.block_on(filled(&table, &sorts));
        table.attributes.push(("g".into(), "S".into()));
        for (index, partition) in [(None, "a"), (Some("turned"), "g")] {
            let text = if index.is_some() { text.replace("p =", "g =") } else { text.to_owned() };
            let mut values = vec![(":p", Value::S(partition.into()))];
            if text.contains(":x") { values.push((":x", x.clone())); }
            if text.contains(":y") { values.push((":y", y.clone())); }
            let wire = values.into_iter().map(|(name, value)| {
                let item = crate::value::item_to(Item::from([(name.to_owned(), value)]));
                item.into_iter().next().expect("one")
            });
            let mut scope = Scope::new(None, Some(wire.collect()), &[("KeyConditionExpression", true)]).expect("scope");
            let condition = scope.condition("KeyConditionExpression", &text).expect("condition");
            let source = Source::new(&table, index).expect("source");
            let key = KeyCondition::of(condition.clone(), source.keys()).expect("key condition");
            let found = read_all(source, &store, &key, limit, back);

            let mut expected: Vec<(Value, &str)> = Vec::new();
            for sort in &sorts {
                for p in ["a", "b"] {
                    let item = Item::from([
                        ("p".to_owned(), Value::S(p.into())), ("s".to_owned(), sort.clone()), ("g".to_owned(), Value::S("g".into())),
                    ]);
                    if condition.holds(&item) && !expected.contains(&(sort.clone(), p)) {
                        expected.push((sort.clone(), p));
                    }
                }
            }
            expected.sort_by(|(a, p), (b, q)| crate::expression::condition::compare(a, b).expect("same type").then(p.cmp(q)));
            if back { expected.reverse(); }
            let seen: Vec<(Value, &str)> = found.iter().map(|item| {
                let p = match &item["p"] { Value::S(p) if p == "a" => "a", _ => "b" };
                (item["s"].clone(), p)
            }).collect();
            prop_assert_eq!(seen, expected, "{} {}", text, index.unwrap_or("table"));
        }
    }
}

#[test]
fn segments_meet_without_gap_or_overlap() {
    for of in [1, 2, 3, 7, 1_000_000] {
        assert_eq!(segment_start(0, of), 0);
        for number in 1..of.min(50) {
            let start = segment_start(number, of);
            assert!(start > segment_start(number - 1, of));
            let at = |place| (7, place, Vec::new(), Vec::new(), Vec::new());
            assert!(
                in_segment(&at(start), (number, of)) && !in_segment(&at(start - 1), (number, of))
            );
        }
    }
}
