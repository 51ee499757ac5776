//! Hard limits: the complete list of reasons why one host cannot take one request. Must not weigh or prefer.

use std::collections::BTreeMap;

use crate::inventory::Host;
use crate::ledger::{Ledger, Room, domain_of};
use crate::reason::Reason;
use crate::request::{Domain, Request, Spread, SpreadLimit};

/// What spread limits are measured against: the emptiest domain that could ever take the request, per spread.
#[derive(Debug)]
pub(crate) struct Fewest(Vec<u32>);

impl Fewest {
    pub(crate) fn new(ledger: &Ledger<'_>, request: &Request) -> Self {
        let fewest = |spread: &Spread| {
            let eligible = ledger.rooms().filter(|room| could_ever(room.host, request));
            eligible
                .filter_map(|room| ledger.members_beside(room.host, &spread.group, spread.by))
                .min()
                .unwrap_or(0)
        };
        Self(request.spread.iter().map(fewest).collect())
    }
}

/// Whether the host is open, selected, and has the things asked for by name, however full they are. Amounts are left out
/// on purpose: otherwise giving a full host more memory could close the others to the request.
fn could_ever(host: &Host, request: &Request) -> bool {
    admission(host, request).is_empty()
        && request.disks.iter().all(|disk| host.storages.contains_key(&disk.storage))
        && request.bridges.iter().all(|bridge| host.bridges.contains(bridge))
        && request.gpus_needed().all(|(mapping, _)| host.gpus.get(mapping).is_some_and(|gpu| gpu.total > 0))
}

/// Every reason why this host cannot take the request; empty when it can.
pub(crate) fn reasons(
    ledger: &Ledger<'_>,
    room: &Room<'_>,
    request: &Request,
    fewest: &Fewest,
) -> Vec<Reason> {
    if !room.host.online {
        return vec![Reason::Offline]; // everything else known about it is old
    }
    let mut reasons = admission(room.host, request);
    gpus(room, request, &mut reasons);
    size(room, request, &mut reasons);
    storages(ledger, room, request, &mut reasons);
    named_things(room.host, request, &mut reasons);
    domains(ledger, room.host, request, fewest, &mut reasons);
    reasons
}

fn admission(host: &Host, request: &Request) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if !host.online {
        reasons.push(Reason::Offline);
    }
    reasons.extend(host.blocked.iter().cloned().map(Reason::Blocked));
    if let Some(asked) = request.host.as_ref().filter(|asked| **asked != host.name) {
        reasons.push(Reason::NotTheHostAskedFor(asked.clone()));
    }
    let labels: &BTreeMap<String, String> = &host.labels;
    for (key, wanted) in &request.selector.match_labels {
        let found = labels.get(key);
        if found != Some(wanted) {
            reasons.push(Reason::Label { key: key.clone(), wanted: wanted.clone(), found: found.cloned() });
        }
    }
    for expression in &request.selector.match_expressions {
        if !expression.matches(labels) {
            let found = labels.get(&expression.key).cloned();
            reasons.push(Reason::Expression { expression: expression.clone(), found });
        }
    }
    reasons
}

fn gpus(room: &Room<'_>, request: &Request, reasons: &mut Vec<Reason>) {
    for (mapping, needed) in request.gpus_needed() {
        match room.gpus(mapping) {
            None => reasons.push(Reason::NoGpu(mapping.to_owned())),
            Some((free, total)) if free < needed => {
                reasons.push(Reason::Gpu { mapping: mapping.to_owned(), needed, free, total });
            }
            Some(_) => {}
        }
    }
}

fn size(room: &Room<'_>, request: &Request, reasons: &mut Vec<Reason>) {
    let host = room.host;
    if request.memory > room.free_memory() {
        reasons.push(Reason::Memory {
            needed: request.memory,
            free: room.free_memory(),
            capacity: host.memory_capacity(),
            kept: host.overcommit.memory_reserve,
            running: room.running.memory,
            reserved: room.reserved.memory,
        });
    }
    if request.cores > host.cores {
        reasons.push(Reason::GuestWiderThanHost { needed: request.cores, cores: host.cores });
    } else if u64::from(request.cores) > room.free_cores() {
        reasons.push(Reason::Cores {
            needed: request.cores,
            free: room.free_cores(),
            capacity: host.core_capacity(),
            running: room.running.cores,
            reserved: room.reserved.cores,
        });
    }
}

fn storages(ledger: &Ledger<'_>, room: &Room<'_>, request: &Request, reasons: &mut Vec<Reason>) {
    for (name, needed) in request.bytes_by_storage() {
        let (Some(storage), Some(free)) = (room.host.storages.get(name), ledger.free_bytes(room, name))
        else {
            reasons.push(Reason::NoStorage(name.to_owned()));
            continue;
        };
        let contents = request.disks.iter().filter(|disk| disk.storage == name).map(|disk| &disk.content);
        let mut refused: Vec<&String> =
            contents.filter(|content| !storage.content.contains(*content)).collect();
        refused.sort();
        refused.dedup();
        for content in refused {
            reasons.push(Reason::StorageContent { storage: name.to_owned(), content: content.clone() });
        }
        if needed > free {
            reasons.push(Reason::StorageRoom { storage: name.to_owned(), needed, free });
        }
    }
}

fn named_things(host: &Host, request: &Request, reasons: &mut Vec<Reason>) {
    let missing = request.bridges.iter().filter(|bridge| !host.bridges.contains(*bridge));
    reasons.extend(missing.cloned().map(Reason::NoBridge));
    if let Some(template) = request.template.as_ref().filter(|template| template.required)
        && !host.templates.contains_key(&template.key)
    {
        reasons.push(Reason::NoTemplate(template.key.clone()));
    }
}

fn domains(ledger: &Ledger<'_>, host: &Host, request: &Request, fewest: &Fewest, reasons: &mut Vec<Reason>) {
    for (spread, fewest) in request.spread.iter().zip(&fewest.0) {
        let Some(limit) = spread.limit else { continue };
        let (group, by) = (spread.group.clone(), spread.by);
        let Some((domain, members)) = counted(ledger, host, &group, by) else {
            reasons.push(Reason::NoZone { group });
            continue;
        };
        match limit {
            SpreadLimit::MaxPerDomain(limit) if members >= limit => {
                reasons.push(Reason::DomainFull { group, by, domain, members, limit });
            }
            SpreadLimit::MaxSkew(skew) if members.saturating_sub(*fewest) >= skew.max(1) => {
                let (fewest, max_skew) = (*fewest, skew.max(1));
                reasons.push(Reason::Skew { group, by, domain, members, fewest, max_skew });
            }
            SpreadLimit::MaxPerDomain(_) | SpreadLimit::MaxSkew(_) => {}
        }
    }
    for apart in &request.anti_affinity {
        let (group, by) = (apart.group.clone(), apart.by);
        match counted(ledger, host, &group, by) {
            None => reasons.push(Reason::NoZone { group }),
            Some((domain, members)) if members > 0 => {
                reasons.push(Reason::KeptApart { group, by, domain, members });
            }
            Some(_) => {}
        }
    }
}

fn counted(ledger: &Ledger<'_>, host: &Host, group: &str, by: Domain) -> Option<(String, u32)> {
    Some((domain_of(host, by)?.to_owned(), ledger.members_beside(host, group, by)?))
}
