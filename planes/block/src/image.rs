//! An image: what a volume holds, as a stack of layers of which only the top one is written.
//!
//! A block is read from the topmost layer that holds it; one that none holds is zeros. So a
//! snapshot is an empty layer on top, at once and whatever the size, and a volume made from a
//! snapshot has all its bytes before any was copied.

use crate::layer::Layer;
use crate::{BLOCK, Error, Result};

/// A volume's content, open for reading and writing by one owner.
pub struct Image {
    size: u64,
    /// Bottom first; never empty.
    layers: Vec<Layer>,
}

impl Image {
    pub(crate) fn new(size: u64, layers: Vec<Layer>) -> Self {
        Self { size, layers }
    }

    /// Bytes from the first to the last.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn grow(&mut self, size: u64) {
        self.size = size;
        for layer in &mut self.layers {
            layer.grow(size);
        }
    }

    /// Puts an empty layer on top; what is below is never written again.
    pub(crate) fn push(&mut self, layer: Layer) {
        self.layers.push(layer);
    }

    fn top(&mut self) -> &mut Layer {
        let top = self.layers.len() - 1;
        &mut self.layers[top]
    }

    /// The index of the layer that a block is read from.
    fn holder(&self, block: u64) -> Option<usize> {
        self.layers
            .iter()
            .rposition(|layer| layer.map().holds(block))
    }

    fn check(&self, start: u64, len: u64) -> Result<()> {
        match start.checked_add(len) {
            Some(end) if end <= self.size => Ok(()),
            end => Err(Error::Range {
                start,
                end: end.unwrap_or(u64::MAX),
                size: self.size,
            }),
        }
    }

    /// Reads `into.len()` bytes at `start`.
    pub fn read(&self, start: u64, into: &mut [u8]) -> Result<()> {
        self.check(start, into.len() as u64)?;
        let mut at = start;
        let mut rest = into;
        while !rest.is_empty() {
            let within = (at % BLOCK as u64) as usize;
            if within != 0 || rest.len() < BLOCK {
                let len = rest.len().min(BLOCK - within);
                let mut block = [0; BLOCK];
                self.read_blocks(at / BLOCK as u64, &mut block)?;
                rest[..len].copy_from_slice(&block[within..within + len]);
                rest = &mut rest[len..];
                at += len as u64;
            } else {
                let whole = rest.len() / BLOCK * BLOCK;
                let (blocks, tail) = rest.split_at_mut(whole);
                self.read_blocks(at / BLOCK as u64, blocks)?;
                rest = tail;
                at += whole as u64;
            }
        }
        Ok(())
    }

    /// Reads whole blocks, in runs that come from one layer each.
    fn read_blocks(&self, first: u64, into: &mut [u8]) -> Result<()> {
        let count = (into.len() / BLOCK) as u64;
        let mut done = 0;
        while done < count {
            let holder = self.holder(first + done);
            let run = (done + 1..count)
                .find(|&next| self.holder(first + next) != holder)
                .unwrap_or(count);
            let bytes = &mut into[done as usize * BLOCK..run as usize * BLOCK];
            match holder {
                Some(layer) => self.layers[layer].read(first + done, bytes)?,
                None => bytes.fill(0),
            }
            done = run;
        }
        Ok(())
    }

    /// Writes `bytes` at `start`. They last from the next [`Image::flush`] on.
    pub fn write(&mut self, start: u64, bytes: &[u8]) -> Result<()> {
        self.check(start, bytes.len() as u64)?;
        if bytes.is_empty() {
            return Ok(());
        }
        // Whole blocks are written; what surrounds the bytes in the first and last is read first.
        let first = start / BLOCK as u64;
        let end = (start + bytes.len() as u64).div_ceil(BLOCK as u64);
        let mut blocks = vec![0; (end - first) as usize * BLOCK];
        let within = (start % BLOCK as u64) as usize;
        let last = blocks.len() - BLOCK;
        if within != 0 {
            self.read_blocks(first, &mut blocks[..BLOCK])?;
        }
        if !(within + bytes.len()).is_multiple_of(BLOCK) && (last != 0 || within == 0) {
            self.read_blocks(end - 1, &mut blocks[last..])?;
        }
        blocks[within..within + bytes.len()].copy_from_slice(bytes);
        self.top().write(first, &mut blocks)
    }

    /// Makes a range zeros, giving the host its space back where possible.
    pub fn discard(&mut self, start: u64, len: u64) -> Result<()> {
        self.check(start, len)?;
        let first = start.div_ceil(BLOCK as u64);
        let end = (start + len) / BLOCK as u64;
        if first >= end {
            return self.write(start, &vec![0; len as usize]);
        }
        self.write(start, &vec![0; (first * BLOCK as u64 - start) as usize])?;
        self.discard_blocks(first, end)?;
        let tail = end * BLOCK as u64;
        self.write(tail, &vec![0; (start + len - tail) as usize])
    }

    /// Where a lower layer shows through, zeros must be written; elsewhere forgetting is enough.
    fn discard_blocks(&mut self, first: u64, end: u64) -> Result<()> {
        let below = self.layers.len() - 1;
        let covers = |image: &Self, block| {
            image.layers[..below]
                .iter()
                .any(|layer| layer.map().holds(block))
        };
        let mut at = first;
        while at < end {
            let covered = covers(self, at);
            let run = (at + 1..end.min(at + LONGEST_ZEROS))
                .find(|&next| covers(self, next) != covered)
                .unwrap_or(end.min(at + LONGEST_ZEROS));
            if covered {
                let mut zeros = vec![0; (run - at) as usize * BLOCK];
                self.top().write(at, &mut zeros)?;
            } else if self.layers[below].map().any(at..run) {
                self.top().forget(at, run - at)?;
            }
            at = run;
        }
        Ok(())
    }

    /// Writes every block that some layer holds to an empty layer of another stack, and flushes it.
    pub(crate) fn copy_to(&self, layer: &mut Layer) -> Result<()> {
        let count = self.size / BLOCK as u64;
        let mut at = 0;
        while at < count {
            let end = count.min(at + LONGEST_COPY);
            let held = |block: &u64| self.holder(*block).is_some();
            let Some(first) = (at..end).find(held) else {
                at = end;
                continue;
            };
            let last = (first..end).find(|block| !held(block)).unwrap_or(end);
            let mut blocks = vec![0; (last - first) as usize * BLOCK];
            self.read_blocks(first, &mut blocks)?;
            layer.write(first, &mut blocks)?;
            at = last;
        }
        layer.flush()
    }

    /// Waits until everything written so far is on stable storage.
    pub fn flush(&mut self) -> Result<()> {
        self.top().flush()
    }

    /// The numbers of the `unit`-byte pieces in which a layer from `from` on (bottom is 0) holds
    /// anything: what changed since the snapshot that had `from` layers.
    pub(crate) fn touched(&self, from: usize, unit: u64) -> Vec<u64> {
        let layers = self.layers.get(from..).unwrap_or_default();
        (0..self.size.div_ceil(unit))
            .filter(|piece| touches(layers, *piece, unit))
            .collect()
    }

    /// Whether some layer holds anything of this `unit`-byte piece.
    pub(crate) fn holds(&self, piece: u64, unit: u64) -> bool {
        touches(&self.layers, piece, unit)
    }
}

fn touches(layers: &[Layer], piece: u64, unit: u64) -> bool {
    let per = unit / BLOCK as u64;
    let range = piece * per..(piece + 1) * per;
    layers.iter().any(|layer| layer.map().any(range.clone()))
}

/// Blocks that are copied in one piece: 1 MiB.
const LONGEST_COPY: u64 = 256;
/// Blocks of zeros that are written in one piece: 1 MiB.
const LONGEST_ZEROS: u64 = 256;
