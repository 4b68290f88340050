//! ExecuteTransaction: PartiQL statements, all or none, by the ways of TransactWriteItems and
//! TransactGetItems.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_dynamodb::types as t;

use super::statements::shows;
use super::transact::{Get, Transaction, consumed_by, read_all, write_all};
use crate::errors::{Refusal, Result};
use crate::items;
use crate::page::Source;
use crate::partiql::plan::{self, Reading};
use crate::partiql::{Select, Statement, parse};
use crate::state::{DynamoDb, key_of};
use crate::value::item_to;

pub(crate) async fn execute_transaction(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::ExecuteTransactionInput,
) -> gureum_schema::Result<t::ExecuteTransactionOutput> {
    let mut statements = Vec::new();
    for (number, one) in input.transact_statements.into_iter().enumerate() {
        let show_failed = shows(one.return_values_on_condition_check_failure.as_deref());
        let statement = parse(&one.statement, one.parameters);
        statements.push((
            statement.map_err(|refusal| refusal.in_statement(number))?,
            show_failed,
        ));
    }
    let reads = statements.iter().filter(|(one, _)| one.is_read()).count();
    if reads > 0 && reads < statements.len() {
        return Err(Refusal::validation(
            "ExecuteTransaction API does not support both read and write operations in the same request.",
        )
        .into());
    }
    let capacity = input.return_consumed_capacity.as_deref();
    if reads > 0 {
        return select(&db, &cx, statements, capacity).await;
    }
    let count = statements.len();
    let inserting: Vec<bool> = statements
        .iter()
        .map(|(one, _)| matches!(one, Statement::Insert { .. }))
        .collect();
    let writes = statements
        .into_iter()
        .enumerate()
        .map(|(number, (statement, show_failed))| {
            let planned = planned(&db, &cx, statement, show_failed);
            planned.map_err(|refusal| refusal.in_statement(number))
        });
    let writes = writes.collect::<Result<Vec<_>>>()?;
    let transaction = Transaction {
        operation: "ExecuteTransaction",
        token: input.client_request_token.as_deref(),
    };
    let outcome = write_all(&db, &cx, &transaction, &writes).await;
    let outcome = outcome.map_err(|refusal| refusal.of_inserts(&inserting))?;
    Ok(t::ExecuteTransactionOutput {
        responses: Some(vec![t::ItemResponse::default(); count]),
        consumed_capacity: consumed_by(&outcome, capacity),
    })
}

fn planned(
    db: &DynamoDb,
    cx: &Cx,
    statement: Statement,
    show_failed: bool,
) -> Result<(crate::model::TableKey, crate::request::Write)> {
    if statement.returning().is_some() {
        return Err(Refusal::validation(
            "RETURNING clause is not supported in ExecuteTransaction",
        ));
    }
    let key = key_of(cx, statement.table())?;
    let live = db.find(&key).ok_or_else(Refusal::no_table)?;
    Ok((key, plan::write(&live.table, statement, show_failed)?))
}

async fn select(
    db: &DynamoDb,
    cx: &Cx,
    statements: Vec<(Statement, bool)>,
    capacity: Option<&str>,
) -> gureum_schema::Result<t::ExecuteTransactionOutput> {
    let (mut gets, mut selects) = (Vec::new(), Vec::new());
    for (number, (statement, _)) in statements.into_iter().enumerate() {
        if let Statement::Select(select) = statement {
            let get = get(db, cx, &select).await;
            gets.push(get.map_err(|refusal| refusal.in_statement(number))?);
            selects.push(select);
        }
    }
    let (items, told) = read_all(db, cx, gets, capacity)?;
    let responses = items.into_iter().zip(selects).map(|(item, select)| {
        let item = item.map(|item| item_to(select.shown(item)));
        t::ItemResponse { item }
    });
    Ok(t::ExecuteTransactionOutput {
        responses: Some(responses.collect()),
        consumed_capacity: told,
    })
}

async fn get(db: &DynamoDb, cx: &Cx, select: &Select) -> Result<Get> {
    if select.index.is_some() {
        return Err(Refusal::validation(
            "Reads on indices are not supported within transactions.",
        ));
    }
    let live = db.opened(cx, &select.table).await?;
    let reading = Reading::of(&Source::new(&live.table, None)?, select)?;
    let key = reading.only_key(&live.table).ok_or_else(|| {
        Refusal::validation(
            "Select statements within ExecuteTransaction must specify the primary key in the where clause.",
        )
    })?;
    let at = items::key_of(&live.table, key)?;
    Ok(Get { live, at })
}
