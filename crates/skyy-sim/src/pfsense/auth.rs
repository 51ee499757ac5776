//! Who may do what: users, keys, tokens, privileges, and the ban after failed logins.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use base64::{Engine, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, header};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::envelope::{ApiError, ApiResult};

/// When a client that cannot log in is cut off, as sshguard does it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BanPolicy {
    /// Failed logins within the window that bring the ban.
    pub failures: usize,
    /// How long a failed login is remembered.
    pub window: Duration,
    /// How long the first ban lasts.
    pub block: Duration,
    /// How much longer each further ban lasts.
    pub growth: f64,
}

impl Default for BanPolicy {
    fn default() -> Self {
        let (window, block) = (Duration::from_mins(30), Duration::from_mins(2));
        Self { failures: 4, window, block, growth: 1.5 }
    }
}

#[derive(Debug, Clone)]
struct User {
    name: String,
    password: String,
    disabled: bool,
    privileges: Vec<String>,
}

#[derive(Debug, Clone)]
struct Key {
    descr: String,
    user: String,
    length: usize,
    secret: String,
}

#[derive(Debug, Clone, Default)]
struct Suspect {
    failures: Vec<Duration>,
    bans: i32,
    until: Duration,
}

/// The accounts of the box, and whom it has cut off.
#[derive(Clone, Default)]
pub(super) struct Accounts {
    users: Vec<User>,
    keys: Vec<Key>,
    tokens: BTreeMap<String, (String, Duration)>,
    suspects: BTreeMap<IpAddr, Suspect>,
    made: u64,
}

/// The ways to log in, by the names the package's settings use.
const METHODS: [&str; 3] = ["BasicAuth", "KeyAuth", "JWTAuth"];

impl Accounts {
    /// The accounts of the recorded box.
    pub(super) fn recorded() -> Self {
        let user = |name: &str, password: &str, disabled, privileges: &[&str]| User {
            name: name.to_owned(),
            password: password.to_owned(),
            disabled,
            privileges: privileges.iter().map(|&privilege| privilege.to_owned()).collect(),
        };
        let mut accounts = Self {
            users: vec![
                user("apiadmin", "apiadminpw", false, &["page-all"]),
                user("apilimited", "apilimitedpw", false, &["api-v2-firewall-virtual-ips-get"]),
                user("apidisabled", "apidisabledpw", true, &["page-all"]),
            ],
            ..Self::default()
        };
        accounts.set_key("apiadmin", "double", &"0123456789abcdef".repeat(3));
        accounts.set_key("apilimited", "limited", &"fedcba9876543210".repeat(3));
        accounts
    }

    /// Gives a user this key in place of those it has.
    pub(super) fn set_key(&mut self, user: &str, descr: &str, secret: &str) {
        let key = Key {
            descr: descr.to_owned(),
            user: user.to_owned(),
            length: secret.len() / 2,
            secret: secret.to_owned(),
        };
        match self.keys.iter().position(|key| key.user == user) {
            Some(at) => {
                self.keys[at] = key;
                let mut seen = false;
                self.keys.retain(|key| key.user != user || !std::mem::replace(&mut seen, true));
            }
            None => self.keys.push(key),
        }
    }

    /// The user who logs in by one of `methods`: the first of them that the request tries decides.
    pub(super) fn user(&self, headers: &HeaderMap, methods: &[String], now: Duration) -> ApiResult<String> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let login = header(header::AUTHORIZATION.as_str()).unwrap_or_default();
        for method in methods {
            let found = match method.as_str() {
                "BasicAuth" => login.strip_prefix("Basic ").map(|credentials| self.by_password(credentials)),
                "KeyAuth" => header("x-api-key").map(|secret| self.by_key(secret)),
                "JWTAuth" => login.strip_prefix("Bearer ").map(|token| self.by_token(token, now)),
                _ => None,
            };
            if let Some(name) = found {
                let user =
                    name.and_then(|name| self.users.iter().find(|user| user.name == name && !user.disabled));
                return user.map(|user| user.name.clone()).ok_or_else(unauthenticated);
            }
        }
        Err(unauthenticated())
    }

    fn by_password(&self, credentials: &str) -> Option<String> {
        let decoded = BASE64_STANDARD.decode(credentials).ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (name, password) = text.split_once(':')?;
        let known = |user: &&User| user.name == name && user.password == password;
        self.users.iter().find(known).map(|user| user.name.clone())
    }

    fn by_key(&self, secret: &str) -> Option<String> {
        let known = |key: &&Key| !secret.is_empty() && key.secret == secret;
        self.keys.iter().find(known).map(|key| key.user.clone())
    }

    fn by_token(&self, token: &str, now: Duration) -> Option<String> {
        self.tokens.get(token).filter(|(_, expires)| now < *expires).map(|(user, _)| user.clone())
    }

    /// Whether the user may call `method` on the endpoint.
    pub(super) fn authorize(&self, user: &str, path: &str, method: &str) -> ApiResult<()> {
        let endpoint = path.replace(['/', '_'], "-");
        let needed = format!("api-v2-{endpoint}-{}", method.to_lowercase());
        let user = self.users.iter().find(|known| known.name == user);
        if user.is_some_and(|user| user.privileges.iter().any(|held| *held == needed || held == "page-all")) {
            return Ok(());
        }
        let message = "Authorization failed. You do not have sufficient privileges to access this resource.";
        Err(ApiError::new(403, "AUTH_AUTHORIZATION_FAILED", message))
    }

    /// A token for the user that is good for a while.
    pub(super) fn issue_token(&mut self, user: &str, now: Duration, lifetime: Duration) -> String {
        let claims = json!({"iss": "pfSense REST API", "exp": (now + lifetime).as_secs(), "data": user});
        let encode = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let head = format!("{}.{}", encode(json!({"typ": "JWT", "alg": "HS256"})), encode(claims));
        let token = format!("{head}.{}", BASE64_URL_SAFE_NO_PAD.encode(self.random(32)));
        self.tokens.insert(token.clone(), (user.to_owned(), now + lifetime));
        token
    }

    /// Makes a key for the user; this once its secret is shown.
    pub(super) fn create_key(&mut self, user: &str, data: &Map<String, Value>) -> ApiResult<Value> {
        let length = data.get("length_bytes").map_or(Some(24), Value::as_u64);
        let Some(length) = length.filter(|length| [16, 24, 32, 64].contains(length)) else {
            let message = "Field `length_bytes` must be one of [16, 24, 32, 64]";
            return Err(ApiError::bad("FIELD_INVALID_CHOICE", message));
        };
        let length = usize::try_from(length).unwrap_or(24);
        let descr = data.get("descr").and_then(Value::as_str).unwrap_or_default().to_owned();
        let secret = hex::encode(self.random(length));
        self.keys.push(Key { descr, user: user.to_owned(), length, secret: secret.clone() });
        let mut shown = self.keys_value()[self.keys.len() - 1].clone();
        shown["key"] = json!(secret);
        Ok(shown)
    }

    /// Drops a key by its position.
    pub(super) fn delete_key(&mut self, data: &Map<String, Value>) -> ApiResult<Value> {
        let id =
            data.get("id").ok_or_else(|| ApiError::bad("MODEL_REQUIRES_ID", "Field `id` is required."))?;
        let position = id.as_u64().and_then(|id| usize::try_from(id).ok()).filter(|id| *id < self.keys.len());
        let position = position.ok_or_else(|| ApiError::not_found(id))?;
        let shown = self.keys_value()[position].clone();
        self.keys.remove(position);
        Ok(shown)
    }

    /// The keys as they are listed: without their secrets.
    pub(super) fn keys_value(&self) -> Value {
        let shown = |(id, key): (usize, &Key)| {
            json!({
                "id": id, "descr": key.descr, "username": key.user, "hash_algo": "sha256",
                "length_bytes": key.length, "key": null,
            })
        };
        self.keys.iter().enumerate().map(shown).collect()
    }

    /// Bytes that nobody has to guess: this is a simulator.
    fn random(&mut self, length: usize) -> Vec<u8> {
        self.made += 1;
        let block = |index: u8| Sha256::digest([&self.made.to_be_bytes()[..], &[index]].concat());
        (0..=u8::MAX).flat_map(block).take(length).collect()
    }

    /// Whether connections from this client are dropped.
    pub(super) fn is_banned(&self, client: IpAddr, now: Duration) -> bool {
        self.suspects.get(&client).is_some_and(|suspect| now < suspect.until)
    }

    /// Notes a failed login.
    pub(super) fn failed(&mut self, client: IpAddr, now: Duration, policy: BanPolicy) {
        let suspect = self.suspects.entry(client).or_default();
        suspect.failures.retain(|failure| now.saturating_sub(*failure) < policy.window);
        suspect.failures.push(now);
        if suspect.failures.len() >= policy.failures {
            suspect.failures.clear();
            suspect.until = now + policy.block.mul_f64(policy.growth.powi(suspect.bans));
            suspect.bans += 1;
        }
    }

    /// Lets everybody in again.
    pub(super) fn forgive(&mut self) {
        self.suspects.clear();
    }

    pub(super) fn to_value(&self) -> Value {
        let users = self.users.iter().map(|user| {
            json!({"name": user.name, "password": user.password, "disabled": user.disabled, "privileges": user.privileges})
        });
        let keys =
            self.keys.iter().map(|key| json!({"descr": key.descr, "user": key.user, "key": key.secret}));
        json!({"users": users.collect::<Vec<_>>(), "keys": keys.collect::<Vec<_>>(), "made": self.made})
    }

    pub(super) fn from_value(value: &Value) -> Result<Self, String> {
        let text = |value: &Value, name: &str| {
            value[name].as_str().map(str::to_owned).ok_or_else(|| format!("an account has no {name}"))
        };
        let mut accounts = Self { made: value["made"].as_u64().unwrap_or_default(), ..Self::default() };
        for user in value["users"].as_array().ok_or("accounts have no users")? {
            let privileges = user["privileges"].as_array().into_iter().flatten();
            accounts.users.push(User {
                name: text(user, "name")?,
                password: text(user, "password")?,
                disabled: user["disabled"] == true,
                privileges: privileges.filter_map(Value::as_str).map(str::to_owned).collect(),
            });
        }
        for key in value["keys"].as_array().ok_or("accounts have no keys")? {
            let secret = text(key, "key")?;
            let (descr, user) = (text(key, "descr")?, text(key, "user")?);
            accounts.keys.push(Key { descr, user, length: secret.len() / 2, secret });
        }
        Ok(accounts)
    }
}

fn unauthenticated() -> ApiError {
    ApiError::new(401, "AUTH_AUTHENTICATION_FAILED", "Authentication failed.")
}

/// The ways to log in that an endpoint takes, in the order of the settings.
pub(super) fn methods_for(path: &str, settings: &Map<String, Value>) -> Vec<String> {
    if matches!(path, "auth/jwt" | "auth/key") {
        return vec![METHODS[0].to_owned()];
    }
    let enabled = settings.get("auth_methods").and_then(Value::as_array);
    enabled.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bans_after_the_fourth_failure_and_longer_each_time() {
        let (mut accounts, policy) = (Accounts::default(), BanPolicy::default());
        let client = IpAddr::from([127, 0, 0, 1]);
        let mut now = Duration::from_secs(1000);
        for _ in 0..3 {
            accounts.failed(client, now, policy);
        }
        assert!(!accounts.is_banned(client, now));
        accounts.failed(client, now, policy);
        assert!(accounts.is_banned(client, now + Duration::from_secs(119)));
        now += Duration::from_mins(2);
        assert!(!accounts.is_banned(client, now));
        for _ in 0..4 {
            accounts.failed(client, now, policy);
        }
        assert!(accounts.is_banned(client, now + Duration::from_secs(179)));
        assert!(!accounts.is_banned(client, now + Duration::from_mins(3)));
        accounts.forgive();
        assert!(!accounts.is_banned(client, now));
    }

    #[test]
    fn old_failures_are_forgotten() {
        let (mut accounts, policy) = (Accounts::default(), BanPolicy::default());
        let client = IpAddr::from([10, 0, 0, 1]);
        for hour in 0..9 {
            accounts.failed(client, Duration::from_hours(hour), policy);
        }
        assert!(!accounts.is_banned(client, Duration::from_hours(8)));
    }
}
