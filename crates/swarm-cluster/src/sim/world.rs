//! The control surface over a simulation.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use swarm_env::{BoxFuture, Env};
use swarm_node::WeakNode;
use swarm_sim::{DiskImage, DiskNumber, HostId, HostLife, SimHandle};

use super::network;
use crate::control::{Action, Applied, Damage, DamageKind, Image, Life, NodePanic, World};
use crate::spec::{DiskRef, NodeRef};

/// One node of a simulated cluster.
pub(super) struct SimulatedNode {
    pub(super) reference: NodeRef,
    pub(super) host: HostId,
    pub(super) disks: Vec<(DiskRef, DiskNumber)>,
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
    damage: Mutex<Vec<Damage>>,
    /// Faults of the simulation behind an action, by the number of the action.
    faults: Mutex<BTreeMap<u64, Option<u64>>>,
}

impl SimWorld {
    pub(super) fn new(
        handle: SimHandle,
        env: Env,
        clients: Vec<(HostId, Env)>,
        nodes: Vec<SimulatedNode>,
    ) -> Self {
        let (client_hosts, clients) = clients.into_iter().unzip();
        Self {
            handle,
            env,
            clients,
            client_hosts,
            nodes,
            damage: Mutex::default(),
            faults: Mutex::default(),
        }
    }

    pub(super) fn node(&self, reference: &NodeRef) -> Result<&SimulatedNode, String> {
        self.nodes
            .iter()
            .find(|node| node.reference == *reference)
            .ok_or_else(|| format!("there is no node {reference}"))
    }

    fn disk(&self, reference: &DiskRef) -> Result<DiskNumber, String> {
        let node = self.node(&reference.node)?;
        let disk = node.disks.iter().find(|(disk, _)| disk == reference);
        disk.map(|(_, number)| *number).ok_or_else(|| format!("there is no disk {reference}"))
    }

    pub(super) fn hosts(&self, nodes: &[NodeRef]) -> Result<Vec<HostId>, String> {
        nodes.iter().map(|node| self.node(node).map(|node| node.host)).collect()
    }

    /// Carries out an action and returns the fault that counts its effects, if it has one.
    async fn carry_out(&self, action: Action) -> Result<Option<u64>, String> {
        match action {
            Action::Kill(node) => {
                let ended = self.handle.kill(self.node(&node)?.host).await;
                ended.map(Some).ok_or_else(|| format!("{node} is off already"))
            }
            Action::PowerOff(node) => {
                let ended = self.handle.power_off(self.node(&node)?.host).await;
                ended.map(Some).ok_or_else(|| format!("{node} is off already"))
            }
            Action::Stop(node) => self.stop(&node).await.map(Some),
            Action::Start(node) => {
                let started = self.handle.start(self.node(&node)?.host).await;
                if started { Ok(None) } else { Err(format!("{node} is running already")) }
            }
            Action::Pause(node) => {
                let paused = self.handle.pause(self.node(&node)?.host).await;
                paused.map(Some).ok_or_else(|| format!("{node} is not running"))
            }
            Action::Resume(node) => {
                let resumed = self.handle.resume(self.node(&node)?.host).await;
                if resumed { Ok(None) } else { Err(format!("{node} is not paused")) }
            }
            Action::Wipe(node) => self.wipe(&node).await.map(Some),
            Action::Cut(cut) => self.cut(cut).await.map(Some),
            Action::Degrade { ways, change } => self.degrade(ways, change).await.map(Some),
            Action::Forget(nodes) => self.forget(&nodes).await.map(Some),
            Action::Truncate { client, node, marker, at_byte, ending } => {
                let from = client.map(|client| self.client(client)).transpose()?;
                let to = node.map(|node| self.node(&node).map(|node| node.host)).transpose()?;
                let trap = network::truncation(from, to, marker, at_byte, ending);
                Ok(Some(self.handle.set_trap(trap).await))
            }
            Action::LoseReply { node, reply, ending } => {
                let trap = network::lost_reply(self.node(&node)?, reply, ending);
                Ok(Some(self.handle.set_trap(trap).await))
            }
            Action::Heal(number) => self.heal(number).await.map(|()| None),
            Action::Rot { disk, share_ppm } => {
                // Commands act before the next poll, so this is the very instant.
                let at = self.handle.now();
                let (fault, ranges) = self.handle.rot(self.disk(&disk)?, share_ppm).await;
                self.note_damage(Damage { at, disk, kind: DamageKind::Rot, ranges });
                Ok(Some(fault))
            }
            Action::Skew { node, offset_ns } => {
                Ok(Some(self.handle.skew(self.node(&node)?.host, offset_ns).await))
            }
            Action::Drift { node, ppm } => {
                Ok(Some(self.handle.drift(self.node(&node)?.host, ppm).await))
            }
            Action::StepClock { node, by_ns } => {
                Ok(Some(self.handle.step_clock(self.node(&node)?.host, by_ns).await))
            }
            Action::Skip(by) => {
                let stretch = self.handle.skip(by).await;
                let stretch = stretch.ok_or("a quiet stretch is being skipped already")?;
                self.env.sleep_until(stretch.until).await;
                Ok(Some(stretch.number))
            }
        }
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
        let fault = self.handle.wipe(node.host).await;
        for (disk, _) in &node.disks {
            self.note_damage(Damage {
                at,
                disk: disk.clone(),
                kind: DamageKind::Wiped,
                ranges: Vec::new(),
            });
        }
        Ok(fault)
    }

    async fn heal(&self, number: u64) -> Result<(), String> {
        let fault = self.faults().get(&number).copied().flatten();
        let fault =
            fault.ok_or_else(|| format!("action {number} is nothing that can be undone"))?;
        if self.handle.heal(fault).await {
            Ok(())
        } else {
            Err(format!("action {number} is undone already"))
        }
    }

    fn note_damage(&self, damage: Damage) {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).push(damage);
    }

    fn faults(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Option<u64>>> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reference(&self, host: HostId) -> Option<NodeRef> {
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
        self.node(node).map_or_else(
            |_| Vec::new(),
            |node| node.disks.iter().map(|(disk, _)| disk.clone()).collect(),
        )
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
            let fault = self.carry_out(action).await?;
            let mut faults = self.faults();
            let number = faults.last_key_value().map_or(1, |(last, _)| last + 1);
            faults.insert(number, fault);
            Ok(Applied { number, at: self.handle.now() })
        })
    }

    fn effects(&self, number: u64) -> u64 {
        let fault = self.faults().get(&number).copied().flatten();
        fault.map_or(0, |fault| self.handle.effects(fault))
    }

    fn damage(&self) -> Vec<Damage> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner).clone()
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

    fn image(&self, disk: &DiskRef) -> Box<dyn Image> {
        Box::new(Snapshot(self.handle.image(self.disk(disk).expect("a disk of World::disks"))))
    }

    fn index(&self, disk: &DiskRef) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        self.disk(disk).ok().map(|disk| self.handle.index(disk))
    }
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
