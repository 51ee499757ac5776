//! FirewallRule: one rule of the packet filter.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::common::{DeletionPolicy, yes};

/// One rule of a Firewall's packet filter.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[kube(
    group = "skyy.helloskyy.io",
    version = "v1alpha1",
    kind = "FirewallRule",
    plural = "firewallrules",
    shortname = "fwr",
    category = "skyy",
    namespaced,
    status = "FirewallRuleStatus",
    derive = "PartialEq",
    doc = "One rule of a Firewall's packet filter. Rules of one interface stand in the order of their priority, after the rules of others.",
    selectable = ".spec.firewall",
    printcolumn(name = "Action", type_ = "string", json_path = ".spec.action"),
    printcolumn(name = "Protocol", type_ = "string", json_path = ".spec.protocol"),
    printcolumn(name = "Destination", type_ = "string", json_path = ".spec.destination.address"),
    printcolumn(name = "Priority", type_ = "integer", json_path = ".spec.priority", priority = 1),
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
    validation = Rule::new("(!has(self.source.ports) && !has(self.destination.ports)) || self.protocol in ['TCP', 'UDP', 'TCPUDP']").message("ports need protocol TCP, UDP or TCPUDP").field_path(".protocol")
)]
#[schemars(transform = crate::schema::int_formats)]
#[serde(rename_all = "camelCase")]
pub struct FirewallRuleSpec {
    /// The Firewall's name.
    #[schemars(length(min = 1, max = 63))]
    pub firewall: String,

    /// The firewall's interfaces on which the rule looks at packets that come in: `wan`, `lan`, `opt3`.
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 32)))]
    pub interfaces: Vec<String>,

    /// What happens to a packet that matches.
    #[serde(default)]
    pub action: RuleAction,

    /// Which Internet protocol.
    #[serde(default)]
    pub ip_family: IpFamily,

    /// Which protocol inside.
    #[serde(default)]
    pub protocol: RuleProtocol,

    /// Where the packet comes from.
    #[serde(default)]
    pub source: RuleEnd,

    /// Where the packet goes. After 1:1 NAT this is the internal address.
    #[serde(default)]
    pub destination: RuleEnd,

    /// Whether a packet that matches is logged.
    #[serde(default)]
    pub log: bool,

    /// Whether the rule is in force.
    #[serde(default = "yes")]
    pub enabled: bool,

    /// Rules with a smaller number come first; equal ones stand by namespace and name.
    #[serde(default)]
    #[schemars(range(min = -10_000, max = 10_000))]
    pub priority: i32,

    /// What it is for; stands before the operator's mark in the row's description.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 200), regex(pattern = r"^[^\x00-\x1f\x7f]*$"))]
    pub description: String,

    /// What happens to the row when this object is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// One end of the traffic that a rule looks at.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RuleEnd {
    /// `any`, an address, a network without host bits, an interface (`lan` is its network, `lan:ip` its address), or an alias.
    #[serde(default = "any")]
    #[x_kube(validation = Rule::new("!isCIDR(self) || cidr(self).masked() == cidr(self)").message("has host bits set: write the network's own address, or one address without a prefix length"))]
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[A-Za-z0-9_.:()/-]+$"))]
    pub address: String,

    /// Everything but the address.
    #[serde(default)]
    pub invert: bool,

    /// A port (`443`), a range (`8000:8100`), or an alias of ports. Left out: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 64),
        regex(pattern = r"^([0-9]{1,5}(:[0-9]{1,5})?|[A-Za-z_][A-Za-z0-9_]*)$")
    )]
    pub ports: Option<String>,
}

impl Default for RuleEnd {
    fn default() -> Self {
        Self { address: any(), invert: false, ports: None }
    }
}

fn any() -> String {
    "any".into()
}

/// What happens to a packet that matches.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, schemars::JsonSchema)]
pub enum RuleAction {
    /// It goes through.
    #[default]
    Pass,
    /// It is dropped without an answer.
    Block,
    /// It is dropped, and the sender is told.
    Reject,
}

/// Which Internet protocol.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, schemars::JsonSchema)]
pub enum IpFamily {
    /// IPv4.
    #[default]
    IPv4,
    /// IPv6.
    IPv6,
    /// Both.
    Both,
}

/// Which protocol inside.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, schemars::JsonSchema)]
pub enum RuleProtocol {
    /// All of them.
    #[default]
    Any,
    /// TCP.
    TCP,
    /// UDP.
    UDP,
    /// TCP and UDP.
    TCPUDP,
    /// ICMP, all types.
    ICMP,
    /// ESP.
    ESP,
    /// AH.
    AH,
    /// GRE.
    GRE,
    /// IGMP.
    IGMP,
    /// OSPF.
    OSPF,
}

crate::status::status! {
    /// What the operator saw of the row.
    FirewallRuleStatus {}
}
