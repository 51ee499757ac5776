//! Pools: looking, making, changing, deleting.
//!
//! One request per write. A write that takes long goes on after its answer: look at the pool. Must not know why a pool is
//! wanted, nor what is in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skyy_http::{Answer, Call, StatusCode};

use crate::client::Ceph;
use crate::error::CephError;
use crate::lenient;

/// A pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Pool {
    /// Its number, which no later pool gets again.
    #[serde(rename = "pool", deserialize_with = "lenient::number")]
    pub id: u64,
    /// Its name.
    #[serde(rename = "pool_name", deserialize_with = "lenient::text")]
    pub name: String,
    /// `replicated` or `erasure`.
    #[serde(rename = "type", deserialize_with = "lenient::text")]
    pub kind: String,
    /// How many copies or chunks there are.
    #[serde(deserialize_with = "lenient::number")]
    pub size: u64,
    /// With how few it still takes writes.
    #[serde(deserialize_with = "lenient::number")]
    pub min_size: u64,
    /// Placement groups.
    #[serde(deserialize_with = "lenient::number")]
    pub pg_num: u64,
    /// Placement groups that the cluster is moving to.
    #[serde(deserialize_with = "lenient::number")]
    pub pg_num_target: u64,
    /// `on`, `warn`, `off`.
    #[serde(deserialize_with = "lenient::text")]
    pub pg_autoscale_mode: String,
    /// Where its copies go.
    #[serde(deserialize_with = "lenient::text")]
    pub crush_rule: String,
    /// How it is coded, where it is.
    #[serde(deserialize_with = "lenient::text")]
    pub erasure_code_profile: String,
    /// What uses it: names only, four at most. A name of one's own can serve as a mark of ownership.
    #[serde(deserialize_with = "lenient::list")]
    pub application_metadata: Vec<String>,
    /// How many bytes may be stored; 0 is no limit.
    #[serde(deserialize_with = "lenient::number")]
    pub quota_max_bytes: u64,
    /// How many objects may be stored; 0 is no limit.
    #[serde(deserialize_with = "lenient::number")]
    pub quota_max_objects: u64,
    /// Placement groups by their state.
    pub pg_status: BTreeMap<String, u64>,
    /// What is in it.
    pub stats: PoolStats,
}

/// What is in a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PoolStats {
    /// Bytes as its users count them.
    #[serde(deserialize_with = "lenient::latest")]
    pub stored: u64,
    /// Objects.
    #[serde(deserialize_with = "lenient::latest")]
    pub objects: u64,
    /// Bytes on the disks, copies included.
    #[serde(deserialize_with = "lenient::latest")]
    pub bytes_used: u64,
    /// Bytes that its users could still store.
    #[serde(deserialize_with = "lenient::latest")]
    pub max_avail: u64,
}

/// A replicated or erasure-coded pool to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(Deserialize))]
pub struct NewPool {
    /// Its name.
    #[serde(rename = "pool")]
    pub name: String,
    /// `replicated` or `erasure`.
    #[serde(rename = "pool_type")]
    pub kind: String,
    /// Placement groups to begin with.
    pub pg_num: u32,
    /// How many copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// With how few it still takes writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_size: Option<u32>,
    /// `on`, `warn`, `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pg_autoscale_mode: Option<String>,
    /// The CRUSH rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_name: Option<String>,
    /// How it is coded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erasure_code_profile: Option<String>,
    /// What uses it, a mark of ownership included.
    pub application_metadata: Vec<String>,
    /// How many bytes may be stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_max_bytes: Option<u64>,
    /// How many objects may be stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_max_objects: Option<u64>,
}

impl NewPool {
    /// A replicated pool with so many copies; the rest as Ceph chooses.
    pub fn replicated(name: impl Into<String>, pg_num: u32, size: u32) -> Self {
        Self {
            name: name.into(),
            kind: "replicated".to_owned(),
            pg_num,
            size: Some(size),
            min_size: None,
            pg_autoscale_mode: None,
            rule_name: None,
            erasure_code_profile: None,
            application_metadata: Vec::new(),
            quota_max_bytes: None,
            quota_max_objects: None,
        }
    }
}

/// A change to a pool: what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(Deserialize), serde(deny_unknown_fields))]
pub struct PoolChange {
    /// How many copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// With how few it still takes writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_size: Option<u32>,
    /// Placement groups. The cluster moves there slowly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pg_num: Option<u32>,
    /// `on`, `warn`, `off`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pg_autoscale_mode: Option<String>,
    /// The CRUSH rule: moves all data.
    #[serde(rename = "crush_rule", skip_serializing_if = "Option::is_none")]
    pub rule_name: Option<String>,
    /// **All** that use it: names left out are taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_metadata: Option<Vec<String>>,
    /// How many bytes may be stored; 0 lifts the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_max_bytes: Option<u64>,
    /// How many objects may be stored; 0 lifts the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota_max_objects: Option<u64>,
}

/// How far a write is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Finished.
    Now,
    /// Under way, and it may still fail: look at the pool, and at [`tasks`](Ceph::tasks) for the reason.
    Later,
}

impl Done {
    fn of(answer: &Answer) -> Self {
        if answer.status() == StatusCode::ACCEPTED { Self::Later } else { Self::Now }
    }
}

impl Ceph {
    /// All pools with what is in them.
    pub async fn list_pools(&self) -> Result<Vec<Pool>, CephError> {
        Ok(self.ask(Call::get("/api/pool").query("stats", true)).await?.json()?)
    }

    /// One pool with what is in it; none where there is none.
    pub async fn pool(&self, name: &str) -> Result<Option<Pool>, CephError> {
        let call = Call::get("/api/pool/{pool}").arg("pool", name).query("stats", true);
        match self.ask(call).await {
            Ok(answer) => Ok(Some(answer.json()?)),
            // The manager says "The path 'No such pool' was not found."
            Err(CephError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a pool, after a look that there is none of this name: the manager would change that one without a word.
    ///
    /// Several commands are behind this. A failure may leave a pool that lacks the later ones (application, quota):
    /// look, and bring it to what is wanted by [`change_pool`](Self::change_pool).
    pub async fn create_pool(&self, pool: &NewPool) -> Result<Done, CephError> {
        if self.pool(&pool.name).await?.is_some() {
            return Err(CephError::PoolExists(pool.name.clone()));
        }
        Ok(Done::of(&self.ask(Call::post("/api/pool").json(pool)).await?))
    }

    /// Changes a pool.
    pub async fn change_pool(&self, name: &str, change: &PoolChange) -> Result<Done, CephError> {
        let call = Call::put("/api/pool/{pool}").arg("pool", name).json(change);
        Ok(Done::of(&self.ask(call).await?))
    }

    /// Deletes a pool **with everything in it**. Also succeeds where there is none. Clusters refuse it unless
    /// `mon_allow_pool_delete` is set.
    pub async fn delete_pool(&self, name: &str) -> Result<Done, CephError> {
        Ok(Done::of(&self.ask(Call::delete("/api/pool/{pool}").arg("pool", name)).await?))
    }
}
