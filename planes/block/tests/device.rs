//! A volume as a real block device, with a real file system on it. Needs root, FUSE and loop devices;
//! says so where they are missing.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use gureum_block::process::{self, Order, Reply, Request};
use gureum_block::{Depot, Source};

const SIZE: u64 = 128 << 20;

/// An attached volume; detached when dropped, whatever the test did.
struct Attached {
    device: PathBuf,
    socket: PathBuf,
    child: Child,
}

impl Attached {
    fn new(depot: &Path, run: &Path, volume: &str, keys: BTreeMap<String, String>) -> Self {
        let mut child = Command::new(example())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let order = Order {
            depot: depot.to_owned(),
            volume: volume.into(),
            run: run.to_owned(),
            keys,
            limits: None,
        };
        let mut stdin = child.stdin.take().unwrap();
        stdin
            .write_all(&serde_json::to_vec(&order).unwrap())
            .unwrap();
        drop(stdin);
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        match serde_json::from_str(&line).unwrap() {
            Reply::Ready(device) => Self {
                device,
                socket: process::socket(run, volume),
                child,
            },
            other => panic!("{other:?}"),
        }
    }

    fn ask(&self, request: Request) -> Reply {
        process::ask(&self.socket, &request).unwrap()
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let _ = process::ask(&self.socket, &Request::Detach);
        if std::thread::panicking() {
            // What the failed test left mounted would be waited for.
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

/// The example that cargo built beside this test.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    profile.join("examples/volume")
}

/// A shell in a mount namespace of its own, so that nobody else's namespace keeps our mounts.
struct Shell {
    child: Child,
    stdin: std::process::ChildStdin,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Shell {
    fn new() -> Self {
        let mut child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-u"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take().unwrap(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Runs a script, which must succeed; what it prints.
    fn run(&mut self, script: &str) -> String {
        writeln!(
            self.stdin,
            "(set -e; {script}) </dev/null; echo; echo \"ended $?\""
        )
        .unwrap();
        let mut said = String::new();
        loop {
            let mut line = String::new();
            assert!(
                self.stdout.read_line(&mut line).unwrap() > 0,
                "{script}: {said}"
            );
            match line.strip_prefix("ended ") {
                Some(status) => {
                    assert_eq!(status.trim(), "0", "{script}: {said}");
                    return said.trim().to_owned();
                }
                None => said += &line,
            }
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn possible() -> bool {
    let root = rustix::process::geteuid().is_root();
    let devices = ["/dev/fuse", "/dev/loop-control"]
        .iter()
        .all(|device| Path::new(device).exists());
    if !(root && devices) {
        eprintln!("skipped: needs root, /dev/fuse and /dev/loop-control");
    }
    root && devices
}

#[test]
fn a_file_system_lives_on_a_volume_and_on_its_snapshots() {
    if !possible() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (depot_dir, run) = (dir.path().join("depot"), dir.path().join("run"));
    std::fs::create_dir(&run).unwrap();
    let mount = dir.path().join("mnt");
    std::fs::create_dir(&mount).unwrap();
    let mount = mount.display();
    let mut shell = Shell::new();
    let depot = Depot::open(&depot_dir).unwrap();
    let keys = BTreeMap::from([("k".to_owned(), "5a".repeat(64))]);
    depot
        .create("vol-1", SIZE, Source::Blank, Some("k"))
        .unwrap();

    let first = Attached::new(&depot_dir, &run, "vol-1", keys.clone());
    let device = first.device.display();
    shell.run(&format!(
        "mkfs.ext4 -q {device}; mount {device} {mount}; echo marker-one > {mount}/file; sync {mount}/file"
    ));
    assert_eq!(first.ask(Request::Snapshot("snap-1".into())), Reply::Done);
    shell.run(&format!(
        "echo marker-two > {mount}/file; sync {mount}/file"
    ));
    // Growing while mounted, as a guest would see it.
    assert_eq!(first.ask(Request::Grow(2 * SIZE)), Reply::Done);
    let size: u64 = shell
        .run(&format!("blockdev --getsize64 {device}"))
        .parse()
        .unwrap();
    assert_eq!(size, 2 * SIZE);
    assert_eq!(shell.run(&format!("cat {mount}/file")), "marker-two");
    shell.run(&format!("umount {mount}"));
    let Reply::Used(usage) = first.ask(Request::Usage) else {
        panic!("no usage");
    };
    assert!(usage.write_bytes > 0 && usage.read_operations > 0);
    drop(first);

    depot
        .create("vol-2", SIZE, Source::Snapshot("snap-1"), Some("k"))
        .unwrap();
    let second = Attached::new(&depot_dir, &run, "vol-2", keys.clone());
    let device = second.device.display();
    assert_eq!(
        shell.run(&format!(
            "mount {device} {mount}; cat {mount}/file; umount {mount}"
        )),
        "marker-one"
    );
    drop(second);

    let again = Attached::new(&depot_dir, &run, "vol-1", keys);
    let device = again.device.display();
    assert_eq!(
        shell.run(&format!(
            "mount {device} {mount}; cat {mount}/file; umount {mount}"
        )),
        "marker-two"
    );
    drop(again);
    let found = shell.run(&format!(
        "grep -rlaE 'marker-(one|two)' {} || true",
        depot_dir.display()
    ));
    assert_eq!(found, "");
    assert_eq!(std::fs::read_dir(&run).unwrap().count(), 0);
}
