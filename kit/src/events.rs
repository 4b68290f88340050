//! Events: what nobody waits for.
//!
//! [`Tx::emit`] writes an event in the transaction of the change that it tells of (an outbox), so
//! there is no change without its event and no event without its change. Named, durable cursors
//! receive the events of a topic in the order of the commits, each at least once: an event that was
//! delivered but not acknowledged is delivered again after a restart. An event is removed when all
//! cursors of its topic have passed it; a topic without cursors keeps nothing, so cursors are
//! registered while the program is wired together, before the first transaction.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::store::{Reader, Row, Scan, Store, StoreError, Tx, Watch};

/// How many events a cursor reads ahead.
const AHEAD: usize = 64;
/// How many events one acknowledgement trims at most; the next one goes on.
const TRIM: usize = 1024;

/// An event as it is delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Grows with the order of commits, with gaps; unique in the topic.
    pub seq: u64,
    /// MessagePack with field names; [`Event::decode`] reads it.
    pub payload: Bytes,
}

impl Event {
    /// The payload as the type that was emitted.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, StoreError> {
        rmp_serde::from_slice(&self.payload).map_err(|error| StoreError::Codec {
            table: Stored::TABLE,
            reason: error.to_string(),
        })
    }
}

/// One event. The commit gives it its number, which stands only in the key.
#[derive(Serialize, Deserialize)]
struct Stored {
    topic: String,
    #[serde(skip)]
    seq: u64,
    payload: Bytes,
}

impl Row for Stored {
    const TABLE: &'static str = "kit.event";
    type Key = (String, u64);

    fn key(&self) -> Self::Key {
        (self.topic.clone(), self.seq)
    }
}

/// That a cursor exists: read by every emit, and so apart from its position, which changes often.
#[derive(Serialize, Deserialize)]
struct Subscription {
    topic: String,
    cursor: String,
}

impl Row for Subscription {
    const TABLE: &'static str = "kit.subscription";
    type Key = (String, String);

    fn key(&self) -> Self::Key {
        (self.topic.clone(), self.cursor.clone())
    }
}

/// The last event that a cursor has acknowledged.
#[derive(Serialize, Deserialize)]
struct Position {
    topic: String,
    cursor: String,
    acked: u64,
}

impl Row for Position {
    const TABLE: &'static str = "kit.position";
    type Key = (String, String);

    fn key(&self) -> Self::Key {
        (self.topic.clone(), self.cursor.clone())
    }
}

impl Tx {
    /// Emits an event as part of this transaction.
    pub fn emit(&mut self, topic: &str, payload: &impl Serialize) -> Result<(), StoreError> {
        if self
            .scan(Scan::<Subscription>::of((topic,)).limit(1))
            .next()
            .transpose()?
            .is_none()
        {
            return Ok(());
        }
        let payload = rmp_serde::to_vec_named(payload).map_err(|error| StoreError::Codec {
            table: Stored::TABLE,
            reason: error.to_string(),
        })?;
        self.append(
            (topic,),
            &Stored {
                topic: topic.to_owned(),
                seq: 0,
                payload: payload.into(),
            },
        )
    }
}

impl Store {
    /// The cursor `name` on a topic; registers it when it is new, to receive what is emitted from
    /// now on. One task at a time uses a cursor.
    pub async fn cursor(&self, name: &str, topic: &str) -> Result<Cursor, StoreError> {
        let acked = self
            .transact(|tx| {
                if let Some(position) = tx.get::<Position>((topic, name))? {
                    return Ok::<_, StoreError>(position.acked);
                }
                let (topic, cursor) = (topic.to_owned(), name.to_owned());
                let last = tx.scan(Scan::<Stored>::of((&topic,)).reverse().limit(1));
                let acked = last.stamped().next().transpose()?.map_or(0, |(seq, _)| seq);
                tx.put(&Subscription {
                    topic: topic.clone(),
                    cursor: cursor.clone(),
                })?;
                tx.put(&Position {
                    topic,
                    cursor,
                    acked,
                })?;
                Ok(acked)
            })
            .await?;
        Ok(Cursor {
            watch: self.watch::<Stored>((topic,)),
            store: self.clone(),
            name: name.to_owned(),
            topic: topic.to_owned(),
            delivered: acked,
            ahead: VecDeque::new(),
        })
    }

    /// Ends a cursor: it receives nothing any more, and holds no events back.
    pub async fn remove_cursor(&self, name: &str, topic: &str) -> Result<(), StoreError> {
        self.transact(|tx| {
            tx.delete::<Subscription>((topic, name))?;
            tx.delete::<Position>((topic, name))?;
            trim(tx, topic)
        })
        .await
    }
}

/// A durable place in a topic's events.
pub struct Cursor {
    store: Store,
    watch: Watch,
    name: String,
    topic: String,
    /// The last event handed out by this handle.
    delivered: u64,
    ahead: VecDeque<Event>,
}

impl Cursor {
    /// The next event; waits for one. Safe to cancel.
    pub async fn next(&mut self) -> Result<Event, StoreError> {
        loop {
            if self.ahead.is_empty() {
                self.read_ahead()?;
            }
            if let Some(event) = self.ahead.pop_front() {
                self.delivered = event.seq;
                return Ok(event);
            }
            self.watch.changed().await;
        }
    }

    fn read_ahead(&mut self) -> Result<(), StoreError> {
        let topic = self.topic.as_str();
        let scan = Scan::of((topic,))
            .after((topic, self.delivered))
            .limit(AHEAD);
        for stored in self.store.read().scan::<Stored>(scan).stamped() {
            let (seq, stored) = stored?;
            self.ahead.push_back(Event {
                seq,
                payload: stored.payload,
            });
        }
        Ok(())
    }

    /// Acknowledges this event and all before it: they are not delivered again.
    pub async fn ack(&mut self, seq: u64) -> Result<(), StoreError> {
        let Cursor { topic, name, .. } = &*self;
        self.store
            .transact(|tx| {
                let Some(mut position) = tx.get::<Position>((topic, name))? else {
                    return Ok(());
                };
                if position.acked < seq {
                    position.acked = seq;
                    tx.put(&position)?;
                    trim(tx, topic)?;
                }
                Ok(())
            })
            .await
    }
}

/// Removes the events of a topic that all its cursors have passed.
fn trim(tx: &mut Tx, topic: &str) -> Result<(), StoreError> {
    let mut passed = u64::MAX;
    for position in tx.scan(Scan::<Position>::of((topic,))) {
        passed = passed.min(position?.acked);
    }
    let mut scan = Scan::<Stored>::of((topic,)).limit(TRIM);
    if let Some(next) = passed.checked_add(1) {
        scan = scan.until((topic, next));
    }
    let old = tx.scan(scan).stamped().collect::<Result<Vec<_>, _>>()?;
    old.iter()
        .try_for_each(|(seq, _)| tx.delete::<Stored>((topic, *seq)))
}

#[cfg(test)]
mod tests;
