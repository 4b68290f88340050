//! What only the durable engine can show: reopening, damage, and a full disk.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};

use super::*;

fn open(dir: &Path) -> Store {
    Store::open(dir).expect("open")
}

/// The active journal and where its data ends.
fn journal(dir: &Path) -> (File, u64) {
    let path = dir.join("state/0.jnl");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .expect("journal");
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).expect("read");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("data") as u64 + 1;
    (file, end)
}

fn overwrite(file: &mut File, at: u64, bytes: &[u8]) {
    file.seek(SeekFrom::Start(at)).expect("seek");
    file.write_all(bytes).expect("write");
}

async fn twenty_commits(dir: &Path) {
    let store = open(dir);
    for number in 0..20 {
        put(&store, &format!("key-{number:02}"), number).await;
    }
}

#[tokio::test]
async fn data_outlives_the_handle() {
    let dir = tempfile::tempdir().expect("dir");
    twenty_commits(dir.path()).await;
    let store = open(dir.path());
    assert_eq!(keys(&store.read(), Scan::all()).len(), 20);
    put(&store, "key-00", 100).await;
    drop(store);
    assert_eq!(value(&open(dir.path()).read(), "key-00"), Some(100));
}

#[tokio::test]
async fn versions_go_on_after_reopening() {
    let dir = tempfile::tempdir().expect("dir");
    let mut last = 0;
    for _ in 0..3 {
        let store = open(dir.path());
        let mut cursor = store.cursor("c", "t").await.expect("cursor");
        store.transact(|tx| tx.emit("t", &1)).await.expect("emit");
        let event = cursor.next().await.expect("next");
        assert!(event.seq > last, "{} after {last}", event.seq);
        last = event.seq;
        cursor.ack(last).await.expect("ack");
    }
}

#[tokio::test]
async fn a_torn_tail_is_cut_off() {
    for torn in [1, 8, 20, 60] {
        let dir = tempfile::tempdir().expect("dir");
        twenty_commits(dir.path()).await;
        let (mut file, end) = journal(dir.path());
        overwrite(&mut file, end - torn, &vec![0; torn as usize]);
        let store = open(dir.path());
        assert_eq!(keys(&store.read(), Scan::all()).len(), 19, "torn by {torn}");
        put(&store, "key-19", 19).await;
        drop(store);
        assert_eq!(keys(&open(dir.path()).read(), Scan::all()).len(), 20);
    }
}

#[tokio::test]
async fn damage_in_the_middle_is_refused_and_nothing_is_cut() {
    for zeros in [false, true] {
        let dir = tempfile::tempdir().expect("dir");
        twenty_commits(dir.path()).await;
        let (mut file, end) = journal(dir.path());
        let damage: Vec<u8> = (0..64).map(|n| if zeros { 0 } else { n ^ 0xa5 }).collect();
        overwrite(&mut file, end / 2, &damage);
        let before = std::fs::read(dir.path().join("state/0.jnl")).expect("read");
        let refused = Store::open(dir.path()).err().expect("damaged");
        assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
        let after = std::fs::read(dir.path().join("state/0.jnl")).expect("read");
        assert!(before == after, "the journal was changed");
    }
}

/// Every single flipped byte is found, or falls into the last commit, or changes nothing.
#[tokio::test]
async fn a_flipped_byte_never_loses_a_commit_silently() {
    let dir = tempfile::tempdir().expect("dir");
    twenty_commits(dir.path()).await;
    let pristine = std::fs::read(dir.path().join("state/0.jnl")).expect("read");
    let (_, end) = journal(dir.path());
    for at in (0..end).step_by(37) {
        let copy = tempfile::tempdir().expect("dir");
        copy_dir(dir.path(), copy.path());
        let (mut file, _) = journal(copy.path());
        overwrite(&mut file, at, &[!pristine[at as usize]]);
        if let Ok(store) = Store::open(copy.path()) {
            let read = store.read();
            let kept = (0..20)
                .filter(|n| value(&read, &format!("key-{n:02}")) == Some(*n))
                .count();
            assert!(kept >= 19, "byte {at} of {end}: {kept} commits are left");
        }
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("mkdir");
    for entry in std::fs::read_dir(from).expect("list") {
        let entry = entry.expect("entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("type").is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copy");
        }
    }
}

/// Needs a small filesystem of its own: run it with `GUREUM_TEST_SMALL_DISK` naming an empty
/// directory on one (16 to 256 MiB).
#[tokio::test]
async fn a_full_disk_refuses_and_recovers() {
    let Ok(disk) = std::env::var("GUREUM_TEST_SMALL_DISK") else {
        return;
    };
    let dir = Path::new(&disk).join("data");
    let store = open(&dir);
    put(&store, "before", 1).await;
    let ballast = Path::new(&disk).join("ballast");
    let mut file = File::create(&ballast).expect("ballast");
    while file.write_all(&[1; 64 * 1024]).is_ok() {}
    let refused = store.transact(|tx| tx.put(&item("b", "during", 1))).await;
    assert!(matches!(refused, Err(StoreError::Full(_))), "{refused:?}");
    assert_eq!(
        (
            value(&store.read(), "before"),
            value(&store.read(), "during")
        ),
        (Some(1), None)
    );
    drop(file);
    std::fs::remove_file(&ballast).expect("remove");
    put(&store, "after", 1).await;
    drop(store);
    let read = open(&dir).read();
    assert_eq!(
        (value(&read, "during"), value(&read, "after")),
        (None, Some(1))
    );
}
