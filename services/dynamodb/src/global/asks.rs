//! What changing a global table asks of the policy engine beside `UpdateTable`.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/globaltables-security.html>

use gureum_dispatch::{Ask, Cx};
use gureum_model_dynamodb::types as t;
use gureum_schema::Result;

use crate::asks::{about, at};
use crate::errors::Refusal;
use crate::state::{DynamoDb, key_of};

pub(crate) fn update_table(
    db: &DynamoDb,
    cx: &Cx,
    input: &t::UpdateTableInput,
) -> Result<Vec<Ask>> {
    let name = &input.table_name;
    let mut asks = vec![at(db, cx, "dynamodb:UpdateTable", name)?];
    for update in input.replica_updates.iter().flatten() {
        let (action, region) = match (&update.create, &update.delete) {
            (Some(create), _) => ("dynamodb:CreateTableReplica", &create.region_name),
            (_, Some(delete)) => ("dynamodb:DeleteTableReplica", &delete.region_name),
            (None, None) => continue,
        };
        let region = region.parse();
        let region = region.map_err(|_| Refusal::validation("Invalid RegionName"))?;
        let (_, account, table) = key_of(cx, name)?;
        asks.push(about(db, action, &(region, account, table), None));
    }
    Ok(asks)
}
