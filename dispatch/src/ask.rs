//! One question to the policy engine: may the caller do this action to this resource?

use std::sync::Arc;

use gureum_kit::AccountId;
use gureum_policy::Policy;

use crate::cx::Cx;

/// What an operation must be allowed to do. A handler is reached only when every ask is granted.
#[derive(Clone, Debug)]
pub struct Ask {
    /// `sqs:SendMessage`
    pub action: &'static str,
    /// ARN, or `*` where the action knows no resource.
    pub resource: String,
    /// The account that owns the resource; the caller's own when unset.
    pub owner: Option<AccountId>,
    /// The resource's own policy.
    pub policy: Option<Arc<Policy>>,
    /// The resource policy itself must allow (KMS keys, role trust); elsewhere either side will do
    /// within one account.
    pub policy_must_allow: bool,
    /// Condition keys of this action, beyond the global ones that dispatch fills in.
    pub keys: Vec<(String, Vec<String>)>,
}

impl Ask {
    pub fn new(action: &'static str, resource: impl ToString) -> Self {
        Self {
            action,
            resource: resource.to_string(),
            owner: None,
            policy: None,
            policy_must_allow: false,
            keys: Vec::new(),
        }
    }

    #[must_use]
    pub fn owner(mut self, account: &AccountId) -> Self {
        self.owner = Some(*account);
        self
    }

    #[must_use]
    pub fn policy(mut self, policy: Option<Arc<Policy>>) -> Self {
        self.policy = policy;
        self
    }

    #[must_use]
    pub fn policy_must_allow(mut self) -> Self {
        self.policy_must_allow = true;
        self
    }

    /// Adds condition keys where any policy may read them. Where none decides, as over what an
    /// account's root does with what is its own, they would be made in vain. The resource's own
    /// policy must have been given before.
    #[must_use]
    pub fn described(self, cx: &Cx, keys: impl FnOnce(Self) -> Self) -> Self {
        if self.meets_policies(cx) {
            keys(self)
        } else {
            self
        }
    }

    pub(crate) fn meets_policies(&self, cx: &Cx) -> bool {
        let policies = &cx.caller.policies;
        self.policy.is_some()
            || !policies.identity.is_empty()
            || policies.session.is_some()
            || policies.boundary.is_some()
            || cx.endpoint.is_some()
    }

    #[must_use]
    pub fn key(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.keys.push((name.into(), vec![value.to_string()]));
        self
    }

    /// A key that is absent from the request is absent from the question.
    #[must_use]
    pub fn key_opt(self, name: impl Into<String>, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.key(name, value),
            None => self,
        }
    }

    #[must_use]
    pub fn keys(mut self, name: impl Into<String>, values: Vec<String>) -> Self {
        self.keys.push((name.into(), values));
        self
    }

    /// `aws:RequestTag/…` and `aws:TagKeys` for a request that sets tags.
    #[must_use]
    pub fn request_tags<'a>(mut self, tags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut names = Vec::new();
        for (name, value) in tags {
            names.push(name.to_owned());
            self.keys
                .push((format!("aws:RequestTag/{name}"), vec![value.to_owned()]));
        }
        if !names.is_empty() {
            self.keys.push(("aws:TagKeys".into(), names));
        }
        self
    }

    /// `aws:ResourceTag/…` for the tags that the resource has.
    #[must_use]
    pub fn resource_tags<'a>(mut self, tags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        for (name, value) in tags {
            self.keys
                .push((format!("aws:ResourceTag/{name}"), vec![value.to_owned()]));
        }
        self
    }
}
