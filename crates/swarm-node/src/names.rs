//! Under which id a name is filed: a hash of the parent's alias UUID and the name, so that every node finds it alike and
//! renaming a parent moves no child.

use swarm_types::{StreamId, Uuid};

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
        ];
        let distinct: std::collections::BTreeSet<_> = ids.into_iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }
}
