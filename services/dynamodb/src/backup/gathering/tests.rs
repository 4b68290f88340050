//! What is gathered against a naive oracle, while writers go on.

use std::collections::BTreeSet;
use std::sync::Arc;

use gureum_kit::{Clock, Driver, Row, Store, Tx};
use proptest::prelude::*;

use super::*;
use crate::backup::model::{History, Purpose, Recovery, Step};
use crate::backup::undo;
use crate::errors::Refusal;
use crate::items;
use crate::model::Table;
use crate::page::tests::table;
use crate::state::DynamoDb;
use crate::value::{Item, Value};

const LOG: u64 = 1;
const TARGET: u64 = 9;

/// A commit: when its request came in, which item it wrote, and what it put there.
type Commit = (i64, u8, Option<u16>);

type State = BTreeMap<u8, u16>;

fn item(key: u8, value: Option<u16>) -> Item {
    let text = |name: &str, text: String| (name.to_owned(), Value::S(text));
    let key = [text("p", key.to_string()), text("s", "s".into())];
    let value = value.map(|value| text("v", value.to_string()));
    key.into_iter().chain(value).collect()
}

fn logged() -> Table {
    Table {
        history: History {
            log: Some(LOG),
            recovery: Some(Recovery { since: 0, days: 35 }),
            ..History::default()
        },
        ..table("S")
    }
}

async fn write(db: &DynamoDb, table: &Table, (at, key, value): Commit) {
    let new = value.map(|value| item(key, Some(value)));
    let place = items::key_in(table, &item(key, None)).expect("a key");
    let write = |tx: &mut Tx| {
        let old = items::read(tx, table, &place)?;
        items::write(tx, table, &place, old.as_ref(), new.as_ref(), at, false)?;
        Ok::<_, Refusal>(())
    };
    db.store.transact(write).await.expect("a write");
}

/// How many commits belong to the past of this moment: those before the first that is later.
fn past(commits: &[Commit], moment: i64) -> usize {
    let later = commits.iter().position(|(at, ..)| *at > moment);
    later.unwrap_or(commits.len())
}

fn state(commits: &[Commit]) -> State {
    let mut state = State::new();
    for (_, key, value) in commits {
        match value {
            Some(value) => state.insert(*key, *value),
            None => state.remove(key),
        };
    }
    state
}

fn value_in(table: &Table, row: &Changed, image: Option<&Held>) -> Option<u16> {
    let base = crate::model::base(&row.partition, &row.sort);
    let key = table.data_key().expect("a key");
    let item = image?.open(key, &base).expect("an item");
    match item.get("v") {
        Some(Value::S(text)) => text.parse().ok(),
        _ => None,
    }
}

/// Gathers a window as an export that is asked for `now` does, with one of `others` between any two
/// steps.
async fn gathered(
    db: &Arc<DynamoDb>,
    table: &Table,
    (from, to, now): (i64, i64, i64),
    others: &[Commit],
) -> BTreeMap<u8, (Option<u16>, Option<u16>)> {
    let begin = Copy {
        target: TARGET,
        source: table.id,
        as_of: Some((LOG, from - 1)),
        step: Step::Gather(Gather::Begin { until: to - 1 }),
        purpose: Purpose::Export((table.region.clone(), table.account, "t".into(), "x".into())),
    };
    let ask = |tx: &mut Tx| {
        undo::mark(tx, LOG, now)?;
        Ok::<_, Refusal>(tx.put(&begin)?)
    };
    db.store.transact(ask).await.expect("a copy");
    let mut others = others.iter();
    while let Some(copy) = db.store.read().get::<Copy>(TARGET).expect("a copy") {
        db.copy_step(copy).await.expect("a step");
        if let Some(other) = others.next() {
            write(db, table, *other).await;
        }
    }
    let view = db.store.read();
    let rows = view.scan(Changed::rest(TARGET, None));
    rows.map(|row| {
        let row = row.expect("a row");
        let key = String::from_utf8_lossy(&row.partition).parse();
        let before = value_in(table, &row, row.before.as_ref());
        let after = value_in(table, &row, row.after.as_ref());
        (key.expect("a number"), (before, after))
    })
    .collect()
}

async fn open(table: &Table) -> Arc<DynamoDb> {
    let clock = Clock::manual(0);
    let driver = Driver::new(clock.clone());
    let db = DynamoDb::open(Store::memory(), clock, &[7; 32], &driver).await;
    let db = db.expect("open");
    db.alter(&table.key(), |_, place| {
        *place = Some(table.clone());
        Ok(())
    })
    .await
    .expect("a table");
    db
}

fn commits(at: i64, most: usize) -> impl Strategy<Value = Vec<Commit>> {
    let one = (0i64..9, 0u8..40, prop::option::weighted(0.7, any::<u16>()));
    prop::collection::vec(one, 0..most).prop_map(move |steps| {
        // Requests overtake each other a little.
        let commit = |(i, (late, key, value)): (usize, (i64, u8, Option<u16>))| {
            (at + 3 * i as i64 + late, key, value)
        };
        let mut there = BTreeSet::new();
        let all = steps.into_iter().enumerate().map(commit);
        // What is not there is not deleted either.
        all.filter(|(_, key, value)| match value {
            Some(_) => {
                there.insert(*key);
                true
            }
            None => there.remove(key),
        })
        .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn a_window_has_what_changed_in_it(
        earlier in commits(100, 1500),
        others in commits(10_000, 12),
        window in (100i64..5_000, 0i64..5_000),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let (from, to) = (window.0, window.0 + window.1);
        let found = runtime.expect("a runtime").block_on(async {
            let table = logged();
            let db = open(&table).await;
            for commit in &earlier {
                write(&db, &table, *commit).await;
            }
            gathered(&db, &table, (from, to, 10_000), &others).await
        });
        let (first, end) = (past(&earlier, from - 1), past(&earlier, to - 1));
        let (before, after) = (state(&earlier[..first]), state(&earlier[..end]));
        let touched: BTreeSet<u8> = earlier[first..end].iter().map(|(_, key, _)| *key).collect();
        let expected = touched.iter().map(|key| {
            (*key, (before.get(key).copied(), after.get(key).copied()))
        });
        prop_assert_eq!(found, expected.collect::<BTreeMap<_, _>>());
    }
}

#[tokio::test]
async fn what_commits_late_belongs_to_the_next_window() {
    let table = logged();
    let db = open(&table).await;
    write(&db, &table, (100, 1, Some(1))).await;
    // The first export is asked for at 200; a request of 150 commits behind it.
    let late = [(150, 2, Some(2))];
    let first = gathered(&db, &table, (50, 200, 200), &late).await;
    assert_eq!(first, BTreeMap::from([(1, (None, Some(1)))]));
    let sweep = |tx: &mut Tx| tx.put(&crate::model::Grave { space: TARGET });
    db.store.transact(sweep).await.expect("a grave");
    db.sweep().await.expect("a sweep");
    let second = gathered(&db, &table, (200, 300, 300), &[]).await;
    assert_eq!(second, BTreeMap::from([(2, (None, Some(2)))]));
}
