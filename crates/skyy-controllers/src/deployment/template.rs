//! Templates: which copies there are, and from which hosts each can be cloned.

use std::collections::{BTreeMap, BTreeSet};

use skyy_api::{Reason, deployment::Template};
use skyy_proxmox::{Cluster, GuestAt, GuestConfig, GuestKind};
use skyy_runtime::Failure;

use crate::proxmox::{ClusterHub, Inventory};

/// One copy of a template.
#[derive(Clone, Debug)]
pub(super) struct Copy {
    /// Its id.
    pub(super) vmid: u32,
    /// The node that holds it.
    pub(super) node: String,
    /// Are all its disks on storage that several nodes share?
    pub(super) shared: bool,
    /// The storages of its disks.
    pub(super) storages: BTreeSet<String>,
    /// The storage of its boot disk.
    pub(super) root_storage: Option<String>,
    /// The size of its boot disk.
    pub(super) root_bytes: u64,
    /// Its cores and memory, for guests that ask for none.
    pub(super) cores: u32,
    /// Memory in bytes.
    pub(super) memory: u64,
}

/// The copies that the spec means, by id.
pub(super) async fn find(
    hub: &ClusterHub,
    client: &Cluster,
    inventory: &Inventory,
    wanted: &Template,
) -> Result<Vec<Copy>, Failure> {
    let templates =
        || inventory.resources.guests.iter().filter(|guest| guest.template && guest.kind == GuestKind::Qemu);
    let matches = |guest: &&skyy_proxmox::GuestResource| match wanted {
        Template { vmid: Some(vmid), .. } => guest.vmid.get() == *vmid,
        Template { name: Some(name), .. } => guest.name.as_ref() == Some(name),
        Template { tag: Some(tag), .. } => guest.tags.contains(&tag.to_lowercase()),
        Template { .. } => false,
    };
    let mut copies = Vec::new();
    for guest in templates().filter(matches) {
        if !inventory.is_online(guest.node.as_str()) {
            continue;
        }
        let at = GuestAt::qemu(guest.node.clone(), guest.vmid);
        let config = hub.config_lately(client, &at).await.map_err(|error| hub.failed(&error))?;
        copies.push(copy_of(inventory, guest, &config));
    }
    if copies.is_empty() {
        let what = match wanted {
            Template { vmid: Some(vmid), .. } => format!("id {vmid}"),
            Template { name: Some(name), .. } => format!("name {name}"),
            Template { tag, .. } => format!("tag {}", tag.as_deref().unwrap_or_default()),
        };
        let there: Vec<String> = templates()
            .map(|guest| {
                format!(
                    "{} {} ({})",
                    guest.vmid,
                    guest.name.as_deref().unwrap_or("unnamed"),
                    guest.tags.iter().cloned().collect::<Vec<_>>().join(";")
                )
            })
            .collect();
        let there = if there.is_empty() { "none".to_owned() } else { there.join(", ") };
        return Err(Failure::waiting(
            Reason::DependencyMissing,
            format!("no template with the {what} on a node that is online; templates there: {there}"),
        ));
    }
    Ok(copies)
}

fn copy_of(inventory: &Inventory, guest: &skyy_proxmox::GuestResource, config: &GuestConfig) -> Copy {
    let disks = config.disks();
    let storages: BTreeSet<String> =
        disks.values().filter_map(|disk| disk.storage().map(str::to_owned)).collect();
    let shared = |name: &String| {
        inventory
            .resources
            .storages
            .iter()
            .any(|storage| storage.storage == *name && storage.shared && storage.node == guest.node)
    };
    let keys: BTreeMap<String, String> =
        config.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let boot = skyy_plan::guest::boot_disk(&skyy_plan::guest::Config { keys, digest: String::new() });
    let root = boot.as_deref().and_then(|key| disks.get(key));
    Copy {
        vmid: guest.vmid.get(),
        node: guest.node.to_string(),
        shared: !storages.is_empty() && storages.iter().all(shared),
        root_storage: root.and_then(|disk| disk.storage().map(str::to_owned)),
        root_bytes: root.and_then(|disk| disk.size).unwrap_or(0),
        storages,
        cores: u32::try_from(config.cores() * config.sockets()).unwrap_or(u32::MAX),
        memory: config.memory_mib() << 20,
    }
}
