//! What the front door's own pages may know of the inside: background work, resources, reset.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use gureum_kit::reconcile::{Driver, Status};
use gureum_kit::reset::{self, Reset, Whose};
use gureum_kit::{AccountId, Store};
use gureum_schema::{Error, Result, Timestamp};
use gureum_wire::front::Resources;
use serde_json::{Value, json};

pub(crate) struct Inside {
    driver: Driver,
    store: Store,
    keepers: Vec<Arc<dyn Reset>>,
}

impl Inside {
    /// `keepers` are all who keep something for accounts.
    pub(crate) fn new(driver: Driver, store: Store, keepers: Vec<Arc<dyn Reset>>) -> Self {
        Self {
            driver,
            store,
            keepers,
        }
    }
}

impl Resources for Inside {
    fn resource(&self, _id: &str) -> Option<Value> {
        // No resource so far has processes, namespaces or addresses of its own.
        None
    }

    fn status(&self) -> Value {
        let reconcilers: Vec<_> = self.driver.status().iter().map(reconciler).collect();
        json!({ "reconcilers": reconcilers })
    }

    fn reset(
        &self,
        account: Option<AccountId>,
    ) -> Pin<Box<dyn Future<Output = Result<()>> + Send + '_>> {
        Box::pin(async move {
            let whose = account.map_or(Whose::Everybody, Whose::Account);
            let done = reset::reset(&self.store, &self.keepers, whose).await;
            done.map_err(|error| Error::internal(error.to_string()))
        })
    }
}

fn reconciler(status: &Status) -> Value {
    let moment = |at: Option<i64>| at.map(|at| Timestamp(at).to_string());
    json!({
        "name": status.name,
        "running": status.running,
        "runs": status.runs,
        "last_run": moment(status.last_run),
        "last_duration_ms": status.last_duration.as_millis() as u64,
        "last_error": status.last_error,
        "consecutive_errors": status.consecutive_errors,
        "next_run": moment(status.next_run),
    })
}
