//! `gureum env`: shell exports for AWS clients. The one place that prints the root secret.

use crate::cli::CloudArgs;
use crate::config::data_dir;
use crate::data_dir::DataDir;
use crate::failure::Failure;
use crate::output::say;

pub(crate) fn run(args: &CloudArgs) -> Result<(), Failure> {
    let dir = DataDir::at(data_dir(args)?);
    let running = dir.running()?.ok_or_else(|| dir.nothing_here())?;
    let key = dir.read_credentials()?;
    let ca = dir.ca_bundle();
    let exports = [
        ("AWS_ENDPOINT_URL", running.endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", &key.access_key_id),
        ("AWS_SECRET_ACCESS_KEY", &key.secret_access_key),
        ("AWS_DEFAULT_REGION", &running.region),
        ("AWS_REGION", &running.region),
        ("AWS_CA_BUNDLE", &ca.to_string_lossy()),
    ];
    for (name, value) in exports {
        say(format_args!("export {name}={}", quote(value)));
    }
    // A token or profile left in the shell would be sent along with these keys.
    say("unset AWS_SESSION_TOKEN AWS_PROFILE");
    if !has_cli_v2() {
        // Version 1 overlooks AWS_ENDPOINT_URL for SQS and asks AWS itself; the option it heeds.
        say(r#"aws() { command aws --endpoint-url "$AWS_ENDPOINT_URL" "$@"; }"#);
    }
    Ok(())
}

/// Version 2 of the AWS CLI installs itself as `…/aws-cli/v2/…` and links to it.
fn has_cli_v2() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&path).map(|dir| dir.join("aws"));
    found
        .find_map(|aws| std::fs::canonicalize(aws).ok())
        .is_some_and(|aws| aws.components().any(|part| part.as_os_str() == "v2"))
}

/// Single quotes, so that a shell takes every character as it is.
fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn quotes_survive_the_shell() {
        assert_eq!(super::quote("a'b $c"), r"'a'\''b $c'");
    }
}
