//! What a feed does on real sockets and files, against what a plain client does in the same run.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use serde_json::{Value, json};
use swarm_client::{Auth, Client, ClientOptions, Request};
use swarm_cluster::live::{LiveCluster, LiveSpec, LiveWorld};

use crate::report::{Report, Target};
use crate::rounds::Summary;

pub(crate) const RATIO: &str = "live feed of 4 KiB objects, over plain POSTs";

const RATIO_TARGET: Target = Target::AtLeast(0.5);

/// Rounds, each on clusters of its own.
const ROUNDS: usize = 3;
/// Objects of a round; those that warm up caches, connections and disks come besides.
const OBJECTS: usize = 3000;
const WARM_UP: usize = 300;
/// Connections of the plain client: as many transfers as the nodes of a feed have at once.
const CLIENTS: usize = 18;
const SIZE: usize = 4096;
const NODES: u32 = 3;
/// Blocks of loopback addresses that nobody else is likely to use.
const MAIN: Ipv4Addr = Ipv4Addr::new(127, 130, 7, 11);
const DR: Ipv4Addr = Ipv4Addr::new(127, 130, 7, 21);
const PORT: u16 = 8080;
const LOOK_EVERY: Duration = Duration::from_millis(10);
const DRAINED_WITHIN: Duration = Duration::from_secs(300);
const FEEDS: &str = "/api/storage/clusters/_self/feeds";

/// The rate at which a feed carries objects to another cluster on this machine, over the rate at which a plain concurrent
/// client writes as many others there afterwards.
pub(crate) fn feeds(report: &mut Report) -> anyhow::Result<()> {
    let mut ratios = Vec::new();
    for _ in 0..ROUNDS {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let world = LiveWorld::new(runtime.handle().clone());
        let Rates { feed, plain } = runtime.block_on(round(&world))?;
        eprintln!("feed {feed:.0} objects/s, plain client {plain:.0} objects/s");
        ratios.push(feed / plain);
    }
    report.add(RATIO, Summary::median(ratios), "x", RATIO_TARGET);
    Ok(())
}

/// Objects in a second.
struct Rates {
    feed: f64,
    plain: f64,
}

async fn round(world: &LiveWorld) -> anyhow::Result<Rates> {
    let main = Site::start(world, "main", MAIN).await?;
    let dr = Site::start(world, "dr", DR).await?;
    let hosts: Vec<String> = dr.scsp().iter().map(|at| at.ip().to_string()).collect();
    let definition = json!({
        "name": "to-dr", "type": "replication", "clusterName": "dr", "hosts": hosts, "port": PORT, "paused": true,
    });
    main.manage("POST", FEEDS, &definition).await?;
    main.until("every node knows the feed", |feed| feed["state"] == "Paused").await?;
    let mut feed = 0.0;
    for objects in [WARM_UP, OBJECTS] {
        main.write(objects).await?;
        let begun = Instant::now();
        main.manage("PATCH", &format!("{FEEDS}/0"), &json!({ "paused": false })).await?;
        main.until("the feed is drained", |feed| feed["state"] == "OK" && feed["pending"] == 0)
            .await?;
        feed = objects as f64 / begun.elapsed().as_secs_f64();
        main.manage("PATCH", &format!("{FEEDS}/0"), &json!({ "paused": true })).await?;
        main.until("every node pauses", |feed| feed["state"] == "Paused").await?;
    }
    dr.write(WARM_UP).await?;
    let begun = Instant::now();
    dr.write(OBJECTS).await?;
    let plain = OBJECTS as f64 / begun.elapsed().as_secs_f64();
    let carried = main.carried().await?;
    anyhow::ensure!(carried == WARM_UP + OBJECTS, "the feed carried {carried} objects");
    main.cluster.stop().await?;
    dr.cluster.stop().await?;
    Ok(Rates { feed, plain })
}

/// A cluster, and a client of it.
struct Site {
    cluster: LiveCluster,
    client: Client,
}

impl Site {
    async fn start(world: &LiveWorld, name: &str, address: Ipv4Addr) -> anyhow::Result<Self> {
        let spec = LiveSpec {
            name: name.to_owned(),
            nodes: NODES,
            address,
            port: PORT,
            volumes_per_node: 1,
            volume_size: 4 << 30,
            folder: None,
            apart: true,
            settings: BTreeMap::new(),
            node_settings: BTreeMap::new(),
        };
        let cluster = LiveCluster::start(world, spec).await?;
        let options = ClientOptions { idle_per_address: CLIENTS, ..ClientOptions::default() };
        let client = Client::new(cluster.env().clone(), options);
        Ok(Self { cluster, client })
    }

    fn scsp(&self) -> Vec<SocketAddr> {
        self.cluster.nodes().iter().map(|node| self.cluster.scsp(node)).collect()
    }

    /// Writes so many objects, with all clients at once.
    async fn write(&self, objects: usize) -> anyhow::Result<()> {
        let nodes = self.scsp();
        let mut tasks = Vec::new();
        for client in 0..CLIENTS {
            let share = objects / CLIENTS + usize::from(client < objects % CLIENTS);
            let (http, nodes) = (self.client.clone(), nodes.clone());
            tasks.push(self.cluster.env().spawn("client", async move {
                for nth in 0..share {
                    write_one(&http, nodes[(client + nth) % nodes.len()]).await?;
                }
                Ok::<(), anyhow::Error>(())
            }));
        }
        for task in tasks {
            task.join().await.context("a client ended")??;
        }
        Ok(())
    }

    async fn manage(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        let node = self.cluster.nodes().into_iter().next().context("a cluster has a node")?;
        let request = Request::new(self.cluster.management(&node), method, path)
            .auth(Auth::basic("admin", "ourpwdofchoicehere"))
            .header("Content-Type", "application/json")
            .body(Bytes::from(body.to_string()));
        let (status, body) = self.ask(request).await?;
        anyhow::ensure!(status < 300, "{method} {path} was answered {status}: {body}");
        Ok(body)
    }

    async fn ask(&self, request: Request) -> anyhow::Result<(u16, Value)> {
        let mut response = self.client.send(request).await?;
        let body = response.body.collect(4 << 20).await?;
        Ok((response.status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// Waits until the feed is like this on every node.
    async fn until(&self, what: &str, like: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        'looking: loop {
            anyhow::ensure!(begun.elapsed() < DRAINED_WITHIN, "it never came about that {what}");
            let mut tables = Vec::new();
            for node in self.cluster.nodes() {
                let request = Request::new(self.cluster.management(&node), "GET", "/api/status");
                let (_, status) = self.ask(request).await?;
                let feed = &status["feeds"][0];
                tables.push(feed["table"].clone());
                if !like(feed) || tables[0] != feed["table"] {
                    self.cluster.env().sleep(LOOK_EVERY).await;
                    continue 'looking;
                }
            }
            return Ok(());
        }
    }

    /// How many objects the feed has carried.
    async fn carried(&self) -> anyhow::Result<usize> {
        let mut carried = 0;
        for node in self.cluster.nodes() {
            let request = Request::new(self.cluster.management(&node), "GET", "/metrics");
            let mut response = self.client.send(request).await?;
            let text = response.body.collect(4 << 20).await?;
            let text = String::from_utf8_lossy(&text);
            let line = text.lines().find_map(|line| {
                line.strip_prefix("swarm_feed_transferred_objects_total{feed=\"0\"} ")
            });
            carried += line.context("no such counter")?.parse::<usize>()?;
        }
        Ok(carried)
    }
}

async fn write_one(client: &Client, to: SocketAddr) -> anyhow::Result<()> {
    static BODY: [u8; SIZE] = [b'x'; SIZE];
    let request = Request::new(to, "POST", "/").body(Bytes::from_static(&BODY));
    let mut response = client.send(request).await?;
    response.body.collect(64 * 1024).await?;
    anyhow::ensure!(response.status == 201, "a write was answered {}", response.status);
    Ok(())
}
