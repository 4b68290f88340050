//! Console passwords: kept as salted hashes, checked against the account's password policy.

use std::num::NonZeroU32;
use std::sync::Arc;

use gureum_dispatch::{Ask, CallerKind, Cx};
use gureum_kit::Reader;
use gureum_kit::names::id;
use gureum_model_iam::{op, types};
use gureum_policy::Kind;
use gureum_schema::{Result, Timestamp};
use ring::pbkdf2;
use serde_json::json;

use crate::ask::{Whose, account_row};
use crate::entity::Named;
use crate::errors::{Fault, Outcome};
use crate::model::{Login, PasswordHash, PasswordPolicy, User};
use crate::{Iam, Table, ask, document};

/// OWASP's advice for PBKDF2-HMAC-SHA256; a quarter of a second or less on any machine.
const ROUNDS: NonZeroU32 = NonZeroU32::new(if cfg!(test) { 1 } else { 600_000 }).unwrap();
/// Earlier passwords that the strictest policy asks to remember.
const REMEMBERED: usize = 24;

#[rustfmt::skip]
pub(crate) fn table(table: Table) -> Table {
    table
        .op::<op::CreateLoginProfile, _>(|iam, cx, i| ask::whose(iam, cx, "iam:CreateLoginProfile", i.user_name.as_ref()), create_login_profile)
        .op::<op::GetLoginProfile, _>(|iam, cx, i| ask::whose(iam, cx, "iam:GetLoginProfile", i.user_name.as_ref()), get_login_profile)
        .op::<op::UpdateLoginProfile, _>(|iam, cx, i| ask::on::<User>(iam, cx, "iam:UpdateLoginProfile", &i.user_name), update_login_profile)
        .op::<op::DeleteLoginProfile, _>(|iam, cx, i| ask::whose(iam, cx, "iam:DeleteLoginProfile", i.user_name.as_ref()), delete_login_profile)
        .op::<op::ChangePassword, _>(|iam, cx, _| asks_change(iam, cx), change_password)
}

/// An account may let all its users change their own password. That is a grant like a resource's
/// own: it needs no policy of the user's, and an explicit deny beats it.
fn asks_change(iam: &Iam, cx: &Cx) -> Result<Vec<Ask>> {
    let mut asks = ask::whose(iam, cx, "iam:ChangePassword", None)?;
    if policy(&iam.store.read(), cx)?.users_may_change {
        let grant = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": {"AWS": cx.caller.arn},
                "Action": "iam:ChangePassword",
                "Resource": "*",
            }],
        });
        let grant = document::stored(&grant.to_string(), Kind::Resource)?;
        for ask in &mut asks {
            ask.policy = Some(Arc::clone(&grant));
        }
    }
    Ok(asks)
}

impl PasswordHash {
    fn new(password: &str) -> Self {
        let salt = id::bytes::<16>();
        let mut hash = [0; 32];
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::derive(algorithm, ROUNDS, &salt, password.as_bytes(), &mut hash);
        Self {
            rounds: ROUNDS.get(),
            salt: salt.to_vec(),
            hash: hash.to_vec(),
        }
    }

    /// Whether it is the hash of this password; takes the same time whatever the answer.
    fn matches(&self, password: &str) -> bool {
        let rounds = NonZeroU32::new(self.rounds).unwrap_or(ROUNDS);
        let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
        pbkdf2::verify(
            algorithm,
            rounds,
            &self.salt,
            password.as_bytes(),
            &self.hash,
        )
        .is_ok()
    }
}

/// Hashing takes long enough to keep a thread from its other work.
async fn hash(password: String) -> Result<PasswordHash> {
    off_thread(move || PasswordHash::new(&password)).await
}

async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| gureum_schema::Error::internal("hashing a password failed"))
}

/// Without a policy of its own an account has this one.
fn default_policy() -> PasswordPolicy {
    PasswordPolicy {
        min_length: 8,
        symbols: false,
        numbers: false,
        uppercase: false,
        lowercase: false,
        users_may_change: false,
        max_age: 0,
        no_reuse: 0,
        hard_expiry: false,
    }
}

fn policy(reader: &impl Reader, cx: &Cx) -> Outcome<PasswordPolicy> {
    let row = account_row(reader, cx.account())?;
    Ok(row.password_policy.unwrap_or_else(default_policy))
}

impl PasswordPolicy {
    fn check(&self, password: &str) -> Outcome<()> {
        let least = usize::try_from(self.min_length).unwrap_or(0);
        let has = |test: fn(char) -> bool| password.chars().any(test);
        let symbol = |c: char| "!@#$%^&*()_+-=[]{}|'".contains(c);
        let rules = [
            (password.chars().count() < least, "minimum length"),
            (self.symbols && !has(symbol), "a symbol"),
            (self.numbers && !has(|c| c.is_ascii_digit()), "a number"),
            (
                self.uppercase && !has(|c| c.is_ascii_uppercase()),
                "an uppercase letter",
            ),
            (
                self.lowercase && !has(|c| c.is_ascii_lowercase()),
                "a lowercase letter",
            ),
            (password.chars().count() > 128, "at most 128 characters"),
        ];
        match rules.iter().find(|(broken, _)| *broken) {
            None => Ok(()),
            Some((_, rule)) => Err(Fault::password_violates_policy(format!(
                "Password does not conform to the account password policy: it needs {rule}."
            ))),
        }
    }

    fn check_reuse(&self, login: &Login, password: &str) -> Outcome<()> {
        let remembered = usize::try_from(self.no_reuse).unwrap_or(0);
        let mut known = std::iter::once(&login.hash)
            .chain(&login.former)
            .take(remembered);
        if known.any(|hash| hash.matches(password)) {
            return Err(Fault::password_violates_policy(
                "Password does not conform to the account password policy: it was used before.",
            ));
        }
        Ok(())
    }
}

impl Login {
    fn change(&mut self, hash: PasswordHash, now: Timestamp) {
        let old = std::mem::replace(&mut self.hash, hash);
        self.former.insert(0, old);
        self.former.truncate(REMEMBERED - 1);
        self.changed = now;
    }
}

/// The user that a request names, else the caller.
fn user_name(cx: &Cx, given: Option<&String>) -> Outcome<String> {
    match Whose::of(cx, given)? {
        Whose::User(name) => Ok(name),
        Whose::Root => Err(Fault::validation(
            "Must specify userName when calling as root",
        )),
    }
}

fn missing(user: &str) -> Fault {
    Fault::no_such_entity(format!("Login Profile for User {user} cannot be found."))
}

fn shown(user: &User, login: &Login) -> types::LoginProfile {
    types::LoginProfile {
        user_name: user.name.clone(),
        create_date: login.created,
        password_reset_required: Some(login.reset_required),
    }
}

async fn create_login_profile(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::CreateLoginProfileRequest,
) -> Result<types::CreateLoginProfileResponse> {
    let name = user_name(&cx, input.user_name.as_ref())?;
    let password = input
        .password
        .ok_or_else(|| Fault::validation("A password must be given."))?;
    policy(&iam.store.read(), &cx)?.check(&password)?;
    let login = Login {
        hash: hash(password).await?,
        former: Vec::new(),
        created: cx.now,
        changed: cx.now,
        reset_required: input.password_reset_required.unwrap_or(false),
    };
    let user = iam
        .write(|tx| {
            let mut user = User::find(tx, cx.account(), &name)?;
            if user.login.is_some() {
                return Err(Fault::already_exists(format!(
                    "Login Profile for user {name} already exists."
                )));
            }
            user.login = Some(login.clone());
            tx.put(&user)?;
            Ok(user)
        })
        .await?;
    Ok(types::CreateLoginProfileResponse {
        login_profile: shown(&user, &login),
    })
}

async fn get_login_profile(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::GetLoginProfileRequest,
) -> Result<types::GetLoginProfileResponse> {
    let name = user_name(&cx, input.user_name.as_ref())?;
    let user = User::find(&iam.store.read(), cx.account(), &name)?;
    let login = user.login.as_ref().ok_or_else(|| missing(&name))?;
    Ok(types::GetLoginProfileResponse {
        login_profile: shown(&user, login),
    })
}

async fn update_login_profile(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::UpdateLoginProfileRequest,
) -> Result<types::UpdateLoginProfileOutput> {
    let new = match input.password {
        Some(password) => {
            policy(&iam.store.read(), &cx)?.check(&password)?;
            Some(hash(password).await?)
        }
        None => None,
    };
    iam.write(|tx| {
        let mut user = User::find(tx, cx.account(), &input.user_name)?;
        let login = user
            .login
            .as_mut()
            .ok_or_else(|| missing(&input.user_name))?;
        if let Some(hash) = &new {
            login.change(hash.clone(), cx.now);
        }
        login.reset_required = input
            .password_reset_required
            .unwrap_or(login.reset_required);
        Ok(tx.put(&user)?)
    })
    .await?;
    Ok(types::UpdateLoginProfileOutput {})
}

async fn delete_login_profile(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::DeleteLoginProfileRequest,
) -> Result<types::DeleteLoginProfileOutput> {
    let name = user_name(&cx, input.user_name.as_ref())?;
    iam.write(|tx| {
        let mut user = User::find(tx, cx.account(), &name)?;
        user.login.take().ok_or_else(|| missing(&name))?;
        Ok(tx.put(&user)?)
    })
    .await?;
    Ok(types::DeleteLoginProfileOutput {})
}

/// Users change their own password, and must know the old one.
async fn change_password(
    iam: Arc<Iam>,
    cx: Cx,
    input: types::ChangePasswordRequest,
) -> Result<types::ChangePasswordOutput> {
    let CallerKind::User { name } = &cx.caller.kind else {
        return Err(Fault::invalid_user_type("Only an IAM user can change its password.").into());
    };
    let reader = iam.store.read();
    let user = User::find(&reader, cx.account(), name)?;
    let policy = policy(&reader, &cx)?;
    drop(reader);
    policy.check(&input.new_password)?;
    let login = user.login.ok_or_else(|| missing(name))?;
    let before = login.hash.salt.clone();
    let new = off_thread(move || -> Outcome<PasswordHash> {
        if !login.hash.matches(&input.old_password) {
            return Err(Fault::access_denied("The old password was incorrect."));
        }
        policy.check_reuse(&login, &input.new_password)?;
        Ok(PasswordHash::new(&input.new_password))
    })
    .await??;
    iam.write(|tx| {
        let mut user = User::find(tx, cx.account(), name)?;
        let login = user.login.as_mut().ok_or_else(|| missing(name))?;
        // The check was made against this very hash, or it counts for nothing.
        if login.hash.salt != before {
            return Err(Fault::access_denied("The old password was incorrect."));
        }
        login.change(new.clone(), cx.now);
        login.reset_required = false;
        Ok(tx.put(&user)?)
    })
    .await?;
    Ok(types::ChangePasswordOutput {})
}
