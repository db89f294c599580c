//! Faults of the network in a simulated world: sets of nodes become sets of hosts, and what HTTP is becomes bytes.

use std::sync::Arc;

use swarm_sim::{Begins, HostId, Speaker, StreamEnding, StreamTrap};

use super::world::{SimWorld, SimulatedNode};
use super::{SCSP_PORT, latency_of};
use crate::control::{Cut, Ending, LinkChange, Reply, Ways};
use crate::spec::NodeRef;

/// Hosts that send, and hosts that they send to.
type Way = (Vec<HostId>, Vec<HostId>);

impl SimWorld {
    pub(super) async fn cut(&self, cut: Cut) -> Result<u64, String> {
        match cut {
            Cut::Isolate(nodes) => Ok(self.handle.cut(self.each_alone(&nodes)?).await),
            Cut::Partition(groups) => {
                let groups =
                    groups.iter().map(|nodes| self.hosts(nodes)).collect::<Result<_, _>>()?;
                Ok(self.handle.cut(groups).await)
            }
            Cut::OneWay { from, to } => {
                let groups = vec![self.hosts(&from)?, self.hosts(&to)?];
                Ok(self.handle.cut_one_way(groups).await)
            }
            Cut::Multicast(nodes) => Ok(self.handle.break_multicast(self.hosts(&nodes)?).await),
        }
    }

    /// A group for each of these nodes, and one for the rest of their clusters.
    fn each_alone(&self, nodes: &[NodeRef]) -> Result<Vec<Vec<HostId>>, String> {
        let mut groups: Vec<Vec<HostId>> =
            self.hosts(nodes)?.into_iter().map(|host| vec![host]).collect();
        groups.push(self.rest_of_clusters(nodes));
        Ok(groups)
    }

    /// The other nodes of the clusters of these.
    fn rest_of_clusters(&self, nodes: &[NodeRef]) -> Vec<HostId> {
        let same = |node: &SimulatedNode| {
            nodes.iter().any(|named| named.cluster == node.reference.cluster)
                && !nodes.contains(&node.reference)
        };
        self.nodes.iter().filter(|node| same(node)).map(|node| node.host).collect()
    }

    pub(super) async fn degrade(&self, ways: Ways, change: LinkChange) -> Result<u64, String> {
        let ways = match ways {
            Ways::Around(nodes) => {
                let (inside, rest) = (self.hosts(&nodes)?, self.rest_of_clusters(&nodes));
                let everybody = [inside.clone(), rest.clone()].concat();
                vec![(inside.clone(), everybody), (rest, inside)]
            }
            Ways::OneWay { from, to } => vec![(self.hosts(&from)?, self.hosts(&to)?)],
            Ways::Between(some, others) => {
                there_and_back((self.hosts(&some)?, self.hosts(&others)?))
            }
            Ways::Clients(nodes) => {
                there_and_back((self.client_hosts.clone(), self.hosts(&nodes)?))
            }
        };
        let change = swarm_sim::LinkChange {
            latency: change.latency.map(latency_of),
            bandwidth_bits: change.bandwidth_bits,
            loss_ppm: change.loss_ppm,
            duplicate_ppm: change.duplicate_ppm,
            reorder_ppm: change.reorder_ppm,
        };
        Ok(self.handle.degrade(ways, change).await)
    }

    pub(super) async fn forget(&self, nodes: &[NodeRef]) -> Result<u64, String> {
        Ok(self.handle.forget_connections(self.each_alone(nodes)?).await)
    }

    pub(super) fn client(&self, index: usize) -> Result<HostId, String> {
        let host = self.client_hosts.get(index).copied();
        host.ok_or_else(|| format!("there is no client host {}", index + 1))
    }
}

fn there_and_back(way: Way) -> Vec<Way> {
    let back = (way.1.clone(), way.0.clone());
    vec![way, back]
}

/// A trap for a request.
pub(super) fn truncation(
    client: Option<HostId>,
    node: Option<HostId>,
    marker: Option<Vec<u8>>,
    at_byte: u64,
    ending: Ending,
) -> StreamTrap {
    StreamTrap {
        from: client.into_iter().collect(),
        to: node.into_iter().collect(),
        speaker: Speaker::Opener,
        port: Some(SCSP_PORT),
        begins: marker.map_or(Begins::Connection, |marker| {
            Begins::Write(Arc::new(move |bytes| contains(bytes, &marker)))
        }),
        at_byte,
        ending: stream_ending(ending),
    }
}

/// A trap for an answer on the SCSP port.
pub(super) fn lost_reply(node: &SimulatedNode, reply: Reply, ending: Ending) -> StreamTrap {
    StreamTrap {
        from: vec![node.host],
        to: Vec::new(),
        speaker: Speaker::Accepter,
        port: Some(SCSP_PORT),
        begins: Begins::Write(Arc::new(move |bytes| is_reply(bytes, reply))),
        at_byte: 0,
        ending: stream_ending(ending),
    }
}

const fn stream_ending(ending: Ending) -> StreamEnding {
    match ending {
        Ending::Reset => StreamEnding::Reset,
        Ending::Silence => StreamEnding::Silence,
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    text.is_empty() || bytes.windows(text.len()).any(|window| window == text)
}

/// Whether these bytes begin with the status line of such an answer.
fn is_reply(bytes: &[u8], reply: Reply) -> bool {
    let class = bytes.strip_prefix(b"HTTP/1.1 ").and_then(<[u8]>::first);
    match reply {
        Reply::Any => class.is_some_and(|class| *class != b'1'),
        Reply::Success => class == Some(&b'2'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_known_by_its_status_line() {
        for (bytes, any, success) in [
            (&b"HTTP/1.1 201 Created\r\n"[..], true, true),
            (b"HTTP/1.1 307 Temporary Redirect\r\n", true, false),
            (b"HTTP/1.1 100 Continue\r\n", false, false),
            (b"body that says HTTP/1.1 201", false, false),
            (b"", false, false),
        ] {
            assert_eq!(is_reply(bytes, Reply::Any), any);
            assert_eq!(is_reply(bytes, Reply::Success), success);
        }
    }

    #[test]
    fn a_marker_is_found_anywhere_in_a_write() {
        let head = b"POST /bucket/object-17 HTTP/1.1\r\n";
        assert!(contains(head, b"/object-17 "));
        assert!(!contains(head, b"/object-1 "));
        assert!(contains(head, b"") && !contains(b"", b"x"));
    }
}
