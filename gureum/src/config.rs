//! Configuration: flag, then environment, then `gureum.toml`, then default. A bad value is an
//! error that names its key.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use gureum_kit::{AccountId, Region, secret};
use gureum_mail::Relay;
use ipnet::Ipv4Net;
use serde::Deserialize;

use crate::cli::{CloudArgs, UpArgs};
use crate::failure::{Context, Failure};

/// Where public addresses come from, unless somebody says otherwise: the network for benchmarks
/// (RFC 2544), which nobody routes.
pub(crate) const PUBLIC_POOL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(198, 18, 0, 0), 15);

/// What `gureum up` runs with.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) region: Region,
    pub(crate) domain: String,
    pub(crate) auth: Auth,
    /// Open ports 80 and 443 of loopback too, where possible.
    pub(crate) web_ports: bool,
    /// Where public addresses come from; between /8 and /28.
    pub(crate) public_pool: Ipv4Net,
    /// Instances reach what is beyond this host.
    pub(crate) internet: bool,
    /// Who takes mail out of this machine.
    pub(crate) mail_relay: Option<Relay>,
    pub(crate) account: AccountId,
    /// Access key id and secret, when the person chose them.
    pub(crate) root_key: Option<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Auth {
    Strict,
    Relaxed,
}

/// `gureum.toml`: the same keys as the flags, with underscores; what is about mail in a table.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data_dir: Option<PathBuf>,
    listen: Option<String>,
    region: Option<String>,
    domain: Option<String>,
    auth: Option<String>,
    web_ports: Option<String>,
    public_pool: Option<String>,
    no_internet: Option<bool>,
    account_id: Option<String>,
    root_access_key_id: Option<String>,
    root_secret_access_key: Option<String>,
    #[serde(default)]
    mail: Mail,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mail {
    relay: Option<String>,
    password_file: Option<PathBuf>,
}

impl Config {
    pub(crate) fn load(args: UpArgs) -> Result<Self, Failure> {
        let file = match &args.config {
            Some(path) => File::read(path)?,
            None => File::default(),
        };
        let listen = match (args.listen, file.listen) {
            (Some(listen), _) => listen,
            (None, Some(text)) => text.parse().map_err(|_| {
                bad(
                    "listen",
                    &text,
                    "an address and port such as 127.0.0.1:4566",
                )
            })?,
            (None, None) => SocketAddr::from(([127, 0, 0, 1], 4566)),
        };
        let auth = parse_auth(args.auth.or(file.auth))?;
        if auth == Auth::Relaxed && !listen.ip().is_loopback() {
            return Err(Failure::new(format!(
                "auth = relaxed lets anybody in, so it is refused on {listen}, which is not a loopback address."
            ))
            .hint("Listen on 127.0.0.1, or use `--auth strict`."));
        }
        let secret = std::env::var("GUREUM_ROOT_SECRET_ACCESS_KEY").ok();
        Ok(Self {
            data_dir: data_dir(&CloudArgs {
                data_dir: args.cloud.data_dir.or(file.data_dir),
            })?,
            listen,
            region: parse_region(args.region.or(file.region))?,
            domain: parse_domain(args.domain.or(file.domain))?,
            auth,
            web_ports: parse_web_ports(args.web_ports.or(file.web_ports))?,
            public_pool: parse_public_pool(args.public_pool.or(file.public_pool))?,
            internet: !(args.no_internet || file.no_internet == Some(true)),
            mail_relay: relay(
                args.mail_relay.or(file.mail.relay),
                args.mail_relay_password_file.or(file.mail.password_file),
                std::env::var("GUREUM_MAIL_RELAY_PASSWORD").ok(),
            )?,
            account: parse_account(args.account_id.or(file.account_id))?,
            root_key: root_key(
                args.root_access_key_id.or(file.root_access_key_id),
                args.root_secret_access_key
                    .or(secret)
                    .or(file.root_secret_access_key),
            )?,
        })
    }
}

impl File {
    fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Failure::new(format!("config: cannot read {}: {e}", path.display())))?;
        toml::from_str(&text).map_err(|e| Failure::new(format!("config: {}: {e}", path.display())))
    }
}

/// The data directory: the flag (or `GUREUM_DATA_DIR`), else `$XDG_DATA_HOME/gureum`.
pub(crate) fn data_dir(args: &CloudArgs) -> Result<PathBuf, Failure> {
    if let Some(dir) = &args.data_dir {
        return std::path::absolute(dir)
            .map_err(|e| Failure::new(format!("data_dir: {}: {e}", dir.display())));
    }
    let base = std::env::var_os("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/share")))
        .ok_or_else(|| {
            Failure::new("data_dir: neither XDG_DATA_HOME nor HOME is set.")
                .hint("Say where to keep the cloud: `gureum up --data-dir DIR`.")
        })?;
    Ok(base.join("gureum"))
}

fn parse_auth(text: Option<String>) -> Result<Auth, Failure> {
    match text.as_deref() {
        None | Some("strict") => Ok(Auth::Strict),
        Some("relaxed") => Ok(Auth::Relaxed),
        Some(other) => Err(bad("auth", other, "strict or relaxed")),
    }
}

fn parse_web_ports(text: Option<String>) -> Result<bool, Failure> {
    match text.as_deref() {
        None | Some("auto") => Ok(true),
        Some("off") => Ok(false),
        Some(other) => Err(bad("web_ports", other, "auto or off")),
    }
}

fn parse_public_pool(text: Option<String>) -> Result<Ipv4Net, Failure> {
    let Some(text) = text else {
        return Ok(PUBLIC_POOL);
    };
    let wanted = "a network of unicast addresses between /8 and /28, such as 198.18.0.0/15";
    let pool = text.parse().ok().filter(|pool: &Ipv4Net| {
        let (first, last) = (pool.network(), pool.broadcast());
        // What a host keeps for itself, or for groups, cannot be routed to instances.
        let kept = |address: Ipv4Addr| {
            address.is_loopback() || address.is_link_local() || address.octets()[0] == 0
        };
        pool.addr() == first
            && (8..=28).contains(&pool.prefix_len())
            && !kept(first)
            && !kept(last)
            && !pool.contains(&Ipv4Addr::new(169, 254, 169, 254))
            && last.octets()[0] < 224
    });
    pool.ok_or_else(|| bad("public_pool", &text, wanted))
}

/// The mail relay, with the password in the file, or else the one from the environment.
fn relay(
    url: Option<String>,
    file: Option<PathBuf>,
    password: Option<String>,
) -> Result<Option<Relay>, Failure> {
    let Some(url) = url else {
        return match file.is_none() && password.is_none() {
            true => Ok(None),
            false => Err(Failure::new(
                "mail_relay: there is a password for it, but it is not set.",
            )),
        };
    };
    let password = match file {
        Some(file) => Some(secret::read_line(&file).or_fail("mail_relay_password_file")?),
        None => password,
    };
    // The URL is not shown: there may be a password in it.
    let relay = Relay::new(&url, password).map_err(|why| {
        Failure::new(format!("mail_relay: {why}.")).hint(
            "A password comes from `--mail-relay-password-file FILE` or GUREUM_MAIL_RELAY_PASSWORD.",
        )
    });
    relay.map(Some)
}

pub(crate) fn parse_region(text: Option<String>) -> Result<Region, Failure> {
    let text = text.unwrap_or_else(|| "us-east-1".into());
    text.parse()
        .map_err(|_| bad("region", &text, "a region name such as us-east-1"))
}

fn parse_account(text: Option<String>) -> Result<AccountId, Failure> {
    let text = text.unwrap_or_else(|| "000000000000".into());
    text.parse()
        .map_err(|_| bad("account_id", &text, "twelve digits"))
}

fn parse_domain(text: Option<String>) -> Result<String, Failure> {
    let text = text
        .unwrap_or_else(|| "gureum.localhost".into())
        .to_ascii_lowercase();
    let label = |l: &str| {
        !l.is_empty() && l.len() <= 63 && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if text.len() <= 200 && text.split('.').all(label) {
        Ok(text)
    } else {
        Err(bad("domain", &text, "a DNS name such as gureum.localhost"))
    }
}

fn root_key(
    id: Option<String>,
    secret: Option<String>,
) -> Result<Option<(String, String)>, Failure> {
    match (id, secret) {
        (Some(id), Some(secret)) => {
            let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if !(1..=128).contains(&id.len()) || !id.bytes().all(word) {
                return Err(bad(
                    "root_access_key_id",
                    &id,
                    "1 to 128 letters, digits and _",
                ));
            }
            if secret.is_empty() {
                return Err(Failure::new("root_secret_access_key: it is empty."));
            }
            Ok(Some((id, secret)))
        }
        (None, None) => Ok(None),
        (Some(_), None) => Err(Failure::new(
            "root_access_key_id is set, but GUREUM_ROOT_SECRET_ACCESS_KEY is not: a key needs both.",
        )),
        (None, Some(_)) => Err(Failure::new(
            "root_secret_access_key is set, but GUREUM_ROOT_ACCESS_KEY_ID is not: a key needs both.",
        )),
    }
}

fn bad(key: &str, value: &str, wanted: &str) -> Failure {
    Failure::new(format!("{key}: `{value}` is not {wanted}."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn load(args: UpArgs) -> Result<Config, String> {
        Config::load(args).map_err(|failure| failure.to_string())
    }

    #[test]
    fn bad_values_name_their_key() {
        let cases = [
            (
                UpArgs {
                    region: Some("Mars".into()),
                    ..UpArgs::default()
                },
                "region",
            ),
            (
                UpArgs {
                    auth: Some("lax".into()),
                    ..UpArgs::default()
                },
                "auth",
            ),
            (
                UpArgs {
                    domain: Some("a..b".into()),
                    ..UpArgs::default()
                },
                "domain",
            ),
            (
                UpArgs {
                    account_id: Some("12".into()),
                    ..UpArgs::default()
                },
                "account_id",
            ),
            (
                UpArgs {
                    web_ports: Some("80".into()),
                    ..UpArgs::default()
                },
                "web_ports",
            ),
            (
                UpArgs {
                    mail_relay: Some("mail.example.com:25".into()),
                    ..UpArgs::default()
                },
                "mail_relay",
            ),
            (
                UpArgs {
                    public_pool: Some("198.18.0.1/15".into()),
                    ..UpArgs::default()
                },
                "public_pool",
            ),
            (
                UpArgs {
                    root_access_key_id: Some("a/b".into()),
                    root_secret_access_key: Some("s".into()),
                    ..UpArgs::default()
                },
                "root_access_key_id",
            ),
        ];
        for (args, key) in cases {
            let error = load(args).err().unwrap_or_default();
            assert!(error.starts_with(key), "{key}: {error}");
        }
    }

    #[test]
    fn a_relay_has_its_password_from_a_private_file_or_the_environment() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        let file = |mode| {
            std::fs::write(&path, "geheim\n").unwrap();
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&path, mode).unwrap();
            Some(path.clone())
        };
        let given = |url: &str, file, password: Option<&str>| {
            relay(Some(url.into()), file, password.map(str::to_owned))
        };
        assert!(matches!(relay(None, None, None), Ok(None)));
        for relay in [
            given("smtp://ann@mail", file(0o600), None),
            given("smtp://ann@mail", None, Some("geheim")),
            given("smtps://ann@mail", file(0o600), Some("another")),
        ] {
            assert!(relay.unwrap().is_some());
        }
        for (failure, why) in [
            (
                given("smtp://ann@mail", file(0o640), None),
                "open to others",
            ),
            (given("smtp://ann@mail", None, None), "needs a password"),
            (given("smtp://mail", None, Some("geheim")), "names no user"),
            (
                given("smtp://ann:geheim@mail", None, None),
                "holds a password",
            ),
            (relay(None, None, Some("geheim".into())), "it is not set"),
        ] {
            let failure = failure.unwrap_err().to_string();
            assert!(failure.starts_with("mail_relay"), "{failure}");
            assert!(
                failure.contains(why) && !failure.contains("geheim"),
                "{failure}"
            );
        }
    }

    #[test]
    fn public_pools_are_networks_that_can_be_routed() {
        let refused = [
            "10.0.0.0",
            "tea",
            "10.0.0.0/7",
            "10.0.0.0/29",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "168.0.0.0/7",
            "224.0.0.0/8",
            "0.0.0.0/8",
        ];
        for text in refused {
            assert!(parse_public_pool(Some(text.into())).is_err(), "{text}");
        }
        for text in ["198.18.16.0/20", "10.0.0.0/8", "203.0.113.16/28"] {
            let pool = parse_public_pool(Some(text.into())).unwrap();
            assert_eq!(pool.to_string(), text);
        }
    }

    #[test]
    fn relaxed_is_for_loopback_only() {
        let open = UpArgs {
            listen: "0.0.0.0:4566".parse().ok(),
            auth: Some("relaxed".into()),
            ..UpArgs::default()
        };
        assert!(load(open).err().is_some_and(|e| e.contains("loopback")));
    }
}
