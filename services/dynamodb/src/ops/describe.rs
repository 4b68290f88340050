//! Tables as they are told, and the account's limits.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_dynamodb::types as t;
use gureum_schema::Timestamp;

use crate::errors::Refusal;
use crate::model::{Billing, Index, KeySchema, Projected, Table, Throughput};
use crate::sealing;
use crate::state::{DynamoDb, key_of};

pub(crate) async fn describe_table(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::DescribeTableInput,
) -> gureum_schema::Result<t::DescribeTableOutput> {
    let key = key_of(&cx, &input.table_name)?;
    let live = db
        .find(&key)
        .ok_or_else(|| Refusal::no_table_named(&key.2))?;
    Ok(t::DescribeTableOutput {
        table: Some(describe(&db, &live.table, None)),
    })
}

/// AWS's default quotas.
pub(crate) async fn describe_limits(
    _: Arc<DynamoDb>,
    _: Cx,
    _: t::DescribeLimitsInput,
) -> gureum_schema::Result<t::DescribeLimitsOutput> {
    Ok(t::DescribeLimitsOutput {
        account_max_read_capacity_units: Some(80_000),
        account_max_write_capacity_units: Some(80_000),
        table_max_read_capacity_units: Some(40_000),
        table_max_write_capacity_units: Some(40_000),
    })
}

pub(crate) async fn describe_endpoints(
    _: Arc<DynamoDb>,
    cx: Cx,
    _: t::DescribeEndpointsRequest,
) -> gureum_schema::Result<t::DescribeEndpointsResponse> {
    let address = cx.request.endpoint.split("://").last().unwrap_or_default();
    Ok(t::DescribeEndpointsResponse {
        endpoints: vec![t::Endpoint {
            address: address.to_owned(),
            cache_period_in_minutes: 1440,
        }],
    })
}

pub(crate) fn keys(schema: &KeySchema) -> Vec<t::KeySchemaElement> {
    let element = |name: &String, kind: &str| t::KeySchemaElement {
        attribute_name: name.clone(),
        key_type: kind.to_owned(),
    };
    let sort = schema.sort.iter().map(|name| element(name, "RANGE"));
    std::iter::once(element(&schema.partition, "HASH"))
        .chain(sort)
        .collect()
}

pub(crate) fn projection(projected: &Projected) -> t::Projection {
    let (kind, names) = match projected {
        Projected::All => ("ALL", None),
        Projected::KeysOnly => ("KEYS_ONLY", None),
        Projected::Include(names) => ("INCLUDE", Some(names.clone())),
    };
    t::Projection {
        projection_type: Some(kind.to_owned()),
        non_key_attributes: names,
    }
}

fn throughput(units: Throughput, billing: Option<&Billing>) -> t::ProvisionedThroughputDescription {
    t::ProvisionedThroughputDescription {
        last_increase_date_time: billing.and_then(|b| b.increased).map(Timestamp),
        last_decrease_date_time: billing.and_then(|b| b.decreased).map(Timestamp),
        number_of_decreases_today: Some(0),
        read_capacity_units: Some(units.read),
        write_capacity_units: Some(units.write),
    }
}

fn global(db: &DynamoDb, table: &Table, index: &Index) -> t::GlobalSecondaryIndexDescription {
    let count = db.count_of(index.id);
    let status = if index.backfilling || table.history.making {
        "CREATING"
    } else {
        "ACTIVE"
    };
    t::GlobalSecondaryIndexDescription {
        index_name: Some(index.name.clone()),
        key_schema: Some(keys(&index.keys)),
        projection: Some(projection(&index.projection)),
        index_status: Some(status.to_owned()),
        backfilling: index.backfilling.then_some(true),
        provisioned_throughput: Some(throughput(index.throughput, None)),
        index_size_bytes: Some(count.bytes),
        item_count: Some(count.items),
        index_arn: Some(table.index_arn(&index.name)),
        on_demand_throughput: None,
        warm_throughput: None,
    }
}

fn local(db: &DynamoDb, table: &Table, index: &Index) -> t::LocalSecondaryIndexDescription {
    let count = db.count_of(index.id);
    t::LocalSecondaryIndexDescription {
        index_name: Some(index.name.clone()),
        key_schema: Some(keys(&index.keys)),
        projection: Some(projection(&index.projection)),
        index_size_bytes: Some(count.bytes),
        item_count: Some(count.items),
        index_arn: Some(table.index_arn(&index.name)),
    }
}

/// `status` where it is not what the table itself says.
pub(crate) fn describe(db: &DynamoDb, table: &Table, status: Option<&str>) -> t::TableDescription {
    let count = db.count_of(table.id);
    let filling = table.globals.iter().any(|index| index.backfilling);
    let lost = db.vault.lost_since(table.sealing.as_ref());
    let status = status.unwrap_or(match table.history.making {
        true => "CREATING",
        false if lost.is_some() => "INACCESSIBLE_ENCRYPTION_CREDENTIALS",
        false if filling => "UPDATING",
        false => "ACTIVE",
    });
    let billing = &table.billing;
    let definitions = table.attributes.iter();
    let definitions = definitions.map(|(name, kind)| t::AttributeDefinition {
        attribute_name: name.clone(),
        attribute_type: kind.clone(),
    });
    let locals = table.locals.iter().map(|index| local(db, table, index));
    let globals = table.globals.iter().map(|index| global(db, table, index));
    let stream = table.stream.as_ref();
    let summary = billing.on_demand_since.map(|since| t::BillingModeSummary {
        billing_mode: Some(
            if billing.on_demand {
                "PAY_PER_REQUEST"
            } else {
                "PROVISIONED"
            }
            .to_owned(),
        ),
        last_update_to_pay_per_request_date_time: Some(Timestamp(since)),
    });
    t::TableDescription {
        attribute_definitions: Some(definitions.collect()),
        table_name: Some(table.name.clone()),
        key_schema: Some(keys(&table.keys)),
        table_status: Some(status.to_owned()),
        creation_date_time: Some(Timestamp(table.created)),
        provisioned_throughput: Some(throughput(billing.throughput, Some(billing))),
        table_size_bytes: Some(count.bytes),
        item_count: Some(count.items),
        table_arn: Some(table.arn().to_string()),
        table_id: Some(table.uuid.clone()),
        billing_mode_summary: summary,
        local_secondary_indexes: (!table.locals.is_empty()).then(|| locals.collect()),
        global_secondary_indexes: (!table.globals.is_empty()).then(|| globals.collect()),
        stream_specification: stream.map(|stream| t::StreamSpecification {
            stream_enabled: true,
            stream_view_type: Some(stream.view.clone()),
        }),
        latest_stream_label: stream.map(|stream| stream.label.clone()),
        latest_stream_arn: table.stream_arn(),
        table_class_summary: table.class.as_ref().map(|class| t::TableClassSummary {
            table_class: Some(class.clone()),
            last_update_date_time: None,
        }),
        deletion_protection_enabled: Some(table.protected),
        sse_description: sealing::told(table.sealing.as_ref(), lost),
        global_table_version: table.is_current().then(|| "2019.11.21".to_owned()),
        replicas: super::replicas::told(db, table),
        multi_region_consistency: table.is_current().then(|| "EVENTUAL".to_owned()),
        restore_summary: table
            .history
            .restored
            .as_ref()
            .map(|from| t::RestoreSummary {
                source_backup_arn: from.backup.clone(),
                source_table_arn: Some(from.table.clone()),
                restore_date_time: Timestamp(from.at),
                restore_in_progress: table.history.making,
            }),
        ..t::TableDescription::default()
    }
}
