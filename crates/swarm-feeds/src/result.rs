//! What an answer of the target says about the object, and about the target.

use std::time::Duration;

use swarm_plan::feeds::Settled;

use crate::backoff::{ObjectTrouble, next_try};
use crate::blockade::TargetTrouble;

/// What was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    /// To store a version.
    Write,
    /// To take over a delete.
    Delete,
}

/// What was answered, after all redirects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// `Retry-After`, if the answer has it.
    pub retry_after: Option<Duration>,
    /// Whether the target says that it is another cluster than the one asked for.
    pub wrong_cluster: bool,
}

/// What came of one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The target has it.
    Done {
        /// It had it before, or something newer (SCSP SEND - Legacy: already exists).
        already: bool,
    },
    /// Its bucket or domain is missing there (SCSP WRITE: 412); they are to be brought first.
    Context,
    /// This object has trouble, others may not.
    Object {
        /// What `Feed-<id>-Status` shows.
        status: u16,
        /// Whether it may pass.
        trouble: ObjectTrouble,
    },
    /// The target takes nothing.
    Target(TargetTrouble),
    /// The source cannot read it.
    Unreadable,
    /// Nobody knows: there was no answer. The target is to be asked before it is sent again.
    Unknown,
}

/// What an answer means (our choice, but for 409 and 412).
#[must_use]
pub fn of_answer(op: Op, answer: Answer) -> Delivery {
    let transient = |status| Delivery::Object { status, trouble: ObjectTrouble::Transient };
    let permanent = |status| Delivery::Object { status, trouble: ObjectTrouble::Permanent };
    if answer.wrong_cluster {
        return Delivery::Target(TargetTrouble::WrongCluster);
    }
    match (answer.status, answer.retry_after) {
        // These alone say that it has happened.
        (200 | 201, _) => Delivery::Done { already: false },
        (204, _) if op == Op::Delete => Delivery::Done { already: false },
        (409, _) => Delivery::Done { already: true },
        (404, _) if op == Op::Delete => Delivery::Done { already: true },
        (412, _) if op == Op::Write => Delivery::Context,
        (401 | 403, _) => Delivery::Target(TargetTrouble::Auth(answer.status)),
        (408, _) => Delivery::Unknown,
        (429 | 503, Some(retry_after)) => Delivery::Target(TargetTrouble::Busy { retry_after }),
        (502..=504, _) => Delivery::Target(TargetTrouble::Refused),
        (507, _) => Delivery::Target(TargetTrouble::Full),
        // What came through garbled is answered 400 as well: it need not be so the next time.
        (400 | 404 | 412 | 429, _) => transient(answer.status),
        (400..=499 | 501, _) => permanent(answer.status),
        _ => transient(answer.status),
    }
}

impl Delivery {
    /// What it makes of the object's slot, after so many failures before; `draw` as for [`next_try`]. Where contexts are
    /// missing, that is after they were brought in vain.
    #[must_use]
    pub fn settled(self, failures: u16, retry_wait: Duration, draw: u64) -> Settled {
        let wait = |trouble| next_try(trouble, failures.saturating_add(1), retry_wait, draw);
        match self {
            Self::Done { .. } => Settled::Done,
            Self::Context => Settled::Failed { status: 412, wait: wait(ObjectTrouble::Transient) },
            Self::Object { status, trouble } => Settled::Failed { status, wait: wait(trouble) },
            Self::Unreadable => {
                Settled::Failed { status: self.status(), wait: wait(ObjectTrouble::Transient) }
            }
            Self::Target(_) | Self::Unknown => Settled::NotBlamed,
        }
    }

    /// `Feed-<id>-Status` of a SEND whose one attempt ended so: 0 for success, 1 for not processed (SCSP SEND), else a
    /// failure.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Done { .. } => 0,
            Self::Context => 412,
            Self::Object { status, .. } => status,
            Self::Target(trouble) => trouble.status(),
            Self::Unreadable => 500,
            Self::Unknown => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn plain(status: u16) -> Answer {
        Answer { status, retry_after: None, wrong_cluster: false }
    }

    #[test]
    fn each_answer_means_what_it_says() {
        use ObjectTrouble::{Permanent, Transient};
        let object = |status, trouble| Delivery::Object { status, trouble };
        let auth = |status| Delivery::Target(TargetTrouble::Auth(status));
        let (stored, there) = (Delivery::Done { already: false }, Delivery::Done { already: true });
        let refused = Delivery::Target(TargetTrouble::Refused);
        let cases = [
            // Status, what it says of a write, what of a delete, the status that a SEND of the write shows.
            (200, stored, stored, 0),
            (201, stored, stored, 0),
            (202, object(202, Transient), object(202, Transient), 202),
            (204, object(204, Transient), stored, 204),
            (206, object(206, Transient), object(206, Transient), 206),
            (409, there, there, 0),
            (404, object(404, Transient), there, 404),
            (412, Delivery::Context, object(412, Transient), 412),
            (401, auth(401), auth(401), 401),
            (403, auth(403), auth(403), 403),
            (400, object(400, Transient), object(400, Transient), 400),
            (413, object(413, Permanent), object(413, Permanent), 413),
            (431, object(431, Permanent), object(431, Permanent), 431),
            (501, object(501, Permanent), object(501, Permanent), 501),
            (429, object(429, Transient), object(429, Transient), 429),
            (500, object(500, Transient), object(500, Transient), 500),
            (301, object(301, Transient), object(301, Transient), 301),
            (408, Delivery::Unknown, Delivery::Unknown, 1),
            (502, refused, refused, 503),
            (503, refused, refused, 503),
            (504, refused, refused, 503),
            (
                507,
                Delivery::Target(TargetTrouble::Full),
                Delivery::Target(TargetTrouble::Full),
                507,
            ),
        ];
        for (status, write, delete, shown) in cases {
            assert_eq!(of_answer(Op::Write, plain(status)), write, "{status}");
            assert_eq!(of_answer(Op::Delete, plain(status)), delete, "{status}");
            assert_eq!(write.status(), shown, "{status}");
        }
    }

    #[test]
    fn a_target_may_ask_to_be_left_alone_and_another_cluster_is_never_a_missing_bucket() {
        for status in [429, 503] {
            let busy = Answer { retry_after: Some(MINUTE), ..plain(status) };
            let meant = Delivery::Target(TargetTrouble::Busy { retry_after: MINUTE });
            assert_eq!(of_answer(Op::Write, busy), meant);
        }
        let other = Answer { wrong_cluster: true, ..plain(412) };
        let meant = Delivery::Target(TargetTrouble::WrongCluster);
        assert_eq!((of_answer(Op::Write, other), of_answer(Op::Delete, other)), (meant, meant));
    }

    #[test]
    fn an_object_is_blamed_for_what_is_its_own() {
        let of = |delivery: Delivery| delivery.settled(2, MINUTE, 100);
        let failed = |status, secs| Settled::Failed { status, wait: Duration::from_secs(secs) };
        let cases = [
            (Delivery::Done { already: true }, Settled::Done),
            (Delivery::Context, failed(412, 240)),
            (Delivery::Unreadable, failed(500, 240)),
            (of_answer(Op::Write, plain(500)), failed(500, 240)),
            (of_answer(Op::Write, plain(413)), failed(413, 3600)),
            (Delivery::Target(TargetTrouble::Silent), Settled::NotBlamed),
            (Delivery::Target(TargetTrouble::Full), Settled::NotBlamed),
            (Delivery::Unknown, Settled::NotBlamed),
        ];
        for (delivery, settled) in cases {
            assert_eq!(of(delivery), settled, "{delivery:?}");
        }
    }

    proptest! {
        /// Success is claimed for the answers alone that say so, and every failure is shown as one.
        #[test]
        fn nothing_but_success_and_conflict_is_success(status in 100..1000u16, busy: bool, wrong: bool) {
            let answer = Answer { status, retry_after: busy.then_some(MINUTE), wrong_cluster: wrong };
            let write = of_answer(Op::Write, answer);
            let says_so = !wrong && matches!(status, 200 | 201 | 409);
            prop_assert_eq!(matches!(write, Delivery::Done { .. }), says_so);
            prop_assert_eq!(write.status() == 0, says_so);
            prop_assert_eq!(write.settled(0, MINUTE, 0) == Settled::Done, says_so);
        }
    }
}
