//! `models.toml`: which models, of which botocore, and which of their operations get types.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::Result;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The exact version of botocore that the committed code comes from.
    pub(crate) botocore: String,
    /// By crate directory under `models/`.
    pub(crate) services: BTreeMap<String, Service>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Service {
    /// The model's directory in botocore.
    pub(crate) model: String,
    pub(crate) api_version: String,
    /// What people call the service; used in documentation.
    pub(crate) title: String,
    /// One region for the whole partition.
    #[serde(default)]
    pub(crate) global: bool,
    pub(crate) operations: Operations,
}

/// The operations to generate types for.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Operations {
    /// `"all"`
    All(All),
    Listed(Vec<String>),
}

#[derive(Debug, Deserialize)]
pub(crate) enum All {
    #[serde(rename = "all")]
    All,
}

impl Operations {
    pub(crate) fn allow(&self, operation: &str) -> bool {
        match self {
            Operations::All(_) => true,
            Operations::Listed(names) => names.iter().any(|name| name == operation),
        }
    }
}

impl Config {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        toml::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))
    }
}
