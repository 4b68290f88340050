//! What one network sees: zones, and resolvers for the rest.

use crate::zone::Zone;
use crate::{Error, canonical};
use hickory_proto::rr::Name;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

/// Zones by their names. Clones are the same view; changes are seen by the next question.
#[derive(Clone, Debug, Default)]
pub struct View(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    zones: RwLock<BTreeMap<Name, Arc<Zone>>>,
    resolvers: Vec<SocketAddr>,
}

impl View {
    /// A view without zones. Names outside of its zones are asked of `resolvers`, in their order.
    pub fn new(resolvers: Vec<SocketAddr>) -> View {
        View(Arc::new(Inner {
            zones: RwLock::default(),
            resolvers,
        }))
    }

    /// Serves a zone, in place of the one of the same name.
    pub fn set(&self, zone: Zone) {
        let mut zones = self.0.zones.write().unwrap_or_else(PoisonError::into_inner);
        zones.insert(zone.origin().clone(), Arc::new(zone));
    }

    /// Serves these zones and no others.
    pub fn replace(&self, zones: Vec<Zone>) {
        let keyed = zones.into_iter();
        let keyed = keyed.map(|zone| (zone.origin().clone(), Arc::new(zone)));
        let mut zones = self.0.zones.write().unwrap_or_else(PoisonError::into_inner);
        *zones = keyed.collect();
    }

    /// Changes a zone (or nothing, if the change fails); false if there is none of that name.
    pub fn change(
        &self,
        origin: &Name,
        change: impl FnOnce(&mut Zone) -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let mut zones = self.0.zones.write().unwrap_or_else(PoisonError::into_inner);
        let Some(zone) = zones.get_mut(&canonical(origin)) else {
            return Ok(false);
        };
        let mut changed = Zone::clone(zone);
        change(&mut changed)?;
        *zone = Arc::new(changed);
        Ok(true)
    }

    /// Stops serving a zone; false if there was none of that name.
    pub fn remove(&self, origin: &Name) -> bool {
        let mut zones = self.0.zones.write().unwrap_or_else(PoisonError::into_inner);
        zones.remove(&canonical(origin)).is_some()
    }

    /// The zone with the longest name that holds this one.
    pub fn zone_of(&self, name: &Name) -> Option<Arc<Zone>> {
        let name = canonical(name);
        let zones = self.0.zones.read().unwrap_or_else(PoisonError::into_inner);
        (0..=name.num_labels())
            .rev()
            .find_map(|labels| zones.get(&name.trim_to(usize::from(labels))).cloned())
    }

    pub(crate) fn resolvers(&self) -> &[SocketAddr] {
        &self.0.resolvers
    }
}
