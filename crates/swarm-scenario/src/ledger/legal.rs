//! Which answers to a read are legal, given everything that was asked of the object and what came of it.
//!
//! A pure function of the history. It shares nothing with the nodes: versions are compared as numbers that the answers
//! showed, and what they do not show (the version of a delete) is bounded by real time. A write that was acknowledged
//! before a delete was sent, to a node that could know of it, lies below that delete; a delete that was acknowledged
//! before a write was sent lies below that write. What is unknown may have happened, may happen later, or never; and so may
//! what another cluster acknowledged, though of that the version is known.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use swarm_types::{Instant, Stamp};

use super::{Act, Entry, Outcome};

/// Who could know of what: the faults in force, as far as a judgement needs them. Numbers are places in the history.
pub(crate) trait Scope {
    /// The node that was asked could reach, all the time, an intact holder of what this acknowledged operation left: a
    /// replica, or a tombstone.
    fn sees(&self, entry: usize) -> bool;

    /// The node that was asked could reach all nodes all the time.
    fn sees_all(&self) -> bool;

    /// Whoever carried out `later` could reach, all the time, an intact holder of what `earlier` left.
    fn knew(&self, later: usize, earlier: usize) -> bool;

    /// Whoever carried out `later` could reach all nodes all the time.
    fn knew_all(&self, later: usize) -> bool;

    /// Its lifepoints may have ended what this write left, before the read was answered.
    fn may_have_ended(&self, _write: usize) -> bool {
        false
    }
}

/// Nothing was ever wrong where somebody asks; but lifepoints may have ended these writes.
#[derive(Debug, Default)]
pub(crate) struct Untroubled(pub(crate) BTreeSet<usize>);

impl Scope for Untroubled {
    fn sees(&self, _: usize) -> bool {
        true
    }

    fn sees_all(&self) -> bool {
        true
    }

    fn knew(&self, _: usize, _: usize) -> bool {
        true
    }

    fn knew_all(&self, _: usize) -> bool {
        true
    }

    fn may_have_ended(&self, write: usize) -> bool {
        self.0.contains(&write)
    }
}

/// What a read saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The bytes of a write, as this version.
    Content { content: u32, stamp: Stamp },
    /// Nothing, or nothing in reach.
    Absent,
}

/// Why an answer is illegal; indices are into the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Illegal {
    /// No such write was ever sent.
    NeverWritten,
    /// The write was refused, so nothing may have happened.
    Refused { write: usize },
    /// The write was acknowledged as another version.
    OtherVersion { write: usize },
    /// A newer write had been acknowledged.
    Stale { newer: usize },
    /// A delete above it had been acknowledged.
    Resurrected { delete: usize },
    /// An acknowledged write is in reach and no delete can lie above it.
    Lost { write: usize },
}

/// A read: asked and answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) started: Instant,
    pub(crate) ended: Instant,
}

/// Judges what a read saw.
pub(crate) fn judge(
    history: &[Entry],
    read: Window,
    scope: &dyn Scope,
    seen: Seen,
) -> Result<(), Illegal> {
    let bounds = Bounds::new(history, scope);
    let Seen::Content { content, stamp } = seen else { return absent(&bounds, read) };
    origin(history, content, stamp)?;
    let against = settled(history, read).filter_map(|(number, entry)| {
        let illegal = match (entry.act, entry.stamp()) {
            (Act::Write { .. }, Some(newer)) if newer > stamp => Illegal::Stale { newer: number },
            (Act::Delete, _) if bounds.floor(number).is_some_and(|floor| floor >= stamp) => {
                Illegal::Resurrected { delete: number }
            }
            _ => return None,
        };
        (scope.sees(number) && !bounds.is_hidden_from_read(number, read)).then_some(illegal)
    });
    // What was deleted and is back says more than that something newer was written once: the last word goes to the delete.
    match against.max() {
        None => Ok(()),
        Some(illegal) => Err(illegal),
    }
}

/// The contents that a read may see, and whether it may see nothing. A content whose version is not known yet counts as
/// the newest.
pub(crate) fn legal_outcomes(
    history: &[Entry],
    read: Window,
    scope: &dyn Scope,
) -> (BTreeSet<u32>, bool) {
    let mut contents = BTreeSet::new();
    for entry in history {
        if let Act::Write { content, .. } = entry.act {
            let unknown = Stamp {
                version: swarm_types::Version(u64::MAX),
                etag: swarm_types::Etag::from_bytes([0xff; 16]),
            };
            let stamp = entry.stamp().unwrap_or(unknown);
            if judge(history, read, scope, Seen::Content { content, stamp }).is_ok() {
                contents.insert(content);
            }
        }
    }
    (contents, judge(history, read, scope, Seen::Absent).is_ok())
}

/// The acknowledged operation that `number`, a write just acknowledged, wrongly lies below: one that its node could know.
pub(crate) fn out_of_order(history: &[Entry], number: usize, scope: &dyn Scope) -> Option<usize> {
    let new = &history[number];
    let stamp = new.stamp()?;
    let bounds = Bounds::new(history, scope);
    history.iter().enumerate().position(|(other, earlier)| {
        other != number
            && follows(new, earlier)
            && match earlier.act {
                Act::Write { .. } => earlier.stamp().is_some_and(|earlier| earlier >= stamp),
                Act::Delete => bounds.floor(other).is_some_and(|floor| floor >= stamp),
            }
            && bounds.knows(number, other)
    })
}

/// Finds the write that a content came from.
fn origin(history: &[Entry], content: u32, stamp: Stamp) -> Result<(), Illegal> {
    let mut verdict = Illegal::NeverWritten;
    for (number, entry) in history.iter().enumerate() {
        if !matches!(entry.act, Act::Write { content: own, .. } if own == content) {
            continue;
        }
        match &entry.outcome {
            Outcome::Acknowledged { stamp: Some(own), .. }
            | Outcome::Elsewhere { stamp: Some(own) }
                if *own == stamp =>
            {
                return Ok(());
            }
            Outcome::Acknowledged { stamp: Some(_), .. }
            | Outcome::Elsewhere { stamp: Some(_) } => {
                verdict = Illegal::OtherVersion { write: number }
            }
            Outcome::Acknowledged { stamp: None, .. }
            | Outcome::Elsewhere { stamp: None }
            | Outcome::Pending
            | Outcome::Unknown(_) => return Ok(()),
            Outcome::Refused(_) | Outcome::NotSent(_) if verdict == Illegal::NeverWritten => {
                verdict = Illegal::Refused { write: number }
            }
            Outcome::Refused(_) | Outcome::NotSent(_) => {}
        }
    }
    Err(verdict)
}

fn absent(bounds: &Bounds<'_>, read: Window) -> Result<(), Illegal> {
    let required = settled(bounds.history, read)
        .filter_map(|(number, entry)| Some((entry.write_stamp()?, number)))
        .filter(|(_, number)| bounds.scope.sees(*number))
        .max();
    let Some((newest, write)) = required else { return Ok(()) };
    if bounds.is_hidden_from_read(write, read) || bounds.scope.may_have_ended(write) {
        return Ok(());
    }
    let gone = bounds.history.iter().enumerate().any(|(number, entry)| {
        let leaves_nothing = match entry.act {
            Act::Delete => true,
            Act::Write { .. } => bounds.scope.may_have_ended(number),
        };
        leaves_nothing
            && entry.sent < read.ended
            && entry.may_have_happened()
            && match entry.write_stamp() {
                Some(stamp) => stamp > newest,
                None => bounds.ceiling(number).is_none_or(|ceiling| ceiling > newest),
            }
    });
    if gone { Ok(()) } else { Err(Illegal::Lost { write }) }
}

/// Acknowledged before the read started.
fn settled(history: &[Entry], read: Window) -> impl Iterator<Item = (usize, &Entry)> {
    history.iter().enumerate().filter(move |(_, entry)| {
        entry.is_acknowledged() && entry.ended.is_some_and(|ended| ended <= read.started)
    })
}

/// True if `later` was sent after `earlier` was acknowledged, so that it lies above it wherever it knew of it.
fn follows(later: &Entry, earlier: &Entry) -> bool {
    earlier.is_acknowledged() && earlier.ended.is_some_and(|ended| ended <= later.sent)
}

/// Between which versions the deletes lie. Remembered, because deletes bound each other.
struct Bounds<'a> {
    history: &'a [Entry],
    scope: &'a dyn Scope,
    floors: RefCell<BTreeMap<usize, Option<Stamp>>>,
    ceilings: RefCell<BTreeMap<usize, Option<Stamp>>>,
}

impl<'a> Bounds<'a> {
    fn new(history: &'a [Entry], scope: &'a dyn Scope) -> Self {
        Self { history, scope, floors: RefCell::default(), ceilings: RefCell::default() }
    }

    /// The newest version that an acknowledged delete certainly lies above.
    fn floor(&self, delete: usize) -> Option<Stamp> {
        if let Some(known) = self.floors.borrow().get(&delete) {
            return *known;
        }
        let this = &self.history[delete];
        let entries = self.history.iter().enumerate();
        let below = entries
            .filter(|(number, earlier)| follows(this, earlier) && self.knows(delete, *number));
        let floor = below
            .filter_map(|(number, earlier)| match earlier.act {
                Act::Write { .. } => earlier.stamp(),
                // Real time only moves on, so this ends.
                Act::Delete => self.floor(number),
            })
            .max();
        self.floors.borrow_mut().insert(delete, floor);
        floor
    }

    /// The oldest version that a delete, or a write whose version nobody knows, certainly lies below; `None` for one that
    /// may still happen.
    fn ceiling(&self, delete: usize) -> Option<Stamp> {
        if let Some(known) = self.ceilings.borrow().get(&delete) {
            return *known;
        }
        let this = &self.history[delete];
        let entries = self.history.iter().enumerate();
        let above = entries.filter(|(number, later)| {
            later.is_acknowledged() && follows(later, this) && self.knows(*number, delete)
        });
        let ceiling = above
            .filter_map(|(number, later)| match later.act {
                Act::Write { .. } => later.stamp(),
                Act::Delete => self.ceiling(number),
            })
            .min();
        self.ceilings.borrow_mut().insert(delete, ceiling);
        ceiling
    }

    /// True if whoever carried out `later` must have known of `earlier`, or of something newer still.
    fn knows(&self, later: usize, earlier: usize) -> bool {
        let scope = self.scope;
        if !scope.knew(later, earlier) {
            return false;
        }
        let until = self.history[later].ended.unwrap_or(self.history[later].sent);
        scope.knew_all(later)
            || !self.is_superseded(earlier, later, until, |other| scope.knew(later, other))
    }

    /// True if what the entry left may be gone because something newer took its place where the read could not look.
    fn is_hidden_from_read(&self, entry: usize, read: Window) -> bool {
        !self.scope.sees_all()
            && self.is_superseded(entry, entry, read.ended, |other| self.scope.sees(other))
    }

    /// True if something that may be newer than `entry` may have happened before `until` and is not seen: then nobody
    /// need hold what `entry` left any more.
    fn is_superseded(
        &self,
        entry: usize,
        apart_from: usize,
        until: Instant,
        seen: impl Fn(usize) -> bool,
    ) -> bool {
        self.history.iter().enumerate().any(|(number, other)| {
            number != entry
                && number != apart_from
                && other.may_have_happened()
                && other.sent < until
                && self.may_be_newer(number, entry)
                && !(other.is_acknowledged() && seen(number))
        })
    }

    fn may_be_newer(&self, other: usize, than: usize) -> bool {
        let (newer, older) = (&self.history[other], &self.history[than]);
        match (newer.write_stamp(), older.act, older.write_stamp()) {
            (Some(newer), _, Some(older)) => newer > older,
            (Some(newer), Act::Delete, _)
                if self.floor(than).is_some_and(|floor| floor >= newer) =>
            {
                false
            }
            // What was acknowledged before it was sent, and could be known, is not newer.
            _ => !(follows(older, newer) && self.scope.knew(than, other)),
        }
    }
}
