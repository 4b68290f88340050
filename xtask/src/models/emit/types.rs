//! `types.rs`: plain structs, and enums for unions.

use std::fmt::Write;

use crate::Result;
use crate::models::document::Shape;
use crate::models::names;
use crate::models::shapes::{Crate, Use};

pub(super) fn print(crate_: &Crate<'_>) -> Result<String> {
    let mut code = String::new();
    for (name, shape) in crate_.structures() {
        code += &if shape.union {
            union(crate_, name, shape)?
        } else {
            structure(crate_, name, shape)?
        };
    }
    let mut head = String::from("//! The model's structures.\n\n");
    if code.contains("BTreeMap<") {
        head += "use std::collections::BTreeMap;\n\n";
    }
    let vocabulary = [
        "Body",
        "Bytes",
        "Document",
        "Timestamp",
        "structure",
        "union",
    ];
    head += &super::imports(&code, &vocabulary);
    head += "\nuse crate::schemas;\n\n";
    Ok(head + &code)
}

fn structure(crate_: &Crate<'_>, name: &str, shape: &Shape) -> Result<String> {
    let type_ = names::type_(name);
    let mut fields = String::new();
    let mut indexed = String::new();
    for (index, (member, reference)) in shape.members.0.iter().enumerate() {
        let field = names::field(member);
        let field_type = crate_.member_type(name, member, reference)?;
        let _ = write!(fields, "pub {field}: {field_type},");
        let _ = write!(indexed, ", {index} {field}");
    }
    let schema = static_of(crate_, name);
    Ok(format!(
        "#[derive(Clone, Default)] pub struct {type_} {{ {fields} }}\n\
         structure!({type_}, schemas::{schema}{indexed});\n\n"
    ))
}

fn union(crate_: &Crate<'_>, name: &str, shape: &Shape) -> Result<String> {
    let type_ = names::type_(name);
    let mut variants = String::new();
    let mut indexed = String::new();
    for (index, (member, reference)) in shape.members.0.iter().enumerate() {
        let variant = names::type_(member);
        let held = crate_.boxed_type(name, reference)?;
        let _ = write!(variants, "{variant}({held}),");
        let _ = write!(indexed, ", {index} {variant}");
    }
    let schema = static_of(crate_, name);
    Ok(format!(
        "#[derive(Clone, Default)] pub enum {type_} {{ #[default] Unset, {variants} }}\n\
         union!({type_}, schemas::{schema}{indexed});\n\n"
    ))
}

fn static_of<'a>(crate_: &'a Crate<'_>, shape: &str) -> &'a str {
    &crate_.statics[&Use {
        shape: shape.to_owned(),
        stream: false,
    }]
}
