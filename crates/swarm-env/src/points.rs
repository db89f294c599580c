//! Named places in product code where a scenario can make a node's process panic. The whole list is here.
//!
//! A crash between two steps that belong together is what leaves half of something behind, and chance hits such a moment
//! seldom. A place is worth a name where the disks are in a state that only a crash right there leaves.

use crate::Env;

/// A place that product code passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Point {
    /// A group of a volume's journal is durable; neither the index nor whoever waits for it knows.
    GroupDurable,
    /// A checkpoint is durable in the other half of the journal; the old half still counts.
    CheckpointDurable,
    /// The new half of the journal counts; the old one does not say yet that it is superseded.
    HalfSwitched,
    /// All replicas of a write are published; the client has no answer.
    WritePublished,
    /// A delete is filed on all nodes that it was sent to; the client has no answer.
    DeleteFiled,
    /// A copy that the health processor asked for is durable; whoever asked does not know.
    CopyMade,
    /// A copy too many may go, by the newest answers; it is still there.
    TrimAllowed,
    /// A feed's target has acknowledged an object; nothing of that is noted.
    FeedDelivered,
    /// A change of the table of feeds is durable on a volume; the node does not work by it, and its other volumes may not have it.
    FeedTableFiled,
}

impl Point {
    /// Every place.
    pub const ALL: &'static [Self] = &[
        Self::GroupDurable,
        Self::CheckpointDurable,
        Self::HalfSwitched,
        Self::WritePublished,
        Self::DeleteFiled,
        Self::CopyMade,
        Self::TrimAllowed,
        Self::FeedDelivered,
        Self::FeedTableFiled,
    ];

    /// Its name in scenario files.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::GroupDurable => "group-durable",
            Self::CheckpointDurable => "checkpoint-durable",
            Self::HalfSwitched => "half-switched",
            Self::WritePublished => "write-published",
            Self::DeleteFiled => "delete-filed",
            Self::CopyMade => "copy-made",
            Self::TrimAllowed => "trim-allowed",
            Self::FeedDelivered => "feed-delivered",
            Self::FeedTableFiled => "feed-table-filed",
        }
    }

    /// The place of this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|point| point.word() == word)
    }
}

impl Env {
    /// Called by product code where it passes a named place: there the process panics if the world was told so. Does
    /// nothing live.
    pub fn passes(&self, point: Point) {
        self.parts.tasks.passes(point);
    }
}
