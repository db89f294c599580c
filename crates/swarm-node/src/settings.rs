//! Settings: typed, with Swarm's documented names, units and defaults (Settings Reference).

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use swarm_feeds::FeedSettings;
use swarm_health::HealthSettings;
use swarm_plan::health::recovery::RecoveryRules;
use swarm_plan::health::retire::ErrorRules;
use swarm_policy::{CopyRules, ReplicaPolicy, Replicate, ReplicateOnWrite};

/// Bytes in the label of a subcluster at most.
pub(crate) const SUBCLUSTER_MAX: usize = 64;

/// The settings in force on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `policy.replicas`: fewest, most and usual number of replicas.
    pub replicas: ReplicaPolicy,
    /// `scsp.replicateOnWrite`: make replicas before answering; default true.
    pub replicate_on_write: bool,
    /// `scsp.defaultROWAction`: what `replicate` means when it is not given; default `immediate`.
    pub default_row_action: Replicate,
    /// `scsp.allowPutCreate`: PUT creates named objects that do not exist; default false.
    pub allow_put_create: bool,
    /// `scsp.requireExplicitContextCreate`: contexts only with their content type; default false.
    pub require_explicit_context_create: bool,
    /// `scsp.autoRecursiveDelete`: deleting a context implies `recursive`; default false.
    pub auto_recursive_delete: bool,
    /// `cache.realmStaleTimeout`: how long domains and buckets are cached, seconds; default 600.
    pub realm_stale_timeout: Duration,
    /// `cip.queryRetryMultiplier`: growth of the wait from try to try; default 1.
    pub query_retry_multiplier_permille: u32,
    /// `cluster.enforceTenancy`: every unnamed object belongs to a domain; default false.
    pub enforce_tenancy: bool,
    /// `disk.obsoleteTimeout`: a volume away for longer is refused, seconds; default 1209600.
    pub obsolete_timeout: Duration,
    /// `health.replicationMulticastFrequency`: how many of a hundred health visits ask everybody although the hinted holders
    /// would do; default 1.
    pub multicast_percent: u8,
    /// `health.cycleTime` (our choice): how long a walk of the health processor over a volume takes, seconds; default 21600.
    pub health_cycle_time: Duration,
    /// `health.visitsPerSecond` (our choice): most health visits to a volume in a second; default 100.
    pub visits_per_second: u32,
    /// `node.subcluster`: label of the subcluster that the node belongs to; default none.
    pub subcluster: String,
    /// `recovery.suspended` and `recovery.nodeMaintenanceInterval`: when the volumes of another node count as lost; default
    /// not suspended, and 10800 seconds after a graceful stop.
    pub recovery: RecoveryRules,
    /// `recovery.share` (our choice): share of its time in percent that a volume spends on a recovery; default 30.
    pub recovery_share_percent: u8,
    /// `scsp.defaultFeedSendTimeout`: how long SEND waits for feeds where its `timeout` gives no time, seconds; default 30.
    pub feed_send_timeout: Duration,
    /// `scsp.keepAliveInterval`: how often an answer that takes its time shows that it is being worked on, seconds; default 10.
    pub keep_alive_interval: Duration,
    /// `scsp.defaultContextReplicas`: replicas of a domain or bucket; default 3.
    pub context_replicas_default: u32,
    /// `scsp.maxContextReplicas`: most replicas of a domain or bucket; default 16.
    pub context_replicas_max: u32,
    /// `disk.ioErrorToRetire`, default 50, `disk.ioErrorWindow`, seconds, default 172800, and `disk.ioErrorTolerance`,
    /// default 200: how many errors of a disk its volume survives.
    pub io_errors: ErrorRules,
    /// `power.sleepAfter`: time without SCSP activity after which a node is idle, seconds, 0 for never; default 7200.
    pub sleep_after: Duration,
    /// `power.wakeAfter`: time without SCSP activity after which an idle node wakes to check what it holds, seconds, 0 for
    /// never; default 28800.
    pub wake_after: Duration,
    /// `feeds.secondaryDelay`, seconds, default 300, `feeds.blockedThreshold`, default 3, and `feeds.maxQueue`, default 16384
    /// (our choices): how long a replica that does not go first waits, how many failures in a row block a feed, and how much of
    /// what waits is kept in mind.
    pub feed_engine: FeedSettings,
    /// `feeds.propagation` (our choice): up to so many seconds, by the dice, pass before a change of the feeds reaches a node;
    /// default 0.
    pub feeds_propagation: Duration,
    /// `feeds.tombstoneMaximum` (our choice): a delete that a feed has not carried over is remembered so long at most, seconds;
    /// default 5184000.
    pub feeds_tombstone_maximum: Duration,
    /// `security.administrators`: passwords by user; default `{'admin': 'ourpwdofchoicehere'}`.
    pub administrators: BTreeMap<String, String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            replicas: ReplicaPolicy::default(),
            replicate_on_write: true,
            default_row_action: Replicate::Immediate,
            allow_put_create: false,
            require_explicit_context_create: false,
            auto_recursive_delete: false,
            realm_stale_timeout: Duration::from_secs(600),
            query_retry_multiplier_permille: 1000,
            enforce_tenancy: false,
            obsolete_timeout: Duration::from_secs(1_209_600),
            multicast_percent: 1,
            health_cycle_time: Duration::from_secs(21_600),
            visits_per_second: 100,
            subcluster: String::new(),
            recovery: RecoveryRules::default(),
            recovery_share_percent: 30,
            feed_send_timeout: Duration::from_secs(30),
            keep_alive_interval: Duration::from_secs(10),
            context_replicas_default: 3,
            context_replicas_max: 16,
            io_errors: ErrorRules::default(),
            sleep_after: Duration::from_secs(7200),
            wake_after: Duration::from_secs(28_800),
            feed_engine: FeedSettings::default(),
            feeds_propagation: Duration::ZERO,
            feeds_tombstone_maximum: Duration::from_secs(5_184_000),
            administrators: BTreeMap::from([("admin".to_owned(), "ourpwdofchoicehere".to_owned())]),
        }
    }
}

/// The password of an administrator as it was configured: clear text, or `HA1 = MD5(user ":" realm ":" password)` in 32
/// hexadecimal digits (DX Admin Guide), which is returned in lower case.
#[must_use]
pub fn configured_ha1(password: &str) -> Option<String> {
    let is_hash = password.len() == 32 && password.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then(|| password.to_ascii_lowercase())
}

/// A setting that cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("setting {name}: {why}")]
pub struct SettingError {
    /// The setting as given.
    pub name: String,
    /// What is wrong with it; never its value where that may be a secret.
    pub why: String,
}

/// Reads one value into the settings; the error says what is wrong with the value.
type Take = fn(&mut Settings, &str) -> Result<(), String>;

/// Every setting that is known: name, default as text, purpose, how its value is read.
const KNOWN: &[(&str, &str, &str, Take)] = &[
    ("cache.realmStaleTimeout", "600", "seconds that domains and buckets are cached", |s, v| {
        seconds(v).map(|value| s.realm_stale_timeout = value)
    }),
    ("cip.queryRetryMultiplier", "1", "growth of the wait of a lookup from try to try", |s, v| {
        factor(v).map(|value| s.query_retry_multiplier_permille = value)
    }),
    ("cluster.enforceTenancy", "False", "every unnamed object belongs to a domain", |s, v| {
        boolean(v).map(|value| s.enforce_tenancy = value)
    }),
    (
        "disk.ioErrorTolerance",
        "200",
        "errors of a disk after which a retiring volume counts as failed",
        |s, v| whole(v, 0, u64::MAX).map(|value| s.io_errors.tolerance = value),
    ),
    (
        "disk.ioErrorToRetire",
        "50",
        "errors of a disk within the window that retire its volume; 0: never",
        |s, v| whole(v, 0, u64::MAX).map(|value| s.io_errors.to_retire = value),
    ),
    ("disk.ioErrorWindow", "172800", "seconds within which errors of a disk add up", |s, v| {
        seconds(v).map(|value| s.io_errors.window = value)
    }),
    (
        "disk.obsoleteTimeout",
        "1209600",
        "seconds after which an absent volume is refused",
        |s, v| seconds(v).map(|value| s.obsolete_timeout = value),
    ),
    (
        "feeds.blockedThreshold",
        "3",
        "failures of a target in a row after which its feed is blocked",
        |s, v| whole(v, 1, 1000).map(|value| s.feed_engine.blocked_threshold = value),
    ),
    (
        "feeds.maxQueue",
        "16384",
        "streams of one feed that are kept in mind at most, of new ones and of failed ones each",
        |s, v| whole(v, 256, 100_000).map(|value| s.feed_engine.max_queue = value),
    ),
    (
        "feeds.propagation",
        "0",
        "up to so many seconds pass before a change of the feeds reaches a node, by the dice",
        |s, v| whole(v, 0, 60).map(|value| s.feeds_propagation = Duration::from_secs(value)),
    ),
    (
        "feeds.secondaryDelay",
        "300",
        "seconds that feeds wait for the replica that goes first before another does",
        |s, v| seconds(v).map(|value| s.feed_engine.secondary_delay = value),
    ),
    (
        "feeds.tombstoneMaximum",
        "5184000",
        "seconds for which a delete is remembered at most while a feed has not carried it over",
        |s, v| seconds(v).map(|value| s.feeds_tombstone_maximum = value),
    ),
    (
        "health.cycleTime",
        "21600",
        "seconds that a walk of the health processor over a volume takes",
        |s, v| seconds(v).map(|value| s.health_cycle_time = value),
    ),
    (
        "health.replicationMulticastFrequency",
        "1",
        "percentage of health visits that ask everybody, and so find surplus replicas",
        |s, v| whole(v, 0, 100).map(|value| s.multicast_percent = value),
    ),
    ("health.visitsPerSecond", "100", "most health visits to a volume in a second", |s, v| {
        whole(v, 1, 100_000).map(|value| s.visits_per_second = value)
    }),
    ("node.subcluster", "", "label of the subcluster that the node belongs to", |s, v| {
        label(v).map(|value| s.subcluster = value)
    }),
    (
        "policy.replicas",
        "min:2 max:16 default:2 anchored",
        "fewest, most and usual number of replicas",
        |s, v| {
            v.parse()
                .map(|value| s.replicas = value)
                .map_err(|error: swarm_policy::ReplicaPolicyError| error.to_string())
        },
    ),
    (
        "power.sleepAfter",
        "7200",
        "seconds without SCSP activity after which a node is idle; 0: never",
        |s, v| seconds(v).map(|value| s.sleep_after = value),
    ),
    (
        "power.wakeAfter",
        "28800",
        "seconds without SCSP activity after which an idle node wakes to check what it holds; 0: never",
        |s, v| seconds(v).map(|value| s.wake_after = value),
    ),
    (
        "recovery.nodeMaintenanceInterval",
        "10800",
        "seconds after a graceful stop before the volumes of a node are recovered",
        |s, v| seconds(v).map(|value| s.recovery.maintenance = value),
    ),
    (
        "recovery.share",
        "30",
        "percentage of its time that a volume spends on a recovery",
        |s, v| whole(v, 1, 100).map(|value| s.recovery_share_percent = value),
    ),
    ("recovery.suspended", "False", "no lost volume is recovered", |s, v| {
        boolean(v).map(|value| s.recovery.suspended = value)
    }),
    ("scsp.allowPutCreate", "False", "PUT creates named objects that do not exist", |s, v| {
        boolean(v).map(|value| s.allow_put_create = value)
    }),
    ("scsp.autoRecursiveDelete", "False", "deleting a context implies 'recursive'", |s, v| {
        boolean(v).map(|value| s.auto_recursive_delete = value)
    }),
    ("scsp.defaultContextReplicas", "3", "replicas of a domain or bucket", |s, v| {
        whole(v, 1, 16).map(|value| s.context_replicas_default = value)
    }),
    (
        "scsp.defaultFeedSendTimeout",
        "30",
        "seconds that SEND waits for feeds where its 'timeout' gives no time",
        |s, v| moment(v).map(|value| s.feed_send_timeout = value),
    ),
    (
        "scsp.defaultROWAction",
        "immediate",
        "'immediate', 'full' or a number of replicas",
        |s, v| row_action(v).map(|value| s.default_row_action = value),
    ),
    (
        "scsp.keepAliveInterval",
        "10",
        "seconds from one sign of life to the next of an answer that takes its time",
        |s, v| moment(v).map(|value| s.keep_alive_interval = value),
    ),
    ("scsp.maxContextReplicas", "16", "most replicas of a domain or bucket", |s, v| {
        whole(v, 1, 16).map(|value| s.context_replicas_max = value)
    }),
    ("scsp.replicateOnWrite", "True", "make replicas before answering a write", |s, v| {
        boolean(v).map(|value| s.replicate_on_write = value)
    }),
    (
        "scsp.requireExplicitContextCreate",
        "False",
        "contexts only with their content type",
        |s, v| boolean(v).map(|value| s.require_explicit_context_create = value),
    ),
    (
        "security.administrators",
        "{'admin': 'ourpwdofchoicehere'}",
        "administrators and passwords",
        |s, v| dictionary(v).map(|value| s.administrators = value),
    ),
];

/// The settings that may be changed while a cluster runs (those with a name for SNMP; Settings Reference).
const DYNAMIC: &[&str] = &[
    "cip.queryRetryMultiplier",
    "health.replicationMulticastFrequency",
    "policy.replicas",
    "recovery.suspended",
    "scsp.replicateOnWrite",
];

/// Whether a setting may be changed while a cluster runs.
#[must_use]
pub fn is_dynamic(name: &str) -> bool {
    DYNAMIC.contains(&name)
}

impl Settings {
    /// The defaults with these values laid over them.
    ///
    /// # Errors
    /// A name that is not known (names are case-sensitive), or a value that cannot be read.
    pub fn from_text(values: &BTreeMap<String, String>) -> Result<Self, SettingError> {
        let mut settings = Self::default();
        for (name, value) in values {
            let fail = |why: String| SettingError { name: name.clone(), why };
            let (.., take) = KNOWN
                .iter()
                .find(|(known, ..)| known == name)
                .ok_or_else(|| fail("no such setting (names are case-sensitive)".to_owned()))?;
            take(&mut settings, value.trim()).map_err(fail)?;
        }
        Ok(settings)
    }

    /// What a write without the argument `replicate` does.
    #[must_use]
    pub const fn replicate_by_default(&self) -> ReplicateOnWrite {
        if self.replicate_on_write {
            ReplicateOnWrite::On(self.default_row_action)
        } else {
            ReplicateOnWrite::Off
        }
    }

    /// The part of them that is the health processor's.
    #[must_use]
    pub const fn health(&self) -> HealthSettings {
        HealthSettings {
            rules: CopyRules {
                replicas: self.replicas,
                context_default: self.context_replicas_default,
                context_max: self.context_replicas_max,
            },
            multicast_percent: self.multicast_percent,
            cycle_time: self.health_cycle_time,
            visits_per_second: self.visits_per_second,
            recovery_share_percent: self.recovery_share_percent,
            obsolete_timeout: self.obsolete_timeout,
        }
    }

    /// The part of them that is the feeds'.
    #[must_use]
    pub const fn feeds(&self) -> FeedSettings {
        FeedSettings { context_timeout: self.realm_stale_timeout, ..self.feed_engine }
    }

    /// Every known setting: name, default as text, purpose.
    pub fn known() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
        KNOWN.iter().map(|(name, default, purpose, _)| (*name, *default, *purpose))
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(format!("{text:?} is neither True nor False")),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .map(Duration::from_secs)
        .map_err(|_| format!("{text:?} is not a whole number of seconds"))
}

/// Reads seconds with at most three decimals, more than none and at most a day, without floating point.
fn moment(text: &str) -> Result<Duration, String> {
    let fail =
        || format!("{text:?} is not a number of seconds up to 86400 with at most three decimals");
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|digit| digit.is_ascii_digit());
    if decimals.len() > 3 || !digits(decimals) || !digits(whole) {
        return Err(fail());
    }
    let secs: u64 = whole.parse().map_err(|_| fail())?;
    let millis: u64 = format!("{decimals:0<3}").parse().map_err(|_| fail())?;
    let time = Duration::from_secs(secs) + Duration::from_millis(millis);
    let fits = !time.is_zero() && time <= Duration::from_secs(86_400);
    if fits { Ok(time) } else { Err(fail()) }
}

/// Reads a whole number between two bounds, both included.
fn whole<T: FromStr + PartialOrd + Display>(text: &str, least: T, most: T) -> Result<T, String> {
    let fail = || format!("{text:?} is not a whole number from {least} to {most}");
    text.parse().ok().filter(|value| *value >= least && *value <= most).ok_or_else(fail)
}

/// Reads a label: it travels in small messages, and stands in lists and logs.
fn label(text: &str) -> Result<String, String> {
    let known = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.');
    if text.len() > SUBCLUSTER_MAX {
        return Err(format!("{text:?} has more than {SUBCLUSTER_MAX} bytes"));
    }
    if !text.chars().all(known) {
        return Err(format!(
            "{text:?} has more in it than letters, digits, spaces, '-', '_' and '.'"
        ));
    }
    if text.trim() != text {
        return Err(format!("{text:?} begins or ends with a space"));
    }
    Ok(text.to_owned())
}

/// Reads a factor from 1 to 100 with at most three decimals, without floating point.
fn factor(text: &str) -> Result<u32, String> {
    let fail = || format!("{text:?} is not a factor between 1 and 100 with at most three decimals");
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(fail());
    }
    let thousandths: u32 = format!("{decimals:0<3}").parse().map_err(|_| fail())?;
    let whole: u32 = whole.parse().map_err(|_| fail())?;
    let permille = whole.checked_mul(1000).map(|whole| whole + thousandths).ok_or_else(fail)?;
    (1000..=100_000).contains(&permille).then_some(permille).ok_or_else(fail)
}

fn row_action(text: &str) -> Result<Replicate, String> {
    match text.to_ascii_lowercase().as_str() {
        "immediate" => Ok(Replicate::Immediate),
        "full" => Ok(Replicate::Full),
        number => number
            .parse()
            .ok()
            .filter(|count| (1..=16).contains(count))
            .map(Replicate::Exactly)
            .ok_or_else(|| format!("{text:?} is not 'immediate', 'full' or a number from 1 to 16")),
    }
}

/// Reads a dictionary in Python's spelling: `{'admin': 'secret', "other": "word"}`.
fn dictionary(text: &str) -> Result<BTreeMap<String, String>, String> {
    // The value holds passwords, so no part of it may be repeated in the message.
    let fail = || "not a dictionary such as {'user': 'password'}".to_owned();
    let inner = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or_else(fail)?;
    let mut rest = inner.trim();
    let mut entries = BTreeMap::new();
    while !rest.is_empty() {
        let (user, after) = quoted(rest).ok_or_else(fail)?;
        let after = after.trim_start().strip_prefix(':').ok_or_else(fail)?;
        let (password, after) = quoted(after.trim_start()).ok_or_else(fail)?;
        if user.is_empty() || user.contains(':') {
            return Err(fail());
        }
        entries.insert(user.to_owned(), password.to_owned());
        rest = after.trim_start();
        if let Some(more) = rest.strip_prefix(',') {
            rest = more.trim_start();
        } else if !rest.is_empty() {
            return Err(fail());
        }
    }
    Ok(entries)
}

/// Splits a quoted word off the front.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str) -> Result<Settings, SettingError> {
        Settings::from_text(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn the_printed_defaults_are_the_defaults() {
        let printed = Settings::known()
            .map(|(name, default, _)| (name.to_owned(), default.to_owned()))
            .collect();
        assert_eq!(Settings::from_text(&printed), Ok(Settings::default()));
    }

    #[test]
    fn what_may_be_changed_at_run_time_exists() {
        for name in DYNAMIC {
            assert!(Settings::known().any(|(known, ..)| known == *name), "{name}");
        }
    }

    #[test]
    fn an_unknown_or_miscased_name_is_refused() {
        assert!(read("policy.Replicas", "min:2 max:16 default:2").is_err());
        assert!(read("no.such", "1").is_err());
    }

    #[test]
    fn values_are_read_with_their_units() {
        assert_eq!(
            read("disk.obsoleteTimeout", "60").map(|s| s.obsolete_timeout),
            Ok(Duration::from_secs(60))
        );
        assert_eq!(
            read("cip.queryRetryMultiplier", "1.5").map(|s| s.query_retry_multiplier_permille),
            Ok(1500)
        );
        assert_eq!(read("cluster.enforceTenancy", "yes").map(|s| s.enforce_tenancy), Ok(true));
        for (text, millis) in [("10", 10_000), ("0.05", 50), ("1.5", 1_500), ("86400", 86_400_000)]
        {
            let read = read("scsp.keepAliveInterval", text).map(|s| s.keep_alive_interval);
            assert_eq!(read, Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn bad_values_are_refused_without_repeating_a_password() {
        for (name, value) in [
            ("cip.queryRetryMultiplier", "0.5"),
            ("cip.queryRetryMultiplier", "1.2345"),
            ("disk.obsoleteTimeout", "-1"),
            ("scsp.defaultROWAction", "0"),
            ("cluster.enforceTenancy", "maybe"),
            ("policy.replicas", "min:5 max:2 default:3"),
            ("health.replicationMulticastFrequency", "101"),
            ("health.visitsPerSecond", "0"),
            ("recovery.share", "0"),
            ("scsp.maxContextReplicas", "17"),
            ("scsp.keepAliveInterval", "0"),
            ("scsp.keepAliveInterval", "0.0001"),
            ("scsp.defaultFeedSendTimeout", "86400.001"),
            ("scsp.defaultFeedSendTimeout", "-1"),
            ("node.subcluster", "rack/2"),
            ("node.subcluster", "rack\n2"),
        ] {
            assert!(read(name, value).is_err(), "{name} = {value}");
        }
        let error = read("security.administrators", "{'admin': hunter2}").expect_err("not quoted");
        assert!(!error.to_string().contains("hunter2"));
    }

    #[test]
    fn a_label_is_of_letters_digits_and_a_few_signs() {
        for good in ["", "rack 2", "R\u{e4}ume_0-1.b"] {
            assert_eq!(read("node.subcluster", good).map(|s| s.subcluster), Ok(good.to_owned()));
        }
        let error = read("node.subcluster", "{a}").expect_err("braces");
        assert!(error.to_string().contains("letters, digits, spaces"), "{error}");
        assert!(read("node.subcluster", &"r".repeat(65)).is_err(), "too long");
    }

    #[test]
    fn administrators_are_a_dictionary() {
        let settings = read("security.administrators", "{'admin': 'a:b', \"ops\": \"x\"}")
            .expect("well formed");
        assert_eq!(settings.administrators.get("admin").map(String::as_str), Some("a:b"));
        assert_eq!(settings.administrators.len(), 2);
    }

    #[test]
    fn a_configured_hash_is_no_password() {
        let hash = "0123456789ABCDEF0123456789abcdef";
        assert_eq!(configured_ha1(hash), Some(hash.to_ascii_lowercase()));
        for password in ["", "ourpwdofchoicehere", "0123456789abcdef0123456789abcdeg"] {
            assert_eq!(configured_ha1(password), None, "{password}");
        }
    }
}
