//! What the host's counters say of instances: control groups and interfaces, read as they stand.

use std::collections::BTreeMap;

use gureum_compute::Usage;
use gureum_ec2::machines::PlaneError;

use crate::machines::Host;

/// What went through an instance's interfaces since each was made, as the instance sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) packets_in: u64,
    pub(crate) bytes_in: u64,
    pub(crate) packets_out: u64,
    pub(crate) bytes_out: u64,
}

/// The counters of one instance.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    /// Nothing where the host has no control groups for us.
    pub(crate) usage: Option<Usage>,
    pub(crate) traffic: Traffic,
}

/// The counters of all, by instance and by interface.
#[derive(Default)]
pub(crate) struct Readings {
    usage: BTreeMap<String, Usage>,
    traffic: BTreeMap<String, Traffic>,
}

impl Readings {
    /// Those of an instance with these interfaces; nothing when neither is there.
    pub(crate) fn of(&self, id: &str, interfaces: &[String]) -> Option<Reading> {
        let usage = self.usage.get(id).copied();
        let mut theirs = interfaces
            .iter()
            .filter_map(|id| self.traffic.get(id))
            .peekable();
        if usage.is_none() && theirs.peek().is_none() {
            return None;
        }
        let traffic = theirs.fold(Traffic::default(), |sum, one| Traffic {
            packets_in: sum.packets_in + one.packets_in,
            bytes_in: sum.bytes_in + one.bytes_in,
            packets_out: sum.packets_out + one.packets_out,
            bytes_out: sum.bytes_out + one.bytes_out,
        });
        Some(Reading { usage, traffic })
    }
}

impl Host {
    /// Reads all counters. Asks no instance and no supervisor.
    pub(crate) async fn readings(&self) -> Result<Readings, PlaneError> {
        if !self.room.is_inhabited() {
            return Ok(Readings::default());
        }
        let networks = self.network.observe().await?;
        let interfaces = networks.into_iter().flat_map(|network| network.interfaces);
        let traffic = |seen: gureum_network::Seen| {
            let traffic = Traffic {
                packets_in: seen.packets_in,
                bytes_in: seen.bytes_in,
                packets_out: seen.packets_out,
                bytes_out: seen.bytes_out,
            };
            (seen.id, traffic)
        };
        Ok(Readings {
            usage: self.compute.usages().await?.into_iter().collect(),
            traffic: interfaces.map(traffic).collect(),
        })
    }
}
