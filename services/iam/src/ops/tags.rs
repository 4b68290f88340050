//! Tags of everything that can carry them.

use std::sync::Arc;

use gureum_dispatch::{Ask, Cx};
use gureum_kit::{AccountId, Reader};
use gureum_model_iam::{op, types};
use gureum_schema::{Operation, Result};

use crate::entity::{Named, Tagged};
use crate::errors::Outcome;
use crate::managed::own_to_change;
use crate::model::{InstanceProfile, ManagedPolicy, OidcProvider, Role, Tags, User};
use crate::ops::oidc;
use crate::page::{Ask as Paging, Page};
use crate::{Iam, Table, ask, names, view};

type In<O> = <O as Operation>::In;
type Out<O> = <O as Operation>::Out;

/// A tagged row by the name or ARN that its operations go by.
trait Taggable: Tagged {
    fn locate(reader: &impl Reader, account: &AccountId, handle: &str) -> Outcome<Self>;
    fn ask(iam: &Iam, cx: &Cx, action: &'static str, handle: &str) -> Result<Ask>;
}

macro_rules! taggable {
    ($($row:ty: $locate:expr, $ask:expr;)*) => {$(
        impl Taggable for $row {
            fn locate(reader: &impl Reader, account: &AccountId, handle: &str) -> Outcome<Self> {
                $locate(reader, account, handle)
            }
            fn ask(iam: &Iam, cx: &Cx, action: &'static str, handle: &str) -> Result<Ask> {
                $ask(iam, cx, action, handle)
            }
        }
    )*};
}

taggable! {
    User: User::find, ask::entity::<User>;
    Role: Role::find, ask::entity::<Role>;
    InstanceProfile: InstanceProfile::find, ask::profile;
    ManagedPolicy: own_to_change, ask::policy;
    OidcProvider: oidc::find, ask::provider;
}

/// The three operations of one kind of row.
macro_rules! operations {
    ($table:expr, $row:ty, $handle:ident, $tag:ident, $untag:ident, $list:ident) => {
        $table
            .op::<op::$tag, _>(
                |iam, cx, i| {
                    let action = concat!("iam:", stringify!($tag));
                    let ask = <$row as Taggable>::ask(iam, cx, action, &i.$handle)?;
                    ask::one(cx, ask.request_tags(ask::pairs(Some(&i.tags))))
                },
                |iam: Arc<Iam>, cx: Cx, i: In<op::$tag>| async move {
                    tag::<$row>(&iam, &cx, &i.$handle, &i.tags).await?;
                    Ok(Out::<op::$tag>::default())
                },
            )
            .op::<op::$untag, _>(
                |iam, cx, i| {
                    let action = concat!("iam:", stringify!($untag));
                    let ask = <$row as Taggable>::ask(iam, cx, action, &i.$handle)?;
                    ask::one(cx, ask.keys("aws:TagKeys", i.tag_keys.clone()))
                },
                |iam: Arc<Iam>, cx: Cx, i: In<op::$untag>| async move {
                    untag::<$row>(&iam, &cx, &i.$handle, &i.tag_keys).await?;
                    Ok(Out::<op::$untag>::default())
                },
            )
            .op::<op::$list, _>(
                |iam, cx, i| {
                    let action = concat!("iam:", stringify!($list));
                    ask::one(cx, <$row as Taggable>::ask(iam, cx, action, &i.$handle)?)
                },
                |iam: Arc<Iam>, cx: Cx, i: In<op::$list>| async move {
                    let row = <$row>::locate(&iam.store.read(), cx.account(), &i.$handle)?;
                    let paging = Paging::new(i.marker.as_deref(), i.max_items)?;
                    let page = page(row.tags(), &paging);
                    Ok(Out::<op::$list> {
                        is_truncated: page.truncated(),
                        tags: page.items,
                        marker: page.marker,
                    })
                },
            )
    };
}

#[rustfmt::skip]
pub(crate) fn table(table: Table) -> Table {
    let table = operations!(table, User, user_name, TagUser, UntagUser, ListUserTags);
    let table = operations!(table, Role, role_name, TagRole, UntagRole, ListRoleTags);
    let table = operations!(table, InstanceProfile, instance_profile_name, TagInstanceProfile, UntagInstanceProfile, ListInstanceProfileTags);
    let table = operations!(table, ManagedPolicy, policy_arn, TagPolicy, UntagPolicy, ListPolicyTags);
    operations!(table, OidcProvider, open_id_connect_provider_arn, TagOpenIDConnectProvider, UntagOpenIDConnectProvider, ListOpenIDConnectProviderTags)
}

async fn tag<R: Taggable>(iam: &Iam, cx: &Cx, handle: &str, tags: &[types::Tag]) -> Outcome<()> {
    let tags = names::tags(tags)?;
    iam.write(|tx| {
        let mut row = R::locate(tx, cx.account(), handle)?;
        let given = tags.iter().map(|(key, value)| (&**key, &**value));
        names::put_tags(row.tags_mut(), given)?;
        Ok(tx.put(&row)?)
    })
    .await
}

async fn untag<R: Taggable>(iam: &Iam, cx: &Cx, handle: &str, keys: &[String]) -> Outcome<()> {
    iam.write(|tx| {
        let mut row = R::locate(tx, cx.account(), handle)?;
        for key in keys {
            names::remove_tag(row.tags_mut(), key);
        }
        Ok(tx.put(&row)?)
    })
    .await
}

fn page(tags: &Tags, paging: &Paging) -> Page<types::Tag> {
    paging.page(view::tags(tags), |tag| tag.key.clone())
}
