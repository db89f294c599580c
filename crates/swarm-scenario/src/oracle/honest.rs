//! The invariant *honest*: nobody says that something is at the target before it is.
//!
//! Whoever says so claims that the target has been told of a version, or of something newer of the same stream. That is so from
//! then on, whatever becomes of it there; whether it is, the target's own journals tell.

use std::collections::BTreeMap;

use swarm_types::{HeaderList, Stamp};

use super::image::Id;

/// What a node says a feed has carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    /// The number of the feed in its cluster.
    pub(crate) feed: u32,
    pub(crate) stream: Id,
    pub(crate) stamp: Stamp,
}

impl Claim {
    /// Whether it is true, where the target's journals have told so far of these streams at most so new.
    pub(crate) fn is_true(&self, target: &BTreeMap<Id, Stamp>) -> bool {
        target.get(&self.stream).is_some_and(|newest| *newest >= self.stamp)
    }
}

/// The feeds that these fields of an answer say are done (SCSP SEND: `Feed-1-Status: 0`).
pub(crate) fn done(fields: &HeaderList) -> Vec<u32> {
    let status = |name: &str| -> Option<u32> {
        let name = name.to_ascii_lowercase();
        name.strip_prefix("feed-")?.strip_suffix("-status")?.parse().ok()
    };
    let named = fields.iter().filter_map(|field| Some((status(&field.name)?, field.text()?)));
    named.filter(|(_, value)| value.trim() == "0").map(|(feed, _)| feed).collect()
}

#[cfg(test)]
mod tests {
    use swarm_types::{Etag, Version};

    use super::*;

    fn stamp(version: u64) -> Stamp {
        Stamp { version: Version(version), etag: Etag::from_bytes([1; 16]) }
    }

    #[test]
    fn a_claim_is_true_when_the_target_knows_the_stream_as_that_new() {
        let claim = Claim { feed: 1, stream: [5; 16], stamp: stamp(20) };
        for (what, streams, is_true) in [
            ("nothing is there", vec![], false),
            ("something older is there", vec![([5; 16], 19)], false),
            ("that very version is there", vec![([5; 16], 20)], true),
            ("something newer is there, or a delete", vec![([5; 16], 21)], true),
            ("something else is there", vec![([6; 16], 20)], false),
        ] {
            let target = streams.into_iter().map(|(id, version)| (id, stamp(version))).collect();
            assert_eq!(claim.is_true(&target), is_true, "{what}");
        }
    }

    #[test]
    fn an_answer_names_the_feeds_that_are_done() {
        let mut fields = HeaderList::default();
        for (name, value) in [
            ("Feed-0-Status", "0"),
            ("Feed-0-StatusTime", "Thu, 14 Mar 2024 08:30:05 GMT"),
            ("Feed-1-Status", "1"),
            ("Feed-1-StatusTime", ""),
            ("feed-12-status", " 0"),
            ("Feed-3-Status", "503"),
            ("Feed-x-Status", "0"),
            ("Etag", "0"),
        ] {
            fields.push(name, value);
        }
        assert_eq!(done(&fields), [0, 12]);
    }
}
