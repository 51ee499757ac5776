//! What is taken on each host: running guests and promises. The one place that decides what counts.
//! Must not know what is asked for, beyond the guest that is being moved.

use std::collections::{BTreeMap, BTreeSet};

use crate::inventory::{Guest, Host, HostName, Inventory};
use crate::request::{Domain, Reservation};

/// CPUs and memory together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) cores: u64,
    pub(crate) memory: u64,
}

impl Usage {
    fn add(&mut self, cores: u32, memory: u64) {
        self.cores = self.cores.saturating_add(u64::from(cores));
        self.memory = self.memory.saturating_add(memory);
    }
}

/// What is taken on one host.
#[derive(Debug)]
pub(crate) struct Room<'a> {
    pub(crate) host: &'a Host,
    pub(crate) running: Usage,
    pub(crate) reserved: Usage,
    gpus: BTreeMap<&'a str, u32>,
    local_disks: BTreeMap<&'a str, u64>,
}

impl Room<'_> {
    /// Virtual CPUs that are still to be had.
    pub(crate) fn free_cores(&self) -> u64 {
        self.host.core_capacity().saturating_sub(self.running.cores).saturating_sub(self.reserved.cores)
    }

    /// Bytes of memory that are still to be had.
    pub(crate) fn free_memory(&self) -> u64 {
        self.host.memory_capacity().saturating_sub(self.running.memory).saturating_sub(self.reserved.memory)
    }

    /// Free and total devices of a mapping; `None` when the host has none of it.
    pub(crate) fn gpus(&self, mapping: &str) -> Option<(u32, u32)> {
        let gpu = self.host.gpus.get(mapping).filter(|gpu| gpu.total > 0)?;
        let promised = self.gpus.get(mapping).copied().unwrap_or(0);
        Some((gpu.free.min(gpu.total).saturating_sub(promised), gpu.total))
    }
}

/// What is taken on all hosts.
#[derive(Debug)]
pub(crate) struct Ledger<'a> {
    rooms: BTreeMap<&'a HostName, Room<'a>>,
    shared_disks: BTreeMap<&'a str, u64>,
    /// Group → host → members. Sets, because a stopped guest and its reservation are one member.
    members: BTreeMap<&'a str, BTreeMap<&'a HostName, BTreeSet<&'a str>>>,
}

impl<'a> Ledger<'a> {
    /// Counts everything but the guest `moving`, if there is one. `assumed` are the decisions of this very run.
    pub(crate) fn new(
        inventory: &'a Inventory,
        reservations: &'a [Reservation],
        assumed: &'a [Reservation],
        moving: Option<&str>,
    ) -> Self {
        let rooms = inventory.hosts().map(|host| {
            let room = Room {
                host,
                running: Usage::default(),
                reserved: Usage::default(),
                gpus: BTreeMap::new(),
                local_disks: BTreeMap::new(),
            };
            (&host.name, room)
        });
        let mut ledger =
            Self { rooms: rooms.collect(), shared_disks: BTreeMap::new(), members: BTreeMap::new() };
        for host in inventory.hosts() {
            ledger.count_guests(host, moving);
        }
        let earlier = reservations.iter().filter(|reservation| Some(reservation.guest.as_str()) != moving);
        for reservation in earlier.chain(assumed) {
            ledger.count_reservation(reservation, moving);
        }
        ledger
    }

    fn count_guests(&mut self, host: &'a Host, moving: Option<&str>) {
        let Some(room) = self.rooms.get_mut(&host.name) else { return };
        for guest in host.guests.iter().filter(|guest| !guest.template && Some(guest.id.as_str()) != moving) {
            if guest.running {
                room.running.add(guest.cores, guest.memory);
            }
            for group in &guest.groups {
                self.members.entry(group).or_default().entry(&host.name).or_default().insert(&guest.id);
            }
        }
    }

    fn count_reservation(&mut self, reservation: &'a Reservation, moving: Option<&str>) {
        if let Some(room) = self.rooms.get_mut(&reservation.host) {
            let runs = |guest: &Guest| guest.running && !guest.template && guest.id == reservation.guest;
            if Some(reservation.guest.as_str()) != moving && room.host.guests.iter().any(runs) {
                return; // the inventory shows it: counted there
            }
            room.reserved.add(reservation.cores, reservation.memory);
            for (mapping, count) in &reservation.gpus {
                let promised = room.gpus.entry(mapping).or_default();
                *promised = promised.saturating_add(*count);
            }
            for disk in &reservation.disks {
                let promised = room.local_disks.entry(&disk.storage).or_default();
                *promised = promised.saturating_add(disk.bytes);
            }
        }
        for disk in &reservation.disks {
            let promised = self.shared_disks.entry(&disk.storage).or_default();
            *promised = promised.saturating_add(disk.bytes);
        }
        for group in &reservation.groups {
            let hosts = self.members.entry(group).or_default();
            hosts.entry(&reservation.host).or_default().insert(&reservation.guest);
        }
    }

    /// The rooms, in the order of host names.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = &Room<'a>> {
        self.rooms.values()
    }

    /// Free bytes of a storage as a host sees it, less what is promised; `None` when the host does not have it.
    /// Of a shared storage every host's promises are taken off, of a local one only its own.
    pub(crate) fn free_bytes(&self, room: &Room<'_>, storage: &str) -> Option<u64> {
        let found = room.host.storages.get(storage)?;
        let promises = if found.shared { &self.shared_disks } else { &room.local_disks };
        Some(found.free.saturating_sub(promises.get(storage).copied().unwrap_or(0)))
    }

    /// Members of a group in the domain of `host`; `None` when the host is in no such domain.
    pub(crate) fn members_beside(&self, host: &Host, group: &str, by: Domain) -> Option<u32> {
        let domain = domain_of(host, by)?;
        let members = self.members.get(group).into_iter().flatten().filter(|(name, _)| {
            self.rooms.get(**name).is_some_and(|room| domain_of(room.host, by) == Some(domain))
        });
        let distinct: BTreeSet<&str> = members.flat_map(|(_, guests)| guests.iter().copied()).collect();
        Some(u32::try_from(distinct.len()).unwrap_or(u32::MAX))
    }
}

/// The name of the domain a host belongs to.
pub(crate) fn domain_of(host: &Host, by: Domain) -> Option<&str> {
    match by {
        Domain::Host => Some(host.name.as_str()),
        Domain::Zone => host.zone.as_deref().filter(|zone| !zone.is_empty()),
    }
}
