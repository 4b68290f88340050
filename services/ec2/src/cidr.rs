//! IPv4 networks in CIDR notation.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An IPv4 network. Always canonical: the bits behind the prefix are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Cidr {
    base: u32,
    prefix: u8,
}

impl Cidr {
    /// Everything: `0.0.0.0/0`.
    pub(crate) const ALL: Cidr = Cidr { base: 0, prefix: 0 };

    /// The network that an address lies in, cut to its canonical form. `prefix` is at most 32.
    pub(crate) fn around(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        Self {
            base: u32::from(address) & mask(prefix),
            prefix,
        }
    }

    pub(crate) fn prefix(self) -> u8 {
        self.prefix
    }

    /// How many addresses it has.
    pub(crate) fn size(self) -> u64 {
        1 << (32 - self.prefix)
    }

    pub(crate) fn first(self) -> Ipv4Addr {
        self.base.into()
    }

    pub(crate) fn last(self) -> Ipv4Addr {
        (self.base | !mask(self.prefix)).into()
    }

    /// The address that lies this far behind the first one.
    pub(crate) fn nth(self, offset: u32) -> Ipv4Addr {
        self.base.saturating_add(offset).into()
    }

    pub(crate) fn holds(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.prefix) == self.base
    }

    /// Whether all of `other` lies in this network.
    pub(crate) fn contains(self, other: Cidr) -> bool {
        self.prefix <= other.prefix && self.holds(other.first())
    }

    pub(crate) fn overlaps(self, other: Cidr) -> bool {
        self.contains(other) || other.contains(self)
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

/// It is not `a.b.c.d/n`.
#[derive(Debug)]
pub(crate) struct NotCidr;

impl fmt::Display for NotCidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a network in CIDR notation")
    }
}

impl FromStr for Cidr {
    type Err = NotCidr;

    /// Reads `a.b.c.d/n` and cuts it to its canonical form.
    fn from_str(text: &str) -> Result<Self, NotCidr> {
        let (address, prefix) = text.split_once('/').ok_or(NotCidr)?;
        let address: Ipv4Addr = address.parse().map_err(|_| NotCidr)?;
        if prefix.len() > 2 || !prefix.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NotCidr);
        }
        let prefix: u8 = prefix.parse().map_err(|_| NotCidr)?;
        if prefix > 32 {
            return Err(NotCidr);
        }
        Ok(Self::around(address, prefix))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first(), self.prefix)
    }
}

impl TryFrom<String> for Cidr {
    type Error = NotCidr;

    fn try_from(text: String) -> Result<Self, NotCidr> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> String {
        cidr.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().expect(text)
    }

    #[test]
    fn a_network_is_cut_to_its_canonical_form() {
        assert_eq!(cidr("10.1.11.7/24").to_string(), "10.1.11.0/24");
        assert_eq!(cidr("255.255.255.255/0"), Cidr::ALL);
        assert_eq!(cidr("10.0.0.0/8").last(), Ipv4Addr::new(10, 255, 255, 255));
        for wrong in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0/8",
            "10.0.0.0/+8",
            "::/0",
        ] {
            assert!(wrong.parse::<Cidr>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn relations_agree_with_the_bounds(a: u32, p in 0u8..=32, b: u32, q in 0u8..=32) {
            let (x, y) = (Cidr::around(a.into(), p), Cidr::around(b.into(), q));
            let inside = x.first() <= y.first() && y.last() <= x.last();
            let apart = x.last() < y.first() || y.last() < x.first();
            prop_assert_eq!(x.contains(y), inside);
            prop_assert_eq!(x.overlaps(y), !apart);
            prop_assert_eq!(x.size(), u64::from(u32::from(x.last()) - u32::from(x.first())) + 1);
            prop_assert_eq!(cidr(&x.to_string()), x);
        }
    }
}
