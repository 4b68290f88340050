//! What holds for every engine.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::*;

macro_rules! battery {
    ($($test:ident)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(crate::store::Store::memory()).await;
            })*
        }
        mod durable {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let dir = tempfile::tempdir().expect("dir");
                super::$test(crate::store::Store::open(dir.path()).expect("open")).await;
            })*
        }
    };
}

battery! {
    scans_select_order_and_continue
    a_transaction_sees_its_own_writes
    an_error_writes_nothing
    snapshots_do_not_change
    money_is_neither_made_nor_lost
    phantoms_are_conflicts
    reads_beyond_the_limit_are_no_conflict
    the_overtaken_get_their_turn
    watches_wake_for_their_prefix_only
    no_wake_up_is_lost
    what_is_too_large_is_refused
    old_rows_migrate
    the_census_counts_every_table
}

async fn scans_select_order_and_continue(store: Store) {
    fill(&store, &["a", "p/1", "p/2", "p/q/3", "p0", "z"]).await;
    store
        .transact(|tx| tx.put(&item("c", "p/9", 1)))
        .await
        .expect("put");
    let read = store.read();
    let of = || Scan::<Item>::of(("b",));
    assert_eq!(
        keys(&read, Scan::all()),
        ["a", "p/1", "p/2", "p/q/3", "p0", "z", "p/9"]
    );
    assert_eq!(keys(&read, of().text("p/")), ["p/1", "p/2", "p/q/3"]);
    assert_eq!(
        keys(&read, of().text("p/").reverse().limit(2)),
        ["p/q/3", "p/2"]
    );
    assert_eq!(
        keys(&read, of().text("p/").after(("b", "p/1"))),
        ["p/2", "p/q/3"]
    );
    assert_eq!(
        keys(&read, of().text("p/").after(("b", "p/2")).reverse()),
        ["p/1"]
    );
    assert_eq!(keys(&read, of().after_text("p/")), ["p0", "z"]);
    assert_eq!(keys(&read, of().after_text("p")), ["z"]);
    assert_eq!(
        keys(&read, of().from(("b", "p/2")).until(("b", "p0"))),
        ["p/2", "p/q/3"]
    );
    assert_eq!(
        keys(&read, of().from(("b", "z")).until(("b", "a"))),
        [""; 0]
    );
    assert_eq!(keys(&read, Scan::all().after(("b",))), ["p/9"]);
    assert_eq!(keys(&read, of().limit(0)), [""; 0]);
    assert_eq!(keys(&read, Scan::of(("",))), [""; 0]);
}

async fn a_transaction_sees_its_own_writes(store: Store) {
    fill(&store, &["a", "c", "e"]).await;
    let seen = store.transact(|tx| {
        tx.put(&item("b", "b", 2))?;
        tx.put(&item("b", "c", 2))?;
        tx.put(&item("b", "f", 2))?;
        tx.delete::<Item>(("b", "a"))?;
        tx.delete::<Item>(("b", "nothing"))?;
        assert_eq!(
            (value(tx, "a"), value(tx, "c"), value(tx, "e")),
            (None, Some(2), Some(1))
        );
        assert_eq!(keys(tx, Scan::all().limit(3)), ["b", "c", "e"]);
        assert_eq!(keys(tx, Scan::all().reverse()), ["f", "e", "c", "b"]);
        assert!(!tx.has::<Item>(("b", "a"))?);
        Ok::<_, StoreError>(())
    });
    seen.await.expect("transact");
    assert_eq!(keys(&store.read(), Scan::all()), ["b", "c", "e", "f"]);
}

async fn an_error_writes_nothing(store: Store) {
    let failed: Result<(), StoreError> = store
        .transact(|tx| {
            tx.put(&item("b", "a", 1))?;
            Err(StoreError::Closed("on purpose".into()))
        })
        .await;
    assert!(matches!(failed, Err(StoreError::Closed(_))));
    assert_eq!(keys(&store.read(), Scan::all()), [""; 0]);
}

async fn snapshots_do_not_change(store: Store) {
    fill(&store, &["a", "b"]).await;
    let before = store.read();
    let mut rows = before.scan(Scan::<Item>::all());
    assert_eq!(rows.next().expect("row").expect("read").key, "a");
    put(&store, "a", 2).await;
    put(&store, "a", 3).await;
    put(&store, "c", 2).await;
    store
        .transact(|tx| tx.delete::<Item>(("b", "b")))
        .await
        .expect("delete");
    assert_eq!(
        rows.map(|row| row.expect("read").key).collect::<Vec<_>>(),
        ["b"]
    );
    assert_eq!(
        (value(&before, "a"), value(&before, "b")),
        (Some(1), Some(1))
    );
    assert_eq!(keys(&before, Scan::all()), ["a", "b"]);
    assert_eq!(keys(&store.read(), Scan::all()), ["a", "c"]);
}

/// Concurrent transfers between few accounts: the sum never changes, in any snapshot.
async fn money_is_neither_made_nor_lost(store: Store) {
    const ACCOUNTS: usize = 4;
    let names = ["a", "b", "c", "d"];
    let open = |tx: &mut Tx| {
        names
            .iter()
            .try_for_each(|name| tx.put(&item("b", name, 100)))
    };
    store.transact(open).await.expect("open");
    let sum = |reader: &dyn Fn(Scan<Item>) -> Vec<u64>| reader(Scan::all()).iter().sum::<u64>();
    let tasks: Vec<_> = (0..6usize)
        .map(|lane| {
            let store = store.clone();
            tokio::spawn(async move {
                for step in 0..40 {
                    let from = names[(lane + step) % ACCOUNTS];
                    let to = names[(lane + step * 3 + 1) % ACCOUNTS];
                    let moved = store.transact(|tx| {
                        let (Some(have), true) = (value(tx, from), from != to) else {
                            return Ok(());
                        };
                        let amount = have.min(7);
                        tx.put(&item("b", from, have - amount))?;
                        let other = value(tx, to).expect("account");
                        tx.put(&item("b", to, other + amount))
                    });
                    moved.await.expect("transfer");
                }
            })
        })
        .collect();
    for _ in 0..50 {
        let read = store.read();
        let values = |scan| {
            read.scan(scan)
                .map(|row: Result<Item, _>| row.expect("row").value)
                .collect()
        };
        assert_eq!(sum(&values), 400);
        tokio::task::yield_now().await;
    }
    for task in tasks {
        task.await.expect("task");
    }
    let read = store.read();
    let values = |scan| {
        read.scan(scan)
            .map(|row: Result<Item, _>| row.expect("row").value)
            .collect()
    };
    assert_eq!(sum(&values), 400);
}

/// Each transaction inserts a row only if the range is empty: one of many may.
async fn phantoms_are_conflicts(store: Store) {
    let inserted = AtomicU32::new(0);
    let tasks = (0..16).map(|lane| {
        let (store, inserted) = (store.clone(), &inserted);
        async move {
            let won = store.transact(|tx| {
                if tx
                    .scan(Scan::<Item>::of(("b",)).text("room/"))
                    .next()
                    .is_some()
                {
                    return Ok::<_, StoreError>(false);
                }
                tx.put(&item("b", &format!("room/{lane}"), 1))?;
                Ok(true)
            });
            inserted.fetch_add(u32::from(won.await.expect("insert")), Ordering::SeqCst);
        }
    });
    all(tasks).await;
    assert_eq!(inserted.load(Ordering::SeqCst), 1);
    assert_eq!(keys(&store.read(), Scan::of(("b",)).text("room/")).len(), 1);
}

/// A transaction depends on what it read of a range, in the direction that it read it.
async fn reads_beyond_the_limit_are_no_conflict(store: Store) {
    fill(&store, &["a", "b", "c", "d"]).await;
    for (scan, other, reruns) in [
        (Scan::all as fn() -> Scan<Item>, "c", false),
        (Scan::all, "b", true),
        (|| Scan::all().reverse(), "b", false),
        (|| Scan::all().reverse(), "c", true),
    ] {
        let mut runs = 0;
        let (inner, handle) = (store.clone(), tokio::runtime::Handle::current());
        let done = store.transact(|tx| {
            runs += 1;
            assert_eq!(keys(tx, scan().limit(2)).len(), 2);
            if runs == 1 {
                // Commits a write of another transaction between our read and our commit.
                let other = put(&inner, other, 9);
                tokio::task::block_in_place(|| handle.block_on(other));
            }
            tx.put(&item("x", "x", 1))
        });
        done.await.expect("transact");
        assert_eq!(runs > 1, reruns, "write to {other}");
        store
            .transact(|tx| tx.delete::<Item>(("x", "x")))
            .await
            .expect("delete");
    }
}

/// A slow reader of a hot row still commits: it is given the store for itself.
async fn the_overtaken_get_their_turn(store: Store) {
    put(&store, "hot", 0).await;
    let stop = crate::Shutdown::new();
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let (store, stop) = (store.clone(), stop.clone());
            tokio::spawn(async move {
                while !stop.has_begun() {
                    put(&store, "hot", 1).await;
                }
            })
        })
        .collect();
    let slow = store.transact(|tx| {
        let hot = value(tx, "hot").expect("hot");
        tokio::task::block_in_place(|| std::thread::sleep(Duration::from_millis(20)));
        tx.put(&item("b", "slow", hot))
    });
    slow.await.expect("slow transaction");
    stop.begin();
    for writer in writers {
        writer.await.expect("writer");
    }
}

async fn watches_wake_for_their_prefix_only(store: Store) {
    let mut bucket = store.watch::<Item>(("b",));
    let mut row = store.watch::<Item>(("b", "a"));
    let mut table = store.watch::<Item>(());
    let woken = async |watch: &mut Watch| {
        tokio::time::timeout(Duration::ZERO, watch.changed())
            .await
            .is_ok()
    };
    put(&store, "b", 1).await;
    settled(&mut table).await;
    assert!(woken(&mut bucket).await);
    assert!(!woken(&mut bucket).await, "woken twice for one commit");
    assert!(!woken(&mut row).await);
    store
        .transact(|tx| tx.put(&item("c", "a", 1)))
        .await
        .expect("put");
    settled(&mut table).await;
    assert!(!woken(&mut bucket).await);
    store
        .transact(|tx| tx.delete::<Item>(("b", "a")))
        .await
        .expect("delete");
    settled(&mut table).await;
    assert!(woken(&mut row).await);
}

async fn settled(watch: &mut Watch) {
    tokio::time::timeout(Duration::from_secs(30), watch.changed())
        .await
        .expect("a wake-up");
}

/// Two tasks hand a number back and forth; a lost wake-up would leave both waiting.
async fn no_wake_up_is_lost(store: Store) {
    const ROUNDS: u64 = 200;
    put(&store, "ball", 0).await;
    let player = |side: u64| {
        let store = store.clone();
        async move {
            let mut watch = store.watch::<Item>(("b", "ball"));
            loop {
                match value(&store.read(), "ball").expect("ball") {
                    ROUNDS.. => return,
                    ball if ball % 2 == side => put(&store, "ball", ball + 1).await,
                    _ => settled(&mut watch).await,
                }
            }
        }
    };
    all([player(0), player(1)]).await;
}

async fn what_is_too_large_is_refused(store: Store) {
    let long = "k".repeat(engine::MAX_KEY);
    let refused = store.transact(|tx| tx.put(&item("b", &long, 1))).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })));
    assert_eq!(value(&store.read(), &long), None);
    let big = "v".repeat(MAX_TRANSACTION / 4);
    let put_all = |tx: &mut Tx| {
        (0..5).try_for_each(|n| {
            tx.put(&Big {
                n,
                text: big.clone(),
            })
        })
    };
    assert!(matches!(
        store.transact(put_all).await,
        Err(StoreError::TooLarge { .. })
    ));
    let put_some = |tx: &mut Tx| {
        (0..3).try_for_each(|n| {
            tx.put(&Big {
                n,
                text: big.clone(),
            })
        })
    };
    store.transact(put_some).await.expect("large values");
    let read = store.read().get::<Big>(2).expect("get").expect("row");
    assert_eq!(read.text, big);
}

/// The same table, as three ages of a program know it.
#[derive(Serialize, Deserialize)]
struct First {
    id: u64,
    name: String,
}
#[derive(Serialize, Deserialize)]
struct Second {
    id: u64,
    name: String,
    #[serde(default)]
    size: u32,
}
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Third {
    id: u64,
    names: Vec<String>,
}

impl Row for First {
    const TABLE: &'static str = "test.age";
    type Key = u64;
    fn key(&self) -> u64 {
        self.id
    }
}
impl Row for Second {
    const TABLE: &'static str = "test.age";
    type Key = u64;
    fn key(&self) -> u64 {
        self.id
    }
}
impl Row for Third {
    const TABLE: &'static str = "test.age";
    const VERSION: u16 = 2;
    type Key = u64;
    fn key(&self) -> u64 {
        self.id
    }
    fn migrate(from: u16, bytes: &[u8]) -> Result<Third, StoreError> {
        if from != 1 {
            return Err(StoreError::Version {
                table: Self::TABLE,
                found: from,
                known: 2,
            });
        }
        let old: Second = decode_as(Self::TABLE, bytes)?;
        Ok(Third {
            id: old.id,
            names: vec![old.name],
        })
    }
}

async fn old_rows_migrate(store: Store) {
    let old = First {
        id: 1,
        name: "one".into(),
    };
    store.transact(|tx| tx.put(&old)).await.expect("put");
    assert_eq!(
        store
            .read()
            .get::<Second>(1)
            .expect("get")
            .expect("row")
            .size,
        0
    );
    let third = Third {
        id: 1,
        names: vec!["one".into()],
    };
    assert_eq!(store.read().get::<Third>(1).expect("get"), Some(third));
    let newest = Third {
        id: 2,
        names: vec![],
    };
    store.transact(|tx| tx.put(&newest)).await.expect("put");
    let refused = store
        .read()
        .get::<Second>(2)
        .err()
        .expect("newer")
        .to_string();
    assert_eq!(
        refused,
        "a row of table test.age has version 2, this program knows 1"
    );
}

/// Runs futures side by side, on this task.
async fn all<F: Future<Output = ()>>(futures: impl IntoIterator<Item = F>) {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        futures.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        if futures.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

async fn the_census_counts_every_table(store: Store) {
    assert!(store.read().census().expect("a census").is_empty());
    fill(&store, &["a", "b", "c"]).await;
    let big = Big {
        n: 0,
        text: String::new(),
    };
    store.transact(|tx| tx.put(&big)).await.expect("put");
    let mut census = store.read().census().expect("a census");
    census.retain(|table, _| table.starts_with("test."));
    let expected = [("test.big".to_owned(), 1), ("test.item".to_owned(), 3)];
    assert_eq!(census, expected.into());
}
