//! What a service is told of a call that the policies do not allow.

use gureum_policy::{Context, Decision};

use crate::ask::Ask;
use crate::authorize::context;
use crate::caller::Caller;
use crate::cx::Cx;

/// A question that was answered with no, and all that took part in the answer.
pub struct Denial<'a> {
    pub ask: &'a Ask,
    pub decision: &'a Decision<'a>,
    pub(crate) cx: &'a Cx,
}

impl Denial<'_> {
    pub fn caller(&self) -> &Caller {
        &self.cx.caller
    }

    /// The condition keys of the request. Made anew: whom no policy speaks of was judged without.
    pub fn context(&self) -> Context {
        context(self.cx, self.ask)
    }

    /// AWS's sentence that says which sort of policy stood in the way. It has no full stop.
    pub fn message(&self) -> String {
        let ask = self.ask;
        self.decision
            .message(&self.caller().arn, ask.action, &ask.resource)
    }

    /// The whole of it, in a form that only those can read who may
    /// `sts:DecodeAuthorizationMessage`: it may tell more than the caller should know. `None` where
    /// there is nobody who could open it.
    pub fn encoded(&self) -> Option<String> {
        self.cx.cloud.identities().encode(self)
    }
}
