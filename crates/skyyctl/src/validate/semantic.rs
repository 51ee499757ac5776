//! Each object against what the operator makes of it: sizes, addresses, selectors, trust.
//!
//! The schema lets these through; the operator would say them in a condition, after the fact.

use ipnet::IpNet;
use kube::core::Selector;
use skyy_api::{
    CephCluster, CephPool, Deployment, Firewall, ProxmoxCluster, TlsTrust, address::parse_network, quantity,
};
use skyy_http::Fingerprint;
use skyy_plan::{
    Invalid,
    firewall::{desired_dhcp, desired_nat, desired_rule, desired_vip},
};

use super::Set;
use crate::{
    import::report::Level,
    manifests::path::Path,
    world::{Objects, World},
};

/// Something wrong with one object.
struct Wrong {
    kind: &'static str,
    namespace: String,
    name: String,
    path: String,
    message: String,
    level: Level,
}

pub(super) fn check(set: &mut Set<'_>) {
    let mut found = Vec::new();
    let World {
        proxmox_clusters,
        proxmox_hosts: _,
        deployments,
        firewalls,
        firewall_rules,
        virtual_ips,
        nat_mappings,
        dhcp_reservations,
        address_pools: _,
        address_claims: _,
        ceph_clusters,
        ceph_pools,
        secrets: _,
        namespaces: _,
        config_maps: _,
    } = &set.world;
    each("VirtualIP", virtual_ips, &mut found, |object, say| invalid(desired_vip(&object.spec), say));
    each("NatMapping", nat_mappings, &mut found, |object, say| invalid(desired_nat(&object.spec), say));
    each("DhcpReservation", dhcp_reservations, &mut found, |object, say| {
        invalid(desired_dhcp(&object.spec), say);
    });
    each("FirewallRule", firewall_rules, &mut found, |object, say| invalid(desired_rule(&object.spec), say));
    each("Firewall", firewalls, &mut found, firewall);
    each("Deployment", deployments, &mut found, deployment);
    each("CephPool", ceph_pools, &mut found, ceph_pool);
    each("CephCluster", ceph_clusters, &mut found, |CephCluster { spec, .. }, say| {
        urls("managers", &spec.managers, say);
        trust(spec.tls.as_ref(), say);
    });
    each("ProxmoxCluster", proxmox_clusters, &mut found, |ProxmoxCluster { spec, .. }, say| {
        urls("endpoints", &spec.endpoints, say);
        trust(spec.tls.as_ref(), say);
    });
    for Wrong { kind, namespace, name, path, message, level } in found {
        if let Some(n) = set.index(kind, &namespace, &name) {
            set.say(level, n, &Path::parse(&path), &message);
        }
    }
}

type Say<'a> = &'a mut dyn FnMut(Level, String, String);

fn each<T>(kind: &'static str, objects: &Objects<T>, found: &mut Vec<Wrong>, look: impl Fn(&T, Say<'_>)) {
    for ((namespace, name), object) in objects {
        let mut say = |level: Level, path: String, message: String| {
            let (namespace, name) = (namespace.clone(), name.clone());
            found.push(Wrong { kind, namespace, name, path: format!("spec.{path}"), message, level });
        };
        look(object, &mut say);
    }
}

fn invalid<T>(row: Result<T, Invalid>, say: Say<'_>) {
    if let Err(Invalid { field, message }) = row {
        say(Level::Error, field, message);
    }
}

fn firewall(Firewall { spec, .. }: &Firewall, say: Say<'_>) {
    urls("url", std::slice::from_ref(&spec.url), say);
    trust(spec.tls.as_ref(), say);
    if let Err(error) = Selector::try_from(spec.allowed_namespaces.clone()) {
        say(Level::Error, "allowedNamespaces".into(), error.to_string());
    }
    for (n, net) in spec.protect.management_sources.iter().enumerate() {
        let path = format!("protect.managementSources[{n}]");
        match parse_network(net) {
            Err(error) => say(Level::Error, path, error.to_string()),
            Ok(net) if net.prefix_len() == 0 => {
                let message = "is everywhere: a rule that blocks anybody would be refused";
                say(Level::Warning, path, message.to_owned());
            }
            Ok(IpNet::V4(_) | IpNet::V6(_)) => {}
        }
    }
}

fn urls(field: &str, urls: &[String], say: Say<'_>) {
    for (n, text) in urls.iter().enumerate() {
        let path = if field == "url" { field.to_owned() } else { format!("{field}[{n}]") };
        let wrong = match skyy_http::Url::parse(text) {
            Err(error) => Some(format!("{text:?} is no address of a server: {error}")),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                Some("carries credentials: put them into the Secret".to_owned())
            }
            Ok(url) if url.host_str().is_some_and(|host| host.ends_with(".invalid")) => {
                say(Level::Warning, path.clone(), format!("{text} is a stand-in: put the real one there"));
                None
            }
            Ok(_) => None,
        };
        if let Some(message) = wrong {
            say(Level::Error, path, message);
        }
    }
}

fn trust(tls: Option<&TlsTrust>, say: Say<'_>) {
    let Some(TlsTrust { sha256, ca_bundle }) = tls else { return };
    for (n, pin) in sha256.iter().enumerate() {
        if let Err(error) = pin.parse::<Fingerprint>() {
            say(Level::Error, format!("tls.sha256[{n}]"), error.to_string());
        }
    }
    if let Some(pem) = ca_bundle
        && !pem.contains("-----BEGIN CERTIFICATE-----")
    {
        say(Level::Error, "tls.caBundle".into(), "has no certificate in PEM form".into());
    }
}

fn deployment(object: &Deployment, say: Say<'_>) {
    let spec = &object.spec;
    let mut size = |path: String, quantity: &_| {
        if let Err(error) = quantity::bytes(quantity) {
            say(Level::Error, path, error.to_string());
        }
    };
    if let Some(memory) = &spec.resources.memory {
        size("resources.memory".into(), memory);
    }
    for (n, disk) in spec.disks.iter().enumerate() {
        if let Some(wanted) = &disk.size {
            size(format!("disks[{n}].size"), wanted);
        }
    }
    for (n, disk) in spec.disks.iter().enumerate() {
        if disk.name != "root" && (disk.size.is_none() || disk.storage.is_none()) {
            let message = format!("the new disk {} needs both size and storage", disk.name);
            say(Level::Error, format!("disks[{n}]"), message);
        }
    }
    if let Some(selector) = &spec.placement.host_selector
        && let Err(error) = Selector::try_from(selector.clone())
    {
        say(Level::Error, "placement.hostSelector".into(), error.to_string());
    }
    for (n, server) in spec.cloud_init.iter().flat_map(|init| &init.name_servers).enumerate() {
        if let Err(error) = skyy_api::address::parse_ip(server) {
            say(Level::Error, format!("cloudInit.nameServers[{n}]"), error.to_string());
        }
    }
}

fn ceph_pool(CephPool { spec, .. }: &CephPool, say: Say<'_>) {
    if let Some(quantity) = &spec.quota.bytes
        && let Err(error) = quantity::bytes(quantity)
    {
        say(Level::Error, "quota.bytes".into(), error.to_string());
    }
    if spec.size == 1 {
        say(Level::Warning, "size".into(), "one copy alone: a disk that fails takes data with it".into());
    }
}
