//! Judges that look at disks, gauges and tasks instead of answers.
//!
//! What reads disks is written from `docs/on-disk.md` alone, what reads gauges from the text form of Prometheus; none of it
//! shares code with the nodes.

pub(crate) mod image;
pub(crate) mod queues;
pub(crate) mod tasks;
pub(crate) mod tidy;

#[cfg(test)]
mod tests;
