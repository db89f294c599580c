//! What persists with an object beside its bytes.

use crate::{HeaderList, Uuid};

/// The class of an object; it decides which methods are legal and how the object is addressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// Unnamed, written once; its UUID is its ETag.
    Immutable,
    /// Unnamed and mutable; its UUID stays, its ETag changes.
    Alias,
    /// Has a name in a bucket.
    Named,
    /// A context for named objects.
    Bucket,
    /// A context for buckets and unnamed objects.
    Domain,
}

impl ObjectKind {
    /// Domains and buckets.
    #[must_use]
    pub const fn is_context(self) -> bool {
        matches!(self, Self::Bucket | Self::Domain)
    }

    /// Everything that may have more than one version under its id.
    #[must_use]
    pub const fn is_mutable(self) -> bool {
        !matches!(self, Self::Immutable)
    }
}

/// What persists with one version of an object beside its bytes and its [`crate::Stamp`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// The class of the object.
    pub kind: ObjectKind,
    /// Permanent UUID of an alias object, bucket or domain (`Castor-System-Alias`).
    pub alias: Option<Uuid>,
    /// Alias UUID of the parent (`Castor-System-CID`): bucket of an object, domain of a bucket or of a tenanted unnamed
    /// object, [`Uuid::ROOT`] of a domain; none for untenanted objects.
    pub cid: Option<Uuid>,
    /// Name relative to the parent (`Castor-System-Name`); none for unnamed objects.
    pub name: Option<String>,
    /// Cluster of the last write (`Castor-System-Cluster`).
    pub cluster: String,
    /// `user@realm` of an authenticated writer (`Castor-System-Owner`).
    pub owner: Option<String>,
    /// The persisted request headers in the client's spelling and order (SCSP Headers; Custom Metadata Headers).
    pub headers: HeaderList,
    /// Length of the body in bytes.
    pub length: u64,
    /// MD5 over the persisted headers and the body (`Stored-Digest`).
    pub digest: [u8; 16],
}
