//! Measures durable commits of 1 KiB rows by 16 concurrent writers, and beside them what the disk
//! gives at best: appending the same bytes to a file, one `fdatasync` for each 16 of them.
//!
//! `cargo run --release -p gureum-kit --example commits -- <directory> [seconds]`

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gureum_kit::{Row, Store, StoreError};
use serde::{Deserialize, Serialize};

const WRITERS: u64 = 16;

#[derive(Serialize, Deserialize)]
struct Blob {
    writer: u64,
    number: u64,
    text: String,
}

impl Row for Blob {
    const TABLE: &'static str = "bench.blob";
    type Key = (u64, u64);

    fn key(&self) -> Self::Key {
        (self.writer, self.number)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("name a directory")?);
    let seconds = arguments.next().map_or(Ok(5), |text| text.parse())?;
    let span = Duration::from_secs(seconds);
    println!("raw append  {:>8.0} KiB-writes/s", raw(&dir, span)?);
    println!(
        "store       {:>8.0} transactions/s",
        store(&dir, span).await?
    );
    println!("memory      {}", memory()?);
    Ok(())
}

fn raw(dir: &std::path::Path, span: Duration) -> std::io::Result<f64> {
    std::fs::create_dir_all(dir)?;
    let path = dir.join("raw");
    let mut file = File::create(&path)?;
    let (start, mut written) = (Instant::now(), 0);
    while start.elapsed() < span {
        file.write_all(&[0x5a; 1024 * WRITERS as usize])?;
        file.sync_data()?;
        written += WRITERS;
    }
    std::fs::remove_file(path)?;
    Ok(written as f64 / start.elapsed().as_secs_f64())
}

async fn store(dir: &std::path::Path, span: Duration) -> Result<f64, StoreError> {
    let store = Store::open(&dir.join("store"))?;
    let written = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (store, written) = (store.clone(), written.clone());
            tokio::spawn(async move {
                for number in 0.. {
                    if start.elapsed() >= span {
                        break;
                    }
                    let text = format!("{number:01024}");
                    let row = Blob {
                        writer,
                        number,
                        text,
                    };
                    store.transact(|tx| tx.put(&row)).await?;
                    written.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, StoreError>(())
            })
        })
        .collect();
    for writer in writers {
        writer
            .await
            .map_err(|error| StoreError::Closed(error.to_string()))??;
    }
    Ok(written.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64())
}

fn memory() -> std::io::Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = |name| {
        status
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap_or_default()
    };
    Ok(format!(
        "{}  {}  {}",
        line("VmRSS"),
        line("VmHWM"),
        line("Threads")
    ))
}
