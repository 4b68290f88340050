//! The credential report: a CSV line for root and for every user.
//!
//! Columns: IAM User Guide, "Generate credential reports for your AWS account".

use std::sync::Arc;
use std::time::Duration;

use gureum_dispatch::{Caller, Cx};
use gureum_kit::{AccountId, Reader, Scan};
use gureum_model_iam::{op, types};
use gureum_schema::{Bytes, Result, Timestamp};

use crate::ask::account_row;
use crate::entity::Named;
use crate::errors::{Fault, Outcome};
use crate::model::{AccessKey, CredentialReport, Login, PasswordPolicy, User};
use crate::{Iam, Table, ask};

const COLUMNS: &str = "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,password_next_rotation,mfa_active,access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,access_key_1_last_used_region,access_key_1_last_used_service,access_key_2_active,access_key_2_last_rotated,access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service,cert_1_active,cert_1_last_rotated,cert_2_active,cert_2_last_rotated";

/// How long a report can be fetched.
const VALID: Duration = Duration::from_secs(4 * 3600);

pub(crate) fn table(table: Table) -> Table {
    table
        .op::<op::GenerateCredentialReport, _>(
            |_, cx, _| ask::account(cx, "iam:GenerateCredentialReport"),
            generate_credential_report,
        )
        .op::<op::GetCredentialReport, _>(
            |_, cx, _| ask::account(cx, "iam:GetCredentialReport"),
            get_credential_report,
        )
}

/// Makes the report anew, at once.
async fn generate_credential_report(
    iam: Arc<Iam>,
    cx: Cx,
    _: types::GenerateCredentialReportInput,
) -> Result<types::GenerateCredentialReportResponse> {
    let report = CredentialReport {
        account: *cx.account(),
        generated: cx.now,
        csv: csv(&iam, &iam.store.read(), cx.account())?,
    };
    let stored: Outcome<()> = iam.store.transact(|tx| Ok(tx.put(&report)?)).await;
    stored?;
    Ok(types::GenerateCredentialReportResponse {
        state: Some("COMPLETE".into()),
        description: None,
    })
}

async fn get_credential_report(
    iam: Arc<Iam>,
    cx: Cx,
    _: types::GetCredentialReportInput,
) -> Result<types::GetCredentialReportResponse> {
    let report = iam.store.read().get::<CredentialReport>(cx.account());
    let report = report.map_err(Fault::from)?.ok_or_else(|| {
        Fault::report_missing("No report exists; GenerateCredentialReport makes one.")
    })?;
    let valid = i64::try_from(VALID.as_millis()).unwrap_or(i64::MAX);
    if cx.now.0 > report.generated.0.saturating_add(valid) {
        return Err(Fault::report_expired(
            "The report is older than four hours; GenerateCredentialReport makes a new one.",
        )
        .into());
    }
    Ok(types::GetCredentialReportResponse {
        content: Some(Bytes::from(report.csv)),
        report_format: Some("text/csv".into()),
        generated_time: Some(report.generated),
    })
}

fn csv(iam: &Iam, reader: &impl Reader, account: &AccountId) -> Outcome<String> {
    let row = account_row(reader, account)?;
    let mut lines = vec![
        COLUMNS.to_owned(),
        root_line(iam, reader, account, &row.root_keys)?,
    ];
    for user in reader.scan(Scan::<User>::of((account,))) {
        let user = user?;
        let mut fields = vec![user.name.clone(), user.arn(), time(user.created)];
        fields.extend(password(user.login.as_ref(), row.password_policy.as_ref()));
        fields.push("false".into());
        fields.extend(keys(iam, reader, &user.access_keys)?);
        fields.extend(certificates());
        lines.push(fields.join(","));
    }
    Ok(lines.join("\n"))
}

/// The cloud does not know when the account was opened, nor has root a password.
fn root_line(
    iam: &Iam,
    reader: &impl Reader,
    account: &AccountId,
    root_keys: &[String],
) -> Outcome<String> {
    let root = Caller::root(*account);
    let mut fields = vec![
        "<root_account>".to_owned(),
        root.arn,
        "not_supported".into(),
    ];
    fields.extend(
        [
            "not_supported",
            "no_information",
            "not_supported",
            "not_supported",
        ]
        .map(String::from),
    );
    fields.push("false".into());
    fields.extend(keys(iam, reader, root_keys)?);
    fields.extend(certificates());
    Ok(fields.join(","))
}

/// `2015-04-13T14:55:37+00:00`
fn time(at: Timestamp) -> String {
    Timestamp::from_secs(at.secs())
        .to_string()
        .replace('Z', "+00:00")
}

fn password(login: Option<&Login>, policy: Option<&PasswordPolicy>) -> [String; 4] {
    let Some(login) = login else {
        return ["false", "N/A", "N/A", "N/A"].map(String::from);
    };
    let days = policy.map_or(0, |policy| i64::from(policy.max_age));
    let rotation = Timestamp(login.changed.0.saturating_add(days * 86_400_000));
    let next = if days > 0 {
        time(rotation)
    } else {
        "N/A".into()
    };
    [
        "true".into(),
        "no_information".into(),
        time(login.changed),
        next,
    ]
}

/// Two keys with five columns each.
fn keys(iam: &Iam, reader: &impl Reader, ids: &[String]) -> Outcome<Vec<String>> {
    let mut fields = Vec::with_capacity(10);
    for slot in 0..2 {
        let key = match ids.get(slot) {
            Some(id) => reader.get::<AccessKey>(id)?,
            None => None,
        };
        let Some(key) = key else {
            fields.extend(["false", "N/A", "N/A", "N/A", "N/A"].map(String::from));
            continue;
        };
        fields.extend([key.active.to_string(), time(key.created)]);
        match iam.last_used(reader, &key.id)? {
            Some(used) => fields.extend([time(used.when), used.region, used.service]),
            None => fields.extend(["N/A", "N/A", "N/A"].map(String::from)),
        }
    }
    Ok(fields)
}

/// Signing certificates are not implemented, so nobody has one.
fn certificates() -> [String; 4] {
    ["false", "N/A", "false", "N/A"].map(String::from)
}
