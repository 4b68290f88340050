//! What several deliveries have for one queue at the same time goes there in one call.
//!
//! Whoever comes first sends at once; those who come while that is under way wait for its end, and
//! go together. So a lone message is not held up, and many share the work of a call and its commit.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gureum_dispatch::Cx;
use gureum_model_sqs::op::{SendMessage, SendMessageBatch};
use gureum_model_sqs::types::{
    SendMessageBatchRequest, SendMessageBatchRequestEntry, SendMessageRequest,
};
use gureum_schema::Error;
use tokio::sync::oneshot;

use super::attempt::Obstacle;
use super::queue::obstacle;
use crate::content::MAX_MESSAGE;

/// The most messages of one call.
const MAX_BATCH: usize = 10;

/// Topic and queue, by their ARNs: calls are made in the name of the topic.
type Line = (String, String);

struct Waiting {
    input: SendMessageRequest,
    done: oneshot::Sender<Result<(), Obstacle>>,
}

/// Messages on their way to queues. A line is there while somebody sends what is in it.
#[derive(Default)]
pub(crate) struct Joint(Mutex<HashMap<Line, Vec<Waiting>>>);

impl Joint {
    fn lines(&self) -> MutexGuard<'_, HashMap<Line, Vec<Waiting>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message; `cx` is the topic's, in the region of the queue.
    pub(super) async fn send(
        self: &Arc<Self>,
        cx: &Cx,
        line: Line,
        input: SendMessageRequest,
    ) -> Result<(), Obstacle> {
        let (done, answer) = oneshot::channel();
        let waiting = Waiting { input, done };
        let is_first = match self.lines().entry(line.clone()) {
            Entry::Occupied(mut there) => {
                there.get_mut().push(waiting);
                false
            }
            Entry::Vacant(place) => {
                place.insert(vec![waiting]);
                true
            }
        };
        if is_first {
            // A task of its own: others wait for it even if this caller goes away.
            tokio::spawn(Arc::clone(self).send_all(cx.clone(), line));
        }
        let gone = || obstacle(Error::internal("the sending of a message was broken off"));
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    async fn send_all(self: Arc<Self>, cx: Cx, line: Line) {
        while let Some(batch) = self.next(&line) {
            send(&cx, batch).await;
        }
    }

    /// The next messages of a line that fit one call; ends the line when there are none.
    fn next(&self, line: &Line) -> Option<Vec<Waiting>> {
        let mut lines = self.lines();
        let waiting = lines.get_mut(line)?;
        if waiting.is_empty() {
            lines.remove(line);
            return None;
        }
        let mut size = 0;
        let fits = waiting.iter().take(MAX_BATCH).take_while(|one| {
            size += one.input.message_body.len();
            size <= MAX_MESSAGE
        });
        // Attributes may yet make it too large: then its messages go one by one.
        let count = fits.count().max(1);
        Some(waiting.drain(..count).collect())
    }
}

async fn send(cx: &Cx, batch: Vec<Waiting>) {
    if batch.len() > 1
        && let Ok(failed) = together(cx, &batch).await
    {
        for (Waiting { done, .. }, failed) in batch.into_iter().zip(failed) {
            // Who does not wait any more does not want to know.
            let _ = done.send(failed.map_or(Ok(()), Err));
        }
        return;
    }
    // One by one, so that each hears its own reason.
    for Waiting { input, done } in batch {
        let sent = cx.call::<SendMessage>(input).await;
        let _ = done.send(sent.map(drop).map_err(obstacle));
    }
}

/// Sends messages in one call; what is wrong with each of them.
async fn together(cx: &Cx, batch: &[Waiting]) -> Result<Vec<Option<Obstacle>>, Error> {
    let queue_url = batch.first().map(|one| one.input.queue_url.clone());
    let entry = |(number, one): (usize, &Waiting)| SendMessageBatchRequestEntry {
        id: number.to_string(),
        message_body: one.input.message_body.clone(),
        message_attributes: one.input.message_attributes.clone(),
        message_group_id: one.input.message_group_id.clone(),
        message_deduplication_id: one.input.message_deduplication_id.clone(),
        ..Default::default()
    };
    let input = SendMessageBatchRequest {
        queue_url: queue_url.unwrap_or_default(),
        entries: batch.iter().enumerate().map(entry).collect(),
    };
    let sent = cx.call::<SendMessageBatch>(input).await?;
    let mut failed = vec![None; batch.len()];
    for entry in sent.failed {
        let place = entry
            .id
            .parse()
            .ok()
            .and_then(|at: usize| failed.get_mut(at));
        if let Some(place) = place {
            *place = Some(Obstacle {
                permanent: entry.sender_fault,
                code: entry.code,
                message: entry.message.unwrap_or_default(),
            });
        }
    }
    Ok(failed)
}
