//! Findings that do not stop a plan: things that are accepted by the firewall and will not do what is meant.
//!
//! Apart from the planner, so that a mistake of the planner cannot hide itself here.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

use super::{Ask, Desired, Goal, Observed, Owner};

/// Something that a person should look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The object concerned.
    pub owner: Owner,
    /// What is wrong, with the other side and the way out.
    pub message: String,
}

/// Looks at what is asked for and what is there, together.
pub fn lint(asks: &[Ask], observed: &Observed) -> Vec<Finding> {
    let present = || asks.iter().filter(|ask| ask.goal == Goal::Present);
    let mut findings = Vec::new();
    let mut say = |ask: &Ask, message: String| findings.push(Finding { owner: ask.owner.clone(), message });

    let mut held: BTreeSet<IpAddr> = observed.vips.iter().filter_map(|vip| vip.key).collect();
    held.extend(observed.interfaces.iter().flat_map(|one| one.addresses.iter().map(ipnet::IpNet::addr)));
    held.extend(present().filter_map(|ask| match &ask.row {
        Desired::Vip(vip) => Some(vip.address),
        _ => None,
    }));

    let mut leases: BTreeMap<(&str, Ipv4Addr), Vec<&Ask>> = BTreeMap::new();
    for ask in present() {
        match &ask.row {
            Desired::Nat(nat) if !held.contains(&nat.external) => say(
                ask,
                format!(
                    "no interface and no virtual IP has {}, so nobody answers for it. Add a VirtualIP.",
                    nat.external
                ),
            ),
            Desired::Dhcp(lease) => {
                leases.entry((&lease.interface, lease.address)).or_default().push(ask);
                let server = observed.dhcp.get(&lease.interface);
                let in_pool = |(from, to): &&(Ipv4Addr, Ipv4Addr)| (*from..=*to).contains(&lease.address);
                if let Some((from, to)) = server.and_then(|server| server.pools.iter().find(in_pool)) {
                    say(
                        ask,
                        format!(
                            "{} lies in the range {from} to {to}, from which {} gives out addresses to anybody. Choose one outside.",
                            lease.address, lease.interface
                        ),
                    );
                }
                let own = observed.interfaces.iter().filter(|one| one.name == lease.interface);
                for net in own.flat_map(|one| &one.addresses).filter(|net| net.addr().is_ipv4()) {
                    let address = IpAddr::V4(lease.address);
                    if !net.contains(&address) {
                        say(
                            ask,
                            format!(
                                "{address} is not in {}, the network of {}.",
                                net.trunc(),
                                lease.interface
                            ),
                        );
                    } else if address == net.addr() {
                        say(ask, format!("{address} is the firewall's own address on {}.", lease.interface));
                    } else if net.prefix_len() < 31
                        && (address == net.network() || address == net.broadcast())
                    {
                        say(
                            ask,
                            format!("{address} is the network or broadcast address of {}.", net.trunc()),
                        );
                    }
                }
            }
            _ => {}
        }
    }
    for ((interface, address), asks) in leases.iter().filter(|(_, asks)| asks.len() > 1) {
        for ask in asks {
            let others: Vec<String> =
                asks.iter().filter(|one| one.owner != ask.owner).map(|one| one.owner.to_string()).collect();
            let message = format!(
                "{address} on {interface} is promised to {} too: two machines would get one address.",
                others.join(", ")
            );
            findings.push(Finding { owner: ask.owner.clone(), message });
        }
    }
    findings.sort();
    findings
}
