//! Endpoints of RBD images, snapshots and namespaces.
//!
//! Sizes are promised, not used: an image takes space only where a preset or a command says so.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    Release, clock, osd, pool_job, render,
    reply::{Reply, uuid},
    request::Params,
    state::{Cluster, Image, Pool},
};

const DEFAULT_FEATURES: [&str; 5] = ["deep-flatten", "exclusive-lock", "fast-diff", "layering", "object-map"];

pub(super) fn default_features() -> Reply {
    Reply::ok(json!(DEFAULT_FEATURES))
}

/// The number a set of features is written as.
fn feature_bits(features: &BTreeSet<String>) -> u64 {
    let bit = |name: &str| match name {
        "layering" => 1,
        "striping" => 2,
        "exclusive-lock" => 4,
        "object-map" => 8,
        "fast-diff" => 16,
        "deep-flatten" => 32,
        "journaling" => 64,
        "data-pool" => 128,
        _ => 0,
    };
    features.iter().map(|f| bit(f)).sum()
}

/// A refusal of librbd or librados: errno (positive), its text, what it is about.
struct RbdError {
    errno: i32,
    text: String,
    component: &'static str,
}

impl RbdError {
    fn no_pool(name: &str) -> Self {
        let text = format!("RADOS object not found (error opening pool '{name}')");
        Self { errno: 2, text, component: "pool" }
    }

    fn detail(&self) -> String {
        format!("[errno {}] {}", self.errno, self.text)
    }

    fn reply(&self) -> Reply {
        Reply::dashboard(400, &self.detail(), &self.errno.to_string(), Some(self.component))
    }

    /// The same, out of a task.
    fn task_reply(&self, task: &str, metadata: &Value) -> Reply {
        let task = json!({ "name": task, "metadata": metadata });
        Reply::task_error(400, &self.detail(), json!(self.errno.to_string()), Some(self.component), task)
    }
}

/// `pool/image` or `pool/namespace/image`.
fn parse_spec(spec: &str) -> Option<(String, Option<String>, String)> {
    let parts: Vec<&str> = spec.split('/').collect();
    match parts.as_slice() {
        [pool, image] => Some(((*pool).to_owned(), None, (*image).to_owned())),
        [pool, ns, image] => Some(((*pool).to_owned(), Some((*ns).to_owned()), (*image).to_owned())),
        _ => None,
    }
}

fn find<'a>(cluster: &'a Cluster, spec: &str) -> Result<Option<&'a Image>, RbdError> {
    let Some((pool, namespace, name)) = parse_spec(spec) else { return Ok(None) };
    let pool = cluster.pool(&pool).ok_or_else(|| RbdError::no_pool(&pool))?;
    Ok(cluster.images.iter().find(|i| i.pool == pool.id && i.namespace == namespace && i.name == name))
}

fn find_mut<'a>(cluster: &'a mut Cluster, spec: &str) -> Option<&'a mut Image> {
    let id = find(cluster, spec).ok()??.id.clone();
    cluster.images.iter_mut().find(|i| i.id == id)
}

fn image_json(cluster: &Cluster, release: Release, pool: &Pool, image: &Image, listed: bool) -> Value {
    let mirror = if release == Release::V16 { "journal" } else { "Disabled" };
    let namespace = match (&image.namespace, listed) {
        (Some(ns), _) => json!(ns),
        (None, true) => json!(""),
        (None, false) => Value::Null,
    };
    let unique = match &image.namespace {
        Some(ns) => format!("{}/{ns}/{}", pool.name, image.id),
        None => format!("{}/{}", pool.name, image.id),
    };
    let object = 1_u64 << image.order;
    let parent = image.parent.as_ref().and_then(|(id, snap)| {
        let parent = cluster.images.iter().find(|i| i.id == *id)?;
        let pool = cluster.pools.get(&parent.pool)?;
        Some(json!({
            "pool_name": pool.name, "pool_namespace": parent.namespace.clone().unwrap_or_default(),
            "image_name": parent.name, "snap_name": snap,
        }))
    });
    let snapshots = image.snapshots.iter().enumerate().map(|(i, (name, protected))| {
        json!({
            "id": i + 1, "name": name, "size": image.size, "timestamp": when(image.created_ms),
            "is_protected": protected, "used_bytes": null, "children": children(cluster, image, name),
            "disk_usage": 0,
        })
    });
    let mut body = Map::new();
    let mut put = |part: Value| {
        if let Value::Object(part) = part {
            body.extend(part);
        }
    };
    put(json!({
        "size": image.size, "obj_size": object, "num_objs": image.size.div_ceil(object), "order": image.order,
        "block_name_prefix": format!("rbd_data.{}", image.id), "mirror_mode": mirror, "name": image.name,
    }));
    if release == Release::V18 {
        put(json!({ "primary": null }));
    }
    put(json!({
        "unique_id": unique, "id": image.id, "image_format": 2, "pool_name": pool.name, "namespace": namespace,
        "features": feature_bits(&image.features), "features_name": image.features,
        "timestamp": when(image.created_ms), "stripe_count": 1, "stripe_unit": object,
        "data_pool": image.data_pool, "parent": parent, "snapshots": snapshots.collect::<Vec<_>>(),
    }));
    // Without fast-diff nobody counts what is used.
    let used = image.features.contains("fast-diff").then_some(image.used);
    put(json!({
        "total_disk_usage": used, "disk_usage": used,
        "configuration": render::configuration(&pool.configuration, &image.configuration),
    }));
    if release == Release::V18 {
        put(json!({ "metadata": image.metadata }));
    }
    Value::Object(body)
}

fn when(ms: u64) -> String {
    let iso = clock::iso(ms);
    format!("{}Z", iso.split('.').next().unwrap_or_default())
}

fn children(cluster: &Cluster, image: &Image, snapshot: &str) -> Vec<Value> {
    let children = cluster
        .images
        .iter()
        .filter(|c| c.parent.as_ref().is_some_and(|(id, s)| *id == image.id && s == snapshot));
    children
        .filter_map(|c| {
            let pool = cluster.pools.get(&c.pool)?;
            Some(json!({
                "pool_name": pool.name, "pool_namespace": c.namespace.clone().unwrap_or_default(),
                "image_name": c.name,
            }))
        })
        .collect()
}

/// Five at a time unless asked otherwise, on both releases, grouped by pool.
pub(super) fn list(cluster: &Cluster, release: Release, params: &Params) -> Reply {
    let wanted = params.text("pool_name").filter(|p| !p.is_empty());
    if let Some(name) = &wanted
        && cluster.pool(name).is_none()
    {
        return RbdError::no_pool(name).reply();
    }
    let mut all: Vec<(&Pool, &Image)> = cluster
        .images
        .iter()
        .filter_map(|i| Some((cluster.pools.get(&i.pool)?, i)))
        .filter(|(p, _)| wanted.as_ref().is_none_or(|w| p.name == *w))
        .collect();
    all.sort_by(|a, b| (&a.0.name, &a.1.namespace, &a.1.name).cmp(&(&b.0.name, &b.1.namespace, &b.1.name)));
    let images = all.iter().map(|(p, i)| json!([p.name, image_json(cluster, release, p, i, true)])).collect();
    let (paged, total) = osd::page(images, params, 5);
    let mut groups: Vec<(String, Vec<Value>)> = Vec::new();
    for pair in paged.as_array().into_iter().flatten() {
        let (pool, image) = (pair[0].as_str().unwrap_or_default(), pair[1].clone());
        match groups.last_mut().filter(|(name, _)| name == pool) {
            Some((_, images)) => images.push(image),
            None => groups.push((pool.to_owned(), vec![image])),
        }
    }
    let body =
        groups.into_iter().map(|(pool, images)| json!({ "value": images, "pool_name": pool })).collect();
    Reply::page(body, total)
}

pub(super) fn get(cluster: &Cluster, release: Release, spec: &str) -> Reply {
    match find(cluster, spec) {
        Err(error) => error.reply(),
        Ok(None) => Reply::http_error(404, "Image not found"),
        Ok(Some(image)) => match cluster.pools.get(&image.pool) {
            Some(pool) => Reply::ok(image_json(cluster, release, pool, image, false)),
            None => Reply::opaque(),
        },
    }
}

pub(super) fn create(cluster: &mut Cluster, params: &Params, now: u64) -> Reply {
    let (Some(pool_name), Some(name), Some(size)) =
        (params.text("pool_name"), params.text("name"), params.integer("size"))
    else {
        return Reply::opaque();
    };
    let namespace = params.text("namespace").filter(|n| !n.is_empty());
    let metadata = json!({ "pool_name": pool_name, "namespace": namespace, "image_name": name });
    let refuse = |cluster: &mut Cluster, error: &RbdError| {
        cluster.finish("rbd/create", &metadata, now, now, Some(error.detail()));
        error.task_reply("rbd/create", &metadata)
    };
    let Some(pool) = cluster.pool(&pool_name).map(|p| p.id) else {
        return refuse(cluster, &RbdError::no_pool(&pool_name));
    };
    if cluster.images.iter().any(|i| i.pool == pool && i.namespace == namespace && i.name == name) {
        let text = "RBD image already exists (error creating image)".to_owned();
        return refuse(cluster, &RbdError { errno: 17, text, component: "rbd" });
    }
    let data_pool = params.text("data_pool").filter(|p| !p.is_empty());
    if let Some(data) = &data_pool
        && cluster.pool(data).is_none()
    {
        let text = "RADOS object not found (error creating image)".to_owned();
        return refuse(cluster, &RbdError { errno: 2, text, component: "rbd" });
    }
    let object = params.integer("obj_size").and_then(|n| u64::try_from(n).ok()).unwrap_or(1 << 22).max(4096);
    let mut features = params
        .texts("features")
        .unwrap_or_else(|| DEFAULT_FEATURES.iter().map(ToString::to_string).collect());
    if data_pool.is_some() {
        features.insert("data-pool".to_owned());
    }
    cluster.images.push(Image {
        id: new_id(),
        pool,
        namespace,
        name,
        size: u64::try_from(size).unwrap_or(0),
        order: object.ilog2(),
        features,
        data_pool,
        created_ms: now,
        used: 0,
        parent: None,
        snapshots: BTreeMap::new(),
        configuration: options(params, "configuration"),
        metadata: options(params, "metadata"),
    });
    cluster.finish("rbd/create", &metadata, now, now, None);
    Reply::created(Value::Null)
}

fn options(params: &Params, key: &str) -> BTreeMap<String, String> {
    match params.get(key) {
        Some(Value::Object(map)) => map.iter().map(|(k, v)| (k.clone(), pool_job::plain(v))).collect(),
        _ => BTreeMap::new(),
    }
}

pub(super) fn new_id() -> String {
    uuid().replace('-', "").chars().take(12).collect()
}

fn not_found(task: &str, spec: &str) -> Reply {
    let task = json!({ "name": task, "metadata": { "image_spec": spec } });
    Reply::task_error(404, "(404, 'Image not found')", json!(404), None, task)
}

pub(super) fn edit(cluster: &mut Cluster, spec: &str, params: &Params) -> Reply {
    let Some(image) = find_mut(cluster, spec) else { return not_found("rbd/edit", spec) };
    if let Some(size) = params.integer("size").and_then(|n| u64::try_from(n).ok()) {
        image.size = size;
    }
    if let Some(name) = params.text("name") {
        image.name = name;
    }
    if let Some(features) = params.texts("features") {
        image.features = features;
    }
    image.configuration.extend(options(params, "configuration"));
    image.metadata.extend(options(params, "metadata"));
    Reply::ok(Value::Null)
}

/// Removes the snapshots first, unless one of them still has children.
pub(super) fn delete(cluster: &mut Cluster, spec: &str, now: u64) -> Reply {
    let metadata = json!({ "image_spec": spec });
    let image = match find(cluster, spec) {
        Err(error) => return error.task_reply("rbd/delete", &metadata),
        Ok(None) => return not_found("rbd/delete", spec),
        Ok(Some(image)) => image,
    };
    let busy = image.snapshots.keys().find(|s| !children(cluster, image, s).is_empty());
    if let Some(snapshot) = busy {
        let text = format!("RBD image is busy (error unprotecting snapshot b'{}'@b'{snapshot}')", image.name);
        let error = RbdError { errno: 16, text, component: "rbd" };
        cluster.finish("rbd/delete", &metadata, now, now, Some(error.detail()));
        return error.task_reply("rbd/delete", &metadata);
    }
    let id = image.id.clone();
    cluster.images.retain(|i| i.id != id);
    cluster.finish("rbd/delete", &metadata, now, now, None);
    Reply::no_content()
}

/// Without `mirrorImageSnapshot` the real one stumbles.
pub(super) fn create_snapshot(cluster: &mut Cluster, spec: &str, params: &Params) -> Reply {
    let Some(name) = params.text("snapshot_name").filter(|_| params.get("mirrorImageSnapshot").is_some())
    else {
        return Reply::opaque();
    };
    let Some(image) = find_mut(cluster, spec) else { return not_found("rbd/snap/create", spec) };
    image.snapshots.entry(name).or_insert(false);
    Reply::created(Value::Null)
}

pub(super) fn edit_snapshot(cluster: &mut Cluster, spec: &str, snapshot: &str, params: &Params) -> Reply {
    let Some(image) = find_mut(cluster, spec) else { return not_found("rbd/snap/edit", spec) };
    if let (Some(flag), Some(protected)) = (params.flag("is_protected"), image.snapshots.get_mut(snapshot)) {
        *protected = flag;
    }
    if let Some(name) = params.text("new_snap_name")
        && let Some(protected) = image.snapshots.remove(snapshot)
    {
        image.snapshots.insert(name, protected);
    }
    Reply::ok(Value::Null)
}

pub(super) fn delete_snapshot(cluster: &mut Cluster, spec: &str, snapshot: &str) -> Reply {
    let Some(image) = find_mut(cluster, spec) else { return not_found("rbd/snap/delete", spec) };
    if image.snapshots.get(snapshot) == Some(&true) {
        let metadata = json!({ "image_spec": spec, "snapshot_name": snapshot });
        let text = "RBD image is busy (error removing protected snapshot)".to_owned();
        return RbdError { errno: 16, text, component: "rbd" }.task_reply("rbd/snap/delete", &metadata);
    }
    image.snapshots.remove(snapshot);
    Reply::no_content()
}

pub(super) fn clone(cluster: &mut Cluster, spec: &str, snapshot: &str, params: &Params, now: u64) -> Reply {
    let (Some(pool), Some(name)) = (params.text("child_pool_name"), params.text("child_image_name")) else {
        return Reply::opaque();
    };
    let Some(pool) = cluster.pool(&pool).map(|p| p.id) else { return RbdError::no_pool(&pool).reply() };
    let parent = match find(cluster, spec) {
        Ok(Some(parent)) if parent.snapshots.contains_key(snapshot) => parent.clone(),
        _ => return not_found("rbd/clone", spec),
    };
    cluster.images.push(Image {
        id: new_id(),
        pool,
        namespace: params.text("child_namespace"),
        name,
        created_ms: now,
        used: 0,
        parent: Some((parent.id.clone(), snapshot.to_owned())),
        snapshots: BTreeMap::new(),
        ..parent
    });
    Reply::ok(Value::Null)
}

pub(super) fn flatten(cluster: &mut Cluster, spec: &str) -> Reply {
    let Some(image) = find_mut(cluster, spec) else { return not_found("rbd/flatten", spec) };
    image.parent = None;
    Reply::ok(Value::Null)
}

pub(super) fn namespaces(cluster: &Cluster, pool: &str) -> Reply {
    let Some(pool) = cluster.pool(pool) else { return RbdError::no_pool(pool).reply() };
    let of_pool = cluster.namespaces.iter().filter(|(id, _)| *id == pool.id);
    let list = of_pool.map(|(_, name)| {
        let images =
            cluster.images.iter().filter(|i| i.pool == pool.id && i.namespace.as_ref() == Some(name));
        json!({ "namespace": name, "num_images": images.count() })
    });
    Reply::ok(list.collect())
}

pub(super) fn create_namespace(cluster: &mut Cluster, pool: &str, params: &Params) -> Reply {
    let Some(name) = params.text("namespace") else { return Reply::opaque() };
    let Some(id) = cluster.pool(pool).map(|p| p.id) else { return RbdError::no_pool(pool).reply() };
    if !cluster.namespaces.insert((id, name)) {
        return Reply::dashboard(400, "Namespace already exists", "namespace_already_exists", Some("rbd"));
    }
    Reply::created(Value::Null)
}

pub(super) fn delete_namespace(cluster: &mut Cluster, pool: &str, name: &str) -> Reply {
    let Some(id) = cluster.pool(pool).map(|p| p.id) else { return RbdError::no_pool(pool).reply() };
    if cluster.images.iter().any(|i| i.pool == id && i.namespace.as_deref() == Some(name)) {
        let detail = "Namespace contains images which must be deleted first";
        return Reply::dashboard(400, detail, "namespace_contains_images", Some("rbd"));
    }
    cluster.namespaces.remove(&(id, name.to_owned()));
    Reply::no_content()
}
