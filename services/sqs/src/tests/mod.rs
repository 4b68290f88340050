//! The service as its callers know it, at hours of our choosing.

mod crowd;
mod dead;
mod fifo;
mod oracle;
mod queues;
mod standard;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gureum_dispatch::{Caller, Cloud, Credential, Cx, Identities, RequestInfo};
use gureum_kit::reconcile::Running;
use gureum_kit::{AccountId, Clock, Driver, Region, Shutdown, Store};
use gureum_model_sqs::{op, types as t};
use gureum_schema::{Error, Operation, Result, Timestamp};

use crate::Sqs;

pub(super) const ACCOUNT: &str = "123456789012";
const START: i64 = 1_700_000_000_000;

struct Nobody;

impl Identities for Nobody {
    fn credential(&self, _: &str) -> Result<Option<Credential>> {
        Ok(None)
    }

    fn used(&self, _: &Caller, _: &'static str, _: &str, _: Timestamp) {}
}

/// A cloud with nothing but SQS in it, and the root of an account as its caller.
pub(super) struct Bench {
    pub(super) clock: Clock,
    store: Store,
    cloud: Arc<Cloud>,
    sqs: Arc<Sqs>,
    caller: Arc<Caller>,
    shutdown: Shutdown,
    _running: Running,
}

impl Bench {
    pub(super) async fn new() -> Self {
        Self::over(Store::memory(), Clock::manual(START)).await
    }

    async fn over(store: Store, clock: Clock) -> Self {
        let driver = Driver::new(clock.clone());
        let sqs = Sqs::open(store.clone(), clock.clone(), &[9; 32], &driver)
            .await
            .expect("open");
        let cloud = Cloud::builder(Arc::new(Nobody), clock.clone(), Region::default())
            .service(sqs.service())
            .build();
        let shutdown = Shutdown::new();
        let running = driver.start(sqs.reconcilers(), &shutdown);
        Self {
            caller: Arc::new(Caller::root(account(ACCOUNT))),
            clock,
            store,
            cloud,
            sqs,
            shutdown,
            _running: running,
        }
    }

    /// The same store and time in a new process, as after a kill.
    pub(super) async fn restart(self) -> Self {
        self.shutdown.begin();
        Self::over(self.store.clone(), self.clock.clone()).await
    }

    pub(super) fn set_caller(&mut self, caller: Caller) {
        self.caller = Arc::new(caller);
    }

    pub(super) fn cx(&self) -> Cx {
        let request = RequestInfo {
            id: "r".into(),
            source_ip: std::net::Ipv4Addr::LOCALHOST.into(),
            secure: false,
            user_agent: String::new(),
            endpoint: "http://localhost:4566".into(),
            origin: None,
            auth_type: "REST-HEADER",
            signature_age: 0,
            content_sha256: None,
        };
        self.cloud
            .cx(Arc::clone(&self.caller), Region::default(), request)
    }

    pub(super) async fn call<O: Operation>(&self, input: O::In) -> Result<O::Out> {
        self.cx().call::<O>(input).await
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(super) fn pass_ms(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }

    /// Makes a queue; returns its URL.
    pub(super) async fn queue(&self, name: &str, attributes: &[(&str, &str)]) -> String {
        self.try_queue(name, attributes).await.expect("queue")
    }

    pub(super) async fn try_queue(
        &self,
        name: &str,
        attributes: &[(&str, &str)],
    ) -> Result<String> {
        let input = t::CreateQueueRequest {
            queue_name: name.into(),
            attributes: Some(map(attributes)),
            ..Default::default()
        };
        let made = self.call::<op::CreateQueue>(input).await?;
        Ok(made.queue_url.expect("url"))
    }

    pub(super) async fn set(&self, url: &str, name: &str, value: &str) -> Result<()> {
        let input = t::SetQueueAttributesRequest {
            queue_url: url.into(),
            attributes: map(&[(name, value)]),
        };
        self.call::<op::SetQueueAttributes>(input).await.map(|_| ())
    }

    pub(super) async fn attribute(&self, url: &str, name: &str) -> String {
        let input = t::GetQueueAttributesRequest {
            queue_url: url.into(),
            attribute_names: Some(vec![name.into()]),
        };
        let got = self.call::<op::GetQueueAttributes>(input).await;
        let mut attributes = got.expect("attributes").attributes.unwrap_or_default();
        attributes.remove(name).unwrap_or_default()
    }

    pub(super) async fn send(&self, url: &str, body: &str) -> t::SendMessageResult {
        self.try_send(message(url, body)).await.expect("sent")
    }

    pub(super) async fn try_send(
        &self,
        input: t::SendMessageRequest,
    ) -> Result<t::SendMessageResult> {
        self.call::<op::SendMessage>(input).await
    }

    pub(super) async fn receive(&self, url: &str) -> Vec<t::Message> {
        self.receive_with(receive(url)).await.expect("received")
    }

    pub(super) async fn receive_with(
        &self,
        input: t::ReceiveMessageRequest,
    ) -> Result<Vec<t::Message>> {
        let got = self.call::<op::ReceiveMessage>(input).await?;
        Ok(got.messages.unwrap_or_default())
    }

    pub(super) async fn bodies(&self, url: &str) -> Vec<String> {
        let got = self.receive(url).await;
        got.into_iter().map(|m| m.body.expect("body")).collect()
    }

    pub(super) async fn delete(&self, url: &str, message: &t::Message) -> Result<()> {
        let input = t::DeleteMessageRequest {
            queue_url: url.into(),
            receipt_handle: message.receipt_handle.clone().expect("handle"),
        };
        self.call::<op::DeleteMessage>(input).await.map(|_| ())
    }

    pub(super) async fn hide(&self, url: &str, message: &t::Message, seconds: i32) -> Result<()> {
        let input = t::ChangeMessageVisibilityRequest {
            queue_url: url.into(),
            receipt_handle: message.receipt_handle.clone().expect("handle"),
            visibility_timeout: seconds,
        };
        let done = self.call::<op::ChangeMessageVisibility>(input).await;
        done.map(|_| ())
    }
}

pub(super) fn account(text: &str) -> AccountId {
    text.parse().expect("account")
}

pub(super) fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
    pairs.iter().map(owned).collect()
}

pub(super) fn message(url: &str, body: &str) -> t::SendMessageRequest {
    t::SendMessageRequest {
        queue_url: url.into(),
        message_body: body.into(),
        ..Default::default()
    }
}

/// All that ten can carry, with every attribute.
pub(super) fn receive(url: &str) -> t::ReceiveMessageRequest {
    t::ReceiveMessageRequest {
        queue_url: url.into(),
        max_number_of_messages: Some(10),
        message_system_attribute_names: Some(vec!["All".into()]),
        message_attribute_names: Some(vec!["All".into()]),
        ..Default::default()
    }
}

pub(super) fn code<T: std::fmt::Debug>(result: Result<T>) -> String {
    let error: Error = result.expect_err("an error");
    error.code.into_owned()
}

pub(super) fn system<'a>(message: &'a t::Message, name: &str) -> &'a str {
    let attributes = message.attributes.as_ref().expect("attributes");
    attributes.get(name).map_or("", String::as_str)
}
