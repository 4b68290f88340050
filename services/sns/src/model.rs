//! Rows: topics, subscriptions, and messages on their way.

use std::collections::BTreeMap;

use bytes::Bytes;
use gureum_kit::{AccountId, Arn, Region, Row};
use serde::{Deserialize, Serialize};

/// What names a topic.
pub(crate) type TopicKey = (Region, AccountId, String);

/// Attributes and tags, as texts: what they mean is compiled when they are loaded.
pub(crate) type Texts = BTreeMap<String, String>;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TopicRow {
    pub(crate) region: Region,
    pub(crate) account: AccountId,
    pub(crate) name: String,
    /// Tells this topic from an earlier one of the same name.
    pub(crate) id: u64,
    pub(crate) attributes: Texts,
    pub(crate) tags: Texts,
    /// How many subscriptions have ended.
    pub(crate) deleted: u64,
}

impl TopicRow {
    pub(crate) fn arn(&self) -> Arn {
        topic_arn(&self.key())
    }

    pub(crate) fn is_fifo(&self) -> bool {
        self.name.ends_with(".fifo")
    }
}

pub(crate) fn topic_arn((region, account, name): &TopicKey) -> Arn {
    Arn::new("sns", region, account, name.clone())
}

impl Row for TopicRow {
    const TABLE: &'static str = "sns.topic";
    type Key = TopicKey;

    fn key(&self) -> TopicKey {
        (self.region.clone(), self.account, self.name.clone())
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SubscriptionRow {
    pub(crate) region: Region,
    /// Of the topic.
    pub(crate) account: AccountId,
    pub(crate) topic: String,
    /// A UUID.
    pub(crate) id: String,
    /// Who subscribed: account and ARN.
    pub(crate) owner: AccountId,
    pub(crate) principal: String,
    pub(crate) protocol: Protocol,
    pub(crate) endpoint: String,
    pub(crate) attributes: Texts,
    /// Proves, when it is brought back, that the endpoint wants what it will get.
    pub(crate) token: String,
    /// When the token was sent, ms since the epoch; it is good for three days.
    pub(crate) invited: i64,
    pub(crate) confirmed: Option<Confirmed>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Confirmed {
    /// By a signed request.
    pub(crate) authenticated: bool,
    pub(crate) authenticate_on_unsubscribe: bool,
}

impl Row for SubscriptionRow {
    const TABLE: &'static str = "sns.subscription";
    type Key = (Region, AccountId, String, String);

    fn key(&self) -> Self::Key {
        let Self {
            region,
            account,
            topic,
            id,
            ..
        } = self;
        (region.clone(), *account, topic.clone(), id.clone())
    }
}

/// How messages get to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Protocol {
    Http,
    Https,
    Email,
    EmailJson,
    Sqs,
}

impl Protocol {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "http" => Self::Http,
            "https" => Self::Https,
            "email" => Self::Email,
            "email-json" => Self::EmailJson,
            "sqs" => Self::Sqs,
            _ => return None,
        })
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Email => "email",
            Self::EmailJson => "email-json",
            Self::Sqs => "sqs",
        }
    }

    pub(crate) fn is_web(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    pub(crate) fn is_mail(self) -> bool {
        matches!(self, Self::Email | Self::EmailJson)
    }
}

/// A message that is to be delivered: kept until nobody waits for it any more.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct MessageRow {
    pub(crate) id: u64,
    /// The data key that KMS sealed, where the topic has a key.
    pub(crate) kms: Option<Bytes>,
    /// Makes the content's key, together with our secret or the data key.
    pub(crate) salt: [u8; 16],
    /// A [`crate::content::Content`] in MessagePack, sealed.
    pub(crate) data: Bytes,
}

impl Row for MessageRow {
    const TABLE: &'static str = "sns.message";
    type Key = u64;

    fn key(&self) -> u64 {
        self.id
    }
}

/// Who is still to get a message. A message has one delivery to all endpoints within the cloud,
/// and one to each that is outside or had to be tried again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DeliveryRow {
    pub(crate) message: u64,
    pub(crate) lane: u64,
    pub(crate) topic: TopicKey,
    /// [`TopicRow::id`]
    pub(crate) topic_id: u64,
    pub(crate) to: Vec<Recipient>,
    /// Failed attempts.
    pub(crate) attempts: u32,
    /// The next attempt, ms since the epoch.
    pub(crate) due: i64,
    /// The message group, in a FIFO topic.
    pub(crate) group: Option<String>,
    /// For an endpoint beyond the cloud.
    pub(crate) web: bool,
}

impl Row for DeliveryRow {
    const TABLE: &'static str = "sns.delivery";
    type Key = (u64, u64);

    fn key(&self) -> (u64, u64) {
        (self.message, self.lane)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Recipient {
    /// By its id; what has become of it is looked up when it is served.
    Subscription(String),
    /// One whose subscription has ended, for the farewell.
    Former {
        subscription: String,
        protocol: Protocol,
        endpoint: String,
    },
}

/// That a message with this deduplication id was published to a FIFO topic, until `expires`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Duplicate {
    pub(crate) topic: u64,
    /// The deduplication id, under its group where that is the topic's scope.
    pub(crate) key: String,
    pub(crate) message: String,
    pub(crate) sequence: u64,
    pub(crate) expires: i64,
}

impl Row for Duplicate {
    const TABLE: &'static str = "sns.duplicate";
    type Key = (u64, String);

    fn key(&self) -> (u64, String) {
        (self.topic, self.key.clone())
    }
}

/// Counts the starts of the service: numbers given out begin with it, so that none comes twice
/// although the count within one run is kept in memory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Epoch {
    pub(crate) number: u64,
}

impl Row for Epoch {
    const TABLE: &'static str = "sns.epoch";
    type Key = ();

    fn key(&self) {}
}

/// A subscription that was ended by its link, for as long as the way back stands open.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Former {
    pub(crate) subscription: SubscriptionRow,
    /// When it ended, ms since the epoch.
    pub(crate) left: i64,
}

impl Row for Former {
    const TABLE: &'static str = "sns.former";
    /// The topic, and the token.
    type Key = (Region, AccountId, String, String);

    fn key(&self) -> Self::Key {
        let SubscriptionRow {
            region,
            account,
            topic,
            token,
            ..
        } = &self.subscription;
        (region.clone(), *account, topic.clone(), token.clone())
    }
}
