//! Booting: the supervisor copies itself into a new process id namespace, and the copy makes itself
//! an instance. May touch: the copy's namespaces, mounts and privileges.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use gureum_room::frame::{self, Receiver};
use gureum_room::intercept::Interceptor;
use gureum_room::process::{Forked, fork_first, unshare};
use gureum_room::{Doing, Error, Result, encode};
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Signal, pidfd_open, set_dumpable_behavior,
    set_parent_process_death_signal,
};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::messages::Report;
use crate::supervisor::Machine;
use crate::{confine, init, root};

const PATIENCE: Duration = Duration::from_secs(5);

/// A first process, as its supervisor holds it.
pub(crate) struct Booted {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) channel: Option<UnixStream>,
    pub(crate) receiver: Receiver,
    /// Where calls arrive that the supervisor answers.
    pub(crate) interceptor: Option<Interceptor>,
    pub(crate) boot_id: String,
    /// Boot again when it ends, however it ends.
    pub(crate) reboot: bool,
}

/// What the copy needs to go on.
pub(crate) struct Birth {
    channel: UnixStream,
    boot_id: String,
}

/// Both sides of the copying.
pub(crate) enum Side {
    Supervisor(Booted),
    Instance(Birth),
}

/// Makes the copy. It goes on in [`first_process`].
pub(crate) fn boot() -> Result<Side> {
    let doing = "start the first process";
    let boot_id = uuid()?;
    let (ours, theirs) = UnixStream::pair().doing(doing)?;
    match fork_first().doing(doing)? {
        Forked::Child => Ok(Side::Instance(Birth {
            channel: theirs,
            boot_id,
        })),
        Forked::Parent(pid) => {
            ours.set_nonblocking(true).doing(doing)?;
            Ok(Side::Supervisor(Booted {
                pid,
                pidfd: pidfd_open(pid, PidfdFlags::empty()).doing(doing)?,
                channel: Some(ours),
                receiver: Receiver::default(),
                interceptor: None,
                boot_id,
                reboot: false,
            }))
        }
    }
}

/// The rest of the copy's life.
pub(crate) fn first_process(machine: &Machine, birth: Birth) -> ! {
    let Birth { channel, boot_id } = birth;
    let ready = build(machine, &boot_id).and_then(|(console, interceptor)| {
        let mut fds = vec![console.as_fd()];
        fds.extend(interceptor.as_ref().map(Interceptor::as_fd));
        tell(&channel, &Report::Ready, &fds)
    });
    match ready {
        Ok(()) => init::run(&machine.spec, channel),
        Err(error) => {
            // Should this not get through, the exit code will.
            let _ = tell(&channel, &Report::Failed(error.to_string()), &[]);
            std::process::exit(1);
        }
    }
}

fn tell(channel: &UnixStream, report: &Report, fds: &[BorrowedFd<'_>]) -> Result<()> {
    let body = encode(report)?;
    frame::send(channel, &body, fds, PATIENCE).doing("report to the supervisor")
}

/// Becomes an instance: its cgroup, its namespaces, its root, and no way back. Returns the
/// supervisor's end of the console, and what it answers calls by.
fn build(machine: &Machine, boot_id: &str) -> Result<(OwnedFd, Option<Interceptor>)> {
    let spec = &machine.spec;
    // Whoever kills the supervisor kills the instance: nothing runs that nobody watches.
    set_parent_process_death_signal(Some(Signal::KILL)).doing("tie to the supervisor")?;
    machine.cgroup.enter()?;
    let netns = machine.room.join("netns").join(&spec.netns);
    let netns = File::open(netns).doing("open the instance's network namespace")?;
    move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))
        .doing("enter the instance's network namespace")?;
    let kinds =
        UnshareFlags::NEWNS | UnshareFlags::NEWUTS | UnshareFlags::NEWIPC | UnshareFlags::NEWCGROUP;
    unshare(kinds).doing("make the instance's namespaces")?;
    rustix::system::sethostname(spec.hostname.as_bytes()).doing("set the host name")?;
    let console = root::enter(machine, boot_id)?;
    confine::limits().doing("set resource limits")?;
    // Nobody in the instance may look into this process or follow its links: to the host's program
    // above all.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).doing("hide the first process")?;
    let interceptor = confine::give_up(machine.privilege)?;
    Ok((console, interceptor))
}

/// A random UUID (RFC 9562, version 4).
fn uuid() -> Result<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|e| Error::failed(format_args!("no randomness: {e}")))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    Ok(parts.join("-"))
}
