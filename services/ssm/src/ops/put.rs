//! PutParameter.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::{Reader, Tx};
use gureum_model_ssm::types as t;
use regex_lite::Regex;

use crate::Ssm;
use crate::errors::{Refusal, Result};
use crate::model::{Kind, ParameterRow, Tags, Tier, Value, VersionRow};
use crate::ops::tags;
use crate::{names, sealing};

/// How many versions of a parameter are kept.
const VERSIONS: i64 = 100;

pub(crate) async fn put_parameter(
    ssm: Arc<Ssm>,
    cx: Cx,
    input: t::PutParameterRequest,
) -> gureum_schema::Result<t::PutParameterResult> {
    let wish = Wish::read(&cx, &input)?;
    let current = ssm.current(&cx, &wish.name)?;
    let kind = wish.kind(current.as_ref())?;
    let tier = wish.tier(current.as_ref(), &input.value)?;
    let pattern = wish.pattern.clone();
    // KMS is asked before the transaction, which then decides alone whether the version is kept.
    let value = match kind {
        Kind::SecureString => {
            let key = input.key_id.as_deref().unwrap_or(sealing::DEFAULT_KEY);
            sealing::seal(&cx, &wish.name, tier, key, &input.value).await?
        }
        _ if input.key_id.is_some() => {
            let message = "KeyId is only for parameters of the type SecureString.";
            return Err(Refusal::validation(message).into());
        }
        _ => Value::Plain(input.value.clone()),
    };
    let row = VersionRow {
        region: cx.region.clone(),
        account: *cx.account(),
        name: wish.name.clone(),
        version: 0,
        kind,
        tier,
        value,
        description: input.description,
        allowed_pattern: pattern,
        data_type: wish.data_type.clone(),
        modified: cx.now.0,
        modified_by: cx.caller.arn.to_string(),
    };
    let version = ssm
        .store
        .transact(|tx| keep(tx, &wish, row.clone()))
        .await?;
    Ok(t::PutParameterResult {
        version: Some(version),
        tier: Some(tier.name().into()),
    })
}

/// What the request says, checked as far as it can be without the parameter.
struct Wish {
    name: String,
    overwrite: bool,
    kind: Option<Kind>,
    tier: Option<String>,
    pattern: Option<String>,
    data_type: String,
    tags: Tags,
}

impl Wish {
    fn read(cx: &Cx, input: &t::PutParameterRequest) -> Result<Self> {
        names::check_new(cx, &input.name)?;
        if input.value.is_empty() {
            return Err(Refusal::validation(
                "1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1.",
            ));
        }
        let overwrite = input.overwrite.unwrap_or(false);
        let tags = tags::read(input.tags.as_deref().unwrap_or_default())?;
        if overwrite && !tags.is_empty() {
            return Err(Refusal::validation(
                "Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.",
            ));
        }
        let data_type = input.data_type.clone().unwrap_or_else(|| "text".into());
        if data_type != "text" {
            return Err(Refusal::NotImplemented(format!(
                "The data type {data_type} of parameters"
            )));
        }
        check_pattern(input.allowed_pattern.as_deref(), &input.value)?;
        let named = |kind: &Kind| input.type_.as_deref() == Some(kind.name());
        Ok(Self {
            name: input.name.clone(),
            overwrite,
            kind: Kind::ALL.into_iter().find(named),
            tier: input.tier.clone(),
            pattern: input.allowed_pattern.clone(),
            data_type,
            tags,
        })
    }

    fn kind(&self, current: Option<&VersionRow>) -> Result<Kind> {
        match (self.kind, current) {
            (Some(kind), Some(current)) if kind != current.kind && self.overwrite => {
                Err(Refusal::TypeMismatch)
            }
            (Some(kind), _) => Ok(kind),
            (None, Some(current)) if self.overwrite => Ok(current.kind),
            (None, Some(_)) => Err(Refusal::Exists),
            (None, None) => Err(Refusal::validation(
                "A parameter type is required when you create a parameter.",
            )),
        }
    }

    /// Once advanced, a parameter stays it.
    fn tier(&self, current: Option<&VersionRow>, value: &str) -> Result<Tier> {
        let was = current.map(|current| current.tier);
        let fits = |tier: Tier| value.len() <= tier.longest();
        let tier = match (self.tier.as_deref(), was) {
            (Some("Standard"), Some(Tier::Advanced)) if self.overwrite => {
                return Err(Refusal::validation(
                    "This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the advanced-parameter tier to the standard-parameter tier. If necessary, you can delete the advanced parameter and recreate it as a standard parameter.",
                ));
            }
            (Some("Advanced"), _) | (_, Some(Tier::Advanced)) => Tier::Advanced,
            (Some("Intelligent-Tiering"), _) if !fits(Tier::Standard) => Tier::Advanced,
            _ => Tier::Standard,
        };
        if fits(tier) {
            return Ok(tier);
        }
        Err(Refusal::validation(match tier {
            Tier::Standard => {
                "Standard tier parameters support a maximum parameter value of 4096 characters. To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier. For more information, see https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html"
            }
            Tier::Advanced => {
                "Advanced tier parameters support a maximum parameter value of 8192 characters."
            }
        }))
    }
}

/// The whole value must match.
fn check_pattern(pattern: Option<&str>, value: &str) -> Result<()> {
    let Some(pattern) = pattern.filter(|pattern| !pattern.is_empty()) else {
        return Ok(());
    };
    let whole = Regex::new(&format!("^(?:{pattern})$"));
    match whole
        .map_err(|error| Refusal::Pattern(error.to_string()))?
        .is_match(value)
    {
        true => Ok(()),
        false => Err(Refusal::Mismatch(pattern.to_owned())),
    }
}

/// Keeps a version as the newest one. Of more than a hundred, the oldest is forgotten.
fn keep(tx: &mut Tx, wish: &Wish, mut row: VersionRow) -> Result<i64> {
    let (region, account, name) = (row.region.clone(), row.account, row.name.clone());
    let mut parameter = match tx.get::<ParameterRow>((&region, &account, &name))? {
        Some(_) if !wish.overwrite => return Err(Refusal::Exists),
        Some(parameter) => parameter,
        None => ParameterRow {
            region: region.clone(),
            account,
            name: name.clone(),
            version: 0,
            oldest: 1,
            tags: wish.tags.clone(),
            labels: Default::default(),
        },
    };
    let before = tx.get::<VersionRow>((&region, &account, &name, &parameter.version))?;
    if before
        .as_ref()
        .is_some_and(|before| before.kind != row.kind)
    {
        return Err(Refusal::TypeMismatch);
    }
    parameter.version += 1;
    if parameter.version - parameter.oldest >= VERSIONS {
        let oldest = parameter.oldest;
        if parameter.labels_of(oldest).next().is_some() {
            return Err(Refusal::TooManyVersions { name, oldest });
        }
        tx.delete::<VersionRow>((&region, &account, &name, &oldest))?;
        parameter.oldest += 1;
    }
    row.version = parameter.version;
    if let (None, Some(before)) = (&row.description, before) {
        row.description = before.description;
    }
    tx.put(&parameter)?;
    tx.put(&row)?;
    Ok(row.version)
}
