//! No submit is acknowledged before a sync that covers it: told by a device that notes what it is asked, in order, and who
//! had been answered by then.

use std::net::Ipv4Addr;
use std::sync::Condvar;

use futures_util::FutureExt;
use tempfile::TempDir;
use tokio::runtime::Handle;

use super::super::{OpenDisk, open_image};
use super::*;
use crate::Disk;
use crate::live::{HostSpec, LiveDisk, LiveWorld};

/// What the device was asked, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// To write at this offset.
    Write(u64),
    /// To sync, and how that ended.
    Sync {
        succeeded: bool,
    },
    Unlock,
}

#[derive(Default)]
struct Noted {
    asked: Vec<Asked>,
    /// Submits that are not answered yet, as far as was looked.
    waiting: Vec<Answer>,
    /// Answers in the order they were seen, with the number of things that the device had been asked by then.
    answered: Vec<(u64, usize, Result<(), String>)>,
    /// Syncs do not come to their end while this is set.
    held: bool,
    /// The next syncs that are to fail.
    failing_syncs: u32,
    /// The next write at this offset fails.
    failing_write: Option<u64>,
}

/// The answer to the submit that writes at this offset.
struct Answer {
    at: u64,
    outcome: oneshot::Receiver<io::Result<()>>,
}

impl Noted {
    /// Looks who has been answered.
    fn look(&mut self) {
        let asked = self.asked.len();
        let (answered, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition::<Vec<_>, _>(|answer| {
                !answer.outcome.is_empty() || answer.outcome.is_terminated()
            });
        self.waiting = waiting;
        for mut answer in answered {
            let outcome = answer.outcome.try_recv().expect("everybody is answered");
            self.answered.push((answer.at, asked, outcome.map_err(|error| error.to_string())));
        }
    }
}

/// Keeps no bytes: who reads is served by the file.
#[derive(Default)]
struct Recorder {
    noted: Mutex<Noted>,
    changed: Condvar,
}

impl Recorder {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().expect("no test panics while it holds this")
    }

    fn hold_syncs(&self, held: bool) {
        self.noted().held = held;
        self.changed.notify_all();
    }
}

impl Device for Recorder {
    fn write_all_at(&self, _: &[u8], at: u64) -> io::Result<()> {
        let mut noted = self.noted();
        noted.look();
        noted.asked.push(Asked::Write(at));
        if noted.failing_write.take_if(|failing| *failing == at).is_some() {
            return Err(io::Error::other("no such sector"));
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut noted =
            self.changed.wait_while(self.noted(), |noted| noted.held).expect("no test panics");
        noted.look();
        let succeeded = noted.failing_syncs == 0;
        noted.failing_syncs = noted.failing_syncs.saturating_sub(1);
        noted.asked.push(Asked::Sync { succeeded });
        if succeeded { Ok(()) } else { Err(io::Error::other("the device said no")) }
    }

    fn unlock(&self) -> io::Result<()> {
        self.noted().asked.push(Asked::Unlock);
        Ok(())
    }
}

/// A writer without a thread: it serves when it is told to.
struct Desk {
    device: Arc<Recorder>,
    writer: Writer<Recorder>,
    waiting: Receiver<Job>,
}

impl Desk {
    fn new() -> Self {
        let (queue, waiting) = Queue::new();
        let (queue, device) = (Arc::new(queue), Arc::new(Recorder::default()));
        let (told, _) = watch::channel(Progress::default());
        let writer = Writer { device: Arc::clone(&device), queue, told, lost: false };
        Self { device, writer, waiting }
    }

    fn submit(&self, at: u64, sync: SyncMode) {
        let (done, outcome) = oneshot::channel();
        let job = Job { writes: vec![(at, Bytes::from_static(b"x"))], sync, done };
        self.writer.queue.submit(job).expect("there is room");
        self.device.noted().waiting.push(Answer { at, outcome });
    }

    /// Serves one group of what waits.
    fn serve(&mut self) {
        let first = self.waiting.recv().expect("somebody waits");
        self.writer.serve(first, &self.waiting);
        self.device.noted().look();
    }

    fn asked(&self) -> Vec<Asked> {
        self.device.noted().asked.clone()
    }

    fn syncs(&self) -> usize {
        self.asked().iter().filter(|asked| matches!(asked, Asked::Sync { .. })).count()
    }

    /// What was answered to the submit at `at`, and how much the device had been asked by then.
    fn answer(&self, at: u64) -> (usize, Result<(), String>) {
        let noted = self.device.noted();
        let found = noted.answered.iter().find(|(of, ..)| *of == at);
        let (_, asked, outcome) = found.unwrap_or_else(|| panic!("{at} was not answered"));
        (*asked, outcome.clone())
    }
}

const SYNCED: Asked = Asked::Sync { succeeded: true };

#[test]
fn nobody_who_asked_for_durability_is_answered_before_the_sync() {
    let mut desk = Desk::new();
    desk.submit(10, SyncMode::Sync);
    desk.submit(20, SyncMode::NoSync);
    desk.submit(30, SyncMode::Sync);
    desk.serve();
    let order = [Asked::Write(10), Asked::Write(20), Asked::Write(30), SYNCED];
    assert_eq!(desk.asked(), order);
    assert_eq!(desk.answer(20), (2, Ok(())), "who waits for no sync is answered once written");
    for at in [10, 30] {
        assert_eq!(desk.answer(at), (order.len(), Ok(())), "not before the sync");
    }
}

#[test]
fn without_anybody_who_asks_for_durability_nothing_is_synced() {
    let mut desk = Desk::new();
    desk.submit(10, SyncMode::NoSync);
    desk.serve();
    assert_eq!(desk.asked(), [Asked::Write(10)]);
    assert_eq!(desk.answer(10), (1, Ok(())));
}

#[test]
fn a_group_shares_one_sync_and_who_comes_after_it_has_another() {
    let mut desk = Desk::new();
    let in_the_first = u64::try_from(GROUP_MAX).expect("a small number");
    for at in 0..in_the_first + 5 {
        desk.submit(at, SyncMode::Sync);
    }
    desk.serve();
    assert_eq!(desk.syncs(), 1);
    assert_eq!(desk.device.noted().answered.len(), GROUP_MAX);
    desk.serve();
    assert_eq!(desk.syncs(), 2);
    for at in 0..in_the_first + 5 {
        let (asked, outcome) = desk.answer(at);
        assert_eq!(outcome, Ok(()));
        let covered = desk.asked()[..asked].iter().rposition(|asked| *asked == SYNCED);
        let written = desk.asked().iter().position(|asked| *asked == Asked::Write(at));
        assert!(covered > written && written.is_some(), "{at}: no sync between write and answer");
    }
}

#[test]
fn a_failed_sync_fails_everybody_whom_it_was_to_serve_and_everybody_later() {
    let mut desk = Desk::new();
    desk.submit(10, SyncMode::Sync);
    desk.serve();
    desk.device.noted().failing_syncs = 1;
    desk.submit(20, SyncMode::Sync);
    desk.submit(30, SyncMode::NoSync);
    desk.submit(40, SyncMode::Sync);
    desk.serve();
    assert_eq!(desk.answer(10).1, Ok(()), "it was durable before");
    assert_eq!(desk.answer(30).1, Ok(()), "it did not ask");
    for at in [20, 40] {
        assert_eq!(desk.answer(at).1, Err("the device said no".to_owned()));
    }
    // The device would say yes now, and the system may have forgotten what it owed: nobody believes it.
    let asked = desk.asked().len();
    desk.submit(50, SyncMode::Sync);
    desk.submit(60, SyncMode::NoSync);
    desk.serve();
    assert_eq!(desk.answer(50).1, Err("an earlier sync of this disk failed".to_owned()));
    assert_eq!(desk.answer(60).1, Ok(()));
    assert_eq!(desk.asked()[asked..], [Asked::Write(50), Asked::Write(60)]);
}

#[test]
fn a_failed_write_is_told_to_whoever_submitted_it_and_to_nobody_else() {
    let mut desk = Desk::new();
    desk.device.noted().failing_write = Some(20);
    for at in [10, 20, 30] {
        desk.submit(at, SyncMode::Sync);
    }
    desk.serve();
    assert_eq!(desk.answer(20).1, Err("no such sector".to_owned()));
    assert_eq!((desk.answer(10).1, desk.answer(30).1), (Ok(()), Ok(())));
    assert_eq!(desk.syncs(), 1);
}

/// The whole way of a submit: the disk as nodes have it, with its queue and its thread.
#[tokio::test(flavor = "multi_thread")]
async fn a_submit_to_a_live_disk_waits_for_its_sync() {
    let folder = TempDir::new().expect("a temporary folder");
    let spec = LiveDisk { id: "disk-1".into(), folder: folder.path().to_owned(), size: 1 << 20 };
    let of_host = HostSpec { name: "test/1".to_owned(), ip: Ipv4Addr::LOCALHOST, disks: vec![] };
    let host = LiveWorld::new(Handle::current()).host(of_host);
    let (image, capacity) = open_image(&spec.folder, spec.size).expect("a new disk");
    let device = Arc::new(Recorder::default());
    let (queue, mut progress) =
        start(&host.state, &spec.id, Arc::clone(&device)).expect("a thread");
    let disk = OpenDisk {
        host: Arc::clone(&host.state),
        spec,
        capacity,
        image: Arc::new(image),
        queue,
        progress: progress.clone(),
    };
    device.hold_syncs(true);
    let mut synced = disk.submit(vec![(0, Bytes::from_static(b"x"))], SyncMode::Sync);
    progress.wait_for(|progress| progress.applied == 1).await.expect("the thread lives");
    for _ in 0..10 {
        host.env().sleep(std::time::Duration::from_millis(1)).await;
        assert!((&mut synced).now_or_never().is_none(), "answered before the sync");
    }
    assert_eq!(device.noted().asked, [Asked::Write(0)]);
    device.hold_syncs(false);
    synced.await.expect("synced");
    assert_eq!(device.noted().asked, [Asked::Write(0), SYNCED]);
    device.noted().failing_syncs = 1;
    for why in ["the device said no", "an earlier sync of this disk failed"] {
        let failed = disk.submit(vec![(9, Bytes::from_static(b"y"))], SyncMode::Sync).await;
        assert_eq!(failed.expect_err("not durable").to_string(), why);
    }
    drop(disk);
    progress.wait_for(|progress| progress.closed).await.expect("it says so before it ends");
    assert_eq!(device.noted().asked.last(), Some(&Asked::Unlock));
}
