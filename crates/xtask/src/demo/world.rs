//! What the API server has of our kinds, kept up to date by watches, and how far each object is. Knows the conditions
//! that every kind has, and nothing of any kind.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use kube::api::{ApiResource, DynamicObject};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::reflector::store::{Store, Writer};
use kube::runtime::{WatchStreamExt as _, reflector, watcher};
use kube::{Api, Client, Config, ResourceExt as _};
use tokio::task::JoinSet;

use super::operator::metric;

/// Verbs, as the API server counts them, that change something.
const WRITES: [&str; 5] = ["APPLY", "PATCH", "POST", "PUT", "DELETE"];

/// All objects of our kinds.
pub struct World {
    client: Client,
    kinds: Vec<(ApiResource, Store<DynamicObject>)>,
    // Ends the watches when dropped.
    _watches: JoinSet<()>,
}

/// How far one object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// `namespace/name`, or the name alone.
    pub name: String,
    /// Ready for the spec as it is now.
    pub ready: bool,
    /// Why not, in the operator's words.
    pub reason: String,
    /// The same, at length.
    pub message: String,
    /// Changes with every write.
    pub version: String,
}

/// The objects of one kind.
#[derive(Clone, Debug, Default)]
pub struct Kind {
    /// Its name.
    pub name: String,
    /// What it has, by name.
    pub objects: Vec<Object>,
}

impl Kind {
    /// How many are Ready.
    pub fn ready(&self) -> usize {
        self.objects.iter().filter(|object| object.ready).count()
    }

    /// The first, by name, that is not.
    pub fn waiting(&self) -> Option<&Object> {
        self.objects.iter().find(|object| !object.ready)
    }
}

impl World {
    /// Begins to watch.
    pub async fn watch(kubeconfig: &Path) -> Result<Self> {
        let kubeconfig = Kubeconfig::read_from(kubeconfig).context("reading the kubeconfig")?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .context("reading the kubeconfig")?;
        let client = Client::try_from(config).context("using the kubeconfig")?;
        let mut watches = JoinSet::new();
        let mut kinds = Vec::new();
        for crd in skyy_api::all_crds() {
            let version = crd.spec.versions.first().map(|version| version.name.clone()).unwrap_or_default();
            let resource = ApiResource {
                api_version: format!("{}/{version}", crd.spec.group),
                group: crd.spec.group,
                version,
                kind: crd.spec.names.kind,
                plural: crd.spec.names.plural,
            };
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            let writer = Writer::new(resource.clone());
            kinds.push((resource, writer.as_reader()));
            let stream = watcher(api, watcher::Config::default())
                .default_backoff()
                // Names of field owners are half of an object and of no interest here.
                .modify(|object| object.managed_fields_mut().clear());
            watches.spawn(reflector(writer, stream).for_each(|_| futures::future::ready(())));
        }
        Ok(Self { client, kinds, _watches: watches })
    }

    /// Everything as it is now, in the order in which a newcomer meets the kinds.
    pub fn look(&self) -> Vec<Kind> {
        self.kinds
            .iter()
            .map(|(resource, store)| {
                let mut objects: Vec<Object> = store.state().iter().map(|object| judge(object)).collect();
                objects.sort_by(|a, b| a.name.cmp(&b.name));
                Kind { name: resource.kind.clone(), objects }
            })
            .collect()
    }

    /// One kind's objects in full.
    pub fn objects(&self, kind: &str) -> Vec<Arc<DynamicObject>> {
        let store = self.kinds.iter().find(|(resource, _)| resource.kind == kind);
        store.map(|(_, store)| store.state()).unwrap_or_default()
    }

    /// Every object with its version and all it says, by kind and name.
    pub fn contents(&self) -> BTreeMap<String, (String, serde_json::Value)> {
        let mut contents = BTreeMap::new();
        for (resource, store) in &self.kinds {
            for object in store.state() {
                let version = object.resource_version().unwrap_or_default();
                contents
                    .insert(format!("{} {}", resource.kind, named(&object)), (version, object.data.clone()));
            }
        }
        contents
    }

    /// The client, for what is asked once.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// How many writes the API server has taken or refused so far, to objects of ours and to events.
    pub async fn api_writes(&self) -> Result<u64> {
        let text = self.api_metrics().await?;
        Ok(metric(&text, "apiserver_request_total", |labels| {
            let group = |name: &str| labels.contains(&format!("group=\"{name}\""));
            let write = WRITES.iter().any(|verb| labels.contains(&format!("verb=\"{verb}\"")));
            write && (group(crate::control_plane::GROUP) || group("events.k8s.io"))
        }))
    }

    /// How many requests were refused for want of a right.
    pub async fn api_forbidden(&self) -> Result<u64> {
        let text = self.api_metrics().await?;
        Ok(metric(&text, "apiserver_request_total", |labels| labels.contains("code=\"403\"")))
    }

    async fn api_metrics(&self) -> Result<String> {
        let request = http::Request::get("/metrics").body(Vec::new()).context("making a request")?;
        self.client.request_text(request).await.context("asking the API server for its metrics")
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("kinds", &self.kinds.len()).finish_non_exhaustive()
    }
}

fn judge(object: &DynamicObject) -> Object {
    let name = named(object);
    let version = object.resource_version().unwrap_or_default();
    let status = &object.data["status"];
    let ready = status["conditions"]
        .as_array()
        .and_then(|conditions| conditions.iter().find(|condition| condition["type"] == "Ready"));
    let generation = object.metadata.generation;
    let text = |field: &str| -> String {
        ready.and_then(|condition| condition[field].as_str()).unwrap_or_default().to_owned()
    };
    let answered = status["observedGeneration"].as_i64() == generation;
    let deleting = object.metadata.deletion_timestamp.is_some();
    let is_ready = ready.is_some_and(|condition| condition["status"] == "True") && answered && !deleting;
    let (mut reason, mut message) = (text("reason"), text("message"));
    if ready.is_none() {
        message = String::from("not looked at yet");
    } else if is_ready {
        (reason, message) = (String::new(), String::new());
    } else if deleting {
        reason = String::from("Deleting");
    } else if !answered {
        let _ = write!(message, " (of an earlier spec)");
    }
    Object { name, ready: is_ready, reason, message, version }
}

fn named(object: &DynamicObject) -> String {
    let name = object.name_any();
    object.namespace().map_or_else(|| name.clone(), |space| format!("{space}/{name}"))
}

/// How often the world is looked at.
pub const LOOK: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn object(status: Value, deleting: bool) -> Object {
        let mut value = json!({
            "apiVersion": "a/v1", "kind": "Thing",
            "metadata": {"name": "x", "namespace": "n", "generation": 2, "resourceVersion": "7"},
            "status": status,
        });
        if deleting {
            value["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        judge(&serde_json::from_value(value).unwrap())
    }

    #[test]
    fn ready_is_ready_for_the_spec_as_it_is() {
        #[track_caller]
        fn check(status: Value, deleting: bool, ready: bool, message: &str) {
            let object = object(status, deleting);
            assert_eq!((object.ready, object.message.as_str()), (ready, message));
            assert_eq!((object.name.as_str(), object.version.as_str()), ("n/x", "7"));
        }
        let status = |observed: i64, ready: &str| {
            json!({
                "observedGeneration": observed,
                "conditions": [
                    {"type": "Other", "status": "True", "message": "no"},
                    {"type": "Ready", "status": ready, "reason": "R", "message": "said"},
                ],
            })
        };
        check(status(2, "True"), false, true, "");
        check(status(2, "False"), false, false, "said");
        check(status(1, "True"), false, false, "said (of an earlier spec)");
        check(status(2, "True"), true, false, "said");
        check(json!({"observedGeneration": -1}), false, false, "not looked at yet");
        check(Value::Null, false, false, "not looked at yet");
    }
}
