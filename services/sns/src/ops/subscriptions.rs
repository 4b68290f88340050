//! GetSubscriptionAttributes and SetSubscriptionAttributes.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_sns::types as t;

use super::subscribe::check_room;
use crate::errors::Refusal;
use crate::policy::DeliveryPolicy;
use crate::settings;
use crate::state::{Sns, subscription_of};
use crate::topic::Subscription;

pub(crate) async fn get_attributes(
    sns: Arc<Sns>,
    cx: Cx,
    input: t::GetSubscriptionAttributesInput,
) -> gureum_schema::Result<t::GetSubscriptionAttributesResponse> {
    let (key, id) = subscription_of(&cx, &input.subscription_arn)?;
    let topic = sns.find(&key).ok_or(Refusal::NoSuchSubscription)?;
    let one = topic.subscription(id).ok_or(Refusal::NoSuchSubscription)?;
    let mut shown = one.row.attributes.clone();
    let mut add = |name: &str, value: String| {
        shown.insert(name.to_owned(), value);
    };
    let authenticated = one
        .row
        .confirmed
        .as_ref()
        .is_some_and(|by| by.authenticated);
    add("SubscriptionArn", one.arn.clone());
    add("TopicArn", topic.arn.clone());
    add("Owner", one.row.owner.to_string());
    add("Protocol", one.row.protocol.name().to_owned());
    add("Endpoint", one.row.endpoint.clone());
    add("SubscriptionPrincipal", one.row.principal.clone());
    add("PendingConfirmation", (!one.is_confirmed()).to_string());
    add("ConfirmationWasAuthenticated", authenticated.to_string());
    add("RawMessageDelivery", one.is_raw().to_string());
    if one.row.protocol.is_web() {
        let policy = DeliveryPolicy::effective(one.delivery.as_ref(), topic.delivery.as_ref());
        add("EffectiveDeliveryPolicy", policy.shown_for_subscription());
    }
    if one.filter.is_some() {
        let scope = shown.entry("FilterPolicyScope".into());
        scope.or_insert_with(|| "MessageAttributes".into());
    }
    Ok(t::GetSubscriptionAttributesResponse {
        attributes: Some(shown),
    })
}

pub(crate) async fn set_attributes(
    sns: Arc<Sns>,
    cx: Cx,
    input: t::SetSubscriptionAttributesInput,
) -> gureum_schema::Result<t::SetSubscriptionAttributesOutput> {
    let (key, id) = subscription_of(&cx, &input.subscription_arn)?;
    let id = id.to_owned();
    Sns::whole(async move {
        let _turn = sns.admin.lock().await;
        let topic = sns.find(&key).ok_or(Refusal::NoSuchSubscription)?;
        let one = topic.subscription(&id).ok_or(Refusal::NoSuchSubscription)?;
        let mut row = one.row.clone();
        settings::set_subscription(
            &mut row.attributes,
            row.protocol,
            &input.attribute_name,
            input.attribute_value.as_deref().unwrap_or_default(),
        )?;
        let changed = Subscription::new(row)?;
        check_room(&topic, &changed)?;
        sns.save(&topic, changed).await
    })
    .await?;
    Ok(t::SetSubscriptionAttributesOutput {})
}
