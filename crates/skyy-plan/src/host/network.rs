//! Bridges.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use skyy_api::{
    Reason,
    address::{parse_cidr, parse_ip},
    proxmox_host::{Bridge, HostNetwork},
};

use super::{BridgeSettings, Interface, Observed, Plan, Refusal, Step, staged};

/// Adds the network's part to a plan; a refusal leaves all of it undone.
pub(super) fn plan(
    spec: &HostNetwork,
    address: Option<&str>,
    node: &str,
    observed: &Observed,
    plan: &mut Plan,
) -> Result<(), Refusal> {
    let HostNetwork { management_bridge, bridges } = spec;
    let interfaces: BTreeMap<&str, &Interface> =
        observed.interfaces.iter().map(|one| (one.name.as_str(), one)).collect();
    if let Some(name) = management_bridge
        && !interfaces.contains_key(name.as_str())
    {
        return Err(invalid(
            "managementBridge",
            format!("{node} has no bridge {name}. It is expected to exist."),
        ));
    }
    let protected = protected(management_bridge.as_deref(), address, observed)?;

    let mut steps = Vec::new();
    let mut actions = Vec::new();
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for interface in &observed.interfaces {
        for part in interface.ports.iter().chain(&interface.slaves) {
            taken.insert(part, &interface.name);
        }
    }
    for (n, bridge) in bridges.iter().enumerate() {
        let at = |field: &str| format!("bridges[{n}].{field}");
        let wanted = Wanted::parse(bridge, &at)?;
        let seen = interfaces.get(bridge.name.as_str()).copied();
        if let Some(other) = seen.filter(|seen| seen.kind != "bridge") {
            let message =
                format!("{} exists on {node} and is no Linux bridge but {:?}", bridge.name, other.kind);
            return Err(invalid(&at("name"), message));
        }
        for port in bridge.ports.iter().flatten() {
            if !is_there(port, observed) {
                let names: Vec<&str> = observed
                    .interfaces
                    .iter()
                    .filter(|one| one.kind != "bridge")
                    .map(|one| one.name.as_str())
                    .collect();
                let message = format!("{node} has no interface {port}; it has {}", names.join(", "));
                return Err(invalid(&at("ports"), message));
            }
            if let Some(other) = taken.get(port.as_str()).filter(|other| **other != bridge.name) {
                return Err(invalid(&at("ports"), format!("{port} is a part of {other} on {node} already")));
            }
            if protected.contains(port) && seen.is_none_or(|seen| !seen.ports.contains(port)) {
                let message =
                    format!("{port} carries the management address of {node}; it cannot become a port");
                return Err(invalid(&at("ports"), message));
            }
            taken.insert(port, &bridge.name);
        }
        let Some(seen) = seen else {
            actions.push(format!("create bridge {} ({})", bridge.name, wanted.sentence()));
            steps.push(Step::CreateBridge(wanted.create(&bridge.name)));
            continue;
        };
        let (settings, unset, differences) = wanted.change(seen);
        if differences.is_empty() {
            continue;
        }
        if protected.contains(&bridge.name) {
            let message = format!(
                "{} carries the management address of {node} and is never changed; it would need {}. Change it by hand.",
                bridge.name,
                differences.join(", ")
            );
            return Err(invalid(&at("name"), message));
        }
        actions.push(format!("change bridge {}: {}", bridge.name, differences.join(", ")));
        steps.push(Step::UpdateBridge { bridge: settings, unset });
    }

    let staged = observed.changes.as_deref().is_some_and(|changes| !changes.trim().is_empty());
    if staged {
        let changes = observed.changes.as_deref().unwrap_or_default();
        let wanted = |name: &str| bridges.iter().find(|bridge| bridge.name == name);
        let foreign = staged::foreign(changes, wanted, &protected);
        if let Some(first) = foreign.first() {
            // Where nothing is asked for, it is nobody's business here.
            if steps.is_empty() && !staged::touches(changes, |name| wanted(name).is_some()) {
                return Ok(());
            }
            let message = format!(
                "{node} has {} staged network change(s) by somebody else, such as {first:?}; applying ours would apply them too. Apply or revert them on the node (Network: Apply Configuration, or Revert).",
                foreign.len()
            );
            return Err(Refusal::new(Reason::ForeignChangesStaged, message));
        }
        if steps.is_empty() {
            actions.push("apply the staged network".to_owned());
        }
    }
    if staged || !steps.is_empty() {
        steps.push(Step::ApplyNetwork);
    }
    plan.steps.append(&mut steps);
    plan.actions.append(&mut actions);
    Ok(())
}

fn invalid(field: &str, message: String) -> Refusal {
    Refusal::new(Reason::Invalid, format!("spec.network.{field}: {message}"))
}

/// A bridge as the spec wants it, parsed. What the spec leaves out is not looked after.
struct Wanted {
    ports: Option<BTreeSet<String>>,
    vlan_aware: Option<bool>,
    address: Option<IpNet>,
    mtu: Option<u32>,
}

impl Wanted {
    fn parse(bridge: &Bridge, at: &impl Fn(&str) -> String) -> Result<Self, Refusal> {
        let Bridge { name: _, ports, vlan_aware, address, mtu } = bridge;
        let address = address
            .as_deref()
            .map(|text| parse_cidr(text).map_err(|wrong| invalid(&at("address"), wrong.to_string())))
            .transpose()?;
        let ports = ports.as_ref().map(|ports| ports.iter().cloned().collect());
        Ok(Self { ports, vlan_aware: *vlan_aware, address, mtu: *mtu })
    }

    fn sentence(&self) -> String {
        let ports = self.ports.iter().flatten().cloned().collect::<Vec<_>>().join(" ");
        let mut parts = vec![if ports.is_empty() { "no ports".to_owned() } else { format!("ports {ports}") }];
        parts.extend(self.vlan_aware.filter(|yes| *yes).map(|_| "VLAN-aware".to_owned()));
        parts.extend(self.address.map(|address| address.to_string()));
        parts.extend(self.mtu.map(|mtu| format!("MTU {mtu}")));
        parts.join(", ")
    }

    fn create(&self, name: &str) -> BridgeSettings {
        let mut settings = BridgeSettings {
            name: name.to_owned(),
            autostart: true,
            ports: self.ports.clone().unwrap_or_default(),
            vlan_aware: self.vlan_aware.unwrap_or_default(),
            mtu: self.mtu,
            ..BridgeSettings::default()
        };
        self.put_address(&mut settings);
        settings
    }

    fn put_address(&self, settings: &mut BridgeSettings) {
        match self.address {
            Some(net @ IpNet::V4(_)) => settings.cidr = Some(net.to_string()),
            Some(net @ IpNet::V6(_)) => settings.cidr6 = Some(net.to_string()),
            None => {}
        }
    }

    /// The bridge with what the spec wants of it, what to unset for that, and the differences in words.
    fn change(&self, seen: &Interface) -> (BridgeSettings, Vec<&'static str>, Vec<String>) {
        let mut settings = BridgeSettings {
            name: seen.name.clone(),
            autostart: seen.autostart,
            ports: seen.ports.clone(),
            vlan_aware: seen.vlan_aware,
            vids: seen.vids.clone(),
            cidr: seen.cidr.clone(),
            cidr6: seen.cidr6.clone(),
            gateway: seen.gateway.clone(),
            gateway6: seen.gateway6.clone(),
            mtu: seen.mtu,
            comments: seen.comments.clone(),
        };
        let mut unset = Vec::new();
        let mut differences = Vec::new();
        if let Some(ports) = self.ports.as_ref().filter(|ports| **ports != seen.ports) {
            let say = |ports: &BTreeSet<String>| {
                if ports.is_empty() {
                    "none".to_owned()
                } else {
                    ports.iter().cloned().collect::<Vec<_>>().join(" ")
                }
            };
            differences.push(format!("ports {} → {}", say(&seen.ports), say(ports)));
            settings.ports.clone_from(ports);
        }
        if let Some(aware) = self.vlan_aware.filter(|aware| *aware != seen.vlan_aware) {
            let say = |yes: bool| if yes { "yes" } else { "no" };
            differences.push(format!("vlan-aware {} → {}", say(seen.vlan_aware), say(aware)));
            settings.vlan_aware = aware;
            if !aware {
                settings.vids = None;
                unset.extend(["bridge_vlan_aware", "bridge_vids"]);
            }
        }
        if let Some(address) = self.address {
            let have = if address.addr().is_ipv4() { &seen.cidr } else { &seen.cidr6 };
            if have.as_deref().and_then(|text| text.parse::<IpNet>().ok()) != Some(address) {
                differences.push(format!("address {} → {address}", have.as_deref().unwrap_or("none")));
                self.put_address(&mut settings);
            }
        }
        if let Some(mtu) = self.mtu.filter(|mtu| Some(*mtu) != seen.mtu) {
            let have = seen.mtu.map_or_else(|| "default".to_owned(), |mtu| mtu.to_string());
            differences.push(format!("MTU {have} → {mtu}"));
            settings.mtu = Some(mtu);
        }
        (settings, unset, differences)
    }
}

/// A device by one of its names, or a VLAN on one (`eth0.30`), which comes into being by being named.
fn is_there(port: &str, observed: &Observed) -> bool {
    let known = |name: &str| {
        observed.interfaces.iter().any(|one| one.name == name || one.altnames.iter().any(|alt| alt == name))
    };
    known(port)
        || port.rsplit_once('.').is_some_and(|(device, tag)| {
            known(device) && tag.parse::<u16>().is_ok_and(|tag| (1..=4094).contains(&tag))
        })
}

/// The interfaces that carry the management address, with all that they stand on. Where the spec names neither a
/// bridge nor an address, it is what has the default gateway.
fn protected(
    management_bridge: Option<&str>,
    address: Option<&str>,
    observed: &Observed,
) -> Result<BTreeSet<String>, Refusal> {
    let address: Option<IpAddr> = address
        .map(|text| {
            parse_ip(text).map_err(|wrong| Refusal::new(Reason::Invalid, format!("spec.address: {wrong}")))
        })
        .transpose()?;
    let has_address = |one: &Interface| {
        let mut own =
            [&one.cidr, &one.cidr6].into_iter().flatten().filter_map(|text| text.parse::<IpNet>().ok());
        address.is_some_and(|address| own.any(|net| net.addr() == address))
    };
    let mut found: BTreeSet<String> = management_bridge.map(str::to_owned).into_iter().collect();
    let gateway = |one: &Interface| one.gateway.is_some() || one.gateway6.is_some();
    found.extend(
        observed.interfaces.iter().filter(|one| has_address(one) || gateway(one)).map(|one| one.name.clone()),
    );
    let mut open: Vec<String> = found.iter().cloned().collect();
    while let Some(name) = open.pop() {
        let on = name.rsplit_once('.').map(|(device, _)| device.to_owned());
        let one = observed.interfaces.iter().find(|one| one.name == name);
        let parts = one.into_iter().flat_map(|one| {
            one.ports.iter().chain(&one.slaves).cloned().chain(one.raw_device.clone()).collect::<Vec<_>>()
        });
        for part in parts.chain(on) {
            if found.insert(part.clone()) {
                open.push(part);
            }
        }
    }
    Ok(found)
}
