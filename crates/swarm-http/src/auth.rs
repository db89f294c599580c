//! Authentication of the cluster's administrators: Basic credentials of the realm `CAStor administrator`.
//!
//! A request is asked for credentials only where it uses a right that needs them: the `admin` argument, creating and
//! deleting domains, SEND (Defining Swarm Admins, Swarm Users, and Swarm Passwords). Everything else is anonymous, and
//! credentials that nobody asked for are not looked at.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest as _, Md5};
use swarm_env::{BoxFuture, Env};
use tower::{Layer, Service};

use crate::codec::Response;
use crate::scsp::Call;
use crate::status::{self, ADMIN_REALM, Fault};

/// Passwords of administrators by user.
pub(crate) type Administrators = BTreeMap<String, String>;

/// Lets a call pass if it needs no credentials or has the right ones.
#[derive(Debug, Clone)]
pub(crate) struct Authenticate<S> {
    env: Env,
    administrators: Arc<Administrators>,
    inner: S,
}

/// Makes [`Authenticate`].
pub(crate) struct AuthenticateLayer {
    pub(crate) env: Env,
    pub(crate) administrators: Arc<Administrators>,
}

impl<S> Layer<S> for AuthenticateLayer {
    type Service = Authenticate<S>;

    fn layer(&self, inner: S) -> Authenticate<S> {
        Authenticate {
            env: self.env.clone(),
            administrators: Arc::clone(&self.administrators),
            inner,
        }
    }
}

impl<S> Service<Call> for Authenticate<S>
where
    S: Service<Call, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut call: Call) -> Self::Future {
        if call.needs_admin() {
            match administrator(call.head.fields().get("authorization"), &self.administrators) {
                // Writes under override belong to the administrator (DX Admin Guide).
                Some(user) => call.owner = Some(format!("{user}@{ADMIN_REALM}")),
                None => {
                    let challenge = status::fault(&Fault::Unauthorized, self.env.wall());
                    return Box::pin(std::future::ready(Ok(challenge)));
                }
            }
        }
        Box::pin(self.inner.call(call))
    }
}

/// The administrator whose credentials these are: the value of `Authorization`.
pub(crate) fn administrator(
    value: Option<&[u8]>,
    administrators: &Administrators,
) -> Option<String> {
    let (user, password) = basic(value?)?;
    let known = administrators.get(&user)?;
    right_password(&user, &password, known).then_some(user)
}

/// User and password of Basic credentials; the password may contain colons.
fn basic(value: &[u8]) -> Option<(String, String)> {
    let value = std::str::from_utf8(value).ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// A configured password is clear text or `HA1 = MD5(user ":" realm ":" password)` in 32 hexadecimal digits (DX Admin
/// Guide).
fn right_password(user: &str, given: &str, known: &str) -> bool {
    if known.len() == 32 && known.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let ha1 = Md5::digest(format!("{user}:{ADMIN_REALM}:{given}"));
        let ha1: String = ha1.iter().map(|byte| format!("{byte:02x}")).collect();
        return same(ha1.as_bytes(), known.to_ascii_lowercase().as_bytes());
    }
    same(given.as_bytes(), known.as_bytes())
}

/// Compares without telling by its time where the difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_split_at_the_first_colon() {
        let value = format!("Basic {}", BASE64_STANDARD.encode("admin:a:b"));
        assert_eq!(basic(value.as_bytes()), Some(("admin".into(), "a:b".into())));
        for bad in ["Digest username=\"admin\"", "Basic", "Basic ???", "Basic YWRtaW4="] {
            assert_eq!(basic(bad.as_bytes()), None, "{bad}");
        }
    }

    /// DX Admin Guide: a configured password may be clear text or the 32-hex HA1.
    #[test]
    fn a_configured_password_is_clear_text_or_ha1() {
        assert!(right_password("admin", "secret", "secret"));
        assert!(!right_password("admin", "secret", "Secret"));
        let ha1 = Md5::digest(b"admin:CAStor administrator:secret");
        let ha1: String = ha1.iter().map(|byte| format!("{byte:02X}")).collect();
        assert!(right_password("admin", "secret", &ha1));
        assert!(!right_password("admin", "other", &ha1));
        assert!(!right_password("admin", &ha1, &ha1), "the hash is not the password");
    }
}
