//! CreateQueue, DeleteQueue, GetQueueUrl, ListQueues.

use std::collections::BTreeMap;
use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::Row;
use gureum_model_sqs::types as t;

use super::settings::bind_policy;
use super::tags;
use crate::errors::{Refusal, Result};
use crate::model::{QueueKey, QueueRow, Tombstone};
use crate::queue::Queue;
use crate::settings::{SET, Settings};
use crate::state::{Sqs, key_of, url_of};
use crate::sweep::NAME_TAKEN;

/// The most queues that one listing names.
const PAGE: usize = 1000;

pub(crate) async fn create_queue(
    sqs: Arc<Sqs>,
    cx: Cx,
    input: t::CreateQueueRequest,
) -> gureum_schema::Result<t::CreateQueueResult> {
    let mut attributes = input.attributes.unwrap_or_default();
    bind_policy(&cx, &mut attributes)?;
    let fifo = check_name(&input.queue_name, &attributes)?;
    let tags = input.tags.unwrap_or_default();
    tags::check(&tags)?;
    let key = (cx.region.clone(), *cx.account(), input.queue_name);
    let creation = Arc::clone(&sqs);
    let queue =
        Sqs::whole(async move { creation.create(key, fifo, &attributes, tags).await }).await?;
    Ok(t::CreateQueueResult {
        queue_url: Some(url_of(&cx, &queue)),
    })
}

/// Whether it is the name of a FIFO queue; refuses what is no name.
fn check_name(name: &str, attributes: &BTreeMap<String, String>) -> Result<bool> {
    let fifo = match attributes.get("FifoQueue").map(String::as_str) {
        None => false,
        Some(value) if value.eq_ignore_ascii_case("true") => true,
        // AWS takes no other value, not even "false".
        Some(_) => return Err(Refusal::AttributeName("FifoQueue".into())),
    };
    let wrong = |message: &str| Err(Refusal::Parameters(message.to_owned()));
    if name.is_empty() {
        return Err(Refusal::missing("QueueName"));
    }
    let stem = match name.strip_suffix(".fifo") {
        Some(stem) if fifo => stem,
        None if fifo => {
            return wrong(
                "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length.",
            );
        }
        _ => name,
    };
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if stem.is_empty() || name.len() > 80 || !stem.bytes().all(good) {
        return wrong(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length",
        );
    }
    Ok(fifo)
}

impl Sqs {
    async fn create(
        &self,
        key: QueueKey,
        fifo: bool,
        attributes: &BTreeMap<String, String>,
        tags: BTreeMap<String, String>,
    ) -> Result<Arc<Queue>> {
        let _turn = self.admin.lock().await;
        let now = self.clock.now();
        if let Some(queue) = self.find(&key) {
            same(&queue.config().row.settings, attributes)?;
            return Ok(queue);
        }
        let deleted = self.deleted_at(&key);
        if deleted.is_some_and(|at| now < at + NAME_TAKEN) {
            return Err(Refusal::DeletedRecently);
        }
        let mut settings = Settings {
            fifo,
            ..Settings::default()
        };
        let (region, account, name) = key.clone();
        apply(&mut settings, attributes)?;
        let row = QueueRow {
            region,
            account,
            name,
            id: self.number(),
            created: now,
            modified: now,
            settings,
            tags,
            purged: 0,
            purged_at: None,
        };
        self.check_settings(&row)?;
        self.store
            .transact(|tx| {
                tx.delete::<Tombstone>(row.key())?;
                tx.put(&row)
            })
            .await?;
        let queue = Arc::new(Queue::new(row));
        self.add(key, Arc::clone(&queue));
        Ok(queue)
    }
}

/// Sets all attributes but `FifoQueue`, which was dealt with before.
pub(crate) fn apply(settings: &mut Settings, attributes: &BTreeMap<String, String>) -> Result<()> {
    let others = attributes.iter().filter(|(name, _)| *name != "FifoQueue");
    for (name, value) in others {
        settings.set(name, value)?;
    }
    settings.check()
}

/// Creating a queue that exists is fine as long as no attribute would differ.
fn same(settings: &Settings, attributes: &BTreeMap<String, String>) -> Result<()> {
    let mut wanted = settings.clone();
    apply(&mut wanted, attributes)?;
    let differing = SET
        .iter()
        .find(|name| settings.get(name) != wanted.get(name));
    match differing {
        Some(name) => Err(Refusal::QueueExists {
            attribute: (*name).to_owned(),
        }),
        None => Ok(()),
    }
}

pub(crate) async fn delete_queue(
    sqs: Arc<Sqs>,
    cx: Cx,
    input: t::DeleteQueueRequest,
) -> gureum_schema::Result<t::DeleteQueueOutput> {
    let key = key_of(&cx, &input.queue_url)?;
    Sqs::whole(async move { sqs.remove(key).await }).await?;
    Ok(t::DeleteQueueOutput {})
}

impl Sqs {
    /// The queue is gone at once; the rows of its messages are swept up later.
    async fn remove(&self, key: QueueKey) -> Result<()> {
        let _turn = self.admin.lock().await;
        let queue = self.find(&key).ok_or(Refusal::NoSuchQueue)?;
        let now = self.clock.now();
        let (region, account, name) = key.clone();
        let stone = Tombstone {
            region,
            account,
            name,
            deleted: now,
        };
        self.store
            .transact(|tx| {
                tx.delete::<QueueRow>(key.clone())?;
                tx.put(&stone)
            })
            .await?;
        self.drop_queue(&key, now);
        self.close(&queue, now);
        self.wake_sweep.wake();
        Ok(())
    }

    /// Nothing is received from the queue any more, and what it holds is swept.
    pub(crate) fn close(&self, queue: &Queue, now: i64) {
        queue.close();
        // What is being written at this moment is found without a queue at the next start.
        let mut locked = queue.lock(now);
        locked.index.purge(u64::MAX);
        for message in locked.index.take_trash() {
            self.sweep.message(message);
        }
        for key in locked.window.close() {
            self.sweep.orphan(queue.id, key);
        }
    }
}

pub(crate) async fn get_queue_url(
    sqs: Arc<Sqs>,
    cx: Cx,
    input: t::GetQueueUrlRequest,
) -> gureum_schema::Result<t::GetQueueUrlResult> {
    let owner = input.queue_owner_aws_account_id.as_deref();
    let owner = owner.unwrap_or(cx.caller.account.as_str());
    let queue = sqs.at(&cx, &format!("/{owner}/{}", input.queue_name))?;
    Ok(t::GetQueueUrlResult {
        queue_url: Some(url_of(&cx, &queue)),
    })
}

pub(crate) async fn list_queues(
    sqs: Arc<Sqs>,
    cx: Cx,
    input: t::ListQueuesRequest,
) -> gureum_schema::Result<t::ListQueuesResult> {
    let prefix = input.queue_name_prefix.unwrap_or_default();
    let account = *cx.account();
    let scope = format!("ListQueues {} {account} {prefix}", cx.region);
    let page = Page::read(&sqs, &scope, input.max_results, input.next_token.as_deref())?;
    let queues = sqs.list(
        &cx.region,
        account,
        &prefix,
        page.after.as_deref(),
        page.most + 1,
    );
    let (queues, next_token) = page.cut(&sqs, &scope, queues);
    let urls: Vec<String> = queues.iter().map(|queue| url_of(&cx, queue)).collect();
    Ok(t::ListQueuesResult {
        queue_urls: (!urls.is_empty()).then_some(urls),
        next_token,
    })
}

/// A page of a listing of queues, in the order of their names.
pub(crate) struct Page {
    pub(crate) most: usize,
    pub(crate) after: Option<String>,
    /// Without `MaxResults` there is one page only.
    paged: bool,
}

impl Page {
    pub(crate) fn read(
        sqs: &Sqs,
        scope: &str,
        max_results: Option<i32>,
        token: Option<&str>,
    ) -> Result<Self> {
        let most = match max_results {
            None => PAGE,
            Some(most @ 1..=1000) => most as usize,
            Some(most) => {
                return Err(Refusal::value(
                    "MaxResults",
                    most,
                    "MaxResults must be an integer between 1 and 1000.",
                ));
            }
        };
        let read = |token: &str| {
            let name = sqs.keys.verify(scope, token);
            let name = name.and_then(|name| String::from_utf8(name).ok());
            name.ok_or_else(|| Refusal::Parameters("Invalid or expired next token.".into()))
        };
        let token = token.filter(|token| !token.is_empty());
        Ok(Self {
            most,
            after: token.map(read).transpose()?,
            paged: max_results.is_some(),
        })
    }

    /// Cuts one queue too many off, and says how to go on.
    pub(crate) fn cut(
        &self,
        sqs: &Sqs,
        scope: &str,
        mut queues: Vec<Arc<Queue>>,
    ) -> (Vec<Arc<Queue>>, Option<String>) {
        let more = queues.len() > self.most;
        queues.truncate(self.most);
        let last = queues.last().filter(|_| more && self.paged);
        let token = last.map(|queue| sqs.keys.sign(scope, queue.arn.resource.as_bytes()));
        (queues, token)
    }
}
