//! When keys and roles were last used: noted in memory on the request path, written now and then.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gureum_dispatch::{Caller, CallerKind};
use gureum_kit::{Reader, Scan};
use gureum_schema::{Result, Timestamp};

use crate::Iam;
use crate::errors::{Fault, Outcome};
use crate::model::{KeyUse, Session, SessionEnd};
use crate::ops::service_linked;

/// Notes that wait to be written; more are dropped, since these are for information only.
const CAPACITY: usize = 10_000;
/// Rows that one round of tidying removes in one transaction.
pub(crate) const SWEEP: usize = 1000;

#[derive(Default)]
pub(crate) struct Uses(Mutex<HashMap<String, KeyUse>>);

/// What one round of [`Iam::tidy`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Notes of use written.
    pub uses: usize,
    /// Expired sessions removed.
    pub sessions: usize,
}

impl Uses {
    /// Notes a use under the key's id; for a session of a role, under the role's id.
    pub(crate) fn note(
        &self,
        access_key: &str,
        caller: &Caller,
        service: &str,
        region: &str,
        when: Timestamp,
    ) {
        let key = match &caller.kind {
            CallerKind::Role { role_id, .. } => role_id,
            _ => access_key,
        };
        let mut pending = self.lock();
        let room = pending.len() < CAPACITY;
        match pending.get_mut(key) {
            Some(known) => {
                known.when = when;
                if known.service != service {
                    service.clone_into(&mut known.service);
                }
                if known.region != region {
                    region.clone_into(&mut known.region);
                }
            }
            None if room => {
                let note = KeyUse {
                    key: key.to_owned(),
                    when,
                    service: service.to_owned(),
                    region: region.to_owned(),
                };
                pending.insert(key.to_owned(), note);
            }
            None => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, KeyUse>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Iam {
    /// The last use of a key, or of a role by its id.
    pub(crate) fn last_used(&self, reader: &impl Reader, key: &str) -> Outcome<Option<KeyUse>> {
        let pending = self.uses.lock().get(key).cloned();
        match pending {
            Some(note) => Ok(Some(note)),
            None => Ok(reader.get::<KeyUse>(key)?),
        }
    }

    /// Writes the notes of use and removes the sessions that have expired.
    pub async fn tidy(&self) -> Result<Tidied> {
        let notes: Vec<KeyUse> = self.uses.lock().values().cloned().collect();
        if !notes.is_empty() {
            let written: Outcome<()> = self
                .store
                .transact(|tx| Ok(notes.iter().try_for_each(|note| tx.put(note))?))
                .await;
            written?;
            let mut pending = self.uses.lock();
            for note in &notes {
                // One that was noted anew in the meantime stays.
                if pending
                    .get(&note.key)
                    .is_some_and(|now| now.when == note.when)
                {
                    pending.remove(&note.key);
                }
            }
        }
        let now = self.clock.now();
        let sessions: Outcome<usize> = self.store.transact(|tx| sweep(tx, now)).await;
        Ok(Tidied {
            uses: notes.len(),
            sessions: sessions?,
        })
    }
}

fn sweep(tx: &mut gureum_kit::Tx, now: i64) -> Outcome<usize> {
    let expired = Scan::<SessionEnd>::all().until((now, "")).limit(SWEEP);
    let ends: Vec<SessionEnd> = tx
        .scan(expired)
        .collect::<Result<_, _>>()
        .map_err(Fault::from)?;
    for end in &ends {
        tx.delete::<Session>(&end.id)?;
        tx.delete::<SessionEnd>((end.expires.0, &*end.id))?;
    }
    service_linked::sweep(tx, now, SWEEP)?;
    Ok(ends.len())
}
