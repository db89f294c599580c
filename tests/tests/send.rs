//! SEND, sentence by sentence: what the vendor's pages SCSP SEND and SCSP SEND - Legacy say, each sentence in a test that
//! quotes it, with two simulated clusters. The bytes of the answers are checked in `crates/swarm-http/tests/it/send.rs`.

mod figures;
mod kit;
mod legacy;
mod new;
mod proxy;
