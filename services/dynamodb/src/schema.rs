//! Checking what a table shall be: keys, indexes, billing. Pure.

use std::collections::BTreeSet;

use gureum_model_dynamodb::types as t;

use crate::errors::{Refusal, Result};
use crate::model::{Billing, Index, KeySchema, Projected, Throughput};
use crate::state::{is_name, new_space};

const MAX_LOCALS: usize = 5;
pub(crate) const MAX_GLOBALS: usize = 20;
/// Non-key attributes that all indexes of a table project by name.
const MAX_PROJECTED: usize = 100;

pub(crate) fn key_schema(elements: &[t::KeySchemaElement]) -> Result<KeySchema> {
    let invalid = |message: &str| Err(Refusal::validation(format!("Invalid KeySchema: {message}")));
    match elements {
        [] => Err(Refusal::parameters("No KeySchema was given")),
        [first, ..] if first.key_type != "HASH" => {
            invalid("The first KeySchemaElement is not a HASH key type")
        }
        [only] => Ok(KeySchema {
            partition: only.attribute_name.clone(),
            sort: None,
        }),
        [_, second] if second.key_type != "RANGE" => {
            invalid("The second KeySchemaElement is not a RANGE key type")
        }
        [first, second] if first.attribute_name == second.attribute_name => {
            Err(Refusal::validation(
                "Both the Hash Key and the Range Key element in the KeySchema have the same name",
            ))
        }
        [first, second] => Ok(KeySchema {
            partition: first.attribute_name.clone(),
            sort: Some(second.attribute_name.clone()),
        }),
        _ => Err(Refusal::NotImplemented(
            "A KeySchema of more than two attributes".into(),
        )),
    }
}

/// Attribute definitions, and that keys use all of them and no others.
pub(crate) fn definitions(
    given: &[t::AttributeDefinition],
    keys: &KeySchema,
    indexes: &[&Index],
) -> Result<Vec<(String, String)>> {
    let defined: BTreeSet<&str> = given
        .iter()
        .map(|one| one.attribute_name.as_str())
        .collect();
    if defined.len() < given.len() {
        return Err(Refusal::parameters(
            "Duplicate AttributeName in AttributeDefinitions",
        ));
    }
    let list = |names: &BTreeSet<&str>| names.iter().copied().collect::<Vec<_>>().join(", ");
    let mut used = BTreeSet::new();
    for schema in std::iter::once(keys).chain(indexes.iter().map(|index| &index.keys)) {
        let names: BTreeSet<&str> = schema.names().map(String::as_str).collect();
        if !names.is_subset(&defined) {
            return Err(Refusal::parameters(&format!(
                "Some index key attributes are not defined in AttributeDefinitions. Keys: [{}], AttributeDefinitions: [{}]",
                list(&names),
                list(&defined)
            )));
        }
        used.extend(names);
    }
    if used.len() < defined.len() {
        return Err(Refusal::parameters(&if indexes.is_empty() {
            "Number of attributes in KeySchema does not exactly match number of attributes defined in AttributeDefinitions".to_owned()
        } else {
            format!(
                "Some AttributeDefinitions are not used. AttributeDefinitions: [{}], keys used: [{}]",
                list(&defined),
                list(&used)
            )
        }));
    }
    Ok(given
        .iter()
        .map(|one| (one.attribute_name.clone(), one.attribute_type.clone()))
        .collect())
}

fn projected(projection: &t::Projection) -> Result<Projected> {
    let kind = projection.projection_type.as_deref();
    match (kind, &projection.non_key_attributes) {
        (Some("ALL"), None) => Ok(Projected::All),
        (Some("KEYS_ONLY"), None) => Ok(Projected::KeysOnly),
        (Some("INCLUDE"), Some(names)) => Ok(Projected::Include(names.clone())),
        (Some("INCLUDE"), None) => Err(Refusal::parameters(
            "ProjectionType is INCLUDE, but NonKeyAttributes is not specified",
        )),
        (Some(kind @ ("ALL" | "KEYS_ONLY")), Some(_)) => Err(Refusal::parameters(&format!(
            "ProjectionType is {kind}, but NonKeyAttributes is specified"
        ))),
        (kind, _) => Err(Refusal::parameters(&format!(
            "Unknown ProjectionType: {}",
            kind.unwrap_or("null")
        ))),
    }
}

fn index(
    name: &str,
    keys: &[t::KeySchemaElement],
    projection: &t::Projection,
    throughput: Throughput,
) -> Result<Index> {
    if !is_name(name) {
        return Err(Refusal::validation(
            "Invalid table/index name.  Table/index names must be between 3 and 255 characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'",
        ));
    }
    Ok(Index {
        name: name.to_owned(),
        id: new_space(),
        keys: key_schema(keys)?,
        projection: projected(projection)?,
        throughput,
        backfilling: false,
    })
}

pub(crate) fn locals(given: &[t::LocalSecondaryIndex], table: &KeySchema) -> Result<Vec<Index>> {
    if given.len() > MAX_LOCALS {
        return Err(Refusal::parameters(&format!(
            "Number of LocalSecondaryIndexes exceeds per-table limit of {MAX_LOCALS}"
        )));
    }
    if !given.is_empty() && table.sort.is_none() {
        return Err(Refusal::parameters(
            "Table KeySchema does not have a range key, which is required when specifying a LocalSecondaryIndex",
        ));
    }
    let one = |one: &t::LocalSecondaryIndex| {
        let made = index(
            &one.index_name,
            &one.key_schema,
            &one.projection,
            Throughput::default(),
        )?;
        if made.keys.partition != table.partition {
            return Err(Refusal::parameters(&format!(
                "Index KeySchema does not have the same leading hash key as table KeySchema for index: {}. index hash key: {}, table hash key: {}",
                made.name, made.keys.partition, table.partition
            )));
        }
        if made.keys.sort.is_none() {
            return Err(Refusal::parameters(&format!(
                "Index KeySchema does not have a range key for index: {}",
                made.name
            )));
        }
        Ok(made)
    };
    given.iter().map(one).collect()
}

/// A global index; `on_demand` is how its table is billed.
pub(crate) fn global(
    name: &str,
    keys: &[t::KeySchemaElement],
    projection: &t::Projection,
    throughput: Option<&t::ProvisionedThroughput>,
    on_demand: bool,
) -> Result<Index> {
    let throughput = match (throughput, on_demand) {
        (None, true) => Throughput::default(),
        (Some(given), false) => units(given)?,
        (None, false) => {
            return Err(Refusal::parameters(&format!(
                "ProvisionedThroughput must be specified for index: {name}"
            )));
        }
        (Some(_), true) => {
            return Err(Refusal::parameters(&format!(
                "ProvisionedThroughput should not be specified for index: {name} when BillingMode is PAY_PER_REQUEST"
            )));
        }
    };
    index(name, keys, projection, throughput)
}

pub(crate) fn check_indexes(locals: &[Index], globals: &[Index]) -> Result<()> {
    if globals.len() > MAX_GLOBALS {
        return Err(Refusal::parameters(&format!(
            "GlobalSecondaryIndex count exceeds the per-table limit of {MAX_GLOBALS}"
        )));
    }
    let mut names = BTreeSet::new();
    let mut projected = 0;
    for index in locals.iter().chain(globals) {
        if !names.insert(&index.name) {
            return Err(Refusal::parameters(&format!(
                "Duplicate index name: {}",
                index.name
            )));
        }
        if let Projected::Include(names) = &index.projection {
            projected += names.len();
        }
    }
    if projected > MAX_PROJECTED {
        return Err(Refusal::parameters(&format!(
            "Number of projected attributes exceeds the limit of {MAX_PROJECTED}"
        )));
    }
    Ok(())
}

pub(crate) fn units(given: &t::ProvisionedThroughput) -> Result<Throughput> {
    if given.read_capacity_units < 1 || given.write_capacity_units < 1 {
        return Err(Refusal::parameters(
            "ReadCapacityUnits and WriteCapacityUnits must be at least 1",
        ));
    }
    Ok(Throughput {
        read: given.read_capacity_units,
        write: given.write_capacity_units,
    })
}

pub(crate) fn billing(
    mode: Option<&str>,
    throughput: Option<&t::ProvisionedThroughput>,
    now: i64,
) -> Result<Billing> {
    let on_demand = mode == Some("PAY_PER_REQUEST");
    let throughput = match (throughput, on_demand) {
        (None, true) => Throughput::default(),
        (Some(given), false) => units(given)?,
        (None, false) => {
            return Err(Refusal::parameters(
                "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
            ));
        }
        (Some(_), true) => {
            return Err(Refusal::parameters(
                "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST",
            ));
        }
    };
    Ok(Billing {
        on_demand,
        on_demand_since: on_demand.then_some(now),
        throughput,
        increased: None,
        decreased: None,
    })
}

/// The view type of a stream that shall be written; `None` for no stream.
pub(crate) fn stream_view(given: &t::StreamSpecification) -> Result<Option<String>> {
    match (given.stream_enabled, &given.stream_view_type) {
        (true, Some(view)) => Ok(Some(view.clone())),
        (true, None) => Err(Refusal::parameters(
            "StreamViewType is required when StreamEnabled is true",
        )),
        (false, None) => Ok(None),
        (false, Some(_)) => Err(Refusal::parameters(
            "StreamViewType cannot be specified when StreamEnabled is false",
        )),
    }
}
