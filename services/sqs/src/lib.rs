//! SQS: queues of messages that are kept until they are received and deleted.
//!
//! A message is two rows: what it says ([`model::Content`], written once, sealed) and where it
//! stands ([`model::Message`], small, rewritten with every receive). Which message is next is
//! answered from memory ([`index`]), which is rebuilt from the rows at start; receivers pick
//! distinct messages under a lock and then write blindly, so that no transaction of the service
//! ever conflicts with another and all of them share the store's group commits.
//!
//! Invariants:
//! * what was acknowledged is durable: sends before they can be received, receives (their counts
//!   and deadlines, too) before they are answered;
//! * at most one write per message is under way;
//! * within a message group of a FIFO queue nothing overtakes, whatever fails;
//! * dead letters change queues in the transaction of the receive that found them dead.
//!
//! Honest gaps: standard queues take `MessageGroupId` but
//! don't use it for fairness. Throughput quotas are validated as settings and not enforced.

mod asks;
mod content;
mod errors;
mod index;
mod kms;
mod model;
mod mover;
mod ops;
mod queue;
mod reconcile;
mod reset;
mod seal;
mod settings;
mod state;
mod sweep;
#[cfg(test)]
mod tests;
mod window;

use std::sync::Arc;

use gureum_dispatch::Service;
use gureum_model_sqs::{SERVICE, op};

pub use state::Sqs;

impl Sqs {
    /// The table: operation, what it asks of the policy engine, handler.
    pub fn service(self: &Arc<Self>) -> Service {
        use ops::{delete, moves, permissions, queues, receive, redrive, send, settings, tags};
        Service::builder(&SERVICE, Arc::clone(self))
            .op::<op::CreateQueue, _>(asks::create_queue, queues::create_queue)
            .op::<op::DeleteQueue, _>(asks::delete_queue, queues::delete_queue)
            .op::<op::GetQueueUrl, _>(asks::get_queue_url, queues::get_queue_url)
            .op::<op::ListQueues, _>(asks::list_queues, queues::list_queues)
            .op::<op::GetQueueAttributes, _>(asks::get_attributes, settings::get_attributes)
            .op::<op::SetQueueAttributes, _>(asks::set_attributes, settings::set_attributes)
            .op::<op::SendMessage, _>(asks::send_message, send::send_message)
            .op::<op::SendMessageBatch, _>(asks::send_message_batch, send::send_message_batch)
            .op::<op::ReceiveMessage, _>(asks::receive_message, receive::receive_message)
            .op::<op::DeleteMessage, _>(asks::delete_message, delete::delete_message)
            .op::<op::DeleteMessageBatch, _>(
                asks::delete_message_batch,
                delete::delete_message_batch,
            )
            .op::<op::ChangeMessageVisibility, _>(
                asks::change_visibility,
                ops::visibility::change_visibility,
            )
            .op::<op::ChangeMessageVisibilityBatch, _>(
                asks::change_visibility_batch,
                ops::visibility::change_visibility_batch,
            )
            .op::<op::PurgeQueue, _>(asks::purge_queue, delete::purge_queue)
            .op::<op::TagQueue, _>(asks::tag_queue, tags::tag_queue)
            .op::<op::UntagQueue, _>(asks::untag_queue, tags::untag_queue)
            .op::<op::ListQueueTags, _>(asks::list_tags, tags::list_tags)
            .op::<op::AddPermission, _>(asks::add_permission, permissions::add_permission)
            .op::<op::RemovePermission, _>(asks::remove_permission, permissions::remove_permission)
            .op::<op::ListDeadLetterSourceQueues, _>(asks::list_sources, redrive::list_sources)
            .op::<op::StartMessageMoveTask, _>(asks::start_move, moves::start_move)
            .op::<op::CancelMessageMoveTask, _>(asks::cancel_move, moves::cancel_move)
            .op::<op::ListMessageMoveTasks, _>(asks::list_moves, moves::list_moves)
            .invalid(errors::invalid)
            .denied(errors::denied)
            .admit_anonymous()
            .build()
    }
}
