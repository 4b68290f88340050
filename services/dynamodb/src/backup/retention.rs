//! How long the past is kept: logs by their table's recovery period, system backups for 35
//! days, what is known of exports and imports for 90.

use gureum_kit::store::PrefixOf;
use gureum_kit::{Reader, Row, Scan};

use super::DAY;
use super::model::{Backup, Undo, readers};
use crate::errors::{Refusal, Result};
use crate::model::{Grave, Table, TableKey};
use crate::state::DynamoDb;
use crate::transfer::model::{Export, Import};

/// Changes that are removed in one go.
const BATCH: usize = 1000;
/// How long exports and imports are listed.
const JOBS_KEPT: i64 = 90 * DAY;

impl DynamoDb {
    pub(crate) async fn trim_history(&self) -> Result<()> {
        for live in self.all() {
            if live.table.history.log.is_some() {
                let key = live.table.key();
                while self.trim_log(&key).await? == BATCH {}
                self.end_log(&key).await?;
            }
        }
        self.expire_backups().await?;
        self.expire_jobs::<Export>(|export| export.ended).await?;
        self.expire_jobs::<Import>(|import| import.ended).await
    }

    /// Removes the oldest changes that nobody can ask for any more.
    async fn trim_log(&self, key: &TableKey) -> Result<usize> {
        let now = self.clock.now();
        self.store
            .transact(|tx| {
                let Some(table) = tx.get::<Table>(key)? else {
                    return Ok(0);
                };
                let (Some(log), Some(recovery)) = (table.history.log, table.history.recovery)
                else {
                    return Ok(0);
                };
                let wanted = readers(tx, log)?.into_iter().filter_map(|copy| copy.as_of);
                let horizon = wanted
                    .map(|(_, moment)| moment)
                    .fold(recovery.earliest(now), i64::min);
                let mut old = Vec::new();
                for found in tx.scan(Scan::<Undo>::of((log,)).limit(BATCH)).stamped() {
                    let (stamp, change) = found?;
                    if change.at > horizon {
                        break;
                    }
                    old.push(stamp);
                }
                for stamp in &old {
                    tx.delete::<Undo>((log, *stamp))?;
                }
                Ok::<_, Refusal>(old.len())
            })
            .await
    }

    /// Ends a log that is neither for recovery nor for a copy.
    async fn end_log(&self, key: &TableKey) -> Result<()> {
        // A glance first: changing a table takes turns with everybody who changes one.
        if !is_idle(&self.store.read(), key)? {
            return Ok(());
        }
        self.alter(key, |tx, place| {
            if is_idle(tx, key)?
                && let Some(log) = place.as_mut().and_then(|table| table.history.log.take())
            {
                tx.put(&Grave { space: log })?;
            }
            Ok(())
        })
        .await
    }

    async fn expire_backups(&self) -> Result<()> {
        let now = self.clock.now();
        let view = self.store.read();
        let over = |backup: &Backup| backup.expires.is_some_and(|expires| expires <= now);
        let found = view.scan(Scan::<Backup>::all());
        let found = found.filter(|found| found.as_ref().map_or(true, over));
        for backup in found.collect::<Result<Vec<_>, _>>()? {
            self.store
                .transact(|tx| {
                    tx.delete::<Backup>(backup.key())?;
                    // Whoever restores it at the moment still reads the items; see the burying.
                    tx.put(&Grave {
                        space: backup.space,
                    })
                })
                .await?;
        }
        Ok(())
    }
}

impl DynamoDb {
    /// Exports and imports can be described for a while after their end.
    async fn expire_jobs<R: Row + Sync>(&self, ended: fn(&R) -> Option<i64>) -> Result<()>
    where
        (): PrefixOf<R::Key>,
    {
        let horizon = self.clock.now() - JOBS_KEPT;
        let view = self.store.read();
        let over = |job: &R| ended(job).is_some_and(|ended| ended <= horizon);
        let found = view.scan(Scan::<R>::all());
        let found = found.filter(|found| found.as_ref().map_or(true, over));
        for job in found.collect::<Result<Vec<_>, _>>()? {
            self.store.transact(|tx| tx.delete::<R>(job.key())).await?;
        }
        Ok(())
    }
}

/// Whether a table has a log that nobody needs.
fn is_idle(view: &impl Reader, key: &TableKey) -> Result<bool> {
    let history = view.get::<Table>(key)?.map(|table| table.history);
    match history.map(|history| (history.log, history.recovery)) {
        Some((Some(log), None)) => Ok(readers(view, log)?.is_empty()),
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gureum_kit::{Clock, Driver, Store};

    use super::*;
    use crate::backup::DAY;
    use crate::backup::model::{Copy, History, Purpose, Recovery, Step};
    use crate::items;
    use crate::page::tests::table;
    use crate::value::{Item, Value};

    const START: i64 = 1_000 * DAY;

    /// The days of the changes that are still known.
    fn kept(db: &DynamoDb) -> Vec<i64> {
        let view = db.store.read();
        let log = view.scan(Scan::<Undo>::of((1,)));
        log.map(|change| (change.expect("a change").at - START) / DAY)
            .collect()
    }

    #[tokio::test]
    async fn a_log_reaches_back_as_far_as_its_table_can_be_recovered_or_a_copy_needs_it() {
        let clock = Clock::manual(START);
        let driver = Driver::new(clock.clone());
        let db = DynamoDb::open(Store::memory(), clock.clone(), &[7; 32], &driver)
            .await
            .expect("open");
        let (since, days) = (START, 3);
        let table = Table {
            history: History {
                log: Some(1),
                recovery: Some(Recovery { since, days }),
                ..History::default()
            },
            ..table("S")
        };
        let key = table.key();
        db.alter(&key, |_, place| {
            *place = Some(table.clone());
            Ok(())
        })
        .await
        .expect("a table");
        for day in 0..8 {
            let text = |text: &str| Value::S(text.to_owned());
            let item = Item::from([
                ("p".to_owned(), text("p")),
                ("s".to_owned(), text(&day.to_string())),
            ]);
            let write = |tx: &mut gureum_kit::Tx| {
                let at = items::key_in(&table, &item)?;
                items::write(tx, &table, &at, None, Some(&item), clock.now(), false)
            };
            db.store.transact(write).await.expect("a write");
            clock.advance(Duration::from_millis(DAY.unsigned_abs()));
        }
        let copy = Copy {
            target: 9,
            source: table.id,
            as_of: Some((1, START + 2 * DAY)),
            step: Step::Items(None),
            purpose: Purpose::Table(key.clone()),
        };
        let begin = |tx: &mut gureum_kit::Tx| tx.put(&copy);
        db.store.transact(begin).await.expect("a copy");
        db.trim_history().await.expect("trim");
        assert_eq!(kept(&db), [3, 4, 5, 6, 7]);
        let end = |tx: &mut gureum_kit::Tx| tx.delete::<Copy>(9);
        db.store.transact(end).await.expect("an end");
        db.trim_history().await.expect("trim");
        assert_eq!(kept(&db), [6, 7]);
        db.alter(&key, |_, place| {
            place
                .iter_mut()
                .for_each(|table| table.history.recovery = None);
            Ok(())
        })
        .await
        .expect("off");
        db.sweep().await.expect("sweep");
        db.sweep().await.expect("sweep");
        assert_eq!(kept(&db), [0; 0]);
    }
}
