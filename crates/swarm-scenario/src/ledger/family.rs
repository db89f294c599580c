//! Objects that several clusters have: which clusters' objects may come to which, and who wrote which content.
//!
//! The same path, or the same UUID, in clusters that feeds join is one *family*. Its members share the numbers of their
//! contents, so that bytes and metadata tell who wrote them wherever they are read. What was asked of a member elsewhere may
//! have come here, may come later, or never: nothing is demanded because of it, and what came of it is no mistake.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::{Act, Entry, Ledger, Object, ObjectNumber, Outcome};

/// Which clusters have to do with each other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Joins {
    /// For each cluster all those whose objects may come to it, however many feeds lie between.
    sources: BTreeMap<String, BTreeSet<String>>,
    /// For each cluster all those with which it shares families.
    kin: BTreeMap<String, BTreeSet<String>>,
}

impl Joins {
    /// `feeds` tells from where to where objects are carried, `restores` where clients write again what they saw elsewhere.
    pub(crate) fn new(feeds: &[(String, String)], restores: &[(String, String)]) -> Self {
        let back = |(from, to): &(String, String)| (to.clone(), from.clone());
        let ways = feeds.iter().chain(restores);
        let both: Vec<_> = ways.flat_map(|way| [way.clone(), back(way)]).collect();
        Self { sources: closed(feeds), kin: closed(&both) }
    }

    /// True if what is written to one cluster may come to another.
    pub(crate) fn reaches(&self, from: &str, to: &str) -> bool {
        self.sources.get(to).is_some_and(|sources| sources.contains(from))
    }

    /// The clusters to which what is written to this one may come.
    pub(crate) fn reached_from<'a>(&'a self, from: &'a str) -> impl Iterator<Item = &'a str> {
        let reached = self.sources.iter().filter(move |(_, sources)| sources.contains(from));
        reached.map(|(to, _)| to.as_str())
    }

    fn are_kin(&self, one: &str, other: &str) -> bool {
        self.kin.get(one).is_some_and(|kin| kin.contains(other))
    }
}

/// For each end of a way all others from which ways lead to it.
fn closed(ways: &[(String, String)]) -> BTreeMap<String, BTreeSet<String>> {
    let mut sources: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    loop {
        let mut has_grown = false;
        for (from, to) in ways {
            let mut through = sources.get(from).cloned().unwrap_or_default();
            through.insert(from.clone());
            through.remove(to);
            let known = sources.entry(to.clone()).or_default();
            let before = known.len();
            known.extend(through);
            has_grown |= known.len() > before;
        }
        if !has_grown {
            return sources;
        }
    }
}

impl Entry {
    /// The same as another cluster knows it.
    fn elsewhere(&self) -> Self {
        let outcome = match &self.outcome {
            Outcome::Refused(_) | Outcome::NotSent(_) => self.outcome.clone(),
            _ => Outcome::Elsewhere { stamp: self.stamp() },
        };
        // Nobody knows when it ends there, if it ever does.
        Self { outcome, ended: None, ..self.clone() }
    }
}

impl Ledger {
    /// Tells which clusters have to do with each other; before anything is written.
    pub(crate) fn set_joins(&mut self, joins: Joins) {
        self.joins = joins;
    }

    pub(crate) const fn joins(&self) -> &Joins {
        &self.joins
    }

    /// The first member of the family of an object: its contents are numbered there.
    pub(crate) fn family(&self, number: ObjectNumber) -> ObjectNumber {
        self.object(number).family
    }

    /// The members of the family of an object, itself among them.
    pub(crate) fn members(&self, number: ObjectNumber) -> Vec<ObjectNumber> {
        let family = self.family(number);
        self.families.get(&family).cloned().unwrap_or_else(|| vec![family])
    }

    /// Everything that was asked of an object and what came of it, in its own cluster first; then what was asked in clusters
    /// from which it may have come.
    pub(crate) fn history(&self, number: ObjectNumber) -> Cow<'_, [Entry]> {
        let own = self.object(number);
        let is_source = |member: &ObjectNumber| {
            let from = &self.object(*member).cluster;
            *member != number && self.joins.reaches(from, &own.cluster)
        };
        let sources = self.members(number).into_iter().filter(is_source);
        let elsewhere: Vec<Entry> = sources
            .flat_map(|member| self.object(member).history.iter().map(Entry::elsewhere))
            .collect();
        if elsewhere.is_empty() {
            return Cow::Borrowed(&own.history);
        }
        Cow::Owned(own.history.iter().cloned().chain(elsewhere).collect())
    }

    /// The same, and what was asked of another member.
    pub(crate) fn common_history(&self, number: ObjectNumber, other: ObjectNumber) -> Vec<Entry> {
        let there = self.object(other).history.iter().map(Entry::elsewhere);
        self.history(number).iter().cloned().chain(there).collect()
    }

    /// True for an object in a bucket.
    pub(crate) fn is_named(&self, number: ObjectNumber) -> bool {
        self.object(number).path.as_ref().is_some_and(|path| path.matches('/').count() > 1)
    }

    /// The member of a family that a content was sent to; `None` for a content that was never sent.
    pub(crate) fn writer(&self, number: ObjectNumber, content: u32) -> Option<&Object> {
        let wrote =
            |entry: &Entry| matches!(entry.act, Act::Write { content: own, .. } if own == content);
        let mut members = self.members(number).into_iter().map(|member| self.object(member));
        members.find(|member| member.history.iter().any(wrote))
    }

    /// The object as another cluster has it; made if nobody has asked for it there. `None` if the two have nothing to do
    /// with each other.
    pub(crate) fn twin(&mut self, number: ObjectNumber, cluster: &str) -> Option<ObjectNumber> {
        let members = self.members(number);
        let there = members.iter().find(|member| self.object(**member).cluster == cluster);
        if let Some(there) = there {
            return Some(*there);
        }
        let object = self.object(number);
        if !self.joins.are_kin(&object.cluster, cluster) {
            return None;
        }
        let (path, parents) = (object.path.clone(), object.parents.clone());
        let mut twin = Object::new(&object.name, cluster, object.target.clone());
        twin.headers.clone_from(&object.headers);
        twin.parents =
            parents.into_iter().filter_map(|parent| self.twin(parent, cluster)).collect();
        if let Some(path) = path {
            return Some(self.named(cluster, &path, || twin));
        }
        let twin = self.add(twin);
        self.join(twin, number);
        Some(twin)
    }

    /// Makes every object known in all clusters to which it may have come.
    pub(crate) fn make_twins(&mut self) {
        for number in self.numbers() {
            let from = self.object(number).cluster.clone();
            let reached: Vec<String> = self.joins.reached_from(&from).map(str::to_owned).collect();
            for cluster in reached {
                self.twin(number, &cluster);
            }
        }
    }

    /// The domain that an object belongs to, or that it is; `None` for one that belongs to none.
    pub(crate) fn domain(&self, number: ObjectNumber) -> Option<&str> {
        let object = self.object(number);
        let own = object.path.as_ref().map(|path| path.split('/').next().unwrap_or(path));
        own.or_else(|| self.domain(*object.parents.first()?))
    }

    /// The domain or bucket at this path, as this cluster has it or may have got it from another one.
    pub(crate) fn context(&mut self, cluster: &str, path: &str) -> Option<ObjectNumber> {
        let elsewhere = self.find(cluster, path).or_else(|| self.find_kin(cluster, path))?;
        self.twin(elsewhere, cluster)
    }

    /// The object at this path of some cluster that has to do with this one.
    pub(super) fn find_kin(&self, cluster: &str, path: &str) -> Option<ObjectNumber> {
        let kin = self.joins.kin.get(cluster)?;
        kin.iter().find_map(|other| self.find(other, path))
    }

    /// One object is the other, in another cluster.
    pub(super) fn join(&mut self, new: ObjectNumber, old: ObjectNumber) {
        let family = self.family(old);
        self.object_mut(new).family = family;
        self.families.entry(family).or_insert_with(|| vec![family]).push(new);
    }

    /// An unnamed object is known by this UUID from now on, wherever it is.
    pub(crate) fn known_as(&mut self, number: ObjectNumber, uuid: &str) {
        for member in self.members(number) {
            let object = self.object_mut(member);
            if object.target.is_none() {
                object.target = Some(format!("/{uuid}"));
                object.name = format!("{} ({uuid})", object.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use swarm_types::{Etag, Instant, Stamp, Version};

    use super::*;
    use crate::body::{BodySpec, Content};
    use crate::ledger::legal::{
        Illegal, Seen, Untroubled, Window, judge, legal_outcomes, out_of_order,
    };
    use crate::reach::NodeNumber;

    const MAIN: NodeNumber = NodeNumber(0);
    const DR: NodeNumber = NodeNumber(1);

    fn way(from: &str, to: &str) -> (String, String) {
        (from.to_owned(), to.to_owned())
    }

    fn at(secs: u64) -> Instant {
        Instant(secs * 1_000_000_000)
    }

    fn stamp(version: u64) -> Stamp {
        Stamp { version: Version(version), etag: Etag::from_bytes([1; 16]) }
    }

    /// `a` in two clusters of which one feeds the other, or each the other.
    struct Story {
        ledger: Ledger,
        main: ObjectNumber,
        dr: ObjectNumber,
    }

    impl Story {
        fn new(feeds: &[(String, String)]) -> Self {
            let mut ledger = Ledger::new(1);
            ledger.set_joins(Joins::new(feeds, &[]));
            let mut object = |cluster| {
                ledger.named(cluster, "d/b/a", || Object::new("a", cluster, Some("/a".to_owned())))
            };
            let (main, dr) = (object("main"), object("dr"));
            Self { ledger, main, dr }
        }

        fn act(&mut self, object: ObjectNumber, act: Act, secs: u64, version: Option<u64>) {
            let node = if object == self.main { MAIN } else { DR };
            let entry = self.ledger.sent(object, act, at(secs), node);
            let acknowledged = Outcome::Acknowledged {
                stamp: version.map(stamp),
                holders: vec![node],
                replicas: 1,
            };
            self.ledger.ended(object, entry, at(secs + 1), Vec::new(), acknowledged);
        }

        /// A write that is acknowledged as this version, and the number of its content.
        fn write(&mut self, object: ObjectNumber, secs: u64, version: u64) -> u32 {
            let body = self.ledger.new_body(object, 9);
            self.act(object, Act::Write { content: body.content, length: 9 }, secs, Some(version));
            body.content
        }

        fn amend(&mut self, object: ObjectNumber, base: u32, more: u64, secs: u64) -> (u32, u64) {
            let content = self.ledger.new_body(object, more).content;
            let length = self.ledger.builds_on(object, content, base, more);
            self.act(object, Act::Write { content, length }, secs, Some(10 * secs));
            (content, length)
        }

        fn delete(&mut self, object: ObjectNumber, secs: u64) {
            self.act(object, Act::Delete, secs, None);
        }

        /// The contents that a read in the end may see, and whether it may see nothing.
        fn legal(&self, object: ObjectNumber) -> (Vec<u32>, bool) {
            let window = Window { started: at(900), ended: at(901) };
            let history = self.ledger.history(object);
            let (contents, absent) = legal_outcomes(&history, window, &Untroubled::default());
            (contents.into_iter().collect(), absent)
        }

        fn judged(&self, object: ObjectNumber, content: u32, version: u64) -> Result<(), Illegal> {
            let window = Window { started: at(900), ended: at(901) };
            let seen = Seen::Content { content, stamp: stamp(version) };
            judge(&self.ledger.history(object), window, &Untroubled::default(), seen)
        }
    }

    #[test]
    fn objects_go_where_feeds_lead_however_many_lie_between() {
        let joins = Joins::new(&[way("a", "b"), way("b", "c"), way("x", "y")], &[way("c", "d")]);
        for (from, to, reaches) in [
            ("a", "b", true),
            ("a", "c", true),
            ("b", "a", false),
            ("c", "d", false),
            ("x", "c", false),
            ("a", "a", false),
        ] {
            assert_eq!(joins.reaches(from, to), reaches, "{from} to {to}");
        }
        assert_eq!(joins.reached_from("a").collect::<Vec<_>>(), ["b", "c"]);
        assert!(joins.are_kin("d", "a") && joins.are_kin("c", "b") && !joins.are_kin("a", "x"));
        let circle = Joins::new(&[way("a", "b"), way("b", "a")], &[]);
        assert!(circle.reaches("a", "b") && circle.reaches("b", "a") && !circle.reaches("a", "a"));
    }

    #[test]
    fn without_a_feed_the_same_path_in_two_clusters_is_two_objects() {
        let mut story = Story::new(&[]);
        let (first, second) = (story.write(story.main, 1, 10), story.write(story.dr, 3, 20));
        assert_eq!((first, second), (1, 1));
        assert_ne!(story.ledger.family(story.main), story.ledger.family(story.dr));
        assert_eq!(story.legal(story.dr), (vec![1], false));
        assert_eq!(story.ledger.twin(story.main, "dr"), None);
    }

    #[test]
    fn members_of_a_family_count_their_contents_together() {
        let mut story = Story::new(&[way("main", "dr")]);
        let (first, second) = (story.write(story.main, 1, 10), story.write(story.dr, 3, 20));
        assert_eq!((first, second), (1, 2));
        let (main, dr) = (story.ledger.body(story.main, 2), story.ledger.body(story.dr, 2));
        assert_eq!(main, dr, "whoever reads it, the bytes are the same");
        let writer = |content| {
            let writer = story.ledger.writer(story.main, content);
            writer.map(|object| object.cluster.as_str())
        };
        assert_eq!((writer(1), writer(2), writer(3)), (Some("main"), Some("dr"), None));
    }

    #[test]
    fn a_content_has_the_bytes_of_the_one_that_it_builds_on() {
        let mut story = Story::new(&[way("main", "dr")]);
        let first = story.write(story.main, 1, 10);
        let (appended, length) = story.amend(story.main, first, 5, 3);
        assert_eq!(length, 14);
        let (copied, length) = story.amend(story.dr, appended, 0, 5);
        assert_eq!(length, 14);
        let (again, length) = story.amend(story.main, copied, 7, 7);
        assert_eq!((length, story.ledger.largest_body()), (21, 21));
        let part = |content, length| BodySpec { seed: 1, object: story.main.0, content, length };
        let expected = Content::from(part(first, 9))
            .with(part(appended, 5))
            .with(part(copied, 0))
            .with(part(again, 7));
        let body = |object| story.ledger.body(object, again);
        assert_eq!((body(story.main), body(story.dr)), (Some(expected.clone()), Some(expected)));
        let newest = story.ledger.newest_acknowledged(story.dr);
        assert_eq!(newest.map(|(content, _)| content), Some(copied), "as its own answers tell");
    }

    #[test]
    fn what_was_asked_elsewhere_may_have_come_and_is_never_demanded() {
        let mut story = Story::new(&[way("main", "dr")]);
        story.write(story.main, 1, 10);
        assert_eq!(story.legal(story.main), (vec![1], false));
        assert_eq!(story.legal(story.dr), (vec![1], true), "it may have come");
        assert_eq!(story.judged(story.dr, 1, 11), Err(Illegal::OtherVersion { write: 0 }));
        story.delete(story.main, 3);
        assert_eq!(story.legal(story.main), (vec![], true));
        assert_eq!(story.legal(story.dr), (vec![1], true), "the delete may not have come yet");
    }

    #[test]
    fn versions_decide_between_what_was_asked_here_and_elsewhere() {
        let mut story = Story::new(&[way("main", "dr")]);
        // Contents 1 and 3 of main lie below and above content 2 of dr.
        for (object, secs, version) in [(story.main, 1, 10), (story.dr, 3, 20), (story.main, 5, 30)]
        {
            story.write(object, secs, version);
        }
        assert_eq!(story.legal(story.dr), (vec![2, 3], false));
        assert_eq!(story.judged(story.dr, 1, 10), Err(Illegal::Stale { newer: 0 }));
        assert_eq!(story.legal(story.main), (vec![3], false), "nothing comes back");
        story.delete(story.dr, 7);
        // It lies above 20; whether above 30 as well depends on what had come by then.
        assert_eq!(story.legal(story.dr), (vec![3], true));
        assert_eq!(story.judged(story.dr, 1, 10), Err(Illegal::Resurrected { delete: 1 }));
    }

    #[test]
    fn a_delete_elsewhere_may_take_what_was_written_here() {
        let mut story = Story::new(&[way("main", "dr"), way("dr", "main")]);
        story.write(story.dr, 1, 10);
        story.delete(story.main, 3);
        assert_eq!(story.legal(story.dr), (vec![1], true));
        // Written above it here: the delete of main, whatever its version, was asked for before, but nobody knew.
        story.write(story.dr, 5, 20);
        assert_eq!(story.legal(story.dr), (vec![2], true));
    }

    #[test]
    fn a_write_is_not_out_of_order_for_what_was_asked_elsewhere() {
        let mut story = Story::new(&[way("main", "dr")]);
        story.write(story.main, 1, 30);
        story.write(story.dr, 5, 20);
        let history = story.ledger.history(story.dr);
        assert_eq!(out_of_order(&history, 0, &Untroubled::default()), None);
    }

    #[test]
    fn refused_there_means_that_it_cannot_be_here() {
        let mut story = Story::new(&[way("main", "dr")]);
        let body = story.ledger.new_body(story.main, 9);
        let act = Act::Write { content: body.content, length: 9 };
        let entry = story.ledger.sent(story.main, act, at(1), MAIN);
        story.ledger.ended(story.main, entry, at(2), Vec::new(), Outcome::Refused(409));
        assert_eq!(story.judged(story.dr, 1, 10), Err(Illegal::Refused { write: 0 }));
    }

    #[test]
    fn a_twin_has_the_path_the_parents_and_the_id_of_its_original() {
        let mut ledger = Ledger::new(1);
        ledger.set_joins(Joins::new(&[way("main", "dr")], &[]));
        let domain = ledger.named("main", "d", || Object::new("d", "main", None));
        assert_eq!(ledger.context("lab", "d"), None);
        let twin = ledger.context("dr", "d").expect("it may come to dr");
        assert_eq!((ledger.find("dr", "d"), ledger.family(twin)), (Some(twin), domain));
        let mut unnamed = Object::new("unnamed object of w", "main", None);
        unnamed.parents = vec![domain];
        let unnamed = ledger.add(unnamed);
        let there = ledger.twin(unnamed, "dr").expect("likewise");
        assert_eq!(ledger.object(there).parents, [twin]);
        ledger.known_as(unnamed, "70ef3152c831c2c80bbce6505dfb7d0a");
        for member in ledger.members(unnamed) {
            let target = ledger.object(member).target.as_deref();
            assert_eq!(target, Some("/70ef3152c831c2c80bbce6505dfb7d0a"));
        }
        let count = ledger.numbers().count();
        ledger.make_twins();
        assert_eq!(ledger.numbers().count(), count, "all are there");
    }
}
