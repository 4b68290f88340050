//! Transactions that build on others which are not durable yet, over a medium that waits to be told
//! how each write ends.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, mpsc};

use tokio::task::JoinHandle;

use super::engine::{Commit, View};
use super::memory::Memory;
use super::*;

/// Writes wait for their outcome.
struct Slow {
    inner: Memory,
    outcomes: Mutex<mpsc::Receiver<bool>>,
    writes: Arc<AtomicU32>,
}

impl Medium for Slow {
    fn version(&self) -> Version {
        self.inner.version()
    }

    fn view(&self) -> Result<Arc<dyn View>, StoreError> {
        self.inner.view()
    }

    fn apply(&self, batch: &[Arc<Commit>]) -> Result<(), StoreError> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        let outcome = self.outcomes.lock().expect("outcomes").recv();
        match outcome {
            Ok(true) => self.inner.apply(batch),
            _ => Err(StoreError::Closed("on purpose".into())),
        }
    }
}

/// The store, how its writes end, and how many there were.
fn slow() -> (Store, mpsc::Sender<bool>, Arc<AtomicU32>) {
    let (sender, outcomes) = mpsc::channel();
    let writes = Arc::<AtomicU32>::default();
    let medium = Slow {
        inner: Memory::default(),
        outcomes: Mutex::new(outcomes),
        writes: writes.clone(),
    };
    (
        Store::over(Box::new(medium)).expect("store"),
        sender,
        writes,
    )
}

/// Adds one, unless the sum would be above `limit`. Counts its runs.
async fn add(store: &Store, runs: &AtomicU32, limit: u64) -> Result<u64, StoreError> {
    store
        .transact(|tx| {
            runs.fetch_add(1, Ordering::SeqCst);
            let sum = value(tx, "sum").unwrap_or(0) + 1;
            if sum > limit {
                return Err(StoreError::Conflict { attempts: 0 });
            }
            tx.put(&item("b", "sum", sum))?;
            Ok(sum)
        })
        .await
}

/// The same beside the test.
fn adding(store: &Store, runs: &Arc<AtomicU32>, limit: u64) -> JoinHandle<Result<u64, StoreError>> {
    let (store, runs) = (store.clone(), runs.clone());
    tokio::spawn(async move { add(&store, &runs, limit).await })
}

/// Waits until something has happened this often.
async fn until(counter: &AtomicU32, times: u32) {
    while counter.load(Ordering::SeqCst) < times {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_build_on_each_other_share_a_write() {
    let (store, outcomes, writes) = slow();
    let runs = Arc::<AtomicU32>::default();
    let all: Vec<_> = (0..50).map(|_| adding(&store, &runs, 100)).collect();
    // All but one have lost to another, and begun again.
    until(&runs, 99).await;
    assert_eq!(
        value(&store.read(), "sum"),
        None,
        "seen before it is durable"
    );
    for _ in 0..50 {
        outcomes.send(true).expect("outcome");
    }
    let mut sums = Vec::new();
    for task in all {
        sums.push(task.await.expect("task").expect("added"));
    }
    sums.sort_unstable();
    assert_eq!(sums, (1..=50).collect::<Vec<_>>());
    assert_eq!(value(&store.read(), "sum"), Some(50));
    assert!(writes.load(Ordering::SeqCst) < 50, "{writes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_that_rests_on_others_waits_for_them() {
    let (store, outcomes, writes) = slow();
    let runs = Arc::<AtomicU32>::default();
    let first = adding(&store, &runs, 1);
    until(&writes, 1).await;
    let mut second = adding(&store, &runs, 1);
    until(&runs, 3).await;
    let waited = tokio::time::timeout(Duration::from_millis(20), &mut second);
    assert!(waited.await.is_err(), "refused for what is not durable");
    outcomes.send(true).expect("outcome");
    assert_eq!(first.await.expect("task").expect("added"), 1);
    assert!(second.await.expect("task").is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rests_on_a_failed_write_is_run_again() {
    let (store, outcomes, writes) = slow();
    let runs = Arc::<AtomicU32>::default();
    let first = adding(&store, &runs, 1);
    until(&writes, 1).await;
    // It is refused on what the first wrote, and waits to be allowed to say so.
    let second = adding(&store, &runs, 1);
    until(&runs, 3).await;
    outcomes.send(false).expect("outcome");
    outcomes.send(true).expect("outcome");
    let first = first.await.expect("task");
    assert!(matches!(first, Err(StoreError::Closed(_))), "{first:?}");
    let second = second.await.expect("task");
    assert_eq!(second.expect("the first never was"), 1);
    assert_eq!(value(&store.read(), "sum"), Some(1));
}
