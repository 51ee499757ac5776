//! All objects against each other: the same address, MAC, NAT or pool asked for twice; guests without an address.
//!
//! Rows are judged by the operator's own planner against a firewall on which nothing is yet, so what this finds is
//! what the conditions would say.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use skyy_api::{
    Reason,
    address::{Mac, parse_ip},
};
use skyy_plan::firewall::{
    Ask, Desired, DhcpServer, Interface, Observed, Owner, Policy, Verdict, lint, plan,
};

use super::Set;
use crate::{
    import::report::Level,
    manifests::path::Path,
    rows::{self, Published},
};

pub(super) fn check(set: &mut Set<'_>) {
    pools(set);
    let firewalls: BTreeSet<String> = {
        let world = &set.world;
        let vips = world.virtual_ips.values().map(|row| &row.spec.firewall);
        let nats = world.nat_mappings.values().map(|row| &row.spec.firewall);
        let maps = world.dhcp_reservations.values().map(|row| &row.spec.firewall);
        let rules = world.firewall_rules.values().map(|row| &row.spec.firewall);
        let pools = world.address_pools.values().map(|pool| &pool.spec.firewall);
        vips.chain(nats).chain(maps).chain(rules).chain(pools).cloned().collect()
    };
    for firewall in firewalls {
        rows_of(set, &firewall);
    }
    guests(set);
    ceph_pools(set);
    nodes(set);
}

/// One thing that a pool gives out, and which no second may.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Unique {
    External(IpAddr),
    Internal(String, IpAddr),
    Mac(String, Mac),
}

impl Unique {
    fn field(&self) -> &'static str {
        match self {
            Self::External(_) => "external",
            Self::Internal(..) => "internal",
            Self::Mac(..) => "mac",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::External(address) | Self::Internal(_, address) => address.to_string(),
            Self::Mac(_, mac) => mac.to_string(),
        }
    }
}

/// Addresses and MACs that stand twice, in one pool or in two. Between two pools it is said once.
fn pools(set: &mut Set<'_>) {
    let mut first: BTreeMap<(String, Unique), (String, usize)> = BTreeMap::new();
    // (pool, other pool) → the first place, what is shared, and how often.
    let mut shared: BTreeMap<(String, String), (Path, String, usize)> = BTreeMap::new();
    let mut doubled: BTreeSet<(String, usize)> = BTreeSet::new();
    for ((_, name), pool) in &set.world.address_pools {
        let spec = &pool.spec;
        for (n, entry) in spec.addresses.iter().enumerate() {
            let (Ok(external), Ok(internal), Ok(mac)) =
                (parse_ip(&entry.external), parse_ip(&entry.internal), entry.mac.parse::<Mac>())
            else {
                continue;
            };
            let interface = &spec.internal.interface;
            for unique in [
                Unique::External(external),
                Unique::Internal(interface.clone(), internal),
                Unique::Mac(interface.clone(), mac),
            ] {
                let path = Path::parse(&format!("spec.addresses[{n}].{}", unique.field()));
                let text = unique.text();
                let key = (spec.firewall.clone(), unique);
                let Some((other, at)) = first.get(&key) else {
                    first.insert(key, (name.clone(), n));
                    continue;
                };
                doubled.insert((name.clone(), n));
                let message = if other == name {
                    format!("{text} stands at spec.addresses[{at}] too")
                } else {
                    format!("{text} is in AddressPool {other} too, at its spec.addresses[{at}]")
                };
                // Within a pool each place is said; two pools that overlap do so in hundreds of places.
                let pair = (name.clone(), if other == name { format!("{n} {path}") } else { other.clone() });
                shared.entry(pair).or_insert((path, message, 0)).2 += 1;
            }
        }
    }
    for ((name, _), (path, message, count)) in shared {
        let more = if count > 1 { format!(" ({} more that both have)", count - 1) } else { String::new() };
        if let Some(n) = set.index("AddressPool", "", &name) {
            set.say(Level::Error, n, &path, &format!("{message}{more}"));
        }
    }
    // What was said once need not be said again of each row.
    for ((_, name), pool) in &mut set.world.address_pools {
        let mut n = 0;
        pool.spec.addresses.retain(|_| {
            n += 1;
            !doubled.contains(&(name.clone(), n - 1))
        });
    }
}

/// The rows of one firewall, those of pools among them.
fn rows_of(set: &mut Set<'_>, firewall: &str) {
    let rows::Asks { asks, from_pools, paused: _, wrong_pools } =
        rows::asks(&set.world, firewall, Published::Ever);
    for (pool, message) in wrong_pools {
        if let Some(n) = set.index("AddressPool", "", &pool) {
            let (path, message) = message.split_once(": ").unwrap_or(("", &message));
            set.say(Level::Error, n, &Path::parse(path), message);
        }
    }
    // A spec that is wrong in itself was told already.
    let told = |ask: &Ask| !from_pools.contains_key(&ask.owner) && matches!(ask.row, Desired::Nothing(..));
    let asks: Vec<Ask> = asks.into_iter().filter(|ask| !told(ask)).collect();
    let observed = empty_firewall(&asks);
    let planned = plan(&asks, &observed, &Policy::new("validate", firewall));
    // Of a pool, the same mistake in every row is said once.
    let mut of_pools: BTreeMap<(String, String), (usize, usize)> = BTreeMap::new();
    for (owner, verdict) in planned.verdicts {
        let Verdict::Refused { reason, message } = verdict else { continue };
        // Only a real firewall can tell the rest.
        if !matches!(reason, Reason::Conflict | Reason::Invalid) {
            continue;
        }
        match from_pools.get(&owner) {
            Some((pool, external)) => {
                let key = (pool.clone(), message);
                let at = position(set, pool, *external);
                of_pools.entry(key).or_insert((at, 0)).1 += 1;
            }
            None => say_of_row(set, Level::Error, &owner, &message),
        }
    }
    for ((pool, message), (at, count)) in of_pools {
        let more = if count > 1 { format!(" ({count} rows)") } else { String::new() };
        if let Some(n) = set.index("AddressPool", "", &pool) {
            let path = Path::parse("spec.addresses").index(at);
            set.say(Level::Error, n, &path, &format!("{message}{more}"));
        }
    }
    for finding in lint(&asks, &observed) {
        match from_pools.get(&finding.owner) {
            Some((pool, external)) => {
                let at = position(set, pool, *external);
                if let Some(n) = set.index("AddressPool", "", pool) {
                    let path = Path::parse("spec.addresses").index(at);
                    set.say(Level::Warning, n, &path, &finding.message);
                }
            }
            None => say_of_row(set, Level::Warning, &finding.owner, &finding.message),
        }
    }
}

fn position(set: &Set<'_>, pool: &str, external: IpAddr) -> usize {
    // As it stands in the file: entries that were told already are no longer in the world.
    let Some(n) = set.index("AddressPool", "", pool) else { return 0 };
    let entries = set.manifests[n].value.pointer("/spec/addresses").and_then(serde_json::Value::as_array);
    let is = |entry: &serde_json::Value| {
        entry.get("external").and_then(serde_json::Value::as_str).and_then(|text| parse_ip(text).ok())
            == Some(external)
    };
    entries.and_then(|entries| entries.iter().position(is)).unwrap_or(0)
}

fn say_of_row(set: &mut Set<'_>, level: Level, owner: &Owner, message: &str) {
    if let Some(n) = set.index(&owner.kind.to_string(), &owner.namespace, &owner.name) {
        set.say(level, n, &Path::root(), message);
    }
}

/// A firewall that has every interface and every DHCP server that is asked for, and nothing else.
fn empty_firewall(asks: &[Ask]) -> Observed {
    let mut names = BTreeSet::new();
    let mut served = BTreeSet::new();
    for ask in asks {
        match &ask.row {
            Desired::Vip(row) => drop(names.insert(row.interface.clone())),
            Desired::Nat(row) => drop(names.insert(row.interface.clone())),
            Desired::Dhcp(row) => {
                names.insert(row.interface.clone());
                served.insert(row.interface.clone());
            }
            Desired::Rule(row) => names.extend(row.interfaces.iter().cloned()),
            Desired::Nothing(..) => {}
        }
    }
    Observed {
        dhcp: served.into_iter().map(|name| (name, DhcpServer::default())).collect(),
        interfaces: names.into_iter().map(|name| Interface { name, ..Interface::default() }).collect(),
        ..Observed::default()
    }
}

/// Guests that claim addresses, against the pools that have them.
fn guests(set: &mut Set<'_>) {
    let mut wanted: BTreeMap<String, (usize, (String, String))> = BTreeMap::new();
    for (key, deployment) in &set.world.deployments {
        for pool in deployment.spec.network.iter().filter_map(|card| card.address_pool.as_ref()) {
            let entry = wanted.entry(pool.clone()).or_insert_with(|| (0, key.clone()));
            entry.0 += deployment.spec.replicas as usize;
            entry.1 = key.clone();
        }
    }
    for (pool, (wanted, (namespace, name))) in wanted {
        let key = (String::new(), pool.clone());
        let Some(there) = set.world.address_pools.get(&key).map(|pool| pool.spec.addresses.len()) else {
            continue;
        };
        if wanted > there {
            let message = format!(
                "all Deployments together ask AddressPool {pool} for {wanted} addresses; it has {there}. Add addresses, or ask for fewer guests"
            );
            if let Some(n) = set.index("Deployment", &namespace, &name) {
                set.say(Level::Warning, n, &Path::parse("spec.replicas"), &message);
            }
        }
    }
    // Guests are named after their Deployment, and one cluster has all of them.
    let mut names: BTreeMap<(String, String), (String, String)> = BTreeMap::new();
    let mut twice = Vec::new();
    for (key, deployment) in &set.world.deployments {
        let on = (deployment.spec.cluster.clone(), key.1.clone());
        if let Some(other) = names.insert(on, key.clone()) {
            twice.push((key.clone(), other));
        }
    }
    for ((namespace, name), (other, _)) in twice {
        if let Some(n) = set.index("Deployment", &namespace, &name) {
            let message =
                format!("Deployment {other}/{name} makes guests of the same names on the same cluster");
            set.say(Level::Warning, n, &Path::parse("metadata.name"), &message);
        }
    }
}

/// Two CephPools for one pool.
fn ceph_pools(set: &mut Set<'_>) {
    let mut first: BTreeMap<(String, String), (String, String)> = BTreeMap::new();
    let mut twice = Vec::new();
    for (key, object) in &set.world.ceph_pools {
        let pool = object.spec.pool.clone().unwrap_or_else(|| key.1.clone());
        if let Some(other) = first.get(&(object.spec.cluster.clone(), pool.clone())) {
            twice.push((key.clone(), other.clone(), pool));
        } else {
            first.insert((object.spec.cluster.clone(), pool), key.clone());
        }
    }
    for ((namespace, name), (other_namespace, other_name), pool) in twice {
        if let Some(n) = set.index("CephPool", &namespace, &name) {
            let message = format!("CephPool {other_namespace}/{other_name} is for the pool {pool} too");
            set.say(Level::Error, n, &Path::parse("spec.pool"), &message);
        }
    }
}

/// Two ProxmoxHosts for one node, or with one address.
fn nodes(set: &mut Set<'_>) {
    let mut nodes: BTreeMap<(String, String), String> = BTreeMap::new();
    let mut addresses: BTreeMap<(String, IpAddr), String> = BTreeMap::new();
    let mut found = Vec::new();
    for ((_, name), host) in &set.world.proxmox_hosts {
        let cluster = &host.spec.cluster;
        let node = host.spec.node.clone().unwrap_or_else(|| name.clone());
        if let Some(other) = nodes.insert((cluster.clone(), node.clone()), name.clone()) {
            found.push((
                name.clone(),
                "spec.node",
                format!("ProxmoxHost {other} is for the node {node} too"),
            ));
        }
        let address = host.spec.address.as_deref().and_then(|text| parse_ip(text).ok());
        if let Some(address) = address
            && let Some(other) = addresses.insert((cluster.clone(), address), name.clone())
        {
            found.push((name.clone(), "spec.address", format!("ProxmoxHost {other} has {address} too")));
        }
    }
    for (name, path, message) in found {
        if let Some(n) = set.index("ProxmoxHost", "", &name) {
            set.say(Level::Error, n, &Path::parse(path), &message);
        }
    }
}
