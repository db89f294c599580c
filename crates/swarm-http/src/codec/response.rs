//! Responses and how they are put on the wire.

use std::io::Write as _;

use bytes::Bytes;
use swarm_env::BoxFuture;

use super::conn::{Conn, Stopped};
use super::fields::FieldBlock;
use crate::status;

/// An answer: status, fields in their order and spelling, body.
#[derive(Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The reason phrase.
    pub reason: &'static str,
    /// The fields, without `Connection`, `Content-Length`, `Transfer-Encoding` and `Keep-Alive`: those are the codec's.
    pub fields: FieldBlock,
    /// The body.
    pub body: Body,
    /// Whether the connection ends with this answer.
    pub close: bool,
    /// How the codec's own fields are written.
    pub own_fields: OwnFields,
}

/// How the fields are written that the codec puts in itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OwnFields {
    /// `Transfer-Encoding`; `Keep-Alive` on a connection that stays.
    #[default]
    Usual,
    /// `transfer-encoding`, and no `Keep-Alive`, as SEND answers (SCSP SEND - Legacy).
    OfSend,
}

/// The body of a response.
pub enum Body {
    /// None; `Content-Length: 0`.
    Empty,
    /// These bytes.
    Full(Bytes),
    /// Announced and not sent: the answer to HEAD.
    Announced(u64),
    /// Pieces as they come, with `Content-Length`; fewer bytes than announced close the connection early.
    Sized(u64, Box<dyn BodySource>),
    /// Pieces as they come, chunked, trailers behind them.
    Chunked(Box<dyn BodySource>),
}

/// Where the pieces of a streamed body come from.
pub trait BodySource: Send {
    /// The next piece; `None` behind the last.
    ///
    /// # Errors
    /// [`Broken`] where there is no telling the rest: the connection is closed early, which is how the client notices.
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Broken>>;

    /// The trailers of a chunked body, asked for behind the last piece.
    fn trailers(&mut self) -> FieldBlock {
        FieldBlock::default()
    }
}

/// A streamed body that cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body cannot be sent to its end")]
pub struct Broken;

impl Response {
    /// A response of this status with no fields and no body, on a connection that stays.
    #[must_use]
    pub fn new(status: u16, reason: &'static str) -> Self {
        Self {
            status,
            reason,
            fields: FieldBlock::new(),
            body: Body::Empty,
            close: false,
            own_fields: OwnFields::Usual,
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Announced(length) => write!(f, "Announced({length})"),
            Self::Sized(length, _) => write!(f, "Sized({length})"),
            Self::Chunked(_) => f.write_str("Chunked"),
        }
    }
}

/// What became of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// All of it is on its way; the connection may go on.
    Whole,
    /// The body broke off; the connection must end now.
    Short,
}

/// Bodies up to this size are copied behind their head and leave in one write.
const COPIED_UP_TO: usize = 16 * 1024;

impl Conn {
    /// Sends an answer; `to_head` says that the request was HEAD, so that no body goes out whatever the service gave.
    pub(super) async fn send(
        &mut self,
        response: Response,
        to_head: bool,
        close: bool,
    ) -> Result<Sent, Stopped> {
        let bodyless = to_head || status::never_has_body(response.status);
        self.compose_head(&response, close);
        match response.body {
            Body::Full(bytes) if !bodyless => self.send_piece(&bytes).await?,
            Body::Sized(length, source) if !bodyless => {
                return self.send_sized(length, source).await;
            }
            Body::Chunked(source) if !bodyless => return self.send_chunked(source).await,
            _ => {}
        }
        self.flush().await?;
        Ok(Sent::Whole)
    }

    fn compose_head(&mut self, response: &Response, close: bool) {
        let out = &mut self.write;
        // Writing to a vector cannot fail.
        drop(write!(out, "HTTP/1.1 {} {}\r\n", response.status, response.reason));
        let (before, after) = response.fields.halves();
        out.extend_from_slice(before);
        if close {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        let length = match &response.body {
            Body::Empty => Some(0),
            Body::Full(bytes) => Some(bytes.len() as u64),
            Body::Announced(length) | Body::Sized(length, _) => Some(*length),
            Body::Chunked(_) => None,
        };
        match length {
            Some(_) if status::never_has_length(response.status) => {}
            Some(length) => drop(write!(out, "Content-Length: {length}\r\n")),
            None => out.extend_from_slice(match response.own_fields {
                OwnFields::Usual => b"Transfer-Encoding: chunked\r\n",
                OwnFields::OfSend => b"transfer-encoding: chunked\r\n",
            }),
        }
        out.extend_from_slice(after);
        if !close && response.own_fields == OwnFields::Usual {
            // Versioning Examples: on responses over persistent connections.
            let secs = self.limits.idle_time.as_secs();
            drop(write!(out, "Keep-Alive: timeout={secs}\r\n"));
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Sends or keeps a piece: a short one may share a write with what follows.
    async fn send_piece(&mut self, piece: &[u8]) -> Result<(), Stopped> {
        if piece.len() <= COPIED_UP_TO {
            self.write.extend_from_slice(piece);
            if self.write.len() <= COPIED_UP_TO * 2 {
                return Ok(());
            }
            return self.flush().await;
        }
        self.send_with(piece).await
    }

    async fn send_sized(
        &mut self,
        length: u64,
        mut source: Box<dyn BodySource>,
    ) -> Result<Sent, Stopped> {
        let mut left = length;
        while left > 0 {
            let Ok(Some(mut piece)) = source.next().await else {
                // What was verified may still go out; the missing rest tells the client.
                self.flush().await?;
                return Ok(Sent::Short);
            };
            debug_assert!(piece.len() as u64 <= left, "a body is not longer than announced");
            piece.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= piece.len() as u64;
            self.send_piece(&piece).await?;
        }
        self.flush().await?;
        Ok(Sent::Whole)
    }

    async fn send_chunked(&mut self, mut source: Box<dyn BodySource>) -> Result<Sent, Stopped> {
        // Somebody may wait for the head while the first piece takes its time.
        self.flush().await?;
        loop {
            match source.next().await {
                // A chunk of no bytes would end the body.
                Ok(Some(piece)) if piece.is_empty() => {}
                Ok(Some(piece)) => {
                    drop(write!(self.write, "{:x}\r\n", piece.len()));
                    self.send_piece(&piece).await?;
                    self.write.extend_from_slice(b"\r\n");
                    // Pieces come when something has happened; the client is to see it now.
                    self.flush().await?;
                }
                Ok(None) => break,
                Err(Broken) => {
                    self.flush().await?;
                    return Ok(Sent::Short);
                }
            }
        }
        self.write.extend_from_slice(b"0\r\n");
        let trailers = source.trailers();
        self.write.extend_from_slice(trailers.halves().0);
        self.write.extend_from_slice(trailers.halves().1);
        self.write.extend_from_slice(b"\r\n");
        self.flush().await?;
        Ok(Sent::Whole)
    }
}
