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
    let mut indexed = vec![type_.clone(), static_of(crate_, name)];
    for (index, (member, reference)) in shape.members.0.iter().enumerate() {
        let field = names::field(member);
        let field_type = crate_.member_type(name, member, reference)?;
        let _ = write!(fields, "pub {field}: {field_type},");
        indexed.push(format!("{index} {field}"));
    }
    Ok(format!(
        "#[derive(Clone, Default)] pub struct {type_} {{ {fields} }}\n\
         {}\n\n",
        call("structure", &indexed)
    ))
}

fn union(crate_: &Crate<'_>, name: &str, shape: &Shape) -> Result<String> {
    let type_ = names::type_(name);
    let mut variants = String::new();
    let mut indexed = vec![type_.clone(), static_of(crate_, name)];
    for (index, (member, reference)) in shape.members.0.iter().enumerate() {
        let variant = names::type_(member);
        let held = crate_.boxed_type(name, reference)?;
        let _ = write!(variants, "{variant}({held}),");
        indexed.push(format!("{index} {variant}"));
    }
    Ok(format!(
        "#[derive(Clone, Default)] pub enum {type_} {{ #[default] Unset, {variants} }}\n\
         {}\n\n",
        call("union", &indexed)
    ))
}

/// The path of a structure's schema.
fn static_of(crate_: &Crate<'_>, shape: &str) -> String {
    let used = Use {
        shape: shape.to_owned(),
        stream: false,
    };
    format!("schemas::{}", crate_.statics[&used])
}

/// A macro's call, in lines of ordinary length: rustfmt leaves arguments that are not Rust alone.
fn call(name: &str, arguments: &[String]) -> String {
    const WIDTH: usize = 100;
    let line = format!("{name}!({});", arguments.join(", "));
    if line.len() <= WIDTH {
        return line;
    }
    let mut out = format!("{name}!(\n   ");
    let mut column = 3;
    for argument in arguments {
        if column + argument.len() + 2 > WIDTH {
            out += "\n   ";
            column = 3;
        }
        let _ = write!(out, " {argument},");
        column += argument.len() + 2;
    }
    out + "\n);"
}
