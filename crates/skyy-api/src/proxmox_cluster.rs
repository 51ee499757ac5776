//! ProxmoxCluster: one Proxmox VE cluster, or a single node.

use kube::{CustomResource, KubeSchema, core::Duration};
use serde::{Deserialize, Serialize};

use crate::common::{Credential, TlsTrust};

/// A Proxmox VE cluster, or a single node.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "skyy.helloskyy.io",
    version = "v1alpha1",
    kind = "ProxmoxCluster",
    plural = "proxmoxclusters",
    shortname = "pxc",
    category = "skyy",
    status = "ProxmoxClusterStatus",
    derive = "PartialEq",
    doc = "A Proxmox VE cluster, or a single node: where its API answers, and what the operator may use there.",
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Nodes", type_ = "string", json_path = ".status.nodesSummary"),
    printcolumn(name = "Quorate", type_ = "boolean", json_path = ".status.quorate"),
    printcolumn(name = "Guests", type_ = "integer", json_path = ".status.guests"),
    printcolumn(name = "Owned", type_ = "integer", json_path = ".status.ownedGuests"),
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
#[schemars(transform = crate::schema::int_formats)]
#[serde(rename_all = "camelCase")]
pub struct ProxmoxClusterSpec {
    /// Where the API answers, such as `https://puma-001.example.net:8006`; the next is asked when one does not answer.
    /// Plain HTTP is taken on loopback only.
    #[x_kube(validation = Rule::new("self.all(e, e.startsWith('https://') || e.matches('^http://(127\\\\.0\\\\.0\\\\.1|localhost|\\\\[::1\\\\])(:[0-9]+)?/?$'))")
        .message("each must begin with https:// (plain http:// is for loopback only)"))]
    #[schemars(length(min = 1, max = 32), inner(length(min = 8, max = 512)))]
    pub endpoints: Vec<String>,

    /// The API token, whole: `USER@REALM!TOKENID=SECRET`.
    pub token: Credential,

    /// How the certificates are trusted. Left out: the public certificate authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsTrust>,

    /// The ids that the operator may give to guests.
    #[serde(default)]
    pub vmid_range: VmidRange,

    /// How often the cluster is looked at.
    #[serde(default = "ten_seconds")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('2s')").message("at least 2s"))]
    pub poll_interval: Duration,

    /// How many clones may run at once; each storage takes a lock, and waiting clones fail.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 64))]
    pub max_clones: u32,
}

fn ten_seconds() -> Duration {
    Duration::from(std::time::Duration::from_secs(10))
}

fn four() -> u32 {
    4
}

/// The ids that the operator may give to guests, both ends included.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[x_kube(validation = Rule::new("self.first <= self.last").message("first must not be above last"))]
#[serde(rename_all = "camelCase")]
pub struct VmidRange {
    /// The lowest.
    #[serde(default = "first_vmid")]
    #[schemars(range(min = 100, max = 999_999_999))]
    pub first: u32,
    /// The highest.
    #[serde(default = "last_vmid")]
    #[schemars(range(min = 100, max = 999_999_999))]
    pub last: u32,
}

fn first_vmid() -> u32 {
    100_000
}

fn last_vmid() -> u32 {
    199_999
}

impl Default for VmidRange {
    fn default() -> Self {
        Self { first: first_vmid(), last: last_vmid() }
    }
}

/// One node as the cluster reports it.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ClusterNode {
    /// Its name.
    pub name: String,
    /// Whether it is online.
    pub online: bool,
}

crate::status::status! {
    /// What the operator saw of the cluster.
    ProxmoxClusterStatus {
        /// The version of the node that answered.
        version: Option<String>,
        /// The name that the cluster has for itself; none for a single node.
        cluster_name: Option<String>,
        /// Whether the cluster has a quorum.
        quorate: Option<bool>,
        /// The nodes.
        nodes: Vec<ClusterNode>,
        /// `7/8 online`.
        nodes_summary: Option<String>,
        /// Guests of everybody, templates left out.
        guests: u32,
        /// Guests that carry our mark.
        owned_guests: u32,
    }
}
