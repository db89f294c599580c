//! Tasks: everything that runs on a node is registered under its incarnation and dies with it.

use std::future::Future;

use tokio::sync::oneshot;

use crate::{BoxFuture, Env, Point};

/// Runs the tasks of one incarnation of one node.
pub trait Tasks: Send + Sync {
    /// Runs a future to its end or to the end of the incarnation. A panic stops this node and no other.
    fn spawn(&self, name: &'static str, future: BoxFuture<'static, ()>);

    /// Runs heavy or blocking work away from the other tasks: in a small pool live, inline with a modelled cost
    /// simulated. Completes when the work has.
    fn offload(&self, name: &'static str, work: Box<dyn FnOnce() + Send>)
    -> BoxFuture<'static, ()>;

    /// The running task passes a named place; it panics there if the world was told so. Worlds that cannot be told do
    /// nothing.
    fn passes(&self, point: Point) {
        let _ = point;
    }
}

impl Env {
    /// Runs `future` as a task of this incarnation. Dropping the handle lets it go on.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (done, output) = oneshot::channel();
        self.parts.tasks.spawn(
            name,
            Box::pin(async move {
                // Nobody may be waiting for the output; that is not an error.
                drop(done.send(future.await));
            }),
        );
        Task { output }
    }

    /// Runs heavy or blocking work away from the other tasks.
    pub async fn offload<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (done, output) = oneshot::channel();
        self.parts.tasks.offload(name, Box::new(move || drop(done.send(work())))).await;
        output.await.ok()
    }
}

/// A running task.
pub struct Task<T> {
    output: oneshot::Receiver<T>,
}

impl<T> Task<T> {
    /// What the task returned; `None` if it died with its incarnation or panicked.
    pub async fn join(self) -> Option<T> {
        self.output.await.ok()
    }
}
