//! Rows kept in memory show what the view beside them shows.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

const ROUNDS: u64 = 2_000;

fn read(from: &impl Reader, key: &str) -> u64 {
    let found = from.get::<Item>(("b", key)).expect("read");
    found.map_or(0, |item| item.value)
}

/// Two rows are always written together, one of them is read from memory, and the other, which a
/// scan finds, is not.
async fn never_torn(store: Store) {
    let acknowledged = Arc::<AtomicU64>::default();
    let writer = tokio::spawn({
        let (store, acknowledged) = (store.clone(), acknowledged.clone());
        async move {
            for round in 1..=ROUNDS {
                let both = |tx: &mut Tx| -> Result<(), StoreError> {
                    tx.put(&item("b", "hot", round))?;
                    tx.put(&item("b", "scanned", round))
                };
                store.transact(both).await.expect("write");
                acknowledged.store(round, Ordering::SeqCst);
            }
        }
    });
    let mut seen = 0;
    let mut old = store.read();
    let mut old_value = read(&old, "hot");
    while !writer.is_finished() {
        let least = acknowledged.load(Ordering::SeqCst);
        let view = store.read();
        let hot = read(&view, "hot");
        let row = view.scan(Scan::<Item>::of(("b",)).text("scanned")).next();
        let scanned = row.map_or(0, |row| row.expect("row").value);
        assert_eq!(hot, scanned, "one moment");
        assert!(hot >= least.max(seen), "what was acknowledged is seen");
        seen = hot;
        assert_eq!(read(&old, "hot"), old_value, "a view does not change");
        if hot.is_multiple_of(64) {
            old_value = hot;
            old = view;
        }
        tokio::task::yield_now().await;
    }
    writer.await.expect("writer");
    assert_eq!(read(&store.read(), "hot"), ROUNDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rows_in_memory_are_never_torn_in_memory() {
    never_torn(Store::memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rows_in_memory_are_never_torn_on_disk() {
    let dir = tempfile::tempdir().expect("directory");
    never_torn(Store::open(dir.path()).expect("store")).await;
}

#[tokio::test]
async fn absent_rows_appear_and_disappear() {
    let store = Store::memory();
    for round in 0..4 {
        for _ in 0..4 {
            assert_eq!(read(&store.read(), "new"), 0);
        }
        put(&store, "new", round + 1).await;
        for _ in 0..4 {
            assert_eq!(read(&store.read(), "new"), round + 1);
        }
        store
            .transact(|tx| tx.delete::<Item>(("b", "new")))
            .await
            .expect("delete");
    }
}
