//! The configuration of a virtual machine as Proxmox keeps it, and how it differs from what should be.

use std::collections::BTreeMap;

use super::{CardSpec, GuestMark, GuestSpec};

/// A guest's configuration: keys and values as Proxmox spells them, numbers as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `cores` → `4`, `net0` → `virtio=…,bridge=vmbr0`.
    pub keys: BTreeMap<String, String>,
    /// The version of what was read.
    pub digest: String,
}

impl Config {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.keys.get(key).map(String::as_str)
    }

    /// The description; Proxmox ends it with a newline.
    pub fn description(&self) -> &str {
        self.get("description").unwrap_or_default()
    }
}

/// One setting that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// What it should be; none: not set.
    pub value: Option<String>,
    /// For people: `cores 2 → 4`.
    pub why: String,
}

/// What differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// What can change while the guest runs.
    pub live: Vec<Change>,
    /// What asks for a restart.
    pub cold: Vec<Change>,
    /// Disks that should be larger: which, and how many bytes.
    pub grow: Vec<(String, u64)>,
}

/// A value such as `virtio=AA:BB,bridge=vmbr0,tag=3`: the first part may stand without a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyString {
    /// What stands without a key.
    pub bare: Option<String>,
    /// The rest, in its order.
    pub pairs: Vec<(String, String)>,
}

impl PropertyString {
    /// Takes the text apart.
    pub fn parse(text: &str) -> Self {
        let mut bare = None;
        let mut pairs = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((key, value)) => pairs.push((key.to_owned(), value.to_owned())),
                None => bare = Some(part.to_owned()),
            }
        }
        Self { bare, pairs }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str())
    }

    fn set(&mut self, key: &str, value: &str) {
        match self.pairs.iter_mut().find(|(k, _)| k == key) {
            Some(pair) => value.clone_into(&mut pair.1),
            None => self.pairs.push((key.to_owned(), value.to_owned())),
        }
    }

    fn remove(&mut self, key: &str) {
        self.pairs.retain(|(k, _)| k != key);
    }

    fn text(&self) -> String {
        let bare = self.bare.iter().cloned();
        bare.chain(self.pairs.iter().map(|(key, value)| format!("{key}={value}")))
            .collect::<Vec<_>>()
            .join(",")
    }
}

/// The models of network cards that Proxmox knows: the key under which a card's MAC stands.
const CARD_MODELS: [&str; 5] = ["virtio", "e1000", "e1000e", "vmxnet3", "rtl8139"];
/// Where a drive may be.
const BUSES: [&str; 4] = ["scsi", "virtio", "sata", "ide"];
/// The serial number of a drive may have 20 characters.
const SERIAL_LIMIT: usize = 20;

/// The drive from which the guest boots: `scsi0`.
pub fn boot_disk(config: &Config) -> Option<String> {
    let named = config
        .get("boot")
        .and_then(|boot| PropertyString::parse(boot).get("order").map(str::to_owned))
        .into_iter()
        .flat_map(|order| order.split(';').map(str::to_owned).collect::<Vec<_>>())
        .chain(config.get("bootdisk").map(str::to_owned));
    named
        .chain(BUSES.iter().map(|bus| format!("{bus}0")))
        .find(|drive| config.get(drive).is_some_and(|value| is_disk(drive, value)))
}

fn is_disk(key: &str, value: &str) -> bool {
    BUSES.iter().any(|bus| key.strip_prefix(bus).is_some_and(|n| n.parse::<u32>().is_ok()))
        && !value.contains("media=cdrom")
        && !value.contains("cloudinit")
        && value != "none"
}

/// A size as Proxmox writes it: `32G`, `512M`, `2T`, `4194304`.
pub(super) fn size_bytes(text: &str) -> Option<u64> {
    let (number, factor) = match text.char_indices().last()? {
        (at, 'K') => (&text[..at], 1 << 10),
        (at, 'M') => (&text[..at], 1 << 20),
        (at, 'G') => (&text[..at], 1 << 30),
        (at, 'T') => (&text[..at], 1_u64 << 40),
        _ => (text, 1),
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// How the configuration differs from what should be.
pub(super) fn difference(spec: &GuestSpec, config: &Config) -> Difference {
    let GuestSpec {
        name,
        mark,
        cores,
        memory_mib,
        root_bytes,
        disks: _,
        gpus: _,
        cards: _,
        cloud_init: _,
        may_interrupt: _,
    } = spec;
    let mut found = Difference::default();
    let mut live = |key: &str, value: String, why: String| {
        found.live.push(Change { key: key.into(), value: Some(value), why });
    };
    if config.get("name") != Some(name) {
        live("name", name.clone(), format!("name {} → {name}", config.get("name").unwrap_or("none")));
    }
    if !mark.is_on(config.description()) {
        live("description", mark.description(), "our mark".into());
    }
    let tags = tags_of(config);
    let tag = mark.tag();
    if !tags.contains(&tag) {
        let mut all = tags;
        all.push(tag.clone());
        all.sort();
        live("tags", all.join(";"), format!("tag {tag}"));
    }
    number("cores", cores.map(u64::from), config, &mut found.cold);
    number("memory", *memory_mib, config, &mut found.cold);
    gpus(spec, config, &mut found.cold);
    cards(spec, config, &mut found);
    cloud_init(spec, config, &mut found.cold);
    disks(spec, config, &mut found);
    if let (Some(want), Some(disk)) = (root_bytes, boot_disk(config)) {
        grow(&disk, *want, config, &mut found.grow);
    }
    found
}

/// The tags, as Proxmox keeps them: lower case, sorted.
fn tags_of(config: &Config) -> Vec<String> {
    config
        .get("tags")
        .unwrap_or_default()
        .split([';', ',', ' '])
        .filter(|tag| !tag.is_empty())
        .map(str::to_lowercase)
        .collect()
}

fn number(key: &str, want: Option<u64>, config: &Config, changes: &mut Vec<Change>) {
    let Some(want) = want else { return };
    let has = config.get(key).and_then(|value| value.parse::<u64>().ok());
    if has != Some(want) {
        let before = config.get(key).unwrap_or("default");
        changes.push(Change {
            key: key.into(),
            value: Some(want.to_string()),
            why: format!("{key} {before} → {want}"),
        });
    }
}

/// Each GPU is a `hostpciN` with a mapping; the count of each mapping is what matters, not which stands where.
fn gpus(spec: &GuestSpec, config: &Config, changes: &mut Vec<Change>) {
    let mut missing: Vec<&str> = spec.gpus.iter().map(String::as_str).collect();
    let mut free: Vec<u32> = (0..16).rev().collect();
    for (key, value) in &config.keys {
        let Some(slot) = key.strip_prefix("hostpci").and_then(|n| n.parse::<u32>().ok()) else { continue };
        free.retain(|n| *n != slot);
        let device = PropertyString::parse(value);
        let Some(mapping) = device.get("mapping") else { continue };
        if let Some(at) = missing.iter().position(|want| *want == mapping) {
            missing.remove(at);
        } else {
            changes.push(Change { key: key.clone(), value: None, why: format!("{key} {mapping} → none") });
        }
    }
    for mapping in missing {
        let Some(slot) = free.pop() else { break };
        changes.push(Change {
            key: format!("hostpci{slot}"),
            value: Some(format!("mapping={mapping}")),
            why: format!("hostpci{slot} {mapping}"),
        });
    }
}

fn cards(spec: &GuestSpec, config: &Config, found: &mut Difference) {
    for (n, card) in spec.cards.iter().enumerate() {
        let key = format!("net{n}");
        let before = config.get(&key);
        let Some(value) = card_value(card, before) else { continue };
        let why = format!("{key} {} → {value}", before.unwrap_or("none"));
        found.cold.push(Change { key, value: Some(value), why });
    }
}

/// The card's value, when it differs from the one that is there. What the spec does not name is kept.
fn card_value(card: &CardSpec, before: Option<&str>) -> Option<String> {
    let mut value = PropertyString::parse(before.unwrap_or_default());
    let model =
        value.pairs.iter().map(|(key, _)| key.clone()).find(|key| CARD_MODELS.contains(&key.as_str()));
    let bare_model = value.bare.clone().filter(|bare| CARD_MODELS.contains(&bare.as_str()));
    let old = value.clone();
    if let Some(mac) = &card.mac {
        let model = model.or(bare_model).unwrap_or_else(|| "virtio".into());
        let same = value.get(&model).is_some_and(|has| has.eq_ignore_ascii_case(mac));
        if !same {
            value.bare = None;
            value.set(&model, &mac.to_uppercase());
        }
    } else if model.is_none() && bare_model.is_none() {
        value.bare = Some("virtio".into());
    }
    if value.get("bridge") != Some(card.bridge.as_str()) {
        value.set("bridge", &card.bridge);
    }
    match card.vlan.map(|vlan| vlan.to_string()) {
        Some(vlan) if value.get("tag") != Some(vlan.as_str()) => value.set("tag", &vlan),
        None => value.remove("tag"),
        Some(_) => {}
    }
    (before.is_none() || value != old).then(|| value.text())
}

fn cloud_init(spec: &GuestSpec, config: &Config, changes: &mut Vec<Change>) {
    let Some(cloud_init) = &spec.cloud_init else { return };
    let mut text = |key: &str, want: Option<String>, shown: Option<&str>| {
        let Some(want) = want else { return };
        if config.get(key) != Some(want.as_str()) {
            let why = format!("{key} {}", shown.unwrap_or(&want));
            changes.push(Change { key: key.into(), value: Some(want), why });
        }
    };
    text("ciuser", cloud_init.user.clone(), None);
    // Public keys are no secret, but long: a person need not read them.
    text("sshkeys", cloud_init.ssh_keys.as_deref().map(ssh_keys_value), Some("(set)"));
    let servers = (!cloud_init.name_servers.is_empty()).then(|| cloud_init.name_servers.join(" "));
    text("nameserver", servers, None);
    text("searchdomain", cloud_init.search_domain.clone(), None);
    // Every card that claims an address gets it by DHCP, from the reservation of its MAC.
    for (n, _) in spec.cards.iter().enumerate().filter(|(_, card)| card.mac.is_some()) {
        text(&format!("ipconfig{n}"), Some("ip=dhcp".into()), None);
    }
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase()
}

/// Keys as Proxmox wants them: one a line, escaped inside the value.
fn ssh_keys_value(keys: &str) -> String {
    let mut escaped = String::new();
    let lines: Vec<&str> = keys.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    for byte in lines.join("\n").bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.extend(['%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    escaped
}

fn disks(spec: &GuestSpec, config: &Config, found: &mut Difference) {
    let mut free: Vec<u32> = (1..31).rev().filter(|n| config.get(&format!("scsi{n}")).is_none()).collect();
    for disk in &spec.disks {
        let serial: String = format!("skyy-{}", disk.name).chars().take(SERIAL_LIMIT).collect();
        let existing = config.keys.iter().find(|(key, value)| {
            is_disk(key, value) && PropertyString::parse(value).get("serial") == Some(&serial)
        });
        if let Some((key, _)) = existing {
            grow(key, disk.bytes, config, &mut found.grow);
        } else if let Some(slot) = free.pop() {
            // Proxmox makes a new disk of so many GiB from `storage:SIZE`.
            let gib = disk.bytes.div_ceil(1 << 30);
            found.live.push(Change {
                key: format!("scsi{slot}"),
                value: Some(format!("{}:{gib},serial={serial}", disk.storage)),
                why: format!("new disk {} of {gib} GiB on {}", disk.name, disk.storage),
            });
        }
    }
}

/// A disk only ever grows: a smaller wish is no wish.
fn grow(key: &str, want: u64, config: &Config, grow: &mut Vec<(String, u64)>) {
    let has = config.get(key).and_then(|value| PropertyString::parse(value).get("size").and_then(size_bytes));
    if has.is_some_and(|has| has < want) {
        grow.push((key.to_owned(), want));
    }
}

/// What to write so that the guest no longer carries our mark; none when it carries none.
pub(super) fn without_mark(config: &Config) -> Option<Vec<(String, Option<String>)>> {
    let tags = tags_of(config);
    let left: Vec<String> = tags.iter().filter(|tag| !tag.starts_with("skyy-")).cloned().collect();
    let marked = GuestMark::any_on(config.description());
    if !marked && left.len() == tags.len() {
        return None;
    }
    let text = |value: String| (!value.is_empty()).then_some(value);
    let mut changes = Vec::new();
    if left.len() != tags.len() {
        changes.push(("tags".to_owned(), text(left.join(";"))));
    }
    if marked {
        let below = config.description().split_once('\n').map_or("", |(_, rest)| rest).trim();
        let own = below.starts_with("Made by Skyy-Command");
        let kept = if own { below.split_once('\n').map_or("", |(_, rest)| rest).trim() } else { below };
        changes.push(("description".to_owned(), text(kept.to_owned())));
    }
    Some(changes)
}
