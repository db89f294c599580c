//! `swarm-sim cluster feed …`: the feeds of a cluster that runs in another process, found by its folder.
//!
//! Owns the command line, the tables and the exit status. What is asked for goes over the management port.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value, json};
use swarm_cluster::live::{HostSpec, LiveWorld, Running, addresses};
use swarm_scenario::language::model::Feed as FeedOfFile;
use swarm_scenario::language::{FeedFile, read_feeds};

use super::admin::{Admin, Door, FEEDS, Login, Trouble};
use super::define::{Defined, all, define, find, for_scripts, gone, target_of};
use super::file::offset_of;
use super::{BROKEN, FAILED, WRONG, runtime};
use crate::say::say;

/// Said below the help.
pub(super) const STATUS: &str = "\
Exit status: 0 done; 1 the cluster refuses; 2 the command line or the file is wrong, or there is no such feed; 3 no cluster \
runs in the folder, or no node of it answers.";

#[derive(clap::Subcommand)]
pub(crate) enum Feed {
    /// All feeds, and how they stand.
    List(At),
    /// One feed: its definition, what it has done, how it stands on each node.
    Show(One),
    /// Create the feeds of a file; one that there is already gets what the file says.
    Create {
        /// A scenario file, or one with nothing but `[feed.NAME]` tables, which then say `hosts`, `port` and `cluster_name`.
        file: PathBuf,
        #[command(flatten)]
        at: At,
    },
    /// Let a feed rest: transfers that are under way end, nothing new begins.
    Pause(One),
    /// Let a feed go on.
    Resume(One),
    /// Evaluate every object anew; the target is asked about each.
    Restart(One),
    /// Verify every object anew; for a replication feed the same as restart.
    Refresh(One),
    /// Forget a feed; what it brought to its target stays there.
    Delete(One),
}

#[derive(clap::Args)]
pub(crate) struct At {
    /// The folder of the cluster, as `cluster up --dir` has it or prints it.
    #[arg(long)]
    dir: PathBuf,
    /// The administrator of the cluster.
    #[arg(long, value_name = "NAME:PASSWORD", default_value = "admin:ourpwdofchoicehere", value_parser = parse_login)]
    user: Login,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(crate) struct One {
    /// Name of the feed, or its number.
    feed: String,
    #[command(flatten)]
    at: At,
}

fn parse_login(text: &str) -> Result<Login, String> {
    let (name, password) = text.split_once(':').ok_or("not NAME:PASSWORD")?;
    Ok((name.to_owned(), password.to_owned()))
}

/// Why a command was not carried out, and the exit status that tells it.
struct Failed(String, u8);

impl From<Trouble> for Failed {
    fn from(trouble: Trouble) -> Self {
        let status = if matches!(trouble, Trouble::Refused { .. }) { FAILED } else { BROKEN };
        Self(trouble.to_string(), status)
    }
}

impl Feed {
    pub(crate) fn run(self) -> ExitCode {
        let runtime = match runtime() {
            Ok(runtime) => runtime,
            Err(status) => return status,
        };
        let world = LiveWorld::new(runtime.handle().clone());
        match runtime.block_on(self.carry_out(&world)) {
            Ok(lines) => {
                lines.iter().for_each(|line| say!("{line}"));
                ExitCode::SUCCESS
            }
            Err(Failed(why, status)) => {
                eprintln!("{why}");
                ExitCode::from(status)
            }
        }
    }

    const fn at(&self) -> &At {
        match self {
            Self::List(at) | Self::Create { at, .. } => at,
            Self::Show(one)
            | Self::Pause(one)
            | Self::Resume(one)
            | Self::Restart(one)
            | Self::Refresh(one)
            | Self::Delete(one) => &one.at,
        }
    }

    async fn carry_out(self, world: &LiveWorld) -> Result<Vec<String>, Failed> {
        let At { dir, user, json } = self.at();
        let running = Running::find(dir).map_err(|error| Failed(error.to_string(), BROKEN))?;
        // What is wrong with a file is told before anybody is asked.
        let file = match &self {
            Self::Create { file, .. } => Some(FeedsHere::read(file, &running)?),
            _ => None,
        };
        let name = "cluster feed".to_owned();
        let host = world.host(HostSpec { name, ip: Ipv4Addr::LOCALHOST, disks: Vec::new() });
        let nodes = running.nodes.iter();
        let nodes = nodes.map(|node| Door { scsp: node.scsp, management: node.management });
        let admin = Admin::new(host.env(), &running.name, nodes.collect(), Some(user.clone()));
        let json = *json;
        match self {
            Self::List(_) => list(&admin, json).await,
            Self::Show(One { feed, .. }) => show(&named(&admin, &feed).await?, json),
            Self::Create { .. } => create(&admin, file.unwrap_or_default(), json).await,
            Self::Pause(one) => change(&admin, &one.feed, Order::Pause, json).await,
            Self::Resume(one) => change(&admin, &one.feed, Order::Resume, json).await,
            Self::Restart(one) => change(&admin, &one.feed, Order::Restart, json).await,
            Self::Refresh(one) => change(&admin, &one.feed, Order::Refresh, json).await,
            Self::Delete(one) => change(&admin, &one.feed, Order::Delete, json).await,
        }
    }
}

/// What is done to a feed.
#[derive(Clone, Copy)]
enum Order {
    Pause,
    Resume,
    Restart,
    Refresh,
    Delete,
}

impl Order {
    /// Said when it is done.
    const fn done(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Restart => "restarted",
            Self::Refresh => "refreshed",
            Self::Delete => "deleted",
        }
    }
}

async fn change(
    admin: &Admin,
    name: &str,
    order: Order,
    json: bool,
) -> Result<Vec<String>, Failed> {
    let feed = named(admin, name).await?;
    let path = format!("{FEEDS}/{}", feed["id"]);
    let rests = |paused: bool| json!({ "paused": paused });
    let after = match order {
        Order::Pause => admin.manage("PATCH", &path, Some(&rests(true))).await?,
        Order::Resume => admin.manage("PATCH", &path, Some(&rests(false))).await?,
        Order::Restart => admin.manage("POST", &format!("{path}/restart"), None).await?,
        Order::Refresh => admin.manage("POST", &format!("{path}/refresh"), None).await?,
        Order::Delete => {
            admin.manage("DELETE", &path, None).await?;
            gone(&feed)
        }
    };
    if json {
        return Ok(vec![pretty(&for_scripts(after))]);
    }
    Ok(vec![format!("feed {} '{}': {}", after["id"], text(&after["name"]), order.done())])
}

async fn named(admin: &Admin, name: &str) -> Result<Value, Failed> {
    match find(admin, name).await? {
        Some(feed) => Ok(feed),
        None => {
            let feeds = all(admin).await?;
            let known: Vec<String> =
                feeds.iter().map(|feed| text(&feed["name"]).to_owned()).collect();
            let known = match known.as_slice() {
                [] => "; the cluster has none".to_owned(),
                known => format!("; there is {}", known.join(", ")),
            };
            Err(Failed(format!("no feed '{name}'{known}"), WRONG))
        }
    }
}

async fn list(admin: &Admin, json: bool) -> Result<Vec<String>, Failed> {
    let feeds = all(admin).await?;
    if json {
        return Ok(vec![pretty(&feeds.into_iter().map(for_scripts).collect())]);
    }
    if feeds.is_empty() {
        return Ok(vec!["no feeds".to_owned()]);
    }
    let head = ["ID", "NAME", "STATUS", "TARGET", "PENDING", "RETRYING", "DONE", "WHY"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(feeds.iter().map(row));
    Ok(table(&rows))
}

/// The line of a feed.
fn row(feed: &Value) -> [String; 8] {
    let stats = &feed["stats"];
    let count = |name: &str| stats[name].as_u64().unwrap_or_default();
    let pending = count("pendingEvaluation") + count("pendingProcessing") + count("inProgress");
    [
        feed["id"].to_string(),
        text(&feed["name"]).to_owned(),
        text(&feed["status"]).to_owned(),
        target_of(feed),
        pending.to_string(),
        count("retrying").to_string(),
        count("success").to_string(),
        reasons(feed),
    ]
}

/// Why the feed does not work where it does not, each reason once.
fn reasons(feed: &Value) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    for node in feed["nodes"].as_array().into_iter().flatten() {
        if let Some(reason) = node["reason"].as_str()
            && !reasons.contains(&reason)
        {
            reasons.push(reason);
        }
    }
    reasons.join("; ")
}

/// Columns as wide as what is in them; counts to the right.
fn table<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let is_count = |column: usize| {
        rows.iter().skip(1).all(|row| row[column].bytes().all(|byte| byte.is_ascii_digit()))
            && rows.iter().skip(1).any(|row| !row[column].is_empty())
    };
    let cell = |(column, text): (usize, &String)| match widths[column] {
        width if is_count(column) => format!("{text:>width$}"),
        width => format!("{text:<width$}"),
    };
    let line = |row: &[String; N]| {
        let cells: Vec<String> = row.iter().enumerate().map(cell).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn show(feed: &Value, json: bool) -> Result<Vec<String>, Failed> {
    if json {
        return Ok(vec![pretty(&for_scripts(feed.clone()))]);
    }
    let mut rows = Vec::new();
    let simple = feed.as_object().into_iter().flatten();
    for (name, value) in
        simple.filter(|(name, _)| !matches!(&***name, "_links" | "stats" | "nodes"))
    {
        rows.push([name.clone(), shown(value)]);
    }
    for (name, value) in feed["stats"].as_object().into_iter().flatten() {
        rows.push([name.clone(), shown(value)]);
    }
    for node in feed["nodes"].as_array().into_iter().flatten() {
        let reason = node["reason"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
        let stale = if node["stale"] == true { " (not heard of for a while)" } else { "" };
        let value = format!("{}{reason}{stale}", text(&node["status"]));
        rows.push([format!("on {}", text(&node["node"])), value]);
    }
    Ok(table(&rows))
}

/// A value in one line, texts without quotes.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}")
}

/// The feeds of a file that begin at one cluster, and where they go.
#[derive(Debug, Default)]
struct FeedsHere(Vec<(FeedOfFile, Vec<SocketAddr>)>);

impl FeedsHere {
    /// Where the other clusters of a scenario file are follows from where this one is: they stand in the order of the file.
    fn read(path: &Path, running: &Running) -> Result<Self, Failed> {
        let wrong = |why: String| Failed(why, WRONG);
        let shown = path.display().to_string();
        let text =
            std::fs::read_to_string(path).map_err(|error| wrong(format!("{shown}: {error}")))?;
        let FeedFile { feeds, clusters } = read_feeds(&shown, &text).map_err(|problems| {
            wrong(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })?;
        let own = running.nodes.first().map(|node| node.scsp);
        let base = own.and_then(|own| match own {
            SocketAddr::V4(own) => {
                let offset = offset_of(&clusters, &running.name)?;
                Some((u32::from(*own.ip()).checked_sub(offset)?, own.port()))
            }
            SocketAddr::V6(_) => None,
        });
        let target = |feed: &FeedOfFile| {
            let (base, port) = base?;
            let to = feed.to.as_ref()?;
            let (_, nodes) = clusters.iter().find(|(name, _)| name == to)?;
            let first = base.checked_add(offset_of(&clusters, to)?)?;
            Some(addresses(Ipv4Addr::from(first), *nodes, port))
        };
        let is_here = |feed: &FeedOfFile| feed.from.is_empty() || feed.from == running.name;
        let here: Vec<_> = feeds
            .into_iter()
            .filter(is_here)
            .map(|feed| {
                let target = target(&feed).unwrap_or_default();
                (feed, target)
            })
            .collect();
        if here.is_empty() {
            return Err(wrong(format!("{shown} has no feed from '{}'", running.name)));
        }
        Ok(Self(here))
    }
}

async fn create(admin: &Admin, file: FeedsHere, json: bool) -> Result<Vec<String>, Failed> {
    let mut defined: Vec<Defined> = Vec::new();
    for (feed, target) in &file.0 {
        let one = define(admin, feed, target).await.map_err(|trouble| {
            let Failed(why, status) = trouble.into();
            Failed(format!("feed {}: {why}", feed.name), status)
        })?;
        defined.push(one);
    }
    if json {
        return Ok(vec![pretty(&json!(defined))]);
    }
    Ok(defined.iter().map(ToString::to_string).collect())
}

#[cfg(test)]
mod tests {
    use swarm_cluster::live::RunningNode;

    use super::*;

    fn feed(id: u64, reason: Value) -> Value {
        json!({
            "id": id, "name": "to-dr", "status": "Processing", "clusterName": "dr", "hosts": ["127.0.0.21"], "port": 8080,
            "stats": { "pendingEvaluation": 2, "pendingProcessing": 30, "inProgress": 4, "retrying": 1, "success": 700 },
            "nodes": [{ "node": "127.0.0.11", "status": "Processing", "reason": reason, "stale": false }],
        })
    }

    #[test]
    fn a_list_is_a_table_with_counts_to_the_right() {
        let head = ["ID", "NAME", "STATUS", "TARGET", "PENDING", "RETRYING", "DONE", "WHY"];
        let why = json!("the target does not answer");
        let rows = [head.map(str::to_owned), row(&feed(0, Value::Null)), row(&feed(10, why))];
        let told = [
            "ID  NAME   STATUS      TARGET                 PENDING  RETRYING  DONE  WHY",
            " 0  to-dr  Processing  dr at 127.0.0.21:8080       36         1   700",
            "10  to-dr  Processing  dr at 127.0.0.21:8080       36         1   700  the target does not answer",
        ];
        assert_eq!(table(&rows), told);
    }

    #[test]
    fn a_feed_is_shown_line_by_line() {
        let told =
            show(&feed(0, json!("why not")), false).map_err(|Failed(why, _)| why).expect("shown");
        assert!(told.iter().any(|line| line.starts_with("clusterName ") && line.ends_with(" dr")));
        assert!(told.iter().any(|line| line.contains("Processing: why not")), "{told:?}");
    }

    #[test]
    fn where_another_cluster_of_a_file_is_follows_from_where_this_one_is() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("two.toml");
        let text = "schema = 1\ntitle = \"t\"\nwhy = \"w\"\n[cluster.main]\nnodes = 3\n[cluster.dr]\nnodes = 2\n\
                    [feed.back]\nfrom = \"dr\"\nto = \"main\"\n[feed.to-dr]\nfrom = \"main\"\nto = \"dr\"\n";
        std::fs::write(&path, text).expect("written");
        let at = |last, port| SocketAddr::from(([127, 5, 0, last], port));
        let node =
            RunningNode { node: "main/1".to_owned(), scsp: at(61, 90), management: at(61, 91) };
        let running =
            |name: &str| Running { name: name.to_owned(), process: 1, nodes: vec![node.clone()] };
        let read = |name| FeedsHere::read(&path, &running(name)).map_err(|Failed(why, _)| why);
        let main = read("main").expect("one feed").0;
        assert_eq!((main.len(), &*main[0].0.name), (1, "to-dr"));
        assert_eq!(main[0].1, [at(71, 90), at(72, 90)]);
        assert_eq!(read("dr").expect("the other").0[0].1[0], at(51, 90));
        assert!(read("west").expect_err("a stranger").contains("has no feed from 'west'"));
    }
}
