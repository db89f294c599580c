//! A request body on its way to hyper, held back while the server has not said `100 Continue`.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::Body;

/// Bytes of a generated body made at a time.
const PIECE: usize = 64 * 1024;

/// Opens when a body may be sent. It needs no waker: whoever opens it polls the connection next, and the connection
/// asks the body again on every poll.
#[derive(Clone)]
pub(crate) struct Gate(Arc<AtomicBool>);

impl Gate {
    pub(crate) fn new(open: bool) -> Self {
        Self(Arc::new(AtomicBool::new(open)))
    }

    pub(crate) fn open(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_open(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// One sending of a [`Body`].
pub(crate) struct Outgoing {
    body: Body,
    sent: u64,
    gate: Gate,
}

impl Outgoing {
    pub(crate) fn new(body: Body, gate: Gate) -> Self {
        Self { body, sent: 0, gate }
    }

    fn piece(&self, limit: u64) -> Option<Bytes> {
        let wanted = usize::try_from(limit - self.sent).map_or(PIECE, |left| left.min(PIECE));
        let bytes = match &self.body {
            Body::Empty => return None,
            Body::Bytes(bytes) => bytes.slice(usize::try_from(self.sent).ok()?..),
            Body::Stream { make, .. } | Body::Stalls { make, .. } => make(self.sent, wanted),
        };
        debug_assert!(
            !bytes.is_empty() && bytes.len() as u64 <= limit - self.sent,
            "a body's maker keeps to its length"
        );
        Some(bytes)
    }
}

impl hyper::body::Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if !self.gate.is_open() {
            return Poll::Pending;
        }
        let limit = match &self.body {
            // The length announced is never reached: from here on only the patience of both sides counts.
            Body::Stalls { after, .. } if self.sent >= *after => return Poll::Pending,
            Body::Stalls { after, .. } => *after,
            whole => whole.len(),
        };
        if self.sent >= limit {
            return Poll::Ready(None);
        }
        let Some(bytes) = self.piece(limit) else { return Poll::Ready(None) };
        self.sent += bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.sent >= self.body.len()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.body.len() - self.sent)
    }
}
