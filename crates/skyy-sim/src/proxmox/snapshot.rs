//! Snapshots of a virtual machine: the calls and their tasks.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::{Fault, Reply, nothing};
use super::call::Call;
use super::disk;
use super::qemu_config::shown_conf;
use super::state::{Cluster, GuestKind, Snapshot};
use super::tasks::{Next, Task};
use super::work::Work;

/// GET .../snapshot
pub(crate) fn list(call: &mut Call<'_>) -> Reply {
    let guest = call.guest(GuestKind::Qemu)?;
    let mut rows = Vec::new();
    for (name, snapshot) in &guest.snapshots {
        let mut row = json!({
            "description": snapshot.description,
            "name": name,
            "snaptime": snapshot.time,
            "vmstate": u8::from(snapshot.vmstate),
        });
        if let Some(parent) = &snapshot.parent {
            row["parent"] = json!(parent);
        }
        rows.push(row);
    }
    let mut current = json!({
        "description": "You are here!",
        "digest": guest.digest(),
        "name": "current",
        "running": u8::from(guest.run.is_some()),
    });
    if let Some(parent) = guest.conf.get("parent") {
        current["parent"] = json!(parent);
    }
    rows.push(current);
    Ok(Value::Array(rows).into())
}

/// A snapshot's configuration as the API shows it.
pub(crate) fn shown(snapshot: &Snapshot, with_parent: bool) -> Map<String, Value> {
    let mut found = shown_conf("qemu-config", &snapshot.conf);
    found.insert("snaptime".into(), json!(snapshot.time));
    if !snapshot.description.is_empty() {
        found.insert("description".into(), json!(snapshot.description));
    }
    if with_parent && let Some(parent) = &snapshot.parent {
        found.insert("parent".into(), json!(parent));
    }
    found
}

fn named<'c>(call: &'c Call<'_>) -> Result<&'c Snapshot, Fault> {
    let name = call.p.need("snapname");
    let guest = call.guest(GuestKind::Qemu)?;
    guest.snapshots.get(name).ok_or_else(|| Fault::die(format!("snapshot '{name}' does not exist")))
}

/// GET .../snapshot/{snapname}/config
pub(crate) fn get_config(call: &mut Call<'_>) -> Reply {
    Ok(Value::Object(shown(named(call)?, true)).into())
}

/// PUT .../snapshot/{snapname}/config
pub(crate) fn put_config(call: &mut Call<'_>) -> Reply {
    named(call)?;
    call.need_flock()?;
    let (node, vmid) = (call.node.clone(), call.vmid());
    call.c.may_write(&node, GuestKind::Qemu, vmid).map_err(Fault::die)?;
    let (name, description) =
        (call.p.need("snapname").to_string(), call.p.get("description").map(str::to_string));
    let guest = call.c.guest_mut(&node, vmid).map_err(Fault::die)?;
    if let (Some(snapshot), Some(text)) = (guest.snapshots.get_mut(&name), description) {
        snapshot.description = text;
    }
    nothing()
}

/// POST .../snapshot
pub(crate) fn create(call: &mut Call<'_>) -> Reply {
    let name = call.p.need("snapname").to_string();
    if matches!(name.as_str(), "current" | "pending") {
        return Err(Fault::die(format!("unable to use snapshot name '{name}' (reserved name)")));
    }
    call.guest(GuestKind::Qemu)?;
    let vmid = call.vmid();
    let work = Take {
        vmid,
        name,
        description: call.p.get("description").unwrap_or_default().to_string(),
        vmstate: call.p.is_set("vmstate"),
    };
    call.fork("qmsnapshot", &vmid.to_string(), Work::Snapshot(work))
}

/// DELETE .../snapshot/{snapname}
pub(crate) fn delete(call: &mut Call<'_>) -> Reply {
    let vmid = call.vmid();
    let work = Delete { vmid, name: call.p.need("snapname").to_string() };
    call.fork("qmdelsnapshot", &vmid.to_string(), Work::DeleteSnapshot(work))
}

/// POST .../snapshot/{snapname}/rollback
pub(crate) fn rollback(call: &mut Call<'_>) -> Reply {
    let vmid = call.vmid();
    let work = Rollback { vmid, name: call.p.need("snapname").to_string(), start: call.p.is_set("start") };
    call.fork("qmrollback", &vmid.to_string(), Work::Rollback(work))
}

/// Locks the guest, then does the one thing, then waits a little.
fn locked(
    c: &mut Cluster,
    t: &mut Task,
    vmid: u32,
    does: impl FnOnce(&mut Cluster, &mut Task) -> Result<(), String>,
) -> Next {
    if t.step > 0 {
        return Next::Done;
    }
    match c.lock_for(t, vmid, false, 10_000) {
        Ok(true) => {}
        Ok(false) => return Next::Again,
        Err(text) => return Next::Fail(text),
    }
    match does(c, t) {
        Ok(()) => Next::After(300),
        Err(text) => Next::Fail(text),
    }
}

/// The task that takes a snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Take {
    vmid: u32,
    name: String,
    description: String,
    vmstate: bool,
}

impl Take {
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        let this = self.clone();
        locked(c, t, self.vmid, |c, t| this.take(c, t))
    }

    fn take(self, c: &mut Cluster, t: &mut Task) -> Result<(), String> {
        let node = t.node.clone();
        let guest = c.guest_on(&node, self.vmid, GuestKind::Qemu)?;
        if guest.is_template() {
            return Err("you can't take a snapshot if it's a template".into());
        }
        guest.check_lock()?;
        if guest.snapshots.contains_key(&self.name) {
            return Err(format!("snapshot name '{}' already used", self.name));
        }
        let drives: Vec<_> =
            disk::drives(&guest.conf).into_iter().filter(|(_, d)| !disk::is_cdrom(d)).collect();
        for (_, drive) in &drives {
            let volume = c.volume(&drive["file"], &node);
            let file_based = volume
                .and_then(|v| c.storages.get(&v.storage))
                .is_some_and(super::state::Storage::file_based);
            if file_based && volume.is_some_and(|v| v.format == "raw") {
                return Err("snapshot feature is not available".into());
            }
        }
        let time = c.seconds();
        c.may_write(&node, GuestKind::Qemu, self.vmid)?;
        let guest = c.guest_mut(&node, self.vmid)?;
        let mut conf = guest.conf.clone();
        let parent = conf.remove("parent");
        conf.remove("description");
        let snapshot = Snapshot { conf, description: self.description, parent, time, vmstate: self.vmstate };
        guest.snapshots.insert(self.name.clone(), snapshot);
        guest.conf.insert("parent".into(), self.name);
        for (key, drive) in drives {
            t.say(format!("snapshotting 'drive-{key}' ({})", drive["file"]));
        }
        Ok(())
    }
}

/// The task that deletes a snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Delete {
    vmid: u32,
    name: String,
}

impl Delete {
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        let this = self.clone();
        locked(c, t, self.vmid, |c, t| this.delete(c, t))
    }

    fn delete(self, c: &mut Cluster, t: &mut Task) -> Result<(), String> {
        let node = t.node.clone();
        let guest = c.guest_on(&node, self.vmid, GuestKind::Qemu)?;
        guest.check_lock()?;
        if !guest.snapshots.contains_key(&self.name) {
            return Err(format!("snapshot '{}' does not exist", self.name));
        }
        c.may_write(&node, GuestKind::Qemu, self.vmid)?;
        let guest = c.guest_mut(&node, self.vmid)?;
        let parent = guest.snapshots.remove(&self.name).and_then(|s| s.parent);
        for other in guest.snapshots.values_mut().filter(|s| s.parent.as_deref() == Some(&self.name)) {
            other.parent.clone_from(&parent);
        }
        if guest.conf.get("parent") == Some(&self.name) {
            match parent {
                Some(parent) => guest.conf.insert("parent".into(), parent),
                None => guest.conf.remove("parent"),
            };
        }
        Ok(())
    }
}

/// The task that goes back to a snapshot.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Rollback {
    vmid: u32,
    name: String,
    start: bool,
}

impl Rollback {
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        let this = self.clone();
        locked(c, t, self.vmid, |c, t| this.roll_back(c, t))
    }

    fn roll_back(self, c: &mut Cluster, t: &mut Task) -> Result<(), String> {
        let node = t.node.clone();
        let guest = c.guest_on(&node, self.vmid, GuestKind::Qemu)?;
        if guest.is_template() {
            return Err("you can't rollback if vm is a template".into());
        }
        guest.check_lock()?;
        let snapshot = guest.snapshots.get(&self.name).cloned();
        let snapshot = snapshot.ok_or_else(|| format!("snapshot '{}' does not exist", self.name))?;
        c.may_write(&node, GuestKind::Qemu, self.vmid)?;
        let guest = c.guest_mut(&node, self.vmid)?;
        let description = guest.conf.remove("description");
        guest.conf = snapshot.conf;
        guest.conf.extend(description.map(|d| ("description".to_string(), d)));
        guest.conf.insert("parent".into(), self.name);
        guest.pending.clear();
        guest.pending_delete.clear();
        guest.run = None;
        if self.start {
            c.begin_running(&node, self.vmid)?;
        }
        Ok(())
    }
}
