//! Names of parameters: `name`, `/a/hierarchy/of/names`, their ARNs, and `name:version` or
//! `name:label` where one version is meant.

use gureum_dispatch::Cx;
use gureum_kit::{AccountId, Arn, Region};

use crate::errors::{Refusal, Result};
use crate::model::ParameterRef;

/// The longest name, counted with the ARN before it.
const LONGEST_ARN: usize = 1011;
const DEEPEST: usize = 15;

/// A parameter, and which version of it is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: String,
    pub(crate) selector: Option<String>,
}

impl Named {
    /// Reads a name, an ARN, either with a selector behind a colon.
    pub(crate) fn read(cx: &Cx, text: &str) -> Result<Self> {
        let rest = match text.strip_prefix("arn:") {
            None => text.to_owned(),
            Some(arn) => own(cx, arn).ok_or_else(|| Refusal::NotFound(text.to_owned()))?,
        };
        let (name, selector) = match rest.split_once(':') {
            None => (rest, None),
            Some((name, selector)) => (name.to_owned(), Some(selector.to_owned())),
        };
        check_characters(&name)?;
        Ok(Self { name, selector })
    }

    /// Reads a name where no version can be meant.
    pub(crate) fn read_plain(cx: &Cx, text: &str) -> Result<String> {
        match Self::read(cx, text)? {
            Self {
                name,
                selector: None,
            } => Ok(name),
            _ => Err(characters()),
        }
    }
}

/// The name in an ARN of the caller's own account and region. `parameter/a/b` is `/a/b`, and
/// `parameter/a` is `a`.
fn own(cx: &Cx, arn: &str) -> Option<String> {
    let scope = format!("aws:ssm:{}:{}:parameter/", cx.region, cx.account());
    let path = arn.strip_prefix(&scope)?;
    let name = path.split(':').next().unwrap_or_default();
    Some(if name.contains('/') {
        format!("/{path}")
    } else {
        path.to_owned()
    })
}

pub(crate) fn place(cx: &Cx, name: &str) -> ParameterRef {
    (cx.region.clone(), *cx.account(), name.to_owned())
}

pub(crate) fn arn(region: &Region, account: &AccountId, name: &str) -> Arn {
    let path = name.trim_start_matches('/');
    Arn::new("ssm", region, account, format!("parameter/{path}"))
}

fn characters() -> Refusal {
    Refusal::validation(
        "Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_",
    )
}

fn check_characters(name: &str) -> Result<()> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/');
    if name.is_empty() || !name.chars().all(fits) {
        return Err(characters());
    }
    Ok(())
}

/// Checks the name of a parameter that is to be made.
pub(crate) fn check_new(cx: &Cx, name: &str) -> Result<()> {
    check_characters(name)?;
    let levels: Vec<&str> = name.trim_start_matches('/').split('/').collect();
    if levels.iter().any(|level| level.is_empty()) {
        return Err(characters());
    }
    if name.contains('/') && !name.starts_with('/') {
        return Err(Refusal::validation(
            "Parameter name must be a fully qualified name.",
        ));
    }
    if levels.len() > DEEPEST {
        return Err(Refusal::TooDeep);
    }
    let first = levels[0].to_ascii_lowercase();
    if first.starts_with("aws") {
        return Err(Refusal::validation(
            "Parameter name: can't be prefixed with \"aws\" (case-insensitive).",
        ));
    }
    if first.starts_with("ssm") {
        return Err(characters());
    }
    if arn(&cx.region, cx.account(), name).to_string().len() > LONGEST_ARN {
        return Err(Refusal::validation(
            "Parameter name: with its ARN, it can have at most 1011 characters.",
        ));
    }
    Ok(())
}
