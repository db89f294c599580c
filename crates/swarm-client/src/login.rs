//! Credentials, and the challenges that servers gave: what goes into `Authorization`.
//!
//! Digest (RFC 2617, MD5, with and without `qop=auth`) costs a round trip for each server that has not challenged yet; after
//! that requests are signed at once, until the server says that its challenge is too old.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use swarm_env::Env;
use swarm_types::{HeaderList, Hex};

/// Challenges remembered, over all addresses.
const CHALLENGES_MAX: usize = 256;

/// Credentials, resent on every hop.
#[derive(Clone, PartialEq, Eq)]
pub enum Auth {
    /// The password is said, to whoever is asked.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// Requests are signed; who does not know the secret learns nothing of it.
    Digest {
        /// The user.
        user: String,
        /// What the signature is made with.
        secret: Secret,
    },
}

/// A password, or what a server keeps in its place.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// The password.
    Clear(String),
    /// `HA1 = MD5(user ":" realm ":" password)` in 32 hexadecimal digits: good for its realm only.
    Ha1(String),
}

impl Auth {
    /// A user and a password that may be said.
    pub fn basic(user: impl Into<String>, password: impl Into<String>) -> Self {
        Self::Basic { user: user.into(), password: password.into() }
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither password nor hash must reach a log.
        match self {
            Self::Basic { user, .. } => write!(f, "Basic({user})"),
            Self::Digest { user, .. } => write!(f, "Digest({user})"),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Value of an `Authorization` field with these credentials.
#[must_use]
pub fn basic_auth(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// What a server wants to have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    protects: bool,
    /// How often it was used.
    uses: u32,
}

/// The challenges of servers, by their addresses.
#[derive(Default)]
pub(crate) struct Challenges(Mutex<BTreeMap<SocketAddr, Challenge>>);

impl Challenges {
    /// The value of `Authorization` for a request, if it can be made before the server has been asked.
    pub(crate) fn authorize(
        &self,
        env: &Env,
        to: SocketAddr,
        auth: &Auth,
        method: &str,
        target: &str,
    ) -> Option<String> {
        let (user, secret) = match auth {
            Auth::Basic { user, password } => return Some(basic_auth(user, password)),
            Auth::Digest { user, secret } => (user, secret),
        };
        let challenge = {
            let mut known = self.known();
            let challenge = known.get_mut(&to)?;
            challenge.uses = challenge.uses.saturating_add(1);
            challenge.clone()
        };
        let drawn = env.random_u64("digest");
        Some(challenge.sign(user, secret, method, target, drawn))
    }

    /// Learns what an answer 401 asks for. False if it asks for no Digest that can be made.
    pub(crate) fn learn(&self, from: SocketAddr, headers: &HeaderList) -> bool {
        let offers = headers.iter().filter(|header| header.is("www-authenticate"));
        let mut offers = offers.filter_map(|header| std::str::from_utf8(&header.value).ok());
        let Some(challenge) = offers.find_map(Challenge::read) else { return false };
        let mut known = self.known();
        if known.len() >= CHALLENGES_MAX && !known.contains_key(&from) {
            known.pop_first();
        }
        known.insert(from, challenge);
        true
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, Challenge>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Challenge {
    /// Reads one value of `WWW-Authenticate`.
    fn read(value: &str) -> Option<Self> {
        let (scheme, rest) = value.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let parts: Vec<(&str, &str)> = parameters(rest);
        let get = |name: &str| {
            let found = parts.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| *value)
        };
        if get("algorithm").is_some_and(|name| !name.eq_ignore_ascii_case("MD5")) {
            return None;
        }
        let offers_auth =
            |qops: &str| qops.split(',').any(|qop| qop.trim().eq_ignore_ascii_case("auth"));
        let protects = match get("qop") {
            None => false,
            Some(qops) if offers_auth(qops) => true,
            Some(_) => return None,
        };
        Some(Self {
            realm: get("realm")?.to_owned(),
            nonce: get("nonce")?.to_owned(),
            opaque: get("opaque").map(str::to_owned),
            protects,
            uses: 0,
        })
    }

    fn sign(&self, user: &str, secret: &Secret, method: &str, target: &str, drawn: u64) -> String {
        let Self { realm, nonce, opaque, protects, uses } = self;
        let ha1 = match secret {
            Secret::Clear(password) => hex(&format!("{user}:{realm}:{password}")),
            Secret::Ha1(hash) => hash.to_ascii_lowercase(),
        };
        let ha2 = hex(&format!("{method}:{target}"));
        let mut value = format!(
            "Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", ",
            user.replace('\\', "\\\\").replace('"', "\\\"")
        );
        if *protects {
            let (nc, cnonce) = (format!("{uses:08x}"), format!("{drawn:016x}"));
            let response = hex(&format!("{ha1}:{nonce}:{nc}:{cnonce}:auth:{ha2}"));
            value += &format!(
                "nc={nc}, cnonce=\"{cnonce}\", uri=\"{target}\", response=\"{response}\", qop=auth"
            );
        } else {
            let response = hex(&format!("{ha1}:{nonce}:{ha2}"));
            value += &format!("uri=\"{target}\", response=\"{response}\"");
        }
        if let Some(opaque) = opaque {
            value += &format!(", opaque=\"{opaque}\"");
        }
        value
    }
}

/// `name=value` and `name="value"`, separated by commas outside quotes. What a server escapes in quotes it gets back as it
/// was, so that nothing is taken apart there.
fn parameters(text: &str) -> Vec<(&str, &str)> {
    let mut quoted = false;
    let parts = text.split(|character| {
        quoted ^= character == '"';
        character == ',' && !quoted
    });
    parts
        .filter_map(|part| part.split_once('='))
        .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
        .collect()
}

fn hex(text: &str) -> String {
    Hex(&Md5::digest(text)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SCSP SEND - Legacy.
    const OF_A_NODE: &str = "Digest realm=\"CAStor administrator\", nonce=\"0c6da76911cbf5cd495afbb0c66e6d9a\", \
        opaque=\"3e894c0cf7c1ad980e1fd46320307f1a\", stale=false, qop=\"auth\", algorithm=MD5";

    #[test]
    fn the_challenge_of_a_node_is_read() {
        let read = Challenge::read(OF_A_NODE).expect("Digest");
        let expected = Challenge {
            realm: "CAStor administrator".into(),
            nonce: "0c6da76911cbf5cd495afbb0c66e6d9a".into(),
            opaque: Some("3e894c0cf7c1ad980e1fd46320307f1a".into()),
            protects: true,
            uses: 0,
        };
        assert_eq!(read, expected);
        let several = OF_A_NODE.replace("\"auth\"", "\"auth-int, auth\"");
        assert_eq!(Challenge::read(&several), Some(expected));
        for other in [
            "Basic realm=\"CAStor administrator\"".to_owned(),
            OF_A_NODE.replace("algorithm=MD5", "algorithm=SHA-256"),
            OF_A_NODE.replace("\"auth\"", "\"auth-int\""),
            OF_A_NODE.replace("nonce=", "once="),
        ] {
            assert_eq!(Challenge::read(&other), None, "{other}");
        }
    }

    #[test]
    fn signatures_are_those_of_the_rfcs() {
        // RFC 2617, 3.5; the drawn number stands where its cnonce does.
        let challenge = Challenge {
            realm: "testrealm@host.com".into(),
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093".into(),
            opaque: None,
            protects: true,
            uses: 1,
        };
        let clear = Secret::Clear("Circle Of Life".into());
        let value = challenge.sign("Mufasa", &clear, "GET", "/dir/index.html", 0x0a4f_113b);
        // By hand: MD5 of HA1, nonce, nc, this cnonce, auth and HA2.
        let ha1 = "939e7578ed9e3c518a452acee763bce9";
        let ha2 = "39aff3a2bab6126f332b942af96d3366";
        let expected =
            hex(&format!("{ha1}:{}:00000001:000000000a4f113b:auth:{ha2}", challenge.nonce));
        assert!(value.contains(&format!("response=\"{expected}\"")), "{value}");
        let hash = Secret::Ha1(ha1.to_ascii_uppercase());
        assert_eq!(challenge.sign("Mufasa", &hash, "GET", "/dir/index.html", 0x0a4f_113b), value);
        // RFC 2069, 2.4, as its errata correct it.
        let old = Challenge { protects: false, ..challenge };
        let clear = Secret::Clear("CircleOfLife".into());
        let value = old.sign("Mufasa", &clear, "GET", "/dir/index.html", 0);
        assert!(value.ends_with("response=\"1949323746fe6a43ef61f9606e7febea\""), "{value}");
    }

    #[test]
    fn no_secret_is_shown() {
        let auth = Auth::Digest { user: "admin".into(), secret: Secret::Clear("hush".into()) };
        let basic = Auth::Basic { user: "admin".into(), password: "hush".into() };
        let shown = format!("{auth:?} {basic:?} {:?}", Secret::Ha1("hush".into()));
        assert!(!shown.contains("hush"), "{shown}");
    }
}
