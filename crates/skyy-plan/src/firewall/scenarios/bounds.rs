//! What a plan does not do, does later, or does as a whole.

use serde_json::{Value, json};

use super::{ask, box_with, check, gone, marked, policy, pool, rule, settle, told, vip};
use crate::firewall::{
    Ask, Call, Desired, Goal, Policy, RowKind, Stale, Step, Subsystem, Table, Verdict, desired_vip, lint,
    model::{Model, stored},
    plan,
};

#[test]
fn virtual_ips_are_never_removed_with_an_addition() {
    let old = marked(RowKind::VirtualIp, "old", "");
    let mut model = box_with(&[json!({"subnet": "198.18.0.2", "subnet_bits": 23, "descr": old})]);
    let asks = [vip("new", "198.18.0.3/23"), gone(vip("old", "198.18.0.2/23"))];
    let first = plan(&asks, &model.observe(), &policy());
    assert!(first.again && first.deletes == 0);
    check(
        &asks,
        &model,
        &[
            "new: create virtual IP 198.18.0.3/23 on wan",
            "old: delete virtual IP 198.18.0.2 (not now)",
            "POST virtual IP 198.18.0.3",
            "apply virtual IPs",
        ],
    );
    model.run(&first, |_| ()).unwrap();
    check(
        &asks,
        &model,
        &[
            "new: in sync",
            "old: delete virtual IP 198.18.0.2",
            "DELETE virtual IP 198.18.0.2",
            "apply virtual IPs",
        ],
    );
    assert_eq!(settle(&asks, &mut model), 1);
    check(&asks, &model, &["new: in sync", "old: gone"]);
    // Nor while one waits that somebody added.
    let old = marked(RowKind::VirtualIp, "old", "");
    let mut waiting = box_with(&[json!({"subnet": "198.18.0.2", "subnet_bits": 23, "descr": old})]);
    waiting.unapplied.insert(Subsystem::VirtualIps);
    check(&asks[1..], &waiting, &["old: delete virtual IP 198.18.0.2 (not now)", "apply virtual IPs"]);
}

#[test]
fn too_many_deletions_stop_and_the_rest_goes_on() {
    let mut model = Model::new();
    let mut asks: Vec<Ask> = (2..8).map(|n| vip(&format!("v{n}"), &format!("198.18.0.{n}/23"))).collect();
    settle(&asks, &mut model);
    asks = asks.into_iter().map(gone).collect();
    asks.push(rule("z", json!({})));
    let mut policy = Policy { max_deletes_per_batch: 5, ..policy() };
    let refused = plan(&asks, &model.observe(), &policy);
    let message = "6 rows would be deleted at once; the limit is 5. If that is meant, set the annotation skyy.helloskyy.io/confirm-deletes: \"6\" on the Firewall";
    assert_eq!(refused.refusal.as_ref().unwrap().to_string(), message);
    assert_eq!(refused.deletes, 0);
    let said = told(&asks, &refused);
    assert!(
        said[0].starts_with("v2: TooManyDeletes: 6 rows would be deleted from edge at once"),
        "{}",
        said[0]
    );
    assert_eq!(
        said[6..],
        ["z: create rule pass tcp from any to any on wan", "POST rule tenants/z on wan", "apply filter"]
    );
    policy.confirmed_deletes = Some(5);
    assert!(plan(&asks, &model.observe(), &policy).refusal.is_some(), "another number was confirmed");
    policy.confirmed_deletes = Some(6);
    let confirmed = plan(&asks, &model.observe(), &policy);
    assert_eq!((confirmed.refusal, confirmed.deletes), (None, 6));
}

#[test]
fn five_hundred_addresses_cost_what_the_ideal_client_needs() {
    let asks = pool(508);
    let mut model = Model::new();
    let first = plan(&asks, &model.observe(), &policy());
    let posts = first.steps.iter().filter(|step| matches!(step, Step::Create { .. })).count();
    let others: Vec<String> = first
        .steps
        .iter()
        .filter(|step| !matches!(step, Step::Create { .. }))
        .map(ToString::to_string)
        .collect();
    assert_eq!(posts, 508);
    assert_eq!(
        others,
        [
            "PUT 1:1 NAT: 508 rows as a whole",
            "PATCH static mapping on opt3: 508 rows as a whole",
            "PUT rule: 509 rows as a whole",
            "apply virtual IPs",
            "apply DHCP server",
            "apply filter",
        ]
    );
    model.run(&first, |_| ()).unwrap();
    assert_eq!(plan(&asks, &model.observe(), &policy()).steps, []);
    // One more is four writes and three applies.
    let more = pool(509);
    let next: Vec<String> =
        plan(&more, &model.observe(), &policy()).steps.iter().map(ToString::to_string).collect();
    assert_eq!(next.len(), 7, "{next:#?}");
    // A rule of a port forward: no list of rules is written as a whole.
    model.rules[0].insert("associated_rule_id".into(), json!("nat_1"));
    let half: Vec<Ask> = pool(508).into_iter().map(gone).collect();
    let generous = Policy { max_deletes_per_batch: 10_000, ..policy() };
    let removal = plan(&half, &model.observe(), &generous);
    assert_eq!(removal.deletes, 4 * 508);
    assert!(!removal.steps.iter().any(|step| matches!(step, Step::Replace { table: Table::Rules, .. })));
}

#[test]
fn ten_thousand_rows_are_planned_and_settle() {
    let asks = pool(2_500);
    let mut model = Model::new();
    let mut first = plan(&asks, &model.observe(), &policy());
    // The model checks each virtual IP against all others; that would take longer than all the rest.
    for step in &first.steps {
        if let Step::Create { table: Table::VirtualIps, body, .. } = step {
            model.vips.push(stored(&Table::VirtualIps, body.clone()));
        }
    }
    first.steps.retain(|step| !matches!(step, Step::Create { .. }));
    model.run(&first, |_| ()).unwrap();
    let observed = model.observe();
    let again = plan(&asks, &observed, &policy());
    assert_eq!(again.steps, []);
    assert_eq!(again.verdicts.len(), 10_000);
    assert!(again.verdicts.values().all(|verdict| *verdict == Verdict::InSync));
}

#[test]
fn a_list_is_written_as_a_whole_only_as_it_was_read() {
    let asks = pool(60);
    let model = Model::new();
    let first = plan(&asks, &model.observe(), &policy());
    let put = first.steps.iter().find(|step| step.table() == Some(&Table::Rules)).unwrap();
    let mut now = model.list(&Table::Rules);
    assert!(matches!(put.resolve(&now), Ok(Call::Replace { rows, .. }) if rows.len() == 61));
    // Who wrote a row when does not matter; what it says does.
    now[0].insert("updated_by".into(), json!("somebody"));
    assert!(put.resolve(&now).is_ok());
    now[0].insert("log".into(), json!(true));
    let stale = put.resolve(&now).unwrap_err();
    assert_eq!(stale, Stale::List { table: Table::Rules });
    assert_eq!(stale.to_string(), "a rule was changed by somebody else since the firewall was read");
    assert_eq!(put.needs(), Some(&Table::Rules));
}

#[test]
fn the_table_that_was_refused_as_a_whole_is_written_row_by_row() {
    let asks: Vec<Ask> = pool(40).into_iter().filter(|ask| ask.owner.kind == RowKind::NatMapping).collect();
    let mut policy = policy();
    assert_eq!(plan(&asks, &Model::new().observe(), &policy).steps.len(), 2);
    policy.row_by_row.insert(Table::NatMappings);
    assert_eq!(plan(&asks, &Model::new().observe(), &policy).steps.len(), 41);
}

#[test]
fn what_is_held_back_is_said_and_not_done() {
    let mut model = Model::new();
    let mut asks = [vip("web", "198.18.0.2/23"), rule("r", json!({}))];
    for ask in &mut asks {
        ask.held = true;
    }
    model.unapplied = [Subsystem::VirtualIps, Subsystem::Filter].into();
    let expect = [
        "web: create virtual IP 198.18.0.2/23 on wan (not now)",
        "r: create rule pass tcp from any to any on wan (not now)",
    ];
    check(&asks, &model, &expect);
}

#[test]
fn what_was_not_applied_is_applied_for_those_who_need_it() {
    let asks = [vip("web", "198.18.0.2/23"), rule("r", json!({}))];
    let mut model = Model::new();
    settle(&asks, &mut model);
    model.unapplied = [Subsystem::Dhcp, Subsystem::Filter].into();
    check(&asks, &model, &["web: in sync", "r: apply the filter", "apply filter"]);
    // What is removed and not applied is in force still, and so not gone.
    model.rules.pop();
    let [web, r] = asks;
    check(&[web, gone(r)], &model, &["web: in sync", "r: apply the filter", "apply filter"]);
}

#[test]
fn what_the_firewall_lacks_is_named() {
    let model = Model::new();
    let mut carp = vip("carp", "198.18.0.3/23");
    carp.row =
        desired_vip(&serde_json::from_value(json!({"firewall": "edge", "address": "198.18.0.3/23", "interface": "wan", "mode": "CARP", "vhid": 3})).unwrap()).into();
    check(
        &[
            ask(RowKind::VirtualIp, "v", json!({"address": "198.18.0.2/23", "interface": "wan2"})),
            ask(
                RowKind::DhcpReservation,
                "d",
                json!({"interface": "wan", "mac": "02:00:00:00:00:01", "address": "10.0.0.1"}),
            ),
            carp,
        ],
        &model,
        &[
            "v: Invalid: spec.interface: edge has no interface \"wan2\"; it has wan, lan, opt3.",
            "d: Invalid: spec.interface: edge has no DHCP server on \"wan\"; it has one on lan, opt3.",
            "carp: Invalid: spec.mode: a new CARP address needs a password, which a VirtualIP cannot carry. Make it on edge by hand and set spec.adopt: true.",
        ],
    );
}

#[test]
fn a_spec_that_cannot_be_says_where() {
    let said = |ask: Ask| match ask.row {
        Desired::Nothing(_, message) => message,
        other => panic!("{other:?}"),
    };
    let nat = |spec: Value| {
        let mut whole = json!({"interface": "wan", "external": "198.18.0.2", "internal": "10.20.0.2"});
        for (field, value) in spec.as_object().unwrap() {
            whole[field] = value.clone();
        }
        said(ask(RowKind::NatMapping, "n", whole))
    };
    let wrong_rule = |spec: Value| said(rule("r", spec));
    let dhcp = |spec: Value| {
        let mut whole = json!({"interface": "opt3", "mac": "02:00:00:00:00:01", "address": "10.20.0.2"});
        for (field, value) in spec.as_object().unwrap() {
            whole[field] = value.clone();
        }
        said(ask(RowKind::DhcpReservation, "d", whole))
    };
    for (message, expect) in [
        (
            said(vip("v", "198.18.0.2")),
            "spec.address: \"198.18.0.2\" is not an address with a prefix length, such as 198.18.0.2/23",
        ),
        (said(vip("v", "198.18.0.2/0")), "spec.address: a virtual IP needs a prefix length of 1 or more"),
        (
            nat(json!({"internal": "2001:db8::1"})),
            "spec.internal: 2001:db8::1 and 198.18.0.2 must both be IPv4 or both IPv6",
        ),
        (
            nat(json!({"destination": "10.0.0.1/8"})),
            "spec.destination: \"10.0.0.1/8\" has host bits set: the network is 10.0.0.0/8",
        ),
        (
            wrong_rule(json!({"source": {"address": "10.20.0.300"}})),
            "spec.source.address: \"10.20.0.300\" is not an address, a network, an interface or an alias",
        ),
        (
            wrong_rule(json!({"destination": {"address": "2001:db8::1"}})),
            "spec.destination.address: 2001:db8::1 is not IPv4, as the rest is",
        ),
        (
            wrong_rule(json!({"destination": {"address": "10.0.0.1"}, "ipFamily": "Both"})),
            "spec.destination.address: an address is IPv4 or IPv6: set ipFamily to the one it is",
        ),
        (
            wrong_rule(json!({"destination": {"ports": "8100:8000"}})),
            "spec.destination.ports: the range 8100:8000 runs backwards: write 8000:8100",
        ),
        (
            wrong_rule(json!({"destination": {"ports": "70000"}})),
            "spec.destination.ports: \"70000\" is not a port from 1 to 65535",
        ),
        (
            wrong_rule(json!({"protocol": "ICMP", "destination": {"ports": "22"}})),
            "spec.destination.ports: ports need protocol TCP, UDP or TCPUDP",
        ),
        (
            dhcp(json!({"mac": "02:00:00:00:00"})),
            "spec.mac: \"02:00:00:00:00\" has 5 groups; a MAC has 6, each two hexadecimal digits",
        ),
        (
            dhcp(json!({"dnsServers": ["9.9.9.9", "2001:db8::1"]})),
            "spec.dnsServers[1]: \"2001:db8::1\" is not an IPv4 address",
        ),
    ] {
        assert_eq!(message, expect);
    }
}

#[test]
fn an_object_whose_spec_is_nonsense_can_still_go() {
    let mut model = Model::new();
    let asks = [vip("web", "198.18.0.2/23")];
    settle(&asks, &mut model);
    let mut nonsense = vip("web", "nonsense");
    check(
        std::slice::from_ref(&nonsense),
        &model,
        &[
            "web: Invalid: spec.address: \"nonsense\" is not an address with a prefix length, such as 198.18.0.2/23",
        ],
    );
    nonsense.goal = Goal::Absent;
    settle(&[nonsense], &mut model);
    assert!(model.vips.is_empty());
}

#[test]
fn findings_name_both_sides() {
    let mut observed = Model::new().observe();
    let pools = &mut observed.dhcp.get_mut("opt3").unwrap().pools;
    pools.push(("10.20.255.10".parse().unwrap(), "10.20.255.250".parse().unwrap()));
    let lease = |name: &str, mac: &str, address: &str| {
        ask(RowKind::DhcpReservation, name, json!({"interface": "opt3", "mac": mac, "address": address}))
    };
    let nat = |name: &str, external: &str| {
        ask(
            RowKind::NatMapping,
            name,
            json!({"interface": "wan", "external": external, "internal": "10.20.0.2"}),
        )
    };
    let asks = [
        nat("a", "198.18.0.2"),
        vip("b", "198.18.0.3/23"),
        nat("b", "198.18.0.3"),
        lease("c", "02:00:00:00:00:01", "10.20.255.20"),
        lease("d", "02:00:00:00:00:02", "10.20.0.5"),
        lease("e", "02:00:00:00:00:03", "10.20.0.5"),
        lease("f", "02:00:00:00:00:04", "10.20.0.0"),
        lease("g", "02:00:00:00:00:05", "10.21.0.1"),
        lease("h", "02:00:00:00:00:06", "10.20.0.1"),
    ];
    let said: Vec<String> = lint(&asks, &observed)
        .iter()
        .map(|finding| format!("{}: {}", finding.owner.name, finding.message))
        .collect();
    assert_eq!(
        said,
        [
            "a: no interface and no virtual IP has 198.18.0.2, so nobody answers for it. Add a VirtualIP.",
            "c: 10.20.255.20 lies in the range 10.20.255.10 to 10.20.255.250, from which opt3 gives out addresses to anybody. Choose one outside.",
            "d: 10.20.0.5 on opt3 is promised to tenants/e too: two machines would get one address.",
            "e: 10.20.0.5 on opt3 is promised to tenants/d too: two machines would get one address.",
            "f: 10.20.0.0 is the network or broadcast address of 10.20.0.0/16.",
            "g: 10.21.0.1 is not in 10.20.0.0/16, the network of opt3.",
            "h: 10.20.0.1 is the firewall's own address on opt3.",
        ]
    );
}
