//! What exports and imports have in common: request tokens, and listings with the latest first.

use std::time::Duration;

use gureum_dispatch::Cx;
use gureum_kit::{Reader, Row, Scan, idempotency};
use gureum_schema::Struct;

use crate::backup::model::BelowKey;
use crate::errors::{Refusal, Result};
use crate::state::{DynamoDb, key_of_arn};

/// How long the token of a request is remembered.
pub(crate) const TOKEN: Duration = Duration::from_secs(8 * 3600);
const MAX_LISTED: usize = 25;

/// What tells one set of parameters from another.
pub(crate) fn fingerprint(input: &(impl Struct + std::fmt::Debug)) -> [u8; 32] {
    idempotency::fingerprint(format!("{input:?}").as_bytes())
}

pub(crate) struct Page<R> {
    pub(crate) found: Vec<R>,
    pub(crate) next: Option<String>,
}

/// A page of the jobs of a table, or of all.
pub(crate) fn list<R: Row<Key = BelowKey>>(
    db: &DynamoDb,
    cx: &Cx,
    table: Option<&str>,
    token: Option<&str>,
    limit: Option<i32>,
) -> Result<Page<R>> {
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(MAX_LISTED).clamp(1, MAX_LISTED);
    let (region, account) = (&cx.region, cx.account());
    let mut scan = match table {
        Some(arn) => {
            let key = key_of_arn(arn).ok_or_else(|| Refusal::validation("Invalid TableArn"))?;
            Scan::<R>::of((region, account, key.2))
        }
        None => Scan::<R>::of((region, account)),
    };
    if let Some(token) = token {
        let (table, id) = opened(token).ok_or_else(|| Refusal::validation("Invalid NextToken"))?;
        scan = scan.after((region, account, table, id));
    }
    let view = db.store.read();
    let found = view.scan(scan.reverse().limit(limit + 1));
    let mut found = found.collect::<Result<Vec<_>, _>>()?;
    let more = found.len() > limit;
    found.truncate(limit);
    Ok(Page {
        next: found
            .last()
            .filter(|_| more)
            .map(|last| sealed(&last.key())),
        found,
    })
}

/// Tokens are what the model says they are: digits in groups of sixteen, at least seven of them.
fn sealed(key: &BelowKey) -> String {
    let mut text = format!("{}/{}", key.2, key.3).into_bytes();
    text.resize(text.len().max(56).next_multiple_of(8), b' ');
    hex::encode(text)
}

fn opened(token: &str) -> Option<(String, String)> {
    let text = String::from_utf8(hex::decode(token).ok()?).ok()?;
    let (table, id) = text.trim_end().split_once('/')?;
    Some((table.to_owned(), id.to_owned()))
}
