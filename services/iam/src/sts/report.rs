//! What an encoded authorization message holds: the denial as the JSON text that AWS makes of it.
//! Pure.
//!
//! Source: the output of `aws sts decode-authorization-message` in the AWS CLI's reference. AWS does
//! not describe the fields any further; `notActions` and its like, and `truncated`, are ours.

use std::collections::HashSet;

use gureum_dispatch::{CallerKind, Denial};
use gureum_policy::{Effect, Matched, Reason, Source, Written};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

/// The statements of a permissions boundary speak of nobody; AWS says this instead.
const BOUNDARY: &str = "SCOPE_POLICY_ISSUER";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    allowed: bool,
    explicit_deny: bool,
    matched_statements: Items<Box<RawValue>>,
    failures: Items<Value<'a>>,
    context: Situation<'a>,
    /// Not everything had room; left out otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    truncated: bool,
}

#[derive(Serialize)]
struct Situation<'a> {
    principal: Principal<'a>,
    action: &'a str,
    resource: &'a str,
    conditions: Items<Box<RawValue>>,
}

#[derive(Serialize)]
struct Principal<'a> {
    id: &'a str,
    /// Users alone have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    arn: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Statement<'a> {
    statement_id: &'a str,
    effect: &'static str,
    principals: Items<Value<'a>>,
    #[serde(skip_serializing_if = "Items::is_empty")]
    not_principals: Items<Value<'a>>,
    principal_groups: Items<Value<'a>>,
    actions: Items<Value<'a>>,
    #[serde(skip_serializing_if = "Items::is_empty")]
    not_actions: Items<Value<'a>>,
    resources: Items<Value<'a>>,
    #[serde(skip_serializing_if = "Items::is_empty")]
    not_resources: Items<Value<'a>>,
    conditions: Items<Key<'a>>,
}

/// A condition key with its values.
#[derive(Serialize)]
struct Key<'a> {
    key: &'a str,
    values: Items<Value<'a>>,
}

#[derive(Serialize)]
struct Items<T> {
    items: Vec<T>,
}

#[derive(Serialize)]
struct Value<'a> {
    value: &'a str,
}

/// The text, of `limit` bytes at most. Where it would be longer, the longest statements and condition
/// keys are left out; `None` when that does not help.
pub(super) fn report(denial: &Denial<'_>, limit: usize) -> Option<Vec<u8>> {
    let (caller, ask) = (denial.caller(), denial.ask);
    let explicit = matches!(denial.decision.reason, Reason::ExplicitDeny { .. });
    let mut report = Report {
        allowed: false,
        explicit_deny: explicit,
        matched_statements: Items::default(),
        failures: Items::default(),
        context: Situation {
            principal: Principal {
                id: &caller.id,
                name: match &caller.kind {
                    CallerKind::User { name } => Some(name),
                    _ => None,
                },
                arn: &caller.arn,
            },
            action: ask.action,
            resource: &ask.resource,
            conditions: Items::default(),
        },
        truncated: true,
    };
    let room = limit.checked_sub(serde_json::to_vec(&report).ok()?.len())?;
    // Of an implicit denial no statement is the cause.
    let causes = denial.decision.matched.iter();
    let causes = causes.filter(|m| explicit && m.statement.effect() == Effect::Deny);
    let causes: Option<Vec<_>> = causes.map(|cause| statement(denial, cause)).collect();
    let context = denial.context();
    let keys: Option<Vec<_>> = context.iter().map(|k| to_raw_value(&key(k)).ok()).collect();
    // So that neither crowds out the other altogether.
    let (causes, less_causes) = fitting(causes?, room / 2);
    let (keys, less_keys) = fitting(keys?, room - size(&causes));
    report.matched_statements.items = causes;
    report.context.conditions.items = keys;
    report.truncated = less_causes || less_keys;
    serde_json::to_vec(&report).ok()
}

fn statement(denial: &Denial<'_>, cause: &Matched<'_>) -> Option<Box<RawValue>> {
    let statement = cause.statement;
    let principals = statement.principals().unwrap_or_else(|| Written {
        negated: false,
        listed: vec![spoken_of(denial, cause.source).to_owned()],
    });
    let actions = statement.actions();
    let resources = statement.resources();
    let (principals, not_principals) = sides(Some(&principals));
    let (actions, not_actions) = sides(Some(&actions));
    let (resources, not_resources) = sides(resources.as_ref());
    to_raw_value(&Statement {
        statement_id: statement.sid().unwrap_or_default(),
        effect: "DENY",
        principals,
        not_principals,
        principal_groups: Items::default(),
        actions,
        not_actions,
        resources,
        not_resources,
        conditions: statement.conditions().map(key).collect(),
    })
    .ok()
}

/// Whom the statements of a policy without principals speak of.
fn spoken_of<'a>(denial: &'a Denial<'_>, source: Source) -> &'a str {
    match (source, &denial.caller().kind) {
        (Source::Boundary, _) => BOUNDARY,
        (Source::Identity, CallerKind::Role { role_id, .. }) => role_id,
        (Source::Identity, CallerKind::Federated { user_id, .. }) => user_id,
        _ => &denial.caller().id,
    }
}

/// What an element names, and what it leaves out: one of both is empty.
fn sides(element: Option<&Written>) -> (Items<Value<'_>>, Items<Value<'_>>) {
    let listed = |negated| {
        let element = element.filter(|element| element.negated == negated);
        element
            .iter()
            .flat_map(|it| &it.listed)
            .map(value)
            .collect()
    };
    (listed(false), listed(true))
}

fn key<'a>((key, values): (&'a str, &'a [String])) -> Key<'a> {
    let values = values.iter().map(value).collect();
    Key { key, values }
}

fn value(text: &String) -> Value<'_> {
    Value { value: text }
}

/// The entries that have room, in their order, and whether that is not all: of too many, the longest
/// go first.
fn fitting(mut entries: Vec<Box<RawValue>>, room: usize) -> (Vec<Box<RawValue>>, bool) {
    let all = entries.len();
    let mut shortest: Vec<(usize, usize)> = entries.iter().map(|it| length(it)).zip(0..).collect();
    shortest.sort_unstable();
    let mut taken = 0;
    let fits = shortest.iter().take_while(|(length, _)| {
        taken += length;
        taken <= room
    });
    let kept: HashSet<usize> = fits.map(|(_, index)| *index).collect();
    let mut index = 0..;
    entries.retain(|_| index.next().is_some_and(|index| kept.contains(&index)));
    let less = entries.len() < all;
    (entries, less)
}

fn size(entries: &[Box<RawValue>]) -> usize {
    entries.iter().map(|it| length(it)).sum()
}

/// How many bytes an entry takes in a list, with a comma.
fn length(entry: &RawValue) -> usize {
    entry.get().len() + 1
}

impl<T> Items<T> {
    fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl<T> Default for Items<T> {
    fn default() -> Self {
        Self { items: Vec::new() }
    }
}

impl<T> FromIterator<T> for Items<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self {
            items: items.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_longest_have_no_room(lengths in prop::collection::vec(0..60_usize, 0..20), room in 0..600_usize) {
            let entry = |(index, length): (usize, &usize)| {
                let text = format!("{index:02}{}", "x".repeat(*length));
                to_raw_value(&text).expect("a text")
            };
            let all: Vec<_> = lengths.iter().enumerate().map(entry).collect();
            let (kept, less) = fitting(all.clone(), room);
            prop_assert!(size(&kept) <= room);
            prop_assert_eq!(less, kept.len() < all.len());
            let texts: Vec<&str> = kept.iter().map(|entry| entry.get()).collect();
            prop_assert!(texts.is_sorted(), "{texts:?}");
            let gone = all.iter().filter(|entry| !texts.contains(&entry.get()));
            let shortest = gone.map(|entry| entry.get().len() + 1).min();
            let longest = texts.iter().map(|text| text.len() + 1).max();
            if let Some(shortest) = shortest {
                prop_assert!(size(&kept) + shortest > room);
                prop_assert!(longest.is_none_or(|longest| longest <= shortest));
            }
        }
    }
}
