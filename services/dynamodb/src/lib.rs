//! DynamoDB: tables of items, found by key, and the streams of their changes.
//!
//! An item is one row, each index entry another; all rows of one write, its stream record
//! included, are written in one transaction of the store. So conditions see what is really there,
//! indexes never disagree with their table, and a transaction of many items is just one more
//! transaction. Rows lie in the order of (table or index, hash of the partition key, partition key,
//! sort key), encoded so that bytes compare as DynamoDB compares keys: a read of one item is one
//! get, a query one range, a segment of a parallel scan one range of hashes.
//!
//! Invariants:
//! * numbers keep their 38 digits, and what cannot be kept is refused;
//! * expressions and the older parameters are read into the same trees ([`expression`]), so they
//!   mean the same; so are PartiQL's statements ([`partiql`]);
//! * an index that is added to a table is kept by writers from that moment on, and readable when
//!   everything older has come in;
//! * what an item says, its key aside, lies on the disk only as it is sealed under its table's data
//!   key ([`sealing`]);
//! * records of a stream are numbered by the store's commits: none shows up late.
//!
//! Honest gaps: a global index that lacks write capacity does not hold up writes
//! to its table, and on-demand tables are never throttled.
//! Contributor insights, Kinesis destinations, and index keys of more than two attributes are not
//! there.

mod asks;
mod backfill;
mod backup;
mod capacity;
mod collections;
mod errors;
mod expression;
mod global;
mod items;
mod model;
mod ops;
mod page;
mod partiql;
mod reconcile;
mod request;
mod reset;
mod schema;
mod sealing;
mod shards;
mod state;
mod sweep;
mod throttle;
mod transfer;
mod value;

use std::sync::Arc;

use gureum_dispatch::Service;
use gureum_model_dynamodb::{SERVICE, op};
use gureum_model_dynamodbstreams::{SERVICE as STREAMS, op as streams_op};

pub use state::DynamoDb;

impl DynamoDb {
    /// The table: operation, what it asks of the policy engine, handler.
    pub fn service(self: &Arc<Self>) -> Service {
        use crate::request::Single;
        use asks::statements as asked;
        use ops::{backups, exports, global_tables, imports, recovery, restore};
        use ops::{
            batch, describe, items, policies, query, statements, tables, tags, transact, ttl,
        };
        Service::builder(&SERVICE, Arc::clone(self))
            .op_refusing::<op::CreateTable, _>(
                &[
                    "GlobalTableSourceArn",
                    "GlobalTableSettingsReplicationMode",
                    "OnDemandThroughput",
                    "WarmThroughput",
                ],
                asks::create_table,
                tables::create_table,
            )
            .op_refusing::<op::UpdateTable, _>(
                &[
                    "GlobalTableSettingsReplicationMode",
                    "GlobalTableWitnessUpdates",
                    "OnDemandThroughput",
                    "WarmThroughput",
                ],
                global::asks::update_table,
                ops::update_table::update_table,
            )
            .op::<op::DeleteTable, _>(asks::delete_table, tables::delete_table)
            .op::<op::ListTables, _>(asks::list_tables, tables::list_tables)
            .op::<op::DescribeTable, _>(asks::describe_table, describe::describe_table)
            .op::<op::DescribeContinuousBackups, _>(
                asks::describe_continuous_backups,
                recovery::describe_continuous_backups,
            )
            .op::<op::UpdateContinuousBackups, _>(
                backup::asks::update_continuous_backups,
                recovery::update_continuous_backups,
            )
            .op_refusing::<op::RestoreTableToPointInTime, _>(
                &["OnDemandThroughputOverride"],
                backup::asks::restore_to_point_in_time,
                restore::restore_to_point_in_time,
            )
            .op::<op::ExportTableToPointInTime, _>(transfer::asks::export, exports::export_table)
            .op::<op::DescribeExport, _>(transfer::asks::describe_export, exports::describe_export)
            .op::<op::ListExports, _>(transfer::asks::list_exports, exports::list_exports)
            .op::<op::ImportTable, _>(transfer::asks::import, imports::import_table)
            .op::<op::DescribeImport, _>(transfer::asks::describe_import, imports::describe_import)
            .op::<op::ListImports, _>(transfer::asks::list_imports, imports::list_imports)
            .op::<op::CreateBackup, _>(backup::asks::create_backup, backups::create_backup)
            .op::<op::DescribeBackup, _>(backup::asks::describe_backup, backups::describe_backup)
            .op::<op::DeleteBackup, _>(backup::asks::delete_backup, backups::delete_backup)
            .op::<op::ListBackups, _>(backup::asks::list_backups, backups::list_backups)
            .op_refusing::<op::RestoreTableFromBackup, _>(
                &["OnDemandThroughputOverride"],
                backup::asks::restore_from_backup,
                restore::restore_from_backup,
            )
            .op::<op::CreateGlobalTable, _>(
                global::asks::create_global_table,
                global_tables::create_global_table,
            )
            .op::<op::UpdateGlobalTable, _>(
                global::asks::update_global_table,
                global_tables::update_global_table,
            )
            .op::<op::DescribeGlobalTable, _>(
                global::asks::describe_global_table,
                global_tables::describe_global_table,
            )
            .op::<op::ListGlobalTables, _>(
                global::asks::list_global_tables,
                global_tables::list_global_tables,
            )
            .op::<op::DescribeLimits, _>(asks::describe_limits, describe::describe_limits)
            .op::<op::DescribeEndpoints, _>(asks::describe_endpoints, describe::describe_endpoints)
            .op_finding::<op::GetItem, _, _>(&[], Single::get, asks::get_item, items::get_item)
            .op_finding::<op::PutItem, _, _>(&[], Single::put, asks::put_item, items::put_item)
            .op_finding::<op::UpdateItem, _, _>(
                &[],
                Single::update,
                asks::update_item,
                items::update_item,
            )
            .op_finding::<op::DeleteItem, _, _>(
                &[],
                Single::delete,
                asks::delete_item,
                items::delete_item,
            )
            .op::<op::Query, _>(asks::query, query::query)
            .op::<op::Scan, _>(asks::scan, query::scan)
            .op::<op::BatchGetItem, _>(asks::batch_get, batch::batch_get_item)
            .op::<op::BatchWriteItem, _>(asks::batch_write, batch::batch_write_item)
            .op::<op::TransactGetItems, _>(asks::transact_get, transact::transact_get_items)
            .op::<op::TransactWriteItems, _>(asks::transact_write, transact::transact_write_items)
            .op::<op::ExecuteStatement, _>(asked::execute, statements::execute_statement)
            .op::<op::BatchExecuteStatement, _>(
                asked::batch_execute,
                statements::batch_execute_statement,
            )
            .op::<op::ExecuteTransaction, _>(
                asked::execute_transaction,
                ops::statement_transact::execute_transaction,
            )
            .op::<op::TagResource, _>(asks::tag_resource, tags::tag_resource)
            .op::<op::UntagResource, _>(asks::untag_resource, tags::untag_resource)
            .op::<op::ListTagsOfResource, _>(asks::list_tags, tags::list_tags)
            .op::<op::PutResourcePolicy, _>(asks::put_policy, policies::put_policy)
            .op::<op::GetResourcePolicy, _>(asks::get_policy, policies::get_policy)
            .op::<op::DeleteResourcePolicy, _>(asks::delete_policy, policies::delete_policy)
            .op::<op::UpdateTimeToLive, _>(asks::update_ttl, ttl::update_ttl)
            .op::<op::DescribeTimeToLive, _>(asks::describe_ttl, ttl::describe_ttl)
            .invalid(errors::invalid)
            .build()
    }

    /// The streams' own API.
    pub fn streams_service(self: &Arc<Self>) -> Service {
        use ops::streams;
        Service::builder(&STREAMS, Arc::clone(self))
            .op::<streams_op::ListStreams, _>(asks::list_streams, streams::list_streams)
            .op::<streams_op::DescribeStream, _>(asks::describe_stream, streams::describe_stream)
            .op::<streams_op::GetShardIterator, _>(
                asks::get_shard_iterator,
                streams::get_shard_iterator,
            )
            .op::<streams_op::GetRecords, _>(asks::get_records, streams::get_records)
            .invalid(errors::invalid)
            .build()
    }
}
