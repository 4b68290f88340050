//! What each operation asks of the policy engine.
//!
//! Keys: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html>

pub(crate) mod statements;

use std::sync::Arc;

use gureum_dispatch::{Ask, Cx};
use gureum_kit::{Arn, Reader};
use gureum_model_dynamodb::types as t;
use gureum_model_dynamodbstreams::types as s;
use gureum_policy::{Kind, Policy};
use gureum_schema::Result;

use crate::errors::Refusal;
use crate::expression::Projection;
use crate::model::{StreamInfo, TableKey};
use crate::ops::query::{read_query, read_scan};
use crate::ops::streams;
use crate::request::{self, Effect, Get, Single};
use crate::state::{DynamoDb, Live, key_of, key_of_arn};
use crate::value::{Item, Value, item_from};

/// The ask about a table (or one of its indexes), there or not.
pub(crate) fn about(
    db: &DynamoDb,
    action: &'static str,
    key: &TableKey,
    index: Option<&str>,
) -> Ask {
    ask(action, key, db.find(key).as_deref(), index)
}

/// The same about a table that was looked for.
fn ask(action: &'static str, key: &TableKey, live: Option<&Live>, index: Option<&str>) -> Ask {
    let made;
    let table = match live {
        Some(live) => &live.arn,
        None => {
            let name = format!("table/{}", key.2);
            made = Arn::new("dynamodb", &key.0, &key.1, name).to_string();
            &made
        }
    };
    let ask = match index {
        Some(index) => Ask::new(action, format_args!("{table}/index/{index}")),
        None => Ask::new(action, table),
    };
    let ask = ask.owner(&key.1);
    match live {
        None => ask,
        Some(live) => ask.policy(live.policy.clone()).resource_tags(
            live.table
                .tags
                .iter()
                .map(|(k, v)| (k.as_str(), v.as_str())),
        ),
    }
}

pub(crate) fn at(db: &DynamoDb, cx: &Cx, action: &'static str, name: &str) -> Result<Ask> {
    Ok(about(db, action, &key_of(cx, name)?, None))
}

/// `at_table!(name: Input => "dynamodb:Action")`: an operation on the table that it names.
macro_rules! at_table {
    ($($name:ident: $input:ident => $action:literal;)*) => {$(
        pub(crate) fn $name(db: &DynamoDb, cx: &Cx, input: &t::$input) -> Result<Vec<Ask>> {
            Ok(vec![at(db, cx, $action, &input.table_name)?])
        }
    )*};
}

at_table! {
    delete_table: DeleteTableInput => "dynamodb:DeleteTable";
    describe_continuous_backups: DescribeContinuousBackupsInput => "dynamodb:DescribeContinuousBackups";
    describe_table: DescribeTableInput => "dynamodb:DescribeTable";
    describe_ttl: DescribeTimeToLiveInput => "dynamodb:DescribeTimeToLive";
    update_ttl: UpdateTimeToLiveInput => "dynamodb:UpdateTimeToLive";
}

/// The same for operations that name a resource by its ARN.
macro_rules! at_arn {
    ($($name:ident: $input:ident => $action:literal;)*) => {$(
        pub(crate) fn $name(db: &DynamoDb, _: &Cx, input: &t::$input) -> Result<Vec<Ask>> {
            Ok(vec![by_arn(db, $action, &input.resource_arn)?])
        }
    )*};
}

at_arn! {
    list_tags: ListTagsOfResourceInput => "dynamodb:ListTagsOfResource";
}

/// The same for policies, which streams have as well.
macro_rules! at_policy {
    ($($name:ident: $input:ident => $action:literal;)*) => {$(
        pub(crate) fn $name(db: &DynamoDb, _: &Cx, input: &t::$input) -> Result<Vec<Ask>> {
            match streams::key_of(&input.resource_arn) {
                Some(_) => of_stream(db, $action, &input.resource_arn),
                None => Ok(vec![by_arn(db, $action, &input.resource_arn)?]),
            }
        }
    )*};
}

at_policy! {
    delete_policy: DeleteResourcePolicyInput => "dynamodb:DeleteResourcePolicy";
    get_policy: GetResourcePolicyInput => "dynamodb:GetResourcePolicy";
    put_policy: PutResourcePolicyInput => "dynamodb:PutResourcePolicy";
}

fn by_arn(db: &DynamoDb, action: &'static str, arn: &str) -> Result<Ask> {
    let key = key_of_arn(arn).ok_or_else(|| Refusal::validation("Invalid ResourceArn"))?;
    Ok(about(db, action, &key, None))
}

pub(crate) fn tag_resource(db: &DynamoDb, _: &Cx, input: &t::TagResourceInput) -> Result<Vec<Ask>> {
    let tags = input
        .tags
        .iter()
        .map(|tag| (tag.key.as_str(), tag.value.as_str()));
    Ok(vec![
        by_arn(db, "dynamodb:TagResource", &input.resource_arn)?.request_tags(tags),
    ])
}

pub(crate) fn untag_resource(
    db: &DynamoDb,
    _: &Cx,
    input: &t::UntagResourceInput,
) -> Result<Vec<Ask>> {
    let ask = by_arn(db, "dynamodb:UntagResource", &input.resource_arn)?;
    Ok(vec![ask.keys("aws:TagKeys", input.tag_keys.clone())])
}

/// Tags and a resource policy need the right to set them as well.
pub(crate) fn create_table(
    db: &DynamoDb,
    cx: &Cx,
    input: &t::CreateTableInput,
) -> Result<Vec<Ask>> {
    let tags = input.tags.iter().flatten();
    let tags = tags.map(|tag| (tag.key.as_str(), tag.value.as_str()));
    let ask = |action| {
        Ok::<_, gureum_schema::Error>(
            at(db, cx, action, &input.table_name)?.request_tags(tags.clone()),
        )
    };
    let mut asks = vec![ask("dynamodb:CreateTable")?];
    if input.tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
        asks.push(ask("dynamodb:TagResource")?);
    }
    if input.resource_policy.is_some() {
        asks.push(ask("dynamodb:PutResourcePolicy")?);
    }
    Ok(asks)
}

pub(crate) fn list_tables(_: &DynamoDb, _: &Cx, _: &t::ListTablesInput) -> Result<Vec<Ask>> {
    Ok(vec![Ask::new("dynamodb:ListTables", "*")])
}

pub(crate) fn describe_limits(
    _: &DynamoDb,
    _: &Cx,
    _: &t::DescribeLimitsInput,
) -> Result<Vec<Ask>> {
    Ok(vec![Ask::new("dynamodb:DescribeLimits", "*")])
}

pub(crate) fn describe_endpoints(
    _: &DynamoDb,
    _: &Cx,
    _: &t::DescribeEndpointsRequest,
) -> Result<Vec<Ask>> {
    Ok(vec![Ask::new("dynamodb:DescribeEndpoints", "*")])
}

/// A partition key as `dynamodb:LeadingKeys` prints it.
fn leading(live: Option<&Live>, key: &Item) -> Option<String> {
    match key.get(&live?.table.keys.partition)? {
        Value::S(text) => Some(text.clone()),
        Value::N(number) => Some(number.to_string()),
        Value::B(bytes) => {
            use base64::Engine;
            Some(base64::engine::general_purpose::STANDARD.encode(bytes))
        }
        _ => None,
    }
}

fn write(
    cx: &Cx,
    (key, live): (&TableKey, Option<&Live>),
    action: &'static str,
    write: &request::Write,
    returns: Option<&str>,
) -> Ask {
    ask(action, key, live, None).described(cx, |ask| {
        let leading = leading(live, write.given());
        ask.keys("dynamodb:LeadingKeys", leading.into_iter().collect())
            .keys("dynamodb:Attributes", write.attributes())
            .key("dynamodb:ReturnValues", returns.unwrap_or("NONE"))
    })
}

fn single(cx: &Cx, action: &'static str, asked: &Single<request::Write>) -> Vec<Ask> {
    let about = (&asked.key, asked.live.as_deref());
    let ask = write(cx, about, action, &asked.what, asked.returns.as_deref());
    vec![capacity(cx, ask, asked.capacity.as_deref())]
}

/// `of_write!(name => "dynamodb:Action")`: one write that was read before.
macro_rules! of_write {
    ($($name:ident => $action:literal;)*) => {$(
        #[allow(clippy::unnecessary_wraps)]
        pub(crate) fn $name(
            _: &DynamoDb,
            cx: &Cx,
            asked: &Single<request::Write>,
        ) -> Result<Vec<Ask>> {
            Ok(single(cx, $action, asked))
        }
    )*};
}

of_write! {
    put_item => "dynamodb:PutItem";
    delete_item => "dynamodb:DeleteItem";
    update_item => "dynamodb:UpdateItem";
}

fn capacity(cx: &Cx, ask: Ask, how: Option<&str>) -> Ask {
    ask.described(cx, |ask| {
        ask.key("dynamodb:ReturnConsumedCapacity", how.unwrap_or("NONE"))
    })
}

/// `Select` as it is meant when the request leaves it out.
fn selects(given: Option<&str>, projection: Option<&Projection>, index: bool) -> String {
    let meant = match (projection, index) {
        (Some(_), _) => "SPECIFIC_ATTRIBUTES",
        (None, true) => "ALL_PROJECTED_ATTRIBUTES",
        (None, false) => "ALL_ATTRIBUTES",
    };
    given.unwrap_or(meant).to_owned()
}

/// One read of some keys of a table.
fn keyed(
    cx: &Cx,
    action: &'static str,
    (key, live): (&TableKey, Option<&Live>),
    keys: &[Item],
    projection: Option<&Projection>,
) -> Ask {
    ask(action, key, live, None).described(cx, |ask| {
        let leading = keys.iter().filter_map(|key| leading(live, key));
        let mut leading: Vec<_> = leading.collect();
        leading.sort();
        leading.dedup();
        let first = keys.first().into_iter();
        let mut names: Vec<String> = first.flat_map(|key| key.keys().cloned()).collect();
        names.extend(projection.into_iter().flat_map(Projection::names).cloned());
        names.sort();
        names.dedup();
        ask.keys("dynamodb:LeadingKeys", leading)
            .keys("dynamodb:Attributes", names)
            .key("dynamodb:Select", selects(None, projection, false))
    })
}

#[allow(clippy::unnecessary_wraps)]
pub(crate) fn get_item(_: &DynamoDb, cx: &Cx, asked: &Single<Get>) -> Result<Vec<Ask>> {
    let keys = std::slice::from_ref(&asked.what.key);
    let about = (&asked.key, asked.live.as_deref());
    let projection = asked.what.projection.as_ref();
    let ask = keyed(cx, "dynamodb:GetItem", about, keys, projection);
    Ok(vec![capacity(cx, ask, asked.capacity.as_deref())])
}

pub(crate) fn batch_get(db: &DynamoDb, cx: &Cx, input: &t::BatchGetItemInput) -> Result<Vec<Ask>> {
    let one = |(table, wanted): (&String, &t::KeysAndAttributes)| {
        let projection = request::projection(
            wanted.projection_expression.clone(),
            wanted.attributes_to_get.clone(),
            wanted.expression_attribute_names.clone(),
        )?;
        let keys = wanted.keys.iter().map(|key| item_from(key.clone()));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let key = key_of(cx, table)?;
        let live = db.find(&key);
        let about = (&key, live.as_deref());
        let action = "dynamodb:BatchGetItem";
        Ok(keyed(cx, action, about, &keys, projection.as_ref()))
    };
    input.request_items.iter().map(one).collect()
}

pub(crate) fn batch_write(
    db: &DynamoDb,
    cx: &Cx,
    input: &t::BatchWriteItemInput,
) -> Result<Vec<Ask>> {
    let one = |(table, requests): (&String, &Vec<t::WriteRequest>)| {
        let key = key_of(cx, table)?;
        let live = db.find(&key);
        let (mut leads, mut names) = (Vec::new(), Vec::new());
        for request in requests {
            let put = request.put_request.as_ref().map(|put| &put.item);
            let item = put.or(request.delete_request.as_ref().map(|delete| &delete.key));
            let item = item_from(item.cloned().unwrap_or_default())?;
            leads.extend(leading(live.as_deref(), &item));
            names.extend(item.into_keys());
        }
        for list in [&mut leads, &mut names] {
            list.sort();
            list.dedup();
        }
        Ok(about(db, "dynamodb:BatchWriteItem", &key, None)
            .keys("dynamodb:LeadingKeys", leads)
            .keys("dynamodb:Attributes", names))
    };
    input.request_items.iter().map(one).collect()
}

pub(crate) fn query(db: &DynamoDb, cx: &Cx, input: &t::QueryInput) -> Result<Vec<Ask>> {
    use crate::expression::key_condition::KeyCondition;
    use crate::page::Source;
    let reads = read_query(input)?;
    let key = key_of(cx, &input.table_name)?;
    let index = input.index_name.as_deref();
    let mut names = Vec::new();
    for condition in reads.key.iter().chain(&reads.filter) {
        condition.paths(&mut |path| names.push(path.attribute.clone()));
    }
    names.extend(reads.projection.iter().flat_map(Projection::names).cloned());
    names.sort();
    names.dedup();
    // The leading key is that of the index where one is queried.
    let live = db.find(&key);
    let lead = live.as_deref().and_then(|live| {
        let source = Source::new(&live.table, index).ok()?;
        let condition = KeyCondition::of(reads.key.clone()?, source.keys()).ok()?;
        let partition = live.table.keys.partition.clone();
        leading(Some(live), &Item::from([(partition, condition.partition)]))
    });
    let select = selects(
        input.select.as_deref(),
        reads.projection.as_ref(),
        index.is_some(),
    );
    let ask = about(db, "dynamodb:Query", &key, index)
        .keys("dynamodb:LeadingKeys", lead.into_iter().collect())
        .keys("dynamodb:Attributes", names)
        .key("dynamodb:Select", select);
    Ok(vec![capacity(
        cx,
        ask,
        input.return_consumed_capacity.as_deref(),
    )])
}

pub(crate) fn scan(db: &DynamoDb, cx: &Cx, input: &t::ScanInput) -> Result<Vec<Ask>> {
    let reads = read_scan(input)?;
    let key = key_of(cx, &input.table_name)?;
    let index = input.index_name.as_deref();
    let mut names = Vec::new();
    if let Some(filter) = &reads.filter {
        filter.paths(&mut |path| names.push(path.attribute.clone()));
    }
    names.extend(reads.projection.iter().flat_map(Projection::names).cloned());
    names.sort();
    names.dedup();
    let select = selects(
        input.select.as_deref(),
        reads.projection.as_ref(),
        index.is_some(),
    );
    let mut ask = about(db, "dynamodb:Scan", &key, index).key("dynamodb:Select", select);
    if !names.is_empty() {
        ask = ask.keys("dynamodb:Attributes", names);
    }
    Ok(vec![capacity(
        cx,
        ask,
        input.return_consumed_capacity.as_deref(),
    )])
}

pub(crate) fn transact_get(
    db: &DynamoDb,
    cx: &Cx,
    input: &t::TransactGetItemsInput,
) -> Result<Vec<Ask>> {
    let one = |item: &t::TransactGetItem| {
        let get = &item.get;
        let names = get.expression_attribute_names.clone();
        let projection = request::projection(get.projection_expression.clone(), None, names)?;
        let keys = [item_from(get.key.clone())?];
        let key = key_of(cx, &get.table_name)?;
        let live = db.find(&key);
        let about = (&key, live.as_deref());
        let ask = keyed(cx, "dynamodb:GetItem", about, &keys, projection.as_ref());
        Ok(ask.key("dynamodb:EnclosingOperation", "TransactGetItems"))
    };
    input.transact_items.iter().map(one).collect()
}

pub(crate) fn transact_write(
    db: &DynamoDb,
    cx: &Cx,
    input: &t::TransactWriteItemsInput,
) -> Result<Vec<Ask>> {
    let one = |action: &t::TransactWriteItem| {
        let read = request::transact(action.clone())?;
        let name = match read.effect {
            Effect::Put(_) => "dynamodb:PutItem",
            Effect::Update(_) => "dynamodb:UpdateItem",
            Effect::Delete => "dynamodb:DeleteItem",
            Effect::Check => "dynamodb:ConditionCheckItem",
        };
        let key = key_of(cx, &read.table)?;
        let ask = write(cx, (&key, db.find(&key).as_deref()), name, &read, None);
        Ok(ask.key("dynamodb:EnclosingOperation", "TransactWriteItems"))
    };
    input.transact_items.iter().map(one).collect()
}

pub(crate) fn list_streams(_: &DynamoDb, cx: &Cx, input: &s::ListStreamsInput) -> Result<Vec<Ask>> {
    let table = input.table_name.as_deref().unwrap_or("*");
    let table = table.rsplit('/').next().unwrap_or(table);
    let resource = format!("table/{table}/stream/*");
    let arn = Arn::new("dynamodb", &cx.region, cx.account(), resource);
    Ok(vec![Ask::new("dynamodb:ListStreams", arn)])
}

/// Who may not read the stream learns nothing of whether it is there.
fn of_stream(db: &DynamoDb, action: &'static str, arn: &str) -> Result<Vec<Ask>> {
    let key = streams::key_of(arn).ok_or_else(|| Refusal::validation("Invalid StreamArn"))?;
    let info = db.store.read().get::<StreamInfo>(&key);
    let policy = info.map_err(Refusal::from)?.and_then(|info| info.policy);
    let policy = policy.and_then(|policy| Policy::parse(&policy.text, Kind::Resource).ok());
    let ask = Ask::new(action, arn).owner(&key.1);
    Ok(vec![ask.policy(policy.map(Arc::new))])
}

pub(crate) fn describe_stream(
    db: &DynamoDb,
    _: &Cx,
    input: &s::DescribeStreamInput,
) -> Result<Vec<Ask>> {
    of_stream(db, "dynamodb:DescribeStream", &input.stream_arn)
}

pub(crate) fn get_shard_iterator(
    db: &DynamoDb,
    _: &Cx,
    input: &s::GetShardIteratorInput,
) -> Result<Vec<Ask>> {
    of_stream(db, "dynamodb:GetShardIterator", &input.stream_arn)
}

pub(crate) fn get_records(db: &DynamoDb, _: &Cx, input: &s::GetRecordsInput) -> Result<Vec<Ask>> {
    of_stream(
        db,
        "dynamodb:GetRecords",
        streams::arn_in(&input.shard_iterator)?,
    )
}
