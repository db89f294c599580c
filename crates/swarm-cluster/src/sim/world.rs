//! The control surface over a simulation.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use swarm_env::{BoxFuture, Env};
use swarm_node::WeakNode;
use swarm_sim::{DiskImage, HostId, HostLife, SimHandle};

use super::disks::SimulatedDisk;
use super::network;
use crate::control::{Action, Applied, Damage, DamageKind, Image, Life, NodePanic, World};
use crate::spec::{DiskRef, NodeRef};

/// One node of a simulated cluster.
pub(super) struct SimulatedNode {
    pub(super) reference: NodeRef,
    pub(super) host: HostId,
    /// The node of the present incarnation, which this does not keep alive.
    pub(super) running: Arc<Mutex<Option<WeakNode>>>,
    pub(super) scsp: SocketAddr,
    pub(super) management: SocketAddr,
}

/// See [`World`].
pub(super) struct SimWorld {
    pub(super) handle: SimHandle,
    env: Env,
    clients: Vec<Env>,
    pub(super) client_hosts: Vec<HostId>,
    pub(super) nodes: Vec<SimulatedNode>,
    /// Every disk that was ever delivered.
    pub(super) disks: Mutex<Vec<SimulatedDisk>>,
    pub(super) damage: Mutex<Vec<Damage>>,
    /// Faults of the simulation behind an action, by the number of the action.
    faults: Mutex<BTreeMap<u64, Vec<u64>>>,
    /// The zone of each cluster's hosts.
    zones: BTreeMap<String, u32>,
}

impl SimWorld {
    pub(super) fn new(
        handle: SimHandle,
        env: Env,
        clients: Vec<(HostId, Env)>,
        nodes: Vec<SimulatedNode>,
        disks: Vec<SimulatedDisk>,
        zones: BTreeMap<String, u32>,
    ) -> Self {
        let (client_hosts, clients) = clients.into_iter().unzip();
        Self {
            handle,
            env,
            clients,
            client_hosts,
            nodes,
            disks: Mutex::new(disks),
            damage: Mutex::default(),
            faults: Mutex::default(),
            zones,
        }
    }

    pub(super) fn node(&self, reference: &NodeRef) -> Result<&SimulatedNode, String> {
        self.nodes
            .iter()
            .find(|node| node.reference == *reference)
            .ok_or_else(|| format!("there is no node {reference}"))
    }

    pub(super) fn hosts(&self, nodes: &[NodeRef]) -> Result<Vec<HostId>, String> {
        nodes.iter().map(|node| self.node(node).map(|node| node.host)).collect()
    }

    /// Carries out an action and returns the faults that count its effects.
    async fn carry_out(&self, action: Action) -> Result<Vec<u64>, String> {
        let fault = match action {
            Action::Kill(node) => {
                let ended = self.handle.kill(self.node(&node)?.host).await;
                ended.ok_or_else(|| format!("{node} is off already"))?
            }
            Action::PowerOff(node) => {
                let ended = self.handle.power_off(self.node(&node)?.host).await;
                ended.ok_or_else(|| format!("{node} is off already"))?
            }
            Action::Stop(node) => self.stop(&node).await?,
            Action::Panic { node, point } => {
                self.handle.order_panic(self.node(&node)?.host, point).await
            }
            Action::Start(node) => {
                let started = self.handle.start(self.node(&node)?.host).await;
                return none_if(started, || format!("{node} is running already"));
            }
            Action::Pause(node) => {
                let paused = self.handle.pause(self.node(&node)?.host).await;
                paused.ok_or_else(|| format!("{node} is not running"))?
            }
            Action::Resume(node) => {
                let resumed = self.handle.resume(self.node(&node)?.host).await;
                return none_if(resumed, || format!("{node} is not paused"));
            }
            Action::Wipe(node) => self.wipe(&node).await?,
            Action::Cut(cut) => self.cut(cut).await?,
            Action::Degrade { ways, change } => self.degrade(ways, change).await?,
            Action::Forget(nodes) => self.forget(&nodes).await?,
            Action::Truncate { client, node, marker, at_byte, ending } => {
                let from = client.map(|client| self.client(client)).transpose()?;
                let to = node.map(|node| self.node(&node).map(|node| node.host)).transpose()?;
                let trap = network::truncation(from, to, marker, at_byte, ending);
                self.handle.set_trap(trap).await
            }
            Action::LoseReply { node, reply, ending } => {
                let trap = network::lost_reply(self.node(&node)?, reply, ending);
                self.handle.set_trap(trap).await
            }
            Action::Heal(number) => {
                self.heal(number).await?;
                return Ok(Vec::new());
            }
            Action::Skew { node, offset_ns } => {
                self.handle.skew(self.node(&node)?.host, offset_ns).await
            }
            Action::Drift { node, ppm } => self.handle.drift(self.node(&node)?.host, ppm).await,
            Action::StepClock { node, by_ns } => {
                self.handle.step_clock(self.node(&node)?.host, by_ns).await
            }
            Action::Skip(by) => {
                let stretch = self.handle.skip(by).await;
                let stretch = stretch.ok_or("a quiet stretch is being skipped already")?;
                self.env.sleep_until(stretch.until).await;
                stretch.number
            }
            Action::Rot { .. }
            | Action::Unreadable { .. }
            | Action::DiskFault { .. }
            | Action::HealDisk(_)
            | Action::PullDisk(_)
            | Action::InsertDisk { .. }
            | Action::ReplaceDisk(_)
            | Action::LoseIndex(_) => return self.disk_action(action).await,
        };
        Ok(vec![fault])
    }

    async fn stop(&self, reference: &NodeRef) -> Result<u64, String> {
        let node = self.node(reference)?;
        if self.handle.life(node.host) != HostLife::Running {
            return Err(format!("{reference} is not running"));
        }
        let running = node.running.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.handle
            .spawn_on(node.host, "stop", async move {
                if let Some(node) = running.as_ref().and_then(WeakNode::upgrade) {
                    node.stop().await;
                }
            })
            .await;
        // A node that was killed while it stopped is as good as stopped.
        let ended = self.handle.kill(node.host).await;
        ended.ok_or_else(|| format!("{reference} went off while it was stopping"))
    }

    async fn wipe(&self, reference: &NodeRef) -> Result<u64, String> {
        let node = self.node(reference)?;
        let at = self.handle.now();
        let disks = self.disks(reference);
        let fault = self.handle.wipe(node.host).await;
        for disk in disks {
            self.note_damage(Damage { at, disk, kind: DamageKind::Wiped, ranges: Vec::new() });
        }
        Ok(fault)
    }

    async fn heal(&self, number: u64) -> Result<(), String> {
        let faults = self.faults().get(&number).cloned().unwrap_or_default();
        if faults.is_empty() {
            return Err(format!("action {number} is nothing that can be undone"));
        }
        let mut healed = false;
        for fault in faults {
            healed |= self.handle.heal(fault).await;
        }
        if healed { Ok(()) } else { Err(format!("action {number} is undone already")) }
    }

    pub(super) fn note_damage(&self, damage: Damage) {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).push(damage);
    }

    fn faults(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Vec<u64>>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn reference(&self, host: HostId) -> Option<NodeRef> {
        self.nodes.iter().find(|node| node.host == host).map(|node| node.reference.clone())
    }
}

impl World for SimWorld {
    fn env(&self) -> &Env {
        &self.env
    }

    fn clients(&self) -> &[Env] {
        &self.clients
    }

    fn nodes(&self, cluster: &str) -> Vec<NodeRef> {
        let nodes = self.nodes.iter().map(|node| &node.reference);
        nodes.filter(|node| node.cluster == cluster).cloned().collect()
    }

    fn disks(&self, node: &NodeRef) -> Vec<DiskRef> {
        self.node(node).map_or_else(|_| Vec::new(), |node| self.plugged(node.host))
    }

    fn plugged_into(&self, disk: &DiskRef) -> Option<NodeRef> {
        let host = self.handle.plugged_into(self.disk(disk).ok()?)?;
        self.reference(host)
    }

    fn scsp(&self, node: &NodeRef) -> SocketAddr {
        self.node(node).expect("a node of World::nodes").scsp
    }

    fn management(&self, node: &NodeRef) -> SocketAddr {
        self.node(node).expect("a node of World::nodes").management
    }

    fn life(&self, node: &NodeRef) -> Life {
        match self.handle.life(self.node(node).expect("a node of World::nodes").host) {
            HostLife::Running => Life::Running,
            HostLife::Paused => Life::Paused,
            HostLife::Off => Life::Off,
        }
    }

    fn apply(&self, action: Action) -> BoxFuture<'_, Result<Applied, String>> {
        Box::pin(async move {
            let behind = self.carry_out(action).await?;
            let mut faults = self.faults();
            let number = faults.last_key_value().map_or(1, |(last, _)| last + 1);
            faults.insert(number, behind);
            Ok(Applied { number, at: self.handle.now() })
        })
    }

    fn effects(&self, number: u64) -> u64 {
        let faults = self.faults().get(&number).cloned().unwrap_or_default();
        faults.into_iter().map(|fault| self.handle.effects(fault)).sum()
    }

    fn damage(&self) -> Vec<Damage> {
        self.all_damage()
    }

    fn panics(&self) -> Vec<NodePanic> {
        let panics = self.handle.panics().into_iter();
        panics
            .filter_map(|panic| {
                let node = self.reference(panic.host)?;
                Some(NodePanic { node, at: panic.at, message: panic.message })
            })
            .collect()
    }

    fn tasks(&self, node: &NodeRef) -> Option<BTreeMap<&'static str, u64>> {
        self.node(node).ok().map(|node| self.handle.tasks(node.host))
    }

    fn carried(&self, from: &str, to: &str) -> Option<u64> {
        Some(self.handle.carried(*self.zones.get(from)?, *self.zones.get(to)?))
    }

    fn image(&self, disk: &DiskRef) -> Box<dyn Image> {
        Box::new(Snapshot(self.handle.image(self.disk(disk).expect("a disk of World::disks"))))
    }

    fn peek(&self, disk: &DiskRef, offset: u64, out: &mut [u8]) {
        self.handle.peek(self.disk(disk).expect("a disk of World::disks"), offset, out);
    }

    fn changes(&self, disk: &DiskRef) -> Option<u64> {
        self.disk(disk).ok().map(|disk| self.handle.changes(disk))
    }

    fn index(&self, disk: &DiskRef) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        self.disk(disk).ok().map(|disk| self.handle.index(disk))
    }
}

/// An action that counts no effects, if it was carried out.
fn none_if(done: bool, why: impl FnOnce() -> String) -> Result<Vec<u64>, String> {
    if done { Ok(Vec::new()) } else { Err(why()) }
}

struct Snapshot(DiskImage);

impl Image for Snapshot {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) {
        self.0.read(offset, out);
    }
}
