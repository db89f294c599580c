//! The definition of a replication feed: as it is written, and as it is used once it was found good.
//!
//! The fields are those of the settings page of a feed (Replication Feeds); their spelling in JSON, their defaults and their
//! bounds are our choice. A change is written in the same fields; those that it leaves out stay.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use swarm_types::ClusterName;

use crate::scope::{RawScope, Scope};

/// A definition, or a change of one, as written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RawFeed {
    /// A label, 1 to 256 characters, unique within the cluster in either case. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `replication`. Required; never changes.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Whether it rests. Default false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<bool>,
    /// Seconds from a failure to the next try, 1 to 3600. Default 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_wait: Option<u64>,
    /// Which objects it selects. Default: everything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<RawScope>,
    /// Addresses or names of nodes of the target, or of a proxy before it: 1 to 64. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<String>>,
    /// The SCSP port there. Default 80.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
    /// `cluster.name` of the target. Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// `post` (direct POST) or `get` (bidirectional GET). Default `post`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Most transfers of one node at once, 1 to 64; of no effect in mode `get`. Default 6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<u64>,
    /// `none`, `trusted` or `untrusted`. Default `none`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl: Option<String>,
    /// An administrator of the target; absent, empty or null: the administrator of this cluster.
    #[serde(deserialize_with = "null_is_empty", skip_serializing_if = "Option::is_none")]
    pub remote_auth: Option<RawAuth>,
    /// A proxy on this side. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_proxy: Option<RawProxy>,
    /// Whether deletes are carried over. Default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagate_deletes: Option<bool>,
}

/// Name and password of an administrator of the target, as written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RawAuth {
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The password; `***` in a change says that it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
}

/// A forward proxy, as written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct RawProxy {
    /// Address or name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
    /// Name of a user of the proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The user's password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
}

/// A password: no log shows it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// What is shown in its place.
    pub const HIDDEN: &'static str = "***";

    /// The password in clear.
    #[must_use]
    pub fn clear(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Password {
    fn from(clear: &str) -> Self {
        Self(clear.to_owned())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::HIDDEN)
    }
}

/// Why a definition was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionError {
    /// A field is missing, out of its bounds, or contradicts another.
    #[error("{field} {why}")]
    Bad {
        /// The field, as it is spelt.
        field: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The documentation has it, this project has not.
    #[error("{field}: {what} not built yet")]
    NotBuilt {
        /// The field, as it is spelt.
        field: &'static str,
        /// What is missing.
        what: &'static str,
    },
    /// The feed would carry this cluster to itself.
    #[error("clusterName is this cluster's own name")]
    SelfLoop,
}

/// How objects travel (Replication Feeds).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Direct POST: the source sends.
    Post,
    /// Bidirectional GET: the target is told, and fetches.
    Get,
}

/// An administrator of the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Password,
}

/// A definition that was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// A label, unique within the cluster in either case.
    pub name: String,
    /// Whether it rests.
    pub paused: bool,
    /// From a failure to the next try.
    pub retry_wait: Duration,
    /// Which objects it selects.
    pub scope: Scope,
    /// Addresses or names of the target, at least one.
    pub hosts: Vec<String>,
    /// The SCSP port there.
    pub port: u16,
    /// `cluster.name` of the target.
    pub cluster_name: ClusterName,
    /// How objects travel.
    pub mode: Mode,
    /// Most transfers of one node at once.
    pub threads: usize,
    /// An administrator of the target; none: this cluster's own.
    pub remote_auth: Option<Login>,
    /// Whether deletes are carried over.
    pub propagate_deletes: bool,
}

/// Default of `retryWait` (Understanding Feeds has the name; the value is our choice).
const RETRY_WAIT_SECS: u64 = 60;
pub(crate) const RETRY_WAIT: Duration = Duration::from_secs(RETRY_WAIT_SECS);
/// Largest `retryWait`: no object waits longer for its next try either.
const RETRY_WAIT_SECS_MAX: u64 = 3600;
/// Default of `threads` (our choice).
const THREADS: u64 = 6;
/// Largest `threads`: each holds a window of a body in memory.
pub const THREADS_MAX: u64 = 64;
/// Most characters of a name.
const NAME_CHARS_MAX: usize = 256;
/// Most hosts of a feed.
const HOSTS_MAX: usize = 64;
/// Longest name in the DNS.
const HOST_BYTES_MAX: usize = 253;

/// Checks a definition.
///
/// # Errors
/// What is wrong with it; nothing of it is to be used then.
pub fn check(raw: RawFeed, own_cluster: &ClusterName) -> Result<Definition, DefinitionError> {
    let definition = check_alone(raw)?;
    if definition.cluster_name.as_str().eq_ignore_ascii_case(own_cluster.as_str()) {
        return Err(DefinitionError::SelfLoop);
    }
    Ok(definition)
}

/// Checks what can be checked without knowing whose feed it is.
pub(crate) fn check_alone(raw: RawFeed) -> Result<Definition, DefinitionError> {
    check_kind(raw.kind.as_deref())?;
    let mode = match raw.mode.as_deref() {
        None | Some("post") => Mode::Post,
        Some("get") => Mode::Get,
        Some(_) => return Err(bad("mode", "is neither post nor get")),
    };
    check_ssl(raw.ssl.as_deref(), mode)?;
    check_proxy(raw.forward_proxy.as_ref())?;
    let retry_wait = raw.retry_wait.unwrap_or(RETRY_WAIT_SECS);
    let threads = raw.threads.unwrap_or(THREADS);
    if !(1..=RETRY_WAIT_SECS_MAX).contains(&retry_wait) {
        return Err(bad("retryWait", "is not from 1 to 3600 seconds"));
    }
    if !(1..=THREADS_MAX).contains(&threads) {
        return Err(bad("threads", "is not from 1 to 64"));
    }
    Ok(Definition {
        name: text("name", raw.name, NAME_CHARS_MAX)?,
        paused: raw.paused.unwrap_or(false),
        retry_wait: Duration::from_secs(retry_wait),
        scope: Scope::parse(&raw.scope.unwrap_or_default())?,
        hosts: hosts(raw.hosts)?,
        port: port("port", raw.port.unwrap_or(80))?,
        cluster_name: text("clusterName", raw.cluster_name, HOST_BYTES_MAX)?.as_str().into(),
        mode,
        threads: usize::try_from(threads).unwrap_or(usize::MAX),
        remote_auth: raw.remote_auth.map_or(Ok(None), login)?,
        propagate_deletes: raw.propagate_deletes.unwrap_or(true),
    })
}

impl Definition {
    /// The definition after a change, in which the fields that are left out stay as they are.
    ///
    /// # Errors
    /// As [`check`], of the definition that would come about; the type cannot change.
    pub fn edited(
        &self,
        change: RawFeed,
        own_cluster: &ClusterName,
    ) -> Result<Self, DefinitionError> {
        let now = self.raw();
        let mut remote_auth = change.remote_auth.or(now.remote_auth);
        let written = remote_auth.as_mut().and_then(|auth| auth.password.as_mut());
        if let (Some(password), Some(login)) = (written, &self.remote_auth)
            && password.clear() == Password::HIDDEN
        {
            *password = login.password.clone();
        }
        let raw = RawFeed {
            name: change.name.or(now.name),
            kind: change.kind.or(now.kind),
            paused: change.paused.or(now.paused),
            retry_wait: change.retry_wait.or(now.retry_wait),
            scope: change.scope.or(now.scope),
            hosts: change.hosts.or(now.hosts),
            port: change.port.or(now.port),
            cluster_name: change.cluster_name.or(now.cluster_name),
            mode: change.mode.or(now.mode),
            threads: change.threads.or(now.threads),
            ssl: change.ssl.or(now.ssl),
            remote_auth,
            forward_proxy: change.forward_proxy.or(now.forward_proxy),
            propagate_deletes: change.propagate_deletes.or(now.propagate_deletes),
        };
        check(raw, own_cluster)
    }

    /// Whether all that was decided under `before` still holds: the same objects go to the same cluster (our choice: who
    /// edits anything else asks for no new evaluation).
    #[must_use]
    pub fn routes_like(&self, before: &Self) -> bool {
        self.scope == before.scope
            && self.cluster_name == before.cluster_name
            && self.propagate_deletes == before.propagate_deletes
    }

    /// As it would be written, every field spelt out, with a password in clear.
    pub(crate) fn raw(&self) -> RawFeed {
        let mode = match self.mode {
            Mode::Post => "post",
            Mode::Get => "get",
        };
        RawFeed {
            name: Some(self.name.clone()),
            kind: Some("replication".to_owned()),
            paused: Some(self.paused),
            retry_wait: Some(self.retry_wait.as_secs()),
            scope: Some(self.scope.raw().clone()),
            hosts: Some(self.hosts.clone()),
            port: Some(i64::from(self.port)),
            cluster_name: Some(self.cluster_name.as_str().to_owned()),
            mode: Some(mode.to_owned()),
            threads: u64::try_from(self.threads).ok(),
            ssl: Some("none".to_owned()),
            remote_auth: self
                .remote_auth
                .clone()
                .map(|login| RawAuth { user: Some(login.user), password: Some(login.password) }),
            forward_proxy: None,
            propagate_deletes: Some(self.propagate_deletes),
        }
    }

    /// As administrators see it: every field spelt out, `***` for a password.
    #[must_use]
    pub fn shown(&self) -> RawFeed {
        let mut raw = self.raw();
        if let Some(auth) = &mut raw.remote_auth {
            auth.password = Some(Password::HIDDEN.into());
        }
        raw
    }
}

fn bad(field: &'static str, why: &str) -> DefinitionError {
    DefinitionError::Bad { field, why: why.to_owned() }
}

fn check_kind(kind: Option<&str>) -> Result<(), DefinitionError> {
    match kind {
        None => Err(bad("type", "is required")),
        Some("replication") => Ok(()),
        Some("search" | "indexing") => {
            Err(DefinitionError::NotBuilt { field: "type", what: "search feeds are" })
        }
        Some("s3backup") => {
            Err(DefinitionError::NotBuilt { field: "type", what: "S3 backup feeds are" })
        }
        Some(_) => Err(bad("type", "is none of replication, search, indexing, s3backup")),
    }
}

fn check_ssl(ssl: Option<&str>, mode: Mode) -> Result<(), DefinitionError> {
    match ssl {
        None | Some("none") => Ok(()),
        Some("trusted" | "untrusted") if mode == Mode::Get => {
            Err(bad("ssl", "needs the mode post"))
        }
        Some("trusted" | "untrusted") => {
            Err(DefinitionError::NotBuilt { field: "ssl", what: "TLS is" })
        }
        Some(_) => Err(bad("ssl", "is none of none, trusted, untrusted")),
    }
}

fn check_proxy(proxy: Option<&RawProxy>) -> Result<(), DefinitionError> {
    let Some(proxy) = proxy else { return Ok(()) };
    host("forwardProxy.host", proxy.host.as_deref().unwrap_or_default())?;
    port("forwardProxy.port", proxy.port.unwrap_or(80))?;
    Err(DefinitionError::NotBuilt {
        field: "forwardProxy",
        what: "a way through forward proxies is",
    })
}

/// A text of so many characters at most, that is shown in one line.
fn text(field: &'static str, text: Option<String>, most: usize) -> Result<String, DefinitionError> {
    let text = text.ok_or_else(|| bad(field, "is required"))?;
    if text.trim().is_empty() {
        return Err(bad(field, "is empty"));
    }
    if text.chars().count() > most {
        return Err(DefinitionError::Bad {
            field,
            why: format!("is longer than {most} characters"),
        });
    }
    if text.chars().any(char::is_control) {
        return Err(bad(field, "has a control character"));
    }
    Ok(text)
}

fn hosts(hosts: Option<Vec<String>>) -> Result<Vec<String>, DefinitionError> {
    let hosts = hosts.ok_or_else(|| bad("hosts", "is required"))?;
    if hosts.is_empty() || hosts.len() > HOSTS_MAX {
        return Err(bad("hosts", "does not name 1 to 64 hosts"));
    }
    hosts.iter().try_for_each(|name| host("hosts", name))?;
    Ok(hosts)
}

/// An address or a name: no port, no scheme, no path.
fn host(field: &'static str, host: &str) -> Result<(), DefinitionError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.bytes().all(fits) {
        return Err(DefinitionError::Bad { field, why: format!("has {host:?}, which is no host") });
    }
    Ok(())
}

/// In a change, what is left out stays as it is, and null takes it away.
fn null_is_empty<'de, D: Deserializer<'de>>(raw: D) -> Result<Option<RawAuth>, D::Error> {
    Ok(Some(Option::deserialize(raw)?.unwrap_or_default()))
}

fn port(field: &'static str, port: i64) -> Result<u16, DefinitionError> {
    u16::try_from(port)
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| bad(field, "is not from 1 to 65535"))
}

fn login(raw: RawAuth) -> Result<Option<Login>, DefinitionError> {
    if raw == RawAuth::default() {
        return Ok(None);
    }
    let user = text("remoteAuth.user", raw.user, NAME_CHARS_MAX)?;
    if user.contains(':') {
        return Err(bad("remoteAuth.user", "has a colon"));
    }
    let password = raw.password.ok_or_else(|| bad("remoteAuth.password", "is required"))?;
    if password.clear() == Password::HIDDEN {
        return Err(bad("remoteAuth.password", "stands for one that is known, and none is"));
    }
    Ok(Some(Login { user, password }))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What a definition has to have.
    pub(crate) fn least(name: &str) -> RawFeed {
        RawFeed {
            name: Some(name.to_owned()),
            kind: Some("replication".to_owned()),
            hosts: Some(vec!["10.2.0.11".to_owned()]),
            cluster_name: Some("west".to_owned()),
            ..RawFeed::default()
        }
    }

    fn checked(raw: RawFeed) -> Result<Definition, DefinitionError> {
        check(raw, &"east".into())
    }

    #[test]
    fn a_definition_is_written_as_json() {
        let json = r#"{"name":"to-west","type":"replication","mode":"post","hosts":["10.2.0.11","10.2.0.12"],"port":80,
            "clusterName":"west","threads":6,"ssl":"none","propagateDeletes":true,"scope":{"kind":"domains",
            "domains":["acme\\.example",".*\\.acme\\.example"],"exclude":["tmp.acme.example"],"untenanted":false}}"#;
        let definition = checked(serde_json::from_str(json).expect("JSON")).expect("good");
        assert_eq!(definition.hosts, ["10.2.0.11", "10.2.0.12"]);
        assert_eq!(definition.cluster_name, "west".into());
        assert_eq!(definition.scope.raw().exclude, ["tmp.acme.example"]);
        let error = serde_json::from_str::<RawFeed>(r#"{"treads":6}"#).expect_err("misspelt");
        assert!(error.to_string().contains("treads"), "{error}");
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let definition = checked(least("to-west")).expect("good");
        assert_eq!((definition.port, definition.threads, definition.mode), (80, 6, Mode::Post));
        assert_eq!(definition.retry_wait, Duration::from_secs(60));
        assert!(definition.propagate_deletes && !definition.paused);
        assert_eq!(definition.remote_auth, None);
        assert_eq!(definition.scope.raw(), &RawScope::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Change = fn(&mut RawFeed);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(checked(RawFeed { name: None, ..least("") }), Err(bad("name", "is required")));
        let cases: [(Change, &str); 22] = [
            (|raw| raw.name = Some(" ".to_owned()), "name is empty"),
            (|raw| raw.name = Some("x".repeat(257)), "name is longer"),
            (|raw| raw.name = Some("a\nb".to_owned()), "name has a control"),
            (|raw| raw.kind = None, "type is required"),
            (|raw| raw.kind = Some("copy".to_owned()), "type is none of"),
            (|raw| raw.kind = Some("search".to_owned()), "type: search feeds are not built yet"),
            (|raw| raw.kind = Some("s3backup".to_owned()), "type: S3 backup feeds are not built"),
            (|raw| raw.hosts = None, "hosts is required"),
            (|raw| raw.hosts = Some(vec![]), "hosts does not name"),
            (|raw| raw.hosts = Some(vec!["http://x/".to_owned()]), "hosts has \"http://x/\""),
            (|raw| raw.port = Some(0), "port is not"),
            (|raw| raw.port = Some(65_536), "port is not"),
            (|raw| raw.cluster_name = None, "clusterName is required"),
            (|raw| raw.cluster_name = Some("East".to_owned()), "clusterName is this cluster's"),
            (|raw| raw.mode = Some("push".to_owned()), "mode is neither"),
            (|raw| raw.threads = Some(0), "threads is not"),
            (|raw| raw.threads = Some(65), "threads is not"),
            (|raw| raw.retry_wait = Some(0), "retryWait is not"),
            (|raw| raw.retry_wait = Some(3601), "retryWait is not"),
            (|raw| raw.ssl = Some("yes".to_owned()), "ssl is none of"),
            (|raw| raw.ssl = Some("trusted".to_owned()), "ssl: TLS is not built yet"),
            (|raw| raw.forward_proxy = Some(RawProxy::default()), "forwardProxy.host has"),
        ];
        for (change, why) in cases {
            let mut raw = least("to-west");
            change(&mut raw);
            let error = checked(raw).expect_err(why).to_string();
            assert!(error.starts_with(why), "{error}");
        }
        let by_get = RawFeed { ssl: some("trusted"), mode: some("get"), ..least("to-west") };
        assert_eq!(checked(by_get), Err(bad("ssl", "needs the mode post")));
        let proxy = RawProxy { host: some("proxy.example"), ..RawProxy::default() };
        let proxied = RawFeed { forward_proxy: Some(proxy), ..least("to-west") };
        assert!(matches!(checked(proxied), Err(DefinitionError::NotBuilt { .. })));
        let threads = RawFeed { threads: Some(6), mode: some("get"), ..least("to-west") };
        assert!(checked(threads).is_ok(), "of no effect, but no mistake");
    }

    #[test]
    fn a_password_is_never_shown_and_stays_where_it_is_not_changed() {
        let auth = |user: &str, password: &str| {
            Some(RawAuth { user: Some(user.to_owned()), password: Some(password.into()) })
        };
        let raw = RawFeed { remote_auth: auth("admin", "ourpwd"), ..least("to-west") };
        let definition = checked(raw).expect("good");
        let shown = definition.shown();
        let json = serde_json::to_string(&shown).expect("JSON");
        assert!(json.contains("***") && !json.contains("ourpwd"), "{json}");
        assert!(!format!("{definition:?}").contains("ourpwd"));

        let east = "east".into();
        assert_eq!(definition.edited(shown, &east).as_ref(), Ok(&definition));
        let renamed = RawFeed { remote_auth: auth("root", "***"), ..RawFeed::default() };
        let renamed = definition.edited(renamed, &east).expect("good").remote_auth.expect("login");
        assert_eq!((renamed.user.as_str(), renamed.password.clear()), ("root", "ourpwd"));
        let changed = RawFeed { remote_auth: auth("admin", "another"), ..RawFeed::default() };
        let changed = definition.edited(changed, &east).expect("good").remote_auth.expect("login");
        assert_eq!(changed.password.clear(), "another");
        let ours = RawFeed { remote_auth: Some(RawAuth::default()), ..RawFeed::default() };
        let ours = definition.edited(ours, &east).expect("good");
        assert_eq!(ours.remote_auth, None);
        let unknown = RawFeed { remote_auth: auth("root", "***"), ..RawFeed::default() };
        assert!(ours.edited(unknown.clone(), &east).is_err());
        assert!(checked(RawFeed { remote_auth: unknown.remote_auth, ..least("x") }).is_err());
    }

    #[test]
    fn an_empty_change_changes_nothing() {
        let json = r#"{"name":"x","type":"replication","paused":true,"retryWait":7,"mode":"get","hosts":["h"],"port":81,
            "clusterName":"west","threads":2,"propagateDeletes":false,"scope":{"domains":["a.com"],"untenanted":true},
            "remoteAuth":{"user":"admin","password":"ourpwd"}}"#;
        let definition = checked(serde_json::from_str(json).expect("JSON")).expect("good");
        let after = definition.edited(RawFeed::default(), &"east".into());
        assert_eq!(after, Ok(definition));
    }

    #[test]
    fn a_change_leaves_the_rest_and_says_whether_everything_is_evaluated_anew() {
        let before = checked(least("to-west")).expect("good");
        let scope = RawScope { domains: vec!["a.com".to_owned()], ..RawScope::default() };
        let none = RawFeed::default;
        let cases = [
            // The change, and whether what was decided still holds.
            (RawFeed { threads: Some(2), ..none() }, true),
            (RawFeed { name: Some("west-2".to_owned()), ..none() }, true),
            (RawFeed { hosts: Some(vec!["10.2.0.12".to_owned()]), ..none() }, true),
            (RawFeed { mode: Some("get".to_owned()), ..none() }, true),
            (RawFeed { retry_wait: Some(5), ..none() }, true),
            (RawFeed { cluster_name: Some("south".to_owned()), ..none() }, false),
            (RawFeed { scope: Some(scope), ..none() }, false),
            (RawFeed { propagate_deletes: Some(false), ..none() }, false),
        ];
        for (change, holds) in cases {
            let after = before.edited(change.clone(), &"east".into()).expect("good");
            assert_ne!(after, before, "{change:?}");
            assert_eq!(after.routes_like(&before), holds, "{change:?}");
        }
        let other = RawFeed { kind: Some("search".to_owned()), ..none() };
        assert!(before.edited(other, &"east".into()).is_err());
    }
}
