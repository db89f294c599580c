//! Incarnations: what a kill leaves, whose fault a panic is, and which wakes must not be.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use swarm_env::Env;
use swarm_sim::{Halt, HostLife};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, oneshot};

use crate::world::{disk, echo, echo_at, hosts, ip, ping};

/// Memory of a process; a test holds only a `Weak` to it.
struct Memory {
    env: Env,
    held: Mutex<Vec<u8>>,
}

#[test]
fn nothing_of_a_killed_or_dark_hosts_memory_survives() {
    for power_off in [false, true] {
        let (mut sim, world, ids) = hosts(3, 1);
        let node = world.add_node("node", ip(9), 0);
        disk(&world, node, "disk");
        let seen: Arc<Mutex<Weak<Memory>>> = Arc::default();
        let slot = Arc::clone(&seen);
        world.set_boot(node, move |env| {
            let memory = Arc::new(Memory { env: env.clone(), held: Mutex::new(vec![1; 64]) });
            *slot.lock().expect("no panic before") = Arc::downgrade(&memory);
            remember(env, memory)
        });
        assert!(world.start(node).done());
        let (env, controls) = (world.env(ids[0]), world.clone());
        sim.block_on(ids[0], async move {
            let mut stream = env.net().connect(echo_at(9)).await.expect("it listens");
            ping(&mut stream).await.expect("it answers");
            assert!(seen.lock().expect("no panic before").upgrade().is_some(), "it lives");
            if power_off {
                controls.power_off(node).await;
            } else {
                controls.kill(node).await;
            }
            assert!(seen.lock().expect("no panic before").upgrade().is_none(), "nothing is left");
            assert_eq!(controls.life(node), HostLife::Off);
        });
        assert_eq!(world.panics(), []);
    }
}

/// Holds its memory in a server, a sleeper, a reader, a writer and a task that was never polled to its end.
async fn remember(env: Env, memory: Arc<Memory>) {
    let serial = env.disks().list().remove(0);
    let disk = env.disks().open(&serial).await.expect("plugged in");
    let theirs = Arc::clone(&memory);
    drop(env.spawn("writer", async move {
        loop {
            let bytes = theirs.held.lock().expect("no panic before").clone().into();
            disk.submit(vec![(0, bytes)], swarm_env::SyncMode::Sync).await.expect("room");
        }
    }));
    let theirs = Arc::clone(&memory);
    drop(env.spawn("sleeper", async move {
        theirs.env.sleep(Duration::from_secs(1_000_000)).await;
    }));
    let theirs = Arc::clone(&memory);
    drop(env.spawn("server", async move { echo(theirs.env.clone()).await }));
    std::future::pending::<()>().await;
    drop(memory);
}

#[test]
fn tasks_of_a_killed_host_are_dropped_in_the_order_of_their_spawning() {
    struct Note(u32, Arc<Mutex<Vec<u32>>>);
    impl Drop for Note {
        fn drop(&mut self) {
            self.1.lock().expect("no panic before").push(self.0);
        }
    }
    let (mut sim, world, ids) = hosts(5, 2);
    let dropped: Arc<Mutex<Vec<u32>>> = Arc::default();
    let env = world.env(ids[1]);
    for number in 0..8 {
        let note = Note(number, Arc::clone(&dropped));
        drop(env.spawn("holder", async move {
            std::future::pending::<()>().await;
            drop(note);
        }));
    }
    let (here, controls, victim) = (world.env(ids[0]), world.clone(), ids[1]);
    sim.block_on(ids[0], async move {
        here.sleep(Duration::from_secs(1)).await;
        controls.kill(victim).await
    });
    assert_eq!(*dropped.lock().expect("no panic before"), (0..8).collect::<Vec<_>>());
}

#[test]
fn a_dead_incarnation_can_do_nothing() {
    let (mut sim, world, ids) = hosts(1, 2);
    let dead = world.env(ids[1]);
    disk(&world, ids[1], "disk");
    assert!(world.kill(ids[1]).done().is_some());
    assert!(world.start(ids[1]).done());
    sim.block_on(ids[0], async move {
        assert!(dead.net().listen(1).await.is_err());
        assert!(dead.net().connect(echo_at(1)).await.is_err());
        assert!(dead.disks().open(&"disk".into()).await.is_err());
        assert_eq!(dead.spawn("ghost", async {}).join().await, None);
    });
}

#[test]
fn a_panic_stops_its_own_host_and_is_put_down_to_it() {
    let (mut sim, world, ids) = hosts(1, 2);
    let env = world.env(ids[1]);
    drop(env.clone().spawn("clumsy", async move {
        env.sleep(Duration::from_secs(1)).await;
        panic!("dropped a plate");
    }));
    let here = world.env(ids[0]);
    sim.block_on(ids[0], async move { here.sleep(Duration::from_secs(5)).await });
    let panics = world.panics();
    assert_eq!(panics.len(), 1);
    assert_eq!((&*panics[0].name, panics[0].task), ("host-2", "clumsy"));
    assert!(panics[0].message.starts_with("dropped a plate, at "), "{}", panics[0].message);
    assert!(panics[0].message.contains("lives.rs"), "{}", panics[0].message);
    assert_eq!(world.life(ids[1]), HostLife::Off);
}

#[test]
fn peers_of_a_host_that_panics_are_reset_in_the_middle_of_a_message() {
    let (mut sim, world, ids) = hosts(1, 1);
    let node = world.add_node("node", ip(9), 0);
    world.set_boot(node, |env: Env| async move {
        let listener = env.net().listen(80).await.expect("a free port");
        let (mut stream, _) = listener.accept().await.expect("a client");
        stream.write_all(b"half a mess").await.expect("room");
        env.sleep(Duration::from_secs(1)).await;
        panic!("in the middle");
    });
    assert!(world.start(node).done());
    let env = world.env(ids[0]);
    let (text, kind) = sim.block_on(ids[0], async move {
        let mut stream = env.net().connect((ip(9), 80).into()).await.expect("it listens");
        let mut text = Vec::new();
        let error = stream.read_to_end(&mut text).await.expect_err("no orderly end");
        (text, error.kind())
    });
    assert_eq!((&text[..], kind), (&b"half a mess"[..], std::io::ErrorKind::ConnectionReset));
    assert_eq!(world.panics().len(), 1);
}

#[test]
fn a_panic_while_a_task_is_dropped_does_not_stop_the_burial() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("not like this");
        }
    }
    let (mut sim, world, ids) = hosts(1, 2);
    let env = world.env(ids[1]);
    let other = Arc::new(());
    let held = Arc::clone(&other);
    drop(env.spawn("bomb", async move {
        let bomb = Bomb;
        std::future::pending::<()>().await;
        drop(bomb);
    }));
    drop(env.spawn("behind", async move {
        std::future::pending::<()>().await;
        drop(held);
    }));
    let (here, controls, victim) = (world.env(ids[0]), world.clone(), ids[1]);
    sim.block_on(ids[0], async move {
        here.sleep(Duration::from_secs(1)).await;
        controls.kill(victim).await
    });
    assert_eq!(Arc::strong_count(&other), 1);
    assert_eq!(world.panics().len(), 1);
}

#[test]
fn a_panic_of_the_awaited_host_ends_the_run() {
    let (mut sim, _, ids) = hosts(1, 1);
    let halt = sim.run(ids[0], async { panic!("the harness is wrong") });
    let Err::<(), _>(Halt::HostEnded { why }) = halt else { panic!("{halt:?}") };
    assert!(why.starts_with("the harness is wrong, at "), "{why}");
}

#[test]
fn waiting_for_what_never_comes_is_an_error() {
    let (mut sim, _, ids) = hosts(1, 1);
    let halt = sim.run(ids[0], std::future::pending::<()>());
    assert!(matches!(halt, Err(Halt::Deadlock { .. })), "{halt:?}");
}

#[test]
fn tasks_that_wake_each_other_for_ever_are_an_error() {
    let (mut sim, world, ids) = hosts(1, 1);
    let env = world.env(ids[0]);
    let halt = sim.run(ids[0], async move {
        let (one, two) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (left, right) = (Arc::clone(&one), Arc::clone(&two));
        drop(env.clone().spawn("left", async move {
            loop {
                left.notified().await;
                right.notify_one();
            }
        }));
        loop {
            one.notify_one();
            // Waited for under a time limit, so that the stuck task holds something of the world.
            assert!(env.timeout(Duration::from_secs(9), two.notified()).await.is_ok());
        }
    });
    assert!(matches!(halt, Err(Halt::Stuck { .. })), "{halt:?}");
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a foreign thread is what this test is about")]
fn a_wake_from_a_foreign_thread_panics_there_and_ends_the_run() {
    let (mut sim, world, ids) = hosts(1, 1);
    let env = world.env(ids[0]);
    let halt = sim.run(ids[0], async move {
        let (tell, told) = oneshot::channel::<()>();
        let waiter = env.spawn("waiter", told);
        env.sleep(Duration::from_secs(1)).await;
        let outside = std::thread::Builder::new().spawn(move || tell.send(()).is_ok());
        assert!(outside.expect("a thread").join().is_err(), "the thread panicked");
        waiter.join().await
    });
    assert!(matches!(halt, Err(Halt::ForeignWake { .. })), "{halt:?}");
}

#[test]
fn a_wake_between_a_node_and_the_harness_ends_the_run() {
    let (mut sim, world, ids) = hosts(1, 1);
    let node = world.add_node("node", ip(9), 0);
    assert!(world.start(node).done());
    let shared = Arc::new(Notify::new());
    let theirs = Arc::clone(&shared);
    drop(world.env(node).spawn("waiter", async move { theirs.notified().await }));
    let here = world.env(ids[0]);
    let halt = sim.run(ids[0], async move {
        here.sleep(Duration::from_secs(1)).await;
        shared.notify_one();
        here.sleep(Duration::from_secs(1)).await;
    });
    let expected = Halt::WakeAcrossHosts { from: "the harness".into(), to: "node".into() };
    assert_eq!(halt, Err(expected));
}

#[test]
fn hosts_of_the_harness_may_share_memory() {
    let (mut sim, world, ids) = hosts(1, 2);
    let (client, controls, host) = (world.env(ids[1]), world.clone(), ids[1]);
    sim.block_on(ids[0], async move {
        assert_eq!(client.spawn("client", async { 7 }).join().await, Some(7));
        let dead = client.spawn("client", std::future::pending::<()>());
        controls.kill(host).await;
        assert_eq!(dead.join().await, None);
    });
}

#[test]
fn a_paused_host_does_nothing_and_then_goes_on() {
    let (mut sim, world, ids) = hosts(1, 2);
    let ticks = Arc::new(AtomicU32::new(0));
    let (env, counter) = (world.env(ids[1]), Arc::clone(&ticks));
    drop(env.clone().spawn("ticker", async move {
        loop {
            env.sleep(Duration::from_secs(1)).await;
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let (here, controls, other) = (world.env(ids[0]), world.clone(), ids[1]);
    sim.block_on(ids[0], async move {
        here.sleep(Duration::from_millis(3500)).await;
        assert!(controls.pause(other).await.is_some());
        here.sleep(Duration::from_secs(10)).await;
        assert_eq!(ticks.load(Ordering::Relaxed), 3);
        assert!(controls.resume(other).await);
        here.sleep(Duration::from_secs(3)).await;
        assert!((5..=7).contains(&ticks.load(Ordering::Relaxed)), "{ticks:?}");
    });
}

#[test]
fn work_that_is_offloaded_costs_virtual_time() {
    let (mut sim, world, ids) = hosts(1, 1);
    let env = world.env(ids[0]);
    let (sum, took) = sim.block_on(ids[0], async move {
        let before = env.now();
        let sum = env.offload("sum", || (1..=4).sum::<u32>()).await;
        (sum, env.now() - before)
    });
    assert_eq!(sum, Some(10));
    assert!(took > Duration::ZERO && took < Duration::from_millis(1), "{took:?}");
}
