//! Removes from the store what memory has forgotten: expired, purged and orphaned rows.

use std::sync::{Mutex, PoisonError};

use gureum_kit::{Reader, StoreError, Tx};

use crate::model::{Attempt, Content, Duplicate, Message, QueueKey, Tombstone};
use crate::state::Sqs;
use crate::window::Kind;

/// How many rows one transaction removes.
const CHUNK: usize = 1000;

/// How long a deleted queue's name stays taken, in milliseconds.
pub(crate) const NAME_TAKEN: i64 = 60_000;

/// Rows that belong to no queue in memory.
#[derive(Default)]
pub(crate) struct Sweep(Mutex<Vec<Dust>>);

#[derive(Clone)]
enum Dust {
    Message { queue: u64, seq: u64, content: u64 },
    Duplicate { queue: u64, key: String },
    Attempt { queue: u64, id: String },
    Tombstone(QueueKey),
}

impl Dust {
    fn message(message: &Message) -> Self {
        Self::Message {
            queue: message.queue,
            seq: message.seq,
            content: message.content,
        }
    }

    fn of_window(queue: u64, (kind, key): (Kind, String)) -> Self {
        match kind {
            Kind::Duplicate => Self::Duplicate { queue, key },
            Kind::Attempt => Self::Attempt { queue, id: key },
        }
    }

    fn remove(&self, tx: &mut Tx, now: i64) -> Result<(), StoreError> {
        match self {
            Self::Message {
                queue,
                seq,
                content,
            } => {
                tx.delete::<Message>((*queue, *seq))?;
                tx.delete::<Content>(*content)
            }
            // The others' keys may be in use again by now.
            Self::Duplicate { queue, key } => {
                let key = (*queue, key.as_str());
                match tx.get::<Duplicate>(key)? {
                    Some(row) if row.expires <= now => tx.delete::<Duplicate>(key),
                    _ => Ok(()),
                }
            }
            Self::Attempt { queue, id } => {
                let key = (*queue, id.as_str());
                match tx.get::<Attempt>(key)? {
                    Some(row) if row.expires <= now => tx.delete::<Attempt>(key),
                    _ => Ok(()),
                }
            }
            Self::Tombstone((region, account, name)) => {
                let key = (region, account, name.as_str());
                match tx.get::<Tombstone>(key)? {
                    Some(row) if row.deleted <= now - NAME_TAKEN => tx.delete::<Tombstone>(key),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl Sweep {
    fn add(&self, dust: impl IntoIterator<Item = Dust>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(dust);
    }

    fn take(&self) -> Vec<Dust> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn message(&self, message: Message) {
        self.add([Dust::message(&message)]);
    }

    pub(crate) fn duplicate(&self, queue: u64, key: String) {
        self.add([Dust::Duplicate { queue, key }]);
    }

    pub(crate) fn window(&self, queue: u64, old: (Kind, String)) {
        self.add([Dust::of_window(queue, old)]);
    }

    pub(crate) fn attempt(&self, queue: u64, id: String) {
        self.add([Dust::Attempt { queue, id }]);
    }
}

impl Sqs {
    /// One pass: collects what every queue has forgotten and removes it, a chunk at a time.
    pub(crate) async fn sweep(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        for queue in self.all() {
            let mut locked = queue.lock(now);
            let messages = locked.index.take_trash();
            let window = locked.window.take_trash();
            drop(locked);
            self.sweep.add(messages.iter().map(Dust::message));
            self.sweep
                .add(window.into_iter().map(|old| Dust::of_window(queue.id, old)));
        }
        let stones = self.forget_deleted(now - NAME_TAKEN);
        self.sweep.add(stones.into_iter().map(Dust::Tombstone));
        let dust = self.sweep.take();
        let mut chunks = dust.chunks(CHUNK);
        while let Some(chunk) = chunks.next() {
            let removed = self
                .store
                .transact(|tx| chunk.iter().try_for_each(|dust| dust.remove(tx, now)))
                .await;
            if let Err(error) = removed {
                self.sweep.add(chunk.iter().cloned());
                self.sweep.add(chunks.flatten().cloned());
                return Err(error);
            }
        }
        Ok(())
    }
}
