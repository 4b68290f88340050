//! One process per instance, with one thread: boots it, keeps its console, answers for it, boots it
//! again, and records how it ended. May touch: the instance's files, its cgroup, its first process.

use std::env::var_os;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use gureum_kit::Clock;
use gureum_room::frame::{self, Frame, Receiver};
use gureum_room::intercept::Interceptor;
use gureum_room::{Cgroups, Doing, Error, Privilege, Result, decode, encode, resident};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, WaitOptions, pidfd_send_signal, waitpid};

use crate::boot::{self, Booted, Side};
use crate::cgroup::Cgroup;
use crate::console::Console;
use crate::devices;
use crate::layout::{COMPUTE, Files, Layout, read_durable, resident_name, write_durably};
use crate::messages::{Answer, Ask, Order, REBOOT, Report};
use crate::mounts::{Helper, Known};
use crate::spec::{Device, Ended, How, Running, Spec};

/// How long a client may take to read its answer, and the first process an order.
const PATIENCE: Duration = Duration::from_secs(2);
/// A first process that has not answered for so long does not respond.
const SILENCE: Duration = Duration::from_secs(5);
/// What an orderly shutdown may take longer than it was given.
const MARGIN: Duration = Duration::from_secs(1);

/// The whole life of a supervisor. Must be called before any thread exists, by a process that the
/// keeper launched. Its paths come by the environment: its arguments can be read in the instance.
pub fn supervise_main(id: &str) -> ExitCode {
    let (Some(room), Some(compute)) = (var_os(resident::ROOM), var_os(COMPUTE)) else {
        eprintln!("gureum: the keeper of a machine room starts supervisors; nobody else can");
        return ExitCode::FAILURE;
    };
    let (room, layout) = (PathBuf::from(room), Layout(compute.into()));
    let supervised = Supervisor::open(&room, &layout, id).and_then(Supervisor::run);
    let end = std::fs::remove_file(room.join("alive").join(resident_name(id)));
    let (bell, name) = layout.bell();
    resident::ring(bell, name);
    match supervised.and(end.doing("leave the room")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("supervisor of {id}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Everything that booting needs to know.
pub(crate) struct Machine {
    pub(crate) room: PathBuf,
    pub(crate) layout: Layout,
    pub(crate) files: Files,
    pub(crate) spec: Spec,
    pub(crate) privilege: Privilege,
    pub(crate) cgroup: Cgroup,
}

struct Supervisor {
    machine: Machine,
    listener: Option<UnixListener>,
    clients: Vec<Client>,
    /// Answers a call of the instance; others wait until it is done.
    helper: Option<Helper>,
    known: Known,
    /// Names clients and executions.
    count: u64,
    console: Console,
    booted: Option<Booted>,
    ready: bool,
    boots: u32,
    since: i64,
    /// A ping that has not been answered, and when it was sent.
    pinged: Option<Instant>,
    /// Somebody outside wants the instance to end.
    stopping: bool,
    /// When the first process is killed, should it still live.
    deadline: Option<Instant>,
    failure: Option<String>,
    clock: Clock,
}

struct Client {
    number: u64,
    stream: UnixStream,
    receiver: Receiver,
    waits: Waits,
}

#[derive(Clone, Copy, PartialEq)]
enum Waits {
    No,
    ForStart,
    ForEnd,
    ForExecution(u64),
}

/// Who has something to say.
#[derive(Clone, Copy)]
enum Source {
    Listener,
    Console,
    Init,
    Death,
    Interceptor,
    Helper,
    Client(u64),
}

impl Supervisor {
    fn open(room: &Path, layout: &Layout, id: &str) -> Result<Supervisor> {
        let listener = resident::settle()?;
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
        let files = layout.instance(id)?;
        let spec = read_durable(&files.spec())?;
        let spec = spec.ok_or_else(|| Error::failed("the instance has no spec"))?;
        Ok(Supervisor {
            console: Console::open(&files.console())?,
            machine: Machine {
                room: room.to_path_buf(),
                layout: layout.clone(),
                spec: decode(&spec)?,
                privilege: Privilege::probe(),
                cgroup: Cgroup::of(&Cgroups::probe(), room, id)?,
                files,
            },
            listener: Some(listener),
            clients: Vec::new(),
            helper: None,
            known: Known::default(),
            count: 0,
            booted: None,
            ready: false,
            boots: 0,
            since: 0,
            pinged: None,
            stopping: false,
            deadline: None,
            failure: None,
            clock: Clock::system(),
        })
    }

    fn run(mut self) -> Result<()> {
        // What an instance is killed by must not be left of the last one.
        let made = self.machine.cgroup.remove();
        let made = made.and_then(|()| self.machine.cgroup.make(&self.machine.spec));
        let mut how = match made.and_then(|()| self.boot()) {
            Ok(()) => None,
            Err(error) => Some(How::Failed(error.to_string())),
        };
        while how.is_none() {
            for source in self.wait()? {
                self.attend(source);
                if matches!(source, Source::Death) {
                    how = self.bury();
                }
            }
            self.enforce();
        }
        self.end(how.unwrap_or(How::Unseen))
    }

    fn boot(&mut self) -> Result<()> {
        self.ready = false;
        self.pinged = None;
        self.deadline = None;
        self.boots += 1;
        self.since = self.clock.now();
        self.known = Known::of(&self.machine.spec.devices);
        match boot::boot()? {
            Side::Supervisor(booted) => self.booted = Some(booted),
            Side::Instance(birth) => {
                // All that is the supervisor's stays with the supervisor.
                self.clients.clear();
                self.listener = None;
                self.console.close();
                boot::first_process(&self.machine, birth)
            }
        }
        Ok(())
    }

    /// Waits until somebody has something to say, or the deadline has come.
    fn wait(&self) -> Result<Vec<Source>> {
        let mut watched: Vec<(Source, BorrowedFd<'_>)> = Vec::new();
        watched.extend(self.listener.iter().map(|l| (Source::Listener, l.as_fd())));
        watched.extend(self.console.terminal().map(|fd| (Source::Console, fd)));
        if let Some(booted) = &self.booted {
            watched.extend(booted.channel.iter().map(|c| (Source::Init, c.as_fd())));
            watched.push((Source::Death, booted.pidfd.as_fd()));
            if self.helper.is_none() {
                let interceptor = booted.interceptor.iter();
                watched.extend(interceptor.map(|it| (Source::Interceptor, it.as_fd())));
            }
        }
        watched.extend(self.helper.iter().map(|it| (Source::Helper, it.as_fd())));
        let clients = self.clients.iter();
        watched.extend(clients.map(|c| (Source::Client(c.number), c.stream.as_fd())));
        let mut fds: Vec<PollFd<'_>> = watched
            .iter()
            .map(|(_, fd)| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
            .collect();
        let left = self
            .deadline
            .map(|at| at.saturating_duration_since(Instant::now()));
        match poll(&mut fds, left.map(frame::timespec).as_ref()) {
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            polled => polled.doing("wait")?,
        };
        let ready = fds.iter().map(|fd| !fd.revents().is_empty());
        let ready = watched.iter().zip(ready).filter(|(_, ready)| *ready);
        Ok(ready.map(|((source, _), _)| *source).collect())
    }

    fn attend(&mut self, source: Source) {
        match source {
            Source::Listener => self.admit(),
            Source::Console => self.console.drain(),
            Source::Init => self.hear(),
            Source::Death => {}
            Source::Interceptor => self.help(),
            Source::Helper => self.helper = None,
            Source::Client(number) => self.serve(number),
        }
    }

    fn admit(&mut self) {
        let Some(Ok((stream, _))) = self.listener.as_ref().map(UnixListener::accept) else {
            return;
        };
        if resident::peer(&stream).is_ok() && stream.set_nonblocking(true).is_ok() {
            self.count += 1;
            self.clients.push(Client {
                number: self.count,
                stream,
                receiver: Receiver::default(),
                waits: Waits::No,
            });
        }
    }

    fn serve(&mut self, number: u64) {
        let Some(client) = self.clients.iter_mut().find(|c| c.number == number) else {
            return;
        };
        match client.receiver.receive(&client.stream) {
            Ok(frame) => match decode(&frame.body) {
                Ok(ask) => self.answer(number, ask, frame.fds),
                Err(error) => self.reply(number, &Answer::Failed(error.to_string())),
            },
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => {
                let executing = client.waits == Waits::ForExecution(number);
                self.clients.retain(|c| c.number != number);
                if executing {
                    // One that cannot be told is going down, and its programs with it.
                    let _ = self.order(&Order::Abandon { number }, &[]);
                }
            }
        }
    }

    fn answer(&mut self, number: u64, ask: Ask, fds: Vec<OwnedFd>) {
        match ask {
            Ask::State => {
                let state = self.ready.then(|| self.running()).flatten();
                self.reply(number, &Answer::State(state));
            }
            Ask::Started if self.ready => self.reply(number, &Answer::Done),
            Ask::Started => self.let_wait(number, Waits::ForStart),
            Ask::Plug(device) => {
                let plugged = self.plug(device);
                self.reply(number, &told(plugged));
            }
            Ask::Unplug(name) => {
                let unplugged = self.unplug(&name);
                self.reply(number, &told(unplugged));
            }
            Ask::Stop { grace } => {
                self.stopping = true;
                self.let_wait(number, Waits::ForEnd);
                self.shut_down(false, grace);
            }
            Ask::Reboot { grace } => {
                self.let_wait(number, Waits::ForStart);
                self.shut_down(true, grace);
                self.ready = false;
            }
            Ask::Execute(exec) => {
                self.let_wait(number, Waits::ForExecution(number));
                let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
                if let Err(error) = self.order(&Order::Execute { number, exec }, &fds) {
                    self.reply(number, &Answer::Failed(error.to_string()));
                }
            }
        }
    }

    /// Lets a copy of this process answer a call: it may wait for a volume, and sees the caller's files.
    fn help(&mut self) {
        let interceptor = self.booted.as_ref().and_then(|it| it.interceptor.as_ref());
        let Some(interceptor) = interceptor else {
            return;
        };
        // Whoever called may have been killed meanwhile.
        if let Ok(call) = interceptor.receive() {
            self.helper = Helper::start(interceptor, &call, &self.known);
        }
    }

    /// Before the instance's root stands, its process still sees the host's `/dev`.
    fn plug(&mut self, device: Device) -> Result<()> {
        devices::check(&device.name)?;
        let pid = self.ready_process()?;
        self.machine.cgroup.allow(&device)?;
        devices::plug(pid, &device)?;
        self.known.plugged(&device);
        let kept = &mut self.machine.spec.devices;
        kept.retain(|other| other.name != device.name);
        kept.push(device);
        Ok(())
    }

    fn unplug(&mut self, name: &str) -> Result<()> {
        devices::check(name)?;
        let pid = self.ready_process()?;
        devices::unplug(pid, name)?;
        let kept = &mut self.machine.spec.devices;
        let gone: Vec<_> = kept.extract_if(.., |device| device.name == name).collect();
        gone.iter().try_for_each(|device| {
            self.known.unplugged(device);
            self.machine.cgroup.forbid(device)
        })
    }

    fn ready_process(&self) -> Result<i32> {
        let booted = self.booted.as_ref().filter(|_| self.ready);
        let booted = booted.ok_or_else(|| Error::failed("the instance is not up"))?;
        Ok(booted.pid.as_raw_pid())
    }

    /// What is known of the running instance. Looks, in passing, whether it responds.
    fn running(&mut self) -> Option<Running> {
        let responsive = self.pinged.is_none_or(|at| at.elapsed() < SILENCE);
        if self.pinged.is_none() {
            self.pinged = Some(Instant::now());
            // Where the ping does not even fit, silence will follow.
            let _ = self.order(&Order::Ping, &[]);
        }
        let booted = self.booted.as_ref()?;
        Some(Running {
            pid: booted.pid.as_raw_pid(),
            supervisor: rustix::process::getpid().as_raw_pid(),
            boot_id: booted.boot_id.clone(),
            since: self.since,
            boots: self.boots,
            responsive,
        })
    }

    fn shut_down(&mut self, reboot: bool, grace: u64) {
        // An order that does not get through leaves the deadline.
        let _ = self.order(&Order::Shutdown { reboot, grace }, &[]);
        let deadline = Instant::now() + Duration::from_millis(grace) + MARGIN;
        self.deadline = Some(self.deadline.map_or(deadline, |at| at.min(deadline)));
        self.reboot_wanted(reboot);
    }

    fn reboot_wanted(&mut self, reboot: bool) {
        if let Some(booted) = &mut self.booted {
            booted.reboot = reboot;
        }
    }

    fn order(&self, order: &Order, fds: &[BorrowedFd<'_>]) -> Result<()> {
        let doing = "reach the instance's first process";
        let channel = self.booted.as_ref().and_then(|b| b.channel.as_ref());
        let channel = channel.ok_or_else(|| Error::failed("the instance does not run"))?;
        frame::send(channel, &encode(order)?, fds, PATIENCE).doing(doing)
    }

    /// The first process has something to say.
    fn hear(&mut self) {
        while let Some(booted) = &mut self.booted {
            let Some(channel) = &booted.channel else {
                return;
            };
            match booted.receiver.receive(channel) {
                Ok(frame) => self.note(frame),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                // It is dying; its death is told apart.
                Err(_) => booted.channel = None,
            }
        }
    }

    fn note(&mut self, frame: Frame) {
        match decode(&frame.body) {
            Ok(Report::Ready) => {
                self.ready = true;
                let mut fds = frame.fds.into_iter();
                if let Some(terminal) = fds.next() {
                    let _ = self.console.attach(terminal);
                }
                if let Some(booted) = &mut self.booted {
                    booted.interceptor = fds.next().map(Interceptor::from);
                }
                self.release(Waits::ForStart, &Answer::Done);
            }
            Ok(Report::Failed(why)) => self.failure = Some(why),
            Ok(Report::Pong) => self.pinged = None,
            Ok(Report::Executed { number, outcome }) => {
                self.release(Waits::ForExecution(number), &Answer::Executed(outcome));
            }
            Ok(Report::NotExecuted { number, why }) => {
                self.release(Waits::ForExecution(number), &Answer::Failed(why));
            }
            Err(error) => eprintln!("supervisor: a report: {error}"),
        }
    }

    /// Kills what has had its time.
    fn enforce(&mut self) {
        if self.deadline.is_some_and(|at| at <= Instant::now()) {
            self.deadline = None;
            if let Some(booted) = &self.booted {
                let _ = pidfd_send_signal(&booted.pidfd, Signal::KILL);
            }
        }
    }

    /// The first process is dead, and with it all of the instance. Boots it again where that was
    /// wanted; otherwise says how it ended.
    fn bury(&mut self) -> Option<How> {
        self.hear();
        self.console.detach();
        let booted = self.booted.take()?;
        let status = waitpid(Some(booted.pid), WaitOptions::empty()).ok()??.1;
        let executing = |waits| matches!(waits, Waits::ForExecution(_));
        self.release_all(executing, &Answer::Failed("the instance went down".into()));
        let how = match (self.failure.take(), status.exit_status()) {
            (Some(why), _) => return Some(How::Failed(why)),
            (None, Some(code)) if code == REBOOT => None,
            (None, Some(_)) => Some(How::PoweredOff),
            (None, None) => Some(How::Killed(status.terminating_signal().unwrap_or(0))),
        };
        // One that had to be killed on its way to a reboot is booted all the same.
        if self.stopping || (how.is_some() && !booted.reboot) {
            return Some(how.unwrap_or(How::PoweredOff));
        }
        match self.boot() {
            Ok(()) => None,
            Err(error) => Some(How::Failed(error.to_string())),
        }
    }

    /// Writes down how it ended, then tells.
    fn end(mut self, how: How) -> Result<()> {
        let failure = match &how {
            How::Failed(why) => why.clone(),
            _ => "the instance ended".into(),
        };
        self.console.say(&match &how {
            How::PoweredOff => "supervisor: power is off".to_owned(),
            How::Killed(signal) => format!("supervisor: killed by signal {signal}"),
            How::Failed(why) => format!("supervisor: cannot boot: {why}"),
            How::Unseen => "supervisor: gone".to_owned(),
        });
        let ended = Ended {
            how,
            by_itself: !self.stopping,
            at: self.clock.now(),
        };
        let recorded = write_durably(&self.machine.files.ended(), &encode(&ended)?);
        let removed = self.machine.cgroup.remove();
        self.release(Waits::ForEnd, &Answer::Done);
        self.release_all(|waits| waits != Waits::No, &Answer::Failed(failure));
        recorded.and(removed)
    }

    fn let_wait(&mut self, number: u64, waits: Waits) {
        if let Some(client) = self.clients.iter_mut().find(|c| c.number == number) {
            client.waits = waits;
        }
    }

    fn release(&mut self, waits: Waits, answer: &Answer) {
        self.release_all(|of| of == waits, answer);
    }

    fn release_all(&mut self, which: impl Fn(Waits) -> bool, answer: &Answer) {
        let waiting = self.clients.iter().filter(|c| which(c.waits));
        let numbers: Vec<u64> = waiting.map(|c| c.number).collect();
        for number in numbers {
            self.reply(number, answer);
        }
    }

    fn reply(&mut self, number: u64, answer: &Answer) {
        let Some(at) = self.clients.iter().position(|c| c.number == number) else {
            return;
        };
        let client = &mut self.clients[at];
        client.waits = Waits::No;
        let sent = encode(answer)
            .map(|body| frame::send(&client.stream, &body, &[], PATIENCE))
            .is_ok_and(|sent| sent.is_ok());
        if !sent {
            self.clients.remove(at);
        }
    }
}

fn told(done: Result<()>) -> Answer {
    match done {
        Ok(()) => Answer::Done,
        Err(error) => Answer::Failed(error.to_string()),
    }
}
