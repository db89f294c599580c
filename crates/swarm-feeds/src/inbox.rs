//! What was filed on this node and no feed has looked at yet.
//!
//! Bounded: what finds no place is found again when the feeds walk through the volumes.

use std::collections::VecDeque;

use crate::home::Brief;

/// Most streams that wait here. The engine takes them out at once; they pile up only while it is held up.
pub(crate) const INBOX_MAX: usize = 16_384;

/// Streams that were filed.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    waiting: VecDeque<Brief>,
    overflowed: bool,
}

impl Inbox {
    pub(crate) fn push(&mut self, brief: Brief) {
        if self.waiting.len() < INBOX_MAX {
            self.waiting.push_back(brief);
        } else {
            self.overflowed = true;
        }
    }

    /// At most so many; and whether some were dropped since this was asked last.
    pub(crate) fn take(&mut self, most: usize) -> (Vec<Brief>, bool) {
        let most = most.min(self.waiting.len());
        let taken = self.waiting.drain(..most).collect();
        if self.waiting.is_empty() {
            // A burst is over: its memory is not kept.
            self.waiting.shrink_to(1_024);
        }
        (taken, std::mem::take(&mut self.overflowed))
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.waiting.capacity() * size_of::<Brief>()
    }
}
