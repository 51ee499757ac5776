//! The operator's eyes over an API server in memory: what its kinds know of other objects, and how they are told.

use std::{sync::Arc, time::Duration};

use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use skyy_http::{CallObserver, CallRecord};
use skyy_runtime::{Lookup, Waker, watch::follow};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::memory;
use crate::world::World;

/// How long the first look at an endpoint may take.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);
/// How soon to see whether it is done.
pub(super) const SOON: Duration = Duration::from_millis(50);

/// Nobody counts the calls of a plan.
#[derive(Debug)]
pub(super) struct Quiet;

impl CallObserver for Quiet {
    fn finished(&self, _: &CallRecord) {}
}

/// An API server in memory, and the watches over it. All ends with this.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) stop: CancellationToken,
    tasks: TaskTracker,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Session {
    pub(super) fn new(world: &World) -> anyhow::Result<Self> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        Ok(Self { client: memory::client(world)?, stop, tasks })
    }

    /// All objects of a kind, once they are known.
    pub(super) async fn lookup<K>(&self) -> Lookup<K>
    where
        K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
    {
        let (lookup, work) = follow::<K>(Api::all(self.client.clone()));
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = stop.cancelled() => {}
            }
        });
        lookup.ready().await;
        lookup
    }

    /// A waker that nobody hears.
    pub(super) fn waker() -> Waker {
        Waker::new().0
    }

    /// A callback that does nothing.
    pub(super) fn nobody() -> Arc<dyn Fn(&str) + Send + Sync> {
        Arc::new(|_| {})
    }
}
