//! The service's state: every queue, the order of numbers, and the way to the store.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use gureum_dispatch::Cx;
use gureum_kit::reset::Whose;
use gureum_kit::{
    AccountId, Arn, Clock, Driver, Reader, Region, Row, Scan, Store, StoreError, Waker,
};

use crate::errors::{Refusal, Result};
use crate::kms::DataKeys;
use crate::model::{Attempt, Duplicate, Epoch, Message, QueueKey, QueueRow, Tombstone};
use crate::queue::Queue;
use crate::reconcile::{MOVES, SWEEP};
use crate::seal::Keys;
use crate::sweep::Sweep;
use crate::window::Kind;

/// How many numbers one run of the service may give out, as a power of two.
const NUMBERS: u32 = 40;

/// SQS. One value serves all accounts and regions.
pub struct Sqs {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) keys: Keys,
    pub(crate) data_keys: DataKeys,
    queues: RwLock<Queues>,
    next: AtomicU64,
    /// Held by whoever changes queues, so that such changes happen one after the other.
    pub(crate) admin: tokio::sync::Mutex<()>,
    pub(crate) sweep: Sweep,
    pub(crate) wake_sweep: Waker,
    pub(crate) wake_moves: Waker,
}

#[derive(Default)]
pub(crate) struct Queues {
    by_key: BTreeMap<QueueKey, Arc<Queue>>,
    /// When queues were deleted, ms since the epoch.
    deleted: HashMap<QueueKey, i64>,
}

impl Sqs {
    /// Opens the service on what the store holds. `secret` is the key for contents, receipt
    /// handles and page tokens; keep it outside the store, and keep it: what was sealed with
    /// another one cannot be read. `driver` is who will run [`Sqs::reconcilers`].
    pub async fn open(
        store: Store,
        clock: Clock,
        secret: &[u8; 32],
        driver: &Driver,
    ) -> Result<Arc<Self>, StoreError> {
        let epoch = store
            .transact(|tx| {
                let last: Epoch = tx.get(())?.unwrap_or_default();
                let number = last.number + 1;
                tx.put(&Epoch { number })?;
                Ok::<_, StoreError>(number)
            })
            .await?;
        let sqs = Self {
            keys: Keys::new(secret),
            data_keys: DataKeys::default(),
            queues: RwLock::default(),
            next: AtomicU64::new((epoch << NUMBERS) + 1),
            admin: tokio::sync::Mutex::new(()),
            sweep: Sweep::default(),
            wake_sweep: driver.waker(SWEEP),
            wake_moves: driver.waker(MOVES),
            store,
            clock,
        };
        sqs.load()?;
        Ok(Arc::new(sqs))
    }

    /// Rebuilds everything in memory from the store.
    fn load(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let view = self.store.read();
        let mut by_id = HashMap::new();
        let mut queues = self.queues_mut();
        for row in view.scan(Scan::<QueueRow>::all()) {
            let row = row?;
            let key = row.key();
            let queue = Arc::new(Queue::new(row));
            by_id.insert(queue.id, Arc::clone(&queue));
            queues.by_key.insert(key, queue);
        }
        for stone in view.scan(Scan::<Tombstone>::all()) {
            let stone = stone?;
            let deleted = stone.deleted;
            queues.deleted.insert(stone.key(), deleted);
        }
        drop(queues);
        for message in view.scan(Scan::<Message>::all()) {
            let message = message?;
            match by_id.get(&message.queue) {
                Some(queue) => queue.lock(now).index.restore(message, now),
                None => self.sweep.message(message),
            }
        }
        for duplicate in view.scan(Scan::<Duplicate>::all()) {
            let duplicate = duplicate?;
            match by_id.get(&duplicate.queue) {
                Some(queue) => queue.lock(now).window.restore(duplicate),
                None => {
                    let key = (Kind::Duplicate, duplicate.key);
                    self.sweep.orphan(duplicate.queue, key);
                }
            }
        }
        for attempt in view.scan(Scan::<Attempt>::all()) {
            let attempt = attempt?;
            match by_id.get(&attempt.queue) {
                Some(queue) => queue.lock(now).window.note_attempt(attempt),
                None => {
                    let key = (Kind::Attempt, attempt.id);
                    self.sweep.orphan(attempt.queue, key);
                }
            }
        }
        Ok(())
    }

    /// The next number: of a queue, a message, a content. They only ever grow.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The last number given out.
    pub(crate) fn last_number(&self) -> u64 {
        self.next.load(Ordering::Relaxed) - 1
    }

    fn queues(&self) -> RwLockReadGuard<'_, Queues> {
        self.queues.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn queues_mut(&self) -> RwLockWriteGuard<'_, Queues> {
        self.queues.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, key: &QueueKey) -> Option<Arc<Queue>> {
        self.queues().by_key.get(key).cloned()
    }

    pub(crate) fn find_arn(&self, arn: &Arn) -> Option<Arc<Queue>> {
        if arn.service != "sqs" {
            return None;
        }
        let region: Region = arn.region.parse().ok()?;
        let account: AccountId = arn.account.parse().ok()?;
        let queue = self.find(&(region, account, arn.resource.clone()))?;
        (queue.arn == *arn).then_some(queue)
    }

    /// The queue behind a URL, whatever its host; it is looked for in the caller's region.
    pub(crate) fn at(&self, cx: &Cx, url: &str) -> Result<Arc<Queue>> {
        let key = key_of(cx, url)?;
        self.find(&key).ok_or(Refusal::NoSuchQueue)
    }

    pub(crate) fn add(&self, key: QueueKey, queue: Arc<Queue>) {
        let mut queues = self.queues_mut();
        queues.deleted.remove(&key);
        queues.by_key.insert(key, queue);
    }

    pub(crate) fn drop_queue(&self, key: &QueueKey, now: i64) {
        let mut queues = self.queues_mut();
        queues.by_key.remove(key);
        queues.deleted.insert(key.clone(), now);
    }

    /// Takes out all queues of these accounts, and forgets which they deleted.
    pub(crate) fn drop_queues(&self, whose: Whose) -> Vec<Arc<Queue>> {
        let mut queues = self.queues_mut();
        queues
            .deleted
            .retain(|(_, account, _), _| !whose.includes(account));
        let theirs = queues
            .by_key
            .extract_if(.., |(_, account, _), _| whose.includes(account));
        theirs.map(|(_, queue)| queue).collect()
    }

    pub(crate) fn deleted_at(&self, key: &QueueKey) -> Option<i64> {
        self.queues().deleted.get(key).copied()
    }

    /// Forgets deletions before `moment`; returns whose they were.
    pub(crate) fn forget_deleted(&self, moment: i64) -> Vec<QueueKey> {
        let mut queues = self.queues_mut();
        let mut gone = Vec::new();
        queues.deleted.retain(|key, at| {
            let keep = *at > moment;
            if !keep {
                gone.push(key.clone());
            }
            keep
        });
        gone
    }

    pub(crate) fn all(&self) -> Vec<Arc<Queue>> {
        self.queues().by_key.values().cloned().collect()
    }

    /// Up to `most` queues of an account in a region, in the order of their names, behind `after`.
    pub(crate) fn list(
        &self,
        region: &Region,
        account: AccountId,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Vec<Arc<Queue>> {
        let start = (region.clone(), account, after.unwrap_or(prefix).to_owned());
        let start = match after {
            Some(_) => Bound::Excluded(start),
            None => Bound::Included(start),
        };
        let queues = self.queues();
        let range = queues.by_key.range((start, Bound::Unbounded));
        range
            .take_while(|((r, a, name), _)| {
                r == region && *a == account && name.starts_with(prefix)
            })
            .take(most)
            .map(|(_, queue)| Arc::clone(queue))
            .collect()
    }

    /// Runs a change to its end even when the caller goes away in the midst of it: what is in
    /// memory must learn whether the write was made.
    pub(crate) async fn whole<T: Send + 'static>(
        change: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        match tokio::spawn(change).await {
            Ok(result) => result,
            Err(error) => Err(Refusal::Broken(error.to_string())),
        }
    }
}

/// What a queue URL names. Only its path counts: `…/account/name`.
pub(crate) fn key_of(cx: &Cx, url: &str) -> Result<QueueKey> {
    if url.is_empty() {
        return Err(Refusal::missing("QueueUrl"));
    }
    let wrong = || Refusal::Address {
        url: url.chars().take(256).collect(),
    };
    let mut parts = url.trim_end_matches('/').rsplit('/');
    let (name, account) = (parts.next(), parts.next());
    let account = account.and_then(|text| text.parse::<AccountId>().ok());
    match (account, name) {
        (Some(account), Some(name)) => Ok((cx.region.clone(), account, name.to_owned())),
        _ => Err(wrong()),
    }
}

/// The URL of a queue as this client reaches it.
pub(crate) fn url_of(cx: &Cx, queue: &Queue) -> String {
    format!(
        "{}/{}/{}",
        cx.request.endpoint, queue.arn.account, queue.arn.resource
    )
}
