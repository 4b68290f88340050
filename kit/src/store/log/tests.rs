//! The log by itself: what is read back after crashes and damage.

use proptest::prelude::*;

use super::*;

type Read = Vec<(Vec<u8>, Option<Vec<u8>>)>;

fn commit(version: Version, changes: &[(&[u8], Option<&[u8]>)]) -> Arc<Commit> {
    let owned = |(key, value): &(&[u8], Option<&[u8]>)| {
        (key.to_vec(), value.map(bytes::Bytes::copy_from_slice))
    };
    let changes = changes.iter().map(owned).collect();
    Arc::new(Commit { version, changes })
}

/// One change, under the version's own key.
fn single(version: Version, value: &[u8]) -> Arc<Commit> {
    commit(version, &[(&version.to_be_bytes(), Some(value))])
}

/// Opens the log, with all changes that it replays and how many segments it closes.
fn open(dir: &Path, stored: Version) -> Result<(Log, Read, usize), StoreError> {
    let mut read = Read::new();
    let mut sealed = 0;
    let log = Log::open(
        dir,
        stored,
        |_, changes| {
            for change in changes {
                let (key, value) = change?;
                read.push((key.to_vec(), value.map(<[u8]>::to_vec)));
            }
            Ok(())
        },
        |_| sealed += 1,
    )?;
    Ok((log, read, sealed))
}

fn versions(read: &Read) -> Vec<Version> {
    let version = |(key, _): &(Vec<u8>, _)| key.as_slice().try_into().map(Version::from_be_bytes);
    read.iter().filter_map(|row| version(row).ok()).collect()
}

fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).expect("log");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn segments_are_used_again_and_their_old_frames_are_none() {
    let dir = tempfile::tempdir().expect("dir");
    let (mut log, ..) = open(dir.path(), 0).expect("open");
    for version in 1..=40 {
        log.append(&[single(version, &[7; 100])]).expect("append");
        if version % 10 == 0 {
            let sealed = log.seal().expect("seal");
            // As if its memtable had become a table.
            log.segments().reuse(&sealed);
        }
    }
    log.append(&[single(41, b"last")]).expect("append");
    assert!(segments(dir.path()).len() <= 2, "one active, one spare");
    drop(log);
    let (mut log, read, sealed) = open(dir.path(), 40).expect("open");
    assert_eq!((versions(&read), sealed, log.last()), (vec![41], 0, 41));
    log.append(&[single(42, b"more")]).expect("append");
    drop(log);
    let (_, read, _) = open(dir.path(), 40).expect("open");
    assert_eq!(versions(&read), [41, 42]);
}

#[test]
fn a_missing_segment_is_damage() {
    let dir = tempfile::tempdir().expect("dir");
    let (mut log, ..) = open(dir.path(), 0).expect("open");
    for version in 1..=3 {
        log.append(&[single(version, b"x")]).expect("append");
        log.seal().expect("seal");
    }
    drop(log);
    let (_, read, _) = open(dir.path(), 0).expect("open");
    assert_eq!(versions(&read), [1, 2, 3]);
    std::fs::remove_file(&segments(dir.path())[1]).expect("remove");
    assert!(matches!(open(dir.path(), 0), Err(StoreError::Corrupt(_))));
    // Unless tables hold what it held.
    let (_, read, _) = open(dir.path(), 2).expect("open");
    assert_eq!(versions(&read), [3]);
}

/// The frame that a tenant would have to write into a value to have it taken for one.
#[test]
fn a_frame_of_another_segment_within_a_value_is_no_frame() {
    let mut frame = Vec::new();
    frame::encode(&mut frame, 12345, 0, &[single(99, b"forged")]).expect("encode");
    let dir = tempfile::tempdir().expect("dir");
    let (mut log, ..) = open(dir.path(), 0).expect("open");
    log.append(&[single(1, b"x")]).expect("append");
    // Wherever the value begins, one of the copies begins with a sector.
    let value = [frame.clone(), vec![0; 1]].concat().repeat(SECTOR);
    log.append(&[single(2, &value)]).expect("append");
    let bytes = std::fs::read(&segments(dir.path())[0]).expect("read");
    let head = &frame[..40];
    assert!(bytes.chunks(SECTOR).any(|sector| sector.starts_with(head)));
    let end = log.end;
    drop(log);
    // Tear the last one, so that what follows is searched.
    let file = File::options().write(true).open(&segments(dir.path())[0]);
    let file = file.expect("segment");
    file.write_all_at(&[1], end - SECTOR as u64).expect("write");
    let (_, read, _) = open(dir.path(), 0).expect("open");
    assert_eq!(versions(&read), [1]);
}

/// A commit that failed is not there later, even if all of it had reached the disk.
#[test]
fn what_failed_is_erased() {
    let dir = tempfile::tempdir().expect("dir");
    let (mut log, ..) = open(dir.path(), 0).expect("open");
    log.append(&[single(1, b"x")]).expect("append");
    let end = log.end;
    log.append(&[single(2, b"failed")]).expect("append");
    // As a failed `fdatasync` would leave it.
    (log.end, log.last, log.unsure) = (end, 1, true);
    log.append(&[single(3, b"y")]).expect("append");
    drop(log);
    let (_, read, _) = open(dir.path(), 0).expect("open");
    assert_eq!(versions(&read), [1, 3]);
}

fn any_batch() -> impl Strategy<Value = Vec<(Vec<u8>, Option<Vec<u8>>)>> {
    let bytes = |most| proptest::collection::vec(any::<u8>(), 0..most);
    proptest::collection::vec((bytes(20), proptest::option::of(bytes(1500))), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However the last write was torn, what is read back is all before it, and nothing else.
    #[test]
    fn a_torn_end_leaves_what_was_before(
        batches in proptest::collection::vec(any_batch(), 1..8),
        torn in any::<prop::sample::Index>(),
        garbage in any::<u8>(),
    ) {
        let dir = tempfile::tempdir().expect("dir");
        let (mut log, ..) = open(dir.path(), 0).expect("open");
        let mut expected = Read::new();
        let mut start = 0;
        for (batch, version) in batches.iter().zip(1..) {
            let changes = batch.iter().cloned();
            let changes = changes.map(|(key, value)| (key, value.map(Into::into))).collect();
            let commit = Arc::new(Commit { version, changes });
            start = log.end;
            log.append(std::slice::from_ref(&commit)).expect("append");
            if version < batches.len() as u64 {
                let of = |(key, value): (&Vec<u8>, &Option<bytes::Bytes>)| {
                    (key.clone(), value.as_ref().map(|value| value.to_vec()))
                };
                expected.extend(commit.changes.iter().map(of));
            }
        }
        let len = (log.end - start) as usize;
        drop(log);
        // From some sector of the last frame on, the disk holds what was there before.
        let from = torn.index(len.div_ceil(SECTOR)) * SECTOR;
        let file = File::options().write(true).open(&segments(dir.path())[0]);
        let old = vec![garbage; len - from];
        file.expect("segment").write_all_at(&old, start + from as u64).expect("write");
        let (log, read, _) = open(dir.path(), 0).expect("open");
        let torn_in_padding = log.last() == batches.len() as u64;
        prop_assert!(!torn_in_padding || read.len() > expected.len());
        prop_assert_eq!(&read[..expected.len()], &expected[..]);
        prop_assert!(torn_in_padding || read.len() == expected.len());
    }
}
