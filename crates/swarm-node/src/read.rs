//! Reads.

use bytes::Bytes;

use crate::api::BodyBroken;

/// The verified body of an object, in pieces of at most 64 KiB.
#[derive(Debug)]
pub struct Body {}

impl Body {
    /// The next verified piece; `None` at the end.
    ///
    /// # Errors
    /// [`BodyBroken`] where the replica is damaged: no byte of the bad block is given out.
    #[expect(clippy::unused_async, reason = "the interface comes before its content")]
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyBroken> {
        Ok(None)
    }
}
