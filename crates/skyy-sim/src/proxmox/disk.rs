//! Drives in a guest's configuration and the volumes behind them: names, parsing, allocating, freeing.

use std::fmt::Write as _;

use super::num;
use super::params::parse_property_string;
use super::schema::{SCHEMA, find};
use super::state::{Cluster, Conf, Guest, Storage, Volume};

/// How long an allocation waits for its storage's lock.
const STORAGE_PATIENCE_MS: u64 = 10_000;

/// A drive's keys, `file` among them.
pub(crate) type Drive = Conf;

/// Every drive a guest can have, in the order in which Proxmox goes through them.
pub(crate) fn drive_names() -> Vec<String> {
    let ranges = [("ide", 4), ("scsi", 31), ("virtio", 16), ("sata", 6)];
    let indexed = ranges.iter().flat_map(|(prefix, n)| (0..*n).map(move |i| format!("{prefix}{i}")));
    indexed.chain(["efidisk0".to_string(), "tpmstate0".to_string()]).collect()
}

/// Whether a key is a drive.
pub(crate) fn is_drive(key: &str) -> bool {
    let prefix = key.trim_end_matches(|c: char| c.is_ascii_digit());
    matches!(prefix, "ide" | "scsi" | "virtio" | "sata" | "efidisk" | "tpmstate")
        && find(SCHEMA.group("qemu-config"), key).is_some()
}

/// A configuration's drives in Proxmox's order.
pub(crate) fn drives(conf: &Conf) -> Vec<(String, Drive)> {
    let names = drive_names();
    names.into_iter().filter_map(|n| Some((n.clone(), parse_drive(conf.get(&n)?)))).collect()
}

/// Reads a drive; verification has already seen it.
pub(crate) fn parse_drive(text: &str) -> Drive {
    let props = SCHEMA.formats.get("disk").map_or(&[][..], Vec::as_slice);
    let mut drive = parse_property_string(props, "", text).unwrap_or_default();
    // Whatever a configuration holds, what stands first is the volume.
    drive.entry("file".into()).or_insert_with(|| text.split(',').next().unwrap_or_default().to_string());
    drive
}

/// Writes a property string: the value without a key first, the rest by name.
pub(crate) fn print_props(first: &str, props: &Conf) -> String {
    let mut out = props.get(first).cloned().unwrap_or_default();
    for (key, value) in props.iter().filter(|(k, _)| *k != first) {
        let _ = write!(out, ",{key}={value}");
    }
    out
}

/// Writes a drive.
pub(crate) fn print_drive(drive: &Drive) -> String {
    print_props("file", drive)
}

/// Whether a drive is an optical one.
pub(crate) fn is_cdrom(drive: &Drive) -> bool {
    drive.get("media").is_some_and(|m| m == "cdrom")
}

/// Whether a volume is a cloud-init drive.
pub(crate) fn is_cloudinit(volid: &str) -> bool {
    volid.ends_with(":cloudinit") || volid.contains("-cloudinit")
}

/// What a drive in a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Want {
    /// `store:32`: a new volume of that many GiB.
    New { storage: String, size: u64 },
    /// `store:cloudinit`.
    CloudInit { storage: String },
    /// `store:0,import-from=...`.
    Import { storage: String, source: String },
    /// An existing volume.
    Volume(String),
    /// `none`, `cdrom` or a path on the host.
    Plain,
}

/// Tells what a drive asks for.
pub(crate) fn want(drive: &Drive) -> Want {
    let file = drive.get("file").map(String::as_str).unwrap_or_default();
    if matches!(file, "none" | "cdrom") || file.starts_with('/') {
        return Want::Plain;
    }
    let Some((storage, rest)) = file.split_once(':') else { return Want::Plain };
    let storage = storage.to_string();
    if let Some(source) = drive.get("import-from") {
        return Want::Import { storage, source: source.clone() };
    }
    match rest.parse::<f64>() {
        Ok(gib) if rest.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
            Want::New { storage, size: num::times(gib, num::GIB) }
        }
        _ if rest == "cloudinit" => Want::CloudInit { storage },
        _ => Want::Volume(file.to_string()),
    }
}

/// Whether a storage can have a volume of that name.
pub(crate) fn check_volume_name(storage: &Storage, name: &str) -> Result<(), String> {
    let image = |n: &str| {
        let rest =
            n.strip_prefix("vm-").or_else(|| n.strip_prefix("base-")).or_else(|| n.strip_prefix("subvol-"));
        rest.and_then(|r| r.split_once('-')).is_some_and(|(id, _)| id.bytes().all(|b| b.is_ascii_digit()))
    };
    if storage.file_based() {
        let parts: Vec<&str> = name.split('/').collect();
        let fine = match parts.as_slice() {
            ["iso" | "vztmpl" | "backup" | "snippets" | "import", file] => !file.is_empty(),
            [id, file] => id.bytes().all(|b| b.is_ascii_digit()) && file.contains('.'),
            [_, base, id, file] => image(base) && image(file) && id.bytes().all(|b| b.is_ascii_digit()),
            _ => false,
        };
        return if fine { Ok(()) } else { Err(format!("unable to parse directory volume name '{name}'")) };
    }
    let last = name.rsplit('/').next().unwrap_or(name);
    if image(last) { Ok(()) } else { Err(format!("unable to parse {} volume name '{name}'", storage.kind)) }
}

/// A volume to be made.
#[derive(Debug, Clone)]
pub(crate) struct NewVolume<'a> {
    pub(crate) storage: &'a str,
    pub(crate) node: &'a str,
    pub(crate) vmid: u32,
    pub(crate) size: u64,
    /// As asked for; the storage decides when None.
    pub(crate) format: Option<&'a str>,
    pub(crate) cloudinit: bool,
    /// A linked clone's base, as the storage names it.
    pub(crate) base: Option<&'a str>,
}

impl Cluster {
    /// A storage that a node may use.
    pub(crate) fn usable_storage(&self, storage: &str, node: &str) -> Result<&Storage, String> {
        let found =
            self.storages.get(storage).ok_or_else(|| format!("storage '{storage}' does not exist"))?;
        if found.disabled() {
            return Err(format!("storage '{storage}' is disabled"));
        }
        if !found.on(node) {
            return Err(format!("storage '{storage}' is not available on node '{node}'"));
        }
        Ok(found)
    }

    /// The volume of a volume ID as a node sees it.
    pub(crate) fn volume(&self, volid: &str, node: &str) -> Option<&Volume> {
        let (storage, name) = volid.split_once(':')?;
        self.volumes
            .iter()
            .find(|v| v.storage == storage && v.name == name && v.node.as_deref().is_none_or(|n| n == node))
    }

    pub(crate) fn volume_mut(&mut self, volid: &str, node: &str) -> Option<&mut Volume> {
        let (storage, name) = volid.split_once(':')?;
        self.volumes
            .iter_mut()
            .find(|v| v.storage == storage && v.name == name && v.node.as_deref().is_none_or(|n| n == node))
    }

    /// Takes the storage's lock for one allocation: when it will be done, or why it could not be had.
    pub(crate) fn lock_storage(&mut self, storage: &str, node: &str) -> Result<u64, String> {
        let now = self.now;
        let shared = self.storages.get(storage).is_some_and(Storage::shared);
        // The lock of the whole cluster costs more than a file's.
        let hold = self.timing.allocate_ms * if shared { 2 } else { 1 };
        if shared && !self.quorate(node) {
            return Err(format!("cfs-lock 'storage-{storage}' error: no quorum!"));
        }
        let until = if shared {
            self.storages.get_mut(storage).map(|s| &mut s.busy)
        } else {
            self.nodes.get_mut(node).map(|n| n.storage_busy.entry(storage.to_string()).or_default())
        };
        let Some(until) = until else { return Ok(now) };
        let start = now.max(*until);
        if start - now > STORAGE_PATIENCE_MS {
            return Err(if shared {
                format!("cfs-lock 'storage-{storage}' error: got lock request timeout")
            } else {
                format!("can't lock file '/var/lock/pve-manager/pve-storage-{storage}' - got timeout")
            });
        }
        *until = start + hold;
        Ok(start + hold)
    }

    /// Makes a volume and gives its ID; the tool that makes it writes to the log.
    pub(crate) fn allocate(&mut self, new: &NewVolume<'_>, log: &mut Vec<String>) -> Result<String, String> {
        let storage = self.usable_storage(new.storage, new.node)?.clone();
        if !storage.allows("images") && !storage.allows("rootdir") {
            return Err(format!("storage '{}' does not support content-type 'images'", new.storage));
        }
        let format = if storage.file_based() {
            new.format.unwrap_or(if new.cloudinit { "qcow2" } else { "raw" })
        } else {
            "raw"
        };
        let suffix = if new.cloudinit {
            "cloudinit".to_string()
        } else {
            self.free_disk_name(new.storage, new.node, new.vmid)
        };
        let file = if storage.file_based() {
            format!("vm-{}-{suffix}.{format}", new.vmid)
        } else {
            format!("vm-{}-{suffix}", new.vmid)
        };
        let name = match (new.base, storage.kind.as_str()) {
            (Some(base), "rbd") => format!("{base}/{file}"),
            (Some(base), _) if storage.file_based() => format!("{base}/{}/{file}", new.vmid),
            _ if storage.file_based() => format!("{}/{file}", new.vmid),
            _ => file.clone(),
        };
        let path = format!("{}/images/{}/{file}", storage.path(), new.vmid);
        log.extend(creation_log(&storage, format, &path, &file, new));
        if format == "qcow2" && new.size >= 1 << 51 {
            let text =
                "The image size is too large for file format 'qcow2' (try using a larger cluster size)";
            return Err(format!("unable to create image: qemu-img: {path}: {text}"));
        }
        self.volumes.push(Volume {
            storage: new.storage.to_string(),
            node: (!storage.shared()).then(|| new.node.to_string()),
            name: name.clone(),
            size: new.size,
            format: format.to_string(),
            content: "images".into(),
            vmid: Some(new.vmid),
            parent: new.base.map(str::to_string),
            ctime: self.seconds(),
        });
        Ok(format!("{}:{name}", new.storage))
    }

    fn free_disk_name(&self, storage: &str, node: &str, vmid: u32) -> String {
        let taken: Vec<&str> = self
            .volumes
            .iter()
            .filter(|v| v.storage == storage && v.node.as_deref().is_none_or(|n| n == node))
            .filter(|v| v.vmid == Some(vmid))
            .filter_map(|v| v.name.rsplit('/').next())
            .collect();
        let used = |n: u32| {
            taken.iter().any(|name| {
                ["vm", "base"].iter().any(|kind| {
                    let stem = format!("{kind}-{vmid}-disk-{n}");
                    name.strip_prefix(&stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
                })
            })
        };
        let n = (0..=u32::MAX).find(|n| !used(*n)).unwrap_or_default();
        format!("disk-{n}")
    }

    /// Frees a volume; refuses a base that linked clones need.
    pub(crate) fn free_volume(&mut self, volid: &str, node: &str) -> Result<(), String> {
        let Some(volume) = self.volume(volid, node) else { return Ok(()) };
        if self.base_in_use(volume) {
            return Err(format!("base volume '{volid}' is still in use by linked cloned"));
        }
        let (storage, name, node) = (volume.storage.clone(), volume.name.clone(), volume.node.clone());
        self.volumes.retain(|v| !(v.storage == storage && v.name == name && v.node == node));
        Ok(())
    }

    /// Whether a linked clone hangs on a volume.
    pub(crate) fn base_in_use(&self, base: &Volume) -> bool {
        self.volumes.iter().any(|v| {
            v.storage == base.storage
                && v.node == base.node
                && v.parent.as_deref() == Some(base.name.as_str())
        })
    }

    /// The path that a log shows for a volume.
    pub(crate) fn volume_path(&self, volid: &str) -> String {
        let Some((storage, name)) = volid.split_once(':') else { return volid.to_string() };
        let Some(definition) = self.storages.get(storage) else { return volid.to_string() };
        let file = name.rsplit('/').next().unwrap_or(name);
        if definition.file_based() {
            return match name.split('/').next().unwrap_or_default() {
                "iso" | "vztmpl" => {
                    format!("{}/template/{name}", definition.path()).replace("vztmpl", "cache")
                }
                "import" => format!("{}/import/{file}", definition.path()),
                "backup" => format!("{}/dump/{file}", definition.path()),
                "snippets" => format!("{}/snippets/{file}", definition.path()),
                first => {
                    let owner = name.split('/').nth(2).unwrap_or(first);
                    format!("{}/images/{owner}/{file}", definition.path())
                }
            };
        }
        match definition.kind.as_str() {
            "lvmthin" | "lvm" => {
                format!("/dev/{}/{file}", definition.conf.get("vgname").map_or("pve", String::as_str))
            }
            "rbd" => format!("rbd:{}/{file}", definition.conf.get("pool").map_or("rbd", String::as_str)),
            _ => volid.to_string(),
        }
    }

    /// The volumes that a guest's drives name, optical discs of others left out.
    pub(crate) fn own_volumes(guest: &Guest) -> Vec<String> {
        let mut found: Vec<String> =
            drives(&guest.conf).iter().filter_map(|(_, d)| d.get("file").cloned()).collect();
        for (key, value) in &guest.conf {
            if key.starts_with("unused") || key == "rootfs" {
                found.push(value.split(',').next().unwrap_or_default().to_string());
            }
        }
        let owner = format!("-{}-", guest.vmid);
        found.retain(|f| f.contains(':') && f.rsplit('/').next().is_some_and(|n| n.contains(&owner)));
        found
    }
}

fn creation_log(
    storage: &Storage,
    format: &str,
    path: &str,
    file: &str,
    new: &NewVolume<'_>,
) -> Option<String> {
    if !storage.file_based() {
        return storage.kind.starts_with("lvm").then(|| format!("  Logical volume \"{file}\" created."));
    }
    let size = new.size;
    Some(match (format, new.base) {
        ("qcow2", Some(base)) => format!(
            "Formatting '{path}', fmt=qcow2 cluster_size=131072 extended_l2=on preallocation=metadata \
             compression_type=zlib size={size} backing_file=../{base} backing_fmt=qcow2 lazy_refcounts=off \
             refcount_bits=16"
        ),
        ("qcow2", None) => format!(
            "Formatting '{path}', fmt=qcow2 cluster_size=65536 extended_l2=off preallocation=metadata \
             compression_type=zlib size={size} lazy_refcounts=off refcount_bits=16"
        ),
        _ => format!("Formatting '{path}', fmt={format} size={size} preallocation=off"),
    })
}

/// The drive a guest boots from, as far as its size is shown.
pub(crate) fn boot_disk_size(conf: &Conf) -> u64 {
    let order = conf.get("boot").and_then(|b| b.strip_prefix("order=")).unwrap_or_default();
    let size = |key: &str| {
        let drive = parse_drive(conf.get(key)?);
        if is_cdrom(&drive) { None } else { num::parse_size(drive.get("size")?) }
    };
    order.split(';').filter(|k| is_drive(k)).find_map(size).unwrap_or_default()
}

/// The boot order Proxmox gives a guest that was made without one.
pub(crate) fn default_boot(conf: &Conf) -> String {
    let drives = drives(conf);
    let bootable = |n: &str| !n.starts_with("efidisk") && !n.starts_with("tpmstate");
    let disk = drives.iter().find(|(n, d)| bootable(n) && !is_cdrom(d) && !is_cloudinit(&d["file"]));
    let cdrom = drives.iter().find(|(n, d)| bootable(n) && is_cdrom(d));
    let net = conf.keys().find(|k| k.strip_prefix("net").is_some_and(|i| i.parse::<u32>().is_ok()));
    let order: Vec<&str> = [disk.map(|d| d.0.as_str()), cdrom.map(|d| d.0.as_str()), net.map(String::as_str)]
        .into_iter()
        .flatten()
        .collect();
    if order.is_empty() { " ".into() } else { format!("order={}", order.join(";")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drives_print_sorted_after_the_file() {
        for (given, printed) in [
            ("local:1,iothread=1,discard=on", "local:1,discard=on,iothread=1"),
            ("file=local:1,size=1G", "local:1,size=1G"),
            ("none,media=cdrom", "none,media=cdrom"),
        ] {
            assert_eq!(print_drive(&parse_drive(given)), printed);
        }
    }

    #[test]
    fn what_a_drive_asks_for() {
        let storage = || "local".to_string();
        for (given, wanted) in [
            ("local:32", Want::New { storage: storage(), size: 32 << 30 }),
            ("local:0.5", Want::New { storage: storage(), size: 512 << 20 }),
            ("local:cloudinit", Want::CloudInit { storage: storage() }),
            (
                "local:0,import-from=local:import/a.qcow2",
                Want::Import { storage: storage(), source: "local:import/a.qcow2".into() },
            ),
            ("local:9/vm-9-disk-0.raw", Want::Volume("local:9/vm-9-disk-0.raw".into())),
            ("none,media=cdrom", Want::Plain),
        ] {
            assert_eq!(want(&parse_drive(given)), wanted, "{given}");
        }
    }

    #[test]
    fn the_boot_order_names_disk_then_disc_then_network() {
        let conf = |pairs: &[(&str, &str)]| -> Conf {
            pairs.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect()
        };
        for (given, order) in [
            (conf(&[]), " "),
            (conf(&[("scsi0", "local:1/vm-1-disk-0.raw")]), "order=scsi0"),
            (
                conf(&[
                    ("scsi0", "local:1/vm-1-disk-0.raw"),
                    ("ide2", "local:vm-1-cloudinit,media=cdrom"),
                    ("net0", "virtio"),
                ]),
                "order=scsi0;ide2;net0",
            ),
        ] {
            assert_eq!(default_boot(&given), order);
        }
    }
}
