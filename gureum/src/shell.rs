//! `gureum shell`: a shell inside an instance, on a terminal of its own, or fed by a pipe.
//!
//! Nothing of the host goes into the instance but pipes and a terminal that were made for it: a
//! descriptor of the caller's could be reopened there.

use std::fs::File;
use std::io::{IsTerminal, Read, Write, stderr, stdin, stdout};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::thread::{self, JoinHandle};

use gureum_compute::{Compute, Exec, Outcome};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::dup;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::ShellArgs;
use crate::config::data_dir;
use crate::console::{instances, known};
use crate::data_dir::DataDir;
use crate::failure::{Context, Failure};

/// The shell of people: the better one where there is one.
const INTERACTIVE: &str = "if command -v bash >/dev/null; then exec bash -l; else exec sh -l; fi";

/// Exits as the shell did.
pub(crate) fn run(args: &ShellArgs) -> Result<ExitCode, Failure> {
    let compute = instances(&DataDir::at(data_dir(&args.cloud)?));
    known(&compute, &args.id)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .or_fail("cannot start the runtime")?;
    let ended = runtime.block_on(async {
        match stdin().is_terminal() {
            true => on_terminal(&compute, &args.id).await,
            false => on_pipes(&compute, &args.id).await,
        }
    })?;
    Ok(ExitCode::from(match ended {
        Outcome::Exited(code) => u8::try_from(code).unwrap_or(u8::MAX),
        // As shells say it.
        Outcome::Killed(signal) => u8::try_from(128 + signal).unwrap_or(u8::MAX),
    }))
}

async fn execute(
    compute: &Compute,
    id: &str,
    exec: Exec,
    stdio: [OwnedFd; 3],
) -> Result<Outcome, Failure> {
    let executed = compute.exec(id, exec, stdio).await;
    executed.map_err(|error| match error.kind() {
        Some(std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused) => {
            Failure::new(format!("The instance {id} does not run.")).hint(format!(
                "Start it: `aws ec2 start-instances --instance-ids {id}`."
            ))
        }
        _ => Failure::new(format!("cannot run a shell in {id}: {error}")),
    })
}

/// Executes standard input.
async fn on_pipes(compute: &Compute, id: &str) -> Result<Outcome, Failure> {
    let doing = "cannot make a pipe";
    let pipe = || pipe_with(PipeFlags::CLOEXEC).or_fail(doing);
    let ((input, feed), (words, output), (cries, errors)) = (pipe()?, pipe()?, pipe()?);
    let (over, end) = pipe()?;
    carry(keys()?, File::from(feed), &over)?;
    let copies = [
        carry(File::from(words), stdout(), &over)?,
        carry(File::from(cries), stderr(), &over)?,
    ];
    let exec = Exec {
        argv: vec!["sh".into(), "-s".into()],
        ..Exec::default()
    };
    let ended = execute(compute, id, exec, [input, output, errors]).await;
    drop(end);
    for copy in copies {
        let _ = copy.join();
    }
    ended
}

/// A shell for a person, who sees and steers it as if it were here.
async fn on_terminal(compute: &Compute, id: &str) -> Result<Outcome, Failure> {
    let doing = "cannot open a terminal";
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC);
    let master = master.or_fail(doing)?;
    grantpt(&master).or_fail(doing)?;
    unlockpt(&master).or_fail(doing)?;
    let name = ptsname(&master, Vec::new()).or_fail(doing)?;
    use rustix::fs::{Mode, OFlags, open};
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = open(name.as_c_str(), flags, Mode::empty()).or_fail(doing)?;
    let copy = || dup(&slave).or_fail(doing);
    let stdio = [copy()?, copy()?, slave.try_clone().or_fail(doing)?];
    drop(slave);
    resize(&master);
    let mut resized = signal(SignalKind::window_change()).or_fail(doing)?;
    let mut hung_up = signal(SignalKind::hangup()).or_fail(doing)?;
    let mut terminated = signal(SignalKind::terminate()).or_fail(doing)?;
    let (over, end) = pipe_with(PipeFlags::CLOEXEC).or_fail(doing)?;
    let raw = Raw::enter()?;
    let near = || master.try_clone().map(File::from).or_fail(doing);
    carry(keys()?, near()?, &over)?;
    let shown = carry(near()?, stdout(), &over)?;
    let variable = |name: &str| Some((name.to_owned(), std::env::var(name).ok()?));
    let exec = Exec {
        argv: ["sh", "-c", INTERACTIVE].map(str::to_owned).to_vec(),
        env: variable("TERM").into_iter().collect(),
        directory: String::new(),
    };
    let mut shell = std::pin::pin!(execute(compute, id, exec, stdio));
    let ended = loop {
        tokio::select! {
            ended = &mut shell => break ended,
            _ = resized.recv() => resize(&master),
            _ = hung_up.recv() => break Ok(Outcome::Killed(SignalKind::hangup().as_raw_value())),
            _ = terminated.recv() => break Ok(Outcome::Killed(SignalKind::terminate().as_raw_value())),
        }
    };
    drop(end);
    let _ = shown.join();
    drop(raw);
    ended
}

/// Standard input, unbuffered, so that waiting for it is waiting for all of it.
fn keys() -> Result<File, Failure> {
    dup(stdin())
        .map(File::from)
        .or_fail("cannot read the input")
}

/// Gives the terminal inside the size of the one outside.
fn resize(master: &OwnedFd) {
    if let Ok(size) = tcgetwinsize(stdin()) {
        let _ = tcsetwinsize(master, size);
    }
}

/// The caller's terminal passes every key on, until this is dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> Result<Raw, Failure> {
        let doing = "cannot set up the terminal";
        let before = tcgetattr(stdin()).or_fail(doing)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).or_fail(doing)?;
        Ok(Raw(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.0);
    }
}

/// Copies in a thread until there is no more, or nothing is left when it is `over`.
fn carry(
    mut from: impl AsFd + Read + Send + 'static,
    mut to: impl Write + Send + 'static,
    over: &OwnedFd,
) -> Result<JoinHandle<()>, Failure> {
    let over = dup(over).or_fail("cannot pass on a stream")?;
    Ok(thread::spawn(move || {
        let mut buffer = [0; 8192];
        loop {
            let mut fds = [
                PollFd::new(&from, PollFlags::IN),
                PollFd::new(&over, PollFlags::IN),
            ];
            if poll(&mut fds, None).is_err() {
                continue;
            }
            if fds[0].revents().is_empty() {
                return;
            }
            // A terminal whose other side is gone fails; that is its end.
            let Ok(read @ 1..) = from.read(&mut buffer) else {
                return;
            };
            if to
                .write_all(&buffer[..read])
                .and_then(|()| to.flush())
                .is_err()
            {
                return;
            }
        }
    }))
}
