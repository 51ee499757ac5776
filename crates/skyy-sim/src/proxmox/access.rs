//! Logging in, users, tokens, roles and the access control list.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::answer::{Fault, Reply, nothing};
use super::auth::{BUILTIN_ROLES, Caller, acl_path, builtin_role};
use super::call::Call;
use super::params::split_list;
use super::state::{Acl, Cluster, Conf, Token, User};

const WRONG: &str = "authentication failure";

/// GET /access/ticket
pub(crate) fn no_ticket(_: &mut Call<'_>) -> Reply {
    nothing()
}

/// POST /access/ticket
pub(crate) fn login(call: &mut Call<'_>) -> Reply {
    let mut user = call.p.need("username").to_string();
    if let Some(realm) = call.p.get("realm")
        && !user.ends_with(&format!("@{realm}"))
    {
        user = format!("{user}@{realm}");
    }
    let password = call.p.need("password");
    let c = &*call.c;
    let known = c.access.users.get(&user).is_some_and(|u| u.password.as_deref() == Some(password));
    let renewed = c.ticket_user(password).is_some_and(|u| u == user);
    if !c.active_user(&user) || !(known || renewed) {
        return Err(Fault::status(401, WRONG).after(3000));
    }
    let caller = Caller { user: user.clone(), token: None };
    let mut answer = json!({
        "CSRFPreventionToken": c.csrf_token(&user),
        "cap": capabilities(c, &caller),
        "ticket": c.ticket(&user),
        "username": user,
    });
    if let Some(name) = &c.name {
        answer["clustername"] = json!(name);
    }
    Ok(answer.into())
}

/// What the web interface would show a user.
fn capabilities(c: &Cluster, caller: &Caller) -> Value {
    let areas: [(&str, &[&str], &[&str]); 7] = [
        ("access", &["/access"], &["User.Modify", "Group.Allocate", "Permissions.Modify"]),
        ("dc", &["/", "/sdn"], &["Sys.Audit", "Sys.Modify", "SDN.Allocate", "SDN.Audit", "SDN.Use"]),
        ("mapping", &["/mapping"], &["Mapping.", "Permissions.Modify"]),
        ("nodes", &["/nodes"], &["Sys.", "Permissions.Modify"]),
        ("sdn", &["/sdn"], &["SDN.", "Permissions.Modify"]),
        ("storage", &["/storage"], &["Datastore.", "Permissions.Modify"]),
        ("vms", &["/vms"], &["VM.", "Permissions.Modify"]),
    ];
    let mut found = Map::new();
    for (area, paths, privileges) in areas {
        let mut has = Map::new();
        for privilege in paths.iter().flat_map(|p| c.privileges(caller, p).into_keys()) {
            let fits = |p: &&str| if p.ends_with('.') { privilege.starts_with(*p) } else { privilege == *p };
            if privileges.iter().any(fits) {
                has.insert(privilege.clone(), json!(1));
            }
        }
        found.insert(area.to_string(), Value::Object(has));
    }
    Value::Object(found)
}

/// GET /access/domains
pub(crate) fn domains(_: &mut Call<'_>) -> Reply {
    Ok(json!([
        {"comment": "Linux PAM standard authentication", "realm": "pam", "type": "pam"},
        {"comment": "Proxmox VE authentication server", "realm": "pve", "type": "pve"},
    ])
    .into())
}

fn user_row(user: &User) -> Map<String, Value> {
    let mut row: Map<String, Value> = user.props.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    row.insert("enable".into(), json!(u8::from(user.enable)));
    row.insert("expire".into(), json!(user.expire));
    row
}

fn no_user(id: &str) -> Fault {
    Fault::die(format!("no such user ('{id}')"))
}

/// GET /access/users
pub(crate) fn users(call: &mut Call<'_>) -> Reply {
    let all = call.c.may(call.caller, "/access/groups", &["User.Modify", "Sys.Audit"]);
    let own = call.caller.token.is_none().then(|| call.caller.user.clone());
    let seen = call.c.access.users.iter().filter(|(id, _)| all || own.as_ref() == Some(id));
    let rows = seen.map(|(id, user)| {
        let mut row = user_row(user);
        row.insert("userid".into(), json!(id));
        if let Some((_, realm)) = id.rsplit_once('@').filter(|(_, r)| matches!(*r, "pam" | "pve")) {
            row.insert("realm-type".into(), json!(realm));
        }
        Value::Object(row)
    });
    Ok(rows.collect::<Value>().into())
}

fn need_user_modify(call: &Call<'_>, privileges: &[&str]) -> Result<(), Fault> {
    call.c.check_any(call.caller, "/access/groups", privileges)
}

/// GET /access/users/{userid}
pub(crate) fn user(call: &mut Call<'_>) -> Reply {
    need_user_modify(call, &["User.Modify", "Sys.Audit"])?;
    let id = call.p.need("userid");
    let found = call.c.access.users.get(id).ok_or_else(|| no_user(id))?;
    let mut row = user_row(found);
    row.insert("groups".into(), json!([]));
    let tokens: Map<String, Value> =
        found.tokens.iter().map(|(id, t)| (id.clone(), Value::Object(token_row(t)))).collect();
    row.insert("tokens".into(), if tokens.is_empty() { Value::Null } else { Value::Object(tokens) });
    Ok(Value::Object(row).into())
}

fn user_props(call: &Call<'_>) -> Conf {
    let mut props = call.p.text.clone();
    props.retain(|k, _| matches!(k.as_str(), "comment" | "email" | "firstname" | "lastname" | "keys"));
    props
}

/// POST /access/users
pub(crate) fn create_user(call: &mut Call<'_>) -> Reply {
    let id = call.p.need("userid").to_string();
    let realm = id.rsplit_once('@').map_or("", |(_, r)| r).to_string();
    call.c.check(call.caller, &format!("/access/realm/{realm}"), &["Realm.AllocateUser"])?;
    need_user_modify(call, &["User.Modify"])?;
    call.need_cfs("user_cfg", "create user failed")?;
    if call.c.access.users.contains_key(&id) {
        return Err(Fault::die(format!("create user failed: user '{id}' already exists")));
    }
    let user = User {
        password: call.p.get("password").map(str::to_string),
        enable: call.p.flag("enable").unwrap_or(true),
        expire: call.p.number("expire").unwrap_or(0),
        props: user_props(call),
        tokens: std::collections::BTreeMap::new(),
    };
    call.c.access.users.insert(id, user);
    nothing()
}

/// PUT /access/users/{userid}
pub(crate) fn update_user(call: &mut Call<'_>) -> Reply {
    need_user_modify(call, &["User.Modify"])?;
    call.need_cfs("user_cfg", "update user failed")?;
    let id = call.p.need("userid").to_string();
    let (props, enable, expire) = (user_props(call), call.p.flag("enable"), call.p.number("expire"));
    let found = call.c.access.users.get_mut(&id);
    let found = found.ok_or_else(|| Fault::die(format!("update user failed: no such user ('{id}')")))?;
    found.props.extend(props);
    found.enable = enable.unwrap_or(found.enable);
    found.expire = expire.unwrap_or(found.expire);
    nothing()
}

/// DELETE /access/users/{userid}
pub(crate) fn delete_user(call: &mut Call<'_>) -> Reply {
    need_user_modify(call, &["User.Modify"])?;
    call.need_cfs("user_cfg", "delete user failed")?;
    let id = call.p.need("userid").to_string();
    if id == "root@pam" {
        return Err(Fault::die("delete user failed: unable to delete 'root@pam'"));
    }
    call.c.access.users.remove(&id);
    call.c.access.acl.retain(|a| a.who != id && !a.who.starts_with(&format!("{id}!")));
    nothing()
}

fn token_row(token: &Token) -> Map<String, Value> {
    let mut row = Map::from_iter([
        ("expire".to_string(), json!(token.expire)),
        ("privsep".to_string(), json!(u8::from(token.privsep))),
    ]);
    if let Some(comment) = &token.comment {
        row.insert("comment".into(), json!(comment));
    }
    row
}

/// Tokens are for their owner and for who may modify users.
fn need_token_rights(call: &Call<'_>) -> Result<String, Fault> {
    let id = call.p.need("userid").to_string();
    if call.caller.token.is_some() || call.caller.user != id {
        need_user_modify(call, &["User.Modify"])?;
    }
    Ok(id)
}

fn no_token(user: &str, id: &str) -> Fault {
    Fault::die(format!("no such token '{id}' for user '{user}'"))
}

/// GET /access/users/{userid}/token
pub(crate) fn tokens(call: &mut Call<'_>) -> Reply {
    let id = need_token_rights(call)?;
    let user = call.c.access.users.get(&id).ok_or_else(|| no_user(&id))?;
    let rows = user.tokens.iter().map(|(id, t)| {
        let mut row = token_row(t);
        row.insert("tokenid".into(), json!(id));
        Value::Object(row)
    });
    Ok(rows.collect::<Value>().into())
}

/// GET /access/users/{userid}/token/{tokenid}
pub(crate) fn token(call: &mut Call<'_>) -> Reply {
    let id = need_token_rights(call)?;
    let name = call.p.need("tokenid");
    let user = call.c.access.users.get(&id).ok_or_else(|| no_user(&id))?;
    let token = user.tokens.get(name).ok_or_else(|| no_token(&id, name))?;
    Ok(Value::Object(token_row(token)).into())
}

/// POST /access/users/{userid}/token/{tokenid}
pub(crate) fn create_token(call: &mut Call<'_>) -> Reply {
    let id = need_token_rights(call)?;
    let name = call.p.need("tokenid").to_string();
    let user = call.c.access.users.get(&id).ok_or_else(|| no_user(&id))?;
    if user.tokens.contains_key(&name) {
        return Err(Fault::param("tokenid", "Token already exists."));
    }
    call.need_cfs("user_cfg", "generating token failed")?;
    let secret = call.c.uuid();
    let token = Token {
        secret: secret.clone(),
        privsep: call.p.flag("privsep").unwrap_or(true),
        comment: call.p.get("comment").map(str::to_string),
        expire: call.p.number("expire").unwrap_or(0),
    };
    // What was given comes back as the text it was given as; only the default is a number.
    let mut info = Map::from_iter([("privsep".to_string(), json!(1))]);
    for key in ["comment", "expire", "privsep"] {
        if let Some(value) = call.p.get(key) {
            info.insert(key.to_string(), json!(value));
        }
    }
    let full = format!("{id}!{name}");
    if let Some(user) = call.c.access.users.get_mut(&id) {
        user.tokens.insert(name, token);
    }
    Ok(json!({"full-tokenid": full, "info": info, "value": secret}).into())
}

/// PUT /access/users/{userid}/token/{tokenid}
pub(crate) fn update_token(call: &mut Call<'_>) -> Reply {
    let id = need_token_rights(call)?;
    call.need_cfs("user_cfg", "updating token failed")?;
    let name = call.p.need("tokenid").to_string();
    let (privsep, comment, expire) =
        (call.p.flag("privsep"), call.p.get("comment").map(str::to_string), call.p.number("expire"));
    let given: Vec<(String, Value)> = ["comment", "expire", "privsep"]
        .iter()
        .filter_map(|k| call.p.get(k).map(|v| ((*k).to_string(), json!(v))))
        .collect();
    let user = call.c.access.users.get_mut(&id).ok_or_else(|| no_user(&id))?;
    let token = user.tokens.get_mut(&name).ok_or_else(|| no_token(&id, &name))?;
    token.privsep = privsep.unwrap_or(token.privsep);
    token.comment = comment.or(token.comment.take());
    token.expire = expire.unwrap_or(token.expire);
    let mut row = token_row(token);
    row.extend(given);
    Ok(Value::Object(row).into())
}

/// DELETE /access/users/{userid}/token/{tokenid}
pub(crate) fn delete_token(call: &mut Call<'_>) -> Reply {
    let id = need_token_rights(call)?;
    call.need_cfs("user_cfg", "deleting token failed")?;
    let name = call.p.need("tokenid").to_string();
    let user = call.c.access.users.get_mut(&id).ok_or_else(|| no_user(&id))?;
    user.tokens.remove(&name).ok_or_else(|| no_token(&id, &name))?;
    let full = format!("{id}!{name}");
    call.c.access.acl.retain(|a| a.who != full);
    nothing()
}

/// GET /access/roles
pub(crate) fn roles(call: &mut Call<'_>) -> Reply {
    let join = |privileges: BTreeSet<String>| privileges.into_iter().collect::<Vec<_>>().join(",");
    let builtin = BUILTIN_ROLES.iter().map(|name| {
        let privileges = builtin_role(name).unwrap_or_default();
        json!({"privs": join(privileges), "roleid": name, "special": 1})
    });
    let own = call.c.access.roles.iter();
    let own = own.map(|(name, p)| json!({"privs": join(p.clone()), "roleid": name, "special": 0}));
    Ok(builtin.chain(own).collect::<Value>().into())
}

/// GET /access/roles/{roleid}
pub(crate) fn role(call: &mut Call<'_>) -> Reply {
    let name = call.p.need("roleid");
    let privileges = call.c.role(name).ok_or_else(|| Fault::die(format!("role '{name}' does not exist")))?;
    Ok(Value::Object(privileges.into_iter().map(|p| (p, json!(1))).collect()).into())
}

/// POST /access/roles
pub(crate) fn create_role(call: &mut Call<'_>) -> Reply {
    let name = call.p.need("roleid").to_string();
    if name.to_ascii_uppercase().starts_with("PVE") {
        let text = "cannot use role ID starting with the (case-insensitive) 'PVE' namespace";
        return Err(Fault::param("roleid", text));
    }
    call.need_cfs("user_cfg", "create role failed")?;
    if call.c.role(&name).is_some() {
        return Err(Fault::die(format!("create role failed: role '{name}' already exists")));
    }
    let privileges = call.p.get("privs").map(split_list).unwrap_or_default();
    call.c.access.roles.insert(name, privileges.into_iter().collect());
    nothing()
}

/// DELETE /access/roles/{roleid}
pub(crate) fn delete_role(call: &mut Call<'_>) -> Reply {
    let name = call.p.need("roleid").to_string();
    if builtin_role(&name).is_some() {
        return Err(Fault::die(format!("auto-generated role '{name}' cannot be deleted")));
    }
    call.need_cfs("user_cfg", "delete role failed")?;
    if call.c.access.roles.remove(&name).is_none() {
        return Err(Fault::die(format!("delete role failed: role '{name}' does not exist")));
    }
    call.c.access.acl.retain(|a| a.role != name);
    nothing()
}

/// GET /access/acl
pub(crate) fn acl(call: &mut Call<'_>) -> Reply {
    let seen = call.c.access.acl.iter().filter(|a| call.c.may(call.caller, &a.path, &["Permissions.Modify"]));
    let rows = seen.map(|a| {
        json!({
            "path": a.path,
            "propagate": u8::from(a.propagate),
            "roleid": a.role,
            "type": a.kind,
            "ugid": a.who,
        })
    });
    Ok(rows.collect::<Value>().into())
}

/// PUT /access/acl
pub(crate) fn set_acl(call: &mut Call<'_>) -> Reply {
    let path = call.p.need("path").trim_end_matches('/').to_string();
    let path = if path.is_empty() { "/".to_string() } else { path };
    if !acl_path(&path) {
        return Err(Fault::param("path", format!("invalid ACL path '{path}'")));
    }
    call.c.check(call.caller, &path, &["Permissions.Modify"])?;
    call.need_cfs("user_cfg", "ACL update failed")?;
    let failed = |text: String| Fault::die(format!("ACL update failed: {text}"));
    let roles = call.p.items("roles");
    if let Some(role) = roles.iter().find(|r| call.c.role(r).is_none()) {
        return Err(failed(format!("role '{role}' does not exist")));
    }
    let mut who = Vec::new();
    for user in call.p.items("users") {
        if !call.c.access.users.contains_key(&user) {
            return Err(failed(format!("user '{user}' does not exist")));
        }
        who.push(("user", user));
    }
    for token in call.p.items("tokens") {
        let (user, name) = token.split_once('!').unwrap_or_default();
        if !call.c.access.users.get(user).is_some_and(|u| u.tokens.contains_key(name)) {
            return Err(failed(format!("token '{token}' does not exist")));
        }
        who.push(("token", token));
    }
    let (delete, propagate) = (call.p.is_set("delete"), call.p.flag("propagate").unwrap_or(true));
    for (kind, who) in who {
        for role in &roles {
            let same = |a: &Acl| a.path == path && a.who == who && a.role == *role;
            call.c.access.acl.retain(|a| !same(a));
            if !delete {
                call.c.access.acl.push(Acl {
                    path: path.clone(),
                    kind: kind.into(),
                    who: who.clone(),
                    role: role.clone(),
                    propagate,
                });
            }
        }
    }
    nothing()
}

/// GET /access/permissions
pub(crate) fn permissions(call: &mut Call<'_>) -> Reply {
    let whose = match call.p.get("userid") {
        Some(id) if id != call.caller.id() => {
            call.c.check(call.caller, "/access", &["Sys.Audit"])?;
            let (user, token) = id.split_once('!').map_or((id, None), |(u, t)| (u, Some(t.to_string())));
            Caller { user: user.to_string(), token }
        }
        _ => call.caller.clone(),
    };
    let shown = |path: &str| -> Map<String, Value> {
        call.c.privileges(&whose, path).into_iter().map(|(p, prop)| (p, json!(u8::from(prop)))).collect()
    };
    if let Some(path) = call.p.get("path") {
        return Ok(json!({ path: shown(path) }).into());
    }
    let base = ["/", "/access", "/access/groups", "/mapping", "/nodes", "/pool", "/sdn", "/storage", "/vms"];
    let mut paths: BTreeSet<String> = base.iter().map(ToString::to_string).collect();
    paths.extend(call.c.access.acl.iter().map(|a| a.path.clone()));
    let mut found = Map::new();
    for path in paths {
        let here = shown(&path);
        if !here.is_empty() {
            found.insert(path, Value::Object(here));
        }
    }
    Ok(Value::Object(found).into())
}
