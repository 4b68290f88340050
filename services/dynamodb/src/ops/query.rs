//! Query and Scan.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_dynamodb::types as t;

use crate::capacity::{Consumed, read_units};
use crate::errors::{Refusal, Result};
use crate::expression::key_condition::KeyCondition;
use crate::expression::{Condition, Projection, Scope, legacy};
use crate::items::start_key;
use crate::model::{EntryKey, Projected};
use crate::page::{Page, Plan, Source, in_segment};
use crate::state::DynamoDb;
use crate::value::{item_from, item_to};

const MAX_SEGMENTS: i32 = 1_000_000;

/// The expressions of a query or scan, read.
pub(crate) struct Reads {
    pub(crate) key: Option<Condition>,
    pub(crate) filter: Option<Condition>,
    pub(crate) projection: Option<Projection>,
}

/// Reads the expressions of a query in either age of parameters.
pub(crate) fn read_query(input: &t::QueryInput) -> Result<Reads> {
    legacy::only_one_age(
        &[
            ("AttributesToGet", input.attributes_to_get.is_some()),
            ("QueryFilter", input.query_filter.is_some()),
            ("ConditionalOperator", input.conditional_operator.is_some()),
            ("KeyConditions", input.key_conditions.is_some()),
        ],
        &[
            (
                "ProjectionExpression",
                input.projection_expression.is_some(),
            ),
            ("FilterExpression", input.filter_expression.is_some()),
            (
                "KeyConditionExpression",
                input.key_condition_expression.is_some(),
            ),
        ],
    )?;
    let mut scope = Scope::new(
        input.expression_attribute_names.clone(),
        input.expression_attribute_values.clone(),
        &[
            (
                "ProjectionExpression",
                input.projection_expression.is_some(),
            ),
            ("FilterExpression", input.filter_expression.is_some()),
            (
                "KeyConditionExpression",
                input.key_condition_expression.is_some(),
            ),
        ],
    )?;
    let key = match &input.key_condition_expression {
        Some(text) => Some(scope.condition("KeyConditionExpression", text)?),
        None => legacy::conditions(input.key_conditions.clone(), None)?,
    };
    let operator = input.conditional_operator.as_deref();
    let filter = match &input.filter_expression {
        Some(text) => Some(scope.condition("FilterExpression", text)?),
        None => legacy::conditions(input.query_filter.clone(), operator)?,
    };
    let projection = match (&input.projection_expression, &input.attributes_to_get) {
        (Some(text), _) => Some(scope.projection(text)?),
        (None, Some(names)) => Some(legacy::attributes(names.clone())?),
        (None, None) => None,
    };
    scope.finish()?;
    Ok(Reads {
        key,
        filter,
        projection,
    })
}

pub(crate) fn read_scan(input: &t::ScanInput) -> Result<Reads> {
    legacy::only_one_age(
        &[
            ("AttributesToGet", input.attributes_to_get.is_some()),
            ("ScanFilter", input.scan_filter.is_some()),
            ("ConditionalOperator", input.conditional_operator.is_some()),
        ],
        &[
            (
                "ProjectionExpression",
                input.projection_expression.is_some(),
            ),
            ("FilterExpression", input.filter_expression.is_some()),
        ],
    )?;
    let mut scope = Scope::new(
        input.expression_attribute_names.clone(),
        input.expression_attribute_values.clone(),
        &[
            (
                "ProjectionExpression",
                input.projection_expression.is_some(),
            ),
            ("FilterExpression", input.filter_expression.is_some()),
        ],
    )?;
    let operator = input.conditional_operator.as_deref();
    let filter = match &input.filter_expression {
        Some(text) => Some(scope.condition("FilterExpression", text)?),
        None => legacy::conditions(input.scan_filter.clone(), operator)?,
    };
    let projection = match (&input.projection_expression, &input.attributes_to_get) {
        (Some(text), _) => Some(scope.projection(text)?),
        (None, Some(names)) => Some(legacy::attributes(names.clone())?),
        (None, None) => None,
    };
    scope.finish()?;
    Ok(Reads {
        key: None,
        filter,
        projection,
    })
}

/// Checks `Select` against the rest; gives whether only the count is wanted, and whether the
/// table's own items must be read for a local index.
fn select(
    source: &Source<'_>,
    select: Option<&str>,
    reads: &Reads,
    legacy: bool,
) -> Result<(bool, bool)> {
    let named = if legacy {
        "AttributesToGet"
    } else {
        "ProjectionExpression"
    };
    match (select, &reads.projection) {
        (Some("SPECIFIC_ATTRIBUTES"), None) => {
            return Err(Refusal::validation(
                "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
            ));
        }
        (Some(other), Some(_)) if other != "SPECIFIC_ATTRIBUTES" => {
            let what = if other == "COUNT" {
                "only the Count"
            } else {
                other
            };
            return Err(Refusal::validation(format!(
                "Cannot specify the {named} when choosing to get {what}"
            )));
        }
        (Some("ALL_PROJECTED_ATTRIBUTES"), _) if source.index.is_none() => {
            return Err(Refusal::validation(
                "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName",
            ));
        }
        _ => {}
    }
    let Some(index) = source.index else {
        return Ok((select == Some("COUNT"), false));
    };
    let mut fetch = false;
    if select == Some("ALL_ATTRIBUTES") && index.projection != Projected::All {
        if source.is_global() {
            return Err(Refusal::parameters(&format!(
                "Select type ALL_ATTRIBUTES is not supported for global secondary index {} because its projection type is not ALL",
                index.name
            )));
        }
        fetch = true;
    }
    if let Some(projection) = &reads.projection {
        fetch |= missing(source, projection)?;
    }
    Ok((select == Some("COUNT"), fetch))
}

/// Whether the table's own items must be read for what a local index does not hold; a global one
/// only gives what it has.
pub(super) fn missing(source: &Source<'_>, projection: &Projection) -> Result<bool> {
    let absent = projection.names().filter(|name| !source.holds(name));
    let absent: Vec<_> = absent.map(String::as_str).collect();
    match source.index {
        Some(index) if !absent.is_empty() && source.is_global() => {
            Err(Refusal::parameters(&format!(
                "Global secondary index {} does not project [{}]",
                index.name,
                absent.join(", ")
            )))
        }
        _ => Ok(!absent.is_empty()),
    }
}

pub(super) fn check_consistency(source: &Source<'_>, consistent: Option<bool>) -> Result<bool> {
    let consistent = consistent == Some(true);
    if consistent && source.is_global() {
        return Err(Refusal::validation(
            "Consistent reads are not supported on global secondary indexes",
        ));
    }
    Ok(consistent)
}

pub(super) fn consumed(source: &Source<'_>, page: &Page, consistent: bool) -> Consumed {
    let units = read_units(page.bytes, consistent);
    let mut consumed = Consumed::reading(0.0);
    match source.index {
        None => consumed.table = units,
        Some(index) if source.local => {
            consumed.locals.insert(index.name.clone(), units);
        }
        Some(index) => {
            consumed.globals.insert(index.name.clone(), units);
        }
    }
    consumed.table += page
        .fetched
        .iter()
        .map(|bytes| read_units(*bytes, consistent))
        .sum::<f64>();
    consumed
}

pub(crate) async fn query(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::QueryInput,
) -> gureum_schema::Result<t::QueryOutput> {
    let mut reads = read_query(&input)?;
    let live = db.opened(&cx, &input.table_name).await?;
    let source = Source::new(&live.table, input.index_name.as_deref())?;
    let consistent = check_consistency(&source, input.consistent_read)?;
    let legacy = input.attributes_to_get.is_some();
    let (count_only, fetch) = select(&source, input.select.as_deref(), &reads, legacy)?;
    let condition = reads.key.take().ok_or_else(|| {
        Refusal::validation(
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
        )
    })?;
    let condition = KeyCondition::of(condition, source.keys())?;
    check_filter(&source, reads.filter.as_ref(), input.query_filter.is_some())?;
    let mut entries = source.span(&condition);
    if input.scan_index_forward == Some(false) {
        entries = entries.reverse();
    }
    if let Some(start) = input.exclusive_start_key {
        let start = start_key(source.table, source.index, &item_from(start)?)?;
        let partition = crate::value::key::encode(&condition.partition);
        if partition.as_ref() != Some(&start.2) {
            return Err(Refusal::validation(
                "The provided starting key is outside query boundaries based on provided conditions",
            ).into());
        }
        entries = entries.after(start);
    }
    let plan = Plan {
        source,
        entries,
        limit: input.limit.and_then(|limit| usize::try_from(limit).ok()),
        filter: reads.filter,
        projection: reads.projection,
        count_only,
        fetch,
    };
    let capacity = input.return_consumed_capacity.as_deref();
    Ok(read(&db, plan, consistent, capacity, cx.now.0)?)
}

/// Reads what a query or a scan planned, at its table's cost.
fn read(
    db: &DynamoDb,
    plan: Plan<'_>,
    consistent: bool,
    capacity: Option<&str>,
    now: i64,
) -> Result<t::QueryOutput> {
    let (source, count_only) = (plan.source, plan.count_only);
    let table = source.table;
    let global = source.index.filter(|_| source.is_global());
    db.throttle.admit(table, global, false, now)?;
    let page = plan.read(&db.store.read())?;
    let consumed = consumed(&source, &page, consistent);
    db.throttle.charge(table, &consumed, now);
    let items = page.items.into_iter().map(item_to);
    Ok(t::QueryOutput {
        count: i32::try_from(page.count).ok(),
        scanned_count: i32::try_from(page.scanned).ok(),
        consumed_capacity: consumed.told(&table.name, capacity, false),
        last_evaluated_key: page.last.map(item_to),
        items: (!count_only).then(|| items.collect()),
    })
}

/// A query's filter is about what the key condition leaves open.
fn check_filter(source: &Source<'_>, filter: Option<&Condition>, legacy: bool) -> Result<()> {
    let Some(filter) = filter else { return Ok(()) };
    let keys = source.keys();
    let mut found = None;
    filter.paths(&mut |path| {
        let name = path.attribute.as_str();
        if name == keys.partition.0 || keys.sort.is_some_and(|(sort, _)| sort == name) {
            found.get_or_insert(name);
        }
    });
    let what = if legacy {
        "QueryFilter"
    } else {
        "Filter Expression"
    };
    match found {
        Some(name) => Err(Refusal::validation(format!(
            "{what} can only contain non-primary key attributes: Primary key attribute: {name}"
        ))),
        None => Ok(()),
    }
}

fn segment(number: Option<i32>, of: Option<i32>) -> Result<Option<(u32, u32)>> {
    let (number, of) = match (number, of) {
        (None, None) => return Ok(None),
        (Some(number), Some(of)) => (number, of),
        (None, Some(_)) => {
            return Err(Refusal::validation(
                "The Segment parameter is required but was not present in the request when parameter TotalSegments is present",
            ));
        }
        (Some(_), None) => {
            return Err(Refusal::validation(
                "The TotalSegments parameter is required but was not present in the request when Segment parameter is present",
            ));
        }
    };
    if !(1..=MAX_SEGMENTS).contains(&of) || number < 0 || number >= of {
        return Err(Refusal::validation(format!(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: {number} is not less than TotalSegments: {of}"
        )));
    }
    Ok(Some((number.unsigned_abs(), of.unsigned_abs())))
}

fn check_segment(start: &EntryKey, segment: Option<(u32, u32)>) -> Result<()> {
    match segment {
        Some(segment) if !in_segment(start, segment) => Err(Refusal::validation(format!(
            "The provided starting key is invalid: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct Segment. TotalSegments: {} Segment: {}",
            segment.1, segment.0
        ))),
        _ => Ok(()),
    }
}

pub(crate) async fn scan(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::ScanInput,
) -> gureum_schema::Result<t::ScanOutput> {
    let reads = read_scan(&input)?;
    let segment = segment(input.segment, input.total_segments)?;
    let live = db.opened(&cx, &input.table_name).await?;
    let source = Source::new(&live.table, input.index_name.as_deref())?;
    let consistent = check_consistency(&source, input.consistent_read)?;
    let legacy = input.attributes_to_get.is_some();
    let (count_only, fetch) = select(&source, input.select.as_deref(), &reads, legacy)?;
    let mut entries = source.segment(segment);
    if let Some(start) = input.exclusive_start_key {
        let start = start_key(source.table, source.index, &item_from(start)?)?;
        check_segment(&start, segment)?;
        entries = entries.after(start);
    }
    let plan = Plan {
        source,
        entries,
        limit: input.limit.and_then(|limit| usize::try_from(limit).ok()),
        filter: reads.filter,
        projection: reads.projection,
        count_only,
        fetch,
    };
    let capacity = input.return_consumed_capacity.as_deref();
    let read = read(&db, plan, consistent, capacity, cx.now.0)?;
    Ok(t::ScanOutput {
        count: read.count,
        scanned_count: read.scanned_count,
        consumed_capacity: read.consumed_capacity,
        last_evaluated_key: read.last_evaluated_key,
        items: read.items,
    })
}
