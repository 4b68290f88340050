//! Which events of a bucket are told to whom. `crate::notify` tells them.
//!
//! Source: "Amazon S3 Event Notifications" in the S3 User Guide.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_model_s3::types::{
    FilterRule, GetBucketNotificationConfigurationRequest, NotificationConfiguration,
    NotificationConfigurationFilter, PutBucketNotificationConfigurationOutput,
    PutBucketNotificationConfigurationRequest, QueueConfiguration, S3KeyFilter, TopicConfiguration,
};
use serde::{Deserialize, Serialize};

use super::{Document, Reply};
use crate::S3;
use crate::errors::{Code, Failure, Result};
use crate::notify;

/// Configurations of one bucket, at most.
const MAX_TARGETS: usize = 100;
const MAX_FILTER: usize = 1024;

/// What S3 can tell of here.
const EVENTS: [&str; 18] = [
    "s3:ObjectCreated:*",
    "s3:ObjectCreated:Put",
    "s3:ObjectCreated:Post",
    "s3:ObjectCreated:Copy",
    "s3:ObjectCreated:CompleteMultipartUpload",
    "s3:ObjectRemoved:*",
    "s3:ObjectRemoved:Delete",
    "s3:ObjectRemoved:DeleteMarkerCreated",
    "s3:LifecycleExpiration:*",
    "s3:LifecycleExpiration:Delete",
    "s3:LifecycleExpiration:DeleteMarkerCreated",
    "s3:LifecycleTransition",
    "s3:ObjectTagging:*",
    "s3:ObjectTagging:Put",
    "s3:ObjectTagging:Delete",
    "s3:ObjectAcl:Put",
    // Nothing is ever lost that way here.
    "s3:ReducedRedundancyLostObject",
    "s3:ObjectRestore:Post",
];

/// What AWS can tell of beyond that.
const UNTOLD: [&str; 4] = [
    "s3:ObjectRestore:",
    "s3:Replication:",
    "s3:IntelligentTiering",
    "s3:TestEvent",
];

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Notifications(pub(crate) Vec<Target>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) id: String,
    /// ARN of a queue or of a topic.
    #[serde(alias = "queue")]
    pub(crate) arn: String,
    pub(crate) events: Vec<String>,
    prefix: Option<String>,
    suffix: Option<String>,
}

impl Document for Notifications {
    const KIND: &'static str = "notification";
}

impl Notifications {
    pub(crate) fn read(asked: &NotificationConfiguration) -> Result<Self> {
        let some = |list: Option<usize>| list.is_some_and(|length| length > 0);
        if some(asked.lambda_function_configurations.as_ref().map(Vec::len)) {
            return Err(Failure::not_implemented("Notification through Lambda"));
        }
        if asked.event_bridge_configuration.is_some() {
            return Err(Failure::not_implemented("Notification through EventBridge"));
        }
        let queues = asked.queue_configurations.as_deref().unwrap_or_default();
        let topics = asked.topic_configurations.as_deref().unwrap_or_default();
        if queues.len() + topics.len() > MAX_TARGETS {
            return Err(
                Code::InvalidArgument.says("The notification configuration has too many entries")
            );
        }
        let queues = queues.iter().map(Asked::queue);
        let all = queues.chain(topics.iter().map(Asked::topic));
        let targets: Vec<Target> = all.map(Target::read).collect::<Result<_>>()?;
        for (at, target) in targets.iter().enumerate() {
            let earlier = &targets[..at];
            if earlier.iter().any(|earlier| earlier.id == target.id) {
                return Err(Code::InvalidArgument
                    .says("Same ID used for multiple configurations. IDs must be unique"));
            }
            if earlier.iter().any(|earlier| earlier.overlaps(target)) {
                return Err(Code::InvalidArgument.says(
                    "Configurations overlap. Configurations on the same bucket cannot share a \
                     common event type.",
                ));
            }
        }
        Ok(Self(targets))
    }

    /// Who is to be told of an event, such as `s3:ObjectCreated:Put`, at this key.
    pub(crate) fn of<'a>(
        &'a self,
        event: &'a str,
        key: &'a str,
    ) -> impl Iterator<Item = &'a Target> {
        self.0.iter().filter(move |target| target.wants(event, key))
    }

    fn shown(self) -> NotificationConfiguration {
        let (topics, queues): (Vec<_>, Vec<_>) =
            self.0.into_iter().partition(|target| target.is_topic());
        let queues: Vec<_> = queues.into_iter().map(Target::shown_queue).collect();
        let topics: Vec<_> = topics.into_iter().map(Target::shown_topic).collect();
        NotificationConfiguration {
            queue_configurations: (!queues.is_empty()).then_some(queues),
            topic_configurations: (!topics.is_empty()).then_some(topics),
            ..Default::default()
        }
    }
}

/// What configurations of queues and of topics have in common.
struct Asked<'a> {
    id: Option<&'a String>,
    arn: &'a str,
    events: &'a [String],
    filter: Option<&'a NotificationConfigurationFilter>,
}

impl<'a> Asked<'a> {
    fn queue(asked: &'a QueueConfiguration) -> Self {
        Self {
            id: asked.id.as_ref(),
            arn: &asked.queue_arn,
            events: &asked.events,
            filter: asked.filter.as_ref(),
        }
    }

    fn topic(asked: &'a TopicConfiguration) -> Self {
        Self {
            id: asked.id.as_ref(),
            arn: &asked.topic_arn,
            events: &asked.events,
            filter: asked.filter.as_ref(),
        }
    }
}

impl Target {
    fn read(asked: Asked<'_>) -> Result<Self> {
        let id = asked.id.filter(|id| !id.is_empty()).cloned();
        let mut target = Self {
            id: id.unwrap_or_else(|| id::hex_digits(32)),
            arn: asked.arn.to_owned(),
            events: asked.events.to_vec(),
            ..Default::default()
        };
        if target.events.is_empty() {
            return Err(Code::MalformedXML.error());
        }
        for event in &target.events {
            if EVENTS.contains(&event.as_str()) {
                continue;
            }
            if UNTOLD.iter().any(|start| event.starts_with(start)) {
                return Err(Failure::not_implemented(format!("Notification of {event}")));
            }
            let message = "The event is not supported for notifications";
            return Err(Failure::argument("Event", event, message));
        }
        let filter = asked.filter.and_then(|filter| filter.key.as_ref());
        for rule in filter
            .and_then(|key| key.filter_rules.as_deref())
            .unwrap_or_default()
        {
            target.narrow(rule)?;
        }
        Ok(target)
    }

    fn narrow(&mut self, rule: &FilterRule) -> Result<()> {
        let name = rule
            .name
            .as_deref()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let side = match name.as_str() {
            "prefix" => &mut self.prefix,
            "suffix" => &mut self.suffix,
            other => {
                let message = "filter rule name must be either prefix or suffix";
                return Err(Failure::argument("FilterRule.Name", other, message));
            }
        };
        let value = rule.value.clone().unwrap_or_default();
        if value.len() > MAX_FILTER {
            let message =
                "size of filter rule value cannot exceed 1024 bytes in UTF-8 representation";
            return Err(Failure::argument("FilterRule.Value", value, message));
        }
        if side.replace(value).is_some() {
            return Err(Code::InvalidArgument.says(format!(
                "Cannot specify more than one {name} rule in a filter."
            )));
        }
        Ok(())
    }

    fn wants(&self, event: &str, key: &str) -> bool {
        self.events.iter().any(|wanted| covers(wanted, event))
            && key.starts_with(self.prefix())
            && key.ends_with(self.suffix())
    }

    fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    fn suffix(&self) -> &str {
        self.suffix.as_deref().unwrap_or_default()
    }

    /// Whether some event could be told twice.
    fn overlaps(&self, other: &Self) -> bool {
        let either = |one: &str, two: &str, within: fn(&str, &str) -> bool| {
            within(one, two) || within(two, one)
        };
        let events = self.events.iter().any(|one| {
            other
                .events
                .iter()
                .any(|two| covers(one, two) || covers(two, one))
        });
        events
            && either(self.prefix(), other.prefix(), |long, short| {
                long.starts_with(short)
            })
            && either(self.suffix(), other.suffix(), |long, short| {
                long.ends_with(short)
            })
    }

    pub(crate) fn is_topic(&self) -> bool {
        self.arn.split(':').nth(2) == Some("sns")
    }

    fn shown_queue(self) -> QueueConfiguration {
        QueueConfiguration {
            filter: self.shown_filter(),
            id: Some(self.id),
            queue_arn: self.arn,
            events: self.events,
        }
    }

    fn shown_topic(self) -> TopicConfiguration {
        TopicConfiguration {
            filter: self.shown_filter(),
            id: Some(self.id),
            topic_arn: self.arn,
            events: self.events,
        }
    }

    fn shown_filter(&self) -> Option<NotificationConfigurationFilter> {
        let sides = [("Prefix", &self.prefix), ("Suffix", &self.suffix)];
        let rules: Vec<_> = sides
            .into_iter()
            .filter_map(|(name, value)| {
                let name = Some(name.to_owned());
                value.clone().map(|value| FilterRule {
                    name,
                    value: Some(value),
                })
            })
            .collect();
        (!rules.is_empty()).then_some(NotificationConfigurationFilter {
            key: Some(S3KeyFilter {
                filter_rules: Some(rules),
            }),
        })
    }
}

/// Whether a configured event, which may end in `*`, stands for this one.
fn covers(wanted: &str, event: &str) -> bool {
    match wanted.strip_suffix('*') {
        Some(start) => event.starts_with(start),
        None => wanted == event,
    }
}

pub(crate) async fn put(
    s3: Arc<S3>,
    cx: Cx,
    input: PutBucketNotificationConfigurationRequest,
) -> Reply<PutBucketNotificationConfigurationOutput> {
    let notifications = Notifications::read(&input.notification_configuration)?;
    let bucket = s3.bucket(&input.bucket)?;
    if input.skip_destination_validation != Some(true) {
        notify::greet(&cx, &bucket, &notifications).await?;
    }
    s3.configure(&input.bucket, |tx, bucket| {
        if notifications.0.is_empty() {
            super::delete::<Notifications>(tx, bucket)
        } else {
            super::put(tx, bucket, &notifications)
        }
    })
    .await?;
    Ok(PutBucketNotificationConfigurationOutput::default())
}

pub(crate) async fn get(
    s3: Arc<S3>,
    _: Cx,
    input: GetBucketNotificationConfigurationRequest,
) -> Reply<NotificationConfiguration> {
    let notifications: Option<Notifications> = s3.config(&input.bucket)?;
    Ok(notifications.unwrap_or_default().shown())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(events: &[&str], prefix: &str, suffix: &str) -> QueueConfiguration {
        let rule = |name: &str, value: &str| FilterRule {
            name: Some(name.to_owned()),
            value: Some(value.to_owned()),
        };
        QueueConfiguration {
            queue_arn: "arn:aws:sqs:us-east-1:111122223333:q".to_owned(),
            events: events.iter().map(|&event| event.to_owned()).collect(),
            filter: Some(NotificationConfigurationFilter {
                key: Some(S3KeyFilter {
                    filter_rules: Some(vec![rule("prefix", prefix), rule("Suffix", suffix)]),
                }),
            }),
            id: None,
        }
    }

    fn read(queues: Vec<QueueConfiguration>) -> Result<Notifications> {
        Notifications::read(&NotificationConfiguration {
            queue_configurations: Some(queues),
            ..Default::default()
        })
    }

    #[test]
    fn events_go_to_whom_they_concern() {
        let created = queue(&["s3:ObjectCreated:*"], "in/", ".jpg");
        let removed = queue(&["s3:ObjectRemoved:Delete"], "", "");
        let known = read(vec![created, removed]).expect("two targets");
        let count = |event, key| known.of(event, key).count();
        assert_eq!(count("s3:ObjectCreated:Put", "in/a.jpg"), 1);
        assert_eq!(count("s3:ObjectCreated:Put", "in/a.png"), 0);
        assert_eq!(count("s3:ObjectCreated:Put", "out/a.jpg"), 0);
        assert_eq!(count("s3:ObjectRemoved:Delete", "out/a.jpg"), 1);
        assert_eq!(
            count("s3:ObjectRemoved:DeleteMarkerCreated", "out/a.jpg"),
            0
        );
    }

    #[test]
    fn no_event_may_be_told_twice() {
        let put = |prefix, suffix| queue(&["s3:ObjectCreated:Put"], prefix, suffix);
        let any = |prefix, suffix| queue(&["s3:ObjectCreated:*"], prefix, suffix);
        assert!(read(vec![put("a", ""), any("ab", "")]).is_err());
        assert!(read(vec![put("a", ".jpg"), any("ab", ".png")]).is_ok());
        assert!(read(vec![put("a", ""), any("b", "")]).is_ok());
        assert!(read(vec![put("a", "g"), any("a", ".jpg")]).is_err());
    }

    #[test]
    fn unknown_events_and_places_are_refused() {
        let code =
            |result: Result<Notifications>| result.err().map(|failure| failure.code().to_owned());
        let event = |name| code(read(vec![queue(&[name], "", "")]));
        assert_eq!(
            event("s3:ObjectEaten:*").as_deref(),
            Some("InvalidArgument")
        );
        assert_eq!(event("s3:Replication:*").as_deref(), Some("NotImplemented"));
        let bridge = NotificationConfiguration {
            event_bridge_configuration: Some(Default::default()),
            ..Default::default()
        };
        assert_eq!(
            code(Notifications::read(&bridge)).as_deref(),
            Some("NotImplemented")
        );
    }
}
