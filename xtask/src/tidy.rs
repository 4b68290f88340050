//! `cargo xtask tidy`: what the house's plan says and the compiler does not check. Crates depend
//! downwards only, and no hand-written file is long.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::Result;
use crate::models::GENERATED;

/// A hand-written file of more lines than this holds more than one idea.
const LONGEST: usize = 600;

pub(crate) fn run(root: &Path) -> Result<()> {
    let mut problems = arrows(root)?;
    problems.extend(long_files(root)?);
    if problems.is_empty() {
        return Ok(());
    }
    Err(problems.join("\n"))
}

/// Where a crate lives decides what it may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Floor {
    Program,
    Console,
    Service,
    Wire,
    Dispatch,
    Plane,
    Room,
    Model,
    Policy,
    Kit,
    Schema,
    /// Tools, tests and benchmarks: they look at everything and nobody builds on them.
    Outside,
}

impl Floor {
    /// The floor of a crate's directory, relative to the workspace.
    fn of(directory: &Path) -> Option<Self> {
        let parts: Vec<&str> = directory.iter().filter_map(|part| part.to_str()).collect();
        Some(match parts[..] {
            ["gureum"] => Self::Program,
            ["console"] => Self::Console,
            ["services", _] => Self::Service,
            ["wire"] => Self::Wire,
            ["wire", "schema"] => Self::Schema,
            ["dispatch"] => Self::Dispatch,
            ["planes", _] => Self::Plane,
            ["room"] => Self::Room,
            ["models", _] => Self::Model,
            ["kit"] => Self::Kit,
            ["kit", "policy"] => Self::Policy,
            ["xtask"] | ["tests", ..] | ["bench", ..] | ["examples", ..] => Self::Outside,
            _ => return None,
        })
    }

    /// Whether an arrow from here to `other` points down.
    fn may_use(self, other: Self) -> bool {
        use Floor::*;
        let below: &[Floor] = match self {
            Outside => return other != Outside,
            Program => &[
                Console, Service, Wire, Dispatch, Plane, Room, Model, Policy, Kit, Schema,
            ],
            Console => &[Model, Kit, Schema],
            Service => &[Dispatch, Plane, Model, Policy, Kit, Schema],
            Wire => &[Dispatch, Kit, Schema],
            Dispatch => &[Policy, Kit, Schema],
            Plane => &[Room, Kit],
            Room | Policy => &[Kit],
            Model => &[Schema],
            Kit | Schema => &[],
        };
        below.contains(&other)
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// Set when the dependency is a crate of this workspace.
    path: Option<PathBuf>,
    kind: Option<String>,
}

fn arrows(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version", "1"])
        .current_dir(root)
        .output()
        .map_err(|e| format!("cargo metadata: {e}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))?;
    Ok(wrong_arrows(root, &metadata))
}

fn wrong_arrows(root: &Path, metadata: &Metadata) -> Vec<String> {
    let floor = |directory: &Path| Floor::of(directory.strip_prefix(root).ok()?);
    let mut problems = Vec::new();
    for package in &metadata.packages {
        let name = &package.name;
        let Some(from) = package.manifest_path.parent().and_then(floor) else {
            problems.push(format!("{name} is on no floor that the plan knows"));
            continue;
        };
        for dependency in &package.dependencies {
            // Tests may look anywhere; nothing is built on them.
            let test = dependency.kind.as_deref() == Some("dev");
            let Some(path) = dependency.path.as_ref().filter(|_| !test) else {
                continue;
            };
            // A crate on no floor is complained about where it is defined.
            if floor(path).is_some_and(|to| !from.may_use(to)) {
                problems.push(format!(
                    "{name} must not depend on {}: the arrow does not point down",
                    dependency.name
                ));
            }
        }
    }
    problems
}

fn long_files(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        let broken = |e: std::io::Error| format!("{}: {e}", directory.display());
        for entry in std::fs::read_dir(&directory).map_err(broken)? {
            let entry = entry.map_err(broken)?;
            let (path, kind) = (entry.path(), entry.file_type().map_err(broken)?);
            let name = entry.file_name();
            if kind.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
                directories.push(path);
            } else if kind.is_file() && path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).map_err(broken)?;
                let shown = path.strip_prefix(root).unwrap_or(&path);
                problems.extend(too_long(shown, &text));
            }
        }
    }
    problems.sort();
    Ok(problems)
}

fn too_long(path: &Path, text: &str) -> Option<String> {
    let lines = text.lines().count();
    let generated = text.starts_with(GENERATED);
    (lines > LONGEST && !generated).then(|| {
        format!(
            "{}: {lines} lines, and {LONGEST} are the most",
            path.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(arrows: &[(&str, &str, &str)]) -> Metadata {
        let mut packages = Vec::new();
        for (from, to, kind) in arrows {
            packages.push(Package {
                name: (*from).to_owned(),
                manifest_path: Path::new("/house").join(from).join("Cargo.toml"),
                dependencies: vec![Dependency {
                    name: (*to).to_owned(),
                    path: Some(Path::new("/house").join(to)),
                    kind: (!kind.is_empty()).then(|| (*kind).to_owned()),
                }],
            });
        }
        Metadata { packages }
    }

    fn problems(from: &str, to: &str, kind: &str) -> usize {
        wrong_arrows(Path::new("/house"), &workspace(&[(from, to, kind)])).len()
    }

    #[test]
    fn arrows_point_down() {
        for (from, to) in [
            ("gureum", "services/s3"),
            ("gureum", "wire"),
            ("services/s3", "models/s3"),
            ("services/s3", "wire/schema"),
            ("services/s3", "kit/policy"),
            ("wire", "dispatch"),
            ("dispatch", "kit/policy"),
            ("models/s3", "wire/schema"),
            ("planes/blob", "kit"),
            ("planes/compute", "room"),
            ("room", "kit"),
            ("gureum", "room"),
        ] {
            assert_eq!(problems(from, to, ""), 0, "{from} -> {to}");
        }
    }

    #[test]
    fn arrows_up_and_sideways_are_told() {
        for (from, to) in [
            ("services/s3", "services/iam"),
            ("services/s3", "wire"),
            ("wire", "models/s3"),
            ("planes/blob", "models/s3"),
            ("planes/blob", "planes/block"),
            ("room", "planes/compute"),
            ("services/ec2", "room"),
            ("kit", "wire/schema"),
            ("kit", "kit/policy"),
            ("models/s3", "kit"),
            ("kit", "gureum"),
            ("gureum", "xtask"),
        ] {
            assert_eq!(problems(from, to, ""), 1, "{from} -> {to}");
            assert_eq!(problems(from, to, "build"), 1, "{from} -> {to}");
            assert_eq!(problems(from, to, "dev"), 0, "{from} -> {to}");
        }
    }

    #[test]
    fn a_crate_on_no_floor_is_told() {
        assert_eq!(problems("attic", "kit", ""), 1);
    }

    #[test]
    fn long_files_are_told_unless_generated() {
        let path = Path::new("a.rs");
        let text = "x\n".repeat(LONGEST);
        assert_eq!(too_long(path, &text), None);
        let text = text + "x\n";
        assert!(too_long(path, &text).is_some());
        assert_eq!(too_long(path, &format!("{GENERATED}{text}")), None);
    }
}
