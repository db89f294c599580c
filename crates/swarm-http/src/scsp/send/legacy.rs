//! The SEND of old, which names a cluster and an address in the place of feeds: it is in force where the new arguments are
//! missing (SCSP SEND - Legacy).
//!
//! Owns what its three header fields mean, and its body: what the remote cluster returned, in one line.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use swarm_env::{BoxFuture, Env};
use swarm_feeds::Destination;
use swarm_feeds::definition::{Login, Password};
use swarm_types::ClusterName;
use tokio::sync::oneshot;

use super::stream::{KEEP_ALIVE, Vigil};
use crate::codec::{BodySource, Broken, Fields};
use crate::status::{self, Fault};

const CLUSTER: &str = "Castor-System-Cluster";
const TARGET: &str = "Castor-System-Target";
const AUTH: &str = "Castor-System-Auth";

/// The port that is meant where none is said.
const PORT: u16 = 80;

/// How long the request may take in all where it says nothing of it (our choice): the largest objects over slow ways take long.
/// `timeout` itself means what it means where feeds are named.
pub(super) const LIMIT: Duration = Duration::from_secs(3600);

/// Where the request sends its object.
///
/// # Errors
/// A field that is missing or makes no sense.
pub(crate) fn destination(fields: &Fields) -> Result<Destination, Fault> {
    let cluster = text(fields, CLUSTER)?.ok_or(Fault::MissingHeader(CLUSTER))?;
    let target = text(fields, TARGET)?.ok_or(Fault::MissingHeader(TARGET))?;
    let no_address = Fault::InvalidHeader("Castor-System-Target is no address and port.");
    let at = address(target).ok_or(no_address)?;
    let login = text(fields, AUTH)?.map(login).transpose()?;
    Ok(Destination { cluster: ClusterName::from(cluster), at, login })
}

/// The value of a field; one that is empty is as good as none.
fn text<'a>(fields: &'a Fields, name: &'static str) -> Result<Option<&'a str>, Fault> {
    let Some(value) = fields.get(name) else { return Ok(None) };
    let not_text = |_| Fault::InvalidHeader("A header of this request is not UTF-8.");
    let value = std::str::from_utf8(value).map_err(not_text)?.trim();
    Ok((!value.is_empty()).then_some(value))
}

fn address(text: &str) -> Option<SocketAddr> {
    let alone = |text: &str| Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, PORT));
    text.parse().ok().or_else(|| alone(text)).filter(|at| at.port() > 0)
}

/// `username:password`; the password may have colons.
fn login(text: &str) -> Result<Login, Fault> {
    let no_login = Fault::InvalidHeader("Castor-System-Auth is no user and password.");
    let (user, password) = text.split_once(':').ok_or(no_login)?;
    Ok(Login { user: user.to_owned(), password: Password::from(password) })
}

/// The body: signs of life while the remote cluster is at it, then what it returned.
pub(crate) struct LegacyBody {
    env: Env,
    keep_alive: Duration,
    vigil: Vigil,
    /// Gone when it was told.
    returned: Option<oneshot::Receiver<u16>>,
}

impl LegacyBody {
    pub(crate) fn new(
        env: Env,
        keep_alive: Duration,
        vigil: Vigil,
        returned: oneshot::Receiver<u16>,
    ) -> Self {
        Self { env, keep_alive, vigil, returned: Some(returned) }
    }
}

impl BodySource for LegacyBody {
    fn next(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, Broken>> {
        Box::pin(async {
            let Some(returned) = &mut self.returned else { return Ok(None) };
            let beat = self.env.now() + self.keep_alive;
            match self.vigil.wait(beat, returned).await {
                None if !self.vigil.is_over() => Ok(Some(Bytes::from_static(KEEP_ALIVE))),
                told => {
                    self.returned = None;
                    let line = status::remote_returned(told.and_then(Result::ok));
                    Ok(Some(line.into()))
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn read(all: &[(&str, &str)]) -> Result<Destination, Fault> {
        destination(&testing::fields(all))
    }

    /// SCSP SEND - Legacy: two required headers and an optional one.
    #[test]
    fn its_headers_say_where_it_goes() {
        let all = [
            ("castor-system-CLUSTER", "dr"),
            ("Castor-System-Target", "192.168.1.13:8080"),
            ("Castor-System-Auth", "admin:a:b"),
        ];
        let to = read(&all).expect("good");
        assert_eq!((to.cluster.as_str(), to.at), ("dr", ([192, 168, 1, 13], 8080).into()));
        let login = to.login.expect("given");
        assert_eq!((login.user.as_str(), login.password.clear()), ("admin", "a:b"));
        let to = read(&[all[0], ("Castor-System-Target", "192.168.1.13")]).expect("good");
        assert_eq!((to.at.port(), to.login), (80, None));
    }

    #[test]
    fn what_is_missing_or_makes_no_sense_is_named() {
        let cluster = ("Castor-System-Cluster", "dr");
        let target = ("Castor-System-Target", "192.168.1.13:80");
        assert_eq!(read(&[target]), Err(Fault::MissingHeader("Castor-System-Cluster")));
        assert_eq!(read(&[cluster]), Err(Fault::MissingHeader("Castor-System-Target")));
        assert_eq!(
            read(&[("Castor-System-Cluster", " "), target]),
            Err(Fault::MissingHeader("Castor-System-Cluster"))
        );
        for at in
            ["dr.example.com", "192.168.1.13:0", "192.168.1.13:x", "192.168.1:80", "http://1.2.3.4"]
        {
            let refused = read(&[cluster, ("Castor-System-Target", at)]);
            assert!(matches!(refused, Err(Fault::InvalidHeader(_))), "{at}");
        }
        let refused = read(&[cluster, target, ("Castor-System-Auth", "admin")]);
        assert!(matches!(refused, Err(Fault::InvalidHeader(_))));
    }
}
