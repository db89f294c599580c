//! The body of a SEND's answer: a line end now and then while feeds work, at the end what came of it, twice: as text for
//! clients that cannot read trailers, and as trailers (SCSP SEND).

use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use swarm_env::{BoxFuture, Env};
use swarm_feeds::{Feeds, Rest, Verdict, Whereabouts};
use swarm_node::Node;
use swarm_types::{FeedId, Instant, Stamp, StreamId};
use tokio::sync::OwnedSemaphorePermit;

use super::report::{NOT_YET, Progress, Report, push_report};
use crate::codec::{BodySource, Broken, FieldBlock};

/// Shows that it is being worked on.
pub(crate) const KEEP_ALIVE: &[u8] = b"\n";

/// How long the other holders may take to say what they know; also when time is up, so that the answer is not later than that.
pub(crate) const LOOK: Duration = Duration::from_millis(500);

/// How long a SEND goes on waiting when its node is to stop. What is under way may end by then; nothing new begins (our choice).
const GOES_ON_FOR: Duration = Duration::from_secs(10);

/// How often a SEND looks whether its node is to stop.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Holds up a graceful stop of the node as long as somebody is to be answered, which is bounded.
pub(crate) struct Vigil {
    node: Node,
    stops_since: Option<Instant>,
    _hold: Box<dyn Send>,
}

impl Vigil {
    pub(crate) fn new(node: &Node) -> Self {
        Self { node: node.clone(), stops_since: None, _hold: node.hold() }
    }

    /// Whether not to wait any more.
    pub(crate) fn is_over(&mut self) -> bool {
        let now = self.node.env().now();
        if !self.node.is_stopping() {
            return false;
        }
        now >= *self.stops_since.get_or_insert(now) + GOES_ON_FOR
    }

    /// Waits for something until then. `None` when it is time, or the vigil is over.
    pub(crate) async fn wait<F>(&mut self, until: Instant, mut what: F) -> Option<F::Output>
    where
        F: Future + Unpin,
    {
        loop {
            let now = self.node.env().now();
            if now >= until || self.is_over() {
                return None;
            }
            let look = until.min(now + LOOK_EVERY);
            if let Ok(done) = self.node.env().timeout(look.since(now), &mut what).await {
                return Some(done);
            }
        }
    }
}

/// What is sent, and who can tell how it stands.
pub(crate) struct Watch {
    pub(crate) feeds: Feeds,
    pub(crate) id: StreamId,
    pub(crate) stamp: Stamp,
}

impl Watch {
    /// What a HEAD shows, as far as the other holders say it in time.
    pub(crate) async fn report(&self, env: &Env, limit: Duration) -> Report {
        let everywhere = self.feeds.status_everywhere(self.id, self.stamp);
        match env.timeout(limit.min(LOOK), everywhere).await {
            Ok(report) => report,
            Err(_) => self.feeds.status(self.id, self.stamp),
        }
    }

    /// What a HEAD would show of the feeds that are waited for; none where the object was deleted. Of what has left this node the
    /// feeds here know nothing, but it is no less there for that.
    async fn look(&self, env: &Env, waiting: &BTreeSet<FeedId>) -> Option<Report> {
        let report = self.report(env, LOOK).await;
        match self.feeds.whereabouts(self.id, self.stamp) {
            Whereabouts::Here => Some(report),
            Whereabouts::Deleted => None,
            Whereabouts::NotHere => Some(waiting.iter().map(|feed| (*feed, NOT_YET)).collect()),
        }
    }
}

/// How long to wait, and how to show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Patience {
    /// When to give up; never, if there is none.
    pub(crate) until: Option<Instant>,
    /// From one sign of life to the next.
    pub(crate) keep_alive: Duration,
}

/// The body and its trailers.
pub(crate) struct SendBody {
    env: Env,
    watch: Watch,
    progress: Progress,
    rest: Rest,
    patience: Patience,
    vigil: Vigil,
    told: bool,
    _place: OwnedSemaphorePermit,
}

impl SendBody {
    pub(crate) fn new(
        env: Env,
        watch: Watch,
        progress: Progress,
        rest: Rest,
        patience: Patience,
        (vigil, place): (Vigil, OwnedSemaphorePermit),
    ) -> Self {
        Self { env, watch, progress, rest, patience, vigil, told: false, _place: place }
    }

    /// Waits for verdicts until it is time for a sign of life. True when there is nothing more to wait for.
    async fn wait(&mut self) -> bool {
        let beat = self.env.now() + self.patience.keep_alive;
        while !self.progress.waiting.is_empty() {
            let until = self.patience.until.map_or(beat, |until| until.min(beat));
            let heard = self.vigil.wait(until, pin!(self.rest.next())).await;
            match heard {
                Some(Some((feed, Verdict::Paused))) => {
                    let known = self.watch.look(&self.env, &self.progress.waiting).await;
                    self.progress.give_up_on(feed, known.as_ref(), self.env.wall());
                }
                Some(Some((feed, verdict))) => {
                    self.progress.learn(feed, verdict, self.env.wall());
                }
                None if !self.is_to_give_up() => return false,
                // Time is up, or nobody is left who could tell.
                Some(None) | None => {
                    let known = self.watch.look(&self.env, &self.progress.waiting).await;
                    self.progress.give_up(known.as_ref(), self.env.wall());
                }
            }
        }
        true
    }

    fn is_to_give_up(&mut self) -> bool {
        self.patience.until.is_some_and(|until| self.env.now() >= until) || self.vigil.is_over()
    }

    fn lines(&self) -> FieldBlock {
        let mut block = FieldBlock::new();
        push_report(&self.progress.behind, &mut block);
        block
    }
}

impl BodySource for SendBody {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Broken>> {
        Box::pin(async {
            if self.told {
                return Ok(None);
            }
            if !self.wait().await {
                return Ok(Some(Bytes::from_static(KEEP_ALIVE)));
            }
            self.told = true;
            let lines = self.lines();
            // An empty piece says nothing, and the body ends.
            Ok(Some(Bytes::copy_from_slice(lines.as_text())))
        })
    }

    fn trailers(&mut self) -> FieldBlock {
        self.lines()
    }
}
