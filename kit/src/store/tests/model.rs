//! Random histories: the durable engine against the one in memory.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Put(String, u64),
    Delete(String),
    /// Puts all, then fails.
    Abort(Vec<String>),
    Scan {
        text: String,
        after: Option<String>,
        limit: usize,
        reverse: bool,
    },
    /// Closes the durable store and opens it again.
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let key = || "[ab/\u{0}é]{0,4}";
    prop_oneof![
        8 => (key(), any::<u64>()).prop_map(|(key, value)| Step::Put(key, value)),
        3 => key().prop_map(Step::Delete),
        1 => prop::collection::vec(key(), 1..3).prop_map(Step::Abort),
        5 => ("[ab/\u{0}]{0,2}", prop::option::of(key()), 0..5usize, any::<bool>())
            .prop_map(|(text, after, limit, reverse)| Step::Scan { text, after, limit, reverse }),
        1 => Just(Step::Reopen),
    ]
}

async fn take(store: &Store, step: &Step) -> Vec<(String, u64)> {
    match step {
        Step::Put(key, value) => put(store, key, *value).await,
        Step::Delete(key) => {
            store
                .transact(|tx| tx.delete::<Item>(("b", key)))
                .await
                .expect("delete");
        }
        Step::Abort(keys) => {
            let aborted: Result<(), StoreError> = store
                .transact(|tx| {
                    keys.iter().try_for_each(|key| tx.put(&item("b", key, 0)))?;
                    Err(StoreError::Closed("on purpose".into()))
                })
                .await;
            aborted.expect_err("abort");
        }
        Step::Scan {
            text,
            after,
            limit,
            reverse,
        } => {
            let mut scan = Scan::<Item>::of(("b",)).text(text).limit(*limit);
            if let Some(after) = after {
                scan = scan.after(("b", after));
            }
            if *reverse {
                scan = scan.reverse();
            }
            return pairs(store, scan);
        }
        Step::Reopen => {}
    }
    pairs(store, Scan::all())
}

fn pairs(store: &Store, scan: Scan<Item>) -> Vec<(String, u64)> {
    let rows = store
        .read()
        .scan(scan)
        .collect::<Result<Vec<_>, _>>()
        .expect("scan");
    rows.into_iter().map(|row| (row.key, row.value)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_durable_engine_does_what_the_one_in_memory_does(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let dir = tempfile::tempdir()?;
        let oracle = Store::memory();
        let mut durable = Store::open(dir.path())?;
        for step in &steps {
            if matches!(step, Step::Reopen) {
                drop(durable);
                durable = Store::open(dir.path())?;
            }
            let expected = runtime.block_on(take(&oracle, step));
            prop_assert_eq!(runtime.block_on(take(&durable, step)), expected, "after {:?}", step);
        }
    }
}
