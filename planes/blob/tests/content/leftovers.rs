//! What is not committed, or not referred to after a crash, does not stay.

use super::*;
use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

#[tokio::test]
async fn a_dropped_writer_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    drop(blobs.create().await.unwrap());
    let mut writer = blobs.create().await.unwrap();
    writer.write(content(10_000).into()).await.unwrap();
    assert_eq!(blobs.usage().await.unwrap().files, 1);
    drop(writer);
    let usage = blobs.usage().await.unwrap();
    assert_eq!((usage.files, usage.bytes), (0, 0));
}

#[test]
fn a_writer_dropped_while_the_disk_works_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = runtime();
    runtime.block_on(async {
        let blobs = Blobs::open(dir.path()).unwrap();
        let mut writer = blobs.create().await.unwrap();
        writer.write(content(3_000_000).into()).await.unwrap();
        drop(writer);
        let mut intake = blobs.intake(None);
        intake.write(content(3_000_000).into()).await.unwrap();
        // A client that goes away while its content is being committed.
        let finish = tokio::spawn(intake.finish());
        tokio::task::yield_now().await;
        finish.abort();
        assert!(finish.await.unwrap_err().is_cancelled());
    });
    // Waits for the steps that were under way.
    drop(runtime);
    let left = std::fs::read_dir(dir.path().join("data")).unwrap();
    let left = left.map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap().count());
    assert_eq!(left.sum::<usize>(), 0);
}

#[tokio::test]
async fn a_sweep_removes_what_an_earlier_process_left_and_no_row_wants() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, lost) = {
        let blobs = Blobs::open(dir.path()).unwrap();
        (
            store(&blobs, None, b"kept").await,
            store(&blobs, None, b"lost").await,
        )
    };
    std::fs::write(dir.path().join("data/00/notes.txt"), "not content").unwrap();

    let blobs = Blobs::open(dir.path()).unwrap();
    let young = store(&blobs, None, b"its row is on the way").await;
    let live = HashSet::from([kept]);
    let swept = blobs.sweep(move |id| live.contains(id)).await.unwrap();
    assert_eq!((swept.files, swept.bytes), (1, 4 + 80));
    assert!(matches!(
        read(&blobs, lost, None, None).await,
        Err(Error::Missing(_))
    ));
    assert_eq!(read(&blobs, kept, None, None).await.unwrap(), b"kept");
    assert_eq!(
        read(&blobs, young, None, None).await.unwrap(),
        b"its row is on the way"
    );
    assert!(dir.path().join("data/00/notes.txt").exists());
    assert_eq!(blobs.usage().await.unwrap().files, 2);
}

#[tokio::test]
async fn a_directory_belongs_to_one_opener() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let clone = blobs.clone();
    drop(blobs);
    assert!(matches!(Blobs::open(dir.path()), Err(Error::InUse(_))));
    drop(clone);
    Blobs::open(dir.path()).unwrap();
}

const ROLE: &str = "GUREUM_BLOB_TEST_KILLED";

/// The process to be killed: stores without end and says what was acknowledged. Does nothing
/// unless started by the test below.
#[test]
fn store_until_killed() {
    let Some(dir) = std::env::var_os(ROLE) else {
        return;
    };
    let blobs = Blobs::open(PathBuf::from(dir)).unwrap();
    let whole = content(300_000);
    runtime().block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (blobs, whole) = (blobs.clone(), whole.clone());
            tasks.spawn(async move {
                loop {
                    println!("stored {}", store(&blobs, None, &whole).await);
                }
            });
        }
        tasks.join_next().await;
    });
}

#[test]
fn a_killed_process_keeps_what_it_acknowledged_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "leftovers::store_until_killed", "--nocapture"])
        .env(ROLE, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = HashSet::new();
    let mut note = |line: String| {
        if let Some((_, id)) = line.split_once("stored ") {
            acknowledged.insert(id.parse::<BlobId>().unwrap());
        }
    };
    lines.by_ref().take(50).for_each(|line| note(line.unwrap()));
    child.kill().unwrap();
    child.wait().unwrap();
    // The last line may have been cut off by the kill.
    lines
        .map_while(|line| line.ok().filter(|line| line.len() == 39))
        .for_each(note);
    assert!(acknowledged.len() > 20);

    let blobs = Blobs::open(dir.path()).unwrap();
    let whole = content(300_000);
    runtime().block_on(async {
        let live = acknowledged.clone();
        blobs.sweep(move |id| live.contains(id)).await.unwrap();
        assert_eq!(
            blobs.usage().await.unwrap().files,
            acknowledged.len() as u64
        );
        for id in acknowledged {
            assert!(read(&blobs, id, None, None).await.unwrap() == whole);
        }
    });
}
