//! Pools of guests and storages.

use serde_json::{Map, Value, json};

use super::answer::{Fault, Reply, nothing};
use super::call::Call;
use super::cluster::{guest_rows, storage_rows};
use super::state::Pool;

fn shown(call: &Call<'_>, name: &str, pool: &Pool, members: bool) -> Map<String, Value> {
    let mut row = Map::from_iter([("poolid".to_string(), json!(name))]);
    if let Some(comment) = &pool.comment {
        row.insert("comment".into(), json!(comment));
    }
    if members {
        let kind = call.p.get("type");
        let mut rows = guest_rows(call, Some(name));
        rows.extend(storage_rows(call, Some(name)));
        rows.retain(|r| kind.is_none_or(|k| r["type"] == k));
        row.insert("members".into(), Value::Array(rows));
    }
    row
}

fn missing(name: &str, doing: &str) -> Fault {
    let what = if doing.is_empty() { String::new() } else { format!("{doing}: ") };
    Fault::die(format!("{what}pool '{name}' does not exist"))
}

/// GET /pools
pub(crate) fn list(call: &mut Call<'_>) -> Reply {
    if let Some(name) = call.p.get("poolid") {
        call.c.check(call.caller, &format!("/pool/{name}"), &["Pool.Audit"])?;
        let pool = call.c.pools.get(name).ok_or_else(|| missing(name, ""))?;
        return Ok(json!([shown(call, name, pool, true)]).into());
    }
    let seen =
        call.c.pools.iter().filter(|(n, _)| call.c.may(call.caller, &format!("/pool/{n}"), &["Pool.Audit"]));
    Ok(seen.map(|(n, p)| Value::Object(shown(call, n, p, false))).collect::<Value>().into())
}

/// GET /pools/{poolid}
pub(crate) fn get(call: &mut Call<'_>) -> Reply {
    let name = call.p.need("poolid");
    let pool = call.c.pools.get(name).ok_or_else(|| missing(name, ""))?;
    let mut row = shown(call, name, pool, true);
    row.remove("poolid");
    row.insert("poolid".into(), json!(name));
    Ok(Value::Object(row).into())
}

/// POST /pools
pub(crate) fn create(call: &mut Call<'_>) -> Reply {
    call.need_cfs("user_cfg", "create pool failed")?;
    let name = call.p.need("poolid").to_string();
    if call.c.pools.contains_key(&name) {
        return Err(Fault::die(format!("create pool failed: pool '{name}' already exists")));
    }
    if let Some((parent, _)) = name.rsplit_once('/')
        && !call.c.pools.contains_key(parent)
    {
        return Err(Fault::die(format!(
            "create pool failed: parent '{parent}' of pool '{name}' does not exist"
        )));
    }
    let comment = call.p.get("comment").map(str::to_string);
    call.c.pools.insert(name, Pool { comment, ..Pool::default() });
    nothing()
}

/// PUT /pools
pub(crate) fn update(call: &mut Call<'_>) -> Reply {
    call.need_cfs("user_cfg", "update pools failed")?;
    let name = call.p.need("poolid").to_string();
    if !call.c.pools.contains_key(&name) {
        return Err(missing(&name, "update pools failed"));
    }
    let vms: Vec<u32> = call.p.items("vms").iter().filter_map(|v| v.parse().ok()).collect();
    let storages = call.p.items("storage");
    let (delete, mv) = (call.p.is_set("delete"), call.p.is_set("allow-move"));
    for vmid in &vms {
        let owner =
            call.c.pools.iter().find(|(n, p)| **n != name && p.guests.contains(vmid)).map(|(n, _)| n.clone());
        match owner {
            Some(owner) if !delete && !mv => {
                let text = format!("VM {vmid} belongs already to pool '{owner}' and 'allow-move' is not set");
                return Err(Fault::die(format!("update pools failed: {text}")));
            }
            Some(owner) if !delete => {
                if let Some(pool) = call.c.pools.get_mut(&owner) {
                    pool.guests.remove(vmid);
                }
            }
            _ => {}
        }
    }
    let comment = call.p.get("comment").map(str::to_string);
    if let Some(pool) = call.c.pools.get_mut(&name) {
        pool.comment = comment.or(pool.comment.take());
        for vmid in vms {
            if delete {
                pool.guests.remove(&vmid)
            } else {
                pool.guests.insert(vmid)
            };
        }
        for storage in storages {
            if delete {
                pool.storages.remove(&storage)
            } else {
                pool.storages.insert(storage)
            };
        }
    }
    nothing()
}

/// DELETE /pools
pub(crate) fn delete(call: &mut Call<'_>) -> Reply {
    call.need_cfs("user_cfg", "delete pool failed")?;
    let name = call.p.need("poolid").to_string();
    let Some(pool) = call.c.pools.get(&name) else { return Err(missing(&name, "delete pool failed")) };
    let inner = call.c.pools.keys().find(|n| n.starts_with(&format!("{name}/")));
    let holds = pool.guests.iter().find(|v| call.c.guests.contains_key(*v));
    let holds = inner
        .map(|n| format!("contains pool '{n}'"))
        .or_else(|| holds.map(|v| format!("contains VM {v}")))
        .or_else(|| {
            let there = pool.storages.iter().find(|s| call.c.storages.contains_key(*s));
            there.map(|s| format!("contains storage '{s}'"))
        });
    if let Some(holds) = holds {
        return Err(Fault::die(format!("delete pool failed: pool '{name}' is not empty ({holds})")));
    }
    call.c.pools.remove(&name);
    let path = format!("/pool/{name}");
    call.c.access.acl.retain(|a| a.path != path);
    nothing()
}
