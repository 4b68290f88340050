//! What each operation asks of the policy engine.

use gureum_dispatch::{Ask, Cx};
use gureum_kit::Arn;
use gureum_model_sqs::types as t;
use gureum_schema::Result;

use crate::errors::Refusal;
use crate::queue::Queue;
use crate::state::{Sqs, key_of};

/// The ask about a queue that is there.
fn about(action: &'static str, queue: &Queue) -> Ask {
    let config = queue.config();
    Ask::new(action, &queue.arn)
        .owner(&config.row.account)
        .policy(config.policy.clone())
        .resource_tags(
            config
                .row
                .tags
                .iter()
                .map(|(k, v)| (k.as_str(), v.as_str())),
        )
}

/// The ask about the queue behind a URL. Who may not know of a queue of their own account is told
/// so before they are told that it isn't there; of other accounts' queues nobody learns more than
/// that.
fn at(sqs: &Sqs, cx: &Cx, action: &'static str, url: &str) -> Result<Vec<Ask>> {
    let key = key_of(cx, url)?;
    match sqs.find(&key) {
        Some(queue) => Ok(vec![about(action, &queue)]),
        None if key.1 == cx.caller.account => {
            let arn = Arn::new("sqs", &key.0, &key.1, key.2);
            Ok(vec![Ask::new(action, arn)])
        }
        None => Err(Refusal::NoSuchQueue.into()),
    }
}

/// `at_url!(name, Input, "sqs:Action")`: an operation on the queue that its `QueueUrl` names.
macro_rules! at_url {
    ($($name:ident: $input:ident => $action:literal;)*) => {$(
        pub(crate) fn $name(sqs: &Sqs, cx: &Cx, input: &t::$input) -> Result<Vec<Ask>> {
            at(sqs, cx, $action, &input.queue_url)
        }
    )*};
}

at_url! {
    add_permission: AddPermissionRequest => "sqs:AddPermission";
    change_visibility: ChangeMessageVisibilityRequest => "sqs:ChangeMessageVisibility";
    change_visibility_batch: ChangeMessageVisibilityBatchRequest => "sqs:ChangeMessageVisibility";
    delete_message: DeleteMessageRequest => "sqs:DeleteMessage";
    delete_message_batch: DeleteMessageBatchRequest => "sqs:DeleteMessage";
    delete_queue: DeleteQueueRequest => "sqs:DeleteQueue";
    get_attributes: GetQueueAttributesRequest => "sqs:GetQueueAttributes";
    list_sources: ListDeadLetterSourceQueuesRequest => "sqs:ListDeadLetterSourceQueues";
    list_tags: ListQueueTagsRequest => "sqs:ListQueueTags";
    purge_queue: PurgeQueueRequest => "sqs:PurgeQueue";
    receive_message: ReceiveMessageRequest => "sqs:ReceiveMessage";
    remove_permission: RemovePermissionRequest => "sqs:RemovePermission";
    send_message: SendMessageRequest => "sqs:SendMessage";
    send_message_batch: SendMessageBatchRequest => "sqs:SendMessage";
    set_attributes: SetQueueAttributesRequest => "sqs:SetQueueAttributes";
}

pub(crate) fn tag_queue(sqs: &Sqs, cx: &Cx, input: &t::TagQueueRequest) -> Result<Vec<Ask>> {
    let tags = input.tags.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    let asks = at(sqs, cx, "sqs:TagQueue", &input.queue_url)?;
    Ok(asks
        .into_iter()
        .map(|ask| ask.request_tags(tags.clone()))
        .collect())
}

pub(crate) fn untag_queue(sqs: &Sqs, cx: &Cx, input: &t::UntagQueueRequest) -> Result<Vec<Ask>> {
    let asks = at(sqs, cx, "sqs:UntagQueue", &input.queue_url)?;
    Ok(asks
        .into_iter()
        .map(|ask| ask.keys("aws:TagKeys", input.tag_keys.clone()))
        .collect())
}

/// Creating with tags needs the right to tag as well.
pub(crate) fn create_queue(_: &Sqs, cx: &Cx, input: &t::CreateQueueRequest) -> Result<Vec<Ask>> {
    let arn = Arn::new("sqs", &cx.region, cx.account(), input.queue_name.clone());
    let tags = input.tags.iter().flatten();
    let tags = tags.map(|(k, v)| (k.as_str(), v.as_str()));
    let ask = |action| Ask::new(action, &arn).request_tags(tags.clone());
    let mut asks = vec![ask("sqs:CreateQueue")];
    if input.tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
        asks.push(ask("sqs:TagQueue"));
    }
    Ok(asks)
}

pub(crate) fn get_queue_url(sqs: &Sqs, cx: &Cx, input: &t::GetQueueUrlRequest) -> Result<Vec<Ask>> {
    let owner = input.queue_owner_aws_account_id.as_deref();
    let owner = owner.unwrap_or(cx.caller.account.as_str());
    let url = format!("/{owner}/{}", input.queue_name);
    at(sqs, cx, "sqs:GetQueueUrl", &url)
}

pub(crate) fn list_queues(_: &Sqs, cx: &Cx, _: &t::ListQueuesRequest) -> Result<Vec<Ask>> {
    let arn = Arn::new("sqs", &cx.region, cx.account(), "*");
    Ok(vec![Ask::new("sqs:ListQueues", arn)])
}

fn by_arn(sqs: &Sqs, action: &'static str, arn: &str) -> Vec<Ask> {
    let queue = arn.parse().ok().and_then(|arn| sqs.find_arn(&arn));
    match queue {
        Some(queue) => vec![about(action, &queue)],
        None => vec![Ask::new(action, arn)],
    }
}

/// A mover receives and deletes at the source, and sends to the destination, in the caller's name.
pub(crate) fn start_move(
    sqs: &Sqs,
    _: &Cx,
    input: &t::StartMessageMoveTaskRequest,
) -> Result<Vec<Ask>> {
    let mut asks = by_arn(sqs, "sqs:StartMessageMoveTask", &input.source_arn);
    asks.extend(by_arn(sqs, "sqs:ReceiveMessage", &input.source_arn));
    asks.extend(by_arn(sqs, "sqs:DeleteMessage", &input.source_arn));
    if let Some(destination) = &input.destination_arn {
        asks.extend(by_arn(sqs, "sqs:SendMessage", destination));
    }
    Ok(asks)
}

pub(crate) fn cancel_move(
    sqs: &Sqs,
    _: &Cx,
    input: &t::CancelMessageMoveTaskRequest,
) -> Result<Vec<Ask>> {
    let (source, _) = sqs.task_of(&input.task_handle)?;
    Ok(by_arn(sqs, "sqs:CancelMessageMoveTask", &source))
}

pub(crate) fn list_moves(
    sqs: &Sqs,
    _: &Cx,
    input: &t::ListMessageMoveTasksRequest,
) -> Result<Vec<Ask>> {
    Ok(by_arn(sqs, "sqs:ListMessageMoveTasks", &input.source_arn))
}
