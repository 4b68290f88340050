//! Object content on the local disk: durable before acknowledged, checksummed, verified on read.
//!
//! This plane knows bytes, files and keys, and nothing of who asks for them. Two forms exist:
//!
//! * **Files**, written by [`Writer`]: 64 KiB blocks, each followed by a 16-byte tag, and a footer
//!   (see [`layout`]). A range read verifies exactly the blocks that it touches.
//! * **Inline frames**, made by [`seal_inline`]: content of at most [`INLINE_LIMIT`] bytes, sealed
//!   to be kept inside a row of the caller's own store, whose group commit then makes it durable
//!   together with many others.
//!
//! [`Intake`] chooses between the two while content streams in, and computes digests on the way.
//! What it returns is a [`Piece`]; a list of pieces reads as one content through
//! [`Blobs::open_pieces`], so composing objects copies nothing.
//!
//! Invariants: a [`Stored`] answer means that file and directory entry are on stable storage; no
//! byte leaves a [`Reader`] before its block's tag was verified; memory per stream is a few
//! batches of blocks, whatever the content's size; no block is written twice under one key.
//!
//! Not here: replication and repair. A block found corrupt is reported, not mended.

mod blobs;
mod digest;
mod error;
mod hashing;
mod id;
mod inline;
mod intake;
pub mod layout;
mod pieces;
mod reader;
mod seal;
mod sweep;
mod turns;
mod writer;

pub use blobs::Blobs;
pub use digest::{Algorithm, Digests, Sums, combine};
pub use error::{Error, Result};
pub use hashing::Hashing;
pub use id::BlobId;
pub use inline::{INLINE_LIMIT, open_inline, seal_inline};
pub use intake::{Intake, Taken};
pub use pieces::Piece;
pub use reader::Reader;
pub use seal::Key;
pub use sweep::{Swept, Usage};
pub use writer::{Stored, Writer};
