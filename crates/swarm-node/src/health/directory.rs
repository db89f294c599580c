//! Which node has which volume: learned from beacons, kept after the node is gone, because what was there is then to be
//! made anew.
//!
//! A volume belongs to the node whose beacon named it last. A beacon names a limited number of volumes; where that is not
//! all of them, one that is left out counts as it did before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use swarm_plan::health::Subcluster;
use swarm_plan::membership::VolumeState;
use swarm_types::{NodeId, VolumeId};

/// Volumes that are remembered; more than any cluster here has.
const VOLUMES_MAX: usize = 16_384;

/// What a node says of its volumes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Listing<'a> {
    /// The node's subcluster.
    pub(crate) subcluster: &'a str,
    /// Whether every volume is named.
    pub(crate) is_complete: bool,
    /// Its volumes and their states.
    pub(crate) volumes: &'a [(VolumeId, VolumeState)],
}

impl Named {
    const fn is_working(self) -> bool {
        match self.state {
            Some(VolumeState::Ok | VolumeState::Retiring | VolumeState::Retired) => true,
            Some(VolumeState::Mounting | VolumeState::Unavailable) | None => false,
        }
    }
}

/// Where the volumes of the other nodes are, or were.
#[derive(Default)]
pub(crate) struct Directory {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    nodes: BTreeMap<NodeId, Neighbour>,
    volumes: BTreeMap<VolumeId, Named>,
    /// How many of them their nodes do not name any more, or not as working.
    not_working: usize,
}

/// What a node said last of itself.
struct Neighbour {
    subcluster: Subcluster,
    /// Whether a volume is in good order, so that a stream can be stored there.
    takes_streams: bool,
}

/// Who named a volume last.
#[derive(Clone, Copy)]
struct Named {
    by: NodeId,
    /// In which state; `None` if that node does not name it any more.
    state: Option<VolumeState>,
}

impl Directory {
    /// Takes note of what a node says in its newest beacon.
    pub(crate) fn listed(&self, node: NodeId, listing: Listing<'_>) {
        let mut known = self.lock();
        if listing.is_complete {
            for (id, named) in known.volumes.iter_mut().filter(|(_, named)| named.by == node) {
                if listing.volumes.iter().all(|(listed, _)| listed != id) {
                    named.state = None;
                }
            }
        }
        for (id, state) in listing.volumes {
            if known.volumes.len() < VOLUMES_MAX || known.volumes.contains_key(id) {
                known.volumes.insert(*id, Named { by: node, state: Some(*state) });
            }
        }
        known.not_working = known.volumes.values().filter(|named| !named.is_working()).count();
        let takes_streams = listing.volumes.iter().any(|(_, state)| state.takes_streams());
        let subcluster = Arc::from(listing.subcluster);
        known.nodes.insert(node, Neighbour { subcluster, takes_streams });
    }

    /// The node that named this volume last, and the state in its newest list; `None` for the state if it is not in there
    /// any more.
    pub(crate) fn find(&self, volume: VolumeId) -> Option<(NodeId, Option<VolumeState>)> {
        self.lock().volumes.get(&volume).map(|named| (named.by, named.state))
    }

    /// The volumes that their nodes do not name as working, and all of these nodes': by whom named last, and in which
    /// state.
    pub(crate) fn in_doubt(
        &self,
        nodes: &[NodeId],
    ) -> Vec<(VolumeId, NodeId, Option<VolumeState>)> {
        let known = self.lock();
        if nodes.is_empty() && known.not_working == 0 {
            return Vec::new();
        }
        let all = known.volumes.iter();
        let doubtful = all.filter(|(_, named)| !named.is_working() || nodes.contains(&named.by));
        doubtful.map(|(id, named)| (*id, named.by, named.state)).collect()
    }

    /// The subcluster of a node, and whether it has a volume for streams; `None` if no list of it was heard yet.
    pub(crate) fn of(&self, node: NodeId) -> Option<(Subcluster, bool)> {
        let known = self.lock();
        let neighbour = known.nodes.get(&node)?;
        Some((Arc::clone(&neighbour.subcluster), neighbour.takes_streams))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const A: NodeId = NodeId(Ipv4Addr::new(10, 0, 0, 1));
    const B: NodeId = NodeId(Ipv4Addr::new(10, 0, 0, 2));

    fn volume(number: u8) -> VolumeId {
        VolumeId::from_bytes([number; 16])
    }

    fn lists(directory: &Directory, node: NodeId, is_complete: bool, volumes: &[u8]) {
        let volumes: Vec<_> =
            volumes.iter().map(|number| (volume(*number), VolumeState::Ok)).collect();
        let listing = Listing { subcluster: "east", is_complete, volumes: &volumes };
        directory.listed(node, listing);
    }

    #[test]
    fn a_volume_is_where_it_was_named_last() {
        let directory = Directory::default();
        lists(&directory, A, true, &[1, 2]);
        lists(&directory, B, true, &[3]);
        assert_eq!(directory.find(volume(2)), Some((A, Some(VolumeState::Ok))));
        assert_eq!(directory.find(volume(9)), None);
        assert_eq!(directory.of(A), Some(("east".into(), true)));
        assert_eq!(directory.in_doubt(&[]), vec![]);
        assert_eq!(directory.in_doubt(&[B]), vec![(volume(3), B, Some(VolumeState::Ok))]);
    }

    #[test]
    fn a_volume_that_is_not_named_any_more_is_remembered() {
        let directory = Directory::default();
        lists(&directory, A, true, &[1, 2]);
        lists(&directory, A, true, &[2]);
        assert_eq!(directory.find(volume(1)), Some((A, None)));
        assert_eq!(directory.in_doubt(&[]), vec![(volume(1), A, None)]);
        lists(&directory, A, true, &[1, 2]);
        assert_eq!(directory.in_doubt(&[]), vec![]);
    }

    #[test]
    fn a_list_that_is_not_complete_says_nothing_of_what_it_leaves_out() {
        let directory = Directory::default();
        lists(&directory, A, true, &[1, 2]);
        lists(&directory, A, false, &[3]);
        assert_eq!(directory.find(volume(1)), Some((A, Some(VolumeState::Ok))));
        assert_eq!(directory.find(volume(3)), Some((A, Some(VolumeState::Ok))));
    }

    #[test]
    fn a_volume_moves_there_and_back() {
        let directory = Directory::default();
        lists(&directory, A, true, &[1, 2]);
        lists(&directory, B, true, &[1]);
        assert_eq!(directory.find(volume(1)), Some((B, Some(VolumeState::Ok))));
        lists(&directory, A, true, &[2]);
        assert_eq!(directory.find(volume(1)), Some((B, Some(VolumeState::Ok))));
        lists(&directory, B, true, &[]);
        assert_eq!(directory.find(volume(1)), Some((B, None)));
        lists(&directory, A, true, &[1, 2]);
        assert_eq!(directory.find(volume(1)), Some((A, Some(VolumeState::Ok))));
    }

    #[test]
    fn states_are_told_and_a_node_without_a_volume_in_order_takes_nothing() {
        let directory = Directory::default();
        let volumes = [(volume(1), VolumeState::Retiring)];
        let listing = Listing { subcluster: "", is_complete: true, volumes: &volumes };
        directory.listed(A, listing);
        assert_eq!(directory.find(volume(1)), Some((A, Some(VolumeState::Retiring))));
        assert_eq!(directory.of(A), Some(("".into(), false)));
    }
}
