//! What the disk and the processor can do without us: group-committed appends, sequential writes,
//! MD5. These are the yardsticks for durable operations.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use md5::{Digest, Md5};

use crate::failure::{Context, Failure, Result};

/// Appends records from `writers` threads for `length`; each append returns once its record is on
/// disk, and records that come while the disk is busy share the next `fdatasync`. Per second.
pub(crate) fn group_commit(
    directory: &Path,
    writers: usize,
    record: usize,
    length: Duration,
) -> Result<f64> {
    let path = directory.join("group-commit");
    let file = File::create(&path).or_fail("cannot create a file")?;
    let log = Log::new(file);
    let bytes = vec![0x5a; record];
    let started = Instant::now();
    let counts: Result<Vec<u64>> = std::thread::scope(|scope| {
        let appending = || -> Result<u64> {
            let mut count = 0;
            while started.elapsed() < length {
                log.append(&bytes)?;
                count += 1;
            }
            Ok(count)
        };
        let threads: Vec<_> = (0..writers).map(|_| scope.spawn(appending)).collect();
        let panicked = |_| Err(Failure("a writer panicked".into()));
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(panicked))
            .collect()
    });
    let elapsed = started.elapsed();
    std::fs::remove_file(&path).or_fail("cannot remove a file")?;
    Ok(counts?.into_iter().sum::<u64>() as f64 / elapsed.as_secs_f64())
}

/// A file that many append to. Whoever finds nobody syncing syncs for all who wait.
struct Log {
    file: File,
    state: Mutex<State>,
    synced: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// The batch that `waiting` will be.
    next: u64,
    /// All batches below this one are on disk.
    durable: u64,
    syncing: bool,
}

impl Log {
    fn new(file: File) -> Self {
        Self {
            file,
            state: Mutex::default(),
            synced: Condvar::new(),
        }
    }

    fn append(&self, record: &[u8]) -> Result<()> {
        let poisoned = "another writer panicked";
        let mut state = self.state.lock().or_fail(poisoned)?;
        state.waiting.extend_from_slice(record);
        let mine = state.next;
        while state.durable <= mine {
            if state.syncing {
                state = self.synced.wait(state).or_fail(poisoned)?;
                continue;
            }
            state.syncing = true;
            let batch = std::mem::take(&mut state.waiting);
            state.next += 1;
            let done = state.next;
            drop(state);
            (&self.file).write_all(&batch).or_fail("cannot append")?;
            self.file.sync_data().or_fail("cannot sync")?;
            state = self.state.lock().or_fail(poisoned)?;
            state.durable = done;
            state.syncing = false;
            self.synced.notify_all();
        }
        Ok(())
    }
}

/// Writes a file of so many bytes, one MiB after the other, and syncs it. Bytes per second.
pub(crate) fn sequential_write(directory: &Path, chunk: &[u8], times: u64) -> Result<f64> {
    let path = directory.join("sequential");
    let started = Instant::now();
    let mut file = File::create(&path).or_fail("cannot create a file")?;
    for _ in 0..times {
        file.write_all(chunk).or_fail("cannot write")?;
    }
    file.sync_all().or_fail("cannot sync")?;
    let elapsed = started.elapsed();
    std::fs::remove_file(&path).or_fail("cannot remove a file")?;
    Ok(chunk.len() as f64 * times as f64 / elapsed.as_secs_f64())
}

/// MD5 on one core, which every S3 ETag needs. Bytes per second.
pub(crate) fn md5(chunk: &[u8], times: u64) -> f64 {
    let started = Instant::now();
    let mut hash = Md5::new();
    for _ in 0..times {
        hash.update(chunk);
    }
    std::hint::black_box(hash.finalize());
    chunk.len() as f64 * times as f64 / started.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_append_is_in_the_file_when_it_returns() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("log");
        let log = Log::new(File::create(&path).expect("a file"));
        std::thread::scope(|scope| {
            for writer in 0..4u8 {
                let (log, path) = (&log, &path);
                scope.spawn(move || {
                    for round in 0..20u8 {
                        log.append(&[writer, round]).expect("appended");
                        let text = std::fs::read(path).expect("read");
                        assert!(text.chunks(2).any(|pair| pair == [writer, round]));
                    }
                });
            }
        });
        assert_eq!(std::fs::read(&path).expect("read").len(), 4 * 20 * 2);
    }
}
