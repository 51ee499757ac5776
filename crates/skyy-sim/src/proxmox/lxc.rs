//! Containers, as far as an operator that does not make them meets them: list, create, configuration, power, delete.

use serde_json::{Map, Value, json};

use super::answer::{Fault, Reply, nothing};
use super::call::Call;
use super::num;
use super::qemu_config::shown_conf;
use super::state::{Conf, Guest, GuestKind, Run, Volume};
use super::work::Work;

/// The size of a container's root file system.
pub(crate) fn root_size(conf: &Conf) -> u64 {
    let root = conf.get("rootfs").map_or("", String::as_str);
    root.split(',').find_map(|p| num::parse_size(p.strip_prefix("size=")?)).unwrap_or_default()
}

fn row(call: &Call<'_>, guest: &Guest) -> Map<String, Value> {
    let uptime = guest.run.as_ref().map_or(0, |r| call.c.now.saturating_sub(r.since) / 1000);
    let memory = guest.number("memory", 512) * num::MIB;
    let mut row = Map::new();
    for (key, value) in [
        ("cpu", json!(0.0)),
        ("cpus", json!(guest.number("cores", 1))),
        ("disk", json!(0)),
        ("maxdisk", json!(root_size(&guest.conf))),
        ("maxmem", json!(memory)),
        ("maxswap", json!(guest.number("swap", 512) * num::MIB)),
        ("mem", json!(if guest.run.is_some() { memory / 4 } else { 0 })),
        ("name", json!(guest.shown_name())),
        ("netin", json!(0)),
        ("netout", json!(0)),
        ("status", json!(if guest.run.is_some() { "running" } else { "stopped" })),
        ("type", json!("lxc")),
        ("uptime", json!(uptime)),
        ("vmid", json!(guest.vmid)),
    ] {
        row.insert(key.into(), value);
    }
    for key in ["lock", "tags"] {
        if let Some(value) = guest.conf.get(key) {
            row.insert(key.into(), json!(value));
        }
    }
    row
}

/// GET /nodes/{node}/lxc
pub(crate) fn list(call: &mut Call<'_>) -> Reply {
    let here = call.c.guests.values().filter(|g| g.node == call.node && g.kind == GuestKind::Lxc);
    let seen = here.filter(|g| call.c.may(call.caller, &format!("/vms/{}", g.vmid), &["VM.Audit"]));
    Ok(seen.map(|g| Value::Object(row(call, g))).collect::<Value>().into())
}

/// GET /nodes/{node}/lxc/{vmid}/status/current
pub(crate) fn current(call: &mut Call<'_>) -> Reply {
    let guest = call.guest(GuestKind::Lxc)?;
    let mut found = row(call, guest);
    found.insert("ha".into(), call.c.ha_shown(guest.vmid));
    Ok(Value::Object(found).into())
}

/// GET /nodes/{node}/lxc/{vmid}/config
pub(crate) fn get_config(call: &mut Call<'_>) -> Reply {
    let guest = call.guest(GuestKind::Lxc)?;
    let mut conf = shown_conf("lxc-config", &guest.conf);
    conf.insert("digest".into(), json!(guest.digest()));
    Ok(Value::Object(conf).into())
}

/// PUT /nodes/{node}/lxc/{vmid}/config
pub(crate) fn put_config(call: &mut Call<'_>) -> Reply {
    let guest = call.guest(GuestKind::Lxc)?;
    if call.p.get("digest").is_some_and(|d| d != guest.digest()) {
        return Err(Fault::die("checksum mismatch (file change by other user?)"));
    }
    if let Some(lock) = guest.conf.get("lock") {
        return Err(Fault::die(format!("CT is locked ({lock})")));
    }
    let (node, vmid) = (call.node.clone(), call.vmid());
    call.c.may_write(&node, GuestKind::Lxc, vmid).map_err(Fault::die)?;
    let (mut set, deleted) = (call.p.text.clone(), call.p.items("delete"));
    set.retain(|k, _| !matches!(k.as_str(), "node" | "vmid" | "digest" | "delete" | "revert"));
    if let Some(guest) = call.c.guests.get_mut(&vmid) {
        guest.conf.retain(|k, _| !deleted.contains(k));
        guest.conf.extend(set);
    }
    nothing()
}

/// POST /nodes/{node}/lxc
pub(crate) fn create(call: &mut Call<'_>) -> Reply {
    let (vmid, node) = (call.vmid(), call.node.clone());
    if !call.c.may(call.caller, &format!("/vms/{vmid}"), &["VM.Allocate"]) {
        return Err(Fault::perm(""));
    }
    call.need_quorum()?;
    if let Some(there) = call.c.guests.get(&vmid) {
        let noun = if there.kind == GuestKind::Qemu { "VM" } else { "CT" };
        let text =
            format!("unable to create CT {vmid} - {noun} {vmid} already exists on node '{}'", there.node);
        return Err(Fault::die(text));
    }
    let template = call.p.need("ostemplate").to_string();
    if call.c.volume(&template, &node).is_none() {
        return Err(Fault::die(format!("volume '{template}' does not exist")));
    }
    let mut conf = call.p.text.clone();
    let group = super::schema::SCHEMA.group("lxc-config");
    conf.retain(|k, _| super::schema::find(group, k).is_some());
    let storage = call.p.get("storage").unwrap_or("local").to_string();
    let root = conf.get("rootfs").cloned().unwrap_or_else(|| format!("{storage}:4"));
    let (storage, size) = root.split_once(':').unwrap_or((storage.as_str(), "4"));
    let bytes = size.split(',').next().and_then(|s| s.parse::<u64>().ok()).unwrap_or(4) * num::GIB;
    let found = call.c.usable_storage(storage, &node).map_err(Fault::die)?.clone();
    let file =
        if found.file_based() { format!("{vmid}/vm-{vmid}-disk-0.raw") } else { format!("vm-{vmid}-disk-0") };
    let ctime = call.c.seconds();
    call.c.volumes.push(Volume {
        storage: storage.to_string(),
        node: (!found.shared()).then(|| node.clone()),
        name: file.clone(),
        size: bytes,
        format: "raw".into(),
        content: "rootdir".into(),
        vmid: Some(vmid),
        parent: None,
        ctime,
    });
    conf.insert("rootfs".into(), format!("{storage}:{file},size={}", num::format_size(bytes)));
    conf.entry("arch".into()).or_insert_with(|| "amd64".into());
    let mut guest = Guest::new(vmid, GuestKind::Lxc, &node, conf);
    if call.p.is_set("start") {
        let (since, pid) = (call.c.now, call.c.pid());
        guest.run = Some(Run { since, pid, paused: false, pci: Vec::new() });
    }
    call.c.guests.insert(vmid, guest);
    call.fork("vzcreate", &vmid.to_string(), Work::Wait { ms: 2000, lines: Vec::new(), fails: None })
}

/// POST /nodes/{node}/lxc/{vmid}/status/start, stop and shutdown
pub(crate) fn power(call: &mut Call<'_>, on: bool, task: &str) -> Reply {
    let vmid = call.vmid();
    let guest = call.guest(GuestKind::Lxc)?;
    if let Some(lock) = guest.conf.get("lock") {
        return Err(Fault::die(format!("CT is locked ({lock})")));
    }
    match (on, guest.run.is_some()) {
        (true, true) => return Err(Fault::die(format!("CT {vmid} already running"))),
        (false, false) => return Err(Fault::die(format!("CT {vmid} not running"))),
        _ => {}
    }
    let (since, pid) = (call.c.now, call.c.pid());
    if let Some(guest) = call.c.guests.get_mut(&vmid) {
        guest.run = on.then(|| Run { since, pid, paused: false, pci: Vec::new() });
    }
    call.fork(task, &vmid.to_string(), Work::Wait { ms: 300, lines: Vec::new(), fails: None })
}
