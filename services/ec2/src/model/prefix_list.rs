//! Managed prefix lists: named sets of address blocks that rules refer to.

use std::collections::BTreeMap;

use gureum_kit::Reader;
use gureum_model_ec2::types as t;
use serde::{Deserialize, Serialize};

use crate::cidr::Cidr;
use crate::errors::Result;
use crate::filter::Paths;
use crate::names::Names;
use crate::resource::{Described, Kind, Meta, Resource as _, resource};
use crate::tags;

pub(crate) const KIND: Kind = Kind {
    prefix: "pl",
    name: "prefix-list",
    label: "prefix list",
    not_found: "InvalidPrefixListID.NotFound",
    malformed: "InvalidPrefixListID.Malformed",
    ownerless: false,
};

#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct PrefixListRow {
    pub(crate) meta: Meta,
    pub(crate) name: String,
    pub(crate) most: i32,
    /// What the list holds now, and at every version before.
    pub(crate) versions: Vec<Entries>,
    /// Modified and not only made.
    pub(crate) modified: bool,
}

/// Block (as text, ordered) -> description.
pub(crate) type Entries = BTreeMap<String, String>;

resource!(PrefixListRow, "ec2.prefix-list", KIND);

impl PrefixListRow {
    pub(crate) fn entries(&self) -> Entries {
        self.versions.last().cloned().unwrap_or_default()
    }

    /// 1 when it is made.
    pub(crate) fn version(&self) -> i64 {
        i64::try_from(self.versions.len()).unwrap_or(i64::MAX)
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = Cidr> {
        let entries = self.versions.last().into_iter().flatten();
        entries.filter_map(|(block, _)| block.parse().ok())
    }
}

impl Described for PrefixListRow {
    type Shape = t::ManagedPrefixList;
    const FILTERS: Paths = &[
        ("owner-id", "OwnerId"),
        ("prefix-list-id", "PrefixListId"),
        ("prefix-list-name", "PrefixListName"),
    ];

    fn shape(&self, _: &impl Reader, _: &Names) -> Result<t::ManagedPrefixList> {
        Ok(t::ManagedPrefixList {
            prefix_list_id: Some(self.meta.id.clone()),
            address_family: Some("IPv4".into()),
            state: Some(
                if self.modified {
                    "modify-complete"
                } else {
                    "create-complete"
                }
                .into(),
            ),
            prefix_list_arn: Some(self.arn().to_string()),
            prefix_list_name: Some(self.name.clone()),
            max_entries: Some(self.most),
            version: Some(self.version()),
            tags: tags::shapes(&self.meta.tags),
            owner_id: Some(self.meta.account.to_string()),
            ..Default::default()
        })
    }
}
