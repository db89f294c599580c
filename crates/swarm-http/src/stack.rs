//! The layers around the SCSP service: tracing, limits, time-outs over the seam, understanding, authentication.
//!
//! Each is a tower layer of ours. The outer ones carry [`Request`]s; [`Understand`] turns them into [`Call`]s; a layer that
//! ends a request early answers it itself, so that no error type travels upwards.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use swarm_env::{BoxFuture, Env};
use tokio::sync::Semaphore;
use tower::{Layer, Service};

use crate::codec::{Request, Response};
use crate::scsp::Call;
use crate::status::{self, Fault};

/// Requests served at a time by one node. The bodies in flight take at most 128 KiB each, so this bounds them to 64 MiB.
pub(crate) const REQUESTS_AT_A_TIME: usize = 512;

/// A request that neither ends nor moves its body for so long is given up. Longer than everything that the node itself
/// waits for, so that its own, better answers come first.
pub(crate) const STUCK_AFTER: Duration = Duration::from_secs(300);

macro_rules! service_of_ours {
    ($service:ident, $input:ty, $inner:ty) => {
        impl<S> Service<$input> for $service<S>
        where
            S: Service<$inner, Response = Response, Error = Infallible> + Clone + Send + 'static,
            S::Future: Send,
        {
            type Response = Response;
            type Error = Infallible;
            type Future = BoxFuture<'static, Result<Response, Infallible>>;

            fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                self.inner.poll_ready(cx)
            }

            fn call(&mut self, input: $input) -> Self::Future {
                // The clone stays for the next request; the one that was asked for readiness serves this one.
                let next = self.clone();
                Box::pin(std::mem::replace(self, next).serve(input))
            }
        }
    };
}

/// Logs every request once, when it has been answered.
#[derive(Debug, Clone)]
pub(crate) struct Trace<S> {
    env: Env,
    inner: S,
}

/// Makes [`Trace`].
pub(crate) struct TraceLayer(pub(crate) Env);

impl<S> Layer<S> for TraceLayer {
    type Service = Trace<S>;

    fn layer(&self, inner: S) -> Trace<S> {
        Trace { env: self.0.clone(), inner }
    }
}

impl<S> Trace<S> {
    async fn serve(mut self, request: Request) -> Result<Response, Infallible>
    where
        S: Service<Request, Response = Response, Error = Infallible>,
    {
        if !tracing::enabled!(tracing::Level::DEBUG) {
            return self.inner.call(request).await;
        }
        let begun = self.env.now();
        let method = request.head.method().to_owned();
        // The query may carry a redirect's token; the path says enough.
        let target = request.head.target();
        let path = target.split('?').next().unwrap_or_default().to_owned();
        let peer = request.peer;
        let response = self.inner.call(request).await?;
        let took = self.env.now().since(begun);
        tracing::debug!(
            node = self.env.name(), %peer, %method, %path, status = response.status, ?took, "request answered"
        );
        Ok(response)
    }
}

service_of_ours!(Trace, Request, Request);

/// Refuses what goes beyond a number of requests at a time.
#[derive(Debug, Clone)]
pub(crate) struct Limit<S> {
    env: Env,
    free: Arc<Semaphore>,
    inner: S,
}

/// Makes [`Limit`]; all services made share one count.
pub(crate) struct LimitLayer {
    env: Env,
    free: Arc<Semaphore>,
}

impl LimitLayer {
    pub(crate) fn new(env: Env, free: Arc<Semaphore>) -> Self {
        Self { env, free }
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = Limit<S>;

    fn layer(&self, inner: S) -> Limit<S> {
        Limit { env: self.env.clone(), free: Arc::clone(&self.free), inner }
    }
}

impl<S> Limit<S> {
    async fn serve(mut self, request: Request) -> Result<Response, Infallible>
    where
        S: Service<Request, Response = Response, Error = Infallible>,
    {
        let Ok(_permit) = self.free.try_acquire() else {
            return Ok(status::fault(&Fault::Busy, self.env.wall()));
        };
        self.inner.call(request).await
    }
}

service_of_ours!(Limit, Request, Request);

/// Gives up requests that are stuck.
#[derive(Debug, Clone)]
pub(crate) struct Deadline<S> {
    env: Env,
    stuck_after: Duration,
    inner: S,
}

/// Makes [`Deadline`].
pub(crate) struct DeadlineLayer {
    pub(crate) env: Env,
    pub(crate) stuck_after: Duration,
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Deadline<S> {
        Deadline { env: self.env.clone(), stuck_after: self.stuck_after, inner }
    }
}

impl<S> Deadline<S> {
    async fn serve(mut self, mut request: Request) -> Result<Response, Infallible>
    where
        S: Service<Request, Response = Response, Error = Infallible>,
    {
        let moved = request.body.watch();
        let mut answer = std::pin::pin!(self.inner.call(request));
        loop {
            let before = moved.load(Ordering::Relaxed);
            match self.env.timeout(self.stuck_after, answer.as_mut()).await {
                Ok(answer) => return answer,
                Err(_) if moved.load(Ordering::Relaxed) != before => {}
                Err(_) => return Ok(status::fault(&Fault::Stuck, self.env.wall())),
            }
        }
    }
}

service_of_ours!(Deadline, Request, Request);

/// Turns requests into calls; what makes no sense is answered here.
#[derive(Debug, Clone)]
pub(crate) struct Understand<S> {
    env: Env,
    inner: S,
}

/// Makes [`Understand`].
pub(crate) struct UnderstandLayer(pub(crate) Env);

impl<S> Layer<S> for UnderstandLayer {
    type Service = Understand<S>;

    fn layer(&self, inner: S) -> Understand<S> {
        Understand { env: self.0.clone(), inner }
    }
}

impl<S> Understand<S> {
    async fn serve(mut self, request: Request) -> Result<Response, Infallible>
    where
        S: Service<Call, Response = Response, Error = Infallible>,
    {
        match Call::read(request) {
            Ok(call) => self.inner.call(call).await,
            Err(fault) => Ok(status::fault(&fault, self.env.wall())),
        }
    }
}

service_of_ours!(Understand, Request, Call);

#[cfg(test)]
mod tests;
