//! A volume as a real block device, with a real file system on it. Needs root, FUSE and loop devices;
//! says so where they are missing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use gureum_block::{Block, Key, Source};
use gureum_room::{Launch, Room, resident};

const SIZE: u64 = 128 << 20;

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

/// Closes the room, whatever the test did.
struct Case {
    dir: tempfile::TempDir,
    room: Room,
    block: Block,
}

impl Case {
    async fn open() -> Option<Self> {
        if !possible() {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let launch = Launch {
            program: example(),
            arguments: vec!["keeper".into()],
        };
        let room = Room::launched_by(&dir.path().join("room"), launch);
        let block = Block::open(room.clone(), dir.path().join("depot")).unwrap();
        Some(Self { dir, room, block })
    }

    fn keys() -> BTreeMap<String, Key> {
        BTreeMap::from([("k".to_owned(), Key([0x5a; 64]))])
    }

    async fn attach(&self, volume: &str) -> String {
        let device = self.block.attach(volume, Self::keys(), None).await.unwrap();
        device.display().to_string()
    }

    /// Closes the room; nothing of it may be left on the host.
    async fn close(self) {
        self.room.close().await.unwrap();
        let mine = self.dir.path().display().to_string();
        for entry in std::fs::read_dir("/sys/block").unwrap() {
            let backing = entry.unwrap().path().join("loop/backing_file");
            let backing = std::fs::read_to_string(backing).unwrap_or_default();
            assert!(!backing.contains(&mine), "{backing}");
        }
    }
}

/// A test that failed leaves no process behind.
impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Processes of volumes do not tell their directory: they are known by their names.
            for name in resident::names(self.room.dir()).unwrap_or_default() {
                let _ = resident::kill(self.room.dir(), &name);
            }
            let dir = self.dir.path().display().to_string();
            let _ = Command::new("pkill").args(["-9", "-f", &dir]).status();
        }
    }
}

async fn detached(block: &Block, volume: &str) {
    block.detach(volume).await.unwrap();
    for _ in 0..500 {
        if block.attached().unwrap().iter().all(|name| name != volume) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{volume} stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_system_lives_on_a_volume_and_on_its_snapshots() {
    let Some(case) = Case::open().await else {
        return;
    };
    let (block, keys) = (&case.block, Case::keys());
    let mount = case.dir.path().join("mnt");
    std::fs::create_dir(&mount).unwrap();
    let mount = mount.display();
    let mut shell = Shell::new();
    let depot = block.depot();
    depot
        .create("vol-1", SIZE, Source::Blank, Some("k"), &|_| None)
        .unwrap();

    let device = case.attach("vol-1").await;
    shell.run(&format!(
        "mkfs.ext4 -q {device}; mount {device} {mount}; echo marker-one > {mount}/file; sync {mount}/file"
    ));
    block.snapshot("vol-1", "snap-1", &keys).await.unwrap();
    shell.run(&format!(
        "echo marker-two > {mount}/file; sync {mount}/file"
    ));
    block.grow("vol-1", 2 * SIZE).await.unwrap();
    let size: u64 = shell
        .run(&format!("blockdev --getsize64 {device}"))
        .parse()
        .unwrap();
    assert_eq!(size, 2 * SIZE);
    // In use, it goes when its user has gone.
    block.detach("vol-1").await.unwrap();
    assert_eq!(block.attached().unwrap(), ["vol-1"]);
    assert_eq!(shell.run(&format!("cat {mount}/file")), "marker-two");
    shell.run(&format!("umount {mount}"));
    detached(block, "vol-1").await;

    depot
        .create(
            "vol-2",
            SIZE,
            Source::Snapshot("snap-1"),
            Some("k"),
            &|_| None,
        )
        .unwrap();
    for (volume, content) in [("vol-2", "marker-one"), ("vol-1", "marker-two")] {
        let device = case.attach(volume).await;
        assert_eq!(case.attach(volume).await, device);
        let read = format!("mount {device} {mount}; cat {mount}/file; umount {mount}");
        assert_eq!(shell.run(&read), content);
        let usage = block.usage(volume).await.unwrap().unwrap();
        assert!(usage.read_operations > 0, "{usage:?}");
        detached(block, volume).await;
    }
    let clear = format!(
        "grep -rlaE 'marker-(one|two)' {}/depot || true",
        case.dir.path().display()
    );
    assert_eq!(shell.run(&clear), "");
    case.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_whose_process_was_killed_can_be_attached_again() {
    let Some(case) = Case::open().await else {
        return;
    };
    case.block
        .depot()
        .create("vol-1", SIZE, Source::Blank, None, &|_| None)
        .unwrap();
    let device = case.attach("vol-1").await;
    let mut shell = Shell::new();
    shell.run(&format!(
        "echo kept | dd of={device} conv=fsync,notrunc 2>&1"
    ));
    resident::kill(case.room.dir(), "volume-vol-1").unwrap();
    assert!(case.block.attached().unwrap().is_empty());
    let device = case.attach("vol-1").await;
    assert_eq!(shell.run(&format!("head -c 4 {device}")), "kept");
    case.close().await;
}

/// A writer puts the same number on one volume and then on another, again and again: of two snapshots
/// as of one moment, the first one is at most one ahead.
#[tokio::test(flavor = "multi_thread")]
async fn volumes_are_snapshotted_as_of_one_moment() {
    let Some(case) = Case::open().await else {
        return;
    };
    let (block, keys) = (&case.block, BTreeMap::new());
    let mut devices = Vec::new();
    for volume in ["one", "two"] {
        let depot = block.depot();
        depot
            .create(volume, SIZE, Source::Blank, None, &|_| None)
            .unwrap();
        devices.push(block.attach(volume, BTreeMap::new(), None).await.unwrap());
    }
    let stop = Arc::new(AtomicBool::new(false));
    let reached = Arc::new(AtomicU64::new(0));
    let (stopped, number, paths) = (stop.clone(), reached.clone(), devices.clone());
    let writer = std::thread::spawn(move || {
        let open = |path| OpenOptions::new().write(true).open(path).unwrap();
        let files: Vec<File> = paths.iter().map(open).collect();
        while !stopped.load(Ordering::SeqCst) {
            let next = number.load(Ordering::SeqCst) + 1;
            for file in &files {
                file.write_all_at(&next.to_le_bytes(), 0).unwrap();
                file.sync_data().unwrap();
            }
            number.store(next, Ordering::SeqCst);
        }
    });
    for round in 0..10 {
        let before = reached.load(Ordering::SeqCst);
        while reached.load(Ordering::SeqCst) == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let name = |volume: &str| (volume.to_owned(), format!("{volume}-{round}"));
        let pairs = [name("one"), name("two")];
        block.snapshot_together(&pairs, &keys).await.unwrap();
        let read = |snapshot: &str| {
            let piece = block.depot().read_piece(snapshot, 0, &|_| None).unwrap();
            u64::from_le_bytes(*piece.first_chunk().unwrap())
        };
        let (first, second) = (read(&pairs[0].1), read(&pairs[1].1));
        assert!(
            first > before && (first == second || first == second + 1),
            "{first} {second}"
        );
    }
    stop.store(true, Ordering::SeqCst);
    writer.join().unwrap();
    for volume in ["one", "two"] {
        detached(block, volume).await;
    }
    case.close().await;
}
