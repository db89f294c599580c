//! A small reverse proxy before a cluster: it follows the redirects of the nodes itself, so that who asks it sees one address, and
//! leaves a node alone that has sent something on for want of room. It reads an answer to its end before it passes it on.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use swarm_client::{Client, ClientOptions, Error, Patience, Request, Response};
use swarm_cluster::Env;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::kit::signed_by;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a proxy does not pass on: what belongs to one connection.
const OF_THE_CONNECTION: [&str; 6] =
    ["connection", "content-length", "expect", "host", "keep-alive", "transfer-encoding"];

const SENT_ON: &[u8] = b"\"status\":307";

/// A proxy that runs.
pub(crate) struct Proxy {
    pub(crate) at: SocketAddr,
    counts: Arc<Counts>,
}

/// What a proxy has done so far.
#[derive(Default)]
struct Counts {
    passed: AtomicUsize,
    followed: AtomicUsize,
    /// Nodes that are left alone.
    full: AtomicUsize,
}

impl Proxy {
    /// Starts one before these nodes, on a port of this host.
    pub(crate) async fn start(env: &Env, port: u16, nodes: Vec<SocketAddr>) -> Self {
        let listener = env.net().listen(port).await.expect("a free port");
        let at = listener.local_addr();
        let counts = Arc::<Counts>::default();
        let (home, count, nodes) = (env.clone(), Arc::clone(&counts), Arc::<[_]>::from(nodes));
        drop(env.spawn("proxy", async move {
            let client = Client::new(home.clone(), ClientOptions::default());
            while let Ok((stream, _)) = listener.accept().await {
                let (client, count) = (client.clone(), Arc::clone(&count));
                let nodes = Arc::clone(&nodes);
                drop(home.spawn("proxied", async move {
                    // A connection that breaks is its client's business.
                    let _broken = serve(stream, client, &nodes, &count).await;
                }));
            }
        }));
        Self { at, counts }
    }

    /// How many requests it has passed on.
    pub(crate) fn passed(&self) -> usize {
        self.counts.passed.load(Ordering::Relaxed)
    }

    /// How many of them were redirected, and brought to where that led.
    pub(crate) fn followed(&self) -> usize {
        self.counts.followed.load(Ordering::Relaxed)
    }

    /// How often it has turned to another node.
    pub(crate) fn turned(&self) -> usize {
        self.counts.full.load(Ordering::Relaxed)
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    client: Client,
    nodes: &[SocketAddr],
    counts: &Counts,
) -> io::Result<()> {
    let mut unread = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = unread.windows(4).position(|part| part == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut unread).await? == 0 {
                return Ok(());
            }
        };
        let head: Vec<u8> = unread.drain(..end).collect();
        let head = String::from_utf8(head).map_err(io::Error::other)?;
        let mut lines = head.trim_end().split("\r\n");
        let mut line = lines.next().unwrap_or_default().split(' ');
        let (verb, target) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
        let fields: Vec<(&str, &str)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name, value.trim()))
            .collect();
        let field = |wanted: &str| {
            let mut named = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
            named.next().map(|(_, value)| *value)
        };
        if field("expect").is_some() {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let length: usize =
            field("content-length").map_or(Ok(0), str::parse).map_err(io::Error::other)?;
        while unread.len() < length && stream.read_buf(&mut unread).await? > 0 {}
        let body: Vec<u8> = unread.drain(..length.min(unread.len())).collect();
        counts.passed.fetch_add(1, Ordering::Relaxed);
        let node = nodes[counts.full.load(Ordering::Relaxed) % nodes.len()];
        let mut request = Request::new(node, verb, target).body(Bytes::from(body));
        request.patience = Patience::Whole(PATIENCE);
        let mut signature = None;
        for (name, value) in &fields {
            match name.to_ascii_lowercase().as_str() {
                "authorization" => signature = Some((*name, (*value).to_owned())),
                name if OF_THE_CONNECTION.contains(&name) => {}
                _ => request = request.header(*name, (*value).to_owned()),
            }
        }
        stream.write_all(&pass_on(&client, request, signature, counts).await).await?;
    }
}

/// Asks the cluster. Where a node redirects, what its client signed for that node is worth nothing: the proxy signs itself.
async fn ask(
    client: &Client,
    request: Request,
    signature: Option<(&str, String)>,
    counts: &Counts,
) -> Result<Response, Error> {
    let mut first = request.clone();
    first.follow = 0;
    if let Some((name, value)) = signature {
        first = first.header(name, value);
    }
    let response = client.send(first).await?;
    if !matches!(response.status, 301 | 307) {
        return Ok(response);
    }
    counts.followed.fetch_add(1, Ordering::Relaxed);
    client.send(request.auth(signed_by("admin"))).await
}

/// Asks the cluster, and makes its answer the proxy's.
async fn pass_on(
    client: &Client,
    request: Request,
    signature: Option<(&str, String)>,
    counts: &Counts,
) -> Vec<u8> {
    let Ok(mut response) = ask(client, request, signature, counts).await else {
        return b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n".to_vec();
    };
    let Ok(body) = response.body.collect(1 << 20).await else {
        return b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n".to_vec();
    };
    // So says an answer to a batch which node of the cluster has room instead.
    if body.windows(SENT_ON.len()).any(|part| part == SENT_ON) {
        counts.full.fetch_add(1, Ordering::Relaxed);
    }
    let mut answer = format!("HTTP/1.1 {} Passed on\r\n", response.status).into_bytes();
    for header in response.headers.iter() {
        if !OF_THE_CONNECTION.contains(&header.name.to_ascii_lowercase().as_str()) {
            answer.extend_from_slice(header.name.as_bytes());
            answer.extend_from_slice(b": ");
            answer.extend_from_slice(&header.value);
            answer.extend_from_slice(b"\r\n");
        }
    }
    answer.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    answer.extend_from_slice(&body);
    answer
}
