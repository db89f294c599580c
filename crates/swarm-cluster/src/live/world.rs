//! Live clusters under the control surface of [`World`]: what can be done to real processes, sockets and files.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use swarm_env::live::{HostSpec, LiveHost};
use swarm_env::{BoxFuture, Bug, Env, PlantedBugs};
use swarm_types::Instant;

use super::{FolderError, LiveCluster, LiveSpec, LiveWorld, UpError, lock};
use crate::{
    Action, Applied, Damage, DamageKind, DiskRef, Image, Life, NodePanic, NodeRef, World, WorldSpec,
};

/// SCSP port of all live clusters of a world; they differ in their addresses.
const PORT: u16 = 8080;
/// Worlds take blocks of 256 loopback addresses from here on, far from where users put theirs.
const FIRST: Ipv4Addr = Ipv4Addr::new(127, 128, 0, 11);
/// Blocks to choose from.
const BLOCKS: u32 = 16_384;
/// Clusters begin at addresses this far apart, or further where they have more nodes.
const ADDRESS_STEP: u32 = 10;
/// The grain in which disks are damaged and compared, bytes.
const BLOCK: usize = 4096;
/// Bytes of a disk's file read at a time.
const CHUNK: usize = 1 << 20;

/// Live clusters side by side, in temporary folders.
pub struct LiveClusters {
    harness: LiveHost,
    clients: Vec<Env>,
    clusters: BTreeMap<String, LiveCluster>,
    books: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    /// Outcomes changed by each action, by its number.
    effects: Vec<u64>,
    damage: Vec<Damage>,
}

impl LiveClusters {
    /// Starts the clusters of a world; ready when this returns. Its network, its disks' speed and its seed mean nothing
    /// here: they are what the machine has.
    ///
    /// # Errors
    /// See [`UpError`].
    pub async fn start(
        runtime: &tokio::runtime::Handle,
        spec: &WorldSpec,
    ) -> Result<Self, UpError> {
        let world = LiveWorld::with_planted(runtime.clone(), planted(&spec.planted)?);
        let outside = |name: String| {
            world.host(HostSpec { name, ip: Ipv4Addr::LOCALHOST, disks: Vec::new() })
        };
        let harness = outside("harness".to_owned());
        let clients = (1..=spec.client_hosts)
            .map(|nth| outside(format!("client/{nth}")).env().clone())
            .collect();
        let mut clusters = BTreeMap::new();
        let mut address = first_address();
        for (name, cluster) in &spec.clusters {
            let live = LiveSpec {
                name: name.clone(),
                nodes: cluster.nodes,
                address: Ipv4Addr::from(address),
                port: PORT,
                volumes_per_node: cluster.volumes_per_node,
                volume_size: cluster.volume_size,
                folder: None,
                apart: true,
                settings: cluster.settings.clone(),
                node_settings: cluster.node_settings.clone(),
            };
            address += cluster.nodes.next_multiple_of(ADDRESS_STEP);
            let running = LiveCluster::start(&world, live).await?;
            for (node, clock) in &cluster.clocks {
                let node = NodeRef { cluster: name.clone(), node: *node };
                running.skew(&node, clock.offset_ns);
            }
            clusters.insert(name.clone(), running);
        }
        Ok(Self { harness, clients, clusters, books: Mutex::default() })
    }

    /// Stops all clusters and removes their folders.
    ///
    /// # Errors
    /// If a folder cannot be removed.
    pub async fn stop(self) -> Result<(), FolderError> {
        for (_, cluster) in self.clusters {
            cluster.stop().await?;
        }
        Ok(())
    }

    /// Stops all nodes, whoever else still holds this; the folders go with it.
    pub async fn stop_nodes(&self) {
        for cluster in self.clusters.values() {
            join_all(cluster.nodes().iter().map(|node| cluster.stop_node(node))).await;
        }
    }

    fn of(&self, node: &NodeRef) -> Result<&LiveCluster, String> {
        let cluster =
            self.clusters.get(&node.cluster).filter(|cluster| cluster.place(node).is_some());
        cluster.ok_or_else(|| format!("there is no node {node}"))
    }

    fn disk_file(&self, disk: &DiskRef) -> Result<PathBuf, String> {
        let cluster = self.of(&disk.node)?;
        let spec =
            cluster.disks(&disk.node).into_iter().find(|spec| *spec.id.0 == *disk.to_string());
        spec.map(|spec| spec.folder.join("volume.img"))
            .ok_or_else(|| format!("there is no disk {disk}"))
    }

    /// Carries out the action and returns how many outcomes it changed at once.
    async fn carry_out(&self, action: Action) -> Result<u64, String> {
        match action {
            Action::Kill(node) => must_run(self.of(&node)?.kill_node(&node).await, &node),
            Action::Stop(node) => must_run(self.of(&node)?.stop_node(&node).await, &node),
            Action::Start(node) => self
                .of(&node)?
                .start_node(node)
                .await
                .map(|()| 1)
                .map_err(|error| error.to_string()),
            Action::Wipe(node) => self.wipe(&node).await,
            Action::Rot { disk, share_ppm } => self.rot(disk, share_ppm).await,
            Action::PullDisk(disk) => self.pull(&disk),
            Action::InsertDisk { disk, into } if into == disk.node => self.insert(&disk),
            Action::InsertDisk { disk, .. } => {
                Err(format!("{disk} belongs to its own node in a live world"))
            }
            Action::ReplaceDisk(disk) => self.replace(&disk),
            Action::Skew { node, offset_ns } => {
                let skewed = self.of(&node)?.skew(&node, offset_ns);
                must_run(skewed, &node)
            }
            Action::Panic { .. } => {
                Err("a live node cannot be told where to panic; kill it".to_owned())
            }
            Action::PowerOff(_) => {
                Err("power cannot be cut in a live world; kill the node".to_owned())
            }
            Action::Pause(_) | Action::Resume(_) => {
                Err("nodes cannot be paused in a live world".to_owned())
            }
            Action::Cut(_)
            | Action::Heal(_)
            | Action::Degrade { .. }
            | Action::Forget(_)
            | Action::Truncate { .. }
            | Action::LoseReply { .. } => {
                Err("the network cannot be broken in a live world".to_owned())
            }
            Action::Drift { .. } | Action::StepClock { .. } => {
                Err("clocks can only be set off in a live world: neither drift nor step".to_owned())
            }
            Action::Unreadable { .. }
            | Action::DiskFault { .. }
            | Action::HealDisk(_)
            | Action::LoseIndex(_) => Err(
                "real disks do not fail when they are told to: they are pulled, replaced, wiped and rotten"
                    .to_owned(),
            ),
            Action::Skip(_) => Err("real time cannot be skipped".to_owned()),
        }
    }

    async fn wipe(&self, node: &NodeRef) -> Result<u64, String> {
        let cluster = self.of(node)?;
        cluster.kill_node(node).await;
        let (at, mut wiped) = (self.env().now(), 0);
        for (disk, spec) in (1..).zip(cluster.disks(node)) {
            match std::fs::remove_dir_all(&spec.folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(format!("{} cannot be removed: {error}", spec.folder.display()));
                }
                _ => wiped += 1,
            }
            let disk = DiskRef { node: node.clone(), disk };
            self.record(at, disk, DamageKind::Wiped, Vec::new());
        }
        Ok(wiped)
    }

    /// The folder of a disk, and where it is while the disk is pulled.
    fn bay(&self, disk: &DiskRef) -> Result<(PathBuf, PathBuf), String> {
        let mut folder = self.disk_file(disk)?;
        folder.pop();
        let pulled = folder.with_extension("pulled");
        Ok((folder, pulled))
    }

    fn pull(&self, disk: &DiskRef) -> Result<u64, String> {
        let (folder, pulled) = self.bay(disk)?;
        if pulled.exists() {
            return Err(format!("{disk} is not plugged in"));
        }
        moved(&folder, &pulled)
    }

    fn insert(&self, disk: &DiskRef) -> Result<u64, String> {
        let (folder, pulled) = self.bay(disk)?;
        if folder.exists() {
            return Err(format!("{disk} is plugged in already"));
        }
        moved(&pulled, &folder)
    }

    /// The blank disk has the name of the old one, which is gone for good.
    fn replace(&self, disk: &DiskRef) -> Result<u64, String> {
        let (folder, pulled) = self.bay(disk)?;
        self.pull(disk)?;
        std::fs::remove_dir_all(&pulled)
            .and_then(|()| std::fs::create_dir(&folder))
            .map_err(|error| format!("{}: {error}", folder.display()))?;
        self.record(self.env().now(), disk.clone(), DamageKind::Wiped, Vec::new());
        Ok(1)
    }

    async fn rot(&self, disk: DiskRef, share_ppm: u32) -> Result<u64, String> {
        let path = self.disk_file(&disk)?;
        let env = self.env().clone();
        let at = env.now();
        let dice = move || env.random_below("rot", 1_000_000);
        let rotten = self.env().offload("rot", move || rot_file(&path, share_ppm, dice)).await;
        let ranges =
            rotten.ok_or("the disk could not be damaged")?.map_err(|error| error.to_string())?;
        let effects = ranges.len() as u64;
        self.record(at, disk, DamageKind::Rot, ranges);
        Ok(effects)
    }

    fn record(&self, at: Instant, disk: DiskRef, kind: DamageKind, ranges: Vec<(u64, u64)>) {
        lock(&self.books).damage.push(Damage { at, disk, kind, ranges });
    }
}

/// Worlds of different processes, and those of one process, run side by side.
fn first_address() -> u32 {
    static WORLDS: AtomicU32 = AtomicU32::new(0);
    let world = std::process::id().wrapping_mul(8) + WORLDS.fetch_add(1, Ordering::Relaxed);
    u32::from(FIRST) + (world % BLOCKS) * 256
}

fn planted(names: &[String]) -> Result<PlantedBugs, UpError> {
    let bug = |name: &String| {
        Bug::from_name(name)
            .ok_or_else(|| UpError::Spec { why: format!("no bug is called '{name}'") })
    };
    if !names.is_empty() && !PlantedBugs::POSSIBLE {
        return Err(UpError::Spec { why: "this build cannot plant bugs".to_owned() });
    }
    names.iter().map(bug).collect::<Result<Vec<_>, _>>().map(PlantedBugs::new)
}

fn moved(from: &Path, to: &Path) -> Result<u64, String> {
    let moved = std::fs::rename(from, to);
    moved.map(|()| 1).map_err(|error| format!("{} cannot be moved: {error}", from.display()))
}

fn must_run(did: bool, node: &NodeRef) -> Result<u64, String> {
    if did { Ok(1) } else { Err(format!("{node} is off")) }
}

impl World for LiveClusters {
    fn env(&self) -> &Env {
        self.harness.env()
    }

    fn clients(&self) -> &[Env] {
        &self.clients
    }

    fn nodes(&self, cluster: &str) -> Vec<NodeRef> {
        self.clusters.get(cluster).map(LiveCluster::nodes).unwrap_or_default()
    }

    fn disks(&self, node: &NodeRef) -> Vec<DiskRef> {
        let count = self.of(node).map_or(0, |cluster| cluster.spec().volumes_per_node);
        let disks = (1..=count).map(|disk| DiskRef { node: node.clone(), disk });
        disks.filter(|disk| self.plugged_into(disk).is_some()).collect()
    }

    fn plugged_into(&self, disk: &DiskRef) -> Option<NodeRef> {
        let (_, pulled) = self.bay(disk).ok()?;
        (!pulled.exists()).then(|| disk.node.clone())
    }

    fn scsp(&self, node: &NodeRef) -> SocketAddr {
        self.of(node).map_or(NOWHERE, |cluster| cluster.scsp(node))
    }

    fn management(&self, node: &NodeRef) -> SocketAddr {
        self.of(node).map_or(NOWHERE, |cluster| cluster.management(node))
    }

    fn life(&self, node: &NodeRef) -> Life {
        let running = self.of(node).is_ok_and(|cluster| cluster.is_running(node));
        if running { Life::Running } else { Life::Off }
    }

    fn apply(&self, action: Action) -> BoxFuture<'_, Result<Applied, String>> {
        Box::pin(async move {
            let changed = self.carry_out(action).await?;
            let mut books = lock(&self.books);
            books.effects.push(changed);
            Ok(Applied { number: books.effects.len() as u64 - 1, at: self.env().now() })
        })
    }

    fn effects(&self, number: u64) -> u64 {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        lock(&self.books).effects.get(index).copied().unwrap_or(0)
    }

    fn damage(&self) -> Vec<Damage> {
        lock(&self.books).damage.clone()
    }

    fn panics(&self) -> Vec<NodePanic> {
        let mut panics: Vec<NodePanic> =
            self.clusters.values().flat_map(LiveCluster::panics).collect();
        panics.sort_by_key(|panic| panic.at);
        panics
    }

    fn image(&self, disk: &DiskRef) -> Box<dyn Image> {
        let image = self.disk_file(disk).and_then(|path| {
            Snapshot::of(&path).map_err(|error| format!("{}: {error}", path.display()))
        });
        Box::new(image.unwrap_or_else(|why| {
            tracing::warn!(%disk, why, "a disk cannot be read; it is shown as blank");
            Snapshot::default()
        }))
    }

    fn peek(&self, disk: &DiskRef, offset: u64, out: &mut [u8]) {
        out.fill(0);
        let read = self.disk_file(disk).and_then(|path| {
            let read = File::open(&path).and_then(|file| read_until_end(&file, offset, out));
            read.map_err(|error| format!("{}: {error}", path.display()))
        });
        if let Err(why) = read {
            tracing::warn!(%disk, why, "a disk cannot be read; it is shown as blank");
            out.fill(0);
        }
    }

    fn index(&self, _: &DiskRef) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        // The database belongs to the running node.
        None
    }
}

/// Address of a node that does not exist: nothing listens there.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The blocks of a disk that are not all zeros.
#[derive(Default)]
struct Snapshot {
    length: u64,
    blocks: BTreeMap<u64, Box<[u8]>>,
}

impl Snapshot {
    fn of(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let mut blocks = BTreeMap::new();
        for_each_block(&file, length, |at, block| {
            blocks.insert(at, block.into());
        })?;
        Ok(Self { length, blocks })
    }
}

impl Image for Snapshot {
    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, offset: u64, out: &mut [u8]) {
        out.fill(0);
        let end = offset + out.len() as u64;
        let first = offset - offset % BLOCK as u64;
        for (at, block) in self.blocks.range(first..end) {
            let from = offset.max(*at);
            let until = end.min(at + block.len() as u64);
            let within =
                |place: u64, base: u64| usize::try_from(place - base).unwrap_or(usize::MAX);
            out[within(from, offset)..within(until, offset)]
                .copy_from_slice(&block[within(from, *at)..within(until, *at)]);
        }
    }
}

/// Fills as much as the file has from this place on.
fn read_until_end(file: &File, offset: u64, out: &mut [u8]) -> io::Result<()> {
    let mut done = 0;
    while done < out.len() {
        match file.read_at(&mut out[done..], offset + done as u64)? {
            0 => break,
            read => done += read,
        }
    }
    Ok(())
}

/// Calls with every block of the file that is not all zeros, and where it begins.
fn for_each_block(file: &File, length: u64, mut found: impl FnMut(u64, &[u8])) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    while at < length {
        let wanted = usize::try_from(length - at).map_or(CHUNK, |left| left.min(CHUNK));
        let read = file.read_at(&mut chunk[..wanted], at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (nth, block) in chunk[..read].chunks(BLOCK).enumerate() {
            if block.iter().any(|byte| *byte != 0) {
                found(at + (nth * BLOCK) as u64, block);
            }
        }
        at += read as u64;
    }
    Ok(())
}

/// Flips a bit in the drawn share of the blocks that hold data, at least in one; returns the damaged ranges.
fn rot_file(
    path: &Path,
    share_ppm: u32,
    mut below_a_million: impl FnMut() -> u64,
) -> io::Result<Vec<(u64, u64)>> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut holding = Vec::new();
    for_each_block(&file, file.metadata()?.len(), |at, _| holding.push(at))?;
    let mut chosen: Vec<u64> =
        holding.iter().copied().filter(|_| below_a_million() < u64::from(share_ppm)).collect();
    if chosen.is_empty() && !holding.is_empty() {
        let drawn = below_a_million() * holding.len() as u64 / 1_000_000;
        chosen.extend(usize::try_from(drawn).ok().and_then(|drawn| holding.get(drawn)));
    }
    let mut ranges = Vec::new();
    for block in chosen {
        let at = block + below_a_million() % BLOCK as u64;
        let mut byte = [0];
        file.read_exact_at(&mut byte, at)?;
        byte[0] ^= 1 << (below_a_million() % 8);
        file.write_all_at(&byte, at)?;
        ranges.push((at, 1));
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn rot_changes_single_bits_of_blocks_that_hold_data() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let path = folder.path().join("volume.img");
        let mut bytes = vec![0; 64 * BLOCK];
        bytes[5 * BLOCK..9 * BLOCK].fill(0xaa);
        std::fs::write(&path, &bytes).expect("written");
        let drawn = Cell::new(0_u64);
        let dice = || {
            drawn.set((drawn.get() + 377_777) % 1_000_000);
            drawn.get()
        };
        let ranges = rot_file(&path, 0, dice).expect("damaged");
        assert_eq!(ranges.len(), 1, "at least one block rots");
        let all = rot_file(&path, 1_000_000, dice).expect("damaged");
        assert_eq!(all.len(), 4);
        let image = Snapshot::of(&path).expect("readable");
        let mut now = vec![0; bytes.len()];
        image.read(0, &mut now);
        let changed: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != now[*at]).collect();
        assert!((4..=5).contains(&changed.len()), "{changed:?}");
        assert!(changed.iter().all(|at| (5 * BLOCK..9 * BLOCK).contains(at)), "{changed:?}");
        let mut piece = [0; 16];
        image.read((9 * BLOCK - 8) as u64, &mut piece);
        assert_eq!(piece[..8], now[9 * BLOCK - 8..9 * BLOCK]);
        assert_eq!(piece[8..], [0; 8]);
    }
}
