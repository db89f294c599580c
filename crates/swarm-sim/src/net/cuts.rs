//! Broken links: which hosts a fault separates, and what healing sets going again.

use crate::host::{HostId, HostLife};
use crate::kernel::State;
use crate::net::Side;

/// What a cut breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Breaks {
    /// Everything between its groups.
    Everything,
    /// Only what is sent from an earlier group to a later one.
    OneWay,
    /// Multicast to and from its hosts, whichever group they are in.
    Multicast,
}

/// A fault of the network.
pub(crate) struct Cut {
    /// Number of the fault.
    pub(crate) number: u64,
    breaks: Breaks,
    /// Group by host, from 1; 0 and beyond the end: not concerned.
    groups: Vec<u16>,
}

impl Cut {
    fn group(&self, host: HostId) -> u16 {
        self.groups.get(host.0 as usize).copied().unwrap_or(0)
    }

    fn separates(&self, from: HostId, to: HostId) -> bool {
        let (from, to) = (self.group(from), self.group(to));
        match self.breaks {
            _ if from == 0 || to == 0 => false,
            Breaks::Everything => from != to,
            Breaks::OneWay => from < to,
            Breaks::Multicast => false,
        }
    }
}

impl State {
    /// Begins a cut between these groups; its fault number.
    pub(crate) fn cut(&mut self, breaks: Breaks, groups: &[Vec<HostId>]) -> u64 {
        let mut by_host = vec![0; self.hosts.len()];
        for (group, hosts) in (1_u16..).zip(groups) {
            for host in hosts {
                by_host[host.0 as usize] = group;
            }
        }
        let number = self.new_fault(16 + breaks as u64, groups.len() as u64);
        self.net.cuts.push(Cut { number, breaks, groups: by_host });
        self.connections_may_be_broken();
        number
    }

    /// Undoes a fault of the network; false if there is none of this number in force.
    pub(crate) fn heal(&mut self, number: u64) -> bool {
        let Some(at) = self.net.cuts.iter().position(|cut| cut.number == number) else {
            return self.undo_degrade(number) || self.take_trap(number);
        };
        self.net.cuts.remove(at);
        let now = self.now;
        self.trace.record(now, crate::trace::Kind::Fault, number, 0, 0);
        self.connections_may_be_healed();
        true
    }

    /// The fault that keeps packets from one host from reaching another.
    pub(crate) fn blocked(&self, from: HostId, to: HostId) -> Option<u64> {
        if from == to {
            return None;
        }
        if let Some(cut) = self.net.cuts.iter().find(|cut| cut.separates(from, to)) {
            return Some(cut.number);
        }
        let target = self.host(to);
        (target.life == HostLife::Off && target.dark).then_some(target.off_fault)
    }

    /// The fault that keeps multicast from one host from reaching another.
    pub(crate) fn multicast_blocked(&self, from: HostId, to: HostId) -> Option<u64> {
        if from == to {
            return None;
        }
        let broken = self.net.cuts.iter().find(|cut| {
            cut.breaks == Breaks::Multicast && (cut.group(from) != 0 || cut.group(to) != 0)
        });
        broken.map(|cut| cut.number).or_else(|| self.blocked(from, to))
    }

    /// The fault that stalls one direction of a connection.
    pub(crate) fn stalled(&self, hosts: [HostId; 2], from: Side) -> Option<u64> {
        self.blocked(hosts[from.index()], hosts[from.other().index()])
    }
}
