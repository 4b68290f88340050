//! The reconcile driver: what makes intent true.
//!
//! An operation does not start an instance. It writes a row that says an instance is wanted, and
//! returns; a *reconciler* reads that row, looks at what really runs, and does what is missing. So
//! there is one path to the wanted state, the same whether the intent is new, the program was killed
//! half-way through, or someone pulled a cable: read everything again, compare, act.
//!
//! Three rules make that work, and the trait has the shape that it has to enforce them.
//!
//! * **No input.** [`Reconciler::run`] gets no message, no row, no reason. A wake-up says "look",
//!   never "do this": so a lost, doubled or late wake-up cannot do harm, and wakes that arrive while
//!   a run is under way fold into one more run. (A run that has begun may have read before the
//!   intent was written, hence the one more.)
//! * **Idempotent.** A run may follow any other, finished or not. It names the things it makes after
//!   the rows that want them, and looks before it makes them.
//! * **Periodic as well as woken.** What it steers can change without anyone telling: a process
//!   dies, a file is removed. The period bounds how long that goes unnoticed.
//!
//! An error is a state, not an event: it is kept where `gureum status` shows it, with how often it
//! came in a row and when the next attempt is due. Attempts back off exponentially, up to
//! [`MAX_BACKOFF`]; a wake-up starts one at once, because new intent may be the remedy.
//!
//! Wiring takes two phases, since services and reconcilers need each other: first every
//! [`Driver::waker`] is made, by name, and handed to the services; then [`Driver::start`] brings the
//! reconcilers to life. Wakes in between are kept.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::{Clock, Shutdown};

/// The first pause after an error; it doubles with every further one.
pub const MIN_BACKOFF: Duration = Duration::from_millis(500);
/// The longest pause after errors.
pub const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// Anything that a run can fail of.
pub type RunError = Box<dyn std::error::Error + Send + Sync>;

/// Makes one kind of intent true. See the module's rules.
#[async_trait]
pub trait Reconciler: Send + Sync + 'static {
    /// A stable name, `service.thing`.
    fn name(&self) -> &'static str;

    /// The longest time between the end of a good run and the next one.
    fn period(&self) -> Duration;

    /// Ends when there may be something to do before the period is over: for reconcilers that
    /// watch rows, instead of being woken by whoever writes them. Dropped and called again at will.
    async fn stirred(&self) {
        std::future::pending().await
    }

    /// Reads everything that matters, and does what is missing.
    async fn run(&self) -> Result<Outcome, RunError>;
}

/// How a run without error ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is as wanted; look again after the period, or when woken.
    Settled,
    /// Something takes its time (a boot, a drain): look again after this long.
    Again(Duration),
}

/// Where one reconciler stands. Times are milliseconds since the epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The reconciler's name.
    pub name: &'static str,
    /// Whether a run is under way.
    pub running: bool,
    /// How many runs have ended, well or not.
    pub runs: u64,
    /// When the last run began.
    pub last_run: Option<i64>,
    /// How long the last run took that has ended.
    pub last_duration: Duration,
    /// The error of the last run; `None` if it went well.
    pub last_error: Option<String>,
    /// How many runs in a row have failed.
    pub consecutive_errors: u32,
    /// When the next run is due, if no wake comes earlier.
    pub next_run: Option<i64>,
}

/// Asks a reconciler to look again soon. Cheap to clone; never blocks.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Notify>);

impl Waker {
    /// Wakes it. Wakes before the next run begins count as one.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// Starts reconcilers, wakes them, and knows how they fare. Clones share it.
#[derive(Clone)]
pub struct Driver(Arc<Inner>);

struct Inner {
    clock: Clock,
    slots: Mutex<BTreeMap<&'static str, Arc<Slot>>>,
}

struct Slot {
    wake: Arc<Notify>,
    status: Mutex<Status>,
}

impl Slot {
    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver {
    /// A driver without reconcilers.
    pub fn new(clock: Clock) -> Driver {
        Driver(Arc::new(Inner {
            clock,
            slots: Mutex::default(),
        }))
    }

    fn slot(&self, name: &'static str) -> Arc<Slot> {
        let mut slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let status = Mutex::new(Status {
                name,
                ..Status::default()
            });
            Arc::new(Slot {
                wake: Arc::default(),
                status,
            })
        };
        slots.entry(name).or_insert_with(new).clone()
    }

    /// The waker of the reconciler with this name, which may be started later.
    pub fn waker(&self, name: &'static str) -> Waker {
        Waker(self.slot(name).wake.clone())
    }

    /// How every reconciler fares, by name. One that was never started has no runs.
    pub fn status(&self) -> Vec<Status> {
        let slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.values().map(|slot| slot.status().clone()).collect()
    }

    /// Starts one task per reconciler, each with a first run at once. After the shutdown signal
    /// runs that are under way end by themselves; await [`Running::ended`] for that.
    pub fn start(
        &self,
        reconcilers: impl IntoIterator<Item = Arc<dyn Reconciler>>,
        shutdown: &Shutdown,
    ) -> Running {
        let mut tasks = JoinSet::new();
        for reconciler in reconcilers {
            let slot = self.slot(reconciler.name());
            tasks.spawn(drive(
                reconciler,
                slot,
                self.0.clock.clone(),
                shutdown.clone(),
            ));
        }
        Running(tasks)
    }
}

/// The tasks of started reconcilers. Dropping it aborts them.
#[must_use = "dropping it aborts the reconcilers"]
pub struct Running(JoinSet<()>);

impl Running {
    /// Waits until all have ended, which they do after the shutdown signal.
    pub async fn ended(mut self) {
        while self.0.join_next().await.is_some() {}
    }
}

async fn drive(reconciler: Arc<dyn Reconciler>, slot: Arc<Slot>, clock: Clock, shutdown: Shutdown) {
    while !shutdown.has_begun() {
        let began = clock.now();
        {
            let mut status = slot.status();
            status.running = true;
            status.last_run = Some(began);
            status.next_run = None;
        }
        let result = run_apart(&reconciler).await;
        let now = clock.now();
        let pause = settle(&mut slot.status(), result, reconciler.period(), now - began);
        let due = now.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
        slot.status().next_run = Some(due);
        tokio::select! {
            () = clock.sleep_until(due) => {}
            () = slot.wake.notified() => {}
            () = reconciler.stirred() => {}
            () = shutdown.begun() => {}
        }
    }
}

/// One run in a task of its own, so that a panic in it is an error like any other.
async fn run_apart(reconciler: &Arc<dyn Reconciler>) -> Result<Outcome, RunError> {
    let reconciler = reconciler.clone();
    let mut task = JoinSet::new();
    task.spawn(async move { reconciler.run().await });
    match task.join_next().await {
        Some(Ok(result)) => result,
        Some(Err(error)) => Err(error.into()),
        None => Err("the run was lost".into()),
    }
}

/// Records how a run ended; returns how long to pause.
fn settle(
    status: &mut Status,
    result: Result<Outcome, RunError>,
    period: Duration,
    took: i64,
) -> Duration {
    status.running = false;
    status.runs += 1;
    status.last_duration = Duration::from_millis(took.max(0).unsigned_abs());
    match result {
        Ok(outcome) => {
            status.last_error = None;
            status.consecutive_errors = 0;
            match outcome {
                Outcome::Settled => period,
                Outcome::Again(soon) => soon.min(period),
            }
        }
        Err(error) => {
            status.consecutive_errors = status.consecutive_errors.saturating_add(1);
            let attempts = status.consecutive_errors;
            tracing::warn!(reconciler = status.name, attempts, %error, "a run failed");
            status.last_error = Some(error.to_string());
            MIN_BACKOFF
                .saturating_mul(1 << (attempts - 1).min(16))
                .min(MAX_BACKOFF)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::sync::mpsc;

    use super::*;

    /// Reports each run, and fails or panics while told to.
    struct Probe {
        ran: mpsc::UnboundedSender<()>,
        failing: AtomicU64,
    }

    #[async_trait]
    impl Reconciler for Probe {
        fn name(&self) -> &'static str {
            "test.probe"
        }
        fn period(&self) -> Duration {
            Duration::from_secs(10)
        }
        async fn run(&self) -> Result<Outcome, RunError> {
            self.ran.send(()).expect("test listens");
            match self.failing.load(Ordering::SeqCst) {
                0 => Ok(Outcome::Settled),
                1 => Err("the disk is on fire".into()),
                _ => panic!("a bug"),
            }
        }
    }

    struct Stage {
        clock: Clock,
        driver: Driver,
        shutdown: Shutdown,
        probe: Arc<Probe>,
        runs: mpsc::UnboundedReceiver<()>,
    }

    fn stage(failing: u64) -> Stage {
        let (ran, runs) = mpsc::unbounded_channel();
        let clock = Clock::manual(0);
        let driver = Driver::new(clock.clone());
        let probe = Arc::new(Probe {
            ran,
            failing: AtomicU64::new(failing),
        });
        Stage {
            clock,
            driver,
            shutdown: Shutdown::new(),
            probe,
            runs,
        }
    }

    impl Stage {
        fn start(&self) -> Running {
            self.driver
                .start([self.probe.clone() as Arc<dyn Reconciler>], &self.shutdown)
        }

        /// Waits for a run and for its end to be recorded.
        async fn run(&mut self) -> Status {
            self.runs.recv().await.expect("run");
            loop {
                let status = self.driver.status().remove(0);
                if !status.running && status.next_run.is_some() {
                    return status;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn it_runs_at_the_start_and_then_every_period() {
        let mut stage = stage(0);
        let _running = stage.start();
        assert_eq!(stage.run().await.next_run, Some(10_000));
        stage.clock.advance(Duration::from_secs(10));
        let status = stage.run().await;
        assert_eq!((status.runs, status.next_run), (2, Some(20_000)));
    }

    #[tokio::test]
    async fn wakes_before_the_start_are_kept_and_folded_into_one() {
        let mut stage = stage(0);
        let waker = stage.driver.waker("test.probe");
        (0..5).for_each(|_| waker.wake());
        let running = stage.start();
        stage.run().await;
        stage.run().await;
        stage.shutdown.begin();
        running.ended().await;
        assert!(
            stage.runs.try_recv().is_err(),
            "five wakes made more than one further run"
        );
    }

    #[tokio::test]
    async fn errors_back_off_and_a_wake_cuts_the_wait_short() {
        let mut stage = stage(1);
        let _running = stage.start();
        let mut due = 0;
        for (errors, pause) in [(1, 500), (2, 1_000), (3, 2_000)] {
            let status = stage.run().await;
            due += pause;
            assert_eq!(status.consecutive_errors, errors);
            assert_eq!(status.next_run, Some(due));
            assert_eq!(status.last_error.as_deref(), Some("the disk is on fire"));
            if errors < 3 {
                stage
                    .clock
                    .advance(Duration::from_millis(pause.unsigned_abs()));
            }
        }
        stage.probe.failing.store(0, Ordering::SeqCst);
        stage.driver.waker("test.probe").wake();
        let status = stage.run().await;
        assert_eq!((status.last_error, status.consecutive_errors), (None, 0));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_not_the_end() {
        let mut stage = stage(2);
        let _running = stage.start();
        let status = stage.run().await;
        assert!(status.last_error.expect("error").contains("panic"));
        stage.probe.failing.store(0, Ordering::SeqCst);
        stage.clock.advance(MIN_BACKOFF);
        assert_eq!(stage.run().await.last_error, None);
    }

    /// Runs once, and then once for every time it is stirred.
    struct Watcher {
        ran: mpsc::UnboundedSender<()>,
        stirs: tokio::sync::Mutex<mpsc::UnboundedReceiver<()>>,
    }

    #[async_trait]
    impl Reconciler for Watcher {
        fn name(&self) -> &'static str {
            "test.watcher"
        }
        fn period(&self) -> Duration {
            Duration::from_secs(10)
        }
        async fn stirred(&self) {
            self.stirs.lock().await.recv().await;
        }
        async fn run(&self) -> Result<Outcome, RunError> {
            self.ran.send(()).expect("test listens");
            Ok(Outcome::Settled)
        }
    }

    #[tokio::test]
    async fn what_it_watches_wakes_it() {
        let (ran, mut runs) = mpsc::unbounded_channel();
        let (stir, stirs) = mpsc::unbounded_channel();
        let watcher = Arc::new(Watcher {
            ran,
            stirs: tokio::sync::Mutex::new(stirs),
        });
        let driver = Driver::new(Clock::manual(0));
        let _running = driver.start([watcher as Arc<dyn Reconciler>], &Shutdown::new());
        runs.recv().await.expect("the first run");
        assert!(runs.try_recv().is_err());
        stir.send(()).expect("it listens");
        runs.recv().await.expect("another run");
    }

    #[test]
    fn the_backoff_is_bounded() {
        let mut status = Status {
            consecutive_errors: u32::MAX - 1,
            ..Status::default()
        };
        let pause = settle(&mut status, Err("x".into()), Duration::from_secs(1), 0);
        assert_eq!(pause, MAX_BACKOFF);
    }
}
