//! All objects of our kinds, and the Secrets, Namespaces and ConfigMaps that they name, as one value.
//!
//! Filled from files, from a cluster, or from both; whoever looks at it does not know from where.

use std::collections::BTreeMap;

use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Namespace, Secret},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::core::{Selector, SelectorExt as _};
use serde_json::Value;
use skyy_api::{
    AddressClaim, AddressPool, CephCluster, CephPool, Deployment, DhcpReservation, Firewall, FirewallRule,
    GROUP, NatMapping, ProxmoxCluster, ProxmoxHost, SecretKeyRef, VirtualIp,
};

/// Objects of one kind by namespace (empty where the kind has none) and name.
pub type Objects<T> = BTreeMap<(String, String), T>;

/// All objects.
#[derive(Clone, Default)]
pub struct World {
    /// Proxmox VE clusters.
    pub proxmox_clusters: Objects<ProxmoxCluster>,
    /// Their nodes.
    pub proxmox_hosts: Objects<ProxmoxHost>,
    /// Guests.
    pub deployments: Objects<Deployment>,
    /// Firewalls.
    pub firewalls: Objects<Firewall>,
    /// Rules.
    pub firewall_rules: Objects<FirewallRule>,
    /// Virtual IPs.
    pub virtual_ips: Objects<VirtualIp>,
    /// 1:1 NAT.
    pub nat_mappings: Objects<NatMapping>,
    /// Static mappings.
    pub dhcp_reservations: Objects<DhcpReservation>,
    /// Pools of addresses.
    pub address_pools: Objects<AddressPool>,
    /// Who has an address.
    pub address_claims: Objects<AddressClaim>,
    /// Ceph clusters.
    pub ceph_clusters: Objects<CephCluster>,
    /// Ceph pools.
    pub ceph_pools: Objects<CephPool>,
    /// Credentials. Never shown: this type has no `Debug`.
    pub secrets: Objects<Secret>,
    /// Namespaces.
    pub namespaces: Objects<Namespace>,
    /// ConfigMaps.
    pub config_maps: Objects<ConfigMap>,
}

/// The group of an `apiVersion`; empty for the core group.
pub fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

impl World {
    /// Takes an object of a kind that matters here; says whether it is one. An object of the same name is replaced.
    pub fn insert(&mut self, object: &Value) -> Result<bool, serde_json::Error> {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let key = (text("/metadata/namespace").to_owned(), text("/metadata/name").to_owned());
        macro_rules! take {
            ($table:ident) => {{
                self.$table.insert(key, serde_json::from_value(object.clone())?);
                return Ok(true);
            }};
        }
        match (group_of(text("/apiVersion")), text("/kind")) {
            (GROUP, "ProxmoxCluster") => take!(proxmox_clusters),
            (GROUP, "ProxmoxHost") => take!(proxmox_hosts),
            (GROUP, "Deployment") => take!(deployments),
            (GROUP, "Firewall") => take!(firewalls),
            (GROUP, "FirewallRule") => take!(firewall_rules),
            (GROUP, "VirtualIP") => take!(virtual_ips),
            (GROUP, "NatMapping") => take!(nat_mappings),
            (GROUP, "DhcpReservation") => take!(dhcp_reservations),
            (GROUP, "AddressPool") => take!(address_pools),
            (GROUP, "AddressClaim") => take!(address_claims),
            (GROUP, "CephCluster") => take!(ceph_clusters),
            (GROUP, "CephPool") => take!(ceph_pools),
            ("", "Secret") => {
                let mut secret: Secret = serde_json::from_value(object.clone())?;
                let texts = secret.string_data.take().unwrap_or_default();
                let data = secret.data.get_or_insert_default();
                data.extend(texts.into_iter().map(|(key, text)| (key, ByteString(text.into_bytes()))));
                self.secrets.insert(key, secret);
                Ok(true)
            }
            ("", "Namespace") => take!(namespaces),
            ("", "ConfigMap") => take!(config_maps),
            _ => Ok(false),
        }
    }

    /// An object of one of our kinds as JSON.
    pub fn find(&self, kind: &str, key: &(String, String)) -> Result<Option<Value>, serde_json::Error> {
        macro_rules! found {
            ($table:ident) => {
                self.$table.get(key).map(serde_json::to_value).transpose()
            };
        }
        match kind {
            "ProxmoxCluster" => found!(proxmox_clusters),
            "ProxmoxHost" => found!(proxmox_hosts),
            "Deployment" => found!(deployments),
            "Firewall" => found!(firewalls),
            "FirewallRule" => found!(firewall_rules),
            "VirtualIP" => found!(virtual_ips),
            "NatMapping" => found!(nat_mappings),
            "DhcpReservation" => found!(dhcp_reservations),
            "AddressPool" => found!(address_pools),
            "AddressClaim" => found!(address_claims),
            "CephCluster" => found!(ceph_clusters),
            "CephPool" => found!(ceph_pools),
            _ => Ok(None),
        }
    }

    /// The value of a key of a Secret, if both are here and it is text.
    pub fn secret(&self, reference: &SecretKeyRef) -> Option<String> {
        let secret = self.secrets.get(&(reference.namespace.clone(), reference.name.clone()))?;
        let bytes = secret.data.as_ref()?.get(&reference.key)?;
        // What an editor leaves at the end of a file is no part of a key.
        String::from_utf8(bytes.0.clone()).ok().map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// The labels of a namespace; the one that every namespace has is always among them.
    pub fn namespace_labels(&self, name: &str) -> Option<BTreeMap<String, String>> {
        let namespace = self.namespaces.get(&(String::new(), name.to_owned()))?;
        let mut labels = namespace.metadata.labels.clone().unwrap_or_default();
        labels.entry("kubernetes.io/metadata.name".to_owned()).or_insert_with(|| name.to_owned());
        Some(labels)
    }
}

/// Whether a selector takes these labels. One that cannot be read takes none.
pub fn allows(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    Selector::try_from(selector.clone()).is_ok_and(|selector| selector.matches(labels))
}
