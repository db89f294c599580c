//! What befalls single connections: messages that are cut short, replies that are lost, connections that the network
//! forgets while both ends believe in them.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::host::HostId;
use crate::kernel::State;
use crate::net::Side;
use crate::slab::Key;
use crate::trace::Kind;

/// Waits for one message on a stream and loses the rest of it.
#[derive(Debug, Clone)]
pub struct StreamTrap {
    /// Whose bytes are lost; nobody named: anybody's.
    pub from: Vec<HostId>,
    /// To whom they were sent; nobody named: to anybody.
    pub to: Vec<HostId>,
    /// Which end of the connection says them.
    pub speaker: Speaker,
    /// The port that was connected to, if it matters.
    pub port: Option<u16>,
    /// Where the message begins.
    pub begins: Begins,
    /// Everything from this byte of it on is lost.
    pub at_byte: u64,
    /// What becomes of the connection.
    pub ending: StreamEnding,
}

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// Who connected.
    Opener,
    /// Who accepted.
    Accepter,
}

/// Where a message begins.
#[derive(Clone)]
pub enum Begins {
    /// With the first byte of a connection.
    Connection,
    /// With a write for which this holds.
    Write(WritePredicate),
}

/// Tells a write by its bytes, and by nothing else.
pub type WritePredicate = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

impl fmt::Debug for Begins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "Connection",
            Self::Write(_) => "Write",
        })
    }
}

/// What becomes of a connection on which bytes were lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamEnding {
    /// Both ends are reset, once the bytes before have arrived.
    Reset,
    /// Nothing of it is delivered any more and nobody is told; both ends time out after a minute.
    Silence,
}

/// A trap that is set.
pub(crate) struct Trap {
    number: u64,
    what: StreamTrap,
}

/// What a trap makes of one direction of a connection.
#[derive(Clone, Copy)]
pub(crate) struct Losing {
    /// Bytes that still go through.
    left: u64,
    number: u64,
    ending: StreamEnding,
    /// Bytes were lost.
    cut: bool,
}

impl Trap {
    fn springs(
        &self,
        hosts: [HostId; 2],
        port: u16,
        from: Side,
        first: bool,
        bytes: &[u8],
    ) -> bool {
        let speaker = match self.what.speaker {
            Speaker::Opener => Side::A,
            Speaker::Accepter => Side::B,
        };
        let named = |hosts: &[HostId], host| hosts.is_empty() || hosts.contains(&host);
        speaker == from
            && named(&self.what.from, hosts[from.index()])
            && named(&self.what.to, hosts[from.other().index()])
            && self.what.port.is_none_or(|wanted| wanted == port)
            && match &self.what.begins {
                Begins::Connection => first,
                Begins::Write(holds) => holds(bytes),
            }
    }
}

impl State {
    /// Sets a trap, for one message; its fault number.
    pub(crate) fn set_trap(&mut self, what: StreamTrap) -> u64 {
        let number = self.new_fault(40, what.at_byte);
        self.net.traps.push(Trap { number, what });
        number
    }

    /// Takes a trap away; false if it has sprung, or never was.
    pub(crate) fn take_trap(&mut self, number: u64) -> bool {
        let before = self.net.traps.len();
        self.net.traps.retain(|trap| trap.number != number);
        self.net.traps.len() < before
    }

    /// Lets these bytes of a connection spring a trap that waits for them.
    pub(crate) fn spring_trap(&mut self, key: Key, from: Side, bytes: &[u8]) {
        let Some(connection) = self.net.connections.get_mut(key) else { return };
        let (hosts, port) = (connection.hosts, connection.addresses[Side::B.index()].port());
        let way = &mut connection.ways[from.index()];
        let mut traps = self.net.traps.iter();
        let sprung = traps.position(|trap| trap.springs(hosts, port, from, !way.spoken, bytes));
        if let Some(at) = sprung.filter(|_| way.losing.is_none()) {
            let Trap { number, what } = self.net.traps.remove(at);
            way.losing =
                Some(Losing { left: what.at_byte, number, ending: what.ending, cut: false });
        }
    }

    /// What a trap leaves of these bytes, and how the connection ends if these are the first that are lost.
    pub(crate) fn lose(
        &mut self,
        key: Key,
        from: Side,
        mut bytes: Bytes,
    ) -> (Bytes, Option<StreamEnding>) {
        let connection = self.net.connections.get_mut(key);
        let losing = connection.and_then(|found| found.ways[from.index()].losing.as_mut());
        let Some(losing) = losing else { return (bytes, None) };
        let kept = usize::try_from(losing.left).unwrap_or(usize::MAX).min(bytes.len());
        losing.left -= kept as u64;
        let lost = bytes.split_off(kept);
        if lost.is_empty() || std::mem::replace(&mut losing.cut, true) {
            return (bytes, None);
        }
        let Losing { number, ending, .. } = *losing;
        self.bite(number, 1);
        self.trace.record(self.now, Kind::Fault, number, key.bits(), lost.len() as u64);
        (bytes, Some(ending))
    }

    /// Ends a connection whose bytes were cut short; what was kept of them is on the wire.
    pub(crate) fn end_cut_short(&mut self, key: Key, ending: StreamEnding) {
        match ending {
            StreamEnding::Reset => self.reset_both(key),
            StreamEnding::Silence => self.forget_connection(key, 0),
        }
    }

    /// The network forgets every connection between two hosts of different groups; its fault number.
    pub(crate) fn forget_connections(&mut self, groups: &[Vec<HostId>]) -> u64 {
        let number = self.new_fault(41, groups.len() as u64);
        let group = |host: HostId| groups.iter().position(|group| group.contains(&host));
        for key in self.net.connections.keys() {
            let Some(connection) = self.net.connections.get_mut(key) else { continue };
            let [a, b] = connection.hosts;
            if let (Some(a), Some(b)) = (group(a), group(b))
                && a != b
            {
                let ways = &mut connection.ways;
                let under_way: usize = ways.iter().map(|way| way.flying.len()).sum();
                ways.iter_mut().for_each(|way| way.flying.clear());
                self.bite(number, under_way as u64);
                self.forget_connection(key, number);
            }
        }
        number
    }
}
