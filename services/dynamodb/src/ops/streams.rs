//! DynamoDB Streams: the changes of a table, in the order of their commits, for a day.
//!
//! The records of a stream are appended in the transactions that change the items, and
//! the store numbers them, so that no record can show up behind one that a reader has passed.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gureum_dispatch::Cx;
use gureum_kit::{Arn, Reader, Scan};
use gureum_model_dynamodbstreams::types as t;
use gureum_schema::Timestamp;

use crate::errors::{Refusal, Result};
use crate::model::{Record, StreamInfo, StreamKey};
use crate::sealing::Held;
use crate::shards::{self, Shard};
use crate::state::{DynamoDb, is_name, short};
use crate::value::{Item, Number, Value};

/// How long records can be read.
pub(crate) const KEPT: i64 = 24 * 3600 * 1000;
/// How long an iterator can be used.
const ITERATOR: i64 = 15 * 60 * 1000;
const MAX_RECORDS: usize = 1000;
const MAX_BYTES: usize = 1 << 20;
const MAX_LISTED: usize = 100;
/// The most records that one call looks at, those of other shards included.
const MAX_LOOKED_AT: usize = 10_000;

/// The stream's key in an ARN, `…:table/NAME/stream/LABEL`.
pub(crate) fn key_of(arn: &str) -> Option<StreamKey> {
    let arn: Arn = arn.parse().ok()?;
    let (table, label) = arn
        .resource
        .strip_prefix("table/")?
        .split_once("/stream/")?;
    let account = arn.account.parse().ok()?;
    Some((
        arn.region.parse().ok()?,
        account,
        table.to_owned(),
        label.to_owned(),
    ))
}

fn find(db: &DynamoDb, arn: &str) -> Result<StreamInfo> {
    let gone = || {
        Refusal::NotFound(format!(
            "Requested resource not found: Stream: {} not found",
            short(arn)
        ))
    };
    let key = key_of(arn)
        .ok_or_else(|| Refusal::validation(format!("Invalid StreamArn: {}", short(arn))))?;
    db.store.read().get::<StreamInfo>(key)?.ok_or_else(gone)
}

/// Sequence numbers are texts of at least 21 digits.
fn sequence(stamp: u64) -> String {
    format!("1{stamp:020}")
}

fn stamp_of(sequence: &str) -> Option<u64> {
    let digits = sequence.strip_prefix('1').filter(|rest| rest.len() == 20)?;
    digits.parse().ok()
}

/// The shards that can still be read: a closed one for as long as its records.
fn readable(db: &DynamoDb, info: &StreamInfo, now: i64) -> Result<Vec<Shard>> {
    let mut shards = shards::of(&db.store.read(), info)?;
    shards.retain(|shard| shard.until.is_none() || shard.closed.is_none_or(|at| at > now - KEPT));
    Ok(shards)
}

pub(crate) async fn list_streams(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::ListStreamsInput,
) -> gureum_schema::Result<t::ListStreamsOutput> {
    let limit = input.limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(MAX_LISTED).clamp(1, MAX_LISTED);
    let (region, account) = (cx.region.clone(), *cx.account());
    let mut scan = match &input.table_name {
        Some(table) => {
            let name = crate::state::key_of(&cx, table)?.2;
            Scan::<StreamInfo>::of((&region, &account, name))
        }
        None => Scan::<StreamInfo>::of((&region, &account)),
    };
    if let Some(start) = &input.exclusive_start_stream_arn {
        let start = key_of(start).filter(|key| is_name(&key.2));
        scan = scan
            .after(start.ok_or_else(|| Refusal::validation("Invalid ExclusiveStartStreamArn"))?);
    }
    let found = db
        .store
        .read()
        .scan(scan.limit(limit + 1))
        .collect::<Result<Vec<_>, _>>();
    let mut found = found.map_err(Refusal::from)?;
    let more = found.len() > limit;
    found.truncate(limit);
    Ok(t::ListStreamsOutput {
        last_evaluated_stream_arn: found.last().filter(|_| more).map(StreamInfo::arn),
        streams: Some(
            found
                .into_iter()
                .map(|info| t::Stream {
                    stream_arn: Some(info.arn()),
                    table_name: Some(info.table),
                    stream_label: Some(info.label),
                })
                .collect(),
        ),
    })
}

pub(crate) async fn describe_stream(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::DescribeStreamInput,
) -> gureum_schema::Result<t::DescribeStreamOutput> {
    let info = find(&db, &input.stream_arn)?;
    let mut shards = readable(&db, &info, cx.now.0)?;
    let all = shards.clone();
    let number = |id: &str| all.iter().find(|shard| shard.id(&info) == id);
    if let Some(filter) = &input.shard_filter {
        let parent = filter.shard_id.as_deref().and_then(number);
        let parent = parent.map(|shard| shard.number);
        shards.retain(|shard| parent.is_some() && shard.parent == parent);
    }
    if let Some(start) = &input.exclusive_start_shard_id {
        let start = number(start).map(|shard| shard.number);
        shards.retain(|shard| start.is_some_and(|start| shard.number > start));
    }
    let limit = input.limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(MAX_LISTED).clamp(1, MAX_LISTED);
    let more = shards.len() > limit;
    shards.truncate(limit);
    let last = shards.last().filter(|_| more).map(|shard| shard.id(&info));
    let shards = shards
        .iter()
        .map(|shard| told_shard(&db, &info, &all, shard));
    let shards = shards.collect::<Result<Vec<_>>>()?;
    let element = |name: &String, kind: &str| t::KeySchemaElement {
        attribute_name: name.clone(),
        key_type: kind.to_owned(),
    };
    let keys = &info.keys;
    let sort = keys.sort.iter().map(|name| element(name, "RANGE"));
    let status = if info.closed.is_some() {
        "DISABLED"
    } else {
        "ENABLED"
    };
    Ok(t::DescribeStreamOutput {
        stream_description: Some(t::StreamDescription {
            stream_arn: Some(info.arn()),
            stream_label: Some(info.label.clone()),
            stream_status: Some(status.to_owned()),
            stream_view_type: Some(info.view.clone()),
            creation_request_date_time: Some(Timestamp(info.created)),
            table_name: Some(info.table.clone()),
            key_schema: Some(
                std::iter::once(element(&keys.partition, "HASH"))
                    .chain(sort)
                    .collect(),
            ),
            shards: Some(shards),
            last_evaluated_shard_id: last,
        }),
    })
}

fn told_shard(db: &DynamoDb, info: &StreamInfo, all: &[Shard], shard: &Shard) -> Result<t::Shard> {
    let end = match (shard.until, shard.closed) {
        (Some(until), _) => Some(until),
        (None, Some(_)) => Some(last_stamp(db, info)?.max(shard.after)),
        (None, None) => None,
    };
    // A child begins behind the split.
    let start = shard.after + u64::from(shard.parent.is_some());
    // A parent whose records are gone is not told.
    let parent = all.iter().find(|other| Some(other.number) == shard.parent);
    Ok(t::Shard {
        shard_id: Some(shard.id(info)),
        sequence_number_range: Some(t::SequenceNumberRange {
            starting_sequence_number: Some(sequence(start)),
            ending_sequence_number: end.map(sequence),
        }),
        parent_shard_id: parent.map(|parent| parent.id(info)),
    })
}

fn last_stamp(db: &DynamoDb, info: &StreamInfo) -> Result<u64> {
    let scan = Scan::<Record>::of((info.id,)).reverse().limit(1);
    let last = db.store.read().scan(scan).stamped().next().transpose()?;
    Ok(last.map_or(0, |(stamp, _)| stamp))
}

pub(crate) async fn get_shard_iterator(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::GetShardIteratorInput,
) -> gureum_schema::Result<t::GetShardIteratorOutput> {
    let info = find(&db, &input.stream_arn)?;
    let shards = readable(&db, &info, cx.now.0)?;
    let shard = shards
        .iter()
        .find(|shard| shard.id(&info) == input.shard_id);
    let shard = shard.ok_or_else(|| {
        Refusal::NotFound(format!(
            "Requested resource not found: Shard: {} in Stream: {} not found",
            short(&input.shard_id),
            short(&input.stream_arn)
        ))
    })?;
    let given = || -> Result<u64> {
        let number = input.sequence_number.as_deref();
        let stamp = number.and_then(stamp_of).ok_or_else(|| {
            Refusal::validation("A valid SequenceNumber is required for this ShardIteratorType")
        })?;
        let first = Scan::<Record>::of((info.id,)).limit(1);
        let first = db.store.read().scan(first).stamped().next().transpose()?;
        if stamp > 0 && first.is_some_and(|(first, _)| stamp < first) {
            return Err(Refusal::TrimmedData);
        }
        Ok(stamp)
    };
    let after = match input.shard_iterator_type.as_str() {
        "TRIM_HORIZON" => 0,
        "LATEST" => last_stamp(&db, &info)?,
        "AT_SEQUENCE_NUMBER" => given()?.saturating_sub(1),
        _ => given()?,
    };
    let position = Position {
        after: after.max(shard.after),
        shard: shard.number,
    };
    Ok(t::GetShardIteratorOutput {
        shard_iterator: Some(iterator(&info, &position, cx.now.0)),
    })
}

/// Where a reader of a shard is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Position {
    /// The number of the last record that was looked at.
    pub(crate) after: u64,
    /// The shard's number in the stream.
    pub(crate) shard: usize,
}

fn iterator(info: &StreamInfo, Position { after, shard }: &Position, now: i64) -> String {
    let position = URL_SAFE_NO_PAD.encode(format!("{after}:{now}:{shard}"));
    format!("{}|1|{position}", info.arn())
}

/// The stream's ARN, the place to read on from, and when the iterator was made.
fn parse_iterator(text: &str) -> Option<(&str, Position, i64)> {
    let (arn, position) = text.rsplit_once("|1|")?;
    let position = String::from_utf8(URL_SAFE_NO_PAD.decode(position).ok()?).ok()?;
    let mut parts = position.split(':');
    let (after, made, shard) = (parts.next()?, parts.next()?, parts.next()?);
    let position = Position {
        after: after.parse().ok()?,
        shard: shard.parse().ok()?,
    };
    Some((arn, position, made.parse().ok()?))
}

/// The ARN in an iterator, for the policy engine.
pub(crate) fn arn_in(iterator: &str) -> Result<&str> {
    let parsed = parse_iterator(iterator);
    parsed
        .map(|(arn, ..)| arn)
        .ok_or_else(|| Refusal::validation("Invalid ShardIterator"))
}

pub(crate) async fn get_records(
    db: Arc<DynamoDb>,
    cx: Cx,
    input: t::GetRecordsInput,
) -> gureum_schema::Result<t::GetRecordsOutput> {
    let parsed = parse_iterator(&input.shard_iterator);
    let (arn, position, made) =
        parsed.ok_or_else(|| Refusal::validation("Invalid ShardIterator"))?;
    let now = cx.now.0;
    if now - made > ITERATOR {
        return Err(Refusal::ExpiredIterator.into());
    }
    let mut info = find(&db, arn)?;
    db.open_key(&cx, info.sealing.as_ref()).await?;
    db.vault.unlock(info.sealing.as_mut(), db.clock.now())?;
    let limit = input.limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(MAX_RECORDS).clamp(1, MAX_RECORDS);
    let (records, next) = read(&db, &info, &position, limit, now)?;
    let records = records.into_iter();
    let records = records.map(|(stamp, record)| told(&info, stamp, record));
    Ok(t::GetRecordsOutput {
        records: Some(records.collect::<Result<_>>()?),
        next_shard_iterator: next.map(|next| iterator(&info, &next, now)),
    })
}

/// Records of a shard behind a position, with their numbers, and where to read on; `None` at the
/// end of a closed shard.
#[allow(clippy::type_complexity)]
pub(crate) fn read(
    db: &DynamoDb,
    info: &StreamInfo,
    position: &Position,
    limit: usize,
    now: i64,
) -> Result<(Vec<(u64, Record)>, Option<Position>)> {
    let view = db.store.read();
    let mut shards = shards::of(&view, info)?;
    if position.shard >= shards.len() {
        return Err(Refusal::validation("Invalid ShardIterator"));
    }
    let shard = shards.swap_remove(position.shard);
    let mut scan = Scan::<Record>::of((info.id,)).after((info.id, position.after));
    if let Some(until) = shard.until {
        scan = scan.until((info.id, until));
    }
    let (mut records, mut last, mut bytes) = (Vec::new(), position.after, 0);
    let mut ended = true;
    for (looked_at, found) in view.scan(scan).stamped().enumerate() {
        let (stamp, record) = found?;
        if records.len() == limit || bytes >= MAX_BYTES || looked_at == MAX_LOOKED_AT {
            ended = false;
            break;
        }
        last = stamp;
        if record.at <= now - KEPT || !shard.holds(info, &record) {
            continue;
        }
        let size = |held: &Option<Held>| held.as_ref().map_or(0, Held::size);
        bytes += size(&record.old) + size(&record.new) + 128;
        records.push((stamp, record));
    }
    let over = ended && shard.closed.is_some();
    let next = Position {
        after: last,
        shard: shard.number,
    };
    Ok((records, (!over).then_some(next)))
}

fn told(info: &StreamInfo, stamp: u64, record: Record) -> Result<t::Record> {
    let image = |held: Option<Held>| held.map(|held| info.open(&record.keys, &held)).transpose();
    let (old, new) = (image(record.old)?, image(record.new)?);
    Ok(t::Record {
        event_id: Some(record.id),
        event_name: Some(record.kind.as_str().to_owned()),
        event_version: Some("1.1".to_owned()),
        event_source: Some("aws:dynamodb".to_owned()),
        aws_region: Some(info.region.to_string()),
        dynamodb: Some(t::StreamRecord {
            approximate_creation_date_time: Some(Timestamp::from_secs(Timestamp(record.at).secs())),
            keys: Some(item_to(record.keys)),
            new_image: new.map(item_to),
            old_image: old.map(item_to),
            sequence_number: Some(sequence(stamp)),
            size_bytes: i64::try_from(record.size).ok(),
            stream_view_type: Some(info.view.clone()),
        }),
        user_identity: record.expired.then(|| t::Identity {
            principal_id: Some("dynamodb.amazonaws.com".to_owned()),
            type_: Some("Service".to_owned()),
        }),
    })
}

/// Items in the types of the streams' own model.
fn item_to(item: Item) -> BTreeMap<String, t::AttributeValue> {
    item.into_iter()
        .map(|(name, value)| (name, value_to(value)))
        .collect()
}

fn value_to(value: Value) -> t::AttributeValue {
    use t::AttributeValue as Wire;
    match value {
        Value::S(text) => Wire::S(text),
        Value::N(number) => Wire::N(number.to_string()),
        Value::B(bytes) => Wire::B(bytes),
        Value::Strings(set) => Wire::SS(set.into_iter().collect()),
        Value::Numbers(set) => Wire::NS(set.iter().map(Number::to_string).collect()),
        Value::Binaries(set) => Wire::BS(set.into_iter().collect()),
        Value::M(map) => Wire::M(item_to(map)),
        Value::L(list) => Wire::L(list.into_iter().map(value_to).collect()),
        Value::Null => Wire::NULL(true),
        Value::Bool(value) => Wire::BOOL(value),
    }
}
