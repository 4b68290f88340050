//! What only the durable engine can show: reopening, damage, and a full disk.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use super::*;

fn open(dir: &Path) -> Store {
    Store::open(dir).expect("open")
}

/// The one segment of the log.
fn segment(dir: &Path) -> PathBuf {
    let mut files = std::fs::read_dir(dir.join("state/log")).expect("log");
    let segment = files.next().expect("a segment").expect("entry").path();
    assert!(files.next().is_none(), "more than one segment");
    segment
}

/// The log's segment and where its data ends.
fn log(dir: &Path) -> (File, u64) {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(segment(dir))
        .expect("segment");
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
        let (mut file, end) = log(dir.path());
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
        let (mut file, end) = log(dir.path());
        let damage: Vec<u8> = (0..512)
            .map(|n| if zeros { 0 } else { n as u8 ^ 0xa5 })
            .collect();
        overwrite(&mut file, end / 2, &damage);
        let before = std::fs::read(segment(dir.path())).expect("read");
        let refused = Store::open(dir.path()).err().expect("damaged");
        assert!(matches!(refused, StoreError::Corrupt(_)), "{refused}");
        let after = std::fs::read(segment(dir.path())).expect("read");
        assert!(before == after, "the log was changed");
    }
}

/// A flipped byte is found, or falls into the last commit, or changes nothing.
#[tokio::test]
async fn a_flipped_byte_never_loses_a_commit_silently() {
    let dir = tempfile::tempdir().expect("dir");
    twenty_commits(dir.path()).await;
    let path = segment(dir.path());
    let (_, end) = log(dir.path());
    let mut pristine = std::fs::read(&path).expect("read");
    pristine.truncate(end as usize);
    let mut refusals = 0;
    for at in (0..pristine.len()).step_by(61) {
        let mut flipped = pristine.clone();
        flipped[at] = !flipped[at];
        std::fs::write(&path, &flipped).expect("write");
        match Store::open(dir.path()) {
            Err(StoreError::Corrupt(_)) => refusals += 1,
            Err(other) => panic!("byte {at}: {other}"),
            Ok(store) => {
                let read = store.read();
                let kept = (0..20).filter(|n| value(&read, &format!("key-{n:02}")) == Some(*n));
                assert!(kept.count() >= 19, "byte {at} of {end} lost a commit");
            }
        }
    }
    // Most bytes are zeros between the frames.
    assert!(
        refusals > pristine.len() / 61 / 8,
        "only {refusals} refusals"
    );
}

/// A row whose value is kept apart from its key.
fn apart(n: u64, round: u64) -> Big {
    let text = format!("{n:08}{round:08}").repeat(2048);
    Big { n, text }
}

async fn put_apart(store: &Store, rows: std::ops::Range<u64>, round: u64) {
    let put = |tx: &mut Tx| rows.clone().try_for_each(|n| tx.put(&apart(n, round)));
    store.transact(put).await.expect("put");
}

/// The files of values, once there are any: a flush makes them in the background.
async fn value_files(dir: &Path) -> Vec<std::path::PathBuf> {
    let blobs = dir.join("state/rows/blobs");
    loop {
        let files = std::fs::read_dir(&blobs).into_iter().flatten();
        let files: Vec<_> = files.map(|file| file.expect("file").path()).collect();
        if !files.is_empty() {
            return files;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

fn occupied(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let of = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => occupied(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.map(of).sum()
}

#[tokio::test]
async fn values_kept_apart_come_back_and_their_garbage_goes() {
    const ROWS: u64 = 64;
    const ROUNDS: u64 = 160;
    let dir = tempfile::tempdir().expect("dir");
    let mut store = open(dir.path());
    for round in 0..ROUNDS {
        // The first rows are rewritten at every turn; eight more stay as they are.
        put_apart(&store, 0..ROWS, round).await;
        put_apart(&store, ROWS * (round + 1)..ROWS * (round + 1) + 8, 0).await;
    }
    store
        .transact(|tx| (0..ROWS / 2).try_for_each(|n| tx.delete::<Big>(n)))
        .await
        .expect("delete");
    for reopen in [false, true] {
        if reopen {
            drop(store);
            store = open(dir.path());
        }
        let read = store.read();
        let mut found = 0;
        for row in read.scan(Scan::<Big>::all()) {
            let row = row.expect("row");
            let round = if row.n < ROWS { ROUNDS - 1 } else { 0 };
            assert!(row.text == apart(row.n, round).text, "row {}", row.n);
            found += 1;
        }
        assert_eq!(found, ROWS / 2 + 8 * ROUNDS);
    }
    let mib = occupied(dir.path()) >> 20;
    assert!(mib < 240, "{mib} MiB for 40 MiB, of 370 MiB written");
}

#[tokio::test]
async fn damage_to_a_value_kept_apart_is_found() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    for start in (0..640).step_by(64) {
        put_apart(&store, start..start + 64, 0).await;
    }
    let files = value_files(dir.path()).await;
    drop(store);
    for path in &files {
        let mut bytes = std::fs::read(path).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, &bytes).expect("write");
    }
    let read = open(dir.path()).read();
    let mut refused = 0;
    for n in 0..640 {
        match read.get::<Big>(n) {
            Ok(row) => assert!(row.expect("row").text == apart(n, 0).text, "row {n}"),
            Err(StoreError::Corrupt(_)) => refused += 1,
            Err(other) => panic!("row {n}: {other}"),
        }
    }
    assert_eq!(refused, files.len());
}

/// Needs a small filesystem of its own: run it with `GUREUM_TEST_SMALL_DISK` naming an empty
/// directory on one (about 64 MiB), and one test at a time.
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
    assert!(matches!(refused, Err(StoreError::NoRoom(_))), "{refused:?}");
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

/// A flush in the background hits the end of the disk: the store must open its tables anew, again and
/// again, until there is space.
#[tokio::test]
async fn a_failed_flush_heals_when_there_is_space() {
    let Ok(disk) = std::env::var("GUREUM_TEST_SMALL_DISK") else {
        return;
    };
    let dir = Path::new(&disk).join("flush");
    let mut store = open(&dir);
    let free = || {
        let disk = rustix::fs::statvfs(&disk).expect("statvfs");
        disk.f_bavail * disk.f_frsize
    };
    let ballast = Path::new(&disk).join("ballast");
    let mut file = File::create(&ballast).expect("ballast");
    while free() > 30 << 20 {
        file.write_all(&[1; 64 * 1024]).expect("ballast");
    }
    // The log takes it, but then there is no room for the table that it becomes.
    let big = |n: u64| Big {
        n,
        text: crate::names::id::hex_digits(8 << 20),
    };
    let rows: Vec<Big> = (0..3).map(big).collect();
    store
        .transact(|tx| rows.iter().try_for_each(|row| tx.put(row)))
        .await
        .expect("large");
    let mut acked = Vec::new();
    for number in 0..40 {
        let key = format!("{number:02}");
        if store
            .transact(|tx| tx.put(&item("b", &key, number)))
            .await
            .is_ok()
        {
            acked.push(key);
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    drop(file);
    std::fs::remove_file(&ballast).expect("remove");
    put(&store, "after", 1).await;
    acked.push("after".into());
    for reopen in [false, true] {
        if reopen {
            drop(store);
            store = open(&dir);
        }
        assert_eq!(keys(&store.read(), Scan::all()), acked);
        for row in &rows {
            let found = store.read().get::<Big>(row.n).expect("get").expect("row");
            assert!(found.text == row.text);
        }
    }
}
