//! One node: load, versions, names, clock.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::ids::Digest;
use crate::lenient::{number, text};

/// `/nodes/N/status`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct NodeStatus {
    /// Used part of all CPUs, from 0 to 1.
    #[serde(default, deserialize_with = "number")]
    pub cpu: Option<f64>,
    /// What CPUs it has.
    #[serde(default)]
    pub cpuinfo: CpuInfo,
    /// Memory.
    #[serde(default)]
    pub memory: Amount,
    /// The root file system.
    #[serde(default)]
    pub rootfs: Amount,
    /// Swap.
    #[serde(default)]
    pub swap: Amount,
    /// The kernel that runs.
    #[serde(default, rename = "current-kernel")]
    pub current_kernel: KernelInfo,
    /// `pve-manager/9.2.11/…`.
    #[serde(default, deserialize_with = "text")]
    pub pveversion: Option<String>,
    /// Seconds since boot: it drops when the node was restarted.
    #[serde(default, deserialize_with = "number")]
    pub uptime: Option<u64>,
}

/// A node's CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct CpuInfo {
    /// Logical CPUs.
    #[serde(default, deserialize_with = "number")]
    pub cpus: Option<u32>,
    /// Cores.
    #[serde(default, deserialize_with = "number")]
    pub cores: Option<u32>,
    /// Sockets.
    #[serde(default, deserialize_with = "number")]
    pub sockets: Option<u32>,
    /// The model.
    #[serde(default, deserialize_with = "text")]
    pub model: Option<String>,
}

/// Total, used and free bytes of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Amount {
    /// All of it.
    #[serde(default, deserialize_with = "number")]
    pub total: Option<u64>,
    /// What is used.
    #[serde(default, deserialize_with = "number")]
    pub used: Option<u64>,
    /// What is free.
    #[serde(default, deserialize_with = "number")]
    pub free: Option<u64>,
}

/// A kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct KernelInfo {
    /// `6.17.4-1-pve`.
    #[serde(default, deserialize_with = "text")]
    pub release: Option<String>,
    /// The build.
    #[serde(default, deserialize_with = "text")]
    pub version: Option<String>,
}

/// `/nodes/N/config`. A node has notes and no tags.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct NodeConfig {
    /// The notes.
    #[serde(default, deserialize_with = "text")]
    pub description: Option<String>,
    /// What to send with a write.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// Everything else.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// `/nodes/N/dns`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Dns {
    /// The search domain.
    #[serde(default, deserialize_with = "text")]
    pub search: Option<String>,
    /// The first server.
    #[serde(default, deserialize_with = "text")]
    pub dns1: Option<String>,
    /// The second.
    #[serde(default, deserialize_with = "text")]
    pub dns2: Option<String>,
    /// The third.
    #[serde(default, deserialize_with = "text")]
    pub dns3: Option<String>,
}

/// `/nodes/N/time`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct NodeTime {
    /// The time zone.
    #[serde(default, deserialize_with = "text")]
    pub timezone: Option<String>,
    /// Seconds since 1970 by the node's clock.
    #[serde(default, deserialize_with = "number")]
    pub time: Option<u64>,
}
