//! The metadata tree: leaves by their paths, and directories as what the leaves' paths pass through.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html>

use std::collections::BTreeMap;

use bytes::Bytes;
use gureum_schema::Timestamp;
use serde_json::json;

use super::credentials::Role;
use super::facts::{Facts, Interface};
use crate::{images, names, zones};

/// The versions of the tree. They differ in what they have; here all have everything.
const VERSIONS: &[&str] = &[
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-09-24",
    "latest",
];

const ROLES: &str = "meta-data/iam/security-credentials";
const KEYS: &str = "meta-data/public-keys";

/// The parts of a path after its version; `None` for a version that does not exist. The list of
/// versions itself is at `[]`, and the version's own list at `[""]`.
pub(super) fn path(path: &str) -> Option<Vec<&str>> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let Some(version) = parts.next() else {
        return Some(Vec::new());
    };
    VERSIONS.contains(&version).then_some(())?;
    let rest: Vec<&str> = parts.collect();
    Some(if rest.is_empty() { vec![""] } else { rest })
}

pub(super) fn is_about_role(path: &[&str]) -> bool {
    path.starts_with(&["meta-data", "iam"])
}

/// This is where the role's credentials are.
pub(super) fn is_role(path: &[&str], role: &Role) -> bool {
    path == [
        "meta-data",
        "iam",
        "security-credentials",
        role.name.as_str(),
    ]
}

/// What is at a path: a leaf's value, or a directory's entries, one to a line.
pub(super) fn look(facts: &Facts, path: &[&str]) -> Option<Bytes> {
    let path = match path {
        [] => return Some(VERSIONS.join("\n").into()),
        path => path.join("/"),
    };
    if path == "user-data" {
        return facts.row.user_data.clone();
    }
    if path == KEYS {
        let name = facts.row.key_name.as_ref()?;
        return Some(format!("0={name}").into());
    }
    let leaves = leaves(facts);
    match leaves.get(&path) {
        Some(value) => Some(value.clone().into()),
        None => list(&leaves, &path).map(Into::into),
    }
}

/// The names right below a path; those of directories end with a slash.
fn list(leaves: &BTreeMap<String, String>, path: &str) -> Option<String> {
    let prefix = match path {
        "" => String::new(),
        path => format!("{path}/"),
    };
    let below = leaves.keys().filter_map(|key| key.strip_prefix(&prefix));
    let mut names: Vec<String> = below
        .map(|rest| match rest.split_once('/') {
            // The tree's trunks are shown without.
            Some((name, _)) if path.is_empty() => name.to_owned(),
            Some((name, _)) => format!("{name}/"),
            None => rest.to_owned(),
        })
        .collect();
    names.dedup();
    (!names.is_empty()).then(|| names.join("\n"))
}

fn leaves(facts: &Facts) -> BTreeMap<String, String> {
    let mut leaves = BTreeMap::new();
    let mut put = |path: &str, value: String| {
        leaves.insert(format!("meta-data/{path}"), value);
    };
    let (row, region) = (&facts.row, &facts.row.meta.region);
    put("ami-id", row.image.clone());
    put("ami-launch-index", row.launch_index.to_string());
    put("ami-manifest-path", "(unknown)".into());
    put("block-device-mapping/ami", images::ROOT_DEVICE.into());
    if let Some((_, device)) = row.store() {
        put("block-device-mapping/ephemeral0", device.into());
    }
    put("block-device-mapping/root", images::ROOT_DEVICE.into());
    put("instance-action", "none".into());
    put("instance-id", row.meta.id.clone());
    put("instance-life-cycle", "on-demand".into());
    put("instance-type", row.instance_type.clone());
    put("placement/availability-zone", row.zone.clone());
    if let Some(id) = zones::id(region, &row.zone) {
        put("placement/availability-zone-id", id);
    }
    put("placement/region", region.to_string());
    put("profile", "default-hvm".into());
    put("reservation-id", row.reservation.clone());
    put("services/domain", "amazonaws.com".into());
    put("services/partition", "aws".into());
    if let Some(key) = &row.public_key {
        put("public-keys/0/openssh-key", format!("{}\n", key.trim_end()));
    }
    if row.metadata.tags {
        let fits = |key: &&String| !key.contains(['/', ' ']);
        for key in row.meta.tags.keys().filter(fits) {
            let value = row.meta.tags[key].clone();
            put(&format!("tags/instance/{key}"), value);
        }
    }
    if let Some(first) = facts.interfaces.first() {
        for (name, value) in main_interface(facts, first) {
            put(name, value);
        }
    }
    for (index, interface) in facts.interfaces.iter().enumerate() {
        let mac = interface.row.mac();
        for (name, value) in self::interface(facts, index, interface) {
            put(&format!("network/interfaces/macs/{mac}/{name}"), value);
        }
    }
    if let Some(info) = profile(facts) {
        put("iam/info", info);
    }
    if let Some(role) = &facts.role {
        leaves.insert(format!("{ROLES}/{}", role.name), String::new());
    }
    let document = document(facts);
    leaves.insert("dynamic/instance-identity/document".into(), document);
    if facts.row.user_data.is_some() {
        leaves.insert("user-data".into(), String::new());
    }
    leaves
}

/// What is said of `eth0` as if it were the instance.
fn main_interface(facts: &Facts, first: &Interface) -> Vec<(&'static str, String)> {
    let mut out = vec![
        ("mac", first.row.mac()),
        ("security-groups", first.group_names.join("\n")),
    ];
    if let Some(address) = first.row.primary_private() {
        let name = names::private(&facts.row.meta.region, address);
        out.push(("local-ipv4", address.to_string()));
        out.push(("local-hostname", name.clone()));
        out.push(("hostname", name));
    }
    if let Some(public) = first.row.primary_public() {
        out.push(("public-ipv4", public.address.to_string()));
        out.extend(public_name(facts, first).map(|name| ("public-hostname", name)));
    }
    out
}

fn public_name(facts: &Facts, interface: &Interface) -> Option<String> {
    let public = interface.row.primary_public()?;
    let name = || facts.names.public(&facts.row.meta.region, public.address);
    facts.vpc.dns_hostnames.then(name)
}

fn interface(facts: &Facts, index: usize, interface: &Interface) -> Vec<(String, String)> {
    let row = &interface.row;
    let attachment = row.attachment.as_ref();
    let device = attachment.map_or(0, |attachment| attachment.device_index);
    let lines = |lines: Vec<String>| lines.join("\n");
    let private = row.addresses.iter().map(|it| it.private.to_string());
    let blocks: Vec<String> = facts.vpc.cidrs().map(|cidr| cidr.to_string()).collect();
    let mut out = vec![
        ("device-number", device.to_string()),
        ("interface-id", row.meta.id.clone()),
        ("local-ipv4s", lines(private.collect())),
        ("mac", row.mac()),
        ("network-card", "0".into()),
        ("owner-id", row.meta.account.to_string()),
        ("security-group-ids", lines(row.groups.clone())),
        ("security-groups", lines(interface.group_names.clone())),
        ("subnet-id", row.subnet.clone()),
        ("vpc-id", row.vpc.clone()),
        ("vpc-ipv4-cidr-block", facts.vpc.cidr().to_string()),
        ("vpc-ipv4-cidr-blocks", lines(blocks)),
    ];
    if let Some(subnet) = &interface.subnet {
        out.push(("subnet-ipv4-cidr-block", subnet.cidr.to_string()));
    }
    if let Some(address) = row.primary_private() {
        let name = names::private(&facts.row.meta.region, address);
        out.push(("local-hostname", name));
    }
    let publics = row.addresses.iter();
    let publics: Vec<_> = publics
        .filter_map(|it| Some((it.public.as_ref()?.address.to_string(), it.private)))
        .collect();
    let mut out: Vec<_> = out.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
    for (public, private) in &publics {
        out.push((format!("ipv4-associations/{public}"), private.to_string()));
    }
    if !publics.is_empty() {
        let all = publics.into_iter().map(|(public, _)| public).collect();
        out.push(("public-ipv4s".into(), lines(all)));
        let name = public_name(facts, interface).filter(|_| index == 0);
        out.extend(name.map(|name| ("public-hostname".to_owned(), name)));
    }
    out
}

/// `iam/info`, for an instance that has a profile.
fn profile(facts: &Facts) -> Option<String> {
    let profile = facts.row.profile.as_ref()?;
    Some(pretty(&json!({
        "Code": "Success",
        "LastUpdated": seconds(profile.since),
        "InstanceProfileArn": profile.arn,
        "InstanceProfileId": profile.id,
    })))
}

/// <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html>
fn document(facts: &Facts) -> String {
    let row = &facts.row;
    let first = facts.interfaces.first();
    let address = first.and_then(|it| it.row.primary_private());
    pretty(&json!({
        "accountId": row.meta.account.to_string(),
        "architecture": images::ARCHITECTURE,
        "availabilityZone": row.zone,
        "billingProducts": null,
        "devpayProductCodes": null,
        "marketplaceProductCodes": null,
        "imageId": row.image,
        "instanceId": row.meta.id,
        "instanceType": row.instance_type,
        "kernelId": null,
        "pendingTime": seconds(row.launched),
        "privateIp": address,
        "ramdiskId": null,
        "region": row.meta.region.to_string(),
        "version": "2017-09-30",
    }))
}

pub(super) fn pretty(value: &serde_json::Value) -> String {
    // A value made of strings can always be written.
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// A time in whole seconds, `2015-01-25T08:00:00Z`.
pub(super) fn seconds(at: i64) -> String {
    Timestamp::from_secs(Timestamp(at).secs()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_with_a_version() {
        assert_eq!(path("/"), Some(Vec::new()));
        assert_eq!(path("/latest/"), Some(vec![""]));
        assert_eq!(path("/2021-03-23//user-data"), Some(vec!["user-data"]));
        assert_eq!(path("/tea/user-data"), None);
    }

    #[test]
    fn directories_are_what_leaves_pass_through() {
        let leaves = [
            "dynamic/x",
            "meta-data/a/b",
            "meta-data/a/c/d",
            "meta-data/e",
        ];
        let leaves = leaves.map(|leaf| (leaf.to_owned(), String::new())).into();
        let list = |path| list(&leaves, path);
        assert_eq!(list("").as_deref(), Some("dynamic\nmeta-data"));
        assert_eq!(list("meta-data").as_deref(), Some("a/\ne"));
        assert_eq!(list("meta-data/a").as_deref(), Some("b\nc/"));
        assert_eq!(list("meta-data/e"), None);
        assert_eq!(list("meta"), None);
    }
}
