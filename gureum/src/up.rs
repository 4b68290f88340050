//! `gureum up`: open the data directory, wire the rooms, serve until told to stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;

use gureum_wire::front::{AuthMode, Door, Listening, Options, tls};
use tokio::signal::unix::{SignalKind, signal};

use crate::ca;
use crate::cli::UpArgs;
use crate::config::{Auth, Config};
use crate::data_dir::{DataDir, Running};
use crate::failure::{Context, Failure};
use crate::wiring;

pub(crate) fn run(args: UpArgs) -> Result<(), Failure> {
    let started = Instant::now();
    let config = Config::load(args)?;
    log();
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
    if let Some(running) = dir.running()? {
        return Err(Failure::new(format!(
            "A cloud runs on {} already (pid {}, {}).",
            dir.path().display(),
            running.pid,
            running.endpoint
        ))
        .hint("Use it, stop it with `gureum down`, or choose another --data-dir."));
    }
    let rooms = wiring::open(&config, &dir).await?;
    let authority = ca::open(&dir)?;
    let tls = tls::server_config(&authority).or_fail("cannot set up TLS")?;
    let listening = Listening::bind(config.listen, tls)
        .await
        .or_fail(format_args!("listen: cannot bind {}", config.listen))?;
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
    let work = rooms.start();
    let running = Running {
        pid: i32::try_from(std::process::id()).unwrap_or_default(),
        endpoint: format!("http://{authority}"),
        region: config.region.to_string(),
    };
    dir.set_running(&running)?;
    greet(&config, &running, started);
    listening.serve(door, stop).await;
    println!("Stopping.");
    work.stop().await;
    dir.clear_running();
    Ok(())
}

/// One line per thing that a person needs.
fn greet(config: &Config, running: &Running, started: Instant) {
    println!(
        "Gureum {} is ready after {} ms.",
        env!("CARGO_PKG_VERSION"),
        started.elapsed().as_millis()
    );
    println!(
        "  endpoint     {} (and https on the same port)",
        running.endpoint
    );
    println!(
        "  credentials  eval \"$(gureum env --data-dir {})\"",
        config.data_dir.display()
    );
    println!(
        "  access       {}",
        match config.auth {
            Auth::Strict => "signatures are verified, IAM decides every call",
            Auth::Relaxed => "RELAXED: any key pair is root; for test suites only",
        }
    );
    println!("  region       {}", config.region);
    println!("  data         {}", config.data_dir.display());
    println!("  stop         Ctrl-C, or `gureum down`; `gureum doctor` explains this host");
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
