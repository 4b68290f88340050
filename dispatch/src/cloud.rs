//! The cloud as a set of services, and the one way to call an operation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use gureum_kit::{Clock, Region};
use gureum_schema::{Error, Result, Struct, Timestamp};

use crate::authorize::authorize;
use crate::caller::{Caller, Identities};
use crate::cx::{Cx, RequestInfo};
use crate::service::{Op, Run, Service};

/// Every service that is wired in, and who may use them.
pub struct Cloud {
    services: BTreeMap<&'static str, Arc<Service>>,
    identities: Arc<dyn Identities>,
    clock: Clock,
    /// The region of calls that name none.
    region: Region,
}

/// Wiring, phase one: collect the rooms. Calls become possible once [`Builder::build`] is done.
pub struct Builder {
    cloud: Cloud,
}

impl Builder {
    #[must_use]
    pub fn service(mut self, service: Service) -> Self {
        self.cloud
            .services
            .insert(service.spec.name, Arc::new(service));
        self
    }

    pub fn build(self) -> Arc<Cloud> {
        Arc::new(self.cloud)
    }
}

impl Cloud {
    pub fn builder(identities: Arc<dyn Identities>, clock: Clock, region: Region) -> Builder {
        Builder {
            cloud: Self {
                services: BTreeMap::new(),
                identities,
                clock,
                region,
            },
        }
    }

    pub fn services(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.services.values()
    }

    /// By the model's name, `sqs`.
    pub fn service(&self, name: &str) -> Option<Arc<Service>> {
        self.services.get(name).cloned()
    }

    pub fn identities(&self) -> &Arc<dyn Identities> {
        &self.identities
    }

    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn region(&self) -> &Region {
        &self.region
    }

    /// A context for a call that comes in from outside, or from inside in somebody's name.
    pub fn cx(self: &Arc<Self>, caller: Arc<Caller>, region: Region, request: RequestInfo) -> Cx {
        Cx {
            caller,
            region,
            now: Timestamp(self.clock.now()),
            request: Arc::new(request),
            via: None,
            endpoint: None,
            cloud: Arc::clone(self),
        }
    }

    /// Runs an operation: refuse what we don't honour, ask who may, run, count, audit.
    pub async fn call(
        &self,
        cx: Cx,
        service: &Service,
        op: &Op,
        input: Box<dyn Struct>,
    ) -> Result<Box<dyn Struct>> {
        let started = Instant::now();
        let audit = cx.clone();
        let reply = match self.admit(&cx, service, op, input) {
            Ok(run) => run(cx).await,
            Err(error) => Err(error),
        };
        let elapsed = started.elapsed();
        op.counters.note(elapsed, reply.as_ref().err());
        tracing::info!(
            target: "audit",
            request = %audit.request.id,
            caller = %audit.caller.arn,
            service = service.spec.name,
            operation = op.spec.name,
            region = %audit.region,
            micros = elapsed.as_micros() as u64,
            error = reply.as_ref().err().map(|e| e.code.as_ref()),
        );
        reply
    }

    /// What remains to be run when everything that the call asks is allowed.
    fn admit(&self, cx: &Cx, service: &Service, op: &Op, input: Box<dyn Struct>) -> Result<Run> {
        if let Some(member) = op.refused_member(&*input) {
            return Err(Error::not_implemented(format!(
                "Parameter {member} of {}",
                op.spec.name
            )));
        }
        let call = op.prepare(cx, input)?;
        for ask in &call.asks {
            authorize(cx, ask, |denial| service.denied(denial))?;
        }
        Ok(call.run)
    }
}
