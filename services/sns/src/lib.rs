//! SNS: topics, who listens to them, and getting it to them.
//!
//! A publication is one transaction: the message, sealed, and the list of those who get it. So what
//! was acknowledged is delivered, whatever happens in between: to queues (whose own policies decide),
//! to HTTP endpoints, by mail; again and again as the delivery policy says ([`policy`]), and to the
//! dead letters when all was in vain ([`deliver`]).
//!
//! Topics and subscriptions live in memory with their policies and filters compiled ([`topic`]); a
//! change is written, then takes the place of what was there, so a publisher sees a topic as a whole.
//!
//! Invariants:
//! * what was acknowledged is durable; it is delivered at least once, and once for mails and for
//!   FIFO queues, which know repetitions;
//! * within a message group of a FIFO topic nothing overtakes;
//! * nobody is sent messages who has not agreed, by a token that only the endpoint has seen;
//! * no endpoint that is slow holds up another one.
//!
//! Honest gaps: mobile push, SMS, Lambda functions and Firehose streams as endpoints are refused, as
//! are data protection policies, archives and replay, delivery status logs and active tracing.

mod asks;
mod content;
mod deliver;
mod envelope;
mod errors;
mod filter;
mod kms;
mod model;
mod ops;
mod pace;
mod policy;
mod reset;
mod schedule;
mod settings;
mod signing;
mod state;
mod sweep;
mod topic;
mod web;

use std::sync::Arc;

use gureum_dispatch::Service;
use gureum_model_sns::{SERVICE, op};

pub use signing::{KeySource, SigningPem, new_key};
pub use state::{Ground, Sns};

impl Sns {
    /// The table: operation, what it asks of the policy engine, handler.
    pub fn service(self: &Arc<Self>) -> Service {
        use ops::{
            batch, confirm, listing, permissions, publish, subscribe, subscriptions, tags, topics,
        };
        Service::builder(&SERVICE, Arc::clone(self))
            .op_refusing::<op::CreateTopic, _>(
                &["DataProtectionPolicy"],
                asks::create_topic,
                topics::create_topic,
            )
            .op::<op::DeleteTopic, _>(asks::delete_topic, topics::delete_topic)
            .op::<op::ListTopics, _>(asks::list_topics, listing::list_topics)
            .op::<op::GetTopicAttributes, _>(asks::get_topic_attributes, topics::get_attributes)
            .op::<op::SetTopicAttributes, _>(asks::set_topic_attributes, topics::set_attributes)
            .op::<op::AddPermission, _>(asks::add_permission, permissions::add_permission)
            .op::<op::RemovePermission, _>(asks::remove_permission, permissions::remove_permission)
            .op::<op::TagResource, _>(asks::tag, tags::tag)
            .op::<op::UntagResource, _>(asks::untag, tags::untag)
            .op::<op::ListTagsForResource, _>(asks::list_tags, tags::list_tags)
            .op::<op::Subscribe, _>(asks::subscribe, subscribe::subscribe)
            .op::<op::ConfirmSubscription, _>(asks::confirm, confirm::confirm)
            .op::<op::Unsubscribe, _>(asks::unsubscribe, confirm::unsubscribe)
            .op::<op::ListSubscriptions, _>(asks::list_subscriptions, listing::list_subscriptions)
            .op::<op::ListSubscriptionsByTopic, _>(asks::list_by_topic, listing::list_by_topic)
            .op::<op::GetSubscriptionAttributes, _>(
                asks::get_subscription,
                subscriptions::get_attributes,
            )
            .op::<op::SetSubscriptionAttributes, _>(
                asks::set_subscription,
                subscriptions::set_attributes,
            )
            .op_refusing::<op::Publish, _>(&["PhoneNumber"], asks::publish, publish::publish)
            .op::<op::PublishBatch, _>(asks::publish_batch, batch::publish_batch)
            .invalid(errors::invalid)
            .denied(errors::denied)
            .web(Arc::new(web::Certificates(Arc::clone(self))))
            .admit_anonymous()
            .build()
    }
}
