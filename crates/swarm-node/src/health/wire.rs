//! What health processors say to each other, as bytes: the shapes inside `Message::Health`. The lists in them are capped
//! so that each fits into one datagram.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use swarm_health::{
    Claim, LeaveOutcome, MakeOrder, MakeOutcome, Question, Recovery, RecoveryCause, TrimOrder, Whom,
};
use swarm_plan::health::{Copy, CopyForm, Place, Report};
use swarm_types::{NodeId, StreamId, Timestamp, VolumeId};

use crate::wire::{KindWire, StampWire};

/// Copies named in one report. A node with more volumes that hold the same stream names those of the newest versions.
const COPIES_MAX: usize = 20;
/// Sources, hints and other holders named in one order: as many as there can be replicas.
const LIST_MAX: usize = 16;

/// A message of the health processor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum HealthMessage {
    /// What do you hold under this id, and what would a copy cost?
    Survey(SurveyWire),
    /// The answer to a survey.
    Report(ReportWire),
    /// Make a copy.
    Make(MakeWire),
    /// Look whether your copy is surplus, and erase it then.
    Trim(TrimWire),
    /// The answer to `Make` or `Trim`.
    Outcome(OutcomeWire),
    /// I am about to make copies of this. Best effort.
    Claim(ClaimWire),
    /// What this volume holds is to be made anew. Best effort.
    Recover(RecoverWire),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SurveyWire {
    pub(crate) request: u64,
    pub(crate) id: [u8; 16],
    pub(crate) size: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReportWire {
    pub(crate) request: u64,
    subcluster: String,
    copies: Vec<CopyWire>,
    cost: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct CopyWire {
    volume: [u8; 16],
    stamp: StampWire,
    form: CopyFormWire,
    fullness: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum CopyFormWire {
    Sound,
    Retiring,
    Leaving,
    Damaged,
    Tombstone { kind: KindWire, written: i64, leaves: bool },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct MakeWire {
    pub(crate) request: u64,
    id: [u8; 16],
    stamp: StampWire,
    sources: Vec<[u8; 4]>,
    hints: Vec<[u8; 16]>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrimWire {
    pub(crate) request: u64,
    id: [u8; 16],
    stamp: StampWire,
    victim: [u8; 16],
    wanted: u32,
    others: Vec<([u8; 4], [u8; 16])>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct OutcomeWire {
    pub(crate) request: u64,
    pub(crate) done: DoneWith,
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum DoneWith {
    /// It is being carried out: ask again later.
    UnderWay,
    /// The copy is durable on this volume.
    Made([u8; 16]),
    /// Something newer is known.
    Superseded,
    /// Certainly not made.
    Refused,
    /// Erased.
    Gone,
    /// Not erased.
    Stays,
    /// Nobody knows.
    Unknown,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct ClaimWire {
    id: [u8; 16],
    stamp: StampWire,
    visitor: [u8; 16],
    missing: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct RecoverWire {
    volume: [u8; 16],
    retiring: bool,
}

impl SurveyWire {
    pub(crate) fn new(request: u64, question: &Question) -> Self {
        Self { request, id: *question.id.as_bytes(), size: question.size }
    }

    /// The question as the one who is asked sees it: it does not matter to it who else is.
    pub(crate) fn question(&self) -> Question {
        Question { id: StreamId::from_bytes(self.id), size: self.size, whom: Whom::Everybody }
    }
}

impl ReportWire {
    pub(crate) fn new(request: u64, report: Report) -> Self {
        let mut copies = report.copies;
        if copies.len() > COPIES_MAX {
            copies.sort_by_key(|copy| std::cmp::Reverse(copy.stamp));
            copies.truncate(COPIES_MAX);
        }
        Self {
            request,
            subcluster: report.subcluster.to_string(),
            copies: copies.into_iter().map(Into::into).collect(),
            cost: report.cost,
        }
    }

    /// The report of the node that sent this.
    pub(crate) fn report(self, node: NodeId) -> Report {
        Report {
            node,
            subcluster: Arc::from(self.subcluster),
            copies: self.copies.into_iter().take(COPIES_MAX).map(Into::into).collect(),
            cost: self.cost,
        }
    }
}

impl MakeWire {
    pub(crate) fn new(request: u64, order: &MakeOrder) -> Self {
        Self {
            request,
            id: *order.id.as_bytes(),
            stamp: order.stamp.into(),
            sources: order.sources.iter().take(LIST_MAX).map(|node| node.0.octets()).collect(),
            hints: order.hints.iter().take(LIST_MAX).map(|hint| *hint.as_bytes()).collect(),
        }
    }

    pub(crate) fn order(self) -> MakeOrder {
        let sources = self.sources.into_iter().take(LIST_MAX);
        let hints = self.hints.into_iter().take(LIST_MAX);
        MakeOrder {
            id: StreamId::from_bytes(self.id),
            stamp: self.stamp.into(),
            sources: sources.map(|node| NodeId(node.into())).collect(),
            hints: hints.map(VolumeId::from_bytes).collect(),
        }
    }
}

impl TrimWire {
    pub(crate) fn new(request: u64, order: &TrimOrder) -> Self {
        let place = |place: &Place| (place.node.0.octets(), *place.volume.as_bytes());
        Self {
            request,
            id: *order.id.as_bytes(),
            stamp: order.stamp.into(),
            victim: *order.victim.as_bytes(),
            wanted: order.wanted,
            others: order.others.iter().take(LIST_MAX).map(place).collect(),
        }
    }

    pub(crate) fn order(self) -> TrimOrder {
        let place = |(node, volume): ([u8; 4], [u8; 16])| Place {
            node: NodeId(node.into()),
            volume: VolumeId::from_bytes(volume),
        };
        TrimOrder {
            id: StreamId::from_bytes(self.id),
            stamp: self.stamp.into(),
            victim: VolumeId::from_bytes(self.victim),
            wanted: self.wanted,
            others: self.others.into_iter().take(LIST_MAX).map(place).collect(),
        }
    }
}

impl From<Copy> for CopyWire {
    fn from(copy: Copy) -> Self {
        let form = match copy.form {
            CopyForm::Sound => CopyFormWire::Sound,
            CopyForm::Retiring => CopyFormWire::Retiring,
            CopyForm::Leaving => CopyFormWire::Leaving,
            CopyForm::Damaged => CopyFormWire::Damaged,
            CopyForm::Tombstone { kind, written, leaves } => {
                CopyFormWire::Tombstone { kind: kind.into(), written: written.0, leaves }
            }
        };
        let (volume, stamp) = (*copy.volume.as_bytes(), copy.stamp.into());
        Self { volume, stamp, form, fullness: copy.fullness }
    }
}

impl From<CopyWire> for Copy {
    fn from(wire: CopyWire) -> Self {
        let form = match wire.form {
            CopyFormWire::Sound => CopyForm::Sound,
            CopyFormWire::Retiring => CopyForm::Retiring,
            CopyFormWire::Leaving => CopyForm::Leaving,
            CopyFormWire::Damaged => CopyForm::Damaged,
            CopyFormWire::Tombstone { kind, written, leaves } => {
                CopyForm::Tombstone { kind: kind.into(), written: Timestamp(written), leaves }
            }
        };
        let (volume, stamp) = (VolumeId::from_bytes(wire.volume), wire.stamp.into());
        Self { volume, stamp, form, fullness: wire.fullness }
    }
}

impl From<MakeOutcome> for DoneWith {
    fn from(outcome: MakeOutcome) -> Self {
        match outcome {
            MakeOutcome::Made(volume) => Self::Made(*volume.as_bytes()),
            MakeOutcome::Superseded => Self::Superseded,
            MakeOutcome::Refused => Self::Refused,
            MakeOutcome::Unknown => Self::Unknown,
        }
    }
}

impl From<LeaveOutcome> for DoneWith {
    fn from(outcome: LeaveOutcome) -> Self {
        match outcome {
            LeaveOutcome::Gone => Self::Gone,
            LeaveOutcome::Stays => Self::Stays,
            LeaveOutcome::Unknown => Self::Unknown,
        }
    }
}

impl DoneWith {
    /// The outcome of an order to make a copy; `None` while it is under way.
    pub(crate) fn made(self) -> Option<MakeOutcome> {
        match self {
            Self::UnderWay => None,
            Self::Made(volume) => Some(MakeOutcome::Made(VolumeId::from_bytes(volume))),
            Self::Superseded => Some(MakeOutcome::Superseded),
            Self::Refused => Some(MakeOutcome::Refused),
            Self::Gone | Self::Stays | Self::Unknown => Some(MakeOutcome::Unknown),
        }
    }

    /// The outcome of an order to leave; `None` while it is under way.
    pub(crate) fn left(self) -> Option<LeaveOutcome> {
        match self {
            Self::UnderWay => None,
            Self::Gone => Some(LeaveOutcome::Gone),
            Self::Stays => Some(LeaveOutcome::Stays),
            Self::Made(_) | Self::Superseded | Self::Refused | Self::Unknown => {
                Some(LeaveOutcome::Unknown)
            }
        }
    }
}

impl From<Claim> for ClaimWire {
    fn from(claim: Claim) -> Self {
        Self {
            id: *claim.id.as_bytes(),
            stamp: claim.stamp.into(),
            visitor: *claim.visitor.as_bytes(),
            missing: claim.missing,
        }
    }
}

impl From<ClaimWire> for Claim {
    fn from(wire: ClaimWire) -> Self {
        Self {
            id: StreamId::from_bytes(wire.id),
            stamp: wire.stamp.into(),
            visitor: VolumeId::from_bytes(wire.visitor),
            missing: wire.missing,
        }
    }
}

impl From<Recovery> for RecoverWire {
    fn from(recovery: Recovery) -> Self {
        let retiring = recovery.cause == RecoveryCause::Retiring;
        Self { volume: *recovery.volume.as_bytes(), retiring }
    }
}

impl From<RecoverWire> for Recovery {
    fn from(wire: RecoverWire) -> Self {
        let cause = if wire.retiring { RecoveryCause::Retiring } else { RecoveryCause::Lost };
        Self { volume: VolumeId::from_bytes(wire.volume), cause }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use swarm_types::{ClusterName, Etag, ObjectKind, Stamp, Version};

    use super::*;
    use crate::settings::SUBCLUSTER_MAX;
    use crate::wire::{ClusterTag, Decoded, Message, decode, encode};

    const VOLUME: VolumeId = VolumeId::from_bytes([0xff; 16]);
    const NODE: NodeId = NodeId(Ipv4Addr::new(255, 255, 255, 255));

    fn stamp() -> Stamp {
        Stamp { version: Version(u64::MAX), etag: Etag::from_bytes([0xff; 16]) }
    }

    /// Sends a message through the codec.
    fn travelled(message: HealthMessage) -> HealthMessage {
        let tag = ClusterTag::of(&ClusterName::from("main"));
        let bytes = encode(tag, &Message::Health(message)).expect("no larger than a datagram");
        match decode(tag, &bytes) {
            Decoded::Message(Message::Health(message)) => message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_largest_report_fits_into_a_datagram() {
        let (kind, written) = (ObjectKind::Domain, Timestamp(i64::MIN));
        let form = CopyForm::Tombstone { kind, written, leaves: true };
        let copy = Copy { volume: VOLUME, stamp: stamp(), form, fullness: u16::MAX };
        let subcluster: Arc<str> = "x".repeat(SUBCLUSTER_MAX).into();
        let copies = vec![copy; COPIES_MAX];
        let report = Report { node: NODE, subcluster, copies, cost: Some(u64::MAX) };
        let HealthMessage::Report(wire) =
            travelled(HealthMessage::Report(ReportWire::new(u64::MAX, report.clone())))
        else {
            panic!("another message");
        };
        assert_eq!((wire.request, wire.report(NODE)), (u64::MAX, report));
    }

    #[test]
    fn a_report_of_too_many_copies_keeps_the_newest_versions() {
        let copy = |version: usize| Copy {
            volume: VOLUME,
            stamp: Stamp { version: Version(version as u64), ..stamp() },
            form: CopyForm::Sound,
            fullness: 0,
        };
        let copies: Vec<Copy> = (0..COPIES_MAX + 5).map(copy).collect();
        let report = Report { node: NODE, subcluster: "".into(), copies, cost: None };
        let kept = ReportWire::new(1, report).report(NODE).copies;
        assert_eq!(kept.len(), COPIES_MAX);
        assert!(kept.iter().all(|copy| copy.stamp.version >= Version(5)));
    }

    #[test]
    fn the_largest_orders_fit_into_a_datagram() {
        let id = StreamId::from_bytes([0xff; 16]);
        let (sources, hints) = (vec![NODE; LIST_MAX], vec![VOLUME; LIST_MAX]);
        let make = MakeOrder { id, stamp: stamp(), sources, hints };
        let HealthMessage::Make(wire) =
            travelled(HealthMessage::Make(MakeWire::new(u64::MAX, &make)))
        else {
            panic!("another message");
        };
        assert_eq!(wire.order(), make);
        let others = vec![Place { node: NODE, volume: VOLUME }; LIST_MAX];
        let trim = TrimOrder { id, stamp: stamp(), victim: VOLUME, wanted: u32::MAX, others };
        let HealthMessage::Trim(wire) =
            travelled(HealthMessage::Trim(TrimWire::new(u64::MAX, &trim)))
        else {
            panic!("another message");
        };
        assert_eq!(wire.order(), trim);
    }

    #[test]
    fn outcomes_come_back_as_they_were() {
        for outcome in [
            MakeOutcome::Made(VOLUME),
            MakeOutcome::Superseded,
            MakeOutcome::Refused,
            MakeOutcome::Unknown,
        ] {
            assert_eq!(DoneWith::from(outcome).made(), Some(outcome));
        }
        for outcome in [LeaveOutcome::Gone, LeaveOutcome::Stays, LeaveOutcome::Unknown] {
            assert_eq!(DoneWith::from(outcome).left(), Some(outcome));
        }
        assert_eq!((DoneWith::UnderWay.made(), DoneWith::UnderWay.left()), (None, None));
    }

    #[test]
    fn hints_and_announcements_come_back_as_they_were() {
        let id = StreamId::from_bytes([3; 16]);
        let claim = Claim { id, stamp: stamp(), visitor: VOLUME, missing: 2 };
        assert_eq!(Claim::from(ClaimWire::from(claim)), claim);
        for cause in [RecoveryCause::Lost, RecoveryCause::Retiring] {
            let recovery = Recovery { volume: VOLUME, cause };
            assert_eq!(Recovery::from(RecoverWire::from(recovery)), recovery);
        }
    }
}
