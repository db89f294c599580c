//! Dice: one advancing stream of randomness per label.

use swarm_types::{Etag, Uuid};

use crate::Env;

/// Randomness for one incarnation of one node.
pub trait Entropy: Send + Sync {
    /// Fills `out` from the stream of this label. In a simulation each (seed, node, incarnation, label) has a stream of
    /// its own, so that a draw more under one label moves nothing under another.
    fn fill(&self, label: &'static str, out: &mut [u8]);
}

impl Env {
    /// Fills `out` from the stream of this label.
    pub fn random_bytes(&self, label: &'static str, out: &mut [u8]) {
        self.parts.entropy.fill(label, out);
    }

    /// A number from the stream of this label.
    #[must_use]
    pub fn random_u64(&self, label: &'static str) -> u64 {
        let mut bytes = [0; 8];
        self.random_bytes(label, &mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A number below `bound` (which is raised to 1), with a bias below 2^-32 for bounds below 2^32.
    #[must_use]
    pub fn random_below(&self, label: &'static str, bound: u64) -> u64 {
        let wide = u128::from(self.random_u64(label)) * u128::from(bound.max(1));
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// A fresh UUID; any 128 bits, as Swarm's have no inner structure (Understanding Unnamed Objects).
    #[must_use]
    pub fn random_uuid(&self, label: &'static str) -> Uuid {
        let mut bytes = [0; 16];
        self.random_bytes(label, &mut bytes);
        Uuid::from_bytes(bytes)
    }

    /// A fresh ETag.
    #[must_use]
    pub fn random_etag(&self, label: &'static str) -> Etag {
        Etag::from_bytes(*self.random_uuid(label).as_bytes())
    }
}
