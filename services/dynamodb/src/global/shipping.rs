//! Carrying changes from region to region: every other region follows the stream of each.

use gureum_kit::{Reader, Region, Scan, Tx};

use super::model::{Origin, Route};
use super::version;
use crate::errors::{Refusal, Result};
use crate::items;
use crate::model::{Record, Table};
use crate::sealing::Held;
use crate::state::DynamoDb;

/// What one transaction carries.
const BATCH_RECORDS: usize = 100;
const BATCH_BYTES: usize = 1 << 20;

impl DynamoDb {
    /// Carries all that is waiting. Whether there are global tables at all.
    pub(crate) async fn ship(&self) -> Result<bool> {
        let mut any = false;
        // One whose key cannot be used does not hold up the others.
        let mut failed = Ok(());
        for live in self.all() {
            let source = &live.table;
            let made = !source.history.making && source.stream.is_some();
            any |= made && !source.replicas.is_empty();
            if made && let Err(refusal) = self.ship_from(source).await {
                failed = Err(refusal);
            }
        }
        failed.map(|()| any)
    }

    /// Carries what is waiting in one region to all others.
    pub(crate) async fn ship_from(&self, source: &Table) -> Result<()> {
        let mut failed = Ok(());
        for region in &source.replicas {
            loop {
                match self.ship_some(source, region).await {
                    Ok(true) => tokio::task::yield_now().await,
                    Ok(false) => break,
                    Err(refusal) => {
                        failed = Err(refusal);
                        break;
                    }
                }
            }
        }
        failed
    }

    /// Carries the next changes of a table to a region; whether there may be more.
    async fn ship_some(&self, source: &Table, region: &Region) -> Result<bool> {
        let Some(stream) = &source.stream else {
            return Ok(false);
        };
        let key = (stream.id, region.clone());
        let view = self.store.read();
        let route = view.get::<Route>(&key)?;
        let after = route.map_or(0, |route| route.after);
        let records = waiting(&view, stream.id, after)?;
        drop(view);
        let Some(last) = records.last().map(|(stamp, _)| *stamp) else {
            return Ok(false);
        };
        let (target, now) = (source.key_in(region), self.clock.now());
        let mut source = source.clone();
        self.open_own(&source).await?;
        self.unlock(&mut source)?;
        if let Some(live) = self.find(&target) {
            self.open_own(&live.table).await?;
        }
        self.store
            .transact(|tx| {
                let table = tx.get::<Table>(&target)?;
                let table = table.filter(|table| !table.history.making);
                let Some(mut table) = table.filter(|table| table.replicas.contains(&source.region))
                else {
                    return Ok(false);
                };
                let known = tx.get::<Route>(&key)?.map_or(0, |route| route.after);
                if known != after {
                    return Ok(true);
                }
                self.unlock(&mut table)?;
                for (_, record) in &records {
                    if let Some(origin) = &record.origin {
                        take(tx, (&source, &table), record, origin, now)?;
                    }
                }
                tx.put(&Route {
                    stream: key.0,
                    target: region.clone(),
                    after: last,
                })?;
                Ok::<_, Refusal>(true)
            })
            .await
    }
}

/// Lets a region follow the stream of a table from where it ends now.
pub(crate) fn follow(tx: &mut Tx, source: &Table, target: &Region) -> Result<()> {
    let Some(stream) = &source.stream else {
        return Ok(());
    };
    let last = Scan::<Record>::of((stream.id,)).reverse().limit(1);
    let last = tx.scan(last).stamped().next().transpose()?;
    if let Some((after, _)) = last {
        tx.put(&Route {
            stream: stream.id,
            target: target.clone(),
            after,
        })?;
    }
    Ok(())
}

fn waiting(view: &impl Reader, stream: u64, after: u64) -> Result<Vec<(u64, Record)>> {
    let scan = Scan::<Record>::of((stream,)).after((stream, after));
    let mut found = Vec::new();
    let mut bytes = 0;
    for record in view.scan(scan.limit(BATCH_RECORDS)).stamped() {
        let (stamp, record) = record?;
        bytes += record.new.as_ref().map_or(0, Held::size);
        found.push((stamp, record));
        if bytes >= BATCH_BYTES {
            break;
        }
    }
    Ok(found)
}

/// Makes a change of another region here, unless something later is here already.
fn take(
    tx: &mut Tx,
    (source, table): (&Table, &Table),
    record: &Record,
    origin: &Origin,
    now: i64,
) -> Result<()> {
    if origin.replicated {
        return Ok(());
    }
    let at = items::key_of(table, record.keys.clone())?;
    if version::of(tx, table, &at)?.is_some_and(|here| here >= origin.version) {
        return Ok(());
    }
    let old = items::read(tx, table, &at)?;
    let open = |held: &Held| held.open(source.data_key()?, &at.base());
    let new = record.new.as_ref().map(open).transpose()?;
    let (old, new) = (old.as_ref(), new.as_ref());
    items::replicate(tx, table, &at, old, new, now, &origin.version)
}

#[cfg(test)]
mod tests;
