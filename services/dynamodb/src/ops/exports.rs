//! ExportTableToPointInTime, DescribeExport and ListExports.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::idempotency::{self, Request, Seen};
use gureum_kit::{Reader, Row, Tx};
use gureum_model_dynamodb::types as t;
use gureum_schema::Timestamp;

use super::transfers::{self, TOKEN};
use crate::backup::model::{Copy, Gather, Purpose, Step, key_below, new_id};
use crate::backup::undo;
use crate::errors::{Refusal, Result};
use crate::model::{Table, TableKey};
use crate::ops::restore::no_recovery;
use crate::state::{DynamoDb, key_of_arn, new_space, short};
use crate::transfer::asked::Asked;
use crate::transfer::model::{Bucket, Export, ExportStage};
use crate::transfer::window::Window;

pub(crate) async fn export_table(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::ExportTableToPointInTimeInput,
) -> gureum_schema::Result<t::ExportTableToPointInTimeOutput> {
    let key = key_of_arn(&input.table_arn)
        .filter(|(region, ..)| *region == cx.region)
        .ok_or_else(|| Refusal::validation("Invalid TableArn"))?;
    check(&input)?;
    let window = Window::asked(&input, cx.now.0)?;
    let (id, asked) = (new_id(cx.now.0), Asked::by(&cx)?);
    let scope = format!("dynamodb:Export/{}/{}", cx.account(), cx.region);
    let fingerprint = transfers::fingerprint(&t::ExportTableToPointInTimeInput {
        client_token: None,
        ..input.clone()
    });
    let token = input.client_token.as_deref().map(|token| Request {
        scope: &scope,
        token,
        fingerprint,
        keep: TOKEN,
    });
    let export = db
        .store
        .transact(|tx| {
            if let Some(token) = &token {
                match idempotency::recall(tx, cx.now.0, token)? {
                    Seen::Never => {}
                    Seen::Before(arn) => return find(tx, &String::from_utf8_lossy(&arn)),
                    Seen::Differently => {
                        return Err(Refusal::Special(
                            "ExportConflictException",
                            "The client token was used for another export".into(),
                        ));
                    }
                }
            }
            let export = begin(tx, &key, &input, window, (&id, &asked), cx.now.0)?;
            if let Some(token) = &token {
                let arn = export.arn().into_bytes().into();
                idempotency::remember(tx, cx.now.0, token, arn)?;
            }
            Ok(export)
        })
        .await?;
    db.wake_copies.wake();
    Ok(t::ExportTableToPointInTimeOutput {
        export_description: Some(described(&export)),
    })
}

fn check(input: &t::ExportTableToPointInTimeInput) -> Result<()> {
    if input.export_format.as_deref() == Some("ION") {
        return Err(Refusal::NotImplemented("The ION format".into()));
    }
    if input.s3_sse_kms_key_id.is_some() && input.s3_sse_algorithm.as_deref() != Some("KMS") {
        return Err(Refusal::validation(
            "S3SseKmsKeyId can only be given with the S3SseAlgorithm KMS",
        ));
    }
    Ok(())
}

/// The export, and the copy of the table, or the gathering of its changes, that it writes out.
fn begin(
    tx: &mut Tx,
    key: &TableKey,
    input: &t::ExportTableToPointInTimeInput,
    window: Option<Window>,
    (id, asked): (&str, &Asked),
    now: i64,
) -> Result<Export> {
    let table = tx.get::<Table>(key)?;
    let table = table.ok_or_else(|| Refusal::NoTable(key.2.clone()))?;
    if let Some(window) = window {
        window.check(table.created, now)?;
    }
    let (Some(recovery), Some(log)) = (table.history.recovery, table.history.log) else {
        return Err(no_recovery(&table));
    };
    let earliest = recovery.earliest(now);
    let moment = moment(input, window, earliest, now)?;
    undo::mark(tx, log, now)?;
    let export = Export {
        table,
        id: id.to_owned(),
        asked: asked.clone(),
        token: input.client_token.clone(),
        bucket: Bucket {
            name: input.s3_bucket.clone(),
            owner: input.s3_bucket_owner.clone(),
            prefix: input.s3_prefix.clone(),
            region: None,
        },
        sse: input.s3_sse_algorithm.clone(),
        kms_key: input.s3_sse_kms_key_id.clone(),
        at: moment,
        window,
        started: now,
        ended: None,
        space: new_space(),
        stage: ExportStage::Copying,
        files: Vec::new(),
        items: 0,
        bytes: 0,
    };
    tx.put(&copy_for(&export, log, earliest))?;
    tx.put(&export)?;
    Ok(export)
}

/// The moment of which the table is exported; the end of the window, if there is one.
fn moment(
    input: &t::ExportTableToPointInTimeInput,
    window: Option<Window>,
    earliest: i64,
    now: i64,
) -> Result<i64> {
    let (first, last) = match window {
        Some(window) => (window.from, window.to),
        None => {
            let at = input.export_time.map_or(now, |at| at.0);
            (at, at)
        }
    };
    if last > now || first.div_euclid(1000) < earliest.div_euclid(1000) {
        return Err(Refusal::Special(
            "InvalidExportTimeException",
            "Export Time is invalid".into(),
        ));
    }
    Ok(last)
}

/// What must be copied or gathered before the export can be written.
fn copy_for(export: &Export, log: u64, earliest: i64) -> Copy {
    // A copy is of the end of a moment, and what came at a window's first moment is within.
    let (moment, step) = match export.window {
        None => (export.at.max(earliest), Step::Items(None)),
        Some(Window { from, to, .. }) => {
            let until = to - 1;
            (
                from.max(earliest) - 1,
                Step::Gather(Gather::Begin { until }),
            )
        }
    };
    Copy {
        target: export.space,
        source: export.table.id,
        as_of: Some((log, moment)),
        step,
        purpose: Purpose::Export(export.key()),
    }
}

fn find(view: &impl Reader, arn: &str) -> Result<Export> {
    let found = key_below(arn, "export").map(|key| view.get::<Export>(key));
    found.transpose()?.flatten().ok_or_else(|| {
        Refusal::Special(
            "ExportNotFoundException",
            format!("Export not found: {}", short(arn)),
        )
    })
}

pub(crate) async fn describe_export(
    db: Arc<DynamoDb>,
    _: Cx,
    input: t::DescribeExportInput,
) -> gureum_schema::Result<t::DescribeExportOutput> {
    let export = find(&db.store.read(), &input.export_arn)?;
    Ok(t::DescribeExportOutput {
        export_description: Some(described(&export)),
    })
}

pub(crate) async fn list_exports(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::ListExportsInput,
) -> gureum_schema::Result<t::ListExportsOutput> {
    let table = input.table_arn.as_deref();
    let token = input.next_token.as_deref();
    let page = transfers::list::<Export>(&db, &cx, table, token, input.max_results)?;
    let summary = |export: &Export| t::ExportSummary {
        export_arn: Some(export.arn()),
        export_status: Some(status(export).to_owned()),
        export_type: Some(export.kind().to_owned()),
    };
    Ok(t::ListExportsOutput {
        export_summaries: Some(page.found.iter().map(summary).collect()),
        next_token: page.next,
    })
}

fn status(export: &Export) -> &'static str {
    match export.stage {
        ExportStage::Copying | ExportStage::Writing(_) => "IN_PROGRESS",
        ExportStage::Done => "COMPLETED",
        ExportStage::Failed(_) => "FAILED",
    }
}

fn described(export: &Export) -> t::ExportDescription {
    let failure = match &export.stage {
        ExportStage::Failed(failure) => Some(failure),
        _ => None,
    };
    let done = export.stage == ExportStage::Done;
    t::ExportDescription {
        export_arn: Some(export.arn()),
        export_status: Some(status(export).to_owned()),
        start_time: Some(Timestamp(export.started)),
        end_time: export.ended.map(Timestamp),
        export_manifest: done.then(|| export.object("manifest-summary.json")),
        table_arn: Some(export.table.arn().to_string()),
        table_id: Some(export.table.uuid.clone()),
        export_time: export.window.is_none().then_some(Timestamp(export.at)),
        client_token: export.token.clone(),
        s3_bucket: Some(export.bucket.name.clone()),
        s3_bucket_owner: export.bucket.owner.clone(),
        s3_prefix: export.bucket.prefix.clone(),
        s3_sse_algorithm: Some(export.sse.clone().unwrap_or_else(|| "AES256".to_owned())),
        s3_sse_kms_key_id: export.kms_key.clone(),
        failure_code: failure.map(|failure| failure.code.clone()),
        failure_message: failure.map(|failure| failure.message.clone()),
        export_format: Some("DYNAMODB_JSON".to_owned()),
        billed_size_bytes: done.then_some(export.bytes),
        item_count: done.then_some(export.items),
        export_type: Some(export.kind().to_owned()),
        incremental_export_specification: export.window.map(Window::described),
    }
}
