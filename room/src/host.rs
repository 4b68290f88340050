//! What this host can do for the room, as seen from inside: probed, not guessed from versions.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Access, access};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde::{Deserialize, Serialize};

use crate::namespaces;

/// What was found. What is not there stands as a reason in words, where there is one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Which room this is: another one once everything that lived in it has ended, and with it every
    /// namespace, though sockets in there may be held on to.
    pub room: String,
    /// The kernel's release, such as `6.18.44`.
    pub kernel: String,
    pub privilege: Privilege,
    pub cgroups: Cgroups,
    /// Whether file systems can be laid over others below the room's directory; else why not.
    pub overlay: Result<(), String>,
    /// Whether packet filters can be loaded in the room, by `nft`; else why not.
    pub nftables: Result<(), String>,
    /// Whether the room forwards packets.
    pub forwarding: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Privilege {
    /// The room's root is the host's.
    Root,
    /// The room is a user namespace of `ids` ids (1: nobody but root exists in it).
    Rootless { uid: u32, ids: u32 },
}

/// Where resource limits can be set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroups {
    pub hierarchy: Hierarchy,
    /// Controllers (`cpu`, `memory`, `pids`, ...) and the directory below which we may make groups.
    /// With version 2 the directory is the same for all.
    pub controllers: BTreeMap<String, PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hierarchy {
    /// No controller that we may use.
    #[default]
    None,
    V1,
    V2,
}

impl Default for Host {
    /// A host of which nothing is known.
    fn default() -> Host {
        let unknown = || Err("not looked at yet".to_owned());
        Host {
            room: String::new(),
            kernel: String::new(),
            privilege: Privilege::Root,
            cgroups: Cgroups::default(),
            overlay: unknown(),
            nftables: unknown(),
            forwarding: false,
        }
    }
}

impl Host {
    /// Looks, from within the room. Takes some milliseconds.
    pub(crate) fn probe(dir: &Path) -> Host {
        Host {
            room: namespaces::identity(dir),
            kernel: rustix::system::uname()
                .release()
                .to_string_lossy()
                .into_owned(),
            privilege: Privilege::probe(),
            cgroups: Cgroups::probe(),
            overlay: overlay(dir),
            nftables: nftables(),
            forwarding: read("/proc/sys/net/ipv4/ip_forward").trim() == "1",
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

impl Privilege {
    /// Looks, from within the room.
    pub fn probe() -> Privilege {
        let map = read("/proc/self/uid_map");
        let numbers: Vec<u32> = map
            .split_whitespace()
            .map(|n| n.parse().unwrap_or(u32::MAX))
            .collect();
        match numbers[..] {
            [0, 0, u32::MAX] | [] => Privilege::Root,
            _ => Privilege::Rootless {
                uid: numbers.get(1).copied().unwrap_or_default(),
                ids: numbers.chunks(3).filter_map(|line| line.get(2)).sum(),
            },
        }
    }
}

/// Lays one directory over another and takes it away again.
fn overlay(dir: &Path) -> Result<(), String> {
    let at = dir.join("probe");
    let layer = |name: &str| at.join(name);
    let outcome = (|| {
        for name in ["upper", "work", "merged"] {
            fs::create_dir_all(layer(name))?;
        }
        // `userxattr` is what a user namespace needs, and does no harm to root.
        let options = format!(
            "lowerdir=/usr,upperdir={},workdir={},userxattr",
            layer("upper").display(),
            layer("work").display()
        );
        let options = std::ffi::CString::new(options)?;
        let flags = MountFlags::empty();
        mount(
            "overlay",
            layer("merged"),
            "overlay",
            flags,
            Some(options.as_c_str()),
        )?;
        unmount(layer("merged"), UnmountFlags::DETACH)?;
        Ok::<_, std::io::Error>(())
    })();
    let _ = fs::remove_dir_all(&at);
    outcome.map_err(|error| format!("overlayfs at {}: {error}", dir.display()))
}

fn nftables() -> Result<(), String> {
    let outcome = Command::new("nft")
        .env("PATH", "/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin")
        .args(["list", "tables"])
        .stdin(Stdio::null())
        .output();
    match outcome {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("nft: {error}")),
    }
}

/// What a group needs to be of use.
const WANTED: [&str; 3] = ["cpu", "memory", "pids"];

impl Cgroups {
    /// Looks, from within the room.
    pub fn probe() -> Cgroups {
        Cgroups::find(
            &read("/proc/self/mountinfo"),
            &read("/proc/self/cgroup"),
            &|directory| access(directory, Access::WRITE_OK).is_ok(),
        )
    }

    fn find(mounts: &str, own: &str, writable: &dyn Fn(&Path) -> bool) -> Cgroups {
        let mut v1 = BTreeMap::new();
        let mut v2 = None;
        for line in mounts.lines() {
            // "... ID PARENT DEV ROOT POINT OPTIONS - TYPE SOURCE SUPER", see proc_pid_mountinfo(5)
            let Some((left, right)) = line.split_once(" - ") else {
                continue;
            };
            let Some(point) = left.split(' ').nth(4) else {
                continue;
            };
            let mut right = right.split(' ');
            match (right.next(), right.nth(1)) {
                (Some("cgroup"), Some(options)) => {
                    for controller in options.split(',') {
                        v1.insert(controller.to_owned(), PathBuf::from(point));
                    }
                }
                (Some("cgroup2"), _) => v2 = Some(PathBuf::from(point)),
                _ => {}
            }
        }
        v1.retain(|name, point| !name.starts_with("name=") && name != "rw" && writable(point));
        if WANTED.iter().any(|name| v1.contains_key(*name)) {
            return Cgroups {
                hierarchy: Hierarchy::V1,
                controllers: v1,
            };
        }
        v2.and_then(|root| delegated(&root, own, writable))
            .map(|(base, names)| Cgroups {
                hierarchy: Hierarchy::V2,
                controllers: names.into_iter().map(|n| (n, base.clone())).collect(),
            })
            .unwrap_or_default()
    }
}

/// The topmost group of ours, from the root down, that we may write to and that passes on what we want.
fn delegated(
    root: &Path,
    own: &str,
    writable: &dyn Fn(&Path) -> bool,
) -> Option<(PathBuf, Vec<String>)> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mut candidate = root.to_path_buf();
    let mut candidates = vec![candidate.clone()];
    for part in path.split('/').filter(|part| !part.is_empty()) {
        candidate.push(part);
        candidates.push(candidate.clone());
    }
    candidates.into_iter().find_map(|candidate| {
        let controllers = read_words(&candidate.join("cgroup.controllers"));
        let useful = WANTED.iter().any(|w| controllers.iter().any(|c| c == w));
        let ours = writable(&candidate) && writable(&candidate.join("cgroup.procs"));
        (useful && ours).then_some((candidate, controllers))
    })
}

fn read_words(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
30 25 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
34 30 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn version_one_controllers_are_found_where_they_are_mounted() {
        let found = Cgroups::find(HYBRID, "0::/", &|_| true);
        assert_eq!(found.hierarchy, Hierarchy::V1);
        let names: Vec<_> = found.controllers.keys().map(String::as_str).collect();
        assert_eq!(names, ["cpu", "cpuacct", "memory"]);
        assert_eq!(
            found.controllers["cpu"],
            Path::new("/sys/fs/cgroup/cpu,cpuacct")
        );
    }

    #[test]
    fn what_we_may_not_write_to_is_no_use() {
        let found = Cgroups::find(HYBRID, "0::/", &|_| false);
        assert_eq!(found, Cgroups::default());
    }

    #[test]
    fn version_two_is_used_where_it_is_delegated() {
        let root = tempfile::tempdir().expect("directory");
        let ours = root.path().join("user.slice/user@1000.service");
        fs::create_dir_all(ours.join("app")).expect("groups");
        for group in ["", "user.slice", "user.slice/user@1000.service"] {
            let file = root.path().join(group).join("cgroup.controllers");
            fs::write(file, "cpu io memory pids\n").expect("controllers");
        }
        let mounts = format!(
            "34 30 0:30 / {} rw - cgroup2 cgroup2 rw\n",
            root.path().display()
        );
        let own = "0::/user.slice/user@1000.service/app\n";
        let found = Cgroups::find(&mounts, own, &|path| path.starts_with(&ours));
        assert_eq!(found.hierarchy, Hierarchy::V2);
        assert_eq!(found.controllers["memory"], ours);
    }
}
