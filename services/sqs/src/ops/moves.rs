//! StartMessageMoveTask, CancelMessageMoveTask, ListMessageMoveTasks.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::{Arn, Reader, Scan};
use gureum_model_sqs::types as t;

use crate::errors::{Refusal, Result};
use crate::model::{MoveStatus, MoveTask};
use crate::queue::Queue;
use crate::state::Sqs;

/// The most messages per second that a task may be told to move.
const MAX_RATE: i32 = 500;

/// How many tasks of a queue are remembered and listed.
const LISTED: usize = 10;

pub(crate) async fn start_move(
    sqs: Arc<Sqs>,
    _: Cx,
    input: t::StartMessageMoveTaskRequest,
) -> gureum_schema::Result<t::StartMessageMoveTaskResult> {
    if let Some(rate) = input.max_number_of_messages_per_second
        && !(1..=MAX_RATE).contains(&rate)
    {
        let reason = "Must be between 1 and 500, if provided.";
        return Err(Refusal::value("MaxNumberOfMessagesPerSecond", rate, reason).into());
    }
    let source = sqs.named(&input.source_arn)?;
    if let Some(destination) = &input.destination_arn {
        let destination = sqs.named(destination)?;
        if destination.id == source.id {
            return Err(Refusal::Parameters(
                "Source queue arn and destination queue arn cannot be the same.".into(),
            )
            .into());
        }
        if destination.fifo != source.fifo {
            return Err(Refusal::Parameters(
                "Source queue and destination queue must be of the same type.".into(),
            )
            .into());
        }
    }
    if sqs.sources_of(&source).is_empty() {
        return Err(Refusal::Parameters(
            "Source queue must be configured as a Dead Letter Queue.".into(),
        )
        .into());
    }
    let started = Arc::clone(&sqs);
    let id = Sqs::whole(async move { started.begin_move(&source, &input).await }).await?;
    sqs.wake_moves.wake();
    Ok(t::StartMessageMoveTaskResult {
        task_handle: Some(id),
    })
}

impl Sqs {
    /// The queue with this ARN.
    fn named(&self, arn: &str) -> Result<Arc<Queue>> {
        let parsed: Option<Arn> = arn.parse().ok();
        let queue = parsed.and_then(|arn| self.find_arn(&arn));
        queue.ok_or(Refusal::NoSuchResource)
    }

    async fn begin_move(
        &self,
        source: &Queue,
        input: &t::StartMessageMoveTaskRequest,
    ) -> Result<String> {
        let now = self.clock.now();
        let counts = source.lock(now).index.counts();
        let task = MoveTask {
            source: source.arn.to_string(),
            id: self.number(),
            destination: input.destination_arn.clone(),
            rate: input.max_number_of_messages_per_second,
            status: MoveStatus::Running,
            started: now,
            moved: 0,
            to_move: (counts.visible + counts.in_flight + counts.delayed) as i64,
            until: self.last_number(),
            failure: None,
        };
        self.store
            .transact(|tx| {
                let tasks: Vec<MoveTask> = tx
                    .scan(Scan::<MoveTask>::of((task.source.as_str(),)))
                    .collect::<Result<_, _>>()?;
                if tasks.iter().any(|other| !other.status.is_over()) {
                    return Err(Refusal::Unsupported(
                        "There is already a task running. Only one active task is allowed for a source queue arn at a given time.".into(),
                    ));
                }
                // The oldest make room, so that no more are kept than are ever listed.
                for old in tasks.iter().rev().skip(LISTED - 1) {
                    tx.delete::<MoveTask>((old.source.as_str(), old.id))?;
                }
                tx.put(&task)?;
                Ok(())
            })
            .await?;
        Ok(self.task_handle(&task))
    }

    fn task_handle(&self, task: &MoveTask) -> String {
        let position = [&task.id.to_be_bytes(), task.source.as_bytes()].concat();
        self.keys.sign("move task", &position)
    }

    /// The source queue's ARN and the task's number behind a handle.
    pub(crate) fn task_of(&self, handle: &str) -> Result<(String, u64)> {
        let position = self.keys.verify("move task", handle);
        let read = |position: Vec<u8>| {
            let (id, source) = position.split_first_chunk()?;
            let source = String::from_utf8(source.to_vec()).ok()?;
            Some((source, u64::from_be_bytes(*id)))
        };
        position
            .and_then(read)
            .ok_or_else(|| Refusal::value("TaskHandle", handle, "The task handle is invalid."))
    }
}

pub(crate) async fn cancel_move(
    sqs: Arc<Sqs>,
    _: Cx,
    input: t::CancelMessageMoveTaskRequest,
) -> gureum_schema::Result<t::CancelMessageMoveTaskResult> {
    let (source, id) = sqs.task_of(&input.task_handle)?;
    let moved = sqs
        .store
        .transact(|tx| {
            let key = (source.as_str(), id);
            let mut task: MoveTask = tx.get(key)?.ok_or(Refusal::NoSuchTask)?;
            if task.status != MoveStatus::Running {
                return Err(Refusal::Unsupported(
                    "Only active tasks can be cancelled.".into(),
                ));
            }
            task.status = MoveStatus::Cancelling;
            tx.put(&task)?;
            Ok(task.moved)
        })
        .await?;
    sqs.wake_moves.wake();
    Ok(t::CancelMessageMoveTaskResult {
        approximate_number_of_messages_moved: Some(moved),
    })
}

pub(crate) async fn list_moves(
    sqs: Arc<Sqs>,
    _: Cx,
    input: t::ListMessageMoveTasksRequest,
) -> gureum_schema::Result<t::ListMessageMoveTasksResult> {
    let most = match input.max_results {
        None => 1,
        Some(most @ 1..=10) => most as usize,
        Some(most) => {
            let reason = "Value for parameter MaxResults is invalid: must be between 1 and 10.";
            return Err(Refusal::value("MaxResults", most, reason).into());
        }
    };
    let source = sqs.named(&input.source_arn)?.arn.to_string();
    let view = sqs.store.read();
    let scan = Scan::<MoveTask>::of((source.as_str(),)).reverse();
    let mut results = Vec::new();
    for task in view.scan(scan.limit(most)) {
        let task = task.map_err(Refusal::from)?;
        results.push(sqs.show_task(task));
    }
    Ok(t::ListMessageMoveTasksResult {
        results: Some(results),
    })
}

impl Sqs {
    fn show_task(&self, task: MoveTask) -> t::ListMessageMoveTasksResultEntry {
        let running = task.status == MoveStatus::Running;
        t::ListMessageMoveTasksResultEntry {
            task_handle: running.then(|| self.task_handle(&task)),
            status: Some(task.status.as_str().to_owned()),
            source_arn: Some(task.source),
            destination_arn: task.destination,
            max_number_of_messages_per_second: task.rate,
            approximate_number_of_messages_moved: Some(task.moved),
            approximate_number_of_messages_to_move: Some(task.to_move),
            failure_reason: task.failure,
            started_timestamp: Some(task.started),
        }
    }
}
