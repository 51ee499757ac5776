//! What the scheduler is told about the hosts. Must not know where the facts came from.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a host, as Proxmox VE calls its node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostName(String);

impl HostName {
    /// A host by this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for HostName {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<String> for HostName {
    fn from(name: String) -> Self {
        Self(name)
    }
}

/// All hosts that may be considered, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inventory {
    hosts: BTreeMap<HostName, Host>,
}

/// Two hosts of one name: which of them is meant would depend on the order of a list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("host {name} is listed twice in the inventory; a host name must be unique in a cluster")]
pub struct DuplicateHost {
    /// The name given twice.
    pub name: HostName,
}

impl Inventory {
    /// An inventory of these hosts, in any order.
    pub fn new(hosts: impl IntoIterator<Item = Host>) -> Result<Self, DuplicateHost> {
        let mut by_name = BTreeMap::new();
        for host in hosts {
            if let Some(earlier) = by_name.insert(host.name.clone(), host) {
                return Err(DuplicateHost { name: earlier.name });
            }
        }
        Ok(Self { hosts: by_name })
    }

    /// The hosts, in the order of their names.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    /// One host.
    pub fn host(&self, name: &HostName) -> Option<&Host> {
        self.hosts.get(name)
    }

    /// How many hosts there are.
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether no host is known.
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }
}

/// One host, what it has and what runs on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Host {
    /// Its name.
    pub name: HostName,
    /// Whether it answers as a member with quorum. Unknown counts as offline.
    pub online: bool,
    /// Why it takes no new guests; empty when it does.
    #[serde(default)]
    pub blocked: BTreeSet<Blocked>,
    /// Labels, and tags as labels whose value is empty.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The failure domain it stands in, if it is known.
    #[serde(default)]
    pub zone: Option<String>,
    /// Logical CPUs.
    pub cores: u32,
    /// Physical memory in bytes.
    pub memory: u64,
    /// How far guests may exceed what is there.
    #[serde(default)]
    pub overcommit: Overcommit,
    /// Every guest that stands on it, running or not, templates included: what counts is decided here.
    #[serde(default)]
    pub guests: Vec<Guest>,
    /// Storages that are active on it, by name.
    #[serde(default)]
    pub storages: BTreeMap<String, Storage>,
    /// Bridges guests can be attached to.
    #[serde(default)]
    pub bridges: BTreeSet<String>,
    /// PCI devices to pass through, by the name of their resource mapping.
    #[serde(default)]
    pub gpus: BTreeMap<String, Gpu>,
    /// Templates that can be cloned from on this host, by the key the request uses.
    #[serde(default)]
    pub templates: BTreeMap<String, TemplateCopy>,
}

impl Host {
    /// An online, schedulable, empty host.
    pub fn new(name: impl Into<HostName>, cores: u32, memory: u64) -> Self {
        Self {
            name: name.into(),
            online: true,
            blocked: BTreeSet::new(),
            labels: BTreeMap::new(),
            zone: None,
            cores,
            memory,
            overcommit: Overcommit::default(),
            guests: Vec::new(),
            storages: BTreeMap::new(),
            bridges: BTreeSet::new(),
            gpus: BTreeMap::new(),
            templates: BTreeMap::new(),
        }
    }

    /// Virtual CPUs that running guests may have together.
    pub fn core_capacity(&self) -> u64 {
        u64::from(self.cores) * u64::from(self.overcommit.cores_percent) / 100
    }

    /// Bytes that running guests may have together.
    pub fn memory_capacity(&self) -> u64 {
        let allowed = u128::from(self.memory) * u128::from(self.overcommit.memory_percent) / 100;
        u64::try_from(allowed).unwrap_or(u64::MAX).saturating_sub(self.overcommit.memory_reserve)
    }
}

/// Why a host takes no new guests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Blocked {
    /// A person (or a drain) closed it; the text says what for.
    Cordoned {
        /// What for, if it was said.
        why: Option<String>,
    },
    /// A maintenance run has it.
    Maintenance,
    /// It votes in the cluster and carries no guests.
    QuorumOnly,
    /// Its version could not be read, so its abilities are not known.
    VersionUnknown,
    /// Anything else, in words that end the sentence "takes no guests: …".
    Other(String),
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cordoned { why: Some(why) } => write!(f, "cordoned ({why})"),
            Self::Cordoned { why: None } => f.write_str("cordoned"),
            Self::Maintenance => f.write_str("in maintenance"),
            Self::QuorumOnly => f.write_str("quorum-only node"),
            Self::VersionUnknown => f.write_str("its version is unknown"),
            Self::Other(why) => write!(f, "takes no guests: {why}"),
        }
    }
}

/// How far the sum of guests may exceed (or must stay below) what the host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Overcommit {
    /// Virtual CPUs per logical CPU, in percent. 400: four for each.
    pub cores_percent: u32,
    /// Guest memory in percent of physical memory. 100: none is promised twice.
    pub memory_percent: u32,
    /// Bytes kept for the host itself (Ceph, ZFS, the hypervisor).
    pub memory_reserve: u64,
}

impl Default for Overcommit {
    /// Four virtual CPUs per CPU, no memory overcommit, 2 GiB for the host.
    fn default() -> Self {
        Self { cores_percent: 400, memory_percent: 100, memory_reserve: 2 << 30 }
    }
}

/// A guest as it stands on a host. Only running ones use CPU and memory; templates never do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Guest {
    /// What identifies it, in the same words as [`Reservation::guest`](crate::Reservation::guest).
    pub id: String,
    /// Whether it runs now.
    pub running: bool,
    /// Whether it is a template.
    #[serde(default)]
    pub template: bool,
    /// Virtual CPUs as configured.
    pub cores: u32,
    /// Memory in bytes as configured.
    pub memory: u64,
    /// Spread and anti-affinity groups it belongs to. They count even while it is stopped: it will be started again.
    #[serde(default)]
    pub groups: BTreeSet<String>,
}

/// A storage as one host sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Storage {
    /// Its type (`lvmthin`, `rbd`, `dir`, …), for people.
    #[serde(default)]
    pub kind: String,
    /// Whether all hosts that list this name share one space.
    #[serde(default)]
    pub shared: bool,
    /// Free bytes. For a thin pool the caller may give physical or promised space; this crate takes it as it is.
    pub free: u64,
    /// Content types it takes (`images`, `rootdir`, …).
    #[serde(default)]
    pub content: BTreeSet<String>,
}

/// Devices of one resource mapping on one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// How many the mapping lists on this host.
    pub total: u32,
    /// How many of them no guest has.
    pub free: u32,
}

/// Where a template's disks are, seen from a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TemplateCopy {
    /// On this host: a clone stays on it.
    Here,
    /// On storage that this host shares.
    Shared,
}
