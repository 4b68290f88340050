//! ImportTable, DescribeImport and ListImports.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::Reader;
use gureum_kit::idempotency::{self, Request, Seen};
use gureum_model_dynamodb::types as t;
use gureum_schema::Timestamp;

use super::describe::{keys, projection};
use super::tables::table_of;
use super::transfers::{self, TOKEN};
use crate::backup::model::{key_below, new_id};
use crate::errors::{Refusal, Result};
use crate::model::{Table, Throughput};
use crate::sealing::{self, Sealing, Wish, Wrapped};
use crate::state::{DynamoDb, key_of, short};
use crate::transfer::asked::Asked;
use crate::transfer::model::{Bucket, Format, Import, ImportStage, Progress};

pub(crate) async fn import_table(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::ImportTableInput,
) -> gureum_schema::Result<t::ImportTableOutput> {
    let key = key_of(&cx, &input.table_creation_parameters.table_name)?;
    let mut import = import_of(&cx, &input)?;
    let wanted = input.table_creation_parameters.sse_specification.as_ref();
    let wish = sealing::wish(wanted)?.unwrap_or(Wish::Owned);
    let sealing = db.new_sealing(&cx, &import.table.name, &wish).await?;
    import.table.sealing = Some(sealing);
    let now = cx.now.0;
    let scope = format!("dynamodb:Import/{}/{}", cx.account(), cx.region);
    let fingerprint = transfers::fingerprint(&t::ImportTableInput {
        client_token: None,
        ..input
    });
    let work = Arc::clone(&db);
    let import = DynamoDb::whole(async move {
        work.alter(&key, |tx, place| {
            let token = import.token.as_deref().map(|token| Request {
                scope: &scope,
                token,
                fingerprint,
                keep: TOKEN,
            });
            if let Some(token) = &token {
                match idempotency::recall(tx, now, token)? {
                    Seen::Never => {}
                    Seen::Before(arn) => return find(tx, &String::from_utf8_lossy(&arn)),
                    Seen::Differently => {
                        return Err(Refusal::Special(
                            "ImportConflictException",
                            "The client token was used for another import".into(),
                        ));
                    }
                }
            }
            if place.is_some() {
                return Err(Refusal::InUse(format!("Table already exists: {}", key.2)));
            }
            if let Some(token) = &token {
                idempotency::remember(tx, now, token, import.arn().into_bytes().into())?;
            }
            *place = Some(import.table.clone());
            tx.put(&import)?;
            Ok(import.clone())
        })
        .await
    })
    .await?;
    db.wake_transfers.wake();
    Ok(t::ImportTableOutput {
        import_table_description: described(&import),
    })
}

fn import_of(cx: &Cx, input: &t::ImportTableInput) -> Result<Import> {
    let wanted = input.table_creation_parameters.clone();
    if wanted.on_demand_throughput.is_some() {
        return Err(Refusal::NotImplemented(
            "Parameter OnDemandThroughput of ImportTable".into(),
        ));
    }
    let mut table = table_of(
        cx,
        wanted.table_name.clone(),
        t::CreateTableInput {
            table_name: wanted.table_name,
            attribute_definitions: Some(wanted.attribute_definitions),
            key_schema: Some(wanted.key_schema),
            billing_mode: wanted.billing_mode,
            provisioned_throughput: wanted.provisioned_throughput,
            global_secondary_indexes: wanted.global_secondary_indexes,
            ..Default::default()
        },
    )?;
    table.history.making = true;
    let csv = input.input_format_options.as_ref();
    let csv = csv.and_then(|options| options.csv.clone());
    let format = match (input.input_format.as_str(), csv) {
        ("CSV", csv) => {
            let csv = csv.unwrap_or_default();
            Format::Csv {
                delimiter: csv.delimiter,
                header: csv.header_list,
            }
        }
        ("DYNAMODB_JSON", None) => Format::Json,
        ("DYNAMODB_JSON", Some(_)) => {
            return Err(Refusal::validation(
                "CsvOptions can only be given for the input format CSV",
            ));
        }
        (other, _) => return Err(Refusal::NotImplemented(format!("The {other} format"))),
    };
    if input.input_compression_type.as_deref() == Some("ZSTD") {
        return Err(Refusal::NotImplemented("ZSTD compression".into()));
    }
    let source = &input.s3_bucket_source;
    Ok(Import {
        table,
        id: new_id(cx.now.0),
        asked: Asked::by(cx)?,
        token: input.client_token.clone(),
        bucket: Bucket {
            name: source.s3_bucket.clone(),
            owner: source.s3_bucket_owner.clone(),
            prefix: source.s3_key_prefix.clone(),
            region: None,
        },
        format,
        compression: input.input_compression_type.clone(),
        started: cx.now.0,
        ended: None,
        stage: ImportStage::Reading(Progress::default()),
        bytes: 0,
        processed: 0,
        imported: 0,
        errors: 0,
    })
}

fn find(view: &impl Reader, arn: &str) -> Result<Import> {
    let found = key_below(arn, "import").map(|key| view.get::<Import>(key));
    found.transpose()?.flatten().ok_or_else(|| {
        Refusal::Special(
            "ImportNotFoundException",
            format!("Import not found: {}", short(arn)),
        )
    })
}

pub(crate) async fn describe_import(
    db: Arc<DynamoDb>,
    _: Cx,
    input: t::DescribeImportInput,
) -> gureum_schema::Result<t::DescribeImportOutput> {
    let import = find(&db.store.read(), &input.import_arn)?;
    Ok(t::DescribeImportOutput {
        import_table_description: described(&import),
    })
}

pub(crate) async fn list_imports(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::ListImportsInput,
) -> gureum_schema::Result<t::ListImportsOutput> {
    let table = input.table_arn.as_deref();
    let token = input.next_token.as_deref();
    let page = transfers::list::<Import>(&db, &cx, table, token, input.page_size)?;
    let summary = |import: &Import| t::ImportSummary {
        import_arn: Some(import.arn()),
        import_status: Some(status(import).to_owned()),
        table_arn: Some(import.table.arn().to_string()),
        s3_bucket_source: Some(source(import)),
        cloud_watch_log_group_arn: None,
        input_format: Some(format_name(import).to_owned()),
        start_time: Some(Timestamp(import.started)),
        end_time: import.ended.map(Timestamp),
    };
    Ok(t::ListImportsOutput {
        import_summary_list: Some(page.found.iter().map(summary).collect()),
        next_token: page.next,
    })
}

fn status(import: &Import) -> &'static str {
    match import.stage {
        ImportStage::Reading(_) => "IN_PROGRESS",
        ImportStage::Done => "COMPLETED",
        ImportStage::Failed(_) => "FAILED",
    }
}

fn format_name(import: &Import) -> &'static str {
    match import.format {
        Format::Json => "DYNAMODB_JSON",
        Format::Csv { .. } => "CSV",
    }
}

fn source(import: &Import) -> t::S3BucketSource {
    t::S3BucketSource {
        s3_bucket_owner: import.bucket.owner.clone(),
        s3_bucket: import.bucket.name.clone(),
        s3_key_prefix: import.bucket.prefix.clone(),
    }
}

fn described(import: &Import) -> t::ImportTableDescription {
    let failure = match &import.stage {
        ImportStage::Failed(failure) => Some(failure),
        _ => None,
    };
    let options = match &import.format {
        Format::Json => None,
        Format::Csv { delimiter, header } => Some(t::InputFormatOptions {
            csv: Some(t::CsvOptions {
                delimiter: delimiter.clone(),
                header_list: header.clone(),
            }),
        }),
    };
    t::ImportTableDescription {
        import_arn: Some(import.arn()),
        import_status: Some(status(import).to_owned()),
        table_arn: Some(import.table.arn().to_string()),
        table_id: Some(import.table.uuid.clone()),
        client_token: import.token.clone(),
        s3_bucket_source: Some(source(import)),
        error_count: Some(import.errors),
        // Errors are counted; there is no log of them.
        cloud_watch_log_group_arn: None,
        input_format: Some(format_name(import).to_owned()),
        input_format_options: options,
        input_compression_type: import.compression.clone(),
        table_creation_parameters: Some(creation(&import.table)),
        start_time: Some(Timestamp(import.started)),
        end_time: import.ended.map(Timestamp),
        processed_size_bytes: Some(import.bytes),
        processed_item_count: Some(import.processed),
        imported_item_count: Some(import.imported),
        failure_code: failure.map(|failure| failure.code.clone()),
        failure_message: failure.map(|failure| failure.message.clone()),
    }
}

/// The parameters that make such a table.
fn creation(table: &Table) -> t::TableCreationParameters {
    let on_demand = table.billing.on_demand;
    let units = |throughput: Throughput| t::ProvisionedThroughput {
        read_capacity_units: throughput.read,
        write_capacity_units: throughput.write,
    };
    let globals = table.globals.iter().map(|index| t::GlobalSecondaryIndex {
        index_name: index.name.clone(),
        key_schema: keys(&index.keys),
        projection: projection(&index.projection),
        provisioned_throughput: (!on_demand).then(|| units(index.throughput)),
        ..Default::default()
    });
    let definitions = table.attributes.iter();
    let definitions = definitions.map(|(name, kind)| t::AttributeDefinition {
        attribute_name: name.clone(),
        attribute_type: kind.clone(),
    });
    let mode = if on_demand {
        "PAY_PER_REQUEST"
    } else {
        "PROVISIONED"
    };
    t::TableCreationParameters {
        table_name: table.name.clone(),
        attribute_definitions: definitions.collect(),
        key_schema: keys(&table.keys),
        billing_mode: Some(mode.to_owned()),
        provisioned_throughput: (!on_demand).then(|| units(table.billing.throughput)),
        on_demand_throughput: None,
        sse_specification: table.sealing.as_ref().and_then(encryption),
        global_secondary_indexes: (!table.globals.is_empty()).then(|| globals.collect()),
    }
}

fn encryption(sealing: &Sealing) -> Option<t::SSESpecification> {
    let Wrapped::Kms(kms) = &sealing.wrapped else {
        return None;
    };
    Some(t::SSESpecification {
        enabled: Some(true),
        sse_type: Some("KMS".to_owned()),
        kms_master_key_id: Some(kms.key.clone()),
    })
}
