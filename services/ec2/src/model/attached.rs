//! What is attached to which instance, read once where many instances are shown: an instance by itself
//! looks through everything that there is.

use std::collections::BTreeMap;

use gureum_kit::{Reader, Scan};
use gureum_model_ec2::types as t;

use super::instance::InstanceRow;
use super::interface::InterfaceRow;
use super::volume::VolumeRow;
use crate::errors::Result;
use crate::names::Names;
use crate::resource::{Find as _, Here, Resource as _};

/// Interfaces, `eth0` first, and volumes, by the ids of instances.
#[derive(Default)]
pub(crate) struct Attached {
    interfaces: BTreeMap<String, Vec<InterfaceRow>>,
    volumes: BTreeMap<String, Vec<VolumeRow>>,
}

impl Attached {
    /// Those of an account and region.
    pub(crate) fn here(reader: &impl Reader, here: &Here) -> Result<Self> {
        Ok(Self::sort(reader.all(here)?, reader.all(here)?))
    }

    /// The interfaces of everybody.
    pub(crate) fn interfaces_everywhere(reader: &impl Reader) -> Result<Self> {
        let rows = reader.scan(Scan::<InterfaceRow>::all());
        let rows = rows.collect::<std::result::Result<_, _>>()?;
        Ok(Self::sort(rows, Vec::new()))
    }

    fn sort(interfaces: Vec<InterfaceRow>, volumes: Vec<VolumeRow>) -> Self {
        let mut sorted = Self::default();
        for row in interfaces {
            if let Some(attachment) = &row.attachment {
                let of = sorted.interfaces.entry(attachment.instance.clone());
                of.or_default().push(row);
            }
        }
        for rows in sorted.interfaces.values_mut() {
            rows.sort_by_key(|row| row.attachment.as_ref().map(|it| it.device_index));
        }
        for row in volumes {
            if let Some(attachment) = &row.attachment {
                let of = sorted.volumes.entry(attachment.instance.clone());
                of.or_default().push(row);
            }
        }
        sorted
    }

    pub(crate) fn interfaces(&self, instance: &str) -> &[InterfaceRow] {
        self.interfaces.get(instance).map_or(&[], Vec::as_slice)
    }

    /// An instance as it is shown, with what is attached to it.
    pub(crate) fn shape(
        &self,
        row: &InstanceRow,
        reader: &impl Reader,
        names: &Names,
    ) -> Result<t::Instance> {
        let volumes = self.volumes.get(row.id()).map_or(&[][..], Vec::as_slice);
        row.shown(reader, names, self.interfaces(row.id()), volumes)
    }
}
