//! Access keys: two per user, the secret shown once.

use std::sync::Arc;

use gureum_dispatch::{Ask, Cx};
use gureum_kit::names::id;
use gureum_kit::{AccountId, Reader, Tx};
use gureum_model_iam::{op, types};
use gureum_schema::Result;

use crate::ask::{Whose, account_row};
use crate::entity::Named;
use crate::errors::{Fault, Outcome};
use crate::model::{AccessKey, KeyUse, User, fold};
use crate::page::Ask as Paging;
use crate::{Iam, Table, ask};

/// Access keys that a user may have, so that one can be rotated in before the other goes.
const QUOTA: usize = 2;

pub(crate) fn table(table: Table) -> Table {
    table
        .op::<op::CreateAccessKey, _>(
            |iam, cx, i| ask::whose(iam, cx, "iam:CreateAccessKey", i.user_name.as_ref()),
            create_access_key,
        )
        .op::<op::ListAccessKeys, _>(
            |iam, cx, i| ask::whose(iam, cx, "iam:ListAccessKeys", i.user_name.as_ref()),
            list_access_keys,
        )
        .op::<op::UpdateAccessKey, _>(
            |iam, cx, i| ask::whose(iam, cx, "iam:UpdateAccessKey", i.user_name.as_ref()),
            update_access_key,
        )
        .op::<op::DeleteAccessKey, _>(
            |iam, cx, i| ask::whose(iam, cx, "iam:DeleteAccessKey", i.user_name.as_ref()),
            delete_access_key,
        )
        .op::<op::GetAccessKeyLastUsed, _>(asks_last_used, get_access_key_last_used)
}

impl Whose {
    /// The name that access key rows carry.
    fn row_name(&self) -> Option<String> {
        match self {
            Self::Root => None,
            Self::User(name) => Some(fold(name)),
        }
    }

    /// What messages and replies call it.
    fn shown(&self) -> String {
        match self {
            Self::Root => "<root_account>".into(),
            Self::User(name) => name.clone(),
        }
    }

    fn key_ids(&self, reader: &impl Reader, account: &AccountId) -> Outcome<Vec<String>> {
        Ok(match self {
            Self::Root => account_row(reader, account)?.root_keys,
            Self::User(name) => User::find(reader, account, name)?.access_keys,
        })
    }

    fn set_key_ids(&self, tx: &mut Tx, account: &AccountId, ids: Vec<String>) -> Outcome<()> {
        match self {
            Self::Root => {
                let mut row = account_row(tx, account)?;
                row.root_keys = ids;
                Ok(tx.put(&row)?)
            }
            Self::User(name) => {
                let mut user = User::find(tx, account, name)?;
                user.access_keys = ids;
                Ok(tx.put(&user)?)
            }
        }
    }

    /// One of its keys, or `NoSuchEntity`.
    fn key(&self, reader: &impl Reader, account: &AccountId, id: &str) -> Outcome<AccessKey> {
        // Tells a missing user from a missing key.
        self.key_ids(reader, account)?;
        let own = |key: &AccessKey| key.account == *account && key.user == self.row_name();
        let found = reader.get::<AccessKey>(id)?.filter(own);
        found.ok_or_else(|| {
            Fault::no_such_entity(format!("The Access Key with id {id} cannot be found."))
        })
    }
}

async fn create_access_key(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::CreateAccessKeyRequest,
) -> Result<types::CreateAccessKeyResponse> {
    let whose = Whose::of(&cx, input.user_name.as_ref())?;
    let key = AccessKey {
        id: id::unique(id::Kind::AccessKey),
        account: *cx.account(),
        user: whose.row_name(),
        secret: id::secret(),
        active: true,
        created: cx.now,
    };
    iam.write(|tx| {
        let mut ids = whose.key_ids(tx, cx.account())?;
        if ids.len() >= QUOTA {
            return Err(Fault::quota("AccessKeysPerUser", QUOTA));
        }
        ids.push(key.id.clone());
        whose.set_key_ids(tx, cx.account(), ids)?;
        Ok(tx.put(&key)?)
    })
    .await?;
    Ok(types::CreateAccessKeyResponse {
        access_key: types::AccessKey {
            user_name: whose.shown(),
            status: status(&key).into(),
            access_key_id: key.id,
            secret_access_key: key.secret,
            create_date: Some(key.created),
        },
    })
}

fn status(key: &AccessKey) -> &'static str {
    if key.active { "Active" } else { "Inactive" }
}

async fn list_access_keys(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::ListAccessKeysRequest,
) -> Result<types::ListAccessKeysResponse> {
    let whose = Whose::of(&cx, input.user_name.as_ref())?;
    let reader = iam.store.read();
    let mut keys = Vec::new();
    for id in whose
        .key_ids(&reader, cx.account())
        .map_err(gureum_schema::Error::from)?
    {
        keys.extend(reader.get::<AccessKey>(id).map_err(Fault::from)?);
    }
    keys.sort_by(|a, b| a.id.cmp(&b.id));
    let page =
        Paging::new(input.marker.as_deref(), input.max_items)?.page(keys, |key| key.id.clone());
    Ok(types::ListAccessKeysResponse {
        is_truncated: page.truncated(),
        access_key_metadata: page
            .items
            .iter()
            .map(|key| types::AccessKeyMetadata {
                user_name: Some(whose.shown()),
                access_key_id: Some(key.id.clone()),
                status: Some(status(key).into()),
                create_date: Some(key.created),
            })
            .collect(),
        marker: page.marker,
    })
}

async fn update_access_key(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::UpdateAccessKeyRequest,
) -> Result<types::UpdateAccessKeyOutput> {
    let whose = Whose::of(&cx, input.user_name.as_ref())?;
    let active = match input.status.as_str() {
        "Active" => true,
        "Inactive" => false,
        other => {
            return Err(Fault::validation(format!(
                "Value '{other}' at 'status' failed to satisfy constraint: Member must satisfy enum value set: [Active, Inactive]"
            ))
            .into());
        }
    };
    iam.write(|tx| {
        let mut key = whose.key(tx, cx.account(), &input.access_key_id)?;
        key.active = active;
        Ok(tx.put(&key)?)
    })
    .await?;
    Ok(types::UpdateAccessKeyOutput {})
}

async fn delete_access_key(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::DeleteAccessKeyRequest,
) -> Result<types::DeleteAccessKeyOutput> {
    let whose = Whose::of(&cx, input.user_name.as_ref())?;
    iam.write(|tx| {
        let key = whose.key(tx, cx.account(), &input.access_key_id)?;
        let mut ids = whose.key_ids(tx, cx.account())?;
        ids.retain(|id| *id != key.id);
        whose.set_key_ids(tx, cx.account(), ids)?;
        tx.delete::<AccessKey>(&key.id)?;
        Ok(tx.delete::<KeyUse>(&key.id)?)
    })
    .await?;
    Ok(types::DeleteAccessKeyOutput {})
}

fn asks_last_used(
    iam: &Iam,
    cx: &Cx,
    input: &types::GetAccessKeyLastUsedRequest,
) -> Result<Vec<Ask>> {
    const ACTION: &str = "iam:GetAccessKeyLastUsed";
    match owner(iam, cx, &input.access_key_id)? {
        Some(AccessKey {
            user: Some(user), ..
        }) => ask::on::<User>(iam, cx, ACTION, &user),
        _ => ask::account(cx, ACTION),
    }
}

/// The key, if it is one of the caller's account.
fn owner(iam: &Iam, cx: &Cx, id: &str) -> Outcome<Option<AccessKey>> {
    let key = iam.store.read().get::<AccessKey>(id)?;
    Ok(key.filter(|key| key.account == *cx.account()))
}

async fn get_access_key_last_used(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::GetAccessKeyLastUsedRequest,
) -> Result<types::GetAccessKeyLastUsedResponse> {
    let Some(key) = owner(&iam, &cx, &input.access_key_id)? else {
        return Err(Fault::access_denied(format!(
            "User: {} is not authorized to perform: iam:GetAccessKeyLastUsed on resource: access key {}",
            cx.caller.arn, input.access_key_id
        ))
        .into());
    };
    let reader = iam.store.read();
    let user = match &key.user {
        Some(name) => Some(User::find(&reader, cx.account(), name)?.name),
        None => None,
    };
    let used = iam.last_used(&reader, &key.id)?;
    let shown = used.map_or_else(
        || types::AccessKeyLastUsed {
            last_used_date: None,
            service_name: "N/A".into(),
            region: "N/A".into(),
        },
        |used| types::AccessKeyLastUsed {
            last_used_date: Some(used.when),
            service_name: used.service,
            region: used.region,
        },
    );
    Ok(types::GetAccessKeyLastUsedResponse {
        user_name: user,
        access_key_last_used: Some(shown),
    })
}
