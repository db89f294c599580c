//! What is shown of feeds: `Feed-<id>-Status` and `Feed-<id>-StatusTime`, the same in SEND and in a verbose HEAD or GET
//! (SCSP SEND), and which of them stand before the body of a SEND's answer and which behind it.

use std::collections::{BTreeMap, BTreeSet};

use swarm_feeds::{Shown, Verdict};
use swarm_types::{FeedId, Timestamp, httpdate};

use crate::codec::FieldBlock;

/// What some feeds have come to with an object; those that do not select it are not in it.
pub(crate) type Report = BTreeMap<FeedId, Shown>;

/// What is shown of a feed that has not processed an object: a time-out, with a blank time (SCSP SEND).
pub(super) const NOT_YET: Shown = Shown { status: 1, at: None };

/// Adds the fields of a report, feed by feed.
pub(crate) fn push_report(report: &Report, block: &mut FieldBlock) {
    for (feed, shown) in report {
        block.push_fmt(&status_field(*feed), format_args!("{}", shown.status));
        let at = shown.at.map(httpdate::format).unwrap_or_default();
        block.push(&time_field(*feed), at);
    }
}

fn status_field(feed: FeedId) -> String {
    format!("Feed-{feed}-Status")
}

fn time_field(feed: FeedId) -> String {
    format!("Feed-{feed}-StatusTime")
}

/// How far a SEND has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// Feeds that were done with the object before: told in the head of the answer.
    pub(crate) before: Report,
    /// Feeds that have come to something since: told at the end, all at once.
    pub(crate) behind: Report,
    /// Feeds that are waited for.
    pub(crate) waiting: BTreeSet<FeedId>,
    /// What was done before does not count.
    forced: bool,
}

impl Progress {
    /// What is to be done for these feeds, of which this is known. What is forced is done again.
    pub(crate) fn new(selected: &[FeedId], known: &Report, force: bool) -> Self {
        let mut progress = Self { forced: force, ..Self::default() };
        for feed in selected {
            match known.get(feed) {
                Some(shown) if shown.status == 0 && !force => {
                    progress.before.insert(*feed, *shown);
                }
                _ => {
                    progress.waiting.insert(*feed);
                }
            }
        }
        progress
    }

    /// What the feeds knew when the order came, and what was known of them before. Success belongs into the head: the request
    /// did not bring it about.
    pub(crate) fn learn_at_once(
        &mut self,
        done: Vec<(FeedId, Verdict)>,
        known: &Report,
        now: Timestamp,
    ) {
        for (feed, verdict) in done {
            match verdict {
                Verdict::Paused => self.give_up_on(feed, Some(known), now),
                Verdict::Shown(shown) if shown.status == 0 => {
                    self.waiting.remove(&feed);
                    self.before.insert(feed, shown);
                }
                _ => self.learn(feed, verdict, now),
            }
        }
    }

    /// What came of the object at one feed.
    pub(crate) fn learn(&mut self, feed: FeedId, verdict: Verdict, now: Timestamp) {
        self.waiting.remove(&feed);
        let shown = match verdict {
            Verdict::Shown(shown) => Some(shown),
            Verdict::Paused | Verdict::NotHere => Some(NOT_YET),
            // What has no time of its own is told now.
            other => other.status().map(|status| Shown { status, at: Some(now) }),
        };
        if let Some(shown) = shown {
            self.behind.insert(feed, shown);
        }
    }

    /// Waits no more.
    pub(crate) fn give_up(&mut self, known: Option<&Report>, now: Timestamp) {
        for feed in self.waiting.clone() {
            self.give_up_on(feed, known, now);
        }
    }

    /// Waits no more for one feed. What is still not known is told as a HEAD would tell it now (SCSP SEND: the same value): it
    /// may have been tried before, and else is a time-out; nothing of a feed that does not select it. `known` is none where the
    /// object is gone.
    pub(crate) fn give_up_on(&mut self, feed: FeedId, known: Option<&Report>, now: Timestamp) {
        let Some(known) = known else { return self.learn(feed, Verdict::StreamGone, now) };
        self.waiting.remove(&feed);
        if let Some(shown) = known.get(&feed) {
            self.behind.insert(feed, if self.forced { NOT_YET } else { *shown });
        }
    }

    /// The value of `Trailer`: all that may come behind the body.
    pub(crate) fn announced(&self) -> String {
        let feeds: BTreeSet<FeedId> =
            self.waiting.iter().chain(self.behind.keys()).copied().collect();
        let names = feeds.into_iter().flat_map(|feed| [status_field(feed), time_field(feed)]);
        names.collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thu, 14 Mar 2024 08:31:10 GMT.
    const AT: Timestamp = Timestamp::from_secs(1_710_405_070);

    const DONE: Shown = Shown { status: 0, at: Some(AT) };

    fn ids(ids: &[u32]) -> Vec<FeedId> {
        ids.iter().copied().map(FeedId).collect()
    }

    fn lines(report: &Report) -> String {
        let mut block = FieldBlock::new();
        push_report(report, &mut block);
        String::from_utf8(block.as_text().to_vec()).expect("ASCII")
    }

    /// SCSP SEND: success and failure with their time; a time-out has a blank one, since nothing was processed.
    #[test]
    fn a_time_out_has_no_time() {
        let report = Report::from([
            (FeedId(3), NOT_YET),
            (FeedId(1), DONE),
            (FeedId(10), Shown { status: 503, at: Some(AT) }),
        ]);
        let expected = "Feed-1-Status: 0\r\n\
                        Feed-1-StatusTime: Thu, 14 Mar 2024 08:31:10 GMT\r\n\
                        Feed-3-Status: 1\r\n\
                        Feed-3-StatusTime: \r\n\
                        Feed-10-Status: 503\r\n\
                        Feed-10-StatusTime: Thu, 14 Mar 2024 08:31:10 GMT\r\n";
        assert_eq!(lines(&report), expected);
    }

    /// SCSP SEND: what was successful before goes into the head; any other status comes behind the body.
    #[test]
    fn what_was_done_before_stands_in_the_head() {
        let failed = Shown { status: 503, at: Some(AT) };
        let known = Report::from([(FeedId(0), DONE), (FeedId(1), failed), (FeedId(7), DONE)]);
        let mut progress = Progress::new(&ids(&[0, 1, 2]), &known, false);
        assert_eq!(progress.before, Report::from([(FeedId(0), DONE)]), "7 was not asked for");
        assert_eq!(progress.waiting, ids(&[1, 2]).into_iter().collect());
        let announced = "Feed-1-Status, Feed-1-StatusTime, Feed-2-Status, Feed-2-StatusTime";
        assert_eq!(progress.announced(), announced);
        // Meanwhile another replica has done it.
        progress.learn_at_once(vec![(FeedId(1), Verdict::Shown(DONE))], &known, AT);
        assert_eq!(progress.before.len(), 2);
        assert_eq!(progress.announced(), "Feed-2-Status, Feed-2-StatusTime");
        progress.learn(FeedId(2), Verdict::Shown(DONE), AT);
        assert_eq!((progress.behind.len(), progress.waiting.len()), (1, 0));

        let forced = Progress::new(&ids(&[0]), &known, true);
        assert_eq!((forced.before.len(), forced.waiting.len()), (0, 1), "it is done again");
    }

    /// SCSP SEND: a feed that does not match has no fields; what fails without an answer of the target's has a code too.
    #[test]
    fn every_verdict_is_success_failure_or_nothing() {
        for (verdict, status) in [
            (Verdict::Shown(DONE), Some(0)),
            (Verdict::OutOfScope, None),
            (Verdict::FeedGone, Some(410)),
            (Verdict::StreamGone, Some(404)),
        ] {
            let mut progress = Progress::new(&ids(&[1]), &Report::new(), false);
            progress.learn(FeedId(1), verdict, AT);
            let shown = progress.behind.get(&FeedId(1));
            assert_eq!(shown.map(|shown| shown.status), status, "{verdict:?}");
            assert_eq!(shown.and_then(|shown| shown.at), status.map(|_| AT), "{verdict:?}");
            assert!(progress.waiting.is_empty() && progress.before.is_empty());
        }
    }

    /// SCSP SEND: "The same value as a verbose HEAD/GET request."
    #[test]
    fn who_gives_up_tells_what_a_head_tells() {
        let failed = Shown { status: 503, at: Some(AT) };
        let mut progress = Progress::new(&ids(&[1, 2]), &Report::new(), false);
        let known = Report::from([(FeedId(1), NOT_YET), (FeedId(2), failed), (FeedId(3), DONE)]);
        progress.give_up(Some(&known), AT);
        assert_eq!(progress.behind, Report::from([(FeedId(1), NOT_YET), (FeedId(2), failed)]));
        assert!(progress.waiting.is_empty());

        // What was done before a forced one does not count; and who waits for no paused feed is told the same at once.
        let known = Report::from([(FeedId(1), DONE), (FeedId(2), failed)]);
        let mut forced = Progress::new(&ids(&[1, 2]), &known, true);
        forced.give_up(Some(&known), AT);
        assert_eq!(forced.behind, Report::from([(FeedId(1), NOT_YET), (FeedId(2), NOT_YET)]));
        let mut paused = Progress::new(&ids(&[1, 2]), &known, false);
        paused.learn_at_once(vec![(FeedId(2), Verdict::Paused)], &known, AT);
        assert_eq!(paused.behind, Report::from([(FeedId(2), failed)]));
        paused = Progress::new(&ids(&[1, 2]), &Report::new(), false);
        paused.learn(FeedId(1), Verdict::Paused, AT);
        assert_eq!(paused.behind, Report::from([(FeedId(1), NOT_YET)]));
        // What has left this node has not left the cluster.
        let mut elsewhere = Progress::new(&ids(&[1]), &Report::new(), false);
        elsewhere.learn_at_once(vec![(FeedId(1), Verdict::NotHere)], &Report::new(), AT);
        assert_eq!(elsewhere.behind, Report::from([(FeedId(1), NOT_YET)]));
    }

    /// SCSP SEND: "If there is no matching feed, there are no feed status headers." A HEAD leaves such a feed out. What was
    /// deleted meanwhile is a failure.
    #[test]
    fn who_gives_up_says_nothing_of_a_feed_that_does_not_match() {
        let mut progress = Progress::new(&ids(&[1, 2]), &Report::new(), false);
        progress.give_up(Some(&Report::from([(FeedId(2), NOT_YET)])), AT);
        assert_eq!(progress.behind, Report::from([(FeedId(2), NOT_YET)]));
        let mut gone = Progress::new(&ids(&[1]), &Report::new(), false);
        gone.give_up(None, AT);
        let deleted = Shown { status: 404, at: Some(AT) };
        assert_eq!((gone.behind, gone.waiting.len()), (Report::from([(FeedId(1), deleted)]), 0));
    }

    /// Nothing is left to be done: nothing is announced.
    #[test]
    fn without_feeds_there_is_nothing_to_tell() {
        let progress = Progress::new(&[], &Report::new(), false);
        assert_eq!((progress.announced(), lines(&progress.behind)), (String::new(), String::new()));
    }
}
