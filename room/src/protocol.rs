//! What the keeper and its clients say. The greeting is JSON and stays as it is for all time, so
//! that any two versions understand enough of each other to let the newer one take over.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Error, Host, Result};

/// Counted up when the frames after the greeting change their meaning.
pub(crate) const PROTOCOL: u32 = 1;

/// The first message of a client.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Greeting {
    /// Asks the keeper to end and leave the room as it is, for a keeper of another version.
    pub(crate) step_down: bool,
}

/// The keeper's answer to it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) protocol: u32,
    pub(crate) pid: i32,
    pub(crate) program: Program,
    /// Absent when the other side's version words it in another way.
    #[serde(default)]
    pub(crate) host: Option<Host>,
}

/// Which file a process was started from: a version number would not tell two builds apart.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    device: u64,
    inode: u64,
    changed: i64,
}

impl From<Metadata> for Program {
    fn from(file: Metadata) -> Program {
        Program {
            device: file.dev(),
            inode: file.ino(),
            changed: file.mtime(),
        }
    }
}

/// A request to the room itself rather than to a duty.
pub(crate) const ROOM: &str = "";
pub(crate) const CLOSE: &[u8] = b"close";
pub(crate) const LOOK: &[u8] = b"look";

/// Duty and request in one body.
pub(crate) fn call(duty: &str, request: &[u8]) -> Result<Vec<u8>> {
    let length = u8::try_from(duty.len()).map_err(|_| Error::Message("a duty's name".into()))?;
    Ok([&[length], duty.as_bytes(), request].concat())
}

pub(crate) fn parse_call(body: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = body.split_first()?;
    let (duty, request) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(duty).ok()?, request))
}

/// The answer to a call: what was asked for, or what went wrong in words.
pub(crate) fn answer(outcome: std::result::Result<Vec<u8>, String>) -> Vec<u8> {
    match outcome {
        Ok(mut body) => {
            body.insert(0, 0);
            body
        }
        Err(message) => [&[1], message.as_bytes()].concat(),
    }
}

pub(crate) fn parse_answer(body: &[u8]) -> Result<&[u8]> {
    match body.split_first() {
        Some((0, body)) => Ok(body),
        Some((_, message)) => Err(Error::Failed(String::from_utf8_lossy(message).into_owned())),
        None => Err(Error::Message("an empty answer".into())),
    }
}

pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    rmp_serde::to_vec_named(value).map_err(|e| Error::Message(e.to_string()))
}

pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    rmp_serde::from_slice(body).map_err(|e| Error::Message(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_answers_go_there_and_back() {
        let body = call("network", b"\x00\xff").expect("short");
        assert_eq!(parse_call(&body), Some(("network", &b"\x00\xff"[..])));
        assert_eq!(parse_call(b""), None);
        assert_eq!(parse_call(b"\x05ab"), None);
        let fine = answer(Ok(b"yes".to_vec()));
        assert_eq!(parse_answer(&fine).expect("fine"), b"yes");
        let wrong = answer(Err("no such thing".into()));
        let error = parse_answer(&wrong).expect_err("wrong");
        assert_eq!(error.to_string(), "no such thing");
        assert!(parse_answer(b"").is_err());
    }
}
