//! Real files, a real database, and a process that is killed while it writes: nothing it acknowledged is lost.
//!
//! The test starts its own binary again as the process to be killed. `SWARM_STORE_KILLS` says how often, 10 unless set.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use swarm_env::live::LiveHost;
use swarm_store::{FormatOptions, MountError, RecordState, Tombstone, Volume};
use swarm_types::{ObjectKind, Timestamp};

use crate::kit::live::{disk_id, on_host};
use crate::kit::{body, check_space, cluster, id, meta, mix, options, put, read, stamp};

const FOLDER: &str = "SWARM_STORE_KILL_FOLDER";
const WRITERS: u8 = 8;
const IDS_PER_WRITER: u8 = 4;

/// What was acknowledged last of each stream: the version, and the length of its body or `None` for a tombstone.
type Acknowledged = BTreeMap<u8, (u64, Option<usize>)>;

async fn open(host: &LiveHost) -> Volume {
    let env = host.env();
    let disk = env.disks().open(&disk_id()).await.unwrap();
    match Volume::mount(env, disk.clone(), options()).await {
        Ok((volume, _)) => volume,
        Err(MountError::Blank) => {
            Volume::format(env, &disk, FormatOptions { cluster: cluster() }).await.unwrap();
            Volume::mount(env, disk, options()).await.unwrap().0
        }
        Err(error) => panic!("{error}: {error:?}"),
    }
}

/// What version `version` of a stream is: mostly small bodies, some long ones, some deletes.
fn shape(number: u8, version: u64) -> Option<usize> {
    let draw = usize::try_from(mix(u64::from(number) << 40 | version) % 100_000).unwrap();
    match draw % 20 {
        0 => None,
        1 => Some(4 * draw),
        _ => Some(draw / 8),
    }
}

/// The process to be killed: writes for ever and says what was acknowledged.
async fn write_for_ever(host: &LiveHost) {
    let volume = open(host).await;
    let newest = volume.records(None, 1000).iter().map(|record| record.stamp.version.0).max();
    let first = newest.unwrap_or(0) + 1;
    let writers = (0..WRITERS).map(|writer| {
        let volume = volume.clone();
        async move {
            for version in first.. {
                let number = writer * IDS_PER_WRITER
                    + u8::try_from(version % u64::from(IDS_PER_WRITER)).unwrap();
                match shape(number, version) {
                    Some(len) => drop(put(&volume, id(number), version, len).await.unwrap()),
                    None => {
                        let written = Timestamp(0);
                        let kind = ObjectKind::Named;
                        let tombstone = Tombstone::new(stamp(version), kind, written);
                        volume.bury(id(number), tombstone).await.unwrap();
                    }
                }
                // Not a line of the harness: it must go out at once and whole.
                let mut out = std::io::stdout();
                writeln!(out, "ack {number} {version} .").unwrap();
            }
        }
    });
    let defragmenter = async {
        loop {
            volume.defragment(1 << 20).await.unwrap();
        }
    };
    futures_util::future::join(futures_util::future::join_all(writers), defragmenter).await;
}

fn start(folder: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["kill::a_killed_process_loses_nothing_acknowledged", "--exact", "--nocapture"]);
    command.env(FOLDER, folder).stdout(Stdio::piped()).spawn().unwrap()
}

/// Reads what the process says, kills it after that many acknowledgements, and reads what it still had said.
fn kill_after(mut child: Child, count: usize, acknowledged: &mut Acknowledged) {
    let mut seen = 0;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // The test harness of the child writes its own words before the first.
        let Some(words) = line.find("ack ").and_then(|at| line[at + 4..].strip_suffix(" .")) else {
            continue;
        };
        let (number, version) = words.split_once(' ').unwrap();
        let (number, version) = (number.parse().unwrap(), version.parse().unwrap());
        acknowledged.insert(number, (version, shape(number, version)));
        seen += 1;
        if seen == count {
            child.kill().unwrap();
        }
    }
    assert!(seen >= count, "the child stopped by itself after {seen} writes");
    child.wait().unwrap();
}

async fn verify(host: LiveHost, acknowledged: &mut Acknowledged) {
    let volume = open(&host).await;
    check_space(&volume);
    for record in volume.records(None, 1000) {
        let number = record.id.as_bytes()[0];
        let version = record.stamp.version.0;
        let len = match &record.state {
            RecordState::Live { .. } => {
                let bytes = read(&volume, &record).await.unwrap();
                assert!(bytes == body(record.id, version, bytes.len()), "{number} has other bytes");
                assert_eq!(record.meta(), Some(&meta(version, bytes.len())));
                Some(bytes.len())
            }
            RecordState::Tombstone(_) => None,
        };
        assert_eq!(len, shape(number, version), "{number} version {version}");
    }
    for (number, (version, _)) in acknowledged.iter_mut() {
        let found = volume
            .find(id(*number))
            .unwrap_or_else(|| panic!("{number} version {version} is lost"));
        assert!(
            found.stamp >= stamp(*version),
            "{number} went back from {version} to {:?}",
            found.stamp
        );
        *version = found.stamp.version.0;
    }
    drop(volume);
    host.kill().await.unwrap();
}

#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        on_host(Path::new(&folder), async |host| write_for_ever(&host).await);
    }
    let kills = std::env::var("SWARM_STORE_KILLS").map_or(10, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::new();
    for round in 0..kills {
        let count = 5 + usize::try_from(mix(round) % 150).unwrap();
        kill_after(start(folder.path()), count, &mut acknowledged);
        on_host(folder.path(), async |host| verify(host, &mut acknowledged).await);
    }
    assert!(!acknowledged.is_empty());
}
