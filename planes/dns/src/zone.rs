//! A zone: its records, and what it knows about a name.

use crate::{Error, canonical};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::collections::BTreeMap;
use std::ops::Bound;

/// Records of one name and type.
#[derive(Clone, Debug, PartialEq)]
pub struct Records {
    /// In seconds.
    pub ttl: u32,
    pub data: Vec<RData>,
}

/// All records at and below a name. Made whole, then served; a change is a new zone.
#[derive(Clone, Debug)]
pub struct Zone {
    origin: Name,
    /// In canonical order, so that what is below a name follows it.
    nodes: BTreeMap<Name, BTreeMap<RecordType, Records>>,
}

/// What a zone says about a name and type.
#[derive(Clone, Debug, PartialEq)]
pub enum Found<'a> {
    Records(&'a Records),
    /// The name is another name for this one.
    Alias(&'a Records, Name),
    /// Somebody else answers for this name: the delegated name and its servers.
    Delegated(Name, &'a Records),
    /// The name exists, the type does not.
    NoData,
    NoName,
}

impl Zone {
    /// An empty zone. The SOA record's minimum, if less than `ttl`, is for how long others may
    /// remember that something does not exist (RFC 2308).
    pub fn new(origin: &Name, soa: SOA, ttl: u32) -> Zone {
        let origin = canonical(origin);
        let soa = Records {
            ttl,
            data: vec![RData::SOA(soa)],
        };
        let apex = BTreeMap::from([(RecordType::SOA, soa)]);
        Zone {
            nodes: BTreeMap::from([(origin.clone(), apex)]),
            origin,
        }
    }

    pub fn origin(&self) -> &Name {
        &self.origin
    }

    /// Sets the records of a name and of their type, in place of those it had of that type. The
    /// name's first label may be `*`.
    pub fn set(&mut self, name: &Name, ttl: u32, data: Vec<RData>) -> Result<(), Error> {
        let name = canonical(name);
        if !self.origin.zone_of(&name) {
            let (name, zone) = (name.to_string(), self.origin.to_string());
            return Err(Error::OutsideZone { name, zone });
        }
        let kind = match data.first() {
            Some(first)
                if data
                    .iter()
                    .all(|one| one.record_type() == first.record_type()) =>
            {
                first.record_type()
            }
            _ => return Err(Error::Mixed(name.to_string())),
        };
        let node = self.nodes.entry(name.clone()).or_default();
        let alias = |of: &RecordType| *of == RecordType::CNAME;
        let others = node
            .keys()
            .any(|other| *other != kind && (alias(&kind) || alias(other)));
        if others || (alias(&kind) && data.len() > 1) {
            return Err(Error::Alias(name.to_string()));
        }
        let node = self.nodes.entry(name).or_default();
        node.insert(kind, Records { ttl, data });
        Ok(())
    }

    /// Takes the records of a name and type away; false if there were none. The SOA record stays.
    pub fn unset(&mut self, name: &Name, kind: RecordType) -> bool {
        let name = canonical(name);
        let Some(node) = self
            .nodes
            .get_mut(&name)
            .filter(|_| kind != RecordType::SOA)
        else {
            return false;
        };
        let had = node.remove(&kind).is_some();
        if node.is_empty() {
            self.nodes.remove(&name);
        }
        had
    }

    /// What is known about a name of this zone.
    pub fn find(&self, name: &Name, kind: RecordType) -> Found<'_> {
        let name = canonical(name);
        if let Some((cut, servers)) = self.delegation(&name) {
            return Found::Delegated(cut, servers);
        }
        if let Some(node) = self.nodes.get(&name) {
            return Self::of_node(node, kind);
        }
        if self.has_below(&name) {
            return Found::NoData;
        }
        // A wildcard stands for what is missing right below the closest name that exists.
        let mut encloser = name.base_name();
        while encloser != self.origin && !self.exists(&encloser) {
            encloser = encloser.base_name();
        }
        let wildcard = encloser.prepend_label("*").ok();
        match wildcard.and_then(|wildcard| self.nodes.get(&wildcard)) {
            Some(node) => Self::of_node(node, kind),
            None => Found::NoName,
        }
    }

    /// What a negative answer carries, so that it can be remembered (RFC 2308, 3).
    pub fn soa(&self) -> Option<Record> {
        let records = self.nodes.get(&self.origin)?.get(&RecordType::SOA)?;
        let data = records.data.first()?;
        let RData::SOA(soa) = data else { return None };
        let ttl = records.ttl.min(soa.minimum);
        Some(Record::from_rdata(self.origin.clone(), ttl, data.clone()))
    }

    fn of_node(node: &BTreeMap<RecordType, Records>, kind: RecordType) -> Found<'_> {
        if let Some(records) = node.get(&kind) {
            return Found::Records(records);
        }
        let alias = node.get(&RecordType::CNAME);
        match alias.and_then(|records| Some((records, records.data.first()?))) {
            Some((records, RData::CNAME(target))) => Found::Alias(records, canonical(&target.0)),
            _ => Found::NoData,
        }
    }

    /// The highest name between the zone's own and this one that is delegated.
    fn delegation(&self, name: &Name) -> Option<(Name, &Records)> {
        let own = self.origin.num_labels() + 1;
        (own..=name.num_labels()).find_map(|labels| {
            let at = name.trim_to(usize::from(labels));
            let servers = self.nodes.get(&at)?.get(&RecordType::NS)?;
            Some((at, servers))
        })
    }

    fn exists(&self, name: &Name) -> bool {
        self.nodes.contains_key(name) || self.has_below(name)
    }

    /// Whether names below this one exist, which makes it exist as well (RFC 4592, 2.2.2).
    fn has_below(&self, name: &Name) -> bool {
        let after = (Bound::Excluded(name), Bound::Unbounded);
        self.nodes
            .range::<Name, _>(after)
            .next()
            .is_some_and(|(next, _)| name.zone_of(next))
    }
}

#[cfg(test)]
mod tests;
