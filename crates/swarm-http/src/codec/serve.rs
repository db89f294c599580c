//! The life of a connection: head, service, answer, and what to do with a body that nobody read.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;

use swarm_env::{Env, Stream};
use tower::Service;

use super::Limits;
use super::body::{Home, RequestBody};
use super::conn::{Conn, LENT_TIME, NoHead};
use super::head::RequestHead;
use super::response::{Response, Sent};
use crate::status;

/// A request with its body still on the wire.
#[derive(Debug)]
pub struct Request {
    /// Request line and fields.
    pub head: RequestHead,
    /// The body.
    pub body: RequestBody,
    /// Who asks.
    pub peer: SocketAddr,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionEnd {
    /// The client closed it or fell silent between two requests.
    Idle,
    /// We closed it after an answer, as announced.
    Announced,
    /// The client vanished or stalled within a request or an answer, or a body broke off.
    Broken,
}

/// Serves one connection to its end: requests one after the other, answers in the same order.
///
/// The service is asked for one request at a time. It never fails; what it cannot do it says in its [`Response`]. A client
/// that vanishes is noticed when its body is read or its answer is sent; the service's future is not dropped for it.
pub async fn serve_connection<S>(
    stream: Stream,
    env: Env,
    mut service: S,
    limits: Limits,
) -> ConnectionEnd
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    let mut conn = Box::new(Conn::new(stream, env.clone(), limits));
    let mut home: Option<Arc<Home>> = None;
    loop {
        let head = match conn.next_head().await {
            Ok(head) => head,
            Err(NoHead::Ended) => return ConnectionEnd::Idle,
            Err(NoHead::Stopped) => return ConnectionEnd::Broken,
            Err(NoHead::Bad(bad)) => return refuse(conn, status::bad_head(bad, env.wall())).await,
        };
        let to_head = head.method() == "HEAD";
        let wants_close = head.wants_close();
        let peer = conn.peer();
        match poll_fn(|cx| service.poll_ready(cx)).await {
            Ok(()) => {}
            Err(never) => match never {},
        }
        let response = if conn.decoder.is_done() {
            let request = Request { head, body: RequestBody::empty(), peer };
            let Ok(response) = service.call(request).await;
            response
        } else {
            let home = home.get_or_insert_default();
            let body = RequestBody::lend(conn, Arc::clone(home));
            let Ok(response) = service.call(Request { head, body, peer }).await;
            // Nearly always it is back by now, and no clock is needed.
            conn = match home.try_take() {
                Some(back) => back,
                None => match env.timeout(LENT_TIME, home.take()).await {
                    Ok(back) => back,
                    Err(_) => return ConnectionEnd::Broken,
                },
            };
            response
        };
        match answer(&mut conn, response, to_head, wants_close).await {
            Next::Request => {}
            Next::Close => {
                conn.linger().await;
                return ConnectionEnd::Announced;
            }
            Next::Drop => return ConnectionEnd::Broken,
        }
    }
}

enum Next {
    Request,
    Close,
    Drop,
}

async fn answer(conn: &mut Conn, response: Response, to_head: bool, wants_close: bool) -> Next {
    let clean = settle_body(conn).await;
    let close = response.close || wants_close || !clean;
    match conn.send(response, to_head, close).await {
        Ok(Sent::Whole) if close => Next::Close,
        Ok(Sent::Whole) => Next::Request,
        Ok(Sent::Short) | Err(_) => Next::Drop,
    }
}

/// Gets past a body that the service left unread; false if the connection cannot be kept.
///
/// A client that asked with `Expect` and got no `100 Continue` may or may not send its body now, so its connection is not
/// kept. One that did not ask has sent it already: it is read and thrown away first (SCSP WRITE), up to a limit of ours.
async fn settle_body(conn: &mut Conn) -> bool {
    if conn.decoder.is_done() {
        return !conn.broken;
    }
    !conn.continue_due && conn.discard_body().await
}

async fn refuse(mut conn: Box<Conn>, response: Response) -> ConnectionEnd {
    match conn.send(response, false, true).await {
        Ok(_) => {
            conn.linger().await;
            ConnectionEnd::Announced
        }
        Err(_) => ConnectionEnd::Broken,
    }
}

#[cfg(test)]
mod tests;
