//! What PartiQL statements ask of the policy engine.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-iam.html>

use gureum_dispatch::{Ask, Cx};
use gureum_model_dynamodb::types as t;

use super::{about, capacity, leading, selects, write};
use crate::errors::Result;
use crate::expression::Projection;
use crate::page::Source;
use crate::partiql::plan::{self, Reading, names_in};
use crate::partiql::{Returning, Select, Statement, parse};
use crate::state::{DynamoDb, key_of};
use crate::value::Item;

/// The ask of one statement.
pub(crate) fn of(db: &DynamoDb, cx: &Cx, statement: &Statement) -> Result<Ask> {
    let action = match statement {
        Statement::Select(select) => return read(db, cx, select),
        Statement::Exists(_) => "dynamodb:PartiQLSelect",
        Statement::Insert { .. } => "dynamodb:PartiQLInsert",
        Statement::Update { .. } => "dynamodb:PartiQLUpdate",
        Statement::Delete { .. } => "dynamodb:PartiQLDelete",
    };
    let key = key_of(cx, statement.table())?;
    let Some(live) = db.find(&key) else {
        return Ok(about(db, action, &key, None));
    };
    let returning = statement.returning().map(Returning::as_str);
    // What does not fit the table's keys is told to those who may know of them, by the handler.
    let Ok(planned) = plan::write(&live.table, statement.clone(), false) else {
        return Ok(about(db, action, &key, None));
    };
    Ok(write(cx, (&key, Some(&live)), action, &planned, returning))
}

fn read(db: &DynamoDb, cx: &Cx, select: &Select) -> Result<Ask> {
    let key = key_of(cx, &select.table)?;
    let index = select.index.as_deref();
    let projection = select.projection();
    let mut names = Vec::new();
    names_in(select.filter.as_ref(), &mut names);
    names.extend(projection.iter().flat_map(Projection::names).cloned());
    names.sort();
    names.dedup();
    let selected = selects(None, projection.as_ref(), index.is_some());
    let mut ask = about(db, "dynamodb:PartiQLSelect", &key, index).key("dynamodb:Select", selected);
    if !names.is_empty() {
        ask = ask.keys("dynamodb:Attributes", names);
    }
    let Some(live) = db.find(&key) else {
        return Ok(ask);
    };
    let source = Source::new(&live.table, index);
    let Ok(reading) = source.and_then(|source| Reading::of(&source, select)) else {
        return Ok(ask);
    };
    ask = ask.key("dynamodb:FullTableScan", reading.partitions.is_none());
    let Some(partitions) = reading.partitions else {
        return Ok(ask);
    };
    // The leading key is that of the index where one is read.
    let name = &live.table.keys.partition;
    let leads = partitions
        .into_iter()
        .filter_map(|one| leading(Some(&live), &Item::from([(name.clone(), one.partition)])));
    Ok(ask.keys("dynamodb:LeadingKeys", leads.collect()))
}

pub(crate) fn execute(
    db: &DynamoDb,
    cx: &Cx,
    input: &t::ExecuteStatementInput,
) -> gureum_schema::Result<Vec<Ask>> {
    let statement = parse(&input.statement, input.parameters.clone())?;
    let ask = of(db, cx, &statement)?;
    Ok(vec![capacity(
        cx,
        ask,
        input.return_consumed_capacity.as_deref(),
    )])
}

/// Each statement of a batch is asked about when its turn comes: one that is denied does not keep
/// the others from being carried out.
#[allow(clippy::unnecessary_wraps)]
pub(crate) fn batch_execute(
    _: &DynamoDb,
    _: &Cx,
    _: &t::BatchExecuteStatementInput,
) -> gureum_schema::Result<Vec<Ask>> {
    Ok(Vec::new())
}

pub(crate) fn execute_transaction(
    db: &DynamoDb,
    cx: &Cx,
    input: &t::ExecuteTransactionInput,
) -> gureum_schema::Result<Vec<Ask>> {
    let one = |(number, one): (usize, &t::ParameterizedStatement)| {
        let asked = parse(&one.statement, one.parameters.clone())
            .and_then(|statement| of(db, cx, &statement))
            .map_err(|refusal| refusal.in_statement(number))?;
        Ok(asked.key("dynamodb:EnclosingOperation", "ExecuteTransaction"))
    };
    input
        .transact_statements
        .iter()
        .enumerate()
        .map(one)
        .collect()
}
