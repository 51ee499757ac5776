//! Endpoints of the cluster's configuration and of the manager's modules.
//!
//! Knows a few of the real one's thousands of options: those an operator of pools meets.

use serde_json::{Map, Value, json};

use super::{Release, pool_job, reply::Reply, request::Params, state::Cluster};

/// An option: name, type, level, what it is, default, services, related options, changeable at run time.
type Known = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    bool,
);

#[rustfmt::skip]
const OPTIONS: [Known; 10] = [
    ("mon_allow_pool_delete", "bool", "advanced", "whether pools may be deleted", "false", &["mon"], &[], true),
    ("mon_data", "str", "advanced", "where a monitor keeps its data", "/var/lib/ceph/mon/$cluster-$id", &["mon"], &[], false),
    ("mon_max_pg_per_osd", "uint", "advanced", "placement groups an OSD may have before pools are refused", "250", &["mgr"], &[], true),
    ("osd_max_backfills", "uint", "advanced", "backfills an OSD takes part in at once", "1", &["osd"], &["osd_mclock_override_recovery_settings"], true),
    ("osd_memory_target", "size", "basic", "memory an OSD tries to stay within", "4294967296", &[], &["osd_memory_target_autotune"], true),
    ("osd_pool_default_min_size", "uint", "advanced", "copies a new pool needs to serve writes, 0 for half of its size", "0", &["mon"], &["osd_pool_default_size"], true),
    ("osd_pool_default_pg_autoscale_mode", "str", "advanced", "autoscale mode of new pools", "on", &["mon"], &[], true),
    ("osd_pool_default_pg_num", "uint", "advanced", "placement groups of a new pool", "32", &["mon"], &[], true),
    ("osd_pool_default_size", "uint", "advanced", "copies of an object in new replicated pools", "3", &["mon"], &[], true),
    ("osd_recovery_max_active", "uint", "advanced", "recovery operations of an OSD at once", "0", &["osd"], &[], true),
];

fn known(name: &str) -> Option<&'static Known> {
    OPTIONS.iter().find(|o| o.0 == name)
}

/// As the value's type has it; sizes stay text.
fn typed(kind: &str, text: &str) -> Value {
    match kind {
        "bool" => json!(text == "true"),
        "uint" => text.parse::<u64>().map_or_else(|_| json!(text), |n| json!(n)),
        _ => json!(text),
    }
}

fn option_json(cluster: &Cluster, release: Release, option: &Known, now: u64) -> Value {
    let (name, kind, level, description, default, services, related, runtime) = option;
    let flags: Vec<&str> = vec![if *runtime { "runtime" } else { "startup" }];
    let mut body = json!({
        "name": name, "type": kind, "level": level, "desc": description, "long_desc": "",
        "default": typed(kind, default), "daemon_default": "", "tags": [], "services": services,
        "see_also": related, "min": "", "max": "", "can_update_at_runtime": runtime, "flags": flags,
    });
    if *kind == "str" {
        let modes: &[&str] = if name.ends_with("_autoscale_mode") { &["off", "warn", "on"] } else { &[] };
        body["enum_values"] = json!(modes);
    }
    // 18 shows a value only a moment after it was set.
    let lag = if release == Release::V18 { 1000 } else { 0 };
    let set = cluster.config.get(*name).into_iter().flatten();
    let set: Vec<Value> = set
        .filter(|(_, (_, since))| since.saturating_add(lag) <= now)
        .map(|(section, (value, _))| json!({ "section": section, "value": value }))
        .collect();
    if !set.is_empty() {
        body["value"] = Value::Array(set);
        body["source"] = json!("mon");
    }
    body
}

pub(super) fn list(cluster: &Cluster, release: Release, now: u64) -> Reply {
    Reply::ok(OPTIONS.iter().map(|o| option_json(cluster, release, o, now)).collect())
}

pub(super) fn filter(cluster: &Cluster, release: Release, params: &Params, now: u64) -> Reply {
    let names = params.text("names").unwrap_or_default();
    let found: Vec<Value> =
        names.split(',').filter_map(known).map(|o| option_json(cluster, release, o, now)).collect();
    if found.is_empty() {
        return Reply::http_error(404, &format!("Config options `{names}` not found"));
    }
    Reply::ok(Value::Array(found))
}

pub(super) fn get(cluster: &Cluster, release: Release, name: &str, now: u64) -> Reply {
    match known(name) {
        Some(option) => Reply::ok(option_json(cluster, release, option, now)),
        None => Reply::nothing_matches(),
    }
}

fn may_set(name: &str) -> Result<(), Reply> {
    let option = known(name).ok_or_else(Reply::nothing_matches)?;
    if option.7 {
        return Ok(());
    }
    let detail = format!("Config option {name} is/are not updatable at runtime");
    let code = "config_option_not_updatable_at_runtime";
    Err(Reply::dashboard(400, &detail, code, Some("cluster_configuration")))
}

fn store(cluster: &mut Cluster, name: &str, section: &str, value: &Value, now: u64) {
    let sections = cluster.config.entry(name.to_owned()).or_default();
    sections.insert(section.to_owned(), (pool_job::plain(value), now));
}

pub(super) fn set(cluster: &mut Cluster, params: &Params, now: u64) -> Reply {
    let (Some(name), Some(Value::Array(values))) = (params.text("name"), params.get("value")) else {
        return Reply::opaque();
    };
    if let Err(reply) = may_set(&name) {
        return reply;
    }
    for entry in values {
        if let Some(section) = entry["section"].as_str() {
            store(cluster, &name, section, &entry["value"], now);
        }
    }
    Reply::created(Value::Null)
}

pub(super) fn set_many(cluster: &mut Cluster, params: &Params, now: u64) -> Reply {
    let Some(Value::Object(options)) = params.get("options") else { return Reply::opaque() };
    for name in options.keys() {
        if let Err(reply) = may_set(name) {
            return reply;
        }
    }
    for (name, entry) in options {
        if let Some(section) = entry["section"].as_str() {
            store(cluster, name, section, &entry["value"], now);
        }
    }
    Reply::ok(Value::Null)
}

pub(super) fn unset(cluster: &mut Cluster, name: &str, params: &Params) -> Reply {
    if let (Some(section), Some(sections)) = (params.text("section"), cluster.config.get_mut(name)) {
        sections.remove(&section);
    }
    Reply::no_content()
}

/// Modules: name, enabled, cannot be disabled.
const MODULES: [(&str, bool, bool); 12] = [
    ("alerts", false, false),
    ("balancer", true, true),
    ("crash", true, true),
    ("dashboard", true, false),
    ("devicehealth", true, true),
    ("iostat", false, false),
    ("orchestrator", true, true),
    ("pg_autoscaler", true, true),
    ("progress", true, true),
    ("prometheus", false, false),
    ("rbd_support", true, true),
    ("status", true, true),
];

/// An option of a module: its name, type, default, least and greatest value, allowed values.
struct ModuleOption(&'static str, &'static str, Value, Value, Value, &'static [&'static str]);

/// What the balancer can be told.
#[rustfmt::skip]
fn balancer_options(release: Release) -> Vec<ModuleOption> {
    const LEVELS: &[&str] = &["", "critical", "debug", "error", "info", "warning"];
    let any = |name, kind, default| ModuleOption(name, kind, default, json!(""), json!(""), &[]);
    let between = |name, kind, default, min, max| ModuleOption(name, kind, default, min, max, &[]);
    let one_of = |name, default: &str, allowed| ModuleOption(name, "str", json!(default), json!(""), json!(""), allowed);
    let mut options = vec![
        any("active", "bool", json!(true)),
        any("begin_time", "str", json!("0000")),
        between("begin_weekday", "uint", json!(0), json!(0), json!(6)),
        between("crush_compat_max_iterations", "uint", json!(25), json!(1), json!(250)),
        any("crush_compat_metrics", "str", json!("pgs,objects,bytes")),
        between("crush_compat_step", "float", json!(0.5), json!(0.001), json!(0.999)),
        any("end_time", "str", json!("2359")),
        between("end_weekday", "uint", json!(0), json!(0), json!(6)),
        one_of("log_level", "", LEVELS),
        any("log_to_cluster", "bool", json!(false)),
        one_of("log_to_cluster_level", "info", LEVELS),
        any("log_to_file", "bool", json!(false)),
        any("min_score", "float", json!(0.0)),
        one_of("mode", "upmap", &["crush-compat", "none", "upmap"]),
        any("pool_ids", "str", json!("")),
        any("sleep_interval", "secs", json!(60)),
    ];
    if release == Release::V18 {
        options.push(any("sqlite3_killpoint", "int", json!(0)));
    }
    options.push(between("upmap_max_deviation", "int", json!(5), json!(1), json!("")));
    options.push(any("upmap_max_optimizations", "uint", json!(10)));
    options
}

fn module_options(release: Release, name: &str) -> Vec<ModuleOption> {
    if name == "balancer" { balancer_options(release) } else { Vec::new() }
}

fn option_descriptions(release: Release, name: &str) -> Value {
    let describe = |ModuleOption(option, kind, default, min, max, allowed)| {
        let text = json!({
            "name": option, "type": kind, "level": "advanced", "flags": 1, "default_value": default, "min": min,
            "max": max, "enum_allowed": allowed, "desc": "", "long_desc": "", "tags": [], "see_also": [],
        });
        (option.to_owned(), text)
    };
    module_options(release, name).into_iter().map(describe).collect::<Map<_, _>>().into()
}

pub(super) fn modules(release: Release) -> Reply {
    let module = |(name, enabled, always_on): &(&str, bool, bool)| {
        json!({
            "name": name, "enabled": enabled, "always_on": always_on,
            "options": option_descriptions(release, name),
        })
    };
    Reply::ok(MODULES.iter().map(module).collect())
}

pub(super) fn module(cluster: &Cluster, release: Release, name: &str) -> Reply {
    if !MODULES.iter().any(|m| m.0 == name) {
        return Reply::opaque();
    }
    let set = cluster.modules.get(name);
    let options = module_options(release, name).into_iter().map(|ModuleOption(option, _, default, ..)| {
        let value = set.and_then(|s| s.get(option).cloned()).unwrap_or(default);
        (option.to_owned(), value)
    });
    Reply::ok(options.collect::<Map<_, _>>().into())
}

pub(super) fn module_option_list(release: Release, name: &str) -> Reply {
    if MODULES.iter().any(|m| m.0 == name) {
        return Reply::ok(option_descriptions(release, name));
    }
    Reply::opaque()
}

pub(super) fn set_module(cluster: &mut Cluster, name: &str, params: &Params) -> Reply {
    let Some(Value::Object(config)) = params.get("config") else { return Reply::opaque() };
    let options = cluster.modules.entry(name.to_owned()).or_default();
    options.extend(config.iter().map(|(k, v)| (k.clone(), v.clone())));
    Reply::ok(Value::Null)
}
