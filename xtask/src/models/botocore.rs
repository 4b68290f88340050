//! Finds the installed botocore and reads its models. Python is asked to do both, so that a
//! virtual environment works as it does for every other Python tool.

use std::process::Command;

use serde_json::Value;

use crate::Result;

pub(crate) struct Botocore {
    directory: String,
}

impl Botocore {
    /// Fails unless the installed version is exactly `pinned`.
    pub(crate) fn find(pinned: &str) -> Result<Self> {
        let found = python(
            "import botocore, os; print(botocore.__version__); \
             print(os.path.dirname(botocore.__file__))",
            &[],
        )
        .map_err(|e| format!("no botocore: {e}\ntry `pip install botocore=={pinned}`"))?;
        let (version, directory) = found
            .trim_end()
            .split_once('\n')
            .ok_or("python answered nonsense about botocore")?;
        if version != pinned {
            return Err(format!(
                "botocore {version} is installed, but models.toml pins {pinned}; \
                 try `pip install botocore=={pinned}`"
            ));
        }
        Ok(Self {
            directory: directory.to_owned(),
        })
    }

    pub(crate) fn model(&self, name: &str, api_version: &str) -> Result<Value> {
        let path = format!(
            "{}/data/{name}/{api_version}/service-2.json.gz",
            self.directory
        );
        let text = python(
            "import gzip, sys; sys.stdout.buffer.write(gzip.open(sys.argv[1]).read())",
            &[&path],
        )?;
        serde_json::from_str(&text).map_err(|e| format!("{path}: {e}"))
    }
}

fn python(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new("python3")
        .arg("-c")
        .arg(program)
        .args(arguments)
        .output()
        .map_err(|e| format!("python3: {e}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    String::from_utf8(output.stdout).map_err(|e| format!("python3: {e}"))
}
