//! Regions that write while they are cut off from each other in all kinds of ways.

use std::sync::Arc;
use std::time::Duration;

use gureum_kit::{Clock, Driver, Row, Store};
use proptest::prelude::*;

use super::*;
use crate::model::{Stream, TableKey};
use crate::ops::tables::start_stream;
use crate::page::tests::table;
use crate::value::{Item, Value};

const REGIONS: [&str; 3] = ["us-east-1", "eu-west-1", "ap-south-1"];

struct World {
    db: Arc<DynamoDb>,
    clock: Clock,
    keys: Vec<TableKey>,
}

/// What happens in the world.
#[derive(Clone, Debug)]
enum Event {
    /// In a region an item is set to a number, or deleted.
    Write(usize, u8, Option<u8>),
    /// The changes of a region reach another.
    Ship(usize, usize),
    Wait(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let (one, other) = (0..REGIONS.len(), 0..REGIONS.len());
    prop_oneof![
        4 => (one.clone(), 0u8..3, prop::option::of(any::<u8>()))
            .prop_map(|(region, key, value)| Event::Write(region, key, value)),
        2 => (one, other).prop_map(|(from, to)| Event::Ship(from, to)),
        1 => (0u64..3).prop_map(Event::Wait),
    ]
}

impl World {
    /// With global tables of version 2017.11.29, if those are wanted.
    async fn new(legacy: bool) -> Self {
        let clock = Clock::manual(1_000_000_000_000);
        let driver = Driver::new(clock.clone());
        let db = DynamoDb::open(Store::memory(), clock.clone(), &[7; 32], &driver).await;
        let db = db.expect("open");
        let regions: Vec<Region> = REGIONS.iter().map(|r| r.parse().expect("region")).collect();
        let mut keys = Vec::new();
        for (at, region) in regions.iter().enumerate() {
            let mut made = Table {
                region: region.clone(),
                id: 100 + at as u64,
                globals: Vec::new(),
                replicas: regions.iter().filter(|r| *r != region).cloned().collect(),
                stream: None::<Stream>,
                legacy: legacy.then_some(200 + at as u64),
                ..table("S")
            };
            let key = made.key();
            db.alter(&key, |tx, place| {
                start_stream(tx, &mut made, "NEW_AND_OLD_IMAGES", 0)?;
                *place = Some(made.clone());
                Ok(())
            })
            .await
            .expect("a table");
            keys.push(key);
        }
        Self { db, clock, keys }
    }

    fn table(&self, region: usize) -> Table {
        self.db
            .find(&self.keys[region])
            .expect("there")
            .table
            .clone()
    }

    async fn happen(&self, event: &Event) {
        match event {
            Event::Wait(millis) => self.clock.advance(Duration::from_millis(*millis)),
            Event::Ship(from, to) if from != to => {
                let to = self.keys[*to].0.clone();
                while self
                    .db
                    .ship_some(&self.table(*from), &to)
                    .await
                    .expect("ship")
                {}
            }
            Event::Ship(..) => {}
            Event::Write(region, key, value) => {
                let table = self.table(*region);
                let mut item = Item::from([
                    ("p".to_owned(), Value::S("p".into())),
                    ("s".to_owned(), Value::S(key.to_string())),
                ]);
                let at = items::key_in(&table, &item).expect("a key");
                let new = value.map(|value| {
                    item.insert("v".to_owned(), Value::S(value.to_string()));
                    item
                });
                let now = self.clock.now();
                let write = |tx: &mut Tx| {
                    let old = items::read(tx, &table, &at)?;
                    items::write(tx, &table, &at, old.as_ref(), new.as_ref(), now, false)
                };
                self.db.store.transact(write).await.expect("a write");
            }
        }
    }

    fn items(&self, region: usize) -> Vec<Item> {
        let view = self.db.store.read();
        let table = self.table(region);
        let found = view.scan(Scan::<crate::model::Entry>::of((table.id,)));
        let open = |entry: Result<crate::model::Entry, _>| entry.expect("an item").open(&table);
        found.map(|entry| open(entry).expect("open")).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn regions_agree_once_all_changes_have_arrived(
        events in prop::collection::vec(event(), 0..40),
        last in prop::collection::vec((0..REGIONS.len(), any::<u8>()), 3),
        legacy in any::<bool>(),
        order in Just((0..9).map(|n| (n / 3, n % 3)).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let world = World::new(legacy).await;
            for event in &events {
                world.happen(event).await;
            }
            for (from, to) in &order {
                world.happen(&Event::Ship(*from, *to)).await;
            }
            assert_eq!(world.items(0), world.items(1));
            assert_eq!(world.items(1), world.items(2));
            // A write that comes after everything wins everywhere.
            for (key, (region, value)) in last.iter().enumerate() {
                world.happen(&Event::Write(*region, key as u8, Some(*value))).await;
            }
            for (from, to) in order.iter().rev() {
                world.happen(&Event::Ship(*from, *to)).await;
            }
            let expected: Vec<_> = last.iter().map(|(_, value)| Value::S(value.to_string())).collect();
            for region in 0..REGIONS.len() {
                let values: Vec<_> = world.items(region).iter().map(|item| item["v"].clone()).collect();
                assert_eq!(values, expected);
            }
        });
    }
}

#[tokio::test]
async fn a_deleted_item_is_forgotten_when_nothing_older_can_come() {
    use crate::global::model::{Tombstone, Versioned};
    let world = World::new(false).await;
    for event in [
        Event::Write(0, 1, Some(1)),
        Event::Write(0, 1, None),
        Event::Write(0, 2, Some(1)),
        Event::Write(0, 2, None),
        Event::Write(0, 2, Some(2)),
        Event::Ship(0, 1),
    ] {
        world.happen(&event).await;
    }
    let known = || {
        let view = world.db.store.read();
        let gone = view.scan(Scan::<Versioned>::all());
        let gone = gone.filter(|known| known.as_ref().is_ok_and(|known| known.gone));
        (gone.count(), view.scan(Scan::<Tombstone>::all()).count())
    };
    assert_eq!(known(), (2, 4));
    world.db.forget_deleted().await.expect("sweep");
    assert_eq!(known(), (2, 4));
    world.clock.advance(Duration::from_secs(26 * 3600));
    world.db.forget_deleted().await.expect("sweep");
    assert_eq!(known(), (0, 0));
    world.happen(&Event::Ship(1, 0)).await;
    assert_eq!(world.items(0), world.items(1));
}

#[tokio::test]
async fn each_region_of_the_older_version_expires_items_for_itself() {
    use crate::global::model::Versioned;
    let world = World::new(true).await;
    let table = world.table(0);
    world.happen(&Event::Write(0, 1, Some(1))).await;
    world.happen(&Event::Ship(0, 1)).await;
    let item = world.items(0).pop().expect("an item");
    let at = items::key_in(&table, &item).expect("a key");
    let now = world.clock.now();
    let expire = |tx: &mut Tx| items::write(tx, &table, &at, Some(&item), None, now, true);
    world.db.store.transact(expire).await.expect("expiry");
    world.happen(&Event::Ship(0, 1)).await;
    assert_eq!((world.items(0).len(), world.items(1).len()), (0, 1));
    // What the others write wins over it, and nothing is remembered for good.
    world.happen(&Event::Write(1, 1, Some(2))).await;
    world.happen(&Event::Ship(1, 0)).await;
    assert_eq!(world.items(0), world.items(1));
    assert_eq!(
        world.items(0)[0]["aws:rep:updateregion"],
        Value::S(REGIONS[1].into())
    );
    world.happen(&Event::Write(0, 1, None)).await;
    world.clock.advance(Duration::from_secs(26 * 3600));
    world.db.forget_deleted().await.expect("sweep");
    let view = world.db.store.read();
    assert_eq!(view.scan(Scan::<Versioned>::of((200,))).count(), 0);
}
