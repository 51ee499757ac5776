//! Changes of pools as the manager makes them: one command to the monitors after the other, not all or nothing.
//!
//! Knows nothing of HTTP. Texts and numbers of refusals are the monitors'.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Release,
    reply::MonError,
    state::{Cluster, Pool, PoolType},
};

/// Steps that are still to be done, each at its moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Job {
    pub(super) name: String,
    pub(super) metadata: Value,
    pub(super) begin_ms: u64,
    pub(super) steps: Vec<(u64, Step)>,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Step {
    Create {
        pool: String,
        kind: PoolType,
        pg_num: u32,
        rule: Option<String>,
        profile: Option<String>,
    },
    EnableApplication {
        pool: String,
        application: String,
    },
    DisableApplication {
        pool: String,
        application: String,
    },
    Quota {
        pool: String,
        field: QuotaField,
        value: Value,
    },
    Set {
        pool: String,
        variable: String,
        value: Value,
    },
    Rename {
        pool: String,
        to: String,
    },
    Configure {
        pool: String,
        option: String,
        value: Option<String>,
    },
    /// The placement groups are where they should be.
    Settled {
        pool: String,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum QuotaField {
    Bytes,
    Objects,
}

const MAX_APPLICATIONS: usize = 4;
const MAX_APPLICATION_LENGTH: usize = 128;
/// To this the autoscaler of 18 raises small pools.
const AUTOSCALED_PGS: u32 = 32;

impl Step {
    /// Does it, or is refused and changes nothing.
    pub(super) fn run(&self, cluster: &mut Cluster, release: Release, now: u64) -> Result<(), MonError> {
        match self {
            Self::Create { pool, kind, pg_num, rule, profile } => {
                create(cluster, pool, *kind, *pg_num, rule.as_deref(), profile.as_deref(), release, now)
            }
            Self::EnableApplication { pool, application } => {
                let pool = existing(cluster, pool)?;
                if application.is_empty() {
                    return Err(MonError::invalid("application name must be provided"));
                }
                if !pool.applications.contains(application) && pool.applications.len() >= MAX_APPLICATIONS {
                    let text = format!(
                        "too many enabled applications on pool '{}'; max {MAX_APPLICATIONS}",
                        pool.name
                    );
                    return Err(MonError::invalid(text));
                }
                if application.len() > MAX_APPLICATION_LENGTH {
                    return Err(MonError::invalid(format!(
                        "application name '{application}' too long; max length {MAX_APPLICATION_LENGTH}"
                    )));
                }
                pool.applications.insert(application.clone());
                Ok(())
            }
            Self::DisableApplication { pool, application } => {
                existing(cluster, pool)?.applications.remove(application);
                Ok(())
            }
            Self::Quota { pool, field, value } => {
                let value = quantity(value)?;
                let pool = existing(cluster, pool)?;
                match field {
                    QuotaField::Bytes => pool.quota_bytes = value,
                    QuotaField::Objects => pool.quota_objects = value,
                }
                Ok(())
            }
            Self::Set { pool, variable, value } => set(cluster, pool, variable, value),
            Self::Rename { pool, to } => {
                if cluster.pool(to).is_some() {
                    return Err(MonError::new(17, format!("pool '{to}' already exists")));
                }
                existing(cluster, pool)?.name.clone_from(to);
                Ok(())
            }
            Self::Configure { pool, option, value } => {
                let configuration = &mut existing(cluster, pool)?.configuration;
                match value {
                    Some(value) => configuration.insert(option.clone(), value.clone()),
                    None => configuration.remove(option),
                };
                Ok(())
            }
            Self::Settled { pool } => {
                // A pool that was deleted meanwhile has nothing left to settle.
                if let Some(pool) = cluster.pool_mut(pool) {
                    pool.pg_num = pool.pg_target;
                }
                Ok(())
            }
        }?;
        cluster.epoch += 1;
        let epoch = cluster.epoch;
        if let Some(pool) = self.pool_after().and_then(|name| cluster.pool_mut(name)) {
            pool.changed_epoch = epoch;
        }
        Ok(())
    }

    /// The name of the pool once the step is done.
    fn pool_after(&self) -> Option<&str> {
        match self {
            Self::Rename { to, .. } => Some(to),
            Self::Create { pool, .. }
            | Self::EnableApplication { pool, .. }
            | Self::DisableApplication { pool, .. }
            | Self::Quota { pool, .. }
            | Self::Set { pool, .. }
            | Self::Configure { pool, .. } => Some(pool),
            Self::Settled { .. } => None,
        }
    }
}

fn existing<'a>(cluster: &'a mut Cluster, name: &str) -> Result<&'a mut Pool, MonError> {
    cluster.pool_mut(name).ok_or_else(|| MonError::new(2, format!("unrecognized pool '{name}'")))
}

/// Checks of `osd pool create` that need no change: what the caller hears at once.
pub(super) fn check_create(
    cluster: &Cluster,
    pool: &str,
    kind: PoolType,
    pg_num: u32,
    rule: Option<&str>,
    profile: Option<&str>,
) -> Result<(), MonError> {
    if pool.is_empty() {
        return Err(MonError::invalid("(22) Invalid argument"));
    }
    if let Some(rule) = rule
        && cluster.rule(rule).is_none()
        && kind == PoolType::Replicated
    {
        return Err(MonError::new(2, format!("specified rule {rule} doesn't exist")));
    }
    if kind == PoolType::Erasure {
        let profile = profile.unwrap_or("default");
        if !cluster.profiles.contains_key(profile) {
            return Err(MonError::invalid(
                "cannot determine the erasure code plugin because there is no 'plugin' entry in the erasure_code_profile {}",
            ));
        }
    }
    check_pg_num(pg_num)
}

fn check_pg_num(pg_num: u32) -> Result<(), MonError> {
    if (1..=65_536).contains(&pg_num) {
        return Ok(());
    }
    Err(MonError::new(
        34,
        "'pg_num' must be greater than 0 and less than or equal to 65536 (you may adjust 'mon max pool pg num' for higher values)",
    ))
}

#[allow(clippy::too_many_arguments)] // the arguments of `osd pool create`
fn create(
    cluster: &mut Cluster,
    name: &str,
    kind: PoolType,
    pg_num: u32,
    rule: Option<&str>,
    profile: Option<&str>,
    release: Release,
    now: u64,
) -> Result<(), MonError> {
    if cluster.pool(name).is_some() {
        return Ok(()); // as the monitors have it: it exists, so all is well
    }
    check_create(cluster, name, kind, pg_num, rule, profile)?;
    let default_size = cluster.option("osd_pool_default_size").and_then(|v| v.parse().ok()).unwrap_or(3);
    let (size, profile, rule) = match kind {
        PoolType::Replicated => {
            let rule = rule.and_then(|r| cluster.rule(r)).map_or(0, |r| r.id);
            (default_size, String::new(), rule)
        }
        PoolType::Erasure => {
            let profile = profile.unwrap_or("default").to_owned();
            let of = |key: &str| {
                cluster.profiles.get(&profile).and_then(|p| p.get(key)?.parse::<u32>().ok()).unwrap_or(2)
            };
            let size = of("k") + of("m");
            (size, profile, erasure_rule(cluster, rule.unwrap_or(name)))
        }
    };
    cluster.last_pool += 1;
    let id = cluster.last_pool;
    // The autoscaler is on by default; on 18 it has raised a small pool before anybody looks.
    let pgs = if release == Release::V18 { pg_num.max(AUTOSCALED_PGS) } else { pg_num };
    let pool = Pool {
        id,
        name: name.to_owned(),
        kind,
        size,
        min_size: size - size / 2,
        rule,
        profile,
        pg_num: pgs,
        pg_target: pgs,
        autoscale: "on".to_owned(),
        quota_bytes: 0,
        quota_objects: 0,
        applications: std::collections::BTreeSet::new(),
        options: std::collections::BTreeMap::new(),
        configuration: std::collections::BTreeMap::new(),
        ec_overwrites: false,
        created_ms: now,
        changed_epoch: cluster.epoch + 1,
        stored: 0,
        objects: 0,
    };
    cluster.pools.insert(id, pool);
    Ok(())
}

/// An erasure-coded pool has a rule of its own, named like it.
fn erasure_rule(cluster: &mut Cluster, name: &str) -> u32 {
    if let Some(rule) = cluster.rule(name) {
        return rule.id;
    }
    let id = cluster.rules.keys().max().map_or(0, |id| id + 1);
    let rule = super::state::CrushRule {
        id,
        name: name.to_owned(),
        kind: PoolType::Erasure,
        root: "default".to_owned(),
        domain: "osd".to_owned(),
    };
    cluster.rules.insert(id, rule);
    id
}

/// `osd pool set`.
fn set(cluster: &mut Cluster, name: &str, variable: &str, value: &Value) -> Result<(), MonError> {
    let text = plain(value);
    let number = || {
        text.parse::<u32>().map_err(|_| {
            MonError::invalid(format!(
                "error parsing integer value '{text}': Expected option value to be integer, got '{text}'"
            ))
        })
    };
    let rule = (variable == "crush_rule").then(|| cluster.rule(&text).map(|r| r.id));
    let pool = existing(cluster, name)?;
    match variable {
        "size" => {
            let size = number()?;
            if pool.kind == PoolType::Erasure {
                return Err(MonError::new(95, "can not change the size of an erasure-coded pool"));
            }
            if !(1..=10).contains(&size) {
                return Err(MonError::invalid("pool size must be between 1 and 10"));
            }
            if size == 1 {
                return Err(MonError::new(
                    1,
                    "WARNING: setting pool size 1 could lead to data loss without recovery. If you are *ABSOLUTELY CERTAIN* that is what you want, pass the flag --yes-i-really-mean-it.",
                ));
            }
            pool.size = size;
            pool.min_size = pool.min_size.min(size);
        }
        "min_size" => {
            let min_size = number()?;
            if min_size < 1 || min_size > pool.size {
                return Err(MonError::invalid(format!(
                    "pool min_size must be between 1 and size, which is set to {}",
                    pool.size
                )));
            }
            pool.min_size = min_size;
        }
        "pg_num" | "pgp_num" => {
            let pgs = number()?;
            check_pg_num(pgs)?;
            pool.pg_target = pgs;
        }
        "pg_autoscale_mode" => {
            if !["on", "off", "warn"].contains(&text.as_str()) {
                return Err(MonError::invalid(format!("specified invalid mode {text}")));
            }
            pool.autoscale = text;
        }
        "crush_rule" => {
            let id = rule
                .flatten()
                .ok_or_else(|| MonError::new(2, format!("crush rule {text} does not exist")))?;
            pool.rule = id;
        }
        "allow_ec_overwrites" => pool.ec_overwrites = text == "true",
        "compression_mode"
        | "compression_algorithm"
        | "compression_required_ratio"
        | "compression_min_blob_size"
        | "compression_max_blob_size"
        | "target_size_bytes"
        | "target_size_ratio"
        | "pg_num_min"
        | "pg_num_max"
        | "pg_autoscale_bias"
        | "recovery_priority"
        | "scrub_min_interval"
        | "scrub_max_interval"
        | "deep_scrub_interval" => {
            pool.options.insert(variable.to_owned(), value.clone());
        }
        _ => return Err(MonError::invalid(format!("unrecognized variable '{variable}'"))),
    }
    Ok(())
}

/// A JSON value as the manager puts it into a command.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A quota: a number, or one with a binary unit.
fn quantity(value: &Value) -> Result<u64, MonError> {
    let text = plain(value);
    let refuse = |why: &str| MonError::invalid(format!("error parsing value '{text}': {why}"));
    if text.starts_with('-') {
        return Err(refuse("strict_iecstrtoll: value should not be negative"));
    }
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = &text[digits.len()..];
    let shift = match unit.trim_end_matches('i') {
        "" | "B" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        "P" => 50,
        _ => return Err(refuse("strict_si_cast: unit prefix not recognized")),
    };
    let number: u64 = digits.parse().map_err(|_| refuse("strict_iecstrtoll: illegal prefix (length > 2)"))?;
    number.checked_shl(shift).ok_or_else(|| refuse("value seems to be too large"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quotas_read_as_the_monitors_read_them() {
        let check = |value: Value, expected: Result<u64, &str>| {
            let got = quantity(&value).map_err(|e| e.text);
            assert_eq!(got, expected.map_err(ToOwned::to_owned), "{value}");
        };
        check(json!(1024), Ok(1024));
        check(json!("1Ti"), Ok(1 << 40));
        check(json!("3M"), Ok(3 << 20));
        check(json!(-5), Err("error parsing value '-5': strict_iecstrtoll: value should not be negative"));
        check(
            json!("1.5G"),
            Err("error parsing value '1.5G': strict_iecstrtoll: illegal prefix (length > 2)"),
        );
        check(json!("a"), Err("error parsing value 'a': strict_si_cast: unit prefix not recognized"));
    }
}
