//! A parsed policy: statements ready to be matched, each with its place in the text.

use crate::condition::Condition;
use crate::principal::Principal;
use crate::variable::Text;

/// What a policy is attached to; the language differs slightly for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Attached to a user, group or role, or passed as a session policy or permissions boundary.
    Identity,
    /// Attached to a resource: a bucket, queue, topic, key, function.
    Resource,
    /// Who may assume a role.
    Trust,
}

/// A policy that passed the checks of its [`Kind`]; immutable, cheap to evaluate many times.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub(crate) kind: Kind,
    pub(crate) id: Option<Box<str>>,
    pub(crate) statements: Vec<Statement>,
}

/// Whether a statement grants or forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    Allow,
    Deny,
}

/// One statement of a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    pub(crate) sid: Option<Box<str>>,
    pub(crate) effect: Effect,
    /// `None` in identity-based policies: they speak of whoever they are attached to.
    pub(crate) principals: Option<Clause<Principal>>,
    /// Compiled globs, matched without regard to case.
    pub(crate) actions: Clause<Box<[u8]>>,
    /// `None` in trust policies: they speak of the role they are attached to.
    pub(crate) resources: Option<Clause<Text>>,
    pub(crate) conditions: Vec<Condition>,
    pub(crate) span: Span,
}

/// `Action`/`NotAction` and their like: a list, and whether it names what is left out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Clause<T> {
    pub(crate) negated: bool,
    pub(crate) listed: Vec<T>,
}

/// Where a statement stands in the policy text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The opening brace.
    pub start: Position,
    /// Just behind the closing brace.
    pub end: Position,
}

/// A place in a text; both count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub line: usize,
    pub column: usize,
}

impl Policy {
    /// A policy that says nothing, and so allows nothing.
    pub fn empty(kind: Kind) -> Self {
        Self {
            kind,
            id: None,
            statements: Vec::new(),
        }
    }

    /// What the policy was parsed as.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The `Id` element.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The statements in the order written.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// The principals named by `Principal` and `NotPrincipal`, in the order written.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.statements
            .iter()
            .filter_map(|s| s.principals.as_ref())
            .flat_map(|c| &c.listed)
    }

    /// Replaces the principals for which `replace` has another: a user's or role's ARN by its
    /// unique id, so that a grant ends with whoever it was given to and not with a name.
    pub fn replace_principals(&mut self, replace: impl Fn(&Principal) -> Option<Principal>) {
        let clauses = self
            .statements
            .iter_mut()
            .filter_map(|s| s.principals.as_mut());
        for principal in clauses.flat_map(|clause| &mut clause.listed) {
            if let Some(other) = replace(principal) {
                *principal = other;
            }
        }
    }

    /// This policy with another's statements behind its own: where what a resource grants comes
    /// from two places, such as a bucket's policy and its access control list.
    #[must_use]
    pub fn join(mut self, other: &Self) -> Self {
        self.statements.extend(other.statements.iter().cloned());
        self
    }

    /// Only what this policy forbids.
    #[must_use]
    pub fn denials(mut self) -> Self {
        self.statements.retain(|s| s.effect == Effect::Deny);
        self
    }

    /// The condition keys that conditions and variables refer to, as first written, without
    /// repetition (keys differing only in case are the same key).
    pub fn context_keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = Vec::new();
        let mut add = |key| {
            if !keys.iter().any(|known| known.eq_ignore_ascii_case(key)) {
                keys.push(key);
            }
        };
        for statement in &self.statements {
            let resources = statement.resources.iter().flat_map(|clause| &clause.listed);
            resources.flat_map(Text::variables).for_each(&mut add);
            for condition in &statement.conditions {
                add(condition.written_key());
                condition.variables().for_each(&mut add);
            }
        }
        keys
    }
}

impl Statement {
    /// The `Sid` element; an empty one counts as absent.
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Where the statement stands in the text the policy was parsed from.
    pub fn span(&self) -> Span {
        self.span
    }
}

/// The size of a policy text as IAM's quotas count it: characters other than white space.
pub fn quota_size(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}
