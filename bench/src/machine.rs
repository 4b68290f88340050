//! What the kernel says of this machine and of processes: `/proc`, and nothing else.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::failure::{Context, Failure, Result};

/// Clock ticks per second in `/proc/PID/stat`; the same on every Linux that runs this.
const TICKS: u64 = 100;

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Processor time of a process and its children that are alive, in user and kernel mode.
pub(crate) fn cpu_of_tree(pid: i32) -> Duration {
    let children: Duration = children(pid).into_iter().map(cpu_of_tree).sum();
    cpu_of(&format!("/proc/{pid}/stat")) + children
}

pub(crate) fn own_cpu() -> Duration {
    cpu_of("/proc/self/stat")
}

/// A process that is gone has used nothing.
fn cpu_of(stat: &str) -> Duration {
    let text = fs::read_to_string(stat).unwrap_or_default();
    // The name, in parentheses, may hold anything; fields 14 and 15 are 12th and 13th after it.
    let after = text.rsplit_once(')').map_or("", |(_, after)| after);
    let ticks: u64 = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 1000 / TICKS)
}

fn children(pid: i32) -> Vec<i32> {
    let list = format!("/proc/{pid}/task/{pid}/children");
    let text = fs::read_to_string(list).unwrap_or_default();
    text.split_whitespace()
        .filter_map(|id| id.parse().ok())
        .collect()
}

/// Resident memory now, in bytes.
pub(crate) fn resident(pid: i32) -> Result<u64> {
    status(pid, "VmRSS:")
}

/// Memory that a process has for itself, and its share of what it has in common with others; in bytes.
/// A process that is gone has none.
pub(crate) fn proportional(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
    kibibytes(&text.unwrap_or_default(), "Pss:").unwrap_or_default()
}

/// The most memory that was resident since [`forget_peak`], in bytes.
pub(crate) fn peak(pid: i32) -> Result<u64> {
    status(pid, "VmHWM:")
}

pub(crate) fn forget_peak(pid: i32) -> Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").or_fail("cannot reset the peak of memory")
}

fn status(pid: i32, field: &str) -> Result<u64> {
    let file = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&file).or_fail(&file)?;
    kibibytes(&text, field).ok_or_else(|| Failure(format!("{file} has no {field}")))
}

fn kibibytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let number: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(number << 10)
}

/// One line about the machine; nothing that names it.
pub(crate) fn describe(directory: &Path) -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let memory = kibibytes(&read("/proc/meminfo"), "MemTotal:").unwrap_or_default();
    let model = read("/proc/cpuinfo");
    let model = model
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("processor unknown", |rest| {
            rest.trim_start_matches([' ', '\t', ':'])
        });
    let kernel = read("/proc/sys/kernel/osrelease");
    let version = kernel.trim().split('-').next().unwrap_or_default();
    format!(
        "{} cores ({model}), {} GiB of memory, Linux {version}, {}",
        cores(),
        (memory as f64 / f64::from(1 << 30)).round(),
        filesystem(directory, &read("/proc/self/mounts")),
    )
}

/// The file system under a directory: that of the longest mount point above it.
fn filesystem(directory: &Path, mounts: &str) -> String {
    let above = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind) = (fields.next()?, fields.next()?);
        directory.starts_with(point).then_some((point.len(), kind))
    });
    match above.max_by_key(|(length, _)| *length) {
        Some((_, kind)) => format!("data on {kind}"),
        None => "data on an unknown file system".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_point_wins() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n";
        assert_eq!(filesystem(Path::new("/tmp/x"), mounts), "data on tmpfs");
        assert_eq!(filesystem(Path::new("/home"), mounts), "data on ext4");
    }

    #[test]
    fn fields_are_read_in_kibibytes() {
        assert_eq!(
            kibibytes("VmPeak:\t 9 kB\nVmRSS:\t  12 kB\n", "VmRSS:"),
            Some(12 << 10)
        );
        assert_eq!(kibibytes("", "VmRSS:"), None);
    }

    #[test]
    fn work_shows_in_the_processor_time() {
        let before = own_cpu();
        let mut sum = 0u64;
        while own_cpu() == before {
            sum = (0..1_000_000).fold(sum, |sum, n| std::hint::black_box(sum ^ n));
        }
        assert!(own_cpu() > before);
    }
}
