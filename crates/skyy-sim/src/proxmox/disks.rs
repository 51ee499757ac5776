//! The disks of a host: what there is, and making storage of them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::{Fault, Reply};
use super::call::Call;
use super::nodes::{node, node_mut};
use super::state::{Cluster, Conf, Storage};
use super::tasks::{Next, Task};
use super::work::Work;

/// GET /nodes/{node}/disks/list
pub(crate) fn list(call: &mut Call<'_>) -> Reply {
    let audit = call.c.may(call.caller, "/", &["Sys.Audit"])
        || call.c.may(call.caller, &format!("/nodes/{}", call.node), &["Sys.Audit"]);
    if !audit {
        return Err(Fault::perm(""));
    }
    let unused = call.p.get("type") == Some("unused");
    let rows = node(call)?.disks.iter().filter(|d| !unused || d.used.is_none()).map(|d| {
        let mut row = json!({
            "by_id_link": format!("/dev/disk/by-id/{}-{}", d.kind, d.serial),
            "devpath": d.path,
            "gpt": u8::from(d.used.is_some()),
            "health": "PASSED",
            "model": d.model,
            "osdid": -1,
            "osdid-list": null,
            "rpm": if d.kind == "hdd" { 7200 } else { 0 },
            "serial": d.serial,
            "size": d.size,
            "type": d.kind,
            "vendor": "ATA",
            "wearout": if d.kind == "hdd" { json!("N/A") } else { json!(100) },
            "wwn": "unknown",
        });
        if let Some(used) = &d.used {
            row["used"] = json!(used);
        }
        row
    });
    Ok(rows.collect::<Value>().into())
}

/// GET /nodes/{node}/disks/lvm
pub(crate) fn volume_groups(call: &mut Call<'_>) -> Reply {
    let groups = node(call)?.disks.iter().filter(|d| d.used.as_deref() == Some("LVM"));
    let children = groups.map(|d| {
        json!({
            "children": [{"free": 0, "leaf": 1, "name": d.path, "size": d.size}],
            "free": 0, "leaf": 0, "lvcount": 1, "name": "pve", "size": d.size,
        })
    });
    let children: Vec<Value> = children.collect();
    Ok(json!({"children": children, "leaf": 0}).into())
}

/// GET /nodes/{node}/disks/lvmthin
pub(crate) fn thin_pools(call: &mut Call<'_>) -> Reply {
    let pools = call.c.storages.iter().filter(|(_, s)| s.kind == "lvmthin" && s.on(&call.node));
    let rows = pools.map(|(name, s)| {
        json!({
            "lv": s.conf.get("thinpool"),
            "lv_size": s.size,
            "metadata_size": s.size / 128,
            "metadata_used": s.size / 1024,
            "used": call.c.storage_used(name, &call.node),
            "vg": s.conf.get("vgname"),
        })
    });
    Ok(rows.collect::<Value>().into())
}

fn free_disk(call: &Call<'_>, path: &str) -> Result<u64, Fault> {
    if !path.starts_with("/dev/") {
        return Err(Fault::die(format!("got unusual device path '/{path}'")));
    }
    let disk = node(call)?.disks.iter().find(|d| d.path == path);
    let disk = disk.ok_or_else(|| Fault::die("not a valid block device"))?;
    match &disk.used {
        Some(_) => Err(Fault::die(format!("device '{path}' is already in use"))),
        None => Ok(disk.size),
    }
}

/// POST /nodes/{node}/disks/lvmthin and /disks/lvm
pub(crate) fn make_pool(call: &mut Call<'_>, thin: bool) -> Reply {
    let (device, name) = (call.p.need("device").to_string(), call.p.need("name").to_string());
    free_disk(call, &device)?;
    let add = call.p.is_set("add_storage");
    if add && call.c.storages.contains_key(&name) {
        return Err(Fault::die(format!("storage ID '{name}' already defined")));
    }
    let kind = if thin { "lvmthincreate" } else { "lvmcreate" };
    call.fork(kind, &name, Work::MakeThinPool(MakeThinPool { device, name: name.clone(), thin, add }))
}

/// The task that makes a volume group, with a thin pool or without.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct MakeThinPool {
    device: String,
    name: String,
    thin: bool,
    add: bool,
}

impl MakeThinPool {
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        if t.step == 0 {
            return Next::After(2000);
        }
        let Some(node) = c.nodes.get_mut(&t.node) else { return Next::Fail("no such node".into()) };
        let Some(disk) = node.disks.iter_mut().find(|d| d.path == self.device && d.used.is_none()) else {
            return Next::Fail(format!("device '{}' is already in use", self.device));
        };
        disk.used = Some("LVM".into());
        let size = disk.size - disk.size / 64;
        if self.add {
            let mut conf = Conf::from([
                ("content".to_string(), "images,rootdir".to_string()),
                ("vgname".into(), self.name.clone()),
                ("nodes".into(), t.node.clone()),
            ]);
            if self.thin {
                conf.insert("thinpool".into(), self.name.clone());
            }
            let kind = if self.thin { "lvmthin" } else { "lvm" };
            c.storages
                .insert(self.name.clone(), Storage { kind: kind.into(), conf, size, base_used: 0, busy: 0 });
        }
        Next::Done
    }
}

/// PUT /nodes/{node}/disks/wipedisk
pub(crate) fn wipe(call: &mut Call<'_>) -> Reply {
    let path = call.p.need("disk").to_string();
    let disk = node(call)?.disks.iter().find(|d| d.path == path);
    let disk = disk.ok_or_else(|| Fault::die("not a valid block device"))?;
    if disk.used.as_deref().is_some_and(|u| u != "partitions") {
        return Err(Fault::die(format!("disk/partition '{path}' has a holder")));
    }
    if let Some(disk) = node_mut(call)?.disks.iter_mut().find(|d| d.path == path) {
        disk.used = None;
    }
    call.fork("wipedisk", &path, Work::Wait { ms: 1000, lines: Vec::new(), fails: None })
}

/// GET /nodes/{node}/disks/smart
pub(crate) fn smart(call: &mut Call<'_>) -> Reply {
    let path = call.p.need("disk");
    match node(call)?.disks.iter().find(|d| d.path == path) {
        Some(_) => Ok(json!({"health": "PASSED", "type": "text"}).into()),
        None => Err(Fault::die("not a valid block device")),
    }
}

/// GET /nodes/{node}/disks/zfs
pub(crate) fn zfs(_: &mut Call<'_>) -> Reply {
    Err(Fault::die("zfsutils-linux not installed"))
}
