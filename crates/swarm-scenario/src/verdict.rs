//! What was found wrong: violations of invariants, each with its object and its evidence.
//!
//! Owns the wording of a failure's headline and the rule behind every invariant.

use std::time::Duration;

use crate::language::model::{Waiver, Window};
use crate::ledger::ObjectNumber;

/// The invariants that a run judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// Nothing acknowledged is lost.
    Durable,
    /// No read returns bytes that nobody wrote there.
    TrueBytes,
    /// Nothing deleted comes back.
    NoResurrection,
    /// Each object has exactly the copies that are demanded of it, spread as demanded and all alike.
    Protected,
    /// Lifepoints hold.
    Obeyed,
    /// Space adds up, index and journal agree.
    Tidy,
    /// The target of a feed has what the feed selects.
    Fed,
    /// Nobody says that something is at the target before it is.
    Honest,
    /// No panic, no task stuck, no unbounded queue, no 5xx for bad input.
    Alive,
}

impl Invariant {
    /// As the language writes it.
    #[must_use]
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Durable => "durable",
            Self::TrueBytes => "true bytes",
            Self::NoResurrection => "no resurrection",
            Self::Protected => "protected",
            Self::Obeyed => "obeyed",
            Self::Tidy => "tidy",
            Self::Fed => "fed",
            Self::Honest => "honest",
            Self::Alive => "alive",
        }
    }

    /// The rule and its evidence: the title of a vendor's page, or our choice.
    #[must_use]
    pub(crate) const fn rule(self) -> &'static str {
        match self {
            Self::Durable => {
                "a 201 means stored; the newest version of a name wins (SCSP WRITE; the order of versions is our choice)"
            }
            Self::TrueBytes => {
                "a read returns the bytes that were written, or breaks off (SCSP READ, Content Integrity Assurance)"
            }
            Self::NoResurrection => {
                "a deleted object is gone, whatever was away meanwhile (SCSP DELETE; who answers a lookup is our choice)"
            }
            Self::Protected => {
                "the health processor makes what is missing, trims what is too much and clears away what is bad (Brief Explanation of What Swarm's Health Processor Does)"
            }
            Self::Obeyed => {
                "what a lifepoint protects no client deletes, what it ends is gone, and each lifepoint stands alone (Lifepoint Metadata Headers; within a second is our choice)"
            }
            Self::Tidy => {
                "used + free + trapped = capacity; the journal is the truth and the index a cache (How Swarm Manages Trapped Space; our choice)"
            }
            Self::Fed => {
                "a feed brings every object that it selects to its target, and deletes too (Replication Feeds; at rest all of them is our choice)"
            }
            Self::Honest => {
                "status 0 says that nothing is left to be done for the feed (SCSP SEND)"
            }
            Self::Alive => {
                "no node panics, nothing waits for ever or grows without bound, no 5xx for a request that is merely wrong (our choice)"
            }
        }
    }
}

/// One violation.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) invariant: Invariant,
    /// Since the start of the scenario.
    pub(crate) at: Duration,
    pub(crate) object: Option<ObjectNumber>,
    /// What was seen, in a sentence.
    pub(crate) what: String,
    /// The entry of the object's history that makes it wrong.
    pub(crate) against: Option<usize>,
}

/// Violations in the order of their times.
#[derive(Debug, Default)]
pub(crate) struct Violations {
    found: Vec<Violation>,
    more: u64,
}

/// A broken cluster breaks every object; this many tell enough.
const KEPT_MAX: usize = 200;

impl Violations {
    pub(crate) fn add(&mut self, violation: Violation) {
        if self.found.len() < KEPT_MAX {
            self.found.push(violation);
        } else {
            self.more += 1;
        }
    }

    /// Takes out what is waived; `bounds` tells when a window lay.
    pub(crate) fn judged(
        &self,
        waivers: &[Waiver],
        bounds: impl Fn(&Window) -> Option<(Duration, Duration)>,
    ) -> Vec<Violation> {
        let waived = |violation: &Violation| {
            waivers.iter().any(|waiver| {
                waiver.invariant == violation.invariant.word()
                    && waiver.during.as_ref().is_none_or(|window| {
                        bounds(window).is_some_and(|(from, to)| (from..=to).contains(&violation.at))
                    })
            })
        };
        self.found.iter().filter(|violation| !waived(violation)).cloned().collect()
    }

    /// How many were not kept.
    pub(crate) fn more(&self) -> u64 {
        self.more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiver_takes_out_its_invariant_in_its_window() {
        let secs = Duration::from_secs;
        let mut found = Violations::default();
        for (invariant, at) in [
            (Invariant::Alive, 9),
            (Invariant::Alive, 10),
            (Invariant::Alive, 20),
            (Invariant::Alive, 21),
            (Invariant::Tidy, 15),
        ] {
            let what = String::new();
            found.add(Violation { invariant, at: secs(at), object: None, what, against: None });
        }
        let waiver = |during| Waiver {
            invariant: Invariant::Alive.word().to_owned(),
            during,
            because: "it is being mended".to_owned(),
        };
        let bounds = |window: &Window| match window {
            Window::Times(from, to) => Some((*from, *to)),
            // A step that never happened.
            Window::Named(_) => None,
        };
        let left = |during| {
            let judged = found.judged(&[waiver(during)], bounds);
            judged.iter().map(|one| one.at.as_secs()).collect::<Vec<_>>()
        };
        assert_eq!(left(Some(Window::Times(secs(10), secs(20)))), [9, 21, 15]);
        assert_eq!(left(Some(Window::Named("mending".to_owned()))), [9, 10, 20, 21, 15]);
        assert_eq!(left(None), [15]);
    }
}
