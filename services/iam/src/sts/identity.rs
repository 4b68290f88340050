//! Who am I, and whose key is this.

use std::sync::Arc;

use gureum_dispatch::{Ask, Cx};
use gureum_kit::Reader;
use gureum_model_sts::{op, types};
use gureum_schema::Result;

use crate::errors::Fault;
use crate::model::{AccessKey, Session};
use crate::{Iam, Table};

pub(crate) fn table(table: Table) -> Table {
    table
        // Nobody needs a permission to learn who they are, and no policy can forbid it.
        .op::<op::GetCallerIdentity, _>(|_, _, _| Ok(Vec::new()), get_caller_identity)
        .op::<op::GetAccessKeyInfo, _>(
            |_, cx, _| asks(cx, "sts:GetAccessKeyInfo"),
            get_access_key_info,
        )
}

/// An operation that knows no resource.
pub(super) fn asks(cx: &Cx, action: &'static str) -> Result<Vec<Ask>> {
    signed(cx)?;
    Ok(vec![Ask::new(action, "*")])
}

/// Refuses requests without a signature where one is needed.
pub(super) fn signed(cx: &Cx) -> Result<()> {
    if cx.caller.is_anonymous() {
        return Err(Fault::missing_token("Request is missing Authentication Token").into());
    }
    Ok(())
}

async fn get_caller_identity(
    _: Arc<Iam>,
    cx: Cx,
    _: types::GetCallerIdentityRequest,
) -> Result<types::GetCallerIdentityResponse> {
    signed(&cx)?;
    Ok(types::GetCallerIdentityResponse {
        user_id: Some(cx.caller.id.clone()),
        account: Some(cx.caller.account.to_string()),
        arn: Some(cx.caller.arn.clone()),
    })
}

async fn get_access_key_info(
    iam: Arc<Iam>,
    _: Cx,
    input: types::GetAccessKeyInfoRequest,
) -> Result<types::GetAccessKeyInfoResponse> {
    let reader = iam.store.read();
    let id = &input.access_key_id;
    let account = if *id == iam.root.access_key_id {
        Some(iam.root.account)
    } else if let Some(key) = reader.get::<AccessKey>(id).map_err(Fault::from)? {
        Some(key.account)
    } else {
        let session = reader.get::<Session>(id).map_err(Fault::from)?;
        session.map(|session| session.account)
    };
    match account {
        Some(account) => Ok(types::GetAccessKeyInfoResponse {
            account: Some(account.to_string()),
        }),
        None => Err(Fault::validation("Invalid Access Key ID").into()),
    }
}
