//! DescribeParameters: everything but the values.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_ssm::types as t;
use gureum_schema::Timestamp;

use crate::Ssm;
use crate::errors::Refusal;
use crate::filters::{self, Listing};
use crate::model::VersionRow;
use crate::names;
use crate::page::Page;

pub(crate) async fn describe_parameters(
    ssm: Arc<Ssm>,
    cx: Cx,
    input: t::DescribeParametersRequest,
) -> gureum_schema::Result<t::DescribeParametersResult> {
    let (old, new) = (input.filters.as_deref(), input.parameter_filters.as_deref());
    if old.is_some_and(|old| !old.is_empty()) && new.is_some_and(|new| !new.is_empty()) {
        return Err(Refusal::validation(
            "You can use either Filters or ParameterFilters in a single request.",
        )
        .into());
    }
    let mut wanted = filters::read(new, Listing::Describe)?;
    wanted.extend(filters::read_old(old)?);
    let what = format!("DescribeParameters {wanted:?}");
    let page = Page::read(
        &ssm,
        &cx,
        what,
        (input.max_results, 50),
        input.next_token.as_deref(),
    )?;
    let found = ssm.list(&cx, |parameter, version| {
        wanted
            .iter()
            .all(|filter| filter.admits(parameter, version))
    })?;
    let (found, next_token) = page.cut(&ssm, found, |(parameter, _)| parameter.name.clone());
    Ok(t::DescribeParametersResult {
        parameters: Some(
            found
                .into_iter()
                .map(|(_, version)| told(version))
                .collect(),
        ),
        next_token,
    })
}

fn told(row: VersionRow) -> t::ParameterMetadata {
    let arn = names::arn(&row.region, &row.account, &row.name);
    t::ParameterMetadata {
        arn: Some(arn.to_string()),
        type_: Some(row.kind.name().into()),
        key_id: row.value.key().map(str::to_owned),
        last_modified_date: Some(Timestamp(row.modified)),
        last_modified_user: Some(row.modified_by),
        description: row.description,
        allowed_pattern: row.allowed_pattern,
        version: Some(row.version),
        tier: Some(row.tier.name().into()),
        policies: Some(Vec::new()),
        data_type: Some(row.data_type),
        name: Some(row.name),
    }
}
