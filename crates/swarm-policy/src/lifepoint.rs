//! Lifepoints: dated groups of constraints on an object, and which of them holds at an instant.
//!
//! Owns the meaning of the `Lifepoint` header (Lifepoint Metadata Headers). A write stores the text unread, for speed;
//! reading it later must therefore never fail: [`parse_lifecycle`] drops what it cannot read, reports it, and makes
//! sure that what it dropped deletes nothing. Each [`Lifepoint`] stands alone: a constraint that it does not state has
//! its default, never the value of the lifepoint before.

mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use swarm_types::{HeaderList, ObjectKind, Timestamp, httpdate};

pub use parse::parse_lifecycle;

/// Name of the header, one or more of which make a [`Lifecycle`].
pub const HEADER: &str = "Lifepoint";

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

    /// What holds at this instant; the instant at which a lifepoint ends belongs to the next one.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Effective {
        match self.lifepoints.iter().find(|lifepoint| lifepoint.end.is_none_or(|end| now < end)) {
            Some(lifepoint) => lifepoint.effect(),
            None => Effective::DEFAULT,
        }
    }
}

impl Lifepoint {
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
            | Self::DeleteTooSoon => Severity::Warning,
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoBracket => "a lifepoint begins with [",
            Self::NoClose => "a lifepoint's [ is never closed",
            Self::BadDate => "a lifepoint's end is not an HTTP date in GMT",
            Self::DuplicateConstraint => "a constraint twice in one lifepoint, the first counts",
            Self::BadConstraint => "an unknown constraint or value is ignored",
            Self::Empty => "a lifepoint without constraints",
            Self::DuplicateEnd => "two lifepoints with one end, the first counts",
            Self::Conflict => "delete and deletable=no in one lifepoint, the object is kept",
            Self::NoReps => "deletable without reps, the policy's replicas count",
            Self::DeleteTooSoon => "delete beside an unreadable lifepoint, the object is kept",
        })
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.complaint, self.text)
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
