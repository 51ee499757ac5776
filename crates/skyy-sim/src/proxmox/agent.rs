//! The guest agent, and what cloud-init would tell the guest.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::answer::{Fault, Reply, nothing};
use super::call::Call;
use super::params::{decode, parse_property_string};
use super::power::CLOUDINIT_KEYS;
use super::qemu_config::{net_of, shown};
use super::schema::SCHEMA;
use super::state::{Conf, Guest, GuestKind};

/// The guest, if its agent answers by now.
fn answering<'c>(call: &'c Call<'_>) -> Result<&'c Guest, Fault> {
    let guest = call.guest(GuestKind::Qemu)?;
    if !guest.has_agent() {
        return Err(Fault::die("No QEMU guest agent configured"));
    }
    let Some(run) = &guest.run else {
        return Err(Fault::die(format!("VM {} is not running", guest.vmid)));
    };
    if run.paused || guest.deaf || call.c.now < run.since + call.c.timing.agent_ms {
        return Err(Fault::die("QEMU guest agent is not running"));
    }
    Ok(guest)
}

fn result(value: Value) -> Reply {
    Ok(json!({ "result": value }).into())
}

/// POST .../agent/ping
pub(crate) fn ping(call: &mut Call<'_>) -> Reply {
    answering(call)?;
    result(json!({}))
}

/// GET .../agent/info
pub(crate) fn info(call: &mut Call<'_>) -> Reply {
    answering(call)?;
    let commands = ["guest-ping", "guest-info", "guest-get-osinfo", "guest-network-get-interfaces"];
    let rows = commands.iter().map(|c| json!({"enabled": true, "name": c, "success-response": true}));
    result(json!({"supported_commands": rows.collect::<Value>(), "version": "9.0"}))
}

/// GET .../agent/get-host-name
pub(crate) fn host_name(call: &mut Call<'_>) -> Reply {
    let name = answering(call)?.shown_name();
    result(json!({"host-name": name}))
}

/// GET .../agent/get-osinfo
pub(crate) fn os_info(call: &mut Call<'_>) -> Reply {
    answering(call)?;
    result(json!({
        "id": "ubuntu",
        "kernel-release": "6.8.0-60-generic",
        "machine": "x86_64",
        "name": "Ubuntu",
        "pretty-name": "Ubuntu 24.04.2 LTS",
        "version-id": "24.04",
    }))
}

/// POST .../agent/exec
pub(crate) fn exec(call: &mut Call<'_>) -> Reply {
    answering(call)?;
    let pid = call.c.pid();
    Ok(json!({ "pid": pid }).into())
}

/// GET .../agent/network-get-interfaces
pub(crate) fn interfaces(call: &mut Call<'_>) -> Reply {
    let guest = answering(call)?;
    let mut rows = vec![json!({
        "hardware-address": "00:00:00:00:00:00",
        "ip-addresses": [{"ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8}],
        "name": "lo",
    })];
    for (key, value) in &guest.conf {
        let Some(index) = key.strip_prefix("net").and_then(|i| i.parse::<u32>().ok()) else { continue };
        let mac = net_of(value).get("macaddr").cloned().unwrap_or_default();
        let ip = guest.conf.get(&format!("ipconfig{index}")).map(|v| ipconfig(v)).unwrap_or_default();
        let mut addresses = Vec::new();
        for (key, kind) in [("ip", "ipv4"), ("ip6", "ipv6")] {
            if let Some((address, prefix)) = ip.get(key).and_then(|v| v.split_once('/')) {
                let prefix: u32 = prefix.parse().unwrap_or_default();
                addresses.push(json!({"ip-address": address, "ip-address-type": kind, "prefix": prefix}));
            }
        }
        rows.push(json!({
            "hardware-address": mac.to_lowercase(),
            "ip-addresses": addresses,
            "name": format!("eth{index}"),
            "statistics": {"rx-bytes": 1024, "tx-bytes": 1024},
        }));
    }
    result(Value::Array(rows))
}

fn ipconfig(value: &str) -> Conf {
    let props = SCHEMA.formats.get("ipconfig").map_or(&[][..], Vec::as_slice);
    parse_property_string(props, "", value).unwrap_or_default()
}

/// GET .../cloudinit
pub(crate) fn cloudinit(call: &mut Call<'_>) -> Reply {
    let guest = call.guest(GuestKind::Qemu)?;
    let conf = guest.with_pending();
    let mut rows = Vec::new();
    for key in CLOUDINIT_KEYS {
        let new = conf.get(key);
        let old = match &guest.cloudinit {
            Some(made) => made.get(key),
            None => new,
        };
        let mut row = Map::from_iter([("key".to_string(), json!(key))]);
        // A password is never told apart from another.
        let old = if key == "cipassword" { new } else { old };
        match (old, new) {
            (None, None) => continue,
            (Some(old), None) => {
                row.insert("value".into(), shown("qemu-config", key, old));
                row.insert("delete".into(), json!(1));
            }
            (old, Some(new)) => {
                if let Some(old) = old {
                    row.insert("value".into(), shown("qemu-config", key, old));
                }
                if old != Some(new) {
                    row.insert("pending".into(), shown("qemu-config", key, new));
                }
            }
        }
        rows.push(Value::Object(row));
    }
    Ok(Value::Array(rows).into())
}

/// PUT .../cloudinit
pub(crate) fn regenerate(call: &mut Call<'_>) -> Reply {
    call.guest(GuestKind::Qemu)?;
    call.need_flock()?;
    let (node, vmid) = (call.node.clone(), call.vmid());
    let guest = call.c.guest_mut(&node, vmid).map_err(Fault::die)?;
    let conf = guest.with_pending();
    let keep = conf.into_iter().filter(|(k, _)| CLOUDINIT_KEYS.contains(&k.as_str()));
    guest.cloudinit = Some(keep.collect());
    nothing()
}

/// GET .../cloudinit/dump
pub(crate) fn dump(call: &mut Call<'_>) -> Reply {
    let guest = call.guest(GuestKind::Qemu)?;
    let conf = guest.with_pending();
    let name = conf.get("name").cloned().unwrap_or_else(|| format!("VM{}", guest.vmid));
    let text = match call.p.need("type") {
        "user" => user_data(&conf, &name),
        "network" => network_data(&conf),
        _ => format!("instance-id: {}\n", super::state::digest(&[&conf])),
    };
    Ok(Value::String(text).into())
}

fn user_data(conf: &Conf, name: &str) -> String {
    let host = name.split('.').next().unwrap_or(name);
    let mut text = format!("#cloud-config\nhostname: {host}\nmanage_etc_hosts: true\nfqdn: {name}\n");
    if let Some(user) = conf.get("ciuser") {
        let _ = writeln!(text, "user: {user}");
    }
    if conf.contains_key("cipassword") {
        text.push_str("password: **********\n");
    }
    if let Some(keys) = conf.get("sshkeys") {
        text.push_str("ssh_authorized_keys:\n");
        for key in decode(keys, false).lines().filter(|l| !l.trim().is_empty()) {
            let _ = writeln!(text, "  - {key}");
        }
    }
    text.push_str("chpasswd:\n  expire: False\n");
    if conf.get("ciuser").is_none_or(|u| u != "root") {
        text.push_str("users:\n  - default\n");
    }
    let upgrade = conf.get("ciupgrade").is_none_or(|u| u == "1");
    let _ = writeln!(text, "package_upgrade: {upgrade}");
    text
}

fn network_data(conf: &Conf) -> String {
    let mut text = String::from("version: 1\nconfig:\n");
    for (key, value) in conf {
        let Some(index) = key.strip_prefix("net").and_then(|i| i.parse::<u32>().ok()) else { continue };
        let mac = net_of(value).get("macaddr").cloned().unwrap_or_default().to_lowercase();
        let _ = writeln!(text, "    - type: physical\n      name: eth{index}\n      mac_address: '{mac}'");
        let ip = conf.get(&format!("ipconfig{index}")).map(|v| ipconfig(v)).unwrap_or_default();
        if !ip.is_empty() {
            text.push_str("      subnets:\n");
        }
        match ip.get("ip").map(String::as_str) {
            Some("dhcp") => text.push_str("      - type: dhcp4\n"),
            Some(address) => {
                let _ = writeln!(text, "      - type: static\n        address: '{address}'");
                if let Some(gateway) = ip.get("gw") {
                    let _ = writeln!(text, "        gateway: '{gateway}'");
                }
            }
            None => {}
        }
    }
    if let Some(server) = conf.get("nameserver") {
        let _ = writeln!(text, "    - type: nameserver\n      address:\n      - '{server}'");
        let search = conf.get("searchdomain").map_or("", String::as_str);
        let _ = writeln!(text, "      search:\n      - '{search}'");
    }
    text
}
