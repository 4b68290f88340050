//! What is not committed, or not referred to after a crash, does not stay.

use super::*;
use std::collections::HashSet;

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
