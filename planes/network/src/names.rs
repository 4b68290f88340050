//! Names that the kernel knows: interfaces, routing tables, hardware addresses. All follow from
//! ids alone, so that a keeper that knows nothing yet finds what another one made.

/// The end of an id that tells it from the others still fits in an interface's name (15 bytes).
const TAIL: usize = 14;

/// The router's end of the link to what `id` names.
pub(crate) fn device(id: &str) -> String {
    let tail = id
        .char_indices()
        .rev()
        .nth(TAIL - 1)
        .map_or(0, |(at, _)| at);
    format!("v{}", &id[tail..])
}

/// The link of a router to the core, seen from the router.
pub(crate) const CORE: &str = "core";
/// The link of the core to the host, seen from the core.
pub(crate) const UPLINK: &str = "uplink";
/// What both ends of a link without addresses of its own send to.
pub(crate) const FAR_END: std::net::Ipv4Addr = std::net::Ipv4Addr::new(169, 254, 0, 1);

/// Interface `index` inside an instance.
pub(crate) fn inner(index: u8) -> String {
    format!("eth{index}")
}

/// The kernel's number of a route table, above the reserved ones.
pub(crate) fn table(id: &str) -> u32 {
    0x1000_0000 | (hash(&[id]) as u32 & 0x0fff_ffff)
}

/// A locally administered address for one end of a link.
pub(crate) fn mac(link: &str, end: &str) -> [u8; 6] {
    let [a, b, c, d, e, ..] = hash(&[link, "/", end]).to_le_bytes();
    [0x02, a, b, c, d, e]
}

/// FNV-1a: these names must be the same in every build, which the standard library's hash is not.
fn hash(parts: &[&str]) -> u64 {
    parts
        .iter()
        .flat_map(|part| part.bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_keeps_the_end_of_its_id() {
        assert_eq!(device("eni-0123456789abcdef0"), "v3456789abcdef0");
        assert_eq!(device("eni-1"), "veni-1");
        assert!(device("eni-0123456789abcdef0").len() <= 15);
    }

    #[test]
    fn ends_of_a_link_differ_and_are_unicast() {
        let (near, far) = (mac("vpc-1", "core"), mac("vpc-1", "router"));
        assert_ne!(near, far);
        assert_eq!(near[0] & 3, 2);
    }

    #[test]
    fn tables_stay_clear_of_the_reserved_ones() {
        assert!(table("rtb-1") > 255);
        assert_ne!(table("rtb-1"), table("rtb-2"));
    }
}
