//! Users, passwords, permissions and tokens, as the dashboard handles them.
//!
//! Knows nothing of pools and disks.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Release, clock,
    reply::{Reply, uuid},
    request::Params,
    state::{Cluster, User},
};

/// So many bad passwords disable an account.
const MAX_ATTEMPTS: u32 = 10;
const ALL: [&str; 4] = ["create", "delete", "read", "update"];
const SCOPES: [&str; 17] = [
    "cephfs",
    "config-opt",
    "dashboard-settings",
    "grafana",
    "hosts",
    "iscsi",
    "log",
    "manager",
    "monitor",
    "nfs-ganesha",
    "osd",
    "pool",
    "prometheus",
    "rbd-image",
    "rbd-mirroring",
    "rgw",
    "user",
];

/// What a role allows: scope → permissions.
fn role(name: &str) -> Option<BTreeMap<&'static str, BTreeSet<&'static str>>> {
    let grant = |full: &[&'static str], read: &[&'static str]| {
        let full = full.iter().map(|s| (*s, BTreeSet::from(ALL)));
        full.chain(read.iter().map(|s| (*s, BTreeSet::from(["read"])))).collect()
    };
    Some(match name {
        "administrator" => grant(&SCOPES, &[]),
        "read-only" => {
            let read: Vec<&str> =
                SCOPES.into_iter().filter(|s| !["config-opt", "dashboard-settings"].contains(s)).collect();
            grant(&[], &read)
        }
        "pool-manager" => grant(&["pool"], &["grafana"]),
        "block-manager" => grant(&["rbd-image", "rbd-mirroring", "iscsi"], &["pool", "grafana"]),
        "cluster-manager" => {
            grant(&["hosts", "osd", "monitor", "manager", "config-opt", "log"], &["grafana"])
        }
        "cephfs-manager" => grant(&["cephfs"], &["grafana"]),
        "rgw-manager" => grant(&["rgw"], &["grafana"]),
        "ganesha-manager" => grant(&["nfs-ganesha", "cephfs", "rgw"], &["grafana"]),
        _ => return None,
    })
}

fn permissions(user: &User) -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (scope, granted) in user.roles.iter().filter_map(|r| role(r)).flatten() {
        all.entry(scope).or_default().extend(granted);
    }
    all
}

/// Whether the user may do that.
pub(super) fn may(user: &User, scope: &str, permission: &str) -> bool {
    scope.is_empty() || permissions(user).get(scope).is_some_and(|p| p.contains(permission))
}

/// Why a token does not open the door.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TokenError {
    /// Not even a token: 18 stumbles over it.
    Malformed,
    /// Forged, expired, logged out, or its user was edited.
    Refused,
}

/// The user a token stands for.
pub(super) fn user_of(cluster: &Cluster, token: &str, now: u64) -> Result<String, TokenError> {
    let parts: Vec<&str> = token.split('.').collect();
    let &[header, payload, signature] = parts.as_slice() else {
        return Err(TokenError::Malformed);
    };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
    let object =
        |part: &str| serde_json::from_slice::<Value>(&decode(part)?).map_err(|_| TokenError::Malformed);
    object(header)?;
    let claims = object(payload)?;
    if decode(signature)? != hmac_sha256(&cluster.token_secret, &format!("{header}.{payload}")) {
        return Err(TokenError::Refused);
    }
    let id = claims["jti"].as_str().unwrap_or_default();
    match cluster.tokens.get(id) {
        Some((user, until)) if *until > now => Ok(user.clone()),
        _ => Err(TokenError::Refused),
    }
}

/// What the release answers to a token that does not open the door.
pub(super) fn refuse_token(release: Release, error: &TokenError) -> Reply {
    match (release, error) {
        (Release::V18, TokenError::Malformed) => Reply::opaque(),
        _ => Reply::unauthorized(),
    }
}

fn issue(cluster: &mut Cluster, user: &str, now: u64, ttl_ms: u64) -> String {
    let id = uuid();
    let until = now.saturating_add(ttl_ms);
    let claims = json!({
        "iss": "ceph-dashboard", "jti": id, "exp": clock::seconds(until), "iat": clock::seconds(now), "username": user,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": "HS256", "typ": "JWT" })), part(&claims));
    let signature = URL_SAFE_NO_PAD.encode(hmac_sha256(&cluster.token_secret, &signed));
    cluster.tokens.insert(id, (user.to_owned(), until));
    format!("{signed}.{signature}")
}

fn hmac_sha256(key: &str, message: &str) -> Vec<u8> {
    let mut block = [0_u8; 64];
    for (b, k) in block.iter_mut().zip(key.bytes()) {
        *b = k;
    }
    let inner: Vec<u8> = block.iter().map(|b| b ^ 0x36).chain(message.bytes()).collect();
    let outer: Vec<u8> = block.iter().map(|b| b ^ 0x5c).chain(Sha256::digest(inner)).collect();
    Sha256::digest(outer).to_vec()
}

pub(super) fn login(cluster: &mut Cluster, params: &Params, now: u64, ttl_ms: u64) -> Reply {
    let (Some(name), Some(password)) = (params.text("username"), params.text("password")) else {
        return Reply::opaque();
    };
    let refused = || Reply::dashboard(400, "Invalid credentials", "invalid_credentials", Some("auth"));
    // A user that does not exist is an exception that nobody catches.
    let Some(user) = cluster.users.get_mut(&name) else { return Reply::opaque() };
    if user.attempts >= MAX_ATTEMPTS {
        user.enabled = false;
        user.changed_ms = now;
        user.attempts = 0;
        cluster.tokens.retain(|_, (who, _)| *who != name);
        return refused();
    }
    if !user.enabled || user.password != password {
        user.attempts += 1;
        return refused();
    }
    user.attempts = 0;
    let permissions = json!(permissions(user));
    let token = issue(cluster, &name, now, ttl_ms);
    let mut reply = Reply::created(json!({
        "token": token, "username": name, "permissions": permissions,
        "pwdExpirationDate": null, "sso": false, "pwdUpdateRequired": false,
    }));
    reply.headers.push(("set-cookie", format!("token={token}; HttpOnly; Path=/; SameSite=Strict")));
    reply
}

pub(super) fn check(cluster: &Cluster, release: Release, params: &Params, now: u64) -> Reply {
    let token = params.text("token").unwrap_or_default();
    match user_of(cluster, &token, now) {
        Ok(name) => {
            let permissions = cluster.users.get(&name).map(|u| json!(permissions(u)));
            Reply::ok(json!({
                "username": name, "permissions": permissions, "sso": false, "pwdUpdateRequired": false,
            }))
        }
        Err(TokenError::Malformed) if release == Release::V18 && !token.is_empty() => Reply::opaque(),
        Err(_) => Reply::ok(json!({ "login_url": "#/login", "cluster_status": "POST_INSTALLED" })),
    }
}

pub(super) fn logout(cluster: &mut Cluster, token: Option<&str>) -> Reply {
    let id = token
        .and_then(|t| URL_SAFE_NO_PAD.decode(t.split('.').nth(1)?).ok())
        .and_then(|p| serde_json::from_slice::<Value>(&p).ok())
        .and_then(|claims| claims["jti"].as_str().map(ToOwned::to_owned));
    if let Some(id) = id {
        cluster.tokens.remove(&id);
    }
    let mut reply = Reply::ok(json!({ "redirect_url": "#/login" }));
    reply.headers.push(("set-cookie", "token=; Max-Age=0".to_owned()));
    reply
}

fn user_json(name: &str, user: &User) -> Value {
    json!({
        "username": name, "roles": user.roles, "name": user.name, "email": user.email,
        "lastUpdate": clock::seconds(user.changed_ms), "enabled": user.enabled,
        "pwdExpirationDate": null, "pwdUpdateRequired": false,
    })
}

pub(super) fn users(cluster: &Cluster) -> Reply {
    Reply::ok(cluster.users.iter().map(|(name, user)| user_json(name, user)).collect())
}

pub(super) fn user(cluster: &Cluster, name: &str) -> Reply {
    match cluster.users.get(name) {
        Some(user) => Reply::ok(user_json(name, user)),
        None => Reply::nothing_matches(),
    }
}

fn roles_of(params: &Params) -> Result<BTreeSet<String>, Reply> {
    let roles = params.texts("roles").unwrap_or_default();
    match roles.iter().find(|r| role(r).is_none()) {
        None => Ok(roles),
        Some(_) => Err(Reply::dashboard(400, "Role does not exist", "role_does_not_exist", Some("user"))),
    }
}

pub(super) fn create_user(cluster: &mut Cluster, params: &Params, now: u64) -> Reply {
    let Some(name) = params.text("username") else {
        return Reply::dashboard(400, "Username is required", "username_required", Some("user"));
    };
    let roles = match roles_of(params) {
        Ok(roles) => roles,
        Err(reply) => return reply,
    };
    let password = params.text("password").unwrap_or_default();
    if password.len() < 8 {
        let code = "password_policy_validation_failed";
        return Reply::dashboard(400, "Password is too weak.", code, Some("user"));
    }
    if cluster.users.contains_key(&name) {
        return Reply::dashboard(400, "Username already exists", "username_already_exists", Some("user"));
    }
    let user = User {
        name: params.text("name"),
        email: params.text("email"),
        password,
        roles,
        enabled: params.flag("enabled").unwrap_or(true),
        attempts: 0,
        changed_ms: now,
    };
    let body = user_json(&name, &user);
    cluster.users.insert(name, user);
    Reply::created(body)
}

/// Every token of an edited user stops counting.
pub(super) fn edit_user(cluster: &mut Cluster, name: &str, params: &Params, now: u64) -> Reply {
    let roles = match roles_of(params) {
        Ok(roles) => roles,
        Err(reply) => return reply,
    };
    let Some(user) = cluster.users.get_mut(name) else { return Reply::nothing_matches() };
    user.name = params.text("name");
    user.email = params.text("email");
    user.roles = roles;
    user.enabled = params.flag("enabled").unwrap_or(true);
    user.changed_ms = now;
    if let Some(password) = params.text("password") {
        user.password = password;
        user.attempts = 0;
    }
    let body = user_json(name, user);
    cluster.tokens.retain(|_, (who, _)| who != name);
    Reply::ok(body)
}

pub(super) fn delete_user(cluster: &mut Cluster, name: &str, current: &str) -> Reply {
    if name == current {
        let code = "cannot_delete_current_user";
        return Reply::dashboard(400, "Cannot delete current user", code, Some("user"));
    }
    if cluster.users.remove(name).is_none() {
        return Reply::nothing_matches();
    }
    cluster.tokens.retain(|_, (who, _)| who != name);
    Reply::no_content()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_agrees_with_rfc_4231() {
        let got = hex::encode(hmac_sha256("Jefe", "what do ya want for nothing?"));
        assert_eq!(got, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn roles_give_what_they_say() {
        let user = |roles: &[&str]| User {
            name: None,
            email: None,
            password: String::new(),
            roles: roles.iter().map(ToString::to_string).collect(),
            enabled: true,
            attempts: 0,
            changed_ms: 0,
        };
        assert!(may(&user(&["administrator"]), "pool", "delete"));
        assert!(may(&user(&["read-only"]), "pool", "read"));
        assert!(!may(&user(&["read-only"]), "pool", "create"));
        assert!(!may(&user(&["read-only"]), "config-opt", "read"));
        assert!(may(&user(&["read-only", "pool-manager"]), "pool", "create"));
        assert!(may(&user(&[]), "", "read"));
    }

    #[test]
    fn debug_hides_the_password() {
        let user = User {
            name: None,
            email: None,
            password: "do-not-show".to_owned(),
            roles: BTreeSet::new(),
            enabled: true,
            attempts: 0,
            changed_ms: 0,
        };
        assert!(!format!("{user:?}").contains("do-not-show"));
    }
}
