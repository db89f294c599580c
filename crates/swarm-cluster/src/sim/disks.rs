//! Faults of disks in a simulated world: which disks there are, where each is plugged in, and what is done to them.

use std::sync::{MutexGuard, PoisonError};

use swarm_sim::{DestructionKind, DiskModel, DiskNumber, DiskTrouble, HostId, SimHandle};

use super::world::SimWorld;
use crate::control::{Action, Damage, DamageKind, DiskFault};
use crate::spec::{DiskRef, NodeRef};

/// One disk that was delivered, wherever it is now.
pub(super) struct SimulatedDisk {
    pub(super) reference: DiskRef,
    pub(super) number: DiskNumber,
    pub(super) capacity: u64,
    pub(super) model: DiskModel,
}

impl SimulatedDisk {
    /// A blank disk in a node before the world runs.
    pub(super) fn deliver(
        handle: &SimHandle,
        host: HostId,
        reference: DiskRef,
        capacity: u64,
        model: DiskModel,
    ) -> Self {
        let id = reference.to_string().as_str().into();
        let number = handle.add_disk(host, id, capacity, model);
        Self { reference, number, capacity, model }
    }
}

impl SimWorld {
    fn table(&self) -> MutexGuard<'_, Vec<SimulatedDisk>> {
        self.disks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn disk(&self, reference: &DiskRef) -> Result<DiskNumber, String> {
        let table = self.table();
        let disk = table.iter().find(|disk| disk.reference == *reference);
        disk.map(|disk| disk.number).ok_or_else(|| format!("there is no disk {reference}"))
    }

    /// The disks in a host, in order.
    pub(super) fn plugged(&self, host: HostId) -> Vec<DiskRef> {
        let table = self.table();
        let mine = table.iter().filter(|disk| self.handle.plugged_into(disk.number) == Some(host));
        let mut references: Vec<DiskRef> = mine.map(|disk| disk.reference.clone()).collect();
        references.sort();
        references
    }

    /// Carries out an action on a disk and returns the faults that count its effects.
    pub(super) async fn disk_action(&self, action: Action) -> Result<Vec<u64>, String> {
        // Commands act before the next poll, so this is the very instant.
        let at = self.handle.now();
        let fault = match action {
            Action::Rot { disk, share_ppm } => {
                let (fault, ranges) = self.handle.rot(self.disk(&disk)?, share_ppm).await;
                self.note_damage(Damage { at, disk, kind: DamageKind::Rot, ranges });
                fault
            }
            Action::Unreadable { disk, share_ppm } => {
                let (fault, ranges) = self.handle.lose_sectors(self.disk(&disk)?, share_ppm).await;
                self.note_damage(Damage { at, disk, kind: DamageKind::Unreadable, ranges });
                fault
            }
            Action::DiskFault { disk, fault } => {
                self.handle.trouble_disk(self.disk(&disk)?, trouble(fault)).await
            }
            Action::HealDisk(disk) => {
                self.handle.heal_disk(self.disk(&disk)?).await;
                return Ok(Vec::new());
            }
            Action::PullDisk(disk) => self.pull(&disk).await?,
            Action::InsertDisk { disk, into } => {
                let (number, host) = (self.disk(&disk)?, self.node(&into)?.host);
                let inserted = self.handle.insert_disk(number, host).await;
                inserted.ok_or_else(|| format!("{disk} is plugged in already"))?
            }
            Action::ReplaceDisk(disk) => return self.replace(&disk).await,
            Action::LoseIndex(disk) => self.handle.lose_index(self.disk(&disk)?).await,
            other => return Err(format!("{other:?} is not done to a disk")),
        };
        Ok(vec![fault])
    }

    async fn pull(&self, disk: &DiskRef) -> Result<u64, String> {
        let pulled = self.handle.pull_disk(self.disk(disk)?).await;
        pulled.ok_or_else(|| format!("{disk} is not plugged in"))
    }

    /// Pulls a disk and delivers a blank one.
    async fn replace(&self, old: &DiskRef) -> Result<Vec<u64>, String> {
        let number = self.disk(old)?;
        let host = self.handle.plugged_into(number).and_then(|host| {
            let node = self.reference(host)?;
            Some((host, node))
        });
        let (host, node) = host.ok_or_else(|| format!("{old} is not plugged in"))?;
        let (reference, capacity, model) = self.next_disk(old, node)?;
        let pulled = self.pull(old).await?;
        let id = reference.to_string().as_str().into();
        let (number, delivered) = self.handle.deliver_disk(host, id, capacity, model).await;
        self.table().push(SimulatedDisk { reference, number, capacity, model });
        Ok(vec![pulled, delivered])
    }

    /// The name of the next disk that is delivered in a node, and what it is if it is of the make of `old`.
    fn next_disk(&self, old: &DiskRef, node: NodeRef) -> Result<(DiskRef, u64, DiskModel), String> {
        let table = self.table();
        let make = table.iter().find(|disk| disk.reference == *old);
        let make = make.ok_or_else(|| format!("there is no disk {old}"))?;
        let delivered = table.iter().filter(|disk| disk.reference.node == node);
        let last = delivered.map(|disk| disk.reference.disk).max().unwrap_or(0);
        Ok((DiskRef { node, disk: last + 1 }, make.capacity, make.model))
    }

    /// What actions have destroyed and what disks have destroyed by themselves, in order.
    pub(super) fn all_damage(&self) -> Vec<Damage> {
        let mut all = self.damage.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let table = self.table();
        for destruction in self.handle.destructions() {
            let disk = table.iter().find(|disk| disk.number == destruction.disk);
            let Some(disk) = disk.map(|disk| disk.reference.clone()) else { continue };
            let kind = match destruction.kind {
                DestructionKind::Unsynced => DamageKind::Unsynced,
                DestructionKind::Misdirected => DamageKind::Misdirected,
            };
            all.push(Damage { at: destruction.at, disk, kind, ranges: destruction.ranges });
        }
        all.sort_by_key(|damage| damage.at);
        all
    }
}

const fn trouble(fault: DiskFault) -> DiskTrouble {
    match fault {
        DiskFault::Slow { latency, bandwidth, over } => {
            DiskTrouble::Slow { request: latency, bandwidth, over }
        }
        DiskFault::Stalled => DiskTrouble::Stalled,
        DiskFault::FailReads { share_ppm } => DiskTrouble::FailingReads(share_ppm),
        DiskFault::FailWrites { share_ppm } => DiskTrouble::FailingWrites(share_ppm),
        DiskFault::FailSyncs { share_ppm } => DiskTrouble::FailingSyncs(share_ppm),
        DiskFault::LieAboutSyncs => DiskTrouble::LyingSyncs,
        DiskFault::Misdirect { share_ppm } => DiskTrouble::Misdirecting(share_ppm),
        DiskFault::ReadOnly => DiskTrouble::ReadOnly,
        DiskFault::Full { share_ppm } => DiskTrouble::Full(share_ppm),
    }
}
