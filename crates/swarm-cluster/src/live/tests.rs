//! Live clusters as a developer meets them, over HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use swarm_client::{Client, ClientOptions, Request, Response};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{LiveCluster, LiveClusters, LiveSpec, LiveWorld, UpError};
use crate::log::tests::Lines;
use crate::{
    Action, ClusterSpec, DamageKind, DiskKind, Life, LinkSpec, NodeRef, VOLUME_SIZE_MIN, World,
    WorldSpec,
};

const NODES: u32 = 3;

/// Names and addresses differ between tests and between test processes, which may all run at once.
fn spec() -> LiveSpec {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = std::process::id().wrapping_mul(16) + NEXT.fetch_add(1, Ordering::Relaxed);
    LiveSpec {
        name: format!("test-{number}"),
        nodes: NODES,
        address: Ipv4Addr::from(0x7f40_0000 | (number << 4 & 0x003f_fff0)),
        port: 18_080,
        volumes_per_node: 1,
        volume_size: 64 << 20,
        folder: None,
        apart: false,
        settings: [].into(),
        node_settings: [].into(),
    }
}

fn in_folder(folder: &Path) -> LiveSpec {
    LiveSpec { folder: Some(folder.to_owned()), ..spec() }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

fn live<F: Future<Output = ()>>(test: impl FnOnce(LiveWorld) -> F) {
    let runtime = runtime();
    let world = LiveWorld::new(runtime.handle().clone());
    runtime.block_on(test(world));
}

async fn up(world: &LiveWorld, spec: LiveSpec) -> LiveCluster {
    match LiveCluster::start(world, spec).await {
        Ok(cluster) => cluster,
        Err(error) => panic!("the cluster does not start: {error}"),
    }
}

fn node(cluster: &LiveCluster, number: u32) -> NodeRef {
    NodeRef { cluster: cluster.spec().name.clone(), node: number }
}

struct Caller<'a> {
    cluster: &'a LiveCluster,
    client: Client,
}

impl<'a> Caller<'a> {
    fn new(cluster: &'a LiveCluster) -> Self {
        Self { cluster, client: Client::new(cluster.env().clone(), ClientOptions::default()) }
    }

    async fn ask(&self, number: u32, method: &str, target: &str, body: &'static str) -> Response {
        let to = self.cluster.scsp(&node(self.cluster, number));
        let request = Request::new(to, method, target).body(body).patience(Duration::from_secs(20));
        match self.client.send(request).await {
            Ok(response) => response,
            Err(error) => panic!("{method} {target} at node {number}: {error}"),
        }
    }

    /// Writes an unnamed object and returns its path.
    async fn write(&self, number: u32, body: &'static str) -> String {
        let written = self.ask(number, "POST", "/", body).await;
        assert_eq!(written.status, 201, "{:?}", written.headers);
        format!("/{}", written.header("content-uuid").expect("a UUID"))
    }

    async fn read(&self, number: u32, target: &str) -> (u16, Bytes) {
        let mut read = self.ask(number, "GET", target, "").await;
        (read.status, read.body.collect(1 << 20).await.expect("a whole body"))
    }
}

#[test]
fn an_object_written_to_one_node_is_read_from_all_and_deleted_from_any() {
    live(async |world| {
        let cluster = up(&world, spec()).await;
        let caller = Caller::new(&cluster);
        let object = caller.write(1, "hello").await;
        for number in 1..=NODES {
            assert_eq!(caller.read(number, &object).await, (200, Bytes::from_static(b"hello")));
        }
        assert_eq!(caller.ask(2, "DELETE", &object, "").await.status, 200);
        assert_eq!(caller.read(3, &object).await.0, 404);
        let folder = cluster.folder().to_owned();
        assert!(folder.join("node-3/disk-1/volume.img").exists());
        cluster.stop().await.expect("stopped");
        assert!(!folder.exists(), "a temporary folder goes with its cluster");
    });
}

#[test]
fn objects_outlive_the_process_in_a_folder() {
    let folder = TempDir::new().expect("a folder");
    let spec = in_folder(folder.path());
    let mut objects = Vec::new();
    live(async |world| {
        let cluster = up(&world, spec.clone()).await;
        let caller = Caller::new(&cluster);
        for body in ["one", "two", "three"] {
            objects.push((caller.write(1, body).await, body));
        }
        let elsewhere = LiveSpec { port: 19_080, ..spec.clone() };
        let second = LiveCluster::start(&world, elsewhere).await.err().expect("in use");
        assert!(second.to_string().contains("is in use"), "{second}");
        cluster.stop().await.expect("stopped");
    });
    live(async |world| {
        let cluster = up(&world, spec.clone()).await;
        let caller = Caller::new(&cluster);
        for (object, body) in &objects {
            assert_eq!(caller.read(2, object).await, (200, Bytes::from_static(body.as_bytes())));
        }
        cluster.stop().await.expect("stopped");
    });
}

#[test]
fn a_killed_node_is_missed_and_comes_back_with_its_objects() {
    live(async |world| {
        let cluster = up(&world, spec()).await;
        let caller = Caller::new(&cluster);
        let object = caller.write(1, "safe").await;
        let victim = node(&cluster, 2);
        assert!(cluster.kill_node(&victim).await);
        assert!(!cluster.kill_node(&victim).await, "it is dead already");
        assert_eq!(cluster.missing(), Some(format!("{victim} is off")));
        for number in [1, 3] {
            assert_eq!(caller.read(number, &object).await, (200, Bytes::from_static(b"safe")));
        }
        cluster.start_node(victim.clone()).await.expect("its disks are unlocked");
        assert!(cluster.start_node(victim).await.is_err(), "it runs");
        cluster.wait_ready().await.expect("it joins again");
        assert_eq!(caller.read(2, &object).await, (200, Bytes::from_static(b"safe")));
        cluster.stop().await.expect("stopped");
    });
}

#[test]
fn clusters_of_one_name_mix_unless_they_are_kept_apart() {
    let (one, two) = (spec(), spec());
    let namesake = LiveSpec { name: one.name.clone(), ..two };
    assert_eq!(one.group(), namesake.group());
    let apart = |spec: LiveSpec| LiveSpec { apart: true, ..spec }.group();
    assert_ne!(apart(one), apart(namesake));
}

/// Their groups are numbers of eighteen bits: among these, two pairs meet by chance.
#[test]
fn clusters_of_similar_names_have_groups_of_their_own() {
    let group = |number| LiveSpec { name: format!("test-{number}"), ..spec() }.group();
    let groups: BTreeSet<_> = (465_000..466_000).map(group).collect();
    assert_eq!(groups.len(), 998);
}

#[test]
fn two_clusters_side_by_side_never_mix() {
    live(async |world| {
        let (ours, theirs) = (spec(), spec());
        assert_ne!(ours.group(), theirs.group());
        let (ours, theirs) = (up(&world, ours).await, up(&world, theirs).await);
        let object = Caller::new(&ours).write(1, "ours").await;
        assert_eq!(Caller::new(&theirs).read(1, &object).await.0, 404);
        ours.stop().await.expect("stopped");
        theirs.stop().await.expect("stopped");
    });
}

#[test]
fn a_taken_port_is_one_sentence_and_leaves_nothing_running() {
    live(async |world| {
        let first = up(&world, spec()).await;
        let beside = LiveSpec { address: first.spec().address, ..spec() };
        let error = LiveCluster::start(&world, beside.clone()).await.err().expect("taken");
        assert!(matches!(error, UpError::Node { .. }), "{error}");
        assert!(error.to_string().contains("port 18080 of"), "{error}");
        assert!(error.to_string().contains("is taken by another program"), "{error}");
        first.stop().await.expect("stopped");
        up(&world, beside).await.stop().await.expect("nothing of the failed start is left");
    });
}

#[test]
fn what_cannot_exist_is_refused_with_a_reason() {
    live(async |world| {
        let wrong = [
            (LiveSpec { name: "Not Good".to_owned(), ..spec() }, "cluster name 'Not Good'"),
            (LiveSpec { nodes: 0, ..spec() }, "0 nodes"),
            (LiveSpec { volumes_per_node: 65, ..spec() }, "65 volumes"),
            (LiveSpec { port: 65_533, ..spec() }, "leaves no room"),
            (
                LiveSpec { address: Ipv4Addr::new(127, 255, 255, 254), ..spec() },
                "there are not 3 addresses",
            ),
            (
                LiveSpec { address: Ipv4Addr::new(192, 0, 2, 1), ..spec() },
                "does not have the address",
            ),
            (
                LiveSpec { settings: [("no.such".to_owned(), "1".to_owned())].into(), ..spec() },
                "no.such",
            ),
            (
                LiveSpec {
                    settings: [("policy.replica".to_owned(), "1".to_owned())].into(),
                    ..spec()
                },
                "did you mean 'policy.replicas'?",
            ),
            (LiveSpec { volume_size: 1 << 20, ..spec() }, "volumes of 1048576 bytes"),
            (LiveSpec { address: Ipv4Addr::UNSPECIFIED, ..spec() }, "0.0.0.0 is every address"),
            (LiveSpec { address: Ipv4Addr::BROADCAST, ..spec() }, "is a broadcast address"),
            (
                LiveSpec { address: Ipv4Addr::new(127, 255, 255, 255), ..spec() },
                "is a broadcast address",
            ),
            (LiveSpec { address: Ipv4Addr::new(239, 192, 0, 1), ..spec() }, "is a multicast"),
            (LiveSpec { address: Ipv4Addr::new(240, 0, 0, 1), ..spec() }, "is reserved"),
            (
                LiveSpec { address: Ipv4Addr::new(223, 255, 255, 254), ..spec() },
                "there are not 3 addresses",
            ),
        ];
        let parent = TempDir::new().expect("a folder");
        let folder = parent.path().join("new");
        for (spec, reason) in wrong {
            let spec = LiveSpec { folder: Some(folder.clone()), ..spec };
            let on_this_machine = spec.check().is_ok();
            let error = LiveCluster::start(&world, spec).await.err().expect("refused");
            assert!(error.to_string().contains(reason), "{error}");
            assert!(on_this_machine || !folder.exists(), "{error}: but the folder is claimed");
            // An address that the machine lacks is found out on the way, when the folder is taken.
            drop(std::fs::remove_dir_all(&folder));
        }
    });
}

#[test]
fn a_second_cluster_of_one_name_is_refused_until_the_first_has_stopped() {
    live(async |world| {
        let parent = TempDir::new().expect("a folder");
        let first = up(&world, LiveSpec { nodes: 1, ..spec() }).await;
        let folder = parent.path().join("new");
        let second = LiveSpec { name: first.spec().name.clone(), nodes: 1, ..in_folder(&folder) };
        let error = LiveCluster::start(&world, second.clone()).await.err().expect("it would join");
        assert!(matches!(error, UpError::NameTaken { port: 18_080, .. }), "{error}");
        assert!(!folder.exists(), "a refused start leaves no trace");
        let beside = up(&world, LiveSpec { port: 19_080, folder: None, ..second.clone() }).await;
        beside.stop().await.expect("stopped");
        first.stop().await.expect("stopped");
        up(&world, second).await.stop().await.expect("the name is free again");
    });
}

/// Whoever starts and stops a node, what it logs meanwhile is its own.
#[test]
fn every_line_from_the_start_to_the_stop_of_a_node_has_its_clock_and_its_name() {
    let lines = Lines::default();
    // One thread, whose lines are collected.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let world = LiveWorld::new(runtime.handle().clone());
    let spec = LiveSpec { nodes: 2, ..spec() };
    lines.collect(|| {
        runtime.block_on(async {
            let cluster = up(&world, spec.clone()).await;
            assert!(cluster.stop_node(&node(&cluster, 1)).await, "it ran");
            cluster.stop().await.expect("stopped");
        });
    });
    let text = lines.text();
    for number in 1..=2 {
        let name = format!("{}/{number}", spec.name);
        let of_node = |line: &&str| line.contains(&format!("node=\"{name}\""));
        let told: Vec<&str> = text.lines().filter(of_node).collect();
        for state in ["ok", "finalizing"] {
            let says = format!("node state node=\"{name}\" state=\"{state}\"");
            assert!(told.iter().any(|line| line.ends_with(&says)), "no '{says}' in {text}");
        }
        for line in told {
            let (stamp, _) = line.split_once("]  INFO ").unwrap_or((line, ""));
            assert!(stamp.starts_with("[20") && stamp.ends_with(&format!("Z {name}")), "{line}");
        }
    }
    assert!(text.lines().all(|line| line.starts_with('[')), "a line of nobody: {text}");
}

#[test]
fn a_cluster_of_the_smallest_volumes_takes_an_object() {
    live(async |world| {
        let cluster = up(&world, LiveSpec { volume_size: VOLUME_SIZE_MIN, ..spec() }).await;
        let caller = Caller::new(&cluster);
        let object = caller.write(1, "small").await;
        assert_eq!(caller.read(3, &object).await, (200, Bytes::from_static(b"small")));
        cluster.stop().await.expect("stopped");
    });
}

#[test]
fn a_harness_breaks_and_mends_a_live_world() {
    let runtime = runtime();
    runtime.block_on(async {
        let cluster = cluster_spec();
        let spec = WorldSpec {
            seed: 1,
            clusters: [("main".to_owned(), cluster)].into(),
            links: BTreeMap::new(),
            planted: Vec::new(),
            client_hosts: 2,
        };
        let world = LiveClusters::start(runtime.handle(), &spec)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            (world.clients().len(), world.nodes("main").len(), world.nodes("dr").len()),
            (2, 3, 0)
        );
        let victim = world.nodes("main").remove(1);
        let disk = world.disks(&victim).remove(0);
        assert_eq!(disk.to_string(), "main/2/1");
        assert_eq!(world.image(&disk).len(), 64 << 20);

        let rotten = world
            .apply(Action::Rot { disk: disk.clone(), share_ppm: 0 })
            .await
            .expect("it holds data");
        assert_eq!(world.effects(rotten.number), 1);
        let killed = world.apply(Action::Kill(victim.clone())).await.expect("it runs");
        assert_eq!((world.life(&victim), world.effects(killed.number)), (Life::Off, 1));
        assert_eq!(
            world.apply(Action::Kill(victim.clone())).await,
            Err("main/2 is off".to_owned())
        );
        world.apply(Action::Wipe(victim.clone())).await.expect("its disks can be removed");
        assert_eq!(world.image(&disk).len(), 0);
        world.apply(Action::Start(victim.clone())).await.expect("it is off");
        assert_eq!(world.life(&victim), Life::Running);
        let kinds: Vec<DamageKind> = world.damage().iter().map(|damage| damage.kind).collect();
        assert_eq!(kinds, [DamageKind::Rot, DamageKind::Wiped]);
        assert!(world.apply(Action::PowerOff(victim)).await.is_err(), "not in this world");
        assert_eq!(world.panics(), []);
        world.stop().await.expect("stopped");
    });
}

fn cluster_spec() -> ClusterSpec {
    ClusterSpec {
        nodes: 3,
        volumes_per_node: 1,
        volume_size: 64 << 20,
        disk: DiskKind::Nvme,
        settings: [].into(),
        node_settings: [].into(),
        lan: LinkSpec::default(),
        clocks: [].into(),
    }
}
