//! An HTTP client over the seam: pooled connections, redirects, Expect.
