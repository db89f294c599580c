//! What can be told about a cluster before anything of it starts: whether its settings and its sizes can be had.
//!
//! Owns the sentences about them, so that a command line and a scenario file are refused in the same words.

use std::collections::BTreeMap;

use swarm_node::Settings;

/// Smallest size of a volume in bytes: below it a disk cannot be formatted.
pub const VOLUME_SIZE_MIN: u64 = swarm_store::DEVICE_MIN;

/// Checks one Swarm setting as a node would when it starts.
///
/// # Errors
/// The sentence to show: the name is not known (and which one is meant, if one is near), or the value cannot be read.
/// A value that may be a secret is not repeated.
pub fn check_setting(name: &str, value: &str) -> Result<(), String> {
    let values = BTreeMap::from([(name.to_owned(), value.to_owned())]);
    let Err(error) = Settings::from_text(&values) else { return Ok(()) };
    let known = setting_names().any(|known| known == name);
    match nearest(name).filter(|_| !known) {
        Some(meant) => Err(format!("{error}; did you mean '{meant}'?")),
        None => Err(error.to_string()),
    }
}

/// Checks one Swarm setting as a node would that is told to change it while it runs.
///
/// # Errors
/// As [`check_setting`]; the setting counts from the next start only.
pub fn check_change(name: &str, value: &str) -> Result<(), String> {
    check_setting(name, value)?;
    if swarm_node::settings::is_dynamic(name) {
        return Ok(());
    }
    Err(format!("setting '{name}' cannot be changed while nodes run: it counts from a start on"))
}

/// The documented names of all settings that are known.
pub fn setting_names() -> impl Iterator<Item = &'static str> {
    Settings::known().map(|(name, ..)| name)
}

/// The known name that is most like this one; none if half of the letters would have to change.
fn nearest(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    setting_names()
        .map(|known| (strsim::damerau_levenshtein(&lower, &known.to_lowercase()), known))
        .filter(|(distance, known)| distance * 2 < known.len())
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_setting_takes_its_default_and_no_nonsense() {
        for (name, default, _) in Settings::known() {
            assert_eq!(check_setting(name, default), Ok(()));
            let error = check_setting(name, "{nonsense").expect_err("no value of any setting");
            assert!(error.contains(name) && !error.contains("did you mean"), "{error}");
        }
        assert_eq!(setting_names().count(), Settings::known().count());
    }

    #[test]
    fn what_counts_from_a_start_on_cannot_be_changed() {
        assert_eq!(check_change("health.replicationMulticastFrequency", "60"), Ok(()));
        let error = check_change("disk.obsoleteTimeout", "600").expect_err("static");
        assert!(error.contains("while nodes run"), "{error}");
        assert_eq!(check_change("x", "600"), check_setting("x", "600"));
    }

    #[test]
    fn a_mistyped_setting_is_told_the_name_that_is_meant() {
        for typed in ["policy.replica", "Policy.Replicas", "polciy.replicas"] {
            let error = check_setting(typed, "min:1 max:3 default:2").expect_err("mistyped");
            assert!(error.contains(typed), "{error}");
            assert!(error.ends_with("did you mean 'policy.replicas'?"), "{error}");
        }
        let error = check_setting("bad", "1").expect_err("nothing like it");
        assert!(error.contains("no such setting") && !error.contains("did you mean"), "{error}");
    }

    #[test]
    fn a_password_is_not_repeated() {
        let error = check_setting("security.administrators", "{'admin': hunter2}");
        assert!(!error.expect_err("not quoted").contains("hunter2"));
    }
}
