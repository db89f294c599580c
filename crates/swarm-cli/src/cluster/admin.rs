//! An administrator of a running cluster: requests to whichever of its nodes answers.
//!
//! Owns who is asked, how often, and the sentences about what came instead of an answer.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use swarm_client::{Auth, Client, ClientOptions, Request};
use swarm_cluster::Env;

/// A node that takes longer is passed over.
const PATIENCE: Duration = Duration::from_secs(10);
/// Nodes that have just begun do not know their feeds yet.
const READY_WITHIN: Duration = Duration::from_secs(20);
const TRY_AGAIN: Duration = Duration::from_millis(200);
/// Longer answers are none of a management port.
const ANSWER_MAX: usize = 4 << 20;

/// Where the feeds of a cluster are, on its management port.
pub(super) const FEEDS: &str = "/api/storage/clusters/_self/feeds";

/// Name and password.
pub(super) type Login = (String, String);

/// What came instead of success.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A node said no.
    Refused {
        /// The status of its answer.
        status: u16,
        /// Why, as it says.
        why: String,
    },
    /// No node answers, or none can now.
    Silent(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused { status: 401, .. } => {
                f.write_str("the cluster does not take the name and password of the administrator")
            }
            Self::Refused { why, .. } | Self::Silent(why) => f.write_str(why),
        }
    }
}

/// Which port of a node is asked.
#[derive(Clone, Copy)]
pub(super) struct Door {
    pub(super) scsp: SocketAddr,
    pub(super) management: SocketAddr,
}

pub(super) struct Admin {
    env: Env,
    client: Client,
    /// Name of the cluster.
    cluster: String,
    nodes: Vec<Door>,
    login: Option<Login>,
}

impl Admin {
    pub(super) fn new(env: &Env, cluster: &str, nodes: Vec<Door>, login: Option<Login>) -> Self {
        let options = ClientOptions { connect: Duration::from_secs(2), ..ClientOptions::default() };
        let client = Client::new(env.clone(), options);
        Self { env: env.clone(), client, cluster: cluster.to_owned(), nodes, login }
    }

    /// A management request; the body of the answer, `null` if it has none.
    pub(super) async fn manage(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Trouble> {
        let make = |door: Door| {
            let request = Request::new(door.management, method, path);
            match body {
                None => request,
                Some(body) => request
                    .header("Content-Type", "application/json")
                    .body(bytes_of(body.to_string())),
            }
        };
        let text = self.ask(make).await?;
        Ok(serde_json::from_slice(&text).unwrap_or_default())
    }

    /// A request of which each node would make the same; the body of the answer.
    pub(super) async fn ask(&self, make: impl Fn(Door) -> Request) -> Result<Vec<u8>, Trouble> {
        let begun = self.env.now();
        loop {
            let mut said = Vec::new();
            let mut may_come = false;
            for door in &self.nodes {
                let mut request = make(*door).patience(PATIENCE);
                if let Some((user, password)) = &self.login {
                    request = request.auth(Auth::basic(user, password));
                }
                let to = request.to;
                match self.once(request).await {
                    Ok((status, body)) if (200..300).contains(&status) => return Ok(body),
                    Ok((503, body)) => {
                        may_come = true;
                        said.push(format!("{to}: {}", told(&body)));
                    }
                    Ok((status, body)) => {
                        return Err(Trouble::Refused { status, why: told(&body) });
                    }
                    Err(why) => said.push(format!("{to}: {why}")),
                }
            }
            if !may_come || self.env.now().since(begun) >= READY_WITHIN {
                let why = format!("no node of '{}' answers: {}", self.cluster, said.join("; "));
                return Err(Trouble::Silent(why));
            }
            self.env.sleep(TRY_AGAIN).await;
        }
    }

    async fn once(&self, request: Request) -> Result<(u16, Vec<u8>), String> {
        let mut answer = self.client.send(request).await.map_err(|error| error.kind.to_string())?;
        let mut body =
            answer.body.collect(ANSWER_MAX).await.map_err(|error| error.kind.to_string())?.to_vec();
        // SCSP tells of its faults in a header.
        if let Some(text) = answer.header("castor-system-error-text") {
            body = text.as_bytes().to_vec();
        }
        Ok((answer.status, body))
    }
}

fn bytes_of(text: String) -> swarm_client::Body {
    swarm_client::Body::Bytes(text.into())
}

/// What a node says: the `error` of the answer, or its text.
fn told(body: &[u8]) -> String {
    let error = serde_json::from_slice::<Value>(body).ok();
    let error = error.as_ref().and_then(|error| error["error"].as_str());
    match error {
        Some(error) => error.to_owned(),
        None => String::from_utf8_lossy(body).trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_is_told_in_its_words() {
        assert_eq!(told(br#"{"error":"hosts is required."}"#), "hosts is required.");
        assert_eq!(told(b" plain text \n"), "plain text");
        let refused = Trouble::Refused { status: 409, why: "the name is taken.".to_owned() };
        assert_eq!(refused.to_string(), "the name is taken.");
        let refused = Trouble::Refused { status: 401, why: "Administrators only.".to_owned() };
        assert!(refused.to_string().contains("password"), "{refused}");
    }
}
