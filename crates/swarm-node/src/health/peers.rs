//! What the health processor asks of other nodes, as messages: surveys, orders, announcements. Nothing is asked without a
//! time-out, and whoever waits hears only answers to what it asked itself.

use std::collections::BTreeSet;
use std::time::Duration;

use swarm_env::BoxFuture;
use swarm_health::{
    Claim, FetchError, Incoming, LeaveOutcome, MakeOrder, MakeOutcome, Member, Peers, Question,
    Recovery, TrimOrder, Whom,
};
use swarm_plan::health::recovery::{Sighting, Standing, standing};
use swarm_plan::health::{Report, Survey};
use swarm_plan::lookup::{Course, Step, next_step};
use swarm_plan::membership::VolumeState;
use swarm_store::Tombstone;
use swarm_types::{NodeId, Stamp, StreamId, VolumeId};

use crate::members::Expectation;
use crate::pending::Waiting;
use crate::wire::{BuryWire, Message, TombstoneWire};
use crate::{Node, WeakNode};

use super::wire::{DoneWith, HealthMessage, MakeWire, SurveyWire, TrimWire};

/// How long an order waits for a word about it before it is repeated.
const ORDER_WAIT: Duration = Duration::from_millis(500);
/// How long a node may be silent about an order to make a copy: ten tries. While it makes the copy it says so.
const MAKE_SILENCE: Duration = Duration::from_secs(5);
/// How long making a copy may take, whatever its node says.
const MAKE_MAX: Duration = Duration::from_secs(600);
/// How long a node may be silent about an order to leave: four tries.
const TRIM_SILENCE: Duration = Duration::from_secs(2);
/// How long leaving may take: a survey, and a commit of a disk in trouble.
const TRIM_MAX: Duration = Duration::from_secs(60);

/// What comes back from another node's health processor.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The answer to a survey.
    Report(Report),
    /// The answer to an order.
    Done {
        /// Who answers.
        by: NodeId,
        /// What became of it.
        with: DoneWith,
    },
}

/// The other nodes, as this node's health processor sees them. It does not keep the node alive.
pub(super) struct OtherNodes {
    node: WeakNode,
}

impl OtherNodes {
    pub(super) const fn new(node: WeakNode) -> Self {
        Self { node }
    }
}

impl Peers for OtherNodes {
    fn members(&self) -> Vec<Member> {
        self.node.upgrade().map(|node| node.open_members()).unwrap_or_default()
    }

    fn standing(&self, volume: VolumeId) -> Standing {
        self.node.upgrade().map_or(Standing::Unknown, |node| node.standing(volume))
    }

    fn lost(&self) -> Vec<VolumeId> {
        self.node.upgrade().map(|node| node.lost_volumes()).unwrap_or_default()
    }

    fn survey(&self, question: Question) -> BoxFuture<'_, Survey> {
        Box::pin(async move {
            match self.node.upgrade() {
                Some(node) => node.survey(&question).await,
                None => Survey::default(),
            }
        })
    }

    fn fetch(
        &self,
        from: NodeId,
        id: StreamId,
        stamp: Stamp,
    ) -> BoxFuture<'_, Result<Incoming, FetchError>> {
        Box::pin(async move {
            match self.node.upgrade() {
                Some(node) => node.fetch(from, id, stamp).await,
                None => Err(FetchError::Unreachable),
            }
        })
    }

    fn make(&self, at: NodeId, order: MakeOrder) -> BoxFuture<'_, MakeOutcome> {
        Box::pin(async move {
            let Some(node) = self.node.upgrade() else { return MakeOutcome::Unknown };
            let message = |request| HealthMessage::Make(MakeWire::new(request, &order));
            let patience = Patience { silence: MAKE_SILENCE, whole: MAKE_MAX };
            let done = node.errand(at, message, patience).await;
            done.and_then(DoneWith::made).unwrap_or(MakeOutcome::Unknown)
        })
    }

    fn trim(&self, at: NodeId, order: TrimOrder) -> BoxFuture<'_, LeaveOutcome> {
        Box::pin(async move {
            let Some(node) = self.node.upgrade() else { return LeaveOutcome::Unknown };
            let message = |request| HealthMessage::Trim(TrimWire::new(request, &order));
            let patience = Patience { silence: TRIM_SILENCE, whole: TRIM_MAX };
            let done = node.errand(at, message, patience).await;
            done.and_then(DoneWith::left).unwrap_or(LeaveOutcome::Unknown)
        })
    }

    fn bury(
        &self,
        at: BTreeSet<NodeId>,
        id: StreamId,
        tombstone: Tombstone,
    ) -> BoxFuture<'_, BTreeSet<NodeId>> {
        Box::pin(async move {
            let Some(node) = self.node.upgrade() else { return BTreeSet::new() };
            let wire = TombstoneWire::told_again(&tombstone);
            let order = |request| {
                let tombstone = wire.clone();
                Message::Bury(BuryWire { request, id: *id.as_bytes(), tombstone })
            };
            node.order(&at, order).await
        })
    }

    fn claim(&self, to: &BTreeSet<NodeId>, claim: Claim) {
        if let Some(node) = self.node.upgrade() {
            let message = Message::Health(HealthMessage::Claim(claim.into()));
            to.iter().for_each(|to| node.inner.send(*to, &message));
        }
    }

    fn announce(&self, recovery: Recovery) {
        if let Some(node) = self.node.upgrade() {
            let message = Message::Health(HealthMessage::Recover(recovery.into()));
            node.inner.multicast(&message);
        }
    }
}

/// How long an order is waited for.
#[derive(Clone, Copy)]
struct Patience {
    /// Without a word about it.
    silence: Duration,
    /// In all.
    whole: Duration,
}

impl Node {
    /// The members that are present and open.
    fn open_members(&self) -> Vec<Member> {
        let inner = &self.inner;
        let member = |(node, state): (NodeId, swarm_plan::membership::NodeState)| {
            let (subcluster, has_room) =
                inner.members.directory().of(node).unwrap_or_else(|| ("".into(), false));
            let takes_copies = has_room && state.admission().replicas;
            Member { node, subcluster, takes_copies }
        };
        inner.members.open(inner.present()).into_iter().map(member).collect()
    }

    /// What a volume counts as. One of this node's own is there whatever others have said of it.
    fn standing(&self, volume: VolumeId) -> Standing {
        if self.inner.volumes.mounted().iter().any(|own| own.id() == volume) {
            return Standing::Present;
        }
        match self.inner.members.directory().find(volume) {
            Some((by, listed)) => self.standing_there(by, listed),
            None => Standing::Unknown,
        }
    }

    fn standing_there(&self, node: NodeId, listed: Option<VolumeState>) -> Standing {
        let inner = &self.inner;
        let Some(member) = inner.members.sight(node, inner.present()) else {
            return Standing::Unknown;
        };
        let sighting = Sighting {
            announced: member.announced,
            mounting: member.is_learning,
            silence: member.silence,
            listed,
        };
        standing(sighting, inner.settings().recovery)
    }

    fn lost_volumes(&self) -> Vec<VolumeId> {
        let doubtful = self.doubtful_volumes().into_iter();
        doubtful.filter_map(|(id, standing)| (standing == Standing::Lost).then_some(id)).collect()
    }

    /// Whether a volume of any other node is not there and expected back: what is on it nobody can say.
    pub(crate) fn expects_volumes(&self) -> bool {
        self.doubtful_volumes().iter().any(|(_, standing)| *standing == Standing::Away)
    }

    /// The volumes that are not there, or of which nobody says so now, and what they count as.
    fn doubtful_volumes(&self) -> Vec<(VolumeId, Standing)> {
        let members = &self.inner.members;
        let nodes = members.in_doubt(self.inner.present());
        let doubtful = members.directory().in_doubt(&nodes);
        if doubtful.is_empty() {
            return Vec::new();
        }
        let own = self.inner.volumes.mounted();
        let doubtful = doubtful.into_iter();
        doubtful
            .filter(|(volume, ..)| own.iter().all(|own| own.id() != *volume))
            .map(|(volume, by, listed)| (volume, self.standing_there(by, listed)))
            .collect()
    }

    /// Who is asked: those whose answers are waited for, and those that have a moment only.
    fn addressees(&self, whom: &Whom) -> Expectation {
        let inner = &self.inner;
        let mut all = inner.members.expectation(inner.present());
        let named: BTreeSet<NodeId> = match whom {
            Whom::Everybody => return all,
            Whom::Nodes(nodes) => nodes.clone(),
            Whom::Volumes(volumes) => {
                let directory = inner.members.directory();
                volumes.iter().filter_map(|volume| Some(directory.find(*volume)?.0)).collect()
            }
        };
        all.present.retain(|node| named.contains(node));
        all.missing.retain(|node| named.contains(node));
        all
    }

    /// Asks other nodes what they hold under an id.
    async fn survey(&self, question: &Question) -> Survey {
        let inner = &self.inner;
        let everybody = question.whom == Whom::Everybody;
        let mut survey = Survey { everybody, ..Survey::default() };
        let Expectation { present, missing } = self.addressees(&question.whom);
        if present.is_empty() && missing.is_empty() && !everybody {
            return survey;
        }
        let mut waiting = Waiting::new(&inner.health.pending, self.env());
        let wire = SurveyWire::new(waiting.request, question);
        let message = Message::Health(HealthMessage::Survey(wire));
        let ask = |nodes: &mut dyn Iterator<Item = &NodeId>| {
            nodes.for_each(|node| inner.send(*node, &message));
        };
        let (mut attempt, mut began) = (1, self.env().now());
        if everybody {
            inner.multicast(&message);
        } else {
            ask(&mut present.iter());
        }
        ask(&mut missing.iter());
        loop {
            let silent = |nodes: &BTreeSet<NodeId>, survey: &Survey| {
                nodes.iter().filter(|node| !survey.reports.contains_key(node)).count()
            };
            let course = Course {
                silent: silent(&present, &survey),
                missing: silent(&missing, &survey),
                attempt,
                elapsed: self.env().now().since(began),
                multiplier_permille: inner.settings().query_retry_multiplier_permille,
            };
            match next_step(course) {
                Step::Conclude => break,
                Step::Listen(until) => {
                    let rest = until.saturating_sub(course.elapsed);
                    if let Ok(Some(Heard::Report(report))) =
                        self.env().timeout(rest, waiting.answers.recv()).await
                    {
                        survey.add(report);
                    }
                }
                Step::AskAgain => {
                    (attempt, began) = (attempt + 1, self.env().now());
                    if everybody {
                        inner.multicast(&message);
                    }
                    // Multicast may be broken where unicast still works.
                    ask(&mut present.iter().filter(|node| !survey.reports.contains_key(node)));
                }
            }
        }
        let unheard = present.into_iter().filter(|node| !survey.reports.contains_key(node));
        survey.silent = unheard.collect();
        survey
    }

    /// Gives one node an order until it says what became of it; `None` where it is silent about it, or takes too long.
    async fn errand(
        &self,
        at: NodeId,
        message: impl Fn(u64) -> HealthMessage,
        patience: Patience,
    ) -> Option<DoneWith> {
        let mut waiting = Waiting::new(&self.inner.health.pending, self.env());
        let message = Message::Health(message(waiting.request));
        let began = self.env().now();
        let mut heard = began;
        while self.env().now().since(heard) < patience.silence
            && self.env().now().since(began) < patience.whole
        {
            self.inner.send(at, &message);
            let until = self.env().now() + ORDER_WAIT;
            loop {
                let rest = until.since(self.env().now());
                match self.env().timeout(rest, waiting.answers.recv()).await {
                    Ok(Some(Heard::Done { by, with: DoneWith::UnderWay })) if by == at => {
                        heard = self.env().now();
                    }
                    Ok(Some(Heard::Done { by, with })) if by == at => return Some(with),
                    Ok(_) => {}
                    Err(_) => break,
                }
            }
        }
        None
    }
}
