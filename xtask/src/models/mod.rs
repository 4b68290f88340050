//! `cargo xtask models`: from botocore's service models to the committed crates under `models/`.
//!
//! The path of one service: botocore's JSON document, the overlay merged into it ([`overlay`]),
//! read into typed form ([`document`]), translated into what Rust will hold ([`shapes`]), printed
//! ([`emit`]), formatted by rustfmt.

mod botocore;
mod config;
mod document;
mod emit;
mod names;
mod overlay;
mod shapes;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
pub(crate) use config::{Config, Service};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    /// Write nothing; fail when a committed file differs from what would be written.
    Check,
}

pub(crate) fn run(root: &Path, mode: Mode) -> Result<()> {
    let directory = root.join("models");
    let config = Config::read(&directory.join("models.toml"))?;
    let corrections = overlay::read(&directory.join("overlay.toml"))?;
    let botocore = botocore::Botocore::find(&config.botocore)?;
    let mut stale = Vec::new();
    for (name, service) in &config.services {
        let mut document = botocore.model(&service.model, &service.api_version)?;
        if let Some(patch) = corrections.get(name) {
            overlay::apply(&mut document, patch)
                .map_err(|problem| format!("overlay.toml, {name}: {problem}"))?;
        }
        let files = generate(service, document)
            .map_err(|problem| format!("the model of {name}: {problem}"))?;
        for (file, text) in files {
            let path = directory.join(name).join("src").join(file);
            settle(mode, path, &text, &mut stale)?;
        }
    }
    if stale.is_empty() {
        return Ok(());
    }
    Err(format!(
        "these files differ from what `cargo xtask models` writes:\n{}",
        stale.join("\n")
    ))
}

/// One crate's source files, formatted.
fn generate(
    service: &Service,
    document: serde_json::Value,
) -> Result<BTreeMap<&'static str, String>> {
    let mut model = document::read(document)?;
    shapes::complete(service, &mut model)?;
    let crate_ = shapes::translate(service, &model)?;
    emit::files(&crate_)?
        .into_iter()
        .map(|(file, text)| Ok((file, rustfmt(&text)?)))
        .collect()
}

fn settle(mode: Mode, path: PathBuf, text: &str, stale: &mut Vec<String>) -> Result<()> {
    let same = std::fs::read_to_string(&path).is_ok_and(|present| present == text);
    if same {
        return Ok(());
    }
    match mode {
        Mode::Check => stale.push(path.display().to_string()),
        Mode::Write => {
            std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?
        }
    }
    Ok(())
}

fn rustfmt(text: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--config", "max_width=100"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("rustfmt: {e}"))?;
    let mut input = child.stdin.take().ok_or("rustfmt has no input")?;
    let text = text.to_owned();
    // A thread of its own: rustfmt may start to answer before it has read everything.
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child
        .wait_with_output()
        .map_err(|e| format!("rustfmt: {e}"))?;
    let written = writer.join().map_err(|_| "rustfmt's input broke")?;
    written.map_err(|e| format!("rustfmt: {e}"))?;
    if !output.status.success() {
        return Err("rustfmt refused the generated code".to_owned());
    }
    String::from_utf8(output.stdout).map_err(|e| format!("rustfmt: {e}"))
}
