//! Judges that look at disks instead of answers.
//!
//! Written from `docs/on-disk.md` alone; it shares no code with the store.

pub(crate) mod image;
pub(crate) mod tidy;

#[cfg(test)]
mod tests;
