//! What time it is for a line of a log: the world that runs on this thread, and the host whose code writes.
//!
//! A log is for a reader. Nothing in a world may ask here for the time: that is what its environment is for.

use std::cell::RefCell;
use std::sync::{Arc, Weak};

use swarm_types::Instant;

use crate::kernel::Kernel;

thread_local! {
    static AT_WORK: RefCell<Weak<Kernel>> = const { RefCell::new(Weak::new()) };
}

/// When and where in a simulated world a line is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStamp {
    /// Virtual time.
    pub at: Instant,
    /// Name of the host whose code runs; `None` if it is the world itself.
    pub host: Option<Arc<str>>,
}

/// The stamp of a line that is logged now on this thread; `None` while it drives no world.
#[must_use]
pub fn log_clock() -> Option<LogStamp> {
    // A thread that is about to end has nothing to say about a world.
    let kernel = AT_WORK.try_with(|kernel| kernel.borrow().upgrade()).ok()??;
    let at = Instant(kernel.now());
    let host = kernel.wakes.inside().and_then(|host| {
        // Code of a host runs with the state free. Should a line come from elsewhere, it must not wait for itself.
        kernel.state.try_lock().ok().map(|state| Arc::clone(&state.host(host).name))
    });
    Some(LogStamp { at, host })
}

/// Until the guard is dropped, this thread drives `kernel`.
pub(crate) fn at_work(kernel: &Arc<Kernel>) -> AtWork {
    AtWork(AT_WORK.replace(Arc::downgrade(kernel)))
}

/// Puts back which world the thread drove before.
pub(crate) struct AtWork(Weak<Kernel>);

impl Drop for AtWork {
    fn drop(&mut self) {
        let before = std::mem::take(&mut self.0);
        drop(AT_WORK.replace(before));
    }
}
