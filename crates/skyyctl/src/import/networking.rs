//! `networking_*.yaml` of the prototype: external addresses with the internal ones and the MACs behind them.
//!
//! Knows nothing of resources, apart from the values they take.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use ipnet::IpNet;
use skyy_api::address::Mac;

use super::{
    fields::{At, Fields},
    names,
    report::Report,
    secret,
    yaml::Node,
};

/// More entries than this do not fit into one AddressPool.
const MAX_ADDRESSES: usize = 4096;

/// The addresses of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The file.
    pub file: String,
    /// The line of the list.
    pub line: usize,
    /// The name for the object.
    pub name: String,
    /// The usable entries in their order.
    pub entries: Vec<Entry>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The address outside.
    pub external: IpAddr,
    /// The address inside.
    pub internal: IpAddr,
    /// The machine.
    pub mac: Mac,
    /// Where it begins.
    pub line: usize,
}

/// What earlier entries, of all files, took already.
#[derive(Debug, Default)]
pub struct Taken {
    addresses: HashMap<IpAddr, String>,
    macs: HashMap<Mac, String>,
}

/// Reads a list; nothing when no entry of it can be used.
///
/// `prefix` is the length of the external network's prefix.
pub fn read(
    file: &str,
    stem: &str,
    node: &Node,
    prefix: u8,
    taken: &mut Taken,
    report: &mut Report,
) -> Option<Pool> {
    let mut fields = Fields::of(file, "", node, report)?;
    let line = fields.line_of("ips").unwrap_or(node.line);
    if fields.line_of("ips").is_none() {
        report.error(file, node.line, "ips", "missing; there are no addresses to take");
    }
    let items = fields.items("ips", report);
    let count = items.len();
    let mut entries: Vec<Entry> = items.iter().filter_map(|item| entry(file, item, taken, report)).collect();
    fields.rest(&[], report);
    if entries.len() > MAX_ADDRESSES {
        let message = format!(
            "{} addresses, and a pool takes {MAX_ADDRESSES}: the rest is left out; split the file",
            entries.len()
        );
        report.error(file, entries[MAX_ADDRESSES].line, "ips", message);
        entries.truncate(MAX_ADDRESSES);
    }
    if entries.is_empty() {
        let message = if count == 0 { "no entries" } else { "none of the entries can be used" };
        report.error(file, line, "ips", message);
        return None;
    }
    judge(file, &entries, prefix, report);
    let site = stem.trim_start_matches("networking").trim_start_matches(['_', '-', '.']);
    let name = names::object_name(site).unwrap_or_else(|| "public".to_owned());
    Some(Pool { file: file.to_owned(), line, name, entries })
}

fn entry(file: &str, item: &Node, taken: &mut Taken, report: &mut Report) -> Option<Entry> {
    let mut fields = Fields::of(file, "ips[]", item, report)?;
    let mut texts = BTreeMap::new();
    for key in ["public_ip", "internal_ip", "mac"] {
        if let Some(at) = fields.text(key, report) {
            texts.insert(key, at);
        } else {
            let line = fields.line_of(key).unwrap_or(item.line);
            report.error(file, line, format!("ips[].{key}"), "missing or empty; the entry is left out");
        }
    }
    fields.rest(&[], report);
    let external = texts.get("public_ip").and_then(|at| address(file, "ips[].public_ip", at, report));
    let internal = texts.get("internal_ip").and_then(|at| address(file, "ips[].internal_ip", at, report));
    let mac = texts.get("mac").and_then(|at| hardware(file, at, report));
    let (external, internal, mac) = (external?, internal?, mac?);
    if external.value == internal.value {
        let message = format!("{} is also the external address; the entry is left out", internal.value);
        report.error(file, internal.line, "ips[].internal_ip", message);
        return None;
    }
    if external.value.is_ipv4() != internal.value.is_ipv4() {
        let message = format!(
            "{} and {} are of different families; the entry is left out",
            external.value, internal.value
        );
        report.error(file, internal.line, "ips[].internal_ip", message);
        return None;
    }
    let mut free = true;
    for (key, at) in [("public_ip", &external), ("internal_ip", &internal)] {
        if let Some(place) = taken.addresses.get(&at.value) {
            let message = format!("{} is there already ({place}); the entry is left out", at.value);
            report.error(file, at.line, format!("ips[].{key}"), message);
            free = false;
        }
    }
    if let Some(place) = taken.macs.get(&mac.value) {
        let message = format!(
            "{} is there already ({place}): one machine cannot have two reservations; the entry is left out",
            mac.value
        );
        report.error(file, mac.line, "ips[].mac", message);
        free = false;
    }
    if !free {
        return None;
    }
    for at in [&external, &internal] {
        taken.addresses.insert(at.value, format!("{file}:{}", at.line));
    }
    taken.macs.insert(mac.value, format!("{file}:{}", mac.line));
    Some(Entry { external: external.value, internal: internal.value, mac: mac.value, line: item.line })
}

fn address(file: &str, subject: &str, at: &At<String>, report: &mut Report) -> Option<At<IpAddr>> {
    let refuse = |report: &mut Report, why: &str| {
        report.error(
            file,
            at.line,
            subject,
            format!("{} {why}; the entry is left out", secret::shown(&at.value)),
        );
        None
    };
    match at.value.trim().parse::<IpAddr>() {
        Err(_) => refuse(report, "is not an IP address"),
        Ok(ip) if ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() => {
            refuse(report, "is no address of a machine")
        }
        Ok(IpAddr::V4(v4)) if v4.is_broadcast() || v4.octets()[0] >= 240 || v4.octets()[0] == 0 => {
            refuse(report, "is no address of a machine")
        }
        Ok(ip) => Some(At { value: ip, line: at.line }),
    }
}

fn hardware(file: &str, at: &At<String>, report: &mut Report) -> Option<At<Mac>> {
    let refuse = |report: &mut Report, why: String| {
        report.error(file, at.line, "ips[].mac", format!("{why}; the entry is left out"));
        None
    };
    let mac: Mac = match at.value.trim().parse() {
        Ok(mac) => mac,
        Err(_) if secret::is_secret_value(&at.value) => return refuse(report, "not a MAC".to_owned()),
        Err(error) => return refuse(report, error.to_string()),
    };
    let text = mac.to_string();
    // The lowest bit of the first byte makes it the address of a group.
    let first = u8::from_str_radix(&text[..2], 16).unwrap_or(1);
    if first & 1 == 1 || text == "00:00:00:00:00:00" {
        return refuse(report, format!("{text} is no MAC of one machine"));
    }
    Some(At { value: mac, line: at.line })
}

/// Looks at the list as a whole.
fn judge(file: &str, entries: &[Entry], prefix: u8, report: &mut Report) {
    let private = |ip: &IpAddr| match ip {
        IpAddr::V4(v4) => {
            v4.is_private() || v4.is_link_local() || v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    };
    let mut some = |subject: &str, odd: Vec<(IpAddr, usize)>, why: &str| {
        if let Some((ip, line)) = odd.first() {
            let more = match odd.len() - 1 {
                0 => String::new(),
                n => format!(" (and {n} more)"),
            };
            report.warning(file, *line, subject, format!("{ip}{more} {why}"));
        }
    };
    let inside_public: Vec<_> = entries
        .iter()
        .filter(|e| !private(&e.internal) && !documentation(&e.internal))
        .map(|e| (e.internal, e.line))
        .collect();
    some(
        "ips[].internal_ip",
        inside_public,
        "is an address of the public Internet, used inside: its real owner cannot be reached from there",
    );
    let outside_private: Vec<_> =
        entries.iter().filter(|e| private(&e.external)).map(|e| (e.external, e.line)).collect();
    some("ips[].public_ip", outside_private, "is a private address, used outside");
    let external = |e: &Entry| IpNet::new(e.external, prefix).map(|n| n.trunc());
    let edges: Vec<_> = entries
        .iter()
        .filter(|e| {
            external(e).is_ok_and(|n| {
                n.max_prefix_len() - n.prefix_len() > 1 && [n.network(), n.broadcast()].contains(&e.external)
            })
        })
        .map(|e| (e.external, e.line))
        .collect();
    some(
        "ips[].public_ip",
        edges,
        "is the first or the last address of its network, which no machine can have",
    );
    let stray = strays(entries, |e| e.external, |_| prefix);
    some("ips[].public_ip", stray, &format!("is outside of the /{prefix} that the others are in"));
    let stray = strays(entries, |e| e.internal, |ip| if ip.is_ipv4() { 16 } else { 64 });
    some("ips[].internal_ip", stray, "is in another network than the others");
}

/// The addresses outside of the network that most are in.
fn strays(
    entries: &[Entry],
    of: impl Fn(&Entry) -> IpAddr,
    prefix: impl Fn(IpAddr) -> u8,
) -> Vec<(IpAddr, usize)> {
    let net = |e: &Entry| IpNet::new(of(e), prefix(of(e))).map(|n| n.trunc()).ok();
    let mut nets: BTreeMap<Option<IpNet>, usize> = BTreeMap::new();
    for entry in entries {
        *nets.entry(net(entry)).or_default() += 1;
    }
    let usual = nets.iter().max_by_key(|(_, n)| **n).and_then(|(net, _)| *net);
    entries.iter().filter(|e| net(e) != usual).map(|e| (of(e), e.line)).collect()
}

/// Ranges for documentation and benchmarks: neither private nor anybody's.
fn documentation(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_documentation() || v4.octets()[0] == 198 && v4.octets()[1] & 0xfe == 18,
        IpAddr::V6(v6) => v6.segments()[0] == 0x2001 && v6.segments()[1] == 0xdb8,
    }
}
