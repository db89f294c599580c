//! Real time.

use std::sync::Arc;
use std::time::Duration;

use swarm_types::{Instant, Timestamp};

use super::HostState;
use crate::{Clock, Sleep};

/// A sleep that the platform cannot count to ends after this long instead: nobody waits for it.
const FOREVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

pub(super) struct LiveClock {
    host: Arc<HostState>,
}

impl LiveClock {
    pub(super) fn new(host: Arc<HostState>) -> Self {
        Self { host }
    }
}

impl Clock for LiveClock {
    fn now(&self) -> Instant {
        self.host.world.now()
    }

    fn wall(&self) -> Timestamp {
        self.host.wall()
    }

    fn sleep_until(&self, at: Instant) -> Sleep {
        let world = &self.host.world;
        let until = at.since(Instant::ZERO).min(world.origin.elapsed() + FOREVER);
        // tokio's timers look for their runtime when they are made, and this may be any thread.
        let _entered = world.runtime.enter();
        Box::pin(tokio::time::sleep_until((world.origin + until).into()))
    }
}
