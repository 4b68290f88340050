//! Whatever happens to the bytes on disk, no wrong byte is ever delivered.

use super::*;
use gureum_blob::{Piece, layout::FOOTER, layout::STORED_BLOCK, open_inline, seal_inline};
use std::fs;

const KEYS: [Option<u8>; 2] = [None, Some(7)];

/// Flips each bit of the file at the given positions in turn; every whole read must fail.
async fn flip_each(len: usize, positions: impl Fn(usize) -> Vec<usize>) {
    for secret in KEYS {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let key = secret.map(key);
        let id = store(&blobs, key.as_ref(), &content(len)).await;
        let path = path_of(dir.path(), id);
        let intact = fs::read(&path).unwrap();
        for position in positions(intact.len()) {
            let mut flipped = intact.clone();
            flipped[position] ^= 1 << (position % 8);
            fs::write(&path, &flipped).unwrap();
            let result = read(&blobs, id, key.as_ref(), None).await;
            assert!(
                is_corrupt(&result),
                "byte {position} of {len}: {:?}",
                result.map(|_| ())
            );
        }
    }
}

#[tokio::test]
async fn any_flipped_byte_of_a_small_file_is_noticed() {
    for len in [0, 1, 300] {
        flip_each(len, |size| (0..size).collect()).await;
    }
}

#[tokio::test]
async fn flipped_tags_edges_and_footers_of_a_large_file_are_noticed() {
    flip_each(2 * BLOCK + 5, |size| {
        let edges = [
            0,
            BLOCK - 1,
            STORED_BLOCK,
            STORED_BLOCK + BLOCK - 1,
            2 * STORED_BLOCK,
        ];
        let tags = (BLOCK..STORED_BLOCK).chain(STORED_BLOCK + BLOCK..2 * STORED_BLOCK);
        let tail = size - FOOTER - 21..size;
        edges
            .into_iter()
            .chain(tags)
            .chain(tail)
            .chain((0..size).step_by(3_001))
            .collect()
    })
    .await;
}

#[tokio::test]
async fn a_range_fails_only_when_it_touches_the_damage() {
    for secret in KEYS {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let key = secret.map(key);
        let whole = content(4 * BLOCK);
        let id = store(&blobs, key.as_ref(), &whole).await;
        let path = path_of(dir.path(), id);
        let mut file = fs::read(&path).unwrap();
        file[STORED_BLOCK + 10] ^= 0x40;
        fs::write(&path, file).unwrap();
        let block = BLOCK as u64;
        for hit in [
            block..block + 1,
            0..block + 1,
            2 * block - 1..2 * block,
            block..4 * block,
        ] {
            let result = read(&blobs, id, key.as_ref(), Some(hit)).await;
            assert!(matches!(result, Err(Error::Corrupt { at, .. }) if at == block));
        }
        let clear = read(&blobs, id, key.as_ref(), Some(2 * block..4 * block))
            .await
            .unwrap();
        assert!(clear == whole[2 * BLOCK..]);
    }
}

#[tokio::test]
async fn files_cut_short_or_grown_are_refused() {
    for secret in KEYS {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let key = secret.map(key);
        let id = store(&blobs, key.as_ref(), &content(2 * BLOCK + 5)).await;
        let path = path_of(dir.path(), id);
        let intact = fs::read(&path).unwrap();
        for len in [
            0,
            1,
            FOOTER,
            STORED_BLOCK,
            intact.len() - FOOTER,
            intact.len() - 1,
        ] {
            fs::write(&path, &intact[..len]).unwrap();
            assert!(
                is_corrupt(&read(&blobs, id, key.as_ref(), None).await),
                "cut to {len}"
            );
        }
        fs::write(&path, [&intact[..], b"!"].concat()).unwrap();
        assert!(is_corrupt(&read(&blobs, id, key.as_ref(), None).await));
    }
}

#[tokio::test]
async fn blocks_swapped_moved_or_missing_are_noticed() {
    for secret in KEYS {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let key = secret.map(key);
        let id = store(&blobs, key.as_ref(), &content(3 * BLOCK)).await;
        let twin = store(&blobs, key.as_ref(), &content(3 * BLOCK)).await;
        let path = path_of(dir.path(), id);
        let (intact, other) = (
            fs::read(&path).unwrap(),
            fs::read(path_of(dir.path(), twin)).unwrap(),
        );

        let swapped = [
            &intact[STORED_BLOCK..2 * STORED_BLOCK],
            &intact[..STORED_BLOCK],
            &intact[2 * STORED_BLOCK..],
        ];
        let moved = [&other[..STORED_BLOCK], &intact[STORED_BLOCK..]];
        let removed = [&intact[..STORED_BLOCK], &intact[2 * STORED_BLOCK..]];
        for damaged in [
            swapped.concat(),
            moved.concat(),
            removed.concat(),
            other.clone(),
        ] {
            fs::write(&path, damaged).unwrap();
            assert!(is_corrupt(&read(&blobs, id, key.as_ref(), None).await));
        }
    }
}

#[tokio::test]
async fn damage_beyond_the_first_chunk_stops_the_stream_there() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let whole = content(20 * BLOCK);
    let id = store(&blobs, None, &whole).await;
    let path = path_of(dir.path(), id);
    let mut file = fs::read(&path).unwrap();
    file[9 * STORED_BLOCK] ^= 1;
    fs::write(&path, file).unwrap();
    let mut reader = blobs.open_read(id, None).await.unwrap();
    let first = reader.next().await.unwrap().unwrap();
    assert!(first == whole[..first.len()] && first.len() <= 9 * BLOCK);
    assert!(is_corrupt(&reader.next().await));
    assert!(reader.next().await.unwrap().is_none());
}

#[tokio::test]
async fn a_wrong_key_is_told_from_damage() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let (right, wrong) = (key(7), key(8));
    let sealed = store(&blobs, Some(&right), b"secret").await;
    let plain = store(&blobs, None, b"plain").await;
    let empty = store(&blobs, Some(&right), b"").await;
    for (id, key) in [
        (sealed, Some(&wrong)),
        (sealed, None),
        (plain, Some(&right)),
        (empty, Some(&wrong)),
    ] {
        assert!(matches!(read(&blobs, id, key, None).await, Err(Error::Key)));
        assert!(matches!(
            read(&blobs, id, key, Some(0..0)).await,
            Err(Error::Key)
        ));
    }
    assert_eq!(
        read(&blobs, sealed, Some(&right), None).await.unwrap(),
        b"secret"
    );
}

#[tokio::test]
async fn a_piece_of_another_length_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let id = store(&blobs, None, b"twelve bytes").await;
    assert!(is_corrupt(
        &blobs.open_pieces(&[Piece::File(id, 11)], None, None).await
    ));
}

#[test]
fn any_flipped_bit_of_a_frame_is_noticed() {
    for secret in KEYS {
        let key = secret.map(key);
        let frame = seal_inline(b"some small content", key.as_ref()).unwrap();
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(
                is_corrupt(&open_inline(&flipped.into(), key.as_ref())),
                "bit {bit}"
            );
        }
        for len in 0..frame.len() {
            let cut = Bytes::copy_from_slice(&frame[..len]);
            assert!(is_corrupt(&open_inline(&cut, key.as_ref())), "cut to {len}");
        }
    }
}

#[test]
fn frames_know_their_key_and_limit() {
    let frame = Bytes::from(seal_inline(b"secret", Some(&key(7))).unwrap());
    assert!(matches!(
        open_inline(&frame, Some(&key(8))),
        Err(Error::Key)
    ));
    assert!(matches!(open_inline(&frame, None), Err(Error::Key)));
    let long = content(gureum_blob::INLINE_LIMIT + 1);
    assert!(matches!(
        seal_inline(&long, None),
        Err(Error::TooLong { .. })
    ));
}
