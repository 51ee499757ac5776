//! Storages: definitions for the cluster, state and content on a node.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::{Fault, Reply, nothing};
use super::call::Call;
use super::disk;
use super::num;
use super::params::split_list;
use super::state::{Cluster, Conf, Storage, Volume, digest};
use super::tasks::{Next, Task};
use super::work::Work;

const SEE: [&str; 2] = ["Datastore.Audit", "Datastore.AllocateSpace"];

/// Options that a kind of storage cannot do without.
fn required(kind: &str) -> &'static [&'static str] {
    match kind {
        "dir" | "btrfs" => &["path"],
        "nfs" => &["export", "server"],
        "cifs" => &["server", "share"],
        "lvm" => &["vgname"],
        "lvmthin" => &["thinpool", "vgname"],
        "zfspool" => &["pool"],
        "pbs" => &["datastore", "server"],
        _ => &[],
    }
}

fn config_digest(c: &Cluster) -> String {
    digest(&c.storages.values().map(|s| &s.conf).collect::<Vec<_>>())
}

fn shown(c: &Cluster, name: &str, storage: &Storage) -> Value {
    let mut row = Map::from_iter([
        ("digest".to_string(), json!(config_digest(c))),
        ("storage".to_string(), json!(name)),
        ("type".to_string(), json!(storage.kind)),
    ]);
    for (key, value) in &storage.conf {
        let number =
            matches!(key.as_str(), "disable" | "shared" | "krbd" | "max-protected-backups" | "sparse");
        let shown =
            if number { value.parse::<i64>().map_or(json!(value), |n| json!(n)) } else { json!(value) };
        row.insert(key.clone(), shown);
    }
    Value::Object(row)
}

/// GET /storage
pub(crate) fn list(call: &mut Call<'_>) -> Reply {
    let kind = call.p.get("type");
    let seen = call.c.storages.iter().filter(|(name, s)| {
        kind.is_none_or(|k| k == s.kind) && call.c.may(call.caller, &format!("/storage/{name}"), &SEE)
    });
    Ok(seen.map(|(name, s)| shown(call.c, name, s)).collect::<Value>().into())
}

/// GET /storage/{storage}
pub(crate) fn get(call: &mut Call<'_>) -> Reply {
    let name = call.p.need("storage");
    match call.c.storages.get(name) {
        Some(storage) => Ok(shown(call.c, name, storage).into()),
        None => Err(Fault::die(format!("storage '{name}' does not exist"))),
    }
}

fn sorted_content(conf: &mut Conf) {
    if let Some(content) = conf.get_mut("content") {
        let mut items = split_list(content);
        items.sort();
        items.dedup();
        *content = items.join(",");
    }
}

/// POST /storage
pub(crate) fn create(call: &mut Call<'_>) -> Reply {
    let name = call.p.need("storage").to_string();
    let kind = call.p.need("type").to_string();
    if let Some(missing) = required(&kind).iter().find(|k| call.p.get(k).is_none()) {
        return Err(Fault::die(format!("missing value for required option '{missing}'")));
    }
    call.need_cfs("storage_cfg", "create storage failed")?;
    if call.c.storages.contains_key(&name) {
        return Err(Fault::die(format!("create storage failed: storage ID '{name}' already defined")));
    }
    if matches!(kind.as_str(), "nfs" | "cifs" | "pbs") {
        return Err(Fault::die(format!("create storage failed: storage '{name}' is not online")));
    }
    let mut conf = call.p.text.clone();
    conf.retain(|k, _| !matches!(k.as_str(), "storage" | "type" | "node"));
    conf.entry("content".into()).or_insert_with(|| "images,rootdir".into());
    sorted_content(&mut conf);
    let size = match kind.as_str() {
        "dir" => call.c.nodes.values().map(|n| n.root_size).max().unwrap_or_default(),
        _ => num::TIB,
    };
    let storage = Storage { kind: kind.clone(), conf, size, base_used: 0, busy: 0 };
    call.c.storages.insert(name.clone(), storage);
    Ok(json!({"storage": name, "type": kind}).into())
}

/// PUT /storage/{storage}
pub(crate) fn update(call: &mut Call<'_>) -> Reply {
    let name = call.p.need("storage").to_string();
    call.need_cfs("storage_cfg", "update storage failed")?;
    if call.p.get("digest").is_some_and(|d| d != config_digest(call.c)) {
        let text =
            "update storage failed: detected modified configuration - file changed by other user? Try again.";
        return Err(Fault::die(text));
    }
    let (deleted, mut set) = (call.p.items("delete"), call.p.text.clone());
    set.retain(|k, _| !matches!(k.as_str(), "storage" | "digest" | "delete" | "node"));
    let Some(storage) = call.c.storages.get_mut(&name) else {
        return Err(Fault::die(format!("update storage failed: storage '{name}' does not exist")));
    };
    storage.conf.retain(|k, _| !deleted.contains(k));
    storage.conf.extend(set);
    sorted_content(&mut storage.conf);
    Ok(json!({"storage": name, "type": storage.kind}).into())
}

/// DELETE /storage/{storage}
pub(crate) fn delete(call: &mut Call<'_>) -> Reply {
    let name = call.p.need("storage").to_string();
    call.need_cfs("storage_cfg", "delete storage failed")?;
    if call.c.storages.remove(&name).is_none() {
        return Err(Fault::die(format!("delete storage failed: storage '{name}' does not exist")));
    }
    call.c.volumes.retain(|v| v.storage != name);
    nothing()
}

fn state(c: &Cluster, name: &str, storage: &Storage, node: &str) -> Map<String, Value> {
    let active = !storage.disabled();
    let (total, used) = if active { (storage.size, c.storage_used(name, node)) } else { (0, 0) };
    let used = used.min(total);
    let mut row = Map::new();
    for (key, value) in [
        ("active", json!(u8::from(active))),
        ("avail", json!(total - used)),
        ("content", json!(storage.content())),
        ("enabled", json!(u8::from(active))),
        ("shared", json!(u8::from(storage.shared()))),
        ("total", json!(total)),
        ("type", json!(storage.kind)),
        ("used", json!(used)),
    ] {
        row.insert(key.into(), value);
    }
    row
}

/// GET /nodes/{node}/storage
pub(crate) fn on_node(call: &mut Call<'_>) -> Reply {
    let content = call.p.items("content");
    let mut rows = Vec::new();
    for (name, storage) in &call.c.storages {
        let seen = call.c.may(call.caller, &format!("/storage/{name}"), &SEE);
        let fits = call.p.get("storage").is_none_or(|s| s == name)
            && (content.is_empty() || content.iter().any(|c| storage.allows(c)))
            && call.p.get("target").is_none_or(|t| storage.on(t))
            && !(call.p.is_set("enabled") && storage.disabled());
        if !seen || !fits || !storage.on(&call.node) {
            continue;
        }
        let mut row = state(call.c, name, storage, &call.node);
        row.insert("storage".into(), json!(name));
        if !storage.disabled() {
            let used = call.c.storage_used(name, &call.node);
            row.insert("used_fraction".into(), json!(num::ratio(used, storage.size)));
        }
        rows.push(Value::Object(row));
    }
    Ok(Value::Array(rows).into())
}

/// GET /nodes/{node}/storage/{storage}/status
pub(crate) fn status(call: &mut Call<'_>) -> Reply {
    let name = call.p.need("storage");
    match call.c.storages.get(name).filter(|s| s.on(&call.node)) {
        Some(storage) => Ok(Value::Object(state(call.c, name, storage, &call.node)).into()),
        None => Err(Fault::param("storage", "No such storage.")),
    }
}

fn volume_row(c: &Cluster, volume: &Volume) -> Value {
    let file_based = c.storages.get(&volume.storage).is_some_and(Storage::file_based);
    let parent = match &volume.parent {
        Some(parent) if file_based => json!(format!("../{parent}")),
        Some(parent) => json!(format!("{parent}@__base__")),
        None => Value::Null,
    };
    let mut row = json!({
        "content": volume.content,
        "ctime": volume.ctime,
        "format": volume.format,
        "parent": parent,
        "size": volume.size,
        "used": volume.size,
        "volid": format!("{}:{}", volume.storage, volume.name),
    });
    match volume.vmid {
        Some(vmid) => row["vmid"] = json!(vmid),
        None => {
            if let Some(row) = row.as_object_mut() {
                row.remove("parent");
                row.remove("used");
            }
        }
    }
    row
}

/// GET /nodes/{node}/storage/{storage}/content
pub(crate) fn content(call: &mut Call<'_>) -> Reply {
    let name = call.p.need("storage");
    call.c.usable_storage(name, &call.node).map_err(Fault::die)?;
    let vmid = call.p.number("vmid").and_then(|v| u32::try_from(v).ok());
    let kind = call.p.get("content");
    let here = call.c.volumes.iter().filter(|v| {
        v.storage == name
            && v.node.as_deref().is_none_or(|n| n == call.node)
            && vmid.is_none_or(|id| v.vmid == Some(id))
            && kind.is_none_or(|k| k == v.content)
    });
    let mut here: Vec<&Volume> = here.collect();
    here.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(here.into_iter().map(|v| volume_row(call.c, v)).collect::<Value>().into())
}

/// POST /nodes/{node}/storage/{storage}/content
pub(crate) fn allocate(call: &mut Call<'_>) -> Reply {
    let name = call.p.need("storage").to_string();
    let vmid = call.vmid();
    let file = call.p.need("filename").to_string();
    let storage = call.c.usable_storage(&name, &call.node).map_err(Fault::die)?.clone();
    let volume = if storage.file_based() { format!("{vmid}/{file}") } else { file };
    disk::check_volume_name(&storage, &volume).map_err(Fault::die)?;
    let volid = format!("{name}:{volume}");
    if call.c.volume(&volid, &call.node).is_some() {
        return Err(Fault::die(format!("disk image '{}' already exists", call.c.volume_path(&volid))));
    }
    // Without a unit the size is in KiB.
    let size = call.p.need("size");
    let bytes =
        size.parse::<u64>().map_or_else(|_| num::parse_size(size).unwrap_or_default(), |kib| kib << 10);
    let by_name = volume.rsplit_once('.').map(|(_, e)| e).filter(|_| storage.file_based());
    let format = call.p.get("format").or(by_name).unwrap_or("raw").to_string();
    let ctime = call.c.seconds();
    let node = (!storage.shared()).then(|| call.node.clone());
    call.c.volumes.push(Volume {
        storage: name,
        node,
        name: volume,
        size: bytes,
        format,
        content: "images".into(),
        vmid: Some(vmid),
        parent: None,
        ctime,
    });
    Ok(json!(volid).into())
}

fn volid(call: &Call<'_>) -> String {
    let volume = call.p.need("volume");
    if volume.contains(':') { volume.to_string() } else { format!("{}:{volume}", call.p.need("storage")) }
}

/// GET /nodes/{node}/storage/{storage}/content/{volume}
pub(crate) fn volume(call: &mut Call<'_>) -> Reply {
    let volid = volid(call);
    let path = call.c.volume_path(&volid);
    match call.c.volume(&volid, &call.node) {
        Some(v) => Ok(json!({"format": v.format, "path": path, "size": v.size, "used": v.size}).into()),
        None => Err(Fault::die(format!("volume_size_info on '{volid}' failed - no such volume"))),
    }
}

/// DELETE /nodes/{node}/storage/{storage}/content/{volume}
pub(crate) fn remove_volume(call: &mut Call<'_>) -> Reply {
    let volid = volid(call);
    let storage = volid.split(':').next().unwrap_or_default().to_string();
    call.c.check(call.caller, &format!("/storage/{storage}"), &["Datastore.Allocate"])?;
    let owner = call.c.volume(&volid, &call.node).and_then(|v| v.vmid);
    if let Some(owner) = owner {
        let used = call.c.guests.get(&owner).is_some_and(|g| Cluster::own_volumes(g).contains(&volid));
        if used {
            let text = format!("Cannot remove image, a guest with VMID '{owner}' exists!");
            return Err(Fault::die(text));
        }
    }
    let id = format!("{}@{storage}", owner.map(|o| o.to_string()).unwrap_or_default());
    call.fork("imgdel", &id, Work::RemoveVolume(RemoveVolume { volid }))
}

/// The task that removes a volume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RemoveVolume {
    volid: String,
}

impl RemoveVolume {
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        if t.step > 0 {
            return Next::Done;
        }
        if c.volume(&self.volid, &t.node).is_none() {
            return Next::Fail(format!("disk image '{}' does not exist", c.volume_path(&self.volid)));
        }
        match c.free_volume(&self.volid, &t.node) {
            Ok(()) => {
                t.say(format!("Removed volume '{}'", self.volid));
                Next::After(200)
            }
            Err(text) => Next::Fail(text),
        }
    }
}
