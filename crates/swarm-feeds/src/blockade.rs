//! Whether a feed may turn to its target now, on one node.
//!
//! A target that takes nothing is no fault of any object: the objects wait, unblamed, while the node looks at the target
//! once in a while, alone. SCSP SEND knows blocked and paused feeds; what leads there is our choice: a target that is silent
//! or refuses counts as blocked after as many failures in a row as `feeds.blockedThreshold` says, spread over ten seconds at
//! least; wrong credentials, a full target, another cluster at the address, or a name without an address count at once.

use std::time::Duration;

use swarm_types::Instant;

use crate::stats::FeedState;

/// Why a target takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetTrouble {
    /// No answer, or no connection, within the time allowed.
    Silent,
    /// Connections are refused or break off, or something between says that there is nobody: 502, 503, 504.
    Refused,
    /// It does not take the credentials: 401 or 403.
    Auth(u16),
    /// It has no room: 507.
    Full,
    /// It asks to be left alone for a while: 429 or 503 with `Retry-After`.
    Busy {
        /// For how long.
        retry_after: Duration,
    },
    /// The address belongs to another cluster.
    WrongCluster,
    /// The name has no address.
    Unresolvable,
    /// It runs a version that cannot do what the feed's mode needs.
    TooOld,
}

impl TargetTrouble {
    /// The code that a SEND gets for an attempt that ended so (our choice: HTTP's).
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Auth(status) => status,
            Self::Full => 507,
            Self::WrongCluster => 412,
            Self::TooOld => 501,
            Self::Silent | Self::Refused | Self::Busy { .. } | Self::Unresolvable => 503,
        }
    }

    /// Whether an administrator has to act, or the world around the target to change.
    const fn is_configuration(self) -> bool {
        matches!(self, Self::WrongCluster | Self::Unresolvable | Self::TooOld)
    }

    /// Whether one failure may be chance.
    const fn may_be_chance(self) -> bool {
        matches!(self, Self::Silent | Self::Refused)
    }
}

/// What is asked of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Who it is, and whether it takes the credentials.
    Greeting,
    /// To delete, which frees room.
    Delete,
    /// To store, which takes room.
    Write,
}

/// Whether to turn to the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// Yes.
    Go,
    /// With a greeting first: it is not known to be in order. Nobody else is told so for a while.
    ProbeFirst,
    /// Not before then.
    Wait(Instant),
}

/// Least time over which failures that may be chance are spread before they count.
const SPREAD: Duration = Duration::from_secs(10);
/// So many times `retryWait` is the wait where an administrator has to act.
const CONFIGURATION_WAITS: u32 = 10;
/// For how long a target counts as overloaded after it last asked to be left alone.
const CALM: Duration = Duration::from_secs(30);
/// Longest wait that a target may ask for.
pub(crate) const BUSY_MAX: Duration = Duration::from_secs(3600);

/// How things stand with the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Never heard of.
    Unknown,
    /// It answers.
    Open,
    /// So many failures in a row, the last one then, which may be chance.
    Doubtful { failures: u32, last: Instant },
    /// It takes nothing, for this reason.
    Shut(TargetTrouble),
}

/// The target of one feed as one node has met it. A changed definition begins with a new one.
#[derive(Debug, Clone)]
pub struct Blockade {
    threshold: u32,
    retry_wait: Duration,
    standing: Standing,
    /// No probe before then.
    next_probe: Instant,
    /// What the target asked for: nothing before then.
    busy_until: Instant,
    /// When it last asked.
    busy_at: Option<Instant>,
}

impl Blockade {
    /// A target that nothing is known of: `feeds.blockedThreshold` and the feed's `retryWait`.
    #[must_use]
    pub const fn new(threshold: u32, retry_wait: Duration) -> Self {
        Self {
            threshold,
            retry_wait,
            standing: Standing::Unknown,
            next_probe: Instant::ZERO,
            busy_until: Instant::ZERO,
            busy_at: None,
        }
    }

    /// Whether to turn to the target. Who is told to probe tells what came of it, by [`Self::failed`] or [`Self::answered`].
    pub fn may(&mut self, kind: Kind, now: Instant) -> Leave {
        if now < self.busy_until {
            return Leave::Wait(self.busy_until);
        }
        match self.standing {
            Standing::Open => Leave::Go,
            Standing::Shut(TargetTrouble::Full) if kind != Kind::Write => Leave::Go,
            _ if now < self.next_probe => Leave::Wait(self.next_probe),
            standing => {
                self.next_probe = now + self.pause(standing);
                // Whether there is room again only a write can tell.
                if standing == Standing::Shut(TargetTrouble::Full) {
                    Leave::Go
                } else {
                    Leave::ProbeFirst
                }
            }
        }
    }

    /// Who was told to go had nothing to ask the target after all: where only a write can tell whether there is room, the next
    /// one may.
    pub fn not_asked(&mut self, now: Instant) {
        if self.standing == Standing::Shut(TargetTrouble::Full) {
            self.next_probe = self.next_probe.min(now);
        }
    }

    /// The target took nothing.
    pub fn failed(&mut self, trouble: TargetTrouble, now: Instant) {
        if let TargetTrouble::Busy { retry_after } = trouble {
            self.busy_until = self.busy_until.max(now + retry_after.min(BUSY_MAX));
            self.busy_at = Some(now);
            return;
        }
        let standing = match self.standing {
            Standing::Unknown | Standing::Open if trouble.may_be_chance() => {
                Standing::Doubtful { failures: 1, last: now }
            }
            // Several transfers that break at once are one failure.
            Standing::Doubtful { last, .. }
                if trouble.may_be_chance() && now < last + self.pace() =>
            {
                return;
            }
            Standing::Doubtful { failures, .. } if trouble.may_be_chance() => {
                Standing::Doubtful { failures: failures + 1, last: now }
            }
            _ => Standing::Shut(trouble),
        };
        self.standing = match standing {
            Standing::Doubtful { failures, .. } if failures >= self.threshold => {
                Standing::Shut(trouble)
            }
            standing => standing,
        };
        self.next_probe = now + self.pause(self.standing);
    }

    /// The target answered, whatever it said of the object. Only a write proves that a full target has room again.
    pub fn answered(&mut self, kind: Kind) {
        if kind == Kind::Write || self.standing != Standing::Shut(TargetTrouble::Full) {
            self.standing = Standing::Open;
            self.next_probe = Instant::ZERO;
        }
    }

    /// The state that this gives the feed: unknown, OK, overloaded, blocked, or a configuration error.
    #[must_use]
    pub fn state(&self, now: Instant) -> FeedState {
        let standing = match self.standing {
            Standing::Unknown => FeedState::Unknown,
            Standing::Open | Standing::Doubtful { .. } => FeedState::Ok,
            Standing::Shut(trouble) if trouble.is_configuration() => FeedState::ConfigError,
            Standing::Shut(_) => FeedState::Blocked,
        };
        let busy = self.busy_at.is_some_and(|at| now < self.busy_until || now < at + CALM);
        if busy { standing.max(FeedState::Overloaded) } else { standing }
    }

    /// Whether the target answered when it was last turned to.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.standing == Standing::Open
    }

    /// Why the target takes nothing, if it does not.
    #[must_use]
    pub const fn reason(&self) -> Option<TargetTrouble> {
        match self.standing {
            Standing::Shut(trouble) => Some(trouble),
            _ => None,
        }
    }

    /// How long to leave the target alone between two looks at it.
    fn pause(&self, standing: Standing) -> Duration {
        match standing {
            Standing::Shut(trouble) if trouble.is_configuration() => {
                self.retry_wait * CONFIGURATION_WAITS
            }
            Standing::Shut(_) => self.retry_wait,
            Standing::Doubtful { .. } => self.pace(),
            Standing::Unknown | Standing::Open => self.retry_wait,
        }
    }

    /// From one failure that may be chance to the next: the last one that counts comes [`SPREAD`] after the first.
    fn pace(&self) -> Duration {
        SPREAD / self.threshold.saturating_sub(1).max(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(secs: u64) -> Instant {
        Instant(secs * 1_000_000_000)
    }

    fn fresh() -> Blockade {
        Blockade::new(3, Duration::from_secs(60))
    }

    /// A target that was in order.
    fn open() -> Blockade {
        let mut blockade = fresh();
        assert_eq!(blockade.may(Kind::Write, at(0)), Leave::ProbeFirst);
        blockade.answered(Kind::Greeting);
        blockade
    }

    const BUSY: TargetTrouble = TargetTrouble::Busy { retry_after: Duration::from_secs(20) };

    #[test]
    fn a_target_is_greeted_before_anything_is_sent() {
        let mut blockade = fresh();
        assert_eq!(blockade.state(at(0)), FeedState::Unknown);
        assert_eq!(blockade.may(Kind::Write, at(0)), Leave::ProbeFirst);
        assert_eq!(blockade.may(Kind::Delete, at(1)), Leave::Wait(at(60)), "one probe at a time");
        blockade.answered(Kind::Greeting);
        assert_eq!(blockade.may(Kind::Write, at(1)), Leave::Go);
        assert_eq!(blockade.state(at(1)), FeedState::Ok);
    }

    /// Failure matrix 1, 2, 3: a target that is down blocks the feed after three failed probes, and work goes on within
    /// `retryWait` of its return.
    #[test]
    fn a_silent_target_blocks_after_three_failures_over_ten_seconds() {
        let mut blockade = open();
        for thread in 0..6 {
            blockade.failed(TargetTrouble::Silent, at(100) + Duration::from_millis(thread));
        }
        assert_eq!(
            blockade.state(at(101)),
            FeedState::Ok,
            "six transfers that break are one failure"
        );
        assert_eq!(blockade.may(Kind::Write, at(101)), Leave::Wait(at(105)));
        assert_eq!(blockade.may(Kind::Write, at(105)), Leave::ProbeFirst);
        blockade.failed(TargetTrouble::Refused, at(105));
        assert_eq!(blockade.may(Kind::Write, at(110)), Leave::ProbeFirst);
        assert_eq!(blockade.state(at(110)), FeedState::Ok);
        blockade.failed(TargetTrouble::Silent, at(110));
        assert_eq!(blockade.state(at(110)), FeedState::Blocked);
        assert_eq!(blockade.reason(), Some(TargetTrouble::Silent));

        assert_eq!(blockade.may(Kind::Write, at(169)), Leave::Wait(at(170)));
        assert_eq!(blockade.may(Kind::Delete, at(170)), Leave::ProbeFirst);
        assert_eq!(blockade.may(Kind::Delete, at(171)), Leave::Wait(at(230)));
        blockade.answered(Kind::Greeting);
        assert_eq!((blockade.may(Kind::Write, at(171)), blockade.reason()), (Leave::Go, None));
    }

    #[test]
    fn an_answer_in_between_begins_the_count_anew() {
        let mut blockade = open();
        for second in [0, 5, 10, 15, 20] {
            blockade.failed(TargetTrouble::Silent, at(second));
            if second % 10 == 5 {
                blockade.answered(Kind::Write);
            }
        }
        assert_eq!(blockade.state(at(20)), FeedState::Ok);
    }

    /// What stands after one failure at 100 s: the state, and what deletes and writes are told at 100 s, at the time of
    /// the next look, and right after that. Rows 1, 8, 9, 11, 17, 36 and 41 of the failure matrix.
    #[test]
    fn each_trouble_blocks_as_it_must() {
        use FeedState::{Blocked, ConfigError, Ok, Overloaded};
        use Leave::{Go, ProbeFirst, Wait};
        let cases = [
            // Trouble, state, delete and write at once, the next look, what a write is told then and a second later.
            (TargetTrouble::Silent, Ok, [Wait(at(105)); 2], 105, ProbeFirst, Wait(at(110))),
            (TargetTrouble::Refused, Ok, [Wait(at(105)); 2], 105, ProbeFirst, Wait(at(110))),
            (TargetTrouble::Auth(401), Blocked, [Wait(at(160)); 2], 160, ProbeFirst, Wait(at(220))),
            (TargetTrouble::Auth(403), Blocked, [Wait(at(160)); 2], 160, ProbeFirst, Wait(at(220))),
            (TargetTrouble::Full, Blocked, [Go, Wait(at(160))], 160, Go, Wait(at(220))),
            (BUSY, Overloaded, [Wait(at(120)); 2], 120, Go, Go),
            (
                TargetTrouble::WrongCluster,
                ConfigError,
                [Wait(at(700)); 2],
                700,
                ProbeFirst,
                Wait(at(1300)),
            ),
            (
                TargetTrouble::Unresolvable,
                ConfigError,
                [Wait(at(700)); 2],
                700,
                ProbeFirst,
                Wait(at(1300)),
            ),
            (
                TargetTrouble::TooOld,
                ConfigError,
                [Wait(at(700)); 2],
                700,
                ProbeFirst,
                Wait(at(1300)),
            ),
        ];
        for (trouble, state, told, then, look, after) in cases {
            let mut blockade = open();
            blockade.failed(trouble, at(100));
            assert_eq!(blockade.state(at(100)), state, "{trouble:?}");
            let at_once = [Kind::Delete, Kind::Write].map(|kind| blockade.may(kind, at(100)));
            assert_eq!(at_once, told, "{trouble:?}");
            assert_eq!(blockade.may(Kind::Write, at(then)), look, "{trouble:?}");
            assert_eq!(blockade.may(Kind::Write, at(then + 1)), after, "{trouble:?}");
        }
    }

    /// Row 17: deletes free the room that writes wait for.
    #[test]
    fn a_full_target_takes_deletes_and_one_write_to_see_whether_there_is_room() {
        let mut blockade = open();
        blockade.failed(TargetTrouble::Full, at(100));
        blockade.answered(Kind::Delete);
        blockade.answered(Kind::Greeting);
        assert_eq!(blockade.state(at(101)), FeedState::Blocked);
        assert_eq!(blockade.may(Kind::Write, at(160)), Leave::Go);
        blockade.failed(TargetTrouble::Full, at(161));
        assert_eq!(blockade.may(Kind::Write, at(219)), Leave::Wait(at(221)));
        assert_eq!(blockade.may(Kind::Write, at(221)), Leave::Go);
        blockade.answered(Kind::Write);
        assert_eq!(blockade.may(Kind::Write, at(222)), Leave::Go);
        assert_eq!(blockade.state(at(222)), FeedState::Ok);
    }

    /// Row 11: a name that has an address again needs no edit. Row 5: silence after that is another reason.
    #[test]
    fn a_configuration_error_ends_without_an_edit_and_may_turn_into_another_trouble() {
        let mut blockade = open();
        blockade.failed(TargetTrouble::Unresolvable, at(0));
        assert_eq!(blockade.may(Kind::Write, at(600)), Leave::ProbeFirst);
        blockade.failed(TargetTrouble::Silent, at(630));
        assert_eq!(blockade.state(at(630)), FeedState::Blocked);
        assert_eq!(blockade.may(Kind::Write, at(1_200)), Leave::ProbeFirst);
        blockade.answered(Kind::Greeting);
        assert_eq!(blockade.state(at(1_200)), FeedState::Ok);
    }

    #[test]
    fn an_overloaded_target_is_calm_after_half_a_minute() {
        let mut blockade = open();
        blockade.failed(BUSY, at(100));
        assert_eq!(blockade.may(Kind::Write, at(121)), Leave::Go);
        assert_eq!(blockade.state(at(129)), FeedState::Overloaded);
        assert_eq!(blockade.state(at(130)), FeedState::Ok);
        let ages = TargetTrouble::Busy { retry_after: Duration::from_secs(1_000_000) };
        blockade.failed(ages, at(200));
        assert_eq!(blockade.may(Kind::Write, at(200)), Leave::Wait(at(3_800)));
    }

    fn trouble() -> impl Strategy<Value = TargetTrouble> {
        prop::sample::select(vec![
            TargetTrouble::Silent,
            TargetTrouble::Refused,
            TargetTrouble::Auth(401),
            TargetTrouble::Full,
            BUSY,
            TargetTrouble::WrongCluster,
            TargetTrouble::Unresolvable,
        ])
    }

    proptest! {
        /// Whatever fails, and however often it is asked: while the feed is blocked, there is at most one probe in
        /// `retryWait`; and who waits as told and is answered goes on.
        #[test]
        fn a_blocked_target_is_looked_at_once_in_a_while(
            troubles in prop::collection::vec((trouble(), 0..30u64), 1..60),
            ask_every in 1..7u64,
        ) {
            let mut blockade = open();
            let (mut now, mut probes): (u64, Vec<u64>) = (0, Vec::new());
            for (trouble, wait) in troubles {
                blockade.failed(trouble, at(now));
                for _ in 0..wait {
                    now += ask_every;
                    let blocked = blockade.reason().is_some();
                    let leave = blockade.may(Kind::Write, at(now));
                    if blocked && !matches!(leave, Leave::Wait(_)) {
                        probes.push(now);
                    }
                    if let Leave::Wait(until) = leave {
                        prop_assert!(until > at(now));
                    }
                }
            }
            prop_assert!(probes.windows(2).all(|two| two[1] - two[0] >= 60), "{probes:?}");
            let told = blockade.may(Kind::Write, at(now));
            let then = if let Leave::Wait(until) = told { until } else { at(now) };
            let then = match blockade.may(Kind::Write, then) {
                Leave::Wait(until) => until,
                _ => then,
            };
            blockade.answered(Kind::Write);
            prop_assert_eq!(blockade.may(Kind::Write, then), Leave::Go);
        }
    }
}
