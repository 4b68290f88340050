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
    Message {
        queue: u64,
        seq: u64,
        content: u64,
    },
    Window {
        queue: u64,
        kind: Kind,
        key: String,
        /// The queue is gone, so its rows need not have expired.
        orphan: bool,
    },
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
            // The keys of all others may be in use again by now.
            Self::Window {
                queue,
                kind,
                key,
                orphan,
            } => {
                let key = (*queue, key.as_str());
                let over = |expires: i64| *orphan || expires <= now;
                match kind {
                    Kind::Duplicate => match tx.get::<Duplicate>(key)? {
                        Some(row) if over(row.expires) => tx.delete::<Duplicate>(key),
                        _ => Ok(()),
                    },
                    Kind::Attempt => match tx.get::<Attempt>(key)? {
                        Some(row) if over(row.expires) => tx.delete::<Attempt>(key),
                        _ => Ok(()),
                    },
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

    /// What a queue that is gone remembered.
    pub(crate) fn orphan(&self, queue: u64, (kind, key): (Kind, String)) {
        self.add([Dust::Window {
            queue,
            kind,
            key,
            orphan: true,
        }]);
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
                .add(window.into_iter().map(|(kind, key)| Dust::Window {
                    queue: queue.id,
                    kind,
                    key,
                    orphan: false,
                }));
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
