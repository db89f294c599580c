//! Helpers of the black-box tests: a simulated cluster and a client that speaks HTTP to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use swarm_client::{Auth, Client, ClientOptions, Request, Response};
use swarm_cluster::sim::{Finished, RunOptions, run};
use swarm_cluster::{ClusterSpec, DiskKind, LinkSpec, World, WorldSpec};

/// What a client sees of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Header fields as received.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How many nodes were asked.
    pub hops: usize,
}

impl Answer {
    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(is, _)| is.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A client of a simulated cluster `main`.
pub struct Harness {
    /// The world.
    pub world: Arc<dyn World>,
    client: Client,
}

impl Harness {
    /// A request to a node of `main`, by its number; redirects are followed.
    #[must_use]
    pub fn request(&self, node: u32, method: &str, target: &str) -> Request {
        let nodes = self.world.nodes("main");
        let node =
            nodes.iter().find(|reference| reference.node == node).expect("a node of that number");
        Request::new(self.world.scsp(node), method, target)
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Panics
    /// If there is none.
    pub async fn send(&self, request: Request) -> Answer {
        let mut response: Response = self.client.send(request).await.expect("an answer");
        let headers = response.headers.iter();
        let headers = headers
            .map(|header| {
                (header.name.clone(), String::from_utf8_lossy(&header.value).into_owned())
            })
            .collect();
        let (status, hops) = (response.status, response.hops.len());
        let body = response.body.collect(1 << 24).await.expect("a whole body").to_vec();
        Answer { status, headers, body, hops }
    }

    /// Creates the domain `acme.example` and its bucket `scans`.
    pub async fn create_bucket(&self) {
        let context =
            |request: Request| request.header("Content-Type", "application/castorcontext");
        let domain = context(self.request(1, "POST", "/?domain=acme.example"))
            .auth(Auth::basic("admin", "ourpwdofchoicehere"));
        assert_eq!(self.send(domain).await.status, 201);
        let bucket = context(self.request(1, "POST", "/scans?domain=acme.example"));
        assert_eq!(self.send(bucket).await.status, 201);
    }
}

/// A specification of one cluster `main` of that many nodes.
#[must_use]
pub fn cluster_of(nodes: u32, seed: u64) -> WorldSpec {
    let main = ClusterSpec {
        nodes,
        volumes_per_node: 1,
        volume_size: 256 << 20,
        disk: DiskKind::Ssd,
        settings: BTreeMap::new(),
        node_settings: BTreeMap::new(),
        lan: LinkSpec::default(),
        clocks: BTreeMap::new(),
    };
    WorldSpec {
        seed,
        clusters: BTreeMap::from([("main".to_owned(), main)]),
        links: BTreeMap::new(),
        planted: Vec::new(),
        client_hosts: 1,
    }
}

/// Runs a story against a cluster that has had two seconds to start.
///
/// # Panics
/// If the world does not come to the story's end, or a node panicked.
pub fn story<T, F, Fut>(spec: &WorldSpec, tell: F) -> Finished<T>
where
    T: Send + 'static,
    F: FnOnce(Harness) -> Fut + Send + 'static,
    Fut: Future<Output = T> + Send + 'static,
{
    let finished = run(spec, RunOptions::default(), |world| async move {
        world.env().sleep(Duration::from_secs(2)).await;
        let client = Client::new(world.env().clone(), ClientOptions::default());
        let output = tell(Harness { world: Arc::clone(&world), client }).await;
        assert_eq!(world.panics(), vec![]);
        output
    });
    finished.expect("the story comes to its end")
}
