//! `hosts/*.yaml` of the prototype: one Proxmox host each.
//!
//! Knows nothing of resources, apart from the names and values they take.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    fields::{At, Fields},
    names,
    report::Report,
    secret,
    yaml::{Kind, Node},
};

/// A host as its file describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The file.
    pub file: String,
    /// The line of its name.
    pub line: usize,
    /// The name for the object.
    pub name: String,
    /// The node's name where it differs.
    pub node: Option<String>,
    /// The management address.
    pub address: Option<At<IpAddr>>,
    /// What it is for.
    pub roles: Vec<String>,
    /// Words to choose it by.
    pub tags: Vec<String>,
    /// Whether it has GPUs.
    pub gpu: bool,
    /// The bridge with the management address.
    pub management_bridge: Option<String>,
    /// The bridge for guests.
    pub workload_bridge: Option<At<String>>,
    /// Whether guests choose a VLAN on it.
    pub vlans: bool,
    /// The VLAN of guests.
    pub workload_vlan: Option<u32>,
    /// The disk of the operating system.
    pub os_disk: Option<At<String>>,
    /// Thin pools.
    pub thin_pools: Vec<ThinPool>,
    /// Its place in the tailnet.
    pub tailscale: Option<Tailscale>,
    /// Whether a manager of Ceph runs on it.
    pub ceph_mgr: bool,
}

/// One thin pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThinPool {
    /// What it is called.
    pub name: String,
    /// Its volume group.
    pub volume_group: String,
    /// Its logical volume.
    pub thin_pool: String,
    /// Its devices.
    pub devices: Vec<String>,
}

/// The host's place in the tailnet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tailscale {
    /// Its name.
    pub hostname: Option<String>,
    /// Its address.
    pub address: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
}

/// Roles that mean something to somebody.
const ROLES: [&str; 12] = [
    "proxmox",
    "ceph-mon",
    "ceph-osd",
    "ceph-mgr",
    "ceph-mds",
    "ceph-rgw",
    "gpu",
    "tailscale",
    "nomad",
    "kubernetes",
    "storage",
    "edge",
];

/// Reads a host; nothing when it cannot be one.
pub fn read(file: &str, node: &Node, report: &mut Report) -> Option<Host> {
    let mut fields = Fields::of(file, "", node, report)?;
    let Some(hostname) = fields.text("hostname", report) else {
        let line = fields.line_of("hostname").unwrap_or(node.line);
        report.error(file, line, "hostname", "missing or empty; without a name there is no host");
        return None;
    };
    let (name, node_name) = naming(file, &hostname, report)?;
    let address = fields.text("ip_address", report).and_then(|at| management_address(file, at, report));
    if address.is_none() && fields.line_of("ip_address").is_none() {
        report.warning(file, hostname.line, "ip_address", "missing; the host is imported without an address");
    }
    let top_tailscale = fields.text("tailscale_hostname", report).and_then(|at| {
        let line = at.line;
        Some(At { value: tailnet_name(file, at, report)?, line })
    });
    let roles = words(file, "roles", &fields.items("roles", report), report);
    for role in roles.iter().filter(|r| !ROLES.contains(&r.value.as_str())) {
        let message = format!(
            "{} is no known role (known: {}); taken as it is",
            secret::shown(&role.value),
            ROLES.join(", ")
        );
        report.warning(file, role.line, "roles", message);
    }
    let tags = words(file, "tags", &fields.items("tags", report), report);
    let mut host = Host {
        file: file.to_owned(),
        line: hostname.line,
        name,
        node: node_name,
        address,
        roles: roles.into_iter().map(|r| r.value).collect(),
        tags: tags.into_iter().map(|t| t.value).collect(),
        gpu: false,
        management_bridge: None,
        workload_bridge: None,
        vlans: false,
        workload_vlan: None,
        os_disk: None,
        thin_pools: Vec::new(),
        tailscale: None,
        ceph_mgr: false,
    };
    if let Some(mut settings) = fields.section("settings", report) {
        if let Some(os) = settings.text("os", report)
            && !os.value.eq_ignore_ascii_case("proxmox")
        {
            let message = format!("{} is not proxmox: such a host is not managed", secret::shown(&os.value));
            report.error(file, os.line, "settings.os", message);
            return None;
        }
        let gpu = settings.flag("gpu", report);
        host.gpu = gpu.as_ref().map_or_else(|| host.roles.iter().any(|r| r == "gpu"), |g| g.value);
        if let Some(gpu) = gpu
            && gpu.value != host.roles.iter().any(|r| r == "gpu")
        {
            let message = format!("{}, but the roles say otherwise; this setting is taken", gpu.value);
            report.warning(file, gpu.line, "settings.gpu", message);
        }
        if let Some(networking) = settings.section("networking", report) {
            network(networking, &mut host, report);
        }
        if let Some(storage) = settings.section("storage", report) {
            disks(storage, &mut host, report);
        }
        settings.rest(&[], report);
    }
    if let Some(top) = top_tailscale {
        let tailscale = host.tailscale.get_or_insert_default();
        match &tailscale.hostname {
            None => tailscale.hostname = Some(top.value),
            Some(inner) if *inner != top.value => {
                let message =
                    format!("differs from settings.networking.tailscale.hostname ({inner}), which is taken");
                report.warning(file, top.line, "tailscale_hostname", message);
            }
            Some(_) => {
                let why = "not needed: settings.networking.tailscale.hostname says the same";
                report.note(file, top.line, "tailscale_hostname", why);
            }
        }
    }
    fields.rest(&[], report);
    Some(host)
}

fn naming(file: &str, hostname: &At<String>, report: &mut Report) -> Option<(String, Option<String>)> {
    let given = hostname.value.trim();
    let Some(name) = names::object_name(given) else {
        let message = format!("{} cannot be made into a name", secret::shown(given));
        report.error(file, hostname.line, "hostname", message);
        return None;
    };
    if name == given {
        return Some((name, None));
    }
    if names::is_node_name(given) {
        report.note(
            file,
            hostname.line,
            "hostname",
            format!("the object is called {name}, as Kubernetes wants it"),
        );
        return Some((name, Some(given.to_owned())));
    }
    let message =
        format!("{} is no name that a Proxmox node can have; taken as {name}", secret::shown(given));
    report.warning(file, hostname.line, "hostname", message);
    Some((name, None))
}

fn management_address(file: &str, at: At<String>, report: &mut Report) -> Option<At<IpAddr>> {
    match at.value.trim().parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() || ip.is_multicast() || ip.is_loopback() => {
            report.error(file, at.line, "ip_address", format!("{ip} is no address of a host; left out"));
            None
        }
        Ok(ip) => Some(At { value: ip, line: at.line }),
        Err(_) => {
            let message = format!("{} is not an IP address; left out", secret::shown(&at.value));
            report.error(file, at.line, "ip_address", message);
            None
        }
    }
}

/// More words, pools or devices than this no resource takes.
const MAX_ITEMS: usize = 64;

/// Words of a list, each once; an item may also be a map of one entry, as in `- tag: ssh`.
fn words(file: &str, subject: &str, items: &[&Node], report: &mut Report) -> Vec<At<String>> {
    let mut words: Vec<At<String>> = Vec::new();
    for item in items {
        let word = match &item.kind {
            Kind::Map(entries) if entries.len() == 1 && entries[0].0.text == "tag" => entries[0].1.text(),
            _ => item.text(),
        };
        let Some(word) = word.map(str::trim).filter(|w| !w.is_empty()) else {
            report.error(
                file,
                item.line,
                subject,
                format!("should be a word, and is {}; left out", item.what()),
            );
            continue;
        };
        if word.len() > 63 || secret::is_secret_value(word) {
            report.error(
                file,
                item.line,
                subject,
                format!("{} cannot be taken; left out", secret::shown(word)),
            );
        } else if let Some(first) = words.iter().find(|w| w.value == word) {
            report.note(
                file,
                item.line,
                subject,
                format!("{word} is there twice (first on line {})", first.line),
            );
        } else if words.len() == MAX_ITEMS {
            report.error(
                file,
                item.line,
                subject,
                format!("more than {MAX_ITEMS}; this one and the rest are left out"),
            );
            break;
        } else {
            words.push(At { value: word.to_owned(), line: item.line });
        }
    }
    words
}

fn network(mut networking: Fields<'_>, host: &mut Host, report: &mut Report) {
    let file = networking.file();
    if let Some(mut tailscale) = networking.section("tailscale", report) {
        let enabled = tailscale.flag("enabled", report).is_none_or(|e| e.value);
        let hostname = tailscale.text("hostname", report).and_then(|at| tailnet_name(file, at, report));
        let address = tailscale.text("ip_address", report).and_then(|at| tailnet_address(file, at, report));
        let subject = tailscale.name("tags");
        let tags = words(file, &subject, &tailscale.items("tags", report), report);
        if enabled {
            let tags = tags.into_iter().map(|t| t.value).collect();
            host.tailscale = Some(Tailscale { hostname, address, tags });
        }
        tailscale.rest(&[], report);
    }
    if let Some(mut proxmox) = networking.section("proxmox", report) {
        let enabled = proxmox.flag("enabled", report).is_none_or(|e| e.value);
        let management = bridge(&mut proxmox, "management_bridge", report);
        let workload = bridge(&mut proxmox, "workload_bridge", report);
        let vlans = proxmox.flag("vlans", report);
        let vlan = proxmox.number("workload_vlan", 1, 4094, report);
        host.vlans = vlans.as_ref().is_some_and(|v| v.value);
        if enabled {
            if let (Some(m), Some(w)) = (&management, &workload)
                && m.value == w.value
            {
                let why = "the same as the management bridge, which is never changed: it is not looked after";
                report.note(file, w.line, proxmox.name("workload_bridge"), why);
            }
            host.management_bridge = management.map(|m| m.value);
            host.workload_bridge = workload;
            host.workload_vlan = vlan.as_ref().filter(|_| host.vlans).map(|v| v.value);
        }
        if let (Some(vlan), false) = (&vlan, host.vlans) {
            report.note(file, vlan.line, proxmox.name("workload_vlan"), "not used: vlans is not true");
        }
        let vlan_why =
            if host.vlans { "the management network is expected as it is" } else { "vlans is not true" };
        proxmox.rest(
            &[
                (
                    "separate_management_nic",
                    "the network cards are seen, and the management bridge is never changed",
                ),
                ("management_vlan", vlan_why),
            ],
            report,
        );
    }
    networking.rest(&[], report);
}

fn tailnet_name(file: &str, at: At<String>, report: &mut Report) -> Option<String> {
    if names::is_node_name(at.value.trim()) {
        return Some(at.value.trim().to_owned());
    }
    let message = format!("{} is no name of a machine; left out", secret::shown(&at.value));
    report.error(file, at.line, "tailscale hostname", message);
    None
}

fn tailnet_address(file: &str, at: At<String>, report: &mut Report) -> Option<String> {
    let subject = "settings.networking.tailscale.ip_address";
    let Ok(ip) = at.value.trim().parse::<IpAddr>() else {
        report.error(
            file,
            at.line,
            subject,
            format!("{} is not an IP address; left out", secret::shown(&at.value)),
        );
        return None;
    };
    // 100.64.0.0/10 is what a tailnet gives out.
    if let IpAddr::V4(v4) = ip
        && (v4.octets()[0] != 100 || v4.octets()[1] & 0xc0 != 64)
    {
        let message = format!("{ip} is outside of 100.64.0.0/10, from which a tailnet gives its addresses");
        report.warning(file, at.line, subject, message);
    }
    Some(ip.to_string())
}

fn bridge(fields: &mut Fields<'_>, key: &str, report: &mut Report) -> Option<At<String>> {
    let at = fields.text(key, report)?;
    if names::is_interface_name(&at.value) {
        return Some(at);
    }
    let message = format!("{} is no name of a bridge; left out", secret::shown(&at.value));
    report.error(fields.file(), at.line, fields.name(key), message);
    None
}

fn disks(mut storage: Fields<'_>, host: &mut Host, report: &mut Report) {
    let file = storage.file();
    // Device → what it is for, to find one that is promised twice.
    let mut devices: BTreeMap<String, (String, usize)> = BTreeMap::new();
    if let Some(mut os) = storage.section("os_disk", report) {
        host.os_disk = os.text("device", report).and_then(|at| device(file, &os.name("device"), at, report));
        if let Some(disk) = &host.os_disk {
            devices.insert(disk.value.clone(), ("the operating system".to_owned(), disk.line));
        }
        let why = "the disk of the operating system is never touched";
        os.rest(&[("format", why), ("separate_os_disk", why)], report);
    }
    if let Some(mut vm) = storage.section("proxmox_vm_storage", report) {
        let enabled = vm.flag("enabled", report).is_none_or(|e| e.value);
        let subject = vm.name("thinpools");
        for node in vm.items("thinpools", report) {
            if host.thin_pools.len() == MAX_ITEMS {
                report.error(
                    file,
                    node.line,
                    &subject,
                    format!("more than {MAX_ITEMS}; this one and the rest are left out"),
                );
                break;
            }
            let Some(pool) = thin_pool(file, &subject, node, &mut devices, report) else { continue };
            if host.thin_pools.iter().any(|p| p.name == pool.name) {
                report.error(
                    file,
                    node.line,
                    &subject,
                    format!("a second thin pool called {}; left out", pool.name),
                );
            } else if enabled {
                host.thin_pools.push(pool);
            }
        }
        vm.rest(&[], report);
    }
    if let Some(mut ceph) = storage.section("ceph", report) {
        host.ceph_mgr = ceph.flag("mgr", report).is_some_and(|m| m.value);
        if let Some(by) = ceph.text("managed_by", report) {
            let known = ["ceph", "proxmox", "kubernetes"].contains(&by.value.as_str());
            let say = "not used: Ceph is reached through its manager, whoever runs it";
            if known {
                report.note(file, by.line, ceph.name("managed_by"), say);
            } else {
                let message =
                    format!("{} is none of ceph, proxmox and kubernetes; {say}", secret::shown(&by.value));
                report.warning(file, by.line, ceph.name("managed_by"), message);
            }
        }
        for node in ceph.items("osd_devices", report) {
            let at = node.text().map(|t| At { value: t.to_owned(), line: node.line });
            let subject = ceph.name("osd_devices");
            match at.and_then(|at| device(file, &subject, at, report)) {
                Some(at) => claim(file, &subject, &at, "an OSD", &mut devices, report),
                None => report.note(file, node.line, subject, "not a device"),
            }
        }
        if let Some(line) = ceph.line_of("osd_devices") {
            let why = "not used: OSDs belong to Ceph; they are seen through the CephCluster";
            report.note(file, line, ceph.name("osd_devices"), why);
        }
        let why = "the daemons belong to Ceph; they are seen through the CephCluster";
        ceph.rest(&["enabled", "mon", "osd", "mds", "rgw"].map(|key| (key, why)), report);
    }
    storage.rest(&[], report);
}

fn device(file: &str, subject: &str, at: At<String>, report: &mut Report) -> Option<At<String>> {
    let value = at.value.trim().to_owned();
    let ok = value.starts_with("/dev/") && value.len() <= 255 && !value.chars().any(char::is_whitespace);
    if !ok {
        report.error(file, at.line, subject, format!("{} is no device; left out", secret::shown(&at.value)));
        return None;
    }
    // nvme0n2 is a second namespace of the disk nvme0, which hardly any disk has; a second disk is nvme1n1.
    let name = value.trim_start_matches("/dev/");
    if let Some(namespace) = name.strip_prefix("nvme").and_then(|n| n.split_once('n')).map(|(_, ns)| ns)
        && namespace.parse::<u32>().is_ok_and(|n| n > 1)
    {
        let message =
            format!("{value} is namespace {namespace} of its disk, which is rare: was another disk meant?");
        report.warning(file, at.line, subject, message);
    }
    Some(At { value, line: at.line })
}

fn claim(
    file: &str,
    subject: &str,
    at: &At<String>,
    what: &str,
    devices: &mut BTreeMap<String, (String, usize)>,
    report: &mut Report,
) {
    if let Some((other, line)) = devices.get(&at.value) {
        let message = format!("{} is also the device of {other} (line {line})", at.value);
        report.warning(file, at.line, subject, message);
    } else {
        devices.insert(at.value.clone(), (what.to_owned(), at.line));
    }
}

fn thin_pool(
    file: &str,
    path: &str,
    node: &Node,
    devices: &mut BTreeMap<String, (String, usize)>,
    report: &mut Report,
) -> Option<ThinPool> {
    let mut fields = Fields::of(file, path, node, report)?;
    let mut required = |key: &str, most: usize, report: &mut Report| {
        let at = fields.text(key, report)?;
        ((1..=most).contains(&at.value.trim().len())).then(|| at.value.trim().to_owned())
    };
    let name = required("name", 63, report);
    let volume_group = required("volume_group", 127, report);
    let thin_pool = required("thinpool", 127, report);
    let own: Vec<At<String>> = fields
        .items("devices", report)
        .into_iter()
        .filter_map(|n| {
            let at = At { value: n.text()?.to_owned(), line: n.line };
            device(file, &format!("{path}.devices"), at, report)
        })
        .take(MAX_ITEMS)
        .collect();
    if own.is_empty()
        && let Some(line) = fields.line_of("devices")
    {
        report.note(file, line, format!("{path}.devices"), "empty: the thin pool is expected to exist");
    }
    fields.rest(&[], report);
    let (Some(name), Some(volume_group), Some(thin_pool)) = (name, volume_group, thin_pool) else {
        report.error(file, node.line, path, "a thin pool needs name, volume_group and thinpool; left out");
        return None;
    };
    for at in &own {
        claim(file, &format!("{path}.devices"), at, &format!("thin pool {name}"), devices, report);
    }
    Some(ThinPool { name, volume_group, thin_pool, devices: own.into_iter().map(|d| d.value).collect() })
}
