//! What planted bugs make of a visit. Nothing here happens unless a run chose one of them.

use std::collections::BTreeSet;

use swarm_env::Bug;
use swarm_plan::health::visit::{Action, Newer, Trouble, Why};
use swarm_plan::health::{CopyForm, Survey};
use swarm_types::{NodeId, Stamp};

use super::{Round, Subject};
use crate::service::{Health, lock};

impl Health {
    /// What a planted bug does in place of an action; `None` where none does.
    pub(super) async fn carry_out_wrongly(
        &self,
        subject: &Subject<'_>,
        action: &Action,
    ) -> Option<Round> {
        let planted = |bug| self.env().planted(bug);
        match action {
            Action::Tell(Trouble::NoneSound) if planted(Bug::EraseLastSuspect) => {
                let here = subject.volume.find(subject.id());
                if !here.is_some_and(|here| here.is_quarantined()) {
                    return None;
                }
                Some(self.drop_damaged(subject).await)
            }
            Action::Trim { why: Why::Surplus, .. } if planted(Bug::SurplusStays) => {
                Some(Round::Idle)
            }
            Action::Trim { why: Why::Surplus, .. } if planted(Bug::TrimOnOldAnswer) => {
                self.let_go_later(subject);
                Some(Round::Idle)
            }
            Action::Supersede(Newer::Tombstone { .. }) if planted(Bug::DeleteNotMadeUpFor) => {
                Some(Round::Over)
            }
            Action::Supersede(Newer::Version(_)) if planted(Bug::SupersededStays) => {
                Some(Round::Over)
            }
            _ => None,
        }
    }

    /// [`Bug::RetireBeforeCopied`]
    pub(super) async fn let_go_first(&self, subject: &Subject<'_>, makes: &[(NodeId, Why)]) {
        let moves = makes.iter().any(|(_, why)| *why == Why::Retiring);
        if moves && self.env().planted(Bug::RetireBeforeCopied) {
            let gone = subject.volume.remove(subject.id(), subject.stamp()).await;
            if let Err(error) = gone {
                tracing::warn!(stream = %subject.id(), %error, "copy not let go");
            }
        }
    }

    /// [`Bug::TrimOnOldAnswer`]
    fn let_go_later(&self, subject: &Subject<'_>) {
        let (id, stamp, volume) = (subject.id(), subject.stamp(), subject.volume.clone());
        let (env, wait) = (self.env().clone(), self.settings().cycle_time / 2);
        let going = async move {
            env.sleep(wait).await;
            if let Err(error) = volume.remove(id, stamp).await {
                tracing::warn!(stream = %id, %error, "copy not let go");
            }
        };
        drop(self.env().spawn("health-trim", going));
    }

    /// How many copies [`Bug::CountReturningTwice`] and [`Bug::TwoOnOneNode`] count too much.
    pub(crate) fn counted_twice(&self, stamp: Stamp, survey: &Survey) -> u32 {
        let mut twice = 0;
        if self.env().planted(Bug::CountReturningTwice) {
            let sound = survey.places(stamp, CopyForm::Sound);
            let recoveries = lock(&self.shared.recoveries);
            twice += sound.iter().filter(|place| recoveries.has_returned(place.volume)).count();
        }
        if self.env().planted(Bug::TwoOnOneNode) {
            let sound = survey.places(stamp, CopyForm::Sound);
            let nodes: BTreeSet<NodeId> = sound.iter().map(|place| place.node).collect();
            twice += sound.len() - nodes.len();
        }
        u32::try_from(twice).unwrap_or(u32::MAX)
    }
}
