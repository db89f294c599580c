//! What hyper needs of a runtime, over the seam.
