//! What each operation asks of the policy engine.
//!
//! Condition keys: Service Authorization Reference, "Actions, resources, and condition keys for
//! Amazon SNS".

use gureum_dispatch::{Ask, Cx};
use gureum_kit::Arn;
use gureum_model_sns::types as t;
use gureum_schema::Result;

use crate::errors::Refusal;
use crate::model::{TopicKey, topic_arn};
use crate::state::{Sns, key_of, subscription_of};
use crate::topic::Topic;

/// The ask about a topic that is there.
fn about(action: &'static str, topic: &Topic) -> Ask {
    let tags = topic.row.tags.iter();
    Ask::new(action, &topic.arn)
        .owner(&topic.row.account)
        .policy(Some(std::sync::Arc::clone(&topic.policy)))
        .resource_tags(tags.map(|(k, v)| (k.as_str(), v.as_str())))
}

/// Only links that carry their own proof are followed without a signature.
fn signed(cx: &Cx) -> Result<()> {
    match cx.caller.is_anonymous() {
        true => Err(Refusal::Unsigned.into()),
        false => Ok(()),
    }
}

/// The ask about a topic. Who may not know of a topic of their own account is told so before they
/// are told that it isn't there; of other accounts' topics nobody learns more than that.
fn at(sns: &Sns, cx: &Cx, action: &'static str, key: &TopicKey) -> Result<Vec<Ask>> {
    signed(cx)?;
    match sns.find(key) {
        Some(topic) => Ok(vec![about(action, &topic)]),
        None if key.1 == cx.caller.account => Ok(vec![Ask::new(action, topic_arn(key))]),
        None => Err(Refusal::NoSuchTopic.into()),
    }
}

/// `at_topic! { name: Input => "sns:Action" }`: an operation on the topic that its `TopicArn` names.
macro_rules! at_topic {
    ($($name:ident: $input:ident.$arn:ident => $action:literal;)*) => {$(
        pub(crate) fn $name(sns: &Sns, cx: &Cx, input: &t::$input) -> Result<Vec<Ask>> {
            at(sns, cx, $action, &key_of(cx, &input.$arn)?)
        }
    )*};
}

at_topic! {
    add_permission: AddPermissionInput.topic_arn => "sns:AddPermission";
    delete_topic: DeleteTopicInput.topic_arn => "sns:DeleteTopic";
    get_topic_attributes: GetTopicAttributesInput.topic_arn => "sns:GetTopicAttributes";
    list_by_topic: ListSubscriptionsByTopicInput.topic_arn => "sns:ListSubscriptionsByTopic";
    list_tags: ListTagsForResourceRequest.resource_arn => "sns:ListTagsForResource";
    publish_batch: PublishBatchInput.topic_arn => "sns:Publish";
    remove_permission: RemovePermissionInput.topic_arn => "sns:RemovePermission";
    set_topic_attributes: SetTopicAttributesInput.topic_arn => "sns:SetTopicAttributes";
}

pub(crate) fn publish(sns: &Sns, cx: &Cx, input: &t::PublishInput) -> Result<Vec<Ask>> {
    at(sns, cx, "sns:Publish", &key_of(cx, destination(input)?)?)
}

/// The topic that a message is for.
pub(crate) fn destination(input: &t::PublishInput) -> Result<&str, Refusal> {
    match (&input.topic_arn, &input.target_arn) {
        (Some(arn), None) => Ok(arn),
        (None, Some(arn)) if arn.contains(":endpoint/") => Err(Refusal::NotImplemented(
            "Publishing to mobile devices".into(),
        )),
        (None, Some(arn)) => Ok(arn),
        (None, None) => Err(Refusal::parameter(
            "TopicArn or TargetArn Reason: no value for required parameter",
        )),
        (Some(_), Some(_)) => Err(Refusal::parameter(
            "TopicArn and TargetArn Reason: only one of them can be given",
        )),
    }
}

pub(crate) fn create_topic(_: &Sns, cx: &Cx, input: &t::CreateTopicInput) -> Result<Vec<Ask>> {
    signed(cx)?;
    let arn = Arn::new("sns", &cx.region, cx.account(), input.name.clone());
    let tags = input.tags.iter().flatten();
    let tags = tags.map(|tag| (tag.key.as_str(), tag.value.as_str()));
    let ask = |action| Ask::new(action, &arn).request_tags(tags.clone());
    let mut asks = vec![ask("sns:CreateTopic")];
    if input.tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
        asks.push(ask("sns:TagResource"));
    }
    Ok(asks)
}

pub(crate) fn list_topics(_: &Sns, cx: &Cx, _: &t::ListTopicsInput) -> Result<Vec<Ask>> {
    signed(cx)?;
    Ok(vec![Ask::new("sns:ListTopics", "*")])
}

pub(crate) fn list_subscriptions(
    _: &Sns,
    cx: &Cx,
    _: &t::ListSubscriptionsInput,
) -> Result<Vec<Ask>> {
    signed(cx)?;
    Ok(vec![Ask::new("sns:ListSubscriptions", "*")])
}

pub(crate) fn tag(sns: &Sns, cx: &Cx, input: &t::TagResourceRequest) -> Result<Vec<Ask>> {
    let tags = input.tags.iter();
    let tags = tags.map(|tag| (tag.key.as_str(), tag.value.as_str()));
    let asks = at(
        sns,
        cx,
        "sns:TagResource",
        &key_of(cx, &input.resource_arn)?,
    )?;
    Ok(asks
        .into_iter()
        .map(|ask| ask.request_tags(tags.clone()))
        .collect())
}

pub(crate) fn untag(sns: &Sns, cx: &Cx, input: &t::UntagResourceRequest) -> Result<Vec<Ask>> {
    let asks = at(
        sns,
        cx,
        "sns:UntagResource",
        &key_of(cx, &input.resource_arn)?,
    )?;
    let keys = |ask: Ask| ask.keys("aws:TagKeys", input.tag_keys.clone());
    Ok(asks.into_iter().map(keys).collect())
}

pub(crate) fn subscribe(sns: &Sns, cx: &Cx, input: &t::SubscribeInput) -> Result<Vec<Ask>> {
    let asks = at(sns, cx, "sns:Subscribe", &key_of(cx, &input.topic_arn)?)?;
    let keys = |ask: Ask| {
        ask.key("sns:Protocol", &input.protocol)
            .key_opt("sns:Endpoint", input.endpoint.as_ref())
    };
    Ok(asks.into_iter().map(keys).collect())
}

/// The token is the proof; a signature proves more, and then policies have their say too.
pub(crate) fn confirm(sns: &Sns, cx: &Cx, input: &t::ConfirmSubscriptionInput) -> Result<Vec<Ask>> {
    let key = key_of(cx, &input.topic_arn)?;
    if cx.caller.is_anonymous() {
        return Ok(Vec::new());
    }
    at(sns, cx, "sns:ConfirmSubscription", &key)
}

/// The ask about a subscription: whoever made it may do with it what its topic's owner may.
fn subscription(sns: &Sns, cx: &Cx, action: &'static str, arn: &str) -> Result<Vec<Ask>> {
    signed(cx)?;
    let (key, id) = subscription_of(cx, arn)?;
    let topic = sns.find(&key);
    let owner = topic.as_ref().and_then(|topic| topic.subscription(id));
    let owner = owner.map_or(key.1, |one| one.row.owner);
    let ask = match topic {
        Some(topic) if owner == topic.row.account => about(action, &topic),
        Some(topic) => Ask::new(action, topic.row.arn()).owner(&owner),
        None => Ask::new(action, topic_arn(&key)),
    };
    Ok(vec![ask])
}

pub(crate) fn get_subscription(
    sns: &Sns,
    cx: &Cx,
    input: &t::GetSubscriptionAttributesInput,
) -> Result<Vec<Ask>> {
    subscription(
        sns,
        cx,
        "sns:GetSubscriptionAttributes",
        &input.subscription_arn,
    )
}

pub(crate) fn set_subscription(
    sns: &Sns,
    cx: &Cx,
    input: &t::SetSubscriptionAttributesInput,
) -> Result<Vec<Ask>> {
    subscription(
        sns,
        cx,
        "sns:SetSubscriptionAttributes",
        &input.subscription_arn,
    )
}

/// Who has the link may unsubscribe, unless the confirmation said otherwise; see the handler.
pub(crate) fn unsubscribe(sns: &Sns, cx: &Cx, input: &t::UnsubscribeInput) -> Result<Vec<Ask>> {
    if cx.caller.is_anonymous() {
        return Ok(Vec::new());
    }
    subscription(sns, cx, "sns:Unsubscribe", &input.subscription_arn)
}
