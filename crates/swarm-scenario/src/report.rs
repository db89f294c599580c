//! What a run says: a verdict, a line, a story, and the same as JSON.

use std::time::Duration;

use serde_json::{Value, json};

use crate::language::units::show;

/// A failure is told in at most so many lines.
const STORY_MAX: usize = 25;

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All held.
    Held,
    /// An invariant or expectation failed, or a node panicked.
    Failed,
    /// The scenario asks for what makes no sense.
    Wrong(String),
    /// The harness failed.
    Harness(String),
    /// The wall limit ended it.
    Inconclusive,
}

impl Verdict {
    /// The word of the JSON form.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Failed => "failed",
            Self::Wrong(_) => "wrong",
            Self::Harness(_) => "harness",
            Self::Inconclusive => "inconclusive",
        }
    }

    /// The exit status that scripts depend on.
    #[must_use]
    pub const fn exit_status(&self) -> u8 {
        match self {
            Self::Held => 0,
            Self::Failed => 1,
            Self::Wrong(_) => 2,
            Self::Harness(_) => 3,
            Self::Inconclusive => 4,
        }
    }
}

/// A run of one scenario and seed.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// Name of the scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// What came of it.
    pub verdict: Verdict,
    /// Hash of the event trace; empty where the run did not end.
    pub trace_hash: String,
    /// Events of the simulation.
    pub events: u64,
    /// Simulated time, from the beginning of the world.
    pub simulated: Duration,
    /// Wall time, filled in by whoever has a clock.
    pub wall: Duration,
    /// Operations of clients.
    pub operations: u64,
    /// Bytes of the bodies that clients sent.
    pub body_bytes: u64,
    /// The faults and what they changed.
    pub faults: Vec<FaultReport>,
    /// The expectations and whether they held.
    pub expectations: Vec<ExpectationReport>,
    /// Violations of invariants as headlines.
    pub violations: Vec<ViolationReport>,
    /// The closest call; `None` if nothing was ever acknowledged.
    pub closest: Option<ClosestReport>,
    /// How the clusters mended their losses; `None` if no volume was lost.
    pub recovery: Option<RecoveryReport>,
    /// What feeds carried.
    pub feeds: Vec<FeedReport>,
    /// Steps and workloads that waited for what never came.
    pub never: Vec<String>,
    /// The failure, told.
    pub story: Vec<String>,
    /// Invariants given up by the scenario, with reasons.
    pub waived: Vec<String>,
    /// The replay token.
    pub replay: String,
}

/// One fault.
#[derive(Debug, Clone)]
pub struct FaultReport {
    /// Index of the step that made it.
    pub step: usize,
    /// What was done to whom.
    pub what: String,
    /// When, since the start of the scenario.
    pub at: Duration,
    /// How many outcomes it changed.
    pub effects: u64,
}

/// One expectation.
#[derive(Debug, Clone)]
pub struct ExpectationReport {
    /// As a sentence.
    pub text: String,
    /// Whether it held.
    pub held: bool,
    /// When that was decided, since the start of the scenario.
    pub at: Duration,
    /// What was seen.
    pub detail: String,
}

/// The acknowledged object that once had the fewest usable copies: on nodes that ran, and undamaged.
#[derive(Debug, Clone)]
pub struct ClosestReport {
    /// How many copies.
    pub copies: usize,
    /// How many it was acknowledged with.
    pub acknowledged: usize,
    /// The object.
    pub object: String,
    /// When, since the start of the scenario.
    pub at: Duration,
}

impl ClosestReport {
    /// `1 copy left of acme.example/scans/17 at 9m31s`; `None` where no fault took any of its copies.
    fn told(&self) -> Option<String> {
        let copies = if self.copies == 1 { "copy" } else { "copies" };
        (self.copies < self.acknowledged).then(|| {
            format!("{} {copies} left of {} at {}", self.copies, self.object, show(self.at))
        })
    }
}

/// How volumes that were lost were made good.
#[derive(Debug, Clone)]
pub struct RecoveryReport {
    /// How many were lost.
    pub volumes: usize,
    /// The longest time from a loss until every object had the copies that are demanded of it; `None` if that never came.
    pub longest: Option<Duration>,
    /// Replicas that no client's write made, in the whole run.
    pub copies_moved: u64,
}

impl RecoveryReport {
    /// `1 volume lost, recovery time 12m31s, 3400 copies moved`.
    fn told(&self) -> String {
        let lost = match self.volumes {
            1 => "1 volume lost".to_owned(),
            volumes => format!("{volumes} volumes lost"),
        };
        let time = self.longest.map_or("not fully recovered".to_owned(), |time| {
            format!("recovery time {}", show(time))
        });
        format!("{lost}, {time}, {} copies moved", self.copies_moved)
    }
}

/// What one feed carried.
#[derive(Debug, Clone)]
pub struct FeedReport {
    /// Its name.
    pub name: String,
    /// How many acknowledged changes it was to carry.
    pub changes: usize,
    /// How long they took to be at the target: half of them, 99 in 100, the slowest; `None` where that never came.
    pub rpo: [Option<Duration>; 3],
    /// From the end of the last fault until nothing was missing; `None` if that never came.
    pub drain: Option<Duration>,
    /// Bytes from the one cluster to the other; `None` where nobody counts them.
    pub bytes: Option<u64>,
}

impl FeedReport {
    /// `rpo p99 41s`; `None` where there was nothing to carry.
    fn told(&self) -> Option<String> {
        let p99 = self.rpo[1].map_or("never".to_owned(), show);
        (self.changes > 0).then(|| format!("rpo p99 {p99}"))
    }

    fn json(&self) -> Value {
        let [p50, p99, max] = self.rpo.map(|delay| delay.map(seconds));
        json!({
            "name": self.name,
            "changes": self.changes,
            "rpo": { "p50": p50, "p99": p99, "max": max },
            "drain_s": self.drain.map(seconds),
            "sent_bytes": self.bytes,
        })
    }
}

/// One violation.
#[derive(Debug, Clone)]
pub struct ViolationReport {
    /// The invariant.
    pub invariant: &'static str,
    /// When it was seen, since the start of the scenario.
    pub at: Duration,
    /// What was seen.
    pub what: String,
}

impl RunReport {
    /// `PASS rot seed 7: 24m simulated in 0.4s, 800 operations, 3 faults bit, closest call: 1 copy left of acme.example/scans/17 at 9m31s`.
    #[must_use]
    pub fn line(&self) -> String {
        let word = match self.verdict {
            Verdict::Held => "PASS",
            Verdict::Failed => "FAIL",
            Verdict::Wrong(_) => "WRONG",
            Verdict::Harness(_) => "HARNESS",
            Verdict::Inconclusive => "INCONCLUSIVE",
        };
        let bit = self.faults.iter().filter(|fault| fault.effects > 0).count();
        let faults = match (&self.verdict, bit) {
            // Nobody has counted them.
            (Verdict::Inconclusive, _) => String::new(),
            (_, 1) => ", 1 fault bit".to_owned(),
            (_, bit) => format!(", {bit} faults bit"),
        };
        let wall = format!("{}.{:02}s", self.wall.as_secs(), self.wall.subsec_millis() / 10);
        let mut line = format!(
            "{word} {} seed {}: {} simulated in {wall}, {} operations{faults}",
            self.scenario,
            self.seed,
            show(self.simulated),
            self.operations
        );
        for feed in &self.feeds {
            let name = if self.feeds.len() > 1 { format!("{} ", feed.name) } else { String::new() };
            line.push_str(&feed.told().map_or(String::new(), |told| format!(", {name}{told}")));
        }
        if let Some(recovery) = &self.recovery {
            line.push_str(&format!(", {}", recovery.told()));
        }
        if let Some(call) = self.closest.as_ref().and_then(ClosestReport::told) {
            line.push_str(&format!(", closest call: {call}"));
        }
        if !self.never.is_empty() {
            line.push_str(&format!(", never came: {}", self.never.join(", ")));
        }
        for waived in &self.waived {
            line.push_str(&format!(", waives {waived}"));
        }
        match &self.verdict {
            Verdict::Wrong(why) | Verdict::Harness(why) => format!("{line}: {why}"),
            Verdict::Inconclusive => format!("{line}: the wall limit ended it"),
            _ => line,
        }
    }

    /// The failure in at most 25 lines, the last of them the command that repeats it.
    #[must_use]
    pub fn told(&self) -> Vec<String> {
        let mut lines = self.story.clone();
        lines.truncate(STORY_MAX - 1);
        lines.push(format!("  replay: cargo xtask scenario replay {}", self.replay));
        lines
    }

    /// The run as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut value = json!({
            "scenario": self.scenario,
            "seed": self.seed,
            "verdict": self.verdict.word(),
            "trace_hash": self.trace_hash,
            "events": self.events,
            "simulated_s": seconds(self.simulated),
            "wall_s": seconds(self.wall),
            "operations": self.operations,
            "body_bytes": self.body_bytes,
            "faults": self.faults.iter().map(|fault| json!({
                "what": fault.what, "at": seconds(fault.at), "effects": fault.effects,
            })).collect::<Vec<_>>(),
            "expectations": self.expectations.iter().map(|expectation| json!({
                "text": expectation.text, "held": expectation.held, "at": seconds(expectation.at), "detail": expectation.detail,
            })).collect::<Vec<_>>(),
            "violations": self.violations.iter().map(|violation| json!({
                "invariant": violation.invariant, "at": seconds(violation.at), "what": violation.what,
            })).collect::<Vec<_>>(),
            "closest_call": self.closest.as_ref().map(|call| json!({
                "copies": call.copies, "acknowledged": call.acknowledged, "object": call.object, "at": seconds(call.at),
            })),
            "recovery": self.recovery.as_ref().map(|recovery| json!({
                "volumes_lost": recovery.volumes,
                "recovery_time_s": recovery.longest.map(seconds),
                "copies_moved": recovery.copies_moved,
            })),
            "feeds": self.feeds.iter().map(FeedReport::json).collect::<Vec<_>>(),
            "never_came": self.never,
            "waived": self.waived,
            "replay": self.replay,
        });
        if let Verdict::Wrong(why) | Verdict::Harness(why) = &self.verdict {
            value["why"] = json!(why);
        }
        if self.verdict == Verdict::Failed {
            value["story"] = json!(self.told());
        }
        value
    }
}

/// Seconds with their fraction; the only floating point here, and nothing is computed from it.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(verdict: Verdict) -> RunReport {
        RunReport {
            scenario: "rot".to_owned(),
            seed: 7,
            verdict,
            trace_hash: "ab".to_owned(),
            events: 1,
            simulated: Duration::from_secs(1440),
            wall: Duration::from_millis(412),
            operations: 800,
            body_bytes: 9_000_000,
            faults: vec![FaultReport {
                step: 0,
                what: "rot main/1/1".to_owned(),
                at: Duration::from_secs(60),
                effects: 3,
            }],
            expectations: Vec::new(),
            violations: Vec::new(),
            closest: None,
            recovery: None,
            feeds: Vec::new(),
            never: Vec::new(),
            story: (0..40).map(|line| format!("line {line}")).collect(),
            waived: Vec::new(),
            replay: "rot:7:0000abcd".to_owned(),
        }
    }

    #[test]
    fn a_run_is_summed_up_in_one_line() {
        assert_eq!(
            report(Verdict::Held).line(),
            "PASS rot seed 7: 24m simulated in 0.41s, 800 operations, 1 fault bit"
        );
        let harness = report(Verdict::Harness("two runs of one seed differ".to_owned()));
        assert!(harness.line().ends_with(": two runs of one seed differ"));
    }

    #[test]
    fn a_close_call_is_told_with_its_object_and_its_time() {
        let mut report = report(Verdict::Held);
        assert_eq!(report.json()["closest_call"], Value::Null);
        report.closest = Some(ClosestReport {
            copies: 2,
            acknowledged: 2,
            object: "acme.example/scans/17".to_owned(),
            at: Duration::from_millis(571_400),
        });
        assert!(!report.line().contains("closest"), "no fault took a copy of anything");
        report.closest.as_mut().expect("set above").copies = 1;
        let told = ", closest call: 1 copy left of acme.example/scans/17 at 9m31s";
        assert!(report.line().ends_with(told), "{}", report.line());
        report.closest.as_mut().expect("set above").copies = 0;
        assert!(report.line().contains(": 0 copies left of "), "{}", report.line());
        let json = &report.json()["closest_call"];
        assert_eq!((&json["copies"], &json["acknowledged"]), (&json!(0), &json!(2)));
        assert_eq!(
            (&json["object"], &json["at"]),
            (&json!("acme.example/scans/17"), &json!(571.4))
        );
    }

    #[test]
    fn losses_are_told_with_how_long_they_took_to_mend() {
        let mut report = report(Verdict::Held);
        assert_eq!(report.json()["recovery"], Value::Null);
        report.recovery = Some(RecoveryReport {
            volumes: 1,
            longest: Some(Duration::from_secs(751)),
            copies_moved: 3400,
        });
        let told = ", 1 volume lost, recovery time 12m31s, 3400 copies moved";
        assert!(report.line().ends_with(told), "{}", report.line());
        assert_eq!(report.json()["recovery"]["recovery_time_s"], json!(751.0));
        report.recovery = Some(RecoveryReport { volumes: 2, longest: None, copies_moved: 0 });
        let told = ", 2 volumes lost, not fully recovered, 0 copies moved";
        assert!(report.line().ends_with(told), "{}", report.line());
        assert_eq!(report.json()["recovery"]["recovery_time_s"], Value::Null);
    }

    #[test]
    fn what_feeds_carried_is_told_by_their_names_if_there_are_several() {
        let mut report = report(Verdict::Held);
        let feed = |name: &str, p99: Option<u64>| FeedReport {
            name: name.to_owned(),
            changes: 30,
            rpo: [Some(Duration::from_secs(1)), p99.map(Duration::from_secs), None],
            drain: p99.map(|_| Duration::from_secs(90)),
            bytes: Some(7),
        };
        report.feeds = vec![feed("to-dr", Some(41))];
        assert!(report.line().ends_with(", rpo p99 41s"), "{}", report.line());
        let json = &report.json()["feeds"][0];
        assert_eq!(json["rpo"], json!({ "p50": 1.0, "p99": 41.0, "max": null }));
        assert_eq!((&json["drain_s"], &json["changes"]), (&json!(90.0), &json!(30)));
        report.feeds.push(feed("back", None));
        let told = ", to-dr rpo p99 41s, back rpo p99 never";
        assert!(report.line().ends_with(told), "{}", report.line());
    }

    #[test]
    fn a_story_has_at_most_25_lines_and_ends_with_its_replay() {
        let told = report(Verdict::Failed).told();
        assert_eq!(told.len(), 25);
        assert_eq!(told[24], "  replay: cargo xtask scenario replay rot:7:0000abcd");
    }

    #[test]
    fn the_json_form_has_the_fields_that_scripts_read() {
        let json = report(Verdict::Failed).json();
        for field in [
            "scenario",
            "seed",
            "verdict",
            "trace_hash",
            "events",
            "simulated_s",
            "wall_s",
            "operations",
            "body_bytes",
            "faults",
            "expectations",
            "replay",
        ] {
            assert!(json.get(field).is_some(), "{field}");
        }
        assert_eq!(json["faults"][0]["effects"], 3);
    }

    #[test]
    fn exit_statuses_are_as_scripts_know_them() {
        let statuses: Vec<u8> = [
            Verdict::Held,
            Verdict::Failed,
            Verdict::Wrong(String::new()),
            Verdict::Harness(String::new()),
            Verdict::Inconclusive,
        ]
        .iter()
        .map(Verdict::exit_status)
        .collect();
        assert_eq!(statuses, [0, 1, 2, 3, 4]);
    }
}
