//! What a reset deletes: topics, and the subscriptions that these accounts made anywhere. What waits
//! to be delivered finds no topic any more, and goes.

use async_trait::async_trait;
use gureum_kit::reset::{Hold, Reset, Whose};
use gureum_kit::{AccountId, Reader, Row, Scan, StoreError, Tx};

use crate::model::{Former, SubscriptionRow, TopicRow};
use crate::state::Sns;

#[async_trait]
impl Reset for Sns {
    async fn hold(&self) -> Hold<'_> {
        Box::new(self.admin.lock().await)
    }

    fn delete(&self, tx: &mut Tx, whose: Whose) -> Result<(), StoreError> {
        let theirs = |topic: &AccountId, row: &SubscriptionRow| {
            whose.includes(topic) || whose.includes(&row.owner)
        };
        whose.delete::<TopicRow>(tx, |row| &row.account)?;
        let subscriptions: Vec<SubscriptionRow> = tx.scan(Scan::all()).collect::<Result<_, _>>()?;
        for row in subscriptions.iter().filter(|row| theirs(&row.account, row)) {
            tx.delete::<SubscriptionRow>(row.key())?;
        }
        let former: Vec<Former> = tx.scan(Scan::all()).collect::<Result<_, _>>()?;
        let theirs = |row: &&Former| theirs(&row.subscription.account, &row.subscription);
        for row in former.iter().filter(theirs) {
            tx.delete::<Former>(row.key())?;
        }
        Ok(())
    }

    fn deleted(&self, whose: Whose) {
        for topic in self.all() {
            if whose.includes(&topic.row.account) {
                self.remove(&topic.key());
            } else if topic
                .subscriptions
                .iter()
                .any(|one| whose.includes(&one.row.owner))
            {
                self.set(topic.without(whose));
            }
        }
    }
}
