//! The nodes that commands run on, as this service wants them. Whoever has machines implements it.

use async_trait::async_trait;

/// What failed on the way to a node, in words.
pub type NodeError = Box<dyn std::error::Error + Send + Sync>;

/// Machines that execute programs, known by the ids of their instances.
#[async_trait]
pub trait Nodes: Send + Sync + 'static {
    /// Executes a program on a node, as root and with nothing to read, and returns when it has ended.
    /// When the future is dropped the program is killed.
    ///
    /// Of each of its streams the first `limit` bytes are returned; a program that writes more finds
    /// its pipe broken.
    async fn execute(
        &self,
        node: &str,
        argv: Vec<String>,
        limit: usize,
    ) -> Result<Execution, NodeError>;
}

/// What became of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Execution {
    Ended(Ran),
    /// The node does not run now.
    Away,
    /// There is no such node (any more, or not yet).
    Gone,
}

/// A program that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Its exit code, or 128 and the signal that killed it.
    pub code: i32,
    pub output: Vec<u8>,
    pub errors: Vec<u8>,
}
