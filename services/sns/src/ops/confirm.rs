//! ConfirmSubscription and Unsubscribe, which may come as links without a signature.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::Row;
use gureum_model_sns::types as t;

use super::subscribe::letter;
use crate::content::Kind;
use crate::errors::{Refusal, Result};
use crate::model::{Confirmed, Former, Recipient, SubscriptionRow};
use crate::state::{Sns, subscription_of};
use crate::sweep::INVITED;
use crate::topic::{Subscription, Topic};

pub(crate) async fn confirm(
    sns: Arc<Sns>,
    cx: Cx,
    input: t::ConfirmSubscriptionInput,
) -> gureum_schema::Result<t::ConfirmSubscriptionResponse> {
    let topic = sns.at(&cx, &input.topic_arn)?;
    let careful = match input.authenticate_on_unsubscribe.as_deref() {
        None | Some("false" | "") => false,
        Some("true") if cx.caller.is_anonymous() => {
            let why = "AuthenticateOnUnsubscribe needs a signed request";
            return Err(Refusal::parameter(why).into());
        }
        Some("true") => true,
        Some(_) => return Err(Refusal::parameter("AuthenticateOnUnsubscribe").into()),
    };
    let confirmed = Confirmed {
        authenticated: !cx.caller.is_anonymous(),
        authenticate_on_unsubscribe: careful,
    };
    let now = cx.now.0;
    let arn = Sns::whole(async move { sns.admit(&topic, &input.token, confirmed, now).await });
    Ok(t::ConfirmSubscriptionResponse {
        subscription_arn: Some(arn.await?),
    })
}

impl Sns {
    /// Confirms the subscription that a token invited; says its ARN. Again is fine.
    async fn admit(
        &self,
        topic: &Topic,
        token: &str,
        confirmed: Confirmed,
        now: i64,
    ) -> Result<String> {
        let _turn = self.admin.lock().await;
        let topic = self.find(&topic.key()).ok_or(Refusal::NoSuchTopic)?;
        let wrong = || Refusal::parameter("Token");
        let invited = topic
            .subscriptions
            .iter()
            .find(|one| same(&one.row.token, token));
        let Some(invited) = invited else {
            return self.welcome_back(&topic, token, confirmed, now).await;
        };
        if invited.is_confirmed() {
            return Ok(invited.arn.clone());
        }
        if invited.row.invited + INVITED <= now {
            return Err(wrong());
        }
        let row = SubscriptionRow {
            confirmed: Some(confirmed),
            ..invited.row.clone()
        };
        let arn = invited.arn.clone();
        self.save(&topic, Subscription::new(row)?).await?;
        Ok(arn)
    }

    /// Undoes an unsubscription by the token of the farewell.
    async fn welcome_back(
        &self,
        topic: &Topic,
        token: &str,
        confirmed: Confirmed,
        now: i64,
    ) -> Result<String> {
        let key = (topic.key(), token.to_owned());
        let former = {
            let ((region, account, name), token) = &key;
            let view = self.store.read();
            gureum_kit::Reader::get::<Former>(&view, (region, account, name, token))?
        };
        let former = former.filter(|former| former.left + INVITED > now);
        let former = former.ok_or_else(|| Refusal::parameter("Token"))?;
        let row = SubscriptionRow {
            confirmed: Some(confirmed),
            ..former.subscription.clone()
        };
        let subscription = Subscription::new(row)?;
        let known = topic.subscriptions.iter();
        let mut known =
            known.filter(|one| one.is_for(subscription.row.protocol, &subscription.row.endpoint));
        if let Some(known) = known.next() {
            return Ok(known.arn.clone());
        }
        let arn = subscription.arn.clone();
        self.store
            .transact(|tx| {
                tx.delete::<Former>(former.key())?;
                tx.put(&subscription.row)
            })
            .await?;
        let id = subscription.row.id.clone();
        self.set(topic.with_subscription(&id, Some(subscription)));
        Ok(arn)
    }

    /// Ends a subscription by its link: says farewell, with a way back.
    async fn part(&self, topic: &Topic, one: &Subscription, now: i64) -> Result<()> {
        let changed = topic.with_subscription(&one.row.id, None);
        let former = Former {
            subscription: one.row.clone(),
            left: now,
        };
        let text = format!(
            "You have chosen to deactivate subscription {}.\nTo cancel this operation and restore the subscription, visit the SubscribeURL included in this message.",
            one.arn
        );
        let content = letter(
            topic,
            Kind::UnsubscribeConfirmation(one.row.token.clone()),
            text,
            now,
        );
        let to = Recipient::Former {
            subscription: one.arn.clone(),
            protocol: one.row.protocol,
            endpoint: one.row.endpoint.clone(),
        };
        let (message, delivery) = self.letter_rows(topic, &content, to, one.row.protocol)?;
        self.store
            .transact(|tx| {
                tx.delete::<SubscriptionRow>(one.row.key())?;
                tx.put(&changed.row)?;
                tx.put(&former)?;
                tx.put(&message)?;
                tx.put(&delivery)
            })
            .await?;
        self.set(changed);
        self.schedule.add(&delivery);
        Ok(())
    }
}

/// Compared without an early end, so that timing tells nothing about the right token.
fn same(one: &str, two: &str) -> bool {
    let differing = one
        .bytes()
        .zip(two.bytes())
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == two.len() && differing == 0
}

/// Unsubscribing what isn't there is fine.
pub(crate) async fn unsubscribe(
    sns: Arc<Sns>,
    cx: Cx,
    input: t::UnsubscribeInput,
) -> gureum_schema::Result<t::UnsubscribeOutput> {
    let (key, id) = subscription_of(&cx, &input.subscription_arn)?;
    let id = id.to_owned();
    Sns::whole(async move {
        let _turn = sns.admin.lock().await;
        let topic = sns.find(&key);
        let found = topic.as_ref().and_then(|topic| topic.subscription(&id));
        let (Some(topic), Some(one)) = (&topic, found) else {
            return Ok(());
        };
        let Some(confirmed) = &one.row.confirmed else {
            let why = "This subscription is pending confirmation and cannot be deleted";
            return match cx.caller.is_anonymous() {
                true => Err(Refusal::reason("SubscriptionArn", why)),
                false => sns.end(topic, one).await,
            };
        };
        match cx.caller.is_anonymous() {
            true if confirmed.authenticate_on_unsubscribe => Err(Refusal::Denied(
                "This subscription can be ended by a signed request only.".into(),
            )),
            true => sns.part(topic, one, cx.now.0).await,
            false => sns.end(topic, one).await,
        }
    })
    .await?;
    Ok(t::UnsubscribeOutput {})
}
