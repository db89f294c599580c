//! Every fault that can be asked of a simulated cluster changes an outcome, is undone, and counts nothing where it met nothing.

use std::sync::Arc;
use std::time::Duration;

use swarm_cluster::sim::{RunOptions, run};
use swarm_cluster::{Action, Cut, Ending, LatencySpec, LinkChange, NodeRef, Reply, Ways, World};

use crate::simulated::{ask, spec, write};

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Runs a story in a world of three nodes that are up.
pub(crate) fn story<F, Fut>(seed: u64, story: F)
where
    F: FnOnce(Arc<dyn World>, Vec<NodeRef>) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let finished = run(&spec(seed), RunOptions::default(), |world: Arc<dyn World>| async move {
        let nodes = world.nodes("main");
        assert!(write(&*world, &nodes[0]).await, "the cluster comes up");
        story(world, nodes).await;
    });
    finished.expect("the run ends");
}

pub(crate) async fn apply(world: &Arc<dyn World>, action: Action) -> u64 {
    let said = format!("{action:?}");
    match world.apply(action).await {
        Ok(applied) => applied.number,
        Err(why) => panic!("{said}: {why}"),
    }
}

/// The number of the action is undone, once.
pub(crate) async fn heal(world: &Arc<dyn World>, number: u64) {
    apply(world, Action::Heal(number)).await;
    assert!(world.apply(Action::Heal(number)).await.is_err(), "only once");
}

#[test]
fn ways_between_nodes_and_to_clients_get_worse() {
    story(1, |world, nodes| async move {
        let latency = Some(LatencySpec::Even { min: seconds(2), max: seconds(2) });
        let change = LinkChange { latency, ..LinkChange::default() };
        let ways = Ways::Clients(vec![nodes[1].clone()]);
        let clients = apply(&world, Action::Degrade { ways, change }).await;
        let line = "GET / HTTP/1.1\r\nHost: main\r\n\r\n";
        let client = &world.clients()[0];
        assert_eq!(world.effects(clients), 0);
        assert_eq!(ask(client, world.scsp(&nodes[1]), line).await, None, "too slow for it");
        assert!(world.effects(clients) > 0);
        assert!(ask(client, world.scsp(&nodes[2]), line).await.is_some(), "another node");
        heal(&world, clients).await;
        world.env().sleep(seconds(10)).await;
        assert!(ask(client, world.scsp(&nodes[1]), line).await.is_some());

        let loses = LinkChange { loss_ppm: Some(900_000), ..LinkChange::default() };
        for ways in [
            Ways::Around(vec![nodes[0].clone()]),
            Ways::OneWay { from: vec![nodes[0].clone()], to: nodes[1..].to_vec() },
            Ways::Between(vec![nodes[0].clone()], vec![nodes[1].clone()]),
        ] {
            let number = apply(&world, Action::Degrade { ways, change: loses }).await;
            world.env().sleep(seconds(60)).await;
            assert!(world.effects(number) > 0, "beacons were lost");
            heal(&world, number).await;
        }
        let nothing = apply(
            &world,
            Action::Degrade { ways: Ways::Around(nodes), change: LinkChange::default() },
        )
        .await;
        world.env().sleep(seconds(60)).await;
        assert_eq!(world.effects(nothing), 0);
    });
}

#[test]
fn a_node_is_not_heard_by_the_others_but_hears_them() {
    story(2, |world, nodes| async move {
        let cut = Cut::OneWay { from: vec![nodes[0].clone()], to: nodes[1..].to_vec() };
        let cut = apply(&world, Action::Cut(cut)).await;
        assert_eq!(world.effects(cut), 0);
        world.env().sleep(seconds(60)).await;
        assert!(world.effects(cut) > 0, "beacons were lost");
        heal(&world, cut).await;
        let effects = world.effects(cut);
        world.env().sleep(seconds(60)).await;
        assert_eq!(world.effects(cut), effects);
        let forgotten = apply(&world, Action::Forget(vec![nodes[0].clone()])).await;
        assert!(world.apply(Action::Heal(forgotten)).await.is_err(), "it is over already");
        assert!(write(&*world, &nodes[0]).await, "new connections work");
    });
}

#[test]
fn a_request_is_cut_short_and_an_answer_is_lost() {
    const POST: &str =
        "POST /?domain= HTTP/1.1\r\nHost: main\r\nX-Mark: 17\r\nContent-Length: 4\r\n\r\nmeow";
    story(3, |world, nodes| async move {
        let (client, to) = (&world.clients()[0], world.scsp(&nodes[0]));
        let truncate = |marker: &str| Action::Truncate {
            client: Some(0),
            node: Some(nodes[0].clone()),
            marker: Some(marker.as_bytes().to_vec()),
            at_byte: 40,
            ending: Ending::Reset,
        };
        let (never, once) = (truncate("X-Mark: 18"), truncate("X-Mark: 17"));
        let (never, once) = (apply(&world, never).await, apply(&world, once).await);
        assert_eq!(ask(client, to, POST).await, None, "it is reset");
        assert!(ask(client, to, POST).await.is_some(), "the next one goes through");
        assert_eq!((world.effects(once), world.effects(never)), (1, 0));
        heal(&world, never).await;

        let lose =
            |reply| Action::LoseReply { node: nodes[0].clone(), reply, ending: Ending::Reset };
        let any = apply(&world, lose(Reply::Any)).await;
        assert_eq!(world.effects(any), 0);
        assert_eq!(ask(client, to, POST).await, None);
        assert_eq!(world.effects(any), 1);
        let success = apply(&world, lose(Reply::Success)).await;
        let missing = "HEAD /00112233445566778899aabbccddeeff HTTP/1.1\r\nHost: main\r\n\r\n";
        assert!(ask(client, to, missing).await.is_some_and(|line| line.contains("404")));
        assert_eq!(world.effects(success), 0, "no success to lose");
        heal(&world, success).await;
    });
}

#[test]
fn clocks_drift_and_step_and_what_reads_them_is_counted() {
    story(4, |world, nodes| async move {
        let node = nodes[0].clone();
        let drift = apply(&world, Action::Drift { node: node.clone(), ppm: 200 }).await;
        let step =
            apply(&world, Action::StepClock { node: node.clone(), by_ns: 5_000_000_000 }).await;
        assert_eq!((world.effects(drift), world.effects(step)), (0, 0));
        world.env().sleep(seconds(60)).await;
        assert!(write(&*world, &node).await);
        assert!(world.effects(drift) > 0 && world.effects(step) > 0);
        heal(&world, drift).await;
        heal(&world, step).await;
        let effects = (world.effects(drift), world.effects(step));
        assert!(write(&*world, &node).await);
        assert_eq!((world.effects(drift), world.effects(step)), effects);
    });
}

#[test]
fn a_pause_is_felt() {
    story(5, |world, nodes| async move {
        let pause = apply(&world, Action::Pause(nodes[0].clone())).await;
        world.env().sleep(seconds(5)).await;
        apply(&world, Action::Resume(nodes[0].clone())).await;
        assert!(world.effects(pause) > 0, "beacons of the others came late");
    });
}

#[test]
fn three_weeks_are_skipped_in_the_time_of_two_hundred_beats() {
    let mut ten = spec(6);
    ten.clusters.get_mut("main").expect("it is there").nodes = 10;
    let story = |world: Arc<dyn World>| async move {
        let nodes = world.nodes("main");
        assert!(write(&*world, &nodes[0]).await, "the cluster comes up");
        let (before, by) = (world.env().now(), 21 * seconds(24 * 3600));
        let skipped = apply(&world, Action::Skip(by)).await;
        assert_eq!(world.env().now(), before + by);
        assert!(world.effects(skipped) > 10 * 190, "every node's beacon beat so often");
        assert!(write(&*world, &nodes[9]).await, "everybody is there");
    };
    let without = run(&ten, RunOptions::default(), |world: Arc<dyn World>| async move {
        assert!(write(&*world, &world.nodes("main")[0]).await, "the cluster comes up");
    });
    let (with, without) = (run(&ten, RunOptions::default(), story), without.expect("it ends"));
    let events = with.expect("the run ends").events - without.events;
    // At 0.3 to 5 µs each, with the polls that they cause.
    assert!(events < 100_000, "{events}");
}
