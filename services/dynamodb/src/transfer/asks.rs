//! What exports and imports ask of the policy engine; what they do in S3 is asked when they do it.

use gureum_dispatch::{Ask, Cx};
use gureum_model_dynamodb::types as t;
use gureum_schema::Result;

use crate::asks::{about, at};
use crate::backup::asks::below;
use crate::errors::Refusal;
use crate::state::{DynamoDb, key_of_arn};

pub(crate) fn export(
    db: &DynamoDb,
    _: &Cx,
    input: &t::ExportTableToPointInTimeInput,
) -> Result<Vec<Ask>> {
    let key =
        key_of_arn(&input.table_arn).ok_or_else(|| Refusal::validation("Invalid TableArn"))?;
    let action = "dynamodb:ExportTableToPointInTime";
    Ok(vec![about(db, action, &key, None)])
}

pub(crate) fn describe_export(
    _: &DynamoDb,
    _: &Cx,
    input: &t::DescribeExportInput,
) -> Result<Vec<Ask>> {
    let ask = below("dynamodb:DescribeExport", &input.export_arn, "export")?;
    Ok(vec![ask])
}

pub(crate) fn list_exports(_: &DynamoDb, _: &Cx, _: &t::ListExportsInput) -> Result<Vec<Ask>> {
    Ok(vec![Ask::new("dynamodb:ListExports", "*")])
}

pub(crate) fn import(db: &DynamoDb, cx: &Cx, input: &t::ImportTableInput) -> Result<Vec<Ask>> {
    let table = &input.table_creation_parameters.table_name;
    Ok(vec![at(db, cx, "dynamodb:ImportTable", table)?])
}

pub(crate) fn describe_import(
    _: &DynamoDb,
    _: &Cx,
    input: &t::DescribeImportInput,
) -> Result<Vec<Ask>> {
    let ask = below("dynamodb:DescribeImport", &input.import_arn, "import")?;
    Ok(vec![ask])
}

pub(crate) fn list_imports(_: &DynamoDb, _: &Cx, _: &t::ListImportsInput) -> Result<Vec<Ask>> {
    Ok(vec![Ask::new("dynamodb:ListImports", "*")])
}
