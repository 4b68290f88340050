//! A machine room of its own with instances in it, closed and looked after at the end.
#![allow(dead_code, reason = "not every file of tests needs all of it")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gureum_compute::{Compute, Exec, ImageId, Outcome, RootDisk, Running, Spec, State};
use gureum_room::{Launch, Room};

pub(crate) struct Cloud {
    pub(crate) room: Room,
    pub(crate) compute: Compute,
    pub(crate) dir: tempfile::TempDir,
}

pub(crate) const SOON: Duration = Duration::from_secs(20);

impl Cloud {
    /// None, with the reason printed, where the host cannot run instances.
    pub(crate) async fn open() -> Option<Cloud> {
        let dir = tempfile::tempdir().expect("directory");
        let cloud = Cloud::at(dir);
        match cloud.room.host().await.map(|host| host.overlay) {
            Ok(Ok(())) => Some(cloud),
            Ok(Err(error)) => skip(&error),
            Err(error) => skip(&error.to_string()),
        }
    }

    fn at(dir: tempfile::TempDir) -> Cloud {
        let room = room(dir.path());
        let compute = Compute::new(room.clone(), dir.path().join("compute"));
        Cloud { room, compute, dir }
    }

    /// The same cloud as a main process that has just started sees it.
    pub(crate) fn again(&self) -> Compute {
        Compute::new(room(self.dir.path()), self.dir.path().join("compute"))
    }

    pub(crate) async fn root(&self) -> bool {
        let host = self.room.host().await.expect("host");
        host.privilege == gureum_room::Privilege::Root
    }

    pub(crate) async fn running(&self, id: &str) -> Running {
        match self.state(id).await {
            State::Running(running) => running,
            other => panic!("{id} is {other:?}; console:\n{}", self.console(id).await),
        }
    }

    pub(crate) async fn state(&self, id: &str) -> State {
        let seen = self.compute.observe().await.expect("observe");
        let seen = seen.into_iter().find(|seen| seen.id == id);
        seen.unwrap_or_else(|| panic!("{id} is not seen")).state
    }

    pub(crate) async fn console(&self, id: &str) -> String {
        let text = self.compute.console(id).await.expect("console");
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Runs a line in the instance's shell: its exit code, and what it wrote, errors too.
    pub(crate) async fn sh(&self, id: &str, line: &str) -> (Outcome, String) {
        let exec = Exec {
            argv: ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
            ..Exec::default()
        };
        let (mut read, write) = std::io::pipe().expect("pipe");
        let nothing = fs::File::open("/dev/null").expect("null");
        let error = OwnedFd::from(write.try_clone().expect("clone"));
        let stdio = [OwnedFd::from(nothing), write.into(), error];
        let outcome = self.compute.exec(id, exec, stdio).await.expect("exec");
        let mut text = String::new();
        read.read_to_string(&mut text).expect("output");
        (outcome, text.trim_end().to_owned())
    }

    /// The output of a line that succeeds.
    pub(crate) async fn out(&self, id: &str, line: &str) -> String {
        let (outcome, text) = self.sh(id, line).await;
        assert_eq!(outcome, Outcome::Exited(0), "{line}: {text}");
        text
    }

    /// Waits until a line succeeds.
    pub(crate) async fn until(&self, id: &str, line: &str) -> String {
        let begun = Instant::now();
        loop {
            let (outcome, text) = self.sh(id, line).await;
            if outcome == Outcome::Exited(0) {
                return text;
            }
            assert!(
                begun.elapsed() < SOON,
                "{line}: {text}; console:\n{}",
                self.console(id).await
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends everything and looks whether anything is left.
    pub(crate) async fn close(self) {
        let before = traces(self.dir.path());
        assert!(!before.is_empty(), "what the room leaves is not seen");
        self.room.close().await.expect("close");
        let begun = Instant::now();
        loop {
            let left = traces(self.dir.path());
            if left.is_empty() {
                return;
            }
            assert!(begun.elapsed() < SOON, "left: {left:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Cloud {
    /// After a test that failed, nothing may go on running.
    fn drop(&mut self) {
        for trace in traces(self.dir.path()) {
            let pid = trace
                .strip_prefix("process ")
                .and_then(|pid| pid.parse().ok());
            if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
    }
}

fn skip(reason: &str) -> Option<Cloud> {
    println!("SKIPPED: {reason}");
    None
}

fn room(dir: &Path) -> Room {
    Room::launched_by(
        &dir.join("room"),
        Launch {
            program: program(),
            arguments: vec!["keeper".into()],
        },
    )
}

/// The example that stands beside this test, or the whole program at `GUREUM_BIN`.
fn program() -> PathBuf {
    if let Some(program) = std::env::var_os("GUREUM_BIN") {
        return program.into();
    }
    let test = std::env::current_exe().expect("this program");
    let target = test.parent().and_then(Path::parent).expect("target");
    target.join("examples/machine")
}

/// Processes, mounts and cgroups of a cloud.
fn traces(dir: &Path) -> BTreeSet<String> {
    use std::os::unix::fs::MetadataExt;
    let path = dir.to_string_lossy().into_owned();
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("/proc").expect("proc").flatten() {
        let told = ["cmdline", "environ"].map(|file| fs::read(entry.path().join(file)));
        let told: Vec<u8> = told.into_iter().flatten().flatten().collect();
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = name == std::process::id().to_string();
        if String::from_utf8_lossy(&told).contains(&path) && !ours && name.parse::<u32>().is_ok() {
            found.insert(format!("process {name}"));
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
    found.extend(
        mounts
            .lines()
            .filter(|l| l.contains(&path))
            .map(str::to_owned),
    );
    let room = fs::metadata(dir.join("room")).expect("room");
    let group = format!("gureum-{:x}-{:x}", room.dev(), room.ino());
    for hierarchy in fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten()
    {
        let group = hierarchy.path().join(&group);
        if group.exists() {
            found.insert(group.display().to_string());
        }
    }
    found
}

/// An instance with plenty.
pub(crate) fn spec(id: &str) -> Spec {
    Spec {
        id: id.into(),
        hostname: format!("host-{id}"),
        image: ImageId::base(),
        netns: id.into(),
        cpus: 1.0,
        memory: 512 << 20,
        pids: 256,
        resolver: vec![[169, 254, 169, 253].into()],
        search: "ec2.internal".into(),
        address: None,
        ca_bundle: None,
        user_data: None,
        authorized_keys: Vec::new(),
        env: Vec::new(),
        root_disk: RootDisk::Directory,
        devices: Vec::new(),
    }
}
