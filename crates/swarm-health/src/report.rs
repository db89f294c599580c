//! Answering surveys: what this node holds under an id, from its indexes alone.

use swarm_env::Bug;
use swarm_plan::health::{Copy, CopyForm, Report};
use swarm_plan::membership::VolumeState;
use swarm_store::{Record, RecordState, Tombstone, Volume};

use crate::Question;
use crate::service::{Health, lock};

impl Health {
    /// This node's answer to a survey. Whoever asks counts on a sound copy in it, so every survey must be answered by
    /// this function, at the time at which it is asked.
    #[must_use]
    pub fn report(&self, question: &Question) -> Report {
        let mut copies = Vec::new();
        for (volume, state) in self.home().volumes() {
            if let Some(record) = volume.find(question.id) {
                copies.push(self.copy(&volume, state, &record));
            }
        }
        let newest = copies.iter().map(|copy| copy.stamp).max();
        let has_it = copies.iter().any(|copy| {
            Some(copy.stamp) == newest && matches!(copy.form, CopyForm::Sound | CopyForm::Leaving)
        });
        let cost = question
            .size
            .filter(|_| self.home().takes_copies() && !has_it)
            .and_then(|size| self.home().copy_cost(question.id, size));
        Report { node: self.home().node(), subcluster: self.home().subcluster(), copies, cost }
    }

    /// What one volume has.
    pub(crate) fn copy(&self, volume: &Volume, state: VolumeState, record: &Record) -> Copy {
        let form = match &record.state {
            RecordState::Tombstone(tombstone) => {
                let Tombstone { kind, written, .. } = *tombstone;
                CopyForm::Tombstone { kind, written, leaves: state != VolumeState::Ok }
            }
            RecordState::Live { .. } => self.form(volume, state, record),
        };
        let space = volume.space();
        let taken = u128::from(space.capacity.saturating_sub(space.free)) * 1000;
        let fullness = taken / u128::from(space.capacity.max(1));
        Copy {
            volume: volume.id(),
            stamp: record.stamp,
            form,
            fullness: u16::try_from(fullness).unwrap_or(1000),
        }
    }

    fn form(&self, volume: &Volume, state: VolumeState, record: &Record) -> CopyForm {
        let is_damaged = record.is_quarantined() || self.home().is_suspect(record.id, record.stamp);
        if is_damaged && !self.env().planted(Bug::QuarantinedCounts) {
            return CopyForm::Damaged;
        }
        if lock(&self.shared.leaving).contains(&(volume.id(), record.id)) {
            return CopyForm::Leaving;
        }
        if state == VolumeState::Ok { CopyForm::Sound } else { CopyForm::Retiring }
    }
}
