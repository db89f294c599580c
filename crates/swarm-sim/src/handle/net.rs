//! What a harness does to the network: ways that are broken or bad, messages that are cut short.

use super::{Command, SimHandle};
use crate::host::HostId;
use crate::net::cuts::Breaks;
use crate::net::traps::StreamTrap;
use crate::options::LinkChange;

impl SimHandle {
    /// Separates each of these groups of hosts from every other; hosts in no group reach everybody. The fault's number,
    /// which [`SimHandle::heal`] takes.
    pub fn cut(&self, groups: Vec<Vec<HostId>>) -> Command<u64> {
        self.with_state(move |state| state.cut(Breaks::Everything, &groups))
    }

    /// Loses what hosts of an earlier group send to hosts of a later one, but not the other way round.
    pub fn cut_one_way(&self, groups: Vec<Vec<HostId>>) -> Command<u64> {
        self.with_state(move |state| state.cut(Breaks::OneWay, &groups))
    }

    /// Loses all multicast from and to these hosts; unicast works.
    pub fn break_multicast(&self, hosts: Vec<HostId>) -> Command<u64> {
        self.with_state(move |state| state.cut(Breaks::Multicast, &[hosts]))
    }

    /// Undoes a fault of the network, of a disk or of a clock, or calls off a panic; false if there is none of this number
    /// in force.
    pub fn heal(&self, number: u64) -> Command<bool> {
        self.with_state(move |state| {
            state.heal(number)
                || state.heal_trouble(number)
                || state.mend_clock(number)
                || state.call_off_panic(number)
        })
    }

    /// Changes the ways from every host of the first to every host of the second, of each pair; the number of the fault.
    /// Its effects are what was lost, late or doubled for it.
    pub fn degrade(
        &self,
        ways: Vec<(Vec<HostId>, Vec<HostId>)>,
        change: LinkChange,
    ) -> Command<u64> {
        self.with_state(move |state| state.degrade(ways, change))
    }

    /// Makes the network forget every connection that exists between hosts of different groups: what is sent on it
    /// arrives nowhere, and its ends know nothing of that until they time out. New connections work. The number of the
    /// fault; its effects are messages not delivered and ends timed out.
    pub fn forget_connections(&self, groups: Vec<Vec<HostId>>) -> Command<u64> {
        self.with_state(move |state| state.forget_connections(&groups))
    }

    /// Waits for a message and loses the rest of it, once; [`SimHandle::heal`] takes the trap away. The number of the
    /// fault; its effect is the message.
    pub fn set_trap(&self, trap: StreamTrap) -> Command<u64> {
        self.with_state(move |state| state.set_trap(trap))
    }
}
