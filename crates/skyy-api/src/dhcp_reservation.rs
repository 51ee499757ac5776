//! DhcpReservation: a static mapping of the DHCP server.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common::DeletionPolicy;

/// A static mapping of a Firewall's DHCP server: this MAC gets this address.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[kube(
    group = "skyy.helloskyy.io",
    version = "v1alpha1",
    kind = "DhcpReservation",
    plural = "dhcpreservations",
    shortname = "dhcp",
    category = "skyy",
    namespaced,
    status = "DhcpReservationStatus",
    derive = "PartialEq",
    doc = "A static mapping of a Firewall's DHCP server: the machine with this MAC gets this address.",
    selectable = ".spec.firewall",
    printcolumn(name = "MAC", type_ = "string", json_path = ".spec.mac"),
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
    validation = Rule::new("self.firewall == oldSelf.firewall").message("firewall cannot be changed: delete and create instead").field_path(".firewall"),
    validation = Rule::new("self.interface == oldSelf.interface").message("interface cannot be changed: delete and create instead").field_path(".interface"),
    validation = Rule::new("self.mac.lowerAscii().replace('-', ':') == oldSelf.mac.lowerAscii().replace('-', ':')").message("mac cannot be changed: delete and create instead").field_path(".mac")
)]
#[schemars(transform = crate::schema::int_formats)]
#[serde(rename_all = "camelCase")]
pub struct DhcpReservationSpec {
    /// The Firewall's name.
    #[schemars(length(min = 1, max = 63))]
    pub firewall: String,

    /// The firewall's interface whose DHCP server serves the machine: `lan`, `opt3`.
    #[schemars(length(min = 1, max = 32))]
    pub interface: String,

    /// The machine's hardware address, such as `02:00:2e:8c:5e:78`.
    #[schemars(length(max = 17), regex(pattern = r"^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$"))]
    pub mac: String,

    /// The address that the machine gets.
    #[x_kube(validation = Rule::new("isIP(self) && ip(self).family() == 4").message("must be an IPv4 address"))]
    #[schemars(length(max = 15))]
    pub address: String,

    /// The host name that the machine gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63), regex(pattern = r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?$"))]
    pub hostname: Option<String>,

    /// The domain that the machine gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub domain: Option<String>,

    /// The gateway that the machine gets. Left out: the interface's own address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("isIP(self)").message("must be an IP address"))]
    #[schemars(length(max = 15))]
    pub gateway: Option<String>,

    /// The name servers that the machine gets. Left out: the DHCP server's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), inner(length(max = 45)))]
    pub dns_servers: Vec<String>,

    /// What it is for; stands before the operator's mark in the row's description.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 100), regex(pattern = r"^[^\x00-\x1f\x7f]*$"))]
    pub description: String,

    /// Take over a row that somebody else made for the same MAC.
    #[serde(default)]
    pub adopt: bool,

    /// What happens to the row when this object is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

crate::status::status! {
    /// What the operator saw of the row.
    DhcpReservationStatus {}
}
