//! A seed is a run: the same trace every time, another with another seed or one draw more.

use crate::world::busy_world;

#[test]
fn one_seed_gives_one_trace() {
    for seed in 0..4 {
        assert_eq!(busy_world(seed, false), busy_world(seed, false), "seed {seed}");
    }
}

#[test]
fn another_seed_gives_another_trace() {
    assert_ne!(busy_world(1, false), busy_world(2, false));
}

#[test]
fn one_planted_draw_changes_the_trace() {
    assert_ne!(busy_world(1, false), busy_world(1, true));
}
