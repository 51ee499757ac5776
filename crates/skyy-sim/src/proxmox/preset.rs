//! The states that recordings began in, and what all presets are made of.

use std::collections::BTreeMap;

use super::PveOptions;
use super::apt::{AptState, Package, standard};
use super::network::{NetState, bridge, card};
use super::nodes::fingerprint;
use super::num;
use super::state::{Access, Cluster, Conf, Link, Node, PciDevice, Storage, Timing, User, Version};

/// The password of root@pam in every preset.
const PASSWORD: &str = "secret123";

/// A configuration from pairs.
pub(crate) fn conf(pairs: &[(&str, &str)]) -> Conf {
    pairs.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect()
}

/// A user with a password.
pub(crate) fn user(password: Option<&str>) -> User {
    User {
        password: password.map(str::to_string),
        enable: true,
        expire: 0,
        props: Conf::new(),
        tokens: BTreeMap::new(),
    }
}

/// A cluster without nodes, with root@pam.
pub(crate) fn empty(options: &PveOptions, name: Option<&str>, now: u64) -> Cluster {
    let users = BTreeMap::from([("root@pam".to_string(), user(Some(PASSWORD)))]);
    let mut cluster = Cluster {
        name: name.map(str::to_string),
        nodes: BTreeMap::new(),
        guests: BTreeMap::new(),
        storages: BTreeMap::new(),
        volumes: Vec::new(),
        tasks: Vec::new(),
        flocks: BTreeMap::new(),
        access: Access { users, ..Access::default() },
        pools: BTreeMap::new(),
        options: Conf::new(),
        mappings: BTreeMap::new(),
        ha: BTreeMap::new(),
        ha_rules: BTreeMap::new(),
        timing: Timing {
            broadcast_ms: options.broadcast_ms.max(1),
            copy_rate: 400 * num::MIB,
            allocate_ms: 150,
            agent_ms: 15_000,
            reboot_ms: 90_000,
        },
        now,
        last_broadcast: 0,
        rng: options.seed,
        next_pid: 1000,
        secret: String::new(),
    };
    cluster.secret = cluster.uuid();
    cluster
}

/// What a node of a preset differs by.
pub(crate) struct Host<'a> {
    pub(crate) name: &'a str,
    pub(crate) id: u32,
    pub(crate) ip: &'a str,
    pub(crate) gateway: &'a str,
    pub(crate) cpus: u32,
    pub(crate) sockets: u32,
    pub(crate) cpu_model: &'a str,
    pub(crate) memory: u64,
    pub(crate) root_size: u64,
    pub(crate) kernel: (&'a str, &'a str),
    pub(crate) domain: &'a str,
    pub(crate) card: &'a str,
}

/// Adds a node that has been up for a day.
pub(crate) fn add_host(c: &mut Cluster, host: &Host<'_>) {
    let net = NetState::installed(vec![
        card(host.card),
        bridge("vmbr0", host.card, Some(&format!("{}/24", host.ip)), Some(host.gateway)),
    ]);
    let now = c.now;
    let node = Node {
        id: host.id,
        ip: host.ip.to_string(),
        fingerprint: fingerprint(host.name),
        link: Link::Up,
        link_since: 0,
        back_at: None,
        booted: now.saturating_sub(86_400_000),
        cpus: host.cpus,
        sockets: host.sockets,
        cpu_model: host.cpu_model.to_string(),
        memory: host.memory,
        root_size: host.root_size,
        version: Version {
            number: "9.2.11".into(),
            release: "9.2".into(),
            repoid: "14a22df3".into(),
            kernel: host.kernel.0.into(),
            kernel_build: host.kernel.1.into(),
        },
        net,
        apt: packages(host.kernel.0),
        pci: Vec::new(),
        disks: Vec::new(),
        config: Conf::new(),
        dns: conf(&[("dns1", host.gateway), ("search", host.domain)]),
        hosts: format!("127.0.0.1 localhost\n{} {}.{} {}\n", host.ip, host.name, host.domain, host.name),
        timezone: "Etc/UTC".into(),
        told: None,
        storage_busy: BTreeMap::new(),
    };
    c.nodes.insert(host.name.to_string(), node);
}

/// The packages of a fresh installation, with some updates to come.
fn packages(kernel: &str) -> AptState {
    let package = |name: &str, old: &str, new: &str, title: &str| Package {
        name: name.into(),
        old: old.into(),
        new: new.into(),
        title: title.into(),
    };
    let installed = [
        ("proxmox-ve", "9.2.0", "Proxmox Virtual Environment"),
        ("pve-manager", "9.2.11", "Proxmox Virtual Environment Management Tools"),
        ("pve-qemu-kvm", "10.1.2-5", "Full virtualization on x86 hardware"),
        ("qemu-server", "9.1.4", "Qemu Server Tools"),
        (
            "pve-cluster",
            "9.0.7",
            "\"pmxcfs\" distributed cluster filesystem for Proxmox Virtual Environment.",
        ),
        ("corosync", "3.1.9-pve2", "cluster engine daemon and utilities"),
        ("ceph-common", "19.2.3-pve1", "common utilities to mount and interact with a ceph storage cluster"),
        ("ifupdown2", "3.3.0-1+pmx10", "Network Interface Management tool similar to ifupdown"),
    ];
    let mut all: Vec<Package> = installed.iter().map(|(n, v, t)| package(n, v, v, t)).collect();
    let series: Vec<&str> = kernel.split('-').next().unwrap_or("6.17.4").split('.').take(2).collect();
    all.push(package(
        &format!("proxmox-kernel-{}", series.join(".")),
        kernel,
        kernel,
        "Latest Proxmox Kernel Image",
    ));
    let updates = vec![
        package("pve-manager", "9.2.11", "9.2.12", "Proxmox Virtual Environment Management Tools"),
        package("pve-qemu-kvm", "10.1.2-5", "10.1.2-6", "Full virtualization on x86 hardware"),
        package("proxmox-kernel-6.17", "6.17.4-1", "6.17.9-1", "Latest Proxmox Kernel Image"),
    ];
    AptState {
        files: standard("no-subscription", true).into_iter().collect(),
        updates: Vec::new(),
        available: updates,
        installed: all,
        subscription: None,
    }
}

/// The local storage of a fresh installation.
pub(crate) fn local(content: &str, size: u64) -> Storage {
    Storage {
        kind: "dir".into(),
        conf: conf(&[("content", content), ("path", "/var/lib/vz"), ("prune-backups", "keep-all=1")]),
        size,
        base_used: size / 4,
        busy: 0,
    }
}

const GOLDEN_DISK: u64 = 3 * num::GIB;

fn golden_host(c: &mut Cluster, name: &str, id: u32) {
    let ip = format!("10.99.0.{id}");
    add_host(
        c,
        &Host {
            name,
            id,
            ip: &ip,
            gateway: "10.99.0.254",
            cpus: 2,
            sockets: 1,
            cpu_model: "AMD EPYC",
            memory: 25_276_514_304,
            root_size: GOLDEN_DISK,
            kernel: ("6.18.44-fc-v595", "#1 SMP PREEMPT_DYNAMIC @0"),
            domain: "test.local",
            card: "eth0",
        },
    );
    if let Some(node) = c.nodes.get_mut(name) {
        node.pci = golden_pci();
    }
}

fn golden_pci() -> Vec<PciDevice> {
    let device = |id: &str, class: &str, vendor: &str, device: &str| PciDevice {
        id: id.into(),
        class: class.into(),
        vendor: vendor.into(),
        device: device.into(),
        vendor_name: None,
        device_name: None,
        subsystem_vendor: if vendor == "0x8086" { "0x0000".into() } else { vendor.into() },
        subsystem_device: if vendor == "0x8086" { "0x0000".into() } else { device.into() },
        subsystem_vendor_name: None,
        iommu_group: -1,
    };
    vec![
        device("0000:00:00.0", "0x060000", "0x8086", "0x0d57"),
        device("0000:00:01.0", "0xffff00", "0x1af4", "0x1045"),
        device("0000:00:02.0", "0x018000", "0x1af4", "0x1042"),
        device("0000:00:03.0", "0x020000", "0x1af4", "0x1041"),
        device("0000:00:04.0", "0xffff00", "0x1af4", "0x1053"),
        device("0000:00:05.0", "0x018000", "0x1af4", "0x1042"),
    ]
}

const EVERYTHING: &str = "backup,images,import,iso,rootdir,snippets,vztmpl";

/// One standalone node.
pub(crate) fn golden(mut c: Cluster) -> Cluster {
    golden_host(&mut c, "pve1", 1);
    c.storages.insert("local".into(), local(EVERYTHING, GOLDEN_DISK));
    c.broadcast_now();
    c
}

/// The cluster "lab".
pub(crate) fn golden_cluster(mut c: Cluster) -> Cluster {
    for id in 1..=3 {
        golden_host(&mut c, &format!("pve{id}"), id);
    }
    c.storages.insert("local".into(), local(EVERYTHING, GOLDEN_DISK));
    let shared = Storage {
        kind: "dir".into(),
        conf: conf(&[("content", "images,iso,snippets"), ("path", "/mnt/shared"), ("shared", "1")]),
        size: 270_553_174_016,
        base_used: num::GIB,
        busy: 0,
    };
    c.storages.insert("shared".into(), shared);
    c.broadcast_now();
    c
}
