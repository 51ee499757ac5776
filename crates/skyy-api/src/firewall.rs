//! Firewall: one pfSense behind its REST package.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::{CustomResource, KubeSchema, core::Duration};
use serde::{Deserialize, Serialize};

use crate::common::{Credential, TlsTrust};

/// A pfSense firewall that the operator may program.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "skyy.helloskyy.io",
    version = "v1alpha1",
    kind = "Firewall",
    plural = "firewalls",
    shortname = "fw",
    category = "skyy",
    status = "FirewallStatus",
    derive = "PartialEq",
    doc = "A pfSense firewall, reached through its REST package. Rows on it are FirewallRule, VirtualIP, NatMapping and DhcpReservation.",
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.url"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.version"),
    printcolumn(name = "Owned", type_ = "integer", json_path = ".status.ownedRows"),
    printcolumn(name = "Foreign", type_ = "integer", json_path = ".status.foreignRows"),
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
pub struct FirewallSpec {
    /// Where the REST package answers, such as `https://fw.example.net`. Plain HTTP is taken on loopback only.
    #[x_kube(validation = Rule::new("self.startsWith('https://') || self.matches('^http://(127\\\\.0\\\\.0\\\\.1|localhost|\\\\[::1\\\\])(:[0-9]+)?/?$')")
        .message("must begin with https:// (plain http:// is for loopback only)"))]
    #[schemars(length(min = 8, max = 512))]
    pub url: String,

    /// The key of the REST package, by which the operator logs in.
    pub api_key: Credential,

    /// How the certificate is trusted. Left out: the public certificate authorities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsTrust>,

    /// Which namespaces may put rows on this firewall. `{}` allows all of them.
    pub allowed_namespaces: LabelSelector,

    /// How often the firewall's rows are compared with what is wanted.
    #[serde(default = "one_minute")]
    #[x_kube(validation = Rule::new("duration(self) >= duration('5s')").message("at least 5s"))]
    pub interval: Duration,

    /// Bounds on what one batch may do.
    #[serde(default)]
    pub limits: FirewallLimits,

    /// What no change may cut off.
    #[serde(default)]
    pub protect: Protect,
}

fn one_minute() -> Duration {
    Duration::from(std::time::Duration::from_mins(1))
}

/// Bounds on what one batch may do.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FirewallLimits {
    /// A batch that would delete more rows than this stops until a person confirms it, by the annotation
    /// `skyy.helloskyy.io/confirm-deletes: "<number>"` on the Firewall.
    #[serde(default = "many_deletes")]
    #[schemars(range(min = 0, max = 100_000))]
    pub max_deletes_per_batch: u32,
}

fn many_deletes() -> u32 {
    100
}

impl Default for FirewallLimits {
    fn default() -> Self {
        Self { max_deletes_per_batch: many_deletes() }
    }
}

/// What no change may cut off.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Protect {
    /// Networks from which the firewall is administered. A rule that would block them is refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 43)))]
    pub management_sources: Vec<String>,
}

/// One interface of the firewall, as it reports it.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FirewallInterface {
    /// The name by which rows refer to it: `wan`, `lan`, `opt3`.
    pub name: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Its IPv4 address with the prefix length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// Rows of one kind.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RowCount {
    /// Which rows: `virtualIPs`, `natMappings`, `dhcpReservations`, `firewallRules`.
    pub kind: String,
    /// Rows that carry our mark.
    pub owned: u32,
    /// Rows of others.
    pub foreign: u32,
}

crate::status::status! {
    /// What the operator saw of the firewall.
    FirewallStatus {
        /// The version of pfSense.
        version: Option<String>,
        /// The version of the REST package.
        package_version: Option<String>,
        /// The interfaces.
        interfaces: Vec<FirewallInterface>,
        /// Rows by kind.
        rows: Vec<RowCount>,
        /// Rows that carry our mark, of all kinds.
        owned_rows: u32,
        /// Rows of others, of all kinds.
        foreign_rows: u32,
        /// Rows that carry our mark but belong to no object; they are left alone.
        orphaned_rows: Vec<String>,
    }
}
