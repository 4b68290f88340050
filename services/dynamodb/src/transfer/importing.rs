//! Reading an import: the objects below its prefix in the order of their keys, their records some at
//! a time, each batch with the import's progress in one transaction.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gureum_dispatch::Cx;
use gureum_kit::{Reader, Row, Tx};
use gureum_model_s3::op::{GetObject, ListObjectsV2};
use gureum_model_s3::types::{GetObjectRequest, ListObjectsV2Request};

use super::json;
use super::model::{Failure, Format, Import, ImportStage, Object, Progress};
use super::reading::{Cut, Record, Records};
use super::running::{Stop, Transferring, s3, still};
use crate::errors::{Refusal, Result};
use crate::items::{self, ItemKey};
use crate::model::Table;
use crate::state::DynamoDb;
use crate::value::{Item, Value, item_size};

const BATCH_ITEMS: usize = 200;
const BATCH_BYTES: usize = 1 << 20;

/// What was read and not yet written.
#[derive(Default)]
struct Batch {
    items: Vec<(ItemKey, Item)>,
    size: usize,
    records: u64,
    errors: i64,
}

impl Transferring {
    /// Reads the next object to its end, or ends the import when there is none.
    pub(super) async fn import_step(&self, import: &mut Import) -> Result<(), Stop> {
        let ImportStage::Reading(progress) = import.stage.clone() else {
            return Ok(());
        };
        let asked = import.asked.cx(&self.cloud, import.bucket.region.as_ref());
        let cx = asked.map_err(Stop::of)?;
        self.db.open_own(&import.table).await?;
        self.db.unlock(&mut import.table)?;
        let object = match progress.object {
            Some(object) => object,
            None => match next_object(&cx, import, progress.after.clone()).await? {
                Some(object) => object,
                None => return Ok(self.end_import(import).await?),
            },
        };
        let got = s3::<GetObject>(
            &cx,
            GetObjectRequest {
                bucket: import.bucket.name.clone(),
                key: object.key.clone(),
                if_match: object.etag.clone(),
                expected_bucket_owner: import.bucket.owner.clone(),
                ..Default::default()
            },
        )
        .await?;
        let packed = import.compression.as_deref() == Some("GZIP");
        let mut records = Records::of(got.body, packed);
        self.read(import, progress.after, object, &mut records)
            .await
    }

    async fn read(
        &self,
        import: &mut Import,
        after: Option<String>,
        mut object: Object,
        records: &mut Records,
    ) -> Result<(), Stop> {
        let (cut, mut header) = match &import.format {
            Format::Json => (Cut::Lines, None),
            Format::Csv { delimiter, header } => {
                let separator = delimiter.as_ref().and_then(|text| text.bytes().next());
                (Cut::Csv(separator.unwrap_or(b',')), header.clone())
            }
        };
        let titled = matches!(&import.format, Format::Csv { header: None, .. });
        let mut skip = object.records;
        let mut batch = Batch::default();
        while let Some(record) = records.next(cut).await.map_err(broken)? {
            if titled && header.is_none() {
                let Record::Fields(Some(names)) = record else {
                    return Err(broken(gureum_schema::Error::new(
                        "InvalidInput",
                        400,
                        "an object does not begin with a line of column names",
                    )));
                };
                header = Some(names);
                continue;
            }
            // Those that were in before a restart.
            if skip > 0 {
                skip -= 1;
                continue;
            }
            batch.take(&import.table, header.as_deref(), record);
            if batch.items.len() == BATCH_ITEMS || batch.size >= BATCH_BYTES {
                object.records += batch.records;
                let progress = Progress {
                    after: after.clone(),
                    object: Some(object.clone()),
                };
                self.keep(import, std::mem::take(&mut batch), progress, 0)
                    .await?;
            }
        }
        let progress = Progress {
            after: Some(object.key),
            object: None,
        };
        Ok(self.keep(import, batch, progress, records.bytes).await?)
    }

    /// Writes a batch, and how far the import is with it.
    async fn keep(
        &self,
        import: &mut Import,
        batch: Batch,
        progress: Progress,
        bytes: i64,
    ) -> Result<()> {
        let mut next = import.clone();
        next.stage = ImportStage::Reading(progress);
        next.processed += batch.records as i64;
        next.imported += batch.items.len() as i64;
        next.errors += batch.errors;
        next.bytes += bytes;
        let now = self.db.clock.now();
        let kept = self
            .db
            .store
            .transact(|tx| {
                let there = tx.get::<Import>(import.key())?;
                if there.is_none_or(|there| there.stage != import.stage) {
                    return Err(Refusal::Broken("an import is done by somebody else".into()));
                }
                put_all(tx, &import.table, &batch.items, now)?;
                tx.put(&next)?;
                Ok::<_, Refusal>(())
            })
            .await;
        kept?;
        *import = next;
        Ok(())
    }

    /// Lets the table be used.
    async fn end_import(&self, import: &mut Import) -> Result<()> {
        import.stage = ImportStage::Done;
        import.ended = Some(self.db.clock.now());
        let (db, done) = (Arc::clone(&self.db), import.clone());
        DynamoDb::whole(async move {
            db.alter(&done.table.key(), |tx, place| {
                still(tx, &done)?;
                if let Some(table) = place.as_mut().filter(|table| table.id == done.table.id) {
                    table.history.making = false;
                }
                Ok(())
            })
            .await
        })
        .await
    }

    /// Ends an import that cannot go on; nobody gets to see a part of a table.
    pub(super) async fn fail_import(&self, mut import: Import, failure: Failure) -> Result<()> {
        import.stage = ImportStage::Failed(failure);
        import.ended = Some(self.db.clock.now());
        let db = Arc::clone(&self.db);
        DynamoDb::whole(async move {
            db.alter(&import.table.key(), |tx, place| {
                still(tx, &import)?;
                if place
                    .as_ref()
                    .is_some_and(|table| table.id == import.table.id)
                    && let Some(table) = place.take()
                {
                    crate::ops::tables::bury(tx, &table)?;
                }
                Ok(())
            })
            .await
        })
        .await?;
        self.db.wake_sweep.wake();
        Ok(())
    }
}

/// A failure of the content, or of the way to it.
fn broken(error: gureum_schema::Error) -> Stop {
    match error.status {
        400..500 => Stop::Failed(Failure {
            code: error.code.into_owned(),
            message: error.message,
        }),
        _ => Stop::Later(error),
    }
}

async fn next_object(
    cx: &Cx,
    import: &Import,
    after: Option<String>,
) -> Result<Option<Object>, Stop> {
    let mut after = after;
    loop {
        let page = s3::<ListObjectsV2>(
            cx,
            ListObjectsV2Request {
                bucket: import.bucket.name.clone(),
                prefix: import.bucket.prefix.clone(),
                start_after: after.clone(),
                max_keys: Some(1),
                expected_bucket_owner: import.bucket.owner.clone(),
                ..Default::default()
            },
        )
        .await?;
        let Some(object) = page.contents.unwrap_or_default().into_iter().next() else {
            return Ok(None);
        };
        // What stands for a folder holds no records.
        if object.size == Some(0) {
            after = object.key;
            continue;
        }
        return Ok(Some(Object {
            key: object.key.unwrap_or_default(),
            etag: object.e_tag,
            records: 0,
        }));
    }
}

fn put_all(tx: &mut Tx, table: &Table, all: &[(ItemKey, Item)], now: i64) -> Result<()> {
    for (at, item) in all {
        let old = items::read(tx, table, at)?;
        items::write(tx, table, at, old.as_ref(), Some(item), now, false)?;
    }
    Ok(())
}

impl Batch {
    fn take(&mut self, table: &Table, header: Option<&[String]>, record: Record) {
        self.records += 1;
        let item = match record {
            Record::Line(line) => json::item(&line),
            Record::Fields(fields) => row(table, header.unwrap_or_default(), fields),
        };
        let checked = item.and_then(|item| {
            let at = items::key_in(table, &item).ok()?;
            items::check(table, &item, false).ok()?;
            Some((at, item))
        });
        match checked {
            Some((at, item)) => {
                self.size += item_size(&item);
                self.items.push((at, item));
            }
            None => self.errors += 1,
        }
    }
}

/// The item in a row: key attributes have the types that the table defines, all others are texts.
fn row(table: &Table, header: &[String], fields: Option<Vec<String>>) -> Option<Item> {
    let fields = fields.filter(|fields| fields.len() == header.len())?;
    let value = |(name, text): (&String, String)| {
        let defined = table.attributes.iter().find(|(known, _)| known == name);
        let value = match defined.map(|(_, kind)| kind.as_str()) {
            Some("N") => Value::N(text.parse().ok()?),
            Some("B") => Value::B(STANDARD.decode(text).ok()?.into()),
            _ => Value::S(text),
        };
        Some((name.clone(), value))
    };
    header.iter().zip(fields).map(value).collect()
}
