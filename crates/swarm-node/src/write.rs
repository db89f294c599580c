//! Writes.

use bytes::Bytes;

use crate::Node;
use crate::api::{DeleteReply, DeleteRequest, ReadReply, ReadRequest, Refusal, Reply, WriteReply, WriteRequest};

/// A write that this node has agreed to take: feed it the body, then finish it. Dropping it leaves nothing visible.
#[derive(Debug)]
pub struct WriteSession {}

#[expect(clippy::unused_async, reason = "the interface comes before its content")]
impl WriteSession {
    /// Takes the next piece of the body; waits while the disks are behind.
    ///
    /// # Errors
    /// Any [`Refusal`]; the write is over then.
    pub async fn write(&mut self, piece: Bytes) -> Result<(), Refusal> {
        drop(piece);
        Ok(())
    }

    /// Publishes the object: durable on every replica named in the reply when this returns. Runs in a task of its own,
    /// so that a client that vanishes cannot cancel half a commit.
    ///
    /// # Errors
    /// Any [`Refusal`].
    pub async fn finish(self) -> Result<WriteReply, Refusal> {
        Err(Refusal::Unavailable { why: "not built" })
    }
}

#[expect(clippy::unused_async, reason = "the interface comes before its content")]
impl Node {
    /// Reads an object, or says who should be asked.
    ///
    /// # Errors
    /// Any [`Refusal`].
    pub async fn read(&self, request: ReadRequest) -> Result<Reply<ReadReply>, Refusal> {
        drop(request);
        Err(Refusal::NotFound)
    }

    /// Agrees to a write before its body, or says who should be asked.
    ///
    /// # Errors
    /// Any [`Refusal`].
    pub async fn begin_write(&self, request: WriteRequest) -> Result<Reply<WriteSession>, Refusal> {
        drop(request);
        Err(Refusal::NotFound)
    }

    /// Deletes an object, or says who should be asked.
    ///
    /// # Errors
    /// Any [`Refusal`].
    pub async fn delete(&self, request: DeleteRequest) -> Result<Reply<DeleteReply>, Refusal> {
        drop(request);
        Err(Refusal::NotFound)
    }
}
