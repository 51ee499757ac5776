//! What several kinds share: references, trust, deletion, and the names of labels, annotations and finalizers.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// Set to `"true"`: the operator looks at the object no more and changes nothing for it.
pub const PAUSED_ANNOTATION: &str = "skyy.helloskyy.io/paused";
/// Set to `"true"`: the operator says in `status.plan` what it would do, and does nothing.
pub const PLAN_ONLY_ANNOTATION: &str = "skyy.helloskyy.io/plan-only";
/// Any new value: look now. Answered in `status.lastHandledReconcileAt`.
pub const RECONCILE_AT_ANNOTATION: &str = "skyy.helloskyy.io/reconcile-at";
/// The number of deletions that a person has confirmed for one batch, on the endpoint's object.
pub const CONFIRM_DELETES_ANNOTATION: &str = "skyy.helloskyy.io/confirm-deletes";
/// On rows made by an AddressPool: the pool's name.
pub const POOL_LABEL: &str = "skyy.helloskyy.io/address-pool";
/// On rows made by an AddressPool: the external address, with dashes for dots and colons.
pub const ADDRESS_LABEL: &str = "skyy.helloskyy.io/address";
/// On Secrets that the operator reads: not required, shown by `kubectl get -l`.
pub const CREDENTIALS_LABEL: &str = "skyy.helloskyy.io/credentials";
/// The finalizer of every kind: something outside has to be looked after before the object may go.
pub const FINALIZER: &str = "skyy.helloskyy.io/cleanup";

/// One key of a Secret. The namespace is named, because the object that refers to it may have none.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// The Secret's namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in its data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

impl std::fmt::Display for SecretKeyRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret {}/{}, key {}", self.namespace, self.name, self.key)
    }
}

/// One key of a Secret in the object's own namespace.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct LocalKeyRef {
    /// The Secret's or ConfigMap's name, in the namespace of the object that names it.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key in its data.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// Where a credential stands.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Credential {
    /// The Secret and its key.
    pub secret: SecretKeyRef,
}

/// How the endpoint's certificate is trusted. Left out: the public certificate authorities.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[x_kube(
    validation = Rule::new("!(has(self.sha256) && has(self.caBundle))")
        .message("give sha256 or caBundle, not both")
)]
#[serde(rename_all = "camelCase")]
pub struct TlsTrust {
    /// SHA-256 fingerprints of the certificates to accept, as `AB:CD:…`; one per node where nodes differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        inner(length(max = 95), regex(pattern = r"^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$"))
    )]
    pub sha256: Vec<String>,
    /// PEM certificates of the authorities to accept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536))]
    pub ca_bundle: Option<String>,
}

/// What happens outside when the object inside is deleted.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, schemars::JsonSchema)]
pub enum DeletionPolicy {
    /// What the object made is removed.
    #[default]
    Delete,
    /// What the object made stays as it is, without an owner.
    Retain,
}

/// For things whose loss is the loss of data: they stay unless the spec says otherwise.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq, schemars::JsonSchema)]
pub enum DataDeletionPolicy {
    /// What the object made stays as it is, without an owner.
    #[default]
    Retain,
    /// What the object made is removed, once nothing is in it.
    Delete,
}

pub(crate) fn yes() -> bool {
    true
}
