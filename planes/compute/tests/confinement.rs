//! What an instance may not do, and how much it may have. Needs root, or user namespaces; says so
//! and passes where the host has neither, and where it sets no limits.

mod common;

use std::time::{Duration, Instant};

use common::{Cloud, SOON, spec};
use gureum_compute::{Outcome, Usage};
use gureum_room::Hierarchy;

/// Each must fail, as root in an instance.
const ESCAPES: [&str; 27] = [
    "mount -t tmpfs none /mnt",
    "mount -o remount,rw /proc/sys",
    "mount --bind /proc /mnt",
    "umount /proc/sys",
    "unshare -U true",
    "unshare -n true",
    "unshare -m true",
    "nsenter -t 1 -m true",
    "nft add table inet mine",
    "ip link add mine type veth",
    "ip link set lo down",
    "hostname evil",
    "dmesg",
    "date -s 2001-01-01",
    "mknod /tmp/disk b 254 0",
    "mknod /dev/mem c 1 1",
    "cat /proc/1/environ",
    "readlink /proc/1/exe",
    "cat /proc/1/exe > /tmp/program",
    "echo x >> /proc/1/exe",
    "head -c 1 /proc/1/mem",
    "ls /proc/1/root/",
    "ls -l /proc/1/fd/",
    "echo b > /proc/sysrq-trigger && grep -q b /proc/sysrq-trigger",
    "echo '|/tmp/x' > /proc/sys/kernel/core_pattern",
    "echo 0 > /proc/sys/net/ipv4/ip_forward",
    "test -n \"$(find /sys -maxdepth 4 -name uevent_helper -writable)\" && echo x > /sys/kernel/uevent_helper",
];

/// System calls by number, which answer EPERM; and tracing the first process.
const CALLS: &str = r#"
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    ctypes.set_errno(0)
    return libc.syscall(*arguments), ctypes.get_errno()
forbidden = dict(pivot_root=155, reboot=169, init_module=175, kexec=246,
                 add_key=248, keyctl=250, unshare_user=272, perf=298, open_by_handle=304, setns=308,
                 bpf=321, userfaultfd=323, io_uring=425)
for name, number in forbidden.items():
    answer = call(number, 0x10000000, 0, 0, 0, 0, 0)
    assert answer == (-1, errno.EPERM), (name, answer)
for name, number in dict(clone3=435, open_tree=428, fsopen=430).items():
    assert call(number, 0, 0)[1] == errno.ENOSYS, name
# These are answered by the supervisor, where there is one who can.
assert call(165, b"proc", b"/mnt", b"proc", 0, 0) == (-1, errno.EPERM), "mount"
assert call(165, b"/usr", b"/mnt", 0, 4096, 0) == (-1, errno.EPERM), "mount --bind"
assert call(166, b"/proc/sys", 0) == (-1, errno.EPERM), "umount"
assert call(166, b"/", 2) == (-1, errno.EPERM), "umount -l /"
for number in (165, 166):
    assert call(number, 0x10000000, 0, 0, 0, 0, 0)[0] == -1, number
assert call(101, 16, 1, 0, 0) == (-1, errno.EPERM), "ptrace attach"
assert call(310, 1, 0, 0, 0, 0, 0)[1] in (errno.EPERM, 0), "process_vm_readv"
print("held")
"#;

#[tokio::test]
async fn an_instance_does_not_get_out() {
    let Some(cloud) = Cloud::open().await else {
        return;
    };
    std::fs::write(cloud.dir.path().join("secret"), "squeamish ossifrage").expect("secret");
    cloud.compute.start(&spec("i-tight")).await.expect("start");
    for escape in ESCAPES {
        let (outcome, text) = cloud.sh("i-tight", escape).await;
        assert_ne!(outcome, Outcome::Exited(0), "{escape} worked: {text}");
        // Forbidden, not absent.
        assert_ne!(outcome, Outcome::Exited(127), "{escape}: {text}");
    }
    if cfg!(target_arch = "x86_64") {
        let calls = format!("/usr/bin/python3 - <<'END'\n{CALLS}\nEND");
        assert_eq!(cloud.out("i-tight", &calls).await, "held");
    }
    let status = cloud.out("i-tight", "cat /proc/self/status").await;
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    assert!(status.contains("Seccomp:\t2"), "{status}");
    // chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, net_raw,
    // sys_chroot, audit_write, setfcap
    assert!(status.contains("CapBnd:\t00000000a00425fb"), "{status}");
    assert!(status.contains("CapEff:\t00000000a00425fb"), "{status}");
    cloud.running("i-tight").await;
    cloud.close().await;
}

#[tokio::test]
async fn an_instance_sees_nothing_of_the_host_or_of_its_neighbour() {
    let Some(cloud) = Cloud::open().await else {
        return;
    };
    cloud.compute.start(&spec("i-here")).await.expect("start");
    cloud.compute.start(&spec("i-there")).await.expect("start");
    cloud
        .out(
            "i-there",
            "sleep 1000 >/dev/null 2>&1 & echo neighbour > /root/note",
        )
        .await;
    let data = cloud.dir.path().display().to_string();
    for told in [
        "cat /proc/mounts /proc/self/mountinfo",
        "cat /proc/*/cmdline | tr '\\0' ' '",
        "env",
    ] {
        let text = cloud.out("i-here", told).await;
        assert!(!text.contains(&data), "{told}: {text}");
        assert!(!text.contains("sleep"), "{told}: {text}");
    }
    let (outcome, _) = cloud.sh("i-here", &format!("ls {data}")).await;
    assert_ne!(outcome, Outcome::Exited(0));
    assert_eq!(
        cloud
            .out("i-here", "ls -A /root /home/ec2-user /srv /mnt")
            .await
            .lines()
            .filter(|l| !l.is_empty() && !l.ends_with(':'))
            .count(),
        0
    );
    // Nothing was open when its first process went its own way.
    let open = cloud.out("i-here", "ls -l /proc/self/fd").await;
    assert_eq!(open.matches("->").count(), 4, "{open}");
    // What is written to /usr is the instance's own.
    cloud.out("i-here", "echo mine > /usr/bin/mine").await;
    assert!(!std::path::Path::new("/usr/bin/mine").exists());
    let (outcome, _) = cloud.sh("i-there", "test -e /usr/bin/mine").await;
    assert_ne!(outcome, Outcome::Exited(0));
    cloud.close().await;
}

#[tokio::test]
async fn what_programs_expect_works() {
    let Some(cloud) = Cloud::open().await else {
        return;
    };
    cloud.compute.start(&spec("i-good")).await.expect("start");
    for line in [
        "echo x > /dev/null && head -c 4 /dev/urandom | wc -c | grep -qx 4",
        "echo hello > /dev/console",
        "echo x > /dev/shm/x && echo x > /tmp/x && echo x > /run/x",
        "/usr/bin/python3 -c 'import ssl, sqlite3, multiprocessing; ssl.create_default_context()'",
        "/usr/bin/python3 -c 'import os; m, s = os.openpty(); os.write(s, b\"x\")'",
        "awk 'BEGIN { exit 0 }'",
        "getent hosts localhost",
        "getent hosts $(hostname)",
        "id ec2-user",
        "chmod 700 /tmp/x && ln -s x /tmp/y && mkfifo /tmp/z",
        "test -d /sys/class/net/lo",
        "kill -0 1",
        "nice true",
        "/usr/bin/perl -e 'exit 0'",
    ] {
        cloud.out("i-good", line).await;
    }
    assert!(cloud.console("i-good").await.contains("hello"));
    // Huge pages are for the instance's programs, not for what watches them.
    let supervisor = cloud.running("i-good").await.supervisor;
    let status = format!("/proc/{supervisor}/status");
    let status = std::fs::read_to_string(status).expect("status");
    assert!(status.contains("THP_enabled:\t0"), "{status}");
    cloud
        .out("i-good", "grep -q 'THP_enabled:.*1' /proc/self/status")
        .await;
    let (outcome, text) = cloud.sh("i-good", "exit 7").await;
    assert_eq!(outcome, Outcome::Exited(7), "{text}");
    let (outcome, _) = cloud.sh("i-good", "kill -TERM $$").await;
    assert_eq!(outcome, Outcome::Killed(15));
    cloud.close().await;
}

/// None where the host sets no limits.
async fn limited() -> Option<Cloud> {
    let cloud = Cloud::open().await?;
    if cloud.room.host().await.expect("host").cgroups.hierarchy == Hierarchy::None {
        println!("SKIPPED: no control groups that we may use");
        cloud.close().await;
        return None;
    }
    Some(cloud)
}

async fn usage(cloud: &Cloud, id: &str) -> Usage {
    let seen = cloud.compute.observe().await.expect("observe");
    let seen = seen.into_iter().find(|seen| seen.id == id);
    seen.expect("seen").usage.expect("usage")
}

#[tokio::test]
async fn processor_time_is_rationed() {
    let Some(cloud) = limited().await else { return };
    let mut small = spec("i-slow");
    small.cpus = 0.1;
    cloud.compute.start(&small).await.expect("start");
    cloud
        .until("i-slow", "grep -q finished /var/log/cloud-init-output.log")
        .await;
    cloud
        .out(
            "i-slow",
            "(while :; do :; done) >/dev/null 2>&1 & (while :; do :; done) >/dev/null 2>&1 &",
        )
        .await;
    let (before, begun) = (usage(&cloud, "i-slow").await, Instant::now());
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (after, took) = (usage(&cloud, "i-slow").await, begun.elapsed());
    let share = (after.cpu - before.cpu) as f64 / took.as_nanos() as f64;
    println!("share: {share:.3}");
    // Generous: what matters is that it is not a whole core, or two.
    assert!(share < 0.15, "{share}");
    assert!(after.throttled > before.throttled);
    cloud.close().await;
}

#[tokio::test]
async fn memory_is_bounded_and_running_out_of_it_spares_the_instance() {
    let Some(cloud) = limited().await else { return };
    let mut small = spec("i-lean");
    small.memory = 64 << 20;
    cloud.compute.start(&small).await.expect("start");
    let (outcome, text) = cloud
        .sh(
            "i-lean",
            "exec /usr/bin/python3 -c 'b = b\"x\" * (256 << 20)'",
        )
        .await;
    assert_eq!(outcome, Outcome::Killed(9), "{text}");
    let used = usage(&cloud, "i-lean").await;
    assert!(used.out_of_memory >= 1, "{used:?}");
    assert!(used.memory <= small.memory, "{used:?}");
    assert_eq!(cloud.out("i-lean", "echo alive").await, "alive");
    cloud.close().await;
}

#[tokio::test]
async fn processes_are_counted() {
    let Some(cloud) = limited().await else { return };
    let mut small = spec("i-few");
    small.pids = 32;
    cloud.compute.start(&small).await.expect("start");
    let bomb = "for n in $(seq 100); do sleep 1000 >/dev/null 2>&1 & done";
    let (_, text) = cloud.sh("i-few", bomb).await;
    assert!(text.contains("fork"), "{text}");
    let used = usage(&cloud, "i-few").await;
    assert!(used.processes <= 32, "{used:?}");
    // Full as it is, it can be stopped, in order.
    cloud.compute.stop("i-few", SOON).await.expect("stop");
    cloud.close().await;
}
