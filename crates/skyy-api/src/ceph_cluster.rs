//! CephCluster: an existing Ceph, reached through its manager.

use kube::{CustomResource, KubeSchema, core::Duration};
use serde::{Deserialize, Serialize};

use crate::common::{Credential, TlsTrust};

/// An existing Ceph cluster, reached through the REST API of its manager.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "skyy.helloskyy.io",
    version = "v1alpha1",
    kind = "CephCluster",
    plural = "cephclusters",
    shortname = "cephc",
    category = "skyy",
    status = "CephClusterStatus",
    derive = "PartialEq",
    doc = "An existing Ceph cluster, reached through the REST API of its manager (the dashboard module).",
    printcolumn(name = "Release", type_ = "string", json_path = ".status.release"),
    printcolumn(name = "Health", type_ = "string", json_path = ".status.health"),
    printcolumn(name = "OSDs", type_ = "string", json_path = ".status.osds"),
    printcolumn(name = "Capacity", type_ = "string", json_path = ".status.capacity"),
    printcolumn(name = "Used", type_ = "string", json_path = ".status.used"),
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
pub struct CephClusterSpec {
    /// Where the managers answer, such as `https://ceph-01.example.net:8443`; a standby names the active one.
    /// Plain HTTP is taken on loopback only.
    #[x_kube(validation = Rule::new("self.all(e, e.startsWith('https://') || e.matches('^http://(127\\\\.0\\\\.0\\\\.1|localhost|\\\\[::1\\\\])(:[0-9]+)?/?$'))")
        .message("each must begin with https:// (plain http:// is for loopback only)"))]
    #[schemars(length(min = 1, max = 16), inner(length(min = 8, max = 512)))]
    pub managers: Vec<String>,

    /// The dashboard user's name.
    pub username: Credential,

    /// The dashboard user's password.
    pub password: Credential,

    /// How the certificates are trusted. Left out: the public certificate authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsTrust>,

    /// How often the cluster is looked at.
    #[serde(default = "half_a_minute")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('5s')").message("at least 5s"))]
    pub interval: Duration,
}

fn half_a_minute() -> Duration {
    Duration::from(std::time::Duration::from_secs(30))
}

crate::status::status! {
    /// What the operator saw of the cluster.
    CephClusterStatus {
        /// The release, such as `18.2.7 reef`.
        release: Option<String>,
        /// `HEALTH_OK`, `HEALTH_WARN` or `HEALTH_ERR`.
        health: Option<String>,
        /// What is wrong, as Ceph names it.
        health_checks: Vec<String>,
        /// `24/24 up`.
        osds: Option<String>,
        /// Raw size.
        capacity: Option<String>,
        /// Raw use in whole percent.
        used: Option<String>,
        /// How many pools there are.
        pools: u32,
    }
}
