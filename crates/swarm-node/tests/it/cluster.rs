//! A small cluster for tests. Only this file knows how a world is built and how a request follows its redirects.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use swarm_env::{Bug, Env, PlantedBugs};
use swarm_node::api::{
    Address, BodyWish, DeleteRequest, DomainChoice, Nonce, ReadRequest, Refusal, Replicate, Reply,
    Target, WriteKind, WriteReply, WriteRequest,
};
use swarm_node::{Node, NodeConfig, NodeState, NodeStatus, RetireError, RetirePace, VolumeState};
use swarm_sim::{DiskModel, DiskNumber, HostId, Sim, SimHandle, SimOptions};
use swarm_store::{FormatOptions, Volume};
use swarm_types::{ClusterName, HeaderList, Uuid, VolumeId};

const DISK: u64 = 64 << 20;

type Slot = Arc<Mutex<Option<Node>>>;

/// What a cluster is made of.
pub(crate) struct Shape<'a> {
    pub(crate) nodes: u8,
    pub(crate) seed: u64,
    pub(crate) disks_per_node: u8,
    pub(crate) disk_bytes: u64,
    pub(crate) settings: &'a [(&'a str, &'a str)],
    /// `node.subcluster` of each node; none where there are fewer.
    pub(crate) subclusters: &'a [&'a str],
    pub(crate) planted: Vec<Bug>,
}

impl Shape<'_> {
    /// Nodes with one disk each and the usual settings.
    pub(crate) const fn of(nodes: u8, seed: u64) -> Self {
        Self {
            nodes,
            seed,
            disks_per_node: 1,
            disk_bytes: DISK,
            settings: &[],
            subclusters: &[],
            planted: Vec::new(),
        }
    }
}

/// A world with one cluster of nodes `1` to `n`.
pub(crate) struct Cluster {
    sim: Sim,
    harness: HostId,
    disks: Vec<DiskNumber>,
    client: Client,
}

/// Asks the nodes of a cluster from tasks of the harness. A request is carried out by the node that is asked, as the
/// front end's tasks would.
#[derive(Clone)]
pub(crate) struct Client {
    world: SimHandle,
    hosts: Arc<[HostId]>,
    slots: Arc<[Slot]>,
}

/// What a volume files under an id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Filed {
    pub(crate) id: Vec<u8>,
    /// Version and ETag.
    pub(crate) stamp: (u64, Vec<u8>),
    pub(crate) form: Form,
}

/// What there is of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Form {
    Sound,
    Quarantined,
    Tombstone,
}

/// A request that had no answer: a node died, or five redirects were not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost;

/// A write in a test: what, where to, how.
#[derive(Clone)]
pub(crate) struct Put {
    pub(crate) address: Address,
    pub(crate) kind: WriteKind,
    pub(crate) headers: HeaderList,
    pub(crate) replicate: Option<Replicate>,
    pub(crate) body: Bytes,
    /// How long the client takes between the first byte of the body and the rest.
    pub(crate) pause: Duration,
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
        pause: Duration::ZERO,
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
    pub(crate) fn into_put(mut self) -> Self {
        self.kind = WriteKind::Replace { or_create: false };
        self
    }
}

impl Cluster {
    /// Starts nodes and waits until each is `ok` and knows the others.
    pub(crate) fn of(nodes: u8, seed: u64) -> Self {
        Self::shaped(&Shape::of(nodes, seed))
    }

    /// The same with settings.
    pub(crate) fn with_settings(nodes: u8, seed: u64, settings: &[(&str, &str)]) -> Self {
        Self::shaped(&Shape { settings, ..Shape::of(nodes, seed) })
    }

    /// The same with other disks.
    pub(crate) fn shaped(shape: &Shape<'_>) -> Self {
        let planted = PlantedBugs::new(shape.planted.clone());
        let sim = Sim::new(SimOptions { planted, ..SimOptions::new(shape.seed) });
        let world = sim.handle();
        let harness = world.add_host("harness", Ipv4Addr::new(10, 250, 0, 1));
        let (mut hosts, mut disks, mut slots) = (Vec::new(), Vec::new(), Vec::new());
        for number in 1..=shape.nodes {
            let host =
                world.add_node(&format!("main/{number}"), Ipv4Addr::new(10, 1, 0, number), 1);
            for disk in 1..=shape.disks_per_node {
                let serial = format!("main/{number}/{disk}");
                let model = DiskModel::SSD;
                disks.push(world.add_disk(host, serial.as_str().into(), shape.disk_bytes, model));
            }
            let slot = Slot::default();
            let label = shape.subclusters.get(usize::from(number) - 1);
            let label = label.map(|label| ("node.subcluster", *label));
            let settings: Vec<_> = shape.settings.iter().copied().chain(label).collect();
            boot(&world, host, &slot, &settings);
            assert!(world.start(host).done(), "a node that was off starts");
            hosts.push(host);
            slots.push(slot);
        }
        let client = Client { world, hosts: hosts.into(), slots: slots.into() };
        let mut cluster = Self { sim, harness, disks, client };
        cluster.run_for(Duration::from_secs(2));
        for number in 1..=shape.nodes {
            let status = cluster.status(number);
            assert_eq!(status.state, NodeState::Ok);
            assert_eq!(status.members.len(), usize::from(shape.nodes) - 1);
        }
        cluster
    }

    /// The same with the domain `d` and its bucket `b`.
    pub(crate) fn with_bucket(nodes: u8, seed: u64) -> Self {
        Self::of(nodes, seed).and_bucket()
    }

    /// Creates the domain `d` and its bucket `b`.
    pub(crate) fn and_bucket(mut self) -> Self {
        self.put(1, &post(Address::Domain, b"")).expect("a domain");
        self.put(1, &post(Address::Bucket("b".to_owned()), b"")).expect("a bucket");
        self
    }

    pub(crate) fn run_for(&mut self, duration: Duration) {
        self.sim.run_for(duration).expect("the world goes on");
        assert_eq!(self.world().panics(), vec![]);
    }

    /// Runs something on the harness.
    pub(crate) fn block_on<T: Send + 'static>(
        &mut self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let output = self.sim.block_on(self.harness, work);
        assert_eq!(self.world().panics(), vec![]);
        output
    }

    /// The environment of the harness.
    pub(crate) fn env(&self) -> Env {
        self.world().env(self.harness)
    }

    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    pub(crate) fn world(&self) -> &SimHandle {
        &self.client.world
    }

    pub(crate) fn host(&self, number: u8) -> HostId {
        self.client.host(number)
    }

    /// The numbers of the nodes that stored replicas.
    pub(crate) fn holders(reply: &WriteReply) -> Vec<u8> {
        reply.replicas.iter().map(|replica| replica.node.0.octets()[3]).collect()
    }

    pub(crate) fn status(&self, number: u8) -> NodeStatus {
        self.client.node(number).expect("a node that was started").status()
    }

    pub(crate) fn power_off(&mut self, number: u8) {
        assert!(self.world().power_off(self.host(number)).done().is_some(), "it was on");
    }

    pub(crate) fn start(&mut self, number: u8) {
        assert!(self.world().start(self.host(number)).done(), "it was off");
        self.run_for(Duration::from_secs(2));
    }

    /// A disk, the first of a node being 0.
    pub(crate) fn disk(&self, number: u8, disk: usize) -> DiskNumber {
        self.disks[(usize::from(number) - 1) * (self.disks.len() / self.client.hosts.len()) + disk]
    }

    /// Takes a node down and brings it up again with its last disk formatted for another cluster.
    pub(crate) fn restart_with_a_strangers_disk(&mut self, number: u8) {
        self.power_off(number);
        let host = self.host(number);
        self.world().set_boot(host, |env| async move {
            let disk = env.disks().list().pop().expect("a disk");
            let disk = env.disks().open(&disk).await.expect("a working disk");
            let cluster = ClusterName::from("other");
            let formatted = Volume::format(&env, &disk, FormatOptions { cluster }).await;
            formatted.expect("a working disk");
        });
        self.start(number);
        self.power_off(number);
        boot(self.world(), host, &self.client.slots[usize::from(number) - 1], &[]);
        self.start(number);
    }

    /// What a node shows of itself, and then what each of the others shows of it.
    pub(crate) fn seen(&self, number: u8) -> Vec<NodeState> {
        let count = u8::try_from(self.client.hosts.len()).expect("few nodes");
        let own = self.status(number);
        let others = (1..=count).filter(|other| *other != number).map(|other| {
            let status = self.status(other);
            let known = status.members.into_iter().find(|(id, _)| *id == own.id);
            known.expect("every node knows every other").1
        });
        std::iter::once(own.state).chain(others).collect()
    }

    /// Retires a volume, the first of a node being 0.
    pub(crate) fn retire(&mut self, number: u8, volume: usize) -> Result<VolumeState, RetireError> {
        let id = self.volume(number, volume);
        self.on(number, move |node| async move { node.retire(id, RetirePace::Slow).await })
    }

    /// Puts a retiring volume back into service.
    pub(crate) fn cancel_retire(
        &mut self,
        number: u8,
        volume: usize,
    ) -> Result<VolumeState, RetireError> {
        let id = self.volume(number, volume);
        self.on(number, move |node| async move { node.cancel_retire(id).await })
    }

    fn volume(&self, number: u8, volume: usize) -> VolumeId {
        self.status(number).volumes[volume].id.expect("a volume that was mounted")
    }

    /// Runs something on a node.
    pub(crate) fn on<T, F>(
        &mut self,
        number: u8,
        work: impl FnOnce(Node) -> F + Send + 'static,
    ) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let client = self.client();
        self.block_on(async move { client.on(number, work).await }).expect("the node lived on")
    }

    /// Takes a node down, erases its disks and brings it up again.
    pub(crate) fn wipe(&mut self, number: u8) {
        self.power_off(number);
        assert!(self.world().wipe(self.host(number)).done() > 0, "there was something to erase");
        self.start(number);
    }

    /// What the indexes of a node's volumes file.
    pub(crate) fn filed(&self, number: u8) -> Vec<Filed> {
        let per_node = self.disks.len() / self.client.hosts.len();
        let disks = self.disks.iter().skip((usize::from(number) - 1) * per_node).take(per_node);
        let entries = disks.flat_map(|disk| self.world().index(*disk));
        // Where these stand is told in the store's `record.rs`.
        let form = |value: &[u8]| match (value[0], value.get(53)) {
            (1, Some(flags)) if flags & 1 == 0 => Form::Sound,
            (1, _) => Form::Quarantined,
            _ => Form::Tombstone,
        };
        let stamp = |value: &[u8]| {
            let version = value[1..9].try_into().expect("eight bytes");
            (u64::from_le_bytes(version), value[9..25].to_vec())
        };
        entries
            .filter(|(key, _)| key.len() == 16)
            .map(|(id, value)| Filed { id, stamp: stamp(&value), form: form(&value) })
            .collect()
    }

    /// Damages every block of a node's disks that holds data.
    pub(crate) fn rot_all(&mut self, number: u8) {
        let disks = self.disks.len() / self.client.hosts.len();
        for disk in self.disks.iter().skip((usize::from(number) - 1) * disks).take(disks) {
            let (_, ranges) = self.world().rot(*disk, 1_000_000).done();
            assert!(!ranges.is_empty(), "there was something to damage");
        }
    }

    pub(crate) fn stop(&mut self, number: u8) {
        let client = self.client();
        let stopped = self.block_on(async move {
            client.on(number, |node| async move { node.stop().await }).await
        });
        assert_eq!(stopped, Ok(()));
        assert!(self.world().kill(self.host(number)).done().is_some(), "it was on");
    }

    /// Writes through a node, following redirects.
    pub(crate) fn put(&mut self, via: u8, put: &Put) -> Result<WriteReply, Refusal> {
        let (client, put) = (self.client(), put.clone());
        self.block_on(async move { client.put(via, &put).await }).expect("the nodes lived on")
    }

    /// Reads through a node, following redirects; the whole body.
    pub(crate) fn get(&mut self, via: u8, address: &Address) -> Result<Bytes, Refusal> {
        let (client, address) = (self.client(), address.clone());
        self.block_on(async move { client.get(via, &address).await }).expect("the nodes lived on")
    }

    /// Deletes through a node, following redirects.
    pub(crate) fn delete(&mut self, via: u8, address: &Address) -> Result<(), Refusal> {
        let (client, address) = (self.client(), address.clone());
        self.block_on(async move { client.delete(via, &address).await })
            .expect("the nodes lived on")
    }
}

fn boot(world: &SimHandle, host: HostId, slot: &Slot, settings: &[(&str, &str)]) {
    let settings: BTreeMap<String, String> =
        settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mine = Arc::clone(slot);
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
}

impl Client {
    pub(crate) fn host(&self, number: u8) -> HostId {
        self.hosts[usize::from(number) - 1]
    }

    /// The node, if it was started and not ended by [`Client::power_off`].
    pub(crate) fn node(&self, number: u8) -> Option<Node> {
        self.slots[usize::from(number) - 1].lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the power from a node.
    pub(crate) async fn power_off(&self, number: u8) {
        let ended = self.world.power_off(self.host(number)).await;
        assert!(ended.is_some(), "it was on");
        self.forget(number);
    }

    /// Ends the process of a node.
    pub(crate) async fn kill(&self, number: u8) {
        let ended = self.world.kill(self.host(number)).await;
        assert!(ended.is_some(), "it was on");
        self.forget(number);
    }

    /// Lets go of a node whose process has ended.
    pub(crate) fn forget(&self, number: u8) {
        let node = self.slots[usize::from(number) - 1]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(node);
    }

    /// Starts a node; returns at once.
    pub(crate) async fn start(&self, number: u8) {
        assert!(self.world.start(self.host(number)).await, "it was off");
    }

    /// Runs something on a node.
    pub(crate) async fn on<T, F>(&self, number: u8, work: impl FnOnce(Node) -> F) -> Result<T, Lost>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let node = self.node(number).ok_or(Lost)?;
        self.world.spawn_on(self.host(number), "test", work(node)).await.ok_or(Lost)
    }

    pub(crate) async fn put(
        &self,
        via: u8,
        put: &Put,
    ) -> Result<Result<WriteReply, Refusal>, Lost> {
        self.hop(via, |node, nonce| write(node, nonce, put.clone())).await
    }

    pub(crate) async fn get(
        &self,
        via: u8,
        address: &Address,
    ) -> Result<Result<Bytes, Refusal>, Lost> {
        self.hop(via, |node, nonce| read(node, nonce, address.clone())).await
    }

    pub(crate) async fn delete(
        &self,
        via: u8,
        address: &Address,
    ) -> Result<Result<(), Refusal>, Lost> {
        self.hop(via, |node, nonce| delete(node, nonce, address.clone())).await
    }

    /// Asks a node, and follows its redirects.
    pub(crate) async fn hop<T, F>(
        &self,
        via: u8,
        ask: impl Fn(Node, Option<Nonce>) -> F,
    ) -> Result<Result<T, Refusal>, Lost>
    where
        T: Send + 'static,
        F: Future<Output = Result<Reply<T>, Refusal>> + Send + 'static,
    {
        let (mut at, mut nonce) = (via, None);
        for _ in 0..6 {
            match self.on(at, |node| ask(node, nonce)).await? {
                Ok(Reply::Served(reply)) => return Ok(Ok(reply)),
                Ok(Reply::Redirect(redirect)) => {
                    (at, nonce) = (redirect.node.0.octets()[3], Some(redirect.nonce));
                }
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        // Only where the object moves faster than the client can follow.
        Err(Lost)
    }
}

async fn write(node: Node, nonce: Option<Nonce>, put: Put) -> Result<Reply<WriteReply>, Refusal> {
    let request = WriteRequest {
        target: target(put.address),
        kind: put.kind,
        nonce,
        headers: put.headers,
        length: put.body.len() as u64,
        if_match: None,
        replicate: put.replicate,
        owner: None,
        fresh_contexts: false,
    };
    let mut session = match node.begin_write(request).await? {
        Reply::Redirect(redirect) => return Ok(Reply::Redirect(redirect)),
        Reply::Served(session) => session,
    };
    while session.take_over().await?.is_some() {}
    for (index, piece) in put.body.chunks(10_000).enumerate() {
        if index == 0 && !put.pause.is_zero() {
            node.env().sleep(put.pause).await;
        }
        session.write(Bytes::copy_from_slice(piece)).await?;
    }
    session.finish().await.map(Reply::Served)
}

async fn read(node: Node, nonce: Option<Nonce>, address: Address) -> Result<Reply<Bytes>, Refusal> {
    let target = target(address);
    let request = ReadRequest { target, nonce, body: BodyWish::Body, fresh_contexts: false };
    let reply = match node.read(request).await? {
        Reply::Redirect(redirect) => return Ok(Reply::Redirect(redirect)),
        Reply::Served(reply) => reply,
    };
    let (mut body, mut bytes) = (reply.body.expect("asked for"), Vec::new());
    while let Some(piece) = body.next().await.expect("an intact replica") {
        bytes.extend_from_slice(&piece);
    }
    assert_eq!(bytes.len() as u64, reply.meta.length);
    Ok(Reply::Served(Bytes::from(bytes)))
}

async fn delete(node: Node, nonce: Option<Nonce>, address: Address) -> Result<Reply<()>, Refusal> {
    let recursive = matches!(address, Address::Domain | Address::Bucket(_));
    let target = target(address);
    let request = DeleteRequest { target, nonce, recursive, fresh_contexts: false };
    Ok(match node.delete(request).await? {
        Reply::Redirect(redirect) => Reply::Redirect(redirect),
        Reply::Served(_) => Reply::Served(()),
    })
}

/// The address of an unnamed object.
pub(crate) fn by_uuid(reply: &WriteReply) -> Address {
    Address::Unnamed(reply.uuid.unwrap_or(Uuid::ROOT))
}
