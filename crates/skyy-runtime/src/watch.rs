//! Watching the objects of a kind: undecodable ones are set aside, the rest stand in a store that others may read.

use std::{collections::HashMap, sync::Mutex, sync::PoisonError};

use futures::{Stream, StreamExt, stream};
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{Patch, PatchParams},
    core::{DeserializeGuard, error_boundary::InvalidObject},
    runtime::{
        WatchStreamExt,
        reflector::{self, ObjectRef, Store},
        watcher::{self, Event},
    },
};
use serde_json::json;
use tokio::sync::mpsc;

use crate::{kind::Object, metrics::Metrics, scope::ApiScope, status::FIELD_MANAGER};

/// An object that should be looked at now.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Wake {
    /// Its namespace; none for objects of the cluster.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl Wake {
    /// The object.
    pub fn of<K: Resource>(object: &K) -> Self {
        Self { namespace: object.namespace(), name: object.name_any() }
    }

    pub(crate) fn object_ref<K: Resource<DynamicType = ()>>(&self) -> ObjectRef<K> {
        let reference = ObjectRef::new(&self.name);
        match &self.namespace {
            Some(namespace) => reference.within(namespace),
            None => reference,
        }
    }
}

/// Wakes objects of one kind.
#[derive(Clone, Debug)]
pub struct Waker(mpsc::UnboundedSender<Wake>);

impl Waker {
    /// A waker and the stream of what it wakes.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Wake>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self(sender), receiver)
    }

    /// This object is looked at soon. Waking one twice before it is looked at costs one look.
    pub fn wake(&self, wake: Wake) {
        // The controller ends before its wakers when the process stops; nobody is left to look then.
        drop(self.0.send(wake));
    }
}

/// What the watch knows of a kind's objects.
#[derive(Clone, Debug)]
pub struct Lookup<K: Resource<DynamicType = ()> + 'static> {
    store: Store<K>,
    listed: tokio::sync::watch::Receiver<bool>,
}

/// Tells that the first list is in. The store's own signal wakes one waiter only, and there are several.
#[derive(Clone, Debug)]
pub(crate) struct Listed(tokio::sync::watch::Sender<bool>);

impl Listed {
    pub(crate) fn new() -> (Self, tokio::sync::watch::Receiver<bool>) {
        let (sender, receiver) = tokio::sync::watch::channel(false);
        (Self(sender), receiver)
    }

    /// Hears an event of the watch, after the store has.
    pub(crate) fn hear<K>(&self, event: &Result<Event<K>, watcher::Error>) {
        if matches!(event, Ok(Event::InitDone)) {
            self.0.send_replace(true);
        }
    }
}

impl<K: Resource<DynamicType = ()> + Clone + 'static> Lookup<K> {
    pub(crate) fn new(store: Store<K>, listed: tokio::sync::watch::Receiver<bool>) -> Self {
        Self { store, listed }
    }

    /// The object, where the watch has seen it.
    pub fn get(&self, namespace: Option<&str>, name: &str) -> Option<std::sync::Arc<K>> {
        let wake = Wake { namespace: namespace.map(Into::into), name: name.into() };
        self.store.get(&wake.object_ref())
    }

    /// All objects.
    pub fn all(&self) -> Vec<std::sync::Arc<K>> {
        self.store.state()
    }

    /// Waits until the first list is in. False when the watch has ended.
    pub async fn ready(&self) -> bool {
        self.listed.clone().wait_for(|listed| *listed).await.is_ok()
    }
}

/// Watches objects that are only read: what is known of them, and the work that keeps it known.
pub fn follow<K>(api: Api<K>) -> (Lookup<K>, impl Future<Output = ()> + Send)
where
    K: Resource<DynamicType = ()>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let (reader, writer) = reflector::store();
    let (told, listed) = Listed::new();
    let work = async move {
        let events = watcher::watcher(api, watcher::Config::default()).default_backoff().reflect(writer);
        events
            .for_each(async |event| {
                told.hear(&event);
                if let Err(error) = event {
                    tracing::warn!(%error, kind = %K::kind(&()), "watch");
                }
            })
            .await;
    };
    (Lookup::new(reader, listed), work)
}

/// Tells of every object that this version cannot read, once a generation, in its status.
pub(crate) struct SetAside {
    client: Client,
    metrics: Metrics,
    kind: &'static str,
    told: Mutex<HashMap<String, Option<i64>>>,
}

impl SetAside {
    pub(crate) fn new(client: Client, metrics: Metrics, kind: &'static str) -> Self {
        Self { client, metrics, kind, told: Mutex::default() }
    }

    fn tell<K: Object>(&self, invalid: InvalidObject) {
        let InvalidObject { error, metadata } = invalid;
        let uid = metadata.uid.clone().unwrap_or_default();
        let before =
            self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, metadata.generation);
        if before == Some(metadata.generation) {
            return;
        }
        self.metrics.undecodable(self.kind);
        let name = metadata.name.clone().unwrap_or_default();
        tracing::warn!(
            kind = self.kind,
            namespace = metadata.namespace,
            name,
            error,
            "object set aside: not readable"
        );
        let api: Api<K> = <K::Scope as ApiScope>::api(self.client.clone(), metadata.namespace.as_deref());
        tokio::spawn(async move {
            let message = format!("this version of the operator cannot read the object: {error}");
            let condition = |type_: &str, status: &str| {
                json!({
                    "type": type_, "status": status, "reason": "Invalid", "message": message,
                    "observedGeneration": metadata.generation,
                    "lastTransitionTime": metadata.creation_timestamp,
                })
            };
            let body = json!({
                "apiVersion": K::api_version(&()), "kind": K::kind(&()),
                "status": {
                    "observedGeneration": metadata.generation,
                    "conditions": [condition("Ready", "False"), condition("Stalled", "True")],
                },
            });
            let params = PatchParams::apply(FIELD_MANAGER).force();
            if let Err(error) = api.patch_status(&name, &params, &Patch::Apply(&body)).await {
                tracing::warn!(%error, name, "could not say that the object is not readable");
            }
        });
    }
}

/// All events of a kind's objects that can be read; the others are told and left out.
///
/// An object that could be read before and cannot now keeps the place it had until the next full list.
pub(crate) fn readable<K: Object>(
    api: Api<DeserializeGuard<K>>,
    set_aside: SetAside,
) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send {
    watcher::watcher(api, watcher::Config::default().any_semantic()).default_backoff().flat_map(
        move |event| {
            let mapped = match event {
                Ok(Event::Apply(DeserializeGuard(object))) => {
                    keep(object, &set_aside).map(Event::Apply).map(Ok)
                }
                Ok(Event::InitApply(DeserializeGuard(object))) => {
                    keep(object, &set_aside).map(Event::InitApply).map(Ok)
                }
                Ok(Event::Delete(DeserializeGuard(object))) => object.ok().map(Event::Delete).map(Ok),
                Ok(Event::Init) => Some(Ok(Event::Init)),
                Ok(Event::InitDone) => Some(Ok(Event::InitDone)),
                Err(error) => Some(Err(error)),
            };
            stream::iter(mapped)
        },
    )
}

fn keep<K: Object>(object: Result<K, InvalidObject>, set_aside: &SetAside) -> Option<K> {
    object.map_err(|invalid| set_aside.tell::<K>(invalid)).ok()
}
