//! Which feed selects a stream: where it belongs, by the contexts above it.
//!
//! What a domain is called only the domain knows, so it is looked up, here or on another node, and believed for a while.
//! Looking up is done beside everything else: nobody waits for a node that is silent but the streams that belong there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use swarm_plan::feeds::{Settled, settle};
use swarm_types::{
    Etag, FeedId, FeedMark, FeedSlots, Instant, ObjectKind, Stamp, StreamId, Uuid, Version,
};

use crate::home::{Brief, Filed, What};
use crate::lanes::Lane;
use crate::line::{Line, UNSURE_MAX};
use crate::peers::{Context, FoundContext};
use crate::scope::{Scope, Subject};
use crate::send::Verdict;
use crate::service::{Feeds, State};
use crate::table::Feed;
use crate::wire::Place;

/// Most contexts that are remembered.
const CONTEXTS_MAX: usize = 4_096;
/// A bucket, and its domain: there is nothing deeper.
const DEPTH: usize = 2;

/// For so long it is believed that a context is deleted or gone, or that nobody answers: many streams ask at once.
const NOT_FOUND_FOR: Duration = Duration::from_secs(5);

/// How long a delete waits for the name of the domain that it belongs to. Without it, it is looked up when it is carried over.
const DOMAIN_WAIT: Duration = Duration::from_secs(1);

/// Contexts that were looked up.
#[derive(Default)]
pub(crate) struct Contexts {
    known: BTreeMap<Uuid, (Instant, Context)>,
}

impl Contexts {
    fn get(&self, alias: Uuid, now: Instant, timeout: Duration) -> Option<&Context> {
        let (at, context) = self.known.get(&alias)?;
        let believed = if is_found(context) { timeout } else { NOT_FOUND_FOR };
        (now < *at + believed).then_some(context)
    }

    fn put(&mut self, alias: Uuid, context: Context, now: Instant, timeout: Duration) {
        if self.known.len() >= CONTEXTS_MAX {
            self.known.retain(|_, (at, context)| is_found(context) && now < *at + timeout);
        }
        if self.known.len() >= CONTEXTS_MAX {
            self.known.pop_first();
        }
        self.known.insert(alias, (now, context));
    }

    /// A context was filed: what is remembered of it may be old.
    pub(crate) fn forget(&mut self, stream: StreamId) {
        self.known.retain(|_, (_, context)| match context {
            Context::Found(found) => found.stream != stream,
            Context::Deleted(_) | Context::Gone | Context::Unknown => false,
        });
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }
}

const fn is_found(context: &Context) -> bool {
    matches!(context, Context::Found(_))
}

/// Where a stream belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Belongs {
    /// To no domain.
    Nowhere,
    /// To the domain of this name.
    Domain {
        name: String,
        /// The contexts above it, its parent first.
        above: Vec<FoundContext>,
    },
    /// To a context that is gone.
    Gone,
    /// Nobody who was asked knows.
    Unknown,
}

/// Whether a feed selects a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selected {
    Yes,
    No,
    /// It belongs to a context that is gone.
    Gone,
    Unknown,
}

impl Belongs {
    pub(crate) fn selected_by(&self, scope: &Scope) -> Selected {
        if scope.is_everything() {
            return Selected::Yes;
        }
        let qualifies = match self {
            Self::Nowhere => scope.qualifies(Subject::Untenanted),
            Self::Domain { name, .. } => scope.qualifies(Subject::Domain(name)),
            Self::Gone => return Selected::Gone,
            Self::Unknown => return Selected::Unknown,
        };
        if qualifies { Selected::Yes } else { Selected::No }
    }

    /// What its parents are called, as far as known.
    pub(crate) fn place(&self, kind: ObjectKind) -> Place {
        let Self::Domain { name, above } = self else { return Place::default() };
        let bucket = above.iter().find(|context| context.kind == ObjectKind::Bucket);
        let domain = (kind != ObjectKind::Domain).then(|| name.clone());
        Place { domain, bucket: bucket.map(|context| context.name.clone()) }
    }

    /// The contexts above, the topmost first.
    pub(crate) fn above(&self) -> impl Iterator<Item = &FoundContext> {
        let above = match self {
            Self::Domain { above, .. } => above.as_slice(),
            _ => &[],
        };
        above.iter().rev()
    }
}

impl Feeds {
    /// Where a stream belongs, if that is remembered; else which context has to be looked up.
    fn belongs_now(&self, filed: &Filed, contexts: &Contexts) -> Result<Belongs, Uuid> {
        let in_domain = |name: &str| Belongs::Domain { name: name.to_owned(), above: Vec::new() };
        let (own_name, parent) = match &filed.what {
            What::Version(meta) => (meta.name.as_deref(), meta.cid),
            // The domain of this name may be another by now.
            What::Tombstone { name: Some(name), .. } => return Ok(in_domain(name)),
            What::Tombstone { parent, .. } => (None, *parent),
        };
        if filed.kind() == ObjectKind::Domain {
            return Ok(own_name.map_or(Belongs::Unknown, in_domain));
        }
        let Some(mut alias) = parent.filter(|parent| *parent != Uuid::ROOT) else {
            return Ok(Belongs::Nowhere);
        };
        let timeout = self.shared.settings.context_timeout;
        let mut above = Vec::new();
        for _ in 0..DEPTH {
            let (kind, name, parent) =
                match contexts.get(alias, self.env().now(), timeout).ok_or(alias)? {
                    Context::Found(found) => {
                        above.push(found.clone());
                        (found.kind, Some(&found.name), found.parent)
                    }
                    // A delete belongs where what it deleted was, whatever became of that since.
                    Context::Deleted(gone) if filed.is_tombstone() => {
                        (gone.kind, gone.name.as_ref(), gone.parent)
                    }
                    Context::Deleted(_) | Context::Gone => return Ok(Belongs::Gone),
                    Context::Unknown => return Ok(Belongs::Unknown),
                };
            match (kind, name, parent) {
                (ObjectKind::Domain, Some(name), _) => {
                    return Ok(Belongs::Domain { name: name.clone(), above });
                }
                (ObjectKind::Domain, None, _) => return Ok(Belongs::Gone),
                (.., Some(parent)) => alias = parent,
                (.., None) => break,
            }
        }
        Ok(Belongs::Unknown)
    }

    /// Where a stream belongs.
    pub(crate) async fn belongs(&self, filed: &Filed) -> Belongs {
        for _ in 0..=DEPTH {
            let missing = match self.belongs_now(filed, &self.state().contexts) {
                Ok(belongs) => return belongs,
                Err(missing) => missing,
            };
            let context = self.peers().context(missing).await;
            let timeout = self.shared.settings.context_timeout;
            self.state().contexts.put(missing, context, self.env().now(), timeout);
        }
        Belongs::Unknown
    }

    /// The name of the domain that something of this parent is in, if any feed selects by domains: who deletes it notes that.
    pub async fn domain_of(&self, parent: Uuid) -> Option<String> {
        let selects = |line: &Line| !line.feed.definition.scope.is_everything();
        if !self.state().lines.values().any(selects) {
            return None;
        }
        let (kind, parent) = (ObjectKind::Immutable, Some(parent));
        let anything = Filed {
            id: StreamId::from_bytes([0; 16]),
            stamp: Stamp { version: Version(0), etag: Etag::from_bytes([0; 16]) },
            what: What::Tombstone { kind, alias: None, parent, name: None },
            slots: FeedSlots::default(),
            first: false,
            holders: Vec::new(),
        };
        let belongs = self.env().timeout(DOMAIN_WAIT, self.belongs(&anything)).await;
        match belongs.unwrap_or(Belongs::Unknown) {
            Belongs::Domain { name, .. } => Some(name),
            Belongs::Nowhere | Belongs::Gone | Belongs::Unknown => None,
        }
    }

    /// What is to become of a stream that came up, as far as it can be said at once.
    pub(crate) fn sort(&self, scope: &Scope, id: StreamId) -> Sorted {
        if scope.is_everything() {
            return Sorted::In;
        }
        let Some(look) = self.look(id) else { return Sorted::Vanished };
        match self.belongs_now(&look.filed, &self.state().contexts) {
            Ok(belongs) => match belongs.selected_by(scope) {
                Selected::No => Sorted::Out,
                _ => Sorted::In,
            },
            Err(_) => Sorted::Unsure,
        }
    }

    /// Has the streams looked up of which it could not be said at once whether they are selected.
    pub(crate) fn begin_evaluations(&self) {
        let mut begun = Vec::new();
        for (id, line) in &mut self.state().lines {
            if !line.evaluating && !line.unsure.is_empty() {
                line.evaluating = true;
                begun.push((*id, std::mem::take(&mut line.unsure)));
            }
        }
        for (feed, unsure) in begun {
            drop(self.env().spawn("feed-evaluate", self.clone().evaluate(feed, unsure)));
        }
    }

    async fn evaluate(self, feed: FeedId, unsure: Vec<(Brief, Instant)>) {
        let Some((mark, defined)) = self.definition_of(feed) else { return };
        for (brief, since) in unsure {
            let Some(look) = self.look(brief.id) else { continue };
            let selected = self.belongs(&look.filed).await.selected_by(&defined.definition.scope);
            tracing::trace!(node = self.env().name(), feed = feed.0, stream = %brief.id, ?selected, "evaluated");
            let (now, wall) = (self.now(), self.env().wall());
            let mut state = self.state();
            let State { lines, results, sends, .. } = &mut *state;
            let Some(line) = lines.get_mut(&feed).filter(|line| line.mark == mark) else { break };
            if line.is_closed() {
                break;
            }
            match selected {
                Selected::No => {
                    let slot = settle(None, feed, mark, Settled::OutOfScope, wall);
                    let at = self.env().now();
                    if slot.is_some_and(|slot| !results.file_everywhere(&look, slot, at)) {
                        line.walk_again_soon();
                    }
                    line.rate.count(1, now);
                    line.lanes.forget(brief.id, look.filed.stamp);
                    sends.settle(feed, brief.id, look.filed.stamp, Verdict::OutOfScope);
                }
                Selected::Unknown => {
                    // Whether it is selected is asked again when its turn comes.
                    let retry_at = Some(wall + line.feed.definition.retry_wait);
                    let later = Brief { retry_at, ..brief };
                    line.offer(&later, Lane::Retry, since, Duration::ZERO, (now, wall));
                }
                Selected::Yes | Selected::Gone => {
                    let hold_off = self.shared.hold_off;
                    line.offer(&brief, Lane::Fresh, since, hold_off, (now, wall));
                }
            }
        }
        if let Some(line) = self.state().lines.get_mut(&feed) {
            line.evaluating = false;
        }
        self.shared.wake.notify_one();
    }

    fn definition_of(&self, feed: FeedId) -> Option<(FeedMark, Arc<Feed>)> {
        let state = self.state();
        let line = state.lines.get(&feed)?;
        Some((line.mark, Arc::clone(&line.feed)))
    }
}

/// What is to become of a stream that came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sorted {
    /// The feed selects it, or only its turn will tell.
    In,
    /// The feed does not select it.
    Out,
    /// Its domain has to be looked up.
    Unsure,
    /// It is not there any more.
    Vanished,
}

impl Line {
    /// Keeps a stream in mind whose domain has to be looked up, if there is room.
    pub(crate) fn note_unsure(&mut self, brief: Brief, since: Instant) -> bool {
        let room = self.unsure.len() < UNSURE_MAX;
        if room {
            self.unsure.push((brief, since));
        }
        room
    }
}
