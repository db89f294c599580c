//! What time it is for a line of a log: by the clock of the host whose code writes it.
//!
//! A log is for a reader. Nothing may ask here for the time: that is what its environment is for.

use std::sync::Arc;

use swarm_types::Timestamp;

use super::HostState;

tokio::task_local! {
    static SPEAKS: Arc<HostState>;
}

/// When and on which live host a line is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStamp {
    /// The host's own wall clock, wrong if the host's is.
    pub at: Timestamp,
    /// Name of the host whose code runs.
    pub host: Arc<str>,
}

/// The stamp of a line that is logged now on this thread; `None` outside the tasks of live hosts.
#[must_use]
pub fn log_clock() -> Option<LogStamp> {
    SPEAKS.try_with(|host| LogStamp { at: host.wall(), host: Arc::clone(&host.name) }).ok()
}

/// A task of this host: whatever it logs is stamped as the host's.
pub(super) fn of_host<F: Future>(host: Arc<HostState>, task: F) -> impl Future<Output = F::Output> {
    SPEAKS.scope(host, task)
}

/// The same for work that blocks its thread.
pub(super) fn of_host_blocking<R>(host: Arc<HostState>, work: impl FnOnce() -> R) -> R {
    SPEAKS.sync_scope(host, work)
}
