//! The command line: what a person can type. Every flag of `up` is also an environment variable
//! `GUREUM_…` and a key in `gureum.toml`; see `config.rs` for how the three meet.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "gureum",
    version,
    about = "An AWS-compatible cloud on your own machine, in which what you create really runs.",
    after_help = "Start with `gureum up`; then, in a second shell, `eval \"$(gureum env)\"` and use any AWS client."
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Start the cloud in the foreground.
    Up(Box<UpArgs>),
    /// Print shell exports that point AWS clients at the running cloud.
    Env(CloudArgs),
    /// What runs: services, operations served, background work.
    Status(ReportArgs),
    /// What this host offers, what is missing, and the command that installs it.
    Doctor(ReportArgs),
    /// A shell inside an instance; executes standard input when that is no terminal.
    Shell(ShellArgs),
    /// What an instance has written to its console.
    Console(LogArgs),
    /// What an instance has written (the same as `console`).
    Logs(LogArgs),
    /// Images that instances boot from.
    #[command(subcommand)]
    Image(ImageCommand),
    /// What the cloud has sent by e-mail.
    Mail(MailArgs),
    /// Stop the running cloud.
    Down(CloudArgs),
    /// Stop the cloud and delete everything in it.
    Reset(ResetArgs),
    /// List every operation and whether it is implemented.
    Coverage(ReportArgs),
    /// The keeper of the machine room (started by `up` when it is needed).
    #[command(hide = true)]
    Keeper { room: PathBuf },
    /// The supervisor of an instance (started by the keeper).
    #[command(hide = true)]
    Supervise { id: String },
    /// The process behind an attached volume (started by the keeper).
    #[command(hide = true)]
    Volume,
}

#[derive(Args, Default)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) cloud: CloudArgs,
    /// Address of the front door (HTTP and HTTPS on one port) [default: 127.0.0.1:4566]
    #[arg(long, env = "GUREUM_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,
    /// Region of calls that name none [default: us-east-1]
    #[arg(long, env = "GUREUM_REGION")]
    pub(crate) region: Option<String>,
    /// Domain under which resources get their names [default: gureum.localhost]
    #[arg(long, env = "GUREUM_DOMAIN")]
    pub(crate) domain: Option<String>,
    /// `strict` verifies every signature and asks IAM; `relaxed` takes any key pair as root
    /// (loopback only) [default: strict]
    #[arg(long, env = "GUREUM_AUTH")]
    pub(crate) auth: Option<String>,
    /// `auto` opens ports 80 and 443 of loopback too, where that is possible; `off` does not
    /// [default: auto]
    #[arg(long, env = "GUREUM_WEB_PORTS")]
    pub(crate) web_ports: Option<String>,
    /// Network that public addresses come from; two clouds on one host need one each
    /// [default: 198.18.0.0/15]
    #[arg(long, env = "GUREUM_PUBLIC_POOL")]
    pub(crate) public_pool: Option<String>,
    /// Keep instances from the internet: no packet and no name question leaves this host
    #[arg(long, env = "GUREUM_NO_INTERNET")]
    pub(crate) no_internet: bool,
    /// Mail server that takes the cloud's mail out of this machine: `smtp://HOST:PORT`, or with TLS
    /// and a login `smtp://USER@HOST` (STARTTLS) or `smtps://USER@HOST`
    #[arg(long, env = "GUREUM_MAIL_RELAY")]
    pub(crate) mail_relay: Option<String>,
    /// File with the password for it, that nobody else may read
    #[arg(long, env = "GUREUM_MAIL_RELAY_PASSWORD_FILE")]
    pub(crate) mail_relay_password_file: Option<PathBuf>,
    /// Account of the root access key [default: 000000000000]
    #[arg(long, env = "GUREUM_ACCOUNT_ID")]
    pub(crate) account_id: Option<String>,
    /// Use this root access key instead of a generated one (with its secret)
    #[arg(long, env = "GUREUM_ROOT_ACCESS_KEY_ID")]
    pub(crate) root_access_key_id: Option<String>,
    /// The secret of the root access key; only from the environment or the file
    #[arg(skip)]
    pub(crate) root_secret_access_key: Option<String>,
    /// Configuration file (TOML)
    #[arg(long, env = "GUREUM_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Args, Default, Clone)]
pub(crate) struct CloudArgs {
    /// Where everything lives [default: $XDG_DATA_HOME/gureum]
    #[arg(long, env = "GUREUM_DATA_DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) cloud: CloudArgs,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum ImageCommand {
    /// Make an image of a root file system, and print its id.
    Import(ImportArgs),
}

#[derive(Args)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    pub(crate) cloud: CloudArgs,
    /// What the image is to be called.
    pub(crate) name: String,
    /// A directory, such as debootstrap makes, or an archive that tar can read.
    pub(crate) from: PathBuf,
    /// Region in which it is offered [default: the running cloud's]
    #[arg(long)]
    pub(crate) region: Option<String>,
}

#[derive(Args)]
pub(crate) struct MailArgs {
    #[command(flatten)]
    pub(crate) cloud: CloudArgs,
    /// Only mail to this address.
    #[arg(long)]
    pub(crate) address: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct ShellArgs {
    #[command(flatten)]
    pub(crate) cloud: CloudArgs,
    /// The instance, such as i-0123456789abcdef0.
    pub(crate) id: String,
}

#[derive(Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    pub(crate) cloud: CloudArgs,
    /// The instance, such as i-0123456789abcdef0.
    pub(crate) id: String,
    /// Go on with what it writes from now on.
    #[arg(short, long)]
    pub(crate) follow: bool,
}

#[derive(Args)]
pub(crate) struct ResetArgs {
    #[command(flatten)]
    pub(crate) cloud: CloudArgs,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
}
