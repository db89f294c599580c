//! Where every choice comes from: ChaCha streams derived from the seed and a name.

use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One stream of randomness.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// The stream of this seed for these parts of a name.
    pub(crate) fn new(seed: u64, parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        for part in parts {
            // The length first, so that ("ab", "c") and ("a", "bc") are two streams.
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Self(ChaCha8Rng::from_seed(*hasher.finalize().as_bytes()))
    }

    /// A stream of the kernel's own.
    pub(crate) fn kernel(seed: u64, what: &str) -> Self {
        Self::new(seed, &[b"kernel", what.as_bytes()])
    }

    pub(crate) fn word(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Evenly below `bound`, which is raised to 1.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        if let Ok(small) = u32::try_from(bound) {
            return (u64::from(self.word()) * u64::from(small.max(1))) >> 32;
        }
        let wide = u128::from(self.0.next_u64()) * u128::from(bound);
        (wide >> 64) as u64
    }

    /// Evenly from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True with this many chances in a million; draws nothing for zero.
    pub(crate) fn chance_ppm(&mut self, ppm: u32) -> bool {
        ppm > 0 && self.below(1_000_000) < u64::from(ppm)
    }

    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        self.0.fill_bytes(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_a_function_of_seed_and_name() {
        let draw = |seed, parts: &[&[u8]]| Dice::new(seed, parts).word();
        assert_eq!(draw(1, &[b"a", b"b"]), draw(1, &[b"a", b"b"]));
        assert_ne!(draw(1, &[b"a", b"b"]), draw(2, &[b"a", b"b"]));
        assert_ne!(draw(1, &[b"ab", b"c"]), draw(1, &[b"a", b"bc"]));
    }

    #[test]
    fn draws_stay_within_their_bounds() {
        let mut dice = Dice::kernel(7, "test");
        for _ in 0..1_000 {
            assert!(dice.below(10) < 10);
            assert!((5..=6).contains(&dice.between(5, 6)));
            assert_eq!(dice.below(1), 0);
        }
        assert!(!dice.chance_ppm(0));
        assert!(dice.chance_ppm(1_000_000));
    }
}
