//! Two clusters, `main` and `dr`, a network between them that can be cut, and a client that sends from the one to the other.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use swarm_client::{Auth, Client, ClientOptions, Request, Response, Secret};
use swarm_cluster::sim::{RunOptions, run};
use swarm_cluster::{
    Action, ClusterSpec, Cut, DiskFault, DiskRef, Env, InterLinkSpec, LatencySpec, LinkSpec,
    NodeRef, World, WorldSpec,
};
use swarm_tests::cluster_of;

use super::proxy::Proxy;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Of the default administrator (Defining Swarm Admins, Swarm Users, and Swarm Passwords).
const PASSWORD: &str = "ourpwdofchoicehere";

/// Nodes of each cluster.
const NODES: u32 = 2;

/// Both clusters.
pub(crate) struct Pair {
    world: Arc<dyn World>,
    client: Client,
}

/// An answer, as a client library shows it.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
    trailers: Vec<(String, String)>,
    /// When its head was there.
    pub(crate) head_after: Duration,
    pub(crate) took: Duration,
}

/// One field as text.
fn text(name: &str, value: &[u8]) -> (String, String) {
    (name.to_owned(), String::from_utf8_lossy(value).into_owned())
}

fn of_feeds(fields: &[(String, String)]) -> Vec<(&str, &str)> {
    let feeds = fields.iter().filter(|(name, _)| name.starts_with("feed-"));
    feeds.map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

impl Sent {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(field, _)| field == name);
        named.next().map(|(_, value)| value.as_str())
    }

    /// Fields of feeds in the head.
    pub(crate) fn in_head(&self) -> Vec<(&str, &str)> {
        of_feeds(&self.headers)
    }

    /// Fields of feeds behind the body.
    pub(crate) fn in_trailers(&self) -> Vec<(&str, &str)> {
        of_feeds(&self.trailers)
    }

    /// Status and time of a feed, wherever they stand.
    pub(crate) fn feed(&self, id: u32) -> Option<(&str, &str)> {
        let all = [self.in_head(), self.in_trailers()].concat();
        let find =
            |name: String| all.iter().find(|(field, _)| *field == name).map(|(_, value)| *value);
        find(format!("feed-{id}-status")).zip(find(format!("feed-{id}-statustime")))
    }

    /// The status of a feed that must be told.
    pub(crate) fn code(&self, id: u32) -> u16 {
        let (status, _) = self.feed(id).unwrap_or_else(|| panic!("feed {id} in {self:?}"));
        status.parse().expect("a number")
    }
}

fn request_to(to: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> Request {
    let (verb, target) = line.split_once(' ').expect("a verb and a target");
    let request =
        Request::new(to, verb, target).patience(600 * SECOND).body(Bytes::from(body.to_owned()));
    let add =
        |request: Request, (name, value): &(&str, &str)| request.header(*name, (*value).to_owned());
    headers.iter().fold(request, add)
}

/// As this user, by the password that Swarm ships with.
pub(crate) fn signed_by(user: &str) -> Auth {
    Auth::Digest { user: user.to_owned(), secret: Secret::Clear(PASSWORD.to_owned()) }
}

/// True for a date of HTTP.
pub(crate) fn is_date(text: &str) -> bool {
    text.len() == 29 && text.ends_with(" GMT")
}

/// Tells a story about the two, with the domain `acme.example` and its bucket `scans` at `main`, and no feed yet.
pub(crate) fn told<F, Fut>(seed: u64, tell: F)
where
    F: FnOnce(Pair) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    told_with(seed, &[], tell);
}

/// The same with settings of `main`.
pub(crate) fn told_with<F, Fut>(seed: u64, settings: &[(&str, &str)], tell: F)
where
    F: FnOnce(Pair) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    tell_in(&spec(seed, settings), tell);
}

/// The same with another administrator of `dr`: in quotes, `{'user': 'password'}`.
pub(crate) fn told_with_administrator_of_dr<F, Fut>(seed: u64, administrators: &str, tell: F)
where
    F: FnOnce(Pair) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut spec = spec(seed, &[]);
    let dr = spec.clusters.get_mut("dr").expect("it is there");
    dr.settings.insert("security.administrators".to_owned(), administrators.to_owned());
    tell_in(&spec, tell);
}

/// The same with a network between the clusters that takes so long, one way, and brings so many bits per second.
pub(crate) fn told_over<F, Fut>(seed: u64, latency: Duration, bandwidth_bits: u64, tell: F)
where
    F: FnOnce(Pair) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let mut spec = spec(seed, &[]);
    let latency = LatencySpec::Even { min: latency, max: latency };
    let link = InterLinkSpec {
        between: ("main".to_owned(), "dr".to_owned()),
        link: LinkSpec { latency, bandwidth_bits, loss_ppm: 0 },
    };
    spec.links.insert("wan".to_owned(), link);
    tell_in(&spec, tell);
}

/// Other worlds for all stories: `SWARM_SEND_WORLDS=N` adds N hundred to every seed.
fn other_worlds() -> u64 {
    let hundreds = std::env::var("SWARM_SEND_WORLDS").unwrap_or_else(|_| "0".to_owned());
    100 * hundreds.parse::<u64>().expect("SWARM_SEND_WORLDS=N")
}

fn spec(seed: u64, settings: &[(&str, &str)]) -> WorldSpec {
    let mut spec = cluster_of(NODES, other_worlds() + seed);
    let text = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let main = spec.clusters.get_mut("main").expect("it is there");
    let dr: ClusterSpec = main.clone();
    main.settings = settings.iter().map(text).collect::<BTreeMap<_, _>>();
    spec.clusters.insert("dr".to_owned(), dr);
    spec
}

fn tell_in<F, Fut>(spec: &WorldSpec, tell: F)
where
    F: FnOnce(Pair) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let finished = run(spec, RunOptions::default(), |world| async move {
        world.env().sleep(2 * SECOND).await;
        let client = Client::new(world.env().clone(), ClientOptions::default());
        let pair = Pair { world: Arc::clone(&world), client };
        pair.make_bucket().await;
        tell(pair).await;
        assert_eq!(world.panics(), vec![]);
    });
    finished.expect("the story comes to its end");
}

impl Pair {
    pub(crate) fn env(&self) -> &Env {
        self.world.env()
    }

    pub(crate) async fn wait(&self, time: Duration) {
        self.env().sleep(time).await;
    }

    fn node(&self, cluster: &str, number: u32) -> NodeRef {
        NodeRef { cluster: cluster.to_owned(), node: number }
    }

    async fn answer(&self, request: Request) -> Sent {
        let begun = self.env().now();
        let mut response: Response = self.client.send(request).await.expect("an answer");
        let head_after = self.env().now().since(begun);
        let body = response.body.collect(1 << 20).await.expect("a whole body");
        let headers = response.headers.iter();
        let trailers = response.body.trailers().into_iter().flat_map(|trailers| trailers.iter());
        Sent {
            status: response.status,
            headers: headers.map(|header| text(&header.name, &header.value)).collect(),
            body: String::from_utf8(body.to_vec()).expect("text"),
            trailers: trailers.map(|header| text(&header.name, &header.value)).collect(),
            head_after,
            took: self.env().now().since(begun),
        }
    }

    fn request(&self, to: &NodeRef, line: &str, headers: &[(&str, &str)], body: &str) -> Request {
        request_to(self.world.scsp(to), line, headers, body)
    }

    /// A request to a node of a cluster, by the administrator, who is challenged and signs.
    pub(crate) async fn ask(&self, cluster: &str, line: &str, headers: &[(&str, &str)]) -> Sent {
        self.ask_node(cluster, 1, line, headers).await
    }

    pub(crate) async fn ask_node(
        &self,
        cluster: &str,
        node: u32,
        line: &str,
        headers: &[(&str, &str)],
    ) -> Sent {
        let request = self.request(&self.node(cluster, node), line, headers, "");
        self.answer(request.auth(signed_by("admin"))).await
    }

    /// The same by another user, whom nobody knows.
    pub(crate) async fn ask_as(
        &self,
        user: &str,
        cluster: &str,
        line: &str,
        headers: &[(&str, &str)],
    ) -> Sent {
        let request = self.request(&self.node(cluster, 1), line, headers, "");
        self.answer(request.auth(signed_by(user))).await
    }

    pub(crate) async fn ask_with(
        &self,
        cluster: &str,
        line: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Sent {
        let request = self.request(&self.node(cluster, 1), line, headers, body);
        self.answer(request.auth(signed_by("admin"))).await
    }

    /// Writes an immutable object. Its UUID.
    pub(crate) async fn post(&self, body: &str) -> String {
        let written = self.ask_with("main", "POST /", &[], body).await;
        written.header("content-uuid").expect("it is written").to_owned()
    }

    /// Address and port of a node of `dr`.
    pub(crate) fn dr_address(&self) -> String {
        self.world.scsp(&self.node("dr", 1)).to_string()
    }

    /// A reverse proxy before one node of `dr`.
    pub(crate) async fn proxy_of_dr(&self) -> Proxy {
        self.proxy_of("dr", &[1]).await
    }

    /// A reverse proxy before these nodes of a cluster, of which it asks the first while that has room.
    pub(crate) async fn proxy_of(&self, cluster: &str, nodes: &[u32]) -> Proxy {
        let nodes = nodes.iter().map(|node| self.world.scsp(&self.node(cluster, *node)));
        Proxy::start(self.env(), 8_888, nodes.collect()).await
    }

    /// The same as [`Self::ask`], by way of a proxy.
    pub(crate) async fn ask_proxy(
        &self,
        proxy: &Proxy,
        line: &str,
        headers: &[(&str, &str)],
    ) -> Sent {
        let request = request_to(proxy.at, line, headers, "");
        self.answer(request.auth(signed_by("admin"))).await
    }

    /// Somebody else takes all room on the disk of a node of `dr`.
    pub(crate) async fn fill_dr(&self, node: u32) {
        let disk = DiskRef { node: self.node("dr", node), disk: 1 };
        let fault = DiskFault::Full { share_ppm: 1_000_000 };
        self.world.apply(Action::DiskFault { disk, fault }).await.expect("it is in its node");
    }

    /// What `dr` has under a UUID.
    pub(crate) async fn unnamed_at_dr(&self, uuid: &str) -> Option<String> {
        let read = self.ask("dr", &format!("GET /{uuid}"), &[]).await;
        (read.status == 200).then_some(read.body)
    }

    async fn make_bucket(&self) {
        let context = [("Content-Type", "application/castorcontext")];
        for line in ["POST /?domain=acme.example", "POST /scans?domain=acme.example"] {
            assert_eq!(self.ask("main", line, &context).await.status, 201);
        }
    }

    /// Writes `/scans/NAME`.
    pub(crate) async fn write(&self, name: &str, body: &str) {
        let line = format!("POST /scans/{name}?domain=acme.example");
        assert_eq!(self.ask_with("main", &line, &[], body).await.status, 201);
    }

    /// SENDs `/scans/NAME` with these arguments.
    pub(crate) async fn send(&self, name: &str, arguments: &str) -> Sent {
        let line = format!("SEND /scans/{name}?domain=acme.example&admin&{arguments}");
        self.ask("main", &line, &[]).await
    }

    /// A verbose HEAD of `/scans/NAME`.
    pub(crate) async fn head(&self, name: &str) -> Sent {
        let line = format!("HEAD /scans/{name}?domain=acme.example&admin&verbose");
        self.ask("main", &line, &[]).await
    }

    /// What `dr` has under `/scans/NAME`.
    pub(crate) async fn at_dr(&self, name: &str) -> Option<String> {
        let line = format!("GET /scans/{name}?domain=acme.example");
        let read = self.ask("dr", &line, &[]).await;
        (read.status == 200).then_some(read.body)
    }

    /// Something on the management port of `main`.
    async fn manage(&self, line: &str, body: &str) -> Value {
        let (verb, target) = line.split_once(' ').expect("a verb and a target");
        let to = self.world.management(&self.node("main", 1));
        let request = Request::new(to, verb, target)
            .auth(Auth::basic("admin", PASSWORD))
            .header("Content-Type", "application/json")
            .body(Bytes::from(body.to_owned()));
        let answer = self.answer(request).await;
        assert!(answer.status < 300, "{line}: {answer:?}");
        if answer.body.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&answer.body).expect("JSON")
        }
    }

    /// Lets a feed go on that was paused. Nobody waits until both nodes work by it.
    pub(crate) async fn resume(&self, feed: u32) {
        let line = format!("PATCH /api/storage/clusters/_self/feeds/{feed}");
        self.manage(&line, r#"{"paused": false}"#).await;
    }

    /// Defines a feed to `dr`, with these fields besides, and waits until both nodes work by it. Its number.
    pub(crate) async fn feed(&self, name: &str, more: &Value) -> u32 {
        let mut feed = json!({ "name": name, "type": "replication", "clusterName": "dr" });
        let dr = (1..=NODES).map(|node| self.world.scsp(&self.node("dr", node)));
        let dr: Vec<_> = dr.collect();
        feed["hosts"] = dr.iter().map(|address| address.ip().to_string()).collect();
        feed["port"] = dr[0].port().into();
        let more = more.as_object().expect("fields");
        more.iter().for_each(|(name, value)| feed[name] = value.clone());
        let created =
            self.manage("POST /api/storage/clusters/_self/feeds", &feed.to_string()).await;
        self.wait(5 * SECOND).await;
        created["id"].as_u64().and_then(|id| id.try_into().ok()).expect("a number")
    }

    /// Changes a feed, and waits until both nodes work by it.
    pub(crate) async fn change(&self, feed: u32, change: &str) {
        self.manage(&format!("PATCH /api/storage/clusters/_self/feeds/{feed}"), change).await;
        self.wait(5 * SECOND).await;
    }

    pub(crate) async fn delete_feed(&self, feed: u32) {
        self.manage(&format!("DELETE /api/storage/clusters/_self/feeds/{feed}"), "").await;
        self.wait(5 * SECOND).await;
    }

    /// The feed as administrators see it.
    pub(crate) async fn shown(&self, feed: u32) -> Value {
        self.manage(&format!("GET /api/storage/clusters/_self/feeds/{feed}"), "").await
    }

    /// Whether a feed is blocked on all nodes.
    pub(crate) async fn is_blocked_everywhere(&self, feed: u32) -> bool {
        let shown = self.shown(feed).await;
        let nodes = shown["nodes"].as_array().expect("a list");
        nodes.iter().filter(|node| node["status"] == "Blocked").count() == NODES as usize
    }

    /// Cuts the network between the clusters. The number of the fault.
    pub(crate) async fn cut(&self) -> u64 {
        let cut = Cut::Partition(vec![self.world.nodes("main"), self.world.nodes("dr")]);
        self.world.apply(Action::Cut(cut)).await.expect("it can be cut").number
    }

    pub(crate) async fn heal(&self, fault: u64) {
        self.world.apply(Action::Heal(fault)).await.expect("it can be healed");
    }

    /// Kills the nodes of `dr`: connections to them are refused.
    pub(crate) async fn kill_dr(&self) {
        for node in self.world.nodes("dr") {
            self.world.apply(Action::Kill(node)).await.expect("it runs");
        }
    }

    pub(crate) async fn start_dr(&self) {
        for node in self.world.nodes("dr") {
            self.world.apply(Action::Start(node)).await.expect("it is off");
        }
        self.wait(3 * SECOND).await;
    }
}
