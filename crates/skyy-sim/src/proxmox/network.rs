//! A node's network interfaces: what is active, what is pending, applying and discarding.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::{Answer, Fault, Reply, nothing};
use super::call::Call;
use super::interfaces::{diff, render};
use super::params::split_list;
use super::state::{Cluster, Conf, Node};
use super::tasks::{Next, Task};
use super::work::Work;

/// A node's interfaces.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct NetState {
    /// /etc/network/interfaces as it stands.
    pub(crate) file: String,
    pub(crate) active: Vec<Iface>,
    /// interfaces.new, when there is one.
    pub(crate) pending: Option<Vec<Iface>>,
}

/// One interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Iface {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) auto: bool,
    /// By the API's names.
    pub(crate) conf: Conf,
}

impl Iface {
    pub(crate) fn method(&self) -> &'static str {
        if self.conf.contains_key("cidr") { "static" } else { "manual" }
    }

    /// The interfaces it stands on.
    fn ports(&self) -> Vec<String> {
        ["bridge_ports", "slaves", "ovs_ports", "ovs_bonds"]
            .iter()
            .filter_map(|k| self.conf.get(*k))
            .flat_map(|v| split_list(v))
            .collect()
    }

    /// Where its kind stands in the file.
    fn rank(&self) -> u8 {
        match self.kind.as_str() {
            "eth" => 0,
            "OVSPort" | "OVSIntPort" => 1,
            "bond" | "OVSBond" => 2,
            "bridge" | "OVSBridge" => 3,
            "vlan" => 4,
            _ => 5,
        }
    }
}

impl NetState {
    /// Interfaces as an installer leaves them.
    pub(crate) fn installed(active: Vec<Iface>) -> Self {
        Self { file: render(&active, false), active, pending: None }
    }

    /// Whether a guest can be attached to a bridge.
    pub(crate) fn has_bridge(&self, name: &str) -> bool {
        self.active.iter().any(|i| i.name == name && i.kind.ends_with("ridge"))
    }

    /// What a change starts from.
    fn current(&self) -> &[Iface] {
        self.pending.as_deref().unwrap_or(&self.active)
    }

    fn stage(&mut self, mut ifaces: Vec<Iface>) {
        ifaces.sort_by_key(Iface::rank);
        self.pending = Some(ifaces);
    }

    /// Makes what is pending active.
    pub(crate) fn apply(&mut self) {
        if let Some(ifaces) = self.pending.take() {
            self.file = render(&ifaces, true);
            self.active = ifaces;
        }
    }
}

/// A bridge as presets make it.
pub(crate) fn bridge(name: &str, ports: &str, cidr: Option<&str>, gateway: Option<&str>) -> Iface {
    let mut conf = Conf::from([("bridge_ports".to_string(), ports.to_string())]);
    conf.extend(cidr.map(|c| ("cidr".to_string(), c.to_string())));
    conf.extend(gateway.map(|g| ("gateway".to_string(), g.to_string())));
    Iface { name: name.to_string(), kind: "bridge".into(), auto: true, conf }
}

/// A network card as presets make it.
pub(crate) fn card(name: &str) -> Iface {
    Iface { name: name.to_string(), kind: "eth".into(), auto: false, conf: Conf::new() }
}

fn node<'c>(call: &'c Call<'_>) -> Result<&'c Node, Fault> {
    call.c.nodes.get(&call.node).ok_or_else(|| Fault::die("no such node"))
}

fn row(net: &NetState, index: usize, iface: &Iface) -> Map<String, Value> {
    let active = net.active.iter().any(|a| a.name == iface.name);
    let mut found = Map::new();
    let mut put = |key: &str, value: Value| found.insert(key.to_string(), value);
    put("iface", json!(iface.name));
    put("type", json!(iface.kind));
    put("method", json!(iface.method()));
    put("method6", json!(if iface.conf.contains_key("cidr6") { "static" } else { "manual" }));
    let six = iface.conf.contains_key("cidr6");
    put("families", if six { json!(["inet", "inet6"]) } else { json!(["inet"]) });
    put("priority", json!(index + 3));
    if active {
        put("active", json!(1));
    }
    if iface.auto {
        put("autostart", json!(1));
    }
    for (key, value) in &iface.conf {
        match key.as_str() {
            "cidr" | "cidr6" => {
                let six = if key == "cidr6" { "6" } else { "" };
                let (address, mask) = value.split_once('/').unwrap_or((value, "32"));
                put(key, json!(value));
                put(&format!("address{six}"), json!(address));
                put(&format!("netmask{six}"), json!(mask));
            }
            "bridge_vlan_aware" => {
                put(key, json!(1));
            }
            "comments" | "comments6" => {
                put(key, json!(format!("{}\n", value.trim_end_matches('\n'))));
            }
            _ => {
                put(key, json!(value));
            }
        }
    }
    match iface.kind.as_str() {
        "bridge" => {
            put("bridge_fd", json!("0"));
            put("bridge_stp", json!("off"));
            if !iface.conf.contains_key("bridge_ports") {
                put("bridge_ports", json!(""));
            }
        }
        "vlan" => {
            put("exists", if active { json!(1) } else { Value::Null });
            let (raw, id) = vlan_parts(iface);
            put("vlan-raw-device", json!(raw));
            put("vlan-id", json!(id));
        }
        _ => {}
    }
    found
}

/// A VLAN's device and tag, from its name or its options.
fn vlan_parts(iface: &Iface) -> (Option<String>, Option<String>) {
    if let Some((raw, id)) = iface.name.split_once('.') {
        return (Some(raw.to_string()), Some(id.to_string()));
    }
    let id = iface.conf.get("vlan-id").cloned();
    let id = id.or_else(|| iface.name.strip_prefix("vlan").map(str::to_string));
    (iface.conf.get("vlan-raw-device").cloned(), id)
}

/// GET /nodes/{node}/network
pub(crate) fn list(call: &mut Call<'_>) -> Reply {
    let wanted = call.p.get("type");
    let net = &node(call)?.net;
    let fits = |i: &Iface| match wanted {
        None | Some("include_sdn") => true,
        Some("any_bridge" | "any_local_bridge") => i.kind.ends_with("ridge"),
        Some(kind) => i.kind == kind,
    };
    // Bridges are for those who may use the zone they belong to.
    let seen = |i: &Iface| {
        let path = format!("/sdn/zones/localnetwork/{}", i.name);
        !i.kind.ends_with("ridge") || call.c.may(call.caller, &path, &["SDN.Audit", "SDN.Use"])
    };
    let rows: Value = net
        .current()
        .iter()
        .enumerate()
        .filter(|(_, i)| fits(i) && seen(i))
        .map(|(n, i)| Value::Object(row(net, n, i)))
        .collect();
    let mut beside = Map::new();
    if let Some(pending) = &net.pending {
        let changes = diff(&net.file, &render(pending, true), "1970-01-01 00:00:00.000000000 +0000");
        if !changes.is_empty() {
            beside.insert("changes".into(), json!(changes));
        }
    }
    Ok(Answer::with(rows, beside))
}

fn missing() -> Fault {
    Fault::param("iface", "interface does not exist")
}

/// GET /nodes/{node}/network/{iface}
pub(crate) fn get(call: &mut Call<'_>) -> Reply {
    let net = &node(call)?.net;
    let name = call.p.need("iface");
    let index = net.current().iter().position(|i| i.name == name).ok_or_else(missing)?;
    let mut found = row(net, index, &net.current()[index]);
    found.remove("iface");
    Ok(Value::Object(found).into())
}

/// POST /nodes/{node}/network
pub(crate) fn create(call: &mut Call<'_>) -> Reply {
    let net = &node(call)?.net;
    let mut ifaces = net.current().to_vec();
    let name = call.p.need("iface").to_string();
    if ifaces.iter().any(|i| i.name == name) || name == "lo" {
        return Err(Fault::param("iface", "interface already exists"));
    }
    let mut iface = Iface { name, kind: call.p.need("type").to_string(), auto: false, conf: Conf::new() };
    change(call, &mut iface);
    check(&iface, &ifaces)?;
    ifaces.push(iface);
    stage(call, ifaces);
    nothing()
}

/// PUT /nodes/{node}/network/{iface}
pub(crate) fn update(call: &mut Call<'_>) -> Reply {
    let net = &node(call)?.net;
    let mut ifaces = net.current().to_vec();
    let name = call.p.need("iface").to_string();
    let index = ifaces.iter().position(|i| i.name == name).ok_or_else(missing)?;
    let mut iface = ifaces.remove(index);
    for key in call.p.items("delete") {
        iface.conf.remove(&key);
        match key.as_str() {
            "autostart" => iface.auto = false,
            "address" | "netmask" => {
                iface.conf.remove("cidr");
            }
            _ => {}
        }
    }
    iface.kind = call.p.need("type").to_string();
    change(call, &mut iface);
    check(&iface, &ifaces)?;
    ifaces.insert(index, iface);
    stage(call, ifaces);
    nothing()
}

/// DELETE /nodes/{node}/network/{iface}
pub(crate) fn delete(call: &mut Call<'_>) -> Reply {
    let net = &node(call)?.net;
    let mut ifaces = net.current().to_vec();
    let name = call.p.need("iface");
    let index = ifaces.iter().position(|i| i.name == name).ok_or_else(missing)?;
    ifaces.remove(index);
    stage(call, ifaces);
    nothing()
}

fn stage(call: &mut Call<'_>, ifaces: Vec<Iface>) {
    if let Some(node) = call.c.nodes.get_mut(&call.node) {
        node.net.stage(ifaces);
    }
}

/// Takes the parameters over into an interface.
fn change(call: &Call<'_>, iface: &mut Iface) {
    for (key, value) in &call.p.text {
        match key.as_str() {
            "node" | "iface" | "type" | "delete" | "netmask" | "netmask6" => {}
            "autostart" => iface.auto = value == "1",
            "address" | "address6" => {
                let six = if key == "address6" { "6" } else { "" };
                let mask = call.p.get(&format!("netmask{six}")).unwrap_or("32");
                let bits = mask
                    .parse::<std::net::Ipv4Addr>()
                    .map_or(mask.to_string(), |m| m.to_bits().count_ones().to_string());
                iface.conf.insert(format!("cidr{six}"), format!("{value}/{bits}"));
            }
            "bridge_vlan_aware" if value == "0" => {
                iface.conf.remove("bridge_vlan_aware");
                iface.conf.remove("bridge_vids");
            }
            _ => {
                iface.conf.insert(key.clone(), value.clone());
            }
        }
    }
    if iface.conf.contains_key("bridge_vlan_aware") {
        iface.conf.entry("bridge_vids".into()).or_insert_with(|| "2-4094".into());
    }
}

/// What Proxmox refuses about an interface beside the others.
fn check(iface: &Iface, others: &[Iface]) -> Result<(), Fault> {
    for gateway in ["gateway", "gateway6"] {
        if iface.conf.contains_key(gateway)
            && let Some(other) = others.iter().find(|o| o.conf.contains_key(gateway))
        {
            let text = format!("Default gateway already exists on interface '{}'.", other.name);
            return Err(Fault::param(gateway, text));
        }
    }
    for key in ["bridge_ports", "slaves"] {
        for port in iface.conf.get(key).map(|v| split_list(v)).unwrap_or_default() {
            if let Some(user) = others.iter().find(|o| o.ports().contains(&port)) {
                return Err(Fault::param(
                    key,
                    format!("{port} is already used on interface '{}'.", user.name),
                ));
            }
        }
    }
    if iface.kind == "vlan" {
        let name = &iface.name;
        let (raw, id) = vlan_parts(iface);
        let Some(raw) = raw else {
            let text =
                "missing vlan-raw-device option at /usr/share/perl5/PVE/Network/Interfaces.pm line 954.";
            return Err(Fault::die(text));
        };
        if !others.iter().any(|o| o.name == raw) {
            return Err(Fault::die(format!("vlan '{name}' - unable to find parent '{raw}'")));
        }
        if let Some(id) = id.and_then(|i| i.parse::<u32>().ok()).filter(|i| *i > 4094) {
            return Err(Fault::die(format!("vlan '{name}' - vlan-id {id} should be <= 4094")));
        }
    }
    Ok(())
}

/// DELETE /nodes/{node}/network
pub(crate) fn revert(call: &mut Call<'_>) -> Reply {
    if let Some(node) = call.c.nodes.get_mut(&call.node) {
        node.net.pending = None;
    }
    nothing()
}

/// PUT /nodes/{node}/network
pub(crate) fn apply(call: &mut Call<'_>) -> Reply {
    call.fork("srvreload", "networking", Work::ReloadNetwork(Reload {}))
}

/// The task that reloads the network.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Reload {}

impl Reload {
    #[expect(clippy::unused_self, reason = "one form for all steps")]
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        if t.step > 0 {
            return Next::Done;
        }
        if let Some(node) = c.nodes.get_mut(&t.node) {
            node.net.apply();
        }
        Next::After(1500)
    }
}
