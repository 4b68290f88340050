//! Development tasks, each a subcommand of `cargo xtask`. Reads and writes the source tree; never
//! part of the program.

mod coverage;
mod models;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a task fails with: a sentence for the person at the terminal.
pub(crate) type Result<T, E = String> = std::result::Result<T, E>;

const USAGE: &str = "\
cargo xtask <task>

  models [--check]   write models/*/src from the pinned botocore, or compare with what is there
  tidy               check that crates depend downwards only and that files stay short
  coverage           write docs/coverage.md from what `gureum coverage --json` prints, read from
                     standard input";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["models"] => models::run(&root(), models::Mode::Write),
        ["models", "--check"] => models::run(&root(), models::Mode::Check),
        ["tidy"] => tidy::run(&root()),
        ["coverage"] => coverage::run(&root(), &mut std::io::stdin().lock()),
        _ => Err(USAGE.to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's directory: the parent of this crate's.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}
