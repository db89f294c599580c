//! What an object's lifepoints and the cluster's rules demand of whoever keeps it.
//!
//! Owns the step from text to duty: how many copies there must be, whether clients may delete, whether the object has
//! ended, when any of this changes ([`demand`]), and what of it is worth a line in the log ([`diagnose`]). The health
//! processor asks at every visit; requests ask the same functions, so that both read a lifepoint alike.

#[cfg(test)]
mod tests;

use swarm_types::{HeaderList, ObjectKind, Timestamp};

use crate::lifepoint::{Complaint, Diagnostic, Effective, Lifecycle, Lifepoint, Reps};
use crate::replicas::{REPLICAS_MAX, ReplicaPolicy, context_copies, target_copies, wanted_copies};

/// The settings that together say how many copies there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyRules {
    /// `policy.replicas`.
    pub replicas: ReplicaPolicy,
    /// `scsp.defaultContextReplicas`: replicas of a domain or bucket whose lifepoint says nothing.
    pub context_default: u32,
    /// `scsp.maxContextReplicas`: most replicas of a domain or bucket.
    pub context_max: u32,
}

impl Default for CopyRules {
    /// The defaults of the settings (Configuring Cluster Policies; those for contexts are our choice).
    fn default() -> Self {
        Self { replicas: ReplicaPolicy::default(), context_default: 3, context_max: REPLICAS_MAX }
    }
}

/// What is demanded of an object at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// It is to be kept.
    Keep {
        /// How many copies there must be in the whole cluster, at least 1.
        copies: u32,
        /// Whether clients may delete it. Where not, nothing else that would delete it for them may either.
        deletable: bool,
        /// The next instant at which any of this changes; `None` if this holds for ever.
        until: Option<Timestamp>,
    },
    /// Its lifepoint has ended it: it is to be deleted everywhere, as if a client had done so. It stays so for ever.
    End,
}

impl Demand {
    /// How many copies there must be; none of what has ended.
    #[must_use]
    pub const fn copies(self) -> u32 {
        match self {
            Self::Keep { copies, .. } => copies,
            Self::End => 0,
        }
    }

    /// Whether its lifepoint has ended it.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(self, Self::End)
    }

    fn at(kind: ObjectKind, effective: Effective, rules: &CopyRules) -> Self {
        let effective = effective.for_kind(kind);
        if effective.delete {
            return Self::End;
        }
        let copies = if kind.is_context() {
            context_copies(&effective, rules.context_default, rules.context_max)
        } else {
            target_copies(&effective, &rules.replicas)
        };
        Self::Keep { copies, deletable: effective.deletable, until: None }
    }
}

/// What these lifepoints demand of an object of this kind at `now`, by the clock of whoever asks.
#[must_use]
pub fn demand(
    kind: ObjectKind,
    lifecycle: &Lifecycle,
    rules: &CopyRules,
    now: Timestamp,
) -> Demand {
    let at = |instant| Demand::at(kind, lifecycle.at(instant), rules);
    let demanded = at(now);
    match demanded {
        Demand::End => Demand::End,
        Demand::Keep { copies, deletable, until: _ } => {
            // Limits of the policy may make two different lifepoints demand the same.
            let mut until = lifecycle.next_change(now);
            while let Some(change) = until.filter(|change| at(*change) == demanded) {
                until = lifecycle.next_change(change);
            }
            Demand::Keep { copies, deletable, until }
        }
    }
}

/// Everything in these headers that is worth a line in the log: what could not be read, what contradicts itself, and
/// what these rules do not grant. Independent of the instant, so that whoever logs it once has logged it for good.
/// `written_at` gives two-digit years their century.
#[must_use]
pub fn diagnose(
    kind: ObjectKind,
    headers: &HeaderList,
    written_at: Timestamp,
    rules: &CopyRules,
) -> Vec<Diagnostic> {
    let (lifecycle, mut found) = Lifecycle::of_headers(headers, written_at);
    for complaint in
        [Complaint::ContextDelete, Complaint::ContextCoded, Complaint::Coded, Complaint::AboveMax]
    {
        // Once for each object, however many of its lifepoints say so.
        let of = |lifepoint: &&Lifepoint| is_overruled(kind, lifepoint, rules, complaint);
        let lifepoint = lifecycle.lifepoints().iter().find(of);
        found.extend(
            lifepoint.map(|lifepoint| Diagnostic::about(complaint, &lifepoint.to_string())),
        );
    }
    found
}

/// Whether the kind of the object or the rules do not grant what a lifepoint asks for, in the way of this complaint.
fn is_overruled(
    kind: ObjectKind,
    lifepoint: &Lifepoint,
    rules: &CopyRules,
    complaint: Complaint,
) -> bool {
    let coded = matches!(lifepoint.reps(), Some(Reps::Coded { .. }));
    let max = if kind.is_context() { rules.context_max } else { rules.replicas.max };
    match complaint {
        Complaint::ContextDelete => kind.is_context() && lifepoint.says_delete(),
        Complaint::ContextCoded => kind.is_context() && coded,
        Complaint::Coded => !kind.is_context() && coded,
        Complaint::AboveMax => {
            let wanted = lifepoint.reps().map(|reps| wanted_copies(Some(reps), 0));
            wanted.is_some_and(|wanted| wanted > max) && !(kind.is_context() && coded)
        }
        _ => false,
    }
}
