//! The event trace: fixed records through a buffer into a rolling hash.
//!
//! A record is a kind, the time and three numbers. Payloads are digested once, where they enter the kernel, and stand
//! in records by their digest. Two runs of one seed give the same bytes on every machine and in every profile.

use std::io::Write;

use crate::options::Trace;

/// Bytes that are collected before they are hashed.
const BUFFER_BYTES: usize = 64 * 1024;

/// Length of one record: kind, time, three numbers.
const RECORD_BYTES: usize = 1 + 4 * 8;

/// Checkpoints kept; beyond that every other one is dropped, so that a run of any length keeps at least half as many.
const CHECKPOINTS_MAX: usize = 4096;

/// What a record says. The number is its byte in the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// host, incarnation, 0
    Started = 1,
    /// host, incarnation, how (0 killed, 1 power off, 2 panicked)
    Ended = 2,
    /// host, 1 paused or 0 resumed, 0
    Paused = 3,
    /// number, what, detail
    Fault = 4,
    /// task, host, 0
    Poll = 5,
    /// timer, 0, 0
    Timer = 6,
    /// host, digest of the label, digest of the bytes
    Draw = 7,
    /// connection and direction, bytes, digest
    Sent = 8,
    /// connection and direction, bytes or 0 for the end, 0
    Delivered = 9,
    /// address and port of the target, bytes, digest
    DatagramSent = 10,
    /// datagram, receiving host, 0
    DatagramDelivered = 11,
    /// disk, offset, digest
    Written = 12,
    /// disk, sequence, 1 if synced plus 2 if failed
    DiskDone = 13,
    /// disk, offset, bytes
    Read = 14,
    /// connecting host, target, outcome
    Dialed = 15,
}

/// The hash of everything recorded up to a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Nanoseconds since the world began.
    pub at_ns: u64,
    /// Records so far.
    pub records: u64,
    /// The hash so far, in hexadecimal.
    pub hash: String,
}

/// Collects the records of a run.
pub(crate) struct Tracer {
    on: bool,
    buffer: Vec<u8>,
    hasher: blake3::Hasher,
    text: Option<Box<dyn Write + Send>>,
    records: u64,
    now: u64,
    flushes: u64,
    checkpoint_every: u64,
    checkpoints: Vec<Checkpoint>,
}

impl Tracer {
    pub(crate) fn new(trace: Trace, seed: u64) -> Self {
        let (on, text) = match trace {
            Trace::Off => (false, None),
            Trace::Hash => (true, None),
            Trace::Text(out) => (true, Some(out)),
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        Self {
            on,
            buffer: Vec::with_capacity(if on { BUFFER_BYTES } else { 0 }),
            hasher,
            text,
            records: 0,
            now: 0,
            flushes: 0,
            checkpoint_every: 1,
            checkpoints: Vec::new(),
        }
    }

    pub(crate) const fn on(&self) -> bool {
        self.on
    }

    /// Digest of a payload; zero where nothing is recorded.
    pub(crate) fn digest(&self, payload: &[u8]) -> u64 {
        if self.on { u64::from(crc32c::crc32c(payload)) } else { 0 }
    }

    #[inline]
    pub(crate) fn record(&mut self, now: u64, kind: Kind, a: u64, b: u64, c: u64) {
        if !self.on {
            return;
        }
        let mut record = [0; RECORD_BYTES];
        record[0] = kind as u8;
        record[1..9].copy_from_slice(&now.to_le_bytes());
        record[9..17].copy_from_slice(&a.to_le_bytes());
        record[17..25].copy_from_slice(&b.to_le_bytes());
        record[25..33].copy_from_slice(&c.to_le_bytes());
        self.buffer.extend_from_slice(&record);
        self.records += 1;
        self.now = now;
        if self.text.is_some() {
            self.write_line(now, kind, a, b, c);
        }
        if self.buffer.len() > BUFFER_BYTES - RECORD_BYTES {
            self.flush();
        }
    }

    fn write_line(&mut self, now: u64, kind: Kind, a: u64, b: u64, c: u64) {
        let Some(text) = &mut self.text else { return };
        let line = writeln!(
            text,
            "{:>6}.{:09} {kind:?} {a:#x} {b} {c:#x}",
            now / 1_000_000_000,
            now % 1_000_000_000
        );
        if line.is_err() {
            // A full disk of the machine must not change the run; the hash goes on without the text.
            self.text = None;
        }
    }

    fn flush(&mut self) {
        self.hasher.update(&self.buffer);
        self.buffer.clear();
        self.flushes += 1;
        if !self.flushes.is_multiple_of(self.checkpoint_every) {
            return;
        }
        self.checkpoints.push(Checkpoint {
            at_ns: self.now,
            records: self.records,
            hash: self.hasher.finalize().to_hex().to_string(),
        });
        if self.checkpoints.len() >= CHECKPOINTS_MAX {
            let mut odd = false;
            self.checkpoints.retain(|_| {
                odd = !odd;
                !odd
            });
            self.checkpoint_every *= 2;
        }
    }

    /// Hash of everything recorded so far.
    pub(crate) fn hash(&self) -> String {
        if !self.on {
            return "0".repeat(64);
        }
        let mut hasher = self.hasher.clone();
        hasher.update(&self.buffer);
        hasher.finalize().to_hex().to_string()
    }

    pub(crate) fn checkpoints(&self) -> Vec<Checkpoint> {
        self.checkpoints.clone()
    }

    pub(crate) const fn records(&self) -> u64 {
        self.records
    }

    /// Writes out what the text form still holds back.
    pub(crate) fn finish(&mut self) {
        if let Some(text) = &mut self.text
            && text.flush().is_err()
        {
            self.text = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_covers_flushed_and_unflushed_records() {
        let run = |records: u64, last: u64| {
            let mut tracer = Tracer::new(Trace::Hash, 1);
            for n in 0..records {
                tracer.record(n, Kind::Timer, n, 0, 0);
            }
            tracer.record(records, Kind::Timer, last, 0, 0);
            (tracer.hash(), tracer.checkpoints().len())
        };
        let (long, checkpoints) = run(5_000, 1);
        assert!(checkpoints >= 2);
        assert_eq!(run(5_000, 1).0, long);
        assert_ne!(run(5_000, 2).0, long);
        assert_ne!(run(4_999, 1).0, long);
    }

    #[test]
    fn an_endless_run_keeps_a_bounded_number_of_checkpoints() {
        let mut tracer = Tracer::new(Trace::Hash, 1);
        for n in 0..(CHECKPOINTS_MAX as u64 * 3) {
            tracer.buffer.push(0);
            tracer.now = n;
            tracer.flush();
        }
        assert!(tracer.checkpoints.len() < CHECKPOINTS_MAX);
        assert!(tracer.checkpoint_every >= 2);
    }
}
