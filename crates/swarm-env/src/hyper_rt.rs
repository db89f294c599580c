//! What hyper needs of a runtime, over the seam: time, tasks and streams.
//!
//! hyper speaks `std::time::Instant`. [`EnvTimer`] gives it instants that are all counted from one origin, read from
//! the real clock once and used for nothing else: only differences between them ever matter, so a simulated run does
//! not depend on when it was started.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Executor, Timer};
use swarm_types::Instant;

use crate::{Env, Stream, clock};

/// A [`Stream`] as hyper reads and writes it.
pub type Io = hyper_util::rt::TokioIo<Stream>;

/// The stream as hyper wants it.
#[must_use]
pub fn io(stream: Stream) -> Io {
    Io::new(stream)
}

/// hyper's timer over the clock of an [`Env`]. Clones share one origin; instants of two timers that were made apart
/// must not be mixed.
#[derive(Debug, Clone)]
pub struct EnvTimer {
    env: Env,
    origin: std::time::Instant,
}

impl EnvTimer {
    /// A timer over this environment's clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "an origin that every other instant is counted from"
    )]
    #[must_use]
    pub fn new(env: &Env) -> Self {
        Self { env: env.clone(), origin: std::time::Instant::now() }
    }

    fn to_std(&self, at: Instant) -> std::time::Instant {
        // A platform that cannot count that far stops at the origin: the deadline is then in the past, never missed.
        self.origin.checked_add(Duration::from_nanos(at.0)).unwrap_or(self.origin)
    }

    fn of_std(&self, at: std::time::Instant) -> Instant {
        Instant::ZERO + at.saturating_duration_since(self.origin)
    }
}

impl Timer for EnvTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(EnvSleep(self.env.sleep(duration)))
    }

    fn sleep_until(&self, deadline: std::time::Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        Box::pin(EnvSleep(self.env.sleep_until(self.of_std(deadline))))
    }

    fn now(&self) -> std::time::Instant {
        self.to_std(self.env.now())
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn hyper::rt::Sleep>>, new_deadline: std::time::Instant) {
        let until = self.env.sleep_until(self.of_std(new_deadline));
        match sleep.as_mut().downcast_mut_pin::<EnvSleep>() {
            Some(mut ours) => ours.0 = until,
            None => *sleep = Box::pin(EnvSleep(until)),
        }
    }
}

struct EnvSleep(clock::Sleep);

impl Future for EnvSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl hyper::rt::Sleep for EnvSleep {}

/// hyper's executor over the tasks of an [`Env`]: what it starts dies with the incarnation.
#[derive(Debug, Clone)]
pub struct EnvExecutor(pub Env);

impl<F> Executor<F> for EnvExecutor
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        drop(self.0.spawn("hyper", future));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::live::{HostSpec, LiveWorld};

    #[test]
    fn hypers_deadlines_are_kept_by_the_worlds_clock() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let world = LiveWorld::new(runtime.handle().clone());
        let spec = HostSpec { name: "test".to_owned(), ip: Ipv4Addr::LOCALHOST, disks: Vec::new() };
        let host = world.host(spec);
        runtime.block_on(async {
            let timer = EnvTimer::new(host.env());
            let begun = timer.now();
            timer.sleep(Duration::from_millis(5)).await;
            assert!(timer.now() >= begun + Duration::from_millis(5));

            let deadline = timer.now() + Duration::from_millis(10);
            timer.clone().sleep_until(deadline).await;
            assert!(timer.now() >= deadline);

            let mut sleep = timer.sleep(Duration::from_secs(3600));
            timer.reset(&mut sleep, timer.now() + Duration::from_millis(5));
            let reset = host.env().timeout(Duration::from_secs(60), sleep).await;
            assert_eq!(reset, Ok(()), "the new deadline counts");
        });
    }

    #[test]
    fn what_hyper_starts_is_a_task_of_the_host() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let world = LiveWorld::new(runtime.handle().clone());
        let spec = HostSpec { name: "test".to_owned(), ip: Ipv4Addr::LOCALHOST, disks: Vec::new() };
        let host = world.host(spec);
        runtime.block_on(async {
            let (told, heard) = tokio::sync::oneshot::channel::<()>();
            EnvExecutor(host.env().clone()).execute(async move {
                std::future::pending::<()>().await;
                drop(told);
            });
            host.kill().await.expect("the task yields");
            assert!(heard.await.is_err(), "it died with its host");
        });
    }
}
