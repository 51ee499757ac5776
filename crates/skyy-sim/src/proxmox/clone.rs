//! Cloning a virtual machine: POST /nodes/{node}/qemu/{vmid}/clone and its task.

use serde::{Deserialize, Serialize};

use super::answer::{Fault, Reply};
use super::call::Call;
use super::disk::{self, Drive, NewVolume};
use super::num;
use super::qemu_config::{net_of, print_net};
use super::state::{Cluster, Conf, Guest, GuestKind};
use super::tasks::{Next, Task};
use super::work::Work;

/// What Proxmox writes into the configuration of a guest that is being made.
const TEMPORARY: &str = " qmclone temporary file";

/// The task of a clone.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Cloning {
    from: u32,
    to: u32,
    target: String,
    full: bool,
    storage: Option<String>,
    format: Option<String>,
    name: Option<String>,
    description: Option<String>,
    pool: Option<String>,
    snapshot: Option<String>,
    /// The drives to do, in order, with their volumes of now.
    todo: Vec<(String, Drive)>,
    done: Vec<(String, String)>,
    made: Vec<String>,
    /// Bytes of the copy under way.
    copying: Option<u64>,
    /// Its own temporary configuration is there.
    began: bool,
}

/// POST /nodes/{node}/qemu/{vmid}/clone
pub(crate) fn clone(call: &mut Call<'_>) -> Reply {
    let vmid = call.vmid();
    let newid: u32 = call.p.need("newid").parse().unwrap_or_default();
    let pool = call.p.get("pool").map(str::to_string);
    call.c.check(call.caller, &format!("/vms/{vmid}"), &["VM.Clone"])?;
    let on_new = call.c.may(call.caller, &format!("/vms/{newid}"), &["VM.Allocate"]);
    let on_pool =
        pool.as_ref().is_some_and(|p| call.c.may(call.caller, &format!("/pool/{p}"), &["VM.Allocate"]));
    if !on_new && !on_pool {
        return Err(Fault::perm(""));
    }
    if let Some(pool) = pool.as_ref().filter(|p| !call.c.pools.contains_key(*p)) {
        return Err(Fault::perm(format!("pool '{pool}' does not exist")));
    }
    let target = call.p.get("target").unwrap_or(&call.node).to_string();
    if !call.c.nodes.contains_key(&target) {
        return Err(Fault::die(format!("no such cluster node '{target}'")));
    }
    let storage = call.p.get("storage").map(str::to_string);
    if let Some(storage) = &storage {
        call.c.usable_storage(storage, &call.node).map_err(Fault::die)?;
        let path = format!("/storage/{storage}");
        call.c.check(call.caller, &path, &["Datastore.AllocateSpace"])?;
    }
    call.need_quorum()?;
    let guest = call.c.guest_on(&call.node, vmid, GuestKind::Qemu).map_err(|_| {
        Fault::die(format!("unable to find configuration file for VM {vmid} on node '{}'", call.node))
    })?;
    guest.check_lock().map_err(Fault::die)?;
    let snapshot = call.p.get("snapname").filter(|s| *s != "current").map(str::to_string);
    let conf = match &snapshot {
        Some(name) => match guest.snapshots.get(name) {
            Some(found) => &found.conf,
            None => return Err(Fault::die(format!("snapshot '{name}' does not exist"))),
        },
        None => &guest.conf,
    };
    let full = call.p.flag("full").unwrap_or(!guest.is_template());
    for given in ["storage", "format"] {
        if !full && call.p.get(given).is_some() {
            return Err(Fault::die(format!("parameter '{given}' not allowed for linked clones")));
        }
    }
    if call.c.guest_on(&call.node, newid, GuestKind::Qemu).is_ok() {
        return Err(Fault::die(format!("unable to create VM {newid}: config file already exists")));
    }
    let todo: Vec<(String, Drive)> = disk::drives(conf)
        .into_iter()
        .filter(|(_, d)| !disk::is_cdrom(d) || disk::is_cloudinit(&d["file"]))
        .filter(|(_, d)| d["file"].contains(':'))
        .collect();
    for (key, drive) in &todo {
        let volid = &drive["file"];
        let base = volid.rsplit('/').next().is_some_and(|n| n.contains("base-"));
        if !full && !base && !disk::is_cloudinit(volid) {
            return Err(Fault::die(format!("Linked clone feature is not supported for '{volid}' ({key})")));
        }
    }
    if target != call.node {
        let stores = todo.iter().map(|(_, d)| storage_of(d, storage.as_deref(), full));
        let local = |s: &str| call.c.storages.get(s).is_none_or(|s| !s.shared());
        if stores.into_iter().any(|s| local(&s))
            || todo.iter().any(|(_, d)| local(&storage_of(d, None, true)))
        {
            return Err(Fault::die(format!("can't clone VM to node '{target}' (VM uses local storage)")));
        }
    }
    let work = Cloning {
        from: vmid,
        to: newid,
        target,
        full,
        storage,
        format: call.p.get("format").map(str::to_string),
        name: call.p.get("name").map(str::to_string),
        description: call.p.get("description").map(str::to_string),
        pool,
        snapshot,
        todo,
        done: Vec::new(),
        made: Vec::new(),
        copying: None,
        began: false,
    };
    call.fork("qmclone", &vmid.to_string(), Work::Clone(Box::new(work)))
}

fn storage_of(drive: &Drive, storage: Option<&str>, full: bool) -> String {
    match storage.filter(|_| full) {
        Some(storage) => storage.to_string(),
        None => drive["file"].split(':').next().unwrap_or_default().to_string(),
    }
}

impl Cloning {
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        if !self.began {
            match c.lock_for(t, self.from, true, 1_000) {
                Ok(true) => {}
                Ok(false) => return Next::Again,
                Err(text) => return Next::Fail(text),
            }
            return match self.begin(c, t) {
                Ok(()) => Next::After(150),
                Err(text) => Next::Fail(text),
            };
        }
        if let Some(size) = self.copying.take() {
            let size = num::human_size(size);
            t.say(format!("transferred {size} of {size} (100.00%)"));
        }
        let next = if self.todo.is_empty() {
            self.finish(c, t).map(|()| Next::Done)
        } else {
            let (key, drive) = self.todo.remove(0);
            self.copy(c, t, key, drive).map(Next::After)
        };
        next.unwrap_or_else(|text| Next::Fail(format!("clone failed: {text}")))
    }

    fn begin(&mut self, c: &mut Cluster, t: &mut Task) -> Result<(), String> {
        c.guest_on(&t.node, self.from, GuestKind::Qemu)?.check_lock()?;
        if let Some(there) = c.guests.get(&self.to) {
            return Err(if there.node == t.node {
                format!("unable to create VM {}: config file already exists", self.to)
            } else {
                format!(
                    "unable to create VM {} - VM {} already exists on node '{}'",
                    self.to, self.to, there.node
                )
            });
        }
        c.may_write(&t.node, GuestKind::Qemu, self.to)?;
        let conf = Conf::from([
            ("lock".to_string(), "clone".to_string()),
            ("description".to_string(), TEMPORARY.to_string()),
        ]);
        c.guests.insert(self.to, Guest::new(self.to, GuestKind::Qemu, &t.node, conf));
        self.began = true;
        t.say(format!("creating a clone of VM {} with ID {}", self.from, self.to));
        Ok(())
    }

    /// Starts on one drive; gives how long it takes.
    fn copy(&mut self, c: &mut Cluster, t: &mut Task, key: String, mut drive: Drive) -> Result<u64, String> {
        let volid = drive["file"].clone();
        let cloudinit = disk::is_cloudinit(&volid);
        let source = c.volume(&volid, &t.node).cloned();
        let source = source.ok_or_else(|| format!("volume '{volid}' does not exist"))?;
        let linked = !self.full && !cloudinit;
        let storage = storage_of(&drive, self.storage.as_deref(), self.full);
        let same_kind = storage == source.storage;
        let format = self.format.clone().or_else(|| same_kind.then(|| source.format.clone()));
        let how = if linked { "linked" } else { "full" };
        t.say(format!("create {how} clone of drive {key} ({volid})"));
        if linked && c.storages.get(&storage).is_some_and(super::state::Storage::file_based) {
            let file = format!("vm-{}-disk-{}.{}", self.to, self.made_disks(), source.format);
            t.say(format!(
                "clone {}: images, {file}, {} to {file} (base=../{})",
                source.name, self.to, source.name
            ));
        }
        let until = c.lock_storage(&storage, &t.node)?;
        let asked = NewVolume {
            storage: &storage,
            node: &t.node,
            vmid: self.to,
            size: source.size,
            format: format.as_deref(),
            cloudinit,
            base: linked.then_some(source.name.as_str()),
        };
        let new = c.allocate(&asked, &mut t.log)?;
        self.made.push(new.clone());
        if !linked {
            t.say(format!("allocated target volume '{new}'"));
        }
        drive.insert("file".into(), new);
        drive.insert("size".into(), num::format_size(source.size));
        self.done.push((key, disk::print_drive(&drive)));
        let mut takes = until - c.now + 100;
        if !linked && !cloudinit {
            t.say(format!("transferred 0.0 B of {} (0.00%)", num::human_size(source.size)));
            self.copying = Some(source.size);
            takes += source.size / (c.timing.copy_rate / 1000).max(1);
        }
        Ok(takes)
    }

    fn made_disks(&self) -> usize {
        self.made.iter().filter(|v| !disk::is_cloudinit(v)).count()
    }

    fn finish(&mut self, c: &mut Cluster, t: &mut Task) -> Result<(), String> {
        c.may_write(&t.node, GuestKind::Qemu, self.to)?;
        let source = c.guest_on(&t.node, self.from, GuestKind::Qemu)?;
        let mut conf = match self.snapshot.as_ref().and_then(|s| source.snapshots.get(s)) {
            Some(snapshot) => snapshot.conf.clone(),
            None => source.conf.clone(),
        };
        let from_name = conf.get("name").cloned().unwrap_or_else(|| self.from.to_string());
        conf.retain(|k, _| {
            !matches!(k.as_str(), "template" | "lock" | "parent" | "protection") && !k.starts_with("unused")
        });
        for (key, value) in std::mem::take(&mut self.done) {
            conf.insert(key, value);
        }
        let name = self.name.clone().unwrap_or_else(|| format!("Copy-of-VM-{from_name}"));
        conf.insert("name".into(), name);
        if let Some(description) = self.description.take() {
            conf.insert("description".into(), description);
        }
        let nets: Vec<String> = conf
            .keys()
            .filter(|k| k.strip_prefix("net").is_some_and(|n| n.parse::<u32>().is_ok()))
            .cloned()
            .collect();
        for key in nets {
            let mut net = net_of(&conf[&key]);
            let mac = c.mac();
            net.insert("macaddr".into(), mac);
            conf.insert(key, print_net(&net));
        }
        let (uuid, genid) = (c.uuid(), c.uuid());
        conf.insert("smbios1".into(), format!("uuid={uuid}"));
        if conf.contains_key("vmgenid") {
            conf.insert("vmgenid".into(), genid);
        }
        conf.insert("meta".into(), format!("creation-qemu=10.1.2,ctime={}", c.seconds()));
        let target = self.target.clone();
        let guest = c.guests.get_mut(&self.to).ok_or("the new configuration has gone")?;
        guest.conf = conf;
        guest.node = target;
        if let Some(pool) = self.pool.as_ref().and_then(|p| c.pools.get_mut(p)) {
            pool.guests.insert(self.to);
        }
        Ok(())
    }

    pub(crate) fn clean_up(&mut self, c: &mut Cluster, t: &mut Task) {
        if !self.began {
            return;
        }
        for volid in std::mem::take(&mut self.made) {
            let _ = c.free_volume(&volid, &t.node);
        }
        // Without quorum the half-made configuration cannot be removed and stays, locked.
        if c.quorate(&t.node) {
            c.guests.remove(&self.to);
        }
    }
}
