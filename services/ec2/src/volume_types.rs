//! Volume types: which sizes and speeds each can have, and which it has unless told.
//!
//! <https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html>

use std::ops::RangeInclusive;

use gureum_block::Limits;
use serde::{Deserialize, Serialize};

use crate::errors::{Refusal, Result};

const MIB: u64 = 1 << 20;

/// The type of a volume for which none is named.
pub(crate) const USUAL: &str = "gp2";
/// GiB. The map of a volume's blocks is held in memory while it is attached, 32 KiB for each GiB.
pub(crate) const LARGEST: i32 = 16_384;

/// A volume's size and speed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Performance {
    /// `gp3`, …
    pub(crate) kind: String,
    /// GiB.
    pub(crate) size: i32,
    /// Operations per second, where the type tells.
    pub(crate) iops: Option<i32>,
    /// MiB per second, where it can be chosen.
    pub(crate) throughput: Option<i32>,
}

/// What a request says.
pub(crate) struct Wish<'a> {
    pub(crate) kind: &'a str,
    pub(crate) size: i32,
    pub(crate) iops: Option<i32>,
    pub(crate) throughput: Option<i32>,
}

fn sizes(kind: &str) -> Option<RangeInclusive<i32>> {
    Some(match kind {
        "gp2" | "gp3" => 1..=LARGEST,
        "io1" | "io2" => 4..=LARGEST,
        "st1" | "sc1" => 125..=LARGEST,
        "standard" => 1..=1024,
        _ => return None,
    })
}

impl Performance {
    /// Refuses what the type cannot be.
    pub(crate) fn read(wish: &Wish<'_>) -> Result<Self> {
        let kind = wish.kind;
        let sizes = sizes(kind).ok_or_else(|| {
            Refusal::value(format!(
                "Value ({kind}) for parameter volumeType is invalid."
            ))
        })?;
        if !sizes.contains(&wish.size) {
            return Err(Refusal::value(format!(
                "Volume of {}GiB is {} than the {} allowed for this volume type: {}GiB",
                wish.size,
                if wish.size < *sizes.start() {
                    "smaller"
                } else {
                    "larger"
                },
                if wish.size < *sizes.start() {
                    "minimum"
                } else {
                    "maximum"
                },
                if wish.size < *sizes.start() {
                    sizes.start()
                } else {
                    sizes.end()
                },
            )));
        }
        Ok(Self {
            kind: kind.to_owned(),
            size: wish.size,
            iops: iops(wish)?,
            throughput: throughput(wish)?,
        })
    }

    /// Bytes.
    pub(crate) fn bytes(&self) -> u64 {
        u64::try_from(self.size).unwrap_or(0) << 30
    }

    /// How fast the volume is let be.
    pub(crate) fn limits(&self) -> Limits {
        let iops = self.iops.and_then(|iops| u32::try_from(iops).ok());
        let tib = |rate: u64, least: u64, most: u64| {
            let scaled = self.bytes().saturating_mul(rate) >> 40;
            scaled.clamp(least, most) * MIB
        };
        let bytes = match self.kind.as_str() {
            "gp3" => {
                self.throughput
                    .map_or(125, |mib| u64::try_from(mib).unwrap_or(125))
                    * MIB
            }
            "gp2" if self.size < 170 => 128 * MIB,
            "gp2" => 250 * MIB,
            "io1" => 1000 * MIB,
            "io2" => 4000 * MIB,
            "st1" => tib(40, 5, 500),
            "sc1" => tib(12, 2, 192),
            _ => 90 * MIB,
        };
        let operations = match self.kind.as_str() {
            // Those of disks are counted in pieces of a MiB, ours of a quarter.
            "st1" => 2000,
            "sc1" => 1000,
            "standard" => 200,
            _ => iops.unwrap_or(3000),
        };
        Limits { operations, bytes }
    }
}

fn iops(wish: &Wish<'_>) -> Result<Option<i32>> {
    let (range, per_gib) = match wish.kind {
        "gp3" => (3000..=80_000, 500),
        "io1" => (100..=64_000, 50),
        "io2" => (100..=256_000, 1000),
        kind => {
            if wish.iops.is_some() {
                return Err(Refusal::combination(format!(
                    "The parameter iops is not supported for {kind} volumes."
                )));
            }
            // Three for each GiB.
            let gp2 = || wish.size.saturating_mul(3).clamp(100, 16_000);
            return Ok((kind == "gp2").then(gp2));
        }
    };
    let Some(iops) = wish.iops else {
        return match wish.kind {
            "gp3" => Ok(Some(3000)),
            _ => Err(Refusal::missing("iops")),
        };
    };
    if !range.contains(&iops) {
        return Err(Refusal::value(format!(
            "Volume iops of {iops} is out of range; the range for {} is {}-{}.",
            wish.kind,
            range.start(),
            range.end()
        )));
    }
    if iops > *range.start() && iops > wish.size.saturating_mul(per_gib) {
        return Err(Refusal::value(format!(
            "Iops to volume size ratio of {iops}/{} is too high; maximum is {per_gib}",
            wish.size
        )));
    }
    Ok(Some(iops))
}

fn throughput(wish: &Wish<'_>) -> Result<Option<i32>> {
    if wish.kind != "gp3" {
        return match wish.throughput {
            None => Ok(None),
            Some(_) => Err(Refusal::combination(format!(
                "The parameter throughput is not supported for {} volumes.",
                wish.kind
            ))),
        };
    }
    let throughput = wish.throughput.unwrap_or(125);
    if !(125..=2000).contains(&throughput) {
        return Err(Refusal::value(format!(
            "Throughput of {throughput} MiB/s is out of range; the range is 125-2000 MiB/s."
        )));
    }
    // A quarter of a MiB for each operation.
    if throughput > wish.iops.unwrap_or(3000) / 4 {
        return Err(Refusal::value(
            "Throughput (MiBps) to iops ratio is too high; maximum is 0.25",
        ));
    }
    Ok(Some(throughput))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        kind: &str,
        size: i32,
        iops: Option<i32>,
        throughput: Option<i32>,
    ) -> Option<Performance> {
        let wish = Wish {
            kind,
            size,
            iops,
            throughput,
        };
        Performance::read(&wish).ok()
    }

    #[test]
    fn each_type_has_its_sizes_and_speeds() {
        let gp3 = read("gp3", 1, None, None).expect("gp3");
        assert_eq!((gp3.iops, gp3.throughput), (Some(3000), Some(125)));
        assert_eq!(
            gp3.limits(),
            Limits {
                operations: 3000,
                bytes: 125 << 20
            }
        );
        assert_eq!(
            read("gp2", 100, None, None).and_then(|it| it.iops),
            Some(300)
        );
        assert_eq!(
            read("io1", 4, Some(200), None).map(|it| it.limits().operations),
            Some(200)
        );
        for (kind, size, iops, throughput) in [
            ("gp4", 8, None, None),
            ("gp3", 0, None, None),
            ("gp3", 8, Some(2999), None),
            ("gp3", 8, Some(4001), None),
            ("gp3", 8, None, Some(751)),
            ("gp2", 8, Some(100), None),
            ("io1", 4, None, None),
            ("io1", 4, Some(201), None),
            ("st1", 124, None, None),
            ("standard", 1025, None, None),
        ] {
            assert_eq!(read(kind, size, iops, throughput), None, "{kind} {size}");
        }
    }
}
