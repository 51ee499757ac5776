//! ProxmoxHost: one node of a Proxmox VE cluster.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// One node of a Proxmox VE cluster.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "skyy.helloskyy.io",
    version = "v1alpha1",
    kind = "ProxmoxHost",
    plural = "proxmoxhosts",
    shortname = "pxh",
    category = "skyy",
    status = "ProxmoxHostStatus",
    derive = "PartialEq",
    doc = "One node of a Proxmox VE cluster: what it should be, and what it is.",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Guests", type_ = "integer", json_path = ".status.guests"),
    printcolumn(name = "Cores", type_ = "integer", json_path = ".status.cores"),
    printcolumn(name = "Memory", type_ = "string", json_path = ".status.memory"),
    printcolumn(name = "GPU Free", type_ = "string", json_path = ".status.gpuFree"),
    printcolumn(name = "Updates", type_ = "integer", json_path = ".status.pendingUpdates"),
    printcolumn(name = "Kernel", type_ = "string", json_path = ".status.kernel", priority = 1),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("self.cluster == oldSelf.cluster").message("cluster cannot be changed: delete and create instead").field_path(".cluster"))]
#[schemars(transform = crate::schema::int_formats)]
#[serde(rename_all = "camelCase")]
pub struct ProxmoxHostSpec {
    /// The ProxmoxCluster's name.
    #[schemars(length(min = 1, max = 63))]
    pub cluster: String,

    /// The node's name in its cluster. Left out: the object's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$"))]
    pub node: Option<String>,

    /// The node's management address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isIP(self)").message("must be an IP address"))]
    #[schemars(length(max = 45))]
    pub address: Option<String>,

    /// What the node is for: `proxmox`, `ceph-osd`, `gpu`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    pub roles: Vec<String>,

    /// Words by which Deployments choose hosts, besides the object's labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 63)))]
    pub tags: Vec<String>,

    /// What fails together: a room, a rack, a power feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub zone: Option<String>,

    /// Whether new guests may come here.
    #[serde(default = "crate::common::yes")]
    pub schedulable: bool,

    /// Bridges of the node. Left out: the network is not looked after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<HostNetwork>,

    /// Storage of the node. Left out: it is not looked after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<HostStorage>,

    /// Package repositories of the node. Left out: they are not looked after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repositories: Option<HostRepositories>,

    /// The node's place in a tailnet. Recorded; not yet acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tailscale: Option<Tailscale>,
}

/// The node's network.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HostNetwork {
    /// The bridge that carries the management address. It is expected to exist, and never changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 15))]
    pub management_bridge: Option<String>,
    /// Bridges that must exist as told here. Others are left alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[schemars(length(max = 64))]
    pub bridges: Vec<Bridge>,
}

/// One Linux bridge.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Bridge {
    /// Its name: `vmbr1`.
    #[schemars(length(min = 2, max = 15), regex(pattern = r"^[A-Za-z][A-Za-z0-9_]*$"))]
    pub name: String,
    /// The interfaces in it. Left out: not looked after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 15)))]
    pub ports: Option<Vec<String>>,
    /// Whether guests may choose a VLAN on it. Left out: not looked after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vlan_aware: Option<bool>,
    /// Its address with the prefix length. Left out: not looked after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isCIDR(self)").message("must be an address with a prefix length, such as 10.20.0.1/16"))]
    #[schemars(length(max = 49))]
    pub address: Option<String>,
    /// Its largest packet. Left out: not looked after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1280, max = 65520))]
    pub mtu: Option<u32>,
}

/// The node's storage.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HostStorage {
    /// The device of the operating system. It is never touched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub os_disk: Option<String>,
    /// LVM thin pools. They are expected to exist; making them is not yet acted on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    #[schemars(length(max = 64))]
    pub thin_pools: Vec<ThinPool>,
}

/// One LVM thin pool.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ThinPool {
    /// What it is called here.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its volume group.
    #[schemars(length(min = 1, max = 127))]
    pub volume_group: String,
    /// Its logical volume.
    #[schemars(length(min = 1, max = 127))]
    pub thin_pool: String,
    /// Its devices. None: it is expected to exist.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 255)))]
    pub devices: Vec<String>,
}

/// The node's package repositories.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HostRepositories {
    /// The repository for subscribers. Left out: not looked after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enterprise: Option<bool>,
    /// The repository for everybody. Left out: not looked after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_subscription: Option<bool>,
}

/// The node's place in a tailnet.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Tailscale {
    /// Its name there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub hostname: Option<String>,
    /// Its address there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 45))]
    pub address: Option<String>,
    /// Its tags there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 63)))]
    pub tags: Vec<String>,
}

/// One storage as the node sees it.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SeenStorage {
    /// Its name.
    pub name: String,
    /// Its type: `dir`, `lvmthin`, `rbd`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether other nodes see the same one.
    pub shared: bool,
    /// Whether it can be used.
    pub active: bool,
    /// Its size, to the nearest GiB.
    pub size: String,
}

/// One bridge as the node has it.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SeenBridge {
    /// Its name.
    pub name: String,
    /// Its ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Whether guests may choose a VLAN on it.
    pub vlan_aware: bool,
    /// Its address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// GPUs of one model.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SeenGpu {
    /// The model.
    pub model: String,
    /// The resource mapping that offers them, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mapping: Option<String>,
    /// How many there are.
    pub count: u32,
    /// How many no guest uses.
    pub free: u32,
}

crate::status::status! {
    /// What the operator saw of the node.
    ProxmoxHostStatus {
        /// `online`, `offline`, `cordoned`, `unknown`.
        state: Option<String>,
        /// The version of Proxmox VE.
        version: Option<String>,
        /// The running kernel.
        kernel: Option<String>,
        /// Threads of the processors.
        cores: u32,
        /// Memory, to the nearest GiB.
        memory: Option<String>,
        /// Guests of everybody, templates left out.
        guests: u32,
        /// Storages.
        storages: Vec<SeenStorage>,
        /// Bridges.
        bridges: Vec<SeenBridge>,
        /// GPUs.
        gpus: Vec<SeenGpu>,
        /// `1/4`.
        gpu_free: Option<String>,
        /// Packages that wait to be updated.
        pending_updates: Option<u32>,
        /// What the spec names and the operator does not act on yet.
        not_acted_on: Vec<String>,
    }
}
