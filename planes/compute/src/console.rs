//! What an instance writes to its console: a file whose end is kept. May touch: that file, and the
//! terminal that the instance writes to.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use gureum_room::{Doing, Result};

use crate::client::CONSOLE;

/// A file this long is cut down to its last [`CONSOLE`] bytes.
const LONGEST: u64 = 4 * CONSOLE;

pub(crate) struct Console {
    /// Closed in a copy that is no supervisor.
    file: Option<File>,
    length: u64,
    terminal: Option<File>,
}

impl Console {
    pub(crate) fn open(path: &Path) -> Result<Console> {
        let doing = format!("open {}", path.display());
        let mut options = File::options();
        let file = options.read(true).append(true).create(true).open(path);
        let file = file.doing(&doing)?;
        let length = file.metadata().doing(doing)?.len();
        Ok(Console {
            file: Some(file),
            length,
            terminal: None,
        })
    }

    /// From now on the instance writes here.
    pub(crate) fn attach(&mut self, terminal: OwnedFd) -> Result<()> {
        rustix::io::ioctl_fionbio(&terminal, true).doing("set up the console")?;
        self.terminal = Some(terminal.into());
        Ok(())
    }

    pub(crate) fn detach(&mut self) {
        self.drain();
        self.terminal = None;
    }

    /// What to wait on for more.
    pub(crate) fn terminal(&self) -> Option<BorrowedFd<'_>> {
        self.terminal.as_ref().map(AsFd::as_fd)
    }

    /// Keeps what was written; stops listening when there will be no more.
    pub(crate) fn drain(&mut self) {
        let mut buffer = [0; 4096];
        // Bounded, so that an instance that never stops writing does not hold its supervisor.
        for _ in 0..64 {
            let Some(mut terminal) = self.terminal.as_ref() else {
                return;
            };
            match terminal.read(&mut buffer) {
                Ok(0) => self.terminal = None,
                Ok(read) => self.keep(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // The last one who could write is gone.
                Err(_) => self.terminal = None,
            }
        }
    }

    /// Adds a line of our own.
    pub(crate) fn say(&mut self, line: &str) {
        self.keep(format!("{line}\n").as_bytes());
    }

    /// In the copy that becomes the instance.
    pub(crate) fn close(&mut self) {
        self.file = None;
        self.terminal = None;
    }

    fn keep(&mut self, text: &[u8]) {
        let Some(file) = &mut self.file else {
            return;
        };
        // A full disk costs the console's text, not the instance.
        if file.write_all(text).is_ok() {
            self.length += text.len() as u64;
        }
        if self.length > LONGEST {
            self.length = shorten(file).unwrap_or(0);
        }
    }
}

/// Cuts a file down to its end; returns its new length.
fn shorten(file: &mut File) -> std::io::Result<u64> {
    let mut end = Vec::new();
    file.seek(SeekFrom::End(-(CONSOLE as i64)))?;
    file.read_to_end(&mut end)?;
    file.set_len(0)?;
    file.write_all(&end)?;
    Ok(end.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_is_bounded_and_keeps_its_end() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("console");
        let mut console = Console::open(&path).expect("open");
        for number in 0..100_000 {
            console.say(&format!("line {number}"));
        }
        let text = std::fs::read_to_string(&path).expect("read");
        assert!(text.len() as u64 <= LONGEST);
        assert!(text.len() as u64 >= CONSOLE);
        assert!(text.ends_with("line 99998\nline 99999\n"));
        let mut console = Console::open(&path).expect("open again");
        console.say("more");
        let text = std::fs::read_to_string(&path).expect("read");
        assert!(text.ends_with("line 99999\nmore\n"));
    }
}
