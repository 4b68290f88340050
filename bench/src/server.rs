//! Servers under measure, each a process of its own on a loopback port of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::{ACCESS_KEY, Connection, REGION, SECRET, in_time, plain, runtime};
use crate::failure::{Context, Failure, Result};
use crate::machine;

/// Processor time in a second that counts as rest.
const NEXT_TO_NOTHING: Duration = Duration::from_millis(150);

/// A running server; it ends when this is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From exec to the first answer.
    pub(crate) ready_after: Duration,
}

impl Server {
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or_default()
    }

    /// Waits until a second goes by in which it does next to nothing: what was written is in its
    /// place then. For a minute at most.
    pub(crate) fn settle(&self) {
        for _ in 0..60 {
            let before = machine::cpu_of_tree(self.pid());
            std::thread::sleep(Duration::from_secs(1));
            if machine::cpu_of_tree(self.pid()).saturating_sub(before) < NEXT_TO_NOTHING {
                return;
            }
        }
    }

    /// Our cloud, on an empty or used data directory.
    pub(crate) fn gureum(program: &Path, data: &Path) -> Result<Self> {
        Self::gureum_with(program, data, &[])
    }

    /// The same, with settings from the environment.
    pub(crate) fn gureum_with(
        program: &Path,
        data: &Path,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let address = free_port()?;
        let mut command = Command::new(program);
        command
            .arg("up")
            .arg("--data-dir")
            .arg(data)
            .args(["--listen", &address.to_string(), "--region", REGION])
            .env("GUREUM_ROOT_ACCESS_KEY_ID", ACCESS_KEY)
            .env("GUREUM_ROOT_SECRET_ACCESS_KEY", SECRET)
            .envs(settings.iter().copied());
        Self::start(command, address, "/_gureum/health")
    }

    /// A bare hyper server, which answers everything with "OK": what HTTP alone costs.
    pub(crate) fn bare() -> Result<Self> {
        let address = free_port()?;
        let mut command = Command::new(own_program()?);
        command.args(["serve-bare", &address.to_string()]);
        Self::start(command, address, "/")
    }

    /// nginx, serving the files of a directory. `None` when it is not installed.
    pub(crate) fn nginx(home: &Path, files: &Path) -> Result<Option<Self>> {
        let Some(program) = installed("nginx") else {
            return Ok(None);
        };
        let address = free_port()?;
        let configuration = home.join("nginx.conf");
        fs::write(&configuration, nginx_configuration(home, files, address))
            .or_fail("cannot write nginx.conf")?;
        let mut command = Command::new(program);
        command
            .arg("-e")
            .arg(home.join("nginx.log"))
            .arg("-c")
            .arg(configuration);
        Self::start(command, address, "/").map(Some)
    }

    /// moto's server, if it is installed.
    pub(crate) fn moto() -> Result<Option<Self>> {
        let Some(program) = installed("moto_server") else {
            return Ok(None);
        };
        let address = free_port()?;
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
        Self::start(command, address, "/moto-api/").map(Some)
    }

    /// MiniStack, if it is installed. It runs all services in one Python process.
    pub(crate) fn ministack() -> Result<Option<Self>> {
        let Some(program) = installed("ministack") else {
            return Ok(None);
        };
        let address = free_port()?;
        let mut command = Command::new(program);
        command.env("BIND_HOST", "127.0.0.1");
        command.env("GATEWAY_PORT", address.port().to_string());
        command.env("LOG_LEVEL", "ERROR");
        Self::start(command, address, "/_ministack/health").map(Some)
    }

    /// dynalite, a DynamoDB in JavaScript over LevelDB, if it is installed.
    pub(crate) fn dynalite() -> Result<Option<Self>> {
        let Some(program) = installed("dynalite") else {
            return Ok(None);
        };
        let address = free_port()?;
        let mut command = Command::new(program);
        command.args(["--host", "127.0.0.1", "--createTableMs", "0"]);
        command.args(["--port", &address.port().to_string()]);
        Self::start(command, address, "/").map(Some)
    }

    fn start(mut command: Command, address: SocketAddr, page: &str) -> Result<Self> {
        let name = format!("{:?}", command.get_program());
        let started = Instant::now();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .or_fail(format_args!("cannot start {name}"))?;
        let mut server = Self {
            child,
            address,
            ready_after: Duration::ZERO,
        };
        while !answers(address, page) {
            if let Ok(Some(status)) = server.child.try_wait() {
                return Err(Failure(format!("{name} ended at once: {status}")));
            }
            if started.elapsed() > Duration::from_secs(30) {
                return Err(Failure(format!("{name} did not get ready in 30 s")));
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        server.ready_after = started.elapsed();
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The group, because some peers fork workers.
        if let Some(group) = rustix::process::Pid::from_raw(self.pid()) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

/// Whether the server answers at all; what it answers to an unknown page does not matter.
fn answers(address: SocketAddr, page: &str) -> bool {
    if TcpStream::connect(address).is_err() {
        return false;
    }
    let ask = || {
        let request = plain(address, page)?;
        runtime()?.block_on(in_time(Duration::ZERO, async {
            let mut connection = Connection::open(address).await?;
            connection.fetch(request).await
        }))
    };
    match ask() {
        Ok(_) => true,
        Err(Failure(text)) => text.starts_with(&format!("GET {page}: 4")),
    }
}

fn free_port() -> Result<SocketAddr> {
    let doing = "no free port";
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).or_fail(doing)?;
    listener.local_addr().or_fail(doing)
}

fn own_program() -> Result<PathBuf> {
    std::env::current_exe().or_fail("cannot find this program")
}

/// Where a program is on the search path, or where distributions put servers.
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    places.push("/usr/sbin".into());
    places
        .into_iter()
        .map(|place| place.join(name))
        .find(|file| file.is_file())
}

/// As fast as nginx gets with files: no logs, `sendfile`, one worker per core, open files cached.
fn nginx_configuration(home: &Path, files: &Path, address: SocketAddr) -> String {
    // Workers of a nginx that root starts would otherwise be nobody, who may not look in here.
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let (home, files) = (home.display(), files.display());
    format!(
        "{user} worker_processes auto; daemon off; pid {home}/nginx.pid; \
         events {{ worker_connections 1024; }} \
         http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; \
         open_file_cache max=1000; \
         client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; \
         fastcgi_temp_path {home}/fastcgi; uwsgi_temp_path {home}/uwsgi; \
         scgi_temp_path {home}/scgi; \
         server {{ listen {address}; root {files}; }} }}\n"
    )
}
