//! Volumes and the index of one node.
