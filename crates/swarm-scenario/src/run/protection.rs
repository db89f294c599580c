//! The invariants *protected* and *obeyed* on disks: gathers what every disk of a cluster holds and what is demanded of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use swarm_cluster::{ClusterSpec, Damage, DiskRef, Life, NodeRef};
use swarm_types::{Stamp, Timestamp};

use super::watch::LOOK_EVERY;
use super::{Run, lock, obeyed, watch};
use crate::language::lifepoint::Copies;
use crate::ledger::{Act, Ledger, ObjectNumber};
use crate::oracle::lifepoint::Intent;
use crate::oracle::protected::{self, Care, Demand, Finding, Seen, Service, Volumes};
use crate::oracle::record::Object;
use crate::oracle::{image, tidy};
use crate::verdict::Invariant;

/// How often disks are looked at before what was seen counts.
const LOOKS_MAX: u32 = 3;
/// How often disks are looked at while somebody waits until all is protected.
const LOOK_WIDE_EVERY: Duration = Duration::from_secs(10);
/// The setting of a node that says which subcluster it belongs to (Local Area Replication with Subclusters).
const SUBCLUSTER: &str = "node.subcluster";
/// What a visit needs at most after a lifepoint has changed what it demands, in health cycles.
const CYCLES_TO_ACT: u32 = 2;
/// Unless the file says otherwise (Policies for replicas; contexts: our reading of scsp.defaultContextReplicas).
const DEFAULT: Policy = Policy { min: 2, max: 16, default: 2, contexts: 3 };

/// `scsp.maxContextReplicas` unless the file says otherwise.
const CONTEXTS_MAX: u32 = 16;

/// What a cluster's settings demand.
#[derive(Debug, Clone, Copy)]
struct Policy {
    min: u32,
    max: u32,
    default: u32,
    contexts: u32,
}

impl Policy {
    fn of(settings: &BTreeMap<String, String>) -> Self {
        let mut policy = DEFAULT;
        let number = |name: &str| settings.get(name).and_then(|text| text.trim().parse().ok());
        let most = number("scsp.maxContextReplicas").unwrap_or(CONTEXTS_MAX);
        let contexts = number("scsp.defaultContextReplicas").unwrap_or(policy.contexts);
        policy.contexts = contexts.min(most).max(1);
        for word in settings.get("policy.replicas").map_or("", String::as_str).split_whitespace() {
            let Some((key, Ok(value))) = word.split_once(':').map(|(key, v)| (key, v.parse()))
            else {
                continue;
            };
            match key {
                "min" => policy.min = value,
                "max" => policy.max = value,
                "default" => policy.default = value,
                _ => {}
            }
        }
        policy
    }

    fn copies(self, asked: Option<Copies>) -> u32 {
        let wanted = match asked {
            Some(Copies::Whole(copies)) => copies,
            // Until erasure coding exists (our choice).
            Some(Copies::Coded { p, .. }) => p + 1,
            None => self.default,
        };
        wanted.clamp(self.min, self.max)
    }
}

/// What a whole cluster has to keep.
struct Demands {
    policy: Policy,
    /// The lifepoints of the versions that clients were told of.
    intents: BTreeMap<Stamp, Intent>,
    /// What changed after the one and before the other is not judged.
    since: Timestamp,
    until: Timestamp,
}

/// The settings of a cluster, with what steps have changed.
fn settings(run: &Run, cluster: &str) -> BTreeMap<String, String> {
    let mut settings = run.settings(cluster).clone();
    for ((of, name), value) in &lock(&run.steps).changed {
        if of == cluster {
            settings.insert(name.clone(), value.clone());
        }
    }
    settings
}

/// The fewest copies that a cluster was ever asked to keep of these versions, as far as clients were told of them: by its
/// settings as they were at first or are now, and by any lifepoint that may have come into force.
pub(crate) fn least_demanded(
    run: &Run,
    cluster: &str,
    stamps: &BTreeSet<Stamp>,
) -> BTreeMap<Stamp, usize> {
    let mut least: BTreeMap<Stamp, usize> =
        stamps.iter().map(|stamp| (*stamp, usize::MAX)).collect();
    if stamps.is_empty() {
        return least;
    }
    let policies = [run.settings(cluster), &settings(run, cluster)].map(Policy::of);
    let (_, ahead) = obeyed::off_max(&run.scenario);
    let until = run.env().wall() + ahead;
    let ledger = lock(&run.ledger);
    let contexts: BTreeSet<ObjectNumber> =
        ledger.numbers().flat_map(|number| ledger.object(number).parents.clone()).collect();
    for number in ledger.numbers() {
        let object = ledger.object(number);
        for entry in &object.history {
            let Some(least) = entry.write_stamp().and_then(|stamp| least.get_mut(&stamp)) else {
                continue;
            };
            let Act::Write { content, .. } = entry.act else { continue };
            let intent = object.intent(content).cloned().unwrap_or_default();
            let demanded = policies.iter().flat_map(|policy| {
                if contexts.contains(&number) {
                    return vec![policy.contexts];
                }
                intent.copies_until(until).into_iter().map(|asked| policy.copies(asked)).collect()
            });
            // Nobody knows what a file wrote as it pleased.
            let fewest = if intent.may_end_at_any_time() { Some(1) } else { demanded.min() };
            *least = fewest.and_then(|copies| usize::try_from(copies).ok()).unwrap_or(*least);
        }
    }
    least
}

impl Demands {
    fn new(run: &Run, cluster: &str) -> Self {
        let settings = settings(run, cluster);
        let cycle = settings.get("health.cycleTime").and_then(|text| text.trim().parse().ok());
        let slack = CYCLES_TO_ACT * Duration::from_secs(cycle.unwrap_or(21_600));
        let ledger = lock(&run.ledger);
        let mut intents = BTreeMap::new();
        for number in ledger.numbers() {
            let object = ledger.object(number);
            for entry in &object.history {
                if let (Act::Write { content, .. }, Some(stamp)) = (entry.act, entry.write_stamp())
                {
                    let intent = object.intent(content).cloned().unwrap_or_default();
                    intents.insert(stamp, intent);
                }
            }
        }
        // By the clocks of some nodes it may be later, and by those of others earlier.
        let (behind, ahead) = obeyed::off_max(&run.scenario);
        let (since, until) = unsure(run.env().wall(), slack, behind, ahead);
        Self { policy: Policy::of(&settings), intents, since, until }
    }

    fn of(&self, object: &Object, stamp: Stamp) -> Demand {
        if object.kind.is_context() {
            return copies(self.policy.contexts);
        }
        let says = |(name, _): &(String, Vec<u8>)| name.eq_ignore_ascii_case("lifepoint");
        if !object.headers.iter().any(says) {
            return copies(self.policy.copies(None));
        }
        let Some(intent) = self.intents.get(&stamp).filter(|intent| !intent.may_end_at_any_time())
        else {
            return Demand::Unsure;
        };
        match intent.ends_at() {
            Some(ends) if ends <= self.since => return Demand::Ended,
            Some(ends) if ends <= self.until => return Demand::Unsure,
            _ => {}
        }
        let [then, soon] = [self.since, self.until].map(|at| self.policy.copies(intent.copies(at)));
        if then == soon { copies(soon) } else { Demand::Unsure }
    }
}

/// What changed after the one and before the other may or may not be in force: it came no longer ago than a node may need to
/// act upon it, or has come by the clock of some nodes only. What is still to come binds nobody.
fn unsure(
    now: Timestamp,
    slack: Duration,
    behind: Duration,
    ahead: Duration,
) -> (Timestamp, Timestamp) {
    let nanos = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
    let since = now.0.saturating_sub(nanos(slack)).saturating_sub(nanos(behind));
    (Timestamp(since), Timestamp(now.0.saturating_add(nanos(ahead))))
}

fn copies(count: u32) -> Demand {
    Demand::Copies(usize::try_from(count).unwrap_or(usize::MAX))
}

/// The subcluster of a node, as the file says; nodes without one are one together.
fn subcluster_of(spec: &ClusterSpec, node: &NodeRef) -> String {
    let own = spec.node_settings.get(&node.node).and_then(|own| own.get(SUBCLUSTER));
    own.or_else(|| spec.settings.get(SUBCLUSTER)).cloned().unwrap_or_default()
}

/// What is made of a node that is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Off {
    /// Nobody can tell.
    Unclear,
    /// What it holds counts for nothing.
    Missing,
}

/// Looks at every disk of a cluster, whose nodes all run.
///
/// # Errors
/// Why nobody can tell, in a sentence.
async fn look(run: &Run, cluster: &str) -> Result<Vec<Finding>, String> {
    let volumes = gather(run, cluster, Off::Unclear).await?;
    let demands = Demands::new(run, cluster);
    Ok(protected::judge(&volumes, Care::Bodies, |object, stamp| demands.of(object, stamp)))
}

/// Looks whether each object of a cluster has the copies that are demanded of it now; what is on nodes that are off does
/// not count.
///
/// # Errors
/// What is missing, or why nobody can tell, in a sentence.
pub(crate) async fn full(run: &Run, cluster: &str) -> Result<(), String> {
    let volumes = gather(run, cluster, Off::Missing).await?;
    let demands = Demands::new(run, cluster);
    // Bodies are read only where the journals leave a hope, for that takes long.
    for care in [Care::Records, Care::Bodies] {
        let found = protected::judge(&volumes, care, |object, stamp| demands.of(object, stamp));
        // Bytes of what has ended are no matter of protection.
        if let Some(missing) = found.into_iter().find(|finding| !finding.obeyed) {
            return Err(missing.what);
        }
    }
    Ok(())
}

/// Whether each object of a cluster has the copies that are demanded of it now.
pub(crate) async fn is_full(run: &Run, cluster: &str) -> bool {
    full(run, cluster).await.is_ok()
}

/// Waits until it is so; gives up when the run is to end.
pub(crate) async fn until_full(run: &Run, cluster: &str) {
    while !is_full(run, cluster).await && !run.is_over() {
        run.pause(LOOK_WIDE_EVERY).await;
    }
}

async fn gather(run: &Run, cluster: &str, off: Off) -> Result<Volumes, String> {
    let spec = &run.scenario.clusters[cluster];
    let mut seen = Vec::new();
    let mut unread = BTreeSet::new();
    let damage = run.world.damage();
    for node in run.world.nodes(cluster) {
        if off == Off::Missing && run.world.life(&node) == Life::Off {
            continue;
        }
        let status = watch::status(run, &node).await.map_err(|why| format!("{node} {why}"))?;
        for disk in run.world.disks(&node) {
            let name = disk.to_string();
            let Some(told) = status.volumes.iter().find(|volume| volume.disk == name) else {
                continue;
            };
            let service = match told.state.as_str() {
                "ok" | "idle" => Service::Takes { free: told.free },
                "retiring" | "retired" => Service::Leaves,
                _ => continue,
            };
            let image = run.world.image(&disk);
            let volume = match image::read(&*image) {
                Ok(volume) => volume,
                // It holds nothing that counts, whatever its node says of it; unless damage has made it look so.
                Err(_) if !tidy::may_be_unreadable(&*image, &of_disk(&damage, &disk)) => continue,
                // A journal that cannot be read from outside is *tidy*'s to judge; its node goes by the index then.
                Err(_) => {
                    let index = run.world.index(&disk);
                    match index.and_then(|index| image::read_index(&*image, &index).ok()) {
                        Some(volume) => volume,
                        None => {
                            unread.insert(node.clone());
                            continue;
                        }
                    }
                }
            };
            let (node, subcluster) = (node.clone(), subcluster_of(spec, &node));
            seen.push(Seen { disk: name, node, subcluster, service, image, volume });
        }
    }
    Ok(Volumes { seen, unread })
}

fn of_disk(damage: &[Damage], disk: &DiskRef) -> Vec<Damage> {
    damage.iter().filter(|damage| damage.disk == *disk).cloned().collect()
}

/// The object that clients know by these versions, and its entry that made the newest of them.
pub(crate) fn object_of(
    run: &Run,
    cluster: &str,
    stamps: &BTreeSet<Stamp>,
) -> Option<(ObjectNumber, Option<usize>)> {
    let mut ledger = lock(&run.ledger);
    let entry_of = |ledger: &Ledger, number: ObjectNumber, stamp: &Stamp| {
        let mut history = ledger.object(number).history.iter();
        history.position(|entry| entry.write_stamp() == Some(*stamp))
    };
    let written = stamps.iter().rev().find_map(|stamp| {
        let entry = |number| Some((number, entry_of(&ledger, number, stamp)?));
        let of_cluster = |(number, _): &(ObjectNumber, usize)| {
            let from = &ledger.object(*number).cluster;
            from == cluster || ledger.joins().reaches(from, cluster)
        };
        ledger.numbers().filter_map(entry).find(of_cluster)
    });
    let (number, entry) = written?;
    if ledger.object(number).cluster == cluster {
        return Some((number, Some(entry)));
    }
    Some((ledger.twin(number, cluster)?, None))
}

/// Judges the disks of every cluster at rest.
pub(crate) async fn judge(run: &Arc<Run>) {
    for cluster in run.scenario.clusters.keys() {
        let mut found = look(run, cluster).await;
        for _ in 1..LOOKS_MAX {
            if found.as_ref().is_ok_and(Vec::is_empty) {
                break;
            }
            run.env().sleep(LOOK_EVERY).await;
            found = look(run, cluster).await;
        }
        match found {
            Ok(findings) => {
                for finding in findings {
                    let invariant =
                        if finding.obeyed { Invariant::Obeyed } else { Invariant::Protected };
                    let (object, against) = object_of(run, cluster, &finding.stamps).unzip();
                    run.violation(invariant, object, finding.what, against.flatten());
                }
            }
            Err(why) => run.violation(Invariant::Alive, None, why, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language;

    #[test]
    fn contexts_have_as_many_copies_as_both_settings_allow() {
        let contexts = |settings: &[(&str, &str)]| {
            let settings = settings.iter().map(|(name, value)| ((*name).into(), (*value).into()));
            Policy::of(&settings.collect()).contexts
        };
        let (default, most) = ("scsp.defaultContextReplicas", "scsp.maxContextReplicas");
        assert_eq!(contexts(&[]), 3);
        assert_eq!(contexts(&[(default, "5")]), 5);
        assert_eq!(contexts(&[(default, "5"), (most, "4")]), 4);
        assert_eq!(contexts(&[(most, "2")]), 2);
        assert_eq!(contexts(&[("policy.replicas", "min:4 max:5 default:4")]), 3);
    }

    #[test]
    fn a_node_is_in_the_subcluster_that_the_file_names() {
        let text = "schema = 1\ntitle = \"t\"\nwhy = \"w\"\n[cluster.main]\nnodes = 3\nsubclusters = { rack-a = [1], rack-b = [3] }\n";
        let scenario = language::read("racks.toml", text).expect("reads");
        let of = |node| {
            let node = NodeRef { cluster: "main".to_owned(), node };
            subcluster_of(&scenario.clusters["main"], &node)
        };
        assert_eq!([of(1), of(2), of(3)], ["rack-a", "", "rack-b"]);
    }

    #[test]
    fn what_is_still_to_come_is_judged_as_it_is_and_what_has_just_come_is_not() {
        let at = |secs: i64| Timestamp::from_secs(secs);
        let secs = Duration::from_secs;
        assert_eq!(unsure(at(10_000), secs(1200), secs(0), secs(0)), (at(8_800), at(10_000)));
        assert_eq!(unsure(at(10_000), secs(1200), secs(30), secs(60)), (at(8_770), at(10_060)));
    }

    #[test]
    fn settings_decide_the_number_of_copies() {
        let settings = |text: &str| {
            Policy::of(&BTreeMap::from([("policy.replicas".to_owned(), text.to_owned())]))
        };
        assert_eq!(Policy::of(&BTreeMap::new()).copies(None), 2);
        let policy = settings("min:2 max:5 default:3 anchored");
        assert_eq!(policy.copies(None), 3);
        assert_eq!(policy.copies(Some(Copies::Whole(1))), 2);
        assert_eq!(policy.copies(Some(Copies::Whole(9))), 5);
        assert_eq!(policy.copies(Some(Copies::Coded { k: 4, p: 2 })), 3);
    }
}
