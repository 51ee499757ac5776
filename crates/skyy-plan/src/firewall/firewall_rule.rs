//! Rules of the packet filter: the row, and how the package spells it.
//!
//! The package takes several interfaces only for floating rules, which stand before all others. A rule on several
//! interfaces is therefore one row on each.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;
use serde_json::{Value, json};
use skyy_api::firewall_rule::{IpFamily, RuleAction, RuleProtocol};

use super::{
    RowKind,
    rows::{Raw, Row, boolean, number, string, strings},
};

/// Where traffic comes from or goes to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Address {
    /// Everywhere.
    Any,
    /// The firewall itself, on all its addresses.
    Firewall,
    /// A network, or one address.
    Net(IpNet),
    /// An interface's network (`lan`), its address (`lan:ip`), or an alias.
    Named(String),
}

impl Address {
    /// What the package's text means, and whether it is inverted by a `!`.
    pub(crate) fn read(text: &str) -> (Self, bool) {
        let text = text.trim();
        let (text, inverted) = text.strip_prefix('!').map_or((text, false), |rest| (rest.trim(), true));
        let address = match text {
            "any" => Self::Any,
            "(self)" => Self::Firewall,
            text => text
                .parse::<IpNet>()
                .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
                .map_or_else(|_| Self::Named(text.to_owned()), Self::Net),
        };
        (address, inverted)
    }

    pub(crate) fn canonical(text: &str) -> String {
        let (address, inverted) = Self::read(text);
        if inverted { format!("!{address}") } else { address.to_string() }
    }

    /// The address, where it is one alone.
    pub(crate) fn single(&self) -> Option<IpAddr> {
        match self {
            Self::Net(net) if net.prefix_len() == net.max_prefix_len() => Some(net.addr()),
            _ => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Firewall => f.write_str("(self)"),
            Self::Net(net) => match self.single() {
                Some(address) => write!(f, "{address}"),
                None => write!(f, "{net}"),
            },
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// One end of the traffic that a rule looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// Where.
    pub address: Address,
    /// Everywhere but there.
    pub invert: bool,
    /// A port, a range `8000:8100`, or an alias of ports; none: all.
    pub ports: Option<String>,
}

impl End {
    fn word(&self) -> String {
        if self.invert { format!("!{}", self.address) } else { self.address.to_string() }
    }

    fn read(raw: &Raw, address: &str, ports: &str) -> Self {
        let (address, invert) = Address::read(&string(raw, address));
        let ports = Some(string(raw, ports)).filter(|ports| !ports.is_empty());
        Self { address, invert, ports: ports.map(|ports| canonical_ports(&ports)) }
    }
}

/// `80:80` is `80`.
pub(crate) fn canonical_ports(ports: &str) -> String {
    match ports.split_once(':') {
        Some((from, to)) if from == to => from.to_owned(),
        _ => ports.to_owned(),
    }
}

/// A rule of the packet filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleRow {
    /// The interfaces: one for a row, one or more for what an object asks.
    pub interfaces: Vec<String>,
    /// What happens to a packet that matches.
    pub action: RuleAction,
    /// Which Internet protocol.
    pub family: IpFamily,
    /// Which protocol inside.
    pub protocol: RuleProtocol,
    /// Where the packet comes from.
    pub source: End,
    /// Where it goes.
    pub destination: End,
    /// Whether a packet that matches is logged.
    pub log: bool,
    /// Whether the rule is in force.
    pub enabled: bool,
    /// What people say of it.
    pub text: String,
}

impl RuleRow {
    /// The row on one of its interfaces.
    pub(crate) fn on(&self, interface: &str) -> Self {
        Self { interfaces: vec![interface.to_owned()], ..self.clone() }
    }

    fn action_word(&self) -> &'static str {
        match self.action {
            RuleAction::Pass => "pass",
            RuleAction::Block => "block",
            RuleAction::Reject => "reject",
        }
    }

    fn family_word(&self) -> &'static str {
        match self.family {
            IpFamily::IPv4 => "inet",
            IpFamily::IPv6 => "inet6",
            IpFamily::Both => "inet46",
        }
    }
}

fn protocol_word(protocol: RuleProtocol) -> Option<&'static str> {
    Some(match protocol {
        RuleProtocol::Any => return None,
        RuleProtocol::TCP => "tcp",
        RuleProtocol::UDP => "udp",
        RuleProtocol::TCPUDP => "tcp/udp",
        RuleProtocol::ICMP => "icmp",
        RuleProtocol::ESP => "esp",
        RuleProtocol::AH => "ah",
        RuleProtocol::GRE => "gre",
        RuleProtocol::IGMP => "igmp",
        RuleProtocol::OSPF => "ospf",
    })
}

fn protocol_of(word: &str) -> Option<RuleProtocol> {
    const ALL: [RuleProtocol; 10] = [
        RuleProtocol::Any,
        RuleProtocol::TCP,
        RuleProtocol::UDP,
        RuleProtocol::TCPUDP,
        RuleProtocol::ICMP,
        RuleProtocol::ESP,
        RuleProtocol::AH,
        RuleProtocol::GRE,
        RuleProtocol::IGMP,
        RuleProtocol::OSPF,
    ];
    ALL.into_iter().find(|protocol| protocol_word(*protocol).unwrap_or_default() == word)
}

/// Settings of a rule that an object cannot say. On a row of ours they stand at nothing: each of them (a schedule, a
/// gateway, a TCP flag) makes the rule mean something else than the object says.
const NEVER_SET: [&str; 9] = [
    "dscp",
    "tcp_flags_out_of",
    "tcp_flags_set",
    "gateway",
    "sched",
    "dnpipe",
    "pdnpipe",
    "defaultqueue",
    "ackqueue",
];

/// Whether a row floats: it stands before all others and belongs to no interface's list.
pub(crate) fn floats(raw: &Raw) -> bool {
    raw.get("floating").is_some_and(boolean)
}

/// The interfaces of a row that does not float.
pub(crate) fn interfaces(raw: &Raw) -> Vec<String> {
    if floats(raw) { Vec::new() } else { strings(raw.get("interface").unwrap_or(&Value::Null)) }
}

/// Its tracker, where it has one that we could have chosen.
pub(crate) fn tracker_of(raw: &Raw) -> Option<u32> {
    raw.get("tracker").and_then(number).and_then(|tracker| u32::try_from(tracker).ok())
}

impl Row for RuleRow {
    const KIND: RowKind = RowKind::FirewallRule;
    const NOUN: &'static str = "rule";
    /// Rules share everything freely; among those of one owner, the interface tells them apart.
    type Key = String;

    fn key(&self) -> String {
        self.interfaces.join(",")
    }

    fn key_of(raw: &Raw) -> Option<String> {
        let mut interfaces = interfaces(raw);
        if interfaces.len() == 1 { interfaces.pop() } else { None }
    }

    fn read(raw: &Raw, text: &str) -> Option<Self> {
        if floats(raw) {
            return None;
        }
        let action = match string(raw, "type").as_str() {
            "pass" => RuleAction::Pass,
            "block" => RuleAction::Block,
            "reject" => RuleAction::Reject,
            _ => return None,
        };
        let family = match string(raw, "ipprotocol").as_str() {
            "inet" => IpFamily::IPv4,
            "inet6" => IpFamily::IPv6,
            "inet46" => IpFamily::Both,
            _ => return None,
        };
        Some(Self {
            interfaces: vec![Self::key_of(raw)?],
            action,
            family,
            protocol: protocol_of(&string(raw, "protocol"))?,
            source: End::read(raw, "source", "source_port"),
            destination: End::read(raw, "destination", "destination_port"),
            log: raw.get("log").is_some_and(boolean),
            enabled: !raw.get("disabled").is_some_and(boolean),
            text: text.to_owned(),
        })
    }

    fn fields(&self) -> Raw {
        let mut fields = Raw::new();
        fields.insert("type".into(), json!(self.action_word()));
        fields.insert("interface".into(), json!(self.interfaces));
        fields.insert("ipprotocol".into(), json!(self.family_word()));
        fields.insert("protocol".into(), json!(protocol_word(self.protocol)));
        if self.protocol == RuleProtocol::ICMP {
            fields.insert("icmptype".into(), json!(["any"]));
        }
        fields.insert("source".into(), json!(self.source.word()));
        fields.insert("source_port".into(), json!(self.source.ports));
        fields.insert("destination".into(), json!(self.destination.word()));
        fields.insert("destination_port".into(), json!(self.destination.ports));
        fields.insert("disabled".into(), json!(!self.enabled));
        fields.insert("log".into(), json!(self.log));
        fields.insert("statetype".into(), json!("keep state"));
        fields.insert("tcp_flags_any".into(), json!(false));
        // The only one of its kind that the package does not take as null.
        fields.insert("tag".into(), json!(""));
        for field in NEVER_SET {
            fields.insert(field.into(), Value::Null);
        }
        fields
    }

    fn canonical(field: &str, value: &Value) -> Value {
        match field {
            "source" | "destination" => {
                value.as_str().map_or(Value::Null, |text| json!(Address::canonical(text)))
            }
            "source_port" | "destination_port" => match value {
                Value::String(ports) => json!(canonical_ports(ports)),
                Value::Number(port) => json!(port.to_string()),
                _ => Value::Null,
            },
            "interface" | "icmptype" => json!(strings(value)),
            "disabled" | "log" | "tcp_flags_any" => json!(boolean(value)),
            "statetype" if value.is_null() => json!("keep state"),
            _ => value.clone(),
        }
    }

    fn text(&self) -> &str {
        &self.text
    }

    fn sentence(&self) -> String {
        let end = |end: &End| match &end.ports {
            Some(ports) => format!("{} port {ports}", end.word()),
            None => end.word(),
        };
        let protocol = protocol_word(self.protocol).unwrap_or("all");
        format!(
            "{} {protocol} from {} to {} on {}",
            self.action_word(),
            end(&self.source),
            end(&self.destination),
            self.interfaces.join(", ")
        )
    }

    fn set_text(&mut self, text: String) {
        self.text = text;
    }

    fn witness(raw: &Raw) -> Option<String> {
        tracker_of(raw).map(|tracker| tracker.to_string())
    }
}
