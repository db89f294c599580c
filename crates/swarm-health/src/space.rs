//! Trapped space: defragmenting a volume when too little of what is not used can be written directly.
//!
//! The share is judged every hour (What is Trapped Space in Swarm?), and where free space runs short every minute.

use std::time::Duration;

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
            looks.tick().await;
            if !self.home().may_walk() {
                continue;
            }
            for (volume, state) in self.home().volumes() {
                let space = volume.space();
                let due = look % LOOKS == 0 || is_short(space);
                if state == VolumeState::Ok && due && is_trapped(space) {
                    self.defragment(&volume).await;
                }
            }
        }
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

/// Whether too little of what is not used can be written directly.
fn is_trapped(space: Space) -> bool {
    space.free.saturating_mul(10)
        < space.free.saturating_add(space.trapped).saturating_mul(FREE_OF_TEN)
}

/// Whether new streams may soon find no room.
fn is_short(space: Space) -> bool {
    space.free < space.capacity / 100 * SHORT_PERCENT
}
