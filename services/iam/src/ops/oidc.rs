//! OpenID Connect providers, whose tokens `AssumeRoleWithWebIdentity` accepts.

use std::sync::Arc;

use gureum_dispatch::{Ask, Cx};
use gureum_kit::{AccountId, Reader, Scan};
use gureum_model_iam::{op, types};
use gureum_schema::Result;

use crate::errors::{Fault, Outcome};
use crate::model::OidcProvider;
use crate::sts::provider_keys::may_be_asked;
use crate::sts::web_identity::without_scheme;
use crate::{Iam, Table, ask, names, view};

/// Providers that an account may have.
const QUOTA: usize = 100;
/// Audiences that a provider may have.
const CLIENT_IDS: usize = 100;
const THUMBPRINTS: usize = 5;

#[rustfmt::skip]
pub(crate) fn table(table: Table) -> Table {
    table
        .op::<op::CreateOpenIDConnectProvider, _>(asks_create, create)
        .op::<op::GetOpenIDConnectProvider, _>(
            |iam, cx, i| ask::one(cx, ask::provider(iam, cx, "iam:GetOpenIDConnectProvider", &i.open_id_connect_provider_arn)?),
            get,
        )
        .op::<op::ListOpenIDConnectProviders, _>(
            |_, cx, _| ask::listing(cx, "iam:ListOpenIDConnectProviders", "oidc-provider", None),
            list,
        )
        .op::<op::DeleteOpenIDConnectProvider, _>(
            |iam, cx, i| ask::one(cx, ask::provider(iam, cx, "iam:DeleteOpenIDConnectProvider", &i.open_id_connect_provider_arn)?),
            delete,
        )
        .op::<op::AddClientIDToOpenIDConnectProvider, _>(
            |iam, cx, i| ask::one(cx, ask::provider(iam, cx, "iam:AddClientIDToOpenIDConnectProvider", &i.open_id_connect_provider_arn)?),
            add_client_id,
        )
        .op::<op::RemoveClientIDFromOpenIDConnectProvider, _>(
            |iam, cx, i| ask::one(cx, ask::provider(iam, cx, "iam:RemoveClientIDFromOpenIDConnectProvider", &i.open_id_connect_provider_arn)?),
            remove_client_id,
        )
        .op::<op::UpdateOpenIDConnectProviderThumbprint, _>(
            |iam, cx, i| ask::one(cx, ask::provider(iam, cx, "iam:UpdateOpenIDConnectProviderThumbprint", &i.open_id_connect_provider_arn)?),
            update_thumbprints,
        )
}

fn asks_create(
    _: &Iam,
    cx: &Cx,
    input: &types::CreateOpenIDConnectProviderRequest,
) -> Result<Vec<Ask>> {
    let host = without_scheme(&input.url);
    let ask = ask::create(
        cx,
        "iam:CreateOpenIDConnectProvider",
        "oidc-provider",
        None,
        host,
        input.tags.as_ref(),
    );
    ask::one(cx, ask)
}

/// The provider with this ARN, or `NoSuchEntity`.
pub(super) fn find(reader: &impl Reader, account: &AccountId, arn: &str) -> Outcome<OidcProvider> {
    let Some((_, host)) = arn.split_once(":oidc-provider/") else {
        return Err(Fault::invalid_input(format!("Invalid ARN: {arn}")));
    };
    let found = reader.get::<OidcProvider>((account, host))?;
    found
        .filter(|provider| provider.arn() == arn)
        .ok_or_else(|| {
            Fault::no_such_entity(format!("OpenIDConnect Provider not found for arn {arn}"))
        })
}

/// The scheme and the rest of an issuer's URL.
fn issuer(url: &str) -> Outcome<(&str, &str)> {
    let (scheme, _) = url.split_once("://").unwrap_or_default();
    let host = without_scheme(url);
    let plain = host
        .bytes()
        .all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#');
    if may_be_asked(url) && !host.is_empty() && plain && url.len() <= 255 {
        return Ok((scheme, host));
    }
    Err(Fault::validation("Invalid Open ID Connect Provider URL"))
}

fn check_client_ids(ids: &[String]) -> Outcome<()> {
    if ids.len() > CLIENT_IDS {
        return Err(Fault::quota(
            "ClientIdsPerOpenIdConnectProvider",
            CLIENT_IDS,
        ));
    }
    if ids.iter().any(|id| id.is_empty() || id.len() > 255) {
        return Err(Fault::invalid_input(
            "A client id must have between 1 and 255 characters.",
        ));
    }
    Ok(())
}

/// A provider whose certificate leads to none of the authorities that the host knows is believed
/// for a thumbprint; one that was given none is not.
fn check_thumbprints(prints: &[String]) -> Outcome<()> {
    if prints.len() > THUMBPRINTS {
        return Err(Fault::invalid_input(
            "Thumbprint list must contain fewer than 5 entries.",
        ));
    }
    let valid = |print: &String| print.len() == 40 && print.bytes().all(|b| b.is_ascii_hexdigit());
    if !prints.iter().all(valid) {
        return Err(Fault::validation(
            "A thumbprint is 40 hexadecimal digits, the SHA-1 of a certificate.",
        ));
    }
    Ok(())
}

async fn create(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::CreateOpenIDConnectProviderRequest,
) -> Result<types::CreateOpenIDConnectProviderResponse> {
    let (scheme, host) = issuer(&input.url)?;
    let client_ids = input.client_id_list.unwrap_or_default();
    let thumbprints = input.thumbprint_list.unwrap_or_default();
    check_client_ids(&client_ids)?;
    check_thumbprints(&thumbprints)?;
    let provider = OidcProvider {
        account: *cx.account(),
        host: host.to_owned(),
        scheme: scheme.to_owned(),
        created: cx.now,
        client_ids,
        thumbprints,
        tags: names::tags(input.tags.as_deref().unwrap_or_default())?,
    };
    iam.write(|tx| {
        if tx.has::<OidcProvider>((cx.account(), host))? {
            return Err(Fault::already_exists(format!(
                "Provider with url {} already exists.",
                input.url
            )));
        }
        super::room_for::<OidcProvider>(
            tx,
            cx.account(),
            QUOTA,
            "OpenIdConnectProvidersPerAccount",
        )?;
        Ok(tx.put(&provider)?)
    })
    .await?;
    Ok(types::CreateOpenIDConnectProviderResponse {
        open_id_connect_provider_arn: Some(provider.arn()),
        tags: view::tags_opt(&provider.tags),
    })
}

async fn get(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::GetOpenIDConnectProviderRequest,
) -> Result<types::GetOpenIDConnectProviderResponse> {
    let reader = iam.store.read();
    let provider = find(&reader, cx.account(), &input.open_id_connect_provider_arn)?;
    Ok(types::GetOpenIDConnectProviderResponse {
        tags: view::tags_opt(&provider.tags),
        url: Some(provider.host),
        client_id_list: Some(provider.client_ids),
        thumbprint_list: Some(provider.thumbprints),
        create_date: Some(provider.created),
    })
}

async fn list(
    iam: Arc<Iam>,
    cx: Cx,
    _: types::ListOpenIDConnectProvidersRequest,
) -> Result<types::ListOpenIDConnectProvidersResponse> {
    let mut entries = Vec::new();
    let reader = iam.store.read();
    for provider in reader.scan(Scan::<OidcProvider>::of((cx.account(),))) {
        entries.push(types::OpenIDConnectProviderListEntry {
            arn: Some(provider.map_err(Fault::from)?.arn()),
        });
    }
    Ok(types::ListOpenIDConnectProvidersResponse {
        open_id_connect_provider_list: Some(entries),
    })
}

/// Deleting a provider that isn't there is no error.
async fn delete(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::DeleteOpenIDConnectProviderRequest,
) -> Result<types::DeleteOpenIDConnectProviderOutput> {
    let arn = &input.open_id_connect_provider_arn;
    let (_, host) = arn.split_once(":oidc-provider/").unwrap_or_default();
    if host.is_empty() {
        return Err(Fault::invalid_input(format!("Invalid ARN: {arn}")).into());
    }
    iam.write(|tx| Ok(tx.delete::<OidcProvider>((cx.account(), host))?))
        .await?;
    Ok(types::DeleteOpenIDConnectProviderOutput {})
}

async fn change(
    iam: &Iam,
    cx: &Cx,
    arn: &str,
    mut change: impl FnMut(&mut OidcProvider) -> Outcome<()> + Send,
) -> Outcome<()> {
    iam.write(|tx| {
        let mut provider = find(tx, cx.account(), arn)?;
        change(&mut provider)?;
        Ok(tx.put(&provider)?)
    })
    .await
}

/// Adding a client id twice is as good as once.
async fn add_client_id(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::AddClientIDToOpenIDConnectProviderRequest,
) -> Result<types::AddClientIDToOpenIDConnectProviderOutput> {
    change(&iam, &cx, &input.open_id_connect_provider_arn, |provider| {
        if !provider.client_ids.contains(&input.client_id) {
            provider.client_ids.push(input.client_id.clone());
        }
        check_client_ids(&provider.client_ids)
    })
    .await?;
    Ok(types::AddClientIDToOpenIDConnectProviderOutput {})
}

/// Removing a client id that isn't there is no error.
async fn remove_client_id(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::RemoveClientIDFromOpenIDConnectProviderRequest,
) -> Result<types::RemoveClientIDFromOpenIDConnectProviderOutput> {
    change(&iam, &cx, &input.open_id_connect_provider_arn, |provider| {
        provider.client_ids.retain(|id| *id != input.client_id);
        Ok(())
    })
    .await?;
    Ok(types::RemoveClientIDFromOpenIDConnectProviderOutput {})
}

async fn update_thumbprints(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::UpdateOpenIDConnectProviderThumbprintRequest,
) -> Result<types::UpdateOpenIDConnectProviderThumbprintOutput> {
    check_thumbprints(&input.thumbprint_list)?;
    change(&iam, &cx, &input.open_id_connect_provider_arn, |provider| {
        provider.thumbprints.clone_from(&input.thumbprint_list);
        Ok(())
    })
    .await?;
    Ok(types::UpdateOpenIDConnectProviderThumbprintOutput {})
}
