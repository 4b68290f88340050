//! Subscribe: checks who wants what, and invites those who have to agree.

use std::collections::BTreeMap;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::Arn;
use gureum_kit::names::id;
use gureum_model_sns::types as t;

use crate::content::{Content, Kind};
use crate::errors::{Refusal, Result};
use crate::model::{Confirmed, DeliveryRow, Protocol, Recipient, SubscriptionRow, Texts};
use crate::settings;
use crate::state::Sns;
use crate::topic::{Subscription, Topic};

/// Filter policies of one topic, and subscriptions of a FIFO topic, at most.
const MAX_FILTERS: usize = 200;
const MAX_FIFO: usize = 100;

pub(crate) async fn subscribe(
    sns: Arc<Sns>,
    cx: Cx,
    input: t::SubscribeInput,
) -> gureum_schema::Result<t::SubscribeResponse> {
    let topic = sns.at(&cx, &input.topic_arn)?;
    let protocol = protocol(&input.protocol)?;
    let endpoint = input.endpoint.unwrap_or_default();
    check_endpoint(&cx, protocol, &endpoint, topic.row.is_fifo())?;
    let mut attributes = Texts::new();
    for (name, value) in input.attributes.unwrap_or_default() {
        settings::set_subscription(&mut attributes, protocol, &name, &value)?;
    }
    let always = input.return_subscription_arn == Some(true);
    let wish = Wish {
        protocol,
        endpoint,
        attributes,
    };
    let made = Sns::whole(async move { sns.take_on(&cx, &topic, wish).await }).await?;
    let arn = match made.is_confirmed() || always {
        true => made.arn.clone(),
        false => "pending confirmation".into(),
    };
    Ok(t::SubscribeResponse {
        subscription_arn: Some(arn),
    })
}

fn protocol(text: &str) -> Result<Protocol> {
    let later = |what: &str| Err(Refusal::NotImplemented(format!("Subscribing {what}")));
    match text {
        "lambda" => later("Lambda functions (they come with the Lambda service)"),
        "sms" => later("phone numbers (sms)"),
        "application" => later("mobile devices (application)"),
        "firehose" => later("Firehose streams"),
        _ => Protocol::parse(text).ok_or_else(|| {
            Refusal::parameter(format!(
                "Amazon SNS does not support this protocol string: {text}"
            ))
        }),
    }
}

fn check_endpoint(cx: &Cx, protocol: Protocol, endpoint: &str, fifo: bool) -> Result<()> {
    let wrong = |why: &str| Err(Refusal::reason("Endpoint", why));
    if fifo && protocol != Protocol::Sqs {
        let why = format!(
            "Invalid protocol type: {}. FIFO topics support only SQS queues",
            protocol.name()
        );
        return Err(Refusal::parameter(why));
    }
    if endpoint.is_empty() || endpoint.len() > 2048 || endpoint.chars().any(char::is_control) {
        return Err(Refusal::parameter("Endpoint"));
    }
    match protocol {
        Protocol::Http | Protocol::Https => {
            let scheme = format!("{}://", protocol.name());
            let rest = endpoint.strip_prefix(&scheme);
            match rest {
                None => wrong("Endpoint must match the specified protocol"),
                Some(_) if endpoint.parse::<http::Uri>().is_err() => wrong("it is no URL"),
                Some(rest) if rest.is_empty() || rest.starts_with('/') => wrong("it names no host"),
                Some(_) => Ok(()),
            }
        }
        Protocol::Email | Protocol::EmailJson => match endpoint.rsplit_once('@') {
            Some((user, host))
                if !user.is_empty()
                    && !host.is_empty()
                    && !endpoint.contains([' ', '<', '>', ',']) =>
            {
                Ok(())
            }
            _ => wrong("Email address"),
        },
        Protocol::Sqs => {
            let arn = endpoint.parse::<Arn>().ok();
            let Some(arn) = arn.filter(|arn| arn.service == "sqs" && !arn.account.is_empty())
            else {
                return wrong("SQS endpoint ARN");
            };
            if arn.partition != cx.region.partition() {
                return wrong("SQS endpoint ARN");
            }
            if arn.resource.ends_with(".fifo") && !fifo {
                return Err(Refusal::parameter(
                    "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics",
                ));
            }
            Ok(())
        }
    }
}

struct Wish {
    protocol: Protocol,
    endpoint: String,
    attributes: Texts,
}

impl Sns {
    /// Subscribes, or finds the subscription that is there; invites again who has not agreed yet.
    async fn take_on(&self, cx: &Cx, topic: &Topic, wish: Wish) -> Result<Arc<Subscription>> {
        let _turn = self.admin.lock().await;
        let topic = self.find(&topic.key()).ok_or(Refusal::NoSuchTopic)?;
        let now = cx.now.0;
        let mut known = topic.subscriptions.iter();
        let known = known.find(|one| one.is_for(wish.protocol, &wish.endpoint));
        let known = known.cloned();
        if let Some(known) = &known {
            if known.row.attributes != wish.attributes && !wish.attributes.is_empty() {
                let why = "Subscription already exists with different attributes";
                return Err(Refusal::reason("Attributes", why));
            }
            if known.is_confirmed() {
                return Ok(Arc::clone(known));
            }
        }
        let row = match known {
            Some(known) => SubscriptionRow {
                invited: now,
                ..known.row.clone()
            },
            None => new_row(cx, &topic, wish),
        };
        let subscription = Subscription::new(row)?;
        check_room(&topic, &subscription)?;
        let arn = subscription.row.id.clone();
        if subscription.is_confirmed() {
            self.save(&topic, subscription).await?;
        } else {
            self.invite(&topic, subscription).await?;
        }
        let topic = self.find(&topic.key()).ok_or(Refusal::NoSuchTopic)?;
        topic
            .subscription(&arn)
            .cloned()
            .ok_or(Refusal::NoSuchSubscription)
    }

    /// Writes an unconfirmed subscription along with its invitation.
    async fn invite(&self, topic: &Topic, subscription: Subscription) -> Result<()> {
        let row = &subscription.row;
        let text = format!(
            "You have chosen to subscribe to the topic {}.\nTo confirm the subscription, visit the SubscribeURL included in this message.",
            topic.arn
        );
        let kind = Kind::SubscriptionConfirmation(row.token.clone());
        let content = letter(topic, kind, text, row.invited);
        let to = Recipient::Subscription(row.id.clone());
        let (message, delivery) = self.letter_rows(topic, &content, to, row.protocol)?;
        self.store
            .transact(|tx| {
                tx.put(&subscription.row)?;
                tx.put(&message)?;
                tx.put(&delivery)
            })
            .await?;
        let id = subscription.row.id.clone();
        self.set(topic.with_subscription(&id, Some(subscription)));
        self.schedule.add(&delivery);
        Ok(())
    }

    /// A message to one endpoint, and its delivery.
    pub(crate) fn letter_rows(
        &self,
        topic: &Topic,
        content: &Content,
        to: Recipient,
        protocol: Protocol,
    ) -> Result<(crate::model::MessageRow, DeliveryRow)> {
        let message = self.number();
        let delivery = DeliveryRow {
            message,
            lane: 0,
            topic: topic.key(),
            topic_id: topic.row.id,
            to: vec![to],
            attempts: 0,
            due: content.at,
            group: None,
            web: self.is_outside(protocol),
        };
        Ok((self.keys.seal(message, content, None)?, delivery))
    }
}

/// What SNS itself writes to an endpoint.
pub(crate) fn letter(topic: &Topic, kind: Kind, text: String, at: i64) -> Content {
    Content {
        kind,
        id: id::uuid(),
        topic: topic.arn.clone(),
        display_name: topic.setting("DisplayName").unwrap_or_default().to_owned(),
        signature_version: crate::ops::publish::signature_version(topic),
        at,
        subject: None,
        text,
        texts: BTreeMap::new(),
        attributes: BTreeMap::new(),
        fifo: None,
    }
}

fn new_row(cx: &Cx, topic: &Topic, wish: Wish) -> SubscriptionRow {
    // A queue of one's own needs no asking; anything else has to agree.
    let queue = wish.endpoint.parse::<Arn>().ok();
    let own = wish.protocol == Protocol::Sqs
        && queue.is_some_and(|queue| queue.account == cx.account().as_str());
    let (region, account, topic) = topic.key();
    SubscriptionRow {
        region,
        account,
        topic,
        id: id::uuid(),
        owner: *cx.account(),
        principal: cx.caller.arn.clone(),
        protocol: wish.protocol,
        endpoint: wish.endpoint,
        attributes: wish.attributes,
        token: id::hex_digits(256),
        invited: cx.now.0,
        confirmed: own.then_some(Confirmed {
            authenticated: true,
            authenticate_on_unsubscribe: false,
        }),
    }
}

/// Refuses what would be one too many.
pub(crate) fn check_room(topic: &Topic, new: &Subscription) -> Result<()> {
    let others = || {
        topic
            .subscriptions
            .iter()
            .filter(|one| one.row.id != new.row.id)
    };
    let filters = others().filter(|one| one.filter.is_some()).count();
    if new.filter.is_some() && filters >= MAX_FILTERS {
        let message = "The number of filter policies of this topic exceeds the limit of 200.";
        return Err(Refusal::Limit("FilterPolicyLimitExceeded", message.into()));
    }
    if topic.row.is_fifo() && others().count() >= MAX_FIFO {
        let message = "A FIFO topic can have at most 100 subscriptions.";
        return Err(Refusal::Limit("SubscriptionLimitExceeded", message.into()));
    }
    Ok(())
}
