//! `AssumeRoleWithWebIdentity`: a role for whom an OpenID Connect provider vouches for.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::{AccountId, Reader};
use gureum_model_sts::{op, types};
use gureum_policy::{CallerView, Context, NamedPolicy, Question, ResourceMode, evaluate};
use gureum_schema::{Error, Result};

use super::assume::{assumed, check_name, role_by_arn};
use super::jwt::{Claims, Token};
use super::session::{self, begin, duration, passed};
use crate::errors::{Fault, Outcome};
use crate::model::{OidcProvider, Role, Session, SessionOf, Tags, fold};
use crate::{Iam, Table};

const ACTION: &str = "sts:AssumeRoleWithWebIdentity";

pub(super) fn table(table: Table) -> Table {
    table.op_refusing::<op::AssumeRoleWithWebIdentity, _>(
        &["ProviderId"],
        // The request is not signed; the token takes the place of a caller, and what it may do is
        // decided once it is verified.
        |_, _, _| Ok(Vec::new()),
        assume_role_with_web_identity,
    )
}

async fn assume_role_with_web_identity(
    iam: Arc<Iam>,
    cx: Cx,
    mut input: types::AssumeRoleWithWebIdentityRequest,
) -> Result<types::AssumeRoleWithWebIdentityResponse> {
    check_name("roleSessionName", &input.role_session_name, 64)?;
    let text = std::mem::take(&mut input.web_identity_token);
    let token = Token::read(&text)?;
    let reader = iam.store.read();
    let (account, role) = role_by_arn(&reader, &input.role_arn)?;
    let denied = || Fault::access_denied(format!("Not authorized to perform {ACTION}"));
    let (Some(account), Some(role)) = (account, role) else {
        return Err(denied().into());
    };
    let provider = provider(&reader, &account, &token.claims)?;
    drop(reader);
    let keys = iam.provider_keys.get(&provider, token.kid()).await?;
    token.verify(&keys)?;
    check_claims(&token.claims, &provider, &cx)?;
    let keys = claim_keys(&token.claims, &provider);
    if !trusted(&role, &provider, &keys, &cx, &input)? {
        return Err(denied().into());
    }
    open(&iam, &cx, input, &role, &provider, &token.claims, keys).await
}

async fn open(
    iam: &Iam,
    cx: &Cx,
    input: types::AssumeRoleWithWebIdentityRequest,
    role: &Role,
    provider: &OidcProvider,
    claims: &Claims,
    mut keys: Vec<(String, Vec<String>)>,
) -> Result<types::AssumeRoleWithWebIdentityResponse> {
    let seconds = duration(input.duration_seconds, 3600, 900..=43_200)?;
    if seconds > role.max_session {
        return Err(Fault::validation(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
        )
        .into());
    }
    let passed = passed(
        &iam.store.read(),
        &role.account,
        input.policy,
        input.policy_arns,
        &Tags::new(),
    )?;
    keys.push(("aws:FederatedProvider".into(), vec![provider.arn()]));
    let of = SessionOf::Role {
        name: fold(&role.name),
        id: role.id.clone(),
        session: input.role_session_name.clone(),
    };
    let session = Session {
        inline: passed.inline,
        policy_arns: passed.arns,
        keys,
        ..begin(role.account, of, cx.now, seconds)
    };
    let credentials = session::store(iam, &session).await?;
    Ok(types::AssumeRoleWithWebIdentityResponse {
        credentials: Some(credentials),
        subject_from_web_identity_token: Some(claims.sub.clone()),
        assumed_role_user: Some(assumed(role, &input.role_session_name)),
        packed_policy_size: passed.packed,
        provider: Some(provider.arn()),
        audience: claims.aud.all().first().cloned(),
        source_identity: None,
    })
}

/// The provider of the role's account that the token says it is from.
fn provider(reader: &impl Reader, account: &AccountId, claims: &Claims) -> Outcome<OidcProvider> {
    let host = without_scheme(&claims.iss);
    let found = reader.get::<OidcProvider>((account, host))?;
    // Some issuers name themselves without a scheme; one that names another is another issuer.
    let named = found.filter(|it| match claims.iss.split_once("://") {
        Some((scheme, _)) => scheme == it.scheme,
        None => true,
    });
    named.ok_or_else(|| {
        Fault::invalid_identity_token(format!(
            "No OpenIDConnect provider found in your account for {}",
            claims.iss
        ))
    })
}

pub(crate) fn without_scheme(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.trim_end_matches('/')
}

fn check_claims(claims: &Claims, provider: &OidcProvider, cx: &Cx) -> Result<()> {
    let now = cx.now.secs();
    if claims.exp <= now {
        return Err(Fault::expired_token(format!(
            "Token expired: current date/time {now} must be before the expiration date/time {}",
            claims.exp
        ))
        .into());
    }
    // Five minutes for the provider's clock.
    if claims.nbf.is_some_and(|nbf| nbf > now + 300) {
        return Err(Fault::invalid_identity_token("The token is not valid yet.").into());
    }
    let audiences = claims.azp.iter().chain(claims.aud.all());
    if !audiences
        .into_iter()
        .any(|aud| provider.client_ids.contains(aud))
    {
        return Err(Fault::invalid_identity_token("Incorrect token audience").into());
    }
    let unknown = [
        "https://aws.amazon.com/tags",
        "https://aws.amazon.com/source_identity",
    ];
    match unknown
        .iter()
        .find(|claim| claims.others.contains_key(**claim))
    {
        Some(claim) => Err(Error::not_implemented(format!("The claim {claim}"))),
        None => Ok(()),
    }
}

/// `issuer:aud`, `issuer:sub` and the other claims that are texts.
fn claim_keys(claims: &Claims, provider: &OidcProvider) -> Vec<(String, Vec<String>)> {
    let key = |name: &str| format!("{}:{name}", provider.host);
    let mut keys = vec![(key("sub"), vec![claims.sub.clone()])];
    match &claims.azp {
        Some(azp) => {
            keys.push((key("aud"), vec![azp.clone()]));
            keys.push((key("oaud"), claims.aud.all().to_vec()));
        }
        None => keys.push((key("aud"), claims.aud.all().to_vec())),
    }
    let texts = claims.others.iter().filter_map(|(name, value)| {
        let text = value.as_str()?;
        Some((key(name), vec![text.to_owned()]))
    });
    keys.extend(texts);
    keys
}

/// Whether the role's trust policy lets the provider's subject in.
fn trusted(
    role: &Role,
    provider: &OidcProvider,
    keys: &[(String, Vec<String>)],
    cx: &Cx,
    input: &types::AssumeRoleWithWebIdentityRequest,
) -> Outcome<bool> {
    let trust = role.trust.policy()?;
    let mut context = Context::new()
        .with("aws:SourceIp", cx.request.source_ip.to_string())
        .with("aws:SecureTransport", cx.request.secure.to_string())
        .with("aws:UserAgent", cx.request.user_agent.as_str())
        .with("aws:CurrentTime", cx.now.to_string())
        .with("aws:EpochTime", cx.now.secs().to_string())
        .with("aws:FederatedProvider", provider.arn())
        .with("sts:RoleSessionName", input.role_session_name.as_str());
    for (name, values) in keys {
        context.set_all(name, values.iter().map(String::as_str));
    }
    let arn = provider.arn();
    let decision = evaluate(&Question {
        action: ACTION,
        resource: &input.role_arn,
        resource_account: role.account.as_str(),
        caller: &CallerView::identity_provider(&arn),
        context: &context,
        identity: &[],
        boundary: None,
        session: None,
        endpoint: None,
        resource_policy: Some(NamedPolicy {
            id: "trust-policy",
            policy: &trust,
        }),
        resource_mode: ResourceMode::MustAllow,
    });
    Ok(decision.allowed)
}
