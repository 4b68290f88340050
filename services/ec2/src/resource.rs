//! What all resources have in common: an id of a kind, an owner, tags; and finding them.

use std::collections::BTreeMap;

use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_kit::{AccountId, Arn, Reader, Region, Row, Scan};
use gureum_schema::Struct;
use serde::{Deserialize, Serialize};

use crate::errors::{Refusal, Result};

pub(crate) type Tags = BTreeMap<String, String>;
/// Region, account, id.
pub(crate) type Place = (Region, AccountId, String);

/// A kind of resource: how its ids look and what is said of one that isn't there.
pub(crate) struct Kind {
    /// `vpc` of `vpc-0a1b…`.
    pub(crate) prefix: &'static str,
    /// The resource type of tags and ARNs, `internet-gateway`.
    pub(crate) name: &'static str,
    /// In sentences: `internetGateway`.
    pub(crate) label: &'static str,
    pub(crate) not_found: &'static str,
    pub(crate) malformed: &'static str,
    /// Its ARNs name no account: it can be shared.
    pub(crate) ownerless: bool,
}

/// What every row begins with. Times are milliseconds since the epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Meta {
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    pub(crate) id: String,
    pub(crate) created: i64,
    pub(crate) tags: Tags,
}

/// A row that is a resource.
pub(crate) trait Resource: Row<Key = Place> + Clone {
    const KIND: &'static Kind;

    fn meta(&self) -> &Meta;
    fn meta_mut(&mut self) -> &mut Meta;

    fn id(&self) -> &str {
        &self.meta().id
    }

    /// The VPC that it belongs to, as policies ask (`ec2:Vpc`).
    fn vpc(&self) -> Option<&str> {
        None
    }

    fn arn(&self) -> Arn {
        let meta = self.meta();
        arn(Self::KIND, &meta.region, &meta.account, &meta.id)
    }
}

/// A resource that a `Describe…` operation shows.
pub(crate) trait Described: Resource {
    type Shape: Struct + Default;
    /// Filter name -> path of members in the shape; see [`crate::filter`].
    const FILTERS: crate::filter::Paths;

    fn shape(&self, reader: &impl Reader, names: &crate::names::Names) -> Result<Self::Shape>;
}

/// Makes a row with a `meta` field a [`Resource`].
macro_rules! resource {
    ($row:ty, $table:literal, $kind:expr $(, vpc: $vpc:ident)?) => {
        impl gureum_kit::Row for $row {
            const TABLE: &'static str = $table;
            type Key = $crate::resource::Place;

            fn key(&self) -> Self::Key {
                let meta = &self.meta;
                (meta.region.clone(), meta.account, meta.id.clone())
            }
        }

        impl $crate::resource::Resource for $row {
            const KIND: &'static $crate::resource::Kind = &$kind;

            fn meta(&self) -> &$crate::resource::Meta {
                &self.meta
            }

            fn meta_mut(&mut self) -> &mut $crate::resource::Meta {
                &mut self.meta
            }

            $(fn vpc(&self) -> Option<&str> {
                Some(&self.$vpc)
            })?
        }
    };
}
pub(crate) use resource;

/// Where and when a call happens: all of EC2 lives in one region of one account.
#[derive(Clone, Debug)]
pub(crate) struct Here {
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    /// Milliseconds since the epoch.
    pub(crate) now: i64,
}

impl Here {
    pub(crate) fn of(cx: &Cx) -> Self {
        Self {
            region: cx.region.clone(),
            account: *cx.account(),
            now: cx.now.0,
        }
    }

    pub(crate) fn place(&self, id: &str) -> Place {
        (self.region.clone(), self.account, id.to_owned())
    }

    /// The beginning of a new row, with a new id.
    pub(crate) fn new_meta(&self, kind: &Kind, tags: Tags) -> Meta {
        Meta {
            region: self.region.clone(),
            account: self.account,
            id: id::resource(kind.prefix),
            created: self.now,
            tags,
        }
    }
}

impl Meta {
    /// Where the row lives, to look up its neighbours.
    pub(crate) fn here(&self) -> Here {
        Here {
            region: self.region.clone(),
            account: self.account,
            now: 0,
        }
    }
}

pub(crate) fn arn(kind: &Kind, region: &Region, account: &AccountId, id: &str) -> Arn {
    let mut arn = Arn::new("ec2", region, account, format!("{}/{id}", kind.name));
    if kind.ownerless {
        arn.account.clear();
    }
    arn
}

impl Kind {
    /// Refuses what isn't an id of this kind.
    pub(crate) fn check(&self, id: &str) -> Result<()> {
        let digits = id
            .strip_prefix(self.prefix)
            .and_then(|rest| rest.strip_prefix('-'));
        let good = digits.is_some_and(|digits| {
            matches!(digits.len(), 8 | 17) && digits.bytes().all(|b| b.is_ascii_hexdigit())
        });
        if good {
            return Ok(());
        }
        Err(Refusal::new(
            self.malformed,
            format!("Invalid id: \"{id}\" (expecting \"{}-...\")", self.prefix),
        ))
    }

    pub(crate) fn absent(&self, id: &str) -> Refusal {
        let label = self.label;
        Refusal::new(
            self.not_found,
            format!("The {label} ID '{id}' does not exist"),
        )
    }

    /// Several that a listing asked for and that aren't there.
    pub(crate) fn all_absent(&self, ids: &[&str]) -> Refusal {
        match ids {
            [id] => self.absent(id),
            ids => Refusal::new(
                self.not_found,
                format!("The {} IDs '{}' do not exist", self.label, ids.join(", ")),
            ),
        }
    }
}

/// Finding resources, in a snapshot or in a transaction.
pub(crate) trait Find: Reader + Sized {
    /// The resource with this id, if it is there.
    fn find<R: Resource>(&self, here: &Here, id: &str) -> Result<Option<R>> {
        Ok(self.get::<R>(here.place(id))?)
    }

    /// The resource with this id; refuses one that isn't there.
    fn need<R: Resource>(&self, here: &Here, id: &str) -> Result<R> {
        R::KIND.check(id)?;
        self.find(here, id)?.ok_or_else(|| R::KIND.absent(id))
    }

    /// All resources of one kind.
    fn all<R: Resource>(&self, here: &Here) -> Result<Vec<R>> {
        let rows = self.scan(Scan::<R>::of((&here.region, &here.account)));
        Ok(rows.collect::<std::result::Result<_, _>>()?)
    }

    /// Those of one kind that belong to a VPC.
    fn of_vpc<R: Resource>(&self, here: &Here, vpc: &str) -> Result<Vec<R>> {
        let mut rows = self.all::<R>(here)?;
        rows.retain(|row| row.vpc() == Some(vpc));
        Ok(rows)
    }
}

impl<T: Reader> Find for T {}
