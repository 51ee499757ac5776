//! Health, summary, monitors and capacity as the API shows them.
//!
//! Reads the state and changes nothing.

use serde_json::{Map, Value, json};

use super::{
    Release, render,
    render::{float, stamp},
    state::{BUILT_IN_FLAGS, Cluster, Mon, PoolType},
};

const MGR_FEATURES: u64 = 4_540_138_314_316_775_423;

fn health(cluster: &Cluster) -> Value {
    let (status, checks) = cluster.health_now();
    json!({ "status": status, "checks": checks, "mutes": [] })
}

pub(super) fn summary(cluster: &Cluster, release: Release, manager_url: &str) -> Value {
    let (executing, finished) = cluster.tasks_json(None);
    json!({
        "health_status": cluster.health_now().0, "mgr_id": cluster.managers.get(cluster.active),
        "mgr_host": manager_url, "have_mon_connection": true, "executing_tasks": executing,
        "finished_tasks": finished, "version": release.version_line(),
        "rbd_mirroring": { "warnings": 0, "errors": 0 },
    })
}

pub(super) fn capacity(cluster: &Cluster) -> Value {
    let (total, used, free) = cluster.capacity();
    json!({ "total_avail_bytes": free, "total_bytes": total, "total_used_raw_bytes": used })
}

fn pg_info(cluster: &Cluster) -> Value {
    let objects = cluster.pools.values().map(|p| (cluster.usage(p).1, u64::from(p.size)));
    let (objects, copies) = objects.fold((0, 0), |a, (n, size)| (a.0 + n, a.1 + n * size));
    let pgs: u32 = cluster.pools.values().map(|p| p.pg_num).sum();
    json!({
        "object_stats": {
            "num_objects": objects, "num_object_copies": copies, "num_objects_degraded": 0,
            "num_objects_misplaced": 0, "num_objects_unfound": 0,
        },
        "statuses": { "active+clean": pgs }, "pgs_per_osd": render::pgs_per_osd(cluster),
    })
}

fn standbys(cluster: &Cluster) -> Value {
    let others = cluster.managers.iter().enumerate().filter(|(i, _)| *i != cluster.active);
    others
        .map(|(i, name)| {
            json!({ "gid": 4100 + i, "name": name, "mgr_features": MGR_FEATURES, "available_modules": [] })
        })
        .collect()
}

fn client_perf() -> Value {
    json!({
        "read_bytes_sec": 0, "read_op_per_sec": 0, "recovering_bytes_per_sec": 0, "write_bytes_sec": 0,
        "write_op_per_sec": 0,
    })
}

fn quorum(cluster: &Cluster) -> Vec<usize> {
    (0..cluster.mons.len()).collect()
}

pub(super) fn minimal(cluster: &Cluster) -> Value {
    let osds = cluster.osds.values();
    let osds = osds
        .map(|o| json!({ "in": u8::from(o.is_in()), "up": u8::from(o.up), "state": render::osd_state(o) }));
    let empty = |n: usize| vec![json!({}); n];
    json!({
        "health": health(cluster),
        "mon_status": { "monmap": { "mons": empty(cluster.mons.len()) }, "quorum": quorum(cluster) },
        "fs_map": { "filesystems": [], "standbys": [] }, "osd_map": { "osds": osds.collect::<Vec<_>>() },
        "scrub_status": "Inactive", "pg_info": pg_info(cluster),
        "mgr_map": { "active_name": cluster.managers.get(cluster.active), "standbys": standbys(cluster) },
        "pools": empty(cluster.pools.len()), "df": { "stats": capacity(cluster) }, "client_perf": client_perf(),
        "hosts": cluster.hosts().len(), "rgw": 0, "iscsi_daemons": { "up": 0, "down": 0 },
    })
}

pub(super) fn full(cluster: &Cluster, release: Release) -> Value {
    let (total, used, free) = cluster.capacity();
    let pools: Vec<Value> =
        cluster.pools.values().map(|p| render::pool_in_map(cluster, release, p)).collect();
    let df_pools: Vec<Value> = cluster
        .pools
        .values()
        .map(|p| json!({ "name": p.name, "id": p.id, "stats": render::pool_df(cluster, p) }))
        .collect();
    let osds = cluster.osds.len();
    json!({
        "health": health(cluster), "mon_status": mon_status(cluster, release, None), "fs_map": fs_map(),
        "osd_map": osd_map(cluster, release, &pools), "scrub_status": "Inactive", "pg_info": pg_info(cluster),
        "mgr_map": {
            "epoch": 6, "active_gid": 4100 + cluster.active, "active_name": cluster.managers.get(cluster.active),
            "active_addrs": { "addrvec": [] }, "active_mgr_features": MGR_FEATURES, "available": true,
            "standbys": standbys(cluster), "modules": cluster.modules.keys().collect::<Vec<_>>(),
            "available_modules": [],
        },
        "pools": pools,
        "df": {
            "stats": {
                "total_bytes": total, "total_avail_bytes": free, "total_used_bytes": used,
                "total_used_raw_bytes": used,
                "total_used_raw_ratio": if total == 0 { 0.0 } else { float(used) / float(total) },
                "num_osds": osds, "num_per_pool_osds": osds, "num_per_pool_omap_osds": osds,
            },
            "pools": df_pools,
        },
        "client_perf": client_perf(), "hosts": cluster.hosts().len(), "rgw": 0,
        "iscsi_daemons": { "up": 0, "down": 0 },
    })
}

fn features(release: Release) -> Vec<&'static str> {
    let mut features = vec![
        "kraken",
        "luminous",
        "mimic",
        "osdmap-prune",
        "nautilus",
        "octopus",
        "pacific",
        "elector-pinging",
    ];
    if release == Release::V18 {
        features.extend(["quincy", "reef"]);
    }
    features
}

/// `now`: with the statistics of this moment.
fn mon_entry(rank: usize, mon: &Mon, now: Option<u64>) -> Value {
    let addr = format!("{}/0", mon.addr);
    let mut body = json!({
        "rank": rank, "name": mon.name,
        "public_addrs": { "addrvec": [{ "type": "v2", "addr": mon.addr, "nonce": 0 }] },
        "addr": addr, "public_addr": addr, "priority": 0, "weight": 0, "crush_location": "{}",
    });
    if let Some(now) = now {
        body["stats"] = json!({ "num_sessions": [[float(now) / 1000.0, 9]] });
    }
    body
}

fn mon_status(cluster: &Cluster, release: Release, now: Option<u64>) -> Value {
    let mons = cluster.mons.iter().enumerate();
    let mons: Vec<Value> = mons.map(|(rank, m)| mon_entry(rank, m, now)).collect();
    let created = format!("{}Z", super::clock::iso(cluster.created_ms));
    let (con, daemons) = match release {
        Release::V16 => ("4540138314316775423", "luminous"),
        Release::V18 => ("4540138322906710015", "reef"),
    };
    let group = |num: usize| json!([{ "features": "0x3f01cfbffffdffff", "release": daemons, "num": num }]);
    let mut status = json!({
        "name": cluster.mons.first().map(|m| &m.name), "rank": 0, "state": "leader", "election_epoch": 3,
        "quorum": quorum(cluster), "quorum_age": 3600,
        "features": {
            "required_con": "2449958747317026820", "required_mon": features(release), "quorum_con": con,
            "quorum_mon": features(release),
        },
        "outside_quorum": [], "extra_probe_peers": [], "sync_provider": [],
        "monmap": {
            "epoch": 1, "fsid": cluster.fsid, "modified": created, "created": created,
            "min_mon_release": release.major(), "min_mon_release_name": release.name(), "election_strategy": 1,
            "disallowed_leaders: ": "", "stretch_mode": false, "tiebreaker_mon": "", "removed_ranks: ": "",
            "features": { "persistent": features(release), "optional": [] }, "mons": mons,
        },
        "feature_map": {
            "mon": group(cluster.mons.len()), "osd": group(cluster.osds.len()), "client": group(4),
            "mgr": group(cluster.managers.len()),
        },
        "stretch_mode": false,
    });
    if release == Release::V18 {
        status["uptime"] = json!(44_263);
    }
    status
}

pub(super) fn monitors(cluster: &Cluster, release: Release, now: u64) -> Value {
    let mons = cluster.mons.iter().enumerate();
    json!({
        "mon_status": mon_status(cluster, release, Some(now)),
        "in_quorum": mons.map(|(rank, m)| mon_entry(rank, m, Some(now))).collect::<Vec<_>>(),
        "out_quorum": [],
    })
}

fn fs_map() -> Value {
    json!({
        "epoch": 1, "default_fscid": -1,
        "compat": { "compat": {}, "ro_compat": {}, "incompat": {
            "feature_1": "base v0.20", "feature_2": "client writeable ranges",
            "feature_3": "default file layouts on dirs", "feature_4": "dir inode in separate object",
            "feature_5": "mds uses versioned encoding", "feature_6": "dirfrag is stored in omap",
            "feature_8": "no anchor table", "feature_9": "file layout v2", "feature_10": "snaprealm v2",
        }},
        "feature_flags": { "enable_multiple": true, "ever_enabled_multiple": true },
        "standbys": [], "filesystems": [],
    })
}

fn osd_map(cluster: &Cluster, release: Release, pools: &[Value]) -> Value {
    let osds = cluster.osds.values();
    let mut set: Vec<String> = BUILT_IN_FLAGS.iter().map(ToString::to_string).collect();
    set.extend(cluster.flags.iter().cloned());
    set.sort();
    let created = stamp(cluster.created_ms);
    let xinfo: Vec<Value> = osds
        .clone()
        .map(|o| {
            json!({
                "osd": o.id, "laggy_probability": 0.0, "laggy_interval": 0, "features": MGR_FEATURES,
                "old_weight": 0, "dead_epoch": 0, "down_stamp": "0.000000", "last_purged_snaps_scrub": created,
            })
        })
        .collect();
    let metadata: Map<String, Value> = osds
        .clone()
        .filter(|o| !o.new)
        .map(|o| (o.id.to_string(), render::osd_metadata(cluster, release, o)))
        .collect();
    let mut map = Map::new();
    let mut put = |part: Value| {
        if let Value::Object(part) = part {
            map.extend(part);
        }
    };
    put(json!({
        "epoch": cluster.epoch, "flags": set.join(","), "flags_num": 5_799_936, "flags_set": set,
        "crush_version": 7, "full_ratio": render::FULL, "backfillfull_ratio": render::BACKFILLFULL,
        "nearfull_ratio": render::NEARFULL, "cluster_snapshot": "", "pool_max": cluster.last_pool,
        "max_osd": cluster.osds.keys().max().map_or(0, |id| id + 1), "require_min_compat_client": "luminous",
        "min_compat_client": "jewel", "require_osd_release": release.name(),
    }));
    if release == Release::V18 {
        put(json!({ "allow_crimson": false }));
    }
    put(json!({
        "pools": pools, "osds": osds.clone().map(|o| render::osd_map_entry(o, false)).collect::<Vec<_>>(),
        "osd_xinfo": xinfo, "pg_upmap": [], "pg_upmap_items": [],
    }));
    if release == Release::V18 {
        put(json!({ "pg_upmap_primaries": [] }));
    }
    put(json!({
        "primary_temp": [], "blocklist": {}, "range_blocklist": {}, "erasure_code_profiles": cluster.profiles,
        "removed_snaps_queue": [], "new_removed_snaps": [], "new_purged_snaps": [], "crush_node_flags": {},
        "device_class_flags": {},
        "stretch_mode": {
            "stretch_mode_enabled": false, "stretch_bucket_count": 0, "degraded_stretch_mode": 0,
            "recovering_stretch_mode": 0, "stretch_mode_bucket": 0,
        },
        "fsid": cluster.fsid, "created": created, "modified": created, "last_up_change": created,
        "last_in_change": created, "tree": render::tree(cluster), "crush": crush(cluster, release),
        "crush_map_text": {}, "osd_metadata": metadata,
    }));
    Value::Object(map)
}

fn crush(cluster: &Cluster, release: Release) -> Value {
    let osds = || cluster.osds.values().filter(|o| !o.new);
    let devices = osds().map(|o| json!({ "id": o.id, "name": format!("osd.{}", o.id), "class": o.class }));
    let types = render::CRUSH_TYPES.iter().enumerate();
    let weight = |bytes: u64| bytes >> 24; // 16.16 fixed point of TiB
    let bucket = |id: i64, name: &str, type_id: u32, type_name: &str, weight: u64, items: Vec<Value>| {
        json!({
            "id": id, "name": name, "type_id": type_id, "type_name": type_name, "weight": weight,
            "alg": "straw2", "hash": "rjenkins1", "items": items,
        })
    };
    let hosts: std::collections::BTreeSet<&str> = osds().map(|o| o.host.as_str()).collect();
    let of = |host: &str| osds().filter(|o| o.host == host).map(|o| o.bytes).sum::<u64>();
    let items = hosts.iter().enumerate().map(|(pos, host)| {
        json!({ "id": render::bucket_id(cluster, host), "weight": weight(of(host)), "pos": pos })
    });
    let all: u64 = osds().map(|o| o.bytes).sum();
    let mut buckets = vec![bucket(-1, "default", 11, "root", weight(all), items.collect())];
    for host in &hosts {
        let items = osds().filter(|o| o.host == *host).enumerate();
        let items =
            items.map(|(pos, o)| json!({ "id": o.id, "weight": weight(o.bytes), "pos": pos })).collect();
        buckets.push(bucket(render::bucket_id(cluster, host), host, 1, "host", weight(of(host)), items));
    }
    let rules: Vec<Value> = cluster.rules.values().map(|r| render::rule(release, r)).collect();
    let v2 = cluster.rules.values().any(|r| r.kind == PoolType::Erasure);
    json!({
        "devices": devices.collect::<Vec<_>>(),
        "types": types.map(|(id, name)| json!({ "type_id": id, "name": name })).collect::<Vec<_>>(),
        "buckets": buckets, "rules": rules,
        "tunables": {
            "choose_local_tries": 0, "choose_local_fallback_tries": 0, "choose_total_tries": 50,
            "chooseleaf_descend_once": 1, "chooseleaf_vary_r": 1, "chooseleaf_stable": 1, "straw_calc_version": 1,
            "allowed_bucket_algs": 54, "profile": "jewel", "optimal_tunables": 1, "legacy_tunables": 0,
            "minimum_required_version": "jewel", "require_feature_tunables": 1, "require_feature_tunables2": 1,
            "has_v2_rules": u8::from(v2), "require_feature_tunables3": 1, "has_v3_rules": 0, "has_v4_buckets": 1,
            "require_feature_tunables5": 1, "has_v5_rules": 0,
        },
        "choose_args": {},
    })
}
