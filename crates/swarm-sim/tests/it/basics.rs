//! Time, dice, tasks and streams on one or two hosts.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use swarm_sim::{LogStamp, Sim, log_clock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[test]
fn time_jumps_to_what_happens_next() {
    let mut sim = Sim::seeded(1);
    let host = sim.handle().add_host("a", Ipv4Addr::new(10, 0, 0, 1));
    let env = sim.handle().env(host);
    let slept = sim.block_on(host, async move {
        let before = env.now();
        env.sleep(Duration::from_secs(3600)).await;
        env.now() - before
    });
    assert!(slept >= Duration::from_secs(3600) && slept < Duration::from_secs(3601));
}

#[test]
fn a_stream_carries_bytes_both_ways() {
    let mut sim = Sim::seeded(1);
    let world = sim.handle();
    let a = world.add_host("a", Ipv4Addr::new(10, 0, 0, 1));
    let b = world.add_host("b", Ipv4Addr::new(10, 0, 0, 2));
    let (here, there) = (world.env(a), world.env(b));
    let server = there.clone();
    drop(there.spawn("server", async move {
        let listener = server.net().listen(80).await.expect("a free port");
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.expect("the request");
        text.reverse();
        stream.write_all(&text).await.expect("the client reads");
    }));
    let answer = sim.block_on(a, async move {
        let to = SocketAddr::from(([10, 0, 0, 2], 80));
        let mut stream = here.net().connect(to).await.expect("it listens");
        stream.write_all(b"hello").await.expect("it reads");
        stream.shutdown().await.expect("half closed");
        let mut text = Vec::new();
        stream.read_to_end(&mut text).await.expect("the answer");
        text
    });
    assert_eq!(answer, b"olleh");
}

#[test]
fn a_wait_wakes_the_task_that_polled_it_last() {
    let mut sim = Sim::seeded(1);
    let host = sim.handle().add_host("a", Ipv4Addr::new(10, 0, 0, 1));
    let env = sim.handle().env(host);
    let waited = sim.block_on(host, async move {
        let hour = Duration::from_secs(3600);
        let begun = env.now();
        let mut sleep = Box::pin(env.sleep(hour));
        // Polled once here, where the task itself waits, then by another task, and there behind a waker of its own.
        let here = poll_fn(|cx| Poll::Ready(sleep.as_mut().poll(cx).is_ready())).await;
        assert!(!here, "an hour is not over");
        let (clock, other) = (env.clone(), env.clone());
        let task = env.spawn("other", async move {
            let mut both = Either { first: sleep, second: Box::pin(other.sleep(2 * hour)) };
            let through = poll_fn(move |cx| {
                let waker = Waker::from(Arc::new(Through(cx.waker().clone())));
                Pin::new(&mut both).poll(&mut Context::from_waker(&waker))
            });
            through.await;
            clock.now()
        });
        let woken = task.join().await.expect("the other task ends");
        woken - begun
    });
    assert!(waited >= Duration::from_secs(3600) && waited < Duration::from_secs(3601));
}

/// A waker in front of another, as joins and selections have them.
struct Through(Waker);

impl Wake for Through {
    fn wake(self: Arc<Self>) {
        self.0.wake_by_ref();
    }
}

/// Ready with the first of two waits.
struct Either<F> {
    first: Pin<Box<F>>,
    second: Pin<Box<F>>,
}

impl<F: Future<Output = ()>> Future for Either<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.first.as_mut().poll(cx).is_ready() || self.second.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

#[test]
fn a_log_is_told_the_time_and_the_host_that_speaks() {
    let mut sim = Sim::seeded(1);
    let host = sim.handle().add_host("main/2", Ipv4Addr::new(10, 0, 0, 1));
    let env = sim.handle().env(host);
    assert_eq!(log_clock(), None, "no world runs");
    let (stamp, now) = sim.block_on(host, async move {
        env.sleep(Duration::from_secs(7)).await;
        (log_clock(), env.now())
    });
    assert_eq!(stamp, Some(LogStamp { at: now, host: Some("main/2".into()) }));
    assert_eq!(log_clock(), None, "the world stands still");
}
