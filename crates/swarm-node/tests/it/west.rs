//! Another cluster, the target of feeds, as far as its HTTP goes: it takes what is brought, by the merge rule, and counts.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use swarm_env::{Env, Stream};
use swarm_feeds::wire::{Identity, encode_held, read_delete, read_import, read_probe};
use swarm_node::names;
use swarm_plan::feeds::{Held, Verdict, judge_import, judge_import_delete};
use swarm_sim::SimHandle;
use swarm_types::{HeaderList, ObjectKind, Stamp, StreamId, Uuid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Where it is.
pub(crate) const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);

/// The other cluster.
#[derive(Clone, Default)]
pub(crate) struct West {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    holds: BTreeMap<StreamId, (Stamp, Option<Bytes>)>,
    asked: BTreeMap<String, usize>,
    undone: usize,
    away: bool,
}

impl West {
    /// Lets it begin in a world.
    pub(crate) fn begin(world: &SimHandle) -> Self {
        let west = Self::default();
        let host = world.add_host("west", ADDRESS);
        let (env, theirs) = (world.env(host), west.clone());
        drop(world.spawn_on(host, "listen", async move { theirs.listen(env).await }));
        west
    }

    /// From now on nobody gets an answer, or everybody again.
    pub(crate) fn is_away(&self, away: bool) {
        self.lock().away = away;
    }

    /// The body that it holds under an id.
    pub(crate) fn body(&self, id: StreamId) -> Option<Bytes> {
        self.lock().holds.get(&id)?.1.clone()
    }

    /// How many versions it holds.
    pub(crate) fn versions(&self) -> usize {
        self.lock().holds.values().filter(|(_, body)| body.is_some()).count()
    }

    /// How many deletes it remembers.
    pub(crate) fn deletes(&self) -> usize {
        self.lock().holds.values().filter(|(_, body)| body.is_none()).count()
    }

    /// How many deletes it has taken of what it held.
    pub(crate) fn undone(&self) -> usize {
        self.lock().undone
    }

    /// How many requests of this method it has answered.
    pub(crate) fn asked(&self, method: &str) -> usize {
        self.lock().asked.get(method).copied().unwrap_or(0)
    }

    /// How many that concern an object.
    pub(crate) fn bothered(&self) -> usize {
        ["HEAD", "POST", "DELETE"].map(|method| self.asked(method)).iter().sum()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn listen(self, env: Env) {
        let listener = env.net().listen(80).await.expect("a free port");
        while let Ok((stream, _)) = listener.accept().await {
            let west = self.clone();
            drop(env.spawn("connection", async move { drop(west.serve(stream).await) }));
        }
    }

    async fn serve(self, mut stream: Stream) -> std::io::Result<()> {
        let mut unread = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
                    break at + 4;
                }
                if stream.read_buf(&mut unread).await? == 0 || self.lock().away {
                    return Ok(());
                }
            };
            let head = String::from_utf8(unread.drain(..end).collect()).expect("text");
            let request = Request::read(&head);
            let length = request.headers.text("content-length");
            let length = length.map_or(0, |text| text.parse().expect("a number"));
            if request.headers.text("expect").is_some() {
                stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            while unread.len() < length && stream.read_buf(&mut unread).await? > 0 {}
            if unread.len() < length || self.lock().away {
                return Ok(());
            }
            let body = Bytes::from(unread.drain(..length).collect::<Vec<u8>>());
            let (status, fields) = self.lock().answer(&request, body);
            let lines = fields.iter().fold(String::new(), |lines, header| {
                format!("{lines}{}: {}\r\n", header.name, header.text().expect("text"))
            });
            let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n{lines}\r\n");
            stream.write_all(answer.as_bytes()).await?;
        }
    }
}

impl State {
    fn held(&self, id: StreamId) -> Held {
        match self.holds.get(&id) {
            None => Held::Nothing,
            Some((stamp, Some(_))) => Held::Version { stamp: *stamp, intact: true },
            Some((stamp, None)) => Held::Tombstone(*stamp),
        }
    }

    fn answer(&mut self, request: &Request, body: Bytes) -> (u16, HeaderList) {
        let Request { method, path, query, headers } = request;
        *self.asked.entry(method.clone()).or_default() += 1;
        let mut fields = HeaderList::default();
        let stored = match method.as_str() {
            "GET" => {
                fields.push("Castor-System-Cluster", "west");
                return (200, fields);
            }
            "HEAD" => {
                let (_, identity) = read_probe(path, query, headers).expect("a probe");
                return (200, encode_held(self.held(stream_of(&identity))));
            }
            "DELETE" => {
                let (_, deletion) = read_delete(query, headers).expect("a delete");
                let held = self.held(deletion.stream);
                let store = judge_import_delete(deletion.stamp, held) == Verdict::Store;
                if store {
                    self.undone += usize::from(matches!(held, Held::Version { .. }));
                    self.holds.insert(deletion.stream, (deletion.stamp, None));
                }
                store
            }
            _ => {
                let (_, import) = read_import(path, query, headers).expect("a version");
                assert_eq!(import.meta.length, body.len() as u64);
                let id = stream_of(&import.identity);
                let held = self.held(id);
                let store = judge_import(import.meta.kind, import.stamp, held) == Verdict::Store;
                if store {
                    self.holds.insert(id, (import.stamp, Some(body)));
                }
                store
            }
        };
        (if stored { 201 } else { 409 }, fields)
    }
}

/// The head of a request.
struct Request {
    method: String,
    path: String,
    query: String,
    headers: HeaderList,
}

impl Request {
    fn read(head: &str) -> Self {
        let mut lines = head.lines();
        let mut first = lines.next().expect("a request line").split(' ');
        let method = first.next().expect("a method").to_owned();
        let target = first.next().expect("a target");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers = HeaderList::default();
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            headers.push(name, value.to_owned());
        }
        Self { method, path: path.to_owned(), query: query.to_owned(), headers }
    }
}

/// The id that an object has in every cluster.
fn stream_of(identity: &Identity) -> StreamId {
    let name = || identity.name.as_deref().expect("a name");
    let parent = || identity.cid.expect("a parent");
    match identity.kind {
        ObjectKind::Immutable | ObjectKind::Alias => {
            identity.uuid.map(Uuid::stream).expect("a UUID")
        }
        ObjectKind::Named => names::object_stream(parent(), name()),
        ObjectKind::Bucket => names::bucket_stream(parent(), name()),
        ObjectKind::Domain => names::domain_stream(name()),
    }
}
