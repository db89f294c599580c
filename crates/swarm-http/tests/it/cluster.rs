//! A small cluster with front ends, and a client that speaks bytes. Only this file knows how either is made.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use swarm_env::{Env, Stream};
use swarm_http::{HttpConfig, Server};
use swarm_node::{Node, NodeConfig};
use swarm_sim::{DiskModel, HostId, Sim, SimHandle};
use swarm_types::{ClusterName, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::target::Target;

const DISK: u64 = 64 << 20;
const SCSP: u16 = 80;
const MANAGEMENT: u16 = 91;

/// `admin:ourpwdofchoicehere`, the default administrator (Defining Swarm Admins, Swarm Users, and Swarm Passwords).
pub(crate) const ADMIN: &str = "Authorization: Basic YWRtaW46b3VycHdkb2ZjaG9pY2VoZXJl";

/// Marks the creation of a context (SCSP WRITE).
pub(crate) const CONTEXT: &str = "Content-Type: application/castorcontext";

/// A world with one cluster `main` of nodes 10.1.0.1 and up.
pub(crate) struct Cluster {
    sim: Sim,
    world: SimHandle,
    harness: HostId,
    hosts: Vec<HostId>,
    slots: Vec<Slot>,
}

type Slot = Arc<Mutex<Option<Node>>>;

const ONE_REPLICA: &str = "min:1 max:16 default:1";

/// Where the node of the other cluster is.
pub(crate) const EAST: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);

/// Another cluster.
pub(crate) struct East {
    host: HostId,
    slot: Slot,
}

/// What a node answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The status line without its version.
    pub(crate) line: String,
    /// Fields as spelled, in order.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first value of a field.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut all = self.fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        all.next().map(|(_, value)| value.as_str())
    }

    /// All values of a field.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
        let this = self.fields.iter().filter(move |(field, _)| field.eq_ignore_ascii_case(name));
        this.map(|(_, value)| value.as_str())
    }

    /// A field that must be there.
    pub(crate) fn must(&self, name: &str) -> &str {
        self.field(name).unwrap_or_else(|| panic!("{name} in {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.fields.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Status and token of an error.
    pub(crate) fn error(&self) -> (u16, &str) {
        (self.status, self.all("castor-system-error-token").next_back().unwrap_or_default())
    }
}

/// An answer in chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunked {
    pub(crate) head: Answer,
    pub(crate) chunks: Vec<String>,
    /// The lines behind the last chunk.
    pub(crate) trailers: Vec<String>,
}

/// The bytes of a request: `GET /a`, header lines without `Content-Length`, a body. `Host` is the cluster's name unless
/// a line gives another.
pub(crate) fn request(line: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{line} HTTP/1.1\r\n");
    if !headers.iter().any(|header| header.to_ascii_lowercase().starts_with("host:")) {
        text.push_str("Host: main\r\n");
    }
    headers.iter().for_each(|header| text.push_str(&format!("{header}\r\n")));
    let framed = |header: &str| header.to_ascii_lowercase().starts_with("transfer-encoding:");
    if !headers.iter().any(|header| framed(header)) {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    [text.as_bytes(), b"\r\n", body].concat()
}

impl Cluster {
    /// Starts nodes and waits until they know each other.
    pub(crate) fn of(nodes: u8, seed: u64) -> Self {
        Self::with_settings(nodes, seed, &[])
    }

    /// The same with settings.
    pub(crate) fn with_settings(nodes: u8, seed: u64, settings: &[(&str, &str)]) -> Self {
        let sim = Sim::seeded(seed);
        let world = sim.handle();
        let harness = world.add_host("harness", Ipv4Addr::new(10, 250, 0, 1));
        let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let settings: BTreeMap<String, String> = settings.iter().map(text).collect();
        let (mut hosts, mut slots) = (Vec::new(), Vec::new());
        for number in 1..=nodes {
            let name = format!("main/{number}");
            let host = world.add_node(&name, Ipv4Addr::new(10, 1, 0, number), 1);
            world.add_disk(host, format!("{name}/1").as_str().into(), DISK, DiskModel::SSD);
            let settings = settings.clone();
            let slot = Slot::default();
            slots.push(Arc::clone(&slot));
            world.set_boot(host, move |env| boot(env, "main", settings.clone(), Arc::clone(&slot)));
            assert!(world.start(host).done(), "a node that was off starts");
            hosts.push(host);
        }
        let mut cluster = Self { sim, world, harness, hosts, slots };
        cluster.run_for(Duration::from_secs(2));
        cluster
    }

    /// The same with the domain `d.example` and its bucket `b`.
    pub(crate) fn with_bucket(nodes: u8, seed: u64) -> Self {
        let mut cluster = Self::of(nodes, seed);
        let domain = cluster.ask(1, "POST /?domain=d.example", &[CONTEXT, ADMIN], b"");
        assert_eq!(domain.status, 201, "{domain:?}");
        let bucket = cluster.ask(1, "POST /b?domain=d.example", &[CONTEXT], b"");
        assert_eq!(bucket.status, 201, "{bucket:?}");
        cluster
    }

    /// Starts a cluster `east` of one node, 10.2.0.1, in the same world.
    pub(crate) fn and_east(&mut self) -> East {
        let host = self.world.add_node("east/1", EAST, 2);
        self.world.add_disk(host, "east/1/1".into(), DISK, DiskModel::SSD);
        let slot = Slot::default();
        let east = East { host, slot: Arc::clone(&slot) };
        let settings = BTreeMap::from([("policy.replicas".to_owned(), ONE_REPLICA.to_owned())]);
        self.world
            .set_boot(host, move |env| boot(env, "east", settings.clone(), Arc::clone(&slot)));
        assert!(self.world.start(host).done(), "a node that was off starts");
        self.run_for(Duration::from_secs(2));
        east
    }

    /// An address where connections are accepted and nothing is ever said.
    pub(crate) fn silence(&self) -> SocketAddr {
        let env = self.world.env(self.harness);
        let listening = env.clone();
        drop(env.spawn("silence", async move {
            let listener = listening.net().listen(8080).await.expect("a free port");
            let mut held = Vec::new();
            while let Ok(connection) = listener.accept().await {
                held.push(connection);
            }
        }));
        (Ipv4Addr::new(10, 250, 0, 1), 8080).into()
    }

    /// Runs something on the node of `east`.
    pub(crate) fn on_east<T, F>(
        &mut self,
        east: &East,
        work: impl FnOnce(Node) -> F + Send + 'static,
    ) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.on_host(east.host, &east.slot, work)
    }

    /// Runs something on a node.
    pub(crate) fn on<T, F>(&mut self, node: u8, work: impl FnOnce(Node) -> F + Send + 'static) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let nth = usize::from(node) - 1;
        let (host, slot) = (self.hosts[nth], Arc::clone(&self.slots[nth]));
        self.on_host(host, &slot, work)
    }

    fn on_host<T, F>(
        &mut self,
        host: HostId,
        slot: &Slot,
        work: impl FnOnce(Node) -> F + Send + 'static,
    ) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let (node, world) = (lock(slot).clone().expect("it has started"), self.world.clone());
        let work = async move { world.spawn_on(host, "test", work(node)).await };
        self.sim.block_on(self.harness, work).expect("the node lived on")
    }

    /// Has a node stop gracefully after so long. How long that takes is told when it has.
    pub(crate) fn stop_after(&mut self, node: u8, wait: Duration) -> Arc<Mutex<Option<Duration>>> {
        let took = Arc::new(Mutex::new(None));
        let told = Arc::clone(&took);
        self.on(node, move |node| async move {
            let env = node.env().clone();
            drop(env.clone().spawn("stop", async move {
                env.sleep(wait).await;
                let begun = env.now();
                node.stop().await;
                let took = Some(env.now().since(begun));
                *told.lock().unwrap_or_else(PoisonError::into_inner) = took;
            }));
        });
        took
    }

    /// Asks the node of `east` once.
    pub(crate) fn ask_east(&mut self, line: &str, headers: &[&str], body: &[u8]) -> Answer {
        let bytes = request(line, headers, body);
        let to_head = line.starts_with("HEAD ");
        let east = SocketAddr::from((EAST, SCSP));
        self.talk_at(east, move |mut talk| async move {
            talk.say(&bytes).await;
            talk.hear(to_head).await
        })
    }

    /// A cluster of one node, where nothing has two replicas, with the domain `d.example` and its bucket `b`.
    pub(crate) fn alone(seed: u64, settings: &[(&str, &str)]) -> Self {
        let mut cluster = Self::with_settings(1, seed, settings);
        let line = "POST /?domain=d.example&replicate=1";
        let domain = cluster.ask(1, line, &[CONTEXT, ADMIN], b"");
        assert_eq!(domain.status, 201, "{domain:?}");
        let bucket = cluster.ask(1, "POST /b?domain=d.example&replicate=1", &[CONTEXT], b"");
        assert_eq!(bucket.status, 201, "{bucket:?}");
        cluster
    }

    /// Another cluster, `dr`, of one host 10.2.0.1.
    pub(crate) fn add_target(&mut self) -> Target {
        let target = Target::new();
        let host = self.world.add_node("dr/1", Ipv4Addr::new(10, 2, 0, 1), 2);
        assert!(self.world.start(host).done(), "it was off");
        let listening = target.clone().listen(self.world.env(host));
        drop(self.world.spawn_on(host, "target", listening));
        target
    }

    /// Takes the power from a node and gives it back.
    pub(crate) fn restart(&mut self, node: u8) {
        self.power_off(node);
        self.start(node);
    }

    pub(crate) fn power_off(&mut self, node: u8) {
        let host = self.hosts[usize::from(node) - 1];
        assert!(self.world.power_off(host).done().is_some(), "it was on");
        *lock(&self.slots[usize::from(node) - 1]) = None;
    }

    pub(crate) fn start(&mut self, node: u8) {
        let host = self.hosts[usize::from(node) - 1];
        assert!(self.world.start(host).done(), "it was off");
        self.run_for(Duration::from_secs(2));
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        self.sim.run_for(duration).expect("the world goes on");
        assert_eq!(self.world.panics(), vec![]);
    }

    /// Asks a node and follows redirects, as a client does: the same method, headers and body again.
    pub(crate) fn ask(&mut self, node: u8, line: &str, headers: &[&str], body: &[u8]) -> Answer {
        let (method, mut target) = line.split_once(' ').expect("a method and a target");
        let (mut at, mut location);
        at = node;
        for _ in 0..6 {
            let answer = self.ask_once(at, &format!("{method} {target}"), headers, body);
            if !matches!(answer.status, 301 | 307) {
                return answer;
            }
            location = answer.must("location").to_owned();
            let rest = location.strip_prefix("http://10.1.0.").expect("a node of the cluster");
            let (number, path) = rest.split_once(":80").expect("the SCSP port");
            at = number.parse().expect("a number");
            target = path;
        }
        panic!("more than five redirects for {line}");
    }

    /// Asks a node once.
    pub(crate) fn ask_once(
        &mut self,
        node: u8,
        line: &str,
        headers: &[&str],
        body: &[u8],
    ) -> Answer {
        let mut answers = self.say(node, &request(line, headers, body), 1);
        answers.remove(0)
    }

    /// Says these bytes on one connection and hears that many answers.
    pub(crate) fn say(&mut self, node: u8, bytes: &[u8], answers: usize) -> Vec<Answer> {
        let bytes = bytes.to_vec();
        self.talk(node, move |mut talk| async move {
            talk.say(&bytes).await;
            let mut heard = Vec::new();
            for _ in 0..answers {
                heard.push(talk.hear(bytes.starts_with(b"HEAD ")).await);
            }
            heard
        })
    }

    /// Opens a connection to a node's SCSP port and does something with it.
    pub(crate) fn talk<F, T>(
        &mut self,
        node: u8,
        work: impl FnOnce(Talk) -> F + Send + 'static,
    ) -> T
    where
        F: Future<Output = T> + Send,
        T: Send + 'static,
    {
        self.talk_to(node, SCSP, work)
    }

    /// A GET on the management port.
    pub(crate) fn manage(&mut self, node: u8, target: &str) -> Answer {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: m\r\n\r\n");
        self.talk_to(node, MANAGEMENT, move |mut talk| async move {
            talk.say(bytes.as_bytes()).await;
            talk.hear(false).await
        })
    }

    /// Says something to the management port; headers and body as given.
    pub(crate) fn order(&mut self, node: u8, line: &str, headers: &[&str], body: &str) -> Answer {
        let bytes = request(line, headers, body.as_bytes());
        self.talk_to(node, MANAGEMENT, move |mut talk| async move {
            talk.say(&bytes).await;
            talk.hear(false).await
        })
    }

    fn talk_to<F, T>(
        &mut self,
        node: u8,
        port: u16,
        work: impl FnOnce(Talk) -> F + Send + 'static,
    ) -> T
    where
        F: Future<Output = T> + Send,
        T: Send + 'static,
    {
        self.talk_at((Ipv4Addr::new(10, 1, 0, node), port).into(), work)
    }

    fn talk_at<F, T>(&mut self, to: SocketAddr, work: impl FnOnce(Talk) -> F + Send + 'static) -> T
    where
        F: Future<Output = T> + Send,
        T: Send + 'static,
    {
        let env = self.world.env(self.harness);
        let output = self.sim.block_on(self.harness, async move {
            let stream = env.net().connect(to).await.expect("the node listens");
            work(Talk { env, stream, buffer: Vec::new() }).await
        });
        assert_eq!(self.world.panics(), vec![]);
        output
    }
}

async fn boot(env: Env, cluster: &str, settings: BTreeMap<String, String>, slot: Slot) {
    let config = NodeConfig {
        cluster: ClusterName::from(cluster),
        scsp_port: SCSP,
        peer_port: 6000,
        group: SocketAddrV4::new(Ipv4Addr::new(224, 0, 10, 100), 7000),
        settings,
    };
    let node = Node::start(env, config).await.expect("a node that starts");
    let http = HttpConfig { scsp_port: SCSP, management_port: MANAGEMENT };
    Server::start(&node, http).await.expect("ports that are free");
    *lock(&slot) = Some(node);
}

fn lock(slot: &Slot) -> MutexGuard<'_, Option<Node>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection.
pub(crate) struct Talk {
    env: Env,
    stream: Stream,
    buffer: Vec<u8>,
}

/// Longer than any node takes to answer.
const PATIENCE: Duration = Duration::from_secs(60);

impl Talk {
    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the node reads");
    }

    /// The present.
    pub(crate) fn now(&self) -> Instant {
        self.env.now()
    }

    /// Another connection to the same node.
    pub(crate) async fn another(&mut self) -> Self {
        let stream = self.env.net().connect(self.stream.peer_addr()).await;
        let stream = stream.expect("the node listens");
        Self { env: self.env.clone(), stream, buffer: Vec::new() }
    }

    pub(crate) async fn sleep(&mut self, duration: Duration) {
        self.env.sleep(duration).await;
    }

    /// True if the node closes without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && !self.more().await
    }

    /// All bytes until nothing comes for so long.
    pub(crate) async fn bytes_until_silent_for(&mut self, silence: Duration) -> Vec<u8> {
        let mut piece = [0; 16 * 1024];
        while let Ok(Ok(len @ 1..)) = self.env.timeout(silence, self.stream.read(&mut piece)).await
        {
            self.buffer.extend_from_slice(&piece[..len]);
        }
        std::mem::take(&mut self.buffer)
    }

    /// The next line, without its end.
    async fn line(&mut self) -> String {
        let end = loop {
            if let Some(at) = self.buffer.windows(2).position(|part| part == b"\r\n") {
                break at;
            }
            assert!(self.more().await, "a line after {:?}", self.buffer.escape_ascii());
        };
        let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
        String::from_utf8(line).expect("lines of these tests are ASCII")
    }

    /// The next answer, whole; its head may be all there is.
    pub(crate) async fn hear_chunked(&mut self) -> Chunked {
        let head = self.hear_head().await;
        let mut chunked = Chunked { head, chunks: Vec::new(), trailers: Vec::new() };
        if chunked.head.field("transfer-encoding") != Some("chunked") {
            return chunked;
        }
        loop {
            let line = self.line().await;
            let length = usize::from_str_radix(&line, 16).expect("a length in hex");
            if length == 0 {
                break;
            }
            while self.buffer.len() < length + 2 {
                assert!(self.more().await, "{length} bytes of a chunk");
            }
            let chunk: Vec<u8> = self.buffer.drain(..length).collect();
            chunked.chunks.push(String::from_utf8(chunk).expect("ASCII"));
            assert_eq!(self.line().await, "", "the end of a chunk");
        }
        loop {
            match self.line().await {
                line if line.is_empty() => return chunked,
                line => chunked.trailers.push(line),
            }
        }
    }

    async fn hear_head(&mut self) -> Answer {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|part| part == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.more().await, "an answer after {:?}", self.buffer.escape_ascii());
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        read_head(&String::from_utf8(head).expect("heads of these tests are ASCII"))
    }

    /// The next answer, whole.
    pub(crate) async fn hear(&mut self, to_head: bool) -> Answer {
        let mut answer = self.hear_head().await;
        let length =
            answer.field("content-length").map_or(0, |text| text.parse().expect("a length"));
        let length: usize = if to_head || answer.status == 100 { 0 } else { length };
        while self.buffer.len() < length {
            assert!(self.more().await, "{length} bytes of {answer:?}");
        }
        answer.body = self.buffer.drain(..length).collect();
        answer
    }

    /// The next answer, whose body is in chunks; these are the pieces.
    pub(crate) async fn hear_chunks(&mut self) -> (Answer, Vec<Vec<u8>>) {
        let answer = self.hear(true).await;
        assert_eq!(answer.must("transfer-encoding"), "chunked");
        let mut pieces = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = self.buffer.windows(2).position(|part| part == b"\r\n") {
                    break at;
                }
                assert!(self.more().await, "a chunk after {:?}", self.buffer.escape_ascii());
            };
            let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
            let digits = std::str::from_utf8(&line[..end]).expect("digits");
            let length = usize::from_str_radix(digits, 16).expect("a length");
            while self.buffer.len() < length + 2 {
                assert!(self.more().await, "{length} bytes of a chunk");
            }
            let piece: Vec<u8> = self.buffer.drain(..length + 2).collect();
            if length == 0 {
                return (answer, pieces);
            }
            pieces.push(piece[..length].to_vec());
        }
    }

    /// Hears more bytes; false at the end of the stream.
    async fn more(&mut self) -> bool {
        let mut piece = [0; 16 * 1024];
        let read = self.env.timeout(PATIENCE, self.stream.read(&mut piece)).await;
        let len = read.expect("a node that answers in time").unwrap_or(0);
        self.buffer.extend_from_slice(&piece[..len]);
        len > 0
    }
}

fn read_head(head: &str) -> Answer {
    let mut lines = head.trim_end().split("\r\n");
    let line = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")).expect("a status line");
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(':').expect("a field");
        (name.to_owned(), value.trim_start().to_owned())
    });
    Answer {
        status: line[..3].parse().expect("a status"),
        line: line.to_owned(),
        fields: fields.collect(),
        body: Vec::new(),
    }
}
