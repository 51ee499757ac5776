//! NatMapping: a 1:1 NAT between an external and an internal address.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common::{DeletionPolicy, yes};

/// A 1:1 NAT between an external and an internal address.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[kube(
    group = "skyy.helloskyy.io",
    version = "v1alpha1",
    kind = "NatMapping",
    plural = "natmappings",
    shortname = "nat",
    category = "skyy",
    namespaced,
    status = "NatMappingStatus",
    derive = "PartialEq",
    doc = "A 1:1 NAT on a Firewall: traffic for the external address goes to the internal one, and back.",
    selectable = ".spec.firewall",
    printcolumn(name = "External", type_ = "string", json_path = ".spec.external"),
    printcolumn(name = "Internal", type_ = "string", json_path = ".spec.internal"),
    printcolumn(name = "Firewall", type_ = "string", json_path = ".spec.firewall"),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Programmed\")].status"
    ),
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
    validation = Rule::new("self.firewall == oldSelf.firewall").message("firewall cannot be changed: delete and create instead").field_path(".firewall"),
    validation = Rule::new("self.external == oldSelf.external").message("external cannot be changed: delete and create instead").field_path(".external")
)]
#[schemars(transform = crate::schema::int_formats)]
#[serde(rename_all = "camelCase")]
pub struct NatMappingSpec {
    /// The Firewall's name.
    #[schemars(length(min = 1, max = 63))]
    pub firewall: String,

    /// The firewall's interface on which the external address is: `wan`.
    #[schemars(length(min = 1, max = 32))]
    pub interface: String,

    /// The external address.
    #[x_kube(validation = Rule::new("isIP(self)").message("must be an IP address"))]
    #[schemars(length(max = 45))]
    pub external: String,

    /// The internal address.
    #[x_kube(validation = Rule::new("isIP(self)").message("must be an IP address"))]
    #[schemars(length(max = 45))]
    pub internal: String,

    /// Only traffic with this other side is mapped: `any`, an address, a network, or an alias.
    #[serde(default = "any")]
    #[schemars(length(min = 1, max = 128))]
    pub destination: String,

    /// Whether the external address is reached from inside too. Left out: as the firewall's own setting says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reflection: Option<NatReflection>,

    /// Whether the mapping is in force.
    #[serde(default = "yes")]
    pub enabled: bool,

    /// What it is for; stands before the operator's mark in the row's description.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 200), regex(pattern = r"^[^\x00-\x1f\x7f]*$"))]
    pub description: String,

    /// Take over a row that somebody else made for the same external address.
    #[serde(default)]
    pub adopt: bool,

    /// What happens to the row when this object is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

fn any() -> String {
    "any".into()
}

/// Whether an external address is reached from inside too.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq, schemars::JsonSchema)]
pub enum NatReflection {
    /// Yes.
    Enable,
    /// No.
    Disable,
}

crate::status::status! {
    /// What the operator saw of the row.
    NatMappingStatus {}
}
