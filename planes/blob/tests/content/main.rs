//! Content through the plane's public face: what is written is read, what is damaged is refused.

#![allow(clippy::unwrap_used)]

mod damage;
mod full_disk;
mod leftovers;
mod round_trip;

use bytes::Bytes;
use gureum_blob::{BlobId, Blobs, Error, Key, Reader, Result, layout::BLOCK};
use std::path::{Path, PathBuf};

/// Content in which no two blocks are alike.
fn content(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn key(byte: u8) -> Key {
    Key::from([byte; 32])
}

async fn store(blobs: &Blobs, key: Option<&Key>, content: &[u8]) -> BlobId {
    let mut writer = match key {
        Some(key) => blobs.create_encrypted(key).await.unwrap(),
        None => blobs.create().await.unwrap(),
    };
    for chunk in content.chunks(100_000) {
        writer.write(Bytes::copy_from_slice(chunk)).await.unwrap();
    }
    let stored = writer.commit().await.unwrap();
    assert_eq!(stored.len, content.len() as u64);
    stored.id
}

async fn read(
    blobs: &Blobs,
    id: BlobId,
    key: Option<&Key>,
    range: Option<std::ops::Range<u64>>,
) -> Result<Vec<u8>> {
    drain(match key {
        Some(key) => blobs.open_read_encrypted(id, key, range).await?,
        None => blobs.open_read(id, range).await?,
    })
    .await
}

async fn drain(mut reader: Reader) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(chunk) = reader.next().await? {
        assert!(!chunk.is_empty() && chunk.len() <= 8 * BLOCK);
        all.extend_from_slice(&chunk);
    }
    assert!(reader.next().await?.is_none());
    Ok(all)
}

fn path_of(dir: &Path, id: BlobId) -> PathBuf {
    let name = id.to_string();
    dir.join("data").join(&name[..2]).join(name)
}

fn is_corrupt<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::Corrupt { .. }))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}
