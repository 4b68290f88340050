//! A service as a table of operations.

use std::any::Any;
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::TryFutureExt as _;
use gureum_schema::{Error, Operation, OperationSpec, Result, ServiceSpec, Struct, View};

use crate::ask::Ask;
use crate::cx::Cx;
use crate::denial::Denial;
use crate::web::Web;

type Reply = Pin<Box<dyn Future<Output = Result<Box<dyn Struct>>> + Send>>;
pub(crate) type Run = Box<dyn FnOnce(Cx) -> Reply + Send>;
type Prepare = dyn Fn(&Cx, Box<dyn Struct>) -> Result<Prepared> + Send + Sync;

/// One operation, its types erased: what the front door decodes into and calls.
pub struct Op {
    pub spec: &'static OperationSpec,
    /// Members that are known but not honoured; a request that sets one is refused.
    pub refused: &'static [&'static str],
    pub counters: Counters,
    new_input: fn() -> Box<dyn Struct>,
    prepare: Box<Prepare>,
}

/// A call whose input has been read: what it asks of the policy engine, and what it will do.
pub(crate) struct Prepared {
    pub(crate) asks: Vec<Ask>,
    pub(crate) run: Run,
}

/// What happened to an operation since start.
#[derive(Default)]
pub struct Counters {
    pub calls: AtomicU64,
    pub client_errors: AtomicU64,
    pub server_errors: AtomicU64,
    pub nanos: AtomicU64,
}

/// What is wrong with an input, as far as the model alone can tell.
#[derive(Clone, Debug)]
pub enum Invalid {
    /// A required member is absent. `path` is dotted, `message` is AWS's sentence.
    Missing { path: String, message: String },
    /// A value breaks a constraint of the model. `choice` is the value itself, where it is none of
    /// those that its member can have.
    Constraint {
        path: String,
        message: String,
        choice: Option<String>,
    },
    /// The body cannot be read as what its protocol says it is.
    Malformed { message: String },
}

/// One AWS service: its model, its handlers, and how it words the errors that all services share.
pub struct Service {
    pub spec: &'static ServiceSpec,
    ops: HashMap<&'static str, Op>,
    denied: Option<fn(&Denial<'_>) -> Error>,
    invalid: Option<fn(&Invalid) -> Error>,
    web: Option<Arc<dyn Web>>,
    anonymous: bool,
}

/// Collects a service's operations around its shared state.
pub struct ServiceBuilder<S> {
    state: Arc<S>,
    service: Service,
}

impl Service {
    /// Begins the table of a service whose handlers share `state`.
    pub fn builder<S: Send + Sync + 'static>(
        spec: &'static ServiceSpec,
        state: Arc<S>,
    ) -> ServiceBuilder<S> {
        ServiceBuilder {
            state,
            service: Self {
                spec,
                ops: HashMap::new(),
                denied: None,
                invalid: None,
                web: None,
                anonymous: false,
            },
        }
    }

    /// The operation, where it is implemented.
    pub fn op(&self, name: &str) -> Option<&Op> {
        self.ops.get(name)
    }

    pub fn ops(&self) -> impl Iterator<Item = &Op> {
        self.ops.values()
    }

    /// The service's own wording of "you may not".
    pub fn denied(&self, denial: &Denial<'_>) -> Error {
        use gureum_schema::Protocol::{AwsQuery, RestXml};
        match (self.denied, self.spec.protocols.first()) {
            (Some(denied), _) => denied(denial),
            (None, Some(AwsQuery | RestXml)) => Error::new("AccessDenied", 403, denial.message()),
            (None, _) => Error::new("AccessDeniedException", 400, denial.message()),
        }
    }

    /// The service's own wording of a model violation, where it differs from its protocol's.
    pub fn invalid(&self, invalid: &Invalid) -> Option<Error> {
        self.invalid.map(|word| word(invalid))
    }

    /// Whether requests without a signature reach this service's policies at all.
    pub fn admits_anonymous(&self) -> bool {
        self.anonymous
    }

    /// What the service answers to plain web requests, where it does.
    pub fn web(&self) -> Option<&Arc<dyn Web>> {
        self.web.as_ref()
    }
}

impl<S: Send + Sync + 'static> ServiceBuilder<S> {
    /// Adds an operation: what it asks of the policy engine, and its handler.
    #[must_use]
    pub fn op<O, F>(
        self,
        asks: fn(&S, &Cx, &O::In) -> Result<Vec<Ask>>,
        handler: fn(Arc<S>, Cx, O::In) -> F,
    ) -> Self
    where
        O: Operation,
        F: Future<Output = Result<O::Out>> + Send + 'static,
    {
        self.op_refusing::<O, F>(&[], asks, handler)
    }

    /// Adds an operation that does not honour all of its members: naming one is refused.
    #[must_use]
    pub fn op_refusing<O, F>(
        self,
        refused: &'static [&'static str],
        asks: fn(&S, &Cx, &O::In) -> Result<Vec<Ask>>,
        handler: fn(Arc<S>, Cx, O::In) -> F,
    ) -> Self
    where
        O: Operation,
        F: Future<Output = Result<O::Out>> + Send + 'static,
    {
        self.op_finding::<O, O::In, F>(refused, |_, _, input| Ok(input), asks, handler)
    }

    /// Adds an operation whose input takes some reading, or looking up what it names, before it can
    /// be asked about: `find` does that once, for `asks` and `handler` both.
    #[must_use]
    pub fn op_finding<O, I, F>(
        mut self,
        refused: &'static [&'static str],
        find: fn(&S, &Cx, O::In) -> Result<I>,
        asks: fn(&S, &Cx, &I) -> Result<Vec<Ask>>,
        handler: fn(Arc<S>, Cx, I) -> F,
    ) -> Self
    where
        O: Operation,
        I: Send + 'static,
        F: Future<Output = Result<O::Out>> + Send + 'static,
    {
        let state = Arc::clone(&self.state);
        let op = Op {
            spec: O::SPEC,
            refused,
            counters: Counters::default(),
            new_input: || Box::new(O::In::default()),
            prepare: Box::new(move |cx, input| {
                let input: Box<dyn Any> = input;
                let input = input.downcast::<O::In>();
                let input = *input.map_err(|_| wrong_type(O::SPEC))?;
                let input = find(&state, cx, input)?;
                let asks = asks(&state, cx, &input)?;
                let state = Arc::clone(&state);
                let run = move |cx| -> Reply {
                    // Not a block that awaits it: that would keep the future, which is large where
                    // the input is, twice, and move it once more.
                    let reply = handler(state, cx, input);
                    Box::pin(reply.map_ok(|out| Box::new(out) as Box<dyn Struct>))
                };
                let run = Box::new(run);
                Ok(Prepared { asks, run })
            }),
        };
        self.service.ops.insert(O::SPEC.name, op);
        self
    }

    #[must_use]
    pub fn denied(mut self, word: fn(&Denial<'_>) -> Error) -> Self {
        self.service.denied = Some(word);
        self
    }

    #[must_use]
    pub fn invalid(mut self, word: fn(&Invalid) -> Error) -> Self {
        self.service.invalid = Some(word);
        self
    }

    #[must_use]
    pub fn web(mut self, web: Arc<dyn Web>) -> Self {
        self.service.web = Some(web);
        self
    }

    /// Lets requests without a signature through to the policies: resource policies may grant
    /// them something.
    #[must_use]
    pub fn admit_anonymous(mut self) -> Self {
        self.service.anonymous = true;
        self
    }

    pub fn build(self) -> Service {
        self.service
    }
}

impl Op {
    /// An empty input for the front door to decode into.
    pub fn new_input(&self) -> Box<dyn Struct> {
        (self.new_input)()
    }

    pub(crate) fn prepare(&self, cx: &Cx, input: Box<dyn Struct>) -> Result<Prepared> {
        (self.prepare)(cx, input)
    }

    /// The first member that the request sets and we do not honour.
    pub(crate) fn refused_member(&self, input: &dyn Struct) -> Option<&'static str> {
        let members = input.schema().members();
        self.refused.iter().copied().find(|name| {
            members
                .iter()
                .position(|member| member.name == *name)
                .is_some_and(|index| !matches!(input.field(index).view(), View::None))
        })
    }
}

impl Counters {
    pub(crate) fn note(&self, elapsed: Duration, error: Option<&Error>) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
        match error {
            Some(error) if error.status >= 500 => {
                self.server_errors.fetch_add(1, Ordering::Relaxed);
            }
            Some(_) => {
                self.client_errors.fetch_add(1, Ordering::Relaxed);
            }
            None => {}
        }
    }
}

fn wrong_type(spec: &OperationSpec) -> Error {
    Error::internal(format!(
        "{} was called with another operation's input",
        spec.name
    ))
}
