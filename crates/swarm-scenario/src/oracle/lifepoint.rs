//! What a write's lifepoints demand, as its writer meant them: values, not text.
//!
//! Judges lifepoints from Lifepoint Metadata Headers alone and shares no code with the nodes' evaluator. An [`Intent`] is
//! what the ledger remembers of a write; every question to it names the instant.

use swarm_types::Timestamp;

use crate::language::lifepoint::{Copies, Lifepoint, Says};

/// The lifepoints of one write.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Intent {
    /// In the order in which they come into force.
    lifepoints: Vec<(Option<Timestamp>, Says)>,
    /// The header values that were sent, in order.
    sent: Vec<String>,
    /// They went out in headers that a step of the file wrote as it pleased: what they demand is not judged.
    unclear: bool,
}

/// Whether clients may delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locked {
    /// Not at any time in question.
    Never,
    /// At some of the time, or nobody knows.
    Perhaps,
    /// All the time.
    Always,
}

impl Intent {
    /// The lifepoints of a workload, for a write at this time.
    pub(crate) fn of(lifepoints: &[Lifepoint], written: Timestamp) -> Self {
        Self {
            lifepoints: lifepoints
                .iter()
                .map(|lifepoint| (lifepoint.end(written), lifepoint.says))
                .collect(),
            sent: lifepoints.iter().map(|lifepoint| lifepoint.header(written)).collect(),
            unclear: false,
        }
    }

    /// Header values that a file wrote as it pleased. They must come back as they were sent, and no more is judged.
    pub(crate) fn unclear(sent: Vec<String>) -> Self {
        Self { lifepoints: Vec::new(), sent, unclear: true }
    }

    /// The header values that were sent.
    pub(crate) fn sent(&self) -> &[String] {
        &self.sent
    }

    /// True if its lifepoints may end the object, nobody knows when.
    pub(crate) const fn may_end_at_any_time(&self) -> bool {
        self.unclear
    }

    /// From when on the object has ended; `None` if it never does.
    pub(crate) fn ends_at(&self) -> Option<Timestamp> {
        let [before @ .., (None, Says { delete: true, .. })] = &self.lifepoints[..] else {
            return None;
        };
        let last = before.last().and_then(|(end, _)| *end);
        Some(last.unwrap_or(Timestamp(i64::MIN)))
    }

    /// Whether clients may delete the object at the instants from `from` to `to`, both included.
    pub(crate) fn locked(&self, from: Timestamp, to: Timestamp) -> Locked {
        if self.unclear {
            return Locked::Perhaps;
        }
        let forbids = |says: Says| says.deletable == Some(false);
        let mut begins = Timestamp(i64::MIN);
        let (mut locked, mut free) = (false, false);
        for (end, says) in self.lifepoints.iter().copied().chain([(None, Says::default())]) {
            if begins <= to && end.is_none_or(|end| from < end) {
                locked |= forbids(says);
                free |= !forbids(says);
            }
            match end {
                Some(end) => begins = end,
                None => break,
            }
        }
        match (locked, free) {
            (true, false) => Locked::Always,
            (true, true) => Locked::Perhaps,
            (false, _) => Locked::Never,
        }
    }

    /// The copies that it asks for at this instant; `None` where it leaves them to the policy, or nobody knows.
    pub(crate) fn copies(&self, now: Timestamp) -> Option<Copies> {
        let in_force = self.lifepoints.iter().find(|(end, _)| end.is_none_or(|end| now < end));
        in_force.and_then(|(_, says)| says.copies)
    }

    /// What [`Self::copies`] said at any instant up to this one.
    pub(crate) fn copies_until(&self, until: Timestamp) -> Vec<Option<Copies>> {
        let begins = self
            .lifepoints
            .iter()
            .map(|(end, _)| *end)
            .take_while(|end| end.is_some_and(|end| end <= until));
        [Timestamp(i64::MIN)]
            .into_iter()
            .chain(begins.flatten())
            .map(|at| self.copies(at))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn intent(texts: &[&str]) -> Intent {
        let read = |text: &&str| Lifepoint::read(text).expect("a lifepoint of the test's");
        Intent::of(&texts.iter().map(read).collect::<Vec<_>>(), at(1_000))
    }

    #[test]
    fn what_was_sent_is_remembered_as_text_too() {
        let two = intent(&["[+60s] reps=3, deletable=no", "[] delete"]);
        assert_eq!(
            two.sent(),
            ["[Thu, 01 Jan 1970 00:17:40 GMT] reps=3, deletable=no", "[] delete"]
        );
    }

    #[test]
    fn an_object_ends_when_an_open_delete_comes_into_force() {
        assert_eq!(intent(&["[+60s] reps=3", "[] delete"]).ends_at(), Some(at(1_060)));
        assert_eq!(intent(&["[] delete"]).ends_at(), Some(Timestamp(i64::MIN)));
        assert_eq!(intent(&["[+60s] reps=3"]).ends_at(), None);
        assert_eq!(intent(&["[+60s] reps=3", "[] reps=2"]).ends_at(), None);
        assert_eq!(intent(&[]).ends_at(), None);
    }

    #[test]
    fn deletable_no_holds_in_its_own_window_only() {
        let middle = intent(&["[+60s] reps=3", "[+120s] deletable=no", "[] reps=2"]);
        let locked = |from, to| middle.locked(at(from), at(to));
        assert_eq!(locked(1_000, 1_059), Locked::Never);
        assert_eq!(locked(1_059, 1_060), Locked::Perhaps);
        assert_eq!(locked(1_060, 1_119), Locked::Always);
        assert_eq!(locked(1_119, 1_120), Locked::Perhaps);
        assert_eq!(locked(1_120, 9_999), Locked::Never);
        assert_eq!(locked(0, 9_999), Locked::Perhaps);
        let dated = intent(&["[+60s] deletable=no"]);
        assert_eq!(dated.locked(at(0), at(1_059)), Locked::Always);
        assert_eq!(dated.locked(at(1_060), at(1_060)), Locked::Never);
        assert_eq!(intent(&["[] deletable=no"]).locked(at(0), at(9_999)), Locked::Always);
        assert_eq!(intent(&[]).locked(at(0), at(9_999)), Locked::Never);
    }

    #[test]
    fn copies_are_never_inherited() {
        let three = intent(&["[+60s] reps=3", "[+120s] deletable=no", "[] reps=5:2"]);
        assert_eq!(three.copies(at(1_059)), Some(Copies::Whole(3)));
        assert_eq!(three.copies(at(1_060)), None);
        assert_eq!(three.copies(at(1_120)), Some(Copies::Coded { k: 5, p: 2 }));
        assert_eq!(intent(&["[+60s] reps=3"]).copies(at(1_060)), None);
    }

    #[test]
    fn what_was_ever_asked_for_is_known_up_to_an_instant() {
        let three = intent(&["[+60s] reps=3", "[+120s] deletable=no", "[] reps=1"]);
        assert_eq!(three.copies_until(at(1_059)), [Some(Copies::Whole(3))]);
        assert_eq!(three.copies_until(at(1_060)), [Some(Copies::Whole(3)), None]);
        let all = [Some(Copies::Whole(3)), None, Some(Copies::Whole(1))];
        assert_eq!(three.copies_until(at(9_999)), all);
        assert_eq!(
            intent(&["[+60s] reps=3"]).copies_until(at(2_000)),
            [Some(Copies::Whole(3)), None]
        );
        assert_eq!(intent(&[]).copies_until(at(0)), [None]);
    }

    #[test]
    fn of_text_that_a_step_wrote_nothing_is_demanded() {
        let unclear = Intent::unclear(vec!["[] reps=many".to_owned()]);
        assert!(unclear.may_end_at_any_time());
        assert_eq!(unclear.locked(at(0), at(1)), Locked::Perhaps);
        assert_eq!((unclear.ends_at(), unclear.copies(at(0))), (None, None));
    }

    proptest! {
        /// A window is locked always or never exactly if each of its seconds is.
        #[test]
        fn a_window_is_judged_second_by_second(
            windows in prop::collection::vec((1..5u64, prop::option::of(prop::bool::ANY)), 0..4),
            open in prop::option::of(prop::bool::ANY),
            from in 990..1_020i64,
            length in 0..12i64,
        ) {
            let mut after = 0;
            let mut texts: Vec<String> = Vec::new();
            let says = |deletable: Option<bool>| match deletable {
                None => "reps=2",
                Some(true) => "deletable=yes",
                Some(false) => "deletable=no",
            };
            for (lasts, deletable) in windows {
                after += lasts;
                texts.push(format!("[+{after}s] {}", says(deletable)));
            }
            texts.extend(open.map(|deletable| format!("[] {}", says(Some(deletable)))));
            let intent = intent(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            let seconds: Vec<Locked> = (from..=from + length).map(|second| intent.locked(at(second), at(second))).collect();
            prop_assert!(!seconds.contains(&Locked::Perhaps));
            let expected = if seconds.iter().all(|second| *second == seconds[0]) { seconds[0] } else { Locked::Perhaps };
            prop_assert_eq!(intent.locked(at(from), at(from + length)), expected);
        }
    }
}
