//! Creating a virtual machine: POST /nodes/{node}/qemu and its task.

use serde::{Deserialize, Serialize};

use super::answer::{Fault, Reply};
use super::call::Call;
use super::disk::{self, Drive, NewVolume, Want};
use super::num;
use super::qemu_config;
use super::state::{Cluster, Conf, Guest, GuestKind};
use super::tasks::{Next, Task};
use super::work::Work;

/// Parameters of a create that are not configuration.
const NOT_CONFIG: [&str; 14] = [
    "vmid",
    "node",
    "archive",
    "bwlimit",
    "force",
    "ha-managed",
    "import-working-storage",
    "live-restore",
    "pool",
    "start",
    "storage",
    "unique",
    "digest",
    "background_delay",
];

/// The task of a create.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Create {
    vmid: u32,
    conf: Conf,
    start: bool,
    pool: Option<String>,
    /// Volumes made so far, to be freed on failure.
    made: Vec<String>,
}

/// POST /nodes/{node}/qemu
pub(crate) fn create(call: &mut Call<'_>) -> Reply {
    let vmid = call.vmid();
    let pool = call.p.get("pool").map(str::to_string);
    if let Some(pool) = pool.as_ref().filter(|p| !call.c.pools.contains_key(*p)) {
        return Err(Fault::perm(format!("pool '{pool}' does not exist")));
    }
    let on_vm = call.c.may(call.caller, &format!("/vms/{vmid}"), &["VM.Allocate"]);
    let on_pool =
        pool.as_ref().is_some_and(|p| call.c.may(call.caller, &format!("/pool/{p}"), &["VM.Allocate"]));
    if !on_vm && !on_pool {
        return Err(Fault::perm(""));
    }
    if let Some(archive) = call.p.get("archive") {
        if call.c.volume(archive, &call.node).is_none() {
            return Err(Fault::die(format!("volume '{archive}' does not exist")));
        }
        return Err(Fault::die("restoring from a backup is not simulated"));
    }
    let mut conf: Conf = call.p.text.clone();
    conf.retain(|k, _| !NOT_CONFIG.contains(&k.as_str()));
    qemu_config::check_values(call, &conf, None)?;
    check_drives(call, &conf)?;
    if !call.caller.is_root() {
        qemu_config::check_modify(call, vmid, conf.iter().map(|(k, v)| (k.as_str(), Some(v.as_str()))))?;
    }
    call.need_quorum()?;
    if let Some(there) = call.c.guests.get(&vmid) {
        let noun = if there.kind == GuestKind::Qemu { "VM" } else { "CT" };
        let text =
            format!("unable to create VM {vmid} - {noun} {vmid} already exists on node '{}'", there.node);
        return Err(Fault::die(text));
    }
    let lock: Conf = Conf::from([("lock".into(), "create".into())]);
    call.c.guests.insert(vmid, Guest::new(vmid, GuestKind::Qemu, &call.node, lock));
    let work = Create { vmid, conf, start: call.p.is_set("start"), pool, made: Vec::new() };
    call.fork("qmcreate", &vmid.to_string(), Work::Create(work))
}

/// What can be said of drives before any task: the storage exists, the volume name can be one of its.
fn check_drives(call: &Call<'_>, conf: &Conf) -> Result<(), Fault> {
    for (_, drive) in disk::drives(conf) {
        check_drive(call, &drive)?;
    }
    Ok(())
}

/// The same for one drive, also for changes of a configuration.
pub(crate) fn check_drive(call: &Call<'_>, drive: &Drive) -> Result<(), Fault> {
    let storage = match disk::want(drive) {
        Want::New { storage, .. } | Want::CloudInit { storage } | Want::Import { storage, .. } => storage,
        Want::Volume(volid) => {
            let (storage, name) = volid.split_once(':').unwrap_or_default();
            let found = call.c.usable_storage(storage, &call.node).map_err(Fault::die)?;
            disk::check_volume_name(found, name).map_err(Fault::die)?;
            storage.to_string()
        }
        Want::Plain => return Ok(()),
    };
    let found = call.c.usable_storage(&storage, &call.node).map_err(Fault::die)?;
    let cdrom = disk::is_cdrom(drive) && !matches!(disk::want(drive), Want::CloudInit { .. });
    let content = if cdrom { "iso" } else { "images" };
    if !found.allows(content) {
        return Err(Fault::die(format!("storage '{storage}' does not support content-type '{content}'")));
    }
    if matches!(disk::want(drive), Want::CloudInit { .. }) {
        return Ok(());
    }
    call.c.check(call.caller, &format!("/storage/{storage}"), &["Datastore.AllocateSpace"])
}

impl Guest {
    /// A guest that has only its configuration.
    pub(crate) fn new(vmid: u32, kind: GuestKind, node: &str, conf: Conf) -> Self {
        Self {
            vmid,
            kind,
            node: node.to_string(),
            conf,
            pending: Conf::new(),
            pending_delete: std::collections::BTreeSet::new(),
            cloudinit: None,
            snapshots: std::collections::BTreeMap::new(),
            run: None,
            deaf: false,
        }
    }
}

impl Create {
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        let vmid = self.vmid;
        match t.step {
            0 => {
                match c.lock_for(t, vmid, false, 10_000) {
                    Ok(true) => {}
                    Ok(false) => return Next::Again,
                    Err(text) => return Next::Fail(text),
                }
                match self.make_drives(c, t) {
                    Ok(until) => Next::After((until - c.now).max(200)),
                    Err(text) => Next::Fail(format!("unable to create VM {vmid} - {text}")),
                }
            }
            1 => {
                if let Err(text) = c.may_write(&t.node, GuestKind::Qemu, vmid) {
                    return Next::Fail(format!("unable to create VM {vmid} - {text}"));
                }
                finish_conf(c, &mut self.conf);
                let Some(guest) = c.guests.get_mut(&vmid) else { return Next::Fail("got signal".into()) };
                guest.conf = self.conf.clone();
                if let Some(pool) = self.pool.as_ref().and_then(|p| c.pools.get_mut(p)) {
                    pool.guests.insert(vmid);
                }
                self.made.clear();
                if !self.start {
                    return Next::Done;
                }
                t.say("Execute autostart");
                Next::After(500)
            }
            _ => {
                let node = t.node.clone();
                if let Err(text) = c.begin_running(&node, vmid) {
                    t.say(format!("start failed: {text}"));
                    return Next::Warned(1);
                }
                Next::Done
            }
        }
    }

    fn make_drives(&mut self, c: &mut Cluster, t: &mut Task) -> Result<u64, String> {
        let mut until = c.now;
        for (key, drive) in disk::drives(&self.conf) {
            let (value, ready) = make_drive(c, &t.node, self.vmid, &key, drive, &mut t.log, &mut self.made)?;
            until = until.max(ready);
            self.conf.insert(key, value);
        }
        Ok(until)
    }

    pub(crate) fn clean_up(&mut self, c: &mut Cluster, t: &mut Task) {
        for volid in std::mem::take(&mut self.made) {
            let _ = c.free_volume(&volid, &t.node);
        }
        if t.step < 2 {
            c.guests.remove(&self.vmid);
        }
    }
}

/// Makes what a drive asks for; gives the line for the configuration and when it is ready.
pub(crate) fn make_drive(
    c: &mut Cluster,
    node: &str,
    vmid: u32,
    key: &str,
    mut drive: Drive,
    log: &mut Vec<String>,
    made: &mut Vec<String>,
) -> Result<(String, u64), String> {
    let format = drive.remove("format");
    let mut ready = c.now;
    let new = |storage: &str, size: u64, cloudinit: bool| (storage.to_string(), size, cloudinit);
    let (storage, size, cloudinit) = match disk::want(&drive) {
        Want::New { storage, size } => {
            let small = key.starts_with("efidisk") || key.starts_with("tpmstate");
            new(&storage, if small { 4 * num::MIB } else { size }, false)
        }
        Want::CloudInit { storage } => new(&storage, 4 * num::MIB, true),
        Want::Import { storage, source } => {
            let size = match c.volume(&source, node) {
                Some(volume) => volume.size,
                None => return Err(format!("failed to stat '{}'", c.volume_path(&source))),
            };
            drive.remove("import-from");
            ready += size / (c.timing.copy_rate / 1000).max(1);
            new(&storage, size, false)
        }
        Want::Volume(volid) => {
            let Some(volume) = c.volume(&volid, node) else {
                return Err(format!("volume '{volid}' does not exist"));
            };
            if !disk::is_cloudinit(&volid) {
                drive.insert("size".into(), num::format_size(volume.size));
            }
            return Ok((disk::print_drive(&drive), ready));
        }
        Want::Plain => return Ok((disk::print_drive(&drive), ready)),
    };
    ready = ready.max(c.lock_storage(&storage, node)?);
    let asked =
        NewVolume { storage: &storage, node, vmid, size, format: format.as_deref(), cloudinit, base: None };
    let volid = c.allocate(&asked, log)?;
    made.push(volid.clone());
    drive.insert("file".into(), volid);
    if cloudinit {
        drive.insert("media".into(), "cdrom".into());
    } else {
        drive.insert("size".into(), num::format_size(size));
    }
    let value = disk::print_drive(&drive);
    log.push(format!("{key}: successfully created disk '{value}'"));
    Ok((value, ready))
}

/// What Proxmox adds to every new configuration.
fn finish_conf(c: &mut Cluster, conf: &mut Conf) {
    qemu_config::normalise(c, conf);
    if !conf.contains_key("boot") {
        conf.insert("boot".into(), disk::default_boot(conf));
    }
    conf.insert("meta".into(), format!("creation-qemu=10.1.2,ctime={}", c.seconds()));
    if !conf.contains_key("smbios1") {
        let uuid = c.uuid();
        conf.insert("smbios1".into(), format!("uuid={uuid}"));
    }
    if conf.get("vmgenid").is_none_or(|v| v == "1") {
        let uuid = c.uuid();
        conf.insert("vmgenid".into(), uuid);
    }
}
