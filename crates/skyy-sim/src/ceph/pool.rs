//! Endpoints of pools, crush rules and erasure code profiles.
//!
//! Decides what is answered at once and what becomes a task; the changes themselves are in `pool_job`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    Release, Timing, clock, pool_job,
    pool_job::{Job, QuotaField, Step},
    render,
    reply::{MonError, Reply},
    request::Params,
    state::{Cluster, CrushRule, Pool, PoolType},
};

fn attrs(params: &Params) -> Option<Vec<String>> {
    let text = params.text("attrs").filter(|a| !a.is_empty())?;
    Some(text.split(',').map(ToOwned::to_owned).collect())
}

/// The wanted attributes; the name always comes along.
fn pick(full: Value, attrs: Option<&[String]>) -> Value {
    let (Some(attrs), Value::Object(mut full)) = (attrs, full.clone()) else { return full };
    let mut picked = Map::new();
    for attr in attrs.iter().map(String::as_str).chain(["pool_name"]) {
        if let Some(value) = full.remove(attr) {
            picked.insert(attr.to_owned(), value);
        }
    }
    Value::Object(picked)
}

fn json_of(cluster: &Cluster, release: Release, pool: &Pool, params: &Params, now: u64) -> Value {
    let stats = params.flag("stats").unwrap_or(false);
    pick(render::pool(cluster, release, pool, stats, now), attrs(params).as_deref())
}

pub(super) fn list(cluster: &Cluster, release: Release, params: &Params, now: u64) -> Reply {
    Reply::ok(cluster.pools.values().map(|p| json_of(cluster, release, p, params, now)).collect())
}

pub(super) fn get(cluster: &Cluster, release: Release, name: &str, params: &Params, now: u64) -> Reply {
    let Some(pool) = cluster.pool(name) else { return Reply::no_such("pool") };
    let mut body = json_of(cluster, release, pool, params, now);
    if let Value::Object(body) = &mut body {
        body.insert("configuration".to_owned(), render::configuration(&pool.configuration, &BTreeMap::new()));
    }
    Reply::ok(body)
}

pub(super) fn configuration(cluster: &Cluster, name: &str) -> Reply {
    match cluster.pool(name) {
        Some(pool) => Reply::ok(render::configuration(&pool.configuration, &BTreeMap::new())),
        None => Reply::opaque(),
    }
}

/// Parameters that are no variables of the pool.
const HANDLED: [&str; 10] = [
    "pool",
    "pool_type",
    "erasure_code_profile",
    "rule_name",
    "flags",
    "application_metadata",
    "quota_max_objects",
    "quota_max_bytes",
    "configuration",
    "stats",
];

/// What both creating and editing set, in the dashboard's order.
fn value_steps(name: &str, params: &Params, before: &BTreeSet<String>, disable: bool) -> Vec<Step> {
    let pool = || name.to_owned();
    let mut steps = Vec::new();
    if params.texts("flags").is_some_and(|f| f.contains("ec_overwrites")) {
        steps.push(Step::Set {
            pool: pool(),
            variable: "allow_ec_overwrites".to_owned(),
            value: json!("true"),
        });
    }
    if let Some(wanted) = params.texts("application_metadata") {
        if disable {
            let gone = before.difference(&wanted);
            steps.extend(gone.map(|a| Step::DisableApplication { pool: pool(), application: a.clone() }));
        }
        let new = wanted.difference(before);
        steps.extend(new.map(|a| Step::EnableApplication { pool: pool(), application: a.clone() }));
    }
    for (key, field) in [("quota_max_objects", QuotaField::Objects), ("quota_max_bytes", QuotaField::Bytes)] {
        if let Some(value) = params.get(key) {
            steps.push(Step::Quota { pool: pool(), field, value: value.clone() });
        }
    }
    let created_with_pg_num = !disable;
    for (key, value) in &params.0 {
        if HANDLED.contains(&key.as_str()) || created_with_pg_num && key == "pg_num" {
            continue;
        }
        steps.push(Step::Set { pool: pool(), variable: key.clone(), value: value.clone() });
    }
    if let Some(Value::Object(options)) = params.get("configuration") {
        for (option, value) in options {
            let value = (!value.is_null()).then(|| pool_job::plain(value));
            steps.push(Step::Configure { pool: pool(), option: option.clone(), value });
        }
    }
    steps
}

pub(super) fn create(
    cluster: &mut Cluster,
    release: Release,
    params: &Params,
    now: u64,
    timing: &Timing,
) -> Reply {
    let name = params.text("pool");
    let (Some(name), Some(kind), Some(pg_num)) = (name, params.text("pool_type"), params.integer("pg_num"))
    else {
        return Reply::opaque();
    };
    let metadata = json!({ "pool_name": name });
    if is_running(cluster, "pool/create", &metadata) {
        return Reply::accepted("pool/create", &metadata);
    }
    let refuse = |cluster: &mut Cluster, error: MonError| {
        cluster.finish("pool/create", &json!({ "pool_name": name }), now, now, Some(error.detail()));
        error.reply_as("pool")
    };
    let kind = match kind.as_str() {
        "replicated" => PoolType::Replicated,
        "erasure" => PoolType::Erasure,
        other => return refuse(cluster, MonError::invalid(format!("unknown pool type '{other}'"))),
    };
    let pg_num = u32::try_from(pg_num).unwrap_or(u32::MAX);
    let (rule, profile) = (params.text("rule_name"), params.text("erasure_code_profile"));
    if let Some(existing) = cluster.pool(&name) {
        // It exists, so creating it succeeds, and whatever else was asked is set on it.
        let steps = value_steps(&name, params, &existing.applications.clone(), false);
        return match cluster.run_now(&steps, release, now) {
            Ok(()) => {
                cluster.finish("pool/create", &metadata, now, now, None);
                Reply::created(Value::Null)
            }
            Err(error) => refuse(cluster, error),
        };
    }
    if let Err(error) =
        pool_job::check_create(cluster, &name, kind, pg_num, rule.as_deref(), profile.as_deref())
    {
        return refuse(cluster, error);
    }
    // Nothing at first, then a bare pool, then all that was asked for.
    let bare_at = now + clock::millis(timing.create) / 2;
    let done_at = now + clock::millis(timing.create);
    let pool = name.clone();
    let mut steps = vec![(bare_at, Step::Create { pool, kind, pg_num, rule, profile })];
    steps.extend(value_steps(&name, params, &BTreeSet::new(), false).into_iter().map(|s| (done_at, s)));
    steps.push((done_at, Step::Settled { pool: name }));
    let reply = Reply::accepted("pool/create", &metadata);
    cluster.jobs.push(Job { name: "pool/create".to_owned(), metadata, begin_ms: now, steps });
    reply
}

pub(super) fn edit(
    cluster: &mut Cluster,
    release: Release,
    name: &str,
    params: &Params,
    now: u64,
    timing: &Timing,
) -> Reply {
    let Some(pool) = cluster.pool(name) else { return Reply::no_such("pool") };
    let metadata = json!({ "pool_name": name });
    if is_running(cluster, "pool/edit", &metadata) {
        // Same name, same metadata: the running task answers for this request, and what it asked for is lost.
        return Reply::accepted("pool/edit", &metadata);
    }
    let moves_pgs = params.get("pg_num").is_some_and(|n| pool_job::plain(n) != pool.pg_num.to_string());
    let mut steps = value_steps(name, params, &pool.applications.clone(), true);
    let renamed = params.text("pool").filter(|to| to != name);
    if let Some(to) = &renamed {
        steps.push(Step::Rename { pool: name.to_owned(), to: to.clone() });
    }
    let commands_ms = clock::millis(timing.command).saturating_mul(steps.len() as u64);
    if commands_ms > clock::millis(timing.answer) {
        let done = |i: usize| now + clock::millis(timing.command).saturating_mul(i as u64 + 1);
        let steps = steps.into_iter().enumerate().map(|(i, s)| (done(i), s)).collect();
        return start_edit(cluster, metadata, now, steps);
    }
    if let Err(error) = cluster.run_now(&steps, release, now) {
        cluster.finish("pool/edit", &metadata, now, now, Some(error.detail()));
        return error.reply();
    }
    if moves_pgs {
        let settled = Step::Settled { pool: renamed.unwrap_or_else(|| name.to_owned()) };
        return start_edit(cluster, metadata, now, vec![(now + clock::millis(timing.pg_change), settled)]);
    }
    cluster.finish("pool/edit", &metadata, now, now, None);
    Reply::ok(Value::Null)
}

fn start_edit(cluster: &mut Cluster, metadata: Value, now: u64, steps: Vec<(u64, Step)>) -> Reply {
    let reply = Reply::accepted("pool/edit", &metadata);
    cluster.jobs.push(Job { name: "pool/edit".to_owned(), metadata, begin_ms: now, steps });
    reply
}

fn is_running(cluster: &Cluster, name: &str, metadata: &Value) -> bool {
    cluster.jobs.iter().any(|j| j.name == name && j.metadata == *metadata)
}

/// Also of a pool that is not there. Images in it go with it: nothing asks whether it is empty.
pub(super) fn delete(cluster: &mut Cluster, name: &str, now: u64) -> Reply {
    let metadata = json!({ "pool_name": name });
    if let Some(id) = cluster.pool(name).map(|p| p.id) {
        if !cluster.may_delete_pools() {
            let error = MonError::new(
                1,
                "pool deletion is disabled; you must first set the mon_allow_pool_delete config option to true before you can destroy a pool",
            );
            cluster.finish("pool/delete", &metadata, now, now, Some(error.detail()));
            return error.reply_as("pool");
        }
        cluster.pools.remove(&id);
        cluster.images.retain(|i| i.pool != id);
        cluster.namespaces.retain(|(pool, _)| *pool != id);
        cluster.epoch += 1;
    }
    cluster.finish("pool/delete", &metadata, now, now, None);
    Reply::no_content()
}

pub(super) fn rules(cluster: &Cluster, release: Release) -> Reply {
    Reply::ok(cluster.rules.values().map(|r| render::rule(release, r)).collect())
}

pub(super) fn rule(cluster: &Cluster, release: Release, name: &str) -> Reply {
    match cluster.rule(name) {
        Some(rule) => Reply::ok(render::rule(release, rule)),
        None => Reply::no_such("crush rule"),
    }
}

/// Again with the same name: it exists, so all is well.
pub(super) fn create_rule(cluster: &mut Cluster, params: &Params) -> Reply {
    let text = |key| params.text(key);
    let (Some(name), Some(root), Some(domain)) = (text("name"), text("root"), text("failure_domain")) else {
        return Reply::opaque();
    };
    if root != "default" {
        return MonError::new(2, format!("root item {root} does not exist")).reply();
    }
    if !render::CRUSH_TYPES.contains(&domain.as_str()) {
        return MonError::invalid(format!("unknown type {domain}")).reply();
    }
    if let Some(class) = params.text("device_class")
        && !cluster.osds.values().any(|o| o.class == class)
    {
        return MonError::invalid(format!("device class {class} does not exist")).reply();
    }
    if cluster.rule(&name).is_none() {
        let id = cluster.rules.keys().max().map_or(0, |id| id + 1);
        cluster.rules.insert(id, CrushRule { id, name, kind: PoolType::Replicated, root, domain });
        cluster.epoch += 1;
    }
    Reply::created(Value::Null)
}

pub(super) fn delete_rule(cluster: &mut Cluster, name: &str) -> Reply {
    if let Some(id) = cluster.rule(name).map(|r| r.id) {
        if cluster.pools.values().any(|p| p.rule == id) {
            return MonError::new(16, format!("crush ruleset {name} {id} is in use")).reply();
        }
        cluster.rules.remove(&id);
        cluster.epoch += 1;
    }
    Reply::no_content()
}

fn profile_json(name: &str, profile: &BTreeMap<String, String>) -> Value {
    let value = |key: &str, v: &String| match key {
        "k" | "m" => v.parse::<i64>().map_or(json!(v), |n| json!(n)),
        _ => json!(v),
    };
    let mut body: Map<String, Value> = profile.iter().map(|(k, v)| (k.clone(), value(k, v))).collect();
    body.insert("name".to_owned(), json!(name));
    Value::Object(body)
}

pub(super) fn profiles(cluster: &Cluster) -> Reply {
    Reply::ok(cluster.profiles.iter().map(|(n, p)| profile_json(n, p)).collect())
}

pub(super) fn profile(cluster: &Cluster, name: &str) -> Reply {
    match cluster.profiles.get(name) {
        Some(profile) => Reply::ok(profile_json(name, profile)),
        None => Reply::no_such("erasure code profile"),
    }
}

pub(super) fn create_profile(cluster: &mut Cluster, params: &Params) -> Reply {
    let Some(name) = params.text("name") else { return Reply::opaque() };
    let mut profile: BTreeMap<String, String> = [
        ("crush-device-class", ""),
        ("crush-failure-domain", "host"),
        ("crush-root", "default"),
        ("jerasure-per-chunk-alignment", "false"),
        ("k", "2"),
        ("m", "2"),
        ("plugin", "jerasure"),
        ("technique", "reed_sol_van"),
        ("w", "8"),
    ]
    .map(|(k, v)| (k.to_owned(), v.to_owned()))
    .into();
    for (key, value) in params.0.iter().filter(|(key, _)| *key != "name") {
        profile.insert(key.clone(), pool_job::plain(value));
    }
    let plugin = profile.get("plugin").cloned().unwrap_or_default();
    if !["jerasure", "isa", "clay", "lrc", "shec"].contains(&plugin.as_str()) {
        return MonError::new(5, format!("load dlopen(libec_{plugin}.so): No such file or directory"))
            .reply();
    }
    match cluster.profiles.get(&name) {
        Some(existing) if *existing != profile => {
            let text = format!(
                "will not override erasure code profile {name} because the existing profile {} is different from the proposed profile {}",
                one_line(existing),
                one_line(&profile)
            );
            MonError::new(1, text).reply()
        }
        _ => {
            cluster.profiles.insert(name, profile);
            Reply::created(Value::Null)
        }
    }
}

fn one_line(profile: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = profile.iter().map(|(k, v)| format!("{k}={v}")).collect();
    format!("{{{}}}", pairs.join(","))
}

pub(super) fn delete_profile(cluster: &mut Cluster, name: &str) -> Reply {
    let users: Vec<&str> =
        cluster.pools.values().filter(|p| p.profile == name).map(|p| p.name.as_str()).collect();
    if !users.is_empty() {
        let text = format!("{} pool(s) are using the erasure code profile '{name}'", users.join(","));
        return MonError::new(16, text).reply();
    }
    cluster.profiles.remove(name);
    Reply::no_content()
}
