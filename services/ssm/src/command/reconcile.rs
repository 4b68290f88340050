//! `ssm.commands`: delivers scripts, and fetches what became of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gureum_kit::reconcile::RunError;
use gureum_kit::store::Snapshot;
use gureum_kit::{Outcome, Reader, Reconciler, Row, Scan};

use super::agent::{self, Report};
use super::document::Script;
use super::list;
use super::model::{CommandRef, CommandRow, InvocationRef, InvocationRow, OpenRow};
use super::status::{self, State};
use crate::Ssm;
use crate::errors::{Refusal, Result};
use crate::nodes::{Execution, NodeError, Nodes};

pub(crate) const COMMANDS: &str = "ssm.commands";
/// How soon an instance that could not be reached is tried again.
const SOON: Duration = Duration::from_secs(2);
/// How long an instance may take to be handed a script.
const PATIENCE: Duration = Duration::from_secs(30);
/// Invocations that are attended to at once.
const AT_ONCE: usize = 256;
/// How long commands are kept, in milliseconds: 30 days, as AWS does.
const KEPT: i64 = 30 * 24 * 3600 * 1000;

/// The invocations that somebody of this process attends to.
pub(crate) type Attended = Mutex<BTreeSet<InvocationRef>>;

pub(crate) struct Commands {
    pub(crate) ssm: Arc<Ssm>,
    pub(crate) nodes: Arc<dyn Nodes>,
}

#[async_trait]
impl Reconciler for Commands {
    fn name(&self) -> &'static str {
        COMMANDS
    }

    fn period(&self) -> Duration {
        Duration::from_secs(3600)
    }

    async fn run(&self) -> std::result::Result<Outcome, RunError> {
        let done = self.step().await;
        let open = done.map_err(gureum_schema::Error::from)?;
        Ok(match open {
            true => Outcome::Again(SOON),
            false => Outcome::Settled,
        })
    }
}

/// What there is to do for an invocation that is not over.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Nothing,
    Attend,
    /// Tell the script to end; who attends to it will see that it has.
    Interrupt,
    End(State),
}

/// `crowded`: as many as may run at once do; `failed`: more have failed than may.
fn step(row: &InvocationRow, attended: bool, (crowded, failed, late): (bool, bool, bool)) -> Step {
    match row.state {
        State::InProgress if row.cancel => Step::Interrupt,
        State::InProgress if !attended => Step::Attend,
        State::Pending if attended => Step::Nothing,
        State::Pending if row.cancel => Step::End(State::Cancelled),
        State::Pending if failed => Step::End(State::Terminated),
        State::Pending if late => Step::End(State::DeliveryTimedOut),
        State::Pending if !crowded => Step::Attend,
        _ => Step::Nothing,
    }
}

impl Commands {
    /// Does the next step of every invocation; whether some are not over.
    async fn step(&self) -> Result<bool> {
        self.forget().await?;
        let snapshot = self.ssm.store.read();
        let open = snapshot.scan(Scan::<OpenRow>::all());
        let open = open.collect::<std::result::Result<Vec<_>, _>>()?;
        let mut by_command: BTreeMap<CommandRef, Vec<OpenRow>> = BTreeMap::new();
        for row in open {
            let place = (row.region.clone(), row.account, row.command.clone());
            by_command.entry(place).or_default().push(row);
        }
        for (place, open) in &by_command {
            if let Some(command) = snapshot.get::<CommandRow>(place)? {
                self.advance(&snapshot, &command, open).await?;
            }
        }
        Ok(!by_command.is_empty())
    }

    async fn advance(
        &self,
        snapshot: &Snapshot,
        command: &CommandRow,
        open: &[OpenRow],
    ) -> Result<()> {
        let now = self.ssm.clock.now();
        let all = list::of(snapshot, command)?;
        let most = status::share(&command.max_concurrency, command.target_count).max(1);
        let errors = all.iter().filter(|row| row.state.is_error()).count();
        let failed = errors > status::share(&command.max_errors, command.target_count);
        let late = command.delivery_ends() <= now;
        let busy =
            |row: &&InvocationRow| row.state == State::InProgress || self.attends(&row.key());
        let mut running = all
            .iter()
            .filter(busy)
            .filter(|row| !row.state.is_over())
            .count();
        for open in open {
            let Some(row) = all.iter().find(|row| row.instance == open.instance) else {
                continue;
            };
            let place = row.key();
            let crowded = running >= most;
            match step(row, self.attends(&place), (crowded, failed, late)) {
                Step::Nothing => {}
                Step::End(state) => self.ssm.end(&place, state).await?,
                Step::Attend => {
                    running += usize::from(row.state == State::Pending);
                    self.attend(command, place);
                }
                Step::Interrupt => {
                    self.interrupt(&place);
                    self.attend(command, place);
                }
            }
        }
        Ok(())
    }

    fn attends(&self, place: &InvocationRef) -> bool {
        let attended = self.ssm.attended.lock();
        attended
            .unwrap_or_else(PoisonError::into_inner)
            .contains(place)
    }

    /// Follows an invocation to its end, beside everything else, unless somebody does already.
    fn attend(&self, command: &CommandRow, place: InvocationRef) {
        let attended = &self.ssm.attended;
        let mut attended = attended.lock().unwrap_or_else(PoisonError::into_inner);
        if attended.len() >= AT_ONCE || !attended.insert(place.clone()) {
            return;
        }
        drop(attended);
        let (ssm, nodes, command) = (self.ssm.clone(), self.nodes.clone(), command.clone());
        tokio::spawn(async move {
            let followed = ssm.follow(&*nodes, &command, &place).await;
            let attended = &ssm.attended;
            let mut attended = attended.lock().unwrap_or_else(PoisonError::into_inner);
            attended.remove(&place);
            drop(attended);
            match followed {
                // Others may have waited for it.
                Ok(true) => ssm.commands.wake(),
                // It is tried again a little later.
                Ok(false) => {}
                Err(error) => tracing::debug!(%error, "a command was not followed to its end"),
            }
        });
    }

    fn interrupt(&self, place: &InvocationRef) {
        let (nodes, (_, _, command, instance)) = (self.nodes.clone(), place.clone());
        tokio::spawn(async move {
            let argv = agent::cancel((&instance, &command));
            let told = nodes.execute(&instance, argv, agent::LIMIT);
            if !matches!(tokio::time::timeout(PATIENCE, told).await, Ok(Ok(_))) {
                tracing::debug!(instance, command, "a script could not be told to end");
            }
        });
    }

    /// Deletes old commands.
    async fn forget(&self) -> Result<()> {
        let before = self.ssm.clock.now() - KEPT;
        let snapshot = self.ssm.store.read();
        let rows = snapshot.scan(Scan::<CommandRow>::all());
        let rows = rows.collect::<std::result::Result<Vec<_>, _>>()?;
        for command in rows.iter().filter(|row| row.requested < before) {
            let forgotten: Result<()> = self
                .ssm
                .store
                .transact(|tx| {
                    for row in list::of(tx, command)? {
                        tx.delete::<InvocationRow>(row.key())?;
                        tx.delete::<OpenRow>(row.key())?;
                    }
                    Ok(tx.delete::<CommandRow>(command.key())?)
                })
                .await;
            forgotten?;
        }
        Ok(())
    }
}

impl Ssm {
    /// Delivers a script if that has not been done, and waits for its end. False when the instance
    /// could not be reached.
    async fn follow(
        &self,
        nodes: &dyn Nodes,
        command: &CommandRow,
        place: &InvocationRef,
    ) -> std::result::Result<bool, NodeError> {
        let (_, _, id, instance) = place;
        let read = self.store.read().get::<InvocationRow>(place);
        let Some(row) = read? else {
            return Ok(false);
        };
        if row.state == State::Pending {
            let script = Script::read(&command.parameters).map_err(gureum_schema::Error::from)?;
            let argv = agent::deliver((instance, id), command.region.as_str(), &script);
            let delivered = nodes.execute(instance, argv, agent::LIMIT);
            match tokio::time::timeout(PATIENCE, delivered).await?? {
                Execution::Ended(ran) if ran.code == 0 => {
                    let begins = |row: &mut InvocationRow| row.state = State::InProgress;
                    self.turn(place, begins)
                        .await
                        .map_err(gureum_schema::Error::from)?;
                }
                Execution::Ended(ran) => {
                    let why = String::from_utf8_lossy(&ran.errors).into_owned();
                    self.close(place, Report::lost(&why)).await?;
                    return Ok(true);
                }
                Execution::Away | Execution::Gone => return Ok(false),
            }
        }
        match nodes
            .execute(instance, agent::wait((instance, id)), agent::LIMIT)
            .await?
        {
            Execution::Ended(ran) if ran.code == 0 => {
                self.close(place, agent::report(&ran.output, &ran.errors))
                    .await?;
                Ok(true)
            }
            Execution::Gone => {
                let why = "The instance was terminated while the script ran.";
                self.close(place, Report::lost(why)).await?;
                Ok(true)
            }
            // It goes down: whether the script came to its end is seen when it is back.
            Execution::Ended(_) | Execution::Away => Ok(false),
        }
    }

    async fn close(
        &self,
        place: &InvocationRef,
        report: Report,
    ) -> std::result::Result<(), NodeError> {
        let closes = |row: &mut InvocationRow| {
            row.state = report.state;
            row.code = report.code;
            row.begun = report.begun;
            row.ended = report.ended;
            row.output = report.output.clone();
            row.errors = report.errors.clone();
        };
        let closed = self.turn(place, closes).await;
        Ok(closed.map_err(gureum_schema::Error::from)?)
    }

    async fn end(&self, place: &InvocationRef, state: State) -> Result<()> {
        self.turn(place, |row| row.state = state).await?;
        self.commands.wake();
        Ok(())
    }

    /// Changes an invocation that is not over.
    async fn turn(
        &self,
        place: &InvocationRef,
        change: impl Fn(&mut InvocationRow) + Send + Sync,
    ) -> Result<()> {
        self.store
            .transact(|tx| {
                let row = tx.get::<InvocationRow>(place)?;
                if let Some(mut row) = row.filter(|row| !row.state.is_over()) {
                    change(&mut row);
                    if row.state.is_over() {
                        tx.delete::<OpenRow>(place)?;
                    }
                    tx.put(&row)?;
                }
                Ok::<_, Refusal>(())
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(state: State, cancel: bool) -> InvocationRow {
        InvocationRow {
            region: "us-east-1".parse().expect("region"),
            account: "000000000000".parse().expect("account"),
            command: String::new(),
            instance: String::new(),
            instance_name: String::new(),
            requested: 0,
            state,
            cancel,
            begun: None,
            ended: None,
            code: -1,
            output: String::new(),
            errors: String::new(),
        }
    }

    #[test]
    fn steps_follow_from_what_is_there() {
        let calm = (false, false, false);
        let pending = row(State::Pending, false);
        assert_eq!(step(&pending, false, calm), Step::Attend);
        assert_eq!(step(&pending, true, calm), Step::Nothing);
        assert_eq!(step(&pending, false, (true, false, false)), Step::Nothing);
        let failed = Step::End(State::Terminated);
        assert_eq!(step(&pending, false, (false, true, false)), failed);
        let late = Step::End(State::DeliveryTimedOut);
        assert_eq!(step(&pending, false, (true, false, true)), late);
        let cancelled = Step::End(State::Cancelled);
        assert_eq!(step(&row(State::Pending, true), false, calm), cancelled);
        // What was begun is followed, whatever happens around it.
        let busy = (true, true, true);
        assert_eq!(
            step(&row(State::InProgress, false), false, busy),
            Step::Attend
        );
        assert_eq!(
            step(&row(State::InProgress, true), true, busy),
            Step::Interrupt
        );
        assert_eq!(step(&row(State::Success, true), false, calm), Step::Nothing);
    }
}
