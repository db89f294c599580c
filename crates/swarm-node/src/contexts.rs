//! Domains and buckets: finding them by name, caching what was found, resolving a request's target to a stream.
//!
//! Only contexts that exist are cached, for `cache.realmStaleTimeout`; writing or deleting one tells every node to forget
//! it (WRITE with Replicate ROW). A message lost there leaves a node with the old one until the time-out.

mod by_alias;
mod turns;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use swarm_plan::lookup::Answers;
use swarm_types::{Instant, StreamId, Uuid};

use crate::api::{Address, DomainChoice, Refusal, Target};
use crate::wire::Message;
use crate::{Node, names};

pub(crate) use turns::{Turn, Turns, seat};

/// Contexts remembered per node; beyond that the cache starts afresh.
pub(crate) const CACHE_MAX: usize = 10_000;

/// Alias UUIDs of contexts found lately, and until when they are believed.
#[derive(Default)]
pub(crate) struct ContextCache {
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    found: BTreeMap<StreamId, (Uuid, Instant)>,
    /// How often something was to be forgotten.
    forgotten: u64,
}

impl ContextCache {
    fn get(&self, id: StreamId, now: Instant) -> Option<Uuid> {
        self.lock().found.get(&id).filter(|(_, until)| now < *until).map(|(alias, _)| *alias)
    }

    /// To be given to [`Self::put`] with what a lookup that begins now finds.
    fn forgotten(&self) -> u64 {
        self.lock().forgotten
    }

    /// Remembers what a lookup found, unless something was to be forgotten since it began: that may have been just this.
    fn put(&self, id: StreamId, alias: Uuid, until: Instant, forgotten: u64) {
        let mut cache = self.lock();
        if cache.forgotten != forgotten {
            return;
        }
        if cache.found.len() >= CACHE_MAX {
            cache.found.clear();
        }
        cache.found.insert(id, (alias, until));
    }

    /// How many contexts are remembered.
    pub(crate) fn len(&self) -> usize {
        self.lock().found.len()
    }

    /// Forgets a context.
    pub(crate) fn forget(&self, id: StreamId) {
        let mut cache = self.lock();
        cache.forgotten = cache.forgotten.wrapping_add(1);
        cache.found.remove(&id);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A domain that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Domain {
    pub(crate) name: String,
    pub(crate) alias: Uuid,
}

/// Where a request's target is filed, and under what parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// Absent for a new unnamed object.
    pub(crate) id: Option<StreamId>,
    /// Alias UUID of the parent.
    pub(crate) cid: Option<Uuid>,
    /// Name relative to the parent.
    pub(crate) name: Option<String>,
    /// Name of the domain.
    pub(crate) domain: Option<String>,
    /// `/domain/bucket/object`.
    pub(crate) path: Option<String>,
}

impl Node {
    /// Finds where a target is filed.
    pub(crate) async fn resolve(&self, target: &Target, fresh: bool) -> Result<Place, Refusal> {
        match &target.address {
            Address::Unnamed(uuid) => {
                // The UUID is global: the domain is not looked at (How enforceTenancy Works).
                Ok(Place {
                    id: Some(uuid.stream()),
                    cid: None,
                    name: None,
                    domain: None,
                    path: None,
                })
            }
            Address::NewUnnamed => {
                let domain = self.tenant(&target.domain, fresh).await?;
                let cid = domain.as_ref().map(|domain| domain.alias);
                Ok(Place {
                    id: None,
                    cid,
                    name: None,
                    domain: domain.map(|domain| domain.name),
                    path: None,
                })
            }
            Address::Domain => {
                let name = self.domain_name(&target.domain);
                Ok(Place {
                    id: Some(names::domain_stream(&name)),
                    cid: Some(Uuid::ROOT),
                    name: Some(name.clone()),
                    domain: Some(name),
                    path: None,
                })
            }
            Address::Bucket(bucket) => {
                let domain = self.domain(&target.domain, fresh).await?;
                Ok(Place {
                    id: Some(names::bucket_stream(domain.alias, bucket)),
                    cid: Some(domain.alias),
                    name: Some(bucket.clone()),
                    path: Some(format!("/{}/{bucket}", domain.name)),
                    domain: Some(domain.name),
                })
            }
            Address::Named { bucket, name } => {
                let domain = self.domain(&target.domain, fresh).await?;
                let parent = self.context(names::bucket_stream(domain.alias, bucket), fresh).await;
                let parent = parent.ok_or_else(|| Refusal::MissingContext {
                    context: format!("{}/{bucket}", domain.name),
                })?;
                Ok(Place {
                    id: Some(names::object_stream(parent, name)),
                    cid: Some(parent),
                    name: Some(name.clone()),
                    path: Some(format!("/{}/{bucket}/{name}", domain.name)),
                    domain: Some(domain.name),
                })
            }
        }
    }

    /// The domain of a named object or bucket: the one named, else the default cluster domain (Formatting SCSP Commands).
    async fn domain(&self, choice: &DomainChoice, fresh: bool) -> Result<Domain, Refusal> {
        let named = self.domain_name(choice);
        if let Some(alias) = self.context(names::domain_stream(&named), fresh).await {
            return Ok(Domain { name: named, alias });
        }
        let default = self.config().cluster.to_string();
        if matches!(choice, DomainChoice::Host(_))
            && named != default
            && let Some(alias) = self.context(names::domain_stream(&default), fresh).await
        {
            return Ok(Domain { name: default, alias });
        }
        Err(Refusal::MissingContext { context: named })
    }

    /// The domain that a new unnamed object belongs to, if any (How enforceTenancy Works; Unnamed Object Changes in
    /// Storage 6.0).
    async fn tenant(&self, choice: &DomainChoice, fresh: bool) -> Result<Option<Domain>, Refusal> {
        let default = self.config().cluster.to_string();
        let named = self.domain_name(choice);
        let enforced = self.inner.settings().enforce_tenancy;
        if *choice != DomainChoice::Untenanted && named != default {
            let alias = self.context(names::domain_stream(&named), fresh).await;
            match (alias, choice) {
                (Some(alias), _) => return Ok(Some(Domain { name: named, alias })),
                (None, DomainChoice::Host(_)) => {}
                // What is filed under no domain can never be given one: a domain that nobody can be asked about now may
                // well exist (our choice).
                (None, _) if !self.inner.members.all_answer(self.inner.present()) => {
                    return Err(Refusal::Unavailable {
                        why: "not all nodes can be asked for the domain",
                    });
                }
                (None, _) if !enforced => return Ok(None),
                (None, _) => return Err(Refusal::MissingContext { context: named }),
            }
        }
        if !enforced {
            return Ok(None);
        }
        let alias = self.context(names::domain_stream(&default), fresh).await;
        let alias = alias.ok_or_else(|| Refusal::MissingContext { context: default.clone() })?;
        Ok(Some(Domain { name: default, alias }))
    }

    /// The domain that the client named; an address or the cluster's own name means the default cluster domain.
    fn domain_name(&self, choice: &DomainChoice) -> String {
        match choice {
            DomainChoice::Named(name) => name.clone(),
            DomainChoice::Host(host) if host.parse::<IpAddr>().is_err() && !host.is_empty() => {
                host.clone()
            }
            DomainChoice::Host(_) | DomainChoice::Untenanted => self.config().cluster.to_string(),
        }
    }

    /// The alias UUID of a context that exists.
    async fn context(&self, id: StreamId, fresh: bool) -> Option<Uuid> {
        let cache = &self.inner.contexts;
        if !fresh && let Some(alias) = cache.get(id, self.env().now()) {
            return Some(alias);
        }
        let forgotten = cache.forgotten();
        let alias = self.ask(Some(id), None).await.existing()?.alias?;
        let until = self.env().now() + self.inner.settings().realm_stale_timeout;
        cache.put(id, alias, until, forgotten);
        Some(alias)
    }

    /// Forgets a context that was written or deleted here, and tells everybody to. Best effort: by multicast, and to those
    /// that are known by unicast, so that one of the two may fail.
    pub(crate) fn tell_context_changed(&self, id: StreamId, answers: &Answers) {
        self.inner.contexts.forget(id);
        let message = Message::ContextChanged(*id.as_bytes());
        self.inner.multicast(&message);
        for answer in answers.iter().filter(|answer| answer.node != self.inner.id) {
            self.inner.send(answer.node, &message);
        }
    }
}
