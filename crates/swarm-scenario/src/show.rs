//! A scenario as a reader wants it before a run: its world, what happens when, what must hold.
//!
//! Times that follow from the file are worked out; what waits for an event of a run stands under what it waits for.

use std::collections::BTreeSet;
use std::time::Duration;

use swarm_cluster::{ClusterSpec, DiskKind, InterLinkSpec};

use crate::language::model::{Feed, FeedMode, Pace, Scenario, Start, Step, Workload};
use crate::language::tell::{show_latency, show_offset, show_share};
use crate::language::timeline::{self, Times};
use crate::language::units::{Span, show, show_size};
use crate::language::words::INVARIANTS;

/// The scenario in lines.
#[must_use]
pub fn show_scenario(scenario: &Scenario) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", scenario.name, scenario.title)];
    lines.push(format!("  {}", scenario.why));
    if !scenario.tags.is_empty() {
        lines.push(format!("  tags: {}", scenario.tags.join(", ")));
    }
    lines.push(format!(
        "  at rest within {} simulated, {} of wall time",
        show(scenario.limit.sim),
        show(scenario.limit.wall)
    ));
    lines.push("world".to_owned());
    for (name, cluster) in &scenario.clusters {
        lines.extend(world(name, cluster));
    }
    lines.extend(scenario.links.iter().map(|(name, spec)| link(name, spec)));
    lines.extend(scenario.feeds.iter().map(feed));
    let contexts = scenario.domains.iter().chain(&scenario.buckets);
    let mut contexts: Vec<&str> = contexts.map(|context| context.path.as_str()).collect();
    contexts.dedup();
    if !contexts.is_empty() {
        lines.push(format!("  contexts: {}", contexts.join(", ")));
    }
    lines.push("timeline".to_owned());
    lines.extend(Timeline::of(scenario).lines());
    lines.push("expected".to_owned());
    lines.extend(
        scenario.expects.iter().map(|expect| format!("  {}: {}", expect.when, expect.subject)),
    );
    lines.push(invariants(scenario));
    lines
}

fn link(name: &str, link: &InterLinkSpec) -> String {
    let ((one, other), link) = (&link.between, &link.link);
    format!(
        "  {name}: between {one} and {other}; {}, {} Mbit/s, {} lost",
        show_latency(link.latency),
        link.bandwidth_bits / 1_000_000,
        show_share(link.loss_ppm)
    )
}

fn feed(feed: &Feed) -> String {
    let Feed { name, from, to, fields, by_step } = feed;
    let to = to.as_ref().or(fields.cluster_name.as_ref()).map_or("elsewhere", String::as_str);
    let deletes = if feed.propagates() { "" } else { ", without deletes" };
    let rests = if fields.paused == Some(true) { ", at rest at first" } else { "" };
    let by_step = if *by_step { ", when a step creates it" } else { "" };
    let mode = fields.mode.unwrap_or(FeedMode::Post).word();
    let domains = feed.domains().shown();
    format!("  {name}: from {from} to {to} by {mode}: {domains}{deletes}{rests}{by_step}")
}

fn world(name: &str, cluster: &ClusterSpec) -> Vec<String> {
    let kind = match cluster.disk {
        DiskKind::Nvme => "nvme".to_owned(),
        DiskKind::Ssd => "ssd".to_owned(),
        DiskKind::Hdd => "hdd".to_owned(),
        DiskKind::Own { latency, bandwidth } => {
            format!("disk ({} a request, {}/s)", show(latency), show_size(bandwidth))
        }
    };
    let mut lines = vec![format!(
        "  {name}: {} nodes, each with {} {kind} of {}; network {}, {} Mbit/s, {} lost",
        cluster.nodes,
        cluster.volumes_per_node,
        show_size(cluster.volume_size),
        show_latency(cluster.lan.latency),
        cluster.lan.bandwidth_bits / 1_000_000,
        show_share(cluster.lan.loss_ppm)
    )];
    lines.extend(cluster.settings.iter().map(|(name, value)| format!("    {name} = {value}")));
    for (node, own) in &cluster.node_settings {
        let own =
            own.iter().map(|(setting, value)| format!("    {setting} of {name}/{node} = {value}"));
        lines.extend(own);
    }
    for (node, clock) in &cluster.clocks {
        let offset = show_offset(clock.offset_ns);
        let drift = match clock.drift_ppm {
            0 => String::new(),
            ppm => format!(", drift {ppm} ppm"),
        };
        lines.push(format!("    clock of {name}/{node}: {offset}{drift}"));
    }
    lines
}

fn invariants(scenario: &Scenario) -> String {
    let judged = INVARIANTS.iter().filter(|word| word.built).map(|word| {
        let waivers = scenario.waive.iter().filter(|waiver| waiver.invariant == word.word);
        let waived: Vec<String> = waivers
            .map(|waiver| match &waiver.during {
                Some(window) => format!(" (waived during {window}: {})", waiver.because),
                None => format!(" (waived: {})", waiver.because),
            })
            .collect();
        format!("{}{}", word.word, waived.concat())
    });
    format!("  always: {}", judged.collect::<Vec<_>>().join(", "))
}

/// One thing that happens.
struct Item<'a> {
    name: Option<&'a str>,
    start: Option<&'a Start>,
    times: Times,
    text: String,
}

struct Timeline<'a> {
    items: Vec<Item<'a>>,
}

impl<'a> Timeline<'a> {
    fn of(scenario: &'a Scenario) -> Self {
        let known = timeline::Timeline::of(&scenario.workloads, &scenario.steps);
        let workloads = scenario.workloads.iter().enumerate().map(|(number, workload)| Item {
            name: Some(workload.name.as_str()),
            start: workload.start.as_ref(),
            times: known.of_workload(number),
            text: of_workload(workload),
        });
        let steps = scenario.steps.iter().enumerate().map(|(number, step)| Item {
            name: step.name.as_deref(),
            start: Some(&step.start),
            times: known.of_step(number),
            text: of_step(step),
        });
        Self { items: workloads.chain(steps).collect() }
    }

    fn lines(&self) -> Vec<String> {
        let mut order: Vec<usize> = (0..self.items.len()).collect();
        order.sort_by_key(|number| {
            let from = self.items[*number].times.from;
            (from.is_none(), from.unwrap_or(Span::exactly(Duration::ZERO)), *number)
        });
        let mut told = BTreeSet::new();
        let mut lines = Vec::new();
        // What has a time comes in its order; what waits stands under what it waits for.
        for number in &order {
            if self.items[*number].times.from.is_some() || self.parent(*number).is_none() {
                self.tell(*number, 0, &order, &mut told, &mut lines);
            }
        }
        for number in &order {
            self.tell(*number, 0, &order, &mut told, &mut lines);
        }
        lines
    }

    fn tell(
        &self,
        number: usize,
        depth: usize,
        order: &[usize],
        told: &mut BTreeSet<usize>,
        lines: &mut Vec<String>,
    ) {
        if !told.insert(number) {
            return;
        }
        let item = &self.items[number];
        let when = match (item.times.from, item.start) {
            (Some(from), Some(Start::After { .. })) => {
                format!("{from} ({})", item.start.map(ToString::to_string).unwrap_or_default())
            }
            (Some(from), _) => from.to_string(),
            (None, Some(start)) => format!("after {start}"),
            (None, None) => "when a step starts it".to_owned(),
        };
        let until = item.times.to.filter(|to| Some(*to) != item.times.from);
        let until = until.map(|to| format!(" until {to}")).unwrap_or_default();
        let name = item.name.map(|name| format!("{name}: ")).unwrap_or_default();
        lines.push(format!("  {}{when}{until}  {name}{}", "  ".repeat(depth), item.text));
        for child in order {
            if self.items[*child].times.from.is_none() && self.parent(*child) == Some(number) {
                self.tell(*child, depth + 1, order, told, lines);
            }
        }
    }

    /// What an item waits for, if that is another one.
    fn parent(&self, number: usize) -> Option<usize> {
        let Some(Start::After { event, .. }) = self.items[number].start else { return None };
        let name = timeline::whose(event)?;
        self.items.iter().position(|item| item.name == Some(name))
    }
}

fn of_workload(workload: &Workload) -> String {
    if let Some(program) = &workload.program {
        return format!("the program `{program}` on {}", workload.on);
    }
    let pace = match workload.pace {
        Pace::Open { rate, operations } => {
            let thousandths = rate.thousandths;
            let rate = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
            let rate = rate.trim_end_matches('0').trim_end_matches('.').to_owned();
            let most = operations.map(|most| format!(", at most {most}")).unwrap_or_default();
            format!("{rate} operations{most}")
        }
        Pace::Closed(operations) => format!("{operations} operations"),
    };
    let per = match workload.pace {
        Pace::Open { rate, .. } => format!(" every {}", show(rate.period)),
        Pace::Closed(_) => String::new(),
    };
    let mix: Vec<String> = workload
        .mix
        .iter()
        .map(|(operation, weight)| format!("{weight} {}", operation.word()))
        .collect();
    format!("{pace}{per} of {} clients on {}: {}", workload.clients, workload.on, mix.join(", "))
}

fn of_step(step: &Step) -> String {
    let mut text = step.verb.to_string();
    if let Some(lasts) = step.lasts {
        text.push_str(&format!(", for {lasts}"));
    }
    if let Some((every, count)) = step.repeat {
        text.push_str(&format!(", {count} times, every {every}"));
    }
    if let Some(each) = &step.each {
        text.push_str(&format!("; {} one after another", each.targets));
        if let Some(until) = &each.until {
            text.push_str(&format!(", each until {until}"));
        }
        if !each.wait.max.is_zero() {
            text.push_str(&format!(", {} between", each.wait));
        }
    }
    if step.may_be_inert {
        text.push_str(" (may change nothing)");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_follow_from_the_file_are_worked_out_and_the_rest_stands_under_its_cause() {
        let text = r#"
schema = 1
title = "Something breaks"
why = "Nothing is lost."
tags = ["gate"]
waive = [{ invariant = "tidy", because = "it is not looked at" }]
[cluster.main]
nodes = 3
clock = { 2 = "-10m" }
subclusters = { rack-a = [1], rack-b = [2, 3] }
volumes = { latency = "2ms", bandwidth = "100MB/s" }
[domain."acme.example"]
[bucket."acme.example/scans"]
[workload.ingest]
during = "1m..20m"
rate = "2.5/s"
clients = 4
mix = { write = 60, read = 40 }
in = "acme.example/scans"
[[step]]
after = "blackout ends"
wait = "30s"
do = "isolate"
nodes = "1 of main"
for = "10s..20s"
as = "cut"
[[step]]
at = "2m..3m"
do = "power-off"
nodes = "2 of main"
for = "6m"
as = "blackout"
[[step]]
after = "ingest: 200th write half sent"
do = "kill"
nodes = "main/3"
as = "dead"
[[step]]
after = "dead starts"
wait = "1m"
do = "start"
nodes = "dead"
[[step]]
at = "5m"
each = "all of main"
until = "main healthy"
do = "restart"
as = "rolling"
[[step]]
every = "90s"
times = 4
do = "break-multicast"
nodes = "main/1"
for = "20s"
[[expect]]
after = "cut ends"
within = "5m"
that = "healthy"
"#;
        let scenario = crate::language::read("x.toml", text).expect("reads");
        let shown = show_scenario(&scenario);
        let timeline: Vec<&str> = shown
            .iter()
            .skip_while(|line| *line != "timeline")
            .take_while(|line| *line != "expected")
            .map(String::as_str)
            .collect();
        assert_eq!(
            timeline,
            [
                "timeline",
                "  1m until 20m  ingest: 2.5 operations every 1s of 4 clients on main: 60 write, 40 read",
                "    after ingest: 200th write half sent  dead: kill main/3",
                "      after dead starts + 1m  start those of dead",
                "  1m30s until 6m20s  break-multicast main/1, for 20s, 4 times, every 1m30s",
                "  2m..3m until 8m..9m  blackout: power-off 2 of main, for 6m",
                "  5m  rolling: restart each, down for 30s; all of main one after another, each until main healthy",
                "  8m30s..9m30s (blackout ends + 30s) until 8m40s..9m50s  cut: isolate 1 of main, for 10s..20s",
            ]
        );
        let all = shown.join("\n");
        assert!(all.contains("clock of main/2: -10m"), "{all}");
        assert!(all.contains("node.subcluster of main/3 = rack-b"), "{all}");
        assert!(all.contains("each with 1 disk (2ms a request, 95.3MiB/s) of 1GiB"), "{all}");
        assert!(all.contains("within 5m after cut ends: main healthy"), "{all}");
        assert!(all.contains("tidy (waived: it is not looked at)"), "{all}");
    }
}
