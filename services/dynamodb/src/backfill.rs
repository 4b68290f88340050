//! Filling an index that was added to a table: in the order of the table, some items at a time,
//! each batch with its cursor in one transaction. Writers keep the index from the moment that it is
//! part of the table; a batch that meets one of them is run again by the store.

use gureum_kit::{Reader, Scan};

use crate::errors::Result;
use crate::items;
use crate::model::{Backfill, Entry, Table};
use crate::state::DynamoDb;

const BATCH_ITEMS: usize = 200;
const BATCH_BYTES: usize = 1 << 20;

impl DynamoDb {
    pub(crate) async fn backfill(&self) -> Result<()> {
        let open = self
            .store
            .read()
            .scan(Scan::<Backfill>::all())
            .collect::<Result<Vec<_>, _>>()?;
        // A table whose key cannot be used does not hold up the others.
        let mut failed = Ok(());
        for task in open {
            if let Err(refusal) = self.fill(task).await {
                failed = Err(refusal);
            }
        }
        failed
    }

    async fn fill(&self, task: Backfill) -> Result<()> {
        let key = (task.region, task.account, task.table);
        if let Some(live) = self.find(&key) {
            self.open_own(&live.table).await?;
        }
        while !self.backfill_step(task.index).await? {
            tokio::task::yield_now().await;
        }
        self.alter(&key, |tx, place| {
            tx.delete::<Backfill>(task.index)?;
            let globals = place.iter_mut().flat_map(|table| &mut table.globals);
            for index in globals.filter(|index| index.id == task.index) {
                index.backfilling = false;
            }
            Ok(())
        })
        .await
    }

    /// Does the next items; true when there are no more.
    async fn backfill_step(&self, id: u64) -> Result<bool> {
        self.store
            .transact(|tx| {
                let Some(mut task) = tx.get::<Backfill>(id)? else {
                    return Ok(true);
                };
                let key = (task.region.clone(), task.account, task.table.clone());
                let mut table = tx.get::<Table>(key)?;
                if let Some(table) = &mut table {
                    self.unlock(table)?;
                }
                let index = table.as_ref().and_then(|table| {
                    let index = table.globals.iter().find(|index| index.id == id)?;
                    Some((table, index))
                });
                let Some((table, index)) = index else {
                    return Ok(true);
                };
                let mut scan = Scan::<Entry>::of((table.id,)).limit(BATCH_ITEMS);
                if let Some((place, partition, sort)) = &task.cursor {
                    let (partition, sort) = (partition.to_vec(), sort.to_vec());
                    scan = scan.after((table.id, *place, partition, sort));
                }
                let mut found = Vec::new();
                let mut bytes = 0;
                for entry in tx.scan(scan) {
                    let entry = entry?;
                    bytes += entry.item.size();
                    found.push(entry);
                    if bytes >= BATCH_BYTES {
                        break;
                    }
                }
                let Some(last) = found.last() else {
                    return Ok(true);
                };
                let place = crate::value::key::place(&last.partition);
                task.cursor = Some((place, last.partition.clone(), last.sort.clone()));
                for entry in &found {
                    let item = entry.open(table)?;
                    let at = items::key_in(table, &item)?;
                    if let Some(made) = items::part(table, index, &at, &item) {
                        tx.put(&made.entry(table)?)?;
                    }
                }
                tx.put(&task)?;
                Ok(false)
            })
            .await
    }
}
