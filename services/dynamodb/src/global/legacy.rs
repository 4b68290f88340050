//! What global tables of version 2017.11.29 ("Legacy") have of their own: the group as a row, what
//! tables must have in common to be in one, and the attributes in which items show their version.
//!
//! Such a table is made like any other and joins the group when it is empty. From then on changes
//! travel as in version 2019.11.21, but settings and expiry stay each table's own, and a table that
//! leaves goes on alone. The versions of items lie in a space that a table has for as long as it is in
//! the group, so that one that comes back starts anew.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/globaltables_HowItWorks.html>

use gureum_kit::{AccountId, Arn, Reader, Region, Row, Scan, Tx};
use serde::{Deserialize, Serialize};

use super::model::Version;
use crate::errors::{Refusal, Result};
use crate::model::{Entry, Index, Table, TableKey};
use crate::value::{Item, Value};

/// The attributes that DynamoDB adds to items. That one is being deleted never shows here: a deletion
/// is one step.
const DELETING: &str = "aws:rep:deleting";
const UPDATE_TIME: &str = "aws:rep:updatetime";
const UPDATE_REGION: &str = "aws:rep:updateregion";

/// A group of tables of one name. It has members as long as it is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct GlobalTable {
    pub(crate) account: AccountId,
    pub(crate) name: String,
    /// Milliseconds since the epoch.
    pub(crate) created: i64,
    pub(crate) regions: Vec<Region>,
}

impl Row for GlobalTable {
    const TABLE: &'static str = "dynamodb.global";
    type Key = (AccountId, String);

    fn key(&self) -> Self::Key {
        (self.account, self.name.clone())
    }
}

impl GlobalTable {
    pub(crate) fn arn(&self) -> Arn {
        arn(&self.account, &self.name)
    }

    /// The key of the table in a region.
    pub(crate) fn key_in(&self, region: &Region) -> TableKey {
        (region.clone(), self.account, self.name.clone())
    }

    pub(crate) fn members(&self, view: &impl Reader) -> Result<Vec<Table>> {
        let found = self.regions.iter().map(|region| self.key_in(region));
        let found = found.map(|key| Ok(view.get::<Table>(&key)?));
        found.filter_map(Result::transpose).collect()
    }

    /// Writes the row, or removes that of a group without members.
    pub(crate) fn settle(&self, tx: &mut Tx) -> Result<()> {
        match self.regions.is_empty() {
            true => tx.delete::<Self>(self.key())?,
            false => tx.put(self)?,
        }
        Ok(())
    }
}

/// A global table belongs to no region.
pub(crate) fn arn(account: &AccountId, name: &str) -> Arn {
    Arn::global("dynamodb", account, format!("global-table/{name}"))
}

/// The item with the attributes that say when and where it got its value.
pub(crate) fn stamped(item: &Item, version: &Version) -> Result<Item> {
    let (seconds, millis) = (version.at.div_euclid(1000), version.at.rem_euclid(1000));
    let time = format!("{seconds}.{millis:03}").parse();
    let time = time.map_err(|_| Refusal::Broken("a time is no number".into()))?;
    let mut item = item.clone();
    item.insert(DELETING.to_owned(), Value::Bool(false));
    item.insert(UPDATE_TIME.to_owned(), Value::N(time));
    item.insert(
        UPDATE_REGION.to_owned(),
        Value::S(version.region.to_string()),
    );
    Ok(item)
}

/// Refuses a table whose keys would be those attributes.
pub(crate) fn check_keys(table: &Table) -> Result<()> {
    let taken = [DELETING, UPDATE_TIME, UPDATE_REGION];
    match table.keys.names().find(|key| taken.contains(&key.as_str())) {
        Some(key) => Err(Refusal::parameters(&format!(
            "{key} is reserved for replication and cannot be a key of table: '{}' in region: '{}'",
            table.name, table.region
        ))),
        None => Ok(()),
    }
}

/// Tables of one group have the same keys, and indexes of the same names with the same keys.
pub(crate) fn check_alike(table: &Table, member: &Table) -> Result<()> {
    if table.keys != member.keys
        || kinds(table, table.keys.names()) != kinds(member, member.keys.names())
    {
        return Err(differs(table, "another primary key"));
    }
    for (ours, theirs, what) in [
        (
            &table.locals,
            &member.locals,
            "other local secondary indexes",
        ),
        (
            &table.globals,
            &member.globals,
            "other global secondary indexes",
        ),
    ] {
        if shapes(table, ours) != shapes(member, theirs) {
            return Err(differs(table, what));
        }
    }
    Ok(())
}

/// One that is added later must also take as many writes, and so must its indexes.
pub(crate) fn check_capacity(table: &Table, member: &Table) -> Result<()> {
    let writes = |table: &Table| {
        let indexes = table.globals.iter();
        let indexes = indexes.map(|index| (index.name.clone(), index.throughput.write));
        let mut indexes: Vec<_> = indexes.collect();
        indexes.sort();
        let own = table.billing.throughput.write;
        (table.billing.on_demand, own, indexes)
    };
    match writes(table) == writes(member) {
        true => Ok(()),
        false => Err(differs(table, "another write capacity")),
    }
}

/// Refuses a table that holds items.
pub(crate) fn check_empty(view: &impl Reader, table: &Table) -> Result<()> {
    let mut first = view.scan(Scan::<Entry>::of((table.id,)).limit(1));
    match first.next().transpose()? {
        Some(_) => Err(Refusal::parameters(&format!(
            "Table: '{}' in region: '{}' must be empty, as all replicas must be when one is added",
            table.name, table.region
        ))),
        None => Ok(()),
    }
}

fn differs(table: &Table, how: &str) -> Refusal {
    Refusal::parameters(&format!(
        "Table: '{}' in region: '{}' has {how} than the other replicas",
        table.name, table.region
    ))
}

/// Key attributes with their types.
fn kinds<'t>(table: &'t Table, names: impl Iterator<Item = &'t String>) -> Vec<(&'t str, &'t str)> {
    names
        .map(|name| (name.as_str(), table.kind(name)))
        .collect()
}

fn shapes<'t>(table: &'t Table, indexes: &'t [Index]) -> Vec<(&'t str, Vec<(&'t str, &'t str)>)> {
    let shape = |index: &'t Index| (index.name.as_str(), kinds(table, index.keys.names()));
    let mut shapes: Vec<_> = indexes.iter().map(shape).collect();
    shapes.sort();
    shapes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{KeySchema, Throughput};
    use crate::page::tests::table;

    type Check = fn(&Table, &Table) -> Result<()>;

    fn changed(change: impl FnOnce(&mut Table)) -> Table {
        let mut table = table("S");
        change(&mut table);
        table
    }

    #[test]
    fn tables_of_a_group_have_the_same_keys_and_indexes() {
        let same: Check = check_alike;
        let other = |change: fn(&mut Table)| same(&changed(change), &table("S"));
        assert_eq!(other(|_| ()), Ok(()));
        assert_eq!(other(|table| table.id = 100), Ok(()));
        // Whether a partition key has a sort key beside it tells keys apart, not only their names.
        assert!(other(|table| table.keys.sort = None).is_err());
        assert!(other(|table| table.keys.partition = "q".into()).is_err());
        assert!(other(|table| table.attributes[1].1 = "N".into()).is_err());
        assert!(other(|table| table.globals.clear()).is_err());
        assert!(other(|table| table.locals = table.globals.clone()).is_err());
        assert!(other(|table| table.globals[0].name = "x".into()).is_err());
        assert!(other(|table| table.globals[0].keys.sort = None).is_err());
        let two = |table: &mut Table| {
            let more = Index {
                name: "a".into(),
                ..table.globals[0].clone()
            };
            table.globals.push(more);
        };
        let turned = changed(|table| {
            two(table);
            table.globals.reverse();
        });
        assert_eq!(check_alike(&turned, &changed(two)), Ok(()));
    }

    #[test]
    fn a_table_that_is_added_takes_as_many_writes() {
        let writes = |own, index| {
            changed(|table| {
                table.billing.on_demand = false;
                table.billing.throughput = Throughput {
                    read: own,
                    write: own,
                };
                table.globals[0].throughput.write = index;
            })
        };
        let one = writes(5, 5);
        let fewer_reads = changed(|table| {
            *table = one.clone();
            table.billing.throughput.read = 1;
        });
        assert_eq!(check_capacity(&fewer_reads, &one), Ok(()));
        for other in [writes(6, 5), writes(5, 6), table("S")] {
            assert!(check_capacity(&other, &one).is_err());
            assert_eq!(check_alike(&other, &one), Ok(()));
        }
    }

    #[test]
    fn an_item_shows_when_and_where_it_got_its_value() {
        let version = Version {
            at: 1_530_207_123_009,
            region: "eu-west-1".parse().expect("region"),
        };
        let text = |text: &str| Value::S(text.into());
        let item = Item::from([
            ("p".to_owned(), text("x")),
            (UPDATE_REGION.to_owned(), text("mine")),
        ]);
        let stamped = stamped(&item, &version).expect("an item");
        assert_eq!(stamped.len(), 4);
        assert_eq!(stamped[UPDATE_REGION], text("eu-west-1"));
        assert_eq!(stamped[DELETING], Value::Bool(false));
        assert_eq!(
            stamped[UPDATE_TIME],
            Value::N("1530207123.009".parse().expect("a number"))
        );
    }

    #[test]
    fn a_key_cannot_be_an_attribute_that_is_added() {
        assert_eq!(check_keys(&table("S")), Ok(()));
        let taken = changed(|table| {
            table.keys = KeySchema {
                partition: "p".into(),
                sort: Some(UPDATE_REGION.into()),
            };
        });
        assert!(check_keys(&taken).is_err());
    }
}
