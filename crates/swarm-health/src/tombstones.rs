//! Visits to tombstones: when a delete need not be remembered any more.

use std::collections::BTreeSet;
use std::time::Duration;

use swarm_env::Bug;
use swarm_plan::health::{CopyForm, Survey};
use swarm_plan::membership::VolumeState;
use swarm_store::{Record, Tombstone, Volume};
use swarm_types::{NodeId, Stamp};

use crate::service::{DISK_TIMEOUT, Health};
use crate::{Question, Whom};

/// Nodes that must remember a delete before a retiring volume forgets it.
const REMEMBERED_BY: usize = 2;

impl Health {
    /// How long a delete is remembered: longer than a volume may be away, with room for clocks that disagree.
    fn tombstones_last(&self) -> Duration {
        let mut obsolete = self.settings().obsolete_timeout;
        if self.env().planted(Bug::ForgetDeletesEarly) {
            obsolete /= 1000;
        }
        obsolete + obsolete / 8
    }

    pub(crate) async fn visit_tombstone(
        &self,
        volume: &Volume,
        state: VolumeState,
        record: &Record,
        tombstone: &Tombstone,
    ) {
        let is_old = self.env().wall().since(tombstone.written) > self.tombstones_last();
        let leaves = state == VolumeState::Retiring;
        if !is_old && !leaves {
            return;
        }
        let question = Question { id: record.id, size: None, whom: Whom::Everybody };
        let mut survey = self.peers().survey(question.clone()).await;
        survey.everybody = true;
        survey.add(self.report(&question));
        if survey.newest() > Some(record.stamp) {
            // What is newer says all that this one could.
            return self.forget(volume, record).await;
        }
        // Somebody who missed the delete is told before it is forgotten.
        let mut missed = behind(&survey, record.stamp);
        if !missed.is_empty() {
            // On another volume of this node, too.
            let missed_here = missed.remove(&self.home().node());
            // Feeds begin with the one that is here.
            let copy = Tombstone { first: false, ..tombstone.clone() };
            let here = missed_here && self.home().bury(record.id, copy.clone()).await;
            let told = self.peers().bury(missed, record.id, copy).await;
            if here || !told.is_empty() {
                self.act("deletes made up for");
            }
            return;
        }
        if is_old && survey.is_complete() && !self.home().holds_back(record.id, tombstone) {
            return self.forget(volume, record).await;
        }
        if leaves {
            self.hand_on(volume, record, tombstone, survey, &question).await;
        }
    }

    /// What a volume that is being emptied remembers is remembered elsewhere before it forgets: also an old delete that a feed
    /// still needs.
    async fn hand_on(
        &self,
        volume: &Volume,
        record: &Record,
        tombstone: &Tombstone,
        mut survey: Survey,
        question: &Question,
    ) {
        let mut remember = keepers(&survey, record.stamp);
        let spare = self.peers().members().into_iter().filter(|member| member.takes_copies);
        let spare: Vec<NodeId> =
            spare.map(|member| member.node).filter(|node| !remember.contains(node)).collect();
        let lacking = REMEMBERED_BY.saturating_sub(remember.len());
        let asked: BTreeSet<NodeId> = spare.into_iter().take(lacking).collect();
        if !asked.is_empty() {
            remember.extend(self.peers().bury(asked, record.id, tombstone.clone()).await);
        }
        // Where others are too few, another volume of this node is as good as another node.
        let is_here = remember.contains(&self.home().node());
        if remember.len() < REMEMBERED_BY
            && !is_here
            && self.home().bury(record.id, tombstone.clone()).await
        {
            survey.add(self.report(question));
            remember.extend(keepers(&survey, record.stamp));
        }
        if remember.len() >= REMEMBERED_BY {
            self.forget(volume, record).await;
        }
    }

    async fn forget(&self, volume: &Volume, record: &Record) {
        let forgotten = volume.forget(record.id, record.stamp);
        match self.env().timeout(DISK_TIMEOUT, forgotten).await {
            Ok(Ok(true)) => self.act("tombstones dropped"),
            Ok(_) => {}
            Err(_) => volume.note_slow(),
        }
    }
}

/// Nodes with a replica that is older than the delete.
fn behind(survey: &Survey, delete: Stamp) -> BTreeSet<NodeId> {
    let copies = survey.copies().into_iter();
    copies
        .filter(|(_, copy)| copy.stamp < delete && !matches!(copy.form, CopyForm::Tombstone { .. }))
        .map(|(place, _)| place.node)
        .collect()
}

/// Nodes that remember the delete, and go on doing so: two volumes that are emptied at once may not count on each other.
fn keepers(survey: &Survey, delete: Stamp) -> BTreeSet<NodeId> {
    let copies = survey.copies().into_iter();
    copies
        .filter(|(_, copy)| {
            copy.stamp >= delete && !matches!(copy.form, CopyForm::Tombstone { leaves: true, .. })
        })
        .map(|(place, _)| place.node)
        .collect()
}
