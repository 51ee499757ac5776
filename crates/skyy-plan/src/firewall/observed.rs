//! The firewall as it was seen.
//!
//! Built from the package's answers; it must not know what anybody wants.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use ipnet::IpNet;
use serde_json::Value;

use super::{
    DhcpRow, NatRow, RuleRow, Subsystem, VipRow,
    rows::{Raw, Seen, string},
};

/// One interface of the firewall.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// The name by which rows refer to it: `wan`, `lan`, `opt3`.
    pub name: String,
    /// What people call it.
    pub description: String,
    /// Its own addresses, with the prefix of their networks.
    pub addresses: Vec<IpNet>,
    /// Whether more than its own networks lies behind it.
    pub gateway: bool,
}

impl Interface {
    /// An interface as `GET interfaces` answers it.
    pub fn from_raw(raw: &Raw) -> Self {
        let address = |ip: &str, prefix: &str| -> Option<IpNet> {
            let prefix = raw.get(prefix).and_then(super::rows::number)?;
            IpNet::new(string(raw, ip).parse().ok()?, u8::try_from(prefix).ok()?).ok()
        };
        let name = string(raw, "id");
        Self {
            name: if name.is_empty() { string(raw, "name") } else { name },
            description: string(raw, "descr"),
            addresses: [address("ipaddr", "subnet"), address("ipaddrv6", "subnetv6")]
                .into_iter()
                .flatten()
                .collect(),
            gateway: ["gateway", "gatewayv6"].iter().any(|field| !string(raw, field).is_empty()),
        }
    }
}

/// The DHCP server of one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DhcpServer {
    /// The ranges from which it gives out addresses.
    pub pools: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// Its static mappings, in the order in which the package lists them.
    pub static_maps: Vec<Seen<DhcpRow>>,
}

impl DhcpServer {
    /// The static mappings of an interface, as `GET services/dhcp_server/static_mappings?parent_id=…` answers them.
    pub fn from_raw(interface: &str, pools: Vec<(Ipv4Addr, Ipv4Addr)>, static_maps: Vec<Raw>) -> Self {
        let named = static_maps.into_iter().map(|mut raw| {
            raw.insert("parent_id".into(), Value::String(interface.to_owned()));
            raw
        });
        Self { pools, static_maps: Seen::list(named.collect()) }
    }

    /// A server as `GET services/dhcp_servers` answers it, with its name.
    pub fn from_server(raw: &Raw) -> (String, Self) {
        let interface = match string(raw, "interface") {
            name if name.is_empty() => string(raw, "id"),
            name => name,
        };
        let range = |raw: &Raw| {
            Some((string(raw, "range_from").parse().ok()?, string(raw, "range_to").parse().ok()?))
        };
        let objects = |field: &str| -> Vec<Raw> {
            let items = raw.get(field).and_then(Value::as_array);
            items.into_iter().flatten().filter_map(|item| item.as_object().cloned()).collect()
        };
        let pools = range(raw).into_iter().chain(objects("pool").iter().filter_map(range)).collect();
        let server = Self::from_raw(&interface, pools, objects("staticmap"));
        (interface, server)
    }
}

/// All that was seen of one firewall.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The virtual IPs.
    pub vips: Vec<Seen<VipRow>>,
    /// The 1:1 NAT mappings.
    pub nats: Vec<Seen<NatRow>>,
    /// The DHCP servers, by interface.
    pub dhcp: BTreeMap<String, DhcpServer>,
    /// The rules of the packet filter.
    pub rules: Vec<Seen<RuleRow>>,
    /// The interfaces.
    pub interfaces: Vec<Interface>,
    /// What aliases of addresses stand for, where it is known.
    pub aliases: BTreeMap<String, Vec<IpNet>>,
    /// What was written and perhaps never became effective: an apply that the package says is pending, a write of ours
    /// since the last apply that was seen to end, and everything that we own after a restart. Rules never show as
    /// pending, so only the writer's own memory can tell.
    pub unapplied: BTreeSet<Subsystem>,
}

impl Observed {
    /// What the four lists hold.
    pub fn from_raw(
        vips: Vec<Raw>,
        nats: Vec<Raw>,
        dhcp: BTreeMap<String, DhcpServer>,
        rules: Vec<Raw>,
    ) -> Self {
        Self {
            vips: Seen::list(vips),
            nats: Seen::list(nats),
            dhcp,
            rules: Seen::list(rules),
            ..Self::default()
        }
    }
}
