//! `swarm-sim cluster …`: clusters on real sockets and files, to develop clients against.

mod admin;
mod define;
mod feed;
mod file;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::task::Poll;
use std::time::Duration;

use swarm_cluster::NodePanic;
use swarm_cluster::live::{
    Contents, Folder, FolderError, LiveCluster, LiveSpec, LiveWorld, UpError,
};
use swarm_scenario::catalogue::LoadError;
use swarm_scenario::language::units;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::say::say;

use file::{File, Prepared};

/// A node panicked, or refused what an administrator wants.
const FAILED: u8 = 1;
/// The command line is wrong, or asks for what this machine cannot give.
const WRONG: u8 = 2;
/// The cluster did not come up, or did not go down, for no fault of the user.
const BROKEN: u8 = 3;

const NAME: &str = "main";
const NODES: u32 = 3;
const VOLUMES: u32 = 1;
const SIZE: u64 = 4 << 30;
/// Clusters side by side begin at addresses this far apart, so that theirs are easy to tell apart.
const ADDRESS_STEP: u32 = 10;
const CLUSTERS_MAX: u32 = 8;
/// How often a running cluster is looked at for nodes that have stopped by themselves.
const WATCH_EVERY: Duration = Duration::from_millis(250);

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// Start a cluster on loopback addresses and keep it until Ctrl-C.
    Up(Up),
    /// Show and change the feeds of a running cluster.
    #[command(subcommand, after_help = feed::STATUS)]
    Feed(feed::Feed),
}

#[derive(clap::Args)]
pub(crate) struct Up {
    /// A scenario file, or the name of a scenario: its clusters are started, with their domains, buckets and feeds. Each has its
    /// folder NAME in --dir.
    #[arg(conflicts_with_all = ["nodes", "clusters", "volumes", "size"])]
    file: Option<String>,
    /// Name of the cluster; two of one name and port on one machine would join and are refused [default: main, or what --dir holds].
    /// With FILE: start this one of its clusters; another process may start the others.
    #[arg(long)]
    name: Option<String>,
    /// Number of nodes [default: 3, or what --dir holds].
    #[arg(long)]
    nodes: Option<u32>,
    /// Address of the first node; the others follow. With FILE: of the first node of its first cluster.
    #[arg(long, default_value = "127.0.0.11")]
    address: Ipv4Addr,
    /// SCSP port of every node; the three after it are used too.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Folder to keep the objects in; without it they go with the cluster.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// How many clusters to start side by side, each with --nodes nodes: NAME, NAME-2, …
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(CLUSTERS_MAX)))]
    clusters: u32,
    /// Volumes of each node [default: 1, or what --dir holds].
    #[arg(long)]
    volumes: Option<u32>,
    /// Size of each volume; only what is written takes space [default: 4GiB, or what --dir holds].
    #[arg(long, value_parser = parse_size)]
    size: Option<u64>,
    /// A Swarm setting by its documented name, such as `policy.replicas=min:1 max:3 default:3`; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_setting)]
    settings: Vec<(String, String)>,
    /// Print one JSON object with the addresses instead of text.
    #[arg(long)]
    json: bool,
    /// What to log to standard error, such as `info` or `swarm_node=debug`.
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    log: String,
}

fn parse_size(text: &str) -> Result<u64, String> {
    units::size(text).ok_or_else(|| "not a size such as 512MiB or 4GiB".to_owned())
}

fn parse_setting(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("not NAME=VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

impl Command {
    pub(crate) fn run(self) -> ExitCode {
        match self {
            Self::Up(up) => up.run(),
            Self::Feed(feed) => feed.run(),
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, ExitCode> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        eprintln!("no threads to run on: {error}");
        ExitCode::from(BROKEN)
    })
}

impl Up {
    fn run(self) -> ExitCode {
        let filter = tracing_subscriber::EnvFilter::try_new(&self.log);
        let Ok(filter) = filter else {
            eprintln!("--log {}: not a log filter", self.log);
            return ExitCode::from(WRONG);
        };
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_timer(swarm_cluster::log::Stamp)
            .with_writer(std::io::stderr)
            .init();
        let file = match self.file.as_deref().map(|file| self.read(file)).transpose() {
            Ok(file) => file,
            Err(why) => {
                eprintln!("{why}");
                return ExitCode::from(WRONG);
            }
        };
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(status) => return status,
        };
        let world = LiveWorld::new(runtime.handle().clone());
        runtime.block_on(self.serve(&world, file.as_ref()))
    }

    /// The file whose clusters are started.
    fn read(&self, file: &str) -> Result<File, String> {
        let loaded = crate::scenario::catalogue().load(file);
        let loaded = loaded.map_err(|error: LoadError| error.to_string())?;
        let file = File::choose(loaded, self.name.as_deref(), self.address, self.port)?;
        file.left_out().iter().for_each(|note| eprintln!("{note}"));
        Ok(file)
    }

    async fn serve(self, world: &LiveWorld, file: Option<&File>) -> ExitCode {
        // Asked for first: a signal during the start must stop what has been started.
        let mut stop = match Stop::new() {
            Ok(stop) => stop,
            Err(error) => {
                eprintln!("signals cannot be caught: {error}");
                return ExitCode::from(BROKEN);
            }
        };
        let mut clusters = Vec::new();
        let started = async {
            self.start_all(world, file, &mut clusters).await?;
            prepare_all(file, &clusters).await
        };
        let mut status = match first(started, stop.asked()).await {
            First::Left(Ok(prepared)) => {
                if self.json {
                    say!("{}", describe_json(&clusters, &prepared));
                } else {
                    say!("{}", describe(&clusters, &prepared).trim_end());
                }
                watch(&clusters, &mut stop).await
            }
            First::Left(Err(status)) => status,
            First::Right(()) => 0,
        };
        match first(stop_all(clusters), stop.asked()).await {
            First::Left(0) => {}
            First::Left(stopped) => status = stopped,
            First::Right(()) => {
                eprintln!("asked twice to stop: the nodes end as if killed");
                status = BROKEN;
            }
        }
        ExitCode::from(status)
    }

    async fn start_all(
        &self,
        world: &LiveWorld,
        file: Option<&File>,
        clusters: &mut Vec<LiveCluster>,
    ) -> Result<(), u8> {
        let wrong = |why: String| {
            eprintln!("{why}");
            WRONG
        };
        let specs = match file {
            Some(file) => file.specs(self.dir.as_deref(), &self.settings),
            None => (0..self.clusters)
                .map(|number| self.spec(number))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| wrong(error.to_string()))?,
        };
        // All of them before the first starts: a line that is wrong starts nothing.
        if let Some(error) = specs.iter().find_map(|spec| spec.check().err()) {
            return Err(wrong(error.to_string()));
        }
        for spec in specs {
            match LiveCluster::start(world, spec).await {
                Ok(cluster) => clusters.push(cluster),
                Err(error) => {
                    let status = wrong(error.to_string());
                    return Err(match error {
                        UpError::NotReady { .. } => BROKEN,
                        _ => status,
                    });
                }
            }
        }
        Ok(())
    }

    /// The cluster of this number: what the folder holds, where the command line does not say otherwise.
    fn spec(&self, number: u32) -> Result<LiveSpec, FolderError> {
        let named = self.name.clone().unwrap_or_else(|| NAME.to_owned());
        let name = if number == 0 { named } else { format!("{named}-{}", number + 1) };
        let folder = match &self.dir {
            Some(dir) if self.clusters > 1 => Some(dir.join(&name)),
            dir => dir.clone(),
        };
        let held = folder.as_deref().map(Folder::contents).transpose()?.flatten();
        let usual = Contents {
            name: name.clone(),
            nodes: NODES,
            volumes_per_node: VOLUMES,
            volume_size: SIZE,
        };
        let held = held.unwrap_or(usual);
        let nodes = self.nodes.unwrap_or(held.nodes);
        let step = nodes.next_multiple_of(ADDRESS_STEP);
        Ok(LiveSpec {
            name: if self.name.is_some() || number > 0 { name } else { held.name },
            nodes,
            address: Ipv4Addr::from(u32::from(self.address).saturating_add(number * step)),
            port: self.port,
            volumes_per_node: self.volumes.unwrap_or(held.volumes_per_node),
            volume_size: self.size.unwrap_or(held.volume_size),
            folder,
            apart: false,
            settings: self.settings.iter().cloned().collect(),
            node_settings: [].into(),
        })
    }
}

/// Brings what a file says to clusters that are ready. All of them, since one may ask another.
async fn prepare_all(file: Option<&File>, clusters: &[LiveCluster]) -> Result<Vec<Prepared>, u8> {
    let mut all = Vec::new();
    for cluster in clusters {
        let prepared = match file {
            Some(file) => file.prepare(cluster).await,
            None => Ok(Prepared::default()),
        };
        let prepared = prepared.map_err(|(why, is_wrong)| {
            eprintln!("{why}");
            if is_wrong { WRONG } else { BROKEN }
        })?;
        prepared.notes.iter().for_each(|note| eprintln!("{note}"));
        all.push(prepared);
    }
    Ok(all)
}

/// Waits for a signal, and tells of nodes that stop by themselves meanwhile.
async fn watch(clusters: &[LiveCluster], stop: &mut Stop) -> u8 {
    let mut told = Vec::new();
    loop {
        for cluster in clusters {
            for NodePanic { node, message, .. } in cluster.panics() {
                if !told.contains(&node) {
                    eprintln!("{node} panicked and is off: {message}");
                    told.push(node);
                }
            }
        }
        let asked = match clusters.first() {
            Some(cluster) => cluster.env().timeout(WATCH_EVERY, stop.asked()).await.is_ok(),
            None => true,
        };
        if asked {
            return if told.is_empty() { 0 } else { FAILED };
        }
    }
}

async fn stop_all(clusters: Vec<LiveCluster>) -> u8 {
    let mut status = 0;
    for cluster in clusters {
        if let Err(error) = cluster.stop().await {
            eprintln!("{error}");
            status = BROKEN;
        }
    }
    status
}

fn describe(clusters: &[LiveCluster], prepared: &[Prepared]) -> String {
    let mut text = String::new();
    for (cluster, prepared) in clusters.iter().zip(prepared) {
        let spec = cluster.spec();
        let folder = cluster.folder().display();
        let fate = if spec.folder.is_some() { "kept" } else { "removed on stop" };
        let size = units::show_size(spec.volume_size);
        let volumes = if spec.volumes_per_node == 1 { "volume" } else { "volumes" };
        text +=
            &format!("Cluster '{}' is ready; its objects are in {folder} ({fate}).\n", spec.name);
        for node in cluster.nodes() {
            let (scsp, management) = (cluster.scsp(&node), cluster.management(&node));
            let name = node.to_string();
            text += &format!("  {name:<10} SCSP http://{scsp}  management http://{management}");
            text += &format!("  {} {volumes} of {size}\n", spec.volumes_per_node);
        }
        for feed in &prepared.feeds {
            text += &format!("  {feed}\n");
        }
    }
    if let Some((cluster, node)) =
        clusters.first().and_then(|cluster| Some((cluster, cluster.nodes().into_iter().next()?)))
    {
        let scsp = cluster.scsp(&node);
        text += "Write an object, read it back by the UUID in the answer:\n";
        text += &format!(
            "  curl -i --location-trusted --post301 -H 'Content-Type: text/plain' --data-binary 'hello' http://{scsp}/\n"
        );
        text += &format!("  curl -i --location-trusted http://{scsp}/UUID\n");
    }
    text + "Ctrl-C stops.\n"
}

fn describe_json(clusters: &[LiveCluster], prepared: &[Prepared]) -> serde_json::Value {
    let cluster = |(cluster, prepared): (&LiveCluster, &Prepared)| {
        let spec = cluster.spec();
        let node = |node| {
            let (scsp, management) = (cluster.scsp(&node), cluster.management(&node));
            serde_json::json!({
                "node": node.to_string(),
                "scsp": scsp.to_string(),
                "management": management.to_string(),
            })
        };
        serde_json::json!({
            "name": spec.name,
            "folder": cluster.folder(),
            "temporary": spec.folder.is_none(),
            "group": spec.group().to_string(),
            "nodes": cluster.nodes().into_iter().map(node).collect::<Vec<_>>(),
            "feeds": prepared.feeds,
        })
    };
    serde_json::json!({ "clusters": clusters.iter().zip(prepared).map(cluster).collect::<Vec<_>>() })
}

/// Which of two futures completed first.
enum First<A, B> {
    Left(A),
    Right(B),
}

/// Drives two futures until one completes; the left one is asked first.
async fn first<A, B>(left: impl Future<Output = A>, right: impl Future<Output = B>) -> First<A, B> {
    let (mut left, mut right) = (std::pin::pin!(left), std::pin::pin!(right));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = left.as_mut().poll(cx) {
            return Poll::Ready(First::Left(output));
        }
        right.as_mut().poll(cx).map(First::Right)
    })
    .await
}

/// The signals that end a cluster.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn asked(&mut self) {
        std::future::poll_fn(|cx| {
            // Both are asked, so that either wakes this task.
            let interrupted = self.interrupt.poll_recv(cx).is_ready();
            let terminated = self.terminate.poll_recv(cx).is_ready();
            if interrupted || terminated { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    fn up(line: &str) -> Result<Up, clap::Error> {
        let words = ["swarm-sim", "up"].into_iter().chain(line.split_whitespace());
        match Line::try_parse_from(words)?.command {
            Command::Up(up) => Ok(up),
            Command::Feed(_) => unreachable!("the line says up"),
        }
    }

    fn spec(line: &str, number: u32) -> LiveSpec {
        up(line).expect("a good line").spec(number).expect("a usable folder")
    }

    #[test]
    fn a_bare_line_is_three_nodes_on_loopback() {
        let spec = spec("", 0);
        assert_eq!((&*spec.name, spec.nodes, spec.port), ("main", 3, 8080));
        assert_eq!(spec.address, Ipv4Addr::new(127, 0, 0, 11));
        assert_eq!((spec.volumes_per_node, spec.volume_size, spec.folder), (1, 4 << 30, None));
    }

    #[test]
    fn clusters_side_by_side_have_names_addresses_and_folders_of_their_own() {
        let line = "--clusters 3 --nodes 12 --name dev --dir /data/swarm --size 1.5GiB";
        let third = spec(line, 2);
        assert_eq!((&*third.name, third.address), ("dev-3", Ipv4Addr::new(127, 0, 0, 51)));
        assert_eq!(third.folder, Some(PathBuf::from("/data/swarm/dev-3")));
        assert_eq!(third.volume_size, 3 << 29);
        assert_ne!(third.group(), spec(line, 1).group());
    }

    #[test]
    fn a_folder_says_what_the_line_leaves_out() {
        let parent = tempfile::TempDir::new().expect("a folder");
        let held = Contents {
            name: "old".to_owned(),
            nodes: 5,
            volumes_per_node: 2,
            volume_size: 1 << 30,
        };
        Folder::take(parent.path(), &held).expect("new").close().expect("closed");
        let dir = format!("--dir {}", parent.path().display());
        let same = spec(&dir, 0);
        assert_eq!(
            (&*same.name, same.nodes, same.volumes_per_node, same.volume_size),
            ("old", 5, 2, 1 << 30)
        );
        let renamed = spec(&format!("{dir} --name new"), 0);
        assert_eq!((&*renamed.name, renamed.nodes), ("new", 5), "refused when the folder is taken");
    }

    #[test]
    fn settings_are_taken_as_they_stand() {
        let spec = spec("--set cluster.enforceTenancy=True --set disk.obsoleteTimeout=60", 0);
        assert_eq!(spec.settings["cluster.enforceTenancy"], "True");
        assert_eq!(spec.settings.len(), 2);
        for wrong in [
            "--set nothing",
            "--size huge",
            "--clusters 0",
            "--address localhost",
            "f.toml --nodes 4",
        ] {
            assert!(up(wrong).is_err(), "{wrong}");
        }
    }
}
