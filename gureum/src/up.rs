//! `gureum up`: open the data directory, wire the rooms, serve until told to stop.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use gureum_network::way_out;
use gureum_room::Room;
use gureum_wire::front::{AuthMode, Door, Listening, Options, tls};
use tokio::signal::unix::{SignalKind, signal};

use crate::ca;
use crate::cli::UpArgs;
use crate::config::{Auth, Config};
use crate::data_dir::{DataDir, Running};
use crate::failure::{Context, Failure};
use crate::output::say;
use crate::wiring;

pub(crate) fn run(args: UpArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let config = Config::load(args)?;
    log();
    raise_descriptors();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("gureum")
        .build()
        .or_fail("cannot start the runtime")?;
    let served = runtime.block_on(serve(config, started));
    // Whatever still runs has had its chance; nothing acknowledged depends on it.
    runtime.shutdown_background();
    served
}

async fn serve(config: Config, started: Instant) -> Result<(), Failure> {
    let dir = DataDir::create(config.data_dir.clone())?;
    // Kept to the very end of the process: until then something of ours may touch the directory.
    std::mem::forget(dir.lock()?);
    let authority = ca::open(&dir)?;
    let rooms = wiring::open(&config, &dir, &authority).await?;
    let tls = tls::server_config(&authority).or_fail("cannot set up TLS")?;
    let mut listening = Listening::bind(config.listen, tls)
        .await
        .map_err(|e| cannot_bind(&config, &e))?;
    let web_ports = web_ports(&config, &mut listening).await;
    let address = listening.address().or_fail("listen")?;
    let authority = reachable(address).to_string();
    let door = Door::new(
        rooms.cloud.clone(),
        Options {
            auth: match config.auth {
                Auth::Strict => AuthMode::Strict,
                Auth::Relaxed => AuthMode::Relaxed {
                    account: config.account,
                },
            },
            domain: config.domain.clone(),
            authority: authority.clone(),
            resources: rooms.resources.clone(),
        },
    );
    let stop = stop_signal()?;
    let work = rooms.start(
        format!("https://{authority}"),
        listening.porter(),
        address.port(),
    );
    let running = Running {
        pid: i32::try_from(std::process::id()).unwrap_or_default(),
        endpoint: format!("http://{authority}"),
        region: config.region.to_string(),
    };
    dir.set_running(&running)?;
    greet(&config, &running, &web_ports, started);
    listening.serve(door, stop).await;
    say("Stopping.");
    work.stop().await;
    // A cloud that was told to stop leaves nothing running; one that was killed leaves everything.
    if let Err(error) = Room::at(&dir.room()).close().await {
        tracing::warn!(%error, "something of the machine room is left");
    }
    dir.clear_running();
    Ok(())
}

fn cannot_bind(config: &Config, error: &std::io::Error) -> Failure {
    Failure::new(format!("listen: cannot bind {}: {error}", config.listen))
        .hint("Another program listens there, or another cloud; choose a free port with `--listen 127.0.0.1:0`.")
}

/// Opens the door on the ports of plain URLs too, where we may and nobody else does. Returns what
/// came of it, in words.
async fn web_ports(config: &Config, listening: &mut Listening) -> String {
    if !config.web_ports {
        return "off".into();
    }
    let mut outcome = Vec::new();
    for port in [80, 443] {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        outcome.push(match listening.also(address).await {
            Ok(()) => format!("{address} is open"),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                format!("{address} needs more rights")
            }
            Err(error) if error.kind() == ErrorKind::AddrInUse => format!("{address} is in use"),
            Err(error) => format!("{address}: {error}"),
        });
    }
    outcome.join(", ")
}

/// One line per thing that a person needs.
fn greet(config: &Config, running: &Running, web_ports: &str, started: Instant) {
    say(format_args!(
        "Gureum {} is ready after {} ms.",
        env!("CARGO_PKG_VERSION"),
        started.elapsed().as_millis()
    ));
    say(format_args!(
        "  endpoint     {} (and https on the same port)",
        running.endpoint
    ));
    say(format_args!(
        "  credentials  eval \"$(gureum env --data-dir {})\"",
        config.data_dir.display()
    ));
    say(format_args!(
        "  access       {}",
        match config.auth {
            Auth::Strict => "signatures are verified, IAM decides every call",
            Auth::Relaxed => "RELAXED: any key pair is root; for test suites only",
        }
    ));
    if !rustix::process::geteuid().is_root() {
        let lacking = match config.internet && way_out().is_err() {
            true => "volumes and internet",
            false => "volumes",
        };
        say(format_args!(
            "  rootless     instances without {lacking}; limits as `gureum doctor` says"
        ));
    }
    say(format_args!("  web ports    {web_ports}"));
    say(format_args!("  region       {}", config.region));
    say(format_args!("  data         {}", config.data_dir.display()));
    say("  stop         Ctrl-C, or `gureum down`; `gureum doctor` explains this host");
}

/// An address that clients on this machine can use.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if ip.is_unspecified() => {
            SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
        }
        _ => address,
    }
}

/// Resolves at the first SIGINT or SIGTERM; a second one ends the process the hard way.
fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let doing = "cannot listen for signals";
    let mut interrupt = signal(SignalKind::interrupt()).or_fail(doing)?;
    let mut terminate = signal(SignalKind::terminate()).or_fail(doing)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(130);
        });
    })
}

/// Takes all the descriptors that this user may have: each connection and each long poll holds one.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: maximum,
        maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

/// Logs go to standard error; `GUREUM_LOG` says how much (`info`, `audit=info`, `access=debug`).
fn log() {
    use tracing_subscriber::EnvFilter;
    let filter =
        EnvFilter::try_from_env("GUREUM_LOG").unwrap_or_else(|_| EnvFilter::new("warn,audit=off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
