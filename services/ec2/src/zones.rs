//! Regions and availability zones: three zones to a region, whatever its name.

use gureum_kit::Region;

/// The regions that `DescribeRegions` tells of. Others work too, once somebody uses them.
pub(crate) const REGIONS: &[&str] = &[
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-southeast-1",
    "ap-southeast-2",
    "ca-central-1",
    "eu-central-1",
    "eu-north-1",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-west-1",
    "us-west-2",
];

const LETTERS: [char; 3] = ['a', 'b', 'c'];

/// An availability zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Zone {
    /// `us-east-1a`
    pub(crate) name: String,
    /// `use1-az1`
    pub(crate) id: String,
}

/// The zones of a region.
pub(crate) fn of(region: &Region) -> Vec<Zone> {
    let short = short(region.as_str());
    let zone = |(index, letter): (usize, &char)| Zone {
        name: format!("{region}{letter}"),
        id: format!("{short}-az{}", index + 1),
    };
    LETTERS.iter().enumerate().map(zone).collect()
}

/// The zone with this name or id.
pub(crate) fn find(region: &Region, name: Option<&str>, id: Option<&str>) -> Option<Zone> {
    let fits = |zone: &Zone| {
        name.is_none_or(|name| zone.name == name) && id.is_none_or(|id| zone.id == id)
    };
    of(region).into_iter().find(fits)
}

/// The id of a zone of this region.
pub(crate) fn id(region: &Region, name: &str) -> Option<String> {
    find(region, Some(name), None).map(|zone| zone.id)
}

/// `use1` of `us-east-1`, `apne2` of `ap-northeast-2`: the first part, the initials of the
/// direction, the number.
fn short(region: &str) -> String {
    let mut parts = region.split('-');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part {
            "northeast" => out.push_str("ne"),
            "northwest" => out.push_str("nw"),
            "southeast" => out.push_str("se"),
            "southwest" => out.push_str("sw"),
            number if number.bytes().all(|b| b.is_ascii_digit()) => out.push_str(number),
            word => out.extend(word.chars().next()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_named_as_aws_names_them() {
        let ids = |region: &str| {
            let zones = of(&region.parse().expect(region));
            zones.into_iter().map(|zone| zone.id).next()
        };
        assert_eq!(ids("us-east-1").as_deref(), Some("use1-az1"));
        assert_eq!(ids("ap-northeast-2").as_deref(), Some("apne2-az1"));
        assert_eq!(ids("ca-central-1").as_deref(), Some("cac1-az1"));
    }
}
