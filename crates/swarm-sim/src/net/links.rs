//! Links: how long a way takes, what is lost on it, and what a fault makes of it while it is in force.

use std::collections::BTreeMap;

use crate::host::HostId;
use crate::kernel::{State, on_grid};
use crate::net::{RETRANSMIT_NS, nanos};
use crate::options::{Latency, LinkChange, LinkModel};

/// One way within a host: no wire, no loss.
const LOOPBACK_LATENCY_NS: u64 = 20_000;

/// Bytes of a packet on the wire; each can be lost.
const PACKET_BYTES: u64 = 1448;

/// Several losses within one window are repaired together, so that half of all windows is the limit, per million.
const WINDOW_LOSS_MAX_PPM: u32 = 500_000;

/// A million, as the unit of chances.
const MILLION: u64 = 1_000_000;

/// Every link, and what is wrong with them.
pub(crate) struct Links {
    default: LinkModel,
    /// By the zones of sender and receiver.
    by_zone: BTreeMap<(u32, u32), LinkModel>,
    /// When a host's sending side into a zone is free again.
    free_at: BTreeMap<(HostId, u32), u64>,
    /// Bytes sent from one zone into another.
    carried: BTreeMap<(u32, u32), u64>,
    degrades: Vec<Degrade>,
}

/// A fault that makes ways worse, or better.
struct Degrade {
    number: u64,
    /// From any host of the first to any of the second.
    ways: Vec<(Vec<HostId>, Vec<HostId>)>,
    change: LinkChange,
}

impl Degrade {
    fn concerns(&self, from: HostId, to: HostId) -> bool {
        self.ways.iter().any(|(senders, receivers)| {
            senders.binary_search(&from).is_ok() && receivers.binary_search(&to).is_ok()
        })
    }
}

impl Links {
    pub(crate) fn new(default: LinkModel) -> Self {
        Self {
            default,
            by_zone: BTreeMap::new(),
            free_at: BTreeMap::new(),
            carried: BTreeMap::new(),
            degrades: Vec::new(),
        }
    }

    pub(crate) fn set(&mut self, from: u32, to: u32, link: LinkModel) {
        self.by_zone.insert((from, to), link);
    }

    pub(crate) fn carried(&self, from: u32, to: u32) -> u64 {
        self.carried.get(&(from, to)).copied().unwrap_or(0)
    }
}

/// The way of one thing from one host to another, as it is and as it would be without a fault.
#[derive(Clone)]
pub(crate) struct Way {
    from: HostId,
    to: HostId,
    link: LinkModel,
    /// Only where a fault has changed it.
    sound: Option<LinkModel>,
    /// Nanoseconds that the fault has added so far.
    added: u64,
}

impl Way {
    /// No wire: the two ends are one host.
    fn is_loopback(&self) -> bool {
        self.from == self.to
    }

    pub(crate) fn latency_max(&self) -> u64 {
        if self.is_loopback() { LOOPBACK_LATENCY_NS } else { nanos(self.link.latency.max()) }
    }
}

/// The delay, in nanoseconds, below which `part` of `whole` delays lie.
fn delay(latency: &Latency, part: u64, whole: u64) -> u64 {
    // From the first delay to the second, as `done` is to `all`.
    let along = |(from, to): (u64, u64), done: u128, all: u128| {
        let way = u128::from(to.saturating_sub(from)) * done;
        from.saturating_add(u64::try_from(way / all).unwrap_or(u64::MAX))
    };
    let (min, max) = (nanos(latency.min()), nanos(latency.max()));
    if whole == 0 {
        // There was nothing to throw for.
        return latency.bends().map_or(max, |(p50, _)| nanos(p50));
    }
    let (part, whole) = (u128::from(part), u128::from(whole));
    let Some((p50, p99)) = latency.bends().map(|(p50, p99)| (nanos(p50), nanos(p99))) else {
        return along((min, max), part, whole);
    };
    let percent = part * 100;
    if percent <= 50 * whole {
        along((min, p50), percent, 50 * whole)
    } else if percent <= 99 * whole {
        along((p50, p99), percent - 50 * whole, 49 * whole)
    } else {
        along((p99, max), percent - 99 * whole, whole)
    }
}

impl State {
    pub(crate) fn way(&self, from: HostId, to: HostId) -> Way {
        let links = &self.net.links;
        let mut link = links.default;
        if !links.by_zone.is_empty() {
            let zones = (self.host(from).zone, self.host(to).zone);
            link = links.by_zone.get(&zones).copied().unwrap_or(link);
        }
        let mut sound = None;
        if !links.degrades.is_empty() && from != to {
            for degrade in links.degrades.iter().filter(|degrade| degrade.concerns(from, to)) {
                sound.get_or_insert(link);
                link = degrade.change.of(link);
            }
        }
        Way { from, to, link, sound, added: 0 }
    }

    /// Draws a delay on the way, in nanoseconds.
    pub(crate) fn latency(&mut self, way: &mut Way) -> u64 {
        if way.is_loopback() {
            return LOOPBACK_LATENCY_NS;
        }
        let (min, max) = (nanos(way.link.latency.min()), nanos(way.link.latency.max()));
        let (part, whole) = (self.net.dice.between(min, max) - min, max - min);
        let latency = delay(&way.link.latency, part, whole);
        if let Some(sound) = way.sound {
            // What the same throw would have given.
            let would = delay(&sound.latency, part, whole);
            way.added = way.added.saturating_add(latency.saturating_sub(would));
        }
        latency
    }

    /// When the last of these bytes has left the sender, who has one wire into each zone.
    pub(crate) fn departs(&mut self, way: &mut Way, bytes: usize) -> u64 {
        if way.is_loopback() {
            return self.now;
        }
        let takes = |link: &LinkModel| {
            let bandwidth = link.bandwidth_bits.max(1);
            // A division of 128 bits is many times slower, and only pieces of over 2 GiB need it.
            if let Some(scaled) = (bytes as u64).checked_mul(8_000_000_000) {
                return scaled / bandwidth;
            }
            let scaled = bytes as u128 * 8_000_000_000;
            u64::try_from(scaled / u128::from(bandwidth)).unwrap_or(u64::MAX)
        };
        let time = takes(&way.link);
        if let Some(sound) = way.sound {
            way.added = way.added.saturating_add(time.saturating_sub(takes(&sound)));
        }
        let (home, zone) = (self.host(way.from).zone, self.host(way.to).zone);
        if home != zone {
            *self.net.links.carried.entry((home, zone)).or_insert(0) += bytes as u64;
        }
        let free = self.net.links.free_at.entry((way.from, zone)).or_insert(0);
        *free = (*free).max(self.now).saturating_add(time);
        *free
    }

    /// Time that retransmissions add to these bytes, in nanoseconds.
    pub(crate) fn retransmissions(&mut self, way: &mut Way, bytes: usize) -> u64 {
        if way.is_loopback() || way.link.loss_ppm == 0 {
            return 0;
        }
        let packets = (bytes as u64).div_ceil(PACKET_BYTES).max(1);
        let window = |link: &LinkModel| {
            let chance = u64::from(link.loss_ppm).saturating_mul(packets);
            chance.min(u64::from(WINDOW_LOSS_MAX_PPM))
        };
        let again = |link: &LinkModel| u64::from(link.loss_ppm.min(WINDOW_LOSS_MAX_PPM));
        let (mut chance, mut would) = (window(&way.link), way.sound.as_ref().map(window));
        let (mut delay, mut timeout) = (0, RETRANSMIT_NS);
        while timeout < RETRANSMIT_NS << 6 {
            let thrown = self.net.dice.below(MILLION);
            if thrown >= chance {
                break;
            }
            delay += timeout;
            if let Some(sound) = would {
                let lost_anyway = thrown < sound;
                way.added += if lost_anyway { 0 } else { timeout };
                // After one that would not have been lost there would have been no other.
                would = Some(if lost_anyway { way.sound.as_ref().map_or(0, again) } else { 0 });
            }
            timeout *= 2;
            chance = again(&way.link);
        }
        delay
    }

    /// Whether the network loses a datagram on this way; if a fault made it, that has bitten.
    pub(crate) fn loses_datagram(&mut self, way: &Way) -> bool {
        if way.is_loopback() || way.link.loss_ppm == 0 {
            return false;
        }
        let thrown = self.net.dice.below(MILLION);
        let lost = thrown < u64::from(way.link.loss_ppm);
        if lost && way.sound.is_some_and(|sound| thrown >= u64::from(sound.loss_ppm)) {
            self.degraded(way);
        }
        lost
    }

    /// Whether the network doubles a datagram on this way; if a fault made it, that has bitten.
    pub(crate) fn doubles_datagram(&mut self, way: &Way) -> bool {
        if way.is_loopback() || way.link.duplicate_ppm == 0 {
            return false;
        }
        let thrown = self.net.dice.below(MILLION);
        let doubled = thrown < u64::from(way.link.duplicate_ppm);
        if doubled && way.sound.is_some_and(|sound| thrown >= u64::from(sound.duplicate_ppm)) {
            self.degraded(way);
        }
        doubled
    }

    /// Nanoseconds for which the network holds a datagram back, so that later ones overtake it.
    pub(crate) fn holds_back(&mut self, way: &mut Way) -> u64 {
        if way.is_loopback() || way.link.reorder_ppm == 0 {
            return 0;
        }
        let thrown = self.net.dice.below(MILLION);
        if thrown >= u64::from(way.link.reorder_ppm) {
            return 0;
        }
        let held = self.net.dice.below(10 * nanos(way.link.latency.max()));
        if way.sound.is_some_and(|sound| thrown >= u64::from(sound.reorder_ppm)) {
            way.added = way.added.saturating_add(held);
        }
        held
    }

    /// When something on this way arrives that would arrive at `at`; a fault that makes it later has bitten.
    pub(crate) fn arrival(&mut self, way: &Way, at: u64) -> u64 {
        let arrives = on_grid(at);
        if way.added > 0 && arrives > on_grid(at.saturating_sub(way.added)) {
            self.degraded(way);
        }
        arrives
    }

    /// When a packet without weight, sent now, arrives.
    pub(crate) fn arrives(&mut self, from: HostId, to: HostId) -> u64 {
        let mut way = self.way(from, to);
        let at = self.now + self.latency(&mut way);
        self.arrival(&way, at)
    }

    /// The faults of this way have changed an outcome.
    fn degraded(&mut self, way: &Way) {
        for at in 0..self.net.links.degrades.len() {
            let degrade = &self.net.links.degrades[at];
            if degrade.concerns(way.from, way.to) {
                self.bite(degrade.number, 1);
            }
        }
    }

    /// Changes ways until [`State::heal`]; its fault number.
    pub(crate) fn degrade(
        &mut self,
        mut ways: Vec<(Vec<HostId>, Vec<HostId>)>,
        change: LinkChange,
    ) -> u64 {
        for (from, to) in &mut ways {
            from.sort_unstable();
            to.sort_unstable();
        }
        let number = self.new_fault(39, ways.len() as u64);
        self.net.links.degrades.push(Degrade { number, ways, change });
        number
    }

    /// Makes ways as they were; false if there is no such fault.
    pub(crate) fn undo_degrade(&mut self, number: u64) -> bool {
        let degrades = &mut self.net.links.degrades;
        let before = degrades.len();
        degrades.retain(|degrade| degrade.number != number);
        degrades.len() < before
    }
}
