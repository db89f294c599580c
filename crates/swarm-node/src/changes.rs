//! Settings that were changed on a running cluster: laid over what each node was started with, newest version of each
//! setting first, and spread until every node has the same.
//!
//! A change is sent to everybody at once. Every beacon carries a digest of all changes; whoever hears another one than its
//! own sends what it has, so that what was lost, and nodes that were away, catch up within a beacon or two. Nothing of it is
//! kept on disk: it is gone when no node of the cluster runs (our choice).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swarm_types::NodeId;

use crate::node::Inner;
use crate::settings::is_dynamic;
use crate::wire::{ChangeWire, Message};
use crate::{Node, SettingError, Settings};

/// Longest value of a setting that is changed at run time, in bytes: all of them together travel in one datagram.
const VALUE_MAX: usize = 128;

/// A setting that was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// There is no such setting.
    #[error("no such setting")]
    Unknown,
    /// It is read when a node starts, and then never again.
    #[error("the setting is read at the start of a node only")]
    Static,
    /// It cannot have this value.
    #[error(transparent)]
    Value(#[from] SettingError),
}

/// One setting, for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingStatus {
    /// Its documented name.
    pub name: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Its value as text; `None` for one that is secret.
    pub value: Option<String>,
    /// Its default as text; `None` for one that is secret.
    pub default: Option<&'static str>,
    /// Whether it may be changed while the cluster runs.
    pub dynamic: bool,
    /// Where the value comes from.
    pub source: SettingSource,
}

/// Where the value of a setting comes from, the later ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SettingSource {
    /// Changed while the cluster runs.
    Cluster,
    /// Given to the node at its start.
    Node,
    /// Nobody has said anything.
    Default,
}

/// Which of two changes of a setting counts: the later one; of two at the same moment one that everybody takes alike.
type ChangeVersion = (u64, u64);

/// Changed settings by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Changes {
    all: BTreeMap<String, (ChangeVersion, String)>,
}

impl Changes {
    /// Takes what is newer. True if anything was.
    fn take(&mut self, name: &str, version: ChangeVersion, value: &str) -> bool {
        let newer = self.all.get(name).is_none_or(|(known, _)| *known < version);
        if newer {
            self.all.insert(name.to_owned(), (version, value.to_owned()));
        }
        newer
    }

    /// A version above that of every change so far.
    fn next_number(&self, now: u64) -> u64 {
        let newest = self.all.values().map(|((number, _), _)| *number).max().unwrap_or(0);
        now.max(newest.saturating_add(1))
    }

    /// Zero where there are no changes; otherwise different, but for a chance of one in 2^64, where anything is.
    fn digest(&self) -> u64 {
        if self.all.is_empty() {
            return 0;
        }
        let mut hasher = blake3::Hasher::new();
        for (name, ((number, tie), value)) in &self.all {
            for text in [name, value] {
                hasher.update(&(text.len() as u64).to_be_bytes());
                hasher.update(text.as_bytes());
            }
            hasher.update(&number.to_be_bytes());
            hasher.update(&tie.to_be_bytes());
        }
        let mut digest = [0; 8];
        hasher.finalize_xof().fill(&mut digest);
        u64::from_be_bytes(digest).max(1)
    }
}

/// The settings in force on a node.
pub(crate) struct SettingsInForce {
    /// What the node was started with, by name.
    given: BTreeMap<String, String>,
    now: Mutex<Now>,
}

struct Now {
    settings: Arc<Settings>,
    changes: Changes,
    digest: u64,
}

impl SettingsInForce {
    /// What a node is started with, as text and as read from it.
    pub(crate) fn new(given: BTreeMap<String, String>, settings: Settings) -> Self {
        let (settings, changes) = (Arc::new(settings), Changes::default());
        Self { given, now: Mutex::new(Now { settings, changes, digest: 0 }) }
    }

    pub(crate) fn get(&self) -> Arc<Settings> {
        Arc::clone(&self.lock().settings)
    }

    pub(crate) fn digest(&self) -> u64 {
        self.lock().digest
    }

    /// Lays changes over what there is; those that this node cannot read are left alone. True if anything changed.
    fn take(&self, changes: &[(String, ChangeVersion, String)]) -> bool {
        let mut now = self.lock();
        let mut changed = false;
        for (name, version, value) in changes {
            let readable = is_dynamic(name)
                && value.len() <= VALUE_MAX
                && self.laid_over(&now.changes, Some((name, value))).is_ok();
            changed |= readable && now.changes.take(name, *version, value);
        }
        if changed {
            now.digest = now.changes.digest();
            if let Ok(settings) = self.laid_over(&now.changes, None) {
                now.settings = Arc::new(settings);
            }
        }
        changed
    }

    /// What was given, under the changes, under one more.
    fn laid_over(
        &self,
        changes: &Changes,
        one: Option<(&str, &str)>,
    ) -> Result<Settings, SettingError> {
        let mut values = self.given.clone();
        let changed = changes.all.iter().map(|(name, (_, value))| (name.as_str(), value.as_str()));
        values.extend(changed.chain(one).map(|(name, value)| (name.to_owned(), value.to_owned())));
        Settings::from_text(&values)
    }

    fn wire(&self) -> Vec<ChangeWire> {
        let now = self.lock();
        let wire = |(name, (version, value)): (&String, &(ChangeVersion, String))| ChangeWire {
            name: name.clone(),
            version: *version,
            value: value.clone(),
        };
        now.changes.all.iter().map(wire).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// The settings in force now.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.get()
    }

    /// Compares notes with a peer whose changes have this digest.
    pub(crate) fn compare_changes(&self, peer: NodeId, digest: u64) {
        let own = self.settings.digest();
        if own != digest && own != 0 {
            self.send(peer, &Message::Settings(self.settings.wire()));
        }
    }

    /// Takes the changes that a peer knows.
    pub(crate) fn hear_changes(&self, changes: Vec<ChangeWire>) {
        let changes: Vec<_> =
            changes.into_iter().map(|change| (change.name, change.version, change.value)).collect();
        if self.settings.take(&changes) {
            self.changes_taken();
        }
    }

    fn changes_taken(&self) {
        tracing::info!(node = self.env.name(), "settings changed");
        if let Some(health) = self.health.processor() {
            health.set_settings(self.settings().health());
        }
    }
}

impl Node {
    /// Changes a setting on every node of the cluster; in force here on return, and elsewhere as soon as it is heard.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub fn change_setting(&self, name: &str, value: &str) -> Result<(), ChangeError> {
        let known = Settings::known().any(|(known, ..)| known == name);
        if !known {
            return Err(ChangeError::Unknown);
        }
        if !is_dynamic(name) {
            return Err(ChangeError::Static);
        }
        if value.len() > VALUE_MAX {
            let why = format!("a value has at most {VALUE_MAX} bytes");
            return Err(ChangeError::Value(SettingError { name: name.to_owned(), why }));
        }
        let settings = &self.inner.settings;
        let tie = self.env().random_u64("setting");
        let number = {
            let now = settings.lock();
            settings.laid_over(&now.changes, Some((name, value)))?;
            now.changes.next_number(self.env().wall().millis())
        };
        if settings.take(&[(name.to_owned(), (number, tie), value.to_owned())]) {
            self.inner.changes_taken();
        }
        self.inner.multicast(&Message::Settings(settings.wire()));
        Ok(())
    }

    /// Every setting with its value, by name.
    #[must_use]
    pub fn setting_values(&self) -> Vec<SettingStatus> {
        let in_force = &self.inner.settings;
        let now = in_force.lock();
        let status = |(name, default, purpose): (&'static str, &'static str, &'static str)| {
            let changed = now.changes.all.get(name).map(|(_, value)| value);
            let given = in_force.given.get(name);
            let source = match (changed, given) {
                (Some(_), _) => SettingSource::Cluster,
                (None, Some(_)) => SettingSource::Node,
                (None, None) => SettingSource::Default,
            };
            let value = changed.or(given).cloned().unwrap_or_else(|| default.to_owned());
            // Passwords are in there.
            let secret = name.starts_with("security.");
            SettingStatus {
                name,
                purpose,
                value: (!secret).then_some(value),
                default: (!secret).then_some(default),
                dynamic: is_dynamic(name),
                source,
            }
        };
        Settings::known().map(status).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::*;

    fn started() -> SettingsInForce {
        SettingsInForce::new(BTreeMap::new(), Settings::default())
    }

    fn change(name: &str, number: u64, value: &str) -> (String, ChangeVersion, String) {
        (name.to_owned(), (number, 0), value.to_owned())
    }

    const POLICY: &str = "policy.replicas";

    #[test]
    fn the_newest_change_of_each_setting_counts() {
        let settings = started();
        assert!(settings.take(&[change(POLICY, 5, "min:1 max:16 default:3")]));
        assert!(!settings.take(&[change(POLICY, 4, "min:1 max:16 default:4")]), "older");
        assert!(settings.take(&[change("scsp.replicateOnWrite", 1, "False")]), "another one");
        assert_eq!(settings.get().replicas, "min:1 max:16 default:3".parse().expect("a policy"));
        assert!(!settings.get().replicate_on_write);
    }

    #[test]
    fn what_cannot_be_read_or_may_not_be_changed_is_left_alone() {
        let settings = started();
        assert!(!settings.take(&[change("cluster.enforceTenancy", 5, "True")]));
        assert!(!settings.take(&[change(POLICY, 5, "min:9 max:1 default:3")]));
        assert!(!settings.take(&[change("no.such", 5, "1")]));
        assert_eq!((*settings.get()).clone(), Settings::default());
        assert_eq!(settings.digest(), 0);
    }

    #[test]
    fn a_change_beats_what_the_node_was_started_with() {
        let given = BTreeMap::from([("recovery.suspended".to_owned(), "True".to_owned())]);
        let read = Settings::from_text(&given).expect("readable");
        let settings = SettingsInForce::new(given, read);
        assert!(settings.take(&[change("recovery.suspended", 1, "no")]));
        assert!(!settings.get().recovery.suspended);
    }

    #[test]
    fn all_changes_that_there_can_be_travel_in_one_datagram() {
        let names = Settings::known().map(|(name, ..)| name).filter(|name| is_dynamic(name));
        let value = "v".repeat(VALUE_MAX);
        let change = |name: &str| ChangeWire {
            name: name.to_owned(),
            version: (u64::MAX, u64::MAX),
            value: value.clone(),
        };
        let message = Message::Settings(names.map(change).collect());
        let tag = crate::wire::ClusterTag::of(&swarm_types::ClusterName::from("main"));
        assert!(crate::wire::encode(tag, &message).is_some());
    }

    proptest! {
        /// Nodes that hear the same changes agree, whatever the order and however often.
        #[test]
        fn the_order_of_hearing_does_not_matter(heard: Vec<(bool, u8, bool)>) {
            let all: Vec<_> = heard
                .iter()
                .map(|(policy, number, value)| {
                    let (name, texts) = if *policy {
                        (POLICY, ["min:1 max:16 default:2", "min:2 max:4 default:4"])
                    } else {
                        ("recovery.suspended", ["True", "False"])
                    };
                    let tie = u64::from(*value);
                    let value = texts[usize::from(*value)].to_owned();
                    (name.to_owned(), (u64::from(*number), tie), value)
                })
                .collect();
            let (forth, back) = (started(), started());
            for change in &all {
                forth.take(std::slice::from_ref(change));
            }
            for change in all.iter().rev().chain(&all) {
                back.take(std::slice::from_ref(change));
            }
            prop_assert_eq!(forth.digest(), back.digest());
            prop_assert_eq!(forth.get(), back.get());
        }
    }
}
