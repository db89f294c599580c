//! Differential fuzzing of the codec against hyper, in both roles.
//!
//! As a server: the same bytes go to our codec and to a hyper server; both must take the same requests out of them, except
//! where a rule below says why they differ. As a client: what our writer puts on the wire, hyper's client must read as the
//! answer that was meant. Neither may panic, stall or run away. The engine is seeded by the number of the execution: a hunt
//! begins at `SWARM_FUZZ_START`, goes on for `SWARM_FUZZ_SECONDS` and at least [`FLOOR`], and says where it stopped.

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

/// Executions of each role however slow the machine is: enough that the shares asserted below are no matter of luck.
const FLOOR: u64 = 3_000;

/// The number in this variable of the environment, if it is set.
fn given(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// The executions of one role: numbers `start` to before `end`.
struct Hunt {
    start: u64,
    end: u64,
}

impl Hunt {
    fn executions(&self) -> u64 {
        self.end - self.start
    }
}

impl std::fmt::Display for Hunt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { start, end } = self;
        write!(f, "{} executions from {start}; SWARM_FUZZ_START={end} goes on", self.executions())
    }
}

/// Runs `once` with rising numbers until the time is up and the floor is reached.
#[expect(clippy::disallowed_methods, reason = "the only thing measured is how long to go on")]
fn for_a_while(mut once: impl FnMut(u64)) -> Hunt {
    let time = Duration::from_secs(given("SWARM_FUZZ_SECONDS").unwrap_or(DEFAULT_SECONDS));
    let start = given("SWARM_FUZZ_START").unwrap_or(0);
    let begun = std::time::Instant::now();
    let mut hunt = Hunt { start, end: start };
    while hunt.executions() < FLOOR || begun.elapsed() < time {
        // Looking at the clock costs more than a short execution.
        for _ in 0..50 {
            once(hunt.end);
            hunt.end += 1;
        }
    }
    hunt
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
    let hunt = for_a_while(|number| {
        let mut dice = engine::Dice::new(number);
        let input = engine::mutate(&corpus, &mut dice);
        let step = [1, 7, 64, input.len().max(1)][dice.below(4)];
        rules.add(server::check(&env, &input, step));
    });
    println!("server role: {hunt}; {rules}");
    assert!(hunt.executions() >= FLOOR);
    assert!(
        rules.agreed > hunt.executions() / 20,
        "the inputs are too strange to compare anything: {rules}"
    );
}

#[test]
fn hypers_client_reads_what_our_writer_meant() {
    let (runtime, env) = world();
    let (mut heard, mut whole) = (0, 0);
    let hunt = for_a_while(|number| {
        let mut dice = engine::Dice::new(number ^ 0x5ca1_ab1e);
        let answers: Vec<_> =
            (0..=dice.below(3)).map(|_| writer::Answer::draw(&mut dice)).collect();
        let compared = runtime.block_on(writer::check(&env, &answers));
        heard += compared.answers;
        whole += compared.bodies;
    });
    println!("client role: {hunt}; {heard} answers, {whole} of them with a body");
    assert!(hunt.executions() >= FLOOR);
    assert!(heard > hunt.executions(), "most connections carry more than one answer: {heard}");
    assert!(whole > heard / 4, "the answers are too empty to compare anything: {whole} of {heard}");
}
