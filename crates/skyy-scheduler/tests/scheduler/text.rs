//! Hosts, reservations and requests written in one line each, so that a case can be read whole.

use std::collections::BTreeSet;

use skyy_scheduler::{
    AntiAffinity, Blocked, Disk, Domain, Expression, Gpu, Guest, Host, Inventory, Operator, Request,
    Reservation, Spread, SpreadLimit, Storage, Template, TemplateCopy,
};

/// `puma-005 32c 256g gpu:rtx4090=3/4 run:8c32g stop:8c32g in:web label:gpu=true zone:a store:vm=shared,900g br:vmbr1`
pub(crate) fn host(line: &str) -> Host {
    let mut words = line.split_whitespace();
    let mut host = Host::new(words.next().expect("a name"), 32, gib(256));
    host.overcommit.memory_reserve = 0;
    host.bridges.insert("vmbr0".to_owned());
    for (number, word) in words.enumerate() {
        let (key, value) = word.split_once(':').unwrap_or((word, ""));
        let guest = |running: bool, template: bool| {
            let (size, group) = value.split_once('@').unwrap_or((value, ""));
            let (cores, memory) = size.split_once('c').expect("8c32g");
            let groups = group.split(',').filter(|group| !group.is_empty()).map(str::to_owned).collect();
            let id = format!("{}/{number}", line.split_whitespace().next().unwrap_or_default());
            Guest { id, running, template, cores: int(cores), memory: bytes(memory), groups }
        };
        match key {
            "offline" => host.online = false,
            "cordoned" => {
                host.blocked
                    .insert(Blocked::Cordoned { why: Some(value.to_owned()).filter(|why| !why.is_empty()) });
            }
            "maintenance" => drop(host.blocked.insert(Blocked::Maintenance)),
            "quorum-only" => drop(host.blocked.insert(Blocked::QuorumOnly)),
            "version-unknown" => drop(host.blocked.insert(Blocked::VersionUnknown)),
            "run" => host.guests.push(guest(true, false)),
            "stop" => host.guests.push(guest(false, false)),
            "tmpl" => host.guests.push(guest(false, true)),
            "label" => {
                let (key, value) = value.split_once('=').unwrap_or((value, ""));
                host.labels.insert(key.to_owned(), value.to_owned());
            }
            "zone" => host.zone = Some(value.to_owned()),
            "cpu" => host.overcommit.cores_percent = int(value),
            "keep" => host.overcommit.memory_reserve = bytes(value),
            "gpu" => {
                let (mapping, counts) = value.split_once('=').expect("gpu:name=free/total");
                let (free, total) = counts.split_once('/').expect("free/total");
                host.gpus.insert(mapping.to_owned(), Gpu { free: int(free), total: int(total) });
            }
            "store" => {
                let (name, rest) = value.split_once('=').expect("store:name=shared,10g[,content]");
                let mut rest = rest.split(',');
                let shared = rest.next() == Some("shared");
                let free = bytes(rest.next().expect("free"));
                let content = BTreeSet::from([rest.next().unwrap_or("images").to_owned()]);
                host.storages
                    .insert(name.to_owned(), Storage { kind: "rbd".to_owned(), shared, free, content });
            }
            "br" => drop(host.bridges.insert(value.to_owned())),
            "here" => drop(host.templates.insert(value.to_owned(), TemplateCopy::Here)),
            "shared" => drop(host.templates.insert(value.to_owned(), TemplateCopy::Shared)),
            size if size.ends_with('c') => host.cores = int(size.trim_end_matches('c')),
            size => host.memory = bytes(size),
        }
    }
    host
}

pub(crate) fn inventory(lines: &[&str]) -> Inventory {
    Inventory::new(lines.iter().map(|line| host(line))).expect("names are unique")
}

/// `name 8c 32g disk:vm=200g gpu:rtx4090=1 br:vmbr1 label:gpu=true in:key=a,b spread:web/host/max2 apart:db/zone`
pub(crate) fn request(line: &str) -> Request {
    let mut words = line.split_whitespace();
    let mut request = Request { name: words.next().expect("a name").to_owned(), ..Request::default() };
    for word in words {
        let (key, value) = word.split_once(':').unwrap_or((word, ""));
        let mut expression = |operator| {
            let (key, values) = value.split_once('=').unwrap_or((value, ""));
            let values = values.split(',').filter(|value| !value.is_empty()).map(str::to_owned).collect();
            let expression = Expression { key: key.to_owned(), operator, values };
            request.selector.match_expressions.push(expression);
        };
        match key {
            "in" => expression(Operator::In),
            "notin" => expression(Operator::NotIn),
            "exists" => expression(Operator::Exists),
            "absent" => expression(Operator::DoesNotExist),
            "disk" => {
                let (storage, size) = value.split_once('=').expect("disk:storage=10g");
                request.disks.push(Disk::image(storage, bytes(size)));
            }
            "rootdir" => {
                let (storage, size) = value.split_once('=').expect("rootdir:storage=10g");
                request.disks.push(Disk::rootdir(storage, bytes(size)));
            }
            "gpu" => {
                let (mapping, count) = value.split_once('=').expect("gpu:name=1");
                request.gpus.insert(mapping.to_owned(), int(count));
            }
            "br" => drop(request.bridges.insert(value.to_owned())),
            "label" => {
                let (key, value) = value.split_once('=').expect("label:key=value");
                request.selector.match_labels.insert(key.to_owned(), value.to_owned());
            }
            "host" => request.host = Some(value.into()),
            "spread" => {
                let parts: Vec<&str> = value.split('/').collect();
                let limit = parts.get(2).map(|limit| match limit.strip_prefix("skew") {
                    Some(skew) => SpreadLimit::MaxSkew(int(skew)),
                    None => SpreadLimit::MaxPerDomain(int(limit.trim_start_matches("max"))),
                });
                request.spread.push(Spread { group: parts[0].to_owned(), by: domain(parts[1]), limit });
            }
            "apart" => {
                let (group, by) = value.split_once('/').expect("apart:group/host");
                request.anti_affinity.push(AntiAffinity { group: group.to_owned(), by: domain(by) });
            }
            "from" => request.template = Some(Template { key: value.to_owned(), required: false }),
            "only-from" => request.template = Some(Template { key: value.to_owned(), required: true }),
            "moving" => request.moving = true,
            size if size.ends_with('c') => request.cores = int(size.trim_end_matches('c')),
            size => request.memory = bytes(size),
        }
    }
    request
}

/// A request line, then ` -> host`.
pub(crate) fn reservation(line: &str) -> Reservation {
    let (asked, host) = line.split_once(" -> ").expect("request -> host");
    request(asked).reservation_on(&host.into())
}

fn domain(word: &str) -> Domain {
    if word == "zone" { Domain::Zone } else { Domain::Host }
}

fn bytes(word: &str) -> u64 {
    gib(u64::from(int(word.trim_end_matches('g'))))
}

fn gib(number: u64) -> u64 {
    number << 30
}

fn int(word: &str) -> u32 {
    word.parse().unwrap_or_else(|_| panic!("{word:?} is not a number"))
}
