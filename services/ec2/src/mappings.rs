//! Block device mappings: the disks that an instance is launched with, besides its root disk.

use gureum_dispatch::Cx;
use gureum_kit::{AccountId, Reader};
use gureum_model_ec2::types as t;

use crate::errors::{Refusal, Result, refuse};
use crate::images;
use crate::instance_types;
use crate::model::image::{Disk, ImageRow};
use crate::model::instance::InstanceRow;
use crate::model::volume::{Attachment, Bond, VolumeRow};
use crate::ops::volume_attachments::check;
use crate::ops::volumes::{Wanted, make};
use crate::reconcile::volumes::attached;
use crate::resource::{Resource as _, Tags};
use crate::sealing::{Sealing, Secrecy};
use crate::state::{Change, Ec2};

/// Where an instance finds its instance store unless it is told.
pub(crate) const STORE_DEVICE: &str = "/dev/sdb";

/// What is wanted at a device name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Mapping {
    Volume {
        wanted: Wanted,
        delete_on_termination: bool,
    },
    /// `ephemeral0`, for types that have one.
    Store,
}

/// The mappings of a launch, by device name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Mappings(Vec<(String, Mapping)>);

/// What an image brings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Brought {
    pub(crate) disks: Vec<Disk>,
    /// Whose the image is, and with it the disks' snapshots.
    pub(crate) owner: Option<AccountId>,
}

impl Brought {
    pub(crate) fn by(image: ImageRow) -> Self {
        Self {
            disks: image.disks,
            owner: Some(image.meta.account),
        }
    }
}

impl Mappings {
    /// What a request says, over what the image brings.
    pub(crate) fn read(
        given: Option<&Vec<t::BlockDeviceMapping>>,
        brought: &Brought,
    ) -> Result<Self> {
        let mut out = Self::merge(given, &brought.disks)?;
        for (_, mapping) in &mut out.0 {
            if let Mapping::Volume { wanted, .. } = mapping
                && let Some(snapshot) = &wanted.snapshot
                && brought
                    .disks
                    .iter()
                    .any(|it| it.snapshot.as_ref() == Some(snapshot))
            {
                wanted.image_of = brought.owner;
            }
        }
        Ok(out)
    }

    fn merge(given: Option<&Vec<t::BlockDeviceMapping>>, disks: &[Disk]) -> Result<Self> {
        let mut out = Self::default();
        let named = |device: &str| {
            let mut given = given.into_iter().flatten();
            given.any(|it| it.device_name.as_deref() == Some(device))
        };
        for disk in disks.iter().filter(|disk| !named(&disk.device)) {
            let mapping = Mapping::read(&disk.shape())?;
            out.0.push((disk.device.clone(), mapping));
        }
        for mapping in given.into_iter().flatten() {
            let device = mapping.device_name.as_deref().unwrap_or_default();
            check(device)?;
            // It is left out of what the image brings.
            if mapping.no_device.is_some() {
                continue;
            }
            if images::is_root(device) {
                return Err(Refusal::NotImplemented("A volume as root disk".into()));
            }
            if out.0.iter().any(|(other, _)| other == device) {
                return Err(Refusal::new(
                    "InvalidBlockDeviceMapping",
                    format!("The device '{device}' is used in more than one block-device mapping"),
                ));
            }
            let disk = disks.iter().find(|disk| disk.device == device);
            let mapping = Mapping::read(&over(disk, mapping))?;
            out.0.push((device.to_owned(), mapping));
        }
        Ok(out)
    }

    pub(crate) fn has_volumes(&self) -> bool {
        let volume = |(_, mapping): &(String, Mapping)| *mapping != Mapping::Store;
        self.0.iter().any(volume)
    }

    /// Where the instance store is to be found.
    pub(crate) fn store_device(&self) -> Option<&str> {
        let store = self
            .0
            .iter()
            .find(|(_, mapping)| *mapping == Mapping::Store);
        store.map(|(device, _)| device.as_str())
    }

    /// How each of them is to be encrypted.
    pub(crate) async fn seal(&self, ec2: &Ec2, cx: &Cx) -> Result<Vec<Option<Sealing>>> {
        let mut sealings = Vec::new();
        for (_, mapping) in &self.0 {
            sealings.push(match mapping {
                Mapping::Volume { wanted, .. } => ec2.seal(cx, wanted).await?,
                Mapping::Store => None,
            });
        }
        Ok(sealings)
    }

    /// Makes the volumes of a new instance, attached to it.
    pub(crate) fn make(
        &self,
        w: &mut Change<'_>,
        instance: &InstanceRow,
        sealings: &[Option<Sealing>],
        tags: &Tags,
    ) -> Result<()> {
        for ((device, mapping), sealing) in self.0.iter().zip(sealings) {
            let Mapping::Volume {
                wanted,
                delete_on_termination,
            } = mapping
            else {
                continue;
            };
            let mut volume = make(w, &instance.zone, (wanted, sealing.as_ref()), tags.clone())?;
            volume.attachment = Some(Attachment {
                instance: instance.meta.id.clone(),
                device: device.clone(),
                at: w.here.now,
                delete_on_termination: *delete_on_termination,
                state: Bond::Attaching,
                forced: false,
            });
            w.put(&volume)?;
        }
        Ok(())
    }
}

/// A mapping of a request, completed by the image's disk at the same device.
fn over(disk: Option<&Disk>, mapping: &t::BlockDeviceMapping) -> t::BlockDeviceMapping {
    let mut out = mapping.clone();
    let (Some(disk), Some(ebs)) = (disk, &mut out.ebs) else {
        return out;
    };
    if ebs.snapshot_id.is_none() {
        ebs.snapshot_id.clone_from(&disk.snapshot);
    }
    if ebs.snapshot_id.is_none() {
        ebs.volume_size.get_or_insert(disk.size);
    }
    if ebs.volume_type.is_none() {
        ebs.volume_type = Some(disk.kind.clone());
        ebs.iops = ebs.iops.or(disk.iops);
        ebs.throughput = ebs.throughput.or(disk.throughput);
    }
    ebs.delete_on_termination
        .get_or_insert(disk.delete_on_termination);
    out
}

impl Mapping {
    fn read(mapping: &t::BlockDeviceMapping) -> Result<Self> {
        match (&mapping.virtual_name, &mapping.ebs) {
            (Some(name), None) => match name.strip_prefix("ephemeral").map(str::parse::<u8>) {
                Some(Ok(0)) => Ok(Mapping::Store),
                // No type here has more than one.
                Some(Ok(1..24)) => Err(Refusal::NotImplemented(format!("Virtual device {name}"))),
                _ => Err(Refusal::wrong("virtualName", name)),
            },
            (None, Some(ebs)) => Self::volume(ebs),
            (Some(_), Some(_)) => Err(Refusal::combination(
                "A block device mapping names a virtual device or a volume, not both",
            )),
            (None, None) => Err(Refusal::missing("ebs")),
        }
    }

    fn volume(ebs: &t::EbsBlockDevice) -> Result<Self> {
        refuse(&[
            (
                "BlockDeviceMappings.Ebs.OutpostArn",
                ebs.outpost_arn.is_some(),
            ),
            (
                "BlockDeviceMappings.Ebs.VolumeInitializationRate",
                ebs.volume_initialization_rate.is_some(),
            ),
            (
                "BlockDeviceMappings.Ebs.EbsCardIndex",
                ebs.ebs_card_index.is_some_and(|index| index != 0),
            ),
        ])?;
        Ok(Mapping::Volume {
            delete_on_termination: ebs.delete_on_termination == Some(true),
            wanted: Wanted {
                snapshot: ebs.snapshot_id.clone().filter(|id| !id.is_empty()),
                image_of: None,
                size: ebs.volume_size,
                kind: ebs.volume_type.clone(),
                iops: ebs.iops,
                throughput: ebs.throughput,
                secrecy: Secrecy {
                    encrypted: ebs.encrypted,
                    kms_key: ebs.kms_key_id.clone(),
                },
            },
        })
    }
}

impl InstanceRow {
    /// The size (bytes) of its instance store and the device's name, where its type has one.
    pub(crate) fn store(&self) -> Option<(u64, &str)> {
        let kind = instance_types::known(&self.instance_type)?;
        let device = self.store_device.as_deref().unwrap_or(STORE_DEVICE);
        kind.store.map(|gib| (u64::from(gib) << 30, device))
    }

    /// Names its instance store. A start has one of its own, so it is blank.
    pub(crate) fn store_name(&self) -> String {
        format!("{}-{:x}", self.meta.id, self.launched)
    }

    /// Whether something is, or is to be, at this device.
    pub(crate) fn has_device(&self, reader: &impl Reader, device: &str) -> Result<bool> {
        let volumes = attached(reader, &self.meta.here(), self.id())?;
        let at = |row: &VolumeRow| {
            row.attachment
                .as_ref()
                .is_some_and(|it| it.device == device)
        };
        let store = self.store().is_some_and(|(_, at)| at == device);
        Ok(store || images::is_root(device) || volumes.iter().any(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(device: &str) -> t::BlockDeviceMapping {
        t::BlockDeviceMapping {
            device_name: Some(device.into()),
            ..Default::default()
        }
    }

    fn refusal(mappings: Vec<t::BlockDeviceMapping>) -> &'static str {
        match Mappings::read(Some(&mappings), &Brought::default()) {
            Err(Refusal::Sender { code, .. }) => code,
            Err(Refusal::NotImplemented(_)) => "NotImplemented",
            _ => "",
        }
    }

    #[test]
    fn what_is_mapped_is_told_apart() {
        let blank = t::BlockDeviceMapping {
            ebs: Some(t::EbsBlockDevice {
                volume_size: Some(1),
                ..Default::default()
            }),
            ..mapping("/dev/sdf")
        };
        let store = t::BlockDeviceMapping {
            virtual_name: Some("ephemeral0".into()),
            ..mapping("/dev/sdc")
        };
        let none = t::BlockDeviceMapping {
            no_device: Some(String::new()),
            ..mapping("/dev/sdd")
        };
        let given = vec![blank.clone(), store, none];
        let read = Mappings::read(Some(&given), &Brought::default()).expect("mappings");
        assert!(read.has_volumes());
        assert_eq!(read.store_device(), Some("/dev/sdc"));
        assert_eq!(read.0.len(), 2);
        assert_eq!(
            refusal(vec![blank.clone(), blank]),
            "InvalidBlockDeviceMapping"
        );
    }

    #[test]
    fn what_cannot_be_mapped_is_refused() {
        let named = |name: &str| t::BlockDeviceMapping {
            virtual_name: Some(name.into()),
            ..mapping("/dev/sdc")
        };
        assert_eq!(refusal(vec![named("ephemeral1")]), "NotImplemented");
        assert_eq!(refusal(vec![named("floppy")]), "InvalidParameterValue");
        assert_eq!(refusal(vec![mapping("/dev/sdc")]), "MissingParameter");
        assert_eq!(refusal(vec![mapping("/dev/xvda")]), "NotImplemented");
        assert_eq!(refusal(vec![mapping("disk")]), "InvalidParameterValue");
    }
}
