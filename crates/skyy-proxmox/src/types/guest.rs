//! Guests as they run: state, guest agent, snapshots, what a migration would need.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::ids::{NodeName, Vmid};
use crate::lenient::{flag, maybe_flag, number, text, texts, word_set};

/// Whether a guest runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum GuestState {
    /// It runs.
    Running,
    /// It does not.
    Stopped,
    /// Nobody knows: its node is silent, or it has just booted.
    #[default]
    Unknown,
}

impl From<String> for GuestState {
    fn from(text: String) -> Self {
        match text.as_str() {
            "running" => Self::Running,
            "stopped" => Self::Stopped,
            _ => Self::Unknown,
        }
    }
}

/// A guest in a node's list, or its current status.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct GuestStatus {
    /// Its id.
    pub vmid: Vmid,
    /// Its name.
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
    /// Whether it runs.
    #[serde(default)]
    pub status: GuestState,
    /// What QEMU says: `running`, `paused`, `stopped`, `prelaunch`, …
    #[serde(default, deserialize_with = "text")]
    pub qmpstatus: Option<String>,
    /// The operation that holds it.
    #[serde(default, deserialize_with = "text")]
    pub lock: Option<String>,
    /// Whether it is a template.
    #[serde(default, deserialize_with = "flag")]
    pub template: bool,
    /// Its tags.
    #[serde(default, deserialize_with = "word_set")]
    pub tags: BTreeSet<String>,
    /// Virtual CPUs.
    #[serde(default, deserialize_with = "number")]
    pub cpus: Option<f64>,
    /// Configured memory in bytes.
    #[serde(default, deserialize_with = "number")]
    pub maxmem: Option<u64>,
    /// Seconds since it was started.
    #[serde(default, deserialize_with = "number")]
    pub uptime: Option<u64>,
    /// Whether the guest agent is configured; only in the current status.
    #[serde(default, deserialize_with = "maybe_flag")]
    pub agent: Option<bool>,
    /// What the HA manager has to do with it; only in the current status.
    #[serde(default)]
    pub ha: Option<HaInfo>,
    /// The machine type it runs with.
    #[serde(default, rename = "running-machine", deserialize_with = "text")]
    pub running_machine: Option<String>,
}

impl GuestStatus {
    /// Whether the HA manager has it: then starts, stops and moves go through it.
    pub fn is_ha_managed(&self) -> bool {
        self.ha.as_ref().is_some_and(|ha| ha.managed)
    }
}

/// The HA manager's part of a current status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct HaInfo {
    /// Whether it manages the guest.
    #[serde(default, deserialize_with = "flag")]
    pub managed: bool,
    /// The state it wants.
    #[serde(default, deserialize_with = "text")]
    pub state: Option<String>,
}

/// What the guest agent says about network interfaces. A guest without an answering agent gives an error instead:
/// [`Problem::NoAgent`](crate::Problem::NoAgent).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct AgentNetwork {
    /// The interfaces.
    #[serde(default)]
    pub result: Vec<AgentInterface>,
}

/// One interface inside a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct AgentInterface {
    /// Its name inside the guest.
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
    /// Its hardware address, in lower case as agents write it.
    #[serde(default, rename = "hardware-address", deserialize_with = "text")]
    pub hardware_address: Option<String>,
    /// Its addresses.
    #[serde(default, rename = "ip-addresses")]
    pub addresses: Vec<AgentAddress>,
}

/// One address inside a guest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct AgentAddress {
    /// The address.
    #[serde(default, rename = "ip-address", deserialize_with = "text")]
    pub address: Option<String>,
    /// The prefix length.
    #[serde(default, deserialize_with = "number")]
    pub prefix: Option<u32>,
}

/// A snapshot. The entry named `current` is the present state, not a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// What was written about it.
    #[serde(default, deserialize_with = "text")]
    pub description: Option<String>,
    /// The snapshot before it.
    #[serde(default, deserialize_with = "text")]
    pub parent: Option<String>,
    /// When it was made, in seconds since 1970.
    #[serde(default, deserialize_with = "number")]
    pub snaptime: Option<u64>,
    /// Whether memory is part of it.
    #[serde(default, deserialize_with = "flag")]
    pub vmstate: bool,
}

impl Snapshot {
    /// Whether this is only the entry for the present state.
    pub fn is_current(&self) -> bool {
        self.name == "current"
    }
}

/// What stands in the way of moving a virtual machine.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct MigrateCheck {
    /// Whether it runs.
    #[serde(default, deserialize_with = "flag")]
    pub running: bool,
    /// Nodes it can go to while it is off.
    #[serde(default)]
    pub allowed_nodes: Vec<NodeName>,
    /// Nodes it cannot go to, with reasons in Proxmox VE's own shape. Nodes that need local disks moved stand here too.
    #[serde(default)]
    pub not_allowed_nodes: BTreeMap<NodeName, serde_json::Value>,
    /// Disks that only its node has.
    #[serde(default)]
    pub local_disks: Vec<LocalDisk>,
    /// Devices that bind it to its node.
    #[serde(default, deserialize_with = "texts")]
    pub local_resources: Vec<String>,
    /// Mapped devices it uses.
    #[serde(default, rename = "mapped-resources", deserialize_with = "texts")]
    pub mapped_resources: Vec<String>,
}

/// A disk that only one node has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct LocalDisk {
    /// The volume.
    #[serde(default, deserialize_with = "text")]
    pub volid: Option<String>,
    /// Its size in bytes.
    #[serde(default, deserialize_with = "number")]
    pub size: Option<u64>,
    /// Whether it is a CD-ROM, which keeps a guest from moving.
    #[serde(default, deserialize_with = "flag")]
    pub cdrom: bool,
}
