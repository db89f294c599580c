//! Decisions as functions over facts: bids, placement, versions, lookups.
