//! What the kernel of the simulated world costs by itself: hosts that only sleep, and hosts that only talk.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use swarm_env::{Env, UdpOptions};
use swarm_sim::{Sim, SimOptions, Trace};

use crate::report::{Report, Target};
use crate::rounds::{ROUNDS, Summary, time};

/// Wall time of an event with the poll that it causes.
pub(crate) const UNTRACED: &str = "kernel: an event, untraced";
pub(crate) const TRACED: &str = "kernel: an event, traced";

const UNTRACED_TARGET: Target = Target::AtMost(0.3);
const TRACED_TARGET: Target = Target::AtMost(0.5);

/// Hosts that sleep about a millisecond at a time.
const SLEEPERS: u8 = 48;

/// Pairs of hosts that send one datagram to and fro.
const TALKERS: u8 = 8;

/// Simulated time of a slice: some 13,000 events within a few milliseconds, so that many slices run through without the
/// machine doing anything else.
const SLICE: Duration = Duration::from_millis(200);

/// Slices of one world.
const SLICES: usize = 30;

/// Where talkers listen.
const PORT: u16 = 7000;

/// Measures both figures; the worlds take turns.
pub(crate) fn measure(report: &mut Report) -> anyhow::Result<()> {
    let (mut untraced, mut traced) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        untraced.append(&mut event_us(Trace::Off)?);
        traced.append(&mut event_us(Trace::Hash)?);
    }
    report.add(UNTRACED, Summary::best(untraced), "µs", UNTRACED_TARGET);
    report.add(TRACED, Summary::best(traced), "µs", TRACED_TARGET);
    Ok(())
}

/// Wall microseconds for each event, of every slice of one world.
fn event_us(trace: Trace) -> anyhow::Result<Vec<f64>> {
    let mut sim = Sim::new(SimOptions { trace, ..SimOptions::new(1) });
    let handle = sim.handle();
    for nth in 0..SLEEPERS {
        let host = handle.add_host(&format!("sleeper/{nth}"), Ipv4Addr::new(10, 0, 0, nth + 1));
        // Periods that differ, so that hosts meet at one instant only by chance.
        let period = Duration::from_micros(900 + 7 * u64::from(nth));
        drop(handle.spawn_on(host, "sleep", sleep(handle.env(host), period)));
    }
    for nth in 0..2 * TALKERS {
        let host = handle.add_host(&format!("talker/{nth}"), talker(nth));
        // The even host of a pair begins.
        let first = nth.is_multiple_of(2).then(|| SocketAddr::from((talker(nth + 1), PORT)));
        drop(handle.spawn_on(host, "talk", talk(handle.env(host), first)));
    }
    // The first moments differ from all others: tasks start, sockets open.
    sim.run_for(Duration::from_millis(10))?;
    let mut slices = Vec::with_capacity(SLICES);
    for _ in 0..SLICES {
        let before = handle.counts().events;
        let (run, took) = time(|| sim.run_for(SLICE));
        run?;
        let events = handle.counts().events - before;
        slices.push(took.as_secs_f64() * 1e6 / events as f64);
    }
    Ok(slices)
}

fn talker(nth: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 1, nth + 1)
}

async fn sleep(env: Env, period: Duration) {
    loop {
        env.sleep(period).await;
    }
}

/// Returns every datagram to its sender.
async fn talk(env: Env, first: Option<SocketAddr>) {
    let socket = env.net().udp(UdpOptions { port: PORT, group: None }).await;
    let socket = socket.expect("the port of a fresh host is free");
    let payload = Bytes::from_static(&[7; 64]);
    if let Some(to) = first {
        // The other host opens its socket at the same instant; it has done so when the datagram arrives.
        socket.send(to, payload.clone()).expect("64 bytes are a datagram");
    }
    while let Ok(datagram) = socket.recv().await {
        socket.send(datagram.from, payload.clone()).expect("64 bytes are a datagram");
    }
}
