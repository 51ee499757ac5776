//! Static mappings of the DHCP servers: the row, and how the package spells it.
//!
//! What the object cannot say (client identifier, lease times, NTP and WINS servers, static ARP) is left as it is.

use std::{fmt, net::Ipv4Addr};

use serde_json::{Value, json};
use skyy_api::address::Mac;

use super::{
    RowKind,
    rows::{Raw, Row, string, strings},
};

/// A static mapping of an interface's DHCP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpRow {
    /// The interface whose server it is: part of the key.
    pub interface: String,
    /// The machine's hardware address: the other part.
    pub mac: Mac,
    /// The address that it gets.
    pub address: Ipv4Addr,
    /// The host name that it gets.
    pub hostname: String,
    /// The domain that it gets.
    pub domain: String,
    /// The gateway that it gets; none: the interface's own address.
    pub gateway: Option<Ipv4Addr>,
    /// The name servers that it gets; none: the server's.
    pub dns_servers: Vec<Ipv4Addr>,
    /// What people say of it.
    pub text: String,
}

/// A hardware address on an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DhcpKey {
    /// The hardware address.
    pub mac: Mac,
    /// The interface.
    pub interface: String,
}

impl fmt::Display for DhcpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.mac, self.interface)
    }
}

impl Row for DhcpRow {
    const KIND: RowKind = RowKind::DhcpReservation;
    const NOUN: &'static str = "static mapping";
    type Key = DhcpKey;

    fn key(&self) -> DhcpKey {
        DhcpKey { mac: self.mac, interface: self.interface.clone() }
    }

    fn key_of(raw: &Raw) -> Option<DhcpKey> {
        Some(DhcpKey { mac: string(raw, "mac").parse().ok()?, interface: string(raw, "parent_id") })
    }

    fn read(raw: &Raw, text: &str) -> Option<Self> {
        let key = Self::key_of(raw)?;
        let gateway = match string(raw, "gateway").as_str() {
            "" => None,
            address => Some(address.parse().ok()?),
        };
        let servers = strings(raw.get("dnsserver").unwrap_or(&Value::Null));
        Some(Self {
            interface: key.interface,
            mac: key.mac,
            address: string(raw, "ipaddr").parse().ok()?,
            hostname: string(raw, "hostname"),
            domain: string(raw, "domain"),
            gateway,
            dns_servers: servers.iter().map(|server| server.parse().ok()).collect::<Option<_>>()?,
            text: text.to_owned(),
        })
    }

    fn fields(&self) -> Raw {
        let gateway = self.gateway.map(|address| address.to_string()).unwrap_or_default();
        let servers: Vec<String> = self.dns_servers.iter().map(ToString::to_string).collect();
        let mut fields = Raw::new();
        fields.insert("mac".into(), json!(self.mac.to_string()));
        fields.insert("ipaddr".into(), json!(self.address.to_string()));
        fields.insert("hostname".into(), json!(self.hostname));
        fields.insert("domain".into(), json!(self.domain));
        fields.insert("gateway".into(), json!(gateway));
        fields.insert("dnsserver".into(), json!(servers));
        fields
    }

    fn canonical(field: &str, value: &Value) -> Value {
        match field {
            "mac" => value
                .as_str()
                .and_then(|text| text.trim().parse::<Mac>().ok())
                .map_or_else(|| value.clone(), |mac| json!(mac.to_string())),
            "dnsserver" => json!(strings(value)),
            _ => value.clone(),
        }
    }

    fn text(&self) -> &str {
        &self.text
    }

    fn sentence(&self) -> String {
        format!("{} gets {} on {}", self.mac, self.address, self.interface)
    }

    fn set_text(&mut self, text: String) {
        self.text = text;
    }

    /// A mapping cannot change its server: it is made anew on the other one.
    fn can_move(from: &DhcpKey, to: &DhcpKey) -> bool {
        from.interface == to.interface
    }
}
