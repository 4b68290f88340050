//! Reading a credential from the store, with the caller behind it.

use std::collections::BTreeMap;
use std::sync::Arc;

use gureum_dispatch::{Caller, CallerKind, Credential, Policies};
use gureum_kit::Reader;
use gureum_policy::Kind;

use super::policies::{managed_by_arn, of_role, of_user};
use crate::Iam;
use crate::document;
use crate::entity::Named;
use crate::errors::Outcome;
use crate::managed::Managed;
use crate::model::{AccessKey, Role, Session, SessionOf, User};
use crate::sts::session;

pub(super) fn credential(iam: &Iam, access_key: &str) -> Outcome<Option<Credential>> {
    if access_key == iam.root.access_key_id {
        return Ok(Some(Credential {
            secret: iam.root.secret.clone(),
            session_token: None,
            expires: None,
            active: true,
            caller: Arc::new(Caller {
                access_key: Some(access_key.to_owned()),
                ..Caller::root(iam.root.account)
            }),
        }));
    }
    let reader = iam.store.read();
    if let Some(key) = reader.get::<AccessKey>(access_key)? {
        return long_term(&reader, key);
    }
    match reader.get::<Session>(access_key)? {
        Some(session) => temporary(&reader, session),
        None => Ok(None),
    }
}

fn long_term(reader: &impl Reader, key: AccessKey) -> Outcome<Option<Credential>> {
    let caller = match &key.user {
        None => Some(Caller::root(key.account)),
        Some(name) => User::lookup(reader, &key.account, name)?
            .map(|user| user_caller(reader, &user))
            .transpose()?,
    };
    Ok(caller.map(|caller| Credential {
        secret: key.secret,
        session_token: None,
        expires: None,
        active: key.active,
        caller: Arc::new(Caller {
            access_key: Some(key.id),
            ..caller
        }),
    }))
}

fn user_caller(reader: &impl Reader, user: &User) -> Outcome<Caller> {
    Ok(Caller {
        account: user.account,
        kind: CallerKind::User {
            name: user.name.clone(),
        },
        arn: user.arn(),
        id: user.id.clone(),
        canonical_user: user.account.canonical_user(),
        access_key: None,
        policies: Arc::new(of_user(reader, user)?),
        tags: user.tags.clone(),
        keys: Vec::new(),
    })
}

fn temporary(reader: &impl Reader, session: Session) -> Outcome<Option<Credential>> {
    // Leaving out a session policy that was deleted could leave out a denial.
    for arn in &session.policy_arns {
        if Managed::lookup(reader, &session.account, arn)?.is_none() {
            return Ok(None);
        }
    }
    let Some(mut caller) = session_caller(reader, &session)? else {
        return Ok(None);
    };
    caller.keys = session::keys(&session);
    caller.tags.extend(session.tags.clone());
    caller.access_key = Some(session.id);
    Ok(Some(Credential {
        secret: session.secret,
        session_token: Some(session.token),
        expires: Some(session.expires),
        active: true,
        caller: Arc::new(caller),
    }))
}

/// Who a session is. Nobody, once the user or role behind it is gone or has been made anew.
fn session_caller(reader: &impl Reader, session: &Session) -> Outcome<Option<Caller>> {
    let account = &session.account;
    match &session.of {
        SessionOf::Root => Ok(Some(Caller::root(*account))),
        SessionOf::User { name, id } => {
            let user = User::lookup(reader, account, name)?.filter(|user| user.id == *id);
            user.map(|user| user_caller(reader, &user)).transpose()
        }
        SessionOf::Role {
            name,
            id,
            session: session_name,
        } => {
            let role = Role::lookup(reader, account, name)?.filter(|role| role.id == *id);
            role.map(|role| role_caller(reader, session, &role, session_name))
                .transpose()
        }
        SessionOf::Federated {
            user,
            user_id,
            name,
        } => federated_caller(reader, session, user, user_id, name),
    }
}

fn role_caller(
    reader: &impl Reader,
    session: &Session,
    role: &Role,
    session_name: &str,
) -> Outcome<Caller> {
    Ok(Caller {
        account: role.account,
        kind: CallerKind::Role {
            role_arn: role.arn(),
            role_name: role.name.clone(),
            role_id: role.id.clone(),
            session: session_name.to_owned(),
        },
        arn: session::assumed_role_arn(role, session_name),
        id: format!("{}:{session_name}", role.id),
        canonical_user: role.account.canonical_user(),
        access_key: None,
        policies: Arc::new(Policies {
            session: session_policies(reader, session)?,
            ..of_role(reader, role)?
        }),
        tags: role.tags.clone(),
        keys: Vec::new(),
    })
}

fn federated_caller(
    reader: &impl Reader,
    session: &Session,
    user: &str,
    user_id: &str,
    name: &str,
) -> Outcome<Option<Caller>> {
    let account = session.account;
    let (user_arn, policies) = if user.is_empty() {
        (Caller::root(account).arn, root_policies(reader, session)?)
    } else {
        let found = User::lookup(reader, &account, user)?;
        let Some(user) = found.filter(|user| user.id == user_id) else {
            return Ok(None);
        };
        (user.arn(), of_user(reader, &user)?)
    };
    Ok(Some(Caller {
        account,
        kind: CallerKind::Federated {
            name: name.to_owned(),
            user_arn,
            user_id: user_id.to_owned(),
        },
        arn: session::federated_arn(&account, name),
        id: format!("{account}:{name}"),
        canonical_user: account.canonical_user(),
        access_key: None,
        policies: Arc::new(Policies {
            // Without a session policy it may do nothing.
            session: Some(session_policies(reader, session)?.unwrap_or_default()),
            ..policies
        }),
        tags: BTreeMap::new(),
        keys: Vec::new(),
    }))
}

/// Root may do everything, and passes that on to those it vouches for.
fn root_policies(reader: &impl Reader, session: &Session) -> Outcome<Policies> {
    const ALL: &str = "arn:aws:iam::aws:policy/AdministratorAccess";
    Ok(Policies {
        identity: vec![managed_by_arn(reader, &session.account, ALL)?],
        ..Policies::default()
    })
}

fn session_policies(
    reader: &impl Reader,
    session: &Session,
) -> Outcome<Option<Vec<super::policies::Named>>> {
    if session.inline.is_none() && session.policy_arns.is_empty() {
        return Ok(None);
    }
    let mut policies = Vec::new();
    if let Some(text) = &session.inline {
        policies.push((
            "SessionPolicy".to_owned(),
            document::stored(text, Kind::Identity)?,
        ));
    }
    for arn in &session.policy_arns {
        policies.push(managed_by_arn(reader, &session.account, arn)?);
    }
    Ok(Some(policies))
}
