//! Clusters to start with.
//!
//! Data only; no behaviour.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{
    Preset, Release,
    reply::uuid,
    state::{Cluster, CrushRule, Image, Mon, Osd, Pool, PoolType, User},
};

const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

pub(super) fn cluster(preset: Preset, release: Release, managers: usize, now: u64) -> Cluster {
    match preset {
        Preset::Golden => golden(release, managers, now),
        Preset::Demo => demo(release, managers, now),
    }
}

fn user(password: &str, roles: &[&str], now: u64) -> User {
    User {
        name: None,
        email: None,
        password: password.to_owned(),
        roles: roles.iter().map(ToString::to_string).collect(),
        enabled: true,
        attempts: 0,
        changed_ms: now,
    }
}

fn empty(fsid: &str, managers: usize, failure_domain: &str, now: u64) -> Cluster {
    let rule = CrushRule {
        id: 0,
        name: "replicated_rule".to_owned(),
        kind: PoolType::Replicated,
        root: "default".to_owned(),
        domain: failure_domain.to_owned(),
    };
    let profile = [("k", "2"), ("m", "2"), ("plugin", "jerasure"), ("technique", "reed_sol_van")];
    Cluster {
        fsid: fsid.to_owned(),
        created_ms: now,
        epoch: 16,
        managers: MANAGER_NAMES.iter().take(managers.max(1)).map(ToString::to_string).collect(),
        active: 0,
        outage_until_ms: 0,
        mons: Vec::new(),
        osds: BTreeMap::new(),
        flags: BTreeSet::new(),
        pools: BTreeMap::new(),
        last_pool: 0,
        rules: BTreeMap::from([(0, rule)]),
        profiles: BTreeMap::from([(
            "default".to_owned(),
            profile.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        )]),
        images: Vec::new(),
        namespaces: BTreeSet::new(),
        config: BTreeMap::new(),
        conf_file: BTreeMap::new(),
        modules: BTreeMap::new(),
        users: BTreeMap::new(),
        tokens: BTreeMap::new(),
        token_secret: uuid(),
        tasks: Vec::new(),
        jobs: Vec::new(),
        health: None,
    }
}

const MANAGER_NAMES: [&str; 6] = ["x", "y", "z", "u", "v", "w"];

fn osd(id: u32, host: &str, addr: &str, port: u32, bytes: u64, class: &str) -> Osd {
    Osd {
        id,
        host: host.to_owned(),
        up: true,
        weight: 1.0,
        class: class.to_owned(),
        uuid: format!("26474ae7-18c7-4fac-a32c-{id:012x}"),
        bytes,
        used: bytes / 200,
        addr: addr.to_owned(),
        port,
        flags: BTreeSet::new(),
        new: false,
        destroyed: false,
    }
}

fn set_option(cluster: &mut Cluster, name: &str, section: &str, value: &str) {
    cluster.config.entry(name.to_owned()).or_default().insert(section.to_owned(), (value.to_owned(), 0));
}

struct NewPool<'a> {
    name: &'a str,
    size: u32,
    pg_num: u32,
    application: &'a str,
    stored: u64,
    objects: u64,
}

fn add_pool(cluster: &mut Cluster, pool: &NewPool<'_>, now: u64) -> u32 {
    cluster.last_pool += 1;
    let id = cluster.last_pool;
    let NewPool { name, size, pg_num, application, stored, objects } = *pool;
    let pool = Pool {
        id,
        name: name.to_owned(),
        kind: PoolType::Replicated,
        size,
        min_size: size - size / 2,
        rule: 0,
        profile: String::new(),
        pg_num,
        pg_target: pg_num,
        autoscale: "on".to_owned(),
        quota_bytes: 0,
        quota_objects: 0,
        applications: BTreeSet::from([application.to_owned()]),
        options: BTreeMap::new(),
        configuration: BTreeMap::new(),
        ec_overwrites: false,
        created_ms: now,
        changed_epoch: 12,
        stored,
        objects,
    };
    cluster.pools.insert(id, pool);
    id
}

/// The manager's own pool, named by release.
fn manager_pool(cluster: &mut Cluster, release: Release, size: u32, now: u64) {
    let (name, application) = match release {
        Release::V16 => ("device_health_metrics", "mgr_devicehealth"),
        Release::V18 => (".mgr", "mgr"),
    };
    let pool = NewPool { name, size, pg_num: 1, application, stored: 459_280, objects: 2 };
    let id = add_pool(cluster, &pool, now);
    if let Some(pool) = cluster.pools.get_mut(&id) {
        pool.options =
            BTreeMap::from([("pg_num_max".to_owned(), json!(32)), ("pg_num_min".to_owned(), json!(1))]);
    }
}

/// The small cluster that the recorded samples come from.
fn golden(release: Release, managers: usize, now: u64) -> Cluster {
    let mut cluster = empty("a9e94aa3-4017-473a-bcc7-99c0419a89f0", managers, "osd", now);
    cluster.mons =
        vec![Mon { name: "a".to_owned(), host: "vm".to_owned(), addr: "127.0.0.1:13300".to_owned() }];
    for id in 0..3 {
        cluster.osds.insert(id, osd(id, "vm", "127.0.0.1", 16_800 + 4 * id, 5 * GIB, "hdd"));
    }
    manager_pool(&mut cluster, release, 2, now);
    for (option, value) in [("mon_allow_pool_delete", "true"), ("osd_pool_default_size", "2")] {
        cluster.conf_file.insert(option.to_owned(), value.to_owned());
    }
    let balancer = BTreeMap::from([("active".to_owned(), json!(false))]);
    cluster.modules.insert("balancer".to_owned(), balancer);
    cluster.users.insert("admin".to_owned(), user("dev-Passw0rd-1", &["administrator"], now));
    cluster
}

/// A cluster of some size with pools of others in it.
fn demo(release: Release, managers: usize, now: u64) -> Cluster {
    let mut cluster = empty("5c3b6e52-0d4e-4a54-9f0e-0a6d1b7f2c11", managers, "host", now);
    let hosts: Vec<String> = (1..=8).map(|i| format!("ceph-{i:02}")).collect();
    for (i, host) in hosts.iter().enumerate().take(3) {
        let name = ["a", "b", "c"][i].to_owned();
        cluster.mons.push(Mon { name, host: host.clone(), addr: format!("192.0.2.{}:3300", 11 + i) });
    }
    for id in 0..24_u32 {
        let host = (id / 3) as usize;
        let addr = format!("192.0.2.{}", 11 + host);
        cluster.osds.insert(id, osd(id, &hosts[host], &addr, 6800 + 4 * (id % 3), 8534 * GIB, "ssd"));
    }
    manager_pool(&mut cluster, release, 3, now);
    let vm = NewPool { name: "ceph-vm", size: 3, pg_num: 256, application: "rbd", stored: 0, objects: 0 };
    let vm = add_pool(&mut cluster, &vm, now);
    for (name, stored, objects) in [("cephfs_metadata", 2 * GIB, 1_200), ("cephfs_data", 3 * TIB, 790_000)] {
        let pool = NewPool { name, size: 3, pg_num: 64, application: "cephfs", stored, objects };
        add_pool(&mut cluster, &pool, now);
    }
    let features = ["deep-flatten", "exclusive-lock", "fast-diff", "layering", "object-map"];
    for vmid in 9001..9013_u64 {
        cluster.images.push(Image {
            id: format!("{:012x}", 0x5e1a_0000 + vmid),
            pool: vm,
            namespace: None,
            name: format!("vm-{vmid}-disk-0"),
            size: 200 * GIB,
            order: 22,
            features: features.iter().map(ToString::to_string).collect(),
            data_pool: None,
            created_ms: now,
            used: (40 + vmid % 7 * 9) * GIB,
            parent: None,
            snapshots: BTreeMap::new(),
            configuration: BTreeMap::new(),
            metadata: BTreeMap::new(),
        });
    }
    set_option(&mut cluster, "mon_allow_pool_delete", "mon", "true");
    cluster.users.insert("admin".to_owned(), user("admin-password", &["administrator"], now));
    cluster.users.insert(
        "skyy".to_owned(),
        user("skyy-demo-password", &["read-only", "pool-manager", "block-manager", "cluster-manager"], now),
    );
    cluster
}
