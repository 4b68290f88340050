//! Delivery to HTTP and HTTPS endpoints.
//!
//! Source: <https://docs.aws.amazon.com/sns/latest/dg/http-header.html>

use std::time::Duration;

use gureum_outbound::{Error, HeaderMap, HeaderName, HeaderValue, Request, StatusCode};

use super::attempt::{Mission, Obstacle, Target, policy_of};
use crate::policy::PLAIN;
use crate::state::Sns;

/// How long an endpoint may take to answer.
const DEADLINE: Duration = Duration::from_secs(15);
/// Nobody reads the answer's body.
const LIMIT: usize = 1 << 20;

const AGENT: &str = "Amazon Simple Notification Service Agent";

impl Sns {
    pub(super) async fn post(
        &self,
        mission: &Mission<'_>,
        to: &Target<'_>,
    ) -> Result<(), Obstacle> {
        let policy = policy_of(to);
        if let Some(rate) = policy.rate {
            self.pace.turn(&to.arn, rate, &self.clock).await;
        }
        let request = Request {
            headers: headers(mission, to, policy.content_type.as_deref()),
            deadline: DEADLINE,
            limit: LIMIT,
            ..Request::post(to.endpoint, mission.body(to))
        };
        match self.outbound.send(request).await {
            Ok(answer) => judge(answer.status),
            Err(error) => Err(Obstacle {
                code: "EndpointUnreachable".into(),
                message: error.to_string(),
                permanent: matches!(error, Error::Url(_)),
            }),
        }
    }
}

/// An endpoint that says the request is wrong will say so again; one that is overwhelmed or broken
/// may recover.
fn judge(status: StatusCode) -> Result<(), Obstacle> {
    if status.is_success() {
        return Ok(());
    }
    Err(Obstacle {
        code: status.as_u16().to_string(),
        message: format!("The endpoint answered with status {status}."),
        permanent: status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS,
    })
}

fn headers(mission: &Mission<'_>, to: &Target<'_>, content_type: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let content = mission.content;
    let mut add = |name: &'static str, value: &str| {
        // All of these are ASCII that we have checked; one that isn't is left out.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    add("x-amz-sns-message-type", content.kind.name());
    add("x-amz-sns-message-id", &content.id);
    add("x-amz-sns-topic-arn", &content.topic);
    if !matches!(
        content.kind,
        crate::content::Kind::SubscriptionConfirmation(_)
    ) {
        add("x-amz-sns-subscription-arn", &to.arn);
    }
    if mission.is_raw(to) {
        add("x-amz-sns-rawdelivery", "true");
    }
    add("content-type", content_type.unwrap_or(PLAIN));
    add("user-agent", AGENT);
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_endpoint_answers_decides() {
        let permanent = |status| judge(status).err().map(|obstacle| obstacle.permanent);
        assert_eq!(permanent(StatusCode::NO_CONTENT), None);
        assert_eq!(permanent(StatusCode::NOT_FOUND), Some(true));
        assert_eq!(permanent(StatusCode::TOO_MANY_REQUESTS), Some(false));
        assert_eq!(permanent(StatusCode::SERVICE_UNAVAILABLE), Some(false));
        assert_eq!(permanent(StatusCode::FOUND), Some(false));
    }
}
