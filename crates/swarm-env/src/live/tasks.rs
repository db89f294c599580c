//! Tasks on tokio, registered under their host.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::{HostState, Panic, log};
use crate::{BoxFuture, Tasks};

/// The tasks of one incarnation, in the order they were spawned.
#[derive(Default)]
pub(super) struct Registry {
    tasks: Mutex<Registered>,
    /// Told whenever the last task has gone.
    emptied: Notify,
}

#[derive(Default)]
struct Registered {
    next: u64,
    /// The handle is missing for the moment between registering a task and spawning it.
    running: BTreeMap<u64, (&'static str, Option<AbortHandle>)>,
    closed: bool,
    panic: Option<Panic>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Registered> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number for a new task; `None` if there shall be none any more.
    fn register(&self, name: &'static str) -> Option<u64> {
        let mut tasks = self.lock();
        if tasks.closed {
            return None;
        }
        let number = tasks.next;
        tasks.next += 1;
        tasks.running.insert(number, (name, None));
        Some(number)
    }

    fn started(&self, number: u64, handle: AbortHandle) {
        let abort = {
            let mut tasks = self.lock();
            let closed = tasks.closed;
            match tasks.running.get_mut(&number) {
                Some(task) if !closed => {
                    task.1 = Some(handle);
                    None
                }
                // The incarnation ended, or the task did, while it was being spawned.
                _ => Some(handle),
            }
        };
        if let Some(handle) = abort {
            handle.abort();
        }
    }

    fn ended(&self, number: u64) {
        let (entry, empty) = {
            let mut tasks = self.lock();
            let entry = tasks.running.remove(&number);
            (entry, tasks.running.is_empty())
        };
        drop(entry);
        if empty {
            self.emptied.notify_waiters();
        }
    }

    /// Lets no task in any more and aborts all, in the order they were spawned.
    pub(super) fn abort_all(&self) {
        let handles: Vec<AbortHandle> = {
            let mut tasks = self.lock();
            tasks.closed = true;
            tasks.running.values_mut().filter_map(|(_, handle)| handle.take()).collect()
        };
        for handle in handles {
            handle.abort();
        }
    }

    /// Completes when no task is left.
    pub(super) async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            let mut emptied = std::pin::pin!(emptied);
            // Enabled before looking, so that a task ending in between is not missed.
            emptied.as_mut().enable();
            if self.lock().running.is_empty() {
                return;
            }
            emptied.await;
        }
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        self.lock().running.values().map(|(name, _)| *name).collect()
    }

    pub(super) fn panic(&self) -> Option<Panic> {
        self.lock().panic.clone()
    }
}

pub(super) struct LiveTasks {
    host: Arc<HostState>,
}

impl LiveTasks {
    pub(super) fn new(host: Arc<HostState>) -> Self {
        Self { host }
    }
}

impl Tasks for LiveTasks {
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>) {
        if self.host.is_silent() {
            return;
        }
        let Some(number) = self.host.registry.register(name) else { return };
        let registered = Registration { host: Arc::clone(&self.host), number };
        let host = Arc::clone(&self.host);
        let speaks = Arc::clone(&host);
        let running = self.host.world.runtime.spawn(log::of_host(speaks, async move {
            // Dropped last: a task counts as running until all that it held is gone.
            let _registered = registered;
            let alive = while_alive(&host, future);
            if let Err(payload) = AssertUnwindSafe(alive).catch_unwind().await {
                report_panic(&host, name, &*payload);
            }
        }));
        self.host.registry.started(number, running.abort_handle());
    }

    fn offload(
        &self,
        name: &'static str,
        work: Box<dyn FnOnce() + Send>,
    ) -> BoxFuture<'static, ()> {
        let host = Arc::clone(&self.host);
        Box::pin(async move {
            if host.is_silent() {
                // Whoever waits is being aborted, and shall not take this for work that was done or failed.
                std::future::pending::<()>().await;
            }
            let Ok(permit) = Arc::clone(&host.world.offload).acquire_owned().await else { return };
            let runtime = host.world.runtime.clone();
            let speaks = Arc::clone(&host);
            let work = runtime.spawn_blocking(move || {
                // Held by the work, not by whoever waits for it: the pool stays small even if nobody waits any more.
                let _permit = permit;
                std::panic::catch_unwind(AssertUnwindSafe(|| log::of_host_blocking(speaks, work)))
            });
            if let Ok(Err(payload)) = work.await {
                report_panic(&host, name, &*payload);
            }
        })
    }
}

/// A task's future while its host lives. Afterwards it waits to be dropped: the end of its disks and peers, which it would
/// see first, is not theirs but its own.
async fn while_alive(host: &HostState, mut future: BoxFuture<'static, ()>) {
    std::future::poll_fn(|cx| {
        let dead = host.dead.load(Ordering::Acquire);
        if dead { Poll::Pending } else { future.as_mut().poll(cx) }
    })
    .await;
}

struct Registration {
    host: Arc<HostState>,
    number: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.host.registry.ended(self.number);
    }
}

/// Stops the host that panicked, and no other.
fn report_panic(host: &HostState, task: &'static str, payload: &(dyn Any + Send)) {
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned());
    tracing::error!(task, message, "a task panicked; its node stops");
    let at = host.world.now();
    host.registry.lock().panic.get_or_insert(Panic { at, task, message });
    host.stop();
}
