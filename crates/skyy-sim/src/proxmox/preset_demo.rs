//! The demo cluster "puma": eight hosts of different size, GPUs, local and shared storage, templates, and guests
//! that belong to somebody else.

use super::apt::standard;
use super::network::{NetState, bridge, card};
use super::num::{self, GIB, TIB};
use super::preset::{Host, add_host, conf, local, user};
use super::state::{
    Acl, Cluster, Conf, Disk, Guest, GuestKind, Mapping, PciDevice, Run, Storage, Token, Volume,
};

/// The operator's API token: `skyy@pve!operator=` and this.
const TOKEN: &str = "11111111-2222-3333-4444-555555555555";

/// CPUs, memory in GiB, and how many of which GPU, by host.
const HOSTS: [(u32, u64, &[Gpu]); 8] = [
    (64, 512, &[Gpu::Rtx4090, Gpu::Rtx4090]),
    (64, 512, &[Gpu::Rtx4090, Gpu::Rtx4090, Gpu::Rtx4090, Gpu::Rtx4090]),
    (128, 1024, &[Gpu::Rtx3090, Gpu::Rtx3090]),
    (128, 1024, &[]),
    (96, 768, &[Gpu::Rtx4090, Gpu::Rtx4090]),
    (96, 768, &[]),
    (32, 256, &[]),
    (32, 256, &[]),
];

/// Hosts where the second bridge is missing.
const WITHOUT_VMBR1: [u32; 2] = [4, 7];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gpu {
    Rtx4090,
    Rtx3090,
}

fn host_name(id: u32) -> String {
    format!("puma-proxmox-{id:03}")
}

/// The demo cluster.
pub(crate) fn demo(mut c: Cluster) -> Cluster {
    for (id, (cpus, memory, gpus)) in (1..).zip(HOSTS) {
        host(&mut c, id, cpus, memory * GIB, gpus);
    }
    storages(&mut c);
    operator(&mut c);
    mapping(&mut c);
    templates(&mut c);
    foreign(&mut c);
    c.broadcast_now();
    c
}

fn host(c: &mut Cluster, id: u32, cpus: u32, memory: u64, gpus: &[Gpu]) {
    let (name, ip) = (host_name(id), format!("192.0.2.{}", 10 + id));
    add_host(
        c,
        &Host {
            name: &name,
            id,
            ip: &ip,
            gateway: "192.0.2.1",
            cpus,
            sockets: 2,
            cpu_model: "AMD EPYC 7543 32-Core Processor",
            memory,
            root_size: 100 * GIB,
            kernel: ("6.17.4-1-pve", "#1 SMP PREEMPT_DYNAMIC PMX 6.17.4-1 (2026-09-02T08:12Z)"),
            domain: "puma.example.net",
            card: "eno1",
        },
    );
    let Some(node) = c.nodes.get_mut(&name) else { return };
    let mut ifaces = node.net.active.clone();
    ifaces.insert(1, card("eno2"));
    if !WITHOUT_VMBR1.contains(&id) {
        ifaces.push(bridge("vmbr1", "eno2", None, None));
    }
    node.net = NetState::installed(ifaces);
    // As installed: the paid repository without a subscription, and a list of updates from an earlier day.
    node.apt.files =
        ["enterprise", "ceph-squid-enterprise"].iter().filter_map(|h| standard(h, true)).collect();
    node.apt.updates = node.apt.available.clone();
    node.pci = devices(gpus);
    node.disks = vec![
        Disk {
            path: "/dev/nvme0n1".into(),
            size: 2 * TIB,
            kind: "nvme".into(),
            model: "SAMSUNG MZQL21T9".into(),
            serial: format!("S64GNE0R{id:06}"),
            used: Some("LVM".into()),
        },
        Disk {
            path: "/dev/nvme1n1".into(),
            size: 4 * TIB,
            kind: "nvme".into(),
            model: "SAMSUNG MZQL23T8".into(),
            serial: format!("S64HNE0R{id:06}"),
            used: None,
        },
    ];
}

fn devices(gpus: &[Gpu]) -> Vec<PciDevice> {
    let device =
        |id: String, class: &str, vendor: (&str, &str), device: (&str, &str), group: i32| PciDevice {
            id,
            class: class.into(),
            vendor: vendor.0.into(),
            device: device.0.into(),
            vendor_name: Some(vendor.1.into()),
            device_name: Some(device.1.into()),
            subsystem_vendor: "0x1043".into(),
            subsystem_device: "0x889a".into(),
            subsystem_vendor_name: Some("ASUSTeK Computer Inc.".into()),
            iommu_group: group,
        };
    let amd = ("0x1022", "Advanced Micro Devices, Inc. [AMD]");
    let intel = ("0x8086", "Intel Corporation");
    let nvidia = ("0x10de", "NVIDIA Corporation");
    let mut found = vec![
        device("0000:00:00.0".into(), "0x060000", amd, ("0x1480", "Starship/Matisse Root Complex"), 0),
        device("0000:61:00.0".into(), "0x020000", intel, ("0x1563", "Ethernet Controller X550"), 12),
        device("0000:61:00.1".into(), "0x020000", intel, ("0x1563", "Ethernet Controller X550"), 13),
    ];
    for (bus, gpu) in ["01", "21", "41", "81"].iter().zip(gpus) {
        let group = i32::from(u8::from_str_radix(bus, 16).unwrap_or_default()) / 2 + 20;
        let (video, audio) = match gpu {
            Gpu::Rtx4090 => {
                (("0x2684", "AD102 [GeForce RTX 4090]"), ("0x22ba", "AD102 High Definition Audio Controller"))
            }
            Gpu::Rtx3090 => {
                (("0x2204", "GA102 [GeForce RTX 3090]"), ("0x1aef", "GA102 High Definition Audio Controller"))
            }
        };
        found.push(device(format!("0000:{bus}:00.0"), "0x030000", nvidia, video, group));
        found.push(device(format!("0000:{bus}:00.1"), "0x040300", nvidia, audio, group));
    }
    found.sort_by(|a, b| a.id.cmp(&b.id));
    found
}

fn storages(c: &mut Cluster) {
    c.storages.insert("local".into(), local("backup,import,iso,snippets,vztmpl", 100 * GIB));
    let thin = Storage {
        kind: "lvmthin".into(),
        conf: conf(&[("content", "images,rootdir"), ("thinpool", "data"), ("vgname", "pve")]),
        size: 1700 * GIB,
        base_used: 0,
        busy: 0,
    };
    c.storages.insert("local-lvm".into(), thin);
    let ceph = Storage {
        kind: "rbd".into(),
        conf: conf(&[
            ("content", "images,rootdir"),
            ("krbd", "0"),
            ("monhost", "192.0.2.51 192.0.2.52 192.0.2.53"),
            ("pool", "ceph-vm"),
            ("username", "admin"),
        ]),
        size: 40 * TIB,
        base_used: 0,
        busy: 0,
    };
    c.storages.insert("ceph-vm".into(), ceph);
}

fn operator(c: &mut Cluster) {
    let mut skyy = user(None);
    skyy.props.insert("comment".into(), "operator".into());
    let token = Token { secret: TOKEN.into(), privsep: true, comment: Some("operator".into()), expire: 0 };
    skyy.tokens.insert("operator".into(), token);
    c.access.users.insert("skyy@pve".into(), skyy);
    // A token with privilege separation has no more than its user, so both are named.
    for (kind, who) in [("user", "skyy@pve"), ("token", "skyy@pve!operator")] {
        c.access.acl.push(Acl {
            path: "/".into(),
            kind: kind.into(),
            who: who.into(),
            role: "Administrator".into(),
            propagate: true,
        });
    }
}

/// The one mapping that is there: the GPUs of the first two hosts.
fn mapping(c: &mut Cluster) {
    let mut map = Vec::new();
    for id in [1, 2] {
        let name = host_name(id);
        let cards = c.nodes.get(&name).map(|n| n.pci.clone()).unwrap_or_default();
        for card in cards.iter().filter(|d| d.device == "0x2684") {
            let path = card.id.trim_end_matches(".0");
            map.push(format!(
                "id=10de:2684,iommugroup={},node={name},path={path},subsystem-id=1043:889a",
                card.iommu_group
            ));
        }
    }
    let description = Some("NVIDIA GeForce RTX 4090".to_string());
    c.mappings.insert("rtx4090".into(), Mapping { description, map, ..Mapping::default() });
}

struct Made<'a> {
    vmid: u32,
    node: u32,
    storage: &'a str,
    disk: u64,
    conf: &'a [(&'a str, &'a str)],
}

/// A guest with one disk and, as templates have it, a cloud-init drive.
fn guest(c: &mut Cluster, made: &Made<'_>) {
    let (vmid, node) = (made.vmid, host_name(made.node));
    let mut settings: Conf = conf(made.conf);
    let template = settings.remove("template").is_some();
    let kind = if template { "base" } else { "vm" };
    let disk = format!("{kind}-{vmid}-disk-0");
    let drive = format!("vm-{vmid}-cloudinit");
    let shared = c.storages.get(made.storage).is_some_and(Storage::shared);
    let ctime = c.seconds().saturating_sub(86_400);
    for (name, size) in [(&disk, made.disk), (&drive, 4 * num::MIB)] {
        c.volumes.push(Volume {
            storage: made.storage.into(),
            node: (!shared).then(|| node.clone()),
            name: name.clone(),
            size,
            format: "raw".into(),
            content: "images".into(),
            vmid: Some(vmid),
            parent: None,
            ctime,
        });
    }
    let (mac, uuid, genid) = (c.mac(), c.uuid(), c.uuid());
    let size = num::format_size(made.disk);
    let lines = [
        ("agent", "enabled=1".to_string()),
        ("boot", "order=scsi0".to_string()),
        ("cpu", "host".to_string()),
        ("ide2", format!("{}:{drive},media=cdrom", made.storage)),
        ("meta", format!("creation-qemu=10.1.2,ctime={ctime}")),
        ("net0", format!("virtio={mac},bridge=vmbr0")),
        ("ostype", "l26".to_string()),
        ("scsi0", format!("{}:{disk},discard=on,iothread=1,size={size}", made.storage)),
        ("scsihw", "virtio-scsi-single".to_string()),
        ("serial0", "socket".to_string()),
        ("smbios1", format!("uuid={uuid}")),
        ("vga", "serial0".to_string()),
        ("vmgenid", genid),
    ];
    for (key, value) in lines {
        settings.entry(key.to_string()).or_insert(value);
    }
    if template {
        settings.insert("template".into(), "1".into());
    }
    c.guests.insert(vmid, Guest::new(vmid, GuestKind::Qemu, &node, settings));
}

fn templates(c: &mut Cluster) {
    let plain = [
        ("cores", "2"),
        ("memory", "2048"),
        ("name", "ubuntu-24-04"),
        ("tags", "template;ubuntu-24-04"),
        ("template", "1"),
    ];
    let gpu = [
        ("bios", "ovmf"),
        ("cores", "4"),
        ("machine", "q35"),
        ("memory", "8192"),
        ("name", "ubuntu-24-04-gpu"),
        ("tags", "template;ubuntu-24-04-gpu"),
        ("template", "1"),
    ];
    guest(c, &Made { vmid: 9000, node: 1, storage: "ceph-vm", disk: 8 * GIB, conf: &plain });
    guest(c, &Made { vmid: 9001, node: 1, storage: "ceph-vm", disk: 16 * GIB, conf: &gpu });
    // Copies on local storage, where cloning is a matter of one host alone.
    for node in [2, 3, 5] {
        guest(c, &Made { vmid: 9000 + node * 10, node, storage: "local-lvm", disk: 8 * GIB, conf: &plain });
        guest(c, &Made { vmid: 9001 + node * 10, node, storage: "local-lvm", disk: 16 * GIB, conf: &gpu });
    }
}

/// Guests that nobody here made and nobody may touch.
fn foreign(c: &mut Cluster) {
    type Row<'a> = (u32, u32, &'a str, u64, &'a [(&'a str, &'a str)]);
    let guests: [Row<'_>; 5] = [
        (101, 1, "ceph-vm", 64, &[("cores", "4"), ("memory", "16384"), ("name", "mail"), ("onboot", "1")]),
        (102, 2, "local-lvm", 32, &[("cores", "8"), ("memory", "32768"), ("name", "git"), ("onboot", "1")]),
        (
            103,
            3,
            "ceph-vm",
            256,
            &[("cores", "16"), ("memory", "65536"), ("name", "warehouse"), ("onboot", "1"), ("tags", "prod")],
        ),
        (104, 6, "local-lvm", 20, &[("cores", "2"), ("memory", "4096"), ("name", "dns-a"), ("onboot", "1")]),
        (105, 8, "local-lvm", 20, &[("cores", "2"), ("memory", "4096"), ("name", "dns-b"), ("onboot", "1")]),
    ];
    for (vmid, node, storage, gib, conf) in guests {
        guest(c, &Made { vmid, node, storage, disk: gib * GIB, conf });
        let (since, pid) = (c.now.saturating_sub(80_000_000), c.pid());
        if let Some(guest) = c.guests.get_mut(&vmid) {
            guest.run = Some(Run { since, pid, paused: false, pci: Vec::new() });
        }
    }
}
