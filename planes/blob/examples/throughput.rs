//! Prints rates of taking content in, beside what the disk and the digests reach alone.
//!
//! `cargo run --release -p gureum-blob --example throughput [directory]`

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use gureum_blob::{Algorithm, Blobs, Digests, Key, Piece};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

const SIZE: usize = 64 << 20;
const ROUNDS: usize = 7;

/// The median rate of a few rounds.
fn report(name: &str, mut rates: Vec<f64>) {
    rates.sort_by(f64::total_cmp);
    println!("{name:<34} {:>7.0} MB/s", rates[rates.len() / 2]);
}

fn rate(since: Instant) -> f64 {
    SIZE as f64 / 1e6 / since.elapsed().as_secs_f64()
}

fn raw_write(dir: &Path, content: &[u8]) -> f64 {
    let path = dir.join("raw");
    let start = Instant::now();
    let mut file = File::create(&path).unwrap();
    for chunk in content.chunks(1 << 20) {
        file.write_all(chunk).unwrap();
    }
    file.sync_data().unwrap();
    let rate = rate(start);
    std::fs::remove_file(path).unwrap();
    rate
}

async fn put(blobs: &Blobs, content: &Bytes, key: Option<&Key>, sums: &[Algorithm]) -> f64 {
    let start = Instant::now();
    let mut intake = blobs.intake(key).with_digests(sums);
    for at in (0..SIZE).step_by(64 << 10) {
        intake
            .write(content.slice(at..at + (64 << 10)))
            .await
            .unwrap();
    }
    let taken = intake.finish().await.unwrap();
    let rate = rate(start);
    if let Piece::File(id, _) = taken.piece {
        blobs.delete(id).await.unwrap();
    }
    rate
}

async fn get(blobs: &Blobs, piece: &Piece, key: Option<&Key>) -> f64 {
    let start = Instant::now();
    let pieces = std::slice::from_ref(piece);
    let mut reader = blobs.open_pieces(pieces, key, None).await.unwrap();
    while reader.next().await.unwrap().is_some() {}
    rate(start)
}

/// Files made durable per second by 16 writers, beside appending the same to one open file and
/// flushing once per 16: what a store's group commit does with rows.
async fn small(blobs: &Blobs, dir: &Path, content: &Bytes, size: usize) {
    const EACH: usize = 40;
    let start = Instant::now();
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let (blobs, content) = (blobs.clone(), content.slice(..size));
        writers.spawn(async move {
            for _ in 0..EACH {
                let mut writer = blobs.create().await.unwrap();
                writer.write(content.clone()).await.unwrap();
                writer.commit().await.unwrap();
            }
        });
    }
    while writers.join_next().await.is_some() {}
    let files = (16 * EACH) as f64 / start.elapsed().as_secs_f64();

    let mut log = File::create(dir.join("log")).unwrap();
    let start = Instant::now();
    for _ in 0..EACH {
        for _ in 0..16 {
            log.write_all(&content[..size]).unwrap();
        }
        log.sync_data().unwrap();
    }
    let appends = (16 * EACH) as f64 / start.elapsed().as_secs_f64();
    let size = size / 1024;
    println!("{size:>5} KiB, 16 writers: {files:>7.0} files/s, {appends:>7.0} grouped appends/s");
}

#[tokio::main]
async fn main() {
    let base = std::env::args().nth(1).unwrap_or_else(|| ".".to_owned());
    let dir = tempfile::tempdir_in(base).unwrap();
    let blobs = Blobs::open(dir.path()).unwrap();
    let content = Bytes::from(
        (0..SIZE as u64)
            .map(|n| ((n * n) >> 7) as u8)
            .collect::<Vec<_>>(),
    );
    let key = Key::from([7; 32]);

    report(
        "raw write + fdatasync",
        (0..ROUNDS)
            .map(|_| raw_write(dir.path(), &content))
            .collect(),
    );
    for algorithm in Algorithm::ALL {
        let digest = |_| {
            let start = Instant::now();
            std::hint::black_box(Digests::of(&[algorithm], &content));
            rate(start)
        };
        report(
            &format!("{algorithm:?} alone"),
            (0..3).map(digest).collect(),
        );
    }
    let cases: [(&str, Option<&Key>, &[Algorithm]); 4] = [
        ("put, no digest", None, &[]),
        ("put + md5", None, &[Algorithm::Md5]),
        (
            "put + md5 + crc64nvme",
            None,
            &[Algorithm::Md5, Algorithm::Crc64Nvme],
        ),
        (
            "put encrypted + md5 + crc64nvme",
            Some(&key),
            &[Algorithm::Md5, Algorithm::Crc64Nvme],
        ),
    ];
    for (name, key, sums) in cases {
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            rates.push(put(&blobs, &content, key, sums).await);
        }
        report(name, rates);
    }
    for (name, key) in [("get, cached", None), ("get encrypted, cached", Some(&key))] {
        let mut intake = blobs.intake(key);
        intake.write(content.clone()).await.unwrap();
        let piece = intake.finish().await.unwrap().piece;
        let mut rates = Vec::new();
        for _ in 0..ROUNDS {
            rates.push(get(&blobs, &piece, key).await);
        }
        report(name, rates);
    }
    for size in [4, 16, 64, 256, 1024] {
        small(&blobs, dir.path(), &content, size << 10).await;
    }
}
