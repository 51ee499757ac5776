//! AddressClaim: who has an address of a pool.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

/// Who has an address of an AddressPool.
///
/// Its name follows from the pool and the address, so the API server itself sees to it that an address is claimed once.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[kube(
    group = "skyy.helloskyy.io",
    version = "v1alpha1",
    kind = "AddressClaim",
    plural = "addressclaims",
    shortname = "aclaim",
    category = "skyy",
    status = "AddressClaimStatus",
    derive = "PartialEq",
    doc = "Who has an address of an AddressPool. Made by the operator for a guest of a Deployment; its name follows from the pool and the address, so that the API server lets an address be claimed once only.",
    printcolumn(name = "Pool", type_ = "string", json_path = ".spec.pool"),
    printcolumn(name = "External", type_ = "string", json_path = ".spec.external"),
    printcolumn(name = "Namespace", type_ = "string", json_path = ".spec.claimant.namespace"),
    printcolumn(name = "Guest", type_ = "string", json_path = ".spec.claimant.guest"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("self == oldSelf").message("a claim cannot be changed: delete and create instead"))]
#[serde(rename_all = "camelCase")]
pub struct AddressClaimSpec {
    /// The AddressPool's name.
    #[schemars(length(min = 1, max = 63))]
    pub pool: String,
    /// The external address.
    #[x_kube(validation = Rule::new("isIP(self)").message("must be an IP address"))]
    #[schemars(length(max = 45))]
    pub external: String,
    /// Who has it.
    pub claimant: Claimant,
}

/// Who has a claimed address.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Claimant {
    /// The Deployment's namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// The Deployment's name.
    #[schemars(length(min = 1, max = 253))]
    pub deployment: String,
    /// The Deployment's uid: another one of the same name does not inherit the claim.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// The guest's name.
    #[schemars(length(min = 1, max = 253))]
    pub guest: String,
}

/// The name of the claim on an address of a pool.
pub fn claim_name(pool: &str, external: std::net::IpAddr) -> String {
    format!("{pool}-{}", crate::address::in_a_name(external))
}

crate::status::status! {
    /// Whether the address is published.
    AddressClaimStatus {}
}
