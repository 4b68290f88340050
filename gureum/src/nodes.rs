//! Instances as Systems Manager's nodes: executes programs in them, by pipes made for it.

use std::io;
use std::os::fd::OwnedFd;

use async_trait::async_trait;
use gureum_compute::{Exec, Outcome};
use gureum_ssm::nodes::{Execution, NodeError, Nodes, Ran};
use rustix::pipe::{PipeFlags, pipe_with};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

use crate::machines::Host;

#[async_trait]
impl Nodes for Host {
    async fn execute(
        &self,
        node: &str,
        argv: Vec<String>,
        limit: usize,
    ) -> Result<Execution, NodeError> {
        let pipe = || pipe_with(PipeFlags::CLOEXEC);
        // Nobody writes to the first, so that reading from it ends at once.
        let ((input, _), (words, output), (cries, errors)) = (pipe()?, pipe()?, pipe()?);
        let exec = Exec {
            argv,
            ..Exec::default()
        };
        let ended = self.compute.exec(node, exec, [input, output, errors]);
        let read = async { tokio::try_join!(heard(words, limit), heard(cries, limit)) };
        let (ended, read) = tokio::join!(ended, read);
        let (output, errors) = read?;
        match ended {
            Ok(outcome) => Ok(Execution::Ended(Ran {
                code: code(outcome),
                output,
                errors,
            })),
            Err(error) => match error.kind() {
                Some(io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                    let known = self.compute.ids()?.iter().any(|id| id == node);
                    Ok(match known {
                        true => Execution::Away,
                        false => Execution::Gone,
                    })
                }
                _ => Err(error.into()),
            },
        }
    }
}

/// The first bytes of what comes through a pipe.
async fn heard(pipe: OwnedFd, limit: usize) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    let mut heard = Vec::new();
    let pipe = Receiver::from_owned_fd(pipe)?;
    pipe.take(limit).read_to_end(&mut heard).await?;
    Ok(heard)
}

fn code(outcome: Outcome) -> i32 {
    match outcome {
        Outcome::Exited(code) => code,
        // As shells say it.
        Outcome::Killed(signal) => 128 + signal,
    }
}
