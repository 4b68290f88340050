//! ListTopics, ListSubscriptions, ListSubscriptionsByTopic: pages of a hundred.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_sns::types as t;

use crate::errors::{Refusal, Result};
use crate::state::Sns;
use crate::topic::Subscription;

const PAGE: usize = 100;

impl Sns {
    /// The position in a token of this listing.
    fn after(&self, scope: &str, token: Option<&str>) -> Result<String> {
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Ok(String::new());
        };
        let position = self.tokens.open(scope, token);
        let position = position.and_then(|position| String::from_utf8(position).ok());
        position.ok_or_else(|| Refusal::reason("NextToken", "Invalid token"))
    }

    /// The token for what comes after one full page; `items` has one more if there is more.
    fn cut<T>(&self, scope: &str, items: &mut Vec<T>, position: fn(&T) -> &str) -> Option<String> {
        let more = items.len() > PAGE;
        items.truncate(PAGE);
        let last = items.last().filter(|_| more)?;
        Some(self.tokens.seal(scope, position(last).as_bytes()))
    }
}

pub(crate) async fn list_topics(
    sns: Arc<Sns>,
    cx: Cx,
    input: t::ListTopicsInput,
) -> gureum_schema::Result<t::ListTopicsResponse> {
    let scope = format!("sns:ListTopics {} {}", cx.region, cx.account());
    let after = sns.after(&scope, input.next_token.as_deref())?;
    let mut topics = sns.topics_of(&cx.region, *cx.account(), &after, PAGE + 1);
    let next_token = sns.cut(&scope, &mut topics, |topic| &topic.row.name);
    let topics = topics.iter().map(|topic| t::Topic {
        topic_arn: Some(topic.arn.clone()),
    });
    Ok(t::ListTopicsResponse {
        topics: Some(topics.collect()),
        next_token,
    })
}

/// The subscriptions that the caller's account made, whosever the topics are.
pub(crate) async fn list_subscriptions(
    sns: Arc<Sns>,
    cx: Cx,
    input: t::ListSubscriptionsInput,
) -> gureum_schema::Result<t::ListSubscriptionsResponse> {
    let scope = format!("sns:ListSubscriptions {} {}", cx.region, cx.account());
    let topics = sns.topics_in(&cx.region);
    let all = topics.iter().flat_map(|topic| topic.subscriptions.iter());
    let own = all.filter(|one| one.row.owner == *cx.account());
    let (subscriptions, next_token) =
        page(&sns, &scope, own.cloned(), input.next_token.as_deref())?;
    Ok(t::ListSubscriptionsResponse {
        subscriptions: Some(subscriptions),
        next_token,
    })
}

pub(crate) async fn list_by_topic(
    sns: Arc<Sns>,
    cx: Cx,
    input: t::ListSubscriptionsByTopicInput,
) -> gureum_schema::Result<t::ListSubscriptionsByTopicResponse> {
    let topic = sns.at(&cx, &input.topic_arn)?;
    let scope = format!("sns:ListSubscriptionsByTopic {}", topic.arn);
    let all = topic.subscriptions.iter().cloned();
    let (subscriptions, next_token) = page(&sns, &scope, all, input.next_token.as_deref())?;
    Ok(t::ListSubscriptionsByTopicResponse {
        subscriptions: Some(subscriptions),
        next_token,
    })
}

fn page(
    sns: &Sns,
    scope: &str,
    all: impl Iterator<Item = Arc<Subscription>>,
    token: Option<&str>,
) -> Result<(Vec<t::Subscription>, Option<String>)> {
    let after = sns.after(scope, token)?;
    let mut found: Vec<_> = all.filter(|one| one.arn > after).collect();
    found.sort_by(|a, b| a.arn.cmp(&b.arn));
    found.truncate(PAGE + 1);
    let next = sns.cut(scope, &mut found, |one| &one.arn);
    let shown = found.iter().map(|one| t::Subscription {
        subscription_arn: Some(one.listed_arn()),
        owner: Some(one.row.owner.to_string()),
        protocol: Some(one.row.protocol.name().to_owned()),
        endpoint: Some(one.row.endpoint.clone()),
        topic_arn: one.arn.rsplit_once(':').map(|(topic, _)| topic.to_owned()),
    });
    Ok((shown.collect(), next))
}
