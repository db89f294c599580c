//! The invariant *fed*: at rest the target of a feed has what the source has, as far as the feed selects it.
//!
//! Judged on the raw disks of both clusters, stream by stream: what feeds carry keeps its id. That bodies are whole and in as many
//! copies as demanded, *protected* judges in each cluster by itself.

use std::collections::BTreeMap;

use swarm_types::{Hex, Stamp};

use super::image::{Id, Volume};
use super::record::{self, Burial, Kind, Object, Record};
use crate::language::domains::Domains;

/// At most so many findings are told; the first ones say what is wrong.
const FOUND_MAX: usize = 20;

/// What a cluster has, whichever of its disks says so.
#[derive(Debug, Clone, Default)]
pub(crate) struct Side {
    pub(crate) name: String,
    /// The newest that is filed under each stream.
    streams: BTreeMap<Id, Held>,
    /// Domains and buckets by their alias, deleted ones too: what they are called, and what they are in.
    contexts: BTreeMap<Id, Context>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Held {
    stamp: Stamp,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Object(Object),
    Deleted(Burial),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Context {
    /// Of a domain.
    name: Option<String>,
    parent: Option<Id>,
}

/// Where something belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place<'a> {
    Domain(&'a str),
    Untenanted,
    /// No disk tells any more.
    Unknown,
}

/// One feed between two clusters.
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    /// What it selects now.
    pub(crate) domains: &'a Domains,
    pub(crate) propagates: bool,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) what: String,
    /// The version that the source has, or the one that should not be there.
    pub(crate) stamp: Stamp,
}

impl Side {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// Takes what a volume of the cluster says. What has no known shape is *tidy*'s to judge.
    pub(crate) fn take(&mut self, volume: &Volume) {
        for (stream, filed) in &volume.filed {
            if let Some(record) = record::read(&filed.value) {
                self.file(*stream, filed.version(), record);
            }
        }
    }

    fn file(&mut self, stream: Id, stamp: Stamp, record: Record) {
        let (what, kind, alias, name, parent) = match record {
            Record::Replica { object, .. } => {
                let Object { kind, alias, name, parent, .. } = object.clone();
                (What::Object(object), kind, alias, name, parent)
            }
            Record::Tombstone(burial) => {
                let Burial { kind, alias, name, parent } = burial.clone();
                (What::Deleted(burial), kind, alias, name, parent)
            }
        };
        if let (true, Some(alias)) = (kind.is_context(), alias) {
            let name = name.filter(|_| kind == Kind::Domain);
            self.contexts.entry(alias).or_insert(Context { name, parent });
        }
        let newest = self.streams.get(&stream).is_none_or(|held| held.stamp < stamp);
        if newest {
            self.streams.insert(stream, Held { stamp, what });
        }
    }

    /// The domain that something of this kind with this name and parent belongs to.
    fn place<'a>(&'a self, kind: Kind, name: Option<&'a str>, parent: Option<Id>) -> Place<'a> {
        if kind == Kind::Domain {
            return name.map_or(Place::Unknown, Place::Domain);
        }
        let Some(mut at) = parent else {
            // Only what has no bucket may have no parent.
            let has_none = matches!(kind, Kind::Immutable | Kind::Alias);
            return if has_none { Place::Untenanted } else { Place::Unknown };
        };
        // A bucket lies in a domain, and that in nothing.
        for _ in 0..2 {
            match self.contexts.get(&at) {
                Some(Context { name: Some(name), .. }) => return Place::Domain(name),
                Some(Context { parent: Some(parent), .. }) => at = *parent,
                _ => return Place::Unknown,
            }
        }
        Place::Unknown
    }

    fn place_of<'a>(&'a self, held: &'a Held) -> Place<'a> {
        match &held.what {
            What::Object(object) => self.place(object.kind, object.name.as_deref(), object.parent),
            What::Deleted(burial) => self.place(burial.kind, burial.name.as_deref(), burial.parent),
        }
    }
}

/// Whether these domains select what is there; `None` where nobody knows.
fn selects(domains: &Domains, place: Place<'_>) -> Option<bool> {
    match place {
        Place::Domain(name) => Some(domains.select(Some(name))),
        Place::Untenanted => Some(domains.select(None)),
        Place::Unknown => None,
    }
}

/// What the target of a feed lacks, or has though it should not. `excused` tells whether a fault explains that a version of a
/// stream is not there.
pub(crate) fn judge(
    line: &Line<'_>,
    source: &Side,
    target: &Side,
    excused: impl Fn(&Id, Stamp) -> bool,
) -> Vec<Finding> {
    let mut found = Vec::new();
    for (stream, held) in &source.streams {
        if selects(line.domains, source.place_of(held)) != Some(true) || found.len() >= FOUND_MAX {
            continue;
        }
        let there = target.streams.get(stream);
        let Some(wrong) = compare(held, there, line.propagates) else { continue };
        // What a fault took is missing; what is there and differs no fault has made.
        let is_missing = there.is_none_or(|there| there.stamp < held.stamp);
        let is_object = matches!(held.what, What::Object(_));
        if is_missing && is_object && excused(stream, held.stamp) {
            continue;
        }
        let what = format!(
            "feed {}: {} of stream {} {wrong}",
            line.name,
            match (held, is_object) {
                (held, true) => format!("version {}", held.stamp.version),
                (held, false) => format!("the delete with version {}", held.stamp.version),
            },
            Hex(stream),
        );
        let what = what.replace("SOURCE", &source.name).replace("TARGET", &target.name);
        found.push(Finding { what, stamp: held.stamp });
    }
    found
}

/// What the target of a feed that carries deletes has still got of what was written at its source, where nobody remembers that it
/// was deleted. `lost` tells whether a fault explains that the source knows nothing of a stream that was so new.
pub(crate) fn forgotten(
    line: &Line<'_>,
    source: &Side,
    target: &Side,
    lost: impl Fn(&Id, Stamp) -> bool,
) -> Vec<Finding> {
    let remains = target.streams.iter().filter_map(|(stream, held)| {
        let What::Object(object) = &held.what else { return None };
        let is_carried = object.cluster == source.name
            && selects(line.domains, target.place_of(held)) == Some(true);
        // A context whose name is taken at the target lies there under another stream.
        let is_aside = object.alias.is_some_and(|alias| source.contexts.contains_key(&alias));
        let is_known = is_aside || source.streams.contains_key(stream);
        if !is_carried || is_known || lost(stream, held.stamp) {
            return None;
        }
        let what = format!(
            "feed {}: version {} of stream {} is on {}, and {} knows neither of it nor of its delete",
            line.name,
            held.stamp.version,
            Hex(stream),
            target.name,
            source.name
        );
        Some(Finding { what, stamp: held.stamp })
    });
    remains.filter(|_| line.propagates).take(FOUND_MAX).collect()
}

/// What is wrong with what the target has of something that the source has, as the end of a sentence.
fn compare(held: &Held, there: Option<&Held>, propagates: bool) -> Option<String> {
    let older =
        |there: &Held| format!("is on SOURCE, and TARGET has version {}", there.stamp.version);
    match (&held.what, there) {
        (What::Object(_), None) => Some("is on SOURCE and not on TARGET".to_owned()),
        (What::Object(_), Some(there)) if there.stamp < held.stamp => Some(older(there)),
        (What::Object(object), Some(Held { stamp, what: What::Object(copy) })) => (*stamp
            == held.stamp
            && object != copy)
            .then(|| format!("is not the same on SOURCE and TARGET: {}", differing(object, copy))),
        (What::Deleted(_), Some(there @ Held { what: What::Object(_), .. })) => {
            // A delete covers the version of its own stamp as well.
            (propagates && there.stamp <= held.stamp).then(|| older(there))
        }
        _ => None,
    }
}

fn differing(object: &Object, copy: &Object) -> &'static str {
    let differs = [
        (object.kind != copy.kind, "the kind"),
        (object.length != copy.length, "the length"),
        (object.digest != copy.digest, "the digest"),
        (object.alias != copy.alias, "the alias"),
        (object.parent != copy.parent, "the parent"),
        (object.name != copy.name, "the name"),
        (object.owner != copy.owner, "the owner"),
        (object.cluster != copy.cluster, "the cluster of the last write"),
    ];
    differs.into_iter().find_map(|(differs, what)| differs.then_some(what)).unwrap_or("the headers")
}

/// What a cluster has that was written elsewhere, and that no feed to it ever selected.
pub(crate) fn strays(target: &Side, ever: &[&Domains]) -> Vec<Finding> {
    let strays = target.streams.iter().filter_map(|(stream, held)| {
        let What::Object(object) = &held.what else { return None };
        let place = target.place_of(held);
        let is_own = object.cluster == target.name || place == Place::Unknown;
        if is_own || ever.iter().any(|domains| selects(domains, place) == Some(true)) {
            return None;
        }
        let of = match place {
            Place::Domain(domain) => format!("of domain {domain}"),
            _ => "of no domain".to_owned(),
        };
        let what = format!(
            "{} has stream {} {of}, written on {}, and no feed has ever selected it",
            target.name,
            Hex(stream),
            object.cluster
        );
        Some(Finding { what, stamp: held.stamp })
    });
    strays.take(FOUND_MAX).collect()
}

#[cfg(test)]
mod tests {
    use swarm_types::{Etag, Version};

    use super::*;
    use crate::language::domains::Entry;

    const DOMAIN: Id = [1; 16];
    const BUCKET: Id = [2; 16];
    const STREAM: Id = [5; 16];

    fn stamp(version: u64) -> Stamp {
        Stamp { version: Version(version), etag: Etag::from_bytes([1; 16]) }
    }

    fn object(kind: Kind, alias: Option<Id>, parent: Option<Id>, name: Option<&str>) -> Object {
        Object {
            kind,
            length: 5,
            digest: [4; 16],
            alias,
            parent,
            name: name.map(str::to_owned),
            owner: None,
            cluster: "main".to_owned(),
            headers: Vec::new(),
        }
    }

    fn replica(object: Object) -> Record {
        Record::Replica { object, quarantined: false }
    }

    fn named() -> Object {
        object(Kind::Named, None, Some(BUCKET), Some("17"))
    }

    fn buried() -> Record {
        let burial = Burial { kind: Kind::Named, alias: None, parent: Some(BUCKET), name: None };
        Record::Tombstone(burial)
    }

    /// A cluster with a domain, a bucket, and this of a stream.
    fn side(name: &str, of_stream: &[(u64, Record)]) -> Side {
        let mut side = Side::new(name);
        let domain = object(Kind::Domain, Some(DOMAIN), None, Some("acme.example"));
        side.file(DOMAIN, stamp(1), replica(domain));
        let bucket = object(Kind::Bucket, Some(BUCKET), Some(DOMAIN), Some("scans"));
        side.file(BUCKET, stamp(2), replica(bucket));
        for (version, record) in of_stream {
            side.file(STREAM, stamp(*version), record.clone());
        }
        side
    }

    fn domains(include: &[&str]) -> Domains {
        let entries = include.iter().map(|text| Entry::new(text).expect("an entry")).collect();
        Domains { include: Some(entries), exclude: Vec::new(), untenanted: false }
    }

    fn judged(source: &[(u64, Record)], target: &[(u64, Record)], propagates: bool) -> Vec<String> {
        let line = Line { name: "to-dr", domains: &Domains::default(), propagates };
        let (source, target) = (side("main", source), side("dr", target));
        judge(&line, &source, &target, |_, _| false).into_iter().map(|one| one.what).collect()
    }

    #[test]
    fn the_target_has_every_object_at_least_that_new_and_nothing_older_than_a_delete() {
        let live = |version| (version, replica(named()));
        let gone = |version| (version, buried());
        let begins = "feed to-dr: ";
        let of = "of stream 05050505050505050505050505050505";
        for (what, source, target, told) in [
            ("alike", vec![live(10)], vec![live(10)], None),
            ("newer there", vec![live(10)], vec![live(11)], None),
            ("deleted there since", vec![live(10)], vec![gone(11)], None),
            (
                "missing",
                vec![live(10)],
                vec![],
                Some(format!("version 0.010 {of} is on main and not on dr")),
            ),
            (
                "older",
                vec![live(9), live(10)],
                vec![live(9)],
                Some(format!("version 0.010 {of} is on main, and dr has version 0.009")),
            ),
            (
                "deleted there before",
                vec![live(10)],
                vec![gone(9)],
                Some(format!("version 0.010 {of} is on main, and dr has version 0.009")),
            ),
            ("deleted on both", vec![gone(10)], vec![gone(10)], None),
            ("deleted, and nothing there", vec![gone(10)], vec![], None),
            ("deleted, and written anew there", vec![gone(10)], vec![live(11)], None),
            (
                "deleted, and still there",
                vec![gone(10)],
                vec![live(9)],
                Some(format!(
                    "the delete with version 0.010 {of} is on main, and dr has version 0.009"
                )),
            ),
        ] {
            let told: Vec<String> =
                told.into_iter().map(|told| format!("{begins}{told}")).collect();
            assert_eq!(judged(&source, &target, true), told, "{what}");
        }
        assert_eq!(judged(&[gone(10)], &[live(9)], false), [""; 0], "deletes are not carried");
        assert_eq!(judged(&[live(10), gone(11)], &[live(10)], true).len(), 1, "taken back");
        assert_eq!(
            judged(&[gone(10)], &[live(10)], true).len(),
            1,
            "a delete covers its own stamp"
        );
    }

    #[test]
    fn the_same_version_is_the_same_in_all_that_it_says() {
        type Change = fn(&mut Object);
        let cases: [(Change, &str); 4] = [
            (|object| object.headers.push(("x-a-meta".to_owned(), b"1".to_vec())), "the headers"),
            (|object| object.cluster = "dr".to_owned(), "the cluster of the last write"),
            (|object| object.digest = [0; 16], "the digest"),
            (|object| object.owner = Some("admin".to_owned()), "the owner"),
        ];
        for (change, what) in cases {
            let mut copy = named();
            change(&mut copy);
            let told = judged(&[(10, replica(named()))], &[(10, replica(copy.clone()))], true);
            assert!(told.len() == 1 && told[0].ends_with(what), "{told:?}");
            let newer = judged(&[(10, replica(named()))], &[(11, replica(copy))], true);
            assert_eq!(newer, [""; 0]);
        }
    }

    #[test]
    fn only_what_is_selected_is_demanded_and_a_fault_excuses_what_it_took() {
        let (source, target) = (side("main", &[(10, replica(named()))]), Side::new("dr"));
        let judged = |domains: &Domains, excused: bool| {
            let line = Line { name: "f", domains, propagates: true };
            judge(&line, &source, &target, |_, _| excused).len()
        };
        assert_eq!(judged(&Domains::default(), false), 3, "the contexts too");
        assert_eq!(judged(&domains(&["ACME.example"]), false), 3);
        assert_eq!(judged(&domains(&["other.example"]), false), 0);
        assert_eq!(judged(&Domains::default(), true), 0);
        let mut untenanted = Side::new("main");
        let alone = object(Kind::Immutable, None, None, None);
        untenanted.file(STREAM, stamp(3), replica(alone));
        let line = |domains| Line { name: "f", domains, propagates: true };
        let all = Domains::default();
        assert_eq!(super::judge(&line(&all), &untenanted, &target, |_, _| false).len(), 1);
        let some = domains(&["acme.example"]);
        assert_eq!(super::judge(&line(&some), &untenanted, &target, |_, _| false).len(), 0);
    }

    #[test]
    fn a_delete_is_not_forgotten_before_it_is_carried_over() {
        let (source, target) = (side("main", &[]), side("dr", &[(10, replica(named()))]));
        let told = |source: &Side, domains: &Domains, propagates, lost: bool| {
            let line = Line { name: "f", domains, propagates };
            let found = forgotten(&line, source, &target, |_, _| lost);
            found.into_iter().map(|one| one.what).collect::<Vec<_>>()
        };
        let all = Domains::default();
        let what = "feed f: version 0.010 of stream 05050505050505050505050505050505 is on dr, and main knows neither of it \
                    nor of its delete";
        assert_eq!(told(&source, &all, true, false), [what]);
        assert_eq!(told(&source, &all, false, false), [""; 0], "deletes are not carried");
        assert_eq!(told(&source, &all, true, true), [""; 0], "a fault took it");
        assert_eq!(told(&source, &domains(&["other.example"]), true, false), [""; 0]);
        let remembers = side("main", &[(11, buried())]);
        assert_eq!(told(&remembers, &all, true, false), [""; 0], "it is still to be carried");
        let other = side("west", &[]);
        assert_eq!(told(&other, &all, true, false), [""; 0], "it was not written there");
    }

    #[test]
    fn what_no_feed_selects_does_not_come() {
        let mut target = side("dr", &[(10, replica(named()))]);
        let all = Domains::default();
        assert_eq!(strays(&target, &[&all]), []);
        let (acme, other) = (domains(&["acme.example"]), domains(&["other.example"]));
        assert_eq!(strays(&target, &[&other, &acme]), [], "one of them ever did");
        let told = strays(&target, &[&other]);
        assert_eq!(told.len(), 3, "the object, its bucket and its domain: {told:?}");
        let own = Object { cluster: "dr".to_owned(), ..named() };
        target.file(STREAM, stamp(11), replica(own));
        assert_eq!(strays(&target, &[&other]).len(), 2, "what was written there is its own");
    }
}
