//! Feeds of a file, brought to a running cluster: created where they are not, changed where they differ.

use std::net::SocketAddr;

use serde_json::{Map, Value, json};
use swarm_scenario::definition::{definition, whole_definition};
use swarm_scenario::language::model::Feed;

use super::admin::{Admin, FEEDS, Trouble};

/// What is told of a feed besides its definition.
const NOT_DEFINED: [&str; 5] = ["status", "stats", "nodes", "modified", "_links"];

/// A feed that is as its file says.
#[derive(Debug, serde::Serialize)]
pub(super) struct Defined {
    pub(super) id: u64,
    pub(super) name: String,
    /// `created`, `changed`, or `as it was`.
    pub(super) outcome: &'static str,
    /// Where it goes.
    pub(super) to: String,
}

impl std::fmt::Display for Defined {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, name, outcome, to } = self;
        write!(f, "feed {id} '{name}' to {to}: {outcome}")
    }
}

/// Defines a feed whose target has its nodes at these addresses.
pub(super) async fn define(
    admin: &Admin,
    feed: &Feed,
    target: &[SocketAddr],
) -> Result<Defined, Trouble> {
    let wanted = Value::Object(definition(feed, target));
    let (shown, outcome) = match admin.manage("POST", FEEDS, Some(&wanted)).await {
        Ok(created) => (created, "created"),
        Err(Trouble::Refused { status: 409, why }) => {
            let refused = Trouble::Refused { status: 409, why };
            let before = find(admin, &feed.name).await?.ok_or(refused)?;
            let path = format!("{FEEDS}/{}", before["id"]);
            let whole = Value::Object(whole_definition(feed, target));
            let after = admin.manage("PATCH", &path, Some(&whole)).await?;
            let is_same =
                fields(&before) == fields(&after) && before["modified"] == after["modified"];
            (after, if is_same { "as it was" } else { "changed" })
        }
        Err(trouble) => return Err(trouble),
    };
    Ok(Defined {
        id: shown["id"].as_u64().unwrap_or_default(),
        name: feed.name.clone(),
        outcome,
        to: target_of(&shown),
    })
}

/// The feed of this name, in either case of its letters, or of this number.
pub(super) async fn find(admin: &Admin, name: &str) -> Result<Option<Value>, Trouble> {
    let feeds = all(admin).await?;
    let named = feeds.iter().find(|feed| {
        feed["name"].as_str().is_some_and(|own| own.to_lowercase() == name.to_lowercase())
    });
    let number = name.parse::<u64>().ok();
    let numbered = || feeds.iter().find(|feed| number.is_some() && feed["id"].as_u64() == number);
    Ok(named.or_else(numbered).cloned())
}

/// The feeds of the cluster.
pub(super) async fn all(admin: &Admin) -> Result<Vec<Value>, Trouble> {
    let mut told = admin.manage("GET", FEEDS, None).await?;
    match told["_embedded"]["feeds"].take() {
        Value::Array(feeds) => Ok(feeds),
        _ => Err(Trouble::Silent(format!("{FEEDS} shows no feeds"))),
    }
}

/// Where a feed goes, in a few words: `dr at 127.0.0.21:8080 and 2 more`.
pub(super) fn target_of(feed: &Value) -> String {
    let hosts: Vec<&str> =
        feed["hosts"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let more = match hosts.len() {
        0 | 1 => String::new(),
        count => format!(" and {} more", count - 1),
    };
    let (first, port) = (hosts.first().copied().unwrap_or("nowhere"), &feed["port"]);
    format!("{} at {first}:{port}{more}", feed["clusterName"].as_str().unwrap_or_default())
}

/// The definition in what is shown of a feed.
fn fields(feed: &Value) -> Map<String, Value> {
    let mut fields = feed.as_object().cloned().unwrap_or_default();
    fields.retain(|name, _| !NOT_DEFINED.contains(&name.as_str()));
    fields
}

/// A feed without links, for scripts.
pub(super) fn for_scripts(mut feed: Value) -> Value {
    if let Some(feed) = feed.as_object_mut() {
        feed.remove("_links");
    }
    feed
}

/// A feed that is no more.
pub(super) fn gone(feed: &Value) -> Value {
    json!({ "id": feed["id"], "name": feed["name"], "status": "Closed" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_told_by_its_name_and_its_first_address() {
        let feed = |hosts: &[&str]| json!({ "clusterName": "dr", "hosts": hosts, "port": 8080 });
        assert_eq!(target_of(&feed(&["127.0.0.21"])), "dr at 127.0.0.21:8080");
        let three = feed(&["127.0.0.21", "127.0.0.22", "127.0.0.23"]);
        assert_eq!(target_of(&three), "dr at 127.0.0.21:8080 and 2 more");
    }

    #[test]
    fn how_a_feed_stands_is_no_part_of_its_definition() {
        let feed = |status: &str| json!({ "id": 0, "threads": 6, "status": status, "stats": {} });
        assert_eq!(fields(&feed("OK")), fields(&feed("Blocked")));
        assert_eq!(fields(&feed("OK")).len(), 2);
    }
}
