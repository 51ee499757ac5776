//! Why a host does not fit, as values and as words. Must not decide anything.

use std::fmt;

use crate::inventory::{Blocked, HostName};
use crate::request::{Domain, Expression};
use crate::units::{have, need};

/// One reason why a host does not fit. [`Display`](fmt::Display) gives the words a user reads.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It is not online, or nobody knows.
    Offline,
    /// It takes no new guests.
    Blocked(Blocked),
    /// The request names another host.
    NotTheHostAskedFor(HostName),
    /// A label is absent or has another value.
    Label {
        /// The label.
        key: String,
        /// The value it must have.
        wanted: String,
        /// The value it has.
        found: Option<String>,
    },
    /// A selector expression does not hold.
    Expression {
        /// The expression.
        expression: Expression,
        /// The value the label has.
        found: Option<String>,
    },
    /// Not enough memory.
    Memory {
        /// Bytes asked for.
        needed: u64,
        /// Bytes still to be had.
        free: u64,
        /// Bytes guests may have together: physical memory with the overcommit knob, less what is kept for the host.
        capacity: u64,
        /// Bytes kept for the host itself.
        kept: u64,
        /// Bytes that running guests are configured with.
        running: u64,
        /// Bytes promised to guests that do not run yet.
        reserved: u64,
    },
    /// Not enough virtual CPUs are left.
    Cores {
        /// Asked for.
        needed: u32,
        /// Still to be had.
        free: u64,
        /// What guests may have together.
        capacity: u64,
        /// What running guests have.
        running: u64,
        /// What is promised to guests that do not run yet.
        reserved: u64,
    },
    /// One guest would have more virtual CPUs than the host has CPUs; Proxmox VE refuses to start such a guest.
    GuestWiderThanHost {
        /// Asked for.
        needed: u32,
        /// What the host has.
        cores: u32,
    },
    /// The storage is not active on it.
    NoStorage(String),
    /// The storage does not take this kind of content.
    StorageContent {
        /// The storage.
        storage: String,
        /// The content type asked for.
        content: String,
    },
    /// The storage has too little room.
    StorageRoom {
        /// The storage.
        storage: String,
        /// Bytes asked for, all disks together.
        needed: u64,
        /// Bytes free, less what is promised.
        free: u64,
    },
    /// It has no such bridge.
    NoBridge(String),
    /// It has no device of the mapping.
    NoGpu(String),
    /// It has too few free devices of the mapping.
    Gpu {
        /// The resource mapping.
        mapping: String,
        /// Asked for.
        needed: u32,
        /// Free, less what is promised.
        free: u32,
        /// All of them.
        total: u32,
    },
    /// The template cannot be cloned here without a copy across the network.
    NoTemplate(String),
    /// It stands in no zone, and the request counts by zone.
    NoZone {
        /// The group that is counted.
        group: String,
    },
    /// Its domain has as many members as the limit allows.
    DomainFull {
        /// The group.
        group: String,
        /// Host or zone.
        by: Domain,
        /// The domain's name.
        domain: String,
        /// Members there now.
        members: u32,
        /// The limit.
        limit: u32,
    },
    /// Its domain would get too far ahead of the emptiest one.
    Skew {
        /// The group.
        group: String,
        /// Host or zone.
        by: Domain,
        /// The domain's name.
        domain: String,
        /// Members there now.
        members: u32,
        /// Members in the emptiest domain.
        fewest: u32,
        /// The limit.
        max_skew: u32,
    },
    /// Its domain already has a member of a group that is kept apart.
    KeptApart {
        /// The group.
        group: String,
        /// Host or zone.
        by: Domain,
        /// The domain's name.
        domain: String,
        /// Members there now.
        members: u32,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline => f.write_str("offline"),
            Self::Blocked(why) => why.fmt(f),
            Self::NotTheHostAskedFor(host) => write!(f, "host {host} is asked for"),
            Self::Label { key, wanted, found: Some(found) } => {
                write!(f, "selector: label {key} is {found:?}, must be {wanted:?}")
            }
            Self::Label { key, wanted, found: None } => {
                write!(f, "selector: no label {key}, must be {wanted:?}")
            }
            Self::Expression { expression, found: Some(found) } => {
                write!(f, "selector: {expression}, label is {found:?}")
            }
            Self::Expression { expression, found: None } => {
                write!(f, "selector: {expression}, no such label")
            }
            Self::Memory { needed, free, capacity, kept, running, reserved } => {
                let (needed, free, all) = (need(*needed), have(*free), have(*capacity));
                write!(f, "memory: needs {needed}, {free} of {all} free (running guests {}", need(*running))?;
                if *reserved > 0 {
                    write!(f, ", reserved {}", need(*reserved))?;
                }
                f.write_str(")")?;
                if *kept > 0 { write!(f, ", {} more kept for the host", need(*kept)) } else { Ok(()) }
            }
            Self::Cores { needed, free, capacity, running, reserved } => {
                write!(f, "cores: needs {needed}, {free} of {capacity} free (running guests {running}")?;
                if *reserved > 0 { write!(f, ", reserved {reserved})") } else { f.write_str(")") }
            }
            Self::GuestWiderThanHost { needed, cores } => {
                write!(f, "cores: needs {needed} in one guest, the host has {cores}")
            }
            Self::NoStorage(storage) => write!(f, "storage {storage}: not on this host"),
            Self::StorageContent { storage, content } => {
                write!(f, "storage {storage}: does not take content {content}")
            }
            Self::StorageRoom { storage, needed, free } => {
                write!(f, "storage {storage}: needs {}, {} free", need(*needed), have(*free))
            }
            Self::NoBridge(bridge) => write!(f, "bridge {bridge}: not on this host"),
            Self::NoGpu(mapping) => write!(f, "{mapping}: none on this host"),
            Self::Gpu { mapping, needed, free, total } if *needed > 1 && *free > 0 => {
                write!(f, "{mapping}: needs {needed}, {free} of {total} free")
            }
            Self::Gpu { mapping, free, total, .. } => write!(f, "{mapping}: {free} of {total} free"),
            Self::NoTemplate(key) => {
                write!(f, "template {key}: no copy on this host or on storage it shares")
            }
            Self::NoZone { group } => write!(f, "spread of {group} by zone: the host is in no zone"),
            Self::DomainFull { group, by, domain, members, limit } => {
                write!(f, "spread of {group}: {by} {domain} has {members}, at most {limit} each")
            }
            Self::Skew { group, by, domain, members, fewest, max_skew } => {
                write!(
                    f,
                    "spread of {group}: {by} {domain} has {members}, the emptiest {by} {fewest}, max skew {max_skew}"
                )
            }
            Self::KeptApart { group, by, domain, members } => {
                write!(f, "kept apart from {group}: {by} {domain} has {members}")
            }
        }
    }
}
