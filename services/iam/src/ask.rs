//! What IAM's operations ask of the policy engine: the ARN of what they touch, its tags, and the
//! boundary that is set on it.

use gureum_dispatch::{Ask, CallerKind, Cx};
use gureum_kit::{AccountId, Reader};
use gureum_model_iam::types;
use gureum_schema::Result;

use crate::Iam;
use crate::entity::{Entity, Named, arn};
use crate::errors::{Fault, Outcome};
use crate::managed::Managed;
use crate::model::{Account, InstanceProfile, ManagedPolicy, OidcProvider, Tags};

pub(crate) type Asks = Result<Vec<Ask>>;

/// The one question of an IAM operation. Credentials of `GetSessionToken` and
/// `GetFederationToken` cannot call IAM at all, whatever their policies say.
pub(crate) fn one(cx: &Cx, ask: Ask) -> Asks {
    let temporary = cx
        .caller
        .access_key
        .as_ref()
        .is_some_and(|key| key.starts_with("ASIA"));
    if temporary && !matches!(cx.caller.kind, CallerKind::Role { .. }) {
        return Err(
            Fault::invalid_token("The security token included in the request is invalid").into(),
        );
    }
    Ok(vec![ask])
}

/// An operation on the account as a whole.
pub(crate) fn account(cx: &Cx, action: &'static str) -> Asks {
    one(cx, Ask::new(action, "*"))
}

/// A listing of everything of one kind below a path.
pub(crate) fn listing(
    cx: &Cx,
    action: &'static str,
    label: &str,
    path_prefix: Option<&String>,
) -> Asks {
    let path = path_prefix.map_or("/", String::as_str);
    one(cx, Ask::new(action, arn(cx.account(), label, path, "")))
}

/// An operation that creates something.
pub(crate) fn create(
    cx: &Cx,
    action: &'static str,
    label: &str,
    path: Option<&String>,
    name: &str,
    tags: Option<&Vec<types::Tag>>,
) -> Ask {
    let path = path.map_or("/", String::as_str);
    Ask::new(action, arn(cx.account(), label, path, name)).request_tags(pairs(tags))
}

pub(crate) fn pairs(tags: Option<&Vec<types::Tag>>) -> impl Iterator<Item = (&str, &str)> {
    let tags = tags.into_iter().flatten();
    tags.map(|tag| (tag.key.as_str(), tag.value.as_str()))
}

/// A row by its ARN; one that isn't there is asked about under the ARN that it would have at the
/// root path.
fn about<R: Named>(
    iam: &Iam,
    account: &AccountId,
    action: &'static str,
    name: &str,
) -> Outcome<(Ask, Option<R>)> {
    let row = R::lookup(&iam.store.read(), account, name)?;
    let resource = match &row {
        Some(row) => row.arn(),
        None => arn(account, R::LABEL, "/", name),
    };
    Ok((Ask::new(action, resource), row))
}

fn with_tags(ask: Ask, tags: &Tags) -> Ask {
    let pairs = || {
        tags.iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    };
    pairs().fold(ask.resource_tags(pairs()), |ask, (key, value)| {
        ask.key(format!("iam:ResourceTag/{key}"), value)
    })
}

/// A user, group or role, with its tags and its boundary.
pub(crate) fn entity<E: Entity>(
    iam: &Iam,
    cx: &Cx,
    action: &'static str,
    name: &str,
) -> Result<Ask> {
    let (ask, row) = about::<E>(iam, cx.account(), action, name)?;
    Ok(match row {
        None => ask,
        Some(row) => {
            let boundary = row.grants().boundary.clone();
            with_tags(ask, row.entity_tags()).key_opt("iam:PermissionsBoundary", boundary)
        }
    })
}

pub(crate) fn on<E: Entity>(iam: &Iam, cx: &Cx, action: &'static str, name: &str) -> Asks {
    one(cx, entity::<E>(iam, cx, action, name)?)
}

pub(crate) fn profile(iam: &Iam, cx: &Cx, action: &'static str, name: &str) -> Result<Ask> {
    let (ask, row) = about::<InstanceProfile>(iam, cx.account(), action, name)?;
    Ok(row.map_or(ask.clone(), |row| with_tags(ask, &row.tags)))
}

/// A managed policy, which is named by its ARN.
pub(crate) fn policy(iam: &Iam, cx: &Cx, action: &'static str, arn: &str) -> Result<Ask> {
    let ask = Ask::new(action, arn);
    let found = Managed::lookup(&iam.store.read(), cx.account(), arn)?;
    Ok(match found {
        Some(Managed::Own(ManagedPolicy { tags, .. })) => with_tags(ask, &tags),
        _ => ask,
    })
}

pub(crate) fn provider(iam: &Iam, cx: &Cx, action: &'static str, arn: &str) -> Result<Ask> {
    let ask = Ask::new(action, arn);
    let host = arn
        .split_once(":oidc-provider/")
        .map_or("", |(_, host)| host);
    let row = iam
        .store
        .read()
        .get::<OidcProvider>((cx.account(), host))
        .map_err(Fault::from)?;
    Ok(row.map_or(ask.clone(), |row| with_tags(ask, &row.tags)))
}

/// Whose credentials an operation is about when it may leave out the user name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    Root,
    User(String),
}

impl Whose {
    /// The named user, else the caller.
    pub(crate) fn of(cx: &Cx, user_name: Option<&String>) -> Outcome<Self> {
        match (user_name, &cx.caller.kind) {
            (Some(name), _) => Ok(Self::User(name.clone())),
            (None, CallerKind::User { name }) => Ok(Self::User(name.clone())),
            (None, CallerKind::Root) => Ok(Self::Root),
            (None, _) => Err(Fault::validation(
                "Must specify userName when calling with non-User credentials",
            )),
        }
    }

    pub(crate) fn ask(&self, iam: &Iam, cx: &Cx, action: &'static str) -> Asks {
        match self {
            Self::Root => one(cx, Ask::new(action, &cx.caller.arn)),
            Self::User(name) => on::<crate::model::User>(iam, cx, action, name),
        }
    }
}

/// [`Whose`] for an `asks` function.
pub(crate) fn whose(iam: &Iam, cx: &Cx, action: &'static str, user_name: Option<&String>) -> Asks {
    Whose::of(cx, user_name)?.ask(iam, cx, action)
}

/// The account's own row; a fresh one where nothing was ever set.
pub(crate) fn account_row(reader: &impl Reader, account: &AccountId) -> Outcome<Account> {
    let row = reader.get::<Account>(account)?;
    Ok(row.unwrap_or_else(|| Account::new(*account)))
}
