//! From policy text to [`Policy`]: the checks AWS makes, in the order AWS makes them.

use crate::condition::{Condition, Operator};
use crate::document::{Clause, Effect, Kind, Policy, Statement};
use crate::element::{check_action, check_resource, parse_principal};
use crate::error::{ParseError, Problem};
use crate::glob;
use crate::principal::Principal;
use crate::raw::{self, RawCondition, RawStatement};
use crate::variable::{Text, Wildcards};

type Result<T> = std::result::Result<T, Problem>;

const LATEST: &str = "2012-10-17";
const FIRST: &str = "2008-10-17";

impl Policy {
    /// Checks and compiles a policy document.
    ///
    /// An identity-based policy must say `"Version": "2012-10-17"`. Other kinds may leave the
    /// version out or say `2008-10-17`; they then speak the older language, without variables.
    pub fn parse(text: &str, kind: Kind) -> std::result::Result<Self, ParseError> {
        parse(text, kind).map_err(|problem| ParseError { kind, problem })
    }
}

fn parse(text: &str, kind: Kind) -> Result<Policy> {
    let raw = raw::read(text)?;
    let variables = check_version(raw.version.as_deref(), kind)?;
    let mut values = Vec::with_capacity(raw.statements.len());
    for statement in &raw.statements {
        let effect = read_effect(&statement.effect)?;
        values.push((
            effect,
            compile_conditions(&statement.conditions, variables)?,
        ));
    }
    let bad_resource = find_bad_resource(&raw.statements)?;
    check_sids(&raw.statements, kind)?;
    for statement in &raw.statements {
        check_fields(statement, kind)?;
    }
    bad_resource.map_or(Ok(()), Err)?;
    let mut statements = Vec::with_capacity(raw.statements.len());
    for (statement, (effect, conditions)) in raw.statements.into_iter().zip(values) {
        statements.push(Statement {
            principals: compile_principals(&statement)?,
            actions: compile_actions(&statement, kind)?,
            resources: compile_resources(&statement, variables),
            sid: statement.sid.filter(|sid| !sid.is_empty()).map(Into::into),
            span: statement.span,
            effect,
            conditions,
        });
    }
    Ok(Policy {
        kind,
        id: raw.id.map(Into::into),
        statements,
    })
}

/// Whether the language of this version has variables.
fn check_version(version: Option<&str>, kind: Kind) -> Result<bool> {
    match version {
        Some(LATEST) => Ok(true),
        Some(FIRST) | None if kind == Kind::Identity => Err(Problem::Version),
        Some(FIRST) | None => Ok(false),
        Some(_) => Err(Problem::Syntax),
    }
}

fn read_effect(effect: &str) -> Result<Effect> {
    match effect {
        "Allow" => Ok(Effect::Allow),
        "Deny" => Ok(Effect::Deny),
        _ if effect.eq_ignore_ascii_case("allow") => Err(Problem::Legacy),
        _ if effect.eq_ignore_ascii_case("deny") => Err(Problem::Legacy),
        _ => Err(Problem::Syntax),
    }
}

fn compile_conditions(raw: &[RawCondition], variables: bool) -> Result<Vec<Condition>> {
    let compile = |condition: &RawCondition| {
        let operator = Operator::parse(&condition.operator).ok_or(Problem::Syntax)?;
        let compiled = operator.compile(&condition.key, &condition.values, variables);
        compiled.ok_or(Problem::Legacy)
    };
    raw.iter().map(compile).collect()
}

/// An unreadable ARN is an error at once; one that reads but may not stand there is handed back,
/// because AWS tells of missing fields first.
fn find_bad_resource(statements: &[RawStatement]) -> Result<Option<Problem>> {
    let mut found = None;
    let lists = statements
        .iter()
        .flat_map(|s| [&s.resource, &s.not_resource]);
    for resource in lists.flatten().flatten() {
        match check_resource(resource) {
            Err(Problem::Legacy) => return Err(Problem::Legacy),
            Err(problem) if found.is_none() => found = Some(problem),
            _ => {}
        }
    }
    Ok(found)
}

/// Statement ids are unique. Where IAM itself holds the policy they are letters and digits only;
/// services let resource-based policies have spaces and more.
fn check_sids(statements: &[RawStatement], kind: Kind) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    for sid in statements
        .iter()
        .filter_map(|s| s.sid.as_deref())
        .filter(|sid| !sid.is_empty())
    {
        if !seen.insert(sid) {
            return Err(Problem::DuplicateSid);
        }
        if kind != Kind::Resource && !sid.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(Problem::Sid);
        }
    }
    Ok(())
}

/// Which fields each kind of policy must have and must not have.
fn check_fields(statement: &RawStatement, kind: Kind) -> Result<()> {
    let has = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    let principal = [
        ("Principal", statement.principal.is_some()),
        ("NotPrincipal", statement.not_principal.is_some()),
    ];
    let resource = [
        ("Resource", statement.resource.is_some()),
        ("NotResource", statement.not_resource.is_some()),
    ];
    let prohibited = match kind {
        Kind::Identity => principal.into_iter().find(|(_, present)| *present),
        Kind::Resource => None,
        Kind::Trust => resource
            .into_iter()
            .chain([principal[1]])
            .find(|(_, present)| *present),
    };
    if let Some((field, _)) = prohibited {
        return Err(Problem::ProhibitedField(field));
    }
    if kind != Kind::Identity && !principal.iter().any(|(_, present)| *present) {
        return Err(Problem::MissingField("Principal"));
    }
    if !has(&statement.action) && !has(&statement.not_action) {
        return Err(Problem::MissingField("Action"));
    }
    if kind != Kind::Trust && !has(&statement.resource) && !has(&statement.not_resource) {
        return Err(Problem::MissingField("Resource"));
    }
    Ok(())
}

/// The list that is present, and whether it is the negated one.
fn either<'a, T>(
    plain: &'a Option<Vec<T>>,
    negated: &'a Option<Vec<T>>,
) -> Option<(&'a [T], bool)> {
    match (plain, negated) {
        (Some(list), _) => Some((list, false)),
        (None, Some(list)) => Some((list, true)),
        (None, None) => None,
    }
}

fn compile_principals(statement: &RawStatement) -> Result<Option<Clause<Principal>>> {
    let Some((list, negated)) = either(&statement.principal, &statement.not_principal) else {
        return Ok(None);
    };
    let parse = |(class, value): &(String, String)| parse_principal(class, value);
    let listed = list.iter().map(parse).collect::<Result<_>>()?;
    Ok(Some(Clause { negated, listed }))
}

fn compile_actions(statement: &RawStatement, kind: Kind) -> Result<Clause<Box<[u8]>>> {
    let (list, negated) =
        either(&statement.action, &statement.not_action).ok_or(Problem::MissingField("Action"))?;
    for action in list {
        check_action(action)?;
        let about_roles = action
            .get(..4)
            .is_some_and(|v| v.eq_ignore_ascii_case("sts:"));
        if kind == Kind::Trust && !about_roles {
            return Err(Problem::TrustAction);
        }
    }
    Ok(Clause {
        negated,
        listed: list.iter().map(|action| glob::compile(action)).collect(),
    })
}

fn compile_resources(statement: &RawStatement, variables: bool) -> Option<Clause<Text>> {
    let (list, negated) = either(&statement.resource, &statement.not_resource)?;
    let compile = |text: &String| Text::compile(text, Wildcards::Honoured, variables);
    Some(Clause {
        negated,
        listed: list.iter().map(compile).collect(),
    })
}

#[cfg(test)]
mod tests;
