//! Digest credentials (RFC 2617 with `qop=auth`, RFC 2069 without), algorithm MD5, as clients of Swarm send them.
//!
//! Pure: reads the value of `Authorization` and says whether its hash is right. Whose nonce it is, the caller knows.

use md5::{Digest as _, Md5};
use swarm_types::Hex;

use super::{ADMIN_REALM, same};

/// Parameters beyond this many make no sense in one header.
const PARAMETERS_MAX: usize = 32;

/// What a client has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) nonce: String,
    /// The request target that was signed.
    pub(super) uri: String,
    response: String,
    /// `nc` and `cnonce` of `qop=auth`; without them it is RFC 2069.
    protected: Option<(String, String)>,
}

/// Reads the value of `Authorization`; `None` if it is no Digest for the realm of administrators that could be right.
pub(super) fn read(value: &[u8]) -> Option<Credentials> {
    let value = std::str::from_utf8(value).ok()?;
    let (scheme, rest) = value.trim_start().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("digest") {
        return None;
    }
    let parameters = parameters(rest)?;
    let get = |name: &str| {
        let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    };
    if get("realm")? != ADMIN_REALM
        || get("algorithm").is_some_and(|name| !name.eq_ignore_ascii_case("MD5"))
    {
        return None;
    }
    // Quoted by the SDK, bare from others: both are read alike.
    let protected = match get("qop") {
        None => None,
        Some(qop) if qop.eq_ignore_ascii_case("auth") => {
            Some((get("nc")?.to_owned(), get("cnonce")?.to_owned()))
        }
        Some(_) => return None,
    };
    Some(Credentials {
        user: get("username")?.to_owned(),
        nonce: get("nonce")?.to_owned(),
        uri: get("uri")?.to_owned(),
        response: get("response")?.to_ascii_lowercase(),
        protected,
    })
}

impl Credentials {
    /// True if whoever signed this request knew the password that makes this `HA1`.
    pub(super) fn is_right(&self, method: &str, ha1: &str) -> bool {
        let ha2 = hex(&format!("{method}:{}", self.uri));
        let nonce = &self.nonce;
        let right = match &self.protected {
            Some((nc, cnonce)) => hex(&format!("{ha1}:{nonce}:{nc}:{cnonce}:auth:{ha2}")),
            None => hex(&format!("{ha1}:{nonce}:{ha2}")),
        };
        same(right.as_bytes(), self.response.as_bytes())
    }

    /// True if the request that was signed is about this path: after a redirect clients sign the old target or the new one,
    /// whose arguments differ.
    pub(super) fn is_about(&self, target: &str) -> bool {
        path(&self.uri) == path(target)
    }
}

/// A target without its arguments and, in its absolute form, without scheme and host.
fn path(target: &str) -> &str {
    let target = target.split_once('?').map_or(target, |(path, _)| path);
    match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => target,
    }
}

/// `HA1` in lower case.
pub(super) fn ha1(user: &str, password: &str) -> String {
    hex(&format!("{user}:{ADMIN_REALM}:{password}"))
}

/// MD5 in hexadecimal digits. The client has its own: what both could use, the core, knows no MD5.
pub(crate) fn hex(text: &str) -> String {
    Hex(&Md5::digest(text)).to_string()
}

/// `name=value` or `name="value"`, separated by commas.
fn parameters(text: &str) -> Option<Vec<(String, String)>> {
    let mut all = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted_string(quoted)?,
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        all.push((name.trim().to_owned(), value));
        if all.len() > PARAMETERS_MAX {
            return None;
        }
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(all)
}

/// The text up to the closing quote, and what follows it.
fn quoted_string(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the SDK sends them, with the quotes around `qop`.
    const OF_THE_SDK: &str = "Digest username=\"admin\", realm=\"CAStor administrator\", \
        nonce=\"0c6da76911cbf5cd495afbb0c66e6d9a\", nc=00000001, cnonce=\"0a4f113b\", \
        uri=\"/97f7149dec6cbc0aa1e9425688158969?alias&admin\", response=\"RESPONSE\", qop=\"auth\", \
        opaque=\"3e894c0cf7c1ad980e1fd46320307f1a\"";

    fn signed(text: &str, response: &str) -> Credentials {
        read(text.replace("RESPONSE", response).as_bytes()).expect("Digest")
    }

    #[test]
    fn the_hash_is_that_of_the_rfc() {
        // RFC 2617, 3.5, with its own realm put into HA1.
        let ha1 = hex("Mufasa:testrealm@host.com:Circle Of Life");
        let credentials = Credentials {
            user: "Mufasa".into(),
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093".into(),
            uri: "/dir/index.html".into(),
            response: "6629fae49393a05397450978507c4ef1".into(),
            protected: Some(("00000001".into(), "0a4f113b".into())),
        };
        assert!(credentials.is_right("GET", &ha1));
        assert!(!credentials.is_right("SEND", &ha1), "the verb is signed too");
        // RFC 2069, 2.4, as its errata correct it.
        let ha1 = hex("Mufasa:testrealm@host.com:CircleOfLife");
        let old = Credentials {
            response: "1949323746fe6a43ef61f9606e7febea".into(),
            protected: None,
            ..credentials
        };
        assert!(old.is_right("GET", &ha1));
    }

    #[test]
    fn what_clients_of_swarm_send_is_read() {
        let bare = OF_THE_SDK.replace("qop=\"auth\"", "qop=auth,algorithm=MD5");
        for text in [OF_THE_SDK, &bare, &OF_THE_SDK.replace("Digest", "digest")] {
            let read = signed(text, "ABCDEF");
            assert_eq!((read.user.as_str(), read.response.as_str()), ("admin", "abcdef"), "{text}");
            assert_eq!(read.nonce, "0c6da76911cbf5cd495afbb0c66e6d9a");
            assert!(read.is_about("/97f7149dec6cbc0aa1e9425688158969?alias&admin&auth=1"));
            assert!(!read.is_about("/17f7149dec6cbc0aa1e9425688158969?alias&admin"));
        }
        assert!(
            Credentials { uri: "http://n:80/a?b".into(), ..signed(OF_THE_SDK, "0") }.is_about("/a")
        );
        let quoted = OF_THE_SDK.replace("\"admin\"", "\"ad\\\"min, \\\\x\"");
        assert_eq!(signed(&quoted, "0").user, "ad\"min, \\x");
    }

    #[test]
    fn what_cannot_be_right_is_none() {
        for bad in [
            "Basic YWRtaW46eA==".to_owned(),
            "Digest".to_owned(),
            "Digest ".to_owned(),
            OF_THE_SDK.replace("CAStor administrator", "acme.example"),
            OF_THE_SDK.replace("username", "user"),
            OF_THE_SDK.replace("qop=\"auth\"", "qop=\"auth-int\""),
            OF_THE_SDK.replace("nc=00000001, ", ""),
            OF_THE_SDK.replace("qop=", "algorithm=SHA-256, qop="),
            OF_THE_SDK.replace("f1a\"", "f1a"),
            OF_THE_SDK.replace(", uri", " uri"),
            format!("Digest {}", "a=b,".repeat(PARAMETERS_MAX + 1)),
        ] {
            assert_eq!(read(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(read(b"Digest username=\"\xff\""), None);
    }
}
