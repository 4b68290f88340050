//! The machine room on a real kernel. Needs root, or user namespaces; says so and passes where the
//! host has neither.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gureum_room::{Error, Launch, Privilege, Room, resident};
use serde::Serialize;
use serde::de::DeserializeOwned;

#[derive(Serialize)]
enum Ask<'a> {
    Echo(&'a str),
    Fail(&'a str),
    MakeNetns(&'a str),
    RemoveNetns(&'a str),
    Netns,
    Listen(&'a str),
    Launch(&'a str),
    Crash,
}

/// A room of its own, closed at the end whatever happens.
struct Case {
    room: Room,
    dir: tempfile::TempDir,
}

impl Case {
    async fn open() -> Option<Case> {
        let dir = tempfile::tempdir().expect("directory");
        let room = room_at(dir.path());
        match room.host().await {
            Ok(_) => Some(Case { room, dir }),
            Err(error) => {
                println!("SKIPPED: {error}");
                None
            }
        }
    }

    async fn ask<A: DeserializeOwned>(&self, ask: Ask<'_>) -> Result<A, Error> {
        Ok(self.ask_fds(ask).await?.0)
    }

    async fn ask_fds<A: DeserializeOwned>(&self, ask: Ask<'_>) -> Result<(A, Vec<OwnedFd>), Error> {
        self.room.ask("test", &ask).await
    }

    async fn crash(&self) {
        let lost = self.ask::<()>(Ask::Crash).await;
        assert!(matches!(lost, Err(Error::Lost)), "{lost:?}");
    }

    fn echoes(&self, name: &str) -> bool {
        let Ok(mut stream) = resident::connect(&self.dir.path().join("room"), name) else {
            return false;
        };
        let mut back = [0];
        stream.write_all(b"x").is_ok() && stream.read_exact(&mut back).is_ok() && back == *b"x"
    }

    /// Ends the room and looks whether anything is left of it.
    async fn close(self) {
        let before = processes(self.dir.path());
        assert!(!before.is_empty(), "the room's processes are not seen");
        self.room.close().await.expect("close");
        assert!(!self.room.is_inhabited());
        let begun = Instant::now();
        while !processes(self.dir.path()).is_empty() {
            assert!(
                begun.elapsed() < Duration::from_secs(10),
                "a process is left"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        assert!(!mounts.contains(&*self.dir.path().to_string_lossy()));
    }
}

fn room_at(dir: &Path) -> Room {
    Room::launched_by(
        &dir.join("room"),
        Launch {
            program: program(),
            arguments: vec!["keeper".into()],
        },
    )
}

/// The example that stands beside this test.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("this program");
    let target = test.parent().and_then(Path::parent).expect("target");
    target.join("examples/keeper")
}

/// The processes whose command line or environment names this directory.
fn processes(dir: &Path) -> Vec<i32> {
    let dir = dir.to_string_lossy().into_owned();
    let ours = std::process::id() as i32;
    let entries = std::fs::read_dir("/proc").expect("proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != ours)
        .filter(|pid| {
            let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}"));
            let told = ["cmdline", "environ"].map(|file| read(file).unwrap_or_default());
            String::from_utf8_lossy(&told.concat()).contains(&dir)
        })
        .collect()
}

#[tokio::test]
async fn requests_are_answered_and_refused_in_words() {
    let Some(case) = Case::open().await else {
        return;
    };
    let text: String = case.ask(Ask::Echo("구름")).await.expect("echo");
    assert_eq!(text, "구름");
    let error = case.ask::<()>(Ask::Fail("no such volume")).await;
    assert_eq!(error.expect_err("refused").to_string(), "no such volume");
    let error = case.room.ask::<_, ()>("other", &()).await;
    assert!(error.expect_err("unknown").to_string().contains("other"));
    case.close().await;
}

#[tokio::test]
async fn a_socket_made_inside_a_namespace_serves_outside_of_it() {
    let Some(case) = Case::open().await else {
        return;
    };
    case.ask::<()>(Ask::MakeNetns("one")).await.expect("make");
    case.ask::<()>(Ask::MakeNetns("one")).await.expect("again");
    case.ask::<()>(Ask::MakeNetns("two")).await.expect("make");
    // The same port in both, so they are two.
    let mut listeners = Vec::new();
    for name in ["one", "two"] {
        let ((), fds) = case.ask_fds(Ask::Listen(name)).await.expect("listen");
        let listener = TcpListener::from(fds.into_iter().next().expect("a socket"));
        assert_eq!(listener.local_addr().expect("address").port(), 80);
        listeners.push(listener);
    }
    let names: Vec<String> = case.ask(Ask::Netns).await.expect("names");
    assert_eq!(names, ["one", "two"]);
    case.ask::<()>(Ask::RemoveNetns("one"))
        .await
        .expect("remove");
    case.ask::<()>(Ask::RemoveNetns("one"))
        .await
        .expect("again");
    let names: Vec<String> = case.ask(Ask::Netns).await.expect("names");
    assert_eq!(names, ["two"]);
    for bad in ["", "../x", ".hidden", "a b", &"x".repeat(65)] {
        let made = case.ask::<()>(Ask::MakeNetns(bad)).await;
        assert!(made.is_err(), "{bad:?}");
    }
    case.close().await;
}

#[tokio::test]
async fn a_killed_keeper_is_replaced_and_finds_everything() {
    let Some(case) = Case::open().await else {
        return;
    };
    case.ask::<()>(Ask::MakeNetns("kept")).await.expect("make");
    case.ask::<()>(Ask::Launch("worker")).await.expect("launch");
    assert!(case.echoes("worker"));
    case.crash().await;
    let names: Vec<String> = case.ask(Ask::Netns).await.expect("names");
    assert_eq!(names, ["kept"]);
    assert!(case.echoes("worker"));
    // The holder gone too, a resident is still a way in.
    resident::kill(&case.dir.path().join("room"), "holder").expect("kill");
    case.crash().await;
    let names: Vec<String> = case.ask(Ask::Netns).await.expect("names");
    assert_eq!(names, ["kept"]);
    assert!(case.echoes("holder") || case.room.is_inhabited());
    case.close().await;
}

#[tokio::test]
async fn everybody_meets_the_same_keeper_and_its_death_is_survived_by_all() {
    let Some(case) = Case::open().await else {
        return;
    };
    let other = room_at(case.dir.path());
    case.ask::<()>(Ask::MakeNetns("shared"))
        .await
        .expect("make");
    let (names, _): (Vec<String>, _) = other.ask("test", &Ask::Netns).await.expect("names");
    assert_eq!(names, ["shared"]);
    case.crash().await;
    let (names, _): (Vec<String>, _) = other.ask("test", &Ask::Netns).await.expect("names");
    assert_eq!(names, ["shared"]);
    case.close().await;
}

#[tokio::test]
async fn a_keeper_of_another_program_is_replaced() {
    let Some(case) = Case::open().await else {
        return;
    };
    case.ask::<()>(Ask::MakeNetns("kept")).await.expect("make");
    let newer = case.dir.path().join("newer");
    std::fs::copy(program(), &newer).expect("copy");
    let room = Room::launched_by(
        &case.dir.path().join("room"),
        Launch {
            program: newer,
            arguments: vec!["keeper".into()],
        },
    );
    let (names, _): (Vec<String>, _) = room.ask("test", &Ask::Netns).await.expect("names");
    assert_eq!(names, ["kept"]);
    room.close().await.expect("close");
}

#[tokio::test]
async fn the_host_is_described() {
    let Some(case) = Case::open().await else {
        return;
    };
    let host = case.room.host().await.expect("host");
    println!("{host:#?}");
    let root = rustix::process::geteuid().is_root();
    assert_eq!(host.privilege == Privilege::Root, root);
    assert!(!host.kernel.is_empty());
    case.close().await;
}

#[tokio::test]
async fn closing_a_room_that_nobody_opened_does_nothing() {
    let dir = tempfile::tempdir().expect("directory");
    room_at(dir.path()).close().await.expect("close");
    assert!(!dir.path().join("room").exists());
}

#[tokio::test]
async fn a_directory_deeper_than_a_socket_address_holds_is_fine() {
    let dir = tempfile::tempdir().expect("directory");
    let deep = dir.path().join("d".repeat(100)).join("e".repeat(100));
    let room = room_at(&deep);
    if let Err(error) = room.host().await {
        println!("SKIPPED: {error}");
        return;
    }
    room.close().await.expect("close");
}
