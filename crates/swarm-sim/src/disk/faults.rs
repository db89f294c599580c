//! What makes a disk fail: slow, stalled, failing or lying devices, and what they destroy.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use swarm_types::Instant;

use super::image::BLOCK;
use super::image::damage::Astray;
use super::{Device, DiskNumber};
use crate::dice::Dice;
use crate::kernel::{Event, State, on_grid};
use crate::net::nanos;
use crate::options::DiskModel;
use crate::slab::Key;
use crate::trace::Kind;

/// A million, as the unit of shares.
const MILLION: u128 = 1_000_000;

/// One part in this many of a full disk is kept back from what is told.
const RESERVE_SHARE: u64 = 8;

/// Something that is wrong with a disk until it is healed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskTrouble {
    /// Requests take longer and bytes go slower, in a straight line from what the disk can do to what is said here.
    Slow {
        /// Time of one request, in the end.
        request: Duration,
        /// Bytes per second, in the end.
        bandwidth: u64,
        /// How long it takes to become so.
        over: Duration,
    },
    /// Nothing completes.
    Stalled,
    /// This share of the reads fails, in parts per million.
    FailingReads(u32),
    /// This share of the writes fails, in parts per million; how much of it was written before is drawn.
    FailingWrites(u32),
    /// This share of the syncs fails, in parts per million. As often as not the writes are given up with that: they are read
    /// as written, no later sync writes them, and a power cut takes them.
    FailingSyncs(u32),
    /// Syncs are acknowledged and do nothing. Healed, the disk catches up.
    LyingSyncs,
    /// This share of the blocks lands elsewhere when it is written to the medium, in parts per million.
    Misdirecting(u32),
    /// Writes are refused.
    ReadOnly,
    /// Somebody else takes space, so that there is room only until this share of the disk is taken in all, in parts per
    /// million. As file systems do, the device keeps something back from what it tells, an eighth of itself: writes to
    /// blocks that hold nothing yet fail only beyond that. Whoever minds what he is told still finds room for his books.
    Full(u32),
}

/// What is wrong with one disk.
#[derive(Default)]
pub(crate) struct Troubles {
    all: Vec<Trouble>,
}

struct Trouble {
    number: u64,
    since: u64,
    what: DiskTrouble,
    /// For a full disk: how many blocks may hold something, as it is told.
    blocks_max: u64,
}

/// Bytes that a fault has destroyed, or kept from being what they should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destruction {
    /// When.
    pub at: Instant,
    /// Where.
    pub disk: DiskNumber,
    /// How.
    pub kind: DestructionKind,
    /// Offset and length of each range in bytes.
    pub ranges: Vec<(u64, u64)>,
}

/// How bytes were destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DestructionKind {
    /// They were acknowledged as durable, and lost with the power.
    Unsynced,
    /// A block was written elsewhere: its own place holds what was there before, and the other one holds it.
    Misdirected,
}

impl Troubles {
    fn find<T>(&self, pick: impl Fn(&DiskTrouble) -> Option<T>) -> Option<(u64, T)> {
        self.all.iter().find_map(|trouble| pick(&trouble.what).map(|of| (trouble.number, of)))
    }

    pub(super) fn read_only(&self) -> bool {
        self.find(|what| (*what == DiskTrouble::ReadOnly).then_some(())).is_some()
    }

    fn stalled(&self) -> Option<u64> {
        self.find(|what| (*what == DiskTrouble::Stalled).then_some(())).map(|(number, ())| number)
    }

    fn lying(&self) -> Option<u64> {
        self.find(|what| (*what == DiskTrouble::LyingSyncs).then_some(()))
            .map(|(number, ())| number)
    }

    /// How many blocks may hold something, and the fault that says so.
    fn blocks_max(&self) -> Option<(u64, u64)> {
        let full = self.all.iter().filter(|trouble| matches!(trouble.what, DiskTrouble::Full(_)));
        full.map(|trouble| (trouble.blocks_max, trouble.number)).min()
    }

    /// What the disk can do now, if it is slow.
    pub(super) fn slowed(&self, sound: &DiskModel, now: u64) -> Option<DiskModel> {
        let mut model = None;
        for trouble in &self.all {
            let DiskTrouble::Slow { request, bandwidth, over } = trouble.what else { continue };
            let passed = u128::from(now.saturating_sub(trouble.since)) * MILLION;
            let part = passed.checked_div(u128::from(nanos(over))).unwrap_or(MILLION).min(MILLION);
            let between = |from: u64, to: u64| {
                let way = u128::from(from.abs_diff(to)) * part / MILLION;
                // Never more than the difference of the two.
                if to > from { from + way as u64 } else { from - way as u64 }
            };
            let before: &mut DiskModel = model.get_or_insert(*sound);
            let slower = nanos(request).max(nanos(sound.request));
            let request = between(nanos(sound.request), slower);
            let narrower = between(sound.bandwidth, bandwidth.min(sound.bandwidth));
            before.request = before.request.max(Duration::from_nanos(request));
            before.bandwidth = before.bandwidth.min(narrower.max(1));
        }
        model
    }
}

/// A trouble as a number, for the trace.
const fn code(what: DiskTrouble) -> u64 {
    match what {
        DiskTrouble::Slow { .. } => 64,
        DiskTrouble::Stalled => 65,
        DiskTrouble::FailingReads(_) => 66,
        DiskTrouble::FailingWrites(_) => 67,
        DiskTrouble::FailingSyncs(_) => 68,
        DiskTrouble::LyingSyncs => 69,
        DiskTrouble::Misdirecting(_) => 70,
        DiskTrouble::ReadOnly => 71,
        DiskTrouble::Full(_) => 72,
    }
}

/// Whether this share is met.
fn met(
    dice: &mut Dice,
    troubles: &Troubles,
    share: impl Fn(&DiskTrouble) -> Option<u32>,
) -> Option<u64> {
    let (number, ppm) = troubles.find(share)?;
    dice.chance_ppm(ppm).then_some(number)
}

fn broken(what: &'static str) -> io::Error {
    io::Error::other(what)
}

impl State {
    /// Begins a trouble; its fault number.
    pub(crate) fn trouble_disk(&mut self, device: usize, what: DiskTrouble) -> u64 {
        let number = self.new_fault(code(what), device as u64);
        let since = self.now;
        let disk = &mut self.disks[device];
        let blocks_max = match what {
            DiskTrouble::Full(share_ppm) => {
                let all = disk.image.capacity() / BLOCK as u64;
                let taken = u128::from(all) * u128::from(share_ppm.min(1_000_000)) / MILLION;
                let room = all - u64::try_from(taken).unwrap_or(all);
                (disk.image.held_blocks() + room).min(all)
            }
            _ => 0,
        };
        disk.troubles.all.push(Trouble { number, since, what, blocks_max });
        number
    }

    /// Ends a trouble; false if it is in force on no disk.
    pub(crate) fn heal_trouble(&mut self, number: u64) -> bool {
        let has = |disk: &Device| disk.troubles.all.iter().any(|trouble| trouble.number == number);
        match self.disks.iter().position(has) {
            Some(device) => self.end_troubles(device, |trouble| trouble == number) > 0,
            None => false,
        }
    }

    /// Ends all troubles of a disk; how many that were.
    pub(crate) fn heal_disk(&mut self, device: usize) -> usize {
        self.end_troubles(device, |_| true)
    }

    fn end_troubles(&mut self, device: usize, ended: impl Fn(u64) -> bool) -> usize {
        let now = self.now;
        let disk = &mut self.disks[device];
        let lied = disk.troubles.lying().is_some();
        let before = disk.troubles.all.len();
        disk.troubles.all.retain(|trouble| !ended(trouble.number));
        if lied && disk.troubles.lying().is_none() {
            disk.image.make_good();
        }
        let many = before - disk.troubles.all.len();
        if disk.troubles.stalled().is_none() {
            for key in std::mem::take(&mut disk.held) {
                self.schedule(on_grid(now + 1), Event::Disk(key));
            }
        }
        self.trace.record(now, Kind::Fault, 0, device as u64, many as u64);
        many
    }

    /// An operation took longer for it.
    pub(super) fn slowed(&mut self, device: usize) {
        let slow = |what: &DiskTrouble| matches!(what, DiskTrouble::Slow { .. }).then_some(());
        if let Some((number, ())) = self.disks[device].troubles.find(slow) {
            self.bite(number, 1);
        }
    }

    /// Whether a stall keeps this operation from completing.
    pub(super) fn stall_holds(&mut self, device: usize, key: Key) -> bool {
        let Some(number) = self.disks[device].troubles.stalled() else { return false };
        self.disks[device].held.push(key);
        self.bite(number, 1);
        true
    }

    /// What the device says to these writes, if it refuses them; some of a write that fails may be written.
    pub(super) fn refuses(
        &mut self,
        device: usize,
        writes: &[(u64, Bytes)],
    ) -> Option<io::ErrorKind> {
        let disk = &mut self.disks[device];
        let writes_nothing = writes.iter().all(|(_, bytes)| bytes.is_empty());
        if disk.troubles.all.is_empty() || writes_nothing {
            return None;
        }
        let read_only = |what: &DiskTrouble| (*what == DiskTrouble::ReadOnly).then_some(());
        if let Some((number, ())) = disk.troubles.find(read_only) {
            self.bite(number, 1);
            return Some(io::ErrorKind::ReadOnlyFilesystem);
        }
        if let Some((blocks_max, number)) = disk.troubles.blocks_max()
            && disk.image.held_blocks() + disk.image.new_blocks(writes)
                > blocks_max + disk.image.capacity() / BLOCK as u64 / RESERVE_SHARE
        {
            self.bite(number, 1);
            return Some(io::ErrorKind::StorageFull);
        }
        let number = met(&mut disk.dice, &disk.troubles, |what| match what {
            DiskTrouble::FailingWrites(ppm) => Some(*ppm),
            _ => None,
        })?;
        disk.sequence += 1;
        let whole = disk.dice.between(0, writes.len() as u64) as usize;
        for (offset, bytes) in &writes[..whole] {
            disk.image.write(disk.sequence, *offset, bytes);
        }
        self.bite(number, 1);
        Some(io::ErrorKind::Other)
    }

    /// What a read gives that completes now.
    pub(super) fn read_done(
        &mut self,
        device: usize,
        offset: u64,
        len: usize,
    ) -> io::Result<Bytes> {
        let disk = &mut self.disks[device];
        if let Some(number) = disk.image.unreadable(offset, len) {
            self.bite(number, 1);
            return Err(broken("the medium cannot be read here"));
        }
        let failing = met(&mut disk.dice, &disk.troubles, |what| match what {
            DiskTrouble::FailingReads(ppm) => Some(*ppm),
            _ => None,
        });
        if let Some(number) = failing {
            self.bite(number, 1);
            return Err(broken("the disk failed to read"));
        }
        let (bytes, damage) = disk.image.read(offset, len);
        for number in damage {
            self.bite(number, 1);
        }
        Ok(bytes)
    }

    /// Makes everything up to this write durable, as well as the device does that.
    pub(super) fn sync_done(&mut self, device: usize, sequence: u64) -> io::Result<()> {
        let disk = &mut self.disks[device];
        let failing = met(&mut disk.dice, &disk.troubles, |what| match what {
            DiskTrouble::FailingSyncs(ppm) => Some(*ppm),
            _ => None,
        });
        if let Some(number) = failing {
            if disk.dice.below(2) == 0 {
                disk.image.give_up(sequence, number);
            }
            self.bite(number, 1);
            return Err(broken("the disk failed to sync"));
        }
        if let Some(number) = disk.troubles.lying() {
            disk.image.claim(sequence, number);
            return Ok(());
        }
        let astray = disk.troubles.find(|what| match what {
            DiskTrouble::Misdirecting(ppm) => Some(*ppm),
            _ => None,
        });
        let Some((fault, share_ppm)) = astray else {
            disk.image.make_durable(sequence, None);
            return Ok(());
        };
        let mut astray = Astray { dice: &mut disk.dice, share_ppm, fault, landed: Vec::new() };
        disk.image.make_durable(sequence, Some(&mut astray));
        let landed = astray.landed;
        let mut ranges: Vec<(u64, u64)> = landed
            .iter()
            .flat_map(|(meant, instead)| [*meant, *instead])
            .map(|block| (block * BLOCK as u64, BLOCK as u64))
            .collect();
        ranges.sort_unstable();
        for (meant, instead) in landed {
            self.trace.record(self.now, Kind::Fault, fault, meant, instead);
        }
        self.destroyed(device, DestructionKind::Misdirected, ranges);
        Ok(())
    }

    /// Bytes that blocks without content find room for. Who asks may be content with little: a fault has bitten where not
    /// even a block finds room.
    pub(super) fn disk_room(&mut self, device: usize) -> u64 {
        let disk = &self.disks[device];
        let Some((blocks_max, number)) = disk.troubles.blocks_max() else { return u64::MAX };
        let room = blocks_max.saturating_sub(disk.image.held_blocks()) * BLOCK as u64;
        if room == 0 {
            self.bite(number, 1);
        }
        room
    }

    /// Damages this share of the durable blocks that hold data, at least one; the damaged ranges.
    pub(crate) fn rot_disk(
        &mut self,
        device: usize,
        share_ppm: u32,
        fault: u64,
    ) -> Vec<(u64, u64)> {
        let disk = &mut self.disks[device];
        let ranges = disk.image.rot(&mut disk.dice, share_ppm, fault);
        self.trace_ranges(fault, &ranges);
        ranges
    }

    /// Makes this share of the durable blocks that hold data unreadable, at least one; their ranges.
    pub(crate) fn lose_sectors(
        &mut self,
        device: usize,
        share_ppm: u32,
        fault: u64,
    ) -> Vec<(u64, u64)> {
        let disk = &mut self.disks[device];
        let ranges = disk.image.make_unreadable(&mut disk.dice, share_ppm, fault);
        self.trace_ranges(fault, &ranges);
        ranges
    }

    fn trace_ranges(&mut self, fault: u64, ranges: &[(u64, u64)]) {
        for (offset, len) in ranges {
            self.trace.record(self.now, Kind::Fault, fault, *offset, *len);
        }
    }

    /// Notes what was destroyed.
    pub(super) fn destroyed(
        &mut self,
        device: usize,
        kind: DestructionKind,
        ranges: Vec<(u64, u64)>,
    ) {
        if ranges.is_empty() {
            return;
        }
        let (at, disk) = (Instant(self.now), DiskNumber(u32::try_from(device).unwrap_or(u32::MAX)));
        self.destructions.push(Destruction { at, disk, kind, ranges });
    }
}
