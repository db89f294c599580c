//! What nodes log. In front of a line stands a node's own time and name in either world, else the time of this machine.

mod reports;

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use swarm_sim::LogStamp;
use tracing::Dispatch;
use tracing::subscriber::NoSubscriber;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

pub use reports::{Report, Reports};

/// Writes `[12m3.456s main/2]` before a line from a simulated world: time since the world began, and the host whose code
/// speaks. Before a line of a live node stands `[2026-11-22T01:02:03.456Z main/2]`: its own wall clock, in UTC, which is
/// wrong if the node's is. A line of neither has the clock of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stamp;

impl FormatTime for Stamp {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        if let Some(stamp) = swarm_sim::log_clock() {
            return write_stamp(out, &stamp);
        }
        match swarm_env::live::log_clock() {
            Some(stamp) => write!(out, "[{} {}]", stamp.at, stamp.host),
            None => SystemTime.format_time(out),
        }
    }
}

fn write_stamp(out: &mut impl fmt::Write, stamp: &LogStamp) -> fmt::Result {
    let since = stamp.at.since(swarm_types::Instant::ZERO);
    match &stamp.host {
        Some(host) => write!(out, "[{} {host}]", Elapsed(since)),
        None => write!(out, "[{}]", Elapsed(since)),
    }
}

/// `1w2d3h4m5.678s`, without the units that are too large for it.
struct Elapsed(Duration);

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut seconds = self.0.as_secs();
        for (unit, length) in [("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60)] {
            if self.0.as_secs() >= length {
                write!(f, "{}{unit}", seconds / length)?;
                seconds %= length;
            }
        }
        write!(f, "{seconds}.{:03}s", self.0.subsec_millis())
    }
}

/// A subscriber for some threads, which misses nothing. As long as a process has one subscriber only, whether a line is of interest is
/// asked on the thread that comes by it first, and the answer counts for all threads; with two, both are asked.
pub(crate) fn dispatch(subscriber: impl tracing::Subscriber + Send + Sync) -> Dispatch {
    static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));
    LazyLock::force(&SECOND);
    Dispatch::new(subscriber)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::Ipv4Addr;
    use std::sync::{Arc, Mutex, PoisonError};

    use swarm_env::live::{HostSpec, LiveWorld};
    use swarm_sim::Sim;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    /// Collects what is logged.
    #[derive(Clone, Default)]
    pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        pub(crate) fn text(&self) -> String {
            let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            String::from_utf8_lossy(&bytes).into_owned()
        }

        /// Runs this; what its thread logs is written here, one stamped line for each event.
        pub(crate) fn collect<T>(&self, run: impl FnOnce() -> T) -> T {
            let subscriber = tracing_subscriber::fmt()
                .with_timer(Stamp)
                .with_ansi(false)
                .with_target(false)
                .with_writer(self.clone())
                .finish();
            tracing::dispatcher::with_default(&dispatch(subscriber), run)
        }
    }

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a thread that is of no world")]
    fn a_line_is_heard_though_a_thread_came_by_it_to_which_nobody_listens() {
        let lines = Lines::default();
        lines.collect(|| {
            let says = || tracing::info!("a volume is full");
            std::thread::spawn(says).join().expect("it ends");
            says();
        });
        assert_eq!(lines.text().lines().count(), 1, "{}", lines.text());
    }

    #[test]
    fn a_line_of_a_simulated_node_has_its_time_and_its_name() {
        let lines = Lines::default();
        lines.collect(|| {
            let mut sim = Sim::seeded(1);
            let world = sim.handle();
            let harness = world.add_host("harness", Ipv4Addr::new(10, 250, 0, 1));
            let node = world.add_node("main/2", Ipv4Addr::new(10, 1, 0, 2), 1);
            world.set_boot(node, |env| async move {
                env.sleep(Duration::from_millis(723_456)).await;
                tracing::info!("a volume is full");
            });
            assert!(world.start(node).done());
            let env = world.env(harness);
            sim.block_on(harness, async move {
                tracing::info!("it begins");
                env.sleep(Duration::from_secs(800)).await;
                tracing::info!("it ends");
            });
            drop(sim);
            tracing::info!("nobody's world");
        });
        let text = lines.text();
        let lines: Vec<&str> = text.lines().collect();
        let [begins, full, ends, after] = lines[..] else { panic!("four lines: {text}") };
        assert_eq!(begins, "[0.000s harness]  INFO it begins");
        assert_eq!(full, "[12m3.456s main/2]  INFO a volume is full");
        assert_eq!(ends, "[13m20.000s harness]  INFO it ends");
        assert!(after.starts_with("20") && after.ends_with("INFO nobody's world"), "{after}");
    }

    #[test]
    fn a_line_of_a_live_node_has_its_own_clock_and_its_name() {
        let lines = Lines::default();
        // One thread, whose lines are collected: offloaded work has a thread of its own.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime is made");
        let world = LiveWorld::new(runtime.handle().clone());
        let host = |name: &str| {
            let (name, ip) = (name.to_owned(), Ipv4Addr::LOCALHOST);
            world.host(HostSpec { name, ip, disks: Vec::new() })
        };
        let (early, late) = (host("main/1"), host("main/2"));
        // Ten years: beyond whatever time the test itself takes.
        late.set_skew(10 * 365 * 86_400 * 1_000_000_000);
        let before = early.env().wall();
        let after = lines.collect(|| {
            runtime.block_on(async {
                for node in [&early, &late] {
                    let logs =
                        node.env().spawn("logs", async { tracing::info!("a volume is full") });
                    logs.join().await;
                }
                tracing::info!("nobody's node");
                early.env().wall()
            })
        });
        let text = lines.text();
        let lines: Vec<&str> = text.lines().collect();
        let [of_early, of_late, outside] = lines[..] else { panic!("three lines: {text}") };
        let in_between = |line: &str, skew: Duration| {
            let time = line.strip_prefix('[').and_then(|line| line.split(' ').next()).unwrap_or("");
            // This form sorts as its times do.
            (&*(before + skew).to_string()..=&*(after + skew).to_string()).contains(&time)
        };
        assert!(in_between(of_early, Duration::ZERO), "{of_early}");
        assert!(of_early.ends_with("Z main/1]  INFO a volume is full"), "{of_early}");
        assert_eq!(
            of_early.len(),
            "[2026-11-22T01:02:03.456Z main/1]  INFO a volume is full".len()
        );
        assert!(in_between(of_late, Duration::from_secs(10 * 365 * 86_400)), "{of_late}");
        assert!(of_late.ends_with("Z main/2]  INFO a volume is full"), "{of_late}");
        assert!(outside.starts_with("20") && outside.ends_with("INFO nobody's node"), "{outside}");
    }

    #[test]
    fn long_times_are_told_in_weeks_and_days() {
        let told = |seconds| Elapsed(Duration::from_secs(seconds)).to_string();
        assert_eq!(told(59), "59.000s");
        assert_eq!(told(3_600), "1h0m0.000s");
        assert_eq!(told(604_800 * 3 + 86_400 + 61), "3w1d0h1m1.000s");
    }
}
