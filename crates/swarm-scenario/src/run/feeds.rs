//! Feeds as their clusters' administration knows them: defined, changed, paused, and what is left for them to do.
//!
//! All of it goes over the management port, as an operator's tools do it. What feeds really carried is told from disks, in
//! `carried.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use swarm_cluster::{Life, NodeRef};
use swarm_types::Instant;

use super::manage::{ask, ask_cluster, note, spokesman};
use super::watch::{self, FeedStatus, LOOK_EVERY};
use super::{Run, carried, faults, lock};
use crate::definition::{definition, given, spelt_out};
use crate::language::domains::Domains;
use crate::language::model::{Event, Feed, FeedFields, FeedVerb};

const FEEDS: &str = "/api/storage/clusters/_self/feeds";

/// What is known of one feed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// Its number in its cluster, while it is defined there.
    id: Option<u64>,
    /// How often everything was to be evaluated anew, as the answer to the last change told.
    generation: u64,
    /// What it is defined as now.
    fields: FeedFields,
    is_paused: bool,
    /// All numbers that it ever had, and the domains that it ever selected.
    numbers: BTreeSet<u64>,
    ever: Vec<Domains>,
    /// A step has sent it elsewhere.
    is_elsewhere: bool,
    /// The names that steps have given its target.
    named: BTreeSet<String>,
    /// When it was last told to evaluate everything anew.
    evaluated: Instant,
}

/// What a cluster tells of a feed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Told {
    id: Option<u64>,
    generation: u64,
    status: String,
}

/// The feed of this name.
fn feed<'a>(run: &'a Run, name: &str) -> &'a Feed {
    let named = run.scenario.feeds.iter().find(|feed| feed.name == name);
    named.expect("the reader knows all feeds that a file speaks of")
}

/// True while a feed is defined and does not rest.
pub(crate) fn works(run: &Run, feed: &Feed) -> bool {
    let known = known(run, &feed.name);
    known.id.is_some() && !known.is_paused
}

/// The feed that has, or once had, this number in a cluster; `None` also for one that a step has sent elsewhere.
pub(crate) fn with_number<'a>(run: &'a Run, cluster: &str, number: u32) -> Option<&'a Feed> {
    let feeds = lock(&run.feeds);
    run.scenario.feeds.iter().find(|feed| {
        let known = feeds.get(&feed.name);
        feed.from == cluster
            && known.is_some_and(|known| {
                known.numbers.contains(&u64::from(number)) && !known.is_elsewhere
            })
    })
}

/// The domains that feeds to a cluster have ever selected.
pub(crate) fn ever_selected(run: &Run, cluster: &str) -> Vec<Domains> {
    let feeds = lock(&run.feeds);
    let known = run.scenario.feeds.iter().filter_map(|feed| Some((feed, feeds.get(&feed.name)?)));
    let to = known.filter(|(feed, known)| {
        feed.to.as_deref() == Some(cluster) || known.named.contains(cluster)
    });
    to.flat_map(|(_, known)| known.ever.clone()).collect()
}

/// The domains that a feed selects now.
pub(crate) fn domains(run: &Run, feed: &Feed) -> Domains {
    let now = changed(&feed.fields, &known(run, &feed.name).fields);
    now.domains.unwrap_or_default()
}

/// Whether deletes are carried over now.
pub(crate) fn propagates(run: &Run, feed: &Feed) -> bool {
    changed(&feed.fields, &known(run, &feed.name).fields).propagate_deletes.unwrap_or(true)
}

/// Since when a feed is to have evaluated everything that its source has.
pub(crate) fn evaluated_since(run: &Run, feed: &Feed) -> Instant {
    known(run, &feed.name).evaluated
}

fn known(run: &Run, name: &str) -> Known {
    lock(&run.feeds).get(name).cloned().unwrap_or_default()
}

/// What is said and known of a feed after a change of some of its fields.
fn changed(before: &FeedFields, change: &FeedFields) -> FeedFields {
    let (before, change) = (before.clone(), change.clone());
    FeedFields {
        hosts: change.hosts.or(before.hosts),
        port: change.port.or(before.port),
        cluster_name: change.cluster_name.or(before.cluster_name),
        mode: change.mode.or(before.mode),
        domains: change.domains.or(before.domains),
        propagate_deletes: change.propagate_deletes.or(before.propagate_deletes),
        threads: change.threads.or(before.threads),
        retry_wait: change.retry_wait.or(before.retry_wait),
        remote_auth: change.remote_auth.or(before.remote_auth),
        paused: change.paused.or(before.paused),
    }
}

/// Defines the feeds that are there when the clock starts.
///
/// # Errors
/// What was refused, in a sentence.
pub(crate) async fn define_all(run: &Run) -> Result<(), String> {
    for feed in run.scenario.feeds.iter().filter(|feed| !feed.by_step) {
        define(run, feed).await?;
    }
    Ok(())
}

/// The addresses that a feed goes to unless its file says others.
fn target(run: &Run, feed: &Feed) -> Vec<SocketAddr> {
    let nodes = feed.to.as_ref().map(|to| run.world.nodes(to)).unwrap_or_default();
    nodes.iter().map(|node| run.world.scsp(node)).collect()
}

async fn define(run: &Run, feed: &Feed) -> Result<Value, String> {
    let definition = definition(feed, &target(run, feed));
    let node = spokesman(run, &feed.from).ok_or("the cluster has no node")?;
    let sent = run.now();
    let answer =
        ask(run, &node, "POST", FEEDS.to_owned(), Some(&Value::Object(definition))).await?;
    let told: Told = serde_json::from_value(answer.clone()).unwrap_or_default();
    let Some(id) = told.id else {
        return Err(format!("{node} defined the feed {} and told no id: {answer}", feed.name));
    };
    let fields = feed.fields.clone();
    let is_paused = fields.paused.unwrap_or(false);
    let mut feeds = lock(&run.feeds);
    let known = feeds.entry(feed.name.clone()).or_default();
    known.ever.push(feed.domains());
    known.numbers.insert(id);
    (known.id, known.generation, known.evaluated) = (Some(id), told.generation, sent);
    (known.fields, known.is_paused) = (fields, is_paused);
    Ok(answer)
}

/// Does something to a feed. Returns the line of the account.
pub(crate) async fn act(run: &Run, step: usize, verb: &FeedVerb, name: &str) -> usize {
    let line = faults::begin(run, step, format!("{} {name}", verb.word()));
    order(run, step, line, verb, name).await;
    // What only changes a definition is no trouble that goes on.
    if matches!(verb, FeedVerb::Resume | FeedVerb::Restart | FeedVerb::Edit(_) | FeedVerb::Create) {
        faults::undone(run, line);
    }
    line
}

/// Undoes what a step did to a feed.
pub(crate) async fn undo(run: &Run, step: usize, line: usize, verb: &FeedVerb, name: &str) {
    match verb {
        FeedVerb::Create => order(run, step, line, &FeedVerb::Delete, name).await,
        FeedVerb::Pause => order(run, step, line, &FeedVerb::Resume, name).await,
        FeedVerb::Edit(fields) => {
            let feed = feed(run, name);
            let mut before = spelt_out(feed, &feed.fields, &target(run, feed));
            let names = given(fields);
            before.retain(|name, _| names.contains(&name.as_str()));
            let answered = patch(run, name, &Value::Object(before)).await;
            if answered.is_ok()
                && let Some(known) = lock(&run.feeds).get_mut(name)
            {
                known.fields = feed.fields.clone();
            }
            carried::redefined(run, feed);
            note(run, step, answered);
        }
        FeedVerb::Resume | FeedVerb::Restart | FeedVerb::Delete => {}
    }
    faults::undone(run, line);
}

async fn order(run: &Run, step: usize, line: usize, verb: &FeedVerb, name: &str) {
    let answered = match verb {
        FeedVerb::Create => define(run, feed(run, name)).await,
        FeedVerb::Pause => patch(run, name, &json!({ "paused": true })).await,
        FeedVerb::Resume => patch(run, name, &json!({ "paused": false })).await,
        FeedVerb::Restart => send(run, name, "POST", "/restart", None).await,
        FeedVerb::Delete => send(run, name, "DELETE", "", None).await,
        FeedVerb::Edit(fields) => {
            let after = changed(&known(run, name).fields, fields);
            let feed = feed(run, name);
            let mut change = spelt_out(feed, &after, &target(run, feed));
            let names = given(fields);
            change.retain(|name, _| names.contains(&name.as_str()));
            patch(run, name, &Value::Object(change)).await
        }
    };
    if answered.is_ok() {
        faults::changed(run, line, 1);
        if let Some(known) = lock(&run.feeds).get_mut(name) {
            match verb {
                FeedVerb::Pause => known.is_paused = true,
                FeedVerb::Resume => known.is_paused = false,
                FeedVerb::Delete => known.id = None,
                FeedVerb::Edit(fields) => {
                    known.fields = changed(&known.fields, fields);
                    known.ever.extend(fields.domains.clone());
                    // At addresses of a cluster that has another name, nobody takes anything.
                    let (now, first) = (&known.fields, &feed(run, name).fields);
                    known.is_elsewhere |=
                        now.hosts != first.hosts && now.cluster_name != first.cluster_name;
                    known.named.extend(fields.cluster_name.clone());
                }
                FeedVerb::Create | FeedVerb::Restart => {}
            }
        }
        if matches!(verb, FeedVerb::Edit(_)) {
            carried::redefined(run, feed(run, name));
        }
    }
    note(run, step, answered);
}

async fn patch(run: &Run, name: &str, change: &Value) -> Result<Value, String> {
    send(run, name, "PATCH", "", Some(change)).await
}

/// Asks something of the cluster of a feed that is defined, and notes the generation that the answer tells.
async fn send(
    run: &Run,
    name: &str,
    method: &str,
    what: &str,
    body: Option<&Value>,
) -> Result<Value, String> {
    let id = known(run, name).id.ok_or_else(|| format!("the feed {name} is not defined"))?;
    let sent = run.now();
    let answer =
        ask_cluster(run, &feed(run, name).from, method, format!("{FEEDS}/{id}{what}"), body)
            .await?;
    let told: Told = serde_json::from_value(answer.clone()).unwrap_or_default();
    if let Some(known) = lock(&run.feeds).get_mut(name)
        && told.generation > known.generation
    {
        (known.generation, known.evaluated) = (told.generation, sent);
    }
    Ok(answer)
}

/// What a node tells of a feed.
///
/// # Errors
/// Why it tells nothing, in a sentence.
async fn told_by(run: &Run, node: &NodeRef, id: u64) -> Result<Told, String> {
    let answer = ask(run, node, "GET", format!("{FEEDS}/{id}"), None).await?;
    serde_json::from_value(answer)
        .map_err(|error| format!("{node} tells of a feed what cannot be read ({error})"))
}

/// Looks whether nothing is left to be done for a feed, as all nodes of its cluster that run tell it.
///
/// # Errors
/// What is left, in a sentence.
pub(crate) async fn drained(run: &Run, name: &str) -> Result<(), String> {
    let known = known(run, name);
    let id = known.id.ok_or_else(|| format!("the feed {name} is not defined"))?;
    let nodes = run.world.nodes(&feed(run, name).from);
    let running = nodes.into_iter().filter(|node| run.world.life(node) != Life::Off);
    let mut statuses: Vec<(NodeRef, Vec<FeedStatus>)> = Vec::new();
    for node in running {
        let status = watch::status(run, &node).await.map_err(|why| format!("{node} {why}"))?;
        statuses.push((node, status.feeds));
    }
    let Some((node, _)) = statuses.first() else {
        return Err(format!("no node of {} runs", feed(run, name).from));
    };
    judge(id, &statuses).map_err(|why| format!("feed {name}: {why}"))?;
    // All of them work by the same definitions, so that one is enough to know which.
    if told_by(run, node, id).await?.generation < known.generation {
        return Err(format!("feed {name}: {node} has not heard of the last change"));
    }
    Ok(())
}

/// What the words of nodes are against a feed's being drained.
fn judge(id: u64, statuses: &[(NodeRef, Vec<FeedStatus>)]) -> Result<(), String> {
    let mut tables = BTreeSet::new();
    for (node, feeds) in statuses {
        let Some(feed) = feeds.iter().find(|feed| feed.id == id) else {
            return Err(format!("{node} does not know it"));
        };
        if feed.pending > 0 {
            return Err(format!("{node} has {} streams left to do", feed.pending));
        }
        if feed.state.eq_ignore_ascii_case("unknown") {
            return Err(format!("{node} has not begun"));
        }
        tables.insert(&feed.table);
    }
    if tables.len() > 1 {
        return Err("nodes work by different definitions".to_owned());
    }
    Ok(())
}

/// The state of a feed in its cluster, in the language's words.
///
/// # Errors
/// Why nobody tells, in a sentence.
pub(crate) async fn state(run: &Run, name: &str) -> Result<String, String> {
    let Some(id) = known(run, name).id else { return Ok("closed".to_owned()) };
    let node = spokesman(run, &feed(run, name).from).ok_or("the cluster has no node")?;
    Ok(told_by(run, &node, id).await?.status.to_lowercase())
}

/// Waits until a feed is drained; gives up when the run is to end.
pub(crate) async fn until_drained(run: &Run, name: &str) {
    while drained(run, name).await.is_err() && !run.is_over() {
        run.pause(LOOK_EVERY).await;
    }
}

/// Waits until a feed is drained for the first time, and tells the board. Whoever waits for that holds up the end of the run.
pub(crate) async fn tell_when_drained(run: Arc<Run>, name: String) {
    while drained(&run, &name).await.is_err() {
        run.pause(LOOK_EVERY).await;
    }
    run.board.fire(Event::Drained(name), run.now());
}

/// Whether nothing can come to the target of a feed any more: all its nodes say that no volume of theirs takes anything.
pub(crate) async fn is_dead_end(run: &Run, feed: &Feed) -> bool {
    let Some(to) = &feed.to else { return false };
    for node in run.world.nodes(to) {
        if watch::status(run, &node).await.is_ok_and(|status| !status.takes()) {
            continue;
        }
        return false;
    }
    true
}

/// Looks whether the feeds of a cluster have come to rest: those that steps have paused or deleted do rest, and those that
/// lead nowhere can do no more.
///
/// # Errors
/// What is left to be done, in a sentence.
pub(crate) async fn at_rest(run: &Run, cluster: &str) -> Result<(), String> {
    let of_cluster = run.scenario.feeds.iter().filter(|feed| feed.from == cluster);
    for feed in of_cluster {
        if works(run, feed)
            && let Err(why) = drained(run, &feed.name).await
            && !is_dead_end(run, feed).await
        {
            return Err(why);
        }
    }
    Ok(())
}

/// What every feed of a run is known as.
pub(crate) type All = BTreeMap<String, Known>;

#[cfg(test)]
mod tests {
    use super::*;

    fn status(node: u32, state: &str, pending: u64, table: &str) -> (NodeRef, Vec<FeedStatus>) {
        let feed = |id| FeedStatus {
            id,
            state: state.to_owned(),
            pending: if id == 1 { pending } else { 99 },
            table: table.to_owned(),
        };
        (NodeRef { cluster: "main".to_owned(), node }, vec![feed(0), feed(1)])
    }

    #[test]
    fn a_feed_is_drained_when_no_node_that_runs_has_anything_left_by_the_same_definitions() {
        let well = || status(1, "OK", 0, "7-a");
        for (other, told) in [
            (status(2, "OK", 0, "7-a"), None),
            (status(2, "Processing", 4, "7-a"), Some("main/2 has 4 streams left to do")),
            (status(2, "Unknown", 0, "7-a"), Some("main/2 has not begun")),
            (status(2, "OK", 0, "6-b"), Some("nodes work by different definitions")),
        ] {
            assert_eq!(judge(1, &[well(), other]).err().as_deref(), told);
        }
        let silent = (NodeRef { cluster: "main".to_owned(), node: 2 }, Vec::new());
        assert_eq!(judge(1, &[well(), silent]), Err("main/2 does not know it".to_owned()));
    }

    #[test]
    fn a_definition_is_told_as_nodes_tell_it() {
        let told: Told = serde_json::from_value(json!({
            "id": 3, "name": "to-dr", "generation": 2, "status": "Config error", "paused": false,
            "nodes": [{ "node": "10.1.0.11", "status": "OK", "reason": null, "stale": false }],
        }))
        .expect("as nodes tell it");
        assert_eq!((told.id, told.generation, told.status.as_str()), (Some(3), 2, "Config error"));
    }
}
