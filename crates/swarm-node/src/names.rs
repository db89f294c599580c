//! Under which id a name is filed: a hash of the parent's alias UUID and the name, so that every node finds it alike and
//! renaming a parent moves no child.

use swarm_feeds::wire::Identity;
use swarm_types::{ObjectKind, StreamId, Uuid};

/// The id of a domain.
#[must_use]
pub fn domain_stream(domain: &str) -> StreamId {
    stream("domain", Uuid::ROOT, domain)
}

/// The id of a bucket in the domain with this alias UUID.
#[must_use]
pub fn bucket_stream(domain: Uuid, bucket: &str) -> StreamId {
    stream("bucket", domain, bucket)
}

/// The id of a named object in the bucket with this alias UUID.
#[must_use]
pub fn object_stream(bucket: Uuid, name: &str) -> StreamId {
    stream("object", bucket, name)
}

/// The id of a domain or a bucket with this alias UUID whose name another one has: both came into being under it, in two
/// clusters, and nobody finds this one by its name.
#[must_use]
pub fn collided_stream(alias: Uuid) -> StreamId {
    stream("collided", alias, "")
}

/// The id of what is the same in all clusters, unless its name is taken here; `None` where it lacks what its class needs.
#[must_use]
pub fn stream_of(identity: &Identity) -> Option<StreamId> {
    let name = identity.name.as_deref();
    match identity.kind {
        ObjectKind::Immutable | ObjectKind::Alias => identity.uuid.map(Uuid::stream),
        ObjectKind::Named => Some(object_stream(identity.cid?, name?)),
        ObjectKind::Bucket => Some(bucket_stream(identity.cid?, name?)),
        ObjectKind::Domain => name.map(domain_stream),
    }
}

fn stream(class: &str, parent: Uuid, name: &str) -> StreamId {
    let mut hasher = blake3::Hasher::new();
    hasher.update(class.as_bytes());
    hasher.update(parent.as_bytes());
    hasher.update(name.as_bytes());
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    StreamId::from_bytes(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_parent_and_name_tell_streams_apart() {
        let (one, two) = (Uuid::from_bytes([1; 16]), Uuid::from_bytes([2; 16]));
        let ids = [
            domain_stream("a"),
            bucket_stream(one, "a"),
            object_stream(one, "a"),
            object_stream(two, "a"),
            object_stream(one, "b"),
            collided_stream(one),
            collided_stream(two),
        ];
        let distinct: std::collections::BTreeSet<_> = ids.into_iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }
}
