//! The one document that can be sent: `AWS-RunShellScript`, and what its parameters may be.

use std::collections::BTreeMap;

use crate::errors::{Refusal, Result};

pub(crate) const NAME: &str = "AWS-RunShellScript";
/// The one step that it has.
pub(crate) const PLUGIN: &str = "aws:runShellScript";
const VERSIONS: [&str; 3] = ["$DEFAULT", "$LATEST", "1"];

/// The longest script, in bytes.
const LONGEST: usize = 64 << 10;
/// The longest path.
const LONGEST_PATH: usize = 4096;
/// How long a script may run unless it is said, and at most, in seconds.
const USUAL_TIMEOUT: i64 = 3600;
const LONGEST_TIMEOUT: i64 = 172_800;

/// What is to be done on every instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) text: String,
    /// Root's home when empty.
    pub(crate) directory: String,
    /// In seconds.
    pub(crate) timeout: i64,
}

/// The name in a document's name or ARN, if it is the one that there is.
pub(crate) fn check(name: &str, version: Option<&str>) -> Result<()> {
    if name.rsplit('/').next() != Some(NAME) {
        return Err(Refusal::Document(name.to_owned()));
    }
    match version {
        Some(version) if !VERSIONS.contains(&version) => Err(Refusal::DocumentVersion),
        _ => Ok(()),
    }
}

impl Script {
    pub(crate) fn read(parameters: &BTreeMap<String, Vec<String>>) -> Result<Self> {
        let known = ["commands", "workingDirectory", "executionTimeout"];
        if let Some(other) = parameters.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Refusal::parameters(format!(
                "Parameter {other} is not defined in document {NAME}."
            )));
        }
        let every = parameters.values().flatten();
        if every.into_iter().any(|value| value.contains("{{")) {
            // It would reach the shell as it is.
            return Err(Refusal::NotImplemented(
                "A reference in double braces".to_owned(),
            ));
        }
        let commands = parameters.get("commands").filter(|it| !it.is_empty());
        let commands = commands.ok_or_else(|| {
            Refusal::parameters(format!("Document {NAME} needs the parameter commands."))
        })?;
        let text = commands.join("\n") + "\n";
        if text.len() > LONGEST {
            return Err(Refusal::DocumentSize);
        }
        if text.contains('\0') {
            return Err(Refusal::parameters(
                "Commands cannot contain null characters.",
            ));
        }
        let directory = one(parameters, "workingDirectory")?.unwrap_or_default();
        if directory.len() > LONGEST_PATH || directory.contains('\0') {
            return Err(Refusal::parameters("workingDirectory is not a path."));
        }
        Ok(Self {
            text,
            directory: directory.to_owned(),
            timeout: timeout(one(parameters, "executionTimeout")?)?,
        })
    }
}

/// The value of a parameter that has one.
fn one<'a>(parameters: &'a BTreeMap<String, Vec<String>>, name: &str) -> Result<Option<&'a str>> {
    match parameters.get(name).map(Vec::as_slice) {
        None | Some([]) => Ok(None),
        Some([value]) => Ok(Some(value)),
        Some(_) => Err(Refusal::parameters(format!(
            "Parameter {name} can have one value only."
        ))),
    }
}

fn timeout(text: Option<&str>) -> Result<i64> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(USUAL_TIMEOUT);
    };
    let seconds = text.parse().ok();
    let seconds = seconds.filter(|seconds| (1..=LONGEST_TIMEOUT).contains(seconds));
    seconds.ok_or_else(|| {
        Refusal::parameters(format!(
            "executionTimeout must be between 1 and {LONGEST_TIMEOUT} seconds."
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parameters: &[(&str, &[&str])]) -> Result<Script> {
        let owned = |values: &&[&str]| values.iter().map(|it| (*it).to_owned()).collect();
        let pairs = parameters.iter();
        Script::read(&pairs.map(|(k, v)| ((*k).to_owned(), owned(v))).collect())
    }

    #[test]
    fn parameters_are_those_of_the_document() {
        let script = read(&[("commands", &["a", "b"]), ("executionTimeout", &["60"])]);
        let script = script.expect("script");
        assert_eq!((script.text.as_str(), script.timeout), ("a\nb\n", 60));
        assert!(read(&[]).is_err());
        assert!(read(&[("commands", &[])]).is_err());
        assert!(read(&[("commands", &["a"]), ("tea", &["b"])]).is_err());
        assert!(read(&[("commands", &["a"]), ("executionTimeout", &["0"])]).is_err());
        assert!(read(&[("commands", &["{{ssm:a}}"])]).is_err());
        assert!(matches!(
            read(&[("commands", &["x".repeat(LONGEST).as_str()])]),
            Err(Refusal::DocumentSize)
        ));
    }

    #[test]
    fn documents_have_names_or_arns() {
        assert!(check("AWS-RunShellScript", None).is_ok());
        assert!(
            check(
                "arn:aws:ssm:us-east-1::document/AWS-RunShellScript",
                Some("1")
            )
            .is_ok()
        );
        assert!(check("AWS-RunPowerShellScript", None).is_err());
        assert!(check("AWS-RunShellScript", Some("2")).is_err());
    }
}
