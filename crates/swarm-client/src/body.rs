//! A request body on its way to hyper, held back while the server has not said `100 Continue`.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use swarm_env::BoxFuture;

use crate::{Body, OpenSource, Source};

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
    reading: Reading,
}

/// Where the reading of a [`Body::Source`] is.
enum Reading {
    /// Not opened yet.
    Before,
    /// The next piece is being read; the source comes back with it.
    Under(BoxFuture<'static, Read>),
    /// Between two pieces.
    Between(Box<dyn Source>),
    /// Over, well or badly.
    Over,
}

/// A source, and the piece that it gave.
type Read = (Box<dyn Source>, io::Result<Option<Bytes>>);

impl Outgoing {
    pub(crate) fn new(body: Body, gate: Gate) -> Self {
        Self { body, sent: 0, gate, reading: Reading::Before }
    }

    /// The next piece, which is not empty and does not go beyond `limit`.
    fn poll_piece(&mut self, cx: &mut Context<'_>, limit: u64) -> Poll<io::Result<Option<Bytes>>> {
        let left = limit - self.sent;
        let wanted = usize::try_from(left).map_or(PIECE, |left| left.min(PIECE));
        let bytes = match &self.body {
            Body::Empty => None,
            Body::Bytes(bytes) => {
                Some(bytes.slice(usize::try_from(self.sent).unwrap_or(usize::MAX)..))
            }
            Body::Stream { make, .. } | Body::Stalls { make, .. } => Some(make(self.sent, wanted)),
            Body::Source { open, .. } => {
                let open = Arc::clone(open);
                return self.poll_source(cx, &open, left);
            }
        };
        debug_assert!(
            bytes.as_ref().is_none_or(|bytes| !bytes.is_empty() && bytes.len() as u64 <= left),
            "a body's maker keeps to its length"
        );
        Poll::Ready(Ok(bytes))
    }

    fn poll_source(
        &mut self,
        cx: &mut Context<'_>,
        open: &OpenSource,
        left: u64,
    ) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            let source = match std::mem::replace(&mut self.reading, Reading::Over) {
                Reading::Before => open(),
                Reading::Between(source) => source,
                Reading::Under(mut piece) => match piece.as_mut().poll(cx) {
                    Poll::Pending => {
                        self.reading = Reading::Under(piece);
                        return Poll::Pending;
                    }
                    Poll::Ready((source, piece)) => {
                        return Poll::Ready(match piece {
                            Ok(Some(bytes)) if !bytes.is_empty() && bytes.len() as u64 <= left => {
                                self.reading = Reading::Between(source);
                                Ok(Some(bytes))
                            }
                            Ok(_) => {
                                Err(io::Error::other("a body has another length than was told"))
                            }
                            Err(error) => Err(error),
                        });
                    }
                },
                Reading::Over => return Poll::Ready(Ok(None)),
            };
            self.reading = Reading::Under(Box::pin(next_of(source)));
        }
    }
}

async fn next_of(mut source: Box<dyn Source>) -> Read {
    let piece = source.next().await;
    (source, piece)
}

impl hyper::body::Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
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
        let piece = ready!(self.poll_piece(cx, limit));
        Poll::Ready(piece.transpose().map(|piece| {
            piece.map(|bytes| {
                self.sent += bytes.len() as u64;
                Frame::data(bytes)
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.sent >= self.body.len()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.body.len() - self.sent)
    }
}
