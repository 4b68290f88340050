//! Public parameters: the newest images, as AWS publishes them below `/aws/service`.
//!
//! <https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-public-parameters-ami.html>

use std::sync::Arc;

use gureum_dispatch::{Caller, Cx};
use gureum_model_ec2::op;
use gureum_model_ec2::types::{DescribeImagesRequest, Filter};
use gureum_model_ssm::types as t;
use gureum_schema::Timestamp;

use crate::errors::{Refusal, Result};
use crate::names::Named;

const LINUX: &str = "/aws/service/ami-amazon-linux-latest/";

/// What Amazon Linux's images are called here, before their architecture and behind it.
const IMAGES: [(&str, &str); 8] = [
    ("al2023-ami-kernel-default-", ""),
    ("al2023-ami-kernel-6.1-", ""),
    ("al2023-ami-kernel-6.12-", ""),
    ("al2023-ami-minimal-kernel-default-", ""),
    ("al2023-ami-minimal-kernel-6.1-", ""),
    ("amzn2-ami-hvm-", "-gp2"),
    ("amzn2-ami-hvm-", "-ebs"),
    ("amzn2-ami-kernel-5.10-hvm-", "-gp2"),
];

/// The architecture of the image that a public parameter's name means.
fn architecture(name: &str) -> Option<&str> {
    let name = name.strip_prefix(LINUX)?;
    let middle = |(before, behind): &(&str, &str)| {
        let rest = name.strip_prefix(before)?.strip_suffix(behind)?;
        matches!(rest, "x86_64" | "arm64").then_some(rest)
    };
    IMAGES.iter().find_map(middle)
}

/// The public parameter of that name: the image that serves for it here. Anybody may see which one
/// that is, so it is asked for in the account's own name.
pub(crate) async fn find(cx: &Cx, named: &Named) -> Result<Option<t::Parameter>> {
    let Some(architecture) = architecture(&named.name) else {
        return Ok(None);
    };
    let filter = |name: &str, value: &str| Filter {
        name: Some(name.into()),
        values: Some(vec![value.into()]),
    };
    let input = DescribeImagesRequest {
        owners: Some(vec!["amazon".into()]),
        filters: Some(vec![
            filter("architecture", architecture),
            filter("state", "available"),
        ]),
        ..Default::default()
    };
    let account = cx.as_caller(Arc::new(Caller::root(*cx.account())));
    let images = account.call::<op::DescribeImages>(input).await;
    let images = images.map_err(|error| Refusal::Broken(error.to_string()))?;
    let newest = images.images.unwrap_or_default().into_iter();
    let newest = newest.max_by(|one, other| one.creation_date.cmp(&other.creation_date));
    let Some(id) = newest.and_then(|image| image.image_id) else {
        return Ok(None);
    };
    // There has only ever been one version of it.
    if named.selector.as_deref().is_some_and(|which| which != "1") {
        let which = named.selector.clone().unwrap_or_default();
        return Err(Refusal::VersionNotFound(which));
    }
    Ok(Some(t::Parameter {
        arn: Some(format!(
            "arn:aws:ssm:{}::parameter{}",
            cx.region, named.name
        )),
        name: Some(named.name.clone()),
        type_: Some("String".into()),
        value: Some(id),
        version: Some(1),
        selector: named.selector.as_ref().map(|which| format!(":{which}")),
        last_modified_date: Some(Timestamp(MADE)),
        data_type: Some("aws:ec2:image".into()),
        source_result: None,
    }))
}

/// When the base image dates from: 2026-01-01, in ms since the epoch.
const MADE: i64 = 1_767_225_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_the_architecture() {
        let of = |name: &str| architecture(&format!("{LINUX}{name}")).map(str::to_owned);
        assert_eq!(of("al2023-ami-kernel-default-arm64").unwrap(), "arm64");
        assert_eq!(of("amzn2-ami-hvm-x86_64-gp2").unwrap(), "x86_64");
        assert_eq!(of("amzn2-ami-hvm-x86_64"), None);
        assert_eq!(of("al2023-ami-kernel-default-vax"), None);
        assert_eq!(architecture("al2023-ami-kernel-default-arm64"), None);
    }
}
