//! The tokens of redirects: issued in bids, checked when the client arrives. They carry their own proof, so that no table
//! of them is kept: 32 bits of expiry (seconds since the world began) and 96 bits of a hash keyed with a secret that this
//! incarnation of the node drew at its start. Lifetime and format are our choice.

use swarm_env::Env;
use swarm_types::StreamId;

use crate::api::Nonce;

/// How long a client may take from the redirect to its target.
const VALID_SECS: u64 = 60;

/// What a token allows its bearer to ask of this node without another auction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Read, replace or delete what is filed under this id.
    Stream(StreamId),
    /// Create an unnamed object.
    NewUnnamed,
}

/// Issues and checks tokens.
pub(crate) struct Nonces {
    env: Env,
    secret: [u8; 32],
}

impl Nonces {
    pub(crate) fn new(env: &Env) -> Self {
        let mut secret = [0; 32];
        env.random_bytes("nonce-secret", &mut secret);
        Self { env: env.clone(), secret }
    }

    pub(crate) fn issue(&self, purpose: Purpose) -> Nonce {
        let expiry = self.now_secs() + VALID_SECS;
        self.sign(purpose, u32::try_from(expiry).unwrap_or(u32::MAX))
    }

    pub(crate) fn accepts(&self, purpose: Purpose, nonce: Nonce) -> bool {
        let expiry = u32::try_from(nonce.0 >> 96).unwrap_or(0);
        self.now_secs() <= u64::from(expiry) && self.sign(purpose, expiry) == nonce
    }

    fn now_secs(&self) -> u64 {
        self.env.now().0 / 1_000_000_000
    }

    fn sign(&self, purpose: Purpose, expiry: u32) -> Nonce {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(&expiry.to_be_bytes());
        match purpose {
            Purpose::Stream(id) => hasher.update(id.as_bytes()),
            Purpose::NewUnnamed => hasher.update(b"new"),
        };
        let mut mac = [0; 16];
        hasher.finalize_xof().fill(&mut mac[4..]);
        Nonce(u128::from(expiry) << 96 | u128::from_be_bytes(mac))
    }
}
