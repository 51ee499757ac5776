//! What is known of a cluster: one value, read at an interval, compared with the one before.

use std::{collections::BTreeMap, time::Instant};

use skyy_proxmox::{
    AptRepositories, ClusterStatus, GuestResource, GuestState, Network, NodeStatus, PciDevice, PciMapping,
    Resources, Version, Vmid,
};

/// What is known of one node, read more rarely than the rest.
#[derive(Clone, Debug)]
pub struct NodeDetails {
    /// Load, kernel, processors.
    pub status: NodeStatus,
    /// Interfaces, and what is staged.
    pub network: Network,
    /// PCI devices.
    pub devices: Vec<PciDevice>,
    /// Packages that wait to be updated.
    pub updates: Option<u32>,
    /// Package repositories.
    pub repositories: Option<AptRepositories>,
    /// Devices of each PCI mapping that guests on this node have in their configuration.
    pub mapped: BTreeMap<String, u32>,
    /// When it was read.
    pub taken: Instant,
}

/// What is known of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// The version of the node that answered.
    pub version: Version,
    /// Members and quorum.
    pub status: ClusterStatus,
    /// Guests, nodes, storages.
    pub resources: Resources,
    /// PCI mappings.
    pub mappings: Vec<PciMapping>,
    /// Nodes, by name.
    pub nodes: BTreeMap<String, NodeDetails>,
}

impl Inventory {
    /// The guest of this id, as the cluster last heard of it.
    pub fn guest(&self, vmid: u32) -> Option<&GuestResource> {
        self.resources.guests.iter().find(|guest| guest.vmid.get() == vmid)
    }

    /// Is the node a member that answers? Known within a second, long before its guests' states are.
    pub fn is_online(&self, node: &str) -> bool {
        self.status.members.iter().any(|member| member.name.as_str() == node && member.online)
    }

    /// Is the node a member?
    pub fn is_member(&self, node: &str) -> bool {
        self.status.members.iter().any(|member| member.name.as_str() == node)
    }

    /// Guests on a node, templates left out.
    pub fn guests_on(&self, node: &str) -> impl Iterator<Item = &GuestResource> {
        let node = node.to_owned();
        self.resources.guests.iter().filter(move |guest| guest.node.as_str() == node && !guest.template)
    }

    /// Devices that a mapping lists on a node.
    pub fn mapped_total(&self, mapping: &str, node: &str) -> u32 {
        let entries = self.mappings.iter().filter(|known| known.id == mapping).flat_map(PciMapping::entries);
        let paths: usize =
            entries.filter(|entry| entry.node.as_str() == node).map(|entry| entry.paths.len()).sum();
        u32::try_from(paths).unwrap_or(u32::MAX)
    }

    /// What of a guest is worth waking somebody for.
    pub(super) fn face(&self, vmid: Vmid) -> Option<Face> {
        self.guest(vmid.get()).map(|guest| Face {
            node: guest.node.to_string(),
            state: guest.status,
            locked: guest.lock.is_some(),
            name: guest.name.clone(),
            online: self.is_online(guest.node.as_str()),
            tags: guest.tags.iter().cloned().collect(),
        })
    }
}

/// What of a guest is worth waking somebody for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Face {
    node: String,
    state: GuestState,
    locked: bool,
    name: Option<String>,
    online: bool,
    tags: Vec<String>,
}
