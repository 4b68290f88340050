//! What is to be delivered next. Kept in memory, and rebuilt from the rows at start.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gureum_kit::{Driver, Waker};

use crate::model::DeliveryRow;

/// Names a delivery: message and lane.
pub(crate) type Ticket = (u64, u64);

/// The reconcilers that deliver: within the cloud, and to the web, whose slowness must not hold
/// up the others.
pub(crate) const INSIDE: &str = "sns.deliveries";
pub(crate) const WEB: &str = "sns.web-deliveries";

pub(crate) struct Schedule {
    inner: Mutex<Inner>,
    inside: Waker,
    web: Waker,
}

#[derive(Default)]
struct Inner {
    inside: BTreeSet<(i64, Ticket)>,
    web: BTreeSet<(i64, Ticket)>,
    /// The deliveries of each message group of a FIFO topic, in order; only the first is due.
    groups: HashMap<(u64, String), VecDeque<Ticket>>,
}

/// What is due.
pub(crate) enum Next {
    Now(Ticket),
    /// Nothing before this moment.
    At(i64),
    Nothing,
}

impl Schedule {
    pub(crate) fn new(driver: &Driver) -> Self {
        Self {
            inner: Mutex::default(),
            inside: driver.waker(INSIDE),
            web: driver.waker(WEB),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up a delivery. Those of one message group must be added in their order.
    pub(crate) fn add(&self, row: &DeliveryRow) {
        let ticket = (row.message, row.lane);
        let mut inner = self.lock();
        if let Some(group) = group_of(row) {
            let group = inner.groups.entry(group).or_default();
            group.push_back(ticket);
            if group.len() > 1 {
                return;
            }
        }
        inner.queue(row.web).insert((row.due, ticket));
        drop(inner);
        self.wake(row.web);
    }

    /// Takes up again what has to be tried again, at its new time.
    pub(crate) fn again(&self, row: &DeliveryRow) {
        let ticket = (row.message, row.lane);
        self.lock().queue(row.web).insert((row.due, ticket));
        self.wake(row.web);
    }

    /// Lets the next one of a message group have its turn.
    pub(crate) fn finished(&self, row: &DeliveryRow, now: i64) {
        let Some(key) = group_of(row) else {
            return;
        };
        let mut inner = self.lock();
        let Some(group) = inner.groups.get_mut(&key) else {
            return;
        };
        group.pop_front();
        match group.front().copied() {
            Some(next) => {
                inner.queue(row.web).insert((now, next));
            }
            None => {
                inner.groups.remove(&key);
            }
        }
        drop(inner);
        self.wake(row.web);
    }

    pub(crate) fn next(&self, web: bool, now: i64) -> Next {
        let mut inner = self.lock();
        let queue = inner.queue(web);
        match queue.first().copied() {
            Some((due, _)) if due > now => Next::At(due),
            Some(first) => {
                queue.remove(&first);
                Next::Now(first.1)
            }
            None => Next::Nothing,
        }
    }

    pub(crate) fn wake(&self, web: bool) {
        if web {
            self.web.wake()
        } else {
            self.inside.wake()
        }
    }
}

impl Inner {
    fn queue(&mut self, web: bool) -> &mut BTreeSet<(i64, Ticket)> {
        if web { &mut self.web } else { &mut self.inside }
    }
}

fn group_of(row: &DeliveryRow) -> Option<(u64, String)> {
    row.group.clone().map(|group| (row.topic_id, group))
}
