//! Who is about to make copies of what: so that two holders that notice the same loss at the same time do not both make
//! the same copy. Advisory: a claim that is lost costs a copy that is trimmed later.

use std::collections::BTreeMap;
use std::time::Duration;

use swarm_types::{Instant, Stamp, StreamId, VolumeId};

use crate::Claim;

/// How long a claim holds (our choice): long for a copy, short for a visitor that died over it.
pub(crate) const CLAIM_HOLDS: Duration = Duration::from_secs(60);
/// Claims remembered at once; what is beyond is not deferred to.
const CLAIMS_MAX: usize = 4096;

/// The claims of others.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    held: BTreeMap<(StreamId, Stamp), (VolumeId, Instant)>,
}

impl Claims {
    /// Takes note of a claim: of several the lowest visitor's counts.
    pub(crate) fn hear(&mut self, claim: Claim, now: Instant) {
        let key = (claim.id, claim.stamp);
        if let Some((visitor, until)) = self.held.get(&key)
            && *until > now
            && *visitor < claim.visitor
        {
            return;
        }
        if self.held.len() >= CLAIMS_MAX {
            self.held.retain(|_, (_, until)| *until > now);
        }
        if self.held.len() < CLAIMS_MAX || self.held.contains_key(&key) {
            self.held.insert(key, (claim.visitor, now + CLAIM_HOLDS));
        }
    }

    /// Whether somebody else's claim holds.
    pub(crate) fn holds(&self, id: StreamId, stamp: Stamp, now: Instant) -> bool {
        self.held.get(&(id, stamp)).is_some_and(|(_, until)| *until > now)
    }

    /// Whether a claim of a lower visitor holds: of two at the same time, the lower goes on.
    pub(crate) fn yields(&self, to: Claim, now: Instant) -> bool {
        let held = self.held.get(&(to.id, to.stamp));
        held.is_some_and(|(visitor, until)| *until > now && *visitor < to.visitor)
    }
}

#[cfg(test)]
mod tests {
    use swarm_types::{Etag, Version};

    use super::*;

    fn claim(stream: u8, visitor: u8) -> Claim {
        Claim {
            id: StreamId::from_bytes([stream; 16]),
            stamp: Stamp { version: Version(1), etag: Etag::from_bytes([0; 16]) },
            visitor: VolumeId::from_bytes([visitor; 16]),
            missing: 1,
        }
    }

    fn at(secs: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(secs)
    }

    #[test]
    fn a_claim_holds_for_a_minute() {
        let (mut claims, mine) = (Claims::default(), claim(1, 5));
        assert!(!claims.holds(mine.id, mine.stamp, at(0)));
        claims.hear(claim(1, 3), at(0));
        assert!(claims.holds(mine.id, mine.stamp, at(59)));
        assert!(!claims.holds(mine.id, mine.stamp, at(60)));
        assert!(!claims.holds(claim(2, 5).id, mine.stamp, at(0)));
    }

    #[test]
    fn of_two_claims_at_the_same_time_the_lower_visitor_goes_on() {
        let mut claims = Claims::default();
        claims.hear(claim(1, 7), at(0));
        assert!(!claims.yields(claim(1, 5), at(0)));
        claims.hear(claim(1, 3), at(0));
        claims.hear(claim(1, 9), at(0));
        assert!(claims.yields(claim(1, 5), at(0)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut claims = Claims::default();
        for nth in 0..u32::try_from(CLAIMS_MAX).expect("small") + 10 {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&nth.to_be_bytes());
            claims.hear(Claim { id: StreamId::from_bytes(bytes), ..claim(0, 1) }, at(0));
        }
        assert_eq!(claims.held.len(), CLAIMS_MAX);
        claims.hear(claim(9, 1), at(61));
        assert_eq!(claims.held.len(), 1);
    }
}
