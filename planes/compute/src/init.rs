//! The first process of an instance, once confined: it reaps what nobody waits for, executes what
//! it is asked to, and shuts down in order. May touch: what the instance itself may.

use std::ffi::CStr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gureum_room::frame::{self, Frame, Receiver};
use gureum_room::process::{Forked, Signals, fork};
use gureum_room::{Doing, Error, Result, decode, encode};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus, wait};

use crate::messages::{Order, REBOOT, Report};
use crate::spec::{Exec, Outcome, Spec};
use crate::{provision, root};

/// How long the supervisor may take to take a report.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long programs have to end when the instance powers itself off.
const GRACE: u64 = 10_000;
/// Where programs are looked up.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What `poweroff` and `reboot` in the image send, the signals of systemd(1): SIGRTMIN+4 and +5.
/// The kernel's and libc's ideas of the first signal of real time differ by two.
pub(crate) const POWER_OFF: i32 = 34 + 4;
pub(crate) const RESTART: i32 = 34 + 5;

struct Init {
    channel: UnixStream,
    receiver: Receiver,
    signals: Signals,
    /// Who asked for these processes, by their own numbers.
    executions: Vec<(Pid, u64)>,
    ending: Option<Ending>,
    variables: Vec<(String, String)>,
}

#[derive(Clone, Copy)]
struct Ending {
    reboot: bool,
    /// When what is left is killed.
    at: Instant,
}

/// The rest of the instance's life. Never returns to who called it.
pub(crate) fn run(spec: &Spec, channel: UnixStream) -> ! {
    let code = match Init::new(spec, channel) {
        Ok(mut init) => init.live(spec),
        Err(error) => {
            eprintln!("init: {error}");
            1
        }
    };
    std::process::exit(code)
}

impl Init {
    fn new(spec: &Spec, channel: UnixStream) -> Result<Init> {
        rename(c"init");
        let mut numbers = vec![POWER_OFF, RESTART];
        numbers.extend([Signal::CHILD, Signal::TERM, Signal::INT].map(Signal::as_raw));
        channel
            .set_nonblocking(true)
            .doing("talk to the supervisor")?;
        Ok(Init {
            channel,
            receiver: Receiver::default(),
            signals: Signals::take(&numbers).doing("take signals")?,
            executions: Vec::new(),
            ending: None,
            variables: variables(spec),
        })
    }

    fn live(&mut self, spec: &Spec) -> i32 {
        let provided = self.start(|| provision::run(spec));
        if let Err(error) = provided {
            eprintln!("init: user data cannot run: {error}");
        }
        loop {
            if let Some(code) = self.over() {
                return code;
            }
            self.wait();
            while let Some(signal) = self.signals.next() {
                match signal {
                    POWER_OFF | RESTART => self.end(signal == RESTART, GRACE),
                    n if n == Signal::TERM.as_raw() => self.end(false, GRACE),
                    n if n == Signal::INT.as_raw() => self.end(true, GRACE),
                    _ => {}
                }
            }
            self.reap();
            self.hear();
        }
    }

    fn wait(&self) {
        let mut fds = [
            PollFd::new(&self.channel, PollFlags::IN),
            PollFd::new(&self.signals, PollFlags::IN),
        ];
        let left = self
            .ending
            .map(|e| e.at.saturating_duration_since(Instant::now()));
        // Interrupted or not, everything is looked at anew.
        let _ = poll(&mut fds, left.map(frame::timespec).as_ref());
    }

    /// The code to exit with, when there is nothing left to do.
    fn over(&mut self) -> Option<i32> {
        let ending = self.ending?;
        let alone = matches!(wait(WaitOptions::NOHANG), Err(rustix::io::Errno::CHILD));
        if !alone && ending.at > Instant::now() {
            return None;
        }
        // The kernel kills the rest when its first process ends.
        let word = if ending.reboot {
            "Restarting"
        } else {
            "Power down"
        };
        println!("init: {word}");
        Some(if ending.reboot { REBOOT } else { 0 })
    }

    fn end(&mut self, reboot: bool, grace: u64) {
        let at = Instant::now() + Duration::from_millis(grace);
        match &mut self.ending {
            // Only sooner, never later.
            Some(ending) => ending.at = ending.at.min(at),
            None => {
                println!("init: shutting down");
                self.ending = Some(Ending { reboot, at });
                everyone(Signal::TERM);
                // Those who sleep through it must wake to hear it.
                everyone(Signal::CONT);
            }
        }
    }

    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let Some(at) = self.executions.iter().position(|(of, _)| *of == pid) else {
                continue;
            };
            let (_, number) = self.executions.swap_remove(at);
            self.report(&Report::Executed {
                number,
                outcome: outcome(status),
            });
        }
    }

    fn hear(&mut self) {
        loop {
            match self.receiver.receive(&self.channel) {
                Ok(frame) => self.obey(frame),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // Without its supervisor an instance ends.
                Err(_) => std::process::exit(1),
            }
        }
    }

    fn obey(&mut self, frame: Frame) {
        match decode(&frame.body) {
            Ok(Order::Ping) => self.report(&Report::Pong),
            Ok(Order::Shutdown { reboot, grace }) => self.end(reboot, grace),
            Ok(Order::Execute { number, exec }) => {
                if let Err(error) = self.execute(number, exec, frame.fds) {
                    let why = error.to_string();
                    self.report(&Report::NotExecuted { number, why });
                }
            }
            Ok(Order::Abandon { number }) => self.abandon(number),
            Err(error) => eprintln!("init: an order: {error}"),
        }
    }

    /// Ends an execution, and what it has started and not sent away.
    fn abandon(&self, number: u64) {
        let pid = self.executions.iter().find(|(_, of)| *of == number);
        if let Some((pid, _)) = pid {
            // It leads a group of its own.
            let _ = rustix::process::kill_process_group(*pid, Signal::KILL);
        }
    }

    fn execute(&mut self, number: u64, exec: Exec, fds: Vec<OwnedFd>) -> Result<()> {
        let no_streams = |_| Error::failed("a program needs three streams");
        let [stdin, stdout, stderr]: [OwnedFd; 3] = fds.try_into().map_err(no_streams)?;
        let (program, arguments) = exec
            .argv
            .split_first()
            .ok_or_else(|| Error::failed("there is no program to execute"))?;
        let terminal = stdin.try_clone().doing("pass on a stream")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env_clear()
            .envs(self.variables.iter().cloned())
            .envs(exec.env)
            .current_dir(if exec.directory.is_empty() {
                "/root"
            } else {
                &exec.directory
            })
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(stdout))
            .stderr(Stdio::from(stderr));
        let pid = self.start(move || {
            // Where it is one, shells find it there. It is no error if it is none.
            let _ = rustix::process::ioctl_tiocsctty(&terminal);
            // Comes back only when it could not.
            let error = command.exec();
            eprintln!("{}: {error}", command.get_program().to_string_lossy());
            match error.kind() {
                std::io::ErrorKind::NotFound => 127,
                _ => 126,
            }
        })?;
        self.executions.push((pid, number));
        Ok(())
    }

    /// Runs something in a copy of this process, in a session of its own.
    fn start(&self, run: impl FnOnce() -> i32) -> Result<Pid> {
        match fork().doing("start a process")? {
            Forked::Parent(pid) => Ok(pid),
            Forked::Child => {
                let _ = rustix::process::setsid();
                // Small pages are the room's habit, not the instance's.
                let _ = rustix::thread::disable_transparent_huge_pages(false);
                let _ = Signals::let_through();
                std::process::exit(run())
            }
        }
    }

    fn report(&self, report: &Report) {
        let sent = encode(report).map(|body| frame::send(&self.channel, &body, &[], PATIENCE));
        if !sent.is_ok_and(|sent| sent.is_ok()) {
            eprintln!("init: the supervisor does not listen");
        }
    }
}

/// What every program of the instance finds in its environment.
pub(crate) fn variables(spec: &Spec) -> Vec<(String, String)> {
    let fixed = [
        ("PATH", PATH),
        ("HOME", "/root"),
        ("USER", "root"),
        ("LOGNAME", "root"),
        ("SHELL", "/bin/sh"),
        ("LANG", "C.UTF-8"),
        ("TERM", "xterm"),
    ];
    let mut variables = fixed.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec();
    variables.extend(root::variables(spec));
    variables
}

/// Sends a signal to every process of the instance but this one.
fn everyone(signal: Signal) {
    // The call negates the group's number, and -1 stands for all: kill(2).
    let _ = rustix::process::kill_process_group(Pid::INIT, signal);
}

fn outcome(status: WaitStatus) -> Outcome {
    match status.exit_status() {
        Some(code) => Outcome::Exited(code),
        None => Outcome::Killed(status.terminating_signal().unwrap_or(0)),
    }
}

/// What the process is called in lists. What it was called, by which path, stays the host's matter.
fn rename(name: &CStr) {
    let _ = rustix::thread::set_name(name);
}
