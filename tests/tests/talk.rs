//! Stories told in bytes: a simulated cluster, connections to its nodes, and answers exactly as they came.
//!
//! A client library would hide what these tests are about: spelling and order of fields, repeats, what closes a
//! connection. Every answer heard here is checked for what the vendor documents for all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use swarm_cluster::{Action, Env, NodeRef};
use swarm_tests::{Harness, cluster_of, story};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// `admin:ourpwdofchoicehere`, the default administrator (Defining Swarm Admins, Swarm Users, and Swarm Passwords).
pub(crate) const ADMIN: &str = "Authorization: Basic YWRtaW46b3VycHdkb2ZjaG9pY2VoZXJl";

/// Marks the creation of a context (SCSP WRITE).
pub(crate) const CONTEXT: &str = "Content-Type: application/castorcontext";

/// All verbs in the order seen on the wire (SCSP SEND).
pub(crate) const ALLOW: &str =
    "HEAD, HOLD, GET, SEND, PUT, RELEASE, POST, COPY, GEN, APPEND, DELETE";

/// Longer than any node takes to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Redirects followed: as many as the SDK follows (SDK client.py).
const HOPS: usize = 5;

/// A simulated cluster `main` whose nodes are spoken to in bytes.
pub(crate) struct Wire {
    harness: Harness,
}

/// Tells a story about a cluster of that many nodes.
pub(crate) fn told<F, Fut>(nodes: u32, tell: F)
where
    F: FnOnce(Wire) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    told_with(nodes, &[], tell);
}

/// The same with settings.
pub(crate) fn told_with<F, Fut>(nodes: u32, settings: &[(&str, &str)], tell: F)
where
    F: FnOnce(Wire) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut spec = cluster_of(nodes, 7);
    let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let settings: BTreeMap<String, String> = settings.iter().map(text).collect();
    spec.clusters.get_mut("main").expect("the one cluster").settings = settings;
    story(&spec, |harness| tell(Wire { harness }));
}

impl Wire {
    pub(crate) fn env(&self) -> &Env {
        self.harness.world.env()
    }

    /// The node of this number.
    pub(crate) fn node(&self, number: u32) -> NodeRef {
        let nodes = self.harness.world.nodes("main");
        nodes.into_iter().find(|node| node.node == number).expect("a node of that number")
    }

    pub(crate) async fn apply(&self, action: Action) {
        self.harness.world.apply(action).await.expect("an action that makes sense");
    }

    /// Address and port of a node.
    pub(crate) fn address(&self, node: u32) -> String {
        self.harness.world.scsp(&self.node(node)).to_string()
    }

    /// The management port's answer to a GET.
    pub(crate) async fn manage(&self, node: u32, target: &str) -> String {
        let to = self.harness.world.management(&self.node(node));
        let stream = self.env().net().connect(to).await.expect("the node listens");
        let mut talk = Talk::new(self.env().clone(), stream);
        talk.say(format!("GET {target} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n")).await;
        while talk.more().await {}
        String::from_utf8_lossy(&talk.buffer).into_owned()
    }

    /// A connection to a node.
    pub(crate) async fn dial(&self, node: u32) -> Talk {
        let to = self.harness.world.scsp(&self.node(node));
        let stream = self.env().net().connect(to).await.expect("the node listens");
        Talk::new(self.env().clone(), stream)
    }

    /// One request on a connection of its own; redirects are not followed. `line` is verb and target.
    pub(crate) async fn once(
        &self,
        node: u32,
        line: &str,
        headers: &[&str],
        body: impl AsRef<[u8]>,
    ) -> Heard {
        let mut talk = self.dial(node).await;
        talk.say(request(line, headers, body)).await;
        let first = talk.hear(line).await;
        if first.status == 100 { talk.hear(line).await } else { first }
    }

    /// One request, and the same again wherever it is redirected to.
    pub(crate) async fn ask(
        &self,
        node: u32,
        line: &str,
        headers: &[&str],
        body: impl AsRef<[u8]>,
    ) -> Heard {
        let (verb, target) = line.split_once(' ').expect("a verb and a target");
        let mut target = target.to_owned();
        let mut node = node;
        for _ in 0..=HOPS {
            let heard = self.once(node, &format!("{verb} {target}"), headers, &body).await;
            if !matches!(heard.status, 301 | 307) {
                return heard;
            }
            (node, target) = self.led(&heard);
        }
        panic!("more than {HOPS} redirects for {line}");
    }

    /// Where a redirect leads: a node and a target there.
    pub(crate) fn led(&self, heard: &Heard) -> (u32, String) {
        let rest = heard.must("location").strip_prefix("http://").expect("an absolute URI");
        let (authority, path) = rest.split_at(rest.find('/').expect("a path"));
        let mut nodes = self.harness.world.nodes("main").into_iter();
        let node = nodes.find(|node| self.harness.world.scsp(node).to_string() == authority);
        (node.unwrap_or_else(|| panic!("no node is {authority}")).node, path.to_owned())
    }

    /// Creates the domain `acme.example` and its bucket `scans`.
    pub(crate) async fn make_bucket(&self) {
        self.make_domain("acme.example").await;
        let bucket = self.ask(1, "POST /scans?domain=acme.example", &[CONTEXT], "").await;
        assert_eq!(bucket.status, 201, "{bucket:?}");
    }

    /// The same in a cluster of one node, where nothing can have two replicas.
    pub(crate) async fn make_bucket_alone(&self) {
        self.make_bucket_on(1).await;
    }

    /// The same on so many nodes.
    pub(crate) async fn make_bucket_on(&self, nodes: usize) {
        for (line, headers) in [
            ("POST /?domain=acme.example", &[CONTEXT, ADMIN][..]),
            ("POST /scans?domain=acme.example", &[CONTEXT]),
        ] {
            let made = self.ask(1, &format!("{line}&replicate={nodes}"), headers, "").await;
            assert_eq!((made.status, made.all("location").len()), (201, nodes), "{made:?}");
        }
    }

    /// Creates a domain.
    pub(crate) async fn make_domain(&self, name: &str) {
        let line = format!("POST /?domain={name}");
        let made = self.ask(1, &line, &[CONTEXT, ADMIN], "").await;
        assert_eq!(made.status, 201, "{made:?}");
    }

    /// Writes an unnamed object and returns its UUID.
    pub(crate) async fn post(&self, target: &str, headers: &[&str], body: &str) -> String {
        let written = self.ask(1, &format!("POST {target}"), headers, body).await;
        assert_eq!(written.status, 201, "{written:?}");
        written.must("content-uuid").to_owned()
    }

    /// Asserts that a name under `/scans` is found on no node.
    pub(crate) async fn assert_nothing_at(&self, nodes: u32, target: &str) {
        for node in 1..=nodes {
            let read = self.ask(node, &format!("GET {target}"), &[], "").await;
            assert_eq!(read.error(), (404, "NotFound"), "{target} on node {node}");
        }
    }
}

/// The bytes of a request: header lines are sent as they are, with `Host` and framing added where they say nothing of
/// it.
pub(crate) fn request(line: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let says = |name: &str| {
        let mut names = headers.iter().filter_map(|header| header.split(':').next());
        names.any(|is| is.eq_ignore_ascii_case(name))
    };
    let body = body.as_ref();
    let mut head = format!("{line} HTTP/1.1\r\n");
    if !says("Host") {
        head += "Host: main\r\n";
    }
    for header in headers {
        head += header;
        head += "\r\n";
    }
    if !says("Content-Length") && !says("Transfer-Encoding") {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// The same without its body.
pub(crate) fn head_of(line: &str, headers: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = request(line, headers, &body);
    bytes.truncate(bytes.len() - body.as_ref().len());
    bytes
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) status: u16,
    /// The status line without its version.
    pub(crate) line: String,
    /// Fields as spelled, in order.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Heard {
    /// All values of a field.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.as_str()).collect()
    }

    /// The one value of a field, if there is one.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        match &self.all(name)[..] {
            [] => None,
            [value] => Some(value),
            more => panic!("{} times {name} in {self:?}", more.len()),
        }
    }

    /// The one value of a field that must be there.
    pub(crate) fn must(&self, name: &str) -> &str {
        self.field(name).unwrap_or_else(|| panic!("{name} in {self:?}"))
    }

    /// Names of the fields as spelled, in order.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Status and token: of several triples the last counts (Error Response Headers).
    pub(crate) fn error(&self) -> (u16, &str) {
        (self.status, self.all("castor-system-error-token").last().copied().unwrap_or_default())
    }

    /// What is said of an error.
    pub(crate) fn why(&self) -> &str {
        self.all("castor-system-error-text").last().copied().unwrap_or_default()
    }

    /// True if the connection is announced to end.
    pub(crate) fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// An answer that is all there, as every other one checked for what holds for all.
    pub(crate) fn whole(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|part| part == b"\r\n\r\n").expect("a whole head") + 4;
        let head: String = bytes[..end].iter().copied().map(char::from).collect();
        let heard = Self { body: bytes[end..].to_vec(), ..Self::read(&head) };
        assert_eq!(heard.must("content-length"), heard.body.len().to_string(), "a whole body");
        heard.assert_usual();
        heard
    }

    fn read(head: &str) -> Self {
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
        let line = line.unwrap_or_else(|| panic!("a status line in {head:?}"));
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(':').expect("a field");
            (name.to_owned(), value.trim_start().to_owned())
        });
        Self {
            status: line[..3].parse().expect("a status"),
            line: line.to_owned(),
            fields: fields.collect(),
            body: Vec::new(),
        }
    }

    /// What holds for every answer.
    fn assert_usual(&self) {
        let date = self.must("date");
        let parts: Vec<&str> = date.split(' ').collect();
        assert!(date.len() == 29 && parts.len() == 6 && parts[5] == "GMT", "{date}");
        // The pattern of clients and scanners: ^CAStor Cluster/(\S+)$.
        let version = self.must("server").strip_prefix("CAStor Cluster/");
        assert!(version.is_some_and(|version| !version.contains(' ')), "{self:?}");
        assert!(self.field("content-length").is_some(), "{self:?}");
        assert_eq!(self.closes(), self.field("keep-alive").is_none(), "{self:?}");
        if let 301 | 307 = self.status {
            assert_eq!(self.must("content-length"), "0");
        }
        if self.status >= 400 {
            self.assert_usual_error();
        }
    }

    fn assert_usual_error(&self) {
        if self.error() != (403, "ImmutableObject") {
            assert_eq!(self.must("allow"), ALLOW);
        }
        let triple = |name: &str| self.all(&format!("Castor-System-Error-{name}"));
        let (tokens, texts, codes) = (triple("Token"), triple("Text"), triple("Code"));
        assert_eq!((tokens.len(), texts.len()), (codes.len(), codes.len()), "{self:?}");
        if self.status == 401 {
            assert_eq!(tokens.len(), 0, "{self:?}");
        } else {
            assert_eq!(codes.last(), Some(&self.status.to_string().as_str()), "{self:?}");
        }
        if let 500 | 501 | 503 | 505 = self.status {
            assert!(self.closes(), "{self:?}");
        }
        if !self.body.is_empty() {
            let page =
                format!("<html><body><h2>CAStor Error</h2><br>{}</body></html>\r\n", self.why());
            assert_eq!(self.text(), page);
            assert_eq!(self.must("content-type"), "text/html");
        }
    }
}

/// What a stream of any world is to these tests.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// One connection.
pub(crate) struct Talk {
    env: Env,
    stream: Box<dyn Duplex>,
    buffer: Vec<u8>,
}

impl Talk {
    fn new(env: Env, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self { env, stream: Box::new(stream), buffer: Vec::new() }
    }

    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("the node reads");
    }

    /// Ends what this side says; the node can still answer.
    pub(crate) async fn fall_silent(&mut self) {
        self.stream.shutdown().await.expect("the connection stands");
    }

    /// True if the node closes the connection without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.more().await
    }

    /// True if the node says nothing for a while.
    pub(crate) async fn hears_nothing_for(&mut self, wait: Duration) -> bool {
        let mut piece = [0; 1];
        self.buffer.is_empty()
            && self.env.timeout(wait, self.stream.read(&mut piece)).await.is_err()
    }

    /// The next answer, whole; of its request only the verb counts, which says whether a body follows.
    pub(crate) async fn hear(&mut self, line: &str) -> Heard {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|part| part == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.more().await, "{line}: an answer after {:?}", self.buffer.escape_ascii());
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        // Values may hold any byte; as text each is one character.
        let head: String = head.into_iter().map(char::from).collect();
        let mut heard = Heard::read(&head);
        if heard.status == 100 {
            assert_eq!(heard.fields, vec![], "100 Continue says nothing more");
            return heard;
        }
        let length: usize = heard.must("content-length").parse().expect("a length");
        let length = if line.starts_with("HEAD ") { 0 } else { length };
        while self.buffer.len() < length {
            assert!(self.more().await, "{length} bytes of {heard:?}");
        }
        heard.body = self.buffer.drain(..length).collect();
        heard.assert_usual();
        heard
    }

    /// Hears more bytes; false at the end of the stream.
    async fn more(&mut self) -> bool {
        let mut piece = vec![0; 64 * 1024];
        let read = self.env.timeout(PATIENCE, self.stream.read(&mut piece)).await;
        let length = read.expect("a node that answers in time").unwrap_or(0);
        self.buffer.extend_from_slice(&piece[..length]);
        length > 0
    }
}
