//! Dice from the operating system.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha12Rng;

use crate::Entropy;

/// One stream per label, each seeded by the operating system.
#[derive(Default)]
pub(super) struct LiveEntropy {
    streams: Mutex<BTreeMap<&'static str, ChaCha12Rng>>,
}

impl Entropy for LiveEntropy {
    fn fill(&self, label: &'static str, out: &mut [u8]) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.entry(label).or_insert_with(ChaCha12Rng::from_os_rng).fill_bytes(out);
    }
}
