//! Simulated clusters: they come up, are broken and mended through the control surface, and a seed is a run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use swarm_cluster::sim::{RunOptions, run};
use swarm_cluster::{
    Action, ClusterSpec, Cut, DamageKind, DiskKind, Env, Life, LinkSpec, NodeRef, World, WorldSpec,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) fn spec(seed: u64) -> WorldSpec {
    let cluster = ClusterSpec {
        nodes: 3,
        volumes_per_node: 1,
        volume_size: 256 << 20,
        disk: DiskKind::Ssd,
        settings: BTreeMap::new(),
        node_settings: BTreeMap::new(),
        lan: LinkSpec::default(),
        clocks: BTreeMap::new(),
    };
    WorldSpec {
        seed,
        clusters: BTreeMap::from([("main".to_owned(), cluster)]),
        links: BTreeMap::new(),
        planted: Vec::new(),
        client_hosts: 1,
    }
}

/// The status line of the answer to `request`, or nothing if there was none within a second.
pub(crate) async fn ask(env: &Env, to: SocketAddr, request: &str) -> Option<String> {
    let exchange = async {
        let mut stream = env.net().connect(to).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n") {
            answer.push(stream.read_u8().await?);
        }
        std::io::Result::Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
    };
    env.timeout(Duration::from_secs(1), exchange).await.ok()?.ok()
}

/// Writes an unnamed object through this node until one is acknowledged or a minute has passed.
pub(crate) async fn write(world: &dyn World, node: &NodeRef) -> bool {
    let env = &world.clients()[0];
    let body = "POST /?domain= HTTP/1.1\r\nHost: main\r\nContent-Length: 4\r\n\r\nmeow";
    for _ in 0..60 {
        // A redirect is an answer of a working cluster too.
        let answer = ask(env, world.scsp(node), body).await;
        if answer.is_some_and(|line| line.contains(" 201 ") || line.contains(" 307 ")) {
            return true;
        }
        env.sleep(Duration::from_secs(1)).await;
    }
    false
}

async fn story(world: Arc<dyn World>) -> (Life, u64, usize) {
    let nodes = world.nodes("main");
    assert_eq!(nodes.len(), 3);
    assert!(write(&*world, &nodes[0]).await, "the cluster comes up");

    let cut = Action::Cut(Cut::Isolate(vec![nodes[1].clone()]));
    let cut = world.apply(cut).await.expect("a cut");
    world.env().sleep(Duration::from_secs(30)).await;
    assert!(world.effects(cut.number) > 0, "beacons were lost");
    world.apply(Action::Heal(cut.number)).await.expect("healed");
    assert!(world.apply(Action::Heal(cut.number)).await.is_err(), "only once");

    world.apply(Action::PowerOff(nodes[2].clone())).await.expect("it ran");
    assert_eq!(world.life(&nodes[2]), Life::Off);
    assert!(world.apply(Action::Kill(nodes[2].clone())).await.is_err(), "off already");
    assert_eq!(ask(&world.clients()[0], world.scsp(&nodes[2]), "GET / HTTP/1.1\r\n").await, None);
    world.apply(Action::Start(nodes[2].clone())).await.expect("it was off");
    assert!(write(&*world, &nodes[2]).await, "it is back");

    world.apply(Action::Stop(nodes[0].clone())).await.expect("it ran");
    let life = world.life(&nodes[0]);
    let wiped = world.apply(Action::Wipe(nodes[0].clone())).await.expect("always");
    (life, world.effects(wiped.number), world.panics().len())
}

#[test]
fn a_cluster_is_broken_and_mended() {
    let finished = run(&spec(1), RunOptions::default(), async |world: Arc<dyn World>| {
        let outcome = story(Arc::clone(&world)).await;
        let damage = world.damage();
        assert_eq!(damage.len(), 1);
        assert_eq!(
            (damage[0].kind, &damage[0].disk.node),
            (DamageKind::Wiped, &NodeRef { cluster: "main".to_owned(), node: 1 })
        );
        outcome
    });
    let (life, wiped_bytes, panics) = finished.expect("the run ends").output;
    assert_eq!((life, panics), (Life::Off, 0));
    assert!(wiped_bytes > 0, "the disk held a formatted volume");
}

#[test]
fn one_seed_is_one_run() {
    let hash = |seed| {
        let finished = run(&spec(seed), RunOptions::default(), story).expect("the run ends");
        (finished.trace_hash, finished.events, finished.polls, finished.simulated)
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1).0, hash(2).0);
}

#[test]
fn rot_is_damage_on_the_disk_that_it_hit() {
    let outcome = run(&spec(3), RunOptions::default(), async |world: Arc<dyn World>| {
        let node = world.nodes("main").remove(0);
        assert!(write(&*world, &node).await, "the cluster comes up");
        let disk = world.disks(&node).remove(0);
        let before = world.image(&disk);
        world.apply(Action::Rot { disk: disk.clone(), share_ppm: 1 }).await.expect("it is there");
        let damage = world.damage();
        assert_eq!((damage.len(), &damage[0].disk), (1, &disk));
        let after = world.image(&disk);
        for (offset, len) in &damage[0].ranges {
            let (mut old, mut new) = (vec![0; *len as usize], vec![0; *len as usize]);
            before.read(*offset, &mut old);
            after.read(*offset, &mut new);
            assert!(old.iter().zip(&new).all(|(old, new)| old != new));
        }
        damage[0].ranges.len()
    });
    assert_eq!(outcome.expect("the run ends").output, 1);
}

#[test]
fn a_world_that_cannot_be_is_refused_with_a_sentence() {
    let mut wrong = spec(1);
    wrong.planted.push("no-such-bug".to_owned());
    let refused = run(&wrong, RunOptions::default(), async |_| ());
    assert_eq!(refused.expect_err("unknown bug").to_string(), "no planted bug \"no-such-bug\"");
}
