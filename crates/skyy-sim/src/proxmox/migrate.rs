//! Migration of virtual machines between nodes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::{Fault, Reply};
use super::call::Call;
use super::disk::{self, Drive};
use super::num;
use super::state::{Cluster, Conf, GuestKind, Storage};
use super::tasks::{Next, Task};
use super::work::Work;

fn local_drives(c: &Cluster, conf: &Conf) -> Vec<(String, Drive)> {
    let mut found = disk::drives(conf);
    found.retain(|(_, d)| {
        let storage = d["file"].split_once(':').and_then(|(s, _)| c.storages.get(s));
        storage.is_some_and(|s| !s.shared())
    });
    found
}

/// GET .../migrate
pub(crate) fn preconditions(call: &mut Call<'_>) -> Reply {
    let guest = call.guest(GuestKind::Qemu)?;
    let others: Vec<&String> = call.c.nodes.keys().filter(|n| **n != call.node).collect();
    let disks = local_drives(call.c, &guest.conf).into_iter().map(|(name, drive)| {
        let volid = &drive["file"];
        json!({
            "cdrom": u8::from(disk::is_cdrom(&drive)),
            "drivename": name,
            "is_attached": 1,
            "is_cloudinit": u8::from(disk::is_cloudinit(volid)),
            "is_tpmstate": u8::from(name.starts_with("tpmstate")),
            "is_unused": 0,
            "is_vmstate": 0,
            "replicate": 1,
            "shared": 0,
            "size": call.c.volume(volid, &call.node).map_or(0, |v| v.size),
            "volid": volid,
        })
    });
    let refused: Map<String, Value> = others.iter().map(|n| ((*n).clone(), json!({}))).collect();
    let local: Vec<&String> = guest.conf.keys().filter(|k| k.starts_with("hostpci")).collect();
    Ok(json!({
        "allowed_nodes": others,
        "has-dbus-vmstate": 1,
        "local_disks": disks.collect::<Value>(),
        "local_resources": local,
        "mapped-resource-info": {},
        "mapped-resources": [],
        "not_allowed_nodes": refused,
        "running": u8::from(guest.run.is_some()),
    })
    .into())
}

/// POST .../migrate
pub(crate) fn migrate(call: &mut Call<'_>) -> Reply {
    let vmid = call.vmid();
    let target = call.p.need("target").to_string();
    if target == call.node {
        return Err(Fault::param("target", "target is local node."));
    }
    call.need_quorum()?;
    if !call.c.nodes.contains_key(&target) {
        return Err(Fault::die(format!("no such cluster node '{target}'")));
    }
    let guest = call.guest(GuestKind::Qemu)?;
    guest.check_lock().map_err(Fault::die)?;
    let online = call.p.is_set("online");
    if guest.run.is_some() && !online {
        return Err(Fault::die("can't migrate running VM without --online"));
    }
    if let Some(storages) = call.p.get("targetstorage") {
        for storage in storages.split([',', ':', ';']).filter(|s| !s.is_empty() && *s != "1") {
            call.c.usable_storage(storage, &target).map_err(Fault::die)?;
        }
    }
    if call.c.ha_managed(vmid) {
        return super::ha::ask_migrate(call, &target);
    }
    let work = Migrate {
        vmid,
        target,
        with_local: call.p.is_set("with-local-disks"),
        target_storage: call
            .p
            .get("targetstorage")
            .filter(|s| !s.contains(':') && *s != "1")
            .map(str::to_string),
        began: 0,
    };
    call.fork("qmigrate", &vmid.to_string(), Work::Migrate(work))
}

/// The task of a migration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Migrate {
    pub(crate) vmid: u32,
    pub(crate) target: String,
    pub(crate) with_local: bool,
    pub(crate) target_storage: Option<String>,
    pub(crate) began: u64,
}

/// The time stamp in front of every line of a migration's log.
fn stamp(c: &Cluster) -> String {
    let (days, rest) = (c.seconds() / 86_400, c.seconds() % 86_400);
    // Days since 1970 into a date, by the civil calendar.
    let z = days + 719_468;
    let era = z / 146_097;
    let doe = z % 146_097;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", rest / 3600, rest % 3600 / 60, rest % 60)
}

impl Migrate {
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        let result = match t.step {
            0 => match c.lock_for(t, self.vmid, false, 10_000) {
                Ok(true) => {
                    self.began = c.now;
                    return Next::After(self.connect(c));
                }
                Ok(false) => return Next::Again,
                Err(text) => return Next::Fail(text),
            },
            1 => self.begin(c, t).map(Next::After),
            _ => self.finish(c, t).map(|()| Next::Done),
        };
        result.unwrap_or_else(|text| {
            let took = (c.now - self.began) / 1000;
            let line = format!("ERROR: migration aborted (duration {}): {text}", duration(took));
            t.say(format!("{} {line}", stamp(c)));
            Next::Fail("migration aborted".into())
        })
    }

    /// How long reaching the other node takes.
    fn connect(&self, c: &Cluster) -> u64 {
        if c.sees_all(&self.target) { 100 } else { 3000 }
    }

    fn begin(&mut self, c: &mut Cluster, t: &mut Task) -> Result<u64, String> {
        let ip = c.nodes.get(&self.target).map(|n| n.ip.clone()).unwrap_or_default();
        if !c.sees(&t.node, &self.target) {
            let target = &self.target;
            let command = format!(
                "# /usr/bin/ssh -e none -o 'BatchMode=yes' -o 'HostKeyAlias={target}' -o \
                 'UserKnownHostsFile=/etc/pve/nodes/{target}/ssh_known_hosts' -o 'GlobalKnownHostsFile=none' \
                 root@{ip} /bin/true"
            );
            t.say(format!("{} {command}", stamp(c)));
            t.say(format!("{} ssh: connect to host {ip} port 22: No route to host", stamp(c)));
            return Err("Can't connect to destination address using public key".into());
        }
        let guest = c.guest_on(&t.node, self.vmid, GuestKind::Qemu)?.clone();
        guest.check_lock()?;
        let running = guest.run.is_some();
        if running {
            let text =
                "conntrack state migration not supported or disabled, active connections might get dropped";
            t.say(format!("{} {text}", stamp(c)));
        }
        t.say(format!(
            "{} starting migration of VM {} to node '{}' ({ip})",
            stamp(c),
            self.vmid,
            self.target
        ));
        let local = local_drives(c, &guest.conf);
        for (_, drive) in &local {
            t.say(format!("{} found local disk '{}' (attached)", stamp(c), drive["file"]));
        }
        if let Some((_, drive)) = local.first().filter(|_| running && !self.with_local) {
            let text = "can't live migrate attached local disks without with-local-disks option";
            t.say(format!("{} can't migrate local disk '{}': {text}", stamp(c), drive["file"]));
            let text = "Problem found while scanning volumes - can't migrate VM - check log";
            t.say(format!("{} ERROR: {text}", stamp(c)));
            t.say(format!("{} aborting phase 1 - cleanup resources", stamp(c)));
            return Err(text.into());
        }
        if let Some(key) = guest.conf.keys().find(|k| k.starts_with("hostpci")).filter(|_| running) {
            return Err(format!("can't migrate VM which uses local devices: {key}"));
        }
        let mut bytes = 0;
        for (_, drive) in &local {
            let storage = self.target_storage.clone();
            let storage =
                storage.unwrap_or_else(|| drive["file"].split(':').next().unwrap_or_default().to_string());
            c.usable_storage(&storage, &self.target)?;
            bytes += c.volume(&drive["file"], &t.node).map_or(0, |v| v.size);
        }
        if !local.is_empty() {
            t.say(format!("{} copying local disk images", stamp(c)));
        }
        let per_ms = (c.timing.copy_rate / 1000).max(1);
        let memory = if running { guest.memory() / (num::GIB / 1000) } else { 0 };
        if running {
            t.say(format!("{} starting VM {} on remote node '{}'", stamp(c), self.vmid, self.target));
            t.say(format!(
                "{} starting online/live migration on unix:/run/qemu-server/{}.migrate",
                stamp(c),
                self.vmid
            ));
        }
        Ok(500 + bytes / per_ms + memory)
    }

    fn finish(&mut self, c: &mut Cluster, t: &mut Task) -> Result<(), String> {
        if !c.sees(&t.node, &self.target) {
            return Err("connection to the target node lost".into());
        }
        c.may_write(&t.node, GuestKind::Qemu, self.vmid)?;
        let guest = c.guest_on(&t.node, self.vmid, GuestKind::Qemu)?.clone();
        let mut conf = guest.conf.clone();
        for (key, mut drive) in local_drives(c, &guest.conf) {
            let old = drive["file"].clone();
            let (storage, name) = old.split_once(':').unwrap_or_default();
            let storage = self.target_storage.clone().unwrap_or_else(|| storage.to_string());
            let shared = c.storages.get(&storage).is_some_and(Storage::shared);
            let target = self.target.clone();
            let (name, new) = (name.to_string(), format!("{storage}:{name}"));
            if let Some(volume) = c.volume_mut(&old, &t.node) {
                volume.node = (!shared).then_some(target);
                volume.storage = storage;
                volume.name = name;
            }
            t.say(format!("{} successfully imported '{new}'", stamp(c)));
            t.say(format!("{} volume '{old}' is '{new}' on the target", stamp(c)));
            drive.insert("file".into(), new);
            conf.insert(key, disk::print_drive(&drive));
        }
        if guest.run.is_some() {
            t.say(format!("{} migration status: completed", stamp(c)));
        }
        let target = self.target.clone();
        let guest = c.guest_mut(&t.node, self.vmid)?;
        guest.conf = conf;
        guest.node = target;
        let took = (c.now - self.began) / 1000;
        t.say(format!("{} migration finished successfully (duration {})", stamp(c), duration(took)));
        Ok(())
    }
}

fn duration(seconds: u64) -> String {
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds % 3600 / 60, seconds % 60)
}

impl Cluster {
    /// Whether a node hears the rest.
    fn sees_all(&self, node: &str) -> bool {
        self.nodes.keys().all(|n| self.sees(n, node))
    }
}
