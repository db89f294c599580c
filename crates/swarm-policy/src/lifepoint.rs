//! Lifepoints: dated groups of constraints on an object, and which of them holds at an instant.
//!
//! Owns the meaning of the `Lifepoint` header (Lifepoint Metadata Headers). A write stores the text unread, for speed;
//! reading it later must therefore never fail: [`parse_lifecycle`] drops what it cannot read, reports it, and makes
//! sure that what it dropped deletes nothing. Each [`Lifepoint`] stands alone: a constraint that it does not state has
//! its default, never the value of the lifepoint before.

mod parse;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

use std::fmt;

use swarm_types::{HeaderList, ObjectKind, Timestamp, httpdate};

pub use parse::parse_lifecycle;

/// Name of the header, one or more of which make a [`Lifecycle`].
pub const HEADER: &str = "Lifepoint";

/// Longest excerpt of stored text in a [`Diagnostic`], in characters.
const EXCERPT_MAX: usize = 80;

/// Everything that an object's `Lifepoint` headers say, in the order in which it comes into force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lifecycle {
    /// Ends strictly ascend; at most the last is open.
    lifepoints: Vec<Lifepoint>,
}

/// One retention window: from the end of the one before, or from the object's creation, until its own end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lifepoint {
    /// `None` for the open last one, written `[]`.
    end: Option<Timestamp>,
    /// `None`: today's policy decides, never the previous window.
    reps: Option<Reps>,
    /// `None`: clients may delete.
    deletable: Option<bool>,
    /// Never true where `end` is set.
    delete: bool,
}

/// How an object is to be protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reps {
    /// This many whole replicas, never zero.
    Whole(u32),
    /// Erasure-coded; neither number is zero.
    Coded {
        /// Data segments of a set.
        k: u16,
        /// Parity segments of a set.
        p: u16,
    },
}

/// What a lifecycle demands at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effective {
    /// The protection asked for; `None` leaves it to the policy.
    pub reps: Option<Reps>,
    /// Whether clients may delete the object.
    pub deletable: bool,
    /// Whether the object has reached the end of its life.
    pub delete: bool,
    /// When the next lifepoint takes over; `None` if this holds for ever.
    pub until: Option<Timestamp>,
}

/// Something in stored lifepoint text that was not understood, or that will surprise its writer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong.
    pub complaint: Complaint,
    /// The part of the text that it is about, shortened.
    pub text: String,
}

/// What is wrong with lifepoint text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Complaint {
    /// The value does not begin with `[`; none of it was read.
    NoBracket,
    /// The `[` is never closed; the group was dropped.
    NoClose,
    /// Neither blank nor an HTTP date stands in the brackets; the group was dropped.
    BadDate,
    /// The same constraint twice in one group; the first was kept.
    DuplicateConstraint,
    /// An unknown constraint, or a known one with a value that it cannot have; it was dropped.
    BadConstraint,
    /// A group or a value without any constraint.
    Empty,
    /// Two groups end at the same instant; the first was kept, nothing was merged.
    DuplicateEnd,
    /// `delete` beside `deletable=no`; the object is kept.
    Conflict,
    /// `deletable` without `reps`; the policy decides how many replicas there are.
    NoReps,
    /// `delete`, but a group that may have come before it could not be read; the object is kept.
    DeleteTooSoon,
    /// `reps=k:p`; until erasure coding is built, p + 1 whole replicas are kept.
    Coded,
    /// More replicas than the policy allows; its maximum is kept.
    AboveMax,
    /// `delete` on a domain or bucket; it stays.
    ContextDelete,
    /// `reps=k:p` on a domain or bucket; the default for contexts is kept.
    ContextCoded,
}

/// How loud a [`Complaint`] is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something was ignored and a default used.
    Warning,
    /// A whole group could not be read.
    Error,
}

impl Lifecycle {
    /// Reads the `Lifepoint` headers among these. `written_at` gives two-digit years their century.
    #[must_use]
    pub fn of_headers(headers: &HeaderList, written_at: Timestamp) -> (Self, Vec<Diagnostic>) {
        parse_lifecycle(headers.all(HEADER).map(|header| &header.value[..]), written_at)
    }

    /// The same lifepoints, each with what it does not state itself taken from the one before: what a reader must not do.
    /// There for the planted bug that does it.
    #[must_use]
    pub fn inheriting(mut self) -> Self {
        let mut before = Lifepoint::default();
        for lifepoint in &mut self.lifepoints {
            lifepoint.reps = lifepoint.reps.or(before.reps);
            lifepoint.deletable = lifepoint.deletable.or(before.deletable);
            before = lifepoint.clone();
        }
        self
    }

    /// True where no lifepoint could be read: the defaults hold for ever.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.lifepoints.is_empty()
    }

    /// The lifepoints in the order in which they come into force.
    pub(crate) fn lifepoints(&self) -> &[Lifepoint] {
        &self.lifepoints
    }

    /// The first instant later than `after` at which something else is demanded than at `after`; `None` if never. An end
    /// at which the next lifepoint demands the same is no change.
    #[must_use]
    pub fn next_change(&self, after: Timestamp) -> Option<Timestamp> {
        let mut ahead = self.lifepoints.iter().filter(|lifepoint| lifepoint.is_in_force(after));
        let in_force = ahead.next()?;
        let demands = |lifepoint: &Lifepoint| Effective { until: None, ..lifepoint.effect() };
        let mut end = in_force.end;
        for next in ahead {
            if demands(next) != demands(in_force) {
                return end;
            }
            end = next.end;
        }
        end.filter(|_| demands(in_force) != Effective::DEFAULT)
    }

    /// What holds at this instant; the instant at which a lifepoint ends belongs to the next one.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Effective {
        match self.lifepoints.iter().find(|lifepoint| lifepoint.is_in_force(now)) {
            Some(lifepoint) => lifepoint.effect(),
            None => Effective::DEFAULT,
        }
    }
}

impl Lifepoint {
    /// The protection that it asks for.
    pub(crate) const fn reps(&self) -> Option<Reps> {
        self.reps
    }

    /// Whether it ends the object, unless the kind of the object or `deletable=no` forbids that.
    pub(crate) const fn says_delete(&self) -> bool {
        self.delete
    }

    /// Whether it has not ended yet. Those before it may not have ended either.
    fn is_in_force(&self, now: Timestamp) -> bool {
        self.end.is_none_or(|end| now < end)
    }

    fn effect(&self) -> Effective {
        Effective {
            reps: self.reps,
            deletable: self.deletable.unwrap_or(true),
            // Where the writer contradicts itself, the object is kept.
            delete: self.delete && self.deletable != Some(false),
            until: self.end,
        }
    }
}

impl Effective {
    /// What holds without a lifepoint: the policy decides, clients may delete, the object is kept for ever.
    pub const DEFAULT: Self = Self { reps: None, deletable: true, delete: false, until: None };

    /// What remains of it for an object of this kind. Contexts never end by lifepoint, so that no content is orphaned,
    /// and are never erasure-coded (Lifepoint Metadata Headers; the second is our choice).
    #[must_use]
    pub fn for_kind(self, kind: ObjectKind) -> Self {
        if !kind.is_context() {
            return self;
        }
        let reps = self.reps.filter(|reps| matches!(reps, Reps::Whole(_)));
        Self { delete: false, reps, ..self }
    }
}

impl Complaint {
    /// How loud it is: whole groups lost are errors, ignored details warnings (Lifepoint Metadata Headers).
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self {
            Self::NoBracket | Self::NoClose | Self::BadDate => Severity::Error,
            Self::DuplicateConstraint
            | Self::BadConstraint
            | Self::Empty
            | Self::DuplicateEnd
            | Self::Conflict
            | Self::NoReps
            | Self::DeleteTooSoon
            | Self::Coded
            | Self::AboveMax
            | Self::ContextDelete
            | Self::ContextCoded => Severity::Warning,
        }
    }

    /// The word for it in log lines, which never changes.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoBracket => "LP_NO_BRACKET",
            Self::NoClose => "LP_NO_CLOSE",
            Self::BadDate => "LP_BAD_DATE",
            Self::DuplicateConstraint => "LP_DUP_CONSTRAINT",
            Self::BadConstraint => "LP_BAD_CONSTRAINT",
            Self::Empty => "LP_EMPTY",
            Self::DuplicateEnd => "LP_DUP_END",
            Self::Conflict => "LP_CONFLICT",
            Self::NoReps => "LP_NO_REPS",
            Self::DeleteTooSoon => "LP_DELETE_TOO_SOON",
            Self::Coded => "LP_CODED",
            Self::AboveMax => "LP_ABOVE_MAX",
            Self::ContextDelete => "LP_CONTEXT_DELETE",
            Self::ContextCoded => "LP_CONTEXT_CODED",
        }
    }
}

impl fmt::Display for Complaint {
    /// What to say of the lifepoint after its text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoBracket => "cannot be parsed: it does not begin with [",
            Self::NoClose => "cannot be parsed: its [ is never closed",
            Self::BadDate => "cannot be parsed: its end is not an HTTP date in GMT",
            Self::DuplicateConstraint => "comes a second time, the first counts",
            Self::BadConstraint => "cannot be parsed: no such constraint or value, ignored",
            Self::Empty => "states no constraint that can be read",
            Self::DuplicateEnd => "ends when another one does, the first counts",
            Self::Conflict => "says both delete and deletable=no, the object is kept",
            Self::NoReps => "says deletable without reps, the policy's replicas count",
            Self::DeleteTooSoon => "deletes nothing because another one cannot be read",
            Self::Coded => "asks for erasure coding, kept as p + 1 replicas",
            Self::AboveMax => "asks for more replicas than the maximum, which counts",
            Self::ContextDelete => "would delete a domain or bucket, which no lifepoint does",
            Self::ContextCoded => "asks for erasure coding of a domain or bucket, ignored",
        })
    }
}

impl fmt::Display for Diagnostic {
    /// A whole line for the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { complaint, text } = self;
        write!(f, "lifepoint {text:?} {complaint} ({})", complaint.code())
    }
}

impl Diagnostic {
    /// How loud it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.complaint.severity()
    }

    /// A complaint about this text, which is shortened: a header may have 16 KiB, a log line may not.
    pub(crate) fn about(complaint: Complaint, text: &str) -> Self {
        Self { complaint, text: text.chars().take(EXCERPT_MAX).collect() }
    }
}

impl fmt::Display for Reps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(count) => write!(f, "{count}"),
            Self::Coded { k, p } => write!(f, "{k}:{p}"),
        }
    }
}

impl fmt::Display for Lifepoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}]", self.end.map(httpdate::format).unwrap_or_default())?;
        let constraints = [
            self.reps.map(|reps| format!("reps={reps}")),
            self.deletable.map(|yes| format!("deletable={}", if yes { "yes" } else { "no" })),
            self.delete.then(|| "delete".to_owned()),
        ];
        for (nth, constraint) in constraints.into_iter().flatten().enumerate() {
            write!(f, "{}{constraint}", if nth == 0 { " " } else { ", " })?;
        }
        Ok(())
    }
}
