//! Tokens that a node hands out and knows again: those of redirects, issued in bids and checked when the client arrives, those
//! that administrators sign, and those by which another cluster fetches what a feed has told it of. They carry their own proof, so that no table of them is kept: 32 bits of expiry (seconds
//! since the world began) and 96 bits of a hash keyed with a secret that this incarnation of the node drew at its start.
//! Lifetime and format are our choice.

use swarm_env::Env;
use swarm_types::StreamId;

use crate::api::Nonce;

/// How long a client may take from the redirect to its target.
const VALID_SECS: u64 = 60;

/// How long an administrator may sign with one token.
const LOGIN_SECS: u64 = 300;

/// How long another cluster may take to fetch what it was told of: a batch of 200 large objects over a slow way.
const FETCH_SECS: u64 = 6 * 3600;

/// What a token allows its bearer to ask of this node without another auction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Read, replace or delete what is filed under this id.
    Stream(StreamId),
    /// Create an unnamed object.
    NewUnnamed,
    /// Show that one knows an administrator's password.
    Login,
    /// Fetch what this node files under this id, for another cluster.
    Fetch(StreamId),
}

/// The tokens that administrators sign.
pub struct LoginNonces(Nonces);

/// What a token that an administrator has signed is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// It is from here, and not too old.
    Good,
    /// It is too old, or of another life of this node, or of another node.
    Stale,
}

impl LoginNonces {
    /// Draws its secret.
    #[must_use]
    pub fn new(env: &Env) -> Self {
        Self(Nonces::with_secret(env, "login-secret"))
    }

    /// A new one, good for 300 s.
    #[must_use]
    pub fn issue(&self) -> Nonce {
        self.0.issue(Purpose::Login)
    }

    /// Judges one that came back.
    #[must_use]
    pub fn judge(&self, nonce: u128) -> Login {
        if self.0.accepts(Purpose::Login, Nonce(nonce)) { Login::Good } else { Login::Stale }
    }
}

/// Issues and checks tokens.
pub(crate) struct Nonces {
    env: Env,
    secret: [u8; 32],
}

impl Nonces {
    pub(crate) fn new(env: &Env) -> Self {
        Self::with_secret(env, "nonce-secret")
    }

    fn with_secret(env: &Env, label: &'static str) -> Self {
        let mut secret = [0; 32];
        env.random_bytes(label, &mut secret);
        Self { env: env.clone(), secret }
    }

    pub(crate) fn issue(&self, purpose: Purpose) -> Nonce {
        let valid = match purpose {
            Purpose::Stream(_) | Purpose::NewUnnamed => VALID_SECS,
            Purpose::Login => LOGIN_SECS,
            Purpose::Fetch(_) => FETCH_SECS,
        };
        let expiry = self.now_secs() + valid;
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
            Purpose::Login => hasher.update(b"login"),
            Purpose::Fetch(id) => hasher.update(b"fetch").update(id.as_bytes()),
        };
        let mut mac = [0; 16];
        hasher.finalize_xof().fill(&mut mac[4..]);
        Nonce(u128::from(expiry) << 96 | u128::from_be_bytes(mac))
    }
}
