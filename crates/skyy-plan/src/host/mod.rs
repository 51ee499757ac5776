//! What is to be done on a Proxmox VE node so that its bridges and package repositories are as its object says.
//!
//! Pure: the observed network and repositories come in, steps or refusals go out. It must not know the client, and it
//! never touches what carries the management address: nothing rolls a node's network back by itself.

mod network;
mod repositories;
mod staged;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, fmt};

use serde_json::{Map, Value};
use skyy_api::{ProxmoxHostSpec, Reason};

pub use repositories::{Repositories, Repository, RepositoryFile, StandardRepository};

/// One interface of a node, as `GET /nodes/{node}/network` lists it: the staged view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// `bridge`, `eth`, `bond`, `vlan`, `OVSBridge`, ….
    pub kind: String,
    /// Whether it comes up at boot.
    pub autostart: bool,
    /// The ports of a bridge.
    pub ports: BTreeSet<String>,
    /// The members of a bond.
    pub slaves: BTreeSet<String>,
    /// Whether guests may choose a VLAN on a bridge.
    pub vlan_aware: bool,
    /// The VLANs that a bridge lets through.
    pub vids: Option<String>,
    /// Its IPv4 address with the prefix length.
    pub cidr: Option<String>,
    /// Its IPv6 address with the prefix length.
    pub cidr6: Option<String>,
    /// The IPv4 gateway.
    pub gateway: Option<String>,
    /// The IPv6 gateway.
    pub gateway6: Option<String>,
    /// Its largest packet.
    pub mtu: Option<u32>,
    /// The interface on which a VLAN is.
    pub raw_device: Option<String>,
    /// Other names of the device.
    pub altnames: Vec<String>,
    /// What was written about it.
    pub comments: Option<String>,
}

impl Interface {
    /// A row of the answer.
    pub fn from_raw(raw: &Map<String, Value>) -> Self {
        let text = |name: &str| match raw.get(name) {
            Some(Value::String(text)) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let flag = |name: &str| matches!(text(name).as_deref(), Some("1" | "yes"));
        let words = |name: &str| -> BTreeSet<String> {
            let text = text(name).unwrap_or_default();
            text.split([' ', ',', ';']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        let altnames = raw.get("altnames").and_then(Value::as_array);
        Self {
            name: text("iface").unwrap_or_default(),
            kind: text("type").unwrap_or_default(),
            autostart: flag("autostart"),
            ports: words("bridge_ports"),
            slaves: words("slaves"),
            vlan_aware: flag("bridge_vlan_aware"),
            vids: text("bridge_vids"),
            cidr: text("cidr"),
            cidr6: text("cidr6"),
            gateway: text("gateway"),
            gateway6: text("gateway6"),
            mtu: text("mtu").and_then(|mtu| mtu.parse().ok()),
            raw_device: text("vlan-raw-device"),
            altnames: altnames
                .into_iter()
                .flatten()
                .filter_map(|name| name.as_str().map(str::to_owned))
                .collect(),
            comments: text("comments"),
        }
    }
}

/// What was seen of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The interfaces as they would be after applying.
    pub interfaces: Vec<Interface>,
    /// The difference to what runs, as text; none when nothing is staged.
    pub changes: Option<String>,
    /// The package repositories; none where they were not read.
    pub repositories: Option<Repositories>,
}

/// A bridge as it is to be. A change of an interface replaces its addresses, so all of it is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BridgeSettings {
    /// Its name.
    pub name: String,
    /// Whether it comes up at boot.
    pub autostart: bool,
    /// Its ports.
    pub ports: BTreeSet<String>,
    /// Whether guests may choose a VLAN on it.
    pub vlan_aware: bool,
    /// The VLANs that it lets through; none: Proxmox VE's default.
    pub vids: Option<String>,
    /// Its IPv4 address with the prefix length.
    pub cidr: Option<String>,
    /// Its IPv6 address with the prefix length.
    pub cidr6: Option<String>,
    /// The IPv4 gateway, kept as it is.
    pub gateway: Option<String>,
    /// The IPv6 gateway, kept as it is.
    pub gateway6: Option<String>,
    /// Its largest packet.
    pub mtu: Option<u32>,
    /// What is written about it, kept as it is.
    pub comments: Option<String>,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// `POST /nodes/{node}/network`.
    CreateBridge(BridgeSettings),
    /// `PUT /nodes/{node}/network/{name}`.
    UpdateBridge {
        /// All of it, with what changes.
        bridge: BridgeSettings,
        /// Settings to name in the parameter `delete`. A bridge stops being VLAN-aware in no other way: Proxmox VE
        /// takes `bridge_vlan_aware=0` for yes.
        unset: Vec<&'static str>,
    },
    /// `PUT /nodes/{node}/network`: applies what is staged, after which the interfaces are reloaded.
    ApplyNetwork,
    /// `POST /nodes/{node}/apt/repositories`: switches one repository.
    EnableRepository {
        /// The file.
        path: String,
        /// The place in it.
        index: u32,
        /// On or off.
        enabled: bool,
        /// The digest of the same read.
        digest: Option<String>,
    },
    /// `PUT /nodes/{node}/apt/repositories`: adds one that Proxmox VE knows by name.
    AddStandardRepository {
        /// Its name: `enterprise`, `no-subscription`.
        handle: String,
        /// The digest of the same read.
        digest: Option<String>,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateBridge(bridge) => write!(f, "POST network {}", bridge.name),
            Self::UpdateBridge { bridge, .. } => write!(f, "PUT network {}", bridge.name),
            Self::ApplyNetwork => f.write_str("PUT network (apply)"),
            Self::EnableRepository { path, index, enabled, .. } => {
                let word = if *enabled { "on" } else { "off" };
                write!(f, "POST apt/repositories {path} #{index}: {word}")
            }
            Self::AddStandardRepository { handle, .. } => write!(f, "PUT apt/repositories {handle}"),
        }
    }
}

/// Why a part of the spec is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// In a word.
    pub reason: Reason,
    /// In a sentence, with the way out.
    pub message: String,
}

impl Refusal {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// What is to be done on a node. Network and repositories do not depend on each other: one may be refused and the other
/// done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The calls, in their order. After one of the repositories was written, the digest of the others is old: they
    /// come with the next plan.
    pub steps: Vec<Step>,
    /// What they do, for a person.
    pub actions: Vec<String>,
    /// What is not done.
    pub refusals: Vec<Refusal>,
    /// Something waits for the next plan.
    pub again: bool,
}

/// What is to be done on this node.
pub fn plan(spec: &ProxmoxHostSpec, node: &str, observed: &Observed) -> Plan {
    let ProxmoxHostSpec {
        cluster: _,
        node: _,
        address,
        roles: _,
        tags: _,
        zone: _,
        schedulable: _,
        network,
        storage: _,
        repositories,
        tailscale: _,
    } = spec;
    let mut plan = Plan::default();
    if let Some(network) = network
        && let Err(refusal) = network::plan(network, address.as_deref(), node, observed, &mut plan)
    {
        plan.refusals.push(refusal);
    }
    if let (Some(wanted), Some(seen)) = (repositories, &observed.repositories) {
        repositories::plan(wanted, node, seen, &mut plan);
    }
    plan
}
