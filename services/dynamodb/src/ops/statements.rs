//! ExecuteStatement and BatchExecuteStatement: PartiQL on the item operations' own ways.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use gureum_dispatch::Cx;
use gureum_kit::idempotency::fingerprint;
use gureum_model_dynamodb::types as t;
use serde::{Deserialize, Serialize};

use super::items::single;
use super::query::{check_consistency, consumed, missing};
use crate::asks::statements as asks;
use crate::capacity::{Consumed, read_units};
use crate::errors::{Refusal, Result};
use crate::items::{self, start_key};
use crate::model::EntryKey;
use crate::page::{MAX_PAGE, Plan, Source};
use crate::partiql::plan::{self, Reading};
use crate::partiql::{Select, Statement, parse};
use crate::state::{DynamoDb, Live};
use crate::value::{Item, item_size, item_to};

/// Where the next page of a `SELECT` begins: in which of its partitions, and behind which entry.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Position {
    partition: usize,
    /// Place in scans, partition key, sort key, key in the table.
    entry: Option<(u64, Bytes, Bytes, Bytes)>,
}

impl Position {
    fn at(partition: usize) -> Self {
        Self {
            partition,
            entry: None,
        }
    }

    fn behind(partition: usize, (_, place, key, sort, base): EntryKey) -> Self {
        Self {
            partition,
            entry: Some((place, key.into(), sort.into(), base.into())),
        }
    }

    fn key(self, space: u64) -> Option<EntryKey> {
        let (place, key, sort, base) = self.entry?;
        Some((space, place, key.into(), sort.into(), base.into()))
    }
}

/// A page of a `SELECT`.
#[derive(Default)]
struct Pages {
    items: Vec<Item>,
    consumed: Consumed,
    last: Option<Item>,
    next: Option<Position>,
}

pub(crate) async fn execute_statement(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::ExecuteStatementInput,
) -> gureum_schema::Result<t::ExecuteStatementOutput> {
    let capacity = input.return_consumed_capacity.as_deref();
    let statement = parse(&input.statement, input.parameters.clone())?;
    let select = match statement {
        Statement::Select(select) => select,
        statement => {
            let show_failed = shows(input.return_values_on_condition_check_failure.as_deref());
            let done = execute_write(&db, &cx, statement, show_failed).await?;
            return Ok(t::ExecuteStatementOutput {
                items: Some(done.item.into_iter().map(item_to).collect()),
                consumed_capacity: done.consumed.told(&done.table, capacity, false),
                ..Default::default()
            });
        }
    };
    let scope = page_scope(&cx, &input);
    let invalid = || Refusal::validation("Invalid NextToken");
    let start = input.next_token.as_deref().map(|token| {
        let position = db.tokens.open(&scope, token).ok_or_else(invalid)?;
        rmp_serde::from_slice(&position).map_err(|_| invalid())
    });
    let start = start.transpose()?;
    let limit = input.limit.and_then(|limit| usize::try_from(limit).ok());
    let live = db.opened(&cx, &select.table).await?;
    let name = &live.table.name;
    let pages = read(
        &db,
        &cx,
        (&live, &select),
        input.consistent_read,
        limit,
        start,
    )?;
    let next = pages.next.map(|position| {
        let position = rmp_serde::to_vec(&position);
        position.map(|position| db.tokens.seal(&scope, &position))
    });
    let next = next.transpose();
    Ok(t::ExecuteStatementOutput {
        items: Some(pages.items.into_iter().map(item_to).collect()),
        next_token: next.map_err(|error| Refusal::Broken(error.to_string()))?,
        consumed_capacity: pages.consumed.told(name, capacity, false),
        last_evaluated_key: pages.last.map(item_to),
    })
}

pub(super) fn shows(how: Option<&str>) -> bool {
    how == Some("ALL_OLD")
}

/// A token is for one statement with its parameters.
fn page_scope(cx: &Cx, input: &t::ExecuteStatementInput) -> String {
    let statement = format!("{:?}", (&input.statement, &input.parameters));
    format!(
        "dynamodb:ExecuteStatement/{}/{}/{}",
        cx.account(),
        cx.region,
        hex::encode(fingerprint(statement.as_bytes()))
    )
}

/// Reads one page of a `SELECT`, from `start` on.
fn read(
    db: &DynamoDb,
    cx: &Cx,
    (live, select): (&Live, &Select),
    consistent: Option<bool>,
    limit: Option<usize>,
    start: Option<Position>,
) -> Result<Pages> {
    let source = Source::new(&live.table, select.index.as_deref())?;
    let consistent = check_consistency(&source, consistent)?;
    let reading = Reading::of(&source, select)?;
    let global = source.index.filter(|_| source.is_global());
    db.throttle.admit(&live.table, global, false, cx.now.0)?;
    let view = db.store.read();
    let entries = reading.spans(&source);
    let first = start.as_ref().map_or(0, |position| position.partition);
    let mut after = start.and_then(|position| position.key(source.space()));
    let projection = select.projection();
    let fetch = match &projection {
        Some(projection) => missing(&source, projection)?,
        None => false,
    };
    let (count, mut left, mut bytes) = (entries.len(), limit, 0);
    let mut pages = Pages::default();
    for (number, entries) in entries.into_iter().enumerate().skip(first) {
        let plan = Plan {
            source,
            entries: match after.take() {
                Some(key) => entries.after(key),
                None => entries,
            },
            limit: left,
            filter: reading.filter.clone(),
            projection: projection.clone(),
            count_only: false,
            fetch,
        };
        let mut page = plan.read(&view)?;
        pages.consumed.add(&consumed(&source, &page, consistent));
        let items = std::mem::take(&mut page.items).into_iter();
        pages.items.extend(items.map(|item| select.shown(item)));
        bytes += page.bytes;
        left = left.map(|left| left.saturating_sub(page.scanned));
        // Behind an item that was named by its whole key there is nothing.
        if let Some(last) = page.last.filter(|_| !reading.exact) {
            let key = start_key(source.table, source.index, &last)?;
            pages.next = Some(Position::behind(number, key));
            pages.last = Some(last);
        } else if (left == Some(0) || bytes >= MAX_PAGE) && number + 1 < count {
            pages.next = Some(Position::at(number + 1));
        }
        if pages.next.is_some() {
            break;
        }
    }
    db.throttle.charge(&live.table, &pages.consumed, cx.now.0);
    Ok(pages)
}

/// What one statement did.
struct Executed {
    table: String,
    item: Option<Item>,
    consumed: Consumed,
}

async fn execute_write(
    db: &DynamoDb,
    cx: &Cx,
    statement: Statement,
    show_failed: bool,
) -> Result<Executed> {
    if matches!(statement, Statement::Exists(_)) {
        return Err(Refusal::validation(
            "EXISTS() is only supported in ExecuteTransaction",
        ));
    }
    let live = db.table(cx, statement.table())?;
    let returning = statement.returning();
    let inserting = matches!(statement, Statement::Insert { .. });
    let write = plan::write(&live.table, statement, show_failed)?;
    let done = single(db, cx, Some(Arc::clone(&live)), &write).await;
    let done = done.map_err(|refusal| refusal.of_insert(inserting))?;
    let consumed = done.consumption(1);
    Ok(Executed {
        table: live.table.name.clone(),
        item: plan::returned(
            returning,
            &write.effect,
            done.old,
            done.new.map(Arc::unwrap_or_clone),
        ),
        consumed,
    })
}

pub(crate) async fn batch_execute_statement(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::BatchExecuteStatementInput,
) -> gureum_schema::Result<t::BatchExecuteStatementOutput> {
    let parsed: Vec<_> = input
        .statements
        .iter()
        .map(|one| parse(&one.statement, one.parameters.clone()))
        .collect();
    let reads = parsed.iter().flatten().filter(|one| one.is_read()).count();
    if reads > 0 && reads < parsed.iter().flatten().count() {
        return Err(Refusal::validation(
            "BatchExecuteStatement API does not support both read and write operations in the same request.",
        )
        .into());
    }
    let (db, cx) = (&*db, &cx);
    let members = input.statements.iter().zip(parsed);
    // All at once: what they write shares its commits.
    let members = members.map(|(request, statement)| async move {
        match statement {
            Ok(statement) => member(db, cx, statement, request).await,
            Err(refusal) => Err(Failed::Refused(refusal)),
        }
    });
    let mut responses = Vec::new();
    let mut consumed: BTreeMap<String, Consumed> = BTreeMap::new();
    for done in join_all(members).await {
        responses.push(match done {
            Ok(done) => {
                let sum = consumed.entry(done.table.clone());
                sum.or_default().add(&done.consumed);
                t::BatchStatementResponse {
                    error: None,
                    table_name: Some(done.table),
                    item: done.item.map(item_to),
                }
            }
            Err(failed) => t::BatchStatementResponse {
                error: Some(failed.told()),
                table_name: None,
                item: None,
            },
        });
    }
    let capacity = input.return_consumed_capacity.as_deref();
    let told = consumed
        .iter()
        .filter_map(|(name, sum)| sum.told(name, capacity, false));
    let told: Vec<_> = told.collect();
    Ok(t::BatchExecuteStatementOutput {
        responses: Some(responses),
        consumed_capacity: (!told.is_empty()).then_some(told),
    })
}

/// One statement of a batch, which is allowed or denied by itself.
async fn member(
    db: &DynamoDb,
    cx: &Cx,
    statement: Statement,
    request: &t::BatchStatementRequest,
) -> Result<Executed, Failed> {
    let ask = asks::of(db, cx, &statement)?;
    cx.demand(&ask, |denial| Failed::Denied(denial.message()))?;
    let show_failed = shows(request.return_values_on_condition_check_failure.as_deref());
    let Statement::Select(select) = &statement else {
        return Ok(execute_write(db, cx, statement, show_failed).await?);
    };
    let live = db.opened(cx, &select.table).await?;
    let table = &live.table;
    let key = Reading::of(&Source::new(table, select.index.as_deref())?, select)?.only_key(table);
    let key = key.ok_or_else(|| {
        Refusal::validation(
            "Select statements within BatchExecuteStatement must specify the primary key in the where clause.",
        )
    })?;
    let at = items::key_of(table, key)?;
    db.throttle.admit(table, None, false, cx.now.0)?;
    let item = items::read(&db.store.read(), table, &at).map_err(Failed::Refused)?;
    let size = item.as_ref().map_or(0, item_size);
    let consumed = Consumed::reading(read_units(size, request.consistent_read == Some(true)));
    db.throttle.charge(table, &consumed, cx.now.0);
    Ok(Executed {
        table: table.name.clone(),
        item: item.map(|item| select.shown(item)),
        consumed,
    })
}

/// Why a statement of a batch was not carried out.
enum Failed {
    Refused(Refusal),
    Denied(String),
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Failed {
    fn told(self) -> t::BatchStatementError {
        let (code, message, item) = match self {
            Self::Denied(message) => ("AccessDenied", message, None),
            Self::Refused(refusal) => {
                let code = match &refusal {
                    Refusal::Validation(_) | Refusal::NotImplemented(_) => "ValidationError",
                    Refusal::ConditionFailed(_) => "ConditionalCheckFailed",
                    Refusal::Duplicate => "DuplicateItem",
                    Refusal::CollectionFull => "ItemCollectionSizeLimitExceeded",
                    Refusal::NotFound(_) => "ResourceNotFound",
                    Refusal::ThroughputExceeded => "ProvisionedThroughputExceeded",
                    Refusal::Conflict => "TransactionConflict",
                    _ => "InternalServerError",
                };
                let item = match &refusal {
                    Refusal::ConditionFailed(item) => item.clone(),
                    _ => None,
                };
                (code, gureum_schema::Error::from(refusal).message, item)
            }
        };
        t::BatchStatementError {
            code: Some(code.to_owned()),
            message: Some(message),
            item: item.map(item_to),
        }
    }
}
