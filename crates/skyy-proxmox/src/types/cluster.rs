//! The cluster as a whole: version, members, resources.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::ids::{GuestKind, NodeName, Vmid};
use crate::lenient::{flag, number, text, word_set};
use crate::types::GuestState;

/// The version of a node. Ask each node: during an upgrade they differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// `9.2.11`.
    #[serde(default)]
    pub version: String,
    /// `9.2`.
    #[serde(default)]
    pub release: String,
    /// The commit it was built from.
    #[serde(default)]
    pub repoid: String,
}

impl Version {
    /// The first three numbers of the version, to compare; what is not a number counts as 0.
    pub fn numbers(&self) -> (u32, u32, u32) {
        let mut parts = self.version.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
        let mut next = || parts.next().unwrap_or(0);
        (next(), next(), next())
    }
}

/// `/cluster/status`: who is a member, who is online, and whether there is quorum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterStatus {
    /// The cluster's name; `None` on a standalone node.
    pub name: Option<String>,
    /// Whether there is quorum. A standalone node always has it.
    pub quorate: bool,
    /// The version of the cluster configuration.
    pub config_version: Option<u64>,
    /// The members, by name.
    pub members: Vec<MemberStatus>,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct MemberStatus {
    /// The node.
    pub name: NodeName,
    /// Whether it is reachable. Known within a second, long before `/cluster/resources` stops saying "running".
    #[serde(default, deserialize_with = "flag")]
    pub online: bool,
    /// Whether this is the node that answered.
    #[serde(default, deserialize_with = "flag")]
    pub local: bool,
    /// Its address.
    #[serde(default, deserialize_with = "text")]
    pub ip: Option<String>,
    /// Its corosync id.
    #[serde(default, deserialize_with = "number")]
    pub nodeid: Option<u64>,
}

impl<'de> Deserialize<'de> for ClusterStatus {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Cluster {
            #[serde(default, deserialize_with = "text")]
            name: Option<String>,
            #[serde(default, deserialize_with = "flag")]
            quorate: bool,
            #[serde(default, deserialize_with = "number")]
            version: Option<u64>,
        }
        let mut status = Self { quorate: true, ..Self::default() };
        for entry in Vec::<Value>::deserialize(from)? {
            match entry.get("type").and_then(Value::as_str) {
                Some("cluster") => {
                    let cluster = Cluster::deserialize(entry).map_err(serde::de::Error::custom)?;
                    status.name = cluster.name;
                    status.quorate = cluster.quorate;
                    status.config_version = cluster.version;
                }
                Some("node") => {
                    status.members.push(MemberStatus::deserialize(entry).map_err(serde::de::Error::custom)?);
                }
                _ => {}
            }
        }
        status.members.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(status)
    }
}

/// `/cluster/resources`, told apart by type. Refreshed by broadcasts every 10 s; a dead node's guests keep "running" for
/// up to five minutes, so it must be joined with [`ClusterStatus`].
///
/// A guest that cannot be read fails the whole answer: leaving it out would make it look absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    /// The guests, templates included, by id.
    pub guests: Vec<GuestResource>,
    /// The nodes, by name.
    pub nodes: Vec<NodeResource>,
    /// The storages, once per node, by node and name.
    pub storages: Vec<StorageResource>,
}

/// A guest in `/cluster/resources`. While it is being cloned it has no name, no tags, and `lock` is `clone`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct GuestResource {
    /// Its id.
    pub vmid: Vmid,
    /// Virtual machine or container.
    #[serde(rename = "type")]
    pub kind: GuestKind,
    /// The node that holds it.
    pub node: NodeName,
    /// Its name.
    #[serde(default, deserialize_with = "text")]
    pub name: Option<String>,
    /// Whether it runs, as far as was last heard.
    #[serde(default)]
    pub status: GuestState,
    /// Whether it is a template.
    #[serde(default, deserialize_with = "flag")]
    pub template: bool,
    /// Its tags, normalised.
    #[serde(default, deserialize_with = "word_set")]
    pub tags: BTreeSet<String>,
    /// The pool it is in.
    #[serde(default, deserialize_with = "text")]
    pub pool: Option<String>,
    /// The operation that holds it (`clone`, `backup`, `migrate`, …).
    #[serde(default, deserialize_with = "text")]
    pub lock: Option<String>,
    /// Its state at the HA manager, when that has it.
    #[serde(default, deserialize_with = "text")]
    pub hastate: Option<String>,
    /// Virtual CPUs; a container's may be a fraction.
    #[serde(default, deserialize_with = "number")]
    pub maxcpu: Option<f64>,
    /// Configured memory in bytes.
    #[serde(default, deserialize_with = "number")]
    pub maxmem: Option<u64>,
    /// Size of the first disk in bytes.
    #[serde(default, deserialize_with = "number")]
    pub maxdisk: Option<u64>,
    /// Used part of its CPUs, from 0 to 1.
    #[serde(default, deserialize_with = "number")]
    pub cpu: Option<f64>,
    /// Memory in use as the guest sees it.
    #[serde(default, deserialize_with = "number")]
    pub mem: Option<u64>,
    /// Seconds since it was started.
    #[serde(default, deserialize_with = "number")]
    pub uptime: Option<u64>,
}

/// A node in `/cluster/resources`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct NodeResource {
    /// Its name.
    pub node: NodeName,
    /// `online`, `offline`, or `unknown` in the first seconds after boot.
    #[serde(default, deserialize_with = "text")]
    pub status: Option<String>,
    /// Logical CPUs.
    #[serde(default, deserialize_with = "number")]
    pub maxcpu: Option<u32>,
    /// Physical memory in bytes.
    #[serde(default, deserialize_with = "number")]
    pub maxmem: Option<u64>,
    /// Used part of its CPUs, from 0 to 1.
    #[serde(default, deserialize_with = "number")]
    pub cpu: Option<f64>,
    /// Memory in use.
    #[serde(default, deserialize_with = "number")]
    pub mem: Option<u64>,
    /// Seconds since boot.
    #[serde(default, deserialize_with = "number")]
    pub uptime: Option<u64>,
    /// What the HA manager thinks of it.
    #[serde(default, deserialize_with = "text")]
    pub hastate: Option<String>,
}

impl NodeResource {
    /// Whether it said so itself within the last broadcasts.
    pub fn is_online(&self) -> bool {
        self.status.as_deref() == Some("online")
    }
}

/// A storage of one node in `/cluster/resources`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct StorageResource {
    /// The storage.
    pub storage: String,
    /// The node that sees it.
    pub node: NodeName,
    /// `available` when it is active there.
    #[serde(default, deserialize_with = "text")]
    pub status: Option<String>,
    /// `dir`, `lvmthin`, `rbd`, …
    #[serde(default, deserialize_with = "text")]
    pub plugintype: Option<String>,
    /// Whether all nodes see the same space.
    #[serde(default, deserialize_with = "flag")]
    pub shared: bool,
    /// Content types it takes.
    #[serde(default, deserialize_with = "word_set")]
    pub content: BTreeSet<String>,
    /// Its size in bytes.
    #[serde(default, deserialize_with = "number")]
    pub maxdisk: Option<u64>,
    /// Used bytes.
    #[serde(default, deserialize_with = "number")]
    pub disk: Option<u64>,
}

impl<'de> Deserialize<'de> for Resources {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let mut resources = Self::default();
        for entry in Vec::<Value>::deserialize(from)? {
            let of = entry.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
            let wrong = |error: serde_json::Error| {
                D::Error::custom(format!("resource of type {of} without what identifies it: {error}"))
            };
            match of.as_str() {
                "qemu" | "lxc" => resources.guests.push(GuestResource::deserialize(entry).map_err(wrong)?),
                "node" => resources.nodes.push(NodeResource::deserialize(entry).map_err(wrong)?),
                "storage" => resources.storages.push(StorageResource::deserialize(entry).map_err(wrong)?),
                _ => {}
            }
        }
        resources.guests.sort_by_key(|guest| guest.vmid);
        resources.nodes.sort_by(|one, other| one.node.cmp(&other.node));
        resources
            .storages
            .sort_by(|one, other| (&one.node, &one.storage).cmp(&(&other.node, &other.storage)));
        Ok(resources)
    }
}

/// A node in `/nodes`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct NodeEntry {
    /// Its name.
    pub node: NodeName,
    /// `online`, `offline` or `unknown`.
    #[serde(default, deserialize_with = "text")]
    pub status: Option<String>,
    /// The SHA-256 of its certificate: what to pin. It changes when the node joins a cluster.
    #[serde(default, deserialize_with = "text")]
    pub ssl_fingerprint: Option<String>,
    /// Logical CPUs.
    #[serde(default, deserialize_with = "number")]
    pub maxcpu: Option<u32>,
    /// Physical memory in bytes.
    #[serde(default, deserialize_with = "number")]
    pub maxmem: Option<u64>,
    /// Seconds since boot.
    #[serde(default, deserialize_with = "number")]
    pub uptime: Option<u64>,
}
