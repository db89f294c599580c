//! What clusters lost and how they mended it: volumes that went away, when everything was protected again, and the copies
//! that no client's write made.
//!
//! Told from outside: a volume is lost when a step takes its disk or its bytes, or when its node gives it up after errors;
//! that everything is protected again is seen on the disks; the copies are those that the nodes count.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use swarm_cluster::{DiskRef, Life, NodeRef};
use swarm_types::Instant;

use super::{Run, lock, protection, watch};
use crate::language::model::{DiskVerb, Event, Power, Retire, Scenario, Start, Verb};

/// How often disks are looked at while a volume is lost, at first.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A recovery that takes hours need not be told to the second.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(300);
/// The time since a loss is told to one part in so many.
const RESOLUTION: u32 = 60;
/// The counter of a node's health processor that counts copies made there.
pub(crate) const COPIES: &str = "copies received";

/// The losses of a run and the copies that were made.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    losses: Vec<Loss>,
    copies: BTreeMap<NodeRef, Copies>,
    /// Clusters whose disks are being looked at until they are protected again.
    watched: BTreeSet<String>,
    /// Disks that are looked at because something is wrong with them.
    suspected: BTreeSet<DiskRef>,
    /// Disks whose volumes their nodes have given up after errors.
    pub(crate) given_up: BTreeSet<DiskRef>,
    /// Clusters for which somebody waits until then.
    awaited: BTreeSet<String>,
}

/// A volume that was lost.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Loss {
    disk: DiskRef,
    at: Instant,
    /// When all objects of the cluster had the copies that are demanded of them again.
    mended: Option<Instant>,
}

/// The copies that one node made, over all its lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Copies {
    /// In earlier lives.
    before: u64,
    /// In this one, when it was last asked.
    now: u64,
    /// When that was heard.
    heard: Instant,
}

/// How long clusters took to mend their losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// How many volumes were lost.
    pub(crate) volumes: usize,
    /// The longest time; `None` while one of them is not made good.
    pub(crate) longest: Option<Duration>,
}

impl Tally {
    /// Of the volumes of a cluster, or of all clusters, that were lost at such a time; `None` if none was.
    pub(crate) fn recovery(
        &self,
        cluster: Option<&str>,
        counts: impl Fn(Instant) -> bool,
    ) -> Option<Recovery> {
        let of = |loss: &&Loss| cluster.is_none_or(|cluster| loss.disk.node.cluster == cluster);
        let losses: Vec<&Loss> =
            self.losses.iter().filter(of).filter(|loss| counts(loss.at)).collect();
        let times = losses.iter().map(|loss| loss.mended.map(|mended| mended.since(loss.at)));
        let longest =
            times.collect::<Option<Vec<Duration>>>().and_then(|all| all.into_iter().max());
        (!losses.is_empty()).then_some(Recovery { volumes: losses.len(), longest })
    }

    /// The copies that the nodes of a cluster made, or those of all clusters.
    pub(crate) fn copies(&self, cluster: Option<&str>) -> u64 {
        let of = |node: &NodeRef| cluster.is_none_or(|cluster| node.cluster == cluster);
        let of_cluster = self.copies.iter().filter(|(node, _)| of(node));
        of_cluster.map(|(_, copies)| copies.before + copies.now).sum()
    }

    /// A node that was asked at `sent` has told that it made so many copies since it started.
    pub(crate) fn told(&mut self, node: &NodeRef, sent: Instant, heard: Instant, copies: u64) {
        let known = self.copies.entry(node.clone()).or_default();
        if copies >= known.now {
            (known.now, known.heard) = (copies, heard);
        } else if sent >= known.heard {
            // It counts from zero in every life; an answer that was overtaken says nothing.
            known.before += known.now;
            (known.now, known.heard) = (copies, heard);
        }
    }

    fn oldest(&self, cluster: &str) -> Option<Instant> {
        let open = self.losses.iter().filter(|loss| loss.disk.node.cluster == cluster);
        open.filter(|loss| loss.mended.is_none()).map(|loss| loss.at).min()
    }

    /// Everything that was lost until `seen` has been made good. True if nothing is open any more.
    fn mended(&mut self, cluster: &str, seen: Instant, at: Instant) -> bool {
        for loss in self.losses.iter_mut().filter(|loss| loss.disk.node.cluster == cluster) {
            if loss.at <= seen {
                loss.mended.get_or_insert(at);
            }
        }
        self.oldest(cluster).is_none()
    }
}

/// The disks among these that are in a node now.
pub(crate) fn plugged(run: &Run, disks: &[DiskRef]) -> Vec<DiskRef> {
    disks.iter().filter(|disk| run.world.plugged_into(disk).is_some()).cloned().collect()
}

/// The disks of nodes that a wipe will find running.
pub(crate) fn wiped(run: &Run, nodes: &[NodeRef]) -> Vec<DiskRef> {
    let running = nodes.iter().filter(|node| run.world.life(node) != Life::Off);
    running.flat_map(|node| run.world.disks(node)).collect()
}

/// The volumes on these disks are lost since this time; one that is lost already is not lost again.
pub(crate) fn lost(run: &Arc<Run>, disks: Vec<DiskRef>, at: Instant) {
    for disk in disks {
        let cluster = disk.node.cluster.clone();
        let (is_new, is_awaited) = {
            let mut tally = lock(&run.tally);
            if tally.losses.iter().any(|loss| loss.disk == disk && loss.mended.is_none()) {
                continue;
            }
            tally.losses.push(Loss { disk, at, mended: None });
            let event = Event::Protected(cluster.clone());
            let is_awaited = run.board.wants(&event)
                && run.board.when(&event).is_none()
                && tally.awaited.insert(cluster.clone());
            (tally.watched.insert(cluster.clone()), is_awaited)
        };
        if is_awaited {
            // Whoever waits for the end of it is not in vain: the run goes on until then.
            run.board.set_out(1);
        }
        if is_new {
            drop(run.env().spawn("recovery", watch_recovery(Arc::clone(run), cluster)));
        }
    }
}

/// Looks at a cluster that has lost volumes until it is fully protected again.
async fn watch_recovery(run: Arc<Run>, cluster: String) {
    while !run.is_rested() {
        let Some(oldest) = lock(&run.tally).oldest(&cluster) else { break };
        let open = run.now().since(oldest);
        run.pause((open / RESOLUTION).clamp(LOOK_EVERY, LOOK_AT_LEAST_EVERY)).await;
        let seen = run.now();
        if !protection::is_full(&run, &cluster).await {
            continue;
        }
        let (all, is_awaited) = {
            let mut tally = lock(&run.tally);
            let all = tally.mended(&cluster, seen, run.now());
            if all {
                tally.watched.remove(&cluster);
            }
            (all, tally.awaited.remove(&cluster))
        };
        run.board.fire(Event::Protected(cluster.clone()), run.now());
        if is_awaited {
            run.board.is_done();
        }
        if all {
            return;
        }
    }
}

/// Watches disks of which something is wrong: a volume that its node gives up is lost as well.
pub(crate) fn watch_errors(run: &Arc<Run>, disks: &[DiskRef]) {
    let mut left: BTreeSet<DiskRef> = {
        let mut tally = lock(&run.tally);
        disks.iter().filter(|disk| tally.suspected.insert((*disk).clone())).cloned().collect()
    };
    // Where steps retire volumes, nobody can tell from outside which of them did it.
    let retires = run
        .scenario
        .steps
        .iter()
        .any(|step| matches!(step.verb, Verb::Retire { how, .. } if how != Retire::Cancel));
    let given_up = move |state: &str| {
        state == "unavailable" || (!retires && matches!(state, "retiring" | "retired"))
    };
    let run_of_task = Arc::clone(run);
    drop(run.env().spawn("given up", async move {
        let run = run_of_task;
        let mut given_up_here: BTreeSet<DiskRef> = BTreeSet::new();
        loop {
            let is_done = left.is_empty() && given_up_here.is_empty();
            if is_done || run.is_rested() {
                return;
            }
            run.pause(LOOK_EVERY).await;
            for disk in given_up_here.clone() {
                // Whatever hindered it has passed; its errors may still have it retired.
                if is_ok(&run, &disk).await {
                    {
                        let mut tally = lock(&run.tally);
                        tally.given_up.remove(&disk);
                        tally.suspected.insert(disk.clone());
                    }
                    given_up_here.remove(&disk);
                    left.insert(disk);
                }
            }
            for disk in left.clone() {
                let Some(node) = run.world.plugged_into(&disk) else {
                    lock(&run.tally).suspected.remove(&disk);
                    left.remove(&disk);
                    continue;
                };
                let Ok(status) = watch::status(&run, &node).await else { continue };
                let name = disk.to_string();
                let mut volumes = status.volumes.iter();
                if volumes.any(|volume| volume.disk == name && given_up(&volume.state)) {
                    {
                        let mut tally = lock(&run.tally);
                        tally.suspected.remove(&disk);
                        tally.given_up.insert(disk.clone());
                    }
                    left.remove(&disk);
                    given_up_here.insert(disk.clone());
                    lost(&run, vec![disk], run.now());
                }
            }
        }
    }));
}

/// True if a node has the volume on this disk in service.
async fn is_ok(run: &Run, disk: &DiskRef) -> bool {
    let Some(node) = run.world.plugged_into(disk) else { return false };
    let Ok(status) = watch::status(run, &node).await else { return false };
    let name = disk.to_string();
    status.volumes.iter().any(|volume| volume.disk == name && volume.state == "ok")
}

/// True if some step of the file takes volumes of this cluster away without waiting until it is fully protected.
pub(crate) fn loses(scenario: &Scenario, cluster: &str) -> bool {
    let event = Event::Protected(cluster.to_owned());
    scenario.steps.iter().any(|step| {
        let takes = match &step.verb {
            Verb::Disk(DiskVerb::Pull(disks) | DiskVerb::Replace(disks)) => {
                disks.may_choose_of(cluster)
            }
            Verb::Power(Power::Wipe, nodes) => nodes.may_choose_of(cluster),
            _ => false,
        };
        takes && !matches!(&step.start, Start::After { event: of, .. } if *of == event)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Instant {
        Instant(secs * 1_000_000_000)
    }

    fn node(number: u32) -> NodeRef {
        NodeRef { cluster: "main".to_owned(), node: number }
    }

    fn loss(secs: u64) -> Loss {
        Loss { disk: DiskRef { node: node(1), disk: 1 }, at: at(secs), mended: None }
    }

    fn longest(tally: &Tally) -> Option<Option<Duration>> {
        tally.recovery(Some("main"), |_| true).map(|recovery| recovery.longest)
    }

    #[test]
    fn a_recovery_lasts_until_the_last_loss_is_made_good() {
        let mut tally = Tally::default();
        assert_eq!(longest(&tally), None, "nothing was lost");
        tally.losses = vec![loss(100), loss(160)];
        assert_eq!(longest(&tally), Some(None));
        // What was lost while the disks were being looked at is open still.
        assert!(!tally.mended("main", at(150), at(150)));
        assert_eq!((longest(&tally), tally.oldest("main")), (Some(None), Some(at(160))));
        tally.mended("dr", at(900), at(900));
        assert_eq!(
            tally.oldest("main"),
            Some(at(160)),
            "another cluster has nothing to do with it"
        );
        assert!(tally.mended("main", at(300), at(301)));
        assert_eq!(longest(&tally), Some(Some(Duration::from_secs(141))));
        let early = tally.recovery(Some("main"), |lost| lost < at(150));
        assert_eq!(early, Some(Recovery { volumes: 1, longest: Some(Duration::from_secs(50)) }));
        assert_eq!(tally.recovery(Some("dr"), |_| true), None);
    }

    #[test]
    fn copies_are_counted_over_all_lives_of_a_node() {
        let mut tally = Tally::default();
        tally.told(&node(1), at(10), at(10), 5);
        tally.told(&node(1), at(20), at(21), 7);
        tally.told(&node(2), at(20), at(20), 1);
        assert_eq!(tally.copies(Some("main")), 8);
        // Asked before the last answer came, and overtaken by it.
        tally.told(&node(1), at(20), at(22), 6);
        assert_eq!(tally.copies(None), 8);
        // Asked after it, so it has started anew.
        tally.told(&node(1), at(30), at(31), 2);
        assert_eq!((tally.copies(None), tally.copies(Some("dr"))), (10, 0));
    }
}
