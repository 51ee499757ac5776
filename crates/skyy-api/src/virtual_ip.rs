//! VirtualIP: an address that the firewall answers for.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common::DeletionPolicy;

/// An address that a Firewall answers for.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[kube(
    group = "skyy.helloskyy.io",
    version = "v1alpha1",
    kind = "VirtualIP",
    root = "VirtualIp",
    plural = "virtualips",
    shortname = "vip",
    category = "skyy",
    namespaced,
    status = "VirtualIpStatus",
    derive = "PartialEq",
    doc = "An address that a Firewall answers for, besides its interfaces' own.",
    selectable = ".spec.firewall",
    printcolumn(name = "Address", type_ = "string", json_path = ".spec.address"),
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
    validation = Rule::new("self.mode != 'CARP' || has(self.vhid)")
        .message("vhid is required when mode is CARP").field_path(".vhid").reason(Reason::FieldValueRequired),
    validation = Rule::new("self.firewall == oldSelf.firewall").message("firewall cannot be changed: delete and create instead").field_path(".firewall"),
    validation = Rule::new("self.address == oldSelf.address").message("address cannot be changed: delete and create instead").field_path(".address")
)]
#[schemars(transform = crate::schema::int_formats)]
#[serde(rename_all = "camelCase")]
pub struct VirtualIpSpec {
    /// The Firewall's name.
    #[schemars(length(min = 1, max = 63))]
    pub firewall: String,

    /// The address with its prefix length, such as `198.18.0.2/23`.
    #[x_kube(validation = Rule::new("isCIDR(self)").message("must be an address with a prefix length, such as 198.18.0.2/23"))]
    #[schemars(length(max = 49))]
    pub address: String,

    /// The firewall's interface: `wan`, `lan`, `opt3`.
    #[schemars(length(min = 1, max = 32))]
    pub interface: String,

    /// How the firewall holds the address.
    #[serde(default)]
    pub mode: VipMode,

    /// The CARP group, required when `mode` is `CARP`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 255))]
    pub vhid: Option<u8>,

    /// What it is for; stands before the operator's mark in the row's description.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 200), regex(pattern = r"^[^\x00-\x1f\x7f]*$"))]
    pub description: String,

    /// Take over a row that somebody else made for the same address.
    #[serde(default)]
    pub adopt: bool,

    /// What happens to the row when this object is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// How the firewall holds an address.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, schemars::JsonSchema)]
pub enum VipMode {
    /// A further address of the interface.
    #[default]
    IPAlias,
    /// Shared between firewalls.
    CARP,
    /// Answered for by proxy ARP.
    ProxyARP,
    /// Known to the firewall, answered for by none.
    Other,
}

crate::status::status! {
    /// What the operator saw of the row.
    VirtualIpStatus {}
}
