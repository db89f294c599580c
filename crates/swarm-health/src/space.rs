//! Trapped space: defragmenting a volume when too little of what is not used can be written directly.
//!
//! The share is judged every hour (What is Trapped Space in Swarm?), and where free space runs short every minute and
//! whenever something is stored or refused.

use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use swarm_env::Interval;
use swarm_plan::membership::VolumeState;
use swarm_store::{Space, Volume};

use crate::service::{DISK_TIMEOUT, Health};

/// Parts of ten of what is not used that can be written directly; below that a volume is defragmented.
const FREE_OF_TEN: u64 = 8;
/// How often free space is looked at.
const EVERY: Duration = Duration::from_secs(60);
/// Looks between two at which the share counts although there is room.
const LOOKS: u32 = 60;
/// Parts of a hundred of the capacity below which free space runs short (our choice).
const SHORT_PERCENT: u64 = 20;
/// Bytes moved between two chances for clients.
const STEP: u64 = 4 << 20;

impl Health {
    /// Defragments when it is due, for ever.
    pub(crate) async fn defragment_for_ever(self) {
        let mut looks = self.env().background("health-space", EVERY);
        for look in 1u32.. {
            self.until_next_look(&mut looks).await;
            self.look_at_space(look.is_multiple_of(LOOKS)).await;
        }
    }

    /// Waits for the next look. Where room runs short meanwhile, space is freed at once: clients may fill a small volume
    /// from there in seconds.
    async fn until_next_look(&self, looks: &mut Interval) {
        let mut tick = pin!(looks.tick());
        loop {
            let short = pin!(self.home().short_of_room().notified());
            match select(tick.as_mut(), short).await {
                Either::Left(_) => return,
                Either::Right(_) if self.look_at_space(false).await => {}
                // Trying again at every write would gain no more.
                Either::Right(_) => return tick.await,
            }
        }
    }

    /// Defragments the volumes for which it is time; false if one of them could not be helped.
    async fn look_at_space(&self, hourly: bool) -> bool {
        let mut helped = true;
        if self.home().may_walk() {
            for (volume, state) in self.home().volumes() {
                if state == VolumeState::Ok && is_due(hourly, volume.space()) {
                    self.defragment(&volume).await;
                    helped &= !is_trapped(volume.space());
                }
            }
        }
        helped
    }

    async fn defragment(&self, volume: &Volume) {
        while is_trapped(volume.space()) {
            self.let_clients_go_first().await;
            // As long as a step may take on the slowest disk that still counts as working.
            let step = match self.env().timeout(2 * DISK_TIMEOUT, volume.defragment(STEP)).await {
                Ok(Ok(step)) => step,
                Ok(Err(error)) => {
                    tracing::warn!(node = self.env().name(), volume = %volume.id(), %error, "not defragmented");
                    return;
                }
                Err(_) => return volume.note_slow(),
            };
            self.count("bytes moved by defragmentation", step.moved);
            for (id, _) in step.damaged {
                self.suspect(volume.id(), id);
            }
            if step.done || step.freed == 0 && step.moved == 0 {
                return;
            }
        }
    }
}

/// Whether a volume with this space is to be defragmented now, an hour after the last time that all were judged or before.
fn is_due(hourly: bool, space: Space) -> bool {
    (hourly || is_short(space)) && is_trapped(space)
}

/// Whether too little of what is not used can be written directly. It is defragmented until that is no longer so.
fn is_trapped(space: Space) -> bool {
    space.free.saturating_mul(10)
        < space.free.saturating_add(space.trapped).saturating_mul(FREE_OF_TEN)
}

/// Whether new streams may soon find no room: then the health processor is to be told ([`crate::Home::short_of_room`]).
#[must_use]
pub fn is_short(space: Space) -> bool {
    space.free < space.capacity / 100 * SHORT_PERCENT
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURLY: bool = true;
    const BETWEEN: bool = false;

    fn space(capacity: u64, free: u64, trapped: u64) -> Space {
        Space { capacity, used: capacity - free - trapped, free, trapped, ..Space::default() }
    }

    /// What is Trapped Space in Swarm?: the share is judged every hour, and restored where it is below 0.8.
    #[test]
    fn space_is_freed_when_too_much_of_it_is_trapped() {
        for (hourly, space, due) in [
            // 0.85, 0.75, and the 0.8 at which it ends.
            (HOURLY, space(1000, 340, 60), false),
            (HOURLY, space(1000, 300, 100), true),
            (HOURLY, space(1000, 319, 81), true),
            (HOURLY, space(1000, 320, 80), false),
            // Between two hours only where free space runs short: below a fifth of the capacity.
            (BETWEEN, space(1000, 300, 100), false),
            (BETWEEN, space(1000, 200, 800), false),
            (BETWEEN, space(1000, 199, 801), true),
            (BETWEEN, space(1000, 199, 50), true),
            (BETWEEN, space(1000, 199, 49), false),
            (HOURLY, space(1000, 199, 49), false),
            // Nothing can be gained.
            (HOURLY, space(1000, 1000, 0), false),
            (BETWEEN, space(1000, 0, 0), false),
            (BETWEEN, space(1000, 0, 1), true),
            (HOURLY, space(0, 0, 0), false),
            // An exbibyte overflows nothing.
            (HOURLY, space(1 << 60, 1 << 59, 1 << 58), true),
        ] {
            assert_eq!(is_due(hourly, space), due, "{space:?}, hourly: {hourly}");
        }
    }
}
