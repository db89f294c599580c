//! What nodes say to each other, as bytes. Owns the wire shapes: datagrams of at most 1,400 bytes and the frames of
//! replica streams. Every message names the format's version and the cluster, so that strangers on one multicast group
//! ignore each other.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use swarm_feeds::{DeletedContext, FoundContext};
use swarm_plan::lookup::{Form, Holding, Room};
use swarm_plan::membership::{NodeState, VolumeState};
use swarm_types::{
    ClusterName, Etag, Header, HeaderList, ObjectKind, ObjectMeta, Stamp, StreamId, Uuid, Version,
    VolumeId,
};

use crate::feeds::wire::{FeedMessage, StatsWire};
use crate::health::wire::HealthMessage;

mod records;

pub(crate) use records::{SlotWire, SlotsWire, TombstoneWire};

/// Version of everything here; nodes of other versions are not understood and ignored.
const WIRE_VERSION: u8 = 4;
/// Largest datagram, below what any Ethernet carries unfragmented.
const MAX_DATAGRAM: usize = 1400;
/// Largest frame: 32 KiB of metadata and its framing, or one piece of a body.
pub(crate) const MAX_FRAME: usize = 256 * 1024;

/// Which cluster a message belongs to: a hash of the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClusterTag(u32);

impl ClusterTag {
    pub(crate) fn of(name: &ClusterName) -> Self {
        let hash = blake3::hash(name.as_str().as_bytes());
        let bytes = hash.as_bytes();
        Self(u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }
}

/// A message in one datagram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// I am here, in this state.
    Beacon(Beacon),
    /// What do you hold, what would it cost?
    Query(Query),
    /// The answer to a query.
    Answer(AnswerWire),
    /// File this tombstone.
    Bury(BuryWire),
    /// Take this replica back: its write has failed.
    Retract(ReplicaWire),
    /// The answer to `Bury`, `Retract` or `Examine`.
    Done(DoneWire),
    /// A newer version is stored: drop your replica of anything older. Best effort.
    Superseded(ReplicaWire),
    /// The context filed under this id has changed: forget what you cached. Best effort.
    ContextChanged([u8; 16]),
    /// From health processor to health processor.
    Health(HealthMessage),
    /// The settings that were changed at run time, as far as the sender knows.
    Settings(Vec<ChangeWire>),
    /// This replica serves nobody, and a request has found no other: is it sound after all?
    Examine(ReplicaWire),
    /// From the feeds of one node to those of another.
    Feeds(FeedMessage),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChangeWire {
    pub(crate) name: String,
    pub(crate) version: (u64, u64),
    pub(crate) value: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Beacon {
    /// Asks for a beacon in return.
    pub(crate) hello: bool,
    /// Drawn by each incarnation of the sender.
    pub(crate) incarnation: u64,
    /// Counts the beacons of an incarnation: one that was overtaken says nothing any more.
    pub(crate) number: u64,
    pub(crate) state: StateWire,
    pub(crate) capacity: u64,
    pub(crate) free: u64,
    /// Digest of the settings that were changed at run time.
    pub(crate) settings: u64,
    /// Version of the table of feeds: number and digest.
    pub(crate) feeds: (u64, u32),
    /// Counts the changes of the sender's volumes.
    pub(crate) roster: u32,
    /// The sender's volumes, where it has something to tell of them; whoever has not heard of the last change asks.
    pub(crate) listing: Option<ListingWire>,
}

/// What a node has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListingWire {
    pub(crate) subcluster: String,
    /// Whether every volume is named: a datagram has room for so many.
    pub(crate) is_complete: bool,
    pub(crate) volumes: Vec<VolumeWire>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VolumeWire {
    id: [u8; 16],
    state: VolumeStateWire,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum VolumeStateWire {
    Mounting,
    Ok,
    Retiring,
    Retired,
    Unavailable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum StateWire {
    Mounting,
    Initializing,
    Ok,
    Finalizing,
    Maintenance,
    Idle,
    Error,
    Retiring,
    Retired,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Query {
    pub(crate) request: u64,
    /// Absent for a new unnamed object, of which nobody can hold anything.
    pub(crate) id: Option<[u8; 16]>,
    /// Length of a body to be stored, where bids are wanted.
    pub(crate) size: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AnswerWire {
    pub(crate) request: u64,
    pub(crate) holding: Option<HoldingWire>,
    pub(crate) serving: bool,
    pub(crate) room: RoomWire,
    pub(crate) read_cost: u64,
    pub(crate) write_cost: Option<u64>,
    pub(crate) nonce: u128,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RoomWire {
    Nothing,
    Tombstones,
    Streams,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StampWire {
    version: u64,
    etag: [u8; 16],
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct HoldingWire {
    stamp: StampWire,
    kind: KindWire,
    form: FormWire,
    alias: Option<[u8; 16]>,
    cid: Option<[u8; 16]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum KindWire {
    Immutable,
    Alias,
    Named,
    Bucket,
    Domain,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum FormWire {
    Replica([u8; 16]),
    Damaged([u8; 16]),
    Ended([u8; 16]),
    Tombstone,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct BuryWire {
    pub(crate) request: u64,
    pub(crate) id: [u8; 16],
    pub(crate) tombstone: TombstoneWire,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReplicaWire {
    pub(crate) request: u64,
    pub(crate) id: [u8; 16],
    pub(crate) stamp: StampWire,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DoneWire {
    pub(crate) request: u64,
    /// False where the disk refused; of a replica that was to be examined, that it is sound.
    pub(crate) durable: bool,
}

/// A frame of a replica stream. One replica at a time per connection. Pushed: `Stage`, `Data`…, then `Publish`; each but
/// `Data` is answered, and a connection that ends before `Publish` leaves nothing visible. Pulled: `Fetch`, answered by
/// `Replica`, `Data`… and `End`, or by `Refused` in the place of any of them. `FindContext` is answered at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Frame {
    /// Reserve room for a body of this length.
    Stage { id: [u8; 16], length: u64 },
    /// Room reserved on this volume.
    Staged { volume: [u8; 16] },
    /// The next piece of the body.
    Data(#[serde(with = "as_bytes")] Bytes),
    /// Make it durable and visible, unless something newer is filed.
    Publish {
        stamp: StampWire,
        meta: MetaWire,
        hints: Vec<[u8; 16]>,
        /// What feeds have come to with it elsewhere.
        slots: SlotsWire,
        /// Whether feeds begin with this replica.
        first: bool,
        /// A delete that is newer than this stays.
        follows: Option<StampWire>,
    },
    /// Durable and visible.
    Published,
    /// Something newer is filed; nothing was stored.
    Superseded,
    /// Not possible; nothing was stored.
    Refused { why: String },
    /// The disk failed in the middle: it may come up again when the volume is mounted next.
    Unclear,
    /// Give out your replica of exactly this version.
    Fetch { id: [u8; 16], stamp: StampWire },
    /// Here it comes.
    Replica { meta: MetaWire, slots: SlotsWire },
    /// That was all of it.
    End,
    /// Which domain or bucket has this alias UUID?
    FindContext { alias: [u8; 16] },
    /// This one, as far as is known here.
    ContextFound(ContextWire),
    /// None that is filed here.
    NoContext,
    /// Give out your table of feeds.
    FeedTableWanted,
    /// Here it is.
    FeedTable(#[serde(with = "as_bytes")] Bytes),
    /// How do your feeds stand?
    FeedStatsWanted,
    /// So.
    FeedStats(Vec<StatsWire>),
    /// That domain or bucket was deleted, as far as is known here.
    ContextDeleted(DeletedContextWire),
}

/// A domain or a bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ContextWire {
    stream: [u8; 16],
    kind: KindWire,
    name: String,
    parent: Option<[u8; 16]>,
}

/// A domain or a bucket that was deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DeletedContextWire {
    stream: [u8; 16],
    kind: KindWire,
    name: Option<String>,
    parent: Option<[u8; 16]>,
}

mod as_bytes {
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        bytes: &Bytes,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Bytes, D::Error> {
        // The frame's buffer is reused, so the piece is copied out of it.
        <&[u8]>::deserialize(deserializer).map(Bytes::copy_from_slice)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MetaWire {
    kind: KindWire,
    alias: Option<[u8; 16]>,
    cid: Option<[u8; 16]>,
    name: Option<String>,
    cluster: String,
    owner: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
    length: u64,
    digest: [u8; 16],
}

/// Encodes a datagram; `None` for one that would be too large, which no message of ours is.
pub(crate) fn encode(cluster: ClusterTag, message: &Message) -> Option<Bytes> {
    let mut buffer = Vec::with_capacity(160);
    buffer.push(WIRE_VERSION);
    buffer.extend_from_slice(&cluster.0.to_be_bytes());
    let buffer = postcard::to_extend(message, buffer).ok()?;
    (buffer.len() <= MAX_DATAGRAM).then(|| Bytes::from(buffer))
}

/// What arrived, or why it is ignored.
#[derive(Debug, PartialEq)]
pub(crate) enum Decoded {
    Message(Message),
    /// Of another cluster on the same group.
    Stranger,
    /// Not understood: another version, or damaged.
    Garbage,
}

/// Decodes a datagram.
pub(crate) fn decode(cluster: ClusterTag, payload: &[u8]) -> Decoded {
    let Some((&[version, a, b, c, d], body)) = payload.split_first_chunk::<5>() else {
        return Decoded::Garbage;
    };
    if version != WIRE_VERSION {
        return Decoded::Garbage;
    }
    if u32::from_be_bytes([a, b, c, d]) != cluster.0 {
        return Decoded::Stranger;
    }
    postcard::from_bytes(body).map_or(Decoded::Garbage, Decoded::Message)
}

/// Appends a frame with its length in front.
///
/// # Errors
/// For a frame over [`MAX_FRAME`].
pub(crate) fn put_frame(
    buffer: &mut BytesMut,
    cluster: ClusterTag,
    frame: &Frame,
) -> std::io::Result<()> {
    let body = postcard::to_stdvec(frame).map_err(std::io::Error::other)?;
    if body.len() >= MAX_FRAME {
        return Err(std::io::Error::other("frame too large"));
    }
    buffer.put_u8(WIRE_VERSION);
    buffer.put_u32(cluster.0);
    buffer.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    buffer.put_slice(&body);
    Ok(())
}

/// Length of what stands before a frame's body: version, cluster and length.
pub(crate) const FRAME_HEAD: usize = 9;

/// Length of the body that follows this head.
///
/// # Errors
/// For another version or cluster, or a frame that is too large.
pub(crate) fn frame_length(cluster: ClusterTag, head: [u8; FRAME_HEAD]) -> std::io::Result<usize> {
    let [version, tag @ .., a, b, c, d] = head;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if version != WIRE_VERSION || tag != cluster.0.to_be_bytes() || length >= MAX_FRAME {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            "not a frame of this version and cluster",
        ));
    }
    Ok(length)
}

/// Reads a frame's body.
///
/// # Errors
/// For bytes that are no frame.
pub(crate) fn frame(body: &[u8]) -> std::io::Result<Frame> {
    postcard::from_bytes(body)
        .map_err(|error| std::io::Error::new(std::io::ErrorKind::InvalidData, error))
}

impl From<NodeState> for StateWire {
    fn from(state: NodeState) -> Self {
        match state {
            NodeState::Mounting => Self::Mounting,
            NodeState::Initializing => Self::Initializing,
            NodeState::Ok => Self::Ok,
            NodeState::Idle => Self::Idle,
            NodeState::Error => Self::Error,
            NodeState::Retiring => Self::Retiring,
            NodeState::Retired => Self::Retired,
            NodeState::Finalizing => Self::Finalizing,
            // Nobody announces that it is silent; a node that did would be on its way out.
            NodeState::Maintenance | NodeState::Unreachable | NodeState::Offline => {
                Self::Maintenance
            }
        }
    }
}

impl From<StateWire> for NodeState {
    fn from(wire: StateWire) -> Self {
        match wire {
            StateWire::Mounting => Self::Mounting,
            StateWire::Initializing => Self::Initializing,
            StateWire::Ok => Self::Ok,
            StateWire::Idle => Self::Idle,
            StateWire::Error => Self::Error,
            StateWire::Retiring => Self::Retiring,
            StateWire::Retired => Self::Retired,
            StateWire::Finalizing => Self::Finalizing,
            StateWire::Maintenance => Self::Maintenance,
        }
    }
}

impl VolumeWire {
    pub(crate) fn new(id: VolumeId, state: VolumeState) -> Self {
        let state = match state {
            VolumeState::Mounting => VolumeStateWire::Mounting,
            VolumeState::Ok => VolumeStateWire::Ok,
            VolumeState::Retiring => VolumeStateWire::Retiring,
            VolumeState::Retired => VolumeStateWire::Retired,
            VolumeState::Unavailable => VolumeStateWire::Unavailable,
        };
        Self { id: *id.as_bytes(), state }
    }

    pub(crate) const fn told(self) -> (VolumeId, VolumeState) {
        let state = match self.state {
            VolumeStateWire::Mounting => VolumeState::Mounting,
            VolumeStateWire::Ok => VolumeState::Ok,
            VolumeStateWire::Retiring => VolumeState::Retiring,
            VolumeStateWire::Retired => VolumeState::Retired,
            VolumeStateWire::Unavailable => VolumeState::Unavailable,
        };
        (VolumeId::from_bytes(self.id), state)
    }
}

impl From<Room> for RoomWire {
    fn from(room: Room) -> Self {
        match room {
            Room::Nothing => Self::Nothing,
            Room::Tombstones => Self::Tombstones,
            Room::Streams => Self::Streams,
        }
    }
}

impl From<RoomWire> for Room {
    fn from(wire: RoomWire) -> Self {
        match wire {
            RoomWire::Nothing => Self::Nothing,
            RoomWire::Tombstones => Self::Tombstones,
            RoomWire::Streams => Self::Streams,
        }
    }
}

impl From<Stamp> for StampWire {
    fn from(stamp: Stamp) -> Self {
        Self { version: stamp.version.0, etag: *stamp.etag.as_bytes() }
    }
}

impl From<StampWire> for Stamp {
    fn from(wire: StampWire) -> Self {
        Self { version: Version(wire.version), etag: Etag::from_bytes(wire.etag) }
    }
}

impl From<ObjectKind> for KindWire {
    fn from(kind: ObjectKind) -> Self {
        match kind {
            ObjectKind::Immutable => Self::Immutable,
            ObjectKind::Alias => Self::Alias,
            ObjectKind::Named => Self::Named,
            ObjectKind::Bucket => Self::Bucket,
            ObjectKind::Domain => Self::Domain,
        }
    }
}

impl From<KindWire> for ObjectKind {
    fn from(wire: KindWire) -> Self {
        match wire {
            KindWire::Immutable => Self::Immutable,
            KindWire::Alias => Self::Alias,
            KindWire::Named => Self::Named,
            KindWire::Bucket => Self::Bucket,
            KindWire::Domain => Self::Domain,
        }
    }
}

impl From<Holding> for HoldingWire {
    fn from(holding: Holding) -> Self {
        Self {
            stamp: holding.stamp.into(),
            kind: holding.kind.into(),
            form: match holding.form {
                Form::Replica(volume) => FormWire::Replica(*volume.as_bytes()),
                Form::Damaged(volume) => FormWire::Damaged(*volume.as_bytes()),
                Form::Ended(volume) => FormWire::Ended(*volume.as_bytes()),
                Form::Tombstone => FormWire::Tombstone,
            },
            alias: holding.alias.map(|uuid| *uuid.as_bytes()),
            cid: holding.cid.map(|uuid| *uuid.as_bytes()),
        }
    }
}

impl From<HoldingWire> for Holding {
    fn from(wire: HoldingWire) -> Self {
        Self {
            stamp: wire.stamp.into(),
            kind: wire.kind.into(),
            form: match wire.form {
                FormWire::Replica(volume) => Form::Replica(VolumeId::from_bytes(volume)),
                FormWire::Damaged(volume) => Form::Damaged(VolumeId::from_bytes(volume)),
                FormWire::Ended(volume) => Form::Ended(VolumeId::from_bytes(volume)),
                FormWire::Tombstone => Form::Tombstone,
            },
            alias: wire.alias.map(Uuid::from_bytes),
            cid: wire.cid.map(Uuid::from_bytes),
        }
    }
}

impl ContextWire {
    pub(crate) fn new(found: &FoundContext) -> Self {
        Self {
            stream: *found.stream.as_bytes(),
            kind: found.kind.into(),
            name: found.name.clone(),
            parent: found.parent.map(|uuid| *uuid.as_bytes()),
        }
    }

    pub(crate) fn told(self) -> FoundContext {
        FoundContext {
            stream: stream_id(self.stream),
            kind: self.kind.into(),
            name: self.name,
            parent: self.parent.map(Uuid::from_bytes),
        }
    }
}

impl From<DeletedContext> for DeletedContextWire {
    fn from(DeletedContext { stream, kind, name, parent }: DeletedContext) -> Self {
        let (stream, parent) = (*stream.as_bytes(), parent.map(|uuid| *uuid.as_bytes()));
        Self { stream, kind: kind.into(), name, parent }
    }
}

impl From<DeletedContextWire> for DeletedContext {
    fn from(DeletedContextWire { stream, kind, name, parent }: DeletedContextWire) -> Self {
        let (stream, parent) = (stream_id(stream), parent.map(Uuid::from_bytes));
        Self { stream, kind: kind.into(), name, parent }
    }
}

impl From<&ObjectMeta> for MetaWire {
    fn from(meta: &ObjectMeta) -> Self {
        Self {
            kind: meta.kind.into(),
            alias: meta.alias.map(|uuid| *uuid.as_bytes()),
            cid: meta.cid.map(|uuid| *uuid.as_bytes()),
            name: meta.name.clone(),
            cluster: meta.cluster.clone(),
            owner: meta.owner.clone(),
            headers: meta
                .headers
                .iter()
                .map(|header| (header.name.clone(), header.value.to_vec()))
                .collect(),
            length: meta.length,
            digest: meta.digest,
        }
    }
}

impl From<MetaWire> for ObjectMeta {
    fn from(wire: MetaWire) -> Self {
        Self {
            kind: wire.kind.into(),
            alias: wire.alias.map(Uuid::from_bytes),
            cid: wire.cid.map(Uuid::from_bytes),
            name: wire.name,
            cluster: wire.cluster,
            owner: wire.owner,
            headers: HeaderList(
                wire.headers.into_iter().map(|(name, value)| Header::new(name, value)).collect(),
            ),
            length: wire.length,
            digest: wire.digest,
        }
    }
}

/// The id on the wire.
pub(crate) fn stream_id(id: [u8; 16]) -> StreamId {
    StreamId::from_bytes(id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};
    use swarm_store::Tombstone;
    use swarm_types::Timestamp;

    use super::*;

    fn tag(name: &str) -> ClusterTag {
        ClusterTag::of(&ClusterName::from(name))
    }

    fn bury() -> Message {
        let stamp = Stamp { version: Version(7), etag: Etag::from_bytes([3; 16]) };
        let tombstone = Tombstone::new(stamp, ObjectKind::Named, Timestamp(0));
        let tombstone = TombstoneWire::fresh(&tombstone);
        Message::Bury(BuryWire { request: 9, id: [5; 16], tombstone })
    }

    #[test]
    fn a_message_comes_back_as_it_was() {
        let bytes = encode(tag("main"), &bury()).expect("small");
        assert_eq!(decode(tag("main"), &bytes), Decoded::Message(bury()));
    }

    #[test]
    fn a_state_that_a_node_announces_is_the_state_that_its_peers_show() {
        let unannounced = [NodeState::Unreachable, NodeState::Offline];
        for state in NodeState::ALL.into_iter().filter(|state| !unannounced.contains(state)) {
            assert_eq!(NodeState::from(StateWire::from(state)), state);
        }
    }

    #[test]
    fn other_clusters_and_versions_are_ignored() {
        let mut bytes = encode(tag("main"), &bury()).expect("small").to_vec();
        assert_eq!(decode(tag("other"), &bytes), Decoded::Stranger);
        bytes[0] = 9;
        assert_eq!(decode(tag("main"), &bytes), Decoded::Garbage);
    }

    #[test]
    fn a_frame_comes_back_as_it_was() {
        let data = Frame::Data(Bytes::from_static(b"hello"));
        let mut buffer = BytesMut::new();
        put_frame(&mut buffer, tag("main"), &data).expect("small");
        let head: [u8; FRAME_HEAD] = buffer[..FRAME_HEAD].try_into().expect("a head");
        assert_eq!(frame_length(tag("main"), head).expect("sane"), buffer.len() - FRAME_HEAD);
        assert!(frame_length(tag("other"), head).is_err());
        assert_eq!(frame(&buffer[FRAME_HEAD..]).expect("whole"), data);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_decoders_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut message = vec![WIRE_VERSION];
            message.extend_from_slice(&tag("main").0.to_be_bytes());
            message.extend_from_slice(&bytes);
            prop_assert!(decode(tag("main"), &message) != Decoded::Stranger);
            drop(frame(&bytes));
        }
    }
}
