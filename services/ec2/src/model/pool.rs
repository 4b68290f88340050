//! Public addresses: one pool for the whole cloud, whoever's they are at the moment.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use gureum_kit::names::id;
use gureum_kit::{Reader, Row, Scan, StoreError, Tx};
use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;
use crate::errors::{Refusal, Result};

/// How many addresses are tried at random before the pool counts as used up.
const TRIES: usize = 64;

/// Addresses at both ends of the pool that belong to the network itself: its host, its joints.
const RESERVED: u64 = 16;

/// A public address in use.
#[derive(Serialize, Deserialize)]
struct PublicRow {
    address: u64,
    /// What has it: `eipalloc-…`, or an interface that got it at launch.
    owner: String,
}

impl Row for PublicRow {
    const TABLE: &'static str = "ec2.public";
    type Key = (u64,);

    fn key(&self) -> Self::Key {
        (self.address,)
    }
}

/// Takes a public address from the pool.
pub(crate) fn take(tx: &mut Tx, pool: Cidr, owner: &str) -> Result<Ipv4Addr> {
    let usable = pool.size().saturating_sub(2 * RESERVED).max(1);
    for _ in 0..TRIES {
        let random = u64::from_be_bytes(id::bytes()) % usable;
        let address = u64::from(u32::from(pool.first())) + RESERVED + random;
        if !tx.has::<PublicRow>((address,))? {
            tx.put(&PublicRow {
                address,
                owner: owner.to_owned(),
            })?;
            // At most the pool's last address, which is 32 bits long.
            return Ok(Ipv4Addr::from(u32::try_from(address).unwrap_or(u32::MAX)));
        }
    }
    Err(Refusal::new(
        "InsufficientAddressCapacity",
        "Not enough available addresses to satisfy your request.",
    ))
}

pub(crate) fn give_back(tx: &mut Tx, address: Ipv4Addr) -> Result<()> {
    Ok(tx.delete::<PublicRow>((u64::from(u32::from(address)),))?)
}

/// Gives back the addresses of owners that are gone.
pub(crate) fn forget(tx: &mut Tx, owners: &BTreeSet<String>) -> Result<(), StoreError> {
    let rows = tx.scan(Scan::<PublicRow>::all());
    for row in rows.collect::<Result<Vec<_>, _>>()? {
        if owners.contains(&row.owner) {
            tx.delete::<PublicRow>(row.key())?;
        }
    }
    Ok(())
}
