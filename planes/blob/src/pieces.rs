//! Content described as a list of pieces, for the caller to keep in its rows.

use crate::{BlobId, Error, Result, inline};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// A run of content: a file, or a sealed frame that the row itself holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Piece {
    /// A whole file, and its content's length in bytes.
    File(BlobId, u64),
    /// What [`seal_inline`](crate::seal_inline) gave.
    Inline(#[serde(with = "frame")] Bytes),
}

impl Piece {
    /// Content bytes, by the description alone: nothing is read or verified.
    pub fn content_len(&self) -> Result<u64> {
        match self {
            Piece::File(_, len) => Ok(*len),
            Piece::Inline(frame) => inline::content_len(frame),
        }
    }
}

/// A part of one piece that a reader has to deliver.
#[derive(Clone, Debug)]
pub(crate) enum Span {
    File {
        id: BlobId,
        len: Option<u64>,
        range: Option<Range<u64>>,
    },
    Inline {
        frame: Bytes,
        range: Range<u64>,
    },
}

impl Span {
    fn of(piece: &Piece, range: Range<u64>) -> Self {
        match piece {
            Piece::File(id, len) => Span::File {
                id: *id,
                len: Some(*len),
                range: Some(range),
            },
            Piece::Inline(frame) => Span::Inline {
                frame: frame.clone(),
                range,
            },
        }
    }
}

/// The spans that make up `range` of the pieces' content, or all of it.
///
/// An empty range still visits one piece, so that missing content and wrong keys show.
pub(crate) fn plan(pieces: &[Piece], range: Option<Range<u64>>) -> Result<Vec<Span>> {
    let corrupt = Error::Corrupt {
        id: None,
        at: 0,
        what: "lengths overflow",
    };
    let mut bounds = Vec::with_capacity(pieces.len());
    let mut total = 0u64;
    for piece in pieces {
        let start = total;
        let Some(end) = start.checked_add(piece.content_len()?) else {
            return Err(corrupt);
        };
        bounds.push(start..end);
        total = end;
    }
    let range = check_range(range, total)?;
    let mut spans = Vec::new();
    for (piece, at) in pieces.iter().zip(&bounds) {
        let (start, end) = (range.start.max(at.start), range.end.min(at.end));
        if start < end {
            spans.push(Span::of(piece, start - at.start..end - at.start));
        }
    }
    if let (true, Some(first)) = (spans.is_empty(), pieces.first()) {
        spans.push(Span::of(first, 0..0));
    }
    Ok(spans)
}

/// The range itself if it lies inside `len` bytes; everything when none is given.
pub(crate) fn check_range(range: Option<Range<u64>>, len: u64) -> Result<Range<u64>> {
    match range {
        None => Ok(0..len),
        Some(range) if range.start <= range.end && range.end <= len => Ok(range),
        Some(Range { start, end }) => Err(Error::Range { start, end, len }),
    }
}

/// Frames as byte strings, in formats that have them.
mod frame {
    use bytes::Bytes;
    use serde::de::{Deserializer, Error, SeqAccess, Visitor};
    use serde::ser::Serializer;
    use std::fmt;

    pub(super) fn serialize<S: Serializer>(frame: &Bytes, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(frame)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Bytes, D::Error> {
        from.deserialize_byte_buf(Frame)
    }

    struct Frame;

    impl<'de> Visitor<'de> for Frame {
        type Value = Bytes;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
            Ok(Bytes::copy_from_slice(bytes))
        }

        fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
            Ok(bytes.into())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Bytes, A::Error> {
            let mut bytes = Vec::new();
            while let Some(byte) = items.next_element()? {
                bytes.push(byte);
            }
            Ok(bytes.into())
        }
    }
}
