//! Printing for people and pipes.

use std::fmt::Display;
use std::io::Write;

/// Prints a line. A reader that has gone away (`gureum status | head -1`) is no reason to fail.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
