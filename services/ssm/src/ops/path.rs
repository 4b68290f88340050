//! GetParametersByPath: what is in a hierarchy, one level or all of it.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::{Reader, Scan};
use gureum_model_ssm::types as t;

use crate::Ssm;
use crate::errors::{Refusal, Result};
use crate::filters::{self, Listing, below};
use crate::model::{ParameterRow, VersionRow};
use crate::ops::get::told;
use crate::page::Page;

pub(crate) async fn get_parameters_by_path(
    ssm: Arc<Ssm>,
    cx: Cx,
    input: t::GetParametersByPathRequest,
) -> gureum_schema::Result<t::GetParametersByPathResult> {
    if !input.path.starts_with('/') {
        return Err(Refusal::validation(
            "The parameter doesn't meet the parameter name requirements. The parameter name must begin with a forward slash \"/\". It can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).",
        )
        .into());
    }
    let recursive = input.recursive.unwrap_or(false);
    let filters = filters::read(input.parameter_filters.as_deref(), Listing::ByPath)?;
    let what = format!("GetParametersByPath {} {recursive} {filters:?}", input.path);
    let page = Page::read(
        &ssm,
        &cx,
        what,
        (input.max_results, 10),
        input.next_token.as_deref(),
    )?;
    let wanted = |parameter: &ParameterRow, version: &VersionRow| {
        below(&parameter.name, &input.path).is_some_and(|rest| recursive || !rest.contains('/'))
            && filters
                .iter()
                .all(|filter| filter.admits(parameter, version))
    };
    let found = ssm.list(&cx, wanted)?;
    let (found, next_token) = page.cut(&ssm, found, |(parameter, _)| parameter.name.clone());
    let decrypt = input.with_decryption.unwrap_or(false);
    let mut parameters = Vec::new();
    for (_, version) in found {
        parameters.push(told(&cx, version, None, decrypt).await?);
    }
    Ok(t::GetParametersByPathResult {
        parameters: Some(parameters),
        next_token,
    })
}

impl Ssm {
    /// The caller's parameters with their current versions, by name.
    pub(crate) fn list(
        &self,
        cx: &Cx,
        wanted: impl Fn(&ParameterRow, &VersionRow) -> bool,
    ) -> Result<Vec<(ParameterRow, VersionRow)>> {
        let snapshot = self.store.read();
        let mut found = Vec::new();
        for parameter in snapshot.scan(Scan::<ParameterRow>::of((&cx.region, cx.account()))) {
            let parameter = parameter?;
            let key = (
                &cx.region,
                cx.account(),
                &parameter.name,
                &parameter.version,
            );
            let version = snapshot.get::<VersionRow>(key)?;
            found.extend(
                version
                    .filter(|version| wanted(&parameter, version))
                    .map(|version| (parameter, version)),
            );
        }
        Ok(found)
    }
}
