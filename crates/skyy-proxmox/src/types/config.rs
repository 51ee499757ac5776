//! A guest's configuration: keys and values, read through what they mean.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::ids::Digest;
use crate::lenient::{read_flag, read_text};
use crate::property::{PropertyString, decode_ssh_keys, parse_size, parse_tags};

/// The configuration of a guest. Every value is kept as text, unknown keys included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestConfig {
    /// What to send with a write so that a change in between is refused.
    pub digest: Option<Digest>,
    values: BTreeMap<String, String>,
}

/// A disk, CD-ROM or mount point in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The volume (`local-lvm:vm-100-disk-0`); `none` for an empty drive.
    pub volume: String,
    /// Its size in bytes, as far as the configuration says.
    pub size: Option<u64>,
    /// Whether it is a CD-ROM; cloud-init drives are.
    pub cdrom: bool,
    /// All its options.
    pub options: PropertyString,
}

impl Disk {
    fn parse(text: &str) -> Option<Self> {
        let options = PropertyString::parse(text);
        let volume = options.main_or("file").or_else(|| options.get("volume"))?.to_owned();
        let size = options.get("size").and_then(parse_size);
        let cdrom = options.get("media") == Some("cdrom");
        Some(Self { volume, size, cdrom, options })
    }

    /// The storage that holds the volume.
    pub fn storage(&self) -> Option<&str> {
        self.volume.split_once(':').map(|(storage, _)| storage)
    }

    /// Whether it is the drive with cloud-init data.
    pub fn is_cloud_init(&self) -> bool {
        self.cdrom && self.volume.contains("cloudinit")
    }
}

impl<'de> Deserialize<'de> for GuestConfig {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let fields = BTreeMap::<String, Value>::deserialize(from)?;
        let mut values: BTreeMap<String, String> =
            fields.into_iter().filter_map(|(key, value)| Some((key, read_text(&value)?))).collect();
        let digest = values.remove("digest").map(Digest::new);
        Ok(Self { digest, values })
    }
}

impl GuestConfig {
    /// A value as text.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// All keys and values, in the order of keys, without the digest.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Values whose key is `prefix` and a number, by that number: `numbered("net")`.
    pub fn numbered(&self, prefix: &str) -> BTreeMap<u32, &str> {
        let number = |key: &str| key.strip_prefix(prefix).and_then(plain_number);
        self.iter().filter_map(|(key, value)| Some((number(key)?, value))).collect()
    }

    /// The name (a container's host name).
    pub fn name(&self) -> Option<&str> {
        self.get("name").or_else(|| self.get("hostname"))
    }

    /// The notes, without the line end that the server may add.
    pub fn description(&self) -> &str {
        self.get("description").unwrap_or_default().trim_end_matches('\n')
    }

    /// The tags, normalised.
    pub fn tags(&self) -> BTreeSet<String> {
        parse_tags(self.get("tags").unwrap_or_default())
    }

    /// The operation that holds the guest.
    pub fn lock(&self) -> Option<&str> {
        self.get("lock").filter(|lock| !lock.is_empty())
    }

    /// Whether it is a template.
    pub fn is_template(&self) -> bool {
        self.flag("template").unwrap_or(false)
    }

    /// Whether it is protected from removal.
    pub fn is_protected(&self) -> bool {
        self.flag("protection").unwrap_or(false)
    }

    /// A value as yes or no.
    pub fn flag(&self, key: &str) -> Option<bool> {
        read_flag(&Value::String(self.get(key)?.to_owned()))
    }

    /// A value as a number.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.trim().parse().ok()
    }

    /// Cores per socket (default 1).
    pub fn cores(&self) -> u64 {
        self.number("cores").unwrap_or(1)
    }

    /// Sockets (default 1).
    pub fn sockets(&self) -> u64 {
        self.number("sockets").unwrap_or(1)
    }

    /// Memory in MiB (default 512). Written as `2048` or `current=2048`.
    pub fn memory_mib(&self) -> u64 {
        let parsed = self.get("memory").map(PropertyString::parse);
        parsed.and_then(|memory| memory.main_or("current")?.parse().ok()).unwrap_or(512)
    }

    /// Whether the guest agent is switched on. Written as `1`, `enabled=1,…` or `true`.
    pub fn agent_enabled(&self) -> bool {
        let parsed = self.get("agent").map(PropertyString::parse);
        parsed
            .and_then(|agent| read_flag(&Value::String(agent.main_or("enabled")?.to_owned())))
            .unwrap_or(false)
    }

    /// The SSH keys of cloud-init, decoded.
    pub fn ssh_keys(&self) -> Option<String> {
        self.get("sshkeys").map(decode_ssh_keys)
    }

    /// Disks, CD-ROMs and mount points by key; detached ones (`unused0`) are not among them.
    pub fn disks(&self) -> BTreeMap<&str, Disk> {
        let numbered = |key: &str| {
            let buses = ["scsi", "virtio", "sata", "ide", "efidisk", "tpmstate", "mp"];
            buses.iter().any(|bus| key.strip_prefix(bus).and_then(plain_number).is_some())
        };
        let disks = self.iter().filter(|(key, _)| *key == "rootfs" || numbered(key));
        disks.filter_map(|(key, value)| Some((key, Disk::parse(value)?))).collect()
    }

    /// Volumes that belong to the guest and are attached nowhere.
    pub fn unused(&self) -> BTreeMap<u32, &str> {
        self.numbered("unused")
    }

    /// Network cards by number, taken apart.
    pub fn networks(&self) -> BTreeMap<u32, PropertyString> {
        self.numbered("net")
            .into_iter()
            .map(|(number, value)| (number, PropertyString::parse(value)))
            .collect()
    }

    /// The hardware address of a network card, in upper case. A virtual machine writes it as the model's value.
    pub fn mac(&self, card: u32) -> Option<String> {
        let network = self.networks().remove(&card)?;
        let models = ["virtio", "e1000", "e1000e", "rtl8139", "vmxnet3", "macaddr", "hwaddr"];
        let value = models.iter().find_map(|model| network.get(model))?;
        Some(value.to_uppercase())
    }

    /// PCI devices by number, taken apart: `mapping` names a resource mapping, the main part a raw device.
    pub fn pci_devices(&self) -> BTreeMap<u32, PropertyString> {
        let devices = self.numbered("hostpci").into_iter();
        devices.map(|(number, value)| (number, PropertyString::parse(value))).collect()
    }
}

/// Digits only: `net0`, not `net+0`.
fn plain_number(text: &str) -> Option<u32> {
    text.chars().all(|c| c.is_ascii_digit()).then(|| text.parse().ok())?
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for GuestConfig {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(values: I) -> Self {
        let mut values: BTreeMap<String, String> =
            values.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        let digest = values.remove("digest").map(Digest::new);
        Self { digest, values }
    }
}

/// One key of `/pending`: the value that is live, and what waits for a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PendingValue {
    /// The key.
    pub key: String,
    /// The live value.
    pub value: Option<String>,
    /// The value that comes with the next start.
    pub pending: Option<String>,
    /// The key goes with the next start.
    pub delete: bool,
}

impl PendingValue {
    /// Whether something waits.
    pub fn is_waiting(&self) -> bool {
        self.delete || self.pending.is_some()
    }
}

impl<'de> Deserialize<'de> for PendingValue {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let fields = BTreeMap::<String, Value>::deserialize(from)?;
        let text = |key: &str| fields.get(key).and_then(read_text);
        let key = text("key").ok_or_else(|| serde::de::Error::missing_field("key"))?;
        // 2 means: delete by force.
        let delete = fields.get("delete").and_then(read_flag).unwrap_or(false);
        Ok(Self { key, value: text("value"), pending: text("pending"), delete })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn config(value: Value) -> GuestConfig {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn meaning_is_read_from_every_way_of_writing_it() {
        let guest = config(json!({
            "digest": "abc", "name": "web", "cores": 2, "memory": "512", "tags": "B;a", "agent": "enabled=1,fstrim=0",
            "scsi0": "local:200/vm-200-disk-0.qcow2,size=10G", "ide2": "local:200/vm-200-cloudinit.qcow2,media=cdrom",
            "scsihw": "virtio-scsi-single", "net0": "virtio=bc:24:11:00:00:01,bridge=vmbr0,tag=20",
            "hostpci0": "mapping=rtx4090,pcie=1", "unused0": "local:200/vm-200-disk-1.qcow2", "lock": "",
            "sshkeys": "ssh-ed25519%20AAAA%20me%40x", "description": "mark\n", "odd": {"nested": 1}, "mp0x": "no",
        }));
        assert_eq!(guest.digest, Some(Digest::new("abc")));
        assert_eq!((guest.cores(), guest.sockets(), guest.memory_mib()), (2, 1, 512));
        assert_eq!(guest.tags().into_iter().collect::<Vec<_>>(), ["a", "b"]);
        assert!(guest.agent_enabled() && !guest.is_template() && guest.lock().is_none());
        let disks = guest.disks();
        assert_eq!(disks.keys().copied().collect::<Vec<_>>(), ["ide2", "scsi0"]);
        assert_eq!((disks["scsi0"].size, disks["scsi0"].storage()), (Some(10 << 30), Some("local")));
        assert!(disks["ide2"].is_cloud_init() && !disks["scsi0"].is_cloud_init());
        assert_eq!(guest.mac(0).as_deref(), Some("BC:24:11:00:00:01"));
        assert_eq!(guest.networks()[&0].get("bridge"), Some("vmbr0"));
        assert_eq!(guest.pci_devices()[&0].get("mapping"), Some("rtx4090"));
        assert_eq!(guest.unused().len(), 1);
        assert_eq!(guest.ssh_keys().as_deref(), Some("ssh-ed25519 AAAA me@x"));
        assert_eq!(guest.description(), "mark");
        assert_eq!(guest.get("odd"), None, "what has no text is left out");
    }

    #[test]
    fn defaults_are_those_of_proxmox() {
        let empty = config(json!({}));
        assert_eq!((empty.cores(), empty.sockets(), empty.memory_mib()), (1, 1, 512));
        assert!(!empty.agent_enabled() && empty.disks().is_empty() && empty.mac(0).is_none());
        assert_eq!(config(json!({"memory": "current=4096"})).memory_mib(), 4096);
        assert!(config(json!({"agent": 1})).agent_enabled());
        assert!(!config(json!({"agent": "0"})).agent_enabled());
    }

    #[test]
    fn containers_read_alike() {
        let guest = config(json!({
            "hostname": "ct", "rootfs": "local-lvm:vm-100-disk-0,size=8G", "mp0": "data:vm-100-disk-1,mp=/srv,size=1T",
            "net0": "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:02,ip=dhcp", "memory": 1024,
        }));
        assert_eq!(guest.name(), Some("ct"));
        assert_eq!(guest.disks()["mp0"].size, Some(1 << 40));
        assert_eq!(guest.mac(0).as_deref(), Some("BC:24:11:00:00:02"));
    }

    #[test]
    fn pending_values_say_what_waits() {
        let pending: Vec<PendingValue> = serde_json::from_value(json!([
            {"key": "cores", "value": 1, "pending": 2}, {"key": "name", "value": "x"}, {"key": "net1", "value": "y", "delete": 1},
        ]))
        .unwrap();
        assert_eq!(pending.iter().map(PendingValue::is_waiting).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(pending[0].pending.as_deref(), Some("2"));
    }
}
