//! Delivery policies: how often, and how long apart, an endpoint is tried.
//!
//! Source: <https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html>

use serde_json::{Map, Value, json};

type Result<T> = std::result::Result<T, String>;

/// The phases of trying again. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Retries {
    /// How many tries after the first, in all.
    all: u32,
    /// At once.
    immediate: u32,
    /// `low` apart, before the pauses grow.
    early: u32,
    /// `high` apart, after they have grown.
    late: u32,
    low: u32,
    high: u32,
    growth: Growth,
}

/// How pauses grow from the shortest to the longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    Linear,
    Arithmetic,
    Geometric,
    Exponential,
}

/// What AWS does for endpoints of its own, over 23 days.
pub(crate) const MANAGED: Retries = Retries {
    all: 100_015,
    immediate: 3,
    early: 2,
    late: 100_000,
    low: 1_000,
    high: 20_000,
    growth: Growth::Exponential,
};

/// Mail, over six hours.
pub(crate) const MAIL: Retries = Retries {
    all: 50,
    immediate: 0,
    early: 2,
    late: 38,
    low: 10_000,
    high: 600_000,
    growth: Growth::Exponential,
};

/// HTTP endpoints for which nothing is set: three times, 20 s apart.
const WEB: Retries = Retries {
    all: 3,
    immediate: 0,
    early: 0,
    late: 0,
    low: 20_000,
    high: 20_000,
    growth: Growth::Linear,
};

impl Retries {
    /// The pause before the next try after so many that failed; `None` when it was the last one.
    pub(crate) fn pause(&self, failed: u32) -> Option<i64> {
        let nth = failed.checked_sub(1)?;
        if nth >= self.all {
            return None;
        }
        let growing = self.immediate + self.early;
        let late = self.all - self.late;
        let pause = match nth {
            _ if nth < self.immediate => 0,
            _ if nth < growing => self.low,
            _ if nth >= late => self.high,
            _ => self.grown(nth - growing, late - growing),
        };
        Some(i64::from(pause))
    }

    /// The pause at `step` of `steps` between the shortest and the longest.
    fn grown(&self, step: u32, steps: u32) -> u32 {
        let (low, high) = (f64::from(self.low), f64::from(self.high));
        let share = match steps {
            0 | 1 => 0.0,
            _ => f64::from(step) / f64::from(steps - 1),
        };
        let pause = match self.growth {
            Growth::Linear => low + (high - low) * share,
            // The steps themselves grow by the same amount each time.
            Growth::Arithmetic => low + (high - low) * share * (share + 1.0) / 2.0,
            Growth::Geometric => low * (high / low).powf(share),
            // Doubling, until the longest is reached.
            Growth::Exponential => (low * 2_f64.powi(step.min(30).cast_signed())).min(high),
        };
        pause as u32
    }
}

/// A delivery policy as it takes effect for an HTTP subscription.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DeliveryPolicy {
    pub(crate) retries: Retries,
    /// At most so many in a second.
    pub(crate) rate: Option<u32>,
    pub(crate) content_type: Option<String>,
    /// The topic's policy holds whatever subscriptions say.
    sole: bool,
}

impl Default for DeliveryPolicy {
    fn default() -> Self {
        Self {
            retries: WEB,
            rate: None,
            content_type: None,
            sole: false,
        }
    }
}

/// The content types that a request policy may name, without parameters.
const CONTENT_TYPES: [&str; 8] = [
    "application/atom+xml",
    "application/json",
    "application/octet-stream",
    "application/soap+xml",
    "application/x-www-form-urlencoded",
    "application/xml",
    "text/html",
    "text/plain",
];

impl DeliveryPolicy {
    /// Reads a topic's policy, `{"http": {"defaultHealthyRetryPolicy": …}}`.
    pub(crate) fn of_topic(text: &str) -> Result<Self> {
        let root = object(text)?;
        known(&root, &["http"])?;
        let empty = Map::new();
        let http = section(&root, "http")?.unwrap_or(&empty);
        known(
            http,
            &[
                "defaultHealthyRetryPolicy",
                "defaultThrottlePolicy",
                "defaultRequestPolicy",
                "disableSubscriptionOverrides",
            ],
        )?;
        let sole = http.get("disableSubscriptionOverrides");
        Ok(Self {
            sole: sole.is_some_and(|sole| *sole == true),
            ..Self::read(
                http,
                "defaultHealthyRetryPolicy",
                "defaultThrottlePolicy",
                "defaultRequestPolicy",
            )?
        })
    }

    /// Reads a subscription's policy, `{"healthyRetryPolicy": …}`.
    pub(crate) fn of_subscription(text: &str) -> Result<Self> {
        let root = object(text)?;
        known(
            &root,
            &[
                "healthyRetryPolicy",
                "throttlePolicy",
                "requestPolicy",
                "sicklyRetryPolicy",
                "guaranteed",
            ],
        )?;
        Self::read(
            &root,
            "healthyRetryPolicy",
            "throttlePolicy",
            "requestPolicy",
        )
    }

    fn read(from: &Map<String, Value>, retry: &str, throttle: &str, request: &str) -> Result<Self> {
        let mut policy = Self::default();
        if let Some(retry) = section(from, retry)? {
            policy.retries = retries(retry)?;
        }
        if let Some(throttle) = section(from, throttle)? {
            policy.rate = whole(throttle, "maxReceivesPerSecond", 1, 100_000)?;
        }
        if let Some(request) = section(from, request)? {
            policy.content_type = content_type(request)?;
        }
        Ok(policy)
    }

    /// What holds for a subscription, given its own policy and its topic's.
    pub(crate) fn effective(own: Option<&Self>, topic: Option<&Self>) -> Self {
        match (own, topic) {
            (_, Some(topic)) if topic.sole => topic.clone(),
            (Some(own), _) => own.clone(),
            (None, Some(topic)) => topic.clone(),
            (None, None) => Self::default(),
        }
    }

    /// As `EffectiveDeliveryPolicy` of a topic shows it.
    pub(crate) fn shown_for_topic(&self) -> String {
        let mut http = json!({
            "defaultHealthyRetryPolicy": self.retries.shown(),
            "disableSubscriptionOverrides": self.sole,
        });
        if let Some(rate) = self.rate {
            http["defaultThrottlePolicy"] = json!({ "maxReceivesPerSecond": rate });
        }
        http["defaultRequestPolicy"] = json!({ "headerContentType": self.shown_type() });
        json!({ "http": http }).to_string()
    }

    /// As `EffectiveDeliveryPolicy` of a subscription shows it.
    pub(crate) fn shown_for_subscription(&self) -> String {
        let mut shown = json!({
            "healthyRetryPolicy": self.retries.shown(),
            "requestPolicy": { "headerContentType": self.shown_type() },
            "guaranteed": false,
        });
        if let Some(rate) = self.rate {
            shown["throttlePolicy"] = json!({ "maxReceivesPerSecond": rate });
        }
        shown.to_string()
    }

    fn shown_type(&self) -> &str {
        self.content_type.as_deref().unwrap_or(PLAIN)
    }
}

/// The content type of requests for which nothing else is set.
pub(crate) const PLAIN: &str = "text/plain; charset=UTF-8";

impl Retries {
    fn shown(&self) -> Value {
        let growth = match self.growth {
            Growth::Linear => "linear",
            Growth::Arithmetic => "arithmetic",
            Growth::Geometric => "geometric",
            Growth::Exponential => "exponential",
        };
        json!({
            "minDelayTarget": self.low / 1000,
            "maxDelayTarget": self.high / 1000,
            "numRetries": self.all,
            "numNoDelayRetries": self.immediate,
            "numMinDelayRetries": self.early,
            "numMaxDelayRetries": self.late,
            "backoffFunction": growth,
        })
    }
}

fn object(text: &str) -> Result<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err("failed to parse JSON.".into()),
    }
}

fn section<'v>(from: &'v Map<String, Value>, name: &str) -> Result<Option<&'v Map<String, Value>>> {
    match from.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(section)) => Ok(Some(section)),
        Some(_) => Err(format!("{name} must be an object")),
    }
}

fn known(object: &Map<String, Value>, names: &[&str]) -> Result<()> {
    match object.keys().find(|key| !names.contains(&key.as_str())) {
        Some(key) => Err(format!("Unexpected JSON member: {key}")),
        None => Ok(()),
    }
}

fn whole(from: &Map<String, Value>, name: &str, least: u32, most: u32) -> Result<Option<u32>> {
    let number = match from.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value.as_u64().and_then(|number| u32::try_from(number).ok()),
    };
    match number {
        Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
        Some(number) if number < least => {
            Err(format!("{name} must be greater than or equal to {least}"))
        }
        _ => Err(format!("{name} must be a whole number of at most {most}")),
    }
}

fn retries(from: &Map<String, Value>) -> Result<Retries> {
    known(
        from,
        &[
            "minDelayTarget",
            "maxDelayTarget",
            "numRetries",
            "numNoDelayRetries",
            "numMinDelayRetries",
            "numMaxDelayRetries",
            "backoffFunction",
        ],
    )?;
    let count = |name| Ok::<_, String>(whole(from, name, 0, 100)?.unwrap_or(0));
    let low = whole(from, "minDelayTarget", 1, 3600)?.unwrap_or(20);
    let high = whole(from, "maxDelayTarget", 1, 3600)?.unwrap_or(low.max(20));
    if low > high {
        return Err("minDelayTarget must be less than or equal to maxDelayTarget".into());
    }
    let growth = match from.get("backoffFunction").map(Value::as_str) {
        None | Some(Some("linear")) => Growth::Linear,
        Some(Some("arithmetic")) => Growth::Arithmetic,
        Some(Some("geometric")) => Growth::Geometric,
        Some(Some("exponential")) => Growth::Exponential,
        _ => {
            return Err(
                "backoffFunction must be one of: linear, arithmetic, geometric, exponential".into(),
            );
        }
    };
    let retries = Retries {
        all: whole(from, "numRetries", 0, 100)?.unwrap_or(3),
        immediate: count("numNoDelayRetries")?,
        early: count("numMinDelayRetries")?,
        late: count("numMaxDelayRetries")?,
        low: low * 1000,
        high: high * 1000,
        growth,
    };
    if retries.immediate + retries.early + retries.late > retries.all {
        return Err(
            "numRetries must be greater than or equal to total of numMinDelayRetries, numNoDelayRetries and numMaxDelayRetries"
                .into(),
        );
    }
    Ok(retries)
}

fn content_type(from: &Map<String, Value>) -> Result<Option<String>> {
    known(from, &["headerContentType"])?;
    let Some(value) = from.get("headerContentType") else {
        return Ok(None);
    };
    let text = value.as_str().unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim();
    let printable = text.bytes().all(|b| (b' '..=b'~').contains(&b));
    if CONTENT_TYPES.contains(&kind) && printable {
        Ok(Some(text.to_owned()))
    } else {
        Err("headerContentType is not supported".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses(retries: &Retries) -> Vec<i64> {
        (1..).map_while(|failed| retries.pause(failed)).collect()
    }

    #[test]
    fn phases_follow_one_another() {
        let policy = DeliveryPolicy::of_subscription(
            r#"{"healthyRetryPolicy": {"minDelayTarget": 1, "maxDelayTarget": 60, "numRetries": 12,
                "numNoDelayRetries": 3, "numMinDelayRetries": 2, "numMaxDelayRetries": 2,
                "backoffFunction": "exponential"}}"#,
        );
        let pauses = pauses(&policy.expect("policy").retries);
        let seconds: Vec<_> = pauses.iter().map(|pause| pause / 1000).collect();
        assert_eq!(seconds, [0, 0, 0, 1, 1, 1, 2, 4, 8, 16, 60, 60]);
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        assert_eq!(pauses(&WEB), [20_000; 3]);
        assert_eq!(pauses(&MAIL).len(), 50);
        assert_eq!(pauses(&MANAGED).len(), 100_015);
        assert!(pauses(&MANAGED).iter().sum::<i64>() > 23 * 86_400_000);
    }

    #[test]
    fn every_growth_goes_from_the_shortest_to_the_longest() {
        for growth in ["linear", "arithmetic", "geometric", "exponential"] {
            let text = json!({"healthyRetryPolicy": {
                "minDelayTarget": 1, "maxDelayTarget": 100, "numRetries": 10, "backoffFunction": growth,
            }});
            let policy = DeliveryPolicy::of_subscription(&text.to_string()).expect(growth);
            let pauses = pauses(&policy.retries);
            assert!(pauses.is_sorted(), "{growth}: {pauses:?}");
            assert_eq!(pauses.first(), Some(&1_000), "{growth}");
            assert_eq!(pauses.last(), Some(&100_000), "{growth}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "[]",
            r#"{"other": 1}"#,
            r#"{"healthyRetryPolicy": {"numRetries": 101}}"#,
            r#"{"healthyRetryPolicy": {"numRetries": 1, "numNoDelayRetries": 2}}"#,
            r#"{"healthyRetryPolicy": {"minDelayTarget": 5, "maxDelayTarget": 4}}"#,
            r#"{"healthyRetryPolicy": {"backoffFunction": "cubic"}}"#,
            r#"{"requestPolicy": {"headerContentType": "image/png"}}"#,
        ] {
            assert!(DeliveryPolicy::of_subscription(text).is_err(), "{text}");
        }
    }
}
