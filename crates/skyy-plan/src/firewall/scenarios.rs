//! What a person would see: one table of cases by subject.

use serde_json::{Value, json};
use skyy_api::{DhcpReservationSpec, FirewallRuleSpec, NatMappingSpec, VirtualIpSpec};

use super::{
    Ask, Call, Desired, Goal, Mark, Observed, Owner, Plan, Policy, Raw, RowKind, Stale, Step, Subsystem,
    Table, Verdict, desired_dhcp, desired_nat, desired_rule, desired_vip, lint,
    model::{Model, object, stored},
    plan,
};

/// An ask for a row from a spec, without `firewall`.
fn ask(kind: RowKind, name: &str, spec: Value) -> Ask {
    let mut whole = json!({"firewall": "edge"});
    for (field, value) in spec.as_object().unwrap() {
        whole[field] = value.clone();
    }
    let adopt = whole["adopt"] == json!(true);
    let priority = whole["priority"].as_i64().map_or(0, |priority| i32::try_from(priority).unwrap());
    let row: Desired = match kind {
        RowKind::VirtualIp => desired_vip(&serde_json::from_value::<VirtualIpSpec>(whole).unwrap()).into(),
        RowKind::NatMapping => desired_nat(&serde_json::from_value::<NatMappingSpec>(whole).unwrap()).into(),
        RowKind::DhcpReservation => {
            desired_dhcp(&serde_json::from_value::<DhcpReservationSpec>(whole).unwrap()).into()
        }
        RowKind::FirewallRule => {
            desired_rule(&serde_json::from_value::<FirewallRuleSpec>(whole).unwrap()).into()
        }
    };
    let owner =
        Owner { kind, namespace: "tenants".into(), name: name.into(), uid: format!("{name}-00000000") };
    Ask { owner, row, goal: Goal::Present, adopt, held: false, priority }
}

fn vip(name: &str, address: &str) -> Ask {
    ask(RowKind::VirtualIp, name, json!({"address": address, "interface": "wan"}))
}

fn rule(name: &str, spec: Value) -> Ask {
    let mut whole = json!({"interfaces": ["wan"], "protocol": "TCP"});
    for (field, value) in spec.as_object().unwrap() {
        whole[field] = value.clone();
    }
    ask(RowKind::FirewallRule, name, whole)
}

fn gone(mut ask: Ask) -> Ask {
    ask.goal = Goal::Absent;
    ask
}

fn policy() -> Policy {
    Policy::new("prod", "edge")
}

/// The verdicts in the order of the asks, then the steps.
fn told(asks: &[Ask], plan: &Plan) -> Vec<String> {
    let verdicts = asks.iter().map(|ask| match &plan.verdicts[&ask.owner] {
        Verdict::InSync => format!("{}: in sync", ask.owner.name),
        Verdict::Gone => format!("{}: gone", ask.owner.name),
        Verdict::Change { actions, steps } => {
            let later = if steps.is_empty() { " (not now)" } else { "" };
            format!("{}: {}{later}", ask.owner.name, actions.join("; "))
        }
        Verdict::Refused { reason, message } => format!("{}: {reason}: {message}", ask.owner.name),
    });
    verdicts.chain(plan.steps.iter().map(ToString::to_string)).collect()
}

#[track_caller]
fn check(asks: &[Ask], model: &Model, expect: &[&str]) {
    check_within(&policy(), asks, model, expect);
}

#[track_caller]
fn check_within(policy: &Policy, asks: &[Ask], model: &Model, expect: &[&str]) {
    assert_eq!(told(asks, &plan(asks, &model.observe(), policy)), expect);
}

/// Plans and carries out until nothing is left to do.
#[track_caller]
fn settle(asks: &[Ask], model: &mut Model) -> usize {
    for rounds in 0..4 {
        let plan = plan(asks, &model.observe(), &policy());
        if plan.steps.is_empty() {
            return rounds;
        }
        model.run(&plan, |_| ()).unwrap();
    }
    panic!("not settled");
}

fn box_with(vips: &[Value]) -> Model {
    let mut model = Model::new();
    for (n, body) in vips.iter().enumerate() {
        let mut body = object(body.clone());
        body.entry("uniqid").or_insert(json!(format!("5f0c0ffee{n:04}")));
        body.entry("mode").or_insert(json!("ipalias"));
        body.entry("interface").or_insert(json!("wan"));
        model.vips.push(stored(&Table::VirtualIps, body));
    }
    model
}

fn marked(kind: RowKind, name: &str, text: &str) -> String {
    let owner =
        Owner { kind, namespace: "tenants".into(), name: name.into(), uid: format!("{name}-00000000") };
    Mark::of("prod", &owner, 1024).describe(text, 1024)
}

#[test]
fn a_row_is_made_read_back_and_left_alone() {
    let asks = [vip("web", "198.18.0.2/23")];
    let mut model = Model::new();
    check(
        &asks,
        &model,
        &["web: create virtual IP 198.18.0.2/23 on wan", "POST virtual IP 198.18.0.2", "apply virtual IPs"],
    );
    assert_eq!(settle(&asks, &mut model), 1);
    check(&asks, &model, &["web: in sync"]);
    assert_eq!(model.vips[0]["descr"], "[skyy:prod/tenants/web#web-0000]");
    // A restored cluster has new uids; the rows are ours still, and are not written again.
    let mut restored = asks;
    restored[0].owner.uid = "other".into();
    check(&restored, &model, &["web: in sync"]);
}

#[test]
fn a_row_of_somebody_else_is_refused_with_the_way_out() {
    let model = box_with(&[json!({"subnet": "198.18.0.9", "subnet_bits": 24, "descr": "old web server"})]);
    let mut asks = [vip("web", "198.18.0.9/23")];
    check(
        &asks,
        &model,
        &[
            r#"web: NotOwned: 198.18.0.9 already exists on edge as "old web server", not made by Skyy-Command. Set spec.adopt: true to take it over; plan shows what would change (subnet_bits 24 → 23, description "old web server" → "")."#,
        ],
    );
    asks[0].adopt = true;
    check(
        &asks,
        &model,
        &[
            r#"web: take over virtual IP 198.18.0.9 ("old web server"): subnet_bits 24 → 23, description "old web server" → "" changes besides the mark"#,
            "PATCH virtual IP 198.18.0.9: subnet_bits, descr",
            "apply virtual IPs",
        ],
    );
    let other = box_with(&[json!({"subnet": "198.18.0.9", "subnet_bits": 23, "descr": "[skyy:test/a/b#1]"})]);
    asks[0].adopt = false;
    check(
        &asks,
        &other,
        &[
            r#"web: NotOwned: 198.18.0.9 already exists on edge as a row without a description, made by the installation "test" of Skyy-Command. Set spec.adopt: true to take it over; plan shows what would change (nothing)."#,
        ],
    );
}

#[test]
fn of_two_asks_for_one_key_the_older_holder_wins_then_the_name() {
    let asks = [vip("a", "198.18.0.2/23"), vip("b", "198.18.0.2/24")];
    check(
        &asks,
        &Model::new(),
        &[
            "a: create virtual IP 198.18.0.2/23 on wan",
            "b: Conflict: virtual IP 198.18.0.2 is asked for by VirtualIP tenants/a too, which comes first. Change or delete one of the two.",
            "POST virtual IP 198.18.0.2",
            "apply virtual IPs",
        ],
    );
    let descr = marked(RowKind::VirtualIp, "b", "");
    let held_by_b = box_with(&[json!({"subnet": "198.18.0.2", "subnet_bits": 24, "descr": descr})]);
    check(
        &asks,
        &held_by_b,
        &[
            "a: Conflict: virtual IP 198.18.0.2 is asked for by VirtualIP tenants/b too, which comes first. Change or delete one of the two.",
            "b: in sync",
        ],
    );
}

#[test]
fn every_spelling_of_an_address_is_the_same() {
    let descr = marked(RowKind::VirtualIp, "six", "");
    let model = box_with(&[json!({"subnet": "2001:DB8:0:0::1", "subnet_bits": "64", "descr": descr})]);
    check(&[vip("six", "2001:db8::1/64")], &model, &["six: in sync"]);
    let twice = [vip("a", "2001:db8::1/64"), vip("b", "2001:0DB8::0001/64")];
    let plan = plan(&twice, &Model::new().observe(), &policy());
    assert!(matches!(
        plan.verdicts[&twice[1].owner],
        Verdict::Refused { reason: skyy_api::Reason::Conflict, .. }
    ));
}

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
fn rows_that_were_exchanged_by_hand_exchange_their_marks() {
    let descr = |name| marked(RowKind::VirtualIp, name, "");
    let mut model = box_with(&[
        json!({"subnet": "198.18.0.2", "subnet_bits": 23, "descr": descr("b")}),
        json!({"subnet": "198.18.0.3", "subnet_bits": 23, "descr": descr("a")}),
    ]);
    let asks = [vip("a", "198.18.0.2/23"), vip("b", "198.18.0.3/23")];
    check(
        &asks,
        &model,
        &[
            "a: take virtual IP 198.18.0.2 over from tenants/b: nothing else changes",
            "b: take virtual IP 198.18.0.3 over from tenants/a: nothing else changes",
            "PATCH virtual IP 198.18.0.2: descr",
            "PATCH virtual IP 198.18.0.3: descr",
            "apply virtual IPs",
        ],
    );
    settle(&asks, &mut model);
    assert_eq!(model.vips.len(), 2);
}

#[test]
fn a_renamed_object_takes_its_row_along() {
    let descr = marked(RowKind::VirtualIp, "old", "");
    let model = box_with(&[json!({"subnet": "198.18.0.2", "subnet_bits": 23, "descr": descr})]);
    check(
        &[vip("new", "198.18.0.2/23"), gone(vip("old", "198.18.0.2/23"))],
        &model,
        &[
            "new: take virtual IP 198.18.0.2 over from tenants/old: nothing else changes",
            "old: hand its virtual IP over to tenants/new",
            "PATCH virtual IP 198.18.0.2: descr",
            "apply virtual IPs",
        ],
    );
    // An orphan is not taken without a word.
    check(
        &[vip("new", "198.18.0.2/23")],
        &model,
        &[
            "new: NotOwned: 198.18.0.2 already exists on edge as a row without a description, with a mark of ours that no object asks for. Set spec.adopt: true to take it over; plan shows what would change (nothing).",
        ],
    );
    let seen = plan(&[vip("new", "198.18.0.2/23")], &model.observe(), &policy());
    assert_eq!(seen.orphans[0].to_string(), "VirtualIP 198.18.0.2 \"[skyy:prod/tenants/old#old-0000]\"");
    assert_eq!((seen.counts[&RowKind::VirtualIp].owned, seen.counts[&RowKind::VirtualIp].foreign), (1, 0));
}

#[test]
fn a_changed_and_a_doubled_row_are_put_right() {
    let mut model = Model::new();
    let asks = [ask(
        RowKind::NatMapping,
        "n",
        json!({"interface": "wan", "external": "198.18.0.2", "internal": "10.20.0.2"}),
    )];
    settle(&asks, &mut model);
    // After a lost answer the row is there twice; somebody has changed one of them, and its key.
    let mut twin = model.nats[0].clone();
    twin.insert("source".into(), json!("10.20.0.99"));
    model.nats.insert(0, twin);
    check(
        &asks,
        &model,
        &["n: delete 1:1 NAT 198.18.0.2, which is there twice", "DELETE 1:1 NAT 198.18.0.2", "apply filter"],
    );
    model.nats.truncate(1);
    model.nats[0].insert("external".into(), json!("198.18.0.7"));
    check(
        &asks,
        &model,
        &[
            "n: change 1:1 NAT 198.18.0.2: external 198.18.0.7 → 198.18.0.2, source 10.20.0.99 → 10.20.0.2",
            "PATCH 1:1 NAT 198.18.0.2: external, source",
            "apply filter",
        ],
    );
    settle(&asks, &mut model);
    // The mark removed by hand: the row is nobody's that we know.
    model.nats[0].insert("descr".into(), json!("mine now"));
    assert!(told(&asks, &plan(&asks, &model.observe(), &policy()))[0].starts_with("n: NotOwned"));
    // A virtual IP and a rule are still known, by uniqid and tracker.
    let asks = [vip("web", "198.18.0.2/23"), rule("r", json!({}))];
    let mut model = Model::new();
    settle(&asks, &mut model);
    model.vips[0].insert("descr".into(), json!("mine now"));
    model.rules[1].insert("descr".into(), json!("mine now"));
    model.rules[1].insert("gateway".into(), json!("WANGW"));
    check(
        &asks,
        &model,
        &[
            r#"web: change virtual IP 198.18.0.2: description "mine now" → """#,
            r#"r: change rule on wan: gateway WANGW → none, description "mine now" → """#,
            "PATCH virtual IP 198.18.0.2: descr",
            "PATCH rule tenants/r on wan: gateway, descr",
            "apply virtual IPs",
            "apply filter",
        ],
    );
    settle(&asks, &mut model);
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
fn rules_stand_by_priority_after_those_of_others() {
    let mut model = Model::new();
    let by = |name: &str, priority: i32| rule(name, json!({"priority": priority}));
    let mut asks = vec![by("a", 0), by("b", 0)];
    settle(&asks, &mut model);
    asks.push(by("c", -5));
    asks.push(by("aa", 0));
    check(
        &asks,
        &model,
        &[
            "a: in sync",
            "b: in sync",
            "c: create rule pass tcp from any to any on wan",
            "aa: create rule pass tcp from any to any on wan",
            "POST rule tenants/c on wan before tenants/a on wan",
            "POST rule tenants/aa on wan before tenants/b on wan",
            "apply filter",
        ],
    );
    settle(&asks, &mut model);
    let names = |model: &Model| -> Vec<String> {
        let descr = |row: &Raw| row["descr"].as_str().unwrap().to_owned();
        model
            .rules
            .iter()
            .map(descr)
            .map(|descr| descr.replace("[skyy:prod/tenants/", "").chars().take(4).collect())
            .collect()
    };
    assert_eq!(names(&model), ["Defa", "c#c-", "a#a-", "aa#a", "b#b-"]);
    // Somebody adds a rule at the end, as the web page does: ours go after it, as few as can be.
    let foreign = json!({"type": "block", "interface": ["wan"], "ipprotocol": "inet", "source": "any",
        "destination": "any", "descr": "foreign", "tracker": 1_795_000_000});
    model.rules.insert(3, stored(&Table::Rules, object(foreign)));
    check(
        &asks,
        &model,
        &[
            "a: move rule on wan to its place by priority",
            "b: in sync",
            "c: move rule on wan to its place by priority",
            "aa: in sync",
            "PATCH rule tenants/c on wan: before tenants/aa on wan",
            "PATCH rule tenants/a on wan: before tenants/aa on wan",
            "apply filter",
        ],
    );
    settle(&asks, &mut model);
    assert_eq!(names(&model), ["Defa", "fore", "c#c-", "a#a-", "aa#a", "b#b-"]);
}

#[test]
fn a_rule_on_two_interfaces_is_a_row_on_each() {
    let mut model = Model::new();
    let mut asks = [rule("r", json!({"interfaces": ["wan", "opt3"]}))];
    settle(&asks, &mut model);
    let on: Vec<&Value> = model.rules.iter().map(|row| &row["interface"]).collect();
    assert_eq!(on, [&json!(["lan"]), &json!(["opt3"]), &json!(["wan"])]);
    let trackers: std::collections::BTreeSet<String> =
        model.rules.iter().map(|row| row["tracker"].to_string()).collect();
    assert_eq!(trackers.len(), 3);
    asks[0] = rule("r", json!({"interfaces": ["lan"]}));
    check(
        &asks,
        &model,
        &[
            "r: change rule on lan: interface opt3 → lan; delete rule pass tcp from any to any on wan, which is asked for there no more",
            "PATCH rule tenants/r on lan: interface",
            "DELETE rule tenants/r on wan",
            "apply filter",
        ],
    );
    settle(&asks, &mut model);
    assert_eq!(model.rules.len(), 2);
}

#[test]
fn the_last_rule_stays() {
    let mut model = Model::new();
    let asks = [rule("r", json!({}))];
    settle(&asks, &mut model);
    model.rules.remove(0);
    check(
        &asks.map(gone),
        &model,
        &[
            "r: Refused: edge keeps at least one rule, and this is the last one. Add a rule of your own on the firewall; then this one can go.",
        ],
    );
}

/// As many addresses as a tenant network has, with all four rows each.
fn pool(count: u32) -> Vec<Ask> {
    let kinds = |n: u32| {
        let (outer, inner) =
            (format!("198.18.{}.{}", n / 250, n % 250 + 1), format!("10.20.{}.{}", n / 250, n % 250 + 2));
        let mac = format!("02:00:00:{:02x}:{:02x}:01", n / 256, n % 256);
        let name = format!("p{n}");
        [
            vip(&name, &format!("{outer}/16")),
            ask(
                RowKind::NatMapping,
                &name,
                json!({"interface": "wan", "external": outer, "internal": inner}),
            ),
            ask(RowKind::DhcpReservation, &name, json!({"interface": "opt3", "mac": mac, "address": inner})),
            rule(&name, json!({"destination": {"address": inner}})),
        ]
    };
    (0..count).flat_map(kinds).collect()
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
fn a_rule_that_would_lock_us_out_is_refused() {
    let mut policy = policy();
    policy.management_sources = vec!["192.168.1.16/28".parse().unwrap(), "203.0.113.0/24".parse().unwrap()];
    let mut observed = Model::new().observe();
    observed.aliases.insert("bad_hosts".into(), vec!["198.51.100.128/25".parse().unwrap()]);
    let refused = |spec: Value, observed: &Observed| {
        let mut whole = json!({"action": "Block", "protocol": "Any"});
        for (field, value) in spec.as_object().unwrap() {
            whole[field] = value.clone();
        }
        let asks = [rule("r", whole)];
        let plan = plan(&asks, observed, &policy);
        match &plan.verdicts[&asks[0].owner] {
            Verdict::Refused { reason, message } => {
                assert_eq!(*reason, skyy_api::Reason::WouldLockOut, "{message}");
                assert!(plan.steps.is_empty());
                true
            }
            _ => false,
        }
    };
    for (spec, expect) in [
        (json!({"interfaces": ["lan"]}), true),
        (json!({"interfaces": ["lan"], "action": "Reject", "ipFamily": "Both"}), true),
        (json!({"interfaces": ["opt3", "wan"]}), true),
        (json!({"interfaces": ["opt3"]}), false),
        (json!({"interfaces": ["lan"], "action": "Pass"}), false),
        (json!({"interfaces": ["lan"], "enabled": false}), false),
        (json!({"interfaces": ["lan"], "ipFamily": "IPv6"}), false),
        (json!({"interfaces": ["lan"], "source": {"address": "192.168.1.20"}}), true),
        (json!({"interfaces": ["lan"], "source": {"address": "192.168.1.40"}}), false),
        (json!({"interfaces": ["lan"], "source": {"address": "lan"}}), true),
        (json!({"interfaces": ["lan"], "source": {"address": "192.168.1.16/28", "invert": true}}), false),
        (json!({"interfaces": ["lan"], "destination": {"address": "10.20.0.0/24"}}), true),
        (json!({"interfaces": ["lan"], "destination": {"address": "10.20.9.0/24"}}), false),
        (json!({"interfaces": ["lan"], "destination": {"address": "(self)"}}), true),
        (json!({"interfaces": ["lan"], "destination": {"address": "wan:ip"}}), true),
        (json!({"interfaces": ["lan"], "destination": {"address": "198.18.0.0/15"}}), false),
        (json!({"interfaces": ["lan"], "destination": {"address": "(self)", "invert": true}}), false),
        (json!({"interfaces": ["wan"], "source": {"address": "bad_hosts"}}), false),
        (json!({"interfaces": ["wan"], "source": {"address": "who_knows"}}), true),
    ] {
        assert_eq!(refused(spec.clone(), &observed), expect, "{spec}");
    }
    // Nothing is known of the firewall: then everything may be the way in.
    let unknown = Observed { dhcp: observed.dhcp.clone(), ..Observed::default() };
    assert!(refused(json!({"interfaces": ["opt3"], "destination": {"address": "10.20.9.0/24"}}), &unknown));
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
