//! Objects as a person handles them: manifests applied, fields looked at, whatever the kind.
//!
//! It must not use the operator's types: what it reads is what `kubectl` would show.

use std::{collections::BTreeMap, path::Path, sync::LazyLock};

use kube::{
    Api, Client, Config,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions},
    config::{KubeConfigOptions, Kubeconfig},
    core::ApiResource,
};
use serde_json::{Value, json};

use super::{NAMESPACE, SYSTEM, World};

/// On every Secret of a test, by which it is found when the test is over.
const MINE: &str = "skyy.helloskyy.io/suite";

/// Under this name a person writes.
const PERSON: &str = "person";

/// How a kind is found at the API server.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) resource: ApiResource,
    pub(super) namespaced: bool,
    pub(super) ours: bool,
}

static KINDS: LazyLock<BTreeMap<String, Known>> = LazyLock::new(|| {
    let mut kinds = BTreeMap::new();
    for crd in skyy_api::all_crds() {
        let (group, version) = (crd.spec.group, crd.spec.versions[0].name.clone());
        let resource = ApiResource {
            api_version: format!("{group}/{version}"),
            group,
            version,
            kind: crd.spec.names.kind.clone(),
            plural: crd.spec.names.plural,
        };
        let namespaced = crd.spec.scope == "Namespaced";
        kinds.insert(crd.spec.names.kind, Known { resource, namespaced, ours: true });
    }
    for (group, version, kind, plural, namespaced) in [
        ("", "v1", "Secret", "secrets", true),
        ("", "v1", "Namespace", "namespaces", false),
        ("events.k8s.io", "v1", "Event", "events", true),
        ("coordination.k8s.io", "v1", "Lease", "leases", true),
        ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", false),
    ] {
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let resource = ApiResource {
            group: group.into(),
            version: version.into(),
            api_version,
            kind: kind.into(),
            plural: plural.into(),
        };
        kinds.insert(kind.to_owned(), Known { resource, namespaced, ours: false });
    }
    kinds
});

/// Every kind of the operator.
pub(super) fn our_kinds() -> impl Iterator<Item = &'static Known> {
    KINDS.values().filter(|known| known.ours)
}

fn known(kind: &str) -> &'static Known {
    KINDS.get(kind).unwrap_or_else(|| panic!("{kind} is not a kind that the tests know"))
}

/// A client as the person of this kubeconfig.
pub(super) async fn client(kubeconfig: &Path) -> Client {
    skyy_controllers::install_crypto_provider();
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    Client::try_from(config).unwrap()
}

/// A manifest with some of its fields changed; objects are merged, everything else is replaced.
pub(crate) fn with(mut manifest: Value, changes: Value) -> Value {
    merge(&mut manifest, changes);
    manifest
}

/// Puts changes into a value.
pub(super) fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                merge(into.entry(name).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// An object as it stands at the API server.
#[derive(Clone, Debug)]
pub(crate) struct Object(pub(crate) Value);

impl Object {
    pub(crate) fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// The text at this place; empty where there is none.
    pub(crate) fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn generation(&self) -> i64 {
        self.0["metadata"]["generation"].as_i64().unwrap_or_default()
    }

    pub(crate) fn has_finalizer(&self) -> bool {
        self.0["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty())
    }

    /// Status and reason of a condition, as `True InSync`, if it answers the spec as it is now; else nothing.
    pub(crate) fn condition(&self, type_: &str) -> Option<String> {
        let found = self.raw_condition(type_)?;
        let current = found["observedGeneration"].as_i64() == Some(self.generation());
        current
            .then(|| format!("{} {}", found["status"].as_str().unwrap(), found["reason"].as_str().unwrap()))
    }

    /// What a condition says in words.
    pub(crate) fn message(&self, type_: &str) -> String {
        self.raw_condition(type_).map(|c| c["message"].as_str().unwrap().to_owned()).unwrap_or_default()
    }

    /// The plan in the status.
    pub(crate) fn plan(&self) -> Vec<String> {
        let lines = self.0["status"]["plan"].as_array();
        lines.into_iter().flatten().map(|line| line.as_str().unwrap().to_owned()).collect()
    }

    /// Ready for the spec as it is now, and said so of the status as a whole.
    pub(crate) fn is_ready(&self) -> bool {
        self.condition("Ready").is_some_and(|ready| ready.starts_with("True"))
            && self.0["status"]["observedGeneration"].as_i64() == Some(self.generation())
    }

    fn raw_condition(&self, type_: &str) -> Option<&Value> {
        self.0["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == type_)
    }

    /// One line for a person.
    pub(super) fn line(&self) -> String {
        let conditions = self.0["status"]["conditions"].as_array().into_iter().flatten().map(|c| {
            let text = |name: &str| c[name].as_str().unwrap_or_default().to_owned();
            format!("{}={} {} {:?}", text("type"), text("status"), text("reason"), text("message"))
        });
        let leaving = if self.0["metadata"]["deletionTimestamp"].is_null() { "" } else { " (leaving)" };
        format!(
            "{} {}/{}{leaving} generation {} seen {}: {}",
            self.text("/kind"),
            self.text("/metadata/namespace"),
            self.name(),
            self.generation(),
            self.0["status"]["observedGeneration"],
            conditions.collect::<Vec<_>>().join(", ")
        )
    }
}

impl World {
    fn api(&self, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let Known { resource, namespaced, .. } = known(kind);
        let default = if kind == "Secret" || kind == "Lease" { SYSTEM } else { NAMESPACE };
        if *namespaced {
            Api::namespaced_with(self.client.clone(), namespace.unwrap_or(default), resource)
        } else {
            Api::all_with(self.client.clone(), resource)
        }
    }

    /// Applies a manifest as a person would, and gives what the API server made of it.
    pub(crate) async fn apply(&self, manifest: Value) -> Object {
        self.try_apply(manifest).await.unwrap()
    }

    /// Applies a manifest that the API server may refuse.
    pub(crate) async fn try_apply(&self, mut manifest: Value) -> Result<Object, kube::Error> {
        let kind = manifest["kind"].as_str().unwrap().to_owned();
        manifest["apiVersion"] = json!(known(&kind).resource.api_version);
        if kind == "Secret" {
            merge(&mut manifest, json!({"metadata": {"labels": {MINE: "true"}}}));
        }
        let api = self.api(&kind, manifest["metadata"]["namespace"].as_str());
        let name = manifest["metadata"]["name"].as_str().unwrap().to_owned();
        let params = PatchParams::apply(PERSON).force();
        let object = api.patch(&name, &params, &Patch::Apply(&manifest)).await?;
        Ok(Object(serde_json::to_value(object).unwrap()))
    }

    /// Changes fields of an object.
    pub(crate) async fn patch(&self, kind: &str, name: &str, changes: Value) -> Object {
        let patched =
            self.api(kind, None).patch(name, &PatchParams::default(), &Patch::Merge(&changes)).await;
        Object(serde_json::to_value(patched.unwrap()).unwrap())
    }

    /// Sets an annotation of ours, or takes it off.
    pub(crate) async fn annotate(&self, kind: &str, name: &str, annotation: &str, value: Option<&str>) {
        let changes =
            json!({"metadata": {"annotations": {format!("skyy.helloskyy.io/{annotation}"): value}}});
        self.patch(kind, name, changes).await;
    }

    pub(crate) async fn get(&self, kind: &str, name: &str) -> Option<Object> {
        let object = self.api(kind, None).get_opt(name).await.unwrap()?;
        Some(Object(serde_json::to_value(object).unwrap()))
    }

    /// The objects of a kind, of all namespaces.
    pub(crate) async fn list(&self, kind: &str) -> Vec<Object> {
        let Known { resource, .. } = known(kind);
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), resource);
        let list = api.list(&ListParams::default()).await.unwrap();
        list.items.into_iter().map(|object| Object(serde_json::to_value(object).unwrap())).collect()
    }

    /// Asks for an object's deletion.
    pub(crate) async fn delete(&self, kind: &str, name: &str) {
        let _ = self.api(kind, None).delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Waits until the object fits.
    pub(crate) async fn seen(
        &self,
        kind: &str,
        name: &str,
        what: &str,
        fits: impl Fn(&Object) -> bool,
    ) -> Object {
        self.until(&format!("{kind} {name} {what}"), async || self.get(kind, name).await.filter(|o| fits(o)))
            .await
    }

    /// Waits until the object is Ready for its spec as it is now.
    pub(crate) async fn ready(&self, kind: &str, name: &str) -> Object {
        self.seen(kind, name, "is Ready", Object::is_ready).await
    }

    /// Waits until Ready is not true for this reason, and gives the words.
    pub(crate) async fn not_ready(&self, kind: &str, name: &str, ready: &str) -> String {
        let what = format!("has Ready={ready}");
        let object = self.seen(kind, name, &what, |o| o.condition("Ready").as_deref() == Some(ready)).await;
        object.message("Ready")
    }

    /// Waits until the object is gone.
    pub(crate) async fn gone(&self, kind: &str, name: &str) {
        self.until(&format!("{kind} {name} is gone"), async || {
            self.get(kind, name).await.is_none().then_some(())
        })
        .await;
    }

    /// The events with this reason: whom they regard, and how often they were counted.
    pub(crate) async fn events(&self, reason: &str) -> Vec<(String, i64)> {
        let mut found: Vec<_> = self
            .list("Event")
            .await
            .into_iter()
            .filter(|event| event.text("/reason") == reason)
            .map(|event| {
                let whom = format!("{} {}", event.text("/regarding/kind"), event.text("/regarding/name"));
                (whom, event.0["series"]["count"].as_i64().unwrap_or(1))
            })
            .collect();
        found.sort();
        found
    }

    /// The versions of all objects of ours and of the events about them: two that are equal have no write between them.
    pub(crate) async fn versions(&self) -> BTreeMap<String, String> {
        let mut versions = BTreeMap::new();
        for kind in our_kinds().map(|known| known.resource.kind.as_str()).chain(["Event"]) {
            for object in self.list(kind).await {
                versions.insert(
                    format!("{kind} {}/{}", object.text("/metadata/namespace"), object.name()),
                    object.text("/metadata/resourceVersion").to_owned(),
                );
            }
        }
        versions
    }

    pub(super) async fn all_objects(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for known in our_kinds() {
            let mut objects = self.list(&known.resource.kind).await;
            // Of many alike, those in trouble are of interest.
            objects.sort_by_key(Object::is_ready);
            let more = objects.len().saturating_sub(40);
            lines.extend(objects.iter().take(40).map(Object::line));
            if more > 0 {
                lines.push(format!("… and {more} more of {}", known.resource.kind));
            }
        }
        lines
    }

    /// Removes every object, whatever holds it, so that the next test begins with none. The operator must not run.
    pub(super) async fn sweep(&self) {
        for known in our_kinds() {
            for object in self.list(&known.resource.kind).await {
                let api = self.api(&known.resource.kind, Some(object.text("/metadata/namespace")));
                let (name, uid) = (object.name(), object.text("/metadata/uid").to_owned());
                if object.has_finalizer() {
                    let free = json!({"metadata": {"finalizers": null, "uid": uid}});
                    api.patch(name, &PatchParams::default(), &Patch::Merge(&free)).await.unwrap();
                }
                let params = DeleteParams {
                    preconditions: Some(Preconditions { uid: Some(uid), resource_version: None }),
                    ..DeleteParams::default()
                };
                match api.delete(name, &params).await {
                    Ok(_) => {}
                    // It had been asked to go before, and went with its finalizer.
                    Err(kube::Error::Api(status)) if status.is_not_found() => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
        // In a cluster that was given there may be others of these.
        let mine = ListParams::default().labels(MINE);
        let told = ListParams::default().fields("reportingController=skyy-command");
        let lease = ListParams::default().fields("metadata.name=skyy-command");
        for (kind, namespace, which) in [
            ("Secret", SYSTEM, &mine),
            ("Event", NAMESPACE, &told),
            ("Event", "default", &told),
            ("Lease", SYSTEM, &lease),
        ] {
            let api = self.api(kind, Some(namespace));
            let _ = api.delete_collection(&DeleteParams::default(), which).await.unwrap();
        }
    }
}
