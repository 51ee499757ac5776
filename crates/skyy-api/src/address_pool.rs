//! AddressPool: external addresses with the internal ones behind them.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{
    common::DeletionPolicy,
    firewall_rule::{RuleAction, RuleProtocol},
};

/// Triples of external address, internal address and MAC on a Firewall.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[kube(
    group = "skyy.helloskyy.io",
    version = "v1alpha1",
    kind = "AddressPool",
    plural = "addresspools",
    shortname = "apool",
    category = "skyy",
    status = "AddressPoolStatus",
    derive = "PartialEq",
    doc = "Triples of external address, internal address and MAC on a Firewall. Each published address gets a VirtualIP, a NatMapping, a DhcpReservation and a FirewallRule; Deployments claim addresses from it.",
    printcolumn(name = "Firewall", type_ = "string", json_path = ".spec.firewall"),
    printcolumn(name = "Addresses", type_ = "integer", json_path = ".status.addresses"),
    printcolumn(name = "Published", type_ = "integer", json_path = ".status.published"),
    printcolumn(name = "Claimed", type_ = "integer", json_path = ".status.claimed"),
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
    validation = Rule::new("self.__namespace__ == oldSelf.__namespace__").message("namespace cannot be changed: delete and create instead").field_path(".namespace")
)]
#[schemars(transform = crate::schema::int_formats)]
#[serde(rename_all = "camelCase")]
pub struct AddressPoolSpec {
    /// The Firewall's name.
    #[schemars(length(min = 1, max = 63))]
    pub firewall: String,

    /// Where the external addresses are.
    pub external: ExternalSide,

    /// Where the internal addresses are.
    pub internal: InternalSide,

    /// When an address gets its rows.
    #[serde(default)]
    pub publish: Publish,

    /// The namespace of the rows that the pool makes.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,

    /// The rule that each address gets.
    #[serde(default)]
    pub rule: PoolRule,

    /// The addresses.
    #[x_kube(
        validation = Rule::new("self.all(a, a.external != a.internal)").message("external and internal must differ"),
        merge_strategy = ListMerge::Map(vec!["external".into()])
    )]
    #[schemars(length(min = 1, max = 4096))]
    pub addresses: Vec<PoolAddress>,

    /// What happens to the rows on the firewall when the pool is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// Where the external addresses are.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ExternalSide {
    /// The firewall's interface: `wan`.
    #[schemars(length(min = 1, max = 32))]
    pub interface: String,
    /// The length of the external network's prefix.
    #[schemars(range(min = 1, max = 128))]
    pub prefix_length: u8,
}

/// Where the internal addresses are.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct InternalSide {
    /// The firewall's interface whose DHCP server serves the machines: `opt3`.
    #[schemars(length(min = 1, max = 32))]
    pub interface: String,
}

/// When an address gets its rows.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, schemars::JsonSchema)]
pub enum Publish {
    /// At once.
    Always,
    /// When a Deployment claims it.
    #[default]
    OnClaim,
}

/// The rule that each address of a pool gets: traffic from outside to the internal address.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[x_kube(validation = Rule::new("!has(self.ports) || self.protocol in ['TCP', 'UDP', 'TCPUDP']").message("ports need protocol TCP, UDP or TCPUDP").field_path(".protocol"))]
#[serde(rename_all = "camelCase")]
pub struct PoolRule {
    /// What happens to the traffic.
    #[serde(default)]
    pub action: RuleAction,
    /// Which protocol.
    #[serde(default = "tcp_and_udp")]
    pub protocol: RuleProtocol,
    /// A port, a range, or an alias of ports. Left out: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = r"^([0-9]{1,5}(:[0-9]{1,5})?|[A-Za-z_][A-Za-z0-9_]*)$")
    )]
    pub ports: Option<String>,
}

fn tcp_and_udp() -> RuleProtocol {
    RuleProtocol::TCPUDP
}

impl Default for PoolRule {
    fn default() -> Self {
        Self { action: RuleAction::Pass, protocol: tcp_and_udp(), ports: None }
    }
}

/// One address of a pool.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PoolAddress {
    /// The address outside.
    #[x_kube(validation = Rule::new("isIP(self)").message("must be an IP address"))]
    #[schemars(length(max = 45))]
    pub external: String,
    /// The address inside.
    #[x_kube(validation = Rule::new("isIP(self)").message("must be an IP address"))]
    #[schemars(length(max = 45))]
    pub internal: String,
    /// The MAC of the machine that gets the internal address.
    #[schemars(length(max = 17), regex(pattern = r"^([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}$"))]
    pub mac: String,
}

crate::status::status! {
    /// What the pool holds.
    AddressPoolStatus {
        /// How many addresses the pool has.
        addresses: u32,
        /// How many of them have their rows on the firewall.
        published: u32,
        /// How many of them are claimed.
        claimed: u32,
    }
}
