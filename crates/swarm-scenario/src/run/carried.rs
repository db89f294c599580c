//! What feeds have carried, as disks tell it: when the target had what a client was told is stored, and what it has not yet.
//!
//! Nobody asks the nodes. A version, or the delete that took its place, has come when the journal of some disk of the target
//! speaks of its stream as of something as new. Journals are read on only where they grew, and more rarely the longer
//! something has been missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use swarm_cluster::{DiskRef, Image, NodeRef, World};
use swarm_types::{Instant, Stamp};

use super::{RESOLUTION, Run, fed, feeds, lock};
use crate::language::domains::Domains;
use crate::language::model::{Feed, Percentile, Scenario};
use crate::ledger::{Act, Ledger, ObjectNumber};
use crate::oracle::honest::Claim;
use crate::oracle::image::{Follower, Id, News, Told};
use crate::oracle::record::Outcome;

/// How often journals are read on, at first.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What takes hours need not be told to the second.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(60);

/// What all feeds of a run have carried.
#[derive(Debug, Default)]
pub(crate) struct Carried {
    feeds: Vec<Line>,
    clusters: BTreeMap<String, Journals>,
}

/// What one feed has carried.
#[derive(Debug)]
struct Line {
    name: String,
    from: String,
    to: String,
    domains: Domains,
    propagates: bool,
    items: Vec<Item>,
    /// The places of those that have not come.
    open: BTreeSet<usize>,
    /// [`Journals::reads`] of the target at the last look.
    target_reads: Option<u64>,
}

/// Something that was acknowledged, and that the target is to have.
#[derive(Debug, Clone)]
struct Item {
    object: ObjectNumber,
    at: Instant,
    what: What,
    /// The stream, and how new the target must know it; as soon as disks tell.
    wanted: Option<(Id, Stamp)>,
    arrived: Option<Instant>,
}

#[derive(Debug, Clone)]
enum What {
    Write(Stamp),
    /// A delete of something that had these versions by then.
    Delete(BTreeSet<Stamp>),
}

/// What the journals of a cluster have told so far.
#[derive(Debug, Default)]
struct Journals {
    /// How far the journal of each is read, and how often the disk had changed by then.
    disks: BTreeMap<DiskRef, (Follower, Option<u64>)>,
    /// How often a journal was read: as long as it stays, nothing here has changed.
    reads: u64,
    /// The stream of each version.
    streams: BTreeMap<Stamp, Id>,
    /// How new the deletes of each stream are.
    buried: BTreeMap<Id, BTreeSet<Stamp>>,
    /// The newest that was ever filed under each stream.
    newest: BTreeMap<Id, Stamp>,
    /// What each disk has of a stream, as far as its journal was read: what was taken back before it was acknowledged is gone.
    there: BTreeMap<Id, BTreeMap<DiskRef, Stamp>>,
    /// What its nodes claim to have carried, by evaluation; and of that what nobody has judged.
    claimed: BTreeSet<(Claim, u64)>,
    claims: Vec<Claim>,
}

/// A disk of which little is read at a time.
struct Direct<'a> {
    world: &'a dyn World,
    disk: &'a DiskRef,
    length: u64,
}

impl Image for Direct<'_> {
    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, out: &mut [u8]) {
        self.world.peek(self.disk, offset, out);
    }
}

impl Journals {
    fn read_on(&mut self, world: &dyn World, nodes: Vec<NodeRef>, length: u64) {
        for disk in nodes.iter().flat_map(|node| world.disks(node)) {
            let (mut follower, seen) = self.disks.get(&disk).copied().unwrap_or_default();
            let changes = world.changes(&disk);
            if changes.is_some() && changes == seen {
                continue;
            }
            self.reads += 1;
            let image = Direct { world, disk: &disk, length };
            // A journal that cannot be read says nothing; others speak of the same.
            let mut news = Vec::new();
            if follower.follow(&image, |one| news.push(one)).unwrap_or_default() {
                for disks in self.there.values_mut() {
                    disks.remove(&disk);
                }
            }
            news.into_iter().for_each(|one| self.take(&disk, one));
            self.disks.insert(disk, (follower, changes));
        }
    }

    fn take(&mut self, disk: &DiskRef, News { stream, stamp, what, slots }: News) {
        match what {
            Told::Delete => drop(self.buried.entry(stream).or_default().insert(stamp)),
            Told::Object => drop(self.streams.insert(stamp, stream)),
            Told::Gone | Told::Slots => {}
        }
        let disks = self.there.entry(stream).or_default();
        if what == Told::Gone && disks.get(disk) == Some(&stamp) {
            disks.remove(disk);
        }
        if matches!(what, Told::Object | Told::Delete) {
            disks.insert(disk.clone(), stamp);
            let newest = self.newest.entry(stream).or_insert(stamp);
            *newest = stamp.max(*newest);
        }
        for slot in slots.into_iter().filter(|slot| slot.outcome == Outcome::Success) {
            let claim = Claim { feed: slot.feed, stream, stamp };
            if self.claimed.insert((claim, slot.mark)) {
                self.claims.push(claim);
            }
        }
    }

    /// Whether some disk has a stream at least as new as this.
    fn has(&self, stream: Id, stamp: Stamp) -> bool {
        let mut disks = self.there.get(&stream).into_iter().flat_map(BTreeMap::values);
        disks.any(|there| *there >= stamp)
    }

    /// The stream that an item is about, and how new it is.
    fn wanted(&self, what: &What) -> Option<(Id, Stamp)> {
        match what {
            What::Write(stamp) => Some((*self.streams.get(stamp)?, *stamp)),
            What::Delete(versions) => {
                let stream = versions.iter().find_map(|stamp| self.streams.get(stamp))?;
                let above = |stamp: &&Stamp| Some(*stamp) > versions.last();
                let delete = self.buried.get(stream).and_then(|buried| buried.iter().find(above));
                // What was written above it may be all that is left to be seen.
                let above = delete.or_else(|| self.newest.get(stream).filter(above))?;
                Some((*stream, *above))
            }
        }
    }
}

impl Line {
    /// Takes in what the journals have told.
    fn look(&mut self, source: &Journals, target: &Journals, at: Instant) {
        let items = &mut self.items;
        let is_as_before = self.target_reads.replace(target.reads) == Some(target.reads);
        self.open.retain(|number| {
            let item = &mut items[*number];
            if is_as_before && item.wanted.is_some() {
                return true;
            }
            item.wanted = item.wanted.or_else(|| source.wanted(&item.what));
            let has = |(stream, stamp): (Id, Stamp)| target.has(stream, stamp);
            if item.wanted.is_some_and(has) {
                item.arrived = Some(at);
            }
            item.arrived.is_none()
        });
    }

    fn oldest(&self) -> Option<Instant> {
        self.open.iter().map(|number| self.items[*number].at).min()
    }

    /// The objects that the target has not got.
    fn missing(&self) -> BTreeSet<ObjectNumber> {
        self.open.iter().map(|number| self.items[*number].object).collect()
    }
}

/// How long it took until what was acknowledged had come, all of it in rising order; `None` for what has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delays(Vec<Option<Duration>>);

impl Delays {
    /// How many there are.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest delay that so many of them do not exceed; `None` where that has not come.
    pub(crate) fn point(&self, percentile: Percentile) -> Option<Duration> {
        let rank = match percentile {
            Percentile::P50 => self.0.len().div_ceil(2),
            Percentile::P99 => (self.0.len() * 99).div_ceil(100),
            Percentile::Max => self.0.len(),
        };
        *self.0.get(rank.max(1) - 1)?
    }
}

impl Carried {
    /// For the feeds of a file that end in it.
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let line = |feed: &Feed| {
            Some(Line {
                name: feed.name.clone(),
                from: feed.from.clone(),
                to: feed.to.clone()?,
                domains: feed.domains(),
                propagates: feed.propagates(),
                items: Vec::new(),
                open: BTreeSet::new(),
                target_reads: None,
            })
        };
        let feeds: Vec<Line> = scenario.feeds.iter().filter_map(line).collect();
        let ends = feeds.iter().flat_map(|line| [line.from.clone(), line.to.clone()]);
        Self { clusters: ends.map(|cluster| (cluster, Journals::default())).collect(), feeds }
    }

    /// A write or a delete was acknowledged.
    pub(crate) fn acknowledged(&mut self, ledger: &Ledger, object: ObjectNumber, entry: usize) {
        let cluster = &ledger.object(object).cluster;
        let history = &ledger.object(object).history;
        let acknowledged = &history[entry];
        let Some(at) = acknowledged.ended else { return };
        let what = match (acknowledged.act, acknowledged.write_stamp()) {
            (Act::Write { .. }, Some(stamp)) => What::Write(stamp),
            (Act::Write { .. }, None) => return,
            (Act::Delete, _) => {
                let before =
                    |ended: Option<Instant>| ended.is_some_and(|ended| ended <= acknowledged.sent);
                let earlier = history.iter().filter(|other| before(other.ended));
                What::Delete(earlier.filter_map(crate::ledger::Entry::write_stamp).collect())
            }
        };
        let domain = ledger.domain(object);
        for line in self.feeds.iter_mut().filter(|line| line.from == *cluster) {
            let is_delete = matches!(what, What::Delete(_));
            if line.domains.select(domain) && (line.propagates || !is_delete) {
                line.open.insert(line.items.len());
                let what = what.clone();
                line.items.push(Item { object, at, what, wanted: None, arrived: None });
            }
        }
    }

    /// A feed carries something else from now on. What it does not select any more is not waited for.
    pub(crate) fn redefined(
        &mut self,
        ledger: &Ledger,
        feed: &str,
        (domains, propagates): (Domains, bool),
    ) {
        let Some(line) = self.feeds.iter_mut().find(|line| line.name == feed) else { return };
        (line.domains, line.propagates) = (domains, propagates);
        let is_wanted = |item: &Item| {
            let is_delete = matches!(item.what, What::Delete(_));
            let selected = line.domains.select(ledger.domain(item.object));
            item.arrived.is_some() || (selected && (propagates || !is_delete))
        };
        line.items.retain(is_wanted);
        let numbered = line.items.iter().enumerate();
        line.open = numbered.filter_map(|(n, item)| item.arrived.is_none().then_some(n)).collect();
    }

    fn look(&mut self, run: &Run, at: Instant) {
        // What a source claims was so before it said so: the targets are read after it.
        let sources: BTreeSet<&String> = self.feeds.iter().map(|line| &line.from).collect();
        let targets: BTreeSet<&String> = self.feeds.iter().map(|line| &line.to).collect();
        for cluster in sources.into_iter().chain(targets) {
            let length = run.scenario.clusters[cluster].volume_size;
            if let Some(journals) = self.clusters.get_mut(cluster) {
                journals.read_on(&*run.world, run.world.nodes(cluster), length);
            }
        }
        for line in &mut self.feeds {
            let ends = (self.clusters.get(&line.from), self.clusters.get(&line.to));
            if let (Some(source), Some(target)) = ends {
                line.look(source, target, at);
            }
        }
    }

    /// What disks of the sources claim since the last look, and nobody has judged.
    fn take_claims(&mut self) -> Vec<(String, Claim)> {
        let of = |(cluster, journals): (&String, &mut Journals)| -> Vec<(String, Claim)> {
            let claims = std::mem::take(&mut journals.claims);
            claims.into_iter().map(|claim| (cluster.clone(), claim)).collect()
        };
        self.clusters.iter_mut().flat_map(of).collect()
    }

    /// Whether what a feed's source claims is true; `None` where nobody can tell: a delete need not be carried over.
    pub(crate) fn is_true(&self, feed: &Feed, claim: &Claim, propagates: bool) -> Option<bool> {
        let (source, target) =
            (self.clusters.get(&feed.from)?, self.clusters.get(feed.to.as_ref()?)?);
        let deletes = source.buried.get(&claim.stream);
        let is_delete = deletes.is_some_and(|deletes| deletes.contains(&claim.stamp));
        (propagates || !is_delete).then(|| claim.is_true(&target.newest))
    }

    /// The stream that a version is filed under in a cluster.
    pub(crate) fn stream(&self, cluster: &str, stamp: Stamp) -> Option<Id> {
        self.clusters.get(cluster)?.streams.get(&stamp).copied()
    }

    fn line(&self, feed: &str) -> Option<&Line> {
        self.feeds.iter().find(|line| line.name == feed)
    }

    /// The delays of what was acknowledged at such a time.
    pub(crate) fn delays(&self, feed: &str, counts: impl Fn(Instant) -> bool) -> Delays {
        let items = self.line(feed).map(|line| line.items.as_slice()).unwrap_or_default();
        let of = items.iter().filter(|item| counts(item.at));
        let mut delays: Vec<Option<Duration>> =
            of.map(|item| item.arrived.map(|arrived| arrived.since(item.at))).collect();
        delays.sort_by_key(|delay| (delay.is_none(), *delay));
        Delays(delays)
    }

    /// How long after this moment the target had all that was acknowledged until then; `None` while it has not.
    pub(crate) fn drained_after(&self, feed: &str, moment: Instant) -> Option<Duration> {
        let items = self.line(feed).map(|line| line.items.as_slice()).unwrap_or_default();
        let until = items.iter().filter(|item| item.at <= moment);
        let times: Option<Vec<Duration>> =
            until.map(|item| item.arrived.map(|arrived| arrived.since(moment))).collect();
        Some(times?.into_iter().max().unwrap_or_default())
    }

    /// How many objects the target has not got.
    pub(crate) fn backlog(&self, feed: &str) -> usize {
        self.line(feed).map_or(0, |line| line.missing().len())
    }

    /// Since when something that it has not got is acknowledged.
    pub(crate) fn oldest(&self, feed: &str) -> Option<Instant> {
        self.line(feed)?.oldest()
    }

    /// Since when the oldest that is missing has been so; if nothing is, when the last was acknowledged.
    fn quiet_since(&self) -> Option<Instant> {
        let last = || self.feeds.iter().filter_map(|line| Some(line.items.last()?.at)).max();
        self.feeds.iter().filter_map(Line::oldest).min().or_else(last)
    }
}

/// A change was acknowledged just now.
pub(crate) fn note(run: &Run, object: ObjectNumber, entry: usize) {
    if !run.scenario.feeds.is_empty() {
        let ledger = lock(&run.ledger);
        lock(&run.carried).acknowledged(&ledger, object, entry);
    }
}

/// The definition of a feed was changed just now.
pub(crate) fn redefined(run: &Run, feed: &Feed) {
    let now = (feeds::domains(run, feed), feeds::propagates(run, feed));
    let ledger = lock(&run.ledger);
    lock(&run.carried).redefined(&ledger, &feed.name, now);
}

/// Looks once, and judges what disks claim.
pub(crate) fn look(run: &Run) {
    if run.scenario.feeds.is_empty() {
        return;
    }
    let now = run.now();
    let claims = {
        let mut carried = lock(&run.carried);
        carried.look(run, now);
        let behind = carried.feeds.iter().filter(|line| !line.open.is_empty()).count();
        run.progress.feeds_behind.store(behind as u64, Ordering::Relaxed);
        carried.take_claims()
    };
    fed::judge_slots(run, claims);
}

/// Looks for as long as the run goes on.
pub(crate) async fn watch(run: Arc<Run>) {
    while !run.is_rested() {
        look(&run);
        let pace =
            lock(&run.carried).quiet_since().map(|since| run.now().since(since) / RESOLUTION);
        run.pause(pace.unwrap_or_default().clamp(LOOK_EVERY, LOOK_AT_LEAST_EVERY)).await;
    }
}

#[cfg(test)]
mod tests {
    use swarm_types::{Etag, Version};

    use super::*;

    fn at(secs: u64) -> Instant {
        Instant(secs * 1_000_000_000)
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn stamp(version: u64) -> Stamp {
        Stamp { version: Version(version), etag: Etag::from_bytes([1; 16]) }
    }

    fn disk() -> DiskRef {
        DiskRef { node: NodeRef { cluster: "dr".to_owned(), node: 1 }, disk: 1 }
    }

    /// The journals of a cluster that have told of these: stream, version, whether it is a delete.
    fn journals(records: &[(u8, u64, bool)]) -> Journals {
        let mut journals = Journals::default();
        let disk = disk();
        for (stream, version, is_delete) in records {
            journals.reads += version;
            let what = if *is_delete { Told::Delete } else { Told::Object };
            let slots = Vec::new();
            journals
                .take(&disk, News { stream: [*stream; 16], stamp: stamp(*version), what, slots });
        }
        journals
    }

    fn line(items: Vec<(u64, What)>) -> Line {
        let items: Vec<Item> = items
            .into_iter()
            .map(|(secs, what)| Item {
                object: ObjectNumber(0),
                at: at(secs),
                what,
                wanted: None,
                arrived: None,
            })
            .collect();
        Line {
            name: "to-dr".to_owned(),
            from: "main".to_owned(),
            to: "dr".to_owned(),
            domains: Domains::default(),
            propagates: true,
            open: (0..items.len()).collect(),
            target_reads: None,
            items,
        }
    }

    #[test]
    fn something_has_come_when_the_target_speaks_of_its_stream_as_of_something_as_new() {
        let source = journals(&[(1, 10, false), (1, 20, false), (2, 15, false)]);
        let writes = [10, 20, 15].map(|version| (1, What::Write(stamp(version))));
        let mut line = line(writes.into());
        line.look(&source, &journals(&[(1, 10, false)]), at(3));
        assert_eq!(line.open, BTreeSet::from([1, 2]));
        line.look(&source, &journals(&[(1, 30, true)]), at(9));
        assert_eq!(line.open, BTreeSet::from([2]), "newer, and be it a delete");
        let carried = Carried { feeds: vec![line], clusters: BTreeMap::new() };
        let delays = carried.delays("to-dr", |_| true);
        assert_eq!(delays, Delays(vec![Some(secs(2)), Some(secs(8)), None]));
        assert_eq!(
            (delays.point(Percentile::P50), delays.point(Percentile::Max)),
            (Some(secs(8)), None)
        );
        assert_eq!((carried.backlog("to-dr"), carried.oldest("to-dr")), (1, Some(at(1))));
        assert_eq!(carried.drained_after("to-dr", at(1)), None);
        assert_eq!(carried.drained_after("to-dr", at(0)), Some(secs(0)), "nothing was to come");
        let Carried { feeds: mut lines, .. } = carried;
        lines[0].look(&source, &journals(&[(2, 15, false)]), at(31));
        let carried = Carried { feeds: lines, clusters: BTreeMap::new() };
        assert_eq!(carried.drained_after("to-dr", at(1)), Some(secs(30)), "the last one came");
    }

    #[test]
    fn what_was_taken_back_before_it_was_acknowledged_has_not_come() {
        let source = journals(&[(1, 10, false)]);
        let mut target = journals(&[(1, 10, false)]);
        let (stream, stamp) = ([1; 16], stamp(10));
        target.take(&disk(), News { stream, stamp, what: Told::Gone, slots: Vec::new() });
        let mut line = line(vec![(1, What::Write(stamp))]);
        line.look(&source, &target, at(3));
        assert_eq!(line.open, BTreeSet::from([0]));
    }

    #[test]
    fn what_a_feed_selects_no_more_is_not_waited_for_and_what_has_come_counts_on() {
        let mut ledger = Ledger::new(1);
        for path in ["a.example/b/1", "c.example/b/1"] {
            ledger.named("main", path, || crate::ledger::Object::new(path, "main", None));
        }
        let of = |object: u32, version| Item {
            object: ObjectNumber(object),
            at: at(1),
            what: What::Write(stamp(version)),
            wanted: None,
            arrived: None,
        };
        let mut line = line(Vec::new());
        line.items = vec![of(0, 10), of(1, 20), of(1, 30)];
        line.items.push(Item { what: What::Delete(BTreeSet::new()), ..of(0, 40) });
        line.open = (0..4).collect();
        let source = journals(&[(1, 10, false), (2, 20, false), (3, 30, false)]);
        line.look(&source, &journals(&[(2, 20, false)]), at(3));
        let mut carried = Carried { feeds: vec![line], clusters: BTreeMap::new() };
        let some = Domains {
            include: Some(vec![crate::language::domains::Entry::new("a.example").expect("one")]),
            ..Domains::default()
        };
        carried.redefined(&ledger, "to-dr", (some, false));
        let delays = carried.delays("to-dr", |_| true);
        assert_eq!(delays, Delays(vec![Some(secs(2)), None]), "one has come, and one is selected");
        assert_eq!((carried.backlog("to-dr"), carried.oldest("to-dr")), (1, Some(at(1))));
        carried.redefined(&ledger, "to-dr", (Domains::default(), true));
        assert_eq!(carried.delays("to-dr", |_| true).len(), 2, "of what was before, nothing new");
    }

    #[test]
    fn a_delete_is_known_by_what_was_filed_above_the_versions_before_it() {
        let before = What::Delete(BTreeSet::from([stamp(10), stamp(20)]));
        let told = |records: &[(u8, u64, bool)]| journals(records).wanted(&before);
        assert_eq!(told(&[(1, 10, false), (1, 20, false)]), None, "nobody has filed it");
        let deleted = [(1, 10, false), (1, 15, true), (1, 20, false), (1, 21, true), (1, 30, true)];
        assert_eq!(told(&deleted), Some(([1; 16], stamp(21))));
        let replaced = [(1, 20, false), (1, 25, false)];
        assert_eq!(told(&replaced), Some(([1; 16], stamp(25))));
        assert_eq!(told(&[(2, 21, true)]), None, "of something else");
    }
}
