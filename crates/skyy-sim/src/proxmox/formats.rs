//! The named formats and patterns of parameters, with the texts Proxmox refuses them by. Pure functions of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::params::split_list;
use super::schema::SCHEMA;

/// Formats that take whatever comes.
#[cfg(test)]
const UNCHECKED: [&str; 15] = [
    "pve-acme-alias",
    "pve-acme-domain",
    "pve-acme-domain-list",
    "pve-command-batch",
    "pve-ct-timezone",
    "pve-dir-override-list",
    "pve-lxc-dev-string",
    "pve-lxc-mp-string",
    "pve-storage-options",
    "pve-storage-portal-dns",
    "pve-storage-portal-dns-list",
    "pve-storage-zfs-blocksize",
    "string-list",
    "lxc-ip-with-ll-iface-list",
    "pve-phys-bits",
];

/// Whether a format has a check here.
#[cfg(test)]
pub(crate) fn known(format: &str) -> bool {
    UNCHECKED.contains(&format)
        || CHECKS.iter().any(|(name, _)| *name == format.strip_suffix("-list").unwrap_or(format))
}

type Check = fn(&str) -> Result<(), String>;

/// Checks a value; the text has its line end, as Proxmox gives it.
pub(crate) fn check(format: &str, text: &str) -> Result<(), String> {
    let find = |name: &str| CHECKS.iter().find(|(n, _)| *n == name).map(|(_, check)| *check);
    match (find(format), format.strip_suffix("-list").and_then(find)) {
        (Some(check), _) => check(text),
        (None, Some(check)) => split_list(text).iter().try_for_each(|item| check(item)),
        (None, None) => Ok(()),
    }
}

const CHECKS: &[(&str, Check)] = &[
    ("pve-vmid", |v| looks(vmid(v), "valid VM ID")),
    ("pve-node", |v| looks(label(v), "valid node name")),
    ("dns-name", |v| looks(dns_name(v), "valid DNS name")),
    ("pve-configid", |v| is(config_id(v), || format!("invalid configuration ID '{v}'"))),
    ("pve-storage-id", |v| is(storage_id(v), || format!("storage ID '{v}' contains illegal characters"))),
    ("pve-poolid", |v| {
        let parts: Vec<&str> = v.split('/').collect();
        is(parts.len() <= 3, || format!("pool name '{v}' nested too deeply (max levels = 3)"))?;
        is(parts.iter().all(|p| word(p, ".-_")), || format!("pool name '{v}' contains invalid characters"))
    }),
    ("pve-iface", |v| is(iface(v), || format!("invalid network interface name '{v}'"))),
    ("pve-bridge-id", |v| is(word(v, "-_."), || format!("invalid bridge ID '{v}'"))),
    ("mac-addr", |v| looks(unicast_mac(v), "valid unicast MAC address")),
    ("mac-prefix", |v| is(mac_prefix(v), || "value is not a valid unicast MAC address prefix".into())),
    ("ipv4", |v| looks(v.parse::<Ipv4Addr>().is_ok(), "valid IPv4 address")),
    ("ipv6", |v| looks(v.parse::<Ipv6Addr>().is_ok(), "valid IPv6 address")),
    ("ip", |v| looks(v.parse::<IpAddr>().is_ok(), "valid IP address")),
    ("ipv4mask", |v| looks(ipv4_mask(v), "valid IP netmask")),
    ("CIDRv4", |v| looks(cidr4(v), "valid IPv4 CIDR network")),
    ("CIDRv6", |v| looks(cidr6(v), "valid IPv6 CIDR network")),
    ("CIDR", |v| looks(cidr4(v) || cidr6(v), "valid CIDR network")),
    ("pve-ipv4-config", |v| {
        looks(matches!(v, "dhcp" | "manual") || cidr4(v), "valid ipv4 network configuration")
    }),
    ("pve-ipv6-config", |v| {
        looks(matches!(v, "auto" | "dhcp" | "manual") || cidr6(v), "valid ipv6 network configuration")
    }),
    ("address", |v| {
        is(v.parse::<IpAddr>().is_ok() || dns_name(v), || {
            format!("value does not look like a valid address: {v}")
        })
    }),
    ("pve-storage-server", |v| {
        looks(v.parse::<IpAddr>().is_ok() || dns_name(v), "valid server name or IP address")
    }),
    ("pve-volume-id", volume_id),
    ("pve-volume-id-or-absolute-path", |v| if v.starts_with('/') { Ok(()) } else { volume_id(v) }),
    ("pve-volume-id-or-qm-path", |v| match v {
        "none" | "cdrom" => Ok(()),
        path if path.starts_with('/') => Ok(()),
        id => volume_id(id),
    }),
    ("disk-size", |v| {
        is(super::num::parse_size(v).is_some(), || format!("value does not look like a valid disk size: {v}"))
    }),
    ("pve-tag", |v| is(tag(v), || "invalid characters in tag".into())),
    ("urlencoded", |v| {
        let fine = v.chars().all(|c| c.is_ascii_alphanumeric() || "-%_.!~*'()".contains(c));
        is(fine, || format!("invalid urlencoded string: {v}"))
    }),
    ("pve-startup-order", |v| is(startup(v), || "unable to parse startup options".into())),
    ("pve-hotplug-features", |v| {
        if v == "0" || v == "1" {
            return Ok(());
        }
        let bad = split_list(v)
            .into_iter()
            .find(|f| !["network", "disk", "cpu", "memory", "usb", "cloudinit"].contains(&f.as_str()));
        bad.map_or(Ok(()), |f| Err(format!("invalid hotplug feature '{f}'\n")))
    }),
    ("pve-qm-bootdisk", |v| is(super::disk::is_drive(v), || format!("invalid boot disk '{v}'"))),
    ("pve-qm-bootdev", |v| {
        let prefix = v.trim_end_matches(|c: char| c.is_ascii_digit());
        let fine = ["scsi", "virtio", "sata", "ide", "net", "usb", "hostpci"].contains(&prefix)
            && super::schema::find(SCHEMA.group("qemu-config"), v).is_some();
        is(fine, || format!("invalid boot device '{v}'"))
    }),
    ("pve-cpuset", |v| {
        is(matches("ranges", &v.replace(',', ";")), || "unable to parse cpuset option".into())
    }),
    ("pve-storage-content", |v| {
        let known = ["images", "rootdir", "vztmpl", "iso", "backup", "snippets", "none", "import"];
        is(known.contains(&v), || format!("invalid content type '{v}'"))
    }),
    ("pve-storage-path", |v| {
        let fine = v.len() > 1 && v.starts_with('/') && !v[1..].starts_with([';', '(', ')']);
        looks(fine, "valid absolute path")
    }),
    ("pve-storage-vgname", |v| is(lvm_name(v), || format!("lvm name '{v}' contains illegal characters"))),
    ("storage-pair", |v| v.split(':').try_for_each(|id| check("pve-storage-id", id))),
    ("pve-userid", |v| {
        is(v.len() >= 3, || format!("user name '{v}' is too short"))?;
        is(v.len() <= 64, || format!("user name '{v}' is too long ({} > 64)", v.len()))?;
        let fine = v.rsplit_once('@').is_some_and(|(user, realm)| user_name(user) && realm_name(realm));
        is(fine, || format!("value '{v}' does not look like a valid user name"))
    }),
    ("pve-tokenid", |v| {
        let fine = v
            .rsplit_once('!')
            .is_some_and(|(user, token)| check("pve-userid", user).is_ok() && matches("tokenid", token));
        is(fine, || format!("value '{v}' does not look like a valid token ID"))
    }),
    ("pve-groupid", |v| is(word(v, ".-_"), || format!("group name '{v}' contains invalid characters"))),
    ("pve-roleid", |v| is(word(v, ".-_"), || format!("role name '{v}' contains invalid characters"))),
    ("pve-realm", |v| looks(realm_name(v), "valid realm")),
    ("pve-priv", |v| is(super::auth::ALL_PRIVILEGES.contains(&v), || format!("invalid privilege '{v}'"))),
    ("email-opt", |v| {
        looks(
            v.is_empty() || v.split_once('@').is_some_and(|(a, b)| !a.is_empty() && !b.is_empty()),
            "valid email address",
        )
    }),
    ("pve-ha-node", |v| {
        let name = v.split_once(':').map_or(v, |(name, _)| name);
        looks(label(name), "valid ha node")
    }),
    ("pve-ha-resource-id", |v| looks(ha_id(v), "valid ha resource id")),
    ("pve-ha-resource-or-vm-id", |v| {
        looks(ha_id(v) || (!v.is_empty() && v.bytes().all(|b| b.is_ascii_digit())), "valid ha resource id")
    }),
    ("pve-vlan-id-or-range", |v| {
        let (start, end) = v.split_once('-').map_or((v, None), |(a, b)| (a, Some(b)));
        for tag in std::iter::once(start).chain(end) {
            match tag.parse::<u32>() {
                Ok(2..=4094) => {}
                Ok(_) => return Err(format!("invalid VLAN tag '{tag}'\n")),
                Err(_) => return Err(format!("invalid VLAN configuration '{v}'\n")),
            }
        }
        Ok(())
    }),
    ("pve-task-status-type", |v| {
        let fine = ["ok", "error", "warning", "unknown"].contains(&v.to_ascii_lowercase().as_str());
        is(fine, || format!("invalid status '{v}'"))
    }),
];

fn is(fine: bool, text: impl FnOnce() -> String) -> Result<(), String> {
    if fine { Ok(()) } else { Err(format!("{}\n", text())) }
}

fn looks(fine: bool, like: &str) -> Result<(), String> {
    is(fine, || format!("value does not look like a {like}"))
}

fn vmid(text: &str) -> bool {
    (3..=9).contains(&text.len()) && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit())
}

fn label(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

fn dns_name(text: &str) -> bool {
    text.split('.').all(label)
}

/// Letters, digits and the extra characters; not empty.
fn word(text: &str, extra: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
}

fn starts_with_letter(text: &str) -> bool {
    text.chars().next().is_some_and(|c| c.is_ascii_alphabetic())
}

fn config_id(text: &str) -> bool {
    text.len() >= 2 && starts_with_letter(text) && word(text, "_-")
}

fn storage_id(text: &str) -> bool {
    text.len() >= 2
        && starts_with_letter(text)
        && word(text, "-_.")
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

fn lvm_name(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
        && word(text, "-_.")
}

fn iface(text: &str) -> bool {
    let (name, sub) = text.split_once([':', '.']).map_or((text, None), |(n, s)| (n, Some(s)));
    (2..=21).contains(&name.len())
        && starts_with_letter(name)
        && word(name, "_")
        && sub.is_none_or(|s| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit()))
}

fn unicast_mac(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    parts.len() == 6
        && parts.iter().all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_hexdigit()))
        && u8::from_str_radix(parts[0], 16).is_ok_and(|first| first & 1 == 0)
}

fn mac_prefix(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    (1..=4).contains(&parts.len())
        && parts.iter().all(|p| p.bytes().all(|b| b.is_ascii_hexdigit()) && p.len() <= 2)
        && u8::from_str_radix(parts[0], 16).is_ok_and(|first| first & 1 == 0)
}

fn cidr4(text: &str) -> bool {
    text.split_once('/').is_some_and(|(ip, bits)| {
        ip.parse::<Ipv4Addr>().is_ok() && bits.parse::<u8>().is_ok_and(|b| (8..=32).contains(&b))
    })
}

fn cidr6(text: &str) -> bool {
    text.split_once('/').is_some_and(|(ip, bits)| {
        ip.parse::<Ipv6Addr>().is_ok() && bits.parse::<u8>().is_ok_and(|b| (8..=128).contains(&b))
    })
}

fn ipv4_mask(text: &str) -> bool {
    text.parse::<Ipv4Addr>().is_ok_and(|mask| {
        let bits = mask.to_bits();
        bits != 0 && bits.leading_ones() + bits.trailing_zeros() == 32
    })
}

fn volume_id(text: &str) -> Result<(), String> {
    let fine = text.split_once(':').is_some_and(|(storage, rest)| storage_id(storage) && !rest.is_empty());
    is(fine, || format!("unable to parse volume ID '{text}'"))
}

fn tag(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') && word(text, "_-+.")
}

fn startup(text: &str) -> bool {
    text.split(',').all(|part| {
        let (key, value) = part.split_once('=').unwrap_or(("order", part));
        matches!(key, "order" | "up" | "down")
            && !value.is_empty()
            && value.bytes().all(|b| b.is_ascii_digit())
    })
}

fn user_name(text: &str) -> bool {
    !text.is_empty() && !text.contains([':', '/']) && !text.contains(char::is_whitespace)
}

fn realm_name(text: &str) -> bool {
    text.len() >= 2 && starts_with_letter(text) && word(text, ".-_")
}

fn ha_id(text: &str) -> bool {
    text.split_once(':').is_some_and(|(kind, id)| {
        !kind.is_empty()
            && kind.bytes().all(|b| b.is_ascii_lowercase())
            && !id.is_empty()
            && !id.contains(char::is_whitespace)
    })
}

/// Whether a value has a named pattern's form.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let hex = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_hexdigit());
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    match pattern {
        "tokenid" => realm_name(text),
        "sha256" => {
            let parts: Vec<&str> = text.split(':').collect();
            parts.len() == 32 && parts.iter().all(|p| p.len() == 2 && hex(p))
        }
        "device" => text.strip_prefix("/dev/").is_some_and(|d| word(d, "/")),
        "grow" => {
            let size = text.strip_prefix('+').unwrap_or(text);
            let number = size.strip_suffix(['K', 'M', 'G', 'T']).unwrap_or(size);
            let (whole, part) = number.split_once('.').map_or((number, None), |(w, p)| (w, Some(p)));
            digits(whole) && part.is_none_or(digits)
        }
        "size" => digits(text.strip_suffix(['M', 'G']).unwrap_or(text)),
        "subscription" => {
            let rest = text.trim().strip_prefix("pve").unwrap_or_default();
            let (level, key) = rest.split_once('-').unwrap_or_default();
            level.len() == 2
                && level.starts_with(['1', '2', '4', '8'])
                && level.ends_with(['c', 'b', 's', 'p'])
                && key.len() == 10
                && hex(key)
        }
        "serial" => text == "socket" || (text.len() > 5 && text.starts_with("/dev/") && !text.contains(',')),
        "uuid" => uuid(text),
        "vmgenid" => matches!(text, "0" | "1") || uuid(text),
        "hexid" => text.strip_prefix("0x").is_some_and(|h| h.len() == 4 && hex(h)),
        "pciid" => {
            text.split_once(':').is_some_and(|(a, b)| a.len() == 4 && b.len() == 4 && hex(a) && hex(b))
        }
        // The recorded server took `00:01` as well: bus and device, no function.
        "pciaddr" => text.split(';').all(pci_address),
        "ranges" => text.split(';').all(|r| {
            let (from, to) = r.split_once('-').map_or((r, None), |(f, t)| (f, Some(t)));
            digits(from) && to.is_none_or(digits)
        }),
        "package" => {
            let first = text.chars().next();
            first.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
                && text.len() > 1
                && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-+.:".contains(c))
        }
        _ => true,
    }
}

/// Whether a pattern is one of those above.
#[cfg(test)]
pub(crate) fn pattern_known(pattern: &str) -> bool {
    // A text no pattern accepts tells the known from those that let everything through.
    !matches(pattern, "\u{0}")
}

fn uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() == 5
        && parts
            .iter()
            .zip([8, 4, 4, 4, 12])
            .all(|(p, n)| p.len() == n && p.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn pci_address(text: &str) -> bool {
    let (device, function) = text.split_once('.').map_or((text, None), |(d, f)| (d, Some(f)));
    let parts: Vec<&str> = device.split(':').collect();
    let hex = |t: &&str, n: usize| t.len() >= n && t.bytes().all(|b| b.is_ascii_hexdigit());
    let fine = match parts.as_slice() {
        [bus, slot] => hex(bus, 2) && hex(slot, 2),
        [domain, bus, slot] => hex(domain, 4) && hex(bus, 2) && hex(slot, 2),
        _ => false,
    };
    fine && function.is_none_or(|f| f.len() == 1)
}

/// Whether a CPU type is one QEMU knows, or a custom one.
pub(crate) fn cpu_type(text: &str) -> bool {
    let models = SCHEMA.formats.get("cpu-conf").and_then(|f| f.iter().find(|p| p.name == "reported-model"));
    text.starts_with("custom-")
        || ["host", "max", "x86-64-v2", "x86-64-v2-AES", "x86-64-v3", "x86-64-v4"].contains(&text)
        || models.is_some_and(|p| p.allowed.iter().any(|m| m == text))
}
