//! Endpoints of OSDs, their flags, hosts and monitors.
//!
//! Knows nothing of pools.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    Release, render,
    reply::{MonError, Reply},
    request::Params,
    state::{self, Cluster, Osd},
};

/// A page of a list: `offset` and `limit` as asked for or by default; a negative limit is everything.
pub(super) fn page(all: Vec<Value>, params: &Params, default_limit: i64) -> (Value, usize) {
    let total = all.len();
    let offset = usize::try_from(params.integer("offset").unwrap_or(0)).unwrap_or(0);
    let limit = params.integer("limit").unwrap_or(default_limit);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    (all.into_iter().skip(offset).take(limit).collect(), total)
}

/// 18 gives ten at a time unless asked otherwise; 16 gives all.
pub(super) fn list(cluster: &Cluster, release: Release, params: &Params, now: u64) -> Reply {
    let all: Vec<Value> = cluster.osds.values().map(|o| render::osd_in_list(cluster, o, now)).collect();
    match release {
        Release::V16 => Reply::ok(Value::Array(all)),
        Release::V18 => {
            let (body, total) = page(all, params, 10);
            Reply::page(body, total)
        }
    }
}

fn known<'a>(cluster: &'a Cluster, id: &str) -> Option<&'a Osd> {
    cluster.osds.get(&id.parse().ok()?)
}

pub(super) fn get(cluster: &Cluster, release: Release, id: &str) -> Reply {
    let Some(osd) = known(cluster, id) else { return Reply::opaque() };
    Reply::ok(json!({
        "osd_map": render::osd_map_entry(osd, true), "osd_metadata": render::osd_metadata(cluster, release, osd),
        "operational_status": "unmanaged",
    }))
}

/// Only `bare` works without an orchestrator.
pub(super) fn create(cluster: &mut Cluster, params: &Params, now: u64) -> Reply {
    if params.text("method").as_deref() != Some("bare") {
        return Reply::no_orchestrator();
    }
    let data = params.get("data").cloned().unwrap_or(Value::Null);
    let Some(id) = data["svc_id"].as_u64().and_then(|n| u32::try_from(n).ok()) else {
        return Reply::opaque();
    };
    let uuid = data["uuid"].as_str().unwrap_or_default().to_owned();
    let osd = Osd {
        id,
        host: String::new(),
        up: false,
        weight: 1.0,
        class: String::new(),
        uuid: uuid.clone(),
        bytes: 0,
        used: 0,
        addr: String::new(),
        port: 0,
        flags: BTreeSet::new(),
        new: true,
        destroyed: false,
    };
    cluster.osds.entry(id).or_insert(osd);
    let value = json!({ "result": { "osdid": id }, "svc_id": id, "uuid": uuid });
    cluster.finish("osd/create", &json!({ "tracking_id": params.text("tracking_id") }), now, now, None);
    if let Some(task) = cluster.tasks.first_mut() {
        task.value = value.clone();
    }
    Reply::created(value)
}

pub(super) fn edit(cluster: &mut Cluster, id: &str, params: &Params) -> Reply {
    let Some(osd) = id.parse().ok().and_then(|id: u32| cluster.osds.get_mut(&id)) else {
        return Reply::opaque();
    };
    if let Some(class) = params.text("device_class") {
        osd.class = class;
    }
    Reply::ok(Value::Null)
}

/// 200 also for an action or an OSD that nobody knows.
pub(super) fn mark(cluster: &mut Cluster, id: &str, params: &Params) -> Reply {
    let action = params.text("action").unwrap_or_default();
    if let Some(osd) = id.parse().ok().and_then(|id: u32| cluster.osds.get_mut(&id)) {
        match action.as_str() {
            "out" => osd.weight = 0.0,
            "in" => osd.weight = 1.0,
            "lost" if !osd.up => osd.destroyed = true,
            _ => {} // also "down": its daemon runs, so it is up again before anybody looks
        }
        cluster.epoch += 1;
    }
    Reply::ok(Value::Null)
}

pub(super) fn reweight(cluster: &mut Cluster, id: &str, params: &Params) -> Reply {
    let weight = params.get("weight").and_then(Value::as_f64);
    let osd = id.parse().ok().and_then(|id: u32| cluster.osds.get_mut(&id));
    if let (Some(osd), Some(weight)) = (osd, weight) {
        osd.weight = weight.clamp(0.0, 1.0);
    }
    Reply::ok(Value::Null)
}

fn must_be_down(osd: &Osd) -> Result<(), Reply> {
    if osd.up {
        return Err(MonError::new(16, format!("osd.{} is not `down`.", osd.id)).reply());
    }
    Ok(())
}

pub(super) fn destroy(cluster: &mut Cluster, id: &str) -> Reply {
    if let Some(osd) = id.parse().ok().and_then(|id: u32| cluster.osds.get_mut(&id)) {
        if let Err(reply) = must_be_down(osd) {
            return reply;
        }
        osd.destroyed = true;
    }
    Reply::ok(Value::Null)
}

/// Once it is down, nothing asks whether its data is safe elsewhere.
pub(super) fn purge(cluster: &mut Cluster, id: &str) -> Reply {
    if let Some(osd) = known(cluster, id) {
        if let Err(reply) = must_be_down(osd) {
            return reply;
        }
        let id = osd.id;
        cluster.osds.remove(&id);
        cluster.epoch += 1;
    }
    Reply::ok(Value::Null)
}

fn all_flags(cluster: &Cluster) -> Value {
    let built_in = state::BUILT_IN_FLAGS.iter().map(ToString::to_string);
    let flags: BTreeSet<String> = built_in.chain(cluster.flags.iter().cloned()).collect();
    json!(flags)
}

pub(super) fn flags(cluster: &Cluster) -> Reply {
    Reply::ok(all_flags(cluster))
}

/// Replaces the whole list: what is added is set, what is left out is unset, one command each.
pub(super) fn set_flags(cluster: &mut Cluster, params: &Params) -> Reply {
    let Some(wanted) = params.texts("flags") else { return Reply::opaque() };
    let unknown = |flag: &str| MonError::invalid(format!("unrecognized flag '{flag}'")).reply();
    for flag in wanted.iter().filter(|f| !state::BUILT_IN_FLAGS.contains(&f.as_str())) {
        if !state::is_known_flag(flag) {
            return unknown(flag);
        }
        cluster.flags.insert(flag.clone());
    }
    if let Some(missing) = state::BUILT_IN_FLAGS.iter().find(|f| !wanted.contains(**f)) {
        return unknown(missing);
    }
    cluster.flags.retain(|f| wanted.contains(f));
    cluster.epoch += 1;
    Reply::ok(all_flags(cluster))
}

pub(super) fn individual_flags(cluster: &Cluster) -> Reply {
    let of = |osd: &Osd| json!({ "osd": osd.id, "flags": render::osd_state(osd) });
    Reply::ok(cluster.osds.values().map(of).collect())
}

pub(super) fn set_individual_flags(cluster: &mut Cluster, params: &Params) -> Reply {
    let (Some(Value::Object(flags)), Some(Value::Array(ids))) = (params.get("flags"), params.get("ids"))
    else {
        return Reply::opaque();
    };
    let chosen = |on: bool| -> BTreeSet<String> {
        flags.iter().filter(|(_, v)| v.as_bool() == Some(on)).map(|(k, _)| k.clone()).collect()
    };
    let (added, removed) = (chosen(true), chosen(false));
    for id in ids.iter().filter_map(Value::as_u64).filter_map(|id| u32::try_from(id).ok()) {
        if let Some(osd) = cluster.osds.get_mut(&id) {
            osd.flags.extend(added.iter().cloned());
            osd.flags.retain(|f| !removed.contains(f));
        }
    }
    Reply::ok(json!({ "added": added, "removed": removed, "ids": ids }))
}

pub(super) fn settings() -> Reply {
    Reply::ok(json!({ "nearfull_ratio": render::NEARFULL, "full_ratio": render::FULL }))
}

pub(super) fn safe_to_destroy(cluster: &Cluster, params: &Params) -> Reply {
    let ids = params.text("ids").unwrap_or_default();
    let ids: Vec<u32> =
        ids.trim_matches(['[', ']']).split(',').filter_map(|id| id.trim().parse().ok()).collect();
    let safe = |id: &&u32| cluster.osds.get(id).is_some_and(|o| !o.up && !o.is_in());
    let safe_ids: Vec<&u32> = ids.iter().filter(safe).collect();
    let active: Vec<&u32> = ids.iter().filter(|id| !safe_ids.contains(id)).collect();
    Reply::ok(json!({
        "safe_to_destroy": safe_ids, "active": active, "missing_stats": [], "stored_pgs": [],
        "is_safe_to_destroy": active.is_empty(),
    }))
}

/// 18 gives five at a time unless asked otherwise; 16 gives all.
pub(super) fn hosts(cluster: &Cluster, release: Release, params: &Params) -> Reply {
    let all: Vec<Value> = cluster.hosts().into_iter().map(|h| render::host(cluster, release, h)).collect();
    match release {
        Release::V16 => Reply::ok(Value::Array(all)),
        Release::V18 => {
            let (body, total) = page(all, params, 5);
            Reply::page(body, total)
        }
    }
}

pub(super) fn host(cluster: &Cluster, release: Release, name: &str) -> Reply {
    if cluster.hosts().contains(name) {
        return Reply::ok(render::host(cluster, release, name));
    }
    Reply::nothing_matches()
}
