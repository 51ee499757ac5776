//! High availability: resources, rules, status, and a manager that brings guests to the requested state.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::answer::{Fault, Reply, nothing};
use super::call::Call;
use super::state::{Cluster, Conf, HaResource, Link, digest};
use super::tasks::{Next, Task};
use super::work::Work;

/// How long the manager takes to act on a request, and to give up on a dead node.
const REACTION_MS: u64 = 10_000;
const FENCE_MS: u64 = 120_000;

fn sid_of(text: &str) -> String {
    if text.bytes().all(|b| b.is_ascii_digit()) { format!("vm:{text}") } else { text.to_string() }
}

fn vmid_of(sid: &str) -> u32 {
    sid.split_once(':').and_then(|(_, id)| id.parse().ok()).unwrap_or_default()
}

impl Cluster {
    fn ha_digest(&self) -> String {
        digest(&self.ha.values().map(|r| &r.props).collect::<Vec<_>>())
    }

    /// Whether a guest is under high availability (and not merely listed as ignored).
    pub(crate) fn ha_managed(&self, vmid: u32) -> bool {
        let found = self.ha.get(&format!("vm:{vmid}")).or_else(|| self.ha.get(&format!("ct:{vmid}")));
        found.is_some_and(|r| r.props.get("state").is_none_or(|s| s != "ignored"))
    }

    /// The `ha` of a guest's state.
    pub(crate) fn ha_shown(&self, vmid: u32) -> Value {
        match self.ha.get(&format!("vm:{vmid}")).or_else(|| self.ha.get(&format!("ct:{vmid}"))) {
            Some(resource) => json!({"managed": 1, "state": resource.state}),
            None => json!({"managed": 0}),
        }
    }

    /// The manager's turn: whoever has waited long enough is brought to the requested state.
    pub(crate) fn ha_acts(&mut self) {
        let due: Vec<String> = self
            .ha
            .iter()
            .filter(|(_, r)| self.now >= r.changed + REACTION_MS)
            .map(|(sid, _)| sid.clone())
            .collect();
        for sid in due {
            let vmid = vmid_of(&sid);
            let Some(resource) = self.ha.get_mut(&sid) else { continue };
            let wanted = match resource.props.get("state").map_or("started", String::as_str) {
                "enabled" => "started",
                other => other,
            }
            .to_string();
            let target = resource.move_to.take();
            let Some(guest) = self.guests.get(&vmid) else { continue };
            let (node, runs) = (guest.node.clone(), guest.run.is_some());
            if let Some(target) = target.filter(|t| self.nodes.contains_key(t)) {
                if let Some(guest) = self.guests.get_mut(&vmid) {
                    guest.node = target;
                }
                continue;
            }
            let dead_since = self.nodes.get(&node).filter(|n| n.link == Link::Off || n.link == Link::Cut);
            if let Some(since) = dead_since.map(|n| n.link_since) {
                let refuge = self.nodes.iter().find(|(_, n)| n.link == Link::Up).map(|(n, _)| n.clone());
                if let Some(refuge) = refuge.filter(|r| self.now >= since + FENCE_MS && self.quorate(r))
                    && let Some(guest) = self.guests.get_mut(&vmid)
                {
                    guest.node = refuge;
                    guest.run = None;
                }
                continue;
            }
            match wanted.as_str() {
                "started" if !runs => {
                    let _ = self.begin_running(&node, vmid);
                }
                "stopped" | "disabled" if runs => {
                    if let Some(guest) = self.guests.get_mut(&vmid) {
                        guest.run = None;
                    }
                }
                _ => {}
            }
            let runs = self.guests.get(&vmid).is_some_and(|g| g.run.is_some());
            if let Some(resource) = self.ha.get_mut(&sid) {
                resource.state = if runs { "started".into() } else { wanted };
            }
        }
    }
}

/// A start or stop of a guest under high availability: a task that only asks.
pub(crate) fn ask(call: &mut Call<'_>, kind: &str, state: &str) -> Reply {
    let vmid = call.vmid();
    let verb = kind.trim_start_matches("ha");
    let work = Ask {
        vmid,
        state: Some(state.into()),
        target: None,
        words: format!("Requesting HA {verb} for VM {vmid}"),
    };
    call.fork(kind, &vmid.to_string(), Work::AskHa(work))
}

/// A migration of such a guest.
pub(crate) fn ask_migrate(call: &mut Call<'_>, target: &str) -> Reply {
    let vmid = call.vmid();
    let words = format!("Requesting HA migration for VM {vmid} to node {target}");
    let work = Ask { vmid, state: None, target: Some(target.into()), words };
    call.fork("hamigrate", &vmid.to_string(), Work::AskHa(work))
}

/// The task that asks the manager.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Ask {
    vmid: u32,
    state: Option<String>,
    target: Option<String>,
    words: String,
}

impl Ask {
    pub(crate) fn step(&mut self, c: &mut Cluster, t: &mut Task) -> Next {
        t.say(self.words.clone());
        let now = c.now;
        if let Some(resource) = c.ha.get_mut(&format!("vm:{}", self.vmid)) {
            resource.changed = now;
            if let Some(state) = self.state.take() {
                resource.props.insert("state".into(), state);
            }
            resource.move_to = self.target.take();
        }
        Next::Done
    }
}

fn resource_row(c: &Cluster, sid: &str, resource: &HaResource) -> Value {
    let mut row = Map::from_iter([
        ("digest".to_string(), json!(c.ha_digest())),
        ("sid".to_string(), json!(sid)),
        ("type".to_string(), json!(sid.split(':').next().unwrap_or("vm"))),
    ]);
    for (key, value) in &resource.props {
        let number = matches!(key.as_str(), "max_restart" | "max_relocate" | "failback" | "auto-rebalance");
        let shown =
            if number { value.parse::<i64>().map_or(json!(value), |n| json!(n)) } else { json!(value) };
        row.insert(key.clone(), shown);
    }
    Value::Object(row)
}

/// GET /cluster/ha/resources
pub(crate) fn resources(call: &mut Call<'_>) -> Reply {
    let kind = call.p.get("type");
    let shown = call.c.ha.iter().filter(|(sid, _)| kind.is_none_or(|k| sid.starts_with(&format!("{k}:"))));
    Ok(shown.map(|(sid, r)| resource_row(call.c, sid, r)).collect::<Value>().into())
}

/// GET /cluster/ha/resources/{sid}
pub(crate) fn resource(call: &mut Call<'_>) -> Reply {
    let sid = sid_of(call.p.need("sid"));
    match call.c.ha.get(&sid) {
        Some(found) => Ok(resource_row(call.c, &sid, found).into()),
        None => Err(Fault::die(format!("no such resource '{sid}'"))),
    }
}

fn props(call: &Call<'_>) -> Conf {
    let mut props = call.p.text.clone();
    props.retain(|k, _| !matches!(k.as_str(), "sid" | "type" | "digest" | "delete" | "purge"));
    props
}

/// POST /cluster/ha/resources
pub(crate) fn add_resource(call: &mut Call<'_>) -> Reply {
    call.need_quorum()?;
    let sid = sid_of(call.p.need("sid"));
    if call.c.ha.contains_key(&sid) {
        return Err(Fault::die(format!("create resource failed: resource ID '{sid}' already defined")));
    }
    let Some(guest) = call.c.guests.get(&vmid_of(&sid)) else {
        return Err(Fault::die(format!("resource '{sid}' does not exist in cluster")));
    };
    let state = if guest.run.is_some() { "started" } else { "stopped" };
    let (props, changed) = (props(call), call.c.now);
    call.c.ha.insert(sid, HaResource { props, state: state.into(), changed, move_to: None });
    nothing()
}

/// PUT /cluster/ha/resources/{sid}
pub(crate) fn change_resource(call: &mut Call<'_>) -> Reply {
    call.need_quorum()?;
    let sid = sid_of(call.p.need("sid"));
    if call.p.get("digest").is_some_and(|d| d != call.c.ha_digest()) {
        let text = "update resources config failed: detected modified configuration - file changed by other user? \
                    Try again.";
        return Err(Fault::die(text));
    }
    let (props, deleted, now) = (props(call), call.p.items("delete"), call.c.now);
    let Some(found) = call.c.ha.get_mut(&sid) else {
        return Err(Fault::die(format!("update resources config failed: no such resource '{sid}'")));
    };
    found.props.extend(props);
    found.props.retain(|k, _| !deleted.contains(k));
    found.changed = now;
    nothing()
}

/// DELETE /cluster/ha/resources/{sid}
pub(crate) fn remove_resource(call: &mut Call<'_>) -> Reply {
    call.need_quorum()?;
    let sid = sid_of(call.p.need("sid"));
    if call.c.ha.remove(&sid).is_none() {
        return Err(Fault::die(format!(
            "delete resource failed: cannot delete service '{sid}', not HA managed!"
        )));
    }
    nothing()
}

/// GET /cluster/ha/groups
pub(crate) fn groups(_: &mut Call<'_>) -> Reply {
    Err(Fault::die("cannot index groups: ha groups have been migrated to rules"))
}

/// POST /cluster/ha/groups
pub(crate) fn add_group(_: &mut Call<'_>) -> Reply {
    Err(Fault::die("cannot create group: ha groups have been migrated to rules"))
}

/// GET /cluster/ha/rules
pub(crate) fn rules(call: &mut Call<'_>) -> Reply {
    let sum = digest(&call.c.ha_rules.values().collect::<Vec<_>>());
    let rows = call.c.ha_rules.iter().enumerate().map(|(i, (rule, props))| {
        let mut row: Map<String, Value> = props.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        row.insert("rule".into(), json!(rule));
        row.insert("order".into(), json!(i + 1));
        row.insert("digest".into(), json!(sum));
        Value::Object(row)
    });
    Ok(rows.collect::<Value>().into())
}

/// POST /cluster/ha/rules
pub(crate) fn add_rule(call: &mut Call<'_>) -> Reply {
    call.need_quorum()?;
    let mut props = call.p.text.clone();
    let rule = props.remove("rule").unwrap_or_default();
    if call.c.ha_rules.contains_key(&rule) {
        return Err(Fault::die(format!("HA rule '{rule}' already defined")));
    }
    call.c.ha_rules.insert(rule, props);
    nothing()
}

/// DELETE /cluster/ha/rules/{rule}
pub(crate) fn remove_rule(call: &mut Call<'_>) -> Reply {
    call.need_quorum()?;
    let rule = call.p.need("rule").to_string();
    call.c.ha_rules.remove(&rule);
    nothing()
}

/// GET /cluster/ha/status/current
pub(crate) fn status(call: &mut Call<'_>) -> Reply {
    let c = &*call.c;
    let quorate = c.quorate(call.via);
    let now = c.seconds();
    let master = c.nodes.keys().find(|n| c.sees(call.via, n)).cloned().unwrap_or_default();
    let words = if quorate { "OK".to_string() } else { format!("No quorum on node '{}'!", call.via) };
    let busy = |n: &str| c.ha.keys().any(|s| c.guests.get(&vmid_of(s)).is_some_and(|g| g.node == n));
    let dead = "old timestamp - dead?, watchdog standby";
    let mut rows = vec![
        json!({"id": "quorum", "node": call.via, "quorate": u8::from(quorate), "status": words, "type": "quorum"}),
    ];
    if !c.ha.is_empty() || c.name.is_some() {
        let active = if !quorate {
            "old timestamp - dead?"
        } else if c.ha.is_empty() {
            "idle"
        } else {
            "active"
        };
        rows.push(json!({
            "id": "master", "node": master, "status": format!("{master} ({active}, {now})"), "timestamp": now,
            "type": "master",
        }));
        let armed = if c.ha.is_empty() { "standby" } else { "armed" };
        let watchdog = if c.ha.is_empty() { "standby" } else { "active" };
        rows.push(json!({
            "armed-state": armed, "id": "fencing", "node": master,
            "status": format!("{armed} (CRM watchdog {watchdog})"), "type": "fencing",
        }));
        for name in c.nodes.keys() {
            let state = if !quorate || !c.sees(call.via, name) {
                dead
            } else if busy(name) {
                "active, watchdog active"
            } else {
                "idle, watchdog standby"
            };
            rows.push(json!({
                "id": format!("lrm:{name}"), "node": name, "status": format!("{name} ({state}, {now})"),
                "timestamp": now, "type": "lrm",
            }));
        }
    }
    for (sid, resource) in &c.ha {
        let node = c.guests.get(&vmid_of(sid)).map(|g| g.node.clone()).unwrap_or_default();
        let wanted = resource.props.get("state").map_or("started", String::as_str);
        let number =
            |key: &str, default: i64| resource.props.get(key).and_then(|v| v.parse().ok()).unwrap_or(default);
        let mut row = json!({
            "crm_state": resource.state, "failback": number("failback", 1), "id": format!("service:{sid}"),
            "max_relocate": number("max_relocate", 1), "max_restart": number("max_restart", 1), "node": node,
            "request_state": wanted, "sid": sid, "state": resource.state,
            "status": format!("{sid} ({node}, {})", resource.state), "type": "service",
        });
        if let Some(comment) = resource.props.get("comment") {
            row["comment"] = json!(comment);
        }
        rows.push(row);
    }
    Ok(Value::Array(rows).into())
}

/// GET /cluster/ha/status/manager_status
pub(crate) fn manager_status(call: &mut Call<'_>) -> Reply {
    let c = &*call.c;
    let now = c.seconds();
    let lrm: Map<String, Value> = c
        .nodes
        .keys()
        .map(|n| {
            (
                n.clone(),
                json!({"mode": "active", "results": {}, "state": "wait_for_agent_lock", "timestamp": now}),
            )
        })
        .collect();
    let nodes: Map<String, Value> = c
        .nodes
        .keys()
        .map(|n| (n.clone(), json!(if c.sees(call.via, n) { "online" } else { "unknown" })))
        .collect();
    let services: Map<String, Value> =
        c.ha.iter()
            .map(|(sid, r)| {
                let node = c.guests.get(&vmid_of(sid)).map(|g| g.node.clone()).unwrap_or_default();
                (sid.clone(), json!({"node": node, "state": r.state}))
            })
            .collect();
    let quorate = if c.quorate(call.via) { "1" } else { "0" };
    Ok(json!({
        "lrm_status": lrm,
        "manager_status": {
            "master_node": call.via, "node_status": nodes, "service_status": services, "timestamp": now,
        },
        "quorum": {"node": call.via, "quorate": quorate},
    })
    .into())
}
