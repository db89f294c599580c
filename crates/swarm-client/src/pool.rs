//! Idle connections, by the address they lead to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use swarm_env::Env;
use swarm_types::Instant;

use crate::connection::Connection;

/// Idle connections over all addresses; a client that met many addresses must not keep them all open.
const IDLE_MAX: usize = 256;

/// A bounded store of idle connections, the youngest used first.
pub(crate) struct Pool {
    per_address: usize,
    idle_for: Duration,
    idle: Mutex<BTreeMap<SocketAddr, Vec<Idle>>>,
}

struct Idle {
    since: Instant,
    connection: Connection,
}

impl Pool {
    pub(crate) fn new(per_address: usize, idle_for: Duration) -> Self {
        Self { per_address, idle_for, idle: Mutex::new(BTreeMap::new()) }
    }

    /// The youngest idle connection to this address; those that have grown old are closed.
    pub(crate) fn take(&self, env: &Env, to: SocketAddr) -> Option<Connection> {
        let now = env.now();
        // Connections are dropped outside the lock: closing a stream runs code of the world behind it.
        let mut all = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.remove(&to)?
        };
        all.retain(|idle| now.since(idle.since) < self.idle_for);
        let youngest = all.pop();
        if !all.is_empty() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let returned = idle.entry(to).or_default();
            all.append(returned);
            *returned = all;
        }
        youngest.map(|idle| idle.connection)
    }

    /// Closes the connections that have been idle for longer than this.
    pub(crate) fn prune(&self, env: &Env, longer_than: Duration) {
        let now = env.now();
        let old: Vec<Idle> = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let is_old = |idle: &mut Idle| now.since(idle.since) > longer_than;
            let old = idle.values_mut().flat_map(|kept| kept.extract_if(.., is_old)).collect();
            idle.retain(|_, kept| !kept.is_empty());
            old
        };
        drop(old);
    }

    /// Closes all idle connections.
    pub(crate) fn clear(&self) {
        let all = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        drop(all);
    }

    /// Keeps a connection whose last answer was read to its end; closes it where there is no room.
    pub(crate) fn put(&self, env: &Env, to: SocketAddr, connection: Connection) {
        let entry = Idle { since: env.now(), connection };
        let surplus = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            let total: usize = idle.values().map(Vec::len).sum();
            if self.per_address == 0 || total >= IDLE_MAX {
                Some(entry)
            } else {
                let kept = idle.entry(to).or_default();
                kept.push(entry);
                // The oldest goes first.
                (kept.len() > self.per_address).then(|| kept.remove(0))
            }
        };
        drop(surplus);
    }
}
