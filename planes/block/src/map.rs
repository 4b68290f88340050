//! Which blocks a layer holds: one bit each, in memory and in a file beside the data.
//! May touch: the file that it is given.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes of the file that are written together.
const PAGE: usize = 4096;
const WORDS: usize = PAGE / 8;

/// A set of block numbers. Changes are in memory until [`Map::store`].
pub(crate) struct Map {
    words: Vec<u64>,
    /// One flag per page of the file that differs from memory.
    dirty: Vec<bool>,
}

impl Map {
    /// The map in `file`, for `blocks` blocks. A file that ends early holds no further blocks.
    pub(crate) fn load(file: &File, blocks: u64) -> io::Result<Self> {
        let mut map = Self {
            words: Vec::new(),
            dirty: Vec::new(),
        };
        map.grow(blocks);
        let mut page = [0u8; PAGE];
        for number in 0..map.dirty.len() {
            let mut filled = 0;
            while filled < PAGE {
                match file.read_at(&mut page[filled..], (number * PAGE + filled) as u64)? {
                    0 => break,
                    read => filled += read,
                }
            }
            for (word, bytes) in page[..filled].chunks_exact(8).enumerate() {
                let mut eight = [0; 8];
                eight.copy_from_slice(bytes);
                map.words[number * WORDS + word] = u64::from_le_bytes(eight);
            }
            if filled < PAGE {
                break;
            }
        }
        Ok(map)
    }

    /// Makes room for `blocks` blocks.
    pub(crate) fn grow(&mut self, blocks: u64) {
        let pages = (blocks as usize).div_ceil(PAGE * 8).max(self.dirty.len());
        self.words.resize(pages * WORDS, 0);
        self.dirty.resize(pages, false);
    }

    pub(crate) fn holds(&self, block: u64) -> bool {
        self.words
            .get(block as usize / 64)
            .is_some_and(|word| word & (1 << (block % 64)) != 0)
    }

    pub(crate) fn add(&mut self, block: u64) {
        self.change(block, |word, bit| word | bit);
    }

    pub(crate) fn remove(&mut self, block: u64) {
        self.change(block, |word, bit| word & !bit);
    }

    fn change(&mut self, block: u64, with: impl Fn(u64, u64) -> u64) {
        let index = block as usize / 64;
        let new = with(self.words[index], 1 << (block % 64));
        if new != self.words[index] {
            self.words[index] = new;
            self.dirty[index / WORDS] = true;
        }
    }

    /// Whether any block of `range` is held.
    pub(crate) fn any(&self, range: std::ops::Range<u64>) -> bool {
        range.into_iter().any(|block| self.holds(block))
    }

    /// Writes what has changed, and waits for the disk. Returns whether there was anything.
    pub(crate) fn store(&mut self, file: &File) -> io::Result<bool> {
        let mut any = false;
        for (number, dirty) in self.dirty.iter_mut().enumerate() {
            if !*dirty {
                continue;
            }
            let words = &self.words[number * WORDS..(number + 1) * WORDS];
            let page: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            file.write_all_at(&page, (number * PAGE) as u64)?;
            any = true;
        }
        if any {
            file.sync_data()?;
            self.dirty.fill(false);
        }
        Ok(any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_stored_is_loaded_and_nothing_else() {
        let file = tempfile::tempfile().unwrap();
        let mut map = Map::load(&file, 100_000).unwrap();
        for block in [0, 63, 64, 32_767, 32_768, 99_999] {
            map.add(block);
        }
        map.remove(64);
        assert!(map.store(&file).unwrap());
        assert!(!map.store(&file).unwrap());
        map.add(7);
        let mut again = Map::load(&file, 200_000).unwrap();
        let held: Vec<u64> = (0..200_000).filter(|&block| again.holds(block)).collect();
        assert_eq!(held, [0, 63, 32_767, 32_768, 99_999]);
        assert!(again.any(99_000..100_000) && !again.any(100_000..200_000));
        again.grow(10);
        assert!(again.holds(99_999));
    }
}
