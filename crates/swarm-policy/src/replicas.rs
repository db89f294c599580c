//! How many copies: the replication policy, and what a write makes of it at once.
//!
//! Owns the value of the setting `policy.replicas` ([`ReplicaPolicy`]; Implementing Replication Policy) and the
//! argument `replicate` ([`Replicate`]; WRITE with Replicate ROW). The target that the health processor keeps follows
//! from lifepoint and policy alone; `replicate` only says how much of it is made before the answer.

use std::fmt;
use std::str::FromStr;

use crate::lifepoint::{Effective, Reps};

/// Most replicas that a policy may ask for (Setting Storage Policies).
pub const REPLICAS_MAX: u32 = 16;

/// Copies made at once by `replicate=immediate` (WRITE with Replicate ROW).
const IMMEDIATE_COPIES: u32 = 2;

/// A complete replication policy, such as `min:2 max:16 default:2 anchored`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaPolicy {
    /// Fewest replicas, whatever a lifepoint says; at least 1.
    pub min: u32,
    /// Most replicas, whatever a lifepoint says; at most [`REPLICAS_MAX`].
    pub max: u32,
    /// Replicas where no lifepoint says anything; from `min` to `max`.
    pub default: u32,
    /// Whether the policies of domains and buckets below are void.
    pub anchored: bool,
}

/// Text that is no replication policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaPolicyError {
    /// A word that belongs to no policy; anything after `anchored` too.
    #[error("{0:?} is none of min:N, max:N, default:N and a last anchored")]
    Unknown(String),
    /// The same parameter twice.
    #[error("{0} is given twice")]
    Twice(&'static str),
    /// A parameter that the policy cannot do without.
    #[error("{0}:N is missing")]
    Missing(&'static str),
    /// Numbers that contradict each other or the limits.
    #[error("1 <= min {min} <= default {default} <= max {max} <= {REPLICAS_MAX} does not hold")]
    OutOfRange {
        /// As given.
        min: u32,
        /// As given.
        default: u32,
        /// As given.
        max: u32,
    },
}

/// The value of the argument `replicate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replicate {
    /// This many copies before the answer; at least 1.
    Exactly(u32),
    /// Two copies before the answer.
    Immediate,
    /// All copies before the answer.
    Full,
}

/// Text that is no value of `replicate`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("replicate takes a number from 1 to {REPLICAS_MAX}, immediate or full, not {0:?}")]
pub struct ReplicateError(pub String);

/// The settings `scsp.replicateOnWrite` and `scsp.defaultROWAction` together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicateOnWrite {
    /// One copy before the answer, the rest by the health processor.
    Off,
    /// What a request without `replicate` does.
    On(Replicate),
}

impl Default for ReplicaPolicy {
    /// The cluster's default (Configuring Cluster Policies).
    fn default() -> Self {
        Self { min: 2, max: REPLICAS_MAX, default: 2, anchored: true }
    }
}

impl Default for ReplicateOnWrite {
    /// Two copies before the answer (Replicate on Write).
    fn default() -> Self {
        Self::On(Replicate::Exactly(2))
    }
}

/// How many copies of an object must exist: what its lifepoint asks for, else the policy's default, within the policy's
/// limits. `reps=k:p` counts as p + 1 copies, which survive the loss of as many disks.
#[must_use]
pub fn target_copies(effective: &Effective, policy: &ReplicaPolicy) -> u32 {
    wanted_copies(effective.reps, policy.default).clamp(policy.min, policy.max)
}

/// How many copies of a domain or bucket must exist: what its lifepoint asks for, else `scsp.defaultContextReplicas`,
/// at most `scsp.maxContextReplicas`. The replication policy is not for contexts (Implementing Replication Policy).
#[must_use]
pub fn context_copies(effective: &Effective, default: u32, max: u32) -> u32 {
    wanted_copies(effective.reps, default).min(max).max(1)
}

/// How many copies a write makes before it answers: what the request says, else what the settings say, never more than
/// the target and never none.
#[must_use]
pub fn synchronous_copies(
    argument: Option<Replicate>,
    settings: ReplicateOnWrite,
    target: u32,
) -> u32 {
    let action = match (argument, settings) {
        (Some(action), _) | (None, ReplicateOnWrite::On(action)) => action,
        (None, ReplicateOnWrite::Off) => Replicate::Exactly(1),
    };
    let wanted = match action {
        Replicate::Exactly(copies) => copies,
        Replicate::Immediate => IMMEDIATE_COPIES,
        Replicate::Full => target,
    };
    wanted.min(target).max(1)
}

/// How many copies a lifepoint asks for, before any limit.
pub(crate) fn wanted_copies(reps: Option<Reps>, default: u32) -> u32 {
    match reps {
        Some(Reps::Whole(copies)) => copies,
        Some(Reps::Coded { k: _, p }) => u32::from(p) + 1,
        None => default,
    }
}

impl FromStr for ReplicaPolicy {
    type Err = ReplicaPolicyError;

    /// Reads `min:N max:N default:N`, in any order, with a last `anchored` or without; words in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (mut min, mut max, mut default, mut anchored) = (None, None, None, false);
        for word in text.split_ascii_whitespace() {
            let unknown = || ReplicaPolicyError::Unknown(word.to_owned());
            if anchored {
                return Err(unknown());
            }
            if word.eq_ignore_ascii_case("anchored") {
                anchored = true;
                continue;
            }
            let (name, number) = word.split_once(':').ok_or_else(unknown)?;
            let (name, slot) = match name.to_ascii_lowercase().as_str() {
                "min" => ("min", &mut min),
                "max" => ("max", &mut max),
                "default" => ("default", &mut default),
                _ => return Err(unknown()),
            };
            let number = digits(number).ok_or_else(unknown)?;
            if slot.replace(number).is_some() {
                return Err(ReplicaPolicyError::Twice(name));
            }
        }
        let given = |value: Option<u32>, name| value.ok_or(ReplicaPolicyError::Missing(name));
        let (min, max) = (given(min, "min")?, given(max, "max")?);
        let default = given(default, "default")?;
        if !(1 <= min && min <= default && default <= max && max <= REPLICAS_MAX) {
            return Err(ReplicaPolicyError::OutOfRange { min, default, max });
        }
        Ok(Self { min, max, default, anchored })
    }
}

impl fmt::Display for ReplicaPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, max, default, anchored } = self;
        let anchored = if *anchored { " anchored" } else { "" };
        write!(f, "min:{min} max:{max} default:{default}{anchored}")
    }
}

impl FromStr for Replicate {
    type Err = ReplicateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.eq_ignore_ascii_case("immediate") {
            return Ok(Self::Immediate);
        }
        if text.eq_ignore_ascii_case("full") {
            return Ok(Self::Full);
        }
        match digits(text) {
            Some(copies @ 1..=REPLICAS_MAX) => Ok(Self::Exactly(copies)),
            _ => Err(ReplicateError(text.to_owned())),
        }
    }
}

/// A number without the sign that `parse` alone would allow.
fn digits(text: &str) -> Option<u32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    fn policy(text: &str) -> Result<ReplicaPolicy, String> {
        text.parse().map_err(|error: ReplicaPolicyError| error.to_string())
    }

    fn asking(reps: Option<Reps>) -> Effective {
        Effective { reps, ..Effective::DEFAULT }
    }

    #[test]
    fn a_policy_reads_in_any_order() {
        let expected = ReplicaPolicy { min: 2, max: 10, default: 3, anchored: false };
        assert_eq!(policy("min:2 max:10 default:3"), Ok(expected));
        assert_eq!(policy(" default:3  MIN:2 max:10 "), Ok(expected));
        let anchored = ReplicaPolicy { anchored: true, ..expected };
        assert_eq!(policy("min:2 max:10 default:3 anchored"), Ok(anchored));
        assert_eq!(policy("min:2 max:16 default:2 anchored"), Ok(ReplicaPolicy::default()));
    }

    #[test]
    fn a_bad_policy_says_what_is_wrong() {
        let unknown = |word: &str| {
            Err(format!("{word:?} is none of min:N, max:N, default:N and a last anchored"))
        };
        assert_eq!(policy(""), Err("min:N is missing".to_owned()));
        assert_eq!(policy("min:2 max:3"), Err("default:N is missing".to_owned()));
        assert_eq!(policy("min:2 min:2 max:3 default:2"), Err("min is given twice".to_owned()));
        assert_eq!(policy("min:2 max:3 default:2 override"), unknown("override"));
        assert_eq!(policy("anchored min:2 max:3 default:2"), unknown("min:2"));
        assert_eq!(policy("min:+2 max:3 default:2"), unknown("min:+2"));
        assert_eq!(policy("min: max:3 default:2"), unknown("min:"));
        assert_eq!(policy("least:2 max:3 default:2"), unknown("least:2"));
        for out_of_range in [
            "min:0 max:3 default:2",
            "min:2 max:17 default:2",
            "min:3 max:4 default:2",
            "min:2 max:3 default:4",
        ] {
            let error = policy(out_of_range).expect_err("out of range");
            assert!(error.ends_with("does not hold"), "{error}");
        }
    }

    #[test]
    fn the_policy_keeps_lifepoints_within_its_limits() {
        let cluster = ReplicaPolicy::default();
        let copies = |reps| target_copies(&asking(reps), &cluster);
        assert_eq!(copies(None), 2);
        assert_eq!(copies(Some(Reps::Whole(3))), 3);
        assert_eq!(copies(Some(Reps::Whole(1))), 2);
        assert_eq!(copies(Some(Reps::Whole(20))), 16);
        assert_eq!(copies(Some(Reps::Coded { k: 5, p: 2 })), 3);
    }

    #[test]
    fn contexts_have_settings_of_their_own() {
        let copies = |reps| context_copies(&asking(reps), 3, 16);
        assert_eq!(copies(None), 3);
        assert_eq!(copies(Some(Reps::Whole(1))), 1);
        assert_eq!(copies(Some(Reps::Whole(40))), 16);
    }

    #[test]
    fn replicate_says_how_many_copies_precede_the_answer() {
        let on = ReplicateOnWrite::default();
        let copies = |argument: &str, settings, target| {
            let argument = (!argument.is_empty()).then(|| argument.parse().expect("an argument"));
            synchronous_copies(argument, settings, target)
        };
        assert_eq!(copies("", on, 3), 2);
        assert_eq!(copies("", ReplicateOnWrite::Off, 3), 1);
        assert_eq!(copies("", ReplicateOnWrite::On(Replicate::Full), 3), 3);
        assert_eq!(copies("full", on, 5), 5);
        assert_eq!(copies("immediate", ReplicateOnWrite::Off, 5), 2);
        assert_eq!(copies("Immediate", on, 5), 2);
        assert_eq!(copies("1", on, 5), 1);
        assert_eq!(copies("4", on, 5), 4);
        assert_eq!(copies("7", on, 5), 5);
        assert_eq!(copies("", on, 1), 1);
    }

    #[test]
    fn replicate_takes_nothing_else() {
        for text in ["", "0", "17", "-1", "+1", "many", "2.0", "99999999999999999999"] {
            assert_eq!(text.parse::<Replicate>(), Err(ReplicateError(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn a_policy_that_is_written_reads_back(min in 1..=5u32, more in 0..=5u32, most in 0..=5u32, anchored: bool) {
            let (default, max) = (min + more, min + more + most);
            let written = ReplicaPolicy { min, max, default, anchored };
            prop_assert_eq!(written.to_string().parse(), Ok(written));
        }

        #[test]
        fn any_text_is_refused_or_reads_back(text in "([a-z]{0,3}(min|max|default|anchored):?[0-9]{0,3} ?){0,5}") {
            if let Ok(read) = text.parse::<ReplicaPolicy>() {
                prop_assert_eq!(read.to_string().parse(), Ok(read));
            }
        }
    }
}
