//! PCI devices of nodes, the cluster's resource mappings, and which guest has which device.

use serde_json::{Map, Value, json};

use super::answer::{Fault, Reply, nothing};
use super::call::Call;
use super::params::parse_property_string;
use super::schema::SCHEMA;
use super::state::{Cluster, Conf, Mapping, PciDevice, digest_text};
use super::tasks::Task;

const USE: [&str; 3] = ["Mapping.Modify", "Mapping.Use", "Mapping.Audit"];

fn device_row(device: &PciDevice, verbose: bool) -> Value {
    let mut row = json!({
        "class": device.class,
        "device": device.device,
        "id": device.id,
        "iommugroup": device.iommu_group,
        "subsystem_device": device.subsystem_device,
        "subsystem_vendor": device.subsystem_vendor,
        "vendor": device.vendor,
    });
    let names = [
        ("vendor_name", &device.vendor_name),
        ("device_name", &device.device_name),
        ("subsystem_vendor_name", &device.subsystem_vendor_name),
    ];
    for (key, name) in names {
        if let Some(name) = name.as_ref().filter(|_| verbose) {
            row[key] = json!(name);
        }
    }
    row
}

/// GET /nodes/{node}/hardware/pci
pub(crate) fn list(call: &mut Call<'_>) -> Reply {
    let hidden = match call.p.get("pci-class-blacklist") {
        Some(_) => call.p.items("pci-class-blacklist"),
        // Memory controllers, bridges and processors are of no use to guests.
        None => ["05", "06", "0b"].map(String::from).to_vec(),
    };
    let verbose = call.p.flag("verbose").unwrap_or(true);
    let devices = call.c.nodes.get(&call.node).map(|n| n.pci.clone()).unwrap_or_default();
    let shown = devices.iter().filter(|d| {
        let class = d.class.trim_start_matches("0x");
        !hidden.iter().any(|h| class.starts_with(h.as_str()))
    });
    Ok(shown.map(|d| device_row(d, verbose)).collect::<Value>().into())
}

/// GET /nodes/{node}/hardware/pci/{id}
pub(crate) fn index(_: &mut Call<'_>) -> Reply {
    Ok(json!([{"method": "mdev"}]).into())
}

fn entry(line: &str) -> Conf {
    let props = SCHEMA.formats.get("pci-map").map_or(&[][..], Vec::as_slice);
    parse_property_string(props, "map", line).unwrap_or_default()
}

/// The devices an entry's path names: with a function one, without all of a slot, `;` for several.
fn devices_of<'c>(c: &'c Cluster, node: &str, path: &str) -> Vec<&'c PciDevice> {
    let all = c.nodes.get(node).map_or(&[][..], |n| n.pci.as_slice());
    let wanted: Vec<String> = path.split(';').map(full_address).collect();
    let fits = |d: &&PciDevice| {
        wanted.iter().any(|w| d.id == *w || (!w.contains('.') && d.id.starts_with(&format!("{w}."))))
    };
    all.iter().filter(fits).collect()
}

fn full_address(address: &str) -> String {
    if address.matches(':').count() == 1 { format!("0000:{address}") } else { address.to_string() }
}

/// What is wrong with an entry, compared with the device that is there.
fn entry_error(c: &Cluster, name: &str, entry: &Conf) -> Option<String> {
    let (node, path) = (entry.get("node")?, entry.get("path")?);
    let devices = devices_of(c, node, path);
    let Some(device) = devices.first() else { return Some(format!("pci device '{path}' not found")) };
    let hex = |t: &str| t.trim_start_matches("0x").to_string();
    let mut expected =
        Conf::from([("id".into(), format!("{}:{}", hex(&device.vendor), hex(&device.device)))]);
    if device.iommu_group >= 0 {
        expected.insert("iommugroup".into(), device.iommu_group.to_string());
    }
    expected.insert(
        "subsystem-id".into(),
        format!("{}:{}", hex(&device.subsystem_vendor), hex(&device.subsystem_device)),
    );
    for key in ["id", "iommugroup", "subsystem-id"] {
        match (expected.get(key), entry.get(key)) {
            (Some(_), None) => return Some(format!("missing expected property '{key}' for device '{path}'")),
            (None, Some(_)) => {
                return Some(format!("unexpected property '{key}' configured for device '{path}'"));
            }
            (Some(want), Some(got)) if !want.eq_ignore_ascii_case(got) => {
                return Some(format!("'{key}' does not match for '{name}' ({want} != {got})"));
            }
            _ => {}
        }
    }
    None
}

fn mappings_digest(c: &Cluster) -> String {
    let text: Vec<String> =
        c.mappings.iter().map(|(id, m)| format!("{id} {:?} {:?}", m.description, m.map)).collect();
    digest_text(&text.join("\n"))
}

fn mapping_row(c: &Cluster, mapping: &Mapping) -> Map<String, Value> {
    let mut row = Map::from_iter([
        ("digest".to_string(), json!(mappings_digest(c))),
        ("map".to_string(), json!(mapping.map)),
        ("type".to_string(), json!("pci")),
    ]);
    if let Some(description) = &mapping.description {
        row.insert("description".into(), json!(description));
    }
    for (key, flag) in [("mdev", mapping.mdev), ("live-migration-capable", mapping.live)] {
        if let Some(flag) = flag {
            row.insert(key.into(), json!(u8::from(flag)));
        }
    }
    row
}

/// GET /cluster/mapping/pci
pub(crate) fn mappings(call: &mut Call<'_>) -> Reply {
    let c = &*call.c;
    let mut rows = Vec::new();
    for (id, mapping) in &c.mappings {
        if !c.may(call.caller, &format!("/mapping/pci/{id}"), &USE) {
            continue;
        }
        let mut row = mapping_row(c, mapping);
        row.insert("id".into(), json!(id));
        if let Some(node) = call.p.get("check-node") {
            let entries: Vec<Conf> = mapping.map.iter().map(|m| entry(m)).collect();
            let here: Vec<&Conf> =
                entries.iter().filter(|e| e.get("node").is_some_and(|n| n == node)).collect();
            let mut checks: Vec<Value> = here
                .iter()
                .filter_map(|e| entry_error(c, id, e))
                .map(|e| json!({"message": format!("Invalid configuration: {e}\n"), "severity": "error"}))
                .collect();
            if here.is_empty() {
                checks
                    .push(json!({"message": format!("No mapping for node {node}."), "severity": "warning"}));
            }
            row.insert("checks".into(), Value::Array(checks));
        }
        rows.push(Value::Object(row));
    }
    Ok(Value::Array(rows).into())
}

/// GET /cluster/mapping/pci/{id}
pub(crate) fn mapping(call: &mut Call<'_>) -> Reply {
    let id = call.p.need("id").to_string();
    if !call.c.may(call.caller, &format!("/mapping/pci/{id}"), &USE) {
        return Err(Fault::perm(""));
    }
    let found = call.c.mappings.get(&id).ok_or_else(|| Fault::die(format!("mapping '{id}' not found")))?;
    Ok(Value::Object(mapping_row(call.c, found)).into())
}

/// POST /cluster/mapping/pci
pub(crate) fn create(call: &mut Call<'_>) -> Reply {
    let id = call.p.need("id").to_string();
    call.need_cfs("mapping/pci_cfg", "create hardware mapping failed")?;
    if call.c.mappings.contains_key(&id) {
        return Err(Fault::die(format!("create hardware mapping failed: pci ID '{id}' already defined")));
    }
    let mapping = Mapping {
        description: call.p.get("description").map(str::to_string),
        map: call.p.lists.get("map").cloned().unwrap_or_default(),
        mdev: call.p.flag("mdev"),
        live: call.p.flag("live-migration-capable"),
    };
    call.c.mappings.insert(id, mapping);
    nothing()
}

/// PUT /cluster/mapping/pci/{id}
pub(crate) fn update(call: &mut Call<'_>) -> Reply {
    let id = call.p.need("id").to_string();
    call.need_cfs("mapping/pci_cfg", "update hardware mapping failed")?;
    if call.p.get("digest").is_some_and(|d| d != mappings_digest(call.c)) {
        let text = "update hardware mapping failed: detected modified configuration - file changed by other user? \
                    Try again.";
        return Err(Fault::die(text));
    }
    let (description, deleted) = (call.p.get("description").map(str::to_string), call.p.items("delete"));
    let (map, mdev, live) =
        (call.p.lists.get("map").cloned(), call.p.flag("mdev"), call.p.flag("live-migration-capable"));
    let Some(mapping) = call.c.mappings.get_mut(&id) else {
        return Err(Fault::die(format!("update hardware mapping failed: pci ID '{id}' does not exist")));
    };
    mapping.description =
        description.or(mapping.description.take()).filter(|_| !deleted.contains(&"description".into()));
    mapping.map = map.unwrap_or_else(|| mapping.map.clone());
    mapping.mdev = mdev.or(mapping.mdev).filter(|_| !deleted.contains(&"mdev".into()));
    mapping.live = live.or(mapping.live);
    nothing()
}

/// DELETE /cluster/mapping/pci/{id}
pub(crate) fn delete(call: &mut Call<'_>) -> Reply {
    call.need_cfs("mapping/pci_cfg", "delete hardware mapping failed")?;
    let id = call.p.need("id").to_string();
    call.c.mappings.remove(&id);
    nothing()
}

fn hostpci(value: &str) -> Conf {
    let props = SCHEMA.formats.get("hostpci").map_or(&[][..], Vec::as_slice);
    parse_property_string(props, "hostpci", value).unwrap_or_default()
}

/// What a start says about a guest's PCI devices.
pub(crate) fn check_start(
    c: &Cluster,
    node: &str,
    vmid: u32,
    conf: &Conf,
    t: &mut Task,
) -> Result<(), String> {
    for device in conf.iter().filter(|(k, _)| k.starts_with("hostpci")).map(|(_, v)| hostpci(v)) {
        if let Some(id) = device.get("mapping").filter(|m| !c.mappings.contains_key(*m)) {
            t.say(format!("PCI device mapping not found for '{id}'"));
        }
    }
    assign(c, node, vmid, conf).map(|_| ())
}

/// The devices a guest gets when it starts: one free device for each of its entries.
pub(crate) fn assign(c: &Cluster, node: &str, vmid: u32, conf: &Conf) -> Result<Vec<String>, String> {
    let taken: Vec<(&String, u32)> = c
        .guests
        .values()
        .filter(|g| g.node == node && g.vmid != vmid)
        .filter_map(|g| g.run.as_ref().map(|r| (r, g.vmid)))
        .flat_map(|(r, id)| r.pci.iter().map(move |p| (p, id)))
        .collect();
    let mut mine: Vec<String> = Vec::new();
    for (key, value) in conf.iter().filter(|(k, _)| k.starts_with("hostpci")) {
        let device = hostpci(value);
        let paths: Vec<String> = match (device.get("mapping"), device.get("host")) {
            (Some(id), _) => {
                let mapping =
                    c.mappings.get(id).ok_or_else(|| format!("PCI device mapping not found for '{id}'"))?;
                let entries: Vec<Conf> = mapping.map.iter().map(|m| entry(m)).collect();
                let here: Vec<&Conf> =
                    entries.iter().filter(|e| e.get("node").is_some_and(|n| n == node)).collect();
                if here.is_empty() {
                    return Err(format!("PCI device mapping not found for '{id}'"));
                }
                if let Some(error) = here.iter().find_map(|e| entry_error(c, id, e)) {
                    return Err(format!("PCI device mapping invalid (hardware probably changed): {error} "));
                }
                here.iter().filter_map(|e| e.get("path").cloned()).collect()
            }
            (None, Some(host)) => vec![host.clone()],
            (None, None) => return Err(format!("{key}: either 'host' or 'mapping' must be set")),
        };
        let mut refused = format!("no PCI device found for '{key}'");
        let mut chosen = None;
        for path in &paths {
            let ids: Vec<String> = devices_of(c, node, path).iter().map(|d| d.id.clone()).collect();
            if ids.is_empty() {
                refused = format!("no PCI device found for '{path}'");
                continue;
            }
            if let Some((id, owner)) = taken.iter().find(|(p, _)| ids.contains(p)) {
                refused = format!("PCI device '{id}' already in use by VMID '{owner}'");
                continue;
            }
            if ids.iter().any(|id| mine.contains(id)) {
                refused = format!("PCI device '{path}' already in use by VMID '{vmid}'");
                continue;
            }
            chosen = Some(ids);
            break;
        }
        mine.extend(chosen.ok_or(refused)?);
    }
    Ok(mine)
}
