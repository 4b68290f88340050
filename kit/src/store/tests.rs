//! One battery of tests for all engines.

use serde::{Deserialize, Serialize};

use super::*;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Item {
    bucket: String,
    key: String,
    value: u64,
}

impl Row for Item {
    const TABLE: &'static str = "test.item";
    type Key = (String, String);
    fn key(&self) -> Self::Key {
        (self.bucket.clone(), self.key.clone())
    }
}

fn item(bucket: &str, key: &str, value: u64) -> Item {
    Item {
        bucket: bucket.into(),
        key: key.into(),
        value,
    }
}

async fn fill(store: &Store, keys: &[&str]) {
    store
        .transact(|tx| keys.iter().try_for_each(|key| tx.put(&item("b", key, 1))))
        .await
        .expect("fill");
}

fn keys(rows: Rows<'_, Item>) -> Vec<String> {
    rows.map(|row| row.expect("row").key).collect()
}

#[tokio::test]
async fn smoke() {
    let store = Store::memory();
    fill(&store, &["a/1", "a/2", "b", "c"]).await;
    let read = store.read();
    assert_eq!(
        read.get::<Item>(("b", "b")).expect("get"),
        Some(item("b", "b", 1))
    );
    assert_eq!(keys(read.scan(Scan::of(("b",)).text("a/"))), ["a/1", "a/2"]);
    assert_eq!(
        keys(read.scan(Scan::of(("b",)).after_text("a/"))),
        ["b", "c"]
    );
    assert_eq!(
        keys(read.scan(Scan::all().reverse().after(("b", "c")).limit(2))),
        ["b", "a/2"]
    );
}
