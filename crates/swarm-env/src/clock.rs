//! Time: one monotonic clock per world, one wall clock per node.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use swarm_types::{Instant, Timestamp};

use crate::Env;

/// A pending sleep. `Sync` too, because hyper asks for it.
pub type Sleep = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// The clock of one node.
pub trait Clock: Send + Sync {
    /// Nanoseconds since the world began; the same on every node, never backwards.
    fn now(&self) -> Instant;

    /// The node's own idea of UTC, with its skew and drift; it may step either way.
    fn wall(&self) -> Timestamp;

    /// Completes at that instant or, if it has passed, at the next poll.
    fn sleep_until(&self, at: Instant) -> Sleep;

    /// Time as a background interval of `period` counts it: slower while a scenario skips a quiet stretch, by as much as
    /// the interval is stretched there; else as fast as [`Clock::now`], behind which it stays by what was skipped.
    fn background_now(&self, period: Duration) -> Instant {
        let _ = period;
        self.now()
    }

    /// Completes when [`Clock::background_now`] of this period has come to `due`.
    fn background_until(&self, period: Duration, due: Instant) -> Sleep {
        let _ = period;
        self.sleep_until(due)
    }
}

/// A time-out ran out before the future completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("timed out")]
pub struct Elapsed;

impl Env {
    /// Nanoseconds since the world began.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.parts.clock.now()
    }

    /// The node's own idea of UTC.
    #[must_use]
    pub fn wall(&self) -> Timestamp {
        self.parts.clock.wall()
    }

    /// Completes after `duration`.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.now() + duration)
    }

    /// Completes at that instant.
    pub fn sleep_until(&self, at: Instant) -> Sleep {
        self.parts.clock.sleep_until(at)
    }

    /// Drives `future` for at most `limit`; it is asked before the clock is, and dropped when time is up.
    ///
    /// # Errors
    /// [`Elapsed`] when time was up first.
    pub async fn timeout<F: Future>(
        &self,
        limit: Duration,
        future: F,
    ) -> Result<F::Output, Elapsed> {
        let mut future = std::pin::pin!(future);
        let mut sleep = self.sleep(limit);
        std::future::poll_fn(|cx: &mut Context<'_>| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            sleep.as_mut().poll(cx).map(|()| Err(Elapsed))
        })
        .await
    }

    /// Time as a background interval of `period` counts it. Whoever watches for the beats of such an interval compares two
    /// readings of this clock instead of [`Env::now`]: then its patience stretches with the interval that it watches.
    #[must_use]
    pub fn background_now(&self, period: Duration) -> Instant {
        self.parts.clock.background_now(period)
    }

    /// An interval for background work, whose period may stretch while a scenario skips a quiet stretch. The first tick
    /// comes one period from now; a late tick delays the ones behind it.
    #[must_use]
    pub fn background(&self, name: &'static str, period: Duration) -> Interval {
        Interval { clock: Arc::clone(&self.parts.clock), name, period }
    }
}

/// See [`Env::background`].
pub struct Interval {
    clock: Arc<dyn Clock>,
    name: &'static str,
    period: Duration,
}

impl Interval {
    /// What the interval paces.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Completes one period from now.
    pub async fn tick(&mut self) {
        let due = self.clock.background_now(self.period) + self.period;
        self.clock.background_until(self.period, due).await;
    }
}
