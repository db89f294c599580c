//! Authentication of the cluster's administrators: Digest and Basic credentials of the realm `CAStor administrator`.
//!
//! A request is asked for credentials only where it uses a right that needs them: the `admin` argument, creating and
//! deleting domains, SEND (Defining Swarm Admins, Swarm Users, and Swarm Passwords). Everything else is anonymous, and
//! credentials that nobody asked for are not looked at.

pub(crate) mod digest;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use swarm_env::{BoxFuture, Env};
use swarm_node::settings::configured_ha1;
use swarm_node::{Login, LoginNonces};
use tower::{Layer, Service};

use crate::codec::{OwnFields, Response};
use crate::scsp::{Call, Verb};
use crate::status::{self, ADMIN_REALM, Challenge, Fault};

/// Passwords of administrators by user.
pub(crate) type Administrators = BTreeMap<String, String>;

/// Who may pass, and what a challenge is made of.
pub(crate) struct Gate {
    administrators: Administrators,
    /// What requests of administrators are signed with, by user.
    ha1s: BTreeMap<String, String>,
    nonces: LoginNonces,
    /// Sent with every challenge and back by clients; it says nothing.
    opaque: String,
}

impl Gate {
    pub(crate) fn new(env: &Env, administrators: Administrators) -> Self {
        let opaque =
            (u128::from(env.random_u64("opaque")) << 64) | u128::from(env.random_u64("opaque"));
        let nonces = LoginNonces::new(env);
        let ha1s = administrators.iter().map(|(user, known)| {
            (user.clone(), configured_ha1(known).unwrap_or_else(|| digest::ha1(user, known)))
        });
        let ha1s = ha1s.collect();
        Self { administrators, ha1s, nonces, opaque: format!("{opaque:032x}") }
    }

    /// The administrator who sends this request, or what it is asked for instead.
    fn admit(&self, call: &Call) -> Result<String, Challenge> {
        let value = call.head.fields().get("authorization");
        // Our choice: a SEND that does not say `admin` has not asked for the right that it needs.
        if call.verb == Verb::Send && !call.is("admin") {
            return Err(self.challenge(false));
        }
        if let Some(user) = administrator(value, &self.administrators) {
            return Ok(user);
        }
        let signed = value.and_then(digest::read);
        let stale = match signed {
            Some(signed) if self.has_signed(&signed, call) => match self.judge(&signed.nonce) {
                Login::Good => return Ok(signed.user),
                // Whoever knows the password need not ask its user again.
                Login::Stale => true,
            },
            _ => false,
        };
        Err(self.challenge(stale))
    }

    fn challenge(&self, stale: bool) -> Challenge {
        let nonce = format!("{:032x}", self.nonces.issue().0);
        Challenge { nonce, opaque: self.opaque.clone(), stale }
    }

    fn has_signed(&self, signed: &digest::Credentials, call: &Call) -> bool {
        let Some(ha1) = self.ha1s.get(&signed.user) else { return false };
        signed.is_about(call.head.target()) && signed.is_right(call.head.method(), ha1)
    }

    fn judge(&self, nonce: &str) -> Login {
        match u128::from_str_radix(nonce, 16) {
            Ok(number) if nonce.len() == 32 => self.nonces.judge(number),
            _ => Login::Stale,
        }
    }
}

/// Lets a call pass if it needs no credentials or has the right ones.
#[derive(Clone)]
pub(crate) struct Authenticate<S> {
    env: Env,
    gate: Arc<Gate>,
    inner: S,
}

/// Makes [`Authenticate`].
pub(crate) struct AuthenticateLayer {
    pub(crate) env: Env,
    pub(crate) gate: Arc<Gate>,
}

impl<S> Layer<S> for AuthenticateLayer {
    type Service = Authenticate<S>;

    fn layer(&self, inner: S) -> Authenticate<S> {
        Authenticate { env: self.env.clone(), gate: Arc::clone(&self.gate), inner }
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
            match self.gate.admit(&call) {
                // Writes under override belong to the administrator (DX Admin Guide).
                Ok(user) => call.owner = Some(format!("{user}@{ADMIN_REALM}")),
                Err(challenge) => {
                    let fault = Fault::Unauthorized(challenge);
                    let mut response = status::fault(&fault, self.env.wall());
                    if call.verb == Verb::Send {
                        response.own_fields = OwnFields::OfSend;
                    }
                    return Box::pin(std::future::ready(Ok(response)));
                }
            }
        }
        Box::pin(self.inner.call(call))
    }
}

/// The administrator whose Basic credentials these are: the value of `Authorization`.
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

/// Whether a password is the configured one, be that clear text or not.
fn right_password(user: &str, given: &str, known: &str) -> bool {
    match configured_ha1(known) {
        Some(ha1) => same(digest::ha1(user, given).as_bytes(), ha1.as_bytes()),
        None => same(given.as_bytes(), known.as_bytes()),
    }
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
        let ha1 = digest::ha1("admin", "secret").to_ascii_uppercase();
        assert!(right_password("admin", "secret", &ha1));
        assert!(!right_password("admin", "other", &ha1));
        assert!(!right_password("admin", &ha1, &ha1), "the hash is not the password");
    }
}
