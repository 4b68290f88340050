//! What the front door's own pages may know of the inside: background work, resources, reset.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use gureum_ec2::{Ec2, Told};
use gureum_kit::reconcile::{Driver, Status};
use gureum_kit::reset::{self, Reset, Whose};
use gureum_kit::{AccountId, Store};
use gureum_schema::{Error, Result, Timestamp};
use gureum_wire::front::Resources;
use serde_json::{Value, json};

use crate::figures::Gauge;
use crate::machines::{Host, Traces};

pub(crate) struct Inside {
    driver: Driver,
    store: Store,
    keepers: Vec<Arc<dyn Reset>>,
    ec2: Arc<Ec2>,
    host: Arc<Host>,
    gauge: Arc<Gauge>,
}

impl Inside {
    /// `keepers` are all who keep something for accounts.
    pub(crate) fn new(
        driver: Driver,
        store: Store,
        keepers: Vec<Arc<dyn Reset>>,
        ec2: Arc<Ec2>,
        host: Arc<Host>,
        gauge: Arc<Gauge>,
    ) -> Self {
        Self {
            driver,
            store,
            keepers,
            ec2,
            host,
            gauge,
        }
    }

    fn instances(&self) -> Vec<Told> {
        let told = self.ec2.instances();
        told.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot list the instances");
            Vec::new()
        })
    }

    fn shown(&self, told: &Told) -> Value {
        json!({
            "id": told.id,
            "state": told.state,
            "instance_type": told.instance_type,
            "addresses": told.addresses,
            "dns_names": told.dns_names,
            // As root the host reaches every address itself.
            "host_ports": self.host.host_ports.of(&told.addresses),
            "cpu_percent": self.gauge.load(&told.id),
        })
    }

    /// An instance, by its id or ARN, with what the host knows of it.
    async fn instance(&self, id: &str) -> Option<Value> {
        let named = |told: &Told| told.id == id || arn(told) == id;
        let told = self.instances().into_iter().find(named)?;
        let traces = self.host.traces(&told.id).await;
        let traces = traces.unwrap_or_else(|error| {
            tracing::warn!(%error, instance = told.id, "cannot look at the instance");
            Traces::default()
        });
        let mut shown = self.shown(&told);
        shown["arn"] = json!(arn(&told));
        shown["pids"] = json!(traces.pid.into_iter().collect::<Vec<_>>());
        shown["supervisor_pid"] = json!(traces.supervisor);
        shown["responsive"] = json!(traces.responsive);
        let netns = traces.pid.map(|pid| format!("/proc/{pid}/ns/net"));
        shown["netns"] = json!(netns);
        shown["data_dir"] = json!(traces.directory);
        shown["figures"] = self.gauge.shown(&told);
        Some(shown)
    }
}

impl Resources for Inside {
    fn resource<'a>(
        &'a self,
        id: &'a str,
    ) -> Pin<Box<dyn Future<Output = Option<Value>> + Send + 'a>> {
        // Only instances have processes, namespaces and addresses of their own so far.
        Box::pin(self.instance(id))
    }

    fn status(&self) -> Value {
        let reconcilers: Vec<_> = self.driver.status().iter().map(reconciler).collect();
        let instances = self.instances();
        let instances: Vec<_> = instances.iter().map(|told| self.shown(told)).collect();
        json!({ "reconcilers": reconcilers, "instances": instances })
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

fn arn(told: &Told) -> String {
    let Told {
        region,
        account,
        id,
        ..
    } = told;
    format!("arn:aws:ec2:{region}:{account}:instance/{id}")
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
