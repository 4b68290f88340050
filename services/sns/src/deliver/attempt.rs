//! One attempt to serve the recipients of a delivery, each in the way of its protocol.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};
use gureum_dispatch::{Cloud, Cx};
use gureum_kit::Reader;
use gureum_schema::Error;

use super::{Fate, queue};
use crate::content::{Content, Kind};
use crate::envelope::{Envelope, Letterhead};
use crate::errors::Refusal;
use crate::model::{DeliveryRow, MessageRow, Protocol, Recipient};
use crate::policy::{DeliveryPolicy, MAIL, MANAGED};
use crate::state::Sns;
use crate::topic::{Subscription, Topic};

/// Recipients served at a time: they share the store's group commits.
const AT_ONCE: usize = 100;

/// Why a recipient does not have the message.
#[derive(Clone, Debug)]
pub(super) struct Obstacle {
    pub(super) code: String,
    pub(super) message: String,
    /// The endpoint won't have it; trying again would not help.
    pub(super) permanent: bool,
}

/// A recipient, looked up.
pub(super) struct Target<'a> {
    pub(super) topic: &'a Topic,
    /// ARN of the subscription.
    pub(super) arn: String,
    pub(super) protocol: Protocol,
    pub(super) endpoint: &'a str,
    /// Not there where it is a farewell.
    pub(super) subscription: Option<Arc<Subscription>>,
}

/// What is said in this attempt, in every protocol's document.
pub(super) struct Mission<'a> {
    pub(super) letterhead: Letterhead<'a>,
    pub(super) content: &'a Content,
    envelopes: BTreeMap<Protocol, Envelope>,
}

impl Target<'_> {
    pub(super) fn is_raw(&self) -> bool {
        self.subscription.as_ref().is_some_and(|one| one.is_raw())
    }
}

impl Mission<'_> {
    /// What this endpoint gets: the bare text where it wants that, else the document.
    pub(super) fn body(&self, target: &Target<'_>) -> String {
        match self.envelopes.get(&target.protocol) {
            Some(envelope) if !self.is_raw(target) => {
                envelope.addressed(&self.letterhead, &target.arn)
            }
            _ => self.content.text_for(target.protocol).to_owned(),
        }
    }

    pub(super) fn is_raw(&self, target: &Target<'_>) -> bool {
        target.is_raw() && self.content.kind == Kind::Notification
    }
}

impl Sns {
    pub(super) async fn attempt(
        &self,
        cloud: &Arc<Cloud>,
        row: &DeliveryRow,
    ) -> Result<Vec<(Recipient, Fate)>, Error> {
        let all_done = || row.to.iter().map(|one| (one.clone(), Fate::Done)).collect();
        let topic = self
            .find(&row.topic)
            .filter(|topic| topic.row.id == row.topic_id);
        let message = self.store.read().get::<MessageRow>(row.message);
        let (Some(topic), Some(message)) = (topic, message.map_err(Refusal::from)?) else {
            return Ok(all_done());
        };
        let content = self.opened(cloud, &topic, &message).await?;
        let targets: Vec<_> = row
            .to
            .iter()
            .map(|one| (one, target(&topic, one)))
            .collect();
        let mut mission = Mission {
            letterhead: self.letterhead(),
            content: &content,
            envelopes: BTreeMap::new(),
        };
        for target in targets.iter().filter_map(|(_, target)| target.as_ref()) {
            // Mail for people has no document.
            let none = mission.is_raw(target) || target.protocol == Protocol::Email;
            if !none && !mission.envelopes.contains_key(&target.protocol) {
                let envelope = self
                    .letterhead()
                    .envelope(&content, target.protocol)
                    .await?;
                mission.envelopes.insert(target.protocol, envelope);
            }
        }
        let cx = queue::cx(cloud, &topic);
        let mut served = Vec::with_capacity(targets.len());
        for (recipient, target) in &targets {
            served.push(self.deliver(&cx, &mission, recipient, target.as_ref(), row.attempts));
        }
        Ok(stream::iter(served)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await)
    }

    /// Serves one recipient; one that is no longer there is done with.
    async fn deliver(
        &self,
        cx: &Cx,
        mission: &Mission<'_>,
        recipient: &Recipient,
        to: Option<&Target<'_>>,
        failed: u32,
    ) -> (Recipient, Fate) {
        let fate = match to {
            Some(to) => self.deliver_to(cx, mission, to, failed).await,
            None => Fate::Done,
        };
        (recipient.clone(), fate)
    }

    async fn deliver_to(
        &self,
        cx: &Cx,
        mission: &Mission<'_>,
        to: &Target<'_>,
        failed: u32,
    ) -> Fate {
        let outcome = match to.protocol {
            Protocol::Sqs => queue::send(&self.joint, cx, mission, to).await,
            Protocol::Http | Protocol::Https => self.post(mission, to).await,
            Protocol::Email | Protocol::EmailJson => self.mail(mission, to).await,
        };
        let Err(obstacle) = outcome else {
            return Fate::Done;
        };
        tracing::debug!(
            subscription = to.arn,
            ?obstacle,
            "a delivery did not succeed"
        );
        let pause = match obstacle.permanent {
            true => None,
            false => pause(to, failed + 1),
        };
        match pause {
            Some(pause) => Fate::Again { pause },
            None => bury(cx, mission, to, &obstacle).await,
        }
    }
}

/// How long to wait after so many attempts that failed; `None` when it was the last one.
fn pause(to: &Target<'_>, failed: u32) -> Option<i64> {
    match to.protocol {
        Protocol::Sqs => MANAGED.pause(failed),
        Protocol::Email | Protocol::EmailJson => MAIL.pause(failed),
        Protocol::Http | Protocol::Https => policy_of(to).retries.pause(failed),
    }
}

pub(super) fn policy_of(to: &Target<'_>) -> DeliveryPolicy {
    let own = to
        .subscription
        .as_ref()
        .and_then(|one| one.delivery.as_ref());
    DeliveryPolicy::effective(own, to.topic.delivery.as_ref())
}

/// Sends what cannot be delivered to the dead letters, where there is a queue for them.
async fn bury(cx: &Cx, mission: &Mission<'_>, to: &Target<'_>, obstacle: &Obstacle) -> Fate {
    let queue = to
        .subscription
        .as_ref()
        .and_then(|one| one.redrive.as_ref());
    let Some(queue) = queue.filter(|_| mission.content.kind == Kind::Notification) else {
        tracing::warn!(subscription = to.arn, ?obstacle, "a message is given up");
        return Fate::Done;
    };
    match queue::bury(cx, mission, to, queue, obstacle).await {
        Ok(()) => Fate::Done,
        Err(why) if why.permanent => {
            tracing::warn!(
                subscription = to.arn,
                ?obstacle,
                ?why,
                "a message is given up"
            );
            Fate::Done
        }
        Err(_) => Fate::Again { pause: 20_000 },
    }
}

/// Who is meant; `None` when the subscription has ended meanwhile.
fn target<'a>(topic: &'a Topic, recipient: &'a Recipient) -> Option<Target<'a>> {
    match recipient {
        Recipient::Subscription(id) => {
            let one = topic.subscription(id)?;
            Some(Target {
                topic,
                arn: one.arn.clone(),
                protocol: one.row.protocol,
                endpoint: &one.row.endpoint,
                subscription: Some(Arc::clone(one)),
            })
        }
        Recipient::Former {
            subscription,
            protocol,
            endpoint,
        } => Some(Target {
            topic,
            arn: subscription.clone(),
            protocol: *protocol,
            endpoint,
            subscription: None,
        }),
    }
}
