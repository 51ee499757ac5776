//! The guard against locking ourselves out: a rule of ours that would block the networks from which the firewall is
//! administered on their way to the firewall.
//!
//! It errs on the side of refusing: it does not look for an earlier rule that lets them in, and takes an alias whose
//! content it does not know to hold everything.

use std::net::IpAddr;

use ipnet::IpNet;
use skyy_api::firewall_rule::{IpFamily, RuleAction};

use super::{Address, End, Observed, Policy, RuleRow};

/// Why a rule must not be: it would block this network.
pub(crate) fn locks_out(rule: &RuleRow, observed: &Observed, policy: &Policy) -> Option<String> {
    if !rule.enabled || rule.action == RuleAction::Pass {
        return None;
    }
    let family = |net: &IpNet| match rule.family {
        IpFamily::IPv4 => net.addr().is_ipv4(),
        IpFamily::IPv6 => net.addr().is_ipv6(),
        IpFamily::Both => true,
    };
    for source in policy.management_sources.iter().filter(|net| family(net)) {
        let Some(interface) =
            rule.interfaces.iter().find(|interface| may_come_through(source, interface, observed))
        else {
            continue;
        };
        if touches(&rule.source, source, observed) && reaches_firewall(&rule.destination, source, observed) {
            return Some(format!(
                "The rule would keep {source} on {interface} from reaching {}, which is administered from there (Firewall {}, spec.protect.managementSources). Narrow its source or destination; source.invert: true means everybody else.",
                policy.firewall, policy.firewall
            ));
        }
    }
    None
}

/// A network comes in through the interface on which it lies. One that lies on none may come in through each that
/// leads further, and, where none is known to, through any.
fn may_come_through(source: &IpNet, interface: &str, observed: &Observed) -> bool {
    let overlap = |net: &IpNet| net.trunc().contains(&source.addr()) || source.contains(&net.trunc());
    let direct: Vec<&str> = observed
        .interfaces
        .iter()
        .filter(|one| one.addresses.iter().any(overlap))
        .map(|one| one.name.as_str())
        .collect();
    let whole =
        observed.interfaces.iter().any(|one| one.addresses.iter().any(|net| net.trunc().contains(source)));
    if direct.contains(&interface) {
        return true;
    }
    // A part of it lies elsewhere, or it is not on any interface: it comes from further away.
    if whole {
        return false;
    }
    match observed.interfaces.iter().find(|one| one.name == interface) {
        Some(known) => known.gateway || !observed.interfaces.iter().any(|one| one.gateway),
        // A group of interfaces, a tunnel: it may hold anything.
        None => true,
    }
}

fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(b) || b.contains(a)
}

/// Whether an end may match something within a network.
fn touches(end: &End, net: &IpNet, observed: &Observed) -> bool {
    let Some(nets) = networks(&end.address, observed) else { return true };
    if end.invert {
        !nets.iter().any(|one| one.contains(net))
    } else {
        nets.iter().any(|one| overlap(one, net))
    }
}

/// Whether an end may match an address of the firewall.
fn reaches_firewall(end: &End, source: &IpNet, observed: &Observed) -> bool {
    let Some(nets) = networks(&end.address, observed) else { return true };
    let own: Vec<IpAddr> = observed
        .interfaces
        .iter()
        .flat_map(|one| one.addresses.iter().map(IpNet::addr))
        .chain(observed.vips.iter().filter_map(|vip| vip.key))
        .filter(|address| address.is_ipv4() == source.addr().is_ipv4())
        .collect();
    if own.is_empty() {
        // Nothing is known of it.
        return true;
    }
    own.iter().any(|address| nets.iter().any(|net| net.contains(address)) != end.invert)
}

/// The networks that an address stands for; none where that is not known.
fn networks(address: &Address, observed: &Observed) -> Option<Vec<IpNet>> {
    let everything = || [IpNet::from(IpAddr::from([0, 0, 0, 0])), IpNet::from(IpAddr::from([0_u16; 8]))];
    match address {
        Address::Any => Some(everything().iter().filter_map(|net| IpNet::new(net.addr(), 0).ok()).collect()),
        Address::Net(net) => Some(vec![net.trunc()]),
        Address::Firewall => {
            let own = observed.interfaces.iter().flat_map(|one| &one.addresses);
            Some(own.map(|net| IpNet::from(net.addr())).collect::<Vec<_>>()).filter(|own| !own.is_empty())
        }
        Address::Named(name) => {
            if let Some(nets) = observed.aliases.get(name) {
                return Some(nets.iter().map(IpNet::trunc).collect());
            }
            let (bare, own) = name.strip_suffix(":ip").map_or((name.as_str(), false), |bare| (bare, true));
            let interface = observed.interfaces.iter().find(|one| one.name == bare)?;
            let of = |net: &IpNet| if own { IpNet::from(net.addr()) } else { net.trunc() };
            Some(interface.addresses.iter().map(of).collect())
        }
    }
}
