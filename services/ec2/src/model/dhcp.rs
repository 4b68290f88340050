//! DHCP options.

use std::collections::BTreeMap;

use gureum_kit::Reader;
use gureum_model_ec2::types as t;
use serde::{Deserialize, Serialize};

use crate::errors::Result;
use crate::filter::Paths;
use crate::names::Names;
use crate::resource::{Described, Kind, Meta, resource};
use crate::tags;

pub(crate) const KIND: Kind = Kind {
    prefix: "dopt",
    name: "dhcp-options",
    label: "dhcpOptions",
    not_found: "InvalidDhcpOptionID.NotFound",
    malformed: "InvalidDhcpOptionsId.Malformed",
    ownerless: false,
};

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct DhcpOptionsRow {
    pub(crate) meta: Meta,
    /// `domain-name-servers` -> its values.
    pub(crate) options: BTreeMap<String, Vec<String>>,
}

resource!(DhcpOptionsRow, "ec2.dhcp-options", KIND);

impl Described for DhcpOptionsRow {
    type Shape = t::DhcpOptions;
    const FILTERS: Paths = &[
        ("dhcp-options-id", "DhcpOptionsId"),
        ("key", "DhcpConfigurations.Key"),
        ("owner-id", "OwnerId"),
        ("value", "DhcpConfigurations.Values.Value"),
    ];

    fn shape(&self, _: &impl Reader, _: &Names) -> Result<t::DhcpOptions> {
        let value = |value: &String| t::AttributeValue {
            value: Some(value.clone()),
        };
        let options = self
            .options
            .iter()
            .map(|(key, values)| t::DhcpConfiguration {
                key: Some(key.clone()),
                values: Some(values.iter().map(value).collect()),
            });
        Ok(t::DhcpOptions {
            owner_id: Some(self.meta.account.to_string()),
            tags: tags::shapes(&self.meta.tags),
            dhcp_options_id: Some(self.meta.id.clone()),
            dhcp_configurations: Some(options.collect()),
        })
    }
}
