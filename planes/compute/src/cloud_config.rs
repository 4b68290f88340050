//! `#cloud-config`: the keys that are honoured, read into plain data; the others by name. Pure.
//! <https://cloudinit.readthedocs.io/en/latest/reference/modules.html>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use saphyr::{LoadableYamlNode, Yaml};

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CloudConfig {
    pub(crate) hostname: Option<String>,
    pub(crate) bootcmd: Vec<Line>,
    pub(crate) write_files: Vec<Written>,
    pub(crate) users: Vec<User>,
    pub(crate) ssh_authorized_keys: Vec<String>,
    pub(crate) package_update: bool,
    pub(crate) packages: Vec<String>,
    pub(crate) runcmd: Vec<Line>,
    /// Lines of `/etc/fstab`.
    pub(crate) mounts: Vec<Mount>,
    /// Keys that are not honoured.
    pub(crate) ignored: Vec<String>,
}

/// A command: a line for the shell, or words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Shell(String),
    Words(Vec<String>),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    pub(crate) directory: String,
    pub(crate) line: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) path: String,
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
    /// `user:group`, when it is not root's.
    pub(crate) owner: Option<String>,
    pub(crate) append: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) shell: Option<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) ssh_authorized_keys: Vec<String>,
}

pub(crate) fn parse(text: &str) -> Result<CloudConfig, String> {
    let documents = Yaml::load_from_str(text).map_err(|error| error.to_string())?;
    let mut config = CloudConfig::default();
    // Nothing but the comment is a config too.
    let Some(document) = documents.first().filter(|d| !d.is_null()) else {
        return Ok(config);
    };
    let map = document.as_mapping().ok_or("it is no mapping")?;
    for (key, value) in map {
        let key = word(key).ok_or("a key is no word")?;
        match key.as_str() {
            "hostname" | "fqdn" => config.hostname = word(value),
            "bootcmd" => config.bootcmd = lines(value)?,
            "runcmd" => config.runcmd = lines(value)?,
            "packages" => config.packages = packages(value)?,
            "package_update" => config.package_update = value.as_bool().unwrap_or(false),
            "ssh_authorized_keys" => config.ssh_authorized_keys = words(value)?,
            "write_files" => {
                config.write_files = list(value)?.map(written).collect::<Result<_, _>>()?;
            }
            "mounts" => config.mounts = list(value)?.filter_map(mount).collect::<Result<_, _>>()?,
            "users" => config.users = list(value)?.filter_map(user).collect::<Result<_, _>>()?,
            _ => config.ignored.push(key),
        }
    }
    Ok(config)
}

fn list<'a, 'i>(value: &'a Yaml<'i>) -> Result<impl Iterator<Item = &'a Yaml<'i>>, String> {
    let list = value.as_sequence().ok_or("a list was expected")?;
    Ok(list.iter())
}

/// A scalar as a person would read it.
fn word(value: &Yaml<'_>) -> Option<String> {
    if let Some(text) = value.as_str() {
        return Some(text.to_owned());
    }
    if let Some(number) = value.as_integer() {
        return Some(number.to_string());
    }
    value.as_bool().map(|truth| truth.to_string())
}

fn words(value: &Yaml<'_>) -> Result<Vec<String>, String> {
    list(value)?
        .map(|item| word(item).ok_or_else(|| "a list of words was expected".to_owned()))
        .collect()
}

fn lines(value: &Yaml<'_>) -> Result<Vec<Line>, String> {
    list(value)?
        .map(|item| match word(item) {
            Some(line) => Ok(Line::Shell(line)),
            None => words(item).map(Line::Words),
        })
        .collect()
}

/// Names, or names with a version beside them.
fn packages(value: &Yaml<'_>) -> Result<Vec<String>, String> {
    list(value)?
        .map(|item| match word(item) {
            Some(name) => Ok(name),
            None => words(item).map(|pair| pair.join("=")),
        })
        .collect()
}

/// `[device, directory, type, options, dump, pass]`, of which the last four have defaults. One
/// without a directory only says what shall not be mounted.
fn mount(value: &Yaml<'_>) -> Option<Result<Mount, String>> {
    const USUAL: [&str; 6] = ["", "", "auto", "defaults,nofail", "0", "2"];
    let Some(fields) = value.as_sequence() else {
        return Some(Err("mounts: a list of lists was expected".to_owned()));
    };
    let field = |index: usize| {
        let given = fields.get(index).and_then(word);
        given.unwrap_or_else(|| USUAL[index].to_owned())
    };
    let (device, directory) = (field(0), field(1));
    if directory.is_empty() {
        return None;
    }
    if (0..USUAL.len()).any(|index| field(index).contains(char::is_whitespace)) {
        return Some(Err(format!("mounts: {device}: a field with spaces")));
    }
    let device = match device.contains(['/', '=']) {
        true => device,
        false => format!("/dev/{device}"),
    };
    let rest: Vec<String> = (2..USUAL.len()).map(field).collect();
    let line = format!("{device} {directory} {}", rest.join(" "));
    Some(Ok(Mount { directory, line }))
}

fn written(value: &Yaml<'_>) -> Result<Written, String> {
    let get = |key: &str| value.as_mapping_get(key).and_then(word);
    let path = get("path").ok_or("write_files: a file has no path")?;
    let content = get("content").unwrap_or_default();
    let content = match get("encoding").as_deref() {
        None | Some("text/plain") => content.into_bytes(),
        Some("b64" | "base64") => {
            let tight: String = content.split_ascii_whitespace().collect();
            let decoded = STANDARD.decode(tight);
            decoded.map_err(|error| format!("write_files: {path}: {error}"))?
        }
        Some(other) => return Err(format!("write_files: {path}: encoding {other}")),
    };
    // Written as text in octal; a bare number was read as decimal or octal by YAML already.
    let mode = match get("permissions") {
        Some(text) => u32::from_str_radix(text.trim_start_matches("0o"), 8)
            .map_err(|_| format!("write_files: {path}: permissions {text}"))?,
        None => 0o644,
    };
    Ok(Written {
        content,
        mode: mode & 0o7777,
        owner: get("owner").filter(|owner| owner != "root:root" && owner != "root"),
        append: get("append").is_some_and(|append| append == "true"),
        path,
    })
}

/// None for `default`, who exists in the image.
fn user(value: &Yaml<'_>) -> Option<Result<User, String>> {
    if let Some(name) = word(value) {
        let user = User {
            name,
            ..User::default()
        };
        return (user.name != "default").then_some(Ok(user));
    }
    let get = |key: &str| value.as_mapping_get(key);
    let listed = |key: &str| match get(key) {
        None => Ok(Vec::new()),
        Some(list) => match word(list) {
            Some(text) => Ok(text.split(',').map(|part| part.trim().to_owned()).collect()),
            None => words(list),
        },
    };
    Some((|| {
        Ok(User {
            name: get("name")
                .and_then(word)
                .ok_or("users: a user has no name")?,
            shell: get("shell").and_then(word),
            groups: listed("groups")?,
            ssh_authorized_keys: match get("ssh_authorized_keys") {
                Some(keys) => words(keys)?,
                None => Vec::new(),
            },
        })
    })())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_honoured_is_read_and_the_rest_is_named() {
        let config = parse(
            "#cloud-config\nhostname: web\npackages: [nginx, [git, '1.2']]\npackage_update: true\n\
             runcmd:\n  - echo hi > /tmp/x\n  - [touch, a b, 3]\n\
             write_files:\n  - path: /etc/motd\n    content: |\n      hello\n    permissions: '0600'\n\
             \x20 - path: /x\n    content: aGk=\n    encoding: b64\n    owner: www-data:www-data\n\
             users:\n  - default\n  - name: ann\n    groups: a, b\n    ssh_authorized_keys: [k1]\n\
             power_state: {mode: reboot}\n",
        )
        .expect("config");
        assert_eq!(config.hostname.as_deref(), Some("web"));
        assert_eq!(config.packages, ["nginx", "git=1.2"]);
        assert!(config.package_update);
        assert_eq!(
            config.runcmd,
            [
                Line::Shell("echo hi > /tmp/x".into()),
                Line::Words(vec!["touch".into(), "a b".into(), "3".into()])
            ]
        );
        assert_eq!(config.write_files[0].content, b"hello\n");
        assert_eq!(config.write_files[0].mode, 0o600);
        assert_eq!(config.write_files[1].content, b"hi");
        assert_eq!(
            config.write_files[1].owner.as_deref(),
            Some("www-data:www-data")
        );
        assert_eq!(config.users.len(), 1);
        assert_eq!(config.users[0].groups, ["a", "b"]);
        assert_eq!(config.ignored, ["power_state"]);
    }

    #[test]
    fn mounts_become_lines_of_the_table() {
        let config = parse("mounts:\n- [sdf, /data]\n- [/dev/sdg, /x, xfs, noatime]\n- [sdh]\n");
        let mounts = config.expect("config").mounts;
        let lines: Vec<_> = mounts.iter().map(|mount| mount.line.as_str()).collect();
        assert_eq!(
            lines,
            [
                "/dev/sdf /data auto defaults,nofail 0 2",
                "/dev/sdg /x xfs noatime 0 2"
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for text in [
            "#cloud-config\n- a\n",
            "a: [",
            "runcmd: 3",
            "write_files: [{content: x}]",
            "mounts: [[sdf, /a b]]",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("#cloud-config\n"), Ok(CloudConfig::default()));
    }

    proptest! {
        #[test]
        fn noise_is_refused_without_panic(text in "(?s)((runcmd|users|write_files): )?.{0,200}") {
            let _ = parse(&text);
        }
    }
}
