//! How requests say an access control list: a canned one, grant headers or a document; and the
//! operations that read and write lists.

use std::sync::Arc;

use gureum_dispatch::{Ask, Cx};
use gureum_kit::AccountId;
use gureum_model_s3::types::{
    AccessControlPolicy, CreateBucketRequest, GetBucketAclOutput, GetBucketAclRequest,
    GetObjectAclOutput, GetObjectAclRequest, PutBucketAclOutput, PutBucketAclRequest,
    PutObjectAclOutput, PutObjectAclRequest,
};

use super::Reply;
use super::acl::{self, Acl, Grant, Grantee, MAX_GRANTS, Permission};
use super::block::Block;
use super::ownership::Ownership;
use crate::S3;
use crate::asks::Door;
use crate::errors::{Code, Failure, Result};
use crate::model::Bucket;
use crate::named::{self, NamesObject};
use crate::rules::Rules;

/// The grant headers, by the permission that each gives.
pub(crate) type GrantHeaders<'a> = [(Permission, Option<&'a str>); 5];

/// What a request says of the list that it wants.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) canned: Option<&'a str>,
    pub(crate) grants: GrantHeaders<'a>,
    pub(crate) document: Option<&'a AccessControlPolicy>,
}

/// Collects it from a request that may have a document.
macro_rules! wanted {
    ($input:expr, $document:expr, $write:expr) => {
        $crate::config::acl_request::Wanted {
            canned: $input.acl.as_deref(),
            grants: [
                (
                    $crate::config::acl::Permission::FullControl,
                    $input.grant_full_control.as_deref(),
                ),
                (
                    $crate::config::acl::Permission::Read,
                    $input.grant_read.as_deref(),
                ),
                ($crate::config::acl::Permission::Write, $write),
                (
                    $crate::config::acl::Permission::ReadAcp,
                    $input.grant_read_acp.as_deref(),
                ),
                (
                    $crate::config::acl::Permission::WriteAcp,
                    $input.grant_write_acp.as_deref(),
                ),
            ],
            document: $document,
        }
    };
}

impl Wanted<'_> {
    pub(crate) fn is_silent(&self) -> bool {
        self.canned.is_none() && self.document.is_none() && !self.has_headers()
    }

    fn has_headers(&self) -> bool {
        self.grants.iter().any(|(_, header)| header.is_some())
    }

    /// The list, for something of `owner`'s in a bucket of `host`'s; `None` where nothing is said.
    pub(crate) fn read(&self, owner: &AccountId, host: &AccountId) -> Result<Option<Acl>> {
        if self.canned.is_some() && self.has_headers() {
            return Err(Code::InvalidRequest
                .says("Specifying both Canned ACLs and Header Grants is not allowed"));
        }
        if self.document.is_some() && (self.canned.is_some() || self.has_headers()) {
            return Err(Code::UnexpectedContent.error());
        }
        let acl = match (self.canned, self.document) {
            (Some(name), _) => canned(name, owner, host)?,
            (_, Some(document)) => from_document(document, owner)?,
            _ if self.has_headers() => from_headers(&self.grants)?,
            _ => return Ok(None),
        };
        if acl.0.len() > MAX_GRANTS {
            return Err(Code::MalformedACLError.error());
        }
        Ok(Some(acl))
    }
}

/// Source: "Canned ACL" in the S3 User Guide.
fn canned(name: &str, owner: &AccountId, host: &AccountId) -> Result<Acl> {
    use Permission::{FullControl, Read, ReadAcp, Write};
    let further: &[(Grantee, Permission)] = match name {
        "private" => &[],
        "public-read" => &[(Grantee::AllUsers, Read)],
        "public-read-write" => &[(Grantee::AllUsers, Read), (Grantee::AllUsers, Write)],
        "authenticated-read" => &[(Grantee::AuthenticatedUsers, Read)],
        "log-delivery-write" => &[
            (Grantee::LogDelivery, Write),
            (Grantee::LogDelivery, ReadAcp),
        ],
        "bucket-owner-read" => &[(Grantee::owner(host), Read)],
        "bucket-owner-full-control" => &[(Grantee::owner(host), FullControl)],
        "aws-exec-read" => return Err(Failure::not_implemented("The canned ACL aws-exec-read")),
        other => return Err(Failure::argument("x-amz-acl", other, "")),
    };
    let mut acl = Acl::private(owner);
    for (to, permission) in further {
        let grant = Grant {
            to: to.clone(),
            permission: *permission,
        };
        if !acl.0.contains(&grant) {
            acl.0.push(grant);
        }
    }
    Ok(acl)
}

/// `id="…", uri="…"`, for each permission.
fn from_headers(headers: &GrantHeaders<'_>) -> Result<Acl> {
    let mut acl = Acl::default();
    for (permission, header) in headers {
        let grantees = header.unwrap_or_default().split(',').map(str::trim);
        for grantee in grantees.filter(|grantee| !grantee.is_empty()) {
            let malformed =
                || Failure::argument("x-amz-grant", grantee, "Argument format not recognized");
            let (kind, value) = grantee.split_once('=').ok_or_else(malformed)?;
            let value = value.trim().trim_matches('"');
            let to = match kind.trim().to_ascii_lowercase().as_str() {
                "id" => Grantee::user(value)?,
                "uri" => Grantee::group(value)?,
                "emailaddress" => return Err(Code::UnresolvableGrantByEmailAddress.error()),
                _ => return Err(malformed()),
            };
            acl.0.push(Grant {
                to,
                permission: *permission,
            });
        }
    }
    Ok(acl)
}

fn from_document(document: &AccessControlPolicy, owner: &AccountId) -> Result<Acl> {
    let malformed = || Code::MalformedACLError.error();
    let named = document
        .owner
        .as_ref()
        .and_then(|owner| owner.id.as_deref());
    if named.ok_or_else(malformed)? != owner.canonical_user() {
        return Err(Code::AccessDenied.error());
    }
    let mut acl = Acl::default();
    for grant in document.grants.as_deref().unwrap_or_default() {
        let grantee = grant.grantee.as_ref().ok_or_else(malformed)?;
        let to = match (&grantee.id, &grantee.uri, &grantee.email_address) {
            (Some(id), None, None) => Grantee::user(id)?,
            (None, Some(uri), None) => Grantee::group(uri)?,
            (None, None, Some(_)) => return Err(Code::UnresolvableGrantByEmailAddress.error()),
            _ => return Err(malformed()),
        };
        let permission = Permission::named(grant.permission.as_deref().unwrap_or_default())?;
        acl.0.push(Grant { to, permission });
    }
    Ok(acl)
}

fn check_public(acl: &Acl, block: Option<&Block>) -> Result<()> {
    if acl.is_public() && block.is_some_and(|block| block.public_acls) {
        return Err(Code::AccessDenied.error());
    }
    Ok(())
}

/// The list that `CreateBucket` asks for.
pub(super) fn of_new_bucket(
    input: &CreateBucketRequest,
    owner: &AccountId,
    ownership: Ownership,
) -> Result<Option<Acl>> {
    let wanted = wanted!(input, None, input.grant_write.as_deref());
    let acl = wanted.read(owner, owner)?;
    let acl = acl.filter(|acl| !acl.is_private(owner));
    if acl.is_some() && ownership.disables_acls() {
        return Err(Code::InvalidBucketAclWithObjectOwnership.error());
    }
    if let Some(acl) = &acl {
        // A bucket begins with public access blocked.
        check_public(acl, Some(&Block::ALL))?;
    }
    Ok(acl)
}

/// Whose a new object is, and its list if that is not the usual one.
pub(crate) fn of_new_object(
    wanted: &Wanted<'_>,
    writer: &AccountId,
    bucket: &Bucket,
    rules: &Rules,
) -> Result<(AccountId, Option<Acl>)> {
    let host = &bucket.owner;
    // Uploads without a signature have nobody else to belong to.
    let writer = if *writer == AccountId::NOBODY {
        host
    } else {
        writer
    };
    let acl = wanted.read(writer, host)?;
    if rules.ownership.disables_acls() {
        let harmless = match &acl {
            None => true,
            Some(acl) => {
                acl.0.iter().all(|grant| grant.to == Grantee::owner(host)) && acl.gives_all_to(host)
                    || wanted.canned == Some("bucket-owner-full-control")
            }
        };
        return if harmless {
            Ok((*host, None))
        } else {
            Err(Code::AccessControlListNotSupported.error())
        };
    }
    let Some(acl) = acl else {
        return Ok((*writer, None));
    };
    check_public(&acl, rules.block.as_ref())?;
    let handed_over = rules.ownership == Ownership::BucketOwnerPreferred
        && wanted.canned == Some("bucket-owner-full-control");
    if handed_over {
        return Ok((*host, None));
    }
    let usual = acl.is_private(writer);
    Ok((*writer, (!usual).then_some(acl)))
}

pub(crate) fn put_bucket_asks(s3: &S3, cx: &Cx, input: &PutBucketAclRequest) -> Reply<Vec<Ask>> {
    let door = Door::of(s3, cx, input)?;
    let ask = door.ask("s3:PutBucketAcl");
    Ok(vec![ask.key_opt("s3:x-amz-acl", input.acl.as_deref())])
}

pub(crate) async fn put_bucket(
    s3: Arc<S3>,
    _: Cx,
    input: PutBucketAclRequest,
) -> Reply<PutBucketAclOutput> {
    let document = input.access_control_policy.as_ref();
    let wanted = wanted!(input, document, input.grant_write.as_deref());
    s3.configure(&input.bucket, |tx, bucket| {
        let ownership: Ownership = super::get(tx, bucket)?.unwrap_or_default();
        let acl = wanted.read(&bucket.owner, &bucket.owner)?;
        let acl = acl.ok_or_else(|| Code::MissingSecurityHeader.error())?;
        if ownership.disables_acls() {
            let unchanged = acl.is_private(&bucket.owner);
            return if unchanged {
                Ok(())
            } else {
                Err(Code::AccessControlListNotSupported.error())
            };
        }
        check_public(&acl, super::get::<Block>(tx, bucket)?.as_ref())?;
        super::put(tx, bucket, &acl)
    })
    .await?;
    Ok(PutBucketAclOutput::default())
}

pub(crate) async fn get_bucket(
    s3: Arc<S3>,
    _: Cx,
    input: GetBucketAclRequest,
) -> Reply<GetBucketAclOutput> {
    let view = s3.store.read();
    let bucket = S3::bucket_in(&view, &input.bucket)?;
    let acl: Option<Acl> = super::get(&view, &bucket)?;
    let acl = acl.unwrap_or_else(|| Acl::private(&bucket.owner));
    Ok(GetBucketAclOutput {
        owner: Some(acl::owner(&bucket.owner)),
        grants: Some(acl.shown()),
    })
}

pub(crate) fn put_object_asks(s3: &S3, cx: &Cx, input: &PutObjectAclRequest) -> Reply<Vec<Ask>> {
    let actions = ["s3:PutObjectAcl", "s3:PutObjectVersionAcl"];
    let ask = named::ask_either(s3, cx, input, actions)?;
    Ok(vec![ask.key_opt("s3:x-amz-acl", input.acl.as_deref())])
}

pub(crate) fn get_object_asks(s3: &S3, cx: &Cx, input: &GetObjectAclRequest) -> Reply<Vec<Ask>> {
    let actions = ["s3:GetObjectAcl", "s3:GetObjectVersionAcl"];
    Ok(vec![named::ask_either(s3, cx, input, actions)?])
}

pub(crate) async fn put_object(
    s3: Arc<S3>,
    cx: Cx,
    input: PutObjectAclRequest,
) -> Reply<PutObjectAclOutput> {
    let document = input.access_control_policy.as_ref();
    let wanted = wanted!(input, document, input.grant_write.as_deref());
    let place = input.place();
    s3.change_object(&cx, place, Some("ObjectAcl:Put"), |tx, bucket, version| {
        let owner = version.owner;
        let ownership: Ownership = super::get(tx, bucket)?.unwrap_or_default();
        let acl = wanted.read(&owner, &bucket.owner)?;
        let acl = acl.ok_or_else(|| Code::MissingSecurityHeader.error())?;
        if ownership.disables_acls() {
            return if acl.is_private(&bucket.owner) {
                Ok(())
            } else {
                Err(Code::AccessControlListNotSupported.error())
            };
        }
        check_public(&acl, super::get::<Block>(tx, bucket)?.as_ref())?;
        if let Some(object) = &mut version.object {
            object.traits.acl = (!acl.is_private(&owner)).then_some(acl);
        }
        Ok(())
    })
    .await?;
    Ok(PutObjectAclOutput::default())
}

pub(crate) async fn get_object(
    s3: Arc<S3>,
    cx: Cx,
    input: GetObjectAclRequest,
) -> Reply<GetObjectAclOutput> {
    let (_, version) = s3.find_object(&cx, input.place())?;
    let owner = version.owner;
    let own = version.object.and_then(|object| object.traits.acl);
    Ok(GetObjectAclOutput {
        owner: Some(acl::owner(&owner)),
        grants: Some(own.unwrap_or_else(|| Acl::private(&owner)).shown()),
        request_charged: None,
    })
}

pub(crate) use wanted;

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "111122223333";
    const TWO: &str = "444455556666";

    fn account(digits: &str) -> AccountId {
        digits.parse().expect("an account")
    }

    #[test]
    fn canned_lists_name_owner_and_host_once() {
        let (one, two) = (account(ONE), account(TWO));
        let acl = canned("bucket-owner-full-control", &one, &two).expect("acl");
        assert!(acl.gives_all_to(&one) && acl.gives_all_to(&two));
        let acl = canned("bucket-owner-full-control", &one, &one).expect("acl");
        assert!(acl.is_private(&one));
        assert!(canned("public-read", &one, &one).expect("acl").is_public());
        assert!(canned("everybody", &one, &one).is_err());
    }

    #[test]
    fn headers_hold_several_grantees() {
        let id = account(ONE).canonical_user();
        let read = format!("id=\"{id}\", uri=\"http://acs.amazonaws.com/groups/global/AllUsers\"");
        let headers = [(Permission::Read, Some(read.as_str())); 1];
        let mut all: GrantHeaders<'_> = [(Permission::Write, None); 5];
        all[0] = headers[0];
        let acl = from_headers(&all).expect("acl");
        assert_eq!(acl.0.len(), 2);
        assert_eq!(acl.0[0].to, Grantee::User(id));
        all[0].1 = Some("emailAddress=\"a@example.com\"");
        let error = from_headers(&all).expect_err("no addresses");
        assert_eq!(error.code(), "UnresolvableGrantByEmailAddress");
    }
}
