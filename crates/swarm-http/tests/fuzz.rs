//! Differential fuzzing of the codec against hyper, in both roles.
//!
//! As a server: the same bytes go to our codec and to a hyper server; both must take the same requests out of them, except
//! where a rule below says why they differ. As a client: what our writer puts on the wire, hyper's client must read as the
//! answer that was meant. Neither may panic, stall or run away. The engine is seeded; the time is bounded by
//! `SWARM_FUZZ_SECONDS`.

#[path = "fuzz/engine.rs"]
mod engine;
#[path = "fuzz/server.rs"]
mod server;
#[path = "fuzz/writer.rs"]
mod writer;

use std::time::Duration;

use swarm_env::Env;
use swarm_env::live::{HostSpec, LiveWorld};

/// Seconds given to each role if nothing is said.
const DEFAULT_SECONDS: u64 = 2;

fn seconds() -> Duration {
    let given = std::env::var("SWARM_FUZZ_SECONDS").ok();
    let seconds =
        given.map_or(DEFAULT_SECONDS, |text| text.parse().expect("SWARM_FUZZ_SECONDS is a number"));
    Duration::from_secs(seconds)
}

/// Runs `once` with rising numbers until the time is up; returns how often.
#[expect(clippy::disallowed_methods, reason = "the only thing measured is how long to go on")]
fn for_a_while(mut once: impl FnMut(u64)) -> u64 {
    let begun = std::time::Instant::now();
    let mut executions = 0;
    while begun.elapsed() < seconds() {
        // Looking at the clock costs more than a short execution.
        for _ in 0..50 {
            once(executions);
            executions += 1;
        }
    }
    executions
}

/// A runtime for the timers of the live environment, and that environment.
fn world() -> (tokio::runtime::Runtime, Env) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system has room for a runtime");
    let world = LiveWorld::new(runtime.handle().clone());
    let spec = HostSpec { name: "fuzz".into(), ip: [127, 0, 0, 1].into(), disks: Vec::new() };
    let env = world.host(spec).env().clone();
    (runtime, env)
}

#[test]
fn our_server_and_hypers_take_the_same_requests_out_of_the_same_bytes() {
    let (runtime, env) = world();
    let _entered = runtime.enter();
    let corpus = engine::corpus();
    for seed in &corpus {
        server::check(&env, seed, seed.len());
    }
    let mut rules = server::Rules::default();
    let executions = for_a_while(|number| {
        let mut dice = engine::Dice::new(number);
        let input = engine::mutate(&corpus, &mut dice);
        let step = [1, 7, 64, input.len().max(1)][dice.below(4)];
        rules.add(server::check(&env, &input, step));
    });
    println!("server role: {executions} executions; {rules}");
    assert!(
        rules.agreed > executions / 20,
        "the inputs are too strange to compare anything: {rules}"
    );
}

#[test]
fn hypers_client_reads_what_our_writer_meant() {
    let (runtime, env) = world();
    let executions = for_a_while(|number| {
        let mut dice = engine::Dice::new(number ^ 0x5ca1_ab1e);
        let answers: Vec<_> =
            (0..=dice.below(3)).map(|_| writer::Answer::draw(&mut dice)).collect();
        runtime.block_on(writer::check(&env, &answers));
    });
    println!("client role: {executions} executions");
    assert!(executions > 0);
}
