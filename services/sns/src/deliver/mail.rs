//! Delivery by e-mail: to people as text, to programs as the document.

use gureum_mail::Mail;

use super::attempt::{Mission, Obstacle, Target};
use crate::content::Kind;
use crate::model::Protocol;
use crate::state::Sns;

const NAME: &str = "AWS Notifications";
const SUBJECT: &str = "AWS Notification Message";
const CONFIRM: &str = "AWS Notification - Subscription Confirmation";
const FAREWELL: &str = "AWS Notification - Unsubscribe Confirmation";

impl Sns {
    pub(super) async fn mail(
        &self,
        mission: &Mission<'_>,
        to: &Target<'_>,
    ) -> Result<(), Obstacle> {
        let content = mission.content;
        let notification = content.kind == Kind::Notification;
        let subject = match &content.kind {
            Kind::Notification => content.subject.as_deref().unwrap_or(SUBJECT),
            Kind::SubscriptionConfirmation(_) => CONFIRM,
            Kind::UnsubscribeConfirmation(_) => FAREWELL,
        };
        let text = match to.protocol {
            Protocol::EmailJson => mission.body(to),
            _ => text(mission, to),
        };
        let name = match content.display_name.as_str() {
            "" => NAME,
            name => name,
        };
        let mail = Mail {
            date: content.at,
            from_name: name.to_owned(),
            from: format!("no-reply@sns.{}", self.domain),
            to: to.endpoint.to_owned(),
            subject: subject.to_owned(),
            text,
            unsubscribe: notification.then(|| mission.letterhead.unsubscribe_url(&to.arn)),
        };
        // One message per subscription: several may be for the same address.
        let subscription = to.arn.rsplit(':').next().unwrap_or_default();
        let id = format!("{}-{subscription}", content.id);
        // A message that the relay did not take comes here again: the mailbox keeps it once.
        let delivered = self.mailbox.deliver(&id, &mail).await;
        delivered.map_err(|error| obstacle(&error, false))?;
        let Some(relay) = &self.relay else {
            return Ok(());
        };
        let secure = async |host: String, tcp| {
            let secured = self.outbound.secure(&host, tcp).await;
            secured.map_err(std::io::Error::other)
        };
        let sent = relay.send(&id, &mail, secure).await;
        sent.map_err(|error| {
            if error.is_of_setup() {
                tracing::warn!(%error, "mail stays here until the relay is set up");
            }
            obstacle(&error, error.is_permanent())
        })
    }
}

fn obstacle(error: &dyn std::error::Error, permanent: bool) -> Obstacle {
    Obstacle {
        code: "MailFailure".into(),
        message: error.to_string(),
        permanent,
    }
}

fn text(mission: &Mission<'_>, to: &Target<'_>) -> String {
    let content = mission.content;
    let link = |token| mission.letterhead.subscribe_url(content, token);
    match &content.kind {
        Kind::Notification => format!(
            "{}\n\n--\nTo stop receiving what this topic sends, open this link:\n{}\n",
            content.text_for(to.protocol),
            mission.letterhead.unsubscribe_url(&to.arn)
        ),
        Kind::SubscriptionConfirmation(token) => format!(
            "This address was subscribed to the topic\n{}\n\nTo confirm the subscription, open this link; if you did not ask for it, do nothing:\n{}\n",
            content.topic,
            link(token)
        ),
        Kind::UnsubscribeConfirmation(token) => format!(
            "Your subscription to the topic\n{}\nhas ended. If that was a mistake, this link brings it back:\n{}\n",
            content.topic,
            link(token)
        ),
    }
}
