//! Clocks that are wrong, processes that stand still, and quiet stretches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use swarm_env::{Env, UdpOptions};
use swarm_sim::{HostId, Sim, SimHandle};

use crate::world::{echo, echo_at, hosts, ip, ping};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

#[test]
fn a_skewed_clock_is_off_and_counts_who_looked() {
    let (mut sim, world, ids) = hosts(1, 2);
    let (env, other, controls) = (world.env(ids[0]), world.env(ids[1]), world.clone());
    sim.block_on(ids[0], async move {
        assert_eq!(env.wall(), other.wall());
        let fault = controls.skew(ids[1], -5_000_000_000).await;
        assert_eq!(env.wall().since(other.wall()), seconds(5));
        assert_eq!(controls.effects(fault), 1);
        assert_eq!(env.now(), other.now(), "monotonic time is the same everywhere");
        let instead = controls.skew(ids[1], 0).await;
        assert_eq!(env.wall(), other.wall(), "set anew, not added");
        assert_eq!((controls.effects(fault), controls.effects(instead)), (1, 0));
    });
}

#[test]
fn a_drifting_clock_gains_and_is_right_again_when_healed() {
    let (mut sim, world, ids) = hosts(1, 2);
    let (env, other, controls) = (world.env(ids[0]), world.env(ids[1]), world.clone());
    sim.block_on(ids[0], async move {
        let fast = controls.drift(ids[1], 200).await;
        assert_eq!(env.wall(), other.wall());
        assert_eq!(controls.effects(fast), 0, "not off yet");
        env.sleep(seconds(10_000)).await;
        assert_eq!(other.wall().since(env.wall()), seconds(2));
        let slow = controls.drift(ids[1], -200).await;
        env.sleep(seconds(10_000)).await;
        assert_eq!(other.wall().since(env.wall()), seconds(2), "they make up for each other");
        assert!(controls.heal(fast).await);
        assert_eq!(env.wall().since(other.wall()), seconds(2));
        assert!(controls.heal(slow).await && !controls.heal(slow).await);
        assert_eq!(env.wall(), other.wall());
        assert_eq!((controls.effects(fast), controls.effects(slow)), (2, 2));
    });
}

#[test]
fn a_stepped_clock_moves_at_once_and_steps_add_up() {
    let (mut sim, world, ids) = hosts(1, 2);
    let (env, other, controls) = (world.env(ids[0]), world.env(ids[1]), world.clone());
    sim.block_on(ids[0], async move {
        let on = controls.step_clock(ids[1], 3_000_000_000).await;
        let back = controls.step_clock(ids[1], -10_000_000_000).await;
        assert_eq!((controls.effects(on), controls.effects(back)), (0, 0), "nobody has looked");
        assert_eq!(env.wall().since(other.wall()), seconds(7));
        assert!(controls.heal(back).await);
        assert_eq!(other.wall().since(env.wall()), seconds(3));
        assert_eq!((controls.effects(on), controls.effects(back)), (2, 1));
    });
}

#[test]
fn what_a_paused_process_does_late_is_counted() {
    let (mut sim, world, ids) = hosts(1, 2);
    drop(world.env(ids[1]).spawn("echo", echo(world.env(ids[1]))));
    let (env, controls) = (world.env(ids[0]), world.clone());
    sim.block_on(ids[0], async move {
        let mut stream = env.net().connect(echo_at(2)).await.expect("it listens");
        let idle = controls.pause(ids[1]).await.expect("it runs");
        env.sleep(seconds(5)).await;
        assert!(controls.resume(ids[1]).await);
        assert_eq!(controls.effects(idle), 0, "nothing was due");

        let there = controls.env(ids[1]);
        drop(controls.spawn_on(ids[1], "timer", async move { there.sleep(seconds(2)).await }));
        env.sleep(seconds(1)).await;
        let busy = controls.pause(ids[1]).await.expect("it runs");
        assert!(env.timeout(seconds(5), ping(&mut stream)).await.is_err());
        assert!(controls.resume(ids[1]).await);
        env.sleep(seconds(1)).await;
        assert_eq!(controls.effects(busy), 2, "a timer fired late, a message was read late");

        let killed = controls.pause(ids[1]).await.expect("it runs");
        ping(&mut stream).await.expect("the word of before comes back");
        env.sleep(seconds(1)).await;
        controls.kill(ids[1]).await.expect("it is on");
        assert_eq!(controls.effects(killed), 1, "this word it never reads");
    });
}

/// Counts the beats of an interval.
fn beats(world: &SimHandle, host: HostId, period: Duration) -> Arc<AtomicU64> {
    let (env, count) = (world.env(host), Arc::new(AtomicU64::new(0)));
    let counter = Arc::clone(&count);
    drop(world.spawn_on(host, "beats", async move {
        let mut interval = env.background("beats", period);
        loop {
            interval.tick().await;
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }));
    count
}

#[test]
fn background_intervals_stretch_while_dates_stay() {
    let (mut sim, world, ids) = hosts(1, 1);
    let (fast, slow) = (beats(&world, ids[0], seconds(10)), beats(&world, ids[0], WEEK / 7));
    let (env, controls) = (world.env(ids[0]), world.clone());
    let took = move |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
    sim.block_on(ids[0], async move {
        env.sleep(seconds(1_000)).await;
        assert!((99..=100).contains(&took(&fast)));
        let counted = env.background_now(seconds(10));
        let stretch = controls.skip(3 * WEEK).await.expect("none lasts");
        assert_eq!(controls.skip(WEEK).await, None, "one at a time");
        let date = env.now() + WEEK;
        env.sleep_until(date).await;
        assert_eq!(env.now(), date);
        env.sleep_until(stretch.until).await;
        let run = took(&fast);
        assert!((199..=200).contains(&run), "{run}");
        assert_eq!(took(&slow), 21, "long enough as it is");
        assert_eq!(controls.effects(stretch.number), run);
        let counted = env.background_now(seconds(10)) - counted;
        assert!((1_990..=2_000).contains(&counted.as_secs()), "{counted:?}");

        env.sleep(seconds(1_000)).await;
        let after = took(&fast);
        assert!((99..=100).contains(&after), "as before: {after}");
        assert_eq!(controls.effects(stretch.number), run, "it is over");
        assert!(controls.skip(WEEK).await.is_some(), "another one");
    });
}

#[test]
fn patience_stretches_with_the_interval_that_it_watches() {
    let (mut sim, world, ids) = hosts(1, 2);
    let beacons = |env: Env| async move {
        let socket = env.net().udp(UdpOptions { port: 9, group: None }).await.expect("free");
        let mut interval = env.background("beacon", seconds(10));
        loop {
            interval.tick().await;
            socket.send((ip(1), 9).into(), Bytes::from_static(b"here")).expect("small");
        }
    };
    drop(world.spawn_on(ids[1], "beacons", beacons(world.env(ids[1]))));
    let (env, controls) = (world.env(ids[0]), world.clone());
    sim.block_on(ids[0], async move {
        let socket = env.net().udp(UdpOptions { port: 9, group: None }).await.expect("free");
        let stretch = controls.skip(3 * WEEK).await.expect("none lasts");
        let (mut heard, mut longest) = (env.background_now(seconds(10)), Duration::ZERO);
        while env.now() < stretch.until + seconds(100) {
            socket.recv().await.expect("it lives");
            let now = env.background_now(seconds(10));
            longest = longest.max(now - heard);
            heard = now;
        }
        assert!(longest >= seconds(9) && longest <= seconds(12), "{longest:?}");
    });
}

#[test]
fn a_skip_by_three_weeks_on_ten_hosts_takes_well_under_a_second() {
    let (mut sim, world, ids) = hosts(1, 10);
    for host in &ids {
        for period in [1, 10, 60, 6 * 3_600] {
            drop(beats(&world, *host, seconds(period)));
        }
        drop(world.spawn_on(*host, "echo", echo(world.env(*host))));
    }
    let before = world.counts();
    run_skip(&mut sim, &world, ids[0]);
    let after = world.counts();
    let polls = after.polls - before.polls;
    assert!(polls < 10 * 4 * 400, "a poll takes microseconds at most: {polls}");
    assert_eq!(world.now().since(swarm_types::Instant::ZERO), 3 * WEEK);
}

fn run_skip(sim: &mut Sim, world: &SimHandle, host: HostId) {
    let (env, controls) = (world.env(host), world.clone());
    sim.block_on(host, async move {
        let stretch = controls.skip(3 * WEEK).await.expect("none lasts");
        env.sleep_until(stretch.until).await;
    });
}
