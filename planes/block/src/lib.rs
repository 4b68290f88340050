//! Block storage: volumes that outlive what uses them.
//!
//! A volume is an [`Image`]: a stack of layers, each the 4 KiB blocks that were written between two
//! snapshots. A [`Depot`] is the directory that holds layers, volumes and snapshots:
//!
//! ```text
//! layers/ID/{data,map,layer.json}   blocks, which ones are there, the name of their key
//! volumes/NAME.json                 size, layers (bottom first; the last one is written)
//! snapshots/NAME.json               size, layers
//! ```
//!
//! Invariants:
//! * a layer that a snapshot names is never written again, so a snapshot never changes;
//! * each change of a volume or snapshot is one file renamed over another: a crash leaves the old or
//!   the new one, and layers that nobody names, which [`Depot::sweep`] removes;
//! * what was flushed is there after a crash;
//! * blocks of an encrypted layer are never on the host's disk in the clear.
//!
//! Not here: who may use a volume, and what it is called in a service.

mod cipher;
mod client;
mod depot;
mod device;
mod duty;
mod error;
mod files;
mod gate;
mod image;
mod layer;
mod map;
mod process;
mod serve;
mod throttle;

pub use cipher::Key;
pub use client::{Block, Leaving, volume_main};
pub use depot::{Changed, Depot, Keys, Source};
pub use error::{Error, Result};
pub use image::Image;
pub use serve::Usage;
pub use throttle::{Limits, Throttle};

/// Bytes of a block: what file systems write at least, and the unit in which layers differ.
pub const BLOCK: usize = 4096;
/// Bytes of the pieces in which snapshots are listed and read from outside.
pub const PIECE: u64 = 512 * 1024;
