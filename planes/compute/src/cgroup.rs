//! One instance's control groups, version 1 or 2: limits, figures, and their end. May touch: the
//! directories that [`gureum_room::Cgroups`] names.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gureum_room::{Cgroups, Doing, Hierarchy, Inside, Result};

use crate::spec::{Device, Spec, Usage};

/// The span over which processor time is rationed. Short, so that an instance of a tenth of a core
/// answers within tens of milliseconds; the kernel's least quota, 1 ms, is a twentieth of a core.
const PERIOD_US: u64 = 20_000;
const LEAST_QUOTA_US: u64 = 1_000;
/// Devices that every process may use (see cgroup-v1/devices): null, zero, full, random, urandom,
/// tty, ptmx, pts. Nobody in an instance may make a node, so this is a second lock.
const DEVICES: [&str; 8] = [
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];

/// The groups of one instance, whether they exist or not.
#[derive(Clone, Debug)]
pub(crate) struct Cgroup {
    host: Cgroups,
    /// Our groups' common parent below each controller's directory, and the instance's group in it.
    parent: String,
    name: String,
}

impl Cgroup {
    /// The room's directory tells the groups of two clouds apart.
    pub(crate) fn of(host: &Cgroups, room: &Path, id: &str) -> Result<Cgroup> {
        let directory = fs::metadata(room).doing("look at the room's directory")?;
        Ok(Cgroup {
            host: host.clone(),
            parent: format!("gureum-{:x}-{:x}", directory.dev(), directory.ino()),
            name: id.to_owned(),
        })
    }

    /// Makes the groups and sets their limits. On a host where we may not, there are none, and
    /// [`gureum_room::Host`] says so.
    pub(crate) fn make(&self, spec: &Spec) -> Result<()> {
        match self.host.hierarchy {
            Hierarchy::None => Ok(()),
            Hierarchy::V1 => self.make_v1(spec),
            Hierarchy::V2 => self.make_v2(spec),
        }
    }

    /// Moves the calling process in.
    pub(crate) fn enter(&self) -> Result<()> {
        for directory in self.directories() {
            write(&directory.join("cgroup.procs"), "0")?;
        }
        Ok(())
    }

    fn make_v1(&self, spec: &Spec) -> Result<()> {
        for directory in self.directories() {
            make_directory(&directory)?;
        }
        let quota = ((spec.cpus * PERIOD_US as f64) as u64).max(LEAST_QUOTA_US);
        self.set("cpu", "cpu.cfs_period_us", &PERIOD_US.to_string())?;
        self.set("cpu", "cpu.cfs_quota_us", &quota.to_string())?;
        let memory = spec.memory.to_string();
        self.set("memory", "memory.limit_in_bytes", &memory)?;
        // Swap is accounted for only where the kernel was told to.
        let _ = self.set("memory", "memory.memsw.limit_in_bytes", &memory);
        self.set("pids", "pids.max", &spec.pids.to_string())?;
        self.set("devices", "devices.deny", "a")?;
        for device in DEVICES {
            self.set("devices", "devices.allow", device)?;
        }
        spec.devices
            .iter()
            .try_for_each(|device| self.allow(device))
    }

    /// Lets the instance use a block device. Version 2 has no list of devices; there, that nobody
    /// inside can make a node has to do.
    pub(crate) fn allow(&self, device: &Device) -> Result<()> {
        self.list("devices.allow", device)
    }

    pub(crate) fn forbid(&self, device: &Device) -> Result<()> {
        self.list("devices.deny", device)
    }

    fn list(&self, file: &str, device: &Device) -> Result<()> {
        if !matches!(self.host.hierarchy, Hierarchy::V1) {
            return Ok(());
        }
        let line = format!("b {}:{} rwm", device.major, device.minor);
        self.set("devices", file, &line)
    }

    fn make_v2(&self, spec: &Spec) -> Result<()> {
        let Some(base) = self.host.controllers.values().next() else {
            return Ok(());
        };
        let parent = base.join(&self.parent);
        make_directory(&parent)?;
        for above in [base, &parent] {
            for controller in ["+cpu", "+memory", "+pids", "+io"] {
                // What is not passed on shows when its limit is set; io is for figures only.
                let _ = fs::write(above.join("cgroup.subtree_control"), controller);
            }
        }
        make_directory(&parent.join(&self.name))?;
        let quota = ((spec.cpus * PERIOD_US as f64) as u64).max(LEAST_QUOTA_US);
        self.set("cpu", "cpu.max", &format!("{quota} {PERIOD_US}"))?;
        self.set("memory", "memory.max", &spec.memory.to_string())?;
        let _ = self.set("memory", "memory.swap.max", "0");
        self.set("pids", "pids.max", &spec.pids.to_string())
    }

    /// Sets one limit; nothing where the host lacks the controller.
    fn set(&self, controller: &str, file: &str, value: &str) -> Result<()> {
        match self.directory(controller) {
            Some(directory) => write(&directory.join(file), value),
            None => Ok(()),
        }
    }

    fn directory(&self, controller: &str) -> Option<PathBuf> {
        let base = self.host.controllers.get(controller)?;
        Some(base.join(&self.parent).join(&self.name))
    }

    /// Each once: controllers may be mounted together.
    fn directories(&self) -> BTreeSet<PathBuf> {
        let controllers = self.host.controllers.iter();
        controllers
            // A group of `cpuset` must be given processors first, and we need none.
            .filter(|(name, _)| *name != "cpuset")
            .map(|(_, base)| base.join(&self.parent).join(&self.name))
            .collect()
    }

    /// What the instance has used; nothing where the host does not say.
    pub(crate) fn usage(&self) -> Option<Usage> {
        match self.host.hierarchy {
            Hierarchy::None => None,
            Hierarchy::V1 => self.usage_v1(),
            Hierarchy::V2 => self.usage_v2(),
        }
    }

    fn usage_v1(&self) -> Option<Usage> {
        let file = |controller: &str, file: &str| self.read(controller, file);
        let held = number(&file("memory", "memory.usage_in_bytes")?)?;
        let memory = file("memory", "memory.stat").unwrap_or_default();
        let cpu = file("cpu", "cpu.stat").unwrap_or_default();
        let io = file("blkio", "blkio.throttle.io_service_bytes").unwrap_or_default();
        let oom = file("memory", "memory.oom_control").unwrap_or_default();
        Some(Usage {
            cpu: file("cpuacct", "cpuacct.usage")
                .and_then(|t| number(&t))
                .unwrap_or(0),
            allotted: allotted(
                file("cpu", "cpu.cfs_quota_us").as_deref(),
                file("cpu", "cpu.cfs_period_us").as_deref(),
            ),
            throttled: field(&cpu, "throttled_time"),
            memory: held.saturating_sub(field(&memory, "total_inactive_file")),
            processes: file("pids", "pids.current")
                .and_then(|t| number(&t))
                .unwrap_or(0),
            read: sum_v1(&io, "Read"),
            written: sum_v1(&io, "Write"),
            out_of_memory: field(&oom, "oom_kill"),
        })
    }

    fn usage_v2(&self) -> Option<Usage> {
        let file = |controller: &str, file: &str| self.read(controller, file);
        let cpu = file("cpu", "cpu.stat")?;
        let held = file("memory", "memory.current").and_then(|t| number(&t));
        let memory = file("memory", "memory.stat").unwrap_or_default();
        let io = file("io", "io.stat").unwrap_or_default();
        let events = file("memory", "memory.events").unwrap_or_default();
        Some(Usage {
            cpu: field(&cpu, "usage_usec") * 1000,
            allotted: {
                let limit = file("cpu", "cpu.max");
                let (quota, period) = limit.as_deref().and_then(|it| it.split_once(' ')).unzip();
                allotted(quota, period)
            },
            throttled: field(&cpu, "throttled_usec") * 1000,
            memory: held
                .unwrap_or(0)
                .saturating_sub(field(&memory, "inactive_file")),
            processes: file("pids", "pids.current")
                .and_then(|t| number(&t))
                .unwrap_or(0),
            read: sum_v2(&io, "rbytes="),
            written: sum_v2(&io, "wbytes="),
            out_of_memory: field(&events, "oom_kill"),
        })
    }

    fn read(&self, controller: &str, file: &str) -> Option<String> {
        fs::read_to_string(self.directory(controller)?.join(file)).ok()
    }

    /// Takes the groups away. What was killed a moment ago may still be leaving.
    pub(crate) fn remove(&self) -> Result<()> {
        for directory in self.directories() {
            remove_group(&directory)?;
        }
        Ok(())
    }

    /// Takes all groups of this room away.
    pub(crate) fn remove_all(room: &Inside) -> Result<()> {
        let every = Cgroup::of(&room.host().cgroups, room.dir(), "")?;
        for parent in every.directories() {
            let Ok(entries) = fs::read_dir(&parent) else {
                continue;
            };
            for entry in entries.flatten() {
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    remove_group(&entry.path())?;
                }
            }
            remove_group(&parent)?;
        }
        Ok(())
    }
}

fn make_directory(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).doing(format_args!("make {}", directory.display()))
}

fn remove_group(directory: &Path) -> Result<()> {
    for _ in 0..100 {
        match fs::remove_dir(directory) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).doing(format_args!("remove {}", directory.display()));
            }
            _ => return Ok(()),
        }
    }
    Err(std::io::Error::from(ErrorKind::ResourceBusy))
        .doing(format_args!("remove {}", directory.display()))
}

fn write(file: &Path, value: &str) -> Result<()> {
    fs::write(file, value).doing(format_args!("write {value:?} to {}", file.display()))
}

fn number(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// The value in a line `name value`; 0 when there is none.
fn field(text: &str, name: &str) -> u64 {
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        (key == name).then(|| number(value))?
    });
    value.unwrap_or(0)
}

/// Nanoseconds in each second, from a quota and its period.
fn allotted(quota: Option<&str>, period: Option<&str>) -> u64 {
    let quota = quota.and_then(number);
    let (Some(quota), Some(period)) = (quota, period.and_then(number)) else {
        return 0;
    };
    (quota * 1_000_000_000).checked_div(period).unwrap_or(0)
}

/// Lines `8:0 Read 4096`, one per device.
fn sum_v1(text: &str, kind: &str) -> u64 {
    let of = |line: &str| {
        let mut words = line.split(' ').skip(1);
        (words.next()? == kind).then(|| number(words.next()?))?
    };
    text.lines().filter_map(of).sum()
}

/// Lines `8:0 rbytes=4096 wbytes=0 ...`, one per device.
fn sum_v2(text: &str, key: &str) -> u64 {
    let words = text.split_whitespace();
    words
        .filter_map(|word| number(word.strip_prefix(key)?))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_as_the_kernel_writes_them() {
        let v1 = "254:0 Read 4096\n254:0 Write 8192\n8:0 Read 1\nTotal 12289\n";
        assert_eq!((sum_v1(v1, "Read"), sum_v1(v1, "Write")), (4097, 8192));
        let v2 = "254:0 rbytes=4096 wbytes=8192 rios=1\n8:0 rbytes=1 wbytes=0\n";
        assert_eq!((sum_v2(v2, "rbytes="), sum_v2(v2, "wbytes=")), (4097, 8192));
        assert_eq!(allotted(Some("2000\n"), Some("20000\n")), 100_000_000);
        assert_eq!(allotted(Some("max"), Some("100000\n")), 0);
        assert_eq!(allotted(Some("-1\n"), Some("100000\n")), 0);
        let stat = "nr_periods 3\nthrottled_time 77\n";
        assert_eq!(
            (field(stat, "throttled_time"), field(stat, "none")),
            (77, 0)
        );
    }
}
