//! What administrators may change of the engine.

use std::time::Duration;

/// Settings of the engine, with the defaults of the vendor's, where it has any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeedSettings {
    /// `feeds.secondaryDelay`: how long a replica that does not go first waits for the one that does.
    pub secondary_delay: Duration,
    /// `feeds.blockedThreshold`: after so many failures of a target in a row, the feed is blocked.
    pub blocked_threshold: u32,
    /// `feeds.maxQueue`: so many streams of one feed are kept in mind at most, of new ones and of failed ones each.
    pub max_queue: usize,
    /// How long it is believed where a context is, and what it is called.
    pub context_timeout: Duration,
}

impl Default for FeedSettings {
    fn default() -> Self {
        Self {
            secondary_delay: Duration::from_secs(300),
            blocked_threshold: 3,
            max_queue: 16_384,
            context_timeout: Duration::from_secs(600),
        }
    }
}
