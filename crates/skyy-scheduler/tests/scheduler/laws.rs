//! Laws that hold for every inventory, not only for the cases somebody thought of.
//! The oracle here counts for itself; it does not call the filters.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use skyy_scheduler::{
    AntiAffinity, Blocked, Disk, Domain, Expression, Gpu, Guest, Host, HostName, Inventory, Operator,
    Request, Reservation, Selector, Spread, SpreadLimit, Storage, Template, TemplateCopy, Verdict, schedule,
    schedule_many,
};

const GIB: u64 = 1 << 30;
const STORES: [(&str, bool); 3] = [("lvm", false), ("ceph", true), ("nfs", true)];
const GROUPS: [&str; 2] = ["web", "db"];

fn subset<T: Clone + std::fmt::Debug + 'static>(of: &'static [T]) -> impl Strategy<Value = Vec<T>> {
    proptest::sample::subsequence(of, 0..=of.len())
}

prop_compose! {
    fn guest(host: usize)(
        number in 0..40_u32, running: bool, template in proptest::bool::weighted(0.1),
        cores in 1..16_u32, memory in 1..48_u64, groups in subset(&GROUPS),
    ) -> Guest {
        let groups = groups.into_iter().map(str::to_owned).collect();
        Guest { id: format!("{host}-{number}"), running, template, cores, memory: memory * GIB, groups }
    }
}

prop_compose! {
    fn host(index: usize)(
        online in proptest::bool::weighted(0.9), blocked in proptest::bool::weighted(0.1),
        cores in 4..64_u32, memory in 8..256_u64, reserve in 0..8_u64, percent in 50..500_u32,
        zone in proptest::option::of(proptest::sample::select(vec!["east", "west"])),
        guests in proptest::collection::vec(guest(index), 0..5),
        free in proptest::collection::vec(proptest::option::weighted(0.8, 0..600_u64), STORES.len()),
        gpu in proptest::option::of((0..5_u32, 0..5_u32)),
        bridge in proptest::bool::weighted(0.9), labelled: bool,
        template in proptest::option::of(proptest::sample::select(vec![TemplateCopy::Here, TemplateCopy::Shared])),
    ) -> Host {
        let mut host = Host::new(format!("host-{index}"), cores, memory * GIB);
        host.online = online;
        if blocked { host.blocked.insert(Blocked::Maintenance); }
        host.zone = zone.map(str::to_owned);
        host.overcommit.cores_percent = percent;
        host.overcommit.memory_reserve = reserve * GIB;
        let mut seen = BTreeSet::new();
        host.guests = guests.into_iter().filter(|guest| seen.insert(guest.id.clone())).collect();
        for ((name, shared), free) in STORES.into_iter().zip(free) {
            if let Some(free) = free {
                let content = BTreeSet::from(["images".to_owned()]);
                host.storages.insert(name.to_owned(), Storage { kind: String::new(), shared, free: free * GIB, content });
            }
        }
        if let Some((free, more)) = gpu { host.gpus.insert("x".to_owned(), Gpu { free, total: free + more }); }
        if bridge { host.bridges.insert("vmbr1".to_owned()); }
        if labelled { host.labels.insert("tier".to_owned(), "gold".to_owned()); }
        if let Some(copy) = template { host.templates.insert("u24".to_owned(), copy); }
        host
    }
}

fn hosts() -> impl Strategy<Value = Vec<Host>> {
    (0..6_usize).prop_flat_map(|count| (0..count).map(host).collect::<Vec<_>>())
}

fn domain() -> impl Strategy<Value = Domain> {
    proptest::sample::select(vec![Domain::Host, Domain::Zone])
}

fn limit() -> impl Strategy<Value = Option<SpreadLimit>> {
    proptest::option::of(prop_oneof![
        (1..3_u32).prop_map(SpreadLimit::MaxSkew),
        (1..4_u32).prop_map(SpreadLimit::MaxPerDomain),
    ])
}

prop_compose! {
    fn request(index: usize)(
        cores in 1..24_u32, memory in 1..64_u64,
        disks in proptest::collection::vec((0..STORES.len(), 1..200_u64), 0..3),
        gpus in proptest::option::weighted(0.3, 0..3_u32), bridge: bool,
        selector in proptest::option::weighted(0.3, proptest::sample::select(
            vec![Operator::In, Operator::NotIn, Operator::Exists, Operator::DoesNotExist])),
        spread in proptest::option::of((domain(), limit())), apart in proptest::option::weighted(0.2, domain()),
        template in proptest::option::of(any::<bool>()),
    ) -> Request {
        let expression = |operator| {
            let values = BTreeSet::from(["gold".to_owned()]);
            Expression { key: "tier".to_owned(), operator, values }
        };
        Request {
            name: format!("asked-{index}"),
            cores,
            memory: memory * GIB,
            disks: disks.into_iter().map(|(store, size)| Disk::image(STORES[store].0, size * GIB)).collect(),
            gpus: gpus.map(|count| ("x".to_owned(), count)).into_iter().collect(),
            bridges: bridge.then(|| "vmbr1".to_owned()).into_iter().collect(),
            selector: Selector {
                match_labels: BTreeMap::new(),
                match_expressions: selector.map(expression).into_iter().collect(),
            },
            host: None,
            spread: spread.map(|(by, limit)| Spread { group: "web".to_owned(), by, limit }).into_iter().collect(),
            anti_affinity: apart.map(|by| AntiAffinity { group: "db".to_owned(), by }).into_iter().collect(),
            template: template.map(|required| Template { key: "u24".to_owned(), required }),
            moving: false,
        }
    }
}

fn requests(most: usize) -> impl Strategy<Value = Vec<Request>> {
    (1..=most).prop_flat_map(|count| (0..count).map(request).collect::<Vec<_>>())
}

/// Promises for hosts that may or may not exist.
fn promises() -> impl Strategy<Value = Vec<Reservation>> {
    proptest::collection::vec((0..7_usize, request(900)), 0..4).prop_map(|asked| {
        let promise = |(number, (host, request)): (usize, (usize, Request))| {
            let request = Request { name: format!("promised-{number}"), ..request };
            request.reservation_on(&HostName::new(format!("host-{host}")))
        };
        asked.into_iter().enumerate().map(promise).collect()
    })
}

fn inventory(hosts: Vec<Host>) -> Inventory {
    Inventory::new(hosts).expect("names are unique")
}

/// Counts for itself what stands and is promised on a host and refuses what exceeds it.
fn assert_room(inventory: &Inventory, promised: &[Reservation], request: &Request, on: &HostName) {
    let host = inventory.host(on).expect("placed on a host that exists");
    let running = || host.guests.iter().filter(|guest| guest.running && !guest.template);
    let shown = |promise: &&Reservation| running().any(|guest| guest.id == promise.guest);
    let mine: Vec<&Reservation> =
        promised.iter().filter(|promise| promise.host == *on).filter(|promise| !shown(promise)).collect();

    let memory: u64 =
        running().map(|guest| guest.memory).chain(mine.iter().map(|promise| promise.memory)).sum();
    assert!(memory + host.overcommit.memory_reserve <= host.memory, "memory of {on}");
    let cores: u32 = running().map(|guest| guest.cores).chain(mine.iter().map(|promise| promise.cores)).sum();
    assert!(cores * 100 <= host.cores * host.overcommit.cores_percent, "cores of {on}");
    let gpus: u32 = mine.iter().filter_map(|promise| promise.gpus.get("x")).sum();
    // Promises given from outside may be too many already; what is asked now must not add to that.
    if request.gpus.get("x").is_some_and(|count| *count > 0) {
        assert!(gpus <= host.gpus.get("x").map_or(0, |gpu| gpu.free), "devices of {on}");
    }
}

fn assert_storage_room(inventory: &Inventory, promised: &[Reservation], request: &Request, on: &HostName) {
    let host = inventory.host(on).expect("placed on a host that exists");
    for disk in &request.disks {
        let storage = host.storages.get(&disk.storage).expect("the storage is on the host");
        assert!(storage.content.contains(&disk.content));
        let counted = promised.iter().filter(|promise| storage.shared || promise.host == *on);
        let disks = counted.flat_map(|promise| &promise.disks).filter(|other| other.storage == disk.storage);
        let bytes: u64 = disks.map(|disk| disk.bytes).sum();
        assert!(bytes <= storage.free, "storage {} of {on}", disk.storage);
    }
}

fn members(inventory: &Inventory, promised: &[Reservation], group: &str, by: Domain, beside: &Host) -> usize {
    let same = |host: &Host| match by {
        Domain::Host => host.name == beside.name,
        Domain::Zone => host.zone == beside.zone,
    };
    let mut ids = BTreeSet::new();
    for host in inventory.hosts().filter(|host| same(host)) {
        let guests = host.guests.iter().filter(|guest| !guest.template && guest.groups.contains(group));
        ids.extend(guests.map(|guest| guest.id.clone()));
        let there =
            promised.iter().filter(|promise| promise.host == host.name && promise.groups.contains(group));
        ids.extend(there.map(|promise| promise.guest.clone()));
    }
    ids.len()
}

/// Checks everything about one placement against the state before (`promised`) it.
fn assert_allowed(inventory: &Inventory, promised: &[Reservation], request: &Request, on: &HostName) {
    let host = inventory.host(on).expect("placed on a host that exists");
    assert!(host.online && host.blocked.is_empty());
    assert!(request.cores <= host.cores);
    assert!(request.bridges.is_subset(&host.bridges));
    let label = host.labels.get("tier").map(String::as_str);
    for expression in &request.selector.match_expressions {
        let holds = match expression.operator {
            Operator::In => label == Some("gold"),
            Operator::NotIn => label != Some("gold"),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
        };
        assert!(holds, "{expression}");
    }
    if let Some(Template { required: true, key }) = &request.template {
        assert!(host.templates.contains_key(key));
    }
    for apart in &request.anti_affinity {
        assert_eq!(members(inventory, promised, &apart.group, apart.by, host), 0, "kept apart");
    }
    for spread in &request.spread {
        if let Some(SpreadLimit::MaxPerDomain(limit)) = spread.limit {
            assert!(members(inventory, promised, &spread.group, spread.by, host) < limit as usize, "spread");
        }
    }
    let mut after = promised.to_vec();
    after.push(request.reservation_on(on));
    assert_room(inventory, &after, request, on);
    assert_storage_room(inventory, &after, request, on);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn the_order_of_what_is_given_does_not_matter(
        (given, shuffled) in hosts().prop_flat_map(|hosts| (Just(hosts.clone()), Just(hosts).prop_shuffle())),
        (promised, mixed) in promises().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        asked in request(0),
    ) {
        let mut shuffled = shuffled;
        for host in &mut shuffled {
            host.guests.reverse();
        }
        let mut turned = asked.clone();
        turned.disks.reverse();
        let one = schedule(&inventory(given), &promised, &asked);
        prop_assert_eq!(&one, &schedule(&inventory(shuffled), &mixed, &turned));
    }

    #[test]
    fn what_is_chosen_passes_every_filter_and_nothing_is_promised_twice(
        hosts in hosts(), promised in promises(), asked in requests(8),
    ) {
        let inventory = inventory(hosts);
        let mut promised = promised;
        for (decision, request) in schedule_many(&inventory, &promised.clone(), &asked).iter().zip(&asked) {
            prop_assert_eq!(decision, &schedule(&inventory, &promised, request), "many is one after another");
            if let Some(host) = &decision.chosen {
                assert_allowed(&inventory, &promised, request, host);
                promised.push(request.reservation_on(host));
            }
        }
    }

    #[test]
    fn every_host_stands_in_the_table_exactly_once_and_the_best_first(
        hosts in hosts(), promised in promises(), asked in request(0),
    ) {
        let names: Vec<HostName> = hosts.iter().map(|host| host.name.clone()).collect();
        let decision = schedule(&inventory(hosts), &promised, &asked);
        let mut listed: Vec<HostName> = decision.table.iter().map(|row| row.host.clone()).collect();
        listed.sort();
        prop_assert_eq!(listed, names);
        let totals: Vec<_> = decision.table.iter().map(skyy_scheduler::Row::total).collect();
        prop_assert!(totals.is_sorted_by(|earlier, later| earlier >= later), "{:?}", totals);
        let first = decision.table.first().filter(|row| row.total().is_some());
        prop_assert_eq!(decision.chosen.as_ref(), first.map(|row| &row.host));
        for row in &decision.table {
            match &row.verdict {
                Verdict::Fits { scores, .. } => prop_assert!(!scores.is_empty()),
                Verdict::DoesNotFit { reasons } => {
                    prop_assert!(!reasons.is_empty());
                    prop_assert!(reasons.iter().all(|reason| !reason.to_string().is_empty()));
                }
            }
        }
        let text = decision.render();
        for name in &decision.table {
            let lines = text.lines().filter(|line| line.trim_start().starts_with(&format!("{} ", name.host)));
            prop_assert_eq!(lines.count(), 1, "{}", text);
        }
    }

    #[test]
    fn more_capacity_closes_no_host(
        hosts in hosts(), promised in promises(), asked in request(0),
        grown in 0..6_usize, cores in 0..32_u32, memory in 0..128_u64, bytes in 0..500_u64, gpus in 0..4_u32,
    ) {
        let mut larger = hosts.clone();
        if let Some(host) = larger.get_mut(grown) {
            host.cores += cores;
            host.memory += memory * GIB;
            host.storages.values_mut().for_each(|storage| storage.free += bytes * GIB);
            for gpu in host.gpus.values_mut().filter(|gpu| gpu.total > 0) {
                gpu.free += gpus;
                gpu.total += gpus;
            }
        }
        let fitting = |hosts: Vec<Host>| -> BTreeSet<HostName> {
            let table = schedule(&inventory(hosts), &promised, &asked).table;
            table.into_iter().filter(|row| row.total().is_some()).map(|row| row.host).collect()
        };
        let (before, after) = (fitting(hosts), fitting(larger));
        prop_assert!(before.is_subset(&after), "{:?} then {:?}", before, after);
    }

    #[test]
    fn a_promise_of_ours_never_opens_a_host(hosts in hosts(), promised in promises(), asked in request(0)) {
        prop_assume!(asked.spread.is_empty(), "a promise can lift the emptiest domain, which opens others by intent");
        let inventory = inventory(hosts);
        let fitting = |promised: &[Reservation]| -> BTreeSet<HostName> {
            let table = schedule(&inventory, promised, &asked).table;
            table.into_iter().filter(|row| row.total().is_some()).map(|row| row.host).collect()
        };
        prop_assert!(fitting(&promised).is_subset(&fitting(&[])));
    }
}
