//! Deployment: guests made from a template.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::{api::resource::Quantity, apis::meta::v1::LabelSelector};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common::{DeletionPolicy, LocalKeyRef};

/// Guests made from a template.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "skyy.helloskyy.io",
    version = "v1alpha1",
    kind = "Deployment",
    plural = "deployments",
    shortname = "skydep",
    category = "skyy",
    namespaced,
    status = "DeploymentStatus",
    derive = "PartialEq",
    doc = "Guests on a Proxmox VE cluster, made from a template. Not the Deployment of the group apps: ask for deployments.skyy.helloskyy.io, or skydep.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.readySummary"),
    printcolumn(name = "Host", type_ = "string", json_path = ".status.hosts"),
    printcolumn(name = "Address", type_ = "string", json_path = ".status.addresses"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(
    validation = Rule::new("self.cluster == oldSelf.cluster").message("cluster cannot be changed: delete and create instead").field_path(".cluster"),
    validation = Rule::new("self.guest == oldSelf.guest").message("guest cannot be changed: delete and create instead").field_path(".guest")
)]
#[schemars(transform = crate::schema::int_formats)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentSpec {
    /// The ProxmoxCluster's name.
    #[schemars(length(min = 1, max = 63))]
    pub cluster: String,

    /// How many guests.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 1000))]
    pub replicas: u32,

    /// What a guest is.
    #[serde(default)]
    pub guest: GuestKind,

    /// What the guests are cloned from.
    pub template: Template,

    /// Whether a clone has disks of its own, or shares them with the template.
    #[serde(default)]
    pub clone: CloneMode,

    /// Processors and memory of one guest.
    #[serde(default)]
    pub resources: Resources,

    /// Disks of one guest. Left out: those of the template, as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(
        validation = Rule::new("self.filter(d, d.name == 'root').size() <= 1").message("one disk only may be called root"),
        merge_strategy = ListMerge::Map(vec!["name".into()])
    )]
    #[schemars(length(max = 16))]
    pub disks: Vec<Disk>,

    /// GPUs of one guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Gpus>,

    /// Network cards of one guest. Left out: those of the template, as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub network: Vec<NetworkCard>,

    /// What cloud-init sets up inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud_init: Option<CloudInit>,

    /// What runs inside. Recorded; not yet acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<Workload>,

    /// Where guests may go.
    #[serde(default)]
    pub placement: Placement,

    /// Whether a change may interrupt a guest that runs.
    #[serde(default)]
    pub disruption: Disruption,

    /// What happens to the guests when this object is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

fn one() -> u32 {
    1
}

/// What a guest is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, schemars::JsonSchema)]
pub enum GuestKind {
    /// A virtual machine (QEMU).
    #[default]
    VirtualMachine,
    /// A container (LXC).
    Container,
}

/// What the guests are cloned from: exactly one of the three.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[x_kube(validation = Rule::new("[has(self.tag), has(self.name), has(self.vmid)].filter(x, x).size() == 1").message("give exactly one of tag, name and vmid"))]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// A tag that the template carries. Of several, the one nearest to the guest's host is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub tag: Option<String>,
    /// The template's name. Of several, the one nearest to the guest's host is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub name: Option<String>,
    /// The template's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 100, max = 999_999_999))]
    pub vmid: Option<u32>,
}

/// Whether a clone has disks of its own.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, schemars::JsonSchema)]
pub enum CloneMode {
    /// It has.
    #[default]
    Full,
    /// It shares them with the template, which can then not be removed.
    Linked,
}

/// Processors and memory of one guest.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// Processor cores. Left out: as the template has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 512))]
    pub cores: Option<u32>,
    /// Memory, such as `32Gi`. Left out: as the template has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Quantity>,
}

/// One disk.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Disk {
    /// `root` is the template's boot disk; other names are new disks.
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z][a-z0-9-]*$"))]
    pub name: String,
    /// Its size, such as `200Gi`. It only ever grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Quantity>,
    /// The storage it is on. Left out: the template's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub storage: Option<String>,
}

/// GPUs of one guest.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Gpus {
    /// The cluster's PCI resource mapping that offers them.
    #[schemars(length(min = 2, max = 63))]
    pub mapping: String,
    /// How many.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 16))]
    pub count: u32,
}

/// One network card.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NetworkCard {
    /// The host's bridge.
    #[schemars(length(min = 2, max = 15))]
    pub bridge: String,
    /// The VLAN on it. Left out: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4094))]
    pub vlan: Option<u32>,
    /// The AddressPool from which the guest claims its address; the claim gives the card its MAC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub address_pool: Option<String>,
}

/// What cloud-init sets up inside.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CloudInit {
    /// The user's name. Left out: the image's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32))]
    pub user: Option<String>,
    /// Public keys, one a line, that may log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_keys: Option<LocalSecret>,
    /// Search domain. Left out: the host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub search_domain: Option<String>,
    /// Name servers. Left out: the host's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), inner(length(max = 45)))]
    pub name_servers: Vec<String>,
}

/// A Secret in the Deployment's namespace.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LocalSecret {
    /// The Secret and its key.
    pub secret: LocalKeyRef,
}

/// What runs inside a guest.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// A compose file, in a ConfigMap of the Deployment's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose: Option<ComposeSource>,
    /// The compose file's environment, in a Secret of the Deployment's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<LocalSecret>,
}

/// Where a compose file stands.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ComposeSource {
    /// The ConfigMap and its key.
    pub config_map: LocalKeyRef,
}

/// Where guests may go.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// Only hosts with these labels; a host's tags count as labels with the value `true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_selector: Option<LabelSelector>,
    /// How the guests of this Deployment are spread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<Spread>,
}

/// How the guests of a Deployment are spread.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Spread {
    /// Over what.
    #[serde(default)]
    pub by: SpreadBy,
    /// At most so many of them in one. Left out: as evenly as there is room.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_per_domain: Option<u32>,
}

/// Over what guests are spread.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, schemars::JsonSchema)]
pub enum SpreadBy {
    /// Over hosts.
    #[default]
    Host,
    /// Over zones.
    Zone,
}

/// Whether a change may interrupt a guest that runs.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, schemars::JsonSchema)]
pub enum Disruption {
    /// Never: the change waits, and a condition says so.
    #[default]
    Never,
    /// In a maintenance window. Not yet acted on: counts as `Never`.
    Window,
    /// At once.
    Allowed,
}

/// One guest, from the moment its id is reserved.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Guest {
    /// Its name on Proxmox: the Deployment's name and a number.
    pub name: String,
    /// Its id, reserved here before it is used there.
    pub vmid: u32,
    /// The host chosen for it; after that, the host it was last seen on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The template it is cloned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<u32>,
    /// How far it is.
    #[serde(default)]
    pub phase: GuestPhase,
    /// The task that is being followed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The external addresses that it claims.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// What holds it up.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// How far a guest is. Derived from what is observed at each pass; kept for people to read.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, schemars::JsonSchema)]
pub enum GuestPhase {
    /// Its id is reserved.
    #[default]
    Reserved,
    /// It is being cloned.
    Cloning,
    /// It is being configured.
    Configuring,
    /// It is being started.
    Starting,
    /// It runs.
    Running,
    /// It is being stopped and removed.
    Deleting,
    /// Nobody can see it now.
    Unknown,
}

/// Why a guest is where it is.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PlacementDecision {
    /// The guest's name.
    pub guest: String,
    /// The host chosen, if one fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// One sentence.
    pub summary: String,
    /// Each host: why not, or how well.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hosts: BTreeMap<String, String>,
}

crate::status::status! {
    /// What the operator saw of the guests.
    DeploymentStatus {
        /// How many guests exist; read by the scale subresource.
        replicas: u32,
        /// How many guests run as specified.
        ready_replicas: u32,
        /// `2/3`.
        ready_summary: Option<String>,
        /// A label selector in text form; read by the scale subresource.
        selector: Option<String>,
        /// The hosts of the guests, for people to read.
        hosts: Option<String>,
        /// The external addresses of the guests, for people to read.
        addresses: Option<String>,
        /// The guests.
        guests: Vec<Guest>,
        /// The last decisions on where guests go.
        placement: Vec<PlacementDecision>,
    }
}
