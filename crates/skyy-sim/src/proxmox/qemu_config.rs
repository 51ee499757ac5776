//! A virtual machine's configuration: reading it, changing it at once or pending, who may change what.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::{Fault, Reply, nothing};
use super::call::Call;
use super::create::{check_drive, make_drive};
use super::disk;
use super::params::{decode, parse_property_string, split_list};
use super::schema::{Kind, SCHEMA, find};
use super::state::{Cluster, Conf, Guest, GuestKind, digest};
use super::tasks::{Next, Task};
use super::work::Work;

/// Options that take effect at once even while the guest runs.
const AT_ONCE: [&str; 20] = [
    "agent",
    "autostart",
    "cicustom",
    "cipassword",
    "citype",
    "ciupgrade",
    "ciuser",
    "description",
    "hookscript",
    "lock",
    "migrate_downtime",
    "migrate_speed",
    "name",
    "nameserver",
    "onboot",
    "protection",
    "searchdomain",
    "sshkeys",
    "startup",
    "tags",
];

/// A value as the API shows it: numbers where the schema has numbers, text elsewhere.
pub(crate) fn shown(group: &str, key: &str, value: &str) -> Value {
    if key == "cipassword" {
        return json!("**********");
    }
    let kind = find(SCHEMA.group(group), key).map_or(Kind::Text, |p| p.kind);
    match kind {
        Kind::Integer | Kind::Boolean => value.parse::<i64>().map_or_else(|_| json!(value), |n| json!(n)),
        _ => json!(value),
    }
}

/// A whole configuration as the API shows it.
pub(crate) fn shown_conf(group: &str, conf: &Conf) -> Map<String, Value> {
    conf.iter().map(|(k, v)| (k.clone(), shown(group, k, v))).collect()
}

impl Guest {
    /// The digest of everything in the configuration file.
    pub(crate) fn digest(&self) -> String {
        let deletes: Conf = self.pending_delete.iter().map(|k| (k.clone(), String::new())).collect();
        let mut parts = vec![&self.conf, &self.pending, &deletes];
        parts.extend(self.snapshots.values().map(|s| &s.conf));
        digest(&parts)
    }

    /// The configuration as it will be after the next cold start.
    pub(crate) fn with_pending(&self) -> Conf {
        let mut conf = self.conf.clone();
        conf.retain(|k, _| !self.pending_delete.contains(k));
        conf.extend(self.pending.clone());
        conf
    }

    /// Makes pending changes take effect.
    pub(crate) fn apply_pending(&mut self) {
        self.conf = self.with_pending();
        self.pending.clear();
        self.pending_delete.clear();
    }
}

/// GET /nodes/{node}/qemu/{vmid}/config
pub(crate) fn get(call: &mut Call<'_>) -> Reply {
    let guest = call.guest(GuestKind::Qemu)?;
    let mut conf = match call.p.get("snapshot") {
        Some(name) => {
            let snapshot = guest.snapshots.get(name);
            let snapshot = snapshot.ok_or_else(|| Fault::die(format!("snapshot '{name}' does not exist")))?;
            super::snapshot::shown(snapshot, false)
        }
        None if call.p.is_set("current") => shown_conf("qemu-config", &guest.conf),
        None => shown_conf("qemu-config", &guest.with_pending()),
    };
    conf.insert("digest".into(), json!(guest.digest()));
    Ok(Value::Object(conf).into())
}

/// GET /nodes/{node}/qemu/{vmid}/pending
pub(crate) fn pending(call: &mut Call<'_>) -> Reply {
    let guest = call.guest(GuestKind::Qemu)?;
    let mut rows = vec![json!({"key": "digest", "value": guest.digest()})];
    let mut keys: Vec<&String> = guest.conf.keys().chain(guest.pending.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let mut row = Map::from_iter([("key".to_string(), json!(key))]);
        if let Some(value) = guest.conf.get(key) {
            row.insert("value".into(), shown("qemu-config", key, value));
        }
        if let Some(value) = guest.pending.get(key) {
            row.insert("pending".into(), shown("qemu-config", key, value));
        }
        if guest.pending_delete.contains(key) {
            row.insert("delete".into(), json!(1));
        }
        rows.push(Value::Object(row));
    }
    Ok(Value::Array(rows).into())
}

/// A change of a configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Configure {
    vmid: u32,
    set: Conf,
    delete: Vec<String>,
    revert: Vec<String>,
    force: bool,
    skiplock: bool,
    digest: Option<String>,
    /// How the log of the task describes it.
    words: String,
}

/// PUT /nodes/{node}/qemu/{vmid}/config
pub(crate) fn put(call: &mut Call<'_>) -> Reply {
    let change = read_change(call)?;
    call.guest(GuestKind::Qemu)?;
    call.need_flock()?;
    let node = call.node.clone();
    change.apply(call.c, &node, &mut Vec::new()).map_err(Fault::die)?;
    nothing()
}

/// POST /nodes/{node}/qemu/{vmid}/config
pub(crate) fn post(call: &mut Call<'_>) -> Reply {
    let change = read_change(call)?;
    let guest = call.guest(GuestKind::Qemu)?;
    if let Some(digest) = change.digest.as_ref().filter(|d| **d != guest.digest()) {
        let _ = digest;
        return Err(Fault::die("checksum mismatch (file change by other user?)"));
    }
    if !change.skiplock {
        guest.check_lock().map_err(Fault::die)?;
    }
    let id = change.vmid.to_string();
    call.fork("qmconfig", &id, Work::Configure(change))
}

fn read_change(call: &mut Call<'_>) -> Result<Configure, Fault> {
    let vmid = call.vmid();
    let skiplock = call.p.is_set("skiplock");
    if skiplock && !call.caller.is_root() {
        return Err(Fault::param("skiplock", "Only root may use this option."));
    }
    let (delete, revert) = (call.p.items("delete"), call.p.items("revert"));
    let mut set = call.p.text.clone();
    for key in [
        "vmid",
        "node",
        "skiplock",
        "delete",
        "revert",
        "force",
        "digest",
        "background_delay",
        "import-working-storage",
    ] {
        set.remove(key);
    }
    if set.is_empty() && delete.is_empty() && revert.is_empty() {
        return Err(Fault::die("no options specified"));
    }
    for key in &delete {
        if find(SCHEMA.group("qemu-config"), key).is_none() {
            return Err(Fault::param("delete", format!("unknown option '{key}'")));
        }
        if set.contains_key(key) {
            let text = format!("you can't use '-{key}' and -delete {key}' at the same time");
            return Err(Fault::param("delete", text));
        }
        if revert.contains(key) {
            return Err(Fault::param("delete", format!("cannot revert and delete '{key}' at the same time")));
        }
    }
    for key in &revert {
        if find(SCHEMA.group("qemu-config"), key).is_none() {
            return Err(Fault::param("revert", format!("unknown option '{key}'")));
        }
    }
    let current = call.c.guests.get(&vmid).filter(|g| g.node == call.node).cloned();
    check_values(call, &set, current.as_ref())?;
    if !call.caller.is_root() {
        let given = set.iter().map(|(k, v)| (k.as_str(), Some(v.as_str())));
        let dropped = delete.iter().chain(&revert).map(|k| (k.as_str(), None));
        check_modify(call, vmid, given.chain(dropped))?;
    }
    for (key, value) in set.iter().filter(|(k, _)| disk::is_drive(k)) {
        let _ = key;
        check_drive(call, &disk::parse_drive(value))?;
    }
    let words: Vec<String> = set
        .iter()
        .map(|(k, v)| if k == "cipassword" { format!("-{k} <hidden>") } else { format!("-{k} {v}") })
        .chain((!delete.is_empty()).then(|| format!("-delete {}", delete.join(","))))
        .collect();
    Ok(Configure {
        vmid,
        set,
        delete,
        revert,
        force: call.p.is_set("force"),
        skiplock,
        digest: call.p.get("digest").map(str::to_string),
        words: words.join(" "),
    })
}

/// Checks that need more than the schema.
pub(crate) fn check_values(call: &Call<'_>, set: &Conf, current: Option<&Guest>) -> Result<(), Fault> {
    if let Some(keys) = set.get("sshkeys") {
        let keys = decode(keys, false);
        if !keys.lines().filter(|l| !l.trim().is_empty()).all(ssh_key) {
            return Err(Fault::die("SSH public key validation error"));
        }
    }
    for (key, value) in set.iter().filter(|(k, _)| disk::is_drive(k)) {
        let drive = disk::parse_drive(value);
        let sized = drive.get("file").is_some_and(|f| f.split_once(':').is_some_and(|(_, n)| n != "0"));
        if drive.contains_key("import-from") && sized {
            let text = "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>";
            return Err(Fault::param(key, text));
        }
    }
    if !call.caller.is_root() {
        for key in ["args", "lock", "hookscript"] {
            if set.contains_key(key) {
                return Err(Fault::die(format!("only root can set '{key}' config")));
            }
        }
    }
    if let Some(balloon) = set.get("balloon").and_then(|b| b.parse::<u64>().ok()) {
        let memory = set.get("memory").or_else(|| current?.conf.get("memory"));
        let memory = memory.and_then(|m| m.trim_start_matches("current=").parse().ok()).unwrap_or(512);
        if balloon > memory {
            return Err(Fault::die("balloon value too large (must be smaller than assigned memory)"));
        }
    }
    Ok(())
}

/// Whether a line is a public key whose inside says the same type as its outside.
fn ssh_key(line: &str) -> bool {
    use base64::Engine;
    let mut words = line.split_whitespace();
    let (Some(kind), Some(body)) = (words.next(), words.next()) else { return false };
    let Ok(bytes) = base64::engine::general_purpose::STANDARD_NO_PAD.decode(body.trim_end_matches('='))
    else {
        return false;
    };
    let Some((length, rest)) = bytes.split_at_checked(4) else { return false };
    let length = length.iter().fold(0usize, |n, b| (n << 8) | usize::from(*b));
    rest.get(..length) == Some(kind.as_bytes())
}

/// Checks every key that is set (with its value) or dropped against what the caller may change.
pub(crate) fn check_modify<'k>(
    call: &Call<'_>,
    vmid: u32,
    keys: impl Iterator<Item = (&'k str, Option<&'k str>)>,
) -> Result<(), Fault> {
    let path = format!("/vms/{vmid}");
    for (key, value) in keys {
        let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
        let needed: &[&str] = match stem {
            "cores" | "sockets" | "cpu" | "vcpus" | "cpulimit" | "cpuunits" | "numa" | "affinity" | "smp" => {
                &["VM.Config.CPU"]
            }
            "memory" | "balloon" | "shares" | "hugepages" | "keephugepages" | "allow-ksm" => {
                &["VM.Config.Memory"]
            }
            "net" => &["VM.Config.Network"],
            "ipconfig" | "nameserver" | "searchdomain" | "ciuser" | "cipassword" | "sshkeys" | "cicustom"
            | "citype" | "ciupgrade" => {
                call.c.check_any(call.caller, &path, &["VM.Config.Cloudinit", "VM.Config.Network"])?;
                continue;
            }
            "serial" | "usb" | "parallel" | "vga" | "audio" | "machine" | "bios" | "scsihw" | "arch"
            | "rng" | "watchdog" | "virtiofs" | "ivshmem" | "amd-sev" | "tdf" => &["VM.Config.HWType"],
            "hostpci" => {
                if let Some(value) = value {
                    check_pci(call, key, value)?;
                }
                &["VM.Config.HWType"]
            }
            "unused" => &["VM.Config.Disk"],
            _ if disk::is_drive(key) => {
                let drive = value.map(disk::parse_drive).unwrap_or_default();
                let file = drive.get("file").cloned().unwrap_or_default();
                if disk::is_cloudinit(&file) {
                    &["VM.Config.Cloudinit"]
                } else if disk::is_cdrom(&drive) {
                    &["VM.Config.CDROM"]
                } else {
                    if value.is_some() {
                        check_drive(call, &drive)?;
                    }
                    &["VM.Config.Disk"]
                }
            }
            _ => &["VM.Config.Options"],
        };
        call.c.check(call.caller, &path, needed)?;
        if stem == "net"
            && let Some(bridge) = value.and_then(|v| net_of(v).get("bridge").cloned())
        {
            let path = format!("/sdn/zones/localnetwork/{bridge}");
            call.c.check(call.caller, &path, &["SDN.Use"])?;
        }
    }
    Ok(())
}

fn check_pci(call: &Call<'_>, key: &str, value: &str) -> Result<(), Fault> {
    let props = SCHEMA.formats.get("hostpci").map_or(&[][..], Vec::as_slice);
    let device = parse_property_string(props, key, value).unwrap_or_default();
    match device.get("mapping") {
        Some(mapping) => call.c.check(call.caller, &format!("/mapping/pci/{mapping}"), &["Mapping.Use"]),
        None => Err(Fault::die(format!("only root can set '{key}' config for non-mapped devices"))),
    }
}

/// A network device's keys.
pub(crate) fn net_of(value: &str) -> Conf {
    let props = SCHEMA.formats.get("net").map_or(&[][..], Vec::as_slice);
    parse_property_string(props, "", value).unwrap_or_default()
}

/// A network device as the configuration has it: `virtio=MAC,bridge=...`.
pub(crate) fn print_net(net: &Conf) -> String {
    let mut rest = net.clone();
    let model = rest.remove("model").unwrap_or_default();
    let mac = rest.remove("macaddr").unwrap_or_default();
    rest.insert(String::new(), format!("{model}={mac}"));
    disk::print_props("", &rest)
}

/// Brings values into the form in which Proxmox keeps them.
pub(crate) fn normalise(c: &mut Cluster, conf: &mut Conf) {
    let keys: Vec<String> = conf.keys().cloned().collect();
    for key in keys {
        let Some(value) = conf.get(&key).cloned() else { continue };
        let is_net = key.strip_prefix("net").is_some_and(|n| n.parse::<u32>().is_ok());
        let value = if is_net {
            let mut net = net_of(&value);
            let mac = match net.get("macaddr") {
                Some(mac) => mac.to_ascii_uppercase(),
                None => c.mac(),
            };
            net.insert("macaddr".into(), mac);
            print_net(&net)
        } else if key == "tags" {
            let mut tags: Vec<String> = split_list(&value).iter().map(|t| t.to_lowercase()).collect();
            tags.sort();
            tags.dedup();
            tags.join(";")
        } else if disk::is_drive(&key) {
            disk::print_drive(&disk::parse_drive(&value))
        } else {
            value
        };
        conf.insert(key, if value.is_empty() { " ".into() } else { value });
    }
}

impl Configure {
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        match t.step {
            0 => {
                match c.lock_for(t, self.vmid, false, 10_000) {
                    Ok(true) => {}
                    Ok(false) => return Next::Again,
                    Err(text) => return Next::Fail(text),
                }
                t.say(format!("update VM {}: {}", self.vmid, self.words));
                let node = t.node.clone();
                match self.apply(c, &node, &mut t.log) {
                    Ok(until) => Next::After((until.saturating_sub(c.now)).max(100)),
                    Err(text) => Next::Fail(text),
                }
            }
            _ => Next::Done,
        }
    }

    /// Makes the change; gives when its new volumes are ready.
    fn apply(&self, c: &mut Cluster, node: &str, log: &mut Vec<String>) -> Result<u64, String> {
        let vmid = self.vmid;
        let guest = c.guest_on(node, vmid, GuestKind::Qemu)?;
        if self.digest.as_ref().is_some_and(|d| *d != guest.digest()) {
            return Err("checksum mismatch (file change by other user?)".into());
        }
        if !self.skiplock {
            guest.check_lock()?;
        }
        c.may_write(node, GuestKind::Qemu, vmid)?;
        let guest = c.guest_mut(node, vmid)?;
        for key in &self.revert {
            guest.pending.remove(key);
            guest.pending_delete.remove(key);
        }
        let running = guest.run.is_some();
        for key in &self.delete {
            self.drop_key(c, node, key, running)?;
        }
        let mut until = c.now;
        let mut set = self.set.clone();
        let mut made = Vec::new();
        for (key, drive) in disk::drives(&set) {
            let (value, ready) = make_drive(c, node, vmid, &key, drive, log, &mut made)?;
            until = until.max(ready);
            set.insert(key, value);
        }
        normalise(c, &mut set);
        for (key, value) in set {
            let guest = c.guest_mut(node, vmid)?;
            guest.pending_delete.remove(&key);
            let hot = AT_ONCE.contains(&key.as_str()) || hotplugged(guest, &key);
            if running && !hot {
                if guest.conf.get(&key) == Some(&value) {
                    guest.pending.remove(&key);
                } else {
                    guest.pending.insert(key, value);
                }
                continue;
            }
            guest.pending.remove(&key);
            if let Some(old) = guest.conf.get(&key).cloned().filter(|_| disk::is_drive(&key)) {
                c.keep_replaced(node, vmid, &old, &value);
            }
            let guest = c.guest_mut(node, vmid)?;
            if matches!((key.as_str(), value.as_str()), ("description", " ") | ("template", "0")) {
                guest.conf.remove(&key);
            } else {
                guest.conf.insert(key, value);
            }
        }
        Ok(until)
    }

    fn drop_key(&self, c: &mut Cluster, node: &str, key: &str, running: bool) -> Result<(), String> {
        let guest = c.guest_mut(node, self.vmid)?;
        if guest.pending.remove(key).is_some() && !guest.conf.contains_key(key) {
            return Ok(());
        }
        let Some(value) = guest.conf.get(key).cloned() else { return Ok(()) };
        if running && !AT_ONCE.contains(&key) && !hotplugged(guest, key) && !key.starts_with("unused") {
            guest.pending_delete.insert(key.to_string());
            return Ok(());
        }
        guest.conf.remove(key);
        let file = value.split(',').next().unwrap_or_default().to_string();
        if key.starts_with("unused") || (disk::is_drive(key) && (self.force || disk::is_cloudinit(&file))) {
            return c.free_volume(&file, node);
        }
        let drive = disk::parse_drive(&value);
        if disk::is_drive(key) && !disk::is_cdrom(&drive) {
            c.keep_replaced(node, self.vmid, &value, "");
        }
        Ok(())
    }
}

impl Cluster {
    /// A disk that another has replaced, or that was taken out, stays as an unused one.
    fn keep_replaced(&mut self, node: &str, vmid: u32, old: &str, new: &str) {
        let file = |line: &str| disk::parse_drive(line)["file"].clone();
        let (old, new) = (file(old), file(new));
        let own = old.rsplit('/').next().is_some_and(|n| n.contains(&format!("-{vmid}-")));
        if old == new || !own || disk::is_cloudinit(&old) || self.volume(&old, node).is_none() {
            return;
        }
        if let Ok(guest) = self.guest_mut(node, vmid) {
            let slot = (0..256).map(|n| format!("unused{n}")).find(|k| !guest.conf.contains_key(k));
            guest.conf.insert(slot.unwrap_or_default(), old);
        }
    }
}

/// Whether a device of a running guest can be changed at once.
fn hotplugged(guest: &Guest, key: &str) -> bool {
    let features = guest.conf.get("hotplug").map_or("network,disk,usb", String::as_str);
    let has = |f: &str| features == "1" || features.split(',').any(|x| x == f);
    let stem = key.trim_end_matches(|c: char| c.is_ascii_digit());
    match stem {
        "net" => has("network"),
        "scsi" | "virtio" => has("disk"),
        "usb" => has("usb"),
        "ipconfig" | "unused" => true,
        "ide" | "sata" => guest.conf.get(key).is_some_and(|v| v.contains("media=cdrom")),
        _ => false,
    }
}

/// PUT /nodes/{node}/qemu/{vmid}/unlink
pub(crate) fn unlink(call: &mut Call<'_>) -> Reply {
    call.guest(GuestKind::Qemu)?;
    call.need_flock()?;
    let change = Configure {
        vmid: call.vmid(),
        delete: call.p.items("idlist"),
        force: call.p.is_set("force"),
        ..Configure::default()
    };
    let node = call.node.clone();
    change.apply(call.c, &node, &mut Vec::new()).map_err(Fault::die)?;
    nothing()
}
