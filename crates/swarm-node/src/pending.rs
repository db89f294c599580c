//! Who waits for the answers to which request. An answer finds the request by its number, which is drawn anew for each;
//! one that nobody waits for any more is dropped.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use swarm_env::Env;
use tokio::sync::mpsc;

/// Answers that wait for one request; a cluster of that many nodes answers at once.
const ANSWERS_MAX: usize = 1024;

/// The requests that are being waited for; `H` is what comes back.
pub(crate) struct Pending<H> {
    requests: Mutex<BTreeMap<u64, mpsc::Sender<H>>>,
}

impl<H> Default for Pending<H> {
    fn default() -> Self {
        Self { requests: Mutex::new(BTreeMap::new()) }
    }
}

impl<H> Pending<H> {
    /// Passes an answer on.
    pub(crate) fn hear(&self, request: u64, heard: H) {
        let waiting = self.lock().get(&request).cloned();
        if let Some(sender) = waiting {
            // A full queue loses the answer, as the network might have.
            drop(sender.try_send(heard));
        }
    }

    /// How many requests wait for answers.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, mpsc::Sender<H>>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is being waited for; forgotten when dropped.
pub(crate) struct Waiting<'a, H> {
    pending: &'a Pending<H>,
    /// Its number.
    pub(crate) request: u64,
    /// What has come back.
    pub(crate) answers: mpsc::Receiver<H>,
}

impl<'a, H> Waiting<'a, H> {
    /// Begins to wait for the answers to a new request.
    pub(crate) fn new(pending: &'a Pending<H>, env: &Env) -> Self {
        let request = env.random_u64("request");
        let (sender, answers) = mpsc::channel(ANSWERS_MAX);
        let before = pending.lock().insert(request, sender);
        drop(before);
        Self { pending, request, answers }
    }
}

impl<H> Drop for Waiting<'_, H> {
    fn drop(&mut self) {
        let sender = self.pending.lock().remove(&self.request);
        drop(sender);
    }
}
