//! One piece of work from its beginning to its end: look, judge, ask, carry, note.

use std::sync::Arc;
use std::time::Duration;

use swarm_env::{Bug, Point};
use swarm_plan::feeds::{Settled, Turn, failures};
use swarm_types::{FeedMark, FeedOutcome, FeedSlot, Instant, StreamId, Timestamp};

use crate::backoff::{ObjectTrouble, next_try, time_left};
use crate::blockade::Kind;
use crate::definition::Mode;
use crate::evaluate::{Belongs, Selected};
use crate::home::{Filed, What};
use crate::lanes::{Load, Work};
use crate::peers::{Brought, FoundContext};
use crate::result::Delivery;
use crate::send::{Shown, Verdict, urgent};
use crate::service::{Feeds, Look, State};
use crate::table::Feed;
use crate::target::{FeedTarget, InMemory, Manner, Parcel, Shipment};
use crate::wire::{Deletion, Identity, Place};

/// How long to wait for a context that another transfer is bringing, and how often to look.
const PUSHED_BY_ANOTHER: (u32, Duration) = (600, Duration::from_millis(50));

/// What is shown of an object whose transfers break off (our choice).
const CUT_OFF: u16 = 504;

/// A context is carried at once: others wait for it.
pub(crate) const AT_ONCE: Manner = Manner { probe: false, at_once: true };

/// A piece of work.
pub(crate) struct Job {
    pub(crate) feed: Arc<Feed>,
    pub(crate) mark: FeedMark,
    pub(crate) target: Arc<dyn FeedTarget>,
    pub(crate) work: Work,
    /// Failures noted before then do not count: the definition was changed since.
    pub(crate) edited: Timestamp,
    /// Whether the target often has what it is given, so that it pays to ask.
    pub(crate) ask_before: bool,
    /// Whether a SEND waits for it.
    pub(crate) send: bool,
    /// Whether it is to be sent whatever is known: a SEND has said so, which may have gone.
    pub(crate) forced: bool,
    /// The target is not known to be in order: it is greeted first.
    pub(crate) greet: bool,
}

/// How a piece of work ended.
#[derive(Debug)]
enum Ended {
    /// The stream is not here any more.
    Vanished,
    /// There was nothing to do: this had come of it.
    Known(FeedSlot),
    /// It is not to be done before then.
    Later(Instant),
    /// Another holder has done it.
    Adopted(FeedSlot),
    /// It was decided without the target.
    Settled(Settled),
    /// Its domain or bucket is gone: nobody can say whether it is selected.
    NoContext,
    /// This came of it.
    Delivered(Delivery),
}

impl Ended {
    /// Whether the target has said something of the object: then it is known again what became of it.
    const fn is_answer(&self) -> bool {
        matches!(self, Self::Delivered(Delivery::Object { .. } | Delivery::Context))
    }
}

impl Feeds {
    /// Does a piece of work, and notes what came of it.
    pub(crate) async fn transfer(self, job: Job) {
        let hold = self.home().hold();
        let look = self.look(job.work.id);
        if let Some(gone) = look.as_ref().map(|look| &look.filed).filter(|it| it.is_tombstone()) {
            // Nobody waits for a delete: who waits, waits for what was deleted.
            self.state().sends.settle(job.feed.id, gone.id, gone.stamp, Verdict::StreamGone);
        }
        let ended = match &look {
            Some(look) => self.work(&job, look).await,
            None => Ended::Vanished,
        };
        let over = self.end(&job, look.as_ref(), ended);
        drop((hold, over));
        self.shared.wake.notify_one();
    }

    async fn work(&self, job: &Job, look: &Look) -> Ended {
        let definition = &job.feed.definition;
        let known = look.filed.slots.get(job.feed.id, job.mark).copied();
        if let Some(slot) = known.filter(|_| !job.forced) {
            let wall = self.env().wall();
            match slot.outcome {
                FeedOutcome::Retrying { next_at, .. } => {
                    let counts = slot.at > job.edited && !job.send;
                    if let Some(left) = time_left(next_at, wall).filter(|_| counts) {
                        return Ended::Later(self.now() + left);
                    }
                }
                FeedOutcome::Success | FeedOutcome::Unqualified => return Ended::Known(slot),
            }
        }
        if !job.send && !self.state().results.have_room(look) {
            // What came of it could not be noted, so that it would be done again and again.
            return Ended::Later(self.now() + definition.retry_wait);
        }
        let belongs = self.belongs(&look.filed).await;
        match belongs.selected_by(&definition.scope) {
            Selected::Yes => {}
            // Nobody will ever know where it was; the target may have it, and a delete takes away nothing else.
            Selected::Gone if look.filed.is_tombstone() => {}
            Selected::No => return Ended::Settled(Settled::OutOfScope),
            Selected::Gone => return Ended::NoContext,
            Selected::Unknown => return Ended::Later(self.now() + definition.retry_wait),
        }
        if look.filed.is_tombstone() && !definition.propagate_deletes {
            return Ended::Settled(Settled::Done);
        }
        let probe = match self.turn(job, look).await {
            Turn::Now { probe } => probe,
            Turn::At(then) => return Ended::Later(then),
            Turn::Adopt(slot) => return Ended::Adopted(slot),
            Turn::Ask => true,
        };
        if job.greet
            && let Err(trouble) = job.target.greet().await
        {
            return Ended::Delivered(Delivery::Target(trouble));
        }
        let probe = probe || self.had_better_ask(job, look);
        if let Some(line) = self.state().lines.get_mut(&job.feed.id) {
            line.delivering.insert(job.work.id);
        }
        let delivery = self.carry(job, look, &belongs, probe).await;
        if matches!(delivery, Delivery::Done { .. }) {
            self.env().passes(Point::FeedDelivered);
        }
        Ended::Delivered(delivery)
    }

    /// Whether the target may well have it.
    fn had_better_ask(&self, job: &Job, look: &Look) -> bool {
        let from_elsewhere = match &look.filed.what {
            What::Version(meta) => !meta.cluster.eq_ignore_ascii_case(self.shared.cluster.as_str()),
            What::Tombstone { .. } => false,
        };
        let again = job.feed.generation > 0 && !job.forced;
        job.work.doubtful || from_elsewhere || again || job.ask_before
    }

    /// [`Bug::FeedSkipsFailed`]
    fn skips(&self, delivery: Delivery) -> bool {
        let failed =
            matches!(delivery, Delivery::Object { .. } | Delivery::Unreadable | Delivery::Unknown);
        failed && self.env().planted(Bug::FeedSkipsFailed)
    }

    async fn carry(&self, job: &Job, look: &Look, belongs: &Belongs, probe: bool) -> Delivery {
        let parcel = parcel(look, belongs.place(look.filed.kind()));
        // Who has come since does not wait for others to go with it either.
        let at_once = self.state().sends.wants(job.feed.id, job.work.id).is_some();
        let delivery = job.target.deliver(parcel.clone(), Manner { probe, at_once }).await;
        if delivery != Delivery::Context || self.env().planted(Bug::ContextAfterMember) {
            return delivery;
        }
        for context in belongs.above() {
            match self.push_context(job, context).await {
                Delivery::Done { .. } => {}
                target @ Delivery::Target(_) => return target,
                _ => return Delivery::Context,
            }
        }
        job.target.deliver(parcel, Manner { probe: false, at_once }).await
    }

    /// Brings a context that something in it was refused for want of. It may be filed on another node only.
    async fn push_context(&self, job: &Job, context: &FoundContext) -> Delivery {
        let id = context.stream;
        let (tries, wait) = PUSHED_BY_ANOTHER;
        let mut waited = false;
        for _ in 0..tries {
            if self.begin_push(job, id) {
                let delivery = if waited {
                    // It has just been brought.
                    Delivery::Done { already: true }
                } else {
                    self.bring_context(job, context).await
                };
                if let Some(line) = self.state().lines.get_mut(&job.feed.id) {
                    line.pushing.remove(&id);
                }
                return delivery;
            }
            waited = true;
            self.env().sleep(wait).await;
        }
        Delivery::Context
    }

    /// Claims a context, unless it is under way already.
    fn begin_push(&self, job: &Job, id: StreamId) -> bool {
        let mut state = self.state();
        let Some(line) = state.lines.get_mut(&job.feed.id) else { return false };
        !line.lanes.is_busy(id) && line.pushing.insert(id)
    }

    async fn bring_context(&self, job: &Job, context: &FoundContext) -> Delivery {
        let Some((parcel, look)) = self.pack_context(context).await else {
            return Delivery::Context;
        };
        let delivery = job.target.deliver(parcel, AT_ONCE).await;
        if let Some(look) = look
            && matches!(delivery, Delivery::Done { .. })
        {
            let mut state = self.state();
            if state.lines.get(&job.feed.id).is_some_and(|line| line.mark == job.mark) {
                self.note(&mut state, &look, (job.feed.id, job.mark), Settled::Done, false);
            }
        }
        delivery
    }

    /// A context as it is carried, wherever it is filed; and what this node has of it, if it has it.
    pub(crate) async fn pack_context(
        &self,
        context: &FoundContext,
    ) -> Option<(Parcel, Option<Look>)> {
        if let Some(look) = self.look(context.stream) {
            let place = self.belongs(&look.filed).await.place(context.kind);
            return Some((parcel(&look, place), Some(look)));
        }
        let Brought { stamp, meta, body } = self.peers().bring(context.stream).await?;
        let filed = Filed {
            id: context.stream,
            stamp,
            what: What::Version(meta.clone()),
            slots: swarm_types::FeedSlots::default(),
            first: false,
            holders: Vec::new(),
        };
        let place = self.belongs(&filed).await.place(context.kind);
        let shipment = Shipment {
            id: context.stream,
            identity: Identity::of(context.stream, &meta, place),
            stamp,
            meta,
            open: Arc::new(move || Some(Box::new(InMemory(Some(body.clone()))))),
        };
        Some((Parcel::Version(Box::new(shipment)), None))
    }

    /// Notes how a piece of work ended. Returns what is not needed any more, to be dropped outside the lock.
    fn end(&self, job: &Job, look: Option<&Look>, ended: Ended) -> Vec<crate::line::Line> {
        let (feed, id) = (job.feed.id, job.work.id);
        let (now, draw) = (self.now(), self.env().random_u64("feeds"));
        let mut state = self.state();
        let Some(line) = state.lines.get_mut(&feed) else { return Vec::new() };
        line.delivering.remove(&id);
        if let Some(copy) = line.copied.remove(&id) {
            // What is noted now may not be noted there.
            self.filed(copy);
        }
        let same_target = Arc::ptr_eq(&line.target, &job.target);
        match &ended {
            _ if !same_target => {}
            Ended::Delivered(delivery) => {
                let length = look.map_or(0, |look| look.filed.brief().length);
                let kind = if job.work.load == Load::Delete { Kind::Delete } else { Kind::Write };
                line.heard(*delivery, kind, length, now);
            }
            _ => line.blockade.not_asked(now),
        }
        if line.is_closed() {
            line.lanes.done(id);
            return state.drop_closed();
        }
        if line.mark != job.mark {
            // What came of it belongs to an evaluation that is over.
            line.lanes.retry(id, now, true);
            return Vec::new();
        }
        tracing::trace!(node = self.env().name(), feed = feed.0, stream = %id, ?ended, "worked on");
        let answered = ended.is_answer();
        let end = self.judge(&mut state, job, look, ended, draw);
        if let Some(due) = end.again {
            let wait = due.since(now);
            tracing::debug!(node = self.env().name(), feed = feed.0, stream = %id, ?wait, "to be done again");
        }
        let State { lines, sends, .. } = &mut *state;
        let Some(line) = lines.get_mut(&feed) else { return Vec::new() };
        let stamp = look.map_or(job.work.stamp, |look| look.filed.stamp);
        let left = match end.verdict {
            Some(verdict) if end.known => sends.settle_known(feed, id, stamp, verdict),
            Some(verdict) => sends.settle(feed, id, stamp, verdict),
            None => sends.wants(feed, id).is_some(),
        };
        if left && end.verdict.is_some() && stamp < job.work.stamp {
            // What was to be delivered is not there any more, but something older.
            sends.settle(feed, id, job.work.stamp, Verdict::NotHere);
        }
        match end.again {
            None => {
                // Somebody has come meanwhile who has it sent again.
                let once_more = end.known && line.lanes.is_forced(id);
                line.lanes.done(id);
                line.rate.count(1, now);
                if once_more {
                    line.lanes.urge(urgent(id, stamp, now, true));
                }
            }
            Some(due) => {
                let due = if left && end.hurry { now } else { due };
                line.lanes.retry(id, due, end.doubtful || (job.work.doubtful && !answered));
            }
        }
        Vec::new()
    }

    fn judge(
        &self,
        state: &mut State,
        job: &Job,
        look: Option<&Look>,
        ended: Ended,
        draw: u64,
    ) -> End {
        let now = self.now();
        let of = (job.feed.id, job.mark);
        let retry_wait = job.feed.definition.retry_wait;
        let final_end = |verdict| End { verdict: Some(verdict), ..End::default() };
        let (Some(look), ended) = (look, ended) else { return final_end(Verdict::NotHere) };
        let settled = match ended {
            Ended::Vanished => return final_end(Verdict::NotHere),
            Ended::Later(due) => {
                let hurry = !job.send;
                return End { again: Some(due), hurry, ..End::default() };
            }
            // What is known of the newest may not be noted where an older version is.
            Ended::Known(slot) | Ended::Adopted(slot) => {
                self.adopt_slot(state, look, slot);
                return End { known: true, ..final_end(Verdict::on(&look.filed, &slot)) };
            }
            Ended::Settled(settled) => settled,
            Ended::Delivered(delivery) if self.skips(delivery) => Settled::Done,
            Ended::Delivered(Delivery::Unknown) => {
                let line = state.lines.get(&job.feed.id);
                let open = line.is_some_and(|line| line.blockade.is_open());
                let Some(failed) = cut_off(job, look, draw).filter(|_| open && !job.greet) else {
                    // At a target that is left alone one attempt is all.
                    let verdict = job.greet.then(|| known_of(job, look));
                    let again = Some(now + retry_wait);
                    return End { again, doubtful: true, verdict, ..End::default() };
                };
                failed
            }
            Ended::Delivered(Delivery::Target(trouble)) => {
                let (status, wait) = (trouble.status(), Duration::ZERO);
                // The object is not blamed. Only where a SEND asked for this attempt, or has joined it, it is noted, so that a
                // HEAD shows the same (SCSP SEND).
                let joined = state.sends.wants(job.feed.id, job.work.id).is_some();
                let failed = Settled::Failed { status, wait };
                let slot = (job.send || joined)
                    .then(|| self.note(state, look, of, failed, job.forced))
                    .flatten();
                let shown = Shown { status, at: Some(self.env().wall()) };
                let verdict = slot.as_ref().map_or(Verdict::Shown(shown), Verdict::of);
                return End { again: Some(now), verdict: Some(verdict), ..End::default() };
            }
            Ended::Delivered(Delivery::Context) if self.env().planted(Bug::ContextAfterMember) => {
                Settled::OutOfScope
            }
            Ended::NoContext => Delivery::Context.settled(failures_of(job, look), retry_wait, draw),
            Ended::Delivered(delivery) => {
                self.complain(state, job, delivery, now);
                delivery.settled(failures_of(job, look), retry_wait, draw)
            }
        };
        let slot = self.note(state, look, of, settled, job.forced);
        let slot = slot.or_else(|| look.filed.slots.get(of.0, of.1).copied());
        let on = |slot| Verdict::on(&look.filed, slot);
        let verdict = slot.as_ref().map(on);
        let again = match settled {
            Settled::Failed { wait, .. } => Some(now + wait),
            Settled::NotBlamed => Some(now + retry_wait),
            Settled::Done | Settled::OutOfScope => None,
        };
        End { again, verdict, ..End::default() }
    }

    fn complain(&self, state: &mut State, job: &Job, delivery: Delivery, now: Instant) {
        if let Delivery::Object { status, trouble: ObjectTrouble::Permanent } = delivery
            && let Some(line) = state.lines.get_mut(&job.feed.id)
            && line.may_complain(now)
        {
            let (node, feed, stream) = (self.env().name(), job.feed.id.0, job.work.id);
            tracing::warn!(node, feed, %stream, status, "target refuses an object as it is");
        }
    }
}

/// How often it has failed since the definition was changed.
fn failures_of(job: &Job, look: &Look) -> u16 {
    let slot = look.filed.slots.get(job.feed.id, job.mark);
    failures(slot.filter(|slot| slot.at > job.edited), job.mark)
}

/// What is said of an object whose transfer has broken off. The first time it is asked for, for it may be there. If it is not, and
/// breaks off again, it is this object that does not get through: whatever cuts it off may let others pass. What a batch is
/// made of is not to blame if the batch breaks off, nor is what was tried at a target that is left alone.
fn cut_off(job: &Job, look: &Look, draw: u64) -> Option<Settled> {
    let defined = &job.feed.definition;
    if !job.work.doubtful || defined.mode != Mode::Post {
        return None;
    }
    let failures = failures_of(job, look).saturating_add(1);
    let wait = next_try(ObjectTrouble::Transient, failures, defined.retry_wait, draw);
    Some(Settled::Failed { status: CUT_OFF, wait })
}

/// What is shown of it already.
fn known_of(job: &Job, look: &Look) -> Verdict {
    let slot = look.filed.slots.get(job.feed.id, job.mark).filter(|slot| slot.status != 0);
    slot.map_or(Verdict::Shown(Shown::NOT_YET), Verdict::of)
}

/// What the end of a piece of work leads to.
#[derive(Default)]
struct End {
    /// When it is to be done again.
    again: Option<Instant>,
    /// Whether it is done again at once if somebody waits for it.
    hurry: bool,
    /// Whether the target may have it.
    doubtful: bool,
    /// Whether it was known before, so that who has it sent again is not told.
    known: bool,
    /// What is told to those who wait for it; nothing if they are to go on waiting.
    verdict: Option<Verdict>,
}

/// A stream as it is carried.
pub(crate) fn parcel(look: &Look, place: Place) -> Parcel {
    let filed = &look.filed;
    match &filed.what {
        What::Version(meta) => {
            let (store, opened) = (Arc::clone(&look.store), filed.clone());
            Parcel::Version(Box::new(Shipment {
                id: filed.id,
                identity: Identity::of(filed.id, meta, place),
                stamp: filed.stamp,
                meta: meta.clone(),
                open: Arc::new(move || store.read(&opened)),
            }))
        }
        What::Tombstone { kind, alias, parent, name } => Parcel::Delete(Deletion {
            stream: filed.id,
            kind: *kind,
            stamp: filed.stamp,
            alias: *alias,
            cid: *parent,
            name: name.as_deref().map(str::to_owned),
        }),
    }
}
