//! `overlay.toml`: what botocore's models leave out or get wrong, as JSON merge patches (RFC 7386)
//! on the model document, one table per service.
//!
//! Besides botocore's own keys a patch may use `xmlName` (a name for XML and `query` only, where
//! `locationName` would rename the member in JSON too). A patch may only touch shapes, members and
//! operations that the model has, so that a slip of the pen fails instead of doing nothing; except
//! that a member with a `shape` may be new.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::Result;

pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Value>> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
}

pub(crate) fn apply(document: &mut Value, patch: &Value) -> Result<()> {
    for section in ["shapes", "operations"] {
        known(section, &document[section], &patch[section])?;
        for (name, change) in entries(&patch[section]) {
            let members = &document[section][name]["members"];
            known(name, members, &change["members"])?;
        }
    }
    merge(document, patch);
    Ok(())
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn known(parent: &str, present: &Value, patch: &Value) -> Result<()> {
    let strange = |name: &str, change: &Value| {
        let new_member = parent != "shapes" && change.get("shape").is_some();
        present.get(name).is_none() && !new_member
    };
    match entries(patch).find(|(name, change)| strange(name, change)) {
        Some((name, _)) => Err(format!("{parent} has no {name}")),
        None => Ok(()),
    }
}

fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    for (key, value) in patch {
        merge(&mut target[key.as_str()], value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn merges_deeply_and_keeps_the_rest() {
        let mut document = json!({
            "metadata": {"protocols": ["json"], "serviceId": "SQS"},
            "shapes": {"Map": {"type": "map", "key": {"shape": "String"}}},
        });
        let patch = json!({
            "metadata": {"protocols": ["json", "query"]},
            "shapes": {"Map": {"key": {"xmlName": "Name"}}},
        });
        apply(&mut document, &patch).unwrap();
        assert_eq!(
            document,
            json!({
                "metadata": {"protocols": ["json", "query"], "serviceId": "SQS"},
                "shapes": {"Map": {"type": "map", "key": {"shape": "String", "xmlName": "Name"}}},
            })
        );
    }

    #[test]
    fn refuses_what_the_model_does_not_have() {
        let document = json!({"shapes": {"A": {"members": {"B": {}}}}, "operations": {}});
        for patch in [
            json!({"shapes": {"Z": {}}}),
            json!({"shapes": {"A": {"members": {"C": {}}}}}),
            json!({"operations": {"Do": {}}}),
        ] {
            assert!(apply(&mut document.clone(), &patch).is_err(), "{patch}");
        }
    }
}
