//! What requests call keys by: ids, ARNs, aliases; and finding what is meant.
//!
//! A request that uses a key finds it once ([`settle`]): what is decided about is what is used, even
//! if its alias is pointed at another key in the moment between.

use gureum_dispatch::Cx;
use gureum_kit::{AccountId, Arn, Reader, Region};
use gureum_model_kms::types as t;
use gureum_schema::Bytes;

use crate::crypto::envelope;
use crate::errors::{Refusal, Result};
use crate::model::{AliasRow, KeyRef, KeyRow};
use crate::state::Kms;

/// A key or alias as a request names it, with region and account filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Key(KeyRef),
    /// The third part is the alias' name, `alias/…`.
    Alias(KeyRef),
}

/// A key that was found, and the alias that the request named it by.
pub(crate) struct Found {
    pub(crate) row: KeyRow,
    pub(crate) alias: Option<String>,
}

impl Name {
    /// Reads a `KeyId` that may be an id, an ARN or an alias.
    pub(crate) fn read(cx: &Cx, text: &str) -> Result<Self> {
        let here = |id: &str| (cx.region.clone(), *cx.account(), id.to_owned());
        if text.starts_with("arn:") {
            return Self::read_arn(cx, text);
        }
        if is_alias(text) {
            return Ok(Self::Alias(here(text)));
        }
        if is_key_id(text) {
            return Ok(Self::Key(here(text)));
        }
        Err(Refusal::KeyId(text.to_owned()))
    }

    /// Reads a `KeyId` that must not be an alias.
    pub(crate) fn read_key(cx: &Cx, text: &str) -> Result<KeyRef> {
        match Self::read(cx, text)? {
            Self::Key(key) => Ok(key),
            Self::Alias(_) => Err(Refusal::KeyId(text.to_owned())),
        }
    }

    /// The key that is to open a ciphertext: the one that the request names, or else the one that
    /// the ciphertext names.
    fn opening(cx: &Cx, named: Option<&str>, blob: Option<&Bytes>) -> Result<Self> {
        let absent = || Refusal::validation("CiphertextBlob must be there");
        let blob = blob.ok_or_else(absent)?;
        if let Some(named) = named {
            return Self::read(cx, named);
        }
        let address = envelope::address(blob).filter(|address| is_key_id(&address.key));
        let address = address.ok_or(Refusal::Ciphertext)?;
        let account = address.account.parse().map_err(|_| Refusal::Ciphertext)?;
        Ok(Self::Key((cx.region.clone(), account, address.key)))
    }

    fn read_arn(cx: &Cx, text: &str) -> Result<Self> {
        let wrong = || Refusal::Arn(text.to_owned());
        let arn: Arn = text.parse().map_err(|_| wrong())?;
        if arn.service != "kms" || arn.partition != cx.region.partition() {
            return Err(wrong());
        }
        let region: Region = arn.region.parse().map_err(|_| wrong())?;
        let account: AccountId = arn.account.parse().map_err(|_| wrong())?;
        if region != cx.region {
            return Err(Refusal::Region(region.to_string()));
        }
        match arn.resource.strip_prefix("key/") {
            Some(id) if is_key_id(id) => Ok(Self::Key((region, account, id.to_owned()))),
            None if is_alias(&arn.resource) => Ok(Self::Alias((region, account, arn.resource))),
            _ => Err(wrong()),
        }
    }

    pub(crate) fn account(&self) -> AccountId {
        let (Self::Key((_, account, _)) | Self::Alias((_, account, _))) = self;
        *account
    }

    pub(crate) fn arn(&self) -> Arn {
        match self {
            Self::Key(key) => key_arn(key),
            Self::Alias((region, account, name)) => Arn::new("kms", region, account, name.clone()),
        }
    }

    /// What is to be said when it isn't there.
    pub(crate) fn missing(&self) -> Refusal {
        match self {
            Self::Key(_) => Refusal::no_such_key(&self.arn()),
            Self::Alias(_) => Refusal::NoSuchAlias(self.arn().to_string()),
        }
    }
}

/// A request, and the key that it names, or keys.
pub(crate) struct Settled<I, K = Target> {
    pub(crate) input: I,
    pub(crate) key: K,
}

/// What a request names: a key, or nothing that is there (yet).
pub(crate) struct Target {
    pub(crate) name: Name,
    pub(crate) found: Option<Found>,
}

/// Finds the key of a request, for the decision and for the work.
pub(crate) fn settle<I: NamesKey>(
    kms: &Kms,
    cx: &Cx,
    input: I,
) -> gureum_schema::Result<Settled<I>> {
    let key = kms.target(input.key(cx)?)?;
    Ok(Settled { input, key })
}

/// The key that opens what `ReEncrypt` is given, and the one that closes it again.
pub(crate) struct Pair {
    pub(crate) from: Target,
    pub(crate) to: Target,
}

pub(crate) fn settle_pair(
    kms: &Kms,
    cx: &Cx,
    input: t::ReEncryptRequest,
) -> gureum_schema::Result<Settled<t::ReEncryptRequest, Pair>> {
    let blob = input.ciphertext_blob.as_ref();
    let from = Name::opening(cx, input.source_key_id.as_deref(), blob)?;
    let to = Name::read(cx, &input.destination_key_id)?;
    let key = Pair {
        from: kms.target(from)?,
        to: kms.target(to)?,
    };
    Ok(Settled { input, key })
}

/// A request that says which key it is about.
pub(crate) trait NamesKey {
    fn key(&self, cx: &Cx) -> Result<Name>;
}

impl NamesKey for t::DecryptRequest {
    fn key(&self, cx: &Cx) -> Result<Name> {
        Name::opening(cx, self.key_id.as_deref(), self.ciphertext_blob.as_ref())
    }
}

macro_rules! by_key_id {
    ($($input:ident),* $(,)?) => {$(
        impl NamesKey for t::$input {
            fn key(&self, cx: &Cx) -> Result<Name> {
                Name::read(cx, &self.key_id)
            }
        }
    )*};
}

by_key_id![
    DescribeKeyRequest,
    EncryptRequest,
    GenerateDataKeyRequest,
    GenerateDataKeyWithoutPlaintextRequest,
    GenerateDataKeyPairRequest,
    GenerateDataKeyPairWithoutPlaintextRequest,
    GenerateMacRequest,
    VerifyMacRequest,
    SignRequest,
    VerifyRequest,
    GetPublicKeyRequest,
];

pub(crate) fn key_arn((region, account, id): &KeyRef) -> Arn {
    Arn::new("kms", region, account, format!("key/{id}"))
}

impl Kms {
    fn target(&self, name: Name) -> Result<Target> {
        let found = self.find(&self.store.read(), &name)?;
        Ok(Target { name, found })
    }

    /// The key that this names; `None` if there is none.
    pub(crate) fn find(&self, reader: &impl Reader, name: &Name) -> Result<Option<Found>> {
        match name {
            Name::Key(key) => {
                let row = reader.get::<KeyRow>(key)?;
                Ok(row.map(|row| Found { row, alias: None }))
            }
            Name::Alias(alias) => {
                let Some(row) = reader.get::<AliasRow>(alias)? else {
                    return Ok(None);
                };
                let key = reader.get::<KeyRow>((row.region, row.account, row.key))?;
                Ok(key.map(|key| Found {
                    row: key,
                    alias: Some(row.name),
                }))
            }
        }
    }
}

fn is_alias(text: &str) -> bool {
    text.starts_with("alias/")
}

/// A UUID in lower case, as all our key ids are.
fn is_key_id(text: &str) -> bool {
    let hyphens = [8, 13, 18, 23];
    let fits = |(at, b): (usize, u8)| match b {
        b'-' => hyphens.contains(&at),
        b'0'..=b'9' | b'a'..=b'f' => !hyphens.contains(&at),
        _ => false,
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_ids_are_uuids() {
        assert!(is_key_id(&gureum_kit::names::id::uuid()));
        for wrong in [
            "",
            "foo",
            "1234abcd-12ab-34cd-56ef-1234567890a",
            "1234abcd-12ab-34cd-56ef-1234567890AB",
        ] {
            assert!(!is_key_id(wrong), "{wrong}");
        }
    }
}
