//! Judges that look at disks, gauges and tasks instead of answers, and what lifepoints demand.
//!
//! What reads disks is written from `docs/on-disk.md` alone, what reads gauges from the text form of Prometheus, what
//! reads lifepoints from the vendor's page; none of it shares code with the nodes.

pub(crate) mod fed;
pub(crate) mod honest;
pub(crate) mod image;
pub(crate) mod lifepoint;
pub(crate) mod protected;
pub(crate) mod queues;
pub(crate) mod record;
pub(crate) mod tasks;
pub(crate) mod tidy;

#[cfg(test)]
mod tests;
