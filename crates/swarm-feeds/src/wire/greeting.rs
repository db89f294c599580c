//! Who the target says that it is, and what its answers say beside their status.

use std::time::Duration;

use swarm_types::{ClusterName, HeaderList, SERVER, Timestamp, httpdate};

use super::{CLUSTER, one};
use crate::blockade::TargetTrouble;
use crate::definition::Mode;
use crate::result::Answer;

/// What the answer to `GET /` says (Replicating Domains to Other Clusters).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The target's `cluster.name`.
    pub cluster: ClusterName,
    /// Its version, major, minor and patch; `None` where `Server` is another's, as that of a gateway.
    pub version: Option<(u32, u32, u32)>,
}

/// Direct POST came with this version (Swarm 9 Highlights).
const DIRECT_POST: (u32, u32, u32) = (9, 6, 0);

/// How a node begins its `Server`.
const BRAND: &str = "CAStor Cluster/";

/// Judges the good answer to `GET /` of a feed's target. Who does not say that it is the cluster meant is sent nothing.
///
/// # Errors
/// Why it is sent nothing.
pub fn greet(
    headers: &HeaderList,
    to: &ClusterName,
    mode: Mode,
) -> Result<Greeting, TargetTrouble> {
    let cluster = one(headers, CLUSTER).ok().flatten();
    let cluster = cluster.filter(|cluster| cluster.eq_ignore_ascii_case(to.as_str()));
    let cluster = ClusterName::from(cluster.ok_or(TargetTrouble::WrongCluster)?);
    let version = headers.text("server").and_then(read_server);
    if mode == Mode::Post && version.is_some_and(|version| version < DIRECT_POST) {
        return Err(TargetTrouble::TooOld);
    }
    Ok(Greeting { cluster, version })
}

impl Greeting {
    /// The version of the target's software, if it is another than that of this cluster's.
    #[must_use]
    pub fn other_version(&self) -> Option<(u32, u32, u32)> {
        self.version.filter(|version| Some(*version) != read_server(SERVER))
    }
}

/// The version in `CAStor Cluster/11.2.0`; missing parts are 0.
fn read_server(server: &str) -> Option<(u32, u32, u32)> {
    let version = server.strip_prefix(BRAND)?.split(' ').next()?;
    let mut parts = version.split('.').map(|part| part.parse::<u32>());
    let major = parts.next()?.ok()?;
    let mut part = || parts.next().map_or(Some(0), Result::ok);
    Some((major, part()?, part()?))
}

/// What an answer of the target says. One that is refused for its cluster has 412 and the name of the one that refuses it; no
/// 412 for a missing context names another.
#[must_use]
pub fn read_answer(status: u16, headers: &HeaderList, to: &ClusterName, now: Timestamp) -> Answer {
    let cluster = one(headers, CLUSTER).ok().flatten();
    let wrong_cluster =
        status == 412 && cluster.is_some_and(|cluster| !cluster.eq_ignore_ascii_case(to.as_str()));
    let retry_after = headers.text("retry-after").and_then(|wait| read_wait(wait, now));
    Answer { status, retry_after, wrong_cluster }
}

/// Seconds, or a date (RFC 9110 section 10.2.3); a date that is over is no wait.
fn read_wait(text: &str, now: Timestamp) -> Option<Duration> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(text.parse().ok()?));
    }
    let at = httpdate::parse(text, now)?;
    let secs = at.secs().saturating_sub(now.secs()).max(0);
    Some(Duration::from_secs(u64::try_from(secs).ok()?))
}
