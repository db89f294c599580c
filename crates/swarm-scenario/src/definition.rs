//! A feed of a file as nodes read it: the JSON that their management ports take.

use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use crate::language::domains::{Domains, Entry};
use crate::language::model::{Feed, FeedFields, FeedMode};

/// What holds where a file says nothing: nodes are told so only where a step undoes a change.
const RETRY_WAIT_SECS: u64 = 60;
const THREADS: u32 = 6;

/// The definition of a feed: what the file says of it, and where it goes. `target` has the addresses of the nodes of `to`.
#[must_use]
pub fn definition(feed: &Feed, target: &[SocketAddr]) -> Map<String, Value> {
    let mut definition = spelt_out(feed, &feed.fields, target);
    let mut wanted = given(&feed.fields);
    wanted.extend(["hosts", "clusterName"]);
    if !target.is_empty() {
        wanted.push("port");
    }
    definition.retain(|name, _| wanted.contains(&name.as_str()));
    definition.insert("name".to_owned(), json!(feed.name));
    definition.insert("type".to_owned(), json!("replication"));
    definition
}

/// The definition with every field spelt out, so that one which is there becomes what the file says; but whether it rests only
/// if the file does say so.
#[must_use]
pub fn whole_definition(feed: &Feed, target: &[SocketAddr]) -> Map<String, Value> {
    let mut definition = spelt_out(feed, &feed.fields, target);
    if feed.fields.paused.is_none() {
        definition.remove("paused");
    }
    definition.insert("name".to_owned(), json!(feed.name));
    definition
}

/// The fields of a definition, all of them spelt out.
pub(crate) fn spelt_out(
    feed: &Feed,
    fields: &FeedFields,
    target: &[SocketAddr],
) -> Map<String, Value> {
    let hosts = fields.hosts.clone();
    let hosts = hosts.unwrap_or_else(|| target.iter().map(|at| at.ip().to_string()).collect());
    let port = fields.port.or_else(|| Some(target.first()?.port()));
    let auth = match fields.remote_auth.as_ref().and_then(|auth| auth.split_once(':')) {
        Some((user, password)) => json!({ "user": user, "password": password }),
        None => json!({}),
    };
    let all = json!({
        "hosts": hosts,
        "port": port.unwrap_or(80),
        "clusterName": fields.cluster_name.as_ref().or(feed.to.as_ref()),
        "mode": fields.mode.unwrap_or(FeedMode::Post).word(),
        "scope": scope(&fields.domains.clone().unwrap_or_default()),
        "propagateDeletes": fields.propagate_deletes.unwrap_or(true),
        "threads": fields.threads.unwrap_or(THREADS),
        "retryWait": fields.retry_wait.map_or(RETRY_WAIT_SECS, |wait| wait.as_secs()),
        "remoteAuth": auth,
        "paused": fields.paused.unwrap_or(false),
    });
    match all {
        Value::Object(all) => all,
        _ => Map::new(),
    }
}

fn scope(domains: &Domains) -> Value {
    let texts = |entries: &[Entry]| -> Vec<String> {
        entries.iter().map(|entry| entry.text.clone()).collect()
    };
    let exclude = texts(&domains.exclude);
    match &domains.include {
        None => json!({ "kind": "global", "exclude": exclude }),
        Some(include) => json!({
            "kind": "domains",
            "domains": texts(include),
            "exclude": exclude,
            "untenanted": domains.untenanted,
        }),
    }
}

/// The fields that are given, by the names that nodes know.
pub(crate) fn given(fields: &FeedFields) -> Vec<&'static str> {
    let FeedFields {
        hosts,
        port,
        cluster_name,
        mode,
        domains,
        propagate_deletes,
        threads,
        retry_wait,
        remote_auth,
        paused,
    } = fields;
    [
        ("hosts", hosts.is_some()),
        ("port", port.is_some()),
        ("clusterName", cluster_name.is_some()),
        ("mode", mode.is_some()),
        ("scope", domains.is_some()),
        ("propagateDeletes", propagate_deletes.is_some()),
        ("threads", threads.is_some()),
        ("retryWait", retry_wait.is_some()),
        ("remoteAuth", remote_auth.is_some()),
        ("paused", paused.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, is_given)| is_given.then_some(name))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::read_feeds;

    #[test]
    fn a_scope_is_told_as_nodes_read_it() {
        assert_eq!(scope(&Domains::default()), json!({ "kind": "global", "exclude": [] }));
        let entry = |text| Entry::new(text).expect("an entry");
        let some = Domains {
            include: Some(vec![entry("acme.example")]),
            exclude: vec![entry("tmp.*")],
            untenanted: false,
        };
        let told = json!({
            "kind": "domains", "domains": ["acme.example"], "exclude": ["tmp.*"], "untenanted": false,
        });
        assert_eq!(scope(&some), told);
    }

    #[test]
    fn a_definition_says_what_the_file_says_and_where_the_feed_goes() {
        let text = "[feed.to-dr]\nhosts = \"10.2.0.11\"\ncluster_name = \"dr\"\nthreads = 9\n";
        let file = read_feeds("feeds.toml", text).expect("a good file");
        let told = json!({
            "name": "to-dr", "type": "replication", "hosts": ["10.2.0.11"], "clusterName": "dr", "threads": 9,
        });
        assert_eq!(Value::Object(definition(&file.feeds[0], &[])), told);
        let mut feed = file.feeds[0].clone();
        (feed.to, feed.fields) = (Some("west".to_owned()), FeedFields::default());
        let target =
            ["127.0.0.21:8080", "127.0.0.22:8080"].map(|at| at.parse().expect("an address"));
        let told = json!({
            "name": "to-dr", "type": "replication", "hosts": ["127.0.0.21", "127.0.0.22"], "port": 8080,
            "clusterName": "west",
        });
        assert_eq!(Value::Object(definition(&feed, &target)), told);
        let whole = whole_definition(&feed, &target);
        assert_eq!((&whole["threads"], &whole["remoteAuth"]), (&json!(6), &json!({})));
        assert!(!whole.contains_key("paused"), "who paused it has a reason");
    }
}
