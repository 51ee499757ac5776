//! The finalizer: kept on an object while something of it may be outside.

use kube::{
    Api, Resource, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::json;
use skyy_api::common::FINALIZER;

use crate::kind::Object;

/// Does the object carry our finalizer?
pub fn present<K: Resource>(object: &K) -> bool {
    object.finalizers().iter().any(|name| name == FINALIZER)
}

/// Puts our finalizer on the object, and returns the object as it now is.
///
/// Bound to the version that was read: had somebody else changed the list meanwhile, the patch is refused.
pub async fn add<K: Object>(api: &Api<K>, object: &K) -> Result<K, kube::Error> {
    let mut finalizers = object.finalizers().to_vec();
    finalizers.push(FINALIZER.into());
    write(api, object, &finalizers).await
}

/// Takes our finalizer off the object, which may then go.
pub async fn remove<K: Object>(api: &Api<K>, object: &K) -> Result<(), kube::Error> {
    let left: Vec<String> = object.finalizers().iter().filter(|name| *name != FINALIZER).cloned().collect();
    match write(api, object, &left).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(error),
    }
}

async fn write<K: Object>(api: &Api<K>, object: &K, finalizers: &[String]) -> Result<K, kube::Error> {
    let patch = json!({
        "metadata": { "resourceVersion": object.resource_version(), "uid": object.uid(), "finalizers": finalizers }
    });
    api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(&patch)).await
}
