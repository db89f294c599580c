//! A part of the invariant *alive*: at rest a node runs the tasks of one that has just started, and no other.

use std::collections::BTreeMap;

/// How many tasks of each name a node has.
pub(crate) type Tasks = BTreeMap<&'static str, u64>;

/// The tasks of a node at rest that it did not have when nobody had asked it for anything, as sentences without a subject.
pub(crate) fn judge(idle: &Tasks, at_rest: &Tasks) -> Vec<String> {
    let surplus = at_rest.iter().filter_map(|(name, count)| {
        let usual = idle.get(name).copied().unwrap_or(0);
        (*count > usual).then(|| {
            format!("has {count} tasks \"{name}\" at rest, {usual} when it was idle at the start")
        })
    });
    surplus.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_stays_behind_is_found_and_one_that_ended_is_not_missed() {
        let idle = Tasks::from([("beacons", 1), ("store.commit", 2), ("mount", 1)]);
        assert_eq!(judge(&idle, &Tasks::from([("beacons", 1), ("store.commit", 2)])), [""; 0]);
        let stuck = Tasks::from([("beacons", 1), ("connection", 1), ("store.commit", 3)]);
        assert_eq!(
            judge(&idle, &stuck),
            [
                "has 1 tasks \"connection\" at rest, 0 when it was idle at the start",
                "has 3 tasks \"store.commit\" at rest, 2 when it was idle at the start",
            ]
        );
    }
}
