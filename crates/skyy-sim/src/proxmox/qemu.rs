//! Listing virtual machines and their present state.

use serde_json::{Map, Value, json};

use super::answer::Reply;
use super::call::Call;
use super::disk;
use super::num;
use super::state::{Cluster, Guest, GuestKind, Run};

/// GET /nodes/{node}/qemu
pub(crate) fn list(call: &mut Call<'_>) -> Reply {
    let full = call.p.is_set("full");
    let here = call.c.guests.values().filter(|g| g.node == call.node && g.kind == GuestKind::Qemu);
    let seen = here.filter(|g| call.c.may(call.caller, &format!("/vms/{}", g.vmid), &["VM.Audit"]));
    Ok(seen.map(|g| Value::Object(row(call.c, g, full, true))).collect::<Value>().into())
}

/// GET /nodes/{node}/qemu/{vmid}
pub(crate) fn index(_: &mut Call<'_>) -> Reply {
    let names = [
        "agent",
        "cloudinit",
        "config",
        "firewall",
        "migrate",
        "monitor",
        "move",
        "mtunnel",
        "pending",
        "remote_migrate",
        "resize",
        "rrd",
        "rrddata",
        "sendkey",
        "snapshot",
        "spiceproxy",
        "status",
        "termproxy",
        "unlink",
        "vncproxy",
    ];
    Ok(names.iter().map(|n| json!({"subdir": n})).collect::<Value>().into())
}

/// GET /nodes/{node}/qemu/{vmid}/status/current
pub(crate) fn current(call: &mut Call<'_>) -> Reply {
    let guest = call.guest(GuestKind::Qemu)?;
    let mut found = row(call.c, guest, true, false);
    found.insert("ha".into(), call.c.ha_shown(guest.vmid));
    if guest.has_agent() {
        found.insert("agent".into(), json!(1));
    }
    if let Some(vga) = guest.conf.get("vga") {
        let clipboard = vga.split(',').find_map(|p| p.strip_prefix("clipboard="));
        found.insert("clipboard".into(), json!(clipboard));
        if vga.starts_with("qxl") {
            found.insert("spice".into(), json!(1));
        }
    }
    if guest.conf.contains_key("serial0") {
        found.insert("serial".into(), json!(1));
    }
    Ok(Value::Object(found).into())
}

/// A guest as lists show it; `full` as when one asks for it alone.
fn row(c: &Cluster, guest: &Guest, full: bool, listed: bool) -> Map<String, Value> {
    let running = guest.run.as_ref();
    let uptime = running.map_or(0, |r| c.now.saturating_sub(r.since) / 1000);
    let mut found = Map::new();
    let mut put = |key: &str, value: Value| found.insert(key.to_string(), value);
    put("cpu", json!(if running.is_some() { 0.02 } else { 0.0 }));
    put("cpus", json!(guest.cpus()));
    put("disk", json!(0));
    put("maxdisk", json!(disk::boot_disk_size(&guest.conf)));
    put("maxmem", json!(guest.memory()));
    put("mem", json!(used_memory(guest)));
    put("memhost", json!(used_memory(guest)));
    put("name", json!(guest.shown_name()));
    put("netin", json!(uptime * 1024));
    put("netout", json!(uptime * 512));
    put("status", json!(if running.is_some() { "running" } else { "stopped" }));
    put("uptime", json!(uptime));
    put("vmid", json!(guest.vmid));
    for (key, conf) in [("lock", "lock"), ("tags", "tags")] {
        if let Some(value) = guest.conf.get(conf) {
            put(key, json!(value));
        }
    }
    if guest.is_template() {
        put("template", json!(1));
    }
    if !listed || full {
        let status = match running {
            None => "stopped",
            Some(Run { paused: true, .. }) => "paused",
            Some(_) => "running",
        };
        put("qmpstatus", json!(status));
        let balloon = guest.number("balloon", 0) * num::MIB;
        if balloon > 0 && balloon < guest.memory() {
            put("balloon_min", json!(balloon));
            put("shares", json!(guest.number("shares", 1000)));
        }
    }
    if let Some(run) = running {
        put("pid", json!(run.pid));
        for key in ["cpufull", "cpusome", "iofull", "iosome", "memoryfull", "memorysome"] {
            put(&format!("pressure{key}"), json!(0));
        }
        if full {
            put("diskread", json!(0));
            put("diskwrite", json!(0));
            put("balloon", json!(guest.memory()));
            put("ballooninfo", json!({"actual": guest.memory(), "max_mem": guest.memory()}));
            put("blockstat", json!({}));
            put("freemem", json!(guest.memory() / 2));
            put("running-machine", json!(machine(guest)));
            put("running-qemu", json!("10.1.2"));
            put("proxmox-support", support());
        }
    }
    found
}

fn machine(guest: &Guest) -> &'static str {
    match guest.conf.get("machine").map(String::as_str) {
        Some(m) if m.contains("q35") => "pc-q35-10.1+pve0",
        _ => "pc-i440fx-10.1+pve0",
    }
}

fn support() -> Value {
    json!({
        "backup-fleecing": true,
        "backup-max-workers": true,
        "pbs-dirty-bitmap": true,
        "pbs-library-version": "1.5.1",
        "pbs-masterkey": true,
        "query-bitmap-info": true,
        "savevm-async": true,
    })
}

/// The memory a guest uses, as far as figures go here.
pub(crate) fn used_memory(guest: &Guest) -> u64 {
    if guest.run.is_some() { guest.memory() / 2 } else { 0 }
}
