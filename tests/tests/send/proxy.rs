//! A small reverse proxy before a cluster: it follows the redirects of the nodes itself, so that who asks it sees one address.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use swarm_client::{Client, ClientOptions, Request};
use swarm_cluster::Env;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// What a proxy does not pass on: what belongs to one connection.
const OF_THE_CONNECTION: [&str; 6] =
    ["connection", "content-length", "expect", "host", "keep-alive", "transfer-encoding"];

/// A proxy that runs.
pub(crate) struct Proxy {
    pub(crate) at: SocketAddr,
    passed: Arc<AtomicUsize>,
}

impl Proxy {
    /// Starts one before a node, on a port of this host.
    pub(crate) async fn start(env: &Env, port: u16, node: SocketAddr) -> Self {
        let listener = env.net().listen(port).await.expect("a free port");
        let at = listener.local_addr();
        let passed = Arc::<AtomicUsize>::default();
        let (home, count) = (env.clone(), Arc::clone(&passed));
        drop(env.spawn("proxy", async move {
            let client = Client::new(home.clone(), ClientOptions::default());
            while let Ok((stream, _)) = listener.accept().await {
                let (client, count) = (client.clone(), Arc::clone(&count));
                drop(home.spawn("proxied", async move {
                    // A connection that breaks is its client's business.
                    let _broken = serve(stream, client, node, &count).await;
                }));
            }
        }));
        Self { at, passed }
    }

    /// How many requests it has passed on.
    pub(crate) fn passed(&self) -> usize {
        self.passed.load(Ordering::Relaxed)
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    client: Client,
    node: SocketAddr,
    passed: &AtomicUsize,
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
        let mut request = Request::new(node, verb, target).body(Bytes::from(body));
        for (name, value) in &fields {
            if !OF_THE_CONNECTION.contains(&name.to_ascii_lowercase().as_str()) {
                request = request.header(*name, (*value).to_owned());
            }
        }
        passed.fetch_add(1, Ordering::Relaxed);
        stream.write_all(&pass_on(&client, request).await).await?;
    }
}

/// Asks the cluster, and makes its answer the proxy's.
async fn pass_on(client: &Client, request: Request) -> Vec<u8> {
    let Ok(mut response) = client.send(request).await else {
        return b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n".to_vec();
    };
    let Ok(body) = response.body.collect(1 << 20).await else {
        return b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n".to_vec();
    };
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
