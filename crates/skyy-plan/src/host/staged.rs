//! Whose are the staged changes? Ours are those that say nothing but what the spec asks for; then it does not matter
//! who staged them, and a restart between staging and applying leaves nothing to explain.

use std::collections::BTreeSet;

use ipnet::IpNet;
use skyy_api::proxmox_host::Bridge;

/// One line of a difference that adds or removes something, with the interface that it belongs to.
struct Line<'a> {
    interface: Option<&'a str>,
    added: bool,
    text: &'a str,
}

/// The lines of a unified difference. Comments and empty lines change nothing and are left out.
fn lines(changes: &str) -> Vec<Line<'_>> {
    let mut interface = None;
    let mut found = Vec::new();
    for line in changes.lines() {
        if line.starts_with("--- ") || line.starts_with("+++ ") {
            continue;
        }
        if line.starts_with("@@") {
            // What is above is another part of the file.
            interface = None;
            continue;
        }
        let (sign, text) = match line.chars().next() {
            Some('+') => (Some(true), &line[1..]),
            Some('-') => (Some(false), &line[1..]),
            _ => (None, line.strip_prefix(' ').unwrap_or(line)),
        };
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let mut words = text.split_whitespace();
        if let Some("iface" | "auto" | "allow-hotplug" | "mapping") = words.next() {
            interface = words.next();
        } else if text.starts_with("source") {
            interface = None;
        }
        if let Some(added) = sign {
            found.push(Line { interface, added, text });
        }
    }
    found
}

/// The staged lines that the spec does not ask for.
pub(super) fn foreign<'b>(
    changes: &str,
    wanted: impl Fn(&str) -> Option<&'b Bridge>,
    protected: &BTreeSet<String>,
) -> Vec<String> {
    lines(changes)
        .into_iter()
        .filter(|line| {
            let bridge = line.interface.filter(|name| !protected.contains(*name)).and_then(&wanted);
            !bridge.is_some_and(|bridge| {
                if line.added { asks(bridge, line.text) } else { replaces(bridge, line.text) }
            })
        })
        .map(|line| format!("{}{}", if line.added { '+' } else { '-' }, line.text))
        .collect()
}

/// Whether a staged change concerns an interface of this kind.
pub(super) fn touches(changes: &str, asked: impl Fn(&str) -> bool) -> bool {
    lines(changes).iter().any(|line| line.interface.is_some_and(&asked))
}

/// Whether a line says what the spec says, or what comes with it.
fn asks(bridge: &Bridge, line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["auto", _]
        | ["bridge-stp", "off"]
        | ["bridge-fd", "0"]
        | ["iface", _, "inet" | "inet6", "manual" | "static"] => true,
        ["bridge-ports", ports @ ..] => {
            let staged: BTreeSet<&str> = ports.iter().copied().filter(|port| *port != "none").collect();
            let asked = bridge.ports.iter().flatten().map(String::as_str).collect();
            staged == asked
        }
        ["bridge-vlan-aware", "yes"] | ["bridge-vids", "2-4094"] => bridge.vlan_aware == Some(true),
        ["address", address] => {
            let parse = |text: &str| text.parse::<IpNet>().ok();
            bridge
                .address
                .as_deref()
                .is_some_and(|asked| parse(asked).is_some() && parse(asked) == parse(address))
        }
        ["mtu", mtu] => bridge.mtu.is_some_and(|asked| asked.to_string() == *mtu),
        _ => false,
    }
}

/// Whether a line that goes is one that the spec has a say in.
fn replaces(bridge: &Bridge, line: &str) -> bool {
    let mut words = line.split_whitespace();
    match words.next() {
        Some("bridge-ports") => bridge.ports.is_some(),
        Some("bridge-vlan-aware" | "bridge-vids") => bridge.vlan_aware == Some(false),
        Some("address") => bridge.address.is_some(),
        // It becomes static by getting an address.
        Some("iface") => bridge.address.is_some() && words.last() == Some("manual"),
        Some("mtu") => bridge.mtu.is_some(),
        _ => false,
    }
}
