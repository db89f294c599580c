//! What is filed in a town, and the feeds that carry it.

use swarm_feeds::definition::RawFeed;
use swarm_feeds::scope::RawScope;
use swarm_feeds::{Filed, What};
use swarm_types::{
    Etag, FeedSlots, HeaderList, ObjectKind, ObjectMeta, Stamp, StreamId, Uuid, Version, VolumeId,
};

/// A stream of the tests. They come in no order.
pub(crate) fn stream(nth: u32) -> StreamId {
    let mixed = u64::from(nth + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&mixed.to_be_bytes());
    bytes[12..].copy_from_slice(&nth.to_be_bytes());
    StreamId::from_bytes(bytes)
}

pub(crate) fn stamp(ms: u64) -> Stamp {
    Stamp { version: Version(ms), etag: Etag::from_bytes([1; 16]) }
}

/// The volume of this number on the node of this number, from 1.
pub(crate) fn volume(node: usize, nth: usize) -> VolumeId {
    let mut bytes = [0; 16];
    bytes[0] = u8::try_from(node).unwrap();
    bytes[1] = u8::try_from(nth).unwrap();
    VolumeId::from_bytes(bytes)
}

/// Alias UUID of the nth context.
pub(crate) fn alias(nth: u8) -> Uuid {
    Uuid::from_bytes([nth; 16])
}

/// A version of an untenanted object.
pub(crate) fn object(id: StreamId, stamp: Stamp) -> Filed {
    let meta = ObjectMeta {
        kind: ObjectKind::Alias,
        alias: Some(Uuid::from_bytes(*id.as_bytes())),
        cid: None,
        name: None,
        cluster: "east".to_owned(),
        owner: None,
        headers: HeaderList::default(),
        length: 100,
        digest: [0; 16],
    };
    let (what, slots, holders) = (What::Version(meta), FeedSlots::default(), Vec::new());
    Filed { id, stamp, what, slots, first: true, holders }
}

/// The same with other metadata.
pub(crate) fn with(mut filed: Filed, change: impl FnOnce(&mut ObjectMeta)) -> Filed {
    if let What::Version(meta) = &mut filed.what {
        change(meta);
    }
    filed
}

/// A named object in the bucket with this alias.
pub(crate) fn named(id: StreamId, stamp: Stamp, bucket: Uuid) -> Filed {
    with(object(id, stamp), |meta| {
        (meta.kind, meta.alias, meta.cid) = (ObjectKind::Named, None, Some(bucket));
        meta.name = Some(id.to_string());
    })
}

/// The memory of a delete of an untenanted object.
pub(crate) fn tombstone(id: StreamId, stamp: Stamp) -> Filed {
    let kind = ObjectKind::Alias;
    let what = What::Tombstone { kind, alias: None, parent: None, name: None };
    Filed { what, ..object(id, stamp) }
}

/// A feed of everything to this cluster.
pub(crate) fn to(cluster: &str) -> RawFeed {
    RawFeed {
        name: Some(cluster.to_owned()),
        kind: Some("replication".to_owned()),
        hosts: Some(vec!["10.2.0.1".to_owned()]),
        cluster_name: Some(cluster.to_owned()),
        ..RawFeed::default()
    }
}

/// The same of these domains only.
pub(crate) fn of_domains(cluster: &str, domains: &[&str]) -> RawFeed {
    let domains = domains.iter().map(|domain| (*domain).to_owned()).collect();
    RawFeed { scope: Some(RawScope { domains, ..RawScope::default() }), ..to(cluster) }
}
