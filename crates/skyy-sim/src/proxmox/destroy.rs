//! Deleting a virtual machine: DELETE /nodes/{node}/qemu/{vmid} and its task.

use serde::{Deserialize, Serialize};

use super::answer::{Fault, Reply};
use super::call::Call;
use super::disk;
use super::state::{Cluster, GuestKind};
use super::tasks::{Next, Task};
use super::work::Work;

/// The task of a delete.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Destroy {
    pub(crate) vmid: u32,
    pub(crate) kind: GuestKind,
    pub(crate) purge: bool,
    pub(crate) unreferenced: bool,
    /// The configuration went with the call already.
    pub(crate) gone: bool,
}

/// DELETE /nodes/{node}/qemu/{vmid} and DELETE /nodes/{node}/lxc/{vmid}
pub(crate) fn destroy(call: &mut Call<'_>, kind: GuestKind) -> Reply {
    let vmid = call.vmid();
    if call.p.is_set("skiplock") && !call.caller.is_root() {
        return Err(Fault::param("skiplock", "Only root may use this option."));
    }
    let purge = call.p.is_set("purge");
    let guest = call.guest(kind)?;
    let noun = if kind == GuestKind::Qemu { "VM" } else { "CT" };
    if guest.conf.get("protection").is_some_and(|p| p == "1") {
        return Err(Fault::die(format!("can't remove {noun} {vmid} - protection mode enabled")));
    }
    if !call.p.is_set("skiplock") {
        guest.check_lock().map_err(Fault::die)?;
    }
    if call.c.ha_managed(vmid) && !purge {
        let text =
            format!("unable to remove {noun} {vmid} - used in HA resources and purge parameter not set.");
        return Err(Fault::die(text));
    }
    if guest.run.is_some() && !call.p.is_set("force") {
        return Err(Fault::die(format!("{noun} {vmid} is running - destroy failed")));
    }
    // What has no disks is gone so fast that a second caller already finds nothing.
    let bare = kind == GuestKind::Qemu
        && super::state::Cluster::own_volumes(guest).is_empty()
        && !call.c.locked_out(vmid)
        && call.c.quorate(&call.node);
    if bare {
        call.c.forget_guest(vmid, purge, &mut Vec::new());
    }
    let task = if kind == GuestKind::Qemu { "qmdestroy" } else { "vzdestroy" };
    let unreferenced = call.p.is_set("destroy-unreferenced-disks");
    let work = Destroy { vmid, kind, purge, unreferenced, gone: bare };
    call.fork(task, &vmid.to_string(), Work::Destroy(work))
}

impl Destroy {
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        if self.gone {
            if t.step == 0 {
                self.say_purge(t);
                return Next::After(100);
            }
            return Next::Done;
        }
        if t.step > 0 {
            if let Err(text) = c.may_write(&t.node, self.kind, self.vmid) {
                return Next::Fail(text);
            }
            self.say_purge(t);
            c.forget_guest(self.vmid, self.purge, &mut t.log);
            return Next::Done;
        }
        match c.lock_for(t, self.vmid, false, 10_000) {
            Ok(true) => {}
            Ok(false) => return Next::Again,
            Err(text) => return Next::Fail(text),
        }
        let node = t.node.clone();
        match self.free(c, &node, t) {
            Ok(count) => Next::After(100 + 150 * count),
            Err(text) => Next::Fail(text),
        }
    }

    fn say_purge(&self, t: &mut Task) {
        if self.purge {
            let noun = if self.kind == GuestKind::Qemu { "VM" } else { "CT" };
            t.say(format!("purging {noun} {} from related configurations..", self.vmid));
        }
    }

    fn free(&self, c: &mut Cluster, node: &str, t: &mut Task) -> Result<u64, String> {
        let guest = c.guest_on(node, self.vmid, self.kind)?;
        let mut volumes = Cluster::own_volumes(guest);
        for snapshot in guest.snapshots.values() {
            for (_, drive) in disk::drives(&snapshot.conf) {
                if !disk::is_cdrom(&drive) && !volumes.contains(&drive["file"]) {
                    volumes.push(drive["file"].clone());
                }
            }
        }
        if self.unreferenced {
            for volume in &c.volumes {
                let here = volume.node.as_deref().is_none_or(|n| n == node);
                let volid = format!("{}:{}", volume.storage, volume.name);
                if here
                    && volume.vmid == Some(self.vmid)
                    && volume.content == "images"
                    && !volumes.contains(&volid)
                {
                    volumes.push(volid);
                }
            }
        }
        for volid in &volumes {
            if c.volume(volid, node).is_some_and(|v| c.base_in_use(v)) {
                return Err(format!("base volume '{volid}' is still in use by linked cloned"));
            }
        }
        let mut freed = 0;
        for volid in &volumes {
            match c.volume(volid, node) {
                None => t.say(format!("disk image '{}' does not exist", c.volume_path(volid))),
                // Shared storage needs its cluster-wide lock, which there is none of without quorum.
                Some(volume) if volume.node.is_none() && !c.quorate(node) => {
                    let storage = &volume.storage;
                    let text = format!("cfs-lock 'storage-{storage}' error: no quorum!");
                    t.say(format!("Could not remove disk '{volid}', check manually: {text}"));
                }
                Some(_) => {
                    c.free_volume(volid, node)?;
                    freed += 1;
                }
            }
        }
        Ok(freed)
    }
}

impl Cluster {
    /// Removes a guest from every configuration.
    fn forget_guest(&mut self, vmid: u32, purge: bool, log: &mut Vec<String>) {
        self.guests.remove(&vmid);
        for pool in self.pools.values_mut() {
            pool.guests.remove(&vmid);
        }
        let path = format!("/vms/{vmid}");
        self.access.acl.retain(|a| a.path != path);
        if purge
            && (self.ha.remove(&format!("vm:{vmid}")).is_some()
                || self.ha.remove(&format!("ct:{vmid}")).is_some())
        {
            log.push(format!("NOTE: removed VM {vmid} from HA resource configuration."));
        }
    }
}
