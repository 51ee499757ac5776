//! What objects name: is it here, and may they name it?
//!
//! A set of files need not be everything that a cluster has, so a name that is not here is a note, once; where others
//! of its kind are here, it is more likely a slip of the pen, and a warning.

use std::collections::{BTreeMap, btree_map::Entry};

use skyy_api::{SecretKeyRef, common::LocalKeyRef};

use super::Set;
use crate::{
    import::report::Level,
    manifests::path::Path,
    world::{World, allows},
};

/// One name of another object, and where it stands.
struct Reference {
    kind: &'static str,
    namespace: String,
    name: String,
    path: String,
    to: Target,
}

/// What is named.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Object(&'static str, String),
    Key { kind: &'static str, namespace: String, name: String, key: String },
    Namespace(String),
}

pub(super) fn check(set: &mut Set<'_>) {
    let references = collect(&set.world);
    // Target → the first place that names it, and how many more do.
    let mut missing: BTreeMap<Target, (Level, usize, Path, String, usize)> = BTreeMap::new();
    for Reference { kind, namespace, name, path, to } in references {
        let Some(n) = set.index(kind, &namespace, &name) else { continue };
        let Some((level, message)) = look(set, &to) else { continue };
        match missing.entry(to) {
            Entry::Vacant(free) => {
                free.insert((level, n, Path::parse(&path), message, 0));
            }
            Entry::Occupied(mut taken) => taken.get_mut().4 += 1,
        }
    }
    for (level, n, path, message, more) in missing.into_values() {
        let more = if more > 0 { format!(" ({more} more name it)") } else { String::new() };
        set.say(level, n, &path, &format!("{message}{more}"));
    }
    namespaces(set);
}

/// What is wrong with a name.
fn look(set: &Set<'_>, to: &Target) -> Option<(Level, String)> {
    match to {
        Target::Object(kind, name) => {
            if set.index(kind, "", name).is_some() {
                return None;
            }
            let others: Vec<&str> =
                set.at.keys().filter(|(other, ..)| other == kind).map(|(_, _, name)| name.as_str()).collect();
            let message = format!("{kind} {name} is not among these files");
            Some(if others.is_empty() {
                (Level::Note, format!("{message}: it has to be in the cluster"))
            } else {
                (Level::Warning, format!("{message}; there is {}", some(others)))
            })
        }
        Target::Key { kind, namespace, name, key } => {
            if set.index(kind, namespace, name).is_none() {
                let message = format!("{kind} {namespace}/{name} is not among these files");
                return Some((
                    Level::Note,
                    format!("{message}: it has to be in the cluster, with key {key}"),
                ));
            }
            let place = (namespace.clone(), name.clone());
            let keys: Vec<&str> = if *kind == "Secret" {
                let data = set.world.secrets.get(&place).and_then(|secret| secret.data.as_ref());
                data.into_iter().flat_map(|data| data.keys().map(String::as_str)).collect()
            } else {
                let data = set.world.config_maps.get(&place).and_then(|map| map.data.as_ref());
                data.into_iter().flat_map(|data| data.keys().map(String::as_str)).collect()
            };
            if keys.contains(&key.as_str()) {
                return None;
            }
            let there = if keys.is_empty() { "none".to_owned() } else { some(keys) };
            Some((Level::Error, format!("{kind} {namespace}/{name} has no key {key}; there is {there}")))
        }
        Target::Namespace(name) => {
            let known = set.world.namespaces.contains_key(&(String::new(), name.clone()));
            (!known && !set.world.namespaces.is_empty()).then(|| {
                (
                    Level::Note,
                    format!("namespace {name} is not among these files: it has to be in the cluster"),
                )
            })
        }
    }
}

fn some(mut names: Vec<&str>) -> String {
    names.sort_unstable();
    let more = names.len().saturating_sub(5);
    names.truncate(5);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

fn collect(world: &World) -> Vec<Reference> {
    let mut found = Vec::new();
    let mut take = |kind, (namespace, name): &(String, String), path: &str, to| {
        let (namespace, name) = (namespace.clone(), name.clone());
        found.push(Reference { kind, namespace, name, path: format!("spec.{path}"), to });
    };
    macro_rules! named {
        ($table:ident, $kind:literal, $field:ident, $to:literal) => {
            for (key, object) in &world.$table {
                let to = Target::Object($to, object.spec.$field.clone());
                take($kind, key, stringify!($field), to);
            }
        };
    }
    named!(virtual_ips, "VirtualIP", firewall, "Firewall");
    named!(nat_mappings, "NatMapping", firewall, "Firewall");
    named!(dhcp_reservations, "DhcpReservation", firewall, "Firewall");
    named!(firewall_rules, "FirewallRule", firewall, "Firewall");
    named!(address_pools, "AddressPool", firewall, "Firewall");
    named!(address_claims, "AddressClaim", pool, "AddressPool");
    named!(proxmox_hosts, "ProxmoxHost", cluster, "ProxmoxCluster");
    named!(deployments, "Deployment", cluster, "ProxmoxCluster");
    named!(ceph_pools, "CephPool", cluster, "CephCluster");
    let secret = |reference: &SecretKeyRef| Target::Key {
        kind: "Secret",
        namespace: reference.namespace.clone(),
        name: reference.name.clone(),
        key: reference.key.clone(),
    };
    let local = |kind, namespace: &str, reference: &LocalKeyRef| Target::Key {
        kind,
        namespace: namespace.to_owned(),
        name: reference.name.clone(),
        key: reference.key.clone(),
    };
    for (key, object) in &world.firewalls {
        take("Firewall", key, "apiKey.secret", secret(&object.spec.api_key.secret));
    }
    for (key, object) in &world.proxmox_clusters {
        take("ProxmoxCluster", key, "token.secret", secret(&object.spec.token.secret));
    }
    for (key, object) in &world.ceph_clusters {
        take("CephCluster", key, "username.secret", secret(&object.spec.username.secret));
        take("CephCluster", key, "password.secret", secret(&object.spec.password.secret));
    }
    for (key, object) in &world.address_pools {
        take("AddressPool", key, "namespace", Target::Namespace(object.spec.namespace.clone()));
    }
    for (key, object) in &world.deployments {
        let namespace = key.0.as_str();
        for (n, card) in object.spec.network.iter().enumerate() {
            if let Some(pool) = &card.address_pool {
                let path = format!("network[{n}].addressPool");
                take("Deployment", key, &path, Target::Object("AddressPool", pool.clone()));
            }
        }
        if let Some(keys) = object.spec.cloud_init.as_ref().and_then(|init| init.ssh_keys.as_ref()) {
            take("Deployment", key, "cloudInit.sshKeys.secret", local("Secret", namespace, &keys.secret));
        }
        if let Some(workload) = &object.spec.workload {
            if let Some(compose) = &workload.compose {
                let to = local("ConfigMap", namespace, &compose.config_map);
                take("Deployment", key, "workload.compose.configMap", to);
            }
            if let Some(environment) = &workload.environment {
                let to = local("Secret", namespace, &environment.secret);
                take("Deployment", key, "workload.environment.secret", to);
            }
        }
    }
    found
}

/// Rows in namespaces that their firewall does not take, where both are here.
fn namespaces(set: &mut Set<'_>) {
    let mut refused: BTreeMap<(String, String), (&'static str, String, String, usize)> = BTreeMap::new();
    {
        let world = &set.world;
        let mut look = |kind: &'static str, namespace: &str, object: &(String, String), firewall: &str| {
            let key = (String::new(), firewall.to_owned());
            let allowed = world.firewalls.get(&key).map(|firewall| &firewall.spec.allowed_namespaces);
            let labels = world.namespace_labels(namespace);
            let (Some(allowed), Some(labels)) = (allowed, labels) else { return };
            if allows(allowed, &labels) {
                return;
            }
            let (owner, name) = object.clone();
            let first = refused.entry((firewall.to_owned(), namespace.to_owned()));
            first.or_insert((kind, owner, name, 0)).3 += 1;
        };
        macro_rules! rows {
            ($($table:ident, $kind:literal;)*) => { $(
                for (key, row) in &world.$table {
                    look($kind, &key.0, key, &row.spec.firewall);
                }
            )* };
        }
        rows! {
            virtual_ips, "VirtualIP";
            nat_mappings, "NatMapping";
            dhcp_reservations, "DhcpReservation";
            firewall_rules, "FirewallRule";
        }
        for (key, pool) in &world.address_pools {
            look("AddressPool", &pool.spec.namespace, key, &pool.spec.firewall);
        }
    }
    for ((firewall, namespace), (kind, owner, name, count)) in refused {
        let path = if kind == "AddressPool" { "spec.namespace" } else { "metadata.namespace" };
        let more = if count > 1 { format!(" ({} more objects)", count - 1) } else { String::new() };
        let message = format!(
            "Firewall {firewall} does not take rows from namespace {namespace}: give the namespace the labels of its spec.allowedNamespaces{more}"
        );
        if let Some(n) = set.index(kind, &owner, &name) {
            // Labels may come from elsewhere, too.
            set.say(Level::Warning, n, &Path::parse(path), &message);
        }
    }
}
