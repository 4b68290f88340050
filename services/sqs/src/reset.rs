//! What a reset deletes: queues, and with them what they hold.

use async_trait::async_trait;
use gureum_kit::reset::{Hold, Reset, Whose};
use gureum_kit::{AccountId, Arn, Reader, Row, Scan, StoreError, Tx};

use crate::model::{MoveTask, QueueRow, Tombstone};
use crate::state::Sqs;

#[async_trait]
impl Reset for Sqs {
    async fn hold(&self) -> Hold<'_> {
        Box::new(self.admin.lock().await)
    }

    /// Names are free again at once, other than after `DeleteQueue`.
    fn delete(&self, tx: &mut Tx, whose: Whose) -> Result<(), StoreError> {
        whose.delete::<QueueRow>(tx, |row| &row.account)?;
        whose.delete::<Tombstone>(tx, |row| &row.account)?;
        let tasks: Vec<MoveTask> = tx.scan(Scan::all()).collect::<Result<_, _>>()?;
        let theirs = |task: &&MoveTask| owner(task).is_none_or(|account| whose.includes(&account));
        for task in tasks.iter().filter(theirs) {
            tx.delete::<MoveTask>(task.key())?;
        }
        Ok(())
    }

    fn deleted(&self, whose: Whose) {
        let now = self.clock.now();
        for queue in self.drop_queues(whose) {
            self.close(&queue, now);
        }
        self.wake_sweep.wake();
    }
}

fn owner(task: &MoveTask) -> Option<AccountId> {
    let source: Arn = task.source.parse().ok()?;
    source.account.parse().ok()
}
