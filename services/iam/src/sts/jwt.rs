//! JSON Web Tokens of OpenID Connect (RFC 7519), signed with RS256 or ES256 (RFC 7518).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::errors::{Fault, Outcome};

/// A token as it came in; nothing in it is true before [`Token::verify`].
pub(super) struct Token<'a> {
    header: Header,
    pub(super) claims: Claims,
    signed: &'a str,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    pub(super) sub: String,
    pub(super) aud: Audience,
    pub(super) azp: Option<String>,
    /// Seconds since the epoch.
    pub(super) exp: i64,
    pub(super) nbf: Option<i64>,
    #[serde(flatten)]
    pub(super) others: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Audience {
    pub(super) fn all(&self) -> &[String] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// A provider's keys (RFC 7517).
#[derive(Deserialize)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

/// Keys of other types than RSA and P-256 are passed over.
#[derive(Deserialize)]
struct Key {
    kty: String,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// The keys that a token may be signed with: any, where it names none.
    fn named<'a>(&'a self, kid: Option<&'a str>) -> impl Iterator<Item = &'a Key> {
        let keys = self.keys.iter();
        keys.filter(move |key| kid.is_none() || key.kid.as_deref() == kid)
    }

    pub(super) fn knows(&self, kid: Option<&str>) -> bool {
        self.named(kid).next().is_some()
    }
}

fn malformed() -> Fault {
    Fault::invalid_identity_token(
        "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
    )
}

impl<'a> Token<'a> {
    pub(super) fn read(text: &'a str) -> Outcome<Self> {
        let (signed, signature) = text.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or_else(malformed)?;
        Ok(Self {
            header: part(header)?,
            claims: part(claims)?,
            signed,
            signature: decoded(signature)?,
        })
    }

    /// The key that the token says it is signed with.
    pub(super) fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// Whether one of the provider's keys made the signature.
    pub(super) fn verify(&self, keys: &KeySet) -> Outcome<()> {
        let mut candidates = keys.named(self.kid()).peekable();
        if candidates.peek().is_none() {
            return Err(Fault::invalid_identity_token(
                "Couldn't retrieve verification key from your identity provider, please reference AssumeRoleWithWebIdentity documentation for requirements",
            ));
        }
        if candidates.any(|key| self.made_by(key).is_some()) {
            return Ok(());
        }
        Err(Fault::invalid_identity_token(
            "The token's signature is not valid.",
        ))
    }

    fn made_by(&self, key: &Key) -> Option<()> {
        let field = |text: &Option<String>| decoded(text.as_deref()?).ok();
        let message = self.signed.as_bytes();
        match (&*self.header.alg, &*key.kty) {
            ("RS256", "RSA") => {
                let (n, e) = (field(&key.n)?, field(&key.e)?);
                let public = RsaPublicKeyComponents { n, e };
                public
                    .verify(&RSA_PKCS1_2048_8192_SHA256, message, &self.signature)
                    .ok()
            }
            ("ES256", "EC") if key.crv.as_deref() == Some("P-256") => {
                // An uncompressed point (SEC 1).
                let point = [vec![4], field(&key.x)?, field(&key.y)?].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, &self.signature)
                    .ok()
            }
            _ => None,
        }
    }
}

fn decoded(text: &str) -> Outcome<Vec<u8>> {
    BASE64
        .decode(text.trim_end_matches('='))
        .map_err(|_| malformed())
}

fn part<T: for<'de> Deserialize<'de>>(text: &str) -> Outcome<T> {
    serde_json::from_slice(&decoded(text)?).map_err(|_| malformed())
}
