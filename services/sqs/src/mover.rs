//! Moves dead letters back, at the rate that was asked for.
//!
//! A step moves a few messages and counts them in one transaction, so a task goes on where it
//! stood after a crash and no message is lost or doubled.

use std::sync::Arc;
use std::time::Duration;

use gureum_kit::names::id;
use gureum_kit::{Arn, Reader, Scan, StoreError};

use crate::errors::{Refusal, Result};
use crate::model::{Message, MoveStatus, MoveTask};
use crate::queue::Queue;
use crate::state::Sqs;

/// How many messages a second are moved when the task does not say.
const RATE: i32 = 500;

/// The shortest time between two steps, in milliseconds.
const STEP: u64 = 100;

/// How far a task may go in one step, and how long it must rest afterwards.
fn pace(task: &MoveTask) -> (usize, Duration) {
    let rate = task.rate.unwrap_or(RATE).max(1).unsigned_abs();
    let step = (u64::from(rate) * STEP / 1000).max(1);
    let rest = step * 1000 / u64::from(rate);
    (step as usize, Duration::from_millis(rest))
}

impl Sqs {
    /// One step of every task that is under way; says when the next step is due.
    pub(crate) async fn move_step(self: &Arc<Self>) -> Result<Option<Duration>> {
        let view = self.store.read();
        let tasks: Vec<MoveTask> = view
            .scan(Scan::<MoveTask>::all())
            .filter(|task| !task.as_ref().is_ok_and(|task| task.status.is_over()))
            .collect::<Result<_, StoreError>>()?;
        drop(view);
        let mut next: Option<Duration> = None;
        for task in tasks {
            let (_, rest) = pace(&task);
            let sqs = Arc::clone(self);
            let goes_on = Self::whole(async move { sqs.step(task).await }).await?;
            if goes_on {
                next = Some(next.map_or(rest, |next| next.min(rest)));
            }
        }
        Ok(next)
    }

    /// Whether there is more to do.
    async fn step(&self, task: MoveTask) -> Result<bool> {
        let source = task.source.parse().ok();
        let source = source.and_then(|arn: Arn| self.find_arn(&arn));
        let Some(source) = source else {
            return self
                .end(
                    task,
                    MoveStatus::Failed,
                    Some("AWS.SimpleQueueService.NonExistentQueue"),
                )
                .await;
        };
        if task.status == MoveStatus::Cancelling {
            return self.end(task, MoveStatus::Cancelled, None).await;
        }
        let (most, _) = pace(&task);
        let claimed = self.claim_dead(&source, &task, most);
        if claimed.is_empty() {
            return self.end(task, MoveStatus::Completed, None).await;
        }
        self.carry(&source, task, claimed).await
    }

    /// Claims the next messages at the source.
    fn claim_dead(&self, source: &Queue, task: &MoveTask, most: usize) -> Vec<Message> {
        let mut locked = source.lock(self.clock.now());
        let seqs = locked.index.movable(task.until, most);
        let claim = |seq: u64| locked.index.claim(seq).ok().flatten();
        seqs.into_iter().filter_map(claim).collect()
    }

    /// Where a message goes: to the task's destination, or back where it came from.
    fn destination(&self, task: &MoveTask, message: &Message) -> Option<Arc<Queue>> {
        let arn = task.destination.as_ref().or(message.source.as_ref())?;
        self.find_arn(&arn.parse().ok()?)
    }

    async fn carry(
        &self,
        source: &Queue,
        mut task: MoveTask,
        claimed: Vec<Message>,
    ) -> Result<bool> {
        let now = self.clock.now();
        let mut placed: Vec<(Arc<Queue>, Message)> = Vec::new();
        let mut left = Vec::new();
        let mut gone = Vec::new();
        for message in claimed {
            let destination = self.destination(&task, &message);
            let destination = destination.filter(|queue| queue.fifo == source.fifo);
            match destination.and_then(|queue| self.place_again(queue, &message, now)) {
                Some(place) => {
                    placed.push(place);
                    gone.push(message);
                }
                None => left.push(message),
            }
        }
        task.moved += gone.len() as i64;
        let failed = !left.is_empty();
        if failed {
            task.status = MoveStatus::Failed;
            task.failure = Some("CouldNotDetermineMessageSource".into());
        }
        let written = self.write_step(&task, &gone, &placed).await;
        let now = self.clock.now();
        for (queue, message) in placed {
            let mut locked = queue.lock(now);
            match &written {
                Ok(()) => locked.index.settle(message, now),
                Err(_) => drop(locked.index.remove(message.seq)),
            }
            drop(locked);
            queue.settled();
        }
        let mut locked = source.lock(now);
        for message in gone {
            match &written {
                Ok(()) => drop(locked.index.remove(message.seq)),
                Err(_) => locked.index.release(message.seq, now),
            }
        }
        for message in left {
            locked.index.release(message.seq, now);
        }
        drop(locked);
        source.settled();
        written?;
        Ok(!failed)
    }

    /// A moved message begins anew: another id, sent now, never received.
    fn place_again(
        &self,
        queue: Arc<Queue>,
        message: &Message,
        now: i64,
    ) -> Option<(Arc<Queue>, Message)> {
        let mut locked = queue.lock(now);
        if locked.closed {
            return None;
        }
        let placed = Message {
            queue: queue.id,
            seq: self.number(),
            id: id::uuid(),
            content: message.content,
            sent: now,
            visible: now,
            receives: 0,
            receives_before: 0,
            first_received: None,
            last_received: None,
            group: message.group.clone(),
            source: None,
        };
        locked.index.begin(placed.clone());
        drop(locked);
        Some((queue, placed))
    }

    async fn write_step(
        &self,
        task: &MoveTask,
        gone: &[Message],
        placed: &[(Arc<Queue>, Message)],
    ) -> Result<()> {
        let key = (task.source.as_str(), task.id);
        self.store
            .transact(|tx| {
                // A cancellation that came in between stays.
                let stored: Option<MoveTask> = tx.get(key)?;
                let mut task = task.clone();
                if stored.is_some_and(|stored| stored.status == MoveStatus::Cancelling)
                    && task.status == MoveStatus::Running
                {
                    task.status = MoveStatus::Cancelling;
                }
                for message in gone {
                    tx.delete::<Message>((message.queue, message.seq))?;
                }
                placed.iter().try_for_each(|(_, row)| tx.put(row))?;
                tx.put(&task)
            })
            .await?;
        Ok(())
    }

    async fn end(&self, mut task: MoveTask, status: MoveStatus, why: Option<&str>) -> Result<bool> {
        task.status = status;
        task.failure = why.map(str::to_owned);
        let written: Result<(), Refusal> = self.write_step(&task, &[], &[]).await;
        written.map(|()| false)
    }
}
