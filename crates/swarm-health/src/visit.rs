//! One visit: gather the facts, decide, carry out, look again.
//!
//! Cheap tests and deletions come first, so that no work is spent on what goes anyway; integrity before replication, so
//! that a damaged replica is never counted or copied.

mod planted;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use swarm_env::Bug;
use swarm_plan::health::recovery::Standing;
use swarm_plan::health::visit::{Action, Facts, Newer, Trouble, Why, decide, ended, hints};
use swarm_plan::health::{CopyForm, Place, Subcluster, Survey};
use swarm_plan::membership::VolumeState;
use swarm_policy::{Demand, Lifecycle, Severity, demand, diagnose};
use swarm_store::{Hints, Record, RecordState, Tombstone, Verdict, Volume};
use swarm_types::{NodeId, ObjectKind, ObjectMeta, Stamp, StreamId, Timestamp, VolumeId};

use crate::claims::CLAIM_HOLDS;
use crate::cycle::BEATS;
use crate::service::{DISK_TIMEOUT, Health, lock};
use crate::{Claim, LeaveOutcome, MakeOrder, MakeOutcome, Question, TrimOrder, Whom};

/// How often a visit looks again at what its actions have changed; what is left then waits for the next visit.
const ROUNDS: u32 = 6;
/// How long a visitor that is about to make copies listens for others that are (our choice: a few round trips).
const CLAIM_WAIT: Duration = Duration::from_millis(20);
/// A version that was written a moment ago may still be on its way to its other holders.
const WRITTEN_JUST_NOW: Duration = Duration::from_secs(10);
/// A superseded replica is kept for lookups that may have heard the holders of the newer version before they had it.
const SUPERSEDED_FOR: Duration = Duration::from_secs(60);
/// Slowest verification that does not count as a failure of the disk, bytes per second.
const VERIFY_RATE: u64 = 1 << 20;
/// Versions remembered whose lifepoints were complained about; beyond that some are complained about again.
const COMPLAINED_MAX: usize = 65_536;

/// What a visit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The walk has come by: everything is looked at.
    Walk,
    /// Copies are known to be missing: everybody is asked, and the body is left to the walk.
    Repair,
    /// It was superseded when it was visited last, long enough ago to be erased now.
    Clear,
}

/// What came of a visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Visited {
    /// Something was done.
    pub(crate) acted: bool,
    /// Something is left to be done.
    pub(crate) short: bool,
    /// Everybody who is present was asked about it, and no delete that anybody knows of is left undone here.
    pub(crate) settled: bool,
}

/// What is visited.
struct Subject<'a> {
    volume: &'a Volume,
    state: VolumeState,
    record: &'a Record,
    meta: &'a ObjectMeta,
    mode: Mode,
    wanted: u32,
}

impl Subject<'_> {
    fn id(&self) -> StreamId {
        self.record.id
    }

    fn stamp(&self) -> Stamp {
        self.record.stamp
    }
}

/// What a node knows of a stream without asking anybody.
struct Known {
    /// The volumes that the record names and that are expected back.
    away: BTreeSet<VolumeId>,
    /// Who takes copies, this node included.
    takers: BTreeMap<NodeId, Subcluster>,
}

/// What reading a whole replica came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verified {
    /// Sound.
    Sound,
    /// Its bytes are not those that were written.
    Damaged,
    /// The disk does not give them out.
    Unreadable,
    /// Nothing: the disk does not answer, or the replica has gone meanwhile.
    Nothing,
}

/// What a disk's errors say about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errors {
    /// They count among its errors.
    Count,
    /// Nothing new: what is read is known to be bad.
    Known,
}

/// What one round of actions came to.
enum Round {
    /// Nothing could be done.
    Idle,
    /// Something was done, so the facts have changed.
    Acted,
    /// The replica here is gone, or not ours to care for.
    Over,
    /// It was deleted, and the disk does not take that.
    Undead,
}

impl Health {
    /// Visits what a volume has filed under an id.
    pub(crate) async fn visit(&self, volume: &Volume, id: StreamId, mode: Mode) -> Visited {
        let Some((_, state)) = self.volume(volume.id()) else { return Visited::default() };
        let Some(record) = volume.find(id) else {
            return Visited { settled: true, ..Visited::default() };
        };
        self.count("visits", 1);
        let before = self.actions();
        let visited = match &record.state {
            RecordState::Tombstone(tombstone) => {
                self.visit_tombstone(volume, state, &record, tombstone).await;
                Visited { settled: true, ..Visited::default() }
            }
            RecordState::Live { meta, .. } => {
                self.visit_replica(volume, state, &record, meta, mode).await
            }
        };
        self.doubt(volume, id);
        Visited { acted: self.actions() > before, ..visited }
    }

    /// What the object's lifepoints demand by this node's clock; `None` for a tombstone.
    pub(crate) fn demand(&self, record: &Record) -> Option<Demand> {
        let meta = record.meta()?;
        let written = record.stamp.version.timestamp();
        let (mut lifecycle, _) = Lifecycle::of_headers(&meta.headers, written);
        if self.env().planted(Bug::InheritLifepoint) {
            lifecycle = lifecycle.inheriting();
        }
        let (rules, now) = (&self.settings().rules, self.env().wall());
        let demanded = |kind| demand(kind, &lifecycle, rules, now);
        if self.env().planted(Bug::ContextEnds) && demanded(ObjectKind::Named).has_ended() {
            return Some(Demand::End);
        }
        Some(demanded(meta.kind))
    }

    async fn visit_replica(
        &self,
        volume: &Volume,
        state: VolumeState,
        record: &Record,
        meta: &ObjectMeta,
        mode: Mode,
    ) -> Visited {
        let ended = |short, settled| Visited { acted: false, short, settled };
        let (now, written) = (self.env().wall(), record.stamp.version.timestamp());
        // Either way: what the clock of another node has dated far ahead is not new until ours gets there.
        let apart = now.since(written).max(written.since(now));
        if mode == Mode::Walk && apart < WRITTEN_JUST_NOW {
            return ended(true, true);
        }
        if mode == Mode::Walk
            && self.verify(volume, record, Errors::Count).await == Verified::Nothing
        {
            return ended(true, false);
        }
        self.complain(record, meta);
        let Some(demand) = self.demand(record) else { return ended(false, true) };
        let subject = Subject { volume, state, record, meta, mode, wanted: demand.copies() };
        if demand.has_ended() {
            if self.env().planted(Bug::EndedStays) {
                return ended(false, true);
            }
            let short = self.end_everywhere(&subject).await;
            return ended(short, !short);
        }
        let mut survey = self.first_survey(&subject).await;
        let mut heard = false;
        for _ in 0..ROUNDS {
            heard |= survey.is_complete();
            let Some(now) = volume.find(subject.id()).filter(|now| now.stamp == subject.stamp())
            else {
                return ended(false, heard);
            };
            let known = self.known(&now);
            let facts = self.facts(&subject, &now, &survey, &known);
            let actions = decide(&facts);
            if actions.is_empty() {
                self.refresh_hints(&subject, &now, &facts).await;
                return ended(false, heard);
            }
            if let [Action::AskEverybody(why)] = actions[..] {
                tracing::debug!(node = self.env().name(), stream = %subject.id(), ?why, "everybody is asked");
                survey = self.survey_everybody(&subject).await;
                continue;
            }
            match self.carry_out(&subject, &survey, actions).await {
                Round::Over => return ended(false, heard),
                Round::Undead => return ended(true, false),
                Round::Acted => survey = self.survey_everybody(&subject).await,
                Round::Idle => {
                    self.refresh_hints(&subject, &now, &facts).await;
                    return ended(true, heard);
                }
            }
        }
        ended(true, heard)
    }

    /// Reads the whole body, and marks the replica or takes its mark away by what comes of it.
    pub(crate) async fn verify(
        &self,
        volume: &Volume,
        record: &Record,
        errors: Errors,
    ) -> Verified {
        let (id, stamp) = (record.id, record.stamp);
        let length = record.meta().map_or(0, |meta| meta.length);
        let limit = DISK_TIMEOUT + Duration::from_secs(length / VERIFY_RATE);
        let reading = async {
            match errors {
                Errors::Count => volume.verify(record).await,
                Errors::Known => volume.verify_again(record).await,
            }
        };
        let (verified, bad) = match self.env().timeout(limit, reading).await {
            Ok(Verdict::Whole) => (Verified::Sound, None),
            Ok(Verdict::Gone) => return Verified::Nothing,
            Ok(Verdict::Damaged { blocks, table }) => {
                let why = format!("blocks at {blocks:?} damaged, table damaged: {table}");
                (Verified::Damaged, Some(why))
            }
            Ok(Verdict::Unreadable { at, source }) => {
                (Verified::Unreadable, Some(format!("byte {at} cannot be read: {source}")))
            }
            Err(_) => {
                if errors == Errors::Count {
                    volume.note_slow();
                }
                return Verified::Nothing;
            }
        };
        self.count("bodies verified", 1);
        let quarantined = bad.is_some();
        if quarantined != record.is_quarantined() {
            let marked = volume.set_quarantined(record, quarantined);
            if !matches!(self.env().timeout(DISK_TIMEOUT, marked).await, Ok(Ok(true))) {
                return Verified::Nothing;
            }
            match bad {
                Some(why) => {
                    tracing::error!(node = self.env().name(), stream = %id, volume = %volume.id(), why, "replica quarantined");
                    self.act("replicas quarantined");
                }
                // A disk that failed to read for a while has found its bytes again.
                None => self.act("replicas released"),
            }
        }
        self.home().clear_suspicion(id, stamp);
        verified
    }

    /// Logs what is wrong with an object's lifepoints, once.
    fn complain(&self, record: &Record, meta: &ObjectMeta) {
        if meta.headers.get(swarm_policy::lifepoint::HEADER).is_none() {
            return;
        }
        let written = record.stamp.version.timestamp();
        let complaints = diagnose(meta.kind, &meta.headers, written, &self.settings().rules);
        if complaints.is_empty() {
            return;
        }
        let mut complained = lock(&self.shared.complained);
        if !complained.insert((record.id, record.stamp)) {
            return;
        }
        if complained.len() > COMPLAINED_MAX {
            complained.pop_first();
        }
        drop(complained);
        for found in complaints {
            let (code, stream) = (found.complaint.code(), record.id);
            match found.severity() {
                Severity::Error => {
                    tracing::error!(node = self.env().name(), %stream, code, "{found}");
                }
                Severity::Warning => {
                    tracing::warn!(node = self.env().name(), %stream, code, "{found}");
                }
            }
            self.count("lifepoint complaints", 1);
        }
    }

    /// Whether the walks have not asked everybody about this version yet: of two that were written at the same time on
    /// different nodes neither writer knew the other's, and the holders of the older one would vouch for each other.
    fn is_new(&self, subject: &Subject<'_>) -> bool {
        let written = subject.record.stamp.version.timestamp();
        // Each walk takes its own way: a stream is visited for the first time after two cycles at the latest.
        let walked = self.settings().cycle_time * 2 + self.settings().cycle_time / BEATS;
        subject.meta.kind.is_mutable() && self.env().wall().since(written) < walked
    }

    /// Asks the hinted holders or, without hints, about a new version, by the dice, where copies are known to be missing, and
    /// on a volume that was away, everybody: holders that were away together would vouch for what was deleted meanwhile.
    async fn first_survey(&self, subject: &Subject<'_>) -> Survey {
        let hints = subject.record.hints();
        let percent = u64::from(self.settings().multicast_percent);
        let drawn = self.env().random_below("health-multicast", 100) < percent;
        let may_be_deleted = subject.volume.behind_since().is_some();
        if hints.is_empty()
            || drawn
            || subject.mode != Mode::Walk
            || may_be_deleted
            || self.is_new(subject)
        {
            return self.survey_everybody(subject).await;
        }
        let question =
            Question { id: subject.id(), size: None, whom: Whom::Volumes(hints.to_vec()) };
        let mut survey = self.peers().survey(question.clone()).await;
        survey.add(self.report(&question));
        survey
    }

    async fn survey_everybody(&self, subject: &Subject<'_>) -> Survey {
        self.count("multicasts", 1);
        let size = Some(subject.meta.length);
        let question = Question { id: subject.id(), size, whom: Whom::Everybody };
        let mut survey = self.peers().survey(question.clone()).await;
        survey.everybody = true;
        survey.add(self.report(&question));
        survey
    }

    /// The volumes that a record names and that are expected back: what they hold counts meanwhile.
    fn away(&self, record: &Record) -> BTreeSet<VolumeId> {
        let trusting = self.env().planted(Bug::HintsVouch);
        let is_away = |volume: &VolumeId| {
            let standing = self.peers().standing(*volume);
            standing.is_waited_for(self.uptime()) || (trusting && self.volume(*volume).is_none())
        };
        record.hints().iter().copied().filter(is_away).collect()
    }

    fn known(&self, record: &Record) -> Known {
        let members = self.peers().members().into_iter();
        let mut takers: BTreeMap<NodeId, Subcluster> = members
            .filter(|member| member.takes_copies)
            .map(|member| (member.node, member.subcluster))
            .collect();
        if self.home().takes_copies() {
            takers.insert(self.home().node(), self.home().subcluster());
        }
        Known { away: self.away(record), takers }
    }

    fn facts<'a>(
        &self,
        subject: &Subject<'_>,
        record: &Record,
        survey: &'a Survey,
        known: &'a Known,
    ) -> Facts<'a> {
        Facts {
            id: subject.id(),
            here: self.place(subject.volume),
            stamp: subject.stamp(),
            form: self.copy(subject.volume, subject.state, record).form,
            wanted: subject.wanted.saturating_sub(self.counted_twice(subject.stamp(), survey)),
            survey,
            away: &known.away,
            takers: &known.takers,
        }
    }

    fn place(&self, volume: &Volume) -> Place {
        Place { node: self.home().node(), volume: volume.id() }
    }

    async fn refresh_hints(&self, subject: &Subject<'_>, record: &Record, facts: &Facts<'_>) {
        let before = record.hints();
        let gone = |volume: &VolumeId| self.peers().standing(*volume) != Standing::Present;
        let gone: BTreeSet<VolumeId> = before.iter().copied().filter(gone).collect();
        let known = Hints::new(hints(facts, before, &gone));
        let volumes = known.volumes();
        if volumes.len() == before.len() && volumes.iter().all(|volume| before.contains(volume)) {
            return;
        }
        let set = subject.volume.set_hints(subject.id(), subject.stamp(), known);
        match self.env().timeout(DISK_TIMEOUT, set).await {
            Ok(Ok(_)) => self.count("hints refreshed", 1),
            Ok(Err(error)) => {
                tracing::debug!(node = self.env().name(), stream = %subject.id(), %error, "hints not refreshed");
            }
            Err(_) => subject.volume.note_slow(),
        }
    }

    async fn carry_out(
        &self,
        subject: &Subject<'_>,
        survey: &Survey,
        actions: Vec<Action>,
    ) -> Round {
        let makes: Vec<(NodeId, Why)> = actions
            .iter()
            .filter_map(|action| match action {
                Action::Make { at, why } => Some((*at, *why)),
                _ => None,
            })
            .collect();
        let mut round = Round::Idle;
        self.let_go_first(subject, &makes).await;
        if !makes.is_empty() {
            match self.make_copies(subject, survey, &makes).await {
                Some(made) if made > 0 => round = Round::Acted,
                Some(_) => {}
                None => return Round::Over,
            }
        }
        for action in actions {
            if let Some(round) = self.carry_out_wrongly(subject, &action).await {
                return round;
            }
            match action {
                Action::AskEverybody(_) | Action::Make { .. } => {}
                Action::Tell(trouble) => self.tell(subject, trouble),
                Action::Supersede(newer) => return self.supersede(subject, newer).await,
                Action::DropDamaged { too_few } => {
                    if !too_few || self.is_certainly_bad(subject).await {
                        return self.drop_damaged(subject).await;
                    }
                }
                Action::Trim { victim, wanted, others, why } => {
                    let order = TrimOrder {
                        id: subject.id(),
                        stamp: subject.stamp(),
                        victim: victim.volume,
                        wanted,
                        others,
                    };
                    let here = victim == self.place(subject.volume);
                    tracing::info!(node = self.env().name(), stream = %order.id, victim = %order.victim, ?why, "a copy may go");
                    let outcome = if victim.node == self.home().node() {
                        self.trim_here(order).await
                    } else {
                        self.peers().trim(victim.node, order).await
                    };
                    match outcome {
                        LeaveOutcome::Gone if here => return Round::Over,
                        LeaveOutcome::Gone => {
                            self.act("trims ordered");
                            round = Round::Acted;
                        }
                        LeaveOutcome::Stays | LeaveOutcome::Unknown => {}
                    }
                }
            }
        }
        round
    }

    /// Has copies made, all at once. The number made; `None` where somebody else makes them.
    async fn make_copies(
        &self,
        subject: &Subject<'_>,
        survey: &Survey,
        makes: &[(NodeId, Why)],
    ) -> Option<u32> {
        if !self.claim(subject, survey, makes.len()).await {
            self.count("creations deferred", 1);
            self.visit_later(subject.volume.id(), subject.id(), CLAIM_HOLDS, Mode::Repair);
            return None;
        }
        let order = self.make_order(subject, survey);
        let made = join_all(makes.iter().map(|(at, why)| {
            let order = order.clone();
            async move {
                tracing::info!(node = self.env().name(), stream = %order.id, target = %at, ?why, "a copy is to be made");
                let outcome = if *at == self.home().node() {
                    self.make_here(order).await
                } else {
                    self.peers().make(*at, order).await
                };
                tracing::debug!(node = self.env().name(), stream = %subject.id(), target = %at, ?outcome, "copy ordered");
                matches!(outcome, MakeOutcome::Made(_))
            }
        }));
        let mut number = 0;
        for made in made.await {
            if made {
                self.act("copies made");
                number += 1;
            } else {
                self.count("copies not made", 1);
            }
        }
        Some(number)
    }

    fn make_order(&self, subject: &Subject<'_>, survey: &Survey) -> MakeOrder {
        let here = self.place(subject.volume);
        let mut sources = Vec::new();
        let mut hints = Vec::new();
        for form in [CopyForm::Sound, CopyForm::Retiring, CopyForm::Leaving] {
            let mut places = survey.places(subject.stamp(), form);
            // The one who is here need not be asked for long.
            places.sort_by_key(|place| (*place != here, *place));
            for place in places {
                if form != CopyForm::Leaving {
                    hints.push(place.volume);
                }
                if !sources.contains(&place.node) {
                    sources.push(place.node);
                }
            }
        }
        // The new copy is to count those that are expected back as its maker does, or its holder would make them anew.
        hints.extend(
            self.away(subject.record)
                .into_iter()
                .filter(|volume| !hints.contains(volume))
                .collect::<Vec<_>>(),
        );
        MakeOrder { id: subject.id(), stamp: subject.stamp(), sources, hints }
    }

    /// Tells the other holders who makes the copies. False if somebody else does.
    async fn claim(&self, subject: &Subject<'_>, survey: &Survey, missing: usize) -> bool {
        let (id, stamp) = (subject.id(), subject.stamp());
        if lock(&self.shared.claims).holds(id, stamp, self.env().now()) {
            return false;
        }
        let mut to: BTreeSet<NodeId> = survey
            .copies()
            .into_iter()
            .filter(|(_, copy)| copy.stamp == stamp)
            .map(|(place, _)| place.node)
            .collect();
        to.remove(&self.home().node());
        if to.is_empty() {
            return true;
        }
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        let claim = Claim { id, stamp, visitor: subject.volume.id(), missing };
        self.peers().claim(&to, claim);
        self.env().sleep(CLAIM_WAIT).await;
        !lock(&self.shared.claims).yields(claim, self.env().now())
    }

    fn tell(&self, subject: &Subject<'_>, trouble: Trouble) {
        let stream = subject.id();
        match trouble {
            Trouble::NoneSound => {
                self.count("visits without a sound copy", 1);
                tracing::error!(node = self.env().name(), %stream, "no sound copy answers, the damaged ones are kept");
            }
            Trouble::TooFew { have, wanted } => {
                self.count("visits without room for a copy", 1);
                if self.tells_of_no_room() {
                    tracing::warn!(node = self.env().name(), %stream, have, wanted, "no node can take another copy; others may lack one too");
                }
            }
        }
    }

    async fn supersede(&self, subject: &Subject<'_>, newer: Newer) -> Round {
        let (id, stamp, volume) = (subject.id(), subject.stamp(), subject.volume);
        match newer {
            Newer::Tombstone { stamp, kind, written } => {
                // Where it was is not told; it is what the replica here says of itself.
                let here = self.tombstone_of(subject.meta, stamp, written).await;
                let tombstone = Tombstone { kind, ..here };
                if self.home().bury(id, tombstone).await {
                    tracing::info!(node = self.env().name(), stream = %id, "a delete was missed here");
                    self.act("deletes made up for");
                } else {
                    return Round::Undead;
                }
            }
            Newer::Version(by) => {
                // Counted from when it was first seen here: the clock that the newer version came from may be another.
                if subject.mode != Mode::Clear {
                    self.visit_later(volume.id(), id, SUPERSEDED_FOR, Mode::Clear);
                    self.act("superseded replicas found");
                    return Round::Over;
                }
                match self.env().timeout(DISK_TIMEOUT, volume.remove(id, stamp)).await {
                    Ok(Ok(true)) => {
                        tracing::info!(node = self.env().name(), stream = %id, by = %by.version, "superseded replica erased");
                        self.act("superseded replicas erased");
                    }
                    Ok(_) => {}
                    Err(_) => volume.note_slow(),
                }
            }
        }
        Round::Over
    }

    /// A delete of what has this metadata, with the domain that it is in by now.
    async fn tombstone_of(&self, meta: &ObjectMeta, stamp: Stamp, written: Timestamp) -> Tombstone {
        let domain = match meta.cid {
            Some(parent) => self.home().domain_of(parent).await,
            None => None,
        };
        Tombstone::of(meta, stamp, written).in_domain(domain.as_deref())
    }

    /// Whether the replica's bytes were read, and are wrong.
    async fn is_certainly_bad(&self, subject: &Subject<'_>) -> bool {
        let verified = self.verify(subject.volume, subject.record, Errors::Known).await;
        verified == Verified::Damaged
    }

    async fn drop_damaged(&self, subject: &Subject<'_>) -> Round {
        let (id, stamp, volume) = (subject.id(), subject.stamp(), subject.volume);
        // While this was decided another visit may have put a sound copy in its place, or have read it and found it sound.
        let removed = volume.remove_quarantined(subject.record);
        match self.env().timeout(DISK_TIMEOUT, removed).await {
            Ok(Ok(true)) => {
                tracing::info!(node = self.env().name(), stream = %id, volume = %volume.id(), "damaged replica erased");
                self.act("damaged replicas erased");
                self.home().clear_suspicion(id, stamp);
            }
            Ok(_) => {}
            Err(_) => volume.note_slow(),
        }
        Round::Over
    }

    /// Its lifepoint has ended it: buries it wherever it is. True if that is not complete.
    async fn end_everywhere(&self, subject: &Subject<'_>) -> bool {
        let (id, stamp) = (subject.id(), subject.stamp());
        let survey = self.survey_everybody(subject).await;
        let record = subject.record;
        let known = self.known(record);
        let newer = decide(&self.facts(subject, record, &survey, &known));
        if let [Action::Supersede(newer)] = newer[..] {
            self.supersede(subject, newer).await;
            return false;
        }
        let tombstone = self.tombstone_of(subject.meta, ended(stamp), self.env().wall()).await;
        let holders = survey.reports.values().filter(|report| !report.copies.is_empty());
        let mut others: BTreeSet<NodeId> = holders.map(|report| report.node).collect();
        others.remove(&self.home().node());
        if others.is_empty() {
            // A second node remembers it, in case this one is lost.
            let member = self.peers().members().into_iter().find(|member| member.takes_copies);
            others.extend(member.map(|member| member.node));
        }
        let told = others.len();
        let done = self.peers().bury(others, id, tombstone.clone()).await;
        let here = self.home().bury(id, tombstone).await;
        if here {
            tracing::info!(node = self.env().name(), stream = %id, told, done = done.len(), "ended by its lifepoint");
            self.act("objects ended by lifepoint");
        }
        !here || done.len() < told
    }
}
