//! A part of the invariant *alive*: at rest the nodes run the tasks of those that have just started, and no other.

use std::collections::BTreeMap;

use swarm_cluster::NodeRef;

/// How many tasks of each name a node has.
pub(crate) type Tasks = BTreeMap<&'static str, u64>;

/// A node that ran in the beginning and runs at rest, and its tasks at both times.
pub(crate) type Both = (NodeRef, Tasks, Tasks);

/// The tasks of nodes at rest that they did not have when nobody had asked them for anything, as sentences. What a disk
/// brings along to another node its own node does not have any more: a task counts as left behind only if its cluster has more
/// of them than in the beginning.
pub(crate) fn judge(nodes: &[Both]) -> Vec<String> {
    let mut sums: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for (node, idle, at_rest) in nodes {
        for (name, count) in idle {
            sums.entry((&node.cluster, name)).or_default().0 += count;
        }
        for (name, count) in at_rest {
            sums.entry((&node.cluster, name)).or_default().1 += count;
        }
    }
    let surplus = nodes.iter().flat_map(|(node, idle, at_rest)| {
        let sums = &sums;
        at_rest.iter().filter_map(move |(name, count)| {
            let usual = idle.get(name).copied().unwrap_or(0);
            let (before, after) = sums.get(&(&*node.cluster, *name))?;
            (*count > usual && after > before).then(|| {
                format!("{node} has {count} tasks \"{name}\" at rest, {usual} when it was idle at the start")
            })
        })
    });
    surplus.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(cluster: &str, node: u32) -> NodeRef {
        NodeRef { cluster: cluster.to_owned(), node }
    }

    #[test]
    fn a_task_that_stays_behind_is_found_and_one_that_ended_is_not_missed() {
        let idle = Tasks::from([("beacons", 1), ("store.commit", 2), ("mount", 1)]);
        let ended = Tasks::from([("beacons", 1), ("store.commit", 2)]);
        assert_eq!(judge(&[(node("main", 1), idle.clone(), ended)]), [""; 0]);
        let stuck = Tasks::from([("beacons", 1), ("connection", 1), ("store.commit", 3)]);
        assert_eq!(
            judge(&[(node("main", 1), idle, stuck)]),
            [
                "main/1 has 1 tasks \"connection\" at rest, 0 when it was idle at the start",
                "main/1 has 3 tasks \"store.commit\" at rest, 2 when it was idle at the start",
            ]
        );
    }

    #[test]
    fn tasks_that_go_with_a_disk_to_another_node_are_none_too_many() {
        let commits = |count| Tasks::from([("store.commit", count)]);
        let moved =
            [(node("main", 1), commits(2), commits(1)), (node("main", 2), commits(2), commits(3))];
        assert_eq!(judge(&moved), [""; 0]);
        // In another cluster nobody has fewer for it.
        let [from, (_, idle, more)] = moved;
        assert_eq!(judge(&[from, (node("dr", 2), idle, more)]).len(), 1);
    }
}
