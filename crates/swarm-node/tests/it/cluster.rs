//! A small cluster for tests. Only this file knows how a world is built and how a request follows its redirects.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use swarm_node::api::{
    Address, BodyWish, DeleteRequest, DomainChoice, Nonce, ReadRequest, Refusal, Replicate, Reply,
    Target, WriteKind, WriteReply, WriteRequest,
};
use swarm_node::{Node, NodeConfig, NodeState, NodeStatus};
use swarm_sim::{DiskModel, DiskNumber, HostId, Sim, SimHandle};
use swarm_types::{ClusterName, HeaderList, Uuid};

const DISK: u64 = 64 << 20;

type Slot = Arc<Mutex<Option<Node>>>;

/// A world with one cluster of nodes `1` to `n`.
pub(crate) struct Cluster {
    sim: Sim,
    world: SimHandle,
    harness: HostId,
    hosts: Vec<HostId>,
    disks: Vec<DiskNumber>,
    slots: Vec<Slot>,
}

/// A write in a test: what, where to, how.
#[derive(Clone)]
pub(crate) struct Put {
    pub(crate) address: Address,
    pub(crate) kind: WriteKind,
    pub(crate) headers: HeaderList,
    pub(crate) replicate: Option<Replicate>,
    pub(crate) body: Bytes,
}

/// An address in the domain `d`.
pub(crate) fn target(address: Address) -> Target {
    Target { domain: DomainChoice::Named("d".to_owned()), address }
}

/// The object of this name in the bucket `b`.
pub(crate) fn named(name: &str) -> Address {
    Address::Named { bucket: "b".to_owned(), name: name.to_owned() }
}

/// A POST of these bytes.
pub(crate) fn post(address: Address, body: &'static [u8]) -> Put {
    Put {
        address,
        kind: WriteKind::Create { only_if_absent: false },
        headers: HeaderList::default(),
        replicate: None,
        body: Bytes::from_static(body),
    }
}

/// A POST of these bytes without a name.
pub(crate) fn unnamed(alias: bool, body: &'static [u8]) -> Put {
    Put { kind: WriteKind::Unnamed { alias }, ..post(Address::NewUnnamed, body) }
}

impl Put {
    /// The same with a header.
    pub(crate) fn header(mut self, name: &str, value: &'static str) -> Self {
        self.headers.push(name, value);
        self
    }

    /// The same as a PUT.
    pub(crate) fn as_put(mut self) -> Self {
        self.kind = WriteKind::Replace { or_create: false };
        self
    }
}

impl Cluster {
    /// Starts nodes and waits until each is `ok` and knows the others.
    pub(crate) fn of(nodes: u8, seed: u64) -> Self {
        Self::with_settings(nodes, seed, &[])
    }

    /// The same with settings.
    pub(crate) fn with_settings(nodes: u8, seed: u64, settings: &[(&str, &str)]) -> Self {
        let sim = Sim::seeded(seed);
        let world = sim.handle();
        let harness = world.add_host("harness", Ipv4Addr::new(10, 250, 0, 1));
        let settings: BTreeMap<String, String> = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let (mut hosts, mut disks, mut slots) = (Vec::new(), Vec::new(), Vec::new());
        for number in 1..=nodes {
            let host =
                world.add_node(&format!("main/{number}"), Ipv4Addr::new(10, 1, 0, number), 1);
            let disk = world.add_disk(
                host,
                format!("main/{number}/1").as_str().into(),
                DISK,
                DiskModel::SSD,
            );
            let slot = Slot::default();
            let (mine, settings) = (Arc::clone(&slot), settings.clone());
            world.set_boot(host, move |env| {
                let (slot, settings) = (Arc::clone(&mine), settings.clone());
                async move {
                    let config = NodeConfig {
                        cluster: ClusterName::from("main"),
                        scsp_port: 80,
                        peer_port: 6000,
                        group: SocketAddrV4::new(Ipv4Addr::new(224, 0, 10, 100), 7000),
                        settings,
                    };
                    let node = Node::start(env, config).await.expect("a node that starts");
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(node);
                }
            });
            assert!(world.start(host).done(), "a node that was off starts");
            hosts.push(host);
            disks.push(disk);
            slots.push(slot);
        }
        let mut cluster = Self { sim, world, harness, hosts, disks, slots };
        cluster.run_for(Duration::from_secs(2));
        for number in 1..=nodes {
            let status = cluster.status(number);
            assert_eq!(status.state, NodeState::Ok);
            assert_eq!(status.members.len(), usize::from(nodes) - 1);
        }
        cluster
    }

    /// The same with the domain `d` and its bucket `b`.
    pub(crate) fn with_bucket(nodes: u8, seed: u64) -> Self {
        let mut cluster = Self::of(nodes, seed);
        cluster.put(1, &post(Address::Domain, b"")).expect("a domain");
        cluster.put(1, &post(Address::Bucket("b".to_owned()), b"")).expect("a bucket");
        cluster
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        self.sim.run_for(duration).expect("the world goes on");
        assert_eq!(self.world.panics(), vec![]);
    }

    pub(crate) fn world(&self) -> &SimHandle {
        &self.world
    }

    pub(crate) fn host(&self, number: u8) -> HostId {
        self.hosts[usize::from(number) - 1]
    }

    /// The numbers of the nodes that stored replicas.
    pub(crate) fn holders(reply: &WriteReply) -> Vec<u8> {
        reply.replicas.iter().map(|replica| replica.node.0.octets()[3]).collect()
    }

    fn node(&self, number: u8) -> Node {
        let slot =
            self.slots[usize::from(number) - 1].lock().unwrap_or_else(PoisonError::into_inner);
        slot.clone().expect("a node that was started")
    }

    pub(crate) fn status(&self, number: u8) -> NodeStatus {
        self.node(number).status()
    }

    pub(crate) fn power_off(&mut self, number: u8) {
        assert!(self.world.power_off(self.host(number)).done().is_some(), "it was on");
    }

    pub(crate) fn start(&mut self, number: u8) {
        assert!(self.world.start(self.host(number)).done(), "it was off");
        self.run_for(Duration::from_secs(2));
    }

    /// Damages every block of a node's disk that holds data.
    pub(crate) fn rot_all(&mut self, number: u8) {
        let (_, ranges) = self.world.rot(self.disks[usize::from(number) - 1], 1_000_000).done();
        assert!(!ranges.is_empty(), "there was something to damage");
    }

    pub(crate) fn stop(&mut self, number: u8) {
        let node = self.node(number);
        self.on(number, async move { node.stop().await });
        assert!(self.world.kill(self.host(number)).done().is_some(), "it was on");
    }

    /// Runs something on a node.
    fn on<T: Send + 'static>(
        &mut self,
        number: u8,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let task = self.world.spawn_on(self.host(number), "test", work);
        let output = self.sim.block_on(self.harness, task);
        assert_eq!(self.world.panics(), vec![]);
        output.expect("the node lived on")
    }

    /// Writes through a node, following redirects.
    pub(crate) fn put(&mut self, via: u8, put: &Put) -> Result<WriteReply, Refusal> {
        self.hop(via, |node, nonce| {
            let put = put.clone();
            async move {
                let request = WriteRequest {
                    target: target(put.address),
                    kind: put.kind,
                    nonce,
                    headers: put.headers,
                    length: put.body.len() as u64,
                    replicate: put.replicate,
                    owner: None,
                    fresh_contexts: false,
                };
                match node.begin_write(request).await? {
                    Reply::Redirect(redirect) => Ok(Reply::Redirect(redirect)),
                    Reply::Served(mut session) => {
                        for piece in put.body.chunks(10_000) {
                            session.write(Bytes::copy_from_slice(piece)).await?;
                        }
                        session.finish().await.map(Reply::Served)
                    }
                }
            }
        })
    }

    /// Reads through a node, following redirects; the whole body.
    pub(crate) fn get(&mut self, via: u8, address: &Address) -> Result<Bytes, Refusal> {
        self.hop(via, |node, nonce| {
            let target = target(address.clone());
            async move {
                let request =
                    ReadRequest { target, nonce, body: BodyWish::Body, fresh_contexts: false };
                match node.read(request).await? {
                    Reply::Redirect(redirect) => Ok(Reply::Redirect(redirect)),
                    Reply::Served(reply) => {
                        let (mut body, mut bytes) = (reply.body.expect("asked for"), Vec::new());
                        while let Some(piece) = body.next().await.expect("an intact replica") {
                            bytes.extend_from_slice(&piece);
                        }
                        assert_eq!(bytes.len() as u64, reply.meta.length);
                        Ok(Reply::Served(Bytes::from(bytes)))
                    }
                }
            }
        })
    }

    /// Deletes through a node, following redirects.
    pub(crate) fn delete(&mut self, via: u8, address: &Address) -> Result<(), Refusal> {
        self.hop(via, |node, nonce| {
            let target = target(address.clone());
            async move {
                let request =
                    DeleteRequest { target, nonce, recursive: false, fresh_contexts: false };
                Ok(match node.delete(request).await? {
                    Reply::Redirect(redirect) => Reply::Redirect(redirect),
                    Reply::Served(_) => Reply::Served(()),
                })
            }
        })
    }

    fn hop<T, F>(&mut self, via: u8, ask: impl Fn(Node, Option<Nonce>) -> F) -> Result<T, Refusal>
    where
        T: Send + 'static,
        F: Future<Output = Result<Reply<T>, Refusal>> + Send + 'static,
    {
        let (mut at, mut nonce) = (via, None);
        for _ in 0..6 {
            let node = self.node(at);
            match self.on(at, ask(node, nonce))? {
                Reply::Served(reply) => return Ok(reply),
                Reply::Redirect(redirect) => {
                    (at, nonce) = (redirect.node.0.octets()[3], Some(redirect.nonce));
                }
            }
        }
        panic!("more than five redirects");
    }
}

/// The address of an unnamed object.
pub(crate) fn by_uuid(reply: &WriteReply) -> Address {
    Address::Unnamed(reply.uuid.unwrap_or(Uuid::ROOT))
}
