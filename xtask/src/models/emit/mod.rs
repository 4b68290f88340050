//! Prints a crate's Rust. rustfmt settles the layout, so nothing here cares for it.

mod operations;
mod schemas;
mod types;

use std::collections::BTreeSet;
use std::fmt::Write;

use crate::Result;

use super::GENERATED;
use super::shapes::Crate;

/// The files of the crate's `src`, by name.
pub(super) fn files(crate_: &Crate<'_>) -> Result<Vec<(&'static str, String)>> {
    let files = [
        ("lib.rs", operations::library(crate_)?),
        ("op.rs", operations::markers(crate_)),
        ("operations.rs", operations::specs(crate_)),
        ("schemas.rs", schemas::print(crate_)?),
        ("types.rs", types::print(crate_)?),
    ];
    Ok(files
        .into_iter()
        .map(|(name, text)| (name, format!("{GENERATED}{text}")))
        .collect())
}

/// `use gureum_schema::{..};` for those of `names` that `code` speaks of.
fn imports(code: &str, names: &[&str]) -> String {
    let words: BTreeSet<&str> = code
        // A quote belongs to its word, so that a member called "Location" is no use of the type.
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '"')
        .collect();
    let used: Vec<&str> = names
        .iter()
        .copied()
        .filter(|n| words.contains(n))
        .collect();
    if used.is_empty() {
        return String::new();
    }
    format!("use gureum_schema::{{{}}};\n", used.join(", "))
}

/// A raw string literal.
fn raw(text: &str) -> String {
    let mut hashes = String::new();
    while text.contains(&format!("\"{hashes}")) {
        hashes.push('#');
    }
    format!("r{hashes}\"{text}\"{hashes}")
}

/// `("first", "second",)` of anything that prints.
fn joined<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    let mut out = String::new();
    for item in items {
        let _ = write!(out, "{item},"); // a String takes everything
    }
    out
}
