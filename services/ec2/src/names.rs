//! Host names of instances and interfaces, made from their addresses.

use std::net::Ipv4Addr;

use gureum_kit::Region;

/// How names are made in this cloud.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// What public names end with, `gureum.localhost`.
    pub(crate) domain: String,
}

impl Names {
    /// `ec2-198-18-0-4.compute-1.gureum.localhost`
    pub(crate) fn public(&self, region: &Region, address: Ipv4Addr) -> String {
        let host = dashed(address);
        let zone = match region.as_str() {
            "us-east-1" => "compute-1".to_owned(),
            other => format!("{other}.compute"),
        };
        format!("ec2-{host}.{zone}.{}", self.domain)
    }
}

/// What private names of a region end with.
pub(crate) fn private_domain(region: &Region) -> String {
    match region.as_str() {
        "us-east-1" => "ec2.internal".to_owned(),
        other => format!("{other}.compute.internal"),
    }
}

/// `ip-10-0-0-4.ec2.internal`
pub(crate) fn private(region: &Region, address: Ipv4Addr) -> String {
    format!("ip-{}.{}", dashed(address), private_domain(region))
}

fn dashed(address: Ipv4Addr) -> String {
    address.to_string().replace('.', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_region_has_names_of_its_own() {
        let names = Names {
            domain: "cloud.test".into(),
        };
        let address = Ipv4Addr::new(10, 0, 1, 5);
        let region = |text: &str| text.parse::<Region>().expect(text);
        assert_eq!(
            private(&region("us-east-1"), address),
            "ip-10-0-1-5.ec2.internal"
        );
        assert_eq!(
            private(&region("eu-west-1"), address),
            "ip-10-0-1-5.eu-west-1.compute.internal"
        );
        assert_eq!(
            names.public(&region("us-east-1"), address),
            "ec2-10-0-1-5.compute-1.cloud.test"
        );
    }
}
