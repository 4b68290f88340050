//! GetParameterHistory: every version that is kept, oldest first.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_kit::{Reader, Scan};
use gureum_model_ssm::types as t;
use gureum_schema::Timestamp;

use crate::Ssm;
use crate::errors::{Refusal, Result};
use crate::model::{ParameterRow, VersionRow};
use crate::names::{self, Named};
use crate::page::Page;
use crate::sealing;

pub(crate) async fn get_parameter_history(
    ssm: Arc<Ssm>,
    cx: Cx,
    input: t::GetParameterHistoryRequest,
) -> gureum_schema::Result<t::GetParameterHistoryResult> {
    let name = Named::read_plain(&cx, &input.name)?;
    let what = format!("GetParameterHistory {name}");
    let page = Page::read(
        &ssm,
        &cx,
        what,
        (input.max_results, 50),
        input.next_token.as_deref(),
    )?;
    let (parameter, versions) = read(&ssm, &cx, &name)?;
    let (versions, next_token) = page.cut(&ssm, versions, |row| format!("{:020}", row.version));
    let mut parameters = Vec::new();
    for row in versions {
        let value = match input.with_decryption.unwrap_or(false) {
            true => sealing::open(&cx, &row).await?,
            false => row.value.as_kept().to_owned(),
        };
        parameters.push(told(&parameter, row, value));
    }
    Ok(t::GetParameterHistoryResult {
        parameters: Some(parameters),
        next_token,
    })
}

fn read(ssm: &Ssm, cx: &Cx, name: &str) -> Result<(ParameterRow, Vec<VersionRow>)> {
    let snapshot = ssm.store.read();
    let (region, account, name) = names::place(cx, name);
    let parameter = snapshot.get::<ParameterRow>((&region, &account, &name))?;
    let parameter = parameter.ok_or(Refusal::NotFound(name))?;
    let scan = Scan::<VersionRow>::of((&region, &account, &parameter.name));
    let versions = snapshot.scan(scan).collect::<Result<_, _>>()?;
    Ok((parameter, versions))
}

fn told(parameter: &ParameterRow, row: VersionRow, value: String) -> t::ParameterHistory {
    t::ParameterHistory {
        type_: Some(row.kind.name().into()),
        key_id: row.value.key().map(str::to_owned),
        last_modified_date: Some(Timestamp(row.modified)),
        last_modified_user: Some(row.modified_by),
        description: row.description,
        value: Some(value),
        allowed_pattern: row.allowed_pattern,
        version: Some(row.version),
        labels: Some(parameter.labels_of(row.version).cloned().collect()),
        tier: Some(row.tier.name().into()),
        policies: Some(Vec::new()),
        data_type: Some(row.data_type),
        name: Some(row.name),
    }
}
