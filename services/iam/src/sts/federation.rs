//! Temporary credentials for users themselves and for those they vouch for.

use std::sync::Arc;

use gureum_dispatch::{Ask, CallerKind, Cx};
use gureum_model_sts::{op, types};
use gureum_schema::Result;

use super::assume::check_name;
use super::identity::signed;
use super::session::{self, begin, duration, passed};
use crate::errors::{Fault, Outcome};
use crate::model::{Session, SessionOf, fold};
use crate::{Iam, Table};

const DEFAULT: i32 = 43_200;
const MAX: i32 = 129_600;
/// What root's temporary credentials last at most.
const ROOT_MAX: i32 = 3600;

pub(super) fn table(table: Table) -> Table {
    table
        // Whoever has a long-term key may have a shorter-lived one.
        .op_refusing::<op::GetSessionToken, _>(
            &["SerialNumber", "TokenCode"],
            |_, _, _| Ok(Vec::new()),
            get_session_token,
        )
        .op::<op::GetFederationToken, _>(asks_federation, get_federation_token)
}

/// Both operations are for long-term credentials only.
fn long_term(cx: &Cx, operation: &str) -> Result<()> {
    signed(cx)?;
    let long_term = cx
        .caller
        .access_key
        .as_ref()
        .is_some_and(|key| !key.starts_with("ASIA"));
    match cx.caller.kind {
        CallerKind::Root | CallerKind::User { .. } if long_term => Ok(()),
        _ => Err(
            Fault::access_denied(format!("Cannot call {operation} with session credentials"))
                .into(),
        ),
    }
}

/// Root's credentials are kept shorter than asked for rather than refused.
fn seconds(cx: &Cx, given: Option<i32>) -> Outcome<i32> {
    let seconds = duration(given, DEFAULT, 900..=MAX)?;
    Ok(match cx.caller.kind {
        CallerKind::Root => seconds.min(ROOT_MAX),
        _ => seconds,
    })
}

async fn get_session_token(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::GetSessionTokenRequest,
) -> Result<types::GetSessionTokenResponse> {
    long_term(&cx, "GetSessionToken")?;
    let of = match &cx.caller.kind {
        CallerKind::User { name } => SessionOf::User {
            name: fold(name),
            id: cx.caller.id.clone(),
        },
        _ => SessionOf::Root,
    };
    let seconds = seconds(&cx, input.duration_seconds)?;
    let session = begin(*cx.account(), of, cx.now, seconds);
    let credentials = session::store(&iam, &session).await?;
    Ok(types::GetSessionTokenResponse {
        credentials: Some(credentials),
    })
}

fn asks_federation(_: &Iam, cx: &Cx, input: &types::GetFederationTokenRequest) -> Result<Vec<Ask>> {
    long_term(cx, "GetFederationToken")?;
    let resource = session::federated_arn(cx.account(), &input.name);
    let tags = input.tags.as_deref().unwrap_or_default();
    let ask = |action| {
        Ask::new(action, &resource).request_tags(tags.iter().map(|tag| (&*tag.key, &*tag.value)))
    };
    let mut asks = vec![ask("sts:GetFederationToken")];
    if !tags.is_empty() {
        asks.push(ask("sts:TagSession"));
    }
    Ok(asks)
}

async fn get_federation_token(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::GetFederationTokenRequest,
) -> Result<types::GetFederationTokenResponse> {
    check_name("name", &input.name, 32)?;
    let (user, user_id) = match &cx.caller.kind {
        CallerKind::User { name } => (fold(name), cx.caller.id.clone()),
        _ => (String::new(), cx.caller.id.clone()),
    };
    let seconds = seconds(&cx, input.duration_seconds)?;
    let tags = session::tags(input.tags.as_ref())?;
    let reader = iam.store.read();
    let passed = passed(
        &reader,
        cx.account(),
        input.policy,
        input.policy_arns,
        &tags,
    )?;
    let of = SessionOf::Federated {
        user,
        user_id,
        name: input.name.clone(),
    };
    let session = Session {
        inline: passed.inline,
        policy_arns: passed.arns,
        tags,
        ..begin(*cx.account(), of, cx.now, seconds)
    };
    let credentials = session::store(&iam, &session).await?;
    Ok(types::GetFederationTokenResponse {
        credentials: Some(credentials),
        federated_user: Some(types::FederatedUser {
            federated_user_id: format!("{}:{}", cx.account(), input.name),
            arn: session::federated_arn(cx.account(), &input.name),
        }),
        packed_policy_size: passed.packed,
    })
}
