//! What feeds cost: a backlog in wall time, a SEND in round trips of the network between the clusters.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use serde_json::{Value, json};
use swarm_client::{Auth, Client, ClientOptions, Request, Response, Secret};
use swarm_cluster::{InterLinkSpec, LatencySpec, LinkSpec, NodeRef, World, WorldSpec};

use crate::report::{Report, Target};
use crate::rounds::Summary;
use crate::worlds::{SETTLED, in_world, spec, write_once};

pub(crate) const DRAIN: &str = "feed of 100,000 x 4 KiB, wall time";
pub(crate) const SEND_MEDIAN: &str = "SEND of 4 KiB, round trips, median";
pub(crate) const SEND_WORST: &str = "SEND of 4 KiB, round trips, most";
pub(crate) const SEND_REST: &str = "SEND of 4 KiB, beyond round trips, most";

const DRAIN_TARGET: Target = Target::AtMost(30.0);
/// A question, a redirect, the body.
const SEND_TARGET: Target = Target::AtMost(3.0);
/// What the nodes of both clusters take among themselves, and their disks; far less than a round trip, so that those can be
/// counted.
const SEND_REST_TARGET: Target = Target::AtMost(25.0);

/// Nodes of each cluster.
const NODES: u32 = 4;
/// Objects of the backlog.
const OBJECTS: u32 = 100_000;
/// One way between the clusters: the backlog, and SENDs.
const WAN: Duration = Duration::from_millis(10);
const SEND_WAN: Duration = Duration::from_millis(50);

/// SENDs that open the connections, and those that are counted.
const SENDS_BEFORE: u32 = 64;
const SENDS: u32 = 100;

/// How often a feed is looked at, and how long it may take, in simulated time.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const DRAINED_WITHIN: Duration = Duration::from_secs(3600);
/// Until all nodes work by a new feed.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);

/// Of the default administrator (Defining Swarm Admins, Swarm Users, and Swarm Passwords).
const ADMINISTRATOR: (&str, &str) = ("admin", "ourpwdofchoicehere");

/// Two clusters with a network between them that takes so long, one way.
fn two_clusters(wan: Duration) -> WorldSpec {
    let mut spec = spec(&["dr", "main"], NODES);
    let latency = LatencySpec::Even { min: wan, max: wan };
    let link = LinkSpec { latency, bandwidth_bits: 1_000_000_000, loss_ppm: 0 };
    let between = ("main".to_owned(), "dr".to_owned());
    spec.links.insert("wan".to_owned(), InterLinkSpec { between, link });
    spec
}

/// A backlog that is there before its feed is: wall time from the definition until no node has anything left to do.
pub(crate) fn drain(report: &mut Report) -> anyhow::Result<()> {
    let took = in_world(&two_clusters(WAN), |world| async move {
        world.env().sleep(SETTLED).await;
        let town = Town::new(&world);
        let nodes = world.nodes("main");
        for (node, _) in nodes.iter().cycle().zip(0..OBJECTS) {
            write_once(&town.client, world.scsp(node)).await?;
        }
        let begun = (Instant::now(), world.env().now());
        let feed = town.feed().await?;
        while town.pending(feed).await? != Some(0) {
            anyhow::ensure!(world.env().now().since(begun.1) < DRAINED_WITHIN, "it does not drain");
            world.env().sleep(LOOK_EVERY).await;
        }
        let took = begun.0.elapsed().as_secs_f64();
        let arrived = town.replicas("dr").await?;
        anyhow::ensure!(arrived == u64::from(2 * OBJECTS), "{arrived} replicas have come about");
        Ok(took)
    })?;
    report.add(DRAIN, Summary::once(took), "s", DRAIN_TARGET);
    Ok(())
}

/// One SEND after the other, of objects that were just written, by all nodes in turn.
pub(crate) fn send(report: &mut Report) -> anyhow::Result<()> {
    let times = in_world(&two_clusters(SEND_WAN), |world| async move {
        world.env().sleep(SETTLED).await;
        let town = Town::new(&world);
        let feed = town.feed().await?;
        world.env().sleep(KNOWN_WITHIN).await;
        let nodes = world.nodes("main");
        let mut times = Vec::new();
        for (node, nth) in nodes.iter().cycle().zip(0..SENDS_BEFORE + SENDS) {
            let took = town.send_a_new_one(node, feed).await?;
            if nth >= SENDS_BEFORE {
                times.push(took);
            }
        }
        Ok(times)
    })?;
    let round_trip = 2.0 * SEND_WAN.as_secs_f64();
    let trips: Vec<f64> = times.iter().map(|took| (took / round_trip).floor()).collect();
    let most = |of: Vec<f64>| Summary {
        rounds: format!("most of {}", of.len()),
        value: of.into_iter().fold(0.0, f64::max),
    };
    let rest = times.iter().map(|took| 1e3 * (took % round_trip)).collect();
    report.add(SEND_MEDIAN, Summary::median(trips.clone()), "", SEND_TARGET);
    report.add(SEND_WORST, most(trips), "", SEND_TARGET);
    report.add(SEND_REST, most(rest), "ms", SEND_REST_TARGET);
    Ok(())
}

/// Both clusters, and who asks them.
struct Town {
    world: Arc<dyn World>,
    client: Client,
}

impl Town {
    fn new(world: &Arc<dyn World>) -> Self {
        let client = Client::new(world.clients()[0].clone(), ClientOptions::default());
        Self { world: Arc::clone(world), client }
    }

    /// Defines a feed of everything that `main` has to all nodes of `dr`. Its number.
    async fn feed(&self) -> anyhow::Result<u64> {
        let hosts: Vec<_> = self.world.nodes("dr").iter().map(|dr| self.world.scsp(dr)).collect();
        let feed = json!({
            "name": "dr",
            "type": "replication",
            "clusterName": "dr",
            "hosts": hosts.iter().map(|host| host.ip().to_string()).collect::<Vec<_>>(),
            "port": hosts[0].port(),
        });
        let (user, password) = ADMINISTRATOR;
        let to = self.world.management(&self.world.nodes("main")[0]);
        let request = Request::new(to, "POST", "/api/storage/clusters/_self/feeds")
            .auth(Auth::basic(user, password))
            .header("Content-Type", "application/json")
            .body(Bytes::from(feed.to_string()));
        let created = json_of(self.client.send(request).await?).await?;
        created["id"].as_u64().with_context(|| format!("no feed: {created}"))
    }

    /// How many streams the nodes of `main` have left to do for a feed, if all have heard of it.
    async fn pending(&self, feed: u64) -> anyhow::Result<Option<u64>> {
        let mut sum = 0;
        for node in self.world.nodes("main") {
            let status = self.status(&node).await?;
            let feeds = status["feeds"].as_array().context("feeds in the status")?;
            let Some(stands) = feeds.iter().find(|stands| stands["id"] == feed) else {
                return Ok(None);
            };
            sum += stands["pending"].as_u64().context("a number")?;
        }
        Ok(Some(sum))
    }

    /// How many replicas a cluster has.
    async fn replicas(&self, cluster: &str) -> anyhow::Result<u64> {
        let mut sum = 0;
        for node in self.world.nodes(cluster) {
            let status = self.status(&node).await?;
            let volumes = status["volumes"].as_array().context("volumes in the status")?;
            sum += volumes.iter().filter_map(|volume| volume["streams"].as_u64()).sum::<u64>();
        }
        Ok(sum)
    }

    async fn status(&self, node: &NodeRef) -> anyhow::Result<Value> {
        let request = Request::new(self.world.management(node), "GET", "/api/status");
        json_of(self.client.send(request).await?).await
    }

    /// Writes an object and SENDs it, both by this node. How long the SEND took.
    async fn send_a_new_one(&self, node: &NodeRef, feed: u64) -> anyhow::Result<f64> {
        let to = self.world.scsp(node);
        let write = Request::new(to, "POST", "/").body(Bytes::from_static(&[b'x'; 4096]));
        let mut written = self.client.send(write).await?;
        written.body.collect(64 * 1024).await?;
        anyhow::ensure!(written.status == 201, "the write was answered {}", written.status);
        let uuid = written.header("Content-UUID").context("an object without name")?.to_owned();

        let (user, password) = ADMINISTRATOR;
        let secret = Secret::Clear(password.to_owned());
        let send = Request::new(to, "SEND", format!("/{uuid}?admin&feedid={feed}"))
            .auth(Auth::Digest { user: user.to_owned(), secret });
        let begun = self.world.env().now();
        let mut sent = self.client.send(send).await?;
        sent.body.collect(64 * 1024).await?;
        let took = self.world.env().now().since(begun);
        let name = format!("feed-{feed}-status");
        let behind = sent.body.trailers().into_iter().flat_map(|trailers| trailers.iter());
        let all = sent.headers.iter().chain(behind);
        let done = all.into_iter().any(|field| {
            field.name.eq_ignore_ascii_case(&name) && field.value.as_ref() == b"0".as_slice()
        });
        anyhow::ensure!(sent.status == 200 && done, "the SEND has failed");
        Ok(took.as_secs_f64())
    }
}

async fn json_of(mut response: Response) -> anyhow::Result<Value> {
    let body = response.body.collect(4 << 20).await?;
    anyhow::ensure!(response.status < 300, "it was answered {}", response.status);
    Ok(serde_json::from_slice(&body)?)
}
