//! Reads what the verbs of the network, of disks and of clocks take.

use std::time::Duration;

use swarm_cluster::{DiskFault, Ending, LinkChange, Reply};

use super::{Names, link, select};
use crate::language::model::{
    ClockVerb, Company, Direction, DiskSelector, DiskVerb, NetworkVerb, NodeSelector, Truncated,
    Verb,
};
use crate::language::reader::{Reader, Table};
use crate::language::units;
use crate::language::words::{Takes, VERBS, Word};

/// Reads the verb of this word, if it is one of these.
pub(super) fn read(
    reader: &Reader<'_>,
    names: &Names,
    table: &Table<'_>,
    word: &str,
) -> Option<Verb> {
    let source = Source { reader, names, table, word };
    let fault = |fault| Some(Verb::Disk(DiskVerb::Fault(source.disks()?, fault)));
    let to_disks = |verb: fn(DiskSelector) -> DiskVerb| source.disks().map(verb).map(Verb::Disk);
    // Nothing would come of a fault that meets no part of anything.
    let share_ppm = |key| {
        let share = table.unit(key, "\"0.1%\"", units::share)?;
        if share == 0 {
            reader.problem(table.key_span(key), format!("`{key}` is nothing at all"));
        }
        Some(share)
    };
    let damage = |verb: fn(DiskSelector, u32) -> DiskVerb| {
        Some(Verb::Disk(verb(source.disks()?, share_ppm("share")?)))
    };
    let clock = |verb| Some(Verb::Clock(verb));
    match word {
        "cut" => source.cut().map(Verb::Network),
        "half-open" => source.nodes("nodes").map(NetworkVerb::HalfOpen).map(Verb::Network),
        "degrade" => source.degrade().map(Verb::Network),
        "truncate" => source.truncate().map(Verb::Network),
        "lose-reply" => Some(Verb::Network(NetworkVerb::LoseReply {
            nodes: source.nodes("nodes")?,
            reply: if source.choice("reply", "success")? == "any" {
                Reply::Any
            } else {
                Reply::Success
            },
            ending: source.ending()?,
        })),
        "slow-disk" => fault(DiskFault::Slow {
            latency: table.duration("latency")?,
            bandwidth: table.unit("bandwidth", "\"80MiB/s\"", units::bandwidth)?.div_ceil(8),
            over: if table.has("over") { table.duration("over")? } else { Duration::ZERO },
        }),
        "stall-disk" => fault(DiskFault::Stalled),
        "fail-reads" => fault(DiskFault::FailReads { share_ppm: share_ppm("share")? }),
        "fail-writes" => fault(DiskFault::FailWrites { share_ppm: share_ppm("share")? }),
        "fail-syncs" => fault(DiskFault::FailSyncs { share_ppm: share_ppm("share")? }),
        "lie-about-syncs" => fault(DiskFault::LieAboutSyncs),
        "misdirect" => fault(DiskFault::Misdirect { share_ppm: share_ppm("share")? }),
        "fill" => fault(DiskFault::Full { share_ppm: share_ppm("to")? }),
        "read-only" => fault(DiskFault::ReadOnly),
        "rot" => damage(DiskVerb::Rot),
        "unreadable" => damage(DiskVerb::Unreadable),
        "heal-disk" => to_disks(DiskVerb::Heal),
        "pull-disk" => to_disks(DiskVerb::Pull),
        "insert-disk" => source.insert().map(Verb::Disk),
        "replace-disk" => to_disks(DiskVerb::Replace),
        "lose-index" => to_disks(DiskVerb::LoseIndex),
        "skew" => clock(ClockVerb::Skew(source.nodes("nodes")?, source.offset("offset")?)),
        "drift" => {
            clock(ClockVerb::Drift(source.nodes("nodes")?, table.whole("ppm", units::PPM_MAX)?))
        }
        "step-clock" => clock(ClockVerb::Step(source.nodes("nodes")?, source.offset("by")?)),
        "skip" => {
            let by = table.span_of_time("by")?;
            if by.min.is_zero() {
                reader.problem(table.key_span("by"), "`by` is no time at all");
            }
            clock(ClockVerb::Skip(by))
        }
        _ => None,
    }
}

/// Where a verb's arguments stand.
struct Source<'a> {
    reader: &'a Reader<'a>,
    names: &'a Names,
    table: &'a Table<'a>,
    word: &'a str,
}

impl Source<'_> {
    /// Nodes, or those that `each` comes to.
    fn nodes(&self, key: &str) -> Option<NodeSelector> {
        let Some(text) = self.table.text(key) else { return Some(NodeSelector::Each) };
        let selector = select::nodes(self.reader, self.names, &text)?;
        if matches!(selector, NodeSelector::Rest(_)) && key != "to" {
            self.reader.problem(&text.span, "`rest of` belongs into `groups` or `to`");
        }
        Some(selector)
    }

    /// Disks, or those that `each` comes to.
    fn disks(&self) -> Option<DiskSelector> {
        match self.table.text("disks") {
            Some(text) => select::disks(self.reader, self.names, &text),
            None => Some(DiskSelector::Each),
        }
    }

    fn offset(&self, key: &str) -> Option<i64> {
        self.table.unit(key, "\"+10m\"", units::offset)
    }

    /// One of the words that a key of this verb takes.
    fn choice(&self, key: &str, default: &str) -> Option<String> {
        if !self.table.has(key) {
            return Some(default.to_owned());
        }
        let verb = VERBS.iter().find(|verb| verb.word.word == self.word)?;
        let known: &[Word] = match verb.arguments.iter().find(|word| word.word == key)?.takes {
            Takes::OneOf(words) => words,
            _ => &[],
        };
        Some(self.table.word(key, &format!("value of `{key}`"), known)?.value)
    }

    fn ending(&self) -> Option<Ending> {
        Some(match self.choice("ending", "reset")?.as_str() {
            "silence" => Ending::Silence,
            _ => Ending::Reset,
        })
    }

    fn cut(&self) -> Option<NetworkVerb> {
        let direction = match self.choice("direction", "both")?.as_str() {
            "out" => Direction::Out,
            "in" => Direction::In,
            _ => Direction::Both,
        };
        let (nodes, to) = match (self.has_nodes(), self.table.has("link"), self.table.has("to")) {
            (true, false, true) => (self.nodes("nodes")?, Some(self.nodes("to")?)),
            (true, false, false) => (self.nodes("nodes")?, None),
            (false, true, false) => {
                let (one, other) = self.link()?;
                (NodeSelector::All(one), Some(NodeSelector::All(other)))
            }
            _ => {
                let what = "`nodes` are cut off, or a `link` is cut, which needs no `to`";
                self.reader.problem(self.table.span(), what);
                return None;
            }
        };
        let from_itself = match (&nodes, &to) {
            (NodeSelector::These(nodes), Some(NodeSelector::These(to))) => {
                nodes.iter().find(|node| to.contains(node)).map(ToString::to_string)
            }
            (NodeSelector::All(_) | NodeSelector::Step(_), Some(to)) if *to == nodes => {
                self.table.text("to").map(|text| text.value)
            }
            _ => None,
        };
        if let Some(what) = from_itself {
            let what = format!("`{what}` cannot be cut off from itself");
            self.reader.problem(self.table.key_span("to"), what);
        }
        Some(NetworkVerb::Cut { nodes, to, direction })
    }

    fn has_nodes(&self) -> bool {
        self.table.has("nodes") || self.table.has("each")
    }

    /// The clusters at the ends of a link.
    fn link(&self) -> Option<(String, String)> {
        let text = self.table.text("link")?;
        let ends = self.names.links.get(&text.value);
        if ends.is_none() {
            let known = self.names.links.keys().map(String::as_str);
            self.reader.unknown(&text.span, "link", &text.value, known);
        }
        ends.cloned()
    }

    fn degrade(&self) -> Option<NetworkVerb> {
        let Self { reader, names, table, .. } = self;
        let within = |text: &str| names.clusters.contains_key(text).then(|| text.to_owned());
        let with = match self.choice("with", "nodes")?.as_str() {
            "clients" => Company::Clients,
            _ => Company::Nodes,
        };
        let (nodes, with) = match (self.has_nodes(), table.text("link")) {
            (true, None) => (self.nodes("nodes")?, with),
            (false, Some(text)) => match within(&text.value) {
                Some(cluster) => (NodeSelector::All(cluster), with),
                None => {
                    let (one, other) = self.link()?;
                    if table.has("with") {
                        let what = "a link is between clusters, not `with` anybody";
                        reader.problem(table.key_span("with"), what);
                    }
                    (NodeSelector::All(one), Company::These(NodeSelector::All(other)))
                }
            },
            _ => {
                reader.problem(table.span(), "a network is degraded around `nodes` or on a `link`");
                return None;
            }
        };
        let share = |key: &str| table.unit(key, "\"0.1%\"", units::share);
        let change = LinkChange {
            latency: link::latency(table),
            bandwidth_bits: table.unit("bandwidth", "\"10Gbit\"", units::bandwidth),
            loss_ppm: share("loss"),
            duplicate_ppm: share("duplicate"),
            reorder_ppm: share("reorder"),
        };
        if change == LinkChange::default() {
            let what = "say what becomes worse: latency, bandwidth, loss, duplicate, reorder";
            reader.problem(table.span(), what);
        }
        Some(NetworkVerb::Degrade { nodes, with, change })
    }

    fn truncate(&self) -> Option<NetworkVerb> {
        let Self { reader, names, table, .. } = self;
        let request = match (table.text("workload"), table.has("nodes") || table.has("each")) {
            (Some(workload), false) => {
                if !names.workloads.contains(&workload.value) {
                    let known = names.workloads.iter().map(String::as_str);
                    reader.unknown(&workload.span, "workload", &workload.value, known);
                    return None;
                }
                let nth = if table.has("nth") { table.count("nth")? } else { 1 };
                Truncated::OfWorkload(workload.value, nth)
            }
            (None, true) => Truncated::ToNodes(self.nodes("nodes")?),
            _ => {
                reader.problem(table.span(), "a request is one of a `workload` or one to `nodes`");
                return None;
            }
        };
        let at_byte = table.unit("at_byte", "\"2KiB\"", units::size)?;
        Some(NetworkVerb::Truncate { request, at_byte, ending: self.ending()? })
    }

    fn insert(&self) -> Option<DiskVerb> {
        let into = match self.table.text("into") {
            None => None,
            Some(text) => {
                let selector = select::nodes(self.reader, self.names, &text)?;
                self.reader.not_live(&text.span, "a disk in another node");
                let one = match &selector {
                    NodeSelector::These(nodes) => nodes.len() == 1,
                    NodeSelector::Some(count, _) => *count == 1,
                    NodeSelector::Step(_) | NodeSelector::Each => true,
                    NodeSelector::All(_) | NodeSelector::Rest(_) => false,
                };
                if !one {
                    self.reader.problem(&text.span, "disks are plugged into one node");
                }
                Some(selector)
            }
        };
        Some(DiskVerb::Insert(self.disks()?, into))
    }
}
