//! Live clusters: which faults can be done to real folders, and that the others are refused in a sentence.

use std::time::Duration;

use swarm_cluster::live::LiveClusters;
use swarm_cluster::{Action, DamageKind, DiskFault, LinkChange, Ways, World};

use crate::simulated::spec;

#[test]
fn disks_of_live_nodes_are_pulled_plugged_in_and_replaced() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let world = LiveClusters::start(runtime.handle(), &spec(1)).await;
        let world = world.unwrap_or_else(|error| panic!("{error}"));
        let nodes = world.nodes("main");
        let disk = world.disks(&nodes[0]).remove(0);
        let pulled = world.apply(Action::PullDisk(disk.clone())).await.expect("it is in");
        assert_eq!(world.effects(pulled.number), 1);
        assert_eq!((world.disks(&nodes[0]), world.plugged_into(&disk)), (Vec::new(), None));
        assert!(world.apply(Action::PullDisk(disk.clone())).await.is_err(), "only once");

        let insert = |into| Action::InsertDisk { disk: disk.clone(), into };
        assert!(world.apply(insert(nodes[1].clone())).await.is_err(), "not in this world");
        world.apply(insert(nodes[0].clone())).await.expect("it is out");
        assert_eq!(world.plugged_into(&disk), Some(nodes[0].clone()));
        assert!(!world.image(&disk).is_empty(), "with what it holds");
        assert!(world.apply(insert(nodes[0].clone())).await.is_err(), "only once");

        assert_eq!(world.damage(), Vec::new());
        world.apply(Action::ReplaceDisk(disk.clone())).await.expect("it is in");
        let damage = world.damage();
        assert_eq!((damage.len(), damage[0].kind), (1, DamageKind::Wiped));
        assert_eq!(world.disks(&nodes[0]), vec![disk]);
        world.stop().await.unwrap_or_else(|error| panic!("{error}"));
    });
}

#[test]
fn what_a_live_world_cannot_do_is_refused_in_a_sentence() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let world = LiveClusters::start(runtime.handle(), &spec(1)).await;
        let world = world.unwrap_or_else(|error| panic!("{error}"));
        let node = world.nodes("main").remove(0);
        let disk = world.disks(&node).remove(0);
        let ways = Ways::Around(vec![node.clone()]);
        for action in [
            Action::Degrade { ways, change: LinkChange::default() },
            Action::Forget(vec![node.clone()]),
            Action::Drift { node: node.clone(), ppm: 1 },
            Action::StepClock { node, by_ns: 1 },
            Action::Skip(Duration::from_secs(1)),
            Action::DiskFault { disk: disk.clone(), fault: DiskFault::ReadOnly },
            Action::Unreadable { disk: disk.clone(), share_ppm: 1 },
            Action::LoseIndex(disk),
        ] {
            let refused = world.apply(action.clone()).await;
            assert!(refused.is_err_and(|why| why.contains(' ')), "{action:?}");
        }
        world.stop().await.unwrap_or_else(|error| panic!("{error}"));
    });
}
