//! Whatever the size, the range, the seal and the pieces: the same bytes come back.

use super::*;
use gureum_blob::{Algorithm, Digests, INLINE_LIMIT, Piece, open_inline, seal_inline};
use proptest::{prelude::*, test_runner::TestRunner};
use std::os::unix::fs::PermissionsExt;

/// Sizes about the edges of blocks and of batches of blocks.
fn sizes() -> impl Strategy<Value = usize> {
    let edge = prop_oneof![
        Just(0),
        Just(1),
        Just(2),
        Just(7),
        Just(8),
        Just(9),
        Just(17)
    ];
    prop_oneof![
        (edge, -2..=2_i64).prop_map(|(n, off)| (n * BLOCK as i64 + off).max(0) as usize),
        0..200_000_usize,
    ]
}

fn cut(range: (prop::sample::Index, prop::sample::Index), len: usize) -> std::ops::Range<usize> {
    let (a, b) = (range.0.index(len + 1), range.1.index(len + 1));
    a.min(b)..a.max(b)
}

fn wide(range: &std::ops::Range<usize>) -> Option<std::ops::Range<u64>> {
    Some(range.start as u64..range.end as u64)
}

type Cut = (prop::sample::Index, prop::sample::Index);

/// Runs cases against one directory: opening it is the slow part.
fn check<S: Strategy>(cases: S, test: impl Fn(&Blobs, &tokio::runtime::Runtime, S::Value)) {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let runtime = runtime();
    let mut runner = TestRunner::new(ProptestConfig::with_cases(48));
    let test = |case| {
        test(&blobs, &runtime, case);
        Ok(())
    };
    runner.run(&cases, test).unwrap();
}

#[test]
fn files() {
    let cases = (sizes(), any::<bool>(), any::<[Cut; 4]>());
    check(cases, |blobs, runtime, (size, encrypted, ranges)| {
        let key = encrypted.then(|| key(7));
        let whole = content(size);
        runtime.block_on(async {
            let id = store(blobs, key.as_ref(), &whole).await;
            assert!(read(blobs, id, key.as_ref(), None).await.unwrap() == whole);
            for range in ranges {
                let range = cut(range, size);
                let part = read(blobs, id, key.as_ref(), wide(&range)).await.unwrap();
                assert!(part == whole[range]);
            }
        });
    });
}

#[test]
fn pieces() {
    let cases = (
        prop::collection::vec(0..150_000_usize, 0..6),
        any::<bool>(),
        any::<Cut>(),
    );
    check(cases, |blobs, runtime, (sizes, encrypted, range)| {
        let key = encrypted.then(|| key(7));
        let whole = content(sizes.iter().sum());
        let range = cut(range, whole.len());
        runtime.block_on(async {
            let (mut pieces, mut at) = (Vec::new(), 0);
            for size in sizes {
                pieces.push(take(blobs, key.as_ref(), &whole[at..at + size]).await);
                at += size;
            }
            let open = |range| blobs.open_pieces(&pieces, key.as_ref(), range);
            assert!(drain(open(None).await.unwrap()).await.unwrap() == whole);
            assert!(drain(open(wide(&range)).await.unwrap()).await.unwrap() == whole[range]);
            blobs.delete_pieces(&pieces).await.unwrap();
            assert_eq!(blobs.usage().await.unwrap().files, 0);
        });
    });
}

async fn take(blobs: &Blobs, key: Option<&Key>, part: &[u8]) -> Piece {
    let mut intake = blobs.intake(key).with_digests(&Algorithm::ALL);
    for chunk in part.chunks(30_000) {
        intake.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    let taken = intake.finish().await.unwrap();
    assert_eq!(taken.len, part.len() as u64);
    assert_eq!(taken.sums, Digests::of(&Algorithm::ALL, part));
    assert_eq!(
        matches!(taken.piece, Piece::Inline(_)),
        part.len() <= INLINE_LIMIT
    );
    taken.piece
}

proptest! {
    #[test]
    fn frames(size in 0..=INLINE_LIMIT, encrypted: bool) {
        let key = encrypted.then(|| key(7));
        let whole = content(size);
        let frame = Bytes::from(seal_inline(&whole, key.as_ref()).unwrap());
        prop_assert_eq!(Piece::Inline(frame.clone()).content_len().unwrap(), size as u64);
        prop_assert!(open_inline(&frame, key.as_ref()).unwrap() == whole);
    }
}

#[tokio::test]
async fn ranges_outside_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let id = store(&blobs, None, b"twelve bytes").await;
    let backwards = std::ops::Range { start: 5, end: 4 };
    for range in [0..13, 13..13, backwards] {
        let result = blobs.open_read(id, Some(range.clone())).await;
        assert!(matches!(result, Err(Error::Range { len: 12, .. })));
        let result = blobs
            .open_pieces(&[Piece::File(id, 12)], None, Some(range))
            .await;
        assert!(matches!(result, Err(Error::Range { len: 12, .. })));
    }
}

#[tokio::test]
async fn deleted_content_is_missing_but_readers_finish() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let whole = content(3_000_000);
    let id = store(&blobs, None, &whole).await;
    let reader = blobs.open_read(id, None).await.unwrap();
    blobs.delete(id).await.unwrap();
    blobs.delete(id).await.unwrap();
    assert!(drain(reader).await.unwrap() == whole);
    assert!(
        matches!(blobs.open_read(id, None).await, Err(Error::Missing(missing)) if missing == id)
    );
}

#[tokio::test]
async fn only_the_owner_may_look() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path().join("made")).unwrap();
    let id = store(&blobs, None, b"private").await;
    let file = path_of(&dir.path().join("made"), id);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(file.parent().unwrap()), 0o700);
    assert_eq!(mode(&dir.path().join("made")), 0o700);
}

#[tokio::test]
async fn encrypted_content_does_not_show_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let whole = vec![b'A'; 100_000];
    let id = store(&blobs, Some(&key(7)), &whole).await;
    let file = std::fs::read(path_of(dir.path(), id)).unwrap();
    assert!(!file.windows(8).any(|window| window == b"AAAAAAAA"));
}

#[test]
fn descriptions_survive_serialization() {
    let id: BlobId = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
    let frame = Bytes::from(seal_inline(b"content", None).unwrap());
    let pieces = vec![Piece::File(id, 5), Piece::Inline(frame)];
    let text = serde_json::to_string(&pieces).unwrap();
    assert!(text.contains("\"000102030405060708090a0b0c0d0e0f\""));
    assert_eq!(serde_json::from_str::<Vec<Piece>>(&text).unwrap(), pieces);
    assert!(
        "000102030405060708090A0B0C0D0E0F"
            .parse::<BlobId>()
            .is_err()
    );
    let binary = rmp_serde::to_vec(&pieces).unwrap();
    assert_eq!(
        rmp_serde::from_slice::<Vec<Piece>>(&binary).unwrap(),
        pieces
    );
}
