//! Structures of the model as plain values: kept in rows, laid over each other, and poured into
//! other structures that call their members by the same names. EC2 spells what a launch template
//! holds in three families of structures; this makes one of them.

use std::collections::BTreeMap;

use gureum_schema::{Field, ListView, Slot, Struct, View};
use serde::{Deserialize, Serialize};

/// The members that are present, by name.
pub(crate) type Members = BTreeMap<String, Value>;

/// What a member can hold, as far as launch templates know it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    Members(Members),
}

/// The members of a structure that are present.
pub(crate) fn read(shape: &dyn Struct) -> Members {
    let members = shape.schema().members().iter().enumerate();
    let present = members.filter_map(|(index, member)| {
        let value = value(shape.field(index))?;
        Some((member.name.to_owned(), value))
    });
    present.collect()
}

fn value(field: &dyn Field) -> Option<Value> {
    Some(match field.view() {
        View::Bool(flag) => Value::Bool(flag),
        View::Int(number) => Value::Int(number),
        View::Float(number) => Value::Float(number.into()),
        View::Double(number) => Value::Float(number),
        View::Str(text) => Value::Text(text.to_owned()),
        View::Struct(inner) => Value::Members(read(inner)),
        View::List(list) => Value::List(items(list)),
        // Launch templates hold nothing else.
        _ => return None,
    })
}

fn items(list: &dyn ListView) -> Vec<Value> {
    let indices = 0..list.len();
    indices.filter_map(|at| value(list.get(at))).collect()
}

/// Fills a structure; the name of a member that it doesn't have, or has as something else, is the
/// error.
pub(crate) fn pour(members: &Members, into: &mut dyn Struct) -> Result<(), String> {
    let schema = into.schema().members();
    for (name, value) in members {
        let index = schema.iter().position(|member| member.name == name);
        let fills = index.is_some_and(|index| fill(value, into.field_mut(index)));
        if !fills {
            return Err(name.clone());
        }
    }
    Ok(())
}

fn fill(value: &Value, field: &mut dyn Field) -> bool {
    match (value, field.slot()) {
        (Value::Bool(flag), Slot::Bool(slot)) => *slot = *flag,
        (Value::Int(number), Slot::Long(slot)) => *slot = *number,
        (Value::Int(number), Slot::Int(slot)) => match i32::try_from(*number) {
            Ok(number) => *slot = number,
            Err(_) => return false,
        },
        (Value::Float(number), Slot::Double(slot)) => *slot = *number,
        (Value::Text(text), Slot::Str(slot)) => slot.clone_from(text),
        (Value::Members(members), Slot::Struct(slot)) => return pour(members, slot).is_ok(),
        (Value::List(items), Slot::List(slot)) => {
            return items.iter().all(|item| fill(item, slot.push()));
        }
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use gureum_model_ec2::types as t;

    #[test]
    fn a_structure_goes_through_a_mold_into_its_twin() {
        let data = t::RequestLaunchTemplateData {
            image_id: Some("ami-1".into()),
            security_group_ids: Some(vec!["sg-1".into(), "sg-2".into()]),
            monitoring: Some(t::LaunchTemplatesMonitoringRequest {
                enabled: Some(true),
            }),
            ..Default::default()
        };
        let members = read(&data);
        assert_eq!(members.len(), 3);
        let mut shown = t::ResponseLaunchTemplateData::default();
        pour(&members, &mut shown).expect("twin");
        assert_eq!(read(&shown), members);
        let mut request = t::RunInstancesRequest::default();
        pour(&members, &mut request).expect("request");
        assert!(request.monitoring.is_some_and(|it| it.enabled));
    }

    #[test]
    fn what_has_no_place_is_named() {
        let data = t::RequestLaunchTemplateData {
            ram_disk_id: Some("ari-1".into()),
            ..Default::default()
        };
        let mut request = t::RunInstancesRequest::default();
        assert_eq!(
            pour(&read(&data), &mut request),
            Err("RamDiskId".to_owned())
        );
    }
}
