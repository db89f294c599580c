//! What a front end asks of a node, and what it gets: requests, replies and refusals, free of HTTP.
//!
//! A request names a [`Target`]; the node serves it, sends the client to another node, or refuses. Status codes are the
//! front end's business: every [`Refusal`] maps to one.

pub use swarm_policy::Replicate;
use swarm_types::{Etag, HeaderList, NodeId, ObjectMeta, Stamp, StreamId, Uuid, VolumeId};

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Which domain the client named, and how.
    pub domain: DomainChoice,
    /// The object within it.
    pub address: Address,
}

/// How the domain of a request was given (Formatting SCSP Commands: the query argument beats `Host`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainChoice {
    /// `domain=NAME`, lower case.
    Named(String),
    /// `domain=` with an empty value: no domain at all (Understanding Unnamed Objects).
    Untenanted,
    /// Only a `Host` header: without port, lower case. May be an address, the cluster's name or no domain.
    Host(String),
}

/// The object of a request, names decoded and checked by the naming rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// The domain itself.
    Domain,
    /// A bucket of the domain.
    Bucket(String),
    /// An object in a bucket.
    Named {
        /// The bucket.
        bucket: String,
        /// Everything behind the first slash.
        name: String,
    },
    /// An unnamed object, immutable or alias.
    Unnamed(Uuid),
    /// A new unnamed object; only for [`WriteKind::Unnamed`].
    NewUnnamed,
}

/// The token of a redirect: issued in a bid by the node that the client is sent to, good for one request there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nonce(pub u128);

/// Served here, or to be asked again elsewhere.
#[derive(Debug)]
pub enum Reply<T> {
    /// The answer.
    Served(T),
    /// Another node is to be asked.
    Redirect(Redirect),
}

/// Where to ask again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// The node; same SCSP port as this one.
    pub node: NodeId,
    /// Value of the `auth` argument.
    pub nonce: Nonce,
    /// True if this node is no good first address at all (301), false for this one request (307).
    pub permanent: bool,
    /// The domain as resolved, for the `domain` argument.
    pub domain: Option<String>,
}

/// GET or HEAD.
#[derive(Debug, Clone)]
pub struct ReadRequest {
    /// What to read.
    pub target: Target,
    /// `auth` argument of a redirected request.
    pub nonce: Option<Nonce>,
    /// Whether the body is wanted (GET) or not (HEAD).
    pub body: BodyWish,
    /// `Cache-Control: no-cache-context`: look contexts up afresh.
    pub fresh_contexts: bool,
}

/// Whether a read wants the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyWish {
    /// Body and metadata.
    Body,
    /// Metadata only.
    HeadersOnly,
}

/// A found object.
#[derive(Debug)]
pub struct ReadReply {
    /// The stream that it is filed under.
    pub id: StreamId,
    /// Metadata and length.
    pub meta: ObjectMeta,
    /// Version and ETag.
    pub stamp: Stamp,
    /// The volume that serves it.
    pub volume: VolumeId,
    /// A volume that is believed to hold another replica.
    pub volume_hint: Option<VolumeId>,
    /// Domain name, where it has one.
    pub domain: Option<String>,
    /// `/domain/bucket/object`, of named objects and buckets.
    pub path: Option<String>,
    /// The verified body; `None` for [`BodyWish::HeadersOnly`].
    pub body: Option<crate::read::Body>,
}

/// POST, PUT, COPY or APPEND.
#[derive(Debug, Clone)]
pub struct WriteRequest {
    /// Where to.
    pub target: Target,
    /// What is written.
    pub kind: WriteKind,
    /// `auth` argument of a redirected request.
    pub nonce: Option<Nonce>,
    /// Headers to persist, already reduced to those that persist, in the client's spelling and order.
    pub headers: HeaderList,
    /// Announced length of the body in bytes.
    pub length: u64,
    /// `If-Match`: refuse unless what is there has one of these ETags.
    pub if_match: Option<Vec<Etag>>,
    /// The `replicate` argument.
    pub replicate: Option<Replicate>,
    /// `user@realm` of an authenticated writer.
    pub owner: Option<String>,
    /// `Cache-Control: no-cache-context`: look contexts up afresh.
    pub fresh_contexts: bool,
}

/// What a write creates or replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteKind {
    /// `POST /`: a new immutable object, or with `alias` a mutable one.
    Unnamed {
        /// True for an alias object.
        alias: bool,
    },
    /// POST on a name: creates, or replaces what is there. Also contexts (the caller has checked the rules for those).
    Create {
        /// `If-None-Match: *`: refuse if the name exists.
        only_if_absent: bool,
    },
    /// PUT: replaces what is there.
    Replace {
        /// `putcreate`: create if the name is absent (named objects only).
        or_create: bool,
    },
    /// COPY and APPEND: a new version of what is there, which has the bytes of that one, and behind them those of the request.
    Amend {
        /// Whose headers it has.
        headers: Amended,
    },
}

/// Which headers a version has that takes the bytes of another one over (SCSP APPEND, SCSP COPY). `Content-MD5` goes by the
/// bytes: it stays where none are added, and goes where some are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amended {
    /// Those of the version before; the request's are ignored.
    Old,
    /// Those of the version before, but for names that the request has.
    Merged,
    /// Those of the request.
    New,
}

/// A stored object.
#[derive(Debug, Clone)]
pub struct WriteReply {
    /// The replicas made by this request, this node's first.
    pub replicas: Vec<ReplicaAt>,
    /// Version and ETag.
    pub stamp: Stamp,
    /// UUID of an unnamed object, alias UUID of alias objects and contexts (`Content-UUID`).
    pub uuid: Option<Uuid>,
    /// Alias UUID (`Castor-System-Alias`).
    pub alias: Option<Uuid>,
    /// True if it is a new version of something that was there.
    pub replaced: bool,
    /// Domain name, where it has one.
    pub domain: Option<String>,
    /// MD5 over the sorted persisted headers and the body (`Stored-Digest`, `Entity-MD5`).
    pub stored_digest: [u8; 16],
}

/// Where a replica was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplicaAt {
    /// The node.
    pub node: NodeId,
    /// The volume.
    pub volume: VolumeId,
}

/// DELETE.
#[derive(Debug, Clone)]
pub struct DeleteRequest {
    /// What to delete.
    pub target: Target,
    /// `auth` argument of a redirected request.
    pub nonce: Option<Nonce>,
    /// `recursive` was given; a context is not deleted without it.
    pub recursive: bool,
    /// `Cache-Control: no-cache-context`: look contexts up afresh.
    pub fresh_contexts: bool,
}

/// A deleted object.
#[derive(Debug, Clone)]
pub struct DeleteReply {
    /// Metadata of the version that was deleted.
    pub meta: ObjectMeta,
    /// Version and ETag of that version.
    pub stamp: Stamp,
}

/// Why a request was not served. Everything but [`Refusal::Unavailable`], [`Refusal::Unknown`] and [`Refusal::NotTaken`] means
/// that nothing happened; those are the only ones after which one should simply try again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such object (404), or its lifepoint has ended it.
    #[error("object not found")]
    NotFound,
    /// The domain or bucket does not exist (412 for writes, 404 for reads; Error Responses to WRITE).
    #[error("cannot find required domain or bucket {context:?}")]
    MissingContext {
        /// What was looked for, such as `acme.example/scans`.
        context: String,
    },
    /// Create-only, and the name exists (412).
    #[error("object exists already")]
    Exists {
        /// ETag of what exists.
        etag: Etag,
    },
    /// The object is another version than `If-Match` demands (412).
    #[error("If-Match condition not met")]
    Changed {
        /// ETag of what is there.
        etag: Etag,
    },
    /// An object that keeps its headers and is given others would have more than there may be (400).
    #[error("more than 500 headers, or longer than 32 KB, with those that are kept")]
    TooManyHeaders,
    /// Immutable objects cannot be updated (403).
    #[error("immutable object cannot be updated")]
    Immutable,
    /// The lifepoint in force says `deletable=no` (403).
    #[error("object is not deletable")]
    NotDeletable,
    /// A context is only deleted with `recursive` (400).
    #[error("domains and buckets are deleted only with the argument 'recursive'")]
    RecursiveRequired,
    /// A newer version was stored meanwhile; this one would not win (409). Nothing of it is stored.
    #[error("a newer version of the object was stored meanwhile")]
    Conflict,
    /// What another cluster brings is for a cluster of another name (412); this is ours.
    #[error("this is another cluster than the one asked for")]
    WrongCluster {
        /// `cluster.name`.
        cluster: String,
    },
    /// What arrived of another cluster's version is not what was stored there (400).
    #[error("the version does not have the digest that it should have")]
    DigestMismatch,
    /// Fewer nodes than replicas asked for at the same time (412).
    #[error("{found} of {wanted} nodes needed for synchronous replicas can take the object")]
    TooFewNodes {
        /// Nodes that could take it.
        found: u32,
        /// Nodes needed.
        wanted: u32,
    },
    /// No volume has room (507).
    #[error("not enough space in cluster")]
    NoSpace,
    /// The body ended before its announced length (the connection is gone; nothing is stored).
    #[error("the body ended after {got} of {announced} bytes")]
    ShortBody {
        /// Bytes received.
        got: u64,
        /// Bytes announced.
        announced: u64,
    },
    /// What another cluster brings was not taken, for a reason that says nothing of anything else that it brings; it may have
    /// happened, may happen later, or never (500).
    #[error("{why}; something else may be taken")]
    NotTaken {
        /// A short reason.
        why: &'static str,
    },
    /// This node cannot do it now; nothing happened (503).
    #[error("{why}")]
    Unavailable {
        /// A short reason.
        why: &'static str,
    },
    /// It may have happened, may happen later, or never (503).
    #[error("{why}; the outcome is unknown")]
    Unknown {
        /// A short reason.
        why: &'static str,
    },
}

impl Refusal {
    /// The same for one thing that another cluster brings, once this one has begun to take it.
    #[must_use]
    pub(crate) fn of_one(self) -> Self {
        match self {
            Self::Unavailable { why } | Self::Unknown { why } => Self::NotTaken { why },
            other => other,
        }
    }
}

/// A body that could not be read to its end: the connection must be closed early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the replica is damaged or gone at byte {at}")]
pub struct BodyBroken {
    /// Offset in the body.
    pub at: u64,
}
