//! The health processor of one node: it visits every stream of every volume at its pace and puts right what is wrong.
//!
//! What to do is decided by [`swarm_plan::health`]; this crate gathers the facts, carries the answers out, keeps the pace
//! and counts. It reaches its own node through [`Home`] and the others through [`Peers`], both of which `swarm-node`
//! implements, and answers what others ask of it.

mod home;
mod peers;

pub use home::Home;
pub use peers::{
    Answer, Claim, FetchError, Incoming, LeaveOutcome, MakeOrder, MakeOutcome, Member, Peers, Pull,
    Question, Recovery, RecoveryCause, TrimOrder, Whom,
};
