//! GetParameter, GetParameters.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::Reader;
use gureum_model_ssm::types as t;
use gureum_schema::Timestamp;

use crate::Ssm;
use crate::errors::{Refusal, Result};
use crate::model::{ParameterRow, VersionRow};
use crate::names::{self, Named};
use crate::public;
use crate::sealing;

pub(crate) async fn get_parameter(
    ssm: Arc<Ssm>,
    cx: Cx,
    input: t::GetParameterRequest,
) -> gureum_schema::Result<t::GetParameterResult> {
    let named = Named::read(&cx, &input.name)?;
    let decrypt = input.with_decryption.unwrap_or(false);
    let parameter = ssm.tell(&cx, named, decrypt).await?;
    Ok(t::GetParameterResult {
        parameter: Some(parameter),
    })
}

/// What is not there is listed, not an error.
pub(crate) async fn get_parameters(
    ssm: Arc<Ssm>,
    cx: Cx,
    input: t::GetParametersRequest,
) -> gureum_schema::Result<t::GetParametersResult> {
    let decrypt = input.with_decryption.unwrap_or(false);
    let (mut parameters, mut invalid) = (Vec::new(), Vec::new());
    for name in input.names {
        let found = match Named::read(&cx, &name) {
            Ok(named) => ssm.tell(&cx, named, decrypt).await,
            Err(error) => Err(error),
        };
        match found {
            Ok(parameter) => parameters.push(parameter),
            Err(Refusal::NotFound(_) | Refusal::VersionNotFound(_)) => invalid.push(name),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(t::GetParametersResult {
        parameters: Some(parameters),
        invalid_parameters: Some(invalid),
    })
}

/// A version as replies tell it, its value decrypted or not.
pub(crate) async fn told(
    cx: &Cx,
    row: VersionRow,
    selector: Option<String>,
    decrypt: bool,
) -> Result<t::Parameter> {
    let value = match decrypt {
        true => sealing::open(cx, &row).await?,
        false => row.value.as_kept().to_owned(),
    };
    let arn = names::arn(&row.region, &row.account, &row.name);
    Ok(t::Parameter {
        arn: Some(arn.to_string()),
        name: Some(row.name),
        type_: Some(row.kind.name().into()),
        value: Some(value),
        version: Some(row.version),
        selector: selector.map(|selector| format!(":{selector}")),
        source_result: None,
        last_modified_date: Some(Timestamp(row.modified)),
        data_type: Some(row.data_type),
    })
}

impl Ssm {
    /// The parameter that a name means, the account's own or a public one.
    async fn tell(&self, cx: &Cx, named: Named, decrypt: bool) -> Result<t::Parameter> {
        if let Some(public) = public::find(cx, &named).await? {
            return Ok(public);
        }
        let row = self.find(cx, &named)?;
        told(cx, row, named.selector, decrypt).await
    }

    /// The version that a name means: the current one, or that of its number or label.
    pub(crate) fn find(&self, cx: &Cx, named: &Named) -> Result<VersionRow> {
        let place = names::place(cx, &named.name);
        let snapshot = self.store.read();
        let missing = || Refusal::NotFound(named.name.clone());
        let parameter = snapshot.get::<ParameterRow>(&place)?.ok_or_else(missing)?;
        let version = match &named.selector {
            None => Some(parameter.version),
            Some(selector) => match selector.parse() {
                Ok(number) => Some(number),
                Err(_) => parameter.labels.get(selector).copied(),
            },
        };
        let (region, account, name) = place;
        let gone = || {
            let selector = named.selector.as_deref().unwrap_or_default();
            Refusal::VersionNotFound(format!("{selector} of parameter {}", named.name))
        };
        let version = version.ok_or_else(gone)?;
        let row = snapshot.get::<VersionRow>((&region, &account, &name, &version))?;
        row.ok_or_else(gone)
    }

    /// The current version of a parameter, if there is one of that name.
    pub(crate) fn current(&self, cx: &Cx, name: &str) -> Result<Option<VersionRow>> {
        let named = Named {
            name: name.to_owned(),
            selector: None,
        };
        match self.find(cx, &named) {
            Ok(row) => Ok(Some(row)),
            Err(Refusal::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
