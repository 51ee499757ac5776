//! The columns of each table that the operator knows, as read and as written.
//!
//! Reading never fails for a value of another type or a missing one: rows of others may hold anything. In the written
//! forms what is `None` is not sent: the box keeps or chooses it. Must not know how rows are sent.

use serde::{Deserialize, Serialize};

use crate::lenient;

/// A virtual IP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct VirtualIp {
    /// A name that stays with the row whatever its position.
    #[serde(deserialize_with = "lenient::text")]
    pub uniqid: String,
    /// `ipalias`, `carp`, `proxyarp`, `other`.
    #[serde(deserialize_with = "lenient::text")]
    pub mode: String,
    /// The interface.
    #[serde(deserialize_with = "lenient::text")]
    pub interface: String,
    /// `single` or `network`.
    #[serde(rename = "type", deserialize_with = "lenient::text")]
    pub kind: String,
    /// The address.
    #[serde(deserialize_with = "lenient::text")]
    pub subnet: String,
    /// The length of its prefix.
    #[serde(deserialize_with = "lenient::option_number")]
    pub subnet_bits: Option<u64>,
    /// The description.
    #[serde(deserialize_with = "lenient::text")]
    pub descr: String,
    /// The CARP group.
    #[serde(deserialize_with = "lenient::option_number")]
    pub vhid: Option<u64>,
    /// The CARP state (`MASTER`, `BACKUP`).
    #[serde(deserialize_with = "lenient::option_text")]
    pub carp_status: Option<String>,
}

/// What to write of a virtual IP.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VirtualIpFields {
    /// Chosen at creation and checked to be unique: repeat a creation with the same one, and there is one row. Cannot be
    /// changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uniqid: Option<String>,
    /// `ipalias`, `carp`, `proxyarp`, `other`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// The interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// `single` or `network`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<String>,
    /// The length of its prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_bits: Option<u8>,
    /// The description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descr: Option<String>,
    /// The CARP group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vhid: Option<u8>,
}

/// A 1:1 translation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct OneToOne {
    /// The interface.
    #[serde(deserialize_with = "lenient::text")]
    pub interface: String,
    /// Whether it is off.
    #[serde(deserialize_with = "lenient::flag")]
    pub disabled: bool,
    /// Whether it is an exception from another one.
    #[serde(deserialize_with = "lenient::flag")]
    pub nobinat: bool,
    /// `enable`, `disable`, or as the box is set.
    #[serde(deserialize_with = "lenient::option_text")]
    pub natreflection: Option<String>,
    /// `inet` or `inet6`.
    #[serde(deserialize_with = "lenient::text")]
    pub ipprotocol: String,
    /// The public address.
    #[serde(deserialize_with = "lenient::text")]
    pub external: String,
    /// The internal address.
    #[serde(deserialize_with = "lenient::text")]
    pub source: String,
    /// For which peers; `any`.
    #[serde(deserialize_with = "lenient::text")]
    pub destination: String,
    /// The description: all that tells two equal rows apart.
    #[serde(deserialize_with = "lenient::text")]
    pub descr: String,
}

/// What to write of a 1:1 translation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OneToOneFields {
    /// The interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Whether it is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// Whether it is an exception.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nobinat: Option<bool>,
    /// `Some(None)` is as the box is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub natreflection: Option<Option<String>>,
    /// `inet` or `inet6`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipprotocol: Option<String>,
    /// The **public** address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<String>,
    /// The **internal** address. Exchanged with `destination` the box accepts it and translates the wrong way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// For which peers; `any`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// The description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descr: Option<String>,
}

/// A DHCP reservation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct StaticMap {
    /// The interface.
    #[serde(rename = "parent_id", deserialize_with = "lenient::text")]
    pub interface: String,
    /// The hardware address. The box takes the same one twice where the case differs.
    #[serde(deserialize_with = "lenient::text")]
    pub mac: String,
    /// The address given.
    #[serde(deserialize_with = "lenient::option_text")]
    pub ipaddr: Option<String>,
    /// The client identifier.
    #[serde(deserialize_with = "lenient::option_text")]
    pub cid: Option<String>,
    /// The host name given.
    #[serde(deserialize_with = "lenient::text")]
    pub hostname: String,
    /// The domain given.
    #[serde(deserialize_with = "lenient::text")]
    pub domain: String,
    /// The gateway given.
    #[serde(deserialize_with = "lenient::text")]
    pub gateway: String,
    /// The DNS servers given.
    #[serde(deserialize_with = "lenient::list")]
    pub dnsserver: Vec<String>,
    /// The description.
    #[serde(deserialize_with = "lenient::text")]
    pub descr: String,
}

/// What to write of a DHCP reservation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StaticMapFields {
    /// The interface; needed at creation, cannot be changed.
    #[serde(rename = "parent_id", skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The hardware address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// The address given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipaddr: Option<String>,
    /// The host name given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The domain given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// The gateway given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// The DNS servers given, four at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dnsserver: Option<Vec<String>>,
    /// The description; 255 bytes at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descr: Option<String>,
}

/// A filter rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(clippy::struct_excessive_bools, reason = "the columns are the package's")]
pub struct FirewallRule {
    /// `pass`, `block`, `reject`.
    #[serde(rename = "type", deserialize_with = "lenient::text")]
    pub action: String,
    /// The interfaces.
    #[serde(deserialize_with = "lenient::list")]
    pub interface: Vec<String>,
    /// `inet`, `inet6`, `inet46`.
    #[serde(deserialize_with = "lenient::text")]
    pub ipprotocol: String,
    /// The protocol; none is any.
    #[serde(deserialize_with = "lenient::option_text")]
    pub protocol: Option<String>,
    /// The ICMP types.
    #[serde(deserialize_with = "lenient::list")]
    pub icmptype: Vec<String>,
    /// From where.
    #[serde(deserialize_with = "lenient::text")]
    pub source: String,
    /// From which port; none is any.
    #[serde(deserialize_with = "lenient::option_text")]
    pub source_port: Option<String>,
    /// To where.
    #[serde(deserialize_with = "lenient::text")]
    pub destination: String,
    /// To which port; none is any.
    #[serde(deserialize_with = "lenient::option_text")]
    pub destination_port: Option<String>,
    /// The description.
    #[serde(deserialize_with = "lenient::text")]
    pub descr: String,
    /// Whether it is off.
    #[serde(deserialize_with = "lenient::flag")]
    pub disabled: bool,
    /// Whether matches are logged.
    #[serde(deserialize_with = "lenient::flag")]
    pub log: bool,
    /// `keep state` and others.
    #[serde(deserialize_with = "lenient::text")]
    pub statetype: String,
    /// The gateway to use.
    #[serde(deserialize_with = "lenient::option_text")]
    pub gateway: Option<String>,
    /// Whether it stands before all rules of interfaces.
    #[serde(deserialize_with = "lenient::flag")]
    pub floating: bool,
    /// Whether a floating rule ends the search.
    #[serde(deserialize_with = "lenient::flag")]
    pub quick: bool,
    /// `in`, `out`, `any`, of a floating rule.
    #[serde(deserialize_with = "lenient::option_text")]
    pub direction: Option<String>,
    /// A number that stays with the row; not always unique.
    #[serde(deserialize_with = "lenient::option_number")]
    pub tracker: Option<u64>,
    /// Set where a port forward made the rule.
    #[serde(deserialize_with = "lenient::option_text")]
    pub associated_rule_id: Option<String>,
}

/// What to write of a filter rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FirewallRuleFields {
    /// `pass`, `block`, `reject`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The interfaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<Vec<String>>,
    /// `inet`, `inet6`, `inet46`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipprotocol: Option<String>,
    /// `Some(None)` is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Option<String>>,
    /// The ICMP types.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmptype: Option<Vec<String>>,
    /// From where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `Some(None)` is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_port: Option<Option<String>>,
    /// To where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// `Some(None)` is any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_port: Option<Option<String>>,
    /// The description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descr: Option<String>,
    /// Whether it is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
    /// Whether matches are logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<bool>,
    /// `keep state` and others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statetype: Option<String>,
    /// Chosen at creation; not checked to be unique, cannot be changed. Without it, rules made in one second share one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracker: Option<u64>,
    /// The position to land on; one past the last is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<usize>,
}

/// A named group of addresses, networks or ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Alias {
    /// Its name.
    #[serde(deserialize_with = "lenient::text")]
    pub name: String,
    /// `host`, `network`, `port`.
    #[serde(rename = "type", deserialize_with = "lenient::text")]
    pub kind: String,
    /// The description.
    #[serde(deserialize_with = "lenient::text")]
    pub descr: String,
    /// The members.
    #[serde(deserialize_with = "lenient::list")]
    pub address: Vec<String>,
    /// A text for each member, by position; may be fewer.
    #[serde(deserialize_with = "lenient::list")]
    pub detail: Vec<String>,
}

/// What to write of an alias.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AliasFields {
    /// Its name; cannot be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `host`, `network`, `port`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub descr: Option<String>,
    /// The members, together with their texts: the box refuses fewer members than it holds texts.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub members: Option<AliasMembers>,
}

/// The members of an alias with a text for each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct AliasMembers {
    /// The members.
    pub address: Vec<String>,
    /// A text for each, by position.
    pub detail: Vec<String>,
}
