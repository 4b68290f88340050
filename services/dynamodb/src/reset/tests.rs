//! A reset leaves no row behind, of no table that this crate declares.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use gureum_kit::{AccountId, Clock, Driver, Row, Store, reset};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::*;
use crate::backup::model::{Changed, History, Purpose, Recovery, Step};
use crate::errors::Refusal;
use crate::global::legacy::GlobalTable;
use crate::global::model::Route;
use crate::items;
use crate::model::Entry;
use crate::ops::tables::start_stream;
use crate::page::tests::table;
use crate::sealing::Held;
use crate::shards::Split;
use crate::transfer::model::{Bucket, ExportStage, Format, ImportStage};
use crate::value::{Item, Value};

const NOW: i64 = 1000;
const ELSEWHERE: &str = "eu-west-1";

fn account(digit: &str) -> AccountId {
    digit.repeat(12).parse().expect("account")
}

/// The tables that the crate's sources declare.
fn declared() -> BTreeSet<String> {
    fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).expect("a directory") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => sources(&path, found),
                false => found.push(path),
            }
        }
    }
    let mut paths = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut paths,
    );
    let texts = paths
        .iter()
        .map(|path| std::fs::read_to_string(path).expect("a source"));
    texts
        .flat_map(|text| {
            let names = text.lines().filter_map(|line| {
                let name = line.trim().strip_prefix("const TABLE: &'static str = \"")?;
                Some(name.strip_suffix("\";")?.to_owned())
            });
            names.collect::<Vec<_>>()
        })
        .collect()
}

/// A row whose fields are not for everybody.
fn row<R: DeserializeOwned>(fields: serde_json::Value) -> R {
    serde_json::from_value(fields).expect("a row")
}

fn item(partition: &str) -> Item {
    let text = |name: &str, value: &str| (name.to_owned(), Value::S(value.to_owned()));
    Item::from([text("p", partition), text("s", "s"), text("g", "g")])
}

/// A row of every table for an account; its spaces have the numbers from `base` on.
fn furnish(tx: &mut Tx, account: AccountId, base: u64) -> Result<(), Refusal> {
    let mut table = Table {
        account,
        id: base,
        history: History {
            log: Some(base + 2),
            recovery: Some(Recovery { since: 0, days: 35 }),
            ..History::default()
        },
        replicas: vec![ELSEWHERE.parse().expect("region")],
        legacy: Some(base + 6),
        ..table("S")
    };
    table.attributes.push(("g".into(), "S".into()));
    table.globals[0].id = base + 1;
    start_stream(tx, &mut table, "NEW_AND_OLD_IMAGES", NOW)?;
    let stream = table.stream.as_ref().expect("a stream").id;
    tx.put(&table)?;
    tx.put(&GlobalTable {
        account,
        name: table.name.clone(),
        created: NOW,
        regions: vec![table.region.clone(), table.replicas[0].clone()],
    })?;
    for partition in ["kept", "deleted"] {
        let item = item(partition);
        let at = items::key_in(&table, &item)?;
        items::write(tx, &table, &at, None, Some(&item), NOW, false)?;
        if partition == "deleted" {
            items::write(tx, &table, &at, Some(&item), None, NOW, false)?;
        }
    }
    let split: Split = row(json!({"stream": stream, "parent": 0, "at": NOW}));
    tx.append((stream,), &split)?;
    tx.put(&Route {
        stream,
        target: table.replicas[0].clone(),
        after: 1,
    })?;
    tx.put(&Backfill {
        region: table.region.clone(),
        account,
        table: table.name.clone(),
        index: base + 1,
        cursor: None,
    })?;
    tx.put(&Grave { space: base + 5 })?;
    for space in [base + 3, base + 4, base + 5] {
        tx.put(&Entry {
            space,
            partition: Bytes::from_static(b"p"),
            sort: Bytes::new(),
            base: Bytes::new(),
            item: Held::Plain(item("p")),
        })?;
    }
    furnish_jobs(tx, &table)
}

/// A backup, an export and an import of a table, none of them at its end.
fn furnish_jobs(tx: &mut Tx, table: &Table) -> Result<(), Refusal> {
    let backup = Backup {
        table: table.clone(),
        id: "1".into(),
        name: "backup".into(),
        space: table.id + 3,
        at: NOW,
        available: false,
        expires: None,
        items: 0,
        bytes: 0,
    };
    let asked = || {
        row(
            json!({"access_key": "AKIA", "region": ELSEWHERE, "request": "", "source_ip": "::1",
            "secure": false, "user_agent": "", "endpoint": ""}),
        )
    };
    let bucket = Bucket {
        name: "bucket".into(),
        owner: None,
        prefix: None,
        region: None,
    };
    let export = Export {
        table: table.clone(),
        id: "2".into(),
        asked: asked(),
        token: None,
        bucket: bucket.clone(),
        sse: None,
        kms_key: None,
        at: NOW,
        window: None,
        started: NOW,
        ended: None,
        space: table.id + 4,
        stage: ExportStage::Copying,
        files: Vec::new(),
        items: 0,
        bytes: 0,
    };
    let import = Import {
        table: table.clone(),
        id: "3".into(),
        asked: asked(),
        token: None,
        bucket,
        format: Format::Json,
        compression: None,
        started: NOW,
        ended: None,
        stage: ImportStage::Reading(Default::default()),
        bytes: 0,
        processed: 0,
        imported: 0,
        errors: 0,
    };
    let log = table.history.log.map(|log| (log, NOW));
    let copy = |target, purpose| Copy {
        target,
        source: table.id,
        as_of: log,
        step: Step::Items(None),
        purpose,
    };
    tx.put(&copy(backup.space, Purpose::Backup(backup.key())))?;
    tx.put(&copy(export.space, Purpose::Export(export.key())))?;
    tx.put(&Changed {
        space: export.space,
        partition: Bytes::from_static(b"p"),
        sort: Bytes::new(),
        at: NOW,
        before: None,
        after: None,
    })?;
    tx.put(&backup)?;
    tx.put(&export)?;
    tx.put(&import)?;
    Ok(())
}

/// How many rows each table has when some accounts were furnished, somebody's things were deleted,
/// and the background work has followed.
async fn left(accounts: &[&str], whose: Option<Whose>) -> BTreeMap<String, u64> {
    let store = Store::memory();
    for (number, digit) in accounts.iter().enumerate() {
        let base = 10 * (number as u64 + 1);
        let fill = store.transact(|tx| furnish(tx, account(digit), base));
        fill.await.expect("fill");
    }
    let full = store.read().census().expect("a census");
    if !accounts.is_empty() {
        assert_eq!(full.into_keys().collect::<BTreeSet<_>>(), declared());
    }
    let clock = Clock::manual(NOW);
    let driver = Driver::new(clock.clone());
    let db = DynamoDb::open(store.clone(), clock, &[7; 32], &driver);
    let db = db.await.expect("open");
    if let Some(whose) = whose {
        let of: [Arc<dyn Reset>; 1] = [Arc::clone(&db) as _];
        reset::reset(&store, &of, whose).await.expect("reset");
    }
    db.sweep().await.expect("sweep");
    store.read().census().expect("a census")
}

#[tokio::test]
async fn a_reset_leaves_no_row() {
    let never = left(&[], None).await;
    assert_eq!(left(&["1", "2"], Some(Whose::Everybody)).await, never);
}

#[tokio::test]
async fn a_reset_of_one_account_leaves_all_rows_of_the_others() {
    let alone = left(&["2"], None).await;
    let one = Whose::Account(account("1"));
    assert_eq!(left(&["1", "2"], Some(one)).await, alone);
    assert!(alone.len() > 10, "{alone:?}");
}
