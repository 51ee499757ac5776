//! CephPool: a pool on a Ceph cluster.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common::DataDeletionPolicy;

/// A pool on a Ceph cluster.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "skyy.helloskyy.io",
    version = "v1alpha1",
    kind = "CephPool",
    plural = "cephpools",
    shortname = "cpool",
    category = "skyy",
    namespaced,
    status = "CephPoolStatus",
    derive = "PartialEq",
    doc = "A replicated pool on a Ceph cluster.",
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster"),
    printcolumn(name = "Pool", type_ = "string", json_path = ".status.pool"),
    printcolumn(name = "Size", type_ = "integer", json_path = ".spec.size"),
    printcolumn(name = "Quota", type_ = "string", json_path = ".spec.quota.bytes"),
    printcolumn(name = "Stored", type_ = "string", json_path = ".status.stored"),
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
#[x_kube(
    validation = Rule::new("self.cluster == oldSelf.cluster").message("cluster cannot be changed: delete and create instead").field_path(".cluster"),
    validation = Rule::new("(has(self.pool) ? self.pool : '') == (has(oldSelf.pool) ? oldSelf.pool : '')").message("pool cannot be changed: delete and create instead").field_path(".pool"),
    validation = Rule::new("!has(self.minSize) || self.minSize <= self.size").message("minSize must not be above size").field_path(".minSize")
)]
#[schemars(transform = crate::schema::int_formats)]
#[serde(rename_all = "camelCase")]
pub struct CephPoolSpec {
    /// The CephCluster's name.
    #[schemars(length(min = 1, max = 63))]
    pub cluster: String,

    /// The pool's name on Ceph. Left out: the object's own name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$"))]
    pub pool: Option<String>,

    /// How many copies of each object are kept.
    #[serde(default = "three")]
    #[schemars(range(min = 1, max = 10))]
    pub size: u32,

    /// With how few copies the pool still takes writes. Left out: as Ceph chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10))]
    pub min_size: Option<u32>,

    /// Placement groups at the start; Ceph's autoscaler goes on from there.
    #[serde(default = "thirty_two")]
    #[x_kube(validation = Rule::new("self in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096]").message("must be a power of two up to 4096"))]
    pub pg_num: u32,

    /// The CRUSH rule. Left out: Ceph's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub crush_rule: Option<String>,

    /// What uses the pool.
    #[serde(default)]
    pub application: PoolApplication,

    /// How much may be stored. Left out: no limit.
    #[serde(default)]
    pub quota: PoolQuota,

    /// Take over a pool that somebody else made under this name.
    #[serde(default)]
    pub adopt: bool,

    /// What happens to the pool when this object is deleted. A pool with something in it is never removed.
    #[serde(default)]
    pub deletion_policy: DataDeletionPolicy,
}

fn three() -> u32 {
    3
}

fn thirty_two() -> u32 {
    32
}

/// What uses a pool.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PoolApplication {
    /// Block devices.
    #[default]
    Rbd,
    /// A file system.
    Cephfs,
    /// Object storage.
    Rgw,
}

/// How much may be stored in a pool.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PoolQuota {
    /// Bytes, such as `4Ti`. Left out: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<Quantity>,
    /// Objects. Left out: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub objects: Option<u64>,
}

crate::status::status! {
    /// What the operator saw of the pool.
    CephPoolStatus {
        /// The pool's name on Ceph.
        pool: Option<String>,
        /// The pool's number on Ceph.
        pool_id: Option<i64>,
        /// What is stored, to one decimal of its unit.
        stored: Option<String>,
    }
}
