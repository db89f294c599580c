//! The clusters of a scenario file, live: which are started and where, the domains and buckets that they have, their feeds.
//!
//! Addresses follow from the order of the file, so that two processes that start one cluster each of one file know where the
//! other's is. What a file says beyond that is told, and left out.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use swarm_client::Request;
use swarm_cluster::live::{LiveCluster, LiveSpec, addresses};
use swarm_cluster::{DiskKind, LinkSpec};
use swarm_scenario::catalogue::Loaded;
use swarm_scenario::language::model::{Context, Feed, Scenario};
use swarm_scenario::language::nearest;

use super::ADDRESS_STEP;
use super::admin::{Admin, Door, Trouble};
use super::define::{Defined, define};

/// How long another cluster may take to say whether it has a domain.
const ELSEWHERE: Duration = Duration::from_secs(2);

/// A scenario file, and which of its clusters are started here.
pub(super) struct File {
    path: String,
    scenario: Scenario,
    chosen: Vec<String>,
    /// Address of the first node of the first cluster of the file.
    address: Ipv4Addr,
    port: u16,
}

/// What a cluster has that its file asks for.
#[derive(Default, serde::Serialize)]
pub(super) struct Prepared {
    pub(super) feeds: Vec<Defined>,
    /// In sentences, what is not as the file might make believe.
    pub(super) notes: Vec<String>,
}

impl File {
    /// The cluster of this name in a file, or all of them.
    ///
    /// # Errors
    /// A sentence if there is no such cluster.
    pub(super) fn choose(
        loaded: Loaded,
        name: Option<&str>,
        address: Ipv4Addr,
        port: u16,
    ) -> Result<Self, String> {
        let Loaded { path, scenario, .. } = loaded;
        let all = &scenario.cluster_order;
        let chosen = match name {
            None => all.clone(),
            Some(name) if all.iter().any(|known| known == name) => vec![name.to_owned()],
            Some(name) => {
                let near = nearest(name, all.iter().map(String::as_str));
                let near = near.map(|near| format!("; did you mean `{near}`?"));
                let known = || format!("; it has {}", all.join(", "));
                return Err(format!("no cluster `{name}` in {path}{}", near.unwrap_or_else(known)));
            }
        };
        Ok(Self { path, scenario, chosen, address, port })
    }

    /// The clusters to start. Each has a folder of its own in `dir`.
    pub(super) fn specs(&self, dir: Option<&Path>, settings: &[(String, String)]) -> Vec<LiveSpec> {
        let spec = |name: &String| {
            let cluster = self.scenario.clusters.get(name)?;
            let mut own = cluster.settings.clone();
            own.extend(settings.iter().cloned());
            Some(LiveSpec {
                name: name.clone(),
                nodes: cluster.nodes,
                address: self.first_address(name),
                port: self.port,
                volumes_per_node: cluster.volumes_per_node,
                volume_size: cluster.volume_size,
                folder: dir.map(|dir| dir.join(name)),
                apart: false,
                settings: own,
                node_settings: cluster.node_settings.clone(),
            })
        };
        self.chosen.iter().filter_map(spec).collect()
    }

    fn first_address(&self, name: &str) -> Ipv4Addr {
        let nodes = |name: &String| Some((name.clone(), self.scenario.clusters.get(name)?.nodes));
        let clusters: Vec<_> = self.scenario.cluster_order.iter().filter_map(nodes).collect();
        let offset = offset_of(&clusters, name).unwrap_or_default();
        Ipv4Addr::from(u32::from(self.address).saturating_add(offset))
    }

    /// The SCSP addresses of a cluster of the file, wherever it runs.
    fn addresses(&self, name: &str) -> Vec<SocketAddr> {
        let nodes = self.scenario.clusters.get(name).map_or(0, |cluster| cluster.nodes);
        addresses(self.first_address(name), nodes, self.port)
    }

    /// What the file says and a live cluster has not, in sentences.
    pub(super) fn left_out(&self) -> Vec<String> {
        let Self { path, scenario, .. } = self;
        let mut notes: Vec<String> = scenario.not_live.iter().map(ToString::to_string).collect();
        let count = |count: usize, one: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            more => Some(format!("{more} {one}s")),
        };
        let parts = [
            count(scenario.workloads.len(), "workload"),
            count(scenario.steps.len(), "step"),
            count(scenario.expects.len(), "expectation"),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if !parts.is_empty() {
            let parts = parts.join(", ");
            let what = "left to `scenario run --live`: here clusters stand, and nothing happens";
            notes.push(format!("{path}: {parts}: {what}"));
        }
        let chosen = || self.chosen.iter().filter_map(|name| scenario.clusters.get(name));
        if chosen().any(|one| one.disk != DiskKind::Ssd || one.lan != LinkSpec::default()) {
            notes.push(format!("{path}: disks and networks are as fast as those of this machine"));
        }
        if chosen().any(|one| !one.clocks.is_empty()) {
            notes.push(format!("{path}: clocks go as that of this machine"));
        }
        let by_step = scenario.feeds.iter().filter(|feed| feed.by_step && self.starts(&feed.from));
        notes.extend(by_step.map(|feed| {
            let name = &feed.name;
            format!("{path}: feed {name} is created by a step: `cluster feed create` does it here")
        }));
        notes
    }

    fn starts(&self, cluster: &str) -> bool {
        self.chosen.iter().any(|chosen| chosen == cluster)
    }

    /// Creates the domains and buckets of a cluster that it does not have, and then its feeds, which carry them.
    ///
    /// # Errors
    /// A sentence, and whether the file is to blame.
    pub(super) async fn prepare(&self, cluster: &LiveCluster) -> Result<Prepared, (String, bool)> {
        let spec = cluster.spec();
        let wrong = |why: String| (why, true);
        let login = spec.administrator().map_err(wrong)?;
        let door = |node| Door { scsp: cluster.scsp(node), management: cluster.management(node) };
        let nodes = cluster.nodes().iter().map(door).collect();
        let admin = Admin::new(cluster.env(), &spec.name, nodes, login);
        let mut prepared = Prepared::default();
        let blame = |what: &str, trouble: Trouble| {
            let is_wrong = matches!(trouble, Trouble::Refused { .. });
            (format!("{}: {what} of {}: {trouble}", self.path, spec.name), is_wrong)
        };
        let contexts = self.scenario.domains.iter().chain(&self.scenario.buckets);
        for context in contexts.filter(|context| context.on == spec.name) {
            let outcome = self.create(cluster, &admin, context).await;
            prepared.notes.extend(outcome.map_err(|trouble| blame(&context.path, trouble))?);
        }
        let feeds = self.scenario.feeds.iter();
        for feed in feeds.filter(|feed| feed.from == spec.name && !feed.by_step) {
            let target = self.target(feed);
            let defined = define(&admin, feed, &target).await;
            let what = format!("feed {}", feed.name);
            prepared.feeds.push(defined.map_err(|trouble| blame(&what, trouble))?);
        }
        Ok(prepared)
    }

    fn target(&self, feed: &Feed) -> Vec<SocketAddr> {
        feed.to.as_ref().map(|to| self.addresses(to)).unwrap_or_default()
    }

    /// Creates a domain or bucket where it is not. One that a cluster has which feeds this one is left to come from there: made
    /// anew it would be another of the same name, and the objects in it would not find theirs.
    async fn create(
        &self,
        cluster: &LiveCluster,
        admin: &Admin,
        context: &Context,
    ) -> Result<Option<String>, Trouble> {
        if is_there(admin, context).await? {
            return Ok(None);
        }
        let feeding = self.scenario.feeds.iter().filter(|feed| {
            feed.to.as_deref() == Some(context.on.as_str())
                && !feed.by_step
                && feed.domains().select(Some(context.domain()))
        });
        for from in feeding.map(|feed| &feed.from) {
            let door = |scsp: SocketAddr| Door { scsp, management: scsp };
            let nodes = self.addresses(from).into_iter().map(door).collect();
            let there = Admin::new(cluster.env(), from, nodes, None);
            let asked = cluster.env().timeout(ELSEWHERE, is_there(&there, context)).await;
            if matches!(asked, Ok(Ok(true))) {
                let (path, on) = (&context.path, &context.on);
                return Ok(Some(format!(
                    "{path} is not created on {on}: {from} has it, from where a feed brings it"
                )));
            }
        }
        let made = admin.ask(|door| {
            let request = Request::new(door.scsp, "POST", context.target())
                .header("Content-Type", "application/castorcontext");
            let given = context.headers.iter();
            given.fold(request, |request, (name, value)| {
                request.header(name.clone(), value.clone().into_bytes())
            })
        });
        made.await.map(|_| None)
    }
}

async fn is_there(admin: &Admin, context: &Context) -> Result<bool, Trouble> {
    match admin.ask(|door| Request::new(door.scsp, "HEAD", context.target())).await {
        Ok(_) => Ok(true),
        Err(Trouble::Refused { status: 404, .. }) => Ok(false),
        Err(trouble) => Err(trouble),
    }
}

/// How many addresses before a cluster belong to those before it in a file.
pub(super) fn offset_of(clusters: &[(String, u32)], name: &str) -> Option<u32> {
    let position = clusters.iter().position(|(known, _)| known == name)?;
    Some(clusters[..position].iter().map(|(_, nodes)| nodes.next_multiple_of(ADDRESS_STEP)).sum())
}

#[cfg(test)]
mod tests {
    use swarm_scenario::language::read;

    use super::*;

    const TWO: &str = r#"
schema = 1
title = "Two"
why = "They stand in the order of the file."
[cluster.west]
nodes = 12
settings = { "disk.obsoleteTimeout" = "60" }
[cluster.east]
nodes = 2
volumes = { per_node = 2, size = "64MiB" }
[link.wan]
between = ["west", "east"]
[feed.over]
from = "west"
to = "east"
[[step]]
at = "1s"
do = "cut"
link = "wan"
"#;

    fn file(name: Option<&str>) -> Result<File, String> {
        let scenario = read("two.toml", TWO).expect("a good file");
        let loaded = Loaded { path: "two.toml".to_owned(), scenario, checksum: 0 };
        File::choose(loaded, name, Ipv4Addr::new(127, 0, 0, 11), 8080)
    }

    #[test]
    fn each_cluster_has_its_addresses_whichever_is_started_here() {
        let both = file(None).expect("two clusters").specs(Some(Path::new("/sites")), &[]);
        let east = file(Some("east")).expect("one of them");
        let one = &east.specs(Some(Path::new("/sites")), &[])[0];
        let shown = |spec: &LiveSpec| (spec.name.clone(), spec.address, spec.folder.clone());
        assert_eq!(both.iter().map(shown).collect::<Vec<_>>()[1], shown(one));
        assert_eq!(shown(one).1, Ipv4Addr::new(127, 0, 0, 31), "the other has twelve nodes");
        assert_eq!((one.nodes, one.volumes_per_node, one.volume_size), (2, 2, 64 << 20));
        assert_eq!(east.addresses("west").len(), 12);
        let set = [("disk.obsoleteTimeout".to_owned(), "90".to_owned())];
        let west = file(Some("west")).expect("there").specs(None, &set);
        assert_eq!(west[0].settings["disk.obsoleteTimeout"], "90", "the line over the file");
    }

    #[test]
    fn a_name_that_is_not_in_the_file_is_told_with_those_that_are() {
        let near = file(Some("eats")).err().expect("no such cluster");
        assert_eq!(near, "no cluster `eats` in two.toml; did you mean `east`?");
        let far = file(Some("dr")).err().expect("no such cluster");
        assert_eq!(far, "no cluster `dr` in two.toml; it has west, east");
    }

    #[test]
    fn what_a_live_cluster_has_not_is_told_with_its_place() {
        let notes = file(None).expect("two clusters").left_out();
        assert!(notes[0].starts_with("two.toml:11:"), "the link: {notes:?}");
        assert!(notes.iter().any(|note| note.contains("1 step: left to")), "{notes:?}");
    }
}
