//! Every fault of a disk that can be asked of a simulated cluster changes an outcome, is undone, and counts nothing where it
//! met nothing.

use std::sync::Arc;
use std::time::Duration;

use swarm_cluster::{Action, DamageKind, DiskFault, DiskRef, NodeRef, World};

use crate::faults::{apply, heal, seconds, story};
use crate::simulated::{ask, write};

/// Every node, and with it every disk, is written to and read.
async fn use_all(world: &Arc<dyn World>, nodes: &[NodeRef]) {
    for node in nodes {
        assert!(write(&**world, node).await, "one answer within a minute");
    }
    world.env().sleep(seconds(60)).await;
}

async fn trouble(world: &Arc<dyn World>, disk: &DiskRef, fault: DiskFault) -> u64 {
    apply(world, Action::DiskFault { disk: disk.clone(), fault }).await
}

#[test]
fn disks_fail_until_they_are_healed() {
    let always = 1_000_000;
    for fault in [
        DiskFault::Slow { latency: seconds(1), bandwidth: 100_000, over: Duration::ZERO },
        DiskFault::Stalled,
        DiskFault::FailWrites { share_ppm: always },
        DiskFault::FailSyncs { share_ppm: always },
        DiskFault::ReadOnly,
    ] {
        story(1, move |world, nodes| async move {
            let disk = world.disks(&nodes[1]).remove(0);
            let idle = world.disks(&nodes[2]).remove(0);
            let number = trouble(&world, &disk, fault).await;
            let (elsewhere, at_once) = (trouble(&world, &idle, fault).await, world.effects(number));
            heal(&world, elsewhere).await;
            assert_eq!(at_once, 0, "{fault:?}: nothing has met it");
            use_all(&world, &nodes).await;
            assert!(world.effects(number) > 0, "{fault:?} did not bite");
            assert_eq!(world.effects(elsewhere), 0, "{fault:?} was healed at once");
            heal(&world, number).await;
            assert!(world.panics().is_empty(), "{fault:?}: {:?}", world.panics());
        });
    }
}

#[test]
fn reads_fail_when_a_node_reads() {
    story(2, |world, nodes| async move {
        let disk = world.disks(&nodes[1]).remove(0);
        use_all(&world, &nodes).await;
        let failing = trouble(&world, &disk, DiskFault::FailReads { share_ppm: 1_000_000 }).await;
        apply(&world, Action::Kill(nodes[1].clone())).await;
        apply(&world, Action::Start(nodes[1].clone())).await;
        world.env().sleep(seconds(60)).await;
        assert!(world.effects(failing) > 0, "a mount reads");
        apply(&world, Action::HealDisk(disk.clone())).await;
        assert!(world.apply(Action::Heal(failing)).await.is_err(), "it is healed already");

        let lost = Action::Unreadable { disk: disk.clone(), share_ppm: 1_000_000 };
        let lost = apply(&world, lost).await;
        let damage = world.damage();
        assert_eq!((damage.len(), damage[0].kind), (1, DamageKind::Unreadable));
        assert!(!damage[0].ranges.is_empty());
        apply(&world, Action::Kill(nodes[1].clone())).await;
        apply(&world, Action::Start(nodes[1].clone())).await;
        world.env().sleep(seconds(60)).await;
        assert!(world.effects(lost) > 0, "a mount reads");
    });
}

#[test]
fn a_disk_that_lies_destroys_at_the_next_power_cut() {
    story(3, |world, nodes| async move {
        let disk = world.disks(&nodes[0]).remove(0);
        let lie = trouble(&world, &disk, DiskFault::LieAboutSyncs).await;
        for _ in 0..10 {
            use_all(&world, &nodes).await;
        }
        assert_eq!(world.effects(lie), 0, "nobody can tell");
        assert_eq!(world.damage(), Vec::new());
        apply(&world, Action::PowerOff(nodes[0].clone())).await;
        let lost = world.effects(lie);
        let damage = world.damage();
        assert!(lost > 0);
        assert_eq!(
            (damage.len(), damage[0].kind, &damage[0].disk),
            (1, DamageKind::Unsynced, &disk)
        );
        assert_eq!(damage[0].ranges.iter().map(|(_, len)| len).sum::<u64>(), lost);
    });
}

#[test]
fn blocks_that_land_elsewhere_are_damage() {
    story(4, |world, nodes| async move {
        let disk = world.disks(&nodes[0]).remove(0);
        let astray = trouble(&world, &disk, DiskFault::Misdirect { share_ppm: 500_000 }).await;
        for _ in 0..5 {
            use_all(&world, &nodes).await;
        }
        let damage = world.damage();
        assert!(!damage.is_empty());
        assert!(damage.iter().all(|one| one.kind == DamageKind::Misdirected && one.disk == disk));
        heal(&world, astray).await;
        apply(&world, Action::Kill(nodes[0].clone())).await;
        apply(&world, Action::Start(nodes[0].clone())).await;
        world.env().sleep(seconds(60)).await;
        assert!(world.effects(astray) > 0, "a mount reads");
    });
}

#[test]
fn a_disk_is_pulled_moved_and_replaced() {
    story(5, |world, nodes| async move {
        let disk = world.disks(&nodes[0]).remove(0);
        let pulled = apply(&world, Action::PullDisk(disk.clone())).await;
        assert!(world.effects(pulled) > 0, "a node had it");
        assert_eq!((world.disks(&nodes[0]), world.plugged_into(&disk)), (Vec::new(), None));
        assert!(world.apply(Action::PullDisk(disk.clone())).await.is_err(), "only once");
        world.env().sleep(seconds(60)).await;

        let into = nodes[1].clone();
        let moved = apply(&world, Action::InsertDisk { disk: disk.clone(), into }).await;
        assert_eq!(world.plugged_into(&disk), Some(nodes[1].clone()));
        let second = DiskRef { node: nodes[1].clone(), disk: 1 };
        assert_eq!(world.disks(&nodes[1]), vec![disk.clone(), second.clone()]);
        apply(&world, Action::Kill(nodes[1].clone())).await;
        apply(&world, Action::Start(nodes[1].clone())).await;
        world.env().sleep(seconds(60)).await;
        assert_eq!(world.effects(moved), 1, "the node has opened it");

        let replaced = apply(&world, Action::ReplaceDisk(second.clone())).await;
        let third = DiskRef { node: nodes[1].clone(), disk: 2 };
        assert_eq!(world.disks(&nodes[1]), vec![disk, third.clone()]);
        assert_eq!(world.image(&third).len(), world.image(&second).len());
        assert!(world.effects(replaced) > 0);
        assert_eq!(world.damage(), Vec::new(), "what was pulled holds what it held");
    });
}

#[test]
fn a_lost_index_is_built_anew() {
    story(6, |world, nodes| async move {
        use_all(&world, &nodes).await;
        let disk = world.disks(&nodes[0]).remove(0);
        let before = world.index(&disk).expect("simulated");
        let lost = apply(&world, Action::LoseIndex(disk.clone())).await;
        assert_eq!(world.effects(lost), 0);
        apply(&world, Action::Stop(nodes[0].clone())).await;
        apply(&world, Action::Start(nodes[0].clone())).await;
        world.env().sleep(seconds(60)).await;
        assert!(world.effects(lost) >= before.len() as u64 && !before.is_empty());
        assert!(world.index(&disk).is_some_and(|index| !index.is_empty()), "from the journal");
    });
}

#[test]
fn a_full_disk_takes_nothing_new() {
    story(7, |world, nodes| async move {
        let line = "POST /?domain= HTTP/1.1\r\nHost: main\r\nContent-Length: 4\r\n\r\nmeow";
        let mut fills = Vec::new();
        for node in &nodes {
            let disk = world.disks(node).remove(0);
            fills.push(trouble(&world, &disk, DiskFault::Full { share_ppm: 1_000_000 }).await);
        }
        let client = &world.clients()[0];
        for _ in 0..20 {
            let answer = ask(client, world.scsp(&nodes[0]), line).await;
            assert!(answer.is_none_or(|line| !line.contains(" 201 ")) || fills.is_empty());
        }
        world.env().sleep(seconds(60)).await;
        assert!(fills.iter().map(|fill| world.effects(*fill)).sum::<u64>() > 0);
        for fill in fills {
            heal(&world, fill).await;
        }
        assert!(world.panics().is_empty());
    });
}
