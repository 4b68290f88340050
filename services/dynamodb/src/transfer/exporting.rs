//! Writing an export: data files of about equal size, then the manifests that name them.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html>

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use gureum_dispatch::Cx;
use gureum_kit::{Reader, Row};
use gureum_model_s3::op::PutObject;
use gureum_model_s3::types::PutObjectRequest;
use gureum_schema::{Body, Bytes, Error, Timestamp};
use md5::{Digest, Md5};
use serde_json::json;

use super::json;
use super::model::{DataFile, Export, ExportStage};
use super::running::{Stop, Transferring, s3};
use super::window::Window;
use crate::backup::copying::batch;
use crate::backup::gathering::changed;
use crate::backup::model::{Changed, Copy, Cursor};
use crate::errors::{Refusal, Result};
use crate::items;
use crate::model::{Grave, Table, base};
use crate::sealing::Held;

/// About how much text one data file packs.
const FILE: usize = 8 << 20;
/// What an incremental export is billed for at least: 10 MB.
const LEAST_BILLED: i64 = 10_000_000;

impl Transferring {
    /// Writes the next file, or the manifests when all are written.
    pub(super) async fn export_step(&self, export: &mut Export) -> Result<(), Stop> {
        let ExportStage::Writing(cursor) = export.stage.clone() else {
            return Ok(());
        };
        let asked = export.asked.cx(&self.cloud, export.bucket.region.as_ref());
        let cx = asked.map_err(Stop::of)?;
        if cursor.is_none() {
            // As AWS does: whether the bucket can be written to is found out by an empty object.
            put(&cx, export, &export.object("_started"), Bytes::new()).await?;
        }
        self.db.open_own(&export.table).await?;
        self.db.unlock(&mut export.table)?;
        let page = self.page(export, cursor)?;
        let Some(last) = page.last.filter(|_| page.items > 0) else {
            if export.window.is_some() {
                export.bytes = export.bytes.max(LEAST_BILLED);
            }
            manifests(&cx, export, self.db.clock.now()).await?;
            export.ended = Some(self.db.clock.now());
            export.stage = ExportStage::Done;
            return Ok(());
        };
        // Named by its place, so that one that is written again takes the place of the first.
        let stem = Md5::digest(format!("{} {}", export.id, export.files.len()));
        let key = export.data_file(&format!("{}.json.gz", hex::encode(&stem[..13])));
        let packed = tokio::task::spawn_blocking(move || pack(&page.text)).await;
        let packed = packed.map_err(|error| Stop::Later(Error::internal(error.to_string())))??;
        let md5 = STANDARD.encode(Md5::digest(&packed));
        let etag = put(&cx, export, &key, packed).await?;
        export.files.push(DataFile {
            key,
            items: page.items,
            md5,
            etag,
        });
        export.items += page.items;
        export.bytes += page.bytes;
        export.stage = ExportStage::Writing(Some(last));
        Ok(())
    }

    /// Remembers how far an export is; its copy goes when it has ended.
    pub(super) async fn keep_export(&self, export: &Export) -> Result<()> {
        let ended = export.ended.is_some();
        self.db
            .store
            .transact(|tx| {
                if tx.get::<Export>(export.key())?.is_none() {
                    return Ok(());
                }
                tx.put(export)?;
                if ended {
                    tx.delete::<Copy>(export.space)?;
                    tx.put(&Grave {
                        space: export.space,
                    })?;
                }
                Ok::<_, Refusal>(())
            })
            .await?;
        if ended {
            self.db.wake_sweep.wake();
        }
        Ok(())
    }

    /// What the next data file of this export holds.
    fn page(&self, export: &Export, cursor: Option<Cursor>) -> Result<Page> {
        let view = self.db.store.read();
        let mut page = Page {
            last: cursor,
            ..Page::default()
        };
        while page.text.len() < FILE {
            let more = match export.window {
                None => page.add_items(&view, export)?,
                Some(window) => page.add_changes(&view, export, window)?,
            };
            if !more {
                break;
            }
        }
        Ok(page)
    }
}

/// What one data file holds.
#[derive(Default)]
struct Page {
    text: String,
    items: i64,
    bytes: i64,
    last: Option<Cursor>,
}

impl Page {
    /// Adds some of the items that were copied for this export; whether there were any left.
    fn add_items(&mut self, view: &impl Reader, export: &Export) -> Result<bool> {
        let found = batch(view, export.space, self.last.as_ref())?;
        let Some(last) = found.last() else {
            return Ok(false);
        };
        self.last = Some(Cursor::at(last));
        for entry in found {
            let line = json::line(entry.open(&export.table)?);
            self.add(&line, entry.item.size());
        }
        Ok(true)
    }

    /// Adds some of the changes that were gathered for this export; whether there were any left.
    fn add_changes(&mut self, view: &impl Reader, export: &Export, window: Window) -> Result<bool> {
        let found = changed(view, export.space, self.last.as_ref())?;
        let Some(last) = found.last() else {
            return Ok(false);
        };
        self.last = Some(last.cursor());
        for row in found {
            if let Some(change) = change(&export.table, &row, window)? {
                self.add(&json::change(change), row.size());
            }
        }
        Ok(true)
    }

    fn add(&mut self, line: &str, size: usize) {
        self.items += 1;
        self.bytes += size as i64;
        self.text.push_str(line);
        self.text.push('\n');
    }
}

/// What there is to tell of an item that was written in the window; nothing of one that was neither
/// there before nor after.
fn change(table: &Table, row: &Changed, window: Window) -> Result<Option<json::Change>> {
    let base = base(&row.partition, &row.sort);
    let open = |image: &Option<Held>| {
        let image = image.as_ref();
        image
            .map(|image| image.open(table.data_key()?, &base))
            .transpose()
    };
    let (old, new) = (open(&row.before)?, open(&row.after)?);
    let Some(item) = new.as_ref().or(old.as_ref()) else {
        return Ok(None);
    };
    Ok(Some(json::Change {
        keys: items::key_in(table, item)?.attributes,
        at: row.at,
        old: old.filter(|_| window.old_images),
        new,
    }))
}

fn pack(text: &str) -> Result<Bytes, Stop> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    let packed = packer
        .write_all(text.as_bytes())
        .and_then(|()| packer.finish());
    let packed = packed.map_err(|error| Stop::Later(Error::internal(error.to_string())))?;
    Ok(packed.into())
}

/// Stores an object of an export; its ETag without the quotes.
async fn put(cx: &Cx, export: &Export, key: &str, content: Bytes) -> Result<String, Stop> {
    let sse = export.sse.as_deref().map(|sse| match sse {
        "KMS" => "aws:kms".to_owned(),
        other => other.to_owned(),
    });
    let input = PutObjectRequest {
        bucket: export.bucket.name.clone(),
        key: key.to_owned(),
        content_length: Some(content.len() as i64),
        body: Body::from(content),
        expected_bucket_owner: export.bucket.owner.clone(),
        server_side_encryption: sse,
        ssekms_key_id: export.kms_key.clone(),
        ..Default::default()
    };
    let made = s3::<PutObject>(cx, input).await?;
    let etag = made.e_tag.unwrap_or_default();
    Ok(etag.trim_matches('"').to_owned())
}

async fn manifests(cx: &Cx, export: &Export, now: i64) -> Result<(), Stop> {
    let line = |file: &DataFile| {
        let line = json!({
            "itemCount": file.items,
            "md5Checksum": file.md5,
            "etag": file.etag,
            "dataFileS3Key": file.key,
        });
        format!("{line}\n")
    };
    let files: String = export.files.iter().map(line).collect();
    let time = |at: i64| Timestamp(at).iso_millis();
    let mut summary = json!({
        "version": if export.window.is_some() { "2023-08-01" } else { "2020-06-30" },
        "exportArn": export.arn(),
        "startTime": time(export.started),
        "endTime": time(now),
        "tableArn": export.table.arn().to_string(),
        "tableId": export.table.uuid,
        "s3Bucket": export.bucket.name,
        "s3Prefix": export.bucket.prefix,
        "s3SseAlgorithm": export.sse.as_deref().unwrap_or("AES256"),
        "s3SseKmsKeyId": export.kms_key,
        "manifestFilesS3Key": export.object("manifest-files.json"),
        "billedSizeBytes": export.bytes,
        "itemCount": export.items,
        "outputFormat": "DYNAMODB_JSON",
        "exportType": export.kind(),
    });
    match export.window {
        None => summary["exportTime"] = time(export.at).into(),
        Some(window) => {
            summary["exportFromTime"] = time(window.from).into();
            summary["exportToTime"] = time(window.to).into();
            summary["outputView"] = window.view().into();
        }
    }
    for (name, text) in [
        ("manifest-files", files),
        ("manifest-summary", summary.to_string()),
    ] {
        let md5 = STANDARD.encode(Md5::digest(&text));
        put(
            cx,
            export,
            &export.object(&format!("{name}.json")),
            text.into(),
        )
        .await?;
        put(
            cx,
            export,
            &export.object(&format!("{name}.md5")),
            md5.into(),
        )
        .await?;
    }
    Ok(())
}
