//! Requests as a server of a test hears them.

use std::io;

use swarm_env::Stream;
use swarm_types::HeaderList;
use tokio::io::AsyncReadExt;

/// A request as a server heard it.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) host: usize,
    pub(crate) connection: usize,
    pub(crate) verb: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderList,
    pub(crate) body: Vec<u8>,
}

/// Reads the next request, but for its body; `None` where the client has closed.
pub(crate) async fn read_heard(
    stream: &mut Stream,
    unread: &mut Vec<u8>,
    host: usize,
    connection: usize,
) -> io::Result<Option<Heard>> {
    let end = loop {
        if let Some(at) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(unread).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8(unread.drain(..end).collect()).unwrap();
    Ok(Some(read_head(&head, host, connection)))
}

fn read_head(head: &str, host: usize, connection: usize) -> Heard {
    let mut lines = head.lines();
    let mut first = lines.next().unwrap().split(' ');
    let verb = first.next().unwrap().to_owned();
    let (path, query) = first.next().unwrap().split_once('?').unwrap();
    let mut headers = HeaderList::default();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        headers.push(name, value.to_owned());
    }
    let (path, query) = (path.to_owned(), query.to_owned());
    Heard { host, connection, verb, path, query, headers, body: Vec::new() }
}
