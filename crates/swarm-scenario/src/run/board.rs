//! The events of a run: what has happened first at which time, and who waits for it.
//!
//! Everything here runs on the harness' own host, so that a wake never crosses hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use swarm_types::Instant;
use tokio::sync::Notify;

use super::lock;
use crate::language::model::Event;

#[derive(Debug, Default)]
pub(crate) struct Board {
    wanted: BTreeSet<Event>,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    fired: BTreeMap<Event, Instant>,
    /// Steps and workloads that are under way, those waiting here left out.
    acting: usize,
    /// How many of them wait for what.
    waiting: BTreeMap<Event, usize>,
    closed: bool,
}

impl Board {
    pub(crate) fn new(wanted: BTreeSet<Event>) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// True if somebody may wait for it; counting the others would be in vain.
    pub(crate) fn wants(&self, event: &Event) -> bool {
        self.wanted.contains(event)
    }

    /// Everything that somebody may wait for.
    pub(crate) fn wanted(&self) -> impl Iterator<Item = &Event> {
        self.wanted.iter()
    }

    /// Notes that it has happened; only the first time counts.
    pub(crate) fn fire(&self, event: Event, at: Instant) {
        {
            let mut state = lock(&self.state);
            // Whoever waited acts from now on, even if its turn comes later.
            state.acting += state.waiting.remove(&event).unwrap_or(0);
            state.fired.entry(event).or_insert(at);
        }
        self.changed.notify_waiters();
    }

    /// When it happened, if it has.
    pub(crate) fn when(&self, event: &Event) -> Option<Instant> {
        lock(&self.state).fired.get(event).copied()
    }

    /// So many steps and workloads set out.
    pub(crate) fn set_out(&self, actors: usize) {
        lock(&self.state).acting += actors;
    }

    /// One of them is done. When the last one is, nothing happens any more.
    pub(crate) fn is_done(&self) {
        let mut state = lock(&self.state);
        state.acting = state.acting.saturating_sub(1);
        self.close_if_idle(state);
    }

    /// Waits as a step or workload until it has happened; `None` if it never will, because all others wait too.
    pub(crate) async fn act_after(&self, event: &Event) -> Option<Instant> {
        {
            let mut state = lock(&self.state);
            if let Some(at) = state.fired.get(event) {
                return Some(*at);
            }
            *state.waiting.entry(event.clone()).or_insert(0) += 1;
            state.acting = state.acting.saturating_sub(1);
            self.close_if_idle(state);
        }
        let at = self.wait(event).await;
        if at.is_none() {
            // The board was closed; this one goes on to its end.
            lock(&self.state).acting += 1;
        }
        at
    }

    /// Waits as an onlooker until it has happened; `None` if it never will.
    pub(crate) async fn wait(&self, event: &Event) -> Option<Instant> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no notification is missed.
            changed.as_mut().enable();
            {
                let state = lock(&self.state);
                if let Some(at) = state.fired.get(event) {
                    return Some(*at);
                }
                if state.closed {
                    return None;
                }
            }
            changed.await;
        }
    }

    fn close_if_idle(&self, mut state: MutexGuard<'_, State>) {
        if state.acting == 0 {
            state.closed = true;
            drop(state);
            self.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn an_event_that_can_never_come_is_not_waited_for() {
        let board = Board::default();
        board.set_out(2);
        let event = Event::Starts("a".to_owned());
        let mut waiting = std::pin::pin!(board.act_after(&event));
        assert_eq!(poll(waiting.as_mut()), Poll::Pending);
        board.is_done();
        assert_eq!(poll(waiting.as_mut()), Poll::Ready(None));
    }

    #[test]
    fn whoever_was_told_acts_before_its_turn_comes() {
        let board = Board::default();
        board.set_out(2);
        let (first, second) = (Event::Starts("a".to_owned()), Event::Starts("b".to_owned()));
        let mut waiting = std::pin::pin!(board.act_after(&first));
        assert_eq!(poll(waiting.as_mut()), Poll::Pending);
        board.fire(first.clone(), Instant(7));
        board.is_done();
        let mut other = std::pin::pin!(board.wait(&second));
        assert_eq!(poll(other.as_mut()), Poll::Pending, "the one that was told may still cause it");
        assert_eq!(poll(waiting.as_mut()), Poll::Ready(Some(Instant(7))));
        board.is_done();
        assert_eq!(poll(other.as_mut()), Poll::Ready(None));
    }
}
