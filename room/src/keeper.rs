//! The keeper: one thread, inside the room, doing what it is asked in order. It may be killed at
//! any moment; the room stays, and the next keeper joins it.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::process::WaitOptions;

use crate::frame::{self, Frame, Receiver};
use crate::protocol::{self, Greeting, Hello, PROTOCOL};
use crate::{Doing, Duty, Error, Inside, Reply, Result, namespaces, process, resident};

pub(crate) const SOCKET: &str = "keeper.sock";
/// What the keeper says on its standard output, once, when it serves; anything else is an error.
pub(crate) const READY: &str = "ready";
const LOG: &str = "keeper.log";
/// A log longer than this is begun anew.
const LONGEST_LOG: u64 = 1 << 20;
/// How long a client may take to read its answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often children are collected when nobody asks for anything.
const TIDY: Duration = Duration::from_secs(30);

/// The whole life of a keeper process. Must be called first of all: before any thread exists, and
/// before any descriptor is opened. Standard output is read by whoever started it.
///
/// The duties are made before the room is entered, so that they can take hold of the host's side.
pub fn keeper_main(dir: &Path, duties: impl FnOnce() -> Vec<Box<dyn Duty>>) -> ExitCode {
    process::close_inherited();
    stay_small();
    let duties = duties();
    let opened = open(dir);
    let mut stdout = std::io::stdout();
    let _ = match &opened {
        Ok(_) => writeln!(stdout, "{READY}"),
        Err(error) => writeln!(stdout, "{error}"),
    };
    match opened {
        Ok(Some((room, listener, _lock))) => {
            silence();
            Keeper {
                room,
                duties,
                clients: Vec::new(),
            }
            .serve(&listener)
        }
        Ok(None) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// The processes of the room are many, and need some hundred KiB each: a huge page, which the allocator
/// asks for, would cost each of them 2 MiB. Whatever is launched from here inherits this.
fn stay_small() {
    // A kernel without huge pages has nothing to switch off.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Enters the room and listens; nothing when another keeper does already.
fn open(dir: &Path) -> Result<Option<(Inside, UnixListener, File)>> {
    namespaces::prepare(dir)?;
    let dir = dir.canonicalize().doing("find the room's directory")?;
    let Some(lock) = lock(&dir)? else {
        return Ok(None);
    };
    let _ = rustix::process::setsid();
    log_to(&dir.join(LOG))?;
    let outside = Inside::here()?;
    namespaces::enter(&dir)?;
    let room = Inside::new(dir.clone(), outside)?;
    let listener = resident::bind(&dir, SOCKET)?;
    Ok(Some((room, listener, lock)))
}

/// One keeper at a time: the next one waits while the last one ends.
fn lock(dir: &Path) -> Result<Option<File>> {
    let doing = "lock the room";
    let mut options = File::options();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(dir.join("keeper.lock")).doing(doing)?;
    for _ in 0..200 {
        // Of this process alone: a copy that `fork` makes does not hold it.
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(file)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {}
            Err(error) => return Err(error).doing(doing),
        }
        if resident::connect_at(dir, SOCKET).is_ok() {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(Error::Open("another keeper neither serves nor ends".into()))
}

fn log_to(path: &Path) -> Result<()> {
    let doing = "open the keeper's log";
    let long = path.metadata().is_ok_and(|file| file.len() > LONGEST_LOG);
    let mut options = File::options();
    options.create(true).mode(0o600);
    let options = match long {
        true => options.write(true).truncate(true),
        false => options.append(true),
    };
    let log = options.open(path).doing(doing)?;
    rustix::stdio::dup2_stderr(&log).doing(doing)
}

/// The reader of our standard output has heard what it waits for.
fn silence() {
    if let Ok(nothing) = File::options().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&nothing);
    }
}

struct Keeper {
    room: Inside,
    duties: Vec<Box<dyn Duty>>,
    clients: Vec<Client>,
}

struct Client {
    stream: UnixStream,
    receiver: Receiver,
    greeted: bool,
}

enum Next {
    GoOn,
    /// This client is done with.
    Drop,
    /// The keeper is.
    End,
}

impl Keeper {
    fn serve(mut self, listener: &UnixListener) -> ExitCode {
        loop {
            let ready = match self.wait(listener) {
                Ok(ready) => ready,
                Err(error) => {
                    eprintln!("keeper: {error}");
                    return ExitCode::FAILURE;
                }
            };
            // From the back, so that one who leaves does not move those before.
            for at in ready.into_iter().rev() {
                match self.attend(at) {
                    Next::GoOn => {}
                    Next::Drop => drop(self.clients.remove(at)),
                    Next::End => return ExitCode::SUCCESS,
                }
            }
            // What we launched may have ended.
            while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        }
    }

    /// Waits until somebody wants something; says which clients do, and lets new ones in.
    fn wait(&mut self, listener: &UnixListener) -> Result<Vec<usize>> {
        let mut fds = vec![PollFd::new(listener, PollFlags::IN)];
        fds.extend(
            self.clients
                .iter()
                .map(|c| PollFd::new(&c.stream, PollFlags::IN)),
        );
        match poll(&mut fds, Some(&frame::timespec(TIDY))) {
            Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            polled => polled.doing("wait for requests")?,
        };
        let mut ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready.remove(0) {
            self.admit(listener);
        }
        let wanted = ready.iter().enumerate().filter(|(_, ready)| **ready);
        Ok(wanted.map(|(at, _)| at).collect())
    }

    fn admit(&mut self, listener: &UnixListener) {
        let Ok((stream, _)) = listener.accept() else {
            return;
        };
        if resident::peer(&stream).is_ok() && stream.set_nonblocking(true).is_ok() {
            self.clients.push(Client {
                stream,
                receiver: Receiver::default(),
                greeted: false,
            });
        }
    }

    fn attend(&mut self, at: usize) -> Next {
        let client = &mut self.clients[at];
        let frame = match client.receiver.receive(&client.stream) {
            Ok(frame) => frame,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Next::GoOn,
            Err(_) => return Next::Drop,
        };
        match client.greeted {
            false => self.greet(at, &frame),
            true => self.answer(at, &frame),
        }
    }

    fn greet(&mut self, at: usize, frame: &Frame) -> Next {
        let Ok(greeting) = serde_json::from_slice::<Greeting>(&frame.body) else {
            return Next::Drop;
        };
        if greeting.step_down {
            return Next::End;
        }
        let Ok(program) = std::fs::metadata("/proc/self/exe") else {
            return Next::Drop;
        };
        let hello = Hello {
            protocol: PROTOCOL,
            pid: rustix::process::getpid().as_raw_pid(),
            program: program.into(),
            host: Some(self.room.host().clone()),
        };
        let Ok(body) = serde_json::to_vec(&hello) else {
            return Next::Drop;
        };
        self.clients[at].greeted = true;
        self.send(at, Reply { body, fds: vec![] })
    }

    fn answer(&mut self, at: usize, frame: &Frame) -> Next {
        let Some((duty, request)) = protocol::parse_call(&frame.body) else {
            return Next::Drop;
        };
        if (duty, request) == (protocol::ROOM, protocol::CLOSE) {
            return self.close(at);
        }
        let outcome = self.perform(duty, request);
        self.reply(at, outcome)
    }

    fn perform(&mut self, name: &str, request: &[u8]) -> Result<Reply> {
        if (name, request) == (protocol::ROOM, protocol::LOOK) {
            return Ok(Reply::default());
        }
        let duty = self.duties.iter_mut().find(|duty| duty.name() == name);
        let duty = duty.ok_or_else(|| Error::Failed(format!("the keeper has no duty {name:?}")))?;
        duty.perform(request, &self.room)
    }

    fn reply(&mut self, at: usize, outcome: Result<Reply>) -> Next {
        let (outcome, fds) = match outcome {
            Ok(reply) => (Ok(reply.body), reply.fds),
            Err(error) => (Err(error.to_string()), Vec::new()),
        };
        let body = protocol::answer(outcome);
        self.send(at, Reply { body, fds })
    }

    fn send(&mut self, at: usize, reply: Reply) -> Next {
        let fds: Vec<_> = reply.fds.iter().map(AsFd::as_fd).collect();
        match frame::send(&self.clients[at].stream, &reply.body, &fds, PATIENCE) {
            Ok(()) => Next::GoOn,
            Err(_) => Next::Drop,
        }
    }

    /// Ends everything in the room. The namespaces go with their last process: this one.
    fn close(&mut self, at: usize) -> Next {
        let mut outcome = Ok(Reply::default());
        for duty in self.duties.iter_mut().rev() {
            if let Err(error) = duty.close(&self.room) {
                outcome = Err(Error::Failed(format!("{}: {error}", duty.name())));
            }
        }
        for name in resident::names(self.room.dir()).unwrap_or_default() {
            if let Err(error) = resident::kill(self.room.dir(), &name) {
                outcome = Err(error);
            }
        }
        let _ = std::fs::remove_file(self.room.dir().join(SOCKET));
        let _ = self.reply(at, outcome);
        Next::End
    }
}
