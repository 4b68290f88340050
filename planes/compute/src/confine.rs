//! What the first process gives up before anything of the user's runs; all that it starts is without
//! it too. May touch: this process's own privileges.

use std::collections::BTreeMap;

use gureum_room::intercept::{Interceptor, intercept};
use gureum_room::{Doing, Error, Privilege, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

use crate::mounts;
use crate::syscalls::ALLOWED;

/// What root of an instance may still do (capabilities(7)): what a server's root does to its own
/// files and processes, and nothing to the kernel.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::AUDIT_WRITE)
    .union(CapabilitySet::SETFCAP);

/// Descriptors per process.
const DESCRIPTORS: u64 = 65_536;

/// Bounds what control groups do not.
pub(crate) fn limits() -> std::io::Result<()> {
    let bound = |resource, soft: u64, hard: u64| {
        // Raising needs a right that even the host's root may lack.
        let most = getrlimit(resource).maximum.unwrap_or(u64::MAX);
        setrlimit(
            resource,
            Rlimit {
                current: Some(soft.min(most)),
                maximum: Some(hard.min(most)),
            },
        )
    };
    bound(Resource::Nofile, DESCRIPTORS, DESCRIPTORS)?;
    bound(Resource::Core, 0, u64::MAX)?;
    bound(Resource::Memlock, 8 << 20, 8 << 20)?;
    bound(Resource::Rtprio, 0, 0)?;
    bound(Resource::Nice, 0, 0)?;
    bound(Resource::Sigpending, 4096, 4096)?;
    bound(Resource::Msgqueue, 819_200, 819_200)?;
    Ok(())
}

/// Gives up capabilities and system calls, for good. What is left of mounting waits for whoever has
/// the interceptor: there is none where volumes cannot be mounted.
pub(crate) fn give_up(privilege: Privilege) -> Result<Option<Interceptor>> {
    let doing = "give up capabilities";
    clear_ambient_capability_set().doing(doing)?;
    for bit in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << bit);
        if KEPT.contains(one) {
            continue;
        }
        match remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // The kernel knows no more of them.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return Err(error).doing(doing),
        }
    }
    let sets = CapabilitySets {
        effective: KEPT,
        permitted: KEPT,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).doing(doing)?;
    set_no_new_privs(true).doing("give up privileges by file")?;
    let interceptor = match privilege {
        // A kernel that cannot do it forbids mounting, as ever.
        Privilege::Root => intercept(&mounts::CALLS).ok(),
        Privilege::Rootless { .. } => None,
    };
    let asked: &[i64] = match interceptor {
        Some(_) => &mounts::CALLS,
        None => &[],
    };
    for filter in filters(asked).map_err(|e| Error::failed(format_args!("seccomp: {e}")))? {
        apply_filter(&filter).map_err(|e| Error::failed(format_args!("seccomp: {e}")))?;
    }
    Ok(interceptor)
}

/// Two filters, of which the stricter verdict holds: what is not on the list is forbidden; and
/// `clone3`, whose flags no filter can see, does not exist, upon which libc takes `clone`, like the
/// newer ways to mount, instead of which programs take those that are `asked` for.
fn filters(asked: &[i64]) -> Result<[BpfProgram; 2], seccompiler::BackendError> {
    let arch = std::env::consts::ARCH.try_into()?;
    let errno = |number: i32| SeccompAction::Errno(number.unsigned_abs());
    let without_condition = ALLOWED.iter().chain(asked);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = without_condition
        .map(|number| (*number, Vec::new()))
        .collect();
    rules.insert(libc::SYS_clone, vec![no_namespaces()?]);
    rules.insert(libc::SYS_unshare, vec![no_namespaces()?]);
    rules.insert(
        libc::SYS_personality,
        vec![persona(0)?, persona(0xffff_ffff)?],
    );
    rules.insert(libc::SYS_socket, sockets()?);
    rules.insert(libc::SYS_ioctl, vec![harmless_ioctls()?]);
    let allow = SeccompFilter::new(rules, errno(libc::EPERM), SeccompAction::Allow, arch)?;
    let absent = [libc::SYS_clone3, libc::SYS_fsopen, libc::SYS_open_tree];
    let absent = absent.map(|number| (number, Vec::new())).into_iter();
    let absent = absent.collect();
    let absent = SeccompFilter::new(absent, SeccompAction::Allow, errno(libc::ENOSYS), arch)?;
    Ok([allow.try_into()?, absent.try_into()?])
}

type Built<T> = Result<T, seccompiler::BackendError>;

/// All flags that make a namespace are off. The first argument, on the machines we know.
fn no_namespaces() -> Built<SeccompRule> {
    let kinds = libc::CLONE_NEWUSER
        | libc::CLONE_NEWNS
        | libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWCGROUP;
    let mask = u64::from(kinds.cast_unsigned());
    rule(0, SeccompCmpOp::MaskedEq(mask), 0)
}

fn persona(value: u64) -> Built<SeccompRule> {
    rule(0, SeccompCmpOp::Eq, value)
}

/// Local, internet and routing sockets (to look, not to change); packet sockets need a capability.
fn sockets() -> Built<Vec<SeccompRule>> {
    [
        libc::AF_UNIX,
        libc::AF_INET,
        libc::AF_INET6,
        libc::AF_NETLINK,
        libc::AF_PACKET,
    ]
    .map(|family| rule(0, SeccompCmpOp::Eq, u64::from(family.unsigned_abs())))
    .into_iter()
    .collect()
}

/// From `LOOP_SET_FD` to `LOOP_CONFIGURE` (linux/loop.h): who has a loop device is not to say what
/// it stands for.
const LOOP: std::ops::RangeInclusive<u64> = 0x4c00..=0x4c0a;

/// Anything but typing into a terminal in somebody else's name, and changing loop devices.
fn harmless_ioctls() -> Built<SeccompRule> {
    let refused = LOOP.chain([libc::TIOCSTI]);
    let length = SeccompCmpArgLen::Dword;
    let others = refused.map(|it| SeccompCondition::new(1, length.clone(), SeccompCmpOp::Ne, it));
    SeccompRule::new(others.collect::<Built<_>>()?)
}

fn rule(argument: u8, is: SeccompCmpOp, value: u64) -> Built<SeccompRule> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, is, value)?;
    SeccompRule::new(vec![condition])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_compile_and_fit() {
        for filter in filters(&mounts::CALLS).expect("filters") {
            // BPF_MAXINSNS
            assert!(filter.len() <= 4096, "{}", filter.len());
        }
    }

    #[test]
    fn no_call_that_leads_out_is_on_the_list() {
        for number in [
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_pivot_root,
            libc::SYS_setns,
            libc::SYS_bpf,
            libc::SYS_perf_event_open,
            libc::SYS_keyctl,
            libc::SYS_add_key,
            libc::SYS_request_key,
            libc::SYS_kexec_load,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_delete_module,
            libc::SYS_reboot,
            libc::SYS_swapon,
            libc::SYS_open_by_handle_at,
            libc::SYS_userfaultfd,
            libc::SYS_fsopen,
            libc::SYS_fsmount,
            libc::SYS_move_mount,
            libc::SYS_open_tree,
            libc::SYS_mount_setattr,
            libc::SYS_settimeofday,
            libc::SYS_clock_settime,
            libc::SYS_clone3,
            libc::SYS_io_uring_setup,
            libc::SYS_acct,
            libc::SYS_quotactl,
            libc::SYS_syslog,
        ] {
            assert!(!ALLOWED.contains(&number), "{number}");
        }
    }
}
