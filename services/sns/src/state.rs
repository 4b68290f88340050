//! The service's state: every topic, the order of numbers, what waits to be delivered.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use gureum_dispatch::Cx;
use gureum_kit::{
    AccountId, Arn, Clock, Driver, PageTokens, Reader, Region, Row, Scan, Store, StoreError,
};
use gureum_mail::{Mailbox, Relay};
use gureum_outbound::Outbound;

use crate::content::Keys;
use crate::envelope::Letterhead;
use crate::errors::{Refusal, Result};
use crate::model::{DeliveryRow, Epoch, Protocol, SubscriptionRow, TopicKey, TopicRow};
use crate::pace::Pace;
use crate::schedule::Schedule;
use crate::signing::{KeySource, Signer};
use crate::topic::{Subscription, Topic};

/// How many numbers one run of the service may give out, as a power of two.
const NUMBERS: u32 = 40;

/// SNS. One value serves all accounts and regions.
pub struct Sns {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) keys: Keys,
    pub(crate) signer: Signer,
    pub(crate) tokens: PageTokens,
    pub(crate) mailbox: Mailbox,
    pub(crate) relay: Option<Relay>,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) schedule: Schedule,
    pub(crate) pace: Pace,
    /// Held by whoever changes topics, so that such changes happen one after the other.
    pub(crate) admin: tokio::sync::Mutex<()>,
    topics: RwLock<BTreeMap<TopicKey, Arc<Topic>>>,
    next: AtomicU64,
    address: OnceLock<String>,
    pub(crate) domain: String,
}

/// What SNS stands on.
pub struct Ground {
    pub store: Store,
    pub clock: Clock,
    /// The key of waiting messages; kept outside the store.
    pub secret: [u8; 32],
    /// Where the key comes from that messages are signed with.
    pub signing: KeySource,
    pub mailbox: Mailbox,
    /// Where mail goes beside the mailbox.
    pub relay: Option<Relay>,
    pub outbound: Arc<Outbound>,
    /// The domain of the sender's address, `gureum.localhost`.
    pub domain: String,
}

impl Sns {
    /// Opens the service on what the store holds. `driver` is who will run the reconcilers.
    pub async fn open(ground: Ground, driver: &Driver) -> Result<Arc<Self>, StoreError> {
        let store = ground.store;
        let epoch = store
            .transact(|tx| {
                let number = tx.get::<Epoch>(())?.unwrap_or_default().number + 1;
                tx.put(&Epoch { number })?;
                Ok::<_, StoreError>(number)
            })
            .await?;
        let sns = Self {
            keys: Keys::new(&ground.secret),
            signer: Signer::new(ground.signing),
            tokens: PageTokens::load(&store).await?,
            mailbox: ground.mailbox,
            relay: ground.relay,
            outbound: ground.outbound,
            schedule: Schedule::new(driver),
            pace: Pace::default(),
            admin: tokio::sync::Mutex::default(),
            topics: RwLock::default(),
            next: AtomicU64::new((epoch << NUMBERS) + 1),
            address: OnceLock::new(),
            domain: ground.domain,
            clock: ground.clock,
            store,
        };
        sns.load()?;
        Ok(Arc::new(sns))
    }

    /// Whether endpoints of this protocol are beyond the cloud, and may take their time.
    pub(crate) fn is_outside(&self, protocol: Protocol) -> bool {
        protocol.is_web() || (protocol.is_mail() && self.relay.is_some())
    }

    /// Rebuilds everything in memory from the store.
    fn load(&self) -> Result<(), StoreError> {
        let unreadable = |what: &str, why: Refusal| {
            StoreError::Corrupt(format!("{what} cannot be read: {why:?}"))
        };
        let view = self.store.read();
        let mut topics = BTreeMap::new();
        for row in view.scan(Scan::<TopicRow>::all()) {
            let topic = Topic::new(row?).map_err(|why| unreadable("a topic", why))?;
            topics.insert(topic.key(), topic);
        }
        for row in view.scan(Scan::<SubscriptionRow>::all()) {
            let row = row?;
            let key = (row.region.clone(), row.account, row.topic.clone());
            let subscription =
                Subscription::new(row).map_err(|why| unreadable("a subscription", why))?;
            if let Some(topic) = topics.get_mut(&key) {
                topic.subscriptions.push(Arc::new(subscription));
            }
        }
        let topics = topics
            .into_iter()
            .map(|(key, topic)| (key, Arc::new(topic)));
        *self.topics.write().unwrap_or_else(PoisonError::into_inner) = topics.collect();
        for row in view.scan(Scan::<DeliveryRow>::all()) {
            self.schedule.add(&row?);
        }
        Ok(())
    }

    /// Tells where endpoints reach the front door, `https://127.0.0.1:4566`.
    pub fn reachable_at(&self, address: String) {
        // It is told once, when the door is open.
        let _ = self.address.set(address);
    }

    pub(crate) fn letterhead(&self) -> Letterhead<'_> {
        Letterhead {
            address: self
                .address
                .get()
                .map_or("https://localhost:4566", String::as_str),
            signer: &self.signer,
        }
    }

    /// The next number: of a topic, a message, a delivery. They only ever grow.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn find(&self, key: &TopicKey) -> Option<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(key).cloned()
    }

    /// The topic that an ARN of the caller's region names.
    pub(crate) fn at(&self, cx: &Cx, arn: &str) -> Result<Arc<Topic>> {
        self.find(&key_of(cx, arn)?).ok_or(Refusal::NoSuchTopic)
    }

    /// Puts a topic in the place of what was there; the caller holds `admin`.
    pub(crate) fn set(&self, topic: Topic) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.insert(topic.key(), Arc::new(topic));
    }

    pub(crate) fn remove(&self, key: &TopicKey) {
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        topics.remove(key);
    }

    /// An account's topics in a region, in the order of their names, behind `after`.
    pub(crate) fn topics_of(
        &self,
        region: &Region,
        account: AccountId,
        after: &str,
        most: usize,
    ) -> Vec<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let start = Bound::Excluded((region.clone(), account, after.to_owned()));
        topics
            .range((start, Bound::Unbounded))
            .take_while(|((r, a, _), _)| r == region && *a == account)
            .take(most)
            .map(|(_, topic)| Arc::clone(topic))
            .collect()
    }

    /// Everybody's topics in a region.
    pub(crate) fn topics_in(&self, region: &Region) -> Vec<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let here = topics.iter().filter(|((r, ..), _)| r == region);
        here.map(|(_, topic)| Arc::clone(topic)).collect()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Topic>> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.values().cloned().collect()
    }

    /// Changes a topic's row.
    pub(crate) async fn alter(
        &self,
        key: &TopicKey,
        change: impl FnOnce(&mut TopicRow) -> Result<()>,
    ) -> Result<()> {
        let _turn = self.admin.lock().await;
        let topic = self.find(key).ok_or(Refusal::NoSuchTopic)?;
        let mut row = topic.row.clone();
        change(&mut row)?;
        let changed = topic.with_row(row)?;
        self.store.transact(|tx| tx.put(&changed.row)).await?;
        self.set(changed);
        Ok(())
    }

    /// Writes a subscription's row, then lets it take effect; the caller holds `admin`.
    pub(crate) async fn save(&self, topic: &Topic, subscription: Subscription) -> Result<()> {
        self.store.transact(|tx| tx.put(&subscription.row)).await?;
        let id = subscription.row.id.clone();
        self.set(topic.with_subscription(&id, Some(subscription)));
        Ok(())
    }

    /// Ends a subscription; the caller holds `admin`.
    pub(crate) async fn end(&self, topic: &Topic, subscription: &Subscription) -> Result<()> {
        let changed = topic.with_subscription(&subscription.row.id, None);
        self.store
            .transact(|tx| {
                tx.delete::<SubscriptionRow>(subscription.row.key())?;
                tx.put(&changed.row)
            })
            .await?;
        self.set(changed);
        Ok(())
    }

    /// Runs a change to its end even when the caller goes away in the midst of it: what is in
    /// memory must learn whether the write was made.
    pub(crate) async fn whole<T: Send + 'static>(
        change: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        match tokio::spawn(change).await {
            Ok(result) => result,
            Err(error) => Err(Refusal::Broken(error.to_string())),
        }
    }
}

/// What a topic's ARN names. Links come without a signature, and so without a region: theirs is
/// the topic's.
pub(crate) fn key_of(cx: &Cx, text: &str) -> Result<TopicKey> {
    let elements = text.split(':').count();
    if elements < 6 {
        let why = format!("An ARN must have at least 6 elements, not {elements}");
        return Err(Refusal::reason("TopicArn", why));
    }
    let wrong = || Refusal::parameter("TopicArn");
    let arn: Arn = text.parse().map_err(|_| wrong())?;
    let region: Region = arn.region.parse().map_err(|_| wrong())?;
    let account: AccountId = arn.account.parse().map_err(|_| wrong())?;
    let here = region == cx.region || cx.caller.is_anonymous();
    if arn.service != "sns" || !here || arn.partition != region.partition() {
        return Err(wrong());
    }
    Ok((region, account, arn.resource))
}

/// Topic and id of a subscription's ARN.
pub(crate) fn subscription_of<'a>(cx: &Cx, arn: &'a str) -> Result<(TopicKey, &'a str)> {
    let wrong = || Refusal::reason("SubscriptionArn", "An ARN of a subscription has 7 elements");
    let (topic, id) = arn.rsplit_once(':').ok_or_else(wrong)?;
    let key = key_of(cx, topic).map_err(|_| wrong())?;
    if key.2.contains(':') || id.len() != 36 {
        return Err(wrong());
    }
    Ok((key, id))
}
