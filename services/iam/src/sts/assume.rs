//! `AssumeRole`.

use std::collections::BTreeSet;
use std::sync::Arc;

use gureum_dispatch::{Ask, CallerKind, Cx};
use gureum_kit::{AccountId, Arn, Reader};
use gureum_model_sts::{op, types};
use gureum_schema::Result;

use super::identity::signed;
use super::session::{self, begin, duration, passed};
use crate::entity::Named;
use crate::errors::{Fault, Outcome};
use crate::model::{Role, Session, SessionOf, Tags, fold};
use crate::{Iam, Table};

/// A session made by another session of a role lasts an hour at most.
const CHAINED_MAX: i32 = 3600;
const DEFAULT: i32 = 3600;

pub(super) fn table(table: Table) -> Table {
    table.op_refusing::<op::AssumeRole, _>(
        &["SerialNumber", "TokenCode", "ProvidedContexts"],
        asks,
        assume_role,
    )
}

/// The account that an ARN says a role is in, and the role if it exists.
pub(super) fn role_by_arn(
    reader: &impl Reader,
    arn: &str,
) -> Outcome<(Option<AccountId>, Option<Role>)> {
    let Ok(parsed) = arn.parse::<Arn>() else {
        return Err(Fault::validation(format!("{arn} is invalid")));
    };
    let named = parsed.resource.strip_prefix("role/");
    let (Some(path), Ok(account)) = (named, parsed.account.parse::<AccountId>()) else {
        return Ok((None, None));
    };
    let name = path.rsplit('/').next().unwrap_or(path);
    let role = Role::lookup(reader, &account, name)?;
    Ok((Some(account), role.filter(|role| role.arn() == arn)))
}

/// The role's trust policy must allow each of these, and so must the caller's own policies unless
/// the trust policy names the caller itself.
fn asks(iam: &Iam, cx: &Cx, input: &types::AssumeRoleRequest) -> Result<Vec<Ask>> {
    signed(cx)?;
    if matches!(cx.caller.kind, CallerKind::Federated { .. }) {
        return Err(Fault::access_denied(
            "Cannot call AssumeRole with the credentials of a federated user",
        )
        .into());
    }
    let (account, role) = role_by_arn(&iam.store.read(), &input.role_arn)?;
    let trust = role.as_ref().map(|role| role.trust.policy()).transpose()?;
    let role_tags = role.map(|role| role.tags).unwrap_or_default();
    let tags = input.tags.as_deref().unwrap_or_default();
    let transitive = input.transitive_tag_keys.clone().unwrap_or_default();
    let ask = |action| {
        let ask = Ask::new(action, &input.role_arn)
            .owner(account.as_ref().unwrap_or(cx.account()))
            .policy(trust.clone())
            .policy_must_allow()
            .key("sts:RoleSessionName", &input.role_session_name)
            .key_opt("sts:ExternalId", input.external_id.as_ref())
            .key_opt("sts:SourceIdentity", input.source_identity.as_ref())
            .keys("sts:TransitiveTagKeys", transitive.clone())
            .request_tags(tags.iter().map(|tag| (&*tag.key, &*tag.value)))
            .resource_tags(role_tags.iter().map(|(key, value)| (&**key, &**value)));
        role_tags.iter().fold(ask, |ask, (key, value)| {
            ask.key(format!("iam:ResourceTag/{key}"), value)
        })
    };
    let mut asks = vec![ask("sts:AssumeRole")];
    if !tags.is_empty() {
        asks.push(ask("sts:TagSession"));
    }
    if input.source_identity.is_some() {
        asks.push(ask("sts:SetSourceIdentity"));
    }
    Ok(asks)
}

async fn assume_role(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::AssumeRoleRequest,
) -> Result<types::AssumeRoleResponse> {
    check_name("roleSessionName", &input.role_session_name, 64)?;
    let reader = iam.store.read();
    let (_, role) = role_by_arn(&reader, &input.role_arn)?;
    let Some(role) = role else {
        return Err(gone(&cx, &input.role_arn).into());
    };
    let parent = parent(&reader, &cx)?;
    let source_identity = source_identity(&input, parent.as_ref())?;
    let seconds = seconds(&cx, &role, input.duration_seconds)?;
    let tags = session_tags(&input, parent.as_ref())?;
    let passed = passed(
        &reader,
        &role.account,
        input.policy,
        input.policy_arns,
        &tags.own,
    )?;
    let session = Session {
        inline: passed.inline,
        policy_arns: passed.arns,
        tags: tags.all,
        transitive: tags.transitive,
        source_identity,
        ..begin(
            role.account,
            SessionOf::Role {
                name: fold(&role.name),
                id: role.id.clone(),
                session: input.role_session_name.clone(),
            },
            cx.now,
            seconds,
        )
    };
    let credentials = session::store(&iam, &session).await?;
    Ok(types::AssumeRoleResponse {
        credentials: Some(credentials),
        assumed_role_user: Some(assumed(&role, &input.role_session_name)),
        packed_policy_size: passed.packed,
        source_identity: session.source_identity,
    })
}

pub(super) fn assumed(role: &Role, session_name: &str) -> types::AssumedRoleUser {
    types::AssumedRoleUser {
        assumed_role_id: format!("{}:{session_name}", role.id),
        arn: session::assumed_role_arn(role, session_name),
    }
}

/// A role that isn't there is not told apart from one that may not be assumed.
pub(super) fn gone(cx: &Cx, arn: &str) -> Fault {
    Fault::access_denied(format!(
        "User: {} is not authorized to perform: sts:AssumeRole on resource: {arn}",
        cx.caller.arn
    ))
}

/// Session names, source identities and federated names share their characters.
pub(super) fn check_name(member: &str, name: &str, max: usize) -> Outcome<()> {
    if name.len() < 2 {
        return Err(Fault::validation(format!(
            "1 validation error detected: Value '{name}' at '{member}' failed to satisfy constraint: Member must have length greater than or equal to 2"
        )));
    }
    crate::names::name(member, name, max).map_err(|_| {
        Fault::validation(format!(
            "1 validation error detected: Value '{name}' at '{member}' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]* and have length less than or equal to {max}"
        ))
    })
}

/// The session that the caller itself is.
fn parent(reader: &impl Reader, cx: &Cx) -> Outcome<Option<Session>> {
    match &cx.caller.access_key {
        Some(key) => Ok(reader.get::<Session>(key)?),
        None => Ok(None),
    }
}

/// Once set, a source identity stays through all roles that follow.
fn source_identity(
    input: &types::AssumeRoleRequest,
    parent: Option<&Session>,
) -> Outcome<Option<String>> {
    if let Some(identity) = &input.source_identity {
        check_name("sourceIdentity", identity, 64)?;
    }
    let inherited = parent.and_then(|parent| parent.source_identity.as_ref());
    match (inherited, &input.source_identity) {
        (Some(old), Some(new)) if old != new => Err(Fault::access_denied(
            "The source identity of the calling session cannot be changed.",
        )),
        (Some(old), _) => Ok(Some(old.clone())),
        (None, new) => Ok(new.clone()),
    }
}

fn seconds(cx: &Cx, role: &Role, given: Option<i32>) -> Outcome<i32> {
    let seconds = duration(given, DEFAULT, 900..=43_200)?;
    if matches!(cx.caller.kind, CallerKind::Role { .. }) && seconds > CHAINED_MAX {
        return Err(Fault::validation(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
        ));
    }
    if seconds > role.max_session {
        return Err(Fault::validation(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        ));
    }
    Ok(seconds)
}

struct SessionTags {
    /// Those that the request passes.
    own: Tags,
    /// With those that the caller's session hands on.
    all: Tags,
    transitive: BTreeSet<String>,
}

fn session_tags(
    input: &types::AssumeRoleRequest,
    parent: Option<&Session>,
) -> Outcome<SessionTags> {
    let own = session::tags(input.tags.as_ref())?;
    let mut transitive = BTreeSet::new();
    for key in input.transitive_tag_keys.iter().flatten() {
        let found = own.keys().find(|own| own.eq_ignore_ascii_case(key));
        let found = found.ok_or_else(|| {
            Fault::validation(format!(
                "The transitive tag key {key} must be one of the session tags of the request."
            ))
        })?;
        transitive.insert(found.clone());
    }
    let mut all = own.clone();
    for key in parent.iter().flat_map(|parent| &parent.transitive) {
        if own.keys().any(|own| own.eq_ignore_ascii_case(key)) {
            return Err(Fault::validation(format!(
                "The session tag {key} cannot be set because it is a transitive tag of the calling session."
            )));
        }
        if let Some(value) = parent.and_then(|parent| parent.tags.get(key)) {
            all.insert(key.clone(), value.clone());
            transitive.insert(key.clone());
        }
    }
    Ok(SessionTags {
        own,
        all,
        transitive,
    })
}
