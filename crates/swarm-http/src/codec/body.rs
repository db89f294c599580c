//! The body of a request, as the service sees it.
//!
//! While it lives it has the connection on loan: it reads, and sends the `100 Continue` when it is first asked for a piece.
//! When it is dropped, wherever that happens, the connection goes back to the serving loop, which then answers.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::conn::{Conn, NoPiece};
use super::fields::Fields;

/// A request's body. Dropping it unread is fine: the codec's discard rules decide what becomes of the connection.
pub struct RequestBody {
    lent: Option<Lent>,
    got: u64,
    trailers: Option<Fields>,
    moved: Option<Arc<AtomicU64>>,
}

struct Lent {
    conn: Box<Conn>,
    home: Arc<Home>,
}

/// Where a lent connection comes back to.
#[derive(Default)]
pub(super) struct Home {
    slot: Mutex<Option<Box<Conn>>>,
    returned: Notify,
}

/// A body that did not arrive whole. The connection is closed after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The peer closed or reset the connection after this many bytes.
    #[error("the body ended after {got} bytes")]
    Ended {
        /// Bytes received.
        got: u64,
    },
    /// The peer sends too slowly.
    #[error("the body came too slowly, {got} bytes so far")]
    TimedOut {
        /// Bytes received.
        got: u64,
    },
    /// The chunks or trailers make no sense.
    #[error("{why}")]
    Malformed {
        /// What is wrong.
        why: &'static str,
    },
}

impl RequestBody {
    /// A body of no bytes.
    #[must_use]
    pub fn empty() -> Self {
        Self { lent: None, got: 0, trailers: None, moved: None }
    }

    pub(super) fn lend(conn: Box<Conn>, home: Arc<Home>) -> Self {
        let mut body = Self::empty();
        body.lent = Some(Lent { conn, home });
        body
    }

    /// The next piece, at most 64 KiB; `None` behind the last.
    ///
    /// # Errors
    /// See [`BodyError`]; there are no more pieces then.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        let Some(lent) = &mut self.lent else { return Ok(None) };
        match lent.conn.next_piece().await {
            Ok(Some(piece)) => {
                self.got += piece.len() as u64;
                if let Some(moved) = &self.moved {
                    moved.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Some(piece))
            }
            Ok(None) => {
                self.trailers = lent.conn.decoder.take_trailers();
                self.give_back();
                Ok(None)
            }
            Err(why) => {
                self.give_back();
                Err(match why {
                    NoPiece::Ended => BodyError::Ended { got: self.got },
                    NoPiece::TimedOut => BodyError::TimedOut { got: self.got },
                    NoPiece::Malformed(why) => BodyError::Malformed { why },
                })
            }
        }
    }

    /// The fields behind a chunked body, once [`RequestBody::next`] has returned `None`.
    #[must_use]
    pub fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }

    /// Bytes handed out so far.
    #[must_use]
    pub fn got(&self) -> u64 {
        self.got
    }

    /// A number that grows with every piece read, for whoever watches for progress.
    #[must_use]
    pub fn watch(&mut self) -> Arc<AtomicU64> {
        Arc::clone(self.moved.get_or_insert_default())
    }

    fn give_back(&mut self) {
        if let Some(Lent { conn, home }) = self.lent.take() {
            home.put(conn);
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl std::fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RequestBody").field("got", &self.got).finish_non_exhaustive()
    }
}

impl Home {
    fn put(&self, conn: Box<Conn>) {
        // A poisoned lock guards nothing but an Option; what it holds is as good as ever.
        let old = self.slot.lock().unwrap_or_else(PoisonError::into_inner).replace(conn);
        debug_assert!(old.is_none(), "a connection is lent once at a time");
        self.returned.notify_one();
    }

    /// The connection, if it is back.
    pub(super) fn try_take(&self) -> Option<Box<Conn>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits until the connection is back.
    pub(super) async fn take(&self) -> Box<Conn> {
        loop {
            match self.try_take() {
                Some(conn) => return conn,
                None => self.returned.notified().await,
            }
        }
    }
}
