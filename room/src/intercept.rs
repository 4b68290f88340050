//! System calls that another process answers: seccomp's user notifications, seccomp_unotify(2).
//! May touch: this process's seccomp filters, and descriptors that stand for those of others.
#![allow(unsafe_code)]

use std::io::{self, Error};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::Errno;

/// The most calls that one filter can name: its jumps are a byte long.
const MOST: usize = 200;

/// From now on these calls (numbers, as the kernel counts them) of this process, and of all that it
/// starts, wait for whoever holds the [`Interceptor`]. Must come before filters that would forbid
/// installing one, and after privileges by file were given up.
pub fn intercept(calls: &[i64]) -> io::Result<Interceptor> {
    if calls.is_empty() || calls.len() > MOST {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut filter = program(calls);
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // Kernels from 5.19 on can keep signals from interrupting a call that is being answered, which
    // would be made, and answered, twice.
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let unbroken = listener | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    for flags in [unbroken, listener] {
        // SAFETY: the kernel copies the program, which is alive here and as long as it says.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const program,
            )
        };
        if fd >= 0 {
            // SAFETY: the kernel has just made this descriptor for us, close-on-exec.
            return Ok(Interceptor(unsafe { OwnedFd::from_raw_fd(fd as i32) }));
        }
        let error = Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINVAL) {
            return Err(error);
        }
    }
    Err(io::ErrorKind::Unsupported.into())
}

/// `notify` for the calls of the machine's own architecture, `allow` for everything else.
fn program(calls: &[i64]) -> Vec<libc::sock_filter> {
    let load = |offset: usize| {
        instruction(
            libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
            0,
            0,
            offset as u32,
        )
    };
    let equal = |value: u32, then: usize, otherwise: usize| {
        instruction(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            then as u8,
            otherwise as u8,
            value,
        )
    };
    let verdict = |value: u32| instruction(libc::BPF_RET | libc::BPF_K, 0, 0, value);
    let mut program = vec![
        load(std::mem::offset_of!(libc::seccomp_data, arch)),
        equal(ARCHITECTURE, 0, calls.len() + 1),
        load(std::mem::offset_of!(libc::seccomp_data, nr)),
    ];
    for (index, call) in calls.iter().enumerate() {
        program.push(equal(*call as u32, calls.len() - index, 0));
    }
    program.extend([
        verdict(libc::SECCOMP_RET_ALLOW),
        verdict(libc::SECCOMP_RET_USER_NOTIF),
    ]);
    program
}

fn instruction(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}

/// As audit(7) names it: the ELF machine, 64 bits, little-endian.
const ARCHITECTURE: u32 = 0xc000_0000
    | if cfg!(target_arch = "aarch64") {
        183
    } else {
        62
    };

/// Where intercepted calls arrive. Becomes readable with each.
#[derive(Debug)]
pub struct Interceptor(OwnedFd);

/// A call that waits for its answer.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    id: u64,
    /// Who called, as our own process id namespace counts.
    pub pid: i32,
    pub number: i64,
    pub arguments: [u64; 6],
}

impl Interceptor {
    /// Takes the next call; an error when whoever called does not wait any more.
    pub fn receive(&self) -> io::Result<Call> {
        // SAFETY: all zeroes is a value of this plain C struct, and what the kernel asks for.
        let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        self.control(RECEIVE, &raw mut call)?;
        Ok(Call {
            id: call.id,
            pid: call.pid as i32,
            number: call.data.nr.into(),
            arguments: call.data.args,
        })
    }

    /// Whether the caller still waits: what was opened by its process id before this was its own.
    pub fn waits(&self, call: &Call) -> bool {
        let mut id = call.id;
        self.control(VALID, &raw mut id).is_ok()
    }

    /// Lets the caller go on, as if its call had returned 0 or failed so.
    pub fn answer(&self, call: &Call, answer: Result<(), Errno>) -> io::Result<()> {
        let mut response = libc::seccomp_notif_resp {
            id: call.id,
            val: 0,
            error: answer.err().map_or(0, |errno| -errno.raw_os_error()),
            flags: 0,
        };
        self.control(SEND, &raw mut response)
    }

    fn control<T>(&self, request: u64, argument: *mut T) -> io::Result<()> {
        // SAFETY: each request of seccomp(2)'s listeners is made with a live value of the structure
        // that it reads or fills, by this module only.
        match unsafe { libc::ioctl(self.0.as_raw_fd(), request as _, argument) } {
            0 => Ok(()),
            _ => Err(Error::last_os_error()),
        }
    }
}

/// `SECCOMP_IOCTL_NOTIF_*` of linux/seccomp.h: `_IOWR('!', number, struct)` and `_IOW`.
const fn ioctl(direction: u64, number: u64, size: usize) -> u64 {
    direction << 30 | (size as u64) << 16 | (b'!' as u64) << 8 | number
}
const RECEIVE: u64 = ioctl(3, 0, size_of::<libc::seccomp_notif>());
const SEND: u64 = ioctl(3, 1, size_of::<libc::seccomp_notif_resp>());
const VALID: u64 = ioctl(1, 2, size_of::<u64>());

impl AsFd for Interceptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Interceptor {
    fn from(fd: OwnedFd) -> Interceptor {
        Interceptor(fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_kernels_headers() {
        assert_eq!(
            (RECEIVE, SEND, VALID),
            (0xc050_2100, 0xc018_2101, 0x4008_2102)
        );
    }

    #[test]
    fn a_filter_jumps_to_its_verdicts() {
        let program = program(&[165, 166]);
        let target = |index: usize, jump: u8| program[index + 1 + usize::from(jump)].k;
        assert_eq!(target(1, program[1].jf), libc::SECCOMP_RET_ALLOW);
        assert_eq!(target(3, program[3].jt), libc::SECCOMP_RET_USER_NOTIF);
        assert_eq!(target(4, program[4].jt), libc::SECCOMP_RET_USER_NOTIF);
        assert_eq!(target(4, program[4].jf), libc::SECCOMP_RET_ALLOW);
    }
}
