//! `cargo xtask tidy`.
use std::path::Path;
pub(crate) fn run(_root: &Path) -> crate::Result<()> {
    Ok(())
}
