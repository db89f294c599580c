//! An answer: its head, and its body as it arrives.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as _, Incoming};
use swarm_types::HeaderList;

use crate::connection::{Answer, Connection, Deadline};
use crate::{Client, Error, ErrorKind, Sent};

/// How much of a redirect's body is read to keep its connection; a longer one closes it.
const DRAIN_MAX: usize = 64 * 1024;

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Its fields: names in lower case, all fields of one name together and in wire order (hyper keeps no more).
    pub headers: HeaderList,
    /// Its body.
    pub body: BodyReader,
    /// Every address asked, in order.
    pub hops: Vec<SocketAddr>,
    /// The address that answered: the last of them.
    pub served_by: SocketAddr,
}

impl Response {
    pub(crate) fn new(
        connection: Connection,
        answer: Answer,
        deadline: Deadline,
        hops: &[SocketAddr],
        client: &Client,
    ) -> Self {
        let served_by = connection.to();
        let (parts, incoming) = answer.into_parts();
        let body = BodyReader {
            incoming: Some(incoming),
            connection: Some(connection),
            deadline,
            client: client.clone(),
            at: served_by,
            hop: hops.len(),
            trailers: None,
        };
        Self {
            status: parts.status.as_u16(),
            headers: list(&parts.headers),
            body,
            hops: hops.to_vec(),
            served_by,
        }
    }

    /// The first value of a field as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.text(name)
    }
}

/// The body of an answer. Read to its end it returns the connection to the pool; dropped before, it closes it.
pub struct BodyReader {
    /// Gone when the body has ended, well or badly.
    incoming: Option<Incoming>,
    connection: Option<Connection>,
    deadline: Deadline,
    client: Client,
    at: SocketAddr,
    hop: usize,
    trailers: Option<HeaderList>,
}

impl BodyReader {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] or [`ErrorKind::Reset`] if the body broke off, [`ErrorKind::Timeout`] when patience ran
    /// out. After an error there is nothing more.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        let piece = std::future::poll_fn(|cx| self.poll_piece(cx)).await;
        if !matches!(piece, Some(Ok(_))) {
            self.finish(piece.is_none());
        }
        piece.map(|piece| {
            piece.map_err(|kind| Error::new(kind, self.at, Sent::Perhaps).on_hop(self.at, self.hop))
        })
    }

    /// The whole body, if it has at most `limit` bytes.
    ///
    /// # Errors
    /// As [`BodyReader::next`]; [`ErrorKind::TooLong`].
    pub async fn collect(&mut self, limit: usize) -> Result<Bytes, Error> {
        let mut pieces = Vec::new();
        let mut length = 0;
        while let Some(piece) = self.next().await {
            let piece = piece?;
            length += piece.len();
            if length > limit {
                self.finish(false);
                return Err(Error::new(ErrorKind::TooLong { limit }, self.at, Sent::Perhaps)
                    .on_hop(self.at, self.hop));
            }
            pieces.push(piece);
        }
        Ok(if pieces.len() == 1 { pieces.remove(0) } else { pieces.concat().into() })
    }

    /// The trailers, once the body has been read to its end and if there were any.
    #[must_use]
    pub fn trailers(&self) -> Option<&HeaderList> {
        self.trailers.as_ref()
    }

    /// Lets go of the connection at once where there is no body to wait for.
    pub(crate) async fn settle(&mut self) {
        if self.incoming.as_ref().is_some_and(Incoming::is_end_stream) {
            let nothing = self.next().await;
            debug_assert!(nothing.is_none(), "an ended body has no piece");
        }
    }

    /// Reads a short body to its end, so that the connection can be used again.
    pub(crate) async fn drain(&mut self) {
        let mut drained = 0;
        while drained <= DRAIN_MAX {
            match self.next().await {
                Some(Ok(piece)) => drained += piece.len(),
                Some(Err(_)) | None => return,
            }
        }
    }

    pub(crate) fn into_deadline(self) -> Deadline {
        self.deadline
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ErrorKind>>> {
        loop {
            let (Some(incoming), Some(connection)) = (&mut self.incoming, &mut self.connection)
            else {
                return Poll::Ready(None);
            };
            connection.drive(cx);
            match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Ready(None) => {
                    // The connection learns only now that the body was taken; it is idle after this.
                    connection.drive(cx);
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok().map(|trailers| list(&trailers))
                    }
                },
                Poll::Ready(Some(Err(error))) => {
                    // The connection knows better than the body why it broke off.
                    let kind =
                        connection.take_failure().unwrap_or_else(|| ErrorKind::of_hyper(&error));
                    return Poll::Ready(Some(Err(kind)));
                }
                Poll::Pending => {
                    let moved = connection.moved();
                    return self.deadline.poll(cx, moved).map(|()| Some(Err(ErrorKind::Timeout)));
                }
            }
        }
    }

    fn finish(&mut self, complete: bool) {
        self.incoming = None;
        if let Some(connection) = self.connection.take()
            && complete
            && connection.is_reusable()
        {
            self.client.recycle(self.at, connection);
        }
    }
}

impl std::fmt::Debug for BodyReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = if self.incoming.as_ref().is_some_and(|incoming| !incoming.is_end_stream()) {
            "open"
        } else {
            "ended"
        };
        write!(f, "BodyReader({state})")
    }
}

fn list(headers: &http::HeaderMap) -> HeaderList {
    let mut list = HeaderList::default();
    for (name, value) in headers {
        list.push(name.as_str(), Bytes::copy_from_slice(value.as_bytes()));
    }
    list
}
