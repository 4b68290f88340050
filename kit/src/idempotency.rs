//! Request tokens: the same request sent twice takes effect once.
//!
//! Many create operations take a client token. The first request with it is carried out, and its
//! result is remembered in the same transaction; a later one with the same token and the same
//! parameters is answered with that result, and one with other parameters is refused. Tokens are
//! forgotten after their time.
//!
//! ```ignore
//! match idempotency::recall(tx, now, &request)? {
//!     Seen::Never => {}
//!     Seen::Before(result) => return Ok(decode(&result)),
//!     Seen::Differently => return Err(Error::idempotent_parameter_mismatch()),
//! }
//! let result = create(tx)?;
//! idempotency::remember(tx, now, &request, encode(&result))?;
//! ```

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::reset::Whose;
use crate::store::{Reader, Row, Scan, Store, StoreError, Tx};

/// One request that carries a token.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Where the token is unique: `service:Operation/account/region`. By the account [`reset`] finds
    /// whose it is.
    ///
    /// [`reset`]: crate::reset
    pub scope: &'a str,
    /// The client's token.
    pub token: &'a str,
    /// What tells one set of parameters from another; see [`fingerprint`].
    pub fingerprint: [u8; 32],
    /// How long the result is remembered.
    pub keep: Duration,
}

/// What is known of a request's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing, or it was long ago: carry the request out.
    Never,
    /// The same request was carried out, with this result.
    Before(Bytes),
    /// The token was used with other parameters.
    Differently,
}

/// A fingerprint (SHA-256) of a request's encoded parameters. The encoding must be the same for
/// the same parameters, and leave out the token.
pub fn fingerprint(parameters: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, parameters).as_ref());
    out
}

#[derive(Serialize, Deserialize)]
struct Remembered {
    scope: String,
    token: String,
    fingerprint: [u8; 32],
    result: Bytes,
    /// Milliseconds since the epoch.
    expires: i64,
}

impl Row for Remembered {
    const TABLE: &'static str = "kit.request";
    type Key = (String, String);

    fn key(&self) -> Self::Key {
        (self.scope.clone(), self.token.clone())
    }
}

/// Finds what has expired without reading everything.
#[derive(Serialize, Deserialize)]
struct Expiry {
    expires: i64,
    scope: String,
    token: String,
}

impl Row for Expiry {
    const TABLE: &'static str = "kit.request-expiry";
    type Key = (i64, String, String);

    fn key(&self) -> Self::Key {
        (self.expires, self.scope.clone(), self.token.clone())
    }
}

/// What is known of this request at `now` (ms since the epoch).
pub fn recall(tx: &Tx, now: i64, request: &Request<'_>) -> Result<Seen, StoreError> {
    Ok(
        match tx.get::<Remembered>((request.scope, request.token))? {
            Some(seen) if seen.expires <= now => Seen::Never,
            Some(seen) if seen.fingerprint == request.fingerprint => Seen::Before(seen.result),
            Some(_) => Seen::Differently,
            None => Seen::Never,
        },
    )
}

/// Remembers the result of a request that is carried out in this transaction.
pub fn remember(
    tx: &mut Tx,
    now: i64,
    request: &Request<'_>,
    result: Bytes,
) -> Result<(), StoreError> {
    let Request {
        scope,
        token,
        fingerprint,
        keep,
    } = request.clone();
    if let Some(old) = tx.get::<Remembered>((scope, token))? {
        tx.delete::<Expiry>((old.expires, scope, token))?;
    }
    let keep = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    let expires = now.saturating_add(keep);
    let (scope, token) = (scope.to_owned(), token.to_owned());
    tx.put(&Expiry {
        expires,
        scope: scope.clone(),
        token: token.clone(),
    })?;
    tx.put(&Remembered {
        scope,
        token,
        fingerprint,
        result,
        expires,
    })
}

/// Forgets what was remembered for these accounts.
pub(crate) fn reset(tx: &mut Tx, whose: Whose) -> Result<(), StoreError> {
    let rows = tx.scan(Scan::<Remembered>::all());
    for row in rows.collect::<Result<Vec<_>, _>>()? {
        let mut parts = row.scope.split('/');
        let theirs = match whose {
            Whose::Everybody => true,
            Whose::Account(account) => parts.any(|part| part == account.as_str()),
        };
        if theirs {
            tx.delete::<Expiry>((row.expires, &row.scope, &row.token))?;
            tx.delete::<Remembered>((&row.scope, &row.token))?;
        }
    }
    Ok(())
}

/// Forgets up to `limit` requests that have expired at `now`; returns how many there were.
pub async fn forget_expired(store: &Store, now: i64, limit: usize) -> Result<usize, StoreError> {
    store
        .transact(|tx| {
            let scan = Scan::<Expiry>::all()
                .until((now.saturating_add(1), "", ""))
                .limit(limit);
            let expired = tx.scan(scan).collect::<Result<Vec<_>, _>>()?;
            for Expiry {
                expires,
                scope,
                token,
            } in &expired
            {
                tx.delete::<Remembered>((scope, token))?;
                tx.delete::<Expiry>((*expires, scope, token))?;
            }
            Ok(expired.len())
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_means_one_request_until_it_expires() {
        let store = Store::memory();
        let keep = Duration::from_secs(10);
        let with = |parameters: &[u8]| Request {
            scope: "ec2:RunInstances/1",
            token: "t",
            fingerprint: fingerprint(parameters),
            keep,
        };
        let seen = async |now, request: Request<'_>| {
            store
                .transact(|tx| recall(tx, now, &request))
                .await
                .expect("recall")
        };
        assert_eq!(seen(0, with(b"a")).await, Seen::Never);
        let done = store
            .transact(|tx| remember(tx, 0, &with(b"a"), "i-1".into()))
            .await;
        done.expect("remember");
        assert_eq!(seen(9_999, with(b"a")).await, Seen::Before("i-1".into()));
        assert_eq!(seen(9_999, with(b"b")).await, Seen::Differently);
        let elsewhere = Request {
            scope: "ec2:RunInstances/2",
            ..with(b"a")
        };
        assert_eq!(seen(9_999, elsewhere).await, Seen::Never);
        assert_eq!(seen(10_000, with(b"b")).await, Seen::Never);

        // Used again after its time, it lives anew, and the old expiry does not cut it short.
        let done = store
            .transact(|tx| remember(tx, 10_000, &with(b"b"), "i-2".into()))
            .await;
        done.expect("remember");
        assert_eq!(
            forget_expired(&store, 10_000, 100).await.expect("forget"),
            0
        );
        assert_eq!(seen(11_000, with(b"b")).await, Seen::Before("i-2".into()));
        assert_eq!(
            forget_expired(&store, 20_000, 100).await.expect("forget"),
            1
        );
        let left = store.read().scan(Scan::<Remembered>::all()).count();
        assert_eq!(left, 0);
    }
}
