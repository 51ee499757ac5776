//! The cluster as a whole: status, resources, next free id, options, membership.

use serde_json::{Map, Value, json};

use super::answer::{Answer, Fault, Reply, nothing};
use super::call::Call;
use super::disk;
use super::num;
use super::params::{parse_property_string, split_list};
use super::schema::SCHEMA;
use super::state::{Cluster, GuestKind, Link, Node, Told, ToldGuest, digest_text};
use super::work::Work;

/// A dead node's last broadcast is shown for that long.
const STALE_MS: u64 = 300_000;

impl Cluster {
    /// Every node that runs tells the others about its guests and storages, if it is time.
    pub(crate) fn broadcast(&mut self) {
        if self.now < self.last_broadcast + self.timing.broadcast_ms {
            return;
        }
        self.last_broadcast = self.now;
        let names: Vec<String> =
            self.nodes.iter().filter(|(_, n)| n.link == Link::Up).map(|(name, _)| name.clone()).collect();
        for name in names {
            let told = self.told_by(&name);
            if let Some(node) = self.nodes.get_mut(&name) {
                node.told = Some(told);
            }
        }
    }

    /// Makes every running node tell the others now.
    pub(crate) fn broadcast_now(&mut self) {
        self.last_broadcast = 0;
        self.broadcast();
    }

    fn told_by(&self, name: &str) -> Told {
        let guests = self.guests.values().filter(|g| g.node == name);
        let told = guests.map(|g| {
            let entry = ToldGuest {
                name: g.shown_name(),
                running: g.run.is_some(),
                template: g.is_template(),
                cpus: g.cpus(),
                max_mem: g.memory(),
                max_disk: if g.kind == GuestKind::Qemu {
                    disk::boot_disk_size(&g.conf)
                } else {
                    super::lxc::root_size(&g.conf)
                },
                started: g.run.as_ref().map(|r| r.since),
            };
            (g.vmid, entry)
        });
        let storages = self.storages.iter().filter(|(_, s)| s.on(name) && !s.disabled());
        Told { at: self.now, guests: told.collect(), storages: storages.map(|(n, _)| n.clone()).collect() }
    }

    /// A node's last broadcast while it counts.
    fn told<'n>(&self, node: &'n Node) -> Option<&'n Told> {
        node.told.as_ref().filter(|t| node.link == Link::Up || self.now < t.at + STALE_MS)
    }
}

/// GET /version and GET /nodes/{node}/version
pub(crate) fn version(call: &mut Call<'_>) -> Reply {
    let node = call.c.nodes.get(&call.node).ok_or_else(|| Fault::die("no such node"))?;
    let v = &node.version;
    Ok(json!({"release": v.release, "repoid": v.repoid, "version": v.number}).into())
}

/// GET /
pub(crate) fn root(_: &mut Call<'_>) -> Reply {
    let names = ["access", "cluster", "nodes", "pools", "storage", "version"];
    Ok(names.iter().map(|n| json!({"subdir": n})).collect::<Value>().into())
}

fn names(names: &[&str]) -> Reply {
    Ok(names.iter().map(|n| json!({"name": n})).collect::<Value>().into())
}

/// GET /cluster
pub(crate) fn index(_: &mut Call<'_>) -> Reply {
    names(&[
        "acme",
        "backup",
        "backup-info",
        "bulk-action",
        "ceph",
        "config",
        "firewall",
        "ha",
        "jobs",
        "log",
        "mapping",
        "metrics",
        "nextid",
        "notifications",
        "options",
        "qemu",
        "replication",
        "resources",
        "sdn",
        "status",
        "tasks",
    ])
}

/// GET /cluster/status
pub(crate) fn status(call: &mut Call<'_>) -> Reply {
    let c = &*call.c;
    let mut rows = Vec::new();
    if let Some(name) = &c.name {
        rows.push(json!({
            "id": "cluster",
            "name": name,
            "nodes": c.nodes.len(),
            "quorate": u8::from(c.quorate(call.via)),
            "type": "cluster",
            "version": c.nodes.len(),
        }));
    }
    for (name, node) in &c.nodes {
        rows.push(json!({
            "id": format!("node/{name}"),
            "ip": node.ip,
            "level": "",
            "local": u8::from(name == call.via),
            "name": name,
            "nodeid": if c.name.is_some() { node.id } else { 0 },
            "online": u8::from(c.sees(call.via, name)),
            "type": "node",
        }));
    }
    Ok(Value::Array(rows).into())
}

/// A node as lists show it; figures only for who may audit it, and only while it is heard of.
pub(crate) fn node_row(call: &Call<'_>, name: &str, node: &Node) -> Map<String, Value> {
    let c = &*call.c;
    let online = c.sees(call.via, name);
    let audit = c.may(call.caller, &format!("/nodes/{name}"), &["Sys.Audit"]);
    let mut row = Map::new();
    let mut put = |key: &str, value: Value| row.insert(key.to_string(), value);
    put("id", json!(format!("node/{name}")));
    put("level", json!(""));
    put("node", json!(name));
    put("status", json!(if online { "online" } else { "offline" }));
    put("type", json!("node"));
    if !audit {
        return row;
    }
    put("maxcpu", json!(node.cpus));
    put("maxdisk", json!(node.root_size));
    put("maxmem", json!(node.memory));
    if online {
        put("cpu", json!(c.node_load(name)));
        put("disk", json!(node.root_size / 4));
        put("mem", json!(c.node_memory_used(name)));
        put("uptime", json!(c.now.saturating_sub(node.booted) / 1000));
    }
    row
}

impl Cluster {
    /// The share of a node's processors in use.
    pub(crate) fn node_load(&self, name: &str) -> f64 {
        let busy: u64 = self
            .guests
            .values()
            .filter(|g| g.node == name && g.run.is_some())
            .map(super::state::Guest::cpus)
            .sum();
        let all = self.nodes.get(name).map_or(1, |n| u64::from(n.cpus));
        num::ratio(busy, all * 20).clamp(0.01, 1.0)
    }

    /// The memory of a node in use: half of what its guests may have, and the host's own.
    pub(crate) fn node_memory_used(&self, name: &str) -> u64 {
        let guests: u64 = self.guests.values().filter(|g| g.node == name).map(super::qemu::used_memory).sum();
        let all = self.nodes.get(name).map_or(0, |n| n.memory);
        (guests + all / 32).min(all)
    }
}

/// GET /cluster/resources
pub(crate) fn resources(call: &mut Call<'_>) -> Reply {
    let wanted = call.p.get("type").map(str::to_string);
    let want = |kind: &str| wanted.as_deref().is_none_or(|w| w == kind);
    let mut rows = Vec::new();
    if wanted.is_none() {
        rows.extend(pool_rows(call));
        for name in call.c.nodes.keys() {
            if call.c.may(call.caller, "/sdn/zones/localnetwork", &["SDN.Audit"]) {
                rows.push(json!({
                    "id": format!("network/{name}/zone/localnetwork"), "network": "localnetwork",
                    "network-type": "zone", "node": name, "status": "ok", "type": "network",
                }));
            }
        }
    }
    if want("node") {
        for (name, node) in &call.c.nodes {
            let mut row = node_row(call, name, node);
            row.insert("cgroup-mode".into(), json!(2));
            if call.c.name.is_some() {
                let known = call.c.sees(call.via, name) || !call.c.sees_majority(call.via);
                row.insert("hastate".into(), json!(if known { "online" } else { "unknown" }));
            }
            rows.push(Value::Object(row));
        }
    }
    if want("vm") {
        rows.extend(guest_rows(call, None));
    }
    if want("storage") {
        rows.extend(storage_rows(call, None));
    }
    Ok(Value::Array(rows).into())
}

impl Cluster {
    /// Whether a node still hears most of the others, so that its HA state is not an old one.
    fn sees_majority(&self, via: &str) -> bool {
        self.quorate(via)
    }
}

fn pool_rows(call: &Call<'_>) -> Vec<Value> {
    let c = &*call.c;
    let mut rows = Vec::new();
    for (name, pool) in &c.pools {
        if !c.may(call.caller, &format!("/pool/{name}"), &["Pool.Audit"]) {
            continue;
        }
        let mut row = Map::from_iter([
            ("id".to_string(), json!(format!("/pool/{name}"))),
            ("pool".to_string(), json!(name)),
            ("type".to_string(), json!("pool")),
        ]);
        let running: Vec<_> = pool
            .guests
            .iter()
            .filter_map(|v| {
                let guest = c.guests.get(v)?;
                c.told(c.nodes.get(&guest.node)?)?.guests.get(v).filter(|t| t.running).cloned()
            })
            .collect();
        if !running.is_empty() {
            row.insert("cpu".into(), json!(0.02));
            row.insert("maxcpu".into(), json!(running.iter().map(|t| t.cpus).sum::<u64>()));
            row.insert("maxmem".into(), json!(running.iter().map(|t| t.max_mem).sum::<u64>()));
            row.insert("mem".into(), json!(running.iter().map(|t| t.max_mem / 2).sum::<u64>()));
            row.insert("uptime".into(), json!(0));
        }
        rows.push(Value::Object(row));
    }
    rows
}

/// The guests a caller sees, all or those of a pool (which shows less of each).
pub(crate) fn guest_rows(call: &Call<'_>, pool: Option<&str>) -> Vec<Value> {
    let c = &*call.c;
    let mut rows = Vec::new();
    for guest in c.guests.values() {
        let vmid = guest.vmid;
        if !c.may(call.caller, &format!("/vms/{vmid}"), &["VM.Audit"]) {
            continue;
        }
        let its_pool = c.pools.iter().find(|(_, p)| p.guests.contains(&vmid)).map(|(n, _)| n);
        if pool.is_some() && its_pool.map(String::as_str) != pool {
            continue;
        }
        let mut row = Map::new();
        let mut put = |key: &str, value: Value| row.insert(key.to_string(), value);
        put("id", json!(format!("{}/{vmid}", guest.kind.name())));
        put("node", json!(guest.node));
        put("type", json!(guest.kind.name()));
        put("vmid", json!(vmid));
        if pool.is_none() {
            for key in ["lock", "tags"] {
                if let Some(value) = guest.conf.get(key) {
                    put(key, json!(value));
                }
            }
            if let Some(pool) = its_pool {
                put("pool", json!(pool));
            }
        }
        if let Value::Object(ha) = c.ha_shown(vmid)
            && let Some(state) = ha.get("state")
        {
            put("hastate", state.clone());
        }
        let told = c.nodes.get(&guest.node).and_then(|n| c.told(n));
        match told.and_then(|t| t.guests.get(&vmid)) {
            None => {
                put("status", json!("unknown"));
            }
            Some(told) => {
                let uptime = told.started.map_or(0, |s| c.now.saturating_sub(s) / 1000);
                put("status", json!(if told.running { "running" } else { "stopped" }));
                put("name", json!(told.name));
                put("template", json!(u8::from(told.template)));
                put("cpu", json!(if told.running { 0.02 } else { 0.0 }));
                put("maxcpu", json!(told.cpus));
                put("mem", json!(if told.running { told.max_mem / 2 } else { 0 }));
                put("memhost", json!(if told.running { told.max_mem / 2 } else { 0 }));
                put("maxmem", json!(told.max_mem));
                put("disk", json!(0));
                put("maxdisk", json!(told.max_disk));
                put("uptime", json!(uptime));
                for (key, value) in [("diskread", 0), ("diskwrite", 0), ("netin", uptime), ("netout", uptime)]
                {
                    put(key, json!(value));
                }
            }
        }
        rows.push(Value::Object(row));
    }
    rows
}

/// The storages a caller sees, all or those of a pool.
pub(crate) fn storage_rows(call: &Call<'_>, pool: Option<&str>) -> Vec<Value> {
    let c = &*call.c;
    let mut rows = Vec::new();
    for (name, storage) in &c.storages {
        let path = format!("/storage/{name}");
        if !c.may(call.caller, &path, &["Datastore.Audit", "Datastore.AllocateSpace"]) {
            continue;
        }
        if pool.is_some_and(|p| c.pools.get(p).is_none_or(|p| !p.storages.contains(name))) {
            continue;
        }
        for (node_name, node) in c.nodes.iter().filter(|(n, _)| storage.on(n)) {
            if storage.disabled() {
                continue;
            }
            let mut row = json!({
                "content": storage.content(),
                "id": format!("storage/{node_name}/{name}"),
                "node": node_name,
                "plugintype": storage.kind,
                "shared": u8::from(storage.shared()),
                "status": "unknown",
                "storage": name,
                "type": "storage",
            });
            if c.told(node).is_some_and(|t| t.storages.contains(name)) {
                row["status"] = json!("available");
                row["disk"] = json!(c.storage_used(name, node_name));
                row["maxdisk"] = json!(storage.size);
            }
            rows.push(row);
        }
    }
    rows
}

/// GET /cluster/nextid
pub(crate) fn nextid(call: &mut Call<'_>) -> Reply {
    if let Some(vmid) = call.p.number("vmid").and_then(|v| u32::try_from(v).ok()) {
        if call.c.guests.contains_key(&vmid) {
            return Err(Fault::param("vmid", format!("VM {vmid} already exists")));
        }
        return Ok(json!(vmid.to_string()).into());
    }
    let range = call.c.options.get("next-id").map(|o| option_props("next-id", o)).unwrap_or_default();
    let bound = |key: &str, default: u32| range.get(key).and_then(|v| v.parse().ok()).unwrap_or(default);
    let (lower, upper) = (bound("lower", 100), bound("upper", 1_000_000));
    let free = (lower..upper).find(|id| !call.c.guests.contains_key(id));
    match free {
        Some(id) => Ok(json!(id.to_string()).into()),
        None => Err(Fault::die("unable to get any free VMID in range")),
    }
}

fn option_props(format: &str, value: &str) -> super::state::Conf {
    let props = SCHEMA.formats.get(format).map_or(&[][..], Vec::as_slice);
    parse_property_string(props, format, value).unwrap_or_default()
}

/// GET /cluster/options
pub(crate) fn options(call: &mut Call<'_>) -> Reply {
    let c = &*call.c;
    let mut found = Map::from_iter([
        ("description".to_string(), json!("")),
        ("mac_prefix".to_string(), json!("BC:24:11")),
    ]);
    let mut allowed: Vec<String> = Vec::new();
    for (key, value) in &c.options {
        let shown = match key.as_str() {
            "registered-tags" => {
                let tags = split_list(value);
                allowed.extend(tags.clone());
                json!(tags)
            }
            "user-tag-access" => {
                let mut props: Map<String, Value> =
                    option_props(key, value).into_iter().map(|(k, v)| (k, json!(v))).collect();
                if let Some(Value::String(list)) = props.get("user-allow-list") {
                    let tags = split_list(list);
                    allowed.extend(tags.clone());
                    props.insert("user-allow-list".into(), json!(tags));
                }
                Value::Object(props)
            }
            _ if SCHEMA.formats.contains_key(key) => {
                Value::Object(option_props(key, value).into_iter().map(|(k, v)| (k, json!(v))).collect())
            }
            _ => value.parse::<i64>().map_or_else(|_| json!(value), |n| json!(n)),
        };
        found.insert(key.clone(), shown);
    }
    allowed.sort();
    allowed.dedup();
    found.insert("allowed-tags".into(), json!(allowed));
    Ok(Value::Object(found).into())
}

/// PUT /cluster/options
pub(crate) fn set_options(call: &mut Call<'_>) -> Reply {
    call.need_cfs("datacenter_cfg", "")?;
    for key in call.p.items("delete") {
        call.c.options.remove(&key);
    }
    let mut set = call.p.text.clone();
    set.remove("delete");
    call.c.options.extend(set);
    nothing()
}

/// GET /cluster/config
pub(crate) fn config_index(_: &mut Call<'_>) -> Reply {
    names(&["apiversion", "join", "nodes", "qdevice", "totem"])
}

fn need_cluster(call: &Call<'_>) -> Result<String, Fault> {
    let missing = || Fault::die("node is not in a cluster, no join info available!");
    call.c.name.clone().ok_or_else(missing)
}

fn totem(c: &Cluster, name: &str) -> Value {
    json!({
        "cluster_name": name,
        "config_version": c.nodes.len().to_string(),
        "interface": {"0": {"linknumber": "0"}},
        "ip_version": "ipv4-6",
        "link_mode": "passive",
        "secauth": "on",
        "token_coefficient": "125",
        "version": "2",
    })
}

/// GET /cluster/config/totem
pub(crate) fn config_totem(call: &mut Call<'_>) -> Reply {
    let name = need_cluster(call)?;
    Ok(totem(call.c, &name).into())
}

/// GET /cluster/config/apiversion
pub(crate) fn config_apiversion(_: &mut Call<'_>) -> Reply {
    Ok(json!("1").into())
}

/// GET /cluster/config/nodes
pub(crate) fn config_nodes(call: &mut Call<'_>) -> Reply {
    let rows = call.c.nodes.iter().filter(|_| call.c.name.is_some()).map(|(name, node)| {
        json!({
            "name": name,
            "node": name,
            "nodeid": node.id.to_string(),
            "quorum_votes": "1",
            "ring0_addr": node.ip,
        })
    });
    Ok(rows.collect::<Value>().into())
}

/// GET /cluster/config/join
pub(crate) fn join_info(call: &mut Call<'_>) -> Reply {
    let name = need_cluster(call)?;
    let preferred = call.p.get("node").unwrap_or(call.via).to_string();
    if !call.c.nodes.contains_key(&preferred) {
        return Err(Fault::die(format!("unknown node '{preferred}'")));
    }
    let list = call.c.nodes.iter().map(|(name, node)| {
        json!({
            "name": name,
            "nodeid": node.id.to_string(),
            "pve_addr": node.ip,
            "pve_fp": node.fingerprint,
            "quorum_votes": "1",
            "ring0_addr": node.ip,
        })
    });
    let members: Vec<&String> = call.c.nodes.keys().collect();
    Ok(json!({
        "config_digest": digest_text(&format!("{members:?}")),
        "nodelist": list.collect::<Value>(),
        "preferred_node": preferred,
        "totem": totem(call.c, &name),
    })
    .into())
}

/// POST /cluster/config
pub(crate) fn create(call: &mut Call<'_>) -> Reply {
    if call.c.name.is_some() {
        return Err(Fault::die("cluster config '/etc/pve/corosync.conf' already exists"));
    }
    let name = call.p.need("clustername").to_string();
    call.c.name = Some(name.clone());
    call.fork("clustercreate", &name, Work::Wait { ms: 3000, lines: Vec::new(), fails: None })
}

/// POST /cluster/config/join
pub(crate) fn join(call: &mut Call<'_>) -> Reply {
    let lines = [
        "detected the following error(s):",
        "* authentication key '/etc/corosync/authkey' already exists",
        "* cluster config '/etc/pve/corosync.conf' already exists",
        "* corosync is already running, is this node already in a cluster?!",
    ];
    let (lines, text) = if call.c.name.is_some() {
        (lines.map(String::from).to_vec(), "Check if node may join a cluster failed!")
    } else {
        (Vec::new(), "joining another simulated cluster is not simulated")
    };
    call.fork("clusterjoin", "", Work::Wait { ms: 500, lines, fails: Some(text.into()) })
}

/// POST /cluster/config/nodes/{node}
pub(crate) fn add_node(call: &mut Call<'_>) -> Reply {
    need_cluster(call)?;
    if call.p.get("new_node_ip").is_none() && !call.p.text.keys().any(|k| k.starts_with("link")) {
        return Err(Fault::die("no links and no fallback ip (new_node_ip) given, cannot join cluster"));
    }
    Err(Fault::die("adding a node from outside is not simulated"))
}

/// DELETE /cluster/config/nodes/{node}
pub(crate) fn remove_node(call: &mut Call<'_>) -> Reply {
    need_cluster(call)?;
    let name = call.p.need("node").to_string();
    if !call.c.nodes.contains_key(&name) {
        return Err(Fault::die(format!("Node/IP: {name} is not a known host of the cluster.")));
    }
    if name == call.via {
        return Err(Fault::die("Cannot delete myself from cluster!"));
    }
    if call.c.sees(call.via, &name) {
        return Err(Fault::die(format!("Node {name} is still online, shut it down before it is removed")));
    }
    call.need_quorum()?;
    call.c.nodes.remove(&name);
    call.c.guests.retain(|_, g| g.node != name);
    nothing()
}

/// Answers an index that has nothing more to say.
pub(crate) fn empty(_: &mut Call<'_>) -> Reply {
    Ok(Answer::from(json!([])))
}
