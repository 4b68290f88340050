//! Topics and subscriptions as they live in memory: their rows, and what those mean, compiled.

use std::sync::Arc;

use gureum_dispatch::Caller;
use gureum_kit::reset::Whose;
use gureum_kit::{Arn, Row};
use gureum_policy::{Kind, Policy};
use serde_json::json;

use crate::errors::{Refusal, Result};
use crate::filter::{Filter, Scope};
use crate::model::{Protocol, SubscriptionRow, TopicKey, TopicRow};
use crate::policy::DeliveryPolicy;
use crate::settings;

/// In whose name queues get messages.
pub(crate) const PRINCIPAL: &str = "sns.amazonaws.com";

/// A topic with all its subscriptions. It is replaced as a whole when anything changes.
pub(crate) struct Topic {
    pub(crate) row: TopicRow,
    pub(crate) arn: String,
    pub(crate) policy: Arc<Policy>,
    pub(crate) delivery: Option<DeliveryPolicy>,
    pub(crate) subscriptions: Vec<Arc<Subscription>>,
    /// The service as it speaks for this topic.
    pub(crate) caller: Arc<Caller>,
    /// Held by whoever publishes to a FIFO topic, so that order and duplicates are certain.
    pub(crate) gate: Arc<tokio::sync::Mutex<()>>,
}

pub(crate) struct Subscription {
    pub(crate) row: SubscriptionRow,
    pub(crate) arn: String,
    pub(crate) filter: Option<Filter>,
    pub(crate) delivery: Option<DeliveryPolicy>,
    /// Where what cannot be delivered goes: ARN of a queue.
    pub(crate) redrive: Option<Arn>,
}

impl Topic {
    pub(crate) fn new(row: TopicRow) -> Result<Self> {
        let arn = row.arn().to_string();
        let policy = match row.attributes.get("Policy") {
            Some(text) => text.clone(),
            None => default_policy(&row),
        };
        let policy = Policy::parse(&policy, Kind::Resource);
        let delivery = row.attributes.get("DeliveryPolicy");
        let delivery = delivery.map(|text| DeliveryPolicy::of_topic(text));
        Ok(Self {
            caller: Arc::new(Caller::service(PRINCIPAL, &arn, &row.account)),
            policy: Arc::new(policy.map_err(|_| Refusal::parameter("Policy Error: null"))?),
            delivery: delivery
                .transpose()
                .map_err(|why| Refusal::parameter(format!("DeliveryPolicy: {why}")))?,
            arn,
            row,
            subscriptions: Vec::new(),
            gate: Arc::default(),
        })
    }

    /// The same subscriptions under a changed row.
    pub(crate) fn with_row(&self, row: TopicRow) -> Result<Self> {
        Ok(Self {
            subscriptions: self.subscriptions.clone(),
            gate: Arc::clone(&self.gate),
            ..Self::new(row)?
        })
    }

    /// The same topic with this subscription added, replaced, or (without a new one) removed.
    pub(crate) fn with_subscription(&self, id: &str, new: Option<Subscription>) -> Self {
        let others = self.subscriptions.iter().filter(|one| one.row.id != id);
        let mut subscriptions: Vec<_> = others.cloned().collect();
        let mut row = self.row.clone();
        match new {
            Some(new) => subscriptions.push(Arc::new(new)),
            None => row.deleted += 1,
        }
        Self {
            subscriptions,
            ..self.copy(row)
        }
    }

    /// The same topic without the subscriptions that these accounts made.
    pub(crate) fn without(&self, whose: Whose) -> Self {
        let others = self
            .subscriptions
            .iter()
            .filter(|one| !whose.includes(&one.row.owner));
        Self {
            subscriptions: others.cloned().collect(),
            ..self.copy(self.row.clone())
        }
    }

    /// All but the row, which must say the same of policies.
    fn copy(&self, row: TopicRow) -> Self {
        Self {
            row,
            arn: self.arn.clone(),
            policy: Arc::clone(&self.policy),
            delivery: self.delivery.clone(),
            subscriptions: self.subscriptions.clone(),
            caller: Arc::clone(&self.caller),
            gate: Arc::clone(&self.gate),
        }
    }

    pub(crate) fn key(&self) -> TopicKey {
        self.row.key()
    }

    pub(crate) fn subscription(&self, id: &str) -> Option<&Arc<Subscription>> {
        self.subscriptions.iter().find(|one| one.row.id == id)
    }

    pub(crate) fn setting(&self, name: &str) -> Option<&str> {
        self.row.attributes.get(name).map(String::as_str)
    }

    pub(crate) fn is_set(&self, name: &str) -> bool {
        self.setting(name) == Some("true")
    }

    /// What `GetTopicAttributes` shows as the policy.
    pub(crate) fn shown_policy(&self) -> String {
        match self.setting("Policy") {
            Some(policy) => policy.to_owned(),
            None => default_policy(&self.row),
        }
    }
}

/// The policy of a topic that was given none: its account may do everything.
fn default_policy(row: &TopicRow) -> String {
    let actions = [
        "GetTopicAttributes",
        "SetTopicAttributes",
        "AddPermission",
        "RemovePermission",
        "DeleteTopic",
        "Subscribe",
        "ListSubscriptionsByTopic",
        "Publish",
    ];
    json!({
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [{
            "Sid": "__default_statement_ID",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": actions.map(|action| format!("SNS:{action}")),
            "Resource": row.arn().to_string(),
            "Condition": {"StringEquals": {"AWS:SourceOwner": row.account.as_str()}},
        }],
    })
    .to_string()
}

impl Subscription {
    /// Compiles what the row says; refuses what makes no sense.
    pub(crate) fn new(row: SubscriptionRow) -> Result<Self> {
        let setting = |name: &str| row.attributes.get(name).map(String::as_str);
        let scope = match setting("FilterPolicyScope") {
            Some("MessageBody") => Scope::Body,
            _ => Scope::Attributes,
        };
        let filter = setting("FilterPolicy").map(|text| Filter::parse(text, scope));
        let delivery = setting("DeliveryPolicy").map(DeliveryPolicy::of_subscription);
        let redrive = setting("RedrivePolicy").map(settings::dead_letters);
        let (filter, delivery) = (filter.transpose(), delivery.transpose());
        Ok(Self {
            arn: format!(
                "{}:{}",
                crate::model::topic_arn(&(row.region.clone(), row.account, row.topic.clone())),
                row.id
            ),
            filter: filter.map_err(|why| Refusal::parameter(format!("FilterPolicy: {why}")))?,
            delivery: delivery
                .map_err(|why| Refusal::parameter(format!("DeliveryPolicy: {why}")))?,
            redrive: redrive.transpose()?,
            row,
        })
    }

    pub(crate) fn is_raw(&self) -> bool {
        self.row
            .attributes
            .get("RawMessageDelivery")
            .map(String::as_str)
            == Some("true")
    }

    pub(crate) fn is_confirmed(&self) -> bool {
        self.row.confirmed.is_some()
    }

    /// Whether this is what a repeated request to subscribe means.
    pub(crate) fn is_for(&self, protocol: Protocol, endpoint: &str) -> bool {
        self.row.protocol == protocol && self.row.endpoint == endpoint
    }

    /// As listings name it.
    pub(crate) fn listed_arn(&self) -> String {
        match self.is_confirmed() {
            true => self.arn.clone(),
            false => "PendingConfirmation".into(),
        }
    }
}
