//! What may stand in `Resource`, `Action` and `Principal`: the checks on single entries.

use crate::error::Problem;
use crate::principal::Principal;

type Result<T> = std::result::Result<T, Problem>;

const PARTITIONS: [&str; 3] = ["aws", "aws-cn", "aws-us-gov"];

/// What an IAM resource's path may begin with, in the order IAM's message lists it.
const IAM_PATHS: [&str; 13] = [
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
];

/// Checks one entry of `Resource` or `NotResource`.
pub(crate) fn check_resource(resource: &str) -> Result<()> {
    if resource == "*" {
        return Ok(());
    }
    let Some((scheme, rest)) = resource.split_once(':') else {
        let text = format!("Resource {resource} must be in ARN format or \"*\".");
        return Err(Problem::Resource(text));
    };
    let mut parts = rest.splitn(5, ':');
    let partition = parts.next().unwrap_or_default();
    let service = parts.next();
    let (region, account, path) = (parts.next(), parts.next(), parts.next());
    if !PARTITIONS.contains(&partition) && !has_wildcard(partition) {
        // An unknown "partition" that is a service misplaced is past IAM's newer checks.
        if scheme == "arn" && partition.starts_with("aws") && path.is_none() {
            return Err(Problem::Legacy);
        }
        let shown = |part: Option<&str>| part.unwrap_or("*").to_owned();
        let rest = [shown(service), shown(region), shown(account), shown(path)].join(":");
        return Err(Problem::Resource(format!(
            "Partition \"{partition}\" is not valid for resource \"arn:{partition}:{rest}\"."
        )));
    }
    if scheme != "arn" {
        return Err(Problem::Legacy);
    }
    let Some(service) = service.filter(|service| !has_wildcard(service)) else {
        let text = "Resource vendor must be fully qualified and cannot contain regexes.";
        return Err(Problem::Resource(text.into()));
    };
    // A short form is understood only if nothing before its end is left empty.
    let complete = path.is_some() || !resource.contains("::");
    if service.is_empty() || !complete || !account.is_none_or(is_account_part) {
        return Err(Problem::Legacy);
    }
    check_global(resource, service, [region, account, path])
}

/// IAM has no regions; S3 has them only for access points and the like, which have an account.
fn check_global(resource: &str, service: &str, parts: [Option<&str>; 3]) -> Result<()> {
    let [region, account, path] = parts.map(Option::unwrap_or_default);
    let regional = !region.is_empty() && !has_wildcard(region);
    match service {
        "iam" if regional => Err(Problem::Resource(format!(
            "IAM resource {resource} cannot contain region information."
        ))),
        "iam" if !is_iam_path(path) => Err(Problem::Resource(format!(
            "IAM resource path must either be \"*\" or start with {}.",
            IAM_PATHS.join(", ")
        ))),
        "s3" if regional && account.is_empty() => Err(Problem::Resource(format!(
            "Resource {resource} can not contain region information."
        ))),
        _ => Ok(()),
    }
}

fn is_iam_path(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or_default();
    path.is_empty() || has_wildcard(first) || IAM_PATHS.iter().any(|p| path.starts_with(p))
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
}

/// The account part of an ARN: absent, 12 digits, a name such as `aws`, or a wildcard.
fn is_account_part(account: &str) -> bool {
    let digits = account.bytes().all(|b| b.is_ascii_digit());
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'*' | b'?' | b'-');
    account.is_empty()
        || if digits {
            account.len() == 12
        } else {
            account.bytes().all(legal)
        }
}

/// Checks one entry of `Action` or `NotAction`.
pub(crate) fn check_action(action: &str) -> Result<()> {
    if action == "*" {
        return Ok(());
    }
    let Some((vendor, name)) = action.split_once(':') else {
        let text = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";
        return Err(Problem::Action(text.into()));
    };
    if name.contains(':') {
        let text = "Actions/Condition can contain only one colon.";
        return Err(Problem::Action(text.into()));
    }
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    if vendor != "*" && (vendor.is_empty() || !vendor.bytes().all(legal)) {
        return Err(Problem::Action(format!("Vendor {vendor} is not valid")));
    }
    Ok(())
}

/// Reads one entry of `Principal` or `NotPrincipal`.
pub(crate) fn parse_principal(class: &str, value: &str) -> Result<Principal> {
    let principal = match class {
        "*" if value == "*" => Some(Principal::Anyone),
        "AWS" => parse_aws_principal(value),
        "Service" => is_service(value).then(|| Principal::Service(value.into())),
        "Federated" => is_provider(value).then(|| Principal::Federated(value.into())),
        "CanonicalUser" => {
            let hex = value.bytes().all(|b| b.is_ascii_hexdigit());
            (hex && (32..=128).contains(&value.len()))
                .then(|| Principal::CanonicalUser(value.into()))
        }
        _ => None,
    };
    principal.ok_or_else(|| Problem::Principal {
        class: class.into(),
        value: value.into(),
    })
}

fn parse_aws_principal(value: &str) -> Option<Principal> {
    if value == "*" {
        return Some(Principal::Anyone);
    }
    if is_account(value) {
        return Some(Principal::Account(value.into()));
    }
    if !value.starts_with("arn:") {
        let shaped = value
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        let unique_id = shaped && value.starts_with('A') && (16..=128).contains(&value.len());
        return unique_id.then(|| Principal::UniqueId(value.into()));
    }
    let mut parts = value.splitn(6, ':').skip(1);
    let (partition, service) = (parts.next()?, parts.next()?);
    let (region, account, path) = (parts.next()?, parts.next()?, parts.next()?);
    let known = PARTITIONS.contains(&partition) && region.is_empty() && !has_wildcard(path);
    // CloudFront's origin access identities are users of an account called `cloudfront`.
    if !known || !(is_account(account) || (service == "iam" && account == "cloudfront")) {
        return None;
    }
    let named = |prefix: &str| {
        path.strip_prefix(prefix)
            .is_some_and(|name| !name.is_empty())
    };
    match service {
        "iam" if path == "root" => Some(Principal::Account(account.into())),
        "iam" if named("user/") || named("role/") => Some(Principal::Arn(value.into())),
        "sts" if named("assumed-role/") || named("federated-user/") => {
            Some(Principal::Arn(value.into()))
        }
        _ => None,
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_service(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    text == "*" || (text.contains('.') && text.bytes().all(legal))
}

/// A provider's ARN, or the domain (and path) of an OpenID Connect issuer.
fn is_provider(text: &str) -> bool {
    if !text.starts_with("arn:") {
        return !has_wildcard(text) && text.split('/').next().is_some_and(is_service);
    }
    let mut parts = text.splitn(6, ':').skip(2);
    let (service, account, path) = (parts.next(), parts.nth(1), parts.next());
    let named =
        |path: &str| path.starts_with("saml-provider/") || path.starts_with("oidc-provider/");
    service == Some("iam")
        && account.is_some_and(is_account)
        && path.is_some_and(|path| named(path) && !has_wildcard(path))
}
