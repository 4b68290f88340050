//! The root file system of an instance, as its first process builds it: the image and the host's
//! `/usr` read-only below, the instance's disk above, kernel file systems of its own, and no way
//! back to the host's files. May touch: mounts of this process's own namespace, the instance's disk.

use std::ffi::CString;
use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use gureum_room::{Doing, Error, Privilege, Result};
use rustix::fs::{Dev, FileType, Mode, OFlags, StatVfsMountFlags, makedev, mknodat, statvfs};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change,
    mount_remount, unmount,
};
use rustix::process::pivot_root;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::library;
use crate::spec::{Device, RootDisk, Spec};
use crate::supervisor::Machine;

const NODEV: MountFlags = MountFlags::NODEV;

/// What of `/proc` would tell of the host, or let an instance change it. As container runtimes do.
const HIDDEN: [&str; 10] = [
    "proc/acpi",
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/scsi",
    "proc/timer_list",
    "proc/timer_stats",
    "proc/sysrq-trigger",
    "sys/firmware",
];
const UNCHANGEABLE: [&str; 4] = ["proc/bus", "proc/fs", "proc/irq", "proc/sys"];

/// Device nodes that every program may expect, with their numbers.
const NODES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Builds the root and moves this process into it. Standard input, output and error are the
/// console's; returns the other end of it.
pub(crate) fn enter(machine: &Machine, boot_id: &str) -> Result<OwnedFd> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).doing("set the instance's mounts apart")?;
    let root = machine.files.root();
    let authorities = trusted(&machine.spec)?;
    lay(machine, &root)?;
    kernel(&root)?;
    devices(&root, machine.privilege)?;
    disks(&root, &machine.spec.devices)?;
    boot_identity(&root, boot_id)?;
    let console = console(&root)?;
    for path in HIDDEN {
        hide(&root, path)?;
    }
    for path in UNCHANGEABLE {
        seal(&root.join(path))?;
    }
    // Last, on top of what was just sealed.
    identify(&root)?;
    pivot(&root)?;
    settle(&machine.spec, authorities.as_deref())?;
    Ok(console)
}

/// Image and disk, one over the other.
fn lay(machine: &Machine, root: &Path) -> Result<()> {
    let disk = match &machine.spec.root_disk {
        RootDisk::Directory => machine.files.disk(),
        RootDisk::Mounted(directory) => directory.clone(),
    };
    let layers = library::layers(&machine.layout, &machine.spec.image)?;
    make(root)?;
    let userxattr = machine.privilege != Privilege::Root;
    overlay(&layers.root, &disk.join("root"), root, userxattr)?;
    match &layers.usr {
        Some(usr) => overlay(usr, &disk.join("usr"), &root.join("usr"), userxattr),
        None => Ok(()),
    }
}

/// Mounts an overlay. Its layers are named by descriptors, because a path may hold the characters
/// that separate options, and would be read in the instance's list of mounts.
fn overlay(lower: &[PathBuf], upper: &Path, at: &Path, userxattr: bool) -> Result<()> {
    let doing = || format!("lay {} over {lower:?}", upper.display());
    let (over, work) = (upper.join("upper"), upper.join("work"));
    make(&over)?;
    make(&work)?;
    let mut open = Vec::new();
    let mut name = |path: &Path| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty())?;
        let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
        open.push(fd);
        Ok::<_, rustix::io::Errno>(name)
    };
    let lower: Result<Vec<String>, _> = lower.iter().map(|path| name(path)).collect();
    let mut options = format!(
        "lowerdir={},upperdir={},workdir={}",
        lower.doing(doing())?.join(":"),
        name(&over).doing(doing())?,
        name(&work).doing(doing())?
    );
    if userxattr {
        options.push_str(",userxattr");
    }
    mount_with("overlay", at, NODEV, &options).doing(doing())
}

fn mount_with(kind: &str, at: &Path, flags: MountFlags, options: &str) -> std::io::Result<()> {
    let options = CString::new(options)?;
    Ok(mount(kind, at, kind, flags, Some(options.as_c_str()))?)
}

/// Kernel file systems, and those in memory.
fn kernel(root: &Path) -> Result<()> {
    let safe = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let system: [(&str, &str, MountFlags, &str); 4] = [
        ("proc", "proc", safe, ""),
        ("sysfs", "sys", safe | MountFlags::RDONLY, ""),
        (
            "tmpfs",
            "run",
            MountFlags::NOSUID | MountFlags::NODEV,
            "mode=755",
        ),
        ("tmpfs", "dev", MountFlags::NOSUID, "mode=755,size=64k"),
    ];
    for (kind, at, flags, options) in system {
        mount_with(kind, &root.join(at), flags, options)
            .doing(format_args!("mount {kind} at /{at}"))?;
    }
    let dev = root.join("dev");
    for directory in ["pts", "shm", "mqueue"] {
        make(&dev.join(directory))?;
    }
    let unexecutable = MountFlags::NOSUID | MountFlags::NOEXEC;
    // A user namespace of one id has no group for terminals.
    let terminals = "newinstance,ptmxmode=0666,mode=0620";
    mount_with(
        "devpts",
        &dev.join("pts"),
        unexecutable,
        &format!("{terminals},gid=5"),
    )
    .or_else(|_| mount_with("devpts", &dev.join("pts"), unexecutable, terminals))
    .doing("mount /dev/pts")?;
    mount_with("tmpfs", &dev.join("shm"), safe, "mode=1777").doing("mount /dev/shm")?;
    // Not every kernel has it.
    let _ = mount_with("mqueue", &dev.join("mqueue"), safe, "");
    Ok(())
}

fn devices(root: &Path, privilege: Privilege) -> Result<()> {
    let dev = root.join("dev");
    for (name, major, minor) in NODES {
        let doing = format!("make /dev/{name}");
        let at = dev.join(name);
        match privilege {
            Privilege::Root => {
                let mode = Mode::from_raw_mode(0o666);
                let number: Dev = makedev(major, minor);
                mknodat(
                    rustix::fs::CWD,
                    &at,
                    FileType::CharacterDevice,
                    mode,
                    number,
                )
                .doing(&doing)?;
                fs::set_permissions(&at, Permissions::from_mode(0o666)).doing(doing)?;
            }
            // Only the host's root makes nodes; the host's are as good.
            Privilege::Rootless { .. } => {
                File::create(&at).doing(&doing)?;
                mount_bind(Path::new("/dev").join(name), &at).doing(doing)?;
            }
        }
    }
    for (name, target) in LINKS {
        symlink(target, dev.join(name)).doing(format_args!("make /dev/{name}"))?;
    }
    Ok(())
}

/// The nodes of its block devices.
fn disks(root: &Path, devices: &[Device]) -> Result<()> {
    for device in devices {
        crate::devices::check(&device.name)?;
        let at = root.join("dev").join(&device.name);
        let mode = Mode::from_raw_mode(0o660);
        let number = makedev(device.major, device.minor);
        mknodat(rustix::fs::CWD, &at, FileType::BlockDevice, mode, number)
            .doing(format_args!("make /dev/{}", device.name))?;
    }
    Ok(())
}

const BOOT_ID: &str = "dev/.boot_id";

/// Writes down what will stand for the kernel's boot id.
fn boot_identity(root: &Path, boot_id: &str) -> Result<()> {
    let file = root.join(BOOT_ID);
    fs::write(&file, format!("{boot_id}\n")).doing("write the boot id")?;
    fs::set_permissions(&file, Permissions::from_mode(0o444)).doing("write the boot id")
}

fn identify(root: &Path) -> Result<()> {
    let doing = "set the boot id";
    let file = root.join(BOOT_ID);
    let at = root.join("proc/sys/kernel/random/boot_id");
    mount_bind(&file, &at).doing(doing)?;
    remount_read_only(&at).doing(doing)?;
    // It lives on below the mount, under no name that could be written to.
    fs::remove_file(&file).doing(doing)
}

/// A terminal whose one end is `/dev/console` and this process's standard streams.
fn console(root: &Path) -> Result<OwnedFd> {
    let doing = "open the console";
    let ptmx = root.join("dev/pts/ptmx");
    let ours = rustix::fs::open(
        &ptmx,
        OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .doing(doing)?;
    grantpt(&ours).doing(doing)?;
    unlockpt(&ours).doing(doing)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let theirs = ioctl_tiocgptpeer(&ours, flags).doing(doing)?;
    let mut settings = tcgetattr(&theirs).doing(doing)?;
    settings.make_raw();
    tcsetattr(&theirs, OptionalActions::Now, &settings).doing(doing)?;
    let at = root.join("dev/console");
    File::create(&at).doing(doing)?;
    // The first terminal of a new instance of devpts.
    mount_bind(root.join("dev/pts/0"), &at).doing(doing)?;
    rustix::stdio::dup2_stdin(theirs.as_fd()).doing(doing)?;
    rustix::stdio::dup2_stdout(theirs.as_fd()).doing(doing)?;
    rustix::stdio::dup2_stderr(theirs.as_fd()).doing(doing)?;
    Ok(ours)
}

/// Puts nothing in a path's place.
fn hide(root: &Path, path: &str) -> Result<()> {
    let at = root.join(path);
    let doing = format!("hide /{path}");
    match fs::metadata(&at) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).doing(doing),
        Ok(file) if file.is_dir() => {
            mount_with("tmpfs", &at, MountFlags::RDONLY | NODEV, "size=0,mode=555").doing(doing)
        }
        Ok(_) => mount_bind(root.join("dev/null"), &at).doing(doing),
    }
}

/// Makes a directory, with all below it on the same file system, read-only.
fn seal(at: &Path) -> Result<()> {
    let doing = format!("seal {}", at.display());
    match mount_bind(at, at) {
        Err(rustix::io::Errno::NOENT) => return Ok(()),
        bound => bound.doing(&doing)?,
    }
    remount_read_only(at).doing(doing)
}

fn remount_read_only(at: &Path) -> std::io::Result<()> {
    let mut flags = MountFlags::BIND | MountFlags::RDONLY;
    // In a user namespace what is forbidden must stay forbidden.
    let now = statvfs(at)?.f_flag;
    for (is, stays) in [
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
    ] {
        if now.contains(is) {
            flags |= stays;
        }
    }
    Ok(mount_remount(at, flags, "")?)
}

/// Makes the new root the root, and lets go of the old one.
fn pivot(root: &Path) -> Result<()> {
    let doing = "enter the new root";
    rustix::process::chdir(root).doing(doing)?;
    pivot_root(".", ".").doing(doing)?;
    // The old root now lies over the new one.
    unmount(".", UnmountFlags::DETACH).doing(doing)?;
    rustix::process::chdir("/").doing(doing)
}

/// The certificates that the instance shall trust, while their file can still be seen.
fn trusted(spec: &Spec) -> Result<Option<Vec<u8>>> {
    let read = |path: &PathBuf| {
        fs::read(path).doing(format_args!("read the certificates of {}", path.display()))
    };
    spec.ca_bundle.as_ref().map(read).transpose()
}

/// What differs from instance to instance, from within.
fn settle(spec: &Spec, authorities: Option<&[u8]>) -> Result<()> {
    for directory in ["/run/lock", "/run/sshd", "/run/user"] {
        make(Path::new(directory))?;
    }
    fs::set_permissions("/tmp", Permissions::from_mode(0o1777)).doing("open /tmp")?;
    write("/etc/resolv.conf", &resolv_conf(spec))?;
    if !Path::new("/etc/hostname").exists() {
        write("/etc/hostname", &format!("{}\n", spec.hostname))?;
        write("/etc/hosts", &hosts(spec))?;
    }
    if let Some(pem) = authorities {
        trust(pem)?;
    }
    write("/etc/environment", &environment(spec))
}

/// Where distributions keep all trusted certificates in one file.
const BUNDLES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
];

/// Variables that tell programs with certificates of their own to trust the distribution's.
const TRUSTING: [&str; 4] = [
    "AWS_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
];

fn bundle() -> &'static str {
    let there = BUNDLES.iter().find(|path| Path::new(path).exists());
    there.unwrap_or(&BUNDLES[0])
}

/// What every process of the instance finds in its environment, beside what it has anywhere.
pub(crate) fn variables(spec: &Spec) -> Vec<(String, String)> {
    let mut all = spec.env.clone();
    if spec.ca_bundle.is_some() {
        let bundle = bundle();
        all.extend(TRUSTING.map(|name| (name.to_owned(), bundle.to_owned())));
    }
    all
}

fn trust(pem: &[u8]) -> Result<()> {
    let bundle = bundle();
    let doing = format!("add to {bundle}");
    let there = fs::read(bundle).unwrap_or_default();
    if there.windows(pem.len().max(1)).any(|part| part == pem) {
        return Ok(());
    }
    if let Some(directory) = Path::new(bundle).parent() {
        make(directory)?;
    }
    let mut file = File::options()
        .append(true)
        .create(true)
        .open(bundle)
        .doing(&doing)?;
    file.write_all(pem).doing(doing)
}

fn resolv_conf(spec: &Spec) -> String {
    let mut text = String::new();
    if !spec.search.is_empty() {
        text += &format!("search {}\n", spec.search);
    }
    for server in &spec.resolver {
        text += &format!("nameserver {server}\n");
    }
    text + "options timeout:2 attempts:2\n"
}

fn hosts(spec: &Spec) -> String {
    let name = &spec.hostname;
    let own = spec.address.unwrap_or([127, 0, 1, 1].into());
    let full = match spec.search.is_empty() || name.contains('.') {
        true => name.clone(),
        false => format!("{name}.{} {name}", spec.search),
    };
    format!("127.0.0.1 localhost\n{own} {full}\n::1 localhost ip6-localhost ip6-loopback\n")
}

fn environment(spec: &Spec) -> String {
    let line = |(name, value): &(String, String)| format!("{name}=\"{value}\"\n");
    variables(spec).iter().map(line).collect()
}

/// Replaces a file, also where a link was put in its place.
fn write(path: &str, text: &str) -> Result<()> {
    let doing = format!("write {path}");
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).doing(doing),
        _ => {}
    }
    fs::write(path, text).doing(doing)
}

fn make(directory: &Path) -> Result<(), Error> {
    fs::create_dir_all(directory).doing(format_args!("make {}", directory.display()))
}
