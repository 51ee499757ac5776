//! Pools, rules, OSDs and hosts as the API shows them.
//!
//! Reads the state and changes nothing. Field names, types and odd constants are those of the real manager.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    Release, clock,
    state::{Cluster, CrushRule, Osd, Pool, PoolType},
};

pub(super) const NEARFULL: f64 = 0.949_999_988_079_071;
pub(super) const BACKFILLFULL: f64 = 0.959_999_978_542_327_9;
pub(super) const FULL: f64 = 0.970_000_028_610_229_5;

/// Bucket types of a crush map, by number.
pub(super) const CRUSH_TYPES: [&str; 12] =
    ["osd", "host", "chassis", "rack", "row", "pdu", "pod", "room", "datacenter", "zone", "region", "root"];

fn crush_type_id(name: &str) -> usize {
    CRUSH_TYPES.iter().position(|t| *t == name).unwrap_or(0)
}

/// A moment as maps have it.
pub(super) fn stamp(ms: u64) -> String {
    format!("{}+0000", clock::iso(ms))
}

#[allow(clippy::cast_precision_loss)]
pub(super) fn float(n: u64) -> f64 {
    n as f64
}

/// A pool as `/api/pool` shows it.
pub(super) fn pool(cluster: &Cluster, release: Release, pool: &Pool, stats: bool, now: u64) -> Value {
    let mut body = pool_fields(cluster, release, pool, true);
    if stats {
        body.insert("pg_status".to_owned(), json!({ "active+clean": pool.pg_num }));
        body.insert("stats".to_owned(), pool_stats(cluster, pool, now));
    }
    Value::Object(body)
}

/// A pool as the map has it: numbers for names, application metadata with its keys.
pub(super) fn pool_in_map(cluster: &Cluster, release: Release, pool: &Pool) -> Value {
    Value::Object(pool_fields(cluster, release, pool, false))
}

fn pool_fields(cluster: &Cluster, release: Release, pool: &Pool, named: bool) -> Map<String, Value> {
    let erasure = pool.kind == PoolType::Erasure;
    let kind = match (named, erasure) {
        (true, false) => json!("replicated"),
        (true, true) => json!("erasure"),
        (false, false) => json!(1),
        (false, true) => json!(3),
    };
    let rule = if named { json!(cluster.rule_name(pool.rule)) } else { json!(pool.rule) };
    let applications = if named {
        json!(pool.applications)
    } else {
        pool.applications.iter().map(|a| (a.clone(), json!({}))).collect::<Map<_, _>>().into()
    };
    let (flags, flag_names) =
        if pool.ec_overwrites { (131_073, "hashpspool,ec_overwrites") } else { (1, "hashpspool") };
    let k = cluster.profiles.get(&pool.profile).and_then(|p| p.get("k")?.parse::<u64>().ok());
    let mut body = Map::new();
    let mut put = |value: Value| {
        if let Value::Object(part) = value {
            body.extend(part);
        }
    };
    put(json!({
        "pool": pool.id, "pool_name": pool.name, "flags": flags, "flags_names": flag_names, "type": kind,
        "size": pool.size, "min_size": pool.min_size, "crush_rule": rule, "peering_crush_bucket_count": 0,
        "peering_crush_bucket_target": 0, "peering_crush_bucket_barrier": 0,
        "peering_crush_bucket_mandatory_member": 2_147_483_647, "object_hash": 2,
        "pg_autoscale_mode": pool.autoscale, "pg_num": pool.pg_num, "pg_placement_num": pool.pg_num,
        "pg_placement_num_target": pool.pg_target, "pg_num_target": pool.pg_target, "pg_num_pending": pool.pg_num,
        "last_pg_merge_meta": {
            "ready_epoch": 0, "last_epoch_started": 0, "last_epoch_clean": 0,
            "source_pgid": "0.0", "source_version": "0'0", "target_version": "0'0",
        },
        "auid": 0, "snap_mode": "selfmanaged", "snap_seq": 0, "snap_epoch": 0, "pool_snaps": [],
        "quota_max_bytes": pool.quota_bytes, "quota_max_objects": pool.quota_objects,
    }));
    put(json!({
        "tiers": [], "tier_of": -1, "read_tier": -1, "write_tier": -1, "cache_mode": "none",
        "target_max_bytes": 0, "target_max_objects": 0, "cache_target_dirty_ratio_micro": 400_000,
        "cache_target_dirty_high_ratio_micro": 600_000, "cache_target_full_ratio_micro": 800_000,
        "cache_min_flush_age": 0, "cache_min_evict_age": 0, "erasure_code_profile": pool.profile,
        "hit_set_params": { "type": "none" }, "hit_set_period": 0, "hit_set_count": 0, "use_gmt_hitset": true,
        "min_read_recency_for_promote": 0, "min_write_recency_for_promote": 0, "hit_set_grade_decay_rate": 0,
        "hit_set_search_last_n": 0, "grade_table": [], "stripe_width": k.map_or(0, |k| k * 4096),
        "expected_num_objects": 0, "fast_read": false, "options": pool.options,
        "application_metadata": applications,
    }));
    if release == Release::V18 {
        put(json!({ "read_balance": {
            "score_acting": 1.0, "score_stable": 1.0, "optimal_score": 1.0, "raw_score_acting": 1.0,
            "raw_score_stable": 1.0, "primary_affinity_weighted": 1.0, "average_primary_affinity": 1.0,
            "average_primary_affinity_weighted": 1.0,
        }}));
    }
    put(json!({
        "create_time": stamp(pool.created_ms), "last_change": pool.changed_epoch.to_string(),
        "last_force_op_resend": "0", "last_force_op_resend_prenautilus": "0",
        "last_force_op_resend_preluminous": "0", "removed_snaps": "[]",
    }));
    body
}

/// Numbers of one pool, as `df` counts them.
pub(super) fn pool_df(cluster: &Cluster, pool: &Pool) -> Map<String, Value> {
    let (stored, objects) = cluster.usage(pool);
    let overhead = cluster.overhead(pool);
    let used = super::state::scaled(stored, overhead);
    let free = super::state::scaled(cluster.capacity().2, 0.95);
    let max_avail = super::state::scaled(free, 1.0 / overhead);
    let share = if used + free == 0 { 0.0 } else { float(used) / float(used + free) };
    let stats = json!({
        "stored": stored, "stored_data": stored, "stored_omap": 0, "objects": objects, "kb_used": used / 1024,
        "bytes_used": used, "data_bytes_used": used, "omap_bytes_used": 0, "percent_used": share,
        "max_avail": max_avail, "quota_objects": pool.quota_objects, "quota_bytes": pool.quota_bytes, "dirty": 0,
        "rd": 0, "rd_bytes": 0, "wr": 0, "wr_bytes": 0, "compress_bytes_used": 0, "compress_under_bytes": 0,
        "stored_raw": used, "avail_raw": free,
    });
    match stats {
        Value::Object(stats) => stats,
        _ => Map::new(),
    }
}

fn pool_stats(cluster: &Cluster, pool: &Pool, now: u64) -> Value {
    let rates = series(now, 2);
    let stats = pool_df(cluster, pool).into_iter();
    stats
        .map(|(key, latest)| (key, json!({ "latest": latest, "rate": 0.0, "rates": rates })))
        .collect::<Map<_, _>>()
        .into()
}

/// A quiet series of measurements, five seconds apart.
fn series(now: u64, points: u64) -> Value {
    (1..=points).rev().map(|i| json!([float(now.saturating_sub(i * 5000)) / 1000.0, 0.0])).collect()
}

/// A pool's or an image's RBD settings: some of the many the real one lists, with where each value comes from.
pub(super) fn configuration(pool: &BTreeMap<String, String>, image: &BTreeMap<String, String>) -> Value {
    const DEFAULTS: [(&str, &str); 8] = [
        ("rbd_cache", "true"),
        ("rbd_cache_size", "33554432"),
        ("rbd_mirroring_replay_delay", "0"),
        ("rbd_qos_bps_limit", "0"),
        ("rbd_qos_iops_limit", "0"),
        ("rbd_qos_read_iops_limit", "0"),
        ("rbd_qos_write_iops_limit", "0"),
        ("rbd_readahead_max_bytes", "524288"),
    ];
    let mut all: BTreeMap<&str, (&str, u8)> = DEFAULTS.iter().map(|(k, v)| (*k, (*v, 0))).collect();
    all.extend(pool.iter().map(|(k, v)| (k.as_str(), (v.as_str(), 1))));
    all.extend(image.iter().map(|(k, v)| (k.as_str(), (v.as_str(), 2))));
    all.into_iter()
        .map(|(name, (value, source))| json!({ "name": name, "value": value, "source": source }))
        .collect()
}

pub(super) fn rule(release: Release, rule: &CrushRule) -> Value {
    let erasure = rule.kind == PoolType::Erasure;
    let kind = if erasure { 3 } else { 1 };
    let choose = match (erasure, rule.domain.as_str()) {
        (false, "osd") => "choose_firstn",
        (false, _) => "chooseleaf_firstn",
        (true, "osd") => "choose_indep",
        (true, _) => "chooseleaf_indep",
    };
    let steps = json!([
        { "op": "take", "item": -1, "item_name": rule.root },
        { "op": choose, "num": 0, "type": rule.domain },
        { "op": "emit" },
    ]);
    match release {
        Release::V16 => json!({
            "rule_id": rule.id, "rule_name": rule.name, "ruleset": rule.id, "type": kind, "min_size": 1,
            "max_size": 10, "steps": steps,
        }),
        Release::V18 => json!({ "rule_id": rule.id, "rule_name": rule.name, "type": kind, "steps": steps }),
    }
}

pub(super) fn osd_state(osd: &Osd) -> Vec<String> {
    let mut state = vec!["exists"];
    state.extend(osd.new.then_some("new"));
    state.extend(osd.destroyed.then_some("destroyed"));
    state.extend(osd.up.then_some("up"));
    state.into_iter().map(ToOwned::to_owned).chain(osd.flags.iter().cloned()).collect()
}

fn nonce(osd: &Osd) -> u64 {
    u64::from(osd.id) * 7919 + 3152
}

/// An OSD as the map has it; lists add the id once more.
pub(super) fn osd_map_entry(osd: &Osd, with_id: bool) -> Value {
    let addr = |offset: u32| {
        if osd.new {
            return (json!({ "addrvec": [] }), "(unrecognized address family 0)/0".to_owned());
        }
        let at = format!("{}:{}", osd.addr, osd.port + offset);
        let vec = json!({ "addrvec": [{ "type": "v2", "nonce": nonce(osd), "addr": at }] });
        (vec, format!("{at}/{}", nonce(osd)))
    };
    let (public, cluster, front, back) = (addr(0), addr(1), addr(2), addr(3));
    let epoch = if osd.new { 0 } else { u64::from(osd.id) * 4 + 5 };
    let mut body = json!({
        "osd": osd.id, "up": u8::from(osd.up), "in": u8::from(osd.is_in()), "weight": osd.weight,
        "primary_affinity": 1.0, "last_clean_begin": 0, "last_clean_end": 0, "up_from": epoch, "up_thru": 0,
        "down_at": 0, "lost_at": 0, "public_addrs": public.0, "cluster_addrs": cluster.0,
        "heartbeat_back_addrs": back.0, "heartbeat_front_addrs": front.0, "state": osd_state(osd),
        "uuid": osd.uuid, "public_addr": public.1, "cluster_addr": cluster.1, "heartbeat_back_addr": back.1,
        "heartbeat_front_addr": front.1,
    });
    if with_id {
        body["id"] = json!(osd.id);
    }
    body
}

/// Bytes used on an OSD: its own and its share of what the pools hold.
fn osd_used(cluster: &Cluster, osd: &Osd) -> u64 {
    let (total, used, _) = cluster.capacity();
    let own: u64 = cluster.osds.values().filter(|o| o.up && o.is_in()).map(|o| o.used).sum();
    if total == 0 || !osd.up || !osd.is_in() {
        return osd.used;
    }
    let share = float(osd.bytes) / float(total);
    (osd.used + super::state::scaled(used.saturating_sub(own), share)).min(osd.bytes)
}

pub(super) fn osd_in_list(cluster: &Cluster, osd: &Osd, now: u64) -> Value {
    let mut body = osd_map_entry(osd, true);
    let quiet = |points| {
        let s = series(now, points);
        json!({ "op_w": s, "op_in_bytes": s, "op_r": s, "op_out_bytes": s })
    };
    let used = osd_used(cluster, osd);
    let pgs = if osd.new { 0 } else { pgs_on(cluster, osd) };
    if !osd.new {
        let peers: Vec<u32> = cluster.osds.keys().copied().filter(|id| *id != osd.id).collect();
        let free = osd.bytes.saturating_sub(used);
        let data = used.saturating_sub(osd.used);
        body["osd_stats"] = json!({
            "osd": osd.id, "up_from": u64::from(osd.id) * 4 + 5, "seq": 21_474_836_480_u64 + now / 5000 % 100_000,
            "num_pgs": pgs, "num_osds": 1, "num_per_pool_osds": 1, "num_per_pool_omap_osds": 1,
            "kb": osd.bytes / 1024, "kb_used": used / 1024, "kb_used_data": data / 1024, "kb_used_omap": 0,
            "kb_used_meta": osd.used / 1024, "kb_avail": free / 1024,
            "statfs": {
                "total": osd.bytes, "available": free, "internally_reserved": 0, "allocated": data,
                "data_stored": data, "data_compressed": 0, "data_compressed_allocated": 0,
                "data_compressed_original": 0, "omap_allocated": 0, "internal_metadata": osd.used,
            },
            "hb_peers": peers, "snap_trim_queue_len": 0, "num_snap_trimming": 0, "num_shards_repaired": 0,
            "op_queue_age_hist": { "histogram": [], "upper_bound": 1 },
            "perf_stat": {
                "commit_latency_ms": 0.0, "apply_latency_ms": 0.0, "commit_latency_ns": 0, "apply_latency_ns": 0,
            },
            "alerts": [],
        });
        body["tree"] = osd_node(osd);
        body["host"] = host_node(cluster, &osd.host);
    }
    body["stats"] = json!({
        "op_w": 0.0, "op_in_bytes": 0.0, "op_r": 0.0, "op_out_bytes": 0.0, "numpg": pgs,
        "stat_bytes": osd.bytes, "stat_bytes_used": used,
    });
    body["stats_history"] = quiet(if osd.new { 0 } else { 3 });
    body["operational_status"] = json!("unmanaged");
    body
}

/// Placement groups per OSD, spread evenly.
pub(super) fn pgs_per_osd(cluster: &Cluster) -> f64 {
    let copies: u64 = cluster.pools.values().map(|p| u64::from(p.pg_num) * u64::from(p.size)).sum();
    let osds = cluster.osds.values().filter(|o| o.up && o.is_in()).count();
    if osds == 0 { 0.0 } else { float(copies) / float(osds as u64) }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn pgs_on(cluster: &Cluster, osd: &Osd) -> u64 {
    if osd.up && osd.is_in() { pgs_per_osd(cluster).round() as u64 } else { 0 }
}

fn osd_node(osd: &Osd) -> Value {
    json!({
        "id": osd.id, "device_class": osd.class, "type": "osd", "type_id": 0,
        "crush_weight": float(osd.bytes) / float(1 << 40), "depth": 2, "pool_weights": {}, "exists": 1,
        "status": if osd.up { "up" } else { "down" }, "reweight": osd.weight, "primary_affinity": 1.0,
        "name": format!("osd.{}", osd.id),
    })
}

/// The number of a host's bucket: negative, and leaving room for the shadow buckets of device classes.
pub(super) fn bucket_id(cluster: &Cluster, host: &str) -> i64 {
    let hosts: BTreeSet<&str> = cluster.osds.values().filter(|o| !o.new).map(|o| o.host.as_str()).collect();
    let index = hosts.iter().position(|h| *h == host).unwrap_or(0);
    -3 - 2 * i64::try_from(index).unwrap_or(0)
}

fn host_node(cluster: &Cluster, host: &str) -> Value {
    let children: Vec<u32> =
        cluster.osds.values().filter(|o| !o.new && o.host == host).map(|o| o.id).rev().collect();
    json!({
        "id": bucket_id(cluster, host), "name": host, "type": "host", "type_id": crush_type_id("host"),
        "pool_weights": {}, "children": children,
    })
}

/// The crush tree, root first.
pub(super) fn tree(cluster: &Cluster) -> Value {
    let hosts: BTreeSet<&str> = cluster.osds.values().filter(|o| !o.new).map(|o| o.host.as_str()).collect();
    let children: Vec<i64> = hosts.iter().map(|h| bucket_id(cluster, h)).collect();
    let mut nodes = vec![json!({
        "id": -1, "name": "default", "type": "root", "type_id": crush_type_id("root"), "children": children,
    })];
    for host in &hosts {
        nodes.push(host_node(cluster, host));
        nodes.extend(cluster.osds.values().filter(|o| !o.new && o.host == *host).map(osd_node));
    }
    json!({ "nodes": nodes, "stray": [] })
}

pub(super) fn osd_metadata(cluster: &Cluster, release: Release, osd: &Osd) -> Value {
    let addr = |offset: u32| format!("v2:{}:{}/{}", osd.addr, osd.port + offset, nonce(osd));
    let rotational = if osd.class == "hdd" { "1" } else { "0" };
    let size = osd.bytes.to_string();
    let created = format!("{}Z", clock::iso(cluster.created_ms));
    let mut body = json!({
        "hostname": osd.host, "arch": "x86_64", "back_addr": addr(1), "back_iface": "", "bluefs": "1",
        "bluefs_dedicated_db": "0", "bluefs_dedicated_wal": "0", "bluefs_single_shared_device": "1",
        "bluestore_bdev_access_mode": "blk", "bluestore_bdev_block_size": "4096", "bluestore_bdev_devices": "sda",
        "bluestore_bdev_driver": "KernelDevice", "bluestore_bdev_path": format!("/var/lib/ceph/osd/ceph-{}/block", osd.id),
        "bluestore_bdev_rotational": rotational, "bluestore_bdev_size": size,
        "bluestore_bdev_support_discard": "1", "bluestore_bdev_type": osd.class,
        "bluestore_min_alloc_size": "4096", "ceph_release": release.name(), "ceph_version": release.version_line(),
        "ceph_version_short": release.version(), "ceph_version_when_created": release.version_line(),
        "container_name": "", "cpu": "AMD EPYC", "created_at": created, "default_device_class": osd.class,
        "device_ids": "", "device_paths": "", "devices": "sda", "distro": "debian",
        "distro_description": "Debian GNU/Linux 12 (bookworm)", "distro_version": "12", "front_addr": addr(0),
        "front_iface": "", "hb_back_addr": addr(3), "hb_front_addr": addr(2), "journal_rotational": rotational,
    });
    let more = json!({
        "kernel_description": "#1 SMP PREEMPT_DYNAMIC", "kernel_version": "6.1.0-32-amd64", "mem_swap_kb": "0",
        "mem_total_kb": "263983104", "network_numa_unknown_ifaces": "back_iface,front_iface",
        "objectstore_numa_unknown_devices": "sda", "os": "Linux",
        "osd_data": format!("/var/lib/ceph/osd/ceph-{}", osd.id), "osd_objectstore": "bluestore",
        "osdspec_affinity": "", "rotational": rotational,
    });
    if let (Value::Object(body), Value::Object(more)) = (&mut body, more) {
        body.extend(more);
        if release == Release::V18 {
            body.insert("bluestore_allocation_from_file".to_owned(), json!("0"));
            body.insert("bluestore_bdev_optimal_io_size".to_owned(), json!("0"));
        }
    }
    body
}

pub(super) fn host(cluster: &Cluster, release: Release, name: &str) -> Value {
    let version = release.version_line();
    let service = |kind: &str, id: String| json!({ "type": kind, "id": id, "ceph_version": version });
    let managers =
        cluster.managers.iter().enumerate().filter(|(i, _)| cluster.manager_host(*i) == name).map(|(_, m)| m);
    let managers: Vec<Value> = managers.map(|m| service("mgr", m.clone())).collect();
    let mons: Vec<Value> =
        cluster.mons.iter().filter(|m| m.host == name).map(|m| service("mon", m.name.clone())).collect();
    let osds: Vec<Value> = cluster
        .osds
        .values()
        .filter(|o| !o.new && o.host == name)
        .map(|o| service("osd", o.id.to_string()))
        .collect();
    let counts = [("mgr", managers.len()), ("mon", mons.len()), ("osd", osds.len())];
    let services: Vec<Value> = managers.into_iter().chain(mons).chain(osds).collect();
    let mut body = json!({
        "hostname": name, "services": services, "ceph_version": version, "addr": "", "labels": [],
        "sources": { "ceph": true, "orchestrator": false }, "status": "",
    });
    if release == Release::V18 {
        let instances = counts.into_iter().filter(|(_, n)| *n > 0);
        body["service_instances"] = instances.map(|(t, n)| json!({ "type": t, "count": n })).collect();
    }
    body
}
