//! One battery of tests for every engine, and what only the durable one can show.

mod ahead;
mod battery;
mod crash;
mod disk;
mod hot;
mod model;

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

#[derive(Serialize, Deserialize)]
struct Big {
    n: u64,
    text: String,
}

impl Row for Big {
    const TABLE: &'static str = "test.big";
    type Key = u64;

    fn key(&self) -> u64 {
        self.n
    }
}

fn item(bucket: &str, key: &str, value: u64) -> Item {
    Item {
        bucket: bucket.into(),
        key: key.into(),
        value,
    }
}

async fn put(store: &Store, key: &str, value: u64) {
    store
        .transact(|tx| tx.put(&item("b", key, value)))
        .await
        .expect("put");
}

async fn fill(store: &Store, keys: &[&str]) {
    let put_all = |tx: &mut Tx| keys.iter().try_for_each(|key| tx.put(&item("b", key, 1)));
    store.transact(put_all).await.expect("fill");
}

fn value(reader: &impl Reader, key: &str) -> Option<u64> {
    reader
        .get::<Item>(("b", key))
        .expect("get")
        .map(|item| item.value)
}

fn keys(reader: &impl Reader, scan: Scan<Item>) -> Vec<String> {
    reader.scan(scan).map(|row| row.expect("row").key).collect()
}
