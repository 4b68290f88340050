//! An object of S3 as records: taken chunk by chunk, inflated where it is packed, cut at line ends
//! or as CSV says.

use std::io::Write;

use flate2::write::MultiGzDecoder;
use gureum_schema::{Body, Error};

use super::csv::{self, Found};

/// The longest record; a larger one cannot be an item.
const MAX_RECORD: usize = 4 << 20;

/// One object while it is read.
pub(crate) struct Records {
    body: Body,
    inflate: Option<MultiGzDecoder<Vec<u8>>>,
    /// What came in and was not taken yet, from `at` on.
    text: Vec<u8>,
    at: usize,
    ended: bool,
    /// The bytes that came in, as they lie in S3.
    pub(crate) bytes: i64,
}

/// How records are told from each other.
#[derive(Clone, Copy)]
pub(crate) enum Cut {
    Lines,
    Csv(u8),
}

/// A record as it lies in the object.
#[derive(Debug)]
pub(crate) enum Record {
    Line(Vec<u8>),
    Fields(Option<Vec<String>>),
}

impl Records {
    pub(crate) fn of(body: Body, packed: bool) -> Self {
        Self {
            body,
            inflate: packed.then(|| MultiGzDecoder::new(Vec::new())),
            text: Vec::new(),
            at: 0,
            ended: false,
            bytes: 0,
        }
    }

    /// The next record that is not empty; `None` at the end.
    pub(crate) async fn next(&mut self, cut: Cut) -> gureum_schema::Result<Option<Record>> {
        loop {
            if let Some(record) = self.take(cut) {
                if !record.is_empty() {
                    return Ok(Some(record));
                }
                continue;
            }
            if self.ended {
                return Ok(None);
            }
            if self.text.len() - self.at > MAX_RECORD {
                return Err(invalid("a record is longer than any item"));
            }
            self.more().await?;
        }
    }

    fn take(&mut self, cut: Cut) -> Option<Record> {
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return None;
        }
        let (record, taken) = match cut {
            Cut::Lines => {
                let end = rest.iter().position(|byte| *byte == b'\n');
                let line = &rest[..end.or(self.ended.then_some(rest.len()))?];
                let taken = end.map_or(rest.len(), |end| end + 1);
                (Record::Line(line.trim_ascii().to_vec()), taken)
            }
            Cut::Csv(separator) => match csv::record(rest, separator, self.ended) {
                Found::More => return None,
                Found::Record(fields, taken) => (Record::Fields(fields), taken),
            },
        };
        self.at += taken;
        Some(record)
    }

    async fn more(&mut self) -> gureum_schema::Result<()> {
        self.text.drain(..self.at);
        self.at = 0;
        match self.body.chunk().await {
            Some(chunk) => {
                let chunk = chunk.map_err(|error| Error::internal(error.to_string()))?;
                self.bytes += chunk.len() as i64;
                match &mut self.inflate {
                    None => self.text.extend_from_slice(&chunk),
                    Some(inflate) => {
                        inflate.write_all(&chunk).map_err(|_| not_gzip())?;
                        self.text.append(inflate.get_mut());
                    }
                }
            }
            None => {
                if let Some(inflate) = &mut self.inflate {
                    inflate.try_finish().map_err(|_| not_gzip())?;
                    self.text.append(inflate.get_mut());
                }
                self.ended = true;
            }
        }
        Ok(())
    }
}

impl Record {
    fn is_empty(&self) -> bool {
        match self {
            Self::Line(line) => line.is_empty(),
            Self::Fields(fields) => fields
                .as_ref()
                .is_some_and(|fields| fields.iter().all(String::is_empty) && fields.len() == 1),
        }
    }
}

fn not_gzip() -> Error {
    invalid("an object is not compressed with GZIP, or damaged")
}

fn invalid(what: &str) -> Error {
    Error::new("InvalidInput", 400, what)
}
