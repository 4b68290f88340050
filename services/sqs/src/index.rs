//! A queue's messages in memory: which may be received now, which later, which are gone.
//!
//! The store holds every message; this index, rebuilt from the store at start, answers what is
//! next without reading it. It is a pure state machine: time comes in as an argument.
//!
//! A message whose row is being written is *busy*, and nothing else may be decided about it until
//! the write has settled. So there is at most one write per message under way, and rows can be
//! written blindly: transactions of one queue never conflict.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::Message;

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Sent, but not yet durable.
    Sending,
    /// Not to be received before its delay is over.
    Delayed,
    Visible,
    InFlight,
}

struct Entry {
    message: Message,
    state: State,
    busy: bool,
}

/// One message group of a FIFO queue.
#[derive(Default)]
struct Lane {
    seqs: BTreeSet<u64>,
    in_flight: usize,
    /// What of it is listed in `ready`.
    head: Option<u64>,
}

/// How many messages there are of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) visible: usize,
    pub(crate) in_flight: usize,
    pub(crate) delayed: usize,
}

/// What a receive found. All of it is busy until settled.
#[derive(Default)]
pub(crate) struct Taken {
    /// As they are to be written: counted and invisible.
    pub(crate) received: Vec<Message>,
    /// As they were, for undoing.
    pub(crate) before: Vec<Message>,
    /// Received too often already.
    pub(crate) dead: Vec<Message>,
}

/// The most dead letters that one receive moves.
const MAX_DEAD: usize = 100;

pub(crate) struct Index {
    entries: BTreeMap<u64, Entry>,
    /// What may be received now. In a FIFO queue these are the heads of unlocked groups.
    ready: BTreeSet<u64>,
    /// `Some` for a FIFO queue: its groups.
    lanes: Option<HashMap<String, Lane>>,
    /// When delayed messages and those in flight become visible.
    due: BTreeSet<(i64, u64)>,
    /// By the time they were sent, for retention.
    by_age: BTreeSet<(i64, u64)>,
    counts: [usize; 4],
    /// Messages up to this number are purged.
    purged: u64,
    /// Removed from here, but perhaps not from the store.
    trash: Vec<Message>,
}

impl Index {
    pub(crate) fn new(fifo: bool, purged: u64) -> Self {
        Self {
            entries: BTreeMap::new(),
            ready: BTreeSet::new(),
            lanes: fifo.then(HashMap::new),
            due: BTreeSet::new(),
            by_age: BTreeSet::new(),
            counts: [0; 4],
            purged,
            trash: Vec::new(),
        }
    }

    /// Adds a message that is about to be written.
    pub(crate) fn begin(&mut self, message: Message) {
        self.insert(message, true);
    }

    /// Adds a message that is durable already.
    pub(crate) fn restore(&mut self, message: Message, now: i64) {
        if message.seq <= self.purged {
            self.trash.push(message);
            return;
        }
        let seq = message.seq;
        self.insert(message, false);
        self.file(seq, now);
    }

    fn insert(&mut self, message: Message, busy: bool) {
        let seq = message.seq;
        self.by_age.insert((message.sent, seq));
        if let (Some(lanes), Some(group)) = (&mut self.lanes, &message.group) {
            lanes.entry(group.clone()).or_default().seqs.insert(seq);
        }
        self.counts[State::Sending as usize] += 1;
        let state = State::Sending;
        let entry = Entry {
            message,
            state,
            busy,
        };
        self.entries.insert(seq, entry);
    }

    /// The write of a message is durable, or was given up: it is now `message`.
    pub(crate) fn settle(&mut self, message: Message, now: i64) {
        let seq = message.seq;
        let Some(entry) = self.entries.get_mut(&seq) else {
            return;
        };
        entry.busy = false;
        self.due.remove(&(entry.message.visible, seq));
        if seq <= self.purged {
            self.remove(seq);
            self.trash.push(message);
            return;
        }
        entry.message = message;
        self.file(seq, now);
    }

    /// The write of a message was given up: it is as it was.
    pub(crate) fn release(&mut self, seq: u64, now: i64) {
        if let Some(entry) = self.entries.get(&seq) {
            self.settle(entry.message.clone(), now);
        }
    }

    /// Takes a message out for good.
    pub(crate) fn remove(&mut self, seq: u64) -> Option<Message> {
        let entry = self.entries.remove(&seq)?;
        self.counts[entry.state as usize] -= 1;
        self.ready.remove(&seq);
        self.due.remove(&(entry.message.visible, seq));
        self.by_age.remove(&(entry.message.sent, seq));
        if let (Some(lanes), Some(group)) = (&mut self.lanes, &entry.message.group)
            && let Some(lane) = lanes.get_mut(group)
        {
            lane.seqs.remove(&seq);
            lane.in_flight -= usize::from(entry.state == State::InFlight);
            if lane.seqs.is_empty() {
                lanes.remove(group);
            } else {
                self.list_head(&entry.message.group);
            }
        }
        Some(entry.message)
    }

    /// Puts a message that is not busy where its row says that it belongs.
    fn file(&mut self, seq: u64, now: i64) {
        let Some(entry) = self.entries.get(&seq) else {
            return;
        };
        let visible = entry.message.visible;
        let state = match (visible > now, entry.message.receives) {
            (false, _) => State::Visible,
            (true, 0) => State::Delayed,
            (true, _) => State::InFlight,
        };
        if state != State::Visible {
            self.due.insert((visible, seq));
        }
        self.turn(seq, state);
    }

    /// Changes a message's state, and everything that follows from it.
    fn turn(&mut self, seq: u64, state: State) {
        let Some(entry) = self.entries.get_mut(&seq) else {
            return;
        };
        let before = std::mem::replace(&mut entry.state, state);
        self.counts[before as usize] -= 1;
        self.counts[state as usize] += 1;
        let group = entry.message.group.clone();
        let available = state == State::Visible && !entry.busy;
        match &mut self.lanes {
            None if available => {
                self.ready.insert(seq);
            }
            None => {
                self.ready.remove(&seq);
            }
            Some(lanes) => {
                if let Some(lane) = group.as_ref().and_then(|group| lanes.get_mut(group)) {
                    lane.in_flight += usize::from(state == State::InFlight);
                    lane.in_flight -= usize::from(before == State::InFlight);
                }
                self.list_head(&group);
            }
        }
    }

    /// Lists the first message of a group as ready, if nothing of the group is in flight.
    fn list_head(&mut self, group: &Option<String>) {
        let (Some(lanes), Some(group)) = (&mut self.lanes, group) else {
            return;
        };
        let Some(lane) = lanes.get_mut(group) else {
            return;
        };
        let first = lane.seqs.first().filter(|_| lane.in_flight == 0);
        let head = first.copied().filter(|seq| {
            let entry = self.entries.get(seq);
            entry.is_some_and(|entry| entry.state == State::Visible && !entry.busy)
        });
        if head != lane.head {
            if let Some(old) = lane.head {
                self.ready.remove(&old);
            }
            if let Some(new) = head {
                self.ready.insert(new);
            }
            lane.head = head;
        }
    }

    /// Lets time pass: what is due becomes visible, what was sent before `oldest` is forgotten.
    pub(crate) fn advance(&mut self, now: i64, oldest: i64) {
        while let Some(&(at, seq)) = self.due.first()
            && at <= now
        {
            self.due.pop_first();
            if self.entries.get(&seq).is_some_and(|entry| !entry.busy) {
                self.turn(seq, State::Visible);
            }
        }
        let old = self.by_age.range(..(oldest, 0)).copied();
        let expired: Vec<u64> = old
            .filter(|(_, seq)| self.entries.get(seq).is_some_and(|entry| !entry.busy))
            .map(|(_, seq)| seq)
            .collect();
        for seq in expired {
            let gone = self.remove(seq);
            self.trash.extend(gone);
        }
    }

    /// Takes up to `want` messages for a receiver, invisible until `until`. Messages that were
    /// received `dead_after` times are set apart.
    pub(crate) fn take(
        &mut self,
        want: usize,
        now: i64,
        until: i64,
        dead_after: Option<u32>,
    ) -> Taken {
        let mut taken = Taken::default();
        let is_dead = |m: &Message| dead_after.is_some_and(|most| m.receives >= most);
        while taken.received.len() < want && taken.dead.len() < MAX_DEAD {
            let Some(&seq) = self.ready.first() else {
                break;
            };
            let mut run = vec![seq];
            if let Some(group) = self.group_of(seq) {
                run = self.run_of(&group, want - taken.received.len());
            }
            for seq in run {
                let Some(entry) = self.entries.get_mut(&seq) else {
                    continue;
                };
                entry.busy = true;
                let before = entry.message.clone();
                if is_dead(&before) {
                    taken.dead.push(before);
                    self.turn(seq, State::Visible);
                    // What follows in its group must wait until it is out of the way.
                    break;
                }
                let message = &mut entry.message;
                message.receives += 1;
                message.visible = until;
                message.first_received.get_or_insert(now);
                message.last_received = Some(now);
                taken.received.push(message.clone());
                taken.before.push(before);
                self.turn(seq, State::InFlight);
            }
        }
        taken
    }

    fn group_of(&self, seq: u64) -> Option<String> {
        self.lanes.as_ref()?;
        self.entries.get(&seq)?.message.group.clone()
    }

    /// The messages at the front of a group that may be received together.
    fn run_of(&self, group: &str, most: usize) -> Vec<u64> {
        let lane = self.lanes.as_ref().and_then(|lanes| lanes.get(group));
        let seqs = lane.into_iter().flat_map(|lane| &lane.seqs).copied();
        let receivable = |seq: &u64| {
            let entry = self.entries.get(seq);
            entry.is_some_and(|entry| entry.state == State::Visible && !entry.busy)
        };
        seqs.take_while(receivable).take(most).collect()
    }

    /// A message that is not busy, made busy for a write. `Err` when it is busy already.
    pub(crate) fn claim(&mut self, seq: u64) -> Result<Option<Message>, Busy> {
        let Some(entry) = self.entries.get_mut(&seq) else {
            return Ok(None);
        };
        if entry.busy {
            return Err(Busy);
        }
        entry.busy = true;
        let (message, state) = (entry.message.clone(), entry.state);
        self.turn(seq, state);
        Ok(Some(message))
    }

    /// Where a message is, as it was last settled.
    pub(crate) fn get(&self, seq: u64) -> Result<Option<(&Message, State)>, Busy> {
        match self.entries.get(&seq) {
            Some(entry) if entry.busy => Err(Busy),
            Some(entry) => Ok(Some((&entry.message, entry.state))),
            None => Ok(None),
        }
    }

    /// The first messages that may be received and are not newer than `until`, for moving.
    pub(crate) fn movable(&self, until: u64, most: usize) -> Vec<u64> {
        self.ready.range(..=until).take(most).copied().collect()
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When the next message becomes visible by itself.
    pub(crate) fn next_due(&self) -> Option<i64> {
        self.due.first().map(|(at, _)| *at)
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            visible: self.counts[State::Visible as usize],
            in_flight: self.counts[State::InFlight as usize],
            delayed: self.counts[State::Delayed as usize],
        }
    }

    /// Forgets all messages up to `last`; those that are busy follow when they settle.
    pub(crate) fn purge(&mut self, last: u64) {
        self.purged = last;
        let idle = self.entries.range(..=last).filter(|(_, entry)| !entry.busy);
        let seqs: Vec<u64> = idle.map(|(seq, _)| *seq).collect();
        for seq in seqs {
            let gone = self.remove(seq);
            self.trash.extend(gone);
        }
    }

    /// What has to be removed from the store.
    pub(crate) fn take_trash(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.trash)
    }
}

/// A write of this message is under way; ask again when it has settled.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Busy;
